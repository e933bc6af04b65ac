"""Turn rows into model inputs; the only code that does, for training, batches, the service and the monitor.

Works on columns of numpy arrays; of a single row its numbers alone are computed with, by the same functions, since an
array of one costs ten times as much. The inputs are float32: the model is trained on what it will be served, and no
split lies within a rounding error of a value.

To add a feature, write a function below whose parameters are columns of the contract (or `recipe`), decorate it
with @derived, and name it in params.yaml under `features.derived`. Training, service and monitor then all have it. It
gets arrays or single numbers of numpy's, so it uses arithmetic and numpy's functions, and assigns to no part of them.
"""

import datetime
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hearth.contract import Column, Contract
from hearth.neighbours import NeighbourParams, Neighbours
from hearth.rules import Columns, year
from hearth.strict import Day, Listed, Strict, nearest

Values = NDArray[Any]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Derived:
    """Hold a feature's function, the columns that it reads, and whether it also reads the recipe."""

    function: Callable[..., Values]
    columns: tuple[str, ...]
    reads_recipe: bool


DERIVED: dict[str, Derived] = {}

EARTH_RADIUS_KM = 6371.0088  # mean radius, IUGG
EPOCH = datetime.date(1970, 1, 1)  # numpy's day zero


class Place(Strict):
    """Hold a point on the map, in degrees."""

    lat: float = Field(ge=-90, le=90)
    long: float = Field(ge=-180, le=180)


class FeatureParams(Strict):
    """Hold the section `features` of params.yaml; with the contract it is the whole recipe."""

    day_zero: Day
    derived: Annotated[tuple[str, ...], Listed]
    centres: dict[str, Place]
    neighbours: NeighbourParams | None

    @model_validator(mode="after")
    def _known(self) -> "FeatureParams":
        for name in self.derived:
            if name not in DERIVED:
                raise ValueError(f"functions of features.py in derived; for {name!r}: {nearest(name, sorted(DERIVED))}")
        if "km_to_centres" in self.derived and not self.centres:
            raise ValueError("at least one place in centres for km_to_centres, or km_to_centres taken out of derived")
        if len(set(self.derived)) < len(self.derived):
            raise ValueError("each derived feature once")
        return self

    @cached_property
    def points(self) -> NDArray[np.float64]:
        """Return latitudes and longitudes of the centres, sorted by name (2, n_centres, 1), in degrees."""
        places = [place for _, place in sorted(self.centres.items())]
        return np.array([[[place.lat] for place in places], [[place.long] for place in places]])


def derived(function: Callable[..., Values]) -> Callable[..., Values]:
    """Register a feature under the function's name; its parameters are the columns that it reads."""
    names = list(inspect.signature(function).parameters)
    columns = tuple(name for name in names if name != "recipe")
    DERIVED[function.__name__] = Derived(function, columns, "recipe" in names)
    return function


@derived
def market_days(date: Values, recipe: FeatureParams) -> Values:
    """Count the days since day zero, so that the model can follow the market."""
    # In float64, which holds a day exactly: between days numpy's arithmetic is slower.
    return date.astype(np.float64) - (recipe.day_zero - EPOCH).days


@derived
def age(date: Values, yr_built: Values) -> Values:
    """Return years from building to sale."""
    return year(date) - yr_built


@derived
def years_since_work(date: Values, yr_built: Values, yr_renovated: Values) -> Values:
    """Return years since the house was built or last renovated."""
    return year(date) - np.maximum(yr_built, yr_renovated)


@derived
def renovated(yr_renovated: Values) -> Values:
    """Tell whether the house was ever renovated."""
    return yr_renovated > 0


@derived
def grade_times_size(grade: Values, sqft_living: Values) -> Values:
    """Return grade × log living area: quality counts for more in a large house."""
    return grade * np.log(sqft_living)


@derived
def basement_share(sqft_basement: Values, sqft_living: Values) -> Values:
    """Return the share of the living area that is basement."""
    return sqft_basement / sqft_living


@derived
def lot_per_living(sqft_lot: Values, sqft_living: Values) -> Values:
    """Return land per living area."""
    return sqft_lot / sqft_living


@derived
def living_per_room(sqft_living: Values, bedrooms: Values, bathrooms: Values) -> Values:
    """Return living area per room, with one room more, so that a studio divides by no zero."""
    rooms: Values = bedrooms + bathrooms + 1
    return sqft_living / rooms


@derived
def baths_per_bedroom(bathrooms: Values, bedrooms: Values) -> Values:
    """Return bathrooms per bedroom, a studio counted as one."""
    return bathrooms / np.maximum(bedrooms, 1)


@derived
def living_beside_neighbours(sqft_living: Values, sqft_living15: Values) -> Values:
    """Return living area relative to the neighbours'."""
    return sqft_living / sqft_living15


@derived
def lot_beside_neighbours(sqft_lot: Values, sqft_lot15: Values) -> Values:
    """Return land relative to the neighbours'."""
    return sqft_lot / sqft_lot15


@derived
def northeast(lat: Values, long: Values) -> Values:
    """Return the position along the north-east diagonal, so that one split of a tree can follow the lake."""
    return lat + 0.67 * long  # cos 47.5°: a degree of longitude in degrees of latitude


@derived
def northwest(lat: Values, long: Values) -> Values:
    """Return the position along the north-west diagonal."""
    return lat - 0.67 * long


@derived
def km_to_centres(lat: Values, long: Values, recipe: FeatureParams) -> Values:
    """Return the great-circle distance to each centre in params.yaml (n_rows, n_centres), in km, by haversine."""
    return distance_km(lat, long, *recipe.points).T


def distance_km(lat: Values, long: Values, to_lat: float | Values, to_long: float | Values) -> Values:
    """Return great-circle distances in km from points in degrees to one point, or (n_points, n_rows) to a column of them."""
    north, east = np.sin(np.radians(np.array([lat - to_lat, long - to_long])) / 2) ** 2
    along = np.cos(np.radians(lat)) * np.cos(np.radians(to_lat)) * east
    return np.asarray(2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(north + along)))


def feature_names(contract: Contract, recipe: FeatureParams) -> list[str]:
    """Return the model's inputs in order; raise ValueError where a derived feature reads a column that it may not."""
    allowed = {column.name for column in (*contract.features, contract.time)}
    names = [column.name for column in contract.features]
    for name in recipe.derived:
        if barred := [column for column in DERIVED[name].columns if column not in allowed]:
            raise ValueError(f"features.derived: {name} reads {barred[0]!r}, which is no feature of the contract")
        names += [f"km_to_{centre}" for centre in sorted(recipe.centres)] if name == "km_to_centres" else [name]
    return names


def compute(columns: Columns, contract: Contract, recipe: FeatureParams) -> Floats:
    """Return the model's inputs (n_rows, n_features); each row depends on that row alone, columns are left as they are."""
    single = len(columns[contract.features[0].name]) == 1
    given = {name: values[0] for name, values in columns.items()} if single else columns
    parts: list[Any] = [
        _places(columns[column.name], column)[0 if single else slice(None)] if column.categories else given[column.name]
        for column in contract.features
    ]
    for name in recipe.derived:
        feature = DERIVED[name]
        inputs = {column: given[column] for column in feature.columns}
        found = feature.function(**inputs, recipe=recipe) if feature.reads_recipe else feature.function(**inputs)
        if single:
            parts.extend([found] if found.ndim == 0 else found.ravel())
        else:
            parts.extend([found] if found.ndim == 1 else found.T)
    if single:
        return np.array([parts], dtype=np.float64).astype(np.float32)
    # Not np.column_stack: it makes a matrix of each part first, which costs ten rows as much as the features do.
    return np.concatenate(parts).reshape(len(parts), -1).T.astype(np.float32, order="C")


def _places(values: Values, column: Column) -> list[float]:
    """Return categories by their place in the contract; an unknown one is NaN."""
    return [column.places.get(value, np.nan) for value in values.tolist()]


def input_names(contract: Contract, recipe: FeatureParams) -> list[str]:
    """Return the names of all of the model's inputs: what the row says, then what its neighbours say.

    Raise ValueError where a derived feature or the neighbours read a column that they may not.
    """
    types = {column.name: column.type for column in contract.features}
    for name in recipe.neighbours.columns if recipe.neighbours else ():
        if name not in types:
            raise ValueError(f"features.neighbours reads {name!r}, which is no feature of the contract")
        if types[name] == "category":
            raise ValueError(f"features.neighbours reads {name!r}, a category; a difference needs numbers")
    return feature_names(contract, recipe) + (recipe.neighbours.names if recipe.neighbours else [])


def model_inputs(columns: Columns, contract: Contract, recipe: FeatureParams, known: Neighbours | None) -> Floats:
    """Return all of the model's inputs (n_rows, n_inputs): of the row alone, and of the known sales around it."""
    own = compute(columns, contract, recipe)
    return own if known is None else beside(own, known.inputs(columns, contract.time.name))


def beside(own: Floats, near: Values) -> Floats:
    """Return the row's own inputs and those from its neighbours as one table."""
    return np.concatenate([own, near.astype(np.float32)], axis=1)
