"""Measure how the model ages: fit the recipe at several earlier days, and score each fit on the later sales by its age.

Only prepared rows are read, never a sale after collect.as_of. Writes metrics/staleness.json, and the cadence that follows from
it into params.yaml (retrain.cadence_days). The same commit gives the same bytes. Each fit takes half a minute.
"""

import argparse
import hashlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import hearth.stages  # noqa: F401 -- says one thread before the libraries load
from hearth import staleness
from hearth.collecting import CollectParams
from hearth.comparison import MetricName, Scored
from hearth.contract import Contract, parse_contract
from hearth.editing import edited
from hearth.errors import Refusal
from hearth.locks import md5
from hearth.model import Recipe
from hearth.params import section
from hearth.parquet import columns_of, read_frame
from hearth.paths import CONTRACT, PARAMS, STALENESS, TEST, TRAIN
from hearth.progress import progress
from hearth.release import open_release
from hearth.releases import ReleaseParams
from hearth.rules import Columns
from hearth.slices import EvaluateParams
from hearth.stages.train import LIBRARIES, recipe, release
from hearth.staleness import DECIDING, Curve, Cut, RetrainParams, Source, day_of
from hearth.storage import read_bytes, read_text, read_yaml, write_json, write_text

# The modules that decide a price or a figure: what other code measured is not what this code would.
CODE = ("comparison", "contract", "doubt", "estimators", "features", "hedonic", "intervals", "market", "model", "neighbours",
        "rules", "splitting", "staleness", "trees")  # fmt: skip
AT_ONCE = 2


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take whether params.yaml is left alone, and the form of the answer."""
    parser.add_argument("--dry-run", action="store_true", help=f"leave {PARAMS} as it is")
    parser.add_argument("--json", action="store_true", help=f"print what {STALENESS} then holds instead of sentences")


def run(options: argparse.Namespace) -> int:
    """Measure, write the curve and the cadence, and say both."""
    contract, params = parse_contract(read_yaml(CONTRACT), str(CONTRACT)), section("retrain", RetrainParams)
    rows, horizon = _rows(contract)
    days = rows[contract.time.name].astype("datetime64[D]")
    try:
        cuts = staleness.cut_days(days, params)
        wanted = source(recipe(), cuts, days, horizon, params)
        scored = _scored(rows, contract, recipe(), cuts, horizon)
    except ValueError as error:
        raise Refusal(f"{PARAMS}: {error}.") from None
    actual = rows[contract.target.name].astype(np.float64)
    level = recipe().intervals.level
    found = staleness.ages(days, actual, cuts, scored, level, params.bin_days, wanted.bootstrap)
    cadence_days, why = staleness.cadence(found, wanted.margins, wanted.horizon_days)
    curve = Curve(**wanted.model_dump(), ages=found, cadence_days=cadence_days, why=why)
    document = curve.model_dump(mode="json")
    write_json(STALENESS, document)
    told = _told(curve)
    if not options.dry_run:
        after, changed = edited(read_text(PARAMS), {"retrain.cadence_days": cadence_days})
        write_text(PARAMS, after)
        told += [f"{PARAMS}:", *changed] if changed else [f"{PARAMS} has this cadence already"]
    if options.json:
        print(json.dumps(document, indent=2, sort_keys=True))
    print("\n".join(told), file=sys.stderr if options.json else sys.stdout)
    return 0


def source(
    made_by: Recipe, cuts: list[np.datetime64], days: NDArray[np.datetime64], horizon: np.timedelta64, params: RetrainParams
) -> Source:  # fmt: skip
    """Return all that the curve depends on."""
    package = Path(staleness.__file__).parent
    margins: dict[MetricName, float] = {
        name: getattr(section("releases", ReleaseParams).margins, name) for name in DECIDING
    }
    return Source(
        as_of=day_of(days.max() + np.timedelta64(1, "D")),
        data_md5={str(path): md5(read_bytes(path)) for path in (TRAIN, TEST)},
        contract_sha256=hashlib.sha256(read_bytes(CONTRACT)).hexdigest(),
        code_sha256=code_sha256(package),
        libraries={name: version(name) for name in LIBRARIES},
        params=made_by.model_dump(mode="json"),
        bin_days=params.bin_days,
        cuts=tuple(Cut(day=day_of(cut), rows=int((days < cut).sum())) for cut in cuts),
        bootstrap=section("evaluate", EvaluateParams).bootstrap,
        margins=margins,
        horizon_days=int(horizon.astype(int)),
    )


def code_sha256(package: Path) -> str:
    """Return the hash of the modules that decide the curve."""
    return hashlib.sha256(b"".join(read_bytes(package / f"{name}.py") for name in CODE)).hexdigest()


def _rows(contract: Contract) -> tuple[Columns, np.timedelta64]:
    """Return all prepared rows and for how long the released model vouches; refuse those of another as_of."""
    older, newer = (columns_of(read_frame(path)) for path in (TRAIN, TEST))
    tested = newer[contract.time.name].astype("datetime64[D]")
    as_of = section("collect", CollectParams).as_of
    if tested.max() >= np.datetime64(as_of):
        raise Refusal(f"{TEST} holds sales up to {tested.max()}, wanted none from collect.as_of {as_of} on; `dvc repro prepare` "
                      "prepares anew.")  # fmt: skip
    horizon = tested.max() - tested.min() + np.timedelta64(1, "D")  # as stages/train.py vouches
    return {name: np.concatenate([older[name], newer[name]]) for name in older}, horizon


def _scored(
    rows: Columns, contract: Contract, made_by: Recipe, cuts: list[np.datetime64], horizon: np.timedelta64
) -> list[Scored]:
    """Return what the fit at each cut answers to all rows, as the service would; those before its cut are no forecast."""
    days = rows[contract.time.name].astype("datetime64[D]")

    def one(cut: np.datetime64) -> Scored:
        before = {name: values[days < cut] for name, values in rows.items()}
        files, _ = release(before, contract, read_bytes(CONTRACT), made_by, "", horizon)
        answer = open_release(files, f"the fit of {cut}").predict(rows)
        return {name: np.asarray(part, dtype=np.float64)
                for name, part in (("predicted", answer.price), ("low", answer.low), ("high", answer.high))}  # fmt: skip

    pool = ThreadPoolExecutor(AT_ONCE)  # the libraries let go of Python's lock while they grow trees
    try:
        with progress(len(cuts), unit="fit") as step:
            jobs = {pool.submit(one, cut): cut for cut in cuts}
            for done in as_completed(jobs):
                done.result()
                step(f"fitted on the sales before {jobs[done]}, scored on those after", 1)
        return [job.result() for job in jobs]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _told(curve: Curve) -> list[str]:
    lines = [f"{len(curve.cuts)} fits, of the sales before {curve.cuts[0].day} to {curve.cuts[-1].day}, scored on those until {curve.as_of}",
             f"{'age, days':>11}  {'sales':>6}  {'error':>6}  {'bias':>6}  {'coverage':>8}  error and bias beside a fresh model's, worse by"]  # fmt: skip
    for age in curve.ages:
        worse = "   ".join("{:+.1%} to {:+.1%}".format(*age.beside_fresh[name].worse_by) for name in DECIDING)
        lines.append(f"{age.from_day:>4} to {age.to_day:>3}  {age.rows:>6,}  {age.error.value:>6.1%}  {age.bias.value:>+6.1%}  "
                     f"{age.coverage.value:>8.1%}  {worse}")  # fmt: skip
    return [*lines, curve.why, f"wrote {STALENESS}: retrain after {curve.cadence_days} days at the latest"]
