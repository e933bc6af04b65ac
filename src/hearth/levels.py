"""Evaluate trees that ask one question per level, as CatBoost grows them, with a few operations on whole arrays.

The leaf of such a tree is the number whose bits are its answers, so a thousand trees need one comparison of all their
thresholds and one look-up, where walking them needs a thousand times six dependent steps: in plain numpy a sixth of the
time of ONNX Runtime's tree operator for one house (docs/decisions.md).
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hearth.trees import Ensemble, Tree

Floats = NDArray[np.float64]
Inputs = NDArray[np.float32]

DEPTH_MAX = 16  # answers fit into 16 bits
INPUT, OUTPUT = "features", "values"  # of the graph that graph.py writes and release.py opens
LEVEL_TABLES = ("feature", "threshold", "leaf", "ends")  # each an output levels_NAME_table of the graph


class Levels:
    """Hold the trees of several ensembles, one after the other, padded to one depth by questions that are always denied."""

    def __init__(
        self,
        feature: NDArray[np.integer],
        threshold: NDArray[np.float32],
        leaf: Floats,
        ends: NDArray[np.int64],
    ) -> None:
        """Take `feature` and `threshold` (depth, n_trees), the root's level first, and `leaf` (n_trees, 2 ** depth).

        The root's answer is the highest bit of a leaf's number. `ends` (n_ensembles,) says where each ensemble's trees
        end. Raise ValueError for arrays that do not fit each other.
        """
        depth, trees = feature.shape
        fits = threshold.shape == (depth, trees) and leaf.shape == (trees, 2**depth) and depth <= DEPTH_MAX
        if not fits or not ordered(ends, trees) or feature.min(initial=0) < 0:
            raise ValueError("features, thresholds, leaves and ends of trees that do not fit each other")
        self.feature, self.threshold, self.leaf, self.ends = feature, threshold, leaf, ends
        self._asked = np.ascontiguousarray(feature, dtype=np.intp).ravel()  # which numpy need not convert in each call
        self._threshold = np.ascontiguousarray(threshold).ravel()
        self.bits = (1 << np.arange(depth)[::-1]).astype(np.uint16 if depth > 8 else np.uint8)[:, None]
        self._first = np.arange(trees) * 2**depth
        self._leaves = np.ascontiguousarray(leaf).ravel()
        self._parts = [slice(start, end) for start, end in pairwise([0, *ends.tolist()])]

    def run(self, inputs: Inputs) -> Floats:
        """Return the sums (n_rows, n_ensembles) for inputs (n_rows, n_features); a row alone as in a batch, bit for bit."""
        number = self._one(inputs[0]) if len(inputs) == 1 else self._many(inputs)
        leaves = self._leaves.take(number + self._first)
        found = np.empty((len(inputs), len(self.ends)))
        for place, part in enumerate(self._parts):
            leaves[:, part].sum(axis=1, out=found[:, place])
        return found

    def _one(self, row: Inputs) -> NDArray[np.integer]:
        """Return the number of each tree's leaf (1, n_trees)."""
        answers = (row.take(self._asked) > self._threshold).reshape(self.feature.shape)
        number: NDArray[np.integer] = np.bitwise_or.reduce(answers * self.bits, axis=0, keepdims=True)
        return number

    def _many(self, inputs: Inputs) -> NDArray[np.integer]:
        """Return the number of each tree's leaf (n_rows, n_trees)."""
        columns = np.ascontiguousarray(inputs.T)
        number = np.zeros((self.feature.shape[1], len(inputs)), dtype=self.bits.dtype)
        for feature, threshold, bit in zip(self.feature, self.threshold, self.bits, strict=True):
            np.bitwise_or(number, (columns[feature] > threshold[:, None]) * bit, out=number)
        return np.ascontiguousarray(number.T)


def ordered(ends: NDArray[np.int64], trees: int) -> bool:
    """Return whether ensembles that end so hold all trees, each once: compiled code would read beside them."""
    return bool(ends[0] >= 0 and ends[-1] == trees and (np.diff(ends) >= 0).all())


def is_level(tree: Tree) -> bool:
    """Return whether a tree asks one question per level, and sends whoever has no value for it to the left."""
    return _questions(tree) is not None


def levels(ensembles: Sequence[Ensemble]) -> Levels:
    """Return ensembles of such trees as levels; their bases are left out. Raise ValueError for another tree."""
    found = [_questions(tree) for ensemble in ensembles for tree in ensemble.trees]
    known = [questions for questions in found if questions is not None]
    if len(known) < len(found):
        raise ValueError("a tree that asks several questions on one level")
    depth = max(len(features) for features, _ in known)
    feature = np.zeros((depth, len(known)), dtype=np.int64)
    threshold = np.full((depth, len(known)), np.inf, dtype=np.float32)
    leaf = np.zeros((len(known), 2**depth))
    values = [tree.value for ensemble in ensembles for tree in ensemble.trees]
    for place, ((features, thresholds), value) in enumerate(zip(known, values, strict=True)):
        start = depth - len(features)  # the always denied questions come first: their bits are the highest, and zero
        feature[start:, place], threshold[start:, place] = features, thresholds
        leaf[place, : len(value)] = value
    ends = np.cumsum([len(ensemble.trees) for ensemble in ensembles]).astype(np.int64)
    return Levels(feature, threshold, leaf, ends)


def _questions(tree: Tree) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
    """Return feature and threshold of each level, the root's first; nothing where a level asks more than one question."""
    splits = len(tree.feature)
    depth = splits.bit_length()
    heap = np.arange(splits)
    children = [np.where(2 * heap + side < splits, 2 * heap + side, ~(2 * heap + side - splits)) for side in (1, 2)]
    if splits + 1 != 2**depth or depth > DEPTH_MAX:
        return None
    if not all(np.array_equal(own, found) for own, found in zip(children, (tree.left, tree.right), strict=True)):
        return None
    first = 2 ** np.arange(depth) - 1
    level = np.repeat(np.arange(depth), 2 ** np.arange(depth))
    feature, threshold = tree.feature[first], tree.threshold[first]
    narrow = threshold.astype(np.float32)
    same = (tree.feature == feature[level]).all() and (tree.threshold == threshold[level]).all()
    return (feature, narrow) if same and (narrow == threshold).all() and tree.missing_left.all() else None
