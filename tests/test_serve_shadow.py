"""Test that `hearth serve --shadow` gives its servers the model of a revision, and takes it away again."""

import argparse
import os
from pathlib import Path

import pytest
from tiny import commit, dvc, project, write

from hearth.bento import environment_of
from hearth.operations.serve import arguments, shadowed
from hearth.revisions import UnreadableError
from hearth.shadow import SHADOW

__all__ = ["project"]


def test_a_server_is_given_the_model_of_a_revision(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(SHADOW, raising=False)
    first = commit(project)
    write(project, "dvc.yaml", (project / "dvc.yaml").read_text().replace("echo a", "echo other"))
    dvc(project, "repro")
    with shadowed(first):
        folder = Path(environment_of(project / "home")[SHADOW])
        assert {path.name: path.read_text() for path in folder.iterdir()} == {"a": "a\n", "b": "b\n"}
        assert folder.is_absolute()
    assert SHADOW not in os.environ
    assert not folder.exists()
    with shadowed("workspace"):
        assert Path(os.environ[SHADOW], "a").read_text() == "other\n"
    assert f"models/model of {first} shadows what is served" in capsys.readouterr().out


def test_a_shadow_that_the_environment_names_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SHADOW, str(tmp_path))
    with shadowed(None):
        assert os.environ[SHADOW] == str(tmp_path)
    assert os.environ[SHADOW] == str(tmp_path)


def test_a_revision_that_is_none_is_refused_before_anything_is_served(project: Path) -> None:
    with pytest.raises(UnreadableError, match="none is no revision"), shadowed("none"):
        pass


def test_without_a_word_there_is_no_shadow() -> None:
    parser = argparse.ArgumentParser()
    arguments(parser)
    assert parser.parse_args([]).shadow is None
