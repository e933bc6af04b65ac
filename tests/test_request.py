"""Test that the request model is the contract: its fields, bounds and strictness, and the columns made of it."""

import datetime
import json
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from samples import changed, contract, houses

from hearth.contract import Contract
from hearth.request import columns_of, request_model

HOUSE = houses(1)[0]
AS_OF = datetime.date(2015, 3, 1)


def faults(values: dict[str, Any], known: Contract | None = None) -> list[tuple[Any, str]]:
    """Return (field, kind of fault) for a house sent as JSON."""
    try:
        request_model(known or contract()).model_validate_json(json.dumps(values))
    except ValidationError as error:
        return [(entry["loc"][0], entry["type"]) for entry in error.errors()]
    return []


def test_the_fields_are_the_features_and_the_day() -> None:
    fields = request_model(contract()).model_fields
    assert list(fields) == [*(column.name for column in contract().features), "date"]
    assert [name for name, field in fields.items() if not field.is_required()] == ["date"]


@pytest.mark.parametrize("role", ["identifier", "sensitive"])
def test_a_private_column_is_no_field_and_refused_like_any_unknown_one(role: str) -> None:
    """So it cannot come into the prediction log either, which holds what was priced."""
    known = changed({"owner": {"type": "text", "unit": "name", "role": role, "meaning": "Who sold it."}})
    assert list(request_model(known).model_fields) == list(request_model(contract()).model_fields)
    assert faults(HOUSE, known) == []
    assert faults(HOUSE | {"owner": "x"}, known) == [("owner", "extra_forbidden")]


def test_the_schema_tells_bounds_units_and_examples() -> None:
    """It is what the service's form and its clients are made of."""
    schema = request_model(contract()).model_json_schema()
    assert schema["additionalProperties"] is False
    assert schema["description"] == "One recorded sale of one house, without its price."
    assert schema["properties"]["grade"] == {
        "title": "Grade",
        "type": "integer",
        "minimum": 1,
        "maximum": 13,
        "description": "The county's grade of the building; 1 to 3 substandard, 7 average, 11 to 13 excellent (score).",
        "examples": [7],
    }
    assert schema["properties"]["zipcode"]["enum"] == list(contract()["zipcode"].categories)


def test_a_valid_house_is_taken_as_it_is() -> None:
    model = request_model(contract())
    found = model.model_validate_json(json.dumps(HOUSE)).model_dump()
    assert found == HOUSE | {"date": datetime.date.fromisoformat(HOUSE["date"])}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"grade": 0}, [("grade", "greater_than_equal")], id="below"),
        pytest.param({"grade": 14}, [("grade", "less_than_equal")], id="above"),
        pytest.param({"grade": 7.0}, [("grade", "int_type")], id="float for integer"),
        pytest.param({"grade": "7"}, [("grade", "int_type")], id="text for integer"),
        pytest.param({"grade": True}, [("grade", "int_type")], id="boolean for integer"),
        pytest.param({"grade": None}, [("grade", "int_type")], id="null"),
        pytest.param({"grade": [7]}, [("grade", "int_type")], id="list"),
        pytest.param({"lat": "47.5"}, [("lat", "float_type")], id="text for number"),
        pytest.param({"lat": True}, [("lat", "float_type")], id="boolean for number"),
        pytest.param({"lat": 47.8}, [("lat", "less_than_equal")], id="number above"),
        pytest.param({"bathrooms": 2.3}, [("bathrooms", "value_error")], id="off the grid"),
        pytest.param({"waterfront": 1}, [("waterfront", "bool_type")], id="integer for boolean"),
        pytest.param({"waterfront": "yes"}, [("waterfront", "bool_type")], id="text for boolean"),
        pytest.param({"zipcode": 98000}, [("zipcode", "literal_error")], id="unknown category"),
        pytest.param({"zipcode": "98103"}, [("zipcode", "value_error")], id="text for a numbered category"),
        pytest.param({"date": "2013-12-31"}, [("date", "greater_than_equal")], id="day too early"),
        pytest.param({"price": 500000}, [("price", "extra_forbidden")], id="the answer itself"),
        pytest.param({"grade": 0, "lat": 0.0}, [("grade", "greater_than_equal"), ("lat", "greater_than_equal")], id="two faults"),
    ],
)  # fmt: skip
def test_another_house_is_refused(change: dict[str, Any], expected: list[tuple[Any, str]]) -> None:
    found = faults(HOUSE | change)
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize(
    "given",
    ["2015-02-29", "1.3.2015", "20150301", "2015-3-1", "2015-01-01T00:00:00", "", 1420070400, 1420070400.0, True, ["2015-01-01"]],
)  # fmt: skip
def test_what_is_no_day_is_refused(given: object) -> None:
    assert [field for field, _ in faults(HOUSE | {"date": given})] == ["date"]


@pytest.mark.parametrize("given", ["1420070400", "1420070400000"])
def test_seconds_in_quotes_are_no_day(given: str) -> None:
    assert [field for field, _ in faults(HOUSE | {"date": given})] == ["date"]


@pytest.mark.parametrize("name", [column.name for column in contract().features])
def test_every_feature_must_be_given(name: str) -> None:
    assert faults({key: value for key, value in HOUSE.items() if key != name}) == [(name, "missing")]


@pytest.mark.parametrize("change", [{"grade": 1}, {"grade": 13}, {"bathrooms": 0.0}, {"bathrooms": 2}, {"lat": 47.08}])
def test_bounds_and_whole_numbers_are_accepted(change: dict[str, Any]) -> None:
    assert faults(HOUSE | change) == []


@pytest.mark.parametrize("name", ["grade", "bathrooms", "waterfront", "zipcode"])
def test_a_nullable_feature_may_be_null_or_left_out(name: str) -> None:
    known = changed({name: {"nullable": True}})
    without = {key: value for key, value in HOUSE.items() if key != name}
    assert faults(without | {name: None}, known) == faults(without, known) == []


def test_text_categories_are_held_to_the_contract() -> None:
    known = changed({"zipcode": {"categories": ["a", "b"], "example": "a"}})
    assert faults(HOUSE | {"zipcode": "b"}, known) == []
    assert faults(HOUSE | {"zipcode": "c"}, known) == [("zipcode", "literal_error")]


@pytest.mark.parametrize("value", [1.0, True])
def test_a_numbered_category_is_a_whole_number(value: object) -> None:
    known = changed({"zipcode": {"categories": [0, 1], "example": 1}})
    assert [field for field, _ in faults(HOUSE | {"zipcode": value}, known)] == ["zipcode"]


def test_a_house_cannot_be_changed() -> None:
    house = request_model(contract()).model_validate_json(json.dumps(HOUSE))
    with pytest.raises(ValidationError, match="frozen"):
        house.grade = 8  # type: ignore[attr-defined]


def dumped(values: list[dict[str, Any]], known: Contract) -> list[dict[str, Any]]:
    return [request_model(known).model_validate_json(json.dumps(house)).model_dump() for house in values]


def test_columns_hold_the_houses_in_order() -> None:
    given = houses(3, seed=5)
    found = columns_of(dumped(given, contract()), contract(), AS_OF)
    assert set(found) == set(given[0])
    for name, values in found.items():
        assert [str(value) if name == "date" else value for value in values.tolist()] == [h[name] for h in given]
    assert {str(values.dtype) for name, values in found.items() if name not in ("date", "waterfront", "zipcode")} == {
        "float64"
    }
    assert (found["date"].dtype, found["waterfront"].dtype) == (np.dtype("datetime64[D]"), np.dtype(bool))


@pytest.mark.parametrize("left_out", [True, False])
def test_a_day_left_out_or_null_is_the_day_of_the_model(left_out: bool) -> None:
    house = {key: value for key, value in HOUSE.items() if key != "date"} | ({} if left_out else {"date": None})
    found = columns_of(dumped([house, HOUSE], contract()), contract(), AS_OF)
    assert found["date"].tolist() == [AS_OF, datetime.date.fromisoformat(HOUSE["date"])]


def test_a_null_becomes_a_missing_number() -> None:
    known = changed({name: {"nullable": True} for name in ("grade", "waterfront")})
    found = columns_of(
        dumped([HOUSE | {"grade": None, "waterfront": None}, HOUSE | {"waterfront": True}], known), known, AS_OF
    )
    assert np.isnan(found["grade"]).tolist() == [True, False]
    assert np.isnan(found["waterfront"]).tolist() == [True, False]
    assert found["waterfront"][1] == 1.0


def test_days_of_the_log_are_texts_and_mean_the_same() -> None:
    """The monitor makes columns of what was logged, where a day is a text and an old entry may have none."""
    days = [datetime.date(2014, 5, 2), None, datetime.date(2016, 2, 29), datetime.date(1969, 12, 31)]
    dated = [HOUSE | {"date": day} for day in days]
    written = [HOUSE | {"date": None if day is None else str(day)} for day in days]
    wanted = np.array(["2014-05-02", "2015-03-01", "2016-02-29", "1969-12-31"], dtype="datetime64[D]")
    for some in (dated, written, [*dated[:2], *written[2:]]):
        found = columns_of(some, contract(), AS_OF)["date"]
        assert (found.dtype, found.tolist()) == (wanted.dtype, wanted.tolist())
