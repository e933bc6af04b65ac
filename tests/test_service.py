"""Serve the remade bento with the real server, and knock at every door."""

import base64
import http.client
import io
import json
import lzma
import socket
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import yaml
from conftest import PROJECT, Remade, sample

from hearth.bento import FILES, MODULES, extract, free_port, served
from hearth.cards import MODEL_CARD, MODEL_SECTIONS
from hearth.errors import Refusal
from hearth.journal import LOG_DIR, Entries
from hearth.proofreading import faults
from hearth.release import open_release
from hearth.request import columns_of
from hearth.storage import read_folder

JSON = "application/json"


def call(
    address: str, path: str, body: bytes | None, kind: str | None = JSON, method: str = "POST", **headers: str
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)
    head = headers | ({} if kind is None else {"content-type": kind})
    connection.request(method, path, body, head)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, json.loads(content) if answer.getheader("content-type") == JSON else content


def post(address: str, path: str, value: object) -> tuple[int, Any]:
    return call(address, path, json.dumps(value).encode())


def test_a_house_gets_a_price_inside_its_interval(address: str, house: dict[str, Any]) -> None:
    status, answer = post(address, "/predict", house)
    assert status == 200
    assert set(answer) == {"prediction_id", "price", "low", "high", "model_version", "warnings"}
    assert 100_000 < answer["low"] < answer["price"] < answer["high"] < 2_000_000
    assert answer["warnings"] == []
    assert post(address, "/predict", house)[1]["prediction_id"] != answer["prediction_id"]


def test_the_service_answers_as_the_released_model_does(remade: Remade, address: str) -> None:
    """Three hundred real houses over HTTP, in two batches, and the release opened from its folder: equal to the dollar."""
    release = open_release(read_folder(remade.checkout.root / "models/model"), "model")
    names = [column.name for column in release.contract.features]
    rows = sample().iloc[::72].query("bedrooms <= 15")
    houses = [
        {name: value.item() if isinstance(value, np.generic) else value for name, value in zip(names, row, strict=True)}
        for row in rows[names].itertuples(index=False)
    ]
    assert len(houses) >= 300
    expected = release.predict(columns_of([h | {"date": None} for h in houses], release.contract, release.facts.as_of))
    answered = [
        a
        for part in (houses[:200], houses[200:])
        for a in post(address, "/predict_batch", {"houses": part})[1]["predictions"]
    ]
    assert [a["price"] for a in answered] == expected.price.tolist()
    assert [a["low"] for a in answered] == expected.low.tolist()
    assert [a["high"] for a in answered] == expected.high.tolist()
    single = [post(address, "/predict", one)[1]["price"] for one in houses[:20]]
    assert single == expected.price[:20].tolist()


def test_model_tells_what_is_served(remade: Remade, address: str) -> None:
    status, told = call(address, "/model", None, None, "GET")
    metrics = json.loads((PROJECT / "metrics/metrics.json").read_text())
    manifest = json.loads((remade.checkout.root / "models/model/manifest.json").read_text())
    assert status == 200
    assert told["model_version"] == manifest["model_version"]
    assert told["facts"]["data_sha256"] == manifest["facts"]["data_sha256"]
    assert told["metrics"] == metrics
    assert told["gate"]["passed"] is True
    assert faults(told["card"], MODEL_SECTIONS, metrics, MODEL_CARD, "US dollar", whole=True) == []
    assert manifest["model_version"] in told["card"]


def test_a_day_beyond_the_horizon_is_priced_as_the_horizon_with_a_warning(address: str, house: dict[str, Any]) -> None:
    horizon = call(address, "/model", None, None, "GET")[1]["facts"]["horizon"]
    at, after = (post(address, "/predict", house | {"date": day})[1] for day in (horizon, "2030-01-01"))
    assert at["warnings"] == []
    assert after["price"] == at["price"]
    assert after["warnings"] == [
        f"date: 2030-01-01 is after {horizon}, the last day that was validated; the price is that of the last validated day"
    ]


def test_a_value_outside_the_training_data_is_priced_with_a_warning(address: str, house: dict[str, Any]) -> None:
    status, answer = post(address, "/predict", house | {"sqft_lot": 4_000_000})
    assert status == 200
    assert answer["warnings"] == ["sqft_lot: 4000000 is outside the training data, 520 to 1074218"]


@pytest.mark.parametrize("kind", ["text/csv", "text/plain", None, "application/vnd.bentoml+pickle", "multipart/form-data; boundary=x",
                                  "application/jsonx", "application/x-www-form-urlencoded"])  # fmt: skip
@pytest.mark.parametrize("path", ["/predict", "/predict_batch"])
def test_anything_but_json_is_refused_before_it_is_parsed(
    address: str, house: dict[str, Any], kind: str | None, path: str
) -> None:
    status, answer = call(address, path, json.dumps(house).encode(), kind)
    assert (status, answer) == (415, {"error": "send the content type application/json"})


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/json;odd"])
def test_json_is_json_in_any_case_and_with_parameters(address: str, house: dict[str, Any], kind: str) -> None:
    assert call(address, "/predict", json.dumps(house).encode(), kind)[0] == 200


@pytest.mark.parametrize("body", [b"", b"{", b"nope", b'{"grade": NaN}', b"\xff\xfe", b"[" * 100_000, b'{"a": 1e}'])
def test_what_is_not_json_is_400(address: str, body: bytes) -> None:
    assert call(address, "/predict", body) == (400, {"error": "the body is not good JSON"})


@pytest.mark.parametrize(
    ("change", "entry"),
    [
        ({"grade": 99}, {"field": "grade", "value": 99, "expected": "a whole number from 1 to 13 (score)"}),
        ({"grade": "7"}, {"field": "grade", "value": "7", "expected": "a whole number from 1 to 13 (score)"}),
        ({"grade": None}, {"field": "grade", "value": None, "expected": "a whole number from 1 to 13 (score)"}),
        ({"zipcode": 1}, {"field": "zipcode", "value": 1, "expected": "one of the 70 categories of zipcode (postal code)"}),
        ({"waterfront": 1}, {"field": "waterfront", "value": 1, "expected": "true or false"}),
        ({"price": 1}, {"field": "price", "value": 1, "expected": "no such field"}),
        ({"date": "soon"}, {"field": "date", "value": "soon", "expected": "a date as YYYY-MM-DD from 2014-01-01 to 2049-12-31"}),
        (
            {"sqft_above": 1500},
            {
                "field": "sqft_above, sqft_basement, sqft_living",
                "value": {"sqft_above": 1500, "sqft_basement": 350, "sqft_living": 1910},
                "expected": "sqft_above + sqft_basement == sqft_living (area_parts_sum)",
            },
        ),
    ],
)  # fmt: skip
def test_a_row_that_breaks_the_contract_is_422_with_an_entry_per_field(
    address: str, house: dict[str, Any], change: dict[str, Any], entry: dict[str, Any]
) -> None:
    refusal = {"error": "the request breaks the contract", "detail": [entry]}
    assert post(address, "/predict", house | change) == (422, refusal)
    inside = entry | {"field": f"houses.1.{entry['field']}"}
    batch = post(address, "/predict_batch", {"houses": [house, house | change]})
    assert batch == (422, refusal | {"detail": [inside]})


def test_several_faults_get_several_entries(address: str, house: dict[str, Any]) -> None:
    del (broken := house | {"grade": 0, "long": 12.5})["lat"]
    status, answer = post(address, "/predict", broken)
    assert status == 422
    assert [entry["field"] for entry in answer["detail"]] == ["grade", "lat", "long"]
    assert answer["detail"][1]["value"] is None
    assert answer["detail"][1]["expected"].endswith(", and the field is missing")


def test_a_key_that_stands_twice_is_refused(address: str, house: dict[str, Any]) -> None:
    body = json.dumps(house)[:-1].encode() + b', "grade": 9}'
    status, answer = call(address, "/predict", body)
    assert (status, answer["detail"]) == (422, [{"field": "grade", "value": None, "expected": "each field once"}])


def test_more_houses_than_allowed_are_refused(address: str, house: dict[str, Any]) -> None:
    limit = yaml.safe_load((PROJECT / "params.yaml").read_text())["service"]["batch_rows_max"]
    assert post(address, "/predict_batch", {"houses": [house] * limit})[0] == 200
    status, answer = post(address, "/predict_batch", {"houses": [house] * (limit + 1)})
    assert status == 422
    assert [(entry["field"], entry["expected"]) for entry in answer["detail"]] == [("houses", f"1 to {limit} houses")]


def test_a_batch_without_its_key_is_told_what_to_send(address: str, house: dict[str, Any]) -> None:
    status, answer = post(address, "/predict_batch", [house])
    assert (status, answer["detail"][0]["expected"]) == (422, 'an object {"houses": [...]}')


def test_a_body_too_large_is_413_by_its_header_alone(address: str) -> None:
    """The body is never sent: the answer comes from the head."""
    host, port = urlsplit(address).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(
            b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99999999\r\n\r\n"
        )
        assert line.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_body_too_large_is_413_by_counting_its_chunks(address: str) -> None:
    host, port = urlsplit(address).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        line.sendall(
            b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        try:
            for _ in range(40):
                line.sendall(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert line.recv(4096).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/predict", 405), ("PUT", "/predict_batch", 405), ("POST", "/model", 405),
                                                       ("GET", "/nowhere", 404), ("POST", "/predict/", 404)])  # fmt: skip
def test_other_routes_and_methods_are_refused(address: str, method: str, path: str, status: int) -> None:
    answer = call(address, path, b"{}", JSON, method)
    assert answer[0] == status
    assert set(answer[1]) == {"error"}


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/metrics", "/docs.json", "/docs", "/", "/card", "/page.css", "/page.js", "/page.svg"]
)
def test_health_metrics_and_documents_answer(address: str, path: str) -> None:
    assert call(address, path, None, None, "GET")[0] == 200


def test_the_root_is_the_page_for_people_and_the_docs_stand_beside_it(address: str) -> None:
    with urllib.request.urlopen(f"{address}/", timeout=10) as answer:
        page, head = answer.read(), answer.headers
    assert b'id="house"' in page
    assert "default-src 'self'" in head["content-security-policy"]
    with pytest.raises(urllib.error.HTTPError, match="304"):
        urllib.request.urlopen(
            urllib.request.Request(f"{address}/", headers={"if-none-match": head["etag"]}), timeout=10
        )
    assert b"swagger" in call(address, "/docs", None, None, "GET")[1].lower()
    assert call(address, "/", b"{}")[0] == 405


def test_unknown_paths_make_no_metric_series(address: str) -> None:
    call(address, "/random", None, None, "GET")  # all unknown paths together are one series
    before = len(call(address, "/metrics", None, None, "GET")[1].splitlines())
    for number in range(50):
        call(address, f"/random/{number}", None, None, "GET")
    assert len(call(address, "/metrics", None, None, "GET")[1].splitlines()) == before


def counted(address: str, name: str) -> float:
    """Return a metric's value by its whole name with labels."""
    lines = call(address, "/metrics", None, None, "GET")[1].decode().splitlines()
    found = [float(line.split()[-1]) for line in lines if line.startswith(f"{name} ")]
    assert len(found) <= 1
    return found[0] if found else 0.0


def test_what_the_front_answers_is_counted(address: str, house: dict[str, Any]) -> None:
    names = ['hearth_requests_total{route="/predict",status="200"}', 'hearth_requests_total{route="/predict",status="422"}',
             'hearth_request_seconds_count{route="/predict"}', "hearth_predictions_total", 'hearth_warnings_total{column="date"}']  # fmt: skip
    before = [counted(address, name) for name in names]
    post(address, "/predict", house)
    post(address, "/predict", house | {"grade": 0})
    post(address, "/predict", house | {"date": "2040-01-01"})
    post(address, "/predict_batch", {"houses": [house] * 3})
    assert [counted(address, name) - old for name, old in zip(names, before, strict=True)] == [2, 1, 3, 5, 1]
    version = call(address, "/model", None, None, "GET")[1]["model_version"]
    lines = call(address, "/metrics", None, None, "GET")[1].decode()
    assert f'model_version="{version}"' in lines
    assert "hearth_in_flight" in lines


def test_an_explanation_adds_up_to_the_price(address: str, house: dict[str, Any]) -> None:
    status, told = post(address, "/explain", house | {"grade": 9, "view": 3})
    assert status == 200
    assert told["price"] == post(address, "/predict", house | {"grade": 9, "view": 3})[1]["price"]
    assert abs(told["base"] + sum(part["amount"] for part in told["contributions"]) - told["price"]) <= 0.5
    assert set(told["typical"]) >= set(house)
    assert post(address, "/explain", house | {"grade": 0})[0] == 422


def test_an_outcome_is_stored_for_good(address: str, house: dict[str, Any], log_folder: Path) -> None:
    answer = post(address, "/predict", house)[1]
    outcome = {"prediction_id": answer["prediction_id"], "price": 512_000}
    assert post(address, "/feedback", outcome) == (200, outcome | {"stored": True})
    stored = [(e["prediction_id"], e["price"]) for e in Entries(log_folder, "outcomes")]
    assert stored.count(tuple(outcome.values())) == 1
    assert post(address, "/feedback", outcome | {"price": 0})[0] == 422
    assert post(address, "/feedback", {})[0] == 422
    assert len(list(Entries(log_folder, "outcomes"))) == len(stored)


def test_ready_says_which_model(address: str) -> None:
    status, told = call(address, "/readyz", None, None, "GET")
    version = call(address, "/model", None, None, "GET")[1]["model_version"]
    assert set(told) == {"ready", "model_version", "log"}
    assert (status, told["ready"], told["model_version"]) == (200, True, version)
    assert (told["log"]["kept"], told["log"]["lost"], told["log"]["error"]) == (True, 0, None)


@pytest.mark.parametrize(
    "head",
    [b"", b"POST /predict HTTP/1.1\r\nhost: x\r\n", b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"],
    ids=["nothing", "half a head", "half a body"],
)  # fmt: skip
def test_a_client_that_is_too_slow_is_hung_up_on(remade: Remade, tmp_path: Path, head: bytes) -> None:
    """One byte a second keeps a naive server waiting for ever; with the limits at a second, it is over in three."""
    archive = with_limits(remade, tmp_path, body_seconds_max=1.0)
    with served(archive) as (address, _):
        host, port = urlsplit(address).netloc.split(":")
        with socket.create_connection((host, int(port)), timeout=10) as line:
            line.sendall(head)
            start, answer = time.monotonic(), b""
            line.settimeout(0.2)
            while time.monotonic() - start < 8:
                try:
                    if not (part := line.recv(4096)):
                        break
                    answer += part
                except TimeoutError:
                    line.sendall(b"x" if head else b"")
                except ConnectionError:
                    break
            assert time.monotonic() - start < 5
        assert answer.startswith(b"HTTP/1.1 408 ") if b"{" in head else not answer
        assert call(address, "/readyz", None, None, "GET")[0] == 200


def with_limits(remade: Remade, folder: Path, **limits: float) -> Path:
    """Return the remade bento with other limits of its service."""
    unpacked = unpack(remade.checkout.root / "models/house_prices.bento", folder / "bento")
    about = unpacked / "src/about.json"
    document = json.loads(about.read_text())
    document["service"] |= limits
    about.write_text(json.dumps(document))
    repack(unpacked, folder / "limited.bento")
    return folder / "limited.bento"


def test_with_a_token_only_its_bearer_is_answered(remade: Remade, house: dict[str, Any]) -> None:
    token = "one token of the test"  # noqa: S105
    with served(remade.checkout.root / "models/house_prices.bento", {"HEARTH_TOKEN": token}) as (address, _):
        body = json.dumps(house).encode()
        assert call(address, "/predict", body)[0] == 401
        assert call(address, "/predict", body, authorization="Bearer one token of the tesT")[0] == 401
        assert call(address, "/predict", body, authorization=f"Bearer {token}")[0] == 200
        assert call(address, "/readyz", None, None, "GET")[0] == 200
        # No folder was named for outcomes, and the bento's own is none.
        outcome = json.dumps({"prediction_id": "0" * 32, "price": 500_000}).encode()
        assert call(address, "/feedback", outcome, authorization=f"Bearer {token}")[0] == 503


@pytest.mark.parametrize(
    ("environment", "said"),
    [({"HEARTH_TOKEN": ""}, "HEARTH_TOKEN has 0 characters, wanted at least 16"), ({LOG_DIR: "/proc/none"}, "cannot be written to")],
)  # fmt: skip
def test_a_service_that_would_not_do_what_was_asked_does_not_start(
    remade: Remade, environment: dict[str, str], said: str
) -> None:
    with (
        pytest.raises(Refusal, match="did not become ready") as caught,
        served(remade.checkout.root / "models/house_prices.bento", environment),
    ):
        pass
    assert said in str(caught.value)


def test_a_service_that_names_a_key_serves_only_what_was_signed_with_it(remade: Remade, tmp_path: Path) -> None:
    archive, key = remade.checkout.root / "models/house_prices.bento", tmp_path / "key"
    remade.checkout.run("hearth", "sign", "--key", str(key), "--new-key")
    signature = remade.checkout.root / "models/model.sig"
    named = {"HEARTH_PUBLIC_KEY": f"{key}.pub", "HEARTH_SIGNATURE": str(signature)}
    try:
        with served(archive, named) as (address, _):
            assert call(address, "/readyz", None, None, "GET")[0] == 200
        spoilt = bytearray(base64.b64decode(signature.read_bytes()))
        spoilt[3] ^= 1
        signature.write_bytes(base64.b64encode(spoilt))
        for environment, said in (
            (named, "is not signed with the key"),
            ({"HEARTH_PUBLIC_KEY": f"{key}.pub"}, "names no signature"),
        ):
            with pytest.raises(Refusal, match="did not become ready") as caught, served(archive, environment):
                pass
            assert said in str(caught.value)
    finally:
        signature.unlink()


def test_openapi_describes_the_fields_of_the_contract(address: str, house: dict[str, Any]) -> None:
    document = call(address, "/docs.json", None, None, "GET")[1]
    assert {"/predict", "/predict_batch"} <= set(document["paths"])
    assert {"/explain", "/feedback", "/model"} <= set(document["paths"])
    assert "422" in document["paths"]["/predict"]["post"]["responses"]
    described = [
        s for s in document["components"]["schemas"].values() if {"grade", "sqft_lot"} <= set(s.get("properties", {}))
    ]
    assert described
    assert set(described[0]["properties"]) == set(house) | {"date"}


def test_the_declared_routes_answer_as_the_front_does(remade: Remade, address: str, house: dict[str, Any]) -> None:
    """BentoML's own route is reached in its process only; it gives the same price."""
    script = (
        "import asyncio, json, sys\n"
        "import service\n"
        "made = service.HousePrices.inner()\n"
        "house = type(made).predict.func.__annotations__['house'](**json.loads(sys.argv[1]))\n"
        "print(asyncio.run(type(made).predict.func(made, house)).price)\n"
    )
    folder = unpack(remade.checkout.root / "models/house_prices.bento", remade.checkout.root.parent / "unpacked")
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(house)],
        cwd=folder / "src",
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout.split()[-1]) == post(address, "/predict", house)[1]["price"]


def unpack(archive: Path, target: Path) -> Path:
    with tarfile.open(fileobj=io.BytesIO(lzma.decompress(archive.read_bytes()))) as tar:
        extract(tar, target)
    return target


def repack(folder: Path, archive: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(folder, arcname=".")
    archive.write_bytes(lzma.compress(buffer.getvalue(), preset=0))


def spoil_graph(folder: Path) -> None:
    graph = folder / "src/model/model.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)


def spoil_golden(folder: Path) -> None:
    about = folder / "src/about.json"
    document = json.loads(about.read_text())
    document["golden"][0]["answer"]["price"] *= 1.01
    about.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(spoil_graph, "model/model.onnx has the sha256"), (spoil_golden, "was packaged; do not serve it on this machine")],
)
def test_a_tampered_bento_does_not_become_ready_and_says_why(
    remade: Remade, tmp_path: Path, spoil: Any, said: str
) -> None:
    folder = unpack(remade.checkout.root / "models/house_prices.bento", tmp_path / "bento")
    spoil(folder)
    repack(folder, tmp_path / "spoilt.bento")
    with pytest.raises(Refusal, match="did not become ready") as caught, served(tmp_path / "spoilt.bento"):
        pass
    assert said in str(caught.value)


def test_the_bento_holds_what_the_service_loads_and_no_pickle(remade: Remade, tmp_path: Path) -> None:
    folder = unpack(remade.checkout.root / "models/house_prices.bento", tmp_path / "bento")
    source = folder / "src"
    held = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    model = {f"model/{name}" for name in ("manifest.json", "model.onnx", "contract.yaml", "known_sales.npy")}
    page = {f"page/{name}" for name in ("index.html", "card.html", "page.css", "page.js", "page.svg")}
    assert held == {f"hearth/{name}" for name in FILES} | model | page | {
        "service.py",
        "about.json",
        "model_card.md",
        "data_card.md",
        "requirements.txt",
        "bentofile.yaml",
    }
    script = "import service, sys; service.HousePrices.inner(); print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=source, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    # signing.py is loaded where a public key is named only.
    assert {f"hearth.{name}" for name in MODULES if name not in ("__init__", "signing")} == {
        m for m in loaded if m.startswith("hearth.")
    }
    assert not loaded & {
        "pandas",
        "sklearn",
        "scipy",
        "catboost",
        "lightgbm",
        "pandera",
        "pyarrow",
        "matplotlib",
        "onnx",
        "dvc",
    }
    for path in folder.rglob("*"):
        assert not (path.is_file() and path.read_bytes()[:2] in (b"\x80\x04", b"\x80\x05", b"\x80\x03")), path


def test_make_serve_listens_on_loopback_only_and_stops_on_sigterm(remade: Remade) -> None:
    port = free_port()
    command = ["hearth", "serve", "--port", str(port)]
    server = subprocess.Popen(
        command,
        cwd=remade.checkout.root,
        env=remade.checkout.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        for _ in range(300):
            assert server.poll() is None
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:] + Path("/proc/net/tcp6").read_text().splitlines()[1:]
        listening = {
            line.split()[1] for line in lines if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")
        }
        assert listening == {f"0100007F:{port:04X}"}
    finally:
        server.terminate()
        server.communicate(timeout=20)
    assert server.returncode is not None
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1)
    assert remade.checkout.run("git", "status", "--porcelain").stdout == ""


def test_bentomls_own_client_works(address: str, house: dict[str, Any]) -> None:
    """In a process of its own, since BentoML warns of its own dependencies on import."""
    script = (
        "import json, sys, bentoml\n"
        "house = json.loads(sys.argv[2])\n"
        "with bentoml.SyncHTTPClient(sys.argv[1]) as client:\n"
        "    one, two = client.predict(house), client.predict_batch(houses=[house, house])\n"
        "    try:\n"
        "        client.predict(house | {'grade': 99})\n"
        "    except bentoml.exceptions.BentoMLException as refused:\n"
        "        print(json.dumps([one['price'], [a['price'] for a in two['predictions']], str(refused)]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, address, json.dumps(house)],
        capture_output=True,
        text=True,
        check=True,
    )
    one, two, refused = json.loads(done.stdout.splitlines()[-1])
    assert two == [one, one]
    assert one == post(address, "/predict", house)[1]["price"]
    assert "a whole number from 1 to 13 (score)" in refused
