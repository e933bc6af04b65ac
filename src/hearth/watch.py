"""Run the monitor again and again, and tell Prometheus what it found, until Ctrl-C or SIGTERM."""

import signal
import sys
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

from hearth.errors import Refusal, WrongUseError
from hearth.monitor_metrics import CONTENT_TYPE, exposition

Run = Callable[[], Mapping[str, Any]]
EVERY_MAX_S = 31_536_000  # a year


def watch(run: Run, every_s: float, host: str = "127.0.0.1", port: int = 9109) -> int:
    """Call `run` every so many seconds and serve its last document at /metrics; return the exit status.

    A run that fails is counted and said once; the heartbeat stays where the last good one left it, and the next run comes
    in its time. /livez says that this process is there, /metrics whether it sees anything.
    """
    if not 0 < every_s <= EVERY_MAX_S:
        raise WrongUseError(
            f"the monitor cannot run every {every_s:g} s; take more than 0 and at most {EVERY_MAX_S}, such as 3600."
        )
    told = _Told(every_s)
    server = _listening(told, host, port)
    Thread(target=server.serve_forever, daemon=True).start()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # both end a run where it stands
    try:
        where = f"http://{host}:{server.server_port}/metrics"
        print(f"monitoring every {every_s:g} s, told at {where} (Ctrl-C stops it)", flush=True)
        while True:
            start = time.monotonic()
            told.take(run)
            Event().wait(max(0.0, start + every_s - time.monotonic()))
    except KeyboardInterrupt:
        return 0
    finally:
        signal.signal(signal.SIGTERM, before)
        server.shutdown()
        server.server_close()


class _Told:
    """Hold what /metrics says: the last good document, and how many runs failed."""

    def __init__(self, every_s: float) -> None:
        self.every_s, self.failed, self.fault = every_s, 0, ""
        self.document: Mapping[str, Any] | None = None
        self.text = exposition(None, every_s)

    def take(self, run: Run) -> None:
        """Run once; whatever goes wrong, what was known stays."""
        try:
            document = run()
            if not isinstance(document, Mapping):
                raise TypeError(f"a run gave {type(document).__name__}, wanted a document")
            self.text = exposition(document, self.every_s, self.failed)
        except Exception as error:
            self.failed += 1
            self.text = exposition(self.document, self.every_s, self.failed)
            said = str(error) if isinstance(error, Refusal) else f"{type(error).__name__}: {error}"
            if said != self.fault:
                print(f"warning: the monitor could not run: {said}", file=sys.stderr, flush=True)
            self.fault = said
        else:
            self.document, self.fault = document, ""


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that hung up; it asks again."""


def _listening(told: _Told, host: str, port: int) -> _Server:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10.0  # a client that says nothing holds a thread no longer
        server_version, sys_version = "hearth", ""

        def do_GET(self) -> None:
            pages = {"/metrics": (CONTENT_TYPE, told.text), "/livez": ("text/plain; charset=utf-8", "alive\n")}
            kind, text = pages.get(self.path.partition("?")[0], ("text/plain; charset=utf-8", ""))
            self.send_response(200 if text else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing; Prometheus asks every few seconds."""

    try:
        return _Server((host, port), Handler)
    except (OSError, OverflowError) as error:
        raise Refusal(f"the monitor cannot listen on {host}:{port} ({error}); take another with --port.") from None
