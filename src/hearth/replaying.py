"""Say how a candidate would have answered what was asked of the service: how far its prices lie from those that were served.

Where outcomes are known, both are held to them in pairs. An outcome that the candidate may have been fitted on proves nothing.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hearth.comparison import Difference, MetricName, Scored, differences
from hearth.cuts import numeric_first
from hearth.doubt import Bootstrap
from hearth.scoring import Floats
from hearth.strict import Listed, Strict

STEPS = (0.01, 0.05, 0.1)  # of the size of a change
SHOWN = 10  # of the largest changes
DECIMALS = 6


class Change(Strict):
    """Hold one prediction whose price changed."""

    prediction_id: str
    at: str
    model_version: str
    served: float
    candidate: float
    change: float


class GroupChange(Strict):
    """Hold how the prices of a group of houses changed; shares as in `Replay`."""

    slice: str
    group: str
    rows: int = Field(ge=1)
    median: float
    over: dict[str, float]


class Replay(Strict):
    """Hold all that `hearth replay` says of a period; a change is candidate / served - 1, a share that of changes beyond a size."""

    candidate: str
    commit: str | None
    model_version: str
    first_day: str
    last_day: str
    predictions: int = Field(ge=1)
    left_out: dict[str, int]
    served: dict[str, int]
    over: dict[str, float]
    median: float
    median_size: float
    largest: Annotated[tuple[Change, ...], Listed]
    slices: Annotated[tuple[GroupChange, ...], Listed]
    outcomes: int = Field(ge=0)
    seen: int = Field(ge=0)
    differences: dict[MetricName, Difference] | None
    notes: Annotated[tuple[str, ...], Listed]


def shares(change: Floats) -> dict[str, float]:
    """Return the share of changes whose size is beyond each step."""
    return {f"{step:g}": round(float(np.mean(np.abs(change) > step)), DECIMALS) for step in STEPS}


def largest(
    ids: NDArray[np.str_], at: NDArray[np.datetime64], versions: NDArray[np.str_], served: Floats, candidate: Floats
) -> list[Change]:
    """Return the largest changes (n_rows,), the largest first; of equal ones the earlier."""
    change = candidate / served - 1
    order = np.argsort(-np.abs(change), kind="stable")[:SHOWN].tolist()
    return [
        Change(prediction_id=str(ids[row]), at=str(at[row]), model_version=str(versions[row]), served=float(served[row]),
               candidate=float(candidate[row]), change=_rounded(change[row]))
        for row in order if change[row]
    ]  # fmt: skip


def by_slice(cuts: Mapping[str, Sequence[str]], change: Floats, rows_min: int) -> list[GroupChange]:
    """Return the changes in each group of each cut, (n_rows,) names each, with enough rows."""
    found = []
    for name, groups in cuts.items():
        array, counts = np.array(groups), Counter(groups)
        for group in sorted(counts, key=numeric_first):
            if counts[group] >= rows_min:
                own = change[array == group]
                median = _rounded(np.median(own))
                found.append(GroupChange(slice=name, group=group, rows=len(own), median=median, over=shares(own)))
    return found


def against_outcomes(
    paid: Floats, served: Scored, candidate: Scored, level: float, params: Bootstrap, rows_min: int
) -> dict[MetricName, Difference] | None:
    """Return how candidate and served prices differ on outcomes (n_rows,); None where there are too few to tell."""
    return differences(paid, served, candidate, level, params) if len(paid) >= rows_min else None


def _rounded(value: float) -> float:
    return round(float(value), DECIMALS) + 0.0


def median(change: Floats) -> tuple[float, float]:
    """Return the median of the changes and that of their sizes."""
    return _rounded(np.median(change)), _rounded(np.median(np.abs(change)))
