"""Test that the one clock tells the real time, or the one that stands in for it, and nothing else."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from hearth.clock import CLOCK, now
from hearth.errors import Refusal


def test_the_clock_is_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CLOCK, raising=False)
    before = datetime.now(UTC)
    assert before <= now() <= datetime.now(UTC)


def test_a_file_stands_in_for_the_clock_and_is_read_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "clock"
    monkeypatch.setenv(CLOCK, str(file))
    for said, wanted in (("2015-03-01T08:00:00+00:00\n", 8), ("2015-03-01T08:00:00-07:00", 15)):
        file.write_text(said)
        assert now() == datetime(2015, 3, 1, wanted, tzinfo=UTC)
        assert now().tzinfo is UTC


@pytest.mark.parametrize("said", ["", "yesterday", "2015-03-01T08:00:00"])
def test_a_stand_in_that_is_no_time_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str) -> None:
    (tmp_path / "clock").write_text(said)
    monkeypatch.setenv(CLOCK, str(tmp_path / "clock"))
    with pytest.raises(Refusal, match="clock"):
        now()
