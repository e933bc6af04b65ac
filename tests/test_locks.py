"""The locks pin every package by hash, agree with each other and record no address; so do the workflows."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import PROJECT

LOCKS = ("requirements-serve.lock", "requirements.lock", "requirements-dev.lock")


def pins(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", text, flags=re.MULTILINE))


def unhashed(text: str) -> list[str]:
    entries = re.split(r"\n(?=\S)", text.strip())
    return [entry.split()[0] for entry in entries if not re.search(r"--hash=sha256:[0-9a-f]{64}", entry)]


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_is_pinned_by_hash_and_no_address_is_recorded(name: str) -> None:
    text = (PROJECT / name).read_text()
    assert len(pins(text)) > 50
    assert unhashed(text) == []
    assert "://" not in text
    assert not re.search(r"^(-i|-f|--index|--extra|--find)", text, flags=re.MULTILINE)


def test_a_package_without_a_hash_is_found() -> None:
    assert unhashed("a==1 \\\n    --hash=sha256:" + "0" * 64 + "\nb==2\n") == ["b==2"]


def test_the_narrow_locks_are_parts_of_the_wide_ones() -> None:
    serve, road, dev = (pins((PROJECT / name).read_text()) for name in LOCKS)
    assert serve.items() <= road.items() <= dev.items()
    assert not {"pytest", "mypy", "ruff"} & set(road)
    assert not {"dvc", "pandas", "scikit-learn", "matplotlib", "onnx"} & set(serve)


def test_every_direct_dependency_is_locked_and_has_a_line_in_the_decisions() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    decisions = (PROJECT / "docs/decisions.md").read_text()
    for wanted, lock in ((project["dependencies"], LOCKS[0]), (extras["road"], LOCKS[1]), (extras["dev"], LOCKS[2])):
        locked = pins((PROJECT / lock).read_text())
        for requirement in wanted:
            name = re.match(r"[a-z0-9-]+", requirement)[0]  # type: ignore[index]
            assert name in locked, f"{name} is not in {lock}"
            assert f"| `{name}` |" in decisions, f"{name} has no line in docs/decisions.md"


@pytest.mark.parametrize("path", sorted((PROJECT / ".github/workflows").glob("*.yml")), ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_with_least_permissions(path: Path) -> None:
    text = path.read_text()
    used = re.findall(r"uses: (\S+)", text)
    assert used
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action) for action in used), used
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    assert "bash .ci/run" in text or "make" in text


def test_ci_calls_what_a_person_types() -> None:
    assert re.findall(r"^make (\w+)$", (PROJECT / ".ci/run").read_text(), flags=re.MULTILINE) == ["check", "test"]


def test_dvc_is_configured_once_for_all() -> None:
    text = (PROJECT / ".dvc/config").read_text()
    for line in ("analytics = false", "check_update = false", "verify = true", "url = ../data/remote"):
        assert line in text
    assert "remote = " not in text.split("['remote")[0], "no default remote: models must not land in git by a push"
