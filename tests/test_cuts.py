"""Test that a row gets the group that it belongs to: by level, by a derived feature, by an earlier sale."""

import datetime
from typing import Any

import numpy as np
import pytest
from samples import columns, contract, recipe

from hearth.cuts import Background, DerivedSlice, ResoldSlice, Slice, by_level, fault, group_names, sold_before


def background(**train: np.ndarray) -> Background:
    return Background(dict(columns(60)) | train, contract(), recipe(), "sqft_living")


def seen(*counts: tuple[str, int, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return training rows: each category so many times, at that rate."""
    levels = np.concatenate([np.full(count, level, dtype=object) for level, count, _ in counts])
    return levels, np.concatenate([np.full(count, rate) for _, count, rate in counts])


# By level


def test_a_category_is_grouped_by_the_median_rate_of_its_training_rows() -> None:
    levels, rate = seen(("a", 10, 300.0), ("b", 10, 100.0), ("c", 10, 200.0), ("d", 10, 400.0))
    rate[0] = 9000.0  # a median does not mind
    found = by_level(np.array(["d", "c", "b", "a"], dtype=object), levels, rate, 2)
    assert found == ["2 of 2 (dearest)", "1 of 2 (cheapest)", "1 of 2 (cheapest)", "2 of 2 (dearest)"]


def test_groups_are_of_about_as_many_training_rows_not_categories() -> None:
    levels, rate = seen(("a", 100, 1.0), ("b", 10, 2.0), ("c", 40, 3.0), ("d", 50, 4.0), ("e", 100, 5.0))
    found = by_level(np.array(list("abcde"), dtype=object), levels, rate, 3)
    assert found == ["1 of 3 (cheapest)", "2 of 3", "2 of 3", "2 of 3", "3 of 3 (dearest)"]


def test_an_unseen_category_and_an_empty_cell_have_groups_of_their_own() -> None:
    levels, rate = seen(("a", 3, 1.0), ("b", 3, 2.0))
    found = by_level(np.array(["z", None, "a"], dtype=object), levels, rate, 2)
    assert found == ["unseen in training", "empty", "1 of 2 (cheapest)"]


def test_the_prices_of_the_rows_that_are_cut_have_no_say() -> None:
    """A group that its own prices choose is chosen by its errors."""
    rows, cut = dict(columns(40, seed=2)), Slice(column="zipcode", groups=3)
    before = group_names(cut, rows, background())
    assert len(set(before)) >= 3
    assert group_names(cut, rows | {"price": rows["price"][::-1] * 7}, background()) == before
    dearer = background(price=columns(60)["price"] * np.linspace(1, 50, 60))
    assert group_names(cut, rows, dearer) != before


# By a derived feature


def test_a_derived_feature_is_cut_by_edges_and_by_values() -> None:
    """Years from building to sale; a house may be sold in the year before it is built."""
    sold = np.array(["2014-06-01", "2015-01-02", "2015-02-03", "2015-02-03"], dtype="datetime64[D]")
    rows = {"date": sold, "yr_built": np.array([2015.0, 2014.0, 2013.0, 1950.0])}
    assert group_names(DerivedSlice(derived="age", edges=(2, 50)), rows, background()) == [
        "below 2", "below 2", "2 to under 50", "from 50",
    ]  # fmt: skip
    assert group_names(DerivedSlice(derived="age"), rows, background()) == ["-1", "1", "2", "65"]


def test_a_derived_feature_may_read_the_recipe() -> None:
    rows = {"date": np.array([recipe().day_zero + datetime.timedelta(days=3)], dtype="datetime64[D]")}
    assert group_names(DerivedSlice(derived="market_days"), rows, background()) == ["3"]


# By an earlier sale


def days(*texts: str) -> np.ndarray:
    return np.array(texts, dtype="datetime64[D]")


def test_a_sale_is_a_resale_if_its_key_was_sold_on_an_earlier_day() -> None:
    train = {"id": np.array([1.0, 2.0, 1.0]), "date": days("2014-06-01", "2014-06-01", "2014-07-01")}
    rows = {
        "id": np.array([1.0, 3.0, 4.0, 4.0, 5.0, 5.0]),
        "date": days("2015-01-05", "2015-01-05", "2015-02-01", "2015-01-01", "2015-01-07", "2015-01-07"),
    }
    #        in training, never, later in these rows, the first of two, two on one day
    assert sold_before(train, rows, ["id"], "date").tolist() == [True, False, True, False, False, False]


def test_all_keys_together_name_a_house() -> None:
    train = {
        "street": np.array(["a", "b"], dtype=object),
        "number": np.array([1.0, 2.0]),
        "date": days(*["2014-01-01"] * 2),
    }
    rows = {
        "street": np.array(["a", "b"], dtype=object),
        "number": np.array([1.0, 1.0]),
        "date": days(*["2015-01-01"] * 2),
    }
    assert sold_before(train, rows, ["street", "number"], "date").tolist() == [True, False]


def test_resales_are_named_in_words() -> None:
    known = columns(60)
    rows = {name: values[:2].copy() for name, values in known.items()}
    rows["date"] = rows["date"] + 400
    rows["id"][1] = 1.0
    assert group_names(ResoldSlice(resold=True), rows, background()) == ["sold before", "not sold before"]


# What cannot be cut


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        (Slice(column="grad"), "column is 'grad', wanted a column of the prepared tables: bathrooms, "),
        (Slice(column="grade", groups=5), "groups is 5, but grade is of type integer, wanted a category with at least so many"),
        (Slice(column="zipcode", groups=500), "groups is 500, but zipcode is a category with 70 values, wanted a category with at least so many"),
        (Slice(column="date", edges=(1, 2)), "edges cut date, whose cells are no numbers, wanted no edges"),
        (DerivedSlice(derived="km_to_centres"), "derived is 'km_to_centres', which has several numbers a row, wanted a feature with one"),
    ],
)  # fmt: skip
def test_an_impossible_cut_is_told_in_words(cut: Any, said: str) -> None:
    assert fault(cut, columns(5), background()).startswith(said)


def test_a_derived_feature_whose_columns_are_missing_is_told() -> None:
    rows = {name: values for name, values in columns(5).items() if name != "yr_built"}
    said = fault(DerivedSlice(derived="age"), rows, background())
    assert said.startswith("derived is 'age', which reads 'yr_built', wanted one that reads bathrooms, ")


@pytest.mark.parametrize(
    "cut",
    [Slice(column="zipcode", groups=5), Slice(column="lat", edges=(47.5,)), DerivedSlice(derived="age"), ResoldSlice(resold=True)],
)  # fmt: skip
def test_a_possible_cut_is_no_fault(cut: Any) -> None:
    assert fault(cut, columns(5), background()) == ""


def test_a_cut_that_needs_a_background_asks_for_it() -> None:
    with pytest.raises(ValueError, match="a background"):
        group_names(ResoldSlice(resold=True), columns(5), None)
