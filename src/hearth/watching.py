"""Look at what is served: read the log, the outcomes and the release that answers, and return the monitor's document."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hearth.bento import MODULES
from hearth.clock import now
from hearth.comparing import frame
from hearth.cuts import Background
from hearth.errors import Refusal
from hearth.features import FeatureParams
from hearth.journal import Entries
from hearth.log_lines import OUTCOMES
from hearth.logbook import Step, read
from hearth.monitoring import document
from hearth.outcomes import gathered, joined
from hearth.parquet import columns_of
from hearth.paths import METRICS, MODEL, PARAMS, PREDICTIONS, PROFILE, TRAIN
from hearth.pricing import fit, inputs
from hearth.profile import Profile
from hearth.release import open_release
from hearth.revisions import SOURCES, Commit, Revision, Workspace
from hearth.rules import Columns
from hearth.slices import EvaluateParams
from hearth.storage import parsed_json, parsed_yaml
from hearth.strict import parse
from hearth.windows import AHEAD, MonitorParams, Promise, View, grid_end, windows


@dataclass(frozen=True)
class Watched:
    """Hold what is served: what its evaluation promised, and what its outcomes are cut by."""

    promise: Promise
    evaluate: EvaluateParams
    background: Background


def watched(source: Revision, cadence_days: int, since: np.datetime64 | None = None) -> Watched:
    """Return what a revision serves, live since a moment; refuse what is missing or not whole."""
    release = open_release(source.folder(MODEL), f"{MODEL} of {source.name}")
    profile = parse(
        Profile, parsed_json(source.read(PROFILE), f"{PROFILE} of {source.name}"), f"{PROFILE} of {source.name}"
    )
    tested = columns_of(frame(source, PREDICTIONS))
    metrics = parsed_json(source.read(METRICS), f"{METRICS} of {source.name}")
    width = float(np.median(np.log(tested["high"] / tested["low"]) / 2))
    vouched = (release.facts.horizon - release.facts.as_of).days + 1
    promise = Promise(
        release,
        profile,
        metrics["mdape"],
        metrics["mdape"] / width,
        min(cadence_days, vouched),
        _by_own_code(source),
        since,
    )
    params = parsed_yaml(source.read(PARAMS), f"{PARAMS} of {source.name}")
    evaluate = parse(EvaluateParams, params.get("evaluate"), f"{PARAMS} of {source.name}: evaluate")
    recipe = parse(FeatureParams, params.get("features"), f"{PARAMS} of {source.name}: features")
    background = Background(columns_of(frame(source, TRAIN)), release.contract, recipe, evaluate.baseline.area)
    return Watched(promise, evaluate, background)


def _by_own_code(source: Revision) -> Callable[[Columns], NDArray[np.float32]] | None:
    """Return what computes inputs by the revision's code where it differs from this one's: features change with main."""
    if not isinstance(source, Commit):
        return None
    names = [f"{SOURCES}/{name}.py" for name in MODULES]
    own, here = source.sources(), Workspace().sources()
    if all(own.get(name) == here.get(name) for name in names):
        return None
    return partial(inputs, fit(source, MODEL))


def look(
    served: Watched, params: MonitorParams, folder: Path, until: datetime, known_until: date, step: Step | None = None
) -> tuple[dict[str, Any], list[View]]:
    """Return the document of the last windows before `until` (UTC), and the windows, the oldest first.

    `known_until` is the day up to which the data reaches.
    """
    if not folder.is_dir():
        raise Refusal(
            f"{folder} is no folder; start the service with `make serve`, or name the one it logs to by --log."
        )
    promise = served.promise
    contract, days = promise.release.contract, promise.profile.window_days
    moment = np.datetime64(until.replace(tzinfo=None), "ms")
    start = grid_end(moment, days) - np.timedelta64(days * params.of, "D")
    since = datetime.fromisoformat(str(start)).replace(tzinfo=UTC)
    told = Entries(folder, OUTCOMES)
    heard = gathered(told, contract, start, moment)
    reading = read(folder, since, until, contract, promise.release.facts.as_of, heard.known, step)
    reading.torn_outcomes = told.torn
    found, counts = joined(
        heard, reading.predictions.ids, reading.predictions.at, params.late_days, reading.passed_over
    )
    refused_at = heard.refused_at
    del heard  # a third of what a large log takes
    ahead = reading.newest is not None and reading.newest > np.datetime64(now().replace(tzinfo=None), "ms") + AHEAD
    over, begun = windows(reading, found, refused_at, moment, days, params.of, bool(ahead))
    views = [View(window, promise, params) for window in over]
    present = None if begun is None else View(begun, promise, params)
    data_days = (until.date() - known_until).days
    at = until.isoformat(timespec="seconds")
    return document(at, views, present, reading, counts, served.evaluate.slices, served.background, data_days), views
