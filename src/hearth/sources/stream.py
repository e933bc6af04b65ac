"""Take readings from an MQTT broker into a folder of drops, then read the folder: what is on disk is let go by the broker, nothing else.

A stream gives each reading once, so it cannot be collected twice; the folder can. The session is durable: the broker keeps what
comes while nobody listens. At-least-once delivery repeats a reading now and then; the same bytes count once.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pydantic import Field

from hearth.cells import Notation
from hearth.contract import Contract
from hearth.errors import Refusal
from hearth.lines import LINE_MAX, jsonl_rows
from hearth.paths import SOURCES
from hearth.sources.address import KEY, PASSWORD, USER, Address, credentials, told
from hearth.sources.batch import Batch
from hearth.sources.formats import of_objects
from hearth.strict import loads

SCHEMES = ("mqtt", "mqtts")
PORTS = {"mqtt": 1883, "mqtts": 8883}
KEPT_SECONDS = 0xFFFFFFFF  # for which the broker keeps the session: without end
INCOMING = ".incoming"  # what this drain has taken so far; a killed one leaves it, and the next makes it a drop
MARKS = 16  # bytes of a reading's hash, letters of a drop's name
CHUNK = 1000  # messages that become safe together at most
WAIT_S = 0.05  # for a packet
KEPT = 1000  # bytes of a line that is too long to be one


class StreamOptions(Notation):
    """Bound a drain: it ends after `count` messages, after `seconds`, or when none came for `idle` seconds.

    `folder` is the folder of data/source that keeps the readings; `client` is the name of the session at the broker.
    """

    folder: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    client: str = Field(min_length=1)
    seconds: float = Field(gt=0)
    count: int = Field(gt=0)
    idle: float = Field(default=2.0, gt=0)


class Stream:
    """Be a topic of a broker, and the folder of what came from it."""

    since = False
    undated = False

    def __init__(self, address: Address, options: StreamOptions, contract: Contract) -> None:
        """Refuse an address without a topic."""
        self._address, self._options, self._contract = address, options, contract
        self._topic = unquote(address.text.split("://", 1)[1].partition("/")[2])
        if not self._topic or not address.parts.hostname:
            raise Refusal(f"params.yaml: {KEY} is {address.text!r}, wanted {address.scheme}://host/topic.")
        self._folder = SOURCES / options.folder

    def known_before(self, day: date) -> None:
        """Return None: the drops have to be read to tell."""

    def batches(self, since: date | None, until: date) -> Iterator[Batch]:  # noqa: ARG002
        """Drain the topic into a drop, then yield the rows of all drops."""
        self._drain()
        seen: set[bytes] = set()
        drops = sorted(self._folder.glob("*.jsonl"))
        if not drops:
            raise Refusal(f"{self._address.text} gave nothing within {self._options.seconds:g} s, and {self._folder} is empty; the broker keeps "
                          f"readings from the first collection on, so publish, and collect again. Of a topic that {USER} may not read "
                          "some brokers say nothing at all.")  # fmt: skip
        for drop in drops:
            with drop.open("rb") as file:
                fresh = (row for row in jsonl_rows(drop, file) if _new(seen, row.cells))
                yield from of_objects(str(drop), fresh, self._contract, self._options)

    def _drain(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        incoming = self._folder / INCOMING
        _make_drop(incoming)  # of a drain that was killed
        with incoming.open("ab") as file:
            taken = self._take(file)
        _make_drop(incoming)
        print(f"took {taken:,} messages from {self._address.text}")

    def _take(self, file: Any) -> int:
        """Write what comes to the file and acknowledge what is safe there; return how many messages that were."""
        from paho.mqtt.client import MQTT_ERR_SUCCESS, error_string

        coming = _Coming()
        client = self._client(coming)
        taken, begun = 0, time.monotonic()
        try:
            while True:
                over = time.monotonic() - begun > self._options.seconds
                before = len(coming.messages)
                status = MQTT_ERR_SUCCESS if over else client.loop(timeout=0.0 if before else WAIT_S)
                if coming.refused or status != MQTT_ERR_SUCCESS:
                    raise self._unreachable(coming.refused or error_string(status))
                more = len(coming.messages) > before  # and perhaps another one is there: they become safe together
                room = coming.messages[: self._options.count - taken]
                if room and (over or not more or len(room) in (CHUNK, self._options.count - taken)):
                    file.write(b"".join(line for message in room for line in _lines(message.payload)))
                    file.flush()
                    os.fsync(file.fileno())
                    for message in room:
                        client.ack(message.mid, message.qos)
                    del coming.messages[: len(room)]
                    taken, coming.heard = taken + len(room), time.monotonic()
                elif coming.heard is None and over:
                    raise self._unreachable(f"no answer within {self._options.seconds:g} s")
                elif not room and (over or taken == self._options.count or self._idle(coming)):
                    return taken
        except ValueError as error:  # of a topic that is none
            raise self._unreachable(f"{self._topic}: {told(error)}") from None
        finally:
            client.disconnect()
            client.loop(timeout=WAIT_S)

    def _idle(self, coming: "_Coming") -> bool:
        return coming.heard is not None and time.monotonic() - coming.heard > self._options.idle

    def _client(self, coming: "_Coming") -> Any:
        from paho.mqtt.client import Client, MQTTv5
        from paho.mqtt.enums import CallbackAPIVersion
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        client = Client(CallbackAPIVersion.VERSION2, self._options.client, protocol=MQTTv5, manual_ack=True)
        user, password = credentials()
        if user:
            client.username_pw_set(user, password)
        if self._address.scheme == "mqtts":
            client.tls_set()

        def connected(client: Any, _userdata: Any, _flags: Any, code: Any, _properties: Any) -> None:
            if code.is_failure:
                coming.refused = coming.refused or str(code)
            else:
                client.subscribe(self._topic, qos=1)

        def subscribed(_client: Any, _userdata: Any, _mid: int, codes: list[Any], _properties: Any) -> None:
            coming.heard = time.monotonic()
            coming.refused = next((f"{self._topic}: {code}" for code in codes if code.is_failure), coming.refused)

        def lost(_client: Any, _userdata: Any, _flags: Any, code: Any, _properties: Any) -> None:
            if code.is_failure:
                coming.refused = coming.refused or f"the connection was lost: {code}"

        client.on_connect, client.on_subscribe, client.on_disconnect = connected, subscribed, lost
        client.on_message = lambda _client, _userdata, message: coming.messages.append(message)
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = KEPT_SECONDS
        try:
            client.connect(str(self._address.parts.hostname), self._address.parts.port or PORTS[self._address.scheme],
                           clean_start=False, properties=session)  # fmt: skip
        except (OSError, ValueError) as error:
            raise self._unreachable(told(error)) from None
        return client

    def _unreachable(self, why: str) -> Refusal:
        return Refusal(f"{self._address.text} cannot be read ({why}); check that the broker is up, and who may read it: {USER} and {PASSWORD} in "
                       f"the environment say who asks. What was taken is safe in {self._folder}.")  # fmt: skip


@dataclass
class _Coming:
    """Hold what came and is not safe yet, why nothing comes, and when something was heard, first that the topic may be read."""

    messages: list[Any] = field(default_factory=list)
    refused: str = ""
    heard: float | None = None


def _lines(payload: bytes) -> list[bytes]:
    """Return a message as lines, one for each reading: an object is one, a list has several; what is neither goes on as it is."""
    try:
        document = loads(payload.decode("utf-8"))
    except ValueError:
        plain = payload.replace(b"\n", b" ").replace(b"\r", b" ").strip() or b'""'  # an empty line would be no row
        return [_short(plain + b"\n")]
    entries = document if isinstance(document, list) else [document]
    return [
        _short(json.dumps(entry, ensure_ascii=False).encode(errors="backslashreplace") + b"\n") for entry in entries
    ]


def _short(line: bytes) -> bytes:
    """Return the line, or the start of one that no reader of lines would take: a row that cannot be read, which costs no other."""
    return line if len(line) <= LINE_MAX else line[:KEPT] + b"\n"


def _make_drop(incoming: Path) -> None:
    """Give what has come the name of its content; a last line that is not whole was not acknowledged, and comes again."""
    if not incoming.is_file():
        return
    whole, content = 0, hashlib.sha256()
    with incoming.open("r+b") as file:
        for line in file:
            if line.endswith(b"\n"):
                whole += len(line)
                content.update(line)
        file.truncate(whole)
    if whole:
        incoming.replace(incoming.with_name(f"{content.hexdigest()[:MARKS]}.jsonl"))
    else:
        incoming.unlink()


def _new(seen: set[bytes], cells: Any) -> bool:
    mark = hashlib.sha256(json.dumps(cells, sort_keys=True, default=str).encode(errors="replace")).digest()[:MARKS]
    if mark in seen:
        return False
    seen.add(mark)
    return True
