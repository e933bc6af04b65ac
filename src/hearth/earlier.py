"""Remember the last collection: what dvc.lock says that it made, as far as DVC's cache has it.

It is a memory, not an input. A collection that finds none takes everything, and ends with the same bytes; a test compares.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from configparser import ConfigParser, Error
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from hearth.errors import Refusal
from hearth.parquet import arrow_of
from hearth.paths import DVC_LOCK, PROVENANCE, RAW, SOURCES
from hearth.provenance import Provenance
from hearth.storage import parsed_json, read_yaml
from hearth.strict import parse

STAGE = "collect"
CONFIG = (Path(".dvc/config.local"), Path(".dvc/config"))  # the first that says where the cache is


@dataclass(frozen=True)
class Earlier:
    """Hold the last collection: where it was from, its files by name with their places in the cache, and if this code made it."""

    provenance: Provenance
    files: Mapping[str, Path]
    same_code: bool

    def tables(self) -> Iterator[pa.Table]:
        """Yield its table, month by month."""
        for name, path in sorted(self.files.items()):
            yield arrow_of(path.read_bytes(), name)


def earlier() -> Earlier | None:
    """Return the last collection, None where nothing is known of it or an object of it is missing or damaged."""
    try:
        stage = read_yaml(DVC_LOCK)["stages"][STAGE]
        made = {out["path"]: str(out["md5"]) for out in stage["outs"]}
        deps = {dep["path"]: str(dep["md5"]) for dep in stage["deps"] if dep["path"] != SOURCES.as_posix()}
        cache = _cache()
        document = parsed_json(_object(cache, made[PROVENANCE.as_posix()]).read_bytes(), str(PROVENANCE))
        listed = json.loads(_object(cache, made[RAW.as_posix()]).read_bytes())
        files = {entry["relpath"]: _object(cache, entry["md5"]) for entry in listed}
        return Earlier(parse(Provenance, document, str(PROVENANCE)), files, all(map(_is, deps.items())))
    except (Refusal, OSError, KeyError, TypeError, ValueError):
        return None


def _cache() -> Path:
    """Return the folder of DVC's cache; a path in its config is seen from .dvc."""
    for config in CONFIG:
        parser = ConfigParser(interpolation=None, strict=False)
        try:
            parser.read(config, encoding="utf-8")
        except Error:
            continue
        if folder := parser.get("cache", "dir", fallback=""):
            return config.parent / folder.strip('"')
    return Path(".dvc/cache")


def _object(cache: Path, md5: str) -> Path:
    """Return an object's place; raise ValueError if its content is another than its name says."""
    path = cache / "files/md5" / md5[:2] / md5[2:]
    if _md5(path) != md5.removesuffix(".dir"):
        raise ValueError(f"{path} is damaged")
    return path


def _is(dep: tuple[str, str]) -> bool:
    path, md5 = dep
    return Path(path).is_file() and _md5(Path(path)) == md5


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
