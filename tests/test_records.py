"""Test how rows come out of files and go into them: in chunks, row by row where one is bad, the same bytes each time."""

import csv
import datetime
import gzip
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hearth.errors import Refusal
from hearth.lines import LINE_MAX
from hearth.records import GROUP_ROWS, beside, ending, form, reading, writing

OWN = ("row", "price")
TEXT_FORMS = ("x.csv", "x.csv.gz", "x.jsonl", "x.jsonl.gz", "x.ndjson", "x.ndjson.gz")
ROWS = [{"row": 0, "name": "Straße, 1", "price": 5}, {"row": 1, "name": None, "price": 6}]


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content) if path.name.endswith(".gz") else content)
    return path


def read(path: Path, size: int = 2) -> list[Any]:
    with reading(path, size) as source:
        return [row for rows, _ in source.chunks for row in rows]


def refused(path: Path, content: bytes | None = None) -> str:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Refusal) as caught:
        read(path)
    return str(caught.value).replace(f"{path.parent}/", "")


def write(path: Path, rows: Any = ROWS, names: Any = ("row", "name", "price"), types: Any = None) -> bytes:
    with writing(path, OWN, names, types or {}) as sink:
        sink.write(rows)
    return path.read_bytes()


# Names


@pytest.mark.parametrize(
    ("name", "end", "kind"),
    [("a.parquet", ".parquet", "parquet"), ("a.b.csv", ".csv", "csv"), ("a.CSV.gz", ".CSV.gz", "csv"),
     ("a.jsonl", ".jsonl", "jsonl"), ("a.ndjson.gz", ".ndjson.gz", "jsonl")],
)  # fmt: skip
def test_the_ending_says_the_format(name: str, end: str, kind: str) -> None:
    assert (ending(Path(name)), form(Path(name))) == (end, kind)
    assert beside(Path("x", name), "refused", ".csv") == Path("x", f"{name.removesuffix(end)}.refused.csv")


@pytest.mark.parametrize("name", ["a", "a.json", "a.txt", "a.gz", "a.parquet.gz", "csv", ".csv", "a.csv.zip", "-"])
def test_another_ending_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"has none of the endings \.parquet, \.csv"):
        ending(Path(name))


# Reading


@pytest.mark.parametrize("name", TEXT_FORMS[:2])
def test_a_csv_is_read_cell_by_cell(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / name, '\ufeffa,b\n1,"x, ""y""\nz"\n\n,Straße\r\n3,4'.encode())
    assert read(path) == [
        (0, {"a": "1", "b": 'x, "y"\nz'}, ""),
        (1, {"a": "", "b": "Straße"}, ""),
        (2, {"a": "3", "b": "4"}, ""),
    ]


@pytest.mark.parametrize("name", TEXT_FORMS[2:])
def test_json_lines_are_read_line_by_line(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / name, '\ufeff{"a": 1, "b": null}\n\n {"c": [1.5, "ß"]}\r\n{}'.encode())
    assert read(path) == [(0, {"a": 1, "b": None}, ""), (1, {"c": [1.5, "ß"]}, ""), (2, {}, "")]


def test_a_parquet_file_is_read_with_its_types(tmp_path: Path) -> None:
    day = datetime.date(2015, 2, 15)
    table = pa.table({"a": pa.array([1, None, 3], pa.int32()), "d": [day, None, day]})
    pq.write_table(table, tmp_path / "x.parquet")
    with reading(tmp_path / "x.parquet", 2) as source:
        assert (source.names, source.types) == (["a", "d"], {"a": pa.int32(), "d": pa.date32()})
        assert (source.total, source.unit) == (3, "row")
        chunks = list(source.chunks)
    assert chunks == [
        ([(0, {"a": 1, "d": day}, ""), (1, {"a": None, "d": None}, "")], 2),
        ([(2, {"a": 3, "d": day}, "")], 1),
    ]


@pytest.mark.parametrize("name", TEXT_FORMS)
def test_chunks_say_how_far_the_file_is_read(tmp_path: Path, name: str) -> None:
    line = b'{"a": 1}\n' if "json" in name else b"1,2\n"
    path = put(tmp_path / name, (b"" if "json" in name else b"a,b\n") + line * 5000)
    with reading(path, 1000) as source:
        assert (source.total, source.unit) == (path.stat().st_size, "B")
        sizes, done = zip(*[(len(rows), more) for rows, more in source.chunks], strict=True)
    assert set(sizes) == {1000}
    assert sum(done) == source.total


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"1", "the row has 1 cells, wanted 2 as in the header"),
        (b"1,2,3,x y", "the row has 4 cells, wanted 2 as in the header; the last are '3', 'x y'"),
        (b"1,Stra\xdfe", "the row is not UTF-8"),
    ],
)
def test_a_bad_line_of_a_csv_is_one_bad_row(tmp_path: Path, line: bytes, fault: str) -> None:
    rows = read(put(tmp_path / "x.csv", b"a,b\n1,2\n" + line + b"\n3,4\n"))
    assert [row.fault for row in rows] == ["", fault, ""]
    assert [row.number for row in rows] == [0, 1, 2]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b'{"a": 1', "the line is not good JSON (Expecting"),
        (b'{"a": 1, "a": 2}', "the line is not good JSON (the key 'a' stands twice)"),
        (b'{"a": NaN}', "the line is not good JSON (NaN is no JSON number)"),
        (b'{"a": "\xdf"}', "the line is not good JSON ('utf-8' codec can't decode"),
        (b"[" * 100_000, "the line is not good JSON (maximum recursion"),
        (b"9" * 5000, "the line is not good JSON (Exceeds the limit"),
        (b"[1]", "the line is no object with the fields of a house"),
        (b"7", "the line is no object with the fields of a house"),
    ],
)
def test_a_bad_line_of_json_is_one_bad_row(tmp_path: Path, line: bytes, fault: str) -> None:
    rows = read(put(tmp_path / "x.jsonl", b'{"a": 1}\n' + line + b'\n{"a": 2}\n'))
    assert [bool(row.fault) for row in rows] == [False, True, False]
    assert rows[1].fault.startswith(fault)
    assert rows[1].cells == {"line": line.decode(errors="replace")}


def test_a_number_beyond_all_floats_stays_a_text(tmp_path: Path) -> None:
    assert read(put(tmp_path / "x.jsonl", b'{"a": 1e400}'))[0].cells == {"a": "1e400"}


@pytest.mark.parametrize("name", [*TEXT_FORMS, "x.parquet"])
def test_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    assert refused(tmp_path / name) == f"{name} does not exist; check its name."


def test_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").mkdir()
    assert "x.csv cannot be read (Is a directory)" in refused(tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "x.csv is empty; wanted a header and rows.", id="nothing"),
        pytest.param(b"\n\n", "x.csv is empty; wanted a header and rows.", id="empty lines"),
        pytest.param(b"a;b\n1;2\n", "x.csv has the header 'a;b', wanted commas between the columns; save it so.", id="semicolons"),
        pytest.param(b"a\tb\n1\t2\n", "x.csv has the header 'a\\tb', wanted commas", id="tabs"),
        pytest.param("a,b\n1,2\n".encode("utf-16"), "x.csv is not UTF-8; save it as UTF-8.", id="UTF-16"),
        pytest.param(b"Stra\xdfe,b\n1,2\n", "x.csv is not UTF-8; save it as UTF-8.", id="Latin-1 in the header"),
        pytest.param(b"a,b,a\n1,2,3\n", "x.csv has the column a more than once; keep one.", id="doubled column"),
        pytest.param(b'a,b\n1,2\n"x"y,2\n', "x.csv: line 3 is no line of a CSV (',' expected after '\"'); mend its quotes.", id="bad quotes"),
        pytest.param(b'a,b\n1,"2\n3,4\n', "x.csv: line 3 is no line of a CSV (unexpected end of data); mend its quotes.", id="open quote"),
        pytest.param(b"a,b\n1," + b"2" * LINE_MAX, f"x.csv: line 2 is longer than {LINE_MAX:,} bytes; wanted a row on each line.", id="long line"),
        pytest.param(b'a,b\n1,"' + b"2,2,2,2\n" * LINE_MAX, "is no line of a CSV (field larger than field limit (131072)); mend its quotes.", id="endless cell"),
    ],
)  # fmt: skip
def test_what_is_no_csv_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    assert said in refused(tmp_path / "x.csv", content)


def test_a_file_on_one_line_is_refused_as_json_lines(tmp_path: Path) -> None:
    said = refused(tmp_path / "x.jsonl", b"[" + b'{"a": 1}, ' * 20_000)
    assert said == f"x.jsonl: line 1 is longer than {LINE_MAX:,} bytes; wanted a row on each line."


@pytest.mark.parametrize("name", ["x.csv.gz", "x.jsonl.gz"])
@pytest.mark.parametrize("spoil", [lambda b: b[:-20], lambda b: b[:40], lambda b: b"a,b\n" + b, lambda b: b[:30] + b"x" * 30 + b[60:]])  # fmt: skip
def test_what_is_no_whole_gzip_file_is_refused(tmp_path: Path, name: str, spoil: Any) -> None:
    content = gzip.compress(os.urandom(3000).hex().encode() + b"\n" + b"1,2\n" * 1000)
    assert f"{name} is not a whole gzip file" in refused(tmp_path / name, spoil(content))


@pytest.mark.parametrize("spoil", [lambda b: b[:0], lambda b: b[:-20], lambda b: b"a,b\n" + b[:9], lambda b: b[:4] + b"x" * 300 + b[304:]])  # fmt: skip
def test_what_is_no_whole_parquet_file_is_refused(tmp_path: Path, spoil: Any) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": [os.urandom(8).hex() for _ in range(1000)]}), path)
    assert refused(path, spoil(path.read_bytes())).startswith("x.parquet is not a whole parquet file (")


def test_a_day_that_python_cannot_hold_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array([10_000_000], pa.date32())}), tmp_path / "x.parquet")
    assert "x.parquet is not a whole parquet file (" in refused(tmp_path / "x.parquet")


def test_a_doubled_column_of_a_parquet_file_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), tmp_path / "x.parquet")
    assert refused(tmp_path / "x.parquet") == "x.parquet has the column a more than once; keep one."


# Writing


@pytest.mark.parametrize("name", [*TEXT_FORMS, "x.parquet"])
def test_the_same_rows_are_the_same_bytes(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write(tmp_path / name)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    (tmp_path / "other").mkdir()
    assert write(tmp_path / "other" / name) == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", name]


def test_a_csv_is_written_with_texts(tmp_path: Path) -> None:
    row = {"row": 1, "name": 'x, "y"', "price": 2.5, "b": True, "d": datetime.date(2015, 2, 15), "w": ["a: 1", "b"], "j": {"k": [1]},
           "n": None, "u": "ß\udc80"}  # fmt: skip
    content = write(tmp_path / "x.csv", [row], list(row))
    assert next(csv.DictReader(content.decode().splitlines())) == {
        "row": "1", "name": 'x, "y"', "price": "2.5", "b": "true", "d": "2015-02-15", "w": "a: 1; b", "j": '{"k": [1]}', "n": "", "u": "ß?",
    }  # fmt: skip
    assert content.count(b"\n") == 2
    assert b"\r" not in content


def test_json_lines_are_written_as_json(tmp_path: Path) -> None:
    row = {
        "row": 1,
        "x": math.nan,
        "in": {"l": [math.inf, 1.5]},
        "d": datetime.date(2015, 2, 15),
        "big": 10**30,
        "w": ["ß"],
        "u": "\ud800",
    }
    content = write(tmp_path / "x.jsonl", [row, {"other": True}])
    assert [json.loads(line) for line in content.splitlines()] == [
        {"row": 1, "x": None, "in": {"l": [None, 1.5]}, "d": "2015-02-15", "big": 10**30, "w": ["ß"], "u": "\ud800"},
        {"other": True},
    ]
    assert "ß".encode() in content


def test_a_parquet_file_keeps_types_and_has_texts_for_the_rest(tmp_path: Path) -> None:
    rows = [
        {"row": 1, "d": datetime.date(2015, 2, 15), "k": 7, "w": ["a", "b"]},
        {"row": 2, "d": None, "k": None, "w": []},
    ]
    write(tmp_path / "x.parquet", rows, ["row", "d", "k", "w"], {"row": pa.int64(), "d": pa.date32()})
    found = pq.read_table(tmp_path / "x.parquet")
    assert [str(kind) for kind in found.schema.types] == ["int64", "date32[day]", "string", "string"]
    assert found.to_pylist() == [rows[0] | {"k": "7", "w": "a; b"}, rows[1] | {"w": ""}]
    assert not found.schema.metadata


def test_row_groups_do_not_follow_the_chunks(tmp_path: Path) -> None:
    """A group for each chunk of a few thousand rows would compress badly."""
    with writing(tmp_path / "x.parquet", OWN, ["row"], {"row": pa.int64()}) as sink:
        for start in range(0, 100_000, 1000):
            sink.write([{"row": place} for place in range(start, start + 1000)])
    found = pq.ParquetFile(tmp_path / "x.parquet")
    assert found.metadata.num_row_groups == 2
    assert found.metadata.row_group(0).num_rows >= GROUP_ROWS
    assert found.read()["row"].to_pylist() == list(range(100_000))


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_without_names_those_of_the_first_rows_count(tmp_path: Path, name: str) -> None:
    with writing(tmp_path / name, OWN, None, {}) as sink:
        sink.write([])
        sink.write([{"row": 0, "a": 1}, {"row": 1, "b": 2}])
        sink.write([{"row": 2}])
        with pytest.raises(
            Refusal, match=r"row 3 has c, which the first rows do not have; give -o a name that ends with \.jsonl"
        ):
            sink.write([{"row": 3, "c": 1}])
    rows = read(tmp_path / name, 9)
    assert list(rows[0].cells) == ["row", "a", "b"]
    assert len(rows) == 3


@pytest.mark.parametrize(("names", "found"), [(None, list(OWN)), (["row", "a"], ["row", "a"])])
@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_a_table_without_rows_has_its_columns(tmp_path: Path, name: str, names: Any, found: list[str]) -> None:
    write(tmp_path / name, [], names)
    with reading(tmp_path / name, 9) as source:
        assert (source.names, list(source.chunks)) == (found, [])


@pytest.mark.parametrize("name", [*TEXT_FORMS, "x.parquet"])
@pytest.mark.parametrize("fault", [Refusal, KeyboardInterrupt])
def test_what_is_interrupted_leaves_nothing(tmp_path: Path, name: str, fault: type[BaseException]) -> None:
    def begin() -> None:
        with writing(tmp_path / name, OWN, ["row", "name", "price"], {}) as sink:
            sink.write(ROWS)
            raise fault

    with pytest.raises(fault):
        begin()
    assert list(tmp_path.iterdir()) == []
    before = write(tmp_path / name)
    with pytest.raises(fault):
        begin()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]
