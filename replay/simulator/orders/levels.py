"""Orders that wait at a price: the nearest one is at hand, stale ones fall out as they come up."""

from __future__ import annotations

from decimal import Decimal
from heapq import heappop, heappush

from replay.simulator.orders.order import Order


class Levels:
    """Orders by the price they wait at, the highest first or the lowest first.

    An entry is stale once its order is closed or, where it was added with a ``watch``, waits for something
    else (``Order.watch`` has moved on).
    """

    def __init__(self, *, highest_first: bool) -> None:
        self._sign = -1 if highest_first else 1
        self._heap: list[tuple[Decimal, int, int | None, Order]] = []

    def add(self, level: Decimal, order: Order, watch: int | None = None) -> None:
        """Let an order wait at a price, for as long as it is open or as its ``watch`` is the one given."""
        heappush(self._heap, (self._sign * level, order.sequence, watch, order))

    def first(self) -> tuple[Decimal, Order] | None:
        """Give the nearest price and the order that waits there, the oldest if there are several."""
        heap = self._heap
        while heap:
            key, _, watch, order = heap[0]
            if order.open and (watch is None or order.watch == watch):
                return self._sign * key, order
            heappop(heap)
        return None

    def take(self) -> None:
        """Remove the order that ``first`` gave."""
        heappop(self._heap)
