"""Test the monitor on lives of the tiny model: sound ones raise no alarm, and each planted fault is noticed and named."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from living import Life, life
from samples import columns, contract, params, recipe, release

from hearth.clock import CLOCK
from hearth.cuts import Background
from hearth.errors import Refusal
from hearth.monitor_metrics import exposition
from hearth.monitor_page import page, verdict
from hearth.operations import templates
from hearth.profile import Profile, ProfileParams, profile
from hearth.slices import EvaluateParams
from hearth.strict import parse
from hearth.watching import Watched, look
from hearth.windows import MonitorParams, Promise

KNOWN = columns(3000)
PARAMS = parse(MonitorParams, params("monitor"), "params.yaml: monitor")
END = "2015-03-29"
NOW = datetime(2015, 3, 29, tzinfo=UTC)
ROWS, DAYS, NOISE = 1200, 28, 0.1


@cache
def watched(version: str = "") -> Watched:
    shape = profile(KNOWN, contract(), release().log_price(KNOWN), parse(ProfileParams, params("profile"), "params"))
    described = parse(Profile, shape | {"model_version": version or release().manifest.model_version}, "profile")
    known = parse(EvaluateParams, params("evaluate"), "params.yaml: evaluate")
    promise = Promise(release(), described, error=0.0674 * NOISE / 0.1, error_per_width=0.4, age_max_days=60)
    return Watched(promise, known, Background(KNOWN, contract(), recipe(), known.baseline.area))


def sound(seed: int = 2) -> Life:
    return life(release(), KNOWN, ROWS, DAYS, END, seed=seed, noise=NOISE)


def monitored(folder: Path, *lives: Life, version: str = "", **changes: Any) -> dict[str, Any]:
    for one in lives:
        one.write(folder)
    return look(watched(version), PARAMS.model_copy(update=changes), folder, NOW, date(2015, 2, 26))[0]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "clock").write_text(NOW.isoformat())
    monkeypatch.setenv(CLOCK, str(tmp_path / "clock"))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def bad(found: dict[str, Any], *but: str) -> list[str]:
    """Return the checks that are bad in the newest window; coverage is what the tiny model's intervals happen to have."""
    return [name for name, one in found["checks"].items() if one["windows"][-1] and name not in ("coverage", *but)]


def test_a_sound_life_raises_no_alarm_and_every_figure_is_told(log: Path) -> None:
    found = monitored(log, sound())
    assert bad(found) == []
    assert (found["predictions"], found["outcomes"]["joined"]) == (300, 1200)
    assert found["alarm"] == bool(found["alarms"])
    assert set(found["alarms"]) <= {"coverage"}
    for name, one in found["figures"].items():
        assert one["low"] <= one["value"] <= one["high"], name
    assert [one["predictions"] for one in found["course"]] == [300] * 4
    assert found["age"] == {"model_days": 31, "data_days": 31}
    assert {one["slice"] for one in found["slices"]} >= {"grade", "zipcode_level", "age"}
    assert sum(one["rows"] for one in found["slices"] if one["slice"] == "waterfront") == 1200
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_resamples_of_the_training_data_raise_no_alarm_in_a_hundred_tries(tmp_path: Path) -> None:
    """A hundred lives of four windows each; nothing but the requests is looked at, which costs little."""
    whole = sound()
    for seed in range(100):
        drawn = np.random.default_rng(1000 + seed).integers(len(KNOWN["price"]), size=ROWS)
        one = whole.but(columns={name: values[drawn] for name, values in KNOWN.items()}, seed=seed)
        one.write(tmp_path / str(seed), outcomes=False)
        found = look(watched(), PARAMS, tmp_path / str(seed), NOW, date(2015, 2, 26))[0]
        assert found["alarms"] == [], seed


# What is asked


def test_drift_that_is_planted_in_one_feature_is_found_and_named(log: Path) -> None:
    one = sound()
    found = monitored(log, one.but(columns=one.columns | {"grade": np.minimum(one.columns["grade"] + 2, 13)}))
    assert bad(found, "prediction_drift", "outside_training", "bias", "error", "outcome_match") == ["input_drift"]
    assert "input_drift" in found["alarms"]
    said = found["checks"]["input_drift"]["said"]
    assert said.startswith("grade moved; the most grade, ")
    assert [name for name, one in found["features"].items() if one["drifted"]] == ["grade"]
    assert 'hearth_monitor_alarm{check="input_drift"} 1.0' in exposition(found, 60)
    text = page(found, templates())
    assert "An alarm is due: requests are spread otherwise" in verdict(found)
    assert "grade moved; the most grade" in text


def test_one_odd_window_is_bad_and_no_alarm(log: Path) -> None:
    one = sound()
    grade = np.where(
        one.at >= np.datetime64("2015-03-22"), np.minimum(one.columns["grade"] + 2, 13), one.columns["grade"]
    )
    found = monitored(log, one.but(columns=one.columns | {"grade": grade}))
    assert found["checks"]["input_drift"]["windows"] == [False, False, False, True]
    assert "input_drift" not in found["alarms"]


def test_an_alarm_ends_when_the_newest_window_is_sound(log: Path) -> None:
    one = sound()
    grade = np.where(
        one.at < np.datetime64("2015-03-22"), np.minimum(one.columns["grade"] + 2, 13), one.columns["grade"]
    )
    found = monitored(log, one.but(columns=one.columns | {"grade": grade}))
    assert found["checks"]["input_drift"]["windows"] == [True, True, True, False]
    assert "input_drift" not in found["alarms"]


def test_houses_outside_the_training_data_are_noticed(log: Path) -> None:
    one = sound()
    far = np.where(np.arange(ROWS) % 8 == 0, 47.1, one.columns["lat"])
    found = monitored(log, one.but(columns=one.columns | {"lat": far}))
    assert "outside_training" in found["alarms"]
    assert "lat 38" in found["checks"]["outside_training"]["said"]


def test_requests_that_break_the_contract_are_noticed(log: Path) -> None:
    sound().write(log)
    with (log / "predictions-2015-03-24-000.jsonl").open("a") as file:
        for minute in range(60):
            file.write(
                f'{{"at":"2015-03-24T23:59:{minute:02}.000+00:00","refused":422,"route":"/predict","fields":["grade"]}}\n'
            )
    found = monitored(log)
    assert bad(found) == ["refused_requests"]
    assert "60 of 360 requests broke the contract" in found["checks"]["refused_requests"]["said"]


# What was paid


@pytest.mark.parametrize("change", [1.05, 0.95])
def test_a_market_that_moved_is_seen_on_what_was_paid_though_the_requests_did_not(log: Path, change: float) -> None:
    one = sound()
    found = monitored(log, one.but(paid=np.rint(one.paid * change)))
    assert bad(found) == ["bias"]
    assert "bias" in found["alarms"]
    assert ("below" if change > 1 else "above") in found["checks"]["bias"]["said"]
    assert found["figures"]["level"]["value"] == pytest.approx(1 / change - 1, abs=0.02)


def test_a_larger_error_is_seen_though_its_mean_is_right(log: Path) -> None:
    found = monitored(log, life(release(), KNOWN, ROWS, DAYS, END, seed=2, noise=0.2))
    assert bad(found) == ["error"]


def test_before_outcomes_arrive_the_expected_error_is_told_from_the_intervals(log: Path) -> None:
    sound().write(log, outcomes=False)
    found = monitored(log)
    assert found["figures"]["error"] == {"value": None, "low": None, "high": None, "rows": 0}
    assert found["figures"]["estimated_error"]["rows"] == 300
    assert found["figures"]["estimated_error"]["value"] > 0.01
    assert found["checks"]["bias"]["windows"] == [None] * 4
    assert "too few to tell" in found["checks"]["bias"]["said"]


def test_a_new_model_does_not_answer_for_the_old_one(log: Path) -> None:
    one = sound()
    found = monitored(log, one.but(paid=np.rint(one.paid * 1.2), version="the old one"))
    assert found["outcomes"]["joined"] == 1200
    assert found["checks"]["bias"]["windows"] == [None] * 4
    assert found["checks"]["error"]["windows"] == [None] * 4


def test_shuffled_outcomes_are_noticed(log: Path) -> None:
    one = sound()
    found = monitored(log, one.but(paid=np.random.default_rng(0).permutation(one.paid)))
    assert "outcome_match" in found["alarms"]
    assert "outcomes are given to other predictions' ids" in found["checks"]["outcome_match"]["said"]


@pytest.mark.parametrize("factor", [0.45, 2.2])
def test_outcomes_in_another_unit_that_the_contract_accepts_are_noticed(log: Path, factor: float) -> None:
    one = sound()
    found = monitored(log, one.but(paid=np.rint(one.paid * factor)))
    assert "outcome_match" in found["alarms"]
    assert "are the outcomes in US dollar?" in found["checks"]["outcome_match"]["said"]


def test_outcomes_in_thousands_are_refused_and_noticed(log: Path) -> None:
    one = sound()
    found = monitored(log, one.but(paid=np.rint(one.paid / 1000)))
    assert (found["outcomes"]["joined"], found["outcomes"]["refused"]) == (0, 1200)
    assert "outcome_match" in found["alarms"]
    assert "outcomes are no price of the contract" in found["checks"]["outcome_match"]["said"]


def test_outcomes_of_another_service_are_noticed(log: Path) -> None:
    one = sound()
    one.write(log, outcomes=False)
    one.but(seed=99, version="elsewhere").write(log.parent / "other")
    for file in (log.parent / "other").glob("outcomes-*"):
        file.rename(log / file.name)
    found = monitored(log)
    assert "outcomes belong to no prediction in the log" in found["checks"]["outcome_match"]["said"]
    assert "outcome_match" in found["alarms"]


# How it is served


def test_inputs_that_are_computed_otherwise_now_are_noticed_and_named(log: Path) -> None:
    one = sound()
    one.write(log)
    assert bad(monitored(log)) == []
    for file in sorted(log.glob("predictions-*"))[-5:]:  # the service computed with a smaller living area
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        for line in lines:
            line["house"]["sqft_living"] += 1
        file.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    found = monitored(log)
    assert bad(found) == ["skew"]
    assert "sqft_living" in found["checks"]["skew"]["said"]


def test_a_model_that_is_too_old_is_noticed(log: Path) -> None:
    sound().write(log)
    old = Watched(
        Promise(release(), watched().promise.profile, 0.07, 0.4, age_max_days=20),
        watched().evaluate,
        watched().background,
    )
    found = look(old, PARAMS, log, NOW, date(2015, 2, 26))[0]
    assert found["checks"]["staleness"]["windows"] == [False, False, True, True]
    assert "staleness" in found["alarms"]
    assert "knows nothing of the last 31 days; after 20 days" in found["checks"]["staleness"]["said"]


def test_a_profile_of_another_model_is_noticed(log: Path) -> None:
    found = monitored(log, sound(), version="2014-01-01-0123456789ab")
    assert bad(found) == ["stale_profile"]
    assert "the profile describes the model 2014-01-01-0123456789ab, but" in found["checks"]["stale_profile"]["said"]
    assert "stale_profile" in found["alarms"]


def test_a_clock_that_was_set_back_is_noticed(log: Path) -> None:
    one = sound()
    jumped = one.at.copy()
    jumped[-20:] -= np.timedelta64(6, "h")
    found = monitored(log, one.but(at=jumped))
    assert bad(found) == ["clock"]
    assert "set back" in found["checks"]["clock"]["said"]


def test_a_clock_that_runs_ahead_is_noticed(log: Path) -> None:
    one = sound()
    found = monitored(log, one.but(at=np.where(np.arange(ROWS) > ROWS - 10, one.at + np.timedelta64(3, "D"), one.at)))
    assert bad(found) == ["clock"]
    assert "have not come yet" in found["checks"]["clock"]["said"]


def test_a_log_with_many_torn_lines_is_noticed(log: Path) -> None:
    sound().write(log)
    with (log / "predictions-2015-03-24-000.jsonl").open("a") as file:
        file.write('{"at":"2015-03-24T23:59:\n' * 10)
    found = monitored(log)
    assert bad(found) == ["log"]
    assert found["torn"] == 10


def test_a_candidate_in_the_shadow_is_compared_on_what_was_paid(log: Path) -> None:
    one = sound()
    price = release().predict(one.columns).price
    one.write(log)
    for file in log.glob("predictions-*"):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        for line in lines:
            line["shadow"] = {"model_version": "b", "price": line["price"] * 1.1, "low": 1.0, "high": 2.0}
        file.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    found = monitored(log)
    shadow = found["shadow"]
    assert (found["shadowed"], shadow["model_version"], shadow["rows"]) == (300, "b", 1200)
    assert shadow["difference"]["low"] > 0
    assert shadow["bias"] == pytest.approx(1.1 * float(np.mean(price / one.paid)) - 1, abs=1e-5)
    assert "priced the same houses in the shadow" in page(found, templates())


def test_too_little_says_nothing(log: Path) -> None:
    found = monitored(log, life(release(), KNOWN, 40, DAYS, END))
    told = {name: one["windows"][-1] for name, one in found["checks"].items()}
    assert told["input_drift"] is told["bias"] is told["coverage"] is told["outcome_match"] is None
    assert found["features"] == {}
    assert "too little to tell" in page(found, templates())


def test_an_empty_log_is_monitored_and_a_missing_one_refused(log: Path) -> None:
    log.mkdir()
    assert monitored(log)["predictions"] == 0
    with pytest.raises(Refusal, match="no folder; start the service"):
        look(watched(), PARAMS, log / "nowhere", NOW, date(2015, 2, 26))


# When it is looked


def looked(log: Path, moment: str, served: Watched | None = None) -> dict[str, Any]:
    until = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    return look(served or watched(), PARAMS, log, until, date(2015, 2, 26))[0]


def test_a_run_on_any_day_of_a_week_sees_the_same_weeks(log: Path) -> None:
    one = sound()
    grade = np.where(
        one.at >= np.datetime64("2015-03-15"), np.minimum(one.columns["grade"] + 2, 13), one.columns["grade"]
    )
    one.but(columns=one.columns | {"grade": grade}).write(log)
    sunday = looked(log, "2015-03-29")
    assert sunday["present"] is None
    assert "input_drift" in sunday["alarms"]
    for moment in ("2015-03-29T00:00:01", "2015-04-01T12:00:00", "2015-04-04T23:59:59"):
        later = looked(log, moment)
        assert later["window"] == sunday["window"]
        assert later["checks"]["input_drift"] == sunday["checks"]["input_drift"]
        assert later["present"] == {"from": "2015-03-29", "predictions": 0}


def test_facts_of_the_week_that_has_begun_alarm_at_once(log: Path) -> None:
    sound().write(log)
    with (log / "predictions-2015-03-28-000.jsonl").open("a") as file:  # at noon, after midnight's
        line = json.loads((log / "predictions-2015-03-28-000.jsonl").read_text().splitlines()[0])
        line["at"] = "2015-03-28T01:00:00.000+00:00"
        file.write(json.dumps(line, separators=(",", ":")) + "\n")
    found = looked(log, "2015-03-28T23:59:59.999")
    assert found["checks"]["clock"]["windows"] == [False, False, False, True]
    assert "clock" in found["alarms"]
    assert found["window"]["to"] == "2015-03-22"


def test_a_log_that_falls_silent_is_noticed(log: Path) -> None:
    sound().write(log)
    found = looked(log, "2015-04-12")
    assert found["checks"]["traffic"]["windows"] == [False, False, True, True]
    assert "traffic" in found["alarms"]
    assert "no house was priced, up to 300 a window were before" in found["checks"]["traffic"]["said"]


def test_outcomes_that_dry_up_are_noticed(log: Path) -> None:
    one = sound()
    one.but(heard=np.where(one.at < np.datetime64("2015-03-15"), one.heard, one.heard + np.timedelta64(90, "D"))).write(
        log
    )
    found = looked(log, "2015-03-29")
    assert "traffic" in found["alarms"]
    assert "no outcome was heard of, up to 300 a window were before" in found["checks"]["traffic"]["said"]


def test_a_service_in_its_first_week_is_not_called_silent(log: Path) -> None:
    life(release(), KNOWN, 60, 2, "2015-03-29", seed=2).write(log)
    found = looked(log, "2015-03-28T23:59:59.999")
    assert found["present"] == {"from": "2015-03-22", "predictions": 60}
    assert found["checks"]["traffic"]["windows"] == [None] * 4
    assert found["alarms"] == []


def test_an_empty_log_is_no_good_news(log: Path) -> None:
    log.mkdir()
    found = looked(log, "2015-03-29")
    assert found["alarms"] == ["traffic"]
    assert "is this the log of the service" in found["checks"]["traffic"]["said"]


def test_what_came_before_a_release_does_not_make_its_profile_stale(log: Path) -> None:
    sound().but(version="the one before").write(log)
    for since, bad_now in (("2015-03-20", True), ("2015-03-29", None)):
        promise = replace(watched().promise, since=np.datetime64(since, "ms"))
        found = looked(log, "2015-03-29", replace(watched(), promise=promise))
        assert found["checks"]["stale_profile"]["windows"][-1] is bad_now
        assert ("stale_profile" in found["alarms"]) == bool(bad_now)


def test_prices_that_were_tried_out_on_the_page_are_no_unknown_predictions(log: Path) -> None:
    for number, changes in enumerate(({"via": "page"}, {"route": "/explain"})):
        folder = log.parent / str(number)
        sound().but(changes=changes).write(folder)
        found = looked(folder, "2015-03-29")
        assert found["outcomes"]["unknown"] == found["outcomes"]["joined"] == 0
        assert "outcome_match" not in found["alarms"]


def test_inputs_are_computed_anew_by_the_code_that_the_promise_names(log: Path) -> None:
    """The champion's, where that differs from the monitor's (watching.py)."""
    sound().write(log)
    promise = replace(watched().promise, inputs=lambda columns: release().inputs(columns) + 1)
    found = looked(log, "2015-03-29", replace(watched(), promise=promise))
    assert "skew" in found["alarms"]
