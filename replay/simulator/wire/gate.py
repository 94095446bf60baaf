"""The steps around every request to Alpaca's APIs: keys, rate limit, faults, log, common headers."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from hmac import compare_digest
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from replay.simulator.intake.refusal import not_found
from replay.simulator.wire import effects
from replay.simulator.wire.armed import Armed, striking
from replay.simulator.wire.delivery import PROMPT, ClientGone, Delivery, Reply, deliver, read_body
from replay.simulator.wire.simulation import Keys, RateLimit, Simulation

Answer = Callable[[Scope, bytes, tuple[Armed, ...]], Reply]
"""Returns the reply to a request with its body, given the faults that are drawn for it."""

_UNAUTHORIZED = {"message": "unauthorized."}


@dataclass(frozen=True, slots=True)
class Api:
    """One of Alpaca's APIs: its rate limit, and the statuses whose replies lack the limit's headers."""

    limit: Callable[[Simulation], RateLimit]
    without_limit: frozenset[int] = frozenset()


TRADING = Api(lambda simulation: simulation.limit)
DATA = Api(lambda simulation: simulation.data_limit, without_limit=frozenset({401, 403, 500}))


class Gate:
    """An ASGI app around a function that answers requests.

    The function is called while the simulation's lock is held: concurrent requests, by socket and by adapter,
    are carried out one after the other.
    """

    def __init__(self, answer: Answer, simulation: Simulation, api: Api) -> None:
        self._answer = answer
        self._simulation = simulation
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, unless the client disconnects before it is complete."""
        try:
            body = await read_body(receive)
        except ClientGone:
            return
        simulation, wire = self._simulation, scope["state"]["wire"]
        with simulation.lock:
            refusal = self._refusal(scope)
            drawn = () if refusal else simulation.faults.drawn(scope["method"], scope["path"])
        if drawn and (seconds := sum(effects.wait_before_s(armed.fault) for armed in drawn)):
            await wire.wait(seconds)
        with simulation.lock:
            reply, delivery = (refusal, PROMPT) if refusal else self._carried_out(scope, body, drawn)
            request_id = simulation.next_request_id()
            if (not reply.headers or reply.status == 405) and reply.status not in self._api.without_limit:
                reply.headers += self._api.limit(simulation).headers()
            reply.headers.append((b"x-request-id", request_id.encode()))
            query = scope["query_string"].decode("latin-1")
            about = (simulation.clock.now_ns(), scope["method"], scope["path"], query)
            simulation.seen.append((*about, reply.status, body, request_id, not delivery.lost))
        await deliver(reply, delivery, wire, receive, send)

    def _refusal(self, scope: Scope) -> Reply | None:
        if not may_trade(scope, self._simulation.keys):
            return Reply.of(401, _UNAUTHORIZED)
        limit = self._api.limit(self._simulation)
        return None if limit.take() else effects.rate_limited(limit, [])

    def _carried_out(self, scope: Scope, body: bytes, drawn: tuple[Armed, ...]) -> tuple[Reply, Delivery]:
        simulation = self._simulation
        try:
            simulation.venue.advance()
            if drawn:
                return self._struck(scope, body, drawn)
            return self._not_found_yet(scope) or self._answer(scope, body, ()), PROMPT
        except Exception as error:
            simulation.failed(f"{scope['method']} {scope['path']}", error)
            return effects.internal_error(), PROMPT

    def _struck(self, scope: Scope, body: bytes, drawn: tuple[Armed, ...]) -> tuple[Reply, Delivery]:
        simulation, method, path = self._simulation, scope["method"], scope["path"]
        limit, now_s = self._api.limit(simulation), simulation.wall()
        replies = (effects.instead(armed.fault, limit, now_s) for armed in drawn)
        early = [reply for reply in replies if reply is not None]
        if early:
            return early[0], effects.delivery(striking(drawn, accepted=False))
        for armed in drawn:
            effects.before(armed.fault, method, path, simulation)
        reply = done = self._not_found_yet(scope) or self._answer(scope, body, drawn)
        faults = striking(drawn, accepted=200 <= done.status < 300)
        for fault in faults:
            reply = effects.after(fault, path, done, simulation) or reply
        return reply, effects.delivery(faults)

    def _not_found_yet(self, scope: Scope) -> Reply | None:
        hidden = self._simulation.hidden
        if not hidden or scope["method"] not in ("GET", "HEAD"):
            return None
        path: str = scope["path"]
        if path == "/v2/orders:by_client_order_id":
            key = parse_qs(scope["query_string"].decode("latin-1")).get("client_order_id", [""])[-1]
        else:
            key = path.removeprefix("/v2/orders/")
        if not hidden.hides(key, self._simulation.clock.now_ns()):
            return None
        refusal = not_found(f"order not found for {key}")
        return Reply.of(refusal.status, refusal.body)


def may_trade(scope: Scope, keys: Keys) -> bool:
    """Return whether a request has the valid keys, in Alpaca's headers or as HTTP Basic; never as Bearer."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    key, secret = headers.get(b"apca-api-key-id", b""), headers.get(b"apca-api-secret-key", b"")
    authorization = headers.get(b"authorization", b"")
    if not key and authorization[:6].lower() == b"basic ":
        key, secret = _basic(authorization[6:])
    return compare_digest(key, keys.key.encode()) and compare_digest(secret, keys.secret.encode())


def _basic(credentials: bytes) -> tuple[bytes, bytes]:
    try:
        key, _, secret = base64.b64decode(credentials.strip(), validate=True).partition(b":")
    except binascii.Error:
        return b"", b""
    return key, secret
