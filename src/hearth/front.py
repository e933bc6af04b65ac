"""Stand in front of BentoML's application: decide method, type and size before anything is parsed.

BentoML parses unknown content types as JSON, has no limit on a body and answers a bad row with 400; no setting changes
that (docs/decisions.md). The front answers the routes for programs itself and passes the rest of BentoML on.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from hearth.answering import Answers, BadRequestError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PASSED = frozenset({"/", "/docs.json", "/livez", "/healthz", "/readyz", "/metrics"})
PASSED_BELOW = "/static_content/"
log = logging.getLogger("bentoml.hearth")


class Front:
    """Be an ASGI application around BentoML's."""

    def __init__(self, app: App, answers: Callable[[], Answers]) -> None:
        """Wrap `app`; `answers` returns the model's answers once the service has started."""
        self.app, self.answers = app, answers
        self._routes: dict[str, tuple[str, Callable[[Receive, Scope], Awaitable[Any]]]] = {
            "/predict": ("POST", self._predict),
            "/predict_batch": ("POST", self._predict_batch),
            "/model": ("GET", self._model),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        path = scope["path"]
        if path in PASSED or path.startswith(PASSED_BELOW):
            return await self.app(scope, receive, send)
        try:
            if path not in self._routes:
                raise BadRequestError(404, f"no such route; there are {', '.join(sorted(self._routes))}")
            method, answer = self._routes[path]
            if scope["method"] != method:
                raise BadRequestError(405, f"{path} answers {method} only")
            await _send(send, 200, await answer(receive, scope))
        except BadRequestError as bad:
            allow = [(b"allow", self._routes[path][0].encode())] if bad.status == 405 else []
            await _send(send, bad.status, bad.body, allow)
        except _GoneError:
            return None
        except Exception:
            log.exception("a request to %s failed", path)
            await _send(send, 500, {"error": "the service failed; its log says why"})

    async def _predict(self, receive: Receive, scope: Scope) -> Any:
        return self.answers().predict(await self._body(receive, scope))

    async def _predict_batch(self, receive: Receive, scope: Scope) -> Any:
        body = await self._body(receive, scope)
        return await asyncio.to_thread(self.answers().predict_batch, body)

    async def _model(self, receive: Receive, scope: Scope) -> Any:
        return self.answers().model()

    async def _body(self, receive: Receive, scope: Scope) -> bytes:
        limit = self.answers().params.body_bytes_max
        headers = {name.lower(): value for name, value in scope["headers"]}
        kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        if kind != b"application/json":
            raise BadRequestError(415, "send the content type application/json")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > limit:
            raise BadRequestError(413, f"the body is larger than {limit} bytes")
        chunks, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _GoneError
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise BadRequestError(413, f"the body is larger than {limit} bytes")
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)


class _GoneError(Exception):
    """Say that the client hung up; nobody is there to answer."""


async def _send(send: Send, status: int, body: Any, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    try:
        content = orjson.dumps(body)
    except TypeError:  # a whole number beyond 64 bits, echoed in an error
        content = json.dumps(body).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode()), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": content})
