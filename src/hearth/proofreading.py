"""Proofread a rendered card: what is empty, missing or a placeholder, and what differs from metrics.json.

The text itself is read, not what it was made from: whoever changes a template, the words or the file is found out.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from hearth.figures import finite
from hearth.measures import shown
from hearth.scoring import KEYS

PLACEHOLDER = re.compile(r"\b(todo|tbd|fixme|xxx|lorem ipsum|fill (this )?in|placeholder|n/a)\b", re.IGNORECASE)


def faults(
    text: str, wanted: Sequence[str], metrics: Mapping[str, object], where: str, unit: str, whole: bool
) -> list[str]:
    """Return in words what is empty, missing or different in a rendered card, the file `where`.

    `wanted` are its sections, `unit` that of money. Every key of metrics.json that the card gives (in its model-index, in
    a table's row that starts with it, or after a value in the text) has to have the value of `metrics`; with `whole`
    all of them have to stand in the index and in a table.
    """
    front, _, body = text.removeprefix("---\n").partition("\n---\n")
    try:
        document = yaml.safe_load(front)
    except yaml.YAMLError:
        document = None
    if not text.startswith("---\n") or not isinstance(document, dict):
        return [f"{where} has no metadata, wanted YAML between two lines of ---"]
    found = [f"{where}: {key} is empty" for key, value in document.items() if _hollow(value)]
    if whole:
        found += _index_faults(document, metrics, where)
    return found + _section_faults(body, wanted, where) + _text_faults(body, metrics, where, unit, whole)


def _index_faults(document: Mapping[str, Any], metrics: Mapping[str, object], where: str) -> list[str]:
    try:
        entries = [(str(e["type"]), e["value"]) for e in document["model-index"][0]["results"][0]["metrics"]]
    except (KeyError, IndexError, TypeError):
        return [f"{where}: model-index lacks the metrics of a result"]
    given, found = dict(entries), []
    for key in [*KEYS, *sorted(given.keys() - set(KEYS))]:
        place = f"{where}: model-index.{key}"
        if key not in KEYS or key not in given or sum(key == other for other, _ in entries) > 1:
            found.append(f"{place} stands there {sum(key == other for other, _ in entries)} times, wanted "
                         f"{'once' if key in KEYS else 'no key but those of metrics.json'}")  # fmt: skip
        elif not finite(given[key]) or not finite(metrics.get(key)) or given[key] != metrics[key]:
            found.append(f"{place} is {given[key]!r}, metrics.json has {metrics.get(key)!r}")
    return found


def _section_faults(body: str, wanted: Sequence[str], where: str) -> list[str]:
    parts = re.split(r"^## (.+)$", body, flags=re.MULTILINE)
    given = dict(zip(parts[1::2], parts[2::2], strict=True))
    found = [f"{where}: the section {title} is missing" for title in wanted if title not in given]
    for title, text in given.items():
        place = f"{where}: {title}"
        if not re.search(r"\w", text):
            found.append(f"{place} is empty")
        found += [f"{place}: {name} is empty" for name in re.findall(r"^- \*\*(.+?):\*\*[ .`]*$", text, re.MULTILINE)]
        found += [f"{place} has an empty item" for _ in re.findall(r"^-\s*$", text, re.MULTILINE)]
        if hole := PLACEHOLDER.search(text):
            found.append(f"{place} holds the placeholder {hole[0]!r}")
        if re.search(r"[|$+\u2212] ?(nan|inf|None)%? \||\b(nan|inf)%", text):
            found.append(f"{place} holds a value that is no number")
    return found


def _text_faults(body: str, metrics: Mapping[str, object], where: str, unit: str, whole: bool) -> list[str]:
    """Return where a table's row or a sentence gives a metric another value, or the table of metrics lacks one."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \|", body, re.MULTILINE) if whole else []
    # A value in a sentence stands before its key: `8.1% (`mdape`)`.
    told = [(m[1], body[: m.start()].rsplit("\n", 1)[-1]) for m in re.finditer(r" \(`(\w+)`\)", body)]
    found = []
    for key, text in [*rows, *told]:
        if key in KEYS:
            wanted = metrics.get(key)
            right = shown(key, float(wanted), unit) if finite(wanted) else ""  # type: ignore[arg-type]
            if not right or not re.search(rf"(^|[^\w.,+\u2212-]){re.escape(right)}$", text.strip()):
                found.append(f"{where} says {key} is {text.strip().rsplit(' ', 1)[-1]!r}, metrics.json has {wanted!r}")
    if whole:
        found += [f"{where}: the table of metrics lacks {key}" for key in KEYS if key not in dict(rows)]
    return found


def _hollow(value: object) -> bool:
    return value is None or value in ("", [], {})
