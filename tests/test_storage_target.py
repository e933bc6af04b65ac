"""Run `make storage`: the real SeaweedFS, by the commands that it prints, ended by Ctrl-C as a person does."""

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from conftest import PROJECT, Checkout, checkout_at
from servers import family, listens

project = tiny.project
WITHIN_S = 60
LAST = "Ctrl-C ends the store; what it holds stays."


@pytest.fixture
def checkout(project: Path, tmp_path: Path) -> Checkout:
    """Return the tiny project with the target and a set-up that is done."""
    (project / "tools").mkdir()
    shutil.copy2(PROJECT / "tools/storage.py", project / "tools")
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        shutil.copy2(PROJECT / name, project)
    tiny.write(project, ".gitignore", (PROJECT / ".gitignore").read_text())
    tiny.dvc(project, "remote", "default", "--unset")
    venv = project / ".venv"
    venv.mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (venv / name).symlink_to(Path(sys.prefix) / name)
    for name in ("road.done", "dev.done"):
        (venv / name).touch()
    tiny.commit(project, "with the target")
    return checkout_at(project, DVC_SITE_CACHE_DIR=str(tmp_path / "site"))


def ports() -> range:
    """Return the four ports of a store that is free, with the four above it."""
    for first in range(20_000 + os.getpid() % 1000, 30_000, 17):
        if not any(listens(first + one + more) for one in range(4) for more in (0, 10_000)):
            return range(first, first + 4)
    raise AssertionError("no free ports")


def started(checkout: Checkout, port: int) -> tuple["subprocess.Popen[str]", str]:
    """Type `make storage`; return it with what it says once the store is there."""
    make = subprocess.Popen(["make", "storage", f"PORT={port}"], cwd=checkout.root, env=checkout.environment,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)  # fmt: skip
    assert make.stdout
    text = ""
    for line in make.stdout:
        text += line
        if LAST in line:
            return make, text
    pytest.fail(f"make storage ended with {make.wait(WITHIN_S)}: {text}")


def stop(make: "subprocess.Popen[str]") -> str:
    """Type Ctrl-C, which a terminal sends to the whole group; hold that nothing is left; return what was still said."""
    all_of_it = family(make.pid)
    assert len(all_of_it) >= 3, "make, the program, SeaweedFS"
    os.killpg(make.pid, signal.SIGINT)
    said = make.communicate(timeout=WITHIN_S)[0]
    assert not [one for one in all_of_it if Path(f"/proc/{one}").exists()]
    return said


def listening() -> set[tuple[str, int]]:
    """Return the addresses and ports at which anybody listens, by Linux's tables."""
    found = set()
    for table, family_of in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            address, state = line.split()[1], line.split()[3]
            if state == "0A":
                host, port = address.split(":")
                words = b"".join(bytes.fromhex(host[at : at + 8])[::-1] for at in range(0, len(host), 8))
                found.add((socket.inet_ntop(family_of, words), int(port, 16)))
    return found


def test_make_storage_becomes_the_remote_by_what_it_prints_and_keeps_what_it_is_given(
    checkout: Checkout, tmp_path: Path
) -> None:
    its = ports()
    before = listening()
    make, text = started(checkout, its[0])
    try:
        mine = {(host, port) for host, port in listening() - before if port in {*its, *(one + 10_000 for one in its)}}
        assert mine == {("127.0.0.1", one + more) for one in its for more in (0, 10_000)}
        keys = checkout.root / "data/storage/keys"
        secret = re.findall(r"secret_access_key = (\w{40})$", keys.read_text(), flags=re.MULTILINE)[0]
        for path in (keys, keys.with_name("s3.json")):
            assert secret in path.read_text()
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(keys.parent.stat().st_mode) == 0o700
        assert secret not in text
        for one in family(make.pid):
            assert secret not in Path(f"/proc/{one}/cmdline").read_text()
            assert secret not in Path(f"/proc/{one}/environ").read_text()

        second = checkout.run("make", "storage", f"PORT={its[0]}", check=False)
        assert second.returncode != 0
        assert (
            f"error: port {its[0]} of 127.0.0.1 is taken; end what listens there, or `make storage PORT=N`"
            in second.stderr
        )

        commands = [line.partition("  #")[0].strip() for line in text.splitlines() if line.startswith("  dvc ")]
        assert [command.split()[2] for command in commands] == ["add", "modify", "modify"]
        assert commands[-1].endswith(" verify true")
        for command in commands:
            checkout.run(*command.split())
        assert secret not in (checkout.root / ".dvc/config.local").read_text()
        assert checkout.run("git", "status", "--porcelain").stdout == "", "keys, data and config are this machine's own"
        assert checkout.run("dvc", "push").stdout == "4 files pushed\n"
    finally:
        said = stop(make)
    assert "error:" not in said
    assert "Traceback" not in said

    assert not list(Path("/tmp").glob(f"seaweedfs-*-{its[0]}.sock"))
    shutil.rmtree(checkout.root / ".dvc/cache")
    shutil.rmtree(checkout.root / "models")
    (checkout.root / "data/in.txt").unlink()
    make, _ = started(checkout, its[0])
    try:
        assert keys.read_text().count(secret) == 1, "the keys are kept"
        checkout.run("dvc", "pull")
        assert "Running stage" not in checkout.run("dvc", "repro").stdout
        assert checkout.run("git", "status", "--porcelain").stdout == ""
    finally:
        stop(make)


@pytest.mark.parametrize("port", ["http", "80", "60000"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    done = subprocess.run(
        [sys.executable, PROJECT / "tools/storage.py", port], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "error: wanted one port from 1024 to 55000, as in `make storage PORT=8333`.\n"


def test_keys_that_were_spoilt_are_told(checkout: Checkout) -> None:
    tiny.write(checkout.root, "data/storage/s3.json", "{}")
    done = checkout.run("make", "storage", f"PORT={ports()[0]}", check=False)
    assert "error: data/storage/s3.json holds no keys of SeaweedFS; delete it, and new ones are made." in done.stderr
    assert "Traceback" not in done.stderr
