"""Let schedulers run the road and the loop of small projects for real: Airflow, and the workflow of a forge.

The projects are those of tests/test_acting.py, which acts without a scheduler. Of the forge only its own command `gh` is recorded.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import airflows
import numpy as np
import pandas as pd
import pytest
import test_acting as acting
import tiny
import yaml
from airflows import Airflow, bare, stored
from conftest import PROJECT, STAGES, Checkout, sample
from living import life
from servers import BUCKET, KEY, SECRET, Server
from test_releasing import serving

from hearth.bento import free_port
from hearth.parquet import columns_of

installed, migrated, airflow, store = airflows.installed, airflows.migrated, airflows.airflow, airflows.store
origin, project = acting.origin, acting.project
real = pytest.mark.skipif(
    os.environ.get("HEARTH_TEST_SCHEDULERS") != "1", reason="five minutes of roads; `make test-schedulers` runs it"
)
WORKFLOW = yaml.safe_load((PROJECT / ".github/workflows/loop.yml").read_text())
JOB = WORKFLOW["jobs"]["loop"]
GIVEN = {
    "vars.HEARTH_LOG": "",
    "github.token": "none",
    "secrets.AWS_ACCESS_KEY_ID": "",
    "secrets.AWS_SECRET_ACCESS_KEY": "",
}


@real
def test_the_road_on_airflow_is_byte_by_byte_that_of_a_local_run(
    airflow: Airflow, store: Server, origin: acting.Origin, tmp_path: Path
) -> None:
    root = tmp_path / "project"
    subprocess.run(["git", "clone", "--quiet", "--branch", "main", origin.project.root, root], check=True)
    other = Checkout(root, origin.project.environment | {"PYTHONPATH": str(root / "src"), "DVC_SITE_CACHE_DIR": str(tmp_path / "site"),
                                                         "AWS_ENDPOINT_URL": f"http://127.0.0.1:{store.port}", "AWS_REGION": "us-east-1",
                                                         "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET})  # fmt: skip
    local = {path.relative_to(origin.project.root): path.read_bytes() for path in made_by_stages(origin.project.root)}
    source = re.search(r"md5: (\w{2})(\w+)", (root / "data/source/house_sales.parquet.dvc").read_text())
    assert source
    held = Path("files/md5", source[1], source[2])  # the source has a remote of its own, which git carries
    (root / "data/remote" / held).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(origin.project.root / ".dvc/cache" / held, root / "data/remote" / held)
    tiny.git(root, "add", "--force", "data/remote")
    commit = bare(root)
    states = (
        stored(airflow, store, "small").but(CODE=str(root / "src"), HEARTH_REPOSITORY=str(root)).test("hearth_road")
    )
    assert {*states.values()} == {"success", "skipped"}
    assert [name for name, state in states.items() if state == "skipped"] == ["alert"]
    assert sorted(re.findall(r"(\w+) of \w{7}: ran", airflow.said)) == sorted(
        STAGES
    )  # evaluate and profile in any order
    assert f"the whole road of {commit[:7]} is on the remote: {len(STAGES)} stages" in airflow.said
    assert SECRET not in airflow.said
    assert SECRET not in str(airflow.ask("select rendered_fields from rendered_task_instance_fields"))

    other.run("dvc", "remote", "add", "--quiet", "--local", "--default", "s3", f"s3://{BUCKET}/small")
    other.run("hearth", "gather")
    other.run("dvc", "pull", "--quiet")
    assert {path.relative_to(root): path.read_bytes() for path in made_by_stages(root)} == local
    assert other.run("dvc", "status").stdout.strip().endswith("Data and pipelines are up to date.")


def made_by_stages(root: Path) -> list[Path]:
    """Return dvc.lock and all that its stages made."""
    lock = yaml.safe_load((root / "dvc.lock").read_text())["stages"]
    outs = [root / out["path"] for entry in lock.values() for out in entry["outs"]]
    return [
        root / "dvc.lock",
        *(path for out in outs for path in ([out] if out.is_file() else sorted(out.rglob("*"))) if path.is_file()),
    ]


# The loop


def loop(airflow: Airflow, clone: Checkout) -> Airflow:
    """Let the loop work in a clone, with the clock and the code that it has."""
    own = {name: value for name, value in clone.environment.items() if name.startswith(("HEARTH_", "DVC_"))}
    return airflow.but(
        **own, HEARTH_CLONE=str(clone.root), CODE=str(clone.root / "src"), TMPDIR=clone.environment["TMPDIR"]
    )


@real
def test_where_no_alarm_is_due_all_that_follows_is_skipped(
    airflow: Airflow, project: Checkout, origin: acting.Origin
) -> None:
    quiet(project, origin)
    before = acting.state(project)
    states = loop(airflow, project).test("hearth_loop")
    assert {*states.values()} == {"skipped"}
    assert airflow.ask("select count(*) from asset_event") == [(0,)]
    assert acting.state(project) == before


@real
def test_on_an_alarm_it_is_retrained_promoted_and_checked(
    airflow: Airflow, project: Checkout, origin: acting.Origin
) -> None:
    risen(project, origin)
    states = loop(airflow, project).test("hearth_loop")
    done = {"monitor", "advised", "retrain", "judged", "promote", "check"}
    assert {name for name, state in states.items() if state == "success"} == done, airflow.said[-6000:]
    assert {state for name, state in states.items() if name not in done} == {"skipped"}
    assert acting.champion(project) == acting.B
    assert f"{acting.B} boots and gives its golden answers" in airflow.said
    assert airflow.ask(
        "select count(*) from asset_event e join asset a on a.id = e.asset_id where a.name = 'hearth_alarm'"
    ) == [(1,)]


@real
def test_a_worse_release_that_was_forced_in_is_rolled_back(
    airflow: Airflow, project: Checkout, origin: acting.Origin
) -> None:
    acting.force(project)
    acting.lived(origin.good).but(release=origin.bad).write(project.root / acting.LOG)
    states = loop(airflow, project).test("hearth_loop")
    done = {"monitor", "advised", "roll_back"}
    assert {name for name, state in states.items() if state == "success"} == done, airflow.said[-6000:]
    assert acting.champion(project) == acting.A
    assert acting.released(project)[0][2].startswith("by itself: bias")


@real
def test_a_release_that_fails_its_check_is_rolled_back_and_not_promoted_again(
    airflow: Airflow, project: Checkout, origin: acting.Origin
) -> None:
    """The service never takes it up. The next day the same retraining is stopped, since it was rolled back from."""
    risen(project, origin)
    away = loop(airflow, project).but(HEARTH_SERVICE=f"http://127.0.0.1:{free_port()}")
    states = away.test("hearth_loop", status=1, within_s=0)
    assert (states["promote"], states["check"], states["undo"], states["alert"]) == (
        "success",
        "failed",
        "success",
        "failed",
    ), airflow.said[-6000:]
    assert "gives no good answer at /readyz" in airflow.said
    assert "failed: check" in airflow.said
    assert acting.champion(project) == acting.A
    assert acting.released(project)[0] == ("rollback", acting.A, f"by itself: the check of {acting.B} failed")
    states = away.test("hearth_loop")
    assert (states["retrain"], states["promote"], states["check"], states["undo"]) == (
        "success",
        "skipped",
        "skipped",
        "skipped",
    )
    assert "only a --reason makes it the champion again" in airflow.said
    assert acting.champion(project) == acting.A


def quiet(project: Checkout, origin: acting.Origin) -> None:
    """Let so little be asked and heard that nothing is beyond chance."""
    rows = sample().iloc[:: acting.EVERY]
    known = columns_of(rows.assign(date=pd.to_datetime(rows["date"])).query("date >= '2015-01-01'"))
    one = life(origin.good, known, 150, acting.DAYS, acting.END, seed=2, noise=0.2)
    one.but(columns=one.columns | {"date": one.at.astype("datetime64[D]")}).write(project.root / acting.LOG)


def risen(project: Checkout, origin: acting.Origin) -> None:
    one = acting.lived(origin.good)
    one.but(paid=np.rint(one.paid * acting.RISE)).write(project.root / acting.LOG)


@real
def test_a_service_is_held_to_the_champions_model(project: Checkout, origin: acting.Origin) -> None:
    """The release that was forced in has the bento of the one before."""
    acting.force(project)
    old, new = origin.good.manifest.model_version, origin.bad.manifest.model_version
    with serving(project) as address:
        asked = ("hearth", "smoke", "--url", address)
        deadline = time.monotonic() + 90
        while "gives no good answer" in (done := project.run(*asked, "--within", "0", check=False)).stderr:
            assert time.monotonic() < deadline, "the service did not start"
        assert done.returncode == 1
        assert f"error: {address} serves the model {old}, wanted {new} of {acting.B}, after 0 s" in done.stderr
        tiny.git(project.root, "tag", "--delete", "house-prices#prod#2", f"house-prices@{acting.B}")
        assert project.run(*asked).stdout == f"{address} serves {acting.A}: model {old}\n"
    tiny.git(project.root, "tag", "--delete", *tiny.git(project.root, "tag").split())
    done = project.run("hearth", "smoke", check=False)
    assert (done.returncode, done.stderr.startswith("error: nothing is released in prod")) == (1, True)


# The workflow


def test_actions_are_pinned_and_permissions_are_no_more_than_needed() -> None:
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"]) for step in JOB["steps"] if "uses" in step)
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert JOB["permissions"] == {"contents": "write", "pull-requests": "write"}
    assert JOB["if"] == "vars.HEARTH_LOG != ''", "as shipped it does nothing"
    assert not [step for step in JOB["steps"] if "${{" in step.get("run", "")], (
        "what others wrote is no part of a command"
    )


@pytest.fixture
def forge(project: Checkout, tmp_path: Path) -> Checkout:
    """Give the project a bare origin, a set-up that is that of the tests, and a `gh` that writes down what it is asked."""
    subprocess.run(["git", "clone", "--quiet", "--bare", project.root, tmp_path / "bare"], check=True)
    project.run("git", "remote", "set-url", "origin", str(tmp_path / "bare"))
    venv = project.root / ".venv"
    venv.mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (venv / name).symlink_to(Path(sys.prefix) / name)
    (venv / "road.done").touch()
    (project.root / ".dvc/plots.html").touch()
    programs = tmp_path / "forge"
    programs.mkdir()
    (programs / "gh").write_text(f"""#!/bin/sh
echo "$@" >> {programs}/asked
case "$2" in
    list) cat {programs}/opened 2>/dev/null; exit 0 ;;
    create) echo 7 > {programs}/opened; cp pull.md {programs}/body ;;
esac
""")
    (programs / "gh").chmod(0o755)
    return Checkout(
        project.root, project.environment | {"PATH": f"{programs}{os.pathsep}{project.environment['PATH']}"}
    )


def run(
    forge: Checkout, log: Path, from_step: str | None = None, outputs: dict[str, str] | None = None
) -> tuple[int, list[str]]:
    """Run the job as the forge would; return its exit status and the names of the steps that ran. `outputs` is filled with theirs."""
    outputs = {} if outputs is None else outputs
    ran: list[str] = []
    names = [step.get("name") for step in JOB["steps"]]
    for step in JOB["steps"][names.index(from_step) if from_step else 0 :]:
        if "run" not in step or not holds(step.get("if"), outputs):
            continue
        told = log.parent / f"output-{len(ran)}"
        told.touch()
        own = {name: filled(text, outputs) for name, text in {**JOB["env"], **step.get("env", {})}.items()}
        own |= {"GITHUB_OUTPUT": str(told)} | ({"HEARTH_LOG": str(log)} if "HEARTH_LOG" in own else {})
        own = {name: value for name, value in own.items() if not name.startswith("AWS_")}
        done = forge.run("bash", "-euo", "pipefail", "-c", step["run"], check=False, **own)
        ran.append(step.get("name", step["run"]))
        if done.returncode:
            ran.append(done.stdout + done.stderr)
            return done.returncode, ran
        lines = [line.partition("=") for line in told.read_text().splitlines()]
        outputs.update({f"steps.{step.get('id')}.outputs.{name}": value for name, _, value in lines})
        told.unlink()
    return 0, ran


def holds(condition: str | None, outputs: dict[str, str]) -> bool:
    """Return whether a condition of the workflow holds; it is made of comparisons, one of which is enough."""
    if condition is None:
        return True
    found = []
    for part in condition.split(" || "):
        match = re.fullmatch(r"(steps\.\w+\.outputs\.\w+) (==|!=) '([\w ]*)'", part)
        assert match, condition
        found.append((outputs.get(match[1], "") == match[3]) == (match[2] == "=="))
    return any(found)


def filled(text: Any, outputs: dict[str, str]) -> str:
    known = GIVEN | outputs
    return re.sub(r"\$\{\{ ([\w.]+) \}\}", lambda found: known.get(found[1], ""), str(text))


def moved(project: Checkout, name: str) -> Path:
    """Put the log where the forge's machine has it not."""
    return Path(shutil.move(project.root / acting.LOG, project.root.parent / name))


@real
def test_an_alarm_becomes_one_pull_request_with_the_comparison(forge: Checkout, origin: acting.Origin) -> None:
    one = acting.lived(origin.good)
    one.but(paid=np.rint(one.paid * acting.RISE)).write(forge.root / acting.LOG)
    log = moved(forge, "log")
    outputs: dict[str, str] = {}
    status, ran = run(forge, log, outputs=outputs)
    assert status == 0, ran
    assert ran[-4:] == ["Monitor", "Retrain", "Push the branch with its data", "Open the pull request"]
    branch = f"retrain/{acting.END}"
    asked = (log.parent / "forge/asked").read_text().splitlines()
    assert (
        asked[-1] == f"pr create --head {branch} --title Retrain on the sales before {acting.END} --body-file pull.md"
    )
    body = (log.parent / "forge/body").read_text()
    assert body.startswith("The monitor advises: bias")
    assert "## hearth compare: " in body
    pushed = subprocess.run(
        ["git", "rev-parse", branch], cwd=log.parent / "bare", capture_output=True, text=True, check=True
    ).stdout
    assert pushed == forge.run("git", "rev-parse", branch).stdout
    missing = forge.run("hearth", "pushed", branch, check=False).stderr
    assert re.findall(r"^  (\S+) of ", missing, flags=re.MULTILINE) == ["data/source/house_sales.parquet"], (
        "the tests' own, on no remote"
    )
    assert acting.champion(forge) == acting.A, "people decide"

    # On another day the branch is there already, and so is its pull request.
    status, ran = run(forge, log, from_step=ran[-1], outputs=outputs)
    assert status == 0, ran
    assert [line.split()[1] for line in (log.parent / "forge/asked").read_text().splitlines()] == [
        "list",
        "create",
        "list",
    ]


@real
def test_without_an_alarm_nothing_follows_and_what_people_must_see_is_red(
    forge: Checkout, origin: acting.Origin
) -> None:
    quiet(forge, origin)
    log = moved(forge, "log")
    status, ran = run(forge, log)
    assert (status, ran[-1]) == (0, "Monitor"), ran
    one = acting.lived(origin.good)
    paid = np.random.default_rng(0).permutation(np.rint(one.paid))
    shutil.rmtree(log)
    one.but(paid=paid).write(forge.root / acting.LOG)
    shutil.rmtree(log, ignore_errors=True)
    log = moved(forge, "log")
    status, ran = run(forge, log)
    assert (status, ran[-2]) == (1, "A person is to look")
    assert "::error::look: outcome_match" in ran[-1]
    assert not (log.parent / "forge/asked").exists()
