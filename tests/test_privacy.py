"""Test what is taken for a person in a text, what is not, how it is masked, and how private contents are known again."""

import pyarrow as pa
import pytest
from samples import changed, contract, houses, sales

from hearth.given_names import GIVEN_NAMES
from hearth.privacy import (
    CONTENT,
    EMAIL,
    NAME,
    PHONE,
    Contents,
    Hit,
    cells_of,
    hits,
    key_of,
    look,
    masked,
    of_page,
    of_value,
)

OWNER = {"owner": {"type": "text", "unit": "name", "role": "identifier", "meaning": "Who sold it."},
         "remark": {"type": "text", "unit": "words", "role": "sensitive", "meaning": "Why."}}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "column", "kind", "found"),
    [
        ("write to jane.planted@example.org.", "", EMAIL, "jane.planted@example.org"),
        ("<planted+tag@mail.example.co.uk>", "", EMAIL, "planted+tag@mail.example.co.uk"),
        ("größe@beispiel.example", "", EMAIL, "größe@beispiel.example"),
        ("call (206) 555-0142 now", "", PHONE, "(206) 555-0142"),
        ("206-555-0142", "", PHONE, "206-555-0142"),
        ("206.555.0142", "", PHONE, "206.555.0142"),
        ("+12065550142", "", PHONE, "+12065550142"),
        ("at +49 (0)30 1234567", "", PHONE, "+49 (0)30 1234567"),
        ("0049 30 1234567", "", PHONE, "0049 30 1234567"),
        ("030/1234567", "", PHONE, "030/1234567"),
        ("Tel.: 555-0142", "", PHONE, "555-0142"),
        ("2065550142", "phone", PHONE, "2065550142"),
        ("2065550142", "house.buyerPhone", PHONE, "2065550142"),
        ("sold by Jane Planted in May", "", NAME, "Jane Planted"),
        ("Dear Jane Q. Planted,", "", NAME, "Jane Q. Planted"),
        ("PLANTED, JANE", "", NAME, "PLANTED, JANE"),
        ("Mrs. Planted asked", "", NAME, "Mrs. Planted"),
        ("ask Dr. Planted", "", NAME, "Dr. Planted"),
        ("José Planted-O'Example", "", NAME, "José Planted-O'Example"),
        ("Xquz Planted", "buyer_name", NAME, "Xquz Planted"),
        ("Xquz van Planted", "ownerName", NAME, "Xquz van Planted"),
    ],
)
def test_a_person_is_found(text: str, column: str, kind: str, found: str) -> None:
    assert Hit(kind, found) in hits(text, column)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("7129300520", "id"),
        ("2014-10-13", ""),
        ("2014-10-13T00:00:00.123+00:00", ""),
        ("-122.319 47.5112 16,861 4,752", ""),
        ("2014 2015 2016 2017", ""),
        ("0.123 456 7890", ""),
        ("12345678-1234-1234-1234-123456789012", ""),
        ("+11.1% to +12.25%", ""),
        ("712930-0520", ""),
        ("house-prices@v0.1.0-rc.beta", ""),
        ("models/model@main", ""),
        ("ssh://user@store.example.org/folder", ""),
        ("12 Lakeview Dr. Seattle", ""),
        ("Jane Street and Louis Park", ""),
        ("King County, Washington", ""),
        ("Grant County; May Creek; Mark Twain", ""),
        ("Robert, Peter and Paul", ""),
        ("The team that runs this repository.", "owner"),
        ("Ridge Regression", "name"),
        ("", ""),
    ],
)
def test_what_is_no_person_is_left_alone(text: str, column: str) -> None:
    assert hits(text, column) == []


@pytest.mark.parametrize(
    ("hit", "shown"),
    [
        (Hit(EMAIL, "jane.planted@example.org"), "j***@e***"),
        (Hit(PHONE, "(206) 555-0142"), "***2"),
        (Hit(NAME, "Jane Q. Planted"), "J*** Q*** P***"),
        (Hit(CONTENT, "what nobody may read"), "***"),
    ],
)
def test_a_mask_shows_no_more_than_first_letters_or_a_last_digit(hit: Hit, shown: str) -> None:
    assert masked(hit) == shown


def test_the_given_names_are_no_places_and_no_months() -> None:
    assert len(GIVEN_NAMES) > 400
    assert not GIVEN_NAMES & {
        "April",
        "May",
        "June",
        "August",
        "Virginia",
        "Georgia",
        "Austin",
        "Grace",
        "Grant",
        "Mark",
        "Washington",
    }


# Tables


def people(**texts: list[str | None]) -> pa.Table:
    """Return valid sales with columns of texts beside."""
    found = sales(houses(len(next(iter(texts.values())))))
    for name, values in texts.items():
        found = found.append_column(name, pa.array(values))
    return found


def test_each_text_of_a_table_is_looked_at_once_and_told_by_the_key_of_its_first_row() -> None:
    table = people(note=[None, "a@example.org", "x", "a@example.org", "b@example.org"])
    (found,) = look("t", cells_of(table, contract(), False), Contents(), "", lambda row: key_of(table, contract(), row))
    day = table["date"][1].as_py()
    assert (found.column, found.kind, found.rows, found.example) == ("note", EMAIL, 3, "a***@e***")
    assert found.row == f"id=1001 date={day}"
    assert key_of(table.select(["note"]), contract(), 3) == "row 3"


def test_texts_are_read_whatever_their_type_and_numbers_only_where_the_name_says_phone() -> None:
    table = pa.table({
        "a": pa.array(["a@example.org"]).dictionary_encode(),
        "b": pa.array(["b@example.org"], pa.large_string()),
        "contact_phone": pa.array([2065550142]),
        "id": pa.array([2065550142]),
    })  # fmt: skip
    found = look("t", cells_of(table, contract(), False), Contents(), "", str)
    assert [(one.column, one.kind) for one in found] == [("a", EMAIL), ("b", EMAIL), ("contact_phone", PHONE)]


def test_private_columns_of_the_raw_table_are_not_looked_at_and_its_others_are() -> None:
    table = people(owner=["Jane Planted"], note=["Jane Planted"])
    raw, later = (list(cells_of(table, changed(OWNER), raw)) for raw in (True, False))
    assert [cell.column for cell in raw] == ["note"]
    assert [cell.column for cell in later] == ["owner", "note"]


# Contents of private columns


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("The seller, xquz  PLANTED, was in a hurry.", "xquz planted"),
        ("account zz-99-planted is closed", "zz-99-planted"),
        ("sold because of a divorce in the family, they say", "sold because of a divorce in"),
        ("sold because of a move", ""),
        ("xquz and planted", ""),
        ("price 12345678", ""),
        ("Lake", ""),
    ],
)
def test_what_a_private_column_holds_is_known_again_elsewhere(text: str, said: str) -> None:
    contents = Contents()
    owners = ["Xquz Planted", "ZZ-99-planted", "Lake", "12345678", None]
    remarks = ["Sold because of a divorce in the family", "a move", "", None, None]
    contents.learn(people(owner=owners, remark=remarks), changed(OWNER))
    assert [hit.text for hit in contents.within(text)] == ([said] if said else [])


def test_without_private_columns_nothing_is_known_again() -> None:
    contents = Contents()
    contents.learn(people(owner=["Xquz Planted"]), contract())
    assert list(contents.within("Xquz Planted")) == []


# Documents


def test_what_is_meant_to_be_read_is_no_finding() -> None:
    cells = [*of_value({"contact": "ask a@example.org or b@example.org"}, 0)]
    assert [one.example for one in look("t", cells, Contents(), "", str)] == ["a***@e***"]
    both = "contact: a@example.org, b@example.org"
    assert look("t", cells, Contents(), both, str) == []


def test_a_document_is_read_with_its_keys_and_a_number_where_its_key_says_phone() -> None:
    cells = list(of_value({"rows": [{"phone": 2065550142, "n": 2065550142}], "a@example.org": True}, 3))
    found = look("t", cells, Contents(), "", lambda row: f"line {row}")
    assert [(one.column, one.kind, one.row) for one in found] == [
        ("rows.phone", PHONE, "line 3"),
        ("", EMAIL, "line 3"),
    ]


def test_a_page_is_read_as_people_see_it_with_its_data_and_without_its_code() -> None:
    page = """<style>a{content:"x@example.org"}</style><p title="t@example.org">Jane
      Planted</p><script>let a = "y@example.org"</script><a href="mailto:m@example.org">m</a>
      <svg><path d="M 206 555 0142 L 206 555 0143"/><text>206</text><text>555</text><text>0142</text></svg>
      <script type="application/json">{"a": ["<", "j@example.org"]}</script><script type="application/json">no k@example.org</script>"""
    texts = [hit.text for cell in of_page(page) for hit in hits(cell.text, cell.column)]
    assert texts == ["t@example.org", "Jane Planted", "m@example.org", "j@example.org", "k@example.org"]
