"""Say which entries of dvc.lock a merge of texts may have made, where DVC would take them for those of a run.

A run's entry comes in with a commit of its own, or whole with one side of a merge. One that came in with a merge, and has no line
that neither side had, holds no new hash: a run may have made it, and so may git, or a person between conflict markers.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hearth.git import git, run
from hearth.history import contents_of
from hearth.paths import DVC_LOCK

Entries = Mapping[str, str]  # stage: the lines of its entry
HERE = "the workspace"


@dataclass(frozen=True)
class Version:
    """Be dvc.lock as a commit has it: its bytes, its entries, and those of each of the commit's parents."""

    commit: str
    lock: bytes
    entries: Entries
    parents: tuple[Entries, ...]


def entries(lock: bytes) -> dict[str, str]:
    """Return the lines of each stage's entry as DVC writes them; a lock that is written otherwise has none."""
    _, _, stages = lock.decode(errors="replace").partition("\nstages:\n")
    found = re.findall(r"^  (\S.*):\n((?:(?:   .*)?\n)*)", stages, flags=re.MULTILINE)
    return {name.strip("'\""): entry for name, entry in found}


def mixed(entry: str, parents: Sequence[str]) -> bool:
    """Return whether each line of a merge's entry stands in the entry of one of its parents."""
    return len(parents) > 1 and set(entry.splitlines()) <= {line for one in parents for line in one.splitlines()}


def doubted(versions: list[Version], now: Entries, proven: Callable[[bytes], bool]) -> dict[str, str]:
    """Return the commit of each stage's entry in `now` that no run is known to have made.

    `proven` says whether it is attested that a lock, given by its bytes, was made by a run; once that holds of a version with
    this entry, it holds of the entry.
    """
    found = {}
    for stage, entry in now.items():
        having = [one for one in versions if one.entries.get(stage) == entry]
        born = [one for one in having if all(parent.get(stage) != entry for parent in one.parents)]
        texts = [mixed(entry, [parent.get(stage, "") for parent in one.parents]) for one in born]
        if born and all(texts) and not any(proven(one.lock) for one in having):
            found[stage] = born[0].commit
    return found


def versions(last: str | None = None) -> list[Version]:
    """Return dvc.lock as each commit up to `last` changed it, newest first; not as a merge took it whole from one side.

    Without a commit it is as it is here, then as each commit up to HEAD changed it.
    """
    if run("rev-parse", "--verify", "--quiet", last or "HEAD").returncode:
        return []
    log = git("log", "--full-history", "--no-show-signature", "--format=%H %P", last or "HEAD", "--", str(DVC_LOCK))
    made = [line.split() for line in log.splitlines()]
    incoming = run("rev-parse", "--verify", "--quiet", "MERGE_HEAD").stdout.decode().split()  # of a merge that goes on
    commits = list(dict.fromkeys(["HEAD", *incoming, *(commit for line in made for commit in line)]))
    prefix = git("rev-parse", "--show-prefix")
    found = contents_of(Path(), [f"{commit}:{prefix}{DVC_LOCK}" for commit in commits])
    locks = {commit: lock or b"" for commit, lock in zip(commits, found, strict=True)}
    known = {commit: entries(lock) for commit, lock in locks.items()}
    committed = [
        Version(sha[:7], locks[sha], known[sha], tuple(known[one] for one in parents)) for sha, *parents in made
    ]
    if last is not None:
        return committed
    here = DVC_LOCK.read_bytes()
    return [Version(HERE, here, entries(here), tuple(known[one] for one in ("HEAD", *incoming))), *committed]
