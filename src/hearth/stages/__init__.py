"""Run a stage: one sentence and exit status 1 for a user's mistake, never a traceback."""

import sys
from collections.abc import Callable
from pathlib import Path

from hearth.errors import Refusal


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
