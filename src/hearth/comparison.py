"""Say whether a candidate is better than a base: on the same unseen sales, with doubt, by slice, and what else changed.

Source of the paired bootstrap: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 16: both models are
scored on the same drawn rows, so that what makes a sale hard for both falls out of the difference.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from scipy import stats  # type: ignore[import-untyped]

from hearth.contract import Contract
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
SLICE_METRICS = ("mdape", "rmse_log")
MetricName = Literal["rmse_log", "mdape", "bias", "coverage"]
Said = Literal["better", "worse", "no evidence"]


class Pair(Strict):
    """Hold a figure of the base and of the candidate; None where a side has none."""

    base: Any = None
    candidate: Any = None


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


class Move(Strict):
    """Hold how far a column's distribution moved, and how far chance alone would move it.

    The distance of numbers is the largest one between the shares below a value (Kolmogorov and Smirnov), of a category
    half the sum of the changes of its shares (total variation).
    """

    column: str
    distance: float
    by_chance: float
    base: str
    candidate: str


class DataChange(Strict):
    """Hold what became of the rows, by their keys, and which columns moved more than chance would explain.

    `other_columns` are those that only one side has, or that have another type on each; they are compared no further.
    """

    base_rows: int
    candidate_rows: int
    added: int
    gone: int
    corrected: int
    corrected_columns: dict[str, int]
    other_columns: dict[str, Pair]
    moved: Annotated[tuple[Move, ...], Listed]


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
    rows = np.arange(len(actual))
    errors = [_errors(actual, scored) for scored in (base, candidate)]
    found: dict[MetricName, Difference] = {}
    for name, ideal in (("rmse_log", 0.0), ("mdape", 0.0), ("bias", 0.0), ("coverage", level)):
        whole = [_figure(name, error[name]) for error in errors]
        drawn = _drawn(name, errors, rows, params)
        found[name] = _difference(whole, drawn, ideal, params.level)  # type: ignore[index]
    return found


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
            told = {}
            for metric in SLICE_METRICS:
                whole = [_figure(metric, error[metric][rows]) for error in errors]
                drawn = _drawn(metric, errors, rows, params.bootstrap)
                told[metric] = _difference(whole, drawn, 0.0, params.bootstrap.level)
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


def changed(base: Mapping[str, Any], candidate: Mapping[str, Any]) -> dict[str, Pair]:
    """Return the values that differ, by their dotted keys; a value that one side lacks is None there."""
    old, new = dict(_flat(base)), dict(_flat(candidate))
    return {
        key: Pair(base=old.get(key), candidate=new.get(key))
        for key in sorted(old.keys() | new.keys())
        if key not in old or key not in new or old[key] != new[key]
    }


def data_change(base: pd.DataFrame, candidate: pd.DataFrame, contract: Contract, params: Bootstrap) -> DataChange:
    """Return what became of the rows of a table, and which of the contract's columns moved."""
    keys = contract.keys
    types = [{str(name): str(kind) for name, kind in table.dtypes.items()} for table in (base, candidate)]
    other = changed(*types)
    shared = [name for name in candidate.columns if name not in other]
    # Without the keys on both sides no row is known again.
    kept = _kept(base[shared], candidate[shared], keys) if set(keys) <= set(shared) else pd.DataFrame()
    held = [name for name in shared if name not in keys and name in kept]
    differs = pd.DataFrame({name: _unequal(kept[f"{name} before"], kept[name]) for name in held}, dtype=bool)
    columns = [*contract.features, contract.target]
    moved = [_move(base[c.name], candidate[c.name], c.name, c.type == "category", params) for c in columns
             if c.name in shared]  # fmt: skip
    return DataChange(
        base_rows=len(base),
        candidate_rows=len(candidate),
        added=len(candidate) - len(kept),
        gone=len(base) - len(kept),
        corrected=int(differs.any(axis=1).sum()),
        corrected_columns={str(name): int(count) for name, count in differs.sum().items() if count},
        other_columns=other,
        moved=tuple(sorted((m for m in moved if m.distance > m.by_chance), key=lambda m: (-m.distance, m.column))),
    )


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


def _drawn(
    metric: str, errors: Sequence[Mapping[str, Floats]], rows: NDArray[np.int64], params: Bootstrap
) -> list[Floats]:
    """Return the metric of both sides in each draw (n_draws,), from the same rows for both."""
    figures: tuple[list[Floats], ...] = ([], [])
    together = max(1, CELLS_MAX // len(rows))
    every = draws(len(rows), params)
    while some := list(islice(every, together)):
        chosen = rows[np.stack(some)]
        for known, error in zip(figures, errors, strict=True):
            known.append(_figure(metric, error[metric][chosen]))
    return [np.concatenate(known) for known in figures]


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


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        inner = isinstance(value, Mapping) and value
        found += _flat(value, f"{prefix}{key}.") if inner else [(f"{prefix}{key}", value)]
    return found


def _kept(base: pd.DataFrame, candidate: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return the rows that both tables have, a row of the one beside at most one of the other."""
    # Keys name one row in each side's own contract, not of need in the other's: what they name twice is told by order.
    tables = [table.assign(**{"which of them": table.groupby(keys).cumcount()}) for table in (base, candidate)]
    return tables[0].merge(tables[1], on=[*keys, "which of them"], suffixes=(" before", ""))


def _unequal(before: pd.Series, after: pd.Series) -> NDArray[np.bool_]:
    one, other = before.astype(object), after.astype(object)
    return np.asarray((one != other).fillna(True).astype(bool) & ~(one.isna() & other.isna()), dtype=np.bool_)


def _move(base: pd.Series, candidate: pd.Series, name: str, category: bool, params: Bootstrap) -> Move:
    """Return the move of one column. Rows that both tables hold make chance smaller than it is told, never larger."""
    before, after = base.dropna(), candidate.dropna()
    if not len(before) or not len(after):
        filled = [f"{len(part):,} filled cells" for part in (before, after)]
        moved = float(len(before) != len(after))
        return Move(column=name, distance=moved, by_chance=0.0, base=filled[0], candidate=filled[1])
    distance, by_chance = (_of_shares if category else _of_numbers)(before, after, params)
    words = [_shortly(part, category) for part in (before, after)]
    rounded = {"distance": round(distance, DECIMALS), "by_chance": round(by_chance, DECIMALS)}
    return Move(column=name, base=words[0], candidate=words[1], **rounded)


def _of_numbers(before: pd.Series, after: pd.Series, params: Bootstrap) -> tuple[float, float]:
    numbers = [part.astype(float).to_numpy() for part in (before, after)]
    sizes = len(before) * len(after) / (len(before) + len(after))
    by_chance = float(stats.kstwobign.ppf(params.level) / np.sqrt(sizes))
    return float(stats.ks_2samp(*numbers, method="asymp").statistic), by_chance


def _of_shares(before: pd.Series, after: pd.Series, params: Bootstrap) -> tuple[float, float]:
    counts = pd.concat([part.value_counts() for part in (before, after)], axis=1).to_numpy(
        dtype=np.float64, na_value=0.0
    )
    chance = np.random.default_rng(params.seed)
    pooled = counts.sum(axis=1) / counts.sum()
    one, other = (chance.multinomial(len(part), pooled, params.draws) / len(part) for part in (before, after))
    by_chance = float(np.quantile(np.abs(one - other).sum(axis=1) / 2, params.level))
    shares = counts / counts.sum(axis=0)
    return float(np.abs(shares[:, 0] - shares[:, 1]).sum() / 2), by_chance


def _shortly(values: pd.Series, category: bool) -> str:
    if not category:
        return f"median {values.astype(float).median():,.6g}"
    shares = values.value_counts(normalize=True, sort=True)
    return f"most often {shares.index[0]}, {shares.iloc[0]:.1%}"
