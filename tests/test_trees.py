"""Test trees by hand: which way a value goes, what a leaf adds, and what several ensembles are together."""

import math

import numpy as np
import pytest

from hearth.trees import Ensemble, Tree, grown, weighted


def stump(feature: int, threshold: float, low: float, high: float, missing_left: bool = True) -> Tree:
    """Return a tree of one split."""
    return Tree(
        np.array([feature]), np.array([threshold]), np.array([missing_left]), np.array([~0]), np.array([~1]), np.array([low, high])
    )  # fmt: skip


# Is x0 ≤ 1? yes: leaf 10. no: is x1 ≤ -2? yes: is x0 ≤ 5? yes: leaf 20, no: leaf 30. no: leaf 40.
DEEP = Tree(
    feature=np.array([0, 1, 0]),
    threshold=np.array([1.0, -2.0, 5.0]),
    missing_left=np.array([True, False, True]),
    left=np.array([~0, 2, ~1]),
    right=np.array([1, ~3, ~2]),
    value=np.array([10.0, 20.0, 30.0, 40.0]),
)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param([0, 0], 10, id="left at the root"),
        pytest.param([1, 0], 10, id="a value at its threshold goes left"),
        pytest.param([math.nextafter(1, 2), 0], 40, id="the next float goes right"),
        pytest.param([3, -2], 20, id="three splits deep, left"),
        pytest.param([6, -3], 30, id="three splits deep, right"),
        pytest.param([6, -1.9], 40, id="right at the second"),
        pytest.param([math.nan, -3], 10, id="without a value left, where that was learned"),
        pytest.param([6, math.nan], 40, id="without a value right, where that was learned"),
        pytest.param([-math.inf, 0], 10, id="minus infinity"),
        pytest.param([math.inf, -math.inf], 30, id="infinity"),
    ],
)
def test_a_tree_by_hand(row: list[float], expected: float) -> None:
    assert Ensemble((DEEP,), 0.5).predict(np.array([row])).tolist() == [expected + 0.5]


def test_values_of_all_trees_and_the_base_are_summed() -> None:
    ensemble = Ensemble((DEEP, stump(1, 0.0, 1.0, 2.0), stump(0, 2.0, 0.25, 0.75)), 100.0)
    found = ensemble.predict(np.array([[0, 0], [3, 1], [6, -3]], dtype=np.float32))
    assert found.tolist() == [111.25, 142.75, 131.75]
    assert found.dtype == np.float64


def test_no_rows_have_no_predictions() -> None:
    assert Ensemble((DEEP,), 0.5).predict(np.empty((0, 2))).shape == (0,)


def test_a_float32_is_compared_as_what_it_is() -> None:
    """0.1 as a float32 is above 0.1; in float32 the threshold would round to the value itself."""
    ensemble = Ensemble((stump(0, 0.1, 1.0, 2.0),), 0.0)
    assert ensemble.predict(np.array([[0.1]], dtype=np.float32)).tolist() == [2.0]
    assert ensemble.predict(np.array([[0.1]])).tolist() == [1.0]


def test_prediction_leaves_the_inputs_alone() -> None:
    inputs = np.array([[0.0, np.nan], [6.0, -3.0]])
    before = inputs.tobytes()
    Ensemble((DEEP,), 0.5).predict(inputs)
    assert inputs.tobytes() == before


ROWS = np.random.default_rng(1).normal(0, 4, (50, 2))
PARTS = (Ensemble((DEEP, stump(1, 0.5, 1.0, 2.0)), 3.0), Ensemble((stump(0, 2.0, -8.0, 8.0),), 7.0))


@pytest.mark.parametrize(
    ("weights", "shares"),
    [((1.0, 1.0), (0.5, 0.5)), ((3.0, 1.0), (0.75, 0.25)), ((0.1, 0.3), (0.25, 0.75)), ((1e-9, 1.0), (1e-9, 1.0))],
    ids=str,
)
def test_weighted_is_the_mean_by_weight(weights: tuple[float, float], shares: tuple[float, float]) -> None:
    one, other = (part.predict(ROWS) for part in PARTS)
    found = weighted(list(zip(weights, PARTS, strict=True)))
    np.testing.assert_allclose(found.predict(ROWS), shares[0] * one + shares[1] * other, rtol=0, atol=1e-7)
    assert len(found.trees) == 3


def test_weighted_by_one_alone_is_itself_whatever_the_weight() -> None:
    for weight in (0.001, 1.0, 40.0):
        assert weighted([(weight, PARTS[0])]).predict(ROWS).tolist() == PARTS[0].predict(ROWS).tolist()


def test_weighting_leaves_the_parts_as_they_are() -> None:
    before = [part.predict(ROWS).tolist() for part in PARTS]
    weighted([(2.0, PARTS[0]), (1.0, PARTS[1])])
    assert [part.predict(ROWS).tolist() for part in PARTS] == before


def test_trees_without_a_split_are_part_of_the_base() -> None:
    found = grown([0.25, DEEP, -1.0, 0.5], 13.0)
    assert found.base == 12.75
    assert found.trees == (DEEP,)


@pytest.mark.parametrize("parts", [[], [0.5], [0.5, 0.25]], ids=len)
def test_no_tree_with_a_split_is_refused(parts: list[float]) -> None:
    with pytest.raises(
        ValueError, match="a tree without a split, and no other tree; use fewer rows per leaf or more rows"
    ):
        grown(parts, 13.0)
