"""Scan the data and what is made of it for people: e-mail addresses, phone numbers, names, and what private columns hold.

It reads the raw, validated and prepared tables, models, metrics, reports and the prediction log, as far as they are here. Nothing
is shown but a mask. What stands in data/cards.yaml and data/contract.yaml is meant to be read, and no finding.
Exit status 0: nothing was found, 1: something was, or a file cannot be read, 2: wrong use.
"""

import argparse
import json
import os
from pathlib import Path

from hearth.contract import parse_contract
from hearth.errors import WrongUseError
from hearth.journal import LOG_DIR
from hearth.operations import absolute
from hearth.paths import CARDS, CONTRACT, LOG, METRICS, MODEL, RAW, TRAIN, VALIDATED
from hearth.privacy import CONTENT, Finding
from hearth.scanning import scan
from hearth.storage import read_text, read_yaml

DERIVED = (VALIDATED.parent, TRAIN.parent, MODEL.parent, METRICS.parent)
STEPS = (
    "In a table: give the column the role identifier or sensitive in data/contract.yaml, and `dvc repro`. In the log: `hearth "
    "forget ID`, and ask who sends it. In what is written for people: take it out where it comes from, data/cards.yaml for one."
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take other places than the project's, the folder of the log, and how to tell."""
    parser.add_argument("paths", nargs="*", type=absolute, metavar="PATH", help="scan these files and folders only")
    parser.add_argument("--log", type=absolute, default=os.environ.get(LOG_DIR) or LOG, metavar="FOLDER",
                        help=f"folder of the log (without it: what {LOG_DIR} names, else {LOG})")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(options: argparse.Namespace) -> int:
    """Scan and tell; the answer is no if anything was found."""
    for path in options.paths:
        if not path.exists():
            raise WrongUseError(f"{path} does not exist; name files and folders that do.")
    contract = parse_contract(read_yaml(CONTRACT), str(CONTRACT))
    public = " ".join((read_text(CONTRACT) + read_text(CARDS)).split())
    found, files = scan(RAW.parent, options.paths or [*DERIVED, Path(options.log)], contract, public)
    if options.json:
        print(json.dumps({"files": files, "findings": [one.model_dump() for one in found]}, indent=2, sort_keys=True))
    else:
        print("\n".join(told(found, files)))
        if not RAW.exists():
            print(f"{RAW} is not here, so this says little; `make run` makes it")
    return int(bool(found))


def told(found: list[Finding], files: int) -> list[str]:
    """Return what a terminal is told."""
    if not found:
        return [f"no e-mail address, phone number or name in {files:,} files, and nothing of a private column"]
    lines = [f"{one.file}: {one.column or 'text'}, {one.row}: {one.kind} {one.example}"
             + (f", and {one.rows - 1:,} more" if one.rows > 1 else "")
             + (", which the raw table holds in a private column" if one.kind == CONTENT else "") for one in found]  # fmt: skip
    return [*lines, STEPS]
