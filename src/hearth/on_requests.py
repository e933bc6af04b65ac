"""Check what is asked of the service: how requests and prices are spread, what breaks the contract, whether anything comes at all."""

from collections import Counter

import numpy as np

from hearth.doubt import share_interval
from hearth.drift import Chance, Moved, moved
from hearth.finding import Finding, too_few
from hearth.windows import MonitorParams, View


def input_drift(view: View) -> Finding:
    """Hold each feature to its shape in the training rows."""
    found = drifts(view)
    if not found:
        return too_few(len(view.window.served), "predictions")
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


def prediction_drift(view: View) -> Finding:
    """Hold the prices of the profile's model to their shape."""
    own = view.window.served.price[view.window.served.versions == view.promise.profile.model_version]
    if len(own) < view.params.rows_min:
        return too_few(len(own), "predictions of the profile's model")
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
        return too_few(whole, "cases")
    low = share_interval(part, whole, params.level)[0]
    return Finding(
        low > limit,
        f"{part:,} of {whole:,} {what} ({part / whole:.1%}, at most {limit:.1%} are usual)",
        part / whole,
        limit,
    )


def refused_requests(view: View) -> Finding:
    """Hold the share of requests that break the contract to its limit."""
    whole = len(view.window.served) + view.window.refused
    return _share(view.window.refused, whole, view.params.refused_share_max, view.params, "requests broke the contract")


def outside_training(view: View) -> Finding:
    """Hold the share of houses outside the training data to its limit."""
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


def traffic(view: View) -> Finding:
    """Notice that no house is priced any more, or that no outcome is heard of."""
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
