"""Know where the raw table came from, and see when the source is no longer what it was."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from hearth.ledger import Tally
from hearth.strict import Day, Strict


class Provenance(Strict):
    """Hold where a raw table is from.

    `columns` are the source's own, with their types there. `records` and `checksum` are of what was known before the watermark,
    corrected and cancelled records included; the checksum does not depend on their order. `rows` are those of the raw table,
    `unreadable` those of them with a cell that could not be read.
    """

    source: str
    options: dict[str, Any]
    watermark: Day
    columns: dict[str, str]
    records: int = Field(ge=0)
    checksum: str = Field(pattern="^[0-9a-f]{16}$")
    rows: int = Field(ge=0)
    unreadable: int = Field(ge=0)

    @property
    def tally(self) -> Tally:
        """Return the tally of the records."""
        return Tally(self.records, int(self.checksum, 16))

    def is_of(self, source: str, options: dict[str, Any]) -> bool:
        """Return whether it tells of this source, read in this way."""
        return (self.source, self.options) == (source, options)


def checksum(tally: Tally) -> str:
    """Return a tally's checksum as it is written."""
    return f"{tally.checksum:016x}"


def alarms(before: Provenance, columns: Mapping[str, str], past: Tally | None) -> list[str]:
    """Return in words how a source is no longer what it was, each with both values.

    `past` is the tally now of the records that were known before the earlier watermark, None where they were not read.
    """
    found = [
        f"the column {name} was {before.columns.get(name, 'not there')}, is {columns.get(name, 'not there')}"
        for name in sorted(before.columns.keys() | columns.keys())
        if before.columns.get(name) != columns.get(name)
    ]
    if past is None or past == before.tally:
        return found
    if past.records != before.records:
        what = "rows fell out" if past.records < before.records else "the past was rewritten"
        said = f"the records before {before.watermark} were {before.records:,}, are {past.records:,}: {what}"
    else:
        said = (f"the {past.records:,} records before {before.watermark} had the checksum {before.checksum}, have "
                f"{checksum(past)}: the past was rewritten")  # fmt: skip
    return [*found, said]


def word(columns: Mapping[str, str], past: Tally | None) -> str:
    """Return the word that accepts a source as it is now; another change has another word."""
    known = [dict(columns), past and (past.records, checksum(past))]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:12]
