"""Test the comparison by planted differences: in the errors, in a slice, in the params, in the rows and in the columns."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from samples import columns, contract, frame, params, recipe

from hearth.changes import Pair, changed, data_change
from hearth.comparison import Difference, Scored, by_slice, by_week, differences
from hearth.cuts import Background
from hearth.doubt import Bootstrap
from hearth.scoring import slice_scores
from hearth.slices import EvaluateParams
from hearth.strict import parse

DRAWS = Bootstrap(draws=200, level=0.95, seed=3)
FEW = Bootstrap(draws=100, level=0.95, seed=3)
LEVEL = 0.9


def actual(rows: int = 1000, seed: int = 0) -> np.ndarray:
    return np.asarray(np.exp(np.random.default_rng(seed).normal(13, 0.5, rows)))


def scored(spread: float = 0.15, shift: float = 0.0, held: float = LEVEL, rows: int = 1000, seed: int = 1) -> Scored:
    """Return prices of `actual(rows)` that err by a spread and a shift, and intervals that hold a share of them."""
    chance = np.random.default_rng(seed)
    true = actual(rows)
    predicted = true * np.exp(chance.normal(0, spread, rows)) * (1 + shift)
    inside = chance.permutation(rows) < round(held * rows)
    return {
        "predicted": predicted,
        "low": np.where(inside, np.minimum(predicted, true) * 0.9, true * 1.1),
        "high": np.maximum(predicted, true) * 1.2,
    }


def told(base: Scored, candidate: Scored, level: float = LEVEL, draws: Bootstrap = DRAWS) -> dict[str, Difference]:
    return dict(differences(actual(len(base["predicted"])), base, candidate, level, draws))


# All rows


def test_a_model_compared_with_itself_is_no_evidence_and_never_better() -> None:
    for found in told(scored(), scored()).values():
        assert (found.difference, found.interval, found.worse_by) == (0.0, (0.0, 0.0), (0.0, 0.0))
        assert found.base == found.candidate
        assert found.verdict == "no evidence"


@pytest.mark.parametrize("metric", ["rmse_log", "mdape"])
@pytest.mark.parametrize(("base", "candidate", "verdict"), [(0.15, 0.2, "worse"), (0.2, 0.15, "better")])
def test_a_planted_difference_gives_its_verdict(metric: str, base: float, candidate: float, verdict: str) -> None:
    found = told(scored(base), scored(candidate))[metric]
    assert found.verdict == verdict
    assert found.interval[0] <= found.difference <= found.interval[1]
    assert found.worse_by == found.interval, "the ideal of both is 0, and neither falls below it"


def test_every_interval_holds_its_difference_and_the_figures_are_those_of_scoring() -> None:
    base, candidate = scored(), scored(0.17, 0.02, 0.85, seed=2)
    found = told(base, candidate)
    for side, prices in (("base", base), ("candidate", candidate)):
        assert {name: getattr(one, side) for name, one in found.items()} == slice_scores(actual(), **prices)
    for name, one in found.items():
        assert one.interval[0] <= one.difference <= one.interval[1], name
        assert one.difference == pytest.approx(one.candidate - one.base, abs=1e-9), name


def test_a_seed_gives_the_same_bytes_twice_and_another_gives_others() -> None:
    def text(seed: int) -> list[str]:
        draws = FEW.model_copy(update={"seed": seed})
        return [one.model_dump_json() for one in told(scored(), scored(0.16, seed=2), draws=draws).values()]

    assert text(3) == text(3)
    assert text(3) != text(4)


@pytest.mark.parametrize(
    ("base", "candidate", "verdict"),
    [
        (-0.01, 0.01, "no evidence"),
        (0.0, 0.05, "worse"),
        (0.0, -0.05, "worse"),
        (0.05, 0.0, "better"),
        (-0.05, 0.0, "better"),
        (-0.05, 0.05, "no evidence"),
    ],
)
def test_bias_is_judged_by_its_distance_from_zero(base: float, candidate: float, verdict: str) -> None:
    """The errors are the same on both sides but for the shift, and their mean is 0."""
    level = scored(0.05)
    level = {name: values / np.mean(level["predicted"] / actual()) for name, values in level.items()}
    sides = [{name: values * (1 + shift) for name, values in level.items()} for shift in (base, candidate)]
    found = told(*sides)["bias"]
    assert (found.base, found.candidate) == (pytest.approx(base, abs=1e-6), pytest.approx(candidate, abs=1e-6))
    assert found.verdict == verdict


@pytest.mark.parametrize(
    ("base", "candidate", "verdict"),
    [
        (0.9, 0.7, "worse"),
        (0.7, 0.9, "better"),
        (0.91, 0.97, "worse"),
        (0.87, 0.93, "no evidence"),
        (1.0, 0.9, "better"),
    ],
)
def test_coverage_is_judged_by_its_distance_from_the_level(base: float, candidate: float, verdict: str) -> None:
    found = told(scored(held=base), scored(held=candidate, seed=2))["coverage"]
    assert (found.base, found.candidate) == (base, candidate)
    assert found.verdict == verdict


def test_a_lower_level_is_another_ideal() -> None:
    assert told(scored(held=0.9), scored(held=0.7, seed=2), level=0.7)["coverage"].verdict == "better"


def test_a_candidate_trained_on_shuffled_prices_is_worse() -> None:
    """Its prices are those of other houses."""
    order = np.random.default_rng(5).permutation(1000)
    shuffled = {name: values[order] for name, values in scored().items()}
    found = told(scored(), shuffled)
    assert {name: one.verdict for name, one in found.items() if name != "bias"} == dict.fromkeys(
        ("rmse_log", "mdape", "coverage"), "worse"
    )


def test_two_models_of_equal_worth_are_rarely_told_apart() -> None:
    """A level of 0.95 tells one of twenty pairs of equals apart; of 100, more than 12 come once in a thousand times."""
    apart = dict.fromkeys(("rmse_log", "mdape", "bias", "coverage"), 0)
    for seed in range(100):
        chance = np.random.default_rng(seed)
        true = np.exp(chance.normal(13, 0.5, 300))
        sides = []
        for _ in range(2):
            predicted = true * np.exp(chance.normal(0, 0.15, 300))
            sides.append({"predicted": predicted, "low": predicted * 0.8, "high": predicted * 1.25})
        draws = Bootstrap(draws=100, level=0.95, seed=seed)
        for name, found in differences(true, *sides, 0.86, draws).items():  # type: ignore[misc]
            apart[name] += found.verdict != "no evidence"
    assert max(apart.values()) <= 12, apart
    assert sum(apart.values()) >= 4, f"a test that never speaks has no power: {apart}"


# Slices


def evaluate(rows_min: int = 20, **slices: Any) -> EvaluateParams:
    changes = {"bootstrap": {"draws": 100, "level": 0.99, "seed": 3}, "slice_rows_min": rows_min, "slices": slices}
    return parse(EvaluateParams, params("evaluate") | changes, "params.yaml: evaluate")


BACKGROUND = Background(columns(400), contract(), recipe(), "sqft_living")
CUTS = {"waterfront": {"column": "waterfront"}, "view": {"column": "view"}}


def sliced(bad: np.ndarray | None = None, rows_min: int = 20) -> dict[tuple[str, str], Any]:
    """Return the slices of a thousand houses, whose candidate prices houses that are `bad` half too dear."""
    base = scored(0.15)
    candidate = scored(0.15, seed=2)
    if bad is not None:
        candidate = {name: np.where(bad, values * 1.5, values) for name, values in candidate.items()}
    params = evaluate(rows_min, **CUTS)
    found = by_slice(columns(1000, 1), actual(), base, candidate, params, BACKGROUND)
    return {(one.slice, one.group): one for one in found}


def test_a_planted_bad_slice_is_found_and_only_it() -> None:
    bad = (columns(1000, 1)["view"] == 4) & (columns(1000, 1)["waterfront"] == 0)
    assert 120 < bad.sum() < 250
    found = sliced(bad)
    verdicts = {key: one.mdape.verdict for key, one in found.items() if key[0] == "view"}
    assert verdicts == {("view", str(view)): "worse" if view == 4 else "no evidence" for view in range(5)}
    assert found["view", "4"].verdict == "worse"
    assert found["waterfront", "1"].verdict != "worse", "no bad house stands in it"
    worst = max(found.values(), key=lambda one: one.mdape.difference)
    assert (worst.slice, worst.group, worst.mdape.difference > 0.25) == ("view", "4", True)


def test_without_a_bad_slice_none_is_found_and_fifths_are_always_there() -> None:
    found = sliced()
    assert [key for key, one in found.items() if one.verdict == "worse"] == []
    assert [(key, one.rows) for key, one in found.items() if key[0] == "price_fifth"] == [
        (("price_fifth", str(fifth)), 200) for fifth in range(1, 6)
    ]


def test_a_group_with_too_few_rows_is_left_out() -> None:
    flags = columns(1000, 1)["waterfront"]
    few = int((flags == 1).sum())
    assert ("waterfront", "1") in sliced(rows_min=few)
    assert ("waterfront", "1") not in sliced(rows_min=few + 1)
    assert ("waterfront", "0") in sliced(rows_min=few + 1)


def test_a_slice_is_worse_if_either_metric_is() -> None:
    good = Difference(base=0.1, candidate=0.1, difference=0, interval=(0, 0), worse_by=(-1, -0.5), verdict="better")
    bad = good.model_copy(update={"verdict": "worse"})
    plain = sliced()["waterfront", "1"]

    def verdict(mdape: Difference, rmse_log: Difference) -> str:
        return str(plain.model_copy(update={"mdape": mdape, "rmse_log": rmse_log}).verdict)

    assert verdict(good, bad) == verdict(bad, good) == "worse"
    assert verdict(good, good) == "better"


def test_weeks_begin_on_monday_and_hold_both_sides() -> None:
    days = np.array(["2015-03-01", "2015-03-02", "2015-03-08"], dtype="datetime64[D]")  # Sunday, Monday, Sunday
    prices = np.array([100.0, 100.0, 100.0])
    sides = [{"predicted": prices * by, "low": prices * 0.5, "high": prices * 2} for by in (1.1, 1.3)]
    found = by_week(days, prices, *sides)  # type: ignore[arg-type]
    assert [(one.week, one.rows) for one in found] == [("2015-02-23", 1), ("2015-03-02", 2)]
    assert [one.mdape for one in found] == [Pair(base=0.1, candidate=0.3)] * 2
    assert [one.median_ratio for one in found] == [Pair(base=1.1, candidate=1.3)] * 2


# Params


@pytest.mark.parametrize(
    ("base", "candidate", "keys"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, {"a.c": (2, 3)}),
        ({"a": [1, 2]}, {"a": [1, 2, 3]}, {"a": ([1, 2], [1, 2, 3])}),
        ({"a": {"b": 1}}, {"a": {}}, {"a": (None, {}), "a.b": (1, None)}),
        ({"a": {}}, {"a": 1}, {"a": ({}, 1)}),
        ({"a": None}, {}, {"a": (None, None)}),
        ({}, {"a": {"b": {"c": 1}}}, {"a.b.c": (None, 1)}),
        ({"a": {"b": {"c": [1]}}}, {"a": {"b": {"c": [1]}}}, {}),
    ],
)
def test_params_that_differ_are_told_by_their_keys(base: Any, candidate: Any, keys: dict[str, Any]) -> None:
    found = changed(base, candidate)
    assert {key: (pair.base, pair.candidate) for key, pair in found.items()} == keys
    assert list(found) == sorted(found)


# Rows


def test_identical_tables_have_no_change_at_all() -> None:
    found = data_change(frame(300), frame(300), contract(), FEW)
    assert found.model_dump() == {
        "base_rows": 300, "candidate_rows": 300, "added": 0, "gone": 0, "corrected": 0, "corrected_columns": {},
        "other_columns": {}, "moved": (),
    }  # fmt: skip


def test_added_gone_and_corrected_rows_are_told_by_their_keys_whatever_their_order() -> None:
    base, candidate = frame(300), frame(300).iloc[10:].copy()  # ten are gone
    more = frame(320).iloc[300:].assign(id=lambda rows: rows["id"] + 10_000)  # twenty are added
    candidate.iloc[0, candidate.columns.get_loc("price")] += 1  # two are corrected, one of them twice
    candidate.iloc[1, candidate.columns.get_loc("price")] += 1
    candidate.iloc[1, candidate.columns.get_loc("grade")] += 1
    candidate = pd.concat([candidate, more]).sample(frac=1, random_state=1)
    found = data_change(base, candidate, contract(), FEW)
    assert (found.base_rows, found.candidate_rows, found.added, found.gone, found.corrected) == (300, 310, 20, 10, 2)
    assert found.corrected_columns == {"price": 2, "grade": 1}


def test_another_day_of_a_sale_is_another_row() -> None:
    candidate = frame(300)
    candidate.loc[0, "date"] += pd.Timedelta(days=1)
    found = data_change(frame(300), candidate, contract(), FEW)
    assert (found.added, found.gone, found.corrected) == (1, 1, 0)


def test_an_empty_cell_equals_an_empty_cell_and_differs_from_a_filled_one() -> None:
    base, candidate = frame(300), frame(300)
    base.loc[[0, 1], "view"] = pd.NA
    candidate.loc[[0, 2], "view"] = pd.NA  # 0 empty in both, 1 filled, 2 emptied
    found = data_change(base, candidate, contract(), FEW)
    assert found.corrected_columns == {"view": 2}
    plain = [table.assign(view=table["view"].to_numpy(dtype=float, na_value=np.nan)) for table in (base, candidate)]
    assert data_change(*plain, contract(), FEW).corrected_columns == {"view": 2}  # type: ignore[misc]


def test_a_column_that_only_one_side_has_is_told() -> None:
    base, candidate = frame(300).assign(pool=1), frame(300).drop(columns="view")
    found = data_change(base, candidate, contract(), FEW)
    assert found.other_columns == {"pool": Pair(base="int64"), "view": Pair(base="Int64")}
    assert (found.added, found.gone, found.corrected, found.moved) == (0, 0, 0, ())


def test_a_column_of_another_type_is_told_and_not_compared() -> None:
    found = data_change(
        frame(300), frame(300).assign(grade=lambda rows: "g" + rows["grade"].astype(str)), contract(), FEW
    )
    assert found.other_columns == {"grade": Pair(base="Int64", candidate="str")}
    assert (found.corrected, found.moved) == (0, ())


@pytest.mark.parametrize("other", [{"id": lambda rows: rows["id"].astype(str)}, {}])
def test_rows_without_a_common_key_are_all_gone_and_all_added(other: dict[str, Any]) -> None:
    base = frame(300).assign(**other) if other else frame(300).drop(columns="id")
    found = data_change(base, frame(200), contract(), FEW)
    assert list(found.other_columns) == ["id"]
    assert (found.added, found.gone, found.corrected, found.corrected_columns) == (200, 300, 0, {})


def test_keys_that_stand_twice_are_paired_one_by_one() -> None:
    """Validated tables have unique keys, but those of the base's own contract: a merge of 300 x 300 would be 90,000."""
    same = {"id": 1, "date": pd.Timestamp("2015-01-01").as_unit("ms")}
    base, candidate = frame(300).assign(**same), frame(301).assign(**same)
    for table in (base, candidate):
        table["id"] = table["id"].astype("Int64")
    found = data_change(base, candidate, contract(), FEW)
    assert (found.added, found.gone) == (1, 0)


# Columns that moved


def test_a_number_that_moved_is_found_with_its_medians() -> None:
    candidate = frame(300).assign(sqft_living=lambda rows: rows["sqft_living"] + 500)
    (found,) = data_change(frame(300), candidate, contract(), FEW).moved
    assert found.column == "sqft_living"
    assert found.distance > found.by_chance > 0
    before, after = (float(text.removeprefix("median ").replace(",", "")) for text in (found.base, found.candidate))
    assert after - before == 500


def test_a_category_that_moved_is_found_with_its_most_frequent_value() -> None:
    often = contract()["zipcode"].categories[0]
    candidate = frame(300)
    candidate.loc[candidate.index[:100], "zipcode"] = often
    (found,) = data_change(frame(300), candidate, contract(), FEW).moved
    assert found.column == "zipcode"
    assert found.distance > found.by_chance > 0
    assert found.candidate.startswith(f"most often {often}, 3")


def test_a_new_category_counts_whole() -> None:
    categories = contract()["zipcode"].categories
    base, candidate = (frame(300).assign(zipcode=pd.array([place] * 300, dtype="Int64")) for place in categories[:2])
    (found,) = data_change(base, candidate, contract(), FEW).moved
    assert (found.distance, found.by_chance < 0.2) == (1.0, True)


def test_a_column_that_lost_all_its_values_moved() -> None:
    candidate = frame(300).assign(view=pd.array([pd.NA] * 300, dtype="Int64"))
    (found,) = data_change(frame(300), candidate, contract(), FEW).moved
    assert (found.column, found.distance) == ("view", 1.0)
    assert (found.base, found.candidate) == ("300 filled cells", "0 filled cells")


def test_a_price_that_moved_is_found() -> None:
    candidate = frame(300).assign(price=lambda rows: rows["price"] * 2)
    assert [one.column for one in data_change(frame(300), candidate, contract(), FEW).moved] == ["price"]


def test_a_resample_moves_nothing_but_by_chance() -> None:
    """Of four columns in 50 tables one of twenty may: ten of 200. Columns with many ties, such as grade, move less."""
    names = ["id", "date", "price", "lat", "grade", "zipcode"]
    moved: list[str] = []
    pool = frame(2000)[names]
    for seed in range(50):
        rows = pool.sample(500, random_state=seed)
        moved += [one.column for one in data_change(rows[:250], rows[250:], contract(), FEW).moved]
    counts = {name: moved.count(name) for name in names[2:]}
    assert 2 <= sum(counts.values()) <= 20, counts
    assert max(counts.values()) <= 8, "each column at about the level, zipcode too"
