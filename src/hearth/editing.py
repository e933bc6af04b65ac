"""Edit params.yaml for a person: put values at their dotted keys, and leave every comment and every other line as it was."""

from collections.abc import Mapping
from typing import Any

from hearth.errors import Refusal
from hearth.paths import PARAMS
from hearth.storage import parsed_yaml


def edited(text: str, values: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return the text of a params.yaml with the values in it, and the changed lines in words, old and new."""
    from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

    wanted = parsed_yaml(text, str(PARAMS))
    document = parse_yaml_for_update(text, str(PARAMS))  # as `dvc exp run -S` does it
    differing = 0
    for key, value in values.items():
        *above, last = key.split(".")
        inner = _at(wanted, above)
        differing += _at(inner, [last]) != value
        inner[last] = value
        _at(document, above)[last] = value
    if not differing:
        return text, []
    after = dumps_yaml(document)
    old, new = text.splitlines(), after.splitlines()
    changed = [(place, *pair) for place, pair in enumerate(zip(old, new, strict=False), 1) if pair[0] != pair[1]]
    if parsed_yaml(after, str(PARAMS)) != wanted or len(old) != len(new) or len(changed) != differing:
        by_hand = "".join(f"\n  {key}: {value}" for key, value in values.items())
        raise Refusal(f"{PARAMS} cannot be changed line by line (a style or an anchor that DVC would rewrite), so it was left "
                      f"alone; write by hand:{by_hand}")  # fmt: skip
    return after, [f"  line {place}: {was.strip()} -> {now.strip()}" for place, was, now in changed]


def _at(document: Any, keys: list[str]) -> Any:
    """Return what stands at nested keys; refuse where one is missing."""
    for key in keys:
        try:
            document = document[key]
        except (KeyError, TypeError):
            raise Refusal(f"{PARAMS} has no {key}; `git checkout -- {PARAMS}` brings it back.") from None
    return document
