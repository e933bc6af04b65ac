"""Join what houses really sold for with what was predicted: late, repeated, corrected and unknown outcomes told apart."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hearth.contract import Contract
from hearth.scoring import Floats

Times = NDArray[np.datetime64]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Hold the last word on one prediction: when it was first heard of, and what was really paid."""

    at: np.datetime64
    price: float


@dataclass(frozen=True)
class Outcomes:
    """Hold outcomes by prediction id, how many entries were repeated or corrected, and when others were refused."""

    known: Mapping[str, Outcome]
    counts: Counter[str]
    refused_at: Times


@dataclass(frozen=True)
class Joined:
    """Hold predictions with their outcomes (n_rows,): the prediction's place among all, when it was heard of, what was paid."""

    places: NDArray[np.int64]
    arrived: Times
    paid: Floats
    unknown_at: Times  # when outcomes were heard of whose predictions the log does not have

    def part(self, rows: NDArray[np.bool_]) -> "Joined":
        """Return some of them."""
        return Joined(self.places[rows], self.arrived[rows], self.paid[rows], self.unknown_at)


def gathered(
    entries: Iterable[Mapping[str, Any]], contract: Contract, since: np.datetime64, until: np.datetime64
) -> Outcomes:
    """Return the outcomes in a journal's entries that were first heard of from `since` on and before `until`.

    The later entry of an id wins, whenever it came. A price that the contract's target does not accept is refused: it may be in another unit.
    """
    known: dict[str, Outcome] = {}
    counts: Counter[str] = Counter()
    refused: list[np.datetime64] = []
    target = contract.target
    for entry in entries:
        at = np.datetime64(str(entry.get("at", ""))[:23], "ms")
        if not at < until:
            continue
        name, price = str(entry.get("prediction_id")), entry.get("price")
        if not target.accepts(price):
            refused += [at] if at >= since else []
            continue
        paid, before = float(price), known.get(name)  # type: ignore[arg-type]
        if before is None:
            known[name] = Outcome(at, paid)
            continue
        counts["repeated" if before.price == paid else "corrected"] += int(at >= since)
        known[name] = Outcome(before.at, paid)
    known = {name: one for name, one in known.items() if one.at >= since}
    return Outcomes(known, counts, np.array(refused, dtype="datetime64[ms]"))


def joined(
    outcomes: Outcomes, ids: NDArray[Any], times: Times, late_days: int, passed_over: Collection[str] = ()
) -> tuple[Joined, dict[str, int]]:
    """Return the predictions that outcomes are known of, in the order of the log, and the count of each kind.

    An outcome of what is passed over, such as a price that somebody tried out on the page, is none.
    """
    placed = {name: place for place, name in enumerate(ids.tolist()) if name in outcomes.known}
    found = [outcomes.known[name] for name in placed]
    unknown = [one.at for name, one in outcomes.known.items() if name not in placed and name not in passed_over]
    arrived = np.array([one.at for one in found], dtype="datetime64[ms]")
    made = Joined(
        np.array(list(placed.values()), dtype=np.int64), arrived, np.array([one.price for one in found], dtype=np.float64),
        np.array(unknown, dtype="datetime64[ms]"),
    )  # fmt: skip
    counts = {
        "joined": len(found),
        "late": int(np.sum(arrived - times[made.places] > np.timedelta64(late_days, "D"))),
        "repeated": outcomes.counts["repeated"],
        "corrected": outcomes.counts["corrected"],
        "unknown": len(unknown),
        "refused": len(outcomes.refused_at),
    }
    return made, counts
