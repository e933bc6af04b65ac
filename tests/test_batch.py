"""Test what becomes of rows: the service's verdicts and words, in each format, and what goes along with a price."""

import datetime
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import SERVICE, answers, ask, changed, contract, facts, graph, houses, release

from hearth.answering import Answers
from hearth.batch import PRICED, READERS, Batch, Outcome, Row, carried, missing, renamed
from hearth.release import Prediction, Release

HOUSE = houses(1)[0]
LABELS = changed({"zipcode": {"categories": ["north", "south"], "example": "north"}})
EMPTY: Any = object()
# What a field may hold, good and bad.
VALUES = [EMPTY, None, True, False, 0, 1, 7, 14, -1, 7.0, 7.5, -0.0, 1e300, 10**30, 98103, 47.5, -122.0, 2.25, 2.3, "", "7", "x", "true",
          "2015-02-15", "2015-2-15", "2015-02-30", "2016-01-01T00:00:00", [7], {"a": 1}]  # fmt: skip


def run(cells: list[Mapping[str, Any]], form: str = "jsonl") -> Outcome:
    return Batch(answers(), form).run([Row(number, row) for number, row in enumerate(cells)])


def verdict(outcome: Outcome) -> object:
    """Return what became of one row, without its number."""
    if outcome.priced:
        return {name: outcome.priced[0][name] for name in ("price", "low", "high", "warnings", "model_version")}
    return outcome.refused[0]["reasons"]


def of_service(house: Mapping[str, Any]) -> object:
    """Return what the service says of a house, in the same shape."""
    status, body = ask(house)
    if status == 200:
        return {name: value for name, value in body.items() if name != "prediction_id"}
    shown = [(e["field"], "empty" if e["value"] is None else e["value"], e["expected"]) for e in body["detail"]]
    return [f"{f}: {v if isinstance(v, str) else json.dumps(v)}, wanted {expected}" for f, v, expected in shown]


# The service's verdicts


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 49),
    st.lists(st.tuples(st.sampled_from(sorted(HOUSE)), st.sampled_from(VALUES)), max_size=3),
)
def test_a_row_is_judged_and_priced_as_the_service_does(place: int, changes: list[tuple[str, Any]]) -> None:
    house = houses(50, seed=3)[place] | dict(changes)
    given = {name: value for name, value in house.items() if value is not EMPTY}
    assert verdict(run([given])) == of_service(given)


def test_both_verdicts_occur_for_every_field() -> None:
    """Otherwise the property above would compare less than it seems to."""
    for name in HOUSE:
        found = {bool(run([HOUSE | {name: value}]).priced) for value in (HOUSE[name], "x")}
        assert found == {True, False}, name


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 49), st.sampled_from(sorted(HOUSE)), st.sampled_from(VALUES[1:]))), st.data())
def test_a_row_among_others_is_judged_as_alone(changes: list[tuple[int, str, Any]], data: st.DataObject) -> None:
    rows = [houses(50, seed=3)[place] | {name: value} for place, name, value in changes]
    together = run(rows)
    alone = [run([row]) for row in rows]
    assert together.priced == [one | {"row": number} for number, a in enumerate(alone) for one in a.priced]
    assert together.refused == [one | {"row": number} for number, a in enumerate(alone) for one in a.refused]


def test_a_row_that_only_this_code_refuses_is_a_fault_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Answers, "predict", lambda *_: {})
    with pytest.raises(RuntimeError, match="the service prices a row that was refused here"):
        run([HOUSE | {"grade": 14}])


def test_a_price_that_is_no_number_is_never_written(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = np.array([math.nan])
    monkeypatch.setattr(Release, "predict", lambda *_: Prediction(nothing, nothing, nothing))
    with pytest.raises(RuntimeError, match="a price that is no number"):
        run([HOUSE])


def test_a_whole_target_has_whole_prices_and_another_has_not() -> None:
    assert type(run([HOUSE]).priced[0]["price"]) is int
    own = Answers(
        Release(release().manifest, changed({"price": {"type": "number"}}), graph(), release().known), SERVICE
    )
    assert type(Batch(own, "jsonl").run([Row(0, HOUSE)]).priced[0]["price"]) is float


# Counts


def test_rows_are_counted_by_what_became_of_them() -> None:
    found = run([
        HOUSE, HOUSE | {"sqft_lot": 4_000_000}, HOUSE | {"date": None}, HOUSE | {"grade": 14, "lat": 0.0},
        HOUSE | {"grade": 0}, HOUSE | {"sqft_living": HOUSE["sqft_living"] + 1},
    ])  # fmt: skip
    assert [row["row"] for row in found.priced] == [0, 1, 2]
    assert [row["row"] for row in found.refused] == [3, 4, 5]
    assert (found.warned, found.undated) == (1, 1)
    assert found.faults == {"grade": 2, "lat": 1, "sqft_above, sqft_basement, sqft_living": 1}


def test_a_row_without_a_day_is_priced_for_the_day_of_the_model() -> None:
    without = {name: value for name, value in HOUSE.items() if name != "date"}
    found = run([without, HOUSE | {"date": str(facts().as_of)}])
    assert found.undated == 1
    assert found.priced[0]["price"] == found.priced[1]["price"]


def test_a_row_that_could_not_be_read_is_refused_with_its_fault() -> None:
    found = Batch(answers(), "jsonl").run([Row(5, HOUSE), Row(6, {"line": "{"}, "the line is not good JSON")])
    assert [row["row"] for row in found.priced] == [5]
    assert found.refused == [{"row": 6, "reasons": ["the line is not good JSON"], "line": "{"}]
    assert found.faults == {"unreadable": 1}


def test_no_rows_are_no_rows() -> None:
    assert run([]) == Outcome([], [], 0, 0, {})  # type: ignore[arg-type]


# What goes along


def test_what_is_no_feature_goes_along_with_the_price() -> None:
    row = {"id": 7, "note": "by the lake", "price": 500_000} | HOUSE
    found = run([row]).priced[0]
    assert list(found) == ["row", "id", "note", "input_price", "date", *PRICED[1:]]
    assert (found["id"], found["note"], found["input_price"], found["date"]) == (
        7,
        "by the lake",
        500_000,
        HOUSE["date"],
    )


def test_a_refused_row_is_kept_whole() -> None:
    row = HOUSE | {"id": 7, "row": 3, "grade": 14}
    found = run([row]).refused[0]
    assert found.pop("reasons") == ["grade: 14, wanted a whole number from 1 to 13 (score)"]
    assert (found.pop("row"), found.pop("input_row")) == (0, 3)
    assert found == {name: value for name, value in row.items() if name != "row"}


@pytest.mark.parametrize(
    ("names", "new"),
    [
        (("id", "note"), ["id", "note"]),
        (("id", "price"), ["id", "input_price"]),
        (("price", "input_price"), ["input_input_price", "input_price"]),
        (("input_row", "row", "low"), ["input_row", "input_input_row", "input_low"]),
        ((), []),
    ],
)
def test_a_name_that_the_output_has_itself_is_told_apart(names: tuple[str, ...], new: list[str]) -> None:
    assert list(renamed(names, PRICED)) == list(names)
    assert list(renamed(names, PRICED).values()) == new


@given(st.lists(st.sampled_from(["a", "row", "input_row", "input_input_row", "price", "input_price"]), unique=True))
def test_no_two_columns_of_the_output_have_one_name(names: list[str]) -> None:
    found = [*PRICED, *renamed(tuple(names), PRICED).values()]
    assert len(set(found)) == len(found)


def test_every_feature_is_asked_for_and_nothing_else() -> None:
    names = [column.name for column in contract().features]
    assert missing(names, contract()) == []
    assert missing([], contract()) == names
    assert missing([name for name in names if name != "lat"], contract()) == ["lat"]
    assert missing(names, changed({"lat": {"nullable": True}})) == []
    assert missing([name for name in names if name != "lat"], changed({"lat": {"nullable": True}})) == ["lat"]
    assert carried(["id", *names, "date", "note"], contract()) == ("id", "date", "note")


# What a cell means


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("grade", "7", 7), ("grade", "-7", -7), ("grade", "7.0", 7), ("grade", "7.00", 7), ("grade", "7.5", "7.5"), ("grade", "", None),
        ("grade", " 7", " 7"), ("grade", "+7", "+7"), ("grade", "07", "07"), ("grade", "1e1", "1e1"), ("grade", "7.", "7."), ("grade", "1_0", "1_0"),
        ("grade", "٧", "٧"), ("grade", "7\n", "7\n"), ("grade", "9" * 20, "9" * 20), ("grade", "NA", "NA"), ("grade", "true", "true"),
        ("lat", "47.5", 47.5), ("lat", "47", 47.0), ("lat", "4.75e1", 47.5), ("lat", "-0", -0.0), ("lat", "1e999", "1e999"), ("lat", "nan", "nan"),
        ("lat", "inf", "inf"), ("lat", "47,5", "47,5"), ("lat", ".5", ".5"), ("lat", "0x10", "0x10"), ("lat", "", None),
        ("waterfront", "true", True), ("waterfront", "False", False), ("waterfront", "TRUE", True), ("waterfront", "1", "1"),
        ("waterfront", "falſe", "falſe"), ("waterfront", "yes", "yes"), ("waterfront", "", None),
        ("zipcode", "98103", 98103), ("zipcode", "98103.0", 98103), ("zipcode", "098103", "098103"), ("zipcode", "north", "north"),
        ("date", "2015-02-15", "2015-02-15"), ("date", "20150215T000000", "20150215T000000"), ("date", "", None),
    ],
)  # fmt: skip
def test_a_cell_of_a_csv_is_read_as_json_would_be(name: str, text: str, value: object) -> None:
    found = READERS["csv"](contract()[name])(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "cell", "value"),
    [
        ("grade", 7, 7), ("grade", 7.0, 7), ("grade", 7.5, 7.5), ("grade", math.nan, None), ("grade", None, None), ("grade", math.inf, "inf"),
        ("grade", Decimal("7"), 7), ("grade", Decimal("7.5"), 7.5), ("grade", "7", "7"), ("grade", True, True), ("grade", [7], "[7]"),
        ("grade", b"7", "b'7'"), ("zipcode", 98103.0, 98103), ("lat", 47, 47), ("lat", Decimal("47.5"), 47.5), ("lat", math.nan, None),
        ("lat", -math.inf, "-inf"), ("waterfront", True, True), ("waterfront", 1, 1), ("date", datetime.date(2015, 2, 15), "2015-02-15"),
        ("date", datetime.datetime(2015, 2, 15), "2015-02-15"), ("date", pd.Timestamp("2015-02-15"), "2015-02-15"),
        ("date", datetime.datetime(2015, 2, 15, 12), "2015-02-15 12:00:00"), ("date", "2015-02-15", "2015-02-15"),
        ("date", 20150215, 20150215),
    ],
)  # fmt: skip
def test_a_cell_of_a_parquet_file_is_read_without_loss(name: str, cell: object, value: object) -> None:
    found = READERS["parquet"](contract()[name])(cell)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(("text", "value"), [("north", "north"), ("7", "7"), ("", None)])
def test_a_category_of_texts_stays_a_text(text: str, value: str | None) -> None:
    assert READERS["csv"](LABELS["zipcode"])(text) == value


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(HOUSE)), st.sampled_from([v for v in VALUES[1:] if not isinstance(v, list | dict)]))
def test_a_row_means_the_same_in_each_format(name: str, value: Any) -> None:
    """But for what a CSV cannot say: a text that would be read as something else is that in a CSV."""
    house = HOUSE | {name: value}
    text = {key: cell if isinstance(cell, str) else "" if cell is None else json.dumps(cell) for key, cell in house.items()}  # fmt: skip
    whole = isinstance(value, float) and contract()[name].type in ("integer", "category")
    if not whole:
        assert verdict(run([house], "parquet")) == verdict(run([house]))
    if not whole and not isinstance(value, str):
        assert bool(run([text], "csv").priced) == bool(run([house]).priced)
