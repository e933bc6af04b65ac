"""Answer with the model and nothing else: the yardstick."""

from typing import Any

import orjson
from model import price

HEADERS = [(b"content-type", b"application/json")]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Be an ASGI application without routes, checks or limits."""
    if scope["type"] != "http" or scope["method"] != "POST":
        return
    message = await receive()
    content = orjson.dumps(price(orjson.loads(message["body"])))
    head = [*HEADERS, (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": content})
