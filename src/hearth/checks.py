"""Hold what was served, and what became of it, to what the model promised: one check after the other, window by window.

A check says of a window whether it is bad, or that there is too little to tell. An alarm is due when it was bad in `needed` of
the last `of` windows, the newest included: one odd week wakes nobody. A fact (inputs that differ, a clock that jumped, a model past
its age) is no matter of chance: it alarms at once. Values in, values out; `hearth monitor` reads and writes.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats  # type: ignore[import-untyped]

from hearth.doubt import rank_interval, share_interval
from hearth.drift import Chance, Moved, moved
from hearth.scoring import Floats
from hearth.windows import MonitorParams, Promise, View

UNIT_FACTOR = 1.5  # a median that is so many times too high or too low comes from another unit, not from a market
CHUNK = 4096

CheckName = Literal[
    "input_drift", "prediction_drift", "refused_requests", "outside_training", "bias", "error", "coverage", "outcome_match",
    "traffic", "skew", "staleness", "stale_profile", "clock", "log",
]  # fmt: skip
FACTS: tuple[CheckName, ...] = ("skew", "staleness", "stale_profile", "clock", "log")


@dataclass(frozen=True)
class Finding:
    """Hold what a check says of a window; `bad` is None where there is too little to tell."""

    bad: bool | None
    said: str
    value: float | None = None
    limit: float | None = None


Check = Callable[[View], Finding]


def _input_drift(view: View) -> Finding:
    found = drifts(view)
    if not found:
        return _too_few(len(view.window.served), "predictions")
    drifted = [name for name, one in found.items() if one.drifted]
    column = max(drifted or found, key=lambda name: found[name].moved / max(found[name].floor, 1e-9))
    worst = found[column]
    said = (f"{', '.join(drifted)} moved; the most {column}, {worst.moved:.1%} of whose rows lie in other bins than expected, where "
            f"chance moves {worst.floor:.1%} ({worst.said})" if drifted else
            f"no column moved by more than chance; nearest to it is {column}, {worst.moved:.1%} of {worst.floor:.1%}")  # fmt: skip
    return Finding(bool(drifted), said, worst.moved, worst.floor)


def drifts(view: View) -> dict[str, Moved]:
    """Return for each feature how far it moved; nothing where there are too few rows to tell."""
    if len(view.window.served) < view.params.rows_min:
        return {}
    shapes = view.promise.profile.features
    return {
        name: moved(shape, view.window.served.columns[name], _chance(view.params), len(shapes))
        for name, shape in shapes.items()
    }


def _prediction_drift(view: View) -> Finding:
    own = view.window.served.price[view.window.served.versions == view.promise.profile.model_version]
    if len(own) < view.params.rows_min:
        return _too_few(len(own), "predictions of the profile's model")
    found = moved(view.promise.profile.predicted_log_price, np.log(own), _chance(view.params), 1)
    said = f"{found.moved:.1%} of the prices lie in other bins than expected, chance moves {found.floor:.1%}"
    return Finding(
        found.drifted, said + (f" (log price {found.said})" if found.drifted else ""), found.moved, found.floor
    )


def _chance(params: MonitorParams) -> Chance:
    return Chance(params.draws, params.seed, params.false_drifts)


def _share(part: int, whole: int, limit: float, params: MonitorParams, what: str) -> Finding:
    """Return whether a share is provably above its limit."""
    if whole < params.rows_min:
        return _too_few(whole, "cases")
    low = share_interval(part, whole, params.level)[0]
    return Finding(
        low > limit,
        f"{part:,} of {whole:,} {what} ({part / whole:.1%}, at most {limit:.1%} are usual)",
        part / whole,
        limit,
    )


def _refused_requests(view: View) -> Finding:
    whole = len(view.window.served) + view.window.refused
    return _share(view.window.refused, whole, view.params.refused_share_max, view.params, "requests broke the contract")


def _outside_training(view: View) -> Finding:
    time = view.promise.release.contract.time.name
    said = Counter(name for names in view.window.served.warned for name in set(names) - {time})
    outside = sum(bool(set(names) - {time}) for names in view.window.served.warned)
    found = _share(
        outside,
        len(view.window.served),
        view.params.outside_share_max,
        view.params,
        "houses lie outside the training data",
    )
    most = ", ".join(f"{name} {count:,}" for name, count in said.most_common(3))
    return Finding(found.bad, found.said + (f": {most}" if most else ""), found.value, found.limit)


def level_interval(paid: Floats, predicted: Floats, level: float) -> tuple[float, float, float]:
    """Return by how much prices lie above what was paid, in the geometric mean, with its interval; fractions.

    The geometric mean of predicted / paid, and not the mean that `bias` is: noise alone makes that one positive.
    """
    log_ratio = np.log(predicted / paid)
    mean, error = float(log_ratio.mean()), float(log_ratio.std(ddof=1)) / np.sqrt(len(log_ratio))
    reach = float(stats.t.ppf((1 + level) / 2, len(log_ratio) - 1)) * error
    low, middle, high = np.expm1([mean - reach, mean, mean + reach])
    return float(low), float(middle), float(high)


def _bias(view: View) -> Finding:
    if len(view.paid) < view.params.rows_min:
        return _too_few(len(view.paid), "outcomes of this model")
    low, middle, high = level_interval(view.paid, view.outcomes.price, view.params.level)
    where = "above" if middle > 0 else "below"
    said = f"prices lie {abs(middle):.1%} {where} what was paid ({low:+.1%} to {high:+.1%}), within {view.params.bias_max:.1%} is sound"
    return Finding(low > view.params.bias_max or high < -view.params.bias_max, said, middle, view.params.bias_max)


def _error(view: View) -> Finding:
    if len(view.paid) < view.params.rows_min:
        return _too_few(len(view.paid), "outcomes of this model")
    errors = np.abs(view.outcomes.price / view.paid - 1)
    low, high = rank_interval(errors, view.params.level)
    limit = view.promise.error * view.params.error_ratio_max
    said = f"the median error is {np.median(errors):.1%} ({low:.1%} to {high:.1%}); {view.promise.error:.1%} was promised, {limit:.1%} is allowed"
    return Finding(low > limit, said, float(np.median(errors)), limit)


def _coverage(view: View) -> Finding:
    rows = len(view.paid)
    if rows < view.params.rows_min:
        return _too_few(rows, "outcomes of this model")
    held = int(np.sum((view.outcomes.low <= view.paid) & (view.paid <= view.outcomes.high)))
    low, high = share_interval(held, rows, view.params.level)
    level = view.promise.release.facts.interval.level
    bad = high < level - view.params.coverage_off_max or low > level + view.params.coverage_off_max
    said = f"{held / rows:.1%} of what was paid lies inside its interval ({low:.1%} to {high:.1%}); {level:.0%} was promised"
    return Finding(bad, said, held / rows, level)


def _outcome_match(view: View) -> Finding:
    rows, unit = len(view.window.paid), view.promise.release.contract.target.unit
    heard = rows + view.window.unknown + view.window.unfit
    if heard < view.params.rows_min:
        return _too_few(heard, "outcomes")
    for part, what in ((view.window.unfit, f"outcomes are no {view.promise.release.contract.target.name} of the contract; are they in {unit}?"),
                       (view.window.unknown, "outcomes belong to no prediction in the log; are they another service's?")):  # fmt: skip
        if share_interval(part, heard, view.params.level)[0] > view.params.unknown_share_max:
            return Finding(True, f"{part:,} of {heard:,} {what}", part / heard, view.params.unknown_share_max)
    if rows < view.params.rows_min:
        return _too_few(rows, "outcomes with a prediction")
    factor, rank = agreement(view.window.paid, view.window.outcomes.price)
    if not 1 / UNIT_FACTOR < factor < UNIT_FACTOR:
        return Finding(
            True,
            f"prices are {factor:.3g} times what was paid, in the median; are the outcomes in {unit}?",
            factor,
            UNIT_FACTOR,
        )
    if not rank >= view.params.rank_correlation_min:
        return Finding(True, f"prices and what was paid hardly go together (rank correlation {rank:.2f}, at least "
                       f"{view.params.rank_correlation_min:.2f} is usual); outcomes are given to other predictions' ids",
                       rank, view.params.rank_correlation_min)  # fmt: skip
    return Finding(
        False,
        f"prices and what was paid go together (rank correlation {rank:.2f})",
        rank,
        view.params.rank_correlation_min,
    )


def agreement(paid: Floats, price: Floats) -> tuple[float, float]:
    """Return the median of price / paid, and the rank correlation of the two."""
    return float(np.median(price / paid)), float(stats.spearmanr(price, paid).statistic)


def agrees(paid: Floats, price: Floats, params: MonitorParams) -> bool:
    """Return whether prices and what was paid can belong together: neither shuffled nor in another unit."""
    factor, rank = agreement(paid, price)
    return 1 / UNIT_FACTOR < factor < UNIT_FACTOR and rank >= params.rank_correlation_min


def _traffic(view: View) -> Finding:
    served, heard = len(view.window.served), len(view.window.paid)
    before, heard_before = view.window.before
    if not served and not before:
        return Finding(None, "no house was priced yet")
    if not served:
        said = f"no house was priced, up to {before:,} a window were before: is this the log of the service, and does it write?"
        return Finding(True, said, 0.0, 1.0)
    if not heard and heard_before >= view.params.rows_min:
        return Finding(
            True,
            f"no outcome was heard of, up to {heard_before:,} a window were before: nothing tells errors now",
            0.0,
            1.0,
        )
    return Finding(False, f"{served:,} houses were priced, {heard:,} outcomes heard of", float(served), 1.0)


def _skew(view: View) -> Finding:
    release, served = view.promise.release, view.window.served
    wide = 4 * len(release.facts.features)
    own = [
        place
        for place in np.flatnonzero(served.versions == release.manifest.model_version)
        if len(served.inputs[place]) == wide
    ]
    if not own:
        return Finding(None, "no prediction of this model was logged with its inputs")
    chosen = np.array(own)[np.unique(np.linspace(0, len(own) - 1, view.params.skew_rows).astype(np.int64))]
    wrong: Counter[str] = Counter()
    rows = 0
    for start in range(0, len(chosen), CHUNK):
        part = served.part(chosen[start : start + CHUNK])
        computed = (view.promise.inputs or release.inputs)(part.columns)
        anew = np.ascontiguousarray(computed, dtype="<f4").view("<u4")
        was = np.frombuffer(b"".join(part.inputs), dtype="<u4").reshape(anew.shape)
        differs = anew != was
        rows += int(differs.any(axis=1).sum())
        wrong.update(dict(zip(release.facts.features, differs.sum(axis=0).tolist(), strict=True)))
    if not rows:
        return Finding(
            False, f"the inputs of {len(chosen):,} requests, computed anew, equal those served, bit for bit", 0.0, 0.0
        )
    named = ", ".join(name for name, count in wrong.most_common(3) if count)
    return Finding(True, f"the inputs of {rows:,} of {len(chosen):,} requests are not those served ({named}): the service runs other code, "
                   "other libraries, or another kind of processor than this", rows / len(chosen), 0.0)  # fmt: skip


def _staleness(view: View) -> Finding:
    days = age_days(view.window.end, view.promise)
    said = f"the model knows nothing of the last {days:,} days; after {view.promise.age_max_days} days it is to be retrained"
    return Finding(days >= view.promise.age_max_days, said, float(days), float(view.promise.age_max_days))


def age_days(now: np.datetime64, promise: Promise) -> int:
    """Return the days since the newest sale that the model knows."""
    return int((now.astype("datetime64[D]") - np.datetime64(promise.release.facts.as_of)).astype(np.int64))


def _stale_profile(view: View) -> Finding:
    since, at = view.promise.since, view.window.served.at
    if not len(at) or (since is not None and at[-1] < since):  # what came before was the model's before
        return Finding(None, "no prediction since the release")
    served, described = str(view.window.served.versions[-1]), view.promise.profile.model_version
    if served == described:
        return Finding(False, f"the profile describes the model that is served, {served}")
    return Finding(
        True,
        f"the profile describes the model {described}, but {served} is served; monitor where that one's profile is",
    )


def _clock(view: View) -> Finding:
    if view.window.ahead:
        return Finding(True, "the log holds times that have not come yet: the service's clock, or this one, is wrong")
    if view.window.backwards:
        return Finding(
            True,
            f"the service's clock was set back {view.window.backwards} times: windows hold other days' predictions",
            float(view.window.backwards),
            0.0,
        )
    return Finding(False, "the clock went forwards")


def _log(view: View) -> Finding:
    lines = len(view.window.served) + view.window.torn
    if not view.window.torn:
        return Finding(False, "every line is whole", 0.0, view.params.torn_share_max)
    return Finding(view.window.torn / lines > view.params.torn_share_max, f"{view.window.torn:,} of {lines:,} lines are torn, by crashes or a full disk",
                   view.window.torn / lines, view.params.torn_share_max)  # fmt: skip


def _too_few(rows: int, what: str) -> Finding:
    return Finding(None, f"{rows:,} {what} are too few to tell")


CHECKS: Mapping[CheckName, Check] = {
    "input_drift": _input_drift,
    "prediction_drift": _prediction_drift,
    "refused_requests": _refused_requests,
    "outside_training": _outside_training,
    "bias": _bias,
    "error": _error,
    "coverage": _coverage,
    "outcome_match": _outcome_match,
    "traffic": _traffic,
    "skew": _skew,
    "staleness": _staleness,
    "stale_profile": _stale_profile,
    "clock": _clock,
    "log": _log,
}


def judged(name: CheckName, seen: Sequence[View], present: View | None) -> dict[str, Any]:
    """Return a check's verdict over the windows, the oldest first, as it stands in monitor.json; the present counts for facts."""
    if name in FACTS and present is not None:
        seen = [*seen[1:], present]
    needed = 1 if name in FACTS else seen[-1].params.needed
    found = [CHECKS[name](view) for view in seen]
    bad = [None if one.bad is None else bool(one.bad) for one in found]
    newest = found[-1]
    return {
        "alarm": bad[-1] is True and sum(one is True for one in bad) >= needed,
        "windows": bad,
        "value": rounded(newest.value),
        "limit": rounded(newest.limit),
        "said": newest.said,
    }


def silence(of: int) -> dict[str, Any]:
    """Return the verdict on traffic where neither a window nor the present holds a house: nobody should call that fine."""
    said = "the log holds no house at all: is this the log of the service, and does it write?"
    return {"alarm": True, "windows": [None] * (of - 1) + [True], "value": 0.0, "limit": 1.0, "said": said}


def rounded(value: float | None) -> float | None:
    """Return the value with six decimals, no negative zero among them."""
    return None if value is None else round(float(value), 6) + 0.0
