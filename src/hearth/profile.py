"""Describe the rows that a model was fitted on: the reference that the monitor compares with.

Also told is how far windows of these rows, a week each, lie from the whole beyond what drawing so few rows does by chance:
spring sells other houses than autumn, and a monitor that does not know it would call every season a drift.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hearth.contract import Contract
from hearth.rules import Columns
from hearth.strict import Day, Listed, Strict

Floats = NDArray[np.float64]

DECIMALS = 6
WINDOW_ROWS_MIN = 30  # of a window whose shares say anything


class ProfileParams(Strict):
    """Hold the section `profile` of params.yaml."""

    bins: int = Field(ge=2, le=100)
    levels_max: int = Field(ge=1)
    window_days: int = Field(ge=1)


class Shape(Strict):
    """Hold how a column's values are spread: shares of bins between `edges`, or of `levels`; `wander` says how windows differ.

    `wander` is the variance of a window's share beyond that of a random draw, as a part of p (1 - p): windows of n rows
    wander as if they held 1 / (1 / n + wander) rows drawn at random.
    """

    empty: float = Field(ge=0, le=1)
    wander: float = Field(ge=0)
    levels: dict[str, float] | None = None
    minimum: float | None = None
    maximum: float | None = None
    edges: Annotated[tuple[float, ...], Listed] = ()
    shares: Annotated[tuple[float, ...], Listed] = ()

    @model_validator(mode="after")
    def _one_way(self) -> "Shape":
        if (self.levels is None) == (not self.shares) or (self.shares and len(self.shares) != len(self.edges) + 1):
            raise ValueError("levels, or shares with one edge less")
        return self

    @property
    def names(self) -> list[str]:
        """Return what the bins of `expected` are called, the last two `empty` and `other`."""
        if self.levels is not None:
            return [*self.levels, "empty", "other"]
        if not self.edges:
            return ["any", "empty", "other"]
        ends = [f"{edge:.10g}" for edge in self.edges]
        between = [f"{low} to {high}" for low, high in pairwise(ends)]
        return [f"below {ends[0]}", *between, f"from {ends[-1]}", "empty", "other"]

    @property
    def expected(self) -> Floats:
        """Return the share of all rows in each bin (n_bins,), of empty cells, and of levels that there were none of."""
        shares = np.array([*(self.shares if self.levels is None else self.levels.values())], dtype=np.float64)
        return np.array([*shares / (shares.sum() or 1.0) * (1 - self.empty), self.empty, 0.0])

    def counts(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Return how many of the values (n,) fall into each bin of `expected`."""
        return np.bincount(self.places(values), minlength=len(self.names))

    def places(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Return the bin of each value (n,)."""
        empty = np.asarray(pd.isna(values))
        if self.levels is None:
            numeric = np.where(empty, 0, values).astype(np.float64)
            found = np.searchsorted(self.edges, numeric, side="right")
        else:
            known = {name: place for place, name in enumerate(self.levels)}
            levels, inverse = np.unique(values[~empty], return_inverse=True)
            found = np.zeros(len(values), dtype=np.int64)
            found[~empty] = np.array([known.get(name, len(known) + 1) for name in _names(levels)], dtype=np.int64)[
                inverse
            ]
        found = found.astype(np.int64)
        found[empty] = len(self.names) - 2
        return found


class Profile(Strict):
    """Be the parsed models/profile.json."""

    rows: int
    first_day: Day
    last_day: Day
    window_days: int = Field(ge=1)
    features: dict[str, Shape]
    predicted_log_price: Shape
    model_version: str


def profile(
    columns: Columns, contract: Contract, log_price: NDArray[np.float64], params: ProfileParams
) -> dict[str, Any]:
    """Return the shape of each feature and of the predicted log price.

    A column with at most `levels_max` values, or a category, is described by the share of each value (quantile bins
    see nothing in a column that is nearly always zero); any other by the inner edges of `bins` equal shares, the share
    that falls between them, and its ends.
    """
    days = columns[contract.time.name]
    windows = (days - days.min()).astype("timedelta64[D]").astype(np.int64) // params.window_days
    shapes = {
        column.name: _shape(columns[column.name], column.type == "category", params, windows)
        for column in contract.features
    }
    return {
        "rows": len(log_price),
        "first_day": str(days.min()),
        "last_day": str(days.max()),
        "window_days": params.window_days,
        "features": shapes,
        "predicted_log_price": _shape(log_price, False, params, windows),
    }


def _shape(values: NDArray[Any], category: bool, params: ProfileParams, windows: NDArray[np.int64]) -> dict[str, Any]:
    empty = np.asarray(pd.isna(values))
    filled = values[~empty]
    found: dict[str, Any] = {"empty": round(float(empty.mean()), DECIMALS), "wander": 0.0}
    levels, counts = np.unique(filled, return_counts=True)
    if category or len(levels) <= params.levels_max:
        found["levels"] = dict(zip(_names(levels), _shares(counts), strict=True))
    else:
        numeric = filled.astype(np.float64)
        edges = _edges(numeric, levels.astype(np.float64), counts, params.bins)
        binned = np.bincount(np.searchsorted(edges, numeric, side="right"), minlength=len(edges) + 1)
        found |= {
            "minimum": round(float(numeric.min()), DECIMALS),
            "maximum": round(float(numeric.max()), DECIMALS),
            "edges": edges.tolist(),
            "shares": _shares(binned),
        }
    return found | {"wander": _wander(Shape(**found), values, windows)}


def _edges(values: Floats, levels: Floats, counts: NDArray[np.int64], bins: int) -> Floats:
    """Return the inner edges of equal shares, each a value that occurs.

    A value that is more than such a share by itself gets a bin of its own: else the few houses that were renovated would
    share one with the many that were not.
    """
    places = np.searchsorted(levels, np.quantile(values, np.arange(1, bins) / bins))
    heavy = np.flatnonzero(counts[:-1] > len(values) / bins)
    chosen = np.unique(np.concatenate([places, heavy, heavy + 1]))
    return np.unique(np.round(levels[chosen[chosen > 0]], DECIMALS))


def _wander(shape: Shape, values: NDArray[Any], windows: NDArray[np.int64]) -> float:
    """Return how far windows differ beyond chance: 0 where they differ as random draws do.

    Pearson's X² of a window over its degrees of freedom is 1 in the mean for a random draw, and 1 + n x wander here.
    """
    places, expected = shape.places(values), shape.expected
    some = np.flatnonzero(expected)
    if len(some) < 2:
        return 0.0
    beyond, rows = 0.0, 0
    for window in np.unique(windows):
        counts = np.bincount(places[windows == window], minlength=len(expected))[some]
        if (count := int(counts.sum())) < WINDOW_ROWS_MIN:
            continue
        wanted = count * expected[some]
        beyond += float(((counts - wanted) ** 2 / wanted).sum()) / (len(some) - 1) - 1
        rows += count
    return round(max(beyond / rows, 0.0), 9) if rows else 0.0


def _names(levels: NDArray[Any]) -> Sequence[str]:
    """Return what levels are called: alike for true and 1, since a table may hold either."""
    return [f"{level:.15g}" if isinstance(level, (bool, float)) else str(level) for level in levels.tolist()]


def _shares(counts: NDArray[np.int64]) -> list[float]:
    return [round(float(share), DECIMALS) for share in counts / max(counts.sum(), 1)]
