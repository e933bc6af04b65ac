"""Hang up on clients that open a connection and do not get to the end of a request's head.

Uvicorn waits for a head for ever, so that a few thousand slow clients hold all of a server's connections (slow-loris).
It has no setting for that, and BentoML no way to name another protocol; so the protocol that uvicorn picks by itself
is replaced, before the server makes its first connection, by one that has a timer.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http import auto
from uvicorn.protocols.http.auto import AutoHTTPProtocol


def be_impatient(seconds: float) -> None:
    """Let this process's uvicorn give each request's head so many seconds from its first byte, or the connection's start."""
    base: Any = AutoHTTPProtocol

    class Impatient(base):  # type: ignore[misc]  # whichever of uvicorn's protocols it is
        _patience: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._wait()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._wait()

        def on_headers_complete(self) -> None:
            self._forget()
            super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            super().connection_lost(exc)

        def _wait(self) -> None:
            self._forget()
            self._patience = self.loop.call_later(seconds, self.transport.close)

        def _forget(self) -> None:
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None

    auto.AutoHTTPProtocol = Impatient
