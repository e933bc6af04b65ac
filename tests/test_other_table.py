"""Put another team's table in: other columns, texts as categories, empty cells, a target with cents, no map."""

import datetime
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import PROJECT
from samples import service_limits

from hearth.answering import Answers
from hearth.features import DERIVED, Derived, FeatureParams, compute
from hearth.operations import templates
from hearth.operations.report import gathered
from hearth.paths import MODEL
from hearth.release import open_release
from hearth.report import report
from hearth.stages import collect, evaluate, package, prepare, profile, train, validate
from hearth.storage import read_folder

CONTRACT = {
    "name": "bikes", "row": "one sold bicycle", "title": "Bicycles", "origin": "made by a test", "licence": "none",
    "sha256": "", "limits": "Invented.",
    "columns": {
        "serial": {"type": "category", "categories": ["x", "y"], "unit": "label", "role": "ignored", "meaning": "Nothing."},
        "number": {"type": "integer", "unit": "number", "role": "key", "meaning": "The bicycle."},
        "sold": {"type": "date", "unit": "day", "role": "time", "meaning": "Day of the sale."},
        "euros": {"type": "number", "unit": "euro", "role": "target", "minimum": 0.01, "meaning": "Price."},
        "brand": {"type": "category", "unit": "name", "role": "feature", "categories": ["alba", "brio", "corsa"], "meaning": "Maker."},
        "gears": {"type": "integer", "unit": "gear", "role": "feature", "minimum": 1, "maximum": 33, "nullable": True, "meaning": "Gears."},
        "weight_kg": {"type": "number", "unit": "kilogram", "role": "feature", "minimum": 4, "maximum": 40, "meaning": "Weight."},
        "electric": {"type": "boolean", "unit": "yes or no", "role": "feature", "nullable": True, "meaning": "Has a motor."},
    },
    "checks": {
        "motor_is_heavy": {"rule": "electric == 0 or weight_kg >= 8", "severity": "refuse", "meaning": "Motors weigh."},
    },
}  # fmt: skip

CHANGES = {
    "collect": {
        "source": "data/source/bikes.parquet",
        "options": {},
        "as_of": "2024-01-01",
        "incremental": True,
        "accept": "",
    },
    "split": {"test_from": "2023-10-01"},
    "features": {"day_zero": "2022-01-01", "derived": ["bike_days"], "centres": {}, "neighbours": None},
    # Two bicycles a day in a market that stands still: what looks like a trend is noise, so none goes on.
    "market": {"knot_days": 28, "smoothing": 10000.0, "trend_days": 84, "damping_days": 0.0},
    "hedonic": {"inputs": ["weight_kg", "gears"], "group": "brand", "penalty": 1.0, "logged_from": 10.0},
    "evaluate": {
        "baseline": {"area": "weight_kg", "group": "brand"},
        "slices": {
            "brand": {"column": "brand"},
            "gears": {"column": "gears", "edges": [7]},
            "resale": {"resold": True},
            "brand_level": {"column": "brand", "groups": 3},
            "days": {"derived": "bike_days", "edges": [690]},
        },
        "slice_rows_min": 10,
    },
}


def table(rows: int = 1500) -> pd.DataFrame:
    chance = np.random.default_rng(4)
    brand = chance.choice(["alba", "brio", "corsa"], rows)
    weight = chance.uniform(9, 30, rows).round(2)
    steps = 0.3 * (weight % 6 < 3)  # what no ridge can follow, or the gate would release the ridge
    price = 40 * np.exp(0.05 * weight + 0.4 * (brand == "corsa") + steps + chance.normal(0, 0.1, rows))
    days = pd.Timestamp("2022-01-01") + pd.to_timedelta(chance.integers(0, 729, rows), unit="D")
    return pd.DataFrame({
        "serial": "x",
        "number": np.arange(rows),
        "sold": days.date,
        "euros": price.round(2),
        "brand": brand,
        "gears": pd.array(np.where(chance.random(rows) < 0.2, np.nan, chance.integers(1, 30, rows)), dtype="Int64"),
        "weight_kg": weight,
        "electric": pd.array(chance.choice([True, False, None], rows), dtype="boolean"),
    })  # fmt: skip


def bike_days(sold: np.ndarray, recipe: FeatureParams) -> np.ndarray:
    return (sold - np.datetime64(recipe.day_zero)).astype(np.float64)


@contextmanager
def inside(folder: Path) -> Iterator[Path]:
    """Change into a folder, where the bicycles' feature is known."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DERIVED, "bike_days", Derived(bike_days, ("sold",), True))
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def bikes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with the table of bicycles, its params and its contract; nobody changes it."""
    folder = tmp_path_factory.mktemp("bikes")
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    evaluate = params["evaluate"] | CHANGES["evaluate"]
    evaluate["search"] |= {"rows_min": 20}
    params |= CHANGES | {"evaluate": evaluate}
    for member in params["model"]["members"].values():
        member |= {"iterations": 150, "features_per_split": 0.8}
    params["gate"] |= {
        "test_rows_min": 100,
        "rmse_log_min": 0.05,
        "rmse_log_max": 0.3,
        "mdape_min": 0.03,
        "mdape_max": 0.3,
        "coverage_min": 0.7,
        "coverage_max": 1.0,
        "coverage_fifth_min": 0.6,
        "slice_rows_min": 20,
        "slice_coverage_min": 0.6,
        "slice_coverage_max": 1.0,
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    (folder / "data/source").mkdir(parents=True)
    (folder / "data/contract.yaml").write_text(yaml.safe_dump(CONTRACT, sort_keys=False))
    (folder / "data/cards.yaml").write_bytes((PROJECT / "data/cards.yaml").read_bytes())
    table().to_parquet(folder / "data/source/bikes.parquet", index=False)
    return folder


@pytest.fixture(scope="module")
def fitted(bikes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project in which the road ran up to the models; nobody changes it."""
    folder = tmp_path_factory.mktemp("fitted") / "bikes"
    with inside(shutil.copytree(bikes, folder)):
        for stage in (collect, validate, prepare, train):
            stage.main()
    return folder


@pytest.fixture
def project(fitted: Path, tmp_path: Path) -> Iterator[Path]:
    """Change into a copy of the project with the models."""
    with inside(shutil.copytree(fitted, tmp_path / "bikes")) as folder:
        yield folder


def test_the_whole_road_and_the_answers_work_on_another_table(project: Path) -> None:
    for stage in (evaluate, profile):
        stage.main()
    assert json.loads(Path("metrics/gate.json").read_text())["reasons"] == []
    assert not Path("metrics/plots/map.png").exists()
    slices = pd.read_csv("metrics/slices.csv")
    named = {name: list(rows) for name, rows in slices.groupby("slice")["group"]}
    assert named["brand_level"] == ["1 of 3 (cheapest)", "2 of 3", "3 of 3 (dearest)"]
    assert named["days"] == ["below 690", "from 690"]
    assert named["resale"] == ["not sold before"]
    assert set(pd.read_csv("metrics/importance.csv")["columns"]) == {"brand", "gears", "weight_kg + electric", "sold"}
    shape = json.loads(Path("models/profile.json").read_text())["features"]
    assert set(shape["brand"]["levels"]) == {"alba", "brio", "corsa"}
    assert 0.15 < shape["gears"]["empty"] < 0.25
    release = open_release(read_folder(MODEL), "model")
    answers = Answers(release, service_limits(10))
    bike = {"brand": "corsa", "gears": None, "weight_kg": 12.5, "electric": None}
    full = answers.predict(json.dumps(bike).encode())
    assert 60 < full["low"] < full["price"] < full["high"] < 250
    assert full["price"] != round(full["price"])
    left_out = answers.predict(json.dumps({"brand": "corsa", "weight_kg": 12.5}).encode())
    assert left_out["price"] == full["price"]
    cheaper = answers.predict(json.dumps(bike | {"brand": "alba"}).encode())
    assert cheaper["price"] < 0.8 * full["price"]


def test_a_slice_that_the_table_cannot_give_is_refused_in_words(project: Path) -> None:
    from hearth.errors import Refusal

    params = yaml.safe_load(Path("params.yaml").read_text())
    params["evaluate"]["slices"]["age"] = {"derived": "age"}
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    with pytest.raises(
        Refusal, match=r"^params\.yaml: evaluate\.slices\.age\.derived is 'age', which reads 'date', wanted"
    ):
        evaluate.main()


def test_one_request_gets_the_features_of_its_table_row(project: Path) -> None:
    """Empty cells, texts and days come out the same from a table and from a request."""
    from hearth.parquet import columns_of, read_frame
    from hearth.request import columns_of as of_requests

    release = open_release(read_folder(MODEL), "model")
    rows = read_frame(Path("data/prepared/test.parquet")).head(50)
    from_table = compute(columns_of(rows), release.contract, release.facts.recipe)
    requests = []
    for row in rows.to_dict("records"):
        kept = {name: row[name] for name in ("brand", "gears", "weight_kg", "electric")}
        plain = {name: None if pd.isna(value) else value for name, value in kept.items()}
        requests.append(plain | {"sold": row["sold"].date()})
    from_requests = compute(
        of_requests(requests, release.contract, datetime.date(2020, 1, 1)), release.contract, release.facts.recipe
    )
    assert from_table.tobytes() == from_requests.tobytes()


def test_package_boots_a_bento_of_another_table(bikes: Path, tmp_path: Path) -> None:
    """With the features that the shipped code has, since the bento carries that code."""
    with inside(shutil.copytree(bikes, tmp_path / "bikes")):
        params = yaml.safe_load(Path("params.yaml").read_text())
        params["features"]["derived"] = []
        Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        Path("requirements-serve.lock").write_bytes((PROJECT / "requirements-serve.lock").read_bytes())
        for stage in (collect, validate, prepare, train, evaluate, package):
            stage.main()
        assert Path("models/house_prices.bento").stat().st_size > 10_000
        Path("dvc.lock").write_text("stages: {}\n")
        said = report(templates(), gathered())
        assert "May it be released?" in said
        assert "There is no history: not a git repository" in said
        assert "priced too low" not in said  # no place, no map
        assert "$" not in said.split("</style>")[1]
        assert "€" in said
