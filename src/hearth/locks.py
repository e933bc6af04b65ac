"""Say whether a commit's dvc.lock tells of a whole run: each stage as dvc.yaml has it, each hash that of what is there.

DVC trusts what stands in dvc.lock, and does not see a dependency or a param that was taken out of dvc.yaml, nor the entry
that a renamed stage left behind (treeverse/dvc 9913, 5293). Nothing is run here: `hearth verify` proves the rest.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Hash = Callable[[str], str | None]


@dataclass(frozen=True)
class Stage:
    """Be a stage as dvc.yaml declares it, templates filled in; `params` are the sections that it reads."""

    name: str
    cmd: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    params: tuple[str, ...]
    desc: str = ""


def md5(content: bytes) -> str:
    """Return DVC's name of a file's content."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def folder_md5(files: Mapping[str, bytes | str]) -> str:
    """Return DVC's name of a folder's content: the hash of the list of its files, each given by its content or by its md5."""
    hashes = {path: one if isinstance(one, str) else md5(one) for path, one in files.items()}
    listed = [{"md5": hashes[path], "relpath": path} for path in sorted(hashes)]
    return md5(json.dumps(listed, sort_keys=True).encode()) + ".dir"


def name_of(hashes: Mapping[str, str]) -> str | None:
    """Return DVC's name of what has these hashes: of a file, under the empty name, or of the files of a folder; None of nothing."""
    return hashes.get("", folder_md5(hashes)) if hashes else None


def within(path: str, folder: str) -> bool:
    """Return whether a path is this one, or lies below it."""
    return f"{path}/".startswith(f"{folder}/")


def touch(one: str, other: str) -> bool:
    """Return whether one of two paths is the other, or lies below it."""
    return within(one, other) or within(other, one)


def faults(stages: Sequence[Stage], lock: Mapping[str, Any], params: Mapping[str, Any], in_git: Hash) -> list[str]:
    """Return in words where the lock is not that of these stages; nothing if it is whole.

    `in_git` gives the hash of a file, a folder or a `.dvc` file's out that git has at this commit, and None for others.
    """
    locked: Mapping[str, Any] = lock.get("stages") or {}
    names = [stage.name for stage in stages]
    found = [f"dvc.lock has the stage {name}, which dvc.yaml has not" for name in locked if name not in names]
    made = {out["path"]: out.get("md5") for entry in locked.values() for out in entry.get("outs") or ()}
    for stage in stages:
        entry = locked.get(stage.name)
        if entry is None:
            found.append(f"stage {stage.name} is not in dvc.lock: it did not run, or failed")
            continue
        said = _of_stage(stage, entry, params, made, in_git)
        found += [f"stage {stage.name}: {fault}" for fault in said]
    return found


def _of_stage(
    stage: Stage, entry: Mapping[str, Any], params: Mapping[str, Any], made: Mapping[str, str | None], in_git: Hash
) -> list[str]:
    found = [] if entry.get("cmd") == stage.cmd else ["its command is another than in dvc.yaml"]
    for kind, wanted in (("deps", stage.deps), ("outs", stage.outs)):
        locked = {part["path"]: part.get("md5") for part in entry.get(kind) or ()}
        found += [f"{path} is among its {kind} in dvc.yaml, not in dvc.lock" for path in wanted if path not in locked]
        found += [f"{path} is among its {kind} in dvc.lock, not in dvc.yaml" for path in locked if path not in wanted]
        for path, known in locked.items():
            if kind == "deps" and path not in made and any(touch(path, out) for out in made):
                continue  # a part of an output, or a folder around some: its hash stands nowhere but here
            # An output that git keeps too has to be what git has; one that DVC keeps is read, and hashed, by who asks.
            there = made.get(path) or in_git(path) if kind == "deps" else in_git(path) or known
            if there is None or there != known:
                what = (
                    "is nowhere: neither git nor a .dvc file has it (`dvc add` it)"
                    if there is None
                    else f"has the md5 {there}"
                )
                found.append(f"{path} {what}, its run had {known}")
    values = (entry.get("params") or {}).get("params.yaml") or {}
    found += [f"the section {name} of params.yaml is not in dvc.lock" for name in stage.params if name not in values]
    for name, value in values.items():
        if name not in stage.params:
            found.append(f"the section {name} of params.yaml is in dvc.lock, not in dvc.yaml")
        elif _param(params, name) != value:
            found.append(f"the section {name} of params.yaml is another than its run had")
    return found


def _param(params: Any, name: str) -> Any:
    """Return the value at a dotted name, as DVC takes one."""
    for key in name.split("."):
        params = params.get(key) if isinstance(params, Mapping) else None
    return params
