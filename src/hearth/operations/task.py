"""Run one stage as a task of a scheduler: in a fresh checkout of one commit, from and to the DVC remote. Then it is gone.

What the stage needs comes from the commit, the remote and the tasks before it; what it made goes to the remote, with DVC's run cache.
A stage that need not run costs a look-up, and a task may be tried again, also after kill -9.
Exit status 0: done, 1: it failed, and may be tried again, 2: it cannot be asked so, and would fail again.
"""

import argparse

from hearth.errors import WrongUseError
from hearth.tasks import Place, checkout, perform

ANYWHERE = True


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the stage, and where commit and data are."""
    parser.add_argument("stage", nargs="?", metavar="STAGE", help="a stage of dvc.yaml")
    parser.add_argument("--resolve", action="store_true",
                        help="run nothing: print the hash of the commit, for the tasks that follow")  # fmt: skip
    parser.add_argument("--repository", default=".", metavar="URL", help="the git repository (the one here)")
    parser.add_argument("--commit", default="HEAD", metavar="REV", help="commit, branch or tag (HEAD)")
    parser.add_argument("--remote", metavar="URL", help="the DVC remote (the commit's default)")


def run(options: argparse.Namespace) -> int:
    """Run it and say what was done."""
    if bool(options.stage) == options.resolve:
        raise WrongUseError("name a stage, or --resolve.")
    place = Place(options.repository, options.commit, options.remote)
    with checkout(place) as (tree, commit):
        print(commit if options.resolve else f"{options.stage} of {commit[:7]}: {perform(tree, commit, options.stage)}")
    return 0
