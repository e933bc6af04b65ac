"""Judge a comparison by margins: say where the candidate is provably worse than is allowed, and where it may be.

A test of non-inferiority, as trials of medicines use it: the whole interval of the difference has to lie below the margin.
"""

from hearth.comparison import Comparison, Difference
from hearth.releases import ReleaseParams


def judged(found: Comparison, params: ReleaseParams) -> tuple[list[str], list[str]]:
    """Return the hard reasons against a candidate, and the doubts that a person may override with a reason.

    It is hard that the whole interval of a difference lies beyond its margin: the candidate is provably worse than is
    allowed. It is a doubt that a part of it does.
    """
    hard: list[str] = []
    doubts: list[str] = []
    for name, difference in found.differences.items():
        _sort(name, difference, getattr(params.margins, name), hard, doubts)
    for part in found.slices:
        if part.rows >= params.slice_rows_min:
            for name in ("mdape", "rmse_log"):
                where = f"{name} of slice {part.slice} {part.group} ({part.rows:,} sales)"
                _sort(where, getattr(part, name), getattr(params.slice_margins, name), hard, doubts)
    if not any(part.rows >= params.slice_rows_min for part in found.slices):
        doubts.append(f"no slice has {params.slice_rows_min} rows (releases.slice_rows_min), so none was compared")
    return hard, doubts


def _sort(what: str, found: Difference, margin: float, hard: list[str], doubts: list[str]) -> None:
    low, high = found.worse_by
    if high <= margin:
        return
    figures = f"{found.base:.4f} became {found.candidate:.4f}"
    if low > margin:
        hard.append(f"{what} is worse by {low:.4f} to {high:.4f}, allowed is {margin:g}: {figures}")
    else:
        doubts.append(f"{what} may be worse by up to {high:.4f}, allowed is {margin:g}: {figures}")
