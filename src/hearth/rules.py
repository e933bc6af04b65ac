"""Compile a rule of the contract, such as `a + b == c or d == 0`, into a function of columns.

The language is a small part of Python's expressions, checked node by node before it is compiled; it works on numpy
columns of any length, so one rule serves the table of a delivery and the single row of a request.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]

_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div)
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
LENGTH_MAX = 500  # Python's own parser fails on what is nested deeply, in more than one way


def year(days: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Return the calendar year of each day."""
    return days.astype("datetime64[Y]").astype(np.int64) + 1970


FUNCTIONS = {"year": year}


@dataclass(frozen=True)
class Rule:
    """Hold one compiled rule and the names of the columns that it reads."""

    text: str
    names: frozenset[str]
    days: frozenset[str]  # those of the names that stand in year()
    code: CodeType

    def holds(self, columns: Columns) -> NDArray[np.bool_]:
        """Return for each row whether all cells that the rule reads are filled and the rule holds."""
        scope = {name: columns[name] for name in self.names}
        found = np.asarray(eval(self.code, {"__builtins__": {}, **FUNCTIONS}, scope), dtype=bool)
        return found & self._filled(columns)

    def broken(self, columns: Columns) -> NDArray[np.bool_]:
        """Return for each row whether it breaks the rule; an empty cell breaks none, the contract judges it by itself."""
        return self._filled(columns) & ~self.holds(columns)

    def _filled(self, columns: Columns) -> NDArray[np.bool_]:
        empty = [columns[name] != columns[name] for name in self.names if columns[name].dtype.kind in "fM"]
        filled = np.ones(len(columns[min(self.names)]), dtype=bool)
        for cells in empty:  # only NaN and NaT differ from themselves
            filled &= ~cells
        return filled


class _Vectorized(ast.NodeTransformer):
    """Turn `and`, `or` and `not`, which Python decides for a whole array, into their elementwise twins."""

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        operator = ast.BitAnd() if isinstance(node.op, ast.And) else ast.BitOr()
        first: ast.expr
        first, *rest = [self.visit(value) for value in node.values]
        for value in rest:
            first = ast.BinOp(left=first, op=operator, right=value)
        return first

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        operand: ast.expr = self.visit(node.operand)
        return ast.UnaryOp(op=ast.Invert() if isinstance(node.op, ast.Not) else node.op, operand=operand)


def compile_rule(text: str) -> Rule:
    """Return `text` as a rule; raise ValueError with the part that is not allowed."""
    if len(text) > LENGTH_MAX:
        raise ValueError(
            f"a rule of at most {LENGTH_MAX} characters; {text[:20]!r}... has {len(text):,} and does not parse"
        )
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"a rule such as 'a + b == c'; {text!r} does not parse ({error})") from None
    names: set[str] = set()
    if _kind(tree.body, names) != "truth":
        raise ValueError(f"a rule that is true or false; {text!r} is neither")
    if not names:
        raise ValueError(f"a rule over at least one column; {text!r} names none")
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    days = {argument.id for call in calls for argument in call.args if isinstance(argument, ast.Name)}
    whole = ast.fix_missing_locations(_Vectorized().visit(tree))
    return Rule(
        text=text, names=frozenset(names), days=frozenset(days), code=compile(whole, "<rule of the contract>", "eval")
    )


def _kind(node: ast.expr, names: set[str]) -> str:
    """Return whether a part is a `truth` or a `number`, add the columns that it reads; raise ValueError for any other."""
    part = ast.unparse(node)
    match node:
        case ast.Name(id=name) if name not in FUNCTIONS:
            names.add(name)
            return "number"
        case ast.Constant(value=value):
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ValueError(f"a rule with numbers only; {value!r} is none")
            return "number"
        case ast.Call():
            return _call(node, part, names)
        case ast.BinOp(left=left, op=operator, right=right) if isinstance(operator, _ARITHMETIC):
            return _of([left, right], "number", names, "number")
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _of([operand], "number", names, "number")
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return _of([operand], "truth", names, "truth")
        case ast.BoolOp(values=values):
            return _of(values, "truth", names, "truth")
        case ast.Compare(left=left, ops=[operator], comparators=[right]) if isinstance(operator, _COMPARISONS):
            return _of([left, right], "number", names, "truth")
    raise ValueError(f"a rule of + - * /, comparisons, and, or, not, year(); {part!r} is not")


def _call(node: ast.Call, part: str, names: set[str]) -> str:
    if not (isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS):
        raise ValueError(f"a rule that calls only {', '.join(FUNCTIONS)}(); {part!r} does not")
    for keyword in node.keywords:
        raise ValueError(f"a rule of year(a date); {ast.unparse(keyword)!r} is not")
    if len(node.args) != 1 or not isinstance(node.args[0], ast.Name):
        raise ValueError(f"a rule of year(a date); {part!r} is not")
    return _kind(node.args[0], names)


def _of(parts: list[ast.expr], wanted: str, names: set[str], whole: str) -> str:
    for part in parts:
        if _kind(part, names) != wanted:
            raise ValueError(f"a rule with a {wanted} where {ast.unparse(part)!r} stands, which is none")
    return whole
