"""Roll back to the release that was live before, or to --to VERSION: its very bytes are the champion again.

A `hearth serve` that runs takes it up within seconds. The journal is git's: `hearth releases` says who, when and why.
"""

import argparse

from hearth.errors import Refusal, WrongUseError
from hearth.params import section
from hearth.registry import fetch, one_at_a_time, publish, releases, write
from hearth.releases import ARTIFACT, TELL, History, Release, ReleaseParams, live_tag, message
from hearth.strict import nearest


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the version and the reason."""
    parser.add_argument("--to", metavar="VERSION", help="the version to go back to (the one that was live before)")
    parser.add_argument("--reason", required=True, help="why; it stands in the history")
    parser.add_argument("--push", action="store_true", help="push the tag to git's remote origin, or change nothing")


def run(options: argparse.Namespace) -> int:
    """Make the older release the champion, once its bento is in hand."""
    if not options.reason.strip():
        raise WrongUseError("--reason is empty; say why in a few words.")
    environment = section("releases", ReleaseParams).environment
    with one_at_a_time("rollback"):
        known = releases(environment)
        target = _target(known, options.to)
        content = fetch(target)
        champion = known.champion
        event = {"action": "rollback", "version": target.version, "previous": champion.version if champion else None,
                 "reason": options.reason}  # fmt: skip
        title = f"Roll {ARTIFACT} back to {target.version} in {environment}"
        tag = live_tag(environment, known.next_number)
        write([(tag, target.commit, message(title, [f"Reason: {options.reason}"], event))])
        if options.push:
            publish([tag])
    print(f"{target.version} is the champion of {environment} again: model {target.evidence.get('model_version')}, "
          f"the {len(content):,} bytes that were released")  # fmt: skip
    if not options.push:
        print(TELL)
    return 0


def _target(known: History, wanted: str | None) -> Release:
    if known.champion is None:
        raise Refusal(f"nothing is released in {known.environment}, so there is nothing to roll back.")
    if wanted is None:
        if known.previous is None:
            raise Refusal(f"before {known.champion.version} nothing was live, so there is nothing to roll back to; "
                          "`hearth releases` lists what there is.")  # fmt: skip
        return known.previous
    live = {event.release.version: event.release for event in known.events}
    if wanted not in live:
        raise WrongUseError(f"{wanted} was never live in {known.environment}; {nearest(wanted, sorted(live))}")
    if wanted == known.champion.version:
        raise Refusal(f"{wanted} is the champion already; nothing was changed.")
    return live[wanted]
