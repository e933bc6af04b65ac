"""Start the real Airflow, in an environment of its own, on the DAG files of the project, with a real S3 for a store."""

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import tiny
from conftest import PROJECT
from servers import BUCKET, KEY, SECRET, Server, running, s3

DAGS = PROJECT / "orchestration/airflow"
VENV = PROJECT / ".venv-airflow/bin"


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


def bare(root: Path) -> str:
    """Commit the project without any run, and return the commit."""
    tiny.git(root, "rm", "--quiet", "-r", "dvc.lock", "metrics")
    return tiny.commit(root, "No run")


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
