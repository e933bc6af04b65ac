"""Test what the service answers to each kind of body: the status, and for a refusal the field, the value and the wish."""

import datetime
import json
import math
import time
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import DAYS, FIRST_DAY, SERVICE, answers, ask, changed, contract, facts, graph, houses, release

import hearth.answering
from hearth.answering import Answers, BadRequestError, ServiceParams, _check_json
from hearth.errors import Refusal
from hearth.release import Prediction, Release
from hearth.request import House, columns_of
from hearth.strict import parse

HOUSE = houses(1)[0]
BROKEN = "the request breaks the contract"
NO_JSON = (400, {"error": "the body is not good JSON"})


def detail(body: object, batch: bool = False) -> list[dict[str, Any]]:
    """Return the entries of a 422."""
    status, answer = ask(body, batch)
    assert (status, answer["error"]) == (422, BROKEN)
    assert set(answer) == {"error", "detail"}
    found: list[dict[str, Any]] = answer["detail"]
    assert all(set(entry) == {"field", "value", "expected"} for entry in found)
    return found


def entry(field: str, value: object, expected: str) -> dict[str, Any]:
    return {"field": field, "value": value, "expected": expected}


# Answers


def test_a_house_is_priced_with_an_interval_and_the_version() -> None:
    status, answer = ask(HOUSE)
    assert status == 200
    assert set(answer) == {"prediction_id", "price", "low", "high", "model_version", "warnings"}
    assert 0 < answer["low"] < answer["price"] < answer["high"]
    assert (answer["model_version"], answer["warnings"]) == (release().manifest.model_version, [])


def test_an_answer_is_a_json_document() -> None:
    answer = ask(HOUSE)[1]
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer


def test_every_answer_has_an_id_of_its_own() -> None:
    """The monitor joins them with the prices that are paid later."""
    given = [
        ask(HOUSE)[1]["prediction_id"],
        *(a["prediction_id"] for a in ask({"houses": [HOUSE] * 3}, batch=True)[1]["predictions"]),
    ]
    assert len(set(given)) == 4
    assert all(len(text) == 32 and int(text, 16) for text in given)


def test_the_prices_are_those_of_the_release() -> None:
    dated = [house | {"date": datetime.date.fromisoformat(house["date"])} for house in houses(5)]
    expected = release().predict(columns_of(dated, contract(), facts().as_of))
    found = [ask(house)[1] for house in houses(5)]
    for name in ("price", "low", "high"):
        np.testing.assert_array_equal([answer[name] for answer in found], getattr(expected, name))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 49), min_size=1, max_size=5))
def test_a_batch_is_answered_as_its_houses_one_by_one(places: list[int]) -> None:
    known = houses(50, seed=8)
    chosen = [known[place] for place in places]
    status, answer = ask({"houses": chosen}, batch=True)
    assert (status, set(answer)) == (200, {"predictions"})
    alone = [ask(house)[1] for house in chosen]
    assert [a | {"prediction_id": None} for a in answer["predictions"]] == [a | {"prediction_id": None} for a in alone]


def test_the_order_of_the_fields_does_not_matter() -> None:
    turned = dict(reversed(HOUSE.items()))
    assert ask(turned)[1]["price"] == ask(HOUSE)[1]["price"]


@pytest.mark.parametrize("left_out", [True, False], ids=["left out", "null"])
def test_a_house_without_a_day_is_priced_for_the_day_of_the_model(left_out: bool) -> None:
    house = {name: value for name, value in HOUSE.items() if name != "date"} | ({} if left_out else {"date": None})
    dated = HOUSE | {"date": str(facts().as_of)}
    assert ask(house)[1]["price"] == ask(dated)[1]["price"]


def test_a_house_outside_the_training_rows_is_priced_and_warned_of() -> None:
    far = HOUSE | {"sqft_lot": 4_000_000, "date": "2030-01-01"}
    status, answer = ask(far)
    assert status == 200
    assert [said.split(":")[0] for said in answer["warnings"]] == ["sqft_lot", "date"]


def test_a_warning_belongs_to_its_house() -> None:
    found = ask({"houses": [HOUSE, HOUSE | {"sqft_lot": 4_000_000}, HOUSE]}, batch=True)[1]["predictions"]
    assert [len(answer["warnings"]) for answer in found] == [0, 1, 0]


def test_a_warning_check_of_the_contract_refuses_no_request() -> None:
    """`bedrooms_plausible` is for tables: a single house may be odd."""
    assert ask(HOUSE | {"bedrooms": 12})[0] == 200


# What is no JSON


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b" ", id="a blank"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"{'grade': 7}", id="single quotes"),
        pytest.param(b"grade=7", id="a form"),
        pytest.param(b"{} {}", id="two values"),
        pytest.param(b'{"grade": 7,}', id="a comma too many"),
        pytest.param(b'{"lat": 47.5.5}', id="two points"),
        pytest.param(b'{"lat": NaN}', id="NaN"),
        pytest.param(b'{"lat": Infinity}', id="infinity"),
        pytest.param(b'{"lat": -Infinity}', id="negative infinity"),
        pytest.param(b"NaN", id="NaN alone"),
        pytest.param(b"\xff", id="no UTF-8"),
        pytest.param(b'{"grade": "\xe9"}', id="Latin-1"),
        pytest.param(json.dumps(HOUSE).encode("utf-16"), id="UTF-16"),
        pytest.param(b"\xef\xbb\xbf" + json.dumps(HOUSE).encode(), id="a byte order mark"),
        pytest.param(b'{"\\ud800": 1}', id="half a surrogate pair"),
        pytest.param(b"[" * 100_000, id="100000 open brackets"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="100000 brackets"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, id="100000 braces"),
        pytest.param(b"[" * 500 + b"]" * 500, id="500 brackets"),
        pytest.param(b'{"grade": ' + b"9" * 100_000 + b"}", id="100000 digits"),
        pytest.param(b'{"grade": -' + b"9" * 5000 + b"}", id="5000 digits"),
        pytest.param(b"\x00", id="a zero byte"),
    ],
)
def test_what_is_no_json_is_answered_with_400(body: bytes, batch: bool) -> None:
    assert ask(body, batch) == NO_JSON


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"grade": ' + b"9" * 4000 + b"}", id="4000 digits"),
        pytest.param(b'{"lat": 0.' + b"1" * 100_000 + b"}", id="100000 decimals"),
        pytest.param(b'{"lat": 1e400}', id="beyond a float"),
        pytest.param(b'{"lat": 1e' + b"9" * 10_000 + b"}", id="an exponent of 10000 digits"),
        pytest.param(b'{"grade": 99999999999999999999999999}', id="beyond 64 bits"),
        pytest.param(b'{"grade": "' + b"x" * 500_000 + b'"}', id="500000 letters"),
        pytest.param(b'{"' + b"x" * 100_000 + b'": 1}', id="a name of 100000 letters"),
        pytest.param(b'{"grade": ' + b"[" * 100 + b"]" * 100 + b"}", id="100 brackets in a field"),
    ],
)
def test_a_huge_value_is_answered_with_422_and_a_short_body(body: bytes) -> None:
    for found in detail(body):
        assert len(str(found["value"])) <= 80


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_no_bytes_bring_another_exception(body: bytes) -> None:
    for batch in (False, True):
        assert ask(body, batch)[0] in (400, 422)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(HOUSE)), JSON)
def test_any_value_in_a_field_is_priced_or_refused_by_the_field(name: str, value: object) -> None:
    body = json.dumps(HOUSE | {name: value}).encode()
    status, answer = ask(body)
    assert status in (200, 422)
    if status == 422:
        assert all(name in found["field"] for found in answer["detail"])
        json.dumps(answer)


# Fields


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"grade": 14}, entry("grade", 14, "a whole number from 1 to 13 (score)"), id="above"),
        pytest.param({"grade": 0}, entry("grade", 0, "a whole number from 1 to 13 (score)"), id="below"),
        pytest.param({"grade": "7"}, entry("grade", "7", "a whole number from 1 to 13 (score)"), id="text for number"),
        pytest.param({"grade": True}, entry("grade", True, "a whole number from 1 to 13 (score)"), id="boolean for number"),
        pytest.param({"grade": 7.5}, entry("grade", 7.5, "a whole number from 1 to 13 (score)"), id="fraction"),
        pytest.param({"grade": None}, entry("grade", None, "a whole number from 1 to 13 (score)"), id="null"),
        pytest.param({"grade": {"a": [1]}}, entry("grade", '{"a": [1]}', "a whole number from 1 to 13 (score)"), id="an object"),
        pytest.param({"waterfront": 1}, entry("waterfront", 1, "true or false"), id="number for boolean"),
        pytest.param({"lat": 47.8}, entry("lat", 47.8, "a number from 47.08 to 47.79 (degree)"), id="outside the county"),
        pytest.param({"bathrooms": 2.3}, entry("bathrooms", 2.3, "a number from 0 to 12 in steps of 0.25 (room)"), id="off the grid"),
        pytest.param({"zipcode": 98000}, entry("zipcode", 98000, "one of the 70 categories of zipcode (postal code)"), id="unknown category"),
        pytest.param({"zipcode": "98103"}, entry("zipcode", "98103", "one of the 70 categories of zipcode (postal code)"), id="text category"),
        pytest.param({"date": "2013-12-31"}, entry("date", "2013-12-31", "a date as YYYY-MM-DD from 2014-01-01 to 2049-12-31"), id="early day"),
        pytest.param({"date": "1.3.2015"}, entry("date", "1.3.2015", "a date as YYYY-MM-DD from 2014-01-01 to 2049-12-31"), id="no day"),
        pytest.param({"date": 20150301}, entry("date", 20150301, "a date as YYYY-MM-DD from 2014-01-01 to 2049-12-31"), id="a number for a day"),
        pytest.param({"price": 1}, entry("price", 1, "no such field"), id="the answer"),
        pytest.param({"id": 1}, entry("id", 1, "no such field"), id="the key"),
        pytest.param({"Grade": 7}, entry("Grade", 7, "no such field"), id="another case"),
        pytest.param({"houses": []}, entry("houses", "[]", "no such field"), id="a batch in a single request"),
        pytest.param({"grade": 10**40}, entry("grade", "1" + "0" * 36 + "...", "a whole number from 1 to 13 (score)"), id="huge"),
        pytest.param({"grade": "x" * 100}, entry("grade", "x" * 77 + "...", "a whole number from 1 to 13 (score)"), id="long"),
    ],
)  # fmt: skip
def test_a_bad_field_is_named_with_its_value_and_what_was_wanted(
    change: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert detail(HOUSE | change) == [expected]


@pytest.mark.parametrize("name", [column.name for column in contract().features])
def test_a_missing_field_is_named(name: str) -> None:
    without = {key: value for key, value in HOUSE.items() if key != name}
    assert detail(without) == [entry(name, None, f"{contract()[name].expected}, and the field is missing")]


def test_every_fault_is_named_not_only_the_first() -> None:
    found = detail({"grade": 14, "colour": "red"})
    assert {e["field"] for e in found} == ({"colour"} | {c.name for c in contract().features})


@pytest.mark.parametrize(
    ("body", "value"), [(b"null", None), (b"[]", "[]"), (b"7", 7), (b'"x"', "x"), (b"true", True), (b"[{}]", "[{}]")]
)  # fmt: skip
def test_what_is_no_object_is_refused(body: bytes, value: object) -> None:
    assert detail(body) == [entry("", value, "an object with the fields of a house")]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"grade": 7, "lat": 47.5, "grade": 8}', "grade"),
        (b'{"a": 1, "b": 2, "b": 2}', "b"),
        (b'{"grade": {"x": 1, "x": 1}}', "x"),
    ],
)
def test_a_field_that_stands_twice_is_refused(body: bytes, field: str) -> None:
    """Most parsers take the last; a caller who sent two did not mean that."""
    assert detail(body) == [entry(field, None, "each field once")]


# Rules over several fields


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(
            {"sqft_living": 1911, "sqft_above": 1560, "sqft_basement": 350},
            entry("sqft_above, sqft_basement, sqft_living", {"sqft_above": 1560, "sqft_basement": 350, "sqft_living": 1911},
                  "sqft_above + sqft_basement == sqft_living (area_parts_sum)"),
            id="areas",
        ),
        pytest.param(
            {"yr_built": 1950, "yr_renovated": 1949},
            entry("yr_built, yr_renovated", {"yr_built": 1950, "yr_renovated": 1949},
                  "yr_renovated == 0 or yr_renovated >= yr_built (renovated_after_built)"),
            id="renovated before it was built",
        ),
        pytest.param(
            {"date": "2014-07-01", "yr_built": 2016, "yr_renovated": 0},
            entry("date, yr_built", {"date": "2014-07-01", "yr_built": 2016}, "yr_built <= year(date) + 1 (built_before_sold)"),
            id="sold before it was built",
        ),
        pytest.param(
            {"date": None, "yr_built": 2017, "yr_renovated": 0},
            entry("date, yr_built", {"date": str(facts().as_of), "yr_built": 2017}, "yr_built <= year(date) + 1 (built_before_sold)"),
            id="the day of the model counts where none is given",
        ),
    ],
)  # fmt: skip
def test_a_broken_rule_is_named_with_the_values_that_it_read(change: dict[str, Any], expected: dict[str, Any]) -> None:
    assert detail(HOUSE | change) == [expected]


def test_several_broken_rules_are_all_named() -> None:
    found = detail(HOUSE | {"sqft_living": 15000, "date": "2014-07-01", "yr_built": 2020, "yr_renovated": 2018})
    assert [e["expected"].split("(")[-1] for e in found] == [
        "area_parts_sum)", "renovated_after_built)", "built_before_sold)", "renovated_before_sold)",
    ]  # fmt: skip


def test_a_rule_judges_filled_fields_only() -> None:
    known = changed({"sqft_basement": {"nullable": True}})
    own = Answers(Release(release().manifest, known, graph(), release().known), SERVICE)
    assert own.predict(json.dumps(HOUSE | {"sqft_basement": None}).encode())["price"] > 0
    with pytest.raises(BadRequestError):
        own.predict(json.dumps(HOUSE | {"sqft_living": HOUSE["sqft_living"] + 1}).encode())


# Batches


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({"houses": []}, entry("houses", "[]", "1 to 5 houses"), id="empty"),
        pytest.param({}, entry("houses", None, "1 to 5 houses, and the field is missing"), id="none"),
        pytest.param({"houses": None}, entry("houses", None, "1 to 5 houses"), id="null"),
        pytest.param({"houses": HOUSE["grade"]}, entry("houses", HOUSE["grade"], "1 to 5 houses"), id="a number"),
        pytest.param({"houses": [HOUSE], "more": 1}, entry("more", 1, "no such field"), id="an extra field"),
        pytest.param({"houses": [HOUSE, 3]}, entry("houses.1", 3, "an object with the fields of a house"), id="a number among houses"),
        pytest.param({"houses": [HOUSE, HOUSE | {"grade": 14}]}, entry("houses.1.grade", 14, "a whole number from 1 to 13 (score)"), id="a bad field"),
        pytest.param({"houses": [HOUSE | {"colour": "red"}, HOUSE]}, entry("houses.0.colour", "red", "no such field"), id="an extra field of a house"),
        pytest.param({"houses": [HOUSE, HOUSE, HOUSE | {"yr_built": 1950, "yr_renovated": 1949}]},
                     entry("houses.2.yr_built, yr_renovated", {"yr_built": 1950, "yr_renovated": 1949},
                           "yr_renovated == 0 or yr_renovated >= yr_built (renovated_after_built)"), id="a broken rule"),
    ],
)  # fmt: skip
def test_a_bad_batch_is_refused_by_the_place_of_the_house(body: dict[str, Any], expected: dict[str, Any]) -> None:
    assert detail(body, batch=True) == [expected]


def test_a_missing_field_in_a_batch_is_named() -> None:
    without = {key: value for key, value in HOUSE.items() if key != "lat"}
    expected = "a number from 47.08 to 47.79 (degree), and the field is missing"
    assert detail({"houses": [HOUSE, without]}, batch=True) == [entry("houses.1.lat", None, expected)]


def test_a_batch_may_be_full_and_no_fuller() -> None:
    assert len(ask({"houses": [HOUSE] * 5}, batch=True)[1]["predictions"]) == 5
    found = detail({"houses": [HOUSE] * 6}, batch=True)
    assert [(e["field"], e["expected"]) for e in found] == [("houses", "1 to 5 houses")]
    assert len(found[0]["value"]) == 80


def test_one_bad_house_refuses_the_batch() -> None:
    """Half an answer would be read as a whole one."""
    bad = [HOUSE | {"grade": 14}, HOUSE, HOUSE | {"lat": 0.0}]
    assert [e["field"] for e in detail({"houses": bad}, batch=True)] == ["houses.0.grade", "houses.2.lat"]


# The rest


def test_the_model_tells_its_manifest_and_what_it_was_told() -> None:
    found = Answers(release(), SERVICE, told={"metrics": {"mdape": 0.08}}).model()
    assert found["metrics"] == {"mdape": 0.08}
    assert found["model_version"] == release().manifest.model_version
    assert set(found["files"]) == {"model.onnx", "contract.yaml", "known_sales.npy"}
    assert found["facts"]["as_of"] == str(facts().as_of)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_price_that_is_no_number_is_never_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = np.array([math.nan])
    monkeypatch.setattr(Release, "predict", lambda *_: Prediction(nothing, nothing, nothing))
    with pytest.raises(RuntimeError, match="a price that is no number"):
        Answers(release(), SERVICE).predict(json.dumps(HOUSE).encode())


def test_the_samples_lie_within_the_training_days() -> None:
    assert FIRST_DAY + datetime.timedelta(days=DAYS) < facts().horizon


@pytest.mark.parametrize(
    ("key", "value"),
    [("batch_rows_max", 0), ("batch_rows_max", 100_001), ("body_bytes_max", 999), ("batch_rows_max", 5.0)],
)
def test_impossible_params_are_refused(key: str, value: float) -> None:
    with pytest.raises(Refusal, match=rf"^params\.yaml: service\.{key} is {value}, wanted "):
        parse(ServiceParams, SERVICE.model_dump() | {key: value}, "params.yaml: service")


def test_many_names_with_one_twice_are_refused_quickly() -> None:
    body = ("{" + ",".join(f'"k{place}":1' for place in range(20_000)) + ',"k19999":1}').encode()
    start = time.process_time()
    detail(body)
    assert time.process_time() - start < 2  # seconds of CPU; a search per name took 4, a count takes 0.03


@pytest.mark.parametrize("text", ["1420070400", "1420070400000"])
def test_seconds_in_quotes_are_no_day(text: str) -> None:
    assert detail(HOUSE | {"date": text})[0]["field"] == "date"


def test_a_refusal_is_not_much_longer_than_its_request() -> None:
    body = json.dumps({"houses": [{}] * 5}).encode()
    assert len(json.dumps(ask(body, batch=True)[1])) < 10_000


def test_a_refusal_is_a_json_document_even_for_infinity() -> None:
    json.dumps(ask(b'{"lat": 1e400}')[1], allow_nan=False)


# Reading once


class TwiceRead(Answers):
    """Answer as if each body were read by the strict reader first."""

    def _parse(self, body: bytes, kind: type[House]) -> dict[str, Any]:
        _check_json(body)
        return super()._parse(body, kind)


ODD = changed({
    "zipcode": {"categories": ["a", "b:c", '"lat": 1'], "example": "a", "nullable": True},
    "houses": {"type": "number", "unit": "one", "role": "feature", "meaning": "Has no bound.", "nullable": True},
    "count": {"type": "integer", "unit": "one", "role": "feature", "meaning": "Has none either.", "nullable": True},
})  # fmt: skip
TOKENS = [b"NaN", b"-Infinity", b"1e400", b"9" * 400, b"9" * 5000, b"null", b"true", b"7", b"-0", b"01", b"1.", b".5", b'"b:c"', b'"a"', b'"\\u0061"',
          b'"\\ud800"', b"[1, 2]", b'{"a": 1, "a": 2}', b'{"grade": 7}', b'"2015-01-01"', b'"2015:01:01"', b'"\xff"', b'"\x00"', b'":"']  # fmt: skip
KEYS = [
    b"grade",
    b"\\u0067rade",
    b"grad\\u0065\\u003a",
    b"houses",
    b"count",
    b"zipcode",
    b"date",
    b"lat",
    b"colour",
    b"a:b",
    b"",
]
BYTES = list(b'{}[]:,"\\0123456789.eE+- \n\t\x00\xff\xc3ntfau')


def mutated(body: bytes, chance: np.random.Generator) -> bytes:
    """Return a body with a byte or a field changed, put in, put in twice or taken out."""
    place = int(chance.integers(len(body) + 1))
    pairs = body[body.find(b"{") + 1 : body.find(b"}")].split(b", ")
    pair = pairs[int(chance.integers(len(pairs)))]
    field = b'"' + KEYS[int(chance.integers(len(KEYS)))] + b'": ' + TOKENS[int(chance.integers(len(TOKENS)))]
    colon = pair.find(b":") + 2
    match int(chance.integers(7)):
        case 0:
            return body[:place] + bytes([BYTES[int(chance.integers(len(BYTES)))]]) + body[place:]
        case 1:
            return body[:place] + body[place + 1 :]
        case 2:
            return body.replace(pair, pair + b", " + pair, 1)
        case 3:
            return body.replace(pair, field, 1)
        case 4:
            return body.replace(pair, pair + b", " + field, 1)
        case 5:
            return body.replace(pair, pair[:colon] + TOKENS[int(chance.integers(len(TOKENS)))], 1)
        case _:
            return body.replace(b" ", (b"", b"  ", b"\n", b"\t")[int(chance.integers(4))])


@pytest.mark.parametrize("batch", [False, True])
def test_a_body_is_answered_as_if_it_were_read_twice(batch: bool) -> None:
    """Pydantic alone takes the last of two keys, and NaN where it is overwritten; the short cut must see each of them."""
    served = Release.__new__(Release)  # bodies are read without a model
    served.contract = ODD
    once, twice = Answers(served, SERVICE), TwiceRead(served, SERVICE)
    chance = np.random.default_rng(5)
    seen: Counter[str] = Counter()
    for house in houses(4000, seed=2):
        given = house | {"zipcode": str(chance.choice(["a", "b:c", '"lat": 1'])), "houses": 1.5, "count": 2}
        body = json.dumps({"houses": [given, given]} if batch else given, ensure_ascii=False).encode()
        for _ in range(int(chance.integers(3))):
            body = mutated(body, chance)
        found = [outcome(own, body, batch) for own in (once, twice)]
        assert found[0] == found[1], body
        seen[kind_of(found[0])] += 1
    assert min(seen[kind] for kind in ("good", "400", "422", "each field once")) > 200, seen


def outcome(own: Answers, body: bytes, batch: bool) -> object:
    """Return what a body is read as, or the status and the body of its refusal."""
    try:
        return own._parse(body, own.houses if batch else own.house)
    except BadRequestError as bad:
        return bad.status, bad.body


def kind_of(found: object) -> str:
    """Return a word for an outcome."""
    if isinstance(found, dict):
        return "good"
    status, body = found  # type: ignore[misc]
    return "each field once" if "each field once" in str(body) else str(status)


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize(
    "planted", [b'"grade": 7, ', b'"\\u0067rade": 7, ', b'"grade":7,', b'"lat": NaN, ', b'"grade": {"a": [1]}, ']
)
def test_a_key_that_pydantic_would_overwrite_is_found(planted: bytes, batch: bool) -> None:
    body = json.dumps({"houses": [HOUSE]} if batch else HOUSE).encode()
    place = body.index(b"{", 1 if batch else 0) + 1
    spoilt = body[:place] + planted + body[place:]
    assert (answers().houses if batch else answers().house).model_validate_json(spoilt)
    assert ask(body, batch)[0] == 200
    if b"NaN" in planted:
        assert ask(spoilt, batch) == NO_JSON
    else:
        assert detail(spoilt, batch) == [entry("grade", None, "each field once")]


def test_a_good_body_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the short cut would be no short cut."""
    monkeypatch.setattr(hearth.answering, "loads", lambda _: pytest.fail("the slow reader was called"))
    assert ask(HOUSE)[0] == 200
    assert ask({"houses": [HOUSE, {key: value for key, value in HOUSE.items() if key != "date"}]}, batch=True)[0] == 200


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(HOUSE)), st.integers(0, 49)), max_size=3))
def test_a_house_alone_breaks_the_rules_that_it_breaks_in_a_batch(changes: list[tuple[str, int]]) -> None:
    """The one is judged by its cells, the other by columns."""
    house = HOUSE | {name: houses(50, seed=8)[place][name] for name, place in changes}
    (status, alone), (_, both) = ask(house), ask({"houses": [house, house]}, batch=True)
    if status == 200:
        assert len(both["predictions"]) == 2
    else:
        half = [
            e | {"field": e["field"].removeprefix("houses.0.")}
            for e in both["detail"]
            if e["field"].startswith("houses.0.")
        ]
        assert half == alone["detail"]
