"""Fit boosted trees with one of three libraries behind one interface, and hand the trees on as plain arrays.

Each library computes with one thread (stages/__init__.py says why) and from a seed, so a fit is the same everywhere.
CatBoost gives its trees to a file only: a temporary one, read back at once; nothing else here touches a file.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import numpy as np
from catboost import CatBoostError, CatBoostRegressor
from lightgbm import LGBMRegressor
from numpy.typing import NDArray
from pydantic import Field
from sklearn.ensemble import HistGradientBoostingRegressor

from hearth.strict import Strict
from hearth.trees import Ensemble, Tree, grown

Floats = NDArray[np.float64]
Inputs = NDArray[np.float32]

Loss = Literal["squared", "absolute"]


class _Boosting(Strict):
    """Hold what every kind of boosting has."""

    loss: Loss
    weight: float = Field(gt=0)
    iterations: int = Field(ge=1, le=20_000)
    learning_rate: float = Field(gt=0, le=1)
    l2: float = Field(ge=0)
    features_per_split: float = Field(gt=0, le=1)
    seed: int = Field(ge=0, le=2**31 - 1)


class HistParams(_Boosting):
    """Hold the params of scikit-learn's histogram boosting."""

    kind: Literal["hist"]
    leaves: int = Field(ge=2, le=1000)
    rows_per_leaf: int = Field(ge=1)


class LightGBMParams(_Boosting):
    """Hold the params of LightGBM; `features_per_split` is drawn once a tree there."""

    kind: Literal["lightgbm"]
    leaves: int = Field(ge=2, le=1000)
    rows_per_leaf: int = Field(ge=1)
    rows_per_tree: float = Field(gt=0, le=1)


class CatBoostParams(_Boosting):
    """Hold the params of CatBoost, whose trees ask one question per level."""

    kind: Literal["catboost"]
    depth: int = Field(ge=1, le=10)
    rows_per_tree: float = Field(gt=0, le=1)


@dataclass(frozen=True)
class Grown:
    """Hold fitted trees, and the library's own way to predict with them, which what is exported is held to."""

    trees: Ensemble
    predict: Callable[[Inputs], Floats]


Params = Annotated[HistParams | LightGBMParams | CatBoostParams, Field(discriminator="kind")]


def grow(inputs: Inputs, target: Floats, params: HistParams | LightGBMParams | CatBoostParams) -> Grown:
    """Return the trees fitted to inputs (n_rows, n_features) and a target (n_rows,).

    Raise ValueError where there is nothing to learn: a target of one value, inputs without a split.
    """
    if not np.ptp(target) > 0:
        raise ValueError(
            f"boosted trees ({params.kind}) have nothing to learn: all {len(target)} rows have the same target"
        )
    if isinstance(params, HistParams):
        return _hist(inputs, target, params)
    if isinstance(params, LightGBMParams):
        return _lightgbm(inputs, target, params)
    return _catboost(inputs, target, params)


def _hist(inputs: Inputs, target: Floats, params: HistParams) -> Grown:
    model = HistGradientBoostingRegressor(
        loss={"squared": "squared_error", "absolute": "absolute_error"}[params.loss],
        learning_rate=params.learning_rate,
        max_iter=params.iterations,
        max_leaf_nodes=params.leaves,
        min_samples_leaf=params.rows_per_leaf,
        l2_regularization=params.l2,
        max_features=params.features_per_split,
        early_stopping=False,
        random_state=params.seed,
    ).fit(inputs, target)
    return Grown(of_hist(model), model.predict)


def of_hist(model: HistGradientBoostingRegressor) -> Ensemble:
    """Return the trees of a fitted scikit-learn model; raise ValueError for native categorical splits."""
    all_nodes = [predictors[0].nodes for predictors in model._predictors]
    if any(nodes["is_categorical"].any() for nodes in all_nodes):
        raise ValueError("native categorical splits have no place in these trees; encode categories as numbers")
    return grown(map(_hist_tree, all_nodes), float(np.asarray(model._baseline_prediction).item()))


def _hist_tree(nodes: NDArray[np.void]) -> Tree | float:
    leaf = nodes["is_leaf"] == 1
    if leaf[0]:
        return float(nodes["value"][0])
    number = np.where(leaf, ~(np.cumsum(leaf) - 1), np.cumsum(~leaf) - 1)  # node 0 is the root, hence split 0
    inner = nodes[~leaf]
    return Tree(
        feature=inner["feature_idx"].astype(np.int64),
        threshold=inner["num_threshold"].astype(np.float64),
        missing_left=inner["missing_go_to_left"].astype(bool),
        left=number[inner["left"].astype(np.int64)],
        right=number[inner["right"].astype(np.int64)],
        value=nodes["value"][leaf].astype(np.float64),
    )


def _lightgbm(inputs: Inputs, target: Floats, params: LightGBMParams) -> Grown:
    model = LGBMRegressor(
        objective={"squared": "l2", "absolute": "l1"}[params.loss],
        n_estimators=params.iterations,
        learning_rate=params.learning_rate,
        num_leaves=params.leaves,
        min_child_samples=params.rows_per_leaf,
        reg_lambda=params.l2,
        colsample_bytree=params.features_per_split,
        subsample=params.rows_per_tree,
        subsample_freq=int(params.rows_per_tree < 1),
        random_state=params.seed,
        deterministic=True,
        force_col_wise=True,  # else it measures which way is faster, and a clock decides the order of sums
        n_jobs=1,
        verbose=-1,
    ).fit(inputs, target)
    document = model.booster_.dump_model()
    trees = grown((_lightgbm_tree(tree["tree_structure"]) for tree in document["tree_info"]), 0.0)
    return Grown(trees, lambda rows: np.asarray(model.booster_.predict(rows), dtype=np.float64))


def _lightgbm_tree(root: dict[str, Any]) -> Tree | float:
    if "split_feature" not in root:
        return float(root["leaf_value"])
    splits, leaves = list(_below(root, "split_index")), list(_below(root, "leaf_index"))
    place = {node["split_index"]: number for number, node in enumerate(splits)}
    at = {node["leaf_index"]: ~number for number, node in enumerate(leaves)}

    def child(node: dict[str, Any]) -> int:
        return place[node["split_index"]] if "split_feature" in node else at[node["leaf_index"]]

    return Tree(
        feature=np.array([node["split_feature"] for node in splits], dtype=np.int64),
        threshold=np.array([node["threshold"] for node in splits], dtype=np.float64),
        # A feature without an empty cell in training counts an empty cell as 0 in prediction.
        missing_left=np.array(
            [node["default_left"] if node["missing_type"] == "NaN" else node["threshold"] >= 0 for node in splits]
        ),
        left=np.array([child(node["left_child"]) for node in splits], dtype=np.int64),
        right=np.array([child(node["right_child"]) for node in splits], dtype=np.int64),
        value=np.array([node["leaf_value"] for node in leaves], dtype=np.float64),
    )


def _below(node: dict[str, Any], mark: str) -> Iterator[dict[str, Any]]:
    """Yield the node and those below it that carry the mark, the root first and left before right.

    Without recursion: a tree of a thousand leaves may be nearly as deep as Python's stack.
    """
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if mark in node:
            yield node
        waiting += [node[side] for side in ("right_child", "left_child") if side in node]


def _catboost(inputs: Inputs, target: Floats, params: CatBoostParams) -> Grown:
    regressor = CatBoostRegressor(
        loss_function={"squared": "RMSE", "absolute": "MAE"}[params.loss],
        iterations=params.iterations,
        learning_rate=params.learning_rate,
        depth=params.depth,
        l2_leaf_reg=params.l2,
        rsm=params.features_per_split,
        bootstrap_type="MVS",
        subsample=params.rows_per_tree,
        random_seed=params.seed,
        nan_mode="Min",
        thread_count=1,
        allow_writing_files=False,
        verbose=0,
    )
    try:
        model = regressor.fit(inputs, target)
    except CatBoostError as error:  # an exception of no family, in the words of a C++ source
        raise ValueError(f"CatBoost cannot fit these {len(target)} rows ({error})") from None
    with TemporaryDirectory(prefix="hearth-catboost-") as scratch:
        file = Path(scratch, "model.json")
        model.save_model(str(file), format="json")
        document = json.loads(file.read_bytes())
    scale, (bias,) = document["scale_and_bias"]
    trees = grown((_oblivious_tree(tree, scale) for tree in document["oblivious_trees"]), bias)
    return Grown(trees, model.predict)


def _oblivious_tree(tree: dict[str, Any], scale: float) -> Tree | float:
    """Return a tree that asks the same question everywhere on a level as a plain one: a complete binary tree.

    Bit d of a leaf's number is the answer of level d; the last level of the list is the plain tree's root, so that the
    leaves stand from left to right.
    """
    values = np.array(tree["leaf_values"], dtype=np.float64) * scale
    if not (levels := (tree["splits"] or [])[::-1]):
        return float(values[0])
    level = np.repeat(np.arange(len(levels)), 2 ** np.arange(len(levels)))  # of each split, in the order of a heap
    splits = np.arange(len(level))
    children = np.stack([2 * splits + 1, 2 * splits + 2])
    children = np.where(children < len(splits), children, ~(children - len(splits)))
    return Tree(
        feature=np.array([split["float_feature_index"] for split in levels], dtype=np.int64)[level],
        threshold=np.array([split["border"] for split in levels], dtype=np.float32).astype(np.float64)[level],
        missing_left=np.ones(len(splits), dtype=bool),  # nan_mode Min: an empty cell is below every border
        left=children[0],
        right=children[1],
        value=values,
    )
