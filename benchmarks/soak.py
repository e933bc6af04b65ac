"""Keep the served bento busy with good and bad requests, and see that it neither fails nor grows.

    python benchmarks/soak.py                     # 100,000 requests, a few minutes
    python benchmarks/soak.py --requests 10000    # quicker

The requests are those of tests/abuse.py, from the contract and a seed. Clients wait so that the service is busy for four
fifths of the time. Exit status 1 if any answer was a 5xx, or if the worker's memory rises by more than 2 MB per 100,000
requests after the first fifth, by a straight line through what was measured.
"""

import argparse
import http.client
import itertools
import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import numpy as np

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tests"))

from abuse import asked, resident_kb, worker_of  # noqa: E402
from samples import contract, houses  # noqa: E402

from hearth.bento import served  # noqa: E402
from hearth.journal import LOG_DIR  # noqa: E402
from hearth.paths import BENTO  # noqa: E402

CLIENTS, BUSY, GROWTH_KB = 4, 0.8, 2048


def main() -> int:
    """Send, watch, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=100_000)
    options = parser.parse_args()
    os.chdir(TOP)
    statuses: Counter[int] = Counter()
    sizes: list[tuple[int, int]] = []
    with TemporaryDirectory() as log, served(BENTO, {LOG_DIR: log}) as (address, server):
        worker = worker_of(server.pid)
        requests = iter(
            list(itertools.islice(asked(contract(), houses(500), 5), 5000)) * (options.requests // 5000 + 1)
        )
        lock, left = threading.Lock(), options.requests

        def client() -> None:
            nonlocal left
            connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
            while True:
                with lock:
                    if left <= 0:
                        break
                    left -= 1
                    request, number = next(requests), options.requests - left
                start = time.perf_counter()
                head = {"content-type": request.kind.decode("latin-1")} if request.kind else {}
                connection.request(request.method, request.path, request.body, head)
                answer = connection.getresponse()
                answer.read()
                took = time.perf_counter() - start
                with lock:
                    statuses[answer.status] += 1
                    if number % 500 == 0:
                        sizes.append((number, resident_kb(worker)))
                    if number % max(1, options.requests // 10) == 0:
                        print(f"{number:,} requests, {sizes[-1][1] / 1024:.0f} MB", flush=True)
                time.sleep(took * (1 - BUSY) / BUSY)
            connection.close()

        threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    kept = np.array([point for point in sorted(sizes) if point[0] > options.requests / 5])
    slope = float(np.polyfit(kept[:, 0], kept[:, 1], 1)[0]) * 100_000 if len(kept) > 2 else 0.0
    faults = sum(count for status, count in statuses.items() if status >= 500)
    print(f"answers by status: {dict(sorted(statuses.items()))}")
    print(
        f"memory: {kept[0, 1] / 1024:.1f} to {kept[-1, 1] / 1024:.1f} MB, {slope / 1024:+.2f} MB per 100,000 requests"
    )
    return int(faults > 0 or slope > GROWTH_KB)


if __name__ == "__main__":
    sys.exit(main())
