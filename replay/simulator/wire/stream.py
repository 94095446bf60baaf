"""The websocket ``/stream``: trade updates, pushed to every client that listens.

A client authenticates, then listens::

    {"action": "authenticate", "data": {"key_id": "…", "secret_key": "…"}}    or, documented since 2025:
    {"action": "auth", "key": "…", "secret": "…"}
    {"action": "listen", "data": {"streams": ["trade_updates"]}}

Messages are JSON in binary frames, as from Alpaca's paper host; ``/stream?frames=text`` has them in text
frames. Clients may send either. MessagePack, which Alpaca also speaks, is refused.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from hmac import compare_digest
from typing import Any
from urllib.parse import parse_qs

import orjson
from starlette.types import Message, Receive, Scope, Send

from replay.simulator.wire.delivery import JSON
from replay.simulator.wire.listening import TRADE_UPDATES, Listener
from replay.simulator.wire.simulation import Keys, Simulation

PATH = "/stream"

_PAUSE_S = 0.01  # between two looks at the market while no request makes the venue advance
_LAST_S = 1.0  # for the reason of a refusal to be sent
_FRAMES = frozenset({"", "binary", "text"})


class Refused(Exception):
    """A message that isn't understood; the client is told why, and the connection is closed."""


class Session:
    """What one client has asked for so far: messages in, replies out."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._authorized = False
        self.streams: list[str] = []

    def reply(self, message: str | bytes) -> dict[str, Any]:
        """Return the reply to a message; raises ``Refused`` for one that isn't understood."""
        try:
            body = orjson.loads(message)
        except orjson.JSONDecodeError:
            raise Refused("message is not valid JSON") from None
        if not isinstance(body, dict):
            raise Refused("message is not a JSON object")
        match body.get("action"):
            case "authenticate" | "auth":
                return self._authenticated(body)
            case "listen" if self._authorized:
                return self._listening(body)
            case "listen":
                return _authorization("unauthorized", "listen")
            case _:
                raise Refused("action is not one of authenticate, auth and listen")

    def _authenticated(self, body: dict[str, Any]) -> dict[str, Any]:
        data = body.get("data")
        if isinstance(data, dict):
            key, secret = data.get("key_id"), data.get("secret_key")
        else:
            key, secret = body.get("key"), body.get("secret")
        self._authorized = _same(key, self._keys.key) and _same(secret, self._keys.secret)
        if not self._authorized:
            self.streams = []
        return _authorization("authorized" if self._authorized else "unauthorized", "authenticate")

    def _listening(self, body: dict[str, Any]) -> dict[str, Any]:
        data = body.get("data")
        streams = data.get("streams") if isinstance(data, dict) else None
        if not isinstance(streams, list):
            raise Refused("data.streams is not a list of streams")
        self.streams = [TRADE_UPDATES] if TRADE_UPDATES in streams else []
        return {"stream": "listening", "data": {"streams": self.streams}}


class Stream:
    """An ASGI app for websockets: one session and one listener for each connection."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._looked_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection until the client leaves, is too far behind, or sends what isn't understood."""
        await receive()  # websocket.connect
        frames = parse_qs(scope["query_string"].decode("latin-1")).get("frames", [""])[-1]
        if (refusal := _refusal(scope, frames)) is not None:
            await _refuse(send, *refusal)
            return
        await send({"type": "websocket.accept"})
        listener = Listener(scope["state"]["wire"].drop)
        sender = asyncio.create_task(self._send_all(listener, send, as_text=frames == "text"))
        try:
            await self._read_all(listener, receive)
            await asyncio.wait({sender}, timeout=_LAST_S)
        finally:
            self._simulation.unlisten(listener)
            sender.cancel()

    async def _read_all(self, listener: Listener, receive: Receive) -> None:
        session = Session(self._simulation.keys)
        while (message := await receive())["type"] == "websocket.receive":
            try:
                with self._simulation.lock:
                    # The reply comes before the first update, and the last update before the reply.
                    listener.put(orjson.dumps(session.reply(_content(message))))
                    if session.streams:
                        self._simulation.listen(listener)
                    else:
                        self._simulation.unlisten(listener)
            except Refused as refused:
                listener.put(orjson.dumps({"action": "error", "data": {"error_message": str(refused)}}))
                break
        listener.end()

    async def _send_all(self, listener: Listener, send: Send, *, as_text: bool) -> None:
        with suppress(OSError):  # the client has left
            while not listener.done:
                message = await listener.next(_PAUSE_S)
                if message is not None:
                    content = {"text": message.decode()} if as_text else {"bytes": message}
                    await send({"type": "websocket.send", **content})
                else:
                    self._look()
            await send({"type": "websocket.close", "code": 1000})

    def _look(self) -> None:
        """Let the venue advance, at most once each pause however many clients there are."""
        now = asyncio.get_running_loop().time()
        if now - self._looked_at >= _PAUSE_S / 2:
            self._looked_at = now
            self._simulation.look()


def _content(message: Message) -> str | bytes:
    text: str | None = message.get("text")
    return message["bytes"] if text is None else text


def _authorization(status: str, action: str) -> dict[str, Any]:
    return {"stream": "authorization", "data": {"status": status, "action": action}}


def _same(sent: object, expected: str) -> bool:
    return isinstance(sent, str) and compare_digest(sent.encode(), expected.encode())


def _refusal(scope: Scope, frames: str) -> tuple[int, str] | None:
    if scope["path"] != PATH:
        return 404, f"There is no websocket {scope['path']}; trade updates are at {PATH}."
    if frames not in _FRAMES:
        return 400, f"frames is {frames!r}; expected text or binary. Leave it out for binary frames."
    content_types = [value for name, value in scope["headers"] if name == b"content-type"]
    if any(b"msgpack" in value.lower() for value in content_types):
        return 415, "The simulator's stream speaks JSON only. Leave out Content-Type: application/msgpack."
    return None


async def _refuse(send: Send, status: int, message: str) -> None:
    headers = [(b"content-type", JSON)]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    body = orjson.dumps({"message": message})
    await send({"type": "websocket.http.response.body", "body": body})
