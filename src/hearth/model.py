"""Fit the price model: an index, a regression, what the neighbours say, and boosted trees for the rest, with an interval."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hearth.contract import Contract
from hearth.estimators import Grown, Params, grow
from hearth.features import FeatureParams, beside, compute, feature_names, input_names, model_inputs
from hearth.graph import tree_graph
from hearth.hedonic import Hedonic, HedonicParams, fit_hedonic, residuals
from hearth.intervals import Interval, conformal_quantile, normalised
from hearth.market import MarketParams, PriceIndex, fit_index
from hearth.neighbours import NeighbourParams, Neighbours, table
from hearth.rules import Columns
from hearth.splitting import group_folds, rolling_origin
from hearth.strict import Strict
from hearth.trees import Ensemble, weighted

Floats = NDArray[np.float64]
Inputs = NDArray[np.float32]

LOG_DECIMALS = 9  # numpy's log differs in the last bit between CPU kernels; trees then would differ everywhere


class OutOfFold(Strict):
    """Hold how each training row is priced without itself: in how many folds, and by which quick trees."""

    folds: int = Field(ge=2, le=20)
    trees: Params


class ModelParams(Strict):
    """Hold the section `model` of params.yaml."""

    members: dict[str, Params] = Field(min_length=1)
    outlier_log: float = Field(gt=0)
    neighbour_folds: int = Field(ge=2, le=50)
    out_of_fold: OutOfFold
    seed: int = Field(ge=0, le=2**32 - 1)


class IntervalParams(Strict):
    """Hold the section `intervals` of params.yaml."""

    level: float = Field(gt=0.5, lt=1)
    folds: int = Field(ge=1)
    fold_days: int = Field(ge=7)
    margin: float = Field(ge=0)
    spread_min: float = Field(gt=0)
    spread: Params


class Recipe(Strict):
    """Hold the sections of params.yaml that make a model."""

    features: FeatureParams
    hedonic: HedonicParams
    market: MarketParams
    model: ModelParams
    intervals: IntervalParams


@dataclass(frozen=True)
class Prepared:
    """Hold what the trees learn from: inputs, target net of the offset, and what a row was priced at without itself."""

    index: PriceIndex
    hedonic: Hedonic
    explaining: list[int]  # which of the inputs the regression reads
    known: Neighbours | None
    inputs: Inputs
    target: Floats
    out_of_fold: Floats

    def offset(self, days: NDArray[np.datetime64], inputs: Inputs) -> Floats:
        """Return the log price before the trees (n_rows,): the market's level, and what the regression says of the house."""
        return self.index.level(days) + self.hedonic.value(inputs[:, self.explaining])


@dataclass(frozen=True)
class Fitted:
    """Hold a fitted model: all that a release is made from."""

    index: PriceIndex
    hedonic: Hedonic
    known: Neighbours | None
    price: "Blend"  # of the log price, net of index and regression
    spread: Grown  # of the size of the error that is to be expected, in log price
    interval: Interval
    n_inputs: int

    def graph(self) -> bytes:
        """Return price and spread as ONNX: column 0 and column 1."""
        return tree_graph([self.price.trees(), self.spread.trees], self.n_inputs)


@dataclass(frozen=True)
class Blend:
    """Hold members with their weights; the blend is their weighted mean."""

    members: tuple[tuple[float, Grown], ...]

    def predict(self, inputs: Inputs) -> Floats:
        """Return what the libraries themselves say (n_rows,)."""
        whole = sum(weight for weight, _ in self.members)
        return np.asarray(sum(w / whole * m.predict(inputs) for w, m in self.members), dtype=np.float64)

    def trees(self) -> Ensemble:
        """Return the blend as one ensemble."""
        return weighted([(weight, member.trees) for weight, member in self.members])


def log_price(price: NDArray[np.generic]) -> Floats:
    """Return the logarithm that the model learns, rounded so that it is the same on every machine."""
    return np.asarray(np.round(np.log(price.astype(np.float64)), LOG_DECIMALS), dtype=np.float64)


def fit(columns: Columns, contract: Contract, recipe: Recipe) -> Fitted:
    """Fit on all rows; calibrate the interval on rolling-origin folds, each predicted by a fit on the rows before it.

    Raise ValueError where the params do not suit the rows.
    """
    scores = []
    doubt = recipe.intervals
    for before, judge in rolling_origin(columns[contract.time.name], doubt.folds, doubt.fold_days):
        ready, later = prepare(_rows(columns, before), contract, recipe), _rows(columns, judge)
        price, spread = ensembles(ready, recipe)
        inputs = model_inputs(later, contract, recipe.features, ready.known)
        expected = ready.offset(later[contract.time.name], inputs) + price.predict(inputs)
        residual = log_price(later[contract.target.name]) - expected
        scores.append(normalised(residual, spread.predict(inputs), doubt.spread_min))
    factor = round(conformal_quantile(np.concatenate(scores), doubt.level), LOG_DECIMALS)
    ready = prepare(columns, contract, recipe)
    price, spread = ensembles(ready, recipe)
    interval = Interval(level=doubt.level, factor=factor, margin=doubt.margin, spread_min=doubt.spread_min)
    return Fitted(ready.index, ready.hedonic, ready.known, price, spread, interval, ready.inputs.shape[1])


def prepare(columns: Columns, contract: Contract, recipe: Recipe) -> Prepared:
    """Return what the trees learn from; no row's inputs know its own price, nor that of another sale of its house."""
    own = compute(columns, contract, recipe.features)
    days, houses = columns[contract.time.name], _houses(columns, contract)
    explaining = _explaining(own, contract, recipe)
    groups = columns[recipe.hedonic.group]
    price = log_price(columns[contract.target.name])
    index = fit_index(days, residuals(explaining, groups, price, recipe.hedonic)[1], recipe.market)
    relative = price - index.level(days)
    hedonic = fit_hedonic(explaining, groups, relative, recipe.hedonic)
    known, inputs = None, own
    if recipe.features.neighbours:
        known, near = _neighbours(columns, contract, explaining, relative, recipe)
        inputs = beside(own, near)

    def explained(by: Hedonic, rows: NDArray[np.int64]) -> Floats:
        return by.value(explaining[rows][:, by.among(recipe.hedonic.inputs)])

    alone = np.full(len(relative), np.nan)
    for fit, judge in group_folds(houses, recipe.model.out_of_fold.folds, recipe.model.seed + 1):
        other = fit_hedonic(explaining[fit], groups[fit], relative[fit], recipe.hedonic)
        grown = grow(inputs[fit], relative[fit] - explained(other, fit), recipe.model.out_of_fold.trees)
        alone[judge] = explained(other, judge) + grown.predict(inputs[judge])
    if np.isnan(alone).any():
        raise ValueError("model.out_of_fold.folds leaves rows unpriced: too few houses; use more rows")
    whole = explained(hedonic, np.arange(len(relative)))
    places = hedonic.among(feature_names(contract, recipe.features))
    return Prepared(index, hedonic, places, known, inputs, relative - whole, alone - whole)


def ensembles(ready: Prepared, recipe: Recipe) -> tuple[Blend, Grown]:
    """Return the trees of the price and those of the spread."""
    members = tuple(
        (params.weight, grow_member(ready, params, recipe.model.outlier_log))
        for params in recipe.model.members.values()
    )
    spread = grow(ready.inputs, np.abs(ready.target - ready.out_of_fold), recipe.intervals.spread)
    return Blend(members), spread


def grow_member(ready: Prepared, params: Params, outlier_log: float) -> Grown:
    """Return the trees of one member of the blend.

    For squared loss a sale further than `outlier_log` from what the house was priced at without it counts as so far
    away: squared errors would follow a gift between relatives, or a flip, into its neighbourhood (winsorising; Tukey
    1962).
    """
    target = ready.target
    if params.loss == "squared":
        target = np.clip(target, ready.out_of_fold - outlier_log, ready.out_of_fold + outlier_log)
    return grow(ready.inputs, target, params)


def check_names(contract: Contract, recipe: Recipe) -> None:
    """Raise ValueError where params.yaml names a column or an input that there is not."""
    own = feature_names(contract, recipe.features)
    input_names(contract, recipe.features)
    for name in recipe.hedonic.inputs:
        if name not in own:
            raise ValueError(f"hedonic.inputs: {name!r} is none of the model's own inputs: {', '.join(own)}")
    if recipe.hedonic.group not in (column.name for column in contract.features):
        raise ValueError(f"hedonic.group: {recipe.hedonic.group!r} is no feature of the contract")


def _neighbours(
    columns: Columns, contract: Contract, explaining: Floats, target: Floats, recipe: Recipe
) -> tuple[Neighbours, Floats]:
    """Return the known sales, and for each row what its neighbours say: those of other folds, without its own house.

    Not leave-one-out: the mean of all others is lower exactly where the row itself is dear, so trees would read a row's
    own price off its neighbours. The flag of an earlier sale is no mean, and looks at all known sales. A sale further than
    `outlier_log` from houses alike in its group counts as so far away: a gift would make a street cheap.
    """
    params: NeighbourParams = recipe.features.neighbours  # type: ignore[assignment]  # the caller asks first
    time, groups, own = contract.time.name, columns[recipe.hedonic.group], explaining
    limit = params.outlier_log

    def known(rows: NDArray[np.int64]) -> Neighbours:
        left, beyond = residuals(own[rows], groups[rows], target[rows], recipe.hedonic)
        left += np.clip(beyond, -limit, limit) - beyond
        return Neighbours(table(_rows(columns, rows), time, left, params), params)

    whole = known(np.arange(len(target)))
    near = np.full((len(target), len(params.names)), np.nan)
    for fit, judge in group_folds(_houses(columns, contract), recipe.model.neighbour_folds, recipe.model.seed):
        near[judge] = known(fit).inputs(_rows(columns, judge), time)
    near[:, -1] = whole.sold_before(columns, time)
    return whole, near


def _explaining(own: Inputs, contract: Contract, recipe: Recipe) -> Floats:
    names = feature_names(contract, recipe.features)
    return own[:, [names.index(name) for name in recipe.hedonic.inputs]].astype(np.float64)


def _houses(columns: Columns, contract: Contract) -> NDArray[np.generic]:
    keys = [columns[column.name] for column in contract.of("key")]
    return np.asarray(keys[0]) if len(keys) == 1 else np.unique(np.stack([k.astype(str) for k in keys]), axis=1, return_inverse=True)[1]  # fmt: skip


def _rows(columns: Columns, rows: NDArray[np.int64]) -> Columns:
    return {name: values[rows] for name, values in columns.items()}
