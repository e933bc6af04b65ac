"""Score predictions: every metric that metrics.json and slices.csv hold, each computed and rounded in one place."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# The fixed keys of metrics/metrics.json; the gate refuses a file that lacks one or has another.
KEYS = ("rmse", "mae", "mdape", "r2", "rmse_log", "bias", "coverage", "interval_width", "cod", "prd", "prb",
        "rows_train", "rows_test", "baseline_rmse_log", "baseline_mdape")  # fmt: skip


def rmse_log(actual: Floats, predicted: Floats) -> float:
    """Return the root mean squared error of the natural logarithm."""
    return float(np.sqrt(np.mean((np.log(predicted) - np.log(actual)) ** 2)))


def mdape(actual: Floats, predicted: Floats) -> float:
    """Return the median of |predicted / actual − 1|, a fraction."""
    return float(np.median(np.abs(predicted / actual - 1)))


def bias(actual: Floats, predicted: Floats) -> float:
    """Return the mean of predicted / actual − 1, a fraction; above zero is too dear."""
    return float(np.mean(predicted / actual - 1))


def coverage(actual: Floats, low: Floats, high: Floats) -> float:
    """Return the share of actual values inside their interval, ends included."""
    return float(np.mean((low <= actual) & (actual <= high)))


def interval_width(predicted: Floats, low: Floats, high: Floats) -> float:
    """Return the median of the interval's width relative to the prediction."""
    return float(np.median((high - low) / predicted))


def cod(actual: Floats, predicted: Floats) -> float:
    """Return the coefficient of dispersion of the ratios predicted / actual, in percent.

    Source, also of prd and prb: IAAO (2013), Standard on Ratio Studies.
    """
    ratio = predicted / actual
    middle = np.median(ratio)
    return float(100 * np.mean(np.abs(ratio - middle)) / middle)


def prd(actual: Floats, predicted: Floats) -> float:
    """Return the price-related differential; above 1.03 dear houses are priced too low beside cheap ones."""
    return float(np.mean(predicted / actual) / (np.sum(predicted) / np.sum(actual)))


def prb(actual: Floats, predicted: Floats) -> float:
    """Return the price-related bias: the relative change of the ratio when the value doubles."""
    ratio = predicted / actual
    middle = np.median(ratio)
    doublings = np.log2((predicted / middle + actual) / 2)
    centred = doublings - np.mean(doublings)
    return float(np.sum(centred * (ratio / middle - 1)) / np.sum(centred**2))


def scores(actual: Floats, predicted: Floats, low: Floats, high: Floats) -> dict[str, float]:
    """Return all metrics of one set of rows, rounded: money to cents, the rest to six decimals."""
    error = predicted - actual
    money = {"rmse": np.sqrt(np.mean(error**2)), "mae": np.mean(np.abs(error))}
    plain = {
        "mdape": mdape(actual, predicted),
        "r2": 1 - np.sum(error**2) / np.sum((actual - np.mean(actual)) ** 2),
        "rmse_log": rmse_log(actual, predicted),
        "bias": bias(actual, predicted),
        "coverage": coverage(actual, low, high),
        "interval_width": interval_width(predicted, low, high),
        "cod": cod(actual, predicted),
        "prd": prd(actual, predicted),
        "prb": prb(actual, predicted),
    }
    return rounded(money, 2) | rounded(plain, 6)


def rounded(values: Mapping[str, float | np.floating], decimals: int) -> dict[str, float]:
    """Return the values rounded; adding 0.0 turns a negative zero into a zero."""
    return {name: round(float(value), decimals) + 0.0 for name, value in values.items()}


def slice_scores(actual: Floats, predicted: Floats, low: Floats, high: Floats) -> dict[str, float]:
    """Return the metrics of one slice, rounded to six decimals."""
    return rounded(
        {
            "mdape": mdape(actual, predicted),
            "rmse_log": rmse_log(actual, predicted),
            "bias": bias(actual, predicted),
            "coverage": coverage(actual, low, high),
        },
        6,
    )
