"""Test that what a journal took stays, and that what a crash tore is neither lost with it nor taken for an entry."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hearth.errors import Refusal
from hearth.journal import Entries, Journal


def only_file(folder: Path) -> Path:
    (found,) = folder.glob("*.jsonl")
    return found


def test_entries_come_back_in_order_with_their_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "log", "outcomes")
    for number in range(3):
        journal.append({"number": number, "text": "ü\n"})
    found = list(Entries(tmp_path / "log", "outcomes"))
    assert [(entry["number"], entry["text"]) for entry in found] == [(0, "ü\n"), (1, "ü\n"), (2, "ü\n")]
    assert all(entry["at"].endswith("+00:00") for entry in found)
    assert only_file(tmp_path / "log").name.startswith("outcomes-20")


def test_only_the_owner_may_read_them(tmp_path: Path) -> None:
    Journal(tmp_path, "outcomes").append({})
    assert only_file(tmp_path).stat().st_mode & 0o077 == 0


def test_a_torn_line_is_skipped_and_counted_and_spoils_no_later_entry(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "outcomes")
    journal.append({"number": 1})
    with only_file(tmp_path).open("ab") as file:
        file.write(b'{"at": "2015-03-01", "numb')
    entries = Entries(tmp_path, "outcomes")
    assert ([entry["number"] for entry in entries], entries.torn) == ([1], 1)
    journal.append({"number": 2})
    entries = Entries(tmp_path, "outcomes")
    assert ([entry["number"] for entry in entries], entries.torn) == ([1, 2], 1)


@pytest.mark.parametrize("line", [b"[1]", b'{"a": NaN}', b'{"a": 1, "a": 2}', b"\xff"])
def test_a_line_that_is_no_entry_is_counted(tmp_path: Path, line: bytes) -> None:
    Journal(tmp_path, "outcomes").append({"number": 1})
    with only_file(tmp_path).open("ab") as file:
        file.write(line + b"\n")
    entries = Entries(tmp_path, "outcomes")
    assert (len(list(entries)), entries.torn) == (1, 1)


def test_an_empty_line_is_no_torn_one(tmp_path: Path) -> None:
    """A writer that meets another one's entry half-way, where it crosses a page, takes it for a torn one and ends it."""
    journal = Journal(tmp_path, "outcomes")
    journal.append({"number": 1})
    with only_file(tmp_path).open("ab") as file:
        file.write(b"\n")
    journal.append({"number": 2})
    entries = Entries(tmp_path, "outcomes")
    assert ([entry["number"] for entry in entries], entries.torn) == ([1, 2], 0)


def test_a_number_that_is_none_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        Journal(tmp_path, "outcomes").append({"price": float("nan")})
    assert not list(tmp_path.glob("*.jsonl"))


def test_two_journals_in_a_folder_are_two(tmp_path: Path) -> None:
    Journal(tmp_path, "outcomes").append({"of": 1})
    Journal(tmp_path, "predictions").append({"of": 2})
    assert [entry["of"] for entry in Entries(tmp_path, "outcomes")] == [1]


def test_a_folder_that_cannot_be_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refusal, match=r"cannot be written to .*, wanted a folder for outcomes; give another"):
        Journal(tmp_path / "file", "outcomes")


def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    """The child says each number after it was taken; killed in the middle, all that it said stand in the file."""
    script = (
        "import sys; from pathlib import Path; from hearth.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]), 'outcomes')\n"
        "for number in range(10**6):\n    journal.append({'number': number}); print(number, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    time.sleep(1.0)
    os.kill(child.pid, signal.SIGKILL)
    said = child.communicate()[0].split(b"\n")[:-1]
    assert said
    found = [entry["number"] for entry in Entries(tmp_path, "outcomes")]
    assert found[: len(said)] == [int(line) for line in said]
    assert len(found) - len(said) <= 1


def test_two_processes_do_not_mix_their_lines(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from hearth.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]), 'outcomes')\n"
        "for number in range(200):\n    journal.append({'of': sys.argv[2], 'number': number, 'long': 'x' * 500})\n"
    )
    children = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path), name]) for name in "ab"]
    assert [child.wait() for child in children] == [0, 0]
    entries = Entries(tmp_path, "outcomes")
    found = [(entry["of"], entry["number"]) for entry in entries]
    assert entries.torn == 0
    assert sorted(found) == sorted((name, number) for name in "ab" for number in range(200))
    assert json.loads(only_file(tmp_path).read_text().splitlines()[0])["number"] == 0


def test_a_line_that_was_forgotten_is_no_entry_and_no_torn_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "outcomes")
    for number in range(3):
        journal.append({"number": number})
    lines = only_file(tmp_path).read_bytes().splitlines(keepends=True)
    only_file(tmp_path).write_bytes(lines[0] + b" " * (len(lines[1]) - 1) + b"\n" + lines[2])
    entries = Entries(tmp_path, "outcomes")
    assert ([entry["number"] for entry in entries], entries.torn) == ([0, 2], 0)


def test_the_parts_of_a_day_are_read_in_their_order(tmp_path: Path) -> None:
    for name in ("2015-03-02-000", "2015-03-01-001", "2015-03-01-000"):
        (tmp_path / f"predictions-{name}.jsonl").write_text(f'{{"of": "{name}"}}\n')
    found = [entry["of"] for entry in Entries(tmp_path, "predictions")]
    assert found == ["2015-03-01-000", "2015-03-01-001", "2015-03-02-000"]
