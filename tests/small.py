"""Give tests a whole project whose road takes seconds: a fifth of the sales, few trees, a gate that lets them through."""

from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from conftest import Checkout, copy_project, sample

EVERY = 5
CHANGES: dict[str, Any] = {
    "model.members.coarse_median.iterations": 30,
    "model.members.median.iterations": 40,
    "model.members.median.learning_rate": 0.1,
    "model.members.coarse_median.learning_rate": 0.2,
    "model.out_of_fold.folds": 2,
    "model.out_of_fold.trees.iterations": 30,
    "model.neighbour_folds": 2,
    "intervals.spread.iterations": 20,
    "evaluate.ridge.penalty": 1e6,  # no rival to so small a model
    "evaluate.bootstrap.draws": 100,
    "evaluate.importance.repeats": 1,
    "evaluate.importance.predictions_max": 2000,
    "evaluate.search.rows_min": 50,
    "gate.test_rows_min": 300,
    "gate.rmse_log_min": 0.01,
    "gate.mdape_min": 0.01,
    "gate.rmse_log_max": 0.3,
    "gate.mdape_max": 0.2,
    "gate.bias_max": 0.1,
    "gate.coverage_min": 0.5,
    "gate.coverage_max": 0.99,
    "gate.coverage_fifth_min": 0.4,
    "gate.slice_mdape_max": 0.9,
    "gate.slice_ratio_max": 9.0,
    "gate.slice_coverage_min": 0.2,
    "gate.slice_coverage_max": 1.0,
    "gate.baseline_rows_min": 1000,
    # What seeds alone do to so small a model is far more than what is allowed of the shipped one.
    "releases.margins": {"rmse_log": 0.02, "mdape": 0.03, "bias": 0.03, "coverage": 0.05},
    "releases.slice_margins": {"mdape": 0.2, "rmse_log": 0.2},
}
# So small a model is thrown about by each month; what a retraining is tested for is the way, not the recipe.
WIDE = {
    "releases.margins": dict.fromkeys(("rmse_log", "mdape", "bias", "coverage"), 0.3),
    "releases.slice_margins": {"mdape": 3.0, "rmse_log": 3.0},
}


def set_params(checkout: Checkout, changes: dict[str, Any]) -> None:
    """Change values of the project's params.yaml by their dotted keys."""
    path = checkout.root / "params.yaml"
    document = yaml.safe_load(path.read_text())
    for key, value in changes.items():
        *outer, last = key.split(".")
        part = document
        for name in outer:
            part = part[name]
        part[last] = value
    path.write_text(yaml.safe_dump(document, sort_keys=False))


def write_source(checkout: Checkout, rows: pd.DataFrame) -> None:
    """Make rows the project's source, tracked by DVC."""
    source = Path("data/source/house_sales.parquet")
    (checkout.root / source).unlink(missing_ok=True)
    rows.to_parquet(checkout.root / source, index=False)
    checkout.run("dvc", "add", "--quiet", str(source))


def small_project(root: Path) -> Checkout:
    """Return a clone with few rows and few trees, on its branch main, committed, its road not yet run."""
    checkout = copy_project(root)
    for key, value in {"user.name": "test", "user.email": "test@localhost"}.items():
        checkout.run("git", "config", key, value)
    write_source(checkout, sample().iloc[::EVERY])
    set_params(checkout, CHANGES)
    return checkout


def made(checkout: Checkout, words: str) -> str:
    """Run the road, commit what it made, and return the commit."""
    checkout.run("dvc", "repro")
    checkout.run("git", "add", "--all")
    checkout.run("git", "commit", "--quiet", "--message", words)
    return checkout.run("git", "rev-parse", "HEAD").stdout.strip()
