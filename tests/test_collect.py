"""Collect again and again: only what is new is taken, the table is that of a full collection, and another past is an alarm.

DuckDB is the source where one is needed that can be asked for what is new; tests/test_sources_databases.py has the servers.
"""

import json
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import PROJECT, Checkout, checkout_at, sample
from deeds import DOCUMENT, RECORDS, START, deed, deeds_contract, table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hearth.collecting import Collection, CollectParams
from hearth.contract import Contract, parse_contract
from hearth.earlier import Earlier
from hearth.errors import Refusal
from hearth.partitions import Waiting
from hearth.provenance import Provenance
from hearth.sources import opened
from hearth.stages import collect

RAW = Path("data/raw/sales.parquet")
PROVENANCE = Path("data/raw/source.json")
COLUMNS = list(DOCUMENT["columns"])
CONTRACT = deeds_contract()
SOURCE = "duckdb:///deeds.duckdb"


def day(number: int) -> date:
    return START + timedelta(number)


def stored(records: list[dict[str, Any]]) -> None:
    """Make these the database's records."""
    Path("deeds.duckdb").unlink(missing_ok=True)
    rows = table(records).drop_columns(["reasons"])
    with duckdb.connect("deeds.duckdb") as connection:
        connection.register("rows", rows)
        connection.execute("CREATE TABLE deeds AS SELECT * FROM rows")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    return tmp_path


def params(as_of: date, **more: Any) -> CollectParams:
    usual = {"source": SOURCE, "options": {"table": "deeds"}, "as_of": as_of, "incremental": True, "accept": ""}
    return CollectParams(**usual | more)


def collected(
    as_of: date, last: Earlier | None = None, raw: Path = RAW, contract: Contract = CONTRACT, **more: Any
) -> Earlier:
    """Collect as the stage does, and return what the next collection remembers of it."""
    asked = params(as_of, **more)
    collection = Collection(asked, contract, opened(asked.source, asked.options, contract), last)
    with Waiting(raw / ".waiting", contract) as waiting:
        taken = collection.gather(waiting)
        rows, unreadable = waiting.write(raw)
    return Earlier(collection.provenance(taken, rows, unreadable), {path.name: path for path in raw.iterdir()}, True)


def content(raw: Path = RAW) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(raw.iterdir())}


HISTORY = [
    deed(1, sold=0, known=1, dollars=100),
    deed(2, sold=2, known=3, dollars=200),
    deed(3, sold=3, known=4, dollars=300),
    deed(1, sold=0, known=35, dollars=110),  # a correction of a sale in the month before
    deed(2, sold=2, known=36, void=True),  # a cancellation
    deed(4, sold=5, known=37, dollars=400),  # a sale of the month before that came late
    deed(5, sold=40, known=41, dollars=500),
    deed(5, sold=40, known=41, dollars=500),  # an exact repeat
]


def test_only_what_is_new_is_taken_and_the_table_is_that_of_a_full_collection(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(HISTORY)
    first = collected(day(31))
    assert pq.read_table(RAW)["dollars"].to_pylist() == [100, 200, 300]
    second = collected(day(60), first)
    assert "taking in what was recorded from 2014-06-01 on" in capsys.readouterr().out
    assert pq.read_table(RAW)["dollars"].to_pylist() == [110, 300, 400, 500]
    full = collected(day(60), raw=Path("full"))
    assert content() == content(Path("full"))
    assert second.provenance == full.provenance
    assert second.provenance.records == 8


def test_the_source_is_asked_for_no_more_than_what_is_new(here: Path) -> None:
    stored(HISTORY)
    source = opened(SOURCE, {"table": "deeds"}, deeds_contract())
    asked = [len(batch.table) for batch in source.batches(day(35), day(41))]
    assert sum(asked) == 3
    assert source.known_before(day(35)) == 3


@pytest.mark.parametrize(
    "why",
    [
        {"incremental": False},
        {"as_of": day(31)},
    ],
    ids=["it is not wanted", "the day is no later"],
)
def test_all_is_taken_where_only_the_new_must_not_or_cannot_be(
    here: Path, why: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    stored(HISTORY)
    first = collected(day(31))
    collected(**{"as_of": day(60), "last": first} | why)
    assert "taking in" not in capsys.readouterr().out


def test_what_other_code_made_is_not_built_upon(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored(HISTORY)
    first = collected(day(31))
    collected(day(60), Earlier(first.provenance, first.files, same_code=False))
    assert "taking in" not in capsys.readouterr().out


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RECORDS, st.lists(st.integers(1, 95), min_size=1, max_size=4, unique=True))
def test_collections_one_after_the_other_are_as_good_as_one(
    here: Path, records: list[dict[str, Any]], days: list[int]
) -> None:
    """Whatever the records, their order and the watermarks; a database holds no reasons, and no -0.0 apart from 0.0."""
    usable = [record | {"reasons": None} for record in records] or [deed()]
    stored([*usable, deed(9, sold=0, known=0)])  # so that no collection is empty
    last = None
    for number in sorted(days):
        shutil.rmtree("parts", ignore_errors=True)
        if last is not None:
            shutil.copytree("kept", "parts")
            last = Earlier(last.provenance, {path.name: path for path in Path("kept").iterdir()}, True)
        last = collected(day(number), last, Path("parts"))
        shutil.rmtree("kept", ignore_errors=True)
        shutil.copytree("parts", "kept")
    shutil.rmtree("full", ignore_errors=True)
    full = collected(day(max(days)), raw=Path("full"))
    assert content(Path("parts")) == content(Path("full"))
    assert last is not None
    assert last.provenance == full.provenance


def changed(records: list[dict[str, Any]], place: int, **cells: Any) -> list[dict[str, Any]]:
    return [record | cells if number == place else record for number, record in enumerate(records)]


def content_of_all(records: list[dict[str, Any]]) -> dict[str, bytes]:
    stored(records)
    collected(day(60), raw=Path("all"))
    return content(Path("all"))


ALARMS = [
    pytest.param(HISTORY[1:], "the records before 2014-06-01 were 3, are 2: rows fell out", id="a row fell out"),
    pytest.param(
        [*HISTORY, deed(9, known=2)],
        "the records before 2014-06-01 were 3, are 4: the past was rewritten",
        id="a row came in",
    ),
]


@pytest.mark.parametrize(("records", "said"), ALARMS)
@pytest.mark.parametrize("incremental", [True, False])
def test_another_past_stops_the_road_until_it_is_accepted(
    here: Path, records: list[dict[str, Any]], said: str, incremental: bool
) -> None:
    stored(HISTORY)
    first = collected(day(31))
    before = content()
    stored(records)
    with pytest.raises(Refusal) as caught:
        collected(day(60), first, incremental=incremental)
    assert f"{SOURCE} is not what it was at the last collection: {said}" in str(caught.value)
    assert content() == before
    word = str(caught.value).split("set collect.accept to '")[1].split("'")[0]
    collected(day(60), first, incremental=incremental, accept=word)
    assert content() == content_of_all(records)
    stored([*records, deed(8, known=3), deed(7, known=3)])
    with pytest.raises(Refusal):  # the word accepts that change and no other
        collected(day(60), first, incremental=incremental, accept=word)


def test_a_past_whose_cells_changed_is_seen_where_all_is_read(here: Path) -> None:
    stored(HISTORY)
    first = collected(day(31))
    stored(changed(HISTORY, 1, dollars=201))
    with pytest.raises(
        Refusal, match=r"the 3 records before 2014-06-01 had the checksum \w{16}, have \w{16}: the past was rewritten"
    ):
        collected(day(60), first, incremental=False)


def test_other_columns_stop_the_road(here: Path) -> None:
    stored(HISTORY)
    first = collected(day(31))
    with duckdb.connect("deeds.duckdb") as connection:
        connection.execute("ALTER TABLE deeds ALTER area TYPE REAL")
    with pytest.raises(Refusal, match="the column area was double, is float"):
        collected(day(60), first)


def test_a_look_further_back_compares_nothing(here: Path) -> None:
    stored(HISTORY)
    first = collected(day(60))
    stored(HISTORY[1:])
    collected(day(31), first)
    assert pq.read_table(RAW)["dollars"].to_pylist() == [200, 300]


def test_a_query_that_returns_nothing_is_refused(here: Path) -> None:
    stored(HISTORY)
    with pytest.raises(Refusal, match=r"has no rows before collect\.as_of 2014-05-01; wanted at least one"):
        collected(START)
    with pytest.raises(Refusal, match="has no rows"):
        collected(day(60), options={"query": "SELECT * FROM deeds WHERE dollars > 9999"})
    assert not RAW.exists()


def test_a_month_whose_sales_are_all_taken_back_has_no_file(here: Path) -> None:
    stored([deed(1, sold=0), deed(2, sold=40, known=41), deed(2, sold=40, known=45, void=True)])
    first = collected(day(42))
    assert sorted(content()) == ["2014-05.parquet", "2014-06.parquet"]
    collected(day(60), first)
    assert sorted(content()) == ["2014-05.parquet"]


def test_a_record_that_says_later_since_when_it_is_known_is_the_same_in_both_ways(here: Path) -> None:
    stored([deed(1), deed(2, known=None)])
    first = collected(day(31))
    stored([deed(1), deed(2, known=40)])
    collected(day(60), first)
    collected(day(60), raw=Path("full"))
    assert content() == content(Path("full"))


def test_a_table_of_which_nothing_holds_is_refused(here: Path) -> None:
    stored([deed(1)])
    first = collected(day(31))
    before = content()
    stored([deed(1), deed(1, known=40, void=True)])
    with pytest.raises(Refusal, match="no sale holds: all are cancelled, or to be forgotten"):
        collected(day(60), first)
    assert content() == before


def test_a_field_that_no_row_has_any_more_is_an_alarm_where_all_is_read(here: Path) -> None:
    rows = [{name: str(deed(number)[name]) for name in COLUMNS} for number in (1, 2)]
    Path("deeds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    where = {"source": f"file://{here}/deeds.jsonl", "options": {}}
    first = collected(day(31), **where)
    Path("deeds.jsonl").write_text(
        "".join(json.dumps({n: c for n, c in row.items() if n != "area"}) + "\n" for row in rows)
    )
    with pytest.raises(Refusal, match="the column area was string, is not there"):
        collected(day(60), first, **where)


def test_a_day_that_python_cannot_hold_is_refused_by_name(here: Path) -> None:
    stored(HISTORY)
    with duckdb.connect("deeds.duckdb") as connection:
        connection.execute("UPDATE deeds SET sold = 'infinity' WHERE parcel = 3")
    with pytest.raises(Refusal, match=r"the column sold is of type date32.*a day is not in the years 1 to 9999"):
        collected(day(60))


def test_a_folder_that_a_killed_collection_left_is_taken_away(here: Path) -> None:
    stored(HISTORY)
    (RAW / ".waiting").mkdir(parents=True)
    (RAW / ".waiting/2019-01").write_text("half")
    collected(day(60))
    assert sorted(path.name for path in RAW.iterdir()) == ["2014-05.parquet", "2014-06.parquet"]


def test_a_month_in_chunks_is_the_same_month(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored([deed(number, sold=number % 29, dollars=number) for number in range(1, 400)])
    collected(day(60), raw=Path("whole"))
    monkeypatch.setattr("hearth.partitions.CHUNK_ROWS", 50)
    collected(day(60), raw=Path("parts"))
    assert content(Path("parts")) == content(Path("whole"))


# -- with DVC ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """Return a repository with the stage collect alone, whose contract has the days on which the sales became known."""
    root = tmp_path / "project"
    shutil.copytree(PROJECT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "data/source").mkdir(parents=True)
    shutil.copy2(PROJECT / "requirements.lock", root / "requirements.lock")
    stage = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]["collect"]
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"collect": stage}}))
    contract = yaml.safe_load((PROJECT / "data/contract.yaml").read_text())
    known = {"type": "date", "unit": "day", "role": "recorded_at", "meaning": "Day on which the sale became known."}
    contract["columns"] = contract["columns"] | {"recorded": known}
    (root / "data/contract.yaml").write_text(yaml.safe_dump(contract, sort_keys=False))
    (root / "data/forgotten.txt").touch()
    (root / ".gitignore").write_text("/data/raw\n/sales.duckdb*\n")
    checkout = checkout_at(root)
    checkout.run("git", "init", "--quiet")
    checkout.run("dvc", "init", "--quiet")
    monkeypatch.chdir(root)
    return checkout


def sales_known(rows: pd.DataFrame) -> None:
    with duckdb.connect("sales.duckdb") as connection:
        connection.register("rows", rows)
        connection.execute("CREATE OR REPLACE TABLE sales AS SELECT * FROM rows")


def repro(project: Checkout, as_of: str, *more: str) -> str:
    asked = {
        "source": "duckdb:///sales.duckdb",
        "options": {"table": "sales"},
        "as_of": as_of,
        "incremental": True,
        "accept": "",
    }
    (project.root / "params.yaml").write_text(yaml.safe_dump({"collect": asked}))
    return project.run("dvc", "repro", *more, "collect").stdout


def objects(store: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in store.rglob("*") if path.is_file()}


def recorded(days: int) -> pd.DataFrame:
    """Return the sample's sales, each known up to so many days after it."""
    rows = sample()
    sold = pd.to_datetime(rows["date"])
    return rows.assign(date=sold.dt.date, recorded=(sold + pd.to_timedelta(rows["id"] % (days + 1), unit="D")).dt.date)


MONTHS = [f"{month:%Y-%m-%d}" for month in pd.date_range("2014-06-01", periods=13, freq="MS")]


def test_thirteen_monthly_collections_are_one(project: Checkout) -> None:
    sales_known(recorded(20))
    contract = parse_contract(yaml.safe_load(Path("data/contract.yaml").read_text()), "data/contract.yaml")
    where = {"source": "duckdb:///sales.duckdb", "options": {"table": "sales"}}
    last, full = None, None
    for month in MONTHS:
        last = collected(date.fromisoformat(month), last, Path("months"), contract, **where)
    full = collected(date.fromisoformat(MONTHS[-1]), None, Path("whole"), contract, **where)
    assert content(Path("months")) == content(Path("whole"))
    assert len(content(Path("whole"))) == 13
    assert last is not None
    assert last.provenance == full.provenance


def test_the_thirteenth_month_adds_little_to_the_remote(project: Checkout, tmp_path: Path) -> None:
    sales_known(recorded(20))
    project.run("dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    assert "taking in" not in repro(project, MONTHS[-2])
    project.run("dvc", "push", "--quiet")
    before = objects(tmp_path / "store")
    assert "taking in what was recorded from 2015-05-01 on" in repro(project, MONTHS[-1])
    project.run("dvc", "push", "--quiet")
    added = objects(tmp_path / "store").keys() - before.keys()
    assert len(added) <= 5  # two months, the list of months, where they are from
    assert sum(path.stat().st_size for path in added) < 0.15 * sum(map(len, content().values()))
    kept, origin = content(), PROVENANCE.read_bytes()
    shutil.rmtree(project.root / ".dvc/cache")
    assert "taking in" not in repro(project, MONTHS[-1], "--force")
    assert content() == kept
    assert PROVENANCE.read_bytes() == origin


@pytest.mark.parametrize("spoil", ["cache", "object", "code"])
def test_a_memory_that_is_gone_damaged_or_of_other_code_costs_nothing_but_time(project: Checkout, spoil: str) -> None:
    rows = sample().iloc[::50]
    sales_known(rows.assign(date=pd.to_datetime(rows["date"]).dt.date, recorded=pd.to_datetime(rows["date"]).dt.date))
    repro(project, "2015-01-01")
    if spoil == "cache":
        shutil.rmtree(project.root / ".dvc/cache")
    elif spoil == "object":
        entry = json.loads(next((project.root / ".dvc/cache").rglob("*.dir")).read_text())[0]
        damaged = project.root / ".dvc/cache/files/md5" / entry["md5"][:2] / entry["md5"][2:]
        damaged.chmod(0o644)
        damaged.write_bytes(damaged.read_bytes()[:-1])
    else:
        with (project.root / "src/hearth/cells.py").open("a") as file:
            file.write("# another version\n")
    assert "taking in" not in repro(project, "2015-02-01")
    asked, made = content(), PROVENANCE.read_bytes()
    assert "taking in" not in repro(project, "2015-02-01", "--force")
    assert (content(), PROVENANCE.read_bytes()) == (asked, made)


def test_a_tables_own_alarm_is_a_warning_where_dvc_and_git_keep_it(project: Checkout) -> None:
    rows = sample().iloc[::50]
    known = rows.assign(recorded=pd.to_datetime(rows["date"]).dt.date)
    source = project.root / "data/source/sales.parquet"
    asked = {
        "source": "data/source/sales.parquet",
        "options": {},
        "as_of": "2015-01-01",
        "incremental": True,
        "accept": "",
    }
    (project.root / "params.yaml").write_text(yaml.safe_dump({"collect": asked}))
    known.to_parquet(source, index=False)
    project.run("dvc", "repro", "collect")
    known.iloc[1:].to_parquet(source, index=False)
    done = project.run("dvc", "repro", "collect")
    assert (
        "warning: data/source/sales.parquet is not what it was at the last collection: the records before 2015-01-01 were"
        in done.stderr
    )
    assert (
        Provenance(**json.loads(PROVENANCE.read_text()) | {"watermark": date(2015, 1, 1)}).records
        == pq.read_table(RAW).num_rows
    )


def test_the_stage_writes_where_the_table_is_from(here: Path) -> None:
    stored(HISTORY)
    (here / "data/contract.yaml").write_text(yaml.safe_dump(DOCUMENT, sort_keys=False))
    asked = {"source": SOURCE, "options": {"table": "deeds"}, "as_of": "2014-06-30", "incremental": True, "accept": ""}
    Path("params.yaml").write_text(yaml.safe_dump({"collect": asked}))
    collect.main()
    found = json.loads(PROVENANCE.read_text())
    assert (found["source"], found["options"], found["watermark"]) == (SOURCE, {"table": "deeds"}, "2014-06-30")
    assert (found["records"], found["rows"], found["unreadable"]) == (8, 4, 0)
    assert found["columns"] == {"parcel": "int64", "sold": "date32[day]", "known": "date32[day]", "void": "bool", "dollars": "int64",
                                "area": "double", "town": "string"}  # fmt: skip
