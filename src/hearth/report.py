"""Write the report for people out of what a run left behind: one HTML file that needs nothing else.

Sentences about figures are worked out from the figures here (`sections`); the template holds the rest of the words. It
says nothing that depends on a clock or on the folder, so that the same commit and tags give the same bytes.
"""

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hearth.aging import aging
from hearth.baselines import GROUP_MEDIAN, LAST_SALE, MEDIAN, RIDGE
from hearth.cards import data_document, model_document
from hearth.document import html_of
from hearth.drawings import course, months
from hearth.findings import (
    Material,
    baseline,
    calibration,
    doubt,
    drivers,
    errors,
    figure,
    interval_level,
    metrics,
    ratios,
)
from hearth.measures import MEASURES, money, shown
from hearth.page import words
from hearth.templating import filled
from hearth.timeline import Entry

COURSE = ("mdape", "rmse_log", "coverage", "bias")
SHORT = {"mdape": "median error", "rmse_log": "log error", "coverage": "coverage", "bias": "bias"}


def report(templates: Mapping[str, str], material: Material) -> str:
    """Return the report as one HTML file."""
    # What drawings.py and document.py return is marked safe in the template, since they escape.
    return filled(templates, "report.html", **sections(material))


def sections(m: Material) -> dict[str, Any]:
    """Return what the template shows, by name."""
    return {
        "title": m.run.contract.title,
        "head": _head(m),
        "data": _data(m),
        "gate": _gate(m),
        "metrics": metrics(m),
        "errors": errors(m),
        "calibration": calibration(m),
        "ratios": ratios(m),
        "aging": aging(m.curve) if m.curve else None,
        "drivers": drivers(m),
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
        {"name": MEASURES[key].name, "value": figure(run, key), "note": note}
        for key, note in (
            ("mdape", f"{interval_level(m)} interval {doubt(m, 'mdape')}"),
            ("mae", f"{interval_level(m)} interval {doubt(m, 'mae')}"),
            ("coverage", f"wanted {run.facts.interval.level:.0%} of prices inside their interval"),
            ("bias", f"{interval_level(m)} interval {doubt(m, 'bias')}"),
        )
    ]
    return {
        "passed": passed,
        "verdict": "The model passed its gate: it may be released."
        if passed
        else "The model did not pass its gate: it must not be released.",
        "lead": f"Half of its prices were within {figure(run, 'mdape')} of what was paid, on {figure(run, 'rows_test')} sales "
        f"that it had not seen. The plain way, {baseline(m, GROUP_MEDIAN)}, is off by {figure(run, 'baseline_mdape')}.",
        "tiles": tiles,
    }


def _data(m: Material) -> dict[str, Any]:
    run, time, target = m.run, m.run.contract.time.name, m.run.contract.target.name
    prices = np.concatenate([m.train[target], m.test[target]]).astype(np.float64)
    low, middle, high = (money(value, run.unit) for value in np.quantile(prices, [0.1, 0.5, 0.9]))
    said = (
        f"{len(m.test[time]):,} of {len(prices):,} sales, those from {run.days[0]} to {run.days[1]}, judged the model."
    )
    later = (
        f"All of them are later than the {len(m.train[time]):,} that it was fitted on."
        if m.test[time].min() > m.train[time].max()
        else "Not all of them are later than those that it was fitted on."
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
        "caption": f"{said} {later}",
        "picture": months(m.train[time], m.test[time], f"Number of sales by month. {said}"),
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
        "better_than_group_median": f"proof against {baseline(m, GROUP_MEDIAN)}",
        "better_than_last_sale": f"proof against {baseline(m, LAST_SALE)}",
        "better_than_median": f"proof against {baseline(m, MEDIAN)}",
        "simpler": f"proof against {baseline(m, RIDGE)}: else the simpler model is the one to release",
        "slices": f"median error of at most {limits.slice_mdape_max:.0%} in each slice of {limits.slice_rows_min} sales or more",
        "slices_beside_all": f"no slice of {limits.slice_rows_min} sales or more surely worse than {limits.slice_ratio_max:g} times all sales",
        "slices_coverage": f"no slice of {limits.slice_rows_min} sales or more with a coverage surely outside "
        f"{limits.slice_coverage_min:.0%} to {limits.slice_coverage_max:.0%}",
        "worst_slices": f"median error of at most {limits.slice_mdape_max:.0%} in the worst groups that a search found",
    }
    held = sum(value is True for value in checks.values())
    whole = held == len(checks) > 0
    return {
        "summary": f"All {held} checks hold." if whole else f"{held} of {len(checks)} checks hold.",
        "reasons": list(m.gate.get("reasons", [])),
        "checks": sorted(
            ({"held": value is True, "words": told.get(name, words(name))} for name, value in checks.items()),
            key=lambda check: check["held"],
        ),
    }


def _history(m: Material) -> dict[str, Any]:
    entries, run = m.history.entries, m.run
    known = [one for one in entries if one.metrics and "mdape" in one.metrics]
    charts = []
    for key in COURSE if entries else ():
        values = [(one.metrics or {}).get(key) for one in entries]
        name = MEASURES[key].name
        drawn = course(values, [" ".join(one.tags) for one in entries], _metric(key, run.unit), f"{name} over {len(entries)} commits, oldest first.")  # fmt: skip
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
        "caption": _went_all(entries) if entries else "",
    }


def _went_all(entries: Sequence[Entry]) -> str:
    """Return in a sentence how many commits there are, and who is the champion of which environment."""
    champions = [
        f"the champion of {name} is {next((tag for tag in one.tags if '@' in tag), one.commit[:8])}"
        for one in entries
        for name in one.champion_of
    ]
    counted = f"{len(entries)} {'commit' if len(entries) == 1 else 'commits'} changed the metrics or carry a release"
    return "; ".join([counted, *champions]) + "."


def _metric(key: str, unit: str) -> Callable[[float], str]:
    return lambda value: shown(key, value, unit)


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


def _day(day: datetime.date) -> str:
    return f"{day.day} {day:%B %Y}"
