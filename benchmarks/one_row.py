"""Time one house from the bytes of its request to its price, in one process, and what its parts cost.

    python benchmarks/one_row.py

Parts and whole are timed in turns (A B A B ...) in one run, and compared by the median of each turn's ratio to the same
small piece of work, since the machine beside us is never quiet. Quote ratios; microseconds are for orientation.
"""

import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import hearth.stages  # noqa: F401 -- isort: skip -- first: it says one thread a process
import numpy as np
import yaml

from hearth.answering import Answers, ServiceParams
from hearth.features import compute
from hearth.native import native
from hearth.parquet import columns_of, read_frame
from hearth.paths import MODEL, TEST
from hearth.release import open_release
from hearth.request import requests_of
from hearth.storage import read_folder

HOUSES, TURNS, CALLS = 400, 60, 40


def main() -> None:
    """Print a table of medians."""
    os.chdir(Path(__file__).resolve().parent.parent)
    release = open_release(read_folder(MODEL), str(MODEL), native())
    section = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["service"]
    answers = Answers(release, ServiceParams(**section))
    plain = Answers(open_release(read_folder(MODEL), str(MODEL)), ServiceParams(**section))
    table = columns_of(read_frame(TEST).head(HOUSES))
    bodies = [json.dumps(house).encode() for house in requests_of(table, release.contract)]
    rows = [answers.columns(body) for body in bodies]
    inputs = [release.inputs(row) for row in rows]
    batch = json.dumps({"houses": [json.loads(body) for body in (bodies * 3)[:1000]]}).encode()
    numbers = np.arange(200.0)
    work: dict[str, tuple[Callable[[int], object], int]] = {
        "yardstick: ten sums over 200 numbers": (lambda place: [numbers.sum() for _ in range(10)], 1),
        "request to price": (lambda place: answers.predict(bodies[place]), 1),
        "  read and check the request": (lambda place: answers.columns(bodies[place]), 1),
        "  inputs of the row itself": (lambda place: compute(rows[place], release.contract, release.facts.recipe), 1),
        "  inputs from its neighbours": (lambda place: release.known and release.known.inputs(rows[place], release.contract.time.name), 1),
        "  trees": (lambda place: release.run(inputs[place]), 1),
        "request to price, in numpy alone": (lambda place: plain.predict(bodies[place]), 1),
        "a batch of 1,000, per house": (lambda place: answers.predict_batch(batch), 1000),
        "a batch of 1,000, in numpy alone": (lambda place: plain.predict_batch(batch), 1000),
    }  # fmt: skip
    for place in range(HOUSES):  # so that each square around a house is known, as after the first minutes of serving
        answers.predict(bodies[place])
        plain.predict(bodies[place])
    taken: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(TURNS):
        for name, (call, houses) in work.items():
            calls = 1 if houses > 1 else CALLS
            start = time.perf_counter()
            for place in range(calls):
                call((turn * CALLS + place) % HOUSES)
            taken[name].append((time.perf_counter() - start) / calls / houses * 1e6)
    yardstick = next(iter(taken.values()))
    print("| | µs, median | best tenth | × yardstick |\n|---|--:|--:|--:|")
    for name, times in taken.items():
        ratio = statistics.median(one / other for one, other in zip(times, yardstick, strict=True))
        print(f"| {name.strip()} | {statistics.median(times):.1f} | {np.quantile(times, 0.1):.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
