"""Tell the monitor's document as a page: what is wrong, since when, and how the weeks went."""

from collections.abc import Mapping, Sequence
from typing import Any

from hearth.drawings import WIDTH, Scale, along, at, svg, text
from hearth.measures import minus
from hearth.templating import filled

NAMES = {
    "input_drift": "requests are spread otherwise",
    "prediction_drift": "prices are spread otherwise",
    "refused_requests": "requests break the contract",
    "outside_training": "houses outside the training data",
    "bias": "prices beside what was paid",
    "error": "error on what was paid",
    "coverage": "intervals hold what was paid",
    "outcome_match": "outcomes belong to predictions",
    "traffic": "houses and outcomes come in",
    "skew": "inputs computed anew are equal",
    "staleness": "age of the model",
    "stale_profile": "profile and model belong together",
    "clock": "the service's clock",
    "log": "lines of the log",
}
SAID = {True: ("bad", "bad"), False: ("fine", "fine"), None: ("open", "too little to tell")}
SLICES_SHOWN = 12


def page(found: Mapping[str, Any], templates: Mapping[str, str]) -> str:
    """Return the page."""
    figures = found["figures"]
    return filled(
        templates, "monitor.html", found=found, verdict=verdict(found), checks=[_check(name, one) for name, one in found["checks"].items()],
        tiles=[
            (f"{found['predictions']:,}", "predictions in the last window"),
            (f"{found['outcomes']['joined']:,}", f"outcomes in {found['window']['of']} windows"),
            (_share(figures["error"]["value"]), f"median error on what was paid; {_share(figures['estimated_error']['value'])} was to be expected"),
            (_signed(figures["level"]["value"]), "level of the prices beside what was paid"),
        ],
        courses=_courses(found), drift=_drift(found["features"]), slices=_slices(found["slices"]), shadow=_shadow(found["shadow"]),
    )  # fmt: skip


def verdict(found: Mapping[str, Any]) -> str:
    """Return the answer in one sentence."""
    if not found["alarm"]:
        bad = [NAMES[name] for name, one in found["checks"].items() if one["windows"][-1]]
        return "No alarm is due." if not bad else f"No alarm is due yet; bad in the last window: {', '.join(bad)}."
    return f"An alarm is due: {', '.join(NAMES[name] for name in found['alarms'])}."


def _check(name: str, one: Mapping[str, Any]) -> dict[str, Any]:
    marks = [SAID[bad] for bad in one["windows"]]
    return {
        "name": NAMES[name],
        "key": name,
        "marks": marks,
        "alarm": one["alarm"],
        "said": one["said"],
    }


def _courses(found: Mapping[str, Any]) -> list[dict[str, str]]:
    course, checks = found["course"], found["checks"]
    days = [one["from"][5:] for one in course]
    allowed, promised = checks["error"]["limit"], checks["coverage"]["limit"]
    told: Sequence[tuple[str, str, tuple[float, str] | None, str]] = [
        ("error", "Median error", allowed and (allowed, f"allowed: {_share(allowed)}"),
         "Median error on the outcomes that were heard of in each window."),
        ("level", "Level", (0.0, "what was paid"),
         "Geometric mean of predicted / actual − 1: by how much the prices lie beside what was paid."),
        ("coverage", "Coverage", promised and (promised, f"promised: {_share(promised)}"),
         "Share of what was paid that lay inside its interval."),
        ("estimated_error", "Expected error", None,
         "Median error that the width of the intervals lets expect, before any outcome is known."),
    ]  # fmt: skip
    drawn = []
    for name, heading, reference, caption in told:
        figures = [one[name] for one in course]
        if any(one["value"] is not None for one in figures):
            written = _signed if name == "level" else _share
            values, ends = [one["value"] for one in figures], [(one["low"], one["high"]) for one in figures]
            drawing = along(values, ends, days, "window from", reference, written, f"{heading} by window. {caption}")
            drawn.append({"heading": heading, "drawing": drawing, "caption": caption})
    return drawn


def _drift(features: Mapping[str, Any]) -> dict[str, str] | None:
    if not features:
        return None
    rows = sorted(features.items(), key=lambda one: -one[1]["moved"] / max(one[1]["floor"], 1e-9))
    most = max(max(one["moved"], one["floor"]) for _, one in rows)
    across = Scale(0, most, 128, WIDTH - 44)
    parts = []
    for place, (name, one) in enumerate(rows):
        top = 4 + 19.0 * place
        kind = "warm-bar" if one["drifted"] else "tint"
        parts += [text(name, 120, top + 11, "end", "small"),
                  f'<rect class="{kind}" {at(x=128, y=top + 2, width=across(one["moved"]) - 128, height=10)} rx="2"/>',
                  f'<line class="floor" {at(x1=across(one["floor"]), x2=across(one["floor"]), y1=top - 1, y2=top + 15)}/>',
                  text(_share(one["moved"]), max(across(one["moved"]), across(one["floor"])) + 6, top + 11, "start", "small")]  # fmt: skip
    drifted = [name for name, one in rows if one["drifted"]]
    said = (
        f"{', '.join(drifted)} moved by more than chance does"
        if drifted
        else "no column moved by more than chance does"
    )
    caption = f"Share of the requests in other bins than expected, and, as a line, what chance alone does: {said}."
    return {"drawing": svg(8 + 19.0 * len(rows), caption, parts), "caption": caption}


def _slices(slices: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    worst = sorted(slices, key=lambda one: -one["low"])[:SLICES_SHOWN]
    return [
        (f"{one['slice']}: {one['group']}", f"{one['rows']:,}", f"{_share(one['error'])} ({_share(one['low'])} to {_share(one['high'])})",
         _signed(one["bias"]), _share(one["coverage"]))
        for one in worst
    ]  # fmt: skip


def _shadow(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    difference = found["difference"]
    proof = ("" if difference["value"] is None else f" The shadow's errors are {_signed(difference['value'])} apart in the log price, "
             f"{_signed(difference['low'])} to {_signed(difference['high'])}; below zero it is better.")  # fmt: skip
    return (f"The candidate {found['model_version']} priced the same houses in the shadow: median error {_share(found['error'])} where "
            f"{_share(found['served_error'])} was served, bias {_signed(found['bias'])} where it was {_signed(found['served_bias'])}, "
            f"on {found['rows']:,} outcomes.{proof}")  # fmt: skip


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _signed(value: float | None) -> str:
    return "–" if value is None else "0%" if value == 0 else minus(f"{value:+.1%}")
