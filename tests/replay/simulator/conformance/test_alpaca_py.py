"""Alpaca's own SDK, over a socket, cannot tell the simulator from Alpaca."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from alpaca.common.exceptions import APIError
from alpaca.trading import models
from alpaca.trading import requests as asks
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import (
    AssetClass,
    CorporateActionType,
    OrderClass,
    OrderSide,
    OrderStatus,
    OrderType,
    QueryOrderStatus,
    TimeInForce,
)

from replay.simulator.server import Simulator
from replay.simulator.wire.faults import from_json
from tests.replay.simulator.conformance.desk import NOON_NS

ORDER: dict[str, Any] = {
    "symbol": "AAPL",
    "qty": 2,
    "side": OrderSide.BUY,
    "time_in_force": TimeInForce.DAY,
}


class Account:
    """The SDK's client, and what it is asked most."""

    def __init__(self, client: TradingClient, simulator: Simulator) -> None:
        self.client = client
        self.simulator = simulator

    def submit(self, kind: Callable[..., asks.OrderRequest], **more: Any) -> models.Order:
        values = {name: value for name, value in (ORDER | more).items() if value is not None}
        order = self.client.submit_order(kind(**values))
        assert isinstance(order, models.Order)
        return order

    def order(self, order: models.Order) -> models.Order:
        found = self.client.get_order_by_id(order.id)
        assert isinstance(found, models.Order)
        return found

    def orders(self, **filters: Any) -> list[models.Order]:
        found = self.client.get_orders(asks.GetOrdersRequest(**filters))
        return [order for order in found if isinstance(order, models.Order)]

    def price(self, share: str) -> float:
        now_ns = self.simulator.simulation.clock.now_ns()
        price = Decimal(self.simulator.venue.market.price("AAPL", now_ns))
        return float((price * Decimal(share)).quantize(Decimal("0.01")))

    def wait(self) -> None:
        self.simulator.simulation.clock.advance(5)


@pytest.fixture
def account() -> Iterator[Account]:
    simulator = Simulator(seed=7, clock="manual", start_ns=NOON_NS, partial_fill_probability=0)
    with simulator.serving() as address:
        client = TradingClient("test-key", "test-secret", paper=True, url_override=address)
        client._session.trust_env = False
        yield Account(client, simulator)
        client._session.close()


def test_a_market_order_is_submitted_filled_and_found_by_both_ids(account: Account) -> None:
    order = account.submit(asks.MarketOrderRequest, client_order_id="mine")
    assert order.status == OrderStatus.PENDING_NEW
    account.wait()
    assert account.order(order).status == OrderStatus.FILLED
    found = account.client.get_order_by_client_id("mine")
    assert isinstance(found, models.Order)
    assert (found.id, found.filled_qty, found.qty) == (order.id, "2", "2")


def test_a_notional_order_is_filled_in_parts_of_a_share(account: Account) -> None:
    order = account.submit(asks.MarketOrderRequest, qty=None, notional=150)
    account.wait()
    filled = account.order(order)
    assert (filled.notional, filled.qty, filled.status) == ("150", None, OrderStatus.FILLED)
    assert 1 < Decimal(str(filled.filled_qty)) < 2


@pytest.mark.parametrize(
    ("kind", "prices", "type_"),
    [
        (asks.LimitOrderRequest, {"limit_price": "0.9"}, OrderType.LIMIT),
        (asks.StopOrderRequest, {"stop_price": "1.1"}, OrderType.STOP),
        (asks.StopLimitOrderRequest, {"stop_price": "1.1", "limit_price": "1.2"}, OrderType.STOP_LIMIT),
    ],
)
def test_an_order_away_from_the_market_waits(
    account: Account, kind: Callable[..., asks.OrderRequest], prices: dict[str, str], type_: OrderType
) -> None:
    asked = {name: account.price(share) for name, share in prices.items()}
    order = account.submit(kind, **asked)
    account.wait()
    found = account.order(order)
    assert (found.type, found.status) == (type_, OrderStatus.NEW)
    assert {name: float(getattr(found, name)) for name in asked} == asked


def test_a_trailing_stop_has_its_high_water_mark(account: Account) -> None:
    order = account.submit(asks.TrailingStopOrderRequest, trail_percent=5)
    account.wait()
    found = account.order(order)
    assert (found.type, found.trail_percent) == (OrderType.TRAILING_STOP, "5")
    assert found.hwm is not None


def test_a_bracket_has_two_legs_that_are_held(account: Account) -> None:
    order = account.submit(
        asks.LimitOrderRequest,
        limit_price=account.price("0.9"),
        order_class=OrderClass.BRACKET,
        take_profit=asks.TakeProfitRequest(limit_price=account.price("1.1")),
        stop_loss=asks.StopLossRequest(stop_price=account.price("0.8")),
    )
    assert [leg.status for leg in order.legs or []] == [OrderStatus.HELD] * 2
    (nested,) = account.orders(nested=True)
    assert {leg.id for leg in nested.legs or []} == {leg.id for leg in order.legs or []}


def test_an_oto_has_one_leg(account: Account) -> None:
    order = account.submit(
        asks.MarketOrderRequest,
        order_class=OrderClass.OTO,
        stop_loss=asks.StopLossRequest(stop_price=account.price("0.8")),
    )
    (leg,) = order.legs or []
    account.wait()
    assert account.order(leg).status == OrderStatus.NEW


def test_an_oco_closes_a_position(account: Account) -> None:
    account.submit(asks.MarketOrderRequest)
    account.wait()
    order = account.submit(
        asks.LimitOrderRequest,
        side=OrderSide.SELL,
        limit_price=account.price("1.1"),
        order_class=OrderClass.OCO,
        take_profit=asks.TakeProfitRequest(limit_price=account.price("1.1")),
        stop_loss=asks.StopLossRequest(stop_price=account.price("0.8")),
    )
    (leg,) = order.legs or []
    assert (order.type, leg.type, leg.status) == (OrderType.LIMIT, OrderType.STOP, OrderStatus.HELD)


def test_orders_are_listed_by_status_symbol_side_and_time(account: Account) -> None:
    account.submit(asks.MarketOrderRequest)
    account.submit(asks.MarketOrderRequest, symbol="KO")
    account.wait()
    waiting = account.submit(asks.LimitOrderRequest, limit_price=account.price("0.9"))
    account.wait()
    assert [order.id for order in account.orders()] == [waiting.id]
    closed = account.orders(status=QueryOrderStatus.CLOSED)
    assert {order.symbol for order in closed} == {"AAPL", "KO"}
    every = account.orders(status=QueryOrderStatus.ALL)
    assert len(every) == 3
    assert every == sorted(every, key=lambda order: order.submitted_at, reverse=True)
    assert len(account.orders(status=QueryOrderStatus.ALL, symbols=["AAPL"], side=OrderSide.BUY)) == 2
    assert account.orders(status=QueryOrderStatus.ALL, side=OrderSide.SELL) == []
    assert len(account.orders(status=QueryOrderStatus.ALL, limit=1)) == 1
    before = account.orders(status=QueryOrderStatus.ALL, until=waiting.submitted_at)
    assert {order.id for order in before} == {order.id for order in closed}


def test_an_order_is_replaced_by_a_new_one(account: Account) -> None:
    old = account.submit(asks.LimitOrderRequest, limit_price=account.price("0.9"))
    account.wait()
    new = account.client.replace_order_by_id(old.id, asks.ReplaceOrderRequest(qty=3, client_order_id="new"))
    assert isinstance(new, models.Order)
    account.wait()
    assert (new.qty, new.replaces, new.client_order_id) == ("3", old.id, "new")
    assert (account.order(old).status, account.order(old).replaced_by) == (OrderStatus.REPLACED, new.id)


def test_one_order_is_cancelled_and_then_all(account: Account) -> None:
    placed = [
        account.submit(asks.LimitOrderRequest, limit_price=account.price(share))
        for share in ("0.9", "0.91", "0.92")
    ]
    account.wait()
    account.client.cancel_order_by_id(placed[0].id)
    account.wait()
    assert account.order(placed[0]).status == OrderStatus.CANCELED
    rows = account.client.cancel_orders()
    assert {row.id for row in rows if isinstance(row, asks.CancelOrderResponse)} == {
        order.id for order in placed[1:]
    }
    account.wait()
    assert account.orders() == []


def test_positions_are_read_and_closed_one_by_one_and_all_at_once(account: Account) -> None:
    for symbol in ("AAPL", "KO", "MSFT"):
        account.submit(asks.MarketOrderRequest, symbol=symbol, qty=4)
    account.wait()
    positions = account.client.get_all_positions()
    assert {each.symbol for each in positions if isinstance(each, models.Position)} == {"AAPL", "KO", "MSFT"}
    account.client.close_position("AAPL", asks.ClosePositionRequest(qty="1"))
    account.client.close_position("KO")
    account.wait()
    left = account.client.get_open_position("AAPL")
    assert isinstance(left, models.Position)
    assert (left.qty, left.qty_available) == ("3", "3")
    with pytest.raises(APIError, match="position does not exist"):
        account.client.get_open_position("KO")
    rows = account.client.close_all_positions(cancel_orders=True)
    assert {(row.symbol, row.status) for row in rows if isinstance(row, models.ClosePositionResponse)} == {
        ("AAPL", 200),
        ("MSFT", 200),
    }
    account.wait()
    assert account.client.get_all_positions() == []


def test_the_account_is_read(account: Account) -> None:
    found = account.client.get_account()
    assert isinstance(found, models.TradeAccount)
    assert (found.cash, found.buying_power, found.multiplier) == ("100000", "400000", "4")


def test_configurations_are_read_changed_and_kept(account: Account) -> None:
    configurations = account.client.get_account_configurations()
    assert isinstance(configurations, models.AccountConfiguration)
    configurations.no_shorting = True
    changed = account.client.set_account_configurations(configurations)
    assert isinstance(changed, models.AccountConfiguration)
    assert changed.no_shorting is True
    assert account.client.get_account_configurations() == changed
    with pytest.raises(APIError, match="account is not allowed to short"):
        account.submit(asks.MarketOrderRequest, side=OrderSide.SELL)


def test_clock_and_calendar_are_read(account: Account) -> None:
    clock = account.client.get_clock()
    assert isinstance(clock, models.Clock)
    assert clock.is_open
    assert clock.timestamp < clock.next_close < clock.next_open
    days = account.client.get_calendar(
        asks.GetCalendarRequest(start=date(2026, 11, 25), end=date(2026, 11, 27))
    )
    hours = [(each.open.hour, each.close.hour) for each in days if isinstance(each, models.Calendar)]
    assert hours == [(9, 16), (9, 13)]


def test_assets_are_listed_and_found_by_symbol_and_id(account: Account) -> None:
    listed = account.client.get_all_assets(asks.GetAssetsRequest(asset_class=AssetClass.US_EQUITY))
    assert len(listed) > 100
    asset = account.client.get_asset("AAPL")
    assert isinstance(asset, models.Asset)
    assert account.client.get_asset(str(asset.id)) == asset


def test_fills_are_read_as_activities(account: Account) -> None:
    # The SDK's trading client has no method for activities, but asks for any path with its keys.
    order = account.submit(asks.MarketOrderRequest)
    account.wait()
    (fill,) = account.client.get("/account/activities/FILL")
    assert (fill["order_id"], fill["qty"], fill["leaves_qty"]) == (str(order.id), "2", "0")


def test_watchlists_are_kept(account: Account) -> None:
    client = account.client
    made = client.create_watchlist(asks.CreateWatchlistRequest(name="mine", symbols=["AAPL"]))
    assert isinstance(made, models.Watchlist)
    client.add_asset_to_watchlist_by_id(made.id, "KO")
    client.update_watchlist_by_id(made.id, asks.UpdateWatchlistRequest(name="yours"))
    client.remove_asset_from_watchlist_by_id(made.id, "AAPL")
    found = client.get_watchlist_by_id(made.id)
    assert isinstance(found, models.Watchlist)
    assert (found.name, [asset.symbol for asset in found.assets or []]) == ("yours", ["KO"])
    assert [each.id for each in client.get_watchlists() if isinstance(each, models.Watchlist)] == [made.id]
    client.delete_watchlist_by_id(made.id)
    assert client.get_watchlists() == []


def test_the_history_of_the_portfolio_is_read(account: Account) -> None:
    asked = asks.GetPortfolioHistoryRequest(period="1D", timeframe="1H")
    history = account.client.get_portfolio_history(asked)
    assert isinstance(history, models.PortfolioHistory)
    assert (history.timeframe, history.equity[-1], history.profit_loss[-1]) == ("1H", 100000, 0)


def test_a_split_is_announced(account: Account) -> None:
    account.simulator.venue.split("AAPL", Decimal(4))
    day = date(2026, 10, 8)
    asked = asks.GetCorporateAnnouncementsRequest(
        ca_types=[CorporateActionType.SPLIT, CorporateActionType.DIVIDEND], since=day, until=day
    )
    with pytest.warns(DeprecationWarning, match="deprecated"):
        (split,) = account.client.get_corporate_announcements(asked)
    assert isinstance(split, models.CorporateActionAnnouncement)
    assert (split.initiating_symbol, split.old_rate, split.new_rate) == ("AAPL", 1, 4)
    assert account.client.get_corporate_announcement_by_id(split.id) == split


def test_a_refusal_has_status_code_and_message(account: Account) -> None:
    account.submit(asks.MarketOrderRequest, client_order_id="mine")
    with pytest.raises(APIError) as refused:
        account.submit(asks.MarketOrderRequest, client_order_id="mine")
    assert (refused.value.status_code, refused.value.code) == (422, 40010001)
    assert refused.value.message == "client_order_id must be unique"


def test_wrong_keys_are_refused(account: Account) -> None:
    with account.simulator.serving() as address:
        stranger = TradingClient("test-key", "wrong", url_override=address)
        stranger._session.trust_env = False
        with pytest.raises(APIError, match="unauthorized"):
            stranger.get_account()
        stranger._session.close()


def test_the_sdk_sends_again_what_was_accepted_and_is_refused(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    account.simulator.faults.add(from_json({"fault": "accept_then_504", "times": 1}))
    with pytest.raises(APIError, match="client_order_id must be unique"):
        account.submit(asks.MarketOrderRequest, client_order_id="mine")
    assert len(account.orders(status=QueryOrderStatus.ALL)) == 1
