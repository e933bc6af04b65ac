"""Be the door to the releases: git's tags, the bento of a release, one change at a time."""

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from hearth.errors import Refusal, WrongUseError
from hearth.git import git
from hearth.paths import BENTO
from hearth.releases import ARTIFACT, History, Release, Tag, history
from hearth.revisions import Commit

_FORMAT = "%(objecttype)%00%(refname:strip=2)%00%(*objectname)%00%(taggername)%00%(taggerdate:unix)%00%(contents)%00"
# What one at a time may do, and what a second one is told. A retraining takes minutes, in which releases go on.
LOCKS = {"releases": "is changing the releases at this moment; wait for it, then look at `hearth releases`",
         "retraining": "is retraining at this moment; wait for it: the same command then takes up what it made"}  # fmt: skip


def releases(environment: str) -> History:
    """Return the history of an environment; refuse a clone that cannot know it."""
    if git("rev-parse", "--is-shallow-repository") == "true":
        raise WrongUseError(
            "this clone is shallow, so it does not know all releases; `git fetch --unshallow --tags` first."
        )
    found = tags()
    if undone := [tag.name for tag in found if "!" in tag.name or tag.name.endswith("@deprecated")]:
        raise WrongUseError(f"the tag {undone[0]} was made by GTO to deprecate or take back a release, which hearth does not follow; "
                            "delete it (`git tag --delete`), and use `hearth rollback`.")  # fmt: skip
    return history(found, environment)


def tags() -> list[Tag]:
    """Return the artifact's annotated tags."""
    found = []
    listed = git("for-each-ref", f"--format={_FORMAT}", f"refs/tags/{ARTIFACT}@*", f"refs/tags/{ARTIFACT}#*")
    fields = listed.split("\x00")  # six of each tag; a message holds no NUL, but may hold anything else
    for kind, name, commit, who, when, text in zip(*(fields[place::6] for place in range(6)), strict=False):
        if kind.lstrip("\n") == "tag":
            found.append(Tag(name, commit, who, datetime.fromtimestamp(int(when)).astimezone(), text))
    return found


def write(new: Sequence[tuple[str, str, str]]) -> None:
    """Make annotated tags (name, commit, message), all or none; refuse a name that is taken.

    GTO orders tags by their time, so a new one is later than all there are, whatever the clock says.
    """
    try:
        # Without user.useConfigOnly git may make up a name from the account and the machine.
        ident = git("-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT").rsplit(" ", 2)[0]
    except Refusal:
        raise WrongUseError(
            "git does not know who you are; `git config user.name` and `git config user.email` tell it."
        ) from None
    now = max([int(time.time()), *(int(tag.when.timestamp()) + 1 for tag in tags())])
    orders = ["start"]
    for name, commit, text in new:
        made = git("mktag", text=f"object {commit}\ntype commit\ntag {name}\ntagger {ident} {now} +0000\n\n{text}")
        orders.append(f"create refs/tags/{name} {made}")
    try:
        git("update-ref", "--stdin", text="\n".join([*orders, "prepare", "commit"]) + "\n")
    except Refusal as refusal:
        names = ", ".join(name for name, _, _ in new)
        raise Refusal(f"the tags {names} cannot be made, so nothing was released ({refusal}).") from None


def fetch(release: Release) -> bytes:
    """Return the bento of a release, from DVC's cache or its remote, as it was promoted, byte for byte."""
    content = Commit(f"{ARTIFACT} {release.version}", release.commit).read(BENTO)
    wanted = (release.evidence.get("bento") or {}).get("sha256")
    found = hashlib.sha256(content).hexdigest()
    if wanted and found != wanted:
        raise Refusal(f"the bento of {release.version} has the sha256 {found}, released was {wanted}; do not serve it.")
    return content


@contextmanager
def one_at_a_time(what: str, lock: str = "releases") -> Iterator[None]:
    """Hold one of this repository's locks; refuse while another process does. It goes with the process."""
    path = Path(git("rev-parse", "--git-common-dir")) / f"hearth-{lock}.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise Refusal(f"{file.read().strip() or 'another process'} {LOCKS[lock]}.") from None
        file.truncate(0)
        file.write(f"`hearth {what}`, process {os.getpid()},")
        file.flush()
        yield


def publish(names: Sequence[str]) -> None:
    """Push new tags to git's remote origin, all or none; where it has others of these names, take ours away and say so.

    The older ones go along, which may not have been pushed: a champion without its version would be none to the others.
    """
    try:
        git("push", "--quiet", "--atomic", "origin", *(f"refs/tags/{tag.name}" for tag in tags()))
    except Refusal as refusal:
        git("tag", "--delete", *names)
        raise Refusal(f"origin did not take {', '.join(names)}, so nothing was released: someone else was first, or it cannot be "
                      f"reached ({refusal}). `git fetch --tags`, look at `hearth releases`, and try again.") from None  # fmt: skip
