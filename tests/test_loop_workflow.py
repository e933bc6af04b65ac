"""Run each `run:` line of .github/workflows/loop.yml here, on a project with a bare git remote; only the forge's own `gh` is recorded."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_acting as acting
import yaml
from conftest import PROJECT, Checkout

origin, project = acting.origin, acting.project
WORKFLOW = yaml.safe_load((PROJECT / ".github/workflows/loop.yml").read_text())
JOB = WORKFLOW["jobs"]["loop"]
GIVEN = {
    "vars.HEARTH_LOG": "",
    "github.token": "none",
    "secrets.AWS_ACCESS_KEY_ID": "",
    "secrets.AWS_SECRET_ACCESS_KEY": "",
}


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


def run(forge: Checkout, log: Path) -> tuple[int, list[str]]:
    """Run the job as the forge would; return its exit status and the names of the steps that ran."""
    outputs: dict[str, str] = {}
    ran: list[str] = []
    for step in JOB["steps"]:
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
        outputs |= {f"steps.{step.get('id')}.outputs.{name}": value for name, _, value in
                    (line.partition("=") for line in told.read_text().splitlines())}  # fmt: skip
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


def test_an_alarm_becomes_one_pull_request_with_the_comparison(forge: Checkout, origin: acting.Origin) -> None:
    one = acting.lived(origin.good)
    one.but(paid=np.rint(one.paid * acting.RISE)).write(forge.root / acting.LOG)
    log = moved(forge, "log")
    status, ran = run(forge, log)
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

    # The next day, on a fresh machine: the same branch, and no second pull request.
    forge.run("git", "switch", "--quiet", "main")
    (forge.root / "pull.md").unlink()
    status, ran = run(forge, log)
    assert status == 0, ran
    assert [line.split()[1] for line in (log.parent / "forge/asked").read_text().splitlines()] == [
        "list",
        "create",
        "list",
    ]


def test_without_an_alarm_nothing_follows_and_what_people_must_see_is_red(
    forge: Checkout, origin: acting.Origin
) -> None:
    acting.lived(origin.good).write(forge.root / acting.LOG)
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
