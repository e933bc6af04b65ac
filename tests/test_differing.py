"""Test that a difference is told in the words of its kind: key, column, row, table, pixel, member, line."""

import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Mapping
from typing import Any

import matplotlib.image
import numpy as np
import onnx
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.differing import Content, first_difference


def parquet(**columns: Any) -> bytes:
    return pd.DataFrame(columns).to_parquet(index=False)


def npy(values: Any) -> bytes:
    np.save(buffer := io.BytesIO(), values)
    return buffer.getvalue()


def picture(values: Any) -> bytes:
    matplotlib.image.imsave(buffer := io.BytesIO(), values, format="png")
    return buffer.getvalue()


def bento(files: Mapping[str, bytes]) -> bytes:
    with tarfile.open(fileobj=(buffer := io.BytesIO()), mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return lzma.compress(buffer.getvalue())


def zipped(files: Mapping[str, bytes]) -> bytes:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def graph(table: Any, operator: str = "Identity") -> bytes:
    helper, tensor = onnx.helper, onnx.numpy_helper.from_array(np.asarray(table, dtype=np.float32), "leaf")
    output = helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, None)
    node = helper.make_node(operator, ["leaf"], ["out"])
    return helper.make_model(helper.make_graph([node], "trees", [], [output], [tensor])).SerializeToString()


BLACK = np.zeros((2, 3, 3))
SPOT = BLACK.copy()
SPOT[1, 2, 0] = 1


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("a.json", b'{"a": {"b": [1, 2]}}', b'{"a": {"b": [1, 3]}}', "a.b.1 is 3, locked is 2"),
        ("a.json", b'{"a": 1}', b'{"a": 1.0}', "a is 1.0, locked is 1"),
        ("a.json", b'{"a": 1}', b'{"b": 1}', "a is gone"),
        ("a.json", b"{}", b'{"b": null}', "b is new"),
        ("a.json", b"[1]", b"[1, 2]", "the list has 2 entries, locked are 1"),
        ("a.json", b'{"a": 1, "b": 2}', b'{"b": 2, "a": 1}', "of equal length; the first that differs is byte 2"),
        ("a.csv", b"a,b\n1,2\n3,4\n", b"a,b\n1,2\n3,5\n", "column b, row 1 is '5', locked is '4'"),
        ("a.csv", b"a,b\n1,2\n", b"a,c\n1,2\n", "its columns are a, c, locked are a, b"),
        ("a.csv", b"a\n1\n", b"a\n1\n2\n", "it has 2 rows, locked are 1"),
        ("a.parquet", parquet(a=[1, 2], b=["x", "y"]), parquet(a=[1, 2], b=["x", "z"]), "column b, row 1 is 'z', locked is 'y'"),
        ("a.parquet", parquet(a=[1, 2], b=[1, 2]), parquet(a=[1, 3], b=[2, 2]), "column b, row 0 is 2, locked is 1"),
        ("a.parquet", parquet(a=[1.5]), parquet(a=[1]), "column a is of type int64, locked is double"),
        ("a.parquet", parquet(a=[1]), parquet(b=[1]), "its columns are b, locked are a"),
        ("a.parquet", parquet(a=[1]), parquet(a=[1, 1]), "it has 2 rows, locked are 1"),
        ("a.npy", npy([[1, 2], [3, 4]]), npy([[1, 2], [3, 5]]), "element [1, 1] is 5, locked is 4"),
        ("a.npy", npy([1.0, np.nan]), npy([1.0, 2.0]), "element [1] is 2.0, locked is nan"),
        ("a.npy", npy([1.0]), npy([1.0, 2.0]), "it is float64[2], locked is float64[1]"),
        ("a.npy", npy(np.array([(1, 2.0)], [("a", int), ("b", float)])), npy(np.array([(1, 3.0)], [("a", int), ("b", float)])),
         "b of element 0 is 3.0, locked is 2.0"),
        ("a.png", picture(BLACK), picture(SPOT), "pixel [1, 2, 0] is 1.0, locked is 0.0"),
        ("a.onnx", graph([1, 2]), graph([1, 4]), "its table leaf: element [1] is 4.0, locked is 2.0"),
        ("a.onnx", graph([1, 2]), graph([1, 2], "Abs"), "its node 0 (Identity) is another"),
        ("a.bento", bento({"b.json": b"{}", "c": b"1"}), bento({"b.json": b'{"k": 1}', "c": b"2"}), "b.json: k is new"),
        ("a.bento", bento({"b": b""}), bento({}), "b is gone"),
        ("a.zip", zipped({"b": b"one\ntwo\n"}), zipped({"b": b"one\nthree\n"}), "b: line 2 is 'three', locked is 'two'"),
        ("a.txt", b"one\ntwo\n", b"one\n", "it has 1 lines, locked are 2"),
        ("a.bin", b"\0\1\2", b"\0\1\3\4", "it has 4 bytes, locked are 3; the first that differs is byte 2"),
        ("a", {"x": b"1", "y.csv": b"a\n1\n"}, {"x": b"1", "y.csv": b"a\n2\n"}, "y.csv: column a, row 0 is '2', locked is '1'"),
        ("a", {"x": b"1"}, {"x": b"1", "z": b""}, "z is new"),
        ("a", {"x": b"1"}, b"1", "it was a folder and is a file"),
    ],
)  # fmt: skip
def test_each_kind_is_told_in_its_own_words(name: str, old: Content, new: Content, said: str) -> None:
    assert first_difference(name, old, new) == said


@pytest.mark.parametrize(
    "ending", ["json", "csv", "parquet", "npy", "png", "onnx", "bento", "zip", "npz", "tar", "txt", ""]
)
@given(old=st.binary(max_size=40), new=st.binary(max_size=40))
def test_whatever_stands_in_a_file_its_difference_is_told(ending: str, old: bytes, new: bytes) -> None:
    if old != new:
        said = first_difference(f"a.{ending}", old, new)
        assert said
        assert "\n" not in said


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, VALUES)
def test_two_documents_differ_in_words_exactly_if_they_differ(old: Any, new: Any) -> None:
    one, two = (json.dumps(value, sort_keys=True).encode() for value in (old, new))
    if one != two:
        assert "the first that differs is byte" not in first_difference("a.json", one, two)
