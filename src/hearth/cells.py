"""Read texts as the contract's types, cell by cell: a text that does not fit without loss is a reason to refuse its row."""

import datetime
import decimal
import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AfterValidator

from hearth.contract import Column, Contract
from hearth.row import Row
from hearth.strict import Strict
from hearth.tables import REASONS, arrow_type, check_names, fitted

SHOWN = 40  # letters of a cell that a reason shows
_WHOLE = r"^[+-]?[0-9]{1,18}(\.0*)?$"
_SCIENTIFIC = r"^[+-]?[0-9]+(\.[0-9]*)?[eE][+-]?[0-9]{1,3}$"
_NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$"
_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]00:00(:00(\.0+)?)?(Z|[+-]00:?00)?)?$"
_COMPACT_DAY = r"^[0-9]{8}(T000000)?$"
_TRUE, _FALSE = ["true", "t", "yes", "y", "1", "1.0"], ["false", "f", "no", "n", "0", "0.0"]


def days_pattern(pattern: str) -> str:
    """Return a pattern of strptime; raise ValueError for one that does not read back the day that it writes."""
    day = datetime.datetime(2015, 2, 28)
    try:
        good = not pattern or datetime.datetime.strptime(day.strftime(pattern), pattern) == day
    except (ValueError, re.error):
        good = False
    if not good:
        raise ValueError("a pattern of a day as for Python's strptime, such as '%d.%m.%Y'")
    return pattern


class Notation(Strict):
    """Say how numbers and days are written; `days` is a pattern of strptime, or empty for 2015-02-28 and 20150228."""

    decimal: Literal[".", ","] = "."
    days: Annotated[str, AfterValidator(days_pattern)] = ""


def typed(
    texts: pa.Table, contract: Contract, where: str, notation: Notation, read: Collection[str] | None = None
) -> pa.Table:
    """Return a table of texts with the contract's columns and types, and the reasons of the rows that cannot be read.

    Shape: rows × (columns of the contract + reasons). A cell that cannot be read is null, and named in its row's reasons. A
    column `reasons` of the texts goes on. Columns that are not to be `read` have types that must fit. Refuse a missing, doubled
    or unknown column; `where` names the table.
    """
    given = texts[REASONS].to_pylist() if REASONS in texts.column_names else [None] * texts.num_rows
    plain = texts.drop_columns([REASONS]) if REASONS in texts.column_names else texts
    check_names(plain.column_names, contract, where)
    arrays = []
    for column in contract.columns:
        if read is not None and column.name not in read:
            arrays.append(fitted(plain[column.name], column, where))
            continue
        cells = _stripped(plain[column.name])
        found = _read(cells, column, notation)
        arrays.append(found)
        if column.private:  # not judged: a reason would tell the cell
            continue
        for row in np.flatnonzero(
            pc.and_(pc.is_valid(cells), pc.is_null(found)).to_numpy(zero_copy_only=False)
        ).tolist():
            reason = f"{column.name}: {shown(cells[row].as_py())}, wanted {column.expected}"
            given[row] = f"{given[row]}; {reason}" if given[row] else reason
    names = [column.name for column in contract.columns]
    return pa.table([*arrays, pa.array(given, pa.string())], names=[*names, REASONS])


def shown(text: str, limit: int | None = SHOWN) -> str:
    """Return a text as a reason shows it: on one line, not too long, and without what separates reasons."""
    short = text if limit is None or len(text) <= limit else text[: limit - 1] + "…"
    return json.dumps(short.replace(";", ","), ensure_ascii=False)[1:-1]


def table_of(rows: Sequence[Row], names: Sequence[str]) -> pa.Table:
    """Return rows as texts with these columns and the reasons; what a row leaves out is empty, and so is a faulty one."""
    # What a fault quotes of the row stays out: it may be anything, also what is nobody's business.
    faults = [shown(row.fault.split("; ")[0], None) if row.fault else None for row in rows]
    known: list[Mapping[str, Any]] = [{} if row.fault else row.cells for row in rows]
    texts = {name: pa.array([text_of(cells.get(name)) for cells in known], pa.string()) for name in names}
    return pa.table({**texts, REASONS: pa.array(faults, pa.string())})


def text_of(value: Any) -> str | None:
    """Return a value as a text that reads back to it; None stays None."""
    if value is None or isinstance(value, str):
        return None if value is None else value.encode(errors="replace").decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, datetime.date):  # a datetime is one, too
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else str(value)


def _stripped(cells: pa.ChunkedArray) -> pa.Array:
    """Return the cells without spaces around them; an empty one is null."""
    texts = pc.utf8_trim_whitespace(cells.cast(pa.string()))
    whole = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    return pc.if_else(pc.equal(whole, ""), pa.scalar(None, pa.string()), whole)


def _read(cells: pa.Array, column: Column, notation: Notation) -> pa.Array:
    target = arrow_type(column)
    if pa.types.is_string(target):
        return cells
    if pa.types.is_boolean(target):
        lower = pc.utf8_lower(cells)
        yes, no = (pc.is_in(lower, pa.array(words)) for words in (_TRUE, _FALSE))
        return pc.if_else(pc.or_(yes, no), yes, pa.scalar(None, pa.bool_()))
    if pa.types.is_date(target):
        return _days(cells, notation.days)
    if notation.decimal != ".":
        points = pc.match_substring(cells, ".")
        cells = pc.replace_substring(_only(cells, pc.invert(points)), notation.decimal, ".")
    return _whole(cells) if pa.types.is_integer(target) else _numbers(cells)


def _only(cells: pa.Array, keep: pa.Array) -> pa.Array:
    return pc.if_else(keep, cells, pa.scalar(None, cells.type))


def _matching(cells: pa.Array, pattern: str) -> pa.Array:
    return _only(cells, pc.match_substring_regex(cells, pattern))


def _numbers(cells: pa.Array) -> pa.Array:
    numbers = _matching(cells, _NUMBER).cast(pa.float64())
    return _only(numbers, pc.is_finite(numbers))


def _whole(cells: pa.Array) -> pa.Array:
    plain = pc.replace_substring_regex(_matching(cells, _WHOLE), r"(\.0*)$|^\+", "")
    found = plain.cast(pa.int64())
    if pc.any(pc.match_substring_regex(cells, _SCIENTIFIC)).as_py():  # 1.225e+06, as R writes a round price
        found = pc.coalesce(found, pa.array(map(_exact, _matching(cells, _SCIENTIFIC).to_pylist()), pa.int64()))
    return found


def _exact(text: str | None) -> int | None:
    """Return the whole number that a text is by its digits, not by its nearest float; None if it is none, or too large."""
    number = decimal.Decimal(text or "NaN")
    if not number.is_finite() or number.adjusted() > 17 or number != number.to_integral_value():
        return None
    return int(number)


def _days(cells: pa.Array, pattern: str) -> pa.Array:
    if pattern:
        return _parsed(cells, pattern)
    long = pc.utf8_slice_codeunits(_matching(cells, _DAY), 0, 10)
    found = _parsed(long, "%Y-%m-%d")
    compact = _matching(cells, _COMPACT_DAY)
    return (
        found
        if compact.null_count == len(compact)
        else pc.coalesce(found, _parsed(pc.utf8_slice_codeunits(compact, 0, 8), "%Y%m%d"))
    )


def _parsed(cells: pa.Array, pattern: str) -> pa.Array:
    """Return days. Python reads each distinct one, since Arrow's own reader takes the 31st of February for the 3rd of March."""
    distinct = cells.dictionary_encode()
    days = []
    for text in distinct.dictionary.to_pylist():
        try:
            moment = datetime.datetime.strptime(text, pattern)
            days.append(moment.date() if moment.time() == datetime.time() else None)
        except ValueError:
            days.append(None)
    return pa.array(days, pa.date32()).take(distinct.indices)
