"""Build the real image of the road with podman, and run stages in it: by hand, and as Kubeflow's tasks through podman's socket.

`make test-image` runs it; some minutes.
"""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import lab as labs
import pytest
import test_image_engine as service
import test_kubeflow as kubeflow
import tiny
from conftest import PROJECT, Checkout
from servers import Server, running

from hearth.bento import free_port
from hearth.operations import image
from hearth.road_image import RoadImage

pytestmark = service.pytestmark
podman, base = service.podman, service.base
lab, store, project, sdk = labs.lab, kubeflow.store, kubeflow.project, kubeflow.sdk
CAREFUL = ("--rm", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "all", "--security-opt", "no-new-privileges")
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION")
WITHIN_S = 30


@pytest.fixture(scope="module")
def tag(podman: str, base: str) -> str:
    """Build with the command that a person types; return the image's name as the engine has it."""
    said = service.said("hearth", "image", "--road", "--engine", "podman", "--base", base).splitlines()
    [name] = [match[1] for match in (re.match(r"(hearth-road:\w+): \d+ MB", line) for line in said) if match]
    return f"localhost/{name}"


@pytest.fixture
def served(project: Checkout, tmp_path: Path) -> Iterator[str]:
    """Serve the project's repository on the loopback, since the task's user may not read what is the test's."""
    port = free_port()
    command = ["git", "daemon", "--reuseaddr", "--export-all", "--listen=127.0.0.1", f"--port={port}",
               f"--base-path={project.root.parent}", str(project.root.parent)]  # fmt: skip
    with running(Server(command, port, project.root.parent, tmp_path / "git.log")):
        yield f"git://127.0.0.1:{port}/{project.root.name}"


@contextmanager
def engine(podman: str, folder: Path) -> Iterator[str]:
    """Let podman answer at a socket as Docker does; yield its address."""
    socket = folder / "podman.sock"
    with subprocess.Popen([podman, "system", "service", "--time", "0", f"unix://{socket}"]) as process:
        try:
            deadline = time.monotonic() + WITHIN_S
            while not socket.exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield f"unix://{socket}"
        finally:
            process.terminate()


def in_it(podman: str, tag: str, checkout: Checkout, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of hearth in a container that can write nowhere but /tmp."""
    given = [word for key in KEYS for word in ("--env", key)]
    return checkout.run(podman, "run", *CAREFUL, "--network", "host", *given, tag, *words, check=False)


def inside(podman: str, tag: str, command: str) -> str:
    return service.said(podman, "run", *CAREFUL, "--entrypoint", "sh", tag, "-c", command)


def test_the_image_is_bounded_and_its_labels_say_of_which_lock_and_commit_it_is(podman: str, tag: str) -> None:
    assert image.size(podman, tag) <= RoadImage.size_mb_max * 1e6
    labels = json.loads(service.said(podman, "image", "inspect", tag, "--format", "{{json .Labels}}"))
    assert tag.endswith(f":{labels['hearth.requirements-lock.sha256'][:12]}")
    assert labels["org.opencontainers.image.revision"] == image.revision()


def test_it_runs_as_no_root_with_the_programs_of_its_own_environment(podman: str, tag: str) -> None:
    assert inside(podman, tag, "id -u; id -g").split() == ["10001", "10001"]
    assert inside(podman, tag, "touch /opt/own/x /opt/hearth/x /x 2>/dev/null || echo refused") == "refused"
    found = inside(podman, tag, "for one in hearth dvc python python3; do command -v $one; done").split()
    assert found == ["/opt/own/bin/hearth", *(f"/opt/hearth/bin/{name}" for name in ("dvc", "python", "python3"))]
    assert inside(podman, tag, "uv --version").startswith("uv ")
    assert inside(podman, tag, "for one in pip pip3 cc gcc; do command -v $one; done; true") == ""


def test_every_module_that_the_stages_load_can_be_loaded_in_it(podman: str, tag: str) -> None:
    stages = [path.stem for path in (PROJECT / "src/hearth/stages").glob("[a-z]*.py")]
    assert len(stages) == 7
    program = "; ".join(f"import hearth.stages.{name}" for name in stages)
    assert inside(podman, tag, f"python -c '{program}; import dvc_s3, dvc_ssh, lightgbm, catboost; print(1)'") == "1"


def test_a_stage_runs_in_it_and_one_that_fails_says_so(podman: str, tag: str, project: Checkout, served: str) -> None:
    place = ("--repository", served, "--remote", project.environment["REMOTE"])
    done = in_it(podman, tag, project, "task", "make", *place, "--commit", "main")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^make of \w{7}: ran$", done.stdout, flags=re.MULTILINE)
    labs.change(project.root, "src/hearth/make.py", "EXTRA = 1", "raise SystemExit('no paper left')")
    tiny.commit(project.root)
    done = in_it(podman, tag, project, "task", "make", *place, "--commit", "main")
    assert done.returncode == 1
    assert "no paper left" in done.stdout + done.stderr
    assert "error: the stage make failed" in done.stderr


def test_a_commit_with_another_lock_is_refused_by_name(podman: str, tag: str, project: Checkout, served: str) -> None:
    lock = (project.root / "requirements.lock").read_text()
    tiny.write(project.root, "requirements.lock", re.sub(r"pyyaml==\S+", "pyyaml==5.0", lock))
    tiny.commit(project.root)
    place = ("--repository", served, "--remote", project.environment["REMOTE"])
    done = in_it(podman, tag, project, "task", "make", *place, "--commit", "main")
    assert done.returncode == 1
    assert "the environment of this task is not that of the commit's requirements.lock" in done.stderr


def test_kubeflows_tasks_run_in_it_as_the_stages_run_here(
    podman: str, tag: str, sdk: str, project: Checkout, served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = kubeflow.compiled(sdk, tmp_path, kubeflow.graph(project, monkeypatch), "--image", tag)
    pipeline.write_text(pipeline.read_text().replace("maxRetryCount: 2", "maxRetryCount: 0"))
    words = ("--docker", "--pipeline", str(pipeline), "--repository", served, "--remote", project.environment["REMOTE"])
    with ExitStack() as stack:
        where = Checkout(tmp_path, project.environment | {"DOCKER_HOST": stack.enter_context(engine(podman, tmp_path))})
        said = where.run(sdk, str(kubeflow.KUBEFLOW / "locally.py"), *words).stdout
        assert len(re.findall(r"\b(make|use) of \w{7}: ran", said)) == 2
        again = where.run(sdk, str(kubeflow.KUBEFLOW / "locally.py"), *words).stdout
        assert "Running stage" not in again
        gathered, local = (kubeflow.cloned(project, tmp_path / name) for name in ("gathered", "local"))
        gathered.run("hearth", "gather")
        gathered.run("dvc", "pull", "--quiet")
        local.run("dvc", "pull", "--quiet", "data/in.txt.dvc")
        local.run("dvc", "repro")
        assert kubeflow.content(gathered) == kubeflow.content(local)
        labs.change(project.root, "src/hearth/use.py", "import pathlib", "raise SystemExit('no paper left')")
        tiny.commit(project.root)
        failed = where.run(sdk, str(kubeflow.KUBEFLOW / "locally.py"), *words, check=False)
        assert failed.returncode == 1
        assert "no paper left" in failed.stdout
        assert "Inner task failed" in failed.stderr
