"""Score the model on the published protocols, beside the three libraries as they come out of the box.

    python benchmarks/quality.py            # ten random folds and two cuts in time: a quarter of an hour on two cores
    python benchmarks/quality.py --folds 2  # the first two of the ten folds only, to try it; nothing is written

Prints a table and writes benchmarks/quality.json. Nothing here is tuned on these folds; where
protocol and folds differ from the published ones is said in benchmarks/README.md.
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hearth.stages  # noqa: F401 -- isort: skip -- first: it says one thread a process
import numpy as np
import yaml
from catboost import CatBoostRegressor
from lightgbm import LGBMRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import KFold

from hearth.contract import Contract, parse_contract
from hearth.features import FeatureParams, compute, model_inputs
from hearth.hedonic import HedonicParams
from hearth.market import MarketParams
from hearth.model import IntervalParams, ModelParams, Recipe, ensembles, log_price, prepare
from hearth.parquet import columns_of, read_arrow, to_frame
from hearth.strict import parse
from hearth.tables import conform

TOP = Path(__file__).resolve().parent.parent
TARGET = TOP / "benchmarks/quality.json"
SEED = 0  # of the random folds
FOLDS = 10
CUTS = {"january_february_2015": ("2015-01-01", "2015-03-01"), "march_to_may_2015": ("2015-03-01", "2015-06-01")}
SECTIONS: dict[str, Any] = {
    "features": FeatureParams, "hedonic": HedonicParams, "market": MarketParams, "model": ModelParams,
    "intervals": IntervalParams,
}  # fmt: skip

Columns = dict[str, np.ndarray]
DEFAULTS: dict[str, Callable[[], Any]] = {
    "scikit-learn": lambda: HistGradientBoostingRegressor(random_state=0),
    "LightGBM": lambda: LGBMRegressor(random_state=0, n_jobs=1, verbose=-1),
    "CatBoost": lambda: CatBoostRegressor(random_seed=0, thread_count=1, verbose=0, allow_writing_files=False),
}


def main() -> None:
    """Run every protocol and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folds", type=int, default=FOLDS, help="only the first so many of the ten folds")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    work = [("random", fold) for fold in range(options.folds)] + [("time", place) for place in range(len(CUTS))]
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for protocol, scored in pool.imap(judged, work):
            print(f"{protocol}: " + ", ".join(f"{n} {m['rmse']:,.0f} / {m['mdape']:.2%}" for n, m in scored.items()), flush=True)  # fmt: skip
            for name, metrics in scored.items():
                found.setdefault(protocol, {}).setdefault(name, []).append(metrics)
    summary = {
        protocol: {name: summarised(rows) for name, rows in models.items()} for protocol, models in found.items()
    }
    print("\n" + "\n".join(table(summary)))
    if options.folds == FOLDS:
        TARGET.write_text(json.dumps(summary, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        print(f"\nwrote {TARGET.relative_to(TOP)}")


def judged(job: tuple[str, int]) -> tuple[str, dict[str, dict[str, float]]]:
    """Return the protocol's name and each model's metrics on one fold."""
    kind, place = job
    contract, sales = load()
    days = sales[contract.time.name]
    if kind == "random":
        name = "random_ten_fold"
        fit, judge = list(KFold(FOLDS, shuffle=True, random_state=SEED).split(days))[place]
    else:
        name, (cut, end) = list(CUTS.items())[place]
        fit = np.flatnonzero(days < np.datetime64(cut))
        judge = np.flatnonzero((days >= np.datetime64(cut)) & (days < np.datetime64(end)))
    older, newer = rows(sales, fit), rows(sales, judge)
    actual = newer[contract.target.name].astype(np.float64)
    scored = {"hearth": timed(lambda: hearth_prices(older, newer, contract), actual)}
    raw = recipe().features.model_copy(update={"derived": ("market_days",), "neighbours": None})
    inputs, later = compute(older, contract, raw), compute(newer, contract, raw)
    target = log_price(older[contract.target.name])
    for library, made in DEFAULTS.items():
        scored[library] = timed(lambda made=made: np.exp(made().fit(inputs, target).predict(later)), actual)
    return name, scored


def hearth_prices(older: Columns, newer: Columns, contract: Contract) -> np.ndarray:
    """Return the prices of a model fitted by the project's own code and params."""
    made = recipe()
    ready = prepare(older, contract, made)
    price, _ = ensembles(ready, made)
    inputs = model_inputs(newer, contract, made.features, ready.known)
    return np.exp(price.predict(inputs) + ready.offset(newer[contract.time.name], inputs))


def timed(predict: Callable[[], np.ndarray], actual: np.ndarray) -> dict[str, float]:
    """Return the metrics of predictions, and the CPU seconds that fitting and predicting took."""
    start = time.process_time()
    predicted = predict()
    seconds = time.process_time() - start
    ratio = predicted / actual
    return {
        "rmse": float(np.sqrt(np.mean((predicted - actual) ** 2))),
        "mae": float(np.mean(np.abs(predicted - actual))),
        "mdape": float(np.median(np.abs(ratio - 1))),
        "r2": float(1 - np.sum((predicted - actual) ** 2) / np.sum((actual - actual.mean()) ** 2)),
        "rmse_log": float(np.sqrt(np.mean(np.log(ratio) ** 2))),
        "bias": float(np.mean(ratio) - 1),
        "seconds": seconds,
    }


def summarised(folds: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean over the folds, and how far the folds' RMSE lie apart; seconds are for the terminal, not the file."""
    mean = {key: round(float(np.mean([fold[key] for fold in folds])), 6) for key in folds[0] if key != "seconds"}
    return mean | {"rmse_sd": round(float(np.std([fold["rmse"] for fold in folds])), 6), "folds": len(folds)}


def table(summary: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = ["| protocol | model | RMSE | MAE | MdAPE | R² | RMSE log | bias |", "|---|---|--:|--:|--:|--:|--:|--:|"]
    for protocol, models in summary.items():
        for name, m in models.items():
            lines.append(f"| {protocol.replace('_', ' ')} | {name} | {m['rmse']:,.0f} | {m['mae']:,.0f} | {m['mdape']:.2%} "
                         f"| {m['r2']:.4f} | {m['rmse_log']:.4f} | {m['bias']:+.1%} |")  # fmt: skip
    return lines


def recipe() -> Recipe:
    """Return the sections of params.yaml that make a model."""
    document = yaml.safe_load((TOP / "params.yaml").read_text(encoding="utf-8"))
    return Recipe(**{name: parse(kind, document[name], f"params.yaml: {name}") for name, kind in SECTIONS.items()})


def load() -> tuple[Contract, Columns]:
    """Return the contract and every shipped sale, also the one that the road refuses: the published protocols have it."""
    contract = parse_contract(yaml.safe_load((TOP / "data/contract.yaml").read_text(encoding="utf-8")), "contract.yaml")
    source = TOP / "data/source/house_sales.parquet"
    return contract, dict(columns_of(to_frame(conform(read_arrow(source), contract, str(source)))))


def rows(columns: Columns, chosen: np.ndarray) -> Columns:
    """Return some rows of columns."""
    return {name: values[chosen] for name, values in columns.items()}


if __name__ == "__main__":
    main()
