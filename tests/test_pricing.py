"""Test that a revision's model prices by that revision's code, and that whatever goes wrong there is told in its words."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PROJECT
from samples import columns, release, release_files

from hearth.pricing import Fit, fit, price
from hearth.revisions import UnreadableError

FOLDER = Path("models/model")
ERRORS = 'class Refusal(Exception):\n    """Be the one that is told."""\n'


@dataclass
class Given:
    """Be a revision whose files are given."""

    files: dict[str, bytes]
    package: dict[str, bytes] = field(default_factory=dict)
    name: str = "trial"
    commit: str | None = None

    def read(self, path: Path) -> bytes:
        return self.files[path.name]

    def folder(self, _path: Path) -> dict[str, bytes]:
        return self.files

    def sources(self) -> dict[str, bytes]:
        return self.package


def checkout() -> dict[str, bytes]:
    """Return the modules of this checkout."""
    paths = sorted((PROJECT / "src/hearth").rglob("*.py"))
    return {str(path.relative_to(PROJECT)): path.read_bytes() for path in paths}


def other(predict: str, opened: str = "", **more: str) -> Fit:
    """Return a model of other code, whose release predicts by these lines; `rows` is what it is given."""
    release = f"""
import types
import numpy as np
from hearth.errors import Refusal
def open_release(files, where):
    {opened or "pass"}
    def predict(rows):
{"".join(f"        {line}" + chr(10) for line in predict.splitlines())}
        return types.SimpleNamespace(price=np.array(prices), low=np.array(prices) / 2, high=np.array(prices) * 2)
    return types.SimpleNamespace(predict=predict)
"""
    package = {"__init__.py": '"""Be a package."""\n', "errors.py": ERRORS, "release.py": release} | more
    sources = {f"src/hearth/{name}": text.encode() for name, text in package.items()}
    revision: Any = Given({"manifest.json": b"{}", "model.onnx": b"bytes"}, sources)
    return Fit(revision, FOLDER, "1", np.datetime64("2015-01-01"), revision.files)


def manifest(**other: Any) -> bytes:
    return json.dumps({"model_version": "1", "facts": {"as_of": "2015-03-01"}} | other).encode()


ROWS = {"area": np.array([1.0, np.nan, 3.0]), "date": np.array(["2015-01-01"] * 3, dtype="datetime64[D]")}


def refused(model: Fit) -> str:
    with pytest.raises(UnreadableError) as error:
        price(model, ROWS)
    assert "Traceback" not in str(error.value)
    return str(error.value)


# This checkout's code


@pytest.fixture(scope="module")
def tiny() -> Given:
    return Given(release_files(), checkout())


def test_prices_are_those_of_the_release_to_the_last_bit(tiny: Given) -> None:
    rows = columns(50, 3)
    rows["view"] = np.where(np.arange(50) % 7 == 0, np.nan, rows["view"].astype(float))
    known: Any = tiny
    model = fit(known, FOLDER)
    assert (model.version, model.as_of) == (release().manifest.model_version, np.datetime64(release().facts.as_of))
    found, wanted = price(model, rows), release().predict(rows)
    for name, values in {"predicted": wanted.price, "low": wanted.low, "high": wanted.high}.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    assert len(set(found["predicted"])) > 40


def test_a_damaged_model_is_refused_in_the_words_of_its_code(tiny: Given) -> None:
    files = tiny.files | {"model.onnx": tiny.files["model.onnx"][:-1] + b"x"}
    damaged: Any = Given(files, tiny.package)
    said = refused(fit(damaged, FOLDER))
    assert said.startswith(f"{FOLDER} of trial cannot price: {FOLDER} of trial/model.onnx has the sha256 ")
    assert "it is damaged or was changed" in said


# Other code


def test_it_is_the_code_of_the_revision_that_prices_and_nothing_of_it_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    found = price(other("from hearth.one import ONE\nprices = [ONE, ONE, ONE]", **{"one.py": "ONE = 7.5\n"}), ROWS)
    assert {name: values.tolist() for name, values in found.items()} == {
        "predicted": [7.5] * 3, "low": [3.75] * 3, "high": [15.0] * 3}  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_numbers_days_and_texts_with_empty_cells_survive_the_trip() -> None:
    texts = np.array(["a", np.nan, "", "nan", "größer | 房价", None, "True"], dtype=object)
    rows = {
        "text": texts,
        "number": np.array([1.5, np.nan, -0.0, 1e-300, 1e300, 2.0, 3.0]),
        "whole": np.arange(7),
        "flag": np.arange(7) % 2 == 0,
        "day": np.arange(7).astype("datetime64[D]"),
    }
    check = """
assert list(rows) == ["text", "number", "whole", "flag", "day"], list(rows)
assert {name: values.dtype.str for name, values in rows.items()} == {
    "text": "|O", "number": "<f8", "whole": "<i8", "flag": "|b1", "day": "<M8[D]"}, rows
empty = [type(value) is float and np.isnan(value) for value in rows["text"]]
assert empty == [False, True, False, False, False, True, False], rows["text"]
texts = [value for value in rows["text"] if type(value) is str]
assert texts == ["a", "", "nan", "größer | 房价", "True"], texts
assert np.isnan(rows["number"][1]) and rows["number"][[0, 3, 4]].tolist() == [1.5, 1e-300, 1e300], rows["number"]
assert rows["day"][6] == np.datetime64("1970-01-07")
prices = rows["whole"] + 1.0
"""
    assert price(other(check), rows)["predicted"].tolist() == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (other("", opened='raise Refusal("one.\\ntwo refused: three.")'), "cannot price: one.\ntwo refused: three."),
        (other('raise Refusal(f"{where} wants rows.")'), "cannot price: models/model of trial wants rows."),
        (other('prices = rows["none"]'), "cannot price: KeyError: 'none'"),
        (other("import os; os._exit(3)"), "cannot price: it ended without a word"),
        (other("prices = [1.0, float('nan'), 1.0]"), "answers prices that are missing, NaN or not above 0; run its road anew."),
        (other("prices = [1.0, float('inf'), 1.0]"), "answers prices that are missing, NaN or not above 0"),
        (other("prices = [1.0, 0.0, 1.0]"), "answers prices that are missing, NaN or not above 0"),
        (other("prices = [1.0, 1.0]"), "answers prices that are missing, NaN or not above 0"),
        (other("", **{"release.py": "def broken(:\n"}), "cannot price: SyntaxError: "),
        (other("", **{"release.py": ""}), "cannot price: ImportError: "),
    ],
)  # fmt: skip
def test_what_goes_wrong_in_the_other_code_is_told_in_one_sentence(model: Fit, said: str) -> None:
    found = refused(model)
    assert found.startswith("models/model of trial ")
    assert said in found


# The manifest


def test_a_manifest_of_another_format_still_names_its_fit() -> None:
    known: Any = Given({"manifest.json": manifest(format="hearth-model-9", more=1)})
    found = fit(known, FOLDER)
    assert (found.version, found.as_of, found.files) == ("1", np.datetime64("2015-03-01"), known.files)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"manifest.json": b"no JSON"},
        {"manifest.json": b"\xff"},
        {"manifest.json": b"[]"},
        {"manifest.json": b'{"model_version": "1"}'},
        {"manifest.json": manifest(facts=None)},
        {"manifest.json": manifest(facts={"as_of": None})},
        {"manifest.json": manifest(facts={"as_of": "NaT"})},
        {"manifest.json": manifest(facts={"as_of": "soon"})},
    ],
)
def test_a_manifest_that_is_none_is_refused_by_its_path(files: dict[str, bytes]) -> None:
    known: Any = Given(files)
    with pytest.raises(UnreadableError) as error:
        fit(known, FOLDER)
    assert str(error.value).startswith(f"{FOLDER}/manifest.json of trial is no manifest (")
    assert str(error.value).endswith("; run its road anew.")
