"""Forget one prediction: blank its entries, and what was told of it, in the log of the service, which may go on writing.

What is left of an entry are spaces of the same length, which readers pass over; a hash of the id stays behind, by which
`hearth monitor --outcomes` does not take it in again. Entries that wait in a server's memory while
its disk is full are not reached; /readyz says whether there are any.
Exit status 0: forgotten, 1: the log holds no such prediction, 2: wrong use.
"""

import argparse
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from hearth.delivery import FORGOTTEN, mark_of
from hearth.errors import Refusal, WrongUseError
from hearth.journal import LOG_DIR
from hearth.log_lines import part_of
from hearth.operations import absolute
from hearth.paths import LOG
from hearth.strict import loads

SETTLED_S = 0.2  # in which a line that is being written is whole; what is half a line then was torn


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the id, and where the log is."""
    parser.add_argument("id", metavar="ID", help="the prediction_id of an answer, 32 hexadecimal digits")
    parser.add_argument("--log", type=absolute, default=os.environ.get(LOG_DIR) or LOG, metavar="FOLDER",
                        help=f"folder of the log (without it: what {LOG_DIR} names, else {LOG})")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Forget, and say what was there; the answer is no if nothing was."""
    if not re.fullmatch("[0-9a-f]{32}", options.id, flags=re.ASCII):
        raise WrongUseError(f"{options.id!r} is no prediction_id, wanted 32 hexadecimal digits (0-9, a-f).")
    if not options.log.is_dir():
        raise WrongUseError(f"{options.log} is no folder, wanted that of a service's log; name it with --log.")
    found = forget(options.log, options.id)
    if not found:
        raise Refusal(
            f"{options.log} holds nothing about {options.id}; what is older than keep_days is deleted already."
        )
    for name, count in found.items():
        print(f"{name}: {count} {'entry' if count == 1 else 'entries'} forgotten")
    return 0


def forget(folder: Path, prediction_id: str) -> dict[str, int]:
    """Blank what the files of a log hold about a prediction; return how many entries in which files."""
    found = {}
    for path in sorted(folder.iterdir()):
        if part_of(path.name) is None:
            continue
        try:
            if count := _blank(path, prediction_id):
                found[path.name] = count
        except FileNotFoundError:  # it was old, and the service deleted it
            continue
        except OSError as error:
            raise WrongUseError(
                f"{path} cannot be changed ({error.strerror}); run this as the user who serves."
            ) from None
    if found:
        with (folder / FORGOTTEN).open("a") as file:
            file.write(mark_of(prediction_id) + "\n")
    return found


def _blank(path: Path, prediction_id: str) -> int:
    count, handle = 0, os.open(path, os.O_WRONLY)  # not to append: such a handle writes at the end only
    try:
        for place, line in _lines(path):
            if prediction_id.encode() in line and _is_about(line, prediction_id):
                os.pwrite(handle, b" " * len(line.rstrip(b"\n")), place)
                count += 1
        if count:
            os.fsync(handle)
    finally:
        os.close(handle)
    return count


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield each line with its place in the file; wait for the rest of a last one that is being written."""
    place = 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            yield place, line
            place += len(line)
        else:
            return
    time.sleep(SETTLED_S)
    with path.open("rb") as file:
        file.seek(place)
        for line in file.read().splitlines(keepends=True):
            yield place, line
            place += len(line)


def _is_about(line: bytes, prediction_id: str) -> bool:
    """Return whether a line that holds the id is that prediction's; a torn one is taken for its own."""
    try:
        entry = loads(line)
    except ValueError:
        return True
    return isinstance(entry, dict) and entry.get("prediction_id") == prediction_id
