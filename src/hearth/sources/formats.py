"""Read a file's rows in batches, by its format. Texts stay texts: what they say is for the contract to judge."""

import gzip
import io
import itertools
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import IO, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, field_validator

from hearth.cells import Notation, table_of
from hearth.contract import Contract
from hearth.errors import Refusal
from hearth.lines import UTF8, csv_rows, jsonl_rows, once, whole
from hearth.row import Row
from hearth.sources.batch import ROWS, Batch
from hearth.tables import REASONS

Format = Literal["parquet", "csv", "jsonl", "excel", "html"]
ENDINGS: dict[str, Format] = {
    ".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".xlsx": "excel", ".xls": "excel", ".xlsb": "excel", ".ods": "excel", ".html": "html", ".htm": "html",
}  # fmt: skip
PACKED = (".gz", ".zip")  # may follow the ending of a text


class FileOptions(Notation):
    """Say how a file is written, where its name does not say it or it departs from the usual."""

    format: Format | None = None
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    encoding: str = UTF8
    sheet: str | int = 0
    header_row: int = Field(default=1, ge=1)
    table: str = ""

    @field_validator("encoding")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            "".encode(name)
        except LookupError:
            raise ValueError("an encoding that Python knows, such as utf-8, cp1252 or utf-16") from None
        return name.lower()


@dataclass(frozen=True)
class Named:
    """Hold an open file with its name for people and the format that it has."""

    where: str
    file: IO[bytes]
    format: Format


def format_of(name: str, options: FileOptions) -> Format:
    """Return a file's format; refuse a name that does not say it."""
    plain = name.lower()
    for packed in PACKED:
        plain = plain.removesuffix(packed)
    found = options.format or next((kind for ending, kind in ENDINGS.items() if plain.endswith(ending)), None)
    if found is None:
        raise Refusal(f"{name} does not say its format; wanted one of the endings {', '.join(ENDINGS)}, texts also with "
                      f"{' or '.join(PACKED)}, or collect.options.format in params.yaml.")  # fmt: skip
    return found


def batches(name: str, where: str, file: IO[bytes], options: FileOptions, contract: Contract) -> Iterator[Batch]:
    """Yield the rows of an open file; `name` says its format, `where` what people are told."""
    for one in _unpacked(name, where, file, options):
        with whole(one.where, "packed", zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError):
            yield from READERS[one.format](one, options, contract)


def _unpacked(name: str, where: str, file: IO[bytes], options: FileOptions) -> Iterator[Named]:
    """Yield the file, or what is packed in it."""
    if name.lower().endswith(".gz"):
        with gzip.GzipFile(fileobj=file) as inner:
            yield Named(where, inner, format_of(name, options))  # type: ignore[arg-type]
    elif name.lower().endswith(".zip"):
        with whole(where, "zip", zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError):
            archive = zipfile.ZipFile(file)
            members = [
                one for one in archive.infolist() if not one.is_dir() and not one.filename.startswith("__MACOSX/")
            ]
            if not members:
                raise Refusal(f"{where} is empty; wanted at least one table in it.")
            for member in members:
                with archive.open(member) as inner:
                    yield from _unpacked(member.filename, f"{where}: {member.filename}", inner, options)
    else:
        yield Named(where, file, format_of(name, options))


def _parquet(one: Named, options: FileOptions, contract: Contract) -> Iterator[Batch]:  # noqa: ARG001
    with whole(one.where, "parquet", pa.ArrowException, OSError):
        opened = pq.ParquetFile(one.file, pre_buffer=False, buffer_size=1 << 20)
        names = once(one.where, opened.schema_arrow.names)
        found = 0
        for batch in opened.iter_batches(ROWS):
            found += len(batch)
            yield Batch(pa.Table.from_batches([batch]), one.where)
        if not found:
            yield Batch(opened.schema_arrow.empty_table().select(names), one.where)


def _csv(one: Named, options: FileOptions, contract: Contract) -> Iterator[Batch]:  # noqa: ARG001
    names, rows = csv_rows(one.where, one.file, _delimiter(one, options), options.encoding)
    yield from _of_texts(one.where, names, rows, options)


def _delimiter(one: Named, options: FileOptions) -> str:
    return "\t" if options.delimiter == "," and ".tsv" in PurePath(one.where).name.lower() else options.delimiter


def _jsonl(one: Named, options: FileOptions, contract: Contract) -> Iterator[Batch]:
    yield from of_objects(one.where, jsonl_rows(one.where, one.file, options.encoding), contract, options)


def _excel(one: Named, options: FileOptions, contract: Contract) -> Iterator[Batch]:  # noqa: ARG001
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError, WorksheetNotFound

    with whole(one.where, "Excel", CalamineError, OSError):
        try:
            content = one.file.read()
            book = CalamineWorkbook.from_filelike(io.BytesIO(content))
            names = book.sheet_names
            wanted = options.sheet
            sheet = book.get_sheet_by_index(wanted) if isinstance(wanted, int) else book.get_sheet_by_name(wanted)
        except PasswordError:
            raise Refusal(f"{one.where} is locked with a password; save it without one.") from None
        except (WorksheetNotFound, IndexError, OverflowError):
            raise Refusal(f"{one.where} has no sheet {options.sheet!r}, it has {', '.join(names)}; set "
                          "collect.options.sheet in params.yaml to one of them.") from None  # fmt: skip
        cells = sheet.to_python(skip_empty_area=False)
    if zipfile.is_zipfile(io.BytesIO(content)) and _has_errors(content):
        raise Refusal(
            f"{one.where} has a cell with an error such as #N/A, which would be read as an empty one; mend it."
        )
    if len(cells) < options.header_row:
        raise Refusal(f"{one.where} is empty; wanted column names in row {options.header_row} and rows below.")
    names = [str(cell).strip() for cell in cells[options.header_row - 1]]
    while names and not names[-1]:
        names.pop()
    if "" in names:
        raise Refusal(f"{one.where} has no name in column {names.index('') + 1} of row {options.header_row}; give it one, or say in "
                      "collect.options.header_row in which row the names are.")  # fmt: skip
    rows = (
        Row(number, dict(zip(names, row, strict=False)), _beside(row, len(names)))
        for number, row in enumerate(cells[options.header_row :])
        if any(cell not in ("", None) for cell in row)
    )
    yield from _of_texts(one.where, once(one.where, names), rows, options)


def _has_errors(content: bytes) -> bool:
    """Return whether a sheet of a workbook of the newer kind has a cell whose value is an error."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        sheets = [name for name in archive.namelist() if name.startswith("xl/worksheets/") and name.endswith(".xml")]
        return any(b' t="e"' in archive.read(name) for name in sheets)


def _beside(row: list[Any], wanted: int) -> str:
    return "the row has cells beside the named columns" if any(cell not in ("", None) for cell in row[wanted:]) else ""


def _html(one: Named, options: FileOptions, contract: Contract) -> Iterator[Batch]:
    """Yield the rows of the page's table that has the contract's columns, or of the one with the id `table`."""
    import lxml.etree
    import lxml.html

    with whole(one.where, "HTML", lxml.etree.LxmlError, ValueError, OSError):
        parser = lxml.html.HTMLParser(encoding=options.encoding, huge_tree=True)
        page = lxml.html.document_fromstring(one.file.read() or b"<html></html>", parser=parser)
    if fatal := next((entry for entry in parser.error_log if entry.level_name == "FATAL"), None):
        raise Refusal(f"{one.where} is not a whole HTML file ({fatal.message.strip()}); fetch or write it again.")
    lxml.etree.strip_elements(page, "script", "style", with_tail=False)
    wanted = {column.name for column in contract.columns}
    headings = []
    for table in page.iter("table"):
        if options.table and table.get("id") != options.table:
            continue
        rows = [[_text(cell) for cell in row.iterchildren("th", "td")] for row in table.iter("tr")]
        rows = [row for row in rows if row]
        if rows and (options.table or wanted <= set(rows[0])):
            names = once(one.where, rows[0])
            found = (Row(n, dict(zip(names, row, strict=False)), _torn(row, names)) for n, row in enumerate(rows[1:]))
            yield from _of_texts(one.where, names, found, options)
            return
        headings.append(", ".join(rows[0])[:80] if rows else "nothing")
    sought = f"with the id {options.table}" if options.table else "with the contract's columns"
    has = f"it has tables with {'; '.join(headings[:3])}" if headings else "it has no such table at all"
    raise Refusal(f"{one.where} has no table {sought}, {has}; name the table's id in collect.options.table.")


def _text(cell: Any) -> str:
    """Return what stands in a cell; parts of it stay apart, or a footnote's number would become a digit."""
    return " ".join(" ".join(cell.itertext()).split())


def _torn(row: list[str], names: list[str]) -> str:
    return "" if len(row) == len(names) else f"the row has {len(row)} cells, wanted {len(names)} as in the header"


READERS: dict[str, Callable[[Named, FileOptions, Contract], Iterator[Batch]]] = {
    "parquet": _parquet, "csv": _csv, "jsonl": _jsonl, "excel": _excel, "html": _html,
}  # fmt: skip


def of_objects(where: str, rows: Iterable[Row], contract: Contract, notation: Notation) -> Iterator[Batch]:
    """Yield rows of JSON; what an object leaves out is empty, for many an interface leaves out what has no value."""
    wanted = [column.name for column in contract.columns]
    for part in _parts(rows):
        seen = dict.fromkeys(name for row in part if not row.fault for name in row.cells)
        if REASONS in seen:
            raise Refusal(f"{where} has a column {REASONS}, which data/contract.yaml cannot have; rename it.")
        names = list(dict.fromkeys([*wanted, *seen]))
        yield Batch(table_of(part, names), where, notation, absent=frozenset(names) - seen.keys())


def _of_texts(where: str, names: list[str], rows: Iterable[Row], notation: Notation) -> Iterator[Batch]:
    if REASONS in names:
        raise Refusal(f"{where} has a column {REASONS}, which data/contract.yaml cannot have; rename it.")
    empty = True
    for part in _parts(rows):
        empty = False
        yield Batch(table_of(part, names), where, notation)
    if empty:
        yield Batch(table_of([], names), where, notation)


def _parts(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rows = iter(rows)
    while part := list(itertools.islice(rows, ROWS)):
        yield part
