"""Follow one house from its raw row to its price: checks, model inputs, what each column adds, and the interval."""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from hearth import parquet
from hearth.answering import Answers, BadRequestError, ServiceParams
from hearth.contract import Contract
from hearth.errors import Refusal
from hearth.explanation import Contribution, adds_up, explain, typical
from hearth.operations import absolute
from hearth.params import section
from hearth.paths import MODEL, TEST, TRAIN
from hearth.release import Release, open_release
from hearth.request import requests_of
from hearth.rules import Columns
from hearth.storage import read_bytes, read_folder

BAR = 16  # characters on either side of the middle
ACROSS = 3  # values in a line


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take a file with a house, or the place of a prepared test row."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--house", type=absolute, metavar="FILE", help="JSON file with one house, as for POST /predict")
    source.add_argument("--row", type=int, default=0, metavar="N", help=f"row N of {TEST}, from 0 (without it: row 0)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def run(options: argparse.Namespace) -> int:
    """Explain one price of the model in the workspace; refuse if the contributions do not add up to it."""
    release = open_release(read_folder(MODEL), str(MODEL))
    reference = typical(parquet.columns_of(parquet.read_frame(TRAIN)), release.contract)
    if options.house:
        where, body, paid = str(options.house), read_bytes(options.house), None
    else:
        where, body, paid = _row(options.row, release.contract)
    told = {"source": where, "paid": paid} | followed(release, body, where, reference)
    print(json.dumps(told, indent=2) if options.json else "\n".join(_page(told)))
    return 0


def followed(release: Release, body: bytes, where: str, reference: Columns) -> dict[str, Any]:
    """Return all that is told about the house in a request's body, ready for JSON; refuse a bad one in the service's words."""
    answers = Answers(release, section("service", ServiceParams))
    try:
        answer, columns = answers.predict(body), answers.columns(body)
    except BadRequestError as bad:
        raise Refusal("\n".join(_faults(bad, where))) from None
    found = explain(release, columns, reference)
    if not adds_up(found) or found.price != answer["price"]:
        raise Refusal(f"{where}: the contributions do not add up to the price {answer['price']:,.10g} of {MODEL}; "
                      "do not trust either, `make test` says what is broken.")  # fmt: skip
    return {
        "house": requests_of(columns, release.contract)[0],
        "checks": {c.name: bool(c.compiled.holds(columns)[0]) for c in release.contract.checks
                   if c.compiled.names <= columns.keys()},
        "inputs": _inputs(release, columns),
        "typical": requests_of(_today(reference, release), release.contract)[0],
        **asdict(found),
        "unit": release.contract.target.unit,
        "level": release.facts.interval.level,
        "warnings": answer["warnings"],
        "model_version": answer["model_version"],
    }  # fmt: skip


def _row(place: int, contract: Contract) -> tuple[str, bytes, float]:
    """Return a prepared test row's name, the request that it would be, and what was paid."""
    table = parquet.read_frame(TEST)
    if not 0 <= place < len(table):
        raise Refusal(f"{TEST} has no row {place}, wanted 0 to {len(table) - 1}; give --row one of these.")
    columns = parquet.columns_of(table.iloc[[place]])
    body = json.dumps(requests_of(columns, contract)[0]).encode()
    return f"row {place} of {TEST}", body, float(columns[contract.target.name][0])


def _today(reference: Columns, release: Release) -> Columns:
    return dict(reference) | {release.contract.time.name: np.array([release.facts.as_of], dtype="datetime64[D]")}


def _inputs(release: Release, columns: Columns) -> dict[str, float | None]:
    """Return the model's inputs by name."""
    values = release.inputs(columns)[0].astype(np.float64).tolist()
    return {name: None if value != value else value for name, value in zip(release.facts.features, values, strict=True)}


def _faults(bad: BadRequestError, where: str) -> list[str]:
    entries = bad.body.get("detail") or []
    if not entries:
        return [f"{where}: {bad.body['error']}; wanted one house as JSON, such as POST /predict takes. Mend the file."]
    return [
        f"{where}: {e['field'] or 'the house'} is {e['value']!r}, wanted {e['expected']}. Mend it." for e in entries
    ]


def _page(told: Mapping[str, Any]) -> list[str]:
    """Return the lines for people."""
    paid = f", sold for {told['paid']:,.10g}" if told["paid"] else ""
    lines = [f"{told['source']}{paid}", *_table(told["house"])]
    lines += ["", "checks"] + [f"  {'holds' if held else 'BROKEN':8}{name}" for name, held in told["checks"].items()]
    lines += ["", "model inputs", *_table(told["inputs"])]
    lines += ["", f"what each column adds to the price of a typical house ({told['unit']})", *_contributions(told)]
    lines += ["", f"{told['level']:.0%} interval: {told['low']:,.10g} to {told['high']:,.10g}"]
    lines += [f"model: {told['model_version']}"] + [f"warning: {said}" for said in told["warnings"]]
    return lines


def _table(values: Mapping[str, Any]) -> list[str]:
    wide = max(map(len, values))
    cells = [f"  {name:{wide}} {_shown(value):>12}" for name, value in values.items()]
    return ["  ".join(cells[start : start + ACROSS]) for start in range(0, len(cells), ACROSS)]


def _contributions(told: Mapping[str, Any]) -> list[str]:
    """Return the table from the typical price to the price, the largest contribution first."""
    parts = sorted((Contribution(**part) for part in told["contributions"]), key=lambda part: -abs(part.amount))
    words = [[", ".join(p.columns), _cells(told["house"], p), _cells(told["typical"], p)] for p in parts]
    wide = [max(map(len, column)) for column in zip(["", "house", "typical"], *words, strict=True)]
    left = [
        "  ".join(f"{cell:{w}}" for cell, w in zip(row, wide, strict=True))
        for row in (["", "house", "typical"], *words)
    ]
    largest = max(abs(part.amount) for part in parts) or 1.0
    lines = [f"  {left[0]}  {'amount':>12} {'std error':>10} {'percent':>9}"]
    for row, p in zip(left[1:], parts, strict=True):
        numbers = f"{p.amount:>+12,.0f} {p.standard_error:>10,.0f} {p.percent:>+8.1f}%"
        lines.append(f"  {row}  {numbers}  {_bar(p.amount / largest)}")
    percent = 100 * (told["exact"] / told["base_factor"] - 1)
    return [
        *lines,
        f"  {'sum':{len(left[0])}}  {sum(part.amount for part in parts):>+12,.0f} {'':>10} {percent:>+8.1f}%",
        f"  {'typical house':{len(left[0])}}  {told['base']:>12,.0f}",
        f"  {'price':{len(left[0])}}  {told['price']:>12,.10g}",
    ]


def _cells(values: Mapping[str, Any], part: Contribution) -> str:
    return ", ".join(_shown(values[name]) for name in part.columns)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else f"{value:.7g}" if isinstance(value, float) else str(value)


def _bar(share: float) -> str:
    """Return a bar to the left of the middle for what lowers the price, to the right for what raises it."""
    full = "█" if (sys.stdout.encoding or "").lower().startswith("utf") else "#"
    drawn = full * round(abs(share) * BAR)
    return f"{drawn if share < 0 else '':>{BAR}}|{drawn if share > 0 else ''}"
