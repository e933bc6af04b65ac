"""Time one house from the bytes of its request to its price, with the prediction log and without, and with a shadow.

    python benchmarks/log.py

In one process and in turns (A B C A B C ...): the same houses, the log on a real disk, its threads at work beside. Quote the
medians of the turns' own ratios. The last column is what the slowest of a hundred calls took, which waits for the
interpreter while the writer makes lines, or a shadow prices.
"""

import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import hearth.stages  # noqa: F401 -- isort: skip -- first: it says one thread a process
import numpy as np
import yaml

from hearth.answering import Answers, ServiceParams
from hearth.native import native
from hearth.parquet import columns_of, read_frame
from hearth.paths import MODEL, TEST
from hearth.prediction_log import PredictionLog
from hearth.release import open_release
from hearth.request import requests_of
from hearth.shadow import Shadow
from hearth.storage import read_folder

HOUSES, TURNS, CALLS, APPENDS = 400, 80, 150, 2000
PAUSE_S = 0.0005  # between two calls, as between two requests: a loop that never waits leaves the writer nothing


def main() -> None:
    """Print a table."""
    os.chdir(Path(__file__).resolve().parent.parent)
    files = read_folder(MODEL)
    section = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["service"]
    params = ServiceParams(**section)
    release = open_release(files, str(MODEL), native())
    table = columns_of(read_frame(TEST).head(HOUSES))
    bodies = [json.dumps(house).encode() for house in requests_of(table, release.contract)]
    with TemporaryDirectory(prefix="hearth-bench-", dir=".") as scratch:
        bare, logged, shadowed = (Answers(release, params) for _ in range(3))
        logged.listener = log = PredictionLog(Path(scratch, "log"), params.log)
        shadowed.listener = shadowing = PredictionLog(Path(scratch, "shadow"), params.log)
        shadowing.shadow = Shadow(open_release(files, str(MODEL), native()), release.contract)
        work = {"without a log": bare, "with the log": logged, "with the log and a shadow": shadowed}
        for (
            answers
        ) in work.values():  # so that each square around a house is known, as after the first minutes of serving
            for body in bodies:
                answers.predict(body)
        taken: dict[str, list[float]] = {name: [] for name in work}
        single: dict[str, list[float]] = {name: [] for name in work}
        for turn in range(TURNS):
            for name, answers in work.items():
                times = timed(answers.predict, bodies, turn)
                taken[name].append(statistics.median(times))
                single[name] += times
            log.close()
            shadowing.close()
        first = next(iter(taken.values()))
        print("| | µs, median | × without | slowest hundredth, µs |\n|---|--:|--:|--:|")
        for name, times in taken.items():
            ratio = statistics.median(one / other for one, other in zip(times, first, strict=True))
            print(f"| {name} | {statistics.median(times):.1f} | {ratio:.3f} | {np.quantile(single[name], 0.99):.0f} |")
        print(f"\nAn append alone: {append(bodies, bare, log):.2f} µs. {told(log, shadowing)}")


def timed(call: Callable[[bytes], object], bodies: list[bytes], turn: int) -> list[float]:
    """Return the microseconds of each call of a turn."""
    times = []
    for place in range(CALLS):
        body = bodies[(turn * CALLS + place) % HOUSES]
        start = time.perf_counter()
        call(body)
        times.append((time.perf_counter() - start) * 1e6)
        time.sleep(PAUSE_S)
    return times


def append(bodies: list[bytes], answers: Answers, log: PredictionLog) -> float:
    """Return the microseconds of what is done while somebody waits, the best of some rounds."""
    house, answer = json.loads(bodies[0]), answers.predict(bodies[0])
    inputs = answers.release.predict(answers.columns(bodies[0])).inputs
    best = []
    for _ in range(9):
        start = time.perf_counter()
        for _ in range(APPENDS):
            log.priced("/predict", None, [house], [answer], inputs)
        best.append((time.perf_counter() - start) / APPENDS * 1e6)
        log.close()
    return min(best)


def told(*logs: PredictionLog) -> str:
    """Return in words what the logs did."""
    written, lost = sum(log.written for log in logs), sum(log.lost for log in logs)
    size = sum(path.stat().st_size for log in logs for path in log.files.folder.iterdir())
    return f"{written:,} entries written, {lost} lost, {size / written:.0f} bytes each."


if __name__ == "__main__":
    main()
