"""Orders that wait for a price, and the times at which the path reaches it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from replay.simulator.decimals import on_tick, tick
from replay.simulator.market.tape import Tape
from replay.simulator.orders.levels import Levels
from replay.simulator.orders.order import Order

Crossing = tuple[int, int, int, Order]
"""Timestamp in ns, the order's sequence, its ``watch`` at that time, the order."""

STOPS = frozenset({"stop", "stop_limit", "trailing_stop"})


def price_waited_for(order: Order) -> Decimal | None:
    """Return the price that an order waits for: its stop until triggered, then its limit."""
    if order.type in STOPS and not order.triggered:
        return order.stop_price
    return order.limit_price


def waits_for_fall(order: Order) -> bool:
    """Return whether an order waits for the price to fall: a buy at a limit, a sell at a stop."""
    stop = order.type in STOPS and not order.triggered
    return (order.side == "sell") == stop


class WaitingOrders:
    """Orders by symbol and the price they wait at; a symbol whose price reached none costs one check."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._symbols: dict[str, _Symbol] = {}

    def __bool__(self) -> bool:
        return bool(self._symbols)

    def add(self, order: Order) -> None:
        """Add an order that waits."""
        waiting = self._symbols.get(order.symbol)
        if waiting is None:
            waiting = self._symbols[order.symbol] = _Symbol()
        waiting.add(order)

    def found(self, from_ns: int, to_ns: int, *, regular: bool) -> Iterator[Crossing]:
        """Remove and yield the orders whose price is reached after ``from_ns`` and up to ``to_ns``.

        Outside ``regular`` hours only orders for extended hours are checked.
        """
        for symbol, waiting in list(self._symbols.items()):
            if waiting.empty():
                del self._symbols[symbol]
                continue
            lists = waiting.lists(regular=regular)
            if any(levels.first() for levels in lists):
                yield from self._crossed(symbol, waiting, from_ns, to_ns, regular=regular)
            if regular and waiting.trailing:
                yield from self._trailed(waiting, from_ns, to_ns)

    def reached_ns(self, order: Order, from_ns: int, to_ns: int) -> int | None:
        """Return the first time of an interval at which an order's awaited price is reached."""
        if order.type == "trailing_stop" and not order.triggered:
            return trail(self._tape, order, from_ns, to_ns)
        level = price_waited_for(order)
        if level is None:
            return None
        if waits_for_fall(order):
            return self._tape.first_at_or_below(order.symbol, level, from_ns, to_ns)
        return self._tape.first_at_or_above(order.symbol, level, from_ns, to_ns)

    def _crossed(
        self, symbol: str, waiting: _Symbol, from_ns: int, to_ns: int, *, regular: bool
    ) -> Iterator[Crossing]:
        low, high = self._tape.extremes(symbol, from_ns, to_ns)
        for levels in waiting.falls(regular=regular):
            while (first := levels.first()) is not None and first[0] >= low:
                levels.take()
                at = self._tape.first_at_or_below(symbol, first[0], from_ns, to_ns)
                yield (to_ns if at is None else at, first[1].sequence, first[1].watch, first[1])
        for levels in waiting.rises(regular=regular):
            while (first := levels.first()) is not None and first[0] <= high:
                levels.take()
                at = self._tape.first_at_or_above(symbol, first[0], from_ns, to_ns)
                yield (to_ns if at is None else at, first[1].sequence, first[1].watch, first[1])

    def _trailed(self, waiting: _Symbol, from_ns: int, to_ns: int) -> Iterator[Crossing]:
        for order, watch in list(waiting.trailing.values()):
            if not order.open or order.watch != watch:
                del waiting.trailing[order.id]
                continue
            at = trail(self._tape, order, from_ns, to_ns)
            if at is not None:
                del waiting.trailing[order.id]
                yield (at, order.sequence, watch, order)


class _Symbol:
    """The waiting orders of one symbol; those for extended hours separately."""

    def __init__(self) -> None:
        self._falls = (Levels(highest_first=True), Levels(highest_first=True))
        self._rises = (Levels(highest_first=False), Levels(highest_first=False))
        self.trailing: dict[str, tuple[Order, int]] = {}

    def add(self, order: Order) -> None:
        if order.type == "trailing_stop" and not order.triggered:
            self.trailing[order.id] = (order, order.watch)
            return
        level = price_waited_for(order)
        if level is None:
            raise ValueError(f"order {order.id} waits for no price; expected a limit or stop order.")
        lists = self._falls if waits_for_fall(order) else self._rises
        lists[order.extended_hours].add(level, order, order.watch)

    def falls(self, *, regular: bool) -> tuple[Levels, ...]:
        return self._falls if regular else self._falls[1:]

    def rises(self, *, regular: bool) -> tuple[Levels, ...]:
        return self._rises if regular else self._rises[1:]

    def lists(self, *, regular: bool) -> tuple[Levels, ...]:
        return self.falls(regular=regular) + self.rises(regular=regular)

    def empty(self) -> bool:
        return not self.trailing and all(levels.first() is None for levels in self.lists(regular=True))


def trail(tape: Tape, order: Order, from_ns: int, to_ns: int) -> int | None:
    """Move a trailing stop with the price; return the time at which it is reached, None if it isn't.

    The high-water mark (``hwm``) moves up, for a buy down, by whole ticks.
    """
    low, high = tape.extremes(order.symbol, from_ns, to_ns)
    sells = order.side == "sell"
    better, worse = (
        (tape.first_at_or_above, tape.first_at_or_below)
        if sells
        else (tape.first_at_or_below, tape.first_at_or_above)
    )
    while order.hwm is not None and (stop := order.trailing_stop()) is not None:
        step = tick(order.hwm)
        target = order.hwm + step if sells else order.hwm - step
        if (high < target and low > stop) if sells else (low > target and high < stop):
            return None
        reached_ns = worse(order.symbol, stop, from_ns, to_ns)
        better_ns = better(order.symbol, target, from_ns, to_ns) if target > 0 else None
        if better_ns is None or (reached_ns is not None and reached_ns <= better_ns):
            return reached_ns
        seen = on_tick(tape.exact_price(order.symbol, better_ns), up=not sells)
        order.hwm = max(target, seen) if sells else min(target, seen)
        from_ns = better_ns
    return None
