"""Test that a section of a file is read strictly, and that a refusal names the place, the value and the wish."""

import datetime
from functools import cached_property
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError

from hearth.errors import Refusal
from hearth.strict import Day, Listed, Strict, loads, nearest, parse


class Inner(Strict):
    share: float = Field(ge=0, le=1)


class Outer(Strict):
    trees: int = Field(ge=1)
    name: str = "x"
    inner: Inner | None = None
    words: Annotated[tuple[str, ...], Listed] = ()


class Dated(Strict):
    day: Day


class Oak(Strict):
    kind: Literal["oak"]
    acorns: int = Field(ge=0)


class Fir(Strict):
    kind: Literal["fir"]
    cones: int = Field(ge=0)


class Wood(Strict):
    trees: dict[str, Annotated[Oak | Fir, Field(discriminator="kind")]]
    one: Annotated[Oak | Fir, Field(discriminator="kind")] | None = None
    row: Annotated[tuple[Annotated[Oak | Fir, Field(discriminator="kind")], ...], Listed] = ()


def refused(values: object, kind: type[Strict] = Outer, where: str = "params.yaml: model") -> str:
    with pytest.raises(Refusal) as caught:
        parse(kind, values, where)
    return str(caught.value)


def test_good_values_become_the_class() -> None:
    found = parse(Outer, {"trees": 3, "inner": {"share": 0.5}, "words": ["a", "b"]}, "params.yaml: model")
    assert found == Outer(trees=3, inner=Inner(share=0.5), words=("a", "b"))


def test_a_whole_number_is_a_number() -> None:
    """YAML has `1` where a person means `1.0`."""
    assert parse(Inner, {"share": 1}, "x").share == 1.0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        pytest.param({"tres": 3}, "params.yaml: model.tres is not a known key; did you mean 'trees'?", id="misspelt"),
        pytest.param({"trees": 3, "zzz": 1}, "params.yaml: model.zzz is not a known key; known are inner, name, trees, words.", id="unlike any"),
        pytest.param({}, "params.yaml: model.trees is missing; add it.", id="missing"),
        pytest.param({"trees": "3"}, "params.yaml: model.trees is '3', wanted a valid integer.", id="text"),
        pytest.param({"trees": True}, "params.yaml: model.trees is True, wanted a valid integer.", id="boolean"),
        pytest.param({"trees": 3.0}, "params.yaml: model.trees is 3.0, wanted a valid integer.", id="float"),
        pytest.param({"trees": None}, "params.yaml: model.trees is None, wanted a valid integer.", id="null"),
        pytest.param({"trees": 0}, "params.yaml: model.trees is 0, wanted greater than or equal to 1.", id="too small"),
        pytest.param({"trees": 1, "inner": {"share": float("nan")}}, "params.yaml: model.inner.share is nan, wanted a finite number.", id="NaN"),
        pytest.param({"trees": 1, "inner": {"share": float("inf")}}, "params.yaml: model.inner.share is inf, wanted a finite number.", id="infinity"),
        pytest.param({"trees": 1, "inner": {"share": 1.5}}, "params.yaml: model.inner.share is 1.5, wanted less than or equal to 1.", id="nested bound"),
        pytest.param({"trees": 1, "inner": {"shar": 0.5, "share": 0.5}}, "params.yaml: model.inner.shar is not a known key; remove it.", id="nested extra"),
        pytest.param({"trees": 1, "words": "ab"}, "params.yaml: model.words is 'ab', wanted a valid tuple.", id="text for a list"),
        pytest.param([1], "params.yaml: model is [1], wanted a mapping of keys to values.", id="list"),
        pytest.param(None, "params.yaml: model is None, wanted a mapping of keys to values.", id="empty section"),
        pytest.param("trees", "params.yaml: model is 'trees', wanted a mapping of keys to values.", id="scalar"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_its_place(values: object, said: str) -> None:
    assert said in refused(values).splitlines()


@pytest.mark.parametrize(
    ("part", "said"),
    [
        pytest.param({"kind": "elm", "acorns": 1}, "kind is 'elm', wanted one of 'oak', 'fir'.", id="unknown kind"),
        pytest.param({"kind": 0}, "kind is 0, wanted one of 'oak', 'fir'.", id="a number for a kind"),
        pytest.param({"kind": ""}, "kind is '', wanted one of 'oak', 'fir'.", id="an empty kind"),
        pytest.param({"kind": ["oak"]}, "kind is ['oak'], wanted one of 'oak', 'fir'.", id="a list of kinds"),
        pytest.param({"acorns": 1}, "kind is missing; add it.", id="no kind"),
        pytest.param({"kind": None, "acorns": 1}, "kind is missing; add it.", id="null for a kind"),
        pytest.param({}, "kind is missing; add it.", id="nothing"),
        pytest.param({"kind": "oak", "acorns": -1}, "acorns is -1, wanted greater than or equal to 0.", id="a bound"),
        pytest.param({"kind": "oak"}, "acorns is missing; add it.", id="a key less"),
        pytest.param({"kind": "fir", "cones": 1, "acorns": 1}, "acorns is not a known key; remove it.", id="a key of another kind"),
    ],
)  # fmt: skip
def test_a_part_of_several_kinds_is_refused_without_its_kind_in_the_path(part: dict[str, Any], said: str) -> None:
    """In a mapping, alone and in a list; `oak` is how pydantic names the place, and no key of the file."""
    good = {"kind": "oak", "acorns": 1}
    where = "params.yaml: wood"
    assert refused({"trees": {"old": part}}, Wood, where) == f"{where}.trees.old.{said}"
    assert refused({"trees": {}, "one": part}, Wood, where) == f"{where}.one.{said}"
    assert refused({"trees": {}, "row": [good, part]}, Wood, where) == f"{where}.row.1.{said}"


@pytest.mark.parametrize("part", [5, "oak", ["oak"], None])
def test_a_part_that_is_no_mapping_is_refused(part: object) -> None:
    said = refused({"trees": {"old": part}}, Wood, "params.yaml: wood")
    assert said == f"params.yaml: wood.trees.old is {part!r}, wanted a mapping of keys to values."


def test_a_key_that_is_called_like_a_kind_stays_in_the_path() -> None:
    said = refused({"trees": {"oak": {"kind": "oak", "acorns": -1}}}, Wood, "params.yaml: wood")
    assert said == "params.yaml: wood.trees.oak.acorns is -1, wanted greater than or equal to 0."


def test_good_parts_of_either_kind_become_their_class() -> None:
    found = parse(Wood, {"trees": {"a": {"kind": "oak", "acorns": 1}, "b": {"kind": "fir", "cones": 2}}}, "x")
    assert found.trees == {"a": Oak(kind="oak", acorns=1), "b": Fir(kind="fir", cones=2)}


def test_every_fault_is_said_not_only_the_first() -> None:
    assert refused({"trees": 0, "name": 5, "extra": 1}).splitlines() == [
        "params.yaml: model.trees is 0, wanted greater than or equal to 1.",
        "params.yaml: model.name is 5, wanted a valid string.",
        "params.yaml: model.extra is not a known key; known are inner, name, trees, words.",
    ]


def test_a_whole_file_is_named_without_a_section() -> None:
    assert refused({}, where="data/contract.yaml") == "data/contract.yaml: trees is missing; add it."


def test_a_long_value_is_cut() -> None:
    said = refused({"trees": "9" * 500})
    assert len(said) < 200
    assert "'999" in said
    assert "..., wanted" in said


def test_a_key_that_is_no_text_is_refused() -> None:
    assert "params.yaml: model.1 is 1" in refused({1: 2, "trees": 1})


def test_a_section_cannot_be_changed_after_reading() -> None:
    found = parse(Outer, {"trees": 3}, "x")
    with pytest.raises(ValidationError, match="frozen"):
        found.trees = 4  # type: ignore[misc]


@pytest.mark.parametrize("given", ["2015-03-01", datetime.date(2015, 3, 1)])
def test_a_day_may_stand_in_quotes_or_bare(given: object) -> None:
    assert parse(Dated, {"day": given}, "x").day == datetime.date(2015, 3, 1)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("1.3.2015", "'1.3.2015'"),
        ("2015-13-01", "'2015-13-01'"),
        ("2015-02-29", "'2015-02-29'"),
        ("", "''"),
        ("2015-03-01T00:00:00", "'2015-03-01T00:00:00'"),
        (20150301, "20150301"),
        (None, "None"),
        (datetime.datetime(2015, 3, 1, 5), "'2015-03-01 05:00:00'"),
    ],
)  # fmt: skip
def test_another_form_of_a_day_is_refused(given: Any, shown: str) -> None:
    said = refused({"day": given}, Dated, "params.yaml: split")
    assert said.startswith(f"params.yaml: split.day is {shown}, wanted ")


@pytest.mark.parametrize("given", ["20150301", "2015-W09-7"])
def test_a_day_has_one_form_only(given: str) -> None:
    assert "wanted a day as 'YYYY-MM-DD'" in refused({"day": given}, Dated)


@pytest.mark.parametrize(
    ("word", "hint"),
    [("lerning_rate", "did you mean 'learning_rate'?"), ("xyz", "known are learning_rate, leaves.")],
)  # fmt: skip
def test_nearest_hints_at_one_word_or_lists_all(word: str, hint: str) -> None:
    assert nearest(word, ["learning_rate", "leaves"]) == hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' stands twice"),
        (b"[" * 100_000, "maximum recursion depth exceeded"),
        (b"{", "Expecting"),
    ],
)
def test_json_that_readers_would_take_one_way_or_another_is_refused(text: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        loads(text)


def test_good_json_is_read_as_it_stands() -> None:
    assert loads('{"a": [1, 0.5, null], "b": {"a": true}}') == {"a": [1, 0.5, None], "b": {"a": True}}


def test_a_copy_forgets_what_was_worked_out_from_the_old_fields() -> None:
    class Doubling(Outer):
        @cached_property
        def double(self) -> int:
            return 2 * self.trees

    first = Doubling(trees=3)
    assert first.double == 6
    for deep in (False, True):
        other = first.model_copy(update={"trees": 5}, deep=deep)
        assert (other.trees, other.double) == (5, 10)
    assert first.double == 6
