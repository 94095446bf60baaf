"""Alpaca's own SDK listens to the simulator's trade updates."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, TimeInForce, TradeEvent
from alpaca.trading.models import TradeUpdate
from alpaca.trading.requests import LimitOrderRequest, MarketOrderRequest
from alpaca.trading.stream import TradingStream

from replay.simulator.server import Simulator
from tests.replay.simulator.conformance.desk import NOON_NS


@pytest.fixture
def simulator() -> Simulator:
    return Simulator(seed=7, clock="manual", start_ns=NOON_NS, partial_fill_probability=0)


@pytest.fixture
def address(simulator: Simulator) -> Iterator[str]:
    with simulator.serving() as address:
        yield address


def stream(address: str, secret: str = "test-secret") -> TradingStream:
    return TradingStream(
        "test-key", secret, url_override=address.replace("http", "ws") + "/stream", websocket_params={}
    )


async def updates_of(simulator: Simulator, address: str) -> list[TradeUpdate]:
    """Return what the SDK reports of a purchase and of an order that is cancelled."""
    reported: asyncio.Queue[TradeUpdate] = asyncio.Queue()
    listening = stream(address)

    async def report(update: TradeUpdate) -> None:
        await reported.put(update)

    listening.subscribe_trade_updates(report)
    running = asyncio.create_task(listening._run_forever())
    while simulator.venue.updates.listener is None:
        await asyncio.sleep(0.01)
    buy_and_cancel(simulator, address)
    updates = [await asyncio.wait_for(reported.get(), 5) for _ in range(7)]
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await listening.close()
    return updates


def buy_and_cancel(simulator: Simulator, address: str) -> None:
    client = TradingClient("test-key", "test-secret", url_override=address)
    client._session.trust_env = False
    terms = {"symbol": "AAPL", "qty": 2, "side": OrderSide.BUY, "time_in_force": TimeInForce.DAY}
    client.submit_order(MarketOrderRequest(**terms, client_order_id="bought"))
    simulator.simulation.clock.advance(1)
    client.submit_order(LimitOrderRequest(**terms, limit_price=1, client_order_id="cancelled"))
    simulator.simulation.clock.advance(1)
    client.cancel_orders()
    client._session.close()
    simulator.simulation.clock.advance(1)


def test_the_sdk_is_told_of_fills_and_cancels(simulator: Simulator, address: str) -> None:
    updates = asyncio.run(updates_of(simulator, address))
    assert [(update.order.client_order_id, update.event) for update in updates] == [
        ("bought", TradeEvent.PENDING_NEW),
        ("bought", TradeEvent.NEW),
        ("bought", TradeEvent.FILL),
        ("cancelled", TradeEvent.PENDING_NEW),
        ("cancelled", TradeEvent.NEW),
        ("cancelled", TradeEvent.PENDING_CANCEL),
        ("cancelled", TradeEvent.CANCELED),
    ]
    fill = updates[2]
    assert (fill.qty, fill.position_qty, fill.order.filled_qty) == (2, 2, "2")
    assert fill.execution_id is not None
    assert fill.timestamp == fill.order.filled_at


def test_the_sdk_understands_that_its_keys_are_wrong(address: str) -> None:
    async def connect() -> None:
        listening = stream(address, secret="wrong")
        await listening._connect()
        with pytest.raises(ValueError, match="failed to authenticate"):
            await listening._auth()
        await listening.close()

    asyncio.run(connect())
