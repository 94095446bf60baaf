"""Trade updates: one event for each change of an order's status and for each fill, in order of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from replay.simulator.account.book import Book, Fill
from replay.simulator.decimals import ZERO, plain
from replay.simulator.orders.ids import Ids
from replay.simulator.orders.order import Order
from replay.simulator.timestamps import written

Event = Literal[
    "pending_new",
    "accepted",
    "new",
    "held",
    "partial_fill",
    "fill",
    "pending_cancel",
    "canceled",
    "expired",
    "rejected",
    "pending_replace",
    "replaced",
    "order_replace_rejected",
]

Update = dict[str, Any]


class Updates:
    """Builds Alpaca's JSON object of each event and passes it to the listener; without one nothing is built.

    The order in an event is a copy of it as it is just after the event.
    """

    def __init__(self, book: Book, ids: Ids) -> None:
        self.listener: Callable[[Update], None] | None = None
        self._book = book
        self._ids = ids

    def report(self, event: Event, order: Order, t_ns: int) -> None:
        """Report a change of an order's status."""
        if self.listener is not None:
            self.listener(self._update(event, order, t_ns, self._ids.new()))

    def report_fill(self, fill: Fill) -> None:
        """Report a fill, which the book already has: its price and shares, and the position after it."""
        if self.listener is None:
            return
        position = self._book.position(fill.order.symbol)
        event: Event = "fill" if fill.complete else "partial_fill"
        figures = {
            "price": plain(fill.price),
            "qty": plain(fill.qty),
            "position_qty": plain(ZERO if position is None else position.qty),
        }
        self.listener(self._update(event, fill.order, fill.t_ns, fill.id) | figures)

    def _update(self, event: Event, order: Order, t_ns: int, execution_id: str) -> Update:
        return {
            "event": event,
            "execution_id": execution_id,
            "order": order.body(),
            "timestamp": written(t_ns),
        }
