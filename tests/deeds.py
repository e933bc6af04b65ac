"""Give tests a table of deeds: few columns, with a day on which each became known and a mark that takes a sale back."""

from datetime import date, timedelta
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from hearth.contract import Contract, parse_contract
from hearth.tables import raw_schema

START = date(2014, 5, 1)
DOCUMENT: dict[str, Any] = {
    "name": "deeds", "row": "one deed", "title": "Deeds", "origin": "made by a test", "licence": "none", "sha256": "", "limits": "Invented.",
    "columns": {
        "parcel": {"type": "integer", "unit": "number", "role": "key", "minimum": 1, "meaning": "The house."},
        "sold": {"type": "date", "unit": "day", "role": "time", "meaning": "Day of the sale."},
        "known": {"type": "date", "unit": "day", "role": "recorded_at", "meaning": "Day on which the record came."},
        "void": {"type": "boolean", "unit": "yes or no", "role": "cancelled", "meaning": "Takes the sale back."},
        "dollars": {"type": "integer", "unit": "US dollar", "role": "target", "minimum": 1, "meaning": "Price."},
        "area": {"type": "number", "unit": "square foot", "role": "feature", "minimum": 0, "maximum": 9999, "nullable": True, "meaning": "Area."},
        "town": {"type": "category", "unit": "name", "role": "feature", "categories": ["alba", "brio", "corsa"], "meaning": "Town."},
    },
    "checks": {},
}  # fmt: skip


def deeds_contract() -> Contract:
    return parse_contract(DOCUMENT, "data/contract.yaml")


def deed(
    parcel: int | None = 1, sold: int = 0, known: int | None = 0, dollars: int | None = 100, **more: Any
) -> dict[str, Any]:
    """Return a record; days count from START."""
    days = {"sold": START + timedelta(sold), "known": None if known is None else START + timedelta(known)}
    usual = {"void": False, "area": 1000.0, "town": "alba", "reasons": None}
    return {"parcel": parcel, **days, "dollars": dollars, **(usual | more)}


def table(records: list[dict[str, Any]]) -> pa.Table:
    """Return records with the raw table's columns."""
    schema = raw_schema(deeds_contract())
    return pa.Table.from_pylist([{name: record[name] for name in schema.names} for record in records], schema)


RECORDS = st.lists(
    st.builds(
        deed,
        parcel=st.one_of(st.none(), st.integers(1, 4)),
        sold=st.sampled_from([0, 1, 40]),
        known=st.one_of(st.none(), st.integers(0, 90)),
        dollars=st.integers(100, 103),
        void=st.booleans() | st.just(False),
        area=st.sampled_from([None, 0.0, -0.0, 1.5, float("nan")]),
        town=st.sampled_from(["alba", "brio"]),
        reasons=st.sampled_from([None, None, None, "dollars: x, wanted a whole number"]),
    ),
    max_size=25,
)  # fmt: skip
