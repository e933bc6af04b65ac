"""Build the real image with podman on a base that is made here, run it with nothing that it does not need, and stop it.

`make test-image` runs it: some minutes, podman, and once a root's rights for debootstrap.
"""

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT, needs

from hearth.bento import free_port
from hearth.operations import image
from hearth.release import open_release
from hearth.request import columns_of
from hearth.sbom import locked
from hearth.storage import read_folder, read_text

pytestmark = pytest.mark.skipif(
    os.environ.get("HEARTH_TEST_IMAGE") != "1", reason="builds a real image, some minutes; `make test-image` runs it"
)
HOST = "127.0.0.1"
STARTED_WITHIN_S = 60


@pytest.fixture(scope="module")
def podman() -> Iterator[str]:
    """Return podman; where the machine is narrow, it is told so."""
    program = needs("podman")
    hybrid = not Path("/sys/fs/cgroup/cgroup.controllers").exists()
    with pytest.MonkeyPatch.context() as patch:
        if hybrid and os.geteuid() == 0:
            patch.setenv("CONTAINERS_CONF", str(PROJECT / "deploy/containers.conf"))
        yield program


def said(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=600)
    if check and done.returncode:
        pytest.fail(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout.strip()


@pytest.fixture(scope="module")
def base(podman: str) -> str:
    return said("sh", "tools/base.sh").splitlines()[-1]


@pytest.fixture(scope="module")
def built(podman: str, base: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[image.Image, Path]:
    """Build with the command that a person types; return what was built, and the context that it was built from."""
    said("hearth", "image", "--engine", "podman", "--base", base)
    context = tmp_path_factory.mktemp("context")
    return image.lay_out((PROJECT / "models/house_prices.bento").read_bytes(), context), context


class Running:
    """Be a container of the image, on a port of the loopback."""

    def __init__(self, podman: str, tag: str, name: str) -> None:
        """Start it read-only, without any capability, with half a gigabyte."""
        self.podman, self.name, self.port = podman, name, free_port()
        careful = [
            "--read-only",
            "--tmpfs",
            "/tmp",
            "--cap-drop",
            "all",
            "--security-opt",
            "no-new-privileges",
            "--memory",
            "512m",
        ]
        network = ["--network", "host", "-e", f"BENTOML_HOST={HOST}", "-e", f"BENTOML_PORT={self.port}"]
        said(podman, "run", "-d", "--name", name, *careful, *network, tag)
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + STARTED_WITHIN_S
        while time.monotonic() < deadline:
            try:
                if self.get("/readyz")[0] == 200:
                    return
            except OSError:
                time.sleep(0.1)
        pytest.fail(said(self.podman, "logs", self.name, check=False)[-3000:])

    def get(self, path: str, body: object = None) -> tuple[int, Any]:
        content = None if body is None else json.dumps(body)
        with closing(http.client.HTTPConnection(HOST, self.port, timeout=20)) as connection:
            connection.request("GET" if body is None else "POST", path, content, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def inside(self, *command: str, check: bool = True) -> str:
        return said(self.podman, "exec", self.name, *command, check=check)

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(said(self.podman, "inspect", self.name, "--format", "{{json .State}}"))
        return state


@pytest.fixture(scope="module")
def running(podman: str, built: tuple[image.Image, Path]) -> Iterator[Running]:
    name = f"hearth-test-{os.getpid()}"
    try:
        yield Running(podman, built[0].tag, name)
    finally:
        said(podman, "rm", "--force", "--time", "1", "--volumes", name, check=False)


def test_the_image_is_small(podman: str, built: tuple[image.Image, Path]) -> None:
    assert image.size(podman, built[0].tag) <= image.SIZE_MB_MAX * 1e6


def test_the_labels_say_which_model_of_which_commit(podman: str, built: tuple[image.Image, Path]) -> None:
    labels = json.loads(said(podman, "image", "inspect", built[0].tag, "--format", "{{json .Labels}}"))
    assert labels["org.opencontainers.image.version"] == built[0].model_version
    assert labels["org.opencontainers.image.revision"] == image.revision()


def test_the_container_answers_as_the_release_does(running: Running, built: tuple[image.Image, Path]) -> None:
    release = open_release(read_folder(built[1] / "bento/src/model"), "model")
    about = json.loads((built[1] / "bento/src/about.json").read_text())
    for case in about["golden"]:
        house = json.loads(case["request"])
        expected = release.predict(columns_of([house], release.contract, release.facts.as_of))
        status, answer = running.get("/predict", house)
        assert status == 200
        assert (answer["price"], answer["low"], answer["high"]) == (
            expected.price[0],
            expected.low[0],
            expected.high[0],
        )
    told = running.get("/model")[1]
    assert (told["model_version"], told["git_commit"]) == (built[0].model_version, image.revision())
    assert told["computed_by"] == ("native" if shutil.which("cc") else "numpy")


def test_it_runs_as_no_root_without_rights_on_a_root_that_is_read_only(running: Running) -> None:
    assert running.inside("id", "-u") == "10001"
    status = running.inside("cat", "/proc/1/status")
    assert "Uid:\t10001\t10001\t10001\t10001" in status
    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    for path in ("/x", "/opt/bento/x", "/opt/hearth/x"):
        assert running.inside("sh", "-c", f"touch {path} 2>/dev/null || echo refused") == "refused"


def test_its_own_check_calls_it_healthy(running: Running) -> None:
    """Without systemd podman has no timer, so the check is made by hand."""
    said(running.podman, "healthcheck", "run", running.name)
    health = running.state()
    assert (health.get("Health") or health["Healthcheck"])["Status"] == "healthy"


def test_outcomes_land_in_the_volume(running: Running, built: tuple[image.Image, Path]) -> None:
    house = json.loads(json.loads((built[1] / "bento/src/about.json").read_text())["golden"][0]["request"])
    asked = running.get("/predict", house)[1]["prediction_id"]
    assert running.get("/feedback", {"prediction_id": asked, "price": 500000})[0] == 200
    assert asked in running.inside("sh", "-c", "cat /log/*.jsonl")


def test_the_bill_in_the_image_lists_exactly_what_is_installed_in_it(
    podman: str, built: tuple[image.Image, Path], running: Running
) -> None:
    bill = running.inside("cat", "/usr/share/sbom/house_prices.cdx.json")
    assert bill.encode() == built[0].bill.strip() == (PROJECT / "dist/house_prices.cdx.json").read_bytes().strip()
    listed = {p["name"]: p["version"] for p in json.loads(bill)["components"] if p["type"] == "library"}
    assert listed == locked(read_text(PROJECT / "requirements-serve.lock"))
    program = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    installed = json.loads(running.inside("/opt/hearth/bin/python3", "-c", program))
    assert {name.lower().replace("_", "-").replace(".", "-"): version for name, version in installed.items()} == listed


def test_a_stop_lets_the_request_in_flight_finish_and_ends_with_0(
    running: Running, built: tuple[image.Image, Path]
) -> None:
    """Half of a body is sent, the container is told to stop, and the other half still gets its answer."""
    house = json.loads((built[1] / "bento/src/about.json").read_text())["golden"][0]["request"].encode()
    head = f"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {len(house)}\r\n\r\n"
    with socket.create_connection((HOST, running.port), timeout=20) as connection:
        connection.sendall(head.encode() + house[:50])
        time.sleep(0.5)
        stopping = subprocess.Popen([running.podman, "stop", "--time", "20", running.name], stdout=subprocess.DEVNULL)
        time.sleep(1)
        connection.sendall(house[50:])
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200"), answer[:500]
    assert b'"price"' in answer
    assert stopping.wait(timeout=30) == 0
    state = running.state()
    assert (state["Status"], state["ExitCode"]) == ("exited", 0)


def test_a_bento_that_must_not_be_served_ends_its_container(
    podman: str, built: tuple[image.Image, Path], tmp_path: Path
) -> None:
    """A weak token is the simplest thing that the service refuses on its start."""
    command = [podman, "run", "--rm", "--read-only", "--tmpfs", "/tmp", "--network", "host", "-e", "HEARTH_TOKEN=weak",
               "-e", f"BENTOML_PORT={free_port()}", built[0].tag]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=STARTED_WITHIN_S)
    assert done.returncode != 0
    assert "HEARTH_TOKEN has 4 characters" in done.stdout + done.stderr


def test_a_second_build_from_nothing_has_the_same_bytes_in_every_layer(
    podman: str, base: str, built: tuple[image.Image, Path]
) -> None:
    first, context = built
    again = image.Image(f"{first.tag}-again", first.model_version, first.bill)
    command = image.build_command("podman", again, context, base)
    said(*command[:2], "--no-cache", *command[2:])
    try:
        layers = [
            said(podman, "image", "inspect", tag, "--format", "{{json .RootFS.Layers}}")
            for tag in (first.tag, again.tag)
        ]
        assert layers[0] == layers[1]
    finally:
        said(podman, "rmi", again.tag)
