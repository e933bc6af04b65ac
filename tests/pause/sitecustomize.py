"""Stop a process in the middle of its work, so that a test can kill it there however slow the machine is.

Python imports this by itself when its folder is on PYTHONPATH. It does nothing unless HEARTH_PAUSE says where:
`WORD|EVENT|PART|NUMBER|MARK`. The process whose command line has WORD stops at the NUMBER-th audit EVENT one of whose
arguments has PART; it writes its id into the file MARK, and goes on when that is gone.
"""

import os
import sys
import time

_WHERE = os.environ.get("HEARTH_PAUSE")


def _start(word: str, wanted: str, part: str, number: str, mark: str) -> None:
    if word not in " ".join(sys.orig_argv):
        return
    left = int(number)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event == wanted and any(
            part in os.fsdecode(one) for one in arguments if isinstance(one, (str, os.PathLike))
        ):
            left -= 1
            if left == 0:
                with open(f"{mark}.new", "w") as file:
                    file.write(str(os.getpid()))
                os.replace(f"{mark}.new", mark)
                while os.path.exists(mark):
                    time.sleep(0.01)

    sys.addaudithook(hook)


if _WHERE:
    _start(*_WHERE.split("|"))
