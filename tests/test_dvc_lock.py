"""Test that each way in which a dvc.lock may not be that of its commit is found by name, on the shipped lock and on real commits."""

import copy
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import yaml
from conftest import PROJECT, STAGES

from hearth.completeness import in_git, lock_faults
from hearth.errors import Refusal
from hearth.locks import Hash, Stage, faults, folder_md5, md5
from hearth.paths import DVC_LOCK, PARAMS
from hearth.promotion import check_lock
from hearth.revisions import Commit

SOURCES = "data/source"  # what git and a .dvc file have in it together
OTHER = "0123456789abcdef0123456789abcdef"


@dataclass
class Lock:
    """Hold what is compared, free to be changed."""

    stages: list[Stage]
    lock: dict[str, Any]
    params: dict[str, Any]
    in_git: Hash

    def faults(self) -> list[str]:
        return faults(self.stages, self.lock, self.params, self.in_git)

    def entry(self, stage: str, kind: str, path: str) -> dict[str, Any]:
        return next(part for part in self.lock["stages"][stage][kind] if part["path"] == path)

    def declare(self, stage: str, **other: Any) -> None:
        """Change a stage of dvc.yaml."""
        self.stages = [replace(one, **other) if one.name == stage else one for one in self.stages]

    def __getitem__(self, stage: str) -> Stage:
        return next(one for one in self.stages if one.name == stage)

    def put(self, path: str, found: str) -> None:
        """Let git have another content at a path."""
        before = self.in_git
        self.in_git = lambda asked: found if asked == path else before(asked)


@pytest.fixture(scope="module")
def shipped() -> Lock:
    """Return the lock of the newest run that was committed here."""
    sha = subprocess.run(
        ["git", "log", "-1", "--format=%H", "--", "dvc.lock"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(PROJECT)
        commit = Commit("the newest run", sha.stdout.strip())
        stages, imported = commit.stages()
        known: dict[str, str | None] = {}
        paths = {path for one in stages for path in (*one.deps, *one.outs)}
        for path in sorted(paths):
            known[path] = in_git(commit, imported, path)
        assert lock_faults(commit) == []
        return Lock(stages, commit.values(DVC_LOCK), commit.values(PARAMS), known.get)


@pytest.fixture
def lock(shipped: Lock) -> Lock:
    """Return the shipped lock, to be broken."""
    return Lock(list(shipped.stages), copy.deepcopy(shipped.lock), copy.deepcopy(shipped.params), shipped.in_git)


# The shipped lock


def test_the_shipped_lock_is_whole_and_all_of_it_is_looked_at(lock: Lock) -> None:
    assert lock.faults() == []
    assert tuple(sorted(one.name for one in lock.stages)) == tuple(sorted(STAGES))
    declared = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
    assert {one.name for one in lock.stages} == set(declared)
    assert sum(len(one.deps) for one in lock.stages) > 100
    assert SOURCES in lock["collect"].deps
    assert lock["train"].params == ("features", "hedonic", "intervals", "leakage", "market", "model")
    assert {"metrics/metrics.json", "metrics/plots", "models/predictions.parquet"} <= set(lock["evaluate"].outs)


def test_git_has_what_git_keeps_and_nothing_else(lock: Lock) -> None:
    for path in (
        "src/hearth/contract.py",
        "src/hearth/assets",
        "metrics/gate.json",
        "metrics/plots",
        "requirements.lock",
    ):
        assert lock.in_git(path), path
    assert str(lock.in_git("src/hearth/assets")).endswith(".dir")
    pointer = (PROJECT / f"{SOURCES}/house_sales.parquet.dvc").read_bytes()
    table = yaml.safe_load(pointer)["outs"][0]["md5"]
    assert lock.in_git(SOURCES) == folder_md5({"house_sales.parquet": table, "house_sales.parquet.dvc": pointer})
    for path in ("models/model", "data/raw/sales.parquet", "models/house_prices.bento"):
        assert lock.in_git(path) is None, path


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_that_is_missing_is_found(lock: Lock, name: str) -> None:
    del lock.lock["stages"][name]
    assert f"stage {name} is not in dvc.lock: it did not run, or failed" in lock.faults()


def test_a_stage_that_was_renamed_is_found_under_both_names(lock: Lock) -> None:
    lock.declare("profile", name="describe")
    assert lock.faults() == ["dvc.lock has the stage profile, which dvc.yaml has not",
                             "stage describe is not in dvc.lock: it did not run, or failed"]  # fmt: skip


def test_an_empty_lock_has_no_stage(lock: Lock) -> None:
    lock.lock = {"schema": "2.0"}
    assert len(lock.faults()) == len(STAGES)


@pytest.mark.parametrize("kind", ["deps", "outs"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_path_that_was_taken_out_of_dvc_yaml_or_added_is_found(lock: Lock, stage: str, kind: str) -> None:
    paths = getattr(lock[stage], kind)
    lock.declare(stage, **{kind: paths[:-1]})
    assert lock.faults() == [f"stage {stage}: {paths[-1]} is among its {kind} in dvc.lock, not in dvc.yaml"]
    lock.declare(stage, **{kind: (*paths, "src/hearth/new.py")})
    assert lock.faults() == [f"stage {stage}: src/hearth/new.py is among its {kind} in dvc.yaml, not in dvc.lock"]


def test_a_section_of_params_that_was_taken_out_or_added_is_found(lock: Lock) -> None:
    lock.declare("evaluate", params=("evaluate",))
    assert lock.faults() == ["stage evaluate: the section gate of params.yaml is in dvc.lock, not in dvc.yaml"]
    lock.declare("evaluate", params=("evaluate", "gate", "tune"))
    assert lock.faults() == ["stage evaluate: the section tune of params.yaml is not in dvc.lock"]


@pytest.mark.parametrize("change", [lambda section: section.update(coverage_min=0.5), lambda section: section.pop("coverage_min"),
                                    lambda section: section.update(new=1), lambda section: section.clear()])  # fmt: skip
def test_a_param_that_changed_without_a_run_is_found(lock: Lock, change: Callable[[dict[str, Any]], object]) -> None:
    change(lock.params["gate"])
    assert lock.faults() == ["stage evaluate: the section gate of params.yaml is another than its run had"]


def test_a_section_that_is_gone_from_params_yaml_is_found(lock: Lock) -> None:
    del lock.params["split"]
    assert lock.faults() == ["stage prepare: the section split of params.yaml is another than its run had"]


def test_a_changed_command_is_found(lock: Lock) -> None:
    lock.declare("train", cmd="python -m hearth.stages.train --quick")
    assert lock.faults() == ["stage train: its command is another than in dvc.yaml"]


@pytest.mark.parametrize(
    ("stage", "path"),
    [
        ("train", "src/hearth/features.py"),  # source code
        ("evaluate", "models/evaluated"),  # another stage's folder
        ("prepare", "data/validated/sales.parquet"),  # another stage's file
        ("package", "metrics/gate.json"),  # another stage's file, which git keeps
        ("package", "src/hearth/assets"),  # a folder in git
        ("collect", SOURCES),
    ],
)
def test_a_hash_of_a_dep_that_was_edited_by_hand_is_found(lock: Lock, stage: str, path: str) -> None:
    entry = lock.entry(stage, "deps", path)
    was, entry["md5"] = entry["md5"], OTHER
    assert lock.faults() == [f"stage {stage}: {path} has the md5 {was}, its run had {OTHER}"]


def test_a_hash_of_an_out_that_was_edited_by_hand_is_found_by_each_stage_that_reads_it(lock: Lock) -> None:
    entry = lock.entry("prepare", "outs", "data/prepared/test.parquet")
    was, entry["md5"] = entry["md5"], OTHER
    readers = [one.name for one in lock.stages if "data/prepared/test.parquet" in one.deps]
    assert len(readers) == 4
    assert lock.faults() == [
        f"stage {name}: data/prepared/test.parquet has the md5 {OTHER}, its run had {was}" for name in readers
    ]


def test_a_hash_that_was_taken_out_on_both_sides_is_found(lock: Lock) -> None:
    for stage, kind in (("profile", "outs"), ("train", "outs"), ("profile", "deps")):
        for part in lock.lock["stages"][stage][kind]:
            if part["path"] in ("models/model", "models/profile.json"):
                del part["md5"]
    for stage, path in (("profile", "models/model"), ("train", "models/model"), ("profile", "models/profile.json")):
        assert any(said.startswith(f"stage {stage}: {path} is nowhere: ") for said in lock.faults())


@pytest.mark.parametrize("path", ["metrics/evidence.json", "metrics/plots", "metrics/slices.csv"])
def test_a_metric_that_git_keeps_and_someone_edited_is_found(lock: Lock, path: str) -> None:
    lock.put(path, OTHER)
    was = lock.entry("evaluate", "outs", path)["md5"]
    assert lock.faults() == [f"stage evaluate: {path} has the md5 {OTHER}, its run had {was}"]


def test_code_that_changed_without_a_run_is_found_in_each_stage_that_loads_it(lock: Lock) -> None:
    lock.put("src/hearth/search.py", OTHER)
    (said,) = lock.faults()
    assert said.startswith(f"stage evaluate: src/hearth/search.py has the md5 {OTHER}, its run had ")
    lock.put("src/hearth/contract.py", OTHER)
    assert len(lock.faults()) == 1 + len(STAGES)


def test_another_source_in_the_dvc_file_is_found(lock: Lock) -> None:
    lock.put(SOURCES, OTHER)
    (said,) = lock.faults()
    assert said.startswith(f"stage collect: {SOURCES} has the md5 {OTHER}, its run had ")


def test_a_dep_that_git_lost_is_nowhere(lock: Lock) -> None:
    before = lock.in_git
    lock.in_git = lambda path: None if path == "src/hearth/search.py" else before(path)
    (said,) = lock.faults()
    assert said.startswith("stage evaluate: src/hearth/search.py is nowhere: neither git nor a .dvc file has it")


def test_dvc_names_a_folder_by_its_sorted_files() -> None:
    assert folder_md5({"b": b"ho\n", "a": b"hi\n"}) == folder_md5({"a": b"hi\n", "b": b"ho\n"})
    assert md5(b"hi\n") == "764efa883dda1e11db47671c4a3bbd9e"


# Real commits


project = tiny.project  # the fixture


def committed(project: Path) -> Commit:
    return Commit("HEAD", tiny.commit(project))


def test_a_commit_that_ran_is_whole_small_and_large_numbers_in_its_params_too(project: Path) -> None:
    """DVC writes 1e-05 and 1e+16 into its lock, which are texts to YAML 1.1."""
    assert "1e-05" in (project / "dvc.lock").read_text()
    assert "1e+16" in (project / "dvc.lock").read_text()
    assert lock_faults(committed(project)) == []
    check_lock(committed(project))


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("src/hearth/one.py", ("ONE = 1", "ONE = 2"), "stage make: src/hearth/one.py has the md5 "),
        ("src/hearth/assets/page.html", ("page", "leaf"), "stage make: src/hearth/assets has the md5 "),
        ("metrics/metrics.json", ("1", "2"), "stage make: metrics/metrics.json has the md5 "),
        ("data/in.txt.dvc", ("md5: ", "md5: 0000"), "stage make: data/in.txt has the md5 0000"),
        ("params.yaml", ("1.0e+16", "1.0e+15"), "stage make: the section make of params.yaml is another"),
        ("dvc.yaml", ("cp models/model/a", "cp models/model/b"), "stage use: its command is another than in dvc.yaml"),
        ("dvc.yaml", (", src/hearth/one.py]", "]"), "stage make: src/hearth/one.py is among its deps in dvc.lock, not in dvc.yaml"),
        ("dvc.yaml", ("    params: [make]\n", ""), "stage make: the section make of params.yaml is in dvc.lock, not in"),
        ("dvc.yaml", ("  use:", "  apply:"), "dvc.lock has the stage use, which dvc.yaml has not"),
        ("dvc.lock", ("  use:", "  used:"), "stage use is not in dvc.lock"),
    ],
)  # fmt: skip
def test_what_was_changed_after_the_run_is_found_in_the_commit(
    project: Path, name: str, change: tuple[str, str], said: str
) -> None:
    text = (project / name).read_text()
    assert change[0] in text
    tiny.write(project, name, text.replace(*change, 1) if "dvc.yaml" in name else text.replace(*change))
    with pytest.raises(Refusal) as refused:
        check_lock(committed(project))
    lines = str(refused.value).splitlines()
    assert lines[0] == "the lock of HEAD is not complete:"
    assert [line for line in lines if line.startswith(f"  {said}")], lines
    assert lines[-1] == "Run `dvc repro`, commit dvc.lock and metrics/, and promote that commit."


def test_outputs_that_are_nowhere_or_damaged_are_named_each(project: Path) -> None:
    tiny.cached(project, md5(b"the source\n")).unlink()
    tiny.cached(project, md5(b"the source\n"), remote=True).unlink()
    tiny.damage(tiny.cached(project, md5(b"b\n")), b"x\n")
    with pytest.raises(Refusal) as refused:
        check_lock(committed(project))
    lines = str(refused.value).splitlines()[1:-1]
    assert len(lines) == 2
    assert lines[0].startswith("  models/house_prices.bento of HEAD (")
    assert "neither in DVC's cache nor on a remote" in lines[0]
    assert lines[1].startswith("  models/model/b of HEAD has the md5 ")
    assert lock_faults(committed(project)) == [], "the lock itself is whole"
