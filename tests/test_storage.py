"""Test the door to files: whole files or nothing, and a refusal that names the file for everything unreadable."""

import math
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from hearth.errors import Refusal
from hearth.storage import (
    read_bytes,
    read_folder,
    read_json,
    read_text,
    read_yaml,
    replacing,
    write_bytes,
    write_folder,
    write_json,
    write_text,
)

BACK = "`dvc checkout` brings back the last good one."


def refused(read: Callable[[Path], object], path: Path) -> str:
    with pytest.raises(Refusal) as caught:
        read(path)
    return str(caught.value)


def written(folder: Path, content: bytes | str) -> Path:
    path = folder / "file"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# Writing


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    write_bytes(path, b"\x00\xff")
    assert read_bytes(path) == b"\x00\xff"
    write_text(path, "Größe\r\n")
    assert path.read_bytes() == "Größe\r\n".encode()
    assert read_text(path) == "Größe\r\n"


def test_an_error_while_writing_leaves_the_old_file_and_no_partial_one(tmp_path: Path) -> None:
    path = written(tmp_path, "old")
    with pytest.raises(RuntimeError, match="half way"), replacing(path) as file:
        file.write(b"new")
        file.flush()
        raise RuntimeError("half way")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_while_writing_a_new_file_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "file") as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = written(tmp_path, "old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) != ["file"]
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_partial_file_that_a_killed_run_left_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".file.partial").write_bytes(b"half")
    write_bytes(tmp_path / "file", b"whole")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("file", b"whole")]


def test_a_read_only_file_can_be_replaced(tmp_path: Path) -> None:
    """DVC's links into its cache are read-only, and must not be written through."""
    cached = tmp_path / "cached"
    cached.write_bytes(b"old")
    cached.chmod(stat.S_IRUSR)
    path = tmp_path / "file"
    path.hardlink_to(cached)
    write_bytes(path, b"new")
    assert (path.read_bytes(), cached.read_bytes()) == (b"new", b"old")


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    cached = tmp_path / "cached"
    cached.write_bytes(b"old")
    path = tmp_path / "file"
    path.symlink_to(cached)
    write_bytes(path, b"new")
    assert (path.read_bytes(), cached.read_bytes()) == (b"new", b"old")


# Reading


@pytest.mark.parametrize("read", [read_bytes, read_text, read_yaml, read_json])
def test_a_missing_file_is_refused_with_the_next_step(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "no file"
    assert refused(read, path) == f"{path} does not exist; `make run` makes it, {BACK}"


@pytest.mark.parametrize("read", [read_bytes, read_text, read_yaml, read_json])
def test_a_folder_is_no_file(tmp_path: Path, read: Callable[[Path], object]) -> None:
    assert refused(read, tmp_path).startswith(f"{tmp_path} cannot be read (Is a directory)")


@pytest.mark.parametrize("read", [read_text, read_yaml])
def test_what_is_no_utf_8_is_refused_with_the_byte(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = written(tmp_path, "Größe".encode("latin-1"))
    assert refused(read, path) == f"{path} is not UTF-8 (byte 2); save it as UTF-8."


# YAML


def test_yaml_is_read(tmp_path: Path) -> None:
    text = "a: 1\nb: {c: [1, 2.5, x, null, true]}\nd: '2015-03-01'\n"
    assert read_yaml(written(tmp_path, text)) == {"a": 1, "b": {"c": [1, 2.5, "x", None, True]}, "d": "2015-03-01"}


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        pytest.param("a: 1\nb: 2\na: 3\n", 3, "the key 'a' stands twice", id="key twice"),
        pytest.param("a:\n  b: 1\n  c: 1\n  b: 2\n", 4, "the key 'b' stands twice", id="nested key twice"),
        pytest.param("a: {b: 1, b: 2}\n", 1, "the key 'b' stands twice", id="key twice in a flow"),
        pytest.param("- {b: 1}\n- {b: 1, b: 2}\n", 2, "the key 'b' stands twice", id="key twice in a list"),
        pytest.param("a: 1\n\tb: 2\n", 2, "cannot start any token", id="tab"),
        pytest.param("a: [1, 2\nb: 3\n", 2, "expected ',' or ']'", id="open bracket"),
        pytest.param("a: 1\n b: 2\n", 2, "mapping values are not allowed here", id="wrong indent"),
        pytest.param("a: 'x\n", 2, "unexpected end of stream", id="open quote"),
        pytest.param("a: 1\n---\nb: 2\n", 2, "another document", id="two documents"),
        pytest.param(
            "a: !!python/object/apply:os.system [x]\n", 1, "could not determine a constructor", id="an object"
        ),
        pytest.param("a: *b\n", 1, "undefined alias", id="undefined alias"),
    ],
)
def test_broken_yaml_is_refused_with_its_line(tmp_path: Path, text: str, line: int, problem: str) -> None:
    path = written(tmp_path, text)
    said = refused(read_yaml, path)
    assert said.startswith(f"{path}: line {line}, is not good YAML: ")
    assert problem in said
    assert said.endswith("; mend that line.")


def test_a_control_character_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "a: \x00\n")
    said = refused(read_yaml, path)
    assert said.startswith(f"{path}: is not good YAML: ")
    assert "#x0000" in said


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("as_of: 2014-13-45\n", id="no such month"),
        pytest.param("as_of: 2014-02-30\n", id="no such day"),
        pytest.param("a: !!int x\n", id="a text as integer"),
        pytest.param("[a]: 1\n", id="a list as key"),
        pytest.param("? {a: 1}\n: 2\n", id="a mapping as key"),
        pytest.param("[" * 5000, id="5000 brackets"),
    ],
)
def test_yaml_that_only_the_constructor_dislikes_is_refused(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    try:
        said = refused(read_yaml, path)
    except (ValueError, TypeError, RecursionError) as error:
        said = repr(error)
    assert said.startswith(f"{path}:")


def test_a_merge_key_is_read(tmp_path: Path) -> None:
    assert read_yaml(written(tmp_path, "a: &a {x: 1}\nb:\n  <<: *a\n  y: 2\n"))["b"] == {"x": 1, "y": 2}


# JSON


def test_json_is_written_sorted_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_json(path, {"b": [1, 0.1], "a": {"ö": None}})
    assert path.read_text(encoding="utf-8") == '{\n  "a": {\n    "ö": null\n  },\n  "b": [\n    1,\n    0.1\n  ]\n}\n'
    assert read_json(path) == {"a": {"ö": None}, "b": [1, 0.1]}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_is_not_written_and_the_old_file_stays(tmp_path: Path, value: float) -> None:
    path = written(tmp_path, "old")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"mdape": value})
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param('{"mdape": NaN}', "NaN is no JSON number", id="NaN"),
        pytest.param('{"mdape": Infinity}', "Infinity is no JSON number", id="infinity"),
        pytest.param('{"mdape": -Infinity}', "-Infinity is no JSON number", id="negative infinity"),
        pytest.param('{"mdape": 0.1', "Expecting ',' delimiter", id="cut off"),
        pytest.param("", "Expecting value", id="empty"),
        pytest.param("{'a': 1}", "Expecting property name", id="single quotes"),
        pytest.param('{"a": 1} x', "Extra data", id="more than one value"),
        pytest.param(b'"\xff"', "can't decode byte", id="no UTF-8"),
        pytest.param("9" * 5000, "4300 digits", id="5000 digits"),
    ],
)
def test_broken_json_is_refused(tmp_path: Path, content: bytes | str, problem: str) -> None:
    path = written(tmp_path, content)
    said = refused(read_json, path)
    assert said.startswith(f"{path} is not good JSON (")
    assert problem in said
    assert said.endswith(BACK)


def test_deep_json_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "[" * 100_000)
    assert refused(read_json, path).startswith(str(path))


@pytest.mark.parametrize("content", ['{"a": 1, "a": 2}', '{"a": 1e400}'])
def test_json_that_says_two_things_or_too_much_is_refused(tmp_path: Path, content: str) -> None:
    refused(read_json, written(tmp_path, content))


# Folders


def test_a_folder_holds_exactly_the_files_that_were_written(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_folder(folder, {"a": b"1", "b": b"2"})
    (folder / ".c.partial").write_bytes(b"left over")
    write_folder(folder, {"b": b"3", "c": b"4"})
    assert read_folder(folder) == {"b": b"3", "c": b"4"}


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    assert refused(read_folder, tmp_path / "no").startswith(f"{tmp_path / 'no'} is not a folder; `make run` makes it")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    path = written(tmp_path, "x")
    assert refused(read_folder, path).startswith(f"{path} is not a folder")


def _link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def _dead_link(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize("make", [_link, _dead_link, Path.mkdir, os.mkfifo])
def test_what_is_no_plain_file_in_a_folder_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A link could lead out of the release; a pipe would wait for ever."""
    write_folder(tmp_path / "model", {"a": b"1"})
    odd = tmp_path / "model" / "odd"
    make(odd)
    assert refused(read_folder, tmp_path / "model").startswith(f"{odd} is no plain file; ")
