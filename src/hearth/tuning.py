"""Look for better values of the model's params by trials on rolling-origin folds, and compare sets of members there.

All rows here are training rows: what is chosen on them has not seen the test. A trial depends on nothing but the record
of the trials before it, so a search that was interrupted goes on as if it had not been. Source of the sampler: Bergstra
et al. (2011), Algorithms for Hyper-Parameter Optimization, NeurIPS 24 (Optuna's TPE).
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.trial import create_trial
from pydantic import Field, PlainValidator, ValidationError, field_validator, model_validator

from hearth.contract import Contract
from hearth.doubt import Bootstrap
from hearth.estimators import Params
from hearth.evidence import Difference, compare
from hearth.features import model_inputs
from hearth.model import ModelParams, Prepared, Recipe, grow_member, prepare
from hearth.rules import Columns
from hearth.scoring import mdape, rmse_log, rounded
from hearth.splitting import rolling_origin
from hearth.strict import Listed, Strict, nearest

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Values = Mapping[str, int | float]

CURRENT = "model.members"  # the line of the candidates' table that the others are compared with
DIGITS = 6  # of a tried value: the last bits of a logarithm differ between CPUs, and nobody wants to read them
NEAR = 0.05  # of the space's width: a best value this near to an edge may have its better neighbours outside
_METRICS: dict[str, Callable[[Floats, Floats], float]] = {"rmse_log": rmse_log, "mdape": mdape}


def _number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("a number")
    return value


Number = Annotated[int | float, PlainValidator(_number)]


class Range(Strict):
    """Hold from where to where a number is tried; `log` tries half and double alike often."""

    low: Number
    high: Number
    log: bool = False

    @model_validator(mode="after")
    def _wide(self) -> "Range":
        if not self.low < self.high:
            raise ValueError("low below high")
        if self.log and self.low <= 0:
            raise ValueError("low above 0 where log is true")
        return self


class TuneParams(Strict):
    """Hold the section `tune` of params.yaml."""

    trials: int = Field(ge=1)
    random_trials: int = Field(ge=1)
    seed: int = Field(ge=0, le=2**32 - 1)
    metric: Literal["rmse_log", "mdape"]
    folds: int = Field(ge=1)
    fold_days: int = Field(ge=7)
    space: dict[str, Range] = Field(min_length=1)
    candidates: dict[str, Annotated[dict[str, Params], Field(min_length=1)]]

    @field_validator("candidates")
    @classmethod
    def _own_names(cls, sets: dict[str, Any]) -> dict[str, Any]:
        if CURRENT in sets:
            raise ValueError(f"another name than {CURRENT}, which is what they are compared with")
        return sets


class Span(Strict):
    """Hold which days a fold judges, and how many rows it is fitted on and judged by."""

    first_day: str
    last_day: str
    rows_fit: int = Field(ge=1)
    rows_judge: int = Field(ge=1)


class Source(Strict):
    """Hold all that a score depends on; what was made from another source is not comparable."""

    data_sha256: str
    contract_sha256: str
    code_sha256: str
    libraries: dict[str, str]
    params: dict[str, Any]  # the sections that make a model, with the values that the first trial has
    folds: Annotated[tuple[Span, ...], Listed]


class Trial(Strict):
    """Hold what was tried, and its score in each fold and in their mean."""

    number: int = Field(ge=0)
    values: dict[str, Number]
    score: float
    per_fold: Annotated[tuple[float, ...], Listed]


class Best(Strict):
    """Hold the trial with the smallest score, the earliest where several have it."""

    number: int
    values: dict[str, Number]
    score: float


class Scored(Strict):
    """Hold a set of members, its metrics on all judged rows, and the intervals of its metrics minus the current ones'."""

    members: dict[str, Any]
    rmse_log: float
    mdape: float
    rmse_log_minus_current: Difference | None = None
    mdape_minus_current: Difference | None = None


class Candidates(Source):
    """Hold the comparison of the candidates with the members that stood in params.yaml."""

    bootstrap: Bootstrap
    rows: int
    sets: dict[str, Scored]


class Record(Source):
    """Hold the content of metrics/tuning.json."""

    metric: Literal["rmse_log", "mdape"]
    seed: int
    random_trials: int
    space: dict[str, Range]
    trials: Annotated[tuple[Trial, ...], Listed] = ()
    best: Best | None = None
    edge: dict[str, float] = Field(default_factory=dict)
    candidates: Candidates | None = None

    def document(self) -> dict[str, Any]:
        """Return the content as plain values."""
        return self.model_dump(mode="json")


@dataclass(frozen=True)
class Fold:
    """Hold a fold that is prepared once for all trials, and what each member that was grown on it said."""

    ready: Prepared
    inputs: NDArray[np.float32]
    offset: Floats
    actual: Floats
    said: dict[str, Floats] = field(default_factory=dict)


# The space


def space_of(params: TuneParams, model: ModelParams) -> dict[str, Range]:
    """Return the space by name, with ranges of the model's types: of a fraction in floats, of a whole number in ints.

    The order counts, since the sampler draws in it, and a record comes back from its file sorted by name. Raise ValueError for what is no number of the model, may not be tuned, or has a range that the model refuses.
    """
    known = _leaves(model.model_dump())
    return {name: _range(name, wanted, known, model) for name, wanted in sorted(params.space.items())}


def _range(name: str, wanted: Range, known: Mapping[str, Any], model: ModelParams) -> Range:
    place = f"tune.space.{name}"
    if name not in known:
        raise ValueError(f"{place} is no key below model; {nearest(name, [key for key in known if _free(key)])}")
    if not _free(name):
        why = (
            "a lucky seed is no better model" if name.endswith("seed") else "the folds are prepared once for all trials"
        )
        raise ValueError(f"{place} cannot be tuned, wanted a number of members or outlier_log ({why}); take it away")
    now = known[name]
    if isinstance(now, str):
        raise ValueError(f"{place}: model.{name} is {now!r}, wanted a number; compare words with `--candidates`")
    whole = isinstance(now, int)
    for end, value in (("low", wanted.low), ("high", wanted.high)):
        if whole and not isinstance(value, int):
            raise ValueError(f"{place}.{end} is {value!r}, wanted a whole number, as model.{name} is; write one")
        try:
            with_values(model, {name: value})
        except ValidationError as error:
            reason = error.errors()[0]["msg"].removeprefix("Input should be ")
            raise ValueError(f"{place}.{end} is {value!r}, wanted {reason}, as for model.{name}; narrow it") from None
    if not wanted.low <= now <= wanted.high:
        raise ValueError(f"{place} goes from {wanted.low} to {wanted.high}, wanted a range around model.{name}, which is "
                         f"{now}: the first trial is what stands there; widen it")  # fmt: skip
    return wanted if whole else Range(low=float(wanted.low), high=float(wanted.high), log=wanted.log)


def _free(name: str) -> bool:
    return name == "outlier_log" or (name.startswith("members.") and not name.endswith(".seed"))


def _leaves(document: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return the values of a nested mapping by their dotted keys."""
    found: dict[str, Any] = {}
    for key, value in document.items():
        nested = isinstance(value, Mapping) and value
        found |= _leaves(value, f"{above}{key}.") if nested else {f"{above}{key}": value}
    return found


def values_of(model: ModelParams, space: Mapping[str, Range]) -> dict[str, int | float]:
    """Return the values that the model has at the keys of the space."""
    known = _leaves(model.model_dump())
    return {name: known[name] for name in space}


def with_values(model: ModelParams, values: Values) -> ModelParams:
    """Return the model's params with other values at dotted keys; raise ValidationError for an impossible value."""
    document = model.model_dump()
    for name, value in values.items():
        set_value(document, name, value)
    return ModelParams.model_validate(document)


def set_value(document: Any, name: str, value: object) -> None:
    """Put a value into a nested mapping, at the dotted key."""
    *above, last = name.split(".")
    for key in above:
        document = document[key]
    document[last] = value


def edges(space: Mapping[str, Range], values: Values) -> dict[str, float]:
    """Return how far each value is from the nearer edge of its range, as a share of the range's width; 0 to 0.5."""
    found = {}
    for name, range_ in space.items():
        low, high, value = ((math.log(n) if range_.log else n) for n in (range_.low, range_.high, values[name]))
        found[name] = min(value - low, high - value) / (high - low)
    return rounded(found, 6)


def near_edges(record: Record) -> list[str]:
    """Return in words which best values are so near to an edge that the space is too narrow."""
    if record.best is None:
        return []
    return [
        f"{name} is {record.best.values[name]}, {share:.0%} of the width from an edge of {_words(record.space[name])}; "
        f"widen tune.space.{name} where that makes sense, and tune again"
        for name, share in record.edge.items()
        if share < NEAR
    ]


def _words(range_: Range) -> str:
    return f"{range_.low} to {range_.high}"


# The folds


def cuts(columns: Columns, contract: Contract, params: TuneParams) -> list[tuple[Indices, Indices]]:
    """Return (fit, judge) row numbers of each fold, the oldest first; raise ValueError where the rows do not suffice."""
    try:
        return list(rolling_origin(columns[contract.time.name], params.folds, params.fold_days))
    except ValueError as error:
        raise ValueError(f"tune.folds, tune.fold_days: {error}; take fewer or shorter ones") from None


def span(days: NDArray[np.generic], cut: tuple[Indices, Indices]) -> Span:
    """Return what the record says of a fold."""
    judged = days[cut[1]]
    return Span(first_day=str(judged.min()), last_day=str(judged.max()), rows_fit=len(cut[0]), rows_judge=len(cut[1]))


def prepare_fold(columns: Columns, contract: Contract, recipe: Recipe, cut: tuple[Indices, Indices]) -> Fold:
    """Return the fold with all that no trial changes: index, neighbours, out-of-fold prices, inputs."""
    before, later = ({name: values[rows] for name, values in columns.items()} for rows in cut)
    ready = prepare(before, contract, recipe)
    inputs = model_inputs(later, contract, recipe.features, ready.known)
    offset = ready.offset(later[contract.time.name].astype("datetime64[D]"), inputs)
    return Fold(ready, inputs, offset, later[contract.target.name].astype(np.float64))


def predicted(fold: Fold, model: ModelParams) -> Floats:
    """Return the price of each judged row; a member that was grown on this fold before is not grown again."""
    whole = sum(member.weight for member in model.members.values())
    parts = [member.weight / whole * _said(fold, member, model.outlier_log) for member in model.members.values()]
    return np.asarray(np.exp(fold.offset + sum(parts)), dtype=np.float64)


def _said(fold: Fold, member: Params, outlier_log: float) -> Floats:
    limit = outlier_log if member.loss == "squared" else None
    key = json.dumps([member.model_dump(mode="json", exclude={"weight"}), limit], sort_keys=True)
    if key not in fold.said:
        fold.said[key] = grow_member(fold.ready, member, outlier_log).predict(fold.inputs)
    return fold.said[key]


def fold_score(fold: Fold, model: ModelParams, metric: str) -> float:
    """Return the metric on the fold's judged rows, rounded as every metric is."""
    return round(_METRICS[metric](fold.actual, predicted(fold, model)), 6)


# The trials


def propose(record: Record) -> dict[str, int | float]:
    """Return the values of the next trial, which depend on the record alone: on seed, space and the trials so far."""
    number = len(record.trials)
    if number == 0:
        known = _leaves(record.params["model"])
        return {name: known[name] for name in record.space}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    tried = {name: _distribution(range_) for name, range_ in record.space.items()}
    sampler = TPESampler(
        seed=int(np.random.SeedSequence([record.seed, number]).generate_state(1)[0]),
        n_startup_trials=record.random_trials,
        multivariate=True,
        constant_liar=False,
    )
    study = optuna.create_study(sampler=sampler, direction="minimize")
    for trial in record.trials:
        study.add_trial(create_trial(params=trial.values, distributions=tried, value=trial.score))
    drawn = study.ask(tried).params
    return {name: _rounded(drawn[name], range_) for name, range_ in record.space.items()}


def _distribution(range_: Range) -> BaseDistribution:
    kind = IntDistribution if isinstance(range_.low, int) else FloatDistribution
    return kind(range_.low, range_.high, log=range_.log)  # type: ignore[arg-type]  # ints where low is one


def _rounded(value: int | float, range_: Range) -> int | float:
    return value if isinstance(value, int) else min(max(float(f"{value:.{DIGITS}g}"), range_.low), range_.high)


def with_trial(record: Record, values: Values, per_fold: Sequence[float]) -> Record:
    """Return the record with one more trial, and with the best of them."""
    trial = Trial(number=len(record.trials), values=dict(values), score=_mean(per_fold), per_fold=tuple(per_fold))
    return _with_best(record, (*record.trials, trial))


def _mean(per_fold: Sequence[float]) -> float:
    return round(math.fsum(per_fold) / len(per_fold), 6)


def _with_best(record: Record, trials: tuple[Trial, ...]) -> Record:
    first = min(trials, key=lambda trial: (trial.score, trial.number))
    best = Best(number=first.number, values=first.values, score=first.score)
    return record.model_copy(update={"trials": trials, "best": best, "edge": edges(record.space, best.values)})


def go_on(recorded: Record, now: Record) -> Record:
    """Return the record to go on with; `now` holds no trials, and what a new one would be made from.

    Raise ValueError with a line per difference where the recorded trials were made from something else, or are not what
    a search would have recorded. That params.yaml now holds the best values is no difference: `hearth tune` writes them.
    """
    if not recorded.trials:
        return now.model_copy(update={"candidates": recorded.candidates})
    wanted, found = _identity(now), _identity(recorded)
    if recorded.best and recorded.space.keys() == now.space.keys() and propose(now) == recorded.best.values:
        wanted |= {f"params.model.{name}": value for name, value in recorded.trials[0].values.items()}
    told = [
        f"{key.removeprefix('params.')} was {_shown(found, key)}, is {_shown(wanted, key)}"
        for key in sorted(wanted.keys() | found.keys())
        if found.get(key) != wanted.get(key)
    ]
    if faults := told or _forged(recorded):
        raise ValueError("\n".join(faults))
    return recorded


def _identity(record: Record) -> dict[str, Any]:
    document = record.model_dump(mode="json", exclude={"trials", "best", "edge", "candidates"})
    document["folds"] = dict(enumerate(document["folds"]))
    return _leaves(document)


def _shown(values: Mapping[str, Any], key: str) -> str:
    return repr(values[key]) if key in values else "not there"


def _forged(record: Record) -> list[str]:
    """Return in words what in the recorded trials no search would have recorded; each is drawn anew and compared."""
    replayed = record.model_copy(update={"trials": ()})
    for place, trial in enumerate(record.trials):
        name = f"trials.{place}"
        if trial.number != place:
            return [f"{name}.number is {trial.number}, wanted {place}"]
        if len(trial.per_fold) != len(record.folds) or trial.score != _mean(trial.per_fold):
            return [f"{name}.score is {trial.score}, wanted the mean of {len(record.folds)} folds in per_fold"]
        drawn = propose(replayed)
        if json.dumps(drawn, sort_keys=True) != json.dumps(trial.values, sort_keys=True):  # 6 is not 6.0
            return [f"{name}.values are not what the trials before them lead to, wanted {drawn}"]
        replayed = with_trial(replayed, trial.values, trial.per_fold)
    for part in ("best", "edge"):
        if getattr(record, part) != getattr(replayed, part):
            return [f"{part} is not that of the recorded trials, wanted {getattr(replayed, part)!r}"]
    return []


# The candidates


def compared(
    actual: Floats, prices: Mapping[str, Floats], members: Mapping[str, Mapping[str, Params]], bootstrap: Bootstrap
) -> dict[str, Scored]:
    """Return each set of members beside CURRENT, on the judged rows of all folds: both are scored on the same draws."""
    sets = {}
    for name, predicted in prices.items():
        doubt = None if name == CURRENT else compare(actual, predicted, prices[CURRENT], bootstrap)
        sets[name] = Scored(
            members={key: member.model_dump(mode="json") for key, member in members[name].items()},
            rmse_log=round(rmse_log(actual, predicted), 6),
            mdape=round(mdape(actual, predicted), 6),
            rmse_log_minus_current=doubt.rmse_log if doubt else None,
            mdape_minus_current=doubt.mdape if doubt else None,
        )
    return sets


def candidates_table(found: Candidates) -> list[str]:
    """Return the lines for people, the smallest rmse_log first."""
    wide = max(map(len, found.sets))
    lines = [f"{'members':{wide}}  rmse_log   mdape  {f'rmse_log minus that of {CURRENT}':40}mdape minus"]
    for name, scored in sorted(found.sets.items(), key=lambda item: item[1].rmse_log):
        doubt = f"{_doubt(scored.rmse_log_minus_current):40}{_doubt(scored.mdape_minus_current)}"
        lines.append(f"{name:{wide}}  {scored.rmse_log:8.4f}  {scored.mdape:6.4f}  {doubt}".rstrip())
    return lines


def _doubt(found: Difference | None) -> str:
    return f"{found.difference[0]:+.4f} to {found.difference[1]:+.4f}  {found.verdict}" if found else ""
