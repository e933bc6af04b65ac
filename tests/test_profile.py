"""Test the profile by hand: shares of values where there are few, equal shares between edges where there are many."""

import json
from typing import Any

import numpy as np
import pytest
from samples import changed, columns, contract, params

from hearth.errors import Refusal
from hearth.profile import ProfileParams, _shape, profile
from hearth.strict import parse

PARAMS = ProfileParams(bins=4, levels_max=3)


def shape(values: list[Any], category: bool = False, kind: Any = np.float64) -> dict[str, Any]:
    return _shape(np.array(values, dtype=kind), category, PARAMS)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([0, 0, 0, 2], {"empty": 0.0, "levels": {"0": 0.75, "2": 0.25}}, id="few numbers"),
        pytest.param([1, 1.5], {"empty": 0.0, "levels": {"1": 0.5, "1.5": 0.5}}, id="fractions"),
        pytest.param([0, np.nan, 1, 1], {"empty": 0.25, "levels": {"0": 0.333333, "1": 0.666667}}, id="shares are of filled cells"),
        pytest.param([np.nan] * 2, {"empty": 1.0, "levels": {}}, id="nothing filled"),
    ],
)  # fmt: skip
def test_few_values_are_described_by_the_share_of_each(values: list[float], expected: dict[str, Any]) -> None:
    assert shape(values) == expected


def test_booleans_are_values() -> None:
    assert shape([True, False, False, False], kind=np.bool_) == {"empty": 0.0, "levels": {"False": 0.75, "True": 0.25}}


def test_many_values_are_described_by_equal_shares() -> None:
    assert shape([1, 2, 3, 4, 5, 6, 7, 8]) == {
        "empty": 0.0,
        "minimum": 1.0,
        "maximum": 8.0,
        "edges": [2.75, 4.5, 6.25],
        "shares": [0.25, 0.25, 0.25, 0.25],
    }


def test_a_value_at_an_edge_counts_to_the_upper_share() -> None:
    found = shape([1, 2, 2, 2, 2, 2, 3, 4])
    assert (found["edges"], found["shares"]) == ([2.0, 2.25], [0.125, 0.625, 0.25])


def test_empty_cells_are_left_out_of_edges_and_shares() -> None:
    found = shape([1, 2, 3, 4, np.nan, np.nan, np.nan, np.nan])
    assert found == shape([1, 2, 3, 4]) | {"empty": 0.5}


def test_a_category_is_described_by_its_values_however_many() -> None:
    found = shape([98001, 98002, 98003, 98004, 98004], category=True)
    assert found == {"empty": 0.0, "levels": {"98001": 0.2, "98002": 0.2, "98003": 0.2, "98004": 0.4}}


def test_text_categories() -> None:
    assert shape(["b", "a", "b", "b"], category=True, kind=object)["levels"] == {"a": 0.25, "b": 0.75}


def test_text_categories_with_an_empty_cell() -> None:
    found = shape(["b", np.nan, "b", "a"], category=True, kind=object)
    assert found == {"empty": 0.25, "levels": {"a": 0.333333, "b": 0.666667}}


def test_values_of_seven_digits_are_told_apart() -> None:
    assert shape([1234567, 1234568])["levels"] == {"1234567": 0.5, "1234568": 0.5}


REAL = parse(ProfileParams, params("profile"), "params.yaml: profile")


def test_the_profile_of_sales_is_complete_and_a_json_document() -> None:
    known = columns(300)
    found = profile(known, contract(), np.log(known["price"]), REAL)
    assert list(found["features"]) == [column.name for column in contract().features]
    assert (found["rows"], found["first_day"], found["last_day"]) == (
        300,
        str(known["date"].min()),
        str(known["date"].max()),
    )
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_every_shape_has_shares_that_sum_to_one() -> None:
    known = columns(300)
    found = profile(known, contract(), np.log(known["price"]), REAL)
    for name, described in (found["features"] | {"price": found["predicted_log_price"]}).items():
        shares = list(described["levels"].values()) if "levels" in described else described["shares"]
        assert sum(shares) == pytest.approx(1, abs=1e-4), name
        if "edges" in described:
            assert len(shares) == len(described["edges"]) + 1
            assert described["edges"] == sorted(set(described["edges"]))
            assert described["minimum"] <= described["edges"][0] <= described["edges"][-1] <= described["maximum"]
    assert set(found["features"]["zipcode"]) == {"empty", "levels"}
    assert set(found["features"]["sqft_lot"]) == {"empty", "minimum", "maximum", "edges", "shares"}


def test_the_order_of_rows_does_not_matter() -> None:
    known = columns(300)
    turned = {name: values[::-1] for name, values in known.items()}
    price = np.log(known["price"])
    assert profile(known, contract(), price, REAL) == profile(turned, contract(), price[::-1], REAL)


def test_a_nullable_column_tells_its_share_of_empty_cells() -> None:
    known = columns(100)
    empty = np.where(np.arange(100) < 20, np.nan, known["sqft_lot"])
    found = profile(known | {"sqft_lot": empty}, changed({"sqft_lot": {"nullable": True}}), known["price"], REAL)
    assert found["features"]["sqft_lot"]["empty"] == 0.2


@pytest.mark.parametrize(("key", "value"), [("bins", 1), ("bins", 101), ("levels_max", 0), ("bins", 10.0)])
def test_impossible_params_are_refused(key: str, value: float) -> None:
    with pytest.raises(Refusal, match=rf"^params\.yaml: profile\.{key} is {value}, wanted "):
        parse(ProfileParams, params("profile") | {key: value}, "params.yaml: profile")
