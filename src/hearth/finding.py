"""Hold what a check says of a window."""

from collections.abc import Callable
from dataclasses import dataclass

from hearth.windows import View


@dataclass(frozen=True)
class Finding:
    """Hold what a check says of a window; `bad` is None where there is too little to tell."""

    bad: bool | None
    said: str
    value: float | None = None
    limit: float | None = None


Check = Callable[[View], Finding]


def too_few(rows: int, what: str) -> Finding:
    """Say that so many rows are too few."""
    return Finding(None, f"{rows:,} {what} are too few to tell")
