"""Test the profile by hand: shares of values where there are few, equal shares between edges where there are many."""

import json
from typing import Any

import numpy as np
import pytest
from samples import changed, columns, contract, params

from hearth.errors import Refusal
from hearth.profile import ProfileParams, Shape, _shape, profile
from hearth.strict import parse

PARAMS = ProfileParams(bins=4, levels_max=3, window_days=7)


def shape(values: list[Any], category: bool = False, kind: Any = np.float64) -> dict[str, Any]:
    found = _shape(np.array(values, dtype=kind), category, PARAMS, np.zeros(len(values), dtype=np.int64))
    assert found.pop("wander") == 0  # of one window, which is all rows
    return found


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
    assert shape([True, False, False, False], kind=np.bool_) == {"empty": 0.0, "levels": {"0": 0.75, "1": 0.25}}


def test_many_values_are_described_by_equal_shares() -> None:
    assert shape([1, 2, 3, 4, 5, 6, 7, 8]) == {
        "empty": 0.0,
        "minimum": 1.0,
        "maximum": 8.0,
        "edges": [3.0, 5.0, 7.0],
        "shares": [0.25, 0.25, 0.25, 0.25],
    }


def test_a_value_at_an_edge_counts_to_the_upper_share() -> None:
    found = shape([1, 2, 2, 2, 2, 2, 3, 4])
    assert (found["edges"], found["shares"]) == ([2.0, 3.0], [0.125, 0.625, 0.25])


def test_a_heavy_value_has_a_bin_of_its_own() -> None:
    """Most houses were never renovated: quantiles alone would see none of those that were."""
    found = shape([0] * 50 + [1950, 1970, 1990, 2000])
    assert (found["edges"], found["shares"]) == ([1950.0], [0.925926, 0.074074])


def drawn(shares: list[float], windows: int, rows: int) -> list[float]:
    """Return values of `windows` weeks, in each of which a zero has the share drawn from `shares` in turn."""
    chance = np.random.default_rng(3)
    return [float(v) for w in range(windows) for v in chance.random(rows) > shares[w % len(shares)]]


def test_windows_that_differ_by_chance_do_not_wander_and_others_do() -> None:
    windows = np.repeat(np.arange(60), 200)
    still = _shape(np.array(drawn([0.5], 60, 200)), False, PARAMS, windows)["wander"]
    moving = _shape(np.array(drawn([0.4, 0.6], 60, 200)), False, PARAMS, windows)["wander"]
    assert still < 0.001
    assert moving == pytest.approx(0.04, rel=0.2)  # the variance of 0.4 and 0.6 over 0.5 x 0.5


def test_a_shape_counts_what_it_described_and_tells_what_is_new() -> None:
    for values in ([0.0, 0.0, 1.0, np.nan], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, np.nan]):
        array = np.array(values)
        found = Shape(**_shape(array, False, PARAMS, np.zeros(len(array), dtype=np.int64)))
        assert found.counts(array) / len(array) == pytest.approx(found.expected, abs=1e-6)
        assert len(found.names) == len(found.expected)
    levels = Shape(**_shape(np.array([1, 2, 2]), True, PARAMS, np.zeros(3, dtype=np.int64)))
    assert dict(zip(levels.names, levels.counts(np.array([2, 9])).tolist(), strict=True)) == {
        "1": 0,
        "2": 1,
        "empty": 0,
        "other": 1,
    }


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
    assert set(found["features"]["zipcode"]) == {"empty", "levels", "wander"}
    assert set(found["features"]["sqft_lot"]) == {"empty", "minimum", "maximum", "edges", "shares", "wander"}


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


@pytest.mark.parametrize(
    ("key", "value"), [("bins", 1), ("bins", 101), ("levels_max", 0), ("bins", 10.0), ("window_days", 0)]
)
def test_impossible_params_are_refused(key: str, value: float) -> None:
    with pytest.raises(Refusal, match=rf"^params\.yaml: profile\.{key} is {value}, wanted "):
        parse(ProfileParams, params("profile") | {key: value}, "params.yaml: profile")
