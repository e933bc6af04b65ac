"""Prove a commit's lock: rebuild it in an empty clone, and hold every byte, every entry and every deed to what it says."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hearth.auditing import undeclared
from hearth.completeness import lock_faults
from hearth.differing import Content, first_difference
from hearth.git import git
from hearth.locks import Stage, folder_md5, md5, name_of, within
from hearth.objects import damaged
from hearth.paths import DVC_LOCK, LOCK
from hearth.progress import progress
from hearth.rebuilding import Rebuilt, cloned, rebuild
from hearth.revisions import Commit, UnreadableError, Workspace
from hearth.storage import read_bytes, read_text
from hearth.verification import Digests, Environment, Out, Verified, of_another_version
from hearth.worktrees import Tree

READ_BYTES = 1 << 20
MORE_STEPS = 3  # besides the stages: the clone, the source, the comparison


def verify(commit: Commit, python: str | None, changed: Mapping[str, str], keep: Path | None = None) -> Verified:
    """Return what a rebuild of a commit came to, made in a new environment of a Python, or without one in that of here.

    `changed` is what is otherwise than usual in the environment of the stages; `keep` a folder in which the rebuild stays.
    """
    stages, _ = commit.stages()
    locked = commit.values(DVC_LOCK).get("stages") or {}
    faults = lock_faults(commit) + _unkept(commit, [stage for stage in stages if stage.name in locked])
    here = _afterwards(commit)
    steps = len(stages) + MORE_STEPS + (python is not None)
    with progress(steps, unit="step") as step, cloned(commit, keep) as folder:
        step(f"cloned {str(commit.commit)[:7]}", 1)
        made = rebuild(folder, commit, python, changed, step)
        step("comparing", 1)
        outs, files = _outputs(commit, folder, locked)
        told = {out.stage for out in outs if not out.same} | {name for name in locked if _named(name, faults)}
        faults += _of_environment(commit, made)
        faults += [made.broke] if made.broke else _of_entries(folder, locked, told) + _strays(folder, outs)
        faults += undeclared(stages, made.deeds)
    unseen, notices = ([], []) if made.broke else _unseen(stages, made)
    faults += [*unseen, *here]
    environment = Environment(**made.environment, conditions=dict(changed))
    return Verified(commit=str(commit.commit), outs=outs, files=files, deeds=dict(made.deeds), faults=faults, notices=[*made.notices, *notices],
                    environment=environment)  # fmt: skip


def _unseen(stages: Sequence[Stage], made: Rebuilt) -> tuple[list[str], list[str]]:
    """Return in words the stages of which nothing was seen: as faults, and those that run no Python as a notice."""
    faults, shells = [], []
    for stage in (stage for stage in stages if stage.name not in made.deeds):
        python = stage.cmd.startswith("python")
        if stage.name not in made.ran:
            faults.append(f"stage {stage.name} was not run: DVC says that it is frozen")
        elif python:
            faults.append(f"stage {stage.name} could not be watched: its command keeps Python from it")
        if not python:
            shells.append(stage.name)
    return faults, [f"what {', '.join(shells)} opened could not be watched, for no Python runs there"] if shells else []


def _outputs(commit: Commit, folder: Path, locked: Mapping[str, Any]) -> tuple[list[Out], dict[str, Digests]]:
    """Return each output that the lock names as it was rebuilt, and the digests of each of their files by path."""
    outs: list[Out] = []
    files: dict[str, Digests] = {}
    for stage, entry in locked.items():
        for said in entry.get("outs") or ():
            path, wanted = said["path"], str(said.get("md5"))
            rebuilt = _digests(folder / path)
            files |= {f"{path}/{name}" if name else path: one for name, one in rebuilt.items()}
            hashes = {name: one.md5 for name, one in rebuilt.items()}
            found = name_of(hashes) or (folder_md5({}) if (folder / path).is_dir() else None)
            kept = commit.git_files(path) or None
            own = None if kept is None else name_of({name: md5(content) for name, content in kept.items()})
            out = Out(stage=stage, path=path, locked=wanted, rebuilt=found, kept=own, difference=None)
            if not out.same:
                difference = _difference(commit, folder / path, out, kept)
                out = out.model_copy(update={"difference": difference})
            outs.append(out)
    return outs, files


def _digests(path: Path) -> dict[str, Digests]:
    """Return the digests of a file, under the empty name, or of those of a folder by path; of nothing, nothing."""
    if path.is_file():
        return {"": _digest(path)}
    return {one.relative_to(path).as_posix(): _digest(one) for one in sorted(path.rglob("*")) if one.is_file()}


def _digest(path: Path) -> Digests:
    known = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(READ_BYTES):
            for one in known:
                one.update(part)
    return Digests(md5=known[0].hexdigest(), sha256=known[1].hexdigest())


def _difference(commit: Commit, rebuilt: Path, out: Out, kept: dict[str, bytes] | None) -> str:
    """Return in words where an output was rebuilt otherwise than git has it, or DVC, as far as its content can be had."""
    if out.rebuilt is None:
        return "it was not rebuilt"
    if kept is not None and out.kept != out.rebuilt:
        return first_difference(out.path, _content(kept), _read(rebuilt))
    if kept is not None:
        return "as git has it; the hash in dvc.lock is that of something else"
    try:
        if out.locked.endswith(".dir"):
            before: Content = {name: commit.read(Path(out.path, name)) for name in commit.tree(Path(out.path))}
        else:
            before = commit.read(Path(out.path))
    except UnreadableError:
        return "the content that is locked is in no cache and on no remote here, so where it differs cannot be shown"
    return first_difference(out.path, before, _read(rebuilt))


def _content(files: Mapping[str, bytes]) -> Content:
    return files.get("", files)


def _read(path: Path) -> Content:
    if path.is_file():
        return path.read_bytes()
    return {one.relative_to(path).as_posix(): one.read_bytes() for one in path.rglob("*") if one.is_file()}


def _unkept(commit: Commit, stages: Sequence[Stage]) -> list[str]:
    """Return in words which outputs that git is to keep it does not have at the commit."""
    kept = {one.path for one in commit.kept()}
    return [f"stage {stage.name}: git has no {out}, which it is to keep (cache: false)" for stage in stages for out in stage.outs
            if out not in kept and not commit.git_files(out)]  # fmt: skip


def _afterwards(commit: Commit) -> list[str]:
    """Return in words which outputs in this folder, and which objects of its cache, are not what its lock says.

    Nothing of a folder that is at another commit, or has another lock by now: that is somebody's work.
    """
    if (
        git("rev-parse", "HEAD") != commit.commit
        or not DVC_LOCK.is_file()
        or read_bytes(DVC_LOCK) != commit.read(DVC_LOCK)
    ):
        return []
    here = Workspace()
    try:
        changed = [one.path for one in here.outputs() if one.kept and one.made and one.state == "modified"]
        return [f"here, {path} was changed after the run that dvc.lock tells of" for path in changed] + [
            f"here, {one}" for one in damaged(here.repository)[1]]  # fmt: skip
    except UnreadableError:
        return []


def _of_environment(commit: Commit, made: Rebuilt) -> list[str]:
    lock = commit.git_files(str(LOCK)).get("")
    return [] if lock is None else of_another_version(lock.decode(), made.environment["packages"])


def _of_entries(folder: Path, locked: Mapping[str, Any], told: set[str]) -> list[str]:
    """Return in words which entries of the lock the rebuild wrote otherwise, but for stages of which something is told already."""
    from dvc.utils.serialize import parse_yaml

    anew = parse_yaml(read_text(folder / DVC_LOCK), str(DVC_LOCK))["stages"]
    return [
        f"stage {name}: its entry in dvc.lock is not that of a run: {_first(locked[name], anew.get(name))}"
        for name in locked
        if name not in told and locked[name] != anew.get(name)
    ]


def _first(entry: Any, anew: Any) -> str:
    return first_difference("entry.json", *(json.dumps(one, default=str).encode() for one in (entry, anew)))


def _strays(folder: Path, outs: Sequence[Out]) -> list[str]:
    """Return in words which files the road changed or left that no stage declares."""
    declared = (str(DVC_LOCK), *(out.path for out in outs))
    tree = Tree(folder)
    changed, new = (
        tree.git("diff", "--name-only", "-z", "HEAD"),
        tree.git("ls-files", "--others", "--exclude-standard", "-z"),
    )
    paths = sorted({path for path in (*changed.split("\0"), *new.split("\0")) if path})
    return [f"the road changed or left {path}, which no stage declares" for path in paths
            if not any(within(path, one) for one in declared)]  # fmt: skip


def _named(stage: str, faults: Sequence[str]) -> bool:
    return any(fault.startswith((f"stage {stage}:", f"stage {stage} ")) for fault in faults)
