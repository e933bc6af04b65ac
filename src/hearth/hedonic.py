"""Explain the log price by what a house is, with a plain regression, so that place and time are left over.

What is left over, the residual, is what the price index (market.py) and the neighbours (neighbours.py) are made from; and
the trees learn only what the regression does not say: they need many splits for a straight line, and end where the
training rows do.
Source: Rosen (1974), Hedonic prices and implicit markets, Journal of Political Economy 82(1).
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hearth.strict import Listed, Strict

Floats = NDArray[np.float64]

DECIMALS = 6  # of coefficients, values and residuals: a solver's last bits differ between CPUs
PENALTY_MIN = 1e-3  # without any, an input that says nearly the same as another has no coefficient of its own
CONSTANTS = 9  # decimals of what inputs are standardised by: so do those of logarithms


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


class Term(Strict):
    """Say what one input adds to the log price: slope × z + bend × z², z being the standardised input."""

    input: str
    logged: bool
    least: float  # of the training rows; what lies beyond counts as this, since no sale says how a square goes on
    most: float
    empty: float  # what an empty cell counts as
    centre: float
    scale: float = Field(gt=0)
    slope: float
    bend: float


class Hedonic(Strict):
    """Hold a fitted regression."""

    terms: Annotated[tuple[Term, ...], Listed]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the inputs that it reads, in its order."""
        return tuple(term.input for term in self.terms)

    def among(self, names: Sequence[str]) -> list[int]:
        """Return where the inputs that it reads stand among these; raise ValueError for one that is not there."""
        return [names.index(name) for name in self.names]

    @cached_property
    def _columns(self) -> tuple[NDArray[np.bool_], Floats]:
        """Return which terms are logged (n_terms, 1), and the numbers of all terms (7, n_terms, 1)."""
        keys = ("least", "most", "empty", "centre", "scale", "slope", "bend")
        numbers = [[[getattr(term, key)] for term in self.terms] for key in keys]
        return np.array([[term.logged] for term in self.terms]), np.array(numbers)

    def value(self, inputs: NDArray[np.floating[Any]]) -> Floats:
        """Return what inputs (n_rows, n_terms), in the order of `names`, are worth in log price (n_rows,), but for a constant."""
        if not self.terms:
            return np.zeros(len(inputs))
        logged, (least, most, empty, centre, scale, slope, bend) = self._columns
        z = inputs.T.astype(np.float64)
        if np.isnan(z).any():
            z = np.where(np.isnan(z), empty, z)
        np.minimum(np.maximum(z, least, out=z), most, out=z)
        np.log(z, out=z, where=logged)
        z -= centre
        z /= scale
        z *= bend * z + slope
        # One term after the other, for a row alone as for many: numpy's sum would take another order for one.
        return np.asarray(np.add.accumulate(z, axis=0)[-1].round(DECIMALS), dtype=np.float64)


def fit_hedonic(inputs: Floats, groups: NDArray[Any], target: Floats, params: HedonicParams) -> Hedonic:
    """Return the regression of the target (n,) on `inputs` (n, n_inputs), params.inputs being their names.

    Coefficients are those of a ridge regression within groups, on standardised inputs and their squares: a group's own
    level explains nothing away. A positive input whose largest value is `logged_from` times its smallest is logged.
    """
    terms, columns, bent = [], [], []
    for name, values in zip(params.inputs, inputs.astype(np.float64).T, strict=True):
        filled = values[np.isfinite(values)]
        if not len(filled) or filled.max() == filled.min():
            continue  # says nothing of any house
        least, most, empty = float(filled.min()), float(filled.max()), float(np.median(filled))
        logged = least > 0 and most >= params.logged_from * least
        z = np.where(np.isfinite(values), values, empty)
        z = np.log(z) if logged else z
        centre, scale = round(float(z.mean()), CONSTANTS), round(float(z.std()), CONSTANTS) or 1.0
        z = (z - centre) / scale
        terms.append(Term(input=name, logged=logged, least=least, most=most, empty=empty, centre=centre, scale=scale,
                          slope=0.0, bend=0.0))  # fmt: skip
        bent.append(len(np.unique(filled)) > 2)  # the square of two values is the same column twice
        columns += [z, z**2] if bent[-1] else [z]
    if not terms:
        return Hedonic(terms=())
    place = _places(groups)
    centred = np.column_stack([_within(column, place) for column in columns])
    matrix = centred.T @ centred + max(params.penalty + 1e-9, PENALTY_MIN) * np.eye(len(columns))
    slopes = iter(np.round(np.linalg.solve(matrix, centred.T @ _within(target, place)), DECIMALS).tolist())
    fitted = [
        term.model_copy(update={"slope": next(slopes) + 0.0, "bend": next(slopes) + 0.0 if square else 0.0})
        for term, square in zip(terms, bent, strict=True)
    ]
    return Hedonic(terms=tuple(fitted))


def residuals(inputs: Floats, groups: NDArray[Any], target: Floats, params: HedonicParams) -> tuple[Floats, Floats]:
    """Return what the regression leaves unexplained of the target (n,): with the group's level in it, and without."""
    found = fit_hedonic(inputs, groups, target, params)
    left = np.round(target - found.value(inputs[:, found.among(params.inputs)]), DECIMALS)
    return left, np.round(_within(left, _places(groups)), DECIMALS)


def _places(groups: NDArray[Any]) -> NDArray[np.int64]:
    """Return each row's group by its place among all; looked for once, since names cost more than all sums."""
    return np.unique(groups, return_inverse=True)[1]


def _within(values: Floats, place: NDArray[np.int64]) -> Floats:
    """Return how far values (n,) lie from the mean of their group."""
    return np.asarray(values - (np.bincount(place, values) / np.bincount(place))[place], dtype=np.float64)
