"""A reply, how it is delivered, and the connection that it is delivered on."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Protocol

import orjson
from starlette.types import Receive, Send

JSON = b"application/json; charset=UTF-8"
HTML = b"text/html"

Headers = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class Reply:
    """A whole reply: status, body, and headers beyond those that every reply has."""

    status: int
    body: bytes = b""
    content_type: bytes = JSON
    headers: Headers = field(default_factory=list)

    @classmethod
    def of(cls, status: int, body: object) -> Reply:
        """Return a reply whose body is a value as JSON."""
        return cls(status, orjson.dumps(body))


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a reply reaches the client.

    ``wait_s``: after that many seconds. ``lost``: not at all, the connection is dropped instead. ``pieces``:
    the body in that many parts with ``pause_s`` seconds before each. ``missing_bytes``: that many of the last
    bytes that Content-Length counts are not sent; the connection is closed instead. ``has_length`` False: no
    Content-Length, the reply ends with the connection. ``cut_after_status``: only a status line with this
    number and one header are sent, without the empty line that ends headers.
    """

    wait_s: float = 0.0
    lost: bool = False
    pieces: int = 1
    pause_s: float = 0.0
    missing_bytes: int = 0
    has_length: bool = True
    cut_after_status: int | None = None


PROMPT = Delivery()


class ClientGone(Exception):
    """The client disconnected before its request was complete; nothing is carried out."""


class Wire(Protocol):
    """A connection, as far as faults need it. Server and adapter put theirs into the scope's state."""

    async def wait(self, seconds: float) -> None:
        """Wait that many seconds."""

    def together(self) -> None:
        """Send the head of the reply together with its body, in one piece."""

    def drop(self) -> None:
        """Break the connection at once."""

    def cut(self, status: int) -> None:
        """Send a status line and one header, and close the connection once they are sent."""

    def end_without_length(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a reply without a length, and close the connection once it is sent."""

    def close(self) -> None:
        """Close the connection once all data is sent."""


async def deliver(reply: Reply, delivery: Delivery, wire: Wire, receive: Receive, send: Send) -> None:
    """Send a reply as a delivery says."""
    if delivery.wait_s:
        await wire.wait(delivery.wait_s)
    if delivery.lost:
        wire.drop()
        await _disconnected(receive)
        return
    if delivery.cut_after_status is not None:
        wire.cut(delivery.cut_after_status)
        await _disconnected(receive)
        return
    if not delivery.has_length:
        coming = reply.body[: max(0, len(reply.body) - delivery.missing_bytes)]
        headers = [header for header in _headers(reply) if header[0] != b"content-length"]
        wire.end_without_length(reply.status, headers, coming)
        await _disconnected(receive)
        return
    if delivery is PROMPT:
        wire.together()
    await send({"type": "http.response.start", "status": reply.status, "headers": _headers(reply)})
    if delivery is PROMPT or not reply.body:
        await send({"type": "http.response.body", "body": reply.body})
        return
    body = reply.body
    missing = min(delivery.missing_bytes, len(body))
    coming = body[: len(body) - missing]
    for piece in _pieces(coming, delivery.pieces):
        if delivery.pause_s:
            await wire.wait(delivery.pause_s)
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    if missing:
        wire.close()
        await _disconnected(receive)
    else:
        await send({"type": "http.response.body", "body": b""})


def run_to_end(work: Awaitable[None]) -> None:
    """Run a coroutine that never waits, without an event loop.

    Raises RuntimeError if it waits.
    """
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration:
        return
    raise RuntimeError("the app waited for something other than its own wire")


def _headers(reply: Reply) -> Headers:
    headers = [(b"content-type", reply.content_type), *reply.headers]
    if reply.status != 204:
        headers.append((b"content-length", b"%d" % len(reply.body)))
    return headers


def _pieces(body: bytes, count: int) -> list[bytes]:
    size = max(1, -(-len(body) // count))
    return [body[start : start + size] for start in range(0, len(body), size)]


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def read_body(receive: Receive) -> bytes:
    """Return the whole body of a request. Raises ``ClientGone``."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    pieces = [body]
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        pieces.append(message.get("body", b""))
    return b"".join(pieces)
