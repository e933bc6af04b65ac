"""Read one section of params.yaml into a strict class that stands beside its user."""

import datetime
import sys
from collections.abc import Mapping

from hearth.errors import Refusal
from hearth.paths import PARAMS
from hearth.storage import read_yaml
from hearth.strict import Section, nearest, parse

# The sections there are, in the file's order: a misspelt one stops every stage, not only the one that needs it.
SECTIONS = ("collect", "validate", "split", "features", "hedonic", "market", "model", "intervals", "leakage",
            "evaluate", "gate", "profile", "service", "releases", "monitor", "tune")  # fmt: skip


def section(name: str, kind: type[Section]) -> Section:
    """Return the section `name` as a `kind`; refuse an unknown or a missing section and every wrong key in it."""
    sys.audit("hearth.params", name)  # the test of dvc.yaml listens here: a section read is a section declared
    document = read_yaml(PARAMS)
    if not isinstance(document, Mapping):
        raise Refusal(f"{PARAMS} holds no sections, wanted {', '.join(SECTIONS)}.")
    for found in document:
        if found not in SECTIONS:
            raise Refusal(f"{PARAMS}: {found} is not a known section; {nearest(str(found), list(SECTIONS))}")
    if name not in document:
        raise Refusal(f"{PARAMS}: the section {name} is missing; add it (`git checkout -- {PARAMS}` brings it back).")
    _quoted(document[name], f"{PARAMS}: {name}")
    return parse(kind, document[name], f"{PARAMS}: {name}")


def _quoted(value: object, where: str) -> None:
    """Refuse a day without quotes, before DVC does in words of its own: it cannot read one in params.yaml."""
    if isinstance(value, datetime.date):
        raise Refusal(f"{where} is a bare {value}, wanted a day in quotes, '{value}'; DVC reads no other.")
    entries = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        _quoted(inner, f"{where}.{key}")
