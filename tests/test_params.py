"""Test that a section of params.yaml is found or refused, and that a slip in any section stops every stage."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import Field
from samples import PARAMS_TEXT

from hearth.errors import Refusal
from hearth.params import SECTIONS, section
from hearth.splitting import SplitParams
from hearth.strict import Strict


class Validate(Strict):
    max_quarantine_share: float = Field(ge=0, lt=1)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change into a folder with the real params.yaml."""
    (tmp_path / "params.yaml").write_text(PARAMS_TEXT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "params.yaml"


def refused(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Refusal) as caught:
        section("validate", Validate)
    return str(caught.value)


def test_a_section_is_read(project: Path) -> None:
    assert (
        section("validate", Validate).max_quarantine_share
        == yaml.safe_load(PARAMS_TEXT)["validate"]["max_quarantine_share"]
    )
    assert str(section("split", SplitParams).test_from) == yaml.safe_load(PARAMS_TEXT)["split"]["test_from"]


def test_the_known_sections_are_those_of_the_file() -> None:
    assert tuple(yaml.safe_load(PARAMS_TEXT)) == SECTIONS


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        pytest.param(lambda p: p.update(valdate=p.pop("validate")), "params.yaml: valdate is not a known section; did you mean 'validate'?", id="misspelt"),
        pytest.param(lambda p: p.update(modle=p.pop("model")), "params.yaml: modle is not a known section; did you mean 'model'?", id="another one misspelt"),
        pytest.param(lambda p: p.update({5: 1}), "params.yaml: 5 is not a known section; known are collect, validate, split", id="a number"),
        pytest.param(lambda p: p.pop("validate"), "params.yaml: the section validate is missing; add it (`git checkout -- params.yaml` brings it back).", id="missing"),
        pytest.param(lambda p: p.update(validate=None), "params.yaml: validate is None, wanted a mapping", id="empty"),
        pytest.param(lambda p: p.update(validate=0.01), "params.yaml: validate is 0.01, wanted a mapping", id="a number for a section"),
        pytest.param(lambda p: p["validate"].update(max_quarantine_share=1), "params.yaml: validate.max_quarantine_share is 1, wanted less than 1.", id="impossible"),
        pytest.param(lambda p: p["validate"].update(max_quarantine_share="1%"), "params.yaml: validate.max_quarantine_share is '1%', wanted a valid number.", id="a text"),
        pytest.param(lambda p: p["validate"].clear(), "params.yaml: validate.max_quarantine_share is missing; add it.", id="a key less"),
        pytest.param(lambda p: p["validate"].update(max_share=0.1), "params.yaml: validate.max_share is not a known key; did you mean 'max_quarantine_share'?", id="a key more"),
    ],
)  # fmt: skip
def test_a_slip_is_refused_by_its_key(project: Path, edit: Any, said: str) -> None:
    values = yaml.safe_load(PARAMS_TEXT)
    edit(values)
    assert said in refused(project, yaml.safe_dump(values, sort_keys=False))


@pytest.mark.parametrize("text", ["", "[]\n", "5\n", "validate\n"])
def test_a_file_without_sections_is_refused(project: Path, text: str) -> None:
    assert refused(project, text).startswith(
        "params.yaml holds no sections, wanted collect, validate, split, features, "
    )


def test_a_section_that_stands_twice_is_refused(project: Path) -> None:
    assert "the key 'validate' stands twice" in refused(
        project, PARAMS_TEXT + "\nvalidate: {max_quarantine_share: 0.5}\n"
    )


def test_a_missing_file_is_refused(project: Path) -> None:
    project.unlink()
    with pytest.raises(Refusal, match=r"^params\.yaml does not exist"):
        section("validate", Validate)


def test_comments_and_order_change_nothing(project: Path) -> None:
    before = section("split", SplitParams)
    values = yaml.safe_load(PARAMS_TEXT)
    project.write_text("# another comment\n" + yaml.safe_dump(values, sort_keys=True))
    assert section("split", SplitParams) == before
