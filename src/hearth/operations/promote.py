"""Promote a commit: make its bento the release that is served, once it has proved to be no worse than the champion.

Hard reasons, such as a changed work tree, an incomplete lock, a gate that says no, a bento that does not boot, or a metric
that is provably worse than its margin allows, stop it. A doubt stops it too, unless --reason says why a person overrides it.
The evidence goes into git's annotated tags (`hearth releases`, `gto show`), the bento to DVC's default remote.
"""

import argparse
import sys
from typing import Any

from hearth.comparison import Comparison
from hearth.comparison_text import introduction, verdict
from hearth.errors import Refusal
from hearth.git import git
from hearth.params import section
from hearth.paths import BENTO
from hearth.progress import progress
from hearth.promotion import (
    Candidate,
    check_bento,
    check_lock,
    check_metrics,
    check_tree,
    default_remote,
    judge,
    push,
    signature_of,
)
from hearth.registry import one_at_a_time, publish, releases, write
from hearth.releases import ARTIFACT, TELL, History, ReleaseParams, live_tag, message, version_tag
from hearth.revisions import Commit, UnreadableError, revision

STEPS = 6


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
    params, reason = section("releases", ReleaseParams), (options.reason or "").strip() or None
    with one_at_a_time("promote"), progress(STEPS, unit="step") as step:
        check_tree()
        known = releases(params.environment)
        if (
            known.champion
            and known.champion.commit == candidate.commit
            and (known.signature or not signature_of(candidate))
        ):
            raise Refusal(
                f"{options.revision} is the champion already, {known.champion.version}; there is nothing to promote."
            )
        _check_names(known, candidate)
        remote = default_remote()
        step(f"is the lock of {candidate.name} whole?", 1)
        check_lock(candidate)
        step("are its metrics its own, and did the gate say yes?", 1)
        read = check_metrics(candidate)
        step("does its bento boot and answer as packaged?", 1)
        one = Candidate(candidate, read, candidate.read(BENTO), signature_of(candidate))
        check_bento(one.bento, read.released)
        step(f"is it no worse than {known.champion.version if known.champion else 'nothing (no champion yet)'}?", 1)
        found, doubts = _against_champion(known, one, params, reason)
        step("pushing its outputs to DVC's remote", 1)
        push(candidate, one.bento, remote)
        step("making the tags", 1)
        version = _release(known, one, found, doubts, reason, params, options.push)
    print(
        f"{version} is the champion of {params.environment}: model {read.released.version}, "
        f"{'signed' if one.signature else 'not signed'}, bento on the DVC remote {remote}"
    )
    print("`hearth serve` serves it" + ("" if options.push else f"; {TELL}"))
    return 0


def _check_names(known: History, candidate: Commit) -> None:
    """Refuse at once what `write` would refuse at the end: a tag of this name that is no release of ours."""
    wanted = [live_tag(known.environment, known.next_number)]
    wanted += [] if known.registered(candidate.commit) else [version_tag(known.next_version)]
    if taken := git("tag", "--list", *wanted):
        raise Refusal(f"the tag {', '.join(taken.splitlines())} exists already and is none that `hearth promote` made, so nothing "
                      "was released; look at it with `git show`, and delete or rename it.")  # fmt: skip


def _against_champion(
    known: History, one: Candidate, params: ReleaseParams, reason: str | None
) -> tuple[Comparison | None, list[str]]:
    if known.champion is None:
        print("This is the first release: there is no champion to compare with.", file=sys.stderr)
        return None, []
    candidate = one.commit
    found, hard, doubts = judge(known.champion, one.read, params)
    if known.signature and not one.signature:
        doubts.append("the champion's model is signed and this one is not, so a service that asks for a signature would serve "
                      "nothing; `hearth sign` it first")  # fmt: skip
    if hard:
        raise Refusal(f"{candidate.name} is worse than the champion {known.champion.version}, so it is not promoted:\n  "
                      + "\n  ".join(hard + doubts))  # fmt: skip
    if doubts and not reason:
        raise Refusal(f"it is not proved that {candidate.name} is no worse than the champion {known.champion.version}:\n  "
                      + "\n  ".join(doubts) + "\nMore test sales may prove it; --reason TEXT overrides the doubt.")  # fmt: skip
    return found, doubts


def _release(
    known: History, one: Candidate, found: Comparison | None, doubts: list[str], reason: str | None,
    params: ReleaseParams, push_tags: bool,
) -> str:  # fmt: skip
    """Make the tags of the version, where its commit has none, and of the promotion; return the version."""
    registered = known.registered(one.commit.commit)
    version = registered.version if registered else known.next_version
    told = (
        ["The first release: no champion to compare with."] if found is None else [*introduction(found), verdict(found)]
    )
    told += [f"Overridden doubt: {doubt}" for doubt in doubts]
    told += [f"Reason: {reason}"] if reason else []
    event: dict[str, Any] = {
        "action": "promote",
        "version": version,
        "previous": known.champion.version if known.champion else None,
        "reason": reason,
        "doubts": doubts,
        "margins": params.model_dump(mode="json"),
        "signature": one.signature,
        "comparison": None if found is None else _short(found),
    }
    tags = [(live_tag(known.environment, known.next_number), one.commit.commit,
             message(f"Promote {ARTIFACT} {version} to {known.environment}", told, event))]  # fmt: skip
    if registered is None:
        figures = [f"{name}: {value:g}" for name, value in one.read.metrics.items()]
        title = f"Release {ARTIFACT} {version}, model {one.read.released.version}"
        tags.insert(0, (version_tag(version), one.commit.commit, message(title, figures, one.known)))
    write(tags)
    if push_tags:
        publish([name for name, _, _ in tags])
    return version


def _short(found: Comparison) -> dict[str, Any]:
    """Return the comparison without what the two commits say themselves."""
    whole = found.model_dump(
        mode="json", include={"base", "candidate", "rows", "first_day", "last_day", "level", "differences"}
    )
    return whole | {
        "slices": len(found.slices),
        "worse_slices": [f"{part.slice}: {part.group}" for part in found.worse_slices],
    }
