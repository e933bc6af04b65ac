"""Say which files that commits name are on no DVC remote: whoever gets such a commit does not get its data.

`--hook` is for git's pre-push hook, which `make hooks` installs: it looks at what is being pushed, not at the work tree.
Exit status 0: all is there, or no remote is set, which is said; 1: something is missing or damaged; 2: a remote does not answer.
"""

import argparse
import sys

from hearth.errors import WrongUseError
from hearth.pushed import about_to_go, look, named, refuse_missing


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take commits, or git's own list of what it is to push."""
    parser.add_argument("revisions", nargs="*", metavar="REV", help="commits or ranges A..B (without any: HEAD)")
    parser.add_argument("--hook", action="store_true", help="read from standard input what git is about to push")
    parser.add_argument("--read", action="store_true", help="also read each object back: finds those that are damaged")


def run(options: argparse.Namespace) -> int:
    """Look, say what could not be looked for, and refuse if something is missing."""
    if options.hook and options.revisions:
        raise WrongUseError("--hook reads from git what is pushed; leave the revisions out.")
    commits = about_to_go(sys.stdin) if options.hook else named(options.revisions or ["HEAD"])
    if not commits:
        return 0
    looked = look(commits, options.read)
    if looked.default is None:
        print("notice: no default DVC remote is set, so nobody looked whether others can get what the stages made; "
              "docs/operations.md, Remotes, says how to set one.", file=sys.stderr)  # fmt: skip
    for remote in looked.unverified:
        print(f"notice: DVC would take a damaged object from {remote} without a word; "
              f"`dvc remote modify {remote} verify true` and commit .dvc/config.", file=sys.stderr)  # fmt: skip
    refuse_missing(looked)
    print(f"files that DVC keeps: {looked.files}, in commits: {len(commits)}; others can get each of them.")
    return 0
