"""Read texts as the contract's types: exactly, or with a reason."""

from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from deeds import START, deeds_contract
from hypothesis import given
from hypothesis import strategies as st

from hearth.cells import Notation, shown, table_of, text_of, typed
from hearth.errors import Refusal
from hearth.row import Row

CONTRACT = deeds_contract()
PLAIN = Notation()
NAMES = [column.name for column in CONTRACT.columns]
GOOD = {
    "parcel": "1",
    "sold": "2014-05-01",
    "known": "2014-05-02",
    "void": "false",
    "dollars": "100",
    "area": "1.5",
    "town": "alba",
}


def read(notation: Notation = PLAIN, **cells: str | None) -> dict[str, Any]:
    rows = typed(table_of([Row(0, GOOD | cells)], NAMES), CONTRACT, "drop.csv", notation)
    return rows.to_pylist()[0]


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("dollars", "221900", 221900),
        ("dollars", " 221900 ", 221900),
        ("dollars", "221900.0", 221900),
        ("dollars", "221900.", 221900),
        ("dollars", "+7", 7),
        ("dollars", "-7", -7),
        ("dollars", "1.225e+06", 1225000),
        ("dollars", "999999999999999999", 999999999999999999),
        ("area", "1180", 1180.0),
        ("area", ".5", 0.5),
        ("area", "1e3", 1000.0),
        ("area", "47.5112", 47.5112),
        ("area", "", None),
        ("area", "  ", None),
        ("area", None, None),
        ("sold", "2014-10-13", date(2014, 10, 13)),
        ("sold", "20141013", date(2014, 10, 13)),
        ("sold", "20141013T000000", date(2014, 10, 13)),
        ("sold", "2014-10-13 00:00:00", date(2014, 10, 13)),
        ("sold", "2014-10-13T00:00:00.000Z", date(2014, 10, 13)),
        ("sold", "2014-10-13T00:00:00+00:00", date(2014, 10, 13)),
        ("void", "TRUE", True),
        ("void", "no", False),
        ("void", "0", False),
        ("town", " brio", "brio"),
        ("town", "nowhere", "nowhere"),
    ],
)
def test_a_cell_is_read_exactly(column: str, text: str | None, value: Any) -> None:
    row = read(**{column: text})
    assert (row[column], row["reasons"]) == (value, None)


@pytest.mark.parametrize(
    ("column", "text", "said"),
    [
        ("dollars", "1,234", "dollars: 1,234, wanted a whole number of at least 1 (US dollar)"),
        ("dollars", "1.234,00", "dollars: 1.234,00, wanted a whole number"),
        ("dollars", "1 234", "dollars: 1 234, wanted a whole number"),
        ("dollars", "$100", "dollars: $100, wanted a whole number"),
        ("dollars", "100.5", "dollars: 100.5, wanted a whole number"),
        ("dollars", "1.5e0", "dollars: 1.5e0, wanted a whole number"),
        ("dollars", "9" * 19, f"dollars: {'9' * 19}, wanted a whole number"),
        ("dollars", "1e300", "dollars: 1e300, wanted a whole number"),
        ("dollars", "NaN", "dollars: NaN, wanted a whole number"),
        ("dollars", "١٢", "dollars: ١٢, wanted a whole number"),
        ("area", "nan", "area: nan, wanted a number"),
        ("area", "inf", "area: inf, wanted a number"),
        ("area", "1e999", "area: 1e999, wanted a number"),
        ("area", "0x10", "area: 0x10, wanted a number"),
        ("area", "1_000", "area: 1_000, wanted a number"),
        ("area", "n/a", "area: n/a, wanted a number"),
        ("sold", "13/10/2014", "sold: 13/10/2014, wanted a date as YYYY-MM-DD"),
        ("sold", "2014-02-30", "sold: 2014-02-30, wanted a date"),
        ("sold", "20140230", "sold: 20140230, wanted a date"),
        ("sold", "2014-10-13 09:30:00", "sold: 2014-10-13 09:30:00, wanted a date"),
        ("sold", "2014-10-13T00:00:00+02:00", "sold: 2014-10-13T00:00:00+02:00, wanted a date"),
        ("sold", "41925", "sold: 41925, wanted a date"),
        ("void", "maybe", "void: maybe, wanted true or false"),
        ("void", "2", "void: 2, wanted true or false"),
    ],
)
def test_what_does_not_fit_without_loss_is_a_reason(column: str, text: str, said: str) -> None:
    row = read(**{column: text})
    assert row[column] is None
    assert row["reasons"].startswith(said)


def test_every_cell_at_fault_is_named_and_the_others_are_read() -> None:
    row = read(dollars="1,234", sold="soon")
    assert row["reasons"].count("; ") == 1
    assert (row["parcel"], row["area"]) == (1, 1.5)


def test_numbers_and_days_of_other_countries_are_read_where_they_are_announced() -> None:
    german = Notation(decimal=",", days="%d.%m.%Y")
    row = read(german, area="1,5", dollars="100,0", sold="13.10.2014", known="14.10.2014")
    assert (row["area"], row["dollars"], row["sold"], row["reasons"]) == (1.5, 100, date(2014, 10, 13), None)
    assert read(german, area="1.5", sold="13.10.2014", known="14.10.2014")["reasons"].startswith("area: 1.5, wanted")
    assert "sold: 2014-10-13" in read(german, sold="2014-10-13")["reasons"]


def test_a_faulty_row_has_no_cells_and_keeps_its_reason() -> None:
    rows = typed(
        table_of([Row(0, GOOD, "the row has 3 cells; wanted 7"), Row(1, GOOD)], NAMES), CONTRACT, "x", Notation()
    )
    assert [row["reasons"] for row in rows.to_pylist()] == ["the row has 3 cells, wanted 7", None]
    assert rows["parcel"].to_pylist() == [None, 1]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (NAMES[:-1], "drop.csv lacks the column town of the contract; it has parcel"),
        ([*NAMES, "agent"], "drop.csv has the column agent that data/contract.yaml does not know"),
    ],
)
def test_other_columns_are_refused(names: list[str], said: str) -> None:
    with pytest.raises(Refusal) as caught:
        typed(table_of([Row(0, GOOD)], names), CONTRACT, "drop.csv", PLAIN)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("value", [None, True, 3, 0.1, Decimal("221900.00"), START, "x", b"x"])
def test_a_value_reads_back_from_its_text(value: Any) -> None:
    column = {bool: "void", int: "dollars", float: "area", Decimal: "area", date: "sold"}.get(type(value), "town")
    expected = {Decimal: 221900.0, bytes: "x"}.get(type(value), value)
    assert read(**{column: text_of(value)})[column] == expected


def test_a_reason_stays_short_and_on_one_line() -> None:
    assert shown("a;b\n" + "c" * 100) == "a,b\\n" + "c" * 35 + "…"


TEXTS = st.one_of(
    st.text(max_size=12),
    st.from_regex(r"[-+]?[0-9]{1,12}(\.[0-9]{0,4})?([eE][-+]?[0-9]{1,3})?", fullmatch=True),
    st.none(),
)


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(NAMES, TEXTS)), min_size=1, max_size=8))
def test_no_text_is_lost_in_silence(rows: list[dict[str, str | None]]) -> None:
    """Each cell is empty as it was, or read, or a reason of its row; and what is read is what Python would read."""
    found = typed(table_of([Row(n, row) for n, row in enumerate(rows)], NAMES), CONTRACT, "x", PLAIN)
    assert found.num_rows == len(rows)
    for row, got in zip(rows, found.to_pylist(), strict=True):
        for name in NAMES:
            text = (row[name] or "").strip()
            if got[name] is None:
                assert not text or f"{name}: " in got["reasons"], (name, text)
            elif name in ("parcel", "dollars"):
                assert got[name] == Decimal(text)
            elif name == "area":
                assert got[name] == float(text)


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**18) + 1, 10**18 - 1), st.dates())
def test_what_is_written_as_text_is_read_back(area: float, dollars: int, sold: date) -> None:
    row = read(area=text_of(area), dollars=text_of(dollars), sold=text_of(sold))
    assert (row["area"], row["dollars"], row["sold"]) == (area, dollars, sold)


def test_an_empty_table_has_the_columns() -> None:
    rows = typed(table_of([], NAMES), CONTRACT, "x", PLAIN)
    assert rows.num_rows == 0
    assert rows.schema.field("dollars").type == pa.int64()
