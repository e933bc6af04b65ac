"""Train: fit the recipe on the training rows, for the evaluation, and on all rows, for the release."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np

from hearth.contract import Contract, parse_contract
from hearth.errors import Refusal
from hearth.features import FeatureParams, input_names
from hearth.hedonic import HedonicParams
from hearth.leakage import LeakageParams, find_leaks
from hearth.market import MarketParams
from hearth.model import Fitted, IntervalParams, ModelParams, Recipe, check_names, fit
from hearth.params import section
from hearth.parquet import columns_of, read_frame
from hearth.paths import CONTRACT, EVALUATED_MODEL, MODEL, TEST, TRAIN
from hearth.release import Facts, Range, Release, open_release, pack
from hearth.rules import Columns
from hearth.stages import run
from hearth.storage import read_bytes, read_yaml, write_folder

LIBRARIES = ("catboost", "lightgbm", "numpy", "onnx", "onnxruntime", "scikit-learn")
PARITY = 1e-9  # log price; the graph computes in float64, so more than the last bits of a sum is a fault

ALONE = 200  # rows that are priced one by one as well, as the service does


def main(
    contract: Path = CONTRACT,
    train: Path = TRAIN,
    test: Path = TEST,
    evaluated: Path = EVALUATED_MODEL,
    model: Path = MODEL,
) -> None:
    """Write both fits as releases, unless a leak is found. The second vouches for as many days as the first is tested on."""
    made_by, limits = recipe(), section("leakage", LeakageParams)
    known = parse_contract(read_yaml(contract), str(contract))
    older, newer = columns_of(read_frame(train)), columns_of(read_frame(test))
    if leaks := find_leaks(older, newer, known, made_by.features, limits):
        raise Refusal("the prepared rows leak, so no model was fitted.\n" + "\n".join(leaks))
    tested = newer[known.time.name]
    horizon = tested.max() - tested.min() + np.timedelta64(1, "D")
    everything = {name: np.concatenate([older[name], newer[name]]) for name in older}
    work = ((evaluated, older, [train]), (model, everything, [train, test]))

    def made(rows: Columns, sources: list[Path]) -> dict[str, bytes]:
        data = hashlib.sha256(b"".join(read_bytes(source) for source in sources)).hexdigest()
        files, fitted = release(rows, known, read_bytes(contract), made_by, data, horizon)
        check_parity(open_release(files, "the new model"), fitted, everything)
        return files

    try:
        # Two threads, each computing with one: the libraries let go of Python's lock while they grow trees.
        with ThreadPoolExecutor(len(work)) as pool:
            made_files = list(pool.map(lambda job: made(job[1], job[2]), work))
    except ValueError as error:
        raise Refusal(f"params.yaml: {error}.") from None
    for (folder, rows, _), files in zip(work, made_files, strict=True):
        write_folder(folder, files)
        print(f"{folder}: fitted on {len(rows[known.time.name]):,} rows, graph of {len(files['model.onnx']):,} bytes")


def recipe() -> Recipe:
    """Return the sections of params.yaml that make a model."""
    return Recipe(
        features=section("features", FeatureParams),
        hedonic=section("hedonic", HedonicParams),
        market=section("market", MarketParams),
        model=section("model", ModelParams),
        intervals=section("intervals", IntervalParams),
    )


def release(
    columns: Columns, contract: Contract, contract_file: bytes, made_by: Recipe, data: str, horizon: np.timedelta64
) -> tuple[dict[str, bytes], Fitted]:
    """Return the files of a model fitted on the rows, and the fitted model that they are to answer like."""
    check_names(contract, made_by)
    fitted = fit(columns, contract, made_by)
    facts = _facts(columns, contract, made_by, fitted, data, horizon)
    return pack(fitted.graph(), contract_file, facts, fitted.known), fitted


def check_parity(release: Release, fitted: Fitted, columns: Columns) -> None:
    """Refuse a release that prices a row otherwise than the libraries that grew its trees, or otherwise alone than in company."""
    inputs = release.inputs(columns)
    values = release.run(inputs)
    parts = (("price", values[:, 0], fitted.price), ("spread", values[:, 1], fitted.spread))
    for what, found, estimator in parts:
        worst = float(np.abs(found - estimator.predict(inputs)).max(initial=0))
        if not worst <= PARITY:
            raise Refusal(f"the exported graph's {what} is {worst:.3g} away from the fitted model's, so nothing was "
                          "written: a fault of graph.py or estimators.py.")  # fmt: skip
    for row in range(0, len(inputs), max(1, len(inputs) // ALONE)):
        alone = release.inputs({name: column[row : row + 1] for name, column in columns.items()})
        for name, one, among in zip(release.facts.features, alone[0], inputs[row], strict=True):
            if one.tobytes() != among.tobytes():
                raise Refusal(f"the input {name} of row {row} is {one} alone and {among} among all rows, so nothing was "
                              "written: its function in features.py must compute each row by itself.")  # fmt: skip


def _facts(
    columns: Columns, contract: Contract, made_by: Recipe, fitted: Fitted, data: str, horizon: np.timedelta64
) -> Facts:
    days = columns[contract.time.name]
    newest = days.max()
    numeric = [column.name for column in contract.features if column.type != "category"]
    return Facts(
        as_of=(newest + np.timedelta64(1, "D")).item(),
        first_day=days.min().item(),
        horizon=(newest + horizon).item(),
        rows=len(days),
        data_sha256=data,
        features=tuple(input_names(contract, made_by.features)),
        recipe=made_by.features,
        params=made_by.model_dump(mode="json", exclude={"features"}),
        index=fitted.index,
        hedonic=fitted.hedonic,
        interval=fitted.interval,
        ranges={name: Range(minimum=np.nanmin(columns[name]), maximum=np.nanmax(columns[name])) for name in numeric},
        libraries={name: version(name) for name in LIBRARIES},
    )


if __name__ == "__main__":
    run(main)
