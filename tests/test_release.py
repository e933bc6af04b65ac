"""Test that a release is what it was packed as, or is refused by name before any parser sees it, and how it prices."""

import copy
import datetime
import hashlib
import io
import json
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import (
    CONTRACT_BYTES,
    changed,
    columns,
    contract,
    facts,
    fitted,
    graph,
    recipe,
    release,
    release_files,
    whole_recipe,
)

import hearth.release
from hearth.errors import Refusal
from hearth.features import input_names, model_inputs
from hearth.intervals import Interval
from hearth.model import Fitted, fit
from hearth.neighbours import Neighbours
from hearth.release import CONTRACT, DIGITS, FORMAT, GRAPH, KNOWN, MANIFEST, Release, open_release, pack, verify
from hearth.rules import Columns

Files = dict[str, bytes]
FOLDER = "models/model"


def refused(files: Files) -> str:
    with pytest.raises(Refusal) as caught:
        open_release(files, FOLDER)
    return str(caught.value)


@pytest.fixture
def no_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it an error to open the graph or to parse the contract."""

    def opened(*_: object, **__: object) -> NoReturn:
        raise AssertionError("a parser was called with bytes that were not verified")

    monkeypatch.setattr(onnxruntime, "InferenceSession", opened)
    monkeypatch.setattr(hearth.release, "parse_contract", opened)
    monkeypatch.setattr(hearth.release, "yaml", SimpleNamespace(safe_load=opened))


def known_sales(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=values.dtype == object)
    return buffer.getvalue()


def edited(edit: Callable[[dict[str, Any]], object], signed: bool = False) -> Files:
    """Return the tiny release with another manifest; `signed`: with the version that its content has."""
    files = release_files()
    document = json.loads(files[MANIFEST])
    edit(document)
    if signed:
        body = {key: value for key, value in document.items() if key != "model_version"}
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        document["model_version"] = f"{document['facts']['as_of']}-{digest[:12]}"
    return files | {MANIFEST: json.dumps(document).encode()}


# Pack and open


def test_what_was_packed_is_what_is_opened() -> None:
    opened = open_release(release_files(), FOLDER)
    assert opened.facts == facts()
    assert opened.contract == contract()
    assert opened.manifest == verify(release_files(), FOLDER)
    assert opened.known.known.tobytes() == fitted().known.known.tobytes()
    assert opened.known.params == recipe().neighbours


def test_the_files_are_the_graph_the_contract_the_known_sales_and_a_manifest_of_them() -> None:
    files = release_files()
    assert (
        set(files)
        == {"model.onnx", "contract.yaml", "known_sales.npy", "manifest.json"}
        == {GRAPH, CONTRACT, KNOWN, MANIFEST}
    )
    assert (files[GRAPH], files[CONTRACT]) == (graph(), CONTRACT_BYTES)
    assert np.load(io.BytesIO(files[KNOWN]), allow_pickle=False).tobytes() == fitted().known.known.tobytes()
    document = json.loads(files[MANIFEST])
    assert document["format"] == FORMAT == "hearth-model-3"
    listed = document["files"]
    assert set(listed) == set(files) - {MANIFEST}
    for name in (GRAPH, CONTRACT, KNOWN):
        assert listed[name] == {"sha256": hashlib.sha256(files[name]).hexdigest(), "size": len(files[name])}


def test_the_same_facts_are_the_same_bytes() -> None:
    assert release_files() == release_files()


def test_the_version_begins_with_the_day_and_names_everything_in_it() -> None:
    first, known = verify(release_files(), FOLDER).model_version, fitted().known
    assert first.startswith(f"{facts().as_of}-")
    others = [
        verify(release_files(rows=401), FOLDER).model_version,
        verify(release_files(libraries={"numpy": "2"}), FOLDER).model_version,
        verify(pack(graph() + b"x", CONTRACT_BYTES, facts(), known), FOLDER).model_version,
        verify(pack(graph(), CONTRACT_BYTES + b"\n", facts(), known), FOLDER).model_version,
        verify(pack(graph(), CONTRACT_BYTES, facts(), Neighbours(known.known[1:], known.params)), FOLDER).model_version,
        verify(release_files(index=facts().index.model_copy(update={"slope": 0.5})), FOLDER).model_version,
        verify(release_files(interval=facts().interval.model_copy(update={"factor": 0.5})), FOLDER).model_version,
    ]
    assert len({first, *others}) == 8


def test_the_parsers_are_called_for_a_good_release(no_parser: None) -> None:
    """Otherwise the tests below, in which they are not, would prove nothing."""
    with pytest.raises(AssertionError, match="a parser was called"):
        open_release(release_files(), FOLDER)


# Damage


@pytest.mark.parametrize("place", [0, 0.5, -1], ids=["first byte", "middle", "last byte"])
@pytest.mark.parametrize("bit", [0, 7])
@pytest.mark.parametrize("name", [GRAPH, CONTRACT, KNOWN])
def test_one_flipped_bit_is_refused_before_anything_is_parsed(
    no_parser: None, name: str, bit: int, place: float
) -> None:
    files = release_files()
    content = bytearray(files[name])
    content[place if place in (0, -1) else len(content) // 2] ^= 1 << bit
    said = refused(files | {name: bytes(content)})
    assert said.startswith(f"{FOLDER}/{name} has the sha256 {hashlib.sha256(content).hexdigest()}, wanted ")
    assert "it is damaged or was changed" in said
    assert "dvc checkout" in said


def test_every_flipped_bit_of_the_manifest_is_refused(no_parser: None) -> None:
    """One bit in each byte: broken JSON, an unknown key, another value, another version; whitespace may differ."""
    files = release_files()
    kept = json.loads(files[MANIFEST])
    for place in range(len(files[MANIFEST])):
        content = bytearray(files[MANIFEST])
        content[place] ^= 1 << (place % 8)
        try:
            same = json.loads(bytes(content)) == kept
        except ValueError:
            same = False
        if not same:
            assert refused(files | {MANIFEST: bytes(content)}).startswith(f"{FOLDER}/"), place


@pytest.mark.parametrize("name", [GRAPH, CONTRACT, KNOWN])
def test_a_missing_file_is_refused(no_parser: None, name: str) -> None:
    files = release_files()
    del files[name]
    assert refused(files).startswith(f"{FOLDER}/{name} has the sha256 None, wanted ")


def test_a_folder_without_a_manifest_is_no_release(no_parser: None) -> None:
    assert refused({GRAPH: graph()}).startswith(f"{FOLDER} has no {MANIFEST}; it is no release.")
    assert refused({}).startswith(f"{FOLDER} has no {MANIFEST}")


def test_an_extra_file_is_refused(no_parser: None) -> None:
    said = refused(release_files() | {"notes.txt": b"", "model.pkl": b"x"})
    assert said == f"{FOLDER}/model.pkl is not named in manifest.json; remove it."


def test_files_that_changed_places_are_refused(no_parser: None) -> None:
    files = release_files()
    assert "has the sha256" in refused(files | {GRAPH: files[CONTRACT], CONTRACT: files[GRAPH]})


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda d: d["facts"]["interval"].update(factor=9.9), id="wider intervals"),
        pytest.param(lambda d: d["facts"]["index"].update(slope=0.1), id="a rising market"),
        pytest.param(lambda d: d["facts"]["recipe"].update(neighbours=None), id="no neighbours"),
        pytest.param(lambda d: d["facts"].update(as_of="2016-01-01"), id="another day"),
        pytest.param(lambda d: d["facts"].update(horizon="2049-12-31"), id="another horizon"),
        pytest.param(lambda d: d["files"][GRAPH].update(sha256="0" * 64), id="another checksum"),
        pytest.param(lambda d: d["files"].pop(CONTRACT), id="a file less"),
        pytest.param(lambda d: d.update(model_version="2016-01-01-000000000000"), id="another version"),
        pytest.param(lambda d: d["facts"]["params"]["model"]["members"]["mean"].update(leaves=9), id="another param"),
    ],
)
def test_an_edited_manifest_is_refused_by_its_version(
    no_parser: None, edit: Callable[[dict[str, Any]], object]
) -> None:
    said = refused(edited(edit))
    assert said.startswith(f"{FOLDER}/{MANIFEST} was changed: its version ")
    assert said.endswith("is not that of its content.")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "Expecting value", id="empty"),
        pytest.param(b"{", "Expecting property name", id="cut off"),
        pytest.param(b'"\xff"', "codec can't decode", id="no UTF-8"),
        pytest.param(b"[" * 100_000, "recursion", id="100000 brackets"),
        pytest.param(b"9" * 5000, "4300 digits", id="a number of 5000 digits"),
        pytest.param(b"[]", "an object", id="a list"),
        pytest.param(b"null", "an object", id="null"),
        pytest.param(b'{"format": "hearth-model-3"}', "Field required", id="almost nothing"),
    ],
)
def test_a_manifest_that_is_none_is_refused(no_parser: None, content: bytes, said: str) -> None:
    found = refused(release_files() | {MANIFEST: content})
    assert found.startswith(f"{FOLDER}/{MANIFEST} is no manifest of this code (")
    assert said in found


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda d: d.update(format="hearth-model-2"), id="the format before"),
        pytest.param(lambda d: d.update(format="hearth-model-4"), id="another format"),
        pytest.param(lambda d: d.update(extra=1), id="an unknown key"),
        pytest.param(lambda d: d["facts"].update(rows="400"), id="a text for a number"),
        pytest.param(lambda d: d["facts"]["interval"].update(factor=0), id="intervals without width"),
        pytest.param(lambda d: d["facts"]["interval"].update(spread_min=0), id="intervals that may have none"),
        pytest.param(lambda d: d["facts"]["interval"].update(level=1), id="intervals that hold everything"),
        pytest.param(lambda d: d["facts"].update(half_width=0.2), id="intervals of one width"),
        pytest.param(lambda d: d["facts"]["index"].update(levels=[]), id="a market without a level"),
        pytest.param(lambda d: d["facts"]["index"].pop("damping_days"), id="a trend without end"),
        pytest.param(lambda d: d["files"][GRAPH].update(sha256="abc"), id="half a checksum"),
        pytest.param(lambda d: d["facts"]["recipe"].update(derived=["no_such_feature"]), id="a feature of other code"),
        pytest.param(lambda d: d["facts"].pop("ranges"), id="a fact less"),
    ],
)
def test_a_manifest_of_other_code_is_refused_although_its_version_is_right(
    no_parser: None, edit: Callable[[dict[str, Any]], object]
) -> None:
    assert refused(edited(edit, signed=True)).startswith(f"{FOLDER}/{MANIFEST} is no manifest of this code (")


def test_a_model_of_other_features_is_refused() -> None:
    names = [*facts().features[:-1], "km_to_nowhere"]
    said = refused(release_files(features=tuple(names)))
    assert said == "The model was trained on other features than this code computes; use the code of its commit."


def test_nan_in_the_manifest_is_refused() -> None:
    assert MANIFEST in refused(edited(lambda d: d["facts"]["params"].update(x=float("nan"))))


@pytest.mark.parametrize("name", [GRAPH, CONTRACT, KNOWN])
def test_a_manifest_that_does_not_name_a_needed_file_is_refused(name: str) -> None:
    files = edited(lambda d: d["files"].pop(name), signed=True)
    del files[name]
    assert name in refused(files)


def test_a_wrong_size_is_refused() -> None:
    assert GRAPH in refused(edited(lambda d: d["files"][GRAPH].update(size=3), signed=True))


# Prices


def on(day: str, rows: int = 3) -> dict[str, np.ndarray]:
    return dict(columns(rows, seed=4)) | {"date": np.full(rows, np.datetime64(day))}


def offset(made: Fitted, known: Columns, inputs: np.ndarray) -> np.ndarray:
    """Return the log price before the trees, by the parts that were fitted."""
    read = [list(input_names(contract(), recipe())).index(name) for name in made.hedonic.names]
    return made.index.level(known["date"]) + made.hedonic.value(inputs[:, read])


HORIZON = str(facts().horizon)


def test_log_prices_are_those_of_the_fitted_model() -> None:
    """The libraries' own predictions and the index; neither the graph nor the trees that were made of them."""
    known = columns(400)
    inputs = model_inputs(known, contract(), recipe(), fitted().known)
    expected = offset(fitted(), known, inputs) + fitted().price.predict(inputs)
    np.testing.assert_allclose(release().log_price(known), expected, rtol=0, atol=1e-12)
    assert np.abs(fitted().index.level(known["date"])).max() > 1e-4


def test_the_graph_gives_price_and_spread() -> None:
    inputs = release().inputs(columns(100, seed=2))
    price, spread = release().run(inputs).T
    np.testing.assert_allclose(price, fitted().price.predict(inputs), rtol=0, atol=1e-12)
    np.testing.assert_allclose(spread, fitted().spread.predict(inputs), rtol=0, atol=1e-12)
    assert inputs.shape == (100, len(facts().features))


def test_a_release_without_neighbours_is_packed_and_opened_without_known_sales() -> None:
    alone = recipe(neighbours=None)
    made = fit(columns(400), contract(), whole_recipe(features=alone))
    stated = facts(
        recipe=alone,
        features=tuple(input_names(contract(), alone)),
        index=made.index,
        hedonic=made.hedonic,
        interval=made.interval,
    )
    files = pack(made.graph(), CONTRACT_BYTES, stated, made.known)
    assert set(files) == {GRAPH, CONTRACT, MANIFEST}
    opened = open_release(files, FOLDER)
    assert opened.known is None
    inputs = model_inputs(columns(50), contract(), alone, None)
    expected = offset(made, columns(50), inputs) + made.price.predict(inputs)
    np.testing.assert_allclose(opened.log_price(columns(50)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "EOF: reading magic string", id="nothing"),
        pytest.param(b"x" * 200, "the magic string is not correct", id="another file"),
        pytest.param(known_sales(np.zeros((3, 10), dtype=object)), "Object arrays cannot be loaded", id="a pickle"),
        pytest.param(known_sales(np.zeros((3, 10), dtype=np.float32)), "it holds float32, wanted finite float64", id="float32"),
        pytest.param(known_sales(np.full((3, 10), np.nan)), "it holds float64, wanted finite float64", id="empty cells"),
        pytest.param(known_sales(np.zeros((3, 9))), "known sales of shape (3, 9), wanted (n, 10)", id="a column less"),
        pytest.param(known_sales(np.zeros((0, 10))), "known sales of shape (0, 10), wanted (n, 10)", id="no sale"),
        pytest.param(known_sales(np.zeros(10)), "known sales of shape (10,), wanted (n, 10)", id="one row"),
    ],
)  # fmt: skip
def test_known_sales_that_are_none_are_refused_although_their_checksum_is_right(content: bytes, said: str) -> None:
    stated = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    found = refused(edited(lambda d: d["files"].update({KNOWN: stated}), signed=True) | {KNOWN: content})
    assert found.startswith(f"{FOLDER}/{KNOWN} is no table of known sales ({said}")
    assert found.endswith("; train anew.")


def test_the_known_sales_are_read_and_not_only_carried() -> None:
    """With all residuals a half higher, so are all means, and prices move. Which way is the trees' own business."""
    dearer = fitted().known.known + np.array([0.0] * 9 + [0.5])
    moved = open_release(pack(graph(), CONTRACT_BYTES, facts(), Neighbours(dearer, recipe().neighbours)), FOLDER)
    fresh = columns(100, seed=8)
    rise = moved.inputs(fresh) - release().inputs(fresh)
    np.testing.assert_allclose(rise[:, -5:-1], 0.5, atol=1e-5)
    assert np.count_nonzero(rise[:, :-5]) == np.count_nonzero(rise[:, -1]) == 0
    assert (moved.log_price(fresh) != release().log_price(fresh)).mean() > 0.5


def test_a_house_alone_is_priced_as_in_a_batch() -> None:
    known = columns(150, seed=6)
    together = release().log_price(known)
    alone = [
        release().log_price({name: values[place : place + 1] for name, values in known.items()})[0]
        for place in range(150)
    ]
    assert together.tolist() == alone


def test_an_interval_is_the_learned_spread_times_the_factor_either_way_in_log_price() -> None:
    known = columns(50, seed=2)
    found = release().predict(known)
    spread = fitted().spread.predict(release().inputs(known))
    known_interval = facts().interval
    wide = known_interval.factor * np.maximum(spread, known_interval.spread_min) + known_interval.margin
    np.testing.assert_allclose(np.log(found.high / found.price), wide, atol=1e-4)
    np.testing.assert_allclose(np.log(found.price / found.low), wide, atol=1e-4)
    assert ((found.low < found.price) & (found.price < found.high)).all()
    assert wide.max() > 1.2 * wide.min()  # hard houses have wider ones


def test_each_part_of_the_interval_is_used() -> None:
    """A factor twice as large, a margin, and a smallest spread above all learned ones, each as its formula says."""
    known = columns(50, seed=2)

    def wide(**other: float) -> np.ndarray:
        stated = Interval(**({"level": 0.8, "factor": 2.0, "margin": 0.0, "spread_min": 1e-6} | other))
        found = open_release(release_files(interval=stated), FOLDER).predict(known)
        return np.asarray(np.log(found.high / found.price))

    spread = release().run(release().inputs(known))[:, 1]
    np.testing.assert_allclose(wide(), 2 * np.maximum(spread, 1e-6), atol=1e-4)
    np.testing.assert_allclose(wide(factor=4.0), 2 * wide(), atol=1e-4)
    np.testing.assert_allclose(wide(margin=0.1), wide() + 0.1, atol=1e-4)
    np.testing.assert_allclose(wide(spread_min=1.0), 2.0, atol=1e-4)


def test_a_whole_number_target_is_priced_in_whole_numbers() -> None:
    found = release().predict(columns(50))
    for values in (found.price, found.low, found.high):
        assert (values == np.round(values)).all()
        assert values.min() > 10_000


def test_another_target_is_priced_to_seven_significant_digits() -> None:
    """Whole numbers would round a price of 0.45 million to nothing."""
    known = changed({"price": {"type": "number", "minimum": 0.001}})
    found = Release(verify(release_files(), FOLDER), known, graph(), fitted().known).predict(columns(50))
    exact = np.exp(release().log_price(columns(50)))
    np.testing.assert_allclose(found.price, exact, rtol=0.5000001 * 10 ** (1 - DIGITS))
    assert all(float(f"{value:.{DIGITS}g}") == value for value in found.price.tolist())
    assert (found.price != exact).any()
    assert (found.price != np.round(found.price)).any()


@pytest.mark.parametrize(
    ("value", "whole", "rounded"),
    [(449999.5001, True, 450000), (449999.4999, True, 449999), (0.4499994499, False, 0.4499994), (0.45, True, 0), (123456789.0, False, 123456800.0)],
)  # fmt: skip
def test_rounding_by_hand(value: float, whole: bool, rounded: float) -> None:
    assert hearth.release._rounded(np.array([value]), whole).tolist() == [rounded]


@pytest.mark.parametrize("day", ["2015-12-31", "2030-06-01", "2049-12-31"])
def test_a_day_after_the_horizon_is_priced_as_of_the_horizon_and_warned_of(day: str) -> None:
    assert np.datetime64(day) > np.datetime64(HORIZON)
    assert release().predict(on(day)).price.tolist() == release().predict(on(HORIZON)).price.tolist()
    said = (
        f"date: {day} is after {HORIZON}, the last day that was validated; the price is that of the last validated day"
    )
    assert all(said in row for row in release().warnings(on(day)))


def test_days_up_to_the_horizon_are_priced_as_they_are() -> None:
    """Otherwise the clamp could hold every day: with a later horizon the same houses have other prices."""
    later = open_release(release_files(horizon=datetime.date(2049, 12, 31)), FOLDER)
    assert later.predict(on("2049-12-31", 50)).price.tolist() != release().predict(on("2049-12-31", 50)).price.tolist()
    assert later.predict(on(HORIZON, 50)).price.tolist() == release().predict(on(HORIZON, 50)).price.tolist()


def test_the_horizon_and_the_first_day_are_not_warned_of() -> None:
    first = str(facts().first_day)
    assert not any("date" in said for day in (first, HORIZON) for row in release().warnings(on(day)) for said in row)


def test_a_day_before_the_first_is_warned_of() -> None:
    first = facts().first_day
    day = str(first - datetime.timedelta(days=1))
    for row in release().warnings(on(day)):
        assert f"date: {day} is before {first}, the first day of the training data" in row


def test_pricing_leaves_the_columns_alone() -> None:
    known = on("2049-12-31")
    before = {name: values.copy() for name, values in known.items()}
    release().predict(known)
    release().warnings(known)
    assert all((known[name] == values).all() for name, values in before.items())


def test_the_rows_behind_the_model_are_not_warned_of() -> None:
    assert release().warnings(columns(400)) == [[]] * 400


@pytest.mark.parametrize("side", ["minimum", "maximum"])
@pytest.mark.parametrize("name", sorted(facts().ranges))
def test_a_value_outside_the_training_rows_is_warned_of_in_its_row_only(name: str, side: str) -> None:
    bounds = facts().ranges[name]
    edge = getattr(bounds, side)
    known = {
        key: values[:3].astype(np.float64) if key in facts().ranges else values[:3]
        for key, values in columns(400).items()
    }
    known[name] = known[name].copy()
    known[name][1] = edge + (1 if side == "maximum" else -1)
    found = release().warnings(known)
    assert (found[0], found[2]) == ([], [])
    assert len(found[1]) == 1
    assert found[1][0].startswith(f"{name}: ")
    assert "is outside the training data" in found[1][0]
    known[name][1] = edge
    assert release().warnings(known) == [[], [], []]


def told_one_by_one(known: Mapping[str, np.ndarray]) -> list[list[str]]:
    """Return the warnings as they are defined: column by column in the order of the ranges, then the day."""
    said: list[list[str]] = [[] for _ in known["date"]]
    stated = release().facts
    for row, day in enumerate(known["date"]):
        for name, bounds in stated.ranges.items():
            value = float(known[name][row])
            if value < bounds.minimum or value > bounds.maximum:
                said[row].append(
                    f"{name}: {value:.10g} is outside the training data, {bounds.minimum:.10g} to {bounds.maximum:.10g}"
                )
        if day > np.datetime64(stated.horizon):
            said[row].append(
                f"date: {day} is after {HORIZON}, the last day that was validated; the price is that of the last validated day"
            )
        if day < np.datetime64(stated.first_day):
            said[row].append(f"date: {day} is before {stated.first_day}, the first day of the training data")
    return said


RANGED = [*facts().ranges, "date"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(RANGED), st.sampled_from([-1e9, 0, 1e9, np.nan])),
        max_size=8,
    )
)
def test_warnings_are_those_of_one_comparison_at_a_time(changes: list[tuple[int, str, float]]) -> None:
    known = {
        name: values.copy() if name == "date" else values.astype(np.float64)
        for name, values in on("2015-01-01").items()
    }
    for row, name, value in changes:
        known[name][row] = np.datetime64("NaT") if np.isnan(value) and name == "date" else value if name != "date" else (
            np.datetime64("2015-01-01") + np.timedelta64(int(value / 1e6), "D"))  # fmt: skip
    expected = told_one_by_one(known)
    assert release().warnings(known) == expected
    rows = [{name: values[row : row + 1] for name, values in known.items()} for row in range(3)]
    assert [release().warnings(row)[0] for row in rows] == expected


def test_a_model_without_ranges_warns_of_days_only() -> None:
    bare = open_release(release_files(ranges={}), FOLDER)
    assert bare.warnings(on("2015-01-01") | {"sqft_lot": np.full(3, 1e12)}) == [[], [], []]
    assert [len(said) for said in bare.warnings(on("2000-01-01"))] == [1, 1, 1]


def test_a_row_alone_without_a_day_has_no_warning() -> None:
    """Hypothesis met it once: a missing day is None as a Python value, which cannot be compared."""
    row = {name: values[:1] for name, values in on("2015-01-01").items()}
    assert release().warnings(row | {"date": np.array(["NaT"], dtype="datetime64[D]")}) == [[]]


def test_no_rows_have_no_warnings() -> None:
    assert release().warnings({name: values[:0] for name, values in columns(3).items()}) == []


def test_a_missing_value_is_not_called_outside() -> None:
    known = dict(columns(3)) | {"sqft_lot": np.full(3, np.nan)}
    assert release().warnings(known) == [[], [], []]


def test_a_manifest_is_frozen() -> None:
    manifest = copy.copy(release().manifest)
    with pytest.raises(ValueError, match="frozen"):
        manifest.model_version = "other"  # type: ignore[misc]
