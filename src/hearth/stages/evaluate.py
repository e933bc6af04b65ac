"""Evaluate: score the test rows once, beside the baseline, by slice and in pictures, and let the gate decide."""

from pathlib import Path

import numpy as np
import pandas as pd

from hearth.baselines import median_by_group
from hearth.charts import pictures
from hearth.errors import Refusal
from hearth.gate import GateParams, judge
from hearth.params import section
from hearth.parquet import columns_of, read_frame, write_frame
from hearth.paths import EVALUATED_MODEL, GATE, METRICS, PLOTS, PREDICTIONS, SLICES, TEST, TRAIN
from hearth.plotdata import plot_tables
from hearth.release import open_release
from hearth.scoring import mdape, rmse_log, rounded, scores
from hearth.slices import EvaluateParams, table
from hearth.stages import run
from hearth.storage import read_folder, write_folder, write_json, write_text


def main(
    train: Path = TRAIN,
    test: Path = TEST,
    model: Path = EVALUATED_MODEL,
    predictions: Path = PREDICTIONS,
    metrics: Path = METRICS,
    gate: Path = GATE,
    slices: Path = SLICES,
    plots: Path = PLOTS,
) -> None:
    """Write predictions, metrics, slices, plots and the gate's verdict; a verdict of no stops `package`, not this."""
    params, limits = section("evaluate", EvaluateParams), section("gate", GateParams)
    release = open_release(read_folder(model), str(model))
    contract = release.contract
    rows = read_frame(test)
    before, columns = columns_of(read_frame(train)), columns_of(rows)
    _check_names(params, set(columns))
    answer = release.predict(columns)
    scored = {
        "actual": columns[contract.target.name],
        "predicted": answer.price,
        "low": answer.low,
        "high": answer.high,
    }
    naive = median_by_group(before, columns, contract.target.name, params.baseline.group, params.baseline.area)
    measured = scores(**scored) | {"rows_train": len(before[contract.target.name]), "rows_test": len(rows)}
    actual = scored["actual"]
    baseline = {"baseline_rmse_log": rmse_log(actual, naive), "baseline_mdape": mdape(actual, naive)}
    found = measured | rounded(baseline, 6)
    groups = table(columns, scored, params)
    verdict = judge(found, groups, limits)
    keys = rows[[*contract.keys, contract.target.name]]
    write_frame(
        predictions, keys.assign(prediction=answer.price, low=answer.low, high=answer.high, baseline=np.round(naive, 2))
    )
    write_json(metrics, found)
    write_text(slices, pd.DataFrame(groups).to_csv(index=False, lineterminator="\n"))
    tables = plot_tables(columns[contract.time.name], scored)
    images = pictures(tables, scored, columns, pd.DataFrame(groups))
    write_folder(plots, {name: text.encode() for name, text in tables.csv().items()} | images)
    write_json(gate, verdict.document())
    print(f"rmse_log {found['rmse_log']:.4f}, mdape {found['mdape']:.2%}, coverage {found['coverage']:.1%}")
    print("the gate says yes" if verdict.passed else "the gate says no: " + "; ".join(verdict.reasons))


def _check_names(params: EvaluateParams, known: set[str]) -> None:
    used = {"baseline.area": params.baseline.area, "baseline.group": params.baseline.group}
    used |= {f"slices.{name}.column": cut.column for name, cut in params.slices.items()}
    for key, column in used.items():
        if column not in known:
            raise Refusal(f"params.yaml: evaluate.{key} is {column!r}, wanted a column of the prepared tables: "
                          f"{', '.join(sorted(known))}.")  # fmt: skip


if __name__ == "__main__":
    run(main)
