"""Prepare: clean the accepted rows and split them by time."""

from pathlib import Path

from hearth.cleaning import clean, kept_columns
from hearth.contract import parse_contract
from hearth.errors import Refusal
from hearth.params import section
from hearth.parquet import columns_of, read_frame, write_frame
from hearth.paths import CONTRACT, TEST, TRAIN, VALIDATED
from hearth.splitting import SplitParams, is_test
from hearth.stages import run
from hearth.storage import read_yaml
from hearth.tables import arrow_schema


def main(contract: Path = CONTRACT, validated: Path = VALIDATED, train: Path = TRAIN, test: Path = TEST) -> None:
    """Write the training rows and the test rows; every test sale is later than every training sale."""
    params = section("split", SplitParams)
    known = parse_contract(read_yaml(contract), str(contract))
    rows = clean(read_frame(validated), known)
    days = columns_of(rows)[known.time.name]
    later = is_test(days, params)
    if later.all() or not later.any():
        raise Refusal(f"split.test_from {params.test_from} leaves no {'test' if not later.any() else 'training'} rows; the "
                      f"sales are of {days.min()} to {days.max()}. Set a day between them in params.yaml.")  # fmt: skip
    schema = arrow_schema(kept_columns(known))
    write_frame(train, rows[~later], schema)
    write_frame(test, rows[later], schema)
    print(f"{(~later).sum():,} training rows, {later.sum():,} test rows from {params.test_from} on")


if __name__ == "__main__":
    run(main)
