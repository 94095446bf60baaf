from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from engine.accounts.connection import Connection
from engine.brokers.alpaca.broker import AlpacaBroker
from engine.brokers.trading import SENDERS
from engine.model.orders import OrderIntent
from engine.routing.symbol_queue import each
from replay.simulator.server import Simulator
from tests.engine.brokers.simulated import KEY, NOON, SECRET, intent

_ROUNDS = 3
_UNHURRIED = 1_000_000  # requests a minute: the pace is no matter


def test_a_run_that_sends_as_many_orders_as_it_may_keeps_a_connection_for_each_sender() -> None:
    start_ns = int(NOON.timestamp()) * 10**9
    simulator = Simulator(key=KEY, secret=SECRET, clock="manual", start_ns=start_ns, rate_limit=_UNHURRIED)
    connections: set[tuple[str, int]] = set()
    simulator.app = _met(simulator.app, connections)
    with simulator.serving() as address:
        broker = AlpacaBroker(api_key=KEY, secret_key=SECRET, trading_host=address)
        broker.get_clock()  # whose reply says how fast requests may come
        orders = [intent(client_intent_id=f"intent-{number}") for number in range(SENDERS * _ROUNDS)]
        between = threading.Barrier(SENDERS, timeout=10)  # then every connection is idle at the same time

        def place(order: OrderIntent) -> None:
            broker.place_order(intent=order)
            between.wait()

        each(orders, place, queue_of=id, at_once=Connection.orders_at_once)
    assert len(connections) == Connection.orders_at_once == SENDERS


def _met(app: Any, connections: set[tuple[str, int]]) -> Callable[..., Any]:
    """Answer orders once as many are there as are sent at the same time; note where each came from."""
    meeting = asyncio.Barrier(SENDERS)

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            connections.add(tuple(scope["client"]))
            await asyncio.wait_for(meeting.wait(), timeout=10)
        await app(scope, receive, send)

    return counted
