"""Test what the neighbours say against a plain loop over all sales, and that a house's own sales are none of them."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import params

from hearth.errors import Refusal
from hearth.neighbours import RESOLD, SQUARE_KM, TWIN_KM2, NeighbourParams, Neighbours, coordinates, table
from hearth.strict import parse

COUNT = 5
Columns = dict[str, np.ndarray]


def made(**other: Any) -> NeighbourParams:
    """Return params of a small look-up, with some keys changed."""
    small = {
        "lat": "lat", "long": "long", "middle_lat": 47.5, "count": COUNT, "outlier_log": 0.4,
        "likeness": {"area": {"km": 2.0, "log": True}, "grade": {"km": 1.0, "log": False}},
        "means": {
            "near": {"alike": False, "softening_km2": 0.05, "power": 2},
            "alike": {"alike": True, "softening_km2": 0.5, "power": 4},
        },
    }  # fmt: skip
    return parse(NeighbourParams, small | other, "params.yaml: features.neighbours")


def rows(count: int, seed: int, grid: float = 0.0) -> Columns:
    """Return houses in a box of some 8 × 11 km; `grid`, in degrees, puts many of them at one place and alike."""
    random = np.random.default_rng(seed)
    lat, long = 47.45 + 0.1 * random.random(count), -122.05 + 0.1 * random.random(count)
    area = np.exp(random.normal(7.5, 0.5, count))
    if grid:
        lat, long, area = (
            np.round(lat / grid) * grid,
            np.round(long / grid) * grid,
            np.where(area > 1800, 2400.0, 1200.0),
        )
    return {
        "lat": lat,
        "long": long,
        "area": area,
        "grade": random.integers(6, 9, count).astype(np.float64),
        "day": np.datetime64("2014-05-01") + random.integers(0, 300, count),
    }


def residuals(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed + 1000).normal(13, 0.3, count)


def known(columns: Columns, seed: int, chosen: NeighbourParams) -> Neighbours:
    return Neighbours(table(columns, "day", residuals(len(columns["day"]), seed), chosen), chosen)


def taken(columns: Columns, places: Any) -> Columns:
    return {name: values[places] for name, values in columns.items()}


def plainly(sales: np.ndarray, house: np.ndarray, day: int, chosen: NeighbourParams) -> list[float]:
    """Return what the neighbours say of one house (east, north, likeness), by a loop over all sales."""
    if not np.isfinite(house).all():
        return [math.nan] * (len(chosen.means) + 1)
    away = [(sale[0] - house[0]) ** 2 + (sale[1] - house[1]) ** 2 for sale in sales]
    nearest = sorted(range(len(sales)), key=lambda place: (away[place], place))[: chosen.count]
    unlike = {place: sum((sales[place][2:-2] - house[2:]) ** 2) for place in nearest}
    same = {place for place in range(len(sales)) if (sales[place][:-2] == house).all()}
    found = []
    for _, mean in sorted(chosen.means.items()):
        weight = {}
        for n in nearest:
            twin = (away[n] + unlike[n]) / (away[n] + unlike[n] + TWIN_KM2)
            weight[n] = twin * (away[n] + mean.alike * unlike[n] + mean.softening_km2) ** -mean.power
        total = sum(weight.values())
        found.append(sum(weight[n] * sales[n][-1] for n in weight) / total if total else 0.0)
    return [*found, float(any(sales[place][-2] < day for place in same))]


def all_plainly(look_up: Neighbours, asked: Columns) -> np.ndarray:
    houses, days = coordinates(asked, look_up.params), asked["day"].astype("datetime64[D]").astype(int)
    return np.array([plainly(look_up.known, *house, look_up.params) for house in zip(houses, days, strict=True)])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), sales=st.integers(1, 60), count=st.sampled_from([1, 2, 5, 30, 100]),
    grid=st.sampled_from([0.0, 0.02, 0.05, 1.0]),
)  # fmt: skip
def test_the_look_up_equals_a_plain_loop(seed: int, sales: int, count: int, grid: float) -> None:
    """Ties and all: on the coarsest grid every house stands at one place; often more are asked for than are known."""
    chosen = made(count=count)
    sold = rows(sales, seed, grid)
    look_up = known(sold, seed, chosen)
    fresh = rows(20, seed + 1, grid)
    asked = {name: np.concatenate([sold[name], fresh[name]]) for name in sold}
    found = look_up.inputs(asked, "day")
    assert found.shape == (sales + 20, 3)
    np.testing.assert_allclose(found, all_plainly(look_up, asked), rtol=0, atol=2e-6)


def test_a_nearer_sale_comes_before_equally_far_ones_that_stand_earlier_in_the_table() -> None:
    """Two at 1 km and then one at 0.1 km: of two neighbours, one is the near one. A cut of the table's first two loses it."""
    chosen = made(count=2, means={"near": {"alike": False, "softening_km2": 0.01, "power": 2}})
    sales = np.array([[1.0, 0, 0, 0, 0, 10.0], [-1.0, 0, 0, 0, 0, 20.0], [0.1, 0, 0, 0, 0, 30.0]])
    look_up = Neighbours(sales, chosen)
    asked = {"lat": np.zeros(1), "long": np.zeros(1), "area": np.array([2.0]), "grade": np.zeros(1), "day": np.array(["2014-05-01"], "M8[D]")}  # fmt: skip
    weights = np.array([1.01**-2, 0.02**-2])
    expected = (
        weights * [10.0, 30.0]
    ).sum() / weights.sum()  # the first of the two that are equally far, and the near one
    # Twins count a little less; a cut that loses the near one would say 15.
    assert look_up.inputs(asked, "day")[0].tolist() == [pytest.approx(expected, abs=1e-4), 0.0]


@pytest.mark.parametrize("grid", [0.0, 0.02])
def test_a_row_alone_equals_the_row_in_a_batch_bit_for_bit(grid: float) -> None:
    look_up = known(rows(300, 3, grid), 3, made(count=40))
    asked = rows(200, 4, grid)
    alone = [look_up.inputs(taken(asked, slice(place, place + 1)), "day") for place in range(200)]
    assert np.concatenate(alone).tobytes() == look_up.inputs(asked, "day").tobytes()


def test_order_and_company_of_the_rows_do_not_matter() -> None:
    asked, order = rows(200, 4, 0.02), np.random.default_rng(1).permutation(200)
    together = known(rows(300, 3, 0.02), 3, made()).inputs(asked, "day")
    assert (
        known(rows(300, 3, 0.02), 3, made()).inputs(taken(asked, order), "day").tobytes() == together[order].tobytes()
    )


def test_a_square_that_was_asked_before_answers_as_at_first() -> None:
    """Candidates are kept per square; what was kept must not depend on the house that asked first."""
    look_up, asked = known(rows(300, 3), 3, made()), rows(100, 4)
    first = look_up.inputs(asked, "day")
    assert look_up.inputs(asked, "day").tobytes() == first.tobytes()


@pytest.mark.parametrize(
    ("sold_on", "asked_on", "flag"),
    [("2014-06-01", "2014-06-02", 1.0), ("2014-06-01", "2014-06-01", 0.0), ("2014-06-02", "2014-06-01", 0.0)],
    ids=["sold before", "this very sale", "sold later"],
)
def test_a_houses_own_sale_is_no_neighbour_and_marks_it_if_it_is_earlier(
    sold_on: str, asked_on: str, flag: float
) -> None:
    sold = rows(30, 5) | {"day": np.full(30, np.datetime64(sold_on))}
    asked = taken(sold, [7]) | {"day": np.array([np.datetime64(asked_on)])}
    found = known(sold, 5, made()).inputs(asked, "day")[0]
    prices = residuals(30, 5)
    without = Neighbours(
        table(taken(sold, np.arange(30) != 7), "day", prices[np.arange(30) != 7], made()), made(count=COUNT - 1)
    )
    assert found[-1] == flag
    assert found[:-1].tolist() == without.inputs(asked, "day")[0, :-1].tolist()


def test_its_own_price_moves_nothing() -> None:
    """And another's does, so that the look-up is not deaf."""
    sold, prices, asked = rows(30, 5), residuals(30, 5), taken(rows(30, 5), [7])
    nearest = int(
        np.argsort([math.dist(house[:2], coordinates(asked, made())[0, :2]) for house in coordinates(sold, made())])[1]
    )

    def said(changed: int) -> list[float]:
        other = prices + 5 * (np.arange(30) == changed)
        found: list[float] = Neighbours(table(sold, "day", other, made()), made()).inputs(asked, "day")[0].tolist()
        return found

    unchanged: list[float] = Neighbours(table(sold, "day", prices, made()), made()).inputs(asked, "day")[0].tolist()
    assert said(7) == unchanged
    assert said(nearest) != unchanged


@pytest.mark.parametrize("unlike", ["area", "grade", "lat", "long"])
def test_another_house_at_the_place_is_a_neighbour(unlike: str) -> None:
    """A flat in the same building: only place and likeness together tell a house."""
    sold = taken(rows(1, 6), [0])
    other = sold | {unlike: sold[unlike] * (1 + 1e-3), "day": sold["day"] + 1}
    assert known(sold, 6, made()).inputs(other, "day")[0].tolist() == [round(residuals(1, 6)[0], 6)] * 2 + [0.0]


def test_a_house_without_any_neighbour_but_itself_is_told_nothing() -> None:
    sold = rows(1, 6)
    assert known(sold, 6, made()).inputs(sold, "day").tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize("empty", ["lat", "long", "area", "grade"])
@pytest.mark.parametrize("company", [0, 20], ids=["alone", "among others"])
def test_a_house_without_a_place_is_told_nothing_at_all(empty: str, company: int) -> None:
    look_up, asked = known(rows(30, 5), 5, made()), rows(company + 1, 8)
    spoilt = asked | {empty: np.where(np.arange(company + 1) == company // 2, np.nan, asked[empty])}
    found, whole = look_up.inputs(spoilt, "day"), look_up.inputs(asked, "day")
    assert np.isnan(found[company // 2]).all()
    assert np.delete(found, company // 2, 0).tobytes() == np.delete(whole, company // 2, 0).tobytes()
    assert np.isfinite(whole).all()


def test_a_sale_without_a_place_is_not_known() -> None:
    sold, prices = rows(30, 5), residuals(30, 5)
    spoilt = sold | {"lat": np.where(np.arange(30) < 4, np.nan, sold["lat"])}
    found = table(spoilt, "day", prices, made())
    assert found.shape == (26, 6)
    assert found.tolist() == table(taken(sold, slice(4, None)), "day", prices[4:], made()).tolist()


def test_squares_that_are_kept_do_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that is asked all over the county must not fill the machine's memory."""
    monkeypatch.setattr("hearth.neighbours.SQUARES_MAX", 5)
    asked = rows(200, 4, 0.0)
    few = known(rows(300, 3, 0.0), 3, made())
    found = few.inputs(asked, "day")
    monkeypatch.undo()
    many = known(rows(300, 3, 0.0), 3, made())
    assert found.tobytes() == many.inputs(asked, "day").tobytes()
    assert len(few._squares) <= 5 < len(many._squares)


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize("sales", [8, 40, 400])
def test_a_squares_candidates_hold_the_nearest_of_every_point_of_it(count: int, sales: int) -> None:
    """Corners and edges included; the sales lie thick on one side, so that the middle's nearest are not a corner's."""
    random = np.random.default_rng(sales + count)
    places = np.abs(random.normal(0, 2, (sales, 2)))
    look_up = Neighbours(np.column_stack([places, np.zeros((sales, 4))]), made(count=count))
    inside = np.concatenate([
        [[0, 0], [0, 1 - 1e-12], [1 - 1e-12, 0], [1 - 1e-12, 1 - 1e-12], [0.5, 0.5], [0.5, 0]], random.random((60, 2)),
    ]) * SQUARE_KM  # fmt: skip
    fewer = 0
    for square in [(0.0, 0.0), (-1.0, 0.0), (2.0, 1.0), (30.0, -4.0)]:
        candidates = set(look_up._candidates(square).tolist())
        for point in (np.array(square) + inside) * SQUARE_KM:
            nearest = np.argsort(((places - point) ** 2).sum(axis=1), kind="stable")[:count]
            assert candidates >= set(nearest.tolist()), (square, point)
        fewer += len(candidates) < sales
    assert fewer or sales < 40  # otherwise a look-up through all sales would pass


def test_the_order_of_keys_in_params_does_not_matter() -> None:
    """A manifest has its keys sorted, params.yaml has them as a person wrote them."""
    chosen = made()
    turned = made(
        likeness=dict(reversed(chosen.model_dump()["likeness"].items())),
        means=dict(reversed(chosen.model_dump()["means"].items())),
    )
    assert list(turned.likeness) != list(chosen.likeness)
    assert list(turned.means) != list(chosen.means)
    sold, asked = rows(60, 5), rows(20, 8)
    assert (
        known(sold, 5, turned).inputs(asked, "day").tobytes() == known(sold, 5, chosen).inputs(asked, "day").tobytes()
    )
    assert (turned.names, turned.columns) == (chosen.names, chosen.columns)


def test_names_and_columns_by_hand() -> None:
    assert made().names == ["neighbours_alike", "neighbours_near", RESOLD]
    assert made().columns == ("lat", "long", "area", "grade")


def test_each_mean_stands_under_its_name() -> None:
    """With one mean only, its column is that of the two together."""
    sold, asked, both = rows(60, 5), rows(20, 8), made()
    found = known(sold, 5, both).inputs(asked, "day")
    for place, name in enumerate(both.names[:-1]):
        one = made(
            means={name.removeprefix("neighbours_"): both.model_dump()["means"][name.removeprefix("neighbours_")]}
        )
        assert known(sold, 5, one).inputs(asked, "day")[:, 0].tolist() == found[:, place].tolist()
    assert (found[:, 0] != found[:, 1]).all()


@pytest.mark.parametrize(
    "changed",
    [
        {"count": 4}, {"middle_lat": 20.0}, {"likeness": {"area": {"km": 5.0, "log": True}, "grade": {"km": 1.0, "log": False}}},
        {"likeness": {"area": {"km": 2.0, "log": False}, "grade": {"km": 1.0, "log": False}}},
        {"likeness": {"area": {"km": 2.0, "log": True}}},
    ],
    ids=str,
)  # fmt: skip
def test_every_param_reaches_the_look_up(changed: dict[str, Any]) -> None:
    sold, asked = rows(60, 5), rows(20, 8)
    found = known(sold, 5, made(**changed)).inputs(asked, "day")
    assert (found[:, :2] != known(sold, 5, made()).inputs(asked, "day")[:, :2]).any()


@pytest.mark.parametrize(("key", "value"), [("alike", True), ("softening_km2", 0.5), ("power", 4)])
def test_every_param_of_a_mean_reaches_it(key: str, value: object) -> None:
    sold, asked, means = rows(60, 5), rows(20, 8), made().model_dump()["means"]
    found = known(sold, 5, made(means=means | {"near": means["near"] | {key: value}})).inputs(asked, "day")
    usual = known(sold, 5, made()).inputs(asked, "day")
    assert (found[:, 1] != usual[:, 1]).any()
    assert found[:, 0].tolist() == usual[:, 0].tolist()


def test_coordinates_by_hand() -> None:
    """A degree of latitude is 111.19 km, one of longitude at 60° half of that; an area e times as large is 2 km away."""
    asked = {"lat": np.array([1.0]), "long": np.array([-2.0]), "area": np.array([math.e**3]), "grade": np.array([7.0])}
    assert coordinates(asked, made(middle_lat=60.0))[0].tolist() == pytest.approx([-111.19, 111.19, 6.0, 7.0], abs=1e-9)


def test_an_area_of_nothing_has_a_logarithm_all_the_same() -> None:
    asked = {"lat": np.array([1.0]), "long": np.array([-2.0]), "area": np.array([0.0]), "grade": np.array([7.0])}
    assert coordinates(asked, made())[0, 2] == pytest.approx(2 * math.log(1e-9))


def test_what_is_said_is_rounded() -> None:
    found = known(rows(60, 5), 5, made()).inputs(rows(20, 8), "day")
    assert (found == np.round(found, 6)).all()
    assert (found != np.round(found, 5)).any()


def test_asking_leaves_the_columns_and_the_table_alone() -> None:
    sold = table(rows(30, 5), "day", residuals(30, 5), made())
    asked, kept = rows(20, 8), sold.copy()
    before = {name: values.copy() for name, values in asked.items()}
    Neighbours(sold, made()).inputs(asked, "day")
    assert all((asked[name] == values).all() for name, values in before.items())
    assert (sold == kept).all()


@pytest.mark.parametrize("shape", [(0, 6), (3, 5), (3, 7), (6,)])
def test_a_table_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^known sales of shape \(.*\), wanted \(n, 6\)$"):
        Neighbours(np.zeros(shape), made())


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"count": 0}, "count is 0, wanted greater than or equal to 1"),
        ({"count": 10_001}, "count is 10001, wanted less than or equal to 10000"),
        ({"middle_lat": 90}, "middle_lat is 90, wanted less than 90"),
        ({"likeness": {}}, "wanted at least one entry in means and one in likeness"),
        ({"means": {}}, "wanted at least one entry in means and one in likeness"),
        ({"likeness": {"area": {"km": 0, "log": True}}}, "likeness.area.km is 0, wanted greater than 0"),
        ({"likeness": {"area": {"km": 1, "log": 1}}}, "likeness.area.log is 1, wanted a valid boolean"),
        ({"means": {"near": {"alike": False, "softening_km2": 0, "power": 2}}}, "means.near.softening_km2 is 0, wanted greater than 0"),
        ({"means": {"near": {"alike": False, "softening_km2": 1, "power": 3}}}, "means.near.power is 3, wanted 2 or 4"),
    ],
)  # fmt: skip
def test_impossible_params_are_refused(edit: dict[str, Any], said: str) -> None:
    with pytest.raises(Refusal) as caught:
        made(**edit)
    assert str(caught.value).startswith("params.yaml: features.neighbours")
    assert said in str(caught.value)


def test_the_shipped_params_are_possible() -> None:
    found = parse(NeighbourParams, params("features")["neighbours"], "params.yaml: features.neighbours")
    assert found.names[-1] == RESOLD
    assert len(found.names) == len(found.means) + 1
