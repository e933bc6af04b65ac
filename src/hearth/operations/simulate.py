"""Live through the months after the model's data in some minutes, in a throw-away clone of the commit that is checked out.

The real service prices houses, outcomes come late, the market moves, the monitor alarms, a retraining is promoted; then a bad
release is forced in and rolled back. Writes metrics/simulation.json, a page, metrics/simulation.html, and the page's first
picture, docs/simulation.svg. The same commit lives the same life. Exit status 1: no alarm came, or nothing was promoted or rolled back.
"""

import argparse
import sys
from pathlib import Path

from hearth.git import git
from hearth.operations import templates
from hearth.paths import SIMULATION, SIMULATION_PAGE, SIMULATION_PICTURE
from hearth.progress import progress
from hearth.simulating import live
from hearth.simulation import document
from hearth.simulation_page import WIDE, alone, level_drawn, page, told
from hearth.storage import write_json, write_text

STEPS = 24
EXPECTED = ("alarm", "promoted", "forced", "rolled back")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take none."""


def run(options: argparse.Namespace) -> int:
    """Live, write what became of it, and say it."""
    if changed := git("status", "--porcelain"):
        print(f"note: the simulation lives with the commit that is checked out, without {len(changed.splitlines())} uncommitted "
              "changes", file=sys.stderr)  # fmt: skip
    with progress(STEPS, unit="step", lines=STEPS) as step:
        found = document(**live(Path.cwd(), step))
    write_json(SIMULATION, found)
    known = templates()
    write_text(SIMULATION_PAGE, page(found, known))
    write_text(SIMULATION_PICTURE, alone(level_drawn(found, WIDE), known["style.css"]))
    print("\n".join(told(found)))
    print(f"wrote {SIMULATION} and {SIMULATION_PAGE}: open it in a browser, it needs nothing else")
    if missing := [kind for kind in EXPECTED if kind not in {event["kind"] for event in found["events"]}]:
        print(f"what did not happen: {', '.join(missing)}", file=sys.stderr)
    return int(bool(missing))
