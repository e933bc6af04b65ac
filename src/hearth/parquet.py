"""Read and write tables, always the same bytes for the same rows."""

from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hearth.errors import Refusal
from hearth.rules import Columns
from hearth.storage import replacing


def read_arrow(path: Path) -> pa.Table:
    """Return the rows of a parquet file, or of a folder of them by name; refuse what is missing, cut off or no parquet at all."""
    try:
        if path.is_dir():
            if parts := sorted(path.glob("*.parquet")):
                return pa.concat_tables([_read(part) for part in parts])
            raise Refusal(f"{path} is a folder without a parquet file; `dvc checkout` brings back the last good one.")
        return _read(path)
    except FileNotFoundError:
        raise Refusal(
            f"{path} does not exist; `make run` makes or pulls it, `dvc checkout` brings back the last good one."
        ) from None


def _read(path: Path) -> pa.Table:
    with path.open("rb") as file:
        return arrow_of(file, str(path))


def arrow_of(content: IO[bytes] | bytes, where: str) -> pa.Table:
    """Return the rows of a parquet file's content; `where` names it."""
    try:
        return pq.read_table(pa.BufferReader(content) if isinstance(content, bytes) else content)
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise Refusal(f"{where} is not a whole parquet file ({reason}); fetch or write it again.") from None


def read_frame(path: Path) -> pd.DataFrame:
    """Return the rows of a parquet file with pandas' nullable types."""
    return to_frame(read_arrow(path))


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Return a frame with pandas' nullable types, so that an empty cell does not turn whole numbers into floats."""
    types = {
        pa.int64(): pd.Int64Dtype(),
        pa.float64(): pd.Float64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }
    frame: pd.DataFrame = table.to_pandas(date_as_object=False, types_mapper=types.get)
    return frame


def columns_of(frame: pd.DataFrame) -> Columns:
    """Return the frame's columns as numpy arrays: days as datetime64[D], missing numbers as NaN."""
    columns = {}
    for name in frame.columns:
        values = frame[name]
        if values.dtype.kind == "M":
            columns[name] = values.to_numpy().astype("datetime64[D]")
        elif isinstance(values.dtype, (pd.Int64Dtype, pd.Float64Dtype, pd.BooleanDtype)):
            columns[name] = values.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            columns[name] = values.to_numpy()
    return columns


def write_arrow(path: Path, table: pa.Table) -> None:
    """Write rows without the metadata that differs from machine to machine."""
    with replacing(path) as file:
        pq.write_table(table.replace_schema_metadata(None), file, compression="zstd")


def write_frame(path: Path, frame: pd.DataFrame, schema: pa.Schema | None = None) -> None:
    """Write a frame without its index, cast to `schema` where one is given."""
    write_arrow(path, pa.Table.from_pandas(frame, schema=schema, preserve_index=False))
