"""Retrain: the champion's own commit with the data of a later day, its road run, compared with the champion, on a branch.

Nothing but the data changes: code and params are the champion's, `split.test_from` moves along with `collect.as_of`, so
the test window and the horizon keep their lengths. What promotes is the code of `hearth promote`.
"""

import contextlib
import datetime
import itertools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow.compute as pc

from hearth.clock import now
from hearth.collecting import CollectParams
from hearth.comparing import side
from hearth.comparison import Comparison
from hearth.contract import parse_contract
from hearth.editing import edited
from hearth.errors import Refusal, WrongUseError
from hearth.git import git, run
from hearth.params import section
from hearth.paths import CONTRACT, GATE, LOCK, METRICS, PARAMS, SOURCES
from hearth.progress import Step, progress
from hearth.promotion import check_lock, default_remote, judge
from hearth.registry import one_at_a_time, releases
from hearth.releases import Release, ReleaseParams
from hearth.releasing import WorseError, promote
from hearth.revisions import Commit
from hearth.roads import deliver, forget_too, run_road
from hearth.sources import opened, stream
from hearth.splitting import SplitParams
from hearth.storage import parsed_json, read_bytes, read_json, read_text, read_yaml, write_text
from hearth.strict import Listed, Strict
from hearth.worktrees import Tree, tidy_end, work_tree

BRANCH = "retrain"
STEPS = 9  # to begin, seven stages, to commit

Verdict = Literal["no worse", "worse", "not proved", "the gate says no", "no champion", "nothing new"]


class Retrained(Strict):
    """Hold what became of a retraining; `promoted` is the version that is the champion by it."""

    as_of: str
    base: str
    champion: str | None
    branch: str | None
    commit: str | None
    reused: bool
    verdict: Verdict
    reasons: Annotated[tuple[str, ...], Listed] = ()
    promoted: str | None = None
    comparison: Comparison | None = None

    @property
    def fine(self) -> bool:
        """Return whether the answer is yes."""
        return self.promoted is not None or self.verdict in {"no worse", "no champion", "nothing new"}


@dataclass(frozen=True)
class Start:
    """Hold from where it is retrained: the champion's commit, or HEAD where nothing is released."""

    commit: str
    champion: Release | None
    as_of: datetime.date
    test_from: datetime.date
    collect: CollectParams

    @property
    def source(self) -> str:
        """Return where the sales come from."""
        return self.collect.source

    @property
    def table(self) -> Path | None:
        """Return the table, or the folder of tables, that the source is; None where it is outside of the project."""
        if "://" in self.source:
            return None
        path = Path(self.source)
        return path.parent if any(letter in path.name for letter in "*?[") else path

    @property
    def words(self) -> str:
        """Return whose commit it is."""
        return f"the champion {self.champion.version}" if self.champion else "HEAD"

    def answer(self, as_of: datetime.date, verdict: Verdict, *reasons: str, made: "Made | None" = None) -> Retrained:
        """Return an answer without a comparison."""
        return Retrained(
            as_of=str(as_of), base=self.commit, champion=self.champion.version if self.champion else None,
            branch=made.branch if made else None, commit=made.commit if made else None,
            reused=made.reused if made else False, verdict=verdict, reasons=reasons,
        )  # fmt: skip


@dataclass(frozen=True)
class Made:
    """Hold a branch on which a road ran; it is `reused` if it was there before."""

    branch: str
    commit: str
    reused: bool

    @property
    def candidate(self) -> Commit:
        """Return the commit by the branch's name."""
        return Commit(self.branch, self.commit)


def retrain(
    as_of: datetime.date | None = None, to_promote: bool = False, reason: str | None = None, push_tags: bool = False
) -> Retrained:
    """Retrain on the sales before a day, by default on all there are by now; the process works in another folder meanwhile."""
    environment = section("releases", ReleaseParams).environment
    _check_git()
    if to_promote:
        default_remote()  # refuses at once what would be refused after minutes
    home = Path.cwd()
    with tidy_end(), one_at_a_time("retrain", "retraining"):
        champion = releases(environment).champion
        commit = champion.commit if champion else git("rev-parse", "HEAD")
        # The params are those of the commit, not those of the caller's files, which may have changed.
        with work_tree(commit) as tree, contextlib.chdir(tree.folder):
            known = section("collect", CollectParams)
            split = section("split", SplitParams)
            start = Start(commit, champion, known.as_of, split.test_from, known)
            _check_source(start)
            with progress(STEPS, unit="step") as step:
                if as_of is not None and as_of <= start.as_of:
                    return _not_later(as_of, start)
                if start.table is not None:
                    deliver(tree, home, start.table)
                forget_too(tree, home)
                wanted = _day(as_of, start)
                if wanted <= start.as_of:
                    said = f"{start.words} knows the sales before {start.as_of}, and {start.source} has none after them yet"
                    return start.answer(wanted, "nothing new", said)
                made = _made(tree, home, start, wanted, step)
            if (gate := parsed_json(made.candidate.read(GATE), f"{GATE} of {made.branch}")) and not gate["passed"]:
                return start.answer(wanted, "the gate says no", *gate["reasons"], made=made)
            return _judged(start, wanted, made, to_promote, reason, push_tags)


def _check_git() -> None:
    """Refuse at once what git would refuse after minutes."""
    if run("-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT").returncode:
        raise WrongUseError(
            "git does not know who you are; `git config user.name` and `git config user.email` tell it."
        )
    if run("show-ref", "--verify", "--quiet", f"refs/heads/{BRANCH}").returncode == 0:
        raise WrongUseError(f"there is a branch {BRANCH}, so git can have none called {BRANCH}/...; rename it: "
                            f"`git branch --move {BRANCH} NAME`.")  # fmt: skip


def _check_source(start: Start) -> None:
    """Refuse a stream: a work tree is taken away, and with it would go what the broker has let go."""
    if start.source.startswith(tuple(f"{scheme}://" for scheme in stream.SCHEMES)):
        folder = SOURCES / str(start.collect.options.get("folder"))
        raise Refusal(f"{start.source} is a stream, whose readings are given once; `dvc repro collect` takes them into {folder}. Set "
                      f"collect.source to {folder} and collect.options to {{}} where it is retrained.")  # fmt: skip


def _not_later(as_of: datetime.date, start: Start) -> Retrained:
    """Answer that nothing is to be done where the champion is this retraining; refuse everything else."""
    if as_of == start.as_of and start.champion and start.commit in _branches(as_of).values():
        return start.answer(as_of, "nothing new", f"retrained on the sales before {as_of} is {start.words} already")
    raise WrongUseError(f"--as-of {as_of} is not later than that of {start.words}, {start.as_of}; a retraining takes in later sales "
                        "(`hearth rollback` goes back to an older release).")  # fmt: skip


def _day(as_of: datetime.date | None, start: Start) -> datetime.date:
    """Return up to which day the sales are taken in: by default up to the newest one, but not from the future."""
    contract = parse_contract(read_yaml(CONTRACT), str(CONTRACT))
    source = opened(start.source, start.collect.options, contract)
    since = start.as_of if source.since else None
    found = (
        pc.max(batch.shaped(contract)[contract.watermark]).as_py() for batch in source.batches(since, datetime.date.max)
    )
    newest = max(filter(None, found), default=None)
    if newest is None and since is None:
        raise Refusal(f"{start.source} has no day in its column {contract.watermark}; deliver it anew.")
    newest = min(newest or start.as_of - datetime.timedelta(days=1), datetime.date.max - datetime.timedelta(days=1))
    latest = newest + datetime.timedelta(days=1)
    if as_of is None:
        return min(latest, now().date())
    if as_of > latest:
        raise WrongUseError(
            f"--as-of {as_of} is beyond the data: the newest sale of {start.source} is of {newest}; wanted at most {latest}."
        )
    return as_of


def _branches(as_of: datetime.date) -> dict[str, str]:
    """Return the commits of the branches of a day, by the branches' names, the oldest first."""
    listed = git("for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", f"refs/heads/{BRANCH}/{as_of}*")
    return dict(line.split() for line in listed.splitlines())


def _made(tree: Tree, home: Path, start: Start, as_of: datetime.date, step: Step) -> Made:
    """Return a branch whose road ran on these params and this source, from this commit: one that there is, or a new one."""
    moved = start.test_from + (as_of - start.as_of)
    said = f"retraining on the sales before {as_of}, from {start.words}, which knows those before {start.as_of}"
    step(f"{said}; tested on the sales from {moved} on", 1)
    text, _ = edited(read_text(PARAMS), {"collect.as_of": str(as_of), "split.test_from": str(moved)})
    write_text(PARAMS, text)
    tree.git("add", "--all")
    given = [name for name in tree.git("diff", "--cached", "--name-only").splitlines() if name != PARAMS.as_posix()]
    known = _branches(as_of)
    for branch, commit in known.items():
        if _is_of(tree, start, commit, [PARAMS.as_posix(), *given]) and _whole(Commit(branch, commit)):
            tree.git("checkout", "--quiet", "--force", "--detach", commit)
            step(f"{branch} is there already, from the same commit, params and source: nothing is run again", STEPS - 1)
            return Made(branch, commit, reused=True)
    if read_bytes(LOCK) != read_bytes(home / LOCK):
        print(
            f"note: {LOCK} is another at {start.words}; the road runs with the libraries that are installed here",
            file=sys.stderr,
        )
    reasons = run_road(tree, step)
    status, complaint = tree.hearth("docs")
    if status:
        print(f"note: `hearth docs` failed on the branch, so README.md's tables are those of before: {complaint[-1:]}",
              file=sys.stderr)  # fmt: skip
    step("committing the branch", 1)
    tree.git("add", "--all")
    tree.git(
        "commit", "--quiet", "--message", _message(start, as_of, reasons), dated=now().isoformat(timespec="seconds")
    )
    commit = tree.git("rev-parse", "HEAD")
    names = (f"{BRANCH}/{as_of}" + (f"-{number}" if number > 1 else "") for number in itertools.count(1))
    branch = next(name for name in names if name not in known)
    tree.git("update-ref", "-m", "hearth retrain", f"refs/heads/{branch}", commit, "0" * 40)
    return Made(branch, commit, reused=False)


def _is_of(tree: Tree, start: Start, commit: str, names: list[str]) -> bool:
    """Return whether a branch's commit is a child of the start whose params and source are those of the tree's index."""
    if git("rev-parse", f"{commit}^") != start.commit:
        return False
    tables = [str(start.table), f"{start.table}.dvc"] if start.table else []
    return not tree.git("diff", "--cached", "--name-only", commit, "--", *names, *tables)


def _whole(commit: Commit) -> bool:
    """Return whether a road ran to its end: to the bento, or to a gate that says no."""
    try:
        if not parsed_json(commit.read(GATE), str(GATE))["passed"]:
            return True
        check_lock(commit)
    except (Refusal, KeyError, TypeError):
        return False
    return True


def _message(start: Start, as_of: datetime.date, reasons: list[str]) -> str:
    """Return what the commit says of itself."""
    metrics = read_json(METRICS)
    figures = (f"mdape {metrics['mdape']:.2%}, bias {metrics['bias']:+.2%} and coverage {metrics['coverage']:.1%} on "
               f"{metrics['rows_test']:,} test sales")  # fmt: skip
    return "\n".join([
        f"Retrain on the sales before {as_of}" + (": the gate says no" if reasons else ""),
        "",
        f"From {start.words} ({start.commit[:7]}), which knows the sales before {start.as_of}. Only the data differ:",
        f"collect.as_of and split.test_from moved by {(as_of - start.as_of).days} days, code and other params are the same.",
        "",
        *([f"The gate says no: {reason}." for reason in reasons] or [f"The gate says yes: {figures}."]),
        "",
        "Made by `hearth retrain`.",
    ])  # fmt: skip


def _judged(
    start: Start, as_of: datetime.date, made: Made, to_promote: bool, reason: str | None, push_tags: bool
) -> Retrained:
    """Return the comparison with the champion and what it comes to, and promote if asked and allowed."""
    bare = start.answer(as_of, "no champion", made=made)
    if to_promote:
        if not reason and (before := _taken_back(made)):
            return bare.model_copy(update=_no([], [before]))
        try:
            done = promote(made.candidate, reason, push_tags)
        except WorseError as error:
            return bare.model_copy(update=_no(error.hard, error.doubts) | {"comparison": error.comparison})
        except Refusal as refusal:
            raise type(refusal)(f"{made.branch} is retrained, but not promoted: {refusal}") from None
        verdict = "no worse" if done.comparison else "no champion"
        return bare.model_copy(update={"verdict": verdict, "promoted": done.version, "comparison": done.comparison})
    if start.champion is None:
        return bare
    print(f"comparing {made.branch} with {start.words}", file=sys.stderr, flush=True)
    found, hard, doubts = judge(start.champion, side(made.candidate), section("releases", ReleaseParams))
    return bare.model_copy(update=_no(hard, doubts) | {"comparison": found})


def _taken_back(made: Made) -> str:
    """Return that this very commit was live and was rolled back from, so that a schedule does not promote it for ever; else nothing."""
    known = releases(section("releases", ReleaseParams).environment)
    if (release := known.registered(made.commit)) is None:
        return ""
    own = [
        event
        for event in known.events
        if event.release.version == release.version or event.evidence.get("previous") == release.version
    ]
    if not own or own[-1].action != "rollback" or own[-1].release.version == release.version:
        return ""
    return f"it was {release.version} and was rolled back from ({own[-1].reason}); only a --reason makes it the champion again"


def _no(hard: list[str], doubts: list[str]) -> dict[str, Any]:
    verdict = "worse" if hard else "not proved" if doubts else "no worse"
    return {"verdict": verdict, "reasons": tuple(hard + doubts)}
