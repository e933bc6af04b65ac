"""Plant each fault that `hearth locked` looks for, and see it named; and see a whole workspace pass wherever it is."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import forked
import pytest
import tiny
from conftest import PROJECT, copy_project

from hearth.cli import main
from hearth.completeness import LARGEST_BYTES, STEPS, look
from hearth.errors import Refusal
from hearth.locks import md5
from hearth.origins import Version, doubted, entries, mixed
from hearth.paths import DVC_LOCK
from hearth.promotion import check_lock
from hearth.revisions import Commit, Workspace
from hearth.storage import parsed_yaml, read_yaml

project = tiny.project
branches = forked.project
NOT_MERGED = "git's merge of dvc.lock is not set up in this clone"


def faults(remote: bool = False) -> list[tuple[str, str]]:
    """Return the kind and the words of each fault."""
    return [(one.kind, one.said) for one in look(remote, proven=lambda _: False).faults]


def change(name: str, old: str, new: str) -> None:
    text = Path(name).read_text()
    assert old in text
    Path(name).unlink()  # it may be a link into DVC's cache
    Path(name).write_text(text.replace(old, new))


def test_a_workspace_that_ran_is_whole_and_says_so(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["locked"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["dvc.lock is that of what is here: 2 stages, 5 outputs"]


def test_a_clone_without_data_is_whole_with_a_notice(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.git(project, "clone", "--quiet", ".", "../clone")
    monkeypatch.chdir("../clone")
    looked = look(False, proven=lambda _: False)
    assert looked.faults == ()
    assert looked.notices[1:] == (
        "neither in the workspace nor in DVC's cache here: 4 outputs; `dvc pull` or `dvc repro` brings them.",
    )
    assert look(True, proven=lambda _: False).notices[1:] == (), "the remote has them all"


# A stage is stale


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("params.yaml", "word: yes", "word: no", "stage make: the section make of params.yaml is another than its run had"),
        ("src/hearth/one.py", "ONE = 1", "ONE = 2", "stage make: src/hearth/one.py has the md5 "),
        ("src/hearth/assets/page.html", "page", "leaf", "stage make: src/hearth/assets has the md5 "),
        ("metrics/metrics.json", "1", "2", "stage make: metrics/metrics.json has the md5 "),
        ("data/in.txt.dvc", "md5: ", "md5: 0", "stage make: data/in.txt has the md5 0"),
        ("dvc.yaml", "cp models/model/a", "cp models/model/b", "stage use: its command is another than in dvc.yaml"),
        ("dvc.yaml", ", src/hearth/one.py]", "]", "stage make: src/hearth/one.py is among its deps in dvc.lock, not in dvc.yaml"),
        ("dvc.yaml", "models/model]\n    outs: [models/used]", "models/model]\n    outs: [models/used, models/more]",
         "stage use: models/more is among its outs in dvc.yaml, not in dvc.lock"),
        ("dvc.yaml", "  use:", "  apply:", "dvc.lock has the stage use, which dvc.yaml has not"),
        ("dvc.lock", "  use:", "  used:", "stage use is not in dvc.lock: it did not run, or failed"),
    ],
)  # fmt: skip
def test_what_was_changed_after_the_run_makes_its_stage_stale_before_it_is_committed(
    project: Path, name: str, old: str, new: str, said: str
) -> None:
    change(name, old, new)
    assert [one for one in faults() if one[0] == "stale" and one[1].startswith(said)], faults()
    tiny.commit(project)
    assert [one for one in faults() if one[0] == "stale" and one[1].startswith(said)], faults()


def test_a_dep_that_is_gone_from_the_disk_makes_its_stage_stale(project: Path) -> None:
    Path("src/hearth/one.py").unlink()
    assert [said for _, said in faults() if said.startswith("stage make: src/hearth/one.py is nowhere: ")]


def test_a_new_file_in_a_folder_that_a_stage_reads_makes_it_stale_unless_git_ignores_it(project: Path) -> None:
    tiny.write(project, ".gitignore", "/models\n*.swp\n")
    tiny.write(project, "src/hearth/assets/page.swp", "an editor's\n")
    assert faults() == []
    tiny.write(project, "src/hearth/assets/new.html", "new\n")
    assert [said for _, said in faults() if said.startswith("stage make: src/hearth/assets has the md5 ")]


def test_a_folder_of_data_within_a_folder_that_a_stage_reads_counts_by_its_dvc_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As data/source does in this project; also where the data are not here."""
    change("dvc.yaml", "deps: [data/in.txt,", "deps: [data/in.txt, data/many,")
    for name in ("one", "two/three"):
        tiny.write(project, f"data/many/all/{name}", name)
    tiny.dvc(project, "add", "data/many/all")
    tiny.dvc(project, "repro")
    tiny.commit(project)
    tiny.dvc(project, "push")
    assert faults() == []
    tiny.git(project, "clone", "--quiet", ".", "../clone")
    monkeypatch.chdir("../clone")
    looked = look(False, proven=lambda _: False)
    assert looked.faults == ()
    assert (
        "whether data/many is what a stage read cannot be said: what data/many/all holds is in no cache here; `dvc fetch data/many/all` brings it."
        in looked.notices
    )
    monkeypatch.chdir(project)
    tiny.write(project, "data/many/all/one", "another")
    assert ("changed", "data/many/all was changed after `dvc add`") in faults()
    tiny.dvc(project, "add", "data/many/all")
    assert [
        said for kind, said in faults() if kind == "stale" and said.startswith("stage make: data/many has the md5 ")
    ]


# What is here is not what the lock says


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("models/used", "models/used was changed after the run that dvc.lock tells of"),
        ("models/model/a", "models/model was changed after the run that dvc.lock tells of"),
        ("models/model/new", "models/model was changed after the run that dvc.lock tells of"),
        ("data/in.txt", "data/in.txt was changed after `dvc add`"),
    ],
)
def test_an_output_or_a_source_that_was_changed_is_named(project: Path, name: str, said: str) -> None:
    Path(name).unlink(missing_ok=True)
    Path(name).write_text("by hand\n")
    assert faults() == [("changed", said)]


def test_a_metric_that_is_gone_is_named(project: Path) -> None:
    Path("metrics/metrics.json").unlink()
    assert faults() == [("gone", "metrics/metrics.json, which git keeps, is not in the workspace")]


def test_what_is_nowhere_is_named_where_a_remote_could_have_it(project: Path) -> None:
    lost = md5(b"the source\n")
    for name in ("models/house_prices.bento", "data/in.txt"):  # of one content
        Path(name).unlink()
    tiny.cached(project, lost).unlink()
    assert faults(remote=True) == [], "the remote has it"
    tiny.cached(project, lost, remote=True).unlink()
    assert faults() == [], "the network was not asked"
    assert faults(remote=True) == [
        ("nowhere", f"{name} of the workspace is not on away, nor in the cache here")
        for name in ("models/house_prices.bento", "data/in.txt")
    ]
    tiny.write(project, ".dvc/config", tiny.CONFIG.replace("remote = away\n", ""))
    looked = look(True, proven=lambda _: False)
    assert looked.faults == ()
    assert (
        "models/house_prices.bento is not here, and no default DVC remote is set; `dvc repro` makes it."
        in looked.notices
    )


def test_a_remote_that_does_not_answer_is_no_verdict(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("models/used").unlink()
    Path("models/model/a").unlink()
    tiny.cached(project, md5(b"a\n")).unlink()
    tiny.write(project, ".dvc/config", tiny.CONFIG.replace("../../remote", "ssh://127.0.0.1:1/x"))
    assert main(["locked", "--remote"]) == 2
    assert "the DVC remote away cannot be asked (" in capsys.readouterr().err


# Git and DVC each keep what is theirs


@pytest.mark.parametrize("name", ["models/used", "models/model/b", "data/in.txt"])
def test_an_output_that_git_tracks_too_is_named(project: Path, name: str) -> None:
    tiny.git(project, "add", "--force", name)
    assert faults() == [("both", f"{name} is an output that DVC keeps, and git tracks it too")]


@pytest.mark.parametrize("here", [True, False])
def test_an_output_that_git_does_not_ignore_is_named(project: Path, here: bool) -> None:
    if not here:
        shutil.rmtree("models")
    tiny.write(project, ".gitignore", "/models/model/\n/models/used\n")
    assert faults() == [
        ("unignored", "models/house_prices.bento is an output that DVC keeps, and git does not ignore it")
    ]


@pytest.mark.parametrize("ignored", [True, False])
def test_a_metric_that_git_does_not_track_is_named(project: Path, ignored: bool) -> None:
    tiny.git(project, "rm", "--quiet", "--cached", "metrics/metrics.json")
    if ignored:
        tiny.write(project, ".gitignore", "/models\n/metrics\n")
    assert faults() == [
        ("untracked", "metrics/metrics.json is an output that git is to keep (cache: false), and git does not track it")
    ]


@pytest.mark.parametrize("name", ["data/new.csv", "data/raw/deep/new.parquet", "models/model.onnx", "data/logs"])
def test_a_file_that_nobody_tracks_is_named_ignored_or_not(project: Path, name: str) -> None:
    expected = [("stray", f"{name} is tracked by neither git nor DVC")]
    tiny.write(project, name, "1\n")
    assert faults() == expected
    tiny.write(project, ".gitignore", f"/models\n/{name}\n")
    assert faults() == expected


def test_what_is_of_this_machine_only_is_no_fault(project: Path) -> None:
    for name in (
        "data/log/predictions-2015-03-01-001.jsonl",
        "data/storage/s3.json",
        "models/model.sig",
        "data/raw/.gitignore",
    ):
        tiny.write(project, name, "1\n")
    assert faults() == []


def test_a_file_that_is_too_large_for_git_is_named_before_it_is_committed(project: Path) -> None:
    for name, size in (("just", LARGEST_BYTES), ("beyond über", LARGEST_BYTES + 1)):
        Path(name).write_bytes(b"x" * size)
    assert faults() == [], "git was not told of it"
    tiny.git(project, "add", "just", "beyond über")
    assert faults() == [("large", "beyond über in git's index has 1,048,577 bytes, more than 1,048,576")]


# A lock that no run has made


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("dvc.lock", "<<<<<<< HEAD\nschema: '2.0'\n=======\n>>>>>>> other\n", "dvc.lock"),
        ("dvc.lock", "schema: '2.0'\nstages:\n  make: [\n", "dvc.lock"),
        ("dvc.yaml", "stages: [\n", "dvc.yaml"),
        ("params.yaml", "make: [\n", "params.yaml"),
    ],
)
def test_what_cannot_be_read_is_a_fault_of_its_own(project: Path, name: str, text: str, said: str) -> None:
    tiny.write(project, name, text)
    ((kind, words),) = faults()
    assert kind == "broken"
    assert said in words


def test_a_project_that_never_ran_is_told_what_to_do(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("dvc.lock").unlink()
    assert main(["locked"]) == 1
    assert "dvc.lock does not exist; `make run` makes it" in capsys.readouterr().out


def test_the_entries_of_a_lock_are_read_as_dvc_writes_them() -> None:
    text = (PROJECT / "dvc.lock").read_text()
    found = entries(text.encode())
    assert list(found) == list(read_yaml(PROJECT / "dvc.lock")["stages"])
    assert sum(len(entry.splitlines()) + 1 for entry in found.values()) == len(text.splitlines()) - 2
    assert entries(b"") == entries(b"<<<<<<<\n") == {}


def test_an_entry_with_a_line_that_neither_side_had_is_that_of_a_run() -> None:
    assert mixed("a\nb\n", ["a\nx\n", "y\nb\n"])
    assert not mixed("a\nb\nc\n", ["a\nx\n", "y\nb\n"])
    assert not mixed("a\n", ["a\nx\n"]), "an ordinary commit, in which a line was taken away"


MIX, MINE, OTHER = "a2\nb2\n", "a2\nb1\n", "a1\nb2\n"


def version(commit: str, now: str, *parents: str) -> Version:
    return Version(commit, now.encode(), {"make": now}, tuple({"make": parent} for parent in parents))


@pytest.mark.parametrize(
    ("history", "found"),
    [
        ([version("merge", MIX, MINE, OTHER)], {"make": "merge"}),
        ([version("later", MIX, MIX), version("merge", MIX, MINE, OTHER)], {"make": "merge"}),
        ([version("merge", MIX, MINE, OTHER), version("run", MIX, MINE)], {}),  # the same, made by a run elsewhere
        ([version("merge", MIX, MIX, OTHER), version("run", MIX, MINE)], {}),  # taken whole from one side
        ([version("merge", "a2\nb2\nout3\n", MINE, OTHER)], {}),  # run within the merge
        ([version("again", MIX, MINE, OTHER), version("merge", MIX, MINE, OTHER)], {"make": "again"}),
        ([], {}),
    ],
)
def test_an_entry_is_doubted_that_only_merges_brought(history: list[Version], found: dict[str, str]) -> None:
    now = {"make": history[0].entries["make"]} if history else {"make": MIX}
    assert doubted(history, now, proven=lambda _: False) == found
    assert doubted(history, now, proven=lambda lock: lock == MIX.encode()) == {}, "attested once"


DOUBTED = "stage choose: the merge {} mixed its entry in dvc.lock of two others, and no run is known that made it"


def as_a_forge_does(root: Path, *words: str) -> Path:
    """Merge as a place that knows no driver, and return the project."""
    tiny.git(root, "rm", "--quiet", ".gitattributes")
    tiny.commit(root)
    tiny.git(root, "merge", "--quiet", *words)
    tiny.dvc(root, "checkout")
    return root


@pytest.fixture
def mixture(branches: Path) -> Path:
    """Return a project whose last merge mixed the entry of `choose` of both sides."""
    as_a_forge_does(branches, "words")
    assert faults() == [("merged", DOUBTED.format(head(branches)))]
    return branches


def head(root: Path) -> str:
    return tiny.git(root, "rev-parse", "HEAD")[:7]


def test_a_mixture_is_named_after_later_commits_too_and_while_its_merge_goes_on(mixture: Path) -> None:
    merge = head(mixture)
    change("params.yaml", "0.00001", "0.00002")
    tiny.dvc(mixture, "repro")
    tiny.commit(mixture)
    assert [said for kind, said in faults() if kind == "merged" and merge in said]
    tiny.git(mixture, "reset", "--quiet", "--hard", "HEAD~2")
    tiny.git(mixture, "merge", "--quiet", "--no-commit", "words")
    tiny.dvc(mixture, "checkout")
    assert [said for kind, said in faults() if kind == "merged" and "the merge that goes on" in said]


def test_a_mixture_is_not_promoted(mixture: Path) -> None:
    """Also from a commit that is not checked out."""
    merge = tiny.git(mixture, "rev-parse", "HEAD")
    tiny.git(mixture, "checkout", "--quiet", "words")
    with pytest.raises(Refusal, match=DOUBTED.format(merge[:7])):
        check_lock(Commit("the merge", merge))
    check_lock(Commit("HEAD", tiny.git(mixture, "rev-parse", "HEAD")))


def test_a_mixture_that_is_attested_once_is_never_doubted_again(mixture: Path) -> None:
    attested = Path("dvc.lock").read_bytes()
    change("params.yaml", "0.00001", "0.00002")
    tiny.dvc(mixture, "repro")
    tiny.commit(mixture)
    assert Path("dvc.lock").read_bytes() != attested
    assert look(False, proven=lambda lock: lock == attested).faults == ()


def test_a_mixture_that_is_right_is_cleared_by_a_run_here_and_by_two_commits_for_all(
    branches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The words do not matter while the switch is off, so that git's mixture is what a run makes; nobody knows it without one."""
    tiny.git(branches, "checkout", "--quiet", "quiet")
    merge = head(as_a_forge_does(branches, "words"))
    assert faults() == [("merged", DOUBTED.format(merge))]
    tiny.dvc(branches, "repro", "--force", "choose")
    assert tiny.git(branches, "status", "--porcelain") == ""
    looked = look(False, proven=lambda _: False)
    assert looked.faults == ()
    assert looked.notices[1:] == (
        f"stage choose: the merge {merge} mixed its entry of two others; DVC's run cache here has a run that made it.",
    )
    tiny.git(branches, "clone", "--quiet", ".", "../clone")
    with monkeypatch.context() as patch:
        patch.chdir("../clone")
        assert faults() == [("merged", DOUBTED.format(merge))], "a clone does not have that run cache"
    text = Path("dvc.lock").read_text()
    Path("dvc.lock").write_text(text.replace(f"  choose:\n{entries(text.encode())['choose']}", ""))
    tiny.commit(branches, "Take out an entry that nobody vouches for")
    tiny.dvc(branches, "repro")
    assert read_yaml(Path("dvc.lock")) == parsed_yaml(text, "dvc.lock")
    tiny.commit(branches, "the run")
    tiny.git(branches, "-C", "../clone", "pull", "--quiet")
    monkeypatch.chdir("../clone")
    assert faults() == []


def test_dvcs_run_cache_is_asked_for_the_very_entry(branches: Path) -> None:
    here = Workspace()
    stages = here.values(DVC_LOCK)["stages"]
    assert [name for name in stages if here.ran(stages[name])] == ["choose", "use", "apart"], "params like 1e-05 too"
    for kind in ("deps", "outs"):
        other = copy.deepcopy(stages["use"])
        other[kind][0]["md5"] = "0" * 32
        assert not here.ran(other)


def test_a_shallow_clone_says_what_it_does_not_see(mixture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.git(mixture, "clone", "--quiet", "--depth", "1", f"file://{mixture}", "../shallow")
    monkeypatch.chdir("../shallow")
    looked = look(False, proven=lambda _: False)
    assert looked.faults == ()
    assert looked.notices[0].startswith("this clone is shallow, so merges that it does not have were not looked at")


# Told


def test_everything_is_told_as_json_too(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.write(project, "data/new.csv", "1\n")
    assert main(["locked", "--json"]) == 1
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["faults"] == [{"kind": "stray", "said": "data/new.csv is tracked by neither git nor DVC"}]
    assert (told["stages"], told["outputs"]) == (2, 5)
    assert told["notices"][0].startswith(NOT_MERGED)


def test_each_kind_of_fault_is_told_with_its_step(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.write(project, "data/new.csv", "1\n")
    change("src/hearth/one.py", "1", "2")
    assert main(["locked"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == [STEPS["stale"], "  data/new.csv is tracked by neither git nor DVC", STEPS["stray"]]
    assert lines[1].startswith("  stage make: src/hearth/one.py has the md5 ")


def test_the_shipped_project_is_whole_in_a_clone_without_data(tmp_path: Path) -> None:
    said = copy_project(tmp_path / "clone").run("hearth", "locked").stdout
    assert said.splitlines()[-1] == "dvc.lock is that of what is here: 7 stages, 18 outputs"


def test_make_check_asks_it() -> None:
    recipe = (PROJECT / "Makefile").read_text().split("\ncheck:")[1].split("\n\n")[0]
    assert "\t@hearth locked\n" in recipe
