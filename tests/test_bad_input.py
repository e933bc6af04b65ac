"""Give each stage what is wrong with real deliveries: one clear sentence, exit status 1, the last good outputs untouched."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import PROJECT, sample

from hearth import tables
from hearth.cli import main
from hearth.contract import parse_contract
from hearth.errors import Refusal
from hearth.parquet import read_arrow, read_frame, to_frame
from hearth.stages import collect, prepare, validate
from hearth.storage import read_yaml

SOURCE = Path("data/source/house_sales.parquet")
RAW = Path("data/raw/sales.parquet")


def change(edit: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    edit(pd.read_parquet(SOURCE)).to_parquet(SOURCE, index=False)


def collected() -> dict[str, bytes]:
    """Return all that is in the folder of what was collected."""
    return {str(path): path.read_bytes() for path in sorted(RAW.parent.rglob("*")) if path.is_file()}


def set_param(pattern: str, replacement: str) -> None:
    text = Path("params.yaml").read_text()
    changed = re.sub(pattern, replacement, text, count=1, flags=re.MULTILINE)
    assert changed != text
    Path("params.yaml").write_text(changed)


def refused(stage: Callable[[], None]) -> str:
    with pytest.raises(Refusal) as caught:
        stage()
    return str(caught.value)


def test_clean_data_passes(workspace: Path) -> None:
    collect.main()
    validate.main()
    prepare.main()
    raw, accepted = len(read_frame(RAW)), len(read_frame(Path("data/validated/sales.parquet")))
    quarantined = len(read_frame(Path("data/validated/quarantine.parquet")))
    parts = [len(read_frame(Path(f"data/prepared/{part}.parquet"))) for part in ("train", "test")]
    assert accepted + quarantined == raw > 1000
    assert sum(parts) == accepted
    assert min(parts) > 100


def test_every_test_sale_is_later_than_every_training_sale(workspace: Path) -> None:
    for stage in (collect, validate, prepare):
        stage.main()
    train, test = (read_frame(Path(f"data/prepared/{part}.parquet")) for part in ("train", "test"))
    assert train["date"].max() < pd.Timestamp("2015-01-01") <= test["date"].min()


def test_the_road_sees_nothing_from_the_watermark_on(workspace: Path) -> None:
    collect.main()
    assert read_frame(RAW)["date"].max() < pd.Timestamp("2015-03-01")


def test_the_order_of_the_source_moves_nothing(workspace: Path) -> None:
    outputs = [Path(f"data/prepared/{part}.parquet") for part in ("train", "test")]
    for stage in (collect, validate, prepare):
        stage.main()
    before = [path.read_bytes() for path in outputs]
    change(lambda table: table.sample(frac=1, random_state=3))
    for stage in (collect, validate, prepare):
        stage.main()
    assert [path.read_bytes() for path in outputs] == before


def truncate() -> None:
    SOURCE.write_bytes(SOURCE.read_bytes()[:20_000])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(SOURCE.unlink, "house_sales.parquet does not exist", id="missing"),
        pytest.param(truncate, "is not a whole parquet file", id="truncated"),
        pytest.param(lambda: SOURCE.write_text("id,date\n1,2\n"), "is not a whole parquet file", id="a CSV"),
        pytest.param(lambda: SOURCE.write_bytes(b""), "is not a whole parquet file", id="no bytes"),
        pytest.param(lambda: change(lambda table: table.iloc[:0]), "has no rows", id="no rows"),
        pytest.param(lambda: change(lambda t: t.drop(columns="grade")), "lacks the column grade", id="a column gone"),
        pytest.param(
            lambda: change(lambda t: t.rename(columns={"sqft_lot": "lot_sqft"})),
            "lacks the column sqft_lot",
            id="renamed",
        ),
        pytest.param(
            lambda: change(lambda t: t.assign(agent="x")),
            "has the column agent that data/contract.yaml does not know",
            id="extra",
        ),
        pytest.param(
            lambda: change(lambda t: t.assign(grade=t["grade"].astype(str) + " Average")),
            "the column grade is of type large_string, wanted a whole number from 1 to 13 (score)",
            id="texts for numbers",
        ),
        pytest.param(
            lambda: change(lambda t: t.assign(bedrooms=t["bedrooms"] + 0.5)),
            "the column bedrooms is of type double, wanted a whole number",
            id="fractions for whole numbers",
        ),
        pytest.param(
            lambda: change(lambda t: t.assign(date=t["date"].astype(str))),
            "the column date is of type large_string, wanted a date",
            id="texts for dates",
        ),
        pytest.param(
            lambda: set_param("as_of: .*", 'as_of: "2014-05-02"'),
            "has no rows before collect.as_of 2014-05-02; the first is of 2014-05-02",
            id="as_of before the first sale",
        ),
    ],
)
def test_collect_refuses(workspace: Path, spoil: Callable[[], None], said: str) -> None:
    """What was collected before stays as it was, and no partial file is left."""
    collect.main()
    before = collected()
    spoil()
    assert said in refused(collect.main)
    assert collected() == before
    assert sorted(path.name for path in RAW.parent.iterdir()) == ["sales.parquet", "source.json"]


def test_a_row_without_a_day_is_quarantined_not_lost(workspace: Path) -> None:
    change(lambda table: table.assign(date=table["date"].where(table.index != 5)))
    collect.main()
    validate.main()
    reasons = read_frame(Path("data/validated/quarantine.parquet"))["reasons"].tolist()
    assert reasons == ["date: empty, wanted a date as YYYY-MM-DD from 2014-01-01 to 2049-12-31"]


def test_a_quarantined_row_carries_every_reason(workspace: Path) -> None:
    def spoil(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[0, ["grade", "condition", "yr_renovated"]] = [14, 9, 1900]
        table.loc[0, "yr_built"] = 1950
        return pd.concat([table, table.iloc[[1]]], ignore_index=True)

    change(spoil)
    collect.main()
    validate.main()
    reasons = read_frame(Path("data/validated/quarantine.parquet"))["reasons"].tolist()
    assert [set(reason.split("; ")) for reason in sorted(reasons, reverse=True)] == [
        {
            "condition: 9, wanted a whole number from 1 to 5 (score)",
            "grade: 14, wanted a whole number from 1 to 13 (score)",
            "renovated_after_built: yr_renovated == 0 or yr_renovated >= yr_built",
        },
        {"id + date: an earlier row of this delivery has the same"},
    ]


def test_too_many_refused_rows_stop_the_road(workspace: Path) -> None:
    change(lambda table: table.assign(grade=table["grade"].where(table.index % 50 != 0, 14)))
    collect.main()
    said = refused(validate.main)
    assert re.search(r"\d\d of 1,\d{3} rows break the contract, wanted a share of at most 0.01", said)
    assert "validate.max_quarantine_share" in said
    assert "× grade: 14, wanted a whole number from 1 to 13 (score)" in said
    assert not Path("data/validated").exists()


def test_all_rows_refused_stop_the_road(workspace: Path) -> None:
    change(lambda table: table.assign(lat=table["long"], long=table["lat"]))
    collect.main()
    said = refused(validate.main)
    assert re.search(r"(1,\d{3}) of \1 rows break the contract", said)
    assert "lat: -122" in said


@pytest.mark.parametrize(
    ("edit", "check"),
    [
        pytest.param(lambda t: t.assign(price=t["price"] * 10), "price_plausible", id="prices in another currency"),
        pytest.param(
            lambda t: t.assign(
                sqft_basement=(t["sqft_basement"] * 3.3).astype(int),
                sqft_above=(t["sqft_above"] * 3.3).astype(int),
                sqft_living=(t["sqft_above"] * 3.3).astype(int) + (t["sqft_basement"] * 3.3).astype(int),
            ).query("sqft_living < 20000 and sqft_basement <= 10000"),
            "house_fits_lot",
            id="areas in another unit",
        ),
    ],
)
def test_a_delivery_in_another_unit_breaks_a_budget(
    workspace: Path, edit: Callable[[pd.DataFrame], pd.DataFrame], check: str
) -> None:
    change(edit)
    collect.main()
    said = refused(validate.main)
    assert f"break the check {check}" in said
    assert "its budget in data/contract.yaml" in said


def test_every_single_month_of_the_real_data_keeps_the_budgets() -> None:
    contract = parse_contract(read_yaml(PROJECT / "data/contract.yaml"), "contract")
    rows = sample()
    months = pd.to_datetime(rows["date"]).dt.to_period("M")
    assert months.nunique() == 13
    for _, month in rows.groupby(months):
        frame = tables.conform(pa.Table.from_pandas(month, preserve_index=False), contract, "month")
        accepted = to_frame(frame)[(tables.reasons(to_frame(frame), contract) == "").to_numpy()]
        assert len(accepted) >= len(month) - 1
        validate.check_budgets(accepted, contract)


@pytest.mark.parametrize(("day", "part"), [("2014-01-01", "training"), ("2015-03-01", "test")])
def test_a_split_that_leaves_nothing_is_refused(workspace: Path, day: str, part: str) -> None:
    collect.main()
    validate.main()
    set_param("test_from: .*", f'test_from: "{day}"')
    assert f"split.test_from {day} leaves no {part} rows; the sales are of 2014-05" in refused(prepare.main)


BROKEN = [
    pytest.param(
        "as_of: .*",
        "as_off: '2015-03-01'",
        "params.yaml: collect.as_off is not a known key; did you mean 'as_of'?",
        id="key",
    ),
    pytest.param(
        "as_of: .*", "as_of: soon", "params.yaml: collect.as_of is 'soon', wanted a day as 'YYYY-MM-DD'", id="day"
    ),
    pytest.param(
        "as_of: .*",
        "as_of: 2015-02-01",
        "params.yaml: collect.as_of is a bare 2015-02-01, wanted a day in quotes",
        id="bare",
    ),
    pytest.param("as_of: .*", "as_of: 3", "params.yaml: collect.as_of is 3, wanted a valid date", id="type"),
    pytest.param("as_of: .*", "", "params.yaml: collect.as_of is missing; add it", id="missing"),
    pytest.param(
        "^collect:", "colect:", "params.yaml: colect is not a known section; did you mean 'collect'?", id="section"
    ),
    pytest.param("^profile:", "profil:", "params.yaml: profil is not a known section", id="another stage's section"),
    pytest.param("as_of: .*", "as_of: '2015-03-01'\n  as_of: '2015-02-01'", "the key 'as_of' stands twice", id="twice"),
    pytest.param("^collect:", "collect: [", "is not good YAML", id="broken"),
    pytest.param(
        "source: .*",
        "source: sales.csv",
        "params.yaml: collect.source is 'sales.csv', wanted a table, a folder or a pattern in data/source/",
        id="elsewhere",
    ),
]


@pytest.mark.parametrize(("pattern", "replacement", "said"), BROKEN)
def test_a_fault_in_params_stops_a_stage_with_a_sentence(
    workspace: Path, pattern: str, replacement: str, said: str
) -> None:
    set_param(pattern, replacement)
    assert said in refused(collect.main)


@pytest.mark.parametrize("stage", ["collect", "validate", "prepare", "train", "evaluate", "profile", "package"])
def test_a_misspelt_section_stops_every_stage(workspace: Path, stage: str) -> None:
    """The process of each stage ends with status 1, one sentence and no traceback, whatever else is there."""
    (workspace / "src").mkdir()
    (workspace / "src" / "hearth").symlink_to(PROJECT / "src" / "hearth")
    set_param("^features:", "featuers:")
    for needed in ("data/raw/sales.parquet", "data/validated/sales.parquet"):
        Path(needed).parent.mkdir(parents=True, exist_ok=True)
        Path(needed).write_bytes(SOURCE.read_bytes())
    if stage == "package":
        Path("metrics").mkdir()
        Path("metrics/gate.json").write_text('{"passed": true, "reasons": [], "checks": {}}')
    environment = dict(os.environ) | {"PYTHONPATH": str(PROJECT / "src")}
    command = [sys.executable, "-m", f"hearth.stages.{stage}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: params.yaml: featuers is not a known section; did you mean 'features'?\n"


def test_hearth_check_says_every_fault_at_once(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("dvc.yaml").write_text("")
    assert main(["check"]) == 0
    set_param("leaves: 20", "leaves: many")
    set_param("level: .*", "level: 1.5")
    assert main(["check"]) == 1
    said = capsys.readouterr().err
    assert "params.yaml: model.members.median.leaves is 'many', wanted a valid integer" in said
    assert "params.yaml: intervals.level is 1.5, wanted less than 1" in said


def test_a_contract_with_a_fault_stops_collect(workspace: Path) -> None:
    path = Path("data/contract.yaml")
    path.write_text(path.read_text().replace("role: target", "role: traget"))
    assert "data/contract.yaml: columns.price.role is 'traget', wanted 'key', 'time', 'target'" in refused(collect.main)


def test_a_file_that_changed_its_type_is_no_surprise(workspace: Path) -> None:
    """Whole numbers as int32, a dictionary column and timestamps at midnight hold the same values."""
    table = pq.read_table(SOURCE)
    collect.main()
    before = read_arrow(RAW)
    changed = table.set_column(3, "bedrooms", table["bedrooms"].cast(pa.int32()))
    changed = changed.set_column(1, "date", changed["date"].cast(pa.timestamp("ms")))
    pq.write_table(changed, SOURCE)
    collect.main()
    assert read_arrow(RAW).equals(before)
