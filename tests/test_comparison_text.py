"""Test what is told of a comparison: the sentence, the tables of a terminal, those of a pull request."""

import itertools
from typing import Any

import pytest

from hearth.changes import DataChange, Move, Pair
from hearth.comparison import Comparison, Difference, Side, SliceDifference
from hearth.comparison_text import SHOWN, introduction, markdown, terminal, verdict

SAME = Difference(base=0.1, candidate=0.1, difference=0.0, interval=(-0.01, 0.01), worse_by=(-0.01, 0.01), verdict="no evidence")  # fmt: skip
WORSE = Difference(base=0.1, candidate=0.2, difference=0.1, interval=(0.05, 0.15), worse_by=(0.05, 0.15), verdict="worse")  # fmt: skip
BETTER = Difference(base=0.2, candidate=0.1, difference=-0.1, interval=(-0.15, -0.05), worse_by=(-0.15, -0.05), verdict="better")  # fmt: skip
DATA = DataChange(base_rows=20_000, candidate_rows=21_000, added=1500, gone=500, corrected=3, corrected_columns={"price": 3, "grade": 1},
                  other_columns={"pool": Pair(base="Int64")}, moved=())  # fmt: skip


def part(group: str, mdape: Difference = WORSE, rmse_log: Difference = SAME) -> SliceDifference:
    return SliceDifference(slice="grade", group=group, rows=1234, mdape=mdape, rmse_log=rmse_log)


def comparison(**other: Any) -> Comparison:
    sides = [Side(name=name, commit=commit * 40, model_version=f"2015-05-28-{name}", scored="models/model", scored_version="x")
             for name, commit in (("main", "a"), ("trial", "b"))]  # fmt: skip
    plain: dict[str, Any] = {
        "base": sides[0],
        "candidate": sides[1],
        "rows": 2228,
        "first_day": "2015-03-01",
        "last_day": "2015-05-27",
        "level": 0.95,
        "differences": {"rmse_log": SAME, "mdape": SAME, "bias": SAME, "coverage": SAME},
        "slices": (part("below 6", SAME), part("from 11", SAME)),
        "weeks": (),
        "params": {},
        "metrics": {"rmse": Pair(base=123456.78, candidate=120000.0), "mdape": Pair(base=0.08, candidate=0.07)},
        "gates": Pair(base=True, candidate=False),
        "data": DATA,
        "notes": (),
    }
    return Comparison(**plain | other)


def blocks(text: str) -> dict[str, list[str]]:
    """Return the rows of each table of a terminal's text by its heading."""
    parts = text.split("\n\n")[1:]
    return {part.split("\n")[0]: part.split("\n")[1:] for part in parts}


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        ({}, "No evidence of a difference; 0 of 2 slices got worse."),
        ({"mdape": BETTER}, "The candidate is better in mdape; 0 of 2 slices got worse."),
        ({"mdape": WORSE, "bias": WORSE}, "The candidate is worse in mdape, bias; 0 of 2 slices got worse."),
        ({"rmse_log": BETTER, "bias": WORSE}, "The candidate is better in rmse_log and worse in bias; 0 of 2 slices got worse."),
    ],
)  # fmt: skip
def test_one_sentence_sums_it_up(differences: dict[str, Difference], said: str) -> None:
    found = comparison(differences=comparison().differences | differences)
    assert verdict(found) == said
    assert said in terminal(found)
    assert markdown(found).startswith(f"## hearth compare: {said}\n")


def test_the_introduction_names_both_sides_the_rows_and_the_notes() -> None:
    lines = introduction(comparison(notes=("requirements.lock differs",)))
    assert lines[0] == "main (aaaaaaa), model 2015-05-28-main → trial (bbbbbbb), model 2015-05-28-trial"
    assert "2,228 sales from 2015-03-01 to 2015-05-27" in lines[1]
    assert "95%" in lines[2]
    assert lines[3:] == ["Note: requirements.lock differs."]


def test_a_side_without_a_commit_and_one_named_by_its_commit_have_no_brackets() -> None:
    known = comparison()
    base = known.base.model_copy(update={"name": "workspace", "commit": None})
    candidate = known.candidate.model_copy(update={"name": "bbbbbbb", "scored": "models/evaluated"})
    lines = introduction(comparison(base=base, candidate=candidate))
    assert lines[0] == "workspace, model 2015-05-28-main → bbbbbbb, model 2015-05-28-trial"
    assert lines[3] == "Scored fits: models/model of workspace, models/evaluated of bbbbbbb."


def test_the_columns_of_a_terminal_stand_under_each_other() -> None:
    rows = blocks(terminal(comparison(differences=comparison().differences | {"mdape": WORSE})))[
        "On the same unseen sales"
    ]
    assert [row.split()[0] for row in rows] == ["metric", "rmse_log", "mdape", "bias", "coverage"]
    assert {len(row) for row in rows} == {max(map(len, rows))}, "all figures stand on the right"
    assert rows[2].split()[1:] == ["10.00%", "20.00%", "+10.00%", "+5.00%", "to", "+15.00%", "worse"]


def test_a_slice_is_told_by_the_metric_that_got_worse() -> None:
    found = comparison(
        slices=(part("1"), part("2", SAME, WORSE), part("3", WORSE, WORSE), part("4", SAME), part("5", BETTER))
    )
    told = [row.split()[:4] for row in blocks(terminal(found))["Slices that got worse"][1:]]
    assert sorted(told) == [["grade:", "1", "1,234", "mdape"], ["grade:", "2", "1,234", "rmse_log"],
                            ["grade:", "3", "1,234", "mdape"], ["grade:", "3", "1,234", "rmse_log"]]  # fmt: skip
    assert told[-1][1] == "2", "the largest rise of the median error comes first"
    assert "3 of 5 slices got worse" in verdict(found)


def test_a_table_without_rows_is_a_line_that_says_so() -> None:
    found = comparison()
    assert "\nSlices that got worse: none of 2\n\nParams that differ: none\n\n" in terminal(found)
    assert "\n### Slices that got worse: none of 2\n\n### Params that differ: none\n\n" in markdown(found)


@pytest.mark.parametrize("count", [SHOWN, SHOWN + 1, SHOWN + 30])
def test_a_long_list_is_cut_and_says_how_much_is_missing(count: int) -> None:
    found = comparison(params={f"model.p{place:02}": Pair(base=place, candidate=None) for place in range(count)})
    rows = blocks(terminal(found))["Params that differ"][1:]
    assert rows[0].split() == ["model.p00", "0", "none"]
    assert rows[SHOWN - 1].split()[0] == f"model.p{SHOWN - 1:02}"
    assert rows[SHOWN:] == ([] if count == SHOWN else [f"  and {count - SHOWN} more (--json has them)"])


def test_params_that_are_long_or_hold_line_breaks_stay_in_their_cell() -> None:
    found = comparison(params={"a": Pair(base="x" * 60, candidate="one\ntwo | three")})
    assert blocks(terminal(found))["Params that differ"][1].split() == [
        "a",
        "x" * 37 + "...",
        "one",
        "two",
        "|",
        "three",
    ]
    assert f"| a | {'x' * 37}... | one two \\| three |" in markdown(found).splitlines()


def test_every_row_of_a_markdown_table_has_as_many_cells_as_its_head() -> None:
    moved = tuple(
        Move(column=f"c{n}", distance=0.5, by_chance=0.1, base="1 | 2", candidate="3") for n in range(SHOWN + 1)
    )
    name = comparison().base.model_copy(update={"name": "a|b"})
    text = markdown(comparison(base=name, slices=tuple(part(f"{n}|") for n in range(SHOWN + 2)),
                               data=DATA.model_copy(update={"moved": moved})))  # fmt: skip
    tables = [
        list(rows) for is_row, rows in itertools.groupby(text.splitlines(), lambda line: line.startswith("|")) if is_row
    ]
    assert len(tables) == 6
    for rows in tables:
        assert {row.replace(r"\|", "").count("|") for row in rows} == {rows[0].replace(r"\|", "").count("|")}
        assert set(rows[1]) <= set("|-: ")
    assert r"a\|b" in text


def test_the_rows_and_columns_of_the_data_are_told() -> None:
    found = blocks(terminal(comparison()))
    assert [row.split() for row in found["Accepted sales"][1:]] == [
        ["all", "20,000", "21,000"],
        ["added", "1,500"],
        ["gone", "500"],
        ["corrected", "(price", "3,", "grade", "1)", "3"],
    ]
    (row,) = found["Columns that only one side has, or has in another type"][1:]
    assert row.split() == ["pool", "Int64", "none"]
    metrics = found["metrics.json, each on its own test sales"][1:]
    assert [row.split() for row in metrics] == [
        ["rmse", "123,457", "120,000"],
        ["mdape", "0.0800", "0.0700"],
        ["gate", "passed", "failed"],
    ]


def test_a_comparison_survives_json() -> None:
    found = comparison(slices=(part("1"),), params={"a": Pair(base=[1], candidate=None)})
    assert Comparison.model_validate_json(found.model_dump_json()) == found
