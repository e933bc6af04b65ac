"""Read rows from CSV, parquet and JSON lines in chunks, and write them; memory holds a chunk and never the file."""

import csv
import gzip
import io
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from hearth.errors import Refusal
from hearth.lines import csv_rows, jsonl_rows, once, whole
from hearth.row import Row
from hearth.storage import replacing

# A format's ending to its name; .parquet compresses by itself, the others may be in gzip.
FORMS = {".parquet": "parquet", ".csv": "csv", ".csv.gz": "csv", ".jsonl": "jsonl", ".jsonl.gz": "jsonl",
         ".ndjson": "jsonl", ".ndjson.gz": "jsonl"}  # fmt: skip
GROUP_ROWS = 65_536  # rows of a parquet row group at least, which stand in memory until it is written

Rows = Sequence[Mapping[str, Any]]


def ending(path: Path) -> str:
    """Return the part of the name that says the format; raise ValueError if none does."""
    name = path.name.lower()
    for known in FORMS:
        if name.endswith(known) and name != known:
            return path.name[-len(known) :]
    raise ValueError(f"{path.name} has none of the endings {', '.join(FORMS)}; rename or convert it")


def form(path: Path) -> str:
    """Return the format by the name: csv, parquet or jsonl."""
    return FORMS[ending(path).lower()]


def beside(path: Path, word: str, new: str) -> Path:
    """Return the neighbour of a file with a word before its ending, which is `new`."""
    return path.with_name(f"{path.name.removesuffix(ending(path))}.{word}{new}")


@dataclass(frozen=True)
class Source:
    """Hold an open file: its columns and their types (none where each row says its own), its size, and its rows.

    Each chunk of rows comes with how much of `total` it is, in `unit`: rows, or bytes of a text file.
    """

    names: list[str] | None
    types: Mapping[str, pa.DataType]
    total: int
    unit: str
    chunks: Iterator[tuple[list[Row], int]]


@contextmanager
def reading(path: Path, size: int) -> Iterator[Source]:
    """Open a file to be read in chunks of `size` rows; refuse what is not of the format that its name says."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise Refusal(f"{path} does not exist; check its name.") from None
    except OSError as error:
        raise Refusal(
            f"{path} cannot be read ({error.strerror}); check that it is a file and who may read it."
        ) from None
    with file:
        if form(path) == "parquet":
            yield _parquet(path, file, size)
            return
        total = file.seek(0, io.SEEK_END)
        file.seek(0)
        plain: Any = gzip.GzipFile(fileobj=file) if _packed(path) else file
        names, rows = csv_rows(path, plain) if form(path) == "csv" else (None, jsonl_rows(path, plain))
        yield Source(names, {}, total, "B", _in_chunks(rows, size, file.tell))


def _in_chunks(rows: Iterator[Row], size: int, tell: Callable[[], int]) -> Iterator[tuple[list[Row], int]]:
    before = 0
    while chunk := list(itertools.islice(rows, size)):
        now = tell()
        yield chunk, now - before
        before = now


def _packed(path: Path) -> bool:
    return ending(path).lower().endswith(".gz")


def _parquet(path: Path, file: IO[bytes], size: int) -> Source:
    # What Python cannot hold, a day in the year 20000 for one, is a ValueError or an OverflowError.
    errors = (pa.ArrowException, OSError, ValueError, OverflowError)
    with whole(path, "parquet", *errors):
        # Not pre-buffered: a row group may be the whole file, and would be read as one.
        opened = pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
        schema, total = opened.schema_arrow, opened.metadata.num_rows

    def chunks() -> Iterator[tuple[list[Row], int]]:
        number = 0
        with whole(path, "parquet", *errors):
            for batch in opened.iter_batches(batch_size=size):
                yield [Row(place, cells) for place, cells in enumerate(batch.to_pylist(), number)], len(batch)
                number += len(batch)

    names = once(path, schema.names)
    return Source(names, dict(zip(names, schema.types, strict=True)), total, "row", chunks())


class Sink(Protocol):
    """Be what takes rows."""

    def write(self, rows: Rows) -> None:
        """Take rows with the columns that were named; JSON lines take any."""

    def close(self) -> None:
        """Write what is not yet written."""


@contextmanager
def writing(
    path: Path, own: Sequence[str], names: Sequence[str] | None, types: Mapping[str, pa.DataType]
) -> Iterator[Sink]:
    """Write a file of rows under a temporary name that becomes its own at the end, the same bytes for the same rows.

    Without `names` the columns are those of the first rows, and `own` where there is none. In a parquet file a column
    without a type is one of texts.
    """
    with replacing(path) as plain, ExitStack() as stack:
        # A member of a gzip file has a name and a time; both are left out.
        packed = gzip.GzipFile("", "wb", 6, plain, mtime=0) if _packed(path) else None
        file: Any = stack.enter_context(packed) if packed else plain
        sink: Sink = _JsonLines(file)
        if form(path) != "jsonl":
            sink = _Csv(file, own, names) if form(path) == "csv" else _Parquet(file, own, names, types)
        try:
            yield sink
        finally:
            sink.close()


class _Table:
    """Be what CSV and parquet share: columns that do not change."""

    def __init__(self, file: IO[bytes], own: Sequence[str], names: Sequence[str] | None) -> None:
        self.file, self.own, self.names = file, own, names

    def write(self, rows: Rows) -> None:
        """Put rows; refuse one with a column that the others do not have."""
        if self.names is None and rows:
            self.names = list(dict.fromkeys(itertools.chain(*rows)))
        if self.names is None:
            return
        known = set(self.names)
        for row in rows:
            if new := row.keys() - known:
                raise Refusal(f"row {row['row']} has {', '.join(sorted(new))}, which the first rows do not have; "
                              "give -o a name that ends with .jsonl, where each row has fields of its own.")  # fmt: skip
        self.put([[row.get(name) for row in rows] for name in self.names], self.names)

    def put(self, columns: list[list[Any]], names: Sequence[str]) -> None:
        """Write the cells of some rows by column."""
        raise NotImplementedError

    def close(self) -> None:
        """Write the header of a table without rows."""
        if self.names is None:
            self.put([[] for _ in self.own], self.own)


class _Csv(_Table):
    begun = False

    def put(self, columns: list[list[Any]], names: Sequence[str]) -> None:
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([] if self.begun else [names])
        writer.writerows(zip(*[map(_text, cells) for cells in columns], strict=True))
        self.file.write(text.getvalue().encode(errors="replace"))
        self.begun = True


class _Parquet(_Table):
    def __init__(
        self, file: IO[bytes], own: Sequence[str], names: Sequence[str] | None, types: Mapping[str, pa.DataType]
    ) -> None:
        super().__init__(file, own, names)
        self.types, self.waiting = types, list[pa.Table]()
        self.writer: Any = None

    def put(self, columns: list[list[Any]], names: Sequence[str]) -> None:
        schema = pa.schema([(name, self.types.get(name, pa.string())) for name in names])
        self.writer = self.writer or pq.ParquetWriter(self.file, schema, compression="zstd")
        texts = [
            cells if name in self.types else [*map(_text, cells)] for name, cells in zip(names, columns, strict=True)
        ]
        arrays = [pa.array(cells, field.type) for cells, field in zip(texts, schema, strict=True)]
        self.waiting.append(pa.table(arrays, schema=schema))
        if sum(map(len, self.waiting)) >= GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        self.writer.write_table(pa.concat_tables(self.waiting).combine_chunks())
        self.waiting.clear()

    def close(self) -> None:
        super().close()
        if self.waiting:
            self.flush()
        if self.writer:
            self.writer.close()


class _JsonLines:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, rows: Rows) -> None:
        self._file.write(b"".join(map(_line, rows)))

    def close(self) -> None:
        pass


def _line(row: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(row, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError:  # NaN and infinity, which a parquet file may hold and JSON does not
        text = json.dumps(_finite(row), ensure_ascii=False, default=str)
    return text.encode(errors="backslashreplace") + b"\n"  # half a character stays the escape that it was in JSON


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(value: Any) -> str | None:
    """Return a cell of a CSV; reasons and warnings are joined as in the quarantine."""
    if value is None or isinstance(value, str):
        return value if value is None or value.isascii() else value.encode(errors="replace").decode()
    if isinstance(value, list) and all(isinstance(inner, str) for inner in value):
        return "; ".join(value)
    if isinstance(value, bool | list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
