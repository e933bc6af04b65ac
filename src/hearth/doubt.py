"""Say how far chance alone may move a figure: test rows drawn anew, and the doubt about a share.

Sources: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13, for the percentile intervals; Wilson
(1927), J. Am. Stat. Assoc. 22, for the interval of a share, which keeps its level near 0 and 1.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import stats  # type: ignore[import-untyped]

from hearth.strict import Strict


class Bootstrap(Strict):
    """Hold how often, up to which level and from which seed the test rows are drawn anew."""

    draws: int = Field(ge=20)
    level: float = Field(gt=0.5, lt=1)
    seed: int = Field(ge=0, lt=2**32)


def draws(rows: int, params: Bootstrap) -> Iterator[NDArray[np.int64]]:
    """Yield the row numbers of each draw, with replacement; always the same for a seed and a number of rows."""
    chance = np.random.default_rng(params.seed)
    for _ in range(params.draws):
        yield chance.integers(rows, size=rows)


def interval(values: Sequence[float], level: float, decimals: int = 6) -> tuple[float, float]:
    """Return the ends between which the share `level` of the drawn values lies, half of the rest on either side."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return round(float(low), decimals) + 0.0, round(float(high), decimals) + 0.0


def median_interval(values: NDArray[np.float64], params: Bootstrap) -> tuple[float, float]:
    """Return the bootstrap interval of the median of values (n_rows,)."""
    return interval([float(np.median(values[rows])) for rows in draws(len(values), params)], params.level)


def share_interval(held: int, rows: int, level: float) -> tuple[float, float]:
    """Return Wilson's interval of the share `held` / `rows`."""
    ends = stats.binomtest(held, rows).proportion_ci(level, method="wilson")
    return round(float(ends.low), 6) + 0.0, round(float(ends.high), 6) + 0.0


def mean_interval(values: NDArray[np.float64], level: float) -> tuple[float, float, float]:
    """Return Student's interval of the mean of values (n_rows,), two or more: its low end, the mean, its high end."""
    middle = float(values.mean())
    reach = float(stats.t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return middle - reach, middle, middle + reach


def rank_interval(values: NDArray[np.float64], level: float) -> tuple[float, float]:
    """Return the interval of the median of values (n_rows,) from its order statistics, without drawing rows.

    Source: Conover (1999), Practical Nonparametric Statistics, section 3.2. It holds its level for every distribution.
    """
    ordered, rows = np.sort(values), len(values)
    below = max(int(stats.binom.ppf((1 - level) / 2, rows, 0.5)) - 1, 0)
    return round(float(ordered[below]), 6) + 0.0, round(float(ordered[rows - 1 - below]), 6) + 0.0
