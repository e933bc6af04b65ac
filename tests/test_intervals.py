"""Test the guarantee of split conformal intervals: by hand, exactly, and by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearth.errors import Refusal
from hearth.intervals import Interval, conformal_quantile, normalised
from hearth.model import IntervalParams
from hearth.strict import parse


@pytest.mark.parametrize(
    ("residuals", "level", "expected"),
    [
        pytest.param([1, 2, 3, 4, 5, 6, 7, 8, 9], 0.9, 9, id="nine at 0.9: the ninth of nine"),
        pytest.param([1, 2, 3, 4, 5, 6, 7, 8, 9], 0.8, 8, id="nine at 0.8: the eighth"),
        pytest.param([1, 2, 3, 4, 5, 6, 7, 8, 9], 0.55, 6, id="nine at 0.55: 5.5 counts as the sixth"),
        pytest.param([-9, 8, -7, 6, -5, 4, -3, 2, -1], 0.8, 8, id="signs do not matter"),
        pytest.param([9, 1, 5, 3, 7, 2, 8, 6, 4], 0.8, 8, id="nor does the order"),
        pytest.param([0.5, 0.5, 0.5], 0.6, 0.5, id="ties"),
    ],
)
def test_by_hand(residuals: list[float], level: float, expected: float) -> None:
    assert conformal_quantile(np.array(residuals, dtype=float), level) == expected


@pytest.mark.parametrize(("count", "level"), [(0, 0.6), (8, 0.9), (18, 0.95), (1, 0.6)])
def test_too_few_residuals_are_refused(count: int, level: float) -> None:
    """Eight residuals cannot tell where nine of ten lie."""
    with pytest.raises(ValueError, match=f"^{count} residuals are too few for intervals at the level {level}$"):
        conformal_quantile(np.arange(count, dtype=float), level)


def test_just_enough_residuals_give_the_largest() -> None:
    assert conformal_quantile(np.arange(1.0, 20.0), 0.95) == 19.0


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(-(10**9), 10**9), min_size=12, max_size=60, unique_by=abs),
    st.sampled_from([0.55, 0.6, 0.75, 0.8, 0.9]),
)
def test_exactly_the_promised_share_is_held_when_each_row_is_the_new_one_in_turn(
    residuals: list[int], level: float
) -> None:
    """Exchangeable rows: of n + 1, ceil((n + 1) level) lie inside the width made from the other n."""
    known = np.array(residuals, dtype=float)
    held = sum(abs(known[place]) <= conformal_quantile(np.delete(known, place), level) for place in range(len(known)))
    assert held == math.ceil(len(known) * level)
    assert held / len(known) >= level


@pytest.mark.parametrize("level", [0.6, 0.8, 0.9])
@pytest.mark.parametrize("shape", ["normal", "lognormal", "cauchy"])
def test_a_new_row_is_held_at_the_asked_for_rate_whatever_the_shape(level: float, shape: str) -> None:
    """Five thousand calibrations of fifty rows each; the rate is that of theory, which is at least the level."""
    random = np.random.default_rng(20150301)
    draw = {"normal": random.standard_normal, "cauchy": random.standard_cauchy}.get(
        shape, lambda size: random.lognormal(size=size)
    )
    rows = draw((5000, 51))
    held = np.mean([abs(row[50]) <= conformal_quantile(row[:50], level) for row in rows])
    theory = math.ceil(51 * level) / 51
    assert theory >= level
    assert abs(held - theory) < 4 * math.sqrt(theory * (1 - theory) / 5000)


def test_a_higher_level_is_never_narrower() -> None:
    residuals = np.random.default_rng(1).normal(size=99)
    widths = [conformal_quantile(residuals, level) for level in (0.55, 0.7, 0.8, 0.9, 0.95, 0.99)]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


def test_the_residuals_are_left_as_they_are() -> None:
    residuals = np.array([3.0, -1.0, 2.0, -4.0])
    conformal_quantile(residuals, 0.6)
    assert residuals.tolist() == [3.0, -1.0, 2.0, -4.0]


def test_normalised_scores_make_intervals_as_wide_as_the_errors_are_large() -> None:
    """Half the rows err ten times as much: one width for all holds only the calm ones, normalised ones hold both alike."""
    random = np.random.default_rng(4)
    size = np.where(np.arange(4000) % 2, 0.3, 0.03)
    residuals = random.normal(size=4000) * size
    old, new = slice(0, 2000), slice(2000, None)
    one_width = conformal_quantile(residuals[old], 0.9)
    held = np.abs(residuals[new]) <= one_width
    assert held[size[new] < 0.1].mean() == 1
    assert held[size[new] > 0.1].mean() < 0.85
    factor = conformal_quantile(normalised(residuals[old], size[old], 0.01), 0.9)
    held = np.abs(residuals[new]) <= Interval(level=0.9, factor=factor, margin=0.0, spread_min=0.01).half_width(
        size[new]
    )
    for wild in (size[new] < 0.1, size[new] > 0.1):
        assert 0.87 < held[wild].mean() < 0.93


def test_no_spread_counts_as_smaller_than_the_smallest() -> None:
    spread = np.array([-1.0, 0.0, 0.02, 0.2])
    interval = Interval(level=0.9, factor=2.0, margin=0.01, spread_min=0.05)
    np.testing.assert_allclose(interval.half_width(spread), [0.11, 0.11, 0.11, 0.41])
    np.testing.assert_allclose(normalised(np.full(4, 0.1), spread, 0.05), [2, 2, 2, 0.5])


SPREAD = {"kind": "hist", "loss": "squared", "weight": 1.0, "iterations": 5, "learning_rate": 0.1, "l2": 0.0,
          "features_per_split": 1.0, "seed": 0, "leaves": 4, "rows_per_leaf": 5}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [({"level": 0.5}, "level is 0.5"), ({"level": 1}, "level is 1"), ({"folds": 0}, "folds is 0"), ({"fold_days": 6}, "fold_days is 6"), ({"margin": -0.1}, "margin is -0.1"), ({"spread_min": 0}, "spread_min is 0"), ({"spread": SPREAD | {"kind": "forest"}}, "spread.kind is 'forest'"), ({"spread": SPREAD | {"leaves": 1}}, "spread.leaves is 1")],
)  # fmt: skip
def test_impossible_params_are_refused(change: dict[str, float], said: str) -> None:
    with pytest.raises(Refusal, match=rf"params\.yaml: intervals\.{said}, wanted "):
        parse(
            IntervalParams,
            {"level": 0.9, "folds": 2, "fold_days": 30, "margin": 0.0, "spread_min": 0.01, "spread": SPREAD} | change,
            "params.yaml: intervals",
        )
