"""Know the releases: git's annotated tags in GTO's scheme, and what is live.

`house-prices@v0.2.0` registers a version of a commit; `house-prices#prod#3` makes the version of its commit the champion of
the environment, the highest number counts. A version without a promotion is no release: promote writes it first, and may
be killed before the second tag. Scheme: GTO, https://github.com/treeverse/gto.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from hearth.strict import Strict, loads

ARTIFACT = "house-prices"
FIRST = "v0.1.0"
EVIDENCE = "evidence: "
TELL = f"`git push origin 'refs/tags/{ARTIFACT}*'` tells the others"
_VERSION = re.compile(rf"{ARTIFACT}@(v(\d+)\.(\d+)\.(\d+))")
_LIVE = re.compile(rf"{ARTIFACT}#([a-z0-9-]+)#(\d+)")


class Margins(Strict):
    """Hold how much worse the four metrics may be."""

    rmse_log: float = Field(ge=0)
    mdape: float = Field(ge=0)
    bias: float = Field(ge=0)
    coverage: float = Field(ge=0)


class SliceMargins(Strict):
    """Hold how much worse the two metrics of a slice may be."""

    mdape: float = Field(ge=0)
    rmse_log: float = Field(ge=0)


class ReleaseParams(Strict):
    """Hold the section `releases` of params.yaml."""

    environment: str = Field(pattern="^[a-z0-9-]+$")
    margins: Margins
    slice_margins: SliceMargins
    slice_rows_min: int = Field(ge=1)


@dataclass(frozen=True)
class Tag:
    """Hold an annotated tag; `commit` is what it stands on."""

    name: str
    commit: str
    who: str
    when: datetime
    message: str


@dataclass(frozen=True)
class Release:
    """Hold a version that was promoted at least once."""

    version: str
    commit: str
    evidence: Mapping[str, Any]

    @property
    def number(self) -> tuple[int, ...]:
        """Return the parts of the version."""
        return tuple(map(int, self.version[1:].split(".")))


@dataclass(frozen=True)
class Event:
    """Hold one change of the champion: a promotion or a rollback."""

    number: int
    action: Literal["promote", "rollback"]
    release: Release
    who: str
    when: datetime
    reason: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True)
class History:
    """Hold all versions and, in their order, the changes of one environment's champion."""

    environment: str
    versions: Mapping[str, Release]
    events: Sequence[Event]

    @property
    def champion(self) -> Release | None:
        """Return what is live."""
        return self.events[-1].release if self.events else None

    @property
    def previous(self) -> Release | None:
        """Return what a rollback goes back to: what was live before the champion, and was not itself rolled back from."""
        stack: list[Release] = []
        for event in self.events:
            known = [release.version for release in stack]
            if event.release.version not in known:
                stack.append(event.release)
            elif event.action == "rollback":
                del stack[known.index(event.release.version) + 1 :]
            else:  # promoted anew, over what came after it
                stack.append(stack.pop(known.index(event.release.version)))
        return stack[-2] if len(stack) > 1 else None

    @property
    def signature(self) -> str | None:
        """Return the signature of the champion's model: of its newest promotion that had one, or of its version."""
        if self.champion is None:
            return None
        own = [event.evidence for event in self.events if event.release.version == self.champion.version]
        signed = [one["signature"] for one in (self.champion.evidence, *own) if isinstance(one.get("signature"), str)]
        return signed[-1] if signed else None

    @property
    def next_number(self) -> int:
        """Return the number of the next change."""
        return self.events[-1].number + 1 if self.events else 1

    @property
    def next_version(self) -> str:
        """Return the version after the highest one, its middle part counted up."""
        if not self.versions:
            return FIRST
        major, minor, _ = max(release.number for release in self.versions.values())
        return f"v{major}.{minor + 1}.0"

    def registered(self, commit: str) -> Release | None:
        """Return the newest version of a commit."""
        found = [release for release in self.versions.values() if release.commit == commit]
        return max(found, key=lambda release: release.number, default=None)


def version_of(tag: str) -> str | None:
    """Return the version that a tag of this name registers, None for any other."""
    match = _VERSION.fullmatch(tag)
    return match[1] if match else None


def promotion_of(tag: str) -> tuple[str, int] | None:
    """Return the environment and the number of the promotion that a tag of this name is, None for any other."""
    match = _LIVE.fullmatch(tag)
    return (match[1], int(match[2])) if match else None


def version_tag(version: str) -> str:
    """Return the name of the tag that registers a version."""
    return f"{ARTIFACT}@{version}"


def live_tag(environment: str, number: int) -> str:
    """Return the name of the tag that makes a release the champion, the `number`-th change."""
    return f"{ARTIFACT}#{environment}#{number}"


def history(tags: Sequence[Tag], environment: str) -> History:
    """Return what the tags say; others than ours are passed over."""
    versions = {
        version: Release(version, tag.commit, evidence(tag.message))
        for tag in tags
        if (version := version_of(tag.name))
    }
    of_commit: dict[str, Release] = {}
    for release in sorted(versions.values(), key=lambda release: release.number):
        of_commit[release.commit] = release
    events = []
    for tag in tags:
        promoted = promotion_of(tag.name)
        if promoted and promoted[0] == environment and tag.commit in of_commit:
            known = evidence(tag.message)
            named = versions.get(str(known.get("version")))
            release = named if named and named.commit == tag.commit else of_commit[tag.commit]
            action: Literal["promote", "rollback"] = "rollback" if known.get("action") == "rollback" else "promote"
            reason = str(known.get("reason") or "")
            events.append(Event(promoted[1], action, release, tag.who, tag.when, reason, known))
    return History(environment, versions, sorted(events, key=lambda event: event.number))


def message(title: str, lines: Sequence[str], known: Mapping[str, Any]) -> str:
    """Return the message of a tag: for people, and on its last line the evidence for programs."""
    document = json.dumps(known, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return "\n".join([title, "", *lines, "", EVIDENCE + document]) + "\n"


def evidence(text: str) -> dict[str, Any]:
    """Return the evidence in a tag's message; a tag that was made by other means has none."""
    for line in reversed(text.split("\n")):  # splitlines would also split at U+2028, which JSON leaves as it is
        if line.startswith(EVIDENCE):
            try:
                found = loads(line.removeprefix(EVIDENCE))
            except ValueError:
                return {}
            return found if isinstance(found, dict) else {}
    return {}
