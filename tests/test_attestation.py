"""Attest a real verification, hold the attestation to its commit, and see each lie in it found."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lab as laboratory
import pytest
import tiny
from conftest import Checkout
from lab import change, here, run

from hearth.attestation import PAYLOAD, decoded, encoded
from hearth.attesting import proven
from hearth.errors import Refusal
from hearth.locks import md5
from hearth.signing import new_key

BUILDER = "urn:example:machine-7"


@pytest.fixture(scope="module")
def attested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the project and the attestation of its first commit, signed and not; to be copied."""
    folder = tmp_path_factory.mktemp("attested") / "copy"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(folder.parent / "site"))
        root = tiny.copied(laboratory.made(tmp_path_factory), folder)
        here(root).run("hearth", "verify", "--here", "--attest", "../plain.json", "--builder", BUILDER)
    private, public = new_key()
    (folder / "key").write_bytes(private)
    (folder / "key.pub").write_bytes(public)
    document = json.loads((folder / "plain.json").read_bytes())
    (folder / "signed.json").write_bytes(encoded(document, private, "key"))
    return folder


@pytest.fixture
def folder(attested: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of that folder."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    return tiny.copied(attested, tmp_path / "copy").parent


def check(folder: Path, name: str, *words: str, status: int) -> str:
    done = project(folder).run("hearth", "verify", "--check", f"../{name}", *words, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == status, said
    assert "Traceback" not in said
    return said


def project(folder: Path) -> Checkout:
    return here(folder / "project")


def test_an_attestation_names_commit_params_data_environment_and_each_file(folder: Path) -> None:
    document = json.loads((folder / "plain.json").read_bytes())
    root = folder / "project"
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "https://slsa.dev/provenance/v1"
    build = document["predicate"]["buildDefinition"]
    commit = tiny.git(root, "rev-parse", "HEAD")
    assert build["externalParameters"] == {"commit": commit, "params": {"make": {"small": 1e-05, "large": 1e16}}}
    assert build["internalParameters"]["environment"]["conditions"]["LC_ALL"] == "C"
    named = {one["name"]: one["digest"] for one in build["resolvedDependencies"] if "name" in one}
    assert named["commit"] == {"gitCommit": commit}
    assert named["data/in.txt"] == {"md5": md5((root / "data/in.txt").read_bytes())}
    assert set(named["dvc.lock"]) == set(named["requirements.lock"]) == {"sha256"}
    packages = [one["uri"] for one in build["resolvedDependencies"] if "uri" in one]
    assert [one for one in packages if one.startswith("pkg:pypi/numpy@")]
    subjects = {one["name"]: one["digest"] for one in document["subject"]}
    assert set(subjects) == {
        "metrics/metrics.json",
        "models/model/order.csv",
        "models/model/words.json",
        "models/report.txt",
    }
    assert subjects["models/report.txt"]["md5"] == md5((root / "models/report.txt").read_bytes())
    details = document["predicate"]["runDetails"]
    assert details["builder"] == {"id": BUILDER}
    assert details["metadata"]["startedOn"] < details["metadata"]["finishedOn"]
    assert str(folder) not in json.dumps(document), "a path of this machine"


def test_an_attestation_holds_for_its_commit_also_later_and_where_only_git_is(folder: Path) -> None:
    said = check(folder, "plain.json", status=0)
    assert f"4 files by {BUILDER}, whose signature, if any, was not looked at" in said
    assert "4 of them are at hand, with the content that it states" in said
    root = folder / "project"
    change(root, "src/hearth/make.py", "EXTRA = 0", "EXTRA = 1")
    run(root)
    tiny.git(folder, "clone", "--quiet", str(root), "other")
    done = here(folder / "other").run("hearth", "verify", "--check", "../plain.json")
    assert "1 of them are at hand" in done.stdout, "the metrics, which git has"
    assert json.loads(here(root).run("hearth", "verify", "--check", "../plain.json", "--json").stdout)["faults"] == []


def test_only_who_has_the_key_can_sign(folder: Path) -> None:
    said = check(folder, "signed.json", "--signed-by", "../key.pub", status=0)
    assert "signed with that key" in said
    assert "not looked at" in check(folder, "signed.json", status=0)
    (folder / "other.pub").write_bytes(new_key()[1])
    assert "is not signed with the key that it has to be signed with" in check(
        folder, "signed.json", "--signed-by", "../other.pub", status=1
    )
    assert "plain.json is not signed" in check(folder, "plain.json", "--signed-by", "../key.pub", status=1)
    envelope = json.loads((folder / "signed.json").read_bytes())
    payload = base64.b64decode(envelope["payload"]).replace(BUILDER.encode(), b"urn:example:machine-8")
    (folder / "forged.json").write_text(json.dumps(envelope | {"payload": base64.b64encode(payload).decode()}))
    assert "is not signed with the key" in check(folder, "forged.json", "--signed-by", "../key.pub", status=1)


def test_the_signature_is_that_of_dsse(folder: Path) -> None:
    """The very bytes that the specification signs, so that other tools can check it."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    envelope = json.loads((folder / "signed.json").read_bytes())
    payload = base64.b64decode(envelope["payload"])
    assert payload == (folder / "plain.json").read_bytes()
    framed = f"DSSEv1 {len(PAYLOAD)} {PAYLOAD} {len(payload)} ".encode() + payload
    key: Any = load_pem_public_key((folder / "key.pub").read_bytes())
    key.verify(base64.b64decode(envelope["signatures"][0]["sig"]), framed)


def lie(place: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Return what puts a value at a place, a.b.0, of a document."""

    def change(document: dict[str, Any]) -> None:
        *outer, last = place.split(".")
        part: Any = document
        for name in outer:
            part = part[int(name)] if isinstance(part, list) else part[name]
        part[int(last) if isinstance(part, list) else last] = value

    return change


BUILD = "predicate.buildDefinition"


@pytest.mark.parametrize(
    ("place", "value", "status", "said"),
    [
        (f"{BUILD}.externalParameters.params", {"make": {"small": 2}}, 1, "fault: its params are not those of params.yaml"),
        (f"{BUILD}.externalParameters.commit", "0" * 40, 1, "which this clone does not have; `git fetch`"),
        (f"{BUILD}.externalParameters.commit", "main", 1, "wanted the full hash of a commit"),
        (f"{BUILD}.resolvedDependencies.1.digest", {"md5": "0" * 32}, 1, "fault: data/in.txt was md5 0000"),
        (f"{BUILD}.resolvedDependencies.0.digest", {}, 1, "fault: its commit is another among its dependencies"),
        (f"{BUILD}.resolvedDependencies.1.name", "data/other.txt", 1, "fault: it was made of data/other.txt, which is no dependency"),
        (f"{BUILD}.resolvedDependencies.1.name", "dvc.lock", 1, "fault: it names dvc.lock twice"),
        (f"{BUILD}.externalParameters.more", 1, 1, "fault: it has the external parameter more"),
        ("subject.3.digest", {"md5": "0" * 32}, 1, "fault: models/report.txt has no sha256, or no md5"),
        (f"{BUILD}.resolvedDependencies.2.digest", {}, 1, "fault: dvc.lock was not stated, that commit has sha256 "),
        ("subject.0.digest.md5", "0" * 32, 1, "fault: metrics/metrics.json has the md5 0000"),
        ("subject.1.digest.md5", "0" * 32, 1, "fault: models/model has the md5 "),
        ("subject.3.digest.sha256", "0" * 64, 1, "fault: models/report.txt here has the sha256 "),
        ("subject.3.name", "models/other.txt", 1, "fault: models/other.txt is no output of that commit"),
        ("subject", [], 1, "subject is [], wanted"),
        (f"{BUILD}.buildType", "urn:other", 1, "buildDefinition.buildType is 'urn:other', wanted"),
        ("_type", "https://in-toto.io/Statement/v0.1", 1, "_type is "),
        ("predicate.runDetails.builder", {}, 1, "predicate.runDetails.builder.id is missing"),
    ],
)  # fmt: skip
def test_each_lie_is_found(
    folder: Path, place: str, value: Any, status: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hearth.attesting import check as hold

    document = json.loads((folder / "plain.json").read_bytes())
    lie(place, value)(document)
    path = folder / "lie.json"
    path.write_text(json.dumps(document))
    monkeypatch.chdir(folder / "project")
    try:
        found = "\n".join(f"fault: {fault}" for fault in hold(path, None).faults)
    except Refusal as refusal:
        found = str(refusal)
    assert said in found, found


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b"null", b'{"payloadType": 1}', b'{"a": 1, "a": 2}',
                                     b'{"payloadType": "application/vnd.in-toto+json", "payload": "*", "signatures": []}'])  # fmt: skip
def test_what_is_no_attestation_is_refused_in_words(content: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        decoded(content, "a.json", new_key()[1])
    assert str(refused.value).startswith("a.json")


def test_packages_of_another_version_than_the_locks_are_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hearth.attesting import check as hold

    document = json.loads((folder / "plain.json").read_bytes())
    for one in document["predicate"]["buildDefinition"]["resolvedDependencies"]:
        if one.get("uri", "").startswith("pkg:pypi/pyyaml@"):
            one["uri"] = "pkg:pypi/pyyaml@0.1"
    (folder / "lie.json").write_text(json.dumps(document))
    monkeypatch.chdir(folder / "project")
    (said,) = hold(folder / "lie.json", None).faults
    assert said.startswith("pyyaml is 0.1, requirements.lock has ")


def test_what_is_not_true_is_not_attested(folder: Path) -> None:
    root = folder / "project"
    change(root, "src/hearth/make.py", "EXTRA = 0", "EXTRA = 1")
    tiny.commit(root)
    done = here(root).run("hearth", "verify", "--here", "--attest", "../false.json", check=False)
    assert done.returncode == 1
    assert "not attested: " in done.stderr
    assert not (folder / "false.json").exists()


def test_a_kept_attestation_proves_the_lock_that_it_is_about_and_no_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder / "project"
    monkeypatch.chdir(root)
    lock = (root / "dvc.lock").read_bytes()
    assert not proven(lock)
    (root / "metrics/attestation.json").write_bytes((folder / "signed.json").read_bytes())
    assert proven(lock)
    assert not proven(lock + b"\n")
    forged = json.loads((folder / "plain.json").read_bytes())
    forged["subject"] = [{"name": "x", "digest": {"md5": "0" * 32, "sha256": "0" * 64}}]
    for content in (b"{}", json.dumps(forged).encode()):
        (root / "metrics/attestation.json").write_bytes(content)
        assert not proven(lock)
