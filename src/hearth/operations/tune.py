"""Look for better values of the model's params on folds inside the training rows, never on a test row.

The first trial is what stands in params.yaml, so the best is never worse on the folds. Each finished trial stands in
metrics/tuning.json at once; interrupted, the same command goes on. The best values are written into params.yaml.
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

import hearth.stages  # noqa: F401 -- says one thread before the libraries load
from hearth import tuning
from hearth.contract import Contract, parse_contract
from hearth.editing import edited
from hearth.errors import Refusal
from hearth.model import ModelParams, Recipe, check_names
from hearth.params import section
from hearth.parquet import columns_of, read_frame
from hearth.paths import CONTRACT, PARAMS, TRAIN, TUNING
from hearth.progress import progress
from hearth.rules import Columns
from hearth.slices import EvaluateParams
from hearth.splitting import SplitParams, is_test
from hearth.stages import train
from hearth.storage import read_bytes, read_json, read_text, read_yaml, write_json, write_text
from hearth.strict import parse
from hearth.tuning import CURRENT, Candidates, Fold, Record, Source, Span, TuneParams, Values

LIBRARIES = ("catboost", "lightgbm", "numpy", "optuna", "scikit-learn")
# The modules that decide a score or a trial; a record made by other code is not gone on with.
CODE = ("contract", "estimators", "features", "hedonic", "market", "model", "neighbours", "rules", "scoring",
        "splitting", "trees", "tuning")  # fmt: skip
ANEW = "`hearth tune --restart` begins anew"

Found = TypeVar("Found")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take how many trials, what to do with an old record and with the best values, or the candidates instead."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--trials", type=_count, metavar="N", help="so many trials in all, instead of tune.trials")
    what.add_argument("--candidates", action="store_true",
                      help="compare the member sets of tune.candidates with model.members; changes no param")  # fmt: skip
    parser.add_argument("--restart", action="store_true", help=f"begin anew, whatever {TUNING} holds")
    parser.add_argument("--dry-run", action="store_true", help=f"leave {PARAMS} as it is")
    parser.add_argument("--json", action="store_true", help=f"print what {TUNING} then holds instead of sentences")


def _count(text: str) -> int:
    if not text.isdecimal() or (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of trials, wanted a whole number from 1 on")
    return number


def run(options: argparse.Namespace) -> int:
    """Do the trials that are missing and write the best values, or compare the candidates."""
    params, recipe = section("tune", TuneParams), train.recipe()
    contract = parse_contract(read_yaml(CONTRACT), str(CONTRACT))
    columns = _training_rows(contract)
    try:
        check_names(contract, recipe)
        cuts = tuning.cuts(columns, contract, params)
        fresh = _fresh([tuning.span(columns[contract.time.name], cut) for cut in cuts], recipe, params)
    except ValueError as error:
        raise Refusal(f"{PARAMS}: {error}.") from None

    def folds() -> list[Fold]:
        print(f"preparing {len(cuts)} folds of {TRAIN}", file=sys.stderr, flush=True)
        try:
            return _beside(lambda cut: tuning.prepare_fold(columns, contract, recipe, cut), cuts)
        except ValueError as error:
            raise Refusal(f"{PARAMS}: {error}.") from None

    old = _recorded(options.restart)
    if options.candidates:
        record, told = _candidates(old or fresh, fresh, folds, params, recipe)
    else:
        record = _trials(old, fresh, folds, options.trials or params.trials, recipe.model)
        told = _concluded(record, recipe.model, options.dry_run)
    if options.json:
        print(json.dumps(record.document(), indent=2, sort_keys=True))
    print("\n".join(told), file=sys.stderr if options.json else sys.stdout)
    return 0


def _training_rows(contract: Contract) -> Columns:
    """Return the training rows; refuse those of another split, which may be test rows by now."""
    columns, split = columns_of(read_frame(TRAIN)), section("split", SplitParams)
    days = columns[contract.time.name].astype("datetime64[D]")
    if is_test(days, split).any():
        raise Refusal(f"{TRAIN} holds sales up to {days.max()}, wanted none from split.test_from {split.test_from} on, which "
                      "are for the test alone; `dvc repro prepare` splits anew.")  # fmt: skip
    return columns


def _fresh(folds: list[Span], recipe: Recipe, params: TuneParams) -> Record:
    """Return a record without trials, with all that scores depend on."""
    package = Path(tuning.__file__).parent
    return Record(
        data_sha256=_sha256(TRAIN),
        contract_sha256=_sha256(CONTRACT),
        code_sha256=_sha256(*(package / f"{name}.py" for name in CODE)),
        libraries={name: version(name) for name in LIBRARIES},
        params=recipe.model_dump(mode="json", exclude={"intervals"}),
        folds=tuple(folds),
        metric=params.metric,
        seed=params.seed,
        random_trials=params.random_trials,
        space=tuning.space_of(params, recipe.model),
    )


def _sha256(*files: Path) -> str:
    return hashlib.sha256(b"".join(map(read_bytes, files))).hexdigest()


def _recorded(restart: bool) -> Record | None:
    if restart or not TUNING.exists():
        return None
    try:
        return parse(Record, read_json(TUNING), str(TUNING))
    except Refusal as refusal:
        raise Refusal(f"{refusal}\n{ANEW}.") from None


def _beside(work: Callable[[Any], Found], parts: list[Any]) -> list[Found]:
    """Return what the work makes of each part; the libraries let go of Python's lock while they grow trees."""
    pool = ThreadPoolExecutor(min(len(parts), os.cpu_count() or 1))
    try:
        return list(pool.map(work, parts))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C waits for the trees in hand, not for all


def _trials(
    old: Record | None, fresh: Record, folds: Callable[[], list[Fold]], wanted: int, model: ModelParams
) -> Record:
    """Return the record with so many trials; each is written as soon as it is done."""
    try:
        record = tuning.go_on(old, fresh) if old else fresh
    except ValueError as error:
        raise Refusal(f"{TUNING} cannot be gone on with:\n{error}\n{ANEW}; `git checkout -- {TUNING}` brings back the last "
                      "good one.") from None  # fmt: skip
    done = len(record.trials)
    if done >= wanted:
        return record
    try:
        ready = folds()
        with progress(wanted, done) as step:
            for number in range(done, wanted):
                values = tuning.propose(record)
                tried = tuning.with_values(model, values)
                per_fold = _beside(partial(tuning.fold_score, model=tried, metric=fresh.metric), ready)
                record = tuning.with_trial(record, values, per_fold)
                write_json(TUNING, record.document())
                step(f"{number + 1} of {wanted}: {_newest(record)}", 1)
    except KeyboardInterrupt:
        print(f"interrupted: {len(record.trials)} of {wanted} trials are done; the same command goes on with them.",
              file=sys.stderr)  # fmt: skip
        raise
    return record


def _newest(record: Record) -> str:
    best = f", best {record.best.score:.6f} of trial {record.best.number}" if record.best else ""
    return f"trial {record.trials[-1].number} has {record.metric} {record.trials[-1].score:.6f}{best}"


def _concluded(record: Record, model: ModelParams, dry: bool) -> list[str]:
    """Write the best values into params.yaml unless it is a dry run, and return what is to be said."""
    best = record.best
    if best is None:
        return []
    first = record.trials[0].score
    lines = [f"{len(record.trials)} trials on {len(record.folds)} folds of {TRAIN}; no test row was read",
             f"{record.metric}: {first:.6f} with the values of trial 0, {best.score:.6f} with those of trial {best.number}"]  # fmt: skip
    lines += [f"warning: {said}" for said in tuning.near_edges(record)]
    now = tuning.values_of(model, record.space)
    better = {name: value for name, value in best.values.items() if value != now[name]}
    if not better:
        return [*lines, f"{PARAMS} holds the best values already"]
    if dry:
        return [*lines, *(f"model.{name}: {now[name]} would become {value}" for name, value in better.items())]
    changed = write_values(better)
    return [*lines, f"{PARAMS}:", *changed, "next: `dvc repro`, which says on the test rows whether it is true"]


def write_values(values: Values) -> list[str]:
    """Write values below `model` into params.yaml, every other line as it was; return the changed lines, old and new."""
    after, changed = edited(read_text(PARAMS), {f"model.{name}": value for name, value in values.items()})
    write_text(PARAMS, after)
    return changed


def _candidates(
    record: Record, fresh: Record, folds: Callable[[], list[Fold]], params: TuneParams, recipe: Recipe
) -> tuple[Record, list[str]]:
    """Return the record with the comparison on the judged rows of all folds, written, and the table."""
    bootstrap = section("evaluate", EvaluateParams).bootstrap
    sets = {CURRENT: recipe.model.members} | params.candidates
    ready, prices = folds(), {}
    with progress(len(sets)) as step:
        for name, members in sets.items():
            model = recipe.model.model_copy(update={"members": members})
            prices[name] = np.concatenate(_beside(partial(tuning.predicted, model=model), ready))
            step(f"members {name}: done", 1)
    actual = np.concatenate([fold.actual for fold in ready])
    source = fresh.model_dump(include=set(Source.model_fields))
    scored = tuning.compared(actual, prices, sets, bootstrap)
    found = Candidates(**source, bootstrap=bootstrap, rows=len(actual), sets=scored)
    record = record.model_copy(update={"candidates": found})
    write_json(TUNING, record.document())
    return record, tuning.candidates_table(found)
