"""Nouns compute and are pure: they import numeric and plotting libraries, pydantic, yaml and other nouns, nothing else."""

import ast
import sys
from pathlib import Path

import pytest
from conftest import PROJECT

PACKAGE = PROJECT / "src" / "hearth"
# The doors: what touches files, clocks, processes or the network.
DOORS = {"acting", "attesting", "bento", "bento_entry", "cli", "clock", "collecting", "comparing", "completeness", "delivery",
         "drilling", "dvc_local", "earlier", "editing", "front", "git", "history", "impatience", "journal", "keeper", "lines",
         "log_files", "logbook", "native", "objects", "origins", "params", "parquet", "partitions", "prediction_log", "pricing", "progress", "promotion",
         "pushed", "rebuilding", "records", "registry", "releasing", "retraining", "revisions", "road_image", "roads", "scanning", "service",
         "simulating", "storage", "tasks", "verifying", "versions", "watch", "watching", "worktrees", "world"}  # fmt: skip
LIBRARIES = {
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "sklearn",
    "matplotlib",
    "pydantic",
    "yaml",
    "pandera",
    "onnx",
    "onnxruntime",
    "catboost",
    "lightgbm",
    "optuna",
    "cryptography",
    "jinja2",
    "orjson",
    "packaging",
    "prometheus_client",
}
PURE_STANDARD = {"ast", "base64", "binascii", "collections", "copy", "csv", "dataclasses", "datetime", "decimal", "difflib", "functools", "hashlib", "html", "inspect",
                 "io", "itertools", "json", "lzma", "math", "pathlib", "re", "secrets", "string", "tarfile", "types", "typing", "zipfile"}  # fmt: skip
# params.py and storage.py are doors that no noun may use; parquet.py lends tables.py one pure function, columns_of.
LENT = {"hearth.parquet"}
# CatBoost gives its trees to a file only, so one noun may have a file of its own, gone before its function returns
# (tests/test_estimators.py looks for what is left behind). The serial number of a bill of materials is uuid5, a hash.
LENT_TO = {"estimators": {"tempfile"}, "sbom": {"uuid"}}


def imported(source: str) -> set[str]:
    """Return the modules that a source imports, whole names for hearth's own, first parts for the rest."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found |= {name if name.startswith("hearth") else name.split(".")[0] for name in names}
    return found


def impure(source: str, noun: str = "rules") -> set[str]:
    """Return the imports that a noun may not have."""
    nouns = {f"hearth.{path.stem}" for path in PACKAGE.glob("*.py")} - {f"hearth.{door}" for door in DOORS}
    return imported(source) - nouns - LENT - LENT_TO.get(noun, set()) - LIBRARIES - PURE_STANDARD


NOUNS = sorted(path for path in PACKAGE.glob("*.py") if path.stem not in DOORS | {"__init__"})


@pytest.mark.parametrize("path", NOUNS, ids=lambda path: path.stem)
def test_a_noun_imports_nothing_that_touches_the_world(path: Path) -> None:
    source = path.read_text()
    assert impure(source, path.stem) == set()
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"open", "print", "input", "exec"}


def test_planted_impurities_are_found() -> None:
    planted = "import os, numpy\nfrom hearth.storage import read_bytes\nimport urllib.request\nfrom hearth.rules import year\n"
    assert impure(planted) == {"os", "hearth.storage", "urllib"}


def test_what_is_lent_to_one_noun_is_lent_to_no_other() -> None:
    planted = "from tempfile import TemporaryDirectory\n"
    assert impure(planted, "estimators") == set()
    assert impure(planted, "neighbours") == {"tempfile"}
    assert impure("import os\n", "estimators") == {"os"}


@pytest.mark.parametrize("noun", LENT_TO)
def test_what_is_lent_is_used(noun: str) -> None:
    """Otherwise it is to be taken back."""
    assert imported((PACKAGE / f"{noun}.py").read_text()) >= LENT_TO[noun]


def test_every_door_exists() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} >= DOORS


@pytest.mark.parametrize("path", sorted((PACKAGE / "stages").glob("*.py")), ids=lambda path: path.stem)
def test_a_stage_is_short(path: Path) -> None:
    """A stage's main() reads, calls nouns and writes; what is longer belongs into a noun."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name == "main":
            lines = node.end_lineno - node.lineno  # type: ignore[operator]
            assert lines <= 60, lines


def test_importing_the_package_does_no_work() -> None:
    assert "hearth" in sys.modules or __import__("hearth")
    body = ast.parse((PACKAGE / "__init__.py").read_text()).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)
