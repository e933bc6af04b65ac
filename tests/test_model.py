"""Test that the model learns: what it can fit, what moves it, and what must not."""

import math

import numpy as np
import pytest
from samples import DOUBT, MODEL

from hearth.errors import Refusal
from hearth.intervals import half_width
from hearth.model import LOG_DECIMALS, Fitted, ModelParams, fit, log_price
from hearth.splitting import rolling_origin
from hearth.strict import parse

RANDOM = np.random.default_rng(20150301)
INPUTS = RANDOM.normal(size=(120, 4)).astype(np.float32)
PRICE = np.round(np.exp(13 + 0.4 * INPUTS[:, 0] + 0.2 * INPUTS[:, 1] ** 2 + RANDOM.normal(0, 0.05, 120)))
DAYS = np.datetime64("2014-05-02") + np.sort(RANDOM.integers(0, 300, 120))


def fitted(inputs: np.ndarray = INPUTS, price: np.ndarray = PRICE, **params: object) -> Fitted:
    return fit(inputs, price, DAYS, MODEL.model_copy(update=params), DOUBT)


def loss(model: Fitted) -> float:
    return float(np.mean((model.log_price(INPUTS) - log_price(PRICE)) ** 2))


def test_it_overfits_a_tiny_set() -> None:
    """A model that cannot learn a hundred rows by heart is not connected to its inputs."""
    model = fitted(learning_rate=0.5, iterations=150, leaves=40, rows_per_leaf=1, l2=0.0, features_per_split=1.0)
    assert loss(model) < 1e-6
    assert loss(model) < 1e-4 * np.var(log_price(PRICE))


def test_more_iterations_lower_the_training_loss() -> None:
    losses = [loss(fitted(iterations=iterations)) for iterations in (1, 5, 25, 100)]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > 5 * losses[-1]


def test_the_first_guess_is_no_better_than_the_mean_price() -> None:
    """Loss at the start is the variance of the log price, as it should be for squared error."""
    model = fitted(iterations=1, learning_rate=1e-6)
    assert loss(model) == pytest.approx(np.var(log_price(PRICE)), rel=1e-3)


def test_without_a_signal_nothing_is_found() -> None:
    """Prices in random order: predictions for unseen rows are no better than the mean."""
    shuffled = np.random.default_rng(1).permutation(PRICE)
    model = fit(INPUTS[:80], shuffled[:80], DAYS[:80], MODEL, DOUBT)
    unseen = np.mean((model.log_price(INPUTS[80:]) - log_price(shuffled[80:])) ** 2)
    assert unseen > 0.8 * np.var(log_price(shuffled[80:]))


def test_the_same_seed_gives_the_same_bytes() -> None:
    one, other = fitted(), fitted()
    assert one.graph() == other.graph()
    assert one.half_width == other.half_width


def test_another_seed_gives_another_model() -> None:
    assert fitted().graph() != fitted(seed=2).graph()


@pytest.mark.parametrize(
    "changed", [{"learning_rate": 0.1}, {"iterations": 24}, {"leaves": 4}, {"rows_per_leaf": 20}, {"l2": 50.0}, {"features_per_split": 1.0}], ids=str
)  # fmt: skip
def test_every_param_reaches_the_model(changed: dict[str, float]) -> None:
    assert fitted(**changed).graph() != fitted().graph()


def test_columns_are_told_apart() -> None:
    model = fitted()
    assert (model.log_price(INPUTS[:, [1, 0, 2, 3]]) != model.log_price(INPUTS)).mean() > 0.9


def test_inputs_and_prices_are_left_as_they_are() -> None:
    before = INPUTS.tobytes(), PRICE.tobytes()
    fitted()
    assert (INPUTS.tobytes(), PRICE.tobytes()) == before


@pytest.mark.parametrize("kind", [np.float64, np.int64, np.float32])
def test_the_type_of_the_price_does_not_matter(kind: type) -> None:
    assert log_price(np.array([100_000, 450_000]).astype(kind)).tolist() == [11.512925465, 13.017002862]


def test_the_logarithm_is_rounded_so_that_it_is_the_same_everywhere() -> None:
    found = log_price(PRICE)
    assert found.dtype == np.float64
    assert (found == np.round(found, LOG_DECIMALS)).all()
    assert np.abs(found - np.log(PRICE)).max() <= 0.5000001 * 10**-LOG_DECIMALS
    wobbled = np.log(PRICE) * (1 + np.spacing(1.0))  # what another kernel's logarithm might be
    assert (np.round(wobbled, LOG_DECIMALS) == found).all()
    assert (wobbled != np.log(PRICE)).any()


def test_the_interval_is_calibrated_on_rows_that_the_fit_had_not_seen() -> None:
    """A model that knows its rows by heart would otherwise promise intervals of no width."""
    model = fitted(learning_rate=0.5, iterations=150, leaves=40, rows_per_leaf=1, l2=0.0)
    seen = half_width(log_price(PRICE) - model.log_price(INPUTS), DOUBT.level)
    assert model.half_width > 20 * seen
    assert model.half_width > 0.04  # the noise in the prices alone


def test_the_interval_comes_from_the_newest_folds_only() -> None:
    """Prices of the newest rows, made wild, widen it; so much for old rows does not."""
    newest = np.concatenate([judge for _, judge in rolling_origin(DAYS, DOUBT.folds, DOUBT.fold_days)])
    wild = PRICE.copy()
    wild[newest] *= np.exp(np.random.default_rng(3).normal(0, 1, len(newest)))
    assert fitted(price=np.round(wild)).half_width > 3 * fitted().half_width


def test_the_half_width_is_rounded() -> None:
    width = fitted().half_width
    assert width == round(width, LOG_DECIMALS) > 0


def test_days_that_hold_no_fold_are_refused() -> None:
    with pytest.raises(ValueError, match="2 folds of 30 days do not fit"):
        fit(INPUTS, PRICE, np.full(120, np.datetime64("2014-05-02")), MODEL, DOUBT)


def test_log_prices_are_floats_in_the_rows_order() -> None:
    model = fitted()
    found = model.log_price(INPUTS)
    assert (found.shape, found.dtype, model.n_features) == ((120,), np.float64, 4)
    assert found[::-1].tolist() == model.log_price(INPUTS[::-1]).tolist()
    assert math.isfinite(found.sum())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("learning_rate", 0), ("learning_rate", 1.1), ("iterations", 0), ("iterations", 20001), ("iterations", 10.0),
        ("leaves", 1), ("leaves", 1001), ("rows_per_leaf", 0), ("l2", -0.1), ("features_per_split", 0),
        ("features_per_split", 1.1), ("seed", -1), ("seed", 2**32), ("l2", math.nan), ("iterations", True),
    ],
)  # fmt: skip
def test_impossible_params_are_refused(key: str, value: object) -> None:
    with pytest.raises(Refusal, match=rf"^params\.yaml: model\.{key} is {value}, wanted "):
        parse(ModelParams, MODEL.model_dump() | {key: value}, "params.yaml: model")
