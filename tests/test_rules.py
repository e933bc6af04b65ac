"""Test the small language of the contract's rules: what it says, and everything that it refuses to say."""

import datetime

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hearth.rules import compile_rule, year

T, F = True, False


def holds(rule: str, **columns: list[float]) -> list[bool]:
    return compile_rule(rule).holds({name: np.array(values) for name, values in columns.items()}).tolist()


@pytest.mark.parametrize(
    ("rule", "a", "b", "expected"),
    [
        ("a == b", [1, 2], [1, 1], [T, F]),
        ("a != b", [1, 2], [1, 1], [F, T]),
        ("a < b", [1, 2, 3], [2, 2, 2], [T, F, F]),
        ("a <= b", [1, 2, 3], [2, 2, 2], [T, T, F]),
        ("a > b", [1, 2, 3], [2, 2, 2], [F, F, T]),
        ("a >= b", [1, 2, 3], [2, 2, 2], [F, T, T]),
        ("a + b == 3", [1, 2], [2, 2], [T, F]),
        ("a - b == -1", [1, 2], [2, 2], [T, F]),
        ("a * b == 4", [1, 2], [2, 2], [F, T]),
        ("a / b == 0.5", [1, 2], [2, 2], [T, F]),
        ("-a == b", [1, 2], [-1, 2], [T, F]),
        ("a + b * 2 == 5", [1, 2], [2, 2], [T, F]),
        ("(a + b) * 2 == 6", [1, 2], [2, 2], [T, F]),
        ("a - b - 1 == 0", [3, 1], [2, 2], [T, F]),
        ("a / b / 2 == 1", [8, 8], [4, 2], [T, F]),
        ("a == 1.5", [1.5, 1], [0, 0], [T, F]),
    ],
)
def test_arithmetic_and_comparison(rule: str, a: list[float], b: list[float], expected: list[bool]) -> None:
    assert holds(rule, a=a, b=b) == expected


@pytest.mark.parametrize(
    "rule",
    [
        "a == 1 and b == 1",
        "a == 1 or b == 1",
        "not a == 1",
        "not a == 1 and b == 1",
        "not (a == 1 and b == 1)",
        "a == 1 or b == 1 and c == 1",
        "(a == 1 or b == 1) and c == 1",
        "a == 1 and b == 1 or c == 1",
        "a == 1 and (b == 1 or c == 1)",
        "not a == 1 or not b == 1 and c == 1",
        "not not a == 1",
        "a == 1 and b == 1 and c == 1",
        "a == 1 or b == 1 or c == 1",
    ],
)
def test_and_or_not_bind_as_in_python(rule: str) -> None:
    """Each rule answers for all eight combinations as Python does for one row at a time."""
    rows = [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    expected = [bool(eval(rule, {"a": a, "b": b, "c": c})) for a, b, c in rows]  # noqa: S307
    a, b, c = (list(values) for values in zip(*rows, strict=True))
    assert holds(rule, a=a, b=b, c=c) == expected
    assert len(set(expected)) == 2


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.integers(-3, 3)] * 3), min_size=1, max_size=20))
def test_one_row_is_judged_as_it_is_among_many(rows: list[tuple[int, int, int]]) -> None:
    rule = compile_rule("not (a + b == c or a * c <= b) and a != c or b / 2 > 1")
    columns = {name: np.array(values, dtype=float) for name, values in zip("abc", zip(*rows, strict=True), strict=True)}
    alone = [
        rule.holds({name: values[place : place + 1] for name, values in columns.items()})[0]
        for place in range(len(rows))
    ]
    assert rule.holds(columns).tolist() == alone


def test_a_rule_leaves_its_columns_alone() -> None:
    column = np.array([1.0, 2.0])
    compile_rule("not -a + 1 == 0").holds({"a": column})
    assert column.tolist() == [1.0, 2.0]


def test_a_rule_reads_only_the_columns_that_it_names() -> None:
    rule = compile_rule("yr_built <= year(date) + 1")
    assert rule.names == {"yr_built", "date"}
    assert rule.text == "yr_built <= year(date) + 1"


@pytest.mark.parametrize(
    ("day", "expected"),
    [("2014-12-31", 2014), ("2015-01-01", 2015), ("1969-12-31", 1969), ("1970-01-01", 1970), ("2000-02-29", 2000)],
)
def test_year_is_the_calendar_year(day: str, expected: int) -> None:
    assert year(np.array([day], dtype="datetime64[D]")).tolist() == [expected]


def test_year_in_a_rule() -> None:
    columns = {"built": np.array([2015.0, 2016.0]), "date": np.array(["2014-05-02"] * 2, dtype="datetime64[D]")}
    assert compile_rule("built <= year(date) + 1").holds(columns).tolist() == [T, F]


@pytest.mark.parametrize("rule", ["a == 1", "a < 5", "a <= 5", "a > -5", "a >= -5", "a + 1 == 2", "a * 0 == 0"])
def test_a_comparison_with_a_missing_number_does_not_hold(rule: str) -> None:
    assert holds(rule, a=[float("nan")]) == [F]


@pytest.mark.parametrize("rule", ["a != 1", "not a == 1", "year(d) < 2000"])
def test_no_comparison_with_a_missing_value_holds(rule: str) -> None:
    columns = {"a": np.array([np.nan]), "d": np.array(["NaT"], dtype="datetime64[D]")}
    assert compile_rule(rule).holds(columns).tolist() == [F]


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        pytest.param("1 < a < 3", "'1 < a < 3' is not", id="chained comparison"),
        pytest.param("a == 1 == b", "'a == 1 == b' is not", id="chained equality"),
        pytest.param("log(a) == 1", "calls only year(); 'log(a)' does not", id="another function"),
        pytest.param("__import__('os') == 1", "calls only year(); \"__import__('os')\" does not", id="import"),
        pytest.param("(lambda: 1)() == 1", "calls only year(); '(lambda: 1)()' does not", id="call of a lambda"),
        pytest.param("year(x=a) == 1", "'x=a' is not", id="keyword argument"),
        pytest.param("a.real == 1", "'a.real' is not", id="attribute"),
        pytest.param("year.__globals__ == 1", "'year.__globals__' is not", id="attribute of a function"),
        pytest.param("a[0] == 1", "'a[0]' is not", id="subscript"),
        pytest.param("a == 'x'", "numbers only; 'x' is none", id="string"),
        pytest.param("a == b'x'", "numbers only; b'x' is none", id="bytes"),
        pytest.param("a == True", "numbers only; True is none", id="boolean"),
        pytest.param("a == None", "numbers only; None is none", id="None"),
        pytest.param("a == 1j", "numbers only; 1j is none", id="complex"),
        pytest.param("a == ...", "numbers only; Ellipsis is none", id="ellipsis"),
        pytest.param("lambda: a", "'lambda: a' is not", id="lambda"),
        pytest.param("a if b else c", "'a if b else c' is not", id="if"),
        pytest.param("[a] == 1", "'[a]' is not", id="list"),
        pytest.param("(a, b) == 1", "'(a, b)' is not", id="tuple"),
        pytest.param("[x for x in a] == 1", "'[x for x in a]' is not", id="comprehension"),
        pytest.param("(x := a) == 1", "'(x := a)' is not", id="assignment"),
        pytest.param("f'{a}' == 1", "is not", id="f-string"),
        pytest.param("a ** 2 == 1", "a rule of + - * /", id="power"),
        pytest.param("a // 2 == 1", "a rule of + - * /", id="floor division"),
        pytest.param("a % 2 == 1", "a rule of + - * /", id="remainder"),
        pytest.param("a << 2 == 1", "a rule of + - * /", id="shift"),
        pytest.param("a in b", "a rule of + - * /", id="in"),
        pytest.param("a is b", "a rule of + - * /", id="is"),
        pytest.param("a", "true or false; 'a' is neither", id="a column alone"),
        pytest.param("1", "true or false; '1' is neither", id="a number alone"),
        pytest.param("year(a)", "true or false; 'year(a)' is neither", id="a function alone"),
        pytest.param("", "'' does not parse", id="nothing"),
        pytest.param("a == ", "'a == ' does not parse", id="half a comparison"),
        pytest.param("a = 1", "'a = 1' does not parse", id="assignment statement"),
        pytest.param("a == 1; b == 2", "does not parse", id="two statements"),
        pytest.param("import os", "does not parse", id="import statement"),
        pytest.param("(" * 500 + "a" + ")" * 500 + " == 1", "does not parse", id="500 brackets"),
        pytest.param("not " * 5000 + "a == 1", "does not parse", id="5000 nots"),
        pytest.param(" + ".join(["a"] * 20_000) + " == 1", "does not parse", id="20000 summands"),
        pytest.param("a == " + "1" * 5000, "does not parse", id="a number of 5000 digits"),
    ],
)
def test_what_is_no_rule_is_refused_with_the_part_that_is_not_allowed(rule: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^a rule ") as caught:
        compile_rule(rule)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param("-" * 100_000 + "1 == a", id="100000 signs"),
        pytest.param(" and ".join(["a == 1"] * 3000), id="3000 ands"),
    ],
)
def test_huge_nesting_is_refused_as_a_value_error(rule: str) -> None:
    with pytest.raises((ValueError, MemoryError, RecursionError)) as caught:
        compile_rule(rule)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "rule", ["a + b", "-a", "not a", "a and b == 1", "year == 3", "year(a, b) == 1", "year() == 1"]
)
def test_a_rule_that_is_not_true_or_false_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match=r"^a rule "):
        compile_rule(rule)


@pytest.mark.parametrize(("rule", "part"), [("a ** 2 == 1", "a ** 2"), ("a % 2 == 1", "a % 2"), ("a in b", "a in b")])
def test_the_refusal_of_an_operator_shows_it(rule: str, part: str) -> None:
    with pytest.raises(ValueError, match=r"^a rule ") as caught:
        compile_rule(rule)
    assert part in str(caught.value)


def test_a_rule_without_a_column_is_refused() -> None:
    with pytest.raises(ValueError, match="names none"):
        compile_rule("1 == 1")


# One row of plain cells

CELLS = st.sampled_from(
    [0, 1, -1, 2, 3, 0.5, -0.0, 1e308, -1e308, 2**53 + 1, 10**20, True, False, None, np.nan, np.inf, -np.inf]
)
DAYS = st.sampled_from(
    [None, *(datetime.date(year, month, 1) for year in (1, 1969, 1970, 2014, 9999) for month in (1, 12))]
)
NUMBERS = st.recursive(
    st.sampled_from(["a", "b", "c", "0", "1", "2.5", "9007199254740993", "year(d)"]),
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*/"), inner) | st.builds("-{}".format, inner)
    ),
    max_leaves=4,
)
RULES = st.recursive(
    st.builds("{} {} {}".format, NUMBERS, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), NUMBERS),
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner) | st.builds("not {}".format, inner)
    ),
    max_leaves=5,
).filter(lambda text: any(name in text for name in ("a ", "b ", "c ", "a)", "b)", "c)", "d")))


def column(cells: list[object], dtype: str) -> np.ndarray:
    """Return cells as the contract's columns hold them: truths as truths where none is empty, else numbers."""
    if dtype == "float64" and all(isinstance(cell, bool) for cell in cells):
        return np.array(cells)
    return np.array(cells, dtype=dtype)


@settings(max_examples=500, deadline=None)
@given(RULES, st.lists(st.tuples(CELLS, CELLS, CELLS, DAYS), min_size=1, max_size=4))
@example("a / b > 1 and 1 == 1", [(1, 0, 0, None), (0, 0, 0, None), (1, -0.0, 0, None)])
@example("not 1 == 1 or a == 1", [(2, 0, 0, None), (1, 0, 0, None)])
@example("a + b == 2", [(True, True, 0, None)])
@example("a * a - a * a == 0", [(1e308, 0, 0, None)])
@example("b == 0 or a / b > 2", [(5, 0, 0, None), (5, 2, 0, None), (None, 0, 0, None)])
@example("a == 9007199254740993", [(2**53 + 1, 0, 0, None), (2**53, 0, 0, None)])
def test_a_row_of_plain_cells_breaks_a_rule_where_its_columns_do(text: str, rows: list[tuple[object, ...]]) -> None:
    try:
        rule = compile_rule(text)
    except ValueError:  # such as a rule over no column
        return
    columns = {name: column(list(cells), "datetime64[D]" if name == "d" else "float64")
               for name, cells in zip("abcd", zip(*rows, strict=True), strict=True)}  # fmt: skip
    try:
        found = rule.broken(columns).tolist()
    except ZeroDivisionError:  # between two numbers of the rule itself, for any row
        return
    assert [rule.breaks(dict(zip("abcd", row, strict=True))) for row in rows] == found


def test_the_cells_above_break_some_rules_and_hold_others() -> None:
    rule = compile_rule("year(d) >= a or not b / c < 2")
    day = datetime.date(2014, 12, 31)
    assert not rule.breaks({"a": 2014, "b": 1, "c": 1, "d": day})
    assert rule.breaks({"a": 2015, "b": 1, "c": 1, "d": day})
    assert not rule.breaks({"a": 2015, "b": 1, "c": 0, "d": day})  # 1 / 0 is infinity, as in a column
    assert not rule.breaks({"a": 2015, "b": 1, "c": 1, "d": None})
    assert not rule.breaks({"a": np.nan, "b": 1, "c": 1, "d": day})


def test_truths_count_as_one_and_nought() -> None:
    """A table holds them as numbers, a request as truths; between truths numpy takes `+` for `or` and refuses `-`."""
    truths = {"a": np.array([T, T, F]), "b": np.array([T, F, F])}
    assert compile_rule("a + b == 2").holds(truths).tolist() == [T, F, F]
    assert compile_rule("a - b == 1").holds(truths).tolist() == [F, T, F]


def test_not_before_numbers_alone_is_pythons() -> None:
    assert holds("not 1 == 1 or a == 1", a=[1, 2]) == [T, F]
    assert holds("not 1 == 2 and a == 1", a=[1, 2]) == [T, F]


@pytest.mark.parametrize("rule", ["a == 1" + "0" * 400, "a < 1e999 + " + "9" * 400])
def test_a_number_that_no_float_holds_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match=r"^a rule with numbers below 1e308"):
        compile_rule(rule)


def test_a_name_that_no_function_can_take_is_refused_as_a_value_error() -> None:
    with pytest.raises(ValueError, match="does not parse"):
        compile_rule("__debug__ == 1")
