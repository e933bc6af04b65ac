"""Hold what was served, and what became of it, to what the model promised; exit status 1 when an alarm is due.

Looks at the log of `hearth serve` in windows of a week: whether the requests, the prices, or what was paid moved away from what the
model was fitted and evaluated on, whether features are computed now as they were then, whether the model is too old. An alarm is
due when a check was bad in k of the last n windows, and calls for a retraining, a rollback or a person's look. Writes
metrics/monitor.json and a page.
"""

import argparse
import json
import os
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from hearth.acting import act, advised
from hearth.advising import Advice
from hearth.clock import now
from hearth.collecting import CollectParams
from hearth.delivery import take
from hearth.errors import Refusal, WrongUseError
from hearth.journal import LOG_DIR
from hearth.logbook import size
from hearth.monitor_metrics import exposition
from hearth.monitor_page import page
from hearth.operations import a_day, absolute, templates
from hearth.params import section
from hearth.paths import LOG, MONITOR, MONITOR_METRICS, MONITOR_PAGE
from hearth.progress import progress
from hearth.registry import releases
from hearth.releases import History, ReleaseParams
from hearth.revisions import Workspace, revision
from hearth.staleness import RetrainParams
from hearth.storage import write_json, write_text
from hearth.watch import watch
from hearth.watching import Watched, look, watched
from hearth.windows import MonitorParams, View


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the log, the outcomes, the moment to look from, and the model that is served."""
    parser.add_argument(
        "--log", type=absolute, metavar="FOLDER", help=f"where the service logs to (without it: {LOG_DIR}, or {LOG})"
    )
    parser.add_argument(
        "--outcomes",
        metavar="FILE|URL",
        help="a table of what was really paid, to be joined first: prediction_id, price",
    )
    parser.add_argument(
        "--until",
        type=a_day,
        metavar="DAY",
        help="look at the windows before this day (without it: before this moment)",
    )
    parser.add_argument(
        "--workspace", action="store_true", help="the workspace's model is served, whatever is released"
    )
    parser.add_argument(
        "--act", action="store_true", help="do what the alarms call for: retrain through the gates, or roll back"
    )
    parser.add_argument("--json", action="store_true", help="print the document as JSON")
    parser.add_argument(
        "--every",
        type=float,
        metavar="SECONDS",
        help="run again and again, and tell Prometheus what was found, until Ctrl-C",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="with --every: address to listen on (127.0.0.1: this machine only)"
    )
    parser.add_argument("--port", type=int, default=9109, help="with --every: port of /metrics (9109)")


def run(options: argparse.Namespace) -> int:
    """Write the document and say what is wrong; the answer is no if an alarm is due."""
    if options.act and options.workspace:
        raise WrongUseError(
            "--act changes what is released, which the workspace's model is not; leave --workspace or --act out."
        )
    if options.until is not None and (options.act or options.every is not None):
        raise WrongUseError(
            "--until looks at the past, on which nothing is acted and which does not change; leave it or the other out."
        )
    folder = options.log or absolute(os.environ.get(LOG_DIR) or str(LOG))
    if options.every is not None:
        return watch(lambda: _once(options, folder, options.every), options.every, options.host, options.port)
    found = _once(options, folder, section("monitor", MonitorParams).every_seconds)
    print(json.dumps(found, indent=2, sort_keys=True) if options.json else "\n".join(told(found)))
    return int(found["alarm"])


def _once(options: argparse.Namespace, folder: Path, every_s: float) -> dict[str, Any]:
    params = section("monitor", MonitorParams)
    known = None if options.workspace else known_releases()
    served = what_is_served(known)
    if options.outcomes:
        said = take(options.outcomes, folder, served.promise.release.contract)
        print(f"outcomes: {said['rows']:,} rows, {said['taken']:,} taken, {said['repeated']:,} known before, {said['forgotten']:,} forgotten, {said['refused']:,} refused",
              file=sys.stderr)  # fmt: skip
    until = now() if options.until is None else datetime.combine(options.until, datetime.min.time(), UTC)
    if until > now() + timedelta(days=1):
        raise WrongUseError(f"--until {options.until} has not come yet; give a day that has.")
    with progress(size(folder), unit="B", lines=5) as step:
        found, views = look(served, params, folder, until, known_until(served), step)
    one = _advised(found, views, known)
    found["advice"] = one.model_dump()
    # What looks at another time or another model must not tell Prometheus what is served now.
    write(found, None if options.until or options.workspace else every_s)
    if options.act:
        found["done"] = _done(one, known)
        write_json(MONITOR, found)  # once more, with what became of it
    return found


def _advised(found: dict[str, Any], views: list[View], known: History | None) -> Advice:
    """Return what is advised; what was seen is told also where the release before cannot be asked."""
    try:
        return advised(found, views, known)
    except Refusal as refusal:
        return Advice(action="look", said=f"what the release before would have answered cannot be known: {refusal}")


def _done(one: Advice, known: History | None) -> str:
    """Do what is advised and return what became of it; what was seen is told also where nothing could be done."""
    try:
        return act(one, known.champion.version if known and known.champion else None)[0]
    except Refusal as refusal:
        return f"could not {one.action}: {refusal}"


def known_releases() -> History | None:
    """Return what was released; None where that cannot be known: without git, or in a shallow clone."""
    try:
        return releases(section("releases", ReleaseParams).environment)
    except Refusal as refusal:
        print(f"note: what is released cannot be known here: {refusal}", file=sys.stderr, flush=True)
        return None


def what_is_served(known: History | None) -> Watched:
    """Return what `hearth serve` serves: the champion, or the workspace's model while nothing is released."""
    cadence = section("retrain", RetrainParams).cadence_days
    if known is None or known.champion is None:
        return watched(Workspace(), cadence)
    since = np.datetime64(known.events[-1].when.astimezone(UTC).replace(tzinfo=None), "ms")
    return watched(revision(known.champion.commit), cadence, since)


def known_until(served: Watched) -> date:
    """Return the day up to which sales are taken in: here, or by a retraining that is released."""
    return max(section("collect", CollectParams).as_of, served.promise.release.facts.as_of)


def write(found: dict[str, Any], every_s: float | None) -> None:
    """Write the document and the page, and, where a run is promised every so many seconds, node_exporter's metrics."""
    write_json(MONITOR, found)
    if every_s is not None:
        write_text(MONITOR_METRICS, exposition(found, every_s))
    write_text(MONITOR_PAGE, page(found, templates()))


def told(found: dict[str, Any]) -> list[str]:
    """Return what a terminal is told."""
    window = found["window"]
    lines = [
        (
            f"model {found['model_version']}, windows of {window['days']} days, the last {window['from']} to {window['to']}: "
            f"{found['predictions']:,} predictions, {found['outcomes']['joined']:,} outcomes in all {window['of']}"
            + (f"; {found['present']['predictions']:,} predictions since" if found["present"] else "")
        )
    ]
    wide = max(map(len, found["checks"]))
    for name, check in found["checks"].items():
        marks = "".join({True: "x", False: ".", None: "-"}[bad] for bad in check["windows"])
        word = "ALARM" if check["alarm"] else {True: "bad", False: "ok", None: ""}[check["windows"][-1]]
        lines.append(f"  {name.ljust(wide)}  {marks}  {word:5}  {check['said']}")
    lines.append(f"an alarm is due: {', '.join(found['alarms'])}" if found["alarm"] else "no alarm is due")
    if found["advice"]["action"] != "none":
        lines.append(f"{found['advice']['action']}: {found['advice']['said']}")
    return [*lines, found["done"]] if "done" in found else lines
