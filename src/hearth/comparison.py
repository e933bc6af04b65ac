"""Say whether a candidate is better than a base: on the same unseen sales, with doubt, by slice and by week.

Source of the paired bootstrap: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 16: both models are
scored on the same drawn rows, so that what makes a sale hard for both falls out of the difference.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Annotated, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hearth.changes import DataChange, Pair
from hearth.cuts import Background, group_names, numeric_first
from hearth.doubt import Bootstrap, draws, interval
from hearth.evidence import Interval
from hearth.plotdata import plot_tables
from hearth.rules import Columns
from hearth.scoring import Floats
from hearth.slices import FIFTHS, EvaluateParams, fifths
from hearth.strict import Listed, Strict

DECIMALS = 6
CELLS_MAX = 2_000_000  # of drawn rows at a time, 16 MB; all draws of a hundred thousand rows would be 800
SLICE_METRICS: tuple[Literal["mdape", "rmse_log"], ...] = ("mdape", "rmse_log")
MetricName = Literal["rmse_log", "mdape", "bias", "coverage"]
Metric = TypeVar("Metric", bound=str)
Said = Literal["better", "worse", "no evidence"]


class Difference(Strict):
    """Hold candidate minus base of one metric on the same rows, its interval, and whether that is better.

    `worse_by` is how much further from its ideal the candidate is, from and to: the ideal of bias is 0 and of coverage
    the asked-for level, so that a bias of -1 % is no better than one of +1 %.
    """

    base: float
    candidate: float
    difference: float
    interval: Interval
    worse_by: Interval
    verdict: Said


class SliceDifference(Strict):
    """Hold the differences in one group of rows."""

    slice: str
    group: str
    rows: int = Field(ge=1)
    mdape: Difference
    rmse_log: Difference

    @property
    def verdict(self) -> Said:
        """Return worse if either metric is."""
        found = {self.mdape.verdict, self.rmse_log.verdict}
        return "worse" if "worse" in found else "better" if "better" in found else "no evidence"


class Week(Strict):
    """Hold the median error and the median of predicted / actual of one week of sales, base and candidate."""

    week: str
    rows: int
    mdape: Pair
    median_ratio: Pair


class Side(Strict):
    """Name one side: the revision, its commit, and which of its fits was scored."""

    name: str
    commit: str | None
    model_version: str
    scored: str
    scored_version: str


class Comparison(Strict):
    """Hold all that `hearth compare` says."""

    base: Side
    candidate: Side
    rows: int
    first_day: str
    last_day: str
    level: float
    differences: dict[MetricName, Difference]
    slices: Annotated[tuple[SliceDifference, ...], Listed]
    weeks: Annotated[tuple[Week, ...], Listed]
    params: dict[str, Pair]
    metrics: dict[str, Pair]
    gates: Pair
    data: DataChange
    notes: Annotated[tuple[str, ...], Listed]

    @property
    def worse_slices(self) -> list[SliceDifference]:
        """Return the slices that got worse, the worst first."""
        worse = [found for found in self.slices if found.verdict == "worse"]
        return sorted(worse, key=lambda found: (-found.mdape.difference, found.slice, found.group))


Scored = Mapping[str, Floats]  # predicted, low and high, (n_rows,) each


def differences(
    actual: Floats, base: Scored, candidate: Scored, level: float, params: Bootstrap
) -> dict[MetricName, Difference]:
    """Return for each metric how the candidate differs; `level` is the share of prices that intervals are to hold."""
    errors = [_errors(actual, scored) for scored in (base, candidate)]
    ideals: dict[MetricName, float] = {"rmse_log": 0.0, "mdape": 0.0, "bias": 0.0, "coverage": level}
    return _of_rows(ideals, errors, np.arange(len(actual)), params)


def by_slice(
    columns: Columns,
    actual: Floats,
    base: Scored,
    candidate: Scored,
    params: EvaluateParams,
    background: Background,
) -> list[SliceDifference]:
    """Return the differences in each slice of params.yaml with enough rows, and in fifths of the base's price."""
    cuts = {FIFTHS: [str(fifth) for fifth in fifths(base["predicted"])]}
    cuts |= {name: group_names(cut, columns, background) for name, cut in params.slices.items()}
    errors = [_errors(actual, scored) for scored in (base, candidate)]
    found = []
    for name, groups in cuts.items():
        array = np.array(groups)
        for group in sorted(set(groups), key=numeric_first):
            rows = np.flatnonzero(array == group)
            if len(rows) < params.slice_rows_min:
                continue
            told = _of_rows(dict.fromkeys(SLICE_METRICS, 0.0), errors, rows, params.bootstrap)
            found.append(SliceDifference(slice=name, group=group, rows=len(rows), **told))
    return found


def by_week(days: NDArray[np.datetime64], actual: Floats, base: Scored, candidate: Scored) -> list[Week]:
    """Return the figures of both by week of sale."""
    old, new = (plot_tables(days, {"actual": actual, **scored}).by_week for scored in (base, candidate))
    return [
        Week(
            week=str(one.week),
            rows=int(one.sales),  # type: ignore[arg-type]
            mdape=Pair(base=one.mdape, candidate=other.mdape),
            median_ratio=Pair(base=one.median_ratio, candidate=other.median_ratio),
        )
        for one, other in zip(old.itertuples(), new.itertuples(), strict=True)
    ]


def _errors(actual: Floats, scored: Scored) -> dict[str, Floats]:
    ratio = scored["predicted"] / actual
    held = (scored["low"] <= actual) & (actual <= scored["high"])
    return {
        "rmse_log": np.log(ratio) ** 2,
        "mdape": np.abs(ratio - 1),
        "bias": ratio - 1,
        "coverage": held.astype(float),
    }


def _figure(metric: str, errors: Floats) -> Floats:
    """Return the metric of the last axis; equal to scoring's, whose functions know no draws."""
    if metric == "mdape":
        return np.asarray(np.median(errors, axis=-1))
    means = np.asarray(errors.mean(axis=-1))
    return np.sqrt(means) if metric == "rmse_log" else means


def _of_rows(
    ideals: Mapping[Metric, float], errors: Sequence[Mapping[str, Floats]], rows: NDArray[np.int64], params: Bootstrap
) -> dict[Metric, Difference]:
    """Return the difference of each metric, given with its ideal, on some rows: one set of draws serves them all."""
    drawn: dict[Metric, tuple[list[Floats], list[Floats]]] = {metric: ([], []) for metric in ideals}
    together = max(1, CELLS_MAX // len(rows))
    every = draws(len(rows), params)
    while some := list(islice(every, together)):
        chosen = rows[np.stack(some)]
        for metric, figures in drawn.items():
            for known, error in zip(figures, errors, strict=True):
                known.append(_figure(metric, error[metric][chosen]))
    return {
        metric: _difference(
            [_figure(metric, error[metric][rows]) for error in errors],
            [np.concatenate(known) for known in drawn[metric]], ideal, params.level,
        )
        for metric, ideal in ideals.items()
    }  # fmt: skip


def _difference(whole: Sequence[Floats], drawn: Sequence[Floats], ideal: float, level: float) -> Difference:
    base, candidate = (round(float(value), DECIMALS) + 0.0 for value in whole)
    off = np.abs(drawn[1] - ideal) - np.abs(drawn[0] - ideal)
    worse_by = interval(off.tolist(), level)
    return Difference(
        base=base,
        candidate=candidate,
        difference=round(candidate - base, DECIMALS) + 0.0,
        interval=interval((drawn[1] - drawn[0]).tolist(), level),
        worse_by=worse_by,
        verdict="better" if worse_by[1] < 0 else "worse" if worse_by[0] > 0 else "no evidence",
    )
