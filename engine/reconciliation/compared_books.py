"""Both books of an account side by side: the broker's report and our record, indexed for comparison.

Pure. ``breaks_found`` explains the differences between them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TypeVar

import numpy as np

from engine.errors import EngineError
from engine.ledger.overfilling import Overfill, overfill_key, overfill_of
from engine.model.breaks import BrokerBook, CorporateAction, LateFill, OwnBook, OwnOrder, shares, units_of
from engine.model.orders import BrokerFill, BrokerOrder
from engine.model.quantity import NOT_A_QUANTITY, round_to_units
from engine.model.symbols import canonical_symbol

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class SideBySide:
    """Both books of an account, by symbol and by order; quantities in units of 1e-9 shares."""

    theirs: BrokerBook
    ours: OwnBook

    @cached_property
    def broker(self) -> dict[str, int]:
        """The broker's positions in units."""
        symbols = [canonical_symbol(symbol) for symbol in self.theirs.positions]
        units = round_to_units(np.array(list(self.theirs.positions.values()), dtype=np.float64)).tolist()
        for symbol, qty, reported in zip(symbols, units, self.theirs.positions.values(), strict=True):
            if qty == NOT_A_QUANTITY:
                raise EngineError(
                    f"account {self.ours.account}: the broker's position in {symbol} is {reported!r}; "
                    f"expected shares between -1e9 and 1e9. Nothing was compared; look at the broker's "
                    f"dashboard."
                )
        return _summed(zip(symbols, units, strict=True))

    @cached_property
    def ledger(self) -> dict[str, int]:
        """The ledger's current positions, late fills included."""
        late = ((canonical_symbol(one.symbol), one.units) for one in self.ours.late)
        return _summed(
            [*((canonical_symbol(symbol), units) for symbol, units in self.ours.positions.items()), *late]
        )

    @cached_property
    def listed(self) -> dict[str, BrokerOrder]:
        """Every reported order and leg by id; the report with the larger filled quantity wins."""
        reported: dict[str, BrokerOrder] = {}
        for head in (*self.theirs.recent_orders, *self.theirs.open_orders):
            for order in (head, *head.legs):
                before = reported.get(order.broker_order_id)
                if before is None or before.filled_qty <= order.filled_qty:
                    reported[order.broker_order_id] = order
        return reported

    @cached_property
    def known(self) -> frozenset[str]:
        """The ids of our orders; if one order of a group is ours, all of them are."""
        ids = {*self.ours.known_orders, *(order.broker_order_id for order in self.ours.orders)} - {""}
        clients = {order.client_intent_id for order in self.ours.orders} - {""}
        for head in (*self.theirs.recent_orders, *self.theirs.open_orders):
            group = {order.broker_order_id for order in (head, *head.legs)}
            if head.client_order_id in clients or group & ids:
                ids |= group
        return frozenset(ids)

    @cached_property
    def fills(self) -> dict[str, list[BrokerFill]]:
        """The executions by symbol, oldest first."""
        return grouped((canonical_symbol(fill.symbol), fill) for fill in self.theirs.fills)

    @cached_property
    def by_order(self) -> dict[str, list[BrokerFill]]:
        """The executions by the id of their order, oldest first."""
        return grouped((fill.broker_order_id, fill) for fill in self.theirs.fills)

    @cached_property
    def by_client(self) -> dict[str, BrokerOrder]:
        """Every reported order, by the client's id."""
        return {order.client_order_id: order for order in self.listed.values() if order.client_order_id}

    @cached_property
    def actions(self) -> dict[str, list[CorporateAction]]:
        """The corporate actions that are not accepted yet, by symbol."""
        news = (
            one
            for one in self.theirs.corporate_actions
            if one.activity_id not in self.ours.accepted.activities
        )
        return grouped((canonical_symbol(one.symbol), one) for one in news)

    @cached_property
    def orders(self) -> dict[str, list[OwnOrder]]:
        """Our orders by symbol."""
        return grouped((canonical_symbol(order.symbol), order) for order in self.ours.orders)

    @cached_property
    def strangers(self) -> dict[str, list[BrokerOrder]]:
        """The open orders that aren't ours, by symbol."""
        ours = self.known | self.ours.recorded
        found = (head for head in self.theirs.open_orders if head.broker_order_id not in ours)
        return grouped((canonical_symbol(head.symbol), head) for head in found)

    @cached_property
    def overfilled(self) -> dict[str, list[tuple[BrokerOrder, Overfill]]]:
        """The orders that filled more than was ordered, by symbol; without accepted quantities."""
        heads: dict[str, BrokerOrder] = {}
        for head in (*self.theirs.recent_orders, *self.theirs.open_orders):
            heads[head.broker_order_id] = head
        found = ((head, overfill_of(head, self.by_order)) for head in heads.values())
        news = (
            (canonical_symbol(head.symbol), (head, overfill))
            for head, overfill in found
            if overfill and overfill_key(head, overfill) not in self.ours.accepted.activities
        )
        return grouped(news)

    @cached_property
    def late(self) -> dict[str, list[LateFill]]:
        """The late fills by symbol."""
        return grouped((canonical_symbol(one.symbol), one) for one in self.ours.late)

    @property
    def symbols(self) -> list[str]:
        """Every symbol with anything to compare."""
        agree = {symbol for symbol, units in self.broker.items() if self.ledger.get(symbol) == units}
        named = {*self.fills, *self.actions, *self.orders, *self.strangers, *self.overfilled, *self.late}
        return sorted({*self.broker, *self.ledger} - agree | (named - {""}))

    def both(self, symbol: str) -> str:
        """Return a phrase with the position of both books in a symbol."""
        theirs, ours = self.broker.get(symbol, 0), self.ledger.get(symbol, 0)
        return f"the broker holds {shares(theirs)}, the ledger {shares(ours)}"

    def not_accepted(self, fills: list[BrokerFill]) -> list[BrokerFill]:
        """Return the fills of an order after the last execution that was accepted."""
        places = [n for n, fill in enumerate(fills, 1) if fill.fill_id in self.ours.accepted.activities]
        return fills[max(places, default=0) :]

    def is_in_flight(self, symbol: str, rest: int) -> bool:
        """Return whether the rest equals the fills since the positions were requested: they lack these."""
        if self.theirs.asked_at is None:
            return False
        new = [fill for fill in self.fills.get(symbol, ()) if fill.filled_at >= self.theirs.asked_at]
        return -rest in accumulate(signed(fill.side, units_of(fill.qty)) for fill in reversed(new))

    def at_broker(self, order: OwnOrder) -> BrokerOrder | None:
        """Return our order as the broker reports it, looked up by its id, else by the intent's."""
        if order.broker_order_id:
            return self.listed.get(order.broker_order_id)
        return self.by_client.get(order.client_intent_id)

    def filled_at_broker(self, order: OwnOrder, rest: int) -> int:
        """Return our order's filled units at the broker: by the order or its executions, the larger.

        The order's own figure counts where it explains the rest, or, once it is terminal, part of it: an
        execution may have been busted. So does one that was accepted and explains all: its executions are
        those from before the bust.
        """
        reported = self.at_broker(order)
        beyond = 0 if reported is None else units_of(reported.filled_qty) - units_of(order.filled_qty)
        was_accepted = (order.broker_order_id or order.client_intent_id) in self.ours.accepted.filled
        if reported is not None and was_accepted and not beyond and not rest:
            return units_of(order.filled_qty)
        if reported is not None:
            units, is_terminal = signed(order.side, beyond), reported.is_final and not order.is_open
            if units and (units == rest or (is_terminal and _is_part(units, rest))):
                return units_of(reported.filled_qty)
        by_fills = [units_of(fill.cum_qty) for fill in self.fills_of(order) if fill.cum_qty is not None]
        listed = [] if reported is None else [units_of(reported.filled_qty)]
        return max([*listed, *by_fills], default=units_of(order.filled_qty))

    def filled_differently(self, order: OwnOrder, filled: int) -> tuple[int, bool]:
        """Return the signed units filled at the broker beyond our record, and whether they just filled."""
        units = signed(order.side, filled - units_of(order.filled_qty))
        if not self.is_unaccepted("quantity_differs", order):
            return 0, False
        asked_at = self.theirs.asked_at
        just_now = asked_at is not None and any(fill.filled_at >= asked_at for fill in self.fills_of(order))
        return units, bool(units) and order.is_open and just_now

    def fills_of(self, order: OwnOrder) -> list[BrokerFill]:
        """Return the executions of our order, oldest first."""
        return self.by_order.get(order.broker_order_id, []) if order.broker_order_id else []

    def is_unaccepted(self, kind: str, order: OwnOrder) -> bool:
        """Return whether no break of this kind of the order was accepted yet."""
        return (kind, order.broker_order_id or order.client_intent_id) not in self.ours.accepted.orders


def grouped(pairs: Iterable[tuple[str, _Value]]) -> dict[str, list[_Value]]:
    """Return the values by key, in their order."""
    groups: dict[str, list[_Value]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def _is_part(units: int, rest: int) -> bool:
    """Return whether ``units`` are all or part of a rest, in its direction."""
    return 0 < units <= rest or rest <= units < 0


def _summed(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for key, units in pairs:
        sums[key] = sums.get(key, 0) + units
    return sums


def signed(side: str, units: int) -> int:
    """Return the signed change of a position by a trade of ``units``."""
    return units if side == "buy" else -units
