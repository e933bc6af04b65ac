"""Say whether figures can be trusted at all, before the gate holds a limit against them."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hearth.baselines import BASELINES, LAST_SALE
from hearth.evidence import Evidence
from hearth.figures import finite
from hearth.scoring import KEYS, Floats

PARTS = ("actual", "predicted", "low", "high")


def incomplete(metrics: Mapping[str, object]) -> list[str]:
    """Return which of the fixed keys are missing, which are none of them, and which values are no finite numbers."""
    broken = [f"metrics: {name} is missing" for name in KEYS if name not in metrics]
    broken += [f"metrics: {name} is not one of the fixed keys" for name in metrics if name not in KEYS]
    return broken + [
        f"metrics: {name} is {value!r}, no finite number" for name, value in metrics.items() if not finite(value)
    ]


def impossible(metrics: Mapping[str, float]) -> list[str]:
    """Return the figures that no set of rows can give."""
    lowest = dict.fromkeys(("rmse", "mae", "mdape", "rmse_log", "coverage", "interval_width", "cod", "prd"), 0.0)
    highest = {"r2": 1.0, "coverage": 1.0}
    wrong = [
        f"metrics: {name} is {metrics[name]}, below {low}, which is impossible"
        for name, low in lowest.items()
        if metrics[name] < low
    ]
    return wrong + [
        f"metrics: {name} is {metrics[name]}, above {high}, which is impossible"
        for name, high in highest.items()
        if metrics[name] > high
    ]


def unscorable(scored: Mapping[str, Floats]) -> list[str]:
    """Return why no metric can be computed: columns that are missing, of unlike lengths, not finite or not above zero."""
    if missing := [name for name in PARTS if name not in scored]:
        return [f"predictions: {', '.join(missing)} missing"]
    if len(sizes := sorted({len(scored[name]) for name in PARTS})) != 1:
        return [f"predictions: columns of {', '.join(map(str, sizes))} rows, wanted one length"]
    whole = np.all([np.isfinite(scored[name]) for name in PARTS], axis=0)
    return _counted(~whole, "are not finite, wanted finite prices only") + _counted(
        scored["predicted"] <= 0, "are predicted at or below 0, wanted prices above 0"
    )


def insane(scored: Mapping[str, Floats]) -> list[str]:
    """Return what is wrong with single predictions; NaN is in no order with anything, so no comparison lets it pass."""
    if faults := unscorable(scored):
        return faults
    held = (scored["low"] <= scored["predicted"]) & (scored["predicted"] <= scored["high"])
    return _counted(~held, "break low <= price <= high, wanted it in each row")


def _counted(rows: NDArray[np.bool_], what: str) -> list[str]:
    return [f"predictions: {rows.sum()} of {len(rows)} rows {what}"] if rows.any() else []


def of_other_rows(metrics: Mapping[str, float], evidence: Evidence, scored: Mapping[str, Floats]) -> list[str]:
    """Return the signs that metrics, evidence and predictions do not speak of the same rows and the same model."""
    rows = metrics["rows_test"]
    counted = {
        "evidence: rows": evidence.rows,
        "evidence: rows in coverage_by_fifth": sum(fifth.rows for fifth in evidence.coverage_by_fifth),
        "predictions: rows": len(scored.get("predicted", ())),
    }
    counted |= {
        f"evidence: baselines.{name}.rows": known.rows
        for name, known in evidence.baselines.items()
        if name != LAST_SALE
    }
    faults = [f"{what} is {count}, metrics: rows_test is {rows:.0f}, wanted the same rows" for what, count in counted.items() if count != rows]  # fmt: skip
    faults += [f"evidence: baselines.{name} is missing" for name in BASELINES if name not in evidence.baselines]
    if evidence.simpler.name not in evidence.baselines:
        faults.append(f"evidence: simpler.name is {evidence.simpler.name!r}, wanted one of the baselines")
    return faults + _outside(metrics, evidence)


def _outside(metrics: Mapping[str, float], evidence: Evidence) -> list[str]:
    faults = []
    for name in (key for key in KEYS if not key.startswith(("rows_", "baseline_"))):
        if name not in evidence.intervals:
            faults.append(f"evidence: intervals.{name} is missing")
            continue
        low, high = evidence.intervals[name]
        if not low <= metrics[name] <= high:
            faults.append(f"evidence: intervals.{name} is {low} to {high}, metrics: {name} is {metrics[name]}, wanted it inside")  # fmt: skip
    return faults
