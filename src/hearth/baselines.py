"""Predict the way a person with a table would: the figures that the model has to beat."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from sklearn.linear_model import Ridge

from hearth.rules import Columns
from hearth.scoring import Floats
from hearth.strict import Strict

# The baselines of every run. RIDGE is the simpler model that is released in words if the model is not provably better.
MEDIAN, GROUP_MEDIAN, LAST_SALE, RIDGE = "median", "group_median", "last_sale", "ridge"
BASELINES = (MEDIAN, GROUP_MEDIAN, LAST_SALE, RIDGE)


class RidgeParams(Strict):
    """Hold what the ridge regression needs: its penalty, and from which maximum / minimum on a column is logged."""

    penalty: float = Field(ge=0)
    logged_from: float = Field(gt=1)


def median_by_group(train: Columns, test: Columns, target: str, group: str, area: str) -> Floats:
    """Return for each test row the group's median of target per area in the training rows, times its own area.

    A group without training rows takes the median of all of them.
    """
    per_area = pd.Series(train[target] / train[area])
    by_group = per_area.groupby(train[group]).median()
    rate = pd.Series(test[group]).map(by_group).fillna(per_area.median())
    return np.asarray(rate.to_numpy(dtype=np.float64) * test[area], dtype=np.float64)


def overall_median(train: Columns, target: str, rows: int) -> Floats:
    """Return the median target of the training rows, `rows` times."""
    return np.full(rows, float(np.median(train[target])))


def last_sale(train: Columns, test: Columns, target: str, keys: Sequence[str], time: str) -> Floats:
    """Return for each test row the target at the newest training sale of the same `keys`; NaN where there is none."""
    known = pd.DataFrame({name: train[name] for name in (*keys, time, target)}).sort_values(time, kind="stable")
    newest = known.drop_duplicates(list(keys), keep="last")
    asked = pd.DataFrame({name: test[name] for name in keys})
    return np.asarray(asked.merge(newest, how="left", on=list(keys))[target], dtype=np.float64)


def ridge(
    train: Columns, test: Columns, target: str, numbers: Sequence[str], group: str, params: RidgeParams
) -> Floats:
    """Return the predictions of a ridge regression of the log target on `numbers` and one-hot columns of `group`.

    A day counts as a number of days. A strictly positive column whose largest training value is at least
    `logged_from` times its smallest enters as its logarithm. Empty cells take the training median, columns are
    standardised with the training rows, a group that they lack has no column. Source: Hoerl and Kennard (1970),
    Ridge regression, Technometrics 12.
    """
    inputs = [_standardised(_number(train[name]), _number(test[name]), params.logged_from) for name in numbers]
    levels = np.asarray(pd.Series(train[group]).dropna().unique())
    before, after = (
        np.column_stack([*(pair[side] for pair in inputs), _one_hot(rows[group], levels)])
        for side, rows in enumerate((train, test))
    )
    fitted = Ridge(alpha=params.penalty, solver="cholesky").fit(before, np.log(train[target]))
    return np.asarray(np.exp(fitted.predict(after)), dtype=np.float64)


def _number(values: NDArray[np.generic]) -> Floats:
    days = values.astype("datetime64[D]").astype(np.int64) if values.dtype.kind == "M" else values
    return np.asarray(days, dtype=np.float64)


def _standardised(train: Floats, test: Floats, logged_from: float) -> tuple[Floats, Floats]:
    lowest, highest = np.nanmin(train), np.nanmax(train)
    if lowest > 0 and highest >= logged_from * lowest:
        train, test = np.log(train), np.log(np.maximum(test, lowest))
    middle = np.nanmedian(train)
    train, test = np.where(np.isnan(train), middle, train), np.where(np.isnan(test), middle, test)
    spread = np.std(train) or 1.0  # a column of one value says nothing, and stays zero
    return (train - np.mean(train)) / spread, (test - np.mean(train)) / spread


def _one_hot(values: NDArray[np.generic], levels: NDArray[np.generic]) -> Floats:
    return np.asarray(values[:, None] == levels[None, :], dtype=np.float64)
