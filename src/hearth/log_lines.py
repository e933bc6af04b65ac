"""Make the lines of the prediction log: one JSON object each, of a house that was priced or a request that was refused.

A line that `hearth forget` blanked holds spaces only, and is no entry.
"""

import base64
import datetime
import json
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC
from typing import Any, NamedTuple, TypeAlias

import orjson
from pydantic import Field

from hearth.features import Floats
from hearth.strict import Strict

PREDICTIONS, OUTCOMES = "predictions", "outcomes"  # what the files of the log begin with
FIELDS_MAX = 10
OTHER = "other"
_PART = re.compile(rf"(?:{PREDICTIONS}|{OUTCOMES})-(\d{{4}}-\d\d-\d\d)(?:-(\d+))?\.jsonl")
_PLACE = re.compile(r"houses\.\d+\.")


class LogParams(Strict):
    """Hold the section `service.log` of params.yaml; it travels in the bento."""

    file_bytes_max: int = Field(ge=1000)
    keep_days: int = Field(ge=1)
    waiting_max: int = Field(ge=1)


# When (seconds since 1970), the route, who asked, the house, its answer, and the model's inputs for it. A plain tuple: it
# is made while somebody waits for the answer.
Priced: TypeAlias = tuple[float, str, str | None, Mapping[str, Any], Mapping[str, Any], Floats | None]


class Refused(NamedTuple):
    """Be a request that broke the contract, without its values."""

    at: float
    route: str
    status: int
    fields: tuple[str, ...]


def day_of(at: float) -> str:
    """Return the day in UTC of a moment."""
    return datetime.datetime.fromtimestamp(at, UTC).date().isoformat()


def part_name(day: str, number: int) -> str:
    """Return the name of a day's file of predictions; `number` counts from 0."""
    return f"{PREDICTIONS}-{day}-{number:03d}.jsonl"


def part_of(name: str) -> tuple[str, int] | None:
    """Return day and number of a file of the log, of outcomes too; None for another file."""
    found = _PART.fullmatch(name)
    return (found[1], int(found[2] or 0)) if found else None


def line_of(entry: Priced | Refused, shadow: Mapping[str, Any] | None = None) -> bytes:
    """Return an entry as its line; `shadow` is what a candidate answers."""
    at = datetime.datetime.fromtimestamp(entry[0], UTC).isoformat(timespec="milliseconds")
    told: dict[str, Any] = {"at": at}
    if isinstance(entry, Refused):
        return _json(told | {"refused": entry.status, "route": entry.route, "fields": entry.fields})
    _, route, via, house, answer, inputs = entry
    told["prediction_id"], told["model_version"], told["route"] = (
        answer["prediction_id"],
        answer["model_version"],
        route,
    )
    if via is not None:
        told["via"] = via
    told |= {"house": house, "price": answer["price"], "low": answer["low"], "high": answer["high"]}
    told["warnings"] = [said.partition(":")[0] for said in answer["warnings"]]
    if inputs is not None:
        told["inputs"] = base64.b64encode(inputs.astype("<f4", copy=False).tobytes()).decode()
    if shadow is not None:
        told["shadow"] = shadow
    return _json(told)


def _json(told: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # a whole number beyond 64 bits, where a contract has no bounds
        return json.dumps(told, default=str, separators=(",", ":")).encode() + b"\n"


def fields_of(named: Iterable[str], known: Collection[str]) -> tuple[str, ...]:
    """Return the columns in the entries of a refusal, each once and the first few; what is no column is `other`."""
    found: dict[str, None] = {}
    for entry in named:
        name = _PLACE.sub("", entry, count=1)
        parts = name.split(", ")  # of a rule about several columns
        found |= dict.fromkeys([name] if name in known else parts if all(part in known for part in parts) else [OTHER])
        if len(found) >= FIELDS_MAX:
            break
    return tuple(found)[:FIELDS_MAX]
