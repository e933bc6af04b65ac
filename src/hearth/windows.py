"""Cut what was served, and what became of it, into windows of days: what the monitor's checks look at."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hearth.logged import Logged, Reading
from hearth.outcomes import Joined, Times
from hearth.profile import Profile
from hearth.release import Release
from hearth.scoring import Floats
from hearth.strict import Strict

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


def windows(
    reading: Reading, outcomes: Joined, refused_at: Times, until: np.datetime64, days: int, of: int, ahead: bool = False
) -> list[Window]:
    """Return the last `of` windows of so many days before `until`, the oldest first; `ahead`: the log holds times yet to come."""
    length, at = np.timedelta64(days, "D"), reading.predictions.at
    found = []
    for back in range(of, 0, -1):
        start, end = until - back * length, until - (back - 1) * length

        def inside(times: Times, start: np.datetime64 = start, end: np.datetime64 = end) -> NDArray[np.bool_]:
            return (times >= start) & (times < end)

        heard = outcomes.part(inside(outcomes.arrived))
        found.append(
            Window(
                start, end, reading.predictions.part(inside(at)), int(inside(reading.refused_at).sum()),
                reading.predictions.part(heard.places), heard.paid, int(inside(outcomes.unknown_at).sum()),
                int(inside(refused_at).sum()), int(inside(reading.torn_at).sum()), int(inside(reading.backwards_at).sum()),
                ahead and back == 1,
            )
        )  # fmt: skip
    return found
