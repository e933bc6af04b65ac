"""Test that a shadow answers as the candidate would, and that nothing it does can hurt."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import yaml
from samples import CONTRACT_BYTES, contract, facts, fitted, graph, houses, release, release_files

from hearth.contract import parse_contract
from hearth.errors import Refusal
from hearth.release import Prediction, Release, open_release, pack
from hearth.request import columns_of
from hearth.shadow import Shadow


def candidate() -> Release:
    """Return another release than the served one: its index ends elsewhere, and so do its prices."""
    other = facts().index.model_copy(update={"slope": 0.002})
    return open_release(release_files(index=other, rows=399), "models/candidate")


def test_a_shadow_answers_what_the_candidate_would() -> None:
    made, shadow = candidate(), Shadow(candidate(), contract())
    asked = [house | {"date": None} for house in houses(3)] + [house | {"date": "2040-01-01"} for house in houses(3, seed=1)]  # fmt: skip
    expected = made.predict(columns_of(asked, made.contract, made.facts.as_of))
    found = shadow.answers(asked)
    assert [answer["price"] for answer in found] == expected.price.tolist()
    assert [answer["low"] for answer in found] == expected.low.tolist()
    assert [answer["high"] for answer in found] == expected.high.tolist()
    assert {answer["model_version"] for answer in found} == {made.manifest.model_version} != {release().manifest.model_version}  # fmt: skip
    served = release().predict(columns_of(asked, contract(), release().facts.as_of)).price.tolist()
    assert served != expected.price.tolist()


def broken(_: Release, __: Any) -> Prediction:
    raise MemoryError("all of it")


def short(_: Release, __: Any) -> Prediction:
    return Prediction(*np.ones((3, 1)))


@pytest.mark.parametrize(("predict", "said"), [(broken, "MemoryError: all of it"), (short, "ValueError: 1 prices for 2 houses")])  # fmt: skip
def test_a_shadow_that_fails_says_so_for_each_house(
    monkeypatch: pytest.MonkeyPatch, predict: Callable[..., Prediction], said: str
) -> None:
    shadow = Shadow(candidate(), contract())
    monkeypatch.setattr(Release, "predict", predict)
    assert shadow.answers(houses(2)) == [{"model_version": shadow.model_version, "error": said}] * 2


def test_a_price_that_is_none_costs_no_other_house(monkeypatch: pytest.MonkeyPatch) -> None:
    shadow = Shadow(candidate(), contract())
    monkeypatch.setattr(Release, "predict", lambda *_: Prediction(*np.array([[1.0, np.nan], [1.0, 1.0], [1.0, 1.0]])))
    first, second = shadow.answers(houses(2))
    assert (first["price"], second["error"]) == (1.0, "a price that is no number")


def test_a_shadow_that_reads_what_requests_do_not_hold_is_refused() -> None:
    with pytest.raises(Refusal, match="reads grade, which no request to the served model holds"):
        document = yaml.safe_load(CONTRACT_BYTES)
        document["columns"]["grade"]["role"] = "ignored"
        Shadow(open_release(pack(graph(), CONTRACT_BYTES, facts(), fitted().known), "c"), parse_contract(document, "c"))
