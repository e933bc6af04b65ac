"""Set aside what DVC would use although it is damaged: objects in its cache, and outputs that it checked out from them.

Each is read and held to its MD5; what is right stays, and so does what DVC sees that you changed. Nothing is deleted; what was set
aside comes back by the command that is said. Exit status 0: all is right now; 1 with --check: something is damaged.
"""

import argparse
import sys

from hearth.errors import Refusal
from hearth.objects import damaged, repository, set_aside


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take how much to look at, and whether to look only."""
    parser.add_argument("--check", action="store_true", help="only say what is damaged")
    parser.add_argument(
        "--all", action="store_true", help="also read the objects in the cache that only other commits name"
    )


def run(options: argparse.Namespace) -> int:
    """Look, set the damaged aside, and say how it comes back."""
    repo = repository()
    looked, found = damaged(repo, options.all)
    if not found:
        print(f"{looked} files that DVC takes for right were read; each is.")
        return 0
    lines = [f"  {one}" for one in found]
    if options.check:
        raise Refusal("\n".join(["damaged:", *lines, "`hearth heal` sets them aside."]))
    folder = set_aside(repo, found)
    remote = repo.config["core"].get("remote")
    sources = [out.stage.relpath for out in repo.index.outs if out.stage.cmd is None and not out.exists]
    print("\n".join([f"damaged, and set aside in {folder}:", *lines]), file=sys.stderr)
    steps = ["dvc repro --pull"] if remote else [*(f"dvc pull {source}" for source in sources), "dvc repro"]
    print("It comes back by " + ", then ".join(f"`{step}`" for step in steps) + "."
          + (" A source that is on no remote comes back from whoever has it, or, as far as it is whole, from there." if sources else ""))  # fmt: skip
    return 0
