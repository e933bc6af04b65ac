"""Collect: take from the source what was known before the watermark, in the contract's shape; the later record of a key wins."""

from pathlib import Path

from hearth.collecting import Collection, CollectParams
from hearth.contract import parse_contract
from hearth.earlier import earlier
from hearth.forgotten import parse_marks
from hearth.params import section
from hearth.partitions import Waiting
from hearth.paths import CONTRACT, FORGOTTEN, PROVENANCE, RAW, SOURCES
from hearth.sources import opened
from hearth.stages import run
from hearth.storage import read_text, read_yaml, write_json


def main(contract: Path = CONTRACT, raw: Path = RAW, provenance: Path = PROVENANCE) -> None:
    """Write the raw table, a file for each month, and where it is from."""
    params = section("collect", CollectParams)
    known = parse_contract(read_yaml(contract), str(contract))
    source = opened(params.source, params.options, known)
    last = earlier()
    same = last is not None and last.provenance.is_of(params.source, params.options)
    collection = Collection(params, known, source, last if same else None)
    listed = parse_marks(read_text(FORGOTTEN) if FORGOTTEN.is_file() else "", known, str(FORGOTTEN))
    with Waiting(raw / ".waiting", known, listed) as waiting:
        taken = collection.gather(waiting)
        rows, unreadable = waiting.write(raw)
    write_json(provenance, collection.provenance(taken, rows, unreadable).model_dump(mode="json"))
    print(
        f"collected {rows:,} rows, those before {params.as_of}; {unreadable:,} cannot be read, {waiting.forgotten:,} are forgotten"
    )


if __name__ == "__main__":
    run(main, SOURCES)
