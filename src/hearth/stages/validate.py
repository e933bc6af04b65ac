"""Validate: hold every row to the contract; accepted and quarantined rows are those of the raw table, without private columns."""

from pathlib import Path

import pandas as pd
from pydantic import Field

from hearth.contract import Contract, parse_contract
from hearth.errors import Refusal
from hearth.params import section
from hearth.parquet import read_frame, write_frame
from hearth.paths import CONTRACT, QUARANTINE, RAW, VALIDATED
from hearth.stages import run
from hearth.storage import read_yaml
from hearth.strict import Strict
from hearth.tables import REASONS, arrow_schema, quarantine_schema, reasons, warnings, without_private


class ValidateParams(Strict):
    """Hold the section `validate` of params.yaml."""

    max_quarantine_share: float = Field(ge=0, lt=1)


def main(
    contract: Path = CONTRACT, raw: Path = RAW, validated: Path = VALIDATED, quarantine: Path = QUARANTINE
) -> None:
    """Write the accepted rows, and the refused ones with their reasons."""
    params = section("validate", ValidateParams)
    known = parse_contract(read_yaml(contract), str(contract))
    rows = without_private(read_frame(raw), known)
    why = reasons(rows, known)
    bad = why != ""
    refused, accepted = rows[bad].assign(**{REASONS: why[bad]}), rows[~bad].drop(columns=REASONS)
    check_share(refused, len(rows), params.max_quarantine_share)
    check_budgets(accepted, known)
    write_frame(validated, accepted, arrow_schema(known.open))
    write_frame(quarantine, refused, quarantine_schema(known))
    print(f"accepted {len(accepted):,} rows, quarantined {len(refused):,}")


def check_share(refused: pd.DataFrame, rows: int, limit: float) -> None:
    """Refuse a delivery with too many refused rows; name the most frequent reasons."""
    if len(refused) > limit * rows:
        frequent = refused[REASONS].value_counts().head(3)
        listed = "; ".join(f"{count:,} × {reason}" for reason, count in frequent.items())
        raise Refusal(f"{len(refused):,} of {rows:,} rows break the contract, wanted a share of at most {limit} "
                      f"(validate.max_quarantine_share). The most frequent reasons: {listed}.")  # fmt: skip


def check_budgets(accepted: pd.DataFrame, contract: Contract) -> None:
    """Refuse a delivery that breaks a warning check more often than its budget; print the rest."""
    for name, count in warnings(accepted, contract).items():
        check = next(check for check in contract.checks if check.name == name)
        if check.budget is not None and count > check.budget * len(accepted):
            raise Refusal(f"{count:,} of {len(accepted):,} rows break the check {name} ({check.rule}), wanted a share of at "
                          f"most {check.budget} (its budget in data/contract.yaml). {check.meaning}")  # fmt: skip
        print(f"warning: {count} rows break {name}" if count else f"no row breaks {name}")


if __name__ == "__main__":
    run(main)
