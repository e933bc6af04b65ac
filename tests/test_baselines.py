"""Test the baseline by hand: a group's median price per area in the training rows, times the area."""

import numpy as np
import pytest

from hearth.baselines import median_by_group

TRAIN = {
    "price": np.array([100.0, 200.0, 900.0, 50.0, 70.0]),
    "area": np.array([10.0, 10.0, 30.0, 10.0, 10.0]),  # per area 10, 20, 30 in a; 5, 7 in b
    "zipcode": np.array([1.0, 1.0, 1.0, 2.0, 2.0]),
}


def predicted(areas: list[float], groups: list[float], **more: list[float]) -> list[float]:
    test = {"area": np.array(areas), "zipcode": np.array(groups)} | {k: np.array(v) for k, v in more.items()}
    return median_by_group(TRAIN, test, "price", "zipcode", "area").tolist()


@pytest.mark.parametrize(
    ("area", "group", "expected"),
    [
        pytest.param(10, 1, 200, id="the middle of three"),
        pytest.param(10, 2, 60, id="the mean of the middle two"),
        pytest.param(5, 1, 100, id="half the area"),
        pytest.param(10, 3, 100, id="a group without training rows takes the median of all, 10"),
    ],
)
def test_by_hand(area: float, group: float, expected: float) -> None:
    assert predicted([area], [group]) == [expected]


def test_answers_keep_the_order_of_the_test_rows() -> None:
    assert predicted([10, 10, 1], [2, 1, 3]) == [60, 200, 10]


def test_the_prices_of_the_test_rows_are_not_looked_at() -> None:
    assert predicted([10, 10], [1, 2], price=[1, 1]) == predicted([10, 10], [1, 2], price=[9e9, 9e9])


def test_text_groups_are_groups_too() -> None:
    train = TRAIN | {"zipcode": np.array(["a", "a", "a", "b", "b"], dtype=object)}
    test = {"area": np.array([10.0, 10.0]), "zipcode": np.array(["b", "c"], dtype=object)}
    assert median_by_group(train, test, "price", "zipcode", "area").tolist() == [60, 100]


def test_the_columns_are_left_as_they_are() -> None:
    before = {name: values.copy() for name, values in TRAIN.items()}
    predicted([10], [1])
    assert all((TRAIN[name] == values).all() for name, values in before.items())
