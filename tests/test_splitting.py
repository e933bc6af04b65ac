"""Test that rows are split by time: nothing that is judged is older than what was fitted."""

import datetime

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hearth.splitting import SplitParams, is_test, rolling_origin


def days(*texts: str) -> np.ndarray:
    return np.array(texts, dtype="datetime64[D]")


def numbered(numbers: list[int]) -> np.ndarray:
    return np.datetime64("2014-05-01") + np.array(numbers)


def test_the_day_test_from_belongs_to_the_test() -> None:
    params = SplitParams(test_from=datetime.date(2015, 1, 1))
    found = is_test(days("2014-12-31", "2015-01-01", "2015-01-02", "2014-05-02"), params)
    assert found.tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("numbers", "folds", "fold_days", "expected"),
    [
        pytest.param([0, 1, 2, 3, 4, 5], 1, 2, [([0, 1, 2, 3], [4, 5])], id="one fold"),
        pytest.param([0, 1, 2, 3, 4, 5], 2, 2, [([0, 1], [2, 3]), ([0, 1, 2, 3], [4, 5])], id="two folds"),
        pytest.param([5, 0, 4, 1, 3, 2], 1, 2, [([1, 3, 4, 5], [0, 2])], id="rows in any order"),
        pytest.param([0, 0, 9, 9], 1, 7, [([0, 1], [2, 3])], id="several rows a day"),
        pytest.param([0, 100], 1, 7, [([0], [1])], id="a gap before the fold"),
    ],
)
def test_folds_end_with_the_newest_day(
    numbers: list[int], folds: int, fold_days: int, expected: list[tuple[list[int], list[int]]]
) -> None:
    found = [(fit.tolist(), judge.tolist()) for fit, judge in rolling_origin(numbered(numbers), folds, fold_days)]
    assert found == expected


@pytest.mark.parametrize(
    ("numbers", "folds", "fold_days"),
    [
        pytest.param([0, 1, 2, 3], 1, 7, id="no rows before"),
        pytest.param([0, 1, 2, 3], 2, 2, id="no rows before the oldest fold"),
        pytest.param([0, 1, 20], 2, 7, id="an empty fold"),
    ],
)
def test_a_fold_without_rows_on_one_side_is_refused(numbers: list[int], folds: int, fold_days: int) -> None:
    with pytest.raises(
        ValueError, match=f"{folds} folds of {fold_days} days do not fit: no rows before or in the fold"
    ):
        list(rolling_origin(numbered(numbers), folds, fold_days))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 120), min_size=2, max_size=60), st.integers(1, 4), st.integers(1, 20))
def test_every_judged_row_is_later_than_every_fitted_row(numbers: list[int], folds: int, fold_days: int) -> None:
    known = numbered(numbers)
    try:
        found = list(rolling_origin(known, folds, fold_days))
    except ValueError:
        assume(False)
    assert len(found) == folds
    for fit, judge in found:
        assert known[fit].max() < known[judge].min()
        assert known[judge].max() - known[judge].min() < np.timedelta64(fold_days, "D")
    judged = np.concatenate([judge for _, judge in found])
    assert len(set(judged.tolist())) == len(judged)
    newest = known > known.max() - np.timedelta64(folds * fold_days, "D")
    assert sorted(judged.tolist()) == np.flatnonzero(newest).tolist()
