"""Price rows with the model of a revision, by the code of that revision.

A model's features are computed by code that changes with it, so another commit's model is opened in a process of its own,
in which `hearth` is that commit's package. That runs code of the revision, as `dvc repro` on it would.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hearth.revisions import Revision, UnreadableError
from hearth.rules import Columns
from hearth.scoring import Floats
from hearth.strict import loads

_DRIVER = """
import sys
from pathlib import Path
import numpy as np
import hearth
from hearth.errors import Refusal
from hearth.release import open_release
assert Path(hearth.__file__).is_relative_to(Path.cwd()), hearth.__file__
try:
    release = open_release({path.name: path.read_bytes() for path in Path("model").iterdir()}, sys.argv[1])
    with np.load("rows.npz", allow_pickle=False) as file:
        rows = {name: file[name] for name in file.files if not name.endswith(" empty")}
        for name in rows:
            if f"{name} empty" in file.files:
                rows[name] = np.where(file[f"{name} empty"], np.nan, rows[name].astype(object))
    answer = release.inputs(rows) if sys.argv[2] == "inputs" else release.predict(rows)
except Refusal as refusal:
    sys.exit(f"refused: {refusal}")
np.save("answer.npy", answer if sys.argv[2] == "inputs" else np.stack([answer.price, answer.low, answer.high]))
"""


@dataclass(frozen=True)
class Fit:
    """Name a fitted model of a revision, and the day up to which its rows reach."""

    revision: Revision
    path: Path
    version: str
    as_of: np.datetime64  # the day after its newest row
    files: dict[str, bytes]


def fit(revision: Revision, path: Path) -> Fit:
    """Return the fit in a folder of a revision; its format may be that of older code."""
    files = revision.folder(path)
    try:
        manifest = loads(files["manifest.json"])
        as_of = np.datetime64(date.fromisoformat(manifest["facts"]["as_of"]))
        return Fit(revision, path, str(manifest["model_version"]), as_of, files)
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableError(
            f"{path}/manifest.json of {revision.name} is no manifest ({error!r}); run its road anew."
        ) from None


def price(model: Fit, rows: Columns) -> dict[str, Floats]:
    """Return predicted, low and high, (n_rows,) each; refuse what the revision's own code refuses."""
    prices = _asked(model, rows, "prices")
    if prices.shape != (3, len(next(iter(rows.values())))) or not np.isfinite(prices).all() or (prices <= 0).any():
        raise UnreadableError(
            f"{_where(model)} answers prices that are missing, NaN or not above 0; run its road anew."
        )
    return dict(zip(("predicted", "low", "high"), prices, strict=True))


def inputs(model: Fit, rows: Columns) -> NDArray[np.float32]:
    """Return the model's inputs (n_rows, n_inputs), computed by the revision's own code."""
    return _asked(model, rows, "inputs")


def _where(model: Fit) -> str:
    return f"{model.path} of {model.revision.name}"


def _asked(model: Fit, rows: Columns, what: str) -> NDArray[Any]:
    with TemporaryDirectory(prefix="hearth-pricing-") as scratch:
        folder = Path(scratch).resolve()
        for name, content in model.revision.sources().items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        (folder / "model").mkdir()
        for name, content in model.files.items():
            (folder / "model" / name).write_bytes(content)
        np.savez(folder / "rows.npz", **_plain(rows))  # type: ignore[arg-type]
        environment = _environment(folder)
        command = [sys.executable, "-P", "-c", _DRIVER, _where(model), what]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            asked = "price" if what == "prices" else "compute inputs"
            raise UnreadableError(f"{_where(model)} cannot {asked}: {_reason(done.stderr)}")
        found: NDArray[Any] = np.load(folder / "answer.npy", allow_pickle=False)
        return found


def _environment(folder: Path) -> dict[str, str]:
    return dict(os.environ) | {
        "PYTHONPATH": str(folder / "src"),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _plain(rows: Columns) -> dict[str, NDArray[Any]]:
    """Return columns that are read without a pickle: texts as numpy's own, and beside them which cells are empty."""
    plain = {}
    for name, values in rows.items():
        plain[name] = values
        if values.dtype == object:
            plain |= {name: values.astype(str), f"{name} empty": np.asarray(pd.isna(values))}
    return plain


def _reason(stderr: str) -> str:
    """Return a refusal's own words, or the last line of what went wrong."""
    if "refused: " in stderr:
        return stderr.partition("refused: ")[2].strip()
    return (stderr.strip().splitlines() or ["it ended without a word"])[-1]
