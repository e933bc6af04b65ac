"""Test `hearth predict` as people call it: prices, the side file, the exit status, what is left behind, and its memory."""

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from samples import CONTRACT_BYTES, PARAMS_TEXT, ask, contract, facts, houses, release, release_files, sales

from hearth.batch import Batch
from hearth.bento import build
from hearth.cli import main
from hearth.operations import predict
from hearth.storage import write_folder

FORMS = ("csv", "parquet", "jsonl")
COUNT = 40
VERSION = release().manifest.model_version
BAD = {"grade": 14}, {"sqft_living": 19_999}
PROGRAM = "import sys; from hearth.cli import main; sys.exit(main(['predict', *sys.argv[1:]]))"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Change into a project with the tiny release as its model."""
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "params.yaml").write_text(PARAMS_TEXT)
    write_folder(tmp_path / "models/model", release_files())
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    os.chdir(tmp_path)


def rows(bad: bool = True) -> list[dict[str, Any]]:
    """Return sales that carry an id, a price and a note; two of them are bad."""
    found = [
        {"id": 1000 + place, "note": f"Straße {place}", "price": 5} | house for place, house in enumerate(houses(COUNT))
    ]
    if bad:
        for place, change in zip((3, 7), BAD, strict=True):
            found[place] |= change
    return found


def put(name: str, given: list[dict[str, Any]]) -> Path:
    """Write rows to a file of the format that its name says."""
    path = Path(name)
    frame = pd.DataFrame(given)
    if path.suffix == ".parquet":
        frame.assign(date=pd.to_datetime(frame["date"])).to_parquet(path, index=False)
    elif ".csv" in name:
        frame.to_csv(path, index=False)
    else:
        frame.to_json(path, orient="records", lines=True)
    return path


def get(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file; numbers of a CSV as numbers."""
    if path.suffix == ".parquet":
        found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return found
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            cells = list(csv.DictReader(file))
        return [{k: int(v) if v.isdecimal() else v for k, v in row.items()} for row in cells]
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def told(capsys: pytest.CaptureFixture[str], *words: str, status: int) -> dict[str, Any]:
    """Run the command with --json; return what it prints."""
    assert main(["predict", *words, "--json"]) == status
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def failed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run the command, which is to write nothing; return its one sentence."""
    before = sorted(Path().rglob("*"))
    assert main(["predict", *words]) == 2
    out, err = capsys.readouterr()
    assert (out, sorted(Path().rglob("*"))) == ("", before)
    *progress, said = err.splitlines()
    assert all(line.endswith(" refused") for line in progress)
    assert said.startswith("error: ")
    return said.removeprefix("error: ").replace(f"{Path.cwd()}/", "")


# Prices


@pytest.mark.parametrize("output", FORMS)
@pytest.mark.parametrize("form", FORMS)
def test_each_row_has_the_price_of_the_service(
    project: Path, capsys: pytest.CaptureFixture[str], form: str, output: str
) -> None:
    put(f"sales.{form}", rows())
    found = told(capsys, f"sales.{form}", "-o", f"out/prices.{output}", status=1)
    assert found == {
        "input": str(project / f"sales.{form}"), "output": str(project / f"out/prices.{output}"),
        "side_file": str(project / f"out/prices.refused.{form}"), "rows": COUNT, "priced": COUNT - 2, "refused": 2, "warned": 0,
        "undated": 0, "faults": {"grade": 1, "sqft_above, sqft_basement, sqft_living": 1}, "as_of": str(facts().as_of),
        "model_version": VERSION,
    }  # fmt: skip
    priced = get(Path(f"out/prices.{output}"))
    assert [row["row"] for row in priced] == [place for place in range(COUNT) if place not in (3, 7)]
    for row in priced:
        status, answer = ask(houses(COUNT)[row["row"]])
        assert status == 200
        assert all(row[name] == answer[name] for name in ("price", "low", "high", "model_version"))
        assert str(row["id"]) == str(1000 + row["row"])
        assert (row["note"], str(row["input_price"])) == (f"Straße {row['row']}", "5")
        assert not row["warnings"]
    assert list(priced[0]) == [
        "row", "id", "note", "input_price", "date", "price", "low", "high", "warnings", "model_version",
    ]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_refused_rows_can_be_mended_and_sent_again(
    project: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    put(f"sales.{form}", rows())
    told(capsys, f"sales.{form}", status=1)
    side = Path(f"sales.predictions.refused.{form}")
    refused = get(side)
    assert [row["row"] for row in refused] == [3, 7]
    assert refused[0]["reasons"] in (
        reason := "grade: 14, wanted a whole number from 1 to 13 (score)",
        [reason],
    )
    mended = get(side)
    for row in mended:
        row.update(rows(bad=False)[row["row"]])
    put(side.name, mended)
    found = told(capsys, side.name, "-o", f"again.{form}", status=0)
    assert (found["priced"], found["side_file"]) == (2, None)
    assert [int(row["input_row"]) for row in get(Path(f"again.{form}"))] == [3, 7]


@pytest.mark.parametrize("form", FORMS)
def test_when_all_are_priced_the_status_is_0_and_there_is_no_side_file(
    project: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    """Also where an earlier run left one."""
    put(f"sales.{form}", rows())
    assert main(["predict", f"sales.{form}"]) == 1
    side = Path(f"sales.predictions.refused.{form}")
    assert side.exists()
    put(f"sales.{form}", rows(bad=False))
    capsys.readouterr()
    assert main(["predict", f"sales.{form}"]) == 0
    assert not side.exists()
    assert capsys.readouterr().out.splitlines() == [
        f"{project}/sales.{form}: 40 rows, 40 priced, 0 refused",
        f"prices: {project}/sales.predictions.{form}",
        f"model: {VERSION}",
    ]


def test_people_are_told_what_was_refused_and_why(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [{name: cell for name, cell in row.items() if name != "date"} for row in rows()]
    given[0]["sqft_lot"] = 4_000_000
    put("sales.csv", given)
    assert main(["predict", "sales.csv"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{project}/sales.csv: 40 rows, 38 priced, 2 refused",
        f"prices: {project}/sales.predictions.csv (1 with a warning)",
        f"refused rows: {project}/sales.predictions.refused.csv",
        "  1 × grade",
        "  1 × sqft_above, sqft_basement, sqft_living",
        f"without a day, so priced for {facts().as_of}: 38 rows",
        f"model: {VERSION}",
    ]
    assert get(Path("sales.predictions.csv"))[0]["warnings"].startswith(
        "sqft_lot: 4000000 is outside the training data"
    )


@pytest.mark.parametrize("output", FORMS)
def test_when_no_row_is_priced_the_output_has_none(
    project: Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    put("sales.jsonl", [rows()[3]])
    assert told(capsys, "sales.jsonl", "-o", f"x.{output}", status=1)["priced"] == 0
    assert get(Path(f"x.{output}")) == []


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1, 7, 39, 40, 41])
def test_the_size_of_a_chunk_changes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, form: str, size: int
) -> None:
    put(f"sales.{form}", rows())
    told(capsys, f"sales.{form}", status=1)
    before = {path.name: path.read_bytes() for path in project.glob("sales.*")}
    assert len(before) == 3
    monkeypatch.setattr(predict, "CHUNK_ROWS", size)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    told(capsys, f"sales.{form}", status=1)
    assert {path.name: path.read_bytes() for path in project.glob("sales.*")} == before


def test_whole_numbers_may_be_floats_as_pandas_writes_them(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = pd.DataFrame(rows(bad=False))
    given.loc[5, "grade"] = None
    given["zipcode"] = given["zipcode"].astype(float)
    for form, write in (("csv", given.to_csv), ("parquet", given.to_parquet)):
        write(f"sales.{form}", index=False)
        found = told(capsys, f"sales.{form}", status=1)
        assert (found["priced"], found["faults"]) == (COUNT - 1, {"grade": 1})
        assert "grade: empty, wanted" in get(Path(f"sales.predictions.refused.{form}"))[0]["reasons"]


def test_a_table_of_the_road_goes_in_as_it_is(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(sales(houses(COUNT)), "sales.parquet")
    assert told(capsys, "sales.parquet", status=0)["priced"] == COUNT
    assert pq.read_schema("sales.predictions.parquet").field("id").type == pa.int64()
    assert pq.read_schema("sales.predictions.parquet").field("date").type == pa.date32()


EXOTIC = {
    "label": pa.array(["a", "b", None, "a"] * 10).dictionary_encode(),
    "large": pa.array(["ß"] * COUNT, pa.large_string()),
    "view": pa.array([b"\xff"] * COUNT, pa.binary()),
    "when": pa.array([1_420_070_400_123_456_789] * COUNT, pa.timestamp("ns", "America/Los_Angeles")),
    "clock": pa.array([1] * COUNT, pa.time64("us")),
    "money": pa.array(["1.50"] * COUNT).cast(pa.decimal128(10, 2)),
    "list": pa.array([[1.5, None, float("nan")]] * COUNT),
    "struct": pa.array([{"a": 1, "b": "x"}] * COUNT),
    "map": pa.array([[("a", 1)]] * COUNT, pa.map_(pa.string(), pa.int64())),
    "nothing": pa.nulls(COUNT),
    "float": pa.array([float("nan"), float("inf")] * 20, pa.float32()),
}


@pytest.mark.parametrize("output", FORMS)
@pytest.mark.parametrize("name", EXOTIC)
def test_any_column_of_a_parquet_file_goes_along(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, output: str
) -> None:
    """Also in several chunks, each with a dictionary of its own."""
    monkeypatch.setattr(predict, "CHUNK_ROWS", 7)
    given = sales(houses(COUNT)).append_column("extra", EXOTIC[name])
    grades = pa.array([14 if place == 3 else 7 for place in range(COUNT)])
    pq.write_table(given.set_column(given.column_names.index("grade"), "grade", grades), "sales.parquet")
    assert told(capsys, "sales.parquet", "-o", f"x.{output}", status=1)["priced"] == COUNT - 1
    found = get(Path(f"x.{output}"))
    assert all("extra" in row for row in found)
    if output == "parquet":
        kept = given["extra"].filter(pa.array([place != 3 for place in range(COUNT)]))
        assert str(pq.read_table("x.parquet")["extra"].to_pylist()) == str(kept.to_pylist())
        assert str(pq.read_table("x.refused.parquet")["extra"].to_pylist()) == str(
            given["extra"].slice(3, 1).to_pylist()
        )


# The model


def test_another_model_prices_otherwise(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put("sales.csv", rows(bad=False))
    for number, as_of in enumerate((facts().as_of, facts().first_day)):
        write_folder(Path(f"other/{number}"), release_files(as_of=as_of))
    versions = {told(capsys, "sales.csv", "--model", f"other/{n}", status=0)["model_version"] for n in (0, 1)}
    assert len(versions) == 2
    assert VERSION in versions


def test_a_bento_is_a_model_too(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put("sales.csv", rows(bad=False))
    told(capsys, "sales.csv", status=0)
    before = Path("sales.predictions.csv").read_bytes()
    service = b"import bentoml\n\n@bentoml.service\nclass HousePrices:\n    pass\n"
    content = build({f"model/{name}": data for name, data in release_files().items()}
                    | {"service.py": service, "requirements.txt": b"numpy\n"}, "tiny")  # fmt: skip
    Path("tiny.bento").write_bytes(content)
    shutil.rmtree("models")
    told(capsys, "sales.csv", "--model", "tiny.bento", status=0)
    assert Path("sales.predictions.csv").read_bytes() == before
    for spoilt in (content[:-100], b"", b"x" * 1000):
        Path("tiny.bento").write_bytes(spoilt)
        assert "tiny.bento is not a whole bento (" in failed(capsys, "sales.csv", "--model", "tiny.bento")


def test_a_damaged_model_prices_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put("sales.csv", rows())
    with Path("models/model/model.onnx").open("ab") as file:
        file.write(b"x")
    assert "models/model/model.onnx has the sha256" in failed(capsys, "sales.csv")
    assert "nowhere is not a folder" in failed(capsys, "sales.csv", "--model", "nowhere")


# What is refused as a whole


@pytest.mark.parametrize(
    "words",
    [
        ["sales.txt"],
        ["sales.csv", "-o", "prices.xlsx"],
        ["-"],
        [],
        ["sales.csv", "more.csv"],
        ["sales.csv", "-o", "x/"],
    ],
)
def test_wrong_use_ends_with_2(project: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["predict", *words])
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("name", [column.name for column in contract().features])
def test_a_missing_feature_is_named(project: Path, capsys: pytest.CaptureFixture[str], form: str, name: str) -> None:
    put(f"sales.{form}", [{key: cell for key, cell in row.items() if key != name} for row in rows()])
    said = failed(capsys, f"sales.{form}")
    assert said.startswith(
        f"sales.{form} lacks the column {name} of the model's contract; it has id, note, price, date"
    )
    assert said.endswith(" Rename or add it.")


def test_a_line_of_json_that_lacks_a_feature_is_refused_alone(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = rows(bad=False)
    del given[5]["grade"]
    Path("sales.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    assert told(capsys, "sales.jsonl", status=1)["faults"] == {"grade": 1}
    assert get(Path("sales.predictions.refused.jsonl"))[0]["reasons"] == [
        "grade: empty, wanted a whole number from 1 to 13 (score), and the field is missing"
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("sales.csv", None, "sales.csv does not exist; check its name."),
        ("sales.csv", b"", "sales.csv is empty; wanted a header and rows."),
        ("sales.csv", ",".join(HEADER := list(rows()[0])).encode() + b"\n", "sales.csv has no rows; wanted at least one. Check what wrote it."),
        ("sales.jsonl", b"", "sales.jsonl has no rows; wanted at least one."),
        ("sales.parquet", b"id,date\n1,2\n", "sales.parquet is not a whole parquet file ("),
        ("sales.csv.gz", b"id,date\n1,2\n", "sales.csv.gz is not a whole gzip file ("),
        ("sales.csv", "id,date\n".encode("utf-16"), "sales.csv is not UTF-8; save it as UTF-8."),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None, said: str
) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    assert failed(capsys, name).startswith(said)


def test_the_input_is_never_overwritten(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the prices, by the refused rows, or because it looks like the side file of an earlier run."""
    put("sales.csv", rows(bad=False))
    Path("link.csv").symlink_to("sales.csv")
    for words in (
        ["sales.csv", "-o", "sales.csv"],
        ["sales.csv", "-o", "./sales.csv"],
        ["link.csv", "-o", "sales.csv"],
    ):
        assert "is the input and would be overwritten; give -o another name." in failed(capsys, *words)
    put("x.refused.csv", rows(bad=False))
    assert failed(capsys, "x.refused.csv", "-o", "x.csv").startswith("x.refused.csv is the input and would be")
    assert len(get(Path("x.refused.csv"))) == COUNT


def test_an_output_that_cannot_be_written_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put("sales.csv", rows())
    Path("x.csv").mkdir()
    assert failed(capsys, "sales.csv", "-o", "x.csv") == "x.csv is a folder; give -o the name of a file."
    assert failed(capsys, "sales.csv", "-o", "sales.csv/x.csv").startswith("sales.csv cannot be written (File exists)")
    assert "cannot be written (" in failed(capsys, "sales.csv", "-o", f"{'n' * 300}.csv")


def test_a_full_disk_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    put("sales.csv", rows())
    monkeypatch.setattr(os, "fsync", full)
    assert failed(capsys, "sales.csv") == (
        "sales.predictions.csv cannot be written (No space left on device); make room or give -o another name."
    )


def test_an_interrupted_run_leaves_nothing_and_what_was_there(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put("sales.csv", rows())
    told(capsys, "sales.csv", status=1)
    before = {path.name: path.read_bytes() for path in project.glob("sales.*")}
    own, calls = Batch.run, []

    def interrupted(self: Batch, chunk: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return own(self, chunk)

    monkeypatch.setattr(predict, "CHUNK_ROWS", 5)
    monkeypatch.setattr(Batch, "run", interrupted)
    assert main(["predict", "sales.csv"]) == 130
    assert {
        path.name: path.read_bytes() for path in project.iterdir() if path.is_file() and "sales" in path.name
    } == before


# As a command


def command(*words: str, **more: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more
    )


def test_the_command_says_how_far_it_is_and_ends_with_its_status(project: Path) -> None:
    Path("deep").mkdir()
    put("deep/sales.csv", rows() * 300)
    done = command("sales.csv", cwd="deep")
    out, err = done.communicate()
    assert done.returncode == 1
    assert out.startswith(f"{project}/deep/sales.csv: 12,000 rows, 11,400 priced, 600 refused\n")
    assert [line.split()[0] for line in err.splitlines()] == ["4,096", "8,192", "12,000"]


def test_a_killed_run_leaves_nothing_that_looks_finished(project: Path) -> None:
    put("sales.csv", rows() * 3000)
    run = command("sales.csv")
    assert run.stderr
    assert "rows" in run.stderr.readline()
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert [path.name for path in project.iterdir() if "sales" in path.name and not path.name.startswith(".")] == [
        "sales.csv"
    ]


# Memory

HOARDING = """
from hearth.operations import predict
own = predict.Batch.run
kept = []
predict.Batch.run = lambda self, rows: (kept.append(rows), own(self, rows))[1]
"""
# Linux keeps the peak of a process by itself there; getrusage would tell that of the process that started it too.
PEAK = """
import re, sys
from pathlib import Path
from hearth.cli import main
assert main(["predict", *sys.argv[1:]]) == 1
print(re.search(r"VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1])
"""
ROOM = 20_000  # kB; were they kept, the rows of the larger file below would take 60 MB more than those of the smaller

linux = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the peak of a process is read from Linux's /proc"
)


def peak(path: Path, program: str) -> int:
    """Return the most memory in kB that pricing a file takes, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    return int(done.stdout.splitlines()[-1])


@pytest.fixture
def sizes(project: Path) -> tuple[Path, Path]:
    """Return a file of some rows and one with four times as many."""
    return put("few.csv", rows() * 250), put("many.csv", rows() * 1000)


@linux
def test_memory_does_not_grow_with_the_rows(sizes: tuple[Path, Path]) -> None:
    few, many = (peak(path, PEAK) for path in sizes)
    assert many - few < ROOM, (few, many)


@linux
def test_memory_that_grows_would_be_noticed(sizes: tuple[Path, Path]) -> None:
    few, many = (peak(path, HOARDING + PEAK) for path in sizes)
    assert many - few > 2 * ROOM, (few, many)


def test_the_samples_are_what_these_tests_take_them_for() -> None:
    given = [{name: row[name] for name in houses(1)[0]} for row in rows()]
    assert [place for place, house in enumerate(given) if ask(house)[0] == 422] == [3, 7]
    assert hashlib.sha256(CONTRACT_BYTES).hexdigest() == release().manifest.files["contract.yaml"].sha256
