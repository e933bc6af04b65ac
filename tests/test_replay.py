"""Replay a logged period: a tiny release answers, for a workspace that holds what `hearth replay` reads and nothing more."""

import datetime
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PROJECT
from samples import contract, frame, houses, release, release_files

from hearth.cleaning import kept_columns
from hearth.cli import main
from hearth.doubt import Bootstrap
from hearth.journal import LOG_DIR
from hearth.parquet import write_frame
from hearth.replaying import against_outcomes, by_slice, largest, median, shares
from hearth.request import columns_of
from hearth.storage import write_folder
from hearth.tables import arrow_schema

ROWS = 60
FIRST = datetime.datetime(2015, 3, 2, 12, tzinfo=datetime.UTC)


def test_changes_by_hand() -> None:
    change = np.array([0.0, 0.02, -0.06, 0.2])
    assert shares(change) == {"0.01": 0.75, "0.05": 0.5, "0.1": 0.25}
    assert median(change) == (0.01, 0.04)
    served = np.full(4, 100.0)
    ids, at, versions = np.array(list("abcd")), np.full(4, np.datetime64("2015-03-02")), np.array(["v"] * 4)
    found = largest(ids, at, versions, served, served * (1 + change))
    assert [(one.prediction_id, one.change) for one in found] == [("d", 0.2), ("c", -0.06), ("b", 0.02)]
    groups = by_slice({"kind": ["x", "x", "x", "y"]}, change, 2)
    assert [(one.group, one.rows, one.median) for one in groups] == [("x", 3, 0.0)]
    few = {"predicted": served, "low": served, "high": served}
    assert against_outcomes(served, few, few, 0.9, Bootstrap(draws=20, level=0.9, seed=1), 5) is None


@pytest.fixture
def logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change into a workspace with the tiny release, and return a log that it served, half of it 10 % dearer."""
    for name in ("params.yaml", "dvc.yaml", "data/contract.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy2(PROJECT / name, tmp_path / name)
    shutil.copytree(PROJECT / "src/hearth", tmp_path / "src/hearth", ignore=shutil.ignore_patterns("__pycache__"))
    write_folder(tmp_path / "models/model", release_files())
    (tmp_path / "data/prepared").mkdir()
    write_frame(tmp_path / "data/prepared/train.parquet", frame(400), arrow_schema(kept_columns(contract())))
    log = tmp_path / "data/log"
    log.mkdir()
    write(log)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(LOG_DIR, raising=False)
    return log


def write(log: Path) -> None:
    """Log a prediction an hour, with an outcome for each, what was predicted times 1.02."""
    made = release()
    asked: list[dict[str, Any]] = [house | {"date": None} for house in houses(ROWS)]
    answer = made.predict(columns_of(asked, contract(), made.facts.as_of))
    for number, house in enumerate(asked):
        at = FIRST + datetime.timedelta(hours=number)
        factor = 1.1 if number % 2 else 1.0
        day, name = at.date().isoformat(), f"{number:032x}"
        entry = {"at": at.isoformat(timespec="milliseconds"), "prediction_id": name, "model_version": "old" if number % 2 else "new",
                 "route": "/predict", "house": house, "price": round(float(answer.price[number]) * factor),
                 "low": float(answer.low[number]) * factor, "high": float(answer.high[number]) * factor, "warnings": []}  # fmt: skip
        with (log / f"predictions-{day}-000.jsonl").open("a") as file:
            file.write(json.dumps(entry, separators=(",", ":")) + "\n")
        paid = {"at": entry["at"], "prediction_id": name, "price": round(float(answer.price[number]) * 1.02)}
        with (log / f"outcomes-{day}.jsonl").open("a") as file:
            file.write(json.dumps(paid) + "\n")
    with (log / "predictions-2015-03-02-000.jsonl").open("a") as file:
        file.write(
            '{"at":"2015-03-02T23:00:00.000+00:00","refused":422,"route":"/predict","fields":["grade"]}\n{"at":"2015-03-02T23:'
        )


PERIOD = ("--from", "2015-03-01", "--to", "2015-03-31")


def asked(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert main(["replay", *words]) == status
    told = capsys.readouterr()
    return told.err if status else told.out


def test_a_replay_tells_how_answers_differ(logged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(asked(capsys, *PERIOD, "--json"))
    assert found["predictions"] == ROWS
    assert found["served"] == {"new": ROWS // 2, "old": ROWS // 2}
    assert found["left_out"] == {"refused": 1, "from_page": 0, "unfit": 0, "torn": 1}
    assert found["over"] == {"0.01": 0.5, "0.05": 0.5, "0.1": 0.0}
    assert found["largest"][0]["change"] == pytest.approx(1 / 1.1 - 1, abs=1e-4)
    assert {one["rows"] >= 20 for one in found["slices"]} == {True}
    assert (found["outcomes"], found["seen"]) == (ROWS, 0)
    bias = found["differences"]["bias"]
    assert bias["candidate"] == pytest.approx(1 / 1.02 - 1, abs=1e-3)
    assert bias["base"] == pytest.approx((1.1 / 1.02 + 1 / 1.02) / 2 - 1, abs=1e-3)
    text = asked(capsys, *PERIOD)
    assert "60 predictions from 2015-03-01 to 2015-03-31, served by new (30), old (30)" in text
    assert "changed: 50.0% by more than 1%" in text
    assert "left out: 1 refused, 1 torn" in text
    assert "On 60 outcomes that the candidate has not seen" in text


def test_a_part_of_the_period_and_another_folder(
    logged: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere"
    logged.rename(moved)
    words = ("--from", "2015-03-02", "--to", "2015-03-02")
    found = json.loads(asked(capsys, *words, "--log", str(moved), "--json"))
    assert found["predictions"] == 12
    assert found["differences"] is None
    assert "12 outcomes that the candidate has not seen are too few to tell which is better" in found["notes"][0]
    assert "it has no predictions at all" in asked(capsys, *words, status=2)


def test_outcomes_that_the_candidate_may_have_seen_prove_nothing(
    logged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(Path("models/model"), release_files(as_of=datetime.date(2015, 3, 4)))
    found = json.loads(asked(capsys, *PERIOD, "--json"))
    assert (found["seen"], found["outcomes"]) == (36, 60)
    assert "36 outcomes are of predictions before 2015-03-04" in found["notes"][0]


def test_a_period_without_predictions_and_one_that_is_none(logged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = asked(capsys, "--from", "2016-01-01", "--to", "2016-02-01", status=2)
    assert "holds no prediction from 2016-01-01 to 2016-02-01; it has 2015-03-02 to 2015-03-04" in said
    said = asked(capsys, "--from", "2015-03-03", "--to", "2015-03-02", status=2)
    assert "--to 2015-03-02 is before --from 2015-03-03" in said
    said = asked(capsys, "no-such-branch", *PERIOD, status=2)
    assert "no-such-branch is no revision" in said or "failed" in said
