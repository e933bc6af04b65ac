"""Make the monitor's document of what was served and what became of it: verdicts, figures, slices, the course of the weeks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats  # type: ignore[import-untyped]

from hearth.checks import CHECKS, age_days, drifts, judged, level_interval, rounded, silence
from hearth.cuts import Background, Cut, ResoldSlice, group_names, numeric_first
from hearth.doubt import rank_interval, share_interval
from hearth.logged import Reading
from hearth.scoring import Floats, bias, coverage, mdape
from hearth.windows import View

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
    rows = len(paid)
    found = dict.fromkeys(("error", "bias", "level", "coverage", "estimated_error"), _none(rows))
    if rows >= params.rows_min:
        ratio = served.price / paid
        reach = float(stats.t.ppf((1 + params.level) / 2, rows - 1) * ratio.std(ddof=1) / np.sqrt(rows))
        middle = bias(paid, served.price)
        low, level, high = level_interval(paid, served.price, params.level)
        held = int(np.sum((served.low <= paid) & (paid <= served.high)))
        found |= {
            "error": _figure(mdape(paid, served.price), rank_interval(np.abs(ratio - 1), params.level), rows),
            "bias": _figure(middle, (middle - reach, middle + reach), rows),
            "level": _figure(level, (low, high), rows),
            "coverage": _figure(
                coverage(paid, served.low, served.high), share_interval(held, rows, params.level), rows
            ),
        }
    found["estimated_error"] = _estimated(view)
    return found


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
    params = views[-1].params
    paid = np.concatenate([view.paid for view in views])
    columns = {
        name: np.concatenate([view.outcomes.columns[name] for view in views]) for name in views[-1].outcomes.columns
    }
    price, low, high = (
        np.concatenate([getattr(view.outcomes, name) for view in views]) for name in ("price", "low", "high")
    )
    found: list[dict[str, Any]] = []
    for name, cut in slices.items() if len(paid) else ():
        if isinstance(cut, ResoldSlice):  # a request does not say which house it is
            continue
        try:
            groups = np.array(group_names(cut, columns, background))
        except ValueError:
            continue
        for group in sorted(set(groups.tolist()), key=numeric_first):
            chosen = groups == group
            if chosen.sum() >= params.rows_min:
                found.append(
                    {"slice": name, "group": group, "rows": int(chosen.sum())}
                    | _sliced(paid[chosen], price[chosen], low[chosen], high[chosen], params.level)
                )
    return found


def _sliced(paid: Floats, price: Floats, low: Floats, high: Floats, level: float) -> dict[str, float | None]:
    ends = rank_interval(np.abs(price / paid - 1), level)
    ratio = price / paid
    reach = float(stats.t.ppf((1 + level) / 2, len(ratio) - 1) * ratio.std(ddof=1) / np.sqrt(len(ratio)))
    held = share_interval(int(np.sum((low <= paid) & (paid <= high))), len(paid), level)
    return {
        "error": rounded(mdape(paid, price)),
        "low": ends[0],
        "high": ends[1],
        "bias": rounded(bias(paid, price)),
        "bias_low": rounded(bias(paid, price) - reach),
        "bias_high": rounded(bias(paid, price) + reach),
        "coverage": rounded(coverage(paid, low, high)),
        "coverage_low": held[0],
        "coverage_high": held[1],
    }


def _shadow(views: Sequence[View]) -> dict[str, Any] | None:
    """Return how the shadow's prices compare with those that were served, on the outcomes of all windows; None without a shadow."""
    versions = np.concatenate([view.outcomes.shadow_versions for view in views])
    if not (names := sorted(set(versions.tolist()) - {""})):
        return None
    chosen = versions == names[-1]
    paid = np.concatenate([view.paid for view in views])[chosen]
    price = np.concatenate([view.outcomes.price for view in views])[chosen]
    shadow = np.concatenate([view.outcomes.shadow["price"] for view in views])[chosen]
    told = {"model_version": names[-1], "rows": len(paid), "error": rounded(mdape(paid, shadow)), "served_error": rounded(mdape(paid, price)),
            "bias": rounded(bias(paid, shadow)), "served_bias": rounded(bias(paid, price))}  # fmt: skip
    if len(paid) < views[-1].params.rows_min:
        return told | {"difference": _none(len(paid))}
    # Paired, in the log: what makes a sale hard for both falls out.
    apart = np.abs(np.log(shadow / paid)) - np.abs(np.log(price / paid))
    reach = float(
        stats.t.ppf((1 + views[-1].params.level) / 2, len(apart) - 1) * apart.std(ddof=1) / np.sqrt(len(apart))
    )
    middle = float(apart.mean())
    return told | {"difference": _figure(middle, (middle - reach, middle + reach), len(apart))}


def _figure(value: float, ends: tuple[float, float], rows: int) -> Figure:
    return {"value": rounded(value), "low": rounded(ends[0]), "high": rounded(ends[1]), "rows": rows}


def _none(rows: int) -> Figure:
    return {"value": None, "low": None, "high": None, "rows": rows}


def _day(moment: np.datetime64) -> str:
    return str(moment.astype("datetime64[D]"))
