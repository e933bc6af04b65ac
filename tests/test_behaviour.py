"""Try the released model as a person would who knows houses: on sales that it has not seen, one thing changed at a time.

A bound is a quantile, since a tree may step down anywhere: most houses have to move the right way, and hardly any far
the wrong way. Each check is tried on a spoilt model too, which it has to find.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import Remade, sample
from numpy.typing import NDArray
from samples import service_limits

from hearth.answering import Answers
from hearth.parquet import columns_of, to_frame
from hearth.release import Release, open_release
from hearth.request import requests_of
from hearth.storage import read_folder
from hearth.tables import conform

Columns = Mapping[str, NDArray[Any]]
Change = Callable[[Columns], dict[str, NDArray[Any]]]
Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def release(remade: Remade) -> Release:
    return open_release(read_folder(remade.checkout.root / "models/model"), "models/model")


@pytest.fixture(scope="module")
def houses(release: Release) -> Columns:
    """Return every sixth sale of March to May 2015, which the road never saw, all as of one day."""
    frame = sample()
    later = frame[frame["date"].astype(str) >= str(release.facts.as_of)].iloc[::6]
    known = columns_of(
        to_frame(conform(pa.Table.from_pandas(later, preserve_index=False), release.contract, "the sample"))
    )
    return known | {"date": np.full(len(later), np.datetime64(release.facts.as_of))}


class Spoilt:
    """Be a release with something added to its log prices."""

    def __init__(self, release: Release, fault: Callable[[Columns], Floats]) -> None:
        """Keep both."""
        self._release, self._fault = release, fault

    def log_price(self, columns: Columns) -> Floats:
        return self._release.log_price(columns) + self._fault(columns)


def moved(release: Release | Spoilt, houses: Columns, change: Change) -> Floats:
    """Return by how much each house's log price moves."""
    return release.log_price(dict(houses) | change(houses)) - release.log_price(houses)


def larger(share: float) -> Change:
    def change(known: Columns) -> dict[str, NDArray[Any]]:
        above = np.round(known["sqft_above"] * (1 + share))
        return {"sqft_above": above, "sqft_living": above + known["sqft_basement"]}

    return change


def at_most(name: str, most: float, step: float = 1) -> Change:
    return lambda known: {name: np.minimum(known[name] + step, np.maximum(most, known[name]))}


# What should raise a price: the change, how much the median house gains at least, and how much all but one in a
# hundred lose at most, in log price.
DIRECTIONS = {
    "a tenth more living area": (larger(0.1), 0.01, 0.12),
    "a quarter more living area": (larger(0.25), 0.04, 0.08),
    "half as much living area again": (larger(0.5), 0.09, 0.04),
    "a better grade": (at_most("grade", 13), 0.04, 0.08),
    "a better condition": (at_most("condition", 5), 0.02, 0.03),
    "a better view": (at_most("view", 4), 0.02, 0.09),
    "the water at the door": (lambda known: {"waterfront": np.ones_like(known["waterfront"])}, 0.2, 0.0),
    "a fresh renovation": (lambda known: {"yr_renovated": np.maximum(known["yr_built"], 2014.0)}, 0.05, 0.03),
    "a bathroom more": (at_most("bathrooms", 8), 0.0, 0.05),
}  # fmt: skip


def goes_up(change: Floats, gain: float, loss: float) -> list[str]:
    """Return what speaks against a rise."""
    median, low = float(np.median(change)), float(np.quantile(change, 0.01))
    faults = [f"the median house gains {median:+.3f}, wanted at least {gain}"] if median < gain else []
    return faults + ([f"one in a hundred loses {low:+.3f} or more, wanted {-loss}"] if low < -loss else [])


@pytest.mark.parametrize("name", DIRECTIONS)
def test_what_makes_a_house_better_does_not_make_it_cheaper(release: Release, houses: Columns, name: str) -> None:
    change, gain, loss = DIRECTIONS[name]
    assert goes_up(moved(release, houses, change), gain, loss) == []


def test_a_model_that_likes_small_houses_is_found(release: Release, houses: Columns) -> None:
    change, gain, loss = DIRECTIONS["a quarter more living area"]
    wrong = Spoilt(release, lambda known: -0.6 * np.log(known["sqft_living"]))
    assert len(goes_up(moved(wrong, houses, change), gain, loss)) == 2


def test_a_model_that_dislikes_large_houses_in_one_place_is_found(release: Release, houses: Columns) -> None:
    """The median does not see it: a fiftieth of the houses."""
    change, gain, loss = DIRECTIONS["a quarter more living area"]
    north = np.quantile(houses["lat"], 0.98)
    wrong = Spoilt(release, lambda known: -1.0 * np.log(known["sqft_living"]) * (known["lat"] > north))
    (said,) = goes_up(moved(wrong, houses, change), gain, loss)
    assert said.startswith("one in a hundred loses ")


# What hardly matters: a few feet, a few square feet, a day.
NOISE: dict[str, Change] = {
    "eleven metres north": lambda known: {"lat": known["lat"] + 1e-4},
    "eight metres east": lambda known: {"long": known["long"] + 1e-4},
    "one square foot": lambda known: {name: known[name] + 1 for name in ("sqft_living", "sqft_above")},
    "ten square feet of land": lambda known: {"sqft_lot": known["sqft_lot"] + 10},
    "a day later": lambda known: {"date": known["date"] + np.timedelta64(1, "D")},
    "a year older": lambda known: {"yr_built": known["yr_built"] - 1},
}


def hardly_moves(change: Floats) -> list[str]:
    """Return what speaks against calm, in log price."""
    found = {"half": (0.5, 0.01), "one in twenty": (0.95, 0.05), "one in a hundred": (0.99, 0.1)}
    size = np.abs(change)
    return [
        f"{who} move by {np.quantile(size, share):.3f} or more, wanted less than {most}"
        for who, (share, most) in found.items()
        if not np.quantile(size, share) < most
    ]


@pytest.mark.parametrize("name", NOISE)
def test_small_noise_moves_the_price_little(release: Release, houses: Columns, name: str) -> None:
    """But for the one house in fifty that was sold before: with other facts it is no longer known as the same house."""
    first = release.inputs(houses)[:, release.facts.features.index("sold_before")] == 0
    assert 0.9 < first.mean() < 1
    fresh = {key: values[first] for key, values in houses.items()}
    assert hardly_moves(moved(release, fresh, NOISE[name])) == []


def test_a_model_that_reads_tea_leaves_is_found(release: Release, houses: Columns) -> None:
    wrong = Spoilt(release, lambda known: 0.2 * np.sin(1e5 * known["lat"]))
    assert hardly_moves(moved(wrong, houses, NOISE["eleven metres north"]))


def test_a_sold_house_is_not_its_own_neighbour(release: Release, remade: Remade) -> None:
    """On the sales behind the model: one square foot more must not make a house its own comparable sale."""
    from hearth.parquet import read_frame

    known = columns_of(read_frame(remade.checkout.root / "data/prepared/test.parquet").iloc[::4])
    size = np.abs(moved(release, known, NOISE["one square foot"]))
    assert np.quantile(size, 0.5) < 0.01
    assert np.quantile(size, 0.95) < 0.05


# What must not matter at all.


def test_order_of_fields_and_rows_spelling_of_numbers_and_company_change_nothing(
    release: Release, houses: Columns
) -> None:
    answers = Answers(release, service_limits(1000))
    requests = requests_of(houses, release.contract)[:60]
    alone = [answers.predict(json.dumps(house).encode()) for house in requests]
    turned = [answers.predict(json.dumps(dict(reversed(house.items()))).encode()) for house in requests]
    batch = answers.predict_batch(json.dumps({"houses": requests[::-1]}).encode())["predictions"][::-1]
    spelt = [answers.predict(json.dumps(house, indent=3).replace(".0,", ".00,").encode()) for house in requests]
    told = [[(a["price"], a["low"], a["high"]) for a in found] for found in (alone, turned, batch, spelt)]
    assert told[0] == told[1] == told[2] == told[3]
    assert len(set(told[0])) > 50


def test_the_id_and_the_price_of_a_row_do_not_reach_its_price(release: Release, houses: Columns) -> None:
    other = dict(houses) | {"id": houses["id"][::-1].copy(), "price": houses["price"][::-1].copy()}
    assert release.log_price(other).tolist() == release.log_price(houses).tolist()


# Extremes.

EXTREMES: dict[str, dict[str, Any]] = {
    "the largest lot": {"sqft_lot": 5_000_000.0},
    "the smallest lot": {"sqft_lot": 100.0},
    "the oldest house": {"yr_built": 1850.0, "yr_renovated": 0.0},
    "a house of next year": {"yr_built": 2016.0, "yr_renovated": 0.0},
    "the north-west corner": {"lat": 47.79, "long": -122.54},
    "the south-east corner, in the mountains": {"lat": 47.08, "long": -121.06},
    "a studio without a bath": {"bedrooms": 0.0, "bathrooms": 0.0},
    "a dozen baths": {"bathrooms": 12.0, "bedrooms": 15.0},
    "the smallest house": {"sqft_living": 100.0, "sqft_above": 100.0, "sqft_basement": 0.0},
    "the largest house": {"sqft_living": 20_000.0, "sqft_above": 20_000.0, "sqft_basement": 0.0},
    "the worst grade": {"grade": 1.0, "condition": 1.0},
    "the best of everything": {"grade": 13.0, "condition": 5.0, "view": 4.0, "waterfront": 1.0},
    "the far future": {"date": np.datetime64("2049-12-31")},
    "before the first sale": {"date": np.datetime64("2014-01-01")},
}


@pytest.mark.parametrize("name", EXTREMES)
def test_extremes_of_the_contract_are_priced_within_reason(release: Release, houses: Columns, name: str) -> None:
    """The sold houses cost 75,000 to 7,700,000; no single extreme leads outside, and the interval holds the price."""
    known = {key: values[::5] for key, values in houses.items()}
    extreme = {key: np.full_like(known[key], value) for key, value in EXTREMES[name].items()}
    found = release.predict(known | extreme)
    assert np.isfinite(np.stack([found.price, found.low, found.high])).all()
    assert found.price.min() > 50_000
    assert found.price.max() < 10_000_000
    assert ((found.low < found.price) & (found.price < found.high)).all()


def test_every_corner_of_the_contract_at_once_is_finite(release: Release) -> None:
    """A thousand houses with each value at one of its bounds, or in between."""
    chance = np.random.default_rng(20150301)
    columns: dict[str, NDArray[Any]] = {"date": np.full(1000, np.datetime64(release.facts.as_of))}
    for column in release.contract.features:
        if column.categories:
            columns[column.name] = chance.choice(np.array(column.categories), 1000)
        elif column.type == "boolean":
            columns[column.name] = chance.integers(0, 2, 1000).astype(np.float64)
        else:
            low, high = float(column.minimum), float(column.maximum)  # type: ignore[arg-type]
            columns[column.name] = chance.choice([low, high, np.round((low + high) / 2)], 1000)
    found = release.predict(columns)
    assert np.isfinite(np.stack([found.price, found.low, found.high])).all()
    assert ((found.low > 0) & (found.low < found.price) & (found.price < found.high)).all()


def test_the_market_goes_on_after_the_last_sale_and_stops_at_the_horizon(release: Release, houses: Columns) -> None:
    """The index term, seen from outside: the same houses, month after month."""
    days = [np.datetime64(release.facts.as_of) + np.timedelta64(days, "D") for days in (0, 30, 60, 400)]
    levels = [float(np.mean(release.log_price(dict(houses) | {"date": np.full(len(houses["lat"]), day)}))) for day in days]  # fmt: skip
    first, second, horizon, later = levels
    assert 0 < second - first < 0.05
    assert 0 < horizon - second < second - first
    assert later == pytest.approx(horizon, abs=0.002)
