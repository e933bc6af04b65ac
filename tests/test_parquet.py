"""Test that tables keep their rows and types, and that the same rows are the same bytes."""

import datetime
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from samples import contract, frame, houses, sales

from hearth.errors import Refusal
from hearth.parquet import columns_of, read_arrow, read_frame, to_frame, write_arrow, write_frame
from hearth.tables import arrow_schema

TABLE = pa.table({
    "whole": pa.array([1, None, 2**53 + 1], pa.int64()),
    "number": pa.array([0.5, None, -0.0]),
    "flag": pa.array([True, None, False]),
    "day": pa.array([datetime.date(2014, 5, 2), None, datetime.date(2049, 12, 31)]),
    "text": pa.array(["a", None, "ö"]),
})  # fmt: skip


def refused(path: Path) -> str:
    with pytest.raises(Refusal) as caught:
        read_arrow(path)
    return str(caught.value)


def test_rows_and_types_survive(tmp_path: Path) -> None:
    write_arrow(tmp_path / "t.parquet", TABLE)
    assert read_arrow(tmp_path / "t.parquet").equals(TABLE)
    write_frame(tmp_path / "f.parquet", read_frame(tmp_path / "t.parquet"), TABLE.schema)
    assert read_arrow(tmp_path / "f.parquet").equals(TABLE)


def test_an_empty_cell_does_not_turn_whole_numbers_into_floats() -> None:
    found = to_frame(TABLE)
    assert [str(kind) for kind in found.dtypes] == ["Int64", "Float64", "boolean", "datetime64[ms]", "str"]
    assert found["whole"].tolist() == [1, pd.NA, 2**53 + 1]


def test_the_same_rows_are_the_same_bytes(tmp_path: Path) -> None:
    """Whatever the path, the index, the chunks and the notes that pandas would add."""
    rows = frame(50)
    schema = arrow_schema(contract().columns)
    write_frame(tmp_path / "a.parquet", rows, schema)
    write_frame(tmp_path / "else where" / "b.parquet", rows.set_index(rows.index + 7), schema)
    write_arrow(tmp_path / "c.parquet", sales(houses(50)).replace_schema_metadata({"machine": "mine"}))
    write_arrow(tmp_path / "d.parquet", pa.concat_tables([sales(houses(50)).slice(0, 20), sales(houses(50)).slice(20)]))
    written = [path.read_bytes() for path in sorted(tmp_path.rglob("*.parquet"))]
    assert len(written) == 4
    assert len(set(written)) == 1


def test_other_rows_are_other_bytes(tmp_path: Path) -> None:
    write_frame(tmp_path / "a.parquet", frame(50))
    write_frame(tmp_path / "b.parquet", frame(50, seed=1))
    assert (tmp_path / "a.parquet").read_bytes() != (tmp_path / "b.parquet").read_bytes()


def test_no_note_of_pandas_is_written(tmp_path: Path) -> None:
    write_frame(tmp_path / "a.parquet", frame(3))
    assert pq.read_schema(tmp_path / "a.parquet").metadata is None


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "no.parquet"
    assert refused(path).startswith(f"{path} does not exist; `make run` makes or pulls it")


@pytest.mark.parametrize("keep", [0, 3, 100, -1, -8, -200])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "t.parquet"
    write_arrow(path, sales(houses(50)))
    path.write_bytes(path.read_bytes()[:keep])
    said = refused(path)
    assert said.startswith(f"{path} is not a whole parquet file (")
    assert said.endswith("; fetch or write it again.")


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_text("id,date\n1,2014-05-02\n" * 100)
    assert refused(path).startswith(f"{path} is not a whole parquet file (")


def test_a_folder_without_a_table_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path).startswith(f"{tmp_path} is a folder without a parquet file")


def test_a_folder_of_tables_is_one_table_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, part in (("2015-02", TABLE.slice(1)), ("2015-01", TABLE.slice(0, 1))):
        write_arrow(tmp_path / f"{name}.parquet", part)
    assert read_arrow(tmp_path).equals(TABLE)
    (tmp_path / "2015-02.parquet").write_bytes(b"")
    assert refused(tmp_path).startswith(f"{tmp_path}/2015-02.parquet is not a whole parquet file (")


def test_a_write_that_fails_leaves_the_old_table(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_arrow(path, TABLE)
    before = shutil.copy(path, tmp_path / "before").read_bytes()
    with pytest.raises(pa.ArrowInvalid):
        write_frame(path, frame(3).assign(lat="x"), arrow_schema(contract().columns))
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["before", "t.parquet"]


def test_columns_are_numpy_arrays_with_missing_values_as_nan() -> None:
    found = columns_of(to_frame(TABLE))
    assert {name: str(values.dtype) for name, values in found.items()} == {
        "whole": "float64", "number": "float64", "flag": "float64", "day": "datetime64[D]", "text": "object",
    }  # fmt: skip
    np.testing.assert_array_equal(found["number"], [0.5, np.nan, -0.0])
    np.testing.assert_array_equal(found["flag"], [1, np.nan, 0])
    np.testing.assert_array_equal(found["day"], np.array(["2014-05-02", "NaT", "2049-12-31"], dtype="datetime64[D]"))
    assert found["text"].tolist()[0] == "a"
    assert pd.isna(found["text"][1])
