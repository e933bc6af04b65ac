"""Keep records out that are to be forgotten: a list of hashes of their keys, applied where the raw table is made.

A record comes from a source that may deliver it again, so what is forgotten has to be remembered somehow; a hash does not show
it at a glance. It hides nothing from one who tries all keys there are, and no salt beside the list would change that: house
numbers of ten digits are tried in minutes.
"""

import datetime
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, combinations
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from hearth.contract import Column, Contract
from hearth.errors import Refusal
from hearth.strict import day
from hearth.tables import arrow_schema

Key = Mapping[str, Any]  # a value for each key column of the contract, for the time too or not, in the contract's order


class Mark(NamedTuple):
    """Be an entry of the list: the columns that name a record, and the hash of their values."""

    columns: tuple[str, ...]
    sha256: str


def parse_key(words: Sequence[str], contract: Contract) -> Key:
    """Return the key in words such as `id=7129300520 date=2014-10-13`; raise ValueError for what cannot be one.

    The time may be left out, which means all records of that key. A value has the column's type; its bounds do not matter,
    since a refused row may be meant.
    """
    given: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in contract.keys:
            raise ValueError(
                f"{word!r} is no COLUMN=VALUE with a key column of data/contract.yaml: {', '.join(contract.keys)}"
            )
        if name in given:
            raise ValueError(f"{name} is given twice; name one record at a time")
        given[name] = value
    if lacking := [column.name for column in contract.of("key") if column.name not in given]:
        raise ValueError(
            f"the key lacks {lacking[0]}={contract[lacking[0]].unit.upper()}; without it other records would be meant too"
        )
    return {name: _value(given[name], contract[name]) for name in contract.keys if name in given}


def _value(text: str, column: Column) -> Any:
    kind = column.type
    if kind == "category":
        kind = "integer" if isinstance(column.categories[0], int) else "text"
    try:
        if kind == "integer" and re.fullmatch(r"-?\d{1,18}", text, flags=re.ASCII):
            return int(text)
        if kind == "number":
            return float(text)
        if kind == "boolean" and text in ("true", "false"):
            return text == "true"
        if kind == "text" and text:
            return text
        found = day(text) if kind == "date" else None
    except ValueError:
        found = None
    if isinstance(found, datetime.date):
        return found
    raise ValueError(f"{column.name} is {text!r}, wanted {column.expected}")


def mark_of(key: Key, contract: Contract) -> Mark:
    """Return a key as an entry of the list."""
    schema = arrow_schema(contract[name] for name in key)
    (text,) = _texts(pa.Table.from_pylist([dict(key)], schema=schema), tuple(key)).to_pylist()
    return Mark(tuple(key), _sha256(text))


def is_on(key: Key, contract: Contract, listed: Iterable[Mark]) -> bool:
    """Return whether the list has a key, or a wider one that its records fall under."""
    names = list(key)
    parts = chain.from_iterable(combinations(names, size) for size in range(1, len(names) + 1))
    return bool(set(listed) & {mark_of({name: key[name] for name in part}, contract) for part in parts})


def keep(table: pa.Table, contract: Contract, listed: Sequence[Mark]) -> pa.Table:
    """Return the rows of a table that are not on the list; the table itself if none is.

    Shape: the contract's columns in the contract's types, others may be beside them. A row with an empty key stays, to be
    refused by name.
    """
    gone = None
    for columns in sorted({mark.columns for mark in listed}):
        wanted = {mark.sha256 for mark in listed if mark.columns == columns}
        texts = _texts(table.cast(_typed(table.schema, columns, contract)), columns)
        found = [text for text in pc.unique(texts).to_pylist() if text is not None and _sha256(text) in wanted]
        if found:
            here = pc.is_in(texts, value_set=pa.array(found, pa.string()))
            gone = here if gone is None else pc.or_(gone, here)
    return table if gone is None else table.filter(pc.invert(gone))


def rows_of(table: pa.Table, key: Key, contract: Contract) -> int:
    """Return in how many rows a table has a key; raise ValueError where it lacks a column of it or has it in another type."""
    if lacking := [name for name in key if name not in table.column_names]:
        raise ValueError(f"it has no column {lacking[0]}")
    plain = table.select(list(key))
    try:
        texts = _texts(plain.cast(_typed(plain.schema, tuple(key), contract)), tuple(key))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"its keys are of other types ({str(error).splitlines()[0].rstrip('.')})") from None
    schema = arrow_schema(contract[name] for name in key)
    (wanted,) = _texts(pa.Table.from_pylist([dict(key)], schema=schema), tuple(key)).to_pylist()
    return int(pc.sum(pc.equal(texts, wanted)).as_py() or 0)


def parse_marks(text: str, contract: Contract, where: str) -> tuple[Mark, ...]:
    """Return the entries of the list in a text; refuse a line that is none, lest what was forgotten come back in silence."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        names, _, sha256 = line.strip().rpartition(" ")
        columns = tuple(names.split(","))
        if not re.fullmatch("[0-9a-f]{64}", sha256, flags=re.ASCII) or not names:
            raise Refusal(f"{where}: line {number} is no entry, wanted key columns and a hash, as `hearth forget` writes them; "
                          "`git log -p` has the last good one.")  # fmt: skip
        if unknown := [name for name in columns if name not in contract.keys]:
            raise Refusal(f"{where}: line {number} names {unknown[0]!r}, which is no key column of data/contract.yaml "
                          f"({', '.join(contract.keys)}), so its record would come back; forget it anew under its new key.")  # fmt: skip
        found.append(Mark(columns, sha256))
    return tuple(found)


def with_mark(text: str, mark: Mark) -> str:
    """Return the text of the list with one more entry."""
    return with_entries(text, {f"{','.join(mark.columns)} {mark.sha256}"})


def entries_of(text: str) -> set[str]:
    """Return the lines of the list that are entries."""
    return {line for line in text.splitlines() if line.strip() and not line.startswith("#")}


def with_entries(text: str, entries: set[str]) -> str:
    """Return the text of the list with more entries; they are sorted, so that their order tells nothing."""
    head = [line for line in text.splitlines() if line.startswith("#")]
    return "\n".join([*head, *sorted(entries_of(text) | entries)]) + "\n"


def _typed(schema: pa.Schema, columns: Iterable[str], contract: Contract) -> pa.Schema:
    """Return a table's schema with the contract's types for some columns."""
    for field in arrow_schema(contract[name] for name in columns):
        schema = schema.set(schema.get_field_index(field.name), field)
    return schema


def _texts(table: pa.Table, columns: tuple[str, ...]) -> pa.ChunkedArray:
    """Return each row's key as a text, a line for each column; null where a part is empty."""
    parts: list[Any] = []
    for name in columns:
        parts += [pa.scalar(f"{name}=" if not parts else f"\n{name}="), table[name].cast(pa.string())]
    return pc.binary_join_element_wise(*parts, "", null_handling="emit_null")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
