"""What is said twice is generated or compared."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from conftest import PROJECT

from hearth.cli import OPERATIONS, main

README = (PROJECT / "README.md").read_text()


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "README.md",
        "docs/data.md",
        "data/contract.yaml",
        "metrics/metrics.json",
        "benchmarks/quality.json",
        "dvc.yaml",
        "params.yaml",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_generated_documents_are_current(copied: Path) -> None:
    assert main(["docs", "--check"]) == 0


@pytest.mark.parametrize(
    ("path", "old", "new", "stale"),
    [
        ("data/contract.yaml", "Upkeep, 5 is best.", "Upkeep, 5 is worst.", "docs/data.md"),
        ("metrics/metrics.json", '"mdape": 0.0', '"mdape": 0.1', "README.md"),
        ("README.md", "| median error (mdape) | ", "| median error (mdape) | 1", "README.md"),
    ],
)
def test_a_stale_document_is_found_and_written_anew(
    copied: Path, capsys: pytest.CaptureFixture[str], path: str, old: str, new: str, stale: str
) -> None:
    text = (copied / path).read_text()
    assert old in text
    (copied / path).write_text(text.replace(old, new))
    assert main(["docs", "--check"]) == 1
    assert f"{stale} is stale" in capsys.readouterr().out
    assert main(["docs"]) == 0
    assert main(["docs", "--check"]) == 0


def test_the_first_command_stands_before_line_25() -> None:
    lines = README.splitlines()
    assert next(number for number, line in enumerate(lines, 1) if line.startswith("make run")) < 25


def test_readme_names_every_stage_in_order() -> None:
    stages = list(yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"])
    rows = re.findall(r"^\| `(\w+)` \| ", README.split("## The road")[1].split("## ")[0], flags=re.MULTILINE)
    assert rows == stages


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/decisions.md", "Makefile"])
def test_every_target_and_command_that_is_named_exists(page: str) -> None:
    text = (PROJECT / page).read_text()
    targets = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", text, flags=re.MULTILINE)) <= targets
    assert set(re.findall(r"(?:^|`)hearth ([a-z]+)", text, flags=re.MULTILINE)) <= set(OPERATIONS)


def test_every_link_leads_somewhere() -> None:
    for page in (PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert link.startswith("http") or (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_curl_line_of_the_readme_sends_the_contracts_example() -> None:
    body = re.search(r"-d '(\{.*?\})'", README, flags=re.DOTALL)
    assert body
    columns = yaml.safe_load((PROJECT / "data/contract.yaml").read_text())["columns"]
    example = {name: column["example"] for name, column in columns.items() if column["role"] == "feature"}
    assert yaml.safe_load(body[1]) == example


def test_nothing_names_a_machine_path_or_a_registry() -> None:
    """Every text file that git tracks; the lock files above all."""
    import subprocess

    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    hosts = "|".join(
        ("pypi" + r"\.org", "pythonhosted" + r"\.org", "index-" + "url", "/home" + "/", "/root" + "/", "/work" + "/")
    )
    for name in filter(None, names):
        path = PROJECT / name
        if path.suffix in {".parquet", ".png"} or "data/remote/files" in name or not path.is_file():
            continue
        found = re.search(hosts, path.read_text())
        assert not found or name in {"tools/lock.sh"}, f"{name}: {found and found[0]}"
