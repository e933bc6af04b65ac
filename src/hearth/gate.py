"""Decide whether a model may be released. Doubt means no: missing, extra or non-finite evidence fails."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import Field, model_validator

from hearth.scoring import KEYS
from hearth.strict import Strict


class GateParams(Strict):
    """Hold the section `gate` of params.yaml; all fractions."""

    rmse_log_max: float = Field(gt=0)
    mdape_max: float = Field(gt=0)
    bias_max: float = Field(gt=0)
    coverage_min: float = Field(ge=0, le=1)
    coverage_max: float = Field(ge=0, le=1)
    slice_mdape_max: float = Field(gt=0)
    slice_rows_min: int = Field(ge=1)

    @model_validator(mode="after")
    def _keepable(self) -> "GateParams":
        if self.coverage_min > self.coverage_max:
            raise ValueError(
                f"coverage_min no larger than coverage_max, not {self.coverage_min} and {self.coverage_max}"
            )
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


def judge(metrics: Mapping[str, object], slices: Sequence[Mapping[str, Any]], params: GateParams) -> Verdict:
    """Return the verdict on these metrics and slices (each with `slice`, `group`, `rows`, `mdape`)."""
    broken = [f"metrics: {name} is missing" for name in KEYS if name not in metrics]
    broken += [f"metrics: {name} is not one of the fixed keys" for name in metrics if name not in KEYS]
    broken += [
        f"metrics: {name} is {value!r}, no finite number" for name, value in metrics.items() if not _finite(value)
    ]
    if broken:
        return Verdict(passed=False, reasons=broken, checks={"evidence": False})
    values = {name: float(value) for name, value in metrics.items() if isinstance(value, (int, float))}
    if impossible := _possible(values):
        return Verdict(passed=False, reasons=impossible, checks={"evidence": False})
    found = {
        "evidence": (values["rows_test"] >= 1 and values["rows_train"] >= 1, "there are no rows behind the metrics"),
        "better_rmse_log": _below(values, "rmse_log", values["baseline_rmse_log"], "the baseline's"),
        "better_mdape": _below(values, "mdape", values["baseline_mdape"], "the baseline's"),
        "rmse_log": _below(values, "rmse_log", params.rmse_log_max, "gate.rmse_log_max"),
        "mdape": _below(values, "mdape", params.mdape_max, "gate.mdape_max"),
        "bias": (
            abs(values["bias"]) <= params.bias_max,
            f"bias is {values['bias']}, wanted at most {params.bias_max} either way (gate.bias_max)",
        ),
        "coverage": (
            params.coverage_min <= values["coverage"] <= params.coverage_max,
            f"coverage is {values['coverage']}, wanted {params.coverage_min} to {params.coverage_max} (gate.coverage_*)",
        ),
        "slices": _slices(slices, params),
    }
    reasons = [reason for passed, reason in found.values() if not passed]
    return Verdict(not reasons, reasons, {name: passed for name, (passed, _) in found.items()})


def _finite(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


def _possible(values: Mapping[str, float]) -> list[str]:
    """Return the figures that no set of rows can give."""
    lowest = dict.fromkeys(("rmse", "mae", "mdape", "rmse_log", "coverage", "interval_width", "cod", "prd"), 0.0)
    highest = {"r2": 1.0, "coverage": 1.0}
    wrong = [
        f"metrics: {name} is {values[name]}, below {low}, which is impossible"
        for name, low in lowest.items()
        if values[name] < low
    ]
    return wrong + [
        f"metrics: {name} is {values[name]}, above {high}, which is impossible"
        for name, high in highest.items()
        if values[name] > high
    ]


def _below(values: Mapping[str, float], name: str, limit: float, whose: str) -> tuple[bool, str]:
    return values[name] < limit, f"{name} is {values[name]}, wanted less than {limit} ({whose})"


def _slices(slices: Sequence[Mapping[str, Any]], params: GateParams) -> tuple[bool, str]:
    if uncounted := [row for row in slices if not _finite(row["rows"])]:
        return (
            False,
            f"slices: {uncounted[0]['slice']} {uncounted[0]['group']} has {uncounted[0]['rows']!r} rows, no finite number",
        )
    large = [row for row in slices if row["rows"] >= params.slice_rows_min]
    bad = [row for row in large if not (_finite(row["mdape"]) and row["mdape"] <= params.slice_mdape_max)]
    if not large:
        return False, f"no slice has {params.slice_rows_min} rows (gate.slice_rows_min)"
    named = ", ".join(f"{row['slice']} {row['group']}: {row['mdape']}" for row in bad)
    return not bad, f"mdape in slices above {params.slice_mdape_max} (gate.slice_mdape_max): {named}"
