"""Read DVC's settings of this copy of a repository, and write those of another; its folders may have any name, which DVC's own writer wants in ASCII."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOCAL = Path(".dvc/config.local")
Section = Mapping[str, Any]


def settings() -> tuple[Section, dict[str, Section], str | None]:
    """Return the settings of the repository here: its cache, and its remotes by name, by absolute paths; its default remote."""
    from dvc.config import Config

    here = Config.from_cwd(validate=False)
    cache = here["cache"] | {"dir": str(Path(here["cache"].get("dir", ".dvc/cache")).absolute())}
    return cache, here["remote"], here["core"].get("remote")


def configure(folder: Path, cache: Section, remotes: Mapping[str, Section], default: str | None) -> None:
    """Give a fresh copy a cache and remotes, by absolute paths, and the name of the remote that it uses."""
    from configobj import ConfigObj

    sections: dict[str, Section] = {"cache": cache} | {f'remote "{name}"': one for name, one in remotes.items()}
    known = {name: {key: _plain(value) for key, value in one.items()} for name, one in sections.items()}
    config = ConfigObj(known | ({"core": {"remote": default}} if default else {}), encoding="utf-8")
    with os.fdopen(os.open(folder / LOCAL, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        config.write(file)  # it may hold keys


def _plain(value: Any) -> str | list[str]:
    """Return a value as DVC writes it; its paths are a kind of str of their own."""
    return [str(one) for one in value] if isinstance(value, list) else str(value)
