"""Plant commits whose data stayed behind, and see them stopped: by `hearth pushed`, by the hook of a real `git push`, in CI."""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import tiny
import yaml
from conftest import PROJECT, Checkout, checkout_at

from hearth.bento import free_port
from hearth.errors import Refusal
from hearth.locks import md5
from hearth.pushed import Looked, Missing, refuse_missing

project = tiny.project
SOURCE, BENTO, INNER = b"the source\n", "models/house_prices.bento", "models/model/b"


def hearth(root: Path, *words: str, status: int = 0) -> str:
    """Return all that `hearth pushed` says, once its exit status is what it should be."""
    done = here(root).run("hearth", "pushed", *words, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == status, said
    assert "Traceback" not in said
    return said


def here(root: Path) -> Checkout:
    return checkout_at(root, PYTHONPATH=str(PROJECT / "src"), DVC_SITE_CACHE_DIR=os.environ["DVC_SITE_CACHE_DIR"])


def lose(root: Path, content: bytes, here_too: bool = False) -> None:
    """Take an object from the remote."""
    tiny.cached(root, md5(content), remote=True).unlink()
    if here_too:
        tiny.cached(root, md5(content)).unlink()


def another(root: Path, text: str) -> str:
    """Commit another source, without `dvc push`."""
    tiny.write(root, "data/in.txt", text)
    tiny.dvc(root, "add", "data/in.txt")
    return tiny.commit(root, text)


# What is missing


def test_a_commit_whose_data_is_all_there_passes(project: Path) -> None:
    said = hearth(project)
    assert "files that DVC keeps: 6, in commits: 1; others can get each of them.\n" in said
    assert "`dvc remote modify away verify true`" in said, "the remote of the tiny project does not verify"
    tiny.dvc(project, "remote", "modify", "away", "verify", "true")
    assert hearth(project).count("\n") == 1


def test_a_file_that_is_not_on_the_remote_is_named_with_the_next_step(project: Path) -> None:
    lose(project, SOURCE)
    said = hearth(project, status=1)
    sha = tiny.git(project, "rev-parse", "--short=7", "HEAD")
    assert "2 of the 6 files that DVC keeps would not reach others:" in said
    named = [f"  {path} of {sha} is not on away\n" for path in ("data/in.txt", BENTO)]  # of the same content
    assert f"{''.join(named)}`dvc push` sends those of the commit" in said
    tiny.dvc(project, "push")
    hearth(project)


def test_a_file_within_a_folder_is_asked_for_by_itself(project: Path) -> None:
    """DVC itself is content with the folder's list, and would not push the file either."""
    lose(project, b"b\n")
    said = hearth(project, status=1)
    assert f"  {INNER} of " in said
    done = here(project).run("dvc", "data", "status", "--not-in-remote", "--json")
    assert "models" not in done.stdout
    tiny.dvc(project, "push")
    hearth(project, status=1)
    (place,) = re.findall(r"^  \S*(/remote/files/md5/\S+\.dir)$", said, flags=re.MULTILINE)
    Path(f"{project.parent}{place}").unlink()
    tiny.dvc(project, "push")
    hearth(project)


def test_a_folder_whose_list_is_lost_is_named(project: Path) -> None:
    listed = next((project.parent / "remote/files/md5").glob("*/*.dir"))
    listed.unlink()
    assert "  models/model of " in hearth(project, status=1)


def test_what_is_nowhere_at_all_is_told_with_how_it_is_made(project: Path) -> None:
    lose(project, SOURCE, here_too=True)
    said = hearth(project, status=1)
    assert " is not on away, nor in the cache here\n" in said
    assert f"`sh tools/road_of.sh {tiny.git(project, 'rev-parse', '--short=7', 'HEAD')}`" in said


def test_the_commit_is_looked_at_and_not_the_work_tree(project: Path) -> None:
    tiny.write(project, "data/in.txt", "not committed\n")
    tiny.dvc(project, "add", "data/in.txt")
    hearth(project)
    behind = tiny.commit(project, "data that stays behind")
    tiny.git(project, "checkout", "--quiet", "HEAD~1")
    hearth(project)
    assert f"  data/in.txt of {behind[:7]} is not on away\n" in hearth(project, behind, status=1)


def test_a_range_is_looked_at_commit_by_commit(project: Path) -> None:
    first = another(project, "first\n")
    second = another(project, "second\n")
    said = hearth(project, "HEAD~2..HEAD", status=1)
    assert f"  data/in.txt of {first[:7]} is not on away\n" in said
    assert f"  data/in.txt of {second[:7]} is not on away\n" in said
    tiny.dvc(project, "push")
    assert f" of {second[:7]} " not in hearth(project, "HEAD~2..HEAD", status=1)
    tiny.git(project, "checkout", "--quiet", "HEAD~1")
    tiny.dvc(project, "push")
    assert "in commits: 2;" in hearth(project, "main~2..main")


def test_what_is_damaged_on_the_remote_is_found_by_reading_it_and_mended(project: Path) -> None:
    place = tiny.cached(project, md5(b"b\n"), remote=True)
    tiny.damage(place, b"x\n")
    hearth(project)  # all is there, by name
    said = hearth(project, "--read", status=1)
    assert f"  {INNER} of {tiny.git(project, 'rev-parse', '--short=7', 'HEAD')} is damaged on away\n" in said
    places = [Path(place) for place in re.findall(r"^  (?:file://)?(/\S+/remote/files/\S+)$", said, flags=re.MULTILINE)]
    assert {path.suffix for path in places} == {"", ".dir"}
    for path in places:
        path.unlink()
    tiny.dvc(project, "push")
    hearth(project, "--read")


def test_of_many_files_the_first_are_named_and_the_rest_counted() -> None:
    missing = [Missing(f"data/{number:02}", "1234567", "away", None, here=True) for number in range(23)]
    with pytest.raises(Refusal) as refused:
        refuse_missing(Looked(30, tuple(missing), "away", ()))
    lines = str(refused.value).splitlines()
    assert lines[0] == "23 of the 30 files that DVC keeps would not reach others:"
    assert [line.split()[0] for line in lines[1:21]] == [f"data/{number:02}" for number in range(20)]
    assert lines[21:] == [
        "  and 3 more",
        "`dvc push` sends those of the commit that is checked out; of another, `git checkout` it first.",
    ]


# Remotes


def test_without_a_default_remote_it_says_so_and_passes(project: Path) -> None:
    tiny.dvc(project, "remote", "default", "--unset")
    assert "notice: no default DVC remote is set" in hearth(project)


def test_the_project_as_shipped_passes_and_its_sample_was_looked_for() -> None:
    """What CI asks of every commit."""
    done = checkout_at(PROJECT).run("hearth", "pushed")
    assert done.stdout == "files that DVC keeps: 1, in commits: 1; others can get each of them.\n"


def test_a_remote_that_git_carries_is_looked_for_in_the_commit(project: Path) -> None:
    """`dvc push` alone puts a new sample into the work tree's data/remote, where no other clone sees it."""
    tiny.write(
        project, ".dvc/config", (project / ".dvc/config").read_text() + "['remote \"sample\"']\nurl = ../data/remote\n"
    )
    known = yaml.safe_load((project / "data/in.txt.dvc").read_text())
    known["outs"][0]["remote"] = "sample"
    tiny.write(project, "data/in.txt.dvc", yaml.safe_dump(known))
    tiny.dvc(project, "push")
    tiny.git(project, "add", ".dvc/config", "data/in.txt.dvc")
    tiny.git(project, "commit", "--quiet", "-m", "without data/remote")
    said = hearth(project, status=1)
    assert "  data/in.txt of " in said
    assert "is not in data/remote of that commit\n`dvc push --remote sample` and commit data/remote." in said
    tiny.commit(project, "with it")
    hearth(project)


def test_a_remote_that_does_not_answer_is_no_yes(project: Path) -> None:
    tiny.dvc(project, "remote", "modify", "--local", "away", "url", f"ssh://127.0.0.1:{free_port()}/store")
    said = hearth(project, status=2)
    assert re.search(r"error: the DVC remote away cannot be asked \(.+\); look at its address and keys", said)
    assert said.count("\n") == 1


def test_settings_that_dvc_cannot_read_are_told_without_a_traceback(project: Path) -> None:
    tiny.write(project, ".dvc/config", "[core\n")
    assert "mend .dvc/config" in hearth(project, status=2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing",), "nothing is no revision"),
        (("--hook", "HEAD"), "leave the revisions out"),
        (("a..b",), "a..b is no range"),
    ],
)
def test_wrong_use_is_told(project: Path, words: tuple[str, ...], said: str) -> None:
    assert said in hearth(project, *words, status=2)


# The hook


@pytest.fixture
def hooked(project: Path) -> Checkout:
    """Return the project with the hook, and with a bare repository as its origin."""
    for name in ("hooks.sh", "pre-push"):
        (project / "tools").mkdir(exist_ok=True)
        shutil.copy2(PROJECT / "tools" / name, project / "tools" / name)
    tiny.commit(project, "with the hook")
    tiny.git(project, "init", "--quiet", "--bare", str(project.parent / "origin"))
    tiny.git(project, "remote", "add", "origin", str(project.parent / "origin"))
    checkout = here(project)
    assert "`git push` now refuses" in checkout.run("sh", "tools/hooks.sh").stdout
    return checkout


def push(checkout: Checkout, *words: str, good: bool) -> str:
    """Push with the hook at work, and hold that it went as it should."""
    done = checkout.run("git", "push", "--quiet", "origin", *words, check=False)
    assert (done.returncode == 0) is good, done.stderr
    return done.stdout + done.stderr


def arrived(checkout: Checkout) -> set[str]:
    """Return the refs that the origin has."""
    return {line.split()[1] for line in checkout.run("git", "ls-remote", "origin").stdout.splitlines()}


def test_a_push_whose_data_stayed_behind_is_refused_until_it_is_pushed(hooked: Checkout) -> None:
    sha = another(hooked.root, "forgotten\n")
    said = push(hooked, "main", good=False)
    assert f"  data/in.txt of {sha[:7]} is not on away" in said
    assert "`dvc push` sends those of the commit" in said
    assert "Nothing was pushed; `git push --no-verify` goes past this check." in said
    assert arrived(hooked) == set()
    tiny.dvc(hooked.root, "push")
    push(hooked, "main", good=True)
    assert arrived(hooked) == {"refs/heads/main"}


def test_what_is_pushed_counts_and_not_what_is_checked_out(hooked: Checkout) -> None:
    push(hooked, "main", good=True)
    tiny.git(hooked.root, "checkout", "--quiet", "-b", "side")
    behind = another(hooked.root, "of the side\n")[:7]
    tiny.git(hooked.root, "tag", "--annotate", "-m", "a tag", "v1")
    tiny.git(hooked.root, "checkout", "--quiet", "main")
    tiny.dvc(hooked.root, "checkout")
    tiny.dvc(hooked.root, "push")  # that of main, which is there already
    for ref in ("side", "v1"):
        assert " is not on away" in push(hooked, ref, good=False)
    assert arrived(hooked) == {"refs/heads/main"}
    tiny.git(hooked.root, "checkout", "--quiet", "side")
    push(hooked, "main", good=True)  # though the work tree's own data is on no remote
    tiny.git(hooked.root, "rm", "--quiet", "data/in.txt.dvc")
    tiny.git(hooked.root, "commit", "--quiet", "-m", "the tip no longer names it")
    assert f"  data/in.txt of {behind} is not on away" in push(hooked, "side", good=False)


def test_the_hook_lets_pass_what_names_no_data(hooked: Checkout) -> None:
    push(hooked, "main", "main:other", good=True)
    lose(hooked.root, SOURCE)
    push(hooked, "--delete", "other", good=True)
    blob = tiny.git(hooked.root, "hash-object", "-w", "params.yaml")
    tiny.git(hooked.root, "tag", "a-file", blob)
    push(hooked, "a-file", good=True)
    assert arrived(hooked) == {"refs/heads/main", "refs/tags/a-file"}
    push(hooked, "main:again", good=False)
    push(hooked, "--no-verify", "main:again", good=True)


def test_the_hook_works_from_a_work_tree_of_the_clone(hooked: Checkout, tmp_path: Path) -> None:
    lose(hooked.root, SOURCE)
    tiny.git(hooked.root, "worktree", "add", "--quiet", "-b", "beside", str(tmp_path / "beside"))
    assert "  data/in.txt of " in push(here(tmp_path / "beside"), "beside", good=False)


def test_without_hearth_the_hook_says_what_is_missing(hooked: Checkout) -> None:
    lean = Checkout(hooked.root, hooked.environment | {"PATH": "/usr/bin:/bin"})
    assert "error: no hearth in .venv for the pre-push hook; `make run` sets it up." in push(lean, "main", good=False)


def test_somebody_elses_hook_is_left_alone_and_ours_is_renewed(hooked: Checkout) -> None:
    hook = hooked.root / ".git/hooks/pre-push"
    hook.write_text("#!/bin/sh\n# an old one\nhearth pushed --hook\n")
    hooked.run("sh", "tools/hooks.sh")
    assert hook.read_bytes() == (PROJECT / "tools/pre-push").read_bytes()
    hook.unlink()
    tiny.dvc(hooked.root, "install")
    other = hook.read_text()
    done = hooked.run("sh", "tools/hooks.sh", check=False)
    assert done.returncode == 1
    assert "there is another hook in .git/hooks/pre-push" in done.stderr
    assert hook.read_text() == other


# CI


def test_the_job_of_ci_is_red_for_what_was_pushed_past_the_hook(hooked: Checkout) -> None:
    """Run the `run:` lines of the job as the forge would, on a clone; only the set-up is that of the tests."""
    job = yaml.safe_load((PROJECT / ".github/workflows/ci.yml").read_text())["jobs"]["data"]
    setup, check = (step for step in job["steps"] if "run" in step)
    assert setup["run"] == "make .venv/road.done"
    (hooked.root / ".venv").symlink_to(sys.prefix)
    tiny.write(hooked.root, ".git/info/exclude", ".venv\n")
    line = ("bash", "-euo", "pipefail", "-c", check["run"])
    push(hooked, "main", good=True)
    hooked.run(*line, BASE="")
    first = another(hooked.root, "forgotten\n")
    another(hooked.root, "and again\n")
    push(hooked, "--no-verify", "HEAD:branch", good=True)
    assert "is not on away" in hooked.run(*line, BASE="", check=False).stderr
    tiny.dvc(hooked.root, "push")
    hooked.run(*line, BASE="")
    done = hooked.run(*line, BASE="main", check=False)  # of a pull request each commit is looked at
    assert done.returncode == 1
    assert f"  data/in.txt of {first[:7]} is not on away\n" in done.stderr
    tiny.git(hooked.root, "checkout", "--quiet", first)
    tiny.dvc(hooked.root, "push")
    tiny.git(hooked.root, "checkout", "--quiet", "main")
    hooked.run(*line, BASE="main")
