"""Live through the weeks after the model's data, in a throw-away clone: the real service, late outcomes, monitor, and what it calls for.

Nothing of the caller's repository changes but DVC's cache, which the clone shares, so that a second life runs no road again.
What is known on a day is known to the clone and nothing more: its source ends with the sales whose outcomes arrived.
"""

import contextlib
import datetime
import hashlib
import http.client
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from hearth.acting import act, advised
from hearth.advising import ON_OUTCOMES, Advice
from hearth.bento import free_port, ready, stop
from hearth.clock import CLOCK
from hearth.comparing import side
from hearth.contract import Contract
from hearth.delivery import take
from hearth.dvc_local import configure
from hearth.editing import edited
from hearth.errors import Refusal
from hearth.git import git
from hearth.journal import LOG_DIR
from hearth.params import section
from hearth.parquet import columns_of, to_frame
from hearth.paths import BENTO, LOG, METRICS, PARAMS
from hearth.registry import releases, write
from hearth.releases import ARTIFACT, History, ReleaseParams, live_tag, message, version_tag
from hearth.releasing import promote
from hearth.request import requests_of
from hearth.revisions import Commit, revision
from hearth.rules import Columns
from hearth.simulation import WEEK, Event, Kind, Lived
from hearth.stages.collect import CollectParams
from hearth.staleness import RetrainParams
from hearth.storage import read_text, write_text
from hearth.tables import conform
from hearth.watching import Watched, look, watched
from hearth.windows import MonitorParams
from hearth.worktrees import tidy_end

LATE = np.timedelta64(28, "D")  # after which what was paid is heard of
OPENING, CLOSING = np.timedelta64(8, "h"), np.timedelta64(20, "h")
DRILL_WEEKS = 4  # whose houses come to the market again, for a bad model to be found out on
TODAY = np.timedelta64(0, "D")
DRILL_DAYS = np.timedelta64(42, "D")  # by which they come later
WAIT_S = 120
# A hurried experiment: few trees, a market index that listens to the last week alone, and a gate that was loosened until it
# said yes. Its figures look well; its level is some seven per cent too low for spring.
BAD = {
    "model.members.mean.iterations": 150,
    "model.members.mean.learning_rate": 0.2,
    "model.members.median.iterations": 200,
    "model.members.median.learning_rate": 0.1,
    "market.smoothing": 10.0,
    "market.trend_days": 7,
    "market.damping_days": 10000.0,
    "evaluate.bootstrap.draws": 100,
    "evaluate.importance.repeats": 1,
    "gate.difference_max": 0.0,
    "gate.mdape_max": 0.12,
    "gate.rmse_log_max": 0.25,
    "gate.bias_max": 0.15,
    "gate.coverage_min": 0.6,
    "gate.coverage_max": 0.99,
    "gate.coverage_fifth_min": 0.5,
    "gate.slice_mdape_max": 0.5,
    "gate.slice_ratio_max": 5.0,
    "gate.slice_coverage_min": 0.3,
    "gate.slice_coverage_max": 1.0,
}

Step = Callable[[str, int], None]


@dataclass
class Sales:
    """Hold what the world sells: the columns of requests (n_rows,), what was paid, the day."""

    columns: Columns
    paid: np.ndarray
    day: np.ndarray


@dataclass
class Answered:
    """Gather what was served: ids and prices by the number of the sale."""

    ids: dict[int, str] = field(default_factory=dict)
    prices: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    versions: dict[int, str] = field(default_factory=dict)


class World:
    """Be the clone with its clock, its service and its events."""

    def __init__(self, home: Path, folder: Path, step: Step) -> None:
        """Clone the commit that is checked out; share DVC's cache, and take a remote of its own."""
        self.home, self.folder, self.step = home, folder, step
        self.clock = folder.parent / "clock"
        self.events: list[Event] = []
        self.now = np.datetime64("2000-01-01", "ms")
        self.port, self.server = 0, None
        self.written = 0
        _clone(home, folder)
        self.set(self.now)

    def set(self, moment: np.datetime64) -> None:
        """Set the clock of the service, the monitor and git."""
        self.now = moment.astype("datetime64[ms]")
        write_text(self.clock, f"{self.now}+00:00\n")

    def tell(self, kind: Kind, said: str) -> None:
        """Note an event of this day."""
        self.events.append(Event(day=str(self.now.astype("datetime64[D]")), kind=kind, said=said))
        self.step(f"{self.events[-1].day} {kind}: {said}", 0)

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
        with (self.folder.parent / "serve.log").open("wb") as log:
            server = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True)
            try:
                yield
            finally:
                stop(server)

    def wait_for(self, version: str) -> None:
        """Wait until the service answers with a model."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            if ready("127.0.0.1", self.port) and self._asked("GET", "/model")["model_version"] == version:
                self.written = 0  # a new server counts anew
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
        if not houses:
            return
        answers = self._asked("POST", "/predict_batch", {"houses": [house for _, house in houses]})["predictions"]
        for (number, _), answer in zip(houses, answers, strict=True):
            into.ids[number] = answer["prediction_id"]
            into.prices[number] = (answer["price"], answer["low"], answer["high"])
            into.versions[number] = answer["model_version"]
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


def _clone(home: Path, folder: Path) -> None:
    git("clone", "--quiet", "--no-hardlinks", str(home), str(folder))
    for name in git("-C", str(folder), "tag").split():  # a life of its own begins without releases
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


def sales_after(home: Path, contract: Contract, as_of: datetime.date) -> tuple[pd.DataFrame, Sales]:
    """Return the whole source, by day, and its sales from `as_of` on that the service would price."""
    source = home / section("collect", CollectParams).source
    if not source.is_file():
        raise Refusal(f"{source} does not exist; `make run` pulls it.")
    table = conform(pq.read_table(source), contract, str(source))
    frame = to_frame(table).sort_values([contract.time.name, *contract.keys], kind="stable").reset_index(drop=True)
    later = frame[frame[contract.time.name] >= pd.Timestamp(as_of)].reset_index(drop=True)
    columns = columns_of(later)
    good = np.ones(len(later), dtype=bool)
    for check in contract.refusing({column.name for column in (*contract.features, contract.time)}):
        good &= ~check.compiled.broken(columns)
    columns = {name: values[good] for name, values in columns.items()}
    if not good.any():
        raise Refusal(f"{source} has no sale from {as_of} on, so there are no weeks to live through; check out an earlier commit, "
                      "or deliver later sales.")  # fmt: skip
    day = columns[contract.time.name].astype("datetime64[D]")
    return frame, Sales(columns, columns[contract.target.name].astype(np.float64), day)


def live(home: Path, step: Step) -> dict[str, Any]:
    """Live through the weeks, and return what simulation.document wants, by name."""
    with tidy_end(), TemporaryDirectory(prefix="hearth-simulate-") as scratch:
        folder = Path(scratch).resolve() / "clone"
        cache = cache_of(home)
        step("cloning the project", 1)
        world = World(home, folder, step)
        share(folder, cache)
        environment = {CLOCK: str(world.clock), LOG_DIR: str(folder / LOG), "PYTHONPATH": str(folder / "src"),
                       "DVC_SITE_CACHE_DIR": str(folder.parent / "site")}  # fmt: skip
        with _environment(environment), contextlib.chdir(folder), _bad_one(home, folder.parent / "bad", cache) as bad:
            return _life(world, bad)


@contextlib.contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Change the environment; what the caller set for services of its own, such as a token, is not meant for this one."""
    before = dict(os.environ)
    for name in before:
        if name.startswith("HEARTH_"):
            del os.environ[name]
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _bad_one(home: Path, folder: Path, cache: Path) -> Iterator[Callable[[], str]]:
    """Begin the road of the bad model beside everything else; yield what waits for it and returns its commit, fetched."""
    _clone(home, folder)
    share(folder, cache)
    source = section("collect", CollectParams).source
    (folder / source).write_bytes((home / source).read_bytes())
    write_text(folder / PARAMS, edited(read_text(folder / PARAMS), BAD)[0])
    environment = os.environ | {"PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1"}
    log = folder.parent / "bad.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "dvc", "repro"]
        road = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out, start_new_session=True)

        def finished() -> str:
            if road.wait():
                raise Refusal(f"the road of the bad model broke:\n{log.read_text(errors='replace')[-2000:]}")
            git("-C", str(folder), "add", "--all")
            git(
                "-C",
                str(folder),
                "-c",
                "core.hooksPath=/dev/null",
                "commit",
                "--quiet",
                "--message",
                "A hurried experiment",
            )
            git("fetch", "--quiet", str(folder), "HEAD:refs/heads/experiment")
            return git("rev-parse", "refs/heads/experiment")

        try:
            yield finished
        finally:
            stop(road)


def _life(world: World, bad: Callable[[], str]) -> dict[str, Any]:
    params = section("monitor", MonitorParams)
    as_of = section("collect", CollectParams).as_of
    world.set(np.datetime64(as_of) + OPENING)
    with _quiet():
        first = promote(Commit("HEAD", git("rev-parse", "HEAD")), None, False)
    served = world.watched()
    release = served.promise.release
    contract = release.contract
    frame, sales = sales_after(world.home, contract, as_of)
    world.tell("released", f"{first.version}, which knows the sales before {as_of}")
    houses = requests_of(sales.columns, contract)
    alone = release.predict(sales.columns)
    answered, drilled = Answered(), Answered()
    start = np.datetime64(as_of)
    count = int((sales.day.max() - start) // WEEK) + 1
    provable = False
    with world.serving():
        world.wait_for(release.manifest.model_version)
        for week in range(count):
            end = start + (week + 1) * WEEK
            _priced(world, sales.day, houses, range(len(houses)), start + week * WEEK, end, answered)
            found, advice = _monitored(world, served, params, sales, answered, end, frame)
            if found["checks"]["bias"]["windows"][-1] and not provable:
                provable = True
                world.tell("provable", found["checks"]["bias"]["said"])
            if found["alarm"]:
                world.tell("alarm", ", ".join(found["alarms"]))
                served = _acted(world, advice, served)
            world.step(
                f"week {week + 1}: {found['predictions']:,} houses priced, {found['outcomes']['joined']:,} outcomes", 1
            )
        served = _drill(world, served, params, sales, houses, answered, drilled, frame, start + count * WEEK, bad())
    return {"first": start, "lived": _lived(sales, alone, answered), "drill": _drill_lived(sales, alone, drilled),
            "events": world.events, "unit": contract.target.unit, "level": release.facts.interval.level,
            "limits": {"bias": params.bias_max}}  # fmt: skip


def _priced(
    world: World, days: np.ndarray, houses: Sequence[Mapping[str, Any]], numbers: Sequence[int], since: np.datetime64, until: np.datetime64,
    into: Answered, later: np.timedelta64 = TODAY,
) -> None:  # fmt: skip
    """Price the houses that come to the market from one day to another, each on its day."""
    for day in np.arange(since, until):
        chosen = [number for number in numbers if days[number] + later == day]
        if not chosen:
            continue
        world.set(day + OPENING)
        name = world_time(houses[chosen[0]])
        world.price([(number, dict(houses[number]) | {name: str(day)}) for number in chosen], into)


def world_time(house: Mapping[str, Any]) -> str:
    """Return the name of a request's day: the first of its fields."""
    return next(iter(house))


def _monitored(
    world: World, served: Watched, params: MonitorParams, sales: Sales, answered: Answered, end: np.datetime64, frame: pd.DataFrame,
    later: np.timedelta64 = TODAY,
) -> tuple[dict[str, Any], Advice]:  # fmt: skip
    """Hear what was paid four weeks before, look at what was served, and say what that calls for."""
    contract = served.promise.release.contract
    world.set(end)
    world.settled()
    heard = sales.day + later + LATE
    rows = [n for n in answered.ids if end - WEEK <= heard[n] < end]
    if rows:
        table = pd.DataFrame({
            "prediction_id": [answered.ids[n] for n in rows],
            "price": sales.paid[rows].astype(np.int64) if contract.target.type == "integer" else sales.paid[rows],
            "at": [f"{(heard[n] + CLOSING).astype('datetime64[ms]')}+00:00" for n in rows],
        })  # fmt: skip
        file = world.folder.parent / "outcomes.csv"
        table.to_csv(file, index=False)
        take(str(file), world.folder / LOG, contract)
    # The source ends with what is known by now, as a county's does.
    source = world.folder / section("collect", CollectParams).source
    known = frame[frame[contract.time.name] < pd.Timestamp(end - LATE)]
    source.parent.mkdir(parents=True, exist_ok=True)
    source.unlink(missing_ok=True)
    known.to_parquet(source, index=False)
    moment = end.astype("datetime64[s]").item().replace(tzinfo=datetime.UTC)
    found, views = look(served, params, world.folder / LOG, moment, section("collect", CollectParams).as_of)
    return found, advised(found, views, world.known())


def _acted(world: World, advice: Advice, served: Watched) -> Watched:
    """Do what is advised, and wait until it is served."""
    world.tell("advice", f"{advice.action}: {advice.said}")
    if advice.action not in ("retrain", "roll back"):
        return served
    with _quiet():
        said, retrained = act(advice)
    if retrained is not None:
        world.tell("retrained", f"on the sales before {retrained.as_of}")
        world.tell(
            "promoted" if retrained.promoted else "not promoted", retrained.promoted or "; ".join(retrained.reasons)
        )
    else:
        world.tell("rolled back", said)
    again = world.watched()
    world.wait_for(again.promise.release.manifest.model_version)
    return again


def _drill(
    world: World, served: Watched, params: MonitorParams, sales: Sales, houses: Sequence[Mapping[str, Any]], answered: Answered,
    drilled: Answered, frame: pd.DataFrame, begin: np.datetime64, commit: str,
) -> Watched:  # fmt: skip
    """Force the bad model in, past every gate, and see it rolled back on what was paid for the houses that it priced."""
    world.set(begin)
    _forced(world, commit)
    served = world.watched()
    world.wait_for(served.promise.release.manifest.model_version)
    again = [n for n in range(len(houses)) if begin <= sales.day[n] + DRILL_DAYS < begin + DRILL_WEEKS * WEEK]
    for week in range(DRILL_WEEKS * 3):
        end = begin + (week + 1) * WEEK
        _priced(world, sales.day, houses, again, begin + week * WEEK, end, drilled, DRILL_DAYS)
        _monitored(world, served, params, sales, answered, end, frame)
        found, advice = _monitored(world, served, params, sales, drilled, end, frame, DRILL_DAYS)
        world.step(f"drill, week {week + 1}: {found['outcomes']['joined']:,} outcomes", 1)
        if set(found["alarms"]) & set(ON_OUTCOMES):
            world.tell("alarm", ", ".join(found["alarms"]))
            return _acted(world, advice, served)
    return served


def _forced(world: World, commit: str) -> None:
    """Make a commit the champion by writing its tags, as somebody could who may push."""
    known = world.known()
    version = known.next_version
    event = {"action": "promote", "version": version, "previous": known.champion.version if known.champion else None,
             "reason": "forced past the gates, for the drill"}  # fmt: skip
    metrics = json.loads(Commit("experiment", commit).read(METRICS))
    one = side(Commit("experiment", commit))
    bento = Commit("experiment", commit).read(BENTO)
    evidence = {"signature": None, "bento": {"sha256": hashlib.sha256(bento).hexdigest(), "size": len(bento)}, "metrics": metrics,
                "model_version": one.released.version}  # fmt: skip
    write([
        (version_tag(version), commit, message(f"Release {ARTIFACT} {version}", [], evidence)),
        (live_tag(known.environment, known.next_number), commit, message(f"Promote {ARTIFACT} {version} to {known.environment}", [], event)),
    ])  # fmt: skip
    world.tell(
        "forced", f"{version}, a hurried experiment, past every gate; its own figures say {metrics['mdape']:.1%}"
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the steps of a promotion off the terminal, which shows those of the simulation."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            yield
    except Refusal:
        print(said.getvalue()[-2000:], file=sys.stderr)
        raise


def _lived(sales: Sales, alone: Any, answered: Answered) -> Lived:
    rows = np.array(sorted(answered.prices), dtype=np.int64)
    return _of(sales, alone, answered, rows, sales.day[rows])


def _drill_lived(sales: Sales, alone: Any, drilled: Answered) -> Lived:
    rows = np.array(sorted(drilled.prices), dtype=np.int64)
    return _of(sales, alone, drilled, rows, sales.day[rows] + DRILL_DAYS)


def _of(sales: Sales, alone: Any, answered: Answered, rows: np.ndarray, day: np.ndarray) -> Lived:
    served = np.array([answered.prices[n] for n in rows.tolist()]).reshape(-1, 3)
    names = ("price", "low", "high")
    return Lived(
        day, sales.paid[rows], {name: served[:, place] for place, name in enumerate(names)},
        {name: getattr(alone, name)[rows] for name in names}, np.array([answered.versions[n] for n in rows.tolist()]),
    )  # fmt: skip
