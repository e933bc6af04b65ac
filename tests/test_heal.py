"""`hearth heal` sets aside what DVC takes for right and is not, deletes nothing, and touches nothing else."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import tiny
from conftest import PROJECT, needs

from hearth.cli import main
from hearth.locks import md5

project = tiny.project
GOOD, BAD = b"a\n", b"wrong\n"  # of models/model/a and models/used, which are one object


def healed(*words: str) -> int:
    return main(["heal", *words])


def test_nothing_is_moved_where_all_is_right(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(project.rglob("*"))
    assert healed("--all") == 0
    assert "files that DVC takes for right were read; each is" in capsys.readouterr().out
    assert sorted(project.rglob("*")) == before


def test_a_damaged_object_is_named_and_set_aside_and_the_others_stay(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tiny.cached(project, md5(GOOD))
    others = {path for path in (project / ".dvc/cache").rglob("*") if path.is_file()} - {there}
    tiny.damage(there, BAD)
    assert healed("--check") == 1
    said = capsys.readouterr().err
    assert f"{there} (models/used) has the md5 {md5(BAD)}, and DVC takes it for {md5(GOOD)}" in said
    assert there.exists()
    assert healed() == 0
    said = capsys.readouterr()
    assert str(there) in said.err
    assert "comes back by `dvc repro --pull`" in said.out
    assert not there.exists()
    (aside,) = (project / ".dvc/tmp").glob("damaged-*/*")
    assert aside.read_bytes() == BAD, "it may be the only copy there is"
    assert all(path.exists() for path in others)
    assert (project / "models/used").read_bytes() == GOOD, "what is right in the folder stays"
    assert healed("--check") == 0


def test_a_damaged_list_of_a_folder_is_set_aside_and_leads_nowhere(project: Path) -> None:
    (there,) = (project / ".dvc/cache").rglob("*.dir")
    outside = project / "outside"
    outside.write_bytes(b"mine\n")
    tiny.damage(there, json.dumps([{"md5": "../../../../../outside", "relpath": "a"}]).encode())
    assert healed() == 0
    assert not there.exists()
    assert outside.exists()


def test_a_file_that_somebody_changed_is_none_of_ours(project: Path) -> None:
    (project / "models/used").write_bytes(b"changed by me\n")
    assert healed() == 0
    assert (project / "models/used").read_bytes() == b"changed by me\n"


def test_an_object_of_an_older_commit_is_looked_at_with_all(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    older = tiny.cached(project, md5(b"older\n"))
    older.parent.mkdir(exist_ok=True)
    older.write_bytes(BAD)
    older.chmod(0o444)
    half = older.parent / ".half.tmp"  # as a killed pull leaves it
    half.write_bytes(BAD)
    assert healed("--check") == 0
    assert healed("--check", "--all") == 1
    assert "(of another commit)" in capsys.readouterr().err
    assert healed("--all") == 0
    assert not older.exists()
    assert half.exists()


def test_a_source_that_was_damaged_is_pulled_where_no_default_remote_is_set(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.write(project, ".dvc/config", "[core]\nanalytics = false\n")
    tiny.damage(tiny.cached(project, md5(b"the source\n")), BAD)
    (project / "data/in.txt").unlink()
    tiny.dvc(project, "checkout", "data/in.txt")
    assert (project / "data/in.txt").read_bytes() == BAD
    assert healed() == 0
    assert not (project / "data/in.txt").exists()
    assert "comes back by `dvc pull data/in.txt.dvc`, then `dvc repro`" in capsys.readouterr().out


def test_an_object_that_may_not_be_read_is_told_and_stays(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything; as another user it can be tried")
    there = tiny.cached(project, md5(GOOD))
    there.chmod(0)
    assert healed() == 1
    assert f"{there} (models/used) cannot be read (Permission denied)" in capsys.readouterr().err
    assert there.exists()


def test_an_object_that_cannot_be_moved_is_told(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mount, umount = needs("mount"), needs("umount")
    there = tiny.cached(project, md5(GOOD))
    tiny.damage(there, BAD)
    done = subprocess.run([mount, "--bind", there, there], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here ({done.stderr.decode().strip()}); as root it can")
    try:
        assert healed() == 1
    finally:
        subprocess.run([umount, "--lazy", there], check=True)
    said = capsys.readouterr().err
    assert f"{there} is damaged and cannot be moved (Device or resource busy)" in said


def test_nothing_is_moved_while_another_dvc_is_at_work(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import zc.lockfile

    held = zc.lockfile.LockFile(str(project / ".dvc/tmp/lock"))
    try:
        assert healed() == 0, "to read needs no lock: DVC would wait for it, and give up"
        tiny.damage(tiny.cached(project, md5(GOOD)), BAD)
        assert healed() == 1
    finally:
        held.close()
    assert "another DVC is at work here" in capsys.readouterr().err
    assert tiny.cached(project, md5(GOOD)).exists()


def test_a_lock_that_dvc_cannot_read_is_told(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "dvc.lock").write_text("schema: '2")
    assert healed() == 2
    assert "`git checkout -- dvc.lock`" in capsys.readouterr().err


def test_make_run_heals_first_and_looks_again_last() -> None:
    recipe = re.search(r"^run:.*\n((?:\t.*\n)+)", (PROJECT / "Makefile").read_text(), flags=re.MULTILINE)
    assert recipe
    steps = re.findall(r"\t@?((?:hearth|dvc repro)[a-z -]*)", recipe[1])
    wanted = [step.strip() for step in steps]
    assert wanted.index("hearth heal") < wanted.index("dvc repro") < wanted.index("hearth heal --check")
