"""Say what changed between two revisions beside their models: params, and rows and distributions of the data."""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]

from hearth.contract import Contract
from hearth.doubt import Bootstrap
from hearth.strict import Listed, Strict

DECIMALS = 6


class Pair(Strict):
    """Hold a figure of the base and of the candidate; None where a side has none."""

    base: Any = None
    candidate: Any = None


class Move(Strict):
    """Hold how far a column's distribution moved, and how far chance alone would move it.

    The distance of numbers is the largest one between the shares below a value (Kolmogorov and Smirnov), of a category
    half the sum of the changes of its shares (total variation).
    """

    column: str
    distance: float
    by_chance: float
    base: str
    candidate: str


class DataChange(Strict):
    """Hold what became of the rows, by their keys, and which columns moved more than chance would explain.

    `other_columns` are those that only one side has, or that have another type on each; they are compared no further.
    """

    base_rows: int
    candidate_rows: int
    added: int
    gone: int
    corrected: int
    corrected_columns: dict[str, int]
    other_columns: dict[str, Pair]
    moved: Annotated[tuple[Move, ...], Listed]


def changed(base: Mapping[str, Any], candidate: Mapping[str, Any]) -> dict[str, Pair]:
    """Return the values that differ, by their dotted keys; a value that one side lacks is None there."""
    old, new = dict(_flat(base)), dict(_flat(candidate))
    return {
        key: Pair(base=old.get(key), candidate=new.get(key))
        for key in sorted(old.keys() | new.keys())
        if key not in old or key not in new or old[key] != new[key]
    }


def data_change(base: pd.DataFrame, candidate: pd.DataFrame, contract: Contract, params: Bootstrap) -> DataChange:
    """Return what became of the rows of a table, and which of the contract's columns moved."""
    keys = contract.keys
    types = [{str(name): str(kind) for name, kind in table.dtypes.items()} for table in (base, candidate)]
    other = changed(*types)
    shared = [name for name in candidate.columns if name not in other]
    # Without the keys on both sides no row is known again.
    kept = _kept(base[shared], candidate[shared], keys) if set(keys) <= set(shared) else pd.DataFrame()
    held = [name for name in shared if name not in keys and name in kept]
    differs = pd.DataFrame({name: _unequal(kept[f"{name} before"], kept[name]) for name in held}, dtype=bool)
    columns = [*contract.features, contract.target]
    moved = [_move(base[c.name], candidate[c.name], c.name, c.type == "category", params) for c in columns
             if c.name in shared]  # fmt: skip
    return DataChange(
        base_rows=len(base),
        candidate_rows=len(candidate),
        added=len(candidate) - len(kept),
        gone=len(base) - len(kept),
        corrected=int(differs.any(axis=1).sum()),
        corrected_columns={str(name): int(count) for name, count in differs.sum().items() if count},
        other_columns=other,
        moved=tuple(sorted((m for m in moved if m.distance > m.by_chance), key=lambda m: (-m.distance, m.column))),
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        inner = isinstance(value, Mapping) and value
        found += _flat(value, f"{prefix}{key}.") if inner else [(f"{prefix}{key}", value)]
    return found


def _kept(base: pd.DataFrame, candidate: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return the rows that both tables have, a row of the one beside at most one of the other."""
    # Keys name one row in each side's own contract, not of need in the other's: what they name twice is told by order.
    tables = [table.assign(**{"which of them": table.groupby(keys).cumcount()}) for table in (base, candidate)]
    return tables[0].merge(tables[1], on=[*keys, "which of them"], suffixes=(" before", ""))


def _unequal(before: pd.Series, after: pd.Series) -> NDArray[np.bool_]:
    one, other = before.astype(object), after.astype(object)
    return np.asarray((one != other).fillna(True).astype(bool) & ~(one.isna() & other.isna()), dtype=np.bool_)


def _move(base: pd.Series, candidate: pd.Series, name: str, category: bool, params: Bootstrap) -> Move:
    """Return the move of one column. Rows that both tables hold make chance smaller than it is told, never larger."""
    before, after = base.dropna(), candidate.dropna()
    if not len(before) or not len(after):
        filled = [f"{len(part):,} filled cells" for part in (before, after)]
        moved = float(len(before) != len(after))
        return Move(column=name, distance=moved, by_chance=0.0, base=filled[0], candidate=filled[1])
    distance, by_chance = (_of_shares if category else _of_numbers)(before, after, params)
    words = [_shortly(part, category) for part in (before, after)]
    rounded = {"distance": round(distance, DECIMALS), "by_chance": round(by_chance, DECIMALS)}
    return Move(column=name, base=words[0], candidate=words[1], **rounded)


def _of_numbers(before: pd.Series, after: pd.Series, params: Bootstrap) -> tuple[float, float]:
    numbers = [part.astype(float).to_numpy() for part in (before, after)]
    sizes = len(before) * len(after) / (len(before) + len(after))
    by_chance = float(stats.kstwobign.ppf(params.level) / np.sqrt(sizes))
    return float(stats.ks_2samp(*numbers, method="asymp").statistic), by_chance


def _of_shares(before: pd.Series, after: pd.Series, params: Bootstrap) -> tuple[float, float]:
    counts = pd.concat([part.value_counts() for part in (before, after)], axis=1).to_numpy(
        dtype=np.float64, na_value=0.0
    )
    chance = np.random.default_rng(params.seed)
    pooled = counts.sum(axis=1) / counts.sum()
    one, other = (chance.multinomial(len(part), pooled, params.draws) / len(part) for part in (before, after))
    by_chance = float(np.quantile(np.abs(one - other).sum(axis=1) / 2, params.level))
    shares = counts / counts.sum(axis=0)
    return float(np.abs(shares[:, 0] - shares[:, 1]).sum() / 2), by_chance


def _shortly(values: pd.Series, category: bool) -> str:
    if not category:
        return f"median {values.astype(float).median():,.6g}"
    shares = values.value_counts(normalize=True, sort=True)
    return f"most often {shares.index[0]}, {shares.iloc[0]:.1%}"
