"""Be what all sources give: rows in batches, and how their cells are to be taken."""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from hearth.cells import Notation, typed
from hearth.contract import Contract
from hearth.tables import REASONS, conform, raw_schema

ROWS = 65_536  # of a batch


@dataclass(frozen=True)
class Batch:
    """Hold some rows as the source has them; texts are read by the contract, other types must fit it without loss.

    Only a table with texts may have a column `reasons`: why a row is none.
    """

    table: pa.Table
    where: str
    notation: Notation | None = None  # of texts
    texts: frozenset[str] | None = None  # the columns that are texts to be read, None for all
    absent: frozenset[str] = frozenset()  # columns that no row has, where each row names its own

    @property
    def types(self) -> dict[str, str]:
        """Return the source's own columns and types."""
        return {field.name: str(field.type) for field in self.table.schema if field.name not in {REASONS, *self.absent}}

    def shaped(self, contract: Contract) -> pa.Table:
        """Return the rows with the raw table's columns."""
        if self.notation is not None:
            return typed(self.table, contract, self.where, self.notation, self.texts).cast(raw_schema(contract))
        rows = conform(self.table, contract, self.where)
        return rows.append_column(REASONS, pa.nulls(len(rows), pa.string())).cast(raw_schema(contract))


class Source(Protocol):
    """Be somewhere that sales come from."""

    since: bool
    """Whether it can be asked for what is new alone."""
    undated: bool
    """Whether it then gives what does not say since when too, each time."""

    def batches(self, since: datetime.date | None, until: datetime.date) -> Iterator[Batch]:
        """Yield its rows that were known before `until`, and not before `since`; rows beyond either may be among them."""

    def known_before(self, day: datetime.date) -> int | None:
        """Return how many records were known before a day, None where that would cost reading them."""


def dig(document: Any, path: str) -> Any:
    """Return what is at a dotted path in JSON, None where there is nothing; the empty path is the document."""
    for key in filter(None, path.split(".")):
        if not isinstance(document, dict):
            return None
        document = document.get(key)
    return document
