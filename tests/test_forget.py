"""Test that a prediction is forgotten, in all files, without a trace or a harm to others, while the service writes."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from samples import SERVICE, houses

from hearth.cli import main
from hearth.journal import LOG_DIR, Entries, Journal
from hearth.prediction_log import PredictionLog

WANTED = "ab" * 16
HOUSE = houses(1)[0]


def put(log: PredictionLog, prediction_id: str) -> None:
    answer = {"prediction_id": prediction_id, "price": 1.0, "low": 1.0, "high": 2.0, "model_version": "v", "warnings": []}  # fmt: skip
    log.priced("/predict", None, [HOUSE], [answer], None)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a log with two predictions and three outcomes, of which one and two belong to the wanted id."""
    log = PredictionLog(tmp_path / "log", SERVICE.log)
    outcomes = Journal(tmp_path / "log", "outcomes")
    for number, one in enumerate(("0" * 32, WANTED)):
        put(log, one)
        outcomes.append({"prediction_id": one, "price": number})
    outcomes.append({"prediction_id": WANTED, "price": 2})
    log.close()
    monkeypatch.delenv(LOG_DIR, raising=False)
    return tmp_path / "log"


def ids(folder: Path, name: str) -> list[Any]:
    entries = Entries(folder, name)
    found = [entry["prediction_id"] for entry in entries]
    assert entries.torn == 0
    return found


def forget(*words: str | Path) -> int:
    return main(["forget", *map(str, words)])


def test_a_prediction_and_its_outcomes_are_forgotten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in folder.glob("*.jsonl")}
    assert forget(WANTED, "--log", folder) == 0
    outcomes, predictions = sorted(before)
    assert capsys.readouterr().out == f"{outcomes}: 2 entries forgotten\n{predictions}: 1 entry forgotten\n"
    assert ids(folder, "predictions") == ids(folder, "outcomes") == ["0" * 32]
    for name, content in before.items():
        now = (folder / name).read_bytes()
        assert WANTED.encode() not in now
        kept = [line if WANTED.encode() not in line else b" " * len(line) for line in content.split(b"\n")]
        assert now == b"\n".join(kept)  # the same length, and every other line as it was


def test_what_is_not_there_is_a_no(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in folder.glob("*.jsonl")}
    assert forget("c" * 32, "--log", folder) == 1
    assert f"holds nothing about {'c' * 32}" in capsys.readouterr().err
    assert forget(WANTED, "--log", folder) == 0
    assert forget(WANTED, "--log", folder) == 1  # it is gone
    assert {path.name: len(path.read_bytes()) for path in folder.glob("*.jsonl")} == {
        n: len(c) for n, c in before.items()
    }


@pytest.mark.parametrize("wrong", ["", "1", "g" * 32, "A" * 32, "a" * 33, "a" * 31 + "\n", ".*", "٣" * 32])
def test_what_is_no_id_is_wrong_use(folder: Path, wrong: str) -> None:
    before = {path.name: path.read_bytes() for path in folder.glob("*.jsonl")}
    assert forget("--log", folder, "--", wrong) == 2
    assert {path.name: path.read_bytes() for path in folder.glob("*.jsonl")} == before


def test_a_folder_that_is_none_is_wrong_use(tmp_path: Path) -> None:
    assert forget(WANTED, "--log", tmp_path / "none") == 2


def test_the_environment_names_the_log(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LOG_DIR, str(folder))
    assert forget(WANTED) == 0
    assert ids(folder, "predictions") == ["0" * 32]


def test_an_id_that_another_entry_only_mentions_costs_it_nothing(folder: Path) -> None:
    Journal(folder, "outcomes").append({"prediction_id": "0" * 32, "price": 3, "note": WANTED})
    assert forget(WANTED, "--log", folder) == 0
    assert ids(folder, "outcomes") == ["0" * 32] * 2


def test_half_an_entry_is_forgotten_too(folder: Path) -> None:
    """What a kill tore holds the house as well."""
    (file,) = folder.glob("predictions-*")
    line = file.read_bytes().splitlines()[1]
    with file.open("ab") as end:
        end.write(line[:400] + b"\n" + line[:300])
    assert forget(WANTED, "--log", folder) == 0
    assert WANTED.encode() not in file.read_bytes()
    assert ids(folder, "predictions") == ["0" * 32]


def test_other_files_are_left_alone(folder: Path) -> None:
    (folder / "notes.jsonl").write_text(f'{{"prediction_id": "{WANTED}"}}\n')
    assert forget(WANTED, "--log", folder) == 0
    assert WANTED in (folder / "notes.jsonl").read_text()


def test_a_file_of_somebody_else_is_not_half_forgotten_in_silence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def barred(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", barred)
    assert forget(WANTED, "--log", folder) == 2
    assert "cannot be changed (Permission denied); run this as the user who serves." in capsys.readouterr().err


def test_it_forgets_while_the_service_writes(tmp_path: Path) -> None:
    """Other processes forget every tenth id as fast as they can, while entries go on arriving, in parts that rotate."""
    log = PredictionLog(tmp_path, SERVICE.log.model_copy(update={"file_bytes_max": 20_000}))
    names = [f"{number:032x}" for number in range(1, 1001)]
    told: list[str] = []
    done = threading.Event()

    def write() -> None:
        for name in names:
            put(log, name)
            told.append(name)
            time.sleep(0.002)
        done.set()

    script = (
        "import sys; from pathlib import Path; from hearth.operations.forget import forget\n"
        "for line in sys.stdin:\n    print(sum(forget(Path(sys.argv[1]), line.strip()).values()), flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert child.stdin
    assert child.stdout
    writer = threading.Thread(target=write)
    writer.start()
    gone = set()
    while not done.is_set():
        time.sleep(0.15)
        name = told[-1 - len(told) // 2]
        if name in gone:
            continue
        child.stdin.write(f"{name}\n")
        child.stdin.flush()
        assert child.stdout.readline() == "1\n", name
        gone.add(name)
    child.communicate()
    writer.join()
    log.close()
    assert len(gone) > 3
    assert ids(tmp_path, "predictions") == [name for name in names if name not in gone]
    text = "".join(path.read_text() for path in sorted(tmp_path.glob("*.jsonl")))
    assert not any(name in text for name in gone)
    assert len(list(tmp_path.glob("*.jsonl"))) > 5
    assert all(json.loads(line) for line in text.splitlines() if line.strip())
