"""Plant each way in which a dvc.lock can be untrue, and see `hearth verify` name it; nothing but the clone is stood in for."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import lab as laboratory
import pytest
import tiny
from conftest import PROJECT, needs
from lab import change, here, run

from hearth.locks import md5

lab = laboratory.lab
OTHER = "0123456789abcdef" * 2
MAKE, MODEL, METRICS, REPORT = "src/hearth/make.py", "models/model", "metrics/metrics.json", "models/report.txt"


def verify(root: Path, *words: str, status: int, **more: str) -> str:
    """Return what `hearth verify --here` says, once its exit status is what it should be."""
    done = here(root).run("hearth", "verify", "--here", *words, check=False, **more)
    said = done.stdout + done.stderr
    assert done.returncode == status, said
    assert "Traceback" not in said
    return said


def plant(root: Path, old: str, new: str) -> None:
    """Change the first stage, run the road and commit: all is as dvc.lock says, as far as DVC knows."""
    change(root, MAKE, old, new)
    run(root)


def rows(said: str) -> dict[str, str]:
    """Return the last column of the table by output."""
    return {
        line.split()[0]: line.split()[-1] for line in said.splitlines() if line.startswith((MODEL, METRICS, REPORT))
    }


def test_a_true_lock_is_proved_and_nothing_is_left_behind(lab: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    change(lab, MAKE, "EXTRA = 0", "EXTRA = 1")
    said = verify(lab, status=0, TMPDIR=str(scratch))
    head = tiny.git(lab, "rev-parse", "--short=7", "HEAD")
    assert rows(said) == dict.fromkeys((MODEL, METRICS, REPORT), "yes")
    assert f"the lock of {head} is true: 3 outputs, 4 files, the same bytes\n" in said
    assert "fault" not in said
    assert "notice: the work tree has changes that are not committed; they are not looked at." in said
    assert left(scratch) == []
    assert tiny.git(lab, "status", "--porcelain") == f"M {MAKE}"


def left(scratch: Path) -> list[str]:
    return [path.name for path in scratch.iterdir() if path.name.startswith("hearth")]


def test_the_answer_for_machines_has_every_digest_and_deed(lab: Path) -> None:
    found = json.loads(here(lab).run("hearth", "verify", "--here", "--json").stdout)
    assert found["files"][REPORT]["md5"] == md5((lab / REPORT).read_bytes())
    assert set(found["files"]) == {METRICS, REPORT, f"{MODEL}/words.json", f"{MODEL}/order.csv"}
    assert set(found["deeds"]["use"]["reads"]) == {f"{MODEL}/order.csv", "src/hearth/use.py"}
    assert found["environment"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["environment"]["conditions"]["TZ"] == "Asia/Kathmandu"
    assert (found["faults"], found["notices"]) == ([], [])


# What was changed by hand, or not run


def test_hash_size_and_metric_that_were_edited_by_hand_are_found(lab: Path) -> None:
    known, size = md5((lab / REPORT).read_bytes()), (lab / REPORT).stat().st_size
    change(lab, "dvc.lock", known, OTHER)
    change(lab, METRICS, '"words": 8', '"words": 9')
    tiny.commit(lab)
    said = verify(lab, status=1)
    assert rows(said) == {MODEL: "yes", METRICS: "NO", REPORT: "NO"}
    (row,) = [line for line in said.splitlines() if line.startswith(REPORT)]
    assert row.split() == [REPORT, OTHER[:8], known[:8], "NO"]
    assert "the content that is locked is in no cache and on no remote here" in said
    assert f"fault: stage make: {METRICS} has the md5 " in said
    assert "  words is 8, locked is 9" in said

    # Together with its hash the metric is as the lock says; only a rebuild knows better. Of the size DVC itself says nothing.
    change(lab, "dvc.lock", OTHER, known)
    change(lab, "dvc.lock", f"size: {size}\n", f"size: {size + 1}\n")
    change(
        lab,
        "dvc.lock",
        md5((lab / METRICS).read_bytes().replace(b'"words": 9', b'"words": 8')),
        md5((lab / METRICS).read_bytes()),
    )
    tiny.commit(lab)
    said = verify(lab, status=1)
    assert rows(said) == {MODEL: "yes", METRICS: "NO", REPORT: "yes"}
    assert "  words is 8, locked is 9" in said
    assert (
        f"fault: stage use: its entry in dvc.lock is not that of a run: outs.0.size is {size}, locked is {size + 1}"
        in said
    )


def test_code_params_and_source_that_were_changed_without_a_run_are_found(lab: Path) -> None:
    change(lab, MAKE, "EXTRA = 0", "EXTRA = 1")
    change(lab, "params.yaml", "1.0e+16", "1.0e+15")
    tiny.write(lab, "data/in.txt", "another source\n")
    tiny.dvc(lab, "add", "data/in.txt")
    tiny.dvc(lab, "push", "data/in.txt.dvc")
    tiny.commit(lab)
    said = verify(lab, status=1)
    for name in (MAKE, "data/in.txt"):
        assert f"fault: stage make: {name} has the md5 " in said
    assert "fault: stage make: the section make of params.yaml is another than its run had" in said
    assert "  order.csv: column word, row 0 is 'another', locked is 'the'" in said
    assert rows(said) == dict.fromkeys((MODEL, METRICS, REPORT), "NO")


def test_an_output_that_was_changed_after_the_run_is_found_where_it_lies(lab: Path) -> None:
    (lab / MODEL / "order.csv").chmod(0o644)
    change(lab, f"{MODEL}/order.csv", "the", "that")
    said = verify(lab, status=1)
    assert set(rows(said).values()) == {"yes"}
    assert f"fault: here, {MODEL} was changed after the run that dvc.lock tells of" in said


def test_an_object_of_the_cache_that_dvc_would_take_though_it_is_damaged_is_found(lab: Path) -> None:
    oid = md5((lab / REPORT).read_bytes())
    tiny.damage(tiny.cached(lab, oid), b"0123456789\n")
    said = verify(lab, status=1)
    assert set(rows(said).values()) == {"yes"}
    assert f"{oid[2:]} ({REPORT}) has the md5 {md5(b'0123456789' + bytes([10]))}, and DVC takes it for {oid}" in said


def test_a_source_whose_content_changed_under_its_name_is_not_taken(lab: Path) -> None:
    """On the remote and in the cache: the bytes are others, the name is the old one."""
    oid = md5((lab / "data/in.txt").read_bytes())
    for remote in (True, False):
        tiny.damage(tiny.cached(lab, oid, remote=remote), b"something else entirely\n")
    said = verify(lab, status=1)
    assert "error: the source cannot be had: `dvc pull data/in.txt.dvc` failed" in said


def test_a_source_that_is_on_no_remote_comes_from_the_cache_with_a_notice(lab: Path) -> None:
    shutil.rmtree(lab.parent / "remote")
    said = verify(lab, status=0)
    assert (
        "notice: data/in.txt came from the cache here; others get it from no remote: `dvc push data/in.txt.dvc`" in said
    )


# Stages that do not make the same twice


UNTRUE = {
    "clock": "__import__('time').time_ns()",
    "chance": "__import__('random').random()",
    "set": "list({str(number) for number in range(50)})",
    "threads": "os.environ.get('OMP_NUM_THREADS', '1')",
    "folder": "os.getcwd()",
    "zone": "__import__('datetime').datetime.fromtimestamp(0).isoformat()",
    "locale": "__import__('locale').setlocale(__import__('locale').LC_ALL, '')",
    "pid": "os.getpid()",
}


def test_stages_that_do_not_make_the_same_elsewhere_are_found_each(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "PYTHONHASHSEED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TZ", "Etc/UTC")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    one = (
        "  {0}:\n    cmd: python src/hearth/of_{0}.py\n    deps: [src/hearth/of_{0}.py]\n    outs: [models/{0}.json]\n"
    )
    (lab / "dvc.lock").unlink()
    tiny.write(lab, "dvc.yaml", "stages:\n" + "".join(map(one.format, (*UNTRUE, "fine"))))
    for name, value in {**UNTRUE, "fine": "1"}.items():
        tiny.write(
            lab,
            f"src/hearth/of_{name}.py",
            f"import json, os\nos.makedirs('models', exist_ok=True)\njson.dump({{'it': {value}}}, open('models/{name}.json', 'w'))\n",
        )
    run(lab)
    said = verify(lab, status=1)
    table = {line.split()[0]: line.split()[-1] for line in said.splitlines() if line.startswith("models/")}
    assert table == {f"models/{name}.json": "NO" for name in UNTRUE} | {"models/fine.json": "yes"}
    assert f"  it is '{(os.cpu_count() or 1) + 1}', locked is '1'\n" in said
    assert "  it is '1970-01-01T05:30:00', locked is '1970-01-01T00:00:00'\n" in said
    assert "  it is 'C', locked is 'C.UTF-8'\n" in said


# What is not declared


def test_what_is_read_and_written_undeclared_is_found_though_all_bytes_are_the_same(lab: Path) -> None:
    tiny.write(lab, "notes.txt", "3")
    tiny.write(lab, "README.md", "read me\n")
    write = "pathlib.Path('left.txt').write_text('x') + pathlib.Path('README.md').write_text('x')"
    plant(lab, "EXTRA = 0", f"EXTRA = int(open('notes.txt').read()) + {write}")
    (lab / "left.txt").unlink()
    tiny.write(lab, "README.md", "read me\n")
    tiny.commit(lab, "as before")
    said = verify(lab, status=1)
    assert set(rows(said).values()) == {"yes"}
    assert "fault: stage make reads notes.txt, which dvc.yaml does not say" in said
    for name in ("left.txt", "README.md"):
        assert f"fault: stage make writes {name}, which dvc.yaml does not say" in said
        assert f"fault: the road changed or left {name}, which no stage declares" in said
    assert "0 of 3 outputs are others, 5 faults besides" in said


def test_a_dep_that_is_not_even_in_git_stops_the_road_and_is_named(lab: Path) -> None:
    tiny.write(lab, "models/notes.txt", "3")
    plant(lab, "EXTRA = 0", "EXTRA = int(open('models/notes.txt').read())")
    done = here(lab).run("hearth", "verify", "--here", check=False)  # not by verify(): the traceback is the stage's own
    said = done.stdout
    assert done.returncode == 1
    assert "fault: the road broke at make:" in said
    assert "No such file or directory: 'models/notes.txt'" in said
    assert said.count("  it was not rebuilt") == 3


# The environment


def test_a_library_of_another_version_is_found(lab: Path) -> None:
    text = (lab / "requirements.lock").read_text()
    installed = text.split("==")[1].split()[0]
    tiny.write(lab, "requirements.lock", text.replace(installed, "0.1") + "nobody-has-this==1.0\n")
    run(lab)
    said = verify(lab, status=1)
    assert f"fault: pyyaml is {installed}, requirements.lock has 0.1" in said
    assert "fault: nobody-has-this is not installed, requirements.lock has 1.0" in said
    assert "0 of 3 outputs are others, 2 faults besides" in said


def test_a_new_environment_is_made_by_the_commits_own_makefile(lab: Path) -> None:
    """Here one that takes the packages of this environment: what the lock brings is for `make verify` to install."""
    packages = Path(pytest.__file__).parent.parent
    tiny.write(lab, "Makefile", f"""
.venv/road.done:
\t@$(PYTHON) -m venv --without-pip .venv
\t@echo {packages} > $$(echo .venv/lib/python3*/site-packages)/these.pth
\t@cp {Path(sys.executable).with_name('dvc')} .venv/bin/dvc
\t@sed -i "1s|.*|#!$(CURDIR)/.venv/bin/python|" .venv/bin/dvc
\t@touch $@
""")  # fmt: skip
    tiny.write(lab, ".gitignore", laboratory.FILES[".gitignore"] + ".venv/\n")
    tiny.commit(lab)
    done = here(lab).run("hearth", "verify", "--keep", str(lab.parent / "kept"), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (lab.parent / "kept/.venv/road.done").exists()
    assert (lab.parent / "kept" / REPORT).read_bytes() == (lab / REPORT).read_bytes()

    tiny.write(lab, "Makefile", ".venv/road.done:\n\t@echo there is no network; false\n")
    tiny.commit(lab)
    done = here(lab).run("hearth", "verify", check=False)
    assert done.returncode == 1
    assert "error: the locked environment cannot be installed" in done.stderr
    assert "there is no network" in done.stderr


# How it is asked


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing-like-it",), "nothing-like-it is no revision of this repository"),
        (("workspace",), "workspace is no commit; commit what is to be verified"),
        (("--sign", "key"), "--sign goes with --attest"),
        (("--set", "word"), "'word' is no NAME=VALUE"),
    ],
)
def test_what_cannot_be_asked_is_refused_at_once(lab: Path, words: tuple[str, ...], said: str) -> None:
    assert said in verify(lab, *words, status=2)


def test_a_linked_work_tree_a_hook_and_another_commit_are_no_matter(lab: Path) -> None:
    linked = lab.parent / "linked"
    tiny.git(lab, "worktree", "add", "--quiet", "--detach", str(linked))
    shutil.copytree(lab / ".dvc/cache", linked / ".dvc/cache")
    where = {"GIT_DIR": str(lab / ".git/worktrees/linked"), "GIT_WORK_TREE": str(linked)}
    change(lab, MAKE, "EXTRA = 0", "EXTRA = 1")
    tiny.commit(lab, "not run")
    assert "is true: 3 outputs" in verify(linked, status=0, **where)
    assert "is NOT true" in verify(linked, "main", status=1)


def test_a_rebuild_that_is_stopped_leaves_nothing(lab: Path, tmp_path: Path) -> None:
    change(lab, MAKE, "EXTRA = 0", "EXTRA = 0\nopen(os.environ['LAB'], 'w').close()\nimport time; time.sleep(600)")
    tiny.commit(lab)
    scratch, mark = tmp_path / "scratch", tmp_path / "runs"
    scratch.mkdir()
    environment = here(lab).environment | {"TMPDIR": str(scratch), "LAB": str(mark)}
    with subprocess.Popen(
        ["hearth", "verify", "--here"], cwd=lab, env=environment, stderr=subprocess.DEVNULL
    ) as process:
        while not mark.exists():
            assert process.poll() is None
        process.terminate()
        assert process.wait() == 128 + 15
    assert left(scratch) == []


# Elsewhere


@pytest.fixture(scope="module")
def turkish(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment in which the Turkish locale is there."""
    localedef, folder = needs("localedef", package="locales"), tmp_path_factory.mktemp("locales")
    done = subprocess.run([localedef, "--no-archive", "-i", "tr_TR", "-f", "UTF-8", folder / "tr_TR.UTF-8"], check=False,
                          capture_output=True)  # fmt: skip
    assert (folder / "tr_TR.UTF-8/LC_CTYPE").exists(), done.stderr
    return {"LOCPATH": str(folder)}


def settings(**values: Any) -> list[str]:
    return [word for name, value in values.items() for word in ("--set", f"{name}={value}")]


def threads(number: int) -> list[str]:
    return settings(**dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHON_CPU_COUNT"), number))


def test_the_same_bytes_come_of_another_home_locale_and_number_of_threads(
    lab: Path, tmp_path: Path, turkish: dict[str, str]
) -> None:
    home = tmp_path / "das Haus von Jürgen"
    home.mkdir()
    verify(lab, *threads(1), *settings(LC_ALL="tr_TR.UTF-8", HOME=home, TZ="America/St_Johns", **turkish), status=0)
    verify(lab, *threads(4), *settings(LC_ALL="C.UTF-8"), status=0, HOME=str(home))


def test_a_checkout_that_cannot_be_written_is_verified(lab: Path, tmp_path: Path) -> None:
    mount, umount, target = needs("mount"), needs("umount"), tmp_path / "read-only"
    target.mkdir()
    if subprocess.run([mount, "--bind", lab, target], check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here; as root it can")
    try:
        subprocess.run([mount, "-o", "remount,ro,bind", target], check=True)
        with pytest.raises(OSError, match="Read-only"):
            (target / "a").touch()
        verify(target, status=0)
    finally:
        subprocess.run([umount, "--lazy", target], check=True)


def test_make_verify_is_what_ci_and_people_type() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    assert "\nverify: .venv/road.done ## " in makefile
    assert "\n\t@hearth verify" in makefile
    assert "- run: make verify" in (PROJECT / ".github/workflows/ci.yml").read_text()
