"""Write the attestation of a verification, and hold one to the commit that it names and to the outputs that are at hand."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hearth.attestation import COMMIT, Statement, decoded, encoded, faults, statement
from hearth.dvc_local import settings
from hearth.errors import Refusal
from hearth.paths import ATTESTATION, DVC_LOCK, LOCK, PARAMS
from hearth.revisions import Commit, UnreadableError, revision
from hearth.storage import read_bytes, write_bytes
from hearth.verification import Verified

LOCAL = "urn:hearth:local"  # who built, where nobody says it otherwise


@dataclass(frozen=True)
class Checked:
    """Hold what was found of an attestation: the commit, who built, which files were at hand, and the faults in words."""

    commit: str
    builder: str
    files: int
    at_hand: int
    faults: list[str]


def attest(path: Path, commit: Commit, found: Verified, builder: str, times: tuple[str, str], key: Path | None) -> None:
    """Write the attestation of a lock that is true, signed where a private key is named."""
    document = statement(found, commit.values(PARAMS), materials(commit), builder, times)
    private = None if key is None else read_bytes(key)
    write_bytes(path, encoded(document, private, str(key)))


def check(path: Path, key: Path | None) -> Checked:
    """Hold an attestation to its commit; where a public key is named, it has to be signed with the other half."""
    stated = decoded(read_bytes(path), str(path), None if key is None else read_bytes(key))
    name = str(stated.predicate.definition.external.get(COMMIT))
    try:
        commit = revision(name)
    except UnreadableError:
        raise Refusal(f"{path} is about the commit {name}, which this clone does not have; `git fetch`, or clone the repository "
                      "that it is about.") from None  # fmt: skip
    if not isinstance(commit, Commit) or commit.commit != name:
        raise Refusal(f"{path} is about {name!r}, wanted the full hash of a commit.")
    there = _at_hand(stated, commit)
    said = faults(stated, commit.values(DVC_LOCK), commit.values(PARAMS), materials(commit), there)
    return Checked(name, stated.predicate.details.builder.id, len(stated.subject), len(there), said)


def proven(lock: bytes) -> bool:
    """Return whether the attestation that is kept beside the metrics, if there is one, holds, and is about this very lock."""
    try:
        found = check(ATTESTATION, None)
        return not found.faults and Commit(found.commit, found.commit).read(DVC_LOCK) == lock
    except Refusal:
        return False


def materials(commit: Commit) -> dict[str, bytes | Mapping[str, str]]:
    """Return what a commit's road is made of besides the code: the locks' contents, and the sources by DVC's name of them."""
    found: dict[str, bytes | Mapping[str, str]] = {path: {"md5": name} for path, name in commit.stages()[1].items()}
    found[str(DVC_LOCK)] = commit.read(DVC_LOCK)
    if content := commit.git_files(str(LOCK)).get(""):
        found[str(LOCK)] = content
    return found


def _at_hand(stated: Statement, commit: Commit) -> dict[str, str]:
    """Return the SHA-256 of each output that git or the cache here has, by path."""
    cache = Path(str(settings()[0]["dir"])) / "files/md5"
    found: dict[str, Any] = {}
    for one in stated.subject:
        name = one.digest.get("md5", "")
        if content := commit.git_files(one.name).get(""):
            found[one.name] = hashlib.sha256(content).hexdigest()
        elif len(name) == 32 and name.isalnum() and (path := cache / name[:2] / name[2:]).is_file():
            with path.open("rb") as file:
                found[one.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
