"""Both books of an account, side by side: what the broker said and what we recorded, to be asked about.

Pure. ``reconciling`` explains what differs between them.
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
    """Both books of an account, laid out by symbol and by order; quantities in units of 1e-9 shares."""

    theirs: BrokerBook
    ours: OwnBook

    @cached_property
    def broker(self) -> dict[str, int]:
        """The broker's positions in units."""
        symbols = [canonical_symbol(symbol) for symbol in self.theirs.positions]
        units = round_to_units(np.array(list(self.theirs.positions.values()), dtype=np.float64)).tolist()
        for symbol, qty, said in zip(symbols, units, self.theirs.positions.values(), strict=True):
            if qty == NOT_A_QUANTITY:
                raise EngineError(
                    f"account {self.ours.account}: the broker's position in {symbol} is {said!r}; expected "
                    f"shares between -1e9 and 1e9. Nothing was compared; look at the broker's dashboard."
                )
        return _summed(zip(symbols, units, strict=True))

    @cached_property
    def ledger(self) -> dict[str, int]:
        """The ledger's positions as they are now, late fills included."""
        late = ((canonical_symbol(one.symbol), one.units) for one in self.ours.late)
        return _summed(
            [*((canonical_symbol(symbol), units) for symbol, units in self.ours.positions.items()), *late]
        )

    @cached_property
    def listed(self) -> dict[str, BrokerOrder]:
        """Every order and leg that the broker has told of, by id, as the telling with more filled has it."""
        told: dict[str, BrokerOrder] = {}
        for head in (*self.theirs.recent_orders, *self.theirs.open_orders):
            for order in (head, *head.legs):
                before = told.get(order.broker_order_id)
                if before is None or before.filled_qty <= order.filled_qty:
                    told[order.broker_order_id] = order
        return told

    @cached_property
    def known(self) -> frozenset[str]:
        """The ids of the orders that are ours; with one order of a group, all of it."""
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
        """Every order that the broker has told of, by the client's id."""
        return {order.client_order_id: order for order in self.listed.values() if order.client_order_id}

    @cached_property
    def actions(self) -> dict[str, list[CorporateAction]]:
        """The corporate actions that nobody has accepted yet, by symbol."""
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
        """The orders that filled beyond what was ordered, by symbol; not where that quantity was accepted."""
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
        """Every symbol of which there is anything to compare."""
        agree = {symbol for symbol, units in self.broker.items() if self.ledger.get(symbol) == units}
        told = {*self.fills, *self.actions, *self.orders, *self.strangers, *self.overfilled, *self.late} - {
            ""
        }
        return sorted({*self.broker, *self.ledger} - agree | told)

    def both(self, symbol: str) -> str:
        """Say what both hold of a symbol."""
        theirs, ours = self.broker.get(symbol, 0), self.ledger.get(symbol, 0)
        return f"the broker holds {shares(theirs)}, the ledger {shares(ours)}"

    def not_accepted(self, fills: list[BrokerFill]) -> list[BrokerFill]:
        """Give what an order filled after the last execution that somebody has taken in."""
        places = [n for n, fill in enumerate(fills, 1) if fill.fill_id in self.ours.accepted.activities]
        return fills[max(places, default=0) :]

    def is_in_flight(self, symbol: str, rest: int) -> bool:
        """Tell whether the rest is what filled since positions were asked for: it is not in them yet."""
        if self.theirs.asked_at is None:
            return False
        new = [fill for fill in self.fills.get(symbol, ()) if fill.filled_at >= self.theirs.asked_at]
        return -rest in accumulate(signed(fill.side, units_of(fill.qty)) for fill in reversed(new))

    def as_told(self, order: OwnOrder) -> BrokerOrder | None:
        """Give an order of ours as the broker told of it, by its id, else by the intent's."""
        if order.broker_order_id:
            return self.listed.get(order.broker_order_id)
        return self.by_client.get(order.client_intent_id)

    def filled_there(self, order: OwnOrder, rest: int) -> int:
        """Give what an order of ours has filled at the broker: by the order or its executions, the larger.

        The order's own word counts where it explains the rest, or, once it is over, part of it: an execution
        may have been taken back.
        """
        told = self.as_told(order)
        taken = 0 if told is None else units_of(told.filled_qty) - units_of(order.filled_qty)
        if told is not None:
            units, is_over = signed(order.side, taken), told.is_final and not order.is_open
            if units and (units == rest or (is_over and _is_part(units, rest))):
                return units_of(told.filled_qty)
        by_fills = [units_of(fill.cum_qty) for fill in self.fills_of(order) if fill.cum_qty is not None]
        listed = [] if told is None else [units_of(told.filled_qty)]
        return max([*listed, *by_fills], default=units_of(order.filled_qty))

    def filled_differently(self, order: OwnOrder, filled: int) -> tuple[int, bool]:
        """Give the signed units that the broker has filled beyond our record, and whether those just came."""
        units = signed(order.side, filled - units_of(order.filled_qty))
        if not self.is_news("quantity_differs", order):
            return 0, False
        asked_at = self.theirs.asked_at
        just_now = asked_at is not None and any(fill.filled_at >= asked_at for fill in self.fills_of(order))
        return units, bool(units) and order.is_open and just_now

    def fills_of(self, order: OwnOrder) -> list[BrokerFill]:
        """Give the executions of an order of ours, oldest first."""
        return self.by_order.get(order.broker_order_id, []) if order.broker_order_id else []

    def is_news(self, kind: str, order: OwnOrder) -> bool:
        """Tell whether nobody has accepted a break of this kind of the order yet."""
        return (kind, order.broker_order_id or order.client_intent_id) not in self.ours.accepted.orders


def grouped(pairs: Iterable[tuple[str, _Value]]) -> dict[str, list[_Value]]:
    """Put values under their keys, in their order."""
    groups: dict[str, list[_Value]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def _is_part(units: int, rest: int) -> bool:
    """Return whether so many units are all or some of a rest, in its direction."""
    return 0 < units <= rest or rest <= units < 0


def _summed(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for key, units in pairs:
        sums[key] = sums.get(key, 0) + units
    return sums


def signed(side: str, units: int) -> int:
    """Give what so many units do to a position."""
    return units if side == "buy" else -units
