"""Cut what was served, and what became of it, into windows of days: what the monitor's checks look at.

Windows lie on a grid that begins on a Sunday, so that a run on any day sees the same ones, and no alarm comes and goes with the
hour. What has begun since the last of them is the present: facts are looked for in it too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hearth.logged import Logged, Reading, together
from hearth.outcomes import Joined, Times
from hearth.profile import Profile
from hearth.release import Release
from hearth.rules import Columns
from hearth.scoring import Floats
from hearth.strict import Strict

GRID: "np.datetime64[datetime]" = np.datetime64("1970-01-04", "ms")
AHEAD = np.timedelta64(60, "s")  # by so much two machines' clocks may differ


class MonitorParams(Strict):
    """Hold the section `monitor` of params.yaml."""

    of: int = Field(ge=1)
    needed: int = Field(ge=1)
    rows_min: int = Field(ge=10)
    level: float = Field(gt=0.5, lt=1)
    false_drifts: float = Field(gt=0, lt=0.5)
    draws: int = Field(ge=1000)
    seed: int = Field(ge=0, lt=2**32)
    bias_max: float = Field(gt=0)
    error_ratio_max: float = Field(ge=1)
    coverage_off_max: float = Field(gt=0, lt=0.5)
    refused_share_max: float = Field(ge=0, lt=1)
    outside_share_max: float = Field(ge=0, lt=1)
    rank_correlation_min: float = Field(gt=0, lt=1)
    unknown_share_max: float = Field(ge=0, lt=1)
    torn_share_max: float = Field(ge=0, lt=1)
    late_days: int = Field(ge=1)
    skew_rows: int = Field(ge=1)
    every_seconds: float = Field(gt=0, le=31_536_000)

    @model_validator(mode="after")
    def _reachable(self) -> "MonitorParams":
        if self.needed > self.of:
            raise ValueError(f"needed no larger than of, {self.of}")
        return self


@dataclass(frozen=True)
class Promise:
    """Hold what the evaluation promised of the model that is served, and how old it may become."""

    release: Release
    profile: Profile
    error: float  # mdape of the test rows
    error_per_width: float  # the same over the median half width of their intervals, in log price
    age_max_days: int
    # What the model's inputs are, by the code of its own commit; None: by this code.
    inputs: Callable[[Columns], NDArray[np.float32]] | None = None
    since: np.datetime64 | None = None  # it is live; None where nobody knows


@dataclass(frozen=True)
class Window:
    """Hold what happened from `start` on and before `end`: predictions, refusals, outcomes that were heard of, faults."""

    start: np.datetime64
    end: np.datetime64
    served: Logged
    refused: int
    outcomes: Logged  # the predictions that outcomes were heard of, whenever they were made
    paid: Floats
    unknown: int
    unfit: int  # outcomes that the contract refuses
    torn: int
    backwards: int
    ahead: bool  # the log holds times that have not come yet
    before: tuple[int, int] = (0, 0)  # most predictions and outcomes of any window before


@dataclass(frozen=True)
class View:
    """Hold a window, what was promised, and what is allowed: all that a check asks."""

    window: Window
    promise: Promise
    params: MonitorParams

    @cached_property
    def own(self) -> NDArray[np.bool_]:
        """Return which outcomes are of predictions of the model that is served: a new one must not answer for the old one."""
        return np.asarray(self.window.outcomes.versions == self.promise.release.manifest.model_version)

    @cached_property
    def outcomes(self) -> Logged:
        """Return the served model's predictions that outcomes were heard of."""
        return self.window.outcomes if self.own.all() else self.window.outcomes.part(self.own)

    @cached_property
    def paid(self) -> Floats:
        """Return what was paid for the houses of `outcomes`."""
        return self.window.paid[self.own]


def pooled(views: Sequence[View]) -> tuple[Logged, Floats]:
    """Return the served model's predictions that outcomes were heard of in any of some windows, and what was paid (n_rows,)."""
    return together([view.outcomes for view in views]), np.concatenate([view.paid for view in views])


def grid_end(until: np.datetime64, days: int) -> "np.datetime64[datetime]":
    """Return the end of the last window that is over at a moment."""
    whole = int((until.astype("datetime64[ms]") - GRID) // np.timedelta64(days * 86_400_000, "ms"))
    return GRID + whole * np.timedelta64(days, "D")


def windows(
    reading: Reading, outcomes: Joined, refused_at: Times, until: np.datetime64, days: int, of: int, ahead: bool = False
) -> tuple[list[Window], Window | None]:
    """Return the last `of` windows of so many days that are over at `until`, the oldest first, and the present, if it has begun.

    `ahead`: the log holds times yet to come.
    """
    last, length, at = grid_end(until, days), np.timedelta64(days, "D"), reading.predictions.at
    ends = [last - back * length for back in range(of - 1, -1, -1)] + ([until] if until > last else [])
    found: list[Window] = []
    for end in ends:
        start = last if end > last else end - length

        def inside(times: Times, start: np.datetime64 = start, end: np.datetime64 = end) -> NDArray[np.bool_]:
            return (times >= start) & (times < end)

        heard = outcomes.part(inside(outcomes.arrived))
        before = (max((len(one.served) for one in found), default=0), max((len(one.paid) for one in found), default=0))
        found.append(
            Window(
                start, end, reading.predictions.part(inside(at)), int(inside(reading.refused_at).sum()),
                reading.predictions.part(heard.places), heard.paid, int(inside(outcomes.unknown_at).sum()),
                int(inside(refused_at).sum()), int(inside(reading.torn_at).sum()), int(inside(reading.backwards_at).sum()),
                ahead and end == ends[-1], before,
            )
        )  # fmt: skip
    return found[:of], found[of] if len(found) > of else None
