"""Work out what the report says on the figures of a run: sentences, rows of tables and drawings, each from the numbers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hearth.baselines import GROUP_MEDIAN, LAST_SALE, MEDIAN, RIDGE
from hearth.cards import CardWords, Run
from hearth.drawings import CELL_ROWS_MIN, EDGES, Scale, band, bars, density, errors_by_place, gauge, map_cells, steps
from hearth.evidence import Evidence
from hearth.gate import GateParams
from hearth.measures import MEASURES, minus, money, shown, span
from hearth.page import places, words
from hearth.plotdata import plot_tables
from hearth.ratio_study import STANDARDS, WORDS, standing, verdict
from hearth.rules import Columns
from hearth.scoring import Floats
from hearth.slices import EvaluateParams
from hearth.staleness import Curve
from hearth.timeline import History

TABLE = ("mdape", "mae", "rmse", "rmse_log", "r2", "bias", "coverage", "interval_width")
NAMES = {
    MEDIAN: "one price for all, the median",
    GROUP_MEDIAN: "the {group}'s median price per {area}, times {area}",
    LAST_SALE: "the price of the house's last sale",
    RIDGE: "a linear model (ridge)",
}


@dataclass(frozen=True)
class Step:
    """Be a step of the lineage: a file, its hash, and what may be wrong with it."""

    title: str
    path: str
    digest: str
    note: str = ""


@dataclass(frozen=True)
class Material:
    """Hold all that the report is made of; `scored` has actual, predicted, low and high of the test rows (n_rows,)."""

    run: Run
    said: CardWords
    evidence: Evidence
    gate: Mapping[str, Any]
    limits: GateParams
    params: EvaluateParams
    importance: pd.DataFrame
    train: Columns
    test: Columns
    scored: Mapping[str, Floats]
    history: History
    lineage: Sequence[Step]
    curve: Curve | None  # None in a project that has not measured how its model ages


def metrics(m: Material) -> dict[str, Any]:
    """Return the figures with their intervals, beside the baselines."""
    run, simple = m.run, m.evidence.simpler
    beside = {"mdape": ("baseline_mdape", simple.mdape), "rmse_log": ("baseline_rmse_log", simple.rmse_log)}
    rows = []
    for key in TABLE:
        naive, ridge = beside.get(key, ("", float("nan")))
        rows.append({
            "name": MEASURES[key].name, "meaning": MEASURES[key].meaning, "value": figure(run, key), "doubt": doubt(m, key),
            "naive": figure(run, naive) if naive else "", "ridge": shown(key, ridge, run.unit) if naive else "",
        })  # fmt: skip
    against: list[dict[str, Any]] = []
    reach = [0.0]
    for name, compared in m.evidence.baselines.items():
        if compared.mdape:
            low, high = compared.mdape.difference
            reach += [low, high]
            against.append({"name": baseline(m, name), "rows": f"{compared.rows:,}", "ends": (low, high),
                            "words": minus(f"{100 * low:+.1f} to {100 * high:+.1f}"), "verdict": compared.mdape.verdict})  # fmt: skip
    place = Scale(min(reach) * 1.05, max(max(reach), -0.05 * min(reach)), 0, 100)
    for one in against:
        one |= {"low": place(one["ends"][0]), "high": place(one["ends"][1]), "zero": place(0)}
    return {
        "rows": rows,
        "level": interval_level(m),
        "naive": baseline(m, GROUP_MEDIAN),
        "against": against,
        "caption": _against(against),
        "best": f"It explains {run.metrics['r2']:.0%} of the differences between prices.",
        "densities": (density(
            m.scored["actual"], m.scored["predicted"], _short(run.unit),
            f"Price predicted against price paid. {_within(m.scored)}",
        )),
        "density_caption": _within(m.scored),
    }  # fmt: skip


def _against(against: Sequence[Mapping[str, Any]]) -> str:
    proven = [one for one in against if one["verdict"] == "better"]
    if not against:
        return "No simpler way could price the test sales, so there is nothing to compare with."
    if len(proven) == len(against):
        return f"The model's median error is provably smaller than that of each of {len(against)} simpler ways."
    other = "; ".join(f"{one['name']}: {one['verdict']}" for one in against if one["verdict"] != "better")
    return f"The model's median error is provably smaller than that of {len(proven)} of {len(against)} simpler ways ({other})."


def _within(scored: Mapping[str, Floats]) -> str:
    error = np.abs(scored["predicted"] / scored["actual"] - 1)
    return (
        f"{np.mean(error <= 0.1):.0%} of the prices were within a tenth of what was paid, {np.mean(error <= 0.2):.0%} "
        f"within a fifth, and {np.mean(error > 0.5):.1%} were off by more than half."
    )


def errors(m: Material) -> dict[str, Any]:
    """Return where the model errs: by slice, by group found, on the map."""
    run, table = m.run, m.run.slices
    reach = Scale(0, max(0.01, float(table["mdape_high"].max())) if len(table) else 0.01, 0, 100)
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_dict("records"):
        worse, better = row["mdape_low"] > run.metrics["mdape"], row["mdape_high"] < run.metrics["mdape"]
        groups.setdefault(words(row["slice"]), []).append({
            "group": row["group"], "rows": f"{row['rows']:,}", "value": f"{row['mdape']:.1%}", "kind": "worse" if worse else "better" if better else "",
            "doubt": span("mdape", (row["mdape_low"], row["mdape_high"]), run.unit), "coverage": f"{row['coverage']:.0%}",
            "at": reach(row["mdape"]), "low": reach(row["mdape_low"]), "high": reach(row["mdape_high"]),
        })  # fmt: skip
    found = [{"group": f"{one['slice']}: {one['group']}", "rows": f"{one['rows']:,}", "value": f"{one['mdape']:.1%}",
              "rest": f"{one['rest_mdape']:.1%}"} for one in run.found]  # fmt: skip
    return {
        "groups": groups,
        "all": reach(run.metrics["mdape"]),
        "caption": _sliced(run),
        "found": found,
        "tried": f"{m.evidence.slices_tried:,}",
        "map": _map(m),
        "bands": [minus(f"{edge:+.0%}") for edge in EDGES],
    }


def _sliced(run: Run) -> str:
    table = run.slices
    if table.empty:
        return "No slice has enough sales to be told apart."
    ordered = table.sort_values(["mdape", "slice", "group"]).to_dict("records")
    best, worst = (
        f"{row['mdape']:.1%} ({words(row['slice'])}: {row['group']}, {row['rows']:,} sales)"
        for row in (ordered[0], ordered[-1])
    )
    surely = sum(row["mdape_low"] > run.metrics["mdape"] for row in ordered)
    return (f"The median error goes from {best} to {worst}. {surely} of {len(ordered)} slices are surely worse than all sales "
            f"together.")  # fmt: skip


def _map(m: Material) -> dict[str, Any] | None:
    place = places(m.run.contract, m.run.facts, m.train)
    if place is None:
        return None
    _, lat, long = place["columns"]
    box, grid = place["box"], np.array(place["dots"], dtype=np.float64).reshape(-1, 3)
    known = [
        (box[0] + y / 1000 * (box[1] - box[0]), box[2] + x / 1000 * (box[3] - box[2])) for x, y, _ in grid.tolist()
    ]
    error = m.scored["predicted"] / m.scored["actual"] - 1
    at = (m.test[lat].astype(np.float64), m.test[long].astype(np.float64), error)
    cells = map_cells(*at, box)
    if not cells:
        return None
    calm = sum(abs(value) <= EDGES[-2] for _, value, _ in cells) / len(cells)
    worst = max(cells, key=lambda cell: abs(cell[1]))
    caption = (
        f"In {calm:.0%} of the {len(cells)} cells with at least {CELL_ROWS_MIN} test sales, prices were on average within "
        f"{EDGES[-2]:.0%} of what was paid; the farthest off is a cell of {worst[2]} sales, by {minus(f'{worst[1]:+.0%}')}."
    )
    picture = errors_by_place(
        *at, known, [(name, y, x) for name, y, x in place["towns"]], box, f"Map of the test sales. {caption}"
    )
    return {"picture": (picture), "caption": caption}


def calibration(m: Material) -> dict[str, Any]:
    """Return whether the intervals keep their word, and whether cheap and dear are treated alike."""
    fifths, level, run = m.evidence.coverage_by_fifth, m.run.facts.interval.level, m.run
    names = [{0: "cheapest", len(fifths) - 1: "dearest"}.get(place, f"{one.fifth}") for place, one in enumerate(fifths)]
    off = [one for one in fifths if not one.median_ratio_interval[0] <= 1 <= one.median_ratio_interval[1]]
    low, high = (f"{end([one.median_ratio for one in fifths]):.2f}" for end in (min, max))
    ratio = f"The median of predicted / paid goes from {low} to {high} over the fifths; "
    ratio += (f"it is surely off one in {len(off)} of {len(fifths)}, most in fifth {max(off, key=lambda one: abs(one.median_ratio - 1)).fifth}."
              if off else "it is surely off one in none.")  # fmt: skip
    least = min(fifths, key=lambda one: one.coverage)
    held = f"The intervals were to hold {level:.0%} of the prices and held {figure(run, 'coverage')} ({_covered(m, level)})."
    most, meant = (
        max(fifths, key=lambda one: one.coverage),
        [one for one in fifths if one.coverage_interval[0] <= level <= one.coverage_interval[1]],
    )
    shares = (f"From {least.coverage:.0%} in fifth {least.fifth} to {most.coverage:.0%} in fifth {most.fifth} of the predicted price; "
              f"in {len(meant)} of {len(fifths)} fifths {level:.0%} is within chance.")  # fmt: skip
    tables = plot_tables(m.test[run.contract.time.name], m.scored)
    rest = tables.residuals
    spread = (rest["high"] - rest["low"]).to_numpy()
    narrow, wide = int(spread.argmin()), int(spread.argmax())
    near = [money(float(f"{rest['predicted'][place]:.2g}"), run.unit) for place in (narrow, wide)]
    along = (f"Eight in ten prices lie in the band: {spread[narrow]:.0%} wide at its narrowest, near {near[0]}, and "
             f"{spread[wide]:.0%} at its widest, near {near[1]}.")  # fmt: skip
    weekly = tables.by_week["mdape"].tolist()
    weeks = (f"By week of sale the median error went from {min(weekly):.1%} to {max(weekly):.1%}; "
             f"in the last week it was {weekly[-1]:.1%}.")  # fmt: skip
    return {
        "held": held,
        "shares": shares,
        "coverage": (steps(
            [one.coverage for one in fifths], [one.coverage_interval for one in fifths], names, (level, f"wanted: {level:.0%}"),
            lambda value: f"{value:.0%}", f"Coverage by fifth of the predicted price. {shares}")),
        "ratio": ratio,
        "ratios": (steps(
            [one.median_ratio for one in fifths], [one.median_ratio_interval for one in fifths], names, (1.0, "predicted = paid"),
            lambda value: f"{value:.2f}", f"Median of predicted / paid by fifth of the predicted price. {ratio}")),
        "along": along,
        "band": band({str(name): rest[name].tolist() for name in rest}, _short(run.unit),
                              f"Predicted / paid − 1 along the predicted price. {along}"),
        "weeks": weeks,
        "weekly": bars(weekly, [week[5:] for week in tables.by_week["week"]], lambda value: f"{value:.1%}", weeks),
    }  # fmt: skip


def _covered(m: Material, level: float) -> str:
    low, high = m.run.intervals["coverage"]
    if low <= level <= high:
        return f"{interval_level(m)} interval {doubt(m, 'coverage')}: as promised, up to chance"
    return f"{interval_level(m)} interval {doubt(m, 'coverage')}: a little too {'narrow' if high < level else 'wide'}"


def ratios(m: Material) -> dict[str, Any]:
    """Return the assessors' ratio study."""
    values = {"median_ratio": float(np.median(m.scored["predicted"] / m.scored["actual"]))}
    values |= {key: m.run.metrics[key] for key in ("cod", "prd", "prb")}
    found, gauges = {}, []
    for key, standard in STANDARDS.items():
        interval = m.run.intervals.get(key)
        found[key] = standing(values[key], interval, standard)
        written, limit = _written(1 if key == "cod" else 3), _written(0 if key == "cod" else 2)
        said = (
            f"{written(values[key])}: {WORDS[found[key]]}. Acceptable: {limit(standard.low)} to {limit(standard.high)}."
        )
        if interval:
            said += f" {interval_level(m)} interval: {written(interval[0])} to {written(interval[1])}."
        picture = gauge(
            values[key], interval, (standard.low, standard.high), (standard.shown_from, standard.shown_to), (written, limit),
            f"{standard.name}. {said}",
        )  # fmt: skip
        gauges.append({"name": standard.name, "asks": standard.asks, "says": said, "picture": picture})
    bias = values["prb"]
    plain = (f"Put plainly: each time the value of a house doubles, the model's price {'falls behind' if bias < 0 else 'runs ahead of'} "
             f"what is paid by another {abs(bias):.1%}.")  # fmt: skip
    return {"summary": verdict(found), "gauges": gauges, "plain": plain}


def drivers(m: Material) -> dict[str, Any]:
    """Return what drives the price."""
    table, own = m.importance, m.run.metrics["rmse_log"]
    rise = table["rise"].to_numpy(dtype=np.float64)
    reach = Scale(0, float(max(rise.max(), 1e-9)), 0, 100)
    names = [", ".join(words(part.strip()).lower() for part in columns.split("+")) for columns in table["columns"]]
    rows = [
        {"names": name, "value": minus(f"{value:.3f}"), "spread": f"± {spread:.3f}", "at": reach(float(value))}
        for name, value, spread in zip(names, rise, table["spread"], strict=True)
    ]
    small = sum(value < 0.02 * rise.max() for value in rise)
    return {
        "rows": rows,
        "caption": f"Without {names[0]} the error of the log price would rise from {own:.3f} to {own + rise[0]:.3f}; second "
        f"comes {names[1]} ({own + rise[1]:.3f}). {small} of {len(rows)} groups matter by less than a fiftieth of the first."
        if len(rows) > 1
        else "There is one group of columns.",
    }


def figure(run: Run, key: str) -> str:
    """Return the value of a metric for people."""
    return shown(key, run.metrics[key], run.unit)


def doubt(m: Material, key: str) -> str:
    """Return the interval of a metric for people; nothing where it has none."""
    return span(key, m.run.intervals[key], m.run.unit) if key in m.run.intervals else ""


def interval_level(m: Material) -> str:
    """Return the level of the bootstrap intervals for people."""
    return f"{m.params.bootstrap.level:.0%}"


def baseline(m: Material, name: str) -> str:
    """Return a baseline in words."""
    plain = {key: words(value).lower() for key, value in m.params.baseline.model_dump().items()}
    return NAMES[name].format(**plain) if name in NAMES else words(name)


def _written(digits: int) -> Callable[[float], str]:
    return lambda value: minus(f"{value:.{digits}f}")


def _short(unit: str) -> Callable[[float], str]:
    """Return what writes a price in few signs."""
    sign = money(0, unit)[0] if not money(0, unit)[0].isdigit() else ""

    def write(value: float) -> str:
        return sign + (f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1e3:g}k" if value >= 1e3 else f"{value:g}")

    return write
