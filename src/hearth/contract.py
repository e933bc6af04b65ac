"""Know what a row is: columns with types, units, bounds and roles, and rules over several of them.

Everything that has to agree on this is derived from a `Contract`: the table schema (tables.py), the request model
(request.py), the data dictionary (operations/docs.py) and the profile for the monitor (profile.py).
"""

import datetime
import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from hearth.errors import Refusal
from hearth.rules import Rule, compile_rule
from hearth.strict import Listed, Strict, parse

Type = Literal["integer", "number", "boolean", "date", "category", "text"]
Role = Literal["key", "time", "target", "feature", "recorded_at", "cancelled", "ignored", "identifier", "sensitive"]
PRIVATE: tuple[Role, ...] = ("identifier", "sensitive")  # they stay in the raw table
Bound = int | float | datetime.date
RESERVED = (
    "reasons"  # the column of the raw table and the quarantine that says why a row is refused; empty where it is not
)
GRID = 1e-9  # share of a step; 1.2 / 0.1 is 11.999999999999998
Text = Annotated[str, Field(min_length=1)]


def on_grid(values: Any, step: float) -> Any:
    """Return whether values, a number or an array, are multiples of a step, within the rounding of a division."""
    if isinstance(values, (int, float)):  # one request's number: the same without a detour through arrays
        count = float(values) / step
        return math.isfinite(count) and abs(math.remainder(count, 1.0)) < GRID
    steps = np.asarray(values, dtype=np.float64) / step
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        return np.abs(steps - np.round(steps)) < GRID


class Column(Strict):
    """Describe one column; `expected` says in words what a value must be."""

    name: Text
    type: Type
    unit: Text
    role: Role
    meaning: Text
    minimum: Bound | None = None
    maximum: Bound | None = None
    step: float | None = Field(default=None, gt=0)
    categories: Annotated[tuple[int | str, ...], Listed] = ()
    nullable: bool = False
    example: bool | int | float | str | datetime.date | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Column":
        numeric, dated = self.type in ("integer", "number"), self.type == "date"
        for bound in (self.minimum, self.maximum):
            if bound is not None and (not (numeric or dated) or isinstance(bound, datetime.date) != dated):
                raise ValueError(f"a bound that fits the type {self.type}, not {bound!r}")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:  # type: ignore[operator]
            raise ValueError(f"a minimum no larger than the maximum, not {self.minimum} and {self.maximum}")
        if self.step is not None and not numeric:
            raise ValueError("a step only for integer and number")
        return self

    @model_validator(mode="after")
    def _categories(self) -> "Column":
        if (self.type == "category") != bool(self.categories):
            raise ValueError("categories exactly where the type is category")
        if len(set(self.categories)) < len(self.categories) or len({type(c) for c in self.categories}) > 1:
            raise ValueError("distinct categories, all whole numbers or all texts")
        return self

    @model_validator(mode="after")
    def _role(self) -> "Column":
        numeric, dated = self.type in ("integer", "number"), self.type == "date"
        if self.role in ("key", "time", "target", "recorded_at") and self.nullable:
            raise ValueError(f"nullable: false for the role {self.role}")
        if self.role in ("time", "recorded_at") and not dated:
            raise ValueError(f"the type date for the role {self.role}, not {self.type}")
        if self.name == RESERVED:
            raise ValueError("another name, since the raw table has a column reasons that says why a row is refused")
        if self.role == "cancelled" and (self.type != "boolean" or self.nullable):
            raise ValueError(f"the type boolean and nullable: false for the role cancelled, not {self.type}")
        if self.role == "target" and not (numeric and self.minimum is not None and self.minimum > 0):  # type: ignore[operator]
            raise ValueError("a numeric target with a minimum above 0 (the model learns its logarithm)")
        if self.role == "feature" and dated:
            raise ValueError("a feature that is no date (derive one in features.py instead)")
        return self

    @model_validator(mode="after")
    def _privacy(self) -> "Column":
        if self.type == "text" and self.role not in (*PRIVATE, "ignored"):
            raise ValueError(f"the role identifier, sensitive or ignored for the type text, not {self.role}")
        if self.private and any(given is not None for given in (self.minimum, self.maximum, self.step, self.example)):
            raise ValueError(
                f"no minimum, maximum, step or example for the role {self.role}: only the raw table has it"
            )
        return self

    @model_validator(mode="after")
    def _exemplary(self) -> "Column":
        if self.example is not None and not self.accepts(self.example):
            raise ValueError(f"an example that the column accepts ({self.expected}), not {self.example!r}")
        return self

    @property
    def private(self) -> bool:
        """Return whether it tells of a person: then no table but the raw one, no model, log or report may have it."""
        return self.role in PRIVATE

    @cached_property
    def places(self) -> dict[int | str, int]:
        """Return each category's place in the contract."""
        return {category: place for place, category in enumerate(self.categories)}

    def accepts(self, value: object) -> bool:
        """Return whether a value has the column's type and keeps its bounds, its step and its categories."""
        if self.categories:
            return any(value == known and type(value) is type(known) for known in self.categories)
        kinds: Any = {"integer": int, "number": (int, float), "boolean": bool, "date": datetime.date, "text": str}
        if not isinstance(value, kinds[self.type]) or isinstance(value, bool) != (self.type == "boolean"):
            return False
        low = self.minimum is None or value >= self.minimum
        high = self.maximum is None or value <= self.maximum
        return low and high and (self.step is None or bool(on_grid(float(value), self.step)))

    @cached_property
    def expected(self) -> str:
        """Say what a value must be, for people: `a whole number from 0 to 15 (room)`."""
        kind = {
            "integer": "a whole number",
            "number": "a number",
            "boolean": "true or false",
            "date": "a date as YYYY-MM-DD",
            "text": "a text",
        }
        if self.categories:
            return f"one of the {len(self.categories)} categories of {self.name} ({self.unit})"
        words = kind[self.type]
        if self.minimum is not None and self.maximum is not None:
            words += f" from {self.minimum} to {self.maximum}"
        elif self.minimum is not None or self.maximum is not None:
            words += f" of at least {self.minimum}" if self.maximum is None else f" of at most {self.maximum}"
        if self.step is not None:
            words += f" in steps of {self.step:g}"
        unit = "" if self.type in ("boolean", "date", "text") else f" ({self.unit})"
        return words + unit + (", or null" if self.nullable else "")


class Check(Strict):
    """Hold a rule over several columns; `warn` has a budget, the share of rows that may break it."""

    name: Text
    rule: Text
    severity: Literal["refuse", "warn"]
    meaning: Text
    budget: float | None = Field(default=None, ge=0, lt=1)

    @model_validator(mode="after")
    def _budget(self) -> "Check":
        if (self.severity == "warn") != (self.budget is not None):
            raise ValueError("a budget exactly where the severity is warn")
        compile_rule(self.rule)
        return self

    @cached_property
    def compiled(self) -> Rule:
        """Return the rule as a function of columns."""
        return compile_rule(self.rule)


@dataclass(frozen=True)
class Kinds:
    """Hold names of features: all that are numbers, those of them that are true or false, and the categories."""

    numbers: tuple[str, ...]
    flags: tuple[str, ...]
    labels: tuple[str, ...]


class Contract(Strict):
    """Hold the columns in the table's order and the checks."""

    name: Text
    row: Text
    title: Text
    origin: Text
    licence: Text
    limits: Text
    sha256: str = Field(pattern="^([0-9a-f]{64})?$")
    columns: tuple[Column, ...]
    checks: tuple[Check, ...]

    @model_validator(mode="after")
    def _complete(self) -> "Contract":
        roles = Counter(column.role for column in self.columns)
        for role in ("time", "target"):
            if roles[role] != 1:
                raise ValueError(f"exactly one column with the role {role}, not {roles[role]}")
        if roles["recorded_at"] > 1 or not roles["key"] or not roles["feature"]:
            raise ValueError("at least one key, at least one feature and at most one recorded_at")
        if roles["cancelled"] > roles["recorded_at"]:
            raise ValueError("at most one cancelled, and a recorded_at beside it: which record is the later one?")
        names = {column.name for column in self.columns}
        for check in self.checks:
            if unknown := sorted(check.compiled.names - names):
                raise ValueError(f"checks over columns of this contract; {check.name} names {unknown[0]!r}")
            for name in sorted(check.compiled.names):
                column = self[name]
                if (column.type == "date") != (name in check.compiled.days):
                    raise ValueError(f"year() around dates and nothing else; {check.name} breaks that with {name!r}")
                if column.categories and isinstance(column.categories[0], str):
                    raise ValueError(f"checks over numbers; {check.name} names {name!r}, whose categories are texts")
        return self

    @model_validator(mode="after")
    def _checkable(self) -> "Contract":
        for check in self.checks:
            for column in (self[name] for name in sorted(check.compiled.names)):
                if column.private:
                    raise ValueError(f"checks over columns that leave the raw table; {check.name} names {column.name!r}, "
                                     f"whose role is {column.role}")  # fmt: skip
                if column.type == "text":
                    raise ValueError(f"checks over numbers; {check.name} names {column.name!r}, a text")
        return self

    def __getitem__(self, name: str) -> Column:
        """Return the column of that name."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    @cached_property
    def kinds(self) -> Kinds:
        """Return the names of the features by what an array of them holds."""
        numbers = tuple(column.name for column in self.features if not column.categories)
        flags = tuple(c.name for c in self.features if c.type == "boolean" and not c.nullable)
        return Kinds(numbers, flags, tuple(column.name for column in self.features if column.categories))

    def of(self, *roles: Role) -> tuple[Column, ...]:
        """Return the columns with one of these roles, in the table's order."""
        return tuple(column for column in self.columns if column.role in roles)

    @cached_property
    def features(self) -> tuple[Column, ...]:
        """Return the columns that a model may use and that a request gives."""
        return self.of("feature")

    @cached_property
    def private(self) -> tuple[Column, ...]:
        """Return the columns that only the raw table may have."""
        return self.of(*PRIVATE)

    @cached_property
    def open(self) -> tuple[Column, ...]:
        """Return the columns of the tables after the raw one."""
        return tuple(column for column in self.columns if not column.private)

    @cached_property
    def time(self) -> Column:
        """Return the column that says when."""
        return self.of("time")[0]

    @cached_property
    def target(self) -> Column:
        """Return the column that is predicted."""
        return self.of("target")[0]

    @property
    def keys(self) -> list[str]:
        """Return the names of the key columns with the time: together they name one sale."""
        return [column.name for column in self.of("key", "time")]

    @property
    def watermark(self) -> str:
        """Return the name of the column that says when a row was known."""
        return (self.of("recorded_at") or self.of("time"))[0].name

    @property
    def recorded_at(self) -> Column | None:
        """Return the column that says when a row became known, if there is one: then a later record corrects an earlier one."""
        return next(iter(self.of("recorded_at")), None)

    @property
    def cancelled(self) -> Column | None:
        """Return the column that says that a record takes its sale back, if there is one."""
        return next(iter(self.of("cancelled")), None)

    def refusing(self, available: set[str]) -> tuple[Check, ...]:
        """Return the refusing checks that read only `available` columns (a request has no target, for one)."""
        return tuple(c for c in self.checks if c.severity == "refuse" and c.compiled.names <= available)


def parse_contract(document: object, where: str) -> Contract:
    """Return a contract from the mapping in a file; `where` names the file. Refuse with each key that is wrong."""
    values = dict(document) if isinstance(document, dict) else document
    if isinstance(values, dict):
        for key, kind in (("columns", Column), ("checks", Check)):
            entries = values.get(key)
            if isinstance(entries, dict):
                for name, entry in entries.items():
                    if isinstance(entry, dict) and "name" in entry:
                        raise Refusal(f"{where}: {key}.{name}.name is not a known key; {name} is its name. Remove it.")
                values[key] = tuple(
                    parse(kind, {**entry, "name": name} if isinstance(entry, dict) else entry, f"{where}: {key}.{name}")
                    for name, entry in entries.items()
                )
    return parse(Contract, values, where)
