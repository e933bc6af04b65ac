"""Cut the test rows into groups, so that a good mean cannot hide a bad part."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hearth.baselines import RidgeParams
from hearth.cuts import Background, Cut, group_names, numeric_first
from hearth.doubt import Bootstrap, median_interval, share_interval
from hearth.rules import Columns
from hearth.scoring import Floats, slice_scores
from hearth.strict import Strict

FIFTHS = "price_fifth"


class Baseline(Strict):
    """Name the columns of the baseline: the median target per `area` of each `group`."""

    area: str
    group: str


class ImportanceParams(Strict):
    """Hold how often and from which seed columns are shuffled, and how many rows may be priced for it."""

    repeats: int = Field(ge=1)
    seed: int = Field(ge=0, lt=2**32)
    predictions_max: int = Field(ge=1)


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
    slices: dict[str, Cut]
    slice_rows_min: int = Field(ge=1)
    bootstrap: Bootstrap
    search: Search
    importance: ImportanceParams

    @model_validator(mode="after")
    def _own_names(self) -> "EvaluateParams":
        if FIFTHS in self.slices:
            raise ValueError(f"another name than {FIFTHS} in slices, which are always there")
        return self


def fifths(predicted: Floats) -> NDArray[np.int64]:
    """Return for each row its fifth of the predicted price, 1 for the cheapest to 5; equal prices share a fifth."""
    edges = np.quantile(predicted, np.arange(1, 5) / 5)
    return 1 + np.searchsorted(edges, predicted, side="left").astype(np.int64)


def table(
    columns: Columns, scored: Mapping[str, Floats], params: EvaluateParams, background: Background | None = None
) -> list[dict[str, Any]]:
    """Return a row per slice and group with at least `slice_rows_min` rows: slice, group, rows, metrics and their doubt.

    `scored` holds actual, predicted, low and high (n_rows,). Fifths of the predicted price are always among them:
    fifths of the actual price would call each unlucky prediction a fault of its group. Only a plain cut of a column
    needs no background.
    """
    cuts = {FIFTHS: [str(fifth) for fifth in fifths(scored["predicted"])]}
    cuts |= {name: group_names(cut, columns, background) for name, cut in params.slices.items()}
    rows = []
    for name, groups in cuts.items():
        array = np.array(groups)
        for group in sorted(set(groups), key=numeric_first):
            chosen = array == group
            if chosen.sum() >= params.slice_rows_min:
                parts = {key: scored[key][chosen] for key in ("actual", "predicted", "low", "high")}
                known = {"slice": name, "group": group, "rows": int(chosen.sum())}
                rows.append(known | slice_scores(**parts) | _doubt(**parts, params=params.bootstrap))
    return rows


def _doubt(actual: Floats, predicted: Floats, low: Floats, high: Floats, params: Bootstrap) -> dict[str, float]:
    """Return the ends of the intervals of mdape, from drawn rows, and of coverage, Wilson's."""
    error = median_interval(np.abs(predicted / actual - 1), params)
    held = share_interval(int(np.sum((low <= actual) & (actual <= high))), len(actual), params.level)
    return {"mdape_low": error[0], "mdape_high": error[1], "coverage_low": held[0], "coverage_high": held[1]}
