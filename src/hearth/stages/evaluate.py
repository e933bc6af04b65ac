"""Evaluate: score the test rows once, beside the baseline, by slice and in pictures, and let the gate decide."""

from pathlib import Path

import numpy as np
import pandas as pd

from hearth.baselines import GROUP_MEDIAN, LAST_SALE, MEDIAN, RIDGE, last_sale, median_by_group, overall_median, ridge
from hearth.charts import importance as importance_picture
from hearth.charts import pictures
from hearth.contract import Contract
from hearth.cuts import Background, fault
from hearth.errors import Refusal
from hearth.evidence import gather
from hearth.explanation import global_importance
from hearth.gate import GateParams, judge
from hearth.params import section
from hearth.parquet import columns_of, read_frame, write_frame
from hearth.paths import EVALUATED_MODEL, EVIDENCE, GATE, IMPORTANCE, METRICS, PLOTS, PREDICTIONS, SLICES, TEST, TRAIN
from hearth.plotdata import importance_table, plot_tables
from hearth.release import open_release
from hearth.rules import Columns
from hearth.sanity import unscorable
from hearth.scoring import Floats, mdape, rmse_log, rounded, scores
from hearth.search import worst
from hearth.slices import EvaluateParams, table
from hearth.stages import run
from hearth.storage import read_folder, write_folder, write_json, write_text


def main(
    train: Path = TRAIN,
    test: Path = TEST,
    model: Path = EVALUATED_MODEL,
    predictions: Path = PREDICTIONS,
    metrics: Path = METRICS,
    evidence: Path = EVIDENCE,
    gate: Path = GATE,
    slices: Path = SLICES,
    importance: Path = IMPORTANCE,
    plots: Path = PLOTS,
) -> None:
    """Write predictions, metrics, evidence, slices, importance, plots and the gate's verdict; a no stops `package`, not this."""
    params, limits = section("evaluate", EvaluateParams), section("gate", GateParams)
    release = open_release(read_folder(model), str(model))
    contract = release.contract
    rows = read_frame(test)
    before, columns = columns_of(read_frame(train)), columns_of(rows)
    background = Background(before, contract, release.facts.recipe, params.baseline.area)
    _check_names(params, columns, background)
    answer, actual = release.predict(columns), columns[contract.target.name]
    scored = {"actual": actual, "predicted": answer.price, "low": answer.low, "high": answer.high}
    if faults := unscorable(scored):
        raise Refusal(f"{model}: {'; '.join(faults)}; train anew.")
    simple = _baselines(before, columns, contract, params)
    naive = simple[GROUP_MEDIAN]
    found = scores(**scored) | {"rows_train": len(before[contract.target.name]), "rows_test": len(rows)}
    found |= rounded({"baseline_rmse_log": rmse_log(actual, naive), "baseline_mdape": mdape(actual, naive)}, 6)
    groups = table(columns, scored, params, background)
    numbers, levels = _kinds(contract)
    proofs = gather(scored, simple, worst(columns, scored, numbers, levels, params.search), params.bootstrap)
    shuffled = importance_table(global_importance(release, columns, actual, **params.importance.model_dump()))
    verdict = judge(found, groups, proofs.document(), scored, limits)
    keys = rows[[*contract.keys, contract.target.name]]
    write_frame(
        predictions, keys.assign(prediction=answer.price, low=answer.low, high=answer.high, baseline=np.round(naive, 2))
    )
    write_json(metrics, found)
    write_json(evidence, proofs.document())
    write_text(slices, _csv(pd.DataFrame(groups)))
    write_text(importance, _csv(shuffled))
    tables = plot_tables(columns[contract.time.name], scored)
    images = pictures(tables, scored, columns, pd.DataFrame(groups), proofs.coverage_by_fifth)
    images["importance.png"] = importance_picture(shuffled)
    write_folder(plots, {name: text.encode() for name, text in tables.csv().items()} | images)
    write_json(gate, verdict.document())
    print(f"rmse_log {found['rmse_log']:.4f}, mdape {found['mdape']:.2%}, coverage {found['coverage']:.1%}")
    print("the gate says yes" if verdict.passed else "the gate says no: " + "; ".join(verdict.reasons))


def _baselines(train: Columns, test: Columns, contract: Contract, params: EvaluateParams) -> dict[str, Floats]:
    target, time = contract.target.name, contract.time.name
    group, area, numbers = params.baseline.group, params.baseline.area, _kinds(contract)[0]
    keys = [column.name for column in contract.of("key")]
    return {
        MEDIAN: overall_median(train, target, len(test[target])),
        GROUP_MEDIAN: median_by_group(train, test, target, group, area),
        LAST_SALE: last_sale(train, test, target, keys, time),
        RIDGE: ridge(train, test, target, [*numbers, time], group, params.ridge),
    }


def _kinds(contract: Contract) -> tuple[list[str], list[str]]:
    """Return the names of the features that are numbers, and of those that are categories."""
    found: dict[bool, list[str]] = {False: [], True: []}
    for column in contract.features:
        found[column.type == "category"].append(column.name)
    return found[False], found[True]


def _csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, lineterminator="\n")


def _check_names(params: EvaluateParams, columns: Columns, background: Background) -> None:
    for key, column in {"area": params.baseline.area, "group": params.baseline.group}.items():
        if column not in columns:
            raise Refusal(f"params.yaml: evaluate.baseline.{key} is {column!r}, wanted a column of the prepared tables: "
                          f"{', '.join(sorted(columns))}.")  # fmt: skip
    for name, cut in params.slices.items():
        if said := fault(cut, columns, background):
            raise Refusal(f"params.yaml: evaluate.slices.{name}.{said}.")


if __name__ == "__main__":
    run(main)
