"""Hold the ranges that assessors' prices are held to, and say in words where a model stands.

Source: IAAO (2013), Standard on Ratio Studies, table 1-3 and section 9.2.7: for single-family residential property a
coefficient of dispersion of 5.0 to 15.0 (below it the sample or the prices are to be doubted), a price-related
differential of 0.98 to 1.03, a price-related bias of -0.05 to 0.05, and a median ratio of 0.90 to 1.10.
"""

from dataclasses import dataclass
from typing import Literal

Standing = Literal["inside", "inside, not surely", "outside, not surely", "outside"]


@dataclass(frozen=True)
class Standard:
    """Hold an acceptable range, the ends of a scale to draw it on, the value without fault, and what it asks."""

    name: str
    low: float
    high: float
    shown_from: float
    shown_to: float
    ideal: float
    asks: str


STANDARDS = {
    "median_ratio": Standard("Level: the median ratio", 0.90, 1.10, 0.85, 1.15, 1.0,
                             "Are prices right on the whole? The ratio is the model's price over the price paid."),
    "cod": Standard("Uniformity: coefficient of dispersion (COD)", 5.0, 15.0, 0.0, 20.0, 0.0,
                    "Are like houses priced alike? It is the mean distance of the ratios from their median, in percent."),
    "prd": Standard("Dear and cheap: price-related differential (PRD)", 0.98, 1.03, 0.94, 1.08, 1.0,
                    "Are dear houses priced as fairly as cheap ones? Above one, dear houses come off cheaply."),
    "prb": Standard("Dear and cheap: price-related bias (PRB)", -0.05, 0.05, -0.12, 0.12, 0.0,
                    "By how much does the ratio change when the value doubles? Below zero, dear houses come off cheaply."),
}  # fmt: skip

WORDS: dict[Standing, str] = {
    "inside": "within the range",
    "inside, not surely": "within the range, but not surely",
    "outside, not surely": "outside the range, but not surely",
    "outside": "outside the range",
}


def standing(value: float, interval: tuple[float, float] | None, standard: Standard) -> Standing:
    """Return where a value stands; with its interval, whether chance could have put it on the other side of a limit."""
    low, high = interval or (value, value)
    if standard.low <= value <= standard.high:
        return "inside" if standard.low <= low and high <= standard.high else "inside, not surely"
    return "outside" if high < standard.low or low > standard.high else "outside, not surely"


def verdict(found: dict[str, Standing]) -> str:
    """Return one sentence on the whole study."""
    names = {"median_ratio": "The level", "cod": "COD", "prd": "PRD", "prb": "PRB"}
    by = {where: [names[key] for key, found_where in found.items() if found_where == where] for where in WORDS}
    if by["inside"] == list(names.values()):
        return f"All {len(found)} figures lie within the IAAO's ranges, and not by chance."
    said = [f"{_and(keys)} {'is' if len(keys) == 1 else 'are'} {WORDS[where]}" for where, keys in by.items() if keys]
    return f"{'; '.join(said)}."


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
