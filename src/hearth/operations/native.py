"""Compile the code that prices and batches are computed by, for this environment; `make` calls it.

Without a compiler the service computes in numpy: the same prices to the last bit, a batch in four times the time. Exit status 0 all
the same, with a notice; with --check, 1 where the compiled code is not there or not of this native.c.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from hearth.errors import Refusal
from hearth.native import FLAGS, LIBRARY, NATIVE, OFF, SOURCE, digest, native, place
from hearth.storage import write_bytes

COMPILERS = ("cc", "gcc", "clang")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take where to, and whether to look only."""
    parser.add_argument("-o", "--output", type=Path, help="the library (default: where this environment looks for it)")
    parser.add_argument("--check", action="store_true", help="only say whether this environment has it")


def run(options: argparse.Namespace) -> int:
    """Compile, or look for what was compiled."""
    if options.check:
        if os.environ.get(NATIVE) == OFF:
            raise Refusal(f"{NATIVE}={OFF} says to do without; unset it.")
        if native() is None:
            raise Refusal(f"{place()} is not there, or not of this {SOURCE.name}; `hearth native` makes it.")
        print("prices are computed by compiled code, once it has given numpy's answers")
        return 0
    target: Path = options.output or place()
    try:
        write_bytes(target, library())  # under another name first: a server that has the old one open goes on with it
    except Refusal as refusal:
        print(f"note: prices will be computed in numpy, which is slower: {refusal}", file=sys.stderr)
    except OSError as error:
        print(f"note: prices will be computed in numpy, which is slower: {target} cannot be written "
              f"({error.strerror}); work in a venv of your own.", file=sys.stderr)  # fmt: skip
    return 0


def library(*more: str) -> bytes:
    """Return the library, compiled with `more` flags; refuse where no compiler is, or it cannot compile this."""
    named = shlex.split(os.environ.get("CC", ""))
    compiler = named or [found for found in map(shutil.which, COMPILERS) if found][:1]
    if not compiler:
        raise Refusal(
            f"none of {', '.join(COMPILERS)} is here; install a C compiler, then `hearth native` compiles {SOURCE.name}."
        )
    with TemporaryDirectory(prefix="hearth-native-") as scratch:
        made = Path(scratch, LIBRARY)
        words = [*compiler, *FLAGS, *more, f'-DHEARTH_SOURCE="{digest()}"', "-o", str(made), str(SOURCE)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        except OSError as error:
            raise Refusal(f"CC names {compiler[0]}, which cannot be started ({error.strerror}).") from None
        if done.returncode:
            raise Refusal(f"{compiler[0]} cannot compile {SOURCE.name}: {done.stderr.strip()[-500:]}")
        return made.read_bytes()
