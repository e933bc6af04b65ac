"""Make small samples for tests: the real contract and its variants, valid houses and sales, a tiny fitted release."""

import copy
import datetime
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml
from numpy.typing import NDArray

import hearth.stages  # noqa: F401 -- says one thread before scikit-learn loads; beside other load two take three times as long
from hearth.answering import Answers, BadRequestError, ServiceParams
from hearth.contract import Contract, parse_contract
from hearth.estimators import HistParams
from hearth.features import FeatureParams, input_names
from hearth.hedonic import HedonicParams
from hearth.market import MarketParams
from hearth.model import Fitted, IntervalParams, ModelParams, OutOfFold, Recipe, fit
from hearth.monitor_metrics import CHECKS, FIGURES
from hearth.parquet import columns_of, to_frame
from hearth.release import Facts, Range, Release, open_release, pack
from hearth.rules import Columns
from hearth.strict import parse
from hearth.tables import arrow_schema

PROJECT = Path(__file__).resolve().parent.parent
CONTRACT_BYTES = (PROJECT / "data/contract.yaml").read_bytes()
PARAMS_TEXT = (PROJECT / "params.yaml").read_text(encoding="utf-8")
FIRST_DAY = datetime.date(2014, 5, 2)
DAYS = 300  # the sales of the samples fall on so many days from FIRST_DAY on
TREES = HistParams(kind="hist", loss="squared", weight=1.0, iterations=25, learning_rate=0.2, leaves=8, rows_per_leaf=5,
                   l2=1.0, features_per_split=0.5, seed=1)  # fmt: skip
MODEL = ModelParams(members={"mean": TREES}, outlier_log=0.5, neighbour_folds=3,
                    out_of_fold=OutOfFold(folds=3, trees=TREES), seed=1)  # fmt: skip
DOUBT = IntervalParams(level=0.8, folds=2, fold_days=30, margin=0.0, spread_min=0.01, spread=TREES)


def service_limits(batch_rows_max: int) -> ServiceParams:
    """Return the shipped limits of the service with another length of a batch."""
    return ServiceParams(**yaml.safe_load(PARAMS_TEXT)["service"] | {"batch_rows_max": batch_rows_max})


SERVICE = service_limits(5)


def document() -> dict[str, Any]:
    """Return the content of data/contract.yaml, free to be changed."""
    return copy.deepcopy(_document())


@cache
def _document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(CONTRACT_BYTES)
    return found


@cache
def contract() -> Contract:
    """Return the real contract."""
    return parse_contract(document(), "data/contract.yaml")


def changed(columns: Mapping[str, Mapping[str, Any] | None] = {}, **checks: Mapping[str, Any] | None) -> Contract:
    """Return the real contract with some keys of columns and checks changed; None as a key's value removes it."""
    values = document()
    for part, edits in (("columns", columns), ("checks", checks)):
        for name, edit in edits.items():
            if edit is None:
                del values[part][name]
                continue
            entry = values[part].setdefault(name, {})
            entry.update(edit)
            values[part][name] = {key: value for key, value in entry.items() if value is not None}
    return parse_contract(values, "data/contract.yaml")


def params(section: str) -> dict[str, Any]:
    """Return a section of the real params.yaml as it stands there."""
    return copy.deepcopy(_params()[section])


@cache
def _params() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(PARAMS_TEXT)
    return found


def recipe(**other: Any) -> FeatureParams:
    """Return the real recipe of features, with some keys changed."""
    return parse(FeatureParams, params("features") | other, "params.yaml: features")


def houses(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return valid requests, as JSON would hold them."""
    random = np.random.default_rng(seed)
    zipcodes = contract()["zipcode"].categories
    found = []
    for _ in range(count):
        above, below = int(random.integers(400, 4000)), int(random.choice([0, 0, random.integers(100, 1500)]))
        built = int(random.integers(1900, 2013))
        found.append({
            "date": str(FIRST_DAY + datetime.timedelta(days=int(random.integers(DAYS)))),
            "bedrooms": int(random.integers(1, 7)),
            "bathrooms": float(random.integers(4, 17)) / 4,
            "sqft_living": above + below,
            "sqft_lot": int(random.integers(4000, 50_000)),
            "floors": float(random.integers(2, 7)) / 2,
            "waterfront": bool(random.random() < 0.1),
            "view": int(random.integers(0, 5)),
            "condition": int(random.integers(1, 6)),
            "grade": int(random.integers(3, 14)),
            "sqft_above": above,
            "sqft_basement": below,
            "yr_built": built,
            "yr_renovated": int(random.choice([0, random.integers(built, 2014)])),
            "zipcode": int(random.choice(zipcodes)),
            "lat": round(float(random.uniform(47.16, 47.77)), 4),
            "long": round(float(random.uniform(-122.51, -121.32)), 3),
            "sqft_living15": int(random.integers(500, 5000)),
            "sqft_lot15": int(random.integers(1000, 50_000)),
        })  # fmt: skip
    return found


def sales(requests: list[dict[str, Any]], seed: int = 0) -> pa.Table:
    """Return houses as a table of the contract, each sold once, at a price that grows with area and grade."""
    random = np.random.default_rng(seed)
    rows = []
    for place, house in enumerate(requests):
        area, grade = house["sqft_living"] or 1000, house["grade"] or 7
        price = np.exp(11.5 + 0.0003 * min(max(area, 0), 5000) + 0.1 * min(max(grade, 0), 13) + random.normal(0, 0.1))
        day = house["date"]
        rows.append(
            house
            | {
                "id": 1000 + place,
                "price": int(price),
                "date": datetime.date.fromisoformat(day) if isinstance(day, str) else day,
            }
        )
    return pa.Table.from_pylist(rows, schema=arrow_schema(contract().columns))


def frame(count: int, seed: int = 0) -> pd.DataFrame:
    """Return valid sales as the stages hold them."""
    return to_frame(sales(houses(count, seed), seed))


@cache
def _columns(count: int, seed: int) -> Columns:
    found = columns_of(frame(count, seed))
    for values in found.values():
        values.flags.writeable = False
    return found


def columns(count: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Return valid sales as numpy columns that cannot be written to."""
    return dict(_columns(count, seed))


def whole_recipe(**other: Any) -> Recipe:
    """Return the recipe of the tiny model: the real one's features, hedonic regression and market, with small trees."""
    sections = {
        "features": recipe(),
        "hedonic": parse(HedonicParams, params("hedonic"), "params.yaml: hedonic"),
        "market": parse(MarketParams, params("market"), "params.yaml: market"),
        "model": MODEL,
        "intervals": DOUBT,
    }
    return Recipe(**(sections | other))


@cache
def fitted() -> Fitted:
    """Return a tiny model of four hundred made-up sales."""
    return fit(columns(400), contract(), whole_recipe())


def facts(**other: Any) -> Facts:
    """Return what the tiny release says of itself, with some of it changed."""
    known = columns(400)
    newest = known["date"].max()
    numeric = [column.name for column in contract().features if column.type != "category"]
    stated: dict[str, Any] = {
        "as_of": (newest + np.timedelta64(1, "D")).item(),
        "first_day": known["date"].min().item(),
        "horizon": (newest + np.timedelta64(60, "D")).item(),
        "rows": 400,
        "data_sha256": hashlib.sha256(b"made up").hexdigest(),
        "features": tuple(input_names(contract(), recipe())),
        "recipe": recipe(),
        "params": whole_recipe().model_dump(mode="json", exclude={"features"}),
        "index": fitted().index,
        "hedonic": fitted().hedonic,
        "interval": fitted().interval,
        "ranges": {name: Range(minimum=known[name].min(), maximum=known[name].max()) for name in numeric},
        "libraries": {"numpy": "1"},
    }
    return Facts(**(stated | other))


@cache
def graph() -> bytes:
    """Return the tiny model as ONNX."""
    return fitted().graph()


def release_files(**other: Any) -> dict[str, bytes]:
    """Return the files of the tiny release, with some of its facts changed."""
    return pack(graph(), CONTRACT_BYTES, facts(**other), fitted().known)


@cache
def release() -> Release:
    """Return the tiny release, opened."""
    return open_release(release_files(), "models/tiny")


@cache
def answers() -> Answers:
    """Return the tiny release's answers; a batch may hold five houses."""
    return Answers(release(), SERVICE)


def ask(body: object, batch: bool = False) -> tuple[int, Any]:
    """Return the status and the body that the tiny release answers to a body; any other exception passes through."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        return 200, (answers().predict_batch if batch else answers().predict)(raw)
    except BadRequestError as bad:
        return bad.status, bad.body


def monitored(*alarms: str) -> dict[str, Any]:
    """Return a document of the monitor with these checks alarmed."""
    checks = {
        name: {"alarm": name in alarms, "windows": [False, None, name in alarms, name in alarms], "value": -0.04,
               "limit": 0.02, "said": "as in a test"}
        for name in CHECKS
    }  # fmt: skip
    return {
        "at": "2026-11-28T00:11:55.123+00:00",
        "window": {"from": "2026-11-21", "to": "2026-11-28", "days": 7, "of": 4, "needed": 2},
        "model_version": "v1", "profile": "v1",
        "predictions": 900, "refused": 3, "torn": 0, "shadowed": 0,
        "checks": checks,
        "features": {
            "grade": {"moved": 0.06, "floor": 0.05, "drifted": True, "said": "as in a test"},
            "sqft_living": {"moved": 0.03, "floor": 0.05, "drifted": False, "said": "as in a test"},
        },
        "outcomes": {"joined": 800, "late": 5, "repeated": 1, "corrected": 1, "unknown": 2, "refused": 0},
        "figures": {name: {"low": -0.05, "value": -0.04, "high": -0.03, "rows": 800} for name in FIGURES},
        "slices": [],
        "age": {"model_days": 20, "data_days": 30},
        "alarm": bool(alarms), "alarms": sorted(alarms),
    }  # fmt: skip
