"""Find what DVC takes for right and is not: objects in its cache, and files in the folder that it once hashed or checked out.

DVC hashes no object of its cache that is write-protected (treeverse/dvc 9561), and no file whose time, size and inode are
those that it remembers. Here all of it is read.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hearth.errors import Refusal, WrongUseError
from hearth.revisions import first_line

OBJECT = re.compile("[0-9a-f]{32}([.]dir)?")


@dataclass(frozen=True)
class Damaged:
    """Be a file whose content has another MD5 than DVC takes it to have; `path` is what the project calls the content."""

    path: str
    place: Path
    wanted: str
    found: str

    def __str__(self) -> str:
        """Say it in a line."""
        return f"{self.place} ({self.path}) has the md5 {self.found}, and DVC takes it for {self.wanted}"


def repository() -> Any:
    """Open the repository here; refuse with a next step what DVC cannot load."""
    from dvc.repo import Repo

    try:
        repo = Repo(".")
        list(repo.index.outs)  # reads dvc.yaml, dvc.lock and the .dvc files, and says which of them is broken
    except Exception as error:
        said = first_line(error)
        step = "`git checkout -- dvc.lock` brings back the last lock" if "dvc.lock" in said else "mend it"
        raise WrongUseError(f"DVC cannot start here ({said}); {step}.") from None
    return repo


def set_aside(repo: Any, found: Sequence[Damaged]) -> Path:
    """Move what is damaged, and still is, out of DVC's way, and return the folder that has it now; other commands of DVC wait meanwhile.

    Nothing is deleted: of a source it may be the only copy, all but whole.
    """
    from dvc.lock import LockError

    try:
        repo.lock.lock()
    except LockError:
        raise Refusal("another DVC is at work here; wait for its end, and type the same command again.") from None
    folder = Path(mkdtemp(prefix="damaged-", dir=_made(Path(repo.tmp_dir))))
    try:
        for number, one in enumerate(found):
            if _unlike(one.path, one.place, one.wanted):
                shutil.move(one.place, folder / f"{number}-{one.place.name}")
        for out in repo.index.outs:  # a link to what was moved would be one to nothing
            links = [path for path in (Path(out.fs_path), *Path(out.fs_path).rglob("*")) if path.is_symlink()]
            for link in links:
                if not link.exists():
                    link.unlink()
    except OSError as error:
        raise Refusal(
            f"{error.filename} is damaged and cannot be moved ({error.strerror}); move it yourself, then `hearth heal` again."
        ) from None
    finally:
        repo.lock.unlock()
    return folder


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def damaged(repo: Any, everything: bool = False) -> tuple[int, list[Damaged]]:
    """Return how many files were read, and which of them are damaged.

    Read are the objects that dvc.lock and the .dvc files name, or `everything` in the cache, and the outputs in the folder.
    """
    cache, top = repo.cache.local, Path(repo.root_dir)
    outs = [out for out in repo.index.outs if out.use_cache and out.hash_info and out.hash_name == "md5"]
    names = {out.hash_info.value: _within(Path(out.fs_path), top) for out in outs}
    for oid in [oid for oid in names if oid.endswith(".dir")]:
        names = _listed(Path(cache.oid_to_path(oid)), names[oid]) | names
    if everything:
        names = dict.fromkeys(_all(Path(cache.path)), "of another commit") | names
    looked, found = 0, []
    for oid, name in sorted(names.items()):
        place = Path(cache.oid_to_path(oid))
        if place.is_file():
            looked += 1
            found += _unlike(name, place, oid)
    for out in outs:
        path = Path(out.fs_path)
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            # A file that DVC has not hashed as it is now, it will hash: what somebody changed or makes now is none of ours.
            if file.is_file() and (known := repo.state.get(str(file), out.fs)[1]) and known.name == "md5":
                looked += 1
                found += _unlike(_within(file, top), file, known.value)
    return looked, found


def _listed(folder: Path, name: str) -> dict[str, str]:
    """Return what is in a folder that DVC keeps, by object; nothing if its list is missing or damaged, which is found elsewhere."""
    try:
        listed = {str(entry["md5"]): f"{name}/{entry['relpath']}" for entry in json.loads(folder.read_bytes())}
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    return {oid: path for oid, path in listed.items() if OBJECT.fullmatch(oid)}  # a damaged list may name any place


def _all(cache: Path) -> Iterator[str]:
    """Yield all objects of the cache; a file that a killed pull left there has no such name."""
    names = (path.parent.name + path.name for path in cache.glob("??/*"))
    return filter(OBJECT.fullmatch, names)


def _unlike(name: str, place: Path, wanted: str) -> list[Damaged]:
    try:
        with place.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise Refusal(
            f"{place} ({name}) cannot be read ({error.strerror}); see who may read it, or, if its disk is broken, delete it; "
            "then `hearth heal` again."
        ) from None
    if found == wanted.removesuffix(".dir"):
        return []
    return [Damaged(name, place, wanted, found)]


def _within(path: Path, top: Path) -> str:
    return str(path.relative_to(top) if path.is_relative_to(top) else path)
