"""Merge three versions of dvc.lock stage by stage: git's merge driver for this file, which `make` sets up (tools/merging.sh).

The result is written to OURS, in DVC's own style. Stages that no run has made from what is merged are left out and named;
`dvc repro` makes them. Exit status 0: merged; anything else: git reports a conflict and leaves the file to you.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from hearth.errors import Refusal
from hearth.merging import merge
from hearth.operations import absolute
from hearth.paths import DVC_LOCK
from hearth.revisions import first_line
from hearth.storage import read_text, write_text


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the three versions as git hands them to a driver."""
    parser.add_argument(
        "base", type=absolute, metavar="BASE", help="the common version; empty where there is none (%%O)"
    )
    parser.add_argument("ours", type=absolute, metavar="OURS", help="the version here, which is overwritten (%%A)")
    parser.add_argument("theirs", type=absolute, metavar="THEIRS", help="the version that comes in (%%B)")


def run(options: argparse.Namespace) -> int:
    """Merge, write and name what was dropped."""
    from dvc.utils.serialize import dumps_yaml

    merged = merge(_read("base", options.base), _read("ours", options.ours), _read("theirs", options.theirs))
    write_text(options.ours, dumps_yaml(merged.document))
    for name, reason in merged.dropped.items():
        print(f"{DVC_LOCK}: the stage {name} is left out: {reason}", file=sys.stderr)
    if merged.dropped:
        print("`dvc repro` makes them anew; commit what it changes.", file=sys.stderr)
    return 0


def _read(side: str, path: Path) -> dict[str, Any]:
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from dvc.utils.serialize import parse_yaml

    try:
        found = parse_yaml(read_text(path), str(DVC_LOCK))
        return dict(COMPILED_LOCKFILE_SCHEMA(found)) if found or side != "base" else {}
    except Refusal:
        raise
    except Exception as error:
        raise Refusal(f"{DVC_LOCK} ({side}) is no lock of DVC 3 ({first_line(error)}); take one side whole, `git checkout --ours` or "
                      f"`--theirs {DVC_LOCK}`, and run `dvc repro`.") from None  # fmt: skip
