"""Time `hearth predict` on many rows, and measure the memory that it takes at most.

    python benchmarks/batch.py [ROWS ...]

The rows are those of the prepared tables, over and over, one in a thousand with a grade that does not exist. Each run is
a process of its own; its peak is what Linux says. Rows are counted per second of CPU, since the machine beside us is
never quiet; one process takes one core.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from hearth.parquet import read_arrow
from hearth.paths import TEST, TRAIN

SIZES = (10_000, 100_000)
PART = 10_000
# Linux keeps the peak of a process by itself there; getrusage would tell that of the process that started it too.
PRICE = """
import re, sys, time
from pathlib import Path
from hearth.cli import main
main(["predict", *sys.argv[1:]])
print(time.process_time(), re.search(r"VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1])
"""


def main() -> None:
    """Print a table."""
    os.chdir(Path(__file__).resolve().parent.parent)
    print("| rows | format | seconds | of CPU | rows per second of CPU | peak MiB |\n|--:|---|--:|--:|--:|--:|")
    for rows in map(int, sys.argv[1:] or SIZES):
        for form in ("csv", "parquet"):
            with TemporaryDirectory(prefix="hearth-batch-") as folder:
                file = Path(folder, f"sales.{form}")
                write(file, rows)
                start = time.perf_counter()
                seconds, peak = run(file)
                taken = time.perf_counter() - start
            print(
                f"| {rows:,} | {form} | {taken:.0f} | {seconds:.0f} | {rows / seconds:,.0f} | {peak:.0f} |", flush=True
            )


def parts(rows: int) -> Iterator[pa.Table]:
    """Yield tables of sales, so many rows in all."""
    known = pa.concat_tables([read_arrow(TRAIN), read_arrow(TEST)])
    for start in range(0, rows, PART):
        places = pa.array((place % len(known) for place in range(start, min(start + PART, rows))), pa.int64())
        part = known.take(places)
        bad = pa.array([place % 1000 == 999 for place in range(len(part))])
        grades = pc.if_else(bad, 14, part["grade"])
        yield part.set_column(part.column_names.index("grade"), "grade", grades)


def write(file: Path, rows: int) -> None:
    """Write sales to a file, a part at a time."""
    tables = parts(rows)
    first = next(islice(tables, 1))
    opened = pyarrow.csv.CSVWriter if file.suffix == ".csv" else pq.ParquetWriter
    with opened(file, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def run(file: Path) -> tuple[float, float]:
    """Price a file in a process of its own; return its seconds of CPU and its peak memory in MiB."""
    done = subprocess.run([sys.executable, "-c", PRICE, str(file)], stdout=subprocess.PIPE, text=True, check=True)
    seconds, peak = map(float, done.stdout.split()[-2:])
    return seconds, peak / 1024


if __name__ == "__main__":
    main()
