"""Retrain for real: whole small projects with their roads, beside a work tree that someone is working in.

The project is that of small.py, released as v0.1.0. Each test works on a clone of its own, which shares DVC's cache.
"""

import hashlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import Checkout, sample
from small import EVERY, WIDE, made, set_params, small_project

from hearth.editing import edited
from hearth.errors import Refusal
from hearth.operations.retrain import told
from hearth.retraining import Retrained
from hearth.roads import forget_too
from hearth.worktrees import Tree

Clone = Callable[..., Checkout]
OLD, NEW = "2015-03-01", "2015-03-29"
BRANCH = f"retrain/{NEW}"
VERSION = "v0.1.0"
LIST, FORGOTTEN = "data/forgotten.txt", f"id {'a' * 64}"
NEWEST = str(sample().iloc[::EVERY]["date"].max())


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Make the project, run its road and release it."""
    project = small_project(tmp_path_factory.mktemp("retraining") / "project")
    project.run("git", "checkout", "--quiet", "-B", "main")
    set_params(project, WIDE)
    made(project, "The small project")
    project.run("dvc", "remote", "add", "--quiet", "--local", "--default", "store", str(project.root.parent / "store"))
    project.run("hearth", "promote")
    return project


@pytest.fixture
def clone(origin: Checkout, tmp_path: Path) -> Clone:
    """Return what clones the project at `main`, with its release or without, and a folder of its own as its DVC remote."""

    def cloned(released: bool = True) -> Checkout:
        root = tmp_path / "clone"
        more = [] if released else ["--no-tags"]
        subprocess.run(["git", "clone", "--quiet", "--branch", "main", *more, origin.root, root], check=True)
        environment = origin.environment | {
            "PYTHONPATH": str(root / "src"),
            "DVC_SITE_CACHE_DIR": str(tmp_path / "site"),
            "TMPDIR": str(tmp_path),
        }
        checkout = Checkout(root, environment)
        for key, value in {"user.name": "A tester", "user.email": "test@localhost"}.items():
            checkout.run("git", "config", key, value)
        checkout.run("dvc", "config", "--quiet", "--local", "cache.dir", str(origin.root / ".dvc/cache"))
        # A relative address, which has to be the same folder from the work tree of a retraining.
        checkout.run("dvc", "remote", "add", "--quiet", "--local", "--default", "store", "../store")
        checkout.run("dvc", "checkout", "--quiet", "data/source/house_sales.parquet.dvc")
        return checkout

    return cloned


def hearth(checkout: Checkout, *words: str, status: int = 0, **more: str) -> str:
    """Run a command and return all that it says, once its exit status is what it should be."""
    done = checkout.run("hearth", *words, check=False, **more)
    said = done.stdout + done.stderr
    assert done.returncode == status, said
    assert "Traceback" not in said
    return said


def state(project: Checkout) -> list[str]:
    """Return all of a clone that a retraining is to leave alone."""
    asked = (("diff",), ("diff", "--cached"), ("rev-parse", "HEAD", "main"),
             ("symbolic-ref", "HEAD"), ("stash", "list"))  # fmt: skip
    return [*project.status(), *(project.run("git", *words).stdout for words in asked)]


def champion(project: Checkout) -> str | None:
    found = json.loads(project.run("hearth", "releases", "--json").stdout)["champion"]
    return None if found is None else str(found["version"])


def nothing_is_left(project: Checkout) -> None:
    """Hold that no work tree and no temporary folder of a retraining is there."""
    assert len(project.run("git", "worktree", "list").stdout.splitlines()) == 1
    assert list(project.root.parent.glob("hearth-retrain-*")) == []


def read(project: Checkout, revision: str, path: str) -> bytes:
    """Return a file of a revision, from git or from DVC's cache, as `dvc get` would."""
    code = ("import sys; from pathlib import Path; from hearth.revisions import revision; "
            f"sys.stdout.buffer.write(revision({revision!r}).read(Path({path!r})))")  # fmt: skip
    done = subprocess.run(
        ["python", "-c", code], cwd=project.root, env=project.environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_retraining_from_one_end_to_the_other(clone: Clone) -> None:
    project = clone()
    old = {path: read(project, VERSION, path) for path in ("models/house_prices.bento", "data/raw/sales.parquet/2014-05.parquet",
                                                           "models/model/model.onnx")}  # fmt: skip
    (project.root / "params.yaml").write_text("collect: not what is committed\n" + "# mine\n")
    project.run("git", "stash")
    (project.root / "CHANGELOG.md").write_text("what I am at\n")
    (project.root / "notes.txt").write_text("mine")
    project.run("git", "add", "CHANGELOG.md")
    (project.root / "CHANGELOG.md").write_text("what I am at now\n")
    (project.root / LIST).write_text(f"# mine\n{FORGOTTEN}\n")
    # Not committed either, and not what is retrained with or judged by.
    set_params(project, {"releases.margins.mdape": 0.0, "gate.mdape_max": 0.01, "model.members.coarse_median.seed": 99})
    before = state(project)

    said = hearth(project, "retrain", "--as-of", NEW)
    assert f"retraining on the sales before {NEW}, from the champion {VERSION}, which knows those before {OLD}" in said
    assert "tested on the sales from 2015-01-29 on" in said
    assert "train: runs" in said
    assert "which neither model was fitted on" in said
    assert f"next: `hearth retrain --as-of {NEW} --promote`" in said
    assert state(project) == before
    nothing_is_left(project)
    on_the_branch(project)
    assert champion(project) == VERSION

    found = json.loads(project.run("hearth", "retrain", "--as-of", NEW, "--promote", "--json").stdout)
    assert (found["promoted"], found["reused"], found["verdict"]) == ("v0.2.0", True, "no worse")
    assert (found["champion"], found["branch"], found["as_of"]) == (VERSION, BRANCH, NEW)
    assert found["commit"] == project.run("git", "rev-parse", BRANCH).stdout.strip()
    assert found["comparison"]["differences"]["mdape"]["base"] > 0
    assert champion(project) == "v0.2.0"
    assert state(project) == before
    nothing_is_left(project)
    assert {path: read(project, VERSION, path) for path in old} == old
    assert (
        hashlib.sha256(read(project, BRANCH, "models/house_prices.bento")).digest()
        != hashlib.sha256(old["models/house_prices.bento"]).digest()
    )

    again = hearth(project, "retrain", "--as-of", NEW, "--promote")
    assert f"retrained on the sales before {NEW} is the champion v0.2.0 already" in again
    hearth(project, "rollback", "--reason", "worse on outcomes")
    said = hearth(project, "retrain", "--as-of", NEW, "--promote", status=1)
    assert "it was v0.2.0 and was rolled back from (worse on outcomes)" in said
    assert champion(project) == VERSION
    assert state(project) == before


def test_a_start_that_knows_no_list_is_refused_where_something_was_forgotten(tmp_path: Path) -> None:
    """Its road would take the record in again."""
    home, tree = tmp_path / "home", Tree(tmp_path / "tree")
    for folder in (home, tree.folder):
        (folder / "data").mkdir(parents=True)
    forget_too(tree, home)
    (home / LIST).write_text("# nothing yet\n")
    forget_too(tree, home)
    assert not (tree.folder / LIST).exists()
    (home / LIST).write_text(f"# mine\n{FORGOTTEN}\n")
    with pytest.raises(
        Refusal, match=r"has no data/forgotten\.txt, so its road would take in again what was forgotten"
    ):
        forget_too(tree, home)
    (tree.folder / LIST).write_text(f"# its own\nid {'b' * 64}\n")
    forget_too(tree, home)
    assert (tree.folder / LIST).read_text() == f"# its own\n{FORGOTTEN}\nid {'b' * 64}\n"


def on_the_branch(project: Checkout) -> None:
    """Hold the branch to what it is to be: one honest commit on the champion's, with all that the road made."""
    assert (
        project.run("git", "rev-parse", f"{BRANCH}^").stdout
        == project.run("git", "rev-parse", f"house-prices@{VERSION}^{{commit}}").stdout
    )
    lines = project.run("git", "diff", "--unified=0", f"{BRANCH}^", BRANCH, "--", "params.yaml").stdout.splitlines()
    assert [line for line in lines if re.match(r"[-+] ", line)] == [
        f"-  as_of: '{OLD}'", f"+  as_of: '{NEW}'", "-  test_from: '2015-01-01'", "+  test_from: '2015-01-29'",
    ]  # fmt: skip
    changed = project.run("git", "diff", "--name-only", f"{BRANCH}^", BRANCH).stdout.splitlines()
    assert {LIST, "dvc.lock", "params.yaml", "README.md", "metrics/metrics.json", "metrics/evidence.json"} <= set(
        changed
    )
    assert not [name for name in changed if not re.match(rf"({LIST}|dvc\.lock|params\.yaml|README\.md|metrics/)", name)]
    lines = project.run("git", "diff", "--unified=0", f"{BRANCH}^", BRANCH, "--", LIST).stdout.splitlines()
    assert [line for line in lines if re.match(r"[-+]\w", line)] == [f"+{FORGOTTEN}"], (
        "what was forgotten since stays so"
    )
    message = project.run("git", "log", "-1", "--format=%B", BRANCH).stdout
    assert f"Retrain on the sales before {NEW}\n" in message
    assert "moved by 28 days" in message
    assert re.search(
        r"The gate says yes: mdape \d+\.\d\d%, bias [-+]\d+\.\d\d% and coverage \d+\.\d% on \d+ test sales", message
    )
    metrics = json.loads(project.run("git", "show", f"{BRANCH}:metrics/metrics.json").stdout)
    assert f"{metrics['mdape']:.1%}" in project.run("git", "show", f"{BRANCH}:README.md").stdout
    days = pd.to_datetime(sample().iloc[::EVERY]["date"])
    assert metrics["rows_test"] == ((days >= "2015-01-29") & (days < NEW)).sum()


def test_days_that_cannot_be_are_refused(clone: Clone, tmp_path: Path) -> None:
    project = clone()
    for day in (OLD, "2015-02-01"):
        said = hearth(project, "retrain", "--as-of", day, status=2)
        assert f"--as-of {day} is not later than that of the champion {VERSION}, {OLD}" in said
    said = hearth(project, "retrain", "--as-of", "2015-12-01", status=2)
    latest = pd.Timestamp(NEWEST) + pd.Timedelta(days=1)
    assert "--as-of 2015-12-01 is beyond the data: the newest sale of data/source/house_sales.parquet" in said
    assert f"{latest:%Y-%m-%d}" in said
    assert "wanted a day as 'YYYY-MM-DD'" in hearth(project, "retrain", "--as-of", "29.3.2015", status=2)
    assert "go with --promote" in hearth(project, "retrain", "--reason", "x", status=2)
    clock = tmp_path / "clock"
    clock.write_text("2015-03-01T09:00:00+00:00")
    said = hearth(project, "retrain", HEARTH_CLOCK=str(clock))
    assert f"the champion {VERSION} knows the sales before {OLD}, and data/source/house_sales.parquet has none" in said
    project.run("git", "branch", "retrain")
    assert "git can have none called retrain/..." in hearth(project, "retrain", "--as-of", NEW, status=2)
    project.run("git", "branch", "--delete", "retrain")
    nobody = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_COMMITTER_NAME": "", "GIT_COMMITTER_EMAIL": ""}
    project.run("git", "config", "--unset", "user.name")
    assert "git does not know who you are" in hearth(project, "retrain", "--as-of", NEW, status=2, **nobody)
    assert project.run("git", "branch", "--list", "retrain/*").stdout == ""
    nothing_is_left(project)


def test_a_gate_that_says_no_keeps_the_branch_for_a_look(clone: Clone) -> None:
    """Without a release it is HEAD that is retrained, whatever lies in the work tree."""
    project = clone(released=False)
    set_params(project, {"gate.test_rows_min": 100_000})
    project.run("git", "commit", "--quiet", "--all", "--message", "ask for more")
    set_params(project, {"gate.test_rows_min": 300})
    before = state(project)
    said = hearth(project, "retrain", "--as-of", NEW, "--promote", status=1)
    assert "the gate says no, so there is no bento:" in said
    assert re.search(r"  .*rows_test is \d+", said)
    assert f"{BRANCH} is kept" in said
    assert (
        "Retrain on the sales before 2015-03-29: the gate says no"
        in project.run("git", "log", "-1", "--format=%B", BRANCH).stdout
    )
    assert not json.loads(project.run("git", "show", f"{BRANCH}:metrics/gate.json").stdout)["passed"]
    again = hearth(project, "retrain", "--as-of", NEW, status=1)
    assert "nothing is run again" in again
    assert "train: runs" not in again
    assert (state(project), champion(project)) == (before, None)
    nothing_is_left(project)


def test_a_doubt_needs_a_reason_and_a_corrected_sale_keeps_the_old_version(clone: Clone) -> None:
    """The source changed for old sales, in the work tree only; the margin lies inside the interval of the difference."""
    project = clone(released=False)
    set_params(project, {"releases.margins.mdape": 0.02})
    project.run("git", "commit", "--quiet", "--all", "--message", "allow little")
    hearth(project, "promote")
    raw = read(project, VERSION, "data/raw/sales.parquet/2014-05.parquet")
    rows = sample().iloc[::EVERY].copy()
    known = rows.index[pd.to_datetime(rows["date"]) < OLD][:5]
    rows.loc[known, "price"] += 1000
    source = project.root / "data/source/house_sales.parquet"
    source.unlink()
    rows.to_parquet(source, index=False)
    before = state(project)
    said = hearth(project, "retrain", "--as-of", NEW, status=1)
    assert f"it is not proved that it is no worse than the champion {VERSION}:" in said
    assert f"`hearth promote {BRANCH} --reason TEXT` overrides the doubt" in said
    found = json.loads(hearth_json(project, "retrain", "--as-of", NEW, "--promote", status=1))
    assert (found["reused"], found["promoted"]) == (True, None)
    assert found["verdict"] == "not proved"
    assert [reason[:31] for reason in found["reasons"]] == ["mdape may be worse by up to 0.0"]
    assert found["comparison"]["data"]["corrected"] == 5
    assert "data/source/house_sales.parquet.dvc" in project.run("git", "diff", "--name-only", "main", BRANCH).stdout
    assert champion(project) == VERSION
    assert "v0.2.0 is the champion" in hearth(
        project, "retrain", "--as-of", NEW, "--promote", "--reason", "corrections"
    )
    assert read(project, VERSION, "data/raw/sales.parquet/2014-05.parquet") == raw
    assert state(project) == before
    nothing_is_left(project)


@pytest.mark.parametrize(
    ("verdict", "promoted", "said", "fine"),
    [
        ("worse", None, "it is worse than the champion v0.1.0:\n  mdape", False),
        ("not proved", None, "`hearth promote retrain/2015-03-29 --reason TEXT` overrides the doubt", False),
        ("the gate says no", None, "the gate says no, so there is no bento:\n  mdape", False),
        ("no worse", None, "next: `hearth retrain --as-of 2015-03-29 --promote`", True),
        ("no champion", None, "next: `hearth retrain --as-of 2015-03-29 --promote`", True),
        ("not proved", "v0.2.0", "v0.2.0 is the champion now", True),
    ],
)
def test_each_verdict_says_what_to_do_next(verdict: Any, promoted: str | None, said: str, fine: bool) -> None:
    reasons = () if fine else ("mdape is no good",)
    found = Retrained(as_of=NEW, base="0" * 40, champion=VERSION, branch=BRANCH, commit="1" * 40, reused=False, verdict=verdict,
                      reasons=reasons, promoted=promoted)  # fmt: skip
    words = "\n".join(told(found))
    assert said in words
    assert (f"{BRANCH} is kept" in words) == (not fine)
    assert found.fine == fine


def hearth_json(project: Checkout, *words: str, status: int) -> str:
    done = project.run("hearth", *words, "--json", check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def started(project: Checkout, *words: str) -> "subprocess.Popen[str]":
    """Start a retraining and wait until its road runs."""
    process = subprocess.Popen(["hearth", "retrain", "--as-of", NEW, *words], cwd=project.root, env=project.environment, text=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)  # fmt: skip
    assert process.stderr
    next(line for line in process.stderr if line.startswith("retraining on"))
    return process


def test_of_two_at_once_the_second_is_refused_and_a_promotion_is_not(clone: Clone) -> None:
    project = clone()
    with started(project) as process:
        said = hearth(project, "retrain", "--as-of", NEW, status=1)
        assert re.search(r"`hearth retrain`, process \d+, is retraining at this moment; wait for it", said)
        assert "is the champion already" in hearth(project, "promote", status=1)
        process.communicate()
        assert process.returncode == 0
    nothing_is_left(project)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_retraining_that_is_killed_leaves_nothing_and_is_run_again(clone: Clone, number: int, status: int) -> None:
    project = clone()
    before = state(project)
    with started(project) as process:
        time.sleep(1)
        os.kill(process.pid, number)
        process.communicate()
        assert process.returncode == status
    if number != signal.SIGKILL:
        nothing_is_left(project)
    assert project.run("git", "branch", "--list", "retrain/*").stdout == ""
    assert state(project) == before
    if number != signal.SIGINT:  # as after SIGTERM
        hearth(project, "retrain", "--as-of", NEW)
    nothing_is_left(project)


# Editing params.yaml


def test_values_are_put_in_and_every_comment_stays() -> None:
    text = "a:\n  # a day\n  day: '2015-01-01'  # in quotes\n  other: 1\nb: {c: 2}\n"
    after, changed = edited(text, {"a.day": "2015-02-01"})
    assert after == text.replace("2015-01-01", "2015-02-01")
    assert changed == ["  line 3: day: '2015-01-01'  # in quotes -> day: '2015-02-01'  # in quotes"]
    assert edited(text, {"a.other": 1}) == (text, [])


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ("a:\n  b: 1\n", "a.c", "params.yaml has no c"),
        ("a: 1\n", "a.c", "params.yaml has no c"),
        ("a:\n- 1\nb:   &x   2\nc: *x\n", "b", "cannot be changed line by line"),
    ],
)
def test_what_cannot_be_edited_is_left_alone(text: str, key: str, said: str) -> None:
    with pytest.raises(Refusal, match=said):
        edited(text, {key: 3})
