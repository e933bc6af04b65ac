"""Read one section of params.yaml into a strict class that stands beside its user."""

import sys
from collections.abc import Mapping

from hearth.errors import Refusal
from hearth.paths import PARAMS
from hearth.storage import read_yaml
from hearth.strict import Section, nearest, parse

# The sections there are, in the file's order: a misspelt one stops every stage, not only the one that needs it.
SECTIONS = ("collect", "validate", "split", "features", "model", "intervals", "evaluate", "gate", "profile", "service")


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
    return parse(kind, document[name], f"{PARAMS}: {name}")
