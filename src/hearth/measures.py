"""Say what each key of metrics.json means, and write its value for people: one place for cards and report."""

from dataclasses import dataclass
from typing import Literal

from hearth.page import CURRENCIES

SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}


@dataclass(frozen=True)
class Measure:
    """Name a metric for people, say in a sentence what it is, and how its value is written."""

    name: str
    meaning: str
    kind: Literal["share", "signed share", "money", "count", "1", "3", "4"]  # a digit: so many decimals


MEASURES = {
    "mdape": Measure("median error", "Half of the prices are nearer to what was paid than this.", "share"),
    "mae": Measure("mean error", "The mean distance between the price and what was paid.", "money"),
    "rmse": Measure("root mean squared error", "As the mean error, but a few large misses weigh most.", "money"),
    "rmse_log": Measure("error of the log price", "Root mean squared error of the natural logarithm; 0.1 is about ten "
                        "percent.", "3"),
    "r2": Measure("explained variance", "The share of the differences between prices that the model explains.", "3"),
    "bias": Measure("bias", "The mean of predicted / actual − 1; above zero is too dear.", "signed share"),
    "coverage": Measure("coverage", "The share of sales whose price lay inside its interval.", "share"),
    "interval_width": Measure("interval width", "The median width of the intervals, as a share of the price.", "share"),
    "cod": Measure("coefficient of dispersion", "How far ratios lie from their median on average, in percent of it.",
                   "1"),
    "prd": Measure("price-related differential", "Above one, dear houses are priced low beside cheap ones.", "3"),
    "prb": Measure("price-related bias", "By how much the ratio changes when the value doubles.", "3"),
    "rows_train": Measure("training sales", "The sales that the judged model was fitted on.", "count"),
    "rows_test": Measure("test sales", "The later sales that it was judged on.", "count"),
    "baseline_mdape": Measure("median error of the baseline", "The same for the group's median price per area, times "
                              "the area.", "share"),
    "baseline_rmse_log": Measure("error of the log price of the baseline", "The same for that baseline.", "3"),
}  # fmt: skip


def shown(key: str, value: float, unit: str) -> str:
    """Return the value of a metric for people; `unit` is the target's, for money."""
    kind = MEASURES[key].kind
    if kind == "money":
        return money(value, unit)
    if kind == "count":
        return f"{value:,.0f}"
    if kind in ("share", "signed share"):
        return minus(f"{value:{'+' if kind == 'signed share' else ''}.1%}")
    return minus(f"{value:.{kind}f}")


def span(key: str, ends: tuple[float, float], unit: str) -> str:
    """Return an interval of a metric for people."""
    return f"{shown(key, ends[0], unit)} to {shown(key, ends[1], unit)}"


def money(value: float, unit: str) -> str:
    """Return an amount in the target's unit: with its sign where the unit is a known currency."""
    sign = SIGNS.get(CURRENCIES.get(unit, unit))
    return minus(f"{'-' if value < 0 else ''}{sign}{abs(value):,.0f}" if sign else f"{value:,.0f} {unit}")


def minus(text: str) -> str:
    """Return a number's text with a true minus sign."""
    return text.replace("-", "\u2212")
