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

_ALLOWED = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Name, ast.Load, ast.Constant, ast.Call,
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.USub, ast.Invert, ast.BitAnd, ast.BitOr,
    ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE,
)  # fmt: skip


def year(days: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Return the calendar year of each day."""
    return days.astype("datetime64[Y]").astype(np.int64) + 1970


FUNCTIONS = {"year": year}


@dataclass(frozen=True)
class Rule:
    """Hold one compiled rule and the names of the columns that it reads."""

    text: str
    names: frozenset[str]
    code: CodeType

    def holds(self, columns: Columns) -> NDArray[np.bool_]:
        """Return for each row whether the rule holds; a comparison with a missing value does not."""
        scope = {name: columns[name] for name in self.names}
        return np.asarray(eval(self.code, {"__builtins__": {}, **FUNCTIONS}, scope), dtype=bool)


class _Vectorized(ast.NodeTransformer):
    """Turn `and`, `or`, `not` and chains, which Python decides for a whole array, into their elementwise twins."""

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
    try:
        tree = _Vectorized().visit(ast.parse(text, mode="eval"))
    except (SyntaxError, RecursionError) as error:
        raise ValueError(f"a rule such as 'a + b == c'; {text!r} does not parse ({error})") from None
    names = set()
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED) or (isinstance(node, ast.Compare) and len(node.ops) > 1):
            raise ValueError(f"a rule of + - * /, comparisons, and, or, not, year(); {ast.unparse(node)!r} is not")
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS):
            raise ValueError(f"a rule that calls only {', '.join(FUNCTIONS)}(); {ast.unparse(node)!r} does not")
        if isinstance(node, ast.Constant) and (
            isinstance(node.value, bool) or not isinstance(node.value, (int, float))
        ):
            raise ValueError(f"a rule with numbers only; {node.value!r} is none")
        if isinstance(node, ast.Name) and node.id not in FUNCTIONS:
            names.add(node.id)
    if not isinstance(tree.body, (ast.Compare, ast.BinOp, ast.UnaryOp)):
        raise ValueError(f"a rule that is true or false; {text!r} is neither")
    code = compile(ast.fix_missing_locations(tree), "<rule of the contract>", "eval")
    return Rule(text=text, names=frozenset(names), code=code)
