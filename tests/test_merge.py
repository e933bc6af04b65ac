"""Merge branches that both ran, with real git and real DVC: first as git does it, then as `make` sets it up."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forked
import pytest
import tiny
from conftest import PROJECT

from hearth.cli import main
from hearth.revisions import Workspace
from hearth.storage import read_yaml

project = forked.project
LOCK = Path("dvc.lock")
NAMED = (
    "dvc.lock: the stage choose is left out: both sides changed it\n"
    "dvc.lock: the stage use is left out: it read made/chosen.txt of choose, which is dropped\n"
    "`dvc repro` makes them anew; commit what it changes.\n"
)


def said(*words: str, status: int = 0, **environment: str) -> str:
    """Return all that a command says, once its exit status is what it should be."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, **environment}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture
def set_up(project: Path) -> Path:
    said("sh", "tools/merging.sh")
    return project


def in_git(name: str, commit: str = "HEAD") -> str:
    return said("git", "show", f"{commit}:{name}")


def stages() -> dict[str, Any]:
    return dict(read_yaml(LOCK)["stages"])


def test_a_clean_text_merge_of_the_lock_is_false_and_dvc_does_not_see_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reason for all of this: plain git, no conflict, "up to date", and the output is not that of the merged files."""
    tiny.git(project, "rm", "--quiet", ".gitattributes")
    tiny.commit(project, "as if nothing had been said about merges")
    assert "CONFLICT" not in said("git", "merge", "words")
    tiny.dvc(project, "checkout")
    assert "Data and pipelines are up to date." in said("dvc", "status")
    said("dvc", "repro")
    assert tiny.git(project, "status", "--porcelain") == ""
    assert (Path("switch.txt").read_text(), Path("words.txt").read_text()) == ("on\n", "new, longer words\n")
    assert Path("made/chosen.txt").read_text() == "old words\n", "but with the switch on it should be words.txt"
    # `hearth locked` sees it, and a run mends it.
    assert main(["locked"]) == 1
    merged = tiny.git(project, "rev-parse", "--short=7", "HEAD")
    assert (
        f"  stage choose: the merge {merged} mixed its entry in dvc.lock of two others, and no run"
        in capsys.readouterr().out
    )
    tiny.dvc(project, "repro", "--force", "choose")
    tiny.dvc(project, "repro")
    assert Path("made/used.txt").read_text() == "new, longer words\n"
    assert main(["locked"]) == 0, "also before it is committed"
    tiny.commit(project, "the run")
    assert main(["locked"]) == 0


def merged(root: Path) -> str:
    return said("git", "merge", "words")


def rebased(root: Path) -> str:
    return said("git", "rebase", "words")


def picked(root: Path) -> str:
    return said("git", "cherry-pick", "words")


def unstashed(root: Path) -> str:
    """Bring in the other side's run as changes that no commit has."""
    tiny.git(root, "checkout", "--quiet", "main")
    tiny.git(root, "checkout", "words", "--", ".")
    tiny.git(root, "stash")
    tiny.git(root, "checkout", "--quiet", "switch")
    return said("git", "stash", "pop")


@pytest.mark.parametrize("way", [merged, rebased, picked, unstashed])
def test_each_way_of_git_leaves_out_the_stages_that_no_run_has_made_and_names_them(
    set_up: Path, way: Callable[[Path], str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert NAMED in way(set_up)
    assert tiny.git(set_up, "ls-files", "--unmerged") == ""
    head, _, apart = in_git("dvc.lock", "words").partition("  apart:\n")
    assert LOCK.read_text() == f"{head.partition('  ')[0]}  apart:\n{apart}", "as DVC writes it"
    assert main(["locked"]) == 1
    assert "stage choose is not in dvc.lock: it did not run, or failed" in capsys.readouterr().out


def test_after_the_merge_a_run_makes_what_a_run_from_scratch_makes(set_up: Path) -> None:
    said("git", "merge", "words")
    tiny.dvc(set_up, "repro")
    assert Path("made/used.txt").read_text() == "new, longer words\n"
    assert Path("metrics/metrics.json").read_text() == '{"letters": 18}\n'
    tiny.commit(set_up, "the run")
    tiny.dvc(set_up, "repro")
    assert tiny.git(set_up, "status", "--porcelain") == ""
    assert main(["locked"]) == 0
    after = stages()
    LOCK.unlink()
    shutil.rmtree("made")
    tiny.dvc(set_up, "repro", "--no-run-cache")
    assert stages() == after


def test_of_several_common_versions_the_merge_says_nothing(set_up: Path) -> None:
    """Two branches that took in each other have two; git merges these first, which is nobody's business."""
    said("git", "merge", "words")
    tiny.dvc(set_up, "repro")
    tiny.commit(set_up, "the run")
    tree = tiny.git(set_up, "rev-parse", "HEAD^{tree}")
    other = tiny.git(set_up, "commit-tree", "-p", "words", "-p", "HEAD~2", "-m", "the other way round", tree)
    tiny.git(set_up, "checkout", "--quiet", "-b", "other", other)
    changed = LOCK.read_text().replace("cp apart.txt", "cat apart.txt >")
    LOCK.write_text(changed)
    tiny.commit(set_up, "another command")
    tiny.git(set_up, "checkout", "--quiet", "switch")
    tiny.commit(set_up, "a commit of its own")
    assert len(tiny.git(set_up, "merge-base", "--all", "switch", "other").split()) == 2
    assert "left out" not in said("git", "merge", "other")
    assert LOCK.read_text() == changed


def test_what_dvc_writes_the_merge_writes_alike(set_up: Path) -> None:
    """The smallest difference that there can be: the entry of the one stage that the other side changed."""
    ours, theirs = in_git("dvc.lock", "main"), in_git("dvc.lock", "words")
    _, apart = theirs.split("  apart:\n")
    expected = f"{ours.split('  apart:')[0]}  apart:\n{apart}"
    for name, text in (("base", ours), ("ours", ours), ("theirs", expected)):
        Path(name).write_text(text)
    Path("base").write_text(ours.replace("cmd: sh choose.sh", "cmd: bash choose.sh"))
    Path("theirs").write_text(expected.replace("cmd: sh choose.sh", "cmd: bash choose.sh"))
    assert main(["merge", "base", "ours", "theirs"]) == 0
    assert Path("ours").read_text() == expected


def test_metrics_that_both_sides_made_anew_are_no_conflict_and_a_run_makes_them(
    set_up: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heard = said("git", "merge", "count")
    assert "the stage choose is left out: both sides changed it" in heard
    assert "CONFLICT" not in heard
    assert Path("metrics/metrics.json").read_text() == in_git("metrics/metrics.json", "switch") == '{"letters": 10}\n'
    assert main(["locked"]) == 1, "nobody takes them for those of the merged code"
    tiny.dvc(set_up, "repro")
    assert Path("metrics/metrics.json").read_text() == '{"bytes": 10}\n'
    assert tiny.git(set_up, "status", "--porcelain") == "M dvc.lock\n M metrics/metrics.json"
    tiny.commit(set_up, "the run")
    assert main(["locked"]) == 0
    # A lock that was taken from one side, with the metrics of the other, is seen too.
    capsys.readouterr()
    tiny.git(set_up, "checkout", "count", "--", "dvc.lock", "choose.sh", "switch.txt")
    tiny.git(set_up, "checkout", "switch", "--", "metrics")
    assert main(["locked"]) == 1
    assert "stage choose: metrics/metrics.json has the md5 " in capsys.readouterr().out


# Without the program, or without set-up, git reports a conflict


def conflict(root: Path, *words: str, **environment: str) -> str:
    """Merge, and return what git says once it left both files to a person, as they were."""
    heard = said("git", "merge", *words, status=1, **environment)
    assert "CONFLICT (content): Merge conflict in dvc.lock" in heard
    assert LOCK.read_text() == in_git("dvc.lock", "switch")
    assert "dvc.lock" in tiny.git(root, "ls-files", "--unmerged")
    return heard


def test_a_clone_that_is_not_set_up_reports_a_conflict_and_later_merges_all_the_same(project: Path) -> None:
    assert "Merge conflict in metrics/metrics.json" in conflict(project, "count")
    said("sh", "tools/merging.sh")
    said("git", "checkout", "--merge", "dvc.lock", "metrics")
    assert list(stages()) == ["apart"]
    assert Path("metrics/metrics.json").read_text() == in_git("metrics/metrics.json", "switch")
    said("git", "add", "dvc.lock", "metrics")
    said("git", "commit", "--no-edit")
    tiny.dvc(project, "repro")
    assert Path("metrics/metrics.json").read_text() == '{"bytes": 10}\n'


def test_without_the_program_there_is_a_conflict(set_up: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("git", "sh", "dirname"):
        (bare / name).symlink_to(str(shutil.which(name)))
    assert "error: no hearth in .venv to merge dvc.lock; `make run` sets it up." in conflict(
        set_up, "words", PATH=str(bare)
    )


def test_a_driver_that_is_gone_from_gits_folder_is_a_conflict(set_up: Path) -> None:
    (set_up / ".git/hearth-merge-lock").unlink()
    conflict(set_up, "words")


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (lambda text: f"<<<<<<< ours\n{text}=======\n>>>>>>> theirs\n", "dvc.lock (theirs) is no lock of DVC 3"),
        (lambda text: text.replace("schema: '2.0'", "schema: '3.0'"), "dvc.lock (theirs) is no lock of DVC 3 (invalid schema version"),
        (lambda text: text.replace("    cmd: sh choose.sh\n", ""), "dvc.lock (theirs) is no lock of DVC 3 (required key not provided"),
        (lambda text: text + text.partition("stages:\n")[2], "dvc.lock (theirs) is no lock of DVC 3"),
        (lambda text: text[:0], "dvc.lock (theirs) is no lock of DVC 3 (required key not provided"),
    ],
    ids=["conflict markers", "another schema", "an entry without a command", "a stage that stands twice", "empty"],
)  # fmt: skip
def test_what_is_no_lock_is_left_to_a_person(set_up: Path, change: Callable[[str], str], refusal: str) -> None:
    tiny.git(set_up, "checkout", "--quiet", "words")
    tiny.write(set_up, "dvc.lock", change(LOCK.read_text()))
    tiny.commit(set_up)
    tiny.git(set_up, "checkout", "--quiet", "switch")
    heard = conflict(set_up, "words")
    assert refusal in heard
    assert "Traceback" not in heard


# Set-up


def test_a_linked_work_tree_merges_by_the_venv_of_the_main_one(
    set_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = set_up / ".venv/bin"
    programs.mkdir(parents=True)
    (programs / "hearth").symlink_to(Path(sys.executable).with_name("hearth"))
    tiny.git(set_up, "worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"), "switch")
    monkeypatch.chdir(tmp_path / "linked")
    assert NAMED in said("git", "merge", "words", PATH=os.defpath)
    assert list(stages()) == ["apart"]


def test_set_up_keeps_what_others_said_and_says_nothing_twice(project: Path) -> None:
    attributes = project / ".git/info/attributes"
    attributes.write_text("*.csv -diff")  # without a line's end
    files = ("dvc.lock", "metrics/metrics.json", "metrics/plots/map.png")
    assert tiny.git(project, "check-attr", "merge", *files).splitlines() == [f"{name}: merge: unset" for name in files]
    said("sh", "tools/merging.sh")
    drivers = ("made-lock", "made-output", "made-output")
    assert tiny.git(project, "check-attr", "merge", *files).splitlines() == [
        f"{name}: merge: {driver}" for name, driver in zip(files, drivers, strict=True)
    ]
    once = attributes.read_text(), (project / ".git/config").read_text()
    assert once[0].splitlines() == [
        "*.csv -diff",
        "[attr]made-lock merge=made-lock",
        "[attr]made-output merge=made-output",
    ]
    said("sh", "tools/merging.sh")
    assert (attributes.read_text(), (project / ".git/config").read_text()) == once


def test_set_up_leaves_a_folder_alone_that_is_no_repository_of_its_own(project: Path) -> None:
    before = (project / ".git/config").read_text()
    (project / "unpacked").mkdir()
    shutil.copytree("tools", "unpacked/tools")
    assert said("sh", "unpacked/tools/merging.sh") == ""
    assert (project / ".git/config").read_text() == before, "neither is the one around it touched"
    shutil.rmtree(".git")
    assert said("sh", "tools/merging.sh") == ""
    assert not (project / ".git").exists()


def test_every_output_that_git_keeps_and_only_those_has_a_merge_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    kept = {out.path for out in Workspace().outputs() if not out.kept}
    tracked = said("git", "ls-files", "metrics", "data", "models").splitlines()
    answers = said(
        "git",
        "-c",
        "core.attributesFile=/dev/null",
        "check-attr",
        "made-lock",
        "made-output",
        "--",
        "dvc.lock",
        *tracked,
    )
    marked = {line.split(": ")[0]: line.split(": ")[1] for line in answers.splitlines() if line.endswith(": set")}
    assert marked.pop("dvc.lock") == "made-lock"
    assert set(marked.values()) == {"made-output"}
    assert set(marked) == {name for name in tracked if any(f"{name}/".startswith(f"{path}/") for path in kept)}


def test_make_sets_it_up() -> None:
    recipe = (PROJECT / "Makefile").read_text().split("\n.venv/road.done:")[1].split("\n\n")[0]
    assert "\t@sh tools/merging.sh\n" in recipe
