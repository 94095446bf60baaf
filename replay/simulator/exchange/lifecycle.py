"""Status changes of orders and their groups: filled, cancelled, expired, rejected, replaced.

Every change of status goes through here, so that the shares and the buying power that an order reserves, and
the index of open orders, always match it, and that each change is reported.
"""

from __future__ import annotations

from decimal import Decimal

from replay.simulator.account.book import Book, Fill
from replay.simulator.decimals import ZERO, plus, times
from replay.simulator.exchange.updates import Updates
from replay.simulator.orders.ids import Ids
from replay.simulator.orders.index import OrderIndex
from replay.simulator.orders.order import Group, Order, Status


class Lifecycle:
    """Changes the status of orders."""

    def __init__(self, book: Book, index: OrderIndex, ids: Ids, updates: Updates) -> None:
        self._book = book
        self._index = index
        self._ids = ids
        self._updates = updates

    def enter(self, order: Order) -> None:
        """Add a new order and reserve the shares and buying power it needs."""
        self._index.add(order)
        self.keep(order)

    def enter_replacement(self, order: Order, replaced: Order) -> None:
        """Add a pending replacement; it reserves only what it needs beyond the replaced order."""
        self._index.add(order)
        order.active = False
        shares, money = _needs(order)
        self._book.hold(order, max(shares - replaced.holding, ZERO), max(money - replaced.reserving, ZERO))

    def hold(self, order: Order, t_ns: int) -> None:
        """Mark a leg as held: it isn't at work until its entry is filled or its stop is triggered."""
        order.status = "held"
        self._updates.report("held", order, t_ns)

    def submit(self, order: Order, *, sent: bool) -> None:
        """Mark a new order as sent to the exchange, or as accepted for a session to come."""
        order.status = "pending_new" if sent else "accepted"
        self._updates.report(order.status, order, order.created_ns)

    def postpone(self, order: Order, t_ns: int) -> None:
        """Mark an order that arrived while it can't work as accepted for a session to come."""
        if order.status == "pending_new":
            order.status = "accepted"
            self._updates.report("accepted", order, t_ns)

    def keep(self, order: Order) -> None:
        """Set the shares or buying power that an order reserves to what it needs now."""
        self._book.hold(order, *_needs(order))

    def work(self, order: Order, t_ns: int, *, resubmitted: bool) -> None:
        """Mark an order as working on the market."""
        began = order.status in {"pending_new", "accepted"}
        if began:
            order.status = "new"
        order.routed = True
        order.updated_ns = t_ns
        if resubmitted:
            order.submitted_ns = t_ns
            for leg in () if order.group is None else order.group.legs_of(order):
                if leg.created_ns == order.created_ns:
                    leg.submitted_ns = leg.updated_ns = t_ns
        if began:
            self._updates.report("new", order, t_ns)

    def request_cancel(self, order: Order, t_ns: int) -> None:
        """Mark an order as being cancelled."""
        order.status = "pending_cancel"
        order.updated_ns = t_ns
        self._updates.report("pending_cancel", order, t_ns)

    def request_replace(self, old: Order, new: Order, t_ns: int) -> None:
        """Mark an order as being replaced by a new one, which is sent to the exchange."""
        old.status = "pending_replace"
        old.updated_ns = t_ns
        self._updates.report("pending_replace", old, t_ns)
        self.submit(new, sent=True)

    def keep_replaced(self, old: Order, status: Status, t_ns: int) -> None:
        """Return an order whose replacement was rejected to its earlier status."""
        old.status = status
        old.updated_ns = t_ns
        self._updates.report("order_replace_rejected", old, t_ns)

    def fill(
        self, order: Order, qty: Decimal, price: Decimal, t_ns: int, *, complete: bool = False
    ) -> list[Order]:
        """Fill an order, in part or in full; return the legs that this activates.

        ``complete``: an order by notional is filled in full by this; one by quantity says so itself.
        """
        order.filled_qty += qty
        order.filled_value = plus(order.filled_value, times(qty, price))
        complete = complete or (order.qty is not None and order.filled_qty >= order.qty)
        order.updated_ns = t_ns
        if complete:
            order.status = "filled"
            order.filled_ns = t_ns
        elif order.status not in {"pending_cancel", "pending_replace"}:
            order.status = "partially_filled"
        fill = Fill(self._ids.new(), order, t_ns, qty, price, order.filled_qty, order.remaining, complete)
        self._book.record(fill)
        self._updates.report_fill(fill)
        if complete:
            self._index.close(order)
        self.keep(order)
        return self._after_fill(order.group, order, qty, t_ns) if order.group is not None else []

    def trigger(self, order: Order, t_ns: int) -> None:
        """Trigger a stop order, and cancel the other exit of its group."""
        order.triggered = True
        order.updated_ns = t_ns
        if order.status == "held":
            order.status = "new"
            self._updates.report("new", order, t_ns)
        if order.group is not None and (other := order.group.other_exit(order)) is not None and other.open:
            self.end(other, "canceled", t_ns)
        self.keep(order)

    def end(self, order: Order, status: Status, t_ns: int) -> None:
        """Set the terminal status of this order alone, other than filled."""
        order.status = status
        order.updated_ns = t_ns
        order.watch += 1
        match status:
            case "canceled":
                order.canceled_ns = t_ns
            case "expired":
                order.expired_ns = t_ns
            case "rejected":
                order.failed_ns = t_ns
            case "replaced":
                order.replaced_ns = t_ns
            case _:
                raise ValueError(
                    f"{status} is no end of an order; expected canceled, expired, rejected, replaced."
                )
        self._updates.report(status, order, t_ns)
        self._index.close(order)
        self.keep(order)
        if status != "replaced" and order.role == "take_profit" and order.group is not None:
            other = order.group.other_exit(order)
            if other is not None and other.open:  # it now reserves the shares that the two shared
                self.keep(other)

    def end_with_group(self, order: Order, status: Status, t_ns: int) -> None:
        """Set the terminal status of an order and of all open orders of its group."""
        for member in [order] if order.group is None else list(order.group.members.values()):
            if member.open:
                self.end(member, status, t_ns)

    def fits(self, old: Order, new: Order) -> bool:
        """Return whether the shares that a closing replacement needs are available as it takes effect."""
        if not new.closing or not old.active:
            return True
        position = self._book.position(new.symbol)
        if position is None:
            return False
        released = new.holding + old.holding
        if old.group is not None:
            released = new.holding + sum((member.holding for member in old.group.members.values()), ZERO)
        return new.remaining <= abs(position.qty) - position.held + released

    def replace(self, old: Order, new: Order, t_ns: int) -> None:
        """Put a new order in the place of an old one."""
        old.replaced_by = new.id
        new.hwm = old.hwm
        self.end(old, "replaced", t_ns)
        new.active = old.active
        if old.group is not None and old.role is not None:
            old.group.members[old.role] = new
        self.keep(new)

    def _after_fill(self, group: Group, order: Order, qty: Decimal, t_ns: int) -> list[Order]:
        if order.role == "entry":
            return self._activate_exits(group, t_ns) if order.status == "filled" else []
        other = group.other_exit(order)
        if other is None or not other.open:
            return []
        if order.status == "filled":
            self.end(other, "canceled", t_ns)
        elif other.qty is not None:
            other.qty -= qty
            other.updated_ns = t_ns
            self.keep(other)
        return []

    def _activate_exits(self, group: Group, t_ns: int) -> list[Order]:
        activated = [exit_ for exit_ in group.exits() if exit_.open]
        for exit_ in activated:
            exit_.active = True
            exit_.routed = True
            self._index.expose(exit_)
            exit_.updated_ns = t_ns
            if exit_.status == "held" and (exit_.role == "take_profit" or group.order_class == "oto"):
                exit_.status = "new"
                self._updates.report("new", exit_, t_ns)
            self.keep(exit_)
        return activated


def _needs(order: Order) -> tuple[Decimal, Decimal]:
    """Return the shares and the buying power that an order reserves."""
    if not order.open:
        return ZERO, ZERO
    if not order.closing:
        by_quantity = order.notional is None
        return ZERO, times(order.unit_cost, order.remaining) if by_quantity else order.remaining_notional
    if order.notional is not None:
        return max(ZERO, order.unit_cost - order.filled_qty), ZERO  # the expected shares
    if not order.active:
        return ZERO, ZERO
    if order.role == "stop_loss" and order.group is not None:
        other = order.group.other_exit(order)
        if other is not None and other.open:  # the two close the same shares
            return ZERO, ZERO
    return order.remaining, ZERO
