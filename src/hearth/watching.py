"""Look at what is served: read the log, the outcomes and the release that answers, and return the monitor's document."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hearth.clock import now
from hearth.cuts import Background
from hearth.errors import Refusal
from hearth.features import FeatureParams
from hearth.journal import Entries
from hearth.logbook import Step, read
from hearth.monitoring import document
from hearth.outcomes import gathered, joined
from hearth.parquet import columns_of, to_frame
from hearth.paths import METRICS, MODEL, PARAMS, PREDICTIONS, PROFILE, TRAIN
from hearth.profile import Profile
from hearth.release import open_release
from hearth.revisions import Revision
from hearth.rules import Columns
from hearth.slices import EvaluateParams
from hearth.storage import parsed_json, parsed_yaml
from hearth.strict import parse
from hearth.windows import AHEAD, MonitorParams, Promise, View, windows

OUTCOMES = "outcomes"


@dataclass(frozen=True)
class Watched:
    """Hold what is served: what its evaluation promised, and what its outcomes are cut by."""

    promise: Promise
    evaluate: EvaluateParams
    background: Background


def watched(source: Revision, cadence_days: int) -> Watched:
    """Return what a revision serves; refuse what is missing or not whole."""
    release = open_release(source.folder(MODEL), f"{MODEL} of {source.name}")
    profile = parse(
        Profile, parsed_json(source.read(PROFILE), f"{PROFILE} of {source.name}"), f"{PROFILE} of {source.name}"
    )
    tested = _columns(source, PREDICTIONS)
    metrics = parsed_json(source.read(METRICS), f"{METRICS} of {source.name}")
    width = float(np.median(np.log(tested["high"] / tested["low"]) / 2))
    horizon = (release.facts.horizon - release.facts.as_of).days
    promise = Promise(release, profile, metrics["mdape"], metrics["mdape"] / width, min(cadence_days, horizon))
    params = parsed_yaml(source.read(PARAMS), f"{PARAMS} of {source.name}")
    evaluate = parse(EvaluateParams, params.get("evaluate"), f"{PARAMS} of {source.name}: evaluate")
    recipe = parse(FeatureParams, params.get("features"), f"{PARAMS} of {source.name}: features")
    background = Background(_columns(source, TRAIN), release.contract, recipe, evaluate.baseline.area)
    return Watched(promise, evaluate, background)


def _columns(source: Revision, path: Path) -> Columns:
    try:
        return columns_of(to_frame(pq.read_table(pa.BufferReader(source.read(path)))))
    except (pa.ArrowInvalid, OSError) as error:
        raise Refusal(
            f"{path} of {source.name} is not a whole parquet file ({error}); `dvc checkout` brings back the last good one."
        ) from None


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
    since = until - timedelta(days=days * params.of)
    heard = gathered(Entries(folder, OUTCOMES), contract, moment - np.timedelta64(days * params.of, "D"), moment)
    reading = read(folder, since, until, contract, promise.release.facts.as_of, heard.known, step)
    found, counts = joined(heard, reading.predictions.ids, reading.predictions.at, params.late_days)
    refused_at = heard.refused_at
    del heard  # a third of what a large log takes
    ahead = reading.newest is not None and reading.newest > np.datetime64(now().replace(tzinfo=None), "ms") + AHEAD
    seen = windows(reading, found, refused_at, moment, days, params.of, bool(ahead))
    views = [View(window, promise, params) for window in seen]
    data_days = (until.date() - known_until).days
    at = until.isoformat(timespec="seconds")
    return document(at, views, reading, counts, served.evaluate.slices, served.background, data_days), views
