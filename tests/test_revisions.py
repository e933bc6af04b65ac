"""Test how files of a commit are read: from git, DVC's cache and its remote, never from what is damaged, nothing touched."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
import yaml

from hearth.errors import Refusal
from hearth.paths import BENTO, METRICS, MODEL, PARAMS
from hearth.registry import fetch
from hearth.releases import Release
from hearth.revisions import Commit, UnreadableError, Workspace, revision

SOURCE = Path("data/in.txt")
CONTENT = b"the source\n"
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
A = hashlib.md5(b"a\n", usedforsecurity=False).hexdigest()


project = tiny.project  # the fixture


def no_cache(root: Path) -> None:
    shutil.rmtree(root / ".dvc/cache")


def no_remote(root: Path) -> None:
    shutil.rmtree(root.parent / "remote")


def refused(read: Callable[[], object]) -> str:
    with pytest.raises(UnreadableError) as error:
        read()
    assert error.value.status == 2
    return str(error.value)


def folder_md5(root: Path) -> str:
    """Return the hash of models/model in the lock."""
    outs = yaml.safe_load((root / "dvc.lock").read_text())["stages"]["make"]["outs"]
    return next(str(out["md5"]) for out in outs if out["path"] == str(MODEL))


# Reading


@pytest.mark.parametrize("gone", [[], [no_cache], [no_remote]], ids=["both", "no cache", "no remote"])
def test_files_are_read_from_git_from_the_cache_or_from_the_remote(
    project: Path, gone: list[Callable[[Path], None]]
) -> None:
    for part in gone:
        part(project)
    known = revision("HEAD")
    assert known.read(PARAMS).decode() == tiny.FILES["params.yaml"]
    assert known.read(METRICS) == b"1\n"
    assert known.read(SOURCE) == known.read(BENTO) == CONTENT
    assert known.folder(MODEL) == {"a": b"a\n", "b": b"b\n"}
    assert isinstance(known, Commit)
    assert known.md5(BENTO) == MD5


def test_what_is_in_neither_is_refused_with_the_file_the_revision_and_the_next_step(project: Path) -> None:
    no_cache(project)
    no_remote(project)
    known = revision("main")
    said = refused(lambda: known.read(BENTO))
    assert said.startswith(f"{BENTO} of main (")
    assert "neither in DVC's cache nor on a remote" in said
    assert "`dvc push`" in said
    assert "sh tools/road_of.sh" in said
    assert refused(lambda: known.folder(MODEL)).startswith(f"{MODEL} of main (")
    assert known.read(PARAMS), "what git has is still there"


def test_an_older_commit_is_read_as_it_was_and_nothing_on_disk_is_touched(project: Path) -> None:
    tiny.write(project, "params.yaml", "make: {}\n")
    tiny.write(project, "models/model/a", "another\n")
    tiny.commit(project)
    (project / "params.yaml").unlink()
    watched = [path for path in project.rglob("*") if not {".git", "tmp"} & set(path.parts)]
    before = {path: (path.lstat().st_mtime_ns, path.lstat().st_mode) for path in watched}
    status = tiny.git(project, "status", "--porcelain")
    known = revision("HEAD~1")
    assert known.read(PARAMS).decode() == tiny.FILES["params.yaml"]
    assert known.folder(MODEL)["a"] == b"a\n"
    assert known.sources()
    assert {path: (path.lstat().st_mtime_ns, path.lstat().st_mode) for path in watched} == before
    assert [path for path in project.rglob("*") if not {".git", "tmp"} & set(path.parts)] == watched
    assert tiny.git(project, "status", "--porcelain") == status


def test_the_workspace_is_the_files_on_disk(project: Path) -> None:
    known = revision("workspace")
    assert isinstance(known, Workspace)
    tiny.write(project, "models/model/a", "another\n")
    assert known.folder(MODEL) == {"a": b"another\n", "b": b"b\n"}
    assert sorted(known.sources()) == ["src/hearth/__init__.py", "src/hearth/one.py"]
    assert "models/none" in refused(lambda: known.read(Path("models/none")))
    assert "models/none" in refused(lambda: known.folder(Path("models/none")))


def test_a_file_is_no_folder_and_a_folder_no_file(project: Path) -> None:
    known = revision("HEAD")
    assert refused(lambda: known.read(MODEL)) == f"{MODEL} of HEAD is a folder, wanted a file."
    assert refused(lambda: known.folder(BENTO)) == f"{BENTO} of HEAD is a file, wanted a folder."
    assert "neither in git nor in its dvc.lock" in refused(lambda: known.read(MODEL / "c"))
    assert "neither in git nor in its dvc.lock" in refused(lambda: known.folder(Path("none")))


def test_an_object_is_told_where_it_lies(project: Path) -> None:
    known = revision("HEAD")
    cache, remote = tiny.cached(project, MD5), tiny.cached(project, MD5, remote=True)
    assert known.places(MD5) == [str(cache), f"remote away: {remote.resolve()}"]
    cache.unlink()
    assert known.places(MD5) == [f"remote away: {remote.resolve()}"]
    remote.unlink()
    assert known.places(MD5) == []


def test_sources_are_the_modules_of_the_commit(project: Path) -> None:
    tiny.write(project, "src/hearth/one.py", "ONE = 2\n")
    known = revision("HEAD")
    assert known.sources() == {
        "src/hearth/__init__.py": tiny.FILES["src/hearth/__init__.py"].encode(),
        "src/hearth/one.py": b"ONE = 1\n",
    }
    shutil.rmtree(project / "src")
    bare = Commit("bare", tiny.commit(project))
    assert "src/hearth is not in bare" in refused(bare.sources)
    assert bare.git_files("src") == {}


# Damage


def changed_dir(root: Path, remote: bool) -> None:
    tiny.damage(tiny.cached(root, folder_md5(root), remote), f'[{{"md5": "{A}", "relpath": "b"}}]'.encode())


def changed_file(root: Path, remote: bool) -> None:
    tiny.damage(tiny.cached(root, A, remote), b"x\n")


@pytest.mark.parametrize("remote", [False, True], ids=["cache", "remote"])
@pytest.mark.parametrize("plant", [changed_dir, changed_file])
def test_a_damaged_folder_is_refused_by_its_hash(
    project: Path, remote: bool, plant: Callable[[Path, bool], None]
) -> None:
    plant(project, remote)
    if remote:
        no_cache(project)
    said = refused(lambda: revision("HEAD").folder(MODEL))
    assert said.startswith(f"{MODEL}{'/a' if plant is changed_file else ''} of HEAD has the md5 ")
    assert f"wanted {A if plant is changed_file else folder_md5(project)}; it is damaged. Delete that object" in said


@pytest.mark.parametrize("remote", [False, True], ids=["cache", "remote"])
def test_a_damaged_file_is_refused_by_its_hash(project: Path, remote: bool) -> None:
    tiny.damage(tiny.cached(project, MD5, remote), b"another\n")
    if remote:
        no_cache(project)
    said = refused(lambda: revision("HEAD").read(BENTO))
    found = hashlib.md5(b"another\n", usedforsecurity=False).hexdigest()
    assert said.startswith(f"{BENTO} of HEAD has the md5 {found}")
    assert f"wanted {MD5}; it is damaged. Delete that object" in said


@pytest.mark.parametrize("name", ["dvc.lock", "dvc.yaml", "data/in.txt.dvc"])
def test_a_commit_with_conflict_marks_is_refused_by_the_file_that_has_them(project: Path, name: str) -> None:
    text = (project / name).read_text()
    tiny.write(project, name, f"<<<<<<< HEAD\n{text}=======\n{text}>>>>>>> other\n")
    known = Commit("merged", tiny.commit(project))
    for read in (lambda: known.read(PARAMS), lambda: known.folder(MODEL), known.stages):
        said = refused(read)
        assert said.startswith("merged (")
        assert f"cannot be loaded by DVC (unable to read: '{name}'" in said
        assert "cache" not in said, "it is not the cache that is broken"


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "[1]\n", "a: [\n"])
def test_yaml_that_is_not_good_is_refused_by_its_file(project: Path, text: str) -> None:
    tiny.write(project, "other.yaml", text)
    known = Commit("odd", tiny.commit(project))
    assert refused(lambda: known.values(Path("other.yaml"))).startswith("other.yaml of odd is not good YAML (")


def test_a_remote_that_was_set_later_or_on_this_machine_only_counts_for_every_commit(project: Path) -> None:
    known = revision("HEAD")
    tiny.write(project, ".dvc/config", "[core]\nanalytics = false\n")
    bare = Commit("without a remote", tiny.commit(project))
    no_cache(project)
    assert "neither in DVC's cache nor on a remote" in refused(lambda: bare.read(BENTO))
    tiny.write(project, ".dvc/config.local", tiny.CONFIG)
    assert Commit("with one here", bare.commit).read(BENTO) == known.read(BENTO) == CONTENT


# Names


def test_a_branch_of_origin_and_a_bare_version_are_found(project: Path) -> None:
    first = tiny.git(project, "rev-parse", "HEAD")
    tiny.git(project, "tag", "-a", "house-prices@v0.1.0", "-m", "Release")
    tiny.git(project, "update-ref", "refs/remotes/origin/trial", first)
    tiny.commit(project)
    for name in ("trial", "origin/trial", "v0.1.0", "house-prices@v0.1.0", "HEAD~1", first, first[:8]):
        assert revision(name) == Commit(name, first)
    second = tiny.git(project, "rev-parse", "HEAD")
    tiny.git(project, "branch", "trial")
    assert revision("trial") == Commit("trial", second), "one's own branch comes first"


@pytest.mark.parametrize("name", ["nobody", "", "--all", "v9.9.9", "HEAD~9", "HEAD:params.yaml"])
def test_a_name_of_nothing_is_refused(project: Path, name: str) -> None:
    assert refused(lambda: revision(name)).startswith(f"{name} is no revision of this repository; `git branch --all`")


# The bento of a release


def test_a_release_is_fetched_as_it_was_released(project: Path) -> None:
    sha = tiny.git(project, "rev-parse", "HEAD")
    wanted = hashlib.sha256(CONTENT).hexdigest()
    assert fetch(Release("v0.1.0", sha, {"bento": {"sha256": wanted}})) == CONTENT
    assert fetch(Release("v0.1.0", sha, {})) == CONTENT, "a tag of plain gto has no hash"
    with pytest.raises(
        Refusal, match=f"the bento of v0.1.0 has the sha256 {wanted}, released was 0000; do not serve it"
    ):
        fetch(Release("v0.1.0", sha, {"bento": {"sha256": "0000"}}))
