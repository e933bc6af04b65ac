"""Test the door to the releases with real repositories: tags that GTO reads, one change at a time, all or nothing."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hearth.errors import Refusal, WrongUseError
from hearth.registry import one_at_a_time, publish, releases, tags, write
from hearth.releases import evidence, live_tag, message, version_tag

NAMES = [f"GIT_{role}_{what}" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL", "DATE")] + ["EMAIL"]
HOLDER = """
import time
from hearth.registry import one_at_a_time
with one_at_a_time("promote"):
    print("held", flush=True)
    time.sleep(600)
"""


def run(*command: str, cwd: Path | None = None, **more: str) -> str:
    done = subprocess.run(command, cwd=cwd, env=os.environ | more, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def commit(words: str, cwd: Path | None = None) -> str:
    run("git", "-c", "user.name=t", "-c", "user.email=t@l", "commit", "--quiet", "--allow-empty", "-m", words, cwd=cwd)
    return run("git", "rev-parse", "HEAD", cwd=cwd)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change into a repository with two commits, as a person without any settings of git but those of the repository."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    for name, value in {
        "HOME": home,
        "XDG_CONFIG_HOME": home,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
    }.items():
        monkeypatch.setenv(name, str(value))
    root = tmp_path / "repository"
    run("git", "init", "--quiet", "-b", "main", str(root))
    monkeypatch.chdir(root)
    run("git", "config", "user.name", "Zoë, a person")
    run("git", "config", "user.email", "zoe@localhost")
    return root


def promote(number: int, sha: str, text: str = "Promote\n", environment: str = "prod") -> list[str]:
    """Write a version and its promotion, as `hearth promote` does, and return their names."""
    names = [version_tag(f"v0.{number}.0"), live_tag(environment, number)]
    write([(name, sha, text) for name in names])
    return names


def gto(*words: str) -> Any:
    return json.loads(run(str(Path(sys.executable).with_name("gto")), *words, "--json"))


def champion_of_gto() -> str:
    return str(gto("show")["house-prices"]["stage"]["prod"])


def listed(where: Path | None = None) -> list[str]:
    return run("git", "tag", cwd=where).split()


# Writing


def test_a_tag_is_read_back_as_it_was_written(repository: Path) -> None:
    reason = "zu teuer: 3 % \x01 über\nevidence: {}\n\ntwo paragraphs – 房价\u2028 \x1f\x1c"
    sha, before = commit("one"), int(time.time())
    text = message("Promote", [f"Reason: {reason}"], {"action": "promote", "reason": reason})
    promote(1, sha, text)
    for found in tags():
        assert (found.commit, found.who, found.message) == (sha, "Zoë, a person", text)
        assert evidence(found.message)["reason"] == reason
        assert before <= found.when.timestamp() <= time.time() + 1
    assert releases("prod").events[0].reason == reason
    assert run("git", "cat-file", "-t", "house-prices#prod#1") == "tag", "annotated"


def test_gto_reads_the_same_champion_although_all_was_written_in_one_second(repository: Path) -> None:
    first, second = commit("one"), commit("two")
    promote(1, first)
    promote(2, second)
    write([(live_tag("prod", 3), first, message("Roll back", [], {"action": "rollback"}))])
    champion = releases("prod").champion
    assert champion
    assert (champion.version, champion.commit) == ("v0.1.0", first)
    assert champion_of_gto() == "v0.1.0"
    assert [(row["ref"], row["version"], row["author"]) for row in gto("history") if row["event"] == "assignment"] == [
        (live_tag("prod", 3), "v0.1.0", "Zoë, a person"),
        (live_tag("prod", 2), "v0.2.0", "Zoë, a person"),
        (live_tag("prod", 1), "v0.1.0", "Zoë, a person"),
    ]


def test_the_newest_change_wins_in_gto_when_the_clock_runs_backwards(repository: Path) -> None:
    first, second = commit("one"), commit("two")
    future = {"GIT_COMMITTER_DATE": "2090-01-01T00:00:00Z"}
    for name in (version_tag("v0.1.0"), live_tag("prod", 1)):
        run("git", "tag", "-a", name, first, "-m", "from a machine whose clock is ahead", **future)
    promote(2, second)
    assert [found.when.year for found in tags()] == [2090] * 4
    assert champion_of_gto() == "v0.2.0"
    champion = releases("prod").champion
    assert champion
    assert champion.version == "v0.2.0"


def test_all_tags_are_made_or_none(repository: Path) -> None:
    sha = commit("one")
    run("git", "tag", "house-prices#prod#1")  # a lightweight tag of that name is no promotion, but the name is taken
    with pytest.raises(
        Refusal, match=r"house-prices@v0.1.0, house-prices#prod#1 cannot be made, so nothing was released"
    ):
        promote(1, sha)
    assert listed() == ["house-prices#prod#1"]
    assert tags() == []


def test_tags_of_other_artifacts_and_lightweight_tags_are_passed_over(repository: Path) -> None:
    sha = commit("one")
    run("git", "tag", "v1.0.0")
    run("git", "tag", "house-prices@v0.9.0")
    run("git", "tag", "-a", "flat-prices@v0.1.0", "-m", "x")
    promote(1, sha)
    assert [found.name for found in tags()] == ["house-prices#prod#1", "house-prices@v0.1.0"]


def test_a_message_in_another_encoding_stops_nothing(repository: Path) -> None:
    sha = commit("one")
    (repository / "message").write_bytes("über\n".encode("latin-1"))
    run("git", "-c", "i18n.commitEncoding=latin-1", "tag", "-a", "house-prices#staging#1", "-F", "message")
    promote(1, sha)
    assert releases("prod").champion is not None


@pytest.mark.parametrize("missing", ["user.name", "user.email"])
def test_without_an_identity_nothing_is_signed_and_both_commands_are_named(repository: Path, missing: str) -> None:
    sha = commit("one")
    run("git", "config", "--unset", missing)
    with pytest.raises(WrongUseError) as refused:
        promote(1, sha)
    assert "`git config user.name` and `git config user.email`" in str(refused.value)
    assert listed() == []


def test_a_shallow_clone_is_refused(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit("one")
    commit("two")
    run("git", "clone", "--quiet", "--depth", "1", f"file://{repository}", str(tmp_path / "shallow"))
    assert releases("prod").champion is None
    monkeypatch.chdir(tmp_path / "shallow")
    with pytest.raises(WrongUseError, match="git fetch --unshallow --tags"):
        releases("prod")


# One at a time


def test_a_second_process_is_refused_while_the_first_holds_the_lock_and_gets_it_after_a_kill(repository: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(Refusal, match=rf"`hearth promote`, process {holder.pid}, is changing"),
            one_at_a_time("rollback"),
        ):
            pytest.fail("two at a time")
        holder.kill()  # -9
        holder.wait(timeout=30)
        with one_at_a_time("rollback"):
            pass
    finally:
        holder.kill()
        holder.communicate()


def test_the_lock_is_free_again_after_the_work_and_after_an_error(repository: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), one_at_a_time("promote"):
            1 / 0  # noqa: B018
    with one_at_a_time("rollback"):
        with pytest.raises(Refusal, match="`hearth rollback`, process"), one_at_a_time("promote"):
            pytest.fail("two at a time")
        said = (repository / ".git/hearth-releases.lock").read_text()
        assert said == f"`hearth rollback`, process {os.getpid()},", "not what the one before wrote"
    assert run("git", "status", "--porcelain") == ""


def test_a_worktree_shares_the_lock_and_the_tags(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = commit("one")
    run("git", "worktree", "add", "--quiet", "--detach", str(tmp_path / "other"))
    with one_at_a_time("promote"):
        monkeypatch.chdir(tmp_path / "other")
        with pytest.raises(Refusal, match="`hearth promote`, process"), one_at_a_time("rollback"):
            pytest.fail("two at a time")
    promote(1, sha)
    monkeypatch.chdir(repository)
    champion = releases("prod").champion
    assert champion
    assert champion.commit == sha


# Publishing


@pytest.fixture
def origin(repository: Path, tmp_path: Path) -> Path:
    """Return a bare repository that is the origin of the one with a commit."""
    commit("one")
    bare = tmp_path / "origin.git"
    run("git", "init", "--quiet", "--bare", str(bare))
    run("git", "remote", "add", "origin", str(bare))
    run("git", "push", "--quiet", "origin", "main")
    return bare


def test_all_new_tags_are_pushed(repository: Path, origin: Path) -> None:
    names = promote(1, run("git", "rev-parse", "HEAD"))
    assert listed(origin) == []
    publish(names)
    assert sorted(listed(origin)) == sorted(names)
    for name in names:
        assert run("git", "rev-parse", name, cwd=origin) == run("git", "rev-parse", name)


def test_older_releases_that_were_not_pushed_go_along(repository: Path, origin: Path) -> None:
    """A rollback pushes one tag; without the version of its commit the others would pass it over."""
    first = run("git", "rev-parse", "HEAD")
    promote(1, first)
    promote(2, commit("two"))
    run("git", "tag", "a-tag-of-mine")
    write([(live_tag("prod", 3), first, message("Roll back", [], {"action": "rollback"}))])
    publish([live_tag("prod", 3)])
    assert set(listed()) - set(listed(origin)) == {"a-tag-of-mine"}
    assert len(listed(origin)) == 5


def test_where_someone_else_was_first_nothing_is_pushed_and_our_tags_are_gone(
    repository: Path, origin: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    run("git", "clone", "--quiet", str(origin), str(other))
    run("git", "checkout", "--quiet", "main", cwd=other)
    theirs = commit("theirs", cwd=other)
    who = ("-c", "user.name=o", "-c", "user.email=o@l")
    run("git", *who, "tag", "-a", live_tag("prod", 1), "-m", "theirs", cwd=other)
    run("git", "push", "--quiet", "origin", live_tag("prod", 1), cwd=other)
    names = promote(1, run("git", "rev-parse", "HEAD"))
    with pytest.raises(Refusal) as refused:
        publish(names)
    said = str(refused.value)
    assert said.startswith(f"origin did not take {', '.join(names)}, so nothing was released: someone else was first")
    assert "`git fetch --tags`" in said
    assert "rejected" in said, "git's own words"
    assert listed(origin) == [live_tag("prod", 1)]
    assert run("git", "rev-parse", live_tag("prod", 1) + "^{commit}", cwd=origin) == theirs
    assert listed() == []


def test_an_origin_that_cannot_be_reached_releases_nothing(repository: Path, origin: Path) -> None:
    sha = run("git", "rev-parse", "HEAD")
    old = promote(1, sha)
    publish(old)
    shutil.rmtree(origin)
    names = promote(2, sha)
    with pytest.raises(Refusal, match="or it cannot be reached"):
        publish(names)
    assert sorted(listed()) == sorted(old), "the older release is left alone"
    write([(name, sha, "again\n") for name in names])
    run("git", "remote", "remove", "origin")
    with pytest.raises(Refusal, match="nothing was released"):
        publish(names)
    assert sorted(listed()) == sorted(old)
