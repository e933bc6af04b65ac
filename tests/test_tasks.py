"""Run stages as a scheduler's tasks: real git, real DVC, a folder and a real S3 for a remote; and kill, forge and damage on the way.

The project is that of lab.py: `make` (a folder, and a metric that git keeps) and `use`. Its first commit here has no dvc.lock, so
that what the tasks make can be held to what a local `dvc repro` made.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lab as laboratory
import pytest
import tiny
from conftest import Checkout
from servers import BUCKET, KEY, SECRET, running, s3

from hearth.locks import md5

lab = laboratory.lab
WITHIN_S = 60
WRONG = {"AWS_SECRET_ACCESS_KEY": "wrong"}
# A stage that says that it began, and goes on when it may.
WAITS = 'import time\npathlib.Path(os.environ["BEGAN"], str(os.getpid())).touch()\nwhile not pathlib.Path(os.environ["MAY"]).exists(): time.sleep(0.02)\nEXTRA = 0'


@dataclass(frozen=True)
class Made:
    """Be the project without a run, what a local run makes of it, and the remote that tasks are given."""

    here: Checkout
    local: dict[str, bytes]
    remote: str

    @property
    def root(self) -> Path:
        return self.here.root

    @property
    def commit(self) -> str:
        return tiny.git(self.root, "rev-parse", "HEAD")

    def words(self, stage: str, *more: str) -> list[str]:
        return [
            "hearth",
            "task",
            stage,
            "--repository",
            str(self.root),
            "--remote",
            self.remote,
            "--commit",
            "main",
            *more,
        ]

    def task(self, stage: str, *more: str, status: int = 0, **environment: str) -> str:
        """Return all that a task says, once its exit status is what it should be."""
        done = self.here.run(*self.words(stage, *more), check=False, **environment)
        said = done.stdout + done.stderr
        assert done.returncode == status, said
        assert "Traceback" not in said
        return said

    def handed(self, stage: str, commit: str = "") -> Path:
        return Path(self.remote, "hearth/runs", commit or self.commit, f"{stage}.json")


def files(root: Path) -> dict[str, bytes]:
    """Return dvc.lock and all that the stages made."""
    names = [root / "dvc.lock", *(root / "models").rglob("*"), *(root / "metrics").rglob("*")]
    return {str(path.relative_to(root)): path.read_bytes() for path in names if path.is_file()}


@pytest.fixture
def made(lab: Path, tmp_path: Path) -> Made:
    """Forget the run of the lab, but for what it made; its remote has the source only."""
    local = files(lab)
    shutil.rmtree(lab / "models")
    shutil.rmtree(lab / ".dvc/cache")
    tiny.git(lab, "rm", "--quiet", "dvc.lock", "metrics/metrics.json")
    tiny.commit(lab, "No run")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    here = laboratory.here(lab)
    return Made(Checkout(lab, here.environment | {"TMPDIR": str(scratch)}), local, str(lab.parent / "remote"))


def gathered(one: Made) -> dict[str, bytes]:
    """Gather into the work tree, pull, and return what is there; DVC holds it for current."""
    one.here.run("hearth", "gather")
    one.here.run("dvc", "pull", "--quiet")
    assert one.here.run("dvc", "status").stdout.strip().endswith("Data and pipelines are up to date.")
    return files(one.root)


def test_what_tasks_make_is_byte_by_byte_what_a_local_run_makes(made: Made, tmp_path: Path) -> None:
    assert made.task("make", "--resolve", status=2).startswith("error: name a stage, or --resolve.")
    words = [word for word in made.words("make", "--resolve") if word != "make"]
    assert made.here.run(*words).stdout == f"{made.commit}\n"
    short = made.commit[:7]
    said = made.task("use", status=1)
    assert f"the stage make, which comes before use, has not run for {short}" in said
    assert "run its task first" in said
    elsewhere = Checkout(tmp_path, made.here.environment)
    whole = ["hearth", "gather", "--check", "--repository", str(made.root), "--remote", made.remote]
    said = elsewhere.run(*whole, check=False).stderr
    assert f"error: the road of {short} is not whole on the remote:\n  stage make is not in dvc.lock" in said
    assert made.task("make").endswith(f"make of {short}: ran\n")
    assert made.task("use").endswith(f"use of {short}: ran\n")
    assert "the whole road" in elsewhere.run(*whole).stdout
    assert "is in no hearth project" in elsewhere.run("hearth", "gather", check=False).stderr
    assert tiny.git(made.root, "status", "--porcelain") == "", "--check changes nothing"
    assert gathered(made) == made.local
    assert list(Path(made.here.environment["TMPDIR"]).iterdir()) == [], "a checkout is left behind"

    # Once more nothing runs: neither of the same commit, nor of one whose lock has it all.
    for name in ("make", "use"):
        assert (
            made.task(name)
            == f"{name} of {short}: as before: its entry in dvc.lock is true, and the remote has what it made\n"
        )
    tiny.commit(made.root, "The run")
    known = made.handed("make").parent.parent
    assert "as before" in made.task("make")
    assert [one.name for one in known.iterdir()] != [made.commit], "nothing is handed over where the commit has it"

    # Another commit changes the last stage alone, and later takes that back.
    laboratory.change(made.root, "src/hearth/use.py", "text.upper()", "text.title()")
    tiny.commit(made.root, "Another use")
    assert "make of" in made.task("make")
    assert "as before" in made.task("make")
    assert ": ran" in made.task("use")
    tiny.git(made.root, "rm", "--quiet", "dvc.lock")
    laboratory.change(made.root, "src/hearth/use.py", "text.title()", "text.upper()")
    tiny.commit(made.root, "As it was, without a lock")
    for name in ("make", "use"):
        said = made.task(name)
        assert said.endswith("taken from the run cache: it ran with these very inputs before\n"), said
    assert gathered(made) == made.local


def test_the_same_on_s3_with_its_address_and_keys_from_the_environment(made: Made, tmp_path: Path) -> None:
    with running(s3(tmp_path)) as server:
        shutil.copytree(made.remote, server.store / "lab")
        keys = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.port}", "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET,
                "AWS_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1"}  # fmt: skip
        here = Checkout(made.root, made.here.environment | keys)
        away = Made(here, made.local, f"s3://{BUCKET}/lab")
        assert "cannot be asked" in away.task("make", status=1, **WRONG)
        assert ": ran" in away.task("make")
        server.kill()  # it is down, and comes back
        said = away.task("use", status=1)
        assert "the DVC remote hearth-task cannot be asked" in said
        assert "the task may be tried again" in said
        server.start()
        assert ": ran" in away.task("use")
        here.run("dvc", "remote", "add", "--quiet", "--local", "--default", "s3", away.remote)
        assert gathered(away) == made.local

        # An object that was damaged on the remote goes into no stage.
        laboratory.change(made.root, "src/hearth/use.py", "text.upper()", "text.title()")
        tiny.commit(made.root, "Another use")
        listed = md5(made.local["models/model/order.csv"])
        tiny.damage(server.store / "lab/files/md5" / listed[:2] / listed[2:], b"damaged")
        said = away.task("use", status=1)
        assert "the stage use failed" in said


# What is killed, and what goes on at once


@contextmanager
def begun(one: Made, folder: Path, count: int = 1) -> Iterator[tuple[list["subprocess.Popen[str]"], Path]]:
    """Start tasks of `make`, and yield them once the stage runs in each; give the file that lets them go on."""
    folder.mkdir()
    may = folder.parent / "may"
    environment = one.here.environment | {"BEGAN": str(folder), "MAY": str(may)}
    tasks = [subprocess.Popen(one.words("make"), cwd=one.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, start_new_session=True) for _ in range(count)]  # fmt: skip
    try:
        deadline = time.monotonic() + WITHIN_S
        while len(list(folder.iterdir())) < count:
            assert time.monotonic() < deadline, "the stage did not begin"
            assert all(task.poll() is None for task in tasks), [task.stdout and task.stdout.read() for task in tasks]
            time.sleep(0.02)
        yield tasks, may
    finally:
        may.touch()
        for task in tasks:
            task.kill()
            task.communicate()


def lives(process: int) -> bool:
    """Return whether a process is there, and no mere entry that nobody has asked for yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def waiting(one: Made) -> None:
    laboratory.change(one.root, "src/hearth/make.py", "EXTRA = 0", WAITS)
    tiny.commit(one.root, "A stage that waits")


def test_a_task_that_is_killed_in_mid_stage_hands_nothing_over_and_is_tried_again(made: Made, tmp_path: Path) -> None:
    waiting(made)
    before = sorted(path for path in Path(made.remote).rglob("*") if path.is_file())
    scratch = Path(made.here.environment["TMPDIR"])
    with begun(made, tmp_path / "first") as ((task,), may):
        os.killpg(task.pid, signal.SIGKILL)
        task.wait()
        assert sorted(path for path in Path(made.remote).rglob("*") if path.is_file()) == before
        assert [path.name for path in scratch.glob("hearth-task-*")], "what was killed leaves its checkout"
    assert "has not run" in made.task("use", status=1)
    assert ": ran" in made.task("make", BEGAN=str(tmp_path / "first"), MAY=str(may))
    assert list(scratch.glob("hearth-task-*")) == [], "the next task tidies up"
    assert ": ran" in made.task("use")


def test_a_task_that_is_stopped_ends_its_stage_and_leaves_no_checkout(made: Made, tmp_path: Path) -> None:
    waiting(made)
    with begun(made, tmp_path / "first") as ((task,), _):
        stage = int(next((tmp_path / "first").iterdir()).name)
        task.terminate()
        assert task.wait(WITHIN_S) == 128 + signal.SIGTERM
        assert not lives(stage)
    assert list(Path(made.here.environment["TMPDIR"]).glob("hearth-task-*")) == []
    assert not made.handed("make").exists()


def test_two_tasks_of_the_same_stage_at_once_do_no_harm(made: Made, tmp_path: Path) -> None:
    waiting(made)
    with begun(made, tmp_path / "both", count=2) as (tasks, may):
        may.touch()
        for task in tasks:
            said = task.communicate(timeout=WITHIN_S)[0]
            assert task.returncode == 0, said
            assert ": ran" in said
    assert ": ran" in made.task("use")
    assert (
        gathered(made).items() >= {name: content for name, content in made.local.items() if name != "dvc.lock"}.items()
    )


def test_what_lies_in_a_folder_that_a_stage_reads_is_there(made: Made) -> None:
    """DVC itself pulls only what is a dep by its own path, and the stage would run without it."""
    for name, old, new in (("dvc.yaml", "deps: [data/in.txt", "deps: [data"), ("dvc.yaml", "deps: [models/model,", "deps: [models,"),
                           ("dvc.yaml", "outs: [models/report.txt]", "outs: [report.txt]"), ("src/hearth/use.py", "models/report", "report")):  # fmt: skip
        laboratory.change(made.root, name, old, new)
    tiny.commit(made.root, "Folders")
    assert ": ran" in made.task("make")
    assert ": ran" in made.task("use")
    source = re.search(r"md5: (\w{2})(\w+)", (made.root / "data/in.txt.dvc").read_text())
    assert source
    Path(made.remote, "files/md5", source[1], source[2]).unlink()
    Path(made.remote, "runs").rename(made.root.parent / "runs")
    made.handed("make").unlink()
    assert "what make reads cannot be pulled, so nothing ran" in made.task("make", status=1)


def test_what_was_pushed_but_not_handed_over_is_not_used_and_a_retry_takes_it_from_the_run_cache(made: Made) -> None:
    """As after a kill between the push and the hand-over; a hand-over that is torn is none either."""
    made.task("make")
    content = made.handed("make").read_bytes()
    made.handed("make").write_bytes(content[: len(content) // 2])
    assert "has not run" in made.task("use", status=1)
    made.handed("make").unlink()
    assert "has not run" in made.task("use", status=1)
    assert "taken from the run cache" in made.task("make")
    assert made.handed("make").read_bytes() == content


def test_what_git_keeps_is_held_to_its_hash_on_the_remote(made: Made) -> None:
    made.task("make")
    name = md5(made.local["metrics/metrics.json"])
    path = Path(made.remote, "files/md5", name[:2], name[2:])
    tiny.damage(path, b"{}")
    said = made.task("use", status=1)
    assert f"metrics/metrics.json has the md5 {md5(b'{}')} on the remote hearth-task, wanted {name}" in said
    path.unlink()
    assert "its object" in made.task("use", status=1)
    assert ": ran" in made.task("make"), "the task of the stage that made it makes it anew"
    assert path.read_bytes() == made.local["metrics/metrics.json"]
    assert ": ran" in made.task("use")


# What cannot be


def test_what_cannot_be_asked_is_wrong_use_and_what_failed_may_be_tried_again(made: Made, tmp_path: Path) -> None:
    assert f"{made.root} has no commit, branch or tag nowhere" in made.task("make", "--commit", "nowhere", status=2)
    assert "train is no stage of dvc.yaml" in made.task("train", status=2)
    assert "cannot be cloned" in made.task("make", "--repository", str(tmp_path / "none"), status=1)
    laboratory.change(made.root, "src/hearth/make.py", "EXTRA = 0", 'raise SystemExit("a planted fault")')
    tiny.commit(made.root, "A fault")
    said = made.task("make", status=1)
    assert "a planted fault" in said
    assert "error: the stage make failed; what it said stands above" in said
    assert not (Path(made.remote) / "hearth").exists()


def test_a_commit_without_a_default_remote_needs_one_to_be_named(made: Made) -> None:
    tiny.dvc(made.root, "remote", "default", "--unset")
    tiny.commit(made.root, "No default")
    done = made.here.run("hearth", "task", "make", check=False)
    assert done.returncode == 2
    assert "this commit names no default DVC remote" in done.stderr


def test_no_stage_runs_with_other_libraries_than_the_commits_lock_names(made: Made) -> None:
    lock = made.root / "requirements.lock"
    lock.write_text(re.sub(r"pyyaml==\S+", "pyyaml==0.1", lock.read_text()))
    tiny.commit(made.root, "Another lock")
    said = made.task("make", status=1)
    assert "the environment of this task is not that of the commit's requirements.lock, so nothing ran" in said
    assert "pyyaml" in said
    assert "Running stage" not in said
