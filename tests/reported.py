"""Make what a report is made of, out of a tiny release: for the tests of its words and of its looks."""

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import yaml
from samples import PROJECT, columns, contract, params, release

from hearth.baselines import GROUP_MEDIAN, LAST_SALE, MEDIAN, RIDGE
from hearth.cards import CardWords, run_of
from hearth.cuts import Background
from hearth.evidence import gather
from hearth.findings import Material, Step
from hearth.gate import GateParams
from hearth.operations import templates
from hearth.scoring import KEYS, scores
from hearth.slices import EvaluateParams, table
from hearth.staleness import Curve
from hearth.storage import read_json
from hearth.strict import parse
from hearth.timeline import Entry, History

TEMPLATES = templates()
IMPORTANCE = pd.DataFrame({"columns": ["zipcode + lat + long", "grade", "date"], "rise": [0.3, 0.1, -0.001], "spread": [0.01, 0.02, 0.001]})  # fmt: skip


def entry(number: int, tags: tuple[str, ...] = (), champion_of: tuple[str, ...] = (), **changed: float | None) -> Entry:
    """Return a commit of the history with metrics of its own; without any it is a gap."""
    metrics = dict.fromkeys(KEYS, 0.1 + number / 100) | {"rows_test": 150.0}
    known = {key: value for key, value in (metrics | changed).items() if value is not None}
    lacking = [key for key in KEYS if key not in known]
    return Entry(f"{number:040x}", f"Commit <b>{number}</b> & more", f"2026-01-{number:02}", known or None,
                 f"no number for {', '.join(lacking)}" if lacking else "", tags, champion_of)  # fmt: skip


HISTORY = History(
    (
        entry(1, ("house-prices@v0.1.0",)),
        dataclasses.replace(entry(2), metrics=None, fault="the file is broken: Expecting value"),
        entry(3, ("house-prices#prod#1", "house-prices@v0.2.0"), ("prod",)),
        entry(4, prb=None),
        entry(5),
    ),
    "5" * 40,
    (),
)


@cache
def material() -> Material:
    """Return a whole report's material: 400 sales to fit on, 150 to judge on, prices by the tiny model."""
    chosen = parse(EvaluateParams, params("evaluate") | {"bootstrap": {"draws": 30, "level": 0.95, "seed": 1}, "slice_rows_min": 10}, "params.yaml")  # fmt: skip
    train, test, made = columns(400), columns(150, seed=1), release()
    spots = np.arange(150) % 9  # enough sales in a cell of the map
    test |= {"lat": 47.4 + 0.06 * (spots // 3), "long": -122.3 + 0.08 * (spots % 3)}
    answer, actual = made.predict(test), test["price"].astype(np.float64)
    scored = {"actual": actual, "predicted": answer.price, "low": answer.low, "high": answer.high}
    baselines = {
        name: actual * (1.3 + place / 10) for place, name in enumerate((MEDIAN, GROUP_MEDIAN, LAST_SALE, RIDGE))
    }
    found = {"slice": "sqft_living × yr_built", "group": "below 1400 × below 1953", "rows": 40, "mdape": 0.2, "rest_mdape": 0.1, "adjusted_p": 0.01}  # fmt: skip
    evidence = gather(scored, baselines, ([found], 900), chosen.bootstrap)
    metrics: dict[str, Any] = scores(**scored) | {"rows_train": 400, "rows_test": 150, "baseline_rmse_log": 0.3, "baseline_mdape": 0.25}  # fmt: skip
    background = Background(train, contract(), made.facts.recipe, chosen.baseline.area)
    slices = pd.DataFrame(table(test, scored, chosen, background)).to_csv(index=False)
    return Material(
        run=run_of("house_prices", made, metrics, evidence.document(), slices, test["date"], 2),
        said=parse(CardWords, yaml.safe_load((PROJECT / "data/cards.yaml").read_text()), "data/cards.yaml"),
        evidence=evidence,
        gate={"passed": True, "reasons": [], "checks": {"evidence": True, "mdape": True, "a_check_of_tomorrow": True}},
        limits=parse(GateParams, params("gate"), "params.yaml: gate"),
        params=chosen,
        importance=IMPORTANCE,
        train=train,
        test=test,
        scored=scored,
        history=HISTORY,
        lineage=[
            Step("The source", "data/source/house_sales.parquet", "md5 0"),
            Step("The bento", "models/house_prices.bento", "none", "It is not there."),
        ],
        curve=parse(Curve, read_json(PROJECT / "metrics/staleness.json"), "metrics/staleness.json"),
    )


def changed(**other: Any) -> Material:
    """Return the material with some of it changed."""
    return dataclasses.replace(material(), **other)
