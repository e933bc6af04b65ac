"""Check what is no matter of chance: inputs that differ, a model past its age, another model's profile, a clock that jumped, torn lines."""

from collections import Counter

import numpy as np

from hearth.finding import Finding
from hearth.windows import Promise, View

CHUNK = 4096


def skew(view: View) -> Finding:
    """Compare the model's inputs, computed anew from the requests, with those served, bit for bit."""
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


def staleness(view: View) -> Finding:
    """Hold the model's age to its limit."""
    days = age_days(view.window.end, view.promise)
    said = f"the model knows nothing of the last {days:,} days; after {view.promise.age_max_days} days it is to be retrained"
    return Finding(days >= view.promise.age_max_days, said, float(days), float(view.promise.age_max_days))


def age_days(now: np.datetime64, promise: Promise) -> int:
    """Return the days since the newest sale that the model knows."""
    return int((now.astype("datetime64[D]") - np.datetime64(promise.release.facts.as_of)).astype(np.int64))


def stale_profile(view: View) -> Finding:
    """Notice that another model is served than the profile describes."""
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


def clock(view: View) -> Finding:
    """Notice that the service's clock jumped."""
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


def log(view: View) -> Finding:
    """Hold the share of torn lines to its limit."""
    lines = len(view.window.served) + view.window.torn
    if not view.window.torn:
        return Finding(False, "every line is whole", 0.0, view.params.torn_share_max)
    return Finding(view.window.torn / lines > view.params.torn_share_max, f"{view.window.torn:,} of {lines:,} lines are torn, by crashes or a full disk",
                   view.window.torn / lines, view.params.torn_share_max)  # fmt: skip
