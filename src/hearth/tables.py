"""Hold whole tables to the contract: structure when collected, rows when validated."""

import datetime
import functools
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow
import pyarrow.compute as pc

from hearth.contract import RESERVED, Check, Column, Contract, on_grid
from hearth.errors import Refusal
from hearth.parquet import columns_of

REASONS = RESERVED
EPOCH = datetime.date(1970, 1, 1).toordinal()
_ARROW = {
    "integer": pyarrow.int64(),
    "number": pyarrow.float64(),
    "boolean": pyarrow.bool_(),
    "date": pyarrow.date32(),
    "text": pyarrow.string(),
}
_PANDERA = {"integer": "Int64", "number": "Float64", "boolean": "boolean", "date": "datetime64[ms]", "text": "str"}


def arrow_type(column: Column) -> pyarrow.DataType:
    """Return the type that a column has in every parquet file of the road."""
    if column.type == "category":
        return pyarrow.int64() if isinstance(column.categories[0], int) else pyarrow.string()
    return _ARROW[column.type]


def arrow_schema(columns: Iterable[Column]) -> pyarrow.Schema:
    """Return the schema of a table of these columns; empty cells are allowed, the contract judges them row by row."""
    return pyarrow.schema([(column.name, arrow_type(column)) for column in columns])


def raw_schema(contract: Contract) -> pyarrow.Schema:
    """Return the schema of the raw table: the contract's columns and the reasons."""
    return arrow_schema(contract.columns).append(pyarrow.field(REASONS, pyarrow.string()))


def quarantine_schema(contract: Contract) -> pyarrow.Schema:
    """Return the schema of the quarantine: the columns that leave the raw table, and the reasons."""
    return arrow_schema(contract.open).append(pyarrow.field(REASONS, pyarrow.string()))


def conform(table: pyarrow.Table, contract: Contract, where: str) -> pyarrow.Table:
    """Return the table with the contract's columns, order and types.

    Refuse a missing, doubled or unknown column, and a column whose values do not fit its type without loss. `where` names the
    table.
    """
    check_names(table.column_names, contract, where)
    names = [column.name for column in contract.columns]
    return pyarrow.table([fitted(table[column.name], column, where) for column in contract.columns], names=names)


def check_names(found: list[str], contract: Contract, where: str) -> None:
    """Refuse a missing, doubled or unknown column; `where` names the table."""
    wanted = [column.name for column in contract.columns]
    if missing := [name for name in wanted if name not in found]:
        raise Refusal(f"{where} lacks the column {', '.join(missing)} of the contract; it has {', '.join(found)}.")
    if doubled := sorted({name for name in found if found.count(name) > 1}):
        raise Refusal(f"{where} has the column {', '.join(doubled)} more than once; keep one.")
    if unknown := [name for name in found if name not in wanted]:
        raise Refusal(f"{where} has the column {', '.join(unknown)} that data/contract.yaml does not know; "
                      "add it there (role: ignored, if it is not to be used).")  # fmt: skip


def fitted(values: pyarrow.ChunkedArray, column: Column, where: str) -> pyarrow.ChunkedArray:
    """Return a column's values in its type; refuse values that do not fit it without loss."""
    found = values.type
    try:
        if pyarrow.types.is_dictionary(found):
            values = values.cast(found.value_type)
        if hidden := _hidden_conversion(values.type, arrow_type(column)):
            raise pyarrow.ArrowInvalid(hidden)
        if pyarrow.types.is_decimal(values.type) and pyarrow.types.is_floating(arrow_type(column)):
            values = values.cast(pyarrow.string())  # Arrow's own cast is off by one bit in a third of all values
        cast = values.cast(arrow_type(column))
        if pyarrow.types.is_timestamp(found) and not cast.cast(found).equals(values):
            raise pyarrow.ArrowInvalid("the time of day would be lost")
        if pyarrow.types.is_date32(cast.type) and _beyond_years(cast):
            raise pyarrow.ArrowInvalid("a day is not in the years 1 to 9999")
        return cast
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
        # Arrow's words hold a value.
        reason = "a value does not fit" if column.private else str(error).splitlines()[0].rstrip(".")
        raise Refusal(
            f"{where}: the column {column.name} is of type {found}, wanted {column.expected}; {reason}."
        ) from None


def _beyond_years(days: pyarrow.ChunkedArray) -> bool:
    """Return whether a day is one that Python cannot hold, such as a database's infinity."""
    ends = pc.min_max(days.cast(pyarrow.int32()))
    least, most = ends["min"].as_py(), ends["max"].as_py()
    first, last = (day.toordinal() - EPOCH for day in (datetime.date.min, datetime.date.max))
    return least is not None and not first <= least <= most <= last


def _hidden_conversion(found: pyarrow.DataType, target: pyarrow.DataType) -> str:
    """Return why a cast is refused that Arrow would make: it reads texts, counts true as 1, takes an integer for a day."""
    kinds = pyarrow.types
    if kinds.is_null(found):
        return ""
    textual = any(is_kind(found) for is_kind in (kinds.is_string, kinds.is_large_string, kinds.is_string_view))
    if textual != kinds.is_string(target):
        return "texts are not converted" if textual else f"{found} is no text"
    if kinds.is_boolean(found) != kinds.is_boolean(target):
        return "only true and false are"
    numeric = any(is_kind(found) for is_kind in (kinds.is_integer, kinds.is_floating, kinds.is_decimal))
    dated = kinds.is_date(found) or kinds.is_timestamp(found)
    if kinds.is_date(target) != dated or (not numeric and not (dated or textual or kinds.is_boolean(found))):
        return f"Unsupported cast from {found} to {target}"
    return ""


def without_private(frame: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Return a frame without the columns that only the raw table may have."""
    return frame.drop(columns=[column.name for column in contract.private], errors="ignore")


def pandera_schema(contract: Contract) -> pa.DataFrameSchema:
    """Return the pandera schema of a conforming frame without private columns; each check's `error` is the reason that people read."""
    return pa.DataFrameSchema(
        {column.name: _pandera_column(column) for column in contract.open},
        checks=[
            pa.Check(functools.partial(_rule_holds, check=check), name=check.name, error=f"{check.name}: {check.rule}")
            for check in contract.refusing({column.name for column in contract.open})
        ],
        strict=True,
        name=contract.name,
    )


def _pandera_column(column: Column) -> pa.Column:
    error = f"wanted {column.expected}"
    checks = []
    if column.minimum is not None:
        checks.append(pa.Check.ge(_bound(column.minimum), error=error))
    if column.maximum is not None:
        checks.append(pa.Check.le(_bound(column.maximum), error=error))
    if column.step is not None:
        checks.append(pa.Check(functools.partial(_on_grid, step=column.step), name="step", error=error))
    if column.categories:
        checks.append(pa.Check.isin(list(column.categories), error=error))
    dtype = _PANDERA.get(column.type) or ("Int64" if isinstance(column.categories[0], int) else "str")
    return pa.Column(dtype, checks=checks, nullable=column.nullable)


def _bound(bound: object) -> object:
    return pd.Timestamp(bound) if hasattr(bound, "isoformat") else bound  # type: ignore[arg-type]


def _on_grid(values: "pd.Series[float]", step: float) -> "pd.Series[bool]":
    return pd.Series(on_grid(values.to_numpy(dtype=np.float64), step), index=values.index)


def _rule_holds(frame: pd.DataFrame, check: Check) -> "pd.Series[bool]":
    return pd.Series(~check.compiled.broken(columns_of(frame)), index=frame.index)


def reasons(frame: pd.DataFrame, contract: Contract) -> "pd.Series[str]":
    """Return for each row of a conforming frame its reasons for refusal, joined by "; ", empty for an accepted row.

    Private columns are not judged: a reason would tell their values.
    A frame of the raw table brings reasons of its own, of what could not be read; an empty cell that they name is no second fault.
    """
    plain = without_private(frame, contract).reset_index(drop=True)
    given = plain.pop(REASONS).dropna() if REASONS in plain else pd.Series(dtype="str")
    found: dict[int, list[str]] = {row: said.split("; ") for row, said in dict(given).items()}
    named = {row: {reason.partition(": ")[0] for reason in said} for row, said in found.items()}
    known = {column.name for column in contract.columns}
    try:
        pandera_schema(contract).validate(plain, lazy=True)
    except pa.errors.SchemaErrors as errors:
        for case in errors.failure_cases.itertuples():
            if pd.isna(case.index):
                raise Refusal(f"The table breaks its schema as a whole: {case.column} {case.check}.") from None
            row = int(case.index)
            if row in named and (case.column in named[row] or not named[row] <= known):
                continue
            said = found.setdefault(row, [])
            reason = _reason(plain, row, str(case.column), str(case.check), str(case.schema_context), contract)
            if reason not in said:
                said.append(reason)
    # Of records that became known on one day none is the later one; without such days the first is taken to be meant.
    keep: Literal["first", False] = False if contract.recorded_at else "first"
    repeated = plain.duplicated(contract.keys, keep=keep) & plain[contract.keys].notna().all(axis=1)
    other = "another record of the same day" if contract.recorded_at else "an earlier row of this delivery"
    for row in np.flatnonzero(repeated).tolist():
        found.setdefault(row, []).append(f"{' + '.join(contract.keys)}: {other} has the same")
    return pd.Series(["; ".join(found.get(row, [])) for row in range(len(plain))], index=frame.index, dtype="str")


def _reason(frame: pd.DataFrame, row: int, column: str, check: str, context: str, contract: Contract) -> str:
    if context != "Column":
        return check
    expected = contract[column].expected
    value: Any = frame[column].iloc[row]
    return f"{column}: {'empty' if pd.isna(value) else _plain(value)}, wanted {expected}"


def _plain(value: object) -> str:
    return str(value.date()) if isinstance(value, pd.Timestamp) else str(value)


def warnings(frame: pd.DataFrame, contract: Contract) -> dict[str, int]:
    """Return for each warning check how many rows break it."""
    columns = columns_of(frame)
    return {c.name: int(c.compiled.broken(columns).sum()) for c in contract.checks if c.severity == "warn"}
