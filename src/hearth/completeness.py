"""Hold the workspace to its dvc.lock: no stage is stale, each output is somewhere, and git and DVC each keep what is theirs.

Nothing is run, and nothing is asked of the network unless it is wanted. A clone without data is whole: `dvc repro` makes them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hearth.git import git, run
from hearth.locks import faults, folder_md5, md5, within
from hearth.origins import HERE, doubted, entries, versions
from hearth.paths import DVC_LOCK, LOG, PARAMS, SIGNATURE
from hearth.pushed import ask
from hearth.revisions import Commit, Output, UnreadableError, Workspace

DATA = ("data", "models")  # folders in which each file is git's or DVC's
# What is of this machine only: the log of what was served, the store of `make storage`, the signature of `hearth sign`.
OWN = (str(LOG), "data/storage", str(SIGNATURE))
# A table or a model that git took stays in its history for ever. The largest file that is meant to be there, the sample on the
# remote that git carries, has 0.6 MB, the largest lock 0.4 MB; one month's table of a county has as much.
LARGEST_BYTES = 1 << 20

Entries = Mapping[str, Mapping[str, Any]]  # of dvc.lock, by stage

STEPS = {
    "broken": "Mend it; of a lock with conflict markers take one side whole: `git checkout --ours dvc.lock`, or `--theirs`. Then `dvc repro`.",
    "stale": "`dvc repro`, and commit dvc.lock and metrics/ with what changed.",
    "merged": "`dvc repro --force STAGE`, and commit dvc.lock. If that changes nothing it was right, which no other clone can know: "
              "docs/operations.md, Merge, says how to tell it.",
    "spelled": "`git checkout -- dvc.lock` if that was not meant, and `git config core.autocrlf false`; `dvc repro --force` writes it anew.",
    "changed": "`dvc checkout --force` brings back what the lock names, `dvc repro` makes it anew; of a source, `dvc add` takes what is there.",
    "gone": "`git checkout` brings it back, `dvc repro` makes it anew.",
    "nowhere": "`dvc push` where it was made, or `dvc repro` here, then `dvc push`.",
    "both": "`git rm -r --cached` it, a line for it in .gitignore, and commit: DVC keeps it.",
    "unignored": "A line for it in .gitignore, or `git add --all` would take it.",
    "untracked": "`git add` it, and commit it with dvc.lock.",
    "stray": "`dvc add` it if it is data, `git add` it if it is text of people; else move it out of data/ and models/, or delete it.",
    "large": "`git rm --cached` it, `dvc add` it, and commit: what git has once, every clone fetches for ever.",
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """Be one thing that is not as it should be; `kind` is a key of STEPS."""

    kind: str
    said: str


@dataclass(frozen=True)
class Looked:
    """Hold what was found; `notices` are what could not be looked at, or is no fault."""

    faults: tuple[Fault, ...]
    notices: tuple[str, ...]
    stages: int
    outputs: int


def lock_faults(commit: Commit) -> list[str]:
    """Return in words where a commit's dvc.lock is not that of its dvc.yaml, its params and its files."""
    stages, imported = commit.stages()
    return faults(stages, commit.values(DVC_LOCK), commit.values(PARAMS), lambda path: in_git(commit, imported, path))


def mixed_in(commit: Commit, proven: Callable[[bytes], bool]) -> list[str]:
    """Return in words which entries of a commit's dvc.lock a merge of texts may have made."""
    lock = commit.values(DVC_LOCK).get("stages") or {}
    return _mixed(doubted(versions(commit.commit), entries(commit.read(DVC_LOCK)), proven), Workspace(), lock)[0]


def in_git(revision: Commit | Workspace, imported: Mapping[str, str], path: str) -> str | None:
    """Return DVC's name of what git has at a path: a file, a folder, or the hash in a `.dvc` file; None if it has nothing.

    What `.dvc` files name in a folder is in it, as it was when a stage saw it.
    """
    if path in imported:
        return imported[path]
    files: dict[str, bytes | str] = dict(revision.git_files(path))
    if isinstance(file := files.get(""), bytes):
        return md5(file)
    for inner, found in imported.items():
        if not inner.startswith(f"{path}/"):
            continue
        name = inner.removeprefix(f"{path}/")
        if found.endswith(".dir"):
            files |= {f"{name}/{part}": content for part, content in revision.tree(Path(inner)).items()}
        else:
            files[name] = found
    return folder_md5(files) if files else None


def look(remote: bool, proven: Callable[[bytes], bool]) -> Looked:
    """Return what is wrong in the workspace; with `remote` ask DVC's remotes for what is nowhere here.

    `proven` says whether it is attested that a lock, given by its bytes, was made by a run.
    """
    here = Workspace()
    try:
        lock = here.values(DVC_LOCK).get("stages") or {}
        outputs = here.outputs()
        stale, unknown = _stale(here, lock, outputs)
    except UnreadableError as error:
        return Looked((Fault("broken", str(error)),), (), 0, 0)
    merged, unseen = _merged(here, lock, proven)
    merged += _spelled()
    nowhere, elsewhere = _nowhere(here, outputs, remote)
    found = [*stale, *merged, *_as_locked(outputs), *nowhere, *_tracking(outputs), *_large()]
    return Looked(tuple(found), (*unseen, *unknown, *elsewhere), len(lock), len(outputs))


def _stale(here: Workspace, lock: Entries, outputs: Iterable[Output]) -> tuple[list[Fault], list[str]]:
    stages, imported = here.stages()
    kept = {out.path for out in outputs if out.kept and out.made}
    run_with = {part["path"]: part.get("md5") for entry in lock.values() for part in entry.get("deps") or ()}
    unknown: list[str] = []

    def present(path: str) -> str | None:
        if path in kept:  # DVC's to compare
            return None
        try:
            return in_git(here, imported, path)
        except UnreadableError as error:
            unknown.append(f"whether {path} is what a stage read cannot be said: {error}")
            return run_with.get(path)

    said = faults(stages, {"stages": lock}, here.values(PARAMS), present)
    return [Fault("stale", one) for one in said], list(dict.fromkeys(unknown))


def _merged(here: Workspace, lock: Entries, proven: Callable[[bytes], bool]) -> tuple[list[Fault], list[str]]:
    """Return the stages whose entries a merge of texts may have made."""
    notices = []
    if git("rev-parse", "--is-shallow-repository") == "true":
        notices.append(
            "this clone is shallow, so merges that it does not have were not looked at; `git fetch --unshallow`."
        )
    if run("config", "merge.made-lock.driver").returncode:
        notices.append("git's merge of dvc.lock is not set up in this clone: it reports a conflict where both sides have run; "
                       "`sh tools/merging.sh` sets it up.")  # fmt: skip
    mixed, known = _mixed(doubted(versions(), entries(DVC_LOCK.read_bytes()), proven), here, lock)
    return [Fault("merged", one) for one in mixed], notices + known


def _spelled() -> list[Fault]:
    """Return a fault where the lock is not written as DVC writes it: its lines, by which mixtures are told, say nothing then."""
    from dvc.utils.serialize import dumps_yaml, parse_yaml

    content = DVC_LOCK.read_bytes()
    if dumps_yaml(parse_yaml(content.decode(), str(DVC_LOCK))).encode() == content:
        return []
    return [
        Fault(
            "spelled",
            f"{DVC_LOCK} is not written as DVC writes it, so somebody edited it, or git changed its line ends",
        )
    ]


def _mixed(found: Mapping[str, str], here: Workspace, lock: Entries) -> tuple[list[str], list[str]]:
    """Return in words the stages whose entries no run is known to have made, and those of which DVC's run cache has one."""
    faults, notices = [], []
    for stage, commit in found.items():
        where = "the merge that goes on" if commit == HERE else f"the merge {commit}"
        if stage in lock and here.ran(lock[stage]):
            notices.append(
                f"stage {stage}: {where} mixed its entry of two others; DVC's run cache here has a run that made it."
            )
        else:
            faults.append(
                f"stage {stage}: {where} mixed its entry in dvc.lock of two others, and no run is known that made it"
            )
    return faults, notices


def _as_locked(outputs: Iterable[Output]) -> list[Fault]:
    """Return what is here and another than the lock, or a `.dvc` file, says; of what git keeps the hash was compared already."""
    found = []
    for out in outputs:
        if out.kept and out.state == "modified":
            after = "the run that dvc.lock tells of" if out.made else "`dvc add`"
            found.append(Fault("changed", f"{out.path} was changed after {after}"))
        elif not out.kept and out.state == "deleted":
            found.append(Fault("gone", f"{out.path}, which git keeps, is not in the workspace"))
    return found


def _nowhere(here: Workspace, outputs: Iterable[Output], remote: bool) -> tuple[list[Fault], list[str]]:
    missing = {out.path for out in outputs if out.nowhere}
    if not missing:
        return [], []
    if not remote:
        return [], [
            f"neither in the workspace nor in DVC's cache here: {len(missing)} outputs; `dvc pull` or `dvc repro` brings them."
        ]
    found, notices, sources = [], [], {out.path for out in outputs if not out.made}
    wanted: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    default = here.repository.config["core"].get("remote")
    for kept in here.kept():
        if kept.path not in missing:
            continue
        if name := kept.remote or default:
            wanted.setdefault((name, kept.hash_name), {}).setdefault(kept.oid, {})[kept.path] = HERE
        elif kept.path in sources:
            found.append(Fault("nowhere", f"{kept.path} is not here, and no DVC remote is set that could have it"))
        else:
            notices.append(f"{kept.path} is not here, and no default DVC remote is set; `dvc repro` makes it.")
    for (name, hash_name), objects in wanted.items():
        found += [Fault("nowhere", str(one)) for one in ask(here.repository, name, hash_name, objects, False)[1]]
    return found, notices


def _tracking(outputs: Sequence[Output]) -> list[Fault]:
    """Return what git and DVC both keep, or neither."""
    kept, uncached = ([out.path for out in outputs if out.kept == wanted] for wanted in (True, False))
    tracked = _listed("--cached")
    others = _listed("--others", "--", *DATA, *uncached)
    asked = "\0".join(f"{out.path}/" if out.folder else out.path for out in outputs if out.kept)
    answer = run("check-ignore", "--no-index", "-z", "--stdin", given=asked.encode()).stdout.decode()
    ignored = {name.rstrip("/") for name in answer.split("\0")}
    found = [
        Fault("both", f"{name} is an output that DVC keeps, and git tracks it too")
        for name in tracked
        if _within(name, kept)
    ]
    found += [
        Fault("unignored", f"{path} is an output that DVC keeps, and git does not ignore it")
        for path in kept
        if path not in ignored
    ]
    for name in others:
        if _within(name, uncached):
            found.append(
                Fault("untracked", f"{name} is an output that git is to keep (cache: false), and git does not track it")
            )
        elif not _within(name, (*kept, *OWN)) and Path(name).name != ".gitignore":
            found.append(Fault("stray", f"{name} is tracked by neither git nor DVC"))
    return found


def _large() -> list[Fault]:
    """Return the files in git's index that are beyond what git should have."""
    entries = [line.partition("\t") for line in _listed("--stage")]
    blobs = [(words.split()[1], name) for words, _, name in entries if not words.startswith("160000 ")]
    # What a partial clone does not have says "missing" in place of its size.
    said = git("cat-file", "--batch-check=%(objectsize)", text="\n".join(oid for oid, _ in blobs)).splitlines()
    sizes = [size if size.isdigit() else "0" for size in said]
    return [
        Fault("large", f"{name} in git's index has {int(size):,} bytes, more than {LARGEST_BYTES:,}")
        for (_, name), size in zip(blobs, sizes, strict=True)
        if int(size) > LARGEST_BYTES
    ]


def _listed(*words: str) -> list[str]:
    """Return what `git ls-files` lists."""
    names = run("ls-files", "-z", *words).stdout.decode(errors="replace").split("\0")
    return [name for name in dict.fromkeys(names) if name]


def _within(name: str, paths: Iterable[str]) -> bool:
    return any(within(name, path) for path in paths)
