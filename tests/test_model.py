"""Test that the model learns: what it can fit, what moves it, and what no row may know."""

import dataclasses
import datetime
import math
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from samples import DOUBT, MODEL, TREES, changed, columns, contract, fitted, params, recipe, whole_recipe

import hearth.model
from hearth.errors import Refusal
from hearth.estimators import CatBoostParams, LightGBMParams, grow
from hearth.features import input_names, model_inputs
from hearth.hedonic import HedonicParams
from hearth.intervals import conformal_quantile, normalised
from hearth.market import PriceIndex
from hearth.model import (
    LOG_DECIMALS,
    Blend,
    Fitted,
    IntervalParams,
    ModelParams,
    Prepared,
    Recipe,
    check_names,
    ensembles,
    fit,
    log_price,
    prepare,
)
from hearth.rules import Columns
from hearth.splitting import group_folds, rolling_origin
from hearth.strict import parse

SOLD = columns(400)
BY_HEART = {
    "learning_rate": 0.5,
    "iterations": 150,
    "leaves": 40,
    "rows_per_leaf": 1,
    "l2": 0.0,
    "features_per_split": 1.0,
}
LIGHTGBM = LightGBMParams(kind="lightgbm", rows_per_tree=0.8, **TREES.model_dump(exclude={"kind"}))
CATBOOST = CatBoostParams(kind="catboost", rows_per_tree=0.8, depth=3, **TREES.model_dump(exclude={"kind", "leaves", "rows_per_leaf"}))  # fmt: skip


def made(
    model: Mapping[str, Any] = MappingProxyType({}), member: Mapping[str, Any] = MappingProxyType({}), **sections: Any
) -> Recipe:
    """Return the tiny recipe with some keys of its model, or of its only member, changed."""
    members = {"mean": TREES.model_copy(update=member)} if member else MODEL.members
    return whole_recipe(model=MODEL.model_copy(update={"members": members, **model}), **sections)


@cache
def ready() -> Prepared:
    return prepare(SOLD, contract(), made())


def taken(known: Columns, rows: Any) -> dict[str, np.ndarray]:
    return {name: values[rows] for name, values in known.items()}


def with_prices(factor: np.ndarray | float) -> dict[str, np.ndarray]:
    return dict(SOLD) | {"price": np.round(SOLD["price"] * factor)}


def once(row: int, factor: float) -> np.ndarray:
    """Return factors of one but for one row."""
    return np.where(np.arange(400) == row, factor, 1.0)


def predicted(known: Prepared, chosen: Recipe, rows: Columns) -> np.ndarray:
    """Return log prices of rows by the trees grown on what was prepared."""
    inputs = model_inputs(rows, contract(), chosen.features, known.known)
    return known.offset(rows["date"], inputs) + ensembles(known, chosen)[0].predict(inputs)


def loss(**member: Any) -> float:
    """Return the training loss of trees on the prepared rows, no sale of which counts as an outlier."""
    price, _ = ensembles(ready(), made({"outlier_log": 100.0}, member))
    return float(np.mean((price.predict(ready().inputs) - ready().target) ** 2))


@pytest.fixture
def flat_market(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every fit the same index, so that a changed price reaches other rows through their neighbours only."""
    index = PriceIndex(last_knot=datetime.date(2015, 1, 1), knot_days=7, levels=(0.0,), slope=0.0, damping_days=0.0)
    monkeypatch.setattr(hearth.model, "fit_index", lambda *_: index)


# Learning


def test_it_overfits_a_tiny_set() -> None:
    """A model that cannot learn a few hundred rows by heart is not connected to its inputs."""
    assert loss(**BY_HEART) < 1e-6
    assert loss(**BY_HEART) < 1e-4 * np.var(ready().target)


def test_more_iterations_lower_the_training_loss() -> None:
    losses = [loss(iterations=iterations) for iterations in (1, 5, 25, 100)]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > 5 * losses[-1]


def test_the_first_guess_is_no_better_than_the_mean_price() -> None:
    """Loss at the start is the variance of the target, as it should be for squared error."""
    assert loss(iterations=1, learning_rate=1e-6) == pytest.approx(np.var(ready().target), rel=1e-3)


def test_later_sales_are_priced_much_better_than_by_the_mean() -> None:
    """A tenth of noise is planted in the prices; three hundred rows bring the error near to it."""
    order = np.argsort(SOLD["date"], kind="stable")
    older, newer = taken(SOLD, order[:300]), taken(SOLD, order[300:])
    error = predicted(prepare(older, contract(), made()), made(), newer) - log_price(newer["price"])
    assert np.mean(error**2) < 0.3 * np.var(log_price(newer["price"]))
    assert np.std(error) > 0.09


def test_without_a_signal_nothing_is_found() -> None:
    """Prices in random order: predictions for unseen rows are no better than the mean."""
    order = np.argsort(SOLD["date"], kind="stable")
    shuffled = dict(SOLD) | {"price": np.random.default_rng(1).permutation(SOLD["price"])}
    older, newer = taken(shuffled, order[:300]), taken(shuffled, order[300:])
    error = predicted(prepare(older, contract(), made()), made(), newer) - log_price(newer["price"])
    assert np.mean(error**2) > 0.8 * np.var(log_price(newer["price"]))


def test_the_same_rows_and_seed_give_the_same_bytes() -> None:
    one, other = fitted(), fit(SOLD, contract(), whole_recipe())
    assert one is not other
    assert one.graph() == other.graph()
    assert (one.index, one.interval, one.n_inputs) == (other.index, other.interval, other.n_inputs)
    assert one.known.known.tobytes() == other.known.known.tobytes()


def test_columns_are_told_apart() -> None:
    price, _ = ensembles(ready(), made())
    assert (price.predict(ready().inputs[:, ::-1]) != price.predict(ready().inputs)).mean() > 0.9


def test_the_columns_are_left_as_they_are() -> None:
    known = {name: values.copy() for name, values in SOLD.items()}
    fit(known, contract(), whole_recipe())
    assert all((known[name] == values).all() for name, values in SOLD.items())


def test_a_fitted_model_has_an_input_for_each_name() -> None:
    names = input_names(contract(), recipe())
    assert fitted().n_inputs == ready().inputs.shape[1] == len(names)
    assert ready().inputs.dtype == np.float32
    assert ready().inputs[:, names.index("grade")].tolist() == SOLD["grade"].tolist()


# The log price


@pytest.mark.parametrize("kind", [np.float64, np.int64, np.float32])
def test_the_type_of_the_price_does_not_matter(kind: type) -> None:
    assert log_price(np.array([100_000, 450_000]).astype(kind)).tolist() == [11.512925465, 13.017002862]


def test_the_logarithm_is_rounded_so_that_it_is_the_same_everywhere() -> None:
    price = SOLD["price"]
    found = log_price(price)
    assert found.dtype == np.float64
    assert (found == np.round(found, LOG_DECIMALS)).all()
    assert np.abs(found - np.log(price)).max() <= 0.5000001 * 10**-LOG_DECIMALS
    wobbled = np.log(price) * (1 + np.spacing(1.0))  # what another kernel's logarithm might be
    assert (np.round(wobbled, LOG_DECIMALS) == found).all()
    assert (wobbled != np.log(price)).any()


# The market


RISE = 0.003  # log price per day
TWO_GROUPS = {"hedonic": whole_recipe().hedonic.model_copy(update={"group": "waterfront"})}


def rising() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the sales of the first 240 days and those of the last 60, in a market that rises all the while."""
    since = (SOLD["date"] - SOLD["date"].min()).astype(np.float64)
    known = with_prices(np.exp(RISE * since))
    return taken(known, since < 240), taken(known, since >= 240)


def bias(damping_days: float) -> float:
    older, newer = rising()
    chosen = made(market=whole_recipe().market.model_copy(update={"damping_days": damping_days}), **TWO_GROUPS)
    return float(np.mean(predicted(prepare(older, contract(), chosen), chosen, newer) - log_price(newer["price"])))


def test_later_days_follow_a_market_that_rises() -> None:
    """Nine percent on average over two months; trees alone know no day after the last, so they stay behind by as much."""
    assert bias(damping_days=0.0) < -0.06
    assert abs(bias(damping_days=60.0)) < 0.045
    assert bias(damping_days=0.0) < bias(damping_days=60.0) - 0.03


def test_the_index_is_in_what_the_trees_learn_from_once() -> None:
    """Prices are the offset and the target, to the last digit; the index in it rises as was planted."""
    older, _ = rising()
    known = prepare(older, contract(), made(**TWO_GROUPS))
    np.testing.assert_allclose(
        known.offset(older["date"], known.inputs) + known.target, log_price(older["price"]), rtol=0, atol=1e-12
    )
    days = older["date"].min() + np.array([30, 200])
    assert np.diff(known.index.level(days))[0] == pytest.approx(170 * RISE, rel=0.15)


# What a row may not know: its own price, nor that of another sale of its house


def of_neighbours(known: Prepared) -> np.ndarray:
    return known.inputs[:, [name.startswith("neighbours_") for name in input_names(contract(), recipe())]]


def crowded() -> dict[str, np.ndarray]:
    """Return the sales with forty houses at each of ten places, so that all of a place are neighbours."""
    place = np.arange(400) % 10
    return dict(SOLD) | {"lat": 47.2 + 0.05 * place, "long": -122.4 + 0.1 * place}


def test_a_rows_inputs_do_not_know_its_own_price(flat_market: None) -> None:
    """To the last bit, for ten rows in turn; those beside it do know it, so the test can see."""
    known = crowded()
    usual = prepare(known, contract(), made()).inputs
    for row in range(0, 400, 40):
        wild = prepare(known | {"price": np.round(known["price"] * once(row, 20.0))}, contract(), made()).inputs
        assert wild[row].tobytes() == usual[row].tobytes()
        moved = (wild != usual).any(axis=1)
        assert moved[np.arange(400) % 10 == row % 10].sum() > 10


def resold(gap: int) -> dict[str, np.ndarray]:
    """Return the sales, of which row 1 is another sale of row 0's house, rebuilt in between, `gap` days later."""
    known = {name: values.copy() for name, values in crowded().items()}
    for values in known.values():
        values[1] = values[0]
    known["date"][1] += gap
    known["grade"][1] = known["grade"][0] - 1  # not alike any more, so that only the key tells that it is the house
    return known


def test_a_rows_inputs_do_not_know_another_sale_of_its_house(flat_market: None) -> None:
    known = resold(30)
    assert known["id"][0] == known["id"][1]
    wild = known | {"price": np.round(known["price"] * once(1, 20.0))}
    usual, other = prepare(known, contract(), made()).inputs, prepare(wild, contract(), made()).inputs
    assert other[0].tobytes() == usual[0].tobytes()
    moved = []
    for key in (
        known["id"][[20, 90, 160, 230, 300]] + 0.5
    ):  # under a key of its own the rebuilt house is a neighbour, unless it is in the same fold
        stranger = {"id": np.where(np.arange(400) == 1, key, known["id"])}
        usual, other = (prepare(sold | stranger, contract(), made()).inputs for sold in (known, wild))
        moved.append(other[0].tobytes() != usual[0].tobytes())
    assert any(moved)


@pytest.mark.parametrize("way", [5.0, -5.0])
def test_what_a_wild_sale_tells_its_neighbours_ends_at_the_limit(flat_market: None, way: float) -> None:
    """A gift, or a slip, is known as a sale `outlier_log` away from houses alike in its group; others stay as they were."""

    def residual(limit: float) -> np.ndarray:
        near = params("features")["neighbours"] | {"outlier_log": limit}
        known = prepare(with_prices(once(7, math.exp(way))), contract(), made(features=recipe(neighbours=near))).known
        assert known is not None
        return known.known[:, -1]

    free, held = residual(100.0), residual(0.4)
    group = SOLD["zipcode"] == SOLD["zipcode"][7]
    level = free[group].mean()  # to which the wild one belongs
    assert abs(free[7] - level) > 2
    assert held[7] - level == pytest.approx(math.copysign(0.4, way), abs=2e-6)
    for zipcode in np.unique(SOLD["zipcode"][~group]):
        others = SOLD["zipcode"] == zipcode
        calm = others & (np.abs(free - free[others].mean()) < 0.4 - 1e-5)
        assert held[calm].tolist() == free[calm].tolist()
        assert calm.any()


def test_leave_one_out_would_let_trees_read_a_rows_price_off_its_neighbours(flat_market: None) -> None:
    """The negative proof: at one place, the mean of all others is the lower, the dearer the row itself.

    Trees with that mean price a row's own noise, which no honest input tells; with the folds' means they hardly do.
    """
    known = crowded() | {"price": np.round(np.exp(np.random.default_rng(5).normal(13, 0.3, 400)))}
    chosen = made({"neighbour_folds": 10})
    prepared = prepare(known, contract(), chosen)
    names = [name for name in input_names(contract(), recipe()) if name.startswith("neighbours_")]
    near = names.index("neighbours_near")
    left = prepared.known.known[:, -1]
    places = np.arange(400) % 10

    def told(means: np.ndarray) -> float:
        """Return the mean correlation, place by place, of what is said of a house with what it cost."""
        return float(
            np.mean([np.corrcoef(means[places == place, near], left[places == place])[0, 1] for place in range(10)])
        )

    leave_one_out = prepared.known.inputs(known, "date")[:, : len(names)]
    assert told(leave_one_out) < -0.95
    assert told(of_neighbours(prepared)) > -0.75

    def explained(means: np.ndarray) -> float:
        """Return the share of a row's noise that trees fitted on other rows find in its place and its mean."""
        inputs = np.column_stack([places, means[:, near]]).astype(np.float32)
        guess = np.empty(400)
        for older, judge in group_folds(np.arange(400), 5, 1):
            trees = grow(
                inputs[older], left[older], TREES.model_copy(update={"features_per_split": 1.0, "iterations": 100})
            )
            guess[judge] = trees.predict(inputs[judge])
        return 1 - float(np.var(left - guess) / np.var(left))

    assert explained(leave_one_out) > 0.5
    assert explained(of_neighbours(prepared)) < explained(leave_one_out) - 0.3


@pytest.mark.parametrize(("gap", "flags"), [(30, [0.0, 1.0]), (-30, [1.0, 0.0]), (0, [0.0, 0.0])])
def test_an_earlier_sale_of_the_house_is_marked_though_its_price_is_not_known(gap: int, flags: list[float]) -> None:
    known = resold(gap)
    known["grade"][1] = known["grade"][0]
    assert prepare(known, contract(), made()).inputs[:2, -1].tolist() == flags


def test_a_row_is_priced_out_of_fold_by_trees_that_have_not_seen_it(flat_market: None) -> None:
    """Without neighbours nothing else carries a price from row to row: its own wild price does not move its guess."""
    alone = made(features=recipe(neighbours=None))
    usual = prepare(SOLD, contract(), alone)
    assert usual.known is None
    for row in (0, 123, 399):
        wild = prepare(with_prices(once(row, 20.0)), contract(), alone)
        before, after = (p.out_of_fold + p.offset(SOLD["date"], p.inputs) for p in (usual, wild))
        assert after[row] == pytest.approx(before[row], abs=1e-12)
        assert (np.abs(after - before) > 1e-3).sum() > 50
    seen = ensembles(usual, alone)[0].predict(usual.inputs)
    assert np.mean((usual.target - usual.out_of_fold) ** 2) > 1.3 * np.mean((usual.target - seen) ** 2)


def test_one_house_alone_cannot_be_priced_without_itself() -> None:
    with pytest.raises(
        ValueError, match=r"^model\.out_of_fold\.folds leaves rows unpriced: too few houses; use more rows$"
    ):
        prepare(dict(SOLD) | {"id": np.ones(400)}, contract(), made())


def test_a_house_is_told_by_all_of_its_keys() -> None:
    both = changed({"zipcode": {"role": "key"}})
    known = {"id": np.array([1.0, 1, 2, 2, 1]), "zipcode": np.array([98001, 98002, 98001, 98001, 98001])}
    found = hearth.model._houses(known, both)
    assert found.shape == (5,)
    assert [(found == house).tolist() for house in found[:3]] == [
        [True, False, False, False, True], [False, True, False, False, False], [False, False, True, True, False]
    ]  # fmt: skip
    assert hearth.model._houses(known, contract()).tolist() == [1, 1, 2, 2, 1]


# Wild sales


def wild_by(height: float) -> Prepared:
    return dataclasses.replace(ready(), target=ready().target + height * (np.arange(400) == 7))


def pull(limit: float, height: float) -> float:
    """Return how far one wild sale moves the price of its house."""
    chosen = made({"outlier_log": limit}, {"features_per_split": 1.0})
    usual, wild = (ensembles(known, chosen)[0].predict(ready().inputs) for known in (ready(), wild_by(height)))
    return float(np.abs(wild - usual)[7])


def test_a_wild_sale_counts_as_no_further_than_outlier_log() -> None:
    assert pull(0.5, 5.0) == pull(0.5, 50.0)
    assert 0 < pull(0.5, 5.0) < pull(100.0, 5.0) / 3


def test_a_wild_sale_is_cut_to_either_side_of_what_its_house_was_priced_at() -> None:
    """Trees that know rows by heart show the very value that they were given."""
    chosen = made({"outlier_log": 0.5}, BY_HEART)
    for height, expected in ((9.0, 0.5), (-9.0, -0.5)):
        found = ensembles(wild_by(height), chosen)[0].predict(ready().inputs)[7]
        assert found == pytest.approx(ready().out_of_fold[7] + expected, abs=0.01)


def test_a_calm_sale_is_left_as_it_is() -> None:
    furthest = np.abs(ready().target - ready().out_of_fold).max()
    loose, limit = made({"outlier_log": 100.0}), made({"outlier_log": float(furthest) + 1e-9})
    tight = made({"outlier_log": float(furthest) / 4})
    graphs = [
        ensembles(ready(), chosen)[0].trees().predict(ready().inputs).tolist() for chosen in (loose, limit, tight)
    ]
    assert graphs[0] == graphs[1] != graphs[2]


def test_an_absolute_loss_needs_no_cutting() -> None:
    absolute = {"members": {"median": TREES.model_copy(update={"loss": "absolute"})}}
    one, other = (
        ensembles(wild_by(5.0), made(absolute | {"outlier_log": limit}))[0].predict(ready().inputs)
        for limit in (0.1, 100.0)
    )
    assert one.tolist() == other.tolist()


# Members


MEMBERS = {"one": TREES, "two": LIGHTGBM, "three": CATBOOST}


@cache
def blend(*weights: float) -> Blend:
    members = {
        name: member.model_copy(update={"weight": weight})
        for (name, member), weight in zip(MEMBERS.items(), weights, strict=True)
    }
    return ensembles(ready(), made({"members": members, "outlier_log": 100.0}))[0]


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (3.0, 1.0, 0.5), (1e-6, 1.0, 1e-6)], ids=str)
def test_the_blend_is_its_members_mean_by_weight(weights: tuple[float, float, float]) -> None:
    alone = [grow(ready().inputs, ready().target, member).predict(ready().inputs) for member in MEMBERS.values()]
    expected = np.average(alone, axis=0, weights=weights)
    np.testing.assert_allclose(blend(*weights).predict(ready().inputs), expected, rtol=0, atol=1e-12)


def test_weights_matter_but_not_their_scale() -> None:
    inputs = ready().inputs
    np.testing.assert_allclose(
        blend(2.0, 2.0, 2.0).predict(inputs), blend(1.0, 1.0, 1.0).predict(inputs), rtol=0, atol=1e-12
    )
    assert np.abs(blend(3.0, 1.0, 0.5).predict(inputs) - blend(1.0, 1.0, 1.0).predict(inputs)).max() > 0.01


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (3.0, 1.0, 0.5)], ids=str)
def test_the_blend_predicts_as_its_exported_trees_do(weights: tuple[float, float, float]) -> None:
    fresh = model_inputs(columns(200, seed=9), contract(), recipe(), ready().known)
    fresh[::7, 2] = np.nan
    np.testing.assert_allclose(
        blend(*weights).trees().predict(fresh), blend(*weights).predict(fresh), rtol=0, atol=1e-12
    )


# Intervals


def test_the_spread_is_learned_from_errors_out_of_fold() -> None:
    expected = grow(ready().inputs, np.abs(ready().target - ready().out_of_fold), DOUBT.spread).predict(ready().inputs)
    assert ensembles(ready(), made())[1].predict(ready().inputs).tolist() == expected.tolist()


def factor(known: Columns, **member: Any) -> float:
    return fit(known, contract(), made(member=member)).interval.factor


def test_the_factor_is_that_of_fits_on_the_rows_before_each_fold() -> None:
    """By hand, from the same parts: each fold's rows are priced by a fit that ends the day before the fold."""
    scores = []
    for before, judge in rolling_origin(SOLD["date"], DOUBT.folds, DOUBT.fold_days):
        older, newer = taken(SOLD, before), taken(SOLD, judge)
        assert older["date"].max() < newer["date"].min()
        known = prepare(older, contract(), made())
        spread = ensembles(known, made())[1].predict(model_inputs(newer, contract(), recipe(), known.known))
        residual = log_price(newer["price"]) - predicted(known, made(), newer)
        scores.append(normalised(residual, spread, DOUBT.spread_min))
    expected = conformal_quantile(np.concatenate(scores), DOUBT.level)
    found = fitted().interval
    assert found.factor == round(found.factor, LOG_DECIMALS) == pytest.approx(expected, abs=1e-8)
    assert (found.level, found.margin, found.spread_min) == (DOUBT.level, DOUBT.margin, DOUBT.spread_min)


def test_a_model_that_knows_its_rows_by_heart_promises_no_narrow_intervals() -> None:
    chosen = made({"outlier_log": 100.0}, BY_HEART)
    found = fit(SOLD, contract(), chosen)
    inputs = ready().inputs
    price, spread = ensembles(ready(), chosen)
    seen = conformal_quantile(
        normalised(ready().target - price.predict(inputs), spread.predict(inputs), 0.01), DOUBT.level
    )
    assert found.interval.factor > 20 * seen


def test_wild_prices_in_the_newest_folds_widen_the_intervals() -> None:
    newest = np.concatenate([judge for _, judge in rolling_origin(SOLD["date"], DOUBT.folds, DOUBT.fold_days)])
    shake = np.zeros(400)
    shake[newest] = np.random.default_rng(3).normal(0, 1, len(newest))
    assert factor(with_prices(np.exp(shake))) > 3 * fitted().interval.factor


def test_days_that_hold_no_fold_are_refused() -> None:
    one_day = dict(SOLD) | {"date": np.full(400, np.datetime64("2014-05-02"))}
    with pytest.raises(ValueError, match="2 folds of 30 days do not fit"):
        fit(one_day, contract(), made())


def test_too_few_rows_for_the_level_are_refused() -> None:
    doubt = DOUBT.model_copy(update={"level": 0.999})
    with pytest.raises(ValueError, match=r"residuals are too few for intervals at the level 0\.999"):
        fit(SOLD, contract(), made(intervals=doubt))


# Params


def of(chosen: Recipe) -> list[list[float]]:
    """Return all that the trees learn from, and what they learn."""
    known = prepare(SOLD, contract(), chosen)
    parts = (
        known.inputs[:, -5:].ravel(),
        known.target,
        known.out_of_fold,
        *(e.predict(known.inputs) for e in ensembles(known, chosen)),
    )
    return [part.tolist() for part in parts]


INPUT, TARGET, OUT_OF_FOLD, PRICE, SPREAD = range(5)


@pytest.mark.parametrize(
    ("chosen", "moved"),
    [
        pytest.param(lambda: made(member={"iterations": 24}), [PRICE], id="a member"),
        pytest.param(lambda: made({"outlier_log": 0.05}), [PRICE], id="outlier_log"),
        pytest.param(lambda: made({"neighbour_folds": 7}), [INPUT, OUT_OF_FOLD, PRICE, SPREAD], id="neighbour_folds"),
        pytest.param(lambda: made({"seed": 2}), [INPUT, OUT_OF_FOLD, PRICE, SPREAD], id="seed"),
        pytest.param(lambda: made({"out_of_fold": MODEL.out_of_fold.model_copy(update={"folds": 4})}), [OUT_OF_FOLD, SPREAD], id="folds out of fold"),
        pytest.param(lambda: made({"out_of_fold": MODEL.out_of_fold.model_copy(update={"trees": TREES.model_copy(update={"seed": 9})})}), [OUT_OF_FOLD, SPREAD], id="trees out of fold"),
        pytest.param(lambda: made(intervals=DOUBT.model_copy(update={"spread": TREES.model_copy(update={"seed": 9})})), [SPREAD], id="spread"),
        pytest.param(lambda: made(hedonic=whole_recipe().hedonic.model_copy(update={"penalty": 500.0})), [INPUT, TARGET, OUT_OF_FOLD, PRICE, SPREAD], id="hedonic"),
        pytest.param(lambda: made(market=whole_recipe().market.model_copy(update={"smoothing": 1.0})), [INPUT, TARGET, OUT_OF_FOLD, PRICE, SPREAD], id="market"),
        pytest.param(lambda: made(features=recipe(neighbours=params("features")["neighbours"] | {"count": 9})), [INPUT, OUT_OF_FOLD, PRICE, SPREAD], id="neighbours"),
        pytest.param(lambda: made(features=recipe(neighbours=params("features")["neighbours"] | {"outlier_log": 0.05})), [INPUT, OUT_OF_FOLD, PRICE, SPREAD], id="neighbours' outliers"),
    ],
)  # fmt: skip
def test_every_part_of_the_recipe_reaches_what_it_should_and_nothing_before_it(chosen: Any, moved: list[int]) -> None:
    usual, found = of(made()), of(chosen())
    assert {place for place in range(5) if usual[place] != found[place]} >= set(moved)
    assert [usual[place] == found[place] for place in range(min(moved))] == [True] * min(moved)


@pytest.mark.parametrize(
    "change", [{"level": 0.9}, {"folds": 3}, {"fold_days": 20}, {"margin": 0.1}, {"spread_min": 0.2}], ids=str
)
def test_every_param_of_the_intervals_reaches_them(change: dict[str, float]) -> None:
    found: Fitted = fit(SOLD, contract(), made(intervals=DOUBT.model_copy(update=change)))
    assert found.interval != fitted().interval
    assert found.graph() == fitted().graph()


@pytest.mark.parametrize(
    ("section", "kind", "edit", "said"),
    [
        ("model", ModelParams, {"members": {}}, "members is {}, wanted "),
        ("model", ModelParams, {"members": {"mean": {"kind": "forest"}}}, "members.mean.kind is 'forest', wanted "),
        ("model", ModelParams, {"outlier_log": 0}, "outlier_log is 0, wanted "),
        ("model", ModelParams, {"outlier_log": math.nan}, "outlier_log is nan, wanted "),
        ("model", ModelParams, {"neighbour_folds": 1}, "neighbour_folds is 1, wanted "),
        ("model", ModelParams, {"neighbour_folds": 51}, "neighbour_folds is 51, wanted "),
        ("model", ModelParams, {"out_of_fold": params("model")["out_of_fold"] | {"folds": 1}}, "out_of_fold.folds is 1, wanted "),
        ("model", ModelParams, {"out_of_fold": params("model")["out_of_fold"] | {"folds": 21}}, "out_of_fold.folds is 21, wanted "),
        ("model", ModelParams, {"seed": -1}, "seed is -1, wanted "),
        ("model", ModelParams, {"seed": 2**32}, "seed is 4294967296, wanted "),
        ("model", ModelParams, {"seed": True}, "seed is True, wanted "),
        ("model", ModelParams, {"iterations": 5}, "iterations is not a known key"),
        ("intervals", IntervalParams, {"level": 0.5}, "level is 0.5, wanted "),
        ("intervals", IntervalParams, {"spread_min": 0}, "spread_min is 0, wanted "),
    ],
)  # fmt: skip
def test_impossible_params_are_refused(section: str, kind: Any, edit: dict[str, Any], said: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse(kind, params(section) | edit, f"params.yaml: {section}")
    assert str(caught.value).startswith(f"params.yaml: {section}.{said}")


def hedonic(**edit: Any) -> HedonicParams:
    return whole_recipe().hedonic.model_copy(update=edit)


def test_the_shipped_names_are_columns_and_inputs() -> None:
    check_names(contract(), whole_recipe())
    assert len(whole_recipe().hedonic.inputs) > 1


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"inputs": ("grade", "size")}, r"^hedonic\.inputs: 'size' is none of the model's own inputs: bedrooms, "),
        ({"inputs": ("neighbours_near",)}, r"^hedonic\.inputs: 'neighbours_near' is none of the model's own inputs: "),
        ({"inputs": ("price",)}, r"^hedonic\.inputs: 'price' is none of the model's own inputs: "),
        ({"group": "price"}, r"^hedonic\.group: 'price' is no feature of the contract$"),
        ({"group": "age"}, r"^hedonic\.group: 'age' is no feature of the contract$"),
    ],
)
def test_names_that_are_none_are_refused(edit: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_names(contract(), made(hedonic=hedonic(**edit)))
