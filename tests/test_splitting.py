"""Test that rows are split by time: nothing that is judged is older than what was fitted."""

import datetime

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hearth.splitting import SplitParams, group_folds, is_test, rolling_origin


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


Pairs = list[tuple[np.ndarray, np.ndarray]]


def by_house(houses: list[object], folds: int, seed: int = 1) -> Pairs:
    return list(group_folds(np.array(houses), folds, seed))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=2, max_size=80), st.integers(2, 8), st.integers(0, 2**32 - 1))
def test_each_row_is_judged_once_and_by_a_fit_without_its_house(houses: list[int], folds: int, seed: int) -> None:
    assume(len(set(houses)) > 1)
    known = np.array(houses)
    found = list(group_folds(known, folds, seed))
    assume(found)  # a draw may put all of few houses into one fold, which then has no rows to fit on
    judged = np.concatenate([judge for _, judge in found])
    assert sorted(judged.tolist()) == list(range(len(houses)))
    assert len(found) <= folds
    for fit, judge in found:
        assert sorted([*fit.tolist(), *judge.tolist()]) == list(range(len(houses)))
        assert not set(known[fit].tolist()) & set(known[judge].tolist())


def test_folds_that_look_at_rows_only_would_divide_houses() -> None:
    """The negative proof of the test above: the same draw per row parts the two sales of many a house."""
    houses = np.repeat(np.arange(40), 2)
    by_row = [
        set(houses[fit].tolist()) & set(houses[judge].tolist()) for fit, judge in group_folds(np.arange(80), 4, 1)
    ]
    assert min(len(parted) for parted in by_row) > 3
    assert not any(set(houses[fit].tolist()) & set(houses[judge].tolist()) for fit, judge in group_folds(houses, 4, 1))


def test_folds_are_of_about_the_same_size() -> None:
    sizes = [len(judge) for _, judge in by_house(list(range(4000)), 5)]
    assert len(sizes) == 5
    assert all(700 < size < 900 for size in sizes)


def test_the_seed_alone_decides_which_house_is_in_which_fold() -> None:
    def parted(found: Pairs) -> list[list[int]]:
        return [judge.tolist() for _, judge in found]

    houses: list[object] = list(range(50))
    assert parted(by_house(houses, 4)) == parted(by_house(houses, 4))
    assert parted(by_house(houses, 4)) != parted(by_house(houses, 4, seed=2))
    named = [f"house {number:02d}" for number in range(50)]
    assert parted(by_house([*named], 4)) == parted(by_house(houses, 4))


def test_the_order_of_rows_does_not_move_a_house_to_another_fold() -> None:
    houses, order = np.repeat(np.arange(30), 2), np.random.default_rng(1).permutation(60)
    folds = [set(houses[judge].tolist()) for _, judge in group_folds(houses, 4, 1)]
    assert [set(houses[order][judge].tolist()) for _, judge in group_folds(houses[order], 4, 1)] == folds


def test_one_house_alone_cannot_be_judged() -> None:
    assert by_house([7, 7, 7], 5) == []
