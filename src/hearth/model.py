"""Fit the price model: boosted trees on the logarithm of the price, with an interval."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.ensemble import HistGradientBoostingRegressor

from hearth.features import Floats
from hearth.graph import tree_graph
from hearth.intervals import IntervalParams, half_width
from hearth.splitting import Days, rolling_origin
from hearth.strict import Strict

LOG_DECIMALS = 9  # numpy's log differs in the last bit between CPU kernels; trees then would differ everywhere


class ModelParams(Strict):
    """Hold the section `model` of params.yaml."""

    learning_rate: float = Field(gt=0, le=1)
    iterations: int = Field(ge=1, le=20000)
    leaves: int = Field(ge=2, le=1000)
    rows_per_leaf: int = Field(ge=1)
    l2: float = Field(ge=0)
    features_per_split: float = Field(gt=0, le=1)
    seed: int = Field(ge=0, le=2**32 - 1)


@dataclass(frozen=True)
class Fitted:
    """Hold a fitted regressor of the log price and the half width of its intervals, in log price."""

    regressor: HistGradientBoostingRegressor
    half_width: float
    n_features: int

    def log_price(self, inputs: Floats) -> NDArray[np.float64]:
        """Return predicted log prices (n_rows,)."""
        return np.asarray(self.regressor.predict(inputs), dtype=np.float64)

    def graph(self) -> bytes:
        """Return the regressor as ONNX."""
        return tree_graph(self.regressor, self.n_features)


def log_price(price: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the logarithm that the model learns, rounded so that it is the same on every machine."""
    return np.asarray(np.round(np.log(price.astype(np.float64)), LOG_DECIMALS), dtype=np.float64)


def fit(inputs: Floats, price: NDArray[np.generic], days: Days, params: ModelParams, doubt: IntervalParams) -> Fitted:
    """Fit on all rows; calibrate the interval on rolling-origin folds, each predicted by a fit on the rows before it."""
    target = log_price(price)
    residuals = [
        target[judge] - _regressor(inputs[before], target[before], params).predict(inputs[judge])
        for before, judge in rolling_origin(days, doubt.folds, doubt.fold_days)
    ]
    width = half_width(np.concatenate(residuals), doubt.level)
    return Fitted(_regressor(inputs, target, params), round(width, LOG_DECIMALS), inputs.shape[1])


def _regressor(inputs: Floats, target: NDArray[np.float64], params: ModelParams) -> HistGradientBoostingRegressor:
    return HistGradientBoostingRegressor(
        learning_rate=params.learning_rate,
        max_iter=params.iterations,
        max_leaf_nodes=params.leaves,
        min_samples_leaf=params.rows_per_leaf,
        l2_regularization=params.l2,
        max_features=params.features_per_split,
        early_stopping=False,
        random_state=params.seed,
    ).fit(inputs, target)
