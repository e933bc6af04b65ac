"""Test that a table is held to the contract: its structure, each row with all its reasons, and its warnings.

One property compares with the service: for the same house, table and request come to the same verdict.
"""

import datetime
import decimal
import functools
import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import ask, changed, contract, document, frame, houses, sales

from hearth.contract import Contract
from hearth.errors import Refusal
from hearth.parquet import to_frame
from hearth.tables import (
    arrow_schema,
    arrow_type,
    conform,
    quarantine_schema,
    raw_schema,
    reasons,
    warnings,
    without_private,
)

DAY = datetime.date(2014, 7, 1)


def table(count: int = 4) -> pa.Table:
    return sales(houses(count))


def with_column(name: str, values: Any, count: int = 4) -> pa.Table:
    known = table(count)
    return known.set_column(
        known.column_names.index(name), name, values if isinstance(values, pa.Array) else pa.array(values)
    )


def refused(found: pa.Table, known: Contract | None = None) -> str:
    with pytest.raises(Refusal) as caught:
        conform(found, known or contract(), "sales.parquet")
    return str(caught.value)


def judged(known: Contract | None = None, **cells: list[Any]) -> list[str]:
    """Return the reasons of a valid table with some columns replaced."""
    known = known or contract()
    count = len(next(iter(cells.values())))
    found = table(count)
    for name, values in cells.items():
        replaced = pa.array(values, type=arrow_type(known[name]), from_pandas=False)
        found = found.set_column(found.column_names.index(name), name, replaced)
    return reasons(to_frame(conform(found, known, "sales.parquet")), known).tolist()


# Privacy

PRIVATE = {
    "owner": {"type": "text", "unit": "name", "role": "identifier", "meaning": "Who sold it."},
    "income": {"type": "integer", "unit": "dollar", "role": "sensitive", "meaning": "Of the owner."},
    "note": {"type": "text", "unit": "text", "role": "ignored", "meaning": "Words."},
}


def with_people() -> pa.Table:
    """Return two sales, the second with two faults of its own and an owner whom nobody knows."""
    cells = {"owner": ["Planted Person", None], "income": [71, None], "note": ["words", None], "grade": [7, 99]}
    found = table(2).drop_columns(["grade"])
    for name, values in cells.items():
        found = found.append_column(name, pa.array(values))
    return found


def test_private_columns_are_in_no_schema_after_the_raw_table() -> None:
    known = changed(PRIVATE)
    raw = conform(with_people(), known, "x")
    assert [str(raw.schema.field(name).type) for name in PRIVATE] == ["string", "int64", "string"]
    frame = without_private(to_frame(raw), known)
    assert "note" in frame
    assert not {"owner", "income"} & {*frame, *quarantine_schema(known).names, *arrow_schema(known.open).names}
    assert "note" in quarantine_schema(known).names


def test_private_cells_are_not_judged_and_stand_in_no_reason() -> None:
    found = reasons(to_frame(conform(with_people(), changed(PRIVATE), "x")), changed(PRIVATE)).tolist()
    assert found[0] == ""
    assert [part.split(",")[0] for part in found[1].split("; ")] == ["grade: 99", "note: empty"]


def test_a_refused_column_shows_no_private_value() -> None:
    wrong = pa.array([71.5, 72.5])
    ordinary = changed(PRIVATE | {"income": PRIVATE["income"] | {"role": "ignored"}})
    found = with_people().drop_columns(["income"]).append_column("income", wrong)
    assert "71.5" in refused(found, ordinary)
    said = refused(found, changed(PRIVATE))
    assert "71" not in said
    assert said.endswith("the column income is of type double, wanted a whole number (dollar); a value does not fit.")


# Structure


def test_a_table_of_the_contract_stays_as_it_is() -> None:
    assert conform(table(), contract(), "x").equals(table())


def test_columns_take_the_contracts_order() -> None:
    mixed = table().select(list(reversed(table().column_names)))
    assert conform(mixed, contract(), "x").equals(table())


def test_the_shipped_types_of_the_road_are_those_of_the_contract() -> None:
    found = {field.name: str(field.type) for field in arrow_schema(contract().columns)}
    assert {found.pop(name) for name in ("bathrooms", "floors", "lat", "long")} == {"double"}
    assert (found.pop("date"), found.pop("waterfront")) == ("date32[day]", "bool")
    assert set(found.values()) == {"int64"}
    assert arrow_type(changed({"zipcode": {"categories": ["a"], "example": "a"}})["zipcode"]) == pa.string()


def test_the_quarantine_has_one_column_more() -> None:
    names = [column.name for column in contract().columns]
    assert raw_schema(contract()).names == [*names, "reasons"]


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        pytest.param(lambda t: t.drop_columns(["grade", "lat"]), "sales.parquet lacks the column grade, lat of the contract; it has id, date", id="missing"),
        pytest.param(lambda t: t.append_column("agent", pa.array(["x"] * 4)), "sales.parquet has the column agent that data/contract.yaml does not know", id="extra"),
        pytest.param(lambda t: t.append_column("grade", t["grade"]), "sales.parquet has the column grade more than once; keep one.", id="doubled"),
        pytest.param(lambda t: t.rename_columns([n.upper() for n in t.column_names]), "lacks the column id, date, price", id="another case"),
        pytest.param(lambda _: pa.table({}), "lacks the column id, date, price", id="nothing at all"),
    ],
)  # fmt: skip
def test_another_structure_is_refused(spoilt: Any, said: str) -> None:
    assert said in refused(spoilt(table()))


@pytest.mark.parametrize(
    ("name", "values", "kind", "wanted"),
    [
        pytest.param("grade", ["7"] * 4, "string", "a whole number from 1 to 13 (score); texts are not converted", id="text for integer"),
        pytest.param("grade", pa.array(["7"] * 4, pa.large_string()), "large_string", "texts are not converted", id="large text for integer"),
        pytest.param("lat", ["47.5"] * 4, "string", "a number from 47.08 to 47.79 (degree); texts are not converted", id="text for number"),
        pytest.param("waterfront", ["true"] * 4, "string", "true or false; texts are not converted", id="text for boolean"),
        pytest.param("date", ["2014-05-02"] * 4, "string", "a date as YYYY-MM-DD from 2014-01-01 to 2049-12-31; texts", id="text for date"),
        pytest.param("zipcode", ["98103"] * 4, "string", "one of the 70 categories of zipcode", id="text for a numbered category"),
        pytest.param("grade", [True] * 4, "bool", "only true and false are", id="boolean for integer"),
        pytest.param("lat", [True] * 4, "bool", "only true and false are", id="boolean for number"),
        pytest.param("waterfront", [1, 0, 1, 0], "int64", "true or false; only true and false are", id="integer for boolean"),
        pytest.param("grade", [7.0, 7.5, 7.0, 7.0], "double", "Float value 7.500000 was truncated", id="fraction for integer"),
        pytest.param("grade", [7.0, math.nan, 7.0, 7.0], "double", "Float value nan was truncated", id="NaN for integer"),
        pytest.param("grade", [7.0, math.inf, 7.0, 7.0], "double", "Float value inf was truncated", id="infinity for integer"),
        pytest.param("id", pa.array([2**63] * 4, pa.uint64()), "uint64", "not in range", id="too large an integer"),
        pytest.param("lat", pa.array([2**53 + 1] * 4), "int64", "not in range", id="an integer that no float holds"),
        pytest.param("grade", pa.array([decimal.Decimal("7.5")] * 4), "decimal128(2, 1)", "would cause data loss", id="decimal fraction"),
        pytest.param("grade", [[7]] * 4, "list<item: int64>", "Unsupported cast", id="lists"),
        pytest.param("grade", [DAY] * 4, "date32[day]", "Unsupported cast", id="dates for integer"),
        pytest.param("date", pa.array([20140502] * 4), "int64", "Unsupported cast", id="integers for date"),
    ],
)  # fmt: skip
def test_a_column_of_another_type_is_refused(name: str, values: Any, kind: str, wanted: str) -> None:
    said = refused(with_column(name, values))
    assert said.startswith(f"sales.parquet: the column {name} is of type {kind}, wanted ")
    assert wanted in said


@pytest.mark.parametrize(
    ("name", "values"),
    [
        pytest.param("grade", pa.array([7, 8, 9, None], pa.int32()), id="int32"),
        pytest.param("grade", pa.array([7, 8, 9, None], pa.uint8()), id="uint8"),
        pytest.param("grade", pa.array([7.0, 8.0, 9.0, None]), id="floats without fraction"),
        pytest.param("grade", pa.array([7, 8, 9, None]).dictionary_encode(), id="dictionary of integers"),
        pytest.param("grade", pa.array([decimal.Decimal(7), None, None, None]), id="decimals without fraction"),
        pytest.param("grade", pa.array([None] * 4), id="only nulls"),
        pytest.param("lat", pa.array([47.5, 47.25, None, 47.125], pa.float32()), id="float32"),
        pytest.param("lat", pa.array([47, 47, None, 47]), id="integers for number"),
        pytest.param("date", pa.array([datetime.datetime(2014, 7, 1)] * 4, pa.timestamp("us")), id="midnights"),
        pytest.param("date", pa.array([DAY] * 4, pa.date64()), id="date64"),
    ],
)  # fmt: skip
def test_another_type_is_cast_where_nothing_is_lost(name: str, values: pa.Array) -> None:
    found = conform(with_column(name, values), contract(), "x")[name]
    assert found.type == arrow_type(contract()[name])
    assert found.to_pylist() == [v.date() if isinstance(v, datetime.datetime) else v for v in values.to_pylist()]


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["a", "b", None, "a"]),
        pa.array(["a", "b", None, "a"], pa.large_string()),
        pa.array(["a", "b", None, "a"]).dictionary_encode(),
        pa.array(["a", "b", None, "a"], pa.string_view()),
    ],
    ids=str,
)
def test_every_kind_of_text_is_taken_for_text_categories(values: pa.Array) -> None:
    known = changed({"zipcode": {"categories": ["a", "b"], "example": "a"}})
    found = conform(with_column("zipcode", values), known, "x")["zipcode"]
    assert (found.type, found.to_pylist()) == (pa.string(), ["a", "b", None, "a"])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        pytest.param("grade", pa.array(["7", "8", "9", "7"]).dictionary_encode(), id="dictionary of texts"),
        pytest.param("grade", pa.array(["7", "8", "9", "7"], pa.string_view()), id="string view"),
        pytest.param("grade", pa.array([b"7", b"8", b"9", b"7"]), id="bytes"),
        pytest.param("date", pa.array(["2014-05-02"] * 4).dictionary_encode(), id="dictionary of texts for dates"),
        pytest.param("grade", pa.array([True] * 4).dictionary_encode(), id="dictionary of booleans"),
        pytest.param("date", pa.array([20140502] * 4, pa.int32()), id="int32 for dates, read as days since 1970"),
        pytest.param("date", pa.array([datetime.datetime(2014, 7, 1, 5)] * 4, pa.timestamp("us")), id="the hour is cut off"),
        pytest.param("grade", pa.array([7] * 4, pa.duration("s")), id="durations"),
        pytest.param("id", pa.array([datetime.datetime(2014, 7, 1)] * 4, pa.timestamp("s")), id="timestamps as integers"),
    ],
)  # fmt: skip
def test_a_hidden_conversion_is_refused(name: str, values: pa.Array) -> None:
    assert f"the column {name} is of type" in refused(with_column(name, values))


def test_conform_leaves_its_table_alone() -> None:
    found = with_column("grade", pa.array([7, 8, 9, 9], pa.int32()))
    conform(found, contract(), "x")
    assert found["grade"].type == pa.int32()


# Rows


def test_valid_rows_have_no_reason() -> None:
    assert reasons(frame(30), contract()).tolist() == [""] * 30


WHOLE = "wanted a whole number from"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        pytest.param("grade", 0, f"grade: 0, {WHOLE} 1 to 13 (score)", id="below"),
        pytest.param("grade", 14, f"grade: 14, {WHOLE} 1 to 13 (score)", id="above"),
        pytest.param("grade", None, f"grade: empty, {WHOLE} 1 to 13 (score)", id="empty"),
        pytest.param("id", None, f"id: empty, {WHOLE} 1 to 9999999999 (house number)", id="empty key"),
        pytest.param("price", 9999, f"price: 9999, {WHOLE} 10000 to 50000000 (US dollar)", id="target"),
        pytest.param("lat", 46.0, "lat: 46.0, wanted a number from 47.08 to 47.79 (degree)", id="number below"),
        pytest.param("lat", math.nan, "lat: empty, wanted a number from 47.08 to 47.79 (degree)", id="NaN in a number"),
        pytest.param("long", math.inf, "long: inf, wanted a number from -122.54 to -121.06 (degree)", id="infinity"),
        pytest.param("bathrooms", 2.3, "bathrooms: 2.3, wanted a number from 0 to 12 in steps of 0.25 (room)", id="off the grid"),
        pytest.param("floors", None, "floors: empty, wanted a number from 1 to 5 in steps of 0.5 (level)", id="empty on a grid"),
        pytest.param("zipcode", 98000, "zipcode: 98000, wanted one of the 70 categories of zipcode (postal code)", id="category"),
        pytest.param("zipcode", None, "zipcode: empty, wanted one of the 70 categories of zipcode (postal code)", id="empty category"),
        pytest.param("waterfront", None, "waterfront: empty, wanted true or false", id="empty boolean"),
        pytest.param("date", None, "date: empty, wanted a date as YYYY-MM-DD from 2014-01-01 to 2049-12-31", id="empty date"),
        pytest.param("date", datetime.date(2050, 1, 1), "date: 2050-01-01, wanted a date as YYYY-MM-DD from 2014-01-01 to 2049-12-31", id="late date"),
        pytest.param("sqft_lot", 99, f"sqft_lot: 99, {WHOLE} 100 to 5000000 (square foot)", id="area"),
    ],
)  # fmt: skip
def test_a_cell_is_refused_with_its_reason_and_its_row_only(name: str, value: Any, reason: str) -> None:
    good = table(3)[name].to_pylist()
    assert judged(**{name: [good[0], value, good[2]]}) == ["", reason, ""]


def test_bounds_belong_to_the_allowed_values() -> None:
    assert judged(grade=[1, 13], bathrooms=[0.0, 12.0], lat=[47.08, 47.79]) == ["", ""]


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"sqft_living": [1001], "sqft_above": [1000], "sqft_basement": [0]}, "area_parts_sum: sqft_above + sqft_basement == sqft_living"),
        ({"yr_built": [1950], "yr_renovated": [1949]}, "renovated_after_built: yr_renovated == 0 or yr_renovated >= yr_built"),
        ({"date": [DAY], "yr_built": [2016], "yr_renovated": [0]}, "built_before_sold: yr_built <= year(date) + 1"),
        ({"date": [DAY], "yr_built": [1950], "yr_renovated": [2016]}, "renovated_before_sold: yr_renovated <= year(date) + 1"),
    ],
)  # fmt: skip
def test_a_rule_over_several_columns_is_the_reason(cells: dict[str, list[Any]], reason: str) -> None:
    assert judged(**cells) == [reason]


def test_a_rule_holds_at_its_edge() -> None:
    assert judged(date=[DAY], yr_built=[2015], yr_renovated=[2015]) == [""]


def test_a_rule_judges_filled_cells_only() -> None:
    """The empty cell has a reason of its own; a second one would say nothing."""
    assert judged(sqft_above=[None]) == [f"sqft_above: empty, {WHOLE} 100 to 20000 (square foot)"]


def test_an_empty_cell_is_accepted_where_it_is_allowed() -> None:
    known = changed({name: {"nullable": True} for name in ("grade", "floors", "waterfront", "zipcode", "yr_renovated")})
    empty = [None]
    assert judged(known, grade=empty, floors=empty, waterfront=empty, zipcode=empty, yr_renovated=empty) == [""]


def test_a_row_with_several_faults_carries_all_of_them() -> None:
    found = judged(grade=[7, 14], condition=[3, 9], lat=[47.5, None], yr_built=[1950, 1950], yr_renovated=[0, 1900])
    assert found[0] == ""
    assert sorted(found[1].split("; ")) == [
        f"condition: 9, {WHOLE} 1 to 5 (score)",
        f"grade: 14, {WHOLE} 1 to 13 (score)",
        "lat: empty, wanted a number from 47.08 to 47.79 (degree)",
        "renovated_after_built: yr_renovated == 0 or yr_renovated >= yr_built",
    ]


def test_a_cell_with_two_faults_is_named_once() -> None:
    """13.1 is above the maximum and off the grid; what was wanted says both."""
    assert judged(bathrooms=[13.1]) == ["bathrooms: 13.1, wanted a number from 0 to 12 in steps of 0.25 (room)"]


def test_a_repeated_sale_is_refused_and_the_first_kept() -> None:
    said = "id + date: an earlier row of this delivery has the same"
    assert judged(id=[5, 5, 5, 6], date=[DAY, DAY, datetime.date(2014, 7, 2), DAY]) == ["", said, "", ""]


def test_sales_without_a_key_are_not_called_repeated() -> None:
    said = judged(id=[None, None], date=[DAY, DAY])
    assert said == [f"id: empty, {WHOLE} 1 to 9999999999 (house number)"] * 2


def test_a_category_of_texts_is_judged() -> None:
    known = changed({"zipcode": {"categories": ["a", "b"], "example": "a"}})
    found = conform(with_column("zipcode", ["a", "c", None, "b"]), known, "x")
    wanted = "wanted one of the 2 categories of zipcode (postal code)"
    assert reasons(to_frame(found), known).tolist() == ["", f"zipcode: c, {wanted}", f"zipcode: empty, {wanted}", ""]


def test_reasons_keep_the_frames_index_and_leave_the_frame_alone() -> None:
    found = frame(3).set_index(pd.Index([7, 3, 7]))
    before = found.copy()
    found_reasons = reasons(found.assign(grade=pd.array([14, 7, 7], dtype="Int64")), contract())
    assert found_reasons.index.tolist() == [7, 3, 7]
    assert (found_reasons != "").tolist() == [True, False, False]
    pd.testing.assert_frame_equal(found, before)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(-1, 15), min_size=1, max_size=30))
def test_accepted_and_quarantined_rows_are_all_rows(grades: list[int]) -> None:
    why = judged(grade=grades)
    assert [not reason for reason in why] == [1 <= grade <= 13 for grade in grades]


@pytest.mark.parametrize("name", ["bathrooms", "floors"])
def test_infinity_on_a_grid_refuses_its_row(name: str) -> None:
    try:
        found = judged(**{name: [1.0, math.inf, 1.3]})
    except Refusal as refusal:
        found = [str(refusal)]
    assert [reason.split(",")[0] for reason in found] == ["", f"{name}: inf", f"{name}: 1.3"]


def test_a_grid_of_tenths_has_all_tenths() -> None:
    known = changed({"floors": {"step": 0.1}})
    assert judged(known, floors=[place / 10 for place in range(10, 51)]) == [""] * 41


# Warnings


def test_warnings_count_the_rows_that_break_each_check() -> None:
    known = table(6)
    cells = {
        "bedrooms": [0, 10, 3, 3, 3, 3],
        "bathrooms": [0.0, 12.0, 6.0, 1.0, 1.0, 1.0],
        "sqft_lot": [10_000] * 5 + [500_001],
    }
    for name, values in cells.items():
        replaced = pa.array(values, type=arrow_type(contract()[name]))
        known = known.set_column(known.column_names.index(name), name, replaced)
    found = warnings(to_frame(known), contract())
    assert list(found) == [c.name for c in contract().checks if c.severity == "warn"]
    assert {name: found[name] for name in ("bedrooms_plausible", "bathrooms_plausible", "lot_plausible")} == {
        "bedrooms_plausible": 2,  # none and ten
        "bathrooms_plausible": 2,  # none, and six for three bedrooms; twelve for ten bedrooms are allowed
        "lot_plausible": 1,
    }


@pytest.mark.parametrize(
    ("factor", "check"), [(0.001, "price_plausible"), (100, "price_plausible"), (10, "price_per_area_plausible")]
)
def test_another_unit_of_the_target_breaks_a_warning_in_most_rows(factor: float, check: str) -> None:
    found = frame(40)
    found["price"] = (found["price"] * factor).round().astype("Int64")
    assert warnings(found, contract())[check] > 30


def test_a_warning_judges_filled_cells_only() -> None:
    known = changed({"bathrooms": {"nullable": True}})
    found = frame(3).assign(bathrooms=pd.array([1.0, None, 1.0], dtype="Float64"), bedrooms=pd.array([3] * 3, "Int64"))
    assert warnings(found, known)["bathrooms_plausible"] == 0


# Table and request

HOUSES = houses(40, seed=7)


def _mutated(name: str) -> st.SearchStrategy[Any]:
    """Return values of a column's type: allowed ones, ones around its bounds, far ones, and none."""
    column = contract()[name]
    if column.type == "boolean":
        return st.sampled_from([True, False, None])
    if column.categories:
        return st.sampled_from([*column.categories[:3], 0, 1, 98000, 98200, -1, None])
    low, high = column.minimum, column.maximum
    if column.type == "integer":
        edges = st.sampled_from([low - 1, low, low + 1, high - 1, high, high + 1, 0, -1, 2**53, None])
        return edges | st.integers(low - 5, high + 5)
    grid = column.step or 0.25
    edges = st.sampled_from(
        [low, high, np.nextafter(low, -999), np.nextafter(high, 999), 0.0, -0.0, 1e300, math.nan, None]
    )
    steps = st.integers(math.floor(low / grid) - 2, math.ceil(high / grid) + 2).map(lambda k: k * grid)
    return edges.map(lambda v: None if v is None else float(v)) | steps | st.floats(low - 1, high + 1)


@functools.cache
def _cells() -> st.SearchStrategy[tuple[str, Any]]:
    names = [column.name for column in contract().features]
    dated = st.dates(datetime.date(2012, 1, 1), datetime.date(2052, 1, 1)) | st.sampled_from(
        [datetime.date(2013, 12, 31), datetime.date(2014, 1, 1), datetime.date(2049, 12, 31), datetime.date(2050, 1, 1)]
    )
    cells = st.sampled_from(names).flatmap(lambda name: st.tuples(st.just(name), _mutated(name)))
    return cells | st.tuples(st.just("date"), dated)


def _said_by_request(house: dict[str, Any]) -> set[str]:
    body = {name: value for name, value in house.items() if not (isinstance(value, float) and math.isnan(value))}
    missing = dict.fromkeys(house.keys() - body.keys())  # JSON has no NaN; the table calls it empty
    plain = {
        name: str(value) if isinstance(value, datetime.date) else value for name, value in (body | missing).items()
    }
    status, answer = ask(plain)
    assert status in (200, 422)
    names = {column.name for column in contract().columns}
    return {
        entry["field"] if entry["field"] in names else entry["expected"].split("(")[-1].rstrip(")")
        for entry in (answer["detail"] if status == 422 else [])
    }


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(range(len(HOUSES))), st.lists(_cells(), max_size=2)), min_size=1, max_size=12)
)
def test_table_and_request_come_to_the_same_verdict(cases: list[tuple[int, list[tuple[str, Any]]]]) -> None:
    """A house is accepted by both or refused by both, for the same columns, or else for the same rules.

    The service looks at rules only once each field is good, so rules are compared where no column is at fault.
    """
    given_houses = [HOUSES[place] | dict(cells) for place, cells in cases]
    found = reasons(to_frame(conform(sales(given_houses), contract(), "x")), contract())
    checks = set(document()["checks"])
    for house, why in zip(given_houses, found, strict=True):
        by_table = {reason.split(":")[0] for reason in why.split("; ")} - {""}
        columns_at_fault = by_table - checks
        assert _said_by_request(house) == (columns_at_fault or by_table), (house, why)


def test_the_valid_samples_are_accepted_by_both() -> None:
    """Otherwise the property above could hold of houses that are all refused."""
    assert [ask(house)[0] for house in HOUSES] == [200] * len(HOUSES)
    assert set(reasons(to_frame(sales(HOUSES)), contract())) == {""}
