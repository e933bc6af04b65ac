"""Collect: take from the source what was known before the watermark, in the contract's shape."""

from pathlib import Path

import pyarrow.compute as pc
from pydantic import Field

from hearth.contract import parse_contract
from hearth.errors import Refusal
from hearth.params import section
from hearth.parquet import read_arrow, write_arrow
from hearth.paths import CONTRACT, RAW
from hearth.stages import run
from hearth.storage import read_yaml
from hearth.strict import Day, Strict
from hearth.tables import conform


class CollectParams(Strict):
    """Hold the section `collect` of params.yaml."""

    source: str = Field(pattern=r"\.parquet$")
    as_of: Day


def main(contract: Path = CONTRACT, raw: Path = RAW) -> None:
    """Write the raw table: one row per recorded sale."""
    params = section("collect", CollectParams)
    known = parse_contract(read_yaml(contract), str(contract))
    table = conform(read_arrow(Path(params.source)), known, params.source)
    day = table[known.watermark]
    # A row without a day stays: validation refuses it by name instead of losing it here.
    seen = table.filter(pc.fill_null(pc.less(day, params.as_of), True))
    if not seen.num_rows:
        raise Refusal(f"{params.source} has no rows before collect.as_of {params.as_of}; the first is of "
                      f"{pc.min(day)}. Set a later as_of in params.yaml.")  # fmt: skip
    write_arrow(raw, seen)
    print(f"collected {seen.num_rows:,} of {table.num_rows:,} rows, those before {params.as_of}")


if __name__ == "__main__":
    run(main)
