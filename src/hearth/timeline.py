"""Hold how the metrics went over commits and releases.

Which tags are releases and promotions is said in releases.py; of each environment the one with the highest number points at
the champion.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hearth.figures import finite
from hearth.releases import promotion_of, version_of
from hearth.scoring import KEYS
from hearth.strict import loads

SUBJECT_MAX = 100


@dataclass(frozen=True)
class Entry:
    """Hold a commit: its hash, first line, day, metrics (None if it has none that can be read), why not, and its tags."""

    commit: str
    subject: str
    day: str
    metrics: Mapping[str, float] | None
    fault: str = ""
    tags: tuple[str, ...] = ()
    champion_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class History:
    """Hold the commits that touched the metrics or are released, oldest first, HEAD's hash, and what there is to say."""

    entries: tuple[Entry, ...]
    head: str
    notes: tuple[str, ...]


def is_mark(tag: str) -> bool:
    """Return whether a tag's name is that of a release or a promotion."""
    return bool(version_of(tag) or promotion_of(tag))


def metrics_in(content: bytes | None) -> tuple[dict[str, float] | None, str]:
    """Return the metrics in a file's content, and in words what is wrong with it."""
    if content is None:
        return None, "the file is missing"
    try:
        document = loads(content)
    except ValueError as error:
        return None, f"the file is broken: {error}"
    if not isinstance(document, dict):
        return None, "the file holds no metrics"
    metrics = {key: float(document[key]) for key in KEYS if finite(document.get(key))}
    lacking = [key for key in KEYS if key not in metrics]
    return metrics or None, f"no number for {', '.join(lacking)}" if lacking else ""


def champions(tags: Mapping[str, str]) -> dict[str, str]:
    """Return for each environment the promotion with the highest number."""
    newest: dict[str, tuple[int, str]] = {}
    for tag in sorted(tags):
        if found := promotion_of(tag):
            environment, number = found
            newest[environment] = max(newest.get(environment, (-1, "")), (number, tag))
    return {environment: tag for environment, (_, tag) in newest.items()}


def natural(tag: str) -> list[tuple[int, str]]:
    """Return what sorts tags with their numbers as numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", tag)]
