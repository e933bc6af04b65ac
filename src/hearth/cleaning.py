"""Bring accepted rows into the one order and shape that the model learns from."""

import pandas as pd

from hearth.contract import Column, Contract


def kept_columns(contract: Contract) -> tuple[Column, ...]:
    """Return the columns of the prepared tables: what names a sale, when it was, what it was and what it cost."""
    return contract.of("key", "time", "target", "feature")


def clean(rows: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Return the kept columns, sorted by day and key: the source's order must not move a bit of the model."""
    time, keys = contract.time.name, contract.keys
    ordered = rows.sort_values([time, *(key for key in keys if key != time)], kind="stable", ignore_index=True)
    return ordered[[column.name for column in kept_columns(contract)]]
