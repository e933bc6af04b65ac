"""Write fitted trees as an ONNX graph: data only, exact, the same bytes every time.

A general converter would need two more packages, and rounds thresholds and sums to float32. This writes the operator
TreeEnsemble of ai.onnx.ml 5 in float64, so that the graph equals the estimator to the last bits of a float64 sum, and
a row alone equals the same row in a batch.
"""

from typing import Any

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper
from sklearn.ensemble import HistGradientBoostingRegressor

INPUT, OUTPUT = "features", "value"
OPSETS = {"": 20, "ai.onnx.ml": 5}
IR_VERSION = 10
_SUM, _LESS_OR_EQUAL = 1, 0


def tree_graph(model: HistGradientBoostingRegressor, n_features: int) -> bytes:
    """Return the graph of a fitted regressor: float32 (n_rows, n_features) to float64 (n_rows, 1).

    Raise ValueError for a model that splits on native categories, which this writer does not know.
    """
    trees = [predictors[0].nodes for predictors in model._predictors]
    if any(nodes["is_categorical"].any() for nodes in trees):
        raise ValueError("native categorical splits have no place in this graph; encode categories as numbers")
    base = np.asarray(model._baseline_prediction, dtype=np.float64).reshape(1, 1)
    nodes = [
        helper.make_node("Cast", [INPUT], ["wide"], to=TensorProto.DOUBLE),
        helper.make_node("TreeEnsemble", ["wide"], ["sum"], domain="ai.onnx.ml", **_ensemble(trees)),
        helper.make_node("Add", ["sum", "base"], [OUTPUT]),
    ]
    graph = helper.make_graph(
        nodes,
        "trees",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["rows", n_features])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.DOUBLE, ["rows", 1])],
        [numpy_helper.from_array(base, "base")],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
    whole = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="hearth")
    checker.check_model(whole, full_check=True)
    content: bytes = whole.SerializeToString(deterministic=True)
    return content


def _ensemble(trees: list[np.ndarray]) -> dict[str, Any]:
    """Return the attributes of TreeEnsemble: all inner nodes in one numbering, all leaves in another."""
    inner = [np.flatnonzero(nodes["is_leaf"] == 0) for nodes in trees]
    leaves = [np.flatnonzero(nodes["is_leaf"] == 1) for nodes in trees]
    if any(not len(indices) for indices in inner):
        raise ValueError("a tree without a split; use fewer iterations or more rows")
    first_inner = np.cumsum([0, *map(len, inner)])[:-1]
    first_leaf = np.cumsum([0, *map(len, leaves)])[:-1]
    columns: dict[str, list[np.ndarray]] = {key: [] for key in ("feature", "split", "missing", "left", "right", "leaf")}
    is_leaf: dict[str, list[np.ndarray]] = {"left": [], "right": []}
    for nodes, at, ends, offset, leaf_offset in zip(trees, inner, leaves, first_inner, first_leaf, strict=True):
        number = np.empty(len(nodes), dtype=np.int64)
        number[at], number[ends] = offset + np.arange(len(at)), leaf_offset + np.arange(len(ends))
        columns["feature"].append(nodes["feature_idx"][at])
        columns["split"].append(nodes["num_threshold"][at])
        columns["missing"].append(nodes["missing_go_to_left"][at])
        columns["leaf"].append(nodes["value"][ends])
        for side in ("left", "right"):
            columns[side].append(number[nodes[side][at]])
            is_leaf[side].append(nodes["is_leaf"][nodes[side][at]])
    flat = {key: np.concatenate(parts) for key, parts in columns.items()}
    return {
        "n_targets": 1,
        "aggregate_function": _SUM,
        "post_transform": 0,
        "tree_roots": first_inner.tolist(),
        "nodes_featureids": flat["feature"].tolist(),
        "nodes_splits": numpy_helper.from_array(flat["split"].astype(np.float64), "splits"),
        "nodes_modes": numpy_helper.from_array(np.full(len(flat["split"]), _LESS_OR_EQUAL, dtype=np.uint8), "modes"),
        "nodes_missing_value_tracks_true": flat["missing"].tolist(),
        "nodes_truenodeids": flat["left"].tolist(),
        "nodes_falsenodeids": flat["right"].tolist(),
        "nodes_trueleafs": np.concatenate(is_leaf["left"]).tolist(),
        "nodes_falseleafs": np.concatenate(is_leaf["right"]).tolist(),
        "leaf_targetids": [0] * len(flat["leaf"]),
        "leaf_weights": numpy_helper.from_array(flat["leaf"].astype(np.float64), "leaves"),
    }
