"""Run one stage as a scheduler's task: in a fresh checkout of one commit, from and to the DVC remote, on any machine.

What other stages made is taken from the commit's dvc.lock, or from what their tasks handed over (handover.py). A hand-over is
written last, when all that it names is on the remote; so a task that dies leaves nothing that another would use, and may be
tried again. A stage whose lock is true already runs nothing.
"""

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hearth.completeness import in_git
from hearth.dvc_local import configure, settings
from hearth.errors import Refusal, WrongUseError
from hearth.git import run as run_git
from hearth.handover import Handover, address, read, written
from hearth.locks import Stage, faults, md5
from hearth.paths import DVC_LOCK, LOCK, PARAMS
from hearth.pushed import ask
from hearth.revisions import Workspace, first_line
from hearth.stage_graph import after, upstream
from hearth.storage import read_text, write_bytes
from hearth.worktrees import NO_HOOKS, Tree, tidy_end

PREFIX = "hearth-task-"
TASK = "hearth-task"  # the remote that a task was given, in its own checkout


@dataclass(frozen=True)
class Place:
    """Say where a task's commit and its data are: a git repository, a commit or branch of it, a DVC remote (None: its default)."""

    repository: str
    commit: str
    remote: str | None


@contextlib.contextmanager
def checkout(place: Place) -> Iterator[tuple[Tree, str]]:
    """Yield a fresh checkout as the current folder, and its commit; it is gone afterwards."""
    with tidy_end(), _scratch() as folder:
        root = folder / "checkout"
        commit = cloned(place, root)
        with contextlib.chdir(root):
            _remote(root, place)
            yield Tree(root, more={"DVC_SITE_CACHE_DIR": str(root.parent / "site")}), commit


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """Yield a folder that is held while this process lives; take away those of tasks that were killed."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), contextlib.closing(_Hold(left)) as hold:
            if hold.taken():
                shutil.rmtree(left, ignore_errors=True)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
        with contextlib.closing(_Hold(folder)) as hold:
            if not hold.taken():  # another task has just found it unheld, and takes it away
                continue
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            return


class _Hold:
    """Be a hold on a folder, which goes with the process."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.opened = folder, os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    def taken(self) -> bool:
        """Return whether the folder is there, and now ours alone."""
        try:
            fcntl.flock(self.opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return self.folder.exists()

    def close(self) -> None:
        os.close(self.opened)


def cloned(place: Place, root: Path) -> str:
    """Clone the repository and check the commit out; return its hash. Refuse what cannot be had, with git's own word."""
    done = run_git(*NO_HOOKS, "clone", "--quiet", "--no-checkout", "--", place.repository, str(root))
    if done.returncode:
        raise Refusal(
            f"{place.repository} cannot be cloned ({_last(done.stderr)}); look at its address, the network and the keys."
        )
    for name in (place.commit, f"origin/{place.commit}"):
        found = run_git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", folder=root)
        if not found.returncode:
            commit = found.stdout.decode().strip()
            Tree(root).git("checkout", "--quiet", "--detach", commit)
            return commit
    raise WrongUseError(f"{place.repository} has no commit, branch or tag {place.commit}; push it, or name another.")


def perform(tree: Tree, commit: str, stage: str) -> str:
    """Run a stage in a checkout, unless its lock is true, and hand it over; return in words what was done."""
    here = Workspace()
    stages, _ = here.stages()
    order = after(stages)
    if stage not in order:
        raise WrongUseError(f"{stage} is no stage of dvc.yaml at {commit[:7]}; known are {', '.join(order)}.")
    remote = _opened(here.repository)
    entries = entries_of(here)
    for name in (*upstream(order, stage), stage):
        if (taken := _taken(remote, commit, name)) and (name != stage or _there(remote, taken.files)):
            entries[name] = taken.entry
            _restore(remote, taken.files)
    known = {one.name: one for one in stages}
    for name in upstream(order, stage):
        if said := stale(here, known[name], entries):
            raise Refusal(
                f"the stage {name}, which comes before {stage}, has not run for {commit[:7]} ({said[0]}); run its task first."
            )
    if not stale(here, known[stage], entries) and not _missing(here, remote.name, entries[stage]):
        return "as before: its entry in dvc.lock is true, and the remote has what it made"
    entries.pop(stage, None)  # DVC would take a stage whose inputs are not here for one that did not change
    write_lock(entries)
    _own_lock()
    _pull_inner(tree, known[stage])
    ran: list[str] = []

    def told(line: str) -> None:
        print(line, flush=True)
        ran.extend(re.findall(rf"^(Running) stage '{re.escape(stage)}'", line))

    if tree.run("dvc", "repro", "--single-item", "--pull", stage, line=told)[0]:
        raise Refusal(
            f"the stage {stage} failed; what it said stands above. Nothing of it was pushed, and it may be tried again."
        )
    status, said = tree.run("dvc", "push", "--run-cache", stage)
    if status:
        raise Refusal(
            f"what {stage} made cannot be pushed, so nothing is handed over; it may be tried again:\n  "
            + "\n  ".join(said)
        )
    entry = entries_of(Workspace())[stage]
    _give(remote, Handover(commit=commit, stage=stage, entry=entry, files=_uncached(entry)))
    return "ran" if ran else "taken from the run cache: it ran with these very inputs before"


def gather(commit: str, stages: Sequence[Stage]) -> dict[str, Any]:
    """Return the entries of all stages at a commit, and put the files that git keeps into the folder; refuse where one is not true."""
    here = Workspace()
    remote = _opened(here.repository)
    entries = entries_of(here)
    for name in after(stages):
        if taken := _taken(remote, commit, name):
            entries[name] = taken.entry
            _restore(remote, taken.files)
    found = [fault for one in stages for fault in stale(here, one, entries)]
    found += [str(one) for name in entries for one in _missing(here, remote.name, entries[name])]
    if found:
        raise Refusal(
            f"the road of {commit[:7]} is not whole on the remote:\n  "
            + "\n  ".join(found)
            + "\nRun the tasks that lack, then again."
        )
    write_lock(entries)
    return entries


def entries_of(here: Workspace) -> dict[str, Any]:
    """Return the entries of the lock by stage; none where there is no lock yet."""
    return dict(here.values(DVC_LOCK).get("stages") or {}) if DVC_LOCK.is_file() else {}


def write_lock(entries: Mapping[str, Any]) -> None:
    """Write dvc.lock as DVC itself would."""
    from dvc.utils.serialize import dumps_yaml

    if entries:
        write_bytes(DVC_LOCK, dumps_yaml({"schema": "2.0", "stages": dict(entries)}).encode())
    else:
        DVC_LOCK.unlink(missing_ok=True)


def stale(here: Workspace, stage: Stage, entries: Mapping[str, Any]) -> list[str]:
    """Return in words why a stage has to run: its entry is not that of its code, its params and what others made."""
    imported = here.stages()[1]
    made = {
        out["path"]: out.get("md5")
        for name, entry in entries.items()
        if name != stage.name
        for out in entry.get("outs") or ()
    }
    own = {"stages": {name: entry for name, entry in entries.items() if name == stage.name}}
    params = here.values(PARAMS) if PARAMS.is_file() else {}
    return faults([stage], own, params, lambda path: made.get(path) or in_git(here, imported, path))


@dataclass(frozen=True)
class _Remote:
    """Be the opened remote: its name, DVC's file system and its store of objects, and the address that all lies below."""

    name: str
    fs: Any
    odb: Any
    path: str


def _remote(root: Path, place: Place) -> None:
    """Let the checkout use the remote that was named; an object that is damaged there is not taken."""
    _, remotes, default = settings()
    if place.remote is not None:
        configure(root, {}, {TASK: {"url": place.remote, "verify": "true"}}, TASK)
    elif default is None:
        raise WrongUseError(
            "this commit names no default DVC remote, so tasks cannot hand anything over; name one by --remote."
        )
    else:
        configure(root, {}, {default: dict(remotes[default]) | {"verify": "true"}}, default)


def _opened(repository: Any) -> _Remote:
    name = str(repository.config["core"]["remote"])
    try:
        remote = repository.cloud.get_remote(name)
        return _Remote(name, remote.fs, remote.odb, str(remote.path))
    except Exception as error:
        raise _unreachable(name, error) from None


def _unreachable(name: str, error: Exception) -> Refusal:
    return Refusal(f"the DVC remote {name} cannot be asked ({first_line(error)}); nothing was changed, and the task may be tried "
                   "again. docs/operations.md, Remotes, says what to look at.")  # fmt: skip


def _taken(remote: _Remote, commit: str, stage: str) -> Handover | None:
    place = remote.fs.join(remote.path, *address(commit, stage).split("/"))
    try:
        with remote.fs.open(place, "rb") as file:
            content: bytes = file.read()
    except FileNotFoundError:
        return None
    except Exception as error:
        raise _unreachable(remote.name, error) from None
    return read(content, commit, stage)


def _give(remote: _Remote, handover: Handover) -> None:
    """Put the files that git keeps onto the remote as objects, then the hand-over."""
    place = remote.fs.join(remote.path, *address(handover.commit, handover.stage).split("/"))
    from dvc.fs import localfs

    try:
        for path, name in handover.files.items():
            remote.odb.add(str(Path(path).absolute()), localfs, name)
        remote.fs.makedirs(remote.fs.parent(place), exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=PREFIX) as file:
            file.write(written(handover))
            file.flush()
            remote.fs.put_file(file.name, place)
    except Exception as error:
        raise _unreachable(remote.name, error) from None


def _there(remote: _Remote, files: Mapping[str, str]) -> bool:
    try:
        return set(remote.odb.oids_exist(list(files.values()))) >= set(files.values())
    except Exception as error:
        raise _unreachable(remote.name, error) from None


def _restore(remote: _Remote, files: Mapping[str, str]) -> None:
    """Put files that git keeps where a stage left them, each held to its hash."""
    for path, name in files.items():
        try:
            with remote.fs.open(remote.odb.oid_to_path(name), "rb") as file:
                content: bytes = file.read()
        except FileNotFoundError:
            raise Refusal(f"{path} is handed over, but its object {name} is gone from the remote {remote.name}; run the task of the "
                          "stage that makes it anew.") from None  # fmt: skip
        except Exception as error:
            raise _unreachable(remote.name, error) from None
        if md5(content) != name:
            raise Refusal(f"{path} has the md5 {md5(content)} on the remote {remote.name}, wanted {name}: it is damaged there. Delete "
                          f"{remote.odb.oid_to_path(name)}, and run the task of the stage that makes it anew.")  # fmt: skip
        write_bytes(Path(path), content)


def _uncached(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return DVC's names of the files of a stage's outputs that git keeps, by path."""
    kept = {one.path for one in Workspace().outputs() if not one.kept and one.made}
    files: dict[str, str] = {}
    for out in entry.get("outs") or ():
        path = Path(out["path"])
        if out["path"] in kept:
            inside = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
            files |= {one.as_posix(): md5(one.read_bytes()) for one in inside}
    return files


def _missing(here: Workspace, remote: str, entry: Mapping[str, Any]) -> list[Any]:
    """Return which of a stage's outputs that DVC keeps others could not get."""
    kept = {one.path for one in here.outputs() if one.kept and one.made}
    objects = {str(out["md5"]): {out["path"]: "this run"} for out in entry.get("outs") or () if out["path"] in kept}
    try:
        return ask(here.repository, remote, "md5", objects, False)[1] if objects else []
    except WrongUseError as error:  # no fault of whoever asks: another try may find it up
        raise Refusal(str(error)) from None


def _pull_inner(tree: Tree, stage: Stage) -> None:
    """Pull what lies in a folder that a stage reads; `dvc repro --pull` pulls only what is itself a dep."""
    inner = [
        one.path
        for one in Workspace().outputs()
        if one.kept and any(one.path.startswith(f"{dep}/") for dep in stage.deps)
    ]
    if not inner:
        return
    status, said = tree.run("dvc", "pull", *inner)
    if status:
        raise Refusal(
            f"what {stage.name} reads cannot be pulled, so nothing ran; it may be tried again:\n  " + "\n  ".join(said)
        )


def _own_lock() -> None:
    """Refuse to run stages with other libraries than those that the commit's lock names."""
    from importlib.metadata import distributions

    from hearth.verification import of_another_version

    if not LOCK.is_file():
        return
    if said := of_another_version(read_text(LOCK), {one.name: one.version for one in distributions()}):
        raise Refusal("the environment of this task is not that of the commit's requirements.lock, so nothing ran; build the image or "
                      "the environment of this commit:\n  " + "\n  ".join(said[:10]))  # fmt: skip


def _last(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "git said nothing"
