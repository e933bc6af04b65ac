"""Time a collection from PostgreSQL to data/raw beside the fastest readers of the same rows, and measure their memory.

    python benchmarks/sources.py [ROWS [ROUNDS]]

PostgreSQL makes the rows, 13 columns of houses, and is one of its own with a folder of its own. Each reader is a process, in turns
within each round: the collection with all that it does (checks of types, the watermark, tallies, months, sorting), ADBC streamed
to a ParquetWriter, and connectorx where it is installed; both write the rows as they come. A ratio is the median of the rounds'
own, to the fastest of the round: of the seconds after all libraries are imported, and of those of the whole process.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

os.chdir(Path(__file__).resolve().parent.parent)
sys.path.insert(0, "tests")

from feeds import PASSWORD, USER, Server, postgres  # noqa: E402 -- after the path to it

ROWS, ROUNDS = 1_000_000, 5
COLUMNS = {
    "id": "(1000000 + g)::bigint", "date": "date '2014-05-02' + (g % 390)::int", "price": "(100000 + g * 7919 % 900000)::int",
    "bedrooms": "(1 + g % 6)::smallint", "bathrooms": "(1 + g % 10 * 0.25)::double precision",
    "sqft_living": "(500 + g % 5000)::int", "waterfront": "g % 100 = 0", "condition": "(1 + g % 5)::smallint",
    "grade": "(1 + g % 13)::smallint", "yr_built": "(1900 + g % 110)::smallint", "zipcode": "(98001 + g % 150)::int",
    "lat": "47.1 + g % 7000 / 10000.0::double precision", "long": "-122.5 + g % 13000 / 10000.0::double precision",
}  # fmt: skip
ASKED = "SELECT * FROM sales WHERE date < '2016-01-01'"
TOLD = """
import json, resource, sys, time
out, uri, asked, contract = sys.argv[1:]
{imports}
start = time.perf_counter()
{code}
print(json.dumps([time.perf_counter() - start, time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""
OURS = (
    """
import datetime
from pathlib import Path
from hearth.collecting import Collection, CollectParams
from hearth.contract import parse_contract
from hearth.partitions import Waiting
from hearth.sources import opened
from hearth.storage import read_yaml
import adbc_driver_postgresql.dbapi
""",
    """
known = parse_contract(read_yaml(Path(contract)), contract)
params = CollectParams(source=uri.split("?")[0], options={"table": "sales"}, as_of=datetime.date(2016, 1, 1), incremental=True, accept="")
collection = Collection(params, known, opened(params.source, params.options, known), None)
with Waiting(Path(out, ".waiting"), known) as waiting:
    collection.gather(waiting)
    assert waiting.write(Path(out))[1] == 0
""",
)
ADBC = (
    "from adbc_driver_postgresql import dbapi\nimport pyarrow.parquet as pq",
    """
with dbapi.connect(uri) as connection, connection.cursor() as cursor:
    cursor.execute(asked)
    reader = cursor.fetch_record_batch()
    with pq.ParquetWriter(out + "/sales.parquet", reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)
""",
)
CONNECTORX = (
    "import connectorx\nimport pyarrow.parquet as pq",
    """
table = connectorx.read_sql(uri, asked, return_type="arrow")
pq.write_table(table, out + "/sales.parquet", compression="zstd")
""",
)


def measured(reader: tuple[str, str], server: Server, contract: Path) -> tuple[float, float, float, float]:
    """Return the seconds that a reader took, those of its process, those of CPU, and its peak in MB."""
    secret = quote(PASSWORD, safe="")
    uri = f"{server.address}?user={USER}&password={secret}"
    if reader is CONNECTORX:
        uri = server.address.replace("://", f"://{USER}:{secret}@")
    code = TOLD.format(imports=reader[0], code=reader[1])
    environment = dict(os.environ) | {"HEARTH_SOURCE_USER": USER, "HEARTH_SOURCE_PASSWORD": PASSWORD}
    with tempfile.TemporaryDirectory(prefix="hearth-sources-") as out:
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code, out, uri, ASKED, str(contract)],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        whole = time.perf_counter() - start
        assert list(Path(out).glob("*.parquet"))  # noqa: S101 -- else nothing was measured
    seconds, cpu, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, whole, cpu, peak


def main() -> None:
    """Print a table."""
    rows, rounds = (int(word) for word in (*sys.argv[1:], *(str(n) for n in (ROWS, ROUNDS)[len(sys.argv) - 1 :])))
    readers = {"ADBC, streamed to a ParquetWriter": ADBC, "hearth, the whole collection": OURS}
    if find_spec("connectorx"):
        readers["connectorx, whole, then pyarrow"] = CONNECTORX
    else:
        print("notice: connectorx is not installed; `pip install connectorx` for its line.", file=sys.stderr)
    with postgres() as server, tempfile.TemporaryDirectory() as folder:
        document = yaml.safe_load(Path("data/contract.yaml").read_text())
        document |= {"columns": {name: document["columns"][name] for name in COLUMNS}, "checks": {}}
        contract = Path(folder, "contract.yaml")
        contract.write_text(yaml.safe_dump(document, sort_keys=False))
        named = ", ".join(f"{code} AS {name}" for name, code in COLUMNS.items())
        server.query(f"CREATE TABLE sales AS SELECT {named} FROM generate_series(1, {rows}::bigint) AS g")  # noqa: S608
        server.query("VACUUM ANALYZE sales")
        found = {name: [] for name in readers}
        for _ in range(rounds):
            for name, reader in readers.items():
                found[name].append(measured(reader, server, contract))
    turns = list(zip(*found.values(), strict=True))
    print(f"\n{rows:,} rows, {rounds} rounds\n")
    print(
        "| PostgreSQL to parquet, 13 columns | s | × the fastest | s, the process | × the fastest | of CPU | peak MB |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|")
    for place, (name, values) in enumerate(found.items()):
        ratios = [
            statistics.median(turn[place][part] / min(one[part] for one in turn) for turn in turns) for part in (0, 1)
        ]
        seconds, whole, cpu, peak = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"| {name} | {seconds:.2f} | {ratios[0]:.2f} | {whole:.2f} | {ratios[1]:.2f} | {cpu:.2f} | {peak:.0f} |")


if __name__ == "__main__":
    try:
        main()
    except pytest.skip.Exception as missing:
        print(f"notice: {missing}", file=sys.stderr)
