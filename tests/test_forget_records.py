"""Test `hearth forget id=...`: a real DVC project with two versions of its tables, in cache and remote; what it says and leaves."""

import datetime
import hashlib
import shutil
from pathlib import Path

import pandas as pd
import pytest
import tiny
import yaml
from samples import CONTRACT_BYTES, contract, houses, sales

from hearth.cli import main
from hearth.forgotten import keep, mark_of, parse_marks
from hearth.parquet import read_arrow, write_arrow
from hearth.revisions import revision

LIST = Path("data/forgotten.txt")
SOURCE, RAW = Path("data/source/s.parquet"), Path("data/raw/sales.parquet")
# A road of one stage: its raw table is a folder of parts, its source a file or a folder.
STAGES = """
stages:
  collect:
    cmd: python make.py
    deps: [SOURCE]
    outs: [data/raw/sales.parquet]
"""
MAKE = """
import pathlib, pandas as pd
rows = pd.read_parquet("data/source/s.parquet")
target = pathlib.Path("data/raw/sales.parquet")
target.mkdir(parents=True, exist_ok=True)
for half, part in rows.groupby(rows["id"] % 2):
    part.to_parquet(target / f"{half}.parquet", index=False)
"""


def md5(path: Path) -> str:
    """Return DVC's name of a file."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def deliver(root: Path, ids: list[int]) -> str:
    """Deliver sales with these ids, run the road, commit, push; return the commit."""
    rows = sales(houses(len(ids)))
    rows = rows.set_column(rows.column_names.index("id"), "id", [ids])
    write_arrow(root / SOURCE, rows)
    tiny.dvc(root, "add", str(SOURCE))
    tiny.dvc(root, "repro", "collect")
    commit = tiny.commit(root, f"sales of {ids}")
    tiny.dvc(root, "push")
    return commit


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a project with two versions, the older of them tagged; to be copied."""
    folder = tmp_path_factory.mktemp("records") / "made"
    root = tiny.copied(tiny.make(tmp_path_factory), folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path_factory.mktemp("site")))
        for name, text in {
            "dvc.yaml": STAGES.replace("SOURCE", str(SOURCE)),
            "make.py": MAKE,
            ".gitignore": "/data/raw\n/models\n",
        }.items():
            tiny.write(root, name, text)
        (root / "dvc.lock").unlink()
        (root / "data/contract.yaml").write_bytes(CONTRACT_BYTES)
        deliver(root, [1, 2, 3, 3])
        tiny.git(root, "tag", "-a", "house-prices@v0.1.0", "-m", "Release")
        tiny.write(root, "dvc.yaml", STAGES.replace("SOURCE", str(SOURCE.parent)))
        deliver(root, [1, 2])
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change into a copy of the project."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    root = tiny.copied(made, tmp_path / "copy")
    monkeypatch.chdir(root)
    return root


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Return the exit status and what is said of `hearth forget` with these words."""
    capsys.readouterr()
    status = main(["forget", *words])
    out, err = capsys.readouterr()
    return status, out + err


def snapshot(root: Path) -> dict[str, bytes]:
    """Return every file but the list and what git and DVC write when they look."""
    return {str(path.relative_to(root.parent)): path.read_bytes() for path in sorted(root.parent.rglob("*"))
            if path.is_file() and not {".git", "tmp"} & set(path.parts) and path.name != LIST.name}  # fmt: skip


def test_a_record_goes_onto_the_list_by_which_the_next_raw_table_is_without_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(project)
    status, told = said(capsys, "id=2")
    assert status == 0
    assert "id=2 is on the list data/forgotten.txt now; `dvc repro`, and commit the list with dvc.lock" in told
    assert "data/raw/sales.parquet: 1 row, until the next `dvc repro`\n" in told
    assert "data/source: 1 row, which is its owner's to take out\n" in told
    newest = tiny.git(project, "rev-parse", "--short=7", "HEAD")
    assert f"data/source of main, {newest}: 1 row\n    lies in {tiny.cached(project, md5(SOURCE))}\n" in told
    (mark,) = parse_marks(LIST.read_text(), contract(), "x")
    assert mark == mark_of({"id": 2}, contract())
    assert keep(read_arrow(SOURCE), contract(), [mark])["id"].to_pylist() == [1]
    assert snapshot(project) == before, "nothing else is changed"


def test_one_sale_of_a_house_is_forgotten_and_another_is_not(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    day = read_arrow(SOURCE)["date"][1].as_py()
    other = day + datetime.timedelta(1)
    assert said(capsys, "id=2", f"date={other}")[0] == 1
    assert said(capsys, "id=2", f"date={day}")[0] == 0
    (mark,) = parse_marks(LIST.read_text(), contract(), "x")
    assert mark.columns == ("id", "date")


def test_older_versions_that_hold_it_are_named_with_where_their_bytes_lie(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, told = said(capsys, "id=3")
    assert status == 0
    tagged = tiny.git(project, "rev-parse", "--short=7", "house-prices@v0.1.0^{commit}")
    assert f"data/raw/sales.parquet of house-prices@v0.1.0, {tagged}: 2 rows\n" in told
    assert f"data/source/s.parquet of house-prices@v0.1.0, {tagged}: 2 rows\n" in told
    assert "main" not in told, "the newest version has no such record"
    content = revision("house-prices@v0.1.0").folder(RAW)["1.parquet"]
    wanted = hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert f"    lies in {tiny.cached(project, wanted)}\n" in told
    assert f"    lies in remote away: {tiny.cached(project, wanted, remote=True).resolve()}\n" in told
    even = hashlib.md5(revision("house-prices@v0.1.0").folder(RAW)["0.parquet"], usedforsecurity=False).hexdigest()
    assert even not in told.replace("\n", ""), "the part without the record may stay"


def test_a_version_is_gone_once_its_objects_are_deleted_as_told(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = [line.split()[-1] for line in said(capsys, "id=3")[1].splitlines() if line.startswith("    lies in ")]
    assert len(places) == 4
    for place in places:
        Path(place.removeprefix("file://")).unlink()
    status, told = said(capsys, "id=3")
    assert status == 0
    assert "2 rows" not in told
    assert told.count("may have it, and cannot be searched: ") == 2
    assert "lies in no cache and on no remote of this clone" in told
    assert pd.concat(pd.read_parquet(path) for path in RAW.glob("*.parquet"))["id"].isin([1, 2]).all(), (
        "the newest stands"
    )


def test_it_is_found_on_the_remote_alone_and_a_remote_that_does_not_answer_is_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(".dvc/cache")
    status, told = said(capsys, "id=3", "--dry-run")
    assert (status, told.count("2 rows")) == (0, 2)
    shutil.rmtree(".dvc/cache", ignore_errors=True)
    tiny.write(
        project,
        ".dvc/config",
        "[core]\nanalytics = false\nremote = away\n['remote \"away\"']\nurl = ssh://127.0.0.1:9/x\n",
    )
    status, told = said(capsys, "id=3", "--dry-run")
    assert status == 1
    assert "lies in remote away, perhaps: it cannot be asked" in told
    assert told.count("may have it, and cannot be searched") == 4
    assert "no table here has id=3 (4 older tables cannot be read here), so nothing was changed." in told


def test_asking_twice_changes_nothing_more(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.write(project, str(LIST), "# the head stays\n")
    said(capsys, "id=2")
    once = LIST.read_bytes()
    status, told = said(capsys, "id=2")
    assert (status, LIST.read_bytes()) == (0, once)
    assert "id=2 is on the list data/forgotten.txt already" in told
    assert once.startswith(b"# the head stays\n")
    day = read_arrow(SOURCE)["date"][1].as_py()
    assert "already" in said(capsys, "id=2", f"date={day}")[1], "it falls under all sales of the house"
    assert LIST.read_bytes() == once


def test_a_dry_run_tells_the_same_and_changes_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, told = said(capsys, "id=2", "--dry-run")
    assert (status, LIST.exists()) == (0, False)
    assert told.splitlines()[-1] == "nothing is changed; without --dry-run id=2 is forgotten"
    assert "data/raw/sales.parquet: 1 row" in told


def test_a_key_that_nothing_knows_is_a_no_and_may_be_forgotten_all_the_same(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, told = said(capsys, "id=99")
    assert (status, LIST.exists()) == (1, False)
    assert "error: no table here has id=99, so nothing was changed." in told
    assert "--unseen" in told
    status, told = said(capsys, "id=99", "--unseen")
    assert status == 0
    assert "no table that can be read here has id=99\n" in told
    assert len(parse_marks(LIST.read_text(), contract(), "x")) == 1


@pytest.mark.parametrize(
    "words",
    [["idd=2"], ["id=two"], ["date=2014-10-13"], ["id=2", "grade=7"], ["id=2", "a" * 32], ["a" * 32, "b" * 32],
     ["a" * 32, "--dry-run"], ["a" * 32, "--unseen"], ["2"]],
)  # fmt: skip
def test_what_is_neither_a_record_nor_a_prediction_is_wrong_use(
    project: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    status, told = said(capsys, *words)
    assert (status, LIST.exists()) == (2, False)
    assert told.startswith("error: ")
    assert told.count("\n") == 1


def test_a_broken_list_is_not_written_over(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.write(project, str(LIST), "<<<<<<< HEAD\n")
    status, told = said(capsys, "id=2")
    assert (status, LIST.read_text()) == (1, "<<<<<<< HEAD\n")
    assert "data/forgotten.txt: line 1 is no entry" in told


def test_a_version_with_other_columns_is_named_and_not_passed_over(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = yaml.safe_load(CONTRACT_BYTES)
    known["columns"] = {"number" if name == "id" else name: column for name, column in known["columns"].items()}
    Path("data/contract.yaml").write_text(yaml.safe_dump(known, sort_keys=False))
    status, told = said(capsys, "number=2", "--unseen")
    assert status == 0
    assert "may have it, and cannot be searched: it has no column number" in told


def test_a_shallow_clone_says_that_it_does_not_see_all(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "This clone is shallow" not in said(capsys, "id=2", "--dry-run")[1]
    tiny.git(project, "clone", "--quiet", "--depth", "1", f"file://{project}", str(tmp_path / "shallow"))
    monkeypatch.chdir(tmp_path / "shallow")
    status, told = said(capsys, "id=3", "--dry-run")
    assert status == 1
    assert (
        "This clone is shallow: older versions are not seen in it; `git fetch --unshallow --tags` brings them.\n"
        in told
    )


def test_a_file_of_a_source_that_is_no_table_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.write(project, "data/source/more.csv", "id\n3\n")
    tiny.dvc(project, "repro", "collect")
    tiny.commit(project, "a source in two files")
    status, told = said(capsys, "id=3")
    assert status == 0
    assert "may have it, and cannot be searched: more.csv: it is no parquet file; look into it yourself" in told


def test_commits_with_a_broken_lock_and_other_branches_are_looked_at(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.git(project, "checkout", "--quiet", "-b", "trial", "house-prices@v0.1.0")
    tiny.git(project, "checkout", "--quiet", "main")
    lock = Path("dvc.lock").read_text()
    Path("dvc.lock").write_text("<<<<<<< HEAD\n")
    tiny.commit(project, "a conflict")
    Path("dvc.lock").write_text(lock)
    tiny.commit(project, "mended")
    assert "data/raw/sales.parquet of trial, house-prices@v0.1.0, " in said(capsys, "id=3")[1]
