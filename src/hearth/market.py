"""Follow the price level over time, and say how it goes on after the last sale: trees cannot, they know no later day.

The index is what houses alike cost from week to week. Inside the training days it is read off the sales; beyond them its
last trend goes on and dies away. The model learns prices relative to the index, so its level is explicit and tested.
"""

import datetime
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hearth.strict import Day, Listed, Strict

Floats = NDArray[np.float64]
Days = NDArray[np.datetime64]

DECIMALS = 6  # of the log price: a solver's last bits differ between CPUs
STIFFNESS = 1e-8  # sales; a smoothing of nothing counts as so much
WILD = 0.5  # log price; a residual further out than this says nothing about the level


class MarketParams(Strict):
    """Hold the section `market` of params.yaml."""

    knot_days: int = Field(ge=1)
    smoothing: float = Field(ge=0)
    trend_days: int = Field(ge=1)
    damping_days: float = Field(ge=0)


class PriceIndex(Strict):
    """Hold the log price level: one value per knot, knots `knot_days` apart, and the trend after the last of them."""

    last_knot: Day
    knot_days: int = Field(ge=1)
    levels: Annotated[tuple[float, ...], Listed]
    slope: float  # of the log price per day, at the last knot
    damping_days: float = Field(ge=0)

    @model_validator(mode="after")
    def _filled(self) -> "PriceIndex":
        if not self.levels:
            raise ValueError("at least one level")
        return self

    def level(self, days: Days) -> Floats:
        """Return the log price level on each day (n,), relative to the mean of the training sales.

        Before the first knot the first level holds. After the last, the trend goes on and is damped:
        level(h) = last + slope × T × (1 - exp(-h / T)) after h days, T being `damping_days`; T = 0 keeps the level.
        Source: Gardner and McKenzie (1985), Forecasting trends in time series, Management Science 31(10), in its
        continuous form. House prices do go on: Case and Shiller (1989), The efficiency of the market for single-family
        homes, American Economic Review 79(1).
        """
        since = (days - np.datetime64(self.last_knot)).astype(np.float64)
        knots = np.arange(1 - len(self.levels), 1) * float(self.knot_days)
        inside = np.interp(since, knots, self.levels)
        if self.damping_days == 0:
            return np.asarray(inside, dtype=np.float64)
        beyond = -np.expm1(-np.maximum(since, 0) / self.damping_days) * self.damping_days
        return np.asarray(inside + self.slope * beyond, dtype=np.float64)

    def by_day(self, last: datetime.date) -> tuple[np.datetime64, Floats]:
        """Return a first day, before which the level is the same, and the level of each day from it until `last`."""
        first = np.datetime64(self.last_knot) - (len(self.levels) - 1) * self.knot_days
        return first, self.level(np.arange(first, np.datetime64(last) + 1))


def fit_index(days: Days, residuals: Floats, params: MarketParams) -> PriceIndex:
    """Return the index of residuals (n,): log prices without what the houses themselves explain.

    Each knot stands for `knot_days` days that end with the newest day; its mean residual is smoothed by a penalty of
    `smoothing` sales on second differences, so that a straight line costs nothing. The trend is that of the newest
    `trend_days`. Source: Eilers (2003), A perfect smoother, Analytical Chemistry 75(14) (Whittaker's smoother).
    """
    newest = days.max()
    back = ((newest - days).astype(np.int64)) // params.knot_days
    place = back.max() - back
    sales = np.bincount(place).astype(np.float64)
    sums = np.bincount(place, np.clip(residuals, -WILD, WILD))
    count = len(sales)
    bends = np.diff(np.eye(count), 2, axis=0)
    # Without any smoothing a knot without sales could be anything; so it lies on a smooth curve. The
    # first knot and the last have sales, which is enough for all others.
    matrix = np.diag(sales) + max(params.smoothing, STIFFNESS) * bends.T @ bends
    smooth = np.linalg.solve(matrix, sums)
    levels = np.round(smooth - np.average(smooth, weights=sales), DECIMALS)
    span = min(count - 1, max(1, round(params.trend_days / params.knot_days)))
    slope = (levels[-1] - levels[-1 - span]) / (span * params.knot_days) if span else 0.0
    half = (params.knot_days - 1) // 2  # a knot stands in the middle of its days
    return PriceIndex(
        last_knot=(newest - np.timedelta64(half, "D")).item(),
        knot_days=params.knot_days,
        levels=tuple((levels + 0.0).tolist()),
        slope=round(float(slope), DECIMALS + 3) + 0.0,
        damping_days=params.damping_days,
    )
