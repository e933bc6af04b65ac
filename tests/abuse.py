"""Make requests from the contract, good ones and bad ones of every kind, the same for the same seed."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hearth.contract import Contract

PATHS = ("/predict", "/predict", "/predict_batch", "/explain", "/feedback")
WRONG: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 1e308, -1e308, 10**30, -(10**30), 0.1 + 0.2, 5e-324, "", "7", "NaN", "ü" * 300, "\x00", "\ud7ff",
    [], [1], {}, {"a": {"b": [None]}}, "2014-13-40", "2014-05-02T00:00:00", "0001-01-01", 1.0000001, 3.0, "true",
)  # fmt: skip
# Bodies that are no JSON, or are JSON and no object; some servers fall over them.
RAW: tuple[bytes, ...] = (
    b"", b" ", b"{", b"}", b"null", b"[]", b"[[]]", b'"a"', b"1", b"NaN", b"-", b"{,}", b'{"grade":}', b'{"grade": NaN}',
    b'{"grade": Infinity}', b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}", b"{" * 5000, b"[" * 5000, b'{"a":' * 3000, b"\x80\x04N.",
    b"sqft_living=1&grade=7", b"<a/>", b"%PDF-1.4", b'{"grade": 1e99999}', b'{"grade": ' + b"9" * 4000 + b"}", b'{"houses": {}}',
    b'{"houses": [' + b"{}," * 900 + b"{}]}", b'{"\\ud800": 1}',
)  # fmt: skip
KINDS = (b"text/csv", b"", b"application/xml", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=b",
         b"application/vnd.bentoml+pickle", b"application/json;" + b"x" * 2000, b"\xff")  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """Hold a request, and whether it is good: what is good must be answered."""

    path: str
    body: bytes
    good: bool
    method: str = "POST"
    kind: bytes = b"application/json"


def asked(contract: Contract, houses: list[dict[str, Any]], seed: int) -> Iterator[Asked]:
    """Yield requests without end, about a third of them good; `houses` are good ones."""
    chance = random.Random(seed)  # noqa: S311 -- the same requests each time
    names = [column.name for column in (*contract.features, contract.time)]
    while True:
        path = chance.choice(PATHS)
        value, good = _good(path, houses, chance), True
        way = chance.randrange(9)
        if way < 3:
            pass
        elif way == 3:
            yield Asked(path, chance.choice(RAW), False)
            continue
        elif way == 4:
            yield _odd(path, json.dumps(value).encode(), chance)
            continue
        elif way == 5:
            text = json.dumps(value).encode()
            cut = chance.randrange(1, len(text))
            yield Asked(path, chance.choice((text[:cut], text[cut:], text + text, text + b",")), False)
            continue
        elif way == 6:  # a key that stands twice
            text = json.dumps(value)
            yield Asked(path, (text[:-1] + ", " + text[1:]).encode(), False)
            continue
        else:
            good = _spoil(value, path, names, chance)
        yield Asked(path, json.dumps(value).encode(), good)


def _good(path: str, houses: list[dict[str, Any]], chance: random.Random) -> dict[str, Any]:
    if path == "/predict_batch":
        return {"houses": [dict(chance.choice(houses)) for _ in range(chance.choice((1, 2, 7)))]}
    if path == "/feedback":
        return {"prediction_id": f"{chance.getrandbits(128):032x}", "price": chance.randrange(100_000, 4_000_000)}
    return dict(chance.choice(houses))


def _odd(path: str, body: bytes, chance: random.Random) -> Asked:
    """Return a request that is wrong before its body is looked at."""
    way = chance.randrange(3)
    if way == 0:
        return Asked(
            path, body, False, method=chance.choice(("GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"))
        )
    if way == 1:
        return Asked(path, body, False, kind=chance.choice(KINDS[:6]))
    other = chance.choice(
        ("/nowhere", "/predict/", "//predict", "/Predict", "/%2e%2e/predict", "/predict;x", "/static_content/../x")
    )
    return Asked(other, body, False)


def _spoil(value: dict[str, Any], path: str, names: list[str], chance: random.Random) -> bool:
    """Change an object in one place; return False, since what is left is not known to be good."""
    target = chance.choice(value["houses"]) if path == "/predict_batch" else value
    way = chance.randrange(3)
    if way == 0:
        target.pop(chance.choice(list(target)))
    elif way == 1:
        target[chance.choice(("colour", "", "price", "ü", "__class__", "$where"))] = chance.choice(WRONG)
    else:
        name = chance.choice(names if path != "/feedback" else ["prediction_id", "price"])
        target[name] = chance.choice(WRONG)
    return False


def worker_of(parent: int) -> int:
    """Return the process that answers: the one below the server's own that has the most memory."""
    below, found = [parent], []
    while below:
        pid = below.pop()
        children = [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        found += children
        below += children
    return max(found, key=resident_kb)


def resident_kb(pid: int) -> int:
    """Return the resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0)
