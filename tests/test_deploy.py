"""What is deployed beside the service: closed to the outside, pinned, and watching metrics that the service has."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from conftest import PROJECT

from hearth.counters import Counters

DEPLOY = PROJECT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
DASHBOARD = json.loads((DEPLOY / "grafana/dashboards/hearth.json").read_text())


def test_compose_holds_service_store_monitor_alarms_and_dashboard() -> None:
    assert set(SERVICES) == {"service", "store", "prometheus", "alertmanager", "grafana"}


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
        else re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+(\.\d+)?", image)
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


def test_every_volume_is_declared_and_every_file_is_there() -> None:
    sources = [volume.split(":")[0] for service in SERVICES.values() for volume in service["volumes"]]
    assert {source for source in sources if not source.startswith("./")} == set(COMPOSE["volumes"])
    assert all((DEPLOY / source).exists() for source in sources if source.startswith("./"))
    assert all(v.endswith(":ro") for s in SERVICES.values() for v in s["volumes"] if v.startswith("./"))


def test_prometheus_asks_and_tells_services_that_are_there() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    targets = [t for job in config["scrape_configs"] for c in job["static_configs"] for t in c["targets"]]
    targets += [t for a in config["alerting"]["alertmanagers"] for c in a["static_configs"] for t in c["targets"]]
    assert {target.split(":")[0] for target in targets} == {"service", "127.0.0.1", "alertmanager"}
    assert all((DEPLOY / name).is_file() for name in config["rule_files"])
    source = yaml.safe_load((DEPLOY / "grafana/datasources/prometheus.yaml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"


# Metrics


def metrics() -> dict[str, set[str]]:
    """Return the labels of each series that the service has, by name."""
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
    return found


METRICS = metrics()
BY_PROMETHEUS = {"job", "instance"}


def faults(expression: str) -> list[str]:
    """Return what an expression asks of the service that it does not have."""
    used = re.findall(r"(hearth_\w+)(?:\{([^}]*)\})?", expression)
    wrong = [name for name, _ in used if name not in METRICS]
    labels = set(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', " ".join(inside for _, inside in used)))
    labels |= {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", expression) for label in group.split(",")}
    known = BY_PROMETHEUS.union(*(METRICS.get(name, set()) for name, _ in used))
    return wrong + sorted(labels - known)


def expressions() -> dict[str, str]:
    rules = yaml.safe_load((DEPLOY / "rules.yml").read_text())["groups"]
    found = {rule["alert"]: rule["expr"] for group in rules for rule in group["rules"]}
    for panel in DASHBOARD["panels"]:
        found |= {f"{panel['title']} {target['refId']}": target["expr"] for target in panel["targets"]}
    return found


@pytest.mark.parametrize("name", expressions())
def test_rules_and_dashboard_ask_for_metrics_that_the_service_has(name: str) -> None:
    assert faults(expressions()[name]) == []


def test_a_metric_or_label_that_the_service_lacks_is_found() -> None:
    assert faults("rate(hearth_request_total[5m])") == ["hearth_request_total"]
    assert faults('sum by (code) (hearth_requests_total{path="/x"})') == ["code", "path"]


def test_the_dashboard_shows_every_metric_and_its_panels_do_not_overlap() -> None:
    shown = " ".join(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])
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
    rules = [rule for group in yaml.safe_load((DEPLOY / "rules.yml").read_text())["groups"] for rule in group["rules"]]
    tests = yaml.safe_load((PROJECT / "tests/alarms.yml").read_text())["tests"]
    planted = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    quiet = {case["alertname"] for test in tests for case in test["alert_rule_test"] if not case["exp_alerts"]}
    assert {rule["alert"] for rule in rules} == planted == quiet
    for rule in rules:
        assert set(rule["annotations"]) == {"summary", "todo"}
        assert rule["labels"]["severity"] in {"page", "ticket"}


@pytest.mark.parametrize(
    "words",
    ["promtool check config deploy/prometheus.yml", "promtool check rules deploy/rules.yml",
     "promtool test rules tests/alarms.yml", "amtool check-config deploy/alertmanager.yml"],
)  # fmt: skip
def test_prometheus_and_alertmanager_find_their_files_good(words: str, tmp_path: Path) -> None:
    """Skipped with a notice where their tools are not installed; `make test-image` installs them."""
    program, *rest = words.split()
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed; `make test-image` installs it")
    done = subprocess.run([program, *rest], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
