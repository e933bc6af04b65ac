"""Name the group of each row: by a column, by a derived feature, by the level of a category, or by an earlier sale."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from hearth.contract import Contract
from hearth.features import DERIVED, FeatureParams
from hearth.rules import Columns
from hearth.scoring import Floats
from hearth.strict import Listed, Strict, nearest

EMPTY, UNSEEN = "empty", "unseen in training"
SOLD_BEFORE, FIRST_SALE = "sold before", "not sold before"


def _rising(edges: tuple[float, ...]) -> tuple[float, ...]:
    if any(low >= high for low, high in pairwise(edges)):
        raise ValueError("edges that rise, each above the one before")
    return edges


Edges = Annotated[tuple[float, ...], Listed, AfterValidator(_rising)]


class Slice(Strict):
    """Cut a column by its values, by edges (each group holds its lower edge), or a category into `groups` by its level."""

    column: str
    edges: Edges = ()
    groups: int | None = Field(default=None, ge=2)

    @model_validator(mode="after")
    def _one_way(self) -> "Slice":
        if self.edges and self.groups is not None:
            raise ValueError("edges for a number or groups for a category, not both")
        return self


class DerivedSlice(Strict):
    """Cut a derived feature (features.py), which the model itself need not have, by its values or by edges."""

    derived: str
    edges: Edges = ()

    @model_validator(mode="after")
    def _known(self) -> "DerivedSlice":
        if self.derived not in DERIVED:
            hint = nearest(self.derived, sorted(DERIVED))
            raise ValueError(f"a function of features.py in derived; for {self.derived!r}: {hint}")
        return self


class ResoldSlice(Strict):
    """Tell the rows whose key was sold before, in the training rows or earlier in the test rows, from all others."""

    resold: Literal[True]


WAYS: dict[str, type[Strict]] = {"column": Slice, "derived": DerivedSlice, "resold": ResoldSlice}


def _cut(value: object) -> object:
    """Return a mapping as the cut that its key names, so that a fault is told of that key; without one, of a column."""
    if isinstance(value, tuple(WAYS.values())):
        return value
    if not isinstance(value, dict):
        raise ValueError("a mapping such as {column: grade}")
    named = [way for way in WAYS if way in value]
    if len(named) > 1:
        raise ValueError(f"one of {', '.join(WAYS)}, not {' and '.join(named)} at once")
    return WAYS[named[0] if named else "column"].model_validate(value)


Cut = Annotated[Slice | DerivedSlice | ResoldSlice, BeforeValidator(_cut)]


@dataclass(frozen=True)
class Background:
    """Hold what test rows are cut against: training rows, contract, recipe, and the column that prices are divided by."""

    train: Columns
    contract: Contract
    recipe: FeatureParams
    area: str


def fault(cut: Slice | DerivedSlice | ResoldSlice, rows: Columns, background: Background) -> str:
    """Return in words why these rows cannot be cut so, beginning with the key at fault; nothing if they can."""
    listed = ", ".join(sorted(rows))
    if isinstance(cut, ResoldSlice):
        return ""
    if isinstance(cut, Slice):
        if cut.column not in rows:
            return f"column is {cut.column!r}, wanted a column of the prepared tables: {listed}"
        return _unfit(cut, rows[cut.column], background.contract)
    if lacking := [name for name in DERIVED[cut.derived].columns if name not in rows]:
        return f"derived is {cut.derived!r}, which reads {lacking[0]!r}, wanted one that reads {listed}"
    none = {name: values[:0] for name, values in rows.items()}
    if _derived(cut.derived, none, background.recipe).ndim > 1:
        return f"derived is {cut.derived!r}, which has several numbers a row, wanted a feature with one"
    return ""


def _unfit(cut: Slice, values: NDArray[Any], contract: Contract) -> str:
    column = contract[cut.column]
    if cut.groups is not None and len(column.categories) < cut.groups:
        found = f"a category with {len(column.categories)} values" if column.categories else f"of type {column.type}"
        return f"groups is {cut.groups}, but {cut.column} is {found}, wanted a category with at least so many"
    if cut.edges and values.dtype.kind not in "biuf":
        return f"edges cut {cut.column}, whose cells are no numbers, wanted no edges"
    return ""


def group_names(cut: Slice | DerivedSlice | ResoldSlice, rows: Columns, background: Background | None) -> list[str]:
    """Return for each row the name of its group; raise ValueError where a background is needed and none is given."""
    if isinstance(cut, Slice) and cut.groups is None:
        return labels(rows[cut.column], cut.edges)
    if background is None:
        raise ValueError(f"a background to cut {cut!r} against")
    if isinstance(cut, DerivedSlice):
        return labels(_derived(cut.derived, rows, background.recipe), cut.edges)
    contract, train = background.contract, background.train
    if isinstance(cut, ResoldSlice):
        keys = [column.name for column in contract.of("key")]
        again = sold_before(train, rows, keys, contract.time.name)
        return [SOLD_BEFORE if before else FIRST_SALE for before in again.tolist()]
    rate = np.asarray(train[contract.target.name] / train[background.area], dtype=np.float64)
    return by_level(rows[cut.column], train[cut.column], rate, cut.groups or 1)


def labels(values: NDArray[Any], edges: tuple[float, ...] = ()) -> list[str]:
    """Return for each value the name of its group: the value itself, or where it lies between edges."""
    if not edges:
        return [_name(value) for value in values.tolist()]
    ends = [_name(edge) for edge in edges]
    names = [f"below {ends[0]}", *(f"{low} to under {high}" for low, high in pairwise(ends)), f"from {ends[-1]}", EMPTY]
    numbers = values.astype(np.float64)
    places = np.where(np.isnan(numbers), len(edges) + 1, np.searchsorted(edges, numbers, side="right"))
    return [names[place] for place in places]


def by_level(values: NDArray[Any], seen: NDArray[Any], rate: Floats, groups: int) -> list[str]:
    """Return for each category its group by the median `rate` of its training rows (`seen`), the cheapest first.

    Each group has about as many training rows; a category is never split. The test rows' own prices have no say, or
    the group would be chosen by its errors.
    """
    levels = pd.Series(rate).groupby(seen).agg(["median", "size"]).sort_values("median", kind="stable")
    middles = (levels["size"].cumsum() - levels["size"] / 2) / levels["size"].sum()
    names = _level_names(groups)
    name = {level: names[int(middle * groups)] for level, middle in middles.items()}
    return [
        EMPTY if empty else name.get(value, UNSEEN)
        for value, empty in zip(values.tolist(), pd.isna(values), strict=True)
    ]


def sold_before(train: Columns, rows: Columns, keys: Sequence[str], time: str) -> NDArray[np.bool_]:
    """Return whether the same keys were sold on an earlier day, in the training rows or among these (n_rows,)."""
    own, before = (pd.DataFrame({name: part[name] for name in (*keys, time)}) for part in (rows, train))
    first = pd.concat([before, own]).groupby(list(keys), as_index=False)[time].min()
    return np.asarray(own[list(keys)].merge(first, how="left", on=list(keys))[time] < own[time], dtype=np.bool_)


def numeric_first(group: str) -> tuple[int, float, str]:
    """Return what groups are sorted by: numbers by size, also those behind "below" and "from", then words."""
    word = group.replace("below ", "-1e9 ").removeprefix("from ").split(" ")[0]
    try:
        number = float(word)
    except ValueError:
        number = np.nan
    return (1, 0.0, group) if np.isnan(number) else (0, number, group)


def _derived(name: str, rows: Columns, recipe: FeatureParams) -> NDArray[Any]:
    feature = DERIVED[name]
    inputs: dict[str, Any] = {column: rows[column] for column in feature.columns}
    return np.asarray(feature.function(**inputs | ({"recipe": recipe} if feature.reads_recipe else {})))


def _level_names(groups: int) -> list[str]:
    plain = [f"{place} of {groups}" for place in range(1, groups + 1)]
    return [f"{plain[0]} (cheapest)", *plain[1:-1], f"{plain[-1]} (dearest)"]


def _name(value: object) -> str:
    if isinstance(value, float):
        return EMPTY if np.isnan(value) else f"{value:.15g}"
    return str(value)
