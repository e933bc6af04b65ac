"""Cut the test rows into groups, so that a good mean cannot hide a bad part."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

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


class EvaluateParams(Strict):
    """Hold the section `evaluate` of params.yaml."""

    baseline: Baseline
    slices: dict[str, Slice]
    slice_rows_min: int = Field(ge=1)

    @model_validator(mode="after")
    def _own_names(self) -> "EvaluateParams":
        if FIFTHS in self.slices:
            raise ValueError(f"another name than {FIFTHS} in slices, which are always there")
        return self


def table(columns: Columns, scored: Mapping[str, Floats], params: EvaluateParams) -> list[dict[str, Any]]:
    """Return a row per slice and group with at least `slice_rows_min` rows: slice, group, rows and its metrics.

    `scored` holds actual, predicted, low and high (n_rows,). Fifths of the predicted price are always among them:
    fifths of the actual price would call each unlucky prediction a fault of its group.
    """
    edges = np.quantile(scored["predicted"], np.arange(1, 5) / 5)
    cuts = {FIFTHS: [str(place + 1) for place in np.searchsorted(edges, scored["predicted"], side="left")]}
    cuts |= {name: _labels(columns[cut.column], cut.edges) for name, cut in params.slices.items()}
    rows = []
    for name, labels in cuts.items():
        array = np.array(labels)
        for group in sorted(set(labels), key=_numeric_first):
            chosen = array == group
            if chosen.sum() >= params.slice_rows_min:
                parts = (scored[key][chosen] for key in ("actual", "predicted", "low", "high"))
                rows.append({"slice": name, "group": group, "rows": int(chosen.sum()), **slice_scores(*parts)})
    return rows


def _labels(values: NDArray[Any], edges: tuple[float, ...]) -> list[str]:
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


def _numeric_first(group: str) -> tuple[int, float, str]:
    word = group.replace("below ", "-1e9 ").removeprefix("from ").split(" ")[0]
    try:
        number = float(word)
    except ValueError:
        number = np.nan
    return (1, 0.0, group) if np.isnan(number) else (0, number, group)
