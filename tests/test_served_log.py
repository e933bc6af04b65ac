"""Serve a tiny bento with the real server, and see what stands in the log after a kill, an end, and on a full disk."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from bento_of import tiny_bento, write_release
from samples import contract, facts, houses, release, release_files

from hearth.bento import environment_of, served, unpack
from hearth.journal import LOG_DIR, Entries
from hearth.release import open_release
from hearth.request import columns_of
from hearth.shadow import SHADOW

HOUSES = houses(40, seed=5)
BODIES = [json.dumps(house).encode() for house in HOUSES]
PROMISED_S = 0.1  # that a kill costs at most
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def bento(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tiny bento, whose log is soon full and often begun anew."""
    return tiny_bento(tmp_path_factory.mktemp("bento") / "tiny.bento", file_bytes_max=200_000, waiting_max=1000)


class Client:
    """Ask over one connection at a time, and remember when which answer came."""

    def __init__(self, address: str) -> None:
        """Know where; the connection is made when it is needed."""
        self.line = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
        self.answered: list[tuple[float, str]] = []

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> Any:
        """Return the answer's body, as JSON if it is."""
        self.line.request("GET" if body is None else "POST", path, body, JSON | headers)
        answer = self.line.getresponse()
        content = answer.read()
        assert answer.status == 200, content
        found = json.loads(content) if answer.getheader("content-type") == "application/json" else content.decode()
        self.answered += [] if body is None else [(time.time(), found["prediction_id"])]
        return found

    def ask_until(self, done: threading.Event) -> None:
        """Ask for prices until it is over, or until nobody answers."""
        while not done.is_set():
            try:
                self.ask("/predict", BODIES[len(self.answered) % len(BODIES)])
            except (OSError, http.client.HTTPException):
                break
        self.line.close()


@pytest.fixture
def talker() -> Iterator[Callable[[str], Client]]:
    """Return what makes a client whose connection is closed in the end."""
    made: list[Client] = []

    def client(address: str) -> Client:
        made.append(Client(address))
        return made[-1]

    yield client
    for one in made:
        one.line.close()


def until(said: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def logged(folder: Path) -> list[dict[str, Any]]:
    return list(Entries(folder, "predictions"))


def test_a_kill_costs_at_most_what_is_promised(bento: Path, tmp_path: Path) -> None:
    """Four clients ask as fast as they can; the server is killed in the middle of it."""
    with served(bento, {LOG_DIR: str(tmp_path)}) as (address, server):
        clients, done = [Client(address) for _ in range(4)], threading.Event()
        with ThreadPoolExecutor(4) as threads:
            for client in clients:
                threads.submit(client.ask_until, done)
            time.sleep(3)
            killed = time.time()
            os.killpg(server.pid, signal.SIGKILL)
            done.set()
    entries = Entries(tmp_path, "predictions")
    found = [entry["prediction_id"] for entry in entries]
    assert entries.torn <= 1
    assert len(set(found)) == len(found) > 500
    missing = [killed - at for client in clients for at, one in client.answered if one not in set(found)]
    assert max(missing, default=0.0) <= PROMISED_S
    places = {one: place for place, one in enumerate(found)}
    for client in clients:
        own = [places[one] for _, one in client.answered if one in places]
        assert own == sorted(own)
        assert own == list(dict.fromkeys(own))
        kept = [one in places for _, one in client.answered]
        assert kept == sorted(kept, reverse=True)  # what is missing is the end
    days = {path.name[12:22] for path in tmp_path.iterdir()}
    assert len(list(tmp_path.iterdir())) > len(days)  # the parts were begun anew by their size


def test_told_to_end_under_load_it_loses_nothing(bento: Path, tmp_path: Path) -> None:
    with served(bento, {LOG_DIR: str(tmp_path)}) as (address, server):
        clients, done = [Client(address) for _ in range(3)], threading.Event()
        with ThreadPoolExecutor(3) as threads:
            for client in clients:
                threads.submit(client.ask_until, done)
            time.sleep(1.5)
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=20)
            done.set()
    found = {entry["prediction_id"] for entry in logged(tmp_path)}
    answered = [one for client in clients for _, one in client.answered]
    assert len(answered) > 200
    assert [one for one in answered if one not in found] == []


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root may mount a small disk; tests/test_prediction_log.py needs none"
)
def test_on_a_full_disk_it_serves_and_counts_and_writes_on_once_there_is_room(
    bento: Path, tmp_path: Path, talker: Callable[[str], Client]
) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this root may not mount")
    try:
        with served(bento, {LOG_DIR: str(tmp_path)}) as (address, _):
            client = talker(address)
            for number in range(1300):
                client.ask("/predict", BODIES[number % len(BODIES)])
            told = client.ask("/readyz")
            assert told["ready"] is True
            assert (told["log"]["kept"], told["log"]["error"]) == (False, "No space left on device")
            assert told["log"]["lost"] > 0
            assert sum(told["log"][key] for key in ("written", "lost", "waiting")) == 1300
            assert f"hearth_log_lost_total {float(told['log']['lost'])}" in client.ask("/metrics")
            subprocess.run(["mount", "-o", "remount,size=20m", str(tmp_path)], check=True)
            until(lambda: client.ask("/readyz")["log"]["kept"] and not client.ask("/readyz")["log"]["waiting"])
            client.ask("/predict", BODIES[0])
            until(lambda: client.ask("/readyz")["log"]["written"] == 1301 - told["log"]["lost"])
            metrics = client.ask("/metrics")
            assert f"hearth_log_written_total {float(1301 - told['log']['lost'])}" in metrics
            assert "hearth_log_waiting 0.0" in metrics
        found = [entry["prediction_id"] for entry in logged(tmp_path)]
        answered = [one for _, one in client.answered]
        assert found == [*answered[: len(found) - 1], answered[-1]]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_the_declared_routes_are_logged_too_and_golden_answers_are_not(bento: Path, tmp_path: Path) -> None:
    """BentoML's own routes are reached in their process only; at its end the rest of the log is written there too."""
    unpack(bento.read_bytes(), bento.name, tmp_path / "bento")
    about = tmp_path / "bento/src/about.json"
    document = json.loads(about.read_text())
    golden = columns_of(HOUSES[:1], contract(), release().facts.as_of)
    price = release().predict(golden).price.item()
    document["golden"] = [{"request": BODIES[0].decode(), "answer": {"price": price}}]
    about.write_text(json.dumps(document))
    script = (
        "import asyncio, json, sys\nimport service\n"
        "made, kind = service.HousePrices.inner(), service.HousePrices.inner\n"
        "House = kind.predict.func.__annotations__['house']\n"
        "houses = [House(**one) for one in json.loads(sys.argv[1])]\n"
        "print(asyncio.run(kind.predict.func(made, houses[0])).prediction_id)\n"
        "print(*(a.prediction_id for a in asyncio.run(kind.predict_batch.func(made, houses)).predictions), sep='\\n')\n"
        "print(asyncio.run(kind.explain.func(made, houses[1])).prediction_id)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, json.dumps(HOUSES[:3])],
        cwd=tmp_path / "bento/src",
        env=environment_of(tmp_path / "home") | {LOG_DIR: str(tmp_path / "log")},
        capture_output=True,
        text=True,
        check=True,
    )
    found = logged(tmp_path / "log")
    assert [entry["prediction_id"] for entry in found] == done.stdout.split()
    assert [entry["route"] for entry in found] == ["/predict", *["/predict_batch"] * 3, "/explain"]
    assert [entry["house"] for entry in found] == [HOUSES[0], *HOUSES[:3], HOUSES[1]]


# The shadow


def candidate() -> dict[str, bytes]:
    return release_files(index=facts().index.model_copy(update={"slope": 0.002}), rows=399)


def test_a_shadow_prices_what_is_asked_and_nobody_sees_it(
    bento: Path, tmp_path: Path, talker: Callable[[str], Client]
) -> None:
    folder = write_release(tmp_path / "candidate", candidate())
    shadow = open_release(candidate(), "candidate")
    with served(bento, {LOG_DIR: str(tmp_path / "log"), SHADOW: str(folder)}) as (address, _):
        client = talker(address)
        assert client.ask("/readyz")["shadow"] == {"model_version": shadow.manifest.model_version}
        answers = [client.ask("/predict", body) for body in BODIES]
        assert all(set(a) == {"prediction_id", "price", "low", "high", "model_version", "warnings"} for a in answers)
        until(lambda: f"hearth_shadow_total {float(len(BODIES))}" in client.ask("/metrics"))
    expected = shadow.predict(columns_of(HOUSES, contract(), shadow.facts.as_of))
    found = logged(tmp_path / "log")
    assert [entry["shadow"] for entry in found] == [
        {"model_version": shadow.manifest.model_version, "price": price, "low": low, "high": high}
        for price, low, high in zip(expected.price, expected.low, expected.high, strict=True)
    ]
    assert [entry["price"] for entry in found] == [answer["price"] for answer in answers]
    assert {entry["model_version"] for entry in found} == {release().manifest.model_version}


def spoilt() -> dict[str, bytes]:
    files = candidate()
    return files | {"model.onnx": files["model.onnx"][:-1]}


@pytest.mark.parametrize(
    ("files", "environment", "said"),
    [
        (spoilt(), {}, "the shadow/model.onnx has the sha256"),
        (candidate(), {LOG_DIR: ""}, "a shadow's answers go to the log, and HEARTH_LOG_DIR is not set"),
        (None, {}, "its folder is not a folder"),
    ],
    ids=["damaged", "no log", "no folder"],
)
def test_a_bad_shadow_stops_nothing_and_is_told_of(
    bento: Path,
    tmp_path: Path,
    talker: Callable[[str], Client],
    files: dict[str, bytes] | None,
    environment: dict[str, str],
    said: str,
) -> None:
    if files is not None:
        write_release(tmp_path / "candidate", files)
    named = {LOG_DIR: str(tmp_path / "log"), SHADOW: str(tmp_path / "candidate")} | environment
    with served(bento, named) as (address, _):
        client = talker(address)
        told = client.ask("/readyz")
        assert said in told["shadow"]["error"]
        assert str(tmp_path) not in json.dumps(told)
        assert client.ask("/predict", BODIES[0])["price"] > 0
    assert not any("shadow" in entry for entry in logged(tmp_path / "log"))
