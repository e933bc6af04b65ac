"""Run git: the one place that starts it. What it says when it fails is the caller's to tell."""

import subprocess
from pathlib import Path

from hearth.errors import Refusal


def run(*words: str, folder: Path = Path(), given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Return what git did in a folder with these words and, on its standard input, `given`; refuse where there is no git."""
    try:
        return subprocess.run(["git", "--no-pager", *words], cwd=folder, input=given, capture_output=True, check=False)  # noqa: S607 -- git from the PATH, as DVC does
    except OSError as error:
        raise Refusal(f"git cannot be run ({error.strerror}); install it, or put it on the PATH.") from None


def git(*words: str, text: str | None = None) -> str:
    """Return what git prints; refuse with git's own words when it fails. Bytes that are no UTF-8 become marks of doubt."""
    done = run(*words, given=None if text is None else text.encode())
    printed, complaint = (part.decode("utf-8", errors="replace").strip() for part in (done.stdout, done.stderr))
    if done.returncode:
        raise Refusal(f"git {' '.join(words[:2])} failed: {complaint or printed}")
    return printed
