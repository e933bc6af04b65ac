"""Test the search: its space, its trials, its record, what it writes, and that it never sees a test row."""

import io
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import PROJECT
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import modify_yaml
from samples import CONTRACT_BYTES, PARAMS_TEXT, TREES, columns, contract, houses, params, sales, whole_recipe
from test_purity import imported

from hearth import tuning
from hearth.cli import main
from hearth.errors import Refusal
from hearth.estimators import CatBoostParams
from hearth.evidence import compare
from hearth.model import ModelParams, OutOfFold, ensembles
from hearth.operations import tune
from hearth.parquet import write_arrow
from hearth.scoring import mdape, rmse_log
from hearth.slices import Bootstrap
from hearth.strict import parse
from hearth.tuning import CURRENT, Range, Record, Span, TuneParams

TRIALS = 5
RECORD = Path("metrics/tuning.json")
CAT = CatBoostParams(kind="catboost", loss="absolute", weight=3.0, iterations=10, learning_rate=0.1, depth=3, l2=3.0,
                     features_per_split=0.5, rows_per_tree=0.8, seed=1)  # fmt: skip
MODEL = ModelParams(members={"mean": TREES, "median": CAT}, outlier_log=0.3, neighbour_folds=3,
                    out_of_fold=OutOfFold(folds=3, trees=TREES), seed=1)  # fmt: skip
SPACE = {
    "members.mean.learning_rate": {"low": 0.05, "high": 0.4, "log": True},
    "members.mean.leaves": {"low": 4, "high": 12},
    "members.median.weight": {"low": 1, "high": 4},
    "outlier_log": {"low": 0.2, "high": 0.6},
}
BOOTSTRAP = Bootstrap(draws=50, level=0.9, seed=1)


def asked(**other: Any) -> TuneParams:
    """Return the section `tune` for the tiny model, with some of it changed."""
    section = params("tune") | {"space": SPACE, "trials": TRIALS, "random_trials": 3, "folds": 2} | other
    return parse(TuneParams, section, "params.yaml: tune")


def record(space: dict[str, Any] = SPACE, model: ModelParams = MODEL) -> Record:
    """Return a record without trials."""
    spans = (Span(first_day="2014-12-01", last_day="2014-12-30", rows_fit=300, rows_judge=50),) * 2
    return Record(
        data_sha256="d", contract_sha256="c", code_sha256="o", libraries={"optuna": "5"},
        params={"model": model.model_dump(mode="json"), "market": {"knot_days": 7}}, folds=spans,
        metric="rmse_log", seed=1, random_trials=3, space=tuning.space_of(asked(space=space), model),
    )  # fmt: skip


def searched(count: int, begun: Record | None = None) -> Record:
    """Return a record with trials whose scores are made up: the nearer leaves to 8 and outlier_log to 0.4 the better."""
    found = begun or record()
    while len(found.trials) < count:
        values = tuning.propose(found)
        score = round(0.2 + abs(values["members.mean.leaves"] - 8) / 100 + abs(values["outlier_log"] - 0.4), 6)
        found = tuning.with_trial(found, values, [score, score])
    return found


def reread(found: Record) -> Record:
    """Return the record as it comes back from its file, sorted."""
    return parse(Record, json.loads(json.dumps(found.document(), sort_keys=True)), "metrics/tuning.json")


# The space


def test_a_range_takes_the_type_of_the_number_that_it_is_for() -> None:
    space = record().space
    assert list(space) == sorted(SPACE)
    assert (space["members.mean.leaves"].low, space["members.median.weight"].low) == (4, 1.0)
    assert [type(space[name].low) for name in space] == [float, int, float, float]


@pytest.mark.parametrize(
    ("name", "wanted", "said"),
    [
        ("members.mean.leafs", (4, 9), "tune.space.members.mean.leafs is no key below model; did you mean 'members.mean.leaves'?"),
        ("members.mode.leaves", (4, 9), "tune.space.members.mode.leaves is no key below model; did you mean 'members.mean.leaves'?"),
        ("members", (4, 9), "tune.space.members is no key below model; "),
        ("members.mean.seed", (1, 9), "tune.space.members.mean.seed cannot be tuned, wanted a number of members or outlier_log (a lucky seed is no better model); take it away"),
        ("neighbour_folds", (2, 9), "cannot be tuned, wanted a number of members or outlier_log (the folds are prepared once for all trials)"),
        ("out_of_fold.trees.leaves", (2, 9), "(the folds are prepared once for all trials)"),
        ("members.mean.kind", (1, 2), "tune.space.members.mean.kind: model.members.mean.kind is 'hist', wanted a number"),
        ("members.mean.leaves", (4, 9.0), "tune.space.members.mean.leaves.high is 9.0, wanted a whole number"),
        ("members.mean.leaves", (1, 9), "tune.space.members.mean.leaves.low is 1, wanted greater than or equal to 2, as for model.members.mean.leaves; narrow it"),
        ("members.median.depth", (1, 11), "tune.space.members.median.depth.high is 11, wanted less than or equal to 10"),
        ("members.mean.leaves", (9, 12), "tune.space.members.mean.leaves goes from 9 to 12, wanted a range around model.members.mean.leaves, which is 8"),
    ],
)  # fmt: skip
def test_an_impossible_space_is_refused_by_its_key(name: str, wanted: tuple[float, float], said: str) -> None:
    space = {name: {"low": wanted[0], "high": wanted[1]}}
    with pytest.raises(ValueError, match=r"^tune\.space") as caught:
        tuning.space_of(asked(space=space), MODEL)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"space": {"outlier_log": {"low": 0.4, "high": 0.4}}}, "params.yaml: tune.space.outlier_log is {'low': 0.4, 'high': 0.4}, wanted low below high."),
        ({"space": {"outlier_log": {"low": 0.0, "high": 0.4, "log": True}}}, "wanted low above 0 where log is true."),
        ({"space": {"outlier_log": {"low": "0.1", "high": 0.4}}}, "params.yaml: tune.space.outlier_log.low is '0.1', wanted a number."),
        ({"space": {"outlier_log": {"low": True, "high": 4}}}, "tune.space.outlier_log.low is True, wanted a number."),
        ({"space": {"outlier_log": {"low": 0.1, "high": math.inf}}}, "tune.space.outlier_log.high is inf, wanted a number."),
        ({"space": {"outlier_log": {"low": 0.1, "high": 1.0, "step": 2}}}, "tune.space.outlier_log.step is not a known key"),
        ({"space": {}}, "tune.space is {}"),
        ({"trials": 0}, "tune.trials is 0, wanted greater than or equal to 1."),
        ({"metric": "r2"}, "tune.metric is 'r2', wanted 'rmse_log' or 'mdape'."),
        ({"candidates": {"x": {}}}, "tune.candidates.x is {}"),
        ({"candidates": {"x": {"a": {"kind": "forest"}}}}, "tune.candidates.x.a.kind is 'forest', wanted one of 'hist', 'lightgbm', 'catboost'."),
        ({"candidates": {CURRENT: params("model")["members"]}}, "wanted another name than model.members"),
    ],
)  # fmt: skip
def test_a_slip_in_the_section_is_refused(edit: dict[str, Any], said: str) -> None:
    with pytest.raises(Refusal) as caught:
        asked(**edit)
    assert said in str(caught.value)


def test_values_are_read_and_set_by_dotted_keys() -> None:
    other = tuning.with_values(MODEL, {"members.mean.leaves": 5, "outlier_log": 0.2})
    assert (other.members["mean"].leaves, other.outlier_log) == (5, 0.2)  # type: ignore[union-attr]
    assert other.members["median"] == MODEL.members["median"]
    assert tuning.values_of(MODEL, record().space)["members.median.weight"] == 3.0


def test_edge_distances_are_shares_of_the_width_by_hand() -> None:
    space = {"a": Range(low=4, high=8), "b": Range(low=0.01, high=1.0, log=True), "c": Range(low=0.0, high=10.0)}
    assert tuning.edges(space, {"a": 7, "b": 0.1, "c": 0.4}) == {"a": 0.25, "b": 0.5, "c": 0.04}
    assert tuning.edges(space, {"a": 4, "b": 0.01, "c": 10.0}) == {"a": 0.0, "b": 0.0, "c": 0.0}


def test_a_best_value_near_an_edge_is_told() -> None:
    found = tuning.with_trial(record(), tuning.propose(record()) | {"members.mean.leaves": 12, "outlier_log": 0.21}, [0.1, 0.1])  # fmt: skip
    said = tuning.near_edges(found)
    assert [line.split(" is ")[0] for line in said] == ["members.mean.leaves", "outlier_log"]
    assert said[1].startswith("outlier_log is 0.21, 2% of the width from an edge of 0.2 to 0.6; widen tune.space.")
    assert tuning.near_edges(tuning.with_trial(record(), tuning.propose(record()), [0.1, 0.1])) == []
    assert tuning.near_edges(record()) == []


# The trials


def test_the_first_trial_is_what_stands_in_params() -> None:
    assert tuning.propose(record()) == tuning.values_of(MODEL, record().space)


def test_trials_stay_in_the_space_with_their_types_and_differ() -> None:
    found = searched(12)
    for trial in found.trials:
        for name, value in trial.values.items():
            assert found.space[name].low <= value <= found.space[name].high
            assert type(value) is type(found.space[name].low)
            assert value == float(f"{value:.6g}")
    assert len({json.dumps(trial.values) for trial in found.trials}) == 12


def test_the_search_learns() -> None:
    """After the random trials the made-up score, smallest at 8 leaves and 0.4, is searched where it is small."""
    scores = [trial.score for trial in searched(40).trials][1:]
    assert np.mean(scores[-15:]) < np.mean(scores[:10])


def test_a_search_depends_on_seed_and_record_alone() -> None:
    assert searched(8) == searched(8)
    assert searched(8, reread(searched(4))).document() == searched(8).document()
    other = searched(3, record().model_copy(update={"seed": 2}))
    assert other.trials[1].values != searched(3).trials[1].values


def test_the_best_is_the_earliest_of_the_smallest() -> None:
    found = record()
    for score in (0.3, 0.2, 0.2):
        found = tuning.with_trial(found, tuning.propose(found), [score, score])
    assert found.best
    assert (found.best.number, found.best.score) == (1, 0.2)
    assert found.best.values == found.trials[1].values


def test_a_score_is_the_mean_of_the_folds() -> None:
    found = tuning.with_trial(record(), tuning.propose(record()), [0.1, 0.2])
    assert found.trials[0].score == 0.15


# The record


def test_a_whole_record_is_gone_on_with() -> None:
    found = reread(searched(6))
    assert tuning.go_on(found, record()) == found


def test_a_record_is_gone_on_with_when_params_hold_its_best_values() -> None:
    found = searched(6)
    assert found.best
    assert found.best.number > 0
    written = record(model=tuning.with_values(MODEL, found.best.values))
    assert tuning.go_on(reread(found), written) == found


def test_params_with_other_values_than_start_or_best_are_another_search() -> None:
    other = record(model=tuning.with_values(MODEL, {"outlier_log": 0.31}))
    with pytest.raises(ValueError, match=r"^model\.outlier_log was 0\.3, is 0\.31$"):
        tuning.go_on(searched(6), other)


def test_candidates_outlive_a_search_that_had_not_begun() -> None:
    empty = record().model_copy(update={"data_sha256": "other"})
    assert tuning.go_on(empty, record()) == record()


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"data_sha256": "e"}, ["data_sha256 was 'd', is 'e'"]),
        ({"code_sha256": "e", "libraries": {"optuna": "6"}}, ["code_sha256 was 'o', is 'e'", "libraries.optuna was '5', is '6'"]),
        ({"metric": "mdape", "seed": 2}, ["metric was 'rmse_log', is 'mdape'", "seed was 1, is 2"]),
        ({"folds": record().folds[:1]}, ["folds.1.first_day was '2014-12-01', is not there", "folds.1.last_day was '2014-12-30', is not there",
                                         "folds.1.rows_fit was 300, is not there", "folds.1.rows_judge was 50, is not there"]),
        ({"params": record().params | {"market": {"knot_days": 8}}}, ["market.knot_days was 7, is 8"]),
        ({"space": record().space | {"outlier_log": Range(low=0.2, high=0.7)}}, ["space.outlier_log.high was 0.6, is 0.7"]),
    ],
)  # fmt: skip
def test_a_record_made_from_something_else_is_refused_with_what_differs(edit: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(ValueError, match=" was ") as caught:
        tuning.go_on(searched(4), record().model_copy(update=edit))
    assert str(caught.value).splitlines() == said


def _swap(document: dict[str, Any]) -> None:
    trials = document["trials"]
    trials[2], trials[3] = trials[3] | {"number": 2}, trials[2] | {"number": 3}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda d: d["best"].update(d["trials"][1]) or d["best"].pop("per_fold"), "best is not that of the recorded trials"),
        (lambda d: d.update(best=None), "best is not that of the recorded trials"),
        (lambda d: d["edge"].update(outlier_log=0.5), "edge is not that of the recorded trials"),
        (lambda d: d["trials"].reverse(), "trials.0.number is 5, wanted 0"),
        (_swap, "trials.2.values are not what the trials before them lead to"),
        (lambda d: d["trials"].pop(2), "trials.2.number is 3, wanted 2"),
        (lambda d: d["trials"][1].update(score=0.01), "trials.1.score is 0.01, wanted the mean of 2 folds in per_fold"),
        (lambda d: d["trials"][1].update(per_fold=[0.5]), "wanted the mean of 2 folds"),
        (lambda d: d["trials"][3].update(score=0.01, per_fold=[0.01, 0.01]), "trials.4.values are not what the trials before them lead to"),
        (lambda d: d["trials"][1]["values"].update(outlier_log=0.33), "trials.1.values are not"),
        (lambda d: d["trials"][1]["values"].update(outlier_log=99.0), "trials.1.values are not"),
        (lambda d: d["trials"][1]["values"].pop("outlier_log"), "trials.1.values are not"),
        (lambda d: d["trials"][0]["values"].update({"members.mean.leaves": 8.0}), "trials.0.values are not"),
    ],
)  # fmt: skip
def test_a_forged_record_is_noticed(edit: Callable[[dict[str, Any]], object], said: str) -> None:
    """Each trial is drawn anew from those before it: a shuffled, dropped or touched one leads elsewhere."""
    document = searched(6).document()
    edit(document)
    forged = parse(Record, document, "metrics/tuning.json")
    with pytest.raises(ValueError, match="wanted") as caught:
        tuning.go_on(forged, record())
    assert said in str(caught.value)


# The folds


@pytest.fixture(scope="module")
def fold() -> tuning.Fold:
    cut = tuning.cuts(columns(400), contract(), asked())[-1]
    return tuning.prepare_fold(columns(400), contract(), whole_recipe(model=MODEL), cut)


def test_folds_that_do_not_fit_are_refused_by_their_keys() -> None:
    with pytest.raises(ValueError, match=r"^tune\.folds, tune\.fold_days: 20 folds of 30 days do not fit"):
        tuning.cuts(columns(400), contract(), asked(folds=20))


def test_a_fold_judges_the_newest_days_and_learns_from_those_before() -> None:
    days = columns(400)["date"]
    spans = [tuning.span(days, cut) for cut in tuning.cuts(columns(400), contract(), asked())]
    assert spans[-1].last_day == str(days.max())
    assert spans[0].last_day < spans[1].first_day
    assert spans[1].rows_fit == spans[0].rows_fit + spans[0].rows_judge


def test_a_fold_prices_like_the_model(fold: tuning.Fold) -> None:
    """The members that are grown for a trial are those of `model.ensembles`, blended alike."""
    blend, _ = ensembles(fold.ready, whole_recipe(model=MODEL))
    wanted = np.exp(fold.offset + blend.predict(fold.inputs))
    np.testing.assert_allclose(tuning.predicted(fold, MODEL), wanted, rtol=1e-12)
    assert tuning.fold_score(fold, MODEL, "rmse_log") == round(rmse_log(fold.actual, wanted), 6)
    assert tuning.fold_score(fold, MODEL, "mdape") == round(mdape(fold.actual, wanted), 6)


def test_a_member_is_grown_once_whatever_its_weight(fold: tuning.Fold, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tuning.predicted(fold, MODEL)
    grown = []
    plain = tuning.grow_member
    monkeypatch.setattr(tuning, "grow_member", lambda *given: grown.append(given[1].kind) or plain(*given))
    assert (tuning.predicted(fold, tuning.with_values(MODEL, {"members.median.weight": 1.0})) != before).any()
    assert grown == []
    tuning.predicted(fold, tuning.with_values(MODEL, {"outlier_log": 0.25}))
    assert grown == ["hist"]  # the median listens to no outlier anyway
    tuning.predicted(fold, tuning.with_values(MODEL, {"members.median.depth": 2}))
    assert grown == ["hist", "catboost"]


def test_candidates_are_compared_in_pairs_with_the_current_members() -> None:
    chance = np.random.default_rng(1)
    actual = np.exp(chance.normal(13, 0.5, 300))
    prices = {CURRENT: actual * np.exp(chance.normal(0, 0.2, 300))}
    prices |= {"same": prices[CURRENT], "good": actual * np.exp(chance.normal(0, 0.05, 300)), "bad": actual * 2}
    found = tuning.compared(actual, prices, dict.fromkeys(prices, MODEL.members), BOOTSTRAP)
    assert found[CURRENT].rmse_log_minus_current is None
    verdicts = {name: (s.rmse_log_minus_current, s.mdape_minus_current) for name, s in found.items() if name != CURRENT}
    assert {name: tuple(v and v.verdict for v in pair) for name, pair in verdicts.items()} == {
        "same": ("no evidence", "no evidence"), "good": ("better", "better"), "bad": ("worse", "worse"),
    }  # fmt: skip
    assert found["good"].mdape_minus_current == compare(actual, prices["good"], prices[CURRENT], BOOTSTRAP).mdape
    assert found["good"].rmse_log == round(rmse_log(actual, prices["good"]), 6)


# The command


def tiny(text: str) -> str:
    """Return params.yaml with a small model, made as DVC changes it, so that every comment is kept."""
    stream = Path("tiny.yaml")
    stream.write_text(text, encoding="utf-8")
    with modify_yaml(stream) as document:
        document["split"]["test_from"] = "2015-03-01"
        model, section = document["model"], document["tune"]
        model["neighbour_folds"] = 3
        model["out_of_fold"]["trees"] |= {"iterations": 10}
        for member in model["members"].values():
            member["iterations"] = 8
        for name, members in section["candidates"].items():
            for member in members.values() if name != "all" else ():
                member["iterations"] = 10
                member["learning_rate"] = 0.1
        section.update(trials=TRIALS, random_trials=3, folds=2)
        document["evaluate"]["bootstrap"]["draws"] = 50
    made = stream.read_text(encoding="utf-8")
    stream.unlink()
    return made


def fill(folder: Path) -> None:
    """Make a project of four hundred made-up training sales; its test file is no parquet at all."""
    for name in ("dvc.yaml", "data/contract.yaml", "data/prepared/test.parquet"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / "dvc.yaml").write_bytes(b"stages: {}\n")
    (folder / "data/contract.yaml").write_bytes(CONTRACT_BYTES)
    (folder / "data/prepared/test.parquet").write_bytes(b"not to be opened")
    before = Path.cwd()
    os.chdir(folder)
    try:
        (folder / "params.yaml").write_text(tiny(PARAMS_TEXT), encoding="utf-8")
        write_arrow(folder / "data/prepared/train.parquet", sales(houses(400)))
    finally:
        os.chdir(before)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    fill(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    os.chdir(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, str, str, str]:
    """Return the record, params.yaml, output and error output of a search that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    fill(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        out, err = io.StringIO(), io.StringIO()
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        assert main(["tune"]) == 0
    return (folder / RECORD).read_bytes(), (folder / "params.yaml").read_text(), out.getvalue(), err.getvalue()


def interrupt(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Press Ctrl-C in the trial that follows so many."""
    plain, done = tuning.with_trial, []

    def counted(*given: Any) -> Record:
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(1)
        return plain(*given)

    monkeypatch.setattr(tuning, "with_trial", counted)


def test_a_search_is_the_same_everywhere_and_tells_no_time(whole: tuple[bytes, str, str, str], project: Path) -> None:
    assert main(["tune"]) == 0
    assert RECORD.read_bytes() == whole[0]
    assert Path("params.yaml").read_text() == whole[1]


def test_the_record_holds_what_the_search_was(whole: tuple[bytes, str, str, str]) -> None:
    document = json.loads(whole[0])
    assert [trial["number"] for trial in document["trials"]] == list(range(TRIALS))
    assert document["best"]["score"] == min(trial["score"] for trial in document["trials"])
    assert document["best"]["score"] <= document["trials"][0]["score"]
    assert document["trials"][0]["values"]["members.median.leaves"] == params("model")["members"]["median"]["leaves"]
    assert [len(trial["per_fold"]) for trial in document["trials"]] == [2] * TRIALS
    assert {"first_day", "last_day", "rows_fit", "rows_judge"} == document["folds"][0].keys()
    assert document["edge"].keys() == document["space"].keys() == params("tune")["space"].keys()
    assert (document["metric"], document["candidates"]) == ("rmse_log", None)


def test_the_best_values_land_in_params_with_every_comment(whole: tuple[bytes, str, str, str], project: Path) -> None:
    before, after = Path("params.yaml").read_text().splitlines(), whole[1].splitlines()
    best = json.loads(whole[0])["best"]
    assert best["number"] > 0, "the made-up sales let no trial beat the first; take another seed"
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert [old.split(":")[0] for old, _ in changed] == [new.split(":")[0] for _, new in changed]
    model, started = yaml.safe_load(whole[1])["model"], yaml.safe_load(Path("params.yaml").read_text())["model"]
    for name, value in best["values"].items():
        _, member, key = name.split(".")
        assert model["members"][member][key] == value
        assert type(model["members"][member][key]) is type(started["members"][member][key])
    assert len(changed) <= len(best["values"])
    for old, new in changed:
        assert f"{old.strip()} -> {new.strip()}" in whole[2]
    assert "next: `dvc repro`" in whole[2]


def test_progress_is_a_line_a_trial_outside_a_terminal(whole: tuple[bytes, str, str, str]) -> None:
    lines = whole[3].splitlines()
    assert lines[0] == "preparing 2 folds of data/prepared/train.parquet"
    assert [line.split(":")[0] for line in lines[1:]] == [f"{n} of {TRIALS}" for n in range(1, TRIALS + 1)]


@pytest.mark.parametrize("after", [0, 1, 4])
def test_an_interrupted_search_goes_on_to_the_same_bytes(
    whole: tuple[bytes, str, str, str], project: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], after: int,
) -> None:  # fmt: skip
    untouched = Path("params.yaml").read_text()
    with monkeypatch.context() as patch:
        interrupt(patch, after)
        assert main(["tune"]) == 130
    assert f"interrupted: {after} of {TRIALS} trials are done; the same command goes on" in capsys.readouterr().err
    assert RECORD.exists() == (after > 0)
    if after:
        assert json.loads(RECORD.read_bytes())["trials"] == json.loads(whole[0])["trials"][:after]
    assert Path("params.yaml").read_text() == untouched
    assert main(["tune"]) == 0
    assert (RECORD.read_bytes(), Path("params.yaml").read_text()) == (whole[0], whole[1])


def test_a_killed_search_goes_on_to_the_same_bytes(whole: tuple[bytes, str, str, str], project: Path) -> None:
    """Killed without a word in the middle of the third writing, it leaves the second record whole."""
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom hearth.cli import main\nplain, done = Path.replace, []\n"
        "def replace(self, target):\n    done.append(1)\n"
        "    if len(done) == 3: os.kill(os.getpid(), signal.SIGKILL)\n    return plain(self, target)\n"
        "Path.replace = replace\nmain(['tune'])\n"
    )
    environment = os.environ | {"PYTHONPATH": str(PROJECT / "src")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(json.loads(RECORD.read_bytes())["trials"]) == 2
    assert main(["tune"]) == 0
    assert (RECORD.read_bytes(), Path("params.yaml").read_text()) == (whole[0], whole[1])


def test_a_finished_search_does_nothing_more_and_may_be_made_longer(
    whole: tuple[bytes, str, str, str], project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    RECORD.parent.mkdir()
    RECORD.write_bytes(whole[0])
    Path("params.yaml").write_text(whole[1])
    with monkeypatch.context() as patch:
        patch.setattr(tuning, "prepare_fold", None)
        assert main(["tune"]) == 0
    assert "params.yaml holds the best values already" in capsys.readouterr().out
    assert (RECORD.read_bytes(), Path("params.yaml").read_text()) == (whole[0], whole[1])
    assert main(["tune", "--trials", str(TRIALS + 1), "--dry-run"]) == 0
    assert json.loads(RECORD.read_bytes())["trials"][:TRIALS] == json.loads(whole[0])["trials"]
    assert Path("params.yaml").read_text() == whole[1]


def test_a_dry_run_says_what_it_would_write(
    whole: tuple[bytes, str, str, str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    RECORD.parent.mkdir()
    RECORD.write_bytes(whole[0])
    before = Path("params.yaml").read_bytes()
    assert main(["tune", "--dry-run", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == json.loads(whole[0])
    assert "leaves: 20 would become " in err or "learning_rate: 0.04 would become " in err
    assert Path("params.yaml").read_bytes() == before


def opened_by(program: str) -> list[str]:
    """Return the files that a program opens, in the working folder."""
    hook = "import sys\nsys.addaudithook(lambda event, given: event == 'open' and print('OPEN', given[0], file=sys.stderr))\n"  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(PROJECT / "src")}
    done = subprocess.run([sys.executable, "-c", hook + program], env=environment, capture_output=True, text=True, check=False)  # fmt: skip
    return [line.removeprefix("OPEN ") for line in done.stderr.splitlines() if line.startswith("OPEN ")]


def test_no_test_row_is_read(project: Path) -> None:
    """The test file is not even opened, neither for trials nor for candidates; the listener does hear of the training file."""
    found = opened_by("from hearth.cli import main\nmain(['tune', '--trials', '2'])\nmain(['tune', '--candidates'])\n")
    assert sum(name.endswith("train.parquet") for name in found) >= 2
    assert not [name for name in found if "test.parquet" in name or "models" in name.split("/")[:1]]
    assert json.loads(RECORD.read_bytes())["candidates"]


def test_an_opened_test_file_would_be_heard_of(project: Path) -> None:
    found = opened_by("from hearth.storage import read_bytes\nfrom hearth.paths import TEST\nread_bytes(TEST)\n")
    assert [name for name in found if "test.parquet" in name]


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["tune", *words]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    return err


def test_rows_that_became_test_rows_are_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("'2015-03-01'\n\nfeatures", "'2015-02-01'\n\nfeatures"))  # fmt: skip
    assert "holds sales up to 2015-02-25, wanted none from split.test_from 2015-02-01 on" in refused(capsys)


BAD = [
    ("members.median.leaves: {", "members.median.leafs: {", "params.yaml: tune.space.members.median.leafs is no key below model; did you mean 'members.median.leaves'?"),
    ("leaves: {low: 8", "leaves: {low: 50", "tune.space.members.median.leaves is {'low': 50, 'high': 40}, wanted low below high."),
    ("  fold_days: 30", "  fold_days: 3000", "params.yaml: tune.folds, tune.fold_days: 2 folds of 3000 days do not fit"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("operation", "old", "new", "said"),
    [*(("tune", *entry) for entry in BAD), *(("check", *entry) for entry in BAD[:2])],  # check reads no rows
)
def test_a_bad_section_is_refused_in_words(
    project: Path, capsys: pytest.CaptureFixture[str], operation: str, old: str, new: str, said: str
) -> None:
    text = Path("params.yaml").read_text()
    assert old in text
    Path("params.yaml").write_text(text.replace(old, new))
    assert main([operation]) == 1
    assert said in capsys.readouterr().err


def test_another_record_is_refused_and_restart_begins_anew(
    whole: tuple[bytes, str, str, str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    RECORD.parent.mkdir()
    RECORD.write_bytes(whole[0].replace(b'"data_sha256": "', b'"data_sha256": "0'))
    said = refused(capsys)
    assert said.startswith("error: metrics/tuning.json cannot be gone on with:\ndata_sha256 was '0")
    assert "`hearth tune --restart` begins anew" in said
    assert main(["tune", "--restart"]) == 0
    assert RECORD.read_bytes() == whole[0]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"trials": 5}', '{"trials": NaN}'])
def test_a_broken_record_is_refused_with_the_way_out(
    project: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    RECORD.parent.mkdir()
    RECORD.write_text(text)
    said = refused(capsys)
    assert said.startswith("error: metrics/tuning.json")
    assert said.endswith("`hearth tune --restart` begins anew.\n")


@pytest.mark.parametrize("words", [["--trials", "0"], ["--trials", "x"], ["--trials", "2", "--candidates"]])
def test_wrong_use_ends_with_2(project: Path, words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["tune", *words])
    assert caught.value.code == 2


def test_a_file_in_another_style_is_left_alone(
    whole: tuple[bytes, str, str, str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ruamel would join this line, so more than the values would change."""
    RECORD.parent.mkdir()
    RECORD.write_bytes(whole[0])
    text = Path("params.yaml").read_text().replace("  trials: 5\n", "  trials:\n    5\n")
    Path("params.yaml").write_text(text)
    said = refused(capsys)
    assert "params.yaml cannot be changed line by line" in said
    assert "\n  model.members.m" in said
    assert Path("params.yaml").read_text() == text


def test_candidates_are_a_table_and_part_of_the_record(
    whole: tuple[bytes, str, str, str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    RECORD.parent.mkdir()
    RECORD.write_bytes(whole[0])
    before = Path("params.yaml").read_bytes()
    assert main(["tune", "--candidates"]) == 0
    out = capsys.readouterr().out.splitlines()
    found = json.loads(RECORD.read_bytes())
    sets = found["candidates"].pop("sets")
    assert {line.split()[0] for line in out[1:]} == sets.keys() == {CURRENT, *params("tune")["candidates"]}
    order = [sets[line.split()[0]]["rmse_log"] for line in out[1:]]
    assert order == sorted(order)
    assert all(line.count(" to ") == (0 if line.startswith(CURRENT) else 2) for line in out[1:])
    assert found["candidates"]["data_sha256"] == found["data_sha256"]
    assert found["candidates"]["rows"] == sum(fold["rows_judge"] for fold in found["folds"])
    assert found | {"candidates": None} == json.loads(whole[0])
    assert Path("params.yaml").read_bytes() == before
    assert main(["tune", "--dry-run"]) == 0
    assert json.loads(RECORD.read_bytes())["candidates"]["sets"] == sets


# What params.yaml and the code say


def test_the_shipped_section_suits_the_shipped_model() -> None:
    section = parse(TuneParams, params("tune"), "params.yaml: tune")
    tuning.space_of(section, parse(ModelParams, params("model"), "params.yaml: model"))
    kinds = {name: {m.kind for m in members.values()} for name, members in section.candidates.items()}
    assert kinds == {
        "hist": {"hist"}, "lightgbm": {"lightgbm"}, "catboost": {"catboost"}, "all": {"hist", "lightgbm", "catboost"},
    }  # fmt: skip


def test_dvc_can_set_a_param_by_hand_beside_the_dotted_keys(tmp_path: Path) -> None:
    """`dvc exp run -S model.members.median.iterations=200` reads and writes the whole file."""
    file = tmp_path / "params.yaml"
    file.write_text(PARAMS_TEXT, encoding="utf-8")
    apply_overrides(file, ["model.members.median.iterations=200"])
    wanted = yaml.safe_load(PARAMS_TEXT)
    wanted["model"]["members"]["median"]["iterations"] = 200
    assert yaml.safe_load(file.read_text(encoding="utf-8")) == wanted


def test_the_record_vouches_for_all_code_that_makes_a_score() -> None:
    """What a model is made of, but for what only reads files, exports trees or calibrates intervals."""
    innocent = {"errors", "graph", "intervals", "strict"}
    seen, left = set(), {"model", "scoring", "splitting"}
    while left:
        name = left.pop()
        seen.add(name)
        source = (PROJECT / f"src/hearth/{name}.py").read_text(encoding="utf-8")
        found = {found.removeprefix("hearth.") for found in imported(source) if found.startswith("hearth.")}
        left |= found - seen - innocent
    assert set(tune.CODE) == seen | {"tuning"}
