"""Compare two revisions: on the sales that neither model was fitted on, with intervals and a verdict per metric.

Without a second revision the candidate is the workspace; without any, the base is the branch main. Both are read from git,
DVC's cache and its remote; nothing is checked out. Exit status 0: compared, 2: something could not be read or is not whole.
"""

import argparse

from hearth.comparing import compared, side
from hearth.comparison_text import markdown, terminal
from hearth.errors import Refusal, WrongUseError
from hearth.operations import absolute, templates
from hearth.revisions import WORKSPACE, revision
from hearth.storage import write_text


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the two sides and the form of the answer."""
    parser.add_argument("base", nargs="?", default="main", metavar="REV", help="what to compare with (main)")
    parser.add_argument("candidate", nargs="?", default=WORKSPACE, metavar="REV", help="what is judged (the workspace)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print everything as JSON")
    form.add_argument("--markdown", action="store_true", help="print tables for a pull request")
    parser.add_argument("--html", type=absolute, metavar="FILE", help="write a page with plots as well")


def run(options: argparse.Namespace) -> int:
    """Print the comparison; whatever cannot be compared is an error, never a silent yes."""
    try:
        found = compared(side(revision(options.base)), side(revision(options.candidate)))
    except Refusal as refusal:
        raise WrongUseError(str(refusal)) from None
    if options.html:
        from hearth.comparison_page import page

        write_text(options.html, page(found, templates()))
    print(found.model_dump_json(indent=2) if options.json else markdown(found) if options.markdown else terminal(found))
    return 0
