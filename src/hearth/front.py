"""Stand in front of BentoML's application: decide path, method, caller, type and size before anything is parsed.

BentoML parses unknown content types as JSON, has no limit on a body and answers a bad row with 400; no setting changes
that (docs/decisions.md). The front answers the routes for programs itself and passes the rest of BentoML on.
"""

import asyncio
import hmac
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import orjson

from hearth.answering import Answers, BadRequestError
from hearth.counters import Counters
from hearth.journal import LOG_DIR, Journal
from hearth.prediction_log import PredictionLog
from hearth.static import Static

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

# Of BentoML's own routes these are passed on, under the paths that it knows; all else is unknown, and makes no metrics.
PASSED = {
    "/docs": "/",
    "/schema.json": "/schema.json",  # which BentoML's client asks for first
    "/livez": "/livez",
    "/healthz": "/healthz",
    "/metrics": "/metrics",
}
PASSED_BELOW = "/static_content/"
GONE = 499  # the status under which a client is counted that hung up before its answer
RETRY_AFTER_S = b"1"
UNKEPT = {"kept": False, "written": 0, "lost": 0, "waiting": 0, "error": f"{LOG_DIR} is not set"}
log = logging.getLogger("bentoml.hearth")

VIA = b"x-hearth-via"  # a header by which the page says that it asked, and not a program
VIAS = {b"page": "page"}

_POST, _GET = ("POST",), ("GET", "HEAD")
_JSON: Headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]  # fmt: skip
# Where the body was not read to its end, the rest of it must not be taken for the next request.
_CLOSE: Headers = [(b"connection", b"close")]
_EXTRA: dict[int, Headers] = {
    401: [(b"www-authenticate", b"Bearer"), *_CLOSE],
    408: _CLOSE,
    413: _CLOSE,
    415: _CLOSE,
    503: [(b"retry-after", RETRY_AFTER_S), *_CLOSE],
}


@dataclass(frozen=True)
class Desk:
    """Hold what the front needs: the model's answers, where outcomes and answers are kept, what counts, the token if one is asked for."""

    answers: Answers
    counters: Counters
    outcomes: Journal | None = None
    token: str | None = None
    document: Mapping[str, Any] | None = None  # of OpenAPI
    log: PredictionLog | None = None
    shadow: Mapping[str, Any] | None = None  # what is told of it, where one was asked for


@dataclass(frozen=True)
class _Route:
    methods: tuple[str, ...]
    answer: Callable[[bytes, str | None], Awaitable[Any]]  # the body, and the way that the request came
    open: bool = False  # to callers without a token


class Front:
    """Be an ASGI application around BentoML's."""

    def __init__(self, app: App, desk: Desk, page: Static | None = None) -> None:
        """Wrap `app`, in the process that answers; `page` is for people."""
        self.app, self.desk, self._page = app, desk, page or Static({})
        self._in_flight = self._waiting = 0
        # One thread: Python computes one thing at a time, and /predict has to come in between.
        self._bench = ThreadPoolExecutor(1, thread_name_prefix="hearth")
        self._turn = asyncio.Lock()
        self._routes: Mapping[str, _Route] = {
            "/predict": _Route(_POST, self._predict),
            "/predict_batch": _Route(_POST, self._predict_batch),
            "/explain": _Route(_POST, self._explain),
            "/feedback": _Route(_POST, self._feedback),
            "/model": _Route(_GET, self._model),
            "/docs.json": _Route(_GET, self._document, open=True),
            "/readyz": _Route(_GET, self._ready, open=True),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, self._ending(send) if scope["type"] == "lifespan" else send)
            return
        path = str(scope["path"])
        if path in self._page:  # open to callers without a token, for it asks for one
            await self._page(scope, send)
            return
        passed = path in PASSED or (path.startswith(PASSED_BELOW) and ".." not in path)
        if passed and scope["method"] in _GET:
            known = PASSED.get(path, path)
            await self.app({**scope, "path": known, "raw_path": known.encode()}, receive, send)
            return
        start, counters = perf_counter(), self.desk.counters
        self._in_flight += 1
        counters.in_flight.inc()
        try:
            status, body, extra = await self._handled(scope, receive)
        finally:
            self._in_flight -= 1
            counters.in_flight.dec()
        # Counted before it is sent: who has an answer finds it in the counts.
        counters.answered(path if path in self._routes else "other", status, perf_counter() - start)
        if status != GONE:
            await _send(send, status, body, extra)

    async def _handled(self, scope: Scope, receive: Receive) -> tuple[int, Any, Headers]:
        try:
            return 200, await self._answer(scope, receive), []
        except BadRequestError as bad:
            if bad.status == 405:
                methods = self._routes[scope["path"]].methods if scope["path"] in self._routes else _GET
                return 405, bad.body, [(b"allow", ", ".join(methods).encode())]
            return bad.status, bad.body, _EXTRA.get(bad.status, [])
        except _GoneError:
            return GONE, None, []
        except Exception:
            log.exception("a request to %s failed", scope["path"])
            return 500, {"error": "the service failed; its log says why"}, []

    async def _answer(self, scope: Scope, receive: Receive) -> Any:
        route = self._routes.get(scope["path"])
        if route is None and scope["path"] in PASSED:
            raise BadRequestError(405, f"{scope['path']} answers {_GET[0]} only")
        if route is None:
            raise BadRequestError(404, f"no such route; there are {', '.join(sorted(self._routes))}")
        if scope["method"] not in route.methods:
            raise BadRequestError(405, f"{scope['path']} answers {route.methods[0]} only")
        headers = dict(scope["headers"])
        if self.desk.token is not None and not route.open:
            _check_token(headers.get(b"authorization", b""), self.desk.token)
        if self._in_flight > self.desk.answers.params.in_flight_max:
            raise BadRequestError(503, "the service has more to do than it can; try again in a second")
        via = VIAS.get(headers.get(VIA, b""))
        return await route.answer(await self._body(receive, headers) if route.methods == _POST else b"", via)

    def _ending(self, send: Send) -> Send:
        """Return what tells the server of the application's end, and writes the rest of the log before."""

        async def told(message: Message) -> None:
            if self.desk.log is not None and message["type"].startswith("lifespan.shutdown."):
                await asyncio.to_thread(self.desk.log.close)
            await send(message)

        return told

    async def _predict(self, body: bytes, via: str | None) -> Any:
        answer = self.desk.answers.predict(body, via)
        self.desk.counters.priced([answer])
        return answer

    async def _predict_batch(self, body: bytes, via: str | None) -> Any:
        answer = await self._queued(self.desk.answers.predict_batch, body, via)
        self.desk.counters.priced(answer["predictions"])
        return answer

    async def _explain(self, body: bytes, via: str | None) -> Any:
        return await self._queued(self.desk.answers.explain, body, via)

    async def _feedback(self, body: bytes, via: str | None) -> Any:
        outcome, kept = self.desk.answers.feedback(body), self.desk.outcomes
        if kept is None:
            raise BadRequestError(
                503, "outcomes are not kept here; start the service with HEARTH_LOG_DIR set to a folder"
            )
        try:
            await asyncio.get_running_loop().run_in_executor(None, kept.append, outcome)
        except OSError:
            log.exception("an outcome could not be stored")
            raise BadRequestError(503, "the outcome could not be stored; send it again later") from None
        self.desk.counters.feedback.inc()
        return outcome | {"stored": True}

    async def _model(self, body: bytes, via: str | None) -> Any:
        return self.desk.answers.model()

    async def _document(self, body: bytes, via: str | None) -> Any:
        return self.desk.document

    async def _ready(self, body: bytes, via: str | None) -> Any:
        # A service whose files or golden answers are wrong ends on import, so one that answers at all is ready, and stays
        # so where its log cannot be kept: who asks for prices gets them.
        told = {"ready": True, "model_version": self.desk.answers.release.manifest.model_version}
        kept = UNKEPT if self.desk.log is None else self.desk.log.told()
        return told | {"log": kept} | ({} if self.desk.shadow is None else {"shadow": self.desk.shadow})

    async def _queued(self, answer: Callable[[bytes, str | None], Any], body: bytes, via: str | None) -> Any:
        """Return what takes milliseconds, one at a time beside the event loop; refuse what would wait too long."""
        params, gauge = self.desk.answers.params, self.desk.counters.waiting
        if self._turn.locked() and self._waiting >= params.queue_max:
            raise BadRequestError(503, "the queue of batches and explanations is full; try again in a second")
        self._waiting += 1
        gauge.inc()
        try:
            async with asyncio.timeout(params.queue_seconds_max):
                await self._turn.acquire()
        except TimeoutError:
            raise BadRequestError(503, "the turn did not come in time; try again in a second") from None
        finally:
            self._waiting -= 1
            gauge.dec()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._bench, answer, body, via)
        finally:
            self._turn.release()

    async def _body(self, receive: Receive, headers: Mapping[bytes, bytes]) -> bytes:
        limit = self.desk.answers.params.body_bytes_max
        if headers.get(b"content-type", b"").split(b";")[0].strip().lower() != b"application/json":
            raise BadRequestError(415, "send the content type application/json")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > limit:
            raise BadRequestError(413, f"the body is larger than {limit} bytes")
        seconds = self.desk.answers.params.body_seconds_max
        try:
            async with asyncio.timeout(seconds):
                return await _read(receive, limit)
        except TimeoutError:
            raise BadRequestError(408, f"the body did not come within {seconds:g} seconds") from None


async def _read(receive: Receive, limit: int) -> bytes:
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _GoneError
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise BadRequestError(413, f"the body is larger than {limit} bytes")
        if not message.get("more_body", False):
            return b"".join(chunks)


class _GoneError(Exception):
    """Say that the client hung up; nobody is there to answer."""


def _check_token(given: bytes, token: str) -> None:
    kind, _, value = given.partition(b" ")
    # Compared in a time that does not tell how much of it was right.
    if kind.lower() != b"bearer" or not hmac.compare_digest(value.strip(), token.encode()):
        raise BadRequestError(401, "send the header Authorization: Bearer with the service's token")


async def _send(send: Send, status: int, body: Any, extra: Headers) -> None:
    try:
        content = orjson.dumps(body)
    except TypeError:  # a whole number beyond 64 bits, echoed in an error
        content = json.dumps(body).encode()
    head = [*_JSON, (b"content-length", str(len(content)).encode()), *extra]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": content})
