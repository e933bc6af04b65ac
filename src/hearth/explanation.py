"""Explain prices: what each column of a house adds to the price of a typical house, and which columns matter at all.

Columns are those of the contract, not the model's inputs: the release itself derives the inputs of every house that is
priced here. Columns that only make sense together move together, so that no impossible house is priced.
"""

import itertools
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hearth.contract import Contract
from hearth.release import Release
from hearth.rules import Columns

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Group = tuple[str, ...]
Ties = Iterable[Collection[str]]

PLACE = ("zipcode", "lat", "long")  # one place; a house of one postal code at the coordinates of another is none
# Most steps that one explanation takes. About two thirds lead to distinct houses, 270 prices, and the standard error is
# then about 1 % of the largest contribution. Half the error costs four times as much.
STEPS_MAX = 400
SEED = 20150301
MIXED_MAX = 10  # groups of one check whose mixtures are tried; more of them move together
EXACT = 1e-9  # share of the price by which sums in floating point may differ
SERVED = 1e-6  # share by which a price rounded to seven digits, or priced in a batch, may differ


@dataclass(frozen=True)
class Contribution:
    """Hold what a group of columns adds to the typical price: in the target's unit, and as a factor in percent."""

    columns: Group
    amount: float
    percent: float
    standard_error: float  # of the amount, from the sampling; 0 where every order was tried


@dataclass(frozen=True)
class Explanation:
    """Hold a price with its interval as served, the price unrounded, and what leads to it from the typical price."""

    price: float
    low: float
    high: float
    exact: float
    base: float  # mean price of the reference houses: base + all amounts = exact
    base_factor: float  # their geometric mean, the same for a single one: base_factor × all (1 + percent / 100) = exact
    contributions: tuple[Contribution, ...]


@dataclass(frozen=True)
class Importance:
    """Hold by how much the error of the log price rises without a group of columns: mean and spread over shuffles."""

    columns: Group
    rise: float
    spread: float


def groups(contract: Contract, together: Ties = (PLACE,)) -> tuple[Group, ...]:
    """Return the features and the time in groups: what shares a refusing check of features, and what is `together`.

    A check that reads the time binds only where it would break, see `explain`; else the market and age were one.
    """
    names = [column.name for column in contract.features]
    ties = [check.compiled.names for check in contract.refusing(set(names))]
    order = [column.name for column in contract.columns if column.name in {*names, contract.time.name}]
    return _joined([(name,) for name in order], [*ties, *together], order)


def explain(
    release: Release, house: Columns, reference: Columns, *, steps_max: int = STEPS_MAX, together: Ties = (PLACE,)
) -> Explanation:
    """Return what each group of columns adds to the price of `reference` (one row or a few) to make that of `house` (one row).

    A contribution is the Shapley value of replacing the reference's columns by the house's, in random orders, each
    tried forwards and backwards, all priced in one batch; where there are few orders, all of them. A date that is
    left out is the release's as_of. The same house gets the same answer.
    Source: Castro, Gómez, Tejada (2009), Polynomial calculation of the Shapley value based on sampling; Mitchell,
    Cooper, Frank, Holmes (2022), Sampling permutations for Shapley value estimation (antithetic sampling).
    """
    house, reference = _dated(house, release), _dated(reference, release)
    rows, count = len(house[release.contract.time.name]), len(reference[release.contract.time.name])
    if rows != 1 or not count:
        raise ValueError(f"one house and at least one reference are explained at a time, not {rows} and {count}")
    moved = _bound(groups(release.contract, together), release.contract, house, reference)
    active = [group for group in moved if _differs(group, house, reference)] or [moved[0]]
    orders, all_of_them = _orders(len(active), max(2, steps_max // (2 * len(active) * count)))
    walk, log_walk = _walks(release, house, reference, active, orders)
    amounts, logs = _moves(walk, orders), _moves(log_walk, orders)
    doubt = np.zeros(len(active)) if all_of_them else _standard_error(amounts)
    parts = {group: Contribution(group, 0.0, 0.0, 0.0) for group in moved}
    for group, amount, log, error in zip(active, amounts.mean(axis=0), logs.mean(axis=0), doubt, strict=True):
        parts[group] = Contribution(group, float(amount), 100 * math.expm1(log), float(error))
    served = release.predict(house)
    price, low, high = (float(values[0]) for values in (served.price, served.low, served.high))
    base, exact, base_factor = float(walk[0, 0]), float(walk[0, -1]), math.exp(log_walk[0, 0])
    return Explanation(price, low, high, exact, base, base_factor, tuple(parts.values()))


def adds_up(explanation: Explanation) -> bool:
    """Return whether amounts and percents lead from the typical price to the exact one, and that is the one served."""
    parts = explanation.contributions
    summed = explanation.base + math.fsum(part.amount for part in parts)
    multiplied = explanation.base_factor * math.prod(1 + part.percent / 100 for part in parts)
    exact = all(math.isclose(found, explanation.exact, rel_tol=EXACT) for found in (summed, multiplied))
    return exact and math.isclose(explanation.exact, explanation.price, rel_tol=SERVED, abs_tol=0.5)


def typical(columns: Columns, contract: Contract) -> dict[str, NDArray[Any]]:
    """Return the features (1,) of the row nearest to the medians of numbers and the most frequent of all else.

    A real row, since a house of medians is none: its areas do not add up. A number is as far as its mean absolute
    deviations from the median, anything else 0 or 1; an empty cell 1. The first of the nearest counts.
    """
    distance = np.where(_impossible(columns, contract, {c.name for c in contract.features}), np.inf, 0.0)
    for column in contract.features:
        values = columns[column.name]
        if levels := column.categories or ((False, True) if column.type == "boolean" else ()):
            counts = [np.count_nonzero(values == level) for level in levels]
            distance += values != levels[int(np.argmax(counts))]
        elif not np.isnan(numbers := values.astype(np.float64)).all():
            away = np.abs(numbers - np.nanmedian(numbers))
            distance += np.nan_to_num(away / (np.nanmean(away) or 1.0), nan=1.0)
    if not np.isfinite(distance).any():
        raise ValueError(f"no row of {len(distance)} keeps the checks of {contract.name}, so none is typical")
    nearest = int(np.argmin(distance))
    return {column.name: columns[column.name][[nearest]] for column in contract.features}


def global_importance(
    release: Release,
    columns: Columns,
    price: NDArray[np.generic],
    seed: int,
    repeats: int = 5,
    predictions_max: int | None = None,
) -> tuple[Importance, ...]:
    """Return for each group of columns the rise of rmse_log when its values are shuffled together among the rows.

    Each repeat shuffles all groups alike; a row that would become an impossible house keeps its own values. Where that
    would price more than `predictions_max` rows, fewer rows are drawn, without replacement; one at least.
    Source: Breiman (2001), Random Forests; Fisher, Rudin, Dominici (2019), All models are wrong, but many are useful.
    """
    parts = groups(release.contract)
    chosen = _affordable(len(price), 1 + len(parts) * repeats, seed, predictions_max)
    target = np.log(price[chosen].astype(np.float64))
    known = {name: values[chosen] for name, values in _dated(columns, release).items()}
    shuffles = [np.random.default_rng([seed, repeat]).permutation(len(target)) for repeat in range(repeats)]
    least = _rms(release.log_price(known) - target)
    found = []
    for group in parts:
        tables = (_shuffled(known, group, shuffle, release.contract) for shuffle in shuffles)
        rises = [_rms(release.log_price(table) - target) - least for table in tables]
        found.append(Importance(group, float(np.mean(rises)), float(np.std(rises, ddof=int(repeats > 1)))))
    return tuple(found)


def _joined(parts: Iterable[Group], ties: Ties, order: Sequence[str]) -> tuple[Group, ...]:
    """Return the parts, those that share a tie as one; columns and parts in `order`."""
    joined = list(parts)
    for tie in ties:
        touched = [part for part in joined if not set(tie).isdisjoint(part)]
        whole = tuple(sorted(itertools.chain(*touched), key=order.index))
        joined = [part for part in joined if part not in touched] + ([whole] if whole else [])
    return tuple(sorted(joined, key=lambda part: order.index(part[0])))


def _bound(parts: tuple[Group, ...], contract: Contract, house: Columns, reference: Columns) -> tuple[Group, ...]:
    """Return the groups, joined where a mixture of this house and this reference would break a refusing check."""
    order = [column.name for column in contract.columns]
    for check in contract.refusing(set(order) & house.keys()):
        players = [part for part in parts if not check.compiled.names.isdisjoint(part)]
        masks = np.array(list(itertools.product((False, True), repeat=min(len(players), MIXED_MAX))))
        if len(players) > MIXED_MAX or check.compiled.broken(_mixed(house, reference, players, masks)).any():
            parts = _joined(parts, [check.compiled.names], order)
    return parts


def _mixed(house: Columns, reference: Columns, players: Sequence[Group], masks: Flags) -> dict[str, NDArray[Any]]:
    """Return the columns of (n_masks × n_reference) houses: the house's own where the mask holds, else the reference's."""
    count = len(next(iter(reference.values())))
    mixed = {name: np.tile(values, len(masks)) for name, values in reference.items()}
    for player, group in enumerate(players):
        own = np.repeat(masks[:, player], count)
        mixed |= {name: np.where(own, house[name][0], mixed[name]) for name in group}
    return mixed


def _orders(players: int, pairs: int) -> tuple[NDArray[np.int64], bool]:
    """Return orders (n_orders, n_players), and whether they are all there are; else the second half is the first, reversed."""
    if math.factorial(players) <= 2 * pairs:
        return np.array(list(itertools.permutations(range(players)))), True
    forwards = np.random.default_rng(SEED).permuted(np.tile(np.arange(players), (pairs, 1)), axis=1)
    return np.concatenate([forwards, forwards[:, ::-1]]), False


def _walks(
    release: Release, house: Columns, reference: Columns, players: Sequence[Group], orders: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Return mean price and mean log price (n_orders, n_players + 1) while the players join one after the other."""
    masks = np.argsort(orders, axis=1)[:, None, :] < np.arange(len(players) + 1)[:, None]
    number: dict[bytes, int] = {}  # np.unique takes twenty times as long over rows
    place = [number.setdefault(mask.tobytes(), len(number)) for mask in masks.reshape(-1, len(players))]
    distinct = np.frombuffer(b"".join(number), dtype=bool).reshape(-1, len(players))
    log_price = release.log_price(_mixed(house, reference, players, distinct)).reshape(len(distinct), -1)
    price, log = (np.mean(values, axis=1)[place].reshape(len(orders), -1) for values in (np.exp(log_price), log_price))
    return price, log


def _moves(walk: Floats, orders: NDArray[np.int64]) -> Floats:
    """Return what each player's joining changed in each order (n_orders, n_players)."""
    moves = np.empty(orders.shape)
    np.put_along_axis(moves, orders, np.diff(walk, axis=1), axis=1)
    return moves


def _standard_error(amounts: Floats) -> Floats:
    forwards, backwards = np.split(amounts, 2)  # a pair is one draw: its two orders depend on each other
    pairs = (forwards + backwards) / 2
    return np.asarray(pairs.std(axis=0, ddof=1) / math.sqrt(len(pairs)))


def _dated(columns: Columns, release: Release) -> dict[str, NDArray[Any]]:
    time = release.contract.time.name
    known = {column.name: columns[column.name] for column in release.contract.features}
    rows = len(next(iter(known.values())))
    return known | {time: columns.get(time, np.full(rows, release.facts.as_of, dtype="datetime64[D]"))}


def _differs(group: Group, house: Columns, reference: Columns) -> bool:
    return any((house[name] != reference[name]).any() for name in group)


def _impossible(columns: Columns, contract: Contract, names: set[str]) -> Flags:
    broken = np.zeros(len(columns[min(names)]), dtype=bool)
    for check in contract.refusing(names):
        broken |= check.compiled.broken(columns)
    return broken


def _shuffled(columns: Columns, group: Group, order: NDArray[np.int64], contract: Contract) -> dict[str, NDArray[Any]]:
    moved = dict(columns) | {name: columns[name][order] for name in group}
    keeps = _impossible(moved, contract, set(columns))
    return moved | {name: np.where(keeps, columns[name], moved[name]) for name in group}


def _affordable(rows: int, times: int, seed: int, predictions_max: int | None) -> NDArray[np.int64]:
    """Return the numbers of the rows, or of as many as can be priced so many times."""
    most = rows if predictions_max is None else max(1, predictions_max // times)
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def _rms(errors: Floats) -> float:
    return float(np.sqrt(np.mean(errors**2)))
