"""Live a simulated life for real, once: the whole project, its sales to the last, the real service. Hold it to the measures.

The life is lived from a clone of the remade project, which shares DVC's cache.
"""

import copy
import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PROJECT, Checkout, Remade, sample
from samples import contract

from hearth.dvc_local import configure
from hearth.errors import Refusal
from hearth.simulating import _environment, sales_after

ALARM_DAYS_MAX = 21  # after the loss is provable
MINE = "a token for other services"
ORDER = ["released", "provable", "alarm", "retrained", "promoted", "forced", "alarm", "rolled back"]
Spoil = Callable[[dict[str, Any]], None]
SOURCE = Path("data/source/house_sales.parquet")


@dataclass(frozen=True)
class Lived:
    """Hold what a life left behind: its document, what the terminal was told, and the project before and after."""

    found: dict[str, Any]
    page: str
    said: str
    before: list[str]
    after: list[str]
    scratch: Path


@pytest.fixture(scope="module")
def project(remade: Remade, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Clone the remade project; what it makes for a while, it makes in a temporary folder of its own."""
    folder = tmp_path_factory.mktemp("simulating")
    root = folder / "project"
    (folder / "scratch").mkdir()
    subprocess.run(["git", "clone", "--quiet", remade.checkout.root, root], check=True)
    own = {
        "PYTHONPATH": str(root / "src"),
        "TMPDIR": str(folder / "scratch"),
        "DVC_SITE_CACHE_DIR": str(folder / "site"),
    }
    project = Checkout(root, remade.checkout.environment | own)
    configure(root, {"dir": str(remade.checkout.root / ".dvc/cache")}, {}, None)
    project.run("dvc", "checkout", "--quiet", f"{SOURCE}.dvc")
    project.run("git", "tag", "mine")
    return project


@pytest.fixture(scope="module")
def lived(project: Checkout) -> Lived:
    """Run `hearth simulate`."""
    before = state(project)
    done = project.run("hearth", "simulate", HEARTH_TOKEN=MINE)
    found = json.loads((project.root / "metrics/simulation.json").read_text(encoding="utf-8"))
    page = (project.root / "metrics/simulation.html").read_text(encoding="utf-8")
    return Lived(found, page, done.stdout + done.stderr, before, state(project), Path(project.environment["TMPDIR"]))


def state(project: Checkout) -> list[str]:
    """Return all of a project that a life is to leave alone."""
    asked = (("status", "--porcelain"), ("for-each-ref",), ("rev-parse", "HEAD"), ("symbolic-ref", "HEAD"), ("worktree", "list"),
             ("stash", "list"), ("config", "--local", "--list"))  # fmt: skip
    own = [project.run("git", *words).stdout for words in asked]
    return [*own, (project.root / ".dvc/config.local").read_text()]


def days(found: dict[str, Any], kind: str) -> list[date]:
    return [date.fromisoformat(event["day"]) for event in found["events"] if event["kind"] == kind]


def said(found: dict[str, Any], kind: str) -> list[str]:
    return [event["said"] for event in found["events"] if event["kind"] == kind]


def test_with_the_loop_the_last_weeks_have_less_than_half_of_the_bias(lived: Lived) -> None:
    last, limit = lived.found["last_weeks"], lived.found["limits"]["bias"]
    assert (last["days"], last["with"]["rows"]) == (28, last["without"]["rows"])
    assert last["sales"] > 500
    assert last["without"]["level_high"] < -limit  # there was something to lose
    for figure in ("bias", "level"):
        assert abs(last["with"][figure]) < abs(last["without"][figure]) / 2, figure
    assert last["with"]["error"] < last["without"]["error"]
    assert lived.found["saved"]["per_sale"] > 0


def test_the_alarm_comes_within_three_weeks_of_the_proof_and_never_before_it(lived: Lived) -> None:
    (provable,), first = days(lived.found, "provable"), days(lived.found, "alarm")[0]
    assert (lived.found["provable"], lived.found["alarm"]) == (str(provable), str(first))
    assert 0 <= (first - provable).days <= ALARM_DAYS_MAX
    assert "bias" in said(lived.found, "alarm")[0]


def test_events_come_in_their_order(lived: Lived) -> None:
    assert [event["kind"] for event in lived.found["events"] if event["kind"] != "advice"] == ORDER
    happened = [event["day"] for event in lived.found["events"]]
    assert happened == sorted(happened)
    assert [advice.split(":")[0] for advice in said(lived.found, "advice")] == ["retrain", "roll back"]
    assert len(lived.said.splitlines()) > len(happened)  # it shows how far it is


def test_the_retraining_knows_no_sale_whose_outcome_had_not_arrived(lived: Lived) -> None:
    (day,), (words,) = days(lived.found, "retrained"), said(lived.found, "retrained")
    assert (day - date.fromisoformat(words.rpartition(" ")[2])).days >= 28


def test_what_was_served_before_the_forced_release_is_served_after_it(lived: Lived) -> None:
    (first,), (promoted,), (forced,) = (said(lived.found, kind) for kind in ("released", "promoted", "forced"))
    versions = [re.match(r"v\d+\.\d+\.\d+", words)[0] for words in (first, promoted, forced)]  # type: ignore[index]
    assert versions == ["v0.1.0", "v0.2.0", "v0.3.0"]
    assert said(lived.found, "rolled back") == [f"rolled back to {promoted}"]
    drill = lived.found["drill"]
    served = {model for week in lived.found["weeks"] for model in week["models"]}
    assert len(served) == 2
    assert not served & {model for week in drill for model in week["models"]}
    assert all(abs(week["with"]["level"]) > abs(week["without"]["level"]) for week in drill if "level" in week["with"])
    (again,) = lived.found["restored"]
    assert again["models"] == [max(served)]  # which knows later sales than the first
    assert again["sales"] == sum(week["sales"] for week in drill)
    assert abs(again["with"]["level"]) < min(abs(week["with"]["level"]) for week in drill if "level" in week["with"])


def test_until_the_first_promotion_both_lives_are_the_same(lived: Lived) -> None:
    """The service answers what the model says, on every sale of the weeks."""
    weeks, (promoted,) = lived.found["weeks"], days(lived.found, "promoted")
    early = [week for week in weeks if date.fromisoformat(week["to"]) <= promoted]
    assert len(early) >= 6
    assert all(week["with"] == week["without"] for week in early)
    assert any(week["with"] != week["without"] for week in weeks)
    assert sum(week["sales"] for week in weeks) == lived.found["sales"]


def test_the_project_is_as_it_was_and_nothing_is_left(lived: Lived) -> None:
    assert lived.before[0] == ""
    assert lived.after == lived.before
    assert list(lived.scratch.glob("hearth-*")) == []
    assert processes_in(lived.scratch) == []


def test_a_life_that_is_ended_leaves_nothing(project: Checkout) -> None:
    scratch, before = Path(project.environment["TMPDIR"]), state(project)
    with subprocess.Popen(["hearth", "simulate"], cwd=project.root, env=project.environment, text=True, stderr=subprocess.PIPE,
                          stdout=subprocess.DEVNULL) as process:  # fmt: skip
        deadline = time.monotonic() + 300
        while not list(scratch.glob("hearth-simulate-*/serve.log")) and time.monotonic() < deadline:
            time.sleep(0.1)
        while len(processes_in(scratch)) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)  # until the road of the bad model runs, or the service starts
        assert len(processes_in(scratch)) > 1
        process.terminate()
        said = process.communicate()[1]
    assert (process.returncode, "Traceback" in said) == (143, False), said
    assert list(scratch.glob("hearth-*")) == []
    assert processes_in(scratch) == []
    assert state(project) == before


def test_the_page_has_no_gap_and_needs_no_network(lived: Lived) -> None:
    assert not re.search(r"\b(NaN|nan|inf|None|undefined)\b", lived.page)
    assert not re.search(r"https?:|//[\w.-]+\.\w|@import|url\(", lived.page)
    assert str(lived.scratch.parent) not in lived.page + json.dumps(lived.found)


def loose(found: dict[str, Any]) -> None:
    found["last_weeks"]["with"]["bias"] = found["last_weeks"]["without"]["bias"] * 0.51


def late(found: dict[str, Any]) -> None:
    first = next(event for event in found["events"] if event["kind"] == "alarm")
    first["day"] = found["alarm"] = str(days(found, "provable")[0] + timedelta(ALARM_DAYS_MAX + 1))


def early(found: dict[str, Any]) -> None:
    first = next(event for event in found["events"] if event["kind"] == "alarm")
    first["day"] = found["alarm"] = str(days(found, "provable")[0] - timedelta(7))


def forgotten(found: dict[str, Any]) -> None:
    found["events"] = [event for event in found["events"] if event["kind"] != "rolled back"]


def kept(found: dict[str, Any]) -> None:
    found["restored"][0]["models"] = found["drill"][0]["models"]


@pytest.mark.parametrize(
    ("spoil", "measure"),
    [
        (loose, test_with_the_loop_the_last_weeks_have_less_than_half_of_the_bias),
        (late, test_the_alarm_comes_within_three_weeks_of_the_proof_and_never_before_it),
        (early, test_the_alarm_comes_within_three_weeks_of_the_proof_and_never_before_it),
        (forgotten, test_events_come_in_their_order),
        (kept, test_what_was_served_before_the_forced_release_is_served_after_it),
    ],
)
def test_a_life_that_misses_a_measure_would_be_found(
    lived: Lived, spoil: Spoil, measure: Callable[[Lived], None]
) -> None:
    measure(lived)
    other = replace(lived, found=copy.deepcopy(lived.found))
    spoil(other.found)
    with pytest.raises(AssertionError):
        measure(other)


def processes_in(scratch: Path) -> list[str]:
    """Return the commands of the processes whose temporary folder this is."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"TMPDIR={scratch}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it ended meanwhile, or is another user's
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked for in Linux's /proc")
def test_a_process_that_is_left_would_be_found(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], env=dict(os.environ) | {"TMPDIR": str(tmp_path)}) as process:
        try:
            # A process that has only just begun has an empty environment in /proc for a moment.
            deadline = time.monotonic() + 10
            while not (found := processes_in(tmp_path)) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert found == ["sleep 60 "]
        finally:
            process.kill()
    assert processes_in(tmp_path) == []


def test_without_a_sale_after_the_models_data_there_is_nothing_to_live_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    with pytest.raises(Refusal, match=r"house_sales\.parquet does not exist; `make run` pulls it"):
        sales_after(tmp_path, contract(), date(2015, 3, 1))
    (tmp_path / SOURCE).parent.mkdir(parents=True)
    sample().iloc[::50].to_parquet(tmp_path / SOURCE, index=False)
    frame, sales = sales_after(tmp_path, contract(), date(2015, 3, 1))
    assert 0 < len(sales.paid) < len(frame)
    assert sales.day.min() >= np.datetime64("2015-03-01")
    with pytest.raises(Refusal, match="has no sale from 2015-06-01 on, so there are no weeks to live through"):
        sales_after(tmp_path, contract(), date(2015, 6, 1))


def test_what_the_caller_set_for_other_services_is_set_aside_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_TOKEN", "mine")
    monkeypatch.delenv("HEARTH_CLOCK", raising=False)
    before = dict(os.environ)
    with pytest.raises(Refusal), _environment({"HEARTH_CLOCK": "a file"}):
        assert {name for name in os.environ if name.startswith("HEARTH_")} == {"HEARTH_CLOCK"}
        raise Refusal("it broke")
    assert dict(os.environ) == before
