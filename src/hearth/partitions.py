"""Keep a table in a folder with a parquet file for each month, made in bounded memory: rows wait on disk, month by month.

A month's file depends on its rows alone, so a new month adds a few objects to DVC's cache and its remotes, and a corrected one
replaces one. Memory holds a batch of what is read and a chunk of one month, never the table.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hearth.contract import Contract
from hearth.errors import Refusal
from hearth.forgotten import Mark, keep
from hearth.ledger import current, months
from hearth.tables import REASONS, raw_schema

CHUNK_ROWS = 1_000_000  # of a month that are sorted at once; a month with more is sorted day by day
OPEN = 200  # files of months that are open at once; a system allows a process some hundreds
UNDATED = "undated"  # the month of rows without a readable day
GROUP_ROWS = 262_144  # of a parquet row group, whatever the chunks were, so that the bytes do not depend on them


class Waiting:
    """Hold rows on disk by month until all have come; use it in a `with`, which takes the folder away."""

    def __init__(self, folder: Path, contract: Contract, listed: Sequence[Mark] = ()) -> None:
        """Take where the rows wait, and which records are to be forgotten."""
        self._listed, self.forgotten = listed, 0
        self._folder, self._contract, self._schema = folder, contract, raw_schema(contract)
        self._stack = ExitStack()
        self._names: set[str] = set()
        self._writers: dict[str, Any] = {}
        self._undated = 0

    def __enter__(self) -> "Waiting":
        """Make the folder, empty: a killed process may have left one."""
        if self._folder.parent.is_file():  # the table of an older version of this project, which DVC has
            self._folder.parent.unlink()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Take the folder away, and the one around it where nothing was made."""
        self._stack.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        with suppress(OSError):
            self._folder.parent.rmdir()

    def add(self, rows: pa.Table) -> None:
        """Put rows with the raw table's columns to those of their months, but for those that are to be forgotten."""
        came = len(rows)
        rows = keep(rows, self._contract, self._listed)
        self.forgotten += came - len(rows)
        if not len(rows):
            return
        found, places = np.unique(months(rows, self._contract), return_inverse=True)
        names = [UNDATED if np.isnat(month) else str(month) for month in found]
        if len(names) > 1:
            order = np.argsort(places, kind="stable")
            rows, places = rows.take(pa.array(order)), places[order]
        self._undated += int(np.isnat(found).any()) and int((places == len(found) - 1).sum())
        if self._undated > CHUNK_ROWS:
            raise Refusal(f"more than {CHUNK_ROWS:,} rows have no {self._contract.time.name} that can be read; is collect.options.days in "
                          "params.yaml how the source writes its days?")  # fmt: skip
        ends = np.searchsorted(places, np.arange(len(names)), side="right")
        for name, start, end in zip(names, [0, *ends[:-1]], ends, strict=True):
            self._writer(name).write_table(rows.slice(start, end - start).cast(self._schema))

    def write(self, target: Path) -> tuple[int, int]:
        """Make `target` hold a file for each month with what holds of it; return the number of rows, and of unreadable ones."""
        self._stack.close()
        fresh = self._folder / "made"
        fresh.mkdir()
        rows = unreadable = 0
        for name in sorted(self._names):
            with (
                (fresh / f"{name}.parquet").open("wb") as file,
                pq.ParquetWriter(file, self._schema, compression="zstd") as writer,
            ):
                found = _write_groups(writer, (current(chunk, self._contract) for chunk in self._chunks(name)))
            rows, unreadable = rows + found[0], unreadable + found[1]
            if not found[0]:  # every sale of that month was taken back
                (fresh / f"{name}.parquet").unlink()
        if not rows:
            raise Refusal(
                "no sale holds: all are cancelled, or to be forgotten. Nothing was written; `dvc checkout` brings back the last table."
            )
        made = sorted(fresh.iterdir())
        for path in made:
            path.replace(target / path.name)
        for old in target.glob("*.parquet"):
            if old.name not in {path.name for path in made}:
                old.unlink()
        return rows, unreadable

    def _writer(self, name: str) -> Any:
        if name not in self._writers:
            if len(self._writers) == OPEN:
                self._stack.close()
                self._writers.clear()
            self._names.add(name)
            file = self._stack.enter_context((self._folder / name).open("ab"))
            self._writers[name] = self._stack.enter_context(pa.ipc.new_stream(file, self._schema))
        return self._writers[name]

    def _chunks(self, name: str) -> Iterator[pa.Table]:
        """Yield the rows of a month, at once or some days at a time; the days of one chunk are before those of the next."""
        with pa.memory_map(str(self._folder / name)) as file:
            streams = []
            while file.tell() < file.size():  # one for each time that the month's file was opened
                streams.append(pa.ipc.open_stream(file).read_all())  # pages of the file, not of memory
            rows = pa.concat_tables(streams)
            if len(rows) <= CHUNK_ROWS or name == UNDATED:
                yield rows
                return
            days = rows[self._contract.time.name]
            counted = sorted((one["values"].as_py(), one["counts"].as_py()) for one in pc.value_counts(days))
            taken: list[Any] = []
            size = 0
            for day, count in counted:
                if taken and size + count > CHUNK_ROWS:
                    yield rows.filter(pc.is_in(days, pa.array(taken, pa.date32())))
                    taken, size = [], 0
                taken.append(day)
                size += count
            yield rows.filter(pc.is_in(days, pa.array(taken, pa.date32())))


def _write_groups(writer: Any, chunks: Iterator[pa.Table]) -> tuple[int, int]:
    """Write tables one after the other in row groups of one size; return the number of rows, and of those with reasons."""
    total = unreadable = 0
    waiting = None
    for chunk in chunks:
        total += len(chunk)
        unreadable += len(chunk) - chunk[REASONS].null_count
        waiting = chunk if waiting is None else pa.concat_tables([waiting, chunk])
        whole = len(waiting) - len(waiting) % GROUP_ROWS
        if whole:
            writer.write_table(waiting.slice(0, whole).combine_chunks(), row_group_size=GROUP_ROWS)
            waiting = waiting.slice(whole)
    if waiting is not None and len(waiting):
        writer.write_table(waiting.combine_chunks(), row_group_size=GROUP_ROWS)
    return total, unreadable
