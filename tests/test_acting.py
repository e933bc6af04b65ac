"""Let the monitor act for real, on small projects: it retrains, rolls back, or leaves all as it is and says who is to look.

The project is that of small.py, released as v0.1.0; its branch `worse` holds a model whose prices are some three per cent higher. Each test
works on a clone of its own, which shares DVC's cache, with a log that the champion's model wrote.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Checkout, checkout_at, sample
from living import Life, life
from small import EVERY, WIDE, made, set_params, small_project

from hearth import acting
from hearth.advising import Advice
from hearth.clock import CLOCK
from hearth.parquet import columns_of
from hearth.release import Release, open_release
from hearth.retraining import Retrained
from hearth.storage import read_folder

END = "2015-03-29"
A, B = "v0.1.0", "v0.2.0"
ROWS, DAYS, RISE = 1200, 28, 1.08
LOG = "data/log"


@dataclass(frozen=True)
class Origin:
    """Hold the project and the two models that it made."""

    project: Checkout
    good: Release
    bad: Release


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    """Return the project, made once for all workers; nobody changes it."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "acting"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one worker makes it; the others wait here
        if not (folder / "made").exists():
            if (folder / "project").exists():
                pytest.fail("the small project could not be made; another worker's first error says why")
            make(folder)
            (folder / "made").touch()
    models = [open_release(read_folder(folder / name), "the small project's") for name in ("good", "bad")]
    return Origin(checkout_at(folder / "project"), *models)


def make(folder: Path) -> None:
    """Make the project and the branch `worse`, keep both models, and release the first."""
    project = small_project(folder / "project")
    project.run("git", "checkout", "--quiet", "-B", "main")
    set_params(project, WIDE)
    made(project, "The small project")
    shutil.copytree(project.root / "models/model", folder / "good")
    project.run("git", "checkout", "--quiet", "-b", "worse")
    set_params(project, {"market.smoothing": 10.0, "market.trend_days": 7, "market.damping_days": 10000.0})
    project.run("dvc", "repro", "--single-item", "train", "profile")  # what a forced release is looked at by
    project.run("git", "commit", "--quiet", "--all", "--message", "A market that listens to its last week")
    shutil.copytree(project.root / "models/model", folder / "bad")
    project.run("git", "checkout", "--quiet", "main")
    project.run("dvc", "checkout", "--quiet", "--force")
    project.run("dvc", "remote", "add", "--quiet", "--local", "--default", "store", str(folder / "store"))
    project.run("hearth", "promote", "main")


@pytest.fixture
def project(origin: Origin, tmp_path: Path) -> Checkout:
    """Clone the project, its releases with it; its clock stands at the end of the log."""
    root = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--branch", "main", origin.project.root, root], check=True)
    (tmp_path / "clock").write_text(f"{END}T00:00:00+00:00")
    own = {"PYTHONPATH": str(root / "src"), "DVC_SITE_CACHE_DIR": str(tmp_path / "site"), "TMPDIR": str(tmp_path),
           CLOCK: str(tmp_path / "clock")}  # fmt: skip
    project = Checkout(root, origin.project.environment | own)
    for key, value in {"user.name": "A tester", "user.email": "test@localhost"}.items():
        project.run("git", "config", key, value)
    project.run("dvc", "config", "--quiet", "--local", "cache.dir", str(origin.project.root / ".dvc/cache"))
    project.run("dvc", "remote", "add", "--quiet", "--local", "--default", "store", str(tmp_path / "store"))
    project.run("dvc", "checkout", "--quiet", "data/source/house_sales.parquet.dvc")
    return project


def lived(release: Release) -> Life:
    """Return what a release priced in the weeks before the end: houses of the last months, on the days on which they were asked for."""
    rows = sample().iloc[::EVERY]
    rows = rows.assign(date=pd.to_datetime(rows["date"]))
    known = columns_of(rows[rows["date"] >= "2015-01-01"])
    one = life(release, known, ROWS, DAYS, END, seed=2, noise=0.15)  # about what so small a model errs by
    return one.but(columns=one.columns | {"date": one.at.astype("datetime64[D]")})


def monitor(project: Checkout, *words: str, status: int = 1) -> str:
    """Run the monitor and return all that it says, once its exit status is what it should be."""
    done = project.run("hearth", "monitor", *words, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == status, said
    assert "Traceback" not in said
    return said


def advice(project: Checkout) -> dict[str, str]:
    found: dict[str, str] = json.loads((project.root / "metrics/monitor.json").read_text())["advice"]
    return found


def state(project: Checkout) -> list[str]:
    """Return the refs and the files of a project."""
    asked = (("for-each-ref",), ("status", "--porcelain"), ("worktree", "list"), ("symbolic-ref", "HEAD"))
    return [project.run("git", *words).stdout for words in asked]


def champion(project: Checkout) -> str:
    return str(json.loads(project.run("hearth", "releases", "--json").stdout)["champion"]["version"])


def released(project: Checkout) -> list[tuple[str, str, str | None]]:
    """Return what happened to the champion, the newest first."""
    found = json.loads(project.run("hearth", "releases", "--json").stdout)
    return [(one["action"], one["version"], one["reason"]) for one in found["events"]]


def force(project: Checkout) -> None:
    """Make the branch `worse` the champion by its tags alone, past every gate."""
    for name in (f"house-prices@{B}", "house-prices#prod#2"):
        project.run("git", "tag", "--annotate", "--message", "forced", name, "origin/worse")
    assert champion(project) == B


def test_on_a_market_that_rose_it_is_retrained_and_promoted(project: Checkout, origin: Origin) -> None:
    one = lived(origin.good)
    one.but(paid=np.rint(one.paid * RISE)).write(project.root / LOG)
    before = state(project)
    said = monitor(project, "--act")
    assert re.search("retrain: bias.*: what was paid moved away from the prices, and there is no release before", said)
    assert f"retrained on the sales before {END}, and promoted as {B}" in said
    assert [one[:2] for one in released(project)] == [("promote", B), ("promote", A)]
    assert project.run("git", "branch", "--list", "retrain/*").stdout.split() == [f"retrain/{END}"]
    assert state(project)[1:] == before[1:]

    # What was heard is not of the new model, and until that one answers nothing more is done.
    assert "nothing was changed" in monitor(project, "--act", status=0)
    assert champion(project) == B


@pytest.mark.parametrize(
    ("verdict", "reasons", "promoted", "said"),
    [
        ("no worse", (), B, f"retrained on the sales before {END}, and promoted as {B}"),
        ("not proved", ("bias may be worse", "a"), None, f"retrained on the sales before {END}, not promoted: bias may be worse; a"),
        ("the gate says no", ("mdape is 0.3",), None, f"retrained on the sales before {END}, not promoted: mdape is 0.3"),
        ("nothing new", ("there are no later sales yet",), None, "not retrained: there are no later sales yet"),
    ],
)  # fmt: skip
def test_what_became_of_a_retraining_is_said(
    monkeypatch: pytest.MonkeyPatch, verdict: Any, reasons: tuple[str, ...], promoted: str | None, said: str
) -> None:
    """How a retraining comes to its verdict is tested by test_retraining.py."""
    made = Retrained(as_of=END, base="0" * 40, champion=A, branch=f"retrain/{END}", commit="1" * 40, reused=False, verdict=verdict,
                     reasons=reasons, promoted=promoted)  # fmt: skip
    asked: list[Any] = []
    monkeypatch.setattr(acting, "retrain", lambda **how: asked.append(how) or made)
    assert acting.act(Advice(action="retrain", said="the model is too old"), "v0.1.0") == (said, made)
    assert asked == [{"to_promote": True, "push_tags": False}]


@pytest.mark.parametrize("action", ["none", "look"])
def test_where_nothing_is_to_be_done_nothing_is_touched(monkeypatch: pytest.MonkeyPatch, action: Any) -> None:
    for name in ("retrain", "roll_back"):
        monkeypatch.setattr(acting, name, lambda *_, **__: pytest.fail("it was done"))
    assert acting.act(Advice(action=action, said="x"), None) == ("nothing was changed", None)


def test_a_worse_release_that_was_forced_in_is_rolled_back_by_itself(project: Checkout, origin: Origin) -> None:
    force(project)
    lived(origin.good).but(release=origin.bad).write(project.root / LOG)
    before = state(project)
    assert f"rolled back to {A}" in monitor(project, "--act")
    assert advice(project)["action"] == "roll back"
    (action, version, reason), *_ = released(project)
    assert (action, version) == ("rollback", A)
    assert str(reason).startswith("by itself: bias")
    assert "so it is the better one" in project.run("hearth", "releases").stdout
    assert state(project)[1:] == before[1:]
    assert "nothing was changed" in monitor(project, "--act", status=0)
    assert champion(project) == A


def test_without_being_asked_to_act_nothing_is_changed_and_the_advice_is_written_down(
    project: Checkout, origin: Origin
) -> None:
    """Here the release before would have been no better, so nothing calls for putting it back."""
    force(project)
    one = lived(origin.bad)
    one.but(paid=np.rint(one.paid * RISE)).write(project.root / LOG)
    before = state(project)
    said = monitor(project)
    assert "nothing was changed" not in said
    assert advice(project)["action"] == "retrain"
    assert advice(project)["said"].endswith("so it is no better")
    assert advice(project)["said"] in said
    assert state(project) == before


@pytest.mark.parametrize("weeks", [4, 1])
def test_shuffled_outcomes_change_nothing_and_a_person_looks_first(
    project: Checkout, origin: Origin, weeks: int
) -> None:
    """Even where those of the weeks before say that the market rose, and those of the newest alone are shuffled."""
    one = lived(origin.good)
    paid, newest = np.rint(one.paid * 1.3), one.heard >= np.datetime64(END) - np.timedelta64(weeks, "W")
    paid[newest] = np.random.default_rng(0).permutation(paid[newest])
    one.but(paid=paid).write(project.root / LOG)
    before = state(project)
    said = monitor(project, "--act")
    assert "look: outcome_match: what is counted may be wrong, so a person looks first" in said
    assert "nothing was changed" in said
    assert advice(project)["action"] == "look"
    assert state(project) == before


def test_what_cannot_be_done_is_said_beside_what_was_seen(project: Checkout, origin: Origin) -> None:
    project.run("dvc", "remote", "remove", "--quiet", "--local", "store")
    one = lived(origin.good)
    one.but(paid=np.rint(one.paid * RISE)).write(project.root / LOG)
    before = state(project)
    said = monitor(project, "--act")
    assert re.search("an alarm is due: .*bias", said)
    assert "could not retrain: " in said
    assert state(project) == before
    assert "--act changes what is released" in monitor(project, "--act", "--workspace", status=2)
