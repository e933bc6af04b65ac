"""Lay out what the image of the road is built from: the locked packages, and hearth as a wheel."""

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from hearth.errors import Refusal
from hearth.paths import LOCK
from hearth.storage import read_text, write_text

CONTAINERFILE = Path("deploy/Containerfile.road")
MORE = Path("deploy/road.lock")
EPOCH = "315532800"  # the first day of 1980, before which zip knows none: all times in the wheel


@dataclass(frozen=True)
class RoadImage:
    """Be what is to be built. Its name says which requirements.lock it has, and so for which commits it is."""

    lock_sha256: str
    containerfile: ClassVar[Path] = CONTAINERFILE
    size_mb_max: ClassVar[int] = 2100

    @property
    def tag(self) -> str:
        """Return the image's name."""
        return f"hearth-road:{self.lock_sha256[:12]}"

    @property
    def told(self) -> dict[str, str]:
        """Return the arguments of its build."""
        return {"LOCK_SHA256": self.lock_sha256}

    @property
    def about(self) -> str:
        """Return in words what is in it."""
        return f"for commits with this {LOCK}"

    @property
    def usage(self) -> str:
        """Return the end of the command that runs it."""
        return (f"           -e AWS_ACCESS_KEY_ID -e AWS_SECRET_ACCESS_KEY -e AWS_ENDPOINT_URL {self.tag} \\\n"
                "           task STAGE --repository URL --commit REV --remote s3://BUCKET/FOLDER")  # fmt: skip


def lay_out(context: Path) -> RoadImage:
    """Lay the packages' pins and hearth's wheel into the empty folder `context`; return what is to be built from it.

    builder.txt has what builds the one package that comes as source.
    """
    wanted = read_text(LOCK)
    write_text(context / "builder.txt", entry(LOCK, "setuptools"))
    write_text(context / "requirements.txt", wanted + read_text(MORE))
    command = [sys.executable, "-m", "flit_core.wheel", "--outdir", str(context)]
    own = os.environ | {"SOURCE_DATE_EPOCH": EPOCH}
    done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refusal(f"hearth cannot be packed as a wheel; look at pyproject.toml:\n{done.stderr.strip()}")
    return RoadImage(hashlib.sha256(wanted.encode()).hexdigest())


def entry(lock: Path, name: str) -> str:
    """Return the entry of a package in a hash-pinned lock, with its hashes; refuse where it is not in it."""
    found = re.search(rf"^{re.escape(name)}==.*\n(?:    --hash.*\n)+", read_text(lock), flags=re.MULTILINE)
    if not found:
        raise Refusal(f"{lock} has no hashed entry for {name}; `make lock` resolves it anew.")
    return found[0]
