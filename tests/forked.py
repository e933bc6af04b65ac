"""Make the smallest DVC project in which two branches change different deps of one stage, each with its own run.

`choose` writes the words if the switch is on: the branch `switch` turns it on, `words` has others under a switch that is off,
`quiet` turns it off in another way, and `count` counts otherwise. `apart` has nothing to do with it; `words` changes it too.
"""

import shutil
from pathlib import Path

import pytest
import tiny
from conftest import PROJECT

SCRIPT = """mkdir -p made metrics
if grep -q on switch.txt; then cp words.txt made/chosen.txt; else echo nothing >made/chosen.txt; fi
echo "{\\"letters\\": $(wc -c <made/chosen.txt)}" >metrics/metrics.json
"""
FILES = {
    ".gitignore": "/made/\n",
    "params.yaml": "use:\n  small: 0.00001\n",
    "switch.txt": "off\n",
    "words.txt": "old words\n",
    "apart.txt": "apart\n",
    "choose.sh": SCRIPT,
    "dvc.yaml": """
stages:
  choose:
    cmd: sh choose.sh
    deps: [choose.sh, switch.txt, words.txt]
    outs: [made/chosen.txt]
    metrics: [{metrics/metrics.json: {cache: false}}]
  use:
    cmd: mkdir -p made && cp made/chosen.txt made/used.txt
    deps: [made/chosen.txt]
    params: [use]
    outs: [made/used.txt]
  apart:
    cmd: mkdir -p made && cp apart.txt made/apart.txt
    deps: [apart.txt]
    outs: [made/apart.txt]
""",
}
BRANCHES = {
    "switch": {"switch.txt": "on\n"},
    "words": {"words.txt": "new, longer words\n", "apart.txt": "further apart\n"},
    "quiet": {"switch.txt": "still off\n"},
    "count": {"choose.sh": SCRIPT.replace("letters", "bytes")},
}
MERGED = ("tools/merging.sh", "tools/merge-lock", ".gitattributes")  # the project's own


def make(factory: pytest.TempPathFactory) -> Path:
    """Return the project with its branches, each run and committed, to be copied; it is made once for all test files."""
    root = factory.getbasetemp() / "forked-project"
    if root.exists():
        return root
    root.mkdir()
    tiny.git(root, "init", "--quiet", "-b", "main")
    for name in MERGED:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, root / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(factory.mktemp("site")))
        tiny.dvc(root, "init")
        for name, text in FILES.items():
            tiny.write(root, name, text)
        tiny.write(root, ".dvc/config", "[core]\nanalytics = false\n")
        tiny.dvc(root, "repro")
        tiny.commit(root, "the first run")
        for branch, changes in BRANCHES.items():
            tiny.git(root, "checkout", "--quiet", "-b", branch, "main")
            for name, text in changes.items():
                tiny.write(root, name, text)
            tiny.dvc(root, "repro")
            tiny.commit(root, branch)
        tiny.git(root, "checkout", "--quiet", "switch")
        tiny.dvc(root, "checkout")
    return root


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change into a copy, on its branch `switch`, on a machine on which DVC knows nothing yet."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("PYTHONPATH", str(PROJECT / "src"))
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "test")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "test@localhost")
    root = tmp_path / "project"
    shutil.copytree(make(tmp_path_factory), root, symlinks=True)
    monkeypatch.chdir(root)
    return root
