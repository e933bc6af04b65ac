"""Bring what tasks made of the commit that is checked out into this work tree: dvc.lock, metrics and plots, ready to be committed.

Refused where the remote does not have the whole road. `dvc pull` then brings the data and models. --check looks only.
"""

import argparse
import os
from pathlib import Path

from hearth.cli import top
from hearth.git import git
from hearth.revisions import Workspace
from hearth.tasks import Place, checkout, gather

ANYWHERE = True  # a scheduler's worker looks from where no project is


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take where the tasks ran, and whether to look only."""
    parser.add_argument(
        "--check", action="store_true", help="change nothing here: say whether the whole road is on the remote"
    )
    parser.add_argument(
        "--repository", default=".", metavar="URL", help="with --check: the git repository (the one here)"
    )
    parser.add_argument("--commit", default="HEAD", metavar="REV", help="with --check: commit, branch or tag (HEAD)")
    parser.add_argument("--remote", metavar="URL", help="with --check: the DVC remote (the commit's default)")


def run(options: argparse.Namespace) -> int:
    """Gather and say what."""
    if options.check:
        with checkout(Place(options.repository, options.commit, options.remote)) as (_, commit):
            found = gather(commit, Workspace().stages()[0])
            changed = git("status", "--porcelain").splitlines()
        print(f"the whole road of {commit[:7]} is on the remote: {len(found)} stages; "
              + (f"{len(changed)} files of git are others than at the commit" if changed else "git has just that"))  # fmt: skip
        return 0
    os.chdir(top(Path.cwd()))
    commit = git("rev-parse", "HEAD")
    found = gather(commit, Workspace().stages()[0])
    print(
        f"gathered {len(found)} stages of {commit[:7]}; look at `git diff --stat`, commit, and `dvc pull` for data and models"
    )
    return 0
