"""Take records from a source to where they wait to be written, and hold the source against what it was before."""

import datetime
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hearth.contract import Contract
from hearth.earlier import Earlier
from hearth.errors import Refusal
from hearth.ledger import NONE, Tally, before, only, tally
from hearth.partitions import Waiting
from hearth.provenance import Provenance, alarms, checksum, word
from hearth.sources.batch import Source
from hearth.strict import Day, Strict

SAID_ROWS = 1_000_000  # after so many rows a line says how far it is


class CollectParams(Strict):
    """Hold the section `collect` of params.yaml."""

    source: str
    options: dict[str, Any]
    as_of: Day
    incremental: bool
    accept: str


@dataclass
class Taken:
    """Count what came: the source's columns, all rows, the tallies of the records before the watermark and before the last one."""

    columns: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    new: Tally = NONE
    past: Tally = NONE
    first: datetime.date | None = None


@dataclass(frozen=True)
class Collection:
    """Be a collection from a source, and what is remembered of the last one from the same source."""

    params: CollectParams
    contract: Contract
    source: Source
    last: Earlier | None

    @cached_property
    def since(self) -> datetime.date | None:
        """Return from which day on the source is asked: the last watermark, where it can be asked so and what it gave still holds."""
        able = self.params.incremental and self.contract.recorded_at is not None and self.source.since
        if not able or self.last is None or not self.last.same_code:
            return None
        known = self.last.provenance
        if known.watermark >= self.params.as_of:
            return None
        counted = self.source.known_before(known.watermark)
        if counted is not None and counted != known.records:
            print(f"the records before {known.watermark} were {known.records:,}, are {counted:,}; all is read again")
            return None
        return known.watermark

    def gather(self, waiting: Waiting) -> Taken:
        """Put the records to the waiting ones; refuse a source that has none, or that is no longer what it was."""
        taken = Taken()
        if self.since is not None and self.last is not None:
            print(f"taking in what was recorded from {self.since} on; what was known before is at hand")
            for table in self.last.tables():
                # What does not say since when is asked for each time, so it comes again, and says it perhaps.
                waiting.add(table.filter(table[self.contract.watermark].is_valid()) if self.source.undated else table)
            taken.new = self.last.provenance.tally
        for rows in self._records(taken):
            waiting.add(rows)
        self._check_some(taken)
        self._check_past(taken)
        return taken

    def provenance(self, taken: Taken, rows: int, unreadable: int) -> Provenance:
        """Return what source.json says."""
        return Provenance(
            source=self.params.source, options=self.params.options, watermark=self.params.as_of, columns=taken.columns,
            records=taken.new.records, checksum=checksum(taken.new), rows=rows, unreadable=unreadable,
        )  # fmt: skip

    def _records(self, taken: Taken) -> Iterator[pa.Table]:
        """Yield the records that were known in time, and count them."""
        name, until = self.contract.watermark, self.params.as_of
        for batch in self.source.batches(self.since, until):
            taken.columns |= batch.types
            rows = batch.shaped(self.contract)
            before_now = taken.rows
            taken.rows += len(rows)
            if taken.rows // SAID_ROWS > before_now // SAID_ROWS:
                print(f"{taken.rows:,} rows read", file=sys.stderr, flush=True)
            earliest = pc.min(rows[name]).as_py()
            taken.first = min(filter(None, (taken.first, earliest)), default=None)
            rows = before(rows, self.contract, until)
            if self.since:
                rows = only(rows, pc.fill_null(pc.greater_equal(rows[name], self.since), True))
            dated = only(rows, rows[name].is_valid())
            taken.new += tally(dated)
            if self.last is not None and self.since is None:
                taken.past += tally(before(dated, self.contract, self.last.provenance.watermark))
            yield rows

    def _check_some(self, taken: Taken) -> None:
        source, until = self.params.source, self.params.as_of
        if not taken.rows and self.since is None:
            within = f" before collect.as_of {until}" if self.source.since else ""
            raise Refusal(
                f"{source} has no rows{within}; wanted at least one. Check what wrote it, and collect.options."
            )
        if taken.first and taken.first >= until and not taken.new.records:
            raise Refusal(f"{source} has no rows before collect.as_of {until}; the first is of {taken.first}. Set a later as_of in "
                          "params.yaml.")  # fmt: skip

    def _check_past(self, taken: Taken) -> None:
        """Compare with the last collection: stop where the source is outside, warn where DVC and git keep it anyway."""
        if self.last is None or self.last.provenance.watermark > self.params.as_of:
            return
        if self.since is not None:  # a few new rows need not have all columns that there are
            taken.columns = self.last.provenance.columns | taken.columns
        past = taken.past if self.since is None else None
        found = alarms(self.last.provenance, taken.columns, past)
        said = "; ".join(found)
        accepting = word(taken.columns, past)
        if found and "://" not in self.params.source:
            print(f"warning: {self.params.source} is not what it was at the last collection: {said}", file=sys.stderr)
        elif found and self.params.accept != accepting:
            raise Refusal(f"{self.params.source} is not what it was at the last collection: {said}. Nothing was written; `dvc checkout` brings back the last table. If the source is right, "
                          f"set collect.accept to '{accepting}' in params.yaml, and collect again.")  # fmt: skip
