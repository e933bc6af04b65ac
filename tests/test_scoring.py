"""Test each metric by hand and against scikit-learn, and that rounding is the same everywhere."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics

from hearth.scoring import (
    KEYS,
    bias,
    cod,
    coverage,
    interval_width,
    mdape,
    prb,
    prd,
    rmse_log,
    rounded,
    scores,
    slice_scores,
)

ACTUAL = np.array([100.0, 200.0, 400.0])
PREDICTED = np.array([110.0, 200.0, 360.0])  # ratios 1.1, 1, 0.9


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        pytest.param(mdape, 0.1, id="mdape: the median of 0.1, 0 and 0.1"),
        pytest.param(bias, 0.0, id="bias: the mean of 0.1, 0 and -0.1"),
        pytest.param(rmse_log, math.sqrt((math.log(1.1) ** 2 + math.log(0.9) ** 2) / 3), id="rmse_log"),
        pytest.param(cod, 20 / 3, id="cod: 100 × the mean of 0.1, 0 and 0.1"),
        pytest.param(prd, 700 / 670, id="prd: mean ratio 1, weighted ratio 670 / 700"),
        # values (p / 1 + a) / 2 are 105, 200, 380; in doublings 6.714246, 7.643856, 8.569856, their mean 7.642652
        pytest.param(prb, -0.107781, id="prb: slope of (0.1, 0, -0.1) on the doublings"),
    ],
)  # fmt: skip
def test_by_hand(metric: Callable[[np.ndarray, np.ndarray], float], expected: float) -> None:
    assert metric(ACTUAL, PREDICTED) == pytest.approx(expected, abs=1e-6)


def test_prb_is_the_slope_of_a_regression() -> None:
    random = np.random.default_rng(4)
    actual = np.exp(random.normal(13, 0.5, 300))
    predicted = actual**0.8 * np.exp(random.normal(2.6, 0.1, 300))
    ratio = predicted / actual
    value = np.log2((predicted / np.median(ratio) + actual) / 2)
    slope, _ = np.polyfit(value, ratio / np.median(ratio) - 1, 1)
    assert prb(actual, predicted) == pytest.approx(slope, rel=1e-9)
    assert prb(actual, predicted) < -0.01  # dear houses too low


def test_dear_houses_priced_low_raise_prd_and_lower_prb() -> None:
    actual = np.array([1e5, 2e5, 4e5, 8e5])
    assert prd(actual, actual * [1.1, 1.0, 1.0, 0.9]) > 1.03
    assert prb(actual, actual * [1.1, 1.0, 1.0, 0.9]) < 0
    assert prb(actual, actual * [0.9, 1.0, 1.0, 1.1]) > 0


def test_coverage_counts_the_ends() -> None:
    assert coverage(ACTUAL, np.array([100.0, 201.0, 1.0]), np.array([120.0, 300.0, 400.0])) == pytest.approx(2 / 3)


def test_interval_width_is_relative_to_the_prediction() -> None:
    assert interval_width(PREDICTED, PREDICTED * [0.9, 0.8, 0.5], PREDICTED * [1.1, 1.2, 1.5]) == pytest.approx(0.4)


@pytest.fixture(scope="module")
def many() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(11)
    actual = np.exp(random.normal(13, 0.5, 1000))
    return actual, actual * np.exp(random.normal(0.02, 0.2, 1000))


def test_scores_agree_with_scikit_learn(many: tuple[np.ndarray, np.ndarray]) -> None:
    actual, predicted = many
    found = scores(actual, predicted, predicted * 0.8, predicted * 1.2)
    expected = {
        "rmse": metrics.root_mean_squared_error(actual, predicted),
        "mae": metrics.mean_absolute_error(actual, predicted),
        "r2": metrics.r2_score(actual, predicted),
        "rmse_log": metrics.root_mean_squared_error(np.log(actual), np.log(predicted)),
        "mdape": metrics.median_absolute_error(np.ones(1000), predicted / actual),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=0.005 if name in ("rmse", "mae") else 5e-7), name


def test_scores_are_all_keys_that_are_not_counts_or_the_baselines(many: tuple[np.ndarray, np.ndarray]) -> None:
    actual, predicted = many
    found = scores(actual, predicted, predicted, predicted)
    assert list(found) == [name for name in KEYS if not name.startswith(("rows_", "baseline_"))]


def test_perfect_predictions_score_perfectly() -> None:
    found = scores(ACTUAL, ACTUAL, ACTUAL, ACTUAL)
    perfect = {"r2": 1.0, "coverage": 1.0, "prd": 1.0}
    assert found == {name: perfect.get(name, 0.0) for name in found}


def test_money_is_rounded_to_cents_and_the_rest_to_six_decimals(many: tuple[np.ndarray, np.ndarray]) -> None:
    actual, predicted = many
    for name, value in scores(actual, predicted, predicted * 0.8, predicted * 1.2).items():
        assert value == round(value, 2 if name in ("rmse", "mae") else 6), name
        assert type(value) is float


@pytest.mark.parametrize("value", [-0.0, -1e-9, np.float64(-4e-7)])
def test_there_is_no_negative_zero(value: float) -> None:
    """-0.0 and 0.0 are equal, and yet two texts in metrics.json."""
    assert math.copysign(1, rounded({"bias": value}, 6)["bias"]) == 1


def test_the_scores_of_a_slice_are_those_of_all_rows() -> None:
    whole = scores(ACTUAL, PREDICTED, PREDICTED * 0.8, PREDICTED * 1.2)
    found = slice_scores(ACTUAL, PREDICTED, PREDICTED * 0.8, PREDICTED * 1.2)
    assert found == {name: whole[name] for name in ("mdape", "rmse_log", "bias", "coverage")}


def test_the_order_of_rows_moves_no_score(many: tuple[np.ndarray, np.ndarray]) -> None:
    actual, predicted = many
    turned = np.random.default_rng(2).permutation(1000)
    before = scores(actual, predicted, predicted * 0.8, predicted * 1.2)
    after = scores(actual[turned], predicted[turned], predicted[turned] * 0.8, predicted[turned] * 1.2)
    assert after == pytest.approx(before, abs=0.011)
