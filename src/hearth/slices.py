"""Cut the test rows into groups, so that a good mean cannot hide a bad part."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hearth.baselines import RidgeParams
from hearth.doubt import Bootstrap
from hearth.rules import Columns
from hearth.scoring import Floats, slice_scores
from hearth.strict import Listed, Strict

FIFTHS = "price_fifth"
EMPTY = "empty"


class Slice(Strict):
    """Describe one way to cut: a column by its values, or by edges (each group holds its lower edge)."""

    column: str
    edges: Annotated[tuple[float, ...], Listed] = ()

    @model_validator(mode="after")
    def _rising(self) -> "Slice":
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError("edges that rise, each above the one before")
        return self


class Baseline(Strict):
    """Name the columns of the baseline: the median target per `area` of each `group`."""

    area: str
    group: str


class Search(Strict):
    """Hold how the search for bad slices cuts columns, which cells count, and how many it shows."""

    bins: int = Field(ge=2)
    levels_max: int = Field(ge=1)
    rows_min: int = Field(ge=10)
    p_max: float = Field(gt=0, lt=1)
    shown: int = Field(ge=1)


class EvaluateParams(Strict):
    """Hold the section `evaluate` of params.yaml."""

    baseline: Baseline
    ridge: RidgeParams
    slices: dict[str, Slice]
    slice_rows_min: int = Field(ge=1)
    bootstrap: Bootstrap
    search: Search

    @model_validator(mode="after")
    def _own_names(self) -> "EvaluateParams":
        if FIFTHS in self.slices:
            raise ValueError(f"another name than {FIFTHS} in slices, which are always there")
        return self


def fifths(predicted: Floats) -> NDArray[np.int64]:
    """Return for each row its fifth of the predicted price, 1 for the cheapest to 5; equal prices share a fifth."""
    edges = np.quantile(predicted, np.arange(1, 5) / 5)
    return 1 + np.searchsorted(edges, predicted, side="left").astype(np.int64)


def table(columns: Columns, scored: Mapping[str, Floats], params: EvaluateParams) -> list[dict[str, Any]]:
    """Return a row per slice and group with at least `slice_rows_min` rows: slice, group, rows and its metrics.

    `scored` holds actual, predicted, low and high (n_rows,). Fifths of the predicted price are always among them:
    fifths of the actual price would call each unlucky prediction a fault of its group.
    """
    cuts = {FIFTHS: [str(fifth) for fifth in fifths(scored["predicted"])]}
    cuts |= {name: labels(columns[cut.column], cut.edges) for name, cut in params.slices.items()}
    rows = []
    for name, groups in cuts.items():
        array = np.array(groups)
        for group in sorted(set(groups), key=numeric_first):
            chosen = array == group
            if chosen.sum() >= params.slice_rows_min:
                parts = (scored[key][chosen] for key in ("actual", "predicted", "low", "high"))
                rows.append({"slice": name, "group": group, "rows": int(chosen.sum()), **slice_scores(*parts)})
    return rows


def labels(values: NDArray[Any], edges: tuple[float, ...] = ()) -> list[str]:
    """Return for each value the name of its group: the value itself, or where it lies between edges."""
    if not edges:
        return [_name(value) for value in values.tolist()]
    ends = [_name(edge) for edge in edges]
    names = [f"below {ends[0]}", *(f"{low} to under {high}" for low, high in pairwise(ends)), f"from {ends[-1]}", EMPTY]
    numbers = values.astype(np.float64)
    places = np.where(np.isnan(numbers), len(edges) + 1, np.searchsorted(edges, numbers, side="right"))
    return [names[place] for place in places]


def _name(value: object) -> str:
    if isinstance(value, float):
        return EMPTY if np.isnan(value) else f"{value:.15g}"
    return str(value)


def numeric_first(group: str) -> tuple[int, float, str]:
    """Return what groups are sorted by: numbers by size, also those behind "below" and "from", then words."""
    word = group.replace("below ", "-1e9 ").removeprefix("from ").split(" ")[0]
    try:
        number = float(word)
    except ValueError:
        number = np.nan
    return (1, 0.0, group) if np.isnan(number) else (0, number, group)
