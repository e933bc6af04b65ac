"""Work out what a simulated life says: error and bias by week with and without the loop, events, and what was saved."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hearth.on_outcomes import level_interval
from hearth.scoring import Floats, bias, coverage, mdape
from hearth.strict import Strict

WEEK = np.timedelta64(7, "D")
ROWS_MIN = 30  # of a week whose figures are drawn
LAST_DAYS = 28

Kind = Literal[
    "released", "provable", "alarm", "advice", "retrained", "promoted", "not promoted", "forced", "rolled back"
]


class Event(Strict):
    """Hold what happened on a day, in a sentence."""

    day: str
    kind: Kind
    said: str


@dataclass(frozen=True)
class Lived:
    """Hold sales (n_rows,): when each house was priced, what was paid, what was answered, and what the first model would have said."""

    day: NDArray[np.datetime64]
    paid: Floats
    served: dict[str, Floats]  # price, low and high
    alone: dict[str, Floats]
    version: NDArray[Any]


def document(
    first: np.datetime64,
    lived: Lived,
    drill: Lived,
    restored: Lived,
    events: Sequence[Event],
    unit: str,
    level: float,
    limits: dict[str, float],
) -> dict[str, Any]:
    """Return all that metrics/simulation.json holds.

    `drill` is what was served while a bad model was forced in, `restored` what the same houses were priced at once it was
    rolled back.
    """
    newest = lived.day.max()
    last = lived.day > newest - np.timedelta64(LAST_DAYS, "D")
    with_loop, without = (np.abs(one["price"] - lived.paid) for one in (lived.served, lived.alone))
    changed = lived.version != lived.version[0]
    return {
        "from": str(first),
        "to": str(newest),
        "sales": len(lived.paid),
        "unit": unit,
        "level": level,
        "limits": limits,
        "weeks": weeks(first, lived),
        "drill": weeks(drill.day.min(), drill) if len(drill.day) else [],
        "restored": weeks(restored.day.min(), restored) if len(restored.day) else [],
        "events": [event.model_dump() for event in events],
        "alarm": _day_of(events, "alarm"),
        "provable": _day_of(events, "provable"),
        "last_weeks": {
            "days": LAST_DAYS,
            "sales": int(last.sum()),
            "with": _figures(lived.paid[last], {k: v[last] for k, v in lived.served.items()}),
            "without": _figures(lived.paid[last], {k: v[last] for k, v in lived.alone.items()}),
        },
        "saved": {
            "sales": int(changed.sum()),
            "total": round(float((without - with_loop).sum())),
            "per_sale": round(float((without - with_loop)[changed].mean())) if changed.any() else 0,
            "mean_error_with": round(float(with_loop[changed].mean())) if changed.any() else None,
            "mean_error_without": round(float(without[changed].mean())) if changed.any() else None,
        },
    }


def weeks(first: np.datetime64, lived: Lived) -> list[dict[str, Any]]:
    """Return the figures of each week with sales, with the loop and without it."""
    number = ((lived.day - first) // WEEK).astype(np.int64)
    found = []
    for week in np.unique(number):
        rows = number == week
        start = first + int(week) * WEEK
        found.append({
            "from": str(start),
            "to": str(start + WEEK),
            "sales": int(rows.sum()),
            "models": sorted(set(lived.version[rows].tolist())),
            "with": _figures(lived.paid[rows], {name: values[rows] for name, values in lived.served.items()}),
            "without": _figures(lived.paid[rows], {name: values[rows] for name, values in lived.alone.items()}),
        })  # fmt: skip
    return found


def _figures(paid: Floats, one: dict[str, Floats]) -> dict[str, Any]:
    if len(paid) < ROWS_MIN:
        return {"rows": len(paid)}
    low, level, high = level_interval(paid, one["price"], 0.95)
    return {
        "rows": len(paid),
        "error": round(mdape(paid, one["price"]), 6),
        "bias": round(bias(paid, one["price"]), 6),
        "level": round(level, 6),
        "level_low": round(low, 6),
        "level_high": round(high, 6),
        "mae": round(float(np.abs(one["price"] - paid).mean())),
        "coverage": round(coverage(paid, one["low"], one["high"]), 6),
    }


def _day_of(events: Sequence[Event], kind: Kind) -> str | None:
    return next((event.day for event in events if event.kind == kind), None)
