"""Imitate a service's life: a log of predictions by a real model, and outcomes, line by line as the service writes them."""

import base64
import json
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hearth.release import Release
from hearth.request import requests_of
from hearth.rules import Columns

MS = np.timedelta64(1, "ms")


@dataclass(frozen=True)
class Life:
    """Hold what happened: houses (n_rows,), when each was priced, what was paid, and when that was heard of."""

    release: Release
    columns: Columns
    at: np.ndarray
    paid: np.ndarray
    heard: np.ndarray
    version: str = ""
    seed: int = 0
    changes: dict[str, Any] = field(default_factory=dict)  # of every line

    @property
    def ids(self) -> list[str]:
        """Return an id for each prediction."""
        chance = np.random.default_rng(self.seed)
        return [chance.bytes(16).hex() for _ in self.at]

    def but(self, **changes: Any) -> "Life":
        """Return another life."""
        return replace(self, **changes)

    def write(self, folder: Path, outcomes: bool = True) -> None:
        """Append all of it to a log folder."""
        folder.mkdir(parents=True, exist_ok=True)
        priced, inputs = self.release.predict(self.columns), self.release.inputs(self.columns).astype("<f4")
        warned = self.release.warnings(self.columns)
        version = self.version or self.release.manifest.model_version
        parts: dict[str, list[str]] = defaultdict(list)
        houses = requests_of(self.columns, self.release.contract)
        for row, name in enumerate(self.ids):
            entry = {
                "at": _text(self.at[row]), "prediction_id": name, "model_version": version, "route": "/predict", "house": houses[row],
                "price": priced.price[row], "low": priced.low[row], "high": priced.high[row],
                "warnings": [said.split(":")[0] for said in warned[row]], "inputs": base64.b64encode(inputs[row].tobytes()).decode(),
            } | self.changes  # fmt: skip
            parts[f"predictions-{entry['at'][:10]}-000.jsonl"].append(json.dumps(entry, separators=(",", ":")))
            if outcomes:
                told = {"at": _text(self.heard[row]), "prediction_id": name, "price": int(self.paid[row])}
                parts[f"outcomes-{told['at'][:10]}.jsonl"].append(json.dumps(told))
        for file, lines in parts.items():
            with (folder / file).open("a") as target:
                target.write("\n".join(lines) + "\n")


def _text(moment: np.datetime64) -> str:
    return f"{moment.astype('datetime64[ms]')}+00:00"


def life(release: Release, columns: Columns, rows: int, days: int, end: str, seed: int = 0, noise: float = 0.1) -> Life:
    """Return a life of so many rows drawn from columns, priced evenly over so many days before `end`, and heard of at once.

    What was paid is what the model says, but for noise in the log: a market that the model knows.
    """
    chance = np.random.default_rng(seed)
    drawn = chance.integers(len(next(iter(columns.values()))), size=rows)
    houses = {name: values[drawn] for name, values in columns.items()}
    last = np.datetime64(end, "ms")
    at = last - np.timedelta64(days, "D") + (np.arange(rows) + 0.5) * (np.timedelta64(days * 86_400_000 // rows, "ms"))
    paid = np.rint(release.predict(houses).price * np.exp(chance.normal(0, noise, rows)))
    target = release.contract.target
    paid = np.clip(paid, target.minimum or 1, target.maximum or np.inf)
    return Life(release, houses, at, paid, at + MS, seed=seed)
