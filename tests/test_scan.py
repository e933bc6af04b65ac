"""Test `hearth scan`: each kind, planted in raw, derived and served files, turns it red; what the project ships does not."""

import gzip
import io
import json
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import test_other_table
import yaml
from conftest import PROJECT, Remade
from samples import SERVICE, houses
from test_other_table import inside, table

from hearth.cli import main
from hearth.journal import LOG_DIR
from hearth.operations import templates
from hearth.operations.report import gathered
from hearth.prediction_log import PredictionLog
from hearth.report import report
from hearth.stages import collect, evaluate, package, prepare, profile, train, validate

bikes = test_other_table.bikes  # the fixture
PLANTED = {"e-mail address": ("jane.planted@example.org", "j***@e***"), "phone number": ("(206) 555-0142", "***2"),
           "name": ("Jane Planted", "J*** P***")}  # fmt: skip
NOTE = {"type": "text", "unit": "words", "role": "ignored", "meaning": "What somebody wrote.", "nullable": True}


@pytest.fixture
def project(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project with a free text beside each sale, an empty log, and the road run up to the prepared tables."""
    monkeypatch.delenv(LOG_DIR, raising=False)
    (workspace / "dvc.yaml").touch()
    known = yaml.safe_load((workspace / "data/contract.yaml").read_text())
    known["columns"]["note"] = NOTE
    (workspace / "data/contract.yaml").write_text(yaml.safe_dump(known, sort_keys=False))
    with_notes(workspace, "a corner house")
    (workspace / "data/log").mkdir()
    (workspace / "metrics").mkdir()
    return workspace


def with_notes(root: Path, first: str) -> None:
    """Deliver sales with notes, the first of them as given, and run the road up to the prepared tables."""
    source = root / "data/source/house_sales.parquet"
    rows = pd.read_parquet(source)
    rows["note"] = pd.array([first, *["nothing new"] * (len(rows) - 1)], dtype="str")
    rows.to_parquet(source, index=False)
    for stage in (collect, validate, prepare):
        stage.main()


def scanned(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[dict[str, Any]]]:
    capsys.readouterr()
    status = main(["scan", "--json", *words])
    return status, json.loads(capsys.readouterr().out)["findings"]


def test_a_project_without_people_is_silent(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scanned(capsys) == (0, [])
    assert main(["scan"]) == 0
    said = r"no e-mail address, phone number or name in \d+ files, and nothing of a private column\n"
    assert re.fullmatch(said, capsys.readouterr().out)


def test_where_nothing_is_made_yet_the_silence_is_told_to_be_worth_little(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a fresh clone, where `make check` runs too."""
    for name in ("raw", "validated", "prepared", "log"):
        shutil.rmtree(project / "data" / name)
    assert main(["scan"]) == 0
    assert (
        capsys.readouterr().out.splitlines()[-1]
        == "data/raw/sales.parquet is not here, so this says little; `make run` makes it"
    )


@pytest.mark.parametrize("kind", PLANTED)
def test_what_is_planted_in_the_source_is_found_in_raw_and_validated_by_its_key(
    project: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    text, mask = PLANTED[kind]
    with_notes(project, f"ask {text} first")
    first = pd.read_parquet(project / "data/source/house_sales.parquet").iloc[0]
    status, found = scanned(capsys)
    assert status == 1
    assert [(one["file"].split("/")[1], one["kind"], one["column"], one["example"]) for one in found] == [
        ("raw", kind, "note", mask),
        ("validated", kind, "note", mask),
    ]
    assert {one["row"] for one in found} == {f"id={first['id']} date={first['date']}"}
    assert main(["scan"]) == 1
    said = capsys.readouterr().out
    assert f"{found[0]['file']}: note, {found[0]['row']}: {kind} {mask}\n" in said
    assert found[0]["file"].startswith("data/raw/sales.parquet")
    assert "the role identifier or sensitive in data/contract.yaml" in said
    assert text not in said


def test_a_role_takes_the_finding_away_and_the_column_out_of_what_follows(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = yaml.safe_load((project / "data/contract.yaml").read_text())
    known["columns"]["note"]["role"] = "sensitive"
    (project / "data/contract.yaml").write_text(yaml.safe_dump(known, sort_keys=False))
    with_notes(project, "ask Jane Planted first")
    assert "note" in pd.read_parquet("data/raw/sales.parquet")
    assert "note" not in pd.read_parquet("data/validated/sales.parquet")
    assert scanned(capsys) == (0, [])
    Path("metrics/report.html").write_text("<p>Somebody said: ask jane planted FIRST.</p>")
    status, found = scanned(capsys)
    assert (status, [(one["file"], one["kind"], one["example"]) for one in found]) == (
        1,
        [("metrics/report.html", "private content", "***")],
    )


def test_a_raw_table_in_parts_is_read_as_one(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = pd.read_parquet("data/raw/sales.parquet")
    rows.loc[rows.index[-1], "note"] = "Jane Planted"
    shutil.rmtree("data/raw")
    Path("data/raw/sales.parquet").mkdir(parents=True)
    for month, part in rows.groupby(pd.to_datetime(rows["date"]).dt.strftime("%Y-%m")):
        part.assign(reasons=None).to_parquet(f"data/raw/sales.parquet/{month}.parquet", index=False)
    found = scanned(capsys)[1]
    assert [(one["file"][:23], one["kind"]) for one in found] == [("data/raw/sales.parquet/", "name")]


def with_table(name: str, column: str) -> Callable[[Path, str], str]:
    def plant(root: Path, text: str) -> str:
        there = pd.read_parquet(root / name) if (root / name).exists() else pd.DataFrame()
        frame = there if len(there) else pd.DataFrame({"id": [1]})
        frame[column] = text
        (root / name).parent.mkdir(exist_ok=True)
        frame.to_parquet(root / name, index=False)
        return f"{name}: {column}"

    return plant


def with_text(name: str, content: str, place: str) -> Callable[[Path, str], str]:
    def plant(root: Path, text: str) -> str:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(content.replace("PLANTED", text))
        return f"{name}: {place}"

    return plant


def with_log(root: Path, text: str) -> str:
    """Log a house with a field that no service of ours would take."""
    log = PredictionLog(root / "data/log", SERVICE.log)
    answer = {"prediction_id": "a" * 32, "price": 1.0, "low": 1.0, "high": 2.0, "model_version": "v", "warnings": []}
    log.priced("/predict", None, [houses(1)[0] | {"said": text}], [answer], None)
    log.close()
    (file,) = (root / "data/log").glob("predictions-*")
    return f"data/log/{file.name}: house.said, line 1"


def with_bento(root: Path, text: str) -> str:
    (root / "models").mkdir(exist_ok=True)
    with tarfile.open(root / "models/house_prices.bento", "w:gz") as archive:
        for name, content in {"src/about.json": json.dumps({"said": text}), "src/hearth/x.py": f"# {text}"}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content.encode()))
    return "models/house_prices.bento!src/about.json: said"


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize(
    "plant",
    [
        pytest.param(with_table("data/prepared/train.parquet", "said"), id="prepared"),
        pytest.param(with_table("data/validated/quarantine.parquet", "reasons"), id="quarantine"),
        pytest.param(with_table("models/predictions.parquet", "said"), id="predictions"),
        pytest.param(with_text("models/profile.json", '{"features": {"said": {"levels": {"PLANTED": 1}}}}', "features.said.levels"), id="json"),
        pytest.param(with_text("metrics/slices.csv", 'slice,group\nsaid,"PLANTED"\n', "group, line 2"), id="csv"),
        pytest.param(with_text("metrics/slices.csv", f'a,b\n"{"x" * 200_000}", PLANTED\n', "text, line 2"), id="csv that is none"),
        pytest.param(with_text("data/raw/source.json", '{"options": {"asked by": "PLANTED"}}', "options.asked by"), id="provenance"),
        pytest.param(with_text("metrics/report.html", "<p>x</p>\n<p>by PLANTED</p>", "text, line 2"), id="html"),
        pytest.param(with_text("metrics/monitor.prom", "# HELP x PLANTED\n", "text, line 1"), id="text"),
        pytest.param(with_text("data/log/outcomes-2026-01-01.jsonl", '   \n{"note": "PLANTED"}\n{"no', "note, line 2"), id="outcomes"),
        pytest.param(with_text("data/log/outcomes-2026-01-01.jsonl", '{"note": "PLANTED', "text, line 1"), id="torn line"),
        pytest.param(with_log, id="log"),
        pytest.param(with_bento, id="bento"),
    ],
)  # fmt: skip
def test_what_is_planted_in_a_derived_file_is_found(
    project: Path, capsys: pytest.CaptureFixture[str], kind: str, plant: Callable[[Path, str], str]
) -> None:
    text, mask = PLANTED[kind]
    place = plant(project, text)
    capsys.readouterr()
    assert main(["scan"]) == 1
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith(place)
    assert f"{kind} {mask}" in first
    assert len(rest) == 1
    assert text not in first


@pytest.mark.parametrize("role", ["identifier", "sensitive"])
def test_a_private_column_in_a_later_file_is_found_by_its_name(
    project: Path, capsys: pytest.CaptureFixture[str], role: str
) -> None:
    known = yaml.safe_load((project / "data/contract.yaml").read_text())
    known["columns"]["income"] = {"type": "integer", "unit": "dollar", "role": role, "meaning": "Of the owner."}
    (project / "data/contract.yaml").write_text(yaml.safe_dump(known))
    assert scanned(capsys)[0] == 0
    pd.read_parquet("data/prepared/test.parquet").assign(income=71).to_parquet("data/prepared/test.parquet")
    Path("metrics/slices.csv").write_text("slice,income\na,71\n")
    Path("data/log/predictions-2026-01-01-000.jsonl").write_text('{"house": {"grade": 7, "income": 71}}\n')
    status, found = scanned(capsys)
    assert status == 1
    assert {one["file"].split("/")[-1].split("-")[0] for one in found} == {"test.parquet", "slices.csv", "predictions"}
    assert {(one["column"], one["kind"], one["example"]) for one in found} == {("income", "private column", "***")}


def test_words_of_the_cards_are_meant_to_be_read(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = yaml.safe_load(Path("data/cards.yaml").read_text())
    Path("metrics/report.html").write_text("<p>contact: Jane Planted, jane.planted@example.org</p>")
    assert scanned(capsys)[0] == 1
    words["model"]["contact"] = "Jane Planted, jane.planted@example.org"
    Path("data/cards.yaml").write_text(yaml.safe_dump(words))
    assert scanned(capsys) == (0, [])


def test_what_is_just_being_written_is_left_alone(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("data/raw/.waiting/2014-05", "metrics/.report.html.partial"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("Jane Planted")
    assert scanned(capsys) == (0, [])


def test_other_places_can_be_named(project: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    with_text(f"{elsewhere}/notes.txt", "PLANTED", "")(project, "Jane Planted")
    assert scanned(capsys) == (0, [])
    assert [one["kind"] for one in scanned(capsys, str(elsewhere))[1]] == ["name"]
    assert scanned(capsys, "--log", str(elsewhere))[0] == 1
    assert main(["scan", str(tmp_path / "none")]) == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data/prepared/train.parquet", b"no such thing"),
        ("models/house_prices.bento", b"no such thing"),
        ("models/house_prices.bento", gzip.compress(b"x" * 10_000, mtime=0)[:30]),
    ],
)
def test_a_broken_file_is_not_passed_over(
    project: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes
) -> None:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_bytes(content)
    assert main(["scan"]) == 1
    assert f"error: {name} is n" in capsys.readouterr().err


# The policy, on a whole road


PEOPLE = {
    "seller": {"type": "text", "unit": "name", "role": "identifier", "meaning": "Who sold it."},
    "why": {"type": "text", "unit": "words", "role": "sensitive", "meaning": "Why it was sold.", "nullable": True},
    "income": {"type": "integer", "unit": "euro", "role": "sensitive", "meaning": "Of the seller."},
}
SECRETS = ("Xquz Planted", "needed money at once", "7340019")


def _everything(root: Path) -> Iterator[tuple[str, str]]:
    """Yield each file after the raw table as text: tables as their cells, a bento as its members."""
    for path in sorted(
        path for part in ("data/validated", "data/prepared", "models", "metrics") for path in (root / part).rglob("*")
    ):
        if path.suffix == ".parquet":
            yield str(path), pd.read_parquet(path).to_csv()
        elif path.suffix == ".bento":
            with tarfile.open(path) as archive:
                for member in archive:
                    if member.isfile():
                        yield f"{path}!{member.name}", archive.extractfile(member).read().decode(errors="replace")  # type: ignore[union-attr]
        elif path.is_file():
            yield str(path), path.read_bytes().decode(errors="replace")


def test_private_columns_go_no_further_than_the_raw_table(
    bikes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every file of the road, the report, and the listing of the quarantine, in which one of the sales is."""
    with inside(shutil.copytree(bikes, tmp_path / "bikes")) as root:
        known = test_other_table.CONTRACT | {"columns": {**test_other_table.CONTRACT["columns"], **PEOPLE}}
        Path("data/contract.yaml").write_text(yaml.safe_dump(known, sort_keys=False))
        rows = table().assign(seller=SECRETS[0], why=SECRETS[1], income=7340019)
        rows.loc[3, "weight_kg"] = 900.0
        params = yaml.safe_load(Path("params.yaml").read_text())
        rows.to_parquet(params["collect"]["source"], index=False)
        params["features"]["derived"] = []
        Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        Path("requirements-serve.lock").write_bytes((PROJECT / "requirements-serve.lock").read_bytes())
        for stage in (collect, validate, prepare, train, evaluate, profile, package):
            stage.main()
        Path("dvc.lock").write_text("stages: {}\n")
        Path("metrics/report.html").write_text(report(templates(), gathered()))
        Path("dvc.yaml").touch()
        assert main(["quarantine", "-o", "metrics/refused.csv"]) == 0
        Path("metrics/listing.txt").write_text(capsys.readouterr().out)
        raw = pd.read_parquet("data/raw/sales.parquet")
        assert set(PEOPLE) <= set(raw), "else nothing is proved"
        assert len(pd.read_parquet("data/validated/quarantine.parquet")) == 1
        read = dict(_everything(root))
        assert {Path(name.split("!")[0]).name for name in read} >= {"test.parquet", "quarantine.parquet", "model.onnx", "refused.csv",
                                                                    "house_prices.bento", "report.html", "profile.json"}  # fmt: skip
        assert [name for name, text in read.items() if any(secret in text for secret in SECRETS)] == []
        assert scanned(capsys) == (0, [])


# What is shipped


def test_the_shipped_project_is_silent_with_all_that_its_road_makes(remade: Remade, tmp_path: Path) -> None:
    """With the report, and a log of what was served."""
    root = tmp_path / "copy"
    shutil.copytree(remade.checkout.root, root, symlinks=True)
    environment = remade.checkout.environment | {"PYTHONPATH": str(root / "src")}
    copy = type(remade.checkout)(root, environment)
    copy.run("hearth", "report")
    log = PredictionLog(root / "data/log", SERVICE.log)
    for place, house in enumerate(houses(50)):
        answer = {
            "prediction_id": f"{place:032x}",
            "price": 1.0,
            "low": 1.0,
            "high": 2.0,
            "model_version": "v",
            "warnings": [],
        }
        log.priced("/predict", None, [house], [answer], None)
    log.close()
    said = json.loads(copy.run("hearth", "scan", "--json", "--log", str(root / "data/log")).stdout)
    assert said["findings"] == []
    assert said["files"] > 20
