"""Compile the road for Kubeflow Pipelines 2, out of orchestration/road.json, and draw what was compiled.

It needs the SDK only (requirements.lock beside it), neither DVC nor hearth. `make kubeflow` writes road.yaml and the diagram.
The bodies of the components travel in the compiled pipeline and run in the image of `make image-road`.
"""

import argparse
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler, dsl, kubernetes

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
GRAPH = HERE.parent / "road.json"
COMPILED = HERE / "road.yaml"
DOCUMENT = PROJECT / "docs/orchestration.md"
MARKS = ("<!-- kubeflow: made by `make kubeflow` -->", "<!-- end of kubeflow -->")
# A Kubernetes secret, if there is one; its keys are the variables of the tasks. Git reads the last three (git-config(1)).
STORE = "hearth-store"
STORE_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION",
              "GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_0")  # fmt: skip
TASK_HOURS, RUN_HOURS = 2, 6  # then Kubernetes ends it; the shipped road takes minutes

Stage = Mapping[str, Any]


def resolve_commit(repository: str, commit: str, remote: str) -> str:
    """Return the hash of the commit, so that all tasks of a run have the same one."""
    import subprocess
    import sys

    place = ["--repository", repository, "--commit", commit, *(["--remote", remote] if remote else [])]
    done = subprocess.run(["hearth", "task", "--resolve", *place], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout.split()[-1]


def run_hearth(words: list, repository: str, commit: str, remote: str) -> None:
    """Run an operation of hearth on a commit and a DVC remote."""
    import subprocess
    import sys

    place = ["--repository", repository, "--commit", commit, *(["--remote", remote] if remote else [])]
    if status := subprocess.run(["hearth", *words, *place], check=False).returncode:
        sys.exit(status)


def image_of(lock: bytes) -> str:
    """Return the name that `make image-road` gives to the image with the packages of a lock."""
    return f"hearth-road:{hashlib.sha256(lock).hexdigest()[:12]}"


def pipeline(stages: Sequence[Stage], image: str) -> Any:
    """Return the pipeline with a task for each stage, after those that it waits for; then one looks whether all is there."""

    def component(body: Any, name: str, desc: str) -> Any:
        made = dsl.component(body, base_image=image, install_kfp_package=False)
        made.component_spec.name, made.component_spec.description = name, desc
        return made

    def told(task: Any, name: str, desc: str) -> Any:
        task.set_display_name(f"{name}: {desc}")
        task.set_caching_options(False)  # hearth finds out what need not run: it knows code, params and data
        task.set_retry(num_retries=2, backoff_duration="60s", backoff_factor=2.0, backoff_max_duration="600s")
        task.set_cpu_request("1").set_memory_request("2G").set_memory_limit("4G")
        kubernetes.set_security_context(task, run_as_non_root=True)
        kubernetes.set_timeout(task, TASK_HOURS * 3600)
        kubernetes.use_secret_as_env(task, STORE, {key: key for key in STORE_KEYS}, optional=True)
        return task

    @dsl.pipeline(
        name="hearth-road",
        description="The road of dvc.yaml, a task for each stage, from and to a DVC remote.",
        pipeline_config=dsl.PipelineConfig(active_deadline_seconds=RUN_HOURS * 3600),
    )
    def road(repository: str, commit: str = "main", remote: str = "") -> None:
        first = "resolve", "Find the commit, which all tasks of a run have in common."
        resolved = told(component(resolve_commit, *first)(repository=repository, commit=commit, remote=remote), *first)
        place = {"repository": repository, "commit": resolved.output, "remote": remote}
        tasks: dict[str, Any] = {}
        for stage in stages:
            name, own = stage["name"], (stage["name"], stage["desc"] or "a stage of dvc.yaml")
            tasks[name] = told(component(run_hearth, *own)(words=["task", name], **place), *own)
            tasks[name].after(*(tasks[one] for one in stage["after"]))
        last = "gather", "Hold that the whole road of the commit is on the remote."
        told(component(run_hearth, *last)(words=["gather", "--check"], **place), *last).after(*tasks.values())

    return road


def diagram(compiled: str) -> str:
    """Return the compiled pipeline as a Mermaid diagram, without the arrows that others imply."""
    tasks = next(yaml.safe_load_all(compiled))["root"]["dag"]["tasks"]
    before = {name: set(task.get("dependentTasks", ())) for name, task in tasks.items()}

    @functools.cache
    def all_before(name: str) -> set[str]:
        return before[name].union(*map(all_before, before[name]))

    arrows = [
        f"  {one} --> {name}"
        for name in sorted(before)
        for one in sorted(before[name] - set().union(*map(all_before, before[name])))
    ]
    return "\n".join(["```mermaid", "flowchart LR", *arrows, "```"])


def with_diagram(text: str, drawn: str) -> str:
    """Return a document with the diagram between its marks made anew."""
    start, end = MARKS
    if text.count(start) != 1 or text.count(end) != 1:
        raise SystemExit(f"error: {DOCUMENT.name} lacks the marks {start!r} and {end!r}, once each.")
    return text.partition(start)[0] + f"{start}\n{drawn}\n{end}" + text.partition(end)[2]


def main() -> None:
    """Compile; where the checked-in pipeline is written, draw it too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", help="what the tasks run in (that of `make image-road`); best with its digest")
    parser.add_argument("--road", type=Path, default=GRAPH, metavar="FILE", help="the graph (orchestration/road.json)")
    parser.add_argument("--to", type=Path, default=COMPILED, metavar="FILE", help="road.yaml beside this file")
    options = parser.parse_args()
    image = options.image or image_of((PROJECT / "requirements.lock").read_bytes())
    compiler.Compiler().compile(pipeline(json.loads(options.road.read_text()), image), str(options.to))
    if options.to == COMPILED:
        DOCUMENT.write_text(with_diagram(DOCUMENT.read_text(), diagram(COMPILED.read_text())))


if __name__ == "__main__":
    main()
