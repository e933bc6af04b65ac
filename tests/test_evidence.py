"""Test the evidence: intervals against theory, paired proofs by planted differences, the search by planted slices."""

import json
import math
from typing import Any

import numpy as np
import pytest
from samples import params

from hearth.baselines import BASELINES, RIDGE
from hearth.errors import Refusal
from hearth.evidence import _MEASURES, Compared, Evidence, by_fifth, compare, gather, intervals
from hearth.scoring import KEYS, mdape, rmse_log, scores
from hearth.search import worst
from hearth.slices import Bootstrap, Search
from hearth.strict import parse

DRAWS = Bootstrap(draws=200, level=0.95, seed=3)
FEW = Bootstrap(draws=40, level=0.95, seed=3)


def scored(rows: int = 1000, seed: int = 0) -> dict[str, np.ndarray]:
    chance = np.random.default_rng(seed)
    actual = np.exp(chance.normal(13, 0.5, rows))
    predicted = actual * np.exp(chance.normal(0, 0.15, rows))
    return {"actual": actual, "predicted": predicted, "low": predicted * 0.8, "high": predicted * 1.25}


# Intervals


def test_every_metric_has_an_interval_around_it() -> None:
    rows = scored()
    found, figures = intervals(rows, DRAWS), scores(**rows)
    assert list(found) == list(figures) == list(KEYS[:11])
    for name, (low, high) in found.items():
        assert low <= figures[name] <= high, name


@pytest.mark.parametrize(("name", "deviation"), [("bias", None), ("coverage", None)])
def test_the_interval_of_a_mean_is_that_of_theory(name: str, deviation: None) -> None:
    """1.96 standard errors either way; two hundred draws place the ends to about a tenth of that."""
    rows = scored()
    ratio = rows["predicted"] / rows["actual"] - 1
    held = (rows["low"] <= rows["actual"]) & (rows["actual"] <= rows["high"])
    values = {"bias": ratio, "coverage": held.astype(float)}[name]
    low, high = intervals(rows, DRAWS)[name]
    assert high - low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(1000), rel=0.2)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=values.std() / math.sqrt(1000) / 2)


def test_the_same_seed_gives_the_same_intervals_and_another_gives_others() -> None:
    assert intervals(scored(), FEW) == intervals(scored(), FEW)
    assert intervals(scored(), FEW) != intervals(scored(), FEW.model_copy(update={"seed": 4}))


def test_a_higher_level_is_wider_and_more_rows_are_narrower() -> None:
    def width(rows: int, level: float) -> float:
        low, high = intervals(scored(rows), DRAWS.model_copy(update={"level": level}))["mdape"]
        return high - low

    assert width(1000, 0.6) < width(1000, 0.95) < width(100, 0.95)


def test_intervals_are_rounded_as_the_metrics_are() -> None:
    for name, ends in intervals(scored(), FEW).items():
        assert all(type(end) is float and end == round(end, 2 if name in ("rmse", "mae") else 6) for end in ends)


# Paired differences


def worse_by(rows: dict[str, np.ndarray], spread: float) -> np.ndarray:
    """Return predictions that err more: further from the actual price by a spread of the logarithm."""
    wrong = np.random.default_rng(8).normal(0, spread, len(rows["actual"]))
    return np.asarray(rows["predicted"] * np.exp(wrong))


@pytest.mark.parametrize(
    ("model", "baseline", "verdict"),
    [("predicted", "spoilt", "better"), ("spoilt", "predicted", "worse"), ("predicted", "predicted", "no evidence")],
)
def test_a_planted_difference_gives_its_verdict(model: str, baseline: str, verdict: str) -> None:
    rows = scored()
    prices = {"predicted": rows["predicted"], "spoilt": worse_by(rows, 0.15)}
    found = compare(rows["actual"], prices[model], prices[baseline], DRAWS)
    assert found.rows == 1000
    for difference in (found.rmse_log, found.mdape, found.mae):
        assert difference
        assert difference.verdict == verdict
        low, high = difference.difference
        assert {"better": high < 0, "worse": low > 0, "no evidence": low == high == 0}[verdict]


def test_rows_that_the_baseline_cannot_price_are_left_out() -> None:
    rows = scored()
    spoilt, known = worse_by(rows, 0.15), np.arange(1000) % 10 == 0
    found = compare(rows["actual"], rows["predicted"], np.where(known, spoilt, np.nan), DRAWS)
    assert found == compare(rows["actual"][known], rows["predicted"][known], spoilt[known], DRAWS)
    assert found.rows == 100


def test_a_baseline_without_a_price_says_only_so() -> None:
    found = compare(scored()["actual"], scored()["predicted"], np.full(1000, np.nan), DRAWS)
    assert found.model_dump(exclude_none=True) == {"rows": 0}


def test_pairs_see_what_two_intervals_that_overlap_do_not() -> None:
    """Both models miss the same houses; what differs between them is small and steady."""
    rows = scored(400)
    little = rows["actual"] * (rows["predicted"] / rows["actual"]) ** 1.05
    alone = intervals(rows, DRAWS)["rmse_log"][1], intervals(rows | {"predicted": little}, DRAWS)["rmse_log"][0]
    assert alone[0] > alone[1]
    found = compare(rows["actual"], rows["predicted"], little, DRAWS).rmse_log
    assert found
    assert found.verdict == "better"


def test_two_models_of_equal_worth_are_rarely_told_apart() -> None:
    """A level of 0.95 finds a better model in one of forty pairs of equals; eight of eighty would be a fault."""
    better = 0
    for seed in range(80):
        chance = np.random.default_rng(seed)
        actual = np.exp(chance.normal(13, 0.5, 200))
        one, other = (actual * np.exp(chance.normal(0, 0.15, 200)) for _ in range(2))
        found = compare(actual, one, other, Bootstrap(draws=60, level=0.95, seed=seed)).rmse_log
        assert found
        better += found.verdict == "better"
    assert better <= 7


def test_the_measures_are_those_of_scoring() -> None:
    rows = scored()
    actual, predicted = rows["actual"], rows["predicted"]
    assert _MEASURES["rmse_log"](np.log(predicted / actual) ** 2) == pytest.approx(rmse_log(actual, predicted))
    assert _MEASURES["mdape"](np.abs(predicted / actual - 1)) == mdape(actual, predicted)
    assert round(_MEASURES["mae"](np.abs(predicted - actual)), 2) == scores(**rows)["mae"]


# Fifths


def test_fifths_are_all_rows_with_their_own_coverage() -> None:
    rows = scored()
    cheap = rows["predicted"] <= np.quantile(rows["predicted"], 0.2)
    rows["low"] = np.where(cheap, rows["predicted"], rows["low"])  # half of the cheap fifth falls out
    found = by_fifth(rows, FEW)
    assert [(one.fifth, one.rows) for one in found] == [(fifth, 200) for fifth in range(1, 6)]
    assert found[0].coverage < 0.65 < 0.8 < min(one.coverage for one in found[1:])
    for one in found:
        assert one.coverage_interval[0] <= one.coverage <= one.coverage_interval[1]
        assert one.median_ratio_interval[0] <= one.median_ratio <= one.median_ratio_interval[1]


def test_one_price_for_all_is_one_fifth() -> None:
    rows = scored() | {"predicted": np.full(1000, 4e5)}
    assert [(one.fifth, one.rows) for one in by_fifth(rows, FEW)] == [(1, 1000)]


# The search

SEARCH = Search(bins=4, levels_max=6, rows_min=50, p_max=0.01, shown=5)
NUMBERS, LEVELS = ["lat", "grade"], ["zipcode"]


def ground(rows: int = 2000, seed: int = 1) -> dict[str, np.ndarray]:
    chance = np.random.default_rng(seed)
    return {
        "lat": chance.uniform(47, 48, rows),
        "grade": chance.integers(5, 9, rows).astype(float),
        "zipcode": chance.integers(98001, 98009, rows).astype(float),
    }


def spoilt(rows: np.ndarray, factor: float = 1.3) -> dict[str, np.ndarray]:
    known = scored(len(rows))
    return known | {"predicted": np.where(rows, known["predicted"] * factor, known["predicted"])}


def test_sound_predictions_have_no_bad_slice() -> None:
    found, tried = worst(ground(), scored(2000), NUMBERS, LEVELS, SEARCH)
    assert found == []
    assert 90 < tried < (4 + 4 + 8) * 17 / 2


def test_a_spoilt_level_is_found_and_its_share_of_every_other_cut_is_not_told_again() -> None:
    columns = ground()
    bad = columns["zipcode"] == 98003
    found, _ = worst(columns, spoilt(bad, 1.6), NUMBERS, LEVELS, SEARCH)
    known = scored(2000)
    error = np.abs(spoilt(bad, 1.6)["predicted"] / known["actual"] - 1)
    mine = {"mdape": round(float(np.median(error[bad])), 6), "rest_mdape": round(float(np.median(error[~bad])), 6)}
    assert [row for row in found if row["slice"] == "zipcode"] == [
        {"slice": "zipcode", "group": "98003", "rows": int(bad.sum()), "adjusted_p": 0.0} | mine
    ]


def test_a_spoilt_pair_is_found_where_both_its_columns_look_fair() -> None:
    columns = ground()
    edge = np.quantile(columns["lat"], 0.75, method="higher")
    bad = (columns["lat"] >= edge) & (columns["grade"] == 7)
    found, _ = worst(columns, spoilt(bad), NUMBERS, LEVELS, SEARCH)
    assert (found[0]["slice"], found[0]["group"]) == ("lat × grade", f"from {edge:.15g} × 7")
    assert found[0]["rows"] == bad.sum()
    assert found[0]["mdape"] > 0.25 > 0.11 > found[0]["rest_mdape"]


def test_a_small_slice_is_not_tried() -> None:
    columns = ground()
    columns["zipcode"][:49], columns["zipcode"][columns["zipcode"] == 98003] = 98099.0, 98002.0
    found, _ = worst(columns, spoilt(columns["zipcode"] == 98099, 2.0), NUMBERS, LEVELS, SEARCH)
    assert "98099" not in [row["group"] for row in found]


def test_the_worst_stands_first_and_no_more_are_shown_than_asked_for() -> None:
    columns = ground()
    rows = spoilt(columns["zipcode"] == 98003, 1.6)
    rows["predicted"] = np.where(columns["zipcode"] == 98005, rows["predicted"] * 1.3, rows["predicted"])
    found, _ = worst(columns, rows, NUMBERS, LEVELS, SEARCH.model_copy(update={"shown": 2, "rows_min": 150}))
    assert [row["group"] for row in found] == ["98003", "98005"]


def test_among_many_cells_one_that_looks_bad_by_chance_is_not_told() -> None:
    """Without the adjustment each seed would tell about one cell in a hundred; ten seeds tell none."""
    for seed in range(10):
        assert worst(ground(seed=seed), scored(2000, seed + 50), NUMBERS, LEVELS, SEARCH)[0] == []


def test_empty_cells_are_a_level_and_the_order_of_rows_is_nothing() -> None:
    columns = ground()
    columns["lat"][:300] = np.nan
    rows = spoilt(np.isnan(columns["lat"]), 1.6)
    turned = np.random.default_rng(2).permutation(2000)
    found = worst(columns, rows, NUMBERS, LEVELS, SEARCH)
    again = worst({k: v[turned] for k, v in columns.items()}, {k: v[turned] for k, v in rows.items()}, NUMBERS, LEVELS, SEARCH)  # fmt: skip
    assert ("lat", "empty", 300) in [(row["slice"], row["group"], row["rows"]) for row in found[0]]
    assert again == found


def test_where_no_cell_is_large_enough_none_is_tried() -> None:
    assert worst({k: v[:60] for k, v in ground().items()}, scored(60), NUMBERS, LEVELS, SEARCH) == ([], 0)


def test_equal_errors_everywhere_are_no_finding() -> None:
    rows = scored(2000)
    rows["predicted"] = rows["actual"].copy()
    assert worst(ground(), rows, NUMBERS, LEVELS, SEARCH)[0] == []


# The document


def evidence() -> Evidence:
    rows, columns = scored(2000), ground()
    baselines = {name: worse_by(rows, 0.15) for name in BASELINES}
    rows |= {"predicted": spoilt(columns["zipcode"] == 98003, 1.6)["predicted"]}
    return gather(rows, baselines, worst(columns, rows, NUMBERS, LEVELS, SEARCH), FEW)


def test_the_document_is_read_back_as_it_was() -> None:
    text = json.dumps(evidence().document(), allow_nan=False)
    assert parse(Evidence, json.loads(text), "evidence") == evidence()
    for number in np.array([value for value in _leaves(json.loads(text)) if isinstance(value, float)]):
        assert number == round(number, 6)


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    return [leaf for part in value for leaf in _leaves(part)] if isinstance(value, list) else [value]


def test_the_simpler_model_is_released_unless_the_model_is_provably_better() -> None:
    rows = scored()
    sure = {name: worse_by(rows, 0.15) for name in BASELINES}
    assert gather(rows, sure, ([], 9), FEW).simpler.release == "model"
    for other in (rows["predicted"], rows["actual"]):
        assert gather(rows, sure | {RIDGE: other}, ([], 9), FEW).simpler.release == RIDGE


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (
            {"intervals": {"bias": [0.2, 0.1]}},
            "evidence.intervals.bias is [0.2, 0.1], wanted an interval whose low end",
        ),
        ({"intervals": {"bias": [0.1]}}, "evidence.intervals.bias.1 is missing"),
        ({"rows": -1}, "evidence.rows is -1"),
        ({"rows": 1.5}, "evidence.rows is 1.5"),
        ({"slices_tried": None}, "evidence.slices_tried is None"),
        ({"baselines": {"ridge": {"rows": 5}}}, "wanted rmse_log exactly where there are rows"),
        ({"worst": []}, "evidence.worst is not a known key"),
    ],
)
def test_a_document_with_a_fault_is_refused(edit: dict[str, Any], said: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse(Evidence, evidence().document() | edit, "evidence")
    assert said.replace("evidence.", "evidence: ", 1) in str(caught.value) or said in str(caught.value)


def test_no_rows_have_no_metrics() -> None:
    with pytest.raises(ValueError, match="exactly where there are rows"):
        Compared(rows=0, rmse_log={"difference": (0.0, 0.0), "verdict": "no evidence"})


def test_the_shipped_params_are_those_of_the_issue() -> None:
    assert params("evaluate")["bootstrap"] == {"draws": 1000, "level": 0.95, "seed": 20150301}
    assert params("evaluate")["search"]["rows_min"] == params("gate")["slice_rows_min"]
