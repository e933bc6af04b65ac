"""Keep records of what happened in the world, one JSON object a line, a file a day: written for good, read with care.

An entry that was taken stands on the disk before the caller goes on. A line that a crash tore is no entry: the next
writer begins a new line, and a reader skips the torn one and counts it.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from hearth.clock import now as present
from hearth.errors import Refusal
from hearth.strict import loads

ENDING = ".jsonl"
LOG_DIR = "HEARTH_LOG_DIR"  # the environment names by it the folder where a service keeps what it is told


class Journal:
    """Append entries to FOLDER/NAME-YYYY-MM-DD.jsonl; a day is one of UTC."""

    def __init__(self, folder: Path, name: str) -> None:
        """Make the folder; refuse one that cannot be written to, rather than at the first entry."""
        self.folder, self.name = writable(folder, name), name

    def append(self, entry: dict[str, Any]) -> None:
        """Write one entry with its time as `at`, and wait until it is on the disk; raise OSError where it cannot be."""
        self.extend([entry])

    def extend(self, entries: Sequence[dict[str, Any]]) -> None:
        """Write entries at once, those without a time of their own as `at` with the present one; wait and raise as `append`."""
        now = present()
        at = {"at": now.isoformat(timespec="milliseconds")}
        content = b"".join(
            json.dumps(at | entry, sort_keys=True, allow_nan=False).encode() + b"\n" for entry in entries
        )
        target = self.folder / f"{self.name}-{now.date().isoformat()}{ENDING}"
        with opened(target) as (handle, size, begin):
            content = begin + content
            if os.write(handle, content) != len(content):
                raise OSError(f"{target} took part of an entry only")
            os.fsync(handle)
        if size == 0:  # the name of a new file is on the disk only once its folder is
            sync_folder(self.folder)


def writable(folder: Path, name: str) -> Path:
    """Make a folder and return where it is; refuse one that cannot be written to. `name` is what it is wanted for."""
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f".{name}-{os.getpid()}").touch()
        (folder / f".{name}-{os.getpid()}").unlink()
    except OSError as error:
        raise Refusal(
            f"{folder} cannot be written to ({error.strerror}), wanted a folder for {name}; give another."
        ) from None
    return folder


@contextmanager
def opened(target: Path) -> Iterator[tuple[int, int, bytes]]:
    """Open a file of lines; yield its handle, its size, and what has to come first where its last line is torn.

    What is appended in one write does not mix with another process's lines.
    """
    handle = os.open(target, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        yield handle, size, b"\n" if torn else b""
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@dataclass
class Entries:
    """Iterate over the entries of a journal or of the prediction log, the oldest file first; `torn` counts lines that are none."""

    folder: Path
    name: str
    torn: int = field(default=0, init=False)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield each entry."""
        for file in sorted(self.folder.glob(f"{self.name}-????-??-??*{ENDING}")):
            with file.open("rb") as lines:
                for line in lines:
                    # Empty: of a writer that met another one's entry half-way and took it for a torn one. Spaces: forgotten.
                    if not line.strip(b" \n"):
                        continue
                    entry = _entry(line)
                    if entry is None:
                        self.torn += 1
                    else:
                        yield entry


def _entry(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        found = orjson.loads(line)
        # Each key brings a colon behind a quote: with as many as keys none stands twice, else the slow reader decides.
        if isinstance(found, dict) and line.count(b'":') != len(found):
            found = loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
