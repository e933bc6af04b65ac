"""Work out what the report says on how the model ages: the sentence on the cadence, and the curve with its intervals."""

from collections.abc import Callable, Sequence
from typing import Any

from hearth.comparison import MetricName
from hearth.drawings import along
from hearth.measures import minus
from hearth.staleness import Age, Curve, Figure

AXIS = "age from, days"


def aging(curve: Curve) -> dict[str, Any]:
    """Return the section's sentences and pictures."""
    young, oldest = curve.ages[0], curve.ages[-1]
    errors = (f"Fits of less than {young.to_day} days were off by {young.error.value:.1%} in the median, those of {oldest.from_day} days and "
              f"more by {oldest.error.value:.1%}, each on the sales of its own days.")  # fmt: skip
    biases = minus(
        f"On average their prices were {young.bias.value:+.1%} off what was paid while young, and {oldest.bias.value:+.1%} when oldest."
    )
    return {
        "caption": f"{curve.why} So the model is retrained after {curve.cadence_days} days at the latest.",
        "pictures": [
            _own([(age.error, age) for age in curve.ages], (young.error.value, "while young"), lambda value: f"{value:.1%}", "Median error", errors),
            _beside(curve, "mdape", "median error"),
            _own([(age.bias, age) for age in curve.ages], (0.0, "no bias"), lambda value: minus(f"{value:+.1%}"), "Bias", biases),
            _beside(curve, "bias", "bias, either way,"),
        ],
        "note": f"{len(curve.cuts)} fits of the recipe, on the sales before {curve.cuts[0].day} to {curve.cuts[-1].day}, {curve.bin_days} days apart, "
        f"each scored on the sales after its own until {curve.as_of}. Lines are {curve.bootstrap.level:.0%} intervals. An old fit also knows fewer "
        "sales. What these months say need not hold in others: the monitor watches.",
    }  # fmt: skip


def _own(
    figures: Sequence[tuple[Figure, Age]],
    reference: tuple[float, str],
    written: Callable[[float], str],
    what: str,
    said: str,
) -> tuple[str, str]:
    """Return the picture of a figure by age, and its sentence."""
    names = [str(age.from_day) for _, age in figures]
    values, ends = [one.value for one, _ in figures], [one.interval for one, _ in figures]
    return along(values, ends, names, AXIS, reference, written, f"{what} by age of the fit in days. {said}"), said


def _beside(curve: Curve, name: MetricName, what: str) -> tuple[str, str]:
    """Return the picture of how much further off old fits are than fresh ones on the same sales, and its sentence."""
    margin, older = curve.margins[name], curve.ages[1:]  # the youngest is the fresh one
    over = [age for age in older if age.beside_fresh[name].worse_by[0] > margin]
    said = f"How many points further off an old fit's {what} is than a fresh one's, on the same sales: "
    said += (
        f"provably more than {100 * margin:g} from {over[0].from_day} days on."
        if over
        else f"at no age provably more than {100 * margin:g}."
    )
    picture = along([_worse(age, name) for age in older], [age.beside_fresh[name].worse_by for age in older], [str(age.from_day) for age in older],
                    AXIS, (margin, f"allowed: {100 * margin:g}"), lambda value: minus(f"{100 * value:+.1f}"), said)  # fmt: skip
    return picture, said


def _worse(age: Age, name: MetricName) -> float:
    found = age.beside_fresh[name]
    return abs(found.candidate) - abs(found.base)
