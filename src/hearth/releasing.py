"""Release a commit: hold it to every rule, in one order, and make its tags; or put an older release back.

`hearth promote`, `hearth retrain`, `hearth rollback` and `hearth monitor --act` all ask.
"""

import sys
from dataclasses import dataclass
from typing import Any

from hearth.comparison import Comparison
from hearth.comparison_text import introduction, verdict
from hearth.errors import Refusal, WrongUseError
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
from hearth.registry import fetch, one_at_a_time, publish, releases, write
from hearth.releases import ARTIFACT, History, Release, ReleaseParams, live_tag, message, version_tag
from hearth.revisions import Commit
from hearth.strict import nearest

STEPS = 6


class WorseError(Refusal):
    """Say that a candidate is worse than the champion, or not proved to be no worse; hold why."""

    def __init__(self, name: str, champion: str, found: Comparison, hard: list[str], doubts: list[str]) -> None:
        """Keep the comparison, and make the sentence of the reasons."""
        self.comparison, self.hard, self.doubts = found, hard, doubts
        if hard:
            said = f"{name} is worse than the champion {champion}, so it is not promoted:\n  "
            super().__init__(said + "\n  ".join(hard + doubts))
        else:
            said = f"it is not proved that {name} is no worse than the champion {champion}:\n  "
            asked = "\nMore test sales may prove it; --reason TEXT overrides the doubt."
            super().__init__(said + "\n  ".join(doubts) + asked)


@dataclass(frozen=True)
class Promoted:
    """Hold what was released, and where its bento is."""

    version: str
    candidate: Candidate
    environment: str
    remote: str
    comparison: Comparison | None

    def __str__(self) -> str:
        """Return it in words."""
        signed = "signed" if self.candidate.signature else "not signed"
        return (
            f"{self.version} is the champion of {self.environment}: model {self.candidate.read.released.version}, "
            f"{signed}, bento on the DVC remote {self.remote}"
        )


def promote(candidate: Commit, reason: str | None, push_tags: bool) -> Promoted:
    """Promote a commit, or refuse with every reason found; params.yaml is that of the clean work tree of this folder."""
    params = section("releases", ReleaseParams)
    with one_at_a_time("promote"), progress(STEPS, unit="step") as step:
        check_tree()
        known = releases(params.environment)
        if (
            known.champion
            and known.champion.commit == candidate.commit
            and (known.signature or not signature_of(candidate))
        ):
            raise Refusal(
                f"{candidate.name} is the champion already, {known.champion.version}; there is nothing to promote."
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
        version = _release(known, one, found, doubts, reason, params, push_tags)
    return Promoted(version, one, params.environment, remote, found)


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
    if hard or (doubts and not reason):
        raise WorseError(candidate.name, known.champion.version, found, hard, doubts)
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


def roll_back(wanted: str | None, reason: str, push_tags: bool, judged: str | None = None) -> tuple[Release, bytes]:
    """Make an older release, by default the one that was live before, the champion again; return it and its bento.

    Where only the version `judged` is to be rolled back from, refuse if another one is the champion by now.
    """
    environment = section("releases", ReleaseParams).environment
    with one_at_a_time("rollback"):
        known = releases(environment)
        if judged is not None and known.champion is not None and known.champion.version != judged:
            raise Refusal(
                f"{known.champion.version} became the champion while {judged} was judged, so nothing was rolled back; look again."
            )
        target = _target(known, wanted)
        content = fetch(target)
        champion = known.champion
        event = {"action": "rollback", "version": target.version, "previous": champion.version if champion else None,
                 "reason": reason}  # fmt: skip
        title = f"Roll {ARTIFACT} back to {target.version} in {environment}"
        tag = live_tag(environment, known.next_number)
        write([(tag, target.commit, message(title, [f"Reason: {reason}"], event))])
        if push_tags:
            publish([tag])
    return target, content


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
