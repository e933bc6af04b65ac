"""Test that the gate says yes to the clean case only, and why not to every other. Doubt means no."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hearth import gate
from hearth.baselines import BASELINES
from hearth.errors import Refusal
from hearth.gate import GateParams, Verdict
from hearth.sanity import incomplete
from hearth.scoring import KEYS
from hearth.strict import parse

METRICS: dict[str, Any] = {
    "rmse": 120000.5, "mae": 70000.0, "mdape": 0.08, "r2": 0.88, "rmse_log": 0.16, "bias": 0.01, "coverage": 0.9,
    "interval_width": 0.55, "cod": 12.0, "prd": 1.02, "prb": -0.01, "rows_train": 15000, "rows_test": 2300,
    "baseline_rmse_log": 0.3, "baseline_mdape": 0.15,
}  # fmt: skip
LIMITS = {
    "test_rows_min": 100, "difference_max": 0.0, "baseline_rows_min": 30, "rmse_log_min": 0.1, "mdape_min": 0.05,
    "coverage_fifth_min": 0.8, "rmse_log_max": 0.19, "mdape_max": 0.1, "bias_max": 0.04, "coverage_min": 0.85, "coverage_max": 0.95,
    "slice_mdape_max": 0.2, "slice_rows_min": 100, "slice_ratio_max": 2.0, "slice_coverage_min": 0.8, "slice_coverage_max": 0.96,
}  # fmt: skip
PARAMS = GateParams(**LIMITS)
SURE: dict[str, Any] = {"mdape_low": 0.06, "mdape_high": 0.3, "coverage_low": 0.7, "coverage_high": 0.99}
SLICES: list[dict[str, Any]] = [
    {"slice": "grade", "group": "7", "rows": 900, "mdape": 0.07} | SURE,
    {"slice": "grade", "group": "11", "rows": 100, "mdape": 0.2} | SURE,
    # too few rows to count
    {"slice": "grade", "group": "13", "rows": 99, "mdape": 0.9} | SURE | {"mdape_low": 0.8, "coverage_high": 0.5},
]


def proofs(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return evidence that speaks of the same rows as these metrics, and for the model."""
    rows = metrics.get("rows_test", 2300)
    better = {"difference": [-0.02, -0.01], "verdict": "better"}
    return {
        "rows": rows,
        "intervals": {name: [metrics[name]] * 2 for name in KEYS[:11] if name in metrics},
        "baselines": {name: {"rows": rows, "rmse_log": better, "mdape": better, "mae": better} for name in BASELINES},
        "slices_tried": 900,
        "worst_slices": [{"slice": "view × lat", "group": "0 × 1", "rows": 100, "mdape": 0.2, "rest_mdape": 0.08, "adjusted_p": 0.0}],
        "coverage_by_fifth": [{"fifth": 1, "rows": rows, "coverage": 0.8, "coverage_interval": [0.7, 0.9], "median_ratio": 1.0, "median_ratio_interval": [0.9, 1.1]}],
        "simpler": {"name": "ridge", "rmse_log": 0.2, "mdape": 0.11, "release": "model"},
    }  # fmt: skip


def predictions(rows: int) -> dict[str, np.ndarray]:
    return {"actual": np.full(rows, 9.0), "predicted": np.full(rows, 9.0), "low": np.full(rows, 8.0), "high": np.full(rows, 9.0)}  # fmt: skip


def judge(metrics: dict[str, Any], slices: list[dict[str, Any]], params: GateParams, **other: Any) -> Verdict:
    """Ask the gate with evidence and predictions that fit the metrics, but for what is in `other`."""
    known = METRICS if incomplete(metrics) else metrics
    given: dict[str, Any] = {"evidence": proofs(known) | other.get("evidence", {})}
    given["scored"] = predictions(known["rows_test"]) | other.get("scored", {})
    return gate.judge(metrics, slices, given["evidence"], given["scored"], params)


def verdict(slices: list[dict[str, Any]] = SLICES, **changed: object) -> Verdict:
    return judge(METRICS | changed, slices, PARAMS)


CHECKS = [
    "evidence", "sanity", "better_rmse_log", "rmse_log", "rmse_log_plausible", "better_mdape", "mdape", "mdape_plausible",
    "bias", "coverage", "better_than_median", "better_than_group_median", "better_than_last_sale", "simpler",
    "coverage_by_fifth", "slices", "slices_beside_all", "slices_coverage", "worst_slices",
]  # fmt: skip


def test_the_clean_case_passes_every_check() -> None:
    found = verdict()
    assert (found.passed, found.reasons) == (True, [])
    assert found.checks == dict.fromkeys(CHECKS, True)


@pytest.mark.parametrize("name", KEYS)
def test_a_missing_key_fails(name: str) -> None:
    found = judge({key: value for key, value in METRICS.items() if key != name}, SLICES, PARAMS)
    assert (found.passed, found.reasons) == (False, [f"metrics: {name} is missing"])
    assert found.checks == {"evidence": False}


def test_an_extra_key_fails() -> None:
    found = verdict(accuracy=1.0)
    assert (found.passed, found.reasons) == (False, ["metrics: accuracy is not one of the fixed keys"])


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize(
    ("value", "shown"),
    [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf"), (True, "True"), (False, "False"), ("0.1", "'0.1'"), (None, "None"), ([0.1], "[0.1]")],
)  # fmt: skip
def test_a_value_that_is_no_finite_number_fails(name: str, value: object, shown: str) -> None:
    found = verdict(**{name: value})
    assert (found.passed, found.reasons) == (False, [f"metrics: {name} is {shown}, no finite number"])


def test_every_fault_of_the_evidence_is_said() -> None:
    broken = {key: value for key, value in METRICS.items() if key != "r2"} | {"r3": math.nan}
    assert judge(broken, SLICES, PARAMS).reasons == [
        "metrics: r2 is missing",
        "metrics: r3 is not one of the fixed keys",
        "metrics: r3 is nan, no finite number",
    ]


@pytest.mark.parametrize(
    ("changed", "check", "reason"),
    [
        pytest.param({"baseline_rmse_log": 0.15}, "better_rmse_log", "rmse_log is 0.16, wanted less than 0.15 (the baseline's)", id="worse than the baseline's rmse_log"),
        pytest.param({"baseline_rmse_log": 0.16}, "better_rmse_log", "rmse_log is 0.16, wanted less than 0.16 (the baseline's)", id="as good as the baseline's rmse_log"),
        pytest.param({"baseline_mdape": 0.07}, "better_mdape", "mdape is 0.08, wanted less than 0.07 (the baseline's)", id="worse than the baseline's mdape"),
        pytest.param({"baseline_mdape": 0.08}, "better_mdape", "mdape is 0.08, wanted less than 0.08 (the baseline's)", id="as good as the baseline's mdape"),
        pytest.param({"rmse_log": 0.2}, "rmse_log", "rmse_log is 0.2, wanted less than 0.19 (gate.rmse_log_max)", id="rmse_log over its limit"),
        pytest.param({"rmse_log": 0.19}, "rmse_log", "rmse_log is 0.19, wanted less than 0.19 (gate.rmse_log_max)", id="rmse_log at its limit"),
        pytest.param({"mdape": 0.11}, "mdape", "mdape is 0.11, wanted less than 0.1 (gate.mdape_max)", id="mdape over its limit"),
        pytest.param({"bias": 0.041}, "bias", "bias is 0.041, wanted at most 0.04 either way (gate.bias_max)", id="too dear"),
        pytest.param({"bias": -0.041}, "bias", "bias is -0.041, wanted at most 0.04 either way (gate.bias_max)", id="too cheap"),
        pytest.param({"coverage": 0.849}, "coverage", "coverage is 0.849, wanted 0.85 to 0.95 (gate.coverage_min, gate.coverage_max)", id="intervals hold too few"),
        pytest.param({"coverage": 0.951}, "coverage", "coverage is 0.951, wanted 0.85 to 0.95 (gate.coverage_min, gate.coverage_max)", id="intervals hold too many"),
        pytest.param({"rows_test": 99}, "evidence", "rows_test is 99, wanted at least 100 (gate.test_rows_min)", id="few test rows"),
        pytest.param({"rows_train": 0}, "evidence", "rows_train is 0, wanted at least 1", id="no training rows"),
    ],
)  # fmt: skip
def test_one_fault_fails_one_check_with_its_reason(changed: dict[str, Any], check: str, reason: str) -> None:
    found = verdict(**changed)
    assert (found.passed, found.reasons) == (False, [reason])
    assert [name for name, passed in found.checks.items() if not passed] == [check]


@pytest.mark.parametrize(
    "changed",
    [{"bias": 0.04}, {"bias": -0.04}, {"coverage": 0.85}, {"coverage": 0.95}, {"rmse_log": 0.1899}, {"rows_test": 100}, {"coverage": 0.9, "bias": 0}],
)  # fmt: skip
def test_a_limit_that_is_kept_just_so_passes(changed: dict[str, Any]) -> None:
    assert verdict(**changed).passed


def row(**changed: object) -> dict[str, Any]:
    return {"slice": "view", "group": "4", "rows": 100, "mdape": 0.1} | SURE | changed


@pytest.mark.parametrize(
    ("slices", "reason"),
    [
        pytest.param([*SLICES, row(mdape=0.201)], "mdape in slices above 0.2 (gate.slice_mdape_max): view 4: 0.201", id="one ruined large slice"),
        pytest.param([row(mdape=0.3), *SLICES, row(group="3", mdape=0.4)], "mdape in slices above 0.2 (gate.slice_mdape_max): view 4: 0.3, view 3: 0.4", id="two of them"),
        pytest.param([*SLICES, row(mdape=math.nan)], "mdape in slices above 0.2 (gate.slice_mdape_max): view 4: nan", id="NaN in a slice"),
        pytest.param([*SLICES, row(mdape=math.inf)], "mdape in slices above 0.2 (gate.slice_mdape_max): view 4: inf", id="infinity in a slice"),
        pytest.param([*SLICES, row(mdape=None)], "mdape in slices above 0.2 (gate.slice_mdape_max): view 4: None", id="nothing in a slice"),
        pytest.param([*SLICES, row(mdape="0.1")], "mdape in slices above 0.2 (gate.slice_mdape_max): view 4: 0.1", id="a text in a slice"),
        pytest.param([], "no slice has 100 rows (gate.slice_rows_min)", id="no slices"),
        pytest.param([row(rows=99)], "no slice has 100 rows (gate.slice_rows_min)", id="no large slice"),
    ],
)  # fmt: skip
def test_slices_fail_the_gate(slices: list[dict[str, Any]], reason: str) -> None:
    found = verdict(slices)
    assert (found.passed, found.reasons) == (False, [reason])
    assert [name for name, passed in found.checks.items() if not passed] == ["slices"]


BESIDE = "mdape in slices above 2.0 times the 0.08 of all rows (gate.slice_ratio_max) throughout their intervals: "
COVERED = "coverage in slices outside 0.8 to 0.96 (gate.slice_coverage_min, gate.slice_coverage_max) throughout their intervals: "


@pytest.mark.parametrize(
    ("changed", "check", "reason"),
    [
        ({"mdape_low": 0.161}, "slices_beside_all", BESIDE + "view 4: 0.161 to 0.3"),
        ({"mdape_low": math.nan}, "slices_beside_all", BESIDE + "view 4: nan to 0.3"),
        ({"mdape_low": None}, "slices_beside_all", BESIDE + "view 4: None to 0.3"),
        ({"mdape_low": "0.1"}, "slices_beside_all", BESIDE + "view 4: 0.1 to 0.3"),
        ({"coverage_high": 0.799}, "slices_coverage", COVERED + "view 4: 0.7 to 0.799"),
        ({"coverage_low": 0.961}, "slices_coverage", COVERED + "view 4: 0.961 to 0.99"),
        ({"coverage_low": math.nan}, "slices_coverage", COVERED + "view 4: nan to 0.99"),
        ({"coverage_high": None}, "slices_coverage", COVERED + "view 4: 0.7 to None"),
        ({"coverage_high": True}, "slices_coverage", COVERED + "view 4: 0.7 to True"),
    ],
)
def test_a_slice_fails_if_its_whole_interval_breaks_a_limit(changed: dict[str, Any], check: str, reason: str) -> None:
    found = verdict([*SLICES, row(**changed)])
    assert (found.passed, found.reasons) == (False, [reason])
    assert [name for name, passed in found.checks.items() if not passed] == [check]


@pytest.mark.parametrize(
    "changed", [{"mdape_low": 0.16}, {"mdape": 0.2, "mdape_low": 0.1}, {"coverage_high": 0.8}, {"coverage_low": 0.96}]
)
def test_a_slice_that_may_only_be_unlucky_passes(changed: dict[str, Any]) -> None:
    assert verdict([*SLICES, row(**changed)]).passed


@pytest.mark.parametrize(
    ("part", "check"),
    [("mdape_low", "slices_beside_all"), ("coverage_low", "slices_coverage"), ("coverage_high", "slices_coverage")],
)
def test_a_slice_without_an_end_of_an_interval_fails(part: str, check: str) -> None:
    found = verdict([*SLICES, {key: value for key, value in row().items() if key != part}])
    assert [name for name, passed in found.checks.items() if not passed] == [check]


@pytest.mark.parametrize("rows", [math.nan, None, "900"])
def test_a_slice_without_a_number_of_rows_fails(rows: object) -> None:
    try:
        passed = verdict([*SLICES, row(rows=rows, mdape=0.9)]).passed
    except TypeError:
        passed = True
    assert not passed


def test_a_bad_small_slice_is_no_evidence() -> None:
    assert verdict([*SLICES, row(rows=99, mdape=5.0)]).passed


def test_all_reasons_are_given_in_the_order_of_the_checks() -> None:
    found = verdict([row(mdape=0.9)], rmse_log=0.5, mdape=0.5, bias=0.5, coverage=0.5)
    failed = [name for name, passed in found.checks.items() if not passed]
    assert failed == ["better_rmse_log", "rmse_log", "better_mdape", "mdape", "bias", "coverage", "slices"]
    assert len(found.reasons) == 7


@pytest.mark.parametrize("impossible", [{"rmse_log": -1.0}, {"mdape": -0.1}, {"rmse": -1.0}, {"r2": 1.5}])
def test_an_impossible_figure_fails(impossible: dict[str, float]) -> None:
    assert not verdict(**impossible).passed


def test_a_number_beyond_floats_fails() -> None:
    assert not verdict(rmse=10**400).passed


@pytest.mark.parametrize("make", [verdict, lambda: verdict(bias=1.0), lambda: verdict(bias=math.nan)])
def test_the_verdict_is_a_json_document(make: Callable[[], Verdict]) -> None:
    found = make()
    text = json.dumps(found.document(), allow_nan=False)
    assert json.loads(text) == {"passed": found.passed, "reasons": found.reasons, "checks": found.checks}


def test_the_evidence_is_left_as_it_is() -> None:
    before = json.dumps([METRICS, SLICES])
    verdict()
    assert json.dumps([METRICS, SLICES]) == before


@pytest.mark.parametrize("name", LIMITS)
def test_every_limit_must_be_set_and_be_a_number(name: str) -> None:
    for broken in ({k: v for k, v in LIMITS.items() if k != name}, LIMITS | {name: "0.1"}, LIMITS | {name: math.nan}):
        with pytest.raises(Refusal, match=rf"params\.yaml: gate\.{name} is "):
            parse(GateParams, broken, "params.yaml: gate")


def test_limits_that_nothing_can_keep_are_refused() -> None:
    for name in ("coverage", "rmse_log", "mdape", "slice_coverage"):
        with pytest.raises(Refusal, match=f"{name}_min no larger than {name}_max"):
            parse(GateParams, LIMITS | {f"{name}_min": 0.95, f"{name}_max": 0.85}, "params.yaml: gate")
