"""Say in people's words where two contents of a file first differ: which member, key, column, row, line or pixel.

A container is opened: the members of a folder, a zip or a bento are compared by name, each by its own kind.
"""

import csv
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np

SHOWN = 60  # characters of a value
PYTHON_PICKLE = b"\x80"
Content = bytes | Mapping[str, bytes]


def first_difference(name: str, old: Content, new: Content) -> str:
    """Return in words the first difference of two contents that differ, a folder's as a mapping of its files by path.

    What is no good file of its kind, or differs in nothing that its kind can say, is told by the first byte.
    """
    if isinstance(old, Mapping) or isinstance(new, Mapping):
        if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
            kinds = ["a folder" if isinstance(one, Mapping) else "a file" for one in (old, new)]
            return f"it was {kinds[0]} and is {kinds[1]}"
        return _of_members(old, new)
    try:
        said = _by_kind(name, old)(old, new)
    except Exception:  # a file that is not of its kind, whoever's parser says so in whatever way
        said = ""
    return said or _of_bytes(old, new)


def _by_kind(name: str, content: bytes) -> Callable[[bytes, bytes], str]:
    kind = PurePath(name).suffix.lower()
    known: dict[str, Callable[[bytes, bytes], str]] = {
        ".json": lambda old, new: _of_values(json.loads(old), json.loads(new)),
        ".csv": _of_csv,
        ".parquet": lambda old, new: _of_tables(_table(old), _table(new)),
        ".npy": lambda old, new: _of_arrays(_array(old), _array(new)),
        ".png": lambda old, new: _of_arrays(_picture(old), _picture(new), "pixel"),
        ".onnx": _of_graphs,
        ".zip": lambda old, new: _of_members(_zipped(old), _zipped(new)),
        ".npz": lambda old, new: _of_members(_zipped(old), _zipped(new)),
        ".bento": lambda old, new: _of_members(_archived(lzma.decompress(old)), _archived(lzma.decompress(new))),
        ".tar": lambda old, new: _of_members(_archived(old), _archived(new)),
    }  # fmt: skip
    if kind in known:
        return known[kind]
    return _of_lines if b"\0" not in content and not content.startswith(PYTHON_PICKLE) else _of_bytes


def _of_members(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> str:
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            return f"{name} is gone"
        if name not in old:
            return f"{name} is new"
        if old[name] != new[name]:
            return f"{name}: {first_difference(name, old[name], new[name])}"
    return ""


def _zipped(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _archived(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {member.name: file.read() for member in archive if (file := archive.extractfile(member))}


def _of_values(old: Any, new: Any, key: str = "") -> str:
    """Return where two JSON documents differ; a key is written as in params.yaml, a.b.0."""
    if isinstance(old, dict) and isinstance(new, dict):
        pairs: Iterator[tuple[str, Any, Any]] = (
            (one, old.get(one, _NONE), new.get(one, _NONE)) for one in {**old, **new}
        )
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            return f"{key or 'the list'} has {len(new)} entries, locked are {len(old)}"
        pairs = ((str(place), one, other) for place, (one, other) in enumerate(zip(old, new, strict=True)))
    else:
        return "" if _same(old, new) else f"{key + ' ' if key else ''}is {_show(new)}, locked is {_show(old)}"
    for name, one, other in pairs:
        place = f"{key}.{name}" if key else name
        if one is _NONE or other is _NONE:
            return f"{place} is {'new' if one is _NONE else 'gone'}"
        if said := _of_values(one, other, place):
            return said
    return ""


def _of_csv(old: bytes, new: bytes) -> str:
    (head, *rows), (new_head, *new_rows) = (list(csv.reader(io.StringIO(one.decode()))) for one in (old, new))
    if head != new_head:
        return f"its columns are {', '.join(new_head)}, locked are {', '.join(head)}"
    for number, (row, other) in enumerate(zip(rows, new_rows, strict=False)):
        for column, one, two in zip(head, row, other, strict=True):
            if one != two:
                return _cell(column, number, one, two)
    return _counts("rows", len(rows), len(new_rows))


def _of_tables(old: Any, new: Any) -> str:
    if old.schema.names != new.schema.names:
        return f"its columns are {', '.join(new.schema.names)}, locked are {', '.join(old.schema.names)}"
    for name in old.schema.names:
        if old.schema.field(name).type != new.schema.field(name).type:
            return f"column {name} is of type {new.schema.field(name).type}, locked is {old.schema.field(name).type}"
    if old.num_rows != new.num_rows:
        return _counts("rows", old.num_rows, new.num_rows)
    found = []
    for name in old.schema.names:
        one, two = old[name].to_pylist(), new[name].to_pylist()
        row = next((row for row, pair in enumerate(zip(one, two, strict=True)) if not _same(*pair)), None)
        if row is not None:
            found.append((row, _cell(name, row, one[row], two[row])))
    return min(found)[1] if found else ""


def _of_graphs(old: bytes, new: bytes) -> str:
    import onnx

    one, two = (onnx.load_model_from_string(content).graph for content in (old, new))
    tables, others = (
        {part.name: onnx.numpy_helper.to_array(part) for part in graph.initializer} for graph in (one, two)
    )
    for name in [*tables, *(other for other in others if other not in tables)]:
        if name not in others or name not in tables:
            return f"its table {name} is {'gone' if name in tables else 'new'}"
        if said := _of_arrays(tables[name], others[name]):
            return f"its table {name}: {said}"
    for number, (node, other) in enumerate(zip(one.node, two.node, strict=False)):
        if node != other:
            return f"its node {number} ({node.op_type} {node.name}".rstrip() + ") is another"
    return _counts("nodes", len(one.node), len(two.node))


# The parsers are loaded where they are needed: most verifications find no difference.


def _table(content: bytes) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.read_table(pa.BufferReader(content))


def _picture(content: bytes) -> Any:
    from matplotlib.image import imread

    return imread(io.BytesIO(content))


def _array(content: bytes) -> Any:
    return np.load(io.BytesIO(content), allow_pickle=False)


def _of_arrays(old: Any, new: Any, what: str = "element") -> str:
    if old.shape != new.shape or old.dtype != new.dtype:
        return f"it is {new.dtype}{list(new.shape)}, locked is {old.dtype}{list(old.shape)}"
    if old.dtype.names:
        other = np.array([[one[name].tobytes() != two[name].tobytes() for name in old.dtype.names]
                          for one, two in zip(old.ravel(), new.ravel(), strict=True)])  # fmt: skip
    else:
        other = ~((old == new) | ((old != old) & (new != new)))
    places = np.argwhere(other)
    if not len(places):
        return ""
    where = tuple(int(place) for place in places[0])
    if old.dtype.names:
        name = old.dtype.names[where[1]]
        return f"{name} of {what} {where[0]} is {_show(new.ravel()[where[0]][name])}, locked is {_show(old.ravel()[where[0]][name])}"
    return f"{what} {list(where)} is {_show(new[where])}, locked is {_show(old[where])}"


def _of_lines(old: bytes, new: bytes) -> str:
    lines, others = old.decode().splitlines(), new.decode().splitlines()
    for number, (one, two) in enumerate(zip(lines, others, strict=False), 1):
        if one != two:
            return f"line {number} is {_show(two)}, locked is {_show(one)}"
    return _counts("lines", len(lines), len(others))


def _of_bytes(old: bytes, new: bytes) -> str:
    place = next(
        (at for at, (one, two) in enumerate(zip(old, new, strict=False)) if one != two), min(len(old), len(new))
    )
    return f"{_counts('bytes', len(old), len(new)) or 'of equal length'}; the first that differs is byte {place}"


def _counts(what: str, old: int, new: int) -> str:
    return "" if old == new else f"it has {new:,} {what}, locked are {old:,}"


def _cell(column: str, row: int, old: object, new: object) -> str:
    return f"column {column}, row {row} is {_show(new)}, locked is {_show(old)}"


def _same(old: Any, new: Any) -> bool:
    return type(old) is type(new) and (old == new or (old != old and new != new))


def _show(value: object) -> str:
    text = str(value) if isinstance(value, (int, float, np.generic)) else repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


_NONE = object()
