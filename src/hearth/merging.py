"""Merge three versions of dvc.lock stage by stage: each entry of the result is whole, as a run of one of the two sides made it.

Git joins texts: of two sides that change different dependencies of one stage it makes an entry that no run made, and DVC takes
it for one. Here such a stage is dropped, and with it what was made of its outputs: DVC then makes them anew.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hearth.errors import Refusal
from hearth.locks import touch

SCHEMA = "2.0"  # of DVC 3
NAMES = ("md5", "etag", "checksum")  # what DVC calls the name of a content, by the kind of place

Entry = Mapping[str, Any]
Entries = Mapping[str, Entry]


@dataclass(frozen=True)
class Merged:
    """Hold the merged document, and the stages that it lacks, each with the reason."""

    document: dict[str, Any]
    dropped: dict[str, str]


def merge(base: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Merged:
    """Return what both sides made since `base`, which is empty where they have no common version.

    A stage that one side changed comes from there. One that both changed in different ways is dropped, as is every stage
    that read what is dropped, or another content than the merged lock names. Refuse another schema than DVC 3's, and
    whatever else than stages both sides changed.
    """
    for side, document in (("base", base), ("ours", ours), ("theirs", theirs)):
        if document.get("schema") != SCHEMA and (document or side != "base"):
            raise Refusal(f"dvc.lock ({side}) has the schema {document.get('schema')!r}, wanted {SCHEMA!r} of DVC 3; "
                          "take one side and run `dvc repro`.")  # fmt: skip
    if theirs in (ours, base):
        return Merged(dict(ours), {})
    if ours == base:
        return Merged(dict(theirs), {})
    document = {key: _one(key, base, ours, theirs) for key in dict.fromkeys((*ours, *theirs)) if key != "stages"}
    stages, dropped = _stages(*(one.get("stages") or {} for one in (base, ours, theirs)))
    return Merged({key: one for key, one in document.items() if one is not None} | {"stages": stages}, dropped)


def _one(key: str, base: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Any:
    was, mine, other = base.get(key), ours.get(key), theirs.get(key)
    if mine == was:
        return other
    if other not in (mine, was):
        raise Refusal(f"both sides changed {key} of dvc.lock; take one side and run `dvc repro`.")
    return mine


def _stages(base: Entries, ours: Entries, theirs: Entries) -> tuple[dict[str, Entry], dict[str, str]]:
    kept: dict[str, Entry] = {}
    dropped: dict[str, str] = {}
    for name in dict.fromkeys((*ours, *theirs)):
        was, mine, other = base.get(name), ours.get(name), theirs.get(name)
        chosen = other if mine == was else mine
        if was not in (mine, other) and mine != other:
            gone = mine is None or other is None
            dropped[name] = "one side changed it, the other deleted it" if gone else "both sides changed it"
        elif chosen is not None:
            kept[name] = chosen
    while broken := {name: why for name in kept if (why := _broken(name, kept, dropped, (ours, theirs)))}:
        dropped |= broken
        kept = {name: one for name, one in kept.items() if name not in broken}
    return kept, dropped


def _broken(name: str, kept: Entries, dropped: Iterable[str], sides: tuple[Entries, Entries]) -> str:
    """Return why an entry does not fit the others that are kept; nothing if it does."""
    for dep in kept[name].get("deps") or ():
        path = str(dep["path"])
        makers = list(_makers(path, kept))
        if exact := [(maker, out) for maker, out in makers if out["path"] == path]:
            if others := sorted({maker for maker, out in exact if _content(out) != _content(dep)}):
                return f"it read another {path} than {' and '.join(others)} made"
            continue
        if lost := sorted({maker for side in sides for maker, _ in _makers(path, side) if maker in dropped}):
            return f"it read {path} of {' and '.join(lost)}, which is dropped"
        # A folder with outputs in it, or a file of one, has no hash to compare: one side must have had all as they are.
        if not any(side.get(name) == kept[name] and _had(side, makers) for side in sides):
            return f"it read {path}, in which something is another now"
    return ""


def _makers(path: str, stages: Entries) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each stage and output at, above or below a path."""
    for name, entry in stages.items():
        for out in entry.get("outs") or ():
            if touch(path, str(out["path"])):
                yield name, out


def _had(side: Entries, outs: Iterable[tuple[str, Mapping[str, Any]]]) -> bool:
    return all(out in (side.get(name, {}).get("outs") or ()) for name, out in outs)


def _content(part: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(part.get(name) for name in NAMES)
