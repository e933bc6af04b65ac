"""Explain the log price by what a house is, with a plain regression, so that place and time are left over.

What is left over, the residual, is what the price index (market.py) and the neighbours (neighbours.py) are made from.
Source: Rosen (1974), Hedonic prices and implicit markets, Journal of Political Economy 82(1).
"""

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hearth.strict import Listed, Strict

Floats = NDArray[np.float64]

DECIMALS = 6  # of coefficients and residuals: a solver's last bits differ between CPUs


class HedonicParams(Strict):
    """Hold the section `hedonic` of params.yaml."""

    inputs: Annotated[tuple[str, ...], Listed]
    group: str
    penalty: float = Field(ge=0)
    logged_from: float = Field(gt=1)

    @model_validator(mode="after")
    def _once(self) -> "HedonicParams":
        if not self.inputs or len(set(self.inputs)) < len(self.inputs):
            raise ValueError("at least one name in inputs, each once")
        return self


def residuals(inputs: Floats, groups: NDArray[Any], target: Floats, params: HedonicParams) -> tuple[Floats, Floats]:
    """Return what `inputs` (n, n_inputs) leave unexplained of the target (n,): with the group's level in it, and without.

    Coefficients are those of a ridge regression within groups, on standardised inputs and their squares: a group's own
    level explains nothing away. A positive input whose largest value is `logged_from` times its smallest is logged.
    """
    terms = _terms(inputs, params.logged_from)
    place = np.unique(groups, return_inverse=True)[1]
    rows = np.bincount(place)

    def within(values: Floats) -> Floats:
        return np.asarray(values - (np.bincount(place, values) / rows)[place], dtype=np.float64)

    centred = np.empty_like(terms)
    for number, term in enumerate(terms.T):
        centred[:, number] = within(term)
    matrix = centred.T @ centred + (params.penalty + 1e-9) * np.eye(terms.shape[1])
    slopes = np.round(np.linalg.solve(matrix, centred.T @ within(target)), DECIMALS)
    left = target.astype(np.float64)
    for term, slope in zip(terms.T, slopes, strict=True):  # not a product of matrices, whose last bits differ
        left -= term * slope
    return np.round(left, DECIMALS), np.round(within(left), DECIMALS)


def _terms(inputs: Floats, logged_from: float) -> Floats:
    found = []
    for values in inputs.astype(np.float64).T:
        filled = values[np.isfinite(values)]
        if not len(filled) or filled.max() == filled.min():
            continue  # says nothing of any house
        values = np.where(np.isfinite(values), values, np.median(filled))
        if filled.min() > 0 and filled.max() >= logged_from * filled.min():
            values = np.log(values)
        values = (values - values.mean()) / values.std()
        found += [values, values**2] if len(np.unique(filled)) > 2 else [values]
    return np.column_stack(found) if found else np.empty((len(inputs), 0))
