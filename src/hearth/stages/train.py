"""Train: fit the recipe on the training rows, for the evaluation, and on all rows, for the release."""

import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from hearth.contract import Contract, parse_contract
from hearth.errors import Refusal
from hearth.features import FeatureParams, compute, feature_names
from hearth.intervals import IntervalParams
from hearth.model import ModelParams, fit
from hearth.params import section
from hearth.parquet import columns_of, read_frame
from hearth.paths import CONTRACT, EVALUATED_MODEL, MODEL, TEST, TRAIN
from hearth.release import Facts, Range, open_release, pack
from hearth.stages import run
from hearth.storage import read_bytes, read_yaml, write_folder

LIBRARIES = ("numpy", "onnx", "onnxruntime", "scikit-learn")
PARITY = 1e-9  # relative; the graph computes in float64, so more than the last bits of a sum is a fault


def main(
    contract: Path = CONTRACT,
    train: Path = TRAIN,
    test: Path = TEST,
    evaluated: Path = EVALUATED_MODEL,
    model: Path = MODEL,
) -> None:
    """Write both fits as releases. The second vouches for as many days after its newest row as the first is tested on."""
    recipe, params = section("features", FeatureParams), section("model", ModelParams)
    doubt = section("intervals", IntervalParams)
    known = parse_contract(read_yaml(contract), str(contract))
    older, newer = read_frame(train), read_frame(test)
    tested_days = columns_of(newer)[known.time.name]
    horizon = tested_days.max() - tested_days.min() + np.timedelta64(1, "D")
    everything = pd.concat([older, newer], ignore_index=True)
    for folder, rows, sources in ((evaluated, older, [train]), (model, everything, [train, test])):
        data = hashlib.sha256(b"".join(read_bytes(source) for source in sources)).hexdigest()
        try:
            files = release(rows, known, read_bytes(contract), Recipe(recipe, params, doubt), data, horizon)
        except ValueError as error:
            raise Refusal(f"params.yaml: {error}.") from None
        write_folder(folder, files)
        print(f"{folder}: fitted on {len(rows):,} rows, graph of {len(files['model.onnx']):,} bytes")


@dataclass(frozen=True)
class Recipe:
    """Hold the three sections of params.yaml that make a model."""

    features: FeatureParams
    model: ModelParams
    intervals: IntervalParams


def release(
    rows: pd.DataFrame, contract: Contract, contract_file: bytes, recipe: Recipe, data: str, horizon: np.timedelta64
) -> dict[str, bytes]:
    """Return the files of a model fitted on `rows`, once its graph answers as the fitted model does."""
    columns = columns_of(rows)
    days = columns[contract.time.name]
    names = feature_names(contract, recipe.features)
    inputs = compute(columns, contract, recipe.features)
    fitted = fit(inputs, columns[contract.target.name], days, recipe.model, recipe.intervals)
    newest = days.max()
    numeric = [column.name for column in contract.features if column.type != "category"]
    facts = Facts(
        as_of=(newest + np.timedelta64(1, "D")).item(),
        first_day=days.min().item(),
        horizon=(newest + horizon).item(),
        rows=len(rows),
        data_sha256=data,
        features=tuple(names),
        recipe=recipe.features,
        params={"model": recipe.model.model_dump(), "intervals": recipe.intervals.model_dump()},
        level=recipe.intervals.level,
        half_width=fitted.half_width,
        ranges={name: Range(minimum=np.nanmin(columns[name]), maximum=np.nanmax(columns[name])) for name in numeric},
        libraries={name: version(name) for name in LIBRARIES},
    )
    files = pack(fitted.graph(), contract_file, facts)
    served = open_release(files, "the new model").log_price(columns)
    if not np.allclose(served, fitted.log_price(inputs), rtol=0, atol=PARITY):
        raise Refusal(
            "the exported graph does not answer as the fitted model, so nothing was written: a fault of graph.py."
        )
    return files


if __name__ == "__main__":
    run(main)
