"""Hold the DAG files to dvc.yaml, and run the road of tests/lab.py in the real Airflow: what is asked wrongly, and under a scheduler.

What the small projects' roads and loops come to is in tests/test_loop.py.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import airflows
import lab as laboratory
import pytest
import test_stage_graph as graphs
import tiny
import yaml
from airflows import DAGS, VENV, Airflow, bare, stored, webhook
from conftest import PROJECT
from servers import SECRET, Server, family

from hearth.bento import free_port
from hearth.cli import main

installed, migrated, airflow, store = airflows.installed, airflows.migrated, airflows.airflow, airflows.store
lab, copied = laboratory.lab, graphs.copied
WITHIN_S = 240
PARSED_WITHIN_S = 2.0  # of CPU
JWT = {"AIRFLOW__API_AUTH__JWT_SECRET": "a-secret-of-these-tests-that-is-long-enough-for-it"}
TWO = [{"name": "make", "desc": "Make it.", "after": []}, {"name": "use", "desc": "Use it.", "after": ["make"]}]
# Tells what the DAG files take of CPU once Airflow is loaded, and what they say, as JSON.
PARSE = """
import importlib.util, json, sys, time
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, Connection, Param, TaskGroup, task
sys.path.insert(0, sys.argv[1])
began = time.process_time()
import hearth_loop, hearth_road
took = time.process_time() - began
dags = [value for module in (hearth_road, hearth_loop) for value in vars(module).values() if isinstance(value, DAG)]
print(json.dumps({
    "took": took,
    "strangers": [name for name in ("dvc", "hearth", "pandas", "bentoml") if importlib.util.find_spec(name)],
    "edges": {dag.dag_id: {one.task_id: sorted(one.upstream_task_ids) for one in dag.tasks} for dag in dags},
    "catchup": [dag.catchup for dag in dags],
    "tasks": {f"{dag.dag_id}.{one.task_id}": [one.retries, one.pool, bool(one.execution_timeout), str(one.doc_md)] for dag in dags for one in dag.tasks},
}))
"""


def parsed(dags: Path, programs: Path) -> dict[str, Any]:
    environment = {"PATH": "/usr/bin:/bin", "AIRFLOW_HOME": str(dags / "none"), "HOME": str(dags / "none")}
    done = subprocess.run(
        [programs / "python", "-P", "-c", PARSE, dags], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


# The files


def test_the_dag_files_follow_dvc_yaml_and_know_no_other_graph(installed: Path, copied: Path) -> None:
    """A stage is added to dvc.yaml, and another one waits for it from then on."""
    shutil.copytree(DAGS, copied / "orchestration/airflow", ignore=shutil.ignore_patterns("__pycache__", "none"))
    found = parsed(copied / "orchestration/airflow", installed)
    assert found["took"] < PARSED_WITHIN_S
    assert found["strangers"] == [], "Airflow's environment holds what is the project's"
    assert found["catchup"] == [False, False]
    road = found["edges"]["hearth_road"]
    inner = {
        name: [one for one in before if one != "resolve"] for name, before in road.items() if name.startswith("road.")
    }
    wanted = json.loads((PROJECT / "orchestration/road.json").read_text())
    assert inner == {f"road.{one['name']}": sorted(f"road.{name}" for name in one["after"]) for one in wanted}
    assert road["road.collect"] == ["resolve"]
    assert {*road["alert"]} == {*road} - {"alert"}
    assert found["tasks"]["hearth_road.road.train"][:3] == [3, "default_pool", True]
    assert found["tasks"]["hearth_road.road.train"][3].startswith("Fit the recipe twice")
    loop = found["edges"]["hearth_loop"]
    assert {*loop["alert"]} == {*loop} - {"alert", "stop"}
    assert found["tasks"]["hearth_loop.roll_back"][0] == 0, "twice would go back two releases"

    declared = yaml.safe_load((copied / "dvc.yaml").read_text())
    declared["stages"]["publish@eu"] = {"cmd": "true", "deps": ["data/raw/sales.parquet"], "outs": ["data/told"]}
    declared["stages"]["package"]["deps"].append("data/told")
    (copied / "dvc.yaml").write_text(yaml.safe_dump(declared, sort_keys=False).replace("publish@eu", "publish"))
    assert main(["docs"]) == 0
    road = parsed(copied / "orchestration/airflow", installed)["edges"]["hearth_road"]
    assert road["road.publish"] == ["road.collect"]
    assert "road.publish" in road["road.package"]


def test_airflows_lock_is_its_own_and_every_line_has_hashes() -> None:
    lock = (DAGS / "requirements.lock").read_text()
    assert not re.search(r"^(dvc|hearth|bentoml|pandas)\b", lock, flags=re.MULTILINE)
    pins = re.findall(r"^[\w.-]+(?:\[[\w,]+\])?==", lock, flags=re.MULTILINE)
    assert len(pins) > 100
    assert len(re.findall(r"^[\w.-]+.*\\\n    --hash=sha256:", lock, flags=re.MULTILINE)) == len(pins)


def test_the_diagrams_in_the_docs_are_those_of_the_dags(installed: Path, tmp_path: Path) -> None:
    def drawn(root: Path, *words: str) -> tuple[int, str]:
        done = subprocess.run(
            [installed / "python", "-B", root / "tools/dags.py", *words], capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    assert drawn(PROJECT, "--check") == (0, "")
    for name in ("tools", "orchestration", "docs"):
        shutil.copytree(PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    road = tmp_path / "orchestration/road.json"
    stages = json.loads(road.read_text())
    road.write_text(json.dumps([*stages, {"name": "publish", "desc": "Tell it.", "after": ["package"]}]))
    status, said = drawn(tmp_path, "--check")
    assert (status, said.startswith("docs/orchestration.md is stale")) == (1, True)
    assert drawn(tmp_path) == (0, "")
    assert "  road.package --> road.publish\n" in (tmp_path / "docs/orchestration.md").read_text()
    assert drawn(tmp_path, "--check") == (0, "")


# The road


@pytest.fixture
def two(airflow: Airflow, store: Server, lab: Path, tmp_path: Path) -> tuple[Airflow, Path]:
    """Return an Airflow whose road is the lab's, on S3, and the project, which has no run."""
    (tmp_path / "road.json").write_text(json.dumps(TWO))
    name = tmp_path.name
    shutil.copytree(lab.parent / "remote", store.store / name)
    bare(lab)
    return stored(airflow, store, name).but(HEARTH_ROAD=str(tmp_path / "road.json"), HEARTH_REPOSITORY=str(lab)), lab


def test_a_commit_that_does_not_exist_fails_at_once_and_the_alert_tells(
    two: tuple[Airflow, Path], tmp_path: Path
) -> None:
    """Its name is no command, whatever it holds."""
    airflow, _ = two
    commit = f"$(touch {tmp_path}/planted)"
    with webhook() as (url, told):
        hook = json.dumps({"conn_type": "http", "password": url})
        states = airflow.but(AIRFLOW_CONN_HEARTH_ALERT=hook).test("hearth_road", status=1, commit=commit)
    assert states["resolve"] == states["alert"] == "failed"
    assert {states["road.make"], states["road.use"], states["gather"]} == {"upstream_failed"}
    assert airflow.ask("select try_number from task_instance where task_id = 'resolve'") == [(1,)], (
        "it is not tried again"
    )
    assert f"has no commit, branch or tag {commit}; push it, or name another." in airflow.said
    assert not (tmp_path / "planted").exists()
    assert len(told) == 1
    assert told[0]["text"].endswith("failed: resolve")
    assert "a-secret-path" not in airflow.said


# Under a real scheduler


@contextmanager
def scheduled(airflow: Airflow) -> Iterator[Callable[..., Any]]:
    """Run Airflow's parts, on the loopback only; yield what asks its API."""
    port = free_port()
    airflow = airflow.but(
        AIRFLOW__CORE__EXECUTION_API_SERVER_URL=f"http://127.0.0.1:{port}/execution/", AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS="True",
        AIRFLOW__API__BASE_URL=f"http://127.0.0.1:{port}", **JWT, AIRFLOW__API__PORT=str(port),
        AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION="False", AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC="1", HEARTH_LOOP_SCHEDULE="@yearly",
        AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES="1",
    )  # fmt: skip
    parts = (
        ["api-server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        ["dag-processor"],
        ["scheduler", "--skip-serve-logs"],
    )
    started: list[subprocess.Popen[bytes]] = []
    with (airflow.home / "parts.log").open("ab") as log:
        try:
            for words in parts:
                started += [subprocess.Popen([VENV / "airflow", *words], cwd=airflow.home, env=airflow.environment, stdin=subprocess.DEVNULL,
                                             stdout=log, stderr=log, start_new_session=True)]  # fmt: skip
            head: dict[str, str] = {"content-type": "application/json"}

            def ask(path: str, body: Any = None) -> Any:
                data = None if body is None else json.dumps(body).encode()
                with urllib.request.urlopen(
                    urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, head), timeout=60
                ) as answer:
                    return json.load(answer)

            wait(lambda: ask("/api/v2/monitor/health")["scheduler"]["status"] == "healthy", started, airflow)
            head["authorization"] = f"Bearer {ask('/auth/token')['access_token']}"
            wait(lambda: len(ask("/api/v2/dags")["dags"]) == 2, started, airflow)
            yield ask
        finally:
            for one in started:
                for number in family(one.pid):  # the scheduler gives each task a session of its own
                    try:
                        os.kill(number, signal.SIGKILL)
                    except ProcessLookupError:
                        continue
                one.wait()


def wait(until: Callable[[], Any], parts: list["subprocess.Popen[bytes]"], airflow: Airflow) -> Any:
    """Return the first answer that is true; not to be reached yet is none."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            if found := until():
                return found
        except OSError:
            pass
        said = (airflow.home / "parts.log").read_text()[-6000:]
        assert all(one.poll() is None for one in parts), said
        assert time.monotonic() < deadline, said
        time.sleep(0.5)


FAILS_ONCE = """first = pathlib.Path(os.environ["FAILED"])
if not first.exists():
    first.touch()
    raise SystemExit("it fails once")
EXTRA = 0"""


def test_an_event_starts_the_road_a_failed_stage_is_tried_again_and_a_second_run_runs_no_stage(
    two: tuple[Airflow, Path], store: Server, tmp_path: Path
) -> None:
    airflow, root = two
    laboratory.change(root, "src/hearth/make.py", "EXTRA = 0", FAILS_ONCE)
    commit = tiny.commit(root, "A stage that fails once")
    airflow = airflow.but(FAILED=str(tmp_path / "failed"))
    # Debian's bash reads this file where its standard input is a socket, as the supervisor's is.
    (airflow.home / ".bashrc").write_text("export PATH=/usr/bin:/bin\n")
    logs = []
    with scheduled(airflow) as ask:
        (source,) = (one for one in ask("/api/v2/assets")["assets"] if one["name"] == "hearth_source")
        for number in (1, 2):
            ask("/api/v2/assets/events", {"asset_id": source["id"], "extra": {}})

            def ended(number: int = number) -> Any:
                runs = ask("/api/v2/dags/hearth_road/dagRuns")["dag_runs"]
                return runs if len([one for one in runs if one["state"] in {"success", "failed"}]) == number else None

            runs = wait(ended, [], airflow)
            logs.append(log_of(airflow, max(one["dag_run_id"] for one in runs)))
    assert [one["state"] for one in runs] == ["success", "success"], logs
    assert {one["run_type"] for one in runs} == {"asset_triggered"}
    tries = airflow.ask(
        "select run_id, task_id, try_number, state from task_instance where dag_id = 'hearth_road' and task_id = 'road.make'"
    )
    assert sorted(one[2:] for one in tries) == [(1, "success"), (2, "success")]
    first, second = logs
    assert "it fails once" in first
    assert f"make of {commit[:7]}: ran" in first
    assert f"use of {commit[:7]}: ran" in first
    assert [f"{name} of {commit[:7]}: as before" in second for name in ("make", "use")] == [True, True]
    assert "Running stage" not in second
    assert SECRET not in first + second
    assert airflow.ask(
        "select count(*) from asset_event e join asset a on a.id = e.asset_id where a.name = 'hearth_bento'"
    ) == [(2,)]
    assert airflow.ask("select count(*) from dag_run where dag_id = 'hearth_loop'") <= [(1,)], "there is no catching up"
    assert list((store.store / tmp_path.name / "hearth/runs" / commit).iterdir())


def log_of(airflow: Airflow, run: str) -> str:
    """Return what the tasks of a run logged."""
    return "".join(path.read_text() for path in sorted((airflow.home / "logs").rglob("*.log")) if run in str(path))
