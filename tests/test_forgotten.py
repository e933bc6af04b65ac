"""Test the list of what is forgotten: keys in words, hashes, which rows stay, and that a broken list lets nothing back in."""

import datetime
import hashlib
import re
import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import PROJECT, changed, contract, houses, sales

from hearth.contract import Contract
from hearth.errors import Refusal
from hearth.forgotten import Mark, is_on, keep, mark_of, parse_key, parse_marks, rows_of, with_mark
from hearth.tables import arrow_type

DAY = datetime.date(2014, 10, 13)


def table(*rows: tuple[int | None, datetime.date | None]) -> pa.Table:
    """Return sales with these ids and days."""
    found = sales(houses(len(rows)))
    for name, values in zip(("id", "date"), zip(*rows, strict=True), strict=True):
        place = found.column_names.index(name)
        found = found.set_column(place, name, pa.array(values, arrow_type(contract()[name])))
    return found


def left(found: pa.Table, *words: str, known: Contract | None = None) -> list[int | None]:
    """Return the ids that stay when the records in words are forgotten."""
    known = known or contract()
    marks = [mark_of(parse_key(word.split(), known), known) for word in words]
    return keep(found, known, marks)["id"].to_pylist()  # type: ignore[no-any-return]


# Which rows stay


def test_a_record_goes_and_every_other_row_stays_as_it_was() -> None:
    rows = table((1, DAY), (2, DAY), (1, DAY + datetime.timedelta(1)))
    kept = keep(rows, contract(), [mark_of(parse_key(["id=1", "date=2014-10-13"], contract()), contract())])
    assert kept.equals(rows.slice(1))


def test_without_the_time_all_records_of_a_key_go() -> None:
    rows = table((1, DAY), (2, DAY), (1, DAY + datetime.timedelta(1)), (11, DAY))
    assert left(rows, "id=1") == [2, 11]


def test_records_named_in_both_ways_go_together() -> None:
    rows = table((1, DAY), (2, DAY), (3, DAY), (2, DAY + datetime.timedelta(1)))
    assert left(rows, "id=3", "id=2 date=2014-10-13", "id=9") == [1, 2]


def test_an_empty_list_costs_nothing_and_an_empty_key_matches_nothing() -> None:
    rows = table((1, DAY), (None, DAY), (1, None))
    assert keep(rows, contract(), ()) is rows
    assert left(rows, "id=1 date=2014-10-13") == [None, 1]
    assert left(rows, "id=5") == [1, None, 1]


def test_columns_beside_the_contracts_go_along() -> None:
    rows = table((1, DAY), (2, DAY)).append_column("reasons", pa.array([None, "x"]))
    kept = keep(rows, contract(), [mark_of({"id": 1}, contract())])
    assert kept["reasons"].to_pylist() == ["x"]
    assert kept.schema == rows.schema


def test_a_million_rows_take_seconds() -> None:
    ids = np.arange(1_000_000)
    rows = pa.table({"id": ids, "date": pa.array(np.full(len(ids), np.datetime64("2014-10-13")))})
    marks = [mark_of(parse_key(word.split(), contract()), contract()) for word in ("id=5", "id=7 date=2014-10-13")]
    begun = time.process_time()
    kept = keep(rows, contract(), marks)
    assert time.process_time() - begun < 20
    assert set(ids.tolist()) - set(kept["id"].to_pylist()) == {5, 7}


@given(st.integers(-(10**18) + 1, 10**18 - 1), st.dates())
def test_any_key_in_words_is_that_of_its_row(number: int, day: datetime.date) -> None:
    words = [f"id={number}", f"date={day}"]
    assert left(table((number, day), (number + 1, day)), " ".join(words)) == [number + 1]


@pytest.mark.parametrize(
    ("keys", "value", "word"),
    [
        ({"type": "number", "minimum": None, "maximum": None}, 0.1, "id=0.1"),
        ({"type": "number", "minimum": None, "maximum": None}, 5.0, "id=5"),
        ({"type": "boolean", "minimum": None, "maximum": None}, True, "id=true"),
        ({"type": "category", "minimum": None, "maximum": None, "categories": ["a b", "c"]}, "a b", "id=a b"),
        ({"type": "category", "minimum": None, "maximum": None, "categories": [1, 2]}, 2, "id=2"),
    ],
)
def test_keys_of_every_type_are_known_again(keys: dict[str, object], value: object, word: str) -> None:
    known = changed({"id": keys})
    rows = pa.table({"id": pa.array([value, None], arrow_type(known["id"]))})
    assert keep(rows, known, [mark_of(parse_key([word], known), known)])["id"].to_pylist() == [None]


# Keys in words


def test_a_key_takes_the_contracts_order_and_types() -> None:
    assert parse_key(["date=2014-10-13", "id=7129300520"], contract()) == {"id": 7129300520, "date": DAY}
    assert list(parse_key(["date=2014-10-13", "id=7129300520"], contract())) == ["id", "date"]
    assert parse_key(["id=0"], contract()) == {"id": 0}, "a refused row may be meant"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["idd=1"], "'idd=1' is no COLUMN=VALUE with a key column of data/contract.yaml: id, date"),
        (["id=1", "grade=7"], "'grade=7' is no COLUMN=VALUE with a key column"),
        (["id=1", "2"], "'2' is no COLUMN=VALUE with a key column"),
        (["date=2014-10-13"], "the key lacks id=HOUSE NUMBER; without it other records would be meant too"),
        (["id=1", "id=2"], "id is given twice; name one record at a time"),
        (["id=one"], "id is 'one', wanted a whole number from 1 to 9999999999"),
        (["id="], "id is '', wanted a whole number"),
        (["id=1.0"], "id is '1.0', wanted a whole number"),
        (["id=٣"], "id is '٣', wanted a whole number"),
        (["id=1" + 18 * "0"], "wanted a whole number"),
        (["id=1", "date=13.10.2014"], "date is '13.10.2014', wanted a date as YYYY-MM-DD"),
        (["id=1", "date=2014-02-30"], "date is '2014-02-30', wanted a date"),
    ],
)
def test_what_is_no_key_is_refused_in_words(words: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_key(words, contract())


# The list


def test_the_list_holds_columns_and_hashes_and_no_key() -> None:
    mark = mark_of(parse_key(["id=7129300520", "date=2014-10-13"], contract()), contract())
    assert mark == Mark(("id", "date"), hashlib.sha256(b"id=7129300520\ndate=2014-10-13").hexdigest())
    text = with_mark("", mark)
    assert text == f"id,date {mark.sha256}\n"
    assert "7129300520" not in text


def test_entries_are_added_once_and_in_an_order_that_tells_nothing() -> None:
    marks = [mark_of({"id": number}, contract()) for number in range(20)]
    text = "# a head\n"
    for mark in marks:
        text = with_mark(text, mark)
    assert with_mark(text, marks[3]) == text
    lines = text.splitlines()
    assert lines == ["# a head", *sorted(lines[1:])]
    assert len(lines) == 21
    assert set(parse_marks(text, contract(), "x")) == set(marks)


def test_a_key_is_on_the_list_by_itself_or_under_a_wider_one() -> None:
    narrow, wide = {"id": 1, "date": DAY}, {"id": 1}
    assert is_on(narrow, contract(), [mark_of(wide, contract())])
    assert is_on(narrow, contract(), [mark_of(narrow, contract())])
    assert not is_on(wide, contract(), [mark_of(narrow, contract())])
    assert not is_on({"id": 2, "date": DAY}, contract(), [mark_of(narrow, contract()), mark_of(wide, contract())])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("id", "line 2 is no entry, wanted key columns and a hash"),
        ("id " + 63 * "a", "line 2 is no entry"),
        (64 * "a", "line 2 is no entry"),
        ("id " + 64 * "A", "line 2 is no entry"),
        ("<<<<<<< HEAD", "line 2 is no entry"),
        (
            "id,dat " + 64 * "a",
            "line 2 names 'dat', which is no key column of data/contract.yaml (id, date), so its record would",
        ),
    ],
)
def test_a_broken_list_is_refused_by_its_line(line: str, said: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_marks(f"# a head\n{line}\n", contract(), "data/forgotten.txt")
    assert str(caught.value).startswith(f"data/forgotten.txt: {said}")


def test_the_shipped_list_forgets_nobody() -> None:
    text = (PROJECT / "data/forgotten.txt").read_text()
    assert parse_marks(text, contract(), "data/forgotten.txt") == ()
    assert text.startswith("# Records that no future version may hold")


# Where a record is


def test_rows_are_counted_in_tables_of_other_types() -> None:
    rows = table((1, DAY), (2, DAY), (1, DAY + datetime.timedelta(1)))
    key = parse_key(["id=1"], contract())
    assert rows_of(rows, key, contract()) == 2
    other = rows.set_column(rows.column_names.index("id"), "id", rows["id"].cast(pa.int32()))
    assert rows_of(other, parse_key(["id=1", "date=2014-10-13"], contract()), contract()) == 1
    assert rows_of(rows.slice(0, 0), key, contract()) == 0


def test_a_table_that_cannot_be_searched_says_why() -> None:
    key = parse_key(["id=1"], contract())
    with pytest.raises(ValueError, match="it has no column id"):
        rows_of(table((1, DAY)).drop_columns(["id"]), key, contract())
    with pytest.raises(ValueError, match="its keys are of other types"):
        rows_of(pa.table({"id": ["one"]}), key, contract())
