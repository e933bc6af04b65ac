"""Test what a promotion asks of the work tree and of DVC's remote, on a tiny project."""

import os
import shutil
from pathlib import Path

import pytest
import tiny

from hearth.errors import Refusal
from hearth.locks import md5
from hearth.promotion import check_tree, default_remote, push
from hearth.revisions import Commit

CONTENT = b"the source\n"


project = tiny.project  # the fixture


def test_a_clean_tree_passes_and_a_dirty_one_is_refused_by_its_files(project: Path) -> None:
    check_tree()
    (project / "data/in.txt").write_text("ignored by git: DVC keeps it\n")
    check_tree()
    (project / "params.yaml").unlink()
    tiny.write(project, "dvc.yaml", "stages: {}\n")
    tiny.write(project, "new file", "x")
    with pytest.raises(
        Refusal, match=r'that no commit has \(dvc\.yaml, params\.yaml, "new file"\); commit them or `git stash`'
    ):
        check_tree()


def test_without_a_default_remote_nothing_is_released(project: Path) -> None:
    assert default_remote() == "away"
    tiny.write(project, ".dvc/config", tiny.CONFIG.replace("remote = away\n", ""))
    with pytest.raises(Refusal, match="`dvc remote add --default NAME URL`"):
        default_remote()


def test_all_outputs_of_the_commit_are_pushed_though_the_work_tree_has_others_that_are_nowhere(project: Path) -> None:
    first = Commit("first", tiny.git(project, "rev-parse", "HEAD"))
    shutil.rmtree(project.parent / "remote")
    lock = (project / "dvc.lock").read_text()
    tiny.write(project, "dvc.lock", lock.replace(md5(CONTENT), "f" * 32))
    tiny.commit(project)
    push(first, CONTENT, "away")
    for content in (CONTENT, b"a\n", b"b\n"):
        assert tiny.cached(project, md5(content), remote=True).read_bytes() == content


def test_a_relative_address_of_the_remote_is_not_looked_for_from_the_root_of_the_disk(project: Path) -> None:
    """DVC, which reads .dvc/config anew from the commit, would push there, or be refused."""
    name = f"hearth-{project.parent.parent.name}-{os.getpid()}"
    tiny.write(project, ".dvc/config", tiny.CONFIG.replace("../../remote", f"../../{name}"))
    push(Commit("HEAD", tiny.commit(project)), CONTENT, "away")
    assert not Path("/", name).exists()
    assert list((project.parent / name).rglob(md5(CONTENT)[2:]))


def test_a_bento_that_the_remote_holds_damaged_is_refused(project: Path) -> None:
    tiny.damage(tiny.cached(project, md5(CONTENT), remote=True), b"another\n")
    with pytest.raises(Refusal, match=rf"the remote away holds another content under the bento's name {md5(CONTENT)}"):
        push(Commit("HEAD", tiny.git(project, "rev-parse", "HEAD")), CONTENT, "away")


def test_a_remote_that_cannot_be_written_releases_nothing(project: Path) -> None:
    shutil.rmtree(project.parent / "remote")
    (project.parent / "remote").write_text("a file where a folder should be")
    with pytest.raises(Refusal, match=r"cannot be pushed to the remote away .*; nothing was released"):
        push(Commit("HEAD", tiny.git(project, "rev-parse", "HEAD")), CONTENT, "away")
