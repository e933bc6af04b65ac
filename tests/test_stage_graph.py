"""Say which stage waits for which, of stages as dvc.yaml may have them; and hold the committed graph to dvc.yaml."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from conftest import PROJECT

from hearth.cli import main
from hearth.locks import Stage
from hearth.revisions import Workspace
from hearth.stage_graph import after, document, upstream


def stage(name: str, deps: tuple[str, ...] = (), outs: tuple[str, ...] = (), desc: str = "") -> Stage:
    return Stage(name, "true", deps, outs, (), desc)


ROAD = [
    stage("last", ("models", "metrics/a.json")),
    stage("first", ("data/in.txt",), ("data/raw",), "Take it in."),
    stage("middle", ("data/raw/one.parquet",), ("models/model", "metrics/a.json")),
    stage("beside", ("data/raw",), ("plots",)),
]


def test_a_stage_waits_for_those_that_make_what_it_reads() -> None:
    """A file in a folder that another makes, and a folder in which others make files, count too."""
    assert after(ROAD) == {"first": [], "middle": ["first"], "last": ["middle"], "beside": ["first"]}


def test_a_name_that_only_begins_alike_is_another_path() -> None:
    assert after([stage("a", outs=("data/raw",)), stage("b", deps=("data/raw2", "data/rawer/x"))]) == {"a": [], "b": []}


def test_all_before_a_stage_are_told_in_running_order() -> None:
    order = after(ROAD)
    assert upstream(order, "last") == ["first", "middle"]
    assert upstream(order, "first") == []


def test_the_document_names_stages_in_running_order() -> None:
    assert document(ROAD)[0] == {"name": "first", "desc": "Take it in.", "after": []}
    assert [one["name"] for one in document(ROAD)] == list(after(ROAD))


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change into a copy of what `hearth docs` reads and writes."""
    for name in ("README.md", "docs/data.md", "data/contract.yaml", "metrics/metrics.json", "benchmarks/quality.json",
                 "dvc.yaml", "params.yaml", "orchestration/road.json"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, tmp_path / name)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\nno_scm = true\n")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_committed_graph_is_that_of_dvc_yaml(copied: Path) -> None:
    assert json.loads((copied / "orchestration/road.json").read_text()) == document(Workspace().stages()[0])


def test_a_stage_that_is_added_makes_the_graph_stale_and_docs_writes_it(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declared = yaml.safe_load((copied / "dvc.yaml").read_text())
    declared["stages"]["publish"] = {"desc": "Tell it.", "cmd": "true", "deps": ["models/house_prices.bento"]}
    (copied / "dvc.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
    assert main(["docs", "--check"]) == 1
    assert "orchestration/road.json is stale" in capsys.readouterr().out
    assert main(["docs"]) == 0
    last = json.loads((copied / "orchestration/road.json").read_text())[-1]
    assert last == {"name": "publish", "desc": "Tell it.", "after": ["package"]}
