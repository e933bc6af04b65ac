"""Change the world, or tell about it: one module per subcommand of `hearth`."""

import argparse
import datetime
from pathlib import Path

from hearth.storage import read_folder
from hearth.strict import day


def absolute(text: str) -> Path:
    """Return the path as it was meant where the command was typed: it changes into the project's top folder before it runs."""
    return Path(text).absolute()


def a_day(text: str) -> datetime.date:
    """Return the day that a word of the command names."""
    try:
        return datetime.date.fromisoformat(str(day(text)))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no day, wanted {error}") from None


def templates() -> dict[str, str]:
    """Return the package's templates by file name."""
    found = read_folder(Path(__file__).resolve().parent.parent / "templates")
    return {name: content.decode() for name, content in found.items()}
