"""Write what is said twice from where it is said first: docs/data.md from the contract, README's table from the metrics."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from hearth.contract import Column, Contract, parse_contract
from hearth.errors import Refusal
from hearth.paths import CONTRACT, DICTIONARY, METRICS, README
from hearth.storage import read_json, read_text, read_yaml, write_text

START, END = "<!-- metrics: made by `make docs` -->", "<!-- end of metrics -->"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take --check: write nothing, and answer no where a file is not what it would be."""
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if a file is stale")


def run(options: argparse.Namespace) -> int:
    """Write the files, or compare them."""
    contract = parse_contract(read_yaml(CONTRACT), str(CONTRACT))
    wanted = {DICTIONARY: dictionary(contract), README: with_metrics(read_text(README), read_json(METRICS))}
    stale = [path for path, text in wanted.items() if not _is(path, text)]
    if options.check:
        for path in stale:
            print(f"{path} is stale; `make docs` writes it anew.")
        return int(bool(stale))
    for path in stale:
        write_text(path, wanted[path])
        print(f"wrote {path}")
    return 0


def _is(path: Path, text: str) -> bool:
    return path.is_file() and read_text(path) == text


def dictionary(contract: Contract) -> str:
    """Return docs/data.md: where the data is from, every column, every check."""
    lines = [
        f"# {contract.title}",
        "",
        "Made by `make docs` from `data/contract.yaml`; change it there.",
        "",
        "## Data card",
        "",
        f"- **One row:** {contract.row}.",
        f"- **Origin:** {contract.origin}.",
        f"- **Licence:** {contract.licence}.",
        f"- **Checksum:** the shipped `data/source/house_sales.parquet` has the sha256 `{contract.sha256}`.",
        f"- **Limits:** {contract.limits}",
        "",
        "## Columns",
        "",
        "| column | role | a value is | empty | meaning |",
        "|---|---|---|---|---|",
    ]
    lines += [_row(column) for column in contract.columns]
    lines += ["", "Categories:", ""]
    lines += [f"- `{c.name}`: {', '.join(map(str, c.categories))}" for c in contract.columns if c.categories]
    lines += [
        "",
        "## Checks over several columns",
        "",
        "A row that breaks a `refuse` check is quarantined, and a request is answered with 422. Of the rows, at most the",
        "budget may break a `warn` check; more stops the road.",
        "",
        "| check | rule | severity | budget | meaning |",
        "|---|---|---|---|---|",
    ]
    for check in contract.checks:
        budget = "" if check.budget is None else f"{check.budget:.1%}"
        lines.append(_cells(f"`{check.name}`", f"`{check.rule}`", check.severity, budget, check.meaning))
    return "\n".join(lines) + "\n"


def _row(column: Column) -> str:
    empty = "allowed" if column.nullable else "no"
    return _cells(f"`{column.name}`", column.role, column.expected, empty, column.meaning)


def _cells(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def metric_rows(metrics: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """Return (what, model, baseline) in words; the baseline is empty where it has no such figure."""
    return [
        ("median error (mdape)", f"{metrics['mdape']:.1%}", f"{metrics['baseline_mdape']:.1%}"),
        ("error of the log price (rmse_log)", f"{metrics['rmse_log']:.3f}", f"{metrics['baseline_rmse_log']:.3f}"),
        ("mean error in dollars (mae)", f"{metrics['mae']:,.0f}", ""),
        ("explained variance (r2)", f"{metrics['r2']:.3f}", ""),
        ("mean of predicted / actual - 1 (bias)", f"{metrics['bias']:+.1%}", ""),
        ("prices inside their 90 % interval (coverage)", f"{metrics['coverage']:.1%}", ""),
        ("width of the interval, relative (interval_width)", f"{metrics['interval_width']:.0%}", ""),
        ("test sales, after the training sales (rows_test)", f"{metrics['rows_test']:,.0f}", ""),
    ]


def with_metrics(text: str, metrics: Mapping[str, float]) -> str:
    """Return README's text with the table between its marks made anew."""
    if text.count(START) != 1 or text.count(END) != 1 or text.index(END) < text.index(START):
        raise Refusal(
            f"{README} lacks the marks {START!r} and {END!r}, once each in this order; put them where the table belongs."
        )
    before, rest = text.split(START)
    table = ["| on sales that the model has not seen | model | baseline |", "|---|--:|--:|"]
    table += [f"| {words} | {model} | {baseline} |" for words, model, baseline in metric_rows(metrics)]
    return before + START + "\n" + "\n".join(table) + "\n" + END + rest.split(END)[1]
