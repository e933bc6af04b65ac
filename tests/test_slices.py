"""Test that rows are cut into the right groups, each with its own figures."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from samples import params

from hearth.cuts import Slice, numeric_first
from hearth.errors import Refusal
from hearth.scoring import slice_scores
from hearth.slices import Baseline, EvaluateParams, table
from hearth.strict import parse

OTHERS = {name: params("evaluate")[name] for name in ("ridge", "bootstrap", "search", "importance")}


def chosen(rows_min: int = 1, **slices: Slice) -> EvaluateParams:
    return EvaluateParams(baseline=Baseline(area="a", group="g"), slices=slices, slice_rows_min=rows_min, **OTHERS)


def scored(actual: list[float], predicted: list[float]) -> dict[str, np.ndarray]:
    known = {"actual": np.array(actual, dtype=float), "predicted": np.array(predicted, dtype=float)}
    return known | {"low": known["predicted"] * 0.9, "high": known["predicted"] * 1.1}


def groups(values: list[Any], kind: type = np.float64, **cut: Any) -> dict[str, int]:
    """Return the number of rows in each group of a slice, in the table's order."""
    column = np.array(values, dtype=kind)
    found = table({"c": column}, scored([1] * len(values), [1] * len(values)), chosen(c=Slice(column="c", **cut)))
    return {row["group"]: row["rows"] for row in found if row["slice"] == "c"}


@pytest.mark.parametrize(
    ("values", "edges", "expected"),
    [
        pytest.param([1, 5, 6, 7, 8, 9], (6, 8), {"below 6": 2, "6 to under 8": 2, "from 8": 2}, id="a group holds its lower edge"),
        pytest.param([0, 0, 2001], (1,), {"below 1": 2, "from 1": 1}, id="one edge"),
        pytest.param([1, 2], (6, 8), {"below 6": 2}, id="empty groups have no row"),
        pytest.param([47.1, 47.35, 47.6], (47.35, 47.5), {"below 47.35": 1, "47.35 to under 47.5": 1, "from 47.5": 1}, id="fractions"),
        pytest.param([-6, -4, -1], (-5, -3), {"below -5": 1, "-5 to under -3": 1, "from -3": 1}, id="below zero"),
        pytest.param([500, 1500, 15000], (1000, 10000), {"below 1000": 1, "1000 to under 10000": 1, "from 10000": 1}, id="by size, not by letter"),
    ],
)  # fmt: skip
def test_edges_cut_a_column(values: list[float], edges: tuple[float, ...], expected: dict[str, int]) -> None:
    assert list(groups(values, edges=edges).items()) == list(expected.items())


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        pytest.param([2, 10, 2, 1], np.float64, {"1": 1, "2": 2, "10": 1}, id="numbers, by size"),
        pytest.param([1.5, 1, 1.5], np.float64, {"1": 1, "1.5": 2}, id="fractions"),
        pytest.param([98103, 98001], np.int64, {"98001": 1, "98103": 1}, id="whole numbers"),
        pytest.param([True, False, True], np.bool_, {"False": 1, "True": 2}, id="booleans"),
        pytest.param(["b", "a", "b"], object, {"a": 1, "b": 2}, id="texts"),
    ],
)
def test_a_column_without_edges_is_cut_by_its_values(values: list[Any], kind: type, expected: dict[str, int]) -> None:
    assert list(groups(values, kind).items()) == list(expected.items())


def test_fifths_are_of_the_predicted_price() -> None:
    """Fifths of the actual price would call each unlucky prediction a fault of its group."""
    predicted = [float(place) for place in range(1, 11)]
    found = table({}, scored(predicted[::-1], predicted), chosen())
    assert [(row["slice"], row["group"], row["rows"]) for row in found] == [
        ("price_fifth", str(k), 2) for k in range(1, 6)
    ]
    by_hand = [
        slice_scores(*(v[2 * k : 2 * k + 2] for v in scored(predicted[::-1], predicted).values())) for k in range(5)
    ]
    assert [{name: row[name] for name in ("mdape", "rmse_log", "bias", "coverage")} for row in found] == by_hand


def test_equal_predictions_share_a_fifth() -> None:
    found = table({}, scored([1, 2, 3, 4, 5], [7] * 5), chosen())
    assert [(row["group"], row["rows"]) for row in found] == [("1", 5)]


def test_a_ruined_part_shows_in_its_slice_and_not_in_the_others() -> None:
    actual = [100.0] * 40
    predicted = [100.0] * 30 + [250.0] * 10
    found = table(
        {"view": np.repeat([0.0, 4.0], [30, 10])}, scored(actual, predicted), chosen(view=Slice(column="view"))
    )
    by_view = {row["group"]: row["mdape"] for row in found if row["slice"] == "view"}
    assert by_view == {"0": 0.0, "4": 1.5}


def test_small_groups_have_no_row() -> None:
    column = np.repeat([1.0, 2.0, 3.0], [19, 20, 21])
    found = table({"c": column}, scored([1] * 60, list(range(1, 61))), chosen(20, c=Slice(column="c")))
    assert [(row["group"], row["rows"]) for row in found if row["slice"] == "c"] == [("2", 20), ("3", 21)]
    assert not [row for row in found if row["slice"] == "price_fifth"]  # twelve rows each


def test_the_slices_of_a_column_are_all_its_rows() -> None:
    random = np.random.default_rng(1)
    column = random.integers(0, 9, 500).astype(float)
    prices = np.exp(random.normal(13, 1, 500)).tolist()
    found = table({"c": column}, scored(prices, prices), chosen(c=Slice(column="c", edges=(2, 5)), d=Slice(column="c")))
    for name in ("price_fifth", "c", "d"):
        assert sum(row["rows"] for row in found if row["slice"] == name) == 500


def test_rows_are_plain_values_for_csv_and_gate() -> None:
    for row in table({}, scored([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]), chosen()):
        assert {type(value) for value in row.values()} == {str, int, float}


def test_a_slice_has_the_intervals_of_its_error_and_its_coverage() -> None:
    """Errors of 1 to 99 percent, half of them inside: their median is 50 percent, and chance moves it by some 5."""
    predicted = np.arange(101, 200) / 100
    low = np.where(np.arange(99) % 2, 0.5, 1.01)
    known = {"actual": np.ones(99), "predicted": predicted, "low": low, "high": np.full(99, 2.0)}
    (row,) = (row for row in table({"c": np.zeros(99)}, known, chosen(c=Slice(column="c"))) if row["slice"] == "c")
    assert 0.3 < row["mdape_low"] < 0.45 < row["mdape"] < 0.55 < row["mdape_high"] < 0.7
    assert (row["coverage"], row["coverage_low"], row["coverage_high"]) == (0.494949, 0.398508, 0.591768)


def test_the_shipped_slices_parse() -> None:
    found = parse(EvaluateParams, params("evaluate"), "params.yaml: evaluate")
    assert found.slices["renovated"] == Slice(column="yr_renovated", edges=(1,))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"slices": {"x": {"column": "grade", "edges": [1, 1]}}}, "edges that rise, each above the one before"),
        ({"slices": {"x": {"column": "grade", "edges": [2, 1]}}}, "edges that rise"),
        ({"slices": {"x": {"edges": [2]}}}, "evaluate.slices.x.column is missing"),
        ({"slices": {"x": {"column": "grade", "groups": 1}}}, "evaluate.slices.x.groups is 1, wanted greater than or equal to 2"),
        ({"slices": {"x": {"column": "grade", "groups": 3, "edges": [2]}}}, "wanted edges for a number or groups for a category, not both"),
        ({"slices": {"x": {"derived": "agee"}}}, "wanted a function of features.py in derived; for 'agee': did you mean 'age'?"),
        ({"slices": {"x": {"derived": "age", "groups": 3}}}, "evaluate.slices.x.groups is not a known key"),
        ({"slices": {"x": {"derived": "age", "edges": [2, 2]}}}, "evaluate.slices.x.edges is [2, 2], wanted edges that rise"),
        ({"slices": {"x": {"derived": "age", "resold": True}}}, "wanted one of column, derived, resold, not derived and resold at once"),
        ({"slices": {"x": {"resold": False}}}, "evaluate.slices.x.resold is False, wanted True"),
        ({"slices": {"x": {"resold": True, "edges": [2]}}}, "evaluate.slices.x.edges is not a known key"),
        ({"slices": {"x": "grade"}}, "evaluate.slices.x is 'grade', wanted a mapping such as {column: grade}"),
        ({"importance": {"repeats": 0, "seed": 1, "predictions_max": 10}}, "evaluate.importance.repeats is 0"),
        ({"slices": {"x": {"column": "grade", "edgs": [2]}}}, "evaluate.slices.x.edgs is not a known key"),
        ({"baseline": {"area": "sqft_living"}}, "evaluate.baseline.group is missing"),
        ({"slice_rows_min": 0}, "evaluate.slice_rows_min is 0"),
    ],
)  # fmt: skip
def test_wrong_params_are_refused(edit: dict[str, Any], said: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse(EvaluateParams, params("evaluate") | edit, "params.yaml: evaluate")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("values", "edges", "expected"),
    [
        pytest.param([1234567, 1234568], (), {"1234567": 1, "1234568": 1}, id="two values of seven digits"),
        pytest.param([1, 1234567, 2e7], (1234567, 1234568), {"below 1234567": 1, "1234567 to under 1234568": 1, "from 1234568": 1}, id="two edges of seven digits"),
    ],
)  # fmt: skip
def test_groups_of_large_numbers_are_told_apart(
    values: list[float], edges: tuple[float, ...], expected: dict[str, int]
) -> None:
    assert groups(values, edges=edges) == expected


def test_an_empty_cell_is_in_no_group_of_numbers() -> None:
    assert groups([1.0, np.nan, 3.0], edges=(2,)).get("from 2") == 1


def test_an_empty_cell_does_not_spoil_the_order_of_groups() -> None:
    orders = [sorted(labels, key=numeric_first) for labels in permutations(["nan", "1", "2"])]
    assert all(order == orders[0] for order in orders)
