"""Find which tables hold a record: those on disk, and those of older commits, which DVC keeps in its cache and on remotes.

Looked through are the parquet files and the folders of data that the dvc.lock of a commit names: sources, the tables of the road,
predictions. Every commit that a branch, a tag or another ref of this clone leads to counts; other clones are not seen.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hearth.contract import Contract
from hearth.errors import Refusal
from hearth.forgotten import Key, rows_of
from hearth.git import git
from hearth.history import contents_of
from hearth.locks import md5
from hearth.parquet import read_arrow
from hearth.paths import DVC_LOCK, PREDICTIONS, QUARANTINE, RAW, TEST, TRAIN, VALIDATED
from hearth.revisions import Commit, UnreadableError
from hearth.storage import parsed_yaml

HERE = (RAW, VALIDATED, QUARANTINE, TRAIN, TEST, PREDICTIONS)
SHORT = 7


@dataclass
class Version:
    """Be a table as some commits have it: `rows` with the record, or None and why they cannot be counted.

    `names` are the refs whose commit has it, `commits` all that ran with it, newest first; `places` are where its bytes lie.
    """

    path: str
    md5: str
    names: list[str] = field(default_factory=list)
    commits: list[str] = field(default_factory=list)
    rows: int | None = None
    why: str = ""
    places: list[str] = field(default_factory=list)


def here(key: Key, contract: Contract) -> dict[str, int]:
    """Return in how many rows which tables on disk have a record."""
    tables = dict.fromkeys([*map(str, HERE), *(path for path, _ in _tables(_read(DVC_LOCK)))])
    counts = {name: _rows(_on_disk(Path(name)), key, contract)[0] for name in tables}
    return {name: rows for name, rows in counts.items() if rows}


def _on_disk(path: Path) -> list[pa.Table]:
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path] if path.is_file() else []
    return [read_arrow(file) for file in files]


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def older(key: Key, contract: Contract, step: Callable[[str], None]) -> list[Version]:
    """Return the committed tables that have a record, or may have it and cannot be read; `step` is told what is looked at."""
    found = _versions()
    for version in found:
        step(f"{version.path} of {version.commits[0][:SHORT]}")
        commit = Commit(version.commits[0][:SHORT], version.commits[0])
        try:
            files = _contents(commit, version)
            held = [(name, _in_file(content, key, contract)) for name, content in files.items()]
        except UnreadableError as error:
            version.why, version.places = _missing(commit, version, error)
            continue
        version.why = "; ".join(f"{name}: {why}" if len(held) > 1 else why for name, (_, why) in held if why)
        version.rows = sum(rows for _, (rows, _) in held)
        for name in (name for name, (rows, _) in held if rows):
            version.places += commit.places(md5(files[name]))
    return [version for version in found if version.rows or version.why]


def _missing(commit: Commit, version: Version, error: UnreadableError) -> tuple[str, list[str]]:
    """Return why a table cannot be read, and where it lies or may lie all the same."""
    try:
        places = commit.places(version.md5)
    except UnreadableError:
        return str(error), []
    return (str(error), places) if places else ("it lies in no cache and on no remote of this clone", [])


def is_shallow() -> bool:
    """Return whether this clone knows the newest commits only."""
    return git("rev-parse", "--is-shallow-repository") == "true"


def _versions() -> list[Version]:
    """Return each table that a dvc.lock of a commit names, once for each content."""
    tips = _tips()
    ran = dict.fromkeys(git("log", "--all", "--format=%H", "--", str(DVC_LOCK)).split())
    commits = list(ran | dict.fromkeys(tips))
    found: dict[tuple[str, str], Version] = {}
    parsed: dict[bytes, list[tuple[str, str]]] = {}
    for commit, lock in zip(commits, contents_of(Path(), [f"{one}:./{DVC_LOCK}" for one in commits]), strict=True):
        if lock is not None and lock not in parsed:
            parsed[lock] = _tables(lock)
        for path, hashed in parsed.get(lock or b"", ()):
            version = found.setdefault((path, hashed), Version(path, hashed))
            version.names += tips.get(commit, [])
            if commit in ran or not version.commits:
                version.commits.append(commit)
    return list(found.values())


def _tips() -> dict[str, list[str]]:
    """Return the names of branches, tags and other refs by their commit."""
    found: dict[str, list[str]] = {}
    for line in git("for-each-ref", "--format=%(refname:short)%00%(objectname)%00%(*objectname)").splitlines():
        name, own, peeled = line.split("\0")
        found.setdefault(peeled or own, []).append(name)
    return found


def _tables(lock: bytes | None) -> list[tuple[str, str]]:
    """Return path and hash of the parquet files, and of the folders of data, in a dvc.lock; nothing if it is broken."""
    try:
        document = parsed_yaml(lock or b"", str(DVC_LOCK))
        stages: Mapping[str, Any] = document.get("stages") or {}
    except (Refusal, AttributeError):  # a conflict, committed
        return []
    parts = [part for stage in stages.values() for kind in ("deps", "outs") for part in stage.get(kind) or ()]
    named = ((str(part["path"]), str(part.get("md5") or "")) for part in parts)
    return list(dict.fromkeys((path, hashed) for path, hashed in named if hashed and (
        path.endswith(".parquet") or (path.startswith("data/") and hashed.endswith(".dir")))))  # fmt: skip


def _contents(commit: Commit, version: Version) -> dict[str, bytes]:
    """Return the files of a table by name; of a folder, not what git and DVC keep beside the data."""
    path = Path(version.path)
    if not version.md5.endswith(".dir"):
        return {path.name: commit.read(path)}
    return {
        name: content
        for name, content in commit.folder(path).items()
        if not name.startswith(".") and not name.endswith(".dvc")
    }


def _in_file(content: bytes, key: Key, contract: Contract) -> tuple[int, str]:
    """Return in how many rows of a file a record is, and why that cannot be said."""
    try:
        return _rows([pq.read_table(io.BytesIO(content))], key, contract)
    except pa.ArrowInvalid:
        return 0, "it is no parquet file; look into it yourself"


def _rows(tables: list[pa.Table], key: Key, contract: Contract) -> tuple[int, str]:
    """Return in how many rows of tables a record is, and why that cannot be said of one of them."""
    rows, why = 0, ""
    for table in tables:
        try:
            rows += rows_of(table, key, contract)
        except ValueError as error:
            why = str(error)
    return rows, why
