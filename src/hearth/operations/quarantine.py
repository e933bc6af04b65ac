"""Show what `validate` refused, by reason, with examples: the most frequent reason first.

A refused row is in no model. Mend it where it comes from, or change data/contract.yaml if the row is right; the next `dvc repro` takes
the corrected row in.
"""

import argparse
import json
from pathlib import Path

from hearth.contract import parse_contract
from hearth.errors import WrongUseError
from hearth.operations import absolute
from hearth.parquet import read_frame
from hearth.paths import CONTRACT, QUARANTINE, VALIDATED
from hearth.quarantined import Reason, by_reason
from hearth.storage import read_yaml, replacing
from hearth.tables import REASONS

EXAMPLES = 3


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take how many examples are shown, which reasons, and where the rows go."""
    parser.add_argument(
        "--examples", type=int, default=EXAMPLES, metavar="N", help=f"examples of each reason ({EXAMPLES})"
    )
    parser.add_argument("--reason", metavar="TEXT", help="only reasons that hold this text, such as a column")
    parser.add_argument(
        "-o", "--output", type=absolute, metavar="FILE", help="write the refused rows with their reasons to this CSV"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(options: argparse.Namespace) -> int:
    """Show the reasons; return 0."""
    if options.examples < 0:
        raise WrongUseError(f"--examples {options.examples} is below 0; wanted how many rows to show of each reason.")
    if options.output is not None and options.output.suffix != ".csv":
        raise WrongUseError(f"{options.output.name} does not end with .csv; give the file such a name.")
    refused = read_frame(QUARANTINE)
    accepted = len(read_frame(VALIDATED))
    if options.reason is not None:
        refused = refused[refused[REASONS].str.contains(options.reason, regex=False)]
    found = by_reason(refused, parse_contract(read_yaml(CONTRACT), str(CONTRACT)), options.examples)
    if options.output is not None:
        with replacing(options.output) as file:
            refused.to_csv(file, index=False)
    if options.json:
        document = {
            "rows": len(refused),
            "accepted": accepted,
            "reasons": [one.model_dump(mode="json") for one in found],
        }
        print(json.dumps(document, indent=2, sort_keys=True))
    else:
        print("\n".join(told(found, len(refused), accepted, options.output)))
    return 0


def told(found: list[Reason], rows: int, accepted: int, output: Path | None) -> list[str]:
    """Return what a terminal is told."""
    if not rows:
        return [f"no row is refused for that; {accepted:,} are accepted"]
    lines = [f"{rows:,} refused, {accepted:,} accepted ({QUARANTINE})"]
    for one in found:
        lines.append(
            f"{one.rows:,} × {one.reason}" + ("" if one.alone == one.rows else f" ({one.alone:,} for nothing else)")
        )
        lines += ["    " + ", ".join(f"{name} {value}" for name, value in example.items()) for example in one.examples]
    lines.append("mend them where they come from, or change data/contract.yaml where they are right; then `dvc repro`")
    return [*lines, f"written to {output}"] if output else lines
