"""Make columns of the prediction log's lines: what was served from one moment to another.

A line that a crash tore and a blank one, of a forgotten prediction, are no entries. Lines of other times cost a look at their
first bytes; only those that are asked for are parsed.
"""

import base64
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from hearth.contract import Contract
from hearth.request import columns_of
from hearth.rules import Columns
from hearth.scoring import Floats

EXPLAIN = "/explain"
PAGE = "page"  # of people who try out sliders; no house came to the market
CHUNK = 2048
_UNFIT = (KeyError, TypeError, ValueError, AttributeError)  # of an entry that another contract's service wrote
JUMP = np.timedelta64(60, "s")  # so far may an entry's time lie before that of the entry before; batches are not sorted
_HEAD = re.compile(rb'^\{"at":"(\d{4}-\d\d-\d\dT[^"]+)"(?:,"prediction_id":"([0-9a-f]{32})")?')

Times = NDArray[np.datetime64]
Texts = NDArray[Any]
TEXT = np.dtypes.StringDType()  # a quarter of what numpy's texts of fixed width take


@dataclass(frozen=True)
class Logged:
    """Hold predictions in the order of the log (n_rows,); money in the target's unit."""

    at: Times
    ids: Texts
    versions: Texts
    price: Floats
    low: Floats
    high: Floats
    columns: Columns
    warned: tuple[tuple[str, ...], ...]  # the columns that each answer warned of
    inputs: tuple[bytes, ...]  # of the model, as it was served; empty where the log has none
    shadow_versions: Texts  # empty where no shadow priced the house
    shadow: dict[str, Floats]  # price, low and high; NaN where no shadow did

    def __len__(self) -> int:
        """Return the number of predictions."""
        return len(self.at)

    def part(self, rows: NDArray[Any]) -> "Logged":
        """Return some of the predictions, by their numbers or by a mask; those that follow each other share their memory."""
        places = np.arange(len(self))[rows]
        chosen: Any = places
        if len(places) and places[-1] - places[0] + 1 == len(places) and (np.diff(places) == 1).all():
            chosen = slice(places[0], places[-1] + 1)
        numbers = places.tolist()
        return Logged(
            **{name: getattr(self, name)[chosen] for name in _ARRAYS},
            columns={name: values[chosen] for name, values in self.columns.items()},
            warned=tuple(self.warned[place] for place in numbers),
            inputs=tuple(self.inputs[place] for place in numbers),
            shadow={name: values[chosen] for name, values in self.shadow.items()},
        )


@dataclass
class Reading:
    """Hold what a log says of a time: its predictions, what it refused, and what is wrong with its lines."""

    predictions: Logged
    refused_at: Times
    refused_fields: Counter[str] = field(default_factory=Counter)
    from_page: int = 0
    passed_over: set[str] = field(default_factory=set)  # ids of what is no house that came to the market
    torn_outcomes: int = 0  # lines of the outcomes' journal
    unfit: int = 0  # entries that no house of this contract is in
    # Of a line without a time of its own, that of the line before.
    torn_at: Times = field(default_factory=lambda: _times([]))
    backwards_at: Times = field(default_factory=lambda: _times([]))  # entries of an earlier time than the one before
    newest: np.datetime64 | None = None


_ARRAYS = ("at", "ids", "versions", "price", "low", "high", "shadow_versions")
_MONEY = ("price", "low", "high")


class Builder:
    """Gather lines to columns, a chunk at a time, so that the lines themselves need not stand in memory."""

    def __init__(
        self, contract: Contract, as_of: date, also: Collection[str], since: datetime, until: datetime
    ) -> None:
        """Take what was logged from `since` on and before `until` (both UTC), and the ids in `also`, whenever.

        A house without a date is of `as_of`.
        """
        self.contract, self.as_of = contract, as_of
        self.also = {one.encode() for one in also}
        self.since, self.until = (end.isoformat(timespec="milliseconds").encode() for end in (since, until))
        self.found = Reading(_nothing(contract), _times([]))
        self.refused_at: list[bytes] = []
        self.torn_at: list[bytes] = []
        self.backwards_at: list[bytes] = []
        self.entries: list[dict[str, Any]] = []
        self.chunks: list[Logged] = []

    def take(self, lines: Iterable[bytes], day: str) -> None:
        """Take the lines of a file of the log; `day` is the file's, which a torn line before any whole one is of."""
        before, newest = f"{day}T00:00:00.000".encode(), b""
        for line in lines:
            if line.isspace():
                continue
            head = _HEAD.match(line)
            if head is None or not line.endswith(b"}\n"):
                self.torn_at.append(before)
                continue
            at, name = head.groups()
            if at < before and _times([before]) - _times([at]) > JUMP:
                self.backwards_at.append(at)
            before, newest = at, max(newest, at)
            if self.since <= at < self.until or name in self.also:
                self._parse(line, at)
        if newest:
            (latest,) = _times([newest])
            self.found.newest = latest if self.found.newest is None else max(latest, self.found.newest)

    def _parse(self, line: bytes, at: bytes) -> None:
        try:
            entry = orjson.loads(line)
        except ValueError:
            self.torn_at.append(at)
            return
        if "refused" in entry:
            self.refused_at.append(at)
            self.found.refused_fields.update(map(str, entry.get("fields", ())))
        elif entry.get("via") == PAGE:
            self.found.from_page += 1
            self.found.passed_over.add(str(entry.get("prediction_id")))
        elif entry.get("route") == EXPLAIN:  # of a house that was priced before, or will be
            self.found.passed_over.add(str(entry.get("prediction_id")))
        else:
            self.entries.append(entry)
            if len(self.entries) == CHUNK:
                self._flush()

    def _flush(self) -> None:
        entries, self.entries = self.entries, []
        if not entries:
            return
        try:
            self.chunks.append(_chunk(entries, self.contract, self.as_of))
        except _UNFIT:  # seldom, so only then one by one
            good = [entry for entry in entries if _fits(entry, self.contract, self.as_of)]
            self.found.unfit += len(entries) - len(good)
            if good:
                self.chunks.append(_chunk(good, self.contract, self.as_of))

    def made(self) -> Reading:
        """Return what all lines say."""
        self._flush()
        chunks, self.chunks = self.chunks, []
        self.found.predictions = together(chunks) if chunks else _nothing(self.contract)
        self.found.refused_at = _times(self.refused_at)
        self.found.torn_at = _times(self.torn_at)
        self.found.backwards_at = _times(self.backwards_at)
        return self.found


def _times(texts: Iterable[bytes]) -> Times:
    return np.array([text[:23].decode() for text in texts], dtype="datetime64[ms]")


def _fits(entry: dict[str, Any], contract: Contract, as_of: date) -> bool:
    try:
        _chunk([entry], contract, as_of)
    except _UNFIT:
        return False
    return True


def _chunk(entries: list[dict[str, Any]], contract: Contract, as_of: date) -> Logged:
    names = [column.name for column in (*contract.features, contract.time)]
    houses = [{name: entry["house"].get(name) for name in names} for entry in entries]
    shadows = [entry.get("shadow") or {} for entry in entries]
    priced = ["price" in shadow for shadow in shadows]
    money = {name: np.array([entry[name] for entry in entries], dtype=np.float64) for name in _MONEY}
    if not all(np.isfinite(values).all() for values in money.values()):
        raise ValueError("a price that is none")
    return Logged(
        at=np.array([entry["at"][:23] for entry in entries], dtype="datetime64[ms]"),
        ids=np.array([entry["prediction_id"] for entry in entries], dtype=TEXT),
        versions=np.array([entry["model_version"] for entry in entries], dtype=TEXT),
        **money,
        columns=columns_of(houses, contract, as_of),
        warned=tuple(tuple(entry.get("warnings", ())) for entry in entries),
        inputs=tuple(base64.b64decode(entry.get("inputs", ""), validate=True) for entry in entries),
        shadow_versions=np.array([s["model_version"] if ok else "" for s, ok in zip(shadows, priced, strict=True)], dtype=TEXT),
        shadow={name: np.array([s[name] if ok else np.nan for s, ok in zip(shadows, priced, strict=True)]) for name in _MONEY},
    )  # fmt: skip


def together(chunks: Sequence[Logged]) -> Logged:
    """Return the predictions of one chunk after the other; there is one at least."""
    return Logged(
        **{name: np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in _ARRAYS},
        columns={name: np.concatenate([chunk.columns[name] for chunk in chunks]) for name in chunks[0].columns},
        warned=tuple(warned for chunk in chunks for warned in chunk.warned),
        inputs=tuple(inputs for chunk in chunks for inputs in chunk.inputs),
        shadow={name: np.concatenate([chunk.shadow[name] for chunk in chunks]) for name in _MONEY},
    )


def _nothing(contract: Contract) -> Logged:
    none = np.array([], dtype=np.float64)
    texts = np.array([], dtype=TEXT)
    columns = columns_of([], contract, date.min)
    return Logged(_times([]), np.array([], dtype=TEXT), texts, none, none, none, columns,
                  (), (), texts, dict.fromkeys(_MONEY, none))  # fmt: skip
