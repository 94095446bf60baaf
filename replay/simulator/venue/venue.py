"""Alpaca's trading API without HTTP: values in, the body of the reply out, or a refusal.

One account, one thread. Time comes from the clock, randomness from the seed, prices from the market; the same
requests at the same times get the same replies. A refused request has changed nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any

from replay.simulator.account.book import Book, Fill, Position
from replay.simulator.account.past import Past
from replay.simulator.account.positions import position_body
from replay.simulator.account.settings import Configurations, configured
from replay.simulator.account.standing import Standing
from replay.simulator.decimals import ZERO, plain
from replay.simulator.exchange.execution import Execution
from replay.simulator.exchange.lifecycle import Lifecycle
from replay.simulator.exchange.matching import Matching
from replay.simulator.exchange.updates import Updates
from replay.simulator.intake import messages
from replay.simulator.intake.order_requests import read_order, read_patch
from replay.simulator.intake.queries import day, flag, word, words
from replay.simulator.intake.refusal import Refusal
from replay.simulator.market.sessions import calendar, clock_body, day_before
from replay.simulator.market.surroundings import Assets, Clock, Market
from replay.simulator.market.tape import Tape
from replay.simulator.orders.ids import Ids, is_id
from replay.simulator.orders.index import OrderIndex
from replay.simulator.orders.order import Order
from replay.simulator.venue.activities import activities, body, split_body
from replay.simulator.venue.admission import Admission
from replay.simulator.venue.announcements import announcement, announcements
from replay.simulator.venue.closing import request_to_close
from replay.simulator.venue.hours import clocks, market_calendar
from replay.simulator.venue.listing import listed
from replay.simulator.venue.placing import Placing
from replay.simulator.venue.portfolio import portfolio_history
from replay.simulator.venue.watchlists import Watchlists

_OK = 200
_DATE_TYPES = frozenset({"TRADING", "SETTLEMENT"})


@dataclass(eq=False, kw_only=True)
class Venue:
    """The account, its orders and the exchange.

    ``series`` distinguishes the ids of orders, executions and splits from those of other venues of this seed.

    Every method takes the time from the clock. Call ``advance`` before each request, to handle the events
    that are due. Methods that answer requests raise ``Refusal`` where Alpaca replies with an error.
    """

    market: Market
    clock: Clock
    assets: Assets
    cash: Decimal = Decimal(100000)
    seed: int = 0
    series: str = ""
    partial_fill_probability: float = 0.1

    def __post_init__(self) -> None:
        now_ns = self.clock.now_ns()
        self._configurations = Configurations()
        self._tape = tape = Tape(self.market)
        self._book = book = Book(self.cash)
        self._index = index = OrderIndex()
        self.updates = Updates(book, Ids(f"{self.seed} updates{self.series}"))
        executions = Ids(f"{self.seed} executions{self.series}")
        self._lifecycle = lifecycle = Lifecycle(book, index, executions, self.updates)
        self._matching = Matching(
            tape,
            index,
            lifecycle,
            Execution(tape, book, lifecycle, Random(f"{self.seed} fills"), self.partial_fill_probability),
            now_ns,
            on_new_day=self._begin_day,
            on_close=self._close_day,
        )
        ids = Ids(f"{self.seed} ids")
        self._split_ids = Ids(f"{self.seed} splits{self.series}")
        account_id = ids.new()
        self._standing = Standing(account_id, now_ns, book, tape, day_before(self._matching.day.day))
        self._opened_ns = now_ns
        self.watchlists = Watchlists(
            account_id, self.clock, lambda: self.assets, Ids(f"{self.seed} watchlists{self.series}")
        )
        self._admission = admission = Admission(self.assets, tape, book, index, self._standing)
        if self.series:
            ids = Ids(f"{self.seed} ids{self.series}")
        self._placing = Placing(admission, self._matching, lifecycle, index, tape, ids)

    @property
    def tape(self) -> Tape:
        """The prices that orders fill at."""
        return self._tape

    @property
    def fills(self) -> Sequence[Fill]:
        """All fills, oldest first."""
        return self._book.fills

    def advance(self) -> None:
        """Handle all events up to the clock's time."""
        self._matching.advance(self.clock.now_ns())

    # orders

    def place_order(self, body: object) -> dict[str, Any]:
        """Answer POST /v2/orders."""
        request = read_order(body)
        order = self._placing.place(request, self._configurations, self.clock.now_ns())
        return order.body(legs=True)

    def list_orders(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Answer GET /v2/orders."""
        return listed(self._index, query)

    def get_order(self, order_id: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Answer GET /v2/orders/{order_id}."""
        nested = flag(query, "nested")
        return self._order(order_id).body(legs=nested)

    def get_order_by_client_order_id(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Answer GET /v2/orders:by_client_order_id."""
        client_order_id = query.get("client_order_id")
        if not client_order_id:
            raise messages.CLIENT_ID_MISSING()
        order = self._index.by_client_order_id.get(client_order_id)
        if order is None:
            raise messages.ORDER_NOT_FOUND(client_order_id)
        return order.body(legs=flag(query, "nested"))

    def replace_order(self, order_id: str, body: object) -> dict[str, Any]:
        """Answer PATCH /v2/orders/{order_id}: a new order, which may still be rejected."""
        old = self._order(order_id)
        patch = read_patch(body)
        new = self._placing.replace(old, patch, self._configurations, self.clock.now_ns())
        # The legs stay with the old order until the new one has taken its place.
        legs = [] if old.group is None else [leg.body() for leg in old.group.legs_of(old)]
        return {**new.body(), "legs": legs or None}

    def cancel_order(self, order_id: str) -> None:
        """Answer DELETE /v2/orders/{order_id}."""
        order = self._order(order_id)
        if order.status == "pending_replace" or (not order.open and order.status != "canceled"):
            raise messages.ALREADY_IN_STATE(order.status)
        if order.open:
            self._matching.cancel(order, self.clock.now_ns())

    def cancel_all_orders(self) -> list[dict[str, Any]]:
        """Answer DELETE /v2/orders: one row per open order, even if it can't be cancelled now."""
        rows: list[dict[str, Any]] = []
        for order in list(self._index.open.values()):
            if order.status == "pending_replace":
                refusal = messages.ALREADY_IN_STATE(order.status)
                rows.append({"id": order.id, "status": refusal.status, "body": refusal.body})
                continue
            self._matching.cancel(order, self.clock.now_ns())
            rows.append({"id": order.id, "status": _OK, "body": order.body()})
        return rows

    # positions

    def list_positions(self) -> list[dict[str, Any]]:
        """Answer GET /v2/positions."""
        return [self._position_body(position) for position in self._book.positions.values()]

    def get_position(self, symbol_or_asset_id: str) -> dict[str, Any]:
        """Answer GET /v2/positions/{symbol_or_asset_id}."""
        return self._position_body(self._position(symbol_or_asset_id))

    def close_position(self, symbol_or_asset_id: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Answer DELETE /v2/positions/{symbol_or_asset_id}: the order that closes it."""
        request = request_to_close(self._position(symbol_or_asset_id), query)
        return self._placing.place(request, self._configurations, self.clock.now_ns()).body()

    def close_all_positions(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Answer DELETE /v2/positions: rows of cancelled orders first, where requested, then of positions."""
        rows = self._cancel_at_once() if flag(query, "cancel_orders") else []
        for symbol, position in list(self._book.positions.items()):
            try:
                request = request_to_close(position, {})
                order = self._placing.place(request, self._configurations, self.clock.now_ns())
                rows.append({"symbol": symbol, "status": _OK, "body": order.body()})
            except Refusal as refusal:
                rows.append({"symbol": symbol, "status": refusal.status, "body": refusal.body})
        return rows

    # account

    def account(self) -> dict[str, Any]:
        """Answer GET /v2/account."""
        return self._standing.body(self._configurations, self.clock.now_ns())

    def configurations(self) -> dict[str, Any]:
        """Answer GET /v2/account/configurations."""
        return self._configurations.body()

    def configure(self, body: object) -> dict[str, Any]:
        """Answer PATCH /v2/account/configurations."""
        self._configurations = configured(self._configurations, body)
        return self._configurations.body()

    def activities(self, kind: str | None, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Answer GET /v2/account/activities and, with a ``kind``, GET /v2/account/activities/{kind}."""
        return activities(self._book, kind, query)

    def portfolio_history(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Answer GET /v2/account/portfolio/history."""
        past = Past(self._book, self._tape, self._opened_ns)
        return portfolio_history(past, query, self.clock.now_ns())

    # assets and hours

    def announcements(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Answer GET /v2/corporate_actions/announcements."""
        return announcements(self._tape.splits, query)

    def announcement(self, announcement_id: str) -> dict[str, Any]:
        """Answer GET /v2/corporate_actions/announcements/{id}."""
        return announcement(self._tape.splits, announcement_id)

    def clocks(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Answer GET /v3/clock."""
        return clocks(query, self.clock.now_ns())

    def market_calendar(self, market: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Answer GET /v3/calendar/{market}."""
        return market_calendar(market, query, self.clock.now_ns())

    def clock_body(self) -> dict[str, Any]:
        """Answer GET /v2/clock."""
        return clock_body(self.clock.now_ns())

    def calendar(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Answer GET /v2/calendar."""
        by_settlement = word(query, "date_type", _DATE_TYPES, "TRADING") == "SETTLEMENT"
        start, end = day(query, "start"), day(query, "end")
        return calendar(start, end, date_type="SETTLEMENT" if by_settlement else "TRADING")

    def list_assets(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Answer GET /v2/assets."""
        classes = words(query, "asset_class")
        if classes is not None and "us_equity" not in classes:
            return []
        attributes = words(query, "attributes") or ()
        found = self.assets.listing(query.get("status"), query.get("exchange"), attributes=attributes)
        return [asset.body() for asset in found]

    def get_asset(self, symbol_or_asset_id: str) -> dict[str, Any]:
        """Answer GET /v2/assets/{symbol_or_asset_id}."""
        asset = self.assets.get(symbol_or_asset_id)
        if asset is None:
            raise messages.ASSET_NOT_FOUND(symbol_or_asset_id)
        return asset.body()

    # control of the simulator

    def change_asset(self, symbol: str, **flags: Any) -> dict[str, Any]:
        """Change flags of an asset's record, or its status, from now on; return the record."""
        own = str(self.get_asset(symbol)["symbol"])
        self.assets = self._admission.assets = self.assets.changed(own, **flags)
        return self.get_asset(own)

    def state(self) -> dict[str, Any]:
        """Return the whole state of the account, as JSON-able values."""
        return {
            "cash": plain(self._book.cash),
            "opening_cash": plain(self._book.opening_cash),
            "realised": plain(self._book.realised),
            "reserved": plain(self._book.reserved),
            "configurations": self._configurations.body(),
            "cancels_held": [name for name in self._index.open if name in self._matching.held_cancels],
            "splits": {symbol: plain(ratio) for symbol, ratio in self._tape.ratios().items()},
            "positions": [_position_state(position) for position in self._book.positions.values()],
            "orders": [order.body() for order in self._index.everything],
            "fills": [body(fill) for fill in self._book.fills],
            "split_activities": [split_body(part) for part in self._book.split_parts],
        }

    def check_conservation(self) -> None:
        """Compare money and shares with the fills; raises ``AssertionError`` where they differ."""
        self._book.check()
        filled: dict[str, Decimal] = {}
        for fill in self._book.fills:
            filled[fill.order.id] = filled.get(fill.order.id, ZERO) + fill.qty
        for order in self._index.everything:
            if order.filled_qty != filled.get(order.id, ZERO):
                raise AssertionError(f"order {order.id} has filled_qty {order.filled_qty}; its fills differ.")
        reserved = sum((order.reserving for order in self._index.open.values()), ZERO)
        if reserved != self._book.reserved:
            raise AssertionError(f"{self._book.reserved} is reserved; the open orders reserve {reserved}.")

    def reject_after_acceptance(self, order_id: str) -> None:
        """Reject an order at the next ``advance``; raises ``Refusal`` unless it is open."""
        self._matching.reject(self._open_order(order_id))

    def hold_cancels(self, order_id: str | None = None) -> None:
        """Hold an order and its group, or all open orders, in ``pending_cancel`` once cancelled.

        Orders that can't be cancelled now are not held.
        """
        name = None if order_id is None else order_id.lower()
        for order in list(self._index.open.values()) if name is None else [self._index.by_id.get(name)]:
            if order is not None and order.open and order.status != "pending_replace":
                self._matching.hold_cancel(order)

    def release_cancels(self) -> None:
        """Let held cancels take effect at the next ``advance``."""
        self._matching.release_cancels()

    def fill_now(self, order_id: str, qty: Decimal | None = None, *, beyond: bool = False) -> None:
        """Fill an order now, in full or by ``qty`` shares, though never beyond its limit price.

        ``beyond`` is a fault: ``qty`` shares fill even where fewer are left of the order.
        Raises ``Refusal`` if there is no such open order or it isn't working yet.
        """
        order = self._open_order(order_id)
        if not order.active:
            raise messages.ALREADY_IN_STATE(order.status)
        if qty is not None and qty <= ZERO:
            raise messages.QTY_NOT_POSITIVE()
        self._matching.fill_now(order, qty, self.clock.now_ns(), beyond=beyond)

    def split(self, symbol: str, ratio: Decimal) -> None:
        """Split a symbol into ``ratio`` new shares for each old one: shares and prices change, cash doesn't.

        Open orders of the symbol are cancelled. A position gets activities of type SPLIT. Raises ``Refusal``
        for a ratio that isn't positive, or an overall ratio outside 1e-4 to 1e4.
        """
        if not (ratio.is_finite() and ratio > ZERO):
            raise messages.BAD_PARAMETER("ratio")
        if not self._tape.knows(symbol):
            raise messages.SYMBOL_NOT_FOUND(symbol)
        together = ratio * self._tape.ratios().get(symbol, Decimal(1))
        if not Decimal("1e-4") <= together <= Decimal("1e4"):
            raise messages.BAD_PARAMETER("ratio")
        t_ns = self.clock.now_ns()
        for order in list(self._index.open_orders(symbol)):
            if order.open:
                self._lifecycle.end(order, "canceled", t_ns)
        self._book.split(symbol, ratio, t_ns, self._split_ids)
        self._tape.split(symbol, ratio, t_ns)

    def _order(self, order_id: str) -> Order:
        if not is_id(order_id):
            raise messages.ORDER_ID_MISSING()
        order = self._index.by_id.get(order_id.lower())
        if order is None:
            raise messages.ORDER_NOT_FOUND(order_id)
        return order

    def _open_order(self, order_id: str) -> Order:
        order = self._order(order_id)
        if not order.open:
            raise messages.ALREADY_IN_STATE(order.status)
        return order

    def _position(self, symbol_or_asset_id: str) -> Position:
        asset = self.assets.get(symbol_or_asset_id)
        if asset is None:
            raise messages.SYMBOL_NOT_FOUND(symbol_or_asset_id)
        position = self._book.position(asset.symbol)
        if position is None:
            raise messages.NO_POSITION()
        return position

    def _position_body(self, position: Position) -> dict[str, Any]:
        last_day = self._standing.last_close.day
        return position_body(position, self._tape, self.clock.now_ns(), last_day)

    def _cancel_at_once(self) -> list[dict[str, Any]]:
        """Cancel every open order without the exchange's delay; held cancels stay pending."""
        rows: list[dict[str, Any]] = []
        t_ns = self.clock.now_ns()
        for order in list(self._index.open.values()):
            if order.id in self._matching.held_cancels:
                self._matching.cancel(order, t_ns)
            elif order.open:
                self._lifecycle.end(order, "canceled", t_ns)
            rows.append({"symbol": order.id, "status": _OK, "body": order.body()})
        return rows

    def _begin_day(self) -> None:
        self._standing.begin_day()

    def _close_day(self) -> None:
        self._standing.close_day(self._matching.day.day)


def _position_state(position: Position) -> dict[str, Any]:
    return {
        "symbol": position.asset.symbol,
        "qty": plain(position.qty),
        "cost_basis": plain(position.cost),
        "held_for_orders": plain(position.held),
    }
