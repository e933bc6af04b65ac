"""Decide whether a model may be released. Doubt means no: missing, extra or non-finite evidence fails."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import Field, model_validator

from hearth.errors import Refusal
from hearth.evidence import PROVEN, Evidence
from hearth.figures import finite
from hearth.sanity import impossible, incomplete, insane, of_other_rows
from hearth.scoring import Floats
from hearth.strict import Strict, parse


class GateParams(Strict):
    """Hold the section `gate` of params.yaml: fractions, and numbers of rows."""

    test_rows_min: int = Field(ge=1)
    difference_max: float = Field(le=0)
    baseline_rows_min: int = Field(ge=2)
    rmse_log_min: float = Field(ge=0)
    rmse_log_max: float = Field(gt=0)
    mdape_min: float = Field(ge=0)
    mdape_max: float = Field(gt=0)
    bias_max: float = Field(gt=0)
    coverage_min: float = Field(ge=0, le=1)
    coverage_max: float = Field(ge=0, le=1)
    coverage_fifth_min: float = Field(ge=0, le=1)
    slice_mdape_max: float = Field(gt=0)
    slice_ratio_max: float = Field(gt=1)
    slice_coverage_min: float = Field(ge=0, le=1)
    slice_coverage_max: float = Field(ge=0, le=1)
    slice_rows_min: int = Field(ge=1)

    @model_validator(mode="after")
    def _keepable(self) -> "GateParams":
        for name in ("rmse_log", "mdape", "coverage", "slice_coverage"):
            low, high = getattr(self, f"{name}_min"), getattr(self, f"{name}_max")
            if low > high:
                raise ValueError(f"{name}_min no larger than {name}_max, not {low} and {high}")
        return self


@dataclass(frozen=True)
class Verdict:
    """Hold the answer, the reasons against it, and each check by name."""

    passed: bool
    reasons: list[str]
    checks: dict[str, bool]

    def document(self) -> dict[str, Any]:
        """Return the content of metrics/gate.json."""
        return asdict(self)


def judge(
    metrics: Mapping[str, object],
    slices: Sequence[Mapping[str, Any]],
    evidence: Mapping[str, object],
    scored: Mapping[str, Floats],
    params: GateParams,
) -> Verdict:
    """Return the verdict on these metrics, slices (the rows of `slices.table`), evidence and predictions.

    `evidence` is the content of metrics/evidence.json; `scored` holds actual, predicted, low and high, each (n_rows,).
    """
    wrong, broken = insane(scored), incomplete(metrics)
    known, unread = _parsed(evidence)
    if known is None or broken:
        return _distrusted(broken + unread + wrong)
    values = {name: float(value) for name, value in metrics.items() if isinstance(value, (int, float))}
    if unfit := impossible(values) + of_other_rows(values, known, scored):
        return _distrusted(unfit + wrong)
    found = {"evidence": _rows(values, params), "sanity": wrong} | _figures(values, params) | _proofs(known, params)
    found |= {
        "coverage_by_fifth": _fifths(known, params),
        "slices": _slices(slices, params) or _none_large(slices, params),
        "slices_beside_all": _beside_all(slices, values["mdape"], params),
        "slices_coverage": _covered(slices, params),
        "worst_slices": _slices([row.model_dump() for row in known.worst_slices], params, "found slices")
        + _untried(known),
    }
    reasons = [reason for said in found.values() for reason in said]
    return Verdict(not reasons, reasons, {name: not said for name, said in found.items()})


def _parsed(evidence: Mapping[str, object]) -> tuple[Evidence | None, list[str]]:
    try:
        return parse(Evidence, evidence, "evidence"), []
    except Refusal as refusal:
        return None, str(refusal).splitlines()


def _distrusted(reasons: list[str]) -> Verdict:
    return Verdict(passed=False, reasons=reasons, checks={"evidence": False})


def _rows(values: Mapping[str, float], params: GateParams) -> list[str]:
    wanted = {"rows_test": (params.test_rows_min, " (gate.test_rows_min)"), "rows_train": (1, "")}
    return [
        f"{name} is {values[name]:.0f}, wanted at least {least}{key}"
        for name, (least, key) in wanted.items()
        if values[name] < least
    ]


def _figures(values: Mapping[str, float], params: GateParams) -> dict[str, list[str]]:
    """Return the reasons of the checks that look at one metric."""
    found = {}
    for name in PROVEN:
        value, naive = values[name], values[f"baseline_{name}"]
        least, most = getattr(params, f"{name}_min"), getattr(params, f"{name}_max")
        found[f"better_{name}"] = _unless(
            value < naive, f"{name} is {value}, wanted less than {naive} (the baseline's)"
        )
        found[name] = _unless(value < most, f"{name} is {value}, wanted less than {most} (gate.{name}_max)")
        found[f"{name}_plausible"] = _unless(
            value >= least,
            f"{name} is {value}, wanted at least {least} (gate.{name}_min): too good to be true, look for a leak",
        )
    bias, share = values["bias"], values["coverage"]
    found["bias"] = _unless(
        abs(bias) <= params.bias_max, f"bias is {bias}, wanted at most {params.bias_max} either way (gate.bias_max)"
    )
    low, high = params.coverage_min, params.coverage_max
    found["coverage"] = _unless(
        low <= share <= high, f"coverage is {share}, wanted {low} to {high} (gate.coverage_min, gate.coverage_max)"
    )
    return found


def _proofs(evidence: Evidence, params: GateParams) -> dict[str, list[str]]:
    """Return for each baseline why the model is not provably better; a few rows prove nothing and need not."""
    found = {}
    for name, known in evidence.baselines.items():
        simpler = name == evidence.simpler.name
        if known.rows < params.baseline_rows_min and not simpler:
            continue
        reasons = []
        for metric in PROVEN:
            difference = getattr(known, metric)
            low, high = difference.difference if difference else (0.0, 0.0)
            if not high < params.difference_max:
                reasons.append(
                    f"{metric} minus that of the baseline {name} is {low} to {high} on {known.rows} rows, wanted below "
                    f"{params.difference_max} throughout (gate.difference_max)"
                    + (f": {name} is simpler and not provably worse, release it instead" if simpler else "")
                )
        found["simpler" if simpler else f"better_than_{name}"] = reasons
    return found


def _fifths(evidence: Evidence, params: GateParams) -> list[str]:
    return [
        f"coverage in fifth {fifth.fifth} of the predicted price is {fifth.coverage} on {fifth.rows} rows, wanted at "
        f"least {params.coverage_fifth_min} (gate.coverage_fifth_min)"
        for fifth in evidence.coverage_by_fifth
        if fifth.coverage < params.coverage_fifth_min
    ]


def _slices(slices: Sequence[Mapping[str, Any]], params: GateParams, what: str = "slices") -> list[str]:
    for row in slices:
        if not finite(row["rows"]):
            return [f"{what}: {row['slice']} {row['group']} has {row['rows']!r} rows, no finite number"]
    bad = [
        row for row in _large(slices, params) if not (finite(row["mdape"]) and row["mdape"] <= params.slice_mdape_max)
    ]
    named = ", ".join(f"{row['slice']} {row['group']}: {row['mdape']}" for row in bad)
    return _unless(not bad, f"mdape in {what} above {params.slice_mdape_max} (gate.slice_mdape_max): {named}")


def _beside_all(slices: Sequence[Mapping[str, Any]], whole: float, params: GateParams) -> list[str]:
    """Return which large slices err too much beside all rows; a slice that may only be unlucky is none of them."""
    most = params.slice_ratio_max * whole
    bad = [row for row in _large(slices, params) if not (finite(row.get("mdape_low")) and row["mdape_low"] <= most)]
    named = ", ".join(
        f"{row['slice']} {row['group']}: {row.get('mdape_low')} to {row.get('mdape_high')}" for row in bad
    )
    return _unless(
        not bad,
        f"mdape in slices above {params.slice_ratio_max} times the {whole} of all rows (gate.slice_ratio_max) throughout "
        f"their intervals: {named}",
    )


def _covered(slices: Sequence[Mapping[str, Any]], params: GateParams) -> list[str]:
    """Return of which large slices the intervals hold too few or too many prices, whatever luck they had."""
    least, most = params.slice_coverage_min, params.slice_coverage_max
    bad = []
    for row in _large(slices, params):
        low, high = row.get("coverage_low", math.nan), row.get("coverage_high", math.nan)
        if not (finite(low) and finite(high) and high >= least and low <= most):
            bad.append(f"{row['slice']} {row['group']}: {low} to {high}")
    return _unless(
        not bad,
        f"coverage in slices outside {least} to {most} (gate.slice_coverage_min, gate.slice_coverage_max) throughout "
        f"their intervals: {', '.join(bad)}",
    )


def _large(slices: Sequence[Mapping[str, Any]], params: GateParams) -> list[Mapping[str, Any]]:
    return [row for row in slices if finite(row["rows"]) and row["rows"] >= params.slice_rows_min]


def _none_large(slices: Sequence[Mapping[str, Any]], params: GateParams) -> list[str]:
    return _unless(bool(_large(slices, params)), f"no slice has {params.slice_rows_min} rows (gate.slice_rows_min)")


def _untried(evidence: Evidence) -> list[str]:
    return _unless(evidence.slices_tried > 0, "the search for bad slices tried none (evaluate.search.rows_min)")


def _unless(kept: bool, reason: str) -> list[str]:
    return [] if kept else [reason]
