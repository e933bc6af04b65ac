"""Test that what was refused is shown by reason, and that a corrected row enters by the next run."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from samples import contract, frame

from hearth.cli import main
from hearth.quarantined import by_reason
from hearth.stages import collect, validate
from hearth.tables import reasons


def refused(**cells: Any) -> pd.DataFrame:
    """Return rows with these cells, and why each was refused."""
    rows = frame(len(next(iter(cells.values())))).assign(**cells)
    return rows.assign(reasons=reasons(rows, contract()))


def test_rows_are_grouped_by_reason_whatever_their_values() -> None:
    found = by_reason(refused(bedrooms=[33, 40, 3], grade=[7, 99, 99]), contract(), 2)
    assert [(one.rows, one.alone) for one in found] == [(2, 1), (2, 1)]
    assert found[0].reason.startswith("bedrooms: wanted a whole number from 0 to ")
    assert [example["bedrooms"] for example in found[0].examples] == [33, 40]
    assert set(found[0].examples[0]) == {"id", "date", "bedrooms"}
    assert json.loads(found[0].model_dump_json())["rows"] == 2


def test_the_most_frequent_reason_comes_first_with_no_more_examples_than_asked_for() -> None:
    found = by_reason(refused(bedrooms=[33, 3, 3, 3], grade=[7, 99, 99, 99]), contract(), 1)
    assert [one.rows for one in found] == [3, 1]
    assert [len(one.examples) for one in found] == [1, 1]
    assert by_reason(refused(grade=[99]), contract(), 0)[0].examples == ()


def test_an_empty_cell_is_a_reason_of_its_own_and_a_rule_names_its_columns() -> None:
    rows = refused(sqft_living=pd.array([None, 100], dtype="Int64"), sqft_above=[1000, 1000], sqft_basement=[0, 0])
    found = {one.reason: one for one in by_reason(rows, contract(), 3)}
    assert any(reason.startswith("sqft_living: empty, wanted ") for reason in found)
    rule = next(reason for reason in found if "sqft_above" in reason and "==" in reason)
    assert {"sqft_living", "sqft_above", "sqft_basement"} <= set(found[rule].examples[0])


def test_nothing_refused_is_no_reason() -> None:
    assert by_reason(refused(grade=[7])[:0], contract(), 3) == []


@pytest.fixture
def project(workspace: Path) -> Path:
    """Deliver two rows that break the contract, and run the road up to validate."""
    (workspace / "dvc.yaml").touch()
    source = workspace / "data/source/house_sales.parquet"
    rows = pd.read_parquet(source)
    rows.loc[[5 * 12, 9 * 12], "bedrooms"] = 33
    rows.to_parquet(source, index=False)
    collect.main()
    validate.main()
    return workspace


def test_what_was_refused_is_shown_and_a_corrected_row_enters_by_the_next_run(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["quarantine"]) == 0
    said = capsys.readouterr().out
    assert "2 refused" in said
    assert "2 × bedrooms: wanted a whole number from 0 to 15" in said
    assert said.count("bedrooms 33") == 2
    assert main(["quarantine", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["rows"], document["reasons"][0]["alone"]) == (2, 2)
    assert main(["quarantine", "-o", "refused.csv"]) == 0
    written = pd.read_csv(project / "refused.csv")
    assert written["bedrooms"].tolist() == [33, 33]
    source = project / "data/source/house_sales.parquet"
    rows = pd.read_parquet(source)
    rows.loc[rows["bedrooms"] == 33, "bedrooms"] = 3
    rows.to_parquet(source, index=False)
    collect.main()
    validate.main()
    capsys.readouterr()
    assert main(["quarantine"]) == 0
    assert "no row is refused" in capsys.readouterr().out


def test_what_could_not_be_read_is_shown_too_and_nothing_is_lost(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace / "dvc.yaml").touch()
    params = Path("params.yaml").read_text()
    Path("params.yaml").write_text(
        params.replace("house_sales.parquet", "sales.csv").replace("as_of: '2015-03-01'", "as_of: '2015-07-01'")
    )
    rows = pd.read_parquet("data/source/house_sales.parquet").astype(str)
    rows.iloc[5, rows.columns.get_loc("price")] = "1,234,000"
    rows.iloc[6, rows.columns.get_loc("date")] = "13/10/2014"
    lines = rows.to_csv(index=False).splitlines()
    lines[20] = ",".join(lines[20].split(",")[:5])
    Path("data/source/sales.csv").write_text("\n".join(lines) + "\n")
    collect.main()
    validate.main()
    capsys.readouterr()
    assert main(["quarantine"]) == 0
    said = capsys.readouterr().out
    assert "3 refused" in said
    for reason in (
        "price: wanted a whole number from 10000",
        "date: wanted a date as YYYY-MM-DD",
        "the row has 5 cells, wanted 21 as in the header",
    ):
        assert f"1 × {reason}" in said
    assert sum(
        map(len, map(pd.read_parquet, ("data/validated/sales.parquet", "data/validated/quarantine.parquet")))
    ) == len(rows)
    Path("data/source/sales.csv").write_text(pd.read_parquet("data/source/house_sales.parquet").to_csv(index=False))
    collect.main()
    validate.main()
    capsys.readouterr()
    assert main(["quarantine"]) == 0
    assert f"no row is refused for that; {len(rows):,} are accepted" in capsys.readouterr().out


def test_reasons_are_asked_for_by_a_text(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["quarantine", "--reason", "grade"]) == 0
    assert capsys.readouterr().out.startswith("no row is refused for that; ")


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--examples", "-1"], "--examples -1 is below 0"), (["-o", "refused.txt"], "does not end with .csv")],
)
def test_wrong_use_is_told(project: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert main(["quarantine", *words]) == 2
    assert said in capsys.readouterr().err


def test_without_a_run_it_says_what_makes_one(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workspace / "dvc.yaml").touch()
    assert main(["quarantine"]) == 1
    assert "data/validated/quarantine.parquet does not exist" in capsys.readouterr().err
