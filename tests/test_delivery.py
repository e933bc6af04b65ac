"""Test that a table of outcomes is taken whole or not at all, from files and from a real server, and never twice."""

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from samples import contract

from hearth.cli import main
from hearth.clock import CLOCK
from hearth.delivery import take
from hearth.errors import Refusal, WrongUseError
from hearth.journal import Entries

ROWS = [(f"{number:032x}", 300_000 + number) for number in range(40)]


def table(rows: list[tuple[str, int]] = ROWS) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["prediction_id", "price"])


def written(folder: Path, ending: str) -> Path:
    """Return a file with the rows, in the format of its ending."""
    file = folder / f"outcomes.{ending}"
    if ending == "parquet":
        table().to_parquet(file)
    elif ending == "jsonl":
        file.write_text("".join(json.dumps({"prediction_id": name, "price": price}) + "\n" for name, price in ROWS))
    else:
        table().to_csv(file, index=False)
    return file


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def kept(log: Path) -> list[tuple[str, int]]:
    return [(entry["prediction_id"], entry["price"]) for entry in Entries(log, "outcomes")]


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet", "jsonl"])
def test_a_table_of_every_format_is_taken_once(log: Path, tmp_path: Path, ending: str) -> None:
    file = written(tmp_path, ending)
    assert take(str(file), log, contract()) == {"rows": 40, "taken": 40, "repeated": 0, "refused": 0, "forgotten": 0}
    assert kept(log) == ROWS
    assert take(str(file), log, contract()) == {"rows": 40, "taken": 0, "repeated": 40, "refused": 0, "forgotten": 0}
    assert kept(log) == ROWS


@pytest.mark.parametrize(
    ("at", "kept"),
    [
        ("2015-04-01T10:00:00+02:00", "2015-04-01T08:00:00.000+00:00"),
        ("2015-01-01", "2015-04-02T00:00:00.000+00:00"),  # no window reaches back so far: it counts from now on
    ],
)
def test_the_time_at_which_an_outcome_was_heard_of_is_kept(
    log: Path, tmp_path: Path, at: str, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clock").write_text("2015-04-02T00:00:00+00:00")
    monkeypatch.setenv(CLOCK, str(tmp_path / "clock"))
    file = tmp_path / "outcomes.csv"
    table().assign(at=at).to_csv(file, index=False)
    take(str(file), log, contract())
    assert {entry["at"] for entry in Entries(log, "outcomes")} == {kept}


def test_an_outcome_of_the_future_is_none(log: Path, tmp_path: Path) -> None:
    file = tmp_path / "outcomes.csv"
    table().assign(at=["2105-01-01"] + [""] * 39).to_csv(file, index=False)
    assert take(str(file), log, contract()) == {"rows": 40, "taken": 39, "repeated": 0, "refused": 1, "forgotten": 0}


def test_a_correction_back_is_taken_too(log: Path, tmp_path: Path) -> None:
    file = tmp_path / "outcomes.csv"
    for price in (500_000, 510_000, 500_000):
        table([(ROWS[0][0], price)]).to_csv(file, index=False)
        assert take(str(file), log, contract())["taken"] == 1
    assert kept(log)[-1] == (ROWS[0][0], 500_000)


def test_a_price_beyond_all_numbers_is_no_outcome(log: Path, tmp_path: Path) -> None:
    file = tmp_path / "outcomes.parquet"
    table().assign(price=[float("inf"), float("nan")] + [300_000.0] * 38).to_parquet(file)
    assert take(str(file), log, contract()) == {"rows": 40, "taken": 38, "repeated": 0, "refused": 2, "forgotten": 0}


def test_a_correction_is_taken(log: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    table().to_csv(first, index=False)
    table([(ROWS[0][0], 310_000), *ROWS[1:]]).to_csv(second, index=False)
    take(str(first), log, contract())
    assert take(str(second), log, contract())["taken"] == 1
    assert kept(log)[-1] == (ROWS[0][0], 310_000)


def test_a_few_bad_rows_are_refused_and_the_others_taken(log: Path, tmp_path: Path) -> None:
    file = tmp_path / "outcomes.csv"
    rows = [*ROWS, ("no id", 300_000), ("f" * 32, 3)]
    table(rows).to_csv(file, index=False)
    assert take(str(file), log, contract()) == {"rows": 42, "taken": 40, "repeated": 0, "refused": 2, "forgotten": 0}


def refused(source: object, log: Path) -> str:
    with pytest.raises(Refusal) as caught:
        take(str(source), log, contract())
    assert not log.exists() or kept(log) == []
    return str(caught.value)


def test_a_table_in_another_unit_is_refused_as_a_whole(log: Path, tmp_path: Path) -> None:
    file = tmp_path / "outcomes.csv"
    table().assign(price=lambda rows: rows["price"] / 1000).to_csv(file, index=False)
    said = refused(file, log)
    assert "40 of 40 rows are no outcomes, so none was taken" in said
    assert "is another unit in it?" in said
    assert "'300.0'" in said


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet", "jsonl"])
def test_a_table_that_was_cut_off_is_refused_as_a_whole(log: Path, tmp_path: Path, ending: str) -> None:
    file = written(tmp_path, ending)
    file.write_bytes(file.read_bytes()[:-3])
    assert "outcomes" in refused(file, log)


def test_a_price_that_lost_its_last_digit_is_noticed(log: Path, tmp_path: Path) -> None:
    file = tmp_path / "outcomes.csv"
    table([(name, 1_000_000) for name, _ in ROWS]).to_csv(file, index=False)
    file.write_bytes(file.read_bytes()[:-2])  # the last price is a hundred thousand now
    assert "ends in the middle of a line, so none of it was taken" in refused(file, log)


def test_a_table_without_its_columns_or_rows_is_refused(log: Path, tmp_path: Path) -> None:
    file = tmp_path / "outcomes.csv"
    table().rename(columns={"price": "paid"}).to_csv(file, index=False)
    assert "lacks the column price; it has prediction_id, paid" in refused(file, log)
    table([]).to_csv(file, index=False)
    assert "has no rows" in refused(file, log)


def test_what_was_forgotten_is_not_taken_in_again(log: Path, tmp_path: Path) -> None:
    file = tmp_path / "outcomes.csv"
    table().to_csv(file, index=False)
    take(str(file), log, contract())
    assert main(["forget", ROWS[3][0], "--log", str(log)]) == 0
    assert take(str(file), log, contract()) == {"rows": 40, "taken": 0, "repeated": 39, "refused": 0, "forgotten": 1}
    assert ROWS[3][0] not in "".join(path.read_text() for path in log.iterdir())
    assert kept(log) == [row for row in ROWS if row != ROWS[3]]


def test_what_is_no_table_is_wrong_use(log: Path, tmp_path: Path) -> None:
    for source in (tmp_path / "nothing.csv", "outcomes.txt", "https://127.0.0.1/outcomes"):
        with pytest.raises(WrongUseError):
            take(str(source), log, contract())


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "site").mkdir()
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path / "site"))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://user:secret@127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_table_is_fetched_from_a_server(log: Path, tmp_path: Path, site: str) -> None:
    table().to_csv(tmp_path / "site/outcomes.csv", index=False)
    assert take(f"{site}/outcomes.csv", log, contract())["taken"] == 40


def test_an_address_that_has_nothing_is_refused_without_its_secrets(log: Path, site: str) -> None:
    said = refused(f"{site}/nothing.csv?token=secret", log)
    assert "nothing.csv cannot be fetched" in said
    assert "secret" not in said.split("(")[0]
