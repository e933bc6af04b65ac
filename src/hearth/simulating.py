"""Live through the weeks after the model's data, in a throw-away clone: the real service, late outcomes, monitor, and what it calls for.

Nothing of the caller's repository changes but DVC's cache, which the clone shares, so that a second life runs no road again.
What is known on a day is known to the clone and nothing more: its source ends with the sales whose outcomes arrived.
"""

import contextlib
import datetime
import io
import os
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
from hearth.clock import CLOCK
from hearth.collecting import CollectParams
from hearth.contract import Contract
from hearth.delivery import take
from hearth.drilling import bad_model, force
from hearth.errors import Refusal
from hearth.git import git
from hearth.journal import LOG_DIR
from hearth.params import section
from hearth.parquet import columns_of, to_frame
from hearth.paths import LOG
from hearth.releasing import promote
from hearth.request import requests_of
from hearth.revisions import Commit
from hearth.rules import Columns
from hearth.simulation import WEEK, Kind, Lived
from hearth.tables import conform
from hearth.watching import look
from hearth.windows import MonitorParams
from hearth.worktrees import tidy_end
from hearth.world import Answered, Step, World, cache_of, share

LATE = np.timedelta64(28, "D")  # after which what was paid is heard of
OPENING, CLOSING = np.timedelta64(8, "h"), np.timedelta64(20, "h")
DRILL_WEEKS = 4  # whose houses come to the market again, for a bad model to be found out on
TODAY = np.timedelta64(0, "D")
DRILL_DAYS = np.timedelta64(42, "D")  # by which they come later
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
        with _environment(environment), contextlib.chdir(folder), bad_model(home, folder.parent / "bad", cache) as bad:
            return Life(world).live(bad)


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


class Life:
    """Live through the weeks of a world: price, hear, monitor, and do what is advised."""

    def __init__(self, world: World) -> None:
        """Release what is checked out, and take the sales that it does not know."""
        self.world, self.params = world, section("monitor", MonitorParams)
        as_of = section("collect", CollectParams).as_of
        world.set(np.datetime64(as_of) + OPENING)
        with _quiet():
            first = promote(Commit("HEAD", git("rev-parse", "HEAD")), None, False)
        self.served = world.watched()
        self.release = self.served.promise.release
        self.contract = self.release.contract
        self.frame, self.sales = sales_after(world.home, self.contract, as_of)
        world.tell("released", f"{first.version}, which knows the sales before {as_of}")
        self.houses = requests_of(self.sales.columns, self.contract)
        self.alone = self.release.predict(self.sales.columns)
        self.answered, self.drilled, self.restored = Answered(), Answered(), Answered()
        self.start = np.datetime64(as_of)

    def live(self, bad: Callable[[], str]) -> dict[str, Any]:
        """Live through the weeks and the drill; return what simulation.document wants, by name."""
        weeks = int((self.sales.day.max() - self.start) // WEEK) + 1
        with self.world.serving():
            self.world.wait_for(self.release.manifest.model_version)
            self._weeks(weeks)
            self._drill(self.start + weeks * WEEK, bad())
        return {
            "first": self.start,
            "lived": self._lived(self.answered),
            "drill": self._lived(self.drilled),
            "restored": self._lived(self.restored),
            "events": self.world.events,
            "unit": self.contract.target.unit,
            "level": self.release.facts.interval.level,
            "limits": {"bias": self.params.bias_max},
        }

    def _weeks(self, count: int) -> None:
        """Live through the weeks in which sales were recorded, and act on every alarm."""
        provable = False
        for week in range(count):
            end = self.start + (week + 1) * WEEK
            self._price(self.answered, range(len(self.houses)), end - WEEK, end)
            self._hear(self.answered, end)
            found, advice = self._monitor(end)
            if found["checks"]["bias"]["windows"][-1] and not provable:
                provable = True
                self.world.tell("provable", found["checks"]["bias"]["said"])
            if found["alarm"]:
                self.world.alarm(found)
                self._act(advice)
            said = f"{found['predictions']:,} houses priced, {found['outcomes']['joined']:,} outcomes"
            self.world.step(f"week {week + 1}: {said}", 1)

    def _drill(self, begin: np.datetime64, commit: str) -> None:
        """Force the bad model in, and see it rolled back on what was paid for the houses that it priced."""
        self.world.set(begin)
        force(self.world, commit)
        self._follow()
        days = self.sales.day + DRILL_DAYS
        again = np.flatnonzero((days >= begin) & (days < begin + DRILL_WEEKS * WEEK)).tolist()
        for week in range(DRILL_WEEKS * 3):
            end = begin + (week + 1) * WEEK
            self._price(self.drilled, again, end - WEEK, end, DRILL_DAYS)
            self._hear(self.answered, end)
            self._hear(self.drilled, end, DRILL_DAYS)
            found, advice = self._monitor(end)
            self.world.step(f"drill, week {week + 1}: {found['outcomes']['joined']:,} outcomes", 1)
            if set(found["alarms"]) & set(ON_OUTCOMES):
                self.world.alarm(found)
                self._act(advice)
                self._ask(self.restored, again, end.astype("datetime64[D]"))
                return

    def _price(
        self, into: Answered, numbers: Sequence[int], since: np.datetime64, until: np.datetime64, later: np.timedelta64 = TODAY
    ) -> None:  # fmt: skip
        """Price the houses that come to the market from one day to another, each on its day."""
        for day in np.arange(since, until):
            if chosen := [number for number in numbers if self.sales.day[number] + later == day]:
                self.world.set(day + OPENING)
                self._ask(into, chosen, day)

    def _ask(self, into: Answered, numbers: Sequence[int], day: np.datetime64) -> None:
        """Ask the service for the prices of houses on a day."""
        dated = {self.contract.time.name: str(day)}
        self.world.price([(number, self.houses[number] | dated) for number in numbers], into)

    def _hear(self, answered: Answered, end: np.datetime64, later: np.timedelta64 = TODAY) -> None:
        """Hear in the week before `end` what was paid for houses that were priced four weeks before."""
        self.world.set(end)
        self.world.settled()
        heard = self.sales.day + later + LATE
        rows = [n for n in answered.ids if end - WEEK <= heard[n] < end]
        if not rows:
            return
        paid = self.sales.paid[rows]
        table = pd.DataFrame({
            "prediction_id": [answered.ids[n] for n in rows],
            "price": paid.astype(np.int64) if self.contract.target.type == "integer" else paid,
            "at": [f"{(heard[n] + CLOSING).astype('datetime64[ms]')}+00:00" for n in rows],
        })  # fmt: skip
        file = self.world.folder.parent / "outcomes.csv"
        table.to_csv(file, index=False)
        take(str(file), self.world.folder / LOG, self.contract)

    def _monitor(self, end: np.datetime64) -> tuple[dict[str, Any], Advice]:
        """Look at what was served, and say what that calls for."""
        # The source ends with what is known by now, as a county's does.
        source = self.world.folder / section("collect", CollectParams).source
        known = self.frame[self.frame[self.contract.time.name] < pd.Timestamp(end - LATE)]
        source.parent.mkdir(parents=True, exist_ok=True)
        source.unlink(missing_ok=True)
        known.to_parquet(source, index=False)
        moment = end.astype("datetime64[s]").item().replace(tzinfo=datetime.UTC)
        as_of = section("collect", CollectParams).as_of
        found, views = look(self.served, self.params, self.world.folder / LOG, moment, as_of)
        return found, advised(found, views, self.world.known())

    def _act(self, advice: Advice) -> None:
        """Do what is advised, and wait until it is served."""
        self.world.tell("advice", f"{advice.action}: {advice.said}")
        if advice.action not in ("retrain", "roll back"):
            return
        with _quiet():
            champion = self.world.known().champion
            said, retrained = act(advice, champion.version if champion else None)
        if retrained is None:
            self.world.tell("rolled back", said)
        else:
            if retrained.branch:
                self.world.tell("retrained", f"on the sales before {retrained.as_of}")
            kind: Kind = "promoted" if retrained.promoted else "not promoted"
            self.world.tell(kind, retrained.promoted or "; ".join(retrained.reasons))
        self._follow()

    def _follow(self) -> None:
        """Watch what is the champion now, once it is served."""
        self.served = self.world.watched()
        self.world.wait_for(self.served.promise.release.manifest.model_version)

    def _lived(self, answered: Answered) -> Lived:
        """Return what was answered in one part of the life, beside what the first model would have said."""
        rows = np.array(sorted(answered.prices), dtype=np.int64)
        served = np.array([answered.prices[n] for n in rows.tolist()]).reshape(-1, 3)
        return Lived(
            np.array([answered.days[n] for n in rows.tolist()], dtype="datetime64[D]"), self.sales.paid[rows],
            {name: served[:, place] for place, name in enumerate(MONEY)}, {name: getattr(self.alone, name)[rows] for name in MONEY},
            np.array([answered.versions[n] for n in rows.tolist()]),
        )  # fmt: skip


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
