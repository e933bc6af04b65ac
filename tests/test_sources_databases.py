"""Collect from real databases: the same bytes as from a file, one moment, only what is new, and a sentence where it cannot be."""

import datetime
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import PROJECT, checkout_at, sample
from feeds import PASSWORD, USER, Server, mariadb, postgres

from hearth.bento import free_port
from hearth.collecting import Collection, CollectParams
from hearth.contract import Contract, parse_contract
from hearth.earlier import Earlier
from hearth.errors import Refusal
from hearth.parquet import arrow_of, read_frame
from hearth.partitions import Waiting
from hearth.paths import CONTRACT, PROVENANCE, QUARANTINE, RAW
from hearth.sources import opened
from hearth.sources.batch import Batch
from hearth.stages import collect, validate
from hearth.storage import read_yaml

KINDS = ("postgresql", "mysql", "sqlite", "duckdb")
ALL, SHIPPED = "2016-01-01", "2015-03-01"
# Of the sample in the table `many`, so that it comes in several batches: 302,582 rows and 86,452.
COPIES = {"postgresql": 14, "mysql": 4, "sqlite": 4, "duckdb": 14}
NAMES = [column.name for column in parse_contract(read_yaml(PROJECT / CONTRACT), "").columns]
# The types that people have, where they differ from what the file has.
TYPES = {
    "postgresql": {
        "id": "bigint", "date": "timestamp", "price": "numeric(12, 2)", "bedrooms": "smallint", "bathrooms": "numeric(4, 2)", "floors": "real",
        "waterfront": "boolean", "lat": "double precision", "long": "numeric", "zipcode": "integer", "view": "numeric(1)",
    },
    "mysql": {
        "id": "bigint", "date": "datetime", "price": "decimal(12, 2)", "bedrooms": "tinyint unsigned", "bathrooms": "decimal(4, 2)",
        "floors": "float", "waterfront": "tinyint(1)", "lat": "double", "long": "decimal(9, 4)", "zipcode": "varchar(5)",
    },
    "sqlite": {
        "id": "integer", "date": "text", "bathrooms": "real", "floors": "real", "waterfront": "boolean", "lat": "double",
        "long": "numeric", "zipcode": "text",
    },
    "duckdb": {
        "id": "hugeint", "date": "timestamp", "price": "decimal(12, 2)", "bedrooms": "utinyint", "bathrooms": "decimal(4, 2)",
        "floors": "float", "waterfront": "boolean", "lat": "double", "long": "decimal(9, 4)", "zipcode": "usmallint",
    },
}  # fmt: skip
TYPES["duckdb"]["zipcode"] = "uinteger"


@dataclass(frozen=True)
class Held:
    """Be a database with the sample's sales in the table `sales`."""

    kind: str
    address: str
    ask: Callable[..., list[Any]]

    def quoted(self, name: str) -> str:
        return f"`{name}`" if self.kind == "mysql" else f'"{name}"'

    def select(self, table: str = "sales", **changed: str) -> str:
        """Return a query for all columns of the contract, some of them changed; an empty one is left out."""
        columns = {name: self.quoted(name) for name in NAMES} | changed
        return f"SELECT {', '.join(f'{value} AS {self.quoted(name)}' for name, value in columns.items() if value)} FROM {table}"  # noqa: S608

    def options(self, **changed: str) -> dict[str, str]:
        return {"query": self.select(**changed)}


def columns_of(kind: str) -> str:
    mark = "`" if kind == "mysql" else '"'
    return ", ".join(f"{mark}{name}{mark} {TYPES[kind].get(name, 'integer')}" for name in NAMES)


def rows_of_sample() -> list[tuple[Any, ...]]:
    table = pa.Table.from_pandas(sample(), preserve_index=False).select(NAMES)
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


@contextmanager
def held_by_postgres() -> Iterator[tuple[Held, Server]]:
    with postgres() as server:
        server.query("landed", pa.Table.from_pandas(sample(), preserve_index=False))
        server.query(f"CREATE TABLE sales ({columns_of('postgresql')})")
        server.query(f"INSERT INTO sales SELECT {', '.join(map(json.dumps, NAMES))} FROM landed")  # noqa: S608
        server.query(f"CREATE TABLE many AS SELECT landed.* FROM landed, generate_series(1, {COPIES['postgresql']})")  # noqa: S608
        server.query("CREATE SCHEMA land")
        server.query("CREATE TABLE land.sales AS SELECT * FROM sales")
        yield Held("postgresql", server.address, server.query), server


@contextmanager
def held_by_mariadb() -> Iterator[Held]:
    with mariadb() as server:
        server.query(f"CREATE TABLE sales ({columns_of('mysql')})")
        server.query(f"INSERT INTO sales VALUES ({', '.join(['%s'] * len(NAMES))})", *rows_of_sample())  # noqa: S608
        server.query(f"CREATE TABLE many AS SELECT sales.* FROM sales, seq_1_to_{COPIES['mysql']}")  # noqa: S608
        yield Held("mysql", server.address, server.query)


@contextmanager
def held_by_sqlite(folder: Path) -> Iterator[Held]:
    path = folder / "all sales %20 100%.db"

    def ask(question: str, *rows: Any) -> list[Any]:
        with closing(sqlite3.connect(path)) as connection, connection:
            return list(connection.executemany(question, rows) if rows else connection.execute(question))

    ask("PRAGMA journal_mode = WAL")
    ask(f"CREATE TABLE sales ({columns_of('sqlite')})")
    rows = [[f"{v:%Y%m%dT000000}" if isinstance(v, datetime.date) else v for v in row] for row in rows_of_sample()]
    ask(f"INSERT INTO sales VALUES ({', '.join('?' * len(NAMES))})", *rows)  # noqa: S608
    ask("CREATE TABLE many AS SELECT * FROM sales")
    for _ in range(1, COPIES["sqlite"]):
        ask("INSERT INTO many SELECT * FROM sales")
    yield Held("sqlite", f"sqlite:///{str(path).replace('%', '%25').replace(' ', '%20')}", ask)


@contextmanager
def held_by_duckdb(folder: Path) -> Iterator[Held]:
    import duckdb

    path = folder / "sales.duckdb"

    def ask(question: str, *_: Any) -> list[Any]:
        with duckdb.connect(path) as connection:
            return connection.execute(question).fetchall()

    pq.write_table(pa.Table.from_pandas(sample(), preserve_index=False).select(NAMES), folder / "sales.parquet")
    ask(f"CREATE TABLE sales ({columns_of('duckdb')})")
    ask(f"INSERT INTO sales SELECT * FROM '{folder}/sales.parquet'")  # noqa: S608
    ask(f"CREATE TABLE many AS SELECT sales.* FROM sales, generate_series(1, {COPIES['duckdb']})")  # noqa: S608
    yield Held("duckdb", f"duckdb:///{path}", ask)


@pytest.fixture(scope="module")
def held_postgres() -> Iterator[tuple[Held, Server]]:
    with held_by_postgres() as held:
        yield held


@pytest.fixture(scope="module")
def held_mysql() -> Iterator[Held]:
    with held_by_mariadb() as held:
        yield held


@pytest.fixture(scope="module")
def held(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    """Return one database after the other; each is started when the first test asks for it."""
    if request.param == "postgresql":
        yield request.getfixturevalue("held_postgres")[0]
    elif request.param == "mysql":
        yield request.getfixturevalue("held_mysql")
    else:
        opening = {"sqlite": held_by_sqlite, "duckdb": held_by_duckdb}[request.param]
        with opening(tmp_path_factory.mktemp("held")) as database:
            yield database


each = pytest.mark.parametrize("held", KINDS, indirect=True, scope="module")
servers_only = pytest.mark.parametrize("held", KINDS[:2], indirect=True, scope="module")


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_SOURCE_USER", USER)
    monkeypatch.setenv("HEARTH_SOURCE_PASSWORD", PASSWORD)


def point(source: str, options: dict[str, Any] | None = None, as_of: str = ALL, **more: Any) -> None:
    """Let params.yaml name the source."""
    path = Path("params.yaml")
    params = yaml.safe_load(path.read_text())
    params["collect"] |= {"source": source, "options": options or {}, "as_of": as_of} | more
    path.write_text(yaml.safe_dump(params))


def made() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(RAW.iterdir())}


def collected(source: str, options: dict[str, Any] | None = None, as_of: str = ALL) -> dict[str, bytes]:
    """Return the raw table's files, as they are collected."""
    point(source, options, as_of)
    collect.main()
    return made()


def refused(source: str, options: dict[str, Any]) -> str:
    """Return why a collection is refused, and see that it writes nothing."""
    before = made() if RAW.exists() else None
    point(source, options)
    with pytest.raises(Refusal) as caught:
        collect.main()
    assert (made() if RAW.exists() else None) == before
    assert not (RAW / ".waiting").exists()
    said = str(caught.value)
    assert len(said.splitlines()) == 1
    assert PASSWORD not in said
    return said


@pytest.fixture(scope="module")
def from_file(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """Return by watermark what comes of the sample as a parquet file."""
    folder = tmp_path_factory.mktemp("file")
    for name in ("params.yaml", "data/contract.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, folder / name)
    (folder / "data/source").mkdir()
    sample().to_parquet(folder / "data/source/house_sales.parquet", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = {as_of: collected("data/source/house_sales.parquet", as_of=as_of) for as_of in (ALL, SHIPPED)}
    assert len(found[ALL]) == 13
    assert len(found[SHIPPED]) == 10
    assert sum(len(arrow_of(content, name)) for name, content in found[ALL].items()) == 21_613
    return found


@each
@pytest.mark.parametrize("as_of", [ALL, SHIPPED])
def test_the_table_is_the_same_bytes_as_from_a_file(
    held: Held, as_of: str, from_file: dict[str, dict[str, bytes]], workspace: Path
) -> None:
    """The types are those that people have: decimals, small integers, timestamps, floats, texts in SQLite."""
    assert collected(held.address, {"table": "sales"}, as_of) == from_file[as_of]


@each
def test_a_query_is_read_as_a_table_is(held: Held, from_file: dict[str, dict[str, bytes]], workspace: Path) -> None:
    """What marks parameters elsewhere is text here, and a comment ends with its line."""
    query = f"{held.select()} WHERE 'a:b %s 50%' LIKE '%:b \\%s%' ESCAPE '\\'; -- all of it"
    if held.kind == "mysql":
        query = query.replace("\\", "\\\\")
    assert collected(held.address, {"query": query.replace("; --", " --")}) == from_file[ALL]


def test_a_table_may_stand_in_a_schema(
    held_postgres: tuple[Held, Server], from_file: dict[str, dict[str, bytes]], workspace: Path
) -> None:
    address = held_postgres[0].address.replace("postgresql://", "postgres://") + "?sslmode=prefer"
    assert collected(address, {"table": "land.sales"}) == from_file[ALL]


@each
def test_empty_cells_stay_empty_and_are_refused_by_the_contract(held: Held, workspace: Path) -> None:
    """A day that is missing is among them: its row is in no month, and still not lost."""
    rule = "CASE WHEN id = 7129300520 THEN NULL ELSE {} END"
    changed = {name: rule.format(held.quoted(name)) for name in ("date", "price", "waterfront", "lat")}
    assert "undated.parquet" in collected(held.address, held.options(**changed), SHIPPED)
    validate.main()
    rows = read_frame(QUARANTINE).query("id == 7129300520")
    assert [reason.split(",")[0] for reason in rows["reasons"].item().split("; ")] == [
        "date: empty", "price: empty", "waterfront: empty", "lat: empty",
    ]  # fmt: skip


@each
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"agent": "1"}, "has the column agent that data/contract.yaml does not know", id="extra"),
        pytest.param({"grade": ""}, "lacks the column grade of the contract", id="missing"),
    ],
)
def test_columns_that_are_not_the_contracts_are_refused(
    held: Held, changed: dict[str, str], said: str, workspace: Path
) -> None:
    assert said in refused(held.address, held.options(**changed))


@each
def test_nothing_is_refused(held: Held, workspace: Path) -> None:
    """The last table stays as it was."""
    collected("data/source/house_sales.parquet")
    query = f"{held.select()} WHERE id < 0"
    assert "has no rows" in refused(held.address, {"query": query})
    assert "has the column agent" in refused(held.address, {"query": f"{held.select(agent='1')} WHERE id < 0"})


@each
def test_a_table_that_is_not_there_is_named(held: Held, workspace: Path) -> None:
    said = refused(held.address, {"table": "nothing_here"})
    assert said.startswith(f"{held.address} nothing_here cannot be read (")
    assert "nothing_here" in said.split("(", 1)[1]
    assert "check that the database is up, the names" in said


@each
def test_a_query_with_a_slip_is_refused(held: Held, workspace: Path) -> None:
    assert "cannot be read (" in refused(held.address, {"query": "SELEC 1"})


@each
def test_texts_for_numbers_never_become_numbers(
    held: Held, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A type that is known is refused as a whole; where each cell has its own, each row is."""
    options = held.options(grade="'seven'")
    if held.kind in ("postgresql", "duckdb"):
        assert "the column grade is of type string, wanted a whole number from 1 to 13 (score)" in refused(
            held.address, options
        )
        return
    collected(held.address, options)
    assert "21,613 cannot be read" in capsys.readouterr().out
    with pytest.raises(Refusal, match="21,613 of 21,613 rows break the contract"):
        validate.main()


@servers_only
def test_days_that_are_texts_are_refused_where_the_database_compares_them(held: Held, workspace: Path) -> None:
    text = {"mysql": "DATE_FORMAT(`date`, '%Y%m%d')", "postgresql": "to_char(\"date\", 'YYYYMMDD')"}[held.kind]
    said = refused(held.address, held.options(date=text))
    assert "the column date" in said
    assert "wanted" in said


def test_mixed_types_in_a_column_of_sqlite_are_counted(tmp_path: Path, workspace: Path) -> None:
    """SQLite has a type for each cell. What is no whole number is quarantined by name; what is one is read, however written."""
    with held_by_sqlite(tmp_path) as held:
        ids = [row[0] for row in held.ask("SELECT DISTINCT id FROM sales ORDER BY id LIMIT 9")]
        wrong = ["'seven'", "7.5", "x'07'", "'7;8'", "9e999"]
        right = ["'7'", "7.0", "' 7 '", "'7.00'"]
        for house, value in zip(ids, [*wrong, *right], strict=True):
            held.ask(f"UPDATE sales SET grade = {value} WHERE id = {house}")  # noqa: S608
        count = dict(held.ask("SELECT id, count(*) FROM sales GROUP BY id"))
        collected(held.address, {"table": "sales"})
        validate.main()
        found = read_frame(QUARANTINE).query("id in @ids")
        assert set(found["id"]) == set(ids[: len(wrong)])
        assert len(found) == sum(count[house] for house in ids[: len(wrong)])
        assert found["reasons"].str.startswith("grade: ").all()
        good = read_frame(Path("data/validated/sales.parquet")).query("id in @ids")
        assert len(good) == sum(count[house] for house in ids[len(wrong) :])
        assert set(good["grade"]) == {7}


def test_what_a_table_of_mysql_may_hold_instead_of_days(held_mysql: Held, workspace: Path) -> None:
    """MySQL's day without a day is a reason of its row, not an error of the driver."""
    held_mysql.ask("CREATE TABLE odd AS SELECT * FROM sales LIMIT 3000")
    held_mysql.ask("UPDATE odd SET `date` = '0000-00-00' LIMIT 1")
    collected(held_mysql.address, {"table": "odd"})
    validate.main()
    assert read_frame(QUARANTINE)["reasons"].str.startswith("date: 0000-00-00").sum() == 1


@each
def test_a_database_that_is_not_there_is_a_sentence(held: Held, workspace: Path) -> None:
    if held.kind in ("postgresql", "mysql"):
        said = refused(f"{held.kind}://127.0.0.1:{free_port()}/hearth", {"table": "sales"})
        assert "check that the database is up" in said
        assert "refused" in said
    else:
        assert "there is no file away.db; three slashes" in refused(f"{held.kind}:///away.db", {"table": "sales"})
        Path("text.db").write_text("id,date\n" * 1000)
        assert "cannot be read (" in refused(f"{held.kind}:///text.db", {"table": "sales"})


@servers_only
def test_a_wrong_password_is_not_told(held: Held, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in (USER, "127.0.0.1", "wr%6fng &x=", "p%zz"):  # what a library could say, and what breaks an address
        monkeypatch.setenv("HEARTH_SOURCE_PASSWORD", wrong)
        said = refused(held.address, {"table": "sales"})
        assert "HEARTH_SOURCE_USER and HEARTH_SOURCE_PASSWORD in the environment say who asks" in said
        assert wrong not in said.removeprefix(held.address)
    monkeypatch.delenv("HEARTH_SOURCE_PASSWORD")
    assert "cannot be read (" in refused(held.address, {"table": "sales"})


@servers_only
def test_a_password_in_the_address_is_refused(held: Held, workspace: Path) -> None:
    address = held.address.replace("://", "://someone:hidden@")
    assert "has a user or a password in it" in refused(address, {"table": "sales"})
    said = refused(f"{held.address}?password=hidden", {"table": "sales"})
    assert "has password= in it" in said
    assert "hidden" not in said


def source_of(held: Held, options: dict[str, Any]) -> Any:
    return opened(held.address, options, parse_contract(read_yaml(PROJECT / CONTRACT), ""))


@each
def test_what_is_read_is_of_one_moment(held: Held, workspace: Path) -> None:
    """Another connection deletes, changes and adds between the first batch and the second."""
    held.ask("CREATE TABLE moving AS SELECT * FROM many")
    batches: Iterator[Batch] = source_of(held, {"table": "moving"}).batches(None, datetime.date.fromisoformat(ALL))
    rows = [len(next(batches).table)]
    changes = [
        "DELETE FROM moving WHERE id % 2 = 0",
        "UPDATE moving SET price = 1",
        "INSERT INTO moving SELECT * FROM sales",
    ]
    if held.kind == "duckdb":  # of which one process may write while none reads
        import duckdb

        with pytest.raises(duckdb.Error):
            held.ask(changes[0])
    else:
        for change in changes:
            held.ask(change)
        assert held.ask("SELECT count(*) FROM moving")[0][0] != 21_613 * COPIES[held.kind]
    prices = 0
    for batch in batches:
        rows.append(len(batch.table))
        prices += pc.sum(pc.equal(batch.table["price"].cast(pa.string()), "1")).as_py() or 0
    assert len(rows) > 1
    assert sum(rows) == 21_613 * COPIES[held.kind]
    assert not prices
    held.ask("DROP TABLE moving")


def test_a_server_that_dies_meanwhile_is_a_sentence(workspace: Path, from_file: dict[str, dict[str, bytes]]) -> None:
    """The last table stays as it was."""
    with held_by_postgres() as (held, server):
        assert collected(held.address, {"table": "sales"}) == from_file[ALL]
        query = f"SELECT {', '.join(map(json.dumps, NAMES))} FROM (SELECT *, row_number() OVER () AS n FROM many) AS numbered WHERE n < 250000 OR pg_sleep(60) IS NOT NULL"  # noqa: S608

        def kill() -> None:
            while not server.query("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"):
                time.sleep(0.05)
            server.process.send_signal(signal.SIGQUIT)

        killer = threading.Thread(target=kill)
        killer.start()
        assert "cannot be read (" in refused(held.address, {"query": query})
        killer.join()
    assert made() == from_file[ALL]


def test_a_connection_that_is_ended_by_mariadb_is_a_sentence(held_mysql: Held, workspace: Path) -> None:
    collected(held_mysql.address, {"table": "sales"})
    query = f"{held_mysql.select('many')} WHERE id <> 7129300520 OR SLEEP(60) = 0"

    def kill() -> None:
        asking = "SELECT id FROM information_schema.processlist WHERE state = 'User sleep'"
        while not (found := held_mysql.ask(asking)):
            time.sleep(0.05)
        held_mysql.ask(f"KILL {found[0][0]}")

    killer = threading.Thread(target=kill)
    killer.start()
    assert "cannot be read (" in refused(held_mysql.address, {"query": query})
    killer.join()


LATER = "2015-04-01"


def kept_contract() -> Contract:
    """Return the contract of a source that says when a record became known, and takes sales back."""
    document = yaml.safe_load((PROJECT / CONTRACT).read_text())
    document["columns"] |= {
        "recorded_at": {"type": "date", "unit": "day", "role": "recorded_at", "meaning": "Day of the record."},
        "cancelled": {"type": "boolean", "unit": "yes or no", "role": "cancelled", "meaning": "Takes a sale back."},
    }
    Path(CONTRACT).write_text(yaml.safe_dump(document, sort_keys=False))
    return parse_contract(document, str(CONTRACT))


def keep_records(held: Held) -> None:
    """Make a table of records: every sale as of its day; in March some prices are corrected, and some sales taken back."""
    day = held.quoted("date")
    # A moment of PostgreSQL, in a session of another time zone than UTC: its day is that in UTC.
    known, at = (f"{day} AT TIME ZONE 'UTC'", " AT TIME ZONE 'UTC'") if held.kind == "postgresql" else (day, "")
    when = {"sqlite": "'20150315T000000'", "duckdb": "TIMESTAMP '2015-03-15'"}.get(
        held.kind, f"CAST('2015-03-15' AS {'datetime' if held.kind == 'mysql' else 'timestamp'}){at}"
    )
    false, true = ("0", "1") if held.kind == "sqlite" else ("false", "true")
    sales = held.select(recorded_at=known, cancelled=false)
    held.ask("DROP TABLE IF EXISTS records")
    held.ask(f"CREATE TABLE records AS {sales}")
    early = "'20150301'" if held.kind == "sqlite" else "'2015-03-01'"
    changed = held.select(price="price + 1000", recorded_at=when, cancelled=false)
    held.ask(f"INSERT INTO records {changed} WHERE id % 10 = 0 AND {day} < {early}")
    held.ask(f"INSERT INTO records {held.select(recorded_at=when, cancelled=true)} WHERE id % 50 = 1")


@dataclass
class Counting:
    """Be a source, and count the rows that it gives."""

    source: Any
    rows: int = 0

    @property
    def since(self) -> bool:
        return bool(self.source.since)

    @property
    def undated(self) -> bool:
        return bool(self.source.undated)

    def known_before(self, day: datetime.date) -> int | None:
        return self.source.known_before(day)  # type: ignore[no-any-return]

    def batches(self, since: datetime.date | None, until: datetime.date) -> Iterator[Batch]:
        for batch in self.source.batches(since, until):
            self.rows += len(batch.table)
            yield batch


def gathered(held: Held, contract: Contract, as_of: str, last: Earlier | None = None) -> tuple[int, Earlier]:
    """Return how many rows the source gave, and what was made of them."""
    params = CollectParams(
        source=held.address, options={"table": "records"}, as_of=datetime.date.fromisoformat(as_of), incremental=True, accept=""
    )  # fmt: skip
    source = Counting(opened(params.source, params.options, contract))
    collection = Collection(params, contract, source, last)
    raw = Path(tempfile.mkdtemp(dir=".")) / "raw"
    with Waiting(raw / ".waiting", contract) as waiting:
        taken = collection.gather(waiting)
        found = collection.provenance(taken, *waiting.write(raw))
    return source.rows, Earlier(found, {path.name: path for path in raw.iterdir()}, same_code=True)


def contents(earlier: Earlier) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in sorted(earlier.files.items())}


@each
def test_only_what_is_new_is_asked_for_and_the_table_is_the_same(held: Held, workspace: Path) -> None:
    contract = kept_contract()
    keep_records(held)
    first, last = gathered(held, contract, SHIPPED)
    fresh, made_of_both = gathered(held, contract, LATER, last)
    all_of_it, made_at_once = gathered(held, contract, LATER)
    assert contents(made_of_both) == contents(made_at_once)
    assert made_of_both.provenance == made_at_once.provenance
    assert contents(made_of_both) != contents(last)
    total = held.ask("SELECT count(*) FROM records")[0][0]
    if held.kind == "sqlite":  # which has no days to be asked for
        assert first == fresh == all_of_it == total
    else:
        late, end = (
            held.ask(f"SELECT count(*) FROM records WHERE recorded_at >= '{day}{' 00:00+00' * (held.kind == 'postgresql')}'")[0][0]  # noqa: S608
            for day in (SHIPPED, LATER)
        )  # fmt: skip
        assert (first, fresh, all_of_it) == (total - late, late - end, total - end)
        assert 0 < fresh < first
    rows = pa.concat_tables(made_of_both.tables()).to_pandas()
    wanted = expected()
    assert len(wanted) < len(sample())
    found = rows.sort_values(["id", "date"])[["id", "date", "price"]].to_numpy().tolist()
    assert found == wanted.sort_values(["id", "date"])[["id", "date", "price"]].to_numpy().tolist()
    held.ask("DELETE FROM records WHERE id = 7129300520")
    with pytest.raises(Refusal, match="rows fell out"):
        gathered(held, contract, LATER, last)


def expected() -> pd.DataFrame:
    """Return the sales that hold at the second collection, worked out from the file."""
    sales = sample()
    early, told = (datetime.date(2015, 3, day) for day in (1, 15))
    sales.loc[(sales["id"] % 10 == 0) & (sales["date"] < early), "price"] += 1000
    return sales[
        (sales["date"] < datetime.date.fromisoformat(LATER)) & ~((sales["id"] % 50 == 1) & (sales["date"] <= told))
    ]


def test_a_collection_goes_on_where_dvc_has_the_last_one(
    held_postgres: tuple[Held, Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stage runs as it does on the road, in a project with nothing else; a secret is written nowhere."""
    held = held_postgres[0]
    project = checkout_at(tmp_path / "project", PYTHONPATH=str(PROJECT / "src"))
    (project.root / "data").mkdir(parents=True)
    (project.root / "src").mkdir()
    (project.root / "src/hearth").symlink_to(PROJECT / "src/hearth")
    monkeypatch.chdir(project.root)
    shutil.copy2(PROJECT / "params.yaml", "params.yaml")
    kept_contract()
    keep_records(held)
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"collect": {
        "cmd": "python -m hearth.stages.collect", "deps": [str(CONTRACT)], "params": ["collect"],
        "outs": [str(RAW), str(PROVENANCE)],
    }}}))  # fmt: skip
    project.run("git", "init", "--quiet")
    project.run("dvc", "init", "--quiet")
    point(held.address, {"table": "records"}, SHIPPED)
    said = project.run("dvc", "repro", "collect").stdout
    assert "taking in" not in said
    before = made()
    point(held.address, {"table": "records"}, LATER)
    said = project.run("dvc", "repro", "collect").stdout
    assert "taking in what was recorded from 2015-03-01 on" in said
    grown, source = made(), PROVENANCE.read_bytes()
    assert grown != before
    Path("dvc.lock").rename("remembered.lock")
    collect.main()
    assert made() == grown
    assert PROVENANCE.read_bytes() == source
    written = [path for path in Path().rglob("*") if path.is_file()]
    assert Path("remembered.lock") in written
    assert not [path for path in written if PASSWORD.encode() in path.read_bytes()]


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the most memory of a process is told in Linux's /proc"
)
def test_memory_does_not_grow_with_the_table(
    held_postgres: tuple[Held, Server], workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a process of the stage; the million rows of 22 columns would be 200 MB in memory."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT / "src"))
    code = """
from pathlib import Path
from hearth.stages import collect
collect.main()
# Not getrusage: of a started process it also counts what the one that started it had.
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""

    def peak(query: str, rows: str) -> float:
        point(held_postgres[0].address, {"query": query})
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert f"collected {rows} rows, those before" in done.stdout, done.stderr
        return float(done.stdout.split()[-1]) / 1024

    few = peak("SELECT * FROM many", "302,582")
    lots = peak("SELECT many.* FROM many, generate_series(1, 4)", "1,210,328")
    print(f"{few:.0f} MB and {lots:.0f} MB")
    assert lots < 500
    assert lots - few < 60


@pytest.mark.parametrize(("held", "moment"), [
    ("postgresql", "\"date\" + interval '1 hour'"), ("duckdb", "\"date\" + INTERVAL 1 HOUR"), ("mysql", "`date` + INTERVAL 1 HOUR"),
], indirect=["held"], scope="module")  # fmt: skip
def test_a_time_of_day_is_never_cut_off(
    held: Held, moment: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = held.options(date=moment)
    if held.kind == "mysql":  # row by row
        collected(held.address, options)
        assert "21,613 cannot be read" in capsys.readouterr().out
    else:
        assert "wanted a date as YYYY-MM-DD" in refused(held.address, options)


def test_a_numeric_that_is_no_number_or_no_whole_one_is_a_reason_of_its_row(
    held_postgres: tuple[Held, Server], workspace: Path
) -> None:
    """PostgreSQL's NUMERIC has NaN and infinity; a price with cents is no whole number."""
    odd = "CASE id WHEN 7129300520 THEN 'NaN' WHEN 6414100192 THEN 'Infinity' WHEN 5631500400 THEN 7.5 ELSE price END"
    collected(held_postgres[0].address, held_postgres[0].options(price=odd))
    validate.main()
    reasons = read_frame(QUARANTINE).query("reasons.str.startswith('price')")["reasons"]
    assert sorted({reason.split(",")[0] for reason in reasons}) == ["price: 7.5", "price: inf", "price: nan"]
