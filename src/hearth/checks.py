"""Hold what was served, and what became of it, to what the model promised: one check after the other, window by window.

A check says of a window whether it is bad, or that there is too little to tell. An alarm is due when it was bad in `needed` of
the last `of` windows, the newest included: one odd week wakes nobody. A fact (inputs that differ, a clock that jumped, a model past
its age) is no matter of chance: it alarms at once. Values in, values out; `hearth monitor` reads and writes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from hearth.facts import clock, log, skew, stale_profile, staleness
from hearth.finding import Check
from hearth.on_outcomes import coverage, error, level, outcome_match
from hearth.on_requests import input_drift, outside_training, prediction_drift, refused_requests, traffic
from hearth.windows import View

CheckName = Literal[
    "input_drift", "prediction_drift", "refused_requests", "outside_training", "bias", "error", "coverage", "outcome_match",
    "traffic", "skew", "staleness", "stale_profile", "clock", "log",
]  # fmt: skip
FACTS: tuple[CheckName, ...] = ("skew", "staleness", "stale_profile", "clock", "log")

CHECKS: Mapping[CheckName, Check] = {
    "input_drift": input_drift,
    "prediction_drift": prediction_drift,
    "refused_requests": refused_requests,
    "outside_training": outside_training,
    "bias": level,
    "error": error,
    "coverage": coverage,
    "outcome_match": outcome_match,
    "traffic": traffic,
    "skew": skew,
    "staleness": staleness,
    "stale_profile": stale_profile,
    "clock": clock,
    "log": log,
}


def judged(name: CheckName, seen: Sequence[View], present: View | None) -> dict[str, Any]:
    """Return a check's verdict over the windows, the oldest first, as it stands in monitor.json; the present counts for facts."""
    if name in FACTS and present is not None:
        seen = [*seen[1:], present]
    needed = 1 if name in FACTS else seen[-1].params.needed
    found = [CHECKS[name](view) for view in seen]
    bad = [None if one.bad is None else bool(one.bad) for one in found]
    newest = found[-1]
    return {
        "alarm": bad[-1] is True and sum(one is True for one in bad) >= needed,
        "windows": bad,
        "value": rounded(newest.value),
        "limit": rounded(newest.limit),
        "said": newest.said,
    }


def silence(of: int) -> dict[str, Any]:
    """Return the verdict on traffic where neither a window nor the present holds a house: nobody should call that fine."""
    said = "the log holds no house at all: is this the log of the service, and does it write?"
    return {"alarm": True, "windows": [None] * (of - 1) + [True], "value": 0.0, "limit": 1.0, "said": said}


def rounded(value: float | None) -> float | None:
    """Return the value with six decimals, no negative zero among them."""
    return None if value is None else round(float(value), 6) + 0.0
