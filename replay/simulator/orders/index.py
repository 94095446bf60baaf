"""All orders of the account, indexed by id, client id and symbol, and the open ones."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from replay.simulator.orders.levels import Levels
from replay.simulator.orders.order import Order, Side

WASH_EXEMPT_CLASSES = frozenset({"bracket", "oco"})
_AT_ANY_PRICE = frozenset({"market", "stop"})


class OrderIndex:
    """Orders in order of arrival; an order's ``sequence`` is its index in ``everything``."""

    def __init__(self) -> None:
        self.everything: list[Order] = []
        self.by_id: dict[str, Order] = {}
        self.by_client_order_id: dict[str, Order] = {}
        self.by_symbol: dict[str, list[Order]] = {}
        self.open: dict[str, Order] = {}
        self.open_in: dict[str, dict[str, Order]] = {}
        self._opposition: dict[tuple[str, Side], _Opposition] = {}

    def add(self, order: Order) -> None:
        """Add a new order."""
        order_id, symbol = order.id, order.symbol
        self.everything.append(order)
        self.by_id[order_id] = order
        self.by_client_order_id[order.client_order_id] = order
        self.by_symbol.setdefault(symbol, []).append(order)
        self.open[order_id] = order
        self.open_in.setdefault(symbol, {})[order_id] = order
        if order.status != "held":
            self.expose(order)

    def expose(self, order: Order) -> None:
        """Make an order visible to the wash-trade rule, once it works."""
        if exposed_to_wash_trades(order):
            key = (order.symbol, order.side)
            opposition = self._opposition.get(key)
            if opposition is None:
                opposition = self._opposition[key] = _Opposition(order.side)
            opposition.add(order)

    def close(self, order: Order) -> None:
        """Remove a terminal order from the open ones."""
        self.open.pop(order.id, None)
        if (in_symbol := self.open_in.get(order.symbol)) is not None:
            in_symbol.pop(order.id, None)
            if not in_symbol:
                del self.open_in[order.symbol]
        if (opposition := self._opposition.get((order.symbol, order.side))) is not None:
            opposition.at_any_price.pop(order.id, None)

    def open_orders(self, symbol: str) -> Iterable[Order]:
        """Return the open orders of a symbol, oldest first."""
        return self.open_in.get(symbol, {}).values()

    def opposite_at_any_price(self, symbol: str, side: Side) -> Order | None:
        """Return an open market or stop order that an order of this side could trade with."""
        opposition = self._opposition.get((symbol, _other(side)))
        return None if opposition is None else next(iter(opposition.at_any_price.values()), None)

    def opposite_limit(self, symbol: str, side: Side, limit_price: Decimal | None) -> Order | None:
        """Return an open limit order that an order of this side would cross; any, without a limit price."""
        opposition = self._opposition.get((symbol, _other(side)))
        first = None if opposition is None else opposition.limits.first()
        if first is None:
            return None
        level, order = first
        if limit_price is None:
            return order
        return order if (limit_price >= level if side == "buy" else limit_price <= level) else None


class _Opposition:
    """Open orders of one symbol and side that an order of the other side could trade with."""

    def __init__(self, side: Side) -> None:
        self.at_any_price: dict[str, Order] = {}
        self.limits = Levels(highest_first=side == "buy")

    def add(self, order: Order) -> None:
        if order.type in _AT_ANY_PRICE:
            self.at_any_price[order.id] = order
        elif order.limit_price is not None:
            self.limits.add(order.limit_price, order)


def exposed_to_wash_trades(order: Order) -> bool:
    """Return whether the wash-trade rule counts an order; bracket, oco and trailing stops are exempt (S)."""
    return order.order_class not in WASH_EXEMPT_CLASSES and order.type != "trailing_stop"


def _other(side: Side) -> Side:
    return "sell" if side == "buy" else "buy"
