"""Test what is worked out of a life: on made-up ones, whose figures are known beforehand."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hearth.simulation import LAST_DAYS, ROWS_MIN, Event, Lived, document, weeks

FIRST = np.datetime64("2015-03-01")
A_WEEK, WEEKS, CHANGED = 50, 8, 5  # the better model is served from this week on
EVENTS = [
    Event(day="2015-03-01", kind="released", said="v0.1.0"),
    Event(day="2015-03-22", kind="provable", said="prices lie below"),
    Event(day="2015-04-05", kind="alarm", said="bias"),
    Event(day="2015-04-05", kind="promoted", said="v0.2.0"),
    Event(day="2015-05-03", kind="alarm", said="error"),
]


def life(per_week: int = A_WEEK, low: float = 0.9, better: float = 0.98) -> Lived:
    """Return a life of so many sales a week; the first model asks `low` times what is paid, its successor `better` times."""
    day = np.concatenate([FIRST + 7 * week + np.arange(per_week) % 7 for week in range(WEEKS)])
    paid = np.linspace(200_000, 800_000, len(day))
    later = day >= FIRST + 7 * CHANGED
    return Lived(
        day, paid, prices(paid * np.where(later, better, low)), prices(paid * low), np.where(later, "new", "old")
    )


def prices(price: np.ndarray) -> dict[str, np.ndarray]:
    return {"price": price, "low": price * 0.85, "high": price * 1.05}


NONE = Lived(*(np.array([], dtype=kind) for kind in ("datetime64[D]", float)), prices(np.array([])), prices(np.array([])), np.array([], dtype=str))  # fmt: skip


def told(lived: Lived, drill: Lived = NONE, restored: Lived = NONE, events: list[Event] = EVENTS) -> dict[str, Any]:
    return document(FIRST, lived, drill, restored, events, "US dollar", 0.8, {"bias": 0.005})


def test_each_week_has_its_days_sales_models_and_figures() -> None:
    found = weeks(FIRST, life())
    assert [(week["from"], week["to"], week["sales"]) for week in found[:2]] == [
        ("2015-03-01", "2015-03-08", 50), ("2015-03-08", "2015-03-15", 50),
    ]  # fmt: skip
    assert [week["models"] for week in found] == [["old"]] * CHANGED + [["new"]] * (WEEKS - CHANGED)
    for number, week in enumerate(found):
        expected = 0.9 if number < CHANGED else 0.98
        assert week["with"]["error"] == pytest.approx(1 - expected)
        assert week["with"]["bias"] == pytest.approx(expected - 1)
        assert week["with"]["level_low"] <= week["with"]["level"] <= week["with"]["level_high"]
        assert week["without"]["level"] == pytest.approx(-0.1)
        assert (week["with"]["coverage"], week["without"]["coverage"]) == (float(number >= CHANGED), 0.0)


def test_a_week_in_which_both_models_were_served_names_both_and_an_empty_week_is_left_out() -> None:
    lived = life()
    mixed = replace(lived, version=np.where(np.arange(len(lived.day)) == 0, "new", lived.version))
    assert weeks(FIRST, mixed)[0]["models"] == ["new", "old"]
    kept = (lived.day < FIRST + 7) | (lived.day >= FIRST + 14)
    found = weeks(FIRST, part(lived, kept))
    assert [week["from"] for week in found[:2]] == ["2015-03-01", "2015-03-15"]
    assert len(found) == WEEKS - 1


def part(lived: Lived, kept: np.ndarray) -> Lived:
    """Return some of the sales."""
    served, alone = ({name: values[kept] for name, values in one.items()} for one in (lived.served, lived.alone))
    return Lived(lived.day[kept], lived.paid[kept], served, alone, lived.version[kept])


@pytest.mark.parametrize(("rows", "figures"), [(ROWS_MIN - 1, False), (ROWS_MIN, True), (1, False)])
def test_a_week_with_few_sales_has_no_figures(rows: int, figures: bool) -> None:
    week = weeks(FIRST, life(rows))[0]
    assert week["with"]["rows"] == week["without"]["rows"] == rows
    assert ("error" in week["with"]) == ("error" in week["without"]) == figures


def test_the_last_weeks_are_those_before_the_newest_sale() -> None:
    found = told(life())
    last = found["last_weeks"]
    assert (found["from"], found["to"], found["sales"]) == ("2015-03-01", "2015-04-25", A_WEEK * WEEKS)
    assert (last["days"], last["sales"]) == (LAST_DAYS, A_WEEK * 4)
    # One of the four weeks was the old model's.
    assert last["with"]["bias"] == pytest.approx((-0.1 - 3 * 0.02) / 4)
    assert last["without"]["bias"] == pytest.approx(-0.1)


def test_what_was_saved_counts_the_sales_since_the_model_was_another() -> None:
    lived = life()
    saved, paid = told(lived)["saved"], lived.paid[A_WEEK * CHANGED :]
    assert saved["sales"] == A_WEEK * (WEEKS - CHANGED)
    assert saved["total"] == round(0.08 * paid.sum())
    assert saved["per_sale"] == round(0.08 * paid.mean())
    assert (saved["mean_error_with"], saved["mean_error_without"]) == (round(0.02 * paid.mean()), round(0.1 * paid.mean()))  # fmt: skip


def test_a_worse_successor_loses_money_and_it_is_said_so() -> None:
    saved = told(life(better=0.7))["saved"]
    assert saved["total"] < 0
    assert saved["per_sale"] < 0


def test_a_life_without_a_promotion_saved_nothing() -> None:
    lived = life(better=0.9)
    saved = told(replace(lived, version=np.full(len(lived.day), "old")))["saved"]
    assert saved == {"sales": 0, "total": 0, "per_sale": 0, "mean_error_with": None, "mean_error_without": None}


def test_events_stand_in_their_order_and_the_first_of_a_kind_is_the_day_that_counts() -> None:
    found = told(life())
    assert [event["kind"] for event in found["events"]] == ["released", "provable", "alarm", "promoted", "alarm"]
    assert (found["provable"], found["alarm"]) == ("2015-03-22", "2015-04-05")
    nothing = told(life(), events=EVENTS[:1])
    assert (nothing["provable"], nothing["alarm"]) == (None, None)


def test_the_drill_and_what_was_put_back_are_told_by_weeks_of_their_own() -> None:
    lived = life()
    drill = replace(part(lived, lived.day < FIRST + 14), day=lived.day[lived.day < FIRST + 14] + 60)
    after = replace(drill, day=np.full(len(drill.day), FIRST + 100))
    found = told(lived, drill, after)
    assert [(week["from"], week["sales"]) for week in found["restored"]] == [("2015-06-09", 100)]
    assert [week["from"] for week in found["drill"]] == ["2015-04-30", "2015-05-07"]
    assert found["sales"] == len(lived.day)
    assert told(lived)["drill"] == told(lived)["restored"] == []


@pytest.mark.parametrize("rows", [A_WEEK, 1])
def test_the_document_is_json_without_a_gap_and_the_same_again(rows: int) -> None:
    once, again = (
        json.dumps(told(life(rows), life(rows), life(rows)), allow_nan=False, sort_keys=True) for _ in range(2)
    )
    assert once == again
    assert json.loads(once) == told(life(rows), life(rows), life(rows))
