"""Say what the sales around a house, and those of houses alike, tell of its price: kernel means of known residuals.

A known sale's residual is its log price without the market's level and without what the house itself explains, so a
mean of residuals is what the place adds. Only sales that the model was fitted on are known. One way of looking up
serves training, batches and the single request: exact, in plain numpy, a few microseconds once a square is known.

Source: Nadaraya (1964) and Watson (1964) for kernel means; guides to comparable sales call the same thing comparables.
"""

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hearth.rules import Columns
from hearth.strict import Strict

Floats = NDArray[np.float64]
Square = tuple[float, float]

DECIMALS = 6  # sums in another order differ in their last bits; trees must not see it
KM_PER_DEGREE = 111.19  # of latitude, on a sphere of the earth's mean radius
SQUARE_KM = 1.0  # side of the squares whose candidates are kept; smaller ones are many, larger ones hold too many sales
ROWS_MAX = 64  # houses at a time, so that a look-up needs a few megabytes
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
        self._places, self._like = np.ascontiguousarray(known[:, :2].T), np.ascontiguousarray(known[:, 2:-2])
        self._day, self._residual = (np.ascontiguousarray(known[:, place]) for place in (-2, -1))
        self._count = min(params.count, len(known))
        means = [params.means[name] for name in sorted(params.means)]  # a manifest has its keys sorted
        self._alike = np.array([int(mean.alike) for mean in means])
        self._softening = np.array([[mean.softening_km2] for mean in means])
        self._fourth = np.flatnonzero([mean.power == 4 for mean in means])
        self._squares: dict[Square, tuple[NDArray[np.int64], Floats]] = {}  # as many as the contract's box has

    def inputs(self, columns: Columns, time: str) -> Floats:
        """Return the means and whether the house was sold before (n_rows, n_means + 1); NaN without a place.

        A sale of the house itself, told by place and likeness, is no neighbour: the inner folds of the training rows never
        see it either. It counts for the flag if its day is before the row's.
        """
        houses, days = coordinates(columns, self.params), columns[time].astype("datetime64[D]").astype(np.int64)
        found = np.full((len(houses), len(self._alike) + 1), np.nan)
        for square, rows in _by_square(houses):
            found[rows] = self._of(square, houses[rows], days[rows])
        return np.round(found, DECIMALS)

    def _of(self, square: Square, houses: Floats, days: NDArray[np.int64]) -> Floats:
        """Return the inputs of houses in one square; some thirty calls of numpy, each of which costs more than its sums."""
        near, squared = self._nearest(square, houses)
        difference = self._like[near] - houses[:, None, 2:]
        distance = np.empty((len(houses), 2, near.shape[1]))
        distance[:, 0] = squared
        np.einsum("hnj,hnj->hn", difference, difference, out=distance[:, 1])
        distance[:, 1] += squared
        weight = 1 / (distance[:, self._alike] + self._softening)
        weight *= weight
        if len(self._fourth):
            weight[:, self._fourth] *= weight[:, self._fourth]
        weight *= (distance[:, 1] / (distance[:, 1] + TWIN_KM2))[:, None]
        found = np.zeros((len(houses), len(self._alike) + 1))
        same = distance[:, 1] == 0
        if same.any():
            found[:, -1] = (same & (self._day[near] < days[:, None])).any(axis=1)
        total = weight.sum(axis=2)
        weight *= self._residual[near][:, None]
        found[:, :-1] = weight.sum(axis=2) / np.maximum(total, 1e-300)  # a house without any neighbour but itself: 0
        return found

    def _nearest(self, square: Square, houses: Floats) -> tuple[NDArray[np.int64], Floats]:
        """Return for each house its nearest known sales in the table's order, and their squared distances in km²."""
        if square not in self._squares:
            candidates = self._candidates(square)
            self._squares[square] = candidates, self._places[:, candidates]
        candidates, (east, north) = self._squares[square]
        squared = (east - houses[:, 0:1]) ** 2 + (north - houses[:, 1:2]) ** 2
        if len(candidates) == self._count:
            return np.broadcast_to(candidates, squared.shape), squared
        # Not argpartition: which of several equally far sales it takes depends on the CPU.
        furthest = np.partition(squared, self._count - 1, axis=1)[:, self._count - 1 : self._count]
        kept = squared <= furthest
        if np.count_nonzero(kept) > self._count * len(houses):  # of several equally far, the first in the table's order
            tied = squared == furthest
            room = self._count - (kept & ~tied).sum(axis=1, keepdims=True)
            kept &= ~tied | (np.cumsum(tied, axis=1) <= room)
        place = np.nonzero(kept)[1].reshape(len(houses), self._count)
        return candidates[place], squared[kept].reshape(place.shape)

    def _candidates(self, square: Square) -> NDArray[np.int64]:
        """Return the sales among which the nearest of every point of a square are.

        If the k-th nearest of the middle is r away and a corner h, then the k nearest of any point in the square are
        within r + h of it, hence within r + 2 h of the middle.
        """
        middle = (np.array([square]).T + 0.5) * SQUARE_KM
        away = np.sqrt(((self._places - middle) ** 2).sum(axis=0))
        reach = np.partition(away, self._count - 1)[self._count - 1] + math.sqrt(2) * SQUARE_KM
        return np.flatnonzero(away <= reach + 1e-9)


def coordinates(columns: Columns, params: NeighbourParams) -> Floats:
    """Return east, north and likeness, all in km (n_rows, 2 + n_likeness), on a map that is true at `middle_lat`."""
    found = np.empty((len(columns[params.lat]), 2 + len(params.likeness)))
    found[:, 0] = columns[params.long]
    found[:, 1] = columns[params.lat]
    likeness = sorted(params.likeness.items())
    for place, (name, like) in enumerate(likeness, start=2):
        found[:, place] = np.log(np.maximum(columns[name], 1e-9)) if like.log else columns[name]
    east = KM_PER_DEGREE * math.cos(math.radians(params.middle_lat))
    found *= np.array([east, KM_PER_DEGREE, *(like.km for _, like in likeness)])
    return np.round(found, 9)


def table(columns: Columns, time: str, residuals: Floats, params: NeighbourParams) -> Floats:
    """Return the table of known sales (n, 4 + n_likeness): coordinates, day and residual; rows without a place left out."""
    days = columns[time].astype("datetime64[D]").astype(np.float64)
    found = np.column_stack([coordinates(columns, params), days, np.round(residuals, DECIMALS)])
    return np.asarray(found[np.isfinite(found).all(axis=1)], dtype=np.float64)


def _by_square(houses: Floats) -> Iterator[tuple[Square, NDArray[np.int64] | slice]]:
    """Yield each square and the rows in it; rows without a place are in none."""
    if len(houses) == 1:
        if np.isfinite(houses).all():
            yield (float(houses[0, 0] // SQUARE_KM), float(houses[0, 1] // SQUARE_KM)), slice(None)
        return
    squares = houses[:, :2] // SQUARE_KM
    placed = np.flatnonzero(np.isfinite(houses).all(axis=1))
    order = placed[np.lexsort((squares[placed, 0], squares[placed, 1]))]
    starts = np.flatnonzero((np.diff(squares[order], axis=0) != 0).any(axis=1)) + 1
    for rows in np.split(order, starts) if len(order) else []:
        for start in range(0, len(rows), ROWS_MAX):
            part = rows[start : start + ROWS_MAX]
            yield (float(squares[part[0], 0]), float(squares[part[0], 1])), part
