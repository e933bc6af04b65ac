"""Say whether rows are spread otherwise than those that a model was fitted on, beyond what chance and seasons do.

The distance is the total variation: the share of rows that lie in other bins than expected. Its noise floor is measured by
drawing as many rows from the profile again and again; weeks that wander by themselves count as fewer rows (profile.py).
No threshold comes from folklore: 0.1 or 0.2 of the population stability index never fires on weeks of a few hundred rows.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]

from hearth.profile import Shape

TOLD = 2  # bins that are named
NEW_SHARE = 0.01


@dataclass(frozen=True)
class Chance:
    """Hold how often rows are drawn anew, from which seed, and how often a sound window may look like a drift, all columns together."""

    draws: int
    seed: int
    rate: float


@dataclass(frozen=True)
class Moved:
    """Hold the share of rows that lie in other bins than expected, what chance alone does, and the bins that say most."""

    moved: float
    floor: float
    unseen: bool  # rows lie where none did, and not only a few: one in a hundred may be the first of its kind
    said: str

    @property
    def drifted(self) -> bool:
        """Return whether that is more than chance does."""
        return self.unseen or self.moved > self.floor


def moved(shape: Shape, values: NDArray[Any], chance: Chance, tests: int) -> Moved:
    """Return how far the values (n,) lie from the shape; of `tests` that are made at once a sound one may fail at the rate."""
    counts, expected = shape.counts(values), shape.expected
    found = counts / len(values)
    floor = _floor(tuple(expected.tolist()), _effective(len(values), shape.wander), chance, tests)
    new = int(counts[expected == 0].sum())
    unseen = bool(stats.binom.sf(new - 1, len(values), NEW_SHARE) < chance.rate / tests)
    return Moved(
        round(float(_distance(found, expected)), 6), round(floor, 6), unseen, _told(shape.names, found, expected)
    )


def _effective(rows: int, wander: float) -> int:
    """Return how many rows, drawn at random, would be as uncertain as these, to two digits: what is drawn once serves again."""
    return int(float(f"{max(1.0, 1 / (1 / rows + wander)):.2g}"))


@lru_cache(maxsize=512)
def _floor(expected: tuple[float, ...], rows: int, chance: Chance, tests: int) -> float:
    drawn = np.random.default_rng(chance.seed).multinomial(rows, expected, size=chance.draws) / rows
    return float(np.quantile(_distance(drawn, np.array(expected)), 1 - chance.rate / tests, method="higher"))


def _distance(found: NDArray[np.float64], expected: NDArray[np.float64]) -> Any:
    return np.abs(found - expected).sum(axis=-1) / 2


def _told(names: list[str], found: NDArray[np.float64], expected: NDArray[np.float64]) -> str:
    most = [
        place
        for place in np.argsort(-np.abs(found - expected), kind="stable")[:TOLD]
        if found[place] != expected[place]
    ]
    return ", ".join(f"{names[place]}: {found[place]:.1%} instead of {expected[place]:.1%}" for place in most)
