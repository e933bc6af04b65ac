"""Break commands in their middle, and make the smallest project whose stages are run as hearth's are."""

import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import tiny
from conftest import PROJECT, Checkout, checkout_at, needs
from servers import family

WITHIN_S = 120  # for what takes a second on a quiet machine
RUNBOOK = (PROJECT / "docs/operations.md").read_text()
SECTION = RUNBOOK.split("\n## What goes wrong with the road\n")[1].split("\n## ")[0]
ROWS = dict(re.findall(r"^\| (.+?) \| .+ \| (.+?) \|$", SECTION, flags=re.MULTILINE))


def remedy(seen: str) -> list[list[str]]:
    """Return the commands of the runbook's row for what is seen, as words."""
    (row,) = [typed for what, typed in ROWS.items() if seen in what]
    return [shlex.split(command) for command in re.findall(r"`([^`]+)`", row)]


def type_in(checkout: Checkout, seen: str) -> str:
    """Type what the runbook says in the row for what is seen; return what the last command said."""
    said = ""
    for command in remedy(seen):
        done = checkout.run(*command)
        said = done.stdout + done.stderr
    return said


def until(true: Callable[[], object], what: str) -> None:
    """Wait for a condition, however slow the machine is."""
    deadline = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < deadline, f"it never came: {what}"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Return whether a process runs; one that ended and is not waited for does not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


@dataclass
class Paused:
    """Be a command that stands in its middle, by its own process or by that of a stage."""

    command: "subprocess.Popen[bytes]"
    pid: int  # of the process that stands still
    mark: Path
    all: list[int]  # the command's process and all that it started
    said: Path

    def kill_all(self) -> None:
        """Kill the command's group, as a closed terminal or a full memory does, and wait until nothing of it is left."""
        os.killpg(self.command.pid, signal.SIGKILL)
        self.gone()

    def kill_alone(self) -> None:
        """Kill the command's own process."""
        self.command.kill()
        self.command.wait(WITHIN_S)

    def go_on(self) -> None:
        """Let the process that stands still go on."""
        self.mark.unlink()

    def gone(self) -> None:
        """Wait until nothing of it runs any more."""
        self.command.wait(WITHIN_S)
        until(lambda: not any(map(alive, self.all)), f"the end of {[one for one in self.all if alive(one)]}")


@contextmanager
def paused(checkout: Checkout, command: str, at: str, event: str, part: str, number: int = 1) -> Iterator[Paused]:
    """Run a command until the process whose command line has `at` stands at an event (tests/pause)."""
    mark = checkout.root.parent / f"{checkout.root.name}-mark"
    own = {
        "HEARTH_PAUSE": f"{at}|{event}|{part}|{number}|{mark}",
        "PYTHONPATH": f"{checkout.environment['PYTHONPATH']}{os.pathsep}{PROJECT / 'tests/pause'}",
    }
    said = mark.with_name(f"{mark.name}-said")
    with said.open("w") as out:
        process = subprocess.Popen(command.split(), cwd=checkout.root, env=checkout.environment | own, stdout=out,
                                   stderr=out, start_new_session=True)  # fmt: skip
    found: list[int] = []
    try:
        until(lambda: mark.exists() or process.poll() is not None, f"{at} at {event}")
        if not mark.exists():
            pytest.fail(f"{command} ended before {at} came to {event} {part}: {said.read_text()}")
        found = family(process.pid)
        yield Paused(process, int(mark.read_text()), mark, found, said)
    finally:
        mark.unlink(missing_ok=True)
        for one in {process.pid, *found}:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        process.wait()


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    """Mount a disk of so many bytes at a folder; skip the test where nobody may."""
    mount, umount = needs("mount"), needs("umount")
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no disk can be mounted here ({done.stderr.decode().strip()}); as root it can")
    try:
        yield
    finally:
        subprocess.run([umount, "--lazy", folder], check=True)


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def objects(root: Path) -> dict[str, Path]:
    """Return the objects of the cache, each held to its name."""
    found = {path.parent.name + path.name: path for path in (root / ".dvc/cache/files/md5").glob("??/[0-9a-f]*")}
    for oid, path in found.items():
        assert oid.removesuffix(".dir") == md5_of(path), f"{path} is damaged"
    return found


def outputs(root: Path, *folders: str) -> dict[str, str]:
    """Return the hash of each file below folders, by its path; what has a hidden name is being written."""
    files = [path.relative_to(root) for folder in folders for path in (root / folder).rglob("*") if path.is_file()]
    return {str(path): md5_of(root / path) for path in files if not any(part.startswith(".") for part in path.parts)}


# A project of two stages that run by hearth's own start-up and write by its own door.

STAGE = '''"""Write two files, in two steps, from an input and the params."""
from pathlib import Path
from hearth.errors import Refusal
from hearth.stages import run
from hearth.storage import read_text, read_yaml, write_text

def main(source: Path = Path("SOURCE"), one: Path = Path("made/NAME/one"), two: Path = Path("made/NAME/two")) -> None:
    text = read_text(source) + read_yaml(Path("params.yaml"))["NAME"] + "\\n"
    write_text(one, text)
    if "fail" in text:
        raise Refusal("it fails here")
    write_text(two, text * 2)

if __name__ == "__main__":
    run(main)
'''


def project_of(target: Path) -> Checkout:
    """Return a project of two stages whose road ran and is committed and pushed to a folder beside it."""
    root = target / "project"
    shutil.copytree(PROJECT / "src/hearth", root / "src/hearth", ignore=shutil.ignore_patterns("__pycache__", "assets"))
    declared = ["stages:"]
    for name, source in (("first", "data/in.txt"), ("second", "made/first/two")):
        tiny.write(root, f"src/hearth/stages/{name}.py", STAGE.replace("NAME", name).replace("SOURCE", source))
        declared += [f"  {name}:", f"    cmd: python -m hearth.stages.{name}", f"    deps: [{source}]", f"    params: [{name}]",
                     f"    outs: [made/{name}/one, made/{name}/two]"]  # fmt: skip
    tiny.write(root, "dvc.yaml", "\n".join(declared) + "\n")
    tiny.write(root, "params.yaml", "first: old\nsecond: old\n")
    tiny.write(root, ".gitignore", "/made\n__pycache__/\n")
    tiny.write(root, "data/in.txt", "the source\n")
    checkout = checkout_at(root)
    checkout.run("git", "init", "--quiet", "-b", "main")
    checkout.run("dvc", "init", "--quiet")
    tiny.write(root, ".dvc/config", tiny.CONFIG)
    for command in ("dvc add --quiet data/in.txt", "dvc repro --quiet", "dvc push --quiet"):
        checkout.run(*command.split())
    tiny.commit(root)
    return checkout


def copied(checkout: Checkout, target: Path) -> Checkout:
    """Return a copy of a project, and of the remote beside it, on a machine on which DVC knows nothing yet."""
    shutil.copytree(checkout.root.parent, target, symlinks=True)
    root = target / checkout.root.name
    return replace(checkout, root=root, environment=checkout_at(root).environment)
