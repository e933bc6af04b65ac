"""Test the model's inputs: each derived feature by hand, and that a row's inputs depend on that row alone."""

import datetime
import inspect
from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import PARAMS_TEXT, changed, columns, contract, houses, params, recipe, sales

from hearth.errors import Refusal
from hearth.features import (
    DERIVED,
    EARTH_RADIUS_KM,
    Derived,
    FeatureParams,
    Place,
    beside,
    compute,
    derived,
    distance_km,
    feature_names,
    input_names,
    model_inputs,
)
from hearth.neighbours import Neighbours, table
from hearth.parquet import columns_of, to_frame
from hearth.request import columns_of as columns_of_request
from hearth.rules import Columns

MANY = columns(200, seed=3)


def taken(known: Columns, rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[rows] for name, values in known.items()}


def row(**cells: object) -> dict[str, np.ndarray]:
    """Return one row of columns; a text is a day."""
    return {
        name: np.array([value], dtype="datetime64[D]" if isinstance(value, str) else np.float64)
        for name, value in cells.items()
    }


CENTRES = {"east": {"lat": 47.0, "long": -121.0}, "at": {"lat": 47.5, "long": -122.0}}


@pytest.mark.parametrize(
    ("name", "cells", "expected"),
    [
        ("market_days", {"date": "2014-05-01"}, 0),
        ("market_days", {"date": "2015-03-01"}, 304),
        ("market_days", {"date": "2014-04-30"}, -1),
        ("age", {"date": "2015-03-01", "yr_built": 1975}, 40),
        ("age", {"date": "2014-12-31", "yr_built": 2015}, -1),
        ("years_since_work", {"date": "2015-03-01", "yr_built": 1975, "yr_renovated": 2005}, 10),
        ("years_since_work", {"date": "2015-03-01", "yr_built": 1975, "yr_renovated": 0}, 40),
        ("renovated", {"yr_renovated": 2005}, 1),
        ("renovated", {"yr_renovated": 0}, 0),
        ("grade_times_size", {"grade": 7, "sqft_living": 1}, 0),
        ("grade_times_size", {"grade": 7, "sqft_living": 1910}, 7 * 7.554858521040676),
        ("basement_share", {"sqft_basement": 350, "sqft_living": 1750}, 0.2),
        ("lot_per_living", {"sqft_lot": 7640, "sqft_living": 1910}, 4),
        ("living_per_room", {"sqft_living": 1250, "bedrooms": 3, "bathrooms": 2.25}, 200),
        ("living_per_room", {"sqft_living": 300, "bedrooms": 0, "bathrooms": 0}, 300),
        ("baths_per_bedroom", {"bathrooms": 2.25, "bedrooms": 3}, 0.75),
        ("baths_per_bedroom", {"bathrooms": 1, "bedrooms": 0}, 1),
        ("living_beside_neighbours", {"sqft_living": 1840, "sqft_living15": 3680}, 0.5),
        ("lot_beside_neighbours", {"sqft_lot": 9000, "sqft_lot15": 6000}, 1.5),
        ("northeast", {"lat": 47.5, "long": -122}, 47.5 - 81.74),
        ("northwest", {"lat": 47.5, "long": -122}, 47.5 + 81.74),
        ("km_to_centres", {"lat": 47.5, "long": -122}, [0, 93.744177]),  # sorted by name: at, east
    ],
)
def test_a_derived_feature_by_hand(name: str, cells: Mapping[str, object], expected: object) -> None:
    feature = DERIVED[name]
    inputs = row(**cells)
    assert set(inputs) == set(feature.columns)
    found = feature.function(**inputs, **({"recipe": recipe(centres=CENTRES)} if feature.reads_recipe else {}))
    assert found.shape[0] == 1
    np.testing.assert_allclose(found[0], expected, rtol=1e-6, atol=1e-9)


def test_every_derived_feature_stands_in_the_table_above() -> None:
    mark = next(m for m in test_a_derived_feature_by_hand.pytestmark if m.name == "parametrize")
    assert {case[0] for case in mark.args[1]} == set(DERIVED)


def test_every_derived_feature_is_used_by_the_shipped_recipe_but_one_that_is_left_out_on_purpose() -> None:
    """The market's level is the price index's; params.yaml says why trees are not to see the day as well."""
    assert set(DERIVED) - set(recipe().derived) == {"market_days"}
    assert "market_days" in PARAMS_TEXT


@pytest.mark.parametrize(
    ("here", "there", "km"),
    [
        pytest.param((48.8566, 2.3522), (51.5074, -0.1278), 343.556535, id="Paris to London"),
        pytest.param((40.7128, -74.0060), (34.0522, -118.2437), 3935.751691, id="New York to Los Angeles"),
        pytest.param((0, 0), (0, 1), 6371.0088 * np.pi / 180, id="a degree of the equator"),
        pytest.param((47.0, -122.0), (48.0, -122.0), 6371.0088 * np.pi / 180, id="a degree of a meridian"),
        pytest.param((47.5, -122.0), (47.5, -122.0), 0, id="nowhere"),
        pytest.param((0, 179.5), (0, -179.5), 6371.0088 * np.pi / 180, id="across the date line"),
        pytest.param((90, 0), (-90, 0), 6371.0088 * np.pi, id="pole to pole"),
    ],
)
def test_distance_against_known_pairs(here: tuple[float, float], there: tuple[float, float], km: float) -> None:
    """The kilometres of the cities were worked out by another formula, the angle between two vectors (atan2)."""
    assert distance_km(np.array([here[0]]), np.array([here[1]]), *there)[0] == pytest.approx(km, rel=1e-8, abs=1e-9)


def test_names_are_the_features_in_order_then_the_derived() -> None:
    names = feature_names(contract(), recipe())
    assert names[:18] == [column.name for column in contract().features]
    assert names[18:-4] == [name for name in recipe().derived if name != "km_to_centres"]
    assert names[-4:] == ["km_to_bellevue", "km_to_medina", "km_to_redmond", "km_to_seattle"]


@pytest.mark.parametrize(
    "chosen", [[], ["age"], ["km_to_centres"], ["km_to_centres", "age"], list(recipe().derived)], ids=len
)  # fmt: skip
def test_there_are_as_many_names_as_inputs(chosen: list[str]) -> None:
    made = recipe(derived=chosen)
    found = compute(MANY, contract(), made)
    names = feature_names(contract(), made)
    assert found.shape == (200, len(names))
    assert len(set(names)) == len(names)


def test_each_input_stands_under_its_name() -> None:
    names = feature_names(contract(), recipe())
    found = dict(zip(names, compute(MANY, contract(), recipe()).T, strict=True))
    for name in ("grade", "lat", "sqft_lot15"):
        assert found[name].tolist() == MANY[name].astype(np.float32).tolist()
    assert (
        found["age"].tolist() == (MANY["date"].astype("datetime64[Y]").astype(int) + 1970 - MANY["yr_built"]).tolist()
    )
    seattle = distance_km(MANY["lat"], MANY["long"], 47.6062, -122.3321).astype(np.float32)
    assert found["km_to_seattle"].tolist() == seattle.tolist()


def test_inputs_are_finite_float32() -> None:
    found = compute(MANY, contract(), recipe())
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


def test_one_row_is_computed_as_it_is_among_many_bit_for_bit() -> None:
    together = compute(MANY, contract(), recipe())
    alone = [compute(taken(MANY, np.array([place])), contract(), recipe()) for place in range(200)]
    assert np.concatenate(alone).tobytes() == together.tobytes()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 199), min_size=1, max_size=60))
def test_order_and_company_of_rows_do_not_matter(places: list[int]) -> None:
    rows = np.array(places)
    found = compute(taken(MANY, rows), contract(), recipe())
    assert found.tobytes() == compute(MANY, contract(), recipe())[rows].tobytes()


def plainly(known: Columns, made: FeatureParams) -> np.ndarray:
    """Return the inputs as they are defined: a column for each, stacked, and a distance for each centre by itself."""
    parts: list[np.ndarray] = []
    for column in contract().features:
        values = known[column.name]
        places = {category: place for place, category in enumerate(column.categories)}
        parts.append(np.array([places.get(v, np.nan) for v in values.tolist()]) if column.categories else values)
    for name in made.derived:
        feature = DERIVED[name]
        inputs = {column: known[column] for column in feature.columns}
        if name == "km_to_centres":
            parts += [haversine(known["lat"], known["long"], place) for _, place in sorted(made.centres.items())]
        elif name == "market_days":
            parts.append((known["date"] - np.datetime64(made.day_zero)).astype(np.float64))
        else:
            parts.append(feature.function(**inputs))
    return np.column_stack(parts).astype(np.float32)


def haversine(lat: np.ndarray, long: np.ndarray, place: Place) -> np.ndarray:
    rise = np.sin(np.radians(lat - place.lat) / 2) ** 2
    run = np.cos(np.radians(lat)) * np.cos(np.radians(place.lat)) * np.sin(np.radians(long - place.long) / 2) ** 2
    return np.asarray(2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(rise + run)))


@pytest.mark.parametrize("rows", [1, 3, 200])
def test_inputs_are_those_of_one_column_at_a_time_bit_for_bit(rows: int) -> None:
    """A model's bytes depend on them: what is faster may not be another number."""
    known = columns(rows, seed=11)
    found = compute(known, contract(), recipe())
    assert found.flags.c_contiguous
    assert found.tobytes() == plainly(known, recipe()).tobytes()


def test_a_table_without_rows_has_inputs_without_rows() -> None:
    names = feature_names(contract(), recipe())
    assert compute(taken(MANY, np.array([], dtype=int)), contract(), recipe()).shape == (0, len(names))


def test_a_copied_recipe_measures_to_its_own_centres() -> None:
    """The centres are prepared once; a copy with others must not keep them."""
    first = recipe()
    compute(MANY, contract(), first)
    other = first.model_copy(update={"centres": {"x": Place(lat=47.0, long=-121.0)}})
    assert compute(MANY, contract(), other)[:, -1].tolist() == (
        haversine(MANY["lat"], MANY["long"], other.centres["x"]).astype(np.float32).tolist()
    )


def test_the_columns_are_left_as_they_are() -> None:
    known = {name: values.copy() for name, values in MANY.items()}
    compute(known, contract(), recipe())
    assert all((MANY[name] == values).all() for name, values in known.items())


def test_a_request_and_a_table_give_the_same_inputs() -> None:
    """Training reads Arrow's types, the service JSON's; the bits must be the same."""
    given = houses(50, seed=9)
    dated = [house | {"date": datetime.date.fromisoformat(house["date"])} for house in given]
    served = columns_of_request(dated, contract(), datetime.date(2015, 3, 1))
    trained = columns_of(to_frame(sales(given)))
    made = recipe()
    assert compute(served, contract(), made).tobytes() == compute(trained, contract(), made).tobytes()


@pytest.mark.parametrize(
    ("value", "expected"),
    [(98001, 0.0), (98002, 1.0), (98199, 69.0), (98001.0, 0.0), (98000, np.nan), (0, np.nan), (np.nan, np.nan)],
)
def test_a_category_is_its_place_in_the_contract_and_an_unknown_one_is_nan(value: float, expected: float) -> None:
    found = compute(taken(MANY, np.array([0])) | {"zipcode": np.array([value])}, contract(), recipe(derived=[]))
    np.testing.assert_equal(found[0, 13], np.float32(expected))


@pytest.mark.parametrize("value", ["c", None, "A", ""])
def test_an_unknown_text_category_is_nan(value: str | None) -> None:
    known = changed({"zipcode": {"categories": ["a", "b"], "example": "a"}})
    cells = {"zipcode": np.array(["b", value], dtype=object)}
    found = compute(taken(MANY, np.array([0, 1])) | cells, known, recipe(derived=[]))[:, 13]
    np.testing.assert_equal(found, np.array([1, np.nan], dtype=np.float32))


def test_a_missing_number_stays_missing_and_spoils_no_other_row() -> None:
    cells = taken(MANY, np.array([0, 1]))
    spoilt = cells | {"sqft_living15": np.array([np.nan, cells["sqft_living15"][1]])}
    found, whole = compute(spoilt, contract(), recipe()), compute(cells, contract(), recipe())
    names = np.array(feature_names(contract(), recipe()))
    assert set(names[np.isnan(found[0])]) == {"sqft_living15", "living_beside_neighbours"}
    assert found[1].tobytes() == whole[1].tobytes()


@pytest.fixture
def scratch_feature() -> Iterator[None]:
    """Put back the registry after a test has added to it."""
    before = dict(DERIVED)
    yield
    DERIVED.clear()
    DERIVED.update(before)


@pytest.mark.parametrize("column", ["price", "id", "no_such_column"])
def test_a_feature_that_reads_what_it_may_not_is_refused(scratch_feature: None, column: str) -> None:
    """Target and key among them: nobody can train on the answer."""
    namespace: dict[str, object] = {}
    exec(f"def leak(grade, {column}):\n    return grade * {column}", namespace)  # noqa: S102 -- a parameter by that name
    derived(namespace["leak"])  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=f"features.derived: leak reads '{column}', which is no feature of the contract"
    ):
        feature_names(contract(), recipe(derived=["leak"]))


def test_a_feature_that_reads_an_ignored_column_is_refused() -> None:
    with pytest.raises(ValueError, match="age reads 'yr_built'"):
        feature_names(changed({"yr_built": {"role": "ignored"}}), recipe(derived=["age"]))


def test_a_new_feature_needs_a_decorator_and_a_name_only(scratch_feature: None) -> None:
    def rooms(bedrooms: np.ndarray, bathrooms: np.ndarray) -> np.ndarray:
        return bedrooms + bathrooms

    assert derived(rooms) is rooms
    assert DERIVED["rooms"] == Derived(rooms, ("bedrooms", "bathrooms"), reads_recipe=False)
    made = recipe(derived=["rooms"])
    assert feature_names(contract(), made)[-1] == "rooms"
    assert compute(MANY, contract(), made)[:, -1].tolist() == (MANY["bedrooms"] + MANY["bathrooms"]).tolist()


def test_derived_features_read_columns_of_the_real_contract() -> None:
    known = {column.name for column in (*contract().features, contract().time)}
    assert {column for feature in DERIVED.values() for column in feature.columns} <= known


def test_every_derived_feature_is_explained() -> None:
    assert all(inspect.getdoc(feature.function) for feature in DERIVED.values())


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"derived": ["agee"]}, "did you mean 'age'?"),
        ({"derived": ["age", "age"]}, "each derived feature once"),
        ({"derived": "age"}, "features.derived is 'age'"),
        ({"centres": {"x": {"lat": 100, "long": 0}}}, "features.centres.x.lat is 100, wanted less than or equal to 90"),
        ({"centres": {"x": {"lat": 0}}}, "features.centres.x.long is missing"),
        ({"day_zero": "1.5.2014"}, "features.day_zero is '1.5.2014'"),
    ],
)
def test_a_wrong_recipe_is_refused(edit: dict[str, object], said: str) -> None:
    with pytest.raises(Refusal) as caught:
        recipe(**edit)
    assert str(caught.value).startswith("params.yaml: features")
    assert said in str(caught.value)


# What the neighbours say, beside what the row says


def known_sales() -> Neighbours:
    residuals = np.random.default_rng(1).normal(13, 0.3, 200)
    return Neighbours(table(MANY, "date", residuals, recipe().neighbours), recipe().neighbours)


def test_inputs_are_the_rows_own_then_the_neighbours() -> None:
    fresh, known = columns(50, seed=4), known_sales()
    found = model_inputs(fresh, contract(), recipe(), known)
    assert found.dtype == np.float32
    own = len(feature_names(contract(), recipe()))
    assert found[:, :own].tobytes() == compute(fresh, contract(), recipe()).tobytes()
    assert found[:, own:].tolist() == known.inputs(fresh, "date").astype(np.float32).tolist()
    assert input_names(contract(), recipe()) == [
        *feature_names(contract(), recipe()),
        "neighbours_alike", "neighbours_alike_wide", "neighbours_around", "neighbours_near", "sold_before",
    ]  # fmt: skip
    assert found.shape == (50, len(input_names(contract(), recipe())))


def test_without_neighbours_inputs_are_the_rows_own() -> None:
    alone = recipe(neighbours=None)
    assert input_names(contract(), alone) == feature_names(contract(), alone)
    assert model_inputs(MANY, contract(), alone, None).tobytes() == compute(MANY, contract(), alone).tobytes()


def test_a_row_has_its_inputs_alone_as_among_many_bit_for_bit() -> None:
    fresh, known = columns(100, seed=4), known_sales()
    together = model_inputs(fresh, contract(), recipe(), known)
    alone = [model_inputs(taken(fresh, np.array([place])), contract(), recipe(), known) for place in range(100)]
    assert np.concatenate(alone).tobytes() == together.tobytes()


def test_a_request_and_a_table_hear_the_same_of_their_neighbours() -> None:
    given = houses(50, seed=9)
    dated = [house | {"date": datetime.date.fromisoformat(house["date"])} for house in given]
    served = columns_of_request(dated, contract(), datetime.date(2015, 3, 1))
    trained = columns_of(to_frame(sales(given)))
    known = known_sales()
    of_request, of_table = (model_inputs(rows, contract(), recipe(), known) for rows in (served, trained))
    assert of_request.tobytes() == of_table.tobytes()


def test_beside_keeps_what_is_missing() -> None:
    found = beside(np.array([[1, 2]], dtype=np.float32), np.array([[np.nan, 0.1]]))
    np.testing.assert_equal(found, np.array([[1, 2, np.nan, 0.1]], dtype=np.float32))


@pytest.mark.parametrize("column", ["price", "id", "date"])
@pytest.mark.parametrize("part", ["likeness", "lat", "long"])
def test_neighbours_that_would_be_told_by_what_is_no_feature_are_refused(part: str, column: str) -> None:
    """Houses alike in price: nobody can look up the answer."""
    near = params("features")["neighbours"]
    wrong = near | {part: near["likeness"] | {column: {"km": 1.0, "log": False}} if part == "likeness" else column}
    with pytest.raises(
        ValueError, match=rf"^features\.neighbours reads '{column}', which is no feature of the contract$"
    ):
        input_names(contract(), recipe(neighbours=wrong))


def test_neighbours_told_by_a_column_that_there_is_not_are_refused() -> None:
    wrong = params("features")["neighbours"] | {"lat": "no_such_column"}
    with pytest.raises(
        ValueError, match=r"^features\.neighbours reads 'no_such_column', which is no feature of the contract$"
    ):
        input_names(contract(), recipe(neighbours=wrong))


def test_neighbours_told_by_a_category_of_names_are_refused() -> None:
    """A text has no difference in kilometres."""
    near = params("features")["neighbours"]
    wrong = near | {"likeness": {"zipcode": {"km": 1.0, "log": False}}}
    texts = changed({"zipcode": {"categories": ["a", "b"], "example": "a"}})
    with pytest.raises(
        ValueError, match=r"^features\.neighbours reads 'zipcode', a category; a difference needs numbers$"
    ):
        input_names(texts, recipe(neighbours=wrong))


def test_distances_without_centres_are_refused_by_name() -> None:
    with pytest.raises((Refusal, ValueError), match="centres"):
        compute(MANY, contract(), recipe(centres={}))
