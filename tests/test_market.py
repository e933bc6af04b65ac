"""Test the price index by hand, and on planted markets: what rose goes on rising for a while, what was flat stays flat."""

import datetime
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import params

from hearth.errors import Refusal
from hearth.market import WILD, MarketParams, PriceIndex, fit_index
from hearth.strict import parse

FIRST = np.datetime64("2014-05-01")
LAST = datetime.date(2015, 1, 1)
WEEKLY = MarketParams(knot_days=7, smoothing=10.0, trend_days=28, damping_days=60.0)


def index(levels: tuple[float, ...] = (-0.2, 0.0, 0.1), slope: float = 0.01, damping_days: float = 60.0) -> PriceIndex:
    return PriceIndex(last_knot=LAST, knot_days=10, levels=levels, slope=slope, damping_days=damping_days)


def changed(**other: Any) -> MarketParams:
    return WEEKLY.model_copy(update=other)


def sales(count: int = 600, days: int = 210, seed: int = 0) -> np.ndarray:
    """Return days of sales, the first and the last among them."""
    drawn = np.random.default_rng(seed).integers(0, days, count - 2)
    return FIRST + np.concatenate([[0, days - 1], drawn])


def since_first(days: np.ndarray) -> np.ndarray:
    return (days - FIRST).astype(np.float64)


# The level on a day


@pytest.mark.parametrize(
    ("day", "damping_days", "expected"),
    [
        pytest.param(-1000, 60.0, -0.2, id="long before the first knot"),
        pytest.param(-21, 60.0, -0.2, id="the day before the first knot"),
        pytest.param(-20, 60.0, -0.2, id="at the first knot"),
        pytest.param(-15, 60.0, -0.1, id="between the first two"),
        pytest.param(-10, 60.0, 0.0, id="at a knot"),
        pytest.param(-1, 60.0, 0.09, id="between the last two"),
        pytest.param(0, 60.0, 0.1, id="at the last knot"),
        pytest.param(1, 60.0, 0.1 + 0.6 * (1 - math.exp(-1 / 60)), id="a day after it"),
        pytest.param(60, 60.0, 0.1 + 0.6 * (1 - math.exp(-1)), id="as many days after it as the damping has"),
        pytest.param(10_000, 60.0, 0.7, id="in the long run: slope times damping"),
        pytest.param(60, 1.0, 0.11, id="a short damping"),
        pytest.param(1, 0.0, 0.1, id="no trend, a day after"),
        pytest.param(10_000, 0.0, 0.1, id="no trend, in the long run"),
        pytest.param(-15, 0.0, -0.1, id="no trend, between the first two"),
    ],
)
def test_the_level_by_hand(day: int, damping_days: float, expected: float) -> None:
    days = np.array([np.datetime64(LAST) + day])
    found = index(damping_days=damping_days).level(days)
    assert (found.shape, found.dtype) == ((1,), np.float64)
    assert found[0] == pytest.approx(expected, abs=1e-12)


def test_one_knot_is_a_level_for_all_days_before_it() -> None:
    days = np.datetime64(LAST) + np.array([-400, 0, 30])
    assert index(levels=(0.3,), slope=0.0).level(days).tolist() == [0.3, 0.3, 0.3]


def test_a_damped_trend_rises_ever_more_slowly() -> None:
    steps = np.diff(index().level(np.datetime64(LAST) + np.arange(200)))
    assert (steps > 0).all()
    assert (np.diff(steps) < 0).all()
    assert steps[0] == pytest.approx(0.01, rel=0.01)


def test_days_alone_have_the_level_they_have_among_others() -> None:
    days = np.datetime64(LAST) + np.arange(-40, 200)
    alone = [index().level(days[place : place + 1])[0] for place in range(len(days))]
    assert alone == index().level(days).tolist()


# The index of sales


def test_the_index_by_hand() -> None:
    """Weeks end with the newest day, a knot stands in the middle of its week, and levels are relative to the mean sale."""
    days = FIRST + np.array([0, 1, 8, 8, 14])  # weeks -6..0, 1..7 and 8..14
    found = fit_index(days, np.array([0.1, 0.2, 0.3, 0.5, 0.4]), changed(smoothing=0.0, trend_days=7))
    assert found.last_knot == (FIRST + 11).item()
    assert found.levels == (-0.2, -0.1, 0.1)  # means 0.1, 0.2 and 0.4; that of all sales 0.3
    assert found.slope == pytest.approx(0.2 / 7, abs=1e-9)
    assert (found.knot_days, found.damping_days) == (7, 60.0)


@pytest.mark.parametrize(("knot_days", "back"), [(1, 0), (2, 0), (3, 1), (7, 3), (30, 14)])
def test_the_last_knot_is_the_middle_of_the_newest_days(knot_days: int, back: int) -> None:
    assert fit_index(sales(), np.zeros(600), changed(knot_days=knot_days)).last_knot == (FIRST + 209 - back).item()


def test_levels_are_relative_to_the_mean_sale() -> None:
    days, residuals = sales(), np.random.default_rng(1).normal(0.1, 0.05, 600)
    found = fit_index(days, residuals, WEEKLY)
    week = ((days.max() - days).astype(int)) // 7
    assert np.mean(np.array(found.levels)[len(found.levels) - 1 - week]) == pytest.approx(0, abs=1e-6)
    assert fit_index(days, residuals + 0.1, WEEKLY).levels == pytest.approx(found.levels, abs=1.1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 1.0, 1e3, 1e6])
def test_a_straight_line_costs_nothing_under_any_smoothing(smoothing: float) -> None:
    days = FIRST + np.repeat(np.arange(3, 210, 7), 20)  # all sales in the middle of their weeks
    days = np.concatenate([days, [FIRST + 206 + 3]])  # but for the newest, which closes the last one
    rise = 0.001 * (days - FIRST).astype(np.float64)
    rise[-1] = 0.206
    found = fit_index(days, rise - rise.mean(), changed(smoothing=smoothing))
    np.testing.assert_allclose(np.diff(found.levels), 0.007, atol=2e-6)
    assert found.slope == pytest.approx(0.001, abs=1e-7)


def test_a_bend_does_cost_something() -> None:
    """The negative proof: a market that turns is followed less closely, the more smoothing there is."""
    days = sales()
    turn = np.abs(since_first(days) - 105) / 500
    off = [
        float(
            np.abs(
                fit_index(days, turn - turn.mean(), changed(smoothing=much)).level(days) - (turn - turn.mean())
            ).max()
        )
        for much in (0.0, 100.0, 1e6)
    ]
    assert off[0] < off[1] / 1.5 < off[2] / 3, off


def test_a_planted_rise_is_recovered_through_noise_and_goes_on_for_a_while() -> None:
    """A tenth of a percent a day; sixty days on, nearly two thirds of what the damping still allows has been added."""
    days = sales(3000)
    residuals = 0.001 * (since_first(days) - 105) + np.random.default_rng(2).normal(0, 0.02, 3000)
    found = fit_index(days, residuals, changed(smoothing=1000.0, trend_days=84))
    inside = days[(days > FIRST + 7) & (days < FIRST + 200)]
    np.testing.assert_allclose(found.level(inside), 0.001 * (since_first(inside) - 105), atol=0.01)
    assert found.slope == pytest.approx(0.001, rel=0.1)
    last = found.levels[-1]
    later = found.level(np.datetime64(found.last_knot) + np.array([10, 60, 600])) - last
    assert later == pytest.approx(found.slope * 60 * (1 - np.exp(-np.array([10, 60, 600]) / 60)))
    assert later[0] > 0.008
    assert later[2] < 0.07  # it dies away: an undamped line would be at 0.6


@pytest.mark.parametrize("damping_days", [0.0, 60.0])
def test_a_flat_market_stays_flat(damping_days: float) -> None:
    days = sales()
    found = fit_index(days, np.full(600, 0.2), changed(damping_days=damping_days))
    assert set(found.levels) == {0.0}
    assert found.slope == 0.0
    assert found.level(np.array([FIRST, FIRST + 100, FIRST + 2000])).tolist() == [0.0, 0.0, 0.0]
    assert "-0.0" not in found.model_dump_json()


def test_the_trend_is_that_of_the_newest_days_only() -> None:
    """Half a year of fall, then two months of rise: a short trend sees the rise, one of the whole time does not."""
    days = sales(3000, 245)
    level = np.where(since_first(days) < 180, 0.18 - 0.001 * since_first(days), 0.002 * (since_first(days) - 180))
    short, whole = (fit_index(days, level, changed(trend_days=trend, smoothing=1.0)).slope for trend in (28, 10_000))
    assert short == pytest.approx(0.002, rel=0.1)
    assert whole < 0.0005


def test_a_wild_residual_counts_as_no_more_than_wild() -> None:
    days, calm = sales(), np.zeros(600)
    wild, edge = calm.copy(), calm.copy()
    wild[7], edge[7] = 50.0, WILD
    found = fit_index(days, wild, WEEKLY)
    assert found == fit_index(days, edge, WEEKLY)
    assert max(found.levels) < WILD / 5
    assert found != fit_index(days, calm, WEEKLY)
    wild[7], edge[7] = -50.0, -WILD
    assert fit_index(days, wild, WEEKLY) == fit_index(days, edge, WEEKLY)


@pytest.mark.parametrize("smoothing", [0.0, 10.0])
def test_weeks_without_a_sale_lie_between_their_neighbours(smoothing: float) -> None:
    """On a rising line the gap is filled by the line; a knot that fell back to the mean would be a hole in it."""
    days = FIRST + np.repeat([0, 7, 14, 49, 56], 4)
    rise = 0.001 * since_first(days)
    found = fit_index(days, rise - rise.mean(), changed(smoothing=smoothing, knot_days=1))
    np.testing.assert_allclose(np.diff(found.levels), 0.001, atol=2e-6)


def test_one_knot_is_no_trend() -> None:
    found = fit_index(FIRST + np.array([0, 3, 5]), np.array([0.1, 0.2, 0.3]), WEEKLY)
    assert (found.levels, found.slope) == ((0.0,), 0.0)
    assert fit_index(np.array([FIRST]), np.array([0.3]), WEEKLY).levels == (0.0,)


def test_two_knots_are_a_trend() -> None:
    found = fit_index(FIRST + np.array([0, 7]), np.array([0.0, 0.1]), WEEKLY)
    assert found.levels == (-0.05, 0.05)
    assert found.slope == pytest.approx(0.1 / 7, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.floats(-3, 3)), min_size=1, max_size=60),
    st.sampled_from([0.0, 1.0, 1000.0]), st.integers(1, 40),
)  # fmt: skip
def test_any_sales_have_a_finite_index_within_the_wild(
    pairs: list[tuple[int, float]], smoothing: float, knot_days: int
) -> None:
    """Gaps of a year, one sale, a knot a day: no level is further out than a curve through wild sales can be."""
    days, residuals = FIRST + np.array([day for day, _ in pairs]), np.array([residual for _, residual in pairs])
    found = fit_index(days, residuals, changed(smoothing=smoothing, knot_days=knot_days))
    assert np.isfinite(found.levels).all()
    assert math.isfinite(found.slope)
    assert np.isfinite(found.level(FIRST + np.arange(0, 900, 30))).all()
    assert len(found.levels) == (days.max() - days.min()).astype(int) // knot_days + 1


def test_the_same_sales_in_any_order_are_the_same_index() -> None:
    days, residuals, order = (
        sales(),
        np.random.default_rng(1).normal(0, 0.2, 600),
        np.random.default_rng(2).permutation(600),
    )
    found = fit_index(days, residuals, WEEKLY)
    assert found == fit_index(days, residuals, WEEKLY) == fit_index(days[order], residuals[order], WEEKLY)


@pytest.mark.parametrize(
    "other", [{"knot_days": 14}, {"smoothing": 500.0}, {"trend_days": 84}, {"damping_days": 30.0}], ids=str
)
def test_every_param_reaches_the_index(other: dict[str, Any]) -> None:
    days, residuals = sales(), np.random.default_rng(1).normal(0, 0.2, 600)
    later = FIRST + np.arange(0, 400, 10)
    usual, found = (fit_index(days, residuals, chosen).level(later) for chosen in (WEEKLY, changed(**other)))
    assert (found != usual).any()


def test_levels_and_slope_are_rounded() -> None:
    found = fit_index(sales(), np.random.default_rng(1).normal(0, 0.2, 600), WEEKLY)
    assert found.levels == tuple(round(level, 6) for level in found.levels)
    assert found.slope == round(found.slope, 9)


def test_days_and_residuals_are_left_as_they_are() -> None:
    days, residuals = sales(), np.random.default_rng(1).normal(0, 2, 600)
    before = days.tobytes(), residuals.tobytes()
    fit_index(days, residuals, WEEKLY)
    assert (days.tobytes(), residuals.tobytes()) == before


# In files


def test_an_index_survives_its_trip_through_a_file() -> None:
    found = fit_index(sales(), np.random.default_rng(1).normal(0, 0.2, 600), WEEKLY)
    assert PriceIndex.model_validate_json(found.model_dump_json()) == found
    assert parse(PriceIndex, found.model_dump(mode="json"), "manifest.json: index") == found


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"levels": []}, "wanted at least one level"),
        ({"levels": [0.1, math.nan]}, "index.levels.1 is nan, wanted a finite number"),
        ({"slope": math.inf}, "index.slope is inf, wanted a finite number"),
        ({"knot_days": 0}, "index.knot_days is 0, wanted greater than or equal to 1"),
        ({"damping_days": -1}, "index.damping_days is -1, wanted greater than or equal to 0"),
        ({"last_knot": "1.1.2015"}, "index.last_knot is '1.1.2015', wanted a day as 'YYYY-MM-DD'"),
    ],
)
def test_an_impossible_index_is_refused(edit: dict[str, Any], said: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse(PriceIndex, index().model_dump(mode="json") | edit, "manifest.json: index")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [("knot_days", 0), ("knot_days", 7.0), ("smoothing", -1), ("trend_days", 0), ("damping_days", -0.1)],
)
def test_impossible_params_are_refused(key: str, value: float) -> None:
    with pytest.raises(Refusal, match=rf"^params\.yaml: market\.{key} is {value}, wanted "):
        parse(MarketParams, params("market") | {key: value}, "params.yaml: market")
