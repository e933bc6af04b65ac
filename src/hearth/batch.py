"""Price the rows of a table as the service prices houses: the same checks, the same words, the same model.

Rows come as they stand in a file. What a cell means depends on the file's format: JSON says it itself, a cell of a CSV is
read as the same text would be in JSON, and a parquet column may hold whole numbers as floats, as pandas writes them.
"""

import datetime
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
from pydantic import ValidationError

from hearth.answering import Answers, BadRequestError
from hearth.contract import Column, Contract
from hearth.request import columns_of
from hearth.row import Row, finite
from hearth.rules import Columns

Read = Callable[[Any], Any]

PRICED = ("row", "price", "low", "high", "warnings", "model_version")  # the columns that pricing adds
REFUSED = ("row", "reasons")  # those that a refusal adds
UNREADABLE = "unreadable"
# As JSON writes them; a whole number may have the .0 of a column that pandas holds as floats.
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,18})(?:\.0+)?")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_TRUTH = re.compile("true|false", flags=re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Outcome:
    """Hold what became of some rows, in their order: each is priced or refused."""

    priced: list[dict[str, Any]]
    refused: list[dict[str, Any]]
    warned: int  # priced rows with a warning
    undated: int  # priced rows without a day of their own
    faults: Counter[str]  # refused rows by field, or fields of a rule


class Batch:
    """Price chunks of rows of one format with one release."""

    def __init__(self, answers: Answers, form: str) -> None:
        """Take what the service answers with; `form` is csv, parquet or jsonl."""
        self._answers, self._release, self._contract = answers, answers.release, answers.contract
        known = (*self._contract.features, self._contract.time)
        self._readers = {column.name: READERS[form](column) for column in known}
        self._rules = [check.compiled for check in self._contract.refusing({column.name for column in known})]
        self._features = {column.name for column in self._contract.features}
        self._whole = self._contract.target.type == "integer"

    def run(self, rows: Iterable[Row]) -> Outcome:
        """Return each row with its price, or with the reasons why it has none."""
        good, columns, bad = self._judged(rows)
        priced = self._priced(good, columns) if good else []
        refused = [
            {"row": row.number, "reasons": [reason for _, reason in said]}
            | _along(row.cells, tuple(row.cells), REFUSED)
            for row, said in sorted(bad, key=lambda entry: entry[0].number)
        ]
        day = self._contract.time.name
        return Outcome(
            priced,
            refused,
            warned=sum(bool(row["warnings"]) for row in priced),
            undated=sum(row.cells.get(day) in (None, "") for row in good),
            faults=Counter(field for _, said in bad for field in {field for field, _ in said}),
        )

    def _judged(self, rows: Iterable[Row]) -> tuple[list[Row], Columns, list[tuple[Row, list[tuple[str, str]]]]]:
        """Return the good rows, their columns, and the bad rows with (field, reason) of each fault."""
        validate = self._answers.house.__pydantic_validator__.validate_python
        good, houses, bad = [], [], []
        for row in rows:
            if row.fault:
                bad.append((row, [(UNREADABLE, row.fault)]))
                continue
            house = self._house(row)
            try:
                houses.append(vars(validate(house)))
                good.append(row)
            except ValidationError:
                bad.append((row, self._reasons(house)))
        if not good:
            return [], {}, bad
        columns = columns_of(houses, self._contract, self._release.facts.as_of)
        broken = np.zeros(len(good), dtype=bool)
        for rule in self._rules:
            broken |= rule.broken(columns)
        if broken.any():
            bad += [(good[place], self._reasons(self._house(good[place]))) for place in np.flatnonzero(broken)]
            good = [row for row, breaks in zip(good, broken, strict=True) if not breaks]
            columns = {name: values[~broken] for name, values in columns.items()}
        return good, columns, bad

    def _house(self, row: Row) -> dict[str, Any]:
        """Return the row as the JSON object of a request; what the row carries besides is left out."""
        return {name: read(row.cells[name]) for name, read in self._readers.items() if name in row.cells}

    def _reasons(self, house: dict[str, Any]) -> list[tuple[str, str]]:
        """Return (field, reason) of each fault that the service finds in the request."""
        try:
            self._answers.predict(json.dumps(house).encode())
        except BadRequestError as bad:
            entries = bad.body.get("detail") or [{"field": UNREADABLE, "value": None, "expected": bad.body["error"]}]
            return [(e["field"], f"{e['field']}: {_shown(e['value'])}, wanted {e['expected']}") for e in entries]
        raise RuntimeError(f"the service prices a row that was refused here: {house}")

    def _priced(self, rows: list[Row], columns: Columns) -> list[dict[str, Any]]:
        """Return the rows with their prices."""
        found, warnings = self._release.predict(columns), self._release.warnings(columns)
        if not all(np.isfinite(values).all() for values in (found.low, found.price, found.high)):
            raise RuntimeError("the model answered with a price that is no number")
        kind = np.int64 if self._whole else np.float64
        money = (values.astype(kind).tolist() for values in (found.price, found.low, found.high))
        version = self._release.manifest.model_version
        return [
            {"row": row.number}
            | _along(row.cells, tuple(name for name in row.cells if name not in self._features), PRICED)
            | {"price": price, "low": low, "high": high, "warnings": said, "model_version": version}
            for row, price, low, high, said in zip(rows, *money, warnings, strict=True)
        ]


def missing(names: Sequence[str], contract: Contract) -> list[str]:
    """Return the features that a table with these columns lacks, those that may be empty included: a name may be misspelt."""
    return [column.name for column in contract.features if column.name not in names]


def carried(names: Iterable[str], contract: Contract) -> tuple[str, ...]:
    """Return the columns that go along with a price: keys, the time, what was paid, and all that the contract does not know."""
    features = {column.name for column in contract.features}
    return tuple(name for name in names if name not in features)


@lru_cache(maxsize=1000)  # a table asks with the same names for each row; lines of JSON may not
def renamed(names: tuple[str, ...], own: tuple[str, ...]) -> Mapping[str, str]:
    """Return the name in the output of each column of the input: `input_` before one that the output has itself."""
    found, taken = {}, {*names, *own}
    for name in names:
        new = name
        while name in own and new in taken:
            new = f"input_{new}"
        taken.add(new)
        found[name] = new
    return found


def _along(cells: Mapping[str, Any], names: tuple[str, ...], own: tuple[str, ...]) -> dict[str, Any]:
    new = renamed(names, own)
    return {new[name]: cells[name] for name in names}


def _shown(value: Any) -> str:
    return "empty" if value is None else value if isinstance(value, str) else json.dumps(value)


def _is_whole(column: Column) -> bool:
    return isinstance(column.categories[0], int) if column.categories else column.type == "integer"


def _of_text(column: Column) -> Read:
    """Return what reads a cell of a CSV; what it cannot read stays a text, which the contract then refuses."""
    if _is_whole(column):
        return _matching(_WHOLE, lambda text: int(text.partition(".")[0]))
    if column.type == "number":
        return _matching(_NUMBER, finite)
    if column.type == "boolean":
        return _matching(_TRUTH, lambda text: text.lower() == "true")
    return lambda text: text or None


def _matching(form: re.Pattern[str], read: Read) -> Read:
    fits = form.fullmatch
    return lambda text: read(text) if fits(text) else text or None


def _of_value(column: Column) -> Read:
    """Return what reads a cell of a parquet file into what JSON would hold."""
    whole = _is_whole(column)

    def read(value: Any) -> Any:
        kind = type(value)
        if kind is int or kind is str or kind is bool or value is None:  # nearly every cell
            return value
        if isinstance(value, (float, Decimal)):
            if value != value:
                return None
            if math.isinf(value):
                return str(value)
            return int(value) if whole and value == int(value) else float(value)
        if isinstance(value, datetime.datetime):
            return str(value.date() if value.time() == datetime.time() else value)
        return str(value)

    return read


READERS: dict[str, Callable[[Column], Read]] = {
    "csv": _of_text,
    "parquet": _of_value,
    "jsonl": lambda _: lambda value: value,
}
