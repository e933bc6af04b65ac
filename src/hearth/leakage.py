"""Find what gives the answer away, so that the road stops before a model is fitted.

The marks L1.4 to L3.2 name the kinds of Kapoor and Narayanan (2023), Leakage and the reproducibility crisis in
machine-learning-based science, Patterns 4(9). Of their eight, `prepare` refuses a split without test rows (L1.1), a
feature depends on its row alone (L1.2, L1.3), and whether the test rows stand for the use (L3.3) is a person's to judge.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from hearth.contract import Contract
from hearth.features import DERIVED, FeatureParams, compute, feature_names
from hearth.rules import Columns
from hearth.strict import Strict

Numbers = NDArray[np.float64]

BINS, BIN_ROWS = 100, 20  # of one input: fine enough for any smooth relation; fewer rows make a bin's mean a guess
PARTS_ROWS = 4000  # so many rows, or up to twice as many, show whether columns add up
NEARLY_ALL = 0.9  # a column that is filled in fewer rows is no part of a sum that holds for nearly all
ROUNDS, KEPT = 4, 0.75  # of the robust fit; the share of the rows that a round keeps
ROWS_PER_TERM = 5  # with fewer, a fit is nearer to the rows than to a law
NAMING_ROWS = 3000  # in fewer rows, areas in square feet are as good as distinct
SIGMAS = 3  # what lies within so many standard deviations of chance proves nothing


class LeakageParams(Strict):
    """Hold the section `leakage` of params.yaml."""

    single_r2_max: float = Field(gt=0, lt=1)
    parts_error_min: float = Field(gt=0, lt=1)
    duplicate_share_max: float = Field(ge=0, lt=1)
    group_share_max: float = Field(ge=0, le=1)
    order_rank_max: float = Field(gt=0, le=1)
    distinct_share_max: float = Field(gt=0, le=1)
    missing_auc_max: float = Field(gt=0.5, le=1)


@dataclass(frozen=True)
class Case:
    """Hold what is examined; `inputs` and `target` are what a model would see of the training rows, NaN for empty."""

    train: Columns
    test: Columns
    contract: Contract
    recipe: FeatureParams
    params: LeakageParams
    inputs: pd.DataFrame
    target: Numbers

    @cached_property
    def numeric(self) -> pd.DataFrame:
        """Return the inputs but for categories, whose order means nothing."""
        return self.inputs.drop(columns=[column.name for column in self.contract.features if column.categories])

    @cached_property
    def powers(self) -> dict[str, float]:
        """Return for each input the share of the log target that it explains, by bins on other rows or by rank."""
        ranks = self.rank_correlations(self.contract.target.name)
        found = {str(n): _held_out_r2(self.inputs[n], np.log(self.target), n in ranks) for n in self.inputs}
        return {name: max(r2, ranks.get(name, 0) ** 2) for name, r2 in found.items()}

    def rank_correlations(self, column: str) -> dict[str, float]:
        """Return what each numeric input's rank correlation with a column is at least: Fisher's (1915) bound, 0 or more."""
        sizes = self.numeric.rank().corrwith(pd.Series(self.train[column]).rank()).abs().fillna(0).to_numpy()
        rows = np.maximum(self.numeric.count().to_numpy(), 4)
        least = np.arctanh(np.minimum(sizes, 1 - 0.5 / rows)) - SIGMAS / np.sqrt(rows - 3)  # few rows agree by chance
        return dict(zip(map(str, self.numeric), np.tanh(np.maximum(least, 0)).tolist(), strict=True))

    def shared(self, names: list[str], limit: float) -> str:
        """Say how many test rows have the same cells as a training row, if clearly more than `limit`, a share."""
        old, new = (pd.util.hash_pandas_object(_frame(rows, names), index=False) for rows in (self.train, self.test))
        same, rows = int(new.isin(old).sum()), len(new)
        clear = same > rows * limit + SIGMAS * np.sqrt(rows * limit * (1 - limit))
        return f"{same:,} of {rows:,} test rows ({same / rows:.1%}) have the" if clear else ""

    def fault(self, what: str, limit: str, name: str = "", step: str = "") -> str:
        """Return a sentence with the limit's key and value; the step is to keep the input `name` from the model."""
        raw = name in (column.name for column in self.contract.columns)
        out = f"give {name} the role ignored in data/contract.yaml" if raw else f"take {name} out of features.derived"
        return f"{what}; leakage.{limit} is {getattr(self.params, limit):g}: {step or out}."


def find_leaks(
    train: Columns, test: Columns, contract: Contract, recipe: FeatureParams, params: LeakageParams
) -> list[str]:
    """Return a sentence per leak: column, figure, limit and next step; none if clean. The order of rows is no matter."""
    if not len(train[contract.target.name]) or not len(test[contract.target.name]):
        return ["No training rows or no test rows, so no leak can be ruled out: set split.test_from anew."]
    barred = find_barred(contract, recipe)
    recipe = recipe.model_copy(update={"derived": tuple(name for name in recipe.derived if name not in barred)})
    by = [contract.time.name, *contract.keys]  # in time's order, every other row is half of each month
    order = _frame(train, contract.keys).sort_values(by, kind="stable").index.to_numpy()
    train = {name: values[order] for name, values in train.items()}
    inputs = pd.DataFrame(compute(train, contract, recipe).astype(np.float64), columns=feature_names(contract, recipe))
    inputs, target = inputs.replace([np.inf, -np.inf], np.nan), train[contract.target.name].astype(np.float64)
    case = Case(train, test, contract, recipe, params, inputs, target)
    detectors = (find_time_disorder, find_duplicates, find_groups, find_alone, find_parts, find_order, find_names,
                 find_missing)  # fmt: skip
    return [*barred.values(), *(fault for detector in detectors for fault in detector(case))]


def find_barred(contract: Contract, recipe: FeatureParams) -> dict[str, str]:
    """Say which derived features read the target, a key or another column that no request gives (L2)."""
    roles = {column.name: column.role for column in contract.columns}
    reads = ((name, column, roles.get(column)) for name in recipe.derived for column in DERIVED[name].columns)
    said = "{} reads {} (role in data/contract.yaml: {}), only feature and time are allowed: take it out of features.derived."
    return {name: said.format(name, column, role) for name, column, role in reads if role not in ("feature", "time")}


def find_time_disorder(case: Case) -> list[str]:
    """Say if a test row is no later than every training row (L3.1)."""
    time = case.contract.time.name
    days, newest, oldest = case.test[time], case.train[time].max(), case.test[time].min()
    said = (f"{time}: the newest training row is of {newest}, the oldest test row of {oldest}, so {(days <= newest).sum():,} of "
            f"{len(days):,} test rows are no later than all training rows; 0 are allowed: split by split.test_from.")  # fmt: skip
    return [] if newest < oldest else [said]  # NaT is not less: an unknown day is a fault


def find_duplicates(case: Case) -> list[str]:
    """Say if training rows are copies of test rows: the same keys, or all features and the target alike (L1.4)."""
    step = "take the copies out of the training rows"
    same, keys = case.shared(case.contract.keys, 0), " and ".join(case.contract.keys)
    found = [f"{same} {keys} of a training row; 0 are allowed: {step}."] if same else []
    cells = [column.name for column in case.contract.of("feature", "target")]
    alike = case.shared(cells, case.params.duplicate_share_max)
    what = f"{alike} {case.contract.target.name} and all features of a training row"
    return found + ([case.fault(what, "duplicate_share_max", step=step)] if alike else [])


def find_groups(case: Case) -> list[str]:
    """Say if too many test rows are of a group, such as one house, that the training rows have too (L3.2)."""
    keys = [column.name for column in case.contract.of("key")]
    step = "keep each group on one side, or raise the limit if as many come back in use"
    shared = case.shared(keys, case.params.group_share_max)
    what = f"{shared} {' and '.join(keys)} of a training row, whatever the {case.contract.time.name}"
    return [case.fault(what, "group_share_max", step=step)] if shared else []


def find_alone(case: Case) -> list[str]:
    """Say which inputs tell the target alone, as what is known only after the sale does (L2)."""
    what = f"{{}} alone explains at least {{:.1%}} of the log of {case.contract.target.name}, as if known only after the sale"
    return [case.fault(what.format(name, power), "single_r2_max", name)
            for name, power in case.powers.items() if power > case.params.single_r2_max]  # fmt: skip


def find_parts(case: Case) -> list[str]:
    """Say which numeric inputs add up or multiply to the target, or to its log, for nearly all rows (L2).

    One linear fit finds any sum or difference, one in logs any product or ratio. What tells the target alone is left out.
    """
    limit, step = case.params.parts_error_min, max(1, len(case.target) // PARTS_ROWS)
    accused = [str(name) for name in case.numeric if case.powers[str(name)] > case.params.single_r2_max]
    free = case.numeric.drop(columns=accused).iloc[::step]
    for words, in_logs in (("add up", False), ("multiply, or add up in logs,", True)):
        error = _parts_error(free, case.target[::step], in_logs)
        for name in reversed(list(free) if error <= limit else []):  # derived inputs go first: name the columns
            without = _parts_error(free.drop(columns=name), case.target[::step], in_logs)
            free, error = (free.drop(columns=name), without) if without <= limit else (free, error)
        if error <= limit and len(free.columns):  # a constant target needs no input
            what = f"{' and '.join(map(str, free))} {words} to {case.contract.target.name}, with a median error of {error:.2%}"
            return [case.fault(what, "parts_error_min", str(free.columns[-1]))]
    return []


def find_order(case: Case) -> list[str]:
    """Say which inputs carry the order of the sales or of a key; features of the time alone may (L2)."""
    clocks = {name for name in case.recipe.derived if set(DERIVED[name].columns) <= {case.contract.time.name}}
    sizes = pd.DataFrame({key: case.rank_correlations(key) for key in case.contract.keys})
    sizes = sizes.drop(index=list(clocks & set(sizes.index)))
    what = "{} follows {} with a rank correlation of at least {:.3f}"
    return [case.fault(what.format(name, row.idxmax(), row.max()), "order_rank_max", str(name))
            for name, row in sizes.iterrows() if row.max() > case.params.order_rank_max]  # fmt: skip


def find_names(case: Case) -> list[str]:
    """Say which columns of whole numbers name a group rather than measure it (L2); in a small table none can be told."""
    groups = len(_frame(case.train, [column.name for column in case.contract.of("key")]).drop_duplicates())
    whole = [column.name for column in case.contract.features if column.type == "integer"]
    shares = {name: len(np.unique(case.train[name])) / max(groups, NAMING_ROWS) for name in whole}
    what = "{} has {:.1%} as many values as there are keys, so it names them"
    return [case.fault(what.format(name, share), "distinct_share_max", name)
            for name, share in shares.items() if share > case.params.distinct_share_max]  # fmt: skip


def find_missing(case: Case) -> list[str]:
    """Say where empty cells tell a high target from a low one, by Mann and Whitney's (1947) area under the curve (L2)."""
    ranks, rows = pd.Series(case.target).rank(), len(case.target)
    found: dict[bytes, str] = {}
    for name, empty in case.inputs.isna().items():
        count = int(empty.sum())
        if pairs := count * (rows - count):
            area = float(ranks[empty].sum() - count * (count + 1) / 2) / pairs
            size, side = max((area, "high"), (1 - area, "low"))
            if size > max(case.params.missing_auc_max, 0.5 + SIGMAS * np.sqrt((rows + 1) / (12 * pairs))):
                what = f"{name} is empty where {case.contract.target.name} is {side}, in {count:,} of {rows:,} rows"
                fault = case.fault(f"{what}, with an area of {size:.3f}", "missing_auc_max", str(name))
                found.setdefault(empty.to_numpy().tobytes(), fault)  # derived inputs repeat the holes of their columns
    return list(found.values())


def _frame(columns: Columns, names: list[str]) -> pd.DataFrame:
    numbers = {name for name in names if columns[name].dtype.kind in "biuf"}  # 1 and 1.0 are to be the same
    return pd.DataFrame({name: columns[name].astype(float) if name in numbers else columns[name] for name in names})


def _held_out_r2(values: "pd.Series[float]", goal: Numbers, ordered: bool) -> float:
    """Return R² on the odd rows of the mean goal of the even rows in the same bin; empty is a bin."""
    bins = min(BINS, len(values) // (2 * BIN_ROWS))
    places = (values.rank(pct=True).mul(bins).floordiv(1) if ordered else values).fillna(-1)
    means = pd.Series(goal[::2]).groupby(places[::2].to_numpy()).mean()
    guess = places[1::2].map(means).fillna(goal[::2].mean()).to_numpy()
    total = float(((goal[1::2] - goal[::2].mean()) ** 2).sum())
    return 1 - float(((goal[1::2] - guess) ** 2).sum()) / total if bins and total > 1e-9 else 0.0


def _parts_error(inputs: pd.DataFrame, target: Numbers, in_logs: bool) -> float:
    """Return the median relative error on the odd rows of a fit to the even rows; infinity where rows are too few.

    The fit is by least trimmed squares with concentration steps: Rousseeuw and Van Driessen (2006), Computing LTS
    regression for large data sets, Data Mining and Knowledge Discovery 12(1).
    """
    values = inputs.to_numpy()
    terms = np.column_stack([values, np.log(np.where(values > 0, values, np.nan))]) if in_logs else values
    terms = terms[:, np.isfinite(terms).mean(axis=0) >= NEARLY_ALL]
    whole = np.isfinite(terms).all(axis=1)
    terms, target = terms[whole], target[whole]
    if len(target) < ROWS_PER_TERM * (terms.shape[1] + 1):
        return np.inf
    low, middle, high = np.quantile(terms, (0.25, 0.5, 0.75), axis=0)
    spread = np.where(high > low, high - low, np.maximum(terms.std(axis=0), 1e-12))
    terms = np.column_stack([np.ones(len(terms)), (terms - middle) / spread])
    design, goal = (terms, np.log(target)) if in_logs else (terms / target[:, None], np.ones(len(target)))
    errors = np.abs(terms).max(axis=1)  # the first round leaves out the strangest rows, the others those that fit worst
    for _ in range(ROUNDS):
        rows = np.flatnonzero(errors[::2] <= np.quantile(errors[::2], KEPT)) * 2
        moments = design[rows].T @ design[rows], design[rows].T @ goal[rows]
        errors = np.abs(design @ np.linalg.lstsq(*moments, rcond=1e-12)[0] - goal)
    return float(np.median(errors[1::2]))
