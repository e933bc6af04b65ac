"""Make the small tables behind the plots: what DVC compares across commits and what the pictures draw."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hearth.explanation import Importance
from hearth.scoring import Floats, coverage, mdape, rounded
from hearth.slices import fifths

LEVELS = np.arange(1, 20) / 20  # deciles and the points between them
WINDOWS = 40  # points of the running median of the residuals; each window holds two steps of sales


@dataclass(frozen=True)
class PlotTables:
    """Hold a table per plot; each has one row per point of its line."""

    by_week: pd.DataFrame
    by_fifth: pd.DataFrame
    error_quantiles: pd.DataFrame
    residuals: pd.DataFrame

    def csv(self) -> dict[str, str]:
        """Return the tables as CSV texts by file name."""
        tables = {field.name: getattr(self, field.name) for field in fields(self)}
        return {f"{name}.csv": table.to_csv(index=False, lineterminator="\n") for name, table in tables.items()}


def plot_tables(days: NDArray[np.datetime64], scored: Mapping[str, Floats]) -> PlotTables:
    """Return error and bias by week, calibration by fifth of the predicted price, quantiles of the error, residuals."""
    weekday = (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday; weeks begin on Monday
    weeks = days - weekday.astype("timedelta64[D]")
    errors = np.abs(scored["predicted"] / scored["actual"] - 1)
    return PlotTables(
        by_week=_grouped("week", weeks, scored),
        by_fifth=_grouped("fifth", fifths(scored["predicted"]), scored),
        error_quantiles=pd.DataFrame({"share_of_sales": LEVELS, "error": np.round(np.quantile(errors, LEVELS), 6)}),
        residuals=_residuals(scored),
    )


def importance_table(found: Iterable[Importance]) -> pd.DataFrame:
    """Return a row per group of columns, the most important first: its columns, the rise of rmse_log, its spread."""
    rows = [
        {"columns": " + ".join(one.columns)} | rounded({"rise": one.rise, "spread": one.spread}, 6) for one in found
    ]
    return pd.DataFrame(rows).sort_values(["rise", "columns"], ascending=[False, True], ignore_index=True)


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


def _residuals(scored: Mapping[str, Floats]) -> pd.DataFrame:
    """Return the running median of predicted / actual - 1 along the predicted price, and the tenths below and above it."""
    order = np.argsort(scored["predicted"], kind="stable")
    predicted, residual = scored["predicted"][order], (scored["predicted"] / scored["actual"] - 1)[order]
    step = -(-len(order) // WINDOWS)
    rows = []
    for start in range(0, len(order), step):
        window = slice(max(0, start - step // 2), start + step + step // 2)
        low, middle, high = np.quantile(residual[window], [0.1, 0.5, 0.9])
        figures = {"predicted": np.median(predicted[window]), "low": low, "median": middle, "high": high}
        rows.append({key: round(float(value), 6) + 0.0 for key, value in figures.items()})
    return pd.DataFrame(rows)
