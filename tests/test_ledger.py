"""Make of records what holds, whatever their order and their batches."""

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from deeds import RECORDS, START, deed, deeds_contract, table
from hypothesis import given
from hypothesis import strategies as st
from samples import contract

from hearth.ledger import NONE, Tally, before, current, tally

CHECKSUM = 0xE4407E8F908AFFFE
CONTRACT = deeds_contract()


def dollars(records: list[dict[str, Any]]) -> list[int]:
    return current(table(records), CONTRACT)["dollars"].to_pylist()


def test_the_later_record_of_a_key_wins() -> None:
    assert dollars([deed(known=3, dollars=130), deed(known=5, dollars=150), deed(known=1, dollars=110)]) == [150]


def test_another_day_of_sale_is_another_sale() -> None:
    assert dollars([deed(sold=0, known=3, dollars=130), deed(sold=2, known=5, dollars=150)]) == [130, 150]


def test_a_cancellation_takes_a_sale_back_and_a_later_record_puts_it_in_again() -> None:
    cancelled = [deed(known=1), deed(known=2, void=True)]
    assert dollars(cancelled) == []
    assert dollars([*cancelled, deed(known=3, dollars=130)]) == [130]


def test_a_cancellation_of_an_earlier_record_does_not_touch_the_later_one() -> None:
    assert dollars([deed(known=1, void=True), deed(known=2, dollars=120)]) == [120]


def test_a_cancellation_wins_over_a_correction_of_the_same_day() -> None:
    assert dollars([deed(known=2, dollars=120), deed(known=2, void=True)]) == []


def test_records_of_one_day_that_differ_all_stay_for_the_contract_to_judge() -> None:
    assert dollars([deed(known=2, dollars=121), deed(known=1), deed(known=2, dollars=120)]) == [120, 121]


def test_an_exact_repeat_counts_once() -> None:
    assert dollars([deed(), deed(), deed(area=None), deed(area=None)]) == [100, 100]


def test_a_record_without_a_key_or_a_day_takes_no_other_away() -> None:
    assert dollars([deed(parcel=None, known=9), deed(known=None, dollars=190), deed(known=1)]) == [100, 190, 100]


def test_a_record_that_cannot_be_read_is_the_latest_word_too() -> None:
    found = current(table([deed(known=1), deed(known=2, dollars=None, reasons="dollars: 1,5, wanted more")]), CONTRACT)
    assert found["reasons"].to_pylist() == ["dollars: 1,5, wanted more"]


def test_without_a_recorded_at_every_record_stays() -> None:
    known = contract()
    rows = pa.table(
        {column.name: pa.nulls(3, pa.int64()) for column in known.columns} | {"reasons": pa.nulls(3, pa.string())}
    )
    rows = rows.set_column(rows.column_names.index("date"), "date", pa.nulls(3, pa.date32()))
    assert len(current(rows, known)) == 3


@given(RECORDS, st.randoms(use_true_random=False))
def test_the_order_moves_nothing(records: list[dict[str, Any]], chance: Any) -> None:
    shuffled = list(records)
    chance.shuffle(shuffled)
    assert same(current(table(shuffled), CONTRACT), current(table(records), CONTRACT))
    assert tally(table(shuffled)) == tally(table(records))


@given(RECORDS, st.integers(0, 91))
def test_what_was_current_and_what_is_new_are_as_good_as_all(records: list[dict[str, Any]], day: int) -> None:
    """A record that does not say since when is asked for each time, so it is in both."""
    cut = START + timedelta(day)
    old = [record for record in records if record["known"] is None or record["known"] < cut]
    new = [record for record in records if record["known"] is None or record["known"] >= cut]
    both = pa.concat_tables([current(table(old), CONTRACT), table(new)])
    assert same(current(both, CONTRACT), current(table(records), CONTRACT))


@given(RECORDS)
def test_current_of_current_is_current(records: list[dict[str, Any]]) -> None:
    once = current(table(records), CONTRACT)
    assert same(current(once, CONTRACT), once)
    assert len(once) <= len(records)


@given(RECORDS, st.integers(0, 25))
def test_tallies_of_parts_add_up(records: list[dict[str, Any]], cut: int) -> None:
    assert tally(table(records[:cut])) + tally(table(records[cut:])) == tally(table(records))
    assert tally(table([])) == NONE


@pytest.mark.parametrize(
    "other",
    [deed(dollars=101), deed(parcel=100, dollars=1), deed(area=None), deed(town="brio"), deed(known=1), deed(void=True)],
    ids=["a cell", "two cells swapped", "an empty cell", "a text", "a day", "a mark"],
)  # fmt: skip
def test_another_cell_is_another_checksum(other: dict[str, Any]) -> None:
    assert tally(table([deed(), deed(parcel=2)])) != tally(table([other, deed(parcel=2)]))
    assert tally(table([other])).records == 1


def test_a_checksum_is_the_same_on_every_machine() -> None:
    """It stands in data/raw/source.json, which is compared with that of other machines."""
    assert tally(table([deed(), deed(parcel=None, area=2.5, town="corsa", reasons="so")])) == Tally(2, CHECKSUM)


def test_what_is_known_in_time_is_taken_and_what_does_not_say_stays() -> None:
    rows = table([deed(known=1), deed(known=2), deed(known=None)])
    assert before(rows, CONTRACT, START + timedelta(2))["known"].to_pylist() == [START + timedelta(1), None]


def same(one: pa.Table, other: pa.Table) -> bool:
    """Return whether tables are equal, NaN and NaN included."""
    return repr(one.to_pylist()) == repr(other.to_pylist())


def test_our_own_words_and_the_order_of_the_columns_move_no_checksum() -> None:
    """Else a changed bound of the contract would look like another past of the source."""
    rows = table([deed(dollars=None, reasons="dollars: x, wanted a whole number")])
    turned = rows.select(rows.column_names[::-1]).set_column(0, "reasons", pa.array(["in other words"]))
    assert tally(turned) == tally(rows)
