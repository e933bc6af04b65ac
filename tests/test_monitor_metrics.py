"""What the monitor found, as Prometheus reads it; the real promtool reads it too."""

import copy
import json
import subprocess
from typing import Any

import pytest
import yaml
from conftest import PROJECT, needs
from prometheus_client.parser import text_string_to_metric_families
from samples import monitored

from hearth.errors import Refusal
from hearth.monitor_metrics import CHECKS, exposition

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(found: Samples, name: str) -> dict[tuple[str, ...], float]:
    return {tuple(v for _, v in labels): value for (key, labels), value in found.items() if key == f"hearth_{name}"}


def test_a_document_becomes_metrics() -> None:
    found = samples(exposition(monitored("bias"), 3600, failed=2))
    assert of(found, "monitor_every_seconds") == {(): 3600}
    assert of(found, "monitor_failed_total") == {(): 2}
    assert of(found, "monitor_last_run_timestamp_seconds") == {(): 1795824715.123}
    assert of(found, "monitor_predictions") == {(): 900}
    assert of(found, "monitor_alarm") == {(check,): float(check == "bias") for check in CHECKS}
    assert of(found, "monitor_bad")["bias",] == 1
    assert of(found, "monitor_value")["bias",] == -0.04
    assert of(found, "monitor_limit")["bias",] == 0.02
    assert of(found, "monitor_feature_moved") == {("grade",): 0.06, ("sqft_living",): 0.03}
    assert of(found, "monitor_feature_floor") == {("grade",): 0.05, ("sqft_living",): 0.05}
    assert of(found, "monitor_outcomes")["joined",] == 800
    assert of(found, "monitor_figure")["low", "bias"] == -0.05
    assert of(found, "monitor_age_days") == {("data",): 30, ("model",): 20}


def test_what_cannot_be_told_is_left_out_and_is_no_zero() -> None:
    document = monitored()
    document["checks"]["bias"] |= {"windows": [False, None], "value": None}
    document["checks"]["skew"]["windows"] = []
    document["figures"]["bias"] = {"value": None, "low": None, "high": None, "rows": 0}
    found = samples(exposition(document, 60))
    assert ("bias",) not in of(found, "monitor_bad") | of(found, "monitor_value")
    assert ("skew",) not in of(found, "monitor_bad")
    assert of(found, "monitor_limit")["bias",] == 0.02
    assert of(found, "monitor_alarm")["bias",] == 0
    assert not any("bias" in labels for labels in of(found, "monitor_figure"))


def test_before_the_first_good_run_there_is_no_heartbeat() -> None:
    assert {name for name, _ in samples(exposition(None, 60, 3))} == {
        "hearth_monitor_every_seconds",
        "hearth_monitor_failed_total",
    }


def test_the_same_document_gives_the_same_text_and_is_left_alone() -> None:
    document = monitored("skew")
    before = copy.deepcopy(document)
    assert exposition(document, 60) == exposition(json.loads(json.dumps(document, sort_keys=True)), 60)
    assert document == before


def changed(path: str, value: Any) -> dict[str, Any]:
    *folders, last = path.split("/")
    document = monitored()
    place = document
    for name in folders:
        place = place[name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("checks/mood", {"alarm": False, "windows": [], "value": None, "limit": None}, "the check 'mood'.*an alarm to"),
        ("checks/bias", None, "says nothing of bias"),
        ("outcomes/lost", 1, "the kind of outcome 'lost'"),
        ("figures/rmse", {"low": 1, "value": 2, "high": 3}, "the figure 'rmse'"),
        ("features", {str(n): {"moved": 0, "floor": 0} for n in range(201)}, "201 features, wanted at most 200"),
        ("at", "2026-11-28T00:11:55", "wanted a time with its offset"),
    ],
)
def test_a_document_whose_labels_are_not_bounded_or_whose_alarms_are_missing_is_refused(
    path: str, value: Any, said: str
) -> None:
    with pytest.raises(Refusal, match=said):
        exposition(changed(path, value), 60)


def test_each_check_has_one_alarm_and_the_grave_ones_page() -> None:
    groups = yaml.safe_load((PROJECT / "monitoring/rules.yml").read_text())["groups"]
    rules = {rule["expr"]: rule for group in groups for rule in group["rules"] if "monitor_alarm{" in rule["expr"]}
    assert set(rules) == {f'hearth_monitor_alarm{{check="{check}"}} == 1' for check in CHECKS}
    for check in CHECKS:
        rule = rules[f'hearth_monitor_alarm{{check="{check}"}} == 1']
        assert rule["alert"] == "Monitor" + check.title().replace("_", "")
        grave = check in {"bias", "error", "coverage", "skew"}
        assert rule["labels"] == {"severity": "page" if grave else "ticket"}


def test_promtool_reads_the_text() -> None:
    """Its only complaint is about days, which are the unit of this project's cadence."""
    program = needs("promtool", package="prometheus")
    done = subprocess.run(
        [program, "check", "metrics"], input=exposition(monitored(), 60), capture_output=True, text=True, check=False
    )
    said = done.stderr.strip() + done.stdout.strip()
    assert said == 'hearth_monitor_age_days use base unit "seconds" instead of "days"'
