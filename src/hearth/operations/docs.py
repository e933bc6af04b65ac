"""Write what is said twice from where it is said first: from the contract, the figures and dvc.yaml.

docs/data.md is the contract's, README's tables are the figures', and dvc.yaml's graph is what schedulers read.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

from hearth.contract import Column, Contract, parse_contract
from hearth.errors import Refusal
from hearth.paths import CONTRACT, DICTIONARY, METRICS, QUALITY, README, ROAD
from hearth.revisions import Workspace
from hearth.stage_graph import document
from hearth.storage import read_json, read_text, read_yaml, write_text

# What stands in benchmarks/quality.json, in README's words.
PROTOCOLS = {
    "random_ten_fold": "ten random folds",
    "january_february_2015": "January and February 2015, from all before",
    "march_to_may_2015": "March to May 2015, from all before",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take --check: write nothing, and answer no where a file is not what it would be."""
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if a file is stale")


def run(options: argparse.Namespace) -> int:
    """Write the files, or compare them."""
    contract = parse_contract(read_yaml(CONTRACT), str(CONTRACT))
    readme = with_table(read_text(README), "metrics", metrics_table(read_json(METRICS)))
    readme = with_table(readme, "quality", quality_table(read_json(QUALITY)))
    wanted = {DICTIONARY: dictionary(contract), README: readme}
    if ROAD.parent.is_dir():  # whoever runs the road elsewhere may have thrown it away
        wanted[ROAD] = json.dumps(document(Workspace().stages()[0]), indent=2) + "\n"
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
        "| column | role | a value is | empty | kept in | meaning |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_row(column) for column in contract.columns]
    lines += ["", _privacy(contract)]
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
    empty = "not judged" if column.private else "allowed" if column.nullable else "no"
    return _cells(f"`{column.name}`", column.role, column.expected, empty, _kept_in(column), column.meaning)


def _kept_in(column: Column) -> str:
    """Return how far a column travels on the road."""
    if column.private:
        return "raw table only"
    if column.role in ("feature", "time"):
        return "tables, model, log, reports"
    return "tables, reports" if column.role in ("key", "target") else "raw and validated tables"


def _privacy(contract: Contract) -> str:
    """Return what is done for the people in the table."""
    names = ", ".join(f"`{column.name}`" for column in contract.private) or "none"
    return (
        f"Columns with the role `identifier` or `sensitive` ({names}) stay in the raw table: no later table, quarantine, model,\n"
        "request, log or report has them. `hearth scan` looks for e-mail addresses, phone numbers and names where none should be."
    )


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


def metrics_table(metrics: Mapping[str, float]) -> list[str]:
    """Return the lines of the table of metrics.json."""
    head = ["| on sales that the model has not seen | model | baseline |", "|---|--:|--:|"]
    return head + [f"| {words} | {model} | {baseline} |" for words, model, baseline in metric_rows(metrics)]


def quality_table(quality: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    """Return the lines of the table of quality.json: each protocol, each model."""
    lines = ["| protocol | model | RMSE, dollars | median error | R² | bias |", "|---|---|--:|--:|--:|--:|"]
    for protocol, words in PROTOCOLS.items():
        for name, m in sorted(quality[protocol].items(), key=lambda item: item[1]["rmse"]):
            figures = f"{m['rmse']:,.0f} | {m['mdape']:.2%} | {m['r2']:.4f} | {m['bias']:+.1%}"
            lines.append(f"| {words} | {name if name == 'hearth' else f'{name}, defaults'} | {figures} |")
    return lines


def with_table(text: str, name: str, lines: list[str]) -> str:
    """Return README's text with the table between the marks of that name made anew."""
    start, end = f"<!-- {name}: made by `make docs` -->", f"<!-- end of {name} -->"
    if text.count(start) != 1 or text.count(end) != 1 or text.index(end) < text.index(start):
        raise Refusal(
            f"{README} lacks the marks {start!r} and {end!r}, once each in this order; put them where the table belongs."
        )
    before, rest = text.split(start)
    return before + start + "\n" + "\n".join(lines) + "\n" + end + rest.split(end)[1]
