"""Take in the data up to a new day, on a branch of its own: run the champion's road on it and compare with the champion.

Your branch, index and files stay as they are. Code and params are the champion's, or HEAD's where nothing is released; the
source is the one that lies here, committed or not. A retraining that there is already is not run again.
Exit status 0: retrained (and promoted, with --promote), 1: it is worse, or it is not proved that it is not, or the gate says
no; the branch stays for a look. 2: wrong use, such as a day that is not later than the champion's.
"""

import argparse

from hearth.comparison_text import introduction, tables, terminal_table, verdict
from hearth.errors import WrongUseError
from hearth.operations import a_day
from hearth.releases import TELL
from hearth.retraining import Retrained, retrain


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the day, and what is to be done with a model that is no worse."""
    parser.add_argument("--as-of", type=a_day, metavar="DAY",
                        help="take in the sales before this day, YYYY-MM-DD (the day after the newest sale, at most today)")  # fmt: skip
    parser.add_argument("--promote", action="store_true", help="promote it through the gates of `hearth promote`")
    parser.add_argument("--reason", help="why; required where a doubt is overridden (with --promote)")
    parser.add_argument("--push", action="store_true",
                        help="push the tags to git's remote origin, or release nothing (with --promote)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(options: argparse.Namespace) -> int:
    """Retrain, and say what it came to and what to do next."""
    if (options.reason or options.push) and not options.promote:
        raise WrongUseError("--reason and --push go with --promote; without it nothing is released.")
    found = retrain(options.as_of, options.promote, (options.reason or "").strip() or None, options.push)
    print(found.model_dump_json(indent=2) if options.json else "\n".join(told(found, options.push)))
    return 0 if found.fine else 1


def told(found: Retrained, pushed: bool = False) -> list[str]:
    """Return in words what became of it, and the next step."""
    if found.branch is None or found.commit is None:
        return [*found.reasons, "nothing was changed"]
    lines = [
        f"{found.branch} ({found.commit[:7]}): {'was there already' if found.reused else 'retrained'} on the sales before {found.as_of}"
    ]
    if found.comparison:
        lines += [
            *introduction(found.comparison),
            verdict(found.comparison),
            *terminal_table(tables(found.comparison)[0]),
        ]
    doubt = [f"  {reason}" for reason in found.reasons]
    if found.promoted:
        return [
            *lines,
            f"{found.promoted} is the champion now; `hearth serve` serves it" + ("" if pushed else f"; {TELL}"),
        ]
    match found.verdict:
        case "the gate says no":
            lines += ["the gate says no, so there is no bento:", *doubt]
        case "worse":
            lines += [f"it is worse than the champion {found.champion}:", *doubt]
        case "not proved":
            lines += [f"it is not proved that it is no worse than the champion {found.champion}:", *doubt,
                      f"more sales may prove it; `hearth promote {found.branch} --reason TEXT` overrides the doubt"]  # fmt: skip
        case _:
            lines.append(
                f"next: `hearth retrain --as-of {found.as_of} --promote`, which makes it the champion if it keeps every rule"
            )
    if not found.fine:
        lines.append(
            f"{found.branch} is kept: `git log -1 {found.branch}`, `hearth compare {found.base[:7]} {found.branch}`"
        )
    return lines
