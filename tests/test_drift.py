"""Test the drift monitor: what chance and seasons do is no drift, and one column that moved is found and named."""

import numpy as np
import pytest
from samples import columns, contract, params

from hearth.drift import Chance, moved
from hearth.profile import Profile, ProfileParams, profile
from hearth.strict import parse

CHANCE = Chance(draws=4000, seed=1, rate=0.01)
KNOWN = columns(3000)
PROFILE = parse(
    Profile,
    profile(KNOWN, contract(), np.log(KNOWN["price"]), parse(ProfileParams, params("profile"), "params"))
    | {"model_version": "a"},
    "profile",
)
TESTS = len(PROFILE.features)


def drifted(values: dict[str, np.ndarray]) -> list[str]:
    return [name for name, shape in PROFILE.features.items() if moved(shape, values[name], CHANCE, TESTS).drifted]


def sample(seed: int, rows: int = 350) -> dict[str, np.ndarray]:
    drawn = np.random.default_rng(seed).integers(len(KNOWN["price"]), size=rows)
    return {name: values[drawn] for name, values in KNOWN.items()}


def test_a_resample_of_the_training_data_is_called_drifted_no_oftener_than_was_chosen() -> None:
    bad = sum(bool(drifted(sample(seed))) for seed in range(300))
    assert bad <= 9  # of three that are due, Poisson; ten would be one in a thousand


def test_chance_is_not_given_so_much_room_that_nothing_is_ever_found() -> None:
    loose = Chance(draws=4000, seed=1, rate=0.3)
    bad = sum(
        any(moved(shape, sample(seed)[name], loose, TESTS).drifted for name, shape in PROFILE.features.items())
        for seed in range(100)
    )
    assert bad >= 5


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("sqft_living", lambda v: v * 0.092903),  # square metres
        ("grade", lambda v: np.minimum(v + 1, 13)),
        ("waterfront", lambda v: ~v.astype(bool)),
        ("lat", lambda v: v + 0.1),
        ("zipcode", lambda v: np.full_like(v, 98103)),
        ("yr_renovated", lambda v: np.where(np.arange(len(v)) % 2 == 0, 0, v)),
    ],
)
def test_drift_that_is_planted_in_one_column_is_found_there_alone(column: str, change: object) -> None:
    values = sample(7)
    assert drifted(values) == []
    assert drifted(values | {column: change(values[column])}) == [column]  # type: ignore[operator]


def test_empty_cells_and_new_categories_are_drift() -> None:
    shape = PROFILE.features["sqft_lot"]
    values = sample(3)["sqft_lot"].astype(float)
    assert not moved(shape, values, CHANCE, TESTS).drifted
    values[:40] = np.nan
    found = moved(shape, values, CHANCE, TESTS)
    assert found.drifted
    assert found.said.startswith("empty: 11.4% instead of 0.0%, ")


def test_columns_that_wander_from_week_to_week_have_a_higher_floor() -> None:
    shape = PROFILE.features["grade"]
    calm, wandering = (shape.model_copy(update={"wander": value}) for value in (0.0, 0.01))
    values = sample(1)["grade"]
    assert moved(wandering, values, CHANCE, 1).floor > 1.8 * moved(calm, values, CHANCE, 1).floor
    # However many rows there are: between windows of that size lies more than chance.
    many = np.tile(values, 300)
    assert moved(calm, many, CHANCE, 1).floor < 0.012 < moved(wandering, many, CHANCE, 1).floor


def test_true_and_one_are_the_same_level() -> None:
    shape = PROFILE.features["waterfront"]
    flags = sample(2)["waterfront"]
    assert np.array_equal(shape.counts(flags.astype(bool)), shape.counts(flags.astype(float)))
