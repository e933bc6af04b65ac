"""Change the world, or tell about it: one module per subcommand of `hearth`."""

from pathlib import Path

from hearth.storage import read_folder


def absolute(text: str) -> Path:
    """Return the path as it was meant where the command was typed: it changes into the project's top folder before it runs."""
    return Path(text).absolute()


def templates() -> dict[str, str]:
    """Return the package's templates by file name."""
    found = read_folder(Path(__file__).resolve().parent.parent / "templates")
    return {name: content.decode() for name, content in found.items()}
