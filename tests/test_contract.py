"""Test that the real contract parses, what it derives, and that each kind of mistake in one is refused by its place."""

import datetime
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import changed, contract, document

from hearth.contract import Contract, on_grid, parse_contract
from hearth.errors import Refusal

Edit = Callable[[dict[str, Any]], object]
TEXT = {"type": "text", "unit": "text", "role": "ignored", "meaning": "What somebody wrote."}


def refused(edit: Edit) -> str:
    values = document()
    edit(values)
    with pytest.raises(Refusal) as caught:
        parse_contract(values, "data/contract.yaml")
    return str(caught.value)


def column(name: str, **keys: Any) -> Edit:
    return lambda values: values["columns"][name].update(keys)


def check(name: str, **keys: Any) -> Edit:
    return lambda values: values["checks"][name].update(keys)


def test_the_real_contract_keeps_the_order_of_its_file() -> None:
    values = document()
    assert [c.name for c in contract().columns] == list(values["columns"])
    assert [c.name for c in contract().checks] == list(values["checks"])


def test_the_real_contract_has_each_role_it_needs() -> None:
    found = contract()
    assert (found.time.name, found.target.name, found.keys) == ("date", "price", ["id", "date"])
    assert len(found.features) == 18
    assert {c.name for c in found.columns} - {c.name for c in found.features} == {"id", "date", "price"}


def test_the_real_contract_gives_every_feature_an_example_that_it_accepts() -> None:
    """The service's form is filled with them."""
    for known in contract().features:
        assert known.example is not None, known.name
        if known.categories:
            assert known.example in known.categories
        elif known.minimum is not None:
            assert known.minimum <= known.example <= known.maximum  # type: ignore[operator]


def test_parsing_leaves_the_document_alone() -> None:
    values = document()
    parse_contract(values, "x")
    assert values == document()


def test_a_column_is_found_by_name() -> None:
    assert contract()["grade"].maximum == 13
    with pytest.raises(KeyError):
        contract()["garde"]


def test_roles_are_returned_in_the_tables_order() -> None:
    assert [c.name for c in contract().of("target", "key")] == ["id", "price"]


def test_the_watermark_is_recorded_at_where_there_is_one() -> None:
    recorded = {"type": "date", "unit": "day", "role": "recorded_at", "meaning": "Day on which the row was entered."}
    assert contract().watermark == "date"
    assert changed({"entered": recorded}).watermark == "entered"


@pytest.mark.parametrize(
    ("available", "names"),
    [
        pytest.param(None, ["area_parts_sum", "renovated_after_built", "built_before_sold", "renovated_before_sold"], id="all columns"),
        pytest.param({"sqft_above", "sqft_basement", "sqft_living"}, ["area_parts_sum"], id="three columns"),
        pytest.param({"price", "sqft_lot"}, [], id="only columns of warnings"),
        pytest.param(set(), [], id="none"),
    ],
)  # fmt: skip
def test_refusing_checks_are_those_over_available_columns(available: set[str] | None, names: list[str]) -> None:
    known = {c.name for c in contract().columns} if available is None else available
    assert [c.name for c in contract().refusing(known)] == names


@pytest.mark.parametrize(
    ("name", "keys", "expected"),
    [
        ("bedrooms", {}, "a whole number from 0 to 15 (room)"),
        ("bathrooms", {}, "a number from 0 to 12 in steps of 0.25 (room)"),
        ("waterfront", {}, "true or false"),
        ("date", {}, "a date as YYYY-MM-DD from 2014-01-01 to 2049-12-31"),
        ("zipcode", {}, "one of the 70 categories of zipcode (postal code)"),
        ("bedrooms", {"minimum": None}, "a whole number of at most 15 (room)"),
        ("bedrooms", {"maximum": None}, "a whole number of at least 0 (room)"),
        ("bedrooms", {"minimum": None, "maximum": None}, "a whole number (room)"),
        ("bedrooms", {"nullable": True}, "a whole number from 0 to 15 (room), or null"),
    ],
)
def test_a_column_says_in_words_what_a_value_must_be(name: str, keys: dict[str, Any], expected: str) -> None:
    assert changed({name: keys})[name].expected == expected


@pytest.mark.parametrize(
    ("edit", "place", "reason"),
    [
        pytest.param(column("grade", colour="red"), "data/contract.yaml: columns.grade.colour", "is not a known key; known are", id="unknown key"),
        pytest.param(column("grade", minimun=1), "data/contract.yaml: columns.grade.minimun", "did you mean 'minimum'?", id="misspelt key"),
        pytest.param(column("grade", role="targets"), "data/contract.yaml: columns.grade.role is 'targets'", "'key', 'time', 'target', 'feature'", id="unknown role"),
        pytest.param(column("grade", type="int"), "data/contract.yaml: columns.grade.type is 'int'", "'integer', 'number', 'boolean', 'date', 'category' or 'text'", id="unknown type"),
        pytest.param(lambda v: v["columns"]["grade"].pop("unit"), "data/contract.yaml: columns.grade.unit", "is missing; add it", id="no unit"),
        pytest.param(column("grade", meaning=""), "data/contract.yaml: columns.grade.meaning is ''", "at least 1 character", id="no meaning"),
        pytest.param(column("grade", minimum=14), "data/contract.yaml: columns.grade ", "a minimum no larger than the maximum, not 14 and 13", id="minimum above maximum"),
        pytest.param(column("date", maximum=datetime.date(2000, 1, 1)), "data/contract.yaml: columns.date ", "not 2014-01-01 and 2000-01-01", id="first day after last"),
        pytest.param(column("date", minimum=2014), "data/contract.yaml: columns.date ", "a bound that fits the type date, not 2014", id="a number bounds dates"),
        pytest.param(column("waterfront", minimum=0), "data/contract.yaml: columns.waterfront ", "a bound that fits the type boolean, not 0", id="a bound on a boolean"),
        pytest.param(column("grade", minimum="1"), "data/contract.yaml: columns.grade.minimum", "is '1', wanted a valid integer", id="a text as bound"),
        pytest.param(column("grade", minimum=float("nan")), "data/contract.yaml: columns.grade.minimum", "is nan", id="NaN as bound"),
        pytest.param(column("waterfront", step=1), "data/contract.yaml: columns.waterfront ", "a step only for integer and number", id="a step on a boolean"),
        pytest.param(column("bathrooms", step=0), "data/contract.yaml: columns.bathrooms.step is 0", "greater than 0", id="a step of zero"),
        pytest.param(column("grade", categories=[1, 2]), "data/contract.yaml: columns.grade ", "categories exactly where the type is category", id="categories on a number"),
        pytest.param(lambda v: v["columns"]["zipcode"].pop("categories"), "data/contract.yaml: columns.zipcode ", "categories exactly where", id="a category without any"),
        pytest.param(column("zipcode", categories=[1, 2, 1]), "data/contract.yaml: columns.zipcode ", "distinct categories", id="a category twice"),
        pytest.param(column("zipcode", categories=[1, "2"]), "data/contract.yaml: columns.zipcode ", "all whole numbers or all texts", id="mixed categories"),
        pytest.param(column("zipcode", categories=[1.5]), "data/contract.yaml: columns.zipcode.categories.0", "is 1.5", id="a fraction as category"),
        pytest.param(column("id", nullable=True), "data/contract.yaml: columns.id ", "nullable: false for the role key", id="nullable key"),
        pytest.param(column("date", nullable=True), "data/contract.yaml: columns.date ", "nullable: false for the role time", id="nullable time"),
        pytest.param(column("price", nullable=True), "data/contract.yaml: columns.price ", "nullable: false for the role target", id="nullable target"),
        pytest.param(column("price", minimum=0), "data/contract.yaml: columns.price ", "a numeric target with a minimum above 0", id="a target of zero"),
        pytest.param(lambda v: v["columns"]["price"].pop("minimum"), "data/contract.yaml: columns.price ", "a numeric target with a minimum above 0", id="a target without minimum"),
        pytest.param(column("waterfront", role="target"), "data/contract.yaml: columns.waterfront ", "a numeric target", id="a boolean target"),
        pytest.param(column("grade", role="time"), "data/contract.yaml: columns.grade ", "the type date for the role time, not integer", id="a number as time"),
        pytest.param(column("date", role="feature"), "data/contract.yaml: columns.date ", "a feature that is no date", id="a date as feature"),
        pytest.param(column("grade", role="identifier"), "data/contract.yaml: columns.grade ", "no minimum, maximum, step or example for the role identifier", id="bounds on an identifier"),
        pytest.param(column("waterfront", role="sensitive"), "data/contract.yaml: columns.waterfront ", "no minimum, maximum, step or example for the role sensitive", id="an example of what is sensitive"),
        pytest.param(lambda v: v["columns"].update(owner={**TEXT, "role": "feature"}), "data/contract.yaml: columns.owner ", "the role identifier, sensitive or ignored for the type text, not feature", id="a text as feature"),
        pytest.param(lambda v: v["columns"].update(owner={**TEXT, "role": "key"}), "data/contract.yaml: columns.owner ", "the role identifier, sensitive or ignored for the type text, not key", id="a text as key"),
        pytest.param(lambda v: v["columns"].update(note={**TEXT, "minimum": 1}), "data/contract.yaml: columns.note ", "a bound that fits the type text, not 1", id="a bound on a text"),
        pytest.param(lambda v: (v["columns"].update(note=TEXT), v["checks"]["area_parts_sum"].update(rule="note > 1")), "data/contract.yaml ", "checks over numbers; area_parts_sum names 'note', a text", id="check on a text"),
        pytest.param(lambda v: (v["columns"].update(income={**TEXT, "type": "integer", "role": "sensitive"}), v["checks"]["lot_plausible"].update(rule="income > 1")), "data/contract.yaml ", "lot_plausible names 'income', whose role is sensitive", id="check on what is sensitive"),
        pytest.param(column("grade", role="target"), "data/contract.yaml ", "exactly one column with the role target, not 2", id="two targets"),
        pytest.param(column("price", role="ignored"), "data/contract.yaml ", "exactly one column with the role target, not 0", id="no target"),
        pytest.param(column("date", role="ignored"), "data/contract.yaml ", "exactly one column with the role time, not 0", id="no time"),
        pytest.param(column("id", role="ignored"), "data/contract.yaml ", "at least one key", id="no key"),
        pytest.param(lambda v: [c.update(role="ignored") for c in v["columns"].values() if c["role"] == "feature"], "data/contract.yaml ", "at least one feature", id="no feature"),
        pytest.param(lambda v: v["columns"].update(grade=None), "data/contract.yaml: columns.grade is None", "a mapping", id="an empty column"),
        pytest.param(lambda v: v["columns"].update({5: v["columns"]["grade"]}), "data/contract.yaml: columns.5.name is 5", "a valid string", id="a number as name"),
        pytest.param(lambda v: v.update(columns=["id", "date"]), "data/contract.yaml: columns is ['id', 'date']", "wanted", id="columns as list"),
        pytest.param(lambda v: v.pop("checks"), "data/contract.yaml: checks", "is missing; add it", id="no checks"),
        pytest.param(lambda v: v.update(colums={}), "data/contract.yaml: colums", "did you mean 'columns'?", id="misspelt part"),
        pytest.param(lambda v: v.update(sha256="abc"), "data/contract.yaml: sha256 is 'abc'", "[0-9a-f]{64}", id="half a checksum"),
        pytest.param(check("area_parts_sum", rule="sqft_abov == 1"), "data/contract.yaml ", "area_parts_sum names 'sqft_abov'", id="check on an unknown column"),
        pytest.param(check("area_parts_sum", rule="grade == 'x'"), "data/contract.yaml: checks.area_parts_sum ", "numbers only; 'x' is none", id="check that is no rule"),
        pytest.param(check("area_parts_sum", severity="error"), "data/contract.yaml: checks.area_parts_sum.severity is 'error'", "'refuse' or 'warn'", id="unknown severity"),
        pytest.param(check("area_parts_sum", budget=0.1), "data/contract.yaml: checks.area_parts_sum ", "a budget exactly where the severity is warn", id="refuse with a budget"),
        pytest.param(lambda v: v["checks"]["lot_plausible"].pop("budget"), "data/contract.yaml: checks.lot_plausible ", "a budget exactly where the severity is warn", id="warn without a budget"),
        pytest.param(check("lot_plausible", budget=1), "data/contract.yaml: checks.lot_plausible.budget is 1", "less than 1", id="a budget of all rows"),
        pytest.param(check("lot_plausible", budget=-0.1), "data/contract.yaml: checks.lot_plausible.budget is -0.1", "greater than or equal to 0", id="a budget below zero"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_by_its_place(edit: Edit, place: str, reason: str) -> None:
    said = refused(edit)
    assert said.startswith(place)
    assert reason in said


@pytest.mark.parametrize("values", [None, [], "name: x", 5])
def test_a_document_that_is_no_mapping_is_refused(values: object) -> None:
    with pytest.raises(Refusal, match=r"^data/contract\.yaml is .*, wanted a mapping"):
        parse_contract(values, "data/contract.yaml")


def test_two_recorded_at_are_refused() -> None:
    recorded = {"type": "date", "unit": "day", "role": "recorded_at", "meaning": "Day."}
    with pytest.raises(Refusal, match="at most one recorded_at"):
        changed({"one": recorded, "two": recorded})


@pytest.mark.parametrize("name", ["grade", "price"])
def test_a_date_bounds_no_number(name: str) -> None:
    with pytest.raises((Refusal, TypeError)) as caught:
        changed({name: {"minimum": datetime.date(2014, 1, 1), "maximum": None}})
    assert isinstance(caught.value, Refusal)
    assert f"columns.{name}" in str(caught.value)


def test_a_name_inside_a_column_is_an_unknown_key() -> None:
    assert "columns.grade.name is not a known key" in refused(
        lambda values: values["columns"]["grade"].update({"name": "quality"})
    )


@pytest.mark.parametrize("example", ["x", 7.5, 99])
def test_an_example_that_the_column_refuses_is_refused(example: object) -> None:
    assert "columns.grade" in refused(column("grade", example=example))


def test_private_columns_are_told_apart_from_those_that_leave_the_raw_table() -> None:
    known = changed(
        {
            "owner": TEXT | {"role": "identifier"},
            "income": TEXT | {"type": "integer", "role": "sensitive"},
            "note": TEXT,
        }
    )
    assert [column.name for column in known.private] == ["owner", "income"]
    assert [column.name for column in known.open] == [column.name for column in contract().columns] + ["note"]
    assert (known["owner"].expected, known["note"].accepts("x"), known["note"].accepts(1)) == ("a text", True, False)
    assert {column.name for column in known.features} == {column.name for column in contract().features}


def test_a_contract_cannot_be_changed() -> None:
    found: Contract = contract()
    with pytest.raises(ValueError, match="frozen"):
        found.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("date > 1", "year() around dates and nothing else; area_parts_sum breaks that with 'date'"),
        ("year(grade) == 1", "year() around dates and nothing else; area_parts_sum breaks that with 'grade'"),
    ],
)
def test_a_rule_is_held_to_the_types_of_its_columns(rule: str, said: str) -> None:
    assert said in refused(check("area_parts_sum", rule=rule))


def test_a_rule_over_texts_is_refused() -> None:
    def texts(values: dict[str, Any]) -> None:
        values["columns"]["zipcode"].update(categories=["a", "b"], example="a")
        values["checks"]["area_parts_sum"].update(rule="zipcode > 1")

    assert "names 'zipcode', whose categories are texts" in refused(texts)


@given(
    st.floats(allow_nan=False) | st.integers(-(10**18), 10**18) | st.sampled_from([0.75, 1.2, 1e308, 3, True]),
    st.sampled_from([0.1, 0.25, 1, 3, 1e-5, 1e-300]),
)
def test_a_number_stands_on_the_grid_where_its_array_does(value: float, step: float) -> None:
    with np.errstate(over="ignore"):
        assert on_grid(value, step) is bool(on_grid(np.array([value]), step)[0])


def test_the_grid_takes_the_rounding_of_a_division_and_no_more() -> None:
    assert on_grid(1.2, 0.1)
    assert on_grid(-7.25, 0.25)
    assert not on_grid(1.2000001, 0.1)
    assert not on_grid(float("inf"), 0.25)


def test_the_features_are_told_apart_by_what_an_array_of_them_holds() -> None:
    known = changed({"grade": {"nullable": True}, "waterfront": {"nullable": False}})
    assert (known.kinds.labels, known.kinds.flags) == (("zipcode",), ("waterfront",))
    assert set(known.kinds.numbers) == {column.name for column in known.features} - {"zipcode"}
    assert changed({"waterfront": {"nullable": True}}).kinds.flags == ()
