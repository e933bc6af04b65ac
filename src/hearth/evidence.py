"""Say how sure the figures are: intervals for each metric, and proofs that the model beats each baseline.

All of it comes from a seeded bootstrap (doubt.py): test rows are drawn anew, with replacement, as many as there are.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from hearth.baselines import RIDGE
from hearth.doubt import Bootstrap, draws, interval
from hearth.scoring import Floats, coverage, mdape, rmse_log, rounded, scores
from hearth.slices import fifths
from hearth.strict import Listed, Strict

# The metrics in which the gate wants a proof; the mean error in money is told beside them.
PROVEN = ("rmse_log", "mdape")


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("an interval whose low end is no larger than its high end")
    return pair


Interval = Annotated[tuple[float, float], Listed, AfterValidator(_rising)]


class Difference(Strict):
    """Hold the interval of the model's metric minus the baseline's on the same rows; below zero the model is better."""

    difference: Interval
    verdict: Literal["better", "worse", "no evidence"]


class Compared(Strict):
    """Hold the model beside one baseline on the `rows` that the baseline can price; without rows there is no metric."""

    rows: int = Field(ge=0)
    rmse_log: Difference | None = None
    mdape: Difference | None = None
    mae: Difference | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Compared":
        for name in ("rmse_log", "mdape", "mae"):
            if (getattr(self, name) is None) != (self.rows == 0):
                raise ValueError(f"{name} exactly where there are rows")
        return self


class FoundSlice(Strict):
    """Hold one of the worst groups of test rows that the search found (search.py)."""

    slice: str
    group: str
    rows: int = Field(ge=1)
    mdape: float
    rest_mdape: float
    adjusted_p: float = Field(ge=0, le=1)


class Fifth(Strict):
    """Hold coverage and median of predicted / actual in one fifth of the predicted price."""

    fifth: int = Field(ge=1, le=5)
    rows: int = Field(ge=1)
    coverage: float = Field(ge=0, le=1)
    coverage_interval: Interval
    median_ratio: float = Field(gt=0)
    median_ratio_interval: Interval


class Simpler(Strict):
    """Name the simpler model, its figures, and which of the two is to be released."""

    name: str
    rmse_log: float
    mdape: float
    release: str


class Evidence(Strict):
    """Hold the content of metrics/evidence.json."""

    rows: int = Field(ge=0)
    intervals: dict[str, Interval]
    baselines: dict[str, Compared]
    slices_tried: int = Field(ge=0)
    worst_slices: Annotated[tuple[FoundSlice, ...], Listed]
    coverage_by_fifth: Annotated[tuple[Fifth, ...], Listed]
    simpler: Simpler

    def document(self) -> dict[str, Any]:
        """Return the content of metrics/evidence.json; the file's reader needs no class of ours."""
        return self.model_dump(mode="json", exclude_none=True)


def gather(
    scored: Mapping[str, Floats],
    baselines: Mapping[str, Floats],
    searched: tuple[Sequence[Mapping[str, Any]], int],
    params: Bootstrap,
) -> Evidence:
    """Return the evidence on the test rows: `scored` holds actual, predicted, low, high, each of shape (n_rows,).

    `baselines` holds the price of each row by the baseline's name, NaN where it has none; `searched` is what
    `search.worst` returned. The ridge baseline plays the simpler model: it wins unless the model is provably better.
    """
    actual, simple = scored["actual"], baselines[RIDGE]
    compared = {name: compare(actual, scored["predicted"], prices, params) for name, prices in baselines.items()}
    proven = all(getattr(compared[RIDGE], metric).verdict == "better" for metric in PROVEN)
    figures = rounded({"rmse_log": rmse_log(actual, simple), "mdape": mdape(actual, simple)}, 6)
    return Evidence(
        rows=len(actual),
        intervals=intervals(scored, params),
        baselines=compared,
        slices_tried=searched[1],
        worst_slices=tuple(FoundSlice(**row) for row in searched[0]),
        coverage_by_fifth=by_fifth(scored, params),
        simpler=Simpler(name=RIDGE, release="model" if proven else RIDGE, **figures),
    )


def intervals(scored: Mapping[str, Floats], params: Bootstrap) -> dict[str, tuple[float, float]]:
    """Return the interval of every metric of `scoring.scores`, rounded as the metric is."""
    parts = [scored[name] for name in ("actual", "predicted", "low", "high")]
    drawn = [scores(*(part[rows] for part in parts)) for rows in draws(len(parts[0]), params)]
    return {name: interval([draw[name] for draw in drawn], params.level, _DECIMALS.get(name, 6)) for name in drawn[0]}


def compare(actual: Floats, predicted: Floats, baseline: Floats, params: Bootstrap) -> Compared:
    """Return the paired differences of model and baseline: both are scored on the same drawn rows."""
    priced = ~np.isnan(baseline)
    actual, predicted, baseline = actual[priced], predicted[priced], baseline[priced]
    if not len(actual):
        return Compared(rows=0)
    errors = [(np.log(p / actual) ** 2, np.abs(p / actual - 1), np.abs(p - actual)) for p in (predicted, baseline)]
    drawn: dict[str, list[float]] = {name: [] for name in _MEASURES}
    for rows in draws(len(actual), params):
        for place, (name, measure) in enumerate(_MEASURES.items()):
            drawn[name].append(measure(errors[0][place][rows]) - measure(errors[1][place][rows]))
    return Compared(
        rows=len(actual),
        **{name: _difference(values, params.level, _DECIMALS.get(name, 6)) for name, values in drawn.items()},
    )


def by_fifth(scored: Mapping[str, Floats], params: Bootstrap) -> tuple[Fifth, ...]:
    """Return coverage and median ratio in each fifth of the predicted price, with their intervals."""
    label, found = fifths(scored["predicted"]), []
    for fifth in np.unique(label):
        actual, predicted, low, high = (scored[n][label == fifth] for n in ("actual", "predicted", "low", "high"))
        ratio, held = predicted / actual, (low <= actual) & (actual <= high)
        drawn = [(float(np.mean(held[rows])), float(np.median(ratio[rows]))) for rows in draws(len(ratio), params)]
        found.append(
            Fifth(
                fifth=int(fifth),
                rows=len(ratio),
                coverage=round(coverage(actual, low, high), 6),
                coverage_interval=interval([draw[0] for draw in drawn], params.level),
                median_ratio=round(float(np.median(ratio)), 6),
                median_ratio_interval=interval([draw[1] for draw in drawn], params.level),
            )
        )
    return tuple(found)


# Money is rounded to cents, as in scoring.py: its sixth decimal would differ with the CPU that fitted the ridge.
_DECIMALS = {"rmse": 2, "mae": 2}

# From errors of rows to a metric; equal to scoring's, whose functions would take the logarithms anew at each draw.
_MEASURES: dict[str, Callable[[Floats], float]] = {
    "rmse_log": lambda squares: float(np.sqrt(np.mean(squares))),
    "mdape": lambda errors: float(np.median(errors)),
    "mae": lambda errors: float(np.mean(errors)),
}


def _difference(values: Sequence[float], level: float, decimals: int) -> Difference:
    low, high = interval(values, level, decimals)
    return Difference(difference=(low, high), verdict="better" if high < 0 else "worse" if low > 0 else "no evidence")
