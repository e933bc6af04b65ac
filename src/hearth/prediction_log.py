"""Keep what was asked and answered: in order, durably, and beside the answering.

Who answers only appends to a queue. One thread makes lines of it and hands them to the system every few hundredths of a
second, from where they outlive a kill of this process; another one has the disk confirm them, which outlives a power
failure and may take long. A disk that takes nothing stops nobody: entries wait, and beyond a limit they are counted as lost.
"""

import atexit
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from hearth.clock import CLOCK, now
from hearth.counters import Counters
from hearth.errors import Refusal
from hearth.features import Floats
from hearth.log_files import LogFiles
from hearth.log_lines import LogParams, Priced, Refused, day_of, line_of
from hearth.shadow import Shadow

WAKE_S = 0.03  # what a kill can cost, and what a turn takes, stay far below the 100 ms that are promised
ROWS_AT_ONCE = 512  # made into lines, and priced by a shadow, before the disk gets them
BEHIND = 8 * ROWS_AT_ONCE  # a shadow that is so many houses behind is left out
log = logging.getLogger("bentoml.hearth")


class PredictionLog:
    """Write predictions to the files of a folder."""

    def __init__(self, folder: Path, params: LogParams) -> None:
        """Make the folder; refuse one that cannot be written to."""
        self.files, self.params = LogFiles(folder, params), params
        self.shadow: Shadow | None = None
        self.counters: Counters | None = None
        self.written = self.lost = 0
        self._moment = _StandIn() if os.environ.get(CLOCK) else time.time
        self._arrived: deque[Priced | Refused] = deque()
        self._lines: deque[tuple[str, bytes]] = deque()  # with the day of their file
        self._today = ""
        self._faults: dict[str, str] = {}  # by who met them
        self._lock, self._end, self._threads = Lock(), Event(), list[Thread]()

    # Called by who answers

    def priced(
        self,
        route: str,
        via: str | None,
        houses: Sequence[Mapping[str, Any]],
        answers: Sequence[Mapping[str, Any]],
        inputs: Floats | None,
    ) -> None:
        """Take answered houses; they stand in the file within a tenth of a second."""
        if self._room(len(houses)):
            at, rows = self._moment(), repeat(None) if inputs is None else inputs
            self._arrived.extend(zip(repeat(at), repeat(route), repeat(via), houses, answers, rows))

    def refused(self, route: str, status: int, fields: tuple[str, ...]) -> None:
        """Take a request that was refused."""
        if self._room(1):
            self._arrived.append(Refused(self._moment(), route, status, fields))

    def _room(self, entries: int) -> bool:
        if not self._threads:
            self.start()
        if len(self._arrived) + len(self._lines) + entries <= self.params.waiting_max:
            return True
        self._lose(entries)
        return False

    def _lose(self, entries: int) -> None:
        with self._lock:  # more than one thread answers
            self.lost += entries
        if self.counters:
            self.counters.log_lost.inc(entries)

    # The start, the end, and what is told of it

    def start(self) -> None:
        """Begin to write, in the process that answers; the first entry does it too."""
        with self._lock:
            if self._threads:
                return
            self._end = Event()
            threads = [Thread(target=_keep, args=(turn, self._end), name=name, daemon=True)
                       for name, turn in (("hearth-log", self._turn), ("hearth-log-sync", self._sync))]  # fmt: skip
            try:
                for thread in threads:
                    thread.start()
            except RuntimeError:  # the system gives no more threads; the next entry tries again
                self._end.set()
                log.exception("the prediction log cannot be written")
                return
            self._threads = threads
            atexit.register(self.close)

    def close(self) -> None:
        """Write what waits; entries that come later are taken as ever."""
        self._end.set()
        for thread in self._threads:
            thread.join(timeout=5)
        self._threads = []
        self._sync()
        atexit.unregister(self.close)

    def told(self) -> dict[str, Any]:
        """Return how the log does: whether the disk takes it, and how many entries it took, did not take, and may yet take."""
        error = self._faults.get("write") or self._faults.get("sync")
        waiting = len(self._arrived) + len(self._lines)
        return {"kept": error is None, "written": self.written, "lost": self.lost, "waiting": waiting, "error": error}

    # The threads

    def _turn(self) -> None:
        """Make lines of what arrived, and write what the disk takes."""
        while self._arrived:
            rows = [self._arrived.popleft() for _ in range(min(len(self._arrived), ROWS_AT_ONCE))]
            self._lines.extend(self._made(rows))
            self._write()
        self._write()
        if (today := day_of(moment := self._moment())) != self._today:
            self._today = today
            self.files.delete_old(moment)
        if self.counters:
            self.counters.log_waiting.set(len(self._arrived) + len(self._lines))

    def _made(self, rows: list[Priced | Refused]) -> list[tuple[str, bytes]]:
        shadowed = iter(self._shadowed([row[3] for row in rows if not isinstance(row, Refused)]))
        made = []
        for row in rows:
            shadow = None if isinstance(row, Refused) else next(shadowed, None)
            try:
                made.append((day_of(row[0]), line_of(row, shadow)))
            except Exception:  # what one entry holds must cost no other one
                log.exception("an entry cannot be written")
                self._lose(1)
        return made

    def _shadowed(self, houses: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
        if self.shadow is None or not houses:
            return []
        behind = len(self._arrived) > BEHIND
        found = [self.shadow.failed("behind")] * len(houses) if behind else self.shadow.answers(houses)
        if self.counters:
            failed = sum("error" in answer for answer in found)
            self.counters.shadow.inc(len(found) - failed)
            self.counters.shadow_failed.inc(failed)
        return found

    def _write(self) -> None:
        try:
            while self._lines:
                whole, torn = self.files.append(self._lines)
                for _ in range(whole):
                    self._lines.popleft()
                self.written += whole
                if self.counters:
                    self.counters.log_written.inc(whole)
                if torn:
                    raise OSError("it took part of an entry only")
            self._mended("write")
        except OSError as error:
            self._failed("write", error)

    def _sync(self) -> None:
        try:
            self.files.sync()
            self._mended("sync")
        except OSError as error:
            self._failed("sync", error)

    def _failed(self, who: str, error: OSError) -> None:
        said = error.strerror or str(error)
        if self._faults.get(who) != said:
            log.error("the prediction log cannot be kept, entries wait: %s", said)
        self._faults[who] = said

    def _mended(self, who: str) -> None:
        if self._faults.pop(who, None) is not None:
            log.warning("the prediction log is kept again")


def _keep(turn: Callable[[], None], end: Event) -> None:
    ended = False
    while not ended:
        ended = end.wait(WAKE_S)
        try:
            turn()
        except Exception:  # a log that ended in silence would be the worst of it
            log.exception("a turn of the prediction log failed")


class _StandIn:
    """Tell the moment that stands in for the present; where it cannot be read, the last one, since an answer must not fail.

    Not the real one: by that, all that was written so far might be so old that it is deleted.
    """

    def __init__(self) -> None:
        """Read it, and refuse one that cannot be read."""
        self._last = now().timestamp()

    def __call__(self) -> float:
        with suppress(Refusal):
            self._last = now().timestamp()
        return self._last
