"""Log each file below the project that a Python process opens, and each section of params.yaml that it reads.

Python imports this by itself when its folder is on PYTHONPATH. It does nothing unless HEARTH_AUDIT names a folder for the
logs, HEARTH_AUDIT_ROOT the project, and DVC_STAGE, which DVC sets, the stage. HEARTH_AUDIT_HOME may name the folder that the
project was cloned from, in which nothing is to be looked up. The first line of a log is the stage; the others are `read PATH`, `write PATH` or `params SECTION`. Bytecode counts as its source. What native code opens by itself,
as Arrow would, raises no event: storage.py and parquet.py open files in Python for that reason.
"""

import os
import sys

_FOLDER, _ROOT, _HOME, _STAGE = map(
    os.environ.get, ("HEARTH_AUDIT", "HEARTH_AUDIT_ROOT", "HEARTH_AUDIT_HOME", "DVC_STAGE")
)


def _start(folder: str, root: str, stage: str) -> None:
    log = os.open(os.path.join(folder, str(os.getpid())), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    top, own = os.path.realpath(root) + os.sep, os.path.realpath(sys.prefix) + os.sep
    home = os.path.realpath(_HOME) + os.sep if _HOME else top
    holding = False  # while the stage holds its inputs to dvc.lock, which is no use of them

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal holding
        if event == "hearth.holding":
            holding = bool(arguments[0])
        elif event == "hearth.params":
            os.write(log, f"params {arguments[0]}\n".encode())
        elif event == "open" and not holding and isinstance(arguments[0], (str, bytes, os.PathLike)):
            path = os.path.abspath(os.fsdecode(arguments[0]))
            writes = isinstance(arguments[2], int) and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
            if path.startswith(top):
                name = _name(path[len(top) :], writes)
                # A name below an open folder is not ours to resolve.
                if name and not os.path.isdir(path) and (writes or os.path.isfile(top + name)):
                    _tell(log, "write" if writes else "read", name)
            elif path.startswith(home) and not path.startswith(own) and os.path.isfile(path):
                _tell(log, "read", path)

    os.write(log, f"{stage}\n".encode())
    sys.addaudithook(hook)


def _name(name: str, writes: bool) -> str:
    """Return a file's name in the project, that of its source for bytecode; nothing for bytecode that is written."""
    if "__pycache__" not in name:
        return name
    folder = os.path.dirname(os.path.dirname(name))
    return "" if writes else os.path.join(folder, os.path.basename(name).split(".")[0] + ".py")


def _tell(log: int, kind: str, name: str) -> None:
    os.write(log, f"{kind} {name}".replace("\n", "\\n").encode(errors="backslashreplace") + b"\n")


if _FOLDER and _ROOT and _STAGE:
    _start(_FOLDER, _ROOT, _STAGE)
