"""Make the page for people out of the contract and the released rows: a form, and what its script has to know.

The page is made when the bento is, and the service only hands it out. Nothing here knows houses: a table without a
place gets a form without a map. Whatever a contract says is text, never markup.
"""

import ast
import datetime
import html
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hearth.contract import Column, Contract
from hearth.document import Document, html_of
from hearth.explanation import groups, typical
from hearth.release import Facts, Manifest, Range
from hearth.request import requests_of
from hearth.rules import Columns

DOTS_MAX = 1200  # known places on the map; nine kilobytes
OUTLYING = 0.004  # share of the places beyond each edge of the map; one far house would shrink all the others
GRID = 1000  # a dot lies on one of so many columns and rows of the map: about a hundred metres in a county
BINS = 48  # of the prices behind the scale
LOGGED_FROM = 20.0  # a slider over more than this ratio moves by shares, not by amounts
APART = 0.5  # zero is a word (never, none) where the next value is more than this share of the largest
CURRENCIES = {"US dollar": "USD", "dollar": "USD", "euro": "EUR", "pound": "GBP", "yen": "JPY", "Swiss franc": "CHF"}
WORDS = {"sqft": "area", "sqm": "area", "yr": "year", "lat": "latitude", "long": "longitude", "lon": "longitude",
         "zipcode": "zip code", "num": "number of", "qty": "quantity", "avg": "average", "pct": "percent"}  # fmt: skip
BEHIND = {"area"}  # "living area", not "area living"


def page(template: str, contract: Contract, manifest: Manifest, rows: Columns, metrics: Mapping[str, Any]) -> bytes:
    """Return the page as HTML: the template with a field per column, and the facts for its script as JSON.

    `rows` are rows that the release was fitted on; they give the example, the sliders, the scale and the map.
    """
    facts, given = manifest.facts, example(contract, rows)
    place = places(contract, facts, rows)
    located = [name for name in (place or {}).get("columns", []) if name]
    rest = [column.name for column in contract.features if column.name not in located]
    fields = {
        column.name: _field(
            number, column, given.get(column.name), contract, facts, rows, slides=column.name not in located
        )
        for number, column in enumerate([*contract.features, contract.time])
    }
    told = Template(template).substitute(
        title=html.escape(contract.title),
        lead=html.escape(_lead(facts, metrics)),
        place=_place(fields, located) if place else "",
        fields="\n".join(fields[name] for name in [*rest, contract.time.name]),
        about=_about(contract, manifest),
        facts=_script_json(_facts(contract, facts, rows, place)),
    )
    return told.encode()


def card_page(template: str, contract: Contract, documents: Iterable[Document]) -> bytes:
    """Return the page with the cards as HTML."""
    told = {
        "title": html.escape(contract.title),
        "cards": "".join(f"<article>{html_of(one, 2)}</article>" for one in documents),
    }
    return Template(template).substitute(told).encode()


def words(name: str) -> str:
    """Return a column's name in words: `sqft_living15` is `Living area 15`."""
    parts = re.sub(r"(?<=[a-z])(\d+)$", r" \1", re.sub(r"[_\W]+", " ", name)).split()
    spelt = [WORDS.get(part.lower(), part) for part in parts] or [name]
    if len(spelt) > 1 and spelt[0] in BEHIND:
        spelt[:2] = spelt[1::-1]
    text = " ".join(spelt)
    return text[0].upper() + text[1:]


def example(contract: Contract, rows: Columns) -> dict[str, Any]:
    """Return what the form is filled with: the contract's examples if each feature has one, else the most typical row."""
    if all(column.example is not None for column in contract.features):
        return {column.name: column.example for column in contract.features}
    return requests_of(typical(rows, contract), contract)[0]


def sums(contract: Contract) -> list[dict[str, Any]]:
    """Return the refusing checks that say `part + part == total`: the form moves the one with the others."""
    names = {column.name for column in contract.features}
    found = []
    for check in contract.refusing(names):
        tree = ast.parse(check.rule, mode="eval").body
        if isinstance(tree, ast.Compare) and len(tree.ops) == 1 and isinstance(tree.ops[0], ast.Eq):
            sides = [_added(tree.left), _added(tree.comparators[0])]
            for parts, total in (sides, sides[::-1]):
                if len(parts) > 1 and len(total) == 1:
                    found.append({"total": total[0], "parts": parts})
    return found


def _added(tree: ast.expr) -> list[str]:
    """Return the names of a sum of names; none if it is anything else."""
    if isinstance(tree, ast.Name):
        return [tree.id]
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add):
        left, right = _added(tree.left), _added(tree.right)
        return [*left, *right] if left and right else []
    return []


def places(contract: Contract, facts: Facts, rows: Columns) -> dict[str, Any] | None:
    """Return the map: its box, a fixed sample of known places, and where each category lies; None without neighbours."""
    params = facts.recipe.neighbours
    if params is None:
        return None
    lat, long = (rows[name].astype(np.float64) for name in (params.lat, params.long))
    known = np.flatnonzero(np.isfinite(lat) & np.isfinite(long))
    if not len(known):
        return None
    labels = _categories(contract, params.lat)
    kinds = contract[labels].categories if labels else ()
    label = rows[labels] if labels else np.zeros(len(lat))
    box = [float(end) for values in (lat, long) for end in np.quantile(values[known], [OUTLYING, 1 - OUTLYING])]
    inside = known[_within(lat[known], *box[:2]) & _within(long[known], *box[2:])]
    chosen = inside[:: max(1, math.ceil(len(inside) / DOTS_MAX))]
    down, across = (_on_grid(v[chosen], *ends) for v, ends in ((lat, box[:2]), (long, box[2:])))
    kind = [kinds.index(value) if value in kinds else -1 for value in label[chosen].tolist()]
    middles = {place: known[label[known] == value] for place, value in enumerate(kinds)}
    return {
        "columns": [labels, params.lat, params.long],
        "box": box,
        "dots": np.column_stack([across, down, kind]).ravel().tolist(),
        "middles": {
            place: [round(float(np.median(values[found])), 4) for values in (lat, long)]
            for place, found in middles.items()
            if len(found)
        },
        "towns": [_town(name, centre) for name, centre in sorted(facts.recipe.centres.items())],
    }


def _town(name: str, centre: Any) -> list[Any]:
    return [words(name), centre.lat, centre.long]


def _categories(contract: Contract, lat: str) -> str | None:
    """Return the category that names a place: it moves together with the latitude in an explanation."""
    group = next(group for group in groups(contract) if lat in group)
    return next((name for name in group if contract[name].categories), None)


def _within(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.bool_]:
    return np.asarray((values >= low) & (values <= high))


def _on_grid(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.int64]:
    return np.round((values - low) / ((high - low) or 1.0) * GRID).astype(np.int64)


def _scale(prices: NDArray[Any]) -> dict[str, Any]:
    """Return the ends of the scale and how many rows lie along it, by equal shares of the logarithm, the most as 100."""
    logs = np.log(prices.astype(np.float64))
    low, high = np.quantile(logs, [0.002, 0.998])
    if low == high:
        low, high = low - 1, high + 1
    count = np.histogram(logs, bins=BINS, range=(low, high))[0]
    heights = np.round(100 * count / max(1, count.max())).astype(np.int64)
    return {"from": round(math.exp(low)), "to": math.ceil(math.exp(high)), "heights": heights.tolist()}


def _facts(contract: Contract, facts: Facts, rows: Columns, place: dict[str, Any] | None) -> dict[str, Any]:
    target = contract.target
    code = target.unit if re.fullmatch("[A-Z]{3}", target.unit) else CURRENCIES.get(target.unit)
    return {
        "target": {"unit": target.unit, "currency": code, "whole": target.type == "integer"},
        "level": facts.interval.level,
        "scale": _scale(rows[target.name]),
        "sums": sums(contract),
        "checks": {check.name: check.meaning for check in contract.checks if check.severity == "refuse"},
        "labels": {column.name: words(column.name) for column in (*contract.features, contract.time)},
        "place": place,
    }


def _script_json(value: object) -> str:
    """Return JSON that ends no script element and starts no comment in one."""
    text = json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _attributes(pairs: Iterable[tuple[str, Any]]) -> str:
    """Return attributes with values escaped; None leaves one out, True gives its name only."""
    said = [f" {name}" if value is True else f' {name}="{html.escape(str(value))}"'
            for name, value in pairs if value is not None and value is not False]  # fmt: skip
    return "".join(said)


def _field(
    number: int, column: Column, value: Any, contract: Contract, facts: Facts, rows: Columns, slides: bool
) -> str:
    """Return a label with its input, a slider where the release knows a range, the column's meaning and room for an error."""
    timely = column.role == "time"
    own = [("id", f"f{number}"), ("name", column.name), ("required", not (column.nullable or timely)),
           ("aria-describedby", f"h{number} e{number}")]  # fmt: skip
    ranged = facts.ranges.get(column.name) if column.type in ("integer", "number") and slides else None
    slider = _slider(number, column, ranged, rows[column.name].astype(np.float64)) if ranged else ""
    label = f'<label for="f{number}">{html.escape(words(column.name))}</label>'
    unit = f'<span class="unit">{html.escape(_unit(column))}</span>'
    about = html.escape(_help(column, contract, facts))
    wide = " switch" if column.type == "boolean" and not column.nullable else ""
    return (
        f'<div class="field{wide}"{_attributes([("data-column", column.name), ("data-type", _kind(column))])}>'
        f'<div class="head">{label}{unit}</div><div class="inputs">{_input(own, column, value)}{slider}</div>'
        f'<p class="help" id="h{number}">{about}</p><p class="error" id="e{number}" hidden></p></div>'
    )


def _kind(column: Column) -> str:
    if not column.categories:
        return column.type
    return "text" if isinstance(column.categories[0], str) else "integer"


def _unit(column: Column) -> str:
    return "" if column.type in ("boolean", "date") else column.unit


def _help(column: Column, contract: Contract, facts: Facts) -> str:
    """Return the meaning's first sentence and the bounds; the rest of a meaning is for who keeps the data."""
    said = re.split(r"(?<=[.!?]) ", column.meaning)[0]
    for total in sums(contract):
        if total["total"] == column.name:
            said += f" It is {' + '.join(words(part).lower() for part in total['parts'])}; they move together."
    if column.role == "time":
        return f"{said} Left empty, {facts.as_of} counts."
    form = "" if column.unit == "year" else ","
    low, high = ("" if bound is None else f"{bound:{form}}" for bound in (column.minimum, column.maximum))
    ends = (
        f"{low}\u00a0to\u00a0{high}" if low and high else f"{low} or more" if low else f"{high} or less" if high else ""
    )
    return f"{said} {ends}." if ends else said


def _input(own: Sequence[tuple[str, Any]], column: Column, value: Any) -> str:
    if column.categories or (column.type == "boolean" and column.nullable):
        return f"<select{_attributes(own)}>{_options(column, value)}</select>"
    if column.type == "boolean":
        kept = [pair for pair in own if pair[0] != "required"]  # a box that is not ticked says no
        return f"<input{_attributes([('type', 'checkbox'), *kept, ('checked', bool(value))])}>"
    bounds = [("min", column.minimum), ("max", column.maximum)]
    if column.type == "date":
        return f"<input{_attributes([('type', 'date'), *own, *bounds])}>"
    step = column.step or (1 if column.type == "integer" else "any")
    keys = "numeric" if column.type == "integer" and (column.minimum or 0) >= 0 else None  # type: ignore[operator]
    return f"<input{_attributes([('type', 'number'), *own, *bounds, ('step', step), ('inputmode', keys), ('value', value)])}>"


def _options(column: Column, value: Any) -> str:
    choices: list[tuple[Any, Any]] = [(category, category) for category in column.categories]
    if column.type == "boolean":
        choices = [("true", "yes"), ("false", "no")]
        value = None if value is None else str(bool(value)).lower()
    choices = [("", "not known"), *choices] if column.nullable else choices
    return "".join(
        f"<option{_attributes([('value', key), ('selected', key == ('' if value is None else value))])}>{html.escape(str(text))}</option>"
        for key, text in choices
    )


def _slider(number: int, column: Column, ends: Range, values: NDArray[np.float64]) -> str:
    low, high, whole = ends.minimum, ends.maximum, column.type == "integer"
    if low >= high:
        return ""
    positive = values[values > 0]
    least = float(positive.min()) if len(positive) else high
    apart = low == 0 and APART * high < least < high
    logged = low > 0 and high / low >= LOGGED_FROM
    step = column.step or (1 if whole else 10.0 ** math.floor(math.log10((high - low) / 200)))
    shown = [least if apart else low, high, step]
    way = "apart" if apart else "shares" if logged else "amounts"
    told = zip(("data-from", "data-to", "data-step"), (f"{x:.10g}" for x in shown), strict=True)
    label = f"{words(column.name)}, slider"
    return f"<input{_attributes([('type', 'range'), ('id', f's{number}'), ('aria-label', label), ('data-way', way), *told])}>"


def _place(fields: Mapping[str, str], located: Sequence[str]) -> str:
    return (
        '<fieldset class="place"><legend>Place</legend><div class="beside"><div>'
        '<div class="map" id="map" role="application" tabindex="0" aria-label="Map of known sales" '
        'aria-describedby="map-help"></div>'
        '<p class="help" id="map-help">Each dot is a known sale. Click a place, or move the mark with the arrow keys '
        f"(Shift for larger steps).</p></div><div>{''.join(fields[name] for name in located)}</div></div></fieldset>"
    )


def _lead(facts: Facts, metrics: Mapping[str, Any]) -> str:
    last = facts.as_of - datetime.timedelta(days=1)
    said = f"An estimate, with its doubt, from {facts.rows:,} sales of {facts.first_day:%B %Y} to {last:%B %Y}."
    if isinstance(error := metrics.get("mdape"), float):
        said += f" On later sales that it had not seen, half of the estimates were within {error:.1%}."
    return said


def _about(contract: Contract, manifest: Manifest) -> str:
    rows = [("Model", manifest.model_version), ("Limits", contract.limits), ("Origin", contract.origin),
            ("Vouched for until", manifest.facts.horizon)]  # fmt: skip
    return "".join(f"<dt>{name}</dt><dd>{html.escape(str(text))}</dd>" for name, text in rows)
