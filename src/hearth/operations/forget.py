"""Forget a prediction in the log, or a record in all future versions of the data.

`hearth forget ID` blanks the entries of a prediction, and what was told of it, in the log of the service, which may go on writing.
What is left of an entry are spaces of the same length, which readers pass over; a hash of the id stays behind, by which
`hearth monitor --outcomes` does not take it in again. Entries that wait in a server's memory while
its disk is full are not reached; /readyz says whether there are any.

`hearth forget id=7129300520 date=2014-10-13` puts a record of the table, by its key columns, on the list data/forgotten.txt, which
`collect` leaves out from the next run on; without the time it is all records of that key. It says which tables and older versions
still hold it, and changes none of them. --dry-run changes nothing at all.
Exit status 0: forgotten, 1: nothing here knows it, 2: wrong use.
"""

import argparse
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hearth import delivery
from hearth.contract import parse_contract
from hearth.delivery import mark_of as id_mark
from hearth.errors import Refusal, WrongUseError
from hearth.forgotten import is_on, mark_of, parse_key, parse_marks, with_mark
from hearth.journal import LOG_DIR
from hearth.log_lines import part_of
from hearth.operations import absolute
from hearth.paths import CONTRACT, FORGOTTEN, LOG
from hearth.storage import read_text, read_yaml, write_text
from hearth.strict import loads
from hearth.versions import HERE, SHORT, Version, here, is_shallow, older

SETTLED_S = 0.2  # in which a line that is being written is whole; what is half a line then was torn


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take what is to be forgotten, and where the log is."""
    parser.add_argument("key", nargs="+", metavar="KEY", help="the prediction_id of an answer, 32 hexadecimal digits, or a record "
                        "of the table as COLUMN=VALUE for each key column")  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="of a record, only say what would be done")
    parser.add_argument("--unseen", action="store_true", help="forget a record that no table here knows")
    parser.add_argument("--log", type=absolute, default=os.environ.get(LOG_DIR) or LOG, metavar="FOLDER",
                        help=f"folder of the log (without it: what {LOG_DIR} names, else {LOG})")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Forget, and say what was there; the answer is no if nothing was."""
    if any("=" in word for word in options.key):
        return _record(options)
    if len(options.key) > 1 or not re.fullmatch("[0-9a-f]{32}", options.key[0], flags=re.ASCII):
        raise WrongUseError(f"{' '.join(options.key)!r} is no prediction_id, wanted 32 hexadecimal digits (0-9, a-f), and no record, "
                            "wanted COLUMN=VALUE.")  # fmt: skip
    if options.dry_run or options.unseen:
        raise WrongUseError("--dry-run and --unseen are for records (COLUMN=VALUE); a prediction is there or not.")
    if not options.log.is_dir():
        raise WrongUseError(f"{options.log} is no folder, wanted that of a service's log; name it with --log.")
    found = forget(options.log, options.key[0])
    if not found:
        raise Refusal(
            f"{options.log} holds nothing about {options.key[0]}; what is older than keep_days is deleted already."
        )
    for name, count in found.items():
        print(f"{name}: {count} {'entry' if count == 1 else 'entries'} forgotten")
    return 0


def _record(options: argparse.Namespace) -> int:
    """Put a record on the list, and say which tables and versions still hold it."""
    contract = parse_contract(read_yaml(CONTRACT), str(CONTRACT))
    try:
        key = parse_key(options.key, contract)
    except ValueError as error:
        raise WrongUseError(f"{error}.") from None
    listed = is_on(key, contract, parse_marks(_list(), contract, str(FORGOTTEN)))
    tables, past = here(key, contract), older(key, contract, _looking)
    said = " ".join(f"{name}={value}" for name, value in key.items())
    print("\n".join(told(said, tables, past)))
    if is_shallow():
        print("This clone is shallow: older versions are not seen in it; `git fetch --unshallow --tags` brings them.")
    if not (tables or any(version.rows for version in past) or listed or options.unseen):
        unread = f" ({len(past)} older tables cannot be read here)" if past else ""
        raise Refusal(f"no table here has {said}{unread}, so nothing was changed. Check the key; if the source may deliver it all the "
                      "same, --unseen puts it on the list.")  # fmt: skip
    if listed or options.dry_run:
        print(
            f"{said} is on the list {FORGOTTEN} already"
            if listed
            else f"nothing is changed; without --dry-run {said} is forgotten"
        )
        return 0
    write_text(FORGOTTEN, with_mark(_list(), mark_of(key, contract)))  # read anew: the search took a while
    print(f"{said} is on the list {FORGOTTEN} now; `dvc repro`, and commit the list with dvc.lock: from then on no version has it.\n"
          "Taking its line away undoes this. Predictions know no keys: forget them by their ids.")  # fmt: skip
    return 0


def _list() -> str:
    return read_text(FORGOTTEN) if FORGOTTEN.is_file() else ""


def _looking(what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[Klooking into {what}", end="\r", file=sys.stderr)


def told(said: str, tables: Mapping[str, int], past: Sequence[Version]) -> list[str]:
    """Return what a terminal is told of where a record is, and how the older versions are got rid of."""
    made = set(map(str, HERE))
    lines = [f"{path}: {_count(rows)}" + (", until the next `dvc repro`" if path in made else ", which is its owner's to take out")
             for path, rows in tables.items()]  # fmt: skip
    held = [version for version in past if version.rows]
    for version in held:
        lines.append(f"{version.path} of {_which(version)}: {_count(version.rows or 0)}")
        lines += [f"    lies in {place}" for place in version.places]
    for version in (version for version in past if not version.rows):
        lines.append(f"{version.path} of {_which(version)}: may have it, and cannot be searched: {version.why}")
        lines += [f"    lies in {place}" for place in version.places]
    if not (tables or held):
        lines.append(f"no table that can be read here has {said}")
    if held:
        lines += [f"These versions keep {said} until their objects are deleted, in the cache and on each remote: the files that are named",
                  "above, by `rm` or the remote's own tool. Their commits then have no such table any more; models and figures stay.",
                  "Models that were fitted on it are another matter: docs/operations.md, Forget."]  # fmt: skip
    return lines


def _count(rows: int) -> str:
    return f"{rows:,} row" + ("" if rows == 1 else "s")


def _which(version: Version) -> str:
    """Return the refs and the number of commits that have a version of a table."""
    commits = (
        f"{version.commits[-1][:SHORT]}"
        if len(version.commits) == 1
        else f"{len(version.commits)} commits ({version.commits[-1][:SHORT]} to {version.commits[0][:SHORT]})"
    )
    return ", ".join([*version.names, commits])


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
        with (folder / delivery.FORGOTTEN).open("a") as file:
            file.write(id_mark(prediction_id) + "\n")
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
