"""Run both DAGs in the real Airflow, in an environment of its own: parsed, by `airflow dags test`, and under a scheduler.

The store is a real S3. The road of the small project (small.py) is run by tasks once; what goes wrong is planted in that of lab.py. The
loop retrains, promotes and rolls back small projects for real, as tests/test_acting.py does without Airflow.
"""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import lab as laboratory
import numpy as np
import pytest
import test_acting as acting
import test_stage_graph as graphs
import tiny
import yaml
from conftest import PROJECT, STAGES, Checkout
from servers import BUCKET, KEY, SECRET, Server, family, running, s3

from hearth.bento import free_port
from hearth.cli import main

lab, copied, origin, project = laboratory.lab, graphs.copied, acting.origin, acting.project
DAGS = PROJECT / "orchestration/airflow"
VENV = PROJECT / ".venv-airflow/bin"
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


@dataclass(frozen=True)
class Airflow:
    """Be an Airflow: a home of its own, the DAG files, and the environment of its workers."""

    home: Path
    environment: dict[str, str]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([VENV / words[0], *words[1:]], cwd=self.home, env=self.environment, capture_output=True, text=True,
                              check=False)  # fmt: skip

    def but(self, **more: str) -> "Airflow":
        return replace(self, environment=self.environment | more)

    def test(self, dag: str, status: int = 0, **params: Any) -> dict[str, str]:
        """Run a DAG to its end without a scheduler; return the states of its tasks, once its own is as it should be."""
        done = self.run("airflow", "dags", "test", dag, *(("--conf", json.dumps(params)) if params else ()))
        (self.home / "said.log").write_text(done.stdout + done.stderr)
        assert done.returncode == status, done.stdout[-8000:] + done.stderr
        return self.states(dag)

    @property
    def said(self) -> str:
        return (self.home / "said.log").read_text()

    def states(self, dag: str, run: str | None = None) -> dict[str, str]:
        """Return the states of the tasks of a run, by default the newest."""
        run = run or self.ask("select run_id from dag_run where dag_id = ? order by id desc limit 1", dag)[0][0]
        return dict(self.ask("select task_id, state from task_instance where dag_id = ? and run_id = ?", dag, run))

    def ask(self, question: str, *values: str) -> list[Any]:
        with closing(sqlite3.connect(self.home / "airflow.db", timeout=60)) as database:
            return database.execute(question, values).fetchall()


@pytest.fixture(scope="session")
def installed() -> Path:
    """Return the programs of Airflow's own environment; `make` has it made before, or makes it now."""
    done = subprocess.run(["make", ".venv-airflow/done"], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return VENV


@pytest.fixture(scope="module")
def migrated(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """Make Airflow's database once."""
    home = tmp_path_factory.mktemp("airflow")
    own = {"HOME": str(home), "AIRFLOW_HOME": str(home), "PATH": f"{installed}:/usr/bin:/bin", "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8",
           "HEARTH_BIN": programs(home), "HEARTH_RETRY_SECONDS": "1", "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
           "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS), "AIRFLOW__CORE__PARALLELISM": "2", "DVC_SITE_CACHE_DIR": str(home / "site"),
           "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@l", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@l"}  # fmt: skip
    one = Airflow(home, own)
    assert one.run("airflow", "db", "migrate").returncode == 0
    return one


@pytest.fixture
def airflow(migrated: Airflow, tmp_path: Path) -> Airflow:
    """Return an Airflow that has run nothing yet."""
    home = shutil.copytree(migrated.home, tmp_path / "airflow", ignore=shutil.ignore_patterns("airflow.cfg", "logs"))
    return replace(migrated, home=home).but(HOME=str(home), AIRFLOW_HOME=str(home))


def programs(folder: Path) -> str:
    """Return a folder with the project's programs, which run the code that is being tested."""
    target = folder / "bin"
    target.mkdir()
    (target / "python").symlink_to(sys.executable)
    (target / "hearth").write_text(
        f'#!/bin/sh\nexport PYTHONPATH="${{CODE:-{PROJECT / "src"}}}"\nexec {Path(sys.executable).with_name("hearth")} "$@"\n'
    )
    (target / "hearth").chmod(0o755)
    return str(target)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(s3(tmp_path_factory.mktemp("s3"))) as server:
        yield server


def stored(airflow: Airflow, server: Server, folder: str) -> Airflow:
    """Give Airflow the store by a connection; its workers' environment knows no key."""
    known = {"conn_type": "aws", "login": KEY, "password": SECRET,
             "extra": {"endpoint": f"http://127.0.0.1:{server.port}", "region": "us-east-1"}}  # fmt: skip
    return airflow.but(
        AIRFLOW_CONN_HEARTH_STORE=json.dumps(known), HEARTH_REMOTE=f"s3://{BUCKET}/{folder}", AWS_MAX_ATTEMPTS="1"
    )


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


def test_the_diagrams_in_the_docs_are_those_of_the_dags(installed: Path) -> None:
    done = subprocess.run(
        [installed / "python", PROJECT / "tools/dags.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


# The road


def bare(root: Path) -> str:
    """Commit the project without any run, and return the commit."""
    tiny.git(root, "rm", "--quiet", "-r", "dvc.lock", "metrics")
    return tiny.commit(root, "No run")


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
    commit = bare(root)
    states = (
        stored(airflow, store, "small").but(CODE=str(root / "src"), HEARTH_REPOSITORY=str(root)).test("hearth_road")
    )
    assert {*states.values()} == {"success", "skipped"}
    assert [name for name, state in states.items() if state == "skipped"] == ["alert"]
    assert re.findall(r"(\w+) of \w{7}: ran", airflow.said) == list(STAGES)
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


@pytest.fixture
def two(airflow: Airflow, store: Server, lab: Path, tmp_path: Path) -> tuple[Airflow, Path]:
    """Return an Airflow whose road is the lab's, on S3, and the project, which has no run."""
    (tmp_path / "road.json").write_text(json.dumps(TWO))
    name = tmp_path.name
    shutil.copytree(lab.parent / "remote", store.store / name)
    bare(lab)
    return stored(airflow, store, name).but(HEARTH_ROAD=str(tmp_path / "road.json"), HEARTH_REPOSITORY=str(lab)), lab


@contextmanager
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Listen as a chat's webhook does; yield its address and what it was told."""
    told: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/a-secret-path", told
        finally:
            server.shutdown()
            thread.join()


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


# The loop


def loop(airflow: Airflow, clone: Checkout) -> Airflow:
    """Let the loop work in a clone, with the clock and the code that it has."""
    own = {name: value for name, value in clone.environment.items() if name.startswith(("HEARTH_", "DVC_"))}
    return airflow.but(
        **own, HEARTH_CLONE=str(clone.root), CODE=str(clone.root / "src"), TMPDIR=clone.environment["TMPDIR"]
    )


def test_where_no_alarm_is_due_all_that_follows_is_skipped(
    airflow: Airflow, project: Checkout, origin: acting.Origin
) -> None:
    acting.lived(origin.good).write(project.root / acting.LOG)
    before = acting.state(project)
    states = loop(airflow, project).test("hearth_loop")
    assert {*states.values()} == {"skipped"}
    assert airflow.ask("select count(*) from asset_event") == [(0,)]
    assert acting.state(project) == before


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


def risen(project: Checkout, origin: acting.Origin) -> None:
    one = acting.lived(origin.good)
    one.but(paid=np.rint(one.paid * acting.RISE)).write(project.root / acting.LOG)
