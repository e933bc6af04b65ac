"""Test what a house explains of its price, on planted laws: they are found, and what else was planted is left over."""

import warnings
from typing import Any

import numpy as np
import pytest
from samples import params

from hearth.errors import Refusal
from hearth.hedonic import DECIMALS, Hedonic, HedonicParams, fit_hedonic, residuals
from hearth.strict import parse

ROWS = 400
RANDOM = np.random.default_rng(20150301)
GROUPS = RANDOM.integers(0, 8, ROWS)
LEVELS = np.array([0.5, -0.4, 0.1, 0.0, 0.3, -0.2, 0.25, -0.6])
INPUTS = np.column_stack([RANDOM.normal(3 + LEVELS[GROUPS], 1), RANDOM.integers(0, 2, ROWS)])
EXACT = HedonicParams(inputs=("size", "view"), group="zipcode", penalty=0.0, logged_from=10.0)


def explained(
    inputs: np.ndarray, groups: np.ndarray, target: np.ndarray, params: HedonicParams = EXACT
) -> tuple[np.ndarray, np.ndarray]:
    """Return the residuals on inputs that are called a, b, ..., however many they are."""
    names = tuple("abcdefgh"[: inputs.shape[1]])
    return residuals(inputs, groups, target, params.model_copy(update={"inputs": names}))


def within(values: np.ndarray, groups: np.ndarray = GROUPS) -> np.ndarray:
    return values - (np.bincount(groups, values) / np.bincount(groups))[groups]


def spread(values: np.ndarray) -> float:
    return float(values.max() - values.min())


def test_a_linear_law_is_recovered_and_only_the_groups_levels_are_left() -> None:
    """Groups with large houses are dear ones here, so a regression that is not within groups would mix the two up."""
    left, without = explained(INPUTS, GROUPS, 0.7 * INPUTS[:, 0] - 0.3 * INPUTS[:, 1] + LEVELS[GROUPS], EXACT)
    np.testing.assert_allclose(left - left.mean(), LEVELS[GROUPS] - LEVELS[GROUPS].mean(), atol=2e-5)
    np.testing.assert_allclose(without, 0, atol=2e-5)


def test_a_regression_over_all_groups_would_explain_their_levels_away() -> None:
    """The negative proof of the test above: with one group for all, part of the levels goes to the sizes."""
    left, _ = explained(INPUTS, np.zeros(ROWS), 0.7 * INPUTS[:, 0] + LEVELS[GROUPS], EXACT)
    assert np.abs(left - left.mean() - (LEVELS[GROUPS] - LEVELS[GROUPS].mean())).max() > 0.1


def test_squares_are_explained_too() -> None:
    _, without = explained(INPUTS, GROUPS, 0.2 * INPUTS[:, 0] ** 2, EXACT)
    np.testing.assert_allclose(without, 0, atol=2e-5)
    _, cubes = explained(INPUTS, GROUPS, 0.2 * INPUTS[:, 0] ** 3, EXACT)
    assert spread(cubes) > 1


def test_what_was_planted_beside_the_law_is_the_residual() -> None:
    """One sale a full 2.0 dearer than its house: it stays so, but for what one row of 400 bends the law."""
    planted = np.zeros(ROWS)
    planted[17] = 2.0
    left, without = explained(INPUTS, GROUPS, 0.7 * INPUTS[:, 0] + LEVELS[GROUPS] + planted, EXACT)
    others = np.arange(ROWS) != 17
    assert left[17] - LEVELS[GROUPS[17]] - np.median(left - LEVELS[GROUPS]) == pytest.approx(2.0, abs=0.1)
    assert np.abs(without[others]).max() < 0.1
    assert without[17] > 1.8


def test_the_second_residual_is_the_first_without_the_groups_means() -> None:
    left, without = explained(INPUTS, GROUPS, RANDOM.normal(13, 1, ROWS), EXACT)
    np.testing.assert_allclose(without, within(left), atol=1e-6)
    np.testing.assert_allclose(np.bincount(GROUPS, without), 0, atol=1e-4)
    assert np.abs(np.bincount(GROUPS, left)).min() > 1


@pytest.mark.parametrize("kind", [str, float, object])
def test_groups_may_have_names_of_any_kind(kind: type) -> None:
    target = RANDOM.normal(13, 1, ROWS)
    found = explained(INPUTS, GROUPS.astype(str).astype(kind), target, EXACT)
    expected = explained(INPUTS, GROUPS, target, EXACT)
    assert [part.tolist() for part in found] == [part.tolist() for part in expected]


@pytest.mark.parametrize("filler", [1.0, 0.0, np.nan])
def test_a_constant_input_says_nothing(filler: float) -> None:
    target = 0.7 * INPUTS[:, 0] + RANDOM.normal(13, 0.1, ROWS)
    more = np.column_stack([INPUTS, np.full(ROWS, filler)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = explained(more, GROUPS, target, EXACT)
    assert [part.tolist() for part in found] == [part.tolist() for part in explained(INPUTS, GROUPS, target, EXACT)]


def test_where_no_input_says_anything_the_target_itself_is_left() -> None:
    target = np.array([1.0, 2.0, 3.0, 5.0])
    left, without = explained(np.ones((4, 2)), np.array([1, 1, 2, 2]), target, EXACT)
    assert left.tolist() == [1.0, 2.0, 3.0, 5.0]
    assert without.tolist() == [-0.5, 0.5, -1.0, 1.0]


def test_an_empty_cell_counts_as_the_middle_of_its_column() -> None:
    inputs, target = INPUTS.copy(), 0.7 * INPUTS[:, 0] + RANDOM.normal(13, 0.1, ROWS)
    inputs[5, 0] = np.nan
    found = explained(inputs, GROUPS, target, EXACT)
    inputs[5, 0] = np.median(np.delete(INPUTS[:, 0], 5))
    expected = explained(inputs, GROUPS, target, EXACT)
    assert [part.tolist() for part in found] == [part.tolist() for part in expected]
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("smallest", "logged_from", "logged"),
    [(1.0, 10.0, True), (1.0, 100.0, True), (1.0, 100.1, False), (0.0, 10.0, False), (-1.0, 10.0, False)],
    ids=["wide", "just wide enough", "not wide enough", "zero has no logarithm", "nor has a number below"],
)
def test_a_wide_positive_input_is_logged(smallest: float, logged_from: float, logged: bool) -> None:
    """A law of the logarithm is recovered if the input is logged, and only then."""
    areas = np.concatenate([[smallest, 100.0], RANDOM.uniform(2, 99, ROWS - 2)])
    _, without = explained(
        areas[:, None], GROUPS, np.log(np.maximum(areas, 1)), EXACT.model_copy(update={"logged_from": logged_from})
    )
    assert (spread(without) < 1e-4) == logged


def test_an_input_of_two_values_has_no_square() -> None:
    """It would be the same column twice, and without a penalty an equation without an answer."""
    target = 0.5 * INPUTS[:, 1] + LEVELS[GROUPS]
    left, _ = explained(INPUTS[:, 1:], GROUPS, target, EXACT)
    np.testing.assert_allclose(left - left.mean(), LEVELS[GROUPS] - LEVELS[GROUPS].mean(), atol=1e-5)


def test_the_same_input_twice_is_still_an_equation_with_an_answer() -> None:
    left, _ = explained(INPUTS[:, [0, 0]], GROUPS, 0.7 * INPUTS[:, 0] + LEVELS[GROUPS], EXACT)
    np.testing.assert_allclose(left - left.mean(), LEVELS[GROUPS] - LEVELS[GROUPS].mean(), atol=1e-4)


def test_a_penalty_leaves_more_unexplained() -> None:
    target = 0.7 * INPUTS[:, 0]
    spreads = [
        spread(explained(INPUTS, GROUPS, target, EXACT.model_copy(update={"penalty": penalty}))[1])
        for penalty in (0.0, 10.0, 1e3, 1e9)
    ]
    assert spreads == sorted(spreads)
    assert spreads[0] < 1e-4
    assert spreads[-1] == pytest.approx(spread(within(target)), abs=1e-4)


def test_a_group_of_one_house_is_left_with_nothing_of_its_own() -> None:
    groups = GROUPS.copy()
    groups[3] = 99
    assert explained(INPUTS, groups, RANDOM.normal(13, 1, ROWS), EXACT)[1][3] == 0


def test_residuals_are_rounded() -> None:
    for part in explained(INPUTS, GROUPS, RANDOM.normal(13, 1, ROWS), EXACT):
        assert (part == np.round(part, DECIMALS)).all()
        assert (part != np.round(part, DECIMALS - 1)).any()


def test_a_solvers_last_bits_do_not_matter() -> None:
    """Rows in another order are summed in another order; what is left of each row is the same."""
    order, target = RANDOM.permutation(ROWS), RANDOM.normal(13, 1, ROWS)
    turned = explained(INPUTS[order], GROUPS[order], target[order], EXACT)
    for one, other in zip(explained(INPUTS, GROUPS, target, EXACT), turned, strict=True):
        np.testing.assert_allclose(one[order], other, rtol=0, atol=1.5e-6)


def test_inputs_and_target_are_left_as_they_are() -> None:
    target = RANDOM.normal(13, 1, ROWS)
    before = INPUTS.tobytes(), GROUPS.tobytes(), target.tobytes()
    explained(INPUTS, GROUPS, target, EXACT)
    assert (INPUTS.tobytes(), GROUPS.tobytes(), target.tobytes()) == before


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"inputs": []}, "wanted at least one name in inputs, each once"),
        ({"inputs": ["grade", "grade"]}, "wanted at least one name in inputs, each once"),
        ({"inputs": "grade"}, "hedonic.inputs is 'grade', wanted "),
        ({"penalty": -0.1}, "hedonic.penalty is -0.1, wanted greater than or equal to 0"),
        ({"logged_from": 1}, "hedonic.logged_from is 1, wanted greater than 1"),
        ({"group": None}, "hedonic.group is None, wanted a valid string"),
    ],
)
def test_impossible_params_are_refused(edit: dict[str, Any], said: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse(HedonicParams, params("hedonic") | edit, "params.yaml: hedonic")
    assert said in str(caught.value)


# The regression as a part of the price


def fitted() -> tuple[np.ndarray, Hedonic]:
    """Return inputs, one of them wide and so logged, one of two values, and a regression on them."""
    inputs = np.column_stack(
        [np.exp(RANDOM.normal(7.5, 0.7, ROWS)), RANDOM.integers(0, 2, ROWS), RANDOM.uniform(3, 9, ROWS)]
    )
    target = 0.6 * np.log(inputs[:, 0]) + 0.2 * inputs[:, 1] + 0.1 * inputs[:, 2] ** 2 + LEVELS[GROUPS]
    params_ = EXACT.model_copy(update={"inputs": ("area", "view", "rooms")})
    return inputs, fit_hedonic(inputs, GROUPS, target, params_)


def test_a_value_differs_from_another_by_the_law() -> None:
    inputs, found = fitted()
    assert [(term.input, term.logged) for term in found.terms] == [("area", True), ("view", False), ("rooms", False)]
    assert found.terms[1].bend == 0.0
    law = 0.6 * np.log(inputs[:, 0]) + 0.2 * inputs[:, 1] + 0.1 * inputs[:, 2] ** 2
    np.testing.assert_allclose(found.value(inputs) - found.value(inputs)[0], law - law[0], atol=2e-3)


def test_a_row_alone_has_the_value_it_has_among_others_to_the_last_bit() -> None:
    inputs, found = fitted()
    alone = np.concatenate([found.value(inputs[row : row + 1]) for row in range(ROWS)])
    assert alone.tobytes() == found.value(inputs).tobytes()
    assert found.value(inputs[:0]).shape == (0,)


@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize("way", ["least", "most"])
def test_beyond_the_training_rows_a_value_stays_what_it_is_at_their_end(place: int, way: str) -> None:
    """No sale says how a square goes on; a logarithm of nothing would be endless."""
    inputs, found = fitted()
    end = inputs[:1].copy()
    end[0, place] = getattr(found.terms[place], way)
    for beyond in [-1e6, 0.0, -np.inf] if way == "least" else [1e9, np.inf]:
        further = end.copy()
        further[0, place] = beyond
        assert found.value(further).tolist() == found.value(end).tolist()
    nearer = end.copy()
    nearer[0, place] = np.median(inputs[:, place])
    assert found.value(nearer).tolist() != found.value(end).tolist()


def test_an_empty_cell_is_valued_as_the_middle_of_the_training_rows() -> None:
    inputs, found = fitted()
    empty, middle = inputs[:1].copy(), inputs[:1].copy()
    empty[0, 0], middle[0, 0] = np.nan, np.median(inputs[:, 0])
    assert found.value(empty).tolist() == found.value(middle).tolist()


def test_a_regression_on_nothing_says_nothing() -> None:
    found = fit_hedonic(np.ones((4, 2)), np.array([1, 1, 2, 2]), np.arange(4.0), EXACT)
    assert found.terms == ()
    assert found.value(np.empty((3, 0))).tolist() == [0.0, 0.0, 0.0]


def test_a_solvers_last_bits_reach_no_coefficient() -> None:
    """Nor where two inputs say nearly the same and the params allow no penalty: a manifest holds coefficients."""
    near = np.column_stack([INPUTS[:, 0], INPUTS[:, 0], INPUTS[:, 1]])
    target, params_ = RANDOM.normal(13, 1, ROWS), EXACT.model_copy(update={"inputs": ("a", "b", "c")})
    wanted = fit_hedonic(near, GROUPS, target, params_)
    for _ in range(5):
        order = RANDOM.permutation(ROWS)
        assert fit_hedonic(near[order], GROUPS[order], target[order], params_) == wanted
