"""Test that what is forgotten goes nowhere: not into the raw table, the accepted rows or the quarantine, whatever is collected again."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from samples import contract

from hearth.cells import Notation, typed
from hearth.forgotten import Mark, mark_of, with_mark
from hearth.parquet import read_frame
from hearth.paths import FORGOTTEN, QUARANTINE, RAW, VALIDATED
from hearth.stages import collect, validate


def collected(*marks: Mark) -> tuple[int, int, int]:
    """Return how many rows are raw, accepted and quarantined with these records on the list."""
    text = "# a head\n"
    for mark in marks:
        text = with_mark(text, mark)
    FORGOTTEN.write_text(text)
    collect.main()
    validate.main()
    return len(pd.read_parquet(RAW)), len(read_frame(VALIDATED)), len(read_frame(QUARANTINE))


def test_a_forgotten_record_is_in_no_table(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = workspace / "data/source/house_sales.parquet"
    rows = pd.read_parquet(source)
    rows.loc[rows.index[3], "bedrooms"] = 33
    rows.to_parquet(source, index=False)
    refused, accepted = rows.iloc[3], rows.iloc[5]
    before = collected()
    assert before[0] == before[1] + before[2]
    marks = [
        mark_of({"id": int(refused["id"]), "date": refused["date"]}, contract()),
        mark_of({"id": int(accepted["id"])}, contract()),
    ]
    capsys.readouterr()
    now = collected(*marks)
    assert now == (before[0] - 2, before[1] - 1, before[2] - 1)
    assert "2 are forgotten" in capsys.readouterr().out
    assert not set(pd.read_parquet(RAW)["id"]) & {refused["id"], accepted["id"]}
    assert collected() == before, "a line that is taken away lets its record in again"


def test_a_private_cell_that_cannot_be_read_stands_in_no_reason() -> None:
    from samples import changed

    known = changed({"income": {"type": "integer", "unit": "dollar", "role": "sensitive", "meaning": "Of the owner."}})
    cells = {column.name: pa.array(["x planted"]) for column in known.columns}
    found = typed(pa.table(cells), known, "x.csv", Notation())
    (reasons,) = found["reasons"].to_pylist()
    assert "grade: x planted" in reasons
    assert "income" not in reasons
    assert found["income"].to_pylist() == [None]
