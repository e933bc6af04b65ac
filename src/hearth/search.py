"""Search the test rows for groups, named by no one, in which the model errs more than elsewhere.

Sources: Chung et al. (2019), Slice Finder: Automated data slicing for model validation, ICDE, for the cells and Welch's
test; Benjamini and Hochberg (1995), J. R. Stat. Soc. B 57, for what a thousand tests at once do to a p-value.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats  # type: ignore[import-untyped]

from hearth.cuts import labels, numeric_first
from hearth.rules import Columns
from hearth.scoring import Floats
from hearth.slices import Search


def worst(
    columns: Columns, scored: Mapping[str, Floats], numbers: Sequence[str], levels: Sequence[str], params: Search
) -> tuple[list[dict[str, Any]], int]:
    """Return the worst groups of test rows that no one named, worst mdape first, and how many groups were tried.

    Groups are cut by one column and by each pair of them: `numbers` into bins of equal counts, or by value if there are
    few, `levels` by value. A group counts if its mean |log error| is above that of all other rows by Welch's test,
    one-sided, at an adjusted p of at most `p_max`: among a thousand groups some look bad by chance. A group is told
    only if at least half of its rows are in none that is worse.
    """
    names, member = _cells(columns, numbers, levels, params)
    pairs, p_values = _tested(member, np.abs(np.log(scored["predicted"] / scored["actual"])), params.rows_min)
    if not len(pairs):
        return [], 0
    adjusted = stats.false_discovery_control(p_values, method="bh")
    error = np.abs(scored["predicted"] / scored["actual"] - 1)
    found = []
    for place in np.flatnonzero(adjusted <= params.p_max).tolist():
        rows = member[:, pairs[place, 0]] & member[:, pairs[place, 1]]
        found.append((-float(np.median(error[rows])), place, rows))
    kept: list[tuple[int, NDArray[np.bool_]]] = []
    covered = np.zeros(len(error), dtype=bool)
    for _, place, rows in sorted(found, key=lambda entry: entry[:2]):
        if len(kept) < params.shown and 2 * (rows & covered).sum() <= rows.sum():
            kept.append((place, rows))
            covered |= rows
    return [_told(names, pairs[place], rows, error, float(adjusted[place])) for place, rows in kept], len(pairs)


def _cells(
    columns: Columns, numbers: Sequence[str], levels: Sequence[str], params: Search
) -> tuple[list[tuple[str, str]], NDArray[np.bool_]]:
    """Return (column, group) of each cell and which rows are in it (n_rows, n_cells)."""
    names, members = [], []
    edges: tuple[float, ...]
    for column in (*numbers, *levels):
        values, edges = columns[column], ()
        if column in numbers and len(np.unique(values[~np.isnan(values)])) > params.levels_max:
            # Edges are values of the table, so that their names are short.
            cuts = np.nanquantile(values, np.arange(1, params.bins) / params.bins, method="higher")
            edges = tuple(float(cut) for cut in np.unique(cuts[cuts > np.nanmin(values)]))
        groups = np.array(labels(values, edges))
        for group in sorted(set(groups.tolist()), key=numeric_first):
            names.append((column, str(group)))
            members.append(groups == group)
    return names, np.column_stack(members)


def _tested(member: NDArray[np.bool_], loss: Floats, rows_min: int) -> tuple[NDArray[np.int64], Floats]:
    """Return the pairs of cells that are worth a test (n, 2), a cell with itself among them, and their p-values.

    A pair has to be worse than the remainder of each of its cells too, or a bad cell would come back with every other
    column; its p is the largest of the three (an intersection-union test).
    """
    ones = member.astype(np.float64)
    powers = np.stack([np.ones(len(loss)), loss, loss**2])
    moments = np.stack([ones.T @ (ones * power[:, None]) for power in powers])  # rows, sum and squares of each pair
    alone, whole = np.diagonal(moments, axis1=1, axis2=2), powers.sum(axis=1)[:, None]
    count, single = moments[0], np.eye(len(alone[0]), dtype=bool)
    remainder = np.minimum(alone[0][:, None], alone[0][None, :]) - count
    enough = (count >= rows_min) & (whole[0] - count >= rows_min) & (single | (remainder >= rows_min))
    first, second = np.nonzero(np.triu(enough))
    own = moments[:, first, second]
    p_values = _welch(own, whole - own)
    pair = first != second
    for cell in (first[pair], second[pair]):
        p_values[pair] = np.maximum(p_values[pair], _welch(own[:, pair], alone[:, cell] - own[:, pair]))
    return np.column_stack([first, second]), p_values


def _welch(own: Floats, other: Floats) -> Floats:
    """Return the one-sided p-values of Welch's test that the mean of `own` is above that of `other`; rows, sum, squares."""
    means = [sums / rows for rows, sums, _ in (own, other)]
    spreads = [
        np.maximum(squares / rows - mean**2, 0) / (rows - 1)
        for (rows, _, squares), mean in zip((own, other), means, strict=True)
    ]
    spread = np.maximum(spreads[0] + spreads[1], 1e-300)  # equal errors everywhere have none
    freedom = spread**2 / np.maximum(spreads[0] ** 2 / (own[0] - 1) + spreads[1] ** 2 / (other[0] - 1), 1e-300)
    return np.asarray(stats.t.sf((means[0] - means[1]) / np.sqrt(spread), np.maximum(freedom, 1)), dtype=np.float64)


def _told(
    names: Sequence[tuple[str, str]], pair: NDArray[np.int64], rows: NDArray[np.bool_], error: Floats, p: float
) -> dict[str, Any]:
    cut = [names[place] for place in sorted(set(pair.tolist()))]
    return {
        "slice": " × ".join(column for column, _ in cut),
        "group": " × ".join(group for _, group in cut),
        "rows": int(rows.sum()),
        "mdape": round(float(np.median(error[rows])), 6),
        "rest_mdape": round(float(np.median(error[~rows])), 6),
        "adjusted_p": round(p, 6),
    }
