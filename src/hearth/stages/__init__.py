"""Run a stage: one sentence and exit status 1 for a user's mistake, never a traceback.

Under DVC it ends with the DVC that started it, and reads no table or model but those that dvc.lock names.
"""

import errno
import hashlib
import inspect
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from hearth.errors import Refusal
from hearth.paths import DVC_LOCK
from hearth.storage import read_yaml

# Before any library starts its threads. Measured on 15,000 rows and two cores: boosting takes 1.3 times as long with one
# thread as with two, but two threads beside other load wait for each other at every node and take 40 times as long.
os.environ["OMP_NUM_THREADS"] = "1"

RWLOCK = Path(".dvc/tmp/rwlock")  # who reads and writes what, by the word of each DVC that is at work
FULL = (errno.ENOSPC, errno.EDQUOT)
LOOK_EVERY_S = 0.1
# DVC writes its locks in place, so another one at work beside ours may show half of one for a moment.
TRIES, BETWEEN_S = 30, 0.1
SETTLED_S = 1.0


def run(main: Callable[..., None], *found: Path) -> None:
    """Call `main` in the project's top folder; refuse to run another checkout's code over this one's data.

    Its inputs are its paths by default, and those that it has `found` otherwise.
    """
    try:
        _own_code()
        if stage := os.environ.get("DVC_STAGE", "").rpartition(":")[2]:
            _follow_dvc()
            defaults = (one.default for one in inspect.signature(main).parameters.values())
            _hold_to_lock([path for path in (*defaults, *found) if path.exists()], stage)
        main()
    except Refusal as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        raise SystemExit(1) from None
    except OSError as error:
        if error.errno not in FULL:
            raise
        print("error: the disk is full; no half-written file has its final name. Make room (`df .`), then the same command.",
              file=sys.stderr)  # fmt: skip
        raise SystemExit(1) from None


def _own_code() -> None:
    package = Path(__file__).resolve().parent.parent
    here = (Path.cwd() / "src" / "hearth").resolve()
    if package != here:
        raise Refusal(
            f"the code loaded is {package}, but this project's is {here}; run `make` here, or set PYTHONPATH=src."
        )


def _follow_dvc() -> None:
    """End this process as soon as its DVC has ended: left alone, it would write over what a later run made."""
    if not Path("/proc/self/stat").exists():  # not Linux: docs/operations.md says what to do there
        return
    if (dvc := _dvc()) is None:
        raise Refusal("the DVC that started this stage has ended, so nothing was written; `dvc repro` starts it anew.")

    def watch() -> None:
        while dvc in _ancestors():
            time.sleep(LOOK_EVERY_S)
        os._exit(1)  # at once: an exception would let a library's long call go on to its end

    threading.Thread(target=watch, daemon=True).start()


def _dvc() -> int | None:
    """Return the ancestor that holds DVC's lock on outputs; None if there is none any more.

    Not simply the parent: a shell may stand between, and an orphan gets another parent.
    """
    for _ in range(TRIES):
        try:
            holders = {held["pid"] for held in json.loads(RWLOCK.read_bytes())["write"].values()}
            return next((pid for pid in _ancestors() if pid in holders), None)
        except ValueError:
            time.sleep(BETWEEN_S)
        except (OSError, KeyError):
            break
    return None


def _ancestors() -> Iterator[int]:
    """Yield the processes that this one descends from, nearest first."""
    pid = os.getppid()
    while pid:
        yield pid
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
        except OSError:
            return


def _hold_to_lock(inputs: list[Path], own: str) -> None:
    """Refuse inputs that are not what other stages made, or what `.dvc` files name.

    DVC checks out what its cache has without reading it, and then takes the file for what it should be: it would have
    damaged bytes used as if they were right.
    """
    # What is opened here is no reading of the stage's, for who compares that with dvc.yaml.
    sys.audit("hearth.holding", True)
    try:
        if faults := _faults(inputs, own):
            time.sleep(SETTLED_S)  # it may have been half of dvc.lock, see above
            faults = _faults(inputs, own)
    finally:
        sys.audit("hearth.holding", False)
    if faults:
        raise Refusal("\n".join(faults) + "\nDamaged, it is mended by `hearth heal`; changed by you, it becomes the input by "
                  "`dvc repro` of all stages.")  # fmt: skip


def _faults(inputs: list[Path], own: str) -> list[str]:
    """Return in words how inputs differ from what dvc.lock says of other stages, and `.dvc` files of what lies beside them."""
    try:
        stages = read_yaml(DVC_LOCK)["stages"] if DVC_LOCK.exists() else {}
        known = [(name, Path(), out) for name, stage in stages.items() if name != own for out in stage["outs"]]
        beside = [file for path in inputs if (file := path.with_name(f"{path.name}.dvc")).is_file()]
        pointers = [*beside, *(file for path in inputs if path.is_dir() for file in sorted(path.rglob("*.dvc")))]
        known += [(file.as_posix(), file.parent, out) for file in pointers for out in read_yaml(file)["outs"]]
    except (Refusal, KeyError, TypeError) as error:
        return [f"{DVC_LOCK}, or a .dvc file, is not whole: {error}"]
    found = []
    for name, folder, out in known:
        path = folder / out["path"]
        ours = path.exists() and any(one == path or one in path.parents for one in inputs)
        # What an address named may have an etag instead, and what an older DVC wrote another kind of MD5.
        if ours and out.get("hash") == "md5" and (is_now := _md5(path)) != out["md5"]:
            found.append(f"{path} has the md5 {is_now}, wanted {out['md5']}, that of {name}.")
    return found


def _md5(path: Path) -> str:
    """Return DVC's name of the content of a file or a folder."""
    if path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.is_file())
        listed = [{"md5": _md5(one), "relpath": one.relative_to(path).as_posix()} for one in files]
        listed.sort(key=lambda one: one["relpath"])
        return hashlib.md5(json.dumps(listed).encode(), usedforsecurity=False).hexdigest() + ".dir"
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
