"""Look through the project's files for people: tables, documents, pages, the prediction log, and what a bento holds."""

import csv
import io
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from hearth.contract import Contract
from hearth.errors import Refusal
from hearth.log_lines import part_of
from hearth.parquet import read_arrow
from hearth.privacy import Cell, Contents, Finding, barred, cells_of, key_of, look, of_json, of_lines, of_page, of_value
from hearth.strict import loads

# Numbers and pictures, in formats of their own.
LEFT_OUT = {".onnx", ".npy", ".png", ".sig"}
HOUSE = "house."  # what a caller sent, in a line of the prediction log


def scan(raw: Path, others: Sequence[Path], contract: Contract, public: str) -> tuple[list[Finding], int]:
    """Return what the raw table and the other files and folders hold of people, and how many files were read.

    In the raw table private columns may hold such things; what they hold is looked for everywhere else.
    """
    contents, found, count = Contents(), list[Finding](), 0
    for path in _files(raw):
        if path.suffix == ".parquet":
            contents.learn(read_arrow(path), contract)
    for place, roots in ((True, [raw]), (False, others)):
        for path in (path for root in roots for path in _files(root)):
            found += _Reader(contract, contents, public, raw=place).findings(str(path), path)
            count += 1
    return found, count


def _files(root: Path) -> list[Path]:
    """Return the files at or below a path, but those that are just being written, and numbers and pictures."""
    if root.is_file():
        return [root]
    paths = sorted(
        path for path in root.rglob("*") if not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
    return [path for path in paths if path.is_file() and path.suffix not in LEFT_OUT]


class _Reader:
    def __init__(self, contract: Contract, contents: Contents, public: str, raw: bool) -> None:
        self.contract, self.contents, self.public, self.raw = contract, contents, public, raw

    def findings(self, name: str, path: Path) -> list[Finding]:
        try:
            return self._read(name, path)
        except OSError as error:
            raise Refusal(f"{path} cannot be read ({error.strerror or error}); check who may read it.") from None
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise Refusal(f"{path} is no whole bento ({error}); `dvc checkout` brings back the last one.") from None
        except UnicodeDecodeError as error:
            raise Refusal(f"{path} has a text that is not UTF-8 ({error.reason}); write it again.") from None

    def _read(self, name: str, path: Path) -> list[Finding]:
        if path.suffix == ".parquet":
            return self._table(name, path)
        if path.suffix == ".jsonl":
            return self._log(name, path)
        if path.suffix != ".bento":
            return self._content(name, path.read_bytes())
        return [one for inner, content in _members(path) for one in self._content(f"{name}!{inner}", content)]

    def _table(self, name: str, path: Path) -> list[Finding]:
        table = read_arrow(path)
        columns = [] if self.raw else barred(name, table.column_names, table.num_rows, self.contract)
        cells = cells_of(table, self.contract, self.raw)
        return columns + look(name, cells, self.contents, self.public, lambda row: key_of(table, self.contract, row))

    def _log(self, name: str, path: Path) -> list[Finding]:
        """Read line by line, since a log may be larger than the memory."""
        sent: set[str] = set()

        def cells() -> Iterator[Cell]:
            with path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    for cell in _of_line(line, number):
                        if cell.column == HOUSE.rstrip("."):
                            sent.add(cell.text)
                        yield cell

        found = look(name, cells(), self.contents, self.public, lambda row: f"line {row}")
        return found + (barred(name, sorted(sent), 1, self.contract) if part_of(path.name) else [])

    def _content(self, name: str, content: bytes) -> list[Finding]:
        try:
            text = content.decode()
        except UnicodeDecodeError:
            return []
        suffix = PurePosixPath(name).suffix
        if suffix == ".csv":
            try:
                rows = list(csv.reader(io.StringIO(text)))
            except csv.Error:
                return look(name, of_lines(text), self.contents, self.public, lambda row: f"line {row}")
            head = rows[0] if rows else []
            cells = (Cell(column, row, cell) for row, line in enumerate(rows[1:], 2)
                     for column, cell in zip(head, line, strict=False))  # fmt: skip
            columns = barred(name, head, len(rows) - 1, self.contract)
            return columns + look(name, cells, self.contents, self.public, lambda row: f"line {row}")
        found = of_page(text) if suffix == ".html" else of_json(text) if suffix == ".json" else of_lines(text)
        return look(name, found, self.contents, self.public, lambda row: f"line {row}" if row else "")


def _of_line(line: bytes, number: int) -> Iterator[Cell]:
    try:
        yield from of_value(loads(line), number)
    except ValueError:  # blanked by `hearth forget`, or torn
        yield Cell("", number, line.decode(errors="replace"))


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the data in a bento, not its code and BentoML's own descriptions, which name the authors of packages."""
    with tarfile.open(path) as archive:
        for member in archive:
            inner = PurePosixPath(member.name)
            if member.isfile() and inner.suffix in (".json", ".html", ".md", ".csv"):
                yield member.name, archive.extractfile(member).read()  # type: ignore[union-attr]
