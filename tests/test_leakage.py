"""Test the leakage detector: each planted leak is caught by its own detector and said in full, and clean tables pass."""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from conftest import sample
from numpy.random import Generator
from samples import changed, contract, recipe

from hearth.contract import Contract
from hearth.errors import Refusal
from hearth.features import DERIVED, Derived, FeatureParams
from hearth.leakage import LeakageParams, find_leaks
from hearth.parquet import columns_of, to_frame
from hearth.rules import Columns
from hearth.strict import parse
from hearth.tables import conform

LIMITS: dict[str, float] = {
    "single_r2_max": 0.88,
    "parts_error_min": 0.04,
    "duplicate_share_max": 0.002,
    "group_share_max": 0.05,
    "order_rank_max": 0.9,
    "distinct_share_max": 0.995,
    "missing_auc_max": 0.95,
}
Cells = dict[str, np.ndarray]
Plant = Callable[[Columns, Generator], Cells]


def limits(**other: float) -> LeakageParams:
    return LeakageParams(**(LIMITS | other))


@cache
def sales() -> Columns:
    """Return all shipped sales, as the stages hold them."""
    return columns_of(to_frame(conform(pa.Table.from_pandas(sample(), preserve_index=False), contract(), "sample")))


def taken(known: Columns, rows: np.ndarray) -> Cells:
    return {name: values[rows] for name, values in known.items()}


def split(known: Columns, test_from: str = "2015-01-01", as_of: str = "2015-03-01") -> tuple[Cells, Cells]:
    days = known["date"]
    later = days >= np.datetime64(test_from)
    return taken(known, ~later), taken(known, later & (days < np.datetime64(as_of)))


def third() -> Cells:
    """Return every third sale: enough for each detector, and quick."""
    return taken(sales(), np.arange(0, 21_613, 3))


def leaks(
    train: Columns, test: Columns, known: Contract | None = None, made: FeatureParams | None = None, **other: float
) -> list[str]:
    return find_leaks(train, test, known or contract(), made or recipe(), limits(**other))


def with_columns(cells: Cells) -> Contract:
    """Return the real contract with a feature for each planted column, of the type that its values have."""
    kinds = {"f": "number", "i": "integer", "b": "boolean"}
    entry = {"unit": "planted", "role": "feature", "meaning": "Planted by a test.", "nullable": True}
    return changed({name: entry | {"type": kinds[values.dtype.kind]} for name, values in cells.items()})


def planted(plant: Plant, known: Columns | None = None) -> list[str]:
    known = third() if known is None else known
    cells = plant(known, np.random.default_rng(7))
    return leaks(*split({**known, **cells}), with_columns(cells))


def complete(fault: str, limit: str) -> bool:
    """Return whether a fault is one sentence with a figure, its limit and a next step."""
    number = r"[\d.,]+%?"
    return bool(re.fullmatch(rf".*{number}.*; leakage\.{limit} is {LIMITS[limit]:g}: [a-z].*\.", fault))


# Columns that a collector might add, with the one sentence that has to follow.


def parted(c: Columns, r: Generator) -> Cells:
    land = (c["price"] * r.uniform(0.02, 0.98, len(c["price"]))).round()
    return {"land_value": land, "building_value": c["price"] - land}


def slovenly_parts(c: Columns, r: Generator) -> Cells:
    """Round to thousands, and break the sum in a row of twenty."""
    cells = parted(c, r)
    wrong = r.random(len(c["price"])) < 0.05
    building = np.where(wrong, r.uniform(1e4, 1e7, len(wrong)), cells["building_value"])
    return {"land_value": cells["land_value"].round(-3), "building_value": building.round(-3)}


def three_parts(c: Columns, r: Generator) -> Cells:
    shares = r.dirichlet([0.5, 0.5, 0.5], len(c["price"])).T * c["price"]
    return {"land": shares[0], "house": shares[1], "garden": shares[2]}


def difference(c: Columns, r: Generator) -> Cells:
    fees = r.uniform(0, 5e6, len(c["price"]))
    return {"gross": c["price"] + fees, "fees": fees}


def product(c: Columns, r: Generator) -> Cells:
    factor = np.exp(r.normal(0, 2, len(c["price"])))
    return {"factor": factor, "rest": c["price"] / factor}


def log_parts(c: Columns, r: Generator) -> Cells:
    part = r.normal(0, 5, len(c["price"]))
    return {"log_part": part, "log_rest": np.log(c["price"]) - part}


def emptied(c: Columns, r: Generator, where: np.ndarray) -> Cells:
    return {"survey": np.where(where, np.nan, r.normal(size=len(where)))}


def hashed(c: Columns, r: Generator) -> Cells:
    houses, place = np.unique(c["id"], return_inverse=True)
    return {"hashed_id": r.permutation(10 * len(houses))[place]}


def counter(c: Columns) -> Cells:
    return {"entry": np.argsort(np.argsort(c["date"], kind="stable"), kind="stable") / 10}


COLUMNS: list[tuple[str, Plant, str, str]] = [
    ("price times noise", lambda c, r: {"appraisal": c["price"] * np.exp(r.normal(0, 0.15, len(c["price"])))},
     "single_r2_max", r"appraisal alone explains at least 9\d\.\d% of the log of price"),
    ("known after the sale", lambda c, r: {"tax_assessed_after": c["price"] * r.uniform(0.97, 1.03, len(c["price"]))},
     "single_r2_max", r"tax_assessed_after alone explains at least 99\.\d%"),
    ("price in thousands", lambda c, _: {"price_thousands": (c["price"] / 1000).round()},
     "single_r2_max", r"price_thousands alone explains at least 100\.0%"),
    ("a discount, falling with the price", lambda c, _: {"discount": 1e6 - 3 * c["price"]},
     "single_r2_max", r"discount alone explains at least 100\.0%"),
    ("a relation that turns back", lambda c, _: {"fold": np.where(c["price"] < 4.5e5, c["price"] + 1e7, c["price"])},
     "single_r2_max", r"fold alone explains at least 9\d\.\d%"),
    ("price per square foot", lambda c, _: {"price_per_sqft": (c["price"] / c["sqft_living"]).round()},
     "parts_error_min", r"sqft_living and price_per_sqft multiply, or add up in logs, to price, with a median error of 0\.\d\d%"),
    ("two parts of the price", parted, "parts_error_min", r"land_value and building_value add up to price"),
    ("two parts, rounded and at times wrong", slovenly_parts, "parts_error_min", r"land_value and building_value add up"),
    ("three parts", three_parts, "parts_error_min", r"land and house and garden add up to price"),
    ("a difference", difference, "parts_error_min", r"gross and fees add up to price"),
    ("a product", product, "parts_error_min", r"factor and rest multiply"),
    ("logs of a product", log_parts, "parts_error_min", r"log_part and log_rest multiply, or add up in logs"),
    ("the key", lambda c, _: {"house_number": c["id"]},
     "order_rank_max", r"house_number follows id with a rank correlation of at least 1\.000"),
    ("a counter that follows time", lambda c, _: counter(c),
     "order_rank_max", r"entry follows date with a rank correlation of at least 1\.000"),
    ("a counter that runs down", lambda c, r: {"left": 1e6 - counter(c)["entry"] + r.normal(0, 20, len(c["id"]))},
     "order_rank_max", r"left follows date with a rank correlation of at least 0\.9\d\d"),
    ("the key in other words", hashed, "distinct_share_max", r"hashed_id has 100\.0% as many values as there are keys"),
    ("empty where the price is high", lambda c, r: emptied(c, r, c["price"] > 1e6),
     "missing_auc_max", r"survey is empty where price is high, in [\d,]+ of 4,921 rows, with an area of 1\.000"),
    ("empty where the price is low", lambda c, r: emptied(c, r, (c["price"] < 3e5) & (r.random(len(c["price"])) < 0.8)),
     "missing_auc_max", r"survey is empty where price is low"),
]  # fmt: skip


@pytest.mark.parametrize(("plant", "limit", "said"), [row[1:] for row in COLUMNS], ids=[row[0] for row in COLUMNS])
def test_a_planted_column_is_caught_by_its_own_detector_alone(plant: Plant, limit: str, said: str) -> None:
    [fault] = planted(plant)
    assert re.match(said, fault), fault
    assert complete(fault, limit), fault
    assert re.search(r"give \w+ the role ignored in data/contract.yaml\.$", fault)


def test_the_rows_and_columns_of_these_tests_are_clean_before_anything_is_planted() -> None:
    assert leaks(*split(third())) == []


@pytest.mark.parametrize(("test_from", "as_of"), [("2015-01-01", "2015-03-01"), ("2015-03-01", "2016-01-01")])
def test_the_shipped_sales_are_clean(test_from: str, as_of: str) -> None:
    train, test = split(sales(), test_from, as_of)
    assert len(test["id"]) in (2228, 4752)
    assert leaks(train, test) == []


def test_a_category_that_tells_the_price_is_caught() -> None:
    known = third()
    fifths = np.array(["a", "b", "c", "d", "e", "f", "g", "h"])
    band = fifths[np.searchsorted(np.quantile(known["price"], np.arange(1, 8) / 8), known["price"])].astype(object)
    entry = {
        "type": "category",
        "categories": fifths[::-1].tolist(),
        "unit": "band",
        "role": "feature",
        "meaning": "Band.",
    }
    [fault] = leaks(*split({**known, "band": band}), changed({"band": entry}))
    assert re.match(r"band alone explains at least 9\d\.\d%", fault)
    assert complete(fault, "single_r2_max")


# Leaks of the split.


def test_a_random_split_is_caught_with_both_days() -> None:
    train, test = split(third())
    known = {name: np.concatenate([train[name], test[name]]) for name in train}
    later = np.random.default_rng(1).random(len(known["id"])) < 0.13
    [fault] = leaks(taken(known, ~later), taken(known, later))
    assert fault.startswith("date: the newest training row is of 2015-02-28, the oldest test row of 2014-05-02, so ")
    assert "0 are allowed: split by split.test_from." in fault


def test_one_test_row_of_the_last_training_day_is_caught() -> None:
    train, test = split(third())
    test["date"] = np.where(np.arange(len(test["date"])) == 5, train["date"].max(), test["date"])
    [fault] = leaks(train, test)
    assert "of 2014-12-31, the oldest test row of 2014-12-31, so 1 of " in fault


def test_an_unknown_day_is_no_clean_order() -> None:
    train, test = split(third())
    test["date"] = np.where(np.arange(len(test["date"])) == 5, np.datetime64("NaT"), test["date"])
    assert [fault[:5] for fault in leaks(train, test)] == ["date:"]


def joined(train: Columns, copies: Columns, **cells: Any) -> Cells:
    return {name: np.concatenate([train[name], cells.get(name, copies[name])]) for name in train}


def test_test_rows_copied_into_training_are_caught() -> None:
    train, test = split(third())
    faults = leaks(joined(train, taken(test, np.arange(40))), test)
    assert len(faults) == 3
    assert re.match(
        r"40 of \d+ test rows \(5\.\d%\) have the id and date of a training row; 0 are allowed: take ", faults[1]
    )
    assert complete(faults[2], "duplicate_share_max")


def test_a_single_copy_is_caught_by_its_keys() -> None:
    train, test = split(third())
    copy = taken(test, np.array([3]))
    assert any(
        re.match(r"1 of \d+ test rows .* have the id and date of a", fault)
        for fault in leaks(joined(train, copy), test)
    )


def test_copies_under_another_id_and_an_earlier_day_are_caught() -> None:
    train, test = split(third())
    copies = taken(test, np.arange(40))
    days = np.repeat(np.datetime64("2014-08-01"), 40)
    [fault] = leaks(joined(train, copies, id=np.arange(40) + 1, date=days), test)
    assert re.match(r"40 of \d+ test rows \(5\.\d%\) have the price and all features of a training row", fault)
    assert complete(fault, "duplicate_share_max")


def test_the_same_houses_on_both_sides_are_caught() -> None:
    train, test = split(third())
    known = np.random.default_rng(2).choice(train["id"], len(test["id"]))
    test["id"] = np.where(np.arange(len(known)) % 5 == 0, known, test["id"])
    [fault] = leaks(train, test)
    assert re.match(r"\d+ of \d+ test rows \(2[0-2]\.\d%\) have the id of a training row, whatever the date", fault)
    assert complete(fault, "group_share_max")


# Leaks of the recipe.


def register(monkeypatch: pytest.MonkeyPatch, name: str, function: Callable[..., np.ndarray], *columns: str) -> None:
    monkeypatch.setitem(DERIVED, name, Derived(function, columns, reads_recipe=False))


@pytest.mark.parametrize(
    ("column", "role"), [("price", "target"), ("id", "key"), ("known_from", "recorded_at"), ("clerk", "ignored"), ("gone", "None")]
)  # fmt: skip
def test_a_derived_feature_that_reads_a_barred_column_is_caught(
    monkeypatch: pytest.MonkeyPatch, column: str, role: str
) -> None:
    """The prepared rows may hold the column or not: the recipe is judged, not the rows."""
    entry = {"unit": "none", "meaning": "Not for the model."}
    known = changed({"known_from": entry | {"type": "date", "role": "recorded_at"},
                     "clerk": entry | {"type": "integer", "role": "ignored"}})  # fmt: skip
    register(monkeypatch, "sneaky", lambda grade, **_: grade, "grade", column)
    [fault] = leaks(*split(third()), known, recipe(derived=["age", "sneaky", "market_days"]))
    assert fault.startswith(
        f"sneaky reads {column} (role in data/contract.yaml: {role}), only feature and time are allowed"
    )
    assert fault.endswith("take it out of features.derived.")


def test_a_derived_feature_that_hides_the_price_in_its_code_is_caught_by_its_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prices = pd.Series(sales()["price"], index=pd.MultiIndex.from_arrays([sales()["lat"], sales()["sqft_lot"]]))
    prices = prices[~prices.index.duplicated()]
    register(monkeypatch, "lookup", lambda lat, sqft_lot: prices.reindex(pd.MultiIndex.from_arrays([lat, sqft_lot])).to_numpy(),
             "lat", "sqft_lot")  # fmt: skip
    faults = leaks(*split(third()), made=recipe(derived=["lookup"]))
    assert re.match(r"lookup alone explains at least 9\d\.\d%", faults[0])
    assert faults[0].endswith("take lookup out of features.derived.")


def test_a_derived_feature_that_follows_time_is_caught_unless_it_reads_the_time_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register(monkeypatch, "honest_clock", lambda date: date.astype(np.float64), "date")
    register(monkeypatch, "clock", lambda date, grade: date.astype(np.float64) + grade, "date", "grade")
    [fault] = leaks(*split(third()), made=recipe(derived=["clock", "honest_clock", "market_days"]))
    assert fault.startswith("clock follows date with a rank correlation of at least 1.000")
    assert fault.endswith("take clock out of features.derived.")


def test_holes_that_a_derived_feature_inherits_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    known = third()
    known["view"] = np.where(known["price"] > 1e6, np.nan, known["view"].astype(float))
    register(monkeypatch, "twice_view", lambda view: 2 * view, "view")
    [fault] = leaks(*split(known), made=recipe(derived=["twice_view"]))
    assert fault.startswith("view is empty where price is high")


# What must pass.

HONEST: list[tuple[str, Plant]] = [
    ("noise", lambda c, r: {"noise": r.normal(size=len(c["id"]))}),
    ("noise of a few levels", lambda c, r: {"dice": r.integers(1, 7, len(c["id"]))}),
    ("strong and honest", lambda c, _: {"grade_by_size": c["grade"] * np.sqrt(c["sqft_living"])}),
    ("last year's assessment, a quarter off", lambda c, r: {"assessed": c["price"] * np.exp(r.normal(0, 0.3, len(c["id"])))}),
    ("a constant", lambda c, _: {"county": np.ones(len(c["id"]), dtype=np.int64)}),
    ("always empty", lambda c, r: emptied(c, r, np.ones(len(c["id"]), dtype=bool))),
    ("empty by chance", lambda c, r: emptied(c, r, r.random(len(c["id"])) < 0.3)),
    ("empty for old houses", lambda c, r: emptied(c, r, c["yr_built"] < 1940)),
    ("empty on the shore", lambda c, r: emptied(c, r, c["waterfront"] == 1)),
    ("empty in three dear houses", lambda c, r: emptied(c, r, np.isin(c["price"], np.sort(c["price"])[[-3, -2, -1]]))),
    ("day of the week", lambda c, _: {"weekday": c["date"].astype(np.int64) % 7}),
    ("with an infinity", lambda c, _: {"ratio": np.where(c["sqft_basement"] == 0, np.inf, c["sqft_basement"] / 1000.0)}),
]  # fmt: skip


@pytest.mark.parametrize("plant", [row[1] for row in HONEST], ids=[row[0] for row in HONEST])
def test_an_honest_column_passes(plant: Plant) -> None:
    assert planted(plant) == []


def test_the_order_of_rows_changes_nothing() -> None:
    known = third()
    cells = COLUMNS[0][1](known, np.random.default_rng(7)) | parted(known, np.random.default_rng(8))
    train, test = split({**known, **cells})
    mixed = [taken(rows, np.random.default_rng(3).permutation(len(rows["id"]))) for rows in (train, test)]
    faults = leaks(train, test, with_columns(cells))
    assert len(faults) == 2
    assert leaks(*mixed, with_columns(cells)) == faults


@pytest.mark.parametrize("rows", [1, 2, 3, 30, 200])
def test_a_tiny_table_is_judged_without_a_false_alarm(rows: int) -> None:
    train, test = split(sales())
    for seed in range(3):
        chance = np.random.default_rng(seed)
        few = [taken(side, chance.choice(len(side["id"]), rows, replace=False)) for side in (train, test)]
        assert leaks(*few) == []


def test_a_leak_in_a_tiny_table_is_caught() -> None:
    train, test = split(taken(sales(), np.arange(0, 21_613, 600)))
    assert len(train["id"]) == 30
    cells = [{**side, "tax": side["price"] * 0.9} for side in (train, test)]
    faults = leaks(*cells, with_columns({"tax": cells[0]["tax"]}))
    assert re.match(r"tax alone explains at least (89|9\d)\.\d%", faults[0])


def test_no_rows_are_no_clean_table() -> None:
    train, test = split(third())
    nothing = np.arange(0)
    for sides in ((taken(train, nothing), test), (train, taken(test, nothing))):
        assert leaks(*sides) == [
            "No training rows or no test rows, so no leak can be ruled out: set split.test_from anew."
        ]


def test_a_constant_target_passes() -> None:
    known = third()
    known["price"] = np.full(len(known["id"]), 5e5)
    assert leaks(*split(known), duplicate_share_max=0.5) == []


def test_texts_as_keys_and_as_categories_are_read() -> None:
    known = third()
    known["id"] = np.array([f"h{number:010.0f}" for number in known["id"].tolist()], dtype=object)
    known["zipcode"] = np.array(
        [str(code) if code > 98002 else None for code in known["zipcode"].tolist()], dtype=object
    )
    categories = [str(code) for code in contract()["zipcode"].categories]
    made = changed({"id": {"type": "category", "categories": ["h"], "minimum": None, "maximum": None},
                    "zipcode": {"categories": categories, "example": "98103", "nullable": True}})  # fmt: skip
    assert leaks(*split(known), made) == []


def test_a_column_that_is_whole_on_one_side_only_matches_all_the_same() -> None:
    train, test = split(third())
    copies = joined(
        train, taken(test, np.arange(40)), id=np.arange(40) + 1, date=np.repeat(np.datetime64("2014-08-01"), 40)
    )
    copies["grade"] = copies["grade"].astype(np.float64)
    test["grade"] = test["grade"].astype(np.int64)
    assert any("all features of a training row" in fault for fault in leaks(copies, test))


def test_the_tables_are_left_as_they_are() -> None:
    train, test = split(third())
    before = [{name: values.copy() for name, values in side.items()} for side in (train, test)]
    leaks(train, test)
    for side, was in zip((train, test), before, strict=True):
        assert all((side[name] == was[name]).all() for name in was)


# The limits.


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [
        ("single_r2_max", 0.56, "grade_times_size alone explains at least 56.5% of the log of price"),
        ("parts_error_min", 0.14, " to price, with a median error of 1"),
        ("group_share_max", 0.01, "45 of 2,228 test rows (2.0%) have the id of a training row"),
        ("order_rank_max", 0.08, "lot_per_living follows id with a rank correlation of at least 0.09"),
        ("distinct_share_max", 0.5, "sqft_lot has 51.7% as many values as there are keys"),
    ],
)
def test_a_tighter_limit_shows_what_the_shipped_sales_reach(limit: str, value: float, said: str) -> None:
    """The figures that params.yaml quotes beside the limits."""
    faults = leaks(*split(sales()), **{limit: value})
    assert any(said in fault and f"; leakage.{limit} is {value:g}: " in fault for fault in faults), faults


@pytest.mark.parametrize("limit", sorted(LIMITS))
@pytest.mark.parametrize("value", [-0.1, 1.1, "0.5", None])
def test_an_impossible_limit_is_refused(limit: str, value: object) -> None:
    with pytest.raises(Refusal, match=f"params.yaml: leakage.{limit} is "):
        parse(LeakageParams, LIMITS | {limit: value}, "params.yaml: leakage")
