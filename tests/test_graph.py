"""Test that the exported graph answers as the fitted trees do: to the last bits, at each threshold, and without a value."""

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from hearth.graph import INPUT, IR_VERSION, OPSETS, OUTPUT, tree_graph

FEATURES = 5
EXACT = 1e-12


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


def fit(missing: float = 0.0, wide: bool = False, **settings: object) -> HistGradientBoostingRegressor:
    """Return a model of 800 rows; `wide`: of float64 rows, so that its thresholds are no float32."""
    inputs = rows(800, 1, missing)
    if wide:
        inputs = inputs.astype(np.float64) * (1 + 1e-9)
    filled = np.nan_to_num(inputs.astype(np.float64))
    target = (
        np.sin(3 * filled[:, 0])
        + filled[:, 2]
        + np.log1p(filled[:, 3]) / 5
        + filled[:, 4] / 10
        + np.isnan(inputs[:, 0])
    )
    chosen = {"max_iter": 40, "max_leaf_nodes": 12, "min_samples_leaf": 5, "early_stopping": False, "random_state": 0}
    return HistGradientBoostingRegressor(**(chosen | settings)).fit(inputs, target)


@pytest.fixture(scope="module")
def plain() -> HistGradientBoostingRegressor:
    return fit()


@pytest.fixture(scope="module")
def with_missing() -> HistGradientBoostingRegressor:
    return fit(missing=0.2)


def answering(content: bytes, threads: int = 1) -> Callable[[np.ndarray], np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, {INPUT: inputs})[0]


def thresholds(model: HistGradientBoostingRegressor) -> np.ndarray:
    """Return (feature, threshold) of each split."""
    nodes = np.concatenate([predictors[0].nodes for predictors in model._predictors])
    inner = nodes[nodes["is_leaf"] == 0]
    return np.column_stack([inner["feature_idx"], inner["num_threshold"]])


def test_random_rows(plain: HistGradientBoostingRegressor) -> None:
    inputs = rows(3000, 2)
    found = answering(tree_graph(plain, FEATURES))(inputs)
    assert (found.shape, found.dtype) == ((3000, 1), np.float64)
    np.testing.assert_allclose(found[:, 0], plain.predict(inputs), rtol=0, atol=EXACT)


@pytest.mark.parametrize("wide", [False, True], ids=["thresholds are float32", "thresholds are not"])
@pytest.mark.parametrize("step", [-1, 0, 1], ids=["one float below", "nearest float", "one float above"])
def test_rows_at_every_threshold(step: int, wide: bool) -> None:
    """A graph that rounds thresholds to float32, or mixes up < and ≤, goes another way here."""
    model = fit(wide=wide)
    splits = thresholds(model)
    values = splits[:, 1].astype(np.float32)
    exact = values.astype(np.float64) == splits[:, 1]
    assert exact.mean() < 0.1 if wide else exact.all()
    if step:
        values = np.nextafter(values, np.float32(step * np.inf), dtype=np.float32)
    inputs = rows(len(splits), 3)
    inputs[np.arange(len(splits)), splits[:, 0].astype(int)] = values
    found = answering(tree_graph(model, FEATURES))(inputs)[:, 0]
    np.testing.assert_allclose(found, model.predict(inputs), rtol=0, atol=EXACT)


def test_thresholds_that_are_off_by_one_float_would_be_found(plain: HistGradientBoostingRegressor) -> None:
    """Moving each value at its threshold to the other side changes answers, so the test above can fail."""
    splits = thresholds(plain)
    inputs = rows(len(splits), 3)
    inputs[np.arange(len(splits)), splits[:, 0].astype(int)] = splits[:, 1].astype(np.float32)
    moved = np.nextafter(inputs, np.float32(np.inf), dtype=np.float32)
    assert (plain.predict(moved) != plain.predict(inputs)).sum() > 50


@pytest.mark.parametrize("share", [0.2, 1.0])
def test_missing_values_go_the_way_that_was_learned(with_missing: HistGradientBoostingRegressor, share: float) -> None:
    inputs = rows(2000, 4, share)
    found = answering(tree_graph(with_missing, FEATURES))(inputs)[:, 0]
    np.testing.assert_allclose(found, with_missing.predict(inputs), rtol=0, atol=EXACT)


def test_both_ways_of_missing_values_are_in_that_model(with_missing: HistGradientBoostingRegressor) -> None:
    nodes = np.concatenate([predictors[0].nodes for predictors in with_missing._predictors])
    assert set(nodes[nodes["is_leaf"] == 0]["missing_go_to_left"].tolist()) == {0, 1}


def test_missing_values_that_training_never_saw(plain: HistGradientBoostingRegressor) -> None:
    inputs = rows(1000, 5, 0.3)
    found = answering(tree_graph(plain, FEATURES))(inputs)[:, 0]
    np.testing.assert_allclose(found, plain.predict(inputs), rtol=0, atol=EXACT)


def test_infinities_go_as_in_the_estimator(plain: HistGradientBoostingRegressor) -> None:
    inputs = rows(1000, 6)
    inputs[::2, 0], inputs[1::2, 3], inputs[::3, 4] = np.inf, -np.inf, np.inf
    found = answering(tree_graph(plain, FEATURES))(inputs)[:, 0]
    np.testing.assert_allclose(found, plain.predict(inputs), rtol=0, atol=EXACT)


def test_a_row_alone_equals_the_row_in_a_batch_bit_for_bit(with_missing: HistGradientBoostingRegressor) -> None:
    """With one thread, as release.py has it; with two, a batch of more than fifty sums its trees in another order."""
    inputs = rows(300, 7, 0.1)
    answer = answering(tree_graph(with_missing, FEATURES))
    alone = np.concatenate([answer(inputs[place : place + 1]) for place in range(300)])
    assert alone.tobytes() == answer(inputs).tobytes()


@pytest.mark.parametrize(
    "settings",
    [{"max_iter": 1}, {"max_leaf_nodes": 2}, {"max_depth": 1}, {"learning_rate": 1.0}, {"max_leaf_nodes": 300, "min_samples_leaf": 1}],
    ids=str,
)  # fmt: skip
def test_small_and_large_trees(settings: dict[str, object]) -> None:
    model, inputs = fit(**settings), rows(500, 8)
    found = answering(tree_graph(model, FEATURES))(inputs)[:, 0]
    np.testing.assert_allclose(found, model.predict(inputs), rtol=0, atol=EXACT)


def test_the_same_model_is_the_same_bytes(plain: HistGradientBoostingRegressor) -> None:
    assert tree_graph(plain, FEATURES) == tree_graph(plain, FEATURES) == tree_graph(fit(), FEATURES)


def test_the_graph_is_a_standard_one(plain: HistGradientBoostingRegressor) -> None:
    """Data only: three operators of fixed versions, and no text that names a machine or a day."""
    graph = onnx.load_from_string(tree_graph(plain, FEATURES))
    assert [(node.domain, node.op_type) for node in graph.graph.node] == [
        ("", "Cast"),
        ("ai.onnx.ml", "TreeEnsemble"),
        ("", "Add"),
    ]
    assert {entry.domain: entry.version for entry in graph.opset_import} == OPSETS
    assert (graph.ir_version, graph.producer_name, graph.doc_string) == (IR_VERSION, "hearth", "")
    assert [value.name for value in (*graph.graph.input, *graph.graph.output)] == [INPUT, OUTPUT]
    assert graph.graph.input[0].type.tensor_type.shape.dim[1].dim_value == FEATURES


def test_native_categories_are_refused() -> None:
    with pytest.raises(ValueError, match="native categorical splits have no place in this graph; encode categories"):
        tree_graph(fit(categorical_features=[2]), FEATURES)


def test_a_tree_without_a_split_is_refused() -> None:
    inputs = rows(50, 9)
    model = HistGradientBoostingRegressor(max_iter=2, early_stopping=False).fit(inputs, np.full(50, 13.0))
    with pytest.raises(ValueError, match="a tree without a split; use fewer iterations or more rows"):
        tree_graph(model, FEATURES)
