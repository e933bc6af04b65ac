"""Make a project whose stages are small Python programs, so that each way of being irreproducible can be planted in one."""

import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import tiny
from conftest import PROJECT, Checkout, checkout_at

MAKE = """
import json, os, pathlib
words = pathlib.Path("data/in.txt").read_text().split()
pathlib.Path("models/model").mkdir(parents=True, exist_ok=True)
pathlib.Path("metrics").mkdir(exist_ok=True)
EXTRA = 0
pathlib.Path("models/model/words.json").write_text(json.dumps({"words": sorted(words), "extra": EXTRA}))
pathlib.Path("models/model/order.csv").write_text("place,word\\n" + "".join(f"{i},{w}\\n" for i, w in enumerate(words)))
pathlib.Path("metrics/metrics.json").write_text(json.dumps({"words": len(words), "letters": sum(map(len, words))}))
"""
USE = """
import pathlib
text = pathlib.Path("models/model/order.csv").read_text()
pathlib.Path("models/report.txt").write_text(text.upper())
"""
FILES = {
    ".gitignore": "/models\n__pycache__/\n",
    "params.yaml": "make:\n  small: 0.00001\n  large: 1.0e+16\n",
    "src/hearth/make.py": MAKE,
    "src/hearth/use.py": USE,
    "requirements.lock": f"pyyaml=={version('pyyaml')} \\\n    --hash=sha256:{'0' * 64}\n",
    "dvc.yaml": """
stages:
  make:
    cmd: python src/hearth/make.py
    deps: [data/in.txt, requirements.lock, src/hearth/make.py]
    params: [make]
    outs: [models/model]
    metrics: [{metrics/metrics.json: {cache: false}}]
  use:
    cmd: python src/hearth/use.py
    deps: [models/model, requirements.lock, src/hearth/use.py]
    outs: [models/report.txt]
""",
}


def made(factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the project, run and committed, and the remote beside it; to be copied. It is made once."""
    folder = factory.getbasetemp() / "lab"
    if folder.exists():
        return folder
    root = folder / "project"
    root.mkdir(parents=True)
    tiny.git(root, "init", "--quiet", "-b", "main")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(factory.mktemp("site")))
        tiny.dvc(root, "init")
        for name, text in FILES.items():
            tiny.write(root, name, text)
        tiny.write(root, ".dvc/config", tiny.CONFIG + "verify = true\n")
        tiny.write(root, "data/in.txt", "the source of it all has some words\n")
        tiny.dvc(root, "add", "data/in.txt")
        tiny.dvc(root, "push", "data/in.txt.dvc")
        run(root)
    return folder


def run(root: Path, words: str = "run") -> None:
    """Run the road and commit what it made."""
    tiny.dvc(root, "repro")
    tiny.commit(root, words)


def change(root: Path, name: str, old: str, new: str) -> None:
    """Change a text in a file of the project, once."""
    text = (root / name).read_text()
    assert old in text
    tiny.write(root, name, text.replace(old, new, 1))


def here(root: Path) -> Checkout:
    """Return the project as a place to type commands in, with the code that is being tested."""
    return checkout_at(
        root, PYTHONPATH=str(PROJECT / "src"), PATH=f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    )


@pytest.fixture
def lab(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the project, on a machine on which DVC knows nothing yet."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    return tiny.copied(made(tmp_path_factory), tmp_path / "copy")
