"""The image of the road without an engine: what its Containerfile says, what is laid out for it, what is asked of an engine."""

import re
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
import test_image as service
from conftest import PROJECT
from test_locks import pins, unhashed

from hearth import road_image
from hearth.cli import main
from hearth.errors import Refusal

TEXT = (PROJECT / "deploy/Containerfile.road").read_text()
CONTAINERFILE = service.instructions(TEXT)
FINAL = CONTAINERFILE[max(n for n, (word, _) in enumerate(CONTAINERFILE) if word == "FROM") :]
TAG = f"hearth-road:{sha256((PROJECT / 'requirements.lock').read_bytes()).hexdigest()[:12]}"
empty = service.project


# The Containerfile


def test_its_tasks_run_as_a_numbered_user_who_is_not_root() -> None:
    words = [word for word, _ in FINAL]
    assert [rest for word, rest in FINAL if word == "USER"] == ["10001:10001"]
    assert not {"RUN", "COPY"} & set(words[words.index("USER") :])


def test_its_packages_are_installed_by_hash_and_pip_stays_behind() -> None:
    install, own = [rest for word, rest in CONTAINERFILE if word == "RUN" and "pip" in rest]
    for option in ("--require-hashes", "--no-deps", "--only-binary :all:", "--no-cache-dir", "--no-build-isolation"):
        assert option in install
    assert re.findall(r"\$install (\S+)", install) == ["$locked", "$locked"]
    assert "--no-index --no-deps --target /opt/own /tmp/*.whl" in own
    source = set(re.findall(r"--no-binary (\S+)", install))
    assert source <= set(pins((PROJECT / "requirements.lock").read_text()))
    assert not any("pip" in rest for _, rest in FINAL)


def test_its_base_is_pinned_and_no_secret_or_address_is_in_it() -> None:
    assert "ADD" not in {word for word, _ in CONTAINERFILE}
    assert not [rest for word, rest in CONTAINERFILE if word in {"RUN", "COPY"} and "://" in rest]
    assert not re.search(r"token|secret|password|api_?key|AWS_", TEXT, flags=re.IGNORECASE)
    assert {rest for word, rest in CONTAINERFILE if word == "FROM"} == {
        "${BASE} AS packages",
        "packages AS own",
        "${BASE}",
    }
    bases = [
        [rest for word, rest in file if word == "ARG" and rest.startswith("BASE=")]
        for file in (CONTAINERFILE, service.CONTAINERFILE)
    ]
    assert bases[0] == bases[1]  # that of the service
    assert re.fullmatch(r"BASE=python:3\.11-slim-\w+", bases[0][0])


def test_it_says_of_which_commit_and_lock_it_is_and_starts_hearth() -> None:
    words = dict(FINAL)
    assert 'org.opencontainers.image.revision="${REVISION}"' in words["LABEL"]
    assert 'hearth.requirements-lock.sha256="${LOCK_SHA256}"' in words["LABEL"]
    assert words["ENTRYPOINT"] == '["/opt/own/bin/hearth"]'
    values = dict(re.findall(r"(\w+)=(\S+)", words["ENV"]))
    assert values["HOME"] == words["WORKDIR"] == "/tmp"  # the one place that is not read-only
    assert values["PATH"].startswith("/opt/own/bin:/opt/hearth/bin:")
    assert values["OMP_NUM_THREADS"] == "1"


# What is laid out


def test_the_locks_and_hearth_are_laid_out_with_the_same_bytes_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        assert road_image.lay_out(tmp_path / name).tag == TAG
        contents.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert contents[0] == contents[1]
    wheel = next(name for name in contents[0] if name.endswith(".whl"))
    assert set(contents[0]) == {"builder.txt", "requirements.txt", wheel}
    with zipfile.ZipFile(tmp_path / "one" / wheel) as archive:
        assert {"hearth/tasks.py", "hearth/operations/task.py"} <= set(archive.namelist())
        assert "hearth=hearth.cli:main" in archive.read("hearth-0.1.0.dist-info/entry_points.txt").decode()
    laid, lock = contents[0]["requirements.txt"].decode(), (PROJECT / "requirements.lock").read_text()
    more = pins((PROJECT / "deploy/road.lock").read_text())
    assert pins(laid) == pins(lock) | more
    assert pins(contents[0]["builder.txt"].decode()) == {"setuptools": pins(lock)["setuptools"]}
    assert unhashed(laid) == unhashed(contents[0]["builder.txt"].decode()) == []


def test_the_image_has_the_executor_of_the_sdk_that_compiled_the_pipeline() -> None:
    text = (PROJECT / "deploy/road.lock").read_text()
    assert set(pins(text)) == {"kfp"}
    assert pins(text)["kfp"] == pins((PROJECT / "orchestration/kubeflow/requirements.lock").read_text())["kfp"]
    assert "kfp" not in pins((PROJECT / "requirements.lock").read_text())
    assert "uv" in pins((PROJECT / "requirements.lock").read_text()), (
        "BentoML's build would fetch one that is not pinned"
    )
    assert "://" not in text


def test_an_entry_without_a_hash_or_of_another_package_is_not_taken(tmp_path: Path) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text("kfp-server-api==1 \\\n    --hash=sha256:00\nkfp==2\nother==3 \\\n    --hash=sha256:11\n")
    with pytest.raises(Refusal, match=r"some.lock has no hashed entry for kfp; `make lock`"):
        road_image.entry(lock, "kfp")
    lock.write_text("a==1 ; python_version < '4' \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\nb==2 \\\n    --hash=sha256:22\n")  # fmt: skip
    assert (
        road_image.entry(lock, "a") == "a==1 ; python_version < '4' \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n"
    )


def test_a_project_that_cannot_be_packed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requirements.lock").write_text("setuptools==1 \\\n    --hash=sha256:00\n")
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy/road.lock").write_text("uv==1 \\\n    --hash=sha256:00\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    with pytest.raises(Refusal, match=r"hearth cannot be packed as a wheel; look at pyproject.toml"):
        road_image.lay_out(tmp_path)


# The command


def test_the_engine_is_asked_for_the_image_that_the_lock_names(
    empty: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    service.pretend(empty, "podman", size="1900000000")
    monkeypatch.chdir(PROJECT)
    assert main(["image", "--road", "--base", "localhost/base:1"]) == 0
    told = (empty / "told").read_text().splitlines()
    assert told[-5:-1] == ["-t", TAG, "-f", "deploy/Containerfile.road"]
    assert f"LOCK_SHA256={sha256((PROJECT / 'requirements.lock').read_bytes()).hexdigest()}" in told
    assert {"BASE=localhost/base:1", "--timestamp"} <= set(told)
    assert [one for one in told if re.fullmatch(r"REVISION=[0-9a-f]{40}(-changed)?", one)]
    assert {path.suffix for path in (empty / "context").iterdir()} == {".txt", ".whl"}
    said = capsys.readouterr().out
    assert said.startswith(
        f"{TAG}: 1900 MB, for commits with this requirements.lock\nrun it:  podman run --rm --read-only"
    )
    assert "task STAGE --repository URL --commit REV" in said


def test_an_image_of_the_road_that_is_too_large_is_an_error(
    empty: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    service.pretend(empty, "docker", size="2101000000")
    monkeypatch.chdir(PROJECT)
    assert main(["image", "--road"]) == 1
    assert f"{TAG} has 2101 MB, wanted at most 2100" in capsys.readouterr().err
