"""Make a bento of the tiny release in seconds, for tests of what surrounds the model."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samples import PROJECT, houses, params, release_files

from hearth.bento import FILES, build


def tiny_bento(target: Path, **log: Any) -> Path:
    """Write the bento of the tiny release, with some limits of its log changed; return where it is."""
    service = params("service")
    about = {"service": service | {"log": service["log"] | log}, "golden": [], "metrics": {}, "gate": {}, "typical": houses(1)[0]}  # fmt: skip
    sources = PROJECT / "src/hearth"
    files: dict[str, bytes] = {f"model/{name}": content for name, content in release_files().items()}
    files |= {f"hearth/{name}": (sources / name).read_bytes() for name in FILES}
    files |= {
        "service.py": (sources / "bento_entry.py").read_bytes(),
        "requirements.txt": (PROJECT / "requirements-serve.lock").read_bytes(),
        "about.json": json.dumps(about).encode(),
        "model_card.md": b"# A tiny model\n",
        "page/index.html": b"<p>no page</p>\n",
    }
    target.write_bytes(build(files, "A tiny bento."))
    return target


def write_release(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write a release's files into a folder; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder
