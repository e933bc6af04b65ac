"""Check what was really paid for the houses that were priced: level, error, coverage, and whether the outcomes can be true."""

import numpy as np
from scipy import stats  # type: ignore[import-untyped]

from hearth.doubt import mean_interval, rank_interval, share_interval
from hearth.finding import Finding, too_few
from hearth.scoring import Floats
from hearth.windows import MonitorParams, View

UNIT_FACTOR = 1.5  # a median that is so many times too high or too low comes from another unit, not from a market


def level_interval(paid: Floats, predicted: Floats, level: float) -> tuple[float, float, float]:
    """Return by how much prices lie above what was paid, in the geometric mean, with its interval; fractions.

    The geometric mean of predicted / paid, and not the mean that `bias` is: noise alone makes that one positive.
    """
    low, middle, high = np.expm1(mean_interval(np.log(predicted / paid), level))
    return float(low), float(middle), float(high)


def level(view: View) -> Finding:
    """Hold the level of the prices beside what was paid to its limit."""
    if len(view.paid) < view.params.rows_min:
        return too_few(len(view.paid), "outcomes of this model")
    low, middle, high = level_interval(view.paid, view.outcomes.price, view.params.level)
    where = "above" if middle > 0 else "below"
    said = f"prices lie {abs(middle):.1%} {where} what was paid ({low:+.1%} to {high:+.1%}), within {view.params.bias_max:.1%} is sound"
    return Finding(low > view.params.bias_max or high < -view.params.bias_max, said, middle, view.params.bias_max)


def error(view: View) -> Finding:
    """Hold the median error to what was promised."""
    if len(view.paid) < view.params.rows_min:
        return too_few(len(view.paid), "outcomes of this model")
    errors = np.abs(view.outcomes.price / view.paid - 1)
    low, high = rank_interval(errors, view.params.level)
    limit = view.promise.error * view.params.error_ratio_max
    said = f"the median error is {np.median(errors):.1%} ({low:.1%} to {high:.1%}); {view.promise.error:.1%} was promised, {limit:.1%} is allowed"
    return Finding(low > limit, said, float(np.median(errors)), limit)


def coverage(view: View) -> Finding:
    """Hold the share of what was paid inside its interval to what was promised."""
    rows = len(view.paid)
    if rows < view.params.rows_min:
        return too_few(rows, "outcomes of this model")
    held = int(np.sum((view.outcomes.low <= view.paid) & (view.paid <= view.outcomes.high)))
    low, high = share_interval(held, rows, view.params.level)
    level = view.promise.release.facts.interval.level
    bad = high < level - view.params.coverage_off_max or low > level + view.params.coverage_off_max
    said = f"{held / rows:.1%} of what was paid lies inside its interval ({low:.1%} to {high:.1%}); {level:.0%} was promised"
    return Finding(bad, said, held / rows, level)


def outcome_match(view: View) -> Finding:
    """Tell outcomes that belong to other predictions, or are in another unit."""
    rows, unit = len(view.window.paid), view.promise.release.contract.target.unit
    heard = rows + view.window.unknown + view.window.unfit
    if heard < view.params.rows_min:
        return too_few(heard, "outcomes")
    for part, what in ((view.window.unfit, f"outcomes are no {view.promise.release.contract.target.name} of the contract; are they in {unit}?"),
                       (view.window.unknown, "outcomes belong to no prediction in the log; are they another service's?")):  # fmt: skip
        if share_interval(part, heard, view.params.level)[0] > view.params.unknown_share_max:
            return Finding(True, f"{part:,} of {heard:,} {what}", part / heard, view.params.unknown_share_max)
    if rows < view.params.rows_min:
        return too_few(rows, "outcomes with a prediction")
    factor, rank = agreement(view.window.paid, view.window.outcomes.price)
    if not _in_unit(factor):
        return Finding(
            True,
            f"prices are {factor:.3g} times what was paid, in the median; are the outcomes in {unit}?",
            factor,
            UNIT_FACTOR,
        )
    if not rank >= view.params.rank_correlation_min:
        return Finding(True, f"prices and what was paid hardly go together (rank correlation {rank:.2f}, at least "
                       f"{view.params.rank_correlation_min:.2f} is usual); outcomes are given to other predictions' ids",
                       rank, view.params.rank_correlation_min)  # fmt: skip
    return Finding(
        False,
        f"prices and what was paid go together (rank correlation {rank:.2f})",
        rank,
        view.params.rank_correlation_min,
    )


def agreement(paid: Floats, price: Floats) -> tuple[float, float]:
    """Return the median of price / paid, and the rank correlation of the two."""
    return float(np.median(price / paid)), float(stats.spearmanr(price, paid).statistic)


def _in_unit(factor: float) -> bool:
    return 1 / UNIT_FACTOR < factor < UNIT_FACTOR


def agrees(paid: Floats, price: Floats, params: MonitorParams) -> bool:
    """Return whether prices and what was paid can belong together: neither shuffled nor in another unit."""
    factor, rank = agreement(paid, price)
    return _in_unit(factor) and rank >= params.rank_correlation_min
