"""Answer for the files of the page: held in memory, named by path, with headers that let nothing else in."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

INDEX = "index.html"  # it stands at /, and other.html at /other
KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
# Scripts, styles, pictures and requests from the service itself and nowhere else, nothing inline, in nobody's frame.
POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),  # kept, and asked after each time; another release is another page
)


class Static:
    """Be an ASGI application for a few files."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """Take files by name; a name without a known ending is an error of who made the bento."""
        self._files = {f"/{'' if name == INDEX else name.removesuffix('.html')}": (KINDS[name.rsplit(".", 1)[-1]], content, _tag(content))
                       for name, content in files.items()}  # fmt: skip

    def __contains__(self, path: str) -> bool:
        """Return whether there is a file at that path."""
        return path in self._files

    async def __call__(
        self, scope: MutableMapping[str, Any], send: Callable[[MutableMapping[str, Any]], Awaitable[None]]
    ) -> None:
        """Answer GET and HEAD with the file, or with 304 to who has it; any other method with 405."""
        kind, content, tag = self._files[scope["path"]]
        asked = [value for name, value in scope["headers"] if name.lower() == b"if-none-match"]
        head = [*HEADERS, (b"etag", tag)]
        if scope["method"] not in ("GET", "HEAD"):
            status, content = 405, b'{"error":"the page answers GET only"}'
            head = [(b"content-type", b"application/json"), (b"allow", b"GET, HEAD")]
        elif any(tag in value for value in asked):
            status, content = 304, b""
        else:
            status, head = 200, [*head, (b"content-type", kind.encode())]
        if status != 304:
            head.append((b"content-length", str(len(content)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})


def _tag(content: bytes) -> bytes:
    return f'"{hashlib.sha256(content).hexdigest()[:16]}"'.encode()
