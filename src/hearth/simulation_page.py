"""Tell a simulated life as a page: how far prices lay beside what was paid, what happened when, and what it saved."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import Any

import numpy as np

from hearth.drawings import Scale, at, svg, text
from hearth.measures import minus, money
from hearth.templating import filled

WIDE, NARROW = 880.0, 400.0
WORD = 82.0  # wide, at most
WORDS = {
    "released": "released",
    "provable": "the loss is provable",
    "alarm": "alarm",
    "advice": "what it calls for",
    "retrained": "retrained",
    "promoted": "promoted through the gates",
    "not promoted": "not promoted",
    "forced": "a bad model is forced in",
    "rolled back": "rolled back, by itself",
}
SHORT = {"released": "released", "provable": "loss provable", "alarm": "alarm", "promoted": "retrained", "not promoted": "kept",
         "forced": "bad model", "rolled back": "rolled back"}  # fmt: skip


def page(found: Mapping[str, Any], templates: Mapping[str, str]) -> str:
    """Return the page."""
    last, saved, unit = found["last_weeks"], found["saved"], found["unit"]
    return filled(
        templates, "simulation.html", found=found, verdict=verdict(found), lead=lead(found),
        tiles=[
            (_signed(last["with"].get("level")), f"level of the prices in the last {last['days']} days, with the loop"),
            (_signed(last["without"].get("level")), "the same, had the first model stayed"),
            (money(saved["per_sale"], unit), f"nearer to what was paid, in the mean of {saved['sales']:,} houses after the promotion"),
            (_days(found, "provable", "alarm"), "from the loss being provable to the alarm"),
        ],
        wide=level_drawn(found, WIDE), narrow=level_drawn(found, NARROW),
        caption="Level of the prices beside what was paid, week by week (geometric mean of predicted / actual − 1), with its 95 % interval. "
                f"Within ±{found['limits']['bias']:.1%}, the band, a week is sound.",
        days=_days_told(found["events"]), courses=_courses(found), rows=_table(found),
    )  # fmt: skip


def verdict(found: Mapping[str, Any]) -> str:
    """Return the outcome in one sentence."""
    with_loop, without = (abs(found["last_weeks"][side].get("bias", np.nan)) for side in ("with", "without"))
    if not with_loop < without:
        return "The loop did not help: the last weeks were no better priced with it than without."
    return "The market moved, and the loop moved the prices with it."


def lead(found: Mapping[str, Any]) -> str:
    """Return what happened in some sentences."""
    last, saved, unit = found["last_weeks"], found["saved"], found["unit"]
    kinds = {event["kind"]: event for event in found["events"]}
    said = (f"{found['sales']:,} houses came to the market from {found['from']} to {found['to']}; what was paid for each was heard of four "
            f"weeks later. In the last {last['days']} days the mean of predicted / actual − 1 was {_signed(last['with'].get('bias'))} with the "
            f"loop and {_signed(last['without'].get('bias'))} without it. ")  # fmt: skip
    if saved["total"] > 0:
        said += f"All errors together were {money(saved['total'], unit)} smaller. "
    if "rolled back" in kinds:
        said += f"A bad model that was forced in on {kinds['forced']['day']} was rolled back on {kinds['rolled back']['day']}, when its own outcomes told."
    return said.strip()


def level_drawn(found: Mapping[str, Any], width: float) -> str:
    """Draw the level by week, with and without the loop, the drill behind it, and a numbered mark for each day on which something happened."""
    days = [
        np.datetime64(one[key])
        for one in (*found["weeks"], *found["drill"], *found["restored"])
        for key in ("from", "to")
    ]
    days += [np.datetime64(event["day"]) for event in found["events"]]
    across = Scale(float(min(days).astype(int)), float(max(days).astype(int)), 44, width - 12)
    known = [
        one
        for week in (*found["weeks"], *found["drill"], *found["restored"])
        for one in (week["with"], week["without"])
        if "level" in one
    ]
    low = min(min(one["level_low"] for one in known), -2 * found["limits"]["bias"])
    high = max(max(one["level_high"] for one in known), 2 * found["limits"]["bias"])
    top, base = 62.0, 372.0
    up = Scale(low - 0.004, high + 0.004, base, top)
    limit = found["limits"]["bias"]
    parts = [f'<rect class="good" {at(x=44, y=up(limit), width=width - 56, height=up(-limit) - up(limit))}/>']
    for tick in (value / 100 for value in range(-20, 21, 2)):
        if low <= tick <= high:
            parts += [f'<line class="{"axis" if tick == 0 else "grid"}" {at(x1=44, x2=width - 12, y1=up(tick), y2=up(tick))}/>',
                      text(_signed(tick, 0) if tick else "0%", 38, up(tick) + 4, "end", "small")]  # fmt: skip
    parts += _months(min(days), max(days), across, base, width)
    if found["drill"]:
        left = across(float(np.datetime64(found["drill"][0]["from"]).astype(int)))
        parts += [f'<rect class="drill" {at(x=left, y=top, width=width - 12 - left, height=base - top)}/>',
                  text("the drill", width - 18, base - 10, "end", "small")]  # fmt: skip
    parts += _line(found["weeks"], "without", "alone", across, up)
    parts += _line(found["weeks"], "with", "loop", across, up)
    parts += _line(found["drill"], "with", "forced", across, up)
    parts += _line(found["restored"], "with", "loop", across, up)
    parts += _ends(found, across, up, width)
    named = -WORD
    for number, (day, events) in enumerate(_by_day(found["events"]), start=1):
        x = across(float(np.datetime64(day).astype(int)))
        short = next((SHORT[event["kind"]] for event in reversed(events) if event["kind"] in SHORT), "")
        x_text = min(max(x, 12.0), width - 12.0)
        parts += [f'<line class="event" {at(x1=x, x2=x, y1=34, y2=base)}/>', f'<circle class="event-dot" {at(cx=x_text, cy=24, r=9)}/>',
                  f'<text class="event-number" {at(x=x_text, y=28)} text-anchor="middle">{number}</text>']  # fmt: skip
        # A word has room of its own or is left out: the list below says it.
        if width == WIDE and x - named > WORD:
            parts.append(text(short, min(max(x, 30.0), width - 34.0), 10, "middle", "small"))
            named = x
    label = f"Level of the prices by week from {found['from']} on: {lead(found)}"
    return _as_wide(svg(406, label, parts), width)


def alone(drawing: str, style: str) -> str:
    """Return a picture as a file of its own, with what the page's style says of pictures."""
    rules = re.findall(r"^(?:svg [^{]*\{[^}]*\} ?)+$", style, flags=re.MULTILINE)
    colours = re.findall(
        r"^:root \{.*?^\}$|^@media \(prefers-color-scheme: dark\) \{.*?^\}$", style, flags=re.MULTILINE | re.DOTALL
    )
    inside = "\n".join(["<style>", *colours, "svg { font-family: system-ui, sans-serif; }", *rules, "</style>"])
    head, _, body = drawing.partition(">")
    return f'{head} xmlns="http://www.w3.org/2000/svg" width="{WIDE:.0f}">\n{inside}{body}\n'


def _as_wide(drawing: str, width: float) -> str:
    """Return a picture of another width than all others have."""
    start, _, rest = drawing.partition('viewBox="0 0 ')
    return f'{start}viewBox="0 0 {width:.0f} {rest.partition(" ")[2]}'


def _line(weeks: Sequence[Mapping[str, Any]], side: str, kind: str, across: Scale, up: Scale) -> list[str]:
    """Draw one side's weeks: a line through the values, and their intervals where the picture has room for them."""
    parts, path = [], ""
    for week in weeks:
        one = week[side]
        if "level" not in one:
            continue
        x = across(float(np.datetime64(week["from"]).astype(int)) + 3.5)
        path += f"{'L' if path else 'M'}{x:.1f} {up(one['level']):.1f}"
        if kind != "alone":
            parts.append(
                f'<line class="{kind}-doubt" {at(x1=x, x2=x, y1=up(one["level_low"]), y2=up(one["level_high"]))}/>'
            )
        parts.append(f'<circle class="{kind}-dot" {at(cx=x, cy=up(one["level"]), r=4)}/>')
    return [f'<path class="{kind}-line" d="{path}"/>', *parts] if path else []


def _ends(found: Mapping[str, Any], across: Scale, up: Scale, width: float) -> list[str]:
    """Name the two lines at the last week in which both have a value."""
    known = [week for week in found["weeks"] if "level" in week["with"]]
    if not known or known[-1]["with"] == known[-1]["without"]:
        return []
    x = across(float(np.datetime64(known[-1]["from"]).astype(int)) + 3.5) + 8
    anchor = "start"
    return [text("with the loop", min(x, width - 90), up(known[-1]["with"]["level"]) - 12, anchor, "loop-name"),
            text("without", min(x, width - 90), up(known[-1]["without"]["level"]) + 16, anchor, "alone-name")]  # fmt: skip


def _months(first: np.datetime64, last: np.datetime64, across: Scale, base: float, width: float) -> list[str]:
    parts = [f'<line class="axis" {at(x1=44, x2=width - 12, y1=base, y2=base)}/>']
    for month in np.arange(first.astype("datetime64[M]"), last.astype("datetime64[M]") + 1):
        day = max(month.astype("datetime64[D]"), first)
        x = across(float(day.astype(int)))
        parts += [
            f'<line class="axis" {at(x1=x, x2=x, y1=base, y2=base + 5)}/>',
            text(f"{month.item():%b}", min(x + 4, width - 30), base + 18, "start", "small"),
        ]
    return parts


def _by_day(events: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    return [(day, list(group)) for day, group in groupby(events, key=lambda event: event["day"])]


def _days_told(events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"number": number, "day": day, "events": [(WORDS[event["kind"]], event["said"]) for event in happened]}
        for number, (day, happened) in enumerate(_by_day(events), start=1)
    ]  # fmt: skip


def _courses(found: Mapping[str, Any]) -> list[dict[str, str]]:
    unit = found["unit"]
    drawn = []
    for key, heading, written, caption in (
        ("error", "Median error", _share, "Median error by week, with the loop and, dashed, without it."),
        (
            "mae",
            "Mean error",
            lambda value: money(value, unit),
            "Mean distance between price and what was paid, by week; the gap is what the loop saved.",
        ),
    ):
        drawing = pair_drawn(found["weeks"], key, written, caption)
        if drawing:
            drawn.append({"heading": heading, "drawing": drawing, "caption": caption})
    return drawn


def pair_drawn(weeks: Sequence[Mapping[str, Any]], key: str, written: Callable[[float], str], label: str) -> str:
    """Draw a figure of the weeks, with the loop and without it, and the gap between them; nothing where no week has it."""
    known = [week for week in weeks if key in week["with"]]
    if not known:
        return ""
    values = [week[side][key] for week in known for side in ("with", "without")]
    pad = 0.2 * (max(values) - min(values) or abs(values[0]) or 1.0)
    up, across = Scale(min(values) - pad, max(values) + pad, 150, 16), Scale(0, max(1, len(known) - 1), 14, 352)
    lines = {
        side: [(across(place), up(week[side][key])) for place, week in enumerate(known)] for side in ("with", "without")
    }
    paths = {
        side: "".join(f"{'L' if place else 'M'}{x:.1f} {y:.1f}" for place, (x, y) in enumerate(points))
        for side, points in lines.items()
    }
    back = "".join(f"L{x:.1f} {y:.1f}" for x, y in reversed(lines["without"]))
    parts = [f'<line class="axis" {at(x1=0, x2=420, y1=158, y2=158)}/>', f'<path class="band" d="{paths["with"]}{back}Z"/>',
             f'<path class="alone-line" d="{paths["without"]}"/>', f'<path class="loop-line" d="{paths["with"]}"/>']  # fmt: skip
    parts += [
        text(known[place]["from"][5:], across(place), 174, "start" if place == 0 else "middle", "small")
        for place in range(0, len(known), max(1, len(known) // 4))
    ]
    ends = {side: (known[-1][side][key], lines[side][-1][1]) for side in ("with", "without")}
    apart = 9.0 if ends["with"][1] > ends["without"][1] else -9.0
    parts += [text(written(ends["with"][0]), 360, ends["with"][1] + 4 + apart / 2, "start", "loop-name"),
              text(written(ends["without"][0]), 360, ends["without"][1] + 4 - apart / 2, "start", "alone-name")]  # fmt: skip
    return svg(180, label, parts)


def _table(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    named = (
        [("", week) for week in found["weeks"]]
        + [("drill, ", week) for week in found["drill"]]
        + [("put back, ", week) for week in found["restored"]]
    )
    return [
        (f"{words}{week['from']}", f"{week['sales']:,}", _signed(week["with"].get("bias")), _signed(week["without"].get("bias")),
         _share(week["with"].get("error")), _share(week["without"].get("error")), _share(week["with"].get("coverage")),
         ", ".join(week["models"]))
        for words, week in named
    ]  # fmt: skip


def told(found: Mapping[str, Any]) -> list[str]:
    """Return what a terminal is told."""
    wide = max(len(event["kind"]) for event in found["events"])
    lines = [f"{event['day']}  {event['kind'].ljust(wide)}  {event['said']}" for event in found["events"]]
    return [*lines, "", verdict(found), lead(found)]


def _days(found: Mapping[str, Any], first: str, second: str) -> str:
    if not (found[first] and found[second]):
        return "–"
    return f"{(date.fromisoformat(found[second]) - date.fromisoformat(found[first])).days} days"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _signed(value: float | None, decimals: int = 1) -> str:
    return "–" if value is None else minus(f"{value:+.{decimals}%}")
