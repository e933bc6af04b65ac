"""Break DVC itself, its cache and its locks, and hold that the runbook's commands bring back a right state."""

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from random import Random

import pytest
import tiny
from conftest import Checkout
from faulty import alive, copied, mounted, objects, outputs, paused, project_of, remedy, type_in, until
from servers import BUCKET, KEY, SECRET, running, s3, way

from hearth.bento import free_port
from hearth.locks import md5

RENAMED = "os.rename"
BEFORE_IT_WRITES = ("os.mkdir", "made/first")
BIG, RATE = 12 << 20, 12e6  # bytes, and bytes a second on a slow way: so many that a kill comes in the midst of them
OLD = {
    "made/first/one": "the source\nold\n",
    "made/first/two": "the source\nold\n" * 2,
    "made/second/one": "the source\nold\n" * 2 + "old\n",
    "made/second/two": ("the source\nold\n" * 2 + "old\n") * 2,
}
NEW = {path: text.replace("old", "new") for path, text in OLD.items()}
# In one process, since loading DVC takes most of its time.
NOTHING_TO_DO = """
import sys
from dvc.cli import main as dvc
from hearth.cli import main as hearth
sys.exit(hearth(["heal", "--check", "--all"]) or dvc(["status", "--quiet"]))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return project_of(tmp_path_factory.mktemp("made"))


@pytest.fixture
def checkout(made: Checkout, tmp_path: Path) -> Checkout:
    """Return a project whose road ran with the params `old`."""
    return copied(made, tmp_path / "copy")


def texts(checkout: Checkout) -> dict[str, str]:
    """Return the outputs that are there, by path; what has a hidden name is no output."""
    return {path: (checkout.root / path).read_text() for path in outputs(checkout.root, "made")}


def params(checkout: Checkout, word: str) -> None:
    tiny.write(checkout.root, "params.yaml", f"first: {word}\nsecond: {word}\n")


def right(checkout: Checkout, wanted: dict[str, str]) -> None:
    """Hold that the outputs are these, that DVC has nothing to do, and that all it has is what it takes it for."""
    assert texts(checkout) == wanted
    checkout.run(sys.executable, "-c", NOTHING_TO_DO)
    objects(checkout.root)


# Two at once, half an output, a lock that was left


def test_of_two_roads_at_once_the_second_is_told_and_the_first_ends_right(checkout: Checkout) -> None:
    params(checkout, "new")
    with paused(checkout, "dvc repro", "hearth.stages.first", RENAMED, ".partial", 2) as first:
        second = checkout.run("dvc", "repro", check=False)
        assert second.returncode
        assert "is busy, it is being blocked by" in second.stderr
        assert f"(PID {first.command.pid})" in second.stderr
        first.go_on()
        assert first.command.wait() == 0
    assert "up to date" in type_in(checkout, "is busy, it is being blocked by")
    right(checkout, NEW)


def test_a_stage_that_fails_with_half_of_its_output_costs_nothing_that_was_good(checkout: Checkout) -> None:
    lock, kept = (checkout.root / "dvc.lock").read_bytes(), set(objects(checkout.root))
    params(checkout, "fail")
    done = checkout.run("dvc", "repro", check=False)
    assert done.returncode
    assert "error: it fails here" in done.stderr
    assert texts(checkout) == {"made/first/one": "the source\nfail\n"} | {
        path: text for path, text in OLD.items() if "second" in path
    }
    assert (checkout.root / "dvc.lock").read_bytes() == lock
    assert set(objects(checkout.root)) == kept, "half an output is in the cache"
    assert checkout.run("dvc", "checkout", check=False).returncode, "without --force DVC would do it too"
    assert remedy("says that a stage failed") == [["dvc", "checkout", "--force"]]
    type_in(checkout, "says that a stage failed")
    params(checkout, "old")
    right(checkout, OLD)


def test_half_a_lock_of_dvcs_is_told_and_taken_away(checkout: Checkout) -> None:
    params(checkout, "new")
    tiny.write(checkout.root, ".dvc/tmp/rwlock", '{"write": {')
    assert "Unable to read RWLock-file" in checkout.run("dvc", "repro", check=False).stderr
    type_in(checkout, "Unable to read RWLock-file")
    right(checkout, NEW)


def test_a_lock_whose_owner_is_another_process_by_now_is_told_and_taken_away(checkout: Checkout) -> None:
    params(checkout, "new")
    held = {"write": {str(checkout.root / "made/first/one"): {"pid": os.getpid(), "cmd": "dvc repro"}}}
    tiny.write(checkout.root, ".dvc/tmp/rwlock", json.dumps(held))
    assert "is busy, it is being blocked by" in checkout.run("dvc", "repro", check=False).stderr
    type_in(checkout, "the process that is named is no DVC")
    right(checkout, NEW)


def test_a_dvc_lock_that_is_cut_off_comes_back_and_what_ran_does_not_run_again(checkout: Checkout) -> None:
    lock = checkout.root / "dvc.lock"
    params(checkout, "new")
    checkout.run("dvc", "repro", "--quiet")
    new = lock.read_bytes()
    for content, told in ((b"", "validation failed"), (new[:10], "is invalid"), (new[: len(new) // 2], "")):
        lock.write_bytes(content)
        if told:
            assert f"'./dvc.lock' {told}" in checkout.run("dvc", "repro", check=False).stderr
    assert "Running stage" not in type_in(checkout, "is invalid")
    assert lock.read_bytes() == new
    right(checkout, NEW)


def test_a_disk_that_is_full_for_dvc_is_told_and_after_making_room_the_road_goes_on(
    made: Checkout, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    with mounted(disk, "16m"):
        checkout = copied(made, disk / "copy")
        params(checkout, "new")
        lock = (checkout.root / "dvc.lock").read_bytes()
        filler = disk / "filler"
        with paused(checkout, "dvc repro", "hearth.stages.first", RENAMED, ".partial", 2) as middle:
            with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
                while True:
                    file.write(b"x" * 4096)
            middle.go_on()
            assert middle.command.wait()
            assert any(words in middle.said.read_text() for words in ("No space left on device", "disk I/O error"))
        assert (checkout.root / "dvc.lock").read_bytes() == lock
        objects(checkout.root)
        filler.unlink()
        type_in(checkout, "the disk is full")
        right(checkout, NEW)


# Orphans


def shell_between(folder: Path) -> str:
    """Return a shell that stays between DVC and the stage, as fish does, and older dash."""
    script = folder / "between"
    script.write_text('#!/bin/sh\n/bin/sh "$@"\nexit $?\n')
    script.chmod(0o755)
    return str(script)


@pytest.mark.parametrize("shell", ["/bin/sh", "between"])
def test_a_stage_ends_with_its_dvc_and_writes_over_nothing(checkout: Checkout, tmp_path: Path, shell: str) -> None:
    checkout.environment["SHELL"] = shell_between(tmp_path) if shell == "between" else shell
    params(checkout, "late")
    with paused(checkout, "dvc repro", "hearth.stages.first", *BEFORE_IT_WRITES) as orphan:
        orphan.kill_alone()
        orphan.gone()
        params(checkout, "new")
        assert "had been killed. Auto removed it from the lock file" in type_in(checkout, "has ended")
        right(checkout, NEW)


def test_without_that_an_orphan_writes_over_a_newer_run(checkout: Checkout) -> None:
    module = checkout.root / "src/hearth/stages/__init__.py"
    text = module.read_text()
    assert "            _follow_dvc()\n" in text
    module.write_text(text.replace("            _follow_dvc()\n", ""))
    params(checkout, "late")
    with paused(checkout, "dvc repro", "hearth.stages.first", *BEFORE_IT_WRITES) as orphan:
        orphan.kill_alone()
        params(checkout, "new")
        checkout.run("dvc", "repro", "--quiet")
        assert texts(checkout) == NEW
        orphan.go_on()
        orphan.gone()
    late = {path: text.replace("new", "late") for path, text in NEW.items() if "first" in path}
    assert texts(checkout) == NEW | late


def test_a_stage_that_starts_when_its_dvc_has_ended_writes_nothing(checkout: Checkout, tmp_path: Path) -> None:
    """Python takes a while to start; what is killed meanwhile is no ancestor by then."""
    script, told, mark = (tmp_path / name for name in ("late", "told", "mark"))
    script.write_text(
        f"#!/bin/sh\necho $$ >{mark}.new && mv {mark}.new {mark}\nwhile [ -e {mark} ]; do sleep 0.02; done\n"
        f'exec /bin/sh "$@" 2>{told}\n'
    )
    script.chmod(0o755)
    checkout.environment["SHELL"] = str(script)
    params(checkout, "late")
    dvc = subprocess.Popen(["dvc", "repro"], cwd=checkout.root, env=checkout.environment, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        until(mark.exists, "the shell")
        shell = int(mark.read_text())
    finally:
        dvc.kill()
        dvc.wait()
    mark.unlink()
    until(lambda: not alive(shell), "the end of the stage")
    assert "error: the DVC that started this stage has ended, so nothing was written" in told.read_text()
    assert "made/first/one" not in texts(checkout)


# Damaged objects


def test_damaged_bytes_that_dvc_trusts_are_refused_by_the_stage_and_healed(checkout: Checkout) -> None:
    lock, kept = (checkout.root / "dvc.lock").read_bytes(), objects(checkout.root)
    brought_back_damaged(checkout, "made/first/two", 0o444)
    checkout.run("dvc", "status", "--quiet")  # sees nothing
    tiny.write(checkout.root, "params.yaml", "first: old\nsecond: new\n")
    done = checkout.run("dvc", "repro", check=False)
    assert done.returncode
    assert "error: made/first/two has the md5 " in done.stderr
    assert "hearth heal" in done.stderr
    assert "made/second/one" not in texts(checkout)
    assert (checkout.root / "dvc.lock").read_bytes() == lock
    for command in next_steps(checkout):
        checkout.run(*command.split())
    one = OLD["made/first/two"] + "new\n"
    right(checkout, OLD | {"made/second/one": one, "made/second/two": one * 2})
    assert objects(checkout.root).keys() >= kept.keys()


def test_a_damaged_source_that_dvc_trusts_is_refused_too(checkout: Checkout) -> None:
    tiny.damage(tiny.cached(checkout.root, md5(b"the source\n")), b"WRONG\n")
    (checkout.root / "data/in.txt").unlink()
    checkout.run("dvc", "checkout", "--quiet")
    params(checkout, "new")
    done = checkout.run("dvc", "repro", check=False)
    assert "error: data/in.txt has the md5 " in done.stderr
    assert "that of data/in.txt.dvc" in done.stderr


def test_without_that_the_stage_uses_the_damaged_bytes(checkout: Checkout) -> None:
    module = checkout.root / "src/hearth/stages/__init__.py"
    text = re.sub("^ +_hold_to_lock.*\n", "", module.read_text(), flags=re.MULTILINE)
    assert text.count("_hold_to_lock") == 1
    module.write_text(text)
    brought_back_damaged(checkout, "made/first/two", 0o444)
    tiny.write(checkout.root, "params.yaml", "first: old\nsecond: new\n")
    checkout.run("dvc", "repro", "--quiet")
    assert texts(checkout)["made/second/one"] == "WRONG\nnew\n"


@pytest.mark.parametrize("mode", [0o444, 0o644], ids=["write-protected", "writable"])
def test_what_dvc_brought_back_from_a_damaged_object_is_healed_without_a_remote(checkout: Checkout, mode: int) -> None:
    tiny.write(checkout.root, ".dvc/config", "[core]\nanalytics = false\n")
    brought_back_damaged(checkout, "made/second/two", mode)
    assert next_steps(checkout) == ["dvc repro"]
    checkout.run("dvc", "repro")
    right(checkout, OLD)


def brought_back_damaged(checkout: Checkout, path: str, mode: int) -> None:
    """Damage the object of an old output, and let DVC bring it into the folder, which it does without a word."""
    place = tiny.cached(checkout.root, md5(OLD[path].encode()))
    tiny.damage(place, b"WRONG\n")
    place.chmod(mode)
    (checkout.root / path).unlink()
    checkout.run("dvc", "checkout", "--quiet")
    assert (checkout.root / path).read_text() == "WRONG\n", "DVC sees it by itself now"


def next_steps(checkout: Checkout) -> list[str]:
    """Type what the runbook says of damaged objects, and return the commands that this says."""
    assert remedy("has the md5") == [["hearth", "heal"]]
    return re.findall(r"`([^`]+)`", type_in(checkout, "has the md5"))


# A push and a pull that are killed


@pytest.mark.parametrize("kind", ["S3", "a folder"])
def test_a_push_and_a_pull_that_are_killed_leave_no_wrong_byte_and_the_same_command_goes_on(
    checkout: Checkout, tmp_path: Path, kind: str
) -> None:
    content = Random(7).randbytes(BIG)  # noqa: S311 -- bytes to carry, no secret
    path, oid = checkout.root / "data/big", md5(content)
    path.write_bytes(content)
    checkout.run("dvc", "add", "--quiet", "data/big")
    with running(s3(tmp_path)) if kind == "S3" else nullcontext() as server:
        port = free_port()
        if server:
            checkout.environment.update(
                AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_REGION="us-east-1", AWS_MAX_ATTEMPTS="1"
            )
            remote = f"url = s3://{BUCKET}/x\nendpointurl = http://127.0.0.1:{port}\nverify = true\n"
            tiny.write(checkout.root, ".dvc/config", tiny.CONFIG.replace("url = ../../remote\n", remote))
        for command in ("push", "pull"):
            if server:
                with way(server.port, RATE, port) as slow:
                    dvc = subprocess.Popen(["dvc", command], cwd=checkout.root, env=checkout.environment,
                                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
                    slow.wait_for(BIG // 3)
                    dvc.kill()
                    dvc.wait()
            else:
                with paused(checkout, f"dvc {command}", f"dvc {command}", RENAMED, oid[2:]) as middle:
                    middle.kill_all()
                if command == "pull":
                    assert list(checkout.root.glob(".dvc/cache/files/md5/*/.*.tmp")), (
                        "the runbook says where the half is"
                    )
            for folder in (server.store if server else checkout.root.parent / "remote", checkout.root):
                assert all(place.read_bytes() == content for place in folder.rglob(oid[2:]))
            objects(checkout.root)
            assert path.exists() == (command == "push")
            with way(server.port, 1e9, port) if server else nullcontext():
                type_in(checkout, f"in the middle of `dvc {command}`")
            if command == "push":
                shutil.rmtree(checkout.root / ".dvc/cache")
                path.unlink()
    assert path.read_bytes() == content
    right(checkout, OLD)
