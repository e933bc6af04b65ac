"""Live through the weeks after the model's data, in a throw-away clone: the real service, late outcomes, monitor, and what it calls for.

Nothing of the caller's repository changes but DVC's cache, which the clone shares, so that a second life runs no road again.
What is known on a day is known to the clone and nothing more: its source ends with the sales whose outcomes arrived.
"""

import contextlib
import datetime
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from hearth.acting import act, advised
from hearth.advising import ON_OUTCOMES, Advice
from hearth.bento import stop
from hearth.clock import CLOCK
from hearth.comparing import side
from hearth.contract import Contract
from hearth.delivery import take
from hearth.editing import edited
from hearth.errors import Refusal
from hearth.git import git
from hearth.journal import LOG_DIR
from hearth.params import section
from hearth.parquet import columns_of, to_frame
from hearth.paths import BENTO, LOG, METRICS, PARAMS
from hearth.registry import write
from hearth.release import Prediction
from hearth.releases import ARTIFACT, live_tag, message, version_tag
from hearth.releasing import promote
from hearth.request import requests_of
from hearth.revisions import Commit
from hearth.rules import Columns
from hearth.simulation import WEEK, Lived
from hearth.stages.collect import CollectParams
from hearth.storage import read_text, write_text
from hearth.tables import conform
from hearth.watching import Watched, look
from hearth.windows import MonitorParams
from hearth.worktrees import tidy_end
from hearth.world import Answered, Step, World, cache_of, clone, share

LATE = np.timedelta64(28, "D")  # after which what was paid is heard of
OPENING, CLOSING = np.timedelta64(8, "h"), np.timedelta64(20, "h")
DRILL_WEEKS = 4  # whose houses come to the market again, for a bad model to be found out on
TODAY = np.timedelta64(0, "D")
DRILL_DAYS = np.timedelta64(42, "D")  # by which they come later
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

MONEY = ("price", "low", "high")


@dataclass
class Sales:
    """Hold what the world sells: the columns of requests (n_rows,), what was paid, the day."""

    columns: Columns
    paid: np.ndarray
    day: np.ndarray


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
    clone(home, folder)
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
    answered, drilled, restored = Answered(), Answered(), Answered()
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
                world.alarm(found)
                served = _acted(world, advice, served)
            world.step(
                f"week {week + 1}: {found['predictions']:,} houses priced, {found['outcomes']['joined']:,} outcomes", 1
            )
        served = _drill(
            world, served, params, sales, houses, answered, drilled, restored, frame, start + count * WEEK, bad()
        )
    return {
        "first": start,
        "lived": _lived(sales, alone, answered),
        "drill": _lived(sales, alone, drilled),
        "restored": _lived(sales, alone, restored),
        "events": world.events,
        "unit": contract.target.unit,
        "level": release.facts.interval.level,
        "limits": {"bias": params.bias_max},
    }


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
        champion = world.known().champion
        said, retrained = act(advice, champion.version if champion else None)
    if retrained is not None:
        if retrained.branch:
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
    drilled: Answered, restored: Answered, frame: pd.DataFrame, begin: np.datetime64, commit: str,
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
            world.alarm(found)
            served = _acted(world, advice, served)
            _priced_again(world, houses, again, end, restored)
            return served
    return served


def _priced_again(
    world: World, houses: Sequence[Mapping[str, Any]], numbers: Sequence[int], day: np.datetime64, into: Answered
) -> None:
    """Price the houses of the drill on one day more, by what was put back."""
    name = world_time(houses[numbers[0]])
    world.price([(number, dict(houses[number]) | {name: str(day.astype("datetime64[D]"))}) for number in numbers], into)


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


def _lived(sales: Sales, alone: Prediction, answered: Answered) -> Lived:
    """Return what was answered in one part of the life, beside what the first model would have said."""
    rows = np.array(sorted(answered.prices), dtype=np.int64)
    served = np.array([answered.prices[n] for n in rows.tolist()]).reshape(-1, 3)
    return Lived(
        np.array([answered.days[n] for n in rows.tolist()], dtype="datetime64[D]"), sales.paid[rows],
        {name: served[:, place] for place, name in enumerate(MONEY)}, {name: getattr(alone, name)[rows] for name in MONEY},
        np.array([answered.versions[n] for n in rows.tolist()]),
    )  # fmt: skip
