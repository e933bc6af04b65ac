"""Run a commit's whole road anew: in an empty clone, in its own locked environment, from its source alone, watched.

Nothing of this folder's outputs, cache or run cache is used, so what comes out is what anybody gets who clones.
"""

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hearth.auditing import Deeds, deeds_of
from hearth.dvc_local import configure, settings
from hearth.errors import Refusal, WrongUseError
from hearth.git import git
from hearth.locks import touch
from hearth.progress import Step
from hearth.pushed import carried_by_git
from hearth.revisions import Commit
from hearth.roads import run_road
from hearth.storage import read_folder
from hearth.worktrees import NO_HOOKS, Tree, tidy_end

PREFIX = "hearth-verify-"
CLONE = "ein Ort, weit über dem Fluß"  # as people name folders: no path stands in a byte, or in the way of a program
AUDIT = Path(__file__).resolve().parent / "audit"
HERE = "hearth-here"  # this folder's cache, as a remote of the clone
# Git's own, where a hook started us, and those of `make verify` would lead the clone's programs back to this folder.
STRAY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "VIRTUAL_ENV")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "PYTHON_CPU_COUNT")
# The second where the first is what the caller has.
OTHERWISE = {"TZ": ("Asia/Kathmandu", "America/St_Johns"), "LC_ALL": ("C", "C.UTF-8"), "PYTHONHASHSEED": ("7", "8")}
WATCH = ("HEARTH_AUDIT", "HEARTH_AUDIT_ROOT", "HEARTH_AUDIT_HOME", "PYTHONPATH", "DVC_STAGE")  # what watches the stages
KERNEL = (
    "OPENBLAS_CORETYPE"  # which processor's code OpenBLAS takes; Prescott's is the oldest and runs on each of this kind
)
SET_UP = ".venv/road.done"  # the target of the Makefile that makes the environment of the road

# Asks an environment what it is; its own Python runs it.
_ASK = """
import importlib.metadata, json, platform
kernels = []
try:
    import numpy
    from threadpoolctl import threadpool_info
    kernels = sorted({str(one.get("architecture")) for one in threadpool_info() if one["user_api"] == "blas"})
except ImportError:
    pass
print(json.dumps({
    "python": platform.python_version(), "implementation": platform.python_implementation(),
    "system": platform.system(), "machine": platform.machine(), "blas_kernels": kernels,
    "packages": {one.name: one.version for one in importlib.metadata.distributions()},
}))
"""


@dataclass
class Rebuilt:
    """Hold what a rebuild came to: what its environment is, which stages ran and what they did, and where it broke, if it did."""

    environment: Mapping[str, Any]
    ran: set[str] = field(default_factory=set)
    deeds: Mapping[str, Deeds] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    broke: str | None = None


def conditions() -> dict[str, str]:
    """Return what is made otherwise than usual for the road, since no byte may depend on it."""
    threads = str((os.cpu_count() or 1) + 1)
    usual = {
        name: next(value for value in values if value != os.environ.get(name)) for name, values in OTHERWISE.items()
    }
    return usual | dict.fromkeys(THREADS, threads) | (_older_processor() if platform.machine() == "x86_64" else {})


def _older_processor() -> dict[str, str]:
    """Return what makes numpy and OpenBLAS compute as on a processor of 2004, whose last bits are others for the same formula."""
    import numpy as np

    found = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    # Where a machine names a kernel of its own, others may not work on it.
    kernel = {} if KERNEL in os.environ else {KERNEL: "Prescott"}
    return kernel | ({"NPY_DISABLE_CPU_FEATURES": " ".join(found)} if found else {})


@contextmanager
def cloned(commit: Commit, keep: Path | None = None) -> Iterator[Path]:
    """Yield a clone at a commit, with the remotes of this repository; it is gone afterwards, unless `keep` names a folder for it."""
    scratch = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    folder = keep or scratch / CLONE
    try:
        with tidy_end():
            home = git("rev-parse", "--path-format=absolute", "--git-common-dir")
            # Copies: what goes wrong with an object here is none of that one's business.
            if keep and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
                raise WrongUseError(f"{keep} is there already, and not empty; name a new folder.")
            git(*NO_HOOKS, "clone", "--quiet", "--no-hardlinks", "--no-checkout", home, str(folder))
            Tree(folder).git("checkout", "--quiet", "--detach", str(commit.commit))
            yield folder
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def rebuild(folder: Path, commit: Commit, python: str | None, changed: Mapping[str, str], step: Step) -> Rebuilt:
    """Run the road of a clone by force, without any run cache, in a new environment of this Python; without one, in that of here."""
    with tempfile.TemporaryDirectory(prefix=PREFIX) as aside:
        return _rebuild(folder, commit, python, changed, step, Path(aside))


def _rebuild(
    folder: Path, commit: Commit, python: str | None, changed: Mapping[str, str], step: Step, aside: Path
) -> Rebuilt:
    own = {"DVC_SITE_CACHE_DIR": str(aside / "site")}
    if python is None:
        programs = Path(sys.executable).parent
    else:
        step(f"installing requirements.lock for {Path(python).name}", 1)
        _set_up(Tree(folder, more=own | {"PYTHONPATH": None}), python)
        programs = folder / ".venv/bin"
    tree = Tree(folder, programs, own)
    found = Rebuilt(_asked(tree, changed))
    step("pulling the source", 1)
    found.notices += _source(tree, commit)
    logs = aside / "logs"
    logs.mkdir()
    watched = {"HEARTH_AUDIT": str(logs), "HEARTH_AUDIT_ROOT": str(folder), "HEARTH_AUDIT_HOME": str(Path.cwd())}
    for out in (out for stage in commit.stages()[0] for out in stage.outs):
        _clear(folder / out)
    path = {"PYTHONPATH": f"{folder / 'src'}{os.pathsep}{AUDIT}"}
    road = Tree(folder, programs, own | watched | path | dict(changed))
    try:
        if reasons := run_road(road, step, "--force", "--no-run-cache", ran=found.ran):
            found.broke = "the gate says no, so nothing was packaged: " + "; ".join(reasons)
    except Refusal as refusal:
        found.broke = str(refusal)
    found.deeds = deeds_of(content.decode() for content in read_folder(logs).values())
    return found


def _clear(path: Path) -> None:
    """Take away an output that git keeps: a stage has to make it, and not find it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _set_up(tree: Tree, python: str) -> None:
    status, said = tree.run("make", "--no-print-directory", SET_UP, f"PYTHON={python}")
    if status:
        raise WrongUseError("the locked environment cannot be installed (`make .venv/road.done`); look at the network and at "
                      "requirements.lock, or verify with --here:\n  " + "\n  ".join(said))  # fmt: skip


def _asked(tree: Tree, changed: Mapping[str, str]) -> dict[str, Any]:
    """Return what the environment of the road is, under the conditions of the road."""
    python = tree.programs / "python"
    status, said = Tree(tree.folder, tree.programs, {**tree.more, **changed}).run(str(python), "-c", _ASK)
    if status:
        raise WrongUseError(f"{python} cannot say what is installed there ({said[-1] if said else 'it said nothing'}); look at the "
                      "environment of --keep FOLDER.")  # fmt: skip
    return dict(json.loads(said[-1]))


def _source(tree: Tree, commit: Commit) -> list[str]:
    """Pull what stages depend on and `.dvc` files name; from this folder's cache if no remote has it, which is worth a notice."""
    cache, remotes, default = settings()
    # A remote that travels in git is the clone's own.
    carried = carried_by_git(remotes, Path.cwd())
    away = {name: {**({} if name in carried else one), "verify": "true"} for name, one in remotes.items()}
    deps = {dep for stage in commit.stages()[0] for dep in stage.deps}
    wanted = {pointer for out, pointer in commit.pointers().items() if any(touch(out, dep) for dep in deps)}
    notices = []
    own = {"dir": str(tree.folder / ".dvc/cache")}  # also where the project's settings name a shared one
    configure(tree.folder, own, away | {HERE: {"url": cache["dir"], "verify": "true"}}, default)
    for pointer in sorted(wanted):
        status, said = tree.run("dvc", "pull", "--quiet", pointer)
        if status and tree.run("dvc", "pull", "--quiet", "--remote", HERE, pointer)[0]:
            raise Refusal(f"the source cannot be had: `dvc pull {pointer}` failed, and the cache here does not have it either, "
                          "or not as it was:\n  " + "\n  ".join(said))  # fmt: skip
        if status:
            notices.append(f"{pointer.removesuffix('.dvc')} came from the cache here; others get it from no remote: "
                           f"`dvc push {pointer}`")  # fmt: skip
    configure(tree.folder, own, away, default)
    return notices


def interpreter() -> str:
    """Return the Python that a new environment is made of: the one that this one was made of."""
    return str(getattr(sys, "_base_executable", sys.executable))
