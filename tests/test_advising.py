"""Test what an alarm calls for: every branch, and that what is counted wrong never leads to a retraining."""

import numpy as np
import pytest
from samples import params

from hearth.advising import AGED, FAULTS, MATCH, ON_OUTCOMES, Advice, advice, asks, weighed
from hearth.checks import CHECKS
from hearth.scoring import Floats
from hearth.strict import parse
from hearth.windows import MonitorParams

ROWS = 400
PARAMS = parse(MonitorParams, params("monitor"), "params.yaml: monitor")
WORTH = np.exp(np.random.default_rng(1).normal(13, 0.5, ROWS))
QUIET = sorted(set(CHECKS) - set(ON_OUTCOMES) - set(FAULTS) - {AGED})  # no outcome, no fault, no age


def priced(level: float, noise: float = 0.1, seed: int = 0) -> Floats:
    """Return prices that lie at a level of what the houses are worth, with noise in the log."""
    return np.asarray(WORTH * level * np.exp(np.random.default_rng(seed).normal(0, noise, ROWS)))


PAID, SERVED = priced(1.0), priced(0.95, seed=1)


def advised(*alarms: str, before: Floats | None = None, paid: Floats = PAID, price: Floats = SERVED) -> Advice:
    known = None if before is None else {"predicted": before, "low": before * 0.8, "high": before * 1.2}
    return advice(alarms, paid, price, known, PARAMS)


def test_every_check_of_the_monitor_is_known_here() -> None:
    assert {*FAULTS, *ON_OUTCOMES, AGED} < set(CHECKS)
    assert QUIET == ["input_drift", "outside_training", "prediction_drift", "refused_requests", "traffic"]


def test_without_an_alarm_nothing_is_asked_for() -> None:
    assert advised() == Advice(action="none", said="nothing is wrong")
    assert not asks([])


@pytest.mark.parametrize("alarm", QUIET)
def test_drift_alone_asks_for_nothing(alarm: str) -> None:
    found = advised(alarm, before=priced(1.0, 0.01))
    assert (found.action, found.said) == ("none", f"{alarm}: no outcome says that the prices are worse for it")
    assert not asks([alarm])


def test_age_alone_asks_for_a_retraining_whatever_the_release_before_would_have_said() -> None:
    assert advised(AGED) == Advice(action="retrain", said="the model is too old")
    assert advised(AGED, "input_drift", before=priced(1.0, 0.01)).action == "retrain"
    assert not asks([AGED])


@pytest.mark.parametrize("alarm", ON_OUTCOMES)
def test_outcomes_alone_ask_for_a_retraining_where_there_is_no_release_before(alarm: str) -> None:
    found = advised(alarm)
    assert found.action == "retrain"
    assert found.said == f"{alarm}: what was paid moved away from the prices, and there is no release before this one"
    assert asks([alarm])
    assert asks([alarm, "input_drift", AGED])


@pytest.mark.parametrize("alarm", ON_OUTCOMES)
def test_a_release_before_that_is_provably_nearer_is_put_back(alarm: str) -> None:
    found = advised(alarm, AGED, before=priced(1.0, seed=2), price=priced(0.8, seed=1))
    assert found.action == "roll back"
    assert found.said.startswith(f"{alarm}: the release before this one errs by -0.")
    assert found.said.endswith("on 400 outcomes, so it is the better one")


@pytest.mark.parametrize(
    ("before", "why"),
    [(priced(0.9, seed=2), "farther away"), (SERVED, "the same"), (priced(0.96, seed=2), "nearer by a hair")],
)
def test_a_release_before_that_is_not_provably_nearer_stays_where_it_is(before: Floats, why: str) -> None:
    found = advised("bias", before=before)
    assert found.action == "retrain", why
    assert found.said.endswith("so it is no better"), why


def test_of_few_outcomes_the_same_difference_proves_nothing() -> None:
    before = priced(1.0, seed=2)
    assert advised("bias", before=before, price=priced(0.9, seed=1)).action == "roll back"
    few = {"paid": PAID[:10], "price": priced(0.9, seed=1)[:10]}
    assert advised("bias", before=before[:10], **few).action == "retrain"


@pytest.mark.parametrize("fault", FAULTS)
def test_where_what_is_counted_may_be_wrong_a_person_looks_first(fault: str) -> None:
    """Even where everything else asks, and the release before would be far nearer."""
    for before in (None, np.random.default_rng(0).permutation(PAID) if fault == MATCH else priced(1.0, 0.001)):
        found = advised(*ON_OUTCOMES, AGED, *QUIET, fault, before=before)
        assert found.action == "look"
        assert found.said.startswith(f"{fault}: what is counted may be wrong, so a person looks first")
    assert asks([*ON_OUTCOMES, fault]) == (fault == MATCH)


def test_prices_far_from_what_was_paid_are_the_models_fault_where_those_of_the_release_before_are_near() -> None:
    far = {"price": priced(1.6, seed=1)}
    assert advised("bias", "error", MATCH, **far).action == "look"
    found = advised("bias", "error", MATCH, before=priced(1.0, seed=2), **far)
    assert found.action == "roll back"
    assert found.said.startswith("bias, error: the release before this one errs by -0.")
    # Outcomes in another unit, or of other houses, fit neither of the two.
    for paid in (PAID * 3, np.random.default_rng(0).permutation(PAID)):
        assert advised("bias", MATCH, before=priced(1.0, seed=2), paid=paid).action == "look"


def test_faults_are_named_and_nothing_else_is() -> None:
    assert advised("log", "bias", "skew").said.startswith("log, skew: ")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_newest_window_alone_is_weighed_where_an_alarm_is_due(fault: str) -> None:
    sound = {name: {"windows": [True, None, True, False]} for name in CHECKS}
    odd = sound | {fault: {"windows": [False, False, False, True]}}
    assert weighed(["bias"], odd) == ["bias", fault]
    assert advised(*weighed(["bias"], odd)).action == "look"
    assert weighed(["bias", fault], odd) == ["bias", fault]
    assert weighed([], odd) == []  # it wakes nobody
    assert weighed(["bias"], sound) == ["bias"]
    assert weighed(["bias"], sound | {"error": {"windows": [False, False, False, True]}}) == ["bias"]
