"""Take outcomes from a file, or from an address, into the journal: all of them, or none where the file is not whole."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import fsspec  # type: ignore[import-untyped]

from hearth.clock import now
from hearth.contract import Contract
from hearth.errors import Refusal, WrongUseError
from hearth.journal import Entries, Journal
from hearth.log_lines import OUTCOMES
from hearth.records import FORMS, ending, form, reading

ID, PRICE, AT = "prediction_id", "price", "at"  # columns of a table of outcomes; the last may be left out
CHUNK_ROWS = 4096
FORGOTTEN = "forgotten.txt"  # in the log's folder: hashes of ids that `hearth forget` was given
LATE_DAYS = 28  # so far back a table may say when an outcome was heard of; what is older counts from now on
EXAMPLES = 3
_ID = re.compile("[0-9a-f]{32}")
_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]+)?")


def take(source: str, folder: Path, contract: Contract) -> dict[str, int]:
    """Append a table's outcomes to the journal in `folder`, but for those that it has already; return how many of each kind.

    `source` is a file or an address such as https:// or s3://, of the formats and endings of `hearth predict`. Refuse a table
    that is cut off, that lacks a column, or most of whose prices the contract's target does not accept: another unit.
    """
    known = {str(entry.get(ID)): entry.get(PRICE) for entry in Entries(folder, OUTCOMES)}  # the last word on each
    earliest, latest = now() - timedelta(days=LATE_DAYS), now() + timedelta(days=1)
    forgotten = _forgotten(folder)
    fresh: list[dict[str, Any]] = []
    counts: Counter[str] = Counter(rows=0, taken=0, repeated=0, refused=0, forgotten=0)
    odd: list[str] = []
    with _local(source) as file:
        _check_end(file, source)
        with reading(file, CHUNK_ROWS) as table:
            if table.names is not None and (lacking := [name for name in (ID, PRICE) if name not in table.names]):
                raise Refusal(f"{source} lacks the column {', '.join(lacking)}; it has {', '.join(table.names)}. "
                              f"Wanted {ID} and {PRICE}, and if known {AT}, the time at which it was heard of.")  # fmt: skip
            for rows, _ in table.chunks:
                for row in rows:
                    counts["rows"] += 1
                    entry = None if row.fault else _entry(row.cells, contract, earliest, latest)
                    if entry is None:
                        counts["refused"] += 1
                        odd.append(f"row {row.number}: {row.fault or _shown(row.cells)}")
                    elif mark_of(entry[ID]) in forgotten:
                        counts["forgotten"] += 1
                    elif known.get(entry[ID]) == entry[PRICE]:
                        counts["repeated"] += 1
                    else:
                        known[entry[ID]] = entry[PRICE]
                        fresh.append(entry)
    _check_unit(source, counts, odd, contract)
    if fresh:
        try:
            Journal(folder, OUTCOMES).extend(fresh)
        except OSError as error:
            raise Refusal(
                f"{folder} cannot take the outcomes ({error.strerror or error}); make room and give them again."
            ) from None
    counts["taken"] = len(fresh)
    return dict(counts)


def mark_of(prediction_id: str) -> str:
    """Return by what a forgotten prediction is known without its id."""
    return hashlib.sha256(prediction_id.encode()).hexdigest()


def _forgotten(folder: Path) -> set[str]:
    path = folder / FORGOTTEN
    return set(path.read_text().split()) if path.is_file() else set()


def _entry(cells: Mapping[str, Any], contract: Contract, earliest: datetime, latest: datetime) -> dict[str, Any] | None:
    """Return a row as an entry of the journal, or None if it is none.

    A time before `earliest` is left out, so that the outcome counts from now on: the monitor's windows reach no further back.
    """
    name, price = cells.get(ID), cells.get(PRICE)
    if not isinstance(name, str) or not _ID.fullmatch(name):
        return None
    if isinstance(price, str) and _NUMBER.fullmatch(price):
        price = float(price)
    if isinstance(price, float) and price.is_integer() and contract.target.type == "integer":
        price = int(price)
    if not contract.target.accepts(price):
        return None
    if (at := cells.get(AT)) in (None, ""):
        return {ID: name, PRICE: price}
    moment = _moment(at)
    if moment is None or moment > latest:
        return None
    when = {} if moment < earliest else {"at": moment.isoformat(timespec="milliseconds")}
    return {ID: name, PRICE: price} | when


def _moment(value: Any) -> datetime | None:
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _shown(cells: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {cells.get(name)!r}"[:60] for name in (ID, PRICE, AT) if name in cells)


def _check_unit(source: str, counts: Mapping[str, int], odd: list[str], contract: Contract) -> None:
    if not counts["rows"]:
        raise Refusal(f"{source} has no rows; wanted at least one outcome. Check what wrote it.")
    if counts["refused"] > counts["rows"] / 2:
        raise Refusal(f"{source}: {counts['refused']:,} of {counts['rows']:,} rows are no outcomes, so none was taken. Wanted {ID}, 32 "
                      f"hexadecimal digits, and {PRICE}, {contract.target.expected}; is another unit in it?\n  "
                      + "\n  ".join(odd[:EXAMPLES]))  # fmt: skip


def _check_end(file: Path, source: str) -> None:
    """Refuse a text that ends in the middle of a line: a price that lost its last digits is a price still."""
    if form(file) == "parquet" or file.suffix == ".gz":  # which tell by themselves
        return
    with file.open("rb") as text:
        text.seek(0, 2)
        if text.tell() and (text.seek(-1, 2), text.read(1))[1] != b"\n":
            raise Refusal(f"{source} ends in the middle of a line, so none of it was taken: it was cut off, or its last line is "
                          "to end with a line feed.")  # fmt: skip


@contextmanager
def _local(source: str) -> Iterator[Path]:
    """Yield a file, fetched into a folder of its own where `source` is an address."""
    address = urlsplit(source)
    try:
        if "://" not in source:
            path = Path(source)
            ending(path)
            if not path.is_file():
                raise WrongUseError(
                    f"{source} is no file; give a table that ends with {', '.join(FORMS)}, or an address."
                )
            yield path
            return
        name = PurePosixPath(address.path).name
        ending(Path(name))
    except ValueError as error:
        raise WrongUseError(f"--outcomes: {error}.") from None
    shown = f"{address.scheme}://{address.hostname or ''}{address.path}"  # without a user, a password or a query
    with TemporaryDirectory(prefix="hearth-outcomes-") as scratch:
        target = Path(scratch, name)
        try:
            with fsspec.open(source, "rb") as remote, target.open("wb") as own:
                while part := remote.read(1 << 20):
                    own.write(part)
        except ImportError as error:
            raise Refusal(f"{shown} cannot be fetched: {error}.") from None
        except Exception as error:  # each kind of store has errors of its own
            raise Refusal(
                f"{shown} cannot be fetched ({type(error).__name__}: {error}); check the address and who may read it."
            ) from None
        yield target
