"""Keep the server of a bento running in the foreground, and put a newer one in its place when there is one."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

from hearth.bento import STARTED_WITHIN_S, environment_of, ready, stop, unpack
from hearth.errors import Refusal
from hearth.journal import LOG_DIR
from hearth.signing import SIGNATURE

POLLED_EVERY_S = 1.0


@dataclass(frozen=True)
class Served:
    """Hold what is to be served: the content of a .bento file, what to call it, and its model's signature, if any."""

    name: str
    content: bytes
    signature: bytes | None = None


class _Server:
    """Be the process that serves one bento, and the folder that its files live in."""

    def __init__(self, serving: Served, host: str, port: int, log_folder: Path) -> None:
        """Unpack the bento; refuse one that is not whole, before anything is stopped for it."""
        self.serving, self.host, self.port = serving, host, port
        self.process: subprocess.Popen[bytes] | None = None
        self.told = False  # to end
        self._scratch = TemporaryDirectory(prefix="hearth-serve-")
        self._home, folder = Path(self._scratch.name, "home"), Path(self._scratch.name, "bento")
        try:
            # Unpacked here and not imported into a store first, which takes as long as half of a start.
            unpack(serving.content, serving.name, folder)
        except Refusal:
            self._scratch.cleanup()
            raise
        self._command = [sys.executable, "-m", "bentoml", "serve", str(folder), "--host", host, "--port", str(port)]
        self._environment = {LOG_DIR: str(log_folder.absolute())} | environment_of(self._home)
        if serving.signature is not None:
            signature = Path(self._scratch.name, "model.sig")
            signature.write_bytes(serving.signature)
            self._environment[SIGNATURE] = str(signature)

    def start(self) -> None:
        print(f"serving {self.serving.name} on http://{self.host}:{self.port} (Ctrl-C stops it)", flush=True)
        self.process = subprocess.Popen(self._command, env=self._environment, cwd=self._home, start_new_session=True)

    def tell_to_end(self) -> None:
        if self.process is not None and not self.told and self.process.poll() is None:
            self.told = True
            os.killpg(self.process.pid, signal.SIGTERM)

    def ended(self) -> int | None:
        """Return the exit status, or None if the process still runs a moment from now."""
        assert self.process is not None  # noqa: S101 -- start() was called
        try:
            return self.process.wait(timeout=POLLED_EVERY_S)
        except subprocess.TimeoutExpired:
            return None

    def ready(self) -> bool:
        return ready("127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host, self.port)  # noqa: S104 -- not bound

    def close(self) -> None:
        if self.process is not None:
            stop(self.process)
        self._scratch.cleanup()


def serve_forever(first: Served, host: str, port: int, log_folder: Path, newer: Callable[[], Served | None]) -> int:
    """Serve a bento in the foreground, its log on the terminal; return the server's exit status.

    `newer` is asked every second; what it returns takes the server's place, with the seconds of a start in between. If it is
    no whole bento, what is served stays; if it does not become ready, what was served comes back. What people tell the
    service is kept in `log_folder`, unless the environment names another.
    """

    def server(serving: Served) -> _Server:
        return _Server(serving, host, port, log_folder)

    keeper = _Keeper(server, first, newer)
    # One handler for all servers, there before the first: else SIGTERM would end this process and leave a server behind.
    signal.signal(signal.SIGTERM, keeper.end)
    try:
        return keeper.run()
    except KeyboardInterrupt:
        return 0
    finally:
        keeper.current.close()


class _Keeper:
    """Keep one server running, put newer ones in its place, and take back those that do not become ready."""

    def __init__(self, server: Callable[[Served], _Server], first: Served, newer: Callable[[], Served | None]) -> None:
        self.server, self.newer, self.current = server, newer, server(first)
        self.before: Served | None = None  # what comes back if the current one does not become ready
        self.deadline = 0.0
        self.ending = Event()

    def end(self, *_: object) -> None:
        self.ending.set()
        self.current.tell_to_end()

    def run(self) -> int:
        self.current.start()
        while not self.ending.is_set():
            status = self.current.ended()
            if self.ending.is_set():
                break
            following = self._following(status)
            if following is not None:
                self._put_in_place(following)
            elif status is not None:
                return status
        self.current.tell_to_end()  # if it was started in the very moment of the signal
        return self.current.process.wait() if self.current.process else 0

    def _following(self, status: int | None) -> _Server | None:
        """Return what is to take the place of the server that ended with a status, or runs (None)."""
        if self.before is None:
            return None if status is not None else self._whole(self.newer())
        if status is None and self.current.ready():
            self.before = None
        elif status is not None or time.monotonic() > self.deadline:
            said = f"warning: {self.current.serving.name} did not become ready; back to {self.before.name}"
            print(said, file=sys.stderr, flush=True)
            return self.server(self.before)
        return None

    def _whole(self, found: Served | None) -> _Server | None:
        """Return the server of a bento, not yet started; say so if the bento is not whole, and return None."""
        try:
            return None if found is None else self.server(found)
        except Refusal as refusal:
            print(f"warning: {refusal}", file=sys.stderr, flush=True)
            return None

    def _put_in_place(self, following: _Server) -> None:
        self.before = self.current.serving if self.before is None else None
        self.deadline = time.monotonic() + STARTED_WITHIN_S
        self.current.close()
        self.current = following
        if not self.ending.is_set():
            self.current.start()
