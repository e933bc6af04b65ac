"""Read a web interface page by page, with each way of paging and each fault of a real day."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from conftest import sample
from deeds import DOCUMENT, deed, deeds_contract
from webs import Quiet, web

from hearth.errors import Refusal
from hearth.sources import opened
from hearth.sources import web as interface

DEEDS = deeds_contract()
NEVER = date(2049, 1, 1)
ROWS = [
    {name: str(value) if isinstance(value, date) else value for name, value in deed(number, known=number).items() if name in DOCUMENT["columns"]}
    for number in range(1, 8)
]  # fmt: skip


@dataclass
class Served:
    """Hold what an interface has, what it does wrong, and what it was asked."""

    rows: list[dict[str, Any]]
    size: int = 3
    faults: list[tuple[int, str]] = field(default_factory=list)  # answered first: status, and Retry-After
    asked: list[dict[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    base: str = ""

    def answer(self, path: str, query: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        """Return a page."""
        rows = [row for row in self.rows if query.get("from", "") <= str(row.get("known"))]
        size = int(query.get("limit", self.size))
        start = int(query["offset"]) if "offset" in query else (int(query.get("page", 1)) - 1) * size
        more = start + size < len(rows)
        following = f"{path}?page={start // size + 2}" if more else None
        shown = rows[start : start + size]
        if path == "/list":
            return json.dumps(shown).encode(), {"Link": f'<{following}>; rel="next"'} if following else {}
        return json.dumps({"data": {"items": shown}, "links": {"next": following}}).encode(), {}


@contextmanager
def serving(served: Served) -> Iterator[str]:
    class Handler(Quiet):
        def do_GET(self) -> None:  # noqa: N802
            parts = urlsplit(self.path)
            served.asked.append({name: values[0] for name, values in parse_qs(parts.query).items()})
            served.paths.append(self.path)
            served.headers.append(dict(self.headers))
            if served.faults:
                status, wait = served.faults.pop(0)
                self.send_response(status)
                if wait:
                    self.send_header("Retry-After", wait)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content, headers = served.answer(parts.path, served.asked[-1])
            self.send_response(200)
            for name, value in (headers | {"Content-Length": str(len(content))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    with web(Handler) as address:
        served.base = address
        yield address


def read(address: str, day: date | None = None, **options: Any) -> list[int]:
    batches = opened(address, {"format": "json"} | options, DEEDS).batches(day, NEVER)
    return [parcel for batch in batches for parcel in batch.shaped(DEEDS)["parcel"].to_pylist()]


def refused(address: str, **options: Any) -> str:
    with pytest.raises(Refusal) as caught:
        read(address, **options)
    return str(caught.value)


ITEMS = {"rows": "data.items"}
ALL = list(range(1, 8))


@pytest.mark.parametrize(
    ("path", "options", "requests"),
    [
        ("/deeds", ITEMS | {"next": "links.next"}, 4),
        ("/list", {"link": True}, 4),
        ("/deeds", ITEMS | {"page": "page"}, 5),
        ("/deeds", ITEMS | {"page": "page", "size": {"limit": 3}}, 5),
        ("/deeds", ITEMS | {"offset": "offset", "size": {"limit": 2}}, 6),
        ("/list", {"size": {"limit": 100}}, 1),
    ],
    ids=["next", "a header", "until an empty page", "pages of a size", "offset", "one page"],
)
def test_all_pages_are_read_once_and_the_first_again(path: str, options: dict[str, Any], requests: int) -> None:
    with serving(Served(ROWS)) as address:
        assert read(address + path, **options) == ALL
    served = Served(ROWS)
    with serving(served) as address:
        read(address + path, **options)
    assert len(served.asked) == requests


def test_the_samples_sales_are_the_same_table(tmp_path: Any) -> None:
    from test_sources_files import REAL, raw

    rows = json.loads(sample().astype({"date": str}).to_json(orient="records"))
    sample().to_parquet(tmp_path / "all.parquet", index=False)
    with pytest.MonkeyPatch.context() as patch, serving(Served(rows, size=5000)) as address:
        patch.chdir(tmp_path)
        wanted = raw(f"file://{tmp_path}/all.parquet")
        assert raw(f"{address}/deeds", REAL, format="json", rows="data.items", next="links.next") == wanted


def test_only_what_is_new_is_asked_for_where_the_interface_can() -> None:
    served = Served(ROWS)
    with serving(served) as address:
        assert read(f"{address}/list", date(2014, 5, 6), since="from", size={"limit": 100}) == [5, 6, 7]
        assert opened(f"{address}/list", {"format": "json", "since": "from"}, DEEDS).since
        assert not opened(f"{address}/list", {"format": "json"}, DEEDS).since
    assert served.asked[0] == {"from": "2014-05-06", "limit": "100"}


def test_what_fails_for_a_while_is_asked_again_and_retry_after_is_obeyed() -> None:
    served = Served(ROWS, faults=[(503, ""), (429, "1"), (500, "")])
    with serving(served) as address:
        begun = time.monotonic()
        assert read(f"{address}/deeds", **ITEMS, next="links.next") == ALL
        assert time.monotonic() - begun > 1
    assert len(served.asked) == 7


def test_what_fails_for_good_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interface, "TRIES", 1)
    served = Served(ROWS, faults=[(503, "")] * 9)
    with serving(served) as address:
        assert refused(f"{address}/list").startswith(
            f"{address}/list answered 503 Service Unavailable (), wanted 200; check the address"
        )
    assert len(served.asked) == 2
    assert refused(f"{address}/list").startswith(
        f"{address}/list cannot be read, also after 1 more tries (ConnectionError); check that it is up"
    )


def test_a_no_is_not_asked_again_and_the_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_SOURCE_TOKEN", "a-token-of-ours")
    served = Served(ROWS, faults=[(401, "")])
    with serving(served) as address:
        said = refused(f"{address}/list")
        assert read(f"{address}/list", link=True) == ALL
    assert said.startswith(
        f"{address}/list answered 401 Unauthorized (), wanted 200; check the address, and the credentials in the environment"
    )
    assert "a-token-of-ours" not in said
    assert {headers["Authorization"] for headers in served.headers} == {"Bearer a-token-of-ours"}


def test_a_user_and_a_password_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_SOURCE_USER", "who")
    monkeypatch.setenv("HEARTH_SOURCE_PASSWORD", "what")
    served = Served(ROWS)
    with serving(served) as address:
        read(f"{address}/list")
    assert served.headers[0]["Authorization"] == "Basic d2hvOndoYXQ="


def test_a_page_that_is_capped_below_the_size_that_is_asked_for_is_not_the_last() -> None:
    class Capped(Served):
        def answer(self, path: str, query: dict[str, str]) -> tuple[bytes, dict[str, str]]:
            return super().answer(path, query | {"limit": "2"})

    with serving(Capped(ROWS)) as address:
        assert read(f"{address}/list", page="page", size={"limit": 1000}) == ALL


def test_the_parameters_of_the_address_stay_also_those_that_stand_twice() -> None:
    served = Served(ROWS)
    with serving(served) as address:
        read(f"{address}/list?status=a&status=b", page="page", size={"limit": 3})
    assert all(path.startswith("/list?status=a&status=b&") for path in served.paths)


class Looping(Served):
    """Give the same page for each number, as an interface does that does not know the parameter."""

    def answer(self, path: str, query: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        assert query is not None
        return super().answer(path, {})


def test_a_page_that_repeats_for_ever_is_refused() -> None:
    with serving(Looping(ROWS)) as address:
        said = refused(f"{address}/list", page="p")
    assert said.startswith(f"{address}/list gives the very page that {address}/list gave, so the pages would never end")


def test_a_next_page_that_is_the_same_page_is_refused() -> None:
    served = Fixed([])
    served.content = b'{"rows": [], "next": "/list?c=1"}'
    with serving(served) as address:
        assert f"{address}/list is named as the next page a second time" in refused(
            f"{address}/list", rows="rows", next="next"
        )


def test_what_stands_beside_the_rows_may_change() -> None:
    class Timed(Served):
        def answer(self, path: str, query: dict[str, str]) -> tuple[bytes, dict[str, str]]:
            content, headers = super().answer(path, query)
            return json.dumps(json.loads(content) | {"took": len(self.asked)}).encode(), headers

    with serving(Timed(ROWS)) as address:
        assert read(f"{address}/deeds", **ITEMS, next="links.next") == ALL


class Growing(Served):
    """Get a new sale at the front after the first page was read, so that a row of it comes again on the second."""

    def answer(self, path: str, query: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        found = super().answer(path, query)
        if len(self.asked) == 1:
            self.rows = [ROWS[-1] | {"parcel": 99}, *self.rows]
        return found


def test_an_interface_that_changes_while_it_is_read_is_refused() -> None:
    with serving(Growing(ROWS)) as address:
        assert refused(f"{address}/deeds", **ITEMS, next="links.next").startswith(
            f"{address}/deeds changed while the pages after it were read"
        )


class Fixed(Served):
    """Give one content."""

    content: bytes = b""

    def answer(self, path: str, query: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        return (self.content, {}) if path and query is not None else (b"", {})


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (b"<!DOCTYPE html><h1>Sign in</h1>", {}, "is not good JSON (Expecting value: line 1 column 1 (char 0)); it begins with '<!DOCTYPE html>"),
        (b"", {}, "is not good JSON"),
        (b"\xff\xfe", {}, "is not good JSON"),
        (b'{"data": [1, 2', ITEMS, "is not good JSON"),
        (b'{"data": {"rows": []}}', ITEMS, "has no list at data.items, but 'None'; set collect.options.rows"),
        (b'{"error": "quota"}', {}, "has no list at its top, but \"{'error': 'quota'}\""),
        (b'{"data": {"items": [{"agent": 1}]}}', ITEMS, "has the column agent that data/contract.yaml does not know"),
        (b'{"data": {"items": [{}]}, "links": {"next": "http://example.invalid/x"}}', ITEMS | {"next": "links.next"},
         "says that the next page is on example.invalid; wanted one of 127.0.0.1"),
    ],
)  # fmt: skip
def test_what_is_no_page_of_rows_is_refused(content: bytes, options: dict[str, Any], said: str) -> None:
    served = Fixed([])
    served.content = content
    with serving(served) as address:
        assert refused(f"{address}/deeds", **options).startswith(f"{address}/deeds {said}")


def test_an_entry_that_is_no_object_is_a_row_with_a_reason() -> None:
    served = Fixed([])
    served.content = json.dumps([ROWS[0], 3, ROWS[1] | {"dollars": "1,200"}, {"parcel": 4}]).encode()
    with serving(served) as address:
        (found,) = (batch.shaped(DEEDS) for batch in opened(address, {"format": "json"}, DEEDS).batches(None, NEVER))
    assert found["reasons"].to_pylist() == [None, "the entry is no object with named values",
                                            "dollars: 1,200, wanted a whole number of at least 1 (US dollar)", None]  # fmt: skip


def test_a_page_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interface, "PAGE_BYTES", 100)
    with serving(Served(ROWS)) as address:
        assert "/list is larger than 0 MiB; ask for smaller pages" in refused(f"{address}/list")


def test_more_than_one_way_of_paging_is_refused() -> None:
    assert "wanted at most one of next, link, page and offset" in refused(
        "http://127.0.0.1:9/x", link=True, page="page"
    )
