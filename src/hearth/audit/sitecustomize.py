"""Log each file below the project that a Python process opens, and each section of params.yaml that it reads.

Python imports this by itself when its folder is on PYTHONPATH. It does nothing unless HEARTH_AUDIT names a folder for the
logs, HEARTH_AUDIT_ROOT the project, and DVC_STAGE, which DVC sets, the stage. The first line of a log is the stage; the
others are `read PATH`, `write PATH` or `params SECTION`. Bytecode counts as its source. What native code opens by itself,
as Arrow would, raises no event: storage.py and parquet.py open files in Python for that reason.
"""

import os
import sys

_FOLDER, _ROOT, _STAGE = (os.environ.get(name) for name in ("HEARTH_AUDIT", "HEARTH_AUDIT_ROOT", "DVC_STAGE"))


def _start(folder: str, root: str, stage: str) -> None:
    log = os.open(os.path.join(folder, str(os.getpid())), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    top = os.path.realpath(root) + os.sep
    holding = False  # while the stage holds its inputs to dvc.lock, which is no use of them

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal holding
        if event == "hearth.holding":
            holding = bool(arguments[0])
        elif event == "hearth.params":
            os.write(log, f"params {arguments[0]}\n".encode())
        elif event == "open" and not holding and isinstance(arguments[0], (str, bytes)):
            path = os.path.abspath(os.fsdecode(arguments[0]))
            if path.startswith(top) and not os.path.isdir(path):
                writes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
                name = path[len(top) :]
                if "__pycache__" in name:
                    if writes:
                        return
                    name = os.path.join(
                        os.path.dirname(os.path.dirname(name)), os.path.basename(name).split(".")[0] + ".py"
                    )
                if writes or os.path.isfile(top + name):  # a name below an open folder is not ours to resolve
                    os.write(log, f"{'write' if writes else 'read'} {name}\n".encode())

    os.write(log, f"{stage}\n".encode())
    sys.addaudithook(hook)


if _FOLDER and _ROOT and _STAGE:
    _start(_FOLDER, _ROOT, _STAGE)
