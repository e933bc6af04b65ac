"""Collect from a real broker: nothing lost, nothing doubled, bounded, and what cannot be read is a sentence or a row of its own."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import PROJECT, sample
from feeds import PASSWORD, TOPIC, USER, mosquitto, own_folder, this_user
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from hearth.bento import free_port
from hearth.errors import Refusal
from hearth.parquet import read_frame
from hearth.paths import QUARANTINE, RAW, SOURCES
from hearth.stages import collect, validate

ALL = "2016-01-01"
DROPS = SOURCES / "readings"


@dataclass
class Broker:
    """Be a broker that can be stopped and begun again with what it has."""

    folder: Path
    port: int
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def address(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}/{TOPIC}"

    def start(self) -> None:
        self.stack.enter_context(mosquitto(self.folder, self.port))

    def stop(self) -> None:
        self.stack.close()

    def publish(self, messages: list[Any], topic: str = TOPIC) -> None:
        """Publish with QoS 1, and wait until the broker has all; a message that is no bytes goes as JSON."""
        client = publisher(self.port)
        told = [
            client.publish(topic, one if isinstance(one, bytes) else json.dumps(one, default=str), 1)
            for one in messages
        ]
        for one in told:
            one.wait_for_publish(60)
        client.disconnect()
        client.loop_stop()


def publisher(port: int) -> Client:
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    client.max_inflight_messages_set(1000)
    client.username_pw_set("publisher", "publisher")
    client.connect("127.0.0.1", port)
    client.loop_start()
    return client


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with own_folder("mosquitto", this_user()) as folder:
        broker = Broker(folder, free_port())
        broker.start()
        yield broker
        broker.stop()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_SOURCE_USER", USER)
    monkeypatch.setenv("HEARTH_SOURCE_PASSWORD", PASSWORD)


@pytest.fixture
def session(request: pytest.FixtureRequest) -> str:
    """Return the name of a session that no other test has."""
    return request.node.name


def point(source: str, **options: Any) -> None:
    path = Path("params.yaml")
    params = yaml.safe_load(path.read_text())
    given = {"folder": DROPS.name, "seconds": 60.0, "count": 100_000, "idle": 0.5} | options
    params["collect"] |= {"source": source, "options": given if source.startswith("mqtt") else {}, "as_of": ALL}
    path.write_text(yaml.safe_dump(params))


def made() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(RAW.iterdir())}


def houses(count: int = 40) -> list[dict[str, Any]]:
    """Return sales as objects, each on its own day of the file's first weeks."""
    return json.loads(sample().iloc[:count].to_json(orient="records", date_format="iso", default_handler=str))  # type: ignore[no-any-return]


def begin(broker: Broker, session: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Make the session at the broker: it keeps what comes from the first collection on."""
    point(broker.address, client=session)
    with pytest.raises(Refusal, match="gave nothing within 60 s, and data/source/readings is empty"):
        collect.main()
    assert "took 0 messages" in capsys.readouterr().out


def collected(rows: list[dict[str, Any]]) -> None:
    """See that the raw table has these sales, each once."""
    assert sorted(read_frame(RAW)["id"]) == sorted(row["id"] for row in rows)


def of_file(folder: Path) -> dict[str, bytes]:
    """Return the raw table of all sales, from the parquet file."""
    point("data/source/house_sales.parquet")
    sample().to_parquet(SOURCES / "house_sales.parquet", index=False)
    collect.main()
    found = made()
    shutil.rmtree(RAW)
    return found


def test_what_came_while_nobody_listened_is_the_same_table_as_the_file(
    broker: Broker, session: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All sales, one to a message and ten, over a restart of the broker, in seconds; a later collection changes nothing."""
    wanted = of_file(workspace)
    begin(broker, session, capsys)
    rows = houses(len(sample()))
    messages = rows[:20_000] + [rows[at : at + 10] for at in range(20_000, len(rows), 10)]
    broker.publish(messages)
    broker.stop()
    broker.start()
    start = time.monotonic()
    collect.main()
    taken = time.monotonic() - start
    assert f"took {len(messages):,} messages" in capsys.readouterr().out
    assert made() == wanted
    assert taken < 30
    drops = {path.name: path.read_bytes() for path in DROPS.iterdir()}
    collect.main()
    assert "took 0 messages" in capsys.readouterr().out
    assert made() == wanted
    assert {path.name: path.read_bytes() for path in DROPS.iterdir()} == drops


def test_a_repeated_reading_counts_once(
    broker: Broker, session: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also with its fields in another order, and in another collection."""
    rows = houses()
    begin(broker, session, capsys)
    broker.publish([*rows, rows[3], dict(reversed(rows[4].items())), [rows[5], rows[5]]])
    collect.main()
    assert "took 43 messages" in capsys.readouterr().out
    collected(rows)
    broker.publish(rows[7:9])
    collect.main()
    assert len(list(DROPS.glob("*.jsonl"))) == 2
    collected(rows)


BROKEN = [b"no JSON", b"17", b"", b"\xff\xfe{}", b'{"id": 1, "id": 2}', b'{"id": NaN}', b"[1, null]", b'"two\nlines"', b'{"id": "' + b"x" * 200_000]  # fmt: skip


def test_a_broken_message_is_a_row_that_cannot_be_read(
    broker: Broker, session: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither lost nor the end of the others, and it stays so: the folder keeps it."""
    rows = houses(2_000)
    begin(broker, session, capsys)
    broker.publish([*rows[:7], *BROKEN, *rows[7:]])
    faults = len(BROKEN) + 1  # the list has two
    for _ in range(2):
        collect.main()
        assert f"{faults} cannot be read" in capsys.readouterr().out
        validate.main()
        reasons = read_frame(QUARANTINE)["reasons"]
        assert reasons.str.contains("the line is").sum() == faults
        assert len(read_frame(RAW)) == len(rows) + faults


def test_a_collection_is_bounded_and_the_rest_waits(
    broker: Broker, session: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = houses()
    begin(broker, session, capsys)
    broker.publish(rows)
    point(broker.address, client=session, count=25)
    collect.main()
    collected(rows[:25])
    assert "took 25 messages" in capsys.readouterr().out
    point(broker.address, client=session)
    collect.main()
    collected(rows)


def test_a_stream_without_end_is_bounded(
    broker: Broker, session: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A message comes every few milliseconds, for ever: it is never idle."""
    begin(broker, session, capsys)
    rows, ended = houses(20_000), threading.Event()

    def publish() -> None:
        client = publisher(broker.port)
        for row in rows:
            client.publish(TOPIC, json.dumps(row), 1)
            if ended.wait(0.002):
                break
        client.disconnect()
        client.loop_stop()

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        for bound, least in (({"seconds": 1.5}, 1.4), ({"count": 50}, 0.0)):
            point(broker.address, client=session, **bound)
            start = time.monotonic()
            collect.main()
            assert least < time.monotonic() - start < 10
            assert thread.is_alive()
    finally:
        ended.set()
        thread.join()
    assert "took 50 messages" in capsys.readouterr().out


def test_a_killed_collection_loses_nothing_and_doubles_nothing(
    broker: Broker, session: str, workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two are killed one after the other in the middle; the third ends, with all."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT / "src"))
    begin(broker, session, capsys)
    rows = houses(8_000)
    broker.publish(rows)
    incoming = DROPS / ".incoming"
    code = "from hearth.stages import collect; collect.main()"
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL) as process:
            end = time.monotonic() + 60
            while not (incoming.is_file() and incoming.stat().st_size > 500_000):
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert not list(RAW.glob("*.parquet"))
    with incoming.open("ab") as file:
        file.write(b'{"id": 7, "price"')  # as if it had been killed while it wrote
    collect.main()
    collected(rows)
    lines = [line for drop in DROPS.glob("*.jsonl") for line in drop.read_bytes().splitlines()]
    assert len(lines) >= len(set(lines)) == len(rows)  # what was written and not acknowledged came again
    assert not incoming.exists()


def refused(address: str, session: str, **options: Any) -> str:
    point(address, client=session, **options)
    with pytest.raises(Refusal) as caught:
        collect.main()
    said = str(caught.value)
    assert said.startswith(f"{address} cannot be read (")
    assert len(said.splitlines()) == 1
    assert PASSWORD not in said
    return said


def test_what_the_broker_refuses_is_a_sentence(
    broker: Broker, session: str, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "refused" in refused(f"mqtt://127.0.0.1:{free_port()}/{TOPIC}", session)
    assert "sales/#/2014: Invalid subscription filter" in refused(
        f"mqtt://127.0.0.1:{broker.port}/sales/#/2014", session
    )
    monkeypatch.setenv("HEARTH_SOURCE_PASSWORD", "wrong-password")
    said = refused(broker.address, session)
    assert "Not authorized" in said
    assert "HEARTH_SOURCE_USER and HEARTH_SOURCE_PASSWORD in the environment say who asks" in said
    assert "wrong-password" not in said
    monkeypatch.delenv("HEARTH_SOURCE_USER")
    assert "Not authorized" in refused(broker.address, session)


def test_a_topic_that_the_broker_keeps_to_itself_is_named(broker: Broker, session: str, workspace: Path) -> None:
    """Mosquitto grants the subscription, and gives nothing."""
    broker.publish(houses(3), "wages/2014")
    point(f"mqtt://127.0.0.1:{broker.port}/wages/2014", client=session)
    for _ in range(2):
        with pytest.raises(Refusal, match="Of a topic that HEARTH_SOURCE_USER may not read some brokers say nothing"):
            collect.main()
        broker.publish(houses(3), "wages/2014")


def test_an_address_without_a_topic_is_refused(workspace: Path) -> None:
    point("mqtt://127.0.0.1/", client="x")
    with pytest.raises(Refusal, match="wanted mqtt://host/topic"):
        collect.main()


def test_a_server_that_says_nothing_is_given_up(session: str, workspace: Path) -> None:
    """It takes the connection and never answers."""
    import socket

    with socket.create_server(("127.0.0.1", free_port())) as server:
        port = server.getsockname()[1]
        assert "no answer within 1 s" in refused(f"mqtt://127.0.0.1:{port}/{TOPIC}", session, seconds=1.0)


def test_a_broker_that_dies_meanwhile_keeps_what_was_not_taken(
    session: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = houses()
    with own_folder("mosquitto", this_user()) as folder:
        broker = Broker(folder, free_port())
        broker.start()
        begin(broker, session, capsys)
        broker.publish(rows)
        point(broker.address, client=session, idle=30.0)

        def stop() -> None:
            while not ((DROPS / ".incoming").is_file() and (DROPS / ".incoming").stat().st_size > 0):
                time.sleep(0.01)
            broker.stop()

        thread = threading.Thread(target=stop)
        thread.start()
        with pytest.raises(Refusal, match=r"cannot be read .*What was taken is safe in data/source/readings"):
            collect.main()
        thread.join()
        broker.start()
        point(broker.address, client=session)
        collect.main()
        broker.stop()
    collected(rows)
