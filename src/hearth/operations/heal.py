"""Take away what DVC would use although it is damaged: objects in its cache, and outputs that it checked out from them.

Each is read and held to its MD5; what is right stays, and so does what you changed yourself. What was taken away comes back by
the command that is said. Exit status 0: all is right now; 1 with --check: something is damaged.
"""

import argparse
import sys

from hearth.errors import Refusal
from hearth.objects import damaged, repository


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take how much to look at, and whether to look only."""
    parser.add_argument("--check", action="store_true", help="only say what is damaged")
    parser.add_argument(
        "--all", action="store_true", help="also read the objects in the cache that only other commits name"
    )


def run(options: argparse.Namespace) -> int:
    """Look, take the damaged away, and say how they come back."""
    with repository() as repo:
        looked, found = damaged(repo, options.all)
        lines = [f"  {one}" for one in found]
        if found and options.check:
            raise Refusal("\n".join(["damaged:", *lines, "`hearth heal` takes them away."]))
        try:
            for one in found:
                one.place.unlink()
        except OSError as error:
            raise Refusal(
                f"{error.filename} is damaged and cannot be deleted ({error.strerror}); delete it, then `hearth heal` again."
            ) from None
        remote = repo.config["core"].get("remote")
        sources = [out.stage.relpath for out in repo.index.outs if out.stage.cmd is None and not out.exists]
    if not found:
        print(f"{looked} files that DVC takes for right were read; each is.")
        return 0
    steps = ["dvc repro --pull"] if remote else [*(f"dvc pull {source}" for source in sources), "dvc repro"]
    print("\n".join(["damaged, and taken away:", *lines]), file=sys.stderr)
    print("What was taken away comes back by " + ", then ".join(f"`{step}`" for step in steps) + ".")
    return 0
