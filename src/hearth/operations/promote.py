"""Promote a commit: make its bento the release that is served, once it has proved to be no worse than the champion.

Hard reasons, such as a changed work tree, an incomplete lock, a gate that says no, a bento that does not boot, or a metric
that is provably worse than its margin allows, stop it. A doubt stops it too, unless --reason says why a person overrides it.
The evidence goes into git's annotated tags (`hearth releases`, `gto show`), the bento to DVC's default remote.
"""

import argparse

from hearth.releases import TELL
from hearth.releasing import promote
from hearth.revisions import Commit, UnreadableError, revision


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the commit, the reason, and whether the tags go to git's remote at once."""
    parser.add_argument("revision", nargs="?", default="HEAD", metavar="REV", help="the commit to promote (HEAD)")
    parser.add_argument("--reason", help="why; required where a doubt is overridden")
    parser.add_argument("--push", action="store_true", help="push the tags to git's remote origin, or release nothing")


def run(options: argparse.Namespace) -> int:
    """Promote, or refuse with every reason found."""
    candidate = revision(options.revision)
    if not isinstance(candidate, Commit):
        raise UnreadableError("the workspace is no commit; commit it and promote HEAD.")
    print(promote(candidate, (options.reason or "").strip() or None, options.push))
    print("`hearth serve` serves it" + ("" if options.push else f"; {TELL}"))
    return 0
