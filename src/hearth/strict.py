"""Parse a mapping from a file into a frozen class, or say which key is wrong and why."""

import datetime
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from hearth.errors import Refusal


class Strict(BaseModel):
    """Be a section of a file: no unknown keys, no change after reading, no silent conversion."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy without what cached properties keep: they were worked out from the fields before the update."""
        copied = super().model_copy(update=update, deep=deep)
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied


# For a tuple field: YAML and JSON know only lists, and a strict field would refuse them.
Listed = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)


def day(value: object) -> object:
    """Return a text as the day that it names; leave what is no text to the next check. Raise ValueError for another form."""
    if not isinstance(value, str):
        return value
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", value, flags=re.ASCII):
            raise ValueError
        return datetime.date.fromisoformat(value)
    except ValueError:
        raise ValueError("a day as 'YYYY-MM-DD'") from None


# A day that may stand in quotes: DVC's templates refuse a bare date, and `dvc exp run -S` writes a text.
Day = Annotated[datetime.date, BeforeValidator(day)]

Section = TypeVar("Section", bound=BaseModel)


def parse(kind: type[Section], values: object, where: str) -> Section:
    """Return `values` as a `kind`; refuse with file, key, value and what was wanted (`where` names the file)."""
    if not isinstance(values, Mapping):
        raise Refusal(f"{where} is {_show(values)}, wanted a mapping of keys to values.")
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        found = [_sentence(dict(entry), kind, values, where) for entry in error.errors(include_url=False)]
        raise Refusal("\n".join(found)) from None


class DoubledKeyError(ValueError):
    """Say which key of a JSON object stands twice; JSON's own readers take the last."""

    def __init__(self, key: str) -> None:
        """Keep the key."""
        super().__init__(f"the key {key!r} stands twice")
        self.key = key


def loads(text: bytes | str, parse_float: Callable[[str], float] = float) -> Any:
    """Return the value in a JSON text; raise ValueError also for NaN, doubled keys and what is nested too deeply."""
    try:
        return json.loads(text, parse_constant=_no_constant, parse_float=parse_float, object_pairs_hook=_unique)
    except RecursionError as error:
        raise ValueError(str(error)) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise DoubledKeyError(next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1))
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def nearest(word: str, known: list[str]) -> str:
    """Return a hint at the known word that `word` may have meant, or the list of them."""
    close = get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}."


def _sentence(entry: dict[str, Any], kind: type[BaseModel], values: object, where: str) -> str:
    key = ".".join(_keys(entry["loc"], values))
    place = f"{where}.{key}" if ":" in where and key else f"{where}: {key}" if key else where
    if entry["type"] == "extra_forbidden":
        known = sorted(kind.model_fields) if len(entry["loc"]) == 1 else []
        return f"{place} is not a known key; {nearest(str(entry['loc'][-1]), known) if known else 'remove it.'}"
    if entry["type"] == "missing":
        return f"{place} is missing; add it."
    if entry["type"].startswith("union_tag"):  # which kind of part this is cannot be told
        tag = entry["ctx"]["discriminator"].strip("'")
        found = entry["input"].get(tag) if isinstance(entry["input"], Mapping) else entry["input"]
        if found is None:
            return f"{place}.{tag} is missing; add it."
        return f"{place}.{tag} is {_show(found)}, wanted one of {entry['ctx']['expected_tags']}."
    if entry["type"] == "model_attributes_type":
        return f"{place} is {_show(entry['input'])}, wanted a mapping of keys to values."
    wanted = entry["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return f"{place} is {_show(entry['input'])}, wanted {wanted}."


def _keys(place: tuple[str | int, ...], values: object) -> list[str]:
    """Return the keys to a value in a document; a place of pydantic's names the kind of a part too, which is no key."""
    found = []
    for number, key in enumerate(place):
        if isinstance(values, Mapping) and key not in values and number < len(place) - 1:
            continue
        found.append(str(key))
        if isinstance(values, Mapping):
            inside = key in values
        else:  # pydantic also names the place of an entry that a list lacks
            inside = isinstance(values, list) and isinstance(key, int) and key < len(values)
        values = values[key] if inside else None  # type: ignore[index]
    return found


def _show(value: object) -> str:
    text = repr(str(value) if hasattr(value, "isoformat") else value)
    return text if len(text) <= 80 else text[:77] + "..."
