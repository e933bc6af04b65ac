"""Test the intervals that say how far chance alone may move a figure."""

import numpy as np
import pytest

from hearth.doubt import Bootstrap, draws, median_interval, share_interval

PARAMS = Bootstrap(draws=400, level=0.95, seed=3)


@pytest.mark.parametrize(
    ("held", "rows", "ends"),
    [
        (0, 10, (0.0, 0.277533)),
        (10, 10, (0.722467, 1.0)),
        (81, 100, (0.722212, 0.874852)),
        (349, 446, (0.741900, 0.818298)),
    ],
)
def test_the_interval_of_a_share_is_wilsons(held: int, rows: int, ends: tuple[float, float]) -> None:
    """By hand: (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n) with z = 1.959964."""
    assert share_interval(held, rows, 0.95) == ends
    z, share = 1.9599639845, held / rows
    middle, reach = share + z**2 / (2 * rows), z * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    by_hand = np.array([middle - reach, middle + reach]) / (1 + z**2 / rows)
    assert ends == pytest.approx(by_hand, abs=1e-6)


def test_the_interval_of_a_median_is_that_of_theory() -> None:
    """The standard error of the median of normal values is 1.2533 deviations over √n."""
    values = np.random.default_rng(1).normal(5, 1, 2000)
    low, high = median_interval(values, PARAMS)
    assert low < np.median(values) < high
    assert high - low == pytest.approx(2 * 1.96 * 1.2533 / np.sqrt(2000), rel=0.2)
    assert (low, high) == median_interval(values, PARAMS)
    assert (low, high) != median_interval(values, PARAMS.model_copy(update={"seed": 4}))


def test_one_value_has_no_doubt() -> None:
    assert median_interval(np.array([0.25]), PARAMS) == (0.25, 0.25)


def test_draws_are_with_replacement_and_as_many_as_there_are_rows() -> None:
    made = list(draws(50, PARAMS))
    assert len(made) == 400
    assert {len(rows) for rows in made} == {50}
    assert 0.6 < np.mean([len(set(rows.tolist())) / 50 for rows in made]) < 0.67  # 1 − 1/e
