"""The page's files are answered from memory, with headers that let nothing else in."""

import asyncio
from typing import Any

import pytest

from hearth.static import HEADERS, Static

FILES = {
    "index.html": b"<p>hello",
    "card.html": b"<p>a card",
    "page.css": b"p{}",
    "page.js": b"1",
    "page.svg": b"<svg/>",
}


def answer(path: str, method: str = "GET", **headers: str) -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(Static(FILES)({"path": path, "method": method, "headers": given}, send))
    head, body = sent
    assert len(head["headers"]) == len(dict(head["headers"]))
    return head["status"], dict(head["headers"]), body["body"]


@pytest.mark.parametrize(
    ("path", "name", "kind"),
    [
        ("/", "index.html", b"text/html; charset=utf-8"),
        ("/card", "card.html", b"text/html; charset=utf-8"),
        ("/page.css", "page.css", b"text/css; charset=utf-8"),
        ("/page.js", "page.js", b"text/javascript; charset=utf-8"),
        ("/page.svg", "page.svg", b"image/svg+xml"),
    ],
)
def test_each_file_stands_at_its_path_and_the_index_at_the_root(path: str, name: str, kind: bytes) -> None:
    status, head, body = answer(path)
    assert (status, body) == (200, FILES[name])
    assert (head[b"content-type"], head[b"content-length"]) == (kind, str(len(body)).encode())
    assert head.items() >= dict(HEADERS).items()


def test_nothing_inline_or_foreign_may_run() -> None:
    policy = answer("/")[1][b"content-security-policy"].decode()
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "//" not in policy
    assert "frame-ancestors 'none'" in policy


def test_other_paths_are_not_in_it() -> None:
    assert "/" in Static(FILES)
    assert not [
        path for path in ("/index.html", "/card.html", "/../page.css", "/page", "", "//") if path in Static(FILES)
    ]


def test_head_has_the_head_and_no_body() -> None:
    status, head, body = answer("/page.css", "HEAD")
    assert (status, head, body) == (200, answer("/page.css")[1], b"")


def test_who_has_the_file_is_told_so_in_few_bytes() -> None:
    tag = answer("/")[1][b"etag"].decode()
    status, head, body = answer("/", if_none_match=f'"other", W/{tag}')
    assert (status, body, head[b"etag"]) == (304, b"", tag.encode())
    assert b"content-length" not in head
    assert answer("/", if_none_match='"other"')[0] == 200
    assert answer("/page.js")[1][b"etag"] != tag.encode()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_refused(method: str) -> None:
    status, head, body = answer("/", method)
    assert (status, head[b"allow"], body) == (405, b"GET, HEAD", b'{"error":"the page answers GET only"}')


def test_a_file_of_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(KeyError, match="exe"):
        Static({"page.exe": b""})
