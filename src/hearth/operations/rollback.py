"""Roll back to the release that was live before, or to --to VERSION: its very bytes are the champion again.

A `hearth serve` that runs takes it up within seconds. The journal is git's: `hearth releases` says who, when and why.
"""

import argparse

from hearth.errors import WrongUseError
from hearth.params import section
from hearth.releases import TELL, ReleaseParams
from hearth.releasing import roll_back


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the version and the reason."""
    parser.add_argument("--to", metavar="VERSION", help="the version to go back to (the one that was live before)")
    parser.add_argument("--reason", required=True, help="why; it stands in the history")
    parser.add_argument("--push", action="store_true", help="push the tag to git's remote origin, or change nothing")


def run(options: argparse.Namespace) -> int:
    """Make the older release the champion, once its bento is in hand."""
    if not options.reason.strip():
        raise WrongUseError("--reason is empty; say why in a few words.")
    target, content = roll_back(options.to, options.reason, options.push)
    environment = section("releases", ReleaseParams).environment
    print(f"{target.version} is the champion of {environment} again: model {target.evidence.get('model_version')}, "
          f"the {len(content):,} bytes that were released")  # fmt: skip
    if not options.push:
        print(TELL)
    return 0
