"""Read the same sales from each kind of file, from here, a store and the web: the same table, or a clear refusal."""

import gzip
import io
import os
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import PROJECT, sample
from deeds import DOCUMENT, deed, deeds_contract, table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from webs import Quiet, web

from hearth.bento import free_port
from hearth.contract import Contract, parse_contract
from hearth.errors import Refusal
from hearth.ledger import before
from hearth.partitions import Waiting
from hearth.sources import opened
from hearth.storage import read_yaml

SOURCES = Path("data/source")
REAL = parse_contract(read_yaml(PROJECT / "data/contract.yaml"), "data/contract.yaml")
DEEDS = deeds_contract()
NEVER = date(2049, 1, 1)
TEXT = "parcel,sold,known,void,dollars,area,town\n1,2014-05-01,2014-05-02,false,100,1.5,alba\n2,2014-05-03,2014-05-04,false,200,,brio\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    SOURCES.mkdir(parents=True)
    return tmp_path


def read(source: str, contract: Contract = DEEDS, **options: Any) -> list[dict[str, Any]]:
    """Return the rows of a source with the raw table's columns."""
    batches = opened(source, options, contract).batches(None, NEVER)
    return [row for batch in batches for row in batch.shaped(contract).to_pylist()]


def raw(source: str, contract: Contract = REAL, **options: Any) -> dict[str, bytes]:
    """Return the files of the raw table that a source makes."""
    target = Path("raw")
    with Waiting(target / ".waiting", contract) as waiting:
        for batch in opened(source, options, contract).batches(None, NEVER):
            waiting.add(before(batch.shaped(contract), contract, NEVER))
        waiting.write(target)
    return {path.name: path.read_bytes() for path in sorted(target.iterdir())}


def refused(source: str, contract: Contract = DEEDS, **options: Any) -> str:
    with pytest.raises(Refusal) as caught:
        read(source, contract, **options)
    return str(caught.value)


def put(name: str, content: str | bytes) -> str:
    path = SOURCES / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


# -- the same sales, however they come --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the raw table of the shipped source."""
    folder = tmp_path_factory.mktemp("wanted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        SOURCES.mkdir(parents=True)
        sample().to_parquet(SOURCES / "sales.parquet", index=False)
        return raw("data/source/sales.parquet")


def zipped(name: str, content: bytes, *more: tuple[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, inner in ((name, content), *more):
            archive.writestr(zipfile.ZipInfo(member), inner)  # of one time: test names are made of it
    return packed.getvalue()


def excel(rows: pd.DataFrame, **more: Any) -> bytes:
    packed = io.BytesIO()
    with pd.ExcelWriter(packed, engine="xlsxwriter") as writer:
        rows.to_excel(writer, index=False, **more)
    return packed.getvalue()


def csv(rows: pd.DataFrame, **more: Any) -> bytes:
    return rows.to_csv(index=False, lineterminator="\n", **more).encode(more.get("encoding", "utf-8"))


def kaggle(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the sales as their first file had them: days with a time, round prices as R writes them, flags as numbers."""
    days = pd.to_datetime(rows["date"]).dt.strftime("%Y%m%dT000000")
    prices = [f"{price:.5g}" if price % 1000 == 0 and price > 10**6 else str(price) for price in rows["price"]]
    same = [float(text) == price for text, price in zip(prices, rows["price"], strict=True)]
    prices = [text if fine else str(price) for text, fine, price in zip(prices, same, rows["price"], strict=True)]
    return rows.assign(date=days, price=prices, waterfront=rows["waterfront"].astype(int))


def german(rows: pd.DataFrame) -> bytes:
    days = pd.to_datetime(rows["date"]).dt.strftime("%d.%m.%Y")
    return rows.assign(date=days).to_csv(index=False, sep=";", decimal=",").encode("utf-16")


WAYS: list[Any] = [
    pytest.param("a.csv", csv, {}, id="CSV"),
    pytest.param("a.csv.gz", lambda rows: gzip.compress(csv(rows)), {}, id="gzip"),
    pytest.param("a.csv.zip", lambda rows: zipped("a.csv", csv(rows)), {}, id="zip"),
    pytest.param("a.zip", lambda rows: zipped("a.csv", csv(rows[:9]), ("b.csv", csv(rows[9:])), ("__MACOSX/._a.csv", b"x")), {}, id="two in a zip"),
    pytest.param("a.tsv", lambda rows: csv(rows, sep="\t"), {}, id="tabs"),
    pytest.param("a.csv", lambda rows: b"\xef\xbb\xbf" + csv(rows).replace(b"\n", b"\r\n"), {}, id="a byte order mark and CRLF"),
    pytest.param("a.csv", lambda rows: csv(kaggle(rows)), {}, id="as Kaggle had it"),
    pytest.param("a.csv", german, {"delimiter": ";", "decimal": ",", "days": "%d.%m.%Y", "encoding": "utf-16"}, id="another country"),
    pytest.param("a.jsonl", lambda rows: rows.to_json(orient="records", lines=True, date_format="iso").encode(), {}, id="JSON lines"),
    pytest.param("a.ndjson.gz", lambda rows: gzip.compress(rows.astype(str).to_json(orient="records", lines=True).encode()), {}, id="JSON of texts"),
    pytest.param("a.xlsx", excel, {}, id="Excel"),
    pytest.param("a.xlsx", lambda rows: excel(rows, sheet_name="survey", startrow=3), {"sheet": "survey", "header_row": 4}, id="a survey"),
    pytest.param("a.html", lambda rows: b"<table><tr><td>menu</table>" + rows.to_html(index=False).encode(), {}, id="HTML"),
    pytest.param("a.dat", csv, {"format": "csv"}, id="a format that the name does not say"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "written", "options"), WAYS)
def test_the_same_sales_give_the_same_table(
    name: str, written: Callable[[pd.DataFrame], bytes], options: dict[str, Any], wanted: dict[str, bytes]
) -> None:
    rows = sample()
    if rows["date"].dtype != "object":
        rows = rows.assign(date=pd.to_datetime(rows["date"]).dt.date)
    if name.endswith((".html", ".xlsx")) or "german" in str(written):
        months = pd.to_datetime(rows["date"]).dt.strftime("%Y-%m")
        rows = rows[months == "2014-11"]  # a thirteenth; these formats are slow
    assert raw(put(name, written(rows)), **options).items() <= wanted.items()


def test_a_folder_and_a_pattern_of_dated_drops_are_one_table(wanted: dict[str, bytes]) -> None:
    rows = sample()
    months = pd.to_datetime(rows["date"]).dt.strftime("%Y-%m")
    for number, (month, part) in enumerate(rows.groupby(months)):
        if number % 2:
            put(f"drops/{month}.csv", csv(part))
        else:
            (SOURCES / "drops").mkdir(exist_ok=True)
            part.to_parquet(SOURCES / f"drops/{month}.parquet", index=False)
    put("drops/.partial.csv", "half")
    put("drops/2014-05.csv.dvc", "outs: []")
    assert raw("data/source/drops") == wanted
    assert raw("data/source/drops/2014-1*").keys() == {"2014-10.parquet", "2014-11.parquet", "2014-12.parquet"}


# -- stores and the web -----------------------------------------------------------------------------------------------


@contextmanager
def ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Start rclone's S3 server; return the folder of its bucket `sales`, whose files are its objects."""
    folder, port = tmp_path / "s3/sales", free_port()
    folder.mkdir(parents=True)
    command = ["rclone", "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", "who,what", "--config", os.devnull, "--vfs-cache-mode", "off",
               "--dir-cache-time", "0", str(folder.parent)]  # fmt: skip
    with ended(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "who")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "what")
        wait_for(port)
        yield folder


def wait_for(port: int) -> None:
    import socket

    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def test_an_object_store_has_files_folders_and_patterns(store: Path, wanted: dict[str, bytes]) -> None:
    rows = sample()
    rows.to_parquet(store / "all.parquet", index=False)
    (store / "drops").mkdir()
    for name, part in (("a.csv", rows[:9000]), ("b.csv.gz", rows[9000:])):
        content = csv(part)
        (store / "drops" / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert raw("s3://sales/all.parquet") == wanted
    assert raw("s3://sales/drops/") == wanted
    assert raw("s3://sales/drops/*.csv*") == wanted


def test_a_store_that_does_not_give_is_refused(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (store / "all.csv").write_text(TEXT)
    assert refused("s3://sales/other.csv").startswith("s3://sales/other.csv does not exist; check the address")
    assert refused("s3://sales/nothing/").startswith("s3://sales/nothing/ has no file; wanted at least one table.")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-wrong-secret")
    said = refused("s3://sales/all.csv")
    assert "s3://sales/all.csv cannot be read (PermissionError: " in said
    assert "a-wrong-secret" not in said
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    assert "cannot be read" in refused("s3://sales/all.csv")


@pytest.mark.parametrize(("address", "package"), [("gs://sales/a.csv", "gcsfs"), ("az://sales/a.csv", "adlfs")])
def test_a_store_whose_package_is_not_here_is_named(address: str, package: str) -> None:
    assert f"needs the package {package}; `pip install {package}`" in refused(address)


def test_a_web_server_gives_files(wanted: dict[str, bytes], here: Path) -> None:
    sample().to_parquet(here / "all.parquet", index=False)
    (here / "all.csv.zip").write_bytes(zipped("all.csv", csv(sample())))
    with web(partial(Quiet, directory=str(here))) as address:
        assert raw(f"{address}/all.parquet") == wanted
        assert raw(f"{address}/all.csv.zip") == wanted
        assert refused(f"{address}/other.csv").startswith(f"{address}/other.csv does not exist; check the address")


class Guarded(Quiet):
    """Ask for a bearer token; answer 401 else."""

    def do_GET(self) -> None:  # noqa: N802
        self.allowed() and super().do_GET()  # type: ignore[func-returns-value]

    def do_HEAD(self) -> None:  # noqa: N802
        self.allowed() and super().do_HEAD()  # type: ignore[func-returns-value]

    def allowed(self) -> bool:
        if self.headers["Authorization"] != "Bearer a-token-of-ours":
            self.send_error(401)
            return False
        return True


def test_a_web_servers_token_comes_from_the_environment(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "deeds.csv").write_text(TEXT)
    with web(partial(Guarded, directory=str(here))) as address:
        assert "401" in refused(f"{address}/deeds.csv")
        monkeypatch.setenv("HEARTH_SOURCE_TOKEN", "a-token-of-ours")
        assert len(read(f"{address}/deeds.csv")) == 2
        monkeypatch.setenv("HEARTH_SOURCE_TOKEN", "a-token-of-others")
        assert "a-token-of-others" not in refused(f"{address}/deeds.csv")


class Broken(Quiet):
    """Announce more than is sent."""

    def do_GET(self) -> None:  # noqa: N802
        self.send_response(200)
        self.send_header("Content-Length", str(len(TEXT) + 500))
        self.end_headers()
        self.wfile.write(TEXT.encode())


def test_a_file_that_breaks_off_on_the_way_is_refused() -> None:
    with web(Broken) as address:
        assert refused(f"{address}/deeds.csv").startswith(f"{address}/deeds.csv cannot be read (ClientPayloadError: ")


def test_a_file_elsewhere_on_this_machine_is_an_address(here: Path) -> None:
    (here / "deeds.csv").write_text(TEXT)
    assert len(read(f"file://{here}/deeds.csv")) == 2


# -- what is wrong with real deliveries -------------------------------------------------------------------------------


def reasons(source: str, **options: Any) -> list[str | None]:
    return [row["reasons"] for row in read(source, **options)]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("2014-05-03", "03/05/2014", "sold: 03/05/2014, wanted a date as YYYY-MM-DD"),
        ("200,,brio", '"1,200",,brio', "dollars: 1,200, wanted a whole number of at least 1 (US dollar)"),
        ("200,,brio", "two hundred,,brio", "dollars: two hundred, wanted a whole number of at least 1 (US dollar)"),
        ("200,,brio", "200,brio", "the row has 6 cells, wanted 7 as in the header"),
        ("200,,brio", "200,,brio,x", "the row has 8 cells, wanted 7 as in the header"),
    ],
    ids=["a malformed date", "a thousand separator", "mixed types", "a cell too few", "a cell too many"],
)
def test_a_bad_row_is_refused_with_a_reason_and_costs_no_other(old: str, new: str, said: str) -> None:
    found = reasons(put("a.csv", TEXT.replace(old, new)))
    assert found == [None, said]


def test_a_row_in_another_encoding_is_refused_and_so_is_a_file_in_another_than_said() -> None:
    latin = TEXT.replace("brio", "brió").encode("latin-1")
    assert reasons(put("a.csv", latin)) == [None, "the row is not UTF-8"]
    assert [row["town"] for row in read("data/source/a.csv", encoding="latin-1")] == ["alba", "brió"]
    assert refused("data/source/a.csv", encoding="utf-16").startswith("data/source/a.csv is not utf-16")
    assert refused(put("b.csv", TEXT.encode("utf-16"))).startswith("data/source/b.csv is not UTF-8; save it as UTF-8.")


WHOLE_GZIP = gzip.compress(TEXT.encode() * 200, mtime=0)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", TEXT.replace("town", "agent"), "data/source/a.csv lacks the column town of the contract; it has parcel"),
        ("a.csv", TEXT.replace("town\n", "town,agent\n"), "data/source/a.csv has the column agent that data/contract.yaml does not know"),
        ("a.csv", TEXT.replace("area", "dollars"), "data/source/a.csv has the column dollars more than once; keep one."),
        ("a.csv", "", "data/source/a.csv is empty; wanted a header and rows."),
        ("a.csv", TEXT + '3,"2014', "data/source/a.csv: line 4 is no line of a CSV (unexpected end of data); mend its quotes."),
        ("a.csv", TEXT.replace(",", ";"), "data/source/a.csv has the header 'parcel;sold;known;void;dollars;area;town', wanted commas"),
        ("a.csv", "<!DOCTYPE html><html>503</html>", "data/source/a.csv lacks the column parcel"),
        ("a.csv.gz", WHOLE_GZIP[:-20], "data/source/a.csv.gz is not a whole gzip file"),
        ("a.csv.gz", b"<html>not found</html>", "data/source/a.csv.gz is not a whole gzip file"),
        ("a.zip", zipped("a.csv", TEXT.encode() * 200)[:-30], "data/source/a.zip is not a whole zip file"),
        ("a.zip", zipped("a/", b""), "data/source/a.zip is empty; wanted at least one table in it."),
        ("a.zip", zipped("readme", b"x"), "readme does not say its format; wanted one of the endings .parquet, .csv"),
        ("a.parquet", TEXT, "data/source/a.parquet is not a whole parquet file"),
        ("a.xlsx", TEXT, "data/source/a.xlsx is not a whole Excel file"),
        ("a.html", "<html><p>Service unavailable</p></html>", "data/source/a.html has no table with the contract's columns, it has no such table at all"),
        ("a.html", "<table><tr><td>x</td></tr></table>", "data/source/a.html has no table with the contract's columns, it has tables with x"),
        ("a.dat", TEXT, "a.dat does not say its format; wanted one of the endings"),
    ],
)  # fmt: skip
def test_what_is_no_whole_table_of_the_contract_is_refused(name: str, content: str | bytes, said: str) -> None:
    assert refused(put(name, content)).startswith(said)


def test_lines_of_json_that_are_none_are_rows_with_a_reason() -> None:
    good = '{"parcel": 1, "sold": "2014-05-01", "known": "2014-05-02", "void": false, "dollars": 100, "town": "alba"}\n'
    lines = [
        good,
        "[1]\n",
        "nothing\n",
        good.replace("100", "null"),
        good.replace('"void"', '"parcel"'),
        good.replace("100", "[1]"),
    ]
    assert reasons(put("a.jsonl", "".join(lines))) == [
        None,
        "the line is no object with the fields of a house",
        "the line is not good JSON (Expecting value: line 1 column 1 (char 0))",
        None,
        "the line is not good JSON (the key 'parcel' stands twice)",
        "dollars: [1], wanted a whole number of at least 1 (US dollar)",
    ]
    assert "has the column agent that" in refused(put("b.jsonl", good.replace('"town"', '"agent"')))


def test_a_sheet_that_is_not_there_or_has_cells_beside_is_refused() -> None:
    rows = pd.DataFrame([{name: deed()[name] for name in DOCUMENT["columns"]}])
    put("a.xlsx", excel(rows))
    assert refused("data/source/a.xlsx", sheet="survey").startswith(
        "data/source/a.xlsx has no sheet 'survey', it has Sheet1; set collect.options.sheet"
    )
    assert refused("data/source/a.xlsx", header_row=7).startswith(
        "data/source/a.xlsx is empty; wanted column names in row 7"
    )
    packed = io.BytesIO()
    with pd.ExcelWriter(packed, engine="xlsxwriter") as writer:
        rows.to_excel(writer, index=False)
        writer.sheets["Sheet1"].write(1, 12, "see overleaf")
    put("b.xlsx", packed.getvalue())
    assert reasons("data/source/b.xlsx") == ["the row has cells beside the named columns"]
    numbered = put("c.xlsx", excel(rows.assign(dollars="#N/A", sold="soon")))
    assert [reason.split(",")[0] for reason in (reasons(numbered)[0] or "").split("; ")] == [
        "sold: soon",
        "dollars: #N/A",
    ]


def test_a_table_that_changes_while_it_is_read_is_refused() -> None:
    path = Path(put("a.csv", TEXT))
    batches = opened(str(path), {}, DEEDS).batches(None, NEVER)
    next(batches)
    path.write_text(TEXT + TEXT.splitlines()[1] + "\n")
    with pytest.raises(Refusal, match=r"data/source/a\.csv changed while it was read"):
        list(batches)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "sales.csv",
            "params.yaml: collect.source is 'sales.csv', wanted a table, a folder or a pattern in data/source/",
        ),
        ("data/source/../../x.csv", "params.yaml: collect.source is 'data/source/../../x.csv', wanted"),
        ("data/source/no.csv", "data/source/no.csv does not exist; `dvc pull data/source/no.csv.dvc` brings it"),
        (
            "data/source/*.csv",
            "data/source/*.csv: no file of that pattern is in data/source; wanted at least one table.",
        ),
        ("data/source", "data/source: the folder has no file; wanted at least one table."),
        (
            "ftp://x/a.csv",
            "params.yaml: collect.source begins with ftp://, which is not known; known are file, s3, gs, az",
        ),
        (
            "https://me:secret@x/a.csv",
            "params.yaml: collect.source has a user or a password in it, which git and dvc.lock would keep",
        ),
        (
            "https://x/a.csv?api_key=secret",
            "params.yaml: collect.source has api_key= in it, which git and dvc.lock would keep",
        ),
        ("https://x/a.csv?X-Amz-Signature=secret", "params.yaml: collect.source has X-Amz-Signature= in it"),
        ("postgresql://bob:secret/x@host/db", "params.yaml: collect.source has a user or a password in it"),
        ("postgresql://bob:secret?x@host/db", "params.yaml: collect.source has a user or a password in it"),
        ("https://x/a.csv?a=1;token=secret", "params.yaml: collect.source has token= in it"),
        ("https://x/a.csv?pass=secret", "params.yaml: collect.source has pass= in it"),
        ("https://x/a.csv#token=secret", "params.yaml: collect.source has a part behind #"),
        ("https://x:port/a.csv", "params.yaml: collect.source is no address"),
    ],
)
def test_an_address_that_is_none_or_has_a_secret_is_refused(source: str, said: str) -> None:
    found = refused(source)
    assert found.startswith(said)
    assert "secret" not in found.replace("a secret", "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"delimeter": ";"}, "params.yaml: collect.options.delimeter is not a known key; did you mean 'delimiter'?"),
        (
            {"encoding": "utf-9"},
            "params.yaml: collect.options.encoding is 'utf-9', wanted an encoding that Python knows",
        ),
        (
            {"days": "%d %d"},
            "params.yaml: collect.options.days is '%d %d', wanted a pattern of a day as for Python's strptime",
        ),
        ({"days": "dd.mm.yyyy"}, "params.yaml: collect.options.days is 'dd.mm.yyyy', wanted a pattern"),
        ({"format": "xml"}, "params.yaml: collect.options.format is 'xml', wanted 'parquet', 'csv'"),
    ],
)
def test_options_that_a_table_does_not_have_are_refused(options: dict[str, Any], said: str) -> None:
    assert refused("data/source/a.csv", **options).startswith(said)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", TEXT.replace("alba", '"alba') + TEXT.split("\n", 1)[1].replace("brio", '"'), "the row that ends at line 5 has whole rows in one cell; mend its quotes."),
        ("a.csv", TEXT.replace("town", "reasons"), "data/source/a.csv has a column reasons, which data/contract.yaml cannot have"),
        ("a.jsonl", '{"parcel": 1, "reasons": "x"}\n', "data/source/a.jsonl has a column reasons, which data/contract.yaml cannot have"),
        ("a.parquet.gz", gzip.compress(b"x" * 9999, mtime=0)[:30], "data/source/a.parquet.gz is not a whole"),
    ],
)  # fmt: skip
def test_what_would_be_lost_in_silence_is_refused(name: str, content: str | bytes, said: str) -> None:
    assert said in refused(put(name, content))


def test_links_to_nothing_and_to_folders_are_refused(here: Path) -> None:
    put("drops/a.csv", TEXT)
    link = SOURCES / "drops/b.csv"
    link.symlink_to(here / "gone.csv")
    for source in ("data/source/drops", "data/source/drops/*.csv"):
        assert refused(source) == "data/source/drops/b.csv is a link to nothing; put the table itself there."
    link.unlink()
    (here / "more").mkdir()
    link.symlink_to(here / "more")
    assert refused("data/source/drops") == "data/source/drops/b.csv is a link to a folder; put the table itself there."
    link.unlink()
    (here / "kept").write_text(TEXT)
    link.symlink_to(here / "kept")  # as DVC does it with `cache.type symlink`
    assert len(read("data/source/drops")) == 4


def test_a_pattern_goes_through_the_folders_of_a_store(here: Path) -> None:
    (here / "drops/2014").mkdir(parents=True)
    for name in ("a.csv", "2014/b.csv", ".c.csv"):
        (here / "drops" / name).write_text(TEXT)
    assert len(read(f"file://{here}/drops/**/*.csv")) == 4
    assert (
        refused(f"file://{here}/drops")
        == f"file://{here}/drops is a folder; end the address with / if all tables in it are meant."
    )


def test_parts_of_a_cell_of_a_page_stay_apart_and_a_large_page_is_read_whole() -> None:
    rows = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in (
        list(DOCUMENT["columns"]), [1, "2014-05-01", "2014-05-02", "no", "250000<sup>1</sup>", "1<script>9</script>", "alba"],
        [2, "2014-05-01", "2014-05-02", "no", "100<br>200", "x" * 11_000_000, "brio"], [3, "2014-05-01", "2014-05-02", "no", 300, 3, "brio"],
    ))  # fmt: skip
    found = read(put("a.html", f"<table>{rows}</table>"))
    assert [row["dollars"] for row in found] == [None, None, 300]
    assert [row["area"] for row in found] == [1.0, None, 3.0]
    assert found[0]["reasons"] == "dollars: 250000 1, wanted a whole number of at least 1 (US dollar)"


def test_a_sheet_with_an_error_in_a_cell_is_refused() -> None:
    import xlsxwriter

    packed = io.BytesIO()
    with xlsxwriter.Workbook(packed, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        for place, name in enumerate(DOCUMENT["columns"]):
            sheet.write_string(0, place, name)
            sheet.write_formula(1, place, "=1/0", value="#DIV/0!")
    put("a.xlsx", packed.getvalue())
    assert refused("data/source/a.xlsx").startswith("data/source/a.xlsx has a cell with an error such as #N/A")


def test_more_months_than_files_may_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hearth.partitions.OPEN", 3)
    days = pd.date_range("2001-01-01", periods=400, freq="5D").strftime("%Y-%m-%d")
    lines = [f"{number},{day},{day},false,{number + 1},1,alba" for number, day in enumerate(days, 1)]
    names = TEXT.split("\n")[0]
    put("a.csv", "\n".join([names, *lines[::2], *lines[1::2]]) + "\n")
    assert len(raw("data/source/a.csv", DEEDS)) == 66
    assert pq.read_table("raw")["dollars"].to_pylist() == list(range(2, 402))


def test_days_that_none_of_many_rows_has_are_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hearth.partitions.CHUNK_ROWS", 1)
    put("a.csv", TEXT.replace("2014-05-0", "1.5.201"))
    with pytest.raises(Refusal, match="more than 1 rows have no sold that can be read"):
        raw("data/source/a.csv", DEEDS)


def test_a_gzip_in_a_zip_is_read() -> None:
    assert len(read(put("a.zip", zipped("a.csv.gz", gzip.compress(TEXT.encode()))))) == 2


# -- fuzz: accepted + quarantined = read ------------------------------------------------------------------------------

CELLS = st.one_of(st.sampled_from(["1", "2014-05-01", "false", "1.5", "", "1,5", "x"]), st.text(max_size=6))
ROWS = st.lists(st.lists(CELLS, min_size=5, max_size=8), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS, st.sampled_from(["csv", "jsonl", "html", "xlsx"]))
def test_every_row_is_read_or_has_a_reason(here: Path, rows: list[list[str]], kind: str) -> None:
    from hearth.parquet import to_frame
    from hearth.tables import raw_schema
    from hearth.tables import reasons as judged

    names = list(DOCUMENT["columns"])
    rows = [row for row in rows if any(cell.strip() for cell in row)] or [["1"] * 7]
    found = read(put(f"f.{kind}", WRITERS[kind](names, rows)))
    assert len(found) == len(rows)
    frame = to_frame(table(found))
    why = judged(frame, DEEDS)
    assert frame.columns.tolist() == raw_schema(DEEDS).names
    for row, given_cells, reason in zip(found, rows, why, strict=True):
        if not reason:  # accepted: every cell that was given is there
            assert len(given_cells) == len(names)
            assert all(row[name] is not None for name, cell in zip(names, given_cells, strict=True) if cell.strip())


def written_csv(names: list[str], rows: list[list[str]]) -> bytes:
    import csv as module

    text = io.StringIO(newline="")
    module.writer(text, lineterminator="\n", quoting=module.QUOTE_ALL).writerows([names, *rows])
    return text.getvalue().encode(errors="replace")


def written_html(names: list[str], rows: list[list[str]]) -> bytes:
    from html import escape

    def line(cells: list[str]) -> str:
        return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"

    clean = [["".join(c for c in cell if c.isprintable()) for cell in row] for row in rows]
    return ("<meta charset=utf-8><table>" + "".join(map(line, [names, *clean])) + "</table>").encode(errors="replace")


def written_jsonl(names: list[str], rows: list[list[str]]) -> bytes:
    import json

    return "".join(json.dumps(dict(zip(names, row, strict=False))) + "\n" for row in rows).encode()


def written_excel(names: list[str], rows: list[list[str]]) -> bytes:
    import xlsxwriter

    packed = io.BytesIO()
    with xlsxwriter.Workbook(packed, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate([names, *rows]):
            for place, cell in enumerate(row):
                sheet.write_string(number, place, "".join(c for c in cell if c.isprintable()))
    return packed.getvalue()


WRITERS = {"csv": written_csv, "html": written_html, "jsonl": written_jsonl, "xlsx": written_excel}
