"""Ask what an alarm calls for, and do it: retrain through the gates, or put the release before back."""

from collections.abc import Mapping
from typing import Any

from hearth.advising import Advice, advice, asks, weighed
from hearth.paths import MODEL
from hearth.pricing import fit, price
from hearth.releases import History
from hearth.releasing import roll_back
from hearth.retraining import Retrained, retrain
from hearth.revisions import revision
from hearth.windows import View, pooled


def advised(found: Mapping[str, Any], views: list[View], known: History | None) -> Advice:
    """Return what the monitor's document of these windows calls for; the release before prices the same houses, where that matters."""
    alarms = weighed(found["alarms"], found["checks"])
    served, paid = pooled(views)
    before = None
    if known is not None and known.previous is not None and asks(alarms) and len(paid) > 1:
        before = price(fit(revision(known.previous.commit), MODEL), served.columns)
    return advice(alarms, paid, served.price, before, views[-1].params)


def act(one: Advice, judged: str | None, push_tags: bool = False) -> tuple[str, Retrained | None]:
    """Do what is advised on the version that was judged; return what became of it, and the retraining if there was one."""
    if one.action == "roll back":
        target, _ = roll_back(None, f"by itself: {one.said}", push_tags, judged)
        return f"rolled back to {target.version}", None
    if one.action == "retrain":
        found = retrain(to_promote=True, push_tags=push_tags)
        if found.promoted:
            return f"retrained on the sales before {found.as_of}, and promoted as {found.promoted}", found
        if found.verdict == "nothing new":
            return f"not retrained: {'; '.join(found.reasons)}", found
        return (
            f"retrained on the sales before {found.as_of}, not promoted: {'; '.join(found.reasons) or found.verdict}",
            found,
        )
    return "nothing was changed", None
