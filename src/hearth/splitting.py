"""Split rows by time: test after training, and rolling-origin folds inside the training rows."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hearth.strict import Day, Strict

Days = NDArray[np.datetime64]
Indices = NDArray[np.int64]


class SplitParams(Strict):
    """Hold the section `split` of params.yaml."""

    test_from: Day


def is_test(days: Days, params: SplitParams) -> NDArray[np.bool_]:
    """Return for each row whether it belongs to the test: on `test_from` or later."""
    return days >= np.datetime64(params.test_from)


def rolling_origin(days: Days, folds: int, fold_days: int) -> Iterator[tuple[Indices, Indices]]:
    """Yield (fit, judge) row indices, oldest fold first; each fold judges `fold_days` days that follow its fit rows.

    The last fold ends with the newest day. Raise ValueError if a fold would have no rows on one side.
    Source: Tashman (2000), Out-of-sample tests of forecasting accuracy, Int. J. of Forecasting 16(4).
    """
    end = days.max() + np.timedelta64(1, "D")
    for back in range(folds, 0, -1):
        start = end - np.timedelta64(back * fold_days, "D")
        stop = start + np.timedelta64(fold_days, "D")
        fit, judge = np.flatnonzero(days < start), np.flatnonzero((days >= start) & (days < stop))
        if not len(fit) or not len(judge):
            raise ValueError(
                f"{folds} folds of {fold_days} days do not fit: no rows before or in the fold from {start}"
            )
        yield fit, judge


def group_folds(groups: NDArray[np.generic], folds: int, seed: int) -> Iterator[tuple[Indices, Indices]]:
    """Yield (fit, judge) row indices, each row judged once; rows of one group, such as one house, are judged together."""
    names, place = np.unique(groups, return_inverse=True)
    fold = np.random.default_rng(seed).integers(folds, size=len(names))[place]
    for number in range(folds):
        fit, judge = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if len(fit) and len(judge):
            yield fit, judge
