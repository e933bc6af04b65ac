"""Test explanations: known Shapley values, sums that add up, groups that move together, and `hearth explain`."""

import datetime
import itertools
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from samples import CONTRACT_BYTES, PARAMS_TEXT, columns, contract, houses, release, release_files, sales

from hearth import explanation
from hearth.cli import main
from hearth.contract import Contract, parse_contract
from hearth.explanation import STEPS_MAX, Explanation, adds_up, explain, global_importance, groups, typical
from hearth.operations import explain as operation
from hearth.parquet import write_arrow
from hearth.release import Prediction
from hearth.request import columns_of
from hearth.rules import Columns

Function = Callable[[Columns], Any]
AS_OF = datetime.date(2020, 6, 1)


# Samples: a toy with the public face of a release, and the tiny release


def toy_contract(names: str, checks: dict[str, str] | None = None, **kinds: dict[str, Any]) -> Contract:
    """Return a contract of number columns; `kinds` says where a column is of another kind."""
    role = {"unit": "1", "meaning": "made up"}
    features = {name: {"type": "number", **kinds.get(name, {}), "role": "feature", **role} for name in names.split()}
    document = {
        "name": "toy", "row": "one toy", "title": "t", "origin": "o", "licence": "l", "limits": "l", "sha256": "",
        "columns": {
            "id": {"type": "integer", "role": "key", **role},
            "day": {"type": "date", "role": "time", **role},
            **features,
            "price": {"type": "number", "role": "target", "minimum": 1, **role},
        },
        "checks": {k: {"rule": rule, "severity": "refuse", "meaning": "m"} for k, rule in (checks or {}).items()},
    }  # fmt: skip
    return parse_contract(document, "toy.yaml")


class Toy:
    """Price by a function of columns, and remember which columns were priced."""

    def __init__(self, function: Function, contract: Contract) -> None:
        """Keep what predicts and what the columns are."""
        self.function, self.contract = function, contract
        self.facts = SimpleNamespace(as_of=AS_OF)
        self.seen: list[Columns] = []

    def log_price(self, known: Columns) -> Any:
        self.seen.append(known)
        return np.asarray(self.function(known), dtype=np.float64) + np.zeros(len(known[self.contract.time.name]))

    def predict(self, known: Columns) -> Prediction:
        price = np.exp(self.function(known) + np.zeros(len(known[self.contract.time.name])))
        return Prediction(price, 0.8 * price, 1.2 * price)


def toy(function: Function, names: str, checks: dict[str, str] | None = None) -> Any:
    return Toy(function, toy_contract(names, checks))


def row(**values: Any) -> Columns:
    return {name: np.array([value] if np.ndim(value) == 0 else value) for name, value in values.items()}


def shapley(value: Callable[[set[int]], float], players: int) -> list[float]:
    """Return Shapley values by their definition, over all subsets."""
    found = []
    for player in range(players):
        others, total = [other for other in range(players) if other != player], 0.0
        for size in range(players):
            weight = math.factorial(size) * math.factorial(players - size - 1) / math.factorial(players)
            for before in itertools.combinations(others, size):
                total += weight * (value({*before, player}) - value(set(before)))
        found.append(total)
    return found


def amounts(found: Explanation) -> dict[tuple[str, ...], float]:
    return {part.columns: part.amount for part in found.contributions}


def percents(found: Explanation) -> dict[tuple[str, ...], float]:
    return {part.columns: part.percent for part in found.contributions}


def tiny(place: int, seed: int = 0, count: int = 60) -> Columns:
    """Return one made-up sale."""
    return {name: values[[place]] for name, values in columns(count, seed).items()}


WOBBLY = [f"x{place}" for place in range(11)]


def wobbly() -> tuple[Any, Columns, Columns]:
    """Return a toy whose eleven columns interact in pairs and threes, a house and a reference: too many orders to try."""
    random = np.random.default_rng(5)
    single, pair, triple = random.normal(0, 0.2, 11), random.normal(0, 0.1, 11), random.normal(0, 0.05, 11)

    def log_price(known: Columns) -> Any:
        x = np.stack([known[name] for name in WOBBLY])
        return 12 + single @ x + pair @ (x * np.roll(x, 1, axis=0)) + triple @ (x * np.roll(x, 2, 0) * np.roll(x, 5, 0))

    model = toy(log_price, " ".join(WOBBLY))
    return model, row(**dict.fromkeys(WOBBLY, 1.0)), row(**dict.fromkeys(WOBBLY, 0.0))


def house_of(**changes: Any) -> Columns:
    """Return a valid house, with some of its fields changed."""
    house = houses(1)[0] | changes
    return columns_of([house | {"date": datetime.date.fromisoformat(house["date"])}], contract(), AS_OF)


# Known Shapley values


def test_a_price_that_is_linear_in_its_log_gets_its_coefficients_in_percent() -> None:
    model = toy(lambda c: 10 + 0.1 * c["x"] - 0.3 * c["y"], "x y")
    found = explain(model, row(x=3.0, y=1.0), row(x=1.0, y=0.0))
    assert percents(found) == pytest.approx(
        {("day",): 0, ("x",): 100 * math.expm1(0.2), ("y",): 100 * math.expm1(-0.3)}
    )
    assert found.base == pytest.approx(math.exp(10.1))
    assert found.exact == pytest.approx(math.exp(10.0))


def test_amounts_are_the_shapley_values_of_the_price() -> None:
    a, b, c = 0.2, -0.3, 0.5
    model = toy(lambda k: 10 + a * k["x"] + b * k["y"] + c * k["x"] * k["z"], "x y z")
    found = explain(model, row(x=1.0, y=1.0, z=1.0), row(x=0.0, y=0.0, z=0.0))

    def log_price(joined: set[int]) -> float:
        return 10 + a * (0 in joined) + b * (1 in joined) + c * ({0, 2} <= joined)

    assert list(amounts(found).values())[1:] == pytest.approx(shapley(lambda joined: math.exp(log_price(joined)), 3))
    logs = [math.log1p(percent / 100) for percent in list(percents(found).values())[1:]]
    assert logs == pytest.approx([a + c / 2, b, c / 2])  # an interaction is shared by the two that make it
    assert all(part.standard_error == 0 for part in found.contributions)


def test_columns_that_the_model_treats_alike_get_equal_shares() -> None:
    model = toy(lambda c: 10 + 0.2 * c["x"] * c["y"] + 0.1 * (c["x"] + c["y"]), "x y z")
    found = amounts(explain(model, row(x=2.0, y=2.0, z=5.0), row(x=1.0, y=1.0, z=1.0)))
    assert found["x",] == pytest.approx(found["y",])
    assert found["x",] > 0


def test_a_column_that_the_model_does_not_use_gets_nothing() -> None:
    names = "a b c d e f g unused"
    model = toy(lambda c: 10 + 0.1 * (c["a"] * c["b"] + c["c"] * c["d"] * c["e"] + c["f"] - c["g"]), names)
    found = explain(model, row(**dict.fromkeys(names.split(), 2.0)), row(**dict.fromkeys(names.split(), 1.0)))
    unused = next(part for part in found.contributions if part.columns == ("unused",))
    assert (unused.amount, unused.percent, unused.standard_error) == (0, 0, 0)
    assert adds_up(found)


def test_sampled_contributions_are_near_the_true_ones() -> None:
    """The truth is enumerated, and the errors are as large as they are said to be."""
    model, house, reference = wobbly()
    subsets = np.array(list(itertools.product((0.0, 1.0), repeat=11)))
    prices = np.exp(model.function(dict(zip(WOBBLY, subsets.T, strict=True)))).tolist()
    value = {frozenset(np.flatnonzero(mask).tolist()): price for mask, price in zip(subsets, prices, strict=True)}
    truth = np.array(shapley(lambda joined: value[frozenset(joined)], 11))
    parts = explain(model, house, reference).contributions[1:]
    error = np.array([part.amount for part in parts]) - truth
    said = np.array([part.standard_error for part in parts])
    assert np.abs(error).max() < 0.05 * np.abs(truth).max()
    assert 0.5 < np.sqrt(np.mean(error**2) / np.mean(said**2)) < 2


def test_more_steps_make_the_standard_error_smaller() -> None:
    model, house, reference = wobbly()

    def doubt(steps: int) -> float:
        parts = explain(model, house, reference, steps_max=steps).contributions
        return math.sqrt(sum(part.standard_error**2 for part in parts))

    assert doubt(6400) == pytest.approx(doubt(1600) / 2, rel=0.3)


# Sums


@pytest.mark.parametrize("place", range(12))
def test_contributions_add_up_to_the_price_that_is_served(place: int) -> None:
    house, reference = tiny(place), typical(columns(60), contract())
    found = explain(release(), house, reference)
    assert adds_up(found)
    assert found.price == release().predict(house).price[0]
    assert found.low == release().predict(house).low[0]
    assert found.high == release().predict(house).high[0]
    assert found.base + sum(amounts(found).values()) == pytest.approx(found.exact, rel=1e-12)
    factors = math.prod(1 + percent / 100 for percent in percents(found).values())
    assert found.base * factors == pytest.approx(found.exact, rel=1e-12)


def test_the_reference_itself_has_nothing_to_explain() -> None:
    found = explain(release(), tiny(5), tiny(5))
    assert set(amounts(found).values()) == set(percents(found).values()) == {0.0}
    assert found.base == found.exact == found.base_factor == pytest.approx(found.price, abs=0.5)
    assert adds_up(found)


@pytest.mark.parametrize("place", range(11))
@pytest.mark.parametrize("key", ["amount", "percent"])
def test_one_contribution_changed_by_a_hundredth_is_caught(place: int, key: str) -> None:
    found = explain(*wobbly())
    spoilt = found.contributions[1 + place]
    assert adds_up(found)
    assert not adds_up(with_part(found, spoilt, **{key: getattr(spoilt, key) * 1.01}))


def test_every_contribution_of_the_tiny_release_is_watched() -> None:
    found = explain(release(), tiny(0), tiny(59))
    parts = [part for part in found.contributions if part.amount]
    assert len(parts) >= 3
    assert all(not adds_up(with_part(found, part, amount=part.amount * 1.01)) for part in parts)


def with_part(found: Explanation, spoilt: Any, **changes: float) -> Explanation:
    planted = replace(spoilt, **changes)
    return replace(found, contributions=tuple(planted if part is spoilt else part for part in found.contributions))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda e: replace(e, base=e.base * 1.0001),
        lambda e: replace(e, base_factor=e.base_factor * 1.0001),
        lambda e: replace(e, price=e.price + 2),
        lambda e: replace(e, price=math.nan),
        lambda e: replace(e, exact=math.nan),
        lambda e: replace(e, contributions=e.contributions[:-1]),
        lambda e: with_part(e, e.contributions[0], amount=math.nan),
        lambda e: with_part(e, e.contributions[0], percent=math.nan),
    ],
)
def test_any_other_spoilt_part_is_caught(spoil: Callable[[Explanation], Explanation]) -> None:
    assert not adds_up(spoil(explain(*wobbly())))


# How it is asked


def test_the_same_house_gets_the_same_answer() -> None:
    assert explain(*wobbly()) == explain(*wobbly())
    assert explain(release(), tiny(0), tiny(59)) == explain(release(), tiny(0), tiny(59))


def test_another_seed_stays_within_the_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    one = explain(*wobbly())
    monkeypatch.setattr(explanation, "SEED", 1)
    other = explain(*wobbly())
    assert one != other
    for p, q in zip(one.contributions, other.contributions, strict=True):
        assert abs(p.amount - q.amount) <= 6 * (p.standard_error + q.standard_error)


@pytest.mark.parametrize("background", [1, 3])
def test_all_houses_are_priced_in_one_batch_of_bounded_size(background: int) -> None:
    model = Toy(release().log_price, contract())
    reference = {name: values[20 : 20 + background] for name, values in columns(60).items()}
    explain(model, tiny(3), reference)  # type: ignore[arg-type]
    assert len(model.seen) == 1
    assert len(model.seen[0]["lat"]) < STEPS_MAX


def test_a_background_of_several_houses_has_their_mean_price() -> None:
    model = toy(lambda c: 10 + 0.1 * c["x"] + 0.2 * c["y"], "x y")
    found = explain(model, row(x=3.0, y=1.0), row(x=[0.0, 1.0], y=[0.0, 2.0]))
    assert found.base == pytest.approx((math.exp(10) + math.exp(10.5)) / 2)
    assert found.base_factor == pytest.approx(math.exp(10.25))
    assert adds_up(found)


def test_a_date_that_is_left_out_is_the_release_as_of() -> None:
    model = toy(lambda c: (c["day"] - np.datetime64("2020-01-01")).astype(float) / 100 + 0 * c["x"], "x")
    found = explain(model, row(x=1.0), row(x=1.0))
    assert amounts(found) == {("day",): 0, ("x",): 0}
    assert found.exact == pytest.approx(math.exp(1.52))  # 152 days
    dated = explain(model, row(x=1.0, day=np.datetime64("2020-01-01")), row(x=1.0))
    assert percents(dated)["day",] == pytest.approx(100 * math.expm1(-1.52))


@pytest.mark.parametrize(("rows", "references"), [(0, 1), (2, 1), (1, 0)])
def test_anything_but_one_house_is_an_error(rows: int, references: int) -> None:
    known = columns(60)
    with pytest.raises(ValueError, match=f"not {rows} and {references}"):
        explain(release(), {n: v[:rows] for n, v in known.items()}, {n: v[:references] for n, v in known.items()})


def test_arguments_are_left_as_they_are() -> None:
    house, reference = dict(tiny(3)), dict(tiny(17))  # cannot be written to
    explain(release(), house, reference)
    assert list(house) == list(tiny(3))


def test_two_empty_cells_agree() -> None:
    model = Toy(lambda c: 10 + np.nan_to_num(c["x"], nan=5.0), toy_contract("x y", x={"nullable": True}))
    found = explain(model, row(x=math.nan, y=1.0), row(x=math.nan, y=1.0))  # type: ignore[arg-type]
    assert amounts(found)["x",] == 0
    found = explain(model, row(x=math.nan, y=1.0), row(x=1.0, y=1.0))  # type: ignore[arg-type]
    assert percents(found)["x",] == pytest.approx(100 * math.expm1(4))


def test_no_pandas_nor_scikit_learn_is_loaded() -> None:
    code = "import sys, hearth.explanation; print({'pandas', 'sklearn', 'pyarrow', 'onnx'} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


# Groups


def test_columns_that_share_a_refusing_check_and_the_place_are_groups() -> None:
    assert groups(contract()) == (
        ("date",), ("bedrooms",), ("bathrooms",), ("sqft_living", "sqft_above", "sqft_basement"), ("sqft_lot",),
        ("floors",), ("waterfront",), ("view",), ("condition",), ("grade",), ("yr_built", "yr_renovated"),
        ("zipcode", "lat", "long"), ("sqft_living15",), ("sqft_lot15",),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("checks", "together", "wanted"),
    [
        ({}, (), "day a b c d"),
        ({"one": "a < b"}, (), "day a+b c d"),
        ({"one": "a < c", "two": "c < d"}, (), "day a+c+d b"),
        ({"one": "a < b", "two": "c < d", "three": "b < c"}, (), "day a+b+c+d"),
        ({"one": "a > 0"}, (), "day a b c d"),
        ({"one": "a <= year(day)"}, (), "day a b c d"),
        ({"one": "a < price"}, (), "day a b c d"),
        ({}, [("d", "b", "elsewhere")], "day a b+d c"),
        ({"one": "a < b"}, [("b", "day")], "day+a+b c d"),
    ],
)
def test_groups_follow_the_contract(checks: dict[str, str], together: Any, wanted: str) -> None:
    found = groups(toy_contract("a b c d", checks), together)
    assert " ".join("+".join(group) for group in found) == wanted


@pytest.mark.parametrize("seed", range(3))
def test_no_impossible_house_is_priced(seed: int) -> None:
    """Whatever the pair, every house that the model is asked about keeps every refusing check."""
    model = Toy(lambda c: np.full(len(c["lat"]), 13.0), contract())
    checks = contract().refusing({column.name for column in (*contract().features, contract().time)})
    assert len(checks) == 4
    for place in range(15):
        explain(model, tiny(place, seed), tiny(59 - place, seed))  # type: ignore[arg-type]
    for asked in model.seen:
        assert not any(check.compiled.broken(asked).any() for check in checks)
        whole = {tuple(v) for v in zip(asked["zipcode"], asked["lat"], asked["long"], strict=True)}
        assert len(whole) <= 2


def test_the_date_moves_with_the_years_only_where_it_must() -> None:
    new = house_of(date="2016-03-01", yr_built=2017, yr_renovated=0)
    old = house_of(date="2014-06-01", yr_built=1970, yr_renovated=0)
    model = Toy(lambda c: 13 + 0 * c["lat"], contract())
    assert ("date", "yr_built", "yr_renovated") in amounts(explain(model, new, old))  # type: ignore[arg-type]
    for asked in model.seen:
        assert not any(check.compiled.broken(asked).any() for check in contract().checks if "yr_built" in check.rule)
    later = house_of(date="2016-03-01", yr_built=1999, yr_renovated=0)
    assert {("date",), ("yr_built", "yr_renovated")} < amounts(explain(model, later, old)).keys()  # type: ignore[arg-type]


def test_a_check_of_very_many_groups_binds_them_without_trying_all_mixtures() -> None:
    names = " ".join(f"x{place}" for place in range(30))
    model = toy(lambda c: 10 + c["x0"], names, {"long": f"{names.replace(' ', ' + ')} <= year(day)"})
    ones = row(**dict.fromkeys(names.split(), 1.0))
    halves = explain(model, ones, row(**dict.fromkeys(names.split(), 0.0)))
    assert len(halves.contributions) == 1
    assert adds_up(halves)


# The typical house


def test_the_typical_house_is_a_real_one_that_keeps_the_checks() -> None:
    known = columns(200)
    found = typical(known, contract())
    assert set(found) == {column.name for column in contract().features}
    same = np.all([known[name] == values[0] for name, values in found.items()], axis=0)
    assert np.count_nonzero(same) == 1
    assert not any(check.compiled.broken(found).any() for check in contract().refusing(set(found)))


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        ({"x": [9.0, 1.0, 5.0], "flag": [0.0, 0.0, 0.0], "town": ["b", "b", "b"]}, 2),  # nearest to the median
        ({"x": [1.0, 1.0, 1.0], "flag": [1.0, 0.0, 1.0], "town": ["b", "a", "b"]}, 0),  # the first of equals
        ({"x": [1.0, 1.0, 1.0], "flag": [True, False, False], "town": ["b", "a", "b"]}, 2),  # most frequent of each
        ({"x": [np.nan, 4.0, 5.0, 9.0], "flag": [1.0] * 4, "town": ["a"] * 4}, 2),  # an empty cell is far
        ({"x": [np.nan, np.nan, np.nan], "flag": [0.0, 1.0, 1.0], "town": ["a", "a", "b"]}, 1),  # an empty column
        ({"x": [5.0, 50.0, 5.0], "flag": [0.0, 0.0, 1.0], "town": ["a", "b", "b"]}, 0),  # the nearest breaks the check
    ],
)
def test_the_typical_row(table: dict[str, Any], wanted: int) -> None:
    kinds = {
        "x": {"nullable": True},
        "flag": {"type": "boolean"},
        "town": {"type": "category", "categories": ["a", "b"]},
    }
    small = toy_contract("x flag town", {"low": "x <= 10"}, **kinds)
    known = {name: np.array(values) for name, values in table.items()}
    found = typical(known, small)
    np.testing.assert_array_equal([found[name][0] for name in table], [known[name][wanted] for name in table])


def test_a_table_of_impossible_rows_has_no_typical_one() -> None:
    with pytest.raises(ValueError, match="no row of 2 keeps the checks of toy"):
        typical(row(x=[20.0, 30.0]), toy_contract("x", {"low": "x <= 10"}))


# Importance over many rows


def importances(model: Any, known: Columns, price: Any, **more: Any) -> dict[tuple[str, ...], tuple[float, float]]:
    return {found.columns: (found.rise, found.spread) for found in global_importance(model, known, price, 7, **more)}


def test_importance_is_the_rise_of_the_error_when_a_column_is_shuffled() -> None:
    random = np.random.default_rng(0)
    known = {name: random.normal(size=4000) for name in "xyz"}
    model = toy(lambda c: 10 + 0.3 * c["x"] + 0.1 * c["y"], "x y z")
    found = importances(model, known, np.exp(10 + 0.3 * known["x"] + 0.1 * known["y"]))
    assert found["x",][0] == pytest.approx(0.3 * math.sqrt(2), rel=0.03)  # of a perfect model: sd(x - other x)
    assert found["y",][0] == pytest.approx(0.1 * math.sqrt(2), rel=0.03)
    assert found["z",] == found["day",] == (0, 0)
    assert 0 < found["x",][1] < 0.02
    assert found == importances(model, known, np.exp(10 + 0.3 * known["x"] + 0.1 * known["y"]))


def test_importance_is_the_mean_and_the_spread_of_what_comes_on_top() -> None:
    """Two rows, each priced 0.3 too low: a shuffle leaves them, or swaps them for errors of 0.7 and 1.3."""
    model, swapped = toy(lambda c: 10 + c["x"], "x"), math.sqrt((0.7**2 + 1.3**2) / 2) - 0.3
    rises = [importances(model, {"x": np.array([0.0, 1.0])}, np.exp([10.3, 11.3]), repeats=n)["x",] for n in (1, 9)]
    assert rises[0][1] == 0
    swaps = round(9 * rises[1][0] / swapped)
    assert 0 < swaps < 9
    outcomes = [swapped] * swaps + [0.0] * (9 - swaps)
    assert rises[1] == pytest.approx((np.mean(outcomes), np.std(outcomes, ddof=1)))


def test_importance_of_the_tiny_release_is_where_its_prices_come_from() -> None:
    known = columns(400)
    found = importances(release(), known, known["price"], repeats=2)
    assert list(found) == list(groups(contract()))
    assert sorted(found, key=lambda group: -found[group][0])[:2] == [
        ("sqft_living", "sqft_above", "sqft_basement"),
        ("grade",),
    ]


def test_importance_prices_no_more_rows_than_it_may() -> None:
    """Of 300 rows, all if they fit, else as many as fit, the same for a seed."""
    known = columns(300)
    times = 1 + 2 * len(groups(contract()))
    for most, rows in ((300 * times, 300), (300 * times - 1, 299), (50 * times + 3, 50), (1, 1)):
        model = Toy(lambda c: 13 + 0.1 * c["grade"], contract())
        found = importances(model, known, known["price"], repeats=2, predictions_max=most)
        assert {len(asked["grade"]) for asked in model.seen} == {rows}
        assert rows == 1 or sum(len(asked["grade"]) for asked in model.seen) <= most
        assert found == importances(model, known, known["price"], repeats=2, predictions_max=most)


def test_importance_prices_no_impossible_house() -> None:
    model = Toy(lambda c: 13 + 0 * c["lat"], contract())
    known = columns(300) | {"date": columns(300)["date"].copy(), "yr_built": columns(300)["yr_built"].copy()}
    known["date"][:40], known["yr_built"][:40] = np.datetime64("2017-05-01"), 2018.0
    known["yr_renovated"] = np.zeros(300)
    global_importance(model, known, known["price"], 7, repeats=2)  # type: ignore[arg-type]
    built = next(check for check in contract().checks if check.name == "built_before_sold")
    assert not any(built.compiled.broken(asked).any() for asked in model.seen)


# The command


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Change into a project with the tiny release and small prepared tables."""
    files = {"dvc.yaml": b"stages: {}\n", "params.yaml": PARAMS_TEXT.encode(), "data/contract.yaml": CONTRACT_BYTES}
    files |= {f"models/model/{name}": content for name, content in release_files().items()}
    files |= {"house.json": json.dumps(houses(1)[0]).encode()}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "data/prepared").mkdir()
    write_arrow(tmp_path / "data/prepared/train.parquet", sales(houses(80), 0))
    write_arrow(tmp_path / "data/prepared/test.parquet", sales(houses(5, 9), 9))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    os.chdir(tmp_path)


def test_a_row_is_followed_from_its_columns_to_its_price(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    said = capsys.readouterr().out
    house = houses(5, 9)[0]
    assert said.startswith("row 0 of data/prepared/test.parquet, sold for ")
    assert f"{house['lat']:.7g}" in said
    assert "holds   area_parts_sum" in said
    assert "km_to_seattle" in said
    assert "sqft_living, sqft_above, sqft_basement" in said
    assert "80% interval: " in said
    assert max(map(len, said.splitlines())) < 170


def test_what_is_printed_adds_up(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--row", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["house"] == houses(5, 9)[3]
    assert told["base"] + sum(part["amount"] for part in told["contributions"]) == pytest.approx(told["exact"])
    assert told["price"] == pytest.approx(told["exact"], abs=0.5)
    assert told["low"] < told["price"] < told["high"]
    assert list(told["inputs"]) == list(release().facts.features)
    assert told["typical"]["date"] == str(release().facts.as_of)
    assert told["paid"] > 0


def test_a_file_is_explained_from_any_folder_below(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project / "models")
    assert main(["explain", "--house", "../house.json", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["house"] == houses(1)[0]
    assert told["paid"] is None


def test_bars_are_plain_where_the_terminal_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(encoding="ascii"))
    assert operation._bar(0.5) == " " * 16 + "|########"
    assert operation._bar(-1.0) == "################|"


BAD = {
    "a number out of bounds": ({"grade": 99}, "grade is 99, wanted a whole number from 1 to 13 (score). Mend it."),
    "an unknown field": ({"colour": "red"}, "colour is 'red', wanted no such field. Mend it."),
    "areas that do not add up": ({"sqft_living": 900}, "sqft_above + sqft_basement == sqft_living"),
    "a missing field": ({"grade": ...}, "and the field is missing"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_house_is_refused_in_the_words_of_the_service(
    project: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    changes, wanted = BAD[case]
    house = {key: value for key, value in (houses(1)[0] | changes).items() if value is not ...}
    (project / "house.json").write_text(json.dumps(house))
    assert main(["explain", "--house", "house.json"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {project / 'house.json'}: ")
    assert wanted in err
    assert "Traceback" not in err


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"grade": NaN}', b'{"grade": 1, "grade": 2}'])
def test_a_file_that_holds_no_house_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (project / "house.json").write_bytes(content)
    assert main(["explain", "--house", "house.json"]) == 1
    assert capsys.readouterr().err.startswith(f"error: {project / 'house.json'}: ")


@pytest.mark.parametrize("place", ["5", "-1"])
def test_a_row_that_there_is_not_is_refused(project: Path, capsys: pytest.CaptureFixture[str], place: str) -> None:
    assert main(["explain", "--row", place]) == 1
    said = f"error: data/prepared/test.parquet has no row {place}, wanted 0 to 4; give --row one of these.\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("words", [["--row", "x"], ["--row", "1", "--house", "house.json"]])
def test_wrong_use_ends_with_2(project: Path, words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["explain", *words])
    assert caught.value.code == 2


@pytest.mark.parametrize("missing", ["house.json", "data/prepared/train.parquet", "models/model/model.onnx"])
def test_a_missing_file_is_named(project: Path, capsys: pytest.CaptureFixture[str], missing: str) -> None:
    (project / missing).unlink()
    assert main(["explain", "--house", "house.json"]) == 1
    assert missing in capsys.readouterr().err


def test_contributions_that_do_not_add_up_are_not_shown(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The largest contribution is planted one hundredth too large."""

    def spoilt(*known: Any) -> Explanation:
        found = explain(*known)
        largest = max(found.contributions, key=lambda part: abs(part.amount))
        return with_part(found, largest, amount=largest.amount * 1.01)

    monkeypatch.setattr(operation, "explain", spoilt)
    assert main(["explain"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "row 0 of data/prepared/test.parquet: the contributions do not add up to the price" in err
