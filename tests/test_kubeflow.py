"""Compile the road for Kubeflow with its real SDK, hold it to the SDK's schema, and run it with the SDK's local runner on S3."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import lab as labs
import pytest
import tiny
import yaml
from conftest import PROJECT, Checkout
from servers import BUCKET, KEY, SECRET, Server, running, s3
from test_locks import pins, unhashed

from hearth.revisions import Workspace
from hearth.road_image import RoadImage
from hearth.stage_graph import document

lab = labs.lab
KUBEFLOW = PROJECT / "orchestration/kubeflow"
DOCUMENT = PROJECT / "docs/orchestration.md"
OWN = {"resolve", "gather"}  # the tasks that are no stage
# Reads a compiled pipeline as the SDK's protobuf messages, which refuse what they do not know.
HOLD = """
import sys, yaml
from google.protobuf.json_format import ParseDict
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PlatformSpec
spec, platforms = yaml.safe_load_all(sys.stdin)
ParseDict(spec, PipelineSpec())
ParseDict(platforms, PlatformSpec())
for executor in platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
    ParseDict(executor, KubernetesExecutorConfig())
"""
DRAW = """
import sys
from pathlib import Path
from pipeline import COMPILED, DOCUMENT, diagram, with_diagram
text = Path(sys.argv[1]).read_text()
sys.exit(with_diagram(text, diagram(COMPILED.read_text())) != text)
"""


@pytest.fixture(scope="module")
def sdk() -> str:
    """Return the Python of the environment that has Kubeflow's SDK; without it, skip with a notice, and fail under CI=true."""
    program = PROJECT / ".venv-kubeflow/bin/python"
    if not program.exists():
        message = "Kubeflow's SDK is not installed; `make .venv-kubeflow/done` does it (`make test` does)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return str(program)


def run(*command: str, given: str = "") -> subprocess.CompletedProcess[str]:
    own = os.environ | {"PYTHONPATH": str(KUBEFLOW)}
    return subprocess.run(command, input=given, env=own, capture_output=True, text=True, check=False)


def compiled(sdk: str, target: Path, stages: list[dict[str, Any]], *words: str) -> Path:
    """Return the pipeline that the program makes of a graph."""
    (target / "road.json").write_text(json.dumps(stages))
    words = ("--road", str(target / "road.json"), "--to", str(target / "road.yaml"), *words)
    done = run(sdk, str(KUBEFLOW / "pipeline.py"), *words)
    assert done.returncode == 0, done.stderr
    return target / "road.yaml"


def tasks(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = next(yaml.safe_load_all(path.read_text()))["root"]["dag"]["tasks"]
    return found


# The environment


def test_the_lock_pins_by_hash_what_the_environment_is_asked_to_have() -> None:
    text = (KUBEFLOW / "requirements.lock").read_text()
    wanted = re.findall(r"^([a-z0-9-]+)", (KUBEFLOW / "requirements.in").read_text(), flags=re.MULTILINE)
    assert {"kfp", "kfp-kubernetes", "docker", "setuptools"} == set(wanted) <= set(pins(text))
    assert unhashed(text) == []
    assert "://" not in text
    decisions = (PROJECT / "docs/decisions.md").read_text()
    assert [name for name in wanted if f"| `{name}` |" not in decisions] == []


def test_the_environment_of_the_sdk_holds_neither_dvc_nor_hearth(sdk: str) -> None:
    done = run(sdk, "-c", "import importlib.metadata as m; print(*(one.name.lower() for one in m.distributions()))")
    names = set(done.stdout.split())
    assert {"kfp", "kfp-kubernetes"} <= names
    assert not {"dvc", "hearth", "bentoml"} & names


# The compiled pipeline


def test_the_pipeline_that_is_checked_in_is_what_the_program_makes(sdk: str, tmp_path: Path) -> None:
    stages = json.loads((PROJECT / "orchestration/road.json").read_text())
    made = compiled(sdk, tmp_path, stages)
    assert made.read_bytes() == (KUBEFLOW / "road.yaml").read_bytes(), "`make kubeflow` writes it anew"
    assert tasks(compiled(sdk, tmp_path, stages[:-1])) != tasks(KUBEFLOW / "road.yaml")


def test_each_stage_is_a_task_after_those_that_it_waits_for() -> None:
    found = tasks(KUBEFLOW / "road.yaml")
    stages = {stage["name"]: stage for stage in json.loads((PROJECT / "orchestration/road.json").read_text())}
    assert set(found) == set(stages) | OWN
    for name, stage in stages.items():
        assert set(found[name]["dependentTasks"]) == {"resolve", *stage["after"]}
        assert found[name]["taskInfo"]["name"] == f"{name}: {stage['desc']}"
        given = found[name]["inputs"]["parameters"]
        assert given["words"]["runtimeValue"]["constant"] == ["task", name]
        assert given["commit"]["taskOutputParameter"]["producerTask"] == "resolve"
    assert set(found["gather"]["dependentTasks"]) == set(stages) | {"resolve"}


def test_tasks_are_tried_again_end_in_time_and_take_their_keys_from_a_secret() -> None:
    spec, platforms = yaml.safe_load_all((KUBEFLOW / "road.yaml").read_text())
    executors = spec["deploymentSpec"]["executors"]
    kubernetes = platforms["platforms"]["kubernetes"]
    assert set(kubernetes["deploymentSpec"]["executors"]) == set(executors)
    for task in tasks(KUBEFLOW / "road.yaml").values():
        assert task["cachingOptions"] == {}
        assert task["retryPolicy"]["maxRetryCount"] == 2
    for name, executor in executors.items():
        container, own = executor["container"], kubernetes["deploymentSpec"]["executors"][name]
        assert {"resourceCpuRequest", "resourceMemoryRequest", "resourceMemoryLimit"} <= set(container["resources"])
        assert not any("pip" in word for word in container["command"])
        assert "env" not in container
        assert own["securityContext"] == {"runAsNonRoot": True}
        assert 0 < int(own["activeDeadlineSeconds"]) < kubernetes["pipelineConfig"]["activeDeadlineSeconds"]
        [secret] = own["secretAsEnv"]
        assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= {one["envVar"] for one in secret["keyToEnv"]}
        assert secret["optional"]


def test_tasks_run_in_the_image_that_the_lock_names() -> None:
    spec = next(yaml.safe_load_all((KUBEFLOW / "road.yaml").read_text()))
    images = {one["container"]["image"] for one in spec["deploymentSpec"]["executors"].values()}
    assert images == {RoadImage(sha256((PROJECT / "requirements.lock").read_bytes()).hexdigest()).tag}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("maxRetryCount: 2", "maxRetries: 2"),
        ("parameterType: STRING", "parameterType: WORD"),
        ("secretName: hearth-store", "secret: hearth-store"),
        ("activeDeadlineSeconds: 21600", "activeDeadlineSeconds: [21600]"),
    ],
    ids=["as it is", "unknown field", "unknown type", "unknown field for Kubernetes", "other type for Kubernetes"],
)
def test_the_schema_of_the_sdk_takes_the_pipeline_and_refuses_a_fault(sdk: str, old: str, new: str) -> None:
    text = (KUBEFLOW / "road.yaml").read_text()
    assert old in text
    done = run(sdk, "-c", HOLD, given=text.replace(old, new, 1) if old else text)
    assert (done.returncode != 0) == bool(old), done.stderr
    assert ("ParseError" in done.stderr) == bool(old)


def test_the_diagram_in_the_document_is_that_of_the_pipeline(sdk: str, tmp_path: Path) -> None:
    assert run(sdk, "-c", DRAW, str(DOCUMENT)).returncode == 0, "`make kubeflow` writes it anew"
    other = tmp_path / "other.md"
    other.write_text(DOCUMENT.read_text().replace("  prepare --> train\n", ""))
    assert run(sdk, "-c", DRAW, str(other)).returncode == 1


def test_the_pipeline_follows_a_stage_that_changed(lab: Path, sdk: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(lab)
    before = tasks(compiled(sdk, tmp_path, document(Workspace().stages()[0])))
    assert set(before) == {"make", "use"} | OWN
    assert set(before["use"]["dependentTasks"]) == {"make", "resolve"}
    labs.change(lab, "dvc.yaml", "deps: [models/model, requirements.lock", "desc: Shout.\n    deps: [requirements.lock")
    labs.change(lab, "dvc.yaml", "stages:\n",
                "stages:\n  tell:\n    cmd: wc models/report.txt >models/told\n    deps: [models/report.txt]\n    outs: [models/told]\n")  # fmt: skip
    after = tasks(compiled(sdk, tmp_path, document(Workspace().stages()[0])))
    assert set(after) == {"make", "use", "tell"} | OWN
    assert set(after["use"]["dependentTasks"]) == {"resolve"}
    assert after["use"]["taskInfo"]["name"] == "use: Shout."
    assert set(after["tell"]["dependentTasks"]) == {"use", "resolve"}


# Runs


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(s3(tmp_path_factory.mktemp("s3"))) as server:
        yield server


@pytest.fixture
def project(lab: Path, store: Server, tmp_path: Path) -> Checkout:
    """Return the project with changed code, which no run has seen, its source on S3, and its pipeline beside it."""
    here = labs.here(lab)
    keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{store.port}", "REMOTE": f"s3://{BUCKET}/{tmp_path.name}"}  # fmt: skip
    checkout = Checkout(lab, here.environment | keys)
    labs.change(lab, "src/hearth/make.py", "EXTRA = 0", "EXTRA = 1")
    tiny.commit(lab)
    name_remote(checkout)
    checkout.run("dvc", "push", "--quiet", "data/in.txt.dvc")
    return checkout


def name_remote(checkout: Checkout) -> None:
    """Make the S3 store the default remote of one copy only."""
    address = checkout.environment["REMOTE"]
    (checkout.root / ".dvc/config.local").write_text(f"[core]\nremote = s3\n['remote \"s3\"']\nurl = {address}\n")


def on_kubeflow(sdk: str, checkout: Checkout, pipeline: Path, commit: str = "main") -> tuple[int, str]:
    """Run the pipeline with the SDK's local runner, from another folder; return the exit status and all that was said."""
    where = Checkout(checkout.root.parent, checkout.environment)
    words = ("--repository", str(checkout.root), "--commit", commit, "--remote", checkout.environment["REMOTE"])
    done = where.run(sdk, str(KUBEFLOW / "locally.py"), "--pipeline", str(pipeline), *words, check=False)
    return done.returncode, done.stdout + done.stderr


def graph(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    monkeypatch.chdir(checkout.root)
    return document(Workspace().stages()[0])


def cloned(checkout: Checkout, target: Path) -> Checkout:
    subprocess.run(["git", "clone", "--quiet", checkout.root, target], check=True)
    other = Checkout(target, checkout.environment | {"DVC_SITE_CACHE_DIR": str(target.parent / f"{target.name}-site")})
    name_remote(other)
    return other


def content(checkout: Checkout) -> dict[str, bytes]:
    """Return the bytes of the lock and of all that the stages make."""
    paths = [
        checkout.root / "dvc.lock",
        *(checkout.root / "models").rglob("*"),
        *(checkout.root / "metrics").rglob("*"),
    ]
    return {str(path.relative_to(checkout.root)): path.read_bytes() for path in paths if path.is_file()}


def test_a_run_makes_what_dvc_repro_makes_here_and_a_second_one_runs_no_stage(
    project: Checkout, sdk: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = compiled(sdk, tmp_path, graph(project, monkeypatch))
    commit = tiny.git(project.root, "rev-parse", "HEAD")[:7]
    status, said = on_kubeflow(sdk, project, pipeline)
    assert status == 0, said
    assert f"make of {commit}: ran" in said
    assert f"use of {commit}: ran" in said
    assert f"the whole road of {commit} is on the remote: 2 stages" in said
    assert SECRET not in said
    status, said = on_kubeflow(sdk, project, pipeline)
    assert status == 0, said
    assert "Running stage" not in said
    assert len(re.findall("of .*: as before", said)) == 2
    gathered, local = cloned(project, tmp_path / "gathered"), cloned(project, tmp_path / "local")
    before = content(gathered)
    gathered.run("hearth", "gather")
    gathered.run("dvc", "pull", "--quiet")
    local.run("dvc", "pull", "--quiet", "data/in.txt.dvc")
    local.run("dvc", "repro")
    assert content(gathered) == content(local)
    assert set(content(local)) > {"dvc.lock", "metrics/metrics.json", "models/report.txt", "models/model/words.json"}
    assert content(local)["dvc.lock"] != before["dvc.lock"]


def test_a_stage_that_fails_is_tried_again_and_fails_the_run_with_its_own_words(
    project: Checkout, sdk: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labs.change(
        project.root, "src/hearth/use.py", "import pathlib", "import pathlib\nraise SystemExit('no paper left')"
    )
    tiny.commit(project.root)
    pipeline = compiled(sdk, tmp_path, graph(project, monkeypatch))
    pipeline.write_text(pipeline.read_text().replace("backoffDuration: 60s", "backoffDuration: 0s"))
    status, said = on_kubeflow(sdk, project, pipeline)
    assert status == 1
    assert said.count("no paper left") == said.count("error: the stage use failed") == 3
    assert "Inner task failed" in said.splitlines()[-1]
    assert "the whole road" not in said


def test_a_commit_or_a_pipeline_that_is_not_there_ends_the_run_before_any_stage(
    project: Checkout, sdk: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = compiled(sdk, tmp_path, graph(project, monkeypatch))
    pipeline.write_text(pipeline.read_text().replace("maxRetryCount: 2", "maxRetryCount: 0"))
    status, said = on_kubeflow(sdk, project, pipeline, commit="nowhere")
    assert status == 1
    assert "has no commit, branch or tag nowhere" in said
    assert "Traceback" not in said
    assert "run_hearth" not in said
    status, said = on_kubeflow(sdk, project, tmp_path / "none.yaml")
    assert status == 2
    assert said.splitlines()[-1].endswith("none.yaml is no file; pipeline.py --to FILE compiles one.")
