"""Make the smallest DVC project with all that a release's commit has: a source, a stage, a folder, a bento, a remote."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.logger import setup  # noqa: F401 -- DVC logs to the standard error of its first import: not to that of one test

FILES = {
    ".gitignore": "/models\n",
    "params.yaml": "make:\n  small: 0.00001\n  large: 1.0e+16\n  word: yes\nother: 1\n",
    "src/hearth/__init__.py": '"""Be a package."""\n',
    "src/hearth/one.py": "ONE = 1\n",
    "src/hearth/assets/page.html": "<p>a page</p>\n",
    "dvc.yaml": """
stages:
  make:
    cmd: mkdir -p models/model metrics && cp data/in.txt models/house_prices.bento && echo a > models/model/a && echo b > models/model/b && echo 1 > metrics/metrics.json
    deps: [data/in.txt, src/hearth/assets, src/hearth/one.py]
    params: [make]
    outs: [models/house_prices.bento, models/model]
    metrics: [{metrics/metrics.json: {cache: false}}]
  use:
    cmd: mkdir -p models && cp models/model/a models/used
    deps: [metrics/metrics.json, models/model]
    outs: [models/used]
""",
}
CONFIG = "[core]\nanalytics = false\nremote = away\n['remote \"away\"']\nurl = ../../remote\n"
IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@l")


def git(root: Path, *words: str) -> str:
    """Return what git says in a repository."""
    done = subprocess.run(["git", *IDENTITY, *words], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"git {words}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def commit(root: Path, words: str = "change") -> str:
    """Commit all and return the commit."""
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "-m", words)
    return git(root, "rev-parse", "HEAD")


def write(root: Path, name: str, text: str) -> None:
    """Write a file of the project."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def dvc(root: Path, *words: str) -> None:
    """Run DVC as a person does; in this process the warnings of its libraries would be errors."""
    command = [str(Path(sys.executable).with_name("dvc")), *words, "--quiet"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"dvc {words}: {done.stdout}{done.stderr}"


def make(factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the project, run and committed, its outputs in its cache and in the remote beside it; to be copied.

    It is made once for all test files.
    """
    folder = factory.getbasetemp() / "tiny-project"
    if folder.exists():
        return folder
    root = folder / "project"
    root.mkdir(parents=True)
    git(root, "init", "--quiet", "-b", "main")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(factory.mktemp("site")))
        dvc(root, "init")
        for name, text in FILES.items():
            write(root, name, text)
        write(root, ".dvc/config", CONFIG)
        write(root, "data/in.txt", "the source\n")
        dvc(root, "add", "data/in.txt")
        dvc(root, "repro")
        commit(root, "the first run")
        dvc(root, "push")
    return folder


def copied(made: Path, target: Path) -> Path:
    """Return the project of a copy of what `make` made."""
    shutil.copytree(made, target, symlinks=True)
    return target / "project"


def cached(root: Path, md5: str, remote: bool = False) -> Path:
    """Return where an object lies in the cache or on the remote."""
    return (root.parent / "remote" if remote else root / ".dvc/cache") / "files/md5" / md5[:2] / md5[2:]


def damage(path: Path, content: bytes) -> None:
    """Change an object as a bad disk would: its mode stays that of an object which DVC trusts."""
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(0o444)


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change into a copy of the tiny project, on a machine on which DVC knows nothing yet."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    root = copied(make(tmp_path_factory), tmp_path / "copy")
    monkeypatch.chdir(root)
    return root
