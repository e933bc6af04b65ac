"""Test the command: its exit status, where it works, what it says; and the documents and checks behind it."""

import importlib.util
import json
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from samples import CONTRACT_BYTES, PARAMS_TEXT, PROJECT, changed, contract, document

import hearth.operations
from hearth import cli
from hearth.cli import OPERATIONS, main
from hearth.errors import Refusal
from hearth.operations import check
from hearth.operations.check import KINDS
from hearth.operations.docs import PROTOCOLS, dictionary, metric_rows, metrics_table, quality_table, with_table
from hearth.operations.summary import NEXT
from hearth.params import SECTIONS

METRICS = {
    "mdape": 0.0812, "baseline_mdape": 0.1534, "rmse_log": 0.1634, "baseline_rmse_log": 0.3, "mae": 71234.56, "r2": 0.8849,
    "bias": -0.0123, "coverage": 0.9012, "interval_width": 0.5512, "rows_test": 2345,
}  # fmt: skip
START, END = "<!-- metrics: made by `make docs` -->", "<!-- end of metrics -->"
QUALITY_MARKS = "<!-- quality: made by `make docs` -->\n<!-- end of quality -->"
QUALITY = {protocol: {"hearth": {"rmse": 100_000.4, "mdape": 0.0712, "r2": 0.92, "bias": 0.016},
                      "CatBoost": {"rmse": 99_000.0, "mdape": 0.08, "r2": 0.91, "bias": -0.01}} for protocol in PROTOCOLS}  # fmt: skip


def with_metrics(text: str, metrics: dict[str, float]) -> str:
    return with_table(text, "metrics", metrics_table(metrics))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Change into a folder that is a project: the real params and contract, made-up metrics, a README with marks."""
    files = {
        "dvc.yaml": b"stages: {}\n",
        "params.yaml": PARAMS_TEXT.encode(),
        "data/contract.yaml": CONTRACT_BYTES,
        "data/cards.yaml": (PROJECT / "data/cards.yaml").read_bytes(),
        "README.md": f"# Hearth\n{START}\nold\n{END}\n{QUALITY_MARKS}\n".encode(),
        "benchmarks/quality.json": json.dumps(QUALITY).encode(),
        "metrics/metrics.json": json.dumps(METRICS).encode(),
        "metrics/gate.json": json.dumps({"passed": True, "reasons": []}).encode(),
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    os.chdir(tmp_path)  # an operation may have gone elsewhere; monkeypatch then goes back to where the test began


def ended(words: list[str]) -> object:
    """Return the exit status with which argparse ends the command."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    return caught.value.code


# The command


def test_the_command_knows_every_operation_and_no_other() -> None:
    assert sorted(OPERATIONS) == sorted(module.name for module in pkgutil.iter_modules(hearth.operations.__path__))


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_has_arguments_and_a_run(name: str) -> None:
    """Read, not imported: `serve` would load the whole server."""
    spec = importlib.util.find_spec(f"hearth.operations.{name}")
    assert spec
    assert spec.origin
    source = Path(spec.origin).read_text(encoding="utf-8")
    assert "\ndef arguments(parser: argparse.ArgumentParser) -> None:" in source
    assert "\ndef run(options: argparse.Namespace) -> int:" in source


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["chekc"], "invalid choice: 'chekc'"),
        (["check", "--fast"], "unrecognized arguments: --fast"),
        (["check", "x"], "unrecognized arguments: x"),
        (["docs", "--chekc"], "unrecognized arguments: --chekc"),
    ],
)
def test_wrong_use_ends_with_2(project: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert ended(words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"), [(["--help"], "Keep a house-price model true"), (["docs", "--help"], "--check")]
)
def test_help_ends_with_0(project: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert ended(words) == 0
    assert said in capsys.readouterr().out


def test_help_names_every_operation(capsys: pytest.CaptureFixture[str]) -> None:
    ended(["--help"])
    text = capsys.readouterr().out
    assert all(re.search(rf"\n    {name}\s", text) for name in OPERATIONS)


def test_an_operation_works_from_any_folder_below(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "src" / "deep").mkdir(parents=True)
    monkeypatch.chdir(project / "src" / "deep")
    assert main(["check"]) == 0
    assert Path.cwd() == project


@pytest.mark.parametrize("missing", ["dvc.yaml", "params.yaml"])
def test_outside_a_project_the_answer_is_no(project: Path, capsys: pytest.CaptureFixture[str], missing: str) -> None:
    (project / missing).unlink()
    assert main(["check"]) == 1
    said = f"error: {project} is in no hearth project (no dvc.yaml and params.yaml here or above); change into one.\n"
    assert capsys.readouterr() == ("", said)


def test_a_refusal_is_one_sentence_without_a_traceback(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "metrics/metrics.json").unlink()
    assert main(["summary"]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: metrics/metrics.json does not exist; `make run` makes it")


@pytest.mark.parametrize(("raised", "status"), [(Refusal("no"), 1), (KeyboardInterrupt(), 130)])
def test_the_exit_status_tells_why(
    project: Path, monkeypatch: pytest.MonkeyPatch, raised: BaseException, status: int
) -> None:
    def run(options: object) -> int:
        raise raised

    monkeypatch.setattr(check, "run", run)
    assert main(["check"]) == status


def test_a_fault_of_the_code_is_not_hidden(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "run", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["check"])


def _with_closed_output(project: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `hearth summary` with an output that nobody reads any more."""
    program = "import sys, time; from hearth.cli import main; sys.exit(main(['summary']))"
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run(
            [sys.executable, "-c", program], cwd=project, env=clean | environment,
            stdout=writer, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    finally:
        os.close(writer)


def test_a_reader_that_has_seen_enough_is_no_error(project: Path) -> None:
    done = _with_closed_output(project, PYTHONUNBUFFERED="1")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_has_seen_enough_is_no_error_when_output_is_buffered(project: Path) -> None:
    done = _with_closed_output(project)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_package_has_the_command() -> None:
    scripts = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'hearth = "hearth.cli:main"' in scripts
    assert cli.main is main


# hearth check


def test_check_knows_every_section() -> None:
    assert tuple(KINDS) == SECTIONS


def test_check_accepts_the_shipped_files_and_says_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    assert capsys.readouterr() == ("", "")


def refused(
    project: Path, capsys: pytest.CaptureFixture[str], edit: Callable[[dict[str, Any], dict[str, Any]], object]
) -> list[str]:
    """Return what `hearth check` says of edited params and contract, line by line."""
    params, known = yaml.safe_load(PARAMS_TEXT), document()
    edit(params, known)
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    (project / "data/contract.yaml").write_text(yaml.safe_dump(known, sort_keys=False), encoding="utf-8")
    assert main(["check"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    return err.removeprefix("error: ").splitlines()


@pytest.mark.parametrize("name", SECTIONS)
def test_check_finds_a_fault_in_every_section(project: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    said = refused(project, capsys, lambda params, _: params[name].update(no_such_key=1))
    assert len(said) == 1
    assert said[0].startswith(f"params.yaml: {name}.no_such_key is not a known key; ")


@pytest.mark.parametrize("name", SECTIONS)
def test_check_finds_a_missing_section(project: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    said = refused(project, capsys, lambda params, _: params.pop(name))
    assert said == [
        f"params.yaml: the section {name} is missing; add it (`git checkout -- params.yaml` brings it back)."
    ]


def test_check_says_every_fault_in_the_files_order(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def edit(params: dict[str, Any], known: dict[str, Any]) -> None:
        params["model"]["members"]["median"] |= {"leaves": 0, "l2": -1}
        params["gate"]["bias_max"] = "4%"
        known["columns"]["grade"]["unit"] = ""

    assert [line.split(",")[0] for line in refused(project, capsys, edit)] == [
        "params.yaml: model.members.median.l2 is -1",
        "params.yaml: model.members.median.leaves is 0",
        "params.yaml: gate.bias_max is '4%'",
        "data/contract.yaml: columns.grade.unit is ''",
    ]


def test_check_says_a_misspelt_section_once(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(project, capsys, lambda params, _: params.update(modle=params.pop("model")))
    assert said == ["params.yaml: modle is not a known section; did you mean 'model'?"]


def test_check_holds_features_to_the_contract(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(project, capsys, lambda _, known: known["columns"]["sqft_lot15"].update(role="ignored"))
    assert said == [
        "params.yaml: features.derived: lot_beside_neighbours reads 'sqft_lot15', which is no feature of the contract."
    ]


@pytest.mark.parametrize(
    ("column", "said"),
    [("sqft_lot15", "features.derived: lot_beside_neighbours reads"), ("view", "features.neighbours reads")],
)
def test_check_lets_no_private_column_into_the_model(
    project: Path, capsys: pytest.CaptureFixture[str], column: str, said: str
) -> None:
    private = {"type": "integer", "unit": "thing", "role": "sensitive", "meaning": "Nobody's business."}
    found = refused(project, capsys, lambda _, known: known["columns"].update({column: private}))
    assert found == [f"params.yaml: {said} '{column}', which is no feature of the contract."]


def test_check_finds_a_list_of_forgotten_records_that_would_let_one_back_in(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"id,date {'a' * 64}\n"
    (project / "data/forgotten.txt").write_text(f"# what is forgotten\n{line}")
    assert main(["check"]) == 0
    (project / "data/forgotten.txt").write_text(line.replace("id", "house"))
    assert main(["check"]) == 1
    assert "data/forgotten.txt: line 1 names 'house', which is no key column" in capsys.readouterr().err


def test_check_refuses_a_missing_contract(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "data/contract.yaml").unlink()
    assert main(["check"]) == 1
    assert "error: data/contract.yaml does not exist" in capsys.readouterr().err


def test_check_finds_a_hollow_card_before_the_road_runs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Else it would be found when everything is trained."""
    words = yaml.safe_load((PROJECT / "data/cards.yaml").read_text())
    words["model"]["owner"], words["data"]["people"] = "TODO", ""
    (project / "data/cards.yaml").write_text(yaml.safe_dump(words), encoding="utf-8")
    assert main(["check"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: data/cards.yaml: model.owner is 'TODO', wanted words in place of 'TODO'.",
        "data/cards.yaml: data.people is '', wanted words.",
    ]


# hearth docs


def test_the_dictionary_has_a_row_for_every_column_and_check() -> None:
    text = dictionary(contract())
    everywhere = "tables, model, log, reports"
    kept_in = {"key": "tables, reports", "target": "tables, reports", "time": everywhere, "feature": everywhere}
    for column in contract().columns:
        assert (
            f"\n| `{column.name}` | {column.role} | {column.expected} | no | {kept_in[column.role]} | {column.meaning} |\n"
            in text
        )
    for rule in contract().checks:
        budget = "" if rule.budget is None else f"{100 * rule.budget:.1f}%"
        assert f"\n| `{rule.name}` | `{rule.rule}` | {rule.severity} | {budget} | {rule.meaning} |\n" in text
    assert f"\n- `zipcode`: {', '.join(map(str, contract()['zipcode'].categories))}\n" in text


@pytest.mark.parametrize("part", ["title", "row", "origin", "licence", "limits", "sha256"])
def test_the_dictionary_tells_where_the_data_is_from(part: str) -> None:
    assert getattr(contract(), part) in dictionary(contract())


def test_the_dictionary_follows_the_contract() -> None:
    known = changed({"grade": {"nullable": True, "meaning": "Another meaning."}, "agent": {
        "type": "category", "unit": "name", "role": "ignored", "categories": ["a", "b"], "meaning": "Who sold it."}})  # fmt: skip
    text = dictionary(known)
    assert (
        "| `grade` | feature | a whole number from 1 to 13 (score), or null | allowed | tables, model, log, reports | Another meaning. |"
        in text
    )
    assert (
        "| `agent` | ignored | one of the 2 categories of agent (name) | no | raw and validated tables | Who sold it. |"
        in text
    )
    assert "\n- `agent`: a, b\n" in text


def test_the_dictionary_says_that_private_columns_stay_in_the_raw_table() -> None:
    known = changed({"owner": {"type": "text", "unit": "name", "role": "identifier", "meaning": "Who sold it."}})
    assert "| `owner` | identifier | a text | not judged | raw table only | Who sold it. |" in dictionary(known)
    assert "role `identifier` or `sensitive` (`owner`) stay in the raw table" in dictionary(known)
    assert "role `identifier` or `sensitive` (none) stay in the raw table" in dictionary(contract())


def test_every_row_of_the_dictionary_has_the_cells_of_its_head() -> None:
    rows = [line for line in dictionary(contract()).splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(contract().columns) + 2 + len(contract().checks)
    assert [row.count("|") for row in rows] == [7] * (2 + len(contract().columns)) + [6] * (2 + len(contract().checks))


def test_a_bar_in_a_meaning_splits_no_row() -> None:
    text = dictionary(changed({"grade": {"meaning": "Either a | or b."}}))
    row = next(line for line in text.splitlines() if line.startswith("| `grade`"))
    assert row.replace(r"\|", "").count("|") == 7


def test_metrics_are_told_in_words() -> None:
    assert metric_rows(METRICS) == [
        ("median error (mdape)", "8.1%", "15.3%"),
        ("error of the log price (rmse_log)", "0.163", "0.300"),
        ("mean error in dollars (mae)", "71,235", ""),
        ("explained variance (r2)", "0.885", ""),
        ("mean of predicted / actual - 1 (bias)", "-1.2%", ""),
        ("prices inside their 90 % interval (coverage)", "90.1%", ""),
        ("width of the interval, relative (interval_width)", "55%", ""),
        ("test sales, after the training sales (rows_test)", "2,345", ""),
    ]


def test_the_table_of_the_readme_is_replaced_and_nothing_else() -> None:
    found = with_metrics(f"before\n{START}\nold\n{END}\nafter | x |\n", METRICS)
    before, rest = found.split(START)
    table, after = rest.split(END)
    assert (before, after) == ("before\n", "\nafter | x |\n")
    lines = table.strip().splitlines()
    assert lines[2] == "| median error (mdape) | 8.1% | 15.3% |"
    assert len(lines) == 2 + len(metric_rows(METRICS))
    assert "old" not in found


def test_the_published_protocols_are_told_with_the_best_first() -> None:
    lines = quality_table(QUALITY)
    assert len(lines) == 2 + 2 * len(PROTOCOLS)
    assert lines[2] == "| ten random folds | CatBoost, defaults | 99,000 | 8.00% | 0.9100 | -1.0% |"
    assert lines[3] == "| ten random folds | hearth | 100,000 | 7.12% | 0.9200 | +1.6% |"


def test_making_the_table_twice_changes_nothing() -> None:
    once = with_metrics(f"{START}{END}", METRICS)
    assert with_metrics(once, METRICS) == once


@pytest.mark.parametrize("text", ["", START, END, f"{START}{START}{END}", f"{START}{END}{END}"])
def test_a_readme_without_its_marks_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match=r"^README\.md lacks the marks "):
        with_metrics(text, METRICS)


def test_marks_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(Refusal, match="marks"):
        with_metrics(f"{END}\n{START}", METRICS)


def test_docs_writes_what_is_stale_and_then_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs"]) == 0
    assert capsys.readouterr().out == "wrote docs/data.md\nwrote README.md\n"
    assert (project / "docs/data.md").read_text(encoding="utf-8") == dictionary(contract())
    assert "| median error (mdape) | 8.1% | 15.3% |" in (project / "README.md").read_text(encoding="utf-8")
    assert main(["docs"]) == 0
    assert capsys.readouterr().out == ""


def test_docs_with_check_writes_nothing_and_says_no(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (project / "README.md").read_bytes()
    assert main(["docs", "--check"]) == 1
    assert (
        capsys.readouterr().out
        == "docs/data.md is stale; `make docs` writes it anew.\nREADME.md is stale; `make docs` writes it anew.\n"
    )
    assert ((project / "README.md").read_bytes(), (project / "docs/data.md").exists()) == (before, False)
    main(["docs"])
    assert main(["docs", "--check"]) == 0


# hearth summary


@pytest.mark.parametrize(
    ("verdict", "line"),
    [
        ({"passed": True, "reasons": []}, "gate: passed"),
        ({"passed": False, "reasons": ["bias is 1", "mdape is 2"]}, "gate: failed: bias is 1; mdape is 2"),
    ],
)
def test_summary_shows_metrics_verdict_and_next_commands(
    project: Path, capsys: pytest.CaptureFixture[str], verdict: dict[str, Any], line: str
) -> None:
    (project / "metrics/gate.json").write_text(json.dumps(verdict))
    assert main(["summary"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert line in lines
    shown = [row.split() for row in lines]
    assert ["median", "error", "(mdape)", "8.1%", "15.3%"] in shown
    assert all(any(command in row for row in lines) for command, _ in NEXT)
