"""Test that each kind of boosting learns, is moved by each of its params, and hands on the trees that it has."""

import math
from typing import Any

import numpy as np
import pytest
from samples import params
from test_graph import rows

from hearth import estimators
from hearth.errors import Refusal
from hearth.estimators import CatBoostParams, Floats, Grown, HistParams, Inputs, LightGBMParams, grow
from hearth.model import ModelParams
from hearth.strict import parse

AnyParams = HistParams | LightGBMParams | CatBoostParams

SHARED: dict[str, Any] = {"loss": "squared", "weight": 1.0, "iterations": 20, "learning_rate": 0.3, "l2": 1.0,
                          "features_per_split": 0.6, "seed": 1}  # fmt: skip
KINDS: dict[str, AnyParams] = {
    "hist": HistParams(kind="hist", leaves=8, rows_per_leaf=5, **SHARED),
    "lightgbm": LightGBMParams(kind="lightgbm", leaves=8, rows_per_leaf=5, rows_per_tree=0.7, **SHARED),
    "catboost": CatBoostParams(kind="catboost", depth=3, rows_per_tree=0.7, **SHARED),
}
BY_HEART: dict[str, dict[str, Any]] = {
    "hist": {"leaves": 40, "rows_per_leaf": 1},
    "lightgbm": {"leaves": 40, "rows_per_leaf": 1, "rows_per_tree": 1.0},
    "catboost": {"depth": 6, "rows_per_tree": 1.0},
}
EXACT = 1e-12
RANDOM = np.random.default_rng(20150301)
INPUTS = RANDOM.normal(size=(120, 4)).astype(np.float32)
TARGET = np.round(13 + 0.4 * INPUTS[:, 0] + 0.2 * INPUTS[:, 1] ** 2 + RANDOM.normal(0, 0.05, 120), 6)

each_kind = pytest.mark.parametrize("kind", KINDS)
each_loss = pytest.mark.parametrize("loss", ["squared", "absolute"])


def fit(kind: str, inputs: Inputs = INPUTS, target: Floats = TARGET, **other: Any) -> Grown:
    return grow(inputs, target, KINDS[kind].model_copy(update=other))


def error(found: Grown, loss: str = "squared") -> float:
    residual = found.predict(INPUTS) - TARGET
    return float(np.mean(residual**2 if loss == "squared" else np.abs(residual)))


def said(found: Grown) -> list[float]:
    values: list[float] = found.trees.predict(INPUTS).tolist()
    return values


@each_kind
def test_it_overfits_a_tiny_set(kind: str) -> None:
    """Trees that cannot learn a hundred rows by heart are not connected to their inputs."""
    found = fit(kind, learning_rate=0.5, iterations=200, l2=0.0, features_per_split=1.0, **BY_HEART[kind])
    assert error(found) < 1e-4 * np.var(TARGET)


@each_kind
@each_loss
def test_more_iterations_lower_the_training_loss(kind: str, loss: str) -> None:
    losses = [error(fit(kind, loss=loss, iterations=iterations), loss) for iterations in (1, 5, 25, 100)]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > 2 * losses[-1]


@each_kind
def test_the_first_guess_is_the_mean_or_the_median(kind: str) -> None:
    """A step of nearly nothing leaves what the boosting starts from; a few sales of palaces tell the two apart."""
    dear = TARGET + 5 * (np.arange(120) < 20)
    for loss, middle in (("squared", np.mean(dear)), ("absolute", np.median(dear))):
        guess = fit(kind, target=dear, loss=loss, iterations=1, learning_rate=1e-6).trees.predict(INPUTS)
        np.testing.assert_allclose(guess, middle, atol=0.02)
    assert abs(np.mean(dear) - np.median(dear)) > 0.5


@each_kind
@each_loss
def test_wild_targets_pull_the_mean_but_hardly_the_median(kind: str, loss: str) -> None:
    """What is fitted follows from the loss: one row in nine is 5 dearer for no reason that the inputs know."""
    wild = TARGET + 5 * (np.arange(120) % 9 == 0)
    smooth = {"iterations": 30, "learning_rate": 0.1, "features_per_split": 1.0}
    slow = {"rows_per_leaf": 30} if kind != "catboost" else {"depth": 1, "l2": 100.0}
    pulled = float(np.mean(fit(kind, target=wild, loss=loss, **smooth, **slow).predict(INPUTS) - TARGET))
    assert (pulled > 0.4) == (loss == "squared")
    assert pulled < 0.25 or loss == "squared"


@each_kind
@each_loss
def test_the_same_seed_gives_the_same_trees_to_the_last_bit(kind: str, loss: str) -> None:
    one, other = fit(kind, loss=loss).trees, fit(kind, loss=loss).trees
    assert one.base == other.base
    assert len(one.trees) == len(other.trees) > 0
    for tree, again in zip(one.trees, other.trees, strict=True):
        assert all(getattr(tree, part).tobytes() == getattr(again, part).tobytes() for part in vars(tree))


@each_kind
def test_another_seed_gives_other_trees(kind: str) -> None:
    assert said(fit(kind, seed=2)) != said(fit(kind))


@pytest.mark.parametrize(
    ("kind", "key"), [(kind, key) for kind, chosen in KINDS.items() for key in type(chosen).model_fields if key not in ("kind", "weight")]
)  # fmt: skip
def test_every_param_reaches_the_trees(kind: str, key: str) -> None:
    others = {"loss": "absolute", "iterations": 19, "learning_rate": 0.1, "l2": 50.0, "features_per_split": 1.0, "seed": 2,
              "leaves": 4, "rows_per_leaf": 20, "rows_per_tree": 1.0, "depth": 2}  # fmt: skip
    assert said(fit(kind, **{key: others[key]})) != said(fit(kind))


@each_kind
def test_the_weight_is_none_of_the_trees_business(kind: str) -> None:
    assert said(fit(kind, weight=7.0)) == said(fit(kind))


@pytest.mark.parametrize(("kind", "most"), [("hist", 8), ("lightgbm", 8), ("catboost", 2**3)])
def test_trees_have_as_many_leaves_as_they_may(kind: str, most: int) -> None:
    found = fit(kind).trees
    assert max(len(tree.value) for tree in found.trees) == most
    assert all(len(tree.value) == len(tree.feature) + 1 for tree in found.trees)
    assert len(found.trees) == 20


@each_kind
@each_loss
@pytest.mark.parametrize("seen", [0.0, 0.2], ids=["no empty cell in training", "empty cells in training"])
@pytest.mark.parametrize("asked", [0.0, 0.3, 1.0], ids=["none asked", "some asked", "nothing but empty cells asked"])
def test_the_trees_handed_on_are_the_librarys(kind: str, loss: str, seen: float, asked: float) -> None:
    inputs = rows(400, 1, seen)
    filled = np.nan_to_num(inputs.astype(np.float64))
    target = np.sin(3 * filled[:, 0]) + filled[:, 2] + np.log1p(filled[:, 3]) / 5 + np.isnan(inputs[:, 0])
    found = fit(kind, inputs, target, loss=loss)
    fresh = rows(500, 2, asked)
    np.testing.assert_allclose(found.trees.predict(fresh), found.predict(fresh), rtol=0, atol=EXACT)


@pytest.mark.parametrize("kind", ["hist", "lightgbm"])
def test_empty_cells_go_either_way_in_these_trees(kind: str) -> None:
    """Otherwise the test above could not tell the ways apart. CatBoost's go left, as it was told."""
    inputs = rows(400, 1, 0.2)
    target = np.isnan(inputs[:, 0]) + np.nan_to_num(inputs[:, 0]) - 2.0 * np.isnan(inputs[:, 1])
    ways = {bool(way) for tree in fit(kind, inputs, target).trees.trees for way in tree.missing_left}
    assert ways == {True, False}


def test_an_empty_cell_that_lightgbm_never_saw_counts_as_zero() -> None:
    found = fit("lightgbm", rows(400, 1), np.sin(3 * rows(400, 1)[:, 0]).astype(np.float64))
    asked = rows(300, 2)
    for column in range(5):
        empty, zero = asked.copy(), asked.copy()
        empty[:, column], zero[:, column] = np.nan, 0.0
        assert found.trees.predict(empty).tolist() == found.trees.predict(zero).tolist()
    assert found.trees.predict(empty).tolist() != found.trees.predict(asked).tolist()


def test_a_deep_chain_of_splits_is_handed_on() -> None:
    """A tree of a thousand leaves may hang on one thread, as deep as Python's own stack."""
    node: dict[str, Any] = {"leaf_index": 0, "leaf_value": 0.0}
    for depth in range(1500):
        leaf = {"leaf_index": depth + 1, "leaf_value": float(depth + 1)}
        node = {"split_index": 1499 - depth, "split_feature": 0, "threshold": float(depth), "default_left": True,
                "missing_type": "NaN", "left_child": node, "right_child": leaf}  # fmt: skip
    tree = estimators._lightgbm_tree(node)
    assert isinstance(tree, estimators.Tree)
    asked = np.array([[-1.0], [0.0], [0.5], [700.0], [1498.5], [2000.0], [np.nan]])
    assert estimators.Ensemble((tree,), 0.0).predict(asked).tolist() == [0, 0, 1, 700, 1499, 1500, 0]


@each_kind
@each_loss
def test_a_target_of_one_value_is_refused_in_words(kind: str, loss: str) -> None:
    with pytest.raises(
        ValueError, match=rf"^boosted trees \({kind}\) have nothing to learn: all 120 rows have the same target$"
    ):
        fit(kind, target=np.full(120, 13.0), loss=loss)


@each_kind
def test_inputs_without_a_difference_are_refused_in_words(kind: str) -> None:
    with pytest.raises(
        ValueError, match=r"a tree without a split, and no other tree|CatBoost cannot fit these 120 rows .*constant"
    ):
        fit(kind, np.ones((120, 4), dtype=np.float32))


@each_kind
def test_inputs_and_target_are_left_as_they_are(kind: str) -> None:
    before = INPUTS.tobytes(), TARGET.tobytes()
    fit(kind)
    assert (INPUTS.tobytes(), TARGET.tobytes()) == before


def test_catboost_leaves_no_file_behind(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the folder where it runs, where it likes to keep a diary, nor in that of scratch files."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    fit("catboost")
    assert [path.name for path in tmp_path.rglob("*")] == ["scratch"]


IMPOSSIBLE = [
    ("loss", "huber"), ("weight", 0), ("weight", math.inf), ("iterations", 0), ("iterations", 20_001), ("iterations", 10.0),
    ("iterations", True), ("learning_rate", 0), ("learning_rate", 1.1), ("l2", -0.1), ("l2", math.nan),
    ("features_per_split", 0), ("features_per_split", 1.1), ("seed", -1), ("seed", 2**31),
]  # fmt: skip
OWN = {
    "hist": [("leaves", 1), ("leaves", 1001), ("rows_per_leaf", 0)],
    "lightgbm": [("leaves", 1), ("leaves", 1001), ("rows_per_leaf", 0), ("rows_per_tree", 0), ("rows_per_tree", 1.1)],
    "catboost": [("depth", 0), ("depth", 11), ("rows_per_tree", 0), ("rows_per_tree", 1.1)],
}


@pytest.mark.parametrize(
    ("kind", "key", "value"), [(kind, *edit) for kind, own in OWN.items() for edit in [*IMPOSSIBLE, *own]]
)
def test_impossible_params_are_refused(kind: str, key: str, value: object) -> None:
    document = params("model") | {"members": {"mean": KINDS[kind].model_dump() | {key: value}}}
    with pytest.raises(Refusal) as caught:
        parse(ModelParams, document, "params.yaml: model")
    assert str(caught.value).startswith(f"params.yaml: model.members.mean.{key} is {value!r}, wanted ")


@each_kind
def test_the_params_above_are_possible(kind: str) -> None:
    """Otherwise the refusals could be for another reason."""
    document = params("model") | {"members": {"mean": KINDS[kind].model_dump()}}
    assert parse(ModelParams, document, "params.yaml: model").members == {"mean": KINDS[kind]}


@pytest.mark.parametrize(
    ("kind", "key"), [("hist", "depth"), ("lightgbm", "depth"), ("catboost", "leaves"), ("hist", "rows_per_tree")]
)
def test_a_param_of_another_kind_is_refused(kind: str, key: str) -> None:
    document = params("model") | {"members": {"mean": KINDS[kind].model_dump() | {key: 1}}}
    with pytest.raises(Refusal, match=rf"^params\.yaml: model\.members\.mean\.{key} is not a known key; remove it\.$"):
        parse(ModelParams, document, "params.yaml: model")
