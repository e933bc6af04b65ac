"""Write the report for people out of what a run left behind: one HTML file that needs nothing else.

Sentences about figures are worked out from the figures here (`sections`); the template holds the rest of the words. It
says nothing that depends on a clock or on the folder, so that the same commit and tags give the same bytes.
"""

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from hearth import drawings, ratio_study
from hearth.baselines import GROUP_MEDIAN, LAST_SALE, MEDIAN, RIDGE
from hearth.cards import CardWords, Run, data_document, model_document
from hearth.document import html_of
from hearth.evidence import Evidence
from hearth.gate import GateParams
from hearth.measures import MEASURES, minus, money, shown, span
from hearth.page import places, words
from hearth.plotdata import plot_tables
from hearth.rules import Columns
from hearth.scoring import Floats
from hearth.slices import EvaluateParams
from hearth.timeline import Entry, History

TABLE = ("mdape", "mae", "rmse", "rmse_log", "r2", "bias", "coverage", "interval_width")
COURSE = ("mdape", "rmse_log", "coverage", "bias")
SHORT = {"mdape": "median error", "rmse_log": "log error", "coverage": "coverage", "bias": "bias"}
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


def report(template: str, material: Material) -> str:
    """Return the report as one HTML file."""
    # What drawings.py and document.py return is marked safe in the template, since they escape; all else is escaped here.
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(sections(material)) + "\n"


def sections(m: Material) -> dict[str, Any]:
    """Return what the template shows, by name."""
    return {
        "title": m.run.contract.title,
        "head": _head(m),
        "data": _data(m),
        "gate": _gate(m),
        "metrics": _metrics(m),
        "errors": _errors(m),
        "calibration": _calibration(m),
        "ratios": _ratios(m),
        "drivers": _drivers(m),
        "history": _history(m),
        "lineage": {"steps": m.lineage, "version": m.run.release.manifest.model_version, "head": m.history.head},
        "cards": {
            "model": html_of(model_document(m.said.model, m.run), 3),
            "data": html_of(data_document(m.said.data, m.run), 3),
        },
    }


def _head(m: Material) -> dict[str, Any]:
    run, passed = m.run, m.gate.get("passed") is True
    tiles = [
        {"name": MEASURES[key].name, "value": _figure(run, key), "note": note}
        for key, note in (
            ("mdape", f"{_level(m)} interval {_doubt(m, 'mdape')}"),
            ("mae", f"{_level(m)} interval {_doubt(m, 'mae')}"),
            ("coverage", f"wanted {run.facts.interval.level:.0%} of prices inside their interval"),
            ("bias", f"{_level(m)} interval {_doubt(m, 'bias')}"),
        )
    ]
    return {
        "passed": passed,
        "verdict": "The model passed its gate: it may be released."
        if passed
        else "The model did not pass its gate: it must not be released.",
        "lead": f"Half of its prices were within {_figure(run, 'mdape')} of what was paid, on {_figure(run, 'rows_test')} sales "
        f"that it had not seen. The plain way, {_baseline(m, GROUP_MEDIAN)}, is off by {_figure(run, 'baseline_mdape')}.",
        "tiles": tiles,
    }


def _data(m: Material) -> dict[str, Any]:
    run, time, target = m.run, m.run.contract.time.name, m.run.contract.target.name
    prices = np.concatenate([m.train[target], m.test[target]]).astype(np.float64)
    low, middle, high = (money(value, run.unit) for value in np.quantile(prices, [0.1, 0.5, 0.9]))
    said = (
        f"{len(m.test[time]):,} of {len(prices):,} sales, those from {run.days[0]} to {run.days[1]}, judged the model."
    )
    last = run.facts.as_of - datetime.timedelta(days=1)
    return {
        "rows": f"{run.facts.rows:,}",
        "row": run.contract.row,
        "from": _day(run.facts.first_day),
        "to": _day(last),
        "prices": f"Half of them cost more than {middle}, one in ten less than {low}, one in ten more than {high}.",
        "refused": f"{run.refused:,} of {run.facts.rows + run.refused:,} collected rows broke the contract and "
        f"{'was' if run.refused == 1 else 'were'} put in quarantine.",
        "origin": run.contract.origin,
        "licence": run.contract.licence,
        "limits": run.contract.limits,
        "caption": f"{said} All of them are later than the {len(m.train[time]):,} that it was fitted on.",
        "picture": (drawings.months(m.train[time], m.test[time], f"Number of sales by month. {said}")),
    }


def _gate(m: Material) -> dict[str, Any]:
    limits, checks = m.limits, m.gate.get("checks", {})
    told = {
        "evidence": f"at least {limits.test_rows_min:,} test sales, and every figure with its evidence",
        "sanity": "every prediction is a positive price inside its own interval",
        "mdape": f"median error of at most {limits.mdape_max:.1%}",
        "mdape_plausible": f"median error of at least {limits.mdape_min:.1%}: less would be too good to be true",
        "rmse_log": f"error of the log price of at most {limits.rmse_log_max:g}",
        "rmse_log_plausible": f"error of the log price of at least {limits.rmse_log_min:g}: less would be too good to be true",
        "bias": f"bias of at most {limits.bias_max:.1%} either way",
        "coverage": f"{limits.coverage_min:.0%} to {limits.coverage_max:.0%} of prices inside their interval",
        "coverage_by_fifth": f"at least {limits.coverage_fifth_min:.0%} in each fifth of the predicted price",
        "better_mdape": "proof of a smaller median error than the baseline's",
        "better_rmse_log": "proof of a smaller error of the log price than the baseline's",
        "better_than_group_median": f"proof against {_baseline(m, GROUP_MEDIAN)}",
        "better_than_last_sale": f"proof against {_baseline(m, LAST_SALE)}",
        "better_than_median": f"proof against {_baseline(m, MEDIAN)}",
        "simpler": f"proof against {_baseline(m, RIDGE)}: else the simpler model is the one to release",
        "slices": f"median error of at most {limits.slice_mdape_max:.0%} in each slice of {limits.slice_rows_min} sales or more",
        "slices_beside_all": f"no slice of {limits.slice_rows_min} sales or more surely worse than {limits.slice_ratio_max:g} times all sales",
        "slices_coverage": f"no slice of {limits.slice_rows_min} sales or more with a coverage surely outside "
        f"{limits.slice_coverage_min:.0%} to {limits.slice_coverage_max:.0%}",
        "worst_slices": f"median error of at most {limits.slice_mdape_max:.0%} in the worst groups that a search found",
    }
    held = sum(value is True for value in checks.values())
    return {
        "summary": f"{held} of {len(checks)} checks hold." if held < len(checks) else f"All {held} checks hold.",
        "reasons": list(m.gate.get("reasons", [])),
        "checks": sorted(
            ({"held": value is True, "words": told.get(name, words(name))} for name, value in checks.items()),
            key=lambda check: check["held"],
        ),
    }


def _metrics(m: Material) -> dict[str, Any]:
    run, simple = m.run, m.evidence.simpler
    beside = {"mdape": ("baseline_mdape", simple.mdape), "rmse_log": ("baseline_rmse_log", simple.rmse_log)}
    rows = []
    for key in TABLE:
        naive, ridge = beside.get(key, ("", float("nan")))
        rows.append({
            "name": MEASURES[key].name, "meaning": MEASURES[key].meaning, "value": _figure(run, key), "doubt": _doubt(m, key),
            "naive": _figure(run, naive) if naive else "", "ridge": shown(key, ridge, run.unit) if naive else "",
        })  # fmt: skip
    against: list[dict[str, Any]] = []
    reach = [0.0]
    for name, compared in m.evidence.baselines.items():
        if compared.mdape:
            low, high = compared.mdape.difference
            reach += [low, high]
            against.append({"name": _baseline(m, name), "rows": f"{compared.rows:,}", "ends": (low, high),
                            "words": minus(f"{100 * low:+.1f} to {100 * high:+.1f}"), "verdict": compared.mdape.verdict})  # fmt: skip
    place = drawings.Scale(min(reach) * 1.05, max(max(reach), -0.05 * min(reach)), 0, 100)
    for one in against:
        one |= {"low": place(one["ends"][0]), "high": place(one["ends"][1]), "zero": place(0)}
    return {
        "rows": rows,
        "level": _level(m),
        "naive": _baseline(m, GROUP_MEDIAN),
        "against": against,
        "caption": _against(against),
        "best": f"It explains {run.metrics['r2']:.0%} of the differences between prices.",
        "densities": (drawings.density(
            m.scored["actual"], m.scored["predicted"], _short(run.unit),
            "Price predicted against price paid, one cell per group of test sales; they lie along the diagonal.",
        )),
        "density_caption": _within(m.scored),
    }  # fmt: skip


def _against(against: Sequence[Mapping[str, Any]]) -> str:
    proven = [one for one in against if one["verdict"] == "better"]
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


def _errors(m: Material) -> dict[str, Any]:
    run, table = m.run, m.run.slices
    reach = drawings.Scale(0, max(0.01, float(table["mdape_high"].max())) if len(table) else 0.01, 0, 100)
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
        "bands": [minus(f"{edge:+.0%}") for edge in drawings.EDGES],
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
    cells = drawings.map_cells(*at, box)
    if not cells:
        return None
    calm = sum(abs(value) <= drawings.EDGES[-2] for _, value, _ in cells) / len(cells)
    worst = max(cells, key=lambda cell: abs(cell[1]))
    caption = (
        f"In {calm:.0%} of the {len(cells)} cells with at least {drawings.CELL_ROWS_MIN} test sales, prices were on average within "
        f"{drawings.EDGES[-2]:.0%} of what was paid; the farthest off is a cell of {worst[2]} sales, by {minus(f'{worst[1]:+.0%}')}."
    )
    picture = drawings.errors_by_place(
        *at, known, [(name, y, x) for name, y, x in place["towns"]], box, f"Map of the test sales. {caption}"
    )
    return {"picture": (picture), "caption": caption}


def _calibration(m: Material) -> dict[str, Any]:
    fifths, level, run = m.evidence.coverage_by_fifth, m.run.facts.interval.level, m.run
    names = [{0: "cheapest", len(fifths) - 1: "dearest"}.get(place, f"{one.fifth}") for place, one in enumerate(fifths)]
    off = [one for one in fifths if not one.median_ratio_interval[0] <= 1 <= one.median_ratio_interval[1]]
    ratio = ("In no fifth of the predicted price is the median of predicted / paid surely off one."
             if not off else f"The median of predicted / paid is surely off one in {len(off)} of {len(fifths)} fifths of the predicted price, "
             f"most in fifth {max(off, key=lambda one: abs(one.median_ratio - 1)).fifth}.")  # fmt: skip
    least = min(fifths, key=lambda one: one.coverage)
    held = f"The intervals were to hold {level:.0%} of the prices and held {_figure(run, 'coverage')} ({_covered(m, level)})."
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
        "coverage": (drawings.steps(
            [one.coverage for one in fifths], [one.coverage_interval for one in fifths], names, (level, f"wanted: {level:.0%}"),
            lambda value: f"{value:.0%}", f"Coverage by fifth of the predicted price. {shares}")),
        "ratio": ratio,
        "ratios": (drawings.steps(
            [one.median_ratio for one in fifths], [one.median_ratio_interval for one in fifths], names, (1.0, "predicted = paid"),
            lambda value: f"{value:.2f}", f"Median of predicted / paid by fifth of the predicted price. {ratio}")),
        "along": along,
        "band": drawings.band({str(name): rest[name].tolist() for name in rest}, _short(run.unit),
                              f"Predicted / paid − 1 along the predicted price. {along}"),
        "weeks": weeks,
        "weekly": drawings.bars(weekly, [week[5:] for week in tables.by_week["week"]], lambda value: f"{value:.1%}", weeks),
    }  # fmt: skip


def _covered(m: Material, level: float) -> str:
    low, high = m.run.intervals["coverage"]
    if low <= level <= high:
        return f"{_level(m)} interval {_doubt(m, 'coverage')}: as promised, up to chance"
    return f"{_level(m)} interval {_doubt(m, 'coverage')}: a little too {'narrow' if high < level else 'wide'}"


def _ratios(m: Material) -> dict[str, Any]:
    values = {"median_ratio": float(np.median(m.scored["predicted"] / m.scored["actual"]))}
    values |= {key: m.run.metrics[key] for key in ("cod", "prd", "prb")}
    found, gauges = {}, []
    for key, standard in ratio_study.STANDARDS.items():
        interval = m.run.intervals.get(key)
        found[key] = ratio_study.standing(values[key], interval, standard)
        written, limit = _written(1 if key == "cod" else 3), _written(0 if key == "cod" else 2)
        said = f"{written(values[key])}: {ratio_study.WORDS[found[key]]}. Acceptable: {limit(standard.low)} to {limit(standard.high)}."
        if interval:
            said += f" {_level(m)} interval: {written(interval[0])} to {written(interval[1])}."
        picture = drawings.gauge(
            values[key], interval, (standard.low, standard.high), (standard.shown_from, standard.shown_to), (written, limit),
            f"{standard.name}. {said}",
        )  # fmt: skip
        gauges.append({"name": standard.name, "asks": standard.asks, "says": said, "picture": picture})
    bias = values["prb"]
    plain = (f"Put plainly: each time the value of a house doubles, the model's price {'falls behind' if bias < 0 else 'runs ahead of'} "
             f"what is paid by another {abs(bias):.1%}.")  # fmt: skip
    return {"summary": ratio_study.verdict(found), "gauges": gauges, "plain": plain}


def _drivers(m: Material) -> dict[str, Any]:
    table, own = m.importance, m.run.metrics["rmse_log"]
    rise = table["rise"].to_numpy(dtype=np.float64)
    reach = drawings.Scale(0, float(max(rise.max(), 1e-9)), 0, 100)
    names = [", ".join(words(part.strip()).lower() for part in columns.split("+")) for columns in table["columns"]]
    rows = [
        {"names": name, "value": f"{value:.3f}", "spread": f"± {spread:.3f}", "at": reach(float(value))}
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


def _history(m: Material) -> dict[str, Any]:
    entries, run = m.history.entries, m.run
    known = [one for one in entries if one.metrics and "mdape" in one.metrics]
    charts = []
    for key in COURSE if entries else ():
        values = [(one.metrics or {}).get(key) for one in entries]
        name = MEASURES[key].name
        drawn = drawings.course(values, [" ".join(one.tags) for one in entries], _metric(key, run.unit), f"{name} over {len(entries)} commits, oldest first.")  # fmt: skip
        if drawn:
            charts.append({"name": name, "picture": (drawn), "caption": _went(key, values, run.unit)})
    rows = [_history_row(one, run.unit) for one in reversed(entries)]
    others = {one.metrics["rows_test"] for one in known if one.metrics and "rows_test" in one.metrics}
    notes = list(m.history.notes)
    if len(others) > 1:
        notes.append(
            "The number of test sales changed on the way, so figures before and after are not of the same sales."
        )
    if entries and not any(one.tags for one in entries):
        notes.append("Nothing is released yet: there is no tag of a release or a promotion.")
    return {
        "charts": charts,
        "rows": rows,
        "names": list(SHORT.values()),
        "notes": notes,
        "caption": f"{len(entries)} commits changed the metrics or are released." if entries else "",
    }


def _history_row(one: Entry, unit: str) -> dict[str, Any]:
    figures = {key: shown(key, one.metrics[key], unit) if one.metrics and key in one.metrics else "–" for key in COURSE}
    return {"commit": one.commit[:8], "day": one.day, "subject": one.subject, "figures": [{"name": SHORT[key], "value": value} for key, value in figures.items()], "fault": one.fault,
            "tags": one.tags, "champion": [f"champion of {name}" for name in one.champion_of]}  # fmt: skip


def _went(key: str, values: Sequence[float | None], unit: str) -> str:
    known = [value for value in values if value is not None]
    gaps = f" {len(values) - len(known)} without a figure." if len(known) < len(values) else ""
    if len(known) < 2:
        return f"{shown(key, known[0], unit)}.{gaps}"
    return f"From {shown(key, known[0], unit)} to {shown(key, known[-1], unit)}.{gaps}"


def _figure(run: Run, key: str) -> str:
    return shown(key, run.metrics[key], run.unit)


def _doubt(m: Material, key: str) -> str:
    return span(key, m.run.intervals[key], m.run.unit) if key in m.run.intervals else ""


def _level(m: Material) -> str:
    return f"{m.params.bootstrap.level:.0%}"


def _baseline(m: Material, name: str) -> str:
    plain = {key: words(value).lower() for key, value in m.params.baseline.model_dump().items()}
    return NAMES[name].format(**plain) if name in NAMES else words(name)


def _metric(key: str, unit: str) -> Callable[[float], str]:
    return lambda value: shown(key, value, unit)


def _written(digits: int) -> Callable[[float], str]:
    return lambda value: minus(f"{value:.{digits}f}")


def _short(unit: str) -> Callable[[float], str]:
    """Return what writes a price in few signs."""
    sign = money(0, unit)[0] if not money(0, unit)[0].isdigit() else ""

    def write(value: float) -> str:
        return sign + (f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1e3:g}k" if value >= 1e3 else f"{value:g}")

    return write


def _day(day: datetime.date) -> str:
    return f"{day.day} {day:%B %Y}"
