"""Compile a rule of the contract, such as `a + b == c or d == 0`, into a function of columns and one of a single row.

The language is a small part of Python's expressions, checked node by node before it is compiled; it computes in
float64, with true as 1. Both functions come from the same tree: numpy columns of any length serve the table of a
delivery, plain cells the single row of a request, for which ten operations on arrays would cost more than the model.
"""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]

_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div)
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_YEARS = np.dtype("datetime64[Y]")  # read once; numpy would parse the text in each call
LENGTH_MAX = 500  # Python's own parser fails on what is nested deeply, in more than one way


def year(days: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Return the calendar year of each day."""
    return days.astype(_YEARS).astype(np.int64) + 1970


FUNCTIONS = {"year": year}
_OF_ONE = {"year": lambda day: float(day.year)}  # the same for a datetime.date


@dataclass(frozen=True)
class Rule:
    """Hold one compiled rule and the names of the columns that it reads."""

    text: str
    names: frozenset[str]
    days: frozenset[str]  # those of the names that stand in year()
    order: tuple[str, ...]  # of the names, as the functions' arguments
    of_columns: Callable[..., Any] = field(compare=False)
    of_cells: Callable[..., bool] = field(compare=False)

    def holds(self, columns: Columns) -> NDArray[np.bool_]:
        """Return for each row whether all cells that the rule reads are filled and the rule holds."""
        return self._filled(columns) & self._found(columns)

    def broken(self, columns: Columns) -> NDArray[np.bool_]:
        """Return for each row whether it breaks the rule; an empty cell breaks none, the contract judges it by itself."""
        return self._filled(columns) & ~self._found(columns)

    def breaks(self, cells: Mapping[str, Any]) -> bool:
        """Return what broken() does for one row of plain cells: floats, truths, a date in year(), None or NaN for empty."""
        try:
            # What holds is not broken, with an empty cell or without; all else is for broken() to say.
            if self.of_cells(*[cells[name] for name in self.order]):
                return False
        except (
            ZeroDivisionError,
            TypeError,
            AttributeError,
        ):  # numpy divides by zero, and None is not in Python's numbers
            pass
        return bool(self.broken({name: self._column(name, cells[name]) for name in self.order})[0])

    def _column(self, name: str, cell: Any) -> NDArray[Any]:
        return np.array([cell], dtype="datetime64[D]" if name in self.days else np.float64)

    def _found(self, columns: Columns) -> NDArray[np.bool_]:
        with np.errstate(all="ignore"):  # infinity and NaN compare as they do, and a rule may divide by an empty cell
            return np.asarray(self.of_columns(*[_numbers(columns[name]) for name in self.order]), dtype=bool)

    def _filled(self, columns: Columns) -> NDArray[np.bool_]:
        filled = np.ones(len(columns[self.order[0]]), dtype=bool)
        for cells in (columns[name] for name in self.order):
            if cells.dtype.kind in "fM":
                filled &= cells == cells  # only NaN and NaT differ from themselves
        return filled


def _numbers(cells: NDArray[Any]) -> NDArray[Any]:
    """Return truths and whole numbers as float64: numpy would take `+` between truths as `or`, and wrap beyond 64 bits."""
    return cells.astype(np.float64) if cells.dtype.kind in "biu" else cells


class _InFloats(ast.NodeTransformer):
    """Turn each number into a float, so that no whole number is compared or multiplied beyond what a float holds."""

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return ast.Constant(float(node.value))  # type: ignore[arg-type]  # _kind() let numbers only through


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
        if isinstance(node.op, ast.Not):  # not `~`, which makes -2 of the True that `1 == 1` is
            return ast.Compare(left=operand, ops=[ast.Eq()], comparators=[ast.Constant(False)])
        return ast.UnaryOp(op=node.op, operand=operand)


def compile_rule(text: str) -> Rule:
    """Return `text` as a rule; raise ValueError with the part that is not allowed."""
    if len(text) > LENGTH_MAX:
        raise ValueError(
            f"a rule of at most {LENGTH_MAX} characters; {text[:20]!r}... has {len(text):,} and does not parse"
        )
    try:
        return _compiled(text)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"a rule such as 'a + b == c'; {text!r} does not parse ({error})") from None
    except OverflowError:
        raise ValueError(f"a rule with numbers below 1e308; {text!r} has a larger one") from None


def _compiled(text: str) -> Rule:
    tree = ast.parse(text, mode="eval")
    names: set[str] = set()
    if _kind(tree.body, names) != "truth":
        raise ValueError(f"a rule that is true or false; {text!r} is neither")
    if not names:
        raise ValueError(f"a rule over at least one column; {text!r} names none")
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    days = {argument.id for call in calls for argument in call.args if isinstance(argument, ast.Name)}
    order = tuple(sorted(names))
    body = _InFloats().visit(tree.body)
    of_cells = _function(order, body, _OF_ONE)  # before the tree is changed for columns
    of_columns = _function(order, _Vectorized().visit(body), FUNCTIONS)
    return Rule(text, frozenset(names), frozenset(days), order, of_columns, of_cells)


def _function(arguments: tuple[str, ...], body: ast.expr, scope: Mapping[str, Any]) -> Callable[..., Any]:
    named = [ast.arg(arg=name) for name in arguments]
    taken = ast.arguments(posonlyargs=[], args=named, kwonlyargs=[], kw_defaults=[], defaults=[])
    whole = ast.fix_missing_locations(ast.Expression(ast.Lambda(args=taken, body=body)))
    found: Callable[..., Any] = eval(compile(whole, "<rule of the contract>", "eval"), {"__builtins__": {}, **scope})
    return found


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
