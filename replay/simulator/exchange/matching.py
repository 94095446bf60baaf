"""The market's side of the venue: events of orders in order of time.

Events come from three sources: the schedule (an order reaches the exchange, a cancel takes effect), prices
(the path reaches the price that an order waits for), and the hours of the session. ``advance`` handles all
events up to a timestamp; the result doesn't depend on how often it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from heapq import heapify, heappop, heappush

from replay.simulator.exchange.execution import Execution
from replay.simulator.exchange.lifecycle import Lifecycle
from replay.simulator.exchange.waiting import STOPS, Crossing, WaitingOrders
from replay.simulator.market.sessions import Session, ending_after
from replay.simulator.market.tape import Tape
from replay.simulator.orders.index import OrderIndex
from replay.simulator.orders.order import Order, Status
from replay.simulator.timestamps import MILLISECOND

TO_EXCHANGE_NS = 4 * MILLISECOND  # recorded 2026: 4 to 6 ms from pending_new to new
FRACTIONAL_NS = 3 * MILLISECOND  # recorded 2026: filled about 3 ms after the request
TO_FILL_NS = 8 * MILLISECOND

_AT_ONCE = frozenset({"ioc", "fok"})
_AUCTIONS = frozenset({"opg", "cls"})

Event = Callable[[Order, int], None]


class Phase(Enum):
    """The phase of the trading day."""

    CLOSED = "closed"
    EARLY = "early"
    REGULAR = "regular"
    LATE = "late"


@dataclass(eq=False)
class Matching:
    """Working orders; all events up to ``cursor_ns`` have been handled.

    ``on_new_day`` is called as extended hours begin, ``on_close`` after the closing auction.
    """

    tape: Tape
    index: OrderIndex
    lifecycle: Lifecycle
    execution: Execution
    cursor_ns: int
    on_new_day: Callable[[], None]
    on_close: Callable[[], None]

    def __post_init__(self) -> None:
        self.day: Session = ending_after(self.cursor_ns)
        self.phase = _phase(self.day, self.cursor_ns)
        self._boundary_ns = self._boundary()
        self.held_cancels: set[str] = set()
        self._waiting = WaitingOrders(self.tape)
        self._searched_ns = self._until_ns = self.cursor_ns
        self._crossings: list[Crossing] = []
        self._events: list[tuple[int, int, int | None, Event, Order]] = []
        self._scheduled = 0
        self._for_session: dict[str, Order] = {}
        self._for_auction: dict[str, Order] = {}
        self._stuck: list[Order] = []

    def advance(self, now_ns: int) -> None:
        """Handle all events up to ``now_ns``."""
        if self._events and self._events[0][0] <= self.cursor_ns:
            self._run(self.cursor_ns)
        while self.cursor_ns < now_ns:
            end_ns = min(now_ns, self._boundary_ns)
            self._run(end_ns)
            self.cursor_ns = end_ns
            if end_ns == self._boundary_ns:
                self._cross_boundary(end_ns)
                self._boundary_ns = self._boundary()
                self._run(end_ns)

    # requests

    def submit(self, order: Order, t_ns: int) -> None:
        """Send a new order to the exchange, or hold it for the session in which it can work."""
        sent = self._works_now(order) and order.time_in_force != "opg"
        self.lifecycle.submit(order, sent=sent)
        if sent:
            delay = FRACTIONAL_NS if order.fractional and order.type == "market" else TO_EXCHANGE_NS
            self._schedule(t_ns + delay, order, self._arrived)
        else:
            self._for_session[order.id] = order

    def submit_replacement(self, old: Order, new: Order, t_ns: int) -> None:
        """Send a replacement to the exchange; until it arrives the old order still works."""
        held = old.status == "held"
        self.lifecycle.request_replace(old, new, t_ns)

        def arrived(order: Order, at_ns: int) -> None:
            still_held = held and not old.triggered
            if order.open and old.open and self.lifecycle.fits(old, order):
                self.lifecycle.replace(old, order, at_ns)
                if still_held and order.status == "pending_new":
                    self.lifecycle.hold(order, at_ns)
                self._arrived(order, at_ns)
                return
            if order.open:
                self.lifecycle.end(order, "rejected", at_ns)
            if old.status == "pending_replace":
                before: Status = "held" if still_held else "partially_filled" if old.filled_qty else "new"
                self.lifecycle.keep_replaced(old, before, at_ns)

        self._schedule(t_ns + TO_EXCHANGE_NS, new, arrived)

    def cancel(self, order: Order, t_ns: int) -> list[Order]:
        """Request the cancel of an order and its group; return the orders concerned."""
        members = [
            member for member in _with_group(order) if member.open and member.status != "pending_cancel"
        ]
        for member in members:
            self.lifecycle.request_cancel(member, t_ns)
            self._schedule(t_ns + TO_EXCHANGE_NS, member, self._cancelled)
        return members

    def reject(self, order: Order) -> None:
        """Schedule the rejection of an order before any other event."""
        self._schedule(self.cursor_ns - 1, order, self._rejected)

    def hold_cancel(self, order: Order) -> None:
        """Keep the cancel of an order and its group pending."""
        self.held_cancels.update(member.id for member in _with_group(order))

    def release_cancels(self) -> None:
        """Let the cancels that were held take effect."""
        self.held_cancels.clear()
        for order in self._stuck:
            self._schedule(self.cursor_ns, order, self._cancelled)
        self._stuck.clear()

    def start(self, order: Order, t_ns: int) -> None:
        """Start an order: fill it at once, queue it for an auction, or let it wait for its price."""
        if order.time_in_force in _AUCTIONS:
            self._for_auction[order.id] = order
        elif order.type in STOPS and not order.triggered:
            self._wait(order, t_ns)
        elif not self._works_now(order):
            self._wait_for_session(order, t_ns)
        elif order.limit_price is None:
            if order.fractional:
                self._attempt(order, t_ns)
            else:
                self._attempt_later(order, t_ns + TO_FILL_NS)
        elif order.time_in_force in _AT_ONCE or self.execution.marketable(order, t_ns):
            self._attempt_later(order, t_ns + TO_FILL_NS)
        else:
            self._wait(order, t_ns)

    def fill_now(self, order: Order, qty: Decimal | None, t_ns: int, *, beyond: bool = False) -> None:
        """Fill an order now at the quote, though never beyond its limit price."""
        order.watch += 1
        if order.type in STOPS and not order.triggered:
            self.lifecycle.trigger(order, t_ns)
        price = self.execution.price_at_quote(order, t_ns)
        for leg in self.execution.fill(order, price, t_ns, qty, beyond=beyond):
            self.start(leg, t_ns)
        if order.open and order.routed:
            self.go_on(order, t_ns)

    def go_on(self, order: Order, t_ns: int) -> None:
        """Schedule a later fill of the rest of a partly filled order."""
        self._attempt_later(order, t_ns + self.execution.pause_ns())

    # time

    def _run(self, end_ns: int) -> None:
        self._until_ns = end_ns
        if self._waiting and self._searched_ns < end_ns and self.phase is not Phase.CLOSED:
            found = self._waiting.found(self._searched_ns, end_ns, regular=self.phase is Phase.REGULAR)
            self._crossings = list(found)
            heapify(self._crossings)
        self._searched_ns = end_ns
        events, crossings = self._events, self._crossings
        while True:
            event_ns = events[0][0] if events and events[0][0] <= end_ns else None
            if crossings and (event_ns is None or crossings[0][0] < event_ns):
                at_ns, _, watch, order = heappop(crossings)
                if order.open and order.watch == watch:
                    self._crossed(order, at_ns)
            elif event_ns is not None:
                _, _, wanted, event, order = heappop(events)
                if wanted is None or (order.open and order.watch == wanted):
                    event(order, max(event_ns, self.cursor_ns))
            else:
                return

    def _boundary(self) -> int:
        day = self.day
        match self.phase:
            case Phase.CLOSED:
                return day.pre_ns
            case Phase.EARLY:
                return day.open_ns
            case Phase.REGULAR:
                return day.close_ns
            case Phase.LATE:
                return day.post_ns

    def _cross_boundary(self, t_ns: int) -> None:
        self._searched_ns = t_ns - 1  # the first price of the new phase counts
        match self.phase:
            case Phase.CLOSED:
                self.phase = Phase.EARLY
                self.on_new_day()
                self._begin_session(t_ns)
            case Phase.EARLY:
                self.phase = Phase.REGULAR
                self._begin_session(t_ns)
            case Phase.REGULAR:
                self._auction("cls", t_ns)
                self.phase = Phase.LATE
                self._expire(t_ns)
                self.on_close()
            case Phase.LATE:
                self._expire(t_ns)
                self.day = ending_after(t_ns)
                self.phase = Phase.CLOSED

    def _begin_session(self, t_ns: int) -> None:
        waiting, self._for_session = self._for_session, {}
        for order in waiting.values():
            if order.open and self._works_now(order):
                self._arrived(order, t_ns)
            elif order.open:
                self._for_session[order.id] = order
        if self.phase is Phase.REGULAR:
            self._auction("opg", t_ns)

    def _auction(self, which: str, t_ns: int) -> None:
        for order in list(self._for_auction.values()):
            if order.time_in_force != which:
                continue
            del self._for_auction[order.id]
            if not order.open:
                continue
            at_open = which == "opg"
            price = (self.tape.open_price if at_open else self.tape.close_price)(order.symbol, self.day.day)
            if self.execution.allowed(order, price):
                self._fill(order, price, t_ns)
            if order.open:
                self.lifecycle.end_with_group(order, "canceled", t_ns)

    def _expire(self, t_ns: int) -> None:
        for order in list(self.index.open.values()):
            if order.open and order.expires_ns <= t_ns:
                self.lifecycle.end(order, "expired" if order.time_in_force == "day" else "canceled", t_ns)

    # events of one order

    def _arrived(self, order: Order, t_ns: int) -> None:
        if not order.open:
            return
        if not self._works_now(order):
            self._wait_for_session(order, t_ns)
            return
        self.lifecycle.work(order, t_ns, resubmitted=order.status == "pending_new")
        self.start(order, t_ns)
        if order.open and order.group is not None and order.group.order_class == "oco":
            for leg in order.group.legs_of(order):
                leg.active = leg.routed = True
                self.lifecycle.keep(leg)
                self.start(leg, t_ns)

    def _crossed(self, order: Order, t_ns: int) -> None:
        order.watch += 1
        if order.type in STOPS and not order.triggered:
            self.lifecycle.trigger(order, t_ns)
            self._attempt(order, t_ns)
        else:
            self._fill(order, self.execution.price_on_path(order, t_ns), t_ns)

    def _attempt(self, order: Order, t_ns: int) -> None:
        if not self._works_now(order):
            self._wait_for_session(order, t_ns)
        elif order.limit_price is None or self.execution.marketable(order, t_ns):
            self._fill(order, self.execution.price_at_quote(order, t_ns), t_ns)
        elif order.time_in_force in _AT_ONCE:
            self.lifecycle.end_with_group(order, "canceled", t_ns)
        else:
            self._wait(order, t_ns)

    def _fill(self, order: Order, price: Decimal, t_ns: int) -> None:
        for leg in self.execution.fill(order, price, t_ns):
            self.start(leg, t_ns)
        if not order.open or order.time_in_force in _AUCTIONS:
            return
        if order.time_in_force in _AT_ONCE:
            self.lifecycle.end_with_group(order, "canceled", t_ns)
        else:
            self.go_on(order, t_ns)

    def _cancelled(self, order: Order, t_ns: int) -> None:
        if not order.open:
            return
        if order.id in self.held_cancels:
            self._stuck.append(order)
        else:
            self.lifecycle.end(order, "canceled", t_ns)

    def _rejected(self, order: Order, t_ns: int) -> None:
        self.lifecycle.end_with_group(order, "rejected", t_ns)

    def _wait(self, order: Order, t_ns: int) -> None:
        order.watch += 1
        if t_ns < self._until_ns and self._works_now(order):
            at_ns = self._waiting.reached_ns(order, t_ns, self._until_ns)
            if at_ns is not None:
                heappush(self._crossings, (at_ns, order.sequence, order.watch, order))
                return
        self._waiting.add(order)

    def _wait_for_session(self, order: Order, t_ns: int) -> None:
        self.lifecycle.postpone(order, t_ns)
        if order.routed and order.limit_price is not None:
            order.watch += 1
            self._waiting.add(order)
        else:
            self._for_session[order.id] = order

    def _attempt_later(self, order: Order, t_ns: int) -> None:
        order.watch += 1
        self._schedule(t_ns, order, self._attempt, order.watch)

    def _schedule(self, t_ns: int, order: Order, event: Event, watch: int | None = None) -> None:
        self._scheduled += 1
        heappush(self._events, (t_ns, self._scheduled, watch, event, order))

    def _works_now(self, order: Order) -> bool:
        return self.phase is Phase.REGULAR or (order.extended_hours and self.phase is not Phase.CLOSED)


def _with_group(order: Order) -> list[Order]:
    return [order] if order.group is None else list(order.group.members.values())


def _phase(day: Session, t_ns: int) -> Phase:
    if t_ns < day.pre_ns:
        return Phase.CLOSED
    if t_ns < day.open_ns:
        return Phase.EARLY
    return Phase.REGULAR if t_ns < day.close_ns else Phase.LATE
