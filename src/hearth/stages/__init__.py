"""Run a stage: one sentence and exit status 1 for a user's mistake, never a traceback."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from hearth.errors import Refusal

# Before any library starts its threads. Measured on 15,000 rows and two cores: boosting takes 1.3 times as long with one
# thread as with two, but two threads beside other load wait for each other at every node and take 40 times as long.
os.environ["OMP_NUM_THREADS"] = "1"


def run(main: Callable[[], None]) -> None:
    """Call `main` in the project's top folder; refuse to run another checkout's code over this one's data."""
    try:
        _own_code()
        main()
    except Refusal as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        raise SystemExit(1) from None


def _own_code() -> None:
    package = Path(__file__).resolve().parent.parent
    here = (Path.cwd() / "src" / "hearth").resolve()
    if package != here:
        raise Refusal(
            f"the code loaded is {package}, but this project's is {here}; run `make` here, or set PYTHONPATH=src."
        )
