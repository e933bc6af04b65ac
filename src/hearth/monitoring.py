"""Make the monitor's document of what was served and what became of it: verdicts, figures, slices, the course of the weeks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hearth.checks import CHECKS, judged, rounded, silence
from hearth.cuts import Background, Cut, ResoldSlice, group_names, numeric_first
from hearth.doubt import mean_interval, rank_interval, share_interval
from hearth.facts import age_days
from hearth.logged import Reading
from hearth.on_outcomes import level_interval
from hearth.on_requests import drifts
from hearth.scoring import Floats, bias, coverage, mdape
from hearth.windows import View, pooled

Figure = dict[str, float | int | None]


def document(
    now: str, views: Sequence[View], present: View | None, reading: Reading, counts: Mapping[str, int], slices: Mapping[str, Cut],
    background: Background | None, data_days: int,
) -> dict[str, Any]:  # fmt: skip
    """Return the document of these windows, the oldest first, and of the present, as it stands in metrics/monitor.json.

    `counts` are the outcomes by kind; `slices` cut the outcomes of all windows, those that need a background only with one.
    """
    newest = views[-1]
    promise, params, served = newest.promise, newest.params, newest.window.served
    verdicts = {name: judged(name, views, present) for name in CHECKS}
    if not any(len(view.window.served) for view in (*views, *([present] if present else []))):
        verdicts["traffic"] = silence(len(views))
    alarms = [name for name, verdict in verdicts.items() if verdict["alarm"]]
    return {
        "at": now,
        "window": {
            "from": _day(newest.window.start),
            "to": _day(newest.window.end),
            "days": promise.profile.window_days,
            "of": params.of,
            "needed": params.needed,
        },
        "model_version": promise.release.manifest.model_version,
        "profile": promise.profile.model_version,
        "predictions": len(served),
        "present": None
        if present is None
        else {"from": _day(present.window.start), "predictions": len(present.window.served)},
        "refused": newest.window.refused,
        "refused_fields": dict(reading.refused_fields.most_common(10)),
        "from_page": reading.from_page,
        "torn": len(reading.torn_at) + reading.torn_outcomes,
        "unfit": reading.unfit,
        "shadowed": int(np.sum(served.shadow_versions != "")),
        "checks": verdicts,
        "features": {
            name: {"moved": one.moved, "floor": one.floor, "drifted": one.drifted, "said": one.said}
            for name, one in drifts(newest).items()
        },
        "outcomes": dict(counts),
        "figures": figures(newest),
        "course": [_course(view) for view in views],
        "slices": _slices(views, slices, background),
        "shadow": _shadow(views),
        "age": {"model_days": age_days((present or newest).window.end, promise), "data_days": data_days},
        "alarm": bool(alarms),
        "alarms": alarms,
    }


def figures(view: View) -> dict[str, Figure]:
    """Return error, bias, level and coverage of a window's outcomes, and the error that its intervals let expect, each with its interval.

    `level` is the bias in the geometric mean. The expected error is that of the test rows, scaled by how wide the intervals
    are now: it sees harder houses before any outcome is known, and is blind to a market that moves.
    """
    paid, served, params = view.paid, view.outcomes, view.params
    found = dict.fromkeys(("error", "bias", "level", "coverage", "estimated_error"), _none(len(paid)))
    if len(paid) >= params.rows_min:
        low, level, high = level_interval(paid, served.price, params.level)
        found |= _measured(paid, served.price, served.low, served.high, params.level)
        found["level"] = _figure(level, (low, high), len(paid))
    found["estimated_error"] = _estimated(view)
    return found


def _measured(paid: Floats, price: Floats, low: Floats, high: Floats, level: float) -> dict[str, Figure]:
    """Return error, bias and coverage, each with its interval, of prices whose outcomes are known."""
    rows, ratio = len(paid), price / paid
    least, _, most = mean_interval(ratio - 1, level)
    held = int(np.sum((low <= paid) & (paid <= high)))
    return {
        "error": _figure(mdape(paid, price), rank_interval(np.abs(ratio - 1), level), rows),
        "bias": _figure(bias(paid, price), (least, most), rows),
        "coverage": _figure(coverage(paid, low, high), share_interval(held, rows, level), rows),
    }


def _estimated(view: View) -> Figure:
    served, params = view.window.served, view.params
    if len(served) < params.rows_min:
        return _none(len(served))
    widths = np.log(served.high / served.low) / 2 * view.promise.error_per_width
    return _figure(float(np.median(widths)), rank_interval(widths, params.level), len(served))


def _course(view: View) -> dict[str, Any]:
    known = {"from": _day(view.window.start), "to": _day(view.window.end), "predictions": len(view.window.served)}
    return known | figures(view)


def _slices(views: Sequence[View], slices: Mapping[str, Cut], background: Background | None) -> list[dict[str, Any]]:
    """Return error, bias and coverage of each group of the outcomes of all windows that has enough of them."""
    params, (served, paid) = views[-1].params, pooled(views)
    found: list[dict[str, Any]] = []
    for name, cut in slices.items() if len(paid) else ():
        if isinstance(cut, ResoldSlice):  # a request does not say which house it is
            continue
        try:
            groups = np.array(group_names(cut, served.columns, background))
        except ValueError:
            continue
        for group in sorted(set(groups.tolist()), key=numeric_first):
            chosen = groups == group
            if chosen.sum() >= params.rows_min:
                prices = (served.price[chosen], served.low[chosen], served.high[chosen])
                measured = _measured(paid[chosen], *prices, params.level)
                found.append({"slice": name, "group": group, "rows": int(chosen.sum())} | _flat(measured))
    return found


def _flat(measured: Mapping[str, Figure]) -> Figure:
    """Return the figures of a slice under keys of their own; the ends of the error are `low` and `high`."""
    error, others = measured["error"], {name: one for name, one in measured.items() if name != "error"}
    flat = {"error": error["value"], "low": error["low"], "high": error["high"]}
    for name, one in others.items():
        flat |= {name: one["value"], f"{name}_low": one["low"], f"{name}_high": one["high"]}
    return flat


def _shadow(views: Sequence[View]) -> dict[str, Any] | None:
    """Return how the shadow's prices compare with those that were served, on the outcomes of all windows; None without a shadow."""
    served, paid = pooled(views)
    if not (names := sorted(set(served.shadow_versions.tolist()) - {""})):
        return None
    chosen = served.shadow_versions == names[-1]
    paid, price, shadow = paid[chosen], served.price[chosen], served.shadow["price"][chosen]
    told = {"model_version": names[-1], "rows": len(paid), "error": rounded(mdape(paid, shadow)), "served_error": rounded(mdape(paid, price)),
            "bias": rounded(bias(paid, shadow)), "served_bias": rounded(bias(paid, price))}  # fmt: skip
    if len(paid) < views[-1].params.rows_min:
        return told | {"difference": _none(len(paid))}
    # Paired, in the log: what makes a sale hard for both falls out.
    apart = np.abs(np.log(shadow / paid)) - np.abs(np.log(price / paid))
    low, middle, high = mean_interval(apart, views[-1].params.level)
    return told | {"difference": _figure(middle, (low, high), len(apart))}


def _figure(value: float, ends: tuple[float, float], rows: int) -> Figure:
    return {"value": rounded(value), "low": rounded(ends[0]), "high": rounded(ends[1]), "rows": rows}


def _none(rows: int) -> Figure:
    return {"value": None, "low": None, "high": None, "rows": rows}


def _day(moment: np.datetime64) -> str:
    return str(moment.astype("datetime64[D]"))
