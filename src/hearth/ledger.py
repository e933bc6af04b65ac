"""Make of records what holds: the later record of a key wins, a cancellation takes it back, an exact repeat counts once.

What holds depends on the set of records alone, not on their order, nor on how they came in batches: `current` of what was
current and of newer records is `current` of all. That is what lets a collection take only what is new.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from hearth.contract import Contract
from hearth.tables import REASONS

Codes = np.ndarray[Any, np.dtype[np.uint64]]
_NULL = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Tally:
    """Hold how many records there were and a checksum that their order does not change; two tallies add up."""

    records: int = 0
    checksum: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        """Return the tally of both."""
        return Tally(self.records + other.records, (self.checksum + other.checksum) % 2**64)


NONE = Tally()


def current(records: pa.Table, contract: Contract) -> pa.Table:
    """Return the records that hold, sorted: by the day, the keys, then all other columns.

    `records` has the contract's columns and the reasons, and all records of each key in it (a key includes the day, so a
    month has all of its own). Without a column `recorded_at` in the contract every record stays: which one is right is for the
    contract's rules to say. Records of a key that became known on the same day and differ all stay, unless one cancels.
    """
    names = [contract.time.name, *(column.name for column in contract.of("key"))]
    recorded = contract.recorded_at.name if contract.recorded_at else None
    rest = [name for name in records.column_names if name not in names and name != recorded]
    order = [*names, *([recorded] if recorded else []), *rest]
    for place, field in enumerate(records.schema):
        if pa.types.is_floating(
            field.type
        ):  # -0.0 becomes 0.0: the two are equal, so which comes first would be chance
            records = records.set_column(place, field, pc.add(records.column(place), 0.0))
    whole = records.combine_chunks()  # of which Arrow finds the order in half the time
    table = whole.take(pc.sort_indices(whole, [(name, "ascending") for name in order]))
    if recorded is None or not len(table):
        return table
    columns = {name: codes(table[name]) for name in order}
    same = np.logical_and.reduce([values[1:] == values[:-1] for values in columns.values()])
    table = table.filter(pa.array(np.r_[True, ~same]))
    columns = {name: values[np.r_[True, ~same]] for name, values in columns.items()}
    unsure = np.logical_or.reduce([table[name].is_null().to_numpy() for name in [*names, recorded]])
    new = np.r_[True, np.logical_or.reduce([columns[name][1:] != columns[name][:-1] for name in names])]
    group = np.cumsum(new) - 1
    day = table[recorded].cast(pa.int32()).fill_null(0).to_numpy().astype(np.int64)
    latest = np.full(group[-1] + 1, np.iinfo(np.int64).min)
    np.maximum.at(latest, group[~unsure], day[~unsure])
    holds = unsure | (day == latest[group])
    if contract.cancelled:
        cancels = table[contract.cancelled.name].fill_null(False).to_numpy() & holds & ~unsure
        gone = np.zeros(len(latest), dtype=bool)
        gone[group[cancels]] = True
        holds &= unsure | ~gone[group]
    return table.filter(pa.array(holds))


def before(records: pa.Table, contract: Contract, day: Any) -> pa.Table:
    """Return the records that were known before a day; one that does not say since when stays: it is refused by name later."""
    return only(records, pc.fill_null(pc.less(records[contract.watermark], day), True))


def only(records: pa.Table, holds: pa.ChunkedArray) -> pa.Table:
    """Return the records for which something holds; mostly all, and then nothing is copied."""
    return records if pc.all(holds, min_count=0).as_py() else records.filter(holds)


def tally(records: pa.Table) -> Tally:
    """Return the number of records and the sum of their hashes.

    A row's hash is made of its cells and their columns' names; not of its reasons, whose words are ours and not the source's.
    """
    total = np.zeros(records.num_rows, dtype=np.uint64)
    for name in sorted(set(records.column_names) - {REASONS}):
        own = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
        total ^= _mixed(codes(records[name], stable=True) + np.uint64(own))
        total = _mixed(total)
    return Tally(records.num_rows, int(total.sum(dtype=np.uint64)))


def months(records: pa.Table, contract: Contract) -> np.ndarray[Any, np.dtype[np.datetime64]]:
    """Return the month of each record, NaT where the day could not be read; shape (rows,)."""
    days: np.ndarray[Any, np.dtype[np.datetime64]] = records[contract.time.name].to_numpy()
    return days.astype("datetime64[M]")


def codes(column: pa.ChunkedArray, stable: bool = False) -> Codes:
    """Return a number for each cell, equal where the cells are; for texts the same in every table only if `stable`."""
    values = column.combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = values.chunk(0) if values.num_chunks else pa.array([], values.type)
    if pa.types.is_string(values.type):
        distinct = values.dictionary_encode()
        numbers = distinct.indices.fill_null(0).to_numpy().astype(np.uint64)
        if stable:
            hashes = pd.util.hash_array(np.asarray(distinct.dictionary.to_pylist(), dtype=object), categorize=False)
            numbers = hashes[numbers.astype(np.int64)] if len(hashes) else numbers
    elif pa.types.is_floating(values.type):
        floats = values.fill_null(0.0).to_numpy() + 0.0  # -0.0 is 0.0
        numbers = np.where(np.isnan(floats), np.nan, floats).view(np.uint64)
    else:
        plain = values.cast(pa.int32()) if pa.types.is_date32(values.type) else values.cast(pa.int64())
        numbers = plain.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64).view(np.uint64)
    # 0x9E.. is no cell of a table of houses; a cell that is it by chance counts as empty in a comparison of records.
    return np.where(values.is_null().to_numpy(zero_copy_only=False), _NULL, numbers) if values.null_count else numbers


def _mixed(values: Codes) -> Codes:
    """Return values whose bits depend on all bits of the given ones (SplitMix64; Steele, Lea and Flood, OOPSLA 2014)."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))
