"""Read the prediction log of a folder; the lines are logged.py's."""

from collections.abc import Callable, Collection
from datetime import date, datetime, timedelta
from pathlib import Path

from hearth.contract import Contract
from hearth.log_lines import PREDICTIONS
from hearth.logged import Builder, Reading

Step = Callable[[str, int], None]


def read(
    folder: Path, since: datetime, until: datetime, contract: Contract, as_of: date,
    also: Collection[str] = (), step: Step | None = None,
) -> Reading:  # fmt: skip
    """Return what was logged from `since` on and before `until` (both UTC), and the predictions with the ids in `also`, whenever.

    A house without a date is of `as_of`. `step` is told the bytes of each file that is read.
    """
    builder = Builder(contract, as_of, also, since, until)
    for file in files(folder):
        day = day_of(file)
        # A day before and after, for a clock that was set back may have written a file of another day.
        if also or str(since.date() - timedelta(days=1)) <= day <= str(until.date() + timedelta(days=1)):
            with file.open("rb") as lines:
                builder.take(lines, day)
        if step:
            step(file.name, file.stat().st_size)
    return builder.made()


def files(folder: Path) -> list[Path]:
    """Return the files of the log, the oldest first."""
    return sorted(folder.glob(f"{PREDICTIONS}-????-??-??-???*.jsonl"))


def day_of(file: Path) -> str:
    """Return the day of a file of the log."""
    return file.name.removeprefix(f"{PREDICTIONS}-")[:10]


def size(folder: Path) -> int:
    """Return the bytes of the log."""
    return sum(file.stat().st_size for file in files(folder))
