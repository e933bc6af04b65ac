"""Read a table or a query's answer from a database, in batches: what is new alone, where the contract says when it was recorded."""

import datetime
import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, quote, unquote, urlencode

import pyarrow as pa
from pydantic import Field, model_validator

from hearth.cells import Notation, text_of
from hearth.contract import Contract
from hearth.errors import Refusal
from hearth.lines import once
from hearth.sources.address import KEY, PASSWORD, USER, Address, credentials, told
from hearth.sources.batch import ROWS, Batch
from hearth.strict import Strict

MYSQL_PORT = 3306
WAITED_S = "30"  # for a server that does not answer
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
    undated = True
    quote = '"'

    def __init__(self, address: Address, options: DatabaseOptions, contract: Contract) -> None:
        """Take what is read; nothing is asked yet."""
        self._address, self._contract = address, contract
        named = ".".join(map(self._quoted, (options.table or "").split(".")))
        # The query's last line may be a comment.
        self._from = named if options.table else f"({(options.query or '').strip().rstrip(';')}\n) AS asked"
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

        with dbapi.connect(self._uri()) as connection, connection.cursor() as cursor:
            cursor.execute("SET TIME ZONE 'UTC'")  # in which ADBC gives moments: days are cut where they are read
            cursor.execute(question)
            reader = cursor.fetch_record_batch()
            empty = True
            for batch in _ahead(reader):
                empty = False
                yield self._batch(pa.Table.from_batches([batch]))
            if empty:
                yield self._batch(reader.schema.empty_table())

    def _uri(self) -> str:
        """Return the address with who asks; libpq reads a plus as a plus."""
        user, password = credentials()
        asking = {"user": user, "password": password, "application_name": "hearth", "connect_timeout": WAITED_S}
        asking |= dict(parse_qsl(self._address.parts.query))
        address = self._address.text.split("?")[0].replace("postgres://", "postgresql://", 1)
        return f"{address}?{urlencode({key: value for key, value in asking.items() if value}, quote_via=quote)}"

    def _batch(self, table: pa.Table) -> Batch:
        """Return a batch; ADBC gives NUMERIC as a text of a type of its own, which is read as texts are."""
        numeric = [field.name for field in table.schema if getattr(field.type, "type_name", "") == "numeric"]
        for name in numeric:
            texts = pa.chunked_array([chunk.storage for chunk in table[name].chunks], pa.string())
            table = table.set_column(table.column_names.index(name), name, texts)
        return Batch(table, self.where, _TEXTS, frozenset(numeric)) if numeric else Batch(table, self.where)


class DuckDB(Database):
    """Be a DuckDB file, opened to be read alone."""

    def _answers(self, question: str) -> Iterator[Batch]:
        import duckdb

        with duckdb.connect(self._file(), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")  # days are cut where they are read
            reader = connection.sql(question).to_arrow_reader(ROWS)
            empty = True
            for batch in reader:
                empty = False
                yield Batch(pa.Table.from_batches([batch]), self.where)
            if empty:
                yield Batch(reader.schema.empty_table(), self.where)


class Rows(Database):
    """Be a database whose driver gives Python's values, row by row; they are read as texts are, cell by cell."""

    def _answers(self, question: str) -> Iterator[Batch]:
        with self._cursor() as cursor:
            cursor.execute(question)
            names = [name for name, *_ in cursor.description]
            self._check(cursor.description)
            rows = cursor.fetchmany(ROWS)
            yield self._batch(names, rows)
            while rows := cursor.fetchmany(ROWS):
                yield self._batch(names, rows)

    def _batch(self, names: list[str], rows: list[Any]) -> Batch:
        columns = zip(*rows, strict=True) if rows else [()] * len(names)
        return Batch(pa.table(list(map(_texts, columns)), names=names), self.where, _TEXTS)

    def _cursor(self) -> AbstractContextManager[Any]:
        raise NotImplementedError

    def _check(self, columns: Any) -> None:
        """Refuse columns that this database cannot be asked for."""


class SQLite(Rows):
    """Be an SQLite file, opened to be read alone. It has no type for days and compares them as texts, so it is read whole."""

    since = False

    def _limits(self, since: datetime.date | None, until: datetime.date) -> str:  # noqa: ARG002
        return ""

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        path = quote(str(self._file().absolute()))
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            yield connection.cursor()


class MySQL(Rows):
    """Be MySQL or MariaDB through a cursor that stays at the server, so that rows come as they are read."""

    quote = "`"

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        import pymysql
        from pymysql.cursors import SSCursor

        parts, (user, password) = self._address.parts, credentials()
        connection: Any = pymysql.connect(
            host=parts.hostname, user=user, password=password or "", database=unquote(parts.path.removeprefix("/")),
            port=parts.port or MYSQL_PORT, cursorclass=SSCursor, **dict(parse_qsl(parts.query)),
        )  # fmt: skip
        try:
            yield connection.cursor()
        finally:
            if connection._result is not None:
                # PyMySQL would read an answer that is given up to its end, even from a connection that is lost.
                connection._result.unbuffered_active = False
            if connection.open:
                connection.close()

    def _check(self, columns: Any) -> None:
        """Refuse days that are none, for the database is asked to compare them: the text 20150228 comes after 2015-03-01."""
        from pymysql.constants import FIELD_TYPE

        name = self._contract.watermark
        dated = (FIELD_TYPE.DATE, FIELD_TYPE.NEWDATE, FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP)
        if any(found == name and kind not in dated for found, kind, *_ in columns):
            raise Refusal(
                f"{self.where}: the column {name} holds no days, wanted the type DATE; write a query that casts it."
            )


def _texts(cells: Sequence[Any]) -> pa.Array:
    """Return cells as texts; Arrow is quicker where all are numbers of one kind."""
    kinds = set(map(type, cells)) - {type(None)}
    if kinds <= {int} or kinds == {float}:
        with suppress(pa.ArrowInvalid, OverflowError):
            return pa.array(cells, pa.int64() if kinds <= {int} else pa.float64()).cast(pa.string())
    return pa.array(map(text_of, cells), pa.string())


def _ahead(batches: Iterator[Any]) -> Iterator[Any]:
    """Yield the batches, and have the next one read meanwhile."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch


KINDS: dict[str, type[Database]] = {
    "postgresql": Postgres, "postgres": Postgres, "mysql": MySQL, "mariadb": MySQL, "sqlite": SQLite, "duckdb": DuckDB,
}  # fmt: skip
SCHEMES = tuple(KINDS)


def opened(address: Address, options: DatabaseOptions, contract: Contract) -> Database:
    """Return the database at an address."""
    return KINDS[address.scheme](address, options, contract)
