"""Be the only door to files: read with a clear refusal, write to a temporary name and rename.

Files are opened in Python and handed on as file objects, also to Arrow, whose own opening no audit hook would see;
the test that compares `dvc.yaml` with what a stage really touches depends on it.
"""

import json
import math
import os
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import yaml

from hearth.errors import Refusal
from hearth.strict import loads


def read_bytes(path: Path) -> bytes:
    """Return the file's content; refuse if it is missing or cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise Refusal(
            f"{path} does not exist; `make run` makes it, `dvc checkout` brings back the last good one."
        ) from None
    except OSError as error:
        raise Refusal(
            f"{path} cannot be read ({error.strerror}); check that it is a file and who may read it."
        ) from None


def read_text(path: Path) -> str:
    """Return the file's text; refuse if it is not UTF-8."""
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8.") from None


def read_yaml(path: Path) -> Any:
    """Return the document in a YAML file; refuse broken YAML and a key that stands twice."""
    return parsed_yaml(read_text(path), str(path))


def parsed_yaml(text: str | bytes, path: str) -> Any:
    """Return the document in a YAML text, refused as in a file; `path` says where it is from."""
    try:
        return yaml.load(text, Loader=_UniqueKeys)  # noqa: S506 -- a SafeLoader with one more check
    except (ValueError, TypeError, RecursionError) as error:  # a day that is none, a list as a key, a thousand brackets
        raise Refusal(f"{path}: is not good YAML ({str(error) or type(error).__name__}); mend it.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}," if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise Refusal(f"{path}:{line} is not good YAML: {problem}; mend that line.") from None


def read_json(path: Path) -> Any:
    """Return the value in a JSON file; refuse what does not parse, NaN and infinities included."""
    return parsed_json(read_bytes(path), str(path))


def parsed_json(text: bytes, path: str) -> Any:
    """Return the value in a JSON text, refused as in a file; `path` says where it is from."""
    try:
        return loads(text, parse_float=_finite)
    except ValueError as error:
        raise Refusal(f"{path} is not good JSON ({error}); `dvc checkout` brings back the last good one.") from None


def write_json(path: Path, value: object) -> None:
    """Write `value` with sorted keys; NaN and infinities are an error, since JSON has none."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_bytes(path, (text + "\n").encode())


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with the line ends that it has."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file or nothing."""
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary neighbour of `path` that takes its name on success and vanishes on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_folder(path: Path, files: dict[str, bytes]) -> None:
    """Make `path` hold exactly these files; the keys are plain names."""
    path.mkdir(parents=True, exist_ok=True)
    for old in path.iterdir():
        if old.is_dir() and not old.is_symlink():
            raise Refusal(f"{old} is a folder; {path} holds plain files only. Remove it.")
        if old.name not in files:
            old.unlink()
    for name in sorted(files):
        write_bytes(path / name, files[name])


def read_folder(path: Path) -> dict[str, bytes]:
    """Return the files of a flat folder by name; refuse a missing folder, folders in it and links."""
    if not path.is_dir():
        raise Refusal(f"{path} is not a folder; `make run` makes it, `dvc checkout` brings back the last good one.")
    entries = sorted(path.iterdir())
    for entry in entries:
        if entry.is_symlink() or not entry.is_file():
            raise Refusal(f"{entry} is no plain file; {path} holds plain files only. Remove it.")
    return {entry.name: read_bytes(entry) for entry in entries}


class _UniqueKeys(yaml.SafeLoader):
    """Load YAML safely and refuse a key that stands twice, where YAML itself takes the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _finite(text: str) -> float:
    if math.isinf(number := float(text)):
        raise ValueError(f"{text} is beyond all floats")
    return number
