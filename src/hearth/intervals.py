"""Give each prediction an interval that holds the true price at the asked-for rate."""

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hearth.strict import Strict

Floats = NDArray[np.float64]


class IntervalParams(Strict):
    """Hold the section `intervals` of params.yaml."""

    level: float = Field(gt=0.5, lt=1)
    folds: int = Field(ge=1)
    fold_days: int = Field(ge=7)


def half_width(residuals: Floats, level: float) -> float:
    """Return h such that |log price − predicted| ≤ h holds for a new row at the rate `level`.

    Split conformal prediction: the ceil((n + 1) level)-th smallest of n absolute residuals on rows that the model was
    not fitted on. Raise ValueError for too few residuals. Source: Lei, G'Sell, Rinaldo, Tibshirani, Wasserman (2018),
    Distribution-free predictive inference for regression, JASA 113(523).
    """
    rank = math.ceil((len(residuals) + 1) * level)
    if rank > len(residuals):
        raise ValueError(f"{len(residuals)} residuals are too few for intervals at the level {level}")
    return float(np.sort(np.abs(residuals))[rank - 1])
