"""The image without an engine: what the Containerfile says, what the bill lists, what the command asks an engine for."""

import io
import json
import os
import re
import shlex
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT
from packaging.markers import Marker
from test_locks import pins

from hearth.cli import main
from hearth.errors import Refusal
from hearth.native import LIBRARY, NATIVE, native
from hearth.operations import image
from hearth.sbom import locked, sbom

COMPILER = shutil.which("cc")
LOCK = (PROJECT / "requirements-serve.lock").read_text()
FILES = {"model.onnx": {"sha256": "a" * 64, "bytes": 3}, "contract.yaml": {"sha256": "b" * 64, "bytes": 4}}
MANIFEST = {"model_version": "2015-03-01-abc", "files": FILES}


def instructions(text: str) -> list[tuple[str, str]]:
    """Return (instruction, rest) in order; comments and line breaks are gone."""
    whole = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in whole.splitlines() if line.strip()]


CONTAINERFILE = instructions((PROJECT / "deploy/Containerfile").read_text())
FINAL = CONTAINERFILE[max(n for n, (word, _) in enumerate(CONTAINERFILE) if word == "FROM") :]


# The Containerfile


def test_the_image_runs_as_a_numbered_user_who_is_not_root() -> None:
    users = [rest for word, rest in FINAL if word == "USER"]
    assert users == ["10001:10001"]
    after = [word for word, _ in FINAL[FINAL.index(("USER", users[0])) :]]
    assert not {"RUN", "COPY"} & set(after)


def test_the_image_tells_its_health_by_readyz_with_a_program_that_is_in_it() -> None:
    [check] = [rest for word, rest in FINAL if word == "HEALTHCHECK"]
    command = json.loads(check[check.index("[") :])
    assert command[:2] == ["/opt/hearth/bin/python3", "-ISc"]
    assert "/readyz" in command[2]
    compile(command[2], "HEALTHCHECK", "exec")


def test_packages_are_installed_by_hash_without_a_compiler_and_pip_stays_behind() -> None:
    [install] = [rest for word, rest in CONTAINERFILE if word == "RUN" and " install " in rest and "pip" in rest]
    for option in ("--require-hashes", "--no-deps", "--only-binary :all:", "--no-cache-dir"):
        assert option in install
    assert not any("pip" in rest for _, rest in FINAL)
    assert not any(
        re.search(r"\b(apt|apt-get|apk|curl|wget|git)\b", rest) for word, rest in CONTAINERFILE if word == "RUN"
    )


def test_nothing_is_fetched_by_address_no_secret_is_in_it_and_no_base_is_latest() -> None:
    text = (PROJECT / "deploy/Containerfile").read_text()
    assert "ADD" not in {word for word, _ in CONTAINERFILE}
    assert not [rest for word, rest in CONTAINERFILE if word in {"RUN", "COPY"} and "://" in rest]
    assert not re.search(r"token|secret|password|api_?key", text, flags=re.IGNORECASE)
    assert {rest for word, rest in CONTAINERFILE if word == "FROM"} == {"${BASE} AS packages", "${BASE}"}
    [base] = [rest for word, rest in CONTAINERFILE if word == "ARG" and rest.startswith("BASE=")]
    assert re.fullmatch(r"BASE=python:3\.11-slim-\w+", base)


def test_the_image_is_set_up_to_be_stopped_kept_small_and_read_only() -> None:
    words = dict(FINAL)
    values = dict(re.findall(r"(\w+)=(\S+)", words["ENV"]))
    assert words["STOPSIGNAL"] == "SIGTERM"
    assert words["VOLUME"] == values["HEARTH_LOG_DIR"] == "/log"
    assert values["BENTOML_HOME"].startswith("/tmp/")
    assert values["HOME"] == words["WORKDIR"] == "/tmp"
    assert values["BENTOML_DO_NOT_TRACK"] == values["BENTOML_CONTAINERIZED"] == "True"
    assert values["OMP_NUM_THREADS"] == "1"
    assert values["HEARTH_GIT_COMMIT"] == "${REVISION}"


# The bill of materials


def test_the_bill_lists_exactly_what_the_lock_installs() -> None:
    bill = json.loads(sbom("house_prices", "v", LOCK, MANIFEST))
    found = {part["name"]: part["version"] for part in bill["components"] if part["type"] == "library"}
    marked = re.findall(r"^([\w.-]+)==\S+ ; (.+?) ?\\?$", LOCK, flags=re.MULTILINE)
    elsewhere = {name for name, marker in marked if not Marker(marker).evaluate()}  # tests run on CPython and Linux
    assert {name for name, _ in marked} > elsewhere
    assert found == {name: version for name, version in pins(LOCK).items() if name not in elsewhere}
    assert len(found) > 50
    assert "uvloop" in found  # its marker excludes Windows only
    assert all(
        part["purl"] == f"pkg:pypi/{part['name']}@{part['version']}" for part in bill["components"] if "purl" in part
    )


def test_the_bill_names_the_model_with_the_hash_of_each_file() -> None:
    bill = json.loads(sbom("house_prices", "v", LOCK, MANIFEST))
    [model] = [part for part in bill["components"] if part["type"] == "machine-learning-model"]
    assert model["version"] == "2015-03-01-abc"
    hashes = {part["name"]: part["hashes"][0]["content"] for part in model["components"]}
    assert hashes == {"model.onnx": "a" * 64, "contract.yaml": "b" * 64}


def test_every_reference_of_the_bill_leads_to_one_part() -> None:
    bill = json.loads(sbom("house_prices", "v", LOCK, MANIFEST))
    parts = [bill["metadata"]["component"], *bill["components"]]
    references = [part["bom-ref"] for part in parts]
    assert len(references) == len(set(references))
    assert {ref for entry in bill["dependencies"] for ref in (entry["ref"], *entry["dependsOn"])} <= set(references)
    assert set(bill) == {
        "bomFormat",
        "specVersion",
        "version",
        "serialNumber",
        "metadata",
        "components",
        "dependencies",
    }
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", bill["serialNumber"])


def test_the_bill_is_the_same_bytes_for_the_same_content_and_others_for_another() -> None:
    first = sbom("house_prices", "v", LOCK, MANIFEST)
    assert first == sbom("house_prices", "v", LOCK, json.loads(json.dumps(MANIFEST)))
    other = sbom("house_prices", "v", LOCK.replace("numpy==2", "numpy==3"), MANIFEST)
    assert json.loads(first)["serialNumber"] != json.loads(other)["serialNumber"]


def test_a_package_for_another_system_is_not_in_the_image() -> None:
    lock = "a==1 \\\n    --hash=sha256:00\nb==2 ; sys_platform == 'win32' \\\n    --hash=sha256:00\nc==3 ; sys_platform != 'win32'\n"
    assert locked(lock) == {"a": "1", "c": "3"}


# The command


def archive(**more: bytes) -> bytes:
    buffer = io.BytesIO()
    files = {"bento.yaml": b"version: 0123456789abcdef\n", "src/model/manifest.json": json.dumps(MANIFEST).encode(),
             "src/requirements.txt": LOCK.encode()} | more  # fmt: skip
    with tarfile.open(fileobj=buffer, mode="w:xz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change into a project with a bento, on a machine without any engine."""
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).write_text("{}\n")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/house_prices.bento").write_bytes(archive())
    (tmp_path / "bin").mkdir()
    for program in ("sh", "cp", "git"):
        (tmp_path / "bin" / program).symlink_to(str(shutil.which(program)))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pretend(project: Path, engine: str, size: str = "400000000", built: int = 0, version: int = 0) -> None:
    """Install a script that is called like an engine: it keeps what it was told and a copy of the context."""
    script = project / "bin" / engine
    script.write_text(f"""#!/bin/sh
here={shlex.quote(str(project))}
case "$1" in
version) exit {version} ;;
build)
    for last; do :; done
    printf '%s\\n' "$@" >"$here/told"
    cp -r "$last" "$here/context"
    exit {built} ;;
*) echo '{size}' ;;
esac
""")
    script.chmod(0o755)


def test_without_an_engine_the_command_says_what_to_install(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["image"]) == 1
    assert capsys.readouterr().err == (
        "error: none of podman, buildah and docker is here; install the package podman, or start the engine.\n"
    )


def test_a_client_without_its_engine_is_passed_over(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pretend(project, "docker", version=1)
    assert main(["image"]) == 1
    assert "docker is here but does not answer; install the package podman" in capsys.readouterr().err
    pretend(project, "buildah")
    assert image.working_engine() == "buildah"
    pretend(project, "podman")
    assert image.working_engine() == "podman"


def test_the_engine_gets_the_bento_its_bill_and_nothing_else(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pretend(project, "podman")
    assert main(["image", "--base", "localhost/base:1"]) == 0
    told = (project / "told").read_text().splitlines()
    assert told[:-1] == ["build", "--format", "docker", "--timestamp", "315532800",
                         "--build-arg", "MODEL_VERSION=2015-03-01-abc", "--build-arg", "REVISION=unknown",
                         "--build-arg", "BASE=localhost/base:1",
                         "-t", "house_prices:0123456789abcdef", "-f", "deploy/Containerfile"]  # fmt: skip
    context = {
        path.relative_to(project / "context").as_posix(): path
        for path in (project / "context").rglob("*")
        if path.is_file()
    }
    assert set(context) == {
        "bento/bento.yaml",
        "bento/src/model/manifest.json",
        "bento/src/requirements.txt",
        "sbom.cdx.json",
    }
    assert context["sbom.cdx.json"].read_bytes() == (project / "dist/house_prices.cdx.json").read_bytes()
    said, note = capsys.readouterr()
    assert note.startswith("note: the image will compute in numpy")  # no compiler is here
    assert said.startswith(
        "house_prices:0123456789abcdef: 400 MB, model 2015-03-01-abc; its SBOM: dist/house_prices.cdx.json\n"
    )
    assert "podman run --rm --read-only --tmpfs /tmp --cap-drop all" in said
    assert "-p 127.0.0.1:3000:3000" in said


@pytest.mark.skipif(COMPILER is None, reason="no C compiler is here")
def test_with_a_compiler_the_engine_gets_the_compiled_way_to_a_price(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the Containerfile puts it where the service's environment looks for it."""
    pretend(project, "podman")
    monkeypatch.setenv("PATH", f"{project / 'bin'}{os.pathsep}{Path(str(COMPILER)).parent}")
    assert main(["image"]) == 0
    assert "note:" not in capsys.readouterr().err
    path = project / "context/native" / LIBRARY
    monkeypatch.setenv(NATIVE, str(path))
    assert native() is not None
    assert ("COPY", "native /opt/hearth/lib") in FINAL


def test_an_image_that_is_too_large_is_an_error(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pretend(project, "docker", size="500900000")
    assert main(["image"]) == 1
    assert "0123456789abcdef has 501 MB, wanted at most 500" in capsys.readouterr().err
    pretend(project, "docker", size="500000000")
    assert main(["image"]) == 0
    assert "docker run --rm" in capsys.readouterr().out


def test_buildah_tells_sizes_in_words(project: Path) -> None:
    pretend(project, "buildah", size='[{"size": "1.2 GB"}]')
    assert image.size("buildah", "x") == pytest.approx(1.2e9)


def test_a_build_that_fails_says_how_to_go_on_without_a_registry(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(project, "podman", built=125)
    assert main(["image"]) == 1
    assert (
        "podman could not build the image, see above; without a registry, `sh tools/base.sh`" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no archive", "is no bento"),
        (archive(**{"../../outside": b"x"}), "is no bento"),
        (None, "`make run` makes it"),
    ],
)
def test_what_is_no_bento_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, said: str
) -> None:
    pretend(project, "podman")
    path = project / "models/house_prices.bento"
    path.unlink() if content is None else path.write_bytes(content)
    assert main(["image"]) == 1
    assert said in capsys.readouterr().err
    assert not (project / "told").exists()
    assert not (project / "outside").exists()


def test_a_checkout_with_changes_is_no_commit(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: dict[str, Any] = {"rev-parse": "abc", "status": " M x"}
    monkeypatch.setattr(image, "_said", lambda command: said[command[1]])
    assert image.revision() == "abc-changed"
    said["status"] = ""
    assert image.revision() == "abc"
    said["rev-parse"] = ""
    assert image.revision() == "unknown"


def test_a_link_in_a_bento_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as tar:
        member = tarfile.TarInfo("src")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(member)
    with pytest.raises(Refusal, match="is no bento"):
        image.lay_out(buffer.getvalue(), tmp_path)
