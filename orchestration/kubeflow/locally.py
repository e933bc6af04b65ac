"""Run a compiled pipeline on this machine with the SDK's own local runners: a trial of what a cluster would run.

By default each task is a process, with the `hearth` that is on the PATH; --docker runs each in its image, by the engine at
DOCKER_HOST (Docker, or podman's socket). Keys and endpoint of the store come from the environment, as in a cluster.
"""

import argparse
import os
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kfp import components, local
from kfp.local import docker_task_handler

COMPILED = Path(__file__).resolve().with_name("road.yaml")
PASSED = ("AWS_", "GIT_CONFIG_")  # what a container gets of the environment here


def main() -> int:
    """Run it; return 0, or 1 where a task failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repository", required=True, metavar="URL", help="the git repository")
    parser.add_argument("--commit", default="main", metavar="REV", help="commit, branch or tag (main)")
    parser.add_argument("--remote", default="", metavar="URL", help="the DVC remote (the commit's default)")
    parser.add_argument("--pipeline", type=Path, default=COMPILED, metavar="FILE", help="road.yaml beside this file")
    parser.add_argument("--docker", action="store_true", help="run each task in its image")
    options = parser.parse_args()
    if not options.pipeline.is_file():
        parser.error(f"{options.pipeline} is no file; pipeline.py --to FILE compiles one.")
    place = {"repository": options.repository, "commit": options.commit, "remote": options.remote}
    warnings.simplefilter("ignore")  # that display names and requests of resources mean nothing here
    with tempfile.TemporaryDirectory(prefix="hearth-kubeflow-") as folder:
        runner = _containers(Path(folder)) if options.docker else local.SubprocessRunner(use_venv=False)
        local.init(runner, pipeline_root=folder)
        try:
            components.load_component_from_file(str(options.pipeline))(**place)
        except RuntimeError as error:  # which task failed; what it said stands above
            print(f"error: {error}", file=sys.stderr)
            return 1
    return 0


def _containers(folder: Path) -> local.DockerRunner:
    """Return the runner that starts containers as narrow as those of a careful cluster."""
    docker_task_handler.run_docker_container = _run_container
    folder.chmod(0o777)  # the image's user writes its outputs there
    passed = {name: value for name, value in os.environ.items() if name.startswith(PASSED)}
    return local.DockerRunner(
        entrypoint=[""],  # as in a cluster, where the task's command takes the place of the image's
        environment=passed,
        network_mode="host",  # a store or a repository on the loopback of this machine
        read_only=True,
        tmpfs={"/tmp": ""},  # noqa: S108
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
    )


def _run_container(client: Any, image: str, command: Sequence[str], volumes: Mapping[str, Any], **more: Any) -> int:
    """Return the exit status of a container, whose log goes to the terminal.

    The SDK's own function lets the engine take an ended container away, and takes one that is gone for a success: with
    podman each task that failed was reported as done.
    """
    container = client.containers.run(image=image, command=command, volumes=volumes, detach=True, **more)
    try:
        for line in container.logs(stream=True):
            print(line.decode(errors="replace"), end="")
        return int(container.wait()["StatusCode"])
    finally:
        container.remove(force=True)


if __name__ == "__main__":
    sys.exit(main())
