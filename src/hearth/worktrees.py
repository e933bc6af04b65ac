"""Work on a commit in a work tree of its own: in a temporary folder, with this repository's DVC cache and remotes.

The caller's branch, index and files are left alone. The tree is gone afterwards, also after Ctrl-C and SIGTERM; what a
`kill -9` left behind is taken away by the next one.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from types import FrameType

from hearth.dvc_local import configure, settings
from hearth.errors import Refusal
from hearth.git import git, run

PREFIX = "hearth-retrain-"
NO_HOOKS = ("-c", "core.hooksPath=/dev/null")  # a person's hooks, DVC's among them, are for the person's own work tree
SAID_LINES = 12


@dataclass(frozen=True)
class Tree:
    """Be a work tree; its commands run with its own code, by the programs in a folder.

    `more` changes their environment; None takes a variable away.
    """

    folder: Path
    programs: Path = field(default_factory=lambda: Path(sys.executable).parent)
    more: Mapping[str, str | None] = field(default_factory=dict)

    def git(self, *words: str, dated: str | None = None) -> str:
        """Return what git prints in it; refuse when it fails. `dated` is the time that a commit gets."""
        day = {} if dated is None else {"GIT_AUTHOR_DATE": dated, "GIT_COMMITTER_DATE": dated}
        command = ["git", "--no-pager", *NO_HOOKS, *words]
        done = subprocess.run(
            command, cwd=self.folder, env=os.environ | day, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Refusal(f"git {words[0]} failed in a work tree: {(done.stderr or done.stdout).strip()}")
        return done.stdout.strip()

    def hearth(self, *words: str) -> tuple[int, list[str]]:
        """Return the exit status of an operation, run by the tree's own code, and what it said last."""
        return self.run(sys.executable, "-P", "-c", "from hearth.cli import main; raise SystemExit(main())", *words)

    def run(self, *command: str, line: Callable[[str], object] = str) -> tuple[int, list[str]]:
        """Return the exit status of a command and the last lines that it said; `line` takes each as it comes."""
        said: list[str] = []
        with subprocess.Popen(command, cwd=self.folder, env=self._environment(), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                              start_new_session=True) as process:  # fmt: skip
            try:
                for text in process.stdout or ():
                    said = [*said, text.rstrip()][-SAID_LINES:]
                    line(text.rstrip())
                return process.wait(), said
            except BaseException:
                _end(process)
                raise

    def _environment(self) -> dict[str, str]:
        """Return the environment in which `python`, `dvc` and `hearth` are those that run here, on the tree's code."""
        own = {
            "PATH": f"{self.programs}{os.pathsep}{os.environ.get('PATH', '')}",
            "PYTHONPATH": str(self.folder / "src"),
        }
        return {name: value for name, value in {**os.environ, **own, **self.more}.items() if value is not None}


@contextmanager
def work_tree(commit: str) -> Iterator[Tree]:
    """Yield a work tree at a commit, on no branch. Its users hold the lock of retraining: there is one at a time."""
    _tidy()
    scratch = Path(mkdtemp(prefix=PREFIX)).resolve()
    tree = Tree(scratch / "tree")
    try:
        git(*NO_HOOKS, "worktree", "add", "--quiet", "--detach", str(tree.folder), commit)
        _configure(tree.folder)
        yield tree
    finally:
        _remove(tree.folder)


@contextmanager
def tidy_end() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the process as Ctrl-C does, through every `finally`; in a thread leave them alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # once: a second one would stop the tidying
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _configure(folder: Path) -> None:
    """Give a tree the DVC cache and the remotes of this one, those of config.local among them, by absolute paths."""
    configure(folder, *settings())


def _tidy() -> None:
    """Take away what a killed process left behind."""
    for line in git("worktree", "list", "--porcelain").splitlines():
        folder = Path(line.removeprefix("worktree "))
        if line.startswith("worktree ") and folder.parent.name.startswith(PREFIX):
            _remove(folder)
    git("worktree", "prune")


def _remove(folder: Path) -> None:
    run("worktree", "remove", "--force", "--force", str(folder))
    shutil.rmtree(folder.parent, ignore_errors=True)
    run("worktree", "prune")


def _end(process: "subprocess.Popen[str]") -> None:
    """End a command with all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=5)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
