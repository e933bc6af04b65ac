"""Say what the sales around a house, and those of houses alike, tell of its price: kernel means of known residuals.

A known sale's residual is its log price without the market's level and without what the house itself explains, so a
mean of residuals is what the place adds. Only sales that the model was fitted on are known. The look-up is exact, in blocks of
rows; where the compiled code of native.py is, a service computes the same bits by that.

Source: Nadaraya (1964) and Watson (1964) for kernel means; guides to comparable sales call the same thing comparables.
"""

import math
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hearth.rules import Columns
from hearth.strict import Strict

Floats = NDArray[np.float64]
Square = tuple[float, float]

_DAY = np.dtype("datetime64[D]")  # read once; numpy would parse the text in each call
DECIMALS = 6  # sums in another order differ in their last bits; trees must not see it
KM_PER_DEGREE = 111.19  # of latitude, on a sphere of the earth's mean radius
SQUARE_KM = 0.5  # side of the squares whose candidates are kept; smaller ones are many, larger ones hold too many sales
ROWS = 64  # of a table at a time, so that a block stays in the processor's cache
SQUARES_MAX = 10_000  # kept at a time, a KB each; the shipped sales lie in 4,200
# A sale this near, in place and likeness, counts half: the house itself counts nothing, and there is no step to it. With
# a step, one square foot more would make a sold house its own neighbour and move its price by a tenth.
TWIN_KM2 = 0.001
RESOLD = "sold_before"


class Likeness(Strict):
    """Say how far apart a difference in a column puts two houses: `km` per unit, or per unit of its logarithm."""

    km: float = Field(gt=0)
    log: bool


class Mean(Strict):
    """Describe one kernel mean: weight = (distance² + softening)^-power; `alike` counts differences of the houses too."""

    alike: bool
    softening_km2: float = Field(gt=0)
    power: Literal[2, 4]


class NeighbourParams(Strict):
    """Hold the part `neighbours` of the section `features` of params.yaml."""

    lat: str
    long: str
    middle_lat: float = Field(gt=-90, lt=90)
    count: int = Field(ge=1, le=10_000)
    outlier_log: float = Field(gt=0)
    likeness: dict[str, Likeness]
    means: dict[str, Mean]

    @model_validator(mode="after")
    def _some(self) -> "NeighbourParams":
        if not self.means or not self.likeness:
            raise ValueError("at least one entry in means and one in likeness")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that a look-up reads, but for the time."""
        return (self.lat, self.long, *sorted(self.likeness))

    @cached_property
    def scales(self) -> tuple[NDArray[np.bool_], Floats]:
        """Return which coordinates are logged, and each one's km per unit, (2 + n_likeness, 1) each."""
        likeness = [like for _, like in sorted(self.likeness.items())]
        east = KM_PER_DEGREE * math.cos(math.radians(self.middle_lat))
        logged = np.array([[False], [False], *([like.log] for like in likeness)])
        return logged, np.array([[east], [KM_PER_DEGREE], *([like.km] for like in likeness)])

    @property
    def names(self) -> list[str]:
        """Return the names of the model's inputs that come from the neighbours."""
        return [*(f"neighbours_{name}" for name in sorted(self.means)), RESOLD]


class Neighbours:
    """Look up known sales around houses."""

    def __init__(self, known: Floats, params: NeighbourParams) -> None:
        """Take the table that `table` made: east and north in km, likeness, day, residual; one row per known sale."""
        if known.ndim != 2 or not len(known) or known.shape[1] != 4 + len(params.likeness):
            raise ValueError(f"known sales of shape {known.shape}, wanted (n, {4 + len(params.likeness)})")
        self.params, self.known = params, known
        self._count = min(params.count, len(known))
        means = [params.means[name] for name in sorted(params.means)]  # a manifest has its keys sorted
        self._alike = np.array([int(mean.alike) for mean in means])
        self._softening = np.array([mean.softening_km2 for mean in means])[:, None, None]
        self._fourth = np.flatnonzero([mean.power == 4 for mean in means])
        self._squares: dict[Square, Any] = {}  # what _candidates says of each
        self._like, self._residual = np.ascontiguousarray(known[:, 2:-2].T), np.ascontiguousarray(known[:, -1])
        self._east, self._north = np.concatenate(
            [known[:, :2].T, [[math.inf]] * 2], axis=1
        )  # the last: no sale, far away
        self._first_sale: dict[bytes, float] = {}
        for house, day in zip(np.ascontiguousarray(known[:, :-2]), known[:, -2].tolist(), strict=True):
            key = house.tobytes()
            self._first_sale[key] = min(day, self._first_sale.get(key, day))

    def inputs(self, columns: Columns, time: str) -> Floats:
        """Return the means and whether the house was sold before (n_rows, n_means + 1); NaN without a place.

        A sale of the house itself, told by place and likeness, is no neighbour: the inner folds of the training rows never
        see it either. It counts for the flag if its day is before the row's.
        """
        houses = coordinates(columns, self.params)
        found = np.full((len(houses), len(self._alike) + 1), np.nan)
        if math.isfinite(houses.sum()):  # as a rule; who asks each cost as much as one house
            found[:, :-1] = self.means(houses)
            found[:, -1] = self._sold(houses, columns[time])
        elif len(placed := np.flatnonzero(np.isfinite(houses).all(axis=1))):
            found[placed, :-1] = self.means(houses[placed])
            found[placed, -1] = self._sold(houses[placed], columns[time][placed])
        return found.round(DECIMALS, out=found)

    def sold_before(self, columns: Columns, time: str) -> Floats:
        """Return for each row whether its house is known from an earlier sale (n_rows,); NaN without a place."""
        houses = coordinates(columns, self.params)
        placed = np.isfinite(houses).all(axis=1)
        return np.where(placed, self._sold(houses, columns[time]), np.nan)

    def _sold(self, houses: Floats, days: NDArray[np.datetime64]) -> list[bool]:
        first = [self._first_sale.get(house.tobytes(), math.inf) for house in houses]
        return [known < day for known, day in zip(first, _numbered(days).tolist(), strict=True)]

    def means(self, houses: Floats) -> Floats:
        """Return the means (n_houses, n_means) of houses that have a place."""
        found = np.empty((len(houses), len(self._alike)))
        for start in range(0, len(houses), ROWS):
            found[start : start + ROWS] = self._of_some(houses[start : start + ROWS])
        return found

    def _of_some(self, houses: Floats) -> Floats:
        squares = self._in_square_of(houses)
        numbers = np.full((len(houses), max(map(len, squares))), -1)  # the last place is that of no sale
        for place, square in enumerate(squares):
            numbers[place, : len(square)] = square
        squared, other = self._east[numbers] - houses[:, 0:1], self._north[numbers] - houses[:, 1:2]
        squared *= squared
        other *= other
        squared += other
        if squared.shape[1] > self._count:
            kept = _nearest(squared, self._count)
            squared, numbers = (part[kept].reshape(len(houses), self._count) for part in (squared, numbers))
        # A column of likeness after the other, so that they are added in their order; native.c does the same.
        difference = self._like.take(numbers, axis=1)
        difference -= houses.T[2:, :, None]
        difference *= difference
        distance = np.empty((2, *squared.shape))
        distance[0] = squared
        np.add(difference.sum(axis=0), squared, out=distance[1])
        weight = distance[self._alike]  # (n_means, n_houses, count)
        weight += self._softening
        np.divide(1, weight, out=weight)
        weight *= weight
        if len(self._fourth):
            weight[self._fourth] *= weight[self._fourth]
        weight *= distance[1] / (distance[1] + TWIN_KM2)
        total = weight.sum(axis=2)
        weight *= self._residual[numbers]
        return np.asarray(weight.sum(axis=2) / np.maximum(total, 1e-300)).T  # without any but itself: 0

    def _in_square_of(self, houses: Floats) -> list[Any]:
        """Return the candidates of the square that each house lies in, which are kept for the next house in it."""
        found = []
        for square in map(tuple, (houses[:, :2] // SQUARE_KM).tolist()):
            if (candidates := self._squares.get(square)) is None:
                if len(self._squares) >= SQUARES_MAX:
                    self._squares.clear()
                candidates = self._squares[square] = self._candidates(square)
            found.append(candidates)
        return found

    def _candidates(self, square: Square) -> Any:
        """Return the numbers of the sales among which the nearest of every point of a square are.

        If the k-th nearest of the middle is r away and a corner h, then the k nearest of any point in the square are
        within r + h of it, hence within r + 2 h of the middle.
        """
        middle = (np.array(square) + 0.5) * SQUARE_KM
        away = np.sqrt(((self.known[:, :2] - middle) ** 2).sum(axis=1))
        reach = np.partition(away, self._count - 1)[self._count - 1] + math.sqrt(2) * SQUARE_KM
        return np.flatnonzero(away <= reach + 1e-9).astype(np.int32)


def _numbered(days: NDArray[np.datetime64]) -> NDArray[np.int64]:
    return days.astype(_DAY, copy=False).astype(np.int64)


def _nearest(squared: Floats, count: int) -> NDArray[np.bool_]:
    """Return which of each house's candidates (n_houses, n_candidates) are its `count` nearest; of several alike, the first."""
    # Not argpartition: which of several alike it takes depends on the CPU.
    last = np.partition(squared, count - 1, axis=1)[:, count - 1 : count]
    kept = squared <= last
    for row in np.flatnonzero(np.count_nonzero(kept, axis=1) > count):
        tied = np.flatnonzero(squared[row] == last[row])
        kept[row, tied[count - np.count_nonzero(kept[row]) :]] = False
    return np.asarray(kept)


def coordinates(columns: Columns, params: NeighbourParams) -> Floats:
    """Return east, north and likeness, all in km (n_rows, 2 + n_likeness), on a map that is true at `middle_lat`."""
    names = (params.long, params.lat, *sorted(params.likeness))
    found = np.array([columns[name] for name in names], dtype=np.float64)
    logged, km = params.scales
    np.log(np.maximum(found, 1e-9), out=found, where=logged)
    found *= km
    return np.ascontiguousarray(found.T).round(9) + 0.0  # a zero below zero has other bytes


def table(columns: Columns, time: str, residuals: Floats, params: NeighbourParams) -> Floats:
    """Return the table of known sales (n, 4 + n_likeness): coordinates, day and residual; rows without a place left out."""
    days = columns[time].astype("datetime64[D]").astype(np.float64)
    found = np.column_stack([coordinates(columns, params), days, np.round(residuals, DECIMALS)])
    return np.asarray(found[np.isfinite(found).all(axis=1)], dtype=np.float64)
