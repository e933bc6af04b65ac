"""Group refused rows by why they were refused, the most frequent reason first."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from pydantic import Field

from hearth.contract import Contract
from hearth.strict import Strict
from hearth.tables import REASONS


class Reason(Strict):
    """Hold a reason, how many rows have it, how many have no other, and some of them: their keys and the cells at fault."""

    reason: str
    rows: int = Field(ge=1)
    alone: int = Field(ge=0)  # rows that would be accepted if this were mended
    examples: tuple[dict[str, Any], ...]


def by_reason(refused: pd.DataFrame, contract: Contract, examples: int) -> list[Reason]:
    """Return the reasons of the rows in a quarantine, each with at most so many examples."""
    split = refused[REASONS].map(lambda said: said.split("; "))
    counts = split.map(len)
    long = pd.DataFrame({"row": split.index.repeat(counts), "said": [said for each in split for said in each]})
    long["reason"] = [_kind(said, contract) for said in long["said"]]
    long["alone"] = long["row"].map(counts).eq(1)
    found = []
    for reason, part in long.groupby("reason", sort=True):
        shown = [_example(refused.loc[row], str(reason), contract) for row in part["row"].head(examples)]
        found.append(
            Reason(
                reason=str(reason), rows=part["row"].nunique(), alone=int(part["alone"].sum()), examples=tuple(shown)
            )
        )
    return sorted(found, key=lambda one: (-one.rows, one.reason))


def _kind(said: str, contract: Contract) -> str:
    """Return a reason without the value that it is about: `bedrooms: 33, wanted ...` and `bedrooms: 40, wanted ...` are one."""
    column, _, rest = said.partition(": ")
    value, wanted, expected = rest.partition(", wanted ")
    if wanted and column in {one.name for one in contract.columns}:
        return f"{column}: {'empty, ' if value == 'empty' else ''}wanted {expected}"
    return said


def _example(row: "pd.Series[Any]", reason: str, contract: Contract) -> dict[str, Any]:
    """Return the keys of a row, and the cells that the reason names."""
    names: Sequence[str] = [column.name for column in contract.open]
    named = [name for name in names if name in reason.replace(":", " ").split()]
    return {name: _plain(row[name]) for name in dict.fromkeys([*contract.keys, *named])}


def _plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    if isinstance(value, pd.Timestamp):
        return str(value.date())
    return value.item() if hasattr(value, "item") else value
