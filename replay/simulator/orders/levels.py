"""Orders that wait at a price, in a heap: the nearest first; stale entries are dropped as they surface."""

from __future__ import annotations

from decimal import Decimal
from heapq import heappop, heappush

from replay.simulator.orders.order import Order


class Levels:
    """Orders by the price they wait at, highest or lowest first.

    An entry is stale once its order is terminal or, where it was added with a ``watch``, once ``Order.watch``
    has changed.
    """

    def __init__(self, *, highest_first: bool) -> None:
        self._sign = -1 if highest_first else 1
        self._heap: list[tuple[Decimal, int, int | None, Order]] = []

    def add(self, level: Decimal, order: Order, watch: int | None = None) -> None:
        """Add an order that waits at a price while it is open and its ``watch`` is the given one."""
        heappush(self._heap, (self._sign * level, order.sequence, watch, order))

    def first(self) -> tuple[Decimal, Order] | None:
        """Return the nearest price and the oldest order that waits there; None if none waits."""
        heap = self._heap
        while heap:
            key, _, watch, order = heap[0]
            if order.open and (watch is None or order.watch == watch):
                return self._sign * key, order
            heappop(heap)
        return None

    def take(self) -> None:
        """Remove the order that ``first`` returned."""
        heappop(self._heap)
