"""Give tests a project of their own: the whole road remade elsewhere, or a folder with a small table."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from hearth.bento import served
from hearth.journal import LOG_DIR
from hearth.verification import Verified

# A suite that runs in the background has Ctrl-C ignored, and so would have what it starts and ends by Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

PROJECT = Path(__file__).resolve().parent.parent
STAGES = ("collect", "validate", "prepare", "train", "evaluate", "profile", "package")

# The files that take longest, in the order in which `make test` hands them to its workers: the road is made by the
# first that needs it, `simulating`, and the many short ones come last, to fill what is left.
LONGEST = ("releasing", "retraining", "simulating", "acting", "airflow", "tasks", "kubeflow", "pipeline", "sources_databases", "other_table", "remotes", "sources_stream", "model", "predict", "faults", "verify", "tuning", "faults_dvc", "alerts", "leakage", "page_browser", "abuse", "service", "served_log", "package", "native", "scan",
           "collect", "sources_files", "bad_input", "attestation", "locked", "merge", "pushed", "storage_target", "cli", "plotdata_charts", "gate_proofs")  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the longest files first; the order in a file stays."""
    places = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@dataclass(frozen=True)
class Checkout:
    """Be a copy of the project in a folder of its own, with the environment that its commands run in."""

    root: Path
    environment: dict[str, str]

    def run(self, *command: str, check: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the copy's top folder; `more` goes into its environment."""
        done = subprocess.run(
            command, cwd=self.root, env=self.environment | more, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def status(self) -> list[str]:
        """Return all that git calls changed, new or ignored, but for the bytecode that Python keeps where it is not told not to."""
        listed = self.run("git", "status", "--porcelain", "--ignored").stdout.splitlines()
        return [line for line in listed if not line.endswith("__pycache__/")]


def checkout_at(target: Path, **environment: str) -> Checkout:
    """Return the copy of the project that is, or will be, at `target`."""
    own = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(target / "src"),
        "DVC_SITE_CACHE_DIR": str(target.parent / f"{target.name}-site-cache"),
        "GIT_AUTHOR_NAME": "test", "GIT_AUTHOR_EMAIL": "test@localhost",
        "GIT_COMMITTER_NAME": "test", "GIT_COMMITTER_EMAIL": "test@localhost",
    }  # fmt: skip
    return Checkout(target, dict(os.environ) | own | environment)


def copy_project(target: Path, **environment: str) -> Checkout:
    """Clone the project and lay its uncommitted changes over the clone, so that tests see what is being worked on."""
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", PROJECT, target], check=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--modified", "--others", "--exclude-standard", "--deduplicate"],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        (target / name).unlink(missing_ok=True)
        if (PROJECT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, target / name)
    checkout = checkout_at(target, **environment)
    if checkout.run("git", "status", "--porcelain").stdout:
        checkout.run("git", "add", "--all")
        checkout.run("git", "commit", "--quiet", "--message", "what is being worked on")
    return checkout


@dataclass(frozen=True)
class Remade:
    """Be a copy in which `hearth verify` ran the whole road, what it found, and a copy of that copy.

    The workers of pytest-xdist share all of it. Nobody changes `checkout`; only tests/test_pipeline.py, which one worker
    runs, changes `spare`.
    """

    checkout: Checkout
    verified: Verified
    spare: Checkout


@pytest.fixture(scope="session")
def remade(tmp_path_factory: pytest.TempPathFactory) -> Remade:
    """Verify a copy of the project: its road is run anew under another path, hash seed, time zone, locale and thread count."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "remade"
    where = {"PYTHONHASHSEED": "7", "TZ": "Asia/Kathmandu", "OMP_NUM_THREADS": "1", "LC_ALL": "C"}
    first, second = (folder / name / "ein Ort, weit über dem Fluß" for name in ("first", "second"))
    found = folder / "verified.json"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one worker makes it; the others wait here
        if not found.exists():
            if (folder / "copy").exists():
                pytest.fail("the road could not be remade; another worker's first error says why")
            copied = copy_project(folder / "copy")
            done = copied.run("hearth", "verify", "--here", "--json", "--keep", str(first), check=False)
            if not done.stdout.startswith("{"):
                pytest.fail(f"`hearth verify` ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
            checkout_at(first, **where).run("git", "switch", "--quiet", "--force-create", "main")
            shutil.copytree(first, second, symlinks=True)
            found.write_text(done.stdout)
    verified = Verified.model_validate_json(found.read_text())
    return Remade(checkout_at(first, **where), verified, checkout_at(second, **where))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change into a folder with the real contract and params and every twelfth sale, where stages run in-process."""
    for name in ("params.yaml", "data/contract.yaml", "data/cards.yaml", "requirements-serve.lock"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, tmp_path / name)
    source = tmp_path / "data" / "source" / "house_sales.parquet"
    source.parent.mkdir()
    sample().iloc[::12].to_parquet(source, index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sample() -> pd.DataFrame:
    """Return the shipped sales, from the workspace or from the embedded remote."""
    remote = PROJECT / "data/remote/files/md5/b5/e6b6d509a1584a742f81ead3ef5953"
    return pd.read_parquet(remote)


def needs(*programs: str, package: str = "") -> str:
    """Return where the first of these system programs is; they stand for one package, that of the first name unless named.

    Without any, skip the test with a notice; fail under CI=true (see tests/system.sh).
    """
    if found := next(filter(None, map(shutil.which, programs)), None):
        return found
    message = (
        f"{programs[0]} is not installed; install the package {package or programs[0]} (make test does where it may)"
    )
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def log_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the served bento keeps what it is told."""
    return tmp_path_factory.mktemp("log")


@pytest.fixture(scope="session")
def address(remade: Remade, log_folder: Path) -> Iterator[str]:
    """Serve the remade bento with the real server, once for all tests."""
    with served(remade.checkout.root / "models/house_prices.bento", {LOG_DIR: str(log_folder)}) as (address, _):
        yield address


@pytest.fixture(scope="session")
def house() -> dict[str, Any]:
    """Return the contract's example as a request."""
    columns = yaml.safe_load((PROJECT / "data/contract.yaml").read_text())["columns"]
    return {name: column["example"] for name, column in columns.items() if column["role"] == "feature"}
