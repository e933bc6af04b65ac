"""Be a released model: a folder of data-only files with a manifest, verified before any parser opens them.

`pack` makes the files, `open_release` verifies and loads them. Nothing here touches a file: names and bytes go in and
come out. No part of it is a pickle, and the service that loads it needs neither pandas nor scikit-learn.
"""

import datetime
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import onnxruntime
import yaml
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from hearth.contract import Contract, parse_contract
from hearth.errors import Refusal
from hearth.features import FeatureParams, Floats, input_names, model_inputs
from hearth.hedonic import Hedonic
from hearth.intervals import Interval
from hearth.levels import INPUT, LEVEL_TABLES, OUTPUT, Levels
from hearth.market import PriceIndex
from hearth.masks import MASK_TABLES, Masks
from hearth.neighbours import NeighbourParams, Neighbours
from hearth.rules import Columns
from hearth.strict import Strict, loads

FORMAT = "hearth-model-3"
MANIFEST, GRAPH, CONTRACT, KNOWN = "manifest.json", "model.onnx", "contract.yaml", "known_sales.npy"
Evaluate = Callable[[Floats], NDArray[np.float64]]  # inputs (n_rows, n_inputs) to sums (n_rows, n_ensembles)
_ENDS = np.array([[0.0], [-1.0], [1.0]])  # price, low and high, in half widths
DIGITS = 7  # significant digits of a price that is no whole number


class File(Strict):
    """Hold what a file must be."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class Range(Strict):
    """Hold the smallest and the largest value of a column in the rows that the model was fitted on."""

    minimum: float
    maximum: float


class Facts(Strict):
    """Say what a model is and what made it; the manifest is these facts, its version and its files."""

    as_of: datetime.date  # the day after the newest row; a request without a date is priced for this day
    first_day: datetime.date
    horizon: datetime.date  # last day for which the evaluation vouches; later dates are priced as of this day
    rows: int
    data_sha256: str
    features: tuple[str, ...]
    recipe: FeatureParams
    params: dict[str, Any]
    index: PriceIndex
    hedonic: Hedonic
    interval: Interval
    ranges: dict[str, Range]
    libraries: dict[str, str]


class Manifest(Strict):
    """Be the parsed manifest.json."""

    format: Literal["hearth-model-3"]
    model_version: str
    facts: Facts
    files: dict[str, File]


@dataclass(frozen=True)
class Prediction:
    """Hold prices and the ends of their intervals, (n_rows,) each, in the target's unit, and what they were computed from."""

    price: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    inputs: Floats | None = None  # (n_rows, n_inputs), as the graph read them


class Fast(Protocol):
    """Be what computes the same as numpy does here, to the last bit, in less time (native.py)."""

    def trees(self, parts: Sequence[Levels | Masks], base: NDArray[np.float64], n_inputs: int) -> Evaluate:
        """Return what sums the trees of all parts with the base."""

    def neighbours(self, known: Neighbours) -> Neighbours:
        """Return a look-up of the same sales."""


def pack(graph: bytes, contract: bytes, facts: Facts, known: Neighbours | None) -> dict[str, bytes]:
    """Return the files of a release by name; the version is a hash of everything in it."""
    files = {GRAPH: graph, CONTRACT: contract} | ({} if known is None else {KNOWN: _npy(known.known)})
    listed = {name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in files.items()}
    body = {"format": FORMAT, "facts": facts.model_dump(mode="json"), "files": listed}
    manifest = body | {"model_version": _version(body)}
    return files | {MANIFEST: (json.dumps(manifest, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()}


def _version(body: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(body, sort_keys=True, allow_nan=False).encode()).hexdigest()
    return f"{body['facts']['as_of']}-{digest[:12]}"


def verify(files: Mapping[str, bytes], where: str) -> Manifest:
    """Return the manifest once every file is what it says; refuse missing, extra and changed files by name."""
    if MANIFEST not in files:
        raise Refusal(f"{where} has no {MANIFEST}; it is no release. `dvc checkout` brings back the last good one.")
    try:
        document = loads(files[MANIFEST])
        manifest = Manifest.model_validate_json(files[MANIFEST])
    except ValueError as error:  # pydantic's ValidationError is a ValueError
        reason = str(error).splitlines()[-2 if isinstance(error, ValidationError) else 0].strip()
        raise Refusal(f"{where}/{MANIFEST} is no manifest of this code ({reason}); "
                      "`dvc checkout` brings back the last good one.") from None  # fmt: skip
    if manifest.model_version != _version({key: value for key, value in document.items() if key != "model_version"}):
        raise Refusal(
            f"{where}/{MANIFEST} was changed: its version {manifest.model_version} is not that of its content."
        )
    if extra := sorted(files.keys() - manifest.files.keys() - {MANIFEST}):
        raise Refusal(f"{where}/{extra[0]} is not named in {MANIFEST}; remove it.")
    wanted_files = {GRAPH, CONTRACT} | ({KNOWN} if manifest.facts.recipe.neighbours else set())
    if missing := sorted(wanted_files - manifest.files.keys()):
        raise Refusal(f"{where}/{MANIFEST} does not name {missing[0]}; it is no release of this code.")
    for name, wanted in manifest.files.items():
        data = files.get(name)
        found = None if data is None else hashlib.sha256(data).hexdigest()
        if data is None or found != wanted.sha256 or len(data) != wanted.size:
            raise Refusal(f"{where}/{name} has the sha256 {found}, wanted {wanted.sha256}; it is damaged or was changed. "
                          "`dvc checkout` brings back the last good one.")  # fmt: skip
    return manifest


class Release:
    """Price houses with a verified release."""

    def __init__(
        self, manifest: Manifest, contract: Contract, graph: bytes, known: Neighbours | None, fast: Fast | None = None
    ) -> None:
        """Open the graph and prepare what each price needs; with `fast`, prices are computed by that."""
        self.manifest, self.contract = manifest, contract
        self.facts, self.known = manifest.facts, fast.neighbours(known) if fast and known else known
        self._horizon = np.datetime64(manifest.facts.horizon)
        self._first, self._levels = self.facts.index.by_day(manifest.facts.horizon)
        self.run = opened(graph, len(self.facts.features), fast)
        if tuple(input_names(contract, self.facts.recipe)) != self.facts.features:
            raise Refusal(
                "The model was trained on other features than this code computes; use the code of its commit."
            )
        if unknown := set(self.facts.hedonic.names) - set(self.facts.features):
            raise Refusal(f"The model's regression reads {min(unknown)!r}, which is no input of the model; train anew.")
        self._explaining = np.array(self.facts.hedonic.among(self.facts.features), dtype=np.intp)
        self._ranged = tuple(self.facts.ranges)
        self._bounds = [(name, bounds.minimum, bounds.maximum) for name, bounds in self.facts.ranges.items()]
        days = np.array([self.facts.first_day, self.facts.horizon], dtype="datetime64[D]").astype(np.float64)
        ends = np.array([*((r.minimum, r.maximum) for r in self.facts.ranges.values()), days])
        self._least, self._most = ends.T[:, :, np.newaxis]  # (n_ranges + 1, 1) each, the days last

    def inputs(self, columns: Columns) -> Floats:
        """Return the model's inputs (n_rows, n_inputs); days after the horizon count as the horizon."""
        return self._inputs(self._until_horizon(columns))

    def log_price(self, columns: Columns) -> NDArray[np.float64]:
        """Return predicted log prices (n_rows,)."""
        return self._run(columns)[0]

    def predict(self, columns: Columns) -> Prediction:
        """Return prices with intervals; the target's unit decides the rounding."""
        log_price, spread, inputs = self._run(columns)
        price = np.exp(log_price + _ENDS * self.facts.interval.half_width(spread))
        price, low, high = _rounded(price, self.contract.target.type == "integer")
        return Prediction(price, low, high, inputs)

    def _run(self, columns: Columns) -> tuple[NDArray[np.float64], NDArray[np.float64], Floats]:
        """Return log prices and expected sizes of the error, (n_rows,) each, and the inputs that they come from."""
        columns = self._until_horizon(columns)
        inputs = self._inputs(columns)
        values = self.run(inputs)
        day = (columns[self.contract.time.name] - self._first).astype(np.int64)
        offset = self._levels.take(day, mode="clip") + self.facts.hedonic.value(inputs.take(self._explaining, axis=1))
        return values[:, 0] + offset, values[:, 1], inputs

    def _inputs(self, columns: Columns) -> Floats:
        return model_inputs(columns, self.contract, self.facts.recipe, self.known)

    def _until_horizon(self, columns: Columns) -> Columns:
        time = self.contract.time.name
        if len(days := columns[time]) == 1 and days[0] <= self._horizon:  # as a rule, and the copy costs
            return columns
        return dict(columns) | {time: np.minimum(days, self._horizon)}

    def warnings(self, columns: Columns) -> list[list[str]]:
        """Return for each row what lies outside the rows that the model was fitted on, in words."""
        time = self.contract.time.name
        days = columns[time]
        said: list[list[str]] = [[] for _ in range(len(days))]
        if len(days) == 1 and self._within(columns):
            return said
        # All at once, the days last and as numbers too: asked one by one, seventeen columns cost more than the model.
        values = np.concatenate([*map(columns.__getitem__, self._ranged), days.astype(np.float64)])
        values = values.reshape(len(self._least), len(days))
        for place, row in zip(*((values < self._least) | (values > self._most)).nonzero(), strict=True):
            if place < len(self._ranged):
                name = self._ranged[place]
                bounds = self.facts.ranges[name]
                said[row].append(
                    f"{name}: {values[place, row]:.10g} is outside the training data, {bounds.minimum:.10g} to {bounds.maximum:.10g}"
                )
            elif days[row] > np.datetime64(self.facts.horizon):
                said[row].append(f"{time}: {days[row]} is after {self.facts.horizon}, the last day that was validated; "
                                 "the price is that of the last validated day")  # fmt: skip
            elif days[row] < np.datetime64(self.facts.first_day):  # which no missing day is
                said[row].append(
                    f"{time}: {days[row]} is before {self.facts.first_day}, the first day of the training data"
                )
        return said

    def _within(self, columns: Columns) -> bool:
        """Return whether a single row lies inside all ranges, so that there is nothing to say of it."""
        for name, minimum, maximum in self._bounds:
            if not minimum <= columns[name].item() <= maximum:
                return False
        day = columns[self.contract.time.name].item()  # None for a missing one
        return day is not None and bool(self.facts.first_day <= day <= self.facts.horizon)


def opened(graph: bytes, n_inputs: int, fast: Fast | None = None) -> Evaluate:
    """Return what evaluates a graph: by its tables where it has those of all its trees, else ONNX Runtime.

    It takes inputs (n_rows, n_inputs) to (n_rows, 2): log prices net of index and regression, and expected sizes of the error.
    """
    options = onnxruntime.SessionOptions()
    # One thread: more of them only wait for each other on a row or a thousand.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = {output.name for output in session.get_outputs()}
    some = np.linspace(-500, 2000, 6, dtype=np.float32)[:, None] * np.ones(n_inputs, dtype=np.float32)

    def walked(inputs: Floats) -> NDArray[np.float64]:
        values: NDArray[np.float64] = session.run([OUTPUT], {INPUT: inputs})[0]
        return values

    def tables(*wanted: str) -> list[NDArray[Any]]:
        return list(session.run([f"{name}_table" for name in wanted], {INPUT: some}))

    parts: list[Levels | Masks] = []
    if "levels_leaf_table" in names:
        parts.append(Levels(*tables(*(f"levels_{name}" for name in LEVEL_TABLES))))
    if "masks_leaf_table" in names:
        parts.append(Masks(*tables(*(f"masks_{name}" for name in MASK_TABLES))))
    (base,) = tables("base")

    def asked(inputs: Floats) -> NDArray[np.float64]:
        return np.asarray(sum(part.run(inputs) for part in parts) + base)

    if not parts:  # trees with very many leaves have no tables
        return walked
    if not np.allclose(asked(some), walked(some), rtol=0, atol=1e-9):
        raise Refusal("The graph's tables do not answer as its operators do; train anew.")
    return asked if fast is None else fast.trees(parts, base, n_inputs)


def open_release(files: Mapping[str, bytes], where: str, fast: Fast | None = None) -> Release:
    """Return the release in these files; verify each file first. `where` names the folder in refusals.

    What serves passes compiled code as `fast`, where there is some. Stages do not: what they make owes nothing to a compiler.
    """
    manifest = verify(files, where)
    contract = parse_contract(yaml.safe_load(files[CONTRACT]), f"{where}/{CONTRACT}")
    params = manifest.facts.recipe.neighbours
    known = None if params is None else _known(files[KNOWN], params, f"{where}/{KNOWN}")
    return Release(manifest, contract, files[GRAPH], known, fast)


def _npy(values: NDArray[np.float64]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(values), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def _known(content: bytes, params: NeighbourParams, where: str) -> Neighbours:
    try:
        values = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
        if values.dtype != np.float64 or not np.isfinite(values).all():
            raise ValueError(f"it holds {values.dtype}, wanted finite float64")
        return Neighbours(values, params)
    except ValueError as error:
        raise Refusal(f"{where} is no table of known sales ({error}); train anew.") from None


def _rounded(values: NDArray[np.float64], whole: bool) -> NDArray[np.float64]:
    if whole:
        return np.rint(values)
    return np.array([float(f"{value:.{DIGITS}g}") for value in values.ravel()]).reshape(values.shape)
