"""The monitor's loop: it tells, it survives a bad run, its heartbeat does not lie, and it ends when it is told."""

import http.client
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import PROJECT
from samples import monitored

from hearth.bento import free_port
from hearth.errors import Refusal, WrongUseError
from hearth.monitor_metrics import CONTENT_TYPE, exposition
from hearth.watch import watch


def read(port: int, path: str = "/metrics") -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.headers["content-type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["content-type"], error.read().decode()


def lived(port: int, *runs: Callable[[], Any]) -> list[str]:
    """Watch with these runs, one after the other, then Ctrl-C; return what /metrics said when each began, and at the end."""
    said: list[str] = []
    left = iter(runs)

    def run() -> Any:
        said.append(read(port)[2])
        if (following := next(left, None)) is None:
            raise KeyboardInterrupt
        return following()

    assert watch(run, 0.01, port=port) == 0
    return said


def fails() -> Any:
    raise Refusal("no log here; start the service first.")


def test_each_good_run_is_told_and_ctrl_c_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    port, later = free_port(), monitored() | {"at": "2026-11-28T01:00:00+00:00"}
    assert lived(port, lambda: monitored("bias"), lambda: later) == [
        exposition(None, 0.01), exposition(monitored("bias"), 0.01), exposition(later, 0.01)
    ]  # fmt: skip
    with pytest.raises(urllib.error.URLError, match="refused"):
        read(port)
    told = capsys.readouterr()
    assert told.out == f"monitoring every 0.01 s, told at http://127.0.0.1:{port}/metrics (Ctrl-C stops it)\n"
    assert told.err == ""


def test_a_run_that_fails_is_counted_said_once_and_moves_no_heartbeat(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever it fails with, a document that cannot be told included."""
    runs = (monitored, fails, fails, dict, lambda: None, monitored, fails)
    said = lived(free_port(), *runs)
    counts = [0, 0, 1, 2, 3, 4, 4, 5]
    assert said == [exposition(monitored() if n else None, 0.01, failed) for n, failed in enumerate(counts)]
    warnings = capsys.readouterr().err.splitlines()
    refused = "warning: the monitor could not run: no log here; start the service first."
    assert warnings[0] == warnings[-1] == refused  # again, since it went well in between
    assert warnings[1:-1] == [
        "warning: the monitor could not run: KeyError: 'checks'",
        "warning: the monitor could not run: TypeError: a run gave NoneType, wanted a document",
    ]


def test_a_run_that_is_told_to_end_ends_the_watch() -> None:
    """A retraining turns SIGTERM into this, so that it ends tidily; the watch must not go on after it."""

    def ends() -> Any:
        sys.exit(143)

    with pytest.raises(SystemExit) as ended:
        watch(ends, 60, port=free_port())
    assert ended.value.code == 143


def test_only_metrics_and_livez_are_answered_and_the_next_run_comes_in_its_time() -> None:
    port, starts = free_port(), list[float]()

    def run() -> Any:
        starts.append(time.monotonic())
        if len(starts) == 3:
            assert read(port)[:2] == (200, CONTENT_TYPE)
            assert read(port, "/livez") == (200, "text/plain; charset=utf-8", "alive\n")
            assert read(port, "/metrics?x=1")[0] == 200
            assert read(port, "/")[0] == read(port, "/metrics/../livez")[0] == 404
            raise KeyboardInterrupt
        time.sleep(0.15)
        return monitored()

    watch(run, 0.2, port=port)
    gaps = [later - before for before, later in itertools.pairwise(starts)]
    assert min(gaps) > 0.19
    assert min(gaps) < 0.3, gaps  # the run's own time is no part of the wait


def test_a_client_that_hangs_up_or_talks_nonsense_does_not_stop_it(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()

    def run() -> Any:
        for sent in (b"", b"\x00\xff\r\n\r\n", b"GET /metrics HTTP/1.1\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not an end
                client.sendall(sent)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("POST", "/metrics", b"{}")
        assert connection.getresponse().status == 501
        connection.close()
        assert read(port)[0] == 200
        raise KeyboardInterrupt

    assert watch(run, 1, port=port) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("every", [0, -1, float("nan"), float("inf"), 1e12])
def test_an_interval_that_is_none_is_wrong_use(every: float) -> None:
    with pytest.raises(WrongUseError, match=r"cannot run every .* such as 3600"):
        watch(monitored, every, port=free_port())


def test_a_port_that_is_taken_is_refused_before_anything_runs() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(Refusal, match=r"cannot listen on 127\.0\.0\.1:\d+ .*--port"):
            watch(fails, 1, port=other.getsockname()[1])


LONG = """
import time
from hearth.watch import watch
def run():
    try:
        print("running", flush=True)
        time.sleep(60)
    finally:
        print("cleaned up", flush=True)
raise SystemExit(watch(run, 60, port={port}))
"""


@pytest.fixture
def running() -> Iterator["subprocess.Popen[str]"]:
    environment = os.environ | {"PYTHONPATH": str(PROJECT / "src")}
    process = subprocess.Popen(
        [sys.executable, "-c", LONG.format(port=free_port())],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout
    with process:
        while "running" not in process.stdout.readline():
            pass
        yield process
        process.kill()


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_in_the_middle_of_a_run(running: "subprocess.Popen[str]", sign: int) -> None:
    running.send_signal(sign)
    out, _ = running.communicate(timeout=10)
    assert (running.returncode, out) == (0, "cleaned up\n")


def test_the_callers_own_handler_comes_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    lived(free_port())
    assert signal.getsignal(signal.SIGTERM) is before
