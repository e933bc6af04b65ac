"""Read how the metrics went over the commits and releases, straight from git's objects: nothing is checked out.

A release is an annotated tag `NAME@VERSION`, a promotion one `NAME#ENVIRONMENT#NUMBER`; of each environment the tag with
the highest number points at the champion (GTO's scheme, docs/decisions.md).
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hearth.errors import Refusal
from hearth.proofreading import is_number
from hearth.scoring import KEYS
from hearth.strict import loads

SUBJECT_MAX = 100
_VERSION = re.compile(r"[^@#]+@v?\d[^@#]*")
_PROMOTION = re.compile(r"([^@#]+)#([^@#]+)#(\d+)")


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


def history(folder: Path, file: Path) -> History:
    """Return the history of a metrics file (relative to `folder`) up to HEAD and in every release.

    A commit whose file is missing, broken or lacks a key is an entry with its fault, never left out. Where git, a
    repository or a commit is missing, the history is empty and a note says so; of a shallow clone a note says what it is.
    """
    try:
        prefix = _git(folder, "rev-parse", "--show-prefix").strip()
        head = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").strip()
        tags = _tags(folder)
        commits = _commits(folder, file, tags)
    except Refusal as refusal:
        return History((), "", (f"There is no history: {refusal}",))
    contents = _contents(folder, [f"{commit}:{prefix}{file.as_posix()}" for commit, _, _ in commits])
    champions = _champions(tags)
    entries = []
    for (commit, day, subject), content in zip(commits, contents, strict=True):
        metrics, fault = _read(content)
        marks = tuple(sorted((tag for tag, target in tags.items() if target == commit), key=_natural))
        environments = tuple(sorted(name for name, tag in champions.items() if tags[tag] == commit))
        entries.append(Entry(commit, subject[:SUBJECT_MAX], day, metrics, fault, marks, environments))
    notes = []
    if _git(folder, "rev-parse", "--is-shallow-repository").strip() == "true":
        notes.append("This clone is shallow: older commits are not in it and are missing here; "
                     "`git fetch --unshallow` brings them.")  # fmt: skip
    return History(tuple(entries), head, tuple(notes))


def _tags(folder: Path) -> dict[str, str]:
    """Return the commit of each annotated tag that is a release or a promotion."""
    form = "%(refname:strip=2)%00%(objecttype)%00%(*objecttype)%00%(*objectname)"
    found = {}
    for line in _git(folder, "for-each-ref", f"--format={form}", "refs/tags").splitlines():
        name, kind, target, commit = line.split("\0")
        if kind == "tag" and target == "commit" and (_VERSION.fullmatch(name) or _PROMOTION.fullmatch(name)):
            found[name] = commit
    return found


def _commits(folder: Path, file: Path, tags: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return (hash, day, subject) of the commits that changed the file, and of those with a tag; parents come first."""
    form = "--format=%H%x00%cs%x00%s"
    order = ("--date-order", "--reverse", "--no-show-signature", form)
    touched = _git(folder, "log", *order, "HEAD", "--", file.as_posix()).splitlines()
    wanted = {line.split("\0")[0] for line in touched} | set(tags.values())
    every = _git(folder, "log", *order, "HEAD", *sorted(set(tags.values()))).splitlines() if tags else touched
    rows = (line.split("\0", 2) for line in every)
    return [(commit, day, subject) for commit, day, subject in rows if commit in wanted]


def _contents(folder: Path, names: Sequence[str]) -> list[bytes | None]:
    """Return the content of each `commit:path`, None where there is none, from one process of git."""
    if not names:
        return []
    output = _run(folder, ("cat-file", "--batch"), "".join(f"{name}\n" for name in names).encode())
    found: list[bytes | None] = []
    for _ in names:
        head, _, output = output.partition(b"\n")
        words = head.rsplit(b" ", 2)
        if len(words) == 3 and words[2].isdigit():
            size = int(words[2])
            found.append(output[:size] if words[1] == b"blob" else None)
            output = output[size + 1 :]
        else:
            found.append(None)
    return found


def _read(content: bytes | None) -> tuple[dict[str, float] | None, str]:
    """Return the metrics in a file's content, and in words what is wrong with it."""
    if content is None:
        return None, "the file is missing"
    try:
        document = loads(content)
    except ValueError as error:
        return None, f"the file is broken: {error}"
    if not isinstance(document, dict):
        return None, "the file holds no metrics"
    metrics = {key: float(document[key]) for key in KEYS if is_number(document.get(key))}
    lacking = [key for key in KEYS if key not in metrics]
    return metrics or None, f"no number for {', '.join(lacking)}" if lacking else ""


def _champions(tags: Mapping[str, str]) -> dict[str, str]:
    """Return for each environment the promotion with the highest number."""
    newest: dict[str, tuple[int, str]] = {}
    for tag in sorted(tags):
        if found := _PROMOTION.fullmatch(tag):
            newest[found[2]] = max(newest.get(found[2], (-1, "")), (int(found[3]), tag))
    return {environment: tag for environment, (_, tag) in newest.items()}


def _natural(tag: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", tag)]


def _git(folder: Path, *words: str) -> str:
    return _run(folder, words).decode("utf-8", errors="replace")


def _run(folder: Path, words: Sequence[str], given: bytes = b"") -> bytes:
    try:
        done = subprocess.run(["git", "--no-pager", *words], cwd=folder, input=given, capture_output=True, check=False)  # noqa: S607 -- git from the PATH, as DVC does
    except OSError as error:
        raise Refusal(f"git cannot be run ({error.strerror}); install it.") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
        raise Refusal(said[0].removeprefix("fatal: ") + "." if said else "the repository has no commit yet.")
    return done.stdout
