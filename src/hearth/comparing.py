"""Read two revisions and compare them: what `hearth compare` and `hearth promote` both ask."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hearth.changes import Pair, changed, data_change
from hearth.comparison import Comparison, Side, by_slice, by_week, differences
from hearth.contract import Contract, parse_contract
from hearth.cuts import Background, fault
from hearth.features import FeatureParams
from hearth.params import section
from hearth.parquet import columns_of, to_frame
from hearth.paths import CONTRACT, EVALUATED_MODEL, GATE, LOCK, METRICS, MODEL, PARAMS, TEST, TRAIN, VALIDATED
from hearth.pricing import Fit, fit, price
from hearth.revisions import Revision, UnreadableError
from hearth.sanity import incomplete
from hearth.slices import EvaluateParams
from hearth.storage import parsed_json, parsed_yaml


@dataclass(frozen=True)
class Read:
    """Hold what is read of one side."""

    revision: Revision
    params: dict[str, Any]
    metrics: dict[str, float]
    gate: dict[str, Any]
    contract: Contract
    test: pd.DataFrame
    evaluated: Fit
    released: Fit
    tested_from: np.datetime64

    @property
    def name(self) -> str:
        """Return what the revision was asked for by."""
        return self.revision.name


def compared(old: Read, new: Read) -> Comparison:
    """Return the comparison of two sides, base and candidate; refuse where there are no sales to compare them on."""
    params, recipe = section("evaluate", EvaluateParams), section("features", FeatureParams)
    # Of the two test tables the one that reaches further, from the day on that neither fit has seen.
    giver = old if _newest(old) > _newest(new) else new
    since = max(one.evaluated.as_of for one in (old, new))
    since = max(since, *(one.tested_from for one in (old, new)))
    time, target = giver.contract.time.name, giver.contract.target.name
    rows = giver.test[giver.test[time] >= pd.Timestamp(since)]
    if len(rows) < params.slice_rows_min:
        raise UnreadableError(
            f"{len(rows)} test sales from {since} on are in neither {old.name}'s nor {new.name}'s training rows, wanted at "
            f"least {params.slice_rows_min} (evaluate.slice_rows_min); test both on later sales."
        )
    columns = columns_of(rows)
    chosen = [_fit(one, columns[time].min()) for one in (old, new)]
    with ThreadPoolExecutor(len(chosen)) as pool:  # each waits for a process of its own, in which is its own code
        scored = list(pool.map(lambda model: price(model, columns), chosen))
    actual = columns[target]
    background = Background(columns_of(frame(giver.revision, TRAIN)), giver.contract, recipe, params.baseline.area)
    for name, cut in params.slices.items():
        if said := fault(cut, columns, background):
            raise UnreadableError(f"params.yaml: evaluate.slices.{name}.{said}.")
    tables = [frame(one.revision, VALIDATED) for one in (old, new)]
    sides = [
        Side(name=one.name, commit=one.revision.commit, model_version=one.released.version,
             scored=str(model.path), scored_version=model.version)
        for one, model in zip((old, new), chosen, strict=True)
    ]  # fmt: skip
    return Comparison(
        base=sides[0],
        candidate=sides[1],
        rows=len(rows),
        first_day=str(columns[time].min()),
        last_day=str(columns[time].max()),
        level=params.bootstrap.level,
        differences=differences(actual, scored[0], scored[1], _asked_level(old), params.bootstrap),
        slices=tuple(by_slice(columns, actual, scored[0], scored[1], params, background)),
        weeks=tuple(by_week(columns[time], actual, scored[0], scored[1])),
        params=changed(old.params, new.params),
        metrics={key: Pair(base=old.metrics[key], candidate=new.metrics[key]) for key in old.metrics},
        gates=Pair(base=old.gate["passed"], candidate=new.gate["passed"]),
        data=data_change(tables[0], tables[1], new.contract, params.bootstrap),
        notes=tuple(_notes(old, new)),
    )


def side(revision: Revision) -> Read:
    """Return what is read of a revision; refuse with the file and the revision what is missing or not whole."""

    def where(path: Path) -> str:
        return f"{path} of {revision.name}"

    metrics = parsed_json(revision.read(METRICS), where(METRICS))
    if not isinstance(metrics, Mapping) or (broken := incomplete(metrics)):
        raise UnreadableError(
            f"{where(METRICS)} is not whole: {'; '.join(broken) if isinstance(metrics, Mapping) else 'no mapping'}."
        )
    gate = parsed_json(revision.read(GATE), where(GATE))
    if not isinstance(gate, Mapping) or not isinstance(gate.get("passed"), bool):
        raise UnreadableError(f"{where(GATE)} holds no verdict; run its road anew.")
    contract = parse_contract(parsed_yaml(revision.read(CONTRACT), where(CONTRACT)), where(CONTRACT))
    params = parsed_yaml(revision.read(PARAMS), where(PARAMS))
    if not isinstance(params, Mapping):
        raise UnreadableError(f"{where(PARAMS)} holds no mapping; mend and commit it.")
    test, evaluated = frame(revision, TEST), fit(revision, EVALUATED_MODEL)
    tested_from = np.datetime64(test[contract.time.name].min(), "D")
    if evaluated.as_of > tested_from:
        raise UnreadableError(
            f"{EVALUATED_MODEL} of {revision.name} was fitted on sales until {evaluated.as_of}, but is tested on sales from "
            f"{tested_from} on: test rows leaked into the training rows. Run its road anew."
        )
    return Read(
        revision, dict(params), dict(metrics), dict(gate), contract, test, evaluated, fit(revision, MODEL), tested_from
    )


def frame(revision: Revision, path: Path) -> pd.DataFrame:
    """Return the rows of a parquet file of a revision."""
    try:
        return to_frame(pq.read_table(pa.BufferReader(revision.read(path))))
    except (pa.ArrowInvalid, OSError) as error:
        raise UnreadableError(
            f"{path} of {revision.name} is not a whole parquet file ({error}); run its road anew."
        ) from None


def _newest(one: Read) -> pd.Timestamp:
    newest: pd.Timestamp = one.test[one.contract.time.name].max()
    return newest


def _fit(one: Read, first: np.datetime64) -> Fit:
    """Return the newest fit of a side that has seen none of the rows: what is served, if it can be judged at all."""
    return one.released if one.released.as_of <= first else one.evaluated


def _asked_level(base: Read) -> float:
    """Return the share of prices that the base's intervals are to hold: a candidate cannot lower what it is held to."""
    try:
        return float(base.params["intervals"]["level"])
    except (KeyError, TypeError, ValueError):
        raise UnreadableError(
            f"{PARAMS} of {base.name} has no intervals.level; compare with a commit that has it."
        ) from None


def _notes(old: Read, new: Read) -> list[str]:
    notes = []
    if old.released.version == new.released.version:
        notes.append(f"both sides release the same model, {old.released.version}")
    if old.revision.read(LOCK) != new.revision.read(LOCK):
        notes.append("requirements.lock differs; both were priced with the libraries of this environment")
    return notes
