"""Test the staleness curve by planted markets: one that rises makes old models provably worse, one that stands still does not."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import PROJECT
from samples import columns, contract, frame, params, whole_recipe

from hearth import staleness
from hearth.cleaning import kept_columns
from hearth.cli import main
from hearth.comparison import MetricName, Scored
from hearth.doubt import Bootstrap
from hearth.operations.staleness import CODE, code_sha256
from hearth.parquet import write_frame
from hearth.release import open_release
from hearth.stages import train
from hearth.stages.train import release
from hearth.staleness import Curve, RetrainParams, ages, cadence, cut_days
from hearth.storage import parsed_yaml, read_json
from hearth.strict import parse
from hearth.tables import arrow_schema

DRAWS = Bootstrap(draws=100, level=0.95, seed=1)
MARGINS: dict[MetricName, float] = {"mdape": 0.005, "bias": 0.01}
PARAMS = RetrainParams(cadence_days=1, cuts=4, bin_days=28)
FILE = PROJECT / "metrics/staleness.json"
SALES, LEVEL = 1500, 0.9


def market(rise: float) -> tuple[np.ndarray, np.ndarray, list[np.datetime64], list[Scored]]:
    """Return sales of a market that rises by a share a year, and what fits of it answer: the level that they knew."""
    chance = np.random.default_rng(3)
    days = np.datetime64("2015-01-01") + np.sort(chance.integers(0, 200, SALES))
    value = np.exp(chance.normal(13, 0.4, SALES))
    year = (days - days[0]).astype(float) / 365
    actual = value * (1 + rise * year) * np.exp(chance.normal(0.005, 0.1, SALES))
    cuts = cut_days(days, PARAMS)
    scored: list[Scored] = []
    for cut in cuts:
        predicted = value * (1 + rise * (cut - days[0]).astype(float) / 365)
        scored.append({"predicted": predicted, "low": predicted * 0.85, "high": predicted * 1.18})
    return days, actual, cuts, scored


def test_a_market_that_rises_sets_the_cadence_and_a_flat_one_the_horizon() -> None:
    found = {}
    for rise in (0.0, 0.2, 0.6):
        days, actual, cuts, scored = market(rise)
        found[rise] = cadence(ages(days, actual, cuts, scored, LEVEL, PARAMS.bin_days, DRAWS), MARGINS, 80)
    assert found[0.0][0] == 80
    assert found[0.0][1].startswith("At no age up to 80 days")
    # 1.4 % in a bin: provably more than the 1 % that is allowed only from the second bin on.
    assert found[0.2][0] == 56
    assert found[0.6][0] == 28
    assert found[0.6][1].startswith("From 28 days on, the bias is provably further off than a fresh model's")
    assert "1 are allowed" in found[0.6][1]


def test_the_cadence_is_no_longer_than_prices_are_vouched_for() -> None:
    days, actual, cuts, scored = market(0.2)
    assert cadence(ages(days, actual, cuts, scored, LEVEL, PARAMS.bin_days, DRAWS), MARGINS, 50)[0] == 50


def test_figures_by_age_by_hand() -> None:
    """Two fits, a bin apart: the older one prices 10 % too low, the newer one right."""
    days = np.datetime64("2015-01-01") + np.arange(90)
    actual = np.full(90, 100.0)
    cuts = cut_days(days, RetrainParams(cadence_days=1, cuts=2, bin_days=30))
    assert [str(cut) for cut in cuts] == ["2015-01-31", "2015-03-02"]
    scored = [
        {"predicted": actual * off, "low": actual * off * 0.95, "high": actual * off * 1.05} for off in (0.9, 1.0)
    ]
    young, old = ages(days, actual, cuts, scored, LEVEL, 30, DRAWS)
    assert (young.from_day, young.to_day, young.rows, young.fits) == (0, 30, 60, 2)
    assert (old.from_day, old.to_day, old.rows, old.fits) == (30, 60, 30, 1)
    assert young.bias.value == pytest.approx(-0.05)
    assert (old.bias.value, old.error.value, old.coverage.value) == (-0.1, 0.1, 0.0)
    assert young.beside_fresh["bias"].worse_by == (0.0, 0.0)
    assert (old.beside_fresh["bias"].base, old.beside_fresh["bias"].candidate) == (0.0, -0.1)
    assert old.beside_fresh["bias"].worse_by == pytest.approx((0.1, 0.1))


def test_prices_before_a_cut_are_not_read() -> None:
    days, actual, cuts, scored = market(0.3)
    spoilt = [{name: np.where(days < cut, np.nan, values) for name, values in one.items()}
              for cut, one in zip(cuts, scored, strict=True)]  # fmt: skip
    told = [ages(days, actual, cuts, some, LEVEL, PARAMS.bin_days, DRAWS) for some in (scored, spoilt)]
    assert told[0] == told[1]


def test_cuts_that_do_not_fit_are_refused() -> None:
    days = np.datetime64("2015-01-01") + np.arange(100)
    with pytest.raises(
        ValueError, match=r"^retrain\.cuts, retrain\.bin_days: 4 cuts of 28 days do not fit: no sale from"
    ):
        cut_days(days, PARAMS)


@pytest.mark.parametrize(("rise", "decays"), [(0.6, True), (0.0, False)])
def test_a_planted_decay_is_found_by_real_fits(rise: float, decays: bool) -> None:
    """The tiny recipe on a synthetic market: its index goes on for a while, and the rise that sets in late it cannot know."""
    rows, made_by = columns(3000), whole_recipe()
    days = rows["date"].astype("datetime64[D]")
    since = np.maximum((days - (days.max() - 90)).astype(float), 0)
    rows["price"] = np.round(rows["price"] * np.exp(rise * since / 365)).astype(rows["price"].dtype)
    asked = RetrainParams(cadence_days=1, cuts=3, bin_days=28)
    cuts, horizon = cut_days(days, asked), np.timedelta64(59, "D")
    scored = []
    for cut in cuts:
        before = {name: values[days < cut] for name, values in rows.items()}
        files, _ = release(before, contract(), (PROJECT / "data/contract.yaml").read_bytes(), made_by, "", horizon)
        answer = open_release(files, "a fit").predict(rows)
        scored.append({"predicted": answer.price * 1.0, "low": answer.low * 1.0, "high": answer.high * 1.0})
    found = ages(days, rows["price"].astype(float), cuts, scored, LEVEL, 28, DRAWS)
    wide: dict[MetricName, float] = {"mdape": 0.02, "bias": 0.02}
    assert (cadence(found, wide, 59)[0] < 59) == decays, found


# What is committed


@pytest.fixture(scope="module")
def curve() -> Curve:
    return parse(Curve, read_json(FILE), str(FILE))


def test_the_cadence_of_params_is_the_one_that_was_measured(curve: Curve) -> None:
    assert params("retrain")["cadence_days"] == curve.cadence_days
    assert curve.cadence_days == cadence(curve.ages, curve.margins, curve.horizon_days)[0]
    assert curve.why == cadence(curve.ages, curve.margins, curve.horizon_days)[1]


def test_the_curve_is_that_of_the_present_code_and_params(curve: Curve, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a change of the recipe, `hearth staleness` measures anew. A later as_of alone leaves what was measured before it."""
    assert curve.code_sha256 == code_sha256(PROJECT / "src/hearth"), (
        f"one of {', '.join(CODE)} changed; `hearth staleness`"
    )
    whole = yaml.safe_load((PROJECT / "params.yaml").read_text())
    monkeypatch.chdir(PROJECT)
    assert curve.params == train.recipe().model_dump(mode="json")
    assert curve.margins == {name: whole["releases"]["margins"][name] for name in staleness.DECIDING}
    assert (curve.bin_days, len(curve.cuts)) == (whole["retrain"]["bin_days"], whole["retrain"]["cuts"])
    assert str(curve.as_of) <= whole["collect"]["as_of"]
    if str(curve.as_of) == whole["collect"]["as_of"]:
        lock = parsed_yaml((PROJECT / "dvc.lock").read_text(), "dvc.lock")
        outs = {out["path"]: out["md5"] for out in lock["stages"]["prepare"]["outs"]}
        assert curve.data_md5 == outs


def test_rows_of_the_future_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("params.yaml", "dvc.yaml", "data/contract.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy2(PROJECT / name, tmp_path / name)
    for name, days in (("train", 0), ("test", 400)):
        rows = frame(400)
        rows["date"] += pd.Timedelta(days=days)
        write_frame(tmp_path / f"data/prepared/{name}.parquet", rows, arrow_schema(kept_columns(contract())))
    monkeypatch.chdir(tmp_path)
    assert main(["staleness"]) == 1
    assert "wanted none from collect.as_of 2015-03-01 on" in capsys.readouterr().err
