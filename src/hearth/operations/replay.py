"""Price what was asked of the service in a period with another model, and say how its answers differ from those served.

REV is a branch, a tag or a commit, without it the workspace; its released model answers, by its own code. A house without a
date is priced for the candidate's as_of, as it would be when served. Where outcomes are known both are held to them.
Exit status 0: replayed, 2: the log holds nothing of the period, or something cannot be read.
"""

import argparse
import datetime
import os
from collections import Counter
from pathlib import Path

import numpy as np

from hearth import logbook
from hearth.comparing import frame
from hearth.comparison import Difference, MetricName
from hearth.comparison_text import FORMATS, Table, figures, terminal_table
from hearth.contract import Contract, parse_contract
from hearth.cuts import Background, ResoldSlice, fault, group_names
from hearth.errors import WrongUseError
from hearth.features import FeatureParams
from hearth.journal import LOG_DIR, Entries
from hearth.log_lines import OUTCOMES
from hearth.logged import Logged, Reading
from hearth.operations import a_day, absolute
from hearth.outcomes import gathered, joined
from hearth.params import section
from hearth.parquet import columns_of
from hearth.paths import CONTRACT, LOG, MODEL, PARAMS, TRAIN
from hearth.pricing import Fit, fit, price
from hearth.progress import progress
from hearth.replaying import Replay, against_outcomes, by_slice, largest, median, shares
from hearth.revisions import WORKSPACE, Revision, revision
from hearth.scoring import Floats
from hearth.slices import FIFTHS, EvaluateParams, fifths
from hearth.staleness import day_of
from hearth.storage import parsed_yaml

EVER = (np.datetime64("1678-01-01"), np.datetime64("2262-01-01"))
LINES = 10


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the candidate, the period and where the log is."""
    parser.add_argument(
        "candidate", nargs="?", default=WORKSPACE, metavar="REV", help="whose model answers (the workspace)"
    )
    parser.add_argument(
        "--from", dest="since", type=a_day, required=True, metavar="DAY", help="first day, of UTC, YYYY-MM-DD"
    )
    parser.add_argument(
        "--to", dest="until", type=a_day, required=True, metavar="DAY", help="last day, which counts as well"
    )
    parser.add_argument("--log", type=absolute, metavar="FOLDER", help=f"where the log is (${LOG_DIR}, else {LOG})")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(options: argparse.Namespace) -> int:
    """Replay, and say how far the answers lie apart."""
    if options.until < options.since:
        raise WrongUseError(f"--to {options.until} is before --from {options.since}; swap them.")
    folder = options.log or Path(os.environ.get(LOG_DIR) or LOG)
    found = replayed(revision(options.candidate), folder, options.since, options.until)
    print(found.model_dump_json(indent=2) if options.json else "\n".join(told(found)))
    return 0


def replayed(candidate: Revision, folder: Path, first: datetime.date, last: datetime.date) -> Replay:
    """Return how a candidate's answers differ from those logged from the first day on to the last, both of UTC."""
    model = fit(candidate, MODEL)
    contract = parse_contract(parsed_yaml(candidate.read(CONTRACT), str(CONTRACT)), f"{CONTRACT} of {candidate.name}")
    reading = _read(folder, first, last, contract, model)
    asked, params = reading.predictions, section("evaluate", EvaluateParams)
    answered = price(model, asked.columns)
    change = answered["predicted"] / asked.price - 1
    served = {"predicted": asked.price, "low": asked.low, "high": asked.high}
    outcomes = gathered(Entries(folder, OUTCOMES), contract, *EVER)
    known, _ = joined(outcomes, asked.ids, asked.at, 0)
    unseen = known.part(asked.at[known.places] >= model.as_of)
    base, other = ({name: values[unseen.places] for name, values in one.items()} for one in (served, answered))
    found = against_outcomes(unseen.paid, base, other, _level(candidate), params.bootstrap, params.slice_rows_min)
    middle, size = median(change)
    return Replay(
        candidate=candidate.name,
        commit=candidate.commit,
        model_version=model.version,
        first_day=str(first),
        last_day=str(last),
        predictions=len(asked),
        left_out={"refused": len(reading.refused_at), "from_page": reading.from_page, "unfit": reading.unfit,
                  "torn": len(reading.torn_at)},
        served=dict(sorted(Counter(asked.versions.tolist()).items())),
        over=shares(change),
        median=middle,
        median_size=size,
        largest=tuple(largest(asked.ids, asked.at, asked.versions, asked.price, answered["predicted"])),
        slices=tuple(by_slice(_groups(candidate, contract, asked, params), change, params.slice_rows_min)),
        outcomes=len(known.places),
        seen=len(known.places) - len(unseen.places),
        differences=found,
        notes=tuple(_notes(model, len(known.places), len(unseen.places), params.slice_rows_min, change)),
    )  # fmt: skip


def _read(folder: Path, first: datetime.date, last: datetime.date, contract: Contract, model: Fit) -> Reading:
    """Return what the log has of the days; refuse where it has no prediction, and say which days it has."""
    midnight = datetime.time(tzinfo=datetime.UTC)
    since, until = (datetime.datetime.combine(day, midnight) for day in (first, last + datetime.timedelta(days=1)))
    with progress(max(1, logbook.size(folder)), unit="B", lines=LINES) as step:
        reading = logbook.read(folder, since, until, contract, day_of(model.as_of), step=step)
    if not len(reading.predictions):
        days = sorted({logbook.day_of(file) for file in logbook.files(folder)})
        has = f"it has {days[0]} to {days[-1]}" if days else "it has no predictions at all"
        raise WrongUseError(
            f"the log in {folder} holds no prediction from {first} to {last}; {has}. Give other days, or --log FOLDER."
        )
    return reading


def _groups(candidate: Revision, contract: Contract, asked: Logged, params: EvaluateParams) -> dict[str, list[str]]:
    """Return for each slice of params.yaml, and for fifths of the served price, the group of each house."""
    background = Background(
        columns_of(frame(candidate, TRAIN)), contract, section("features", FeatureParams), params.baseline.area
    )
    cuts = {
        name: cut
        for name, cut in params.slices.items()
        # A request does not say which house it is, so none is known to have been sold before.
        if not isinstance(cut, ResoldSlice) and not fault(cut, asked.columns, background)
    }
    groups = {name: group_names(cut, asked.columns, background) for name, cut in cuts.items()}
    return {FIFTHS: [str(fifth) for fifth in fifths(asked.price)]} | groups


def _level(candidate: Revision) -> float:
    return float(parsed_yaml(candidate.read(PARAMS), f"{PARAMS} of {candidate.name}")["intervals"]["level"])


def _notes(model: Fit, known: int, unseen: int, rows_min: int, change: Floats) -> list[str]:
    notes = []
    if known > unseen:
        notes.append(f"{known - unseen:,} outcomes are of predictions before {model.as_of}, whose sales the candidate may have been fitted "
                     "on; they are left out")  # fmt: skip
    if unseen < rows_min:
        notes.append(f"{unseen:,} outcomes that the candidate has not seen are too few to tell which is better, wanted {rows_min} "
                     "(evaluate.slice_rows_min)")  # fmt: skip
    if not change.any():
        notes.append("every price is the one that was served, to the last unit")
    return notes


def told(found: Replay) -> list[str]:
    """Return the replay for a terminal."""
    versions = ", ".join(f"{name} ({count:,})" for name, count in found.served.items())
    sizes = ", ".join(f"{share:.1%} by more than {float(step):.0%}" for step, share in found.over.items())
    left = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in found.left_out.items() if count)
    lines = [
        f"{found.predictions:,} predictions from {found.first_day} to {found.last_day}, served by {versions}",
        f"candidate: {found.candidate}{f' ({found.commit[:7]})' if found.commit else ''}, model {found.model_version}",
        *([f"left out: {left}"] if left else []),
        f"changed: {sizes}",
        f"median change {found.median:+.2%}, median size of a change {found.median_size:.2%}",
        *(f"note: {note}" for note in found.notes),
    ]
    changes = [
        (one.prediction_id, one.at[:10], f"{one.served:,.0f}", f"{one.candidate:,.0f}", f"{one.change:+.1%}")
        for one in found.largest
    ]
    groups = [(f"{one.slice}: {one.group}", f"{one.rows:,}", f"{one.median:+.2%}", *(f"{share:.1%}" for share in one.over.values()))
              for one in sorted(found.slices, key=lambda one: -abs(one.median))[:LINES]]  # fmt: skip
    parts = [
        Table("Largest changes", ("prediction", "day", "served", "candidate", "change"), changes, "none"),
        Table("Slices that changed most", ("slice", "rows", "median change", *(f"over {float(step):.0%}" for step in found.over)),
              groups, "none has enough predictions"),
    ]  # fmt: skip
    if found.differences:
        parts.append(_outcomes(found.differences, found.outcomes - found.seen))
    return [*lines, *(line for table in parts for line in ("", *terminal_table(table)))]


def _outcomes(found: dict[MetricName, Difference], rows: int) -> Table:
    table = [(name, *figures(name, found[name]), found[name].verdict) for name in FORMATS if name in found]
    return Table(f"On {rows:,} outcomes that the candidate has not seen", ("metric", "served", "candidate", "difference", "interval",
                                                                           "verdict"), table)  # fmt: skip
