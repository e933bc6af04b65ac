"""Show the metrics of the last run beside the baseline, the gate's verdict, and the next commands."""

import argparse

from hearth.operations.docs import metric_rows
from hearth.paths import BENTO, GATE, METRICS
from hearth.storage import read_json

NEXT = (
    ("make serve", "serve the bento on 127.0.0.1:3000"),
    ("make report", "write metrics/report.html: all of this in pictures and words"),
    ("source .venv/bin/activate", "then dvc and hearth are commands"),
    ("dvc repro", "rerun what changed"),
    ("hearth compare", "is it better than main? dvc plots diff main shows pictures"),
    ("hearth promote", "release this commit; hearth rollback takes it back"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take none."""


def run(options: argparse.Namespace) -> int:
    """Print the table; the files are those of the workspace."""
    metrics, verdict = read_json(METRICS), read_json(GATE)
    rows = metric_rows(metrics)
    wide = max(len(row[0]) for row in rows)
    print(f"\n{'':{wide}}  {'model':>10}  {'baseline':>10}")
    for words, model, baseline in rows:
        print(f"{words:{wide}}  {model:>10}  {baseline:>10}")
    print(f"\ngate: {'passed' if verdict['passed'] else 'failed: ' + '; '.join(verdict['reasons'])}")
    print(f"bento: {BENTO}\n\nnext:")
    for command, purpose in NEXT:
        print(f"  {command:28}{purpose}")
    return 0
