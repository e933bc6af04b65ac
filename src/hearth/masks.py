"""Evaluate trees of any shape with a few operations on whole arrays, where walking them takes a step per level and tree.

Each split that sends a house to the right rules out the leaves on its left: a number with a bit for each of them. What
all splits of a tree leave over begins with the leaf that the house is in. So a tree needs all its splits asked, but
all trees are asked at once.
Source: Lucchese, Nardini, Orlando, Perego, Tonellotto, Venturini (2015), QuickScorer: a fast algorithm to rank documents
with additive ensembles of regression trees, SIGIR.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hearth.levels import ordered
from hearth.trees import Ensemble, Tree

Floats = NDArray[np.float64]
Inputs = NDArray[np.float32]

LEAVES_MAX = 64  # of a tree, a bit each
ROWS = 64  # at a time, so that a block stays in the processor's cache
MASK_TABLES = (
    "feature",
    "threshold",
    "right_if_missing",
    "ruled_out",
    "leaf",
    "ends",
)  # outputs masks_NAME_table of the graph


class Masks:
    """Hold the trees of several ensembles, one after the other, padded to one number of splits by such that rule out nothing."""

    def __init__(
        self,
        feature: NDArray[np.integer],
        threshold: NDArray[np.float32],
        right_if_missing: NDArray[np.bool_],
        ruled_out: NDArray[np.unsignedinteger],
        leaf: Floats,
        ends: NDArray[np.int64],
    ) -> None:
        """Take four tables (n_splits, n_trees), `leaf` (n_trees, n_leaves) from left to right, and where each ensemble ends.

        Raise ValueError for arrays that do not fit each other.
        """
        fits = len({part.shape for part in (feature, threshold, right_if_missing, ruled_out)}) == 1
        splits, trees = feature.shape
        if not fits or leaf.shape != (trees, splits + 1) or splits >= LEAVES_MAX or not ordered(ends, trees):
            raise ValueError("splits, leaves and ends of trees that do not fit each other")
        # The first leaf that nothing rules out is one of the tree's, whatever is answered.
        out = np.bitwise_or.reduce(ruled_out, axis=0).astype(np.uint64)
        if (out >> np.uint64(splits) & np.uint64(1)).any() or feature.min(initial=0) < 0:
            raise ValueError("splits that rule out every leaf, or ask for an input below the first")
        self.feature, self.threshold, self.right_if_missing = feature, threshold, right_if_missing
        self.ruled_out, self.leaf, self.ends = ruled_out, leaf, ends
        self._asked = np.ascontiguousarray(feature, dtype=np.intp).ravel()
        self._threshold = np.ascontiguousarray(threshold).ravel()
        self._missing = right_if_missing.any()
        self._one = ruled_out.dtype.type(1)
        self._first = np.arange(trees) * (splits + 1) - 1  # less one, since the bits up to the leaf's are counted
        self._leaves = np.ascontiguousarray(leaf).ravel()
        self._parts = [slice(start, end) for start, end in pairwise([0, *ends.tolist()])]

    def run(self, inputs: Inputs) -> Floats:
        """Return the sums (n_rows, n_ensembles) for inputs (n_rows, n_features); a row alone as in a batch, bit for bit."""
        found = np.empty((len(inputs), len(self.ends)))
        for start in range(0, len(inputs), ROWS):
            rows = inputs[start : start + ROWS]
            ruled_out = self._alone(rows[0]) if len(rows) == 1 else self._together(rows)
            number = np.bitwise_count(ruled_out ^ (ruled_out + self._one))  # bits up to the first that is not set
            leaves = self._leaves.take(number + self._first)
            for place, part in enumerate(self._parts):
                leaves[:, part].sum(axis=1, out=found[start : start + ROWS, place])
        return found

    def _alone(self, row: Inputs) -> NDArray[np.unsignedinteger]:
        """Return the ruled out leaves (1, n_trees)."""
        values = row.take(self._asked)
        right = (values > self._threshold).reshape(self.feature.shape)
        if self._missing and np.isnan(row).any():
            right |= np.isnan(values).reshape(right.shape) & self.right_if_missing
        found: NDArray[np.unsignedinteger] = np.bitwise_or.reduce(self.ruled_out * right, axis=0, keepdims=True)
        return found

    def _together(self, rows: Inputs) -> NDArray[np.unsignedinteger]:
        """Return the ruled out leaves (n_rows, n_trees)."""
        columns = np.ascontiguousarray(rows.T)
        missing = self._missing and np.isnan(rows).any()
        found = np.zeros((self.feature.shape[1], len(rows)), dtype=self.ruled_out.dtype)
        for split, feature in enumerate(self.feature):
            values = columns[feature]
            right = values > self.threshold[split][:, None]
            if missing:
                right |= np.isnan(values) & self.right_if_missing[split][:, None]
            found |= self.ruled_out[split][:, None] * right
        return np.ascontiguousarray(found.T)


def masks(ensembles: Sequence[Ensemble]) -> Masks | None:
    """Return ensembles as masks, or nothing if a tree has too many leaves; their bases are left out."""
    trees = [tree for ensemble in ensembles for tree in ensemble.trees]
    splits = max(len(tree.feature) for tree in trees)
    if splits >= LEAVES_MAX:
        return None
    kind = next(k for k in (np.uint8, np.uint16, np.uint32, np.uint64) if splits < np.iinfo(k).bits)
    shape = (splits, len(trees))
    feature, ruled_out = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=kind)
    threshold, missing = np.full(shape, np.inf, dtype=np.float32), np.zeros(shape, dtype=bool)
    leaf = np.zeros((len(trees), splits + 1))
    for place, tree in enumerate(trees):
        count = len(tree.feature)
        order, left = _from_left(tree)
        feature[:count, place], threshold[:count, place] = tree.feature, _narrow(tree.threshold)
        missing[:count, place], ruled_out[:count, place] = ~tree.missing_left, left
        leaf[place, : count + 1] = tree.value[order]
    ends = np.cumsum([len(ensemble.trees) for ensemble in ensembles]).astype(np.int64)
    return Masks(feature, threshold, missing, ruled_out, leaf, ends)


def _narrow(threshold: Floats) -> NDArray[np.float32]:
    """Return the largest float32 that is no larger: a float32 input lies below both or above both."""
    with np.errstate(over="ignore"):
        found = threshold.astype(np.float32)
    return np.where(found > threshold, np.nextafter(found, np.float32(-np.inf)), found)


def _from_left(tree: Tree) -> tuple[list[int], list[int]]:
    """Return the leaves from left to right, and for each split a number with the bits of the leaves on its left."""
    order: list[int] = []
    left = [0] * len(tree.feature)
    waiting = [(0, False)]  # a split or a leaf, and whether the split's left side is done
    while waiting:
        node, half = waiting.pop()
        if node < 0:
            order.append(~node)
        elif half:
            left[node] = (1 << len(order)) - 1 - left[node]
            waiting.append((int(tree.right[node]), False))
        else:
            left[node] = (1 << len(order)) - 1  # what lies left of the whole subtree
            waiting += [(node, True), (int(tree.left[node]), False)]
    return order, left
