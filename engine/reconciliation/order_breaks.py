"""Breaks of single orders: late fills, and orders that the two books have differently."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.ledger.overfilling import overfill_key
from engine.model.breaks import Break, LateFill, OwnOrder, filled_key, in_utc, shares, units_of
from engine.reconciliation.break_texts import ACCEPT, BreakMaker, asked_for, named, quantity, traded
from engine.reconciliation.compared_books import SideBySide

PRICE_TOLERANCE = 1e-6
"""Relative difference allowed between two averages of the same executions."""
_PRICE_OF = "{}@price:{:.10g}"


@dataclass(frozen=True)
class OrderBreaks:
    """The breaks of an account's orders, by symbol."""

    make: BreakMaker

    @property
    def books(self) -> SideBySide:
        """Both books of the account."""
        return self.make.books

    def of_symbol(self, symbol: str) -> Iterator[Break]:
        """Yield the breaks that explain no difference of positions."""
        yield from map(self._late_fill, self.books.late.get(symbol, ()))
        yield from self._unknown_orders(symbol)
        yield from self._missing_orders(symbol)
        yield from self._overfilled(symbol)
        yield from self._price_differences(symbol)

    def _late_fill(self, late: LateFill) -> Break:
        timestamp = f", the last of it at {in_utc(late.filled_at)}" if late.filled_at else ""
        return self.make.of(
            "late_fill",
            late.symbol,
            late.units,
            f"order {late.broker_order_id} (intent {late.client_intent_id}) {traded(late.units)} after its "
            f"run had polled it last{timestamp}; the ledger has it now.",
            "Nothing to do.",
            broker_order_id=late.broker_order_id,
            client_intent_id=late.client_intent_id,
            is_repaired=True,
        )

    def _unknown_orders(self, symbol: str) -> Iterator[Break]:
        for order in self.books.strangers.get(symbol, ()):
            may_be_ours = order.broker_order_id in self.books.ours.unbooked
            kind = "unbooked_order" if may_be_ours else "unknown_order"
            if (kind, order.broker_order_id) in self.books.ours.accepted.orders:
                continue
            since = order.created_at or order.submitted_at
            timestamp = f", entered {in_utc(since)}" if since else ""
            replaced = str(order.raw.get("replaces") or "")
            instead = f" It replaces our order {replaced}." if replaced in self.books.known else ""
            whose = "not in the record of this folder, and may be ours" if may_be_ours else "none of ours"
            yield self.make.of(
                kind,
                symbol,
                0,
                f"order {order.broker_order_id} is open at the broker and {whose}: {asked_for(order)}"
                f"{timestamp} (client id {order.client_order_id or 'none'}).{instead}",
                f"Cancel every open order in {symbol} with `execution-engine cancel-all --symbol "
                f"{symbol} --account {self.books.ours.account}`, or accept this order: {ACCEPT}.",
                broker_order_id=order.broker_order_id,
            )

    def _missing_orders(self, symbol: str) -> Iterator[Break]:
        for order in self.books.orders.get(symbol, ()):
            is_listed = (
                order.broker_order_id in self.books.listed or order.client_intent_id in self.books.by_client
            )
            if not order.is_open or is_listed or not self.books.is_unaccepted("missing_order", order):
                continue
            looked_up = order.looked_up or f"it is in none of its lists of {in_utc(self.make.at)}"
            yield self.make.of(
                "missing_order",
                symbol,
                0,
                f"order {named(order)} ({order.side} {quantity(order.qty)}, {quantity(order.filled_qty)} "
                f"filled) is open by our record, and the broker doesn't know it: "
                f"{looked_up.rstrip('.')}.",
                f"Look for it on the broker's dashboard, by {order.client_intent_id}; if it isn't there, "
                f"accept the break: {ACCEPT}.",
                broker_order_id=order.broker_order_id,
                client_intent_id=order.client_intent_id,
            )

    def _overfilled(self, symbol: str) -> Iterator[Break]:
        for order, overfill in self.books.overfilled.get(symbol, ()):
            intent = f" (intent {order.client_order_id})" if order.client_order_id else ""
            what = "cancel it, and let the broker" if not order.is_final else "let the broker"
            yield self.make.of(
                "overfilled",
                symbol,
                0,
                f"order {order.broker_order_id}{intent} has {overfill.said}; {self.books.both(symbol)}.",
                f"Look at its executions on the broker's dashboard, {what} correct or confirm them; if "
                f"they stand, accept them: {ACCEPT}.",
                broker_order_id=order.broker_order_id,
                client_intent_id=order.client_order_id,
                activity_id=overfill_key(order, overfill),
            )

    def _price_differences(self, symbol: str) -> Iterator[Break]:
        for order in self.books.orders.get(symbol, ()):
            reported = self.books.at_broker(order)
            ours, theirs = order.filled_avg_price, None if reported is None else reported.filled_avg_price
            if reported is None or ours is None or theirs is None or reported.filled_qty <= 0:
                continue
            same_qty = units_of(reported.filled_qty) == units_of(order.filled_qty)
            if not same_qty or abs(ours - theirs) <= PRICE_TOLERANCE * abs(theirs):
                continue
            corrected = _PRICE_OF.format(reported.broker_order_id, theirs)
            is_accepted = corrected in self.books.ours.accepted.activities
            if self.books.is_unaccepted("price_differs", order) and not is_accepted:
                yield self.make.of(
                    "price_differs",
                    symbol,
                    0,
                    f"order {named(order)} filled {quantity(order.filled_qty)} at {theirs:.10g} by the "
                    f"broker's report, at {ours:.10g} by our record.",
                    f"Look the order up on the broker's dashboard; if its price was corrected, accept the "
                    f"correction: {ACCEPT}.",
                    broker_order_id=reported.broker_order_id,
                    client_intent_id=order.client_intent_id,
                    activity_id=corrected,
                    broker_price=theirs,
                    ledger_price=ours,
                )

    def quantity_differs(self, order: OwnOrder, part: int, filled: int) -> Iterator[Break]:
        """Yield the break of an order of which ``filled`` units filled at the broker.

        ``part``: the units of its symbol's difference that it explains.
        """
        reported = self.books.at_broker(order)
        theirs = order.qty if reported is None or reported.qty is None else reported.qty
        same_size = order.qty is None or theirs is None or units_of(order.qty) == units_of(theirs)
        if same_size and filled == units_of(order.filled_qty):
            return
        differing = filled_key(order.broker_order_id or order.client_intent_id, filled)
        differing += "" if same_size else f"/{quantity(theirs)}"
        if differing in self.books.ours.accepted.activities:
            return
        yield self.make.of(
            "quantity_differs",
            order.symbol,
            part,
            f"order {named(order)} is a {order.side} of {quantity(theirs)} with {shares(filled)} filled at "
            f"the broker, of {quantity(order.qty)} with {quantity(order.filled_qty)} filled by our record.",
            f"Look at its executions on the broker's dashboard, and accept the difference: {ACCEPT}.",
            broker_order_id=order.broker_order_id,
            client_intent_id=order.client_intent_id,
            activity_id=differing,
        )
