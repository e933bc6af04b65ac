"""Read the rows of CSV and of JSON lines from an open file; a row that is none says why, and costs no other."""

import codecs
import csv
import gzip
import io
import itertools
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from hearth.errors import Refusal
from hearth.row import Row, finite
from hearth.strict import loads

# Bytes of a line; the csv module allows a cell as many characters. A quote that is never closed must not read it all.
LINE_MAX = 131_072
UTF8 = "utf-8"


@contextmanager
def whole(where: object, kind: str, *errors: type[Exception]) -> Iterator[None]:
    """Refuse the file where reading it fails in one of these ways."""
    try:
        yield
    except errors as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise Refusal(f"{where} is not a whole {kind} file ({reason}); fetch or write it again.") from None


def once(where: object, names: list[str]) -> list[str]:
    """Return the names of columns; refuse one that stands twice."""
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise Refusal(f"{where} has the column {', '.join(doubled)} more than once; keep one.")
    return names


def csv_rows(
    where: object, file: IO[bytes], delimiter: str = ",", encoding: str = UTF8
) -> tuple[list[str], Iterator[Row]]:
    """Return the header and the rows; bytes that are not UTF-8 come as surrogates and cost their own row only."""
    texts = (line.decode(errors="surrogateescape") for line in _lines(where, _recoded(where, file, encoding)))
    reader = csv.reader(texts, strict=True, delimiter=delimiter)
    with _quoted(where, reader):
        names = next(reader, [])
    if not names:
        raise Refusal(f"{where} is empty; wanted a header and rows.")
    if any("\0" in name or _escaped(name) for name in names):
        raise Refusal(f"{where} is not UTF-8; save it as UTF-8.")
    if len(names) == 1 and any(mark in names[0] for mark in {*";\t|,"} - {delimiter}):
        wanted = "commas" if delimiter == "," else repr(delimiter)
        raise Refusal(f"{where} has the header {names[0][:80]!r}, wanted {wanted} between the columns; save it so.")

    def rows() -> Iterator[Row]:
        number = 0
        with _quoted(where, reader):
            for cells in reader:
                if any(_swallowed(cell, delimiter, len(names)) for cell in cells):
                    raise Refusal(
                        f"{where}: the row that ends at line {reader.line_num} has whole rows in one cell; mend its quotes."
                    )
                if cells:  # not an empty line
                    yield Row(number, dict(zip(names, cells, strict=False)), _fault(cells, len(names)))
                    number += 1

    return once(where, names), rows()


def jsonl_rows(where: object, file: IO[bytes], encoding: str = UTF8) -> Iterator[Row]:
    """Return the rows; a line that is no object is a row with a fault."""
    lines = _lines(where, _recoded(where, file, encoding))
    return itertools.starmap(_object, enumerate(line for line in lines if line.strip()))


def _recoded(where: object, file: IO[bytes], encoding: str) -> Iterator[bytes]:
    """Yield the lines in UTF-8, or the start of one that is too long."""
    if encoding == UTF8:
        with whole(where, "gzip", EOFError, zlib.error, gzip.BadGzipFile):
            yield from iter(lambda: file.readline(LINE_MAX + 1), b"")
        return
    text = io.TextIOWrapper(file, encoding, newline="\n")
    try:
        with whole(where, "gzip", EOFError, zlib.error, gzip.BadGzipFile):
            yield from (line.encode(UTF8) for line in iter(lambda: text.readline(LINE_MAX + 1), ""))
    except UnicodeError as error:
        raise Refusal(f"{where} is not {encoding} ({error.reason if isinstance(error, UnicodeDecodeError) else error}); "
                      "set the encoding that it has.") from None  # fmt: skip
    finally:
        text.detach()  # the file is another's to close


def _lines(where: object, lines: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the lines, the first without a byte order mark; refuse one that is too long."""
    for place, line in enumerate(lines, 1):
        if len(line) > LINE_MAX:
            raise Refusal(f"{where}: line {place} is longer than {LINE_MAX:,} bytes; wanted a row on each line.")
        yield line.removeprefix(codecs.BOM_UTF8) if place == 1 else line


def _swallowed(cell: str, delimiter: str, wanted: int) -> bool:
    """Return whether a cell holds whole rows: two stray quotes in one column take in all between, and the number of cells stays right."""
    return wanted > 3 and "\n" in cell and cell.count(delimiter) == cell.count("\n") * (wanted - 1)


def _fault(cells: list[str], wanted: int) -> str:
    if len(cells) != wanted:
        more = f"; the last are {', '.join(map(repr, cells[wanted:]))[:80]}" if len(cells) > wanted else ""
        return f"the row has {len(cells)} cells, wanted {wanted} as in the header{more}"
    return "the row is not UTF-8" if _escaped("".join(cells)) else ""


def _escaped(text: str) -> bool:
    return not text.isascii() and any("\udc80" <= letter <= "\udcff" for letter in text)


@contextmanager
def _quoted(where: object, reader: Any) -> Iterator[None]:
    try:
        yield
    except csv.Error as error:
        raise Refusal(f"{where}: line {reader.line_num} is no line of a CSV ({error}); mend its quotes.") from None


def _object(number: int, line: bytes) -> Row:
    try:
        cells = loads(line.decode(), parse_float=finite)
        fault = "" if isinstance(cells, dict) else "the line is no object with the fields of a house"
    except ValueError as error:
        fault = f"the line is not good JSON ({error})"
    return Row(number, {"line": line.decode(errors="replace").rstrip()}, fault) if fault else Row(number, cells)
