"""Hold fitted trees in one form, whatever library grew them: what an ensemble is, and no more.

Every split asks `input <= threshold`; yes goes left. A library's own form is turned into this one by estimators.py.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Tree:
    """Hold one tree with at least one split; split 0 is its root.

    `left` and `right` name the split that follows, or, below zero, the leaf ~number. All splits' arrays are equally long.
    """

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    missing_left: NDArray[np.bool_]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: NDArray[np.float64]  # of each leaf


@dataclass(frozen=True)
class Ensemble:
    """Hold trees whose values, summed with `base`, are the prediction."""

    trees: tuple[Tree, ...]
    base: float

    def predict(self, inputs: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the sums (n_rows,) for inputs (n_rows, n_features); slow and plain, what the fast ways are held to."""
        total = np.full(len(inputs), self.base)
        for tree in self.trees:
            at = np.zeros(len(inputs), dtype=np.int64)
            rows = np.arange(len(inputs))
            while len(rows):
                split = at[rows]
                values = inputs[rows, tree.feature[split]].astype(np.float64)
                go_left = np.where(np.isnan(values), tree.missing_left[split], values <= tree.threshold[split])
                at[rows] = np.where(go_left, tree.left[split], tree.right[split])
                rows = rows[at[rows] >= 0]
            total += tree.value[~at]
        return total


def weighted(parts: Sequence[tuple[float, Ensemble]]) -> Ensemble:
    """Return one ensemble that predicts the mean of several by their weights; the weights need not add up to one."""
    whole = sum(weight for weight, _ in parts)
    trees = [
        Tree(t.feature, t.threshold, t.missing_left, t.left, t.right, t.value * (weight / whole))
        for weight, ensemble in parts
        for t in ensemble.trees
    ]
    return Ensemble(tuple(trees), sum(weight / whole * ensemble.base for weight, ensemble in parts))


def grown(parts: Iterable[Tree | float], base: float) -> Ensemble:
    """Return the ensemble of a library's trees, those without a split, given as their value, as part of the base.

    Raise ValueError if no tree has a split: such a model says the same of every house.
    """
    trees = []
    for part in parts:
        if isinstance(part, Tree):
            trees.append(part)
        else:
            base += part
    if not trees:
        raise ValueError("a tree without a split, and no other tree; use fewer rows per leaf or more rows")
    return Ensemble(tuple(trees), base)
