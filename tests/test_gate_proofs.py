"""Plant each fault that the gate is there for into a sound model's predictions, and see it go red with its own reason.

The sales are made up (seeded), as many as the shipped table's test rows; the limits are those of params.yaml.
"""

import copy
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from samples import params

from hearth.baselines import (
    GROUP_MEDIAN,
    LAST_SALE,
    MEDIAN,
    RIDGE,
    last_sale,
    median_by_group,
    overall_median,
    ridge,
)
from hearth.evidence import Bootstrap, gather
from hearth.gate import GateParams, Verdict, judge
from hearth.sanity import unscorable
from hearth.scoring import KEYS, mdape, rmse_log, rounded, scores
from hearth.search import worst
from hearth.slices import EvaluateParams, table
from hearth.strict import parse

Scored = dict[str, np.ndarray]
# Limits of the proofs' own, so that a limit moved in params.yaml does not move a proof.
OWN = {
    "coverage_min": 0.86, "coverage_max": 0.94, "coverage_fifth_min": 0.82, "rmse_log_max": 0.18, "mdape_max": 0.085,
    "slice_ratio_max": 1.5, "slice_coverage_min": 0.75, "slice_coverage_max": 0.96,
}  # fmt: skip
GATE = parse(GateParams, params("gate") | OWN, "params.yaml: gate")
SLICES = {"slices": {"grade": {"column": "grade"}, "waterfront": {"column": "waterfront"}}}
DRAWS = Bootstrap(draws=100, level=0.95, seed=1)
EVALUATE = parse(EvaluateParams, params("evaluate") | SLICES | {"bootstrap": DRAWS}, "params.yaml: evaluate")
NUMBERS, LEVELS = ["sqft_living", "grade", "lat", "long", "waterfront"], ["zipcode"]
SPREAD = 0.108  # of the Laplace-distributed error: rmse_log 0.153, mdape 0.075, nine in ten within a factor of 1.28


def sales(rows: int, seed: int, first_day: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return sales, and the worth of each house without the luck in its price."""
    chance = np.random.default_rng(seed)
    columns = {
        "id": chance.integers(1, 20_000, rows).astype(float),
        "date": np.datetime64(first_day) + chance.integers(0, 59, rows),
        "sqft_living": np.exp(chance.normal(7.5, 0.4, rows)),
        "grade": chance.integers(5, 11, rows).astype(float),
        "lat": chance.uniform(47.2, 47.7, rows),
        "long": chance.uniform(-122.5, -121.9, rows),
        "waterfront": (chance.random(rows) < 0.08).astype(float),
        "zipcode": chance.integers(98001, 98021, rows).astype(float),
    }
    hills = 0.2 * np.sin(25 * columns["lat"]) * np.sign(columns["grade"] - 7.5)  # what no ridge can follow
    worth = np.exp(6.4 + 0.8 * np.log(columns["sqft_living"]) + 0.1 * columns["grade"] + hills)
    luck = np.exp(chance.laplace(0, SPREAD, rows))
    return columns | {"price": worth * luck}, worth


@dataclass(frozen=True)
class World:
    """Hold made-up sales with what a sound model, and each baseline, says of the test rows."""

    train: dict[str, np.ndarray]
    test: dict[str, np.ndarray]
    scored: Scored
    baselines: dict[str, np.ndarray]


@cache
def world() -> World:
    train, _ = sales(6000, 1, "2014-11-01")
    test, worth = sales(2228, 2, "2015-01-01")
    baselines = {
        MEDIAN: overall_median(train, "price", 2228),
        GROUP_MEDIAN: median_by_group(train, test, "price", "zipcode", "sqft_living"),
        LAST_SALE: last_sale(train, test, "price", ["id"], "date"),
        RIDGE: ridge(train, test, "price", [*NUMBERS, "date"], "zipcode", EVALUATE.ridge),
    }
    return World(train, test, priced(test["price"], worth), baselines)


def priced(actual: np.ndarray, predicted: np.ndarray, holding: Any = 0.9) -> Scored:
    """Return predictions with the interval that holds a share of a sound model's prices."""
    width = (1 - holding) ** -SPREAD
    return {"actual": actual, "predicted": predicted, "low": predicted / width, "high": predicted * width}


@dataclass
class Case:
    """Hold what the evaluate stage hands to the gate."""

    metrics: dict[str, Any]
    slices: list[dict[str, Any]]
    evidence: dict[str, Any]
    scored: Scored

    def verdict(self, **limits: Any) -> Verdict:
        return judge(self.metrics, self.slices, self.evidence, self.scored, GATE.model_copy(update=limits))


def evaluated(scored: Scored, **baselines: np.ndarray) -> Case:
    """Do as the evaluate stage does, with some baselines changed."""
    known = world()
    naive = known.baselines[GROUP_MEDIAN]
    actual = scored["actual"]
    baseline = {"baseline_rmse_log": rmse_log(actual, naive), "baseline_mdape": mdape(actual, naive)}
    metrics = scores(**scored) | rounded(baseline, 6) | {"rows_train": 6000, "rows_test": len(actual)}
    found = worst(known.test, scored, NUMBERS, LEVELS, EVALUATE.search)
    evidence = gather(scored, known.baselines | baselines, found, DRAWS)
    return Case(metrics, table(known.test, scored, EVALUATE), evidence.document(), scored)


@cache
def _clean() -> Case:
    return evaluated(world().scored)


def clean() -> Case:
    """Return the sound model's case, free to be changed."""
    return copy.deepcopy(_clean())


def test_a_sound_model_passes_every_check() -> None:
    found = clean().verdict()
    assert (found.passed, found.reasons) == (True, [])
    assert len(found.checks) == 19
    assert all(found.checks.values())


# Faults of the model


def shuffled_labels() -> Scored:
    """Train the ridge on prices that belong to other houses."""
    known = world()
    wrong = known.train | {"price": np.random.default_rng(5).permutation(known.train["price"])}
    return priced(known.test["price"], ridge(wrong, known.test, "price", NUMBERS, "zipcode", EVALUATE.ridge))


def constant() -> Scored:
    return priced(world().test["price"], world().baselines[MEDIAN])


def trained_on_the_test_rows() -> Scored:
    """Know a part of each answer: the shipped recipe, fitted on its own test rows, keeps four fifths of its error."""
    sound = world().scored
    return priced(sound["actual"], sound["actual"] * (sound["predicted"] / sound["actual"]) ** 0.8)


def inverted() -> Scored:
    sound = world().scored
    return sound | {"low": sound["high"], "high": sound["low"]}


def ruined_slice() -> Scored:
    """Spoil one corner of the map, a sixteenth of the rows, by a quarter either way."""
    known = world()
    south, west = (known.test[name] < np.quantile(known.test[name], 0.25) for name in ("lat", "long"))
    either = np.where(np.arange(2228) % 2, 1.26, 1 / 1.26)
    return priced(known.test["price"], known.scored["predicted"] * np.where(south & west, either, 1.0))


def narrow() -> Scored:
    return priced(world().test["price"], world().scored["predicted"], 0.7)


def narrow_among_the_cheap() -> Scored:
    sound = world().scored
    cheap = sound["predicted"] < np.quantile(sound["predicted"], 0.2)
    return priced(sound["actual"], sound["predicted"], np.where(cheap, 0.77, 0.9))


def ruined_beside_all() -> Scored:
    """Spoil the waterfront by a sixth either way, still within the limit of any slice, and let its intervals say so."""
    known = world()
    water = known.test["waterfront"] == 1
    either = np.where(np.arange(2228) % 2, 1.17, 1 / 1.17)
    predicted = known.scored["predicted"] * np.where(water, either, 1.0)
    return priced(known.test["price"], predicted, np.where(water, 0.97, 0.9))


def narrow_at_the_water() -> Scored:
    known = world()
    return priced(known.test["price"], known.scored["predicted"], np.where(known.test["waterfront"] == 1, 0.6, 0.9))


def wide_in_one_grade() -> Scored:
    known = world()
    return priced(known.test["price"], known.scored["predicted"], np.where(known.test["grade"] == 7, 0.999, 0.9))


def ten_percent_too_dear() -> Scored:
    sound = world().scored
    return priced(sound["actual"], sound["predicted"] * 1.1)


def worse_than_ridge() -> Scored:
    """Follow the ridge and add noise: better than every other baseline, but not than the simpler model."""
    known = world()
    noise = np.exp(np.random.default_rng(6).normal(0, 0.03, 2228))
    return priced(known.test["price"], known.baselines[RIDGE] * noise)


def as_good_as_ridge() -> Scored:
    return priced(world().test["price"], world().baselines[RIDGE])


@pytest.mark.parametrize(
    ("plant", "check", "reason"),
    [
        (shuffled_labels, "better_than_median", r"^rmse_log minus that of the baseline median is \S+ to \S+ on 2228 rows, wanted below 0\.0 throughout \(gate\.difference_max\)$"),
        (constant, "better_than_median", r"^mdape minus that of the baseline median is 0\.0 to 0\.0 on 2228 rows, wanted below 0\.0 throughout \(gate\.difference_max\)$"),
        (trained_on_the_test_rows, "mdape_plausible", r"^mdape is 0\.06\d+, wanted at least 0\.0\d+ \(gate\.mdape_min\): too good to be true, look for a leak$"),
        (trained_on_the_test_rows, "rmse_log_plausible", r"^rmse_log is 0\.12\d+, wanted at least 0\.1\d* \(gate\.rmse_log_min\): too good to be true, look for a leak$"),
        (ruined_slice, "worst_slices", r"^mdape in found slices above 0\.2 \(gate\.slice_mdape_max\): lat × long below 47\.3\S+ × below -122\.3\S+: 0\.[23]\d+$"),
        (narrow, "coverage", r"^coverage is 0\.(69|70|71)\d*, wanted 0\.86 to 0\.94 \(gate\.coverage_min, gate\.coverage_max\)$"),
        (narrow, "coverage_by_fifth", r"^coverage in fifth 3 of the predicted price is 0\.\d+ on 446 rows, wanted at least 0\.82 \(gate\.coverage_fifth_min\)$"),
        (narrow_among_the_cheap, "coverage_by_fifth", r"^coverage in fifth 1 of the predicted price is 0\.\d+ on 446 rows, wanted at least 0\.82 \(gate\.coverage_fifth_min\)$"),
        (ruined_beside_all, "slices_beside_all", r"^mdape in slices above 1\.5 times the 0\.0[78]\d+ of all rows \(gate\.slice_ratio_max\) throughout their intervals: waterfront 1: 0\.1\d+ to 0\.[12]\d+$"),
        (narrow_at_the_water, "slices_coverage", r"^coverage in slices outside 0\.75 to 0\.96 \(gate\.slice_coverage_min, gate\.slice_coverage_max\) throughout their intervals: waterfront 1: 0\.\d+ to 0\.6\d+$"),
        (wide_in_one_grade, "slices_coverage", r"^coverage in slices outside 0\.75 to 0\.96 \(gate\.slice_coverage_min, gate\.slice_coverage_max\) throughout their intervals: grade 7: 0\.9[789]\d+ to \S+$"),
        (ten_percent_too_dear, "bias", r"^bias is 0\.1\d+, wanted at most 0\.03 either way \(gate\.bias_max\)$"),
        (worse_than_ridge, "simpler", r"^rmse_log minus that of the baseline ridge is .*\(gate\.difference_max\): ridge is simpler and not provably worse, release it instead$"),
        (as_good_as_ridge, "simpler", r"^mdape minus that of the baseline ridge is 0\.0 to 0\.0 on 2228 rows, .*\(gate\.difference_max\): ridge is simpler and not provably worse, release it instead$"),
    ],
)  # fmt: skip
def test_a_faulty_model_is_red_with_its_reason(plant: Callable[[], Scored], check: str, reason: str) -> None:
    found = evaluated(plant()).verdict()
    assert not found.passed
    assert found.checks[check] is False
    assert [said for said in found.reasons if re.search(reason, said)], found.reasons


@pytest.mark.parametrize(
    ("plant", "checks"),
    [
        (trained_on_the_test_rows, {"rmse_log_plausible", "mdape_plausible", "coverage"}),
        (ruined_slice, {"worst_slices"}),
        (narrow_among_the_cheap, {"coverage_by_fifth"}),
        (ruined_beside_all, {"slices_beside_all"}),
        (narrow_at_the_water, {"slices_coverage"}),
        (wide_in_one_grade, {"slices_coverage"}),
    ],
)
def test_no_other_check_sees_a_fault_that_hides_in_fine_figures(plant: Callable[[], Scored], checks: set[str]) -> None:
    assert {name for name, passed in evaluated(plant()).verdict().checks.items() if not passed} == checks


@pytest.mark.parametrize("power", [1.0, 0.9, 1.001])
def test_a_simpler_model_that_is_as_good_is_released_instead_of_a_model_that_keeps_every_limit(power: float) -> None:
    """Of equal worth, better, or worse by less than the test rows can tell."""
    sound = world().scored
    simple = sound["actual"] * (sound["predicted"] / sound["actual"]) ** power
    noise = np.exp(np.random.default_rng(9).normal(0, 0.001, 2228))
    case = evaluated(sound, ridge=simple * noise)
    assert case.evidence["simpler"]["release"] == RIDGE
    found = case.verdict()
    assert {name for name, passed in found.checks.items() if not passed} == {"simpler"}
    assert all(said.endswith("ridge is simpler and not provably worse, release it instead") for said in found.reasons)


def test_inverted_intervals_are_red_with_their_reason() -> None:
    assert evaluated(inverted()).verdict().reasons[1:] == [
        "predictions: 2228 of 2228 rows break low <= price <= high, wanted it in each row"
    ]
    one = clean()
    one.scored["low"][7], one.scored["high"][7] = one.scored["high"][7], one.scored["low"][7]
    found = one.verdict()
    assert found.reasons == ["predictions: 1 of 2228 rows break low <= price <= high, wanted it in each row"]
    assert [name for name, passed in found.checks.items() if not passed] == ["sanity"]


@pytest.mark.parametrize("column", ["actual", "predicted", "low", "high"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_price_that_is_not_finite_is_red(column: str, value: float) -> None:
    case = clean()
    case.scored[column][[3, 5]] = value
    assert case.verdict().reasons == ["predictions: 2 of 2228 rows are not finite, wanted finite prices only"]
    assert unscorable(case.scored)  # the evaluate stage refuses such a model before it computes a metric


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_price_of_nothing_is_red(value: float) -> None:
    case = clean()
    case.scored["predicted"][3] = value
    assert case.verdict().reasons == ["predictions: 1 of 2228 rows are predicted at or below 0, wanted prices above 0"]


# Faults of the evidence


@pytest.mark.parametrize("name", KEYS)
def test_metrics_with_a_missing_key_are_red(name: str) -> None:
    case = clean()
    del case.metrics[name]
    found = case.verdict()
    assert (found.passed, found.reasons) == (False, [f"metrics: {name} is missing"])


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path to each number in a document."""
    if isinstance(value, (dict, list)):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for key, part in pairs for leaf in leaves(part, (*path, key))]
    return [] if isinstance(value, str) else [path]


def planted(document: Any, path: tuple[Any, ...], value: object) -> None:
    for key in path[:-1]:
        document = document[key]
    document[path[-1]] = value


def found_slice() -> Case:
    """Return a sound case in which the search found something."""
    case = clean()
    case.evidence["worst_slices"] = [{"slice": "grade × lat", "group": "5 × below 47.3", "rows": 120, "mdape": 0.15, "rest_mdape": 0.08, "adjusted_p": 0.01}]  # fmt: skip
    assert case.verdict().passed
    return case


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "0.1", True])
def test_a_number_of_the_evidence_that_is_none_is_red_wherever_it_stands(value: object) -> None:
    places = leaves(found_slice().evidence)
    assert len(places) > 90
    for path in places:
        case = found_slice()
        planted(case.evidence, path, value)
        found = case.verdict()
        assert (found.passed, found.checks) == (False, {"evidence": False}), path
        assert found.reasons[0].startswith(f"evidence: {'.'.join(str(key) for key in path)} is "), found.reasons


@pytest.mark.parametrize(
    "name", ["rows", "intervals", "baselines", "slices_tried", "worst_slices", "coverage_by_fifth", "simpler"]
)
def test_evidence_without_a_part_is_red(name: str) -> None:
    case = clean()
    del case.evidence[name]
    assert case.verdict().reasons == [f"evidence: {name} is missing; add it."]


def test_no_evidence_at_all_is_red() -> None:
    case = clean()
    case.evidence = {}
    assert len(case.verdict().reasons) == 7


@pytest.mark.parametrize("name", [MEDIAN, GROUP_MEDIAN, LAST_SALE, RIDGE])
def test_evidence_without_a_baseline_is_red(name: str) -> None:
    case = clean()
    del case.evidence["baselines"][name]
    assert f"evidence: baselines.{name} is missing" in case.verdict().reasons


@pytest.mark.parametrize("name", KEYS[:11])
def test_evidence_without_the_interval_of_a_metric_is_red(name: str) -> None:
    case = clean()
    del case.evidence["intervals"][name]
    assert case.verdict().reasons == [f"evidence: intervals.{name} is missing"]


def of_fewer_rows(case: Case) -> None:
    case.evidence["rows"] = 2227


def without_a_fifth(case: Case) -> None:
    del case.evidence["coverage_by_fifth"][4]


def of_a_few_rows_of_ridge(case: Case) -> None:
    case.evidence["baselines"][RIDGE]["rows"] = 20


def of_shorter_predictions(case: Case) -> None:
    case.scored = {name: values[:2000] for name, values in case.scored.items()}


def with_one_column_cut(case: Case) -> None:
    case.scored["low"] = case.scored["low"][:-1]


def without_intervals(case: Case) -> None:
    del case.scored["low"], case.scored["high"]


def of_another_model(case: Case) -> None:
    case.evidence["intervals"]["mdape"] = [0.0101, 0.0102]


def of_an_unknown_simpler_model(case: Case) -> None:
    case.evidence["simpler"]["name"] = "lasso"


def of_no_search(case: Case) -> None:
    case.evidence["slices_tried"] = 0


@pytest.mark.parametrize(
    ("plant", "reason"),
    [
        (of_fewer_rows, "evidence: rows is 2227, metrics: rows_test is 2228, wanted the same rows"),
        (without_a_fifth, "evidence: rows in coverage_by_fifth is 1782, metrics: rows_test is 2228, wanted the same rows"),
        (of_a_few_rows_of_ridge, "evidence: baselines.ridge.rows is 20, metrics: rows_test is 2228, wanted the same rows"),
        (of_shorter_predictions, "predictions: rows is 2000, metrics: rows_test is 2228, wanted the same rows"),
        (with_one_column_cut, "predictions: columns of 2227, 2228 rows, wanted one length"),
        (without_intervals, "predictions: low, high missing"),
        (of_another_model, "evidence: intervals.mdape is 0.0101 to 0.0102, metrics: mdape is MDAPE, wanted it inside"),
        (of_an_unknown_simpler_model, "evidence: simpler.name is 'lasso', wanted one of the baselines"),
        (of_no_search, "the search for bad slices tried none (evaluate.search.rows_min)"),
    ],
)  # fmt: skip
def test_evidence_of_something_else_is_red(plant: Callable[[Case], None], reason: str) -> None:
    case = clean()
    plant(case)
    assert case.verdict().reasons == [reason.replace("MDAPE", str(case.metrics["mdape"]))]


# What the limits mean


def test_too_few_test_rows_are_red() -> None:
    assert clean().verdict(test_rows_min=2229).reasons == [
        "rows_test is 2228, wanted at least 2229 (gate.test_rows_min)"
    ]
    assert clean().verdict(test_rows_min=2228).passed


def test_a_verdict_that_belies_its_interval_is_not_believed() -> None:
    case = clean()
    case.evidence["baselines"][GROUP_MEDIAN]["mdape"] = {"difference": [-0.01, 0.01], "verdict": "better"}
    assert case.verdict().reasons == ["mdape minus that of the baseline group_median is -0.01 to 0.01 on 2228 rows, wanted below 0.0 throughout (gate.difference_max)"]  # fmt: skip


def test_a_margin_asks_for_more_than_a_proof() -> None:
    known = clean().evidence["baselines"]
    high = max(known[name][metric]["difference"][1] for name in known for metric in ("rmse_log", "mdape"))
    assert clean().verdict(difference_max=high + 1e-6).passed
    assert not clean().verdict(difference_max=high).passed


@pytest.mark.parametrize(("rows", "passed"), [(29, True), (30, False)])
def test_a_baseline_of_a_few_rows_need_not_be_beaten(rows: int, passed: bool) -> None:
    case = clean()
    doubt = {"difference": [-0.1, 0.1], "verdict": "no evidence"}
    case.evidence["baselines"][LAST_SALE] = {"rows": rows, "rmse_log": doubt, "mdape": doubt, "mae": doubt}
    assert case.verdict(baseline_rows_min=30).passed == passed


def test_a_baseline_without_any_row_need_not_be_beaten() -> None:
    case = clean()
    case.evidence["baselines"][LAST_SALE] = {"rows": 0}
    assert case.verdict().passed


def test_the_simpler_model_must_be_beaten_on_however_few_rows() -> None:
    case = clean()
    case.evidence["simpler"]["name"] = LAST_SALE
    case.evidence["baselines"][LAST_SALE] = {"rows": 0}
    assert "last_sale is simpler and not provably worse" in case.verdict().reasons[0]


@pytest.mark.parametrize(("rows", "mdape", "passed"), [(100, 0.21, False), (99, 0.21, True), (100, 0.2, True)])
def test_a_found_slice_counts_from_its_rows_on(rows: int, mdape: float, passed: bool) -> None:
    case = found_slice()
    case.evidence["worst_slices"][0] |= {"rows": rows, "mdape": mdape}
    assert case.verdict(slice_rows_min=100, slice_mdape_max=0.2).passed == passed


def test_every_reason_of_a_limit_names_its_key() -> None:
    limits: dict[str, Any] = {
        "test_rows_min": 9999, "difference_max": -1.0, "rmse_log_min": 0.5, "rmse_log_max": 0.01, "mdape_min": 0.5,
        "mdape_max": 0.01, "bias_max": 0.001, "coverage_min": 0.99, "coverage_fifth_min": 0.99, "slice_mdape_max": 0.01,
        "slice_ratio_max": 0.01, "slice_coverage_min": 0.99,
    }  # fmt: skip
    said = clean().verdict(**limits).reasons
    assert {key for key in limits if not any(f"gate.{key}" in reason for reason in said)} == set()
    assert all(re.search(r"\d.*\(gate\.\w+", reason) for reason in said)
