"""Give each prediction an interval that holds the true price at the asked-for rate, wide where prices are hard to tell."""

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hearth.strict import Strict

Floats = NDArray[np.float64]


class Interval(Strict):
    """Hold what turns a learned spread into the half width of an interval, in log price."""

    level: float = Field(gt=0.5, lt=1)
    factor: float = Field(gt=0)
    margin: float = Field(ge=0)
    spread_min: float = Field(gt=0)

    def half_width(self, spread: Floats) -> Floats:
        """Return h (n,) such that |log price − predicted| ≤ h for a new row at the rate `level`; spread is (n,)."""
        return np.asarray(self.factor * np.maximum(spread, self.spread_min) + self.margin, dtype=np.float64)


def conformal_quantile(scores: Floats, level: float) -> float:
    """Return q such that |score| ≤ q holds for a new row at the rate `level`.

    Split conformal prediction: the ceil((n + 1) level)-th smallest of n absolute scores on rows that nothing was fitted
    on. A score is a residual, divided by its expected size where that is known (`normalised`). Raise ValueError for too
    few scores. Sources: Lei, G'Sell, Rinaldo, Tibshirani, Wasserman (2018), Distribution-free predictive inference for
    regression, JASA 113(523), sections 2.2 and 5.2; Papadopoulos, Proedrou, Vovk, Gammerman (2002), Inductive confidence
    machines for regression, ECML.
    """
    rank = math.ceil((len(scores) + 1) * level)
    if rank > len(scores):
        raise ValueError(f"{len(scores)} residuals are too few for intervals at the level {level}")
    return float(np.sort(np.abs(scores))[rank - 1])


def normalised(residuals: Floats, spread: Floats, spread_min: float) -> Floats:
    """Return residuals relative to their expected size, of which none counts as smaller than `spread_min`."""
    return np.asarray(residuals / np.maximum(spread, spread_min), dtype=np.float64)
