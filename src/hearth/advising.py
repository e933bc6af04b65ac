"""Say what an alarm calls for: to retrain, to roll back, or that a person looks first."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from hearth.doubt import mean_interval
from hearth.on_outcomes import agrees
from hearth.scoring import Floats
from hearth.strict import Strict
from hearth.windows import MonitorParams

Action = Literal["none", "retrain", "roll back", "look"]

ON_OUTCOMES = ("bias", "error", "coverage")
AGED = "staleness"
# What is counted would be wrong, and a model that is retrained on it too.
MATCH = "outcome_match"
FAULTS = ("skew", MATCH, "stale_profile", "clock", "log")


class Advice(Strict):
    """Hold what is to be done, and why."""

    action: Action
    said: str = Field(min_length=1)


def weighed(alarms: Sequence[str], checks: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the alarms, and beside them the faults of the newest window alone.

    One odd window wakes nobody; but where something else does, what was counted in that window is not to be acted on.
    """
    faults = [name for name in FAULTS if checks[name]["windows"][-1] and name not in alarms]
    return [*alarms, *faults] if alarms else []


def asks(alarms: Sequence[str]) -> bool:
    """Return whether it matters what the release before would have answered."""
    return bool(set(alarms) & {*ON_OUTCOMES, MATCH}) and not set(alarms) & set(FAULTS) - {MATCH}


def advice(
    alarms: Sequence[str], paid: Floats, price: Floats, before: Mapping[str, Floats] | None, params: MonitorParams
) -> Advice:
    """Return what the alarms call for.

    Prices that do not go together with what was paid are the outcomes' fault (another unit, other ids), unless those of the
    release before do: then they are the model's.

    `before` holds the prices that the release before has for the houses whose outcomes are `paid` (n_rows,): where it is
    provably nearer to them than what was served, the release that is served was the mistake, and the one before is put back.
    Where not, both live in a market that moved on, and later sales help.
    """
    if MATCH in alarms and before is not None and agrees(paid, before["predicted"], params):
        alarms = ["error" if name == MATCH else name for name in alarms]
    if faults := [name for name in alarms if name in FAULTS]:
        return Advice(
            action="look",
            said=f"{', '.join(faults)}: what is counted may be wrong, so a person looks first (docs/operations.md)",
        )
    worse = list(dict.fromkeys(name for name in alarms if name in ON_OUTCOMES))
    if not worse:
        if AGED in alarms:
            return Advice(action="retrain", said="the model is too old")
        said = (
            f"{', '.join(alarms)}: no outcome says that the prices are worse for it" if alarms else "nothing is wrong"
        )
        return Advice(action="none", said=said)
    if before is None:
        return Advice(
            action="retrain",
            said=f"{', '.join(worse)}: what was paid moved away from the prices, and there is no release before this one",
        )
    apart = np.abs(np.log(before["predicted"] / paid)) - np.abs(np.log(price / paid))
    low, middle, high = mean_interval(apart, params.level)
    told = f"the release before this one errs by {middle:+.3f} in the log price beside it, {low:+.3f} to {high:+.3f}, on {len(paid):,} outcomes"
    if high < 0:
        return Advice(action="roll back", said=f"{', '.join(worse)}: {told}, so it is the better one")
    return Advice(action="retrain", said=f"{', '.join(worse)}: {told}, so it is no better")
