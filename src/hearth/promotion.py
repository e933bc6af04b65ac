"""Hold a commit to what a release has to be: a whole lock, a gate that says yes, a bento that boots, no worse than what is live."""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from hearth.attesting import proven
from hearth.bento import unpack
from hearth.comparing import Read, compared, side
from hearth.comparison import Comparison
from hearth.completeness import lock_faults, mixed_in
from hearth.errors import Refusal
from hearth.gate import GateParams
from hearth.gate import judge as judge_by_gate
from hearth.git import git
from hearth.margins import judged
from hearth.parquet import columns_of
from hearth.paths import BENTO, DVC_LOCK, EVIDENCE, GATE, METRICS, MODEL, PARAMS, SIGNATURE, SLICES
from hearth.pricing import Fit, price
from hearth.release import MANIFEST
from hearth.releases import ARTIFACT, Release, ReleaseParams
from hearth.revisions import Commit, UnreadableError
from hearth.scoring import Floats, scores
from hearth.stages.package import against, check_answers
from hearth.storage import parsed_json, read_bytes
from hearth.strict import parse

JUDGING = ("evaluate", "gate", "releases")  # sections of params.yaml


@dataclass(frozen=True)
class Candidate:
    """Hold what is known of a commit that kept every rule."""

    commit: Commit
    read: Read
    bento: bytes
    signature: str | None

    @property
    def known(self) -> dict[str, Any]:
        """Return the evidence that its version's tag carries."""
        return {
            "signature": self.signature,
            "bento": {"sha256": hashlib.sha256(self.bento).hexdigest(), "size": len(self.bento)},
            "metrics": dict(self.read.metrics),
            "model_version": self.read.released.version,
        }


def check_tree() -> None:
    """Refuse a work tree with changes: what is looked at would not be what is released."""
    if changed := git("status", "--porcelain"):
        listed = ", ".join(line[2:].strip() for line in changed.splitlines()[:5])
        raise Refusal(
            f"the work tree has changes that no commit has ({listed}); commit them or `git stash` them first."
        )


def check_lock(commit: Commit) -> None:
    """Refuse a commit whose dvc.lock is not that of a whole run, or names outputs that are nowhere or damaged."""
    found = [*lock_faults(commit), *mixed_in(commit, proven)]
    for stage in (commit.values(DVC_LOCK).get("stages") or {}).values():
        for out in stage.get("outs") or ():
            try:
                whole = str(out.get("md5", ""))
                commit.folder(Path(out["path"])) if whole.endswith(".dir") else commit.read(Path(out["path"]))
            except UnreadableError as error:
                found.append(str(error))
    if found:
        raise Refusal(f"the lock of {commit.name} is not complete:\n  " + "\n  ".join(found)
                      + "\nRun `dvc repro`, commit dvc.lock and metrics/, and promote that commit.")  # fmt: skip


def check_metrics(commit: Commit) -> Read:
    """Return what is read of a commit, once the gate said yes and the evaluated model, priced anew, gives its metrics."""
    if said := against(parsed_json(commit.read(GATE), f"{GATE} of {commit.name}")):
        raise Refusal(f"the gate of {commit.name} says no: {said}.")
    try:
        one = side(commit)
    except UnreadableError as error:
        raise Refusal(str(error)) from None  # the answer is no, and not that it was asked wrongly
    columns = columns_of(one.test)
    scored = price(one.evaluated, columns)
    actual = columns[one.contract.target.name].astype(np.float64)
    anew = scores(actual, scored["predicted"], scored["low"], scored["high"])
    for name, value in anew.items():
        if abs(value - one.metrics[name]) > 1e-6 * max(1.0, abs(value)):
            raise Refusal(
                f"{METRICS} of {commit.name}: {name} is {one.metrics[name]}, but its evaluated model on its test rows has "
                f"{value}; run its road anew."
            )
    check_gate(commit, one, {"actual": actual, **scored})
    return one


def check_gate(commit: Commit, one: Read, scored: Mapping[str, Floats]) -> None:
    """Let the gate judge anew: its verdict could be written by hand too."""
    slices = pd.read_csv(io.BytesIO(commit.read(SLICES)), dtype={"slice": str, "group": str}).to_dict("records")
    evidence = parsed_json(commit.read(EVIDENCE), f"{EVIDENCE} of {commit.name}")
    limits = parse(GateParams, one.params.get("gate"), f"{PARAMS} of {commit.name}: gate")
    anew = judge_by_gate(
        one.metrics, [{str(key): value for key, value in row.items()} for row in slices], evidence, scored, limits
    )
    if not anew.passed:
        raise Refusal(f"the gate of {commit.name}, asked anew, says no: {'; '.join(anew.reasons)}.")


def check_bento(content: bytes, model: Fit) -> None:
    """Boot the bento, once its model is that of its commit, and hold it to the answers that it was packaged with."""
    with TemporaryDirectory(prefix="hearth-promote-") as scratch:
        folder = Path(scratch, "bento")
        unpack(content, str(BENTO), folder)
        try:
            golden = json.loads((folder / "src/about.json").read_bytes())["golden"]
            packaged = (folder / "src/model" / MANIFEST).read_bytes()
        except (OSError, ValueError, KeyError) as error:
            raise Refusal(f"{BENTO} holds no model with golden answers ({error!r}); run its road anew.") from None
        if packaged != model.files[MANIFEST]:
            raise Refusal(f"{BENTO} holds another model than its commit, {model.version}; run its road anew.")
        if not golden:
            raise Refusal(f"{BENTO} holds no golden answers, so nothing proves what it answers; run its road anew.")
        check_answers(content, golden)


def judge(champion: Release, candidate: Read, params: ReleaseParams) -> tuple[Comparison, list[str], list[str]]:
    """Return the comparison with the champion, the hard reasons against the candidate, and the doubts.

    A candidate that changes what it is judged by is a doubt of its own, for its margins and slices are those of its commit.
    """
    found = compared(side(Commit(f"{ARTIFACT} {champion.version}", champion.commit)), candidate)
    hard, doubts = judged(found, params)
    for key, pair in found.params.items():
        if key.split(".")[0] in JUDGING:
            doubts.append(f"{PARAMS} changes what it is judged by: {key} was {pair.base}, is {pair.candidate}")
    return found, hard, doubts


def default_remote() -> str:
    """Return the name of DVC's default remote; refuse to release without one."""
    from dvc.repo import Repo

    if not (name := Repo(".").config["core"].get("remote")):
        raise Refusal("no default remote is set, so a release could be lost with this machine; `dvc remote add --default NAME URL` "
                      "sets one (s3://, ssh://, or a folder on another disk); docs/operations.md, Remotes, has the recipes.")  # fmt: skip
    return str(name)


def push(commit: Commit, content: bytes, name: str) -> None:
    """Push all that the commit's lock names to the remote; refuse if the bento cannot be read back from it as it was."""
    from dvc.config import Config
    from dvc.repo import Repo

    # Seen from a commit, a relative address in .dvc/config would begin at the root of the disk; as read here it is absolute.
    here = Config.from_cwd()
    repo = Repo(".", config={"core": here["core"], "remote": here["remote"]})
    try:
        repo.push(revs=[commit.commit], remote=name)
        remote = repo.cloud.get_remote_odb(name, hash_name="md5")
        oid = commit.md5(BENTO)
        with remote.fs.open(remote.oid_to_path(oid), "rb") as file:
            back = file.read()
    except Exception as error:
        raise Refusal(
            f"the release cannot be pushed to the remote {name} ({type(error).__name__}: {error}); nothing was released."
        ) from None
    if back != content:
        raise Refusal(f"the remote {name} holds another content under the bento's name {oid}: it is damaged there, and DVC does not "
                      "push over it. Delete that object and promote again; nothing was released.")  # fmt: skip


def signature_of(commit: Commit) -> str | None:
    """Return the signature that `hearth sign` made in the workspace, if it is one of this commit's model."""
    signed = MODEL / MANIFEST
    if not SIGNATURE.is_file() or not signed.is_file() or read_bytes(signed) != commit.folder(MODEL)[MANIFEST]:
        return None
    return read_bytes(SIGNATURE).decode()
