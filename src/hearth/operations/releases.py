"""List what was released: each change of the champion, by whom, when and why, the present champion marked."""

import argparse
import json
from typing import Any

from hearth.params import section
from hearth.registry import releases
from hearth.releases import Event, History, ReleaseParams


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the form of the answer."""
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(options: argparse.Namespace) -> int:
    """Print the history, the newest change first."""
    known = releases(section("releases", ReleaseParams).environment)
    events = list(reversed(known.events))
    if options.json:
        print(json.dumps(_document(known, events), indent=2, sort_keys=True))
        return 0
    if not events:
        print(f"Nothing is released in {known.environment} yet; `hearth promote` releases HEAD.")
        return 0
    rows: list[tuple[str, ...]] = [("", "version", "commit", "when", "who", "what", "median error", "reason")]
    rows += [_row(event, event is known.events[-1]) for event in events]
    wide = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(size) for cell, size in zip(row, wide, strict=True)).rstrip())
    return 0


def _row(event: Event, champion: bool) -> tuple[str, ...]:
    release = event.release
    error = (release.evidence.get("metrics") or {}).get("mdape")
    return (
        "*" if champion else "",
        release.version,
        release.commit[:7],
        f"{event.when:%Y-%m-%d %H:%M}",
        event.who,
        {"promote": "promoted", "rollback": "rolled back to"}[event.action],
        "" if error is None else f"{error:.2%}",
        " ".join(event.reason.split()),  # on one line
    )


def _document(known: History, events: list[Event]) -> dict[str, Any]:
    listed = [
        {
            "number": event.number,
            "action": event.action,
            "version": event.release.version,
            "commit": event.release.commit,
            "when": event.when.isoformat(),
            "who": event.who,
            "reason": event.reason or None,
            "evidence": event.evidence,
        }
        for event in events
    ]
    champion = known.champion
    about = None if champion is None else {"version": champion.version, "commit": champion.commit, **champion.evidence}
    return {"environment": known.environment, "champion": about, "events": listed}
