"""Time `hearth monitor` on a log of many predictions, each with its outcome, and measure the memory that it takes at most.

    python benchmarks/monitor.py [ROWS ...]

The houses are drawn from the prepared tables and priced by models/model; the log's lines are as the service writes them. Each
run is a process of its own; its peak is what Linux says.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

os.chdir(Path(__file__).resolve().parent.parent)
sys.path.insert(0, "tests")

from living import life  # noqa: E402 -- after the path to it

from hearth.parquet import columns_of, read_frame  # noqa: E402
from hearth.paths import MODEL, TRAIN  # noqa: E402
from hearth.release import open_release  # noqa: E402
from hearth.storage import read_folder  # noqa: E402

SIZES = (10_000, 100_000)
END, DAYS = "2015-04-05", 28
PART = 10_000
WATCH = """
import re, sys, time
from pathlib import Path
from hearth.cli import main
main(["monitor", *sys.argv[1:]])
print(time.process_time(), re.search(r"VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1])
"""


def main() -> None:
    """Print a table."""
    print("| predictions and outcomes | seconds | of CPU | peak MiB |\n|--:|--:|--:|--:|")
    release = open_release(read_folder(MODEL), str(MODEL))
    columns = columns_of(read_frame(TRAIN))
    for rows in map(int, sys.argv[1:] or SIZES):
        with TemporaryDirectory(prefix="hearth-monitor-") as folder:
            for seed in range(0, rows, PART):
                life(release, columns, min(PART, rows - seed), DAYS, END, seed=seed).write(Path(folder))
            start = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", WATCH, "--workspace", "--log", folder, "--until", END],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            taken = time.perf_counter() - start
        seconds, kilobytes = done.stdout.split()[-2:]
        assert f"{rows:,} outcomes" in done.stdout, done.stdout  # noqa: S101 -- else nothing was measured
        print(f"| {rows:,} | {taken:.1f} | {float(seconds):.1f} | {int(kilobytes) / 1024:.0f} |", flush=True)


if __name__ == "__main__":
    np.seterr(all="raise")
    main()
