"""Say how a model ages: fits of the same recipe at several days, each scored on the later sales by its age then.

What is compared is an old fit and a fresh one on the very same sales, in pairs: what a month does to all fits falls out of
the difference. An old fit also knows fewer sales, which is part of what it means not to retrain.
"""

import datetime
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hearth.comparison import Difference, MetricName, Scored, differences
from hearth.doubt import Bootstrap, draws, interval, median_interval, share_interval
from hearth.evidence import Interval
from hearth.scoring import Floats
from hearth.strict import Day, Listed, Strict

DECIMALS = 6
DECIDING: tuple[MetricName, ...] = ("mdape", "bias")
NAMES = {"mdape": "the median error", "bias": "the bias"}


class RetrainParams(Strict):
    """Hold the section `retrain` of params.yaml."""

    cadence_days: int = Field(ge=1)
    cuts: int = Field(ge=2)
    bin_days: int = Field(ge=7)


class Figure(Strict):
    """Hold a figure of the old fits and its bootstrap interval."""

    value: float
    interval: Interval


class Age(Strict):
    """Hold how fits of one age did: their own figures, and how they differ from fresh ones on the same sales.

    In `beside_fresh` the base is the fresh fit. Ages are days since the cut, from the first up to, not including, the last.
    """

    from_day: int = Field(ge=0)
    to_day: int
    rows: int
    fits: int
    error: Figure
    bias: Figure
    coverage: Figure
    beside_fresh: dict[MetricName, Difference]


class Cut(Strict):
    """Hold the day before which a fit's sales lie, and how many they are."""

    day: Day
    rows: int


class Source(Strict):
    """Hold all that the curve depends on."""

    as_of: Day
    data_md5: dict[str, str]
    contract_sha256: str
    code_sha256: str
    libraries: dict[str, str]
    params: dict[str, Any]
    bin_days: int
    cuts: Annotated[tuple[Cut, ...], Listed]
    bootstrap: Bootstrap
    margins: dict[MetricName, float]
    horizon_days: int


class Curve(Source):
    """Hold the content of metrics/staleness.json."""

    ages: Annotated[tuple[Age, ...], Listed]
    cadence_days: int
    why: str


def cut_days(days: NDArray[np.datetime64], params: RetrainParams) -> list[np.datetime64]:
    """Return the days of the cuts, the oldest first: one bin apart, the last one a bin before the end of the sales.

    Raise ValueError if no sale lies before the oldest, or between two of them.
    """
    end = days.max().astype("datetime64[D]") + np.timedelta64(1, "D")
    found = [end - np.timedelta64(back * params.bin_days, "D") for back in range(params.cuts, 0, -1)]
    for low, high in zip([days.min() - 1, *found], [*found, end], strict=True):
        if not ((days >= low) & (days < high)).any():
            raise ValueError(f"retrain.cuts, retrain.bin_days: {params.cuts} cuts of {params.bin_days} days do not fit: no sale from "
                             f"{low} to {high}; take fewer")  # fmt: skip
    return found


def ages(
    days: NDArray[np.datetime64], actual: Floats, cuts: Sequence[np.datetime64], scored: Sequence[Scored], level: float,
    bin_days: int, params: Bootstrap,
) -> tuple[Age, ...]:  # fmt: skip
    """Return the figures by age; `scored` has each fit's answers on all rows (n_rows,), of which those before its cut are not read.

    The cuts lie one bin apart, so that each sale has one fit of each age, and the fresh one is the newest cut before it.
    """
    place = (
        np.searchsorted(np.array(cuts), days.astype("datetime64[D]"), side="right") - 1
    )  # the fresh fit of each sale
    found = []
    for age in range(len(cuts)):
        rows = np.flatnonzero(place >= age)
        old, fresh = (_of_fits(scored, place[rows] - back, rows) for back in (age, 0))
        sold = actual[rows]
        ratio = old["predicted"] / sold
        held = int(np.sum((old["low"] <= sold) & (sold <= old["high"])))
        found.append(Age(
            from_day=age * bin_days,
            to_day=(age + 1) * bin_days,
            rows=len(rows),
            fits=len(cuts) - age,
            error=Figure(value=_rounded(np.median(np.abs(ratio - 1))), interval=median_interval(np.abs(ratio - 1), params)),
            bias=Figure(value=_rounded(ratio.mean() - 1), interval=_mean_interval(ratio - 1, params)),
            coverage=Figure(value=_rounded(held / len(rows)), interval=share_interval(held, len(rows), params.level)),
            beside_fresh=differences(sold, fresh, old, level, params),
        ))  # fmt: skip
    return tuple(found)


def cadence(found: Sequence[Age], margins: Mapping[MetricName, float], horizon_days: int) -> tuple[int, str]:
    """Return after how many days at the latest to retrain, and why.

    It is the age from which the median error or the size of the bias is provably worse than that of a fresh fit, by more than a
    release may be worse than the champion; at most as long as the released model's prices are vouched for.
    """
    for age in found:
        worse = [name for name in DECIDING if age.beside_fresh[name].worse_by[0] > margins[name]]
        if worse and age.from_day < horizon_days:
            said = " and ".join(_worse(name, age, margins[name]) for name in worse)
            return max(1, age.from_day), f"From {age.from_day} days on, {said}."
    return horizon_days, (f"At no age up to {horizon_days} days, as long as the released model's prices are vouched for, is an older model "
                          "provably worse than a fresh one by more than the margins.")  # fmt: skip


def _worse(name: MetricName, age: Age, margin: float) -> str:
    low, high = (f"{100 * end:.1f}" for end in age.beside_fresh[name].worse_by)
    return (f"{NAMES[name]} is provably further off than a fresh model's on the same sales, by {low} to {high} points; "
            f"{100 * margin:g} are allowed")  # fmt: skip


def _of_fits(scored: Sequence[Scored], fits: NDArray[np.int64], rows: NDArray[np.int64]) -> dict[str, Floats]:
    """Return for each row the answer of its own fit."""
    return {
        name: np.stack([one[name] for one in scored])[fits, rows].astype(np.float64)
        for name in ("predicted", "low", "high")
    }


def _mean_interval(values: Floats, params: Bootstrap) -> Interval:
    drawn = [float(values[rows].mean()) for rows in islice(draws(len(values), params), params.draws)]
    return interval(drawn, params.level)


def _rounded(value: float) -> float:
    return round(float(value), DECIMALS) + 0.0


def day_of(value: np.datetime64) -> datetime.date:
    """Return a day as Python's own."""
    found: datetime.date = value.astype("datetime64[D]").item()
    return found
