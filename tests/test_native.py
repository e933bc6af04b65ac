"""Test compiled code against numpy bit for bit, and what happens where it is not there, not ours, or wrong."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from conftest import PROJECT, Remade
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import (
    CONTRACT_BYTES,
    MODEL,
    TREES,
    columns,
    contract,
    facts,
    houses,
    release,
    release_files,
    whole_recipe,
)
from test_neighbours import known, made, rows

from hearth.bento import served
from hearth.cli import main
from hearth.errors import Refusal
from hearth.levels import Levels
from hearth.masks import Masks, masks
from hearth.model import fit
from hearth.native import DIFFERS, FLAGS, LIBRARY, NATIVE, OFF, SOURCE, Compiled, Native, digest, native, place
from hearth.neighbours import Neighbours, coordinates
from hearth.parquet import columns_of, read_frame
from hearth.release import open_release, pack
from hearth.storage import read_folder
from hearth.trees import Ensemble, Tree

COMPILER = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler is here")


FLAGGED, SOURCED = "HEARTH_TEST_NATIVE_FLAGS", "HEARTH_TEST_NATIVE_SOURCE"  # how watched() has this file run once more
EXAMPLES = 10 if FLAGGED in os.environ else 50


def built(folder: Path, *flags: str, source: Path = SOURCE, told: str | None = None) -> Path:
    path = folder / LIBRARY
    said = f'-DHEARTH_SOURCE="{digest() if told is None else told}"'
    subprocess.run([str(COMPILER), *FLAGS, said, *flags, "-o", str(path), str(source)], check=True)
    return path


@pytest.fixture(scope="module", params=[(), ("-DHEARTH_NARROW",)], ids=["wide", "narrow"])
def compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Native:
    """Return a library in a place of its own: as it is, and as older processors run it."""
    flags, source = shlex.split(os.environ.get(FLAGGED, "")), Path(os.environ.get(SOURCED, SOURCE))
    path = built(tmp_path_factory.mktemp("native"), *flags, *request.param, source=source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(NATIVE, str(path))
        found = native()
    assert found is not None
    return found


# Trees


def of_levels(random: np.random.Generator, trees: int, depth: int, inputs: int) -> Levels:
    ends = np.sort(random.integers(0, trees + 1, 2))
    return Levels(
        random.integers(0, inputs, (depth, trees)),
        random.integers(-3, 4, (depth, trees)).astype(np.float32),
        random.normal(size=(trees, 2**depth)),
        np.array([*ends, trees]),
    )


def of_any_shape(random: np.random.Generator, trees: int, leaves: int, inputs: int, ways: int) -> Masks:
    """Return trees that are split at random; `ways` says where missing values go: 0 left, 1 right, 2 either."""

    def tree() -> Tree:
        left, right = np.full(leaves - 1, -1), np.full(leaves - 1, -1)
        free = [(0, left), (0, right)]
        for split in range(1, leaves - 1):
            node, side = free.pop(random.integers(len(free)))
            side[node] = split
            free += [(split, left), (split, right)]
        for number, (node, side) in enumerate(free):
            side[node] = ~number
        return Tree(
            random.integers(0, inputs, leaves - 1), random.integers(-3, 4, leaves - 1).astype(np.float64),
            random.integers(0, 2, leaves - 1).astype(bool) if ways == 2 else np.full(leaves - 1, ways == 0),
            left, right, random.normal(size=leaves),
        )  # fmt: skip

    third = trees // 3
    found = masks([Ensemble(tuple(tree() for _ in range(some)), 0.0) for some in (third + 1, trees - third)])
    assert found is not None
    return found


def asked(random: np.random.Generator, count: int, inputs: int, missing: float) -> np.ndarray:
    """Return values that often lie on a threshold, some missing, some infinite."""
    values = random.integers(-4, 5, (count, inputs)).astype(np.float32)
    values[random.random(values.shape) < 0.1] = np.inf * random.choice([-1, 1])
    values[random.random(values.shape) < missing] = np.nan
    return values


def assert_same(native_: Native, parts: list[Levels | Masks], inputs: np.ndarray) -> None:
    base = np.arange(len(parts[0].ends)) / 3
    run = native_.trees(parts, base, inputs.shape[1])
    wanted = sum(part.run(inputs) for part in parts) + base
    assert run(inputs).tobytes() == wanted.tobytes()
    for row in range(min(len(inputs), 20)):
        assert run(inputs[row : row + 1]).tobytes() == wanted[row : row + 1].tobytes()


@settings(max_examples=EXAMPLES, deadline=None)
@given(seed=st.integers(0, 10**6), trees=st.integers(1, 300), depth=st.integers(1, 10), count=st.integers(0, 70),
       missing=st.sampled_from([0.0, 0.3]))  # fmt: skip
def test_trees_of_levels(compiled: Native, seed: int, trees: int, depth: int, count: int, missing: float) -> None:
    random = np.random.default_rng(seed)
    assert_same(compiled, [of_levels(random, trees, depth, 5)], asked(random, count, 5, missing))


@settings(max_examples=EXAMPLES, deadline=None)
@given(seed=st.integers(0, 10**6), trees=st.integers(1, 300), leaves=st.integers(2, 64), count=st.integers(0, 70),
       missing=st.sampled_from([0.0, 0.3]), ways=st.sampled_from([0, 1, 2]))  # fmt: skip
def test_trees_of_any_shape(
    compiled: Native, seed: int, trees: int, leaves: int, count: int, missing: float, ways: int
) -> None:
    random = np.random.default_rng(seed)
    assert_same(compiled, [of_any_shape(random, trees, leaves, 5, ways)], asked(random, count, 5, missing))


def test_both_together_in_numpys_order(compiled: Native) -> None:
    """Levels first, then masks, then the base, as release.py adds them."""
    random = np.random.default_rng(1)
    parts = [of_levels(random, 150, 6, 9), of_any_shape(random, 200, 16, 9, 2)]
    parts[0].ends = np.array([70, 150])  # two ensembles, as the other has
    parts[0] = Levels(parts[0].feature, parts[0].threshold, parts[0].leaf, parts[0].ends)
    assert_same(compiled, parts, asked(random, 100, 9, 0.1))


def test_another_number_of_inputs_is_refused(compiled: Native) -> None:
    """It would read beside the row."""
    run = compiled.trees([of_levels(np.random.default_rng(1), 5, 3, 4)], np.zeros(3), 4)
    with pytest.raises(ValueError, match="3 inputs, wanted 4"):
        run(np.zeros((2, 3), dtype=np.float32))


def test_inputs_in_another_order_of_memory_or_precision_are_read_right(compiled: Native) -> None:
    random = np.random.default_rng(2)
    part = of_levels(random, 50, 4, 5)
    run, inputs = compiled.trees([part], np.zeros(3), 5), asked(random, 40, 5, 0.1)
    wanted = run(inputs).tobytes()
    for other in (np.asfortranarray(inputs), inputs.astype(np.float64), np.repeat(inputs, 2, axis=0)[::2]):
        assert run(other).tobytes() == wanted


# Neighbours


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    seed=st.integers(0, 10**6), sales=st.integers(1, 400), count=st.sampled_from([1, 2, 5, 30, 64, 150]),
    grid=st.sampled_from([0.0, 0.02, 0.05, 1.0]),
)  # fmt: skip
def test_neighbours(compiled: Native, seed: int, sales: int, count: int, grid: float) -> None:
    """Ties and all, houses that were sold before, a house alone and many at once."""
    sold = rows(sales, seed, grid)
    plain = known(sold, seed, made(count=count))
    found = compiled.neighbours(plain)
    assert isinstance(found, Compiled)
    fresh = rows(30, seed + 1, grid)
    asked = {name: np.concatenate([sold[name][:30], fresh[name]]) for name in sold}
    wanted = plain.inputs(asked, "day")
    assert found.inputs(asked, "day").tobytes() == wanted.tobytes()
    for row in (0, len(wanted) - 1):
        alone = {name: values[row : row + 1] for name, values in asked.items()}
        assert found.inputs(alone, "day").tobytes() == wanted[row : row + 1].tobytes()


def test_a_house_without_a_place_is_told_nothing_by_it_either(compiled: Native) -> None:
    plain, asked = known(rows(300, 3), 3, made()), rows(50, 4)
    asked["lat"][::7] = np.nan
    assert compiled.neighbours(plain).inputs(asked, "day").tobytes() == plain.inputs(asked, "day").tobytes()


def test_what_it_keeps_of_squares_has_an_end_too(compiled: Native, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, asked = known(rows(300, 3), 3, made()), rows(200, 4)
    monkeypatch.setattr("hearth.neighbours.SQUARES_MAX", 5)
    found = compiled.neighbours(plain)
    assert found.inputs(asked, "day").tobytes() == plain.inputs(asked, "day").tobytes()
    assert isinstance(found, Compiled)
    assert len(found._squares) <= 5


def test_very_many_neighbours_are_left_to_numpy(compiled: Native) -> None:
    """Arrays of that size lie on the stack of native.c."""
    plain = known(rows(30, 3), 3, made(count=1025))
    assert compiled.neighbours(plain) is plain


# A release


def test_the_shipped_model_answers_the_same_bits(compiled: Native, remade: Remade) -> None:
    root = remade.checkout.root
    files, sold = read_folder(root / "models/model"), columns_of(read_frame(root / "data/prepared/test.parquet"))
    plain, fast = open_release(files, "m"), open_release(files, "m", compiled)
    for some in (sold, {name: values[:1] for name, values in sold.items()}):
        one, other = plain.predict(some), fast.predict(some)
        for name in ("price", "low", "high", "inputs"):
            assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name


def test_trees_too_large_for_tables_go_to_onnx_runtime_as_before(compiled: Native) -> None:
    wide = TREES.model_copy(update={"leaves": 100, "rows_per_leaf": 1})
    made_ = fit(columns(400), contract(), whole_recipe(model=MODEL.model_copy(update={"members": {"mean": wide}})))
    stated = facts(index=made_.index, hedonic=made_.hedonic, interval=made_.interval)
    files = pack(made_.graph(), CONTRACT_BYTES, stated, made_.known)
    asked: list[int] = []

    class Listening:
        def trees(self, *_: object) -> NoReturn:
            raise AssertionError("there are no tables")

        def neighbours(self, known: Neighbours) -> Neighbours:
            asked.append(len(known.known))
            return compiled.neighbours(known)

    found, sold = open_release(files, "large", Listening()).predict(columns(50)), open_release(files, "large")
    assert asked == [400]
    assert found.price.tolist() == sold.predict(columns(50)).price.tolist()


def test_no_rows_have_no_prices_either_way(compiled: Native) -> None:
    nothing = {name: values[:0] for name, values in columns(3).items()}
    for opened in (release(), open_release(release_files(), "tiny", compiled)):
        assert opened.predict(nothing).price.shape == (0,)


@pytest.mark.parametrize("order", ["F", "strided"])
def test_houses_in_another_order_of_memory_are_read_right(compiled: Native, order: str) -> None:
    plain = known(rows(300, 3), 3, made())
    houses_ = coordinates(rows(60, 4), plain.params)
    other = np.asfortranarray(houses_) if order == "F" else np.repeat(houses_, 2, axis=0)[::2]
    assert compiled.neighbours(plain).means(other).tobytes() == plain.means(houses_).tobytes()


# A graph is somebody's file: what its tables index has to lie inside.


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: t["feature"].__setitem__((0, 0), -1),
        lambda t: t["ends"].__setitem__(0, 10**9),
        lambda t: t["ends"].__setitem__(0, -1),
        lambda t: t["ends"].__setitem__(slice(0, 2), [20, 10]),
    ],
    ids=["an input below the first", "an end beyond all trees", "an end before them", "ends that go back"],
)
@pytest.mark.parametrize("kind", [Levels, Masks])
def test_tables_that_point_beside_are_refused(spoil: Callable[[dict[str, np.ndarray]], None], kind: type) -> None:
    random = np.random.default_rng(1)
    if kind is Levels:
        good = of_levels(random, 30, 3, 5)
        table = {name: np.array(getattr(good, name)) for name in ("feature", "threshold", "leaf", "ends")}
        table["ends"] = np.array([5, 25, 30])
    else:
        other = of_any_shape(random, 30, 8, 5, 0)
        names = ("feature", "threshold", "right_if_missing", "ruled_out", "leaf", "ends")
        table = {name: np.array(getattr(other, name)) for name in names}
        table["ends"] = np.array([5, 25, len(other.leaf)])
    kind(**table)
    spoil(table)
    with pytest.raises(ValueError, match=r"that do not fit each other|below the first"):
        kind(**table)


def test_splits_that_rule_out_every_leaf_are_refused() -> None:
    good = of_any_shape(np.random.default_rng(1), 30, 8, 5, 0)
    out = good.ruled_out.copy()
    out[0, 3] = 255
    with pytest.raises(ValueError, match="rule out every leaf"):
        Masks(good.feature, good.threshold, good.right_if_missing, out, good.leaf, good.ends)


def test_trees_that_ask_for_more_inputs_than_there_are_are_refused(compiled: Native) -> None:
    part = of_levels(np.random.default_rng(1), 5, 3, 4)
    with pytest.raises(ValueError, match="asks for input 3 of 2"):
        compiled.trees([part], np.zeros(3), 2)


def test_a_served_bento_takes_it_and_answers_as_without(remade: Remade, tmp_path: Path) -> None:
    """The very bento that was packaged where stages compute in numpy."""
    bento, told, answered = remade.checkout.root / "models/house_prices.bento", [], []
    for named in (str(built(tmp_path)), OFF):
        with served(bento, {NATIVE: named}) as (address, _):
            with urllib.request.urlopen(f"{address}/model", timeout=10) as answer:
                told.append(json.load(answer)["computed_by"])
            body = json.dumps({"houses": houses(300)}).encode()
            request = urllib.request.Request(f"{address}/predict_batch", body, {"content-type": "application/json"})
            with urllib.request.urlopen(request, timeout=10) as answer:
                answered.append([(one["price"], one["low"], one["high"]) for one in json.load(answer)["predictions"]])
    assert told == ["native", "numpy"]
    assert answered[0] == answered[1]


# Where it is not there, not ours, or wrong


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be an environment without a library."""
    monkeypatch.delenv(NATIVE, raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    (tmp_path / "lib").mkdir()
    return tmp_path / "lib"


def test_an_environment_without_one_does_without(elsewhere: Path) -> None:
    assert place() == elsewhere / LIBRARY
    assert native() is None


@pytest.mark.parametrize("told", ["0" * 64, None], ids=["another", "this"])
def test_it_is_used_if_it_was_made_from_this_source(elsewhere: Path, told: str | None) -> None:
    """And not an old one that `make` has yet to replace, whose structs may be other ones."""
    built(elsewhere, told=told)
    assert (native() is None) == (told is not None)


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"no library"], ids=["empty", "a beginning", "text"])
def test_one_that_cannot_be_loaded_is_not_used(elsewhere: Path, content: bytes) -> None:
    (elsewhere / LIBRARY).write_bytes(content)
    assert native() is None


@pytest.mark.skipif(sys.platform != "linux", reason="ELF")
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_one_that_was_cut_off_is_not_used(elsewhere: Path, share: float) -> None:
    """Loading it would end the process by a signal."""
    whole = built(elsewhere).read_bytes()
    (elsewhere / LIBRARY).write_bytes(whole[: int(share * len(whole))])
    assert native() is None


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: folder / "none.so", "No such file"),
        (lambda folder: Path(built(folder, told="x")), "was made from another native.c"),
    ],
    ids=["missing", "of another source"],
)
def test_one_that_is_named_has_to_be_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Path], reason: str
) -> None:
    monkeypatch.setenv(NATIVE, str(make(tmp_path)))
    with pytest.raises(Refusal, match=f"{NATIVE}: .*{reason}.*`hearth native` makes .*, `off` does without"):
        native()


# What a compiler that fuses, reorders or drops would make of it.
FAULTS = {
    "sums in another order": ("r[k] += values[i + k]", "r[k] = values[i + k] + r[k] * (1 + 1e-15)"),
    "at or above a threshold": ("t->upward[q] < value", "t->upward[q] <= value"),
    "one neighbour less": ("wanted = m->count", "wanted = m->count - 1"),
    "likeness left out": ("alike[i] = unlike + near[i]", "alike[i] = near[i]"),
    "at or above a threshold, many rows": ("#define ABOVE(value) ((value) > threshold)", "#define ABOVE(value) ((value) >= threshold)"),
    "missing values left out": ("t->missing[q] ? t->marked[q] : 0", "0"),
    "missing values left out, many rows": ("((value) != (value)) & -", "((value) != (value)) & 0 & -"),
    "powers of two only": ("if (m->fourth[k]) w *= w;", ""),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_library_that_answers_otherwise_opens_no_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, remade: Remade
) -> None:
    right, wrong = FAULTS[fault]
    text = SOURCE.read_text()
    assert text.count(right) >= 1
    (tmp_path / "wrong.c").write_text(text.replace(right, wrong))
    monkeypatch.setenv(NATIVE, str(built(tmp_path, source=tmp_path / "wrong.c")))
    with pytest.raises(Refusal) as refused:
        open_release(read_folder(remade.checkout.root / "models/model"), "m", native())
    assert str(refused.value) == DIFFERS


# hearth native


def test_the_command_makes_it_says_so_and_says_where_it_is_missing(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["native", "--check"]) == 1
    assert "`hearth native` makes it" in capsys.readouterr().err
    assert main(["native"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["native", "--check"]) == 0
    assert "compiled code" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("compiler", "said"),
    [
        ("false", "false cannot compile native.c"),
        ("/no/such/cc", "CC names /no/such/cc, which cannot be started"),
        (f"{sys.executable} -c raise(SystemExit('a_fault'))", "a_fault"),
    ],
    ids=["fails", "missing", "says why"],
)
def test_without_a_working_compiler_numpy_does_it(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], compiler: str, said: str
) -> None:
    monkeypatch.setenv("CC", compiler)
    assert main(["native"]) == 0
    message = capsys.readouterr().err
    assert message.startswith("note: prices will be computed in numpy")
    assert said in message
    assert not any(elsewhere.iterdir())


def test_without_any_compiler_it_says_what_to_install(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(elsewhere))
    assert main(["native"]) == 0
    assert "install a C compiler" in capsys.readouterr().err


def test_an_environment_that_cannot_be_written_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["native", "-o", str(tmp_path / "file" / LIBRARY)]) == 0
    assert "cannot be written" in capsys.readouterr().err


def test_the_source_compiles_without_a_warning(tmp_path: Path) -> None:
    strict = ("-Wall", "-Wextra", "-Wconversion", "-Wno-sign-conversion", "-Werror")
    built(tmp_path, *strict)


def watched(source: Path) -> "subprocess.CompletedProcess[str]":
    """Run tests of this file once more with a library that is watched by the compiler's sanitizers."""
    asan = subprocess.run([str(COMPILER), "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    if not Path(asan.stdout.strip()).is_absolute():
        pytest.skip("this compiler has no address sanitizer")
    environment = dict(os.environ) | {
        FLAGGED: "-fsanitize=address,undefined -fno-sanitize-recover=all -O1 -g", SOURCED: str(source),
        "LD_PRELOAD": asan.stdout.strip(), "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc",
    }  # fmt: skip
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-s",
        "-p",
        "no:cacheprovider",
        "-k",
        " or ".join(WATCHED),
        __file__,
    ]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, cwd=PROJECT)


WATCHED = ("test_trees_of_levels", "test_trees_of_any_shape", "test_neighbours", "test_both_together")


def test_nothing_is_read_or_written_beside_its_arrays() -> None:
    done = watched(SOURCE)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert f"{2 * len(WATCHED)} passed" in done.stdout


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("int64_t c = 0; c < columns;", "int64_t c = 0; c <= columns;"),
        ("f < t->features; f++) {\n        float value", "f <= t->features; f++) {\n        float value"),
    ],
    ids=["a column too many", "an input too many"],
)
def test_a_step_beside_an_array_is_seen(tmp_path: Path, right: str, wrong: str) -> None:
    text = SOURCE.read_text()
    assert text.count(right) == 1
    (tmp_path / "native.c").write_text(text.replace(right, wrong))
    done = watched(tmp_path / "native.c")
    assert done.returncode
    assert "AddressSanitizer: heap-buffer-overflow" in done.stdout + done.stderr
