"""Say whether dvc.lock tells of a whole run of what is here, and whether git and DVC each keep what is theirs.

It looks at the workspace, committed or not, runs nothing, and asks no network without --remote. `make check` asks it.
Exit status 0: all is as it should be, as far as can be seen without a run, 1: something is not, and is named.
"""

import argparse
import json
from dataclasses import asdict

from hearth.attesting import proven
from hearth.completeness import STEPS, Looked, look


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take whether to ask the remotes, and how to tell."""
    parser.add_argument("--remote", action="store_true", help="ask DVC's remotes for the outputs that are nowhere here")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(options: argparse.Namespace) -> int:
    """Look and tell; the answer is no if anything was found."""
    looked = look(options.remote, proven)
    print(json.dumps(asdict(looked), indent=2) if options.json else "\n".join(told(looked)))
    return int(bool(looked.faults))


def told(looked: Looked) -> list[str]:
    """Return what a terminal is told: each kind of fault with what to do about it."""
    lines = [f"notice: {one}" for one in looked.notices]
    if not looked.faults:
        return [*lines, f"dvc.lock is that of what is here: {looked.stages} stages, {looked.outputs} outputs"]
    for kind, step in STEPS.items():
        if said := [f"  {fault.said}" for fault in looked.faults if fault.kind == kind]:
            lines += [*said, step]
    return lines
