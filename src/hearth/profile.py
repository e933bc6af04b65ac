"""Describe the rows that a model was fitted on: the reference that the monitor compares with."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from hearth.contract import Contract
from hearth.rules import Columns
from hearth.strict import Strict

DECIMALS = 6


class ProfileParams(Strict):
    """Hold the section `profile` of params.yaml."""

    bins: int = Field(ge=2, le=100)
    levels_max: int = Field(ge=1)


def profile(
    columns: Columns, contract: Contract, log_price: NDArray[np.float64], params: ProfileParams
) -> dict[str, Any]:
    """Return the shape of each feature and of the predicted log price.

    A column with at most `levels_max` values, or a category, is described by the share of each value (quantile bins
    see nothing in a column that is nearly always zero); any other by the inner edges of `bins` equal shares, the share
    that falls between them, and its ends.
    """
    shapes = {
        column.name: _shape(columns[column.name], column.type == "category", params) for column in contract.features
    }
    return {
        "rows": len(log_price),
        "first_day": str(columns[contract.time.name].min()),
        "last_day": str(columns[contract.time.name].max()),
        "features": shapes,
        "predicted_log_price": _shape(log_price, False, params),
    }


def _shape(values: NDArray[Any], category: bool, params: ProfileParams) -> dict[str, Any]:
    empty = np.asarray(pd.isna(values))
    filled = values[~empty]
    share_empty = round(float(empty.mean()), DECIMALS)
    levels, counts = np.unique(filled, return_counts=True)
    if category or len(levels) <= params.levels_max:
        return {"empty": share_empty, "levels": dict(zip(_names(levels), _shares(counts), strict=True))}
    numeric = filled.astype(np.float64)
    edges = np.unique(np.round(np.quantile(numeric, np.arange(1, params.bins) / params.bins), DECIMALS))
    binned = np.bincount(np.searchsorted(edges, numeric, side="right"), minlength=len(edges) + 1)
    return {
        "empty": share_empty,
        "minimum": round(float(numeric.min()), DECIMALS),
        "maximum": round(float(numeric.max()), DECIMALS),
        "edges": edges.tolist(),
        "shares": _shares(binned),
    }


def _names(levels: NDArray[Any]) -> Sequence[str]:
    return [f"{level:.15g}" if isinstance(level, float) else str(level) for level in levels.tolist()]


def _shares(counts: NDArray[np.int64]) -> list[float]:
    return [round(float(share), DECIMALS) for share in counts / max(counts.sum(), 1)]
