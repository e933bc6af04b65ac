"""Draw the pictures of metrics/plots: plain, labelled, the same bytes for the same numbers."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from hearth.evidence import Fifth
from hearth.plotdata import PlotTables
from hearth.rules import Columns
from hearth.scoring import Floats

INK, FAINT, BLUE, RED = "#22303c", "#d5dbe1", "#2f6690", "#c8553d"
GROUND = "#ffffff"


def pictures(
    tables: PlotTables, scored: Mapping[str, Floats], columns: Columns, slices: pd.DataFrame, sure: Sequence[Fifth] = ()
) -> dict[str, bytes]:
    """Return PNG pictures by file name; the map only with columns lat and long, whiskers on fifths only with `sure`."""
    drawn = {
        "predicted_and_actual.png": predicted_and_actual(scored),
        "by_week.png": by_week(tables.by_week),
        "by_fifth.png": by_fifth(tables.by_fifth, sure),
        "residuals.png": residuals(scored, tables.residuals),
        "slices.png": error_by_slice(slices),
    }
    if {"lat", "long"} <= set(columns):
        drawn["map.png"] = error_map(columns["lat"], columns["long"], scored)
    return drawn


def predicted_and_actual(scored: Mapping[str, Floats]) -> bytes:
    """Draw predicted against actual prices on logarithmic axes, as the density of sales."""
    figure, (axes,) = _canvas(6.4, 6.0)
    actual, predicted = np.log10(scored["actual"]), np.log10(scored["predicted"])
    low, high = min(actual.min(), predicted.min()), max(actual.max(), predicted.max())
    shown = axes.hexbin(actual, predicted, gridsize=46, mincnt=1, norm=LogNorm(), cmap="Blues", linewidths=0.2)
    axes.plot([low, high], [low, high], color=RED, linewidth=1.2)
    said: dict[str, Any] = {"xytext": (-34, -4), "textcoords": "offset points", "ha": "right", "color": RED}
    axes.annotate("predicted = actual", (high, high), **said)
    axes.set(title="Test sales: predicted and actual price", xlabel="actual price", ylabel="predicted price")
    for axis in (axes.xaxis, axes.yaxis):
        _money_axis(axis, low, high)
    figure.colorbar(shown, ax=axes, label="sales", shrink=0.8).outline.set_visible(False)
    return _png(figure)


def residuals(scored: Mapping[str, Floats], band: pd.DataFrame) -> bytes:
    """Draw predicted / actual − 1 against the predicted price, with its running median and the band of eight in ten."""
    figure, (axes,) = _canvas(7.6, 4.6)
    reach = 0.6  # the few sales beyond are drawn at the edge
    shown = np.clip(scored["predicted"] / scored["actual"] - 1, -reach, reach)
    axes.scatter(np.log10(scored["predicted"]), shown, s=5, color=BLUE, alpha=0.25, linewidths=0)
    axes.axhline(0, color=INK, linewidth=0.8)
    along = np.log10(band["predicted"])
    axes.fill_between(along, band["low"], band["high"], color=BLUE, alpha=0.18, linewidth=0, label="eight in ten sales")
    axes.plot(along, band["median"], color=RED, linewidth=2, label="running median")
    axes.set(
        title="Residuals along the predicted price",
        xlabel="predicted price",
        ylabel="predicted / actual − 1 (cut at ±60 %)",
    )
    axes.set_ylim(-1.04 * reach, 1.04 * reach)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    _money_axis(axes.xaxis, float(np.log10(scored["predicted"].min())), float(np.log10(scored["predicted"].max())))
    axes.legend(frameon=False, labelcolor=INK, loc="upper right", fontsize=9)
    return _png(figure)


def by_week(table: pd.DataFrame) -> bytes:
    """Draw the median error and the median ratio by week of sale."""
    figure, (upper, lower) = _canvas(7.2, 5.2, rows=2)
    places = np.arange(len(table))
    upper.bar(places, table["mdape"], color=BLUE, width=0.7)
    upper.set(title="Error by week of sale", ylabel="median error")
    upper.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    lower.axhline(1, color=FAINT, linewidth=1)
    lower.plot(places, table["median_ratio"], color=RED, marker="o", markersize=4)
    lower.set(ylabel="predicted / actual\n(median)", xlabel="week from")
    upper.set_xticks(places, [""] * len(table))
    lower.set_xlim(upper.get_xlim())  # a bar stands above its point
    lower.set_xticks(places, table["week"].tolist(), rotation=40, ha="right")
    return _png(figure)


def by_fifth(table: pd.DataFrame, sure: Sequence[Fifth] = ()) -> bytes:
    """Draw ratio and coverage by fifth of the predicted price, to see whether cheap and dear houses are treated alike."""
    figure, (left, right) = _canvas(8.0, 3.8, columns=2)
    places = np.arange(len(table))
    names = [f"{row.fifth}" for row in table.itertuples()]
    left.axhline(1, color=FAINT, linewidth=1)
    left.plot(places, table["median_ratio"], color=BLUE, marker="o")
    reach = max(0.1, 1.1 * float((table["median_ratio"] - 1).abs().max()))  # a wobble of a percent is no news
    below = "fifth of the predicted price" + ("\nlines: bootstrap intervals" if sure else "")
    left.set(title="Predicted / actual (median)", xlabel=below, ylim=(1 - reach, 1 + reach))
    right.bar(places, table["coverage"], color=BLUE, width=0.7)
    right.set(title="Sales inside their interval", xlabel=below, ylim=(0, 1.08))
    right.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    tops = table["coverage"].to_numpy()
    if sure:
        left.vlines(places, *zip(*(one.median_ratio_interval for one in sure), strict=True), color=BLUE)
        right.vlines(places, *zip(*(one.coverage_interval for one in sure), strict=True), color=INK)
        tops = np.array([one.coverage_interval[1] for one in sure])
    for place, share, top in zip(places, table["coverage"], tops, strict=True):
        said: dict[str, Any] = {
            "ha": "center",
            "va": "bottom",
            "fontsize": 9,
            "xytext": (0, 2),
            "textcoords": "offset points",
        }
        right.annotate(f"{share:.0%}", (place, top), **said)
    for axes in (left, right):
        axes.set_xticks(places, names)
    return _png(figure)


def error_by_slice(slices: pd.DataFrame) -> bytes:
    """Draw the median error of each slice, with its interval and its number of sales."""
    figure, (axes,) = _canvas(7.2, 1.2 + 0.23 * len(slices))
    if slices.empty:
        axes.set(title="Median error by slice: no slice has enough sales")
        return _png(figure)
    places = np.arange(len(slices))[::-1]
    colours = [BLUE if band % 2 == 0 else "#7fa8c9" for band in pd.factorize(slices["slice"])[0]]
    axes.barh(places, slices["mdape"], color=colours, height=0.72)
    axes.set_yticks(places, [f"{row.slice}: {row.group}" for row in slices.itertuples()])
    for place, row in zip(places, slices.itertuples(), strict=True):
        said: dict[str, Any] = {"xytext": (4, 0), "textcoords": "offset points", "va": "center", "fontsize": 8}
        axes.annotate(f"{row.mdape:.1%}   n = {row.rows:,}", (row.mdape_high, place), **said)
    axes.hlines(places, slices["mdape_low"], slices["mdape_high"], color=INK, linewidth=1.2)
    axes.set(
        title="Median error by slice",
        xlabel="lines: bootstrap intervals",
        xlim=(0, max(1.25 * slices["mdape_high"].max(), 0.01)),
        ylim=(-0.7, len(slices) - 0.3),
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.tick_params(axis="y", labelsize=8)
    return _png(figure)


def importance(table: pd.DataFrame) -> bytes:
    """Draw by how much the error rises without each group of columns, with the spread over the shuffles."""
    figure, (axes,) = _canvas(7.6, 1.4 + 0.28 * len(table))
    places = np.arange(len(table))[::-1]
    rise, spread = (table[name].to_numpy(dtype=np.float64) for name in ("rise", "spread"))
    axes.barh(places, rise, color=BLUE, height=0.72)
    axes.hlines(places, rise - spread, rise + spread, color=INK, linewidth=1.2)
    axes.axvline(0, color=FAINT, linewidth=1)
    axes.set_yticks(places, table["columns"].tolist())
    for place, value, end in zip(places, rise, np.maximum(rise + spread, 0), strict=True):
        said: dict[str, Any] = {"xytext": (4, 0), "textcoords": "offset points", "va": "center", "fontsize": 8}
        axes.annotate(f"{value:.3f}", (end, place), **said)
    axes.set(
        title="What the model loses without a group of columns",
        xlabel="rise of rmse_log when they are shuffled among the sales\nlines: spread of the shuffles",
        xlim=(1.1 * min(0.0, (rise - spread).min()), 1.12 * max((rise + spread).max(), 0.001)),
        ylim=(-0.7, len(table) - 0.3),
    )
    axes.tick_params(axis="y", labelsize=8)
    return _png(figure)


def error_map(lat: np.ndarray, long: np.ndarray, scored: Mapping[str, Floats]) -> bytes:
    """Draw the mean of predicted / actual − 1 on a map of hexagons with at least three sales."""
    figure, (axes,) = _canvas(7.6, 6.0)
    relative = scored["predicted"] / scored["actual"] - 1
    norm = TwoSlopeNorm(0, -0.25, 0.25)
    look: dict[str, Any] = {
        "gridsize": 34,
        "mincnt": 3,
        "cmap": "RdBu_r",
        "norm": norm,
        "linewidths": 0.3,
        "edgecolors": "#8a97a3",
    }
    drawn = axes.hexbin(long, lat, C=relative, reduce_C_function=np.mean, **look)
    axes.set(title="Where the model errs: mean of predicted / actual − 1", xlabel="longitude", ylabel="latitude")
    axes.set_aspect(1 / np.cos(np.radians(np.mean(lat))))
    bar = figure.colorbar(drawn, ax=axes, shrink=0.8, format=PercentFormatter(1, decimals=0), extend="both")
    bar.set_label("blue: priced too low   red: too high")
    return _png(figure)


def _canvas(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained", facecolor=GROUND)
    FigureCanvasAgg(figure)
    grid: Any = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(FAINT)
        axes.tick_params(color=FAINT, labelcolor=INK)
        axes.title.set(color=INK, fontsize=11)
        for axis in (axes.xaxis, axes.yaxis):
            axis.label.set_color(INK)
            axis.set_minor_locator(NullLocator())
    return figure, list(grid.flat)


def _money_axis(axis: Axis, low: float, high: float) -> None:
    """Give an axis of log10 prices from low to high round prices as ticks."""
    ticks = [t for t in np.log10([1e5, 2e5, 5e5, 1e6, 2e6, 5e6]) if low <= t <= high]
    if len(ticks) > 1:
        axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _money(10**value)))


def _money(value: float) -> str:
    return f"{value / 1e6:.3g} M" if value >= 1e6 else f"{value / 1e3:.0f} k" if value >= 1e3 else f"{value:.3g}"


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
