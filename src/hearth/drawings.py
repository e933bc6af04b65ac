"""Draw the report's pictures as SVG: sizes and classes here, colours in the page, so that they follow dark mode and print.

A picture is 420 units wide, the width of a phone and of half a desk, so that its words stay readable on both. Each has a
text alternative. The same numbers give the same bytes.
"""

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hearth.scoring import Floats

WIDTH = 420.0
CELL, CELL_ROWS_MIN = 10.0, 5  # size of a hexagon of the map, and sales in it; one sale is no pattern
EDGES = (-0.15, -0.08, -0.03, 0.03, 0.08, 0.15)  # of predicted / actual - 1, between the seven colours of the map
SHADES = 5  # of the density of sales


@dataclass(frozen=True)
class Scale:
    """Take values to places along an axis, by amounts or by their logarithm."""

    low: float
    high: float
    start: float
    end: float
    logged: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value; what lies beyond an end is put at the end."""
        low, high = (math.log(self.low), math.log(self.high)) if self.logged else (self.low, self.high)
        share = ((math.log(value) if self.logged else value) - low) / ((high - low) or 1.0)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)


def months(train: NDArray[np.datetime64], test: NDArray[np.datetime64], label: str) -> str:
    """Draw the number of sales by month, the rows that judged the model in another colour."""
    first, last = (end.astype("datetime64[M]") for end in (min(train.min(), test.min()), max(train.max(), test.max())))
    every = np.arange(first, last + 1)
    counts = [np.array([np.sum(days.astype("datetime64[M]") == month) for month in every]) for days in (train, test)]
    top, base, step = 16.0, 168.0, WIDTH / len(every)
    height = Scale(0, float(max(1, (counts[0] + counts[1]).max())), 0, base - top)
    parts, gap = [], _gap(step)
    for place, month in enumerate(every):
        left, wide, foot = place * step + 0.1 * step, 0.8 * step, base
        for count, kind in zip((counts[0][place], counts[1][place]), ("quiet", "tint"), strict=True):
            if count:
                foot -= height(float(count))
                parts.append(f'<rect class="{kind}" {at(x=left, y=foot, width=wide, height=height(float(count)))}/>')
        if place % gap == 0:
            name = month.item()
            parts.append(text(f"{name:%b}", _inside(left + wide / 2), base + 15, "middle"))
            if place == 0 or name.month == 1 or gap > 1:
                parts.append(text(f"{name:%Y}", _inside(left + wide / 2), base + 29, "middle", "faint"))
        if gap == 1:
            parts.append(text(f"{counts[0][place] + counts[1][place]:,}", left + wide / 2, foot - 4, "middle", "small"))
    parts.append(f'<line class="axis" {at(x1=0, x2=WIDTH, y1=base, y2=base)}/>')
    return svg(200, label, parts)


def density(actual: Floats, predicted: Floats, money: Callable[[float], str], label: str) -> str:
    """Draw predicted against actual prices on logarithmic axes: hexagons, the darker the more sales, and the diagonal."""
    low, high = float(min(actual.min(), predicted.min())), float(max(actual.max(), predicted.max()))
    across, up = Scale(low, high, 50, WIDTH - 8, logged=True), Scale(low, high, 372, 10, logged=True)
    places = np.array([[across(float(a)), up(float(p))] for a, p in zip(actual, predicted, strict=True)])
    cells = _hexagons(places, 5.0)
    most = max(len(rows) for rows in cells.values())
    parts = []
    for tick in _money_ticks(low, high):
        parts += [text(money(tick), across(tick), 389, "middle"), text(money(tick), 44, up(tick) + 4, "end")]
        parts += [f'<line class="grid" {at(x1=50, x2=WIDTH - 8, y1=up(tick), y2=up(tick))}/>']
    parts += [f'<line class="faint-line" {at(x1=across(low), y1=up(low), x2=across(high), y2=up(high))}/>',
              text("predicted = paid", across(high) - 14, up(high) + 6, "end", "small")]  # fmt: skip
    for (x, y), rows in cells.items():
        shade = math.ceil(SHADES * math.log(1 + len(rows)) / math.log(1 + most))
        parts.append(f'<path class="s{shade}" d="{_hexagon(x, y, 5.0)}"/>')
    parts.append(text("what was paid", WIDTH - 8, 404, "end", "faint"))
    return svg(408, label, parts)


def errors_by_place(
    lat: Floats, long: Floats, error: Floats, known: Sequence[tuple[float, float]], towns: Sequence[tuple[str, float, float]],
    box: Sequence[float], label: str,
) -> str:  # fmt: skip
    """Draw the mean of predicted / actual - 1 (n_rows,) in hexagons over faint dots of known sales (lat, long) and towns.

    `box` holds the ends of the map: two latitudes, two longitudes, in degrees.
    """
    south, north, west, east = box
    tall = min(620.0, WIDTH * (north - south) / ((east - west) * math.cos(math.radians((south + north) / 2)) or 1.0))
    across, up = Scale(west, east, 8, WIDTH - 8), Scale(south, north, tall - 8, 8)
    dots = "".join(f"M{across(x):.1f} {up(y):.1f}h0" for y, x in known)
    parts = [f'<path class="dots" d="{dots}"/>']
    for (x, y), value, _ in map_cells(lat, long, error, box):
        parts.append(f'<path class="d{int(np.searchsorted(EDGES, value))}" d="{_hexagon(x, y, CELL)}"/>')
    seen = [(y, x) for _, y, x in towns if south <= y <= north and west <= x <= east]
    parts += [f'<circle class="town" {at(cx=across(x), cy=up(y), r=2.6)}/>' for y, x in seen]
    parts += _labels([(name, across(x), up(y)) for name, y, x in towns if (y, x) in seen])
    return svg(tall, label, parts)


def _labels(points: Sequence[tuple[str, float, float]]) -> list[str]:
    """Return a name beside each point, on the first side where it lies on no other; a point without room gets none."""
    taken: list[tuple[float, float, float, float]] = []
    found = []
    for name, x, y in points:
        wide = 8.0 * len(name)  # of bold letters, the widest
        sides = (
            (x + 6, y + 4, "start", x + 6),
            (x - 6, y + 4, "end", x - 6 - wide),
            (x, y - 8, "middle", x - wide / 2),
            (x, y + 17, "middle", x - wide / 2),
        )
        for at, line, anchor, left in sides:
            box = (left, left + wide, line - 12, line + 4)
            if left >= 0 and box[1] <= WIDTH and not any(_meet(box, other) for other in taken):
                taken.append(box)
                found.append(text(name, at, line, anchor, "town"))
                break
    return found


def _meet(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


def map_cells(
    lat: Floats, long: Floats, error: Floats, box: Sequence[float]
) -> list[tuple[tuple[float, float], float, int]]:
    """Return for each hexagon of the map with enough sales its place on it, its mean error and its number of sales."""
    south, north, west, east = box
    tall = min(620.0, WIDTH * (north - south) / ((east - west) * math.cos(math.radians((south + north) / 2)) or 1.0))
    across, up = Scale(west, east, 8, WIDTH - 8), Scale(south, north, tall - 8, 8)
    inside = np.flatnonzero((lat >= south) & (lat <= north) & (long >= west) & (long <= east))
    places = np.array([[across(float(long[row])), up(float(lat[row]))] for row in inside]).reshape(-1, 2)
    cells = _hexagons(places, CELL)
    return [
        (at, float(np.mean(error[inside[rows]])), len(rows)) for at, rows in cells.items() if len(rows) >= CELL_ROWS_MIN
    ]


def steps(
    values: Sequence[float], ends: Sequence[tuple[float, float]], names: Sequence[str], reference: tuple[float, str],
    written: Callable[[float], str], label: str,
) -> str:  # fmt: skip
    """Draw values in order, each with its interval, against a line of reference."""
    reach = [*values, *(end for pair in ends for end in pair), reference[0]]
    pad = 0.12 * (max(reach) - min(reach) or 1.0)
    up, left = (
        Scale(min(reach) - pad, max(reach) + pad, 176, 12),
        96.0,
    )  # the words for the line stand left of the values
    step, line = (WIDTH - left) / len(values), up(reference[0])
    parts = [
        f'<line class="faint-line" {at(x1=0, x2=WIDTH, y1=line, y2=line)}/>',
        text(reference[1], 0, line - 6, "start", "small"),
    ]
    for place, (value, (low, high), name) in enumerate(zip(values, ends, names, strict=True)):
        middle = left + (place + 0.35) * step
        parts += [f'<line class="doubt" {at(x1=middle, x2=middle, y1=up(low), y2=up(high))}/>',
                  f'<circle class="tint" {at(cx=middle, cy=up(value), r=5)}/>',
                  text(written(value), middle + 9, up(value) + (4 if abs(up(value) - line) > 10 else 15 if up(value) > line else -6), "start"),
                  text(name, middle, 198, "middle")]  # fmt: skip
    return svg(206, label, parts)


def along(
    values: Sequence[float | None], ends: Sequence[tuple[float, float]], names: Sequence[str], axis: str,
    reference: tuple[float, str] | None, written: Callable[[float], str], label: str,
) -> str:  # fmt: skip
    """Draw many values in order, each with its interval and its words above it, against a line of reference, if there is one.

    `axis` says what the names are. A value that is None leaves its place empty, and its ends have no say; one at least is known.
    """
    known = [(value, pair) for value, pair in zip(values, ends, strict=True) if value is not None]
    reach = [end for value, pair in known for end in (value, *pair)] + ([reference[0]] if reference else [])
    pad, left = 0.16 * (max(reach) - min(reach) or 1.0), 92.0  # where the words for the line and the axis stand
    up = Scale(min(reach) - pad, max(reach) + pad, 180, 4)
    step, line = (WIDTH - left) / len(values), up(reference[0]) if reference else math.inf
    parts = [text(axis, 0, 198, "start", "small")]
    if reference:
        parts += [
            f'<line class="faint-line" {at(x1=0, x2=WIDTH, y1=line, y2=line)}/>',
            text(reference[1], 0, line - 6, "start", "small"),
        ]
    for place, (value, (low, high), name) in enumerate(zip(values, ends, names, strict=True)):
        middle = left + (place + 0.5) * step
        parts.append(text(name, middle, 198, "middle"))
        if value is None:
            continue
        above, below = up(high) - 9, up(low) + 19
        parts += [f'<line class="doubt" {at(x1=middle, x2=middle, y1=up(low), y2=up(high))}/>',
                  f'<circle class="tint" {at(cx=middle, cy=up(value), r=5)}/>',
                  text(written(value), middle, below if abs(above - 4 - line) < 10 else above, "middle", "small")]  # fmt: skip
    return svg(206, label, parts)


def bars(values: Sequence[float], names: Sequence[str], written: Callable[[float], str], label: str) -> str:
    """Draw values in order as bars, each with its name and, where there is room, its value."""
    step, base = WIDTH / len(values), 176.0
    height, gap = Scale(0, max(*values, 1e-12), 0, base - 18), _gap(step)
    parts = []
    for place, (value, name) in enumerate(zip(values, names, strict=True)):
        left, wide = place * step + 0.12 * step, 0.76 * step
        parts.append(f'<rect class="tint" {at(x=left, y=base - height(value), width=wide, height=height(value))}/>')
        if place % gap == 0:
            parts.append(text(name, _inside(left + wide / 2), base + 16, "middle", "small"))
        if gap == 1:
            parts.append(text(written(value), left + wide / 2, base - height(value) - 5, "middle", "small"))
    parts.append(f'<line class="axis" {at(x1=0, x2=WIDTH, y1=base, y2=base)}/>')
    return svg(200, label, parts)


def band(residuals: Mapping[str, Sequence[float]], money: Callable[[float], str], label: str) -> str:
    """Draw the running median of the residuals within the band of eight in ten sales, along the predicted price.

    `residuals` holds predicted (rising prices), low, median and high, as `plotdata.plot_tables` makes them.
    """
    along, low, middle, high = (residuals[name] for name in ("predicted", "low", "median", "high"))
    reach = 1.08 * max(map(abs, [*low, *high]))
    across, up = Scale(min(along), max(along), 46, WIDTH - 8, logged=True), Scale(-reach, reach, 196, 10)
    outline = [*zip(along, low, strict=True), *reversed(list(zip(along, high, strict=True)))]
    points = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in outline)
    running = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in zip(along, middle, strict=True))
    parts = []
    for tick in (value / 10 for value in range(-9, 10)):
        if abs(tick) < reach:
            parts += [f'<line class="{"axis" if tick == 0 else "grid"}" {at(x1=46, x2=WIDTH - 8, y1=up(tick), y2=up(tick))}/>',
                      text(f"{tick:+.0%}".replace("-", "−") if tick else "0%", 40, up(tick) + 4, "end")]  # fmt: skip
    parts += [f'<polygon class="band" points="{points}"/>', f'<polyline class="run" points="{running}"/>']
    parts += [text(money(tick), across(tick), 213, "middle") for tick in _money_ticks(min(along), max(along))]
    return svg(220, label, parts)


def gauge(
    value: float, interval: tuple[float, float] | None, acceptable: tuple[float, float], ends: tuple[float, float],
    written: tuple[Callable[[float], str], Callable[[float], str]], label: str,
) -> str:  # fmt: skip
    """Draw a value with its interval on a scale on which the acceptable range is marked; `written` by value and by limit."""
    reach = [*ends, value, *(interval or ())]
    across = Scale(min(reach), max(reach), 10, WIDTH - 10)
    left, right = (across(end) for end in acceptable)
    parts = [f'<line class="axis" {at(x1=10, x2=WIDTH - 10, y1=34, y2=34)}/>',
             f'<rect class="good" {at(x=left, y=27, width=right - left, height=14)} rx="3"/>',
             text(written[1](acceptable[0]), left, 57, "middle", "small"), text(written[1](acceptable[1]), right, 57, "middle", "small")]  # fmt: skip
    if interval:
        parts.append(f'<line class="doubt" {at(x1=across(interval[0]), x2=across(interval[1]), y1=34, y2=34)}/>')
    parts += [
        f'<circle class="mark" {at(cx=across(value), cy=34, r=6.5)}/>',
        text(written[0](value), across(value), 18, "middle", "strong"),
    ]
    return svg(62, label, parts)


def course(
    values: Sequence[float | None], marks: Sequence[str], written: Callable[[float], str], label: str
) -> str:  # fmt: skip
    """Draw a metric over the commits, oldest first: a gap where a commit has none, a ring where one is released."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    pad = 0.15 * (max(known) - min(known) or abs(known[0]) or 1.0)
    up = Scale(min(known) - pad, max(known) + pad, 116, 30)
    across = Scale(0, max(1, len(values) - 1), 24, WIDTH - 24)
    parts, line = [f'<line class="axis" {at(x1=0, x2=WIDTH, y1=142, y2=142)}/>'], ""
    for place, value in enumerate(values):
        if value is None:
            line += " "
            parts.append(f'<path class="gap" d="M{across(place) - 4:.1f} 138l8 8m0 -8l-8 8"/>')
            continue
        joined = place and values[place - 1] is not None
        line += f"{'L' if joined else 'M'}{across(place):.1f} {up(value):.1f}"
        if marks[place]:
            parts.append(f'<circle class="ring" {at(cx=across(place), cy=up(value), r=9)}/>')
        if len(values) <= 60 or place == len(values) - 1:
            parts.append(f'<circle class="tint" {at(cx=across(place), cy=up(value), r=4)}/>')
    for place, anchor, other in ((0, "start", 1), (len(values) - 1, "end", len(values) - 2)):
        value = values[place]
        if value is None or (place == 0 and len(values) > 1) == (anchor == "end"):
            continue
        beside = values[other] if 0 <= other < len(values) else None
        below = beside is not None and beside > value  # on the side from which no line comes
        parts.append(
            text(
                written(value),
                across(place) - (8 if anchor == "start" else -8),
                up(value) + (21 if below else -13),
                anchor,
                "strong",
            )
        )
    return svg(150, label, [f'<path class="run" d="{line.strip()}"/>', *parts])


def differences_drawn(
    rows: Sequence[tuple[str, tuple[float, float], float, str]], written: Callable[[float], str], label: str
) -> str:
    """Draw differences (name, interval, value, verdict) one below the other, around the line of no difference."""
    reach = max(1e-9, *(abs(end) for _, ends, value, _ in rows for end in (*ends, value)))
    across = Scale(-1.05 * reach, 1.05 * reach, 10, WIDTH - 10)
    tall = 34.0 if any(name for name, *_ in rows) else 22.0
    foot = 8 + tall * len(rows)
    parts = [f'<line class="axis" {at(x1=across(0), x2=across(0), y1=4, y2=foot)}/>']
    kinds = {"better": ("tint", "doubt"), "worse": ("warm", "warm-doubt"), "no evidence": ("edge", "quiet-doubt")}
    for place, (name, (low, high), value, verdict) in enumerate(rows):
        middle = 8 + tall * (place + 1) - 11
        dot, line = kinds[verdict]
        if name:
            parts.append(text(name, 10, middle - 9, "start", "small"))
        parts += [f'<line class="{line}" {at(x1=across(low), x2=across(high), y1=middle, y2=middle)}/>',
                  f'<circle class="{dot}" {at(cx=across(value), cy=middle, r=5)}/>']  # fmt: skip
    for end, anchor in ((-reach, "start"), (reach, "end")):
        parts.append(text(written(end), across(end), foot + 14, anchor, "small"))
    parts.append(text("0", across(0), foot + 14, "middle", "small"))
    return svg(foot + 20, label, parts)


def lines(
    series: Sequence[tuple[str, Sequence[float]]], names: Sequence[str], written: Callable[[float], str], label: str
) -> str:
    """Draw two series of values over the same places, the first dashed, each named at its end."""
    known = [value for _, values in series for value in values]
    up = Scale(0, 1.1 * max(known), 160, 24)
    across = Scale(0, max(1, len(names) - 1), 40, WIDTH - 10)
    parts = []
    for share in (0.0, 0.5, 1.0):
        tick = share * max(known)
        parts += [f'<line class="{"grid" if share else "axis"}" {at(x1=40, x2=WIDTH - 10, y1=up(tick), y2=up(tick))}/>',
                  text(written(tick), 34, up(tick) + 4, "end", "small")]  # fmt: skip
    for (_, values), kind in zip(series, ("other", "run"), strict=True):
        points = " ".join(f"{across(place):.1f},{up(value):.1f}" for place, value in enumerate(values))
        parts.append(f'<polyline class="{kind}" points="{points}"/>')
    for place in sorted({0, len(names) // 2, len(names) - 1}):
        anchor = "start" if place == 0 else "end" if place == len(names) - 1 else "middle"
        parts.append(text(names[place], across(place), 178, anchor, "small"))
    for place, ((name, _), kind) in enumerate(zip(series, ("other", "run"), strict=True)):
        left = 40 + place * 190
        parts += [
            f'<line class="{kind}" {at(x1=left, x2=left + 22, y1=10, y2=10)}/>',
            text(name[:24], left + 28, 14, "start", "small"),
        ]
    return svg(184, label, parts)


def _hexagons(places: Floats, size: float) -> dict[tuple[float, float], NDArray[np.int64]]:
    """Return the rows of places (n_rows, 2) in each hexagon of a grid, by its centre; `size` is centre to corner."""
    wide, tall = math.sqrt(3) * size, 1.5 * size
    near: dict[tuple[float, float], list[int]] = {}
    for row, (x, y) in enumerate(places.tolist()):
        lines = (math.floor(y / tall), math.floor(y / tall) + 1)
        centres = [((round(x / wide - 0.5 * (n % 2)) + 0.5 * (n % 2)) * wide, n * tall) for n in lines]
        near.setdefault(min(centres, key=lambda c: ((c[0] - x) ** 2 + (c[1] - y) ** 2, c)), []).append(row)
    return {centre: np.array(rows) for centre, rows in sorted(near.items())}


def _hexagon(x: float, y: float, size: float) -> str:
    across, half = math.sqrt(3) / 2 * size, size / 2
    return f"M{x:.1f} {y - size:.1f}l{across:.1f} {half:.1f}v{size:.1f}l{-across:.1f} {half:.1f}l{-across:.1f} {-half:.1f}v{-size:.1f}z"


def _gap(step: float) -> int:
    """Return to how many bars there is a name, where a bar and its gap are `step` wide."""
    return 1 if step >= 36 else math.ceil(52 / step)


def _inside(x: float) -> float:
    """Return the middle of a short word that is to stand at x, moved so that it ends inside the picture."""
    return min(max(x, 16.0), WIDTH - 16.0)


def _money_ticks(low: float, high: float) -> list[float]:
    every = [
        lead * 10.0**power
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
        for lead in (1, 2, 5)
    ]
    return [tick for tick in every if low <= tick <= high]


def at(**numbers: float) -> str:
    """Return attributes of an element."""
    return " ".join(f'{name}="{number:.1f}"' for name, number in numbers.items())


def text(words: str, x: float, y: float, anchor: str, kind: str = "") -> str:
    """Return words at a place; `anchor` says which end of them stands there."""
    own = f' class="{kind}"' if kind else ""
    return f'<text{own} {at(x=x, y=y)} text-anchor="{anchor}">{html.escape(words)}</text>'


def svg(height: float, label: str, parts: Sequence[str]) -> str:
    """Return a picture with its text alternative."""
    body = "\n".join(parts)
    return f'<svg viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" aria-label="{html.escape(label)}">\n{body}\n</svg>'
