"""Be the files of the prediction log: FOLDER/predictions-DAY-NNN.jsonl, begun anew by day and by size, and deleted when old."""

import logging
import os
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from hearth.journal import opened, sync_folder, writable
from hearth.log_lines import PREDICTIONS, LogParams, day_of, part_name, part_of

NUMBER_MAX = 999  # of a part; a higher one would sort before it by name
DAY_S = 86_400
log = logging.getLogger("bentoml.hearth")


class LogFiles:
    """Append lines for one thread, and confirm them for another."""

    def __init__(self, folder: Path, params: LogParams) -> None:
        """Make the folder; refuse one that cannot be written to."""
        self.folder, self.params = writable(folder, PREDICTIONS), params
        self._part = ("", 0)  # day and number of the newest
        self._unsynced: deque[Path] = deque()

    def append(self, lines: Iterable[tuple[str, bytes]]) -> tuple[int, bool]:
        """Write the first lines, each given with its day, that belong into one file; raise OSError where none can be.

        Return how many of them the file has now, and whether it has one more in part: that one is to be written again.
        """
        day, first = next(iter(lines))
        while True:
            target = self._target(day)
            # Opened each time, so that a file or folder that vanished is noticed.
            with opened(target) as (handle, size, begin):
                if size and size + len(first) > self.params.file_bytes_max and self._part[1] < NUMBER_MAX:
                    self._part = (day, self._part[1] + 1)
                    continue
                content = bytearray(begin)
                for of, line in lines:
                    full = size + len(content) + len(line) > self.params.file_bytes_max
                    if of != day or (full and len(content) > len(begin)):
                        break
                    content += line
                taken = os.write(handle, content)
            self._unsynced.append(target)
            return content.count(b"\n", 0, taken) - min(len(begin), taken), taken < len(content)

    def _target(self, day: str) -> Path:
        if self._part[0] != day:
            parts = [part_of(path.name) for path in self.folder.glob(f"{PREDICTIONS}-{day}-*")]
            self._part = max([(day, 0), *(part for part in parts if part)])
        return self.folder / part_name(*self._part)

    def sync(self) -> None:
        """Wait until what was appended is on the disk; raise OSError if it will not be."""
        for target in {self._unsynced.popleft() for _ in range(len(self._unsynced))}:
            with suppress(FileNotFoundError):  # deleted meanwhile; the next write tells if that was not meant
                handle = os.open(target, os.O_RDONLY)
                try:
                    getattr(os, "fdatasync", os.fsync)(handle)
                finally:
                    os.close(handle)
                sync_folder(self.folder)

    def delete_old(self, at: float) -> None:
        """Delete predictions and outcomes of days that are too old at a moment.

        Not where all of them are: a clock that jumped by years must not take the whole log with it.
        """
        oldest = day_of(at - self.params.keep_days * DAY_S)
        try:
            days = {path: part[0] for path in sorted(self.folder.iterdir()) if (part := part_of(path.name))}
            if days and max(days.values()) < oldest:
                log.warning(
                    "all of the log is older than %d days; is the clock right? Nothing was deleted.",
                    self.params.keep_days,
                )
                return
            for path, day in days.items():
                if day < oldest:
                    path.unlink(missing_ok=True)
                    log.info("%s is older than %d days and was deleted", path.name, self.params.keep_days)
        except OSError as error:
            log.warning("what is old in the prediction log could not be deleted: %s", error.strerror)
