"""Write fitted trees as an ONNX graph: data only, exact, the same bytes every time.

A general converter would need two more packages, and rounds thresholds and sums to float32. Trees that ask one question
per level become a few plain operators on tables of features, thresholds and leaves; any other trees become the operator
TreeEnsemble of ai.onnx.ml 5. Both are in float64, so the graph equals the trees to the last bits of a float64 sum. The
tables of levels.py and masks.py, which evaluate the same trees faster, are outputs of the graph too.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, checker, helper, numpy_helper

from hearth.levels import INPUT, LEVEL_TABLES, OUTPUT, Levels, is_level, levels
from hearth.masks import MASK_TABLES, masks
from hearth.trees import Ensemble, Tree

OPSETS = {"": 20, "ai.onnx.ml": 5}
IR_VERSION = 10
_SUM, _LESS_OR_EQUAL = 1, 0
_NOTHING = Tree(
    feature=np.array([0]),
    threshold=np.array([0.0]),
    missing_left=np.array([True]),
    left=np.array([-1]),
    right=np.array([-2]),
    value=np.array([0.0, 0.0]),
)


def tree_graph(ensembles: Sequence[Ensemble], n_features: int) -> bytes:
    """Return the graph of several ensembles: float32 (n_rows, n_features) to float64 (n_rows, n_ensembles)."""
    leveled = [Ensemble(tuple(t for t in e.trees if is_level(t)), e.base) for e in ensembles]
    others = [Ensemble(tuple(t for t in e.trees if not is_level(t)), e.base) for e in ensembles]
    tables: dict[str, NDArray[Any]] = {"base": np.array([ensemble.base for ensemble in ensembles])}
    nodes, sums, kept = [], ["base"], {"base": "base"}
    if any(ensemble.trees for ensemble in leveled):
        known = levels(leveled)
        nodes += _asked(known, "level_sums")
        sums.append("level_sums")
        tables |= _level_tables(known)
        kept |= {f"levels_{name}": name for name in LEVEL_TABLES}
    if any(ensemble.trees for ensemble in others):
        # An operator needs a tree: an ensemble that has none gets one whose leaves are zero.
        padded = [ensemble if ensemble.trees else Ensemble((_NOTHING,), 0.0) for ensemble in others]
        nodes += _walked(padded, "walked_sums")
        sums.append("walked_sums")
        found = masks(padded)
        tables |= {f"masks_{name}_of": getattr(found, name) for name in MASK_TABLES} if found else {}
        # Tables of a part of the trees would be of no use.
        kept = kept | {f"masks_{name}": f"masks_{name}_of" for name in MASK_TABLES} if found else {"base": "base"}
    nodes.append(helper.make_node("Sum", sums, [OUTPUT]))
    nodes += [helper.make_node("Identity", [name], [f"{output}_table"]) for output, name in kept.items()]
    graph = helper.make_graph(
        nodes,
        "trees",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["rows", n_features])],
        [
            helper.make_tensor_value_info(OUTPUT, TensorProto.DOUBLE, ["rows", len(ensembles)]),
            *(_output(f"{output}_table", tables[name]) for output, name in kept.items()),
        ],
        [numpy_helper.from_array(table, name) for name, table in tables.items()],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
    whole = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="hearth")
    checker.check_model(whole, full_check=True)
    content: bytes = whole.SerializeToString(deterministic=True)
    return content


def _output(name: str, table: NDArray[Any]) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(table.dtype), table.shape)


def _level_tables(known: Levels) -> dict[str, NDArray[Any]]:
    depth, trees = known.feature.shape
    return {
        "feature": known.feature.astype(np.int32),
        "threshold": known.threshold,
        "leaf": known.leaf,
        "ends": known.ends,
        "bits": (1 << np.arange(depth)[::-1]).astype(np.int32)[:, None],
        "first": (np.arange(trees) * 2**depth).astype(np.int32),
        "flat": np.array([-1], dtype=np.int64),
        "along": np.array([1], dtype=np.int64),
        "sizes": np.diff([0, *known.ends]).astype(np.int64),
    }


def _asked(known: Levels, output: str) -> list[NodeProto]:
    """Return the operators of trees that ask one question per level; levels.py says how they work."""
    parts = [f"part_{place}" for place in range(len(known.ends))]
    return [
        helper.make_node("Gather", [INPUT, "feature"], ["answered"], axis=1),  # (rows, depth, trees)
        helper.make_node("Greater", ["answered", "threshold"], ["yes"]),
        helper.make_node("Cast", ["yes"], ["ones"], to=TensorProto.INT32),
        helper.make_node("Mul", ["ones", "bits"], ["digits"]),
        helper.make_node("ReduceSum", ["digits", "along"], ["number"], keepdims=0),
        helper.make_node("Add", ["number", "first"], ["place"]),
        helper.make_node("Reshape", ["leaf", "flat"], ["leaves"]),
        helper.make_node("Gather", ["leaves", "place"], ["found"], axis=0),
        helper.make_node("Split", ["found", "sizes"], parts, axis=1),
        *(helper.make_node("ReduceSum", [part, "along"], [f"sum_{part}"], keepdims=1) for part in parts),
        helper.make_node("Concat", [f"sum_{part}" for part in parts], [output], axis=1),
    ]


def _walked(ensembles: Sequence[Ensemble], output: str) -> list[NodeProto]:
    """Return the operators of any trees; one operator with two targets would take thirty times as long."""
    parts = [f"walked_{place}" for place in range(len(ensembles))]
    return [
        helper.make_node("Cast", [INPUT], ["wide"], to=TensorProto.DOUBLE),
        *(
            helper.make_node("TreeEnsemble", ["wide"], [part], domain="ai.onnx.ml", **_attributes(ensemble.trees))
            for part, ensemble in zip(parts, ensembles, strict=True)
        ),
        helper.make_node("Concat", parts, [output], axis=1),
    ]


def _attributes(trees: Sequence[Tree]) -> dict[str, Any]:
    """Return the attributes of TreeEnsemble: all splits in one numbering, all leaves in another."""
    first_split = np.cumsum([0, *(len(tree.feature) for tree in trees)])[:-1]
    first_leaf = np.cumsum([0, *(len(tree.value) for tree in trees)])[:-1]

    def joined(part: Callable[[Tree], NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([part(tree) for tree in trees])

    def children(part: Callable[[Tree], NDArray[np.int64]]) -> tuple[list[int], list[int]]:
        numbers = [
            np.where(part(tree) >= 0, part(tree) + split, ~part(tree) + leaf)
            for tree, split, leaf in zip(trees, first_split, first_leaf, strict=True)
        ]
        return np.concatenate(numbers).tolist(), joined(lambda tree: part(tree) < 0).astype(int).tolist()

    true_ids, true_leafs = children(lambda tree: tree.left)
    false_ids, false_leafs = children(lambda tree: tree.right)
    thresholds, values = joined(lambda tree: tree.threshold), joined(lambda tree: tree.value)
    return {
        "n_targets": 1,
        "aggregate_function": _SUM,
        "post_transform": 0,
        "tree_roots": first_split.tolist(),
        "nodes_featureids": joined(lambda tree: tree.feature).tolist(),
        "nodes_splits": numpy_helper.from_array(thresholds, "splits"),
        "nodes_modes": numpy_helper.from_array(np.full(len(thresholds), _LESS_OR_EQUAL, dtype=np.uint8), "modes"),
        "nodes_missing_value_tracks_true": joined(lambda tree: tree.missing_left).astype(int).tolist(),
        "nodes_truenodeids": true_ids,
        "nodes_falsenodeids": false_ids,
        "nodes_trueleafs": true_leafs,
        "nodes_falseleafs": false_leafs,
        "leaf_targetids": [0] * len(values),
        "leaf_weights": numpy_helper.from_array(values, "leaves"),
    }
