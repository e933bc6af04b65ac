"""Be the command `hearth`: thin, imports an operation only when it is called.

Exit status 0: fine, 1: the answer is no, 2: wrong use.
"""

import argparse
import importlib
import os
import sys
from pathlib import Path

from hearth.errors import Refusal

# Each names a module of hearth.operations with `arguments(parser)` and `run(options) -> exit status`; one that says ANYWHERE
# needs no project around it.
OPERATIONS = {
    "check": "hold params.yaml, the contract and the words of the cards to what the stages want",
    "compare": "compare two revisions on sales that neither model was fitted on",
    "docs": "write docs/data.md and the tables of README.md from their sources",
    "explain": "follow one house from its row to its price, and what each column adds to it",
    "forget": "blank a prediction in the log, or keep a record out of all future versions of the data",
    "gather": "bring what a scheduler's tasks made into this work tree: dvc.lock, metrics and plots",
    "heal": "set aside damaged objects of DVC's cache, and what came of them, before anything uses them",
    "image": "build the OCI image of the bento, with its SBOM, or of the road, for schedulers",
    "locked": "say whether dvc.lock tells of a whole run of what is here, and git and DVC keep what is theirs",
    "merge": "merge three versions of dvc.lock, stage by stage; git calls it, as `make` sets it up",
    "monitor": "hold what was served, and what became of it, to what the model promised",
    "native": "compile the fast way to a price for this environment",
    "predict": "price each row of a CSV, parquet or JSON lines file",
    "promote": "make a commit's bento the release, once it proved to be no worse than the champion",
    "pushed": "say which files that commits name are on no DVC remote; for the hook of `git push`, and for CI",
    "quarantine": "show which collected rows were refused, by reason, with examples",
    "releases": "list what was released, the champion marked",
    "replay": "price what was asked in a period with another model, and say how its answers differ",
    "report": "write metrics/report.html, a report for people, from the last run",
    "retrain": "take in newer data on a branch, run the road, compare with the champion, and promote if asked",
    "rollback": "make the release before the champion again",
    "scan": "look for e-mail addresses, phone numbers, names and private columns where none should be",
    "serve": "serve the bento on this machine",
    "sign": "sign the released model for services that ask for it",
    "smoke": "hold the champion's bento, or the service that runs, to what was released",
    "staleness": "measure how the model ages, and set the retraining cadence from it",
    "simulate": "live through the months after the model's data, with the real service, in minutes",
    "summary": "show the metrics, the gate's verdict and the next commands",
    "task": "run one stage as a scheduler's task: fresh checkout, from and to the DVC remote",
    "tune": "look for better values of the model's params, on the training rows only",
    "verify": "prove that dvc.lock is true: rebuild a commit in an empty clone, and compare byte by byte",
}


def main(words: list[str] | None = None) -> int:
    """Run one operation in the project's top folder; return its exit status."""
    parser = argparse.ArgumentParser(prog="hearth", description="Keep a house-price model true.")
    commands = parser.add_subparsers(dest="operation", metavar="COMMAND", required=True)
    for name, purpose in OPERATIONS.items():
        commands.add_parser(name, help=purpose, add_help=False)
    chosen, rest = parser.parse_known_args(words)
    module = importlib.import_module(f"hearth.operations.{chosen.operation}")
    own = argparse.ArgumentParser(prog=f"hearth {chosen.operation}", description=module.__doc__)
    module.arguments(own)
    options = own.parse_args(rest)
    try:
        if not getattr(module, "ANYWHERE", False):
            os.chdir(top(Path.cwd()))
        status = int(module.run(options))
        sys.stdout.flush()  # so that a closed pipe shows here and not after the last handler
        return status
    except Refusal as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return refusal.status
    except BrokenPipeError:  # the reader, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def top(folder: Path) -> Path:
    """Return the project that a folder is in; refuse where it is in none."""
    for place in (folder, *folder.parents):
        if (place / "dvc.yaml").is_file() and (place / "params.yaml").is_file():
            return place
    raise Refusal(f"{folder} is in no hearth project (no dvc.yaml and params.yaml here or above); change into one.")
