"""Be the world of a simulation: a throw-away clone with its clock, the real service on its releases, and what happened."""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hearth.bento import free_port, ready, stop
from hearth.dvc_local import configure
from hearth.errors import Refusal
from hearth.git import git
from hearth.params import section
from hearth.registry import releases
from hearth.releases import History, ReleaseParams
from hearth.revisions import revision
from hearth.simulation import Event, Kind
from hearth.staleness import RetrainParams
from hearth.storage import write_text
from hearth.watching import Watched, watched

BATCH = 500  # houses in a request
WAIT_S = 120

Step = Callable[[str, int], None]


@dataclass
class Answered:
    """Gather what was served: id, price with its interval, model and day, by the number of the sale."""

    ids: dict[int, str] = field(default_factory=dict)
    prices: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    versions: dict[int, str] = field(default_factory=dict)
    days: dict[int, np.datetime64] = field(default_factory=dict)


class World:
    """Be the clone with its clock, its service and its events."""

    def __init__(self, home: Path, folder: Path, step: Step) -> None:
        """Clone the commit that is checked out; share DVC's cache, and take a remote of its own."""
        self.home, self.folder, self.step = home, folder, step
        self.clock = folder.parent / "clock"
        self.events: list[Event] = []
        self.now = np.datetime64("2000-01-01", "ms")
        self.port = 0
        self.written = 0
        clone(home, folder)
        self.set(self.now)

    def set(self, moment: np.datetime64) -> None:
        """Set the clock of the service, the monitor and git."""
        self.now = moment.astype("datetime64[ms]")
        write_text(self.clock, f"{self.now}+00:00\n")

    def tell(self, kind: Kind, said: str) -> None:
        """Note an event of this day."""
        self.events.append(Event(day=str(self.now.astype("datetime64[D]")), kind=kind, said=said))
        self.step(f"{self.events[-1].day} {kind}: {said}", 0)

    def alarm(self, found: Mapping[str, Any]) -> None:
        """Note an alarm with what each check found."""
        self.tell("alarm", "; ".join(f"{name}, {found['checks'][name]['said']}" for name in found["alarms"]))

    def known(self) -> History:
        """Return what is released."""
        return releases(section("releases", ReleaseParams).environment)

    def watched(self) -> Watched:
        """Return what is served."""
        champion = self.known().champion
        if champion is None:
            raise Refusal("nothing is released in the simulation's clone, which is a fault of the simulation.")
        return watched(revision(champion.commit), section("retrain", RetrainParams).cadence_days)

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Serve the champion with the real `hearth serve`, which follows the releases."""
        self.port = free_port()
        command = [
            sys.executable,
            "-P",
            "-c",
            "from hearth.cli import main; raise SystemExit(main())",
            "serve",
            "--port",
            str(self.port),
        ]
        # What it leaves behind when it is ended before it could tidy up goes with the world.
        environment = os.environ | {"TMPDIR": str(self.folder.parent)}
        with (self.folder.parent / "serve.log").open("wb") as log:
            server = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
            try:
                yield
            finally:
                stop(server)

    def wait_for(self, version: str) -> None:
        """Wait until the service answers with a model."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            # The server before may end between two questions.
            with contextlib.suppress(OSError, http.client.HTTPException, Refusal):
                if ready("127.0.0.1", self.port) and self._asked("GET", "/model")["model_version"] == version:
                    self.written = self._asked("GET", "/readyz")["log"]["written"]  # a new server counts anew
                    return
            time.sleep(0.2)
        said = (self.folder.parent / "serve.log").read_text(errors="replace")[-2000:]
        raise Refusal(f"the service does not answer with the model {version}; the end of its log:\n{said}")

    def _asked(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"content-type": "application/json"} if content else {})
            answer = connection.getresponse()
            said = json.loads(answer.read())
            if answer.status != 200:
                raise Refusal(f"{method} {path} was answered {answer.status}: {said}")
            return said
        finally:
            connection.close()

    def price(self, houses: Sequence[tuple[int, Mapping[str, Any]]], into: Answered) -> None:
        """Ask the service for the prices of houses, by their numbers, all of a day at once."""
        for start in range(0, len(houses), BATCH):
            some = houses[start : start + BATCH]
            answers = self._asked("POST", "/predict_batch", {"houses": [house for _, house in some]})["predictions"]
            for (number, _), answer in zip(some, answers, strict=True):
                into.ids[number] = answer["prediction_id"]
                into.prices[number] = (answer["price"], answer["low"], answer["high"])
                into.versions[number] = answer["model_version"]
                into.days[number] = self.now.astype("datetime64[D]")
        self.written += len(houses)

    def settled(self) -> None:
        """Wait until the log holds what was served."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            log = self._asked("GET", "/readyz")["log"]
            if log["written"] >= self.written:
                return
            time.sleep(0.02)
        raise Refusal(f"the service's log does not hold what was served: {log}")


def clone(home: Path, folder: Path) -> None:
    """Clone a project without its releases, for a life of its own."""
    git("clone", "--quiet", "--no-hardlinks", str(home), str(folder))
    for name in git("-C", str(folder), "tag").split():
        git("-C", str(folder), "tag", "--delete", name)
    for key, value in {"user.name": "hearth simulate", "user.email": "simulate@localhost"}.items():
        git("-C", str(folder), "config", key, value)


def share(folder: Path, cache: Path) -> None:
    """Give a clone the DVC cache of the caller, and a folder as its remote."""
    configure(folder, {"dir": str(cache)}, {"simulation": {"url": str(folder.parent / "store")}}, "simulation")


def cache_of(home: Path) -> Path:
    """Return where DVC keeps its cache."""
    from dvc.config import Config

    known = Config(str(home / ".dvc"), validate=False)["cache"].get("dir")
    return (home / ".dvc" / known).resolve() if known else home / ".dvc/cache"
