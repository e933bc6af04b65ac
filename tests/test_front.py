"""Knock at the front as an ASGI server would: in this process, so that clocks, queues and hang-ups can be had at will."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
from samples import answers, contract, houses, release, service_limits

from hearth.answering import Answers
from hearth.counters import Counters
from hearth.front import GONE, Desk, Front
from hearth.journal import Entries, Journal
from hearth.prediction_log import PredictionLog

HOUSE = houses(1)[0]
BODY = json.dumps(HOUSE).encode()
TOKEN = "-".join(("a", "token", "that", "is", "long", "enough"))
JSON = (b"content-type", b"application/json")


class Library:
    """Be prometheus_client with a registry of its own, so that each test counts from zero."""

    def __init__(self) -> None:
        """Begin with nothing registered."""
        self.registry = prometheus_client.CollectorRegistry()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *args, **more: getattr(prometheus_client, name)(*args, registry=self.registry, **more)


class Server:
    """Hold a front, what it counted, and what it passed on."""

    def __init__(
        self, made: Answers, outcomes: Journal | None = None, token: str | None = None, log: PredictionLog | None = None
    ) -> None:
        """Put the front before an application that says what was passed on to it."""
        self.library, self.passed = Library(), []
        columns = [*made.release.facts.ranges, made.contract.time.name]

        async def app(scope: Any, receive: Any, send: Any) -> None:
            self.passed.append(scope.get("path", scope["type"]))
            if scope["type"] == "http":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"passed"})

        counters = Counters(self.library, "v1", "2015-03-01", columns)
        self.front = Front(app, Desk(made, counters, outcomes, token, log=log))

    async def call(
        self, path: str, body: bytes | Iterable[bytes] | AsyncIterator[bytes] = b"", *, method: str = "POST", headers: Iterable[tuple[bytes, bytes]] = (JSON,)
    ) -> tuple[int, dict[bytes, bytes], Any]:  # fmt: skip
        """Return status, headers and body of the answer; status 0 if there was none."""
        chunks: Any = iter([body] if isinstance(body, bytes) else body) if not hasattr(body, "__anext__") else body
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            chunk = await anext(chunks, None) if hasattr(chunks, "__anext__") else next(chunks, None)
            if chunk is None:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": chunk, "more_body": not isinstance(body, bytes)}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.front({"type": "http", "path": path, "method": method, "headers": list(headers)}, receive, send)
        if not sent:
            return 0, {}, None
        content = sent[1]["body"]
        found = dict(sent[0]["headers"])
        assert int(found.get(b"content-length", len(content))) == len(content)
        return sent[0]["status"], found, json.loads(content) if JSON[1] in found.values() else content

    def ask(self, *args: Any, **more: Any) -> tuple[int, dict[bytes, bytes], Any]:
        return asyncio.run(self.call(*args, **more))

    def count(self, name: str, **labels: str) -> float:
        return self.library.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def server() -> Server:
    return Server(answers())


def limited(**limits: float) -> Answers:
    made = answers()
    return Answers(made.release, made.params.model_copy(update=limits), typical=HOUSE)


def test_a_house_is_priced_and_counted(server: Server) -> None:
    status, headers, body = server.ask("/predict", BODY)
    assert (status, headers[b"content-type"], headers[b"cache-control"]) == (200, b"application/json", b"no-store")
    assert body["low"] < body["price"] < body["high"]
    assert server.count("hearth_requests_total", route="/predict", status="200") == 1
    assert server.count("hearth_request_seconds_count", route="/predict") == 1
    assert server.count("hearth_predictions_total") == 1
    assert server.count("hearth_in_flight") == 0
    assert server.count("hearth_model_info", model_version="v1", as_of="2015-03-01") == 1


def test_a_batch_is_counted_by_its_houses_and_warnings_by_their_column(server: Server) -> None:
    odd = HOUSE | {"date": "2040-01-01"}
    status, _, body = server.ask("/predict_batch", json.dumps({"houses": [HOUSE, odd, odd]}).encode())
    assert status == 200
    assert [bool(one["warnings"]) for one in body["predictions"]] == [False, True, True]
    assert server.count("hearth_predictions_total") == 3
    assert server.count("hearth_warnings_total", column="date") == 2


def test_labels_are_bounded_whatever_is_asked_for(server: Server) -> None:
    server.ask("/predict", BODY)
    for number in range(30):
        assert server.ask(f"/random/{number}", BODY)[0] == 404
        assert server.ask("/predict", BODY, method=f"M{number}")[0] == 405
    assert server.count("hearth_requests_total", route="other", status="404") == 30
    assert server.count("hearth_requests_total", route="/predict", status="405") == 30
    routes = {s.labels["route"] for m in server.library.registry.collect() for s in m.samples if "route" in s.labels}
    assert routes == {"other", "/predict"}


@pytest.mark.parametrize(("path", "inner"), [("/docs", "/"), ("/livez", "/livez"), ("/metrics", "/metrics"),
                                            ("/static_content/a.js", "/static_content/a.js")])  # fmt: skip
def test_documents_and_health_are_bentomls(server: Server, path: str, inner: str) -> None:
    assert server.ask(path, method="GET")[::2] == (200, b"passed")
    assert server.passed == [inner]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/docs", 405), ("/metrics", 405), ("/static_content/a.js", 404), ("/static_content/../x", 404)],
)
def test_bentomls_routes_are_read_only_and_stay_where_they_are(server: Server, path: str, status: int) -> None:
    """Else BentoML would answer in words of its own."""
    method = "GET" if ".." in path else "POST"
    found, headers, body = server.ask(path, BODY, method=method)
    assert (found, set(body)) == (status, {"error"})
    assert headers.get(b"allow") == (b"GET, HEAD" if status == 405 else None)
    assert not server.passed


def test_the_servers_start_and_end_are_bentomls(server: Server) -> None:
    async def start() -> None:
        async def none(*_: Any) -> Any:
            return None

        await server.front({"type": "lifespan"}, none, none)

    asyncio.run(start())
    assert server.passed == ["lifespan"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/model", "/readyz"])
def test_what_is_read_is_read_with_get_or_head(server: Server, path: str, method: str) -> None:
    assert server.ask(path, method=method, headers=())[0] == 200


def test_another_method_is_told_the_right_one(server: Server) -> None:
    status, headers, body = server.ask("/predict", method="DELETE")
    assert (status, headers[b"allow"], body) == (405, b"POST", {"error": "/predict answers POST only"})
    assert server.ask("/model", method="POST")[1][b"allow"] == b"GET, HEAD"


# The token


@pytest.mark.parametrize("given", [None, b"", b"Bearer", b"Bearer ", b"Bearer wrong", b"Basic " + TOKEN.encode(), TOKEN.encode(),
                                   b"Bearer " + TOKEN.encode()[:-1], b"Bearer " + TOKEN.encode() + b"x", b"\xff\xfe"])  # fmt: skip
def test_without_the_token_nothing_is_read_or_answered(given: bytes | None) -> None:
    server = Server(answers(), token=TOKEN)
    headers = [JSON] + ([] if given is None else [(b"authorization", given)])
    for path, method in (
        ("/predict", "POST"),
        ("/predict_batch", "POST"),
        ("/explain", "POST"),
        ("/feedback", "POST"),
        ("/model", "GET"),
    ):
        status, found, body = server.ask(path, b"not json", method=method, headers=headers)
        assert (status, found[b"www-authenticate"]) == (401, b"Bearer")
        assert TOKEN not in json.dumps(body)


def test_with_the_token_all_is_as_without_one() -> None:
    server = Server(answers(), token=TOKEN)
    for scheme in (b"Bearer ", b"bearer  "):
        assert server.ask("/predict", BODY, headers=(JSON, (b"authorization", scheme + TOKEN.encode())))[0] == 200
    assert server.ask("/readyz", method="GET", headers=())[0] == 200
    assert server.ask("/metrics", method="GET", headers=())[0] == 200


# Size, type and time of a body


def test_the_type_is_looked_at_before_the_size_and_the_size_before_the_body(server: Server) -> None:
    def never() -> Iterable[bytes]:
        raise AssertionError("the body was read")
        yield b""

    large = (b"content-length", b"99999999")
    assert server.ask("/predict", never(), headers=((b"content-type", b"text/csv"), large))[0] == 415
    for length in (b"99999999", b"9" * 5000, b"-1", b"1e3", b""):
        status, headers, _ = server.ask("/predict", never(), headers=(JSON, (b"content-length", length)))
        assert (status, headers[b"connection"]) == (413, b"close")


def test_chunks_are_joined_and_counted(server: Server) -> None:
    def chunks(of: bytes, size: int) -> list[bytes]:
        return [of[place : place + size] for place in range(0, len(of), size)]

    async def body(parts: list[bytes]) -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    limit = server.front.desk.answers.params.body_bytes_max
    read = []

    def endless() -> Iterable[bytes]:
        while True:
            read.append(1)
            yield b" " * 10_000

    assert server.ask("/predict", endless())[0] == 413
    assert len(read) == limit // 10_000 + 1
    # The test's server sends `more_body` with each chunk of a list, so its end is a hang-up.
    assert server.ask("/predict", chunks(BODY, 50))[0] == 0
    assert server.count("hearth_requests_total", route="/predict", status=str(GONE)) == 1


def test_a_slow_body_is_waited_for_and_no_longer() -> None:
    server = Server(limited(body_seconds_max=0.05))

    async def slow() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.01)
            yield b" "

    start = time.monotonic()
    status, headers, body = server.ask("/predict", slow())
    assert (status, headers[b"connection"], body["error"]) == (
        408,
        b"close",
        "the body did not come within 0.05 seconds",
    )
    assert time.monotonic() - start < 2


# Overload


def test_more_requests_than_can_be_in_flight_are_told_to_come_again() -> None:
    server = Server(limited(in_flight_max=3))
    gate = asyncio.Event()

    async def late() -> AsyncIterator[bytes]:
        await gate.wait()
        while False:
            yield b""

    async def all_at_once() -> list[Any]:
        waiting = [asyncio.create_task(server.call("/predict", late())) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert server.count("hearth_in_flight") == 3
        refused = await server.call("/predict", BODY)
        gate.set()
        await asyncio.gather(*waiting)
        return [refused, await server.call("/predict", BODY)]

    refused, after = asyncio.run(all_at_once())
    assert (refused[0], refused[1][b"retry-after"]) == (503, b"1")
    assert after[0] == 200


class Slow(Answers):
    """Answer batches as slowly as the test asks, and say how many were computed at a time."""

    seconds = 0.1
    running = most = 0

    def predict_batch(self, body: bytes, via: str | None = None) -> dict[str, Any]:
        self.running += 1
        self.most = max(self.most, self.running)
        time.sleep(self.seconds)
        self.running -= 1
        return super().predict_batch(body, via)


def slow(**limits: float) -> Slow:
    made = answers()
    return Slow(made.release, service_limits(5).model_copy(update=limits))


def test_batches_wait_for_their_turn_while_single_houses_are_answered() -> None:
    made = slow(queue_max=10)
    server = Server(made)
    batch = json.dumps({"houses": [HOUSE]}).encode()

    async def all_at_once() -> tuple[float, list[Any]]:
        waiting = [asyncio.create_task(server.call("/predict_batch", batch)) for _ in range(5)]
        await asyncio.sleep(0.02)
        assert server.count("hearth_waiting") == 4
        start = time.monotonic()
        assert (await server.call("/predict", BODY))[0] == 200
        return time.monotonic() - start, await asyncio.gather(*waiting)

    single, found = asyncio.run(all_at_once())
    assert [answer[0] for answer in found] == [200] * 5
    assert made.most == 1
    assert single < 0.3  # five batches take half a second
    assert server.count("hearth_waiting") == 0


def test_a_queue_that_is_full_refuses_and_one_that_is_slow_lets_go() -> None:
    batch = json.dumps({"houses": [HOUSE]}).encode()

    async def all_at_once(server: Server, count: int) -> list[int]:
        return [
            answer[0] for answer in await asyncio.gather(*(server.call("/predict_batch", batch) for _ in range(count)))
        ]

    full = Server(slow(queue_max=1))
    assert sorted(asyncio.run(all_at_once(full, 4))) == [200, 200, 503, 503]
    late = Server(slow(queue_max=10, queue_seconds_max=0.15))
    assert sorted(asyncio.run(all_at_once(late, 4))) == [200, 200, 503, 503]


# Faults


class Broken(Answers):
    """Fail as no code should."""

    def predict(self, body: bytes, via: str | None = None) -> dict[str, Any]:  # noqa: ARG002 -- as it is called
        raise RuntimeError(f"secret of the inside, {len(body)} bytes")


def test_a_fault_is_500_without_its_words_and_stands_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    made = answers()
    server = Server(Broken(made.release, made.params))
    status, _, body = server.ask("/predict", BODY)
    assert (status, body) == (500, {"error": "the service failed; its log says why"})
    assert "secret of the inside" in caplog.text
    assert server.count("hearth_requests_total", route="/predict", status="500") == 1
    assert server.count("hearth_in_flight") == 0


def test_a_client_that_hangs_up_is_counted_and_not_answered(server: Server) -> None:
    assert server.ask("/predict", [b'{"grade"'])[0] == 0
    assert server.count("hearth_requests_total", route="/predict", status=str(GONE)) == 1


# Explanations


def test_an_explanation_adds_up_to_the_served_price() -> None:
    server = Server(limited())
    other = houses(3)[2]
    status, _, body = server.ask("/explain", json.dumps(other).encode())
    assert status == 200
    assert body["price"] == server.ask("/predict", json.dumps(other).encode())[2]["price"]
    summed = body["base"] + sum(part["amount"] for part in body["contributions"])
    assert summed == pytest.approx(body["price"], rel=1e-6, abs=0.5)
    assert body["typical"] == HOUSE
    assert {name for part in body["contributions"] for name in part["columns"]} == {
        column.name for column in (*contract().features, contract().time)
    }
    assert (body["level"], body["unit"]) == (release().facts.interval.level, contract().target.unit)


def test_an_explanation_of_a_bad_house_is_refused_as_a_price_is(server: Server) -> None:
    made = Server(limited())
    bad = json.dumps(HOUSE | {"grade": 99}).encode()
    assert made.ask("/explain", bad)[::2] == made.ask("/predict", bad)[::2]
    assert server.ask("/explain", BODY)[0] == 404  # packaged without a typical house


# Outcomes

OUTCOME = {"prediction_id": "0123456789abcdef" * 2, "price": 450_000}


def test_an_outcome_is_on_the_disk_before_it_is_acknowledged(tmp_path: Path) -> None:
    server = Server(answers(), Journal(tmp_path, "outcomes"))
    status, _, body = server.ask("/feedback", json.dumps(OUTCOME).encode())
    assert (status, body) == (200, OUTCOME | {"stored": True})
    (entry,) = Entries(tmp_path, "outcomes")
    assert {name: entry[name] for name in OUTCOME} == OUTCOME
    assert server.count("hearth_feedback_total") == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [({"prediction_id": "1"}, "prediction_id"), ({"prediction_id": "Z" * 32}, "prediction_id"), ({"prediction_id": 5}, "prediction_id"),
     ({"price": -1}, "price"), ({"price": "1"}, "price"), ({"price": None}, "price"), ({"price": 1e300}, "price"), ({"more": 1}, "more")],
    ids=str,
)  # fmt: skip
def test_a_bad_outcome_is_refused_and_not_stored(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    server = Server(answers(), Journal(tmp_path, "outcomes"))
    status, _, body = server.ask("/feedback", json.dumps(OUTCOME | change).encode())
    assert (status, [entry["field"] for entry in body["detail"]]) == (422, [field])
    assert body["detail"][0]["expected"]
    assert not list(Entries(tmp_path, "outcomes"))


def test_an_outcome_that_cannot_be_kept_is_not_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Server(answers()).ask("/feedback", json.dumps(OUTCOME).encode())[0] == 503
    server = Server(answers(), Journal(tmp_path, "outcomes"))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "append", full)
    status, headers, body = server.ask("/feedback", json.dumps(OUTCOME).encode())
    assert (status, headers[b"retry-after"]) == (503, b"1")
    assert "device" not in body["error"]
    assert server.count("hearth_feedback_total") == 0


# The log


def kept(folder: Path, **limits: int) -> tuple[Server, PredictionLog]:
    """Return a server that logs, and its log."""
    made = Answers(release(), service_limits(5), typical=HOUSE)
    log = PredictionLog(folder, made.params.log.model_copy(update=limits))
    made.listener = log
    server = Server(made, token=TOKEN, log=log)
    log.counters = server.front.desk.counters
    return server, log


BEARER = (b"authorization", b"Bearer " + TOKEN.encode())


def test_what_is_answered_is_logged_and_no_header_is(tmp_path: Path) -> None:
    server, log = kept(tmp_path)
    said = [(b"x-forwarded-for", b"203.0.113.9"), (b"user-agent", b"an agent"), (b"cookie", b"a=biscuit")]
    ways = [(), ((b"x-hearth-via", b"page"),), ((b"x-hearth-via", b"Page"),), ((b"x-hearth-via", b"a secret"),)]
    batch = json.dumps({"houses": [HOUSE, HOUSE]}).encode()
    answered = []
    for way in ways:
        for path, body in (("/predict", BODY), ("/explain", BODY), ("/predict_batch", batch)):
            status, _, found = server.ask(path, body, headers=(JSON, BEARER, *said, *way))
            assert status == 200
            answered += [answer["prediction_id"] for answer in found.get("predictions", [found])]
    for headers in ((JSON,), (JSON, (b"authorization", b"Bearer biscuit-biscuit-biscuit"))):
        assert server.ask("/predict", BODY, headers=headers)[0] == 401
    assert server.ask("/predict", b"{}", headers=(JSON, BEARER, *said))[0] == 422
    log.close()
    found = list(Entries(tmp_path, "predictions"))
    assert [entry.get("prediction_id") for entry in found] == [*answered, None]
    assert [entry.get("via") for entry in found] == [None] * 4 + ["page"] * 4 + [None] * 9
    assert found[-1]["refused"] == 422
    text = "".join(path.read_text() for path in tmp_path.iterdir())
    assert not any(word in text for word in (TOKEN, "biscuit", "203.0.113.9", "agent", "secret", "authorization"))
    assert server.count("hearth_log_written_total") == 17


def test_ready_says_how_the_log_does_and_stays_ready(tmp_path: Path, server: Server) -> None:
    assert server.ask("/readyz", method="GET")[2]["log"] == {
        "kept": False, "written": 0, "lost": 0, "waiting": 0, "error": "HEARTH_LOG_DIR is not set"
    }  # fmt: skip
    logged, log = kept(tmp_path / "log", waiting_max=2)
    assert logged.ask("/predict", BODY, headers=(JSON, BEARER))[0] == 200
    log.close()
    assert logged.ask("/readyz", method="GET")[2]["log"] == {"kept": True, "written": 1, "lost": 0, "waiting": 0, "error": None}  # fmt: skip
    (tmp_path / "log").rename(tmp_path / "away")
    for _ in range(5):
        assert logged.ask("/predict", BODY, headers=(JSON, BEARER))[0] == 200
    log.close()
    status, _, body = logged.ask("/readyz", method="GET")
    assert (status, body["ready"]) == (200, True)
    assert body["log"] == {"kept": False, "written": 1, "lost": 3, "waiting": 2, "error": "No such file or directory"}
    assert "shadow" not in body
    assert logged.count("hearth_log_lost_total") == 3
    assert logged.count("hearth_log_waiting") == 2


def test_the_servers_end_waits_for_the_log(tmp_path: Path) -> None:
    server, log = kept(tmp_path)
    seen: list[tuple[str, int]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for kind in ("startup", "shutdown"):
            await send({"type": f"lifespan.{kind}.complete"})

    async def send(message: Any) -> None:
        seen.append((message["type"], len(list(Entries(tmp_path, "predictions")))))

    server.front.app = app
    made = server.front.desk.answers
    for _ in range(3):
        made.predict(BODY)
    asyncio.run(server.front({"type": "lifespan"}, None, send))  # type: ignore[arg-type]
    assert seen[-1] == ("lifespan.shutdown.complete", 3)
    assert not log.told()["waiting"]


def test_a_fault_of_the_service_is_in_no_line(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, service_limits(5).log)
    made = Broken(release(), service_limits(5))
    made.listener = log
    assert Server(made, log=log).ask("/predict", BODY)[0] == 500
    log.close()
    assert not list(Entries(tmp_path, "predictions"))
