"""The history of the metrics is git's: every commit that touched them, with gaps and marks, and nothing is checked out."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hearth.history import history
from hearth.scoring import KEYS
from hearth.timeline import SUBJECT_MAX, History

FILE = Path("metrics/metrics.json")
METRICS = dict.fromkeys(KEYS, 0.5)


class Repository:
    """Be a git repository in which each commit lies a day after the one before."""

    def __init__(self, root: Path, project: str = ".") -> None:
        """Make it; `project` is the folder in it that holds the project."""
        self.root, self.project, self.day = root, root / project, 0
        self.project.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words: str) -> str:
        day = f"2026-01-{self.day + 1:02}T12:00:00+00:00"
        own = {"GIT_AUTHOR_NAME": "test", "GIT_AUTHOR_EMAIL": "test@localhost", "GIT_COMMITTER_NAME": "test",
               "GIT_COMMITTER_EMAIL": "test@localhost", "GIT_AUTHOR_DATE": day, "GIT_COMMITTER_DATE": day,
               "GIT_CONFIG_GLOBAL": "/dev/null", "PATH": os.environ["PATH"]}  # fmt: skip
        return subprocess.run(["git", *words], cwd=self.root, env=own, capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip

    def commit(self, subject: str, content: str | None) -> str:
        """Commit a metrics file, or its removal; return the hash."""
        path = self.project / FILE
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_text(content)
        return self.kept(subject)

    def kept(self, subject: str) -> str:
        self.day += 1
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", subject)
        return self.git("rev-parse", "HEAD")

    def tag(self, name: str, commit: str = "HEAD", annotated: bool = True) -> None:
        self.git("tag", *(("--annotate", "--message", "why") if annotated else ()), name, commit)

    def history(self) -> History:
        return history(self.project, FILE)


def metrics(**changed: Any) -> str:
    return json.dumps(METRICS | changed)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def test_each_commit_that_changed_the_metrics_is_an_entry_oldest_first(repository: Repository) -> None:
    first = repository.commit("First: ä, \"quotes\" and <b>", metrics(mdape=0.1))  # fmt: skip
    repository.kept("Touch nothing")
    second = repository.commit("Second", metrics(mdape=0.09))
    repository.kept("Touch nothing again")
    found = repository.history()
    assert [(one.commit, one.subject, one.day) for one in found.entries] == [
        (first, 'First: ä, "quotes" and <b>', "2026-01-02"),
        (second, "Second", "2026-01-04"),
    ]
    assert [one.metrics["mdape"] for one in found.entries if one.metrics] == [0.1, 0.09]
    assert found.head == repository.git("rev-parse", "HEAD")
    assert found.notes == ()
    assert {one.fault for one in found.entries} == {""}
    assert repository.git("status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "the file is missing"),
        ('{"mdape": 0.1', "the file is broken: "),
        ('{"mdape": NaN}', "the file is broken: NaN is no JSON number"),
        ('{"mdape": 0.1, "mdape": 0.2}', "the file is broken: the key 'mdape' stands twice"),
        ("[]", "the file holds no metrics"),
        ("{}", "no number for rmse, mae, "),
        (metrics(prb="small"), "no number for prb"),
        (metrics(prb=True), "no number for prb"),
        (json.dumps({key: 0.5 for key in KEYS if key not in ("cod", "prd")}), "no number for cod, prd"),
    ],
)
def test_a_gap_is_an_entry_with_its_reason(repository: Repository, content: str | None, fault: str) -> None:
    repository.commit("Good", metrics())
    repository.commit("Bad", content)
    repository.commit("Good again", metrics(mdape=0.2))
    good, bad, again = repository.history().entries
    assert (good.fault, again.fault) == ("", "")
    assert bad.subject == "Bad"
    assert bad.fault.startswith(fault)
    assert bad.metrics is None or "prb" not in bad.metrics or "cod" not in bad.metrics


def test_a_commit_that_lacks_one_key_still_tells_the_others(repository: Repository) -> None:
    repository.commit("Before prb", json.dumps({key: 0.5 for key in KEYS if key != "prb"}))
    (entry,) = repository.history().entries
    assert entry.metrics is not None
    assert set(entry.metrics) == set(KEYS) - {"prb"}


def test_releases_and_promotions_are_marked_and_the_newest_number_is_the_champion(repository: Repository) -> None:
    first = repository.commit("First", metrics())
    repository.tag("house-prices@v0.1.0")
    repository.tag("house-prices#prod#1")
    second = repository.commit("Second", metrics(mdape=0.4))
    repository.tag("house-prices@v0.2.0")
    repository.tag("house-prices#prod#2")
    third = repository.kept("Touch no metric")
    repository.tag("house-prices@v0.10.0")
    repository.tag("house-prices#stage#1")
    for number in range(3, 11):  # ten is more than nine, though it sorts before
        repository.tag(f"house-prices#prod#{number}", first if number == 10 else second)
    repository.tag("house-prices@v9", third, annotated=False)  # a light tag is no release
    repository.tag("some-note", third)
    entries = {one.commit: one for one in repository.history().entries}
    assert list(entries) == [first, second, third]
    assert entries[first].tags == ("house-prices#prod#1", "house-prices#prod#10", "house-prices@v0.1.0")
    assert entries[first].champion_of == ("prod",)
    assert entries[second].champion_of == ()
    assert entries[third].tags == ("house-prices#stage#1", "house-prices@v0.10.0")
    assert entries[third].metrics == entries[second].metrics
    assert entries[third].champion_of == ("stage",)


def test_a_release_on_another_branch_is_told_too(repository: Repository) -> None:
    repository.commit("First", metrics())
    repository.git("checkout", "--quiet", "-b", "aside")
    aside = repository.commit("Aside", metrics(mdape=0.3))
    repository.tag("house-prices#prod#1")
    repository.commit("Aside, and not released", metrics(mdape=0.2))
    repository.git("checkout", "--quiet", "main")
    repository.commit("Main goes on", metrics(mdape=0.4))
    found = repository.history().entries
    assert [one.subject for one in found] == ["First", "Aside", "Main goes on"]
    assert found[1].commit == aside


def test_a_project_below_the_top_of_its_repository_is_found(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "mono", "teams/prices")
    repository.commit("First", metrics())
    (entry,) = repository.history().entries
    assert entry.metrics == METRICS


def test_a_shallow_clone_says_so(repository: Repository, tmp_path: Path) -> None:
    for number in range(3):
        repository.commit(f"Number {number}", metrics(mdape=number))
    subprocess.run(
        ["git", "clone", "--quiet", "--depth", "1", f"file://{repository.root}", tmp_path / "clone"], check=True
    )
    found = history(tmp_path / "clone", FILE)
    assert [one.subject for one in found.entries] == ["Number 2"]
    assert "This clone is shallow" in found.notes[0]


def test_a_folder_without_a_repository_has_no_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "plain").mkdir()
    found = history(tmp_path / "plain", FILE)
    assert (found.entries, found.head) == ((), "")
    assert found.notes[0].startswith("There is no history: not a git repository")


def test_a_repository_without_a_commit_and_a_machine_without_git_have_none(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert repository.history().notes == ("There is no history: the repository has no commit yet.",)
    monkeypatch.setenv("PATH", "")
    assert "git cannot be run" in repository.history().notes[0]


def test_a_setting_of_the_user_does_not_spoil_it(repository: Repository) -> None:
    repository.commit("First", metrics())
    for key, value in {
        "log.showSignature": "true",
        "color.ui": "always",
        "log.date": "relative",
        "core.pager": "false",
    }.items():
        repository.git("config", key, value)
    (entry,) = repository.history().entries
    assert (entry.subject, entry.day, entry.metrics) == ("First", "2026-01-02", METRICS)


def test_a_file_that_became_a_folder_is_a_gap(repository: Repository) -> None:
    repository.commit("First", None)
    (repository.project / FILE).mkdir(parents=True)
    (repository.project / FILE / "x").write_text("1")
    repository.kept("A folder")
    assert [one.fault for one in repository.history().entries] == ["the file is missing"]


def test_long_subjects_are_cut(repository: Repository) -> None:
    repository.commit("x" * 500, metrics())
    assert len(repository.history().entries[0].subject) == SUBJECT_MAX
