"""Time the served bento beside servers that do less, or that are what people take first: same client, same machine.

    python benchmarks/serving.py               # the bento, the bare server, the floor; stock BentoML; others if installed
    python benchmarks/serving.py --rounds 3    # quicker

All servers run at once and are asked in turns (A B C A B C ...), so that what else the machine does meets all alike.
Quote the ratios, medians of the rounds' own ratios to the bare server; milliseconds are for orientation. FastAPI and
LitServe are measured where they are installed: they are no dependencies of this project.
"""

import argparse
import asyncio
import importlib.util
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import uvloop
import yaml

from hearth.bento import free_port, served, stop
from hearth.paths import BENTO, CONTRACT

TOP = Path(__file__).resolve().parent.parent
SERVERS = TOP / "benchmarks/servers"
CONNECTIONS, SECONDS, ALONE = 32, 2.0, 300
# Name, what is started, and the module that it needs; PORT and MODEL stand for what they say.
OTHERS = {
    "bare uvicorn, same model": (["uvicorn", "bare:app", "--port", "PORT", "--no-access-log"], "uvicorn"),
    "floor: uvicorn, constant answer": (["uvicorn", "constant:app", "--port", "PORT", "--no-access-log"], "uvicorn"),
    "FastAPI, same model": (["uvicorn", "with_fastapi:app", "--port", "PORT", "--no-access-log"], "fastapi"),
    "BentoML as it comes, same model": (["bentoml", "serve", "with_bentoml:Prices", "--port", "PORT", "--host", "127.0.0.1"], "bentoml"),
    "LitServe, same model": (["with_litserve", "PORT"], "litserve"),
}  # fmt: skip
YARDSTICK = "bare uvicorn, same model"


def main() -> None:
    """Start all servers, ask them in turns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    os.chdir(TOP)
    columns = yaml.safe_load(CONTRACT.read_text(encoding="utf-8"))["columns"]
    house = {name: column["example"] for name, column in columns.items() if column["role"] == "feature"}
    request = _request(json.dumps(house).encode())
    found: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        start = time.monotonic()
        address, process = stack.enter_context(served(BENTO))
        print(f"the bento was ready after {time.monotonic() - start:.1f} s, import of the archive included")
        ports = {"hearth": int(urlsplit(address).port or 0)}
        for name, (command, needed) in OTHERS.items():
            if importlib.util.find_spec(needed) is None:
                print(f"{name}: not installed, left out")
                continue
            ports[name] = stack.enter_context(started(command))
        for turn in range(options.rounds + 1):
            for name, port in ports.items():
                told = {"p50": alone(port, request), "per_s": asyncio_run(port, request)}
                if turn:  # the first warms up
                    for key, value in told.items():
                        found.setdefault(name, {}).setdefault(key, []).append(value)
        batch = _request(json.dumps({"houses": [house] * 1000}).encode(), "/predict_batch")
        seconds = statistics.median(timed(ports["hearth"], batch) for _ in range(15))
        memory = resident_mb(process.pid)
    print("\n".join(table(found)))
    print(f"\n/predict_batch of 1,000 houses: {seconds * 1000:.0f} ms; memory of the bento's processes: "
          + ", ".join(f"{name} {mb:.0f} MB" for name, mb in memory))  # fmt: skip


def table(found: dict[str, dict[str, list[float]]]) -> list[str]:
    """Return the lines of a Markdown table; ratios are those of each round, and their median."""
    lines = [
        "| server | p50, one client: × bare | ms | requests/s, 32 clients: × bare | per s |",
        "|---|--:|--:|--:|--:|",
    ]
    yardstick = found[YARDSTICK]
    for name, times in found.items():
        ratio = {
            key: statistics.median(one / other for one, other in zip(times[key], yardstick[key], strict=True))
            for key in times
        }
        p50, rate = statistics.median(times["p50"]) * 1000, statistics.median(times["per_s"])
        lines.append(f"| {name} | {ratio['p50']:.2f} | {p50:.2f} | {ratio['per_s']:.2f} | {rate:,.0f} |")
    return lines


def _request(body: bytes, path: str = "/predict") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def timed(port: int, request: bytes) -> float:
    """Return the seconds of one request on a connection of its own."""
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        start = time.perf_counter()
        line.sendall(request)
        _read(line)
        return time.perf_counter() - start


def alone(port: int, request: bytes) -> float:
    """Return the median seconds of requests one after the other, on one connection."""
    times = []
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(ALONE):
            start = time.perf_counter()
            line.sendall(request)
            _read(line)
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def _read(line: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += line.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise SystemExit(f"error: a server answered {head[:100]!r}")
    left = _length(head) - len(body)
    while left > 0:
        left -= len(line.recv(min(left, 65536)))


def _length(head: bytes) -> int:
    lines = head.lower().split(b"\r\n")
    return next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))


def asyncio_run(port: int, request: bytes) -> float:
    """Return the answers per second to clients that each ask again at once."""
    return uvloop.run(_crowd(port, request))


async def _crowd(port: int, request: bytes) -> float:
    end = time.perf_counter() + SECONDS

    async def client() -> int:
        count = 0
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(_length(head))
            count += 1
        writer.close()
        return count

    start = time.perf_counter()
    counts = await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    return sum(counts) / (time.perf_counter() - start)


@contextmanager
def started(command: list[str]) -> Iterator[int]:
    """Start a server of benchmarks/servers on a free port; yield the port once it answers."""
    port = free_port()
    module, *rest = [word.replace("PORT", str(port)) for word in command]
    paths = [str(SERVERS), str(TOP / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1",
                                "HEARTH_TOP": str(TOP), "BENTOML_DO_NOT_TRACK": "True"}  # fmt: skip
    with TemporaryDirectory() as home:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *rest], env=environment | {"BENTOML_HOME": home}, cwd=SERVERS,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).close()
                    break
                except urllib.error.HTTPError:
                    break
                except OSError:
                    time.sleep(0.1)
            else:
                raise SystemExit(f"error: {module} {' '.join(rest)} did not answer within a minute")
            yield port
        finally:
            stop(process)


def resident_mb(parent: int) -> list[tuple[str, float]]:
    """Return name and resident memory of a process and those below it."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    found = []
    for pid in (parent, *map(int, children)):
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        size = next((int(line.split()[1]) for line in status if line.startswith("VmRSS")), 0)
        found.append(("parent" if pid == parent else "worker", size / 1024))
    return found


if __name__ == "__main__":
    main()
