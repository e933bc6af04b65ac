"""What is deployed beside the service: closed to the outside, pinned, and watching metrics that the service has."""

import json
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from conftest import PROJECT, needs
from prometheus_client.parser import text_string_to_metric_families
from samples import monitored

from hearth.counters import Counters
from hearth.monitor_metrics import exposition

DEPLOY, MONITORING = PROJECT / "deploy", PROJECT / "monitoring"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
RULES = [r for group in yaml.safe_load((MONITORING / "rules.yml").read_text())["groups"] for r in group["rules"]]
DASHBOARD = json.loads((MONITORING / "grafana/dashboards/hearth.json").read_text())


def test_compose_holds_service_store_monitor_alarms_and_dashboard() -> None:
    assert set(SERVICES) == {"service", "store", "monitor", "prometheus", "alertmanager", "grafana"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_port_is_open_on_this_machine_only(name: str) -> None:
    assert SERVICES[name]["ports"]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in SERVICES[name]["ports"])
    assert SERVICES[name].get("network_mode") is None
    assert not SERVICES[name].get("privileged")


def test_no_two_services_want_the_same_port() -> None:
    ports = [port.split(":")[1] for service in SERVICES.values() for port in service["ports"]]
    assert len(ports) == len(set(ports))


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned_by_a_full_version(name: str) -> None:
    image = SERVICES[name]["image"]
    assert (
        image.startswith("${HEARTH_IMAGE:?")
        if name == "service"
        else re.fullmatch(r"[a-z]+/[a-z-]+:v?\d+\.\d+(\.\d+)?", image)
    )


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_health_check_a_limit_and_no_new_privileges(name: str) -> None:
    service = SERVICES[name]
    assert name == "service" or "127.0.0.1" in service["healthcheck"]["test"][-1]  # the service's own is in its image
    assert service["mem_limit"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"


def test_the_service_runs_with_nothing_that_it_does_not_need() -> None:
    service = SERVICES["service"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["tmpfs"] == ["/tmp"]


def test_every_secret_comes_from_the_environment() -> None:
    """Unset secrets stop compose; an unset token stays unset, since an empty one is refused by the service."""
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("KEY|SECRET|PASSWORD", name):
                assert re.fullmatch(r"\$\{\w+:\?.+\}", value), name
    assert SERVICES["service"]["environment"] == {"HEARTH_TOKEN": None}
    assert COMPOSE["secrets"] == {"alarm_webhook": {"environment": "ALARM_WEBHOOK"}}


def test_alarms_go_to_a_webhook_whose_url_is_the_secret_that_compose_makes() -> None:
    config = yaml.safe_load((MONITORING / "alertmanager.yml").read_text())
    for route in (config["route"], *config["route"]["routes"]):
        (receiver,) = [one for one in config["receivers"] if one["name"] == route["receiver"]]
        assert receiver["webhook_configs"] == [{"url_file": "/run/secrets/alarm_webhook", "send_resolved": True}]
    assert SERVICES["alertmanager"]["secrets"] == ["alarm_webhook"]


def test_every_volume_is_declared_and_every_file_is_there() -> None:
    sources = [volume.split(":")[0] for service in SERVICES.values() for volume in service["volumes"]]
    assert {source for source in sources if not source.startswith(".")} == set(COMPOSE["volumes"])
    assert all((DEPLOY / source).exists() for source in sources if source.startswith("."))
    assert all(v.endswith(":ro") for s in SERVICES.values() for v in s["volumes"] if v.startswith("."))


def test_prometheus_asks_and_tells_services_that_are_there() -> None:
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    targets = [t for job in config["scrape_configs"] for c in job["static_configs"] for t in c["targets"]]
    targets += [t for a in config["alerting"]["alertmanagers"] for c in a["static_configs"] for t in c["targets"]]
    assert {target.split(":")[0] for target in targets} == {"service", "monitor", "127.0.0.1", "alertmanager"}
    assert all((MONITORING / name).is_file() for name in config["rule_files"])
    source = yaml.safe_load((MONITORING / "grafana/datasources/prometheus.yaml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"


# Metrics


def metrics() -> dict[str, set[str]]:
    """Return the labels of each series that the service and the monitor have, by name."""
    found: dict[str, set[str]] = {}

    class Metric:
        def labels(self, *_: str) -> "Metric":
            return self

        def set(self, _: float) -> None:
            pass

    def register(name: str, meaning: str, labels: Any = (), **more: object) -> Metric:
        found[name] = set(labels)
        if "buckets" in more:
            found[f"{name}_bucket"] = {*labels, "le"}
        return Metric()

    Counters(SimpleNamespace(Counter=register, Gauge=register, Histogram=register), "v", "2015-03-01", ["grade"])
    for family in text_string_to_metric_families(exposition(monitored(), 60)):
        for sample in family.samples:
            found[sample.name] = set(sample.labels)
    return found


METRICS = metrics()
BY_PROMETHEUS = {"job", "instance"}


def faults(expression: str) -> list[str]:
    """Return what an expression asks for that neither service nor monitor has."""
    used = re.findall(r"(hearth_\w+)(?:\{([^}]*)\})?", expression)
    wrong = [name for name, _ in used if name not in METRICS]
    labels = set(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', " ".join(inside for _, inside in used)))
    labels |= {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", expression) for label in group.split(",")}
    known = BY_PROMETHEUS.union(*(METRICS.get(name, set()) for name, _ in used))
    return wrong + sorted(labels - known)


PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> dict[str, str]:
    found = {rule["alert"]: rule["expr"] for rule in RULES}
    for rule in RULES:
        if queries := re.findall(r'query "([^"]*)"', rule["annotations"]["summary"]):
            found[f"{rule['alert']} summary"] = " and ".join(queries)
    for panel in PANELS:
        found |= {f"{panel['title']} {target['refId']}": target["expr"] for target in panel["targets"]}
    return found


@pytest.mark.parametrize("name", expressions())
def test_rules_and_dashboard_ask_for_metrics_that_are_there(name: str) -> None:
    assert faults(expressions()[name]) == []


def test_a_metric_or_label_that_nobody_has_is_found() -> None:
    assert faults('hearth_monitor_alarms{kind="bias"} == 1') == ["hearth_monitor_alarms", "kind"]
    assert faults("rate(hearth_request_total[5m])") == ["hearth_request_total"]
    assert faults('sum by (code) (hearth_requests_total{path="/x"})') == ["code", "path"]


def test_the_dashboard_shows_every_metric_and_its_panels_do_not_overlap() -> None:
    shown = " ".join(target["expr"] for panel in PANELS for target in panel["targets"])
    assert all(name in shown for name in METRICS if f"{name}_bucket" not in METRICS)
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_every_alarm_says_what_to_do_and_has_a_planted_fault() -> None:
    tests = yaml.safe_load((MONITORING / "rules_test.yml").read_text())["tests"]
    planted = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    quiet = {case["alertname"] for test in tests for case in test["alert_rule_test"] if not case["exp_alerts"]}
    assert {rule["alert"] for rule in RULES} == planted == quiet
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["for"]
        assert set(rule["annotations"]) == {"summary", "todo"}
        assert rule["labels"]["severity"] in {"page", "ticket"}


def test_the_runbook_has_a_line_for_each_alarm_and_says_the_same() -> None:
    runbook = (PROJECT / "docs/operations.md").read_text().split("\n## Alarms\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\w+) \| (\w+) \| [^|]+ \| ([^|]+) \|$", runbook, flags=re.MULTILINE)
    assert rows == [(rule["alert"], rule["labels"]["severity"], rule["annotations"]["todo"]) for rule in RULES]


def test_the_monitors_own_alarms_are_heard_while_the_service_is_down() -> None:
    (inhibited,) = yaml.safe_load((MONITORING / "alertmanager.yml").read_text())["inhibit_rules"]
    assert inhibited["target_matchers"] == ['alertname=~"Hearth.+"', 'alertname!="HearthDown"']
    about = {rule["alert"] for rule in RULES if "hearth_monitor" in rule["expr"]}
    assert about == {rule["alert"] for rule in RULES if not rule["alert"].startswith("Hearth")}


@pytest.mark.parametrize(
    "words",
    ["promtool check config monitoring/prometheus.yml", "promtool check rules monitoring/rules.yml",
     "promtool test rules monitoring/rules_test.yml"],
)  # fmt: skip
def test_prometheus_finds_its_files_good_and_each_planted_fault(words: str) -> None:
    _, *rest = words.split()
    done = subprocess.run(
        [needs("promtool", package="prometheus"), *rest], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("old", "new", "noticed"),
    [
        ("> 2 * hearth_monitor_every", "> 4 * hearth_monitor_every", "MonitorSilent"),
        ("abs(time() - hearth_monitor_last_run_timestamp_seconds)", "time() - hearth_monitor_last_run_timestamp_seconds", "MonitorSilent"),
        ("or absent(hearth_monitor_last_run_timestamp_seconds) ", "", "MonitorSilent"),
        ("or absent(hearth_monitor_every_seconds)", "", "MonitorSilent"),
        ("{check=\"bias\"} == 1\n        for: 5m", "{check=\"bias\"} == 1\n        for: 1m", "MonitorBias"),
        ("{check=\"bias\"} == 1\n        for: 5m", "{check=\"bias\"} == 1\n        for: 10m", "MonitorBias"),
        ("hearth_monitor_alarm{check=\"bias\"}", "hearth_monitor_bad{check=\"bias\"}", "MonitorBias"),
        ("increase(hearth_log_lost_total[10m])", "increase(hearth_log_lost_total[1h])", "HearthLogLoses"),
        ("increase(hearth_shadow_failed_total", "increase(hearth_shadow_total", "HearthShadowFails"),
        ("hearth_monitor_feature_drifted == 1", "hearth_monitor_feature_drifted == 0", "MonitorInputDrift"),
    ],
)  # fmt: skip
def test_a_rule_that_was_weakened_is_noticed(old: str, new: str, noticed: str, tmp_path: Path) -> None:
    program = needs("promtool", package="prometheus")
    text = (MONITORING / "rules.yml").read_text()
    assert text.count(old) == 1
    (tmp_path / "rules.yml").write_text(text.replace(old, new))
    tests = yaml.safe_load((MONITORING / "rules_test.yml").read_text())
    tests["tests"] = [t for t in tests["tests"] if noticed in {case["alertname"] for case in t["alert_rule_test"]}]
    (tmp_path / "rules_test.yml").write_text(yaml.safe_dump(tests))
    done = subprocess.run(
        [program, "test", "rules", "rules_test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    failed = set(re.findall(r"alertname: ?(\w+)", done.stdout + done.stderr))
    assert failed == {noticed}, done.stdout + done.stderr


def test_alertmanager_finds_its_file_good(tmp_path: Path) -> None:
    program = needs("amtool", package="prometheus-alertmanager")
    text = (MONITORING / "alertmanager.yml").read_text()
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    if "version 0.25" in said.stdout + said.stderr:  # Debian 12's, which knows no url_file
        text = text.replace("url_file: /run/secrets/alarm_webhook", "url: http://127.0.0.1:9")
    (tmp_path / "alertmanager.yml").write_text(text)
    done = subprocess.run(
        [program, "check-config", str(tmp_path / "alertmanager.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
