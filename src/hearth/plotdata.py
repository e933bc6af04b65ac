"""Make the small tables behind the plots: what DVC compares across commits and what the pictures draw."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hearth.scoring import Floats, coverage, mdape

LEVELS = np.arange(1, 20) / 20  # deciles and the points between them


@dataclass(frozen=True)
class PlotTables:
    """Hold a table per plot; each has one row per point of its line."""

    by_week: pd.DataFrame
    by_fifth: pd.DataFrame
    error_quantiles: pd.DataFrame

    def csv(self) -> dict[str, str]:
        """Return the tables as CSV texts by file name."""
        tables = {"by_week": self.by_week, "by_fifth": self.by_fifth, "error_quantiles": self.error_quantiles}
        return {f"{name}.csv": table.to_csv(index=False, lineterminator="\n") for name, table in tables.items()}


def plot_tables(days: NDArray[np.datetime64], scored: Mapping[str, Floats]) -> PlotTables:
    """Return error and bias by week, calibration by fifth of the predicted price, and the quantiles of the error."""
    weekday = (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday; weeks begin on Monday
    weeks = days - weekday.astype("timedelta64[D]")
    fifth = 1 + np.searchsorted(np.quantile(scored["predicted"], np.arange(1, 5) / 5), scored["predicted"], side="left")
    errors = np.abs(scored["predicted"] / scored["actual"] - 1)
    return PlotTables(
        by_week=_grouped("week", weeks, scored),
        by_fifth=_grouped("fifth", fifth, scored),
        error_quantiles=pd.DataFrame({"share_of_sales": LEVELS, "error": np.round(np.quantile(errors, LEVELS), 6)}),
    )


def _grouped(name: str, labels: np.ndarray, scored: Mapping[str, Floats]) -> pd.DataFrame:
    rows = []
    for label in np.unique(labels):
        actual, predicted, low, high = (scored[key][labels == label] for key in ("actual", "predicted", "low", "high"))
        figures = {
            "mdape": mdape(actual, predicted),
            "median_ratio": np.median(predicted / actual),
            "coverage": coverage(actual, low, high),
        }
        rows.append({name: str(label), "sales": len(actual)} | {key: round(float(v), 6) for key, v in figures.items()})
    return pd.DataFrame(rows)
