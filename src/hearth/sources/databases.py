"""Read a table or a query's answer from a database, in batches: what is new alone, where the contract says when it was recorded."""

import datetime
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, unquote

import pyarrow as pa
from pydantic import Field, model_validator

from hearth.cells import Notation, table_of
from hearth.contract import Contract
from hearth.errors import Refusal
from hearth.lines import once
from hearth.row import Row
from hearth.sources.address import KEY, PASSWORD, USER, Address, credentials, told
from hearth.sources.batch import ROWS, Batch
from hearth.strict import Strict

SCHEMES = ("postgresql", "postgres", "mysql", "mariadb", "sqlite", "duckdb")
_FILES = ("sqlite", "duckdb")
# Numbers that these databases give as texts, or as Python's decimals: exact, so that nothing is rounded on the way.
_TEXTS = Notation()


class DatabaseOptions(Strict):
    """Name a table, with its schema before a point if need be, or write a query."""

    table: str | None = Field(default=None, min_length=1)
    query: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.table is None) == (self.query is None):
            raise ValueError("either table or query")
        return self


class Database:
    """Be a table in a database; each of its subclasses knows one way to ask."""

    since = True
    quote = '"'

    def __init__(self, address: Address, options: DatabaseOptions, contract: Contract) -> None:
        """Take what is read; nothing is asked yet."""
        self._address, self._contract = address, contract
        named = ".".join(f"{self.quote}{part}{self.quote}" for part in (options.table or "").split("."))
        self._from = named if options.table else f"({(options.query or '').strip().rstrip(';')}) AS asked"
        self.where = f"{address.text} {options.table or 'query'}"

    def batches(self, since: datetime.date | None, until: datetime.date) -> Iterator[Batch]:
        """Yield the rows that were known before `until` and not before `since`, and those that do not say since when."""
        answers = self._answers(f"SELECT * FROM {self._from}{self._limits(since, until)}")  # noqa: S608 -- of params.yaml
        while (batch := self._asked(lambda: next(answers, None))) is not None:
            once(self.where, batch.table.column_names)
            yield batch

    def _limits(self, since: datetime.date | None, until: datetime.date) -> str:
        """Return the WHERE that lets through what was known in time, and what does not say since when."""
        column = self._quoted(self._contract.watermark)
        later = f" AND {column} >= '{since}'" if since else ""
        return f" WHERE ({column} < '{until}'{later}) OR {column} IS NULL"

    def known_before(self, day: datetime.date) -> int | None:
        """Return how many records were known before a day."""
        column = self._quoted(self._contract.watermark)
        answers = self._answers(f"SELECT COUNT(*) AS records FROM {self._from} WHERE {column} < '{day}'")  # noqa: S608
        return int(self._asked(lambda: next(answers)).table.column(0)[0].as_py())

    def _answers(self, question: str) -> Iterator[Batch]:
        raise NotImplementedError

    def _quoted(self, name: str) -> str:
        return self.quote + name.replace(self.quote, self.quote * 2) + self.quote

    def _file(self) -> Path:
        """Return the path of a database that is a file: after three slashes it is seen from here, after four from the root."""
        path = Path(unquote(self._address.parts.path.removeprefix("/")))
        if not path.is_file():
            raise Refusal(f"params.yaml: {KEY} is {self._address.text!r}, but there is no file {path}; three slashes stand before "
                          "a path from here, four before one from the root.")  # fmt: skip
        return path

    def _asked(self, question: Any) -> Any:
        """Return the database's answer; each has errors of its own."""
        try:
            return question()
        except Refusal:
            raise
        except ImportError as error:
            raise Refusal(f"{self.where} cannot be read: {error}; `make` installs it.") from None
        except Exception as error:
            raise Refusal(f"{self.where} cannot be read ({type(error).__name__}: {told(error)}); check that the database is up, the names, "
                          f"and who may read it: {USER} and {PASSWORD} in the environment say who asks.") from None  # fmt: skip


class Postgres(Database):
    """Be PostgreSQL through ADBC: record batches, with the database's own types, from one statement, hence of one moment."""

    def _answers(self, question: str) -> Iterator[Batch]:
        from adbc_driver_postgresql import dbapi

        user, password = credentials()
        asking = {"user": user, "password": password, "application_name": "hearth"} | dict(
            parse_qsl(self._address.parts.query)
        )
        address = self._address.text.split("?")[0].replace("postgres://", "postgresql://", 1)
        from urllib.parse import urlencode

        uri = f"{address}?{urlencode({key: value for key, value in asking.items() if value})}"
        with dbapi.connect(uri) as connection, connection.cursor() as cursor:
            cursor.execute(question)
            reader = cursor.fetch_record_batch()
            empty = True
            for batch in reader:
                empty = False
                yield self._batch(pa.Table.from_batches([batch]))
            if empty:
                yield self._batch(reader.schema.empty_table())

    def _batch(self, table: pa.Table) -> Batch:
        """Return a batch; ADBC gives NUMERIC as a text of a type of its own, which is read as texts are."""
        plain, texts = [], False
        for name, column in zip(table.column_names, table.columns, strict=True):
            numeric = isinstance(column.type, pa.BaseExtensionType)
            texts |= numeric
            plain.append((name, column.combine_chunks().storage if numeric else column))
        if not texts:
            return Batch(table, self.where)
        wanted = {column.name for column in self._contract.columns}
        rows = pa.table(
            [_text(column) if name in wanted else column for name, column in plain], names=[name for name, _ in plain]
        )
        return Batch(rows, self.where, _TEXTS)


def _text(column: Any) -> Any:
    return column.cast(pa.string())


class DuckDB(Database):
    """Be a DuckDB file, opened to be read alone."""

    def _answers(self, question: str) -> Iterator[Batch]:
        import duckdb

        with duckdb.connect(self._file(), read_only=True) as connection:
            reader = connection.sql(question).to_arrow_reader(ROWS)
            empty = True
            for batch in reader:
                empty = False
                yield Batch(pa.Table.from_batches([batch]), self.where)
            if empty:
                yield Batch(reader.schema.empty_table(), self.where)


class Rows(Database):
    """Be a database that gives Python's values through SQLAlchemy: MySQL, MariaDB and SQLite."""

    def __init__(self, address: Address, options: DatabaseOptions, contract: Contract) -> None:
        """Quote as MySQL does, where it is one."""
        self.since = address.scheme != "sqlite"  # which has no type for days
        self.quote = "`" if address.scheme in ("mysql", "mariadb") else '"'
        super().__init__(address, options, contract)

    def _answers(self, question: str) -> Iterator[Batch]:
        from sqlalchemy import create_engine, text

        engine = create_engine(self._url())
        try:
            # A server-side cursor, so that the rows come as they are read.
            with engine.connect().execution_options(stream_results=True, yield_per=ROWS) as connection:
                answer = connection.execute(text(question.replace(":", r"\:")))
                names = list(answer.keys())
                rows = (Row(number, dict(zip(names, row, strict=True))) for number, row in enumerate(answer))
                parts = iter(lambda: list(itertools.islice(rows, ROWS)), [])
                first = next(parts, [])
                for part in itertools.chain([first], parts):
                    self._check_days(part)
                    yield Batch(table_of(part, names), self.where, _TEXTS)
        finally:
            engine.dispose()

    def _limits(self, since: datetime.date | None, until: datetime.date) -> str:
        """Return a WHERE for what is new alone: this kind of database may compare days as texts, so a whole one is read whole."""
        return super()._limits(since, until) if since else ""

    def _check_days(self, rows: list[Row]) -> None:
        """Refuse days that are texts where the database is asked to compare them: 20150228 comes after 2015-03-01."""
        name = self._contract.watermark
        if self.since and (
            odd := next((row.cells[name] for row in rows if isinstance(row.cells.get(name), str)), None)
        ):
            raise Refusal(f"{self.where}: the column {name} holds texts such as {odd[:40]!r}, wanted days of the type DATE; write a query "
                          "that casts it.")  # fmt: skip

    def _url(self) -> Any:
        from sqlalchemy.engine import URL

        if self._address.scheme == "sqlite":
            return URL.create("sqlite", database=f"file:{self._file().absolute()}", query={"mode": "ro", "uri": "true"})
        user, password = credentials()
        parts = self._address.parts
        return URL.create(
            "mysql+pymysql",
            user,
            password,
            parts.hostname,
            parts.port,
            parts.path.removeprefix("/"),
            dict(parse_qsl(parts.query)),
        )


def opened(address: Address, options: DatabaseOptions, contract: Contract) -> Database:
    """Return the database at an address."""
    kinds: dict[str, type[Database]] = {"postgresql": Postgres, "postgres": Postgres, "duckdb": DuckDB}
    return kinds.get(address.scheme, Rows)(address, options, contract)
