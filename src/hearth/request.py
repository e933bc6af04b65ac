"""Derive from the contract what the service accepts: a strict pydantic model of one house."""

import datetime
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model

from hearth.contract import Column, Contract, on_grid
from hearth.features import EPOCH
from hearth.rules import Columns
from hearth.strict import day

_PYTHON: dict[str, Any] = {"integer": int, "number": float, "boolean": bool, "date": datetime.date}


class House(BaseModel):
    """Be the base of the request model: strict, closed, finite."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


def request_model(contract: Contract) -> type[House]:
    """Return the model of one house: each feature by name, and the time column, which may be left out."""
    fields: dict[str, Any] = {column.name: _field(column) for column in contract.features}
    time = contract.time
    fields[time.name] = (_annotated(time) | None, Field(default=None, description=time.meaning))
    return create_model("House", __base__=House, __doc__=f"{contract.row.capitalize()}, without its price.", **fields)


def outcome_model(contract: Contract) -> type[House]:
    """Return the model of an outcome: which prediction it belongs to, and what was really paid, a target of the contract."""
    named = Annotated[
        str, Field(pattern=r"^[0-9a-f]{32}$", description="The id of the answer that was right or wrong.")
    ]
    price = (_annotated(contract.target), Field(description=contract.target.meaning))
    return create_model("Outcome", __base__=House, prediction_id=(named, ...), price=price)


def _field(column: Column) -> tuple[Any, Any]:
    kind = _annotated(column) | None if column.nullable else _annotated(column)
    default: Any = None if column.nullable else ...
    examples = None if column.example is None else [column.example]
    description = f"{column.meaning.rstrip('.')} ({column.unit})."
    return kind, Field(default=default, description=description, examples=examples)


def _annotated(column: Column) -> Any:
    if column.categories:
        return Annotated[Literal[column.categories], BeforeValidator(_exactly(type(column.categories[0])))]
    constraints: dict[str, Any] = {"ge": column.minimum, "le": column.maximum}
    marks: list[Any] = [Field(**{k: v for k, v in constraints.items() if v is not None})]
    marks += [BeforeValidator(day)] if column.type == "date" else []
    marks += [AfterValidator(_grid(column.step))] if column.step else []
    return Annotated[(_PYTHON[column.type], *marks)]


def _exactly(kind: type) -> Any:
    def check(value: object) -> object:
        # A Literal compares by ==, for which 1.0 and true are the category 1.
        if type(value) is not kind:
            raise ValueError(f"a {kind.__name__}")
        return value

    return check


def _grid(step: float) -> Any:
    def check(value: float) -> float:
        # Not pydantic's multiple_of: its message and its rounding differ from those of the table's check.
        if not on_grid(value, step):
            raise ValueError(f"a multiple of {step:g}")
        return value

    return check


def columns_of(houses: list[dict[str, Any]], contract: Contract, as_of: datetime.date) -> Columns:
    """Return validated houses as numpy columns; a date that was left out is `as_of`."""
    kinds = contract.kinds
    # One array for all numbers, since making one costs more than filling it; float64 takes None as NaN.
    cells = np.array([house[name] for name in kinds.numbers for house in houses], dtype=np.float64)
    columns: dict[str, Any] = dict(zip(kinds.numbers, cells.reshape(len(kinds.numbers), len(houses)), strict=True))
    columns |= {name: columns[name].astype(np.bool_) for name in kinds.flags}
    columns |= {name: np.array([house[name] for house in houses]) for name in kinds.labels}
    time = contract.time.name
    columns[time] = _days([house[time] or as_of for house in houses])
    return columns


def _days(days: list[Any]) -> NDArray[np.datetime64]:
    """Return days as numpy's; a request has them as dates, the log as texts."""
    if not all(isinstance(one, datetime.date) for one in days):
        return np.array(days, dtype="datetime64[D]")
    # By numbers, in a tenth of the time: numpy's own way takes a millisecond for a thousand dates.
    return (np.array([one.toordinal() for one in days], dtype=np.int64) - EPOCH.toordinal()).view("datetime64[D]")


def requests_of(columns: Columns, contract: Contract) -> list[dict[str, Any]]:
    """Return each row as the JSON object of a request: the features, and the time if the columns have it."""
    known = [column for column in (contract.time, *contract.features) if column.name in columns]
    rows = range(len(columns[known[0].name]))
    return [{column.name: _json_value(columns[column.name][row], column) for column in known} for row in rows]


def _json_value(value: Any, column: Column) -> Any:
    if value is None or value != value:
        return None
    if column.categories:
        return type(column.categories[0])(value)
    kinds: dict[str, Any] = {"integer": int, "number": float, "boolean": bool, "date": str}
    return kinds[column.type](value)
