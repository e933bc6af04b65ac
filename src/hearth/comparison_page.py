"""Tell a comparison as a page: one self-contained file with the same tables as the terminal, and pictures."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hearth.comparison import Comparison, Difference
from hearth.comparison_text import BY_CHANCE, FORMATS, introduction, tables, verdict
from hearth.drawings import differences_drawn, lines
from hearth.templating import filled

SLICES_DRAWN = 12


def page(found: Comparison, templates: Mapping[str, str]) -> str:
    """Return the page."""
    return filled(
        templates, "comparison.html", title=f"{found.base.name} → {found.candidate.name}", verdict=verdict(found),
        introduction=introduction(found), level=f"{found.level:.0%}", pictures=_pictures(found), tables=tables(found),
    )  # fmt: skip


def _pictures(found: Comparison) -> list[dict[str, str]]:
    pictures = []
    for name, difference in found.differences.items():
        signed = FORMATS[name][1].format
        caption = f"{name}: {_said(name, difference)}."
        pictures.append(
            {"drawing": differences_drawn([("", difference.interval, difference.difference, difference.verdict)], signed,
                                          f"{name}, candidate minus base: {signed(difference.difference)}, interval "
                                          f"{signed(difference.interval[0])} to {signed(difference.interval[1])}"),
             "caption": caption}
        )  # fmt: skip
    pictures.append(_by_slice(found))
    if found.weeks:
        pictures.append(_by_week(found))
    return pictures


def _said(name: str, difference: Difference) -> str:
    plain = FORMATS[name][0].format
    return f"{plain(difference.base)} became {plain(difference.candidate)}, {difference.verdict}"


def _by_slice(found: Comparison) -> dict[str, str]:
    moved = sorted(found.slices, key=lambda one: -abs(one.mdape.difference))[:SLICES_DRAWN]
    moved.sort(key=lambda one: one.mdape.difference)
    signed = FORMATS["mdape"][1].format
    rows = [(f"{one.slice}: {one.group}", one.mdape.interval, one.mdape.difference, one.mdape.verdict) for one in moved]
    worse = len(found.worse_slices)
    caption = (
        f"Change of the median error in the {len(moved)} slices that moved most; of {len(found.slices)} slices {worse or 'none'} "
        f"got worse with a whole interval of an error; {BY_CHANCE}."
    )
    return {"drawing": differences_drawn(rows, signed, caption), "caption": caption}


def _by_week(found: Comparison) -> dict[str, str]:
    better = sum(one.mdape.candidate < one.mdape.base for one in found.weeks)
    caption = (
        f"Median error by week of sale: the candidate's is the smaller one in {better} of {len(found.weeks)} weeks."
    )
    written: Callable[[float], str] = "{:.0%}".format
    series: Sequence[tuple[str, list[Any]]] = [
        (found.base.name, [one.mdape.base for one in found.weeks]),
        (found.candidate.name, [one.mdape.candidate for one in found.weeks]),
    ]
    return {"drawing": lines(series, [one.week for one in found.weeks], written, caption), "caption": caption}
