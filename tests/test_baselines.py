"""Test the baselines by hand: medians, the last sale of the same house, and ridge against scikit-learn's formula."""

import numpy as np
import pytest

from hearth.baselines import RidgeParams, last_sale, median_by_group, overall_median, ridge

TRAIN = {
    "price": np.array([100.0, 200.0, 1800.0, 50.0, 70.0]),
    "area": np.array([10.0, 10.0, 30.0, 10.0, 10.0]),  # per area 10, 20, 60 in group 1; 5, 7 in group 2
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


def test_the_overall_median_is_the_same_for_all() -> None:
    assert overall_median(TRAIN, "price", 3).tolist() == [100.0, 100.0, 100.0]


def sold(ids: list[float], days: list[str], prices: list[float]) -> dict[str, np.ndarray]:
    return {"id": np.array(ids), "day": np.array(days, dtype="datetime64[D]"), "price": np.array(prices)}


def test_the_last_sale_is_the_newest_of_the_same_house() -> None:
    train = sold([7, 8, 7, 7], ["2014-05-02", "2014-06-01", "2014-08-09", "2014-07-01"], [1, 2, 3, 4])
    test = sold([9, 7, 8, 7], ["2015-01-01"] * 4, [50, 50, 50, 50])
    assert last_sale(train, test, "price", ["id"], "day").tolist() == pytest.approx([np.nan, 3, 2, 3], nan_ok=True)


def test_a_house_with_two_keys_is_the_same_only_in_both() -> None:
    train = sold([7, 7], ["2014-05-02", "2014-06-01"], [1, 2]) | {"unit": np.array(["a", "b"], dtype=object)}
    test = sold([7, 7], ["2015-01-01"] * 2, [9, 9]) | {"unit": np.array(["a", "c"], dtype=object)}
    assert last_sale(train, test, "price", ["id", "unit"], "day").tolist() == pytest.approx([1, np.nan], nan_ok=True)


RIDGE = RidgeParams(penalty=1e-9, logged_from=10)


def town(rows: int, seed: int) -> dict[str, np.ndarray]:
    """Return sales whose log price is linear in the log area, the grade, the day and the group."""
    chance = np.random.default_rng(seed)
    area, grade = np.exp(chance.uniform(6, 9, rows)), chance.integers(5, 11, rows).astype(float)
    day = np.datetime64("2014-05-02") + chance.integers(0, 300, rows)
    group = chance.choice(["a", "b", "c"], rows).astype(object)
    age = day.astype("datetime64[D]").astype(float)
    log_price = 0.8 * np.log(area) + 0.1 * grade + 0.0005 * age + 0.3 * (group == "b")
    return {"area": area, "grade": grade, "day": day, "group": group, "price": np.exp(log_price)}


def test_ridge_finds_a_law_that_is_linear_in_its_columns() -> None:
    train, test = town(500, 1), town(50, 2)
    found = ridge(train, test, "price", ["area", "grade", "day"], "group", RIDGE)
    assert found == pytest.approx(test["price"], rel=1e-6)


def test_a_heavy_penalty_leaves_the_geometric_mean() -> None:
    train, test = town(500, 1), town(5, 2)
    heavy = RidgeParams(penalty=1e12, logged_from=10)
    found = ridge(train, test, "price", ["area", "grade", "day"], "group", heavy)
    assert found == pytest.approx(np.full(5, np.exp(np.mean(np.log(train["price"])))), rel=1e-6)


@pytest.mark.parametrize(("logged_from", "same"), [(10, True), (1000, False)])
def test_a_wide_positive_column_is_logged(logged_from: float, same: bool) -> None:
    train, test = town(500, 1), town(50, 2)
    found = ridge(train, test, "price", ["area", "grade", "day"], "group", RidgeParams(penalty=1e-9, logged_from=logged_from))  # fmt: skip
    assert np.allclose(found, test["price"], rtol=1e-6) == same


def test_ridge_takes_empty_cells_single_values_and_new_groups() -> None:
    train, test = town(500, 1), town(4, 2)
    train["grade"][:50], train["one"] = np.nan, np.ones(500)
    test |= {"grade": np.full(4, np.nan), "one": np.full(4, 5.0), "area": np.array([-1.0, 0.0, np.nan, 900.0])}
    test["group"][:] = "new"
    found = ridge(train, test, "price", ["area", "grade", "day", "one"], "group", RIDGE)
    assert np.isfinite(found).all()
    assert (found > 0).all()


def test_ridge_does_not_look_at_the_prices_of_the_test_rows() -> None:
    train, test = town(500, 1), town(50, 2)
    others = test | {"price": np.ones(50)}
    numbers = ["area", "grade", "day"]
    assert (ridge(train, test, "price", numbers, "group", RIDGE) == ridge(train, others, "price", numbers, "group", RIDGE)).all()  # fmt: skip
