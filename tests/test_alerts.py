"""Alarms for real: the shipped rules in the real Prometheus, the real Alertmanager, and a webhook that hears of them.

Only times are shortened: what takes minutes in monitoring/ takes seconds here. Everything listens on loopback.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import PROJECT, needs
from samples import houses, monitored

from hearth.bento import free_port

MONITORING = PROJECT / "monitoring"
WITHIN_S = 30  # generous: a machine under load; usually two to six


@dataclass
class Webhook:
    """Hear what Alertmanager posts, as a chat or a pager would."""

    heard: list[dict[str, Any]] = field(default_factory=list)
    news: threading.Condition = field(default_factory=threading.Condition)

    def take(self, body: bytes) -> None:
        with self.news:
            self.heard += json.loads(body)["alerts"]
            self.news.notify_all()

    def wait(self, name: str, status: str, **labels: str) -> dict[str, Any]:
        """Take the first alert of this name and status out of what is heard, once it is there."""

        def found() -> dict[str, Any] | None:
            for place, alert in enumerate(self.heard):
                if alert["labels"]["alertname"] == name and alert["status"] == status:
                    del self.heard[place]
                    return alert
            return None

        start = time.monotonic()
        with self.news:
            while not (alert := found()):
                left = start + WITHIN_S - time.monotonic()
                if left < 0 or not self.news.wait(left):
                    pytest.fail(f"{name} was not {status} within {WITHIN_S} s; heard: {self.heard}")
        assert labels.items() <= alert["labels"].items()
        print(f"{name} {status} after {time.monotonic() - start:.1f} s")
        return alert


@contextmanager
def listening() -> Iterator[tuple[str, Webhook]]:
    webhook = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            webhook.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", free_port()), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", webhook
        server.shutdown()


def replaced(text: str, **patterns: tuple[str, str]) -> str:
    """Return the text with each pattern replaced; fail where one is not there."""
    for name, (pattern, new) in patterns.items():
        text, count = re.subn(pattern, new, text)
        assert count, f"nothing to replace for {name}"
    return text


def in_seconds(rules: str) -> str:
    """Return the shipped rules with the same expressions and words, and seconds for minutes."""
    quick = replaced(rules, patience=(r"\bfor: \w+", "for: 1s"), window=(r"\[\d+[mhd]\]", "[3s]"))
    before, after = yaml.safe_load(rules), yaml.safe_load(quick)
    assert [r["alert"] for g in before["groups"] for r in g["rules"]] == [
        r["alert"] for g in after["groups"] for r in g["rules"]
    ]
    return quick


class Watched:
    """Be the two processes that are watched, the two that watch, and the webhook."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        """Start them all at once, and wait for each: Prometheus alone takes five seconds to see whom it is to ask."""
        self.folder, self.stack = folder, stack
        prometheus, alertmanager = needs("prometheus"), needs("prometheus-alertmanager")
        self.fault, self.document = folder / "fault", folder / "monitor.json"
        self.find()
        url, self.webhook = stack.enter_context(listening())
        ports = {name: free_port() for name in ("service", "monitor", "prometheus", "alertmanager")}
        local = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        self.address, self.prometheus = f"http://{local['service']}", f"http://{local['prometheus']}"
        self._configure(local, url)
        self.start(
            "prometheus", prometheus, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb",
            f"--web.listen-address={local['prometheus']}",
        )  # fmt: skip
        self.start(
            "alertmanager", alertmanager, f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/am",
            f"--web.listen-address={local['alertmanager']}", "--cluster.listen-address=",
        )  # fmt: skip
        script = [sys.executable, str(PROJECT / "tests/standin.py")]
        self.service = self.start("service", *script, "service", str(ports["service"]), str(self.fault))
        self.monitor = self.start("monitor", *script, "monitor", str(ports["monitor"]), str(self.document))
        within(lambda: got(f"http://{local['alertmanager']}/-/ready"), "Alertmanager is ready")
        within(lambda: got(f"{self.prometheus}/-/ready"), "Prometheus is ready")
        within(self.well, "both are asked, each rule is held to what they say, and nothing is due")
        self.webhook.heard.clear()  # that both were silent before their first answers, and no longer are

    def _configure(self, local: dict[str, str], url: str) -> None:
        """Write the shipped files with other addresses and seconds for minutes."""
        (self.folder / "rules.yml").write_text(in_seconds((MONITORING / "rules.yml").read_text()))
        config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
        config["global"] = dict.fromkeys(config["global"], "500ms")
        places = {"hearth": "service"}
        for job in config["scrape_configs"]:
            name = places.get(job["job_name"], job["job_name"])
            job["static_configs"] = [{"targets": [local[name]]}]
        config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [local["alertmanager"]]}]}]
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        text = replaced(
            (MONITORING / "alertmanager.yml").read_text(),
            receiver=(r"url_file: \S+", f"url: {url}"),  # Debian 12's Alertmanager knows no url_file
            patience=(r"group_wait: \w+", "group_wait: 0s"),
            interval=(r"group_interval: \w+", "group_interval: 1s"),
        )
        (self.folder / "alertmanager.yml").write_text(text)

    def start(self, name: str, *command: str) -> "subprocess.Popen[bytes]":
        log = self.stack.enter_context((self.folder / f"{name}.log").open("wb"))
        environment = os.environ | {"PYTHONPATH": f"{PROJECT / 'src'}{os.pathsep}{PROJECT / 'tests'}"}
        process = subprocess.Popen(command, env=environment, cwd=self.folder, stdout=log, stderr=log)
        self.stack.callback(process.wait, timeout=10)
        self.stack.callback(process.kill)
        return process

    def find(self, *alarms: str) -> None:
        """Let the monitor find these alarms from its next run on."""
        partial = self.folder / "partial.json"
        partial.write_text(json.dumps(monitored(*alarms)))
        partial.replace(self.document)

    def price(self) -> int:
        """Ask the service for a price; return the status, 0 if there is nobody."""
        body = json.dumps(houses(1)[0]).encode()
        request = urllib.request.Request(f"{self.address}/predict", body, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except OSError:
            return 0

    def ask(self, what: str) -> Any:
        with urllib.request.urlopen(f"{self.prometheus}/api/v1/{what}", timeout=5) as answer:
            return json.load(answer)["data"]

    def firing(self) -> set[str]:
        return {alert["labels"]["alertname"] for alert in self.ask("alerts")["alerts"]}

    def well(self) -> bool:
        up = [target["health"] for target in self.ask("targets")["activeTargets"]]
        rules = [rule["health"] for group in self.ask("rules")["groups"] for rule in group["rules"]]
        heard = Counter(alert["status"] for alert in list(self.webhook.heard))
        return {*up, *rules} == {"up", "ok"} and not self.firing() and heard["firing"] == heard["resolved"]


def got(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def within(good: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not good():
        assert time.monotonic() < deadline, f"not within {WITHIN_S} s: {what}"
        time.sleep(0.1)


@contextmanager
def customers(price: Callable[[], int]) -> Iterator[set[int]]:
    """Let somebody ask for prices all the while; give the statuses that they got."""
    seen, end = set[int](), threading.Event()

    def ask() -> None:
        while not end.wait(0.1):
            seen.add(price())

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield seen
    finally:
        end.set()
        asking.join()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with ExitStack() as stack:
        yield Watched(tmp_path_factory.mktemp("alerts"), stack)


def test_a_service_that_fails_is_heard_of_and_so_is_its_end(watched: Watched) -> None:
    with customers(watched.price) as seen:
        within(lambda: seen == {200}, "prices are given")
        watched.fault.touch()
        alert = watched.webhook.wait("HearthFails", "firing", severity="page")
        assert re.fullmatch(r"\d+(\.\d+)?% of the requests fail .*", alert["annotations"]["summary"])
        assert alert["annotations"]["todo"]
        watched.fault.unlink()
        watched.webhook.wait("HearthFails", "resolved")
        assert seen == {200, 500}
    assert watched.webhook.heard == []  # of nothing else


def test_what_the_monitor_finds_is_heard_of_and_so_is_its_end(watched: Watched) -> None:
    watched.find("bias", "input_drift")
    watched.webhook.wait("MonitorBias", "firing", severity="page", check="bias")
    watched.find("input_drift")
    watched.webhook.wait("MonitorBias", "resolved")
    assert watched.firing() == {"MonitorInputDrift"}
    watched.webhook.wait("MonitorInputDrift", "firing", severity="ticket")
    watched.find()
    alert = watched.webhook.wait("MonitorInputDrift", "resolved", severity="ticket")
    assert alert["annotations"]["summary"].endswith(": grade.")  # the one of two features that moved
    assert watched.webhook.heard == []


def test_a_monitor_whose_runs_fail_is_silent_until_one_goes_well(watched: Watched) -> None:
    """Its process lives and answers; nothing but the heartbeat tells."""
    watched.document.write_text("{")
    watched.webhook.wait("MonitorSilent", "firing", severity="page")
    assert watched.monitor.poll() is None
    watched.find()
    watched.webhook.wait("MonitorSilent", "resolved")
    assert watched.webhook.heard == []
    said = (watched.folder / "monitor.log").read_text()
    assert said.count("warning: the monitor could not run: JSONDecodeError") == 1


def test_a_monitor_and_a_service_that_are_killed_are_both_heard_of(watched: Watched) -> None:
    watched.monitor.kill()
    watched.service.kill()
    watched.webhook.wait("HearthDown", "firing", severity="page")
    watched.webhook.wait("MonitorSilent", "firing", severity="page")
    assert watched.firing() == {"HearthDown", "MonitorSilent"}
    assert watched.webhook.heard == []
