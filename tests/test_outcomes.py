"""Test that each kind of outcome is told apart, and that a prediction has one outcome, the last that was heard."""

from typing import Any

import numpy as np
from samples import contract

from hearth.outcomes import Joined, gathered, joined

A, B, C, UNKNOWN = (f"{number:032x}" for number in range(4))
IDS = np.array([A, B, C])
TIMES = np.array(["2015-03-01", "2015-03-02", "2015-03-03"], dtype="datetime64[ms]")
SINCE, UNTIL = np.datetime64("2015-03-01", "ms"), np.datetime64("2015-07-01", "ms")


def told(name: str, price: Any, day: str) -> dict[str, Any]:
    return {"prediction_id": name, "price": price, "at": f"{day}T08:00:00.000+00:00"}


def join(*entries: dict[str, Any], since: np.datetime64 = SINCE) -> tuple[Joined, dict[str, int]]:
    return joined(gathered(entries, contract(), since, UNTIL), IDS, TIMES, 60)


def test_outcomes_are_joined_in_the_order_of_the_log() -> None:
    found, counts = join(told(C, 500_000, "2015-04-01"), told(A, 400_000, "2015-04-02"))
    assert found.places.tolist() == [0, 2]
    assert found.paid.tolist() == [400_000, 500_000]
    assert counts == {"joined": 2, "late": 0, "repeated": 0, "corrected": 0, "unknown": 0, "refused": 0}


def test_a_repeated_outcome_is_counted_and_changes_nothing() -> None:
    found, counts = join(told(A, 400_000, "2015-04-01"), told(A, 400_000, "2015-04-09"))
    assert (found.paid.tolist(), counts["joined"], counts["repeated"]) == ([400_000], 1, 1)
    assert found.arrived[0] == np.datetime64("2015-04-01T08:00")


def test_a_corrected_outcome_wins_and_belongs_to_when_it_was_first_heard_of() -> None:
    found, counts = join(told(A, 400_000, "2015-04-01"), told(A, 410_000, "2015-04-20"))
    assert (found.paid.tolist(), counts["corrected"], counts["repeated"]) == ([410_000], 1, 0)
    assert found.arrived[0] == np.datetime64("2015-04-01T08:00")


def test_an_outcome_after_months_is_joined_and_counted_as_late() -> None:
    found, counts = join(told(A, 400_000, "2015-06-30"), told(B, 400_000, "2015-04-30"))
    assert (len(found.places), counts["late"]) == (2, 1)


def test_an_outcome_without_its_prediction_is_unknown() -> None:
    found, counts = join(told(UNKNOWN, 400_000, "2015-04-01"))
    assert (len(found.places), counts["unknown"], len(found.unknown_at)) == (0, 1, 1)


def test_a_price_that_the_contract_refuses_is_no_outcome() -> None:
    for price in (400, -1, "400000", None, True, 4e9, float("nan")):
        found, counts = join(told(A, price, "2015-04-01"))
        assert (len(found.places), counts["refused"]) == (0, 1), price


def test_only_what_was_heard_of_in_the_asked_for_time_counts() -> None:
    early, late = told(A, 400_000, "2015-04-01"), told(B, 400_000, "2015-07-02")
    assert join(early, late, since=np.datetime64("2015-04-10", "ms"))[1]["joined"] == 0
    # A correction reaches back, but the outcome stays in its window.
    assert join(early, told(A, 1, "2015-05-01"), since=np.datetime64("2015-04-10", "ms"))[1]["refused"] == 1
