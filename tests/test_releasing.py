"""Release for real: whole projects with their roads, a DVC remote, git tags, the served bento, and every planted fault.

The projects are small (small.py). Each test works on a clone of its own, which shares DVC's cache and knows all branches:
`main`, and `other` with other seeds.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import PROJECT, Checkout
from small import made, set_params, small_project

from hearth.bento import free_port, stop

A, B = "v0.1.0", "v0.2.0"
Clone = Callable[[str], Checkout]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Make the project and its branches, each with its road run; `main` is released as v0.1.0."""
    project = small_project(tmp_path_factory.mktemp("releasing") / "project")
    project.run("git", "checkout", "--quiet", "-B", "main")
    made(project, "The small project")
    project.run("git", "checkout", "--quiet", "-b", "other")
    set_params(project, {"model.members.coarse_median.seed": 2, "model.members.median.seed": 2})
    made(project, "Other seeds")
    project.run("dvc", "remote", "add", "--quiet", "--local", "--default", "store", str(project.root.parent / "store"))
    hearth(project, "promote", "main")
    project.run("git", "checkout", "--quiet", "main")
    return project


@pytest.fixture
def clone(origin: Checkout, tmp_path: Path) -> Clone:
    """Return what clones the project at `main`, with its release or without, and a folder of its own as its DVC remote."""

    def cloned(kind: str) -> Checkout:
        root = tmp_path / kind
        subprocess.run(["git", "clone", "--quiet", "--branch", "main", origin.root, root], check=True)
        if kind == "unreleased":
            names = subprocess.run(["git", "tag"], cwd=root, capture_output=True, text=True, check=True).stdout.split()
            subprocess.run(["git", "tag", "--delete", *names], cwd=root, check=True, capture_output=True)
        environment = origin.environment | {
            "PYTHONPATH": str(root / "src"),
            "DVC_SITE_CACHE_DIR": str(tmp_path / "site"),
        }
        checkout = Checkout(root, environment)
        checkout.run("git", "branch", "--quiet", "other", "origin/other")
        for key, value in {"user.name": "A tester", "user.email": "test@localhost"}.items():
            checkout.run("git", "config", key, value)
        checkout.run("dvc", "config", "--quiet", "--local", "cache.dir", str(origin.root / ".dvc/cache"))
        checkout.run("dvc", "remote", "add", "--quiet", "--local", "--default", "store", str(tmp_path / "store"))
        checkout.run("dvc", "checkout", "--quiet", "data/source/house_sales.parquet.dvc")
        return checkout

    return cloned


def hearth(checkout: Checkout, *words: str, status: int = 0) -> str:
    """Run a command and return all that it says, once its exit status is what it should be."""
    done = checkout.run("hearth", *words, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == status, said
    assert "Traceback" not in said
    return said


def champion(checkout: Checkout) -> str | None:
    found = json.loads(checkout.run("hearth", "releases", "--json").stdout)["champion"]
    return None if found is None else str(found["version"])


def tags(checkout: Checkout) -> list[str]:
    return checkout.run("git", "tag", "--list").stdout.split()


# Promote, serve, roll back


def test_releases_and_rollbacks_from_one_end_to_the_other(
    clone: Clone, origin: Checkout, house: dict[str, Any]
) -> None:
    project = clone("unreleased")
    assert "Nothing is released in prod yet" in hearth(project, "releases")
    assert "so there is nothing to roll back" in hearth(project, "rollback", "--reason", "x", status=1)
    said = hearth(project, "promote")
    assert "This is the first release: there is no champion to compare with." in said
    assert f"{A} is the champion of prod" in said
    assert sorted(tags(project)) == ["house-prices#prod#1", f"house-prices@{A}"]
    assert "is the champion already" in hearth(project, "promote", status=1)
    assert f"before {A} nothing was live" in hearth(project, "rollback", "--reason", "x", status=1)
    with serving(project) as address:
        first = answer(address, house)
        a_doubt_needs_a_reason(project)
        second = answered_otherwise(address, house, first)
        before = project.status()
        hearth(project, "rollback", "--reason", "worse on what was paid")
        assert project.status() == before
        assert answered_otherwise(address, house, second) == first
    assert b'"model_version":"2015-03-01-' in first
    # The tags are those of GTO, whose own reading of them is the same.
    shown = json.loads(project.run("gto", "show", "house-prices", "--json").stdout)
    assert [one["version"] for one in shown for stage in one["stages"] if stage["is_active"]] == [A]
    table = hearth(project, "releases").splitlines()
    assert len(table) == 4
    assert re.match(rf"\*  {A}  .* test  rolled back to +[\d.]+% +worse on what was paid$", table[1])
    the_bento_is_lost(project, origin)


def a_doubt_needs_a_reason(project: Checkout) -> None:
    """Promote the branch `other` under a margin that nothing can prove."""
    project.run("git", "checkout", "--quiet", "other")
    set_params(project, {f"releases.margins.{name}": 0.0 for name in ("rmse_log", "mdape", "bias", "coverage")})
    project.run("git", "commit", "--quiet", "--all", "--message", "Allow nothing")
    said = hearth(project, "promote", status=1)
    assert f"it is not proved that HEAD is no worse than the champion {A}" in said
    doubt_said = r"(mdape|rmse_log|bias|coverage) may be worse by up to 0\.\d+, allowed is 0:"
    assert re.search(doubt_said, said), said
    assert "params.yaml changes what it is judged by: releases.margins.mdape was 0.03, is 0.0" in said
    assert f"it is not proved that HEAD is no worse than the champion {A}" in hearth(
        project, "promote", "--reason", " ", status=1
    )
    assert champion(project) == A
    assert f"{B} is the champion of prod" in hearth(project, "promote", "--reason", "the doubt is small")
    newest = json.loads(hearth(project, "releases", "--json"))["events"][0]
    assert (newest["version"], newest["reason"]) == (B, "the doubt is small")
    assert any(re.match(doubt_said, doubt) for doubt in newest["evidence"]["doubts"])
    assert newest["evidence"]["comparison"]["rows"] > 300
    assert set(newest["evidence"]["comparison"]["differences"]) == {"rmse_log", "mdape", "bias", "coverage"}
    message = project.run("git", "tag", "--list", "--format=%(contents)", "house-prices#prod#2").stdout
    assert "Reason: the doubt is small" in message
    assert "which neither model was fitted on" in message


def the_bento_is_lost(project: Checkout, origin: Checkout) -> None:
    """Roll back and forth while the cache, and then the remote, lose or damage the older bento."""
    hearth(project, "rollback", "--to", B, "--reason", "forward again")
    name = re.search(
        r"path: models/house_prices.bento\n +hash: md5\n +md5: (\w+)",
        project.run("git", "show", f"house-prices@{A}:dvc.lock").stdout,
    )[1]  # type: ignore[index]
    cached = origin.root / ".dvc/cache/files/md5" / name[:2] / name[2:]
    stored = project.root.parent / "store/files/md5" / name[:2] / name[2:]
    content = cached.read_bytes()
    cached.unlink()
    try:
        hearth(project, "rollback", "--reason", "from the remote")
        assert champion(project) == A
        hearth(project, "rollback", "--to", B, "--reason", "forward again")
        stored.chmod(0o644)
        stored.write_bytes(content[:-1] + b"x")
        assert "damaged" in hearth(project, "rollback", "--reason", "damaged", status=2)
        stored.unlink()
        said = hearth(project, "rollback", "--reason", "lost", status=2)
        assert f"models/house_prices.bento of house-prices {A}" in said
        assert "neither in DVC's cache nor on a remote" in said
    finally:
        cached.write_bytes(content)
        cached.chmod(0o444)
    assert champion(project) == B


@contextmanager
def serving(project: Checkout) -> Iterator[str]:
    """Run `hearth serve` in a project and yield its address."""
    port = free_port()
    command = ["hearth", "serve", "--port", str(port)]
    with subprocess.Popen(command, cwd=project.root, env=project.environment, start_new_session=True) as server:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            stop(server)


def answer(address: str, house: dict[str, Any]) -> bytes:
    """Return the answer to a house, its id taken out, as soon as there is one."""
    request = urllib.request.Request(
        f"{address}/predict", json.dumps(house).encode(), {"content-type": "application/json"}
    )
    deadline = time.monotonic() + 90
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return re.sub(rb'"prediction_id":"[^"]*"', b"", response.read())
        except OSError:
            assert time.monotonic() < deadline, "no answer"
            time.sleep(0.2)


def answered_otherwise(address: str, house: dict[str, Any], than: bytes) -> bytes:
    deadline = time.monotonic() + 90
    while (found := answer(address, house)) == than:
        assert time.monotonic() < deadline, "the server did not take up the new champion"
        time.sleep(0.5)
    return found


# Refusals: nothing is released


def test_a_changed_work_tree_is_not_promoted(clone: Clone) -> None:
    project = clone("unreleased")
    (project.root / "params.yaml").write_text((project.root / "params.yaml").read_text() + "\n# a thought\n")
    assert "changes that no commit has (params.yaml)" in hearth(project, "promote", status=1)
    project.run("git", "checkout", "--", ".")
    (project.root / "notes.txt").write_text("mine")
    assert "notes.txt" in hearth(project, "promote", status=1)
    assert tags(project) == []


def test_without_a_remote_nothing_is_promoted(clone: Clone) -> None:
    project = clone("unreleased")
    project.run("dvc", "remote", "remove", "--local", "store")
    assert "no default remote is set" in hearth(project, "promote", status=1)
    assert tags(project) == []


def test_an_incomplete_lock_is_not_promoted(clone: Clone) -> None:
    """Params that no run has seen, a metric written by hand, and an output that is nowhere."""
    project = clone("unreleased")
    set_params(project, {"model.members.coarse_median.seed": 77})
    metrics = json.loads((project.root / "metrics/metrics.json").read_text()) | {"mdape": 0.05}
    (project.root / "metrics/metrics.json").write_text(json.dumps(metrics, indent=2, sort_keys=True) + "\n")
    lock = project.root / "dvc.lock"
    known = re.search(r"path: models/profile.json\n +hash: md5\n +md5: (\w+)", lock.read_text())
    assert known
    lock.write_text(lock.read_text().replace(known[1], "f" * 32))
    project.run("git", "commit", "--quiet", "--all", "--message", "by hand")
    said = hearth(project, "promote", status=1)
    assert "stage train: the section model of params.yaml is another than its run had" in said
    assert "stage evaluate: metrics/metrics.json has the md5 " in said
    assert "models/profile.json of HEAD" in said
    assert tags(project) == []


def test_metrics_that_are_not_the_models_are_not_promoted(clone: Clone) -> None:
    """A metric written by hand and put into the lock as well, so that the lock is whole."""
    project = clone("unreleased")
    path = project.root / "metrics/metrics.json"
    was = path.read_bytes()
    path.write_text(json.dumps(json.loads(was) | {"mdape": 0.05}, indent=2, sort_keys=True) + "\n")
    hashes = [subprocess.run(["md5sum"], input=content, capture_output=True, check=True).stdout[:32].decode()
              for content in (was, path.read_bytes())]  # fmt: skip
    lock = project.root / "dvc.lock"
    lock.write_text(lock.read_text().replace(*hashes))
    project.run("git", "commit", "--quiet", "--all", "--message", "by hand, thoroughly")
    assert "metrics/metrics.json of HEAD: mdape is 0.05, but its evaluated model" in hearth(
        project, "promote", status=1
    )
    assert tags(project) == []


def test_a_gate_that_is_not_the_gates_is_not_promoted(clone: Clone) -> None:
    """A limit that the model does not keep, put into the lock too, beside a verdict that was given under another."""
    project = clone("unreleased")
    set_params(project, {"gate.mdape_max": 0.02})
    lock = project.root / "dvc.lock"
    changed, count = re.subn(r"( mdape_max: )0\.2$", r"\g<1>0.02", lock.read_text(), flags=re.MULTILINE)
    assert count == 1
    lock.write_text(changed)
    project.run("git", "commit", "--quiet", "--all", "--message", "a verdict by hand")
    assert "the gate of HEAD, asked anew, says no: mdape is 0." in hearth(project, "promote", status=1)
    assert tags(project) == []


def test_tags_by_which_gto_takes_back_are_refused(clone: Clone) -> None:
    """Hearth does not follow them, so it must not serve what GTO calls deprecated."""
    project = clone("released")
    project.run("gto", "deprecate", "house-prices", A)
    said = hearth(project, "releases", status=2)
    assert "was made by GTO" in said
    assert "hearth rollback" in said


def test_a_model_of_shuffled_labels_is_not_promoted(clone: Clone) -> None:
    project = clone("unreleased")
    plant(project, "    tested = newer", "    target = known.target.name\n"
          "    older[target] = np.random.default_rng(0).permutation(older[target])\n    tested = newer")  # fmt: skip
    done = project.run("dvc", "repro", check=False)
    assert "metrics/gate.json says no, so nothing is packaged" in done.stderr
    project.run("git", "commit", "--quiet", "--all", "--message", "shuffled")
    said = hearth(project, "promote", status=1)
    assert "the lock of HEAD is not complete" in said
    assert "stage package: metrics/gate.json has the md5 " in said
    assert re.search("worse in (bias, )?rmse_log, mdape", hearth(project, "compare", "origin/main", "HEAD"))
    assert tags(project) == []


def plant(project: Checkout, old: str, new: str) -> None:
    """Change a line of the stage `train`."""
    stage = project.root / "src/hearth/stages/train.py"
    source = stage.read_text()
    assert source.count(old) == 1
    stage.write_text(source.replace(old, new))


def test_a_model_that_was_fitted_on_its_test_rows_is_not_promoted(clone: Clone) -> None:
    project = clone("unreleased")
    plant(project, "(evaluated, older, [train])", "(evaluated, everything, [train])")
    made(project, "A leak")
    for words, status in ((("promote",), 1), (("compare",), 2)):
        said = hearth(project, *words, status=status)
        assert "test rows leaked into the training rows" in said
        assert "models/evaluated of " in said
    assert tags(project) == []


def test_intervals_that_hold_too_little_are_not_promoted(clone: Clone) -> None:
    project = clone("released")
    set_params(project, {"intervals.level": 0.7})
    made(project, "Narrow intervals")
    said = hearth(project, "promote", "--reason", "they look better", status=1)  # hard, so no reason helps
    assert re.search(r"coverage is worse by 0\.\d+ to 0\.\d+, allowed is 0\.05", said)
    compared = json.loads(hearth(project, "compare", "v0.1.0", "HEAD", "--json"))
    assert compared["differences"]["coverage"]["verdict"] == "worse"
    assert compared["params"]["intervals.level"] == {"base": 0.9, "candidate": 0.7}
    assert champion(project) == A


def test_a_tag_that_exists_already_stops_the_promotion(clone: Clone) -> None:
    project = clone("unreleased")
    project.run("git", "tag", f"house-prices@{A}", "HEAD~1")
    said = hearth(project, "promote", status=1)
    assert f"house-prices@{A}" in said
    assert "so nothing was released" in said
    assert tags(project) == [f"house-prices@{A}"]
    assert champion(project) is None


def test_of_two_promotions_at_the_same_time_one_wins(clone: Clone) -> None:
    project = clone("unreleased")
    both = [
        subprocess.Popen(["hearth", "promote"], cwd=project.root, env=project.environment, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]  # fmt: skip
    said = [process.communicate()[0] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], said
    loser = next(text for process, text in zip(both, said, strict=True) if process.returncode)
    assert "is changing the releases at this moment" in loser or "is the champion already" in loser
    assert sorted(tags(project)) == ["house-prices#prod#1", f"house-prices@{A}"]


@pytest.mark.parametrize("at", ["pushing its outputs", "making the tags"])
def test_a_promotion_that_is_killed_leaves_nothing_or_a_whole_release(clone: Clone, at: str) -> None:
    project = clone("unreleased")
    with subprocess.Popen(["hearth", "promote"], cwd=project.root, env=project.environment, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, start_new_session=True) as process:  # fmt: skip
        assert process.stderr
        next(line for line in process.stderr if line.startswith(at))
        os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    if champion(project) is None:
        hearth(project, "promote")
    assert sorted(tags(project)) == ["house-prices#prod#1", f"house-prices@{A}"]
    assert champion(project) == A


# Compare


def test_two_branches_that_differ_in_one_param(clone: Clone, tmp_path: Path) -> None:
    project = clone("released")
    before = project.status()
    one, two = (project.run("hearth", "compare", "main", "other", "--json").stdout for _ in range(2))
    assert one == two
    found = json.loads(one)
    assert set(found["params"]) == {"model.members.coarse_median.seed", "model.members.median.seed"}
    assert found["params"]["model.members.coarse_median.seed"] == {"base": 7, "candidate": 2}
    for difference in found["differences"].values():
        assert difference["interval"][0] <= difference["difference"] <= difference["interval"][1]
    assert found["rows"] == json.loads((project.root / "metrics/metrics.json").read_text())["rows_test"]
    assert found["data"]["added"] == found["data"]["gone"] == found["data"]["corrected"] == 0
    text = hearth(project, "compare", "main", "other")
    assert "model.members.coarse_median.seed" in text
    assert "which neither model was fitted on" in text
    assert project.status() == before
    page = tmp_path / "page.html"
    hearth(project, "compare", "main", "other", "--markdown", "--html", str(page))
    assert "model.members.coarse_median.seed" in page.read_text()


def test_a_commit_compared_with_itself_is_never_better(clone: Clone) -> None:
    found = json.loads(hearth(clone("released"), "compare", "main", "HEAD", "--json"))
    assert {one["verdict"] for one in found["differences"].values()} == {"no evidence"}
    assert {one["difference"] for one in found["differences"].values()} == {0.0}


def test_what_cannot_be_compared_is_an_error(clone: Clone) -> None:
    project = clone("released")
    assert "nowhere is no revision of this repository" in hearth(project, "compare", "nowhere", status=2)
    said = hearth(project, "compare", "main~1", status=2)  # whose outputs nobody made
    assert "is neither in DVC's cache nor on a remote" in said
    assert "sh tools/road_of.sh" in said
    metrics = project.root / "metrics/metrics.json"
    for content, words in (
        ('{"mdape": NaN}', "NaN is no JSON number"),
        ('{"mdape": 1}', "rmse is missing"),
        (None, "does not exist"),
    ):
        metrics.unlink()
        if content is not None:
            metrics.write_text(content)
        said = hearth(project, "compare", "main", status=2)
        assert words in said
        assert "metrics/metrics.json" in said


# Pull requests


def test_the_workflow_of_a_pull_request_runs_here(clone: Clone, tmp_path: Path) -> None:
    """Run each `run:` line of .github/workflows/compare.yml, as the forge would; only its own command `gh` is recorded."""
    project = clone("released")
    project.run("git", "checkout", "--quiet", "other")
    steps = yaml.safe_load((PROJECT / ".github/workflows/compare.yml").read_text())["jobs"]["compare"]["steps"]
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"]) for step in steps if "uses" in step), "pin by commit"
    uploaded = next(step["with"]["path"].split() for step in steps if "upload-artifact" in step.get("uses", ""))
    # The set-up is that of the tests; installing it anew would only take long.
    venv = project.root / ".venv"
    venv.mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (venv / name).symlink_to(Path(sys.prefix) / name)
    (venv / "road.done").touch()
    (project.root / ".dvc/plots.html").touch()
    forge = tmp_path / "forge"
    forge.mkdir()
    (forge / "gh").write_text(f'#!/bin/sh\necho "$@" >> {forge}/asked\ncat comparison.md >> {forge}/commented\n')
    (forge / "gh").chmod(0o755)
    given = {"BASE": "origin/main", "NUMBER": "7", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"), "GH_TOKEN": "none",
             "PATH": f"{forge}{os.pathsep}{project.environment['PATH']}"}  # fmt: skip
    for step in steps:
        if "run" in step:
            project.run("bash", "-euo", "pipefail", "-c", step["run"], **given)
    said = (tmp_path / "summary").read_text()
    assert said.startswith("## hearth compare: ")
    assert "| model.members.coarse_median.seed | 7 | 2 |" in said
    assert (forge / "commented").read_text() == said
    assert (forge / "asked").read_text().startswith("pr comment 7 --body-file comparison.md")
    assert all((project.root / path).stat().st_size > 1000 for path in uploaded)
    assert project.run("git", "worktree", "list").stdout.count("\n") == 1, "the base's work tree is left behind"
