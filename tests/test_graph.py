"""Test that the exported graph answers as the fitted trees do: to the last bits, at each threshold, and without a value."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import samples  # noqa: F401 -- says one thread before the libraries load
from sklearn.ensemble import HistGradientBoostingRegressor

from hearth.estimators import CatBoostParams, Grown, HistParams, LightGBMParams, grow, of_hist
from hearth.graph import IR_VERSION, OPSETS, tree_graph
from hearth.levels import INPUT, OUTPUT
from hearth.masks import LEAVES_MAX, Masks, masks
from hearth.release import opened
from hearth.trees import Ensemble, weighted

FEATURES = 5
EXACT = 1e-12
SHARED: dict[str, Any] = {"loss": "squared", "weight": 1.0, "iterations": 40, "learning_rate": 0.1, "l2": 0.0,
                          "features_per_split": 1.0, "seed": 0}  # fmt: skip
KINDS: dict[str, HistParams | LightGBMParams | CatBoostParams] = {
    "hist": HistParams(kind="hist", leaves=12, rows_per_leaf=5, **SHARED),
    "lightgbm": LightGBMParams(kind="lightgbm", leaves=12, rows_per_leaf=5, rows_per_tree=0.8, **SHARED),
    "catboost": CatBoostParams(kind="catboost", depth=4, rows_per_tree=0.8, **SHARED),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def rows(count: int, seed: int, missing: float = 0.0) -> np.ndarray:
    """Return float32 rows: two columns of real numbers, one of few levels, one of large numbers, one of even numbers."""
    random = np.random.default_rng(seed)
    found = np.column_stack([
        random.normal(size=count),
        random.uniform(-1e-3, 1e-3, count),
        random.integers(0, 3, count),
        random.lognormal(12, 1, count),
        2 * random.integers(-20, 20, count),
    ]).astype(np.float32)  # fmt: skip
    found[random.random(found.shape) < missing] = np.nan
    return found


def target_of(inputs: np.ndarray) -> np.ndarray:
    filled = np.nan_to_num(inputs.astype(np.float64))
    return (
        np.sin(3 * filled[:, 0])
        + filled[:, 2]
        + np.log1p(filled[:, 3]) / 5
        + filled[:, 4] / 10
        + np.isnan(inputs[:, 0])
    )


@cache
def fit(kind: str, missing: float = 0.0, wide: bool = False, **settings: object) -> Grown:
    """Return a model of 800 rows; `wide`: of float64 rows, so that its thresholds are no float32."""
    inputs = rows(800, 1, missing)
    if wide:
        inputs = inputs.astype(np.float64) * (1 + 1e-9)
    return grow(inputs, target_of(inputs), KINDS[kind].model_copy(update=settings))


def graph(*models: Grown) -> bytes:
    return tree_graph([model.trees for model in models], FEATURES)


def answering(content: bytes, threads: int = 1) -> Callable[[np.ndarray], np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, {INPUT: inputs})[0]


def thresholds(model: Grown) -> np.ndarray:
    """Return (feature, threshold) of each split."""
    trees = model.trees.trees
    return np.column_stack([
        np.concatenate([tree.feature for tree in trees]), np.concatenate([tree.threshold for tree in trees])
    ])  # fmt: skip


def assert_same(model: Grown, inputs: np.ndarray) -> None:
    """Compare the graph with the library that grew the trees, not with what was made of them."""
    found = answering(graph(model))(inputs)
    assert (found.shape, found.dtype) == ((len(inputs), 1), np.float64)
    np.testing.assert_allclose(found[:, 0], model.predict(inputs), rtol=0, atol=EXACT)
    fast = opened(graph(model), FEATURES)
    np.testing.assert_allclose(fast(inputs)[:, 0], model.predict(inputs), rtol=0, atol=EXACT)
    some = inputs[:: max(1, len(inputs) // 50)]
    alone = np.concatenate([fast(row[None]) for row in some])
    assert alone.tobytes() == fast(some).tobytes()


@each_kind
@pytest.mark.parametrize("loss", ["squared", "absolute"])
def test_random_rows(kind: str, loss: str) -> None:
    assert_same(fit(kind, loss=loss), rows(3000, 2))


@pytest.mark.parametrize(
    ("kind", "wide", "share"), [("hist", False, (1, 1)), ("catboost", False, (1, 1)), ("hist", True, (0, 0.1)), ("lightgbm", False, (0, 0.2))],
    ids=["hist: thresholds are float32", "catboost: thresholds are float32", "hist: they are not", "lightgbm: most are not"],
)  # fmt: skip
@pytest.mark.parametrize("step", [-1, 0, 1], ids=["one float below", "nearest float", "one float above"])
def test_rows_at_every_threshold(step: int, kind: str, wide: bool, share: tuple[float, float]) -> None:
    """A graph that rounds thresholds to float32, or mixes up < and ≤, goes another way here."""
    model = fit(kind, wide=wide)
    splits = thresholds(model)
    values = splits[:, 1].astype(np.float32)
    exact = values.astype(np.float64) == splits[:, 1]
    assert share[0] <= exact.mean() <= share[1]
    if step:
        values = np.nextafter(values, np.float32(step * np.inf), dtype=np.float32)
    inputs = rows(len(splits), 3)
    inputs[np.arange(len(splits)), splits[:, 0].astype(int)] = values
    assert_same(model, inputs)


@each_kind
def test_thresholds_that_are_off_by_one_float_would_be_found(kind: str) -> None:
    """Moving each value at its threshold to the other side changes answers, so the test above can fail."""
    model = fit(kind)
    splits = thresholds(model)
    nearest = splits[:, 1].astype(np.float32)
    below = np.where(nearest <= splits[:, 1], nearest, np.nextafter(nearest, np.float32(-np.inf), dtype=np.float32))
    inputs = rows(len(splits), 3)
    inputs[np.arange(len(splits)), splits[:, 0].astype(int)] = below
    moved = inputs.copy()
    moved[np.arange(len(splits)), splits[:, 0].astype(int)] = np.nextafter(below, np.float32(np.inf), dtype=np.float32)
    assert (model.predict(moved) != model.predict(inputs)).sum() > 50


@each_kind
@pytest.mark.parametrize("share", [0.2, 1.0])
def test_missing_values_go_the_way_that_was_learned(kind: str, share: float) -> None:
    assert_same(fit(kind, missing=0.2), rows(2000, 4, share))


@pytest.mark.parametrize(("kind", "ways"), [("hist", {0, 1}), ("lightgbm", {0, 1}), ("catboost", {1})])
def test_the_ways_of_missing_values_in_those_models(kind: str, ways: set[int]) -> None:
    """Both where the library learns the way; CatBoost holds an empty cell to be below everything."""
    found = np.concatenate([tree.missing_left for tree in fit(kind, missing=0.2).trees.trees])
    assert set(found.astype(int).tolist()) == ways


@each_kind
def test_missing_values_that_training_never_saw(kind: str) -> None:
    assert_same(fit(kind), rows(1000, 5, 0.3))


@each_kind
def test_infinities_go_as_in_the_library(kind: str) -> None:
    inputs = rows(1000, 6)
    inputs[::2, 0], inputs[1::2, 3], inputs[::3, 4] = np.inf, -np.inf, np.inf
    assert_same(fit(kind), inputs)
    assert_same(fit(kind, missing=0.2), inputs)


@pytest.mark.parametrize("kinds", [("hist",), ("lightgbm",), ("catboost",), ("hist", "catboost")], ids=" and ".join)
def test_a_row_alone_equals_the_row_in_a_batch_bit_for_bit(kinds: tuple[str, ...]) -> None:
    """With one thread, as release.py has it; with two, a batch of more than fifty sums its trees in another order."""
    inputs = rows(300, 7, 0.1)
    answer = answering(graph(*(fit(kind, missing=0.2) for kind in kinds)))
    alone = np.concatenate([answer(inputs[place : place + 1]) for place in range(300)])
    assert alone.tobytes() == answer(inputs).tobytes()


def test_each_ensemble_has_its_column() -> None:
    """In the order given, each with its own base and number of trees."""
    models = [fit("hist"), fit("catboost", iterations=7), fit("lightgbm", iterations=1), fit("hist", missing=0.2)]
    inputs = rows(500, 8, 0.1)
    found = answering(graph(*models))(inputs)
    assert found.shape == (500, 4)
    for column, model in zip(found.T, models, strict=True):
        np.testing.assert_allclose(column, model.predict(inputs), rtol=0, atol=EXACT)
    assert np.abs(np.diff(found, axis=1)).max(axis=0).min() > 0.1


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("hist", {"iterations": 1}), ("hist", {"leaves": 2}), ("hist", {"learning_rate": 1.0}), ("hist", {"leaves": 300, "rows_per_leaf": 1}),
        ("lightgbm", {"iterations": 1}), ("lightgbm", {"leaves": 2}), ("lightgbm", {"leaves": 300, "rows_per_leaf": 1}),
        ("catboost", {"iterations": 1}), ("catboost", {"depth": 1}), ("catboost", {"depth": 8, "iterations": 5}),
    ],
    ids=str,
)  # fmt: skip
def test_small_and_large_trees(kind: str, settings: dict[str, object]) -> None:
    assert_same(fit(kind, **settings), rows(500, 8))


@each_kind
def test_the_same_model_is_the_same_bytes(kind: str) -> None:
    again = fit.__wrapped__(kind)
    assert again is not fit(kind)
    assert graph(fit(kind)) == graph(fit(kind)) == graph(again)


def operators(content: bytes) -> list[tuple[str, str]]:
    return [(node.domain, node.op_type) for node in onnx.load_from_string(content).graph.node]


def test_the_graph_is_a_standard_one() -> None:
    """Data only: operators of fixed versions, and no text that names a machine or a day."""
    made = onnx.load_from_string(graph(fit("hist"), fit("catboost")))
    trees = ("ai.onnx.ml", "TreeEnsemble")
    walked = [("", "Cast"), trees, trees, ("", "Concat"), ("", "Sum")]
    assert [found for found in operators(graph(fit("hist"), fit("lightgbm"))) if found != ("", "Identity")] == walked
    assert {entry.domain: entry.version for entry in made.opset_import} == OPSETS
    assert (made.ir_version, made.producer_name, made.doc_string) == (IR_VERSION, "hearth", "")
    assert [value.name for value in (*made.graph.input, made.graph.output[0])] == [INPUT, OUTPUT]
    assert OUTPUT == "values"
    assert made.graph.input[0].type.tensor_type.shape.dim[1].dim_value == FEATURES
    assert made.graph.output[0].type.tensor_type.shape.dim[1].dim_value == 2


def test_trees_of_levels_become_plain_operators_and_tables() -> None:
    content = graph(fit("catboost"), fit("catboost"))
    assert {domain for domain, _ in operators(content)} == {""}
    made = onnx.load_from_string(content)
    names = [f"levels_{name}_table" for name in ("feature", "threshold", "leaf", "ends")]
    assert [value.name for value in made.graph.output] == [OUTPUT, "base_table", *names]
    assert {entry.domain: entry.version for entry in made.opset_import} == OPSETS


def test_trees_of_levels_and_others_are_told_apart_and_added() -> None:
    content = graph(fit("catboost"), fit("lightgbm"))
    names = [value.name for value in onnx.load_from_string(content).graph.output]
    assert {"base_table", "levels_leaf_table", "masks_leaf_table"} < set(names)
    inputs = rows(500, 2, 0.1)
    found = opened(content, FEATURES)(inputs)
    for column, kind in zip(found.T, ("catboost", "lightgbm"), strict=True):
        np.testing.assert_allclose(column, fit(kind).predict(inputs), rtol=0, atol=EXACT)
    blend = weighted([(1.0, fit("catboost").trees), (3.0, fit("hist").trees)])
    whole = opened(tree_graph([blend], FEATURES), FEATURES)(inputs)[:, 0]
    expected = 0.25 * fit("catboost").predict(inputs) + 0.75 * fit("hist").predict(inputs)
    np.testing.assert_allclose(whole, expected, rtol=0, atol=EXACT)


@pytest.mark.parametrize("leaves", [2, 8, 9, 16, 17, 32, 33, 63, 64])
def test_masks_hold_as_many_leaves_as_their_numbers_have_bits(leaves: int) -> None:
    model = fit("hist", leaves=leaves, rows_per_leaf=1, iterations=5)
    assert max(len(tree.value) for tree in model.trees.trees) == leaves
    assert isinstance(masks([model.trees]), Masks)
    assert_same(model, rows(500, 2, 0.1))


def test_larger_trees_are_left_to_the_operator() -> None:
    model = fit("hist", leaves=LEAVES_MAX + 1, rows_per_leaf=1, iterations=3)
    assert masks([model.trees]) is None
    names = [value.name for value in onnx.load_from_string(graph(fit("catboost"), model)).graph.output]
    assert names == [OUTPUT, "base_table"]
    assert_same(model, rows(500, 2))


# scikit-learn's own models, as the graph's and the trees' door for them


def scikit(**settings: object) -> HistGradientBoostingRegressor:
    inputs = rows(800, 1)
    chosen = {"max_iter": 10, "early_stopping": False, "random_state": 0}
    return HistGradientBoostingRegressor(**(chosen | settings)).fit(inputs, target_of(inputs))


@pytest.mark.parametrize("settings", [{}, {"max_depth": 1}, {"max_leaf_nodes": None, "max_iter": 3}], ids=str)
def test_a_model_of_scikit_learn_is_what_it_was(settings: dict[str, object]) -> None:
    model = scikit(**settings)
    assert_same(Grown(of_hist(model), model.predict), rows(500, 2))


def test_native_categories_are_refused() -> None:
    with pytest.raises(ValueError, match="native categorical splits have no place in these trees; encode categories"):
        of_hist(scikit(categorical_features=[2]))


def test_a_model_without_a_split_is_refused() -> None:
    inputs = rows(50, 9)
    model = HistGradientBoostingRegressor(max_iter=2, early_stopping=False).fit(inputs, np.full(50, 13.0))
    with pytest.raises(
        ValueError, match="a tree without a split, and no other tree; use fewer rows per leaf or more rows"
    ):
        of_hist(model)


def test_a_tree_without_a_split_among_others_is_part_of_the_base() -> None:
    """A library stops to grow where nothing is left to learn: the graph has no such trees, but their values."""
    inputs = rows(800, 1)
    model = HistGradientBoostingRegressor(max_iter=30, learning_rate=1.0, early_stopping=False, min_samples_leaf=1)
    model.fit(inputs, (inputs[:, 2] > 0).astype(np.float64))
    found = of_hist(model)
    assert isinstance(found, Ensemble)
    assert len(found.trees) < len(model._predictors)
    assert_same(Grown(found, model.predict), rows(500, 2))
