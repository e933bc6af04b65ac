"""Answer a request body with a status and a body: parse, validate against the contract, predict.

Knows no HTTP server and no BentoML: the front of the service, its declared routes and the tests all call it.
"""

import datetime
import json
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from pydantic import Field, ValidationError, create_model, model_validator

from hearth.explanation import adds_up, explain
from hearth.features import Floats
from hearth.log_lines import LogParams, fields_of
from hearth.release import Release
from hearth.request import House, columns_of, outcome_model, request_model
from hearth.rules import Columns
from hearth.strict import DoubledKeyError, Strict, loads

ENTRIES_MAX = 50


class ServiceParams(Strict):
    """Hold the section `service` of params.yaml; it travels in the bento."""

    batch_rows_max: int = Field(ge=1, le=100_000)
    body_bytes_max: int = Field(ge=1000)
    body_seconds_max: float = Field(gt=0)
    in_flight_max: int = Field(ge=1)
    queue_max: int = Field(ge=0)
    queue_seconds_max: float = Field(gt=0)
    log: LogParams

    @model_validator(mode="after")
    def _room_for_a_batch(self) -> "ServiceParams":
        if self.log.waiting_max < self.batch_rows_max:
            raise ValueError(f"log.waiting_max at least batch_rows_max, which is {self.batch_rows_max}")
        return self


@dataclass(frozen=True)
class Shape:
    """Say what a body is to be: as a whole, and each of its fields."""

    whole: str
    expected: Mapping[str, str]


class BadRequestError(Exception):
    """Carry the status and the body of a refused request."""

    def __init__(self, status: int, error: str, detail: list[dict[str, Any]] | None = None) -> None:
        """Keep what is answered."""
        super().__init__(error)
        self.status = status
        self.body: dict[str, Any] = {"error": error} | ({"detail": detail} if detail is not None else {})


class Listener(Protocol):
    """Be who is told what was answered, before it is sent; it must take microseconds and raise nothing."""

    def priced(
        self,
        route: str,
        via: str | None,
        houses: Sequence[Mapping[str, Any]],
        answers: Sequence[Mapping[str, Any]],
        inputs: Floats | None,
    ) -> None:
        """Take houses with their answers and the inputs (n_houses, n_inputs) of the model."""

    def refused(self, route: str, status: int, fields: tuple[str, ...]) -> None:
        """Take a request that was refused, and the columns that it broke."""


class Answers:
    """Answer with one release."""

    listener: Listener | None = None  # who is given one is told everything that is asked from then on

    def __init__(
        self,
        release: Release,
        params: ServiceParams,
        told: Mapping[str, Any] | None = None,
        typical: Mapping[str, Any] | None = None,
    ) -> None:
        """Derive the request models and the checks that a request can be held to.

        `told` goes into model(); `typical` is the house, as in a request, that explanations start from.
        """
        self.told, self.typical = dict(told or {}), typical
        self.release, self.params, self.contract = release, params, release.contract
        self.house: type[House] = request_model(self.contract)
        batch = Field(min_length=1, max_length=params.batch_rows_max)
        self.houses: type[House] = create_model("Houses", __base__=House, houses=(list[self.house], batch))  # type: ignore[name-defined]
        self.outcome: type[House] = outcome_model(self.contract)
        fields = {column.name: column.expected for column in (*self.contract.features, self.contract.time)}
        house, rows = "an object with the fields of a house", f"1 to {params.batch_rows_max} houses"
        known = {
            "prediction_id": "the prediction_id of an answer, 32 hexadecimal digits",
            "price": self.contract.target.expected,
        }
        self._shapes = {
            self.house: Shape(house, fields),
            self.houses: Shape('an object {"houses": [...]}', fields | {"houses": rows}),
            self.outcome: Shape('an object {"prediction_id": ..., "price": ...}', known),
        }
        self._checks = self.contract.refusing({c.name for c in (*self.contract.features, self.contract.time)})
        self._rules = [check.compiled for check in self._checks]
        self._ruled = sorted({name for rule in self._rules for name in rule.names})

    def predict(self, body: bytes, via: str | None = None) -> dict[str, Any]:
        """Return the answer to the body of a /predict request; raise BadRequestError for a bad one.

        `via` is passed on to the listener, by each route that prices.
        """
        return self._priced("/predict", body, via)[1][0]

    def predict_batch(self, body: bytes, via: str | None = None) -> dict[str, Any]:
        """Return the answer to the body of a /predict_batch request, in the same order; raise BadRequestError for a bad one."""
        return {"predictions": self._priced("/predict_batch", body, via)[1]}

    def explain(self, body: bytes, via: str | None = None) -> dict[str, Any]:
        """Return what each column adds to the typical price to make that of the house in an /explain body.

        Raise BadRequestError for a bad body, and where no typical house is known.
        """
        if self.typical is None:
            raise BadRequestError(404, "this service explains no prices: it was packaged without a typical house")
        (house,), (answer,) = self._priced("/explain", body, via)
        as_of = self.release.facts.as_of
        rows = [columns_of([{self.contract.time.name: None} | dict(one)], self.contract, as_of) for one in (house, self.typical)]  # fmt: skip
        found = explain(self.release, *rows)
        if not adds_up(found) or found.price != answer["price"]:
            raise RuntimeError(f"contributions that do not add up to the price {answer['price']}")
        told = {
            "level": self.release.facts.interval.level,
            "unit": self.contract.target.unit,
            "typical": self.typical,
            "base": found.base,
            "contributions": [asdict(part) for part in found.contributions],
        }
        return answer | told

    def feedback(self, body: bytes) -> dict[str, Any]:
        """Return the outcome in a /feedback body; raise BadRequestError for a bad one."""
        found = self._parse(body, self.outcome)
        return {"prediction_id": found["prediction_id"], "price": found["price"]}

    def columns(self, body: bytes) -> Columns:
        """Return the house in a /predict body as columns of one row; raise BadRequestError for a bad one."""
        return columns_of([self._parse(body, self.house)], self.contract, self.release.facts.as_of)

    def model(self) -> dict[str, Any]:
        """Return what is served: the manifest's version, facts and files, and what the caller had told."""
        return self.release.manifest.model_dump(mode="json") | self.told

    def _priced(self, route: str, body: bytes, via: str | None) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the houses of a body and their answers, once the listener knows them."""
        try:
            if route == "/predict_batch":
                houses = self._parse(body, self.houses)["houses"]
                answers, inputs = self._predict(houses, [f"houses.{place}." for place in range(len(houses))])
            else:
                houses = [self._parse(body, self.house)]
                answers, inputs = self._predict(houses, [""])
        except BadRequestError as bad:
            if self.listener is not None:
                named = (entry["field"] for entry in bad.body.get("detail", ()))
                self.listener.refused(route, bad.status, fields_of(named, self._shapes[self.house].expected.keys()))
            raise
        if self.listener is not None:
            self.listener.priced(route, via, houses, answers, inputs)
        return houses, answers

    def _parse(self, body: bytes, kind: type[House]) -> dict[str, Any]:
        try:
            found: House = kind.__pydantic_validator__.validate_json(body)
        except ValidationError as error:
            _check_json(body)
            raise self._refusal(error, kind) from None
        houses: list[House] = vars(found)["houses"] if kind is self.houses else []
        # What pydantic accepts holds fields of the contract and no NaN, but a key may stand twice. Each key brings a
        # colon: with as many colons as fields none does. More of them may stand in a text, so the slow reader decides.
        if body.count(b":") != sum(len(house.model_fields_set) for house in (found, *houses)):
            _check_json(body)
        return {"houses": [vars(house) for house in houses]} if kind is self.houses else vars(found)

    def _refusal(self, error: ValidationError, kind: type[House]) -> BadRequestError:
        entries = error.errors(include_url=False)
        if entries[0]["type"] == "json_invalid":
            return BadRequestError(400, "the body is not good JSON")
        return _breach([self._entry(dict(entry), kind) for entry in entries])

    def _entry(self, entry: dict[str, Any], kind: type[House]) -> dict[str, Any]:
        shape = self._shapes[kind]
        name = str(entry["loc"][-1]) if entry["loc"] else ""
        if entry["type"] == "extra_forbidden":
            expected = "no such field"
        elif name in shape.expected:
            expected = shape.expected[name] + (", and the field is missing" if entry["type"] == "missing" else "")
        else:
            expected = self._shapes[self.house].whole if entry["loc"] else shape.whole
        value = None if entry["type"] == "missing" else _short(entry["input"])
        return {"field": ".".join(map(str, entry["loc"])), "value": value, "expected": expected}

    def _predict(self, houses: list[dict[str, Any]], prefixes: list[str]) -> tuple[list[dict[str, Any]], Floats | None]:
        columns = columns_of(houses, self.contract, self.release.facts.as_of)
        if broken := self._broken(columns, prefixes):
            raise _breach(broken)
        priced, warnings = self.release.predict(columns), self.release.warnings(columns)
        prices, lows, highs = priced.price.tolist(), priced.low.tolist(), priced.high.tolist()
        if not all(map(math.isfinite, [*lows, *highs])):
            raise RuntimeError("the model answered with a price that is no number")
        version = self.release.manifest.model_version
        drawn = secrets.token_hex(16 * len(houses))  # in one draw: the system is asked once
        answers = [
            {
                "prediction_id": drawn[32 * place : 32 * place + 32],
                "price": price,
                "low": low,
                "high": high,
                "model_version": version,
                "warnings": said,
            }
            for place, (price, low, high, said) in enumerate(zip(prices, lows, highs, warnings, strict=True))
        ]
        return answers, priced.inputs

    def _broken(self, columns: Columns, prefixes: list[str]) -> list[dict[str, Any]]:
        if len(prefixes) == 1:
            cells = {name: columns[name].item() for name in self._ruled}
            if not any(rule.breaks(cells) for rule in self._rules):
                return []
        found = []
        for check in self._checks:
            names = sorted(check.compiled.names)
            for row in np.flatnonzero(check.compiled.broken(columns)):
                values = {name: _plain(columns[name][row]) for name in names}
                field = prefixes[row] + ", ".join(names)
                found.append({"field": field, "value": values, "expected": f"{check.rule} ({check.name})"})
        return found


def _breach(entries: list[dict[str, Any]]) -> BadRequestError:
    """Return the refusal with the first entries: a batch of a thousand empty houses must not be answered with megabytes."""
    more = f" in {len(entries):,} places, of which these are the first" if len(entries) > ENTRIES_MAX else ""
    return BadRequestError(422, f"the request breaks the contract{more}", entries[:ENTRIES_MAX])


def _check_json(body: bytes) -> None:
    """Refuse what pydantic's parser would let pass: a key that stands twice (it takes the last) and NaN."""
    try:
        loads(body)
    except DoubledKeyError as error:
        raise _breach([{"field": error.key, "value": None, "expected": "each field once"}]) from None
    except ValueError:
        raise BadRequestError(400, "the body is not good JSON") from None


def _short(value: Any) -> Any:
    """Return a scalar as it is; what is long or nested is cut, so that an error is never larger than its request."""
    if isinstance(value, float) and not np.isfinite(value):  # 1e400 is good JSON on the way in, and none on the way out
        return str(value)
    if isinstance(value, datetime.date):
        return str(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value if len(str(value)) <= 40 else str(value)[:37] + "..."
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


def _plain(value: Any) -> Any:
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value)
    number = value.item() if isinstance(value, np.generic) else value
    if isinstance(number, float):
        return None if np.isnan(number) else int(number) if number.is_integer() else number
    return number
