"""Broker against ledger: find every difference once and classify it.

Pure: the broker's book of an account and our own records go in, breaks come out. A symbol's difference is
explained piece by piece: by late fills, trades that aren't ours, corporate actions and orders whose records
differ. Only the rest is *unexplained*.

Where the books agree no break is reported, for whatever reason they agree: the broker reports trades and
splits again that an operator has already accepted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from engine.model.breaks import Break, BrokerBook, CorporateAction, OwnBook, counted, in_utc, units_of
from engine.model.quantity import UNITS
from engine.model.schema import BREAK_KINDS
from engine.reconciliation.break_texts import ACCEPT, BreakMaker, plus, traded
from engine.reconciliation.compared_books import SideBySide, grouped, signed
from engine.reconciliation.order_breaks import OrderBreaks

LARGEST_SPLIT = 100
"""A ratio beyond 1:100 does not count as a split."""

_ACTIONS = {
    "SPLIT": "split",
    "SPIN": "spin-off",
    "MA": "merger or acquisition",
    "NC": "name change",
    "REO": "reorganization",
    "REORG": "removal of worthless shares",
    "DIV": "stock dividend",
    "ACATS": "transfer from or to another broker",
    "FOPT": "transfer free of payment",
    "JNLS": "journal entry in shares",
    "CFEE": "fee in kind",
    "CIL": "cash in lieu",
}
_REBUILD = "Book it from the record: `execution-engine ledger rebuild --by NAME --why TEXT`; then sync again."
_UNBOOKED = (
    "If folder and store were restored from a backup: `execution-engine ledger rebuild --by NAME --why TEXT` "
    "books it by the broker's executions. If a copy of this folder trades the account as well, end one of "
    "the two first."
)


def reconcile(theirs: BrokerBook, ours: OwnBook, *, at: datetime) -> list[Break]:
    """Compare the broker's book of an account with our own records; ``at`` is now, with a zone.

    Return every difference once, by symbol. Raises ``EngineError`` for a position that is no quantity.
    """
    compared = _Comparison(BreakMaker(SideBySide(theirs, ours), at.astimezone(UTC)))
    breaks = [found for symbol in compared.books.symbols for found in compared.breaks_of(symbol)]
    return sorted(breaks, key=lambda found: (found.symbol, BREAK_KINDS.index(found.kind)))


@dataclass(frozen=True)
class _Comparison:
    """The differences between both books of an account, symbol by symbol."""

    make: BreakMaker

    @property
    def books(self) -> SideBySide:
        """Both books of the account."""
        return self.make.books

    @property
    def orders(self) -> OrderBreaks:
        """The breaks of single orders."""
        return OrderBreaks(self.make)

    def breaks_of(self, symbol: str) -> Iterator[Break]:
        """Yield the breaks of a symbol."""
        yield from self.orders.of_symbol(symbol)
        gap = self.books.broker.get(symbol, 0) - self.books.ledger.get(symbol, 0)
        trades = list(self._manual_trades(symbol))
        untraded = gap - sum(piece.difference_qty for piece in trades)
        pieces = [*trades, *self._actions_of_known_size(symbol, untraded)]
        total = sum(piece.difference_qty for piece in pieces)
        if gap == 0 != total:
            pieces, total = [], 0
        yield from pieces
        yield from self._rest_breaks(symbol, gap - total)

    def _rest_breaks(self, symbol: str, rest: int) -> Iterator[Break]:
        """Explain the rest after trades and actions of known size; the last resort is *unexplained*."""
        actions = self.books.actions.get(symbol, ())
        is_sized = any(one.qty for one in actions)
        unclear = [one for one in actions if one.qty is None and not (one.is_cash_in_lieu and is_sized)]
        if rest and unclear:
            yield self._action(symbol, unclear, rest)
            rest = 0
        for order in self.books.orders.get(symbol, ()):
            filled = self.books.filled_at_broker(order, rest)
            differing, is_in_flight_now = self.books.filled_differently(order, filled)
            part = _part_of(rest, differing)
            rest -= part
            if not is_in_flight_now and self.books.is_unaccepted("quantity_differs", order):
                yield from self.orders.quantity_differs(order, part, filled)
        if not rest or self.books.is_in_flight(symbol, rest):
            return
        ratio = self._split_ratio(symbol, rest)
        yield self._split(symbol, rest, ratio) if ratio else self._unexplained(symbol, rest)

    def _manual_trades(self, symbol: str) -> Iterator[Break]:
        by_order = grouped((fill.broker_order_id, fill) for fill in self.books.fills.get(symbol, ()))
        for order_id, reported in by_order.items():
            fills = [] if order_id in self.books.known else self.books.not_accepted(reported)
            units = sum(signed(fill.side, units_of(fill.qty)) for fill in fills)
            if not fills:
                continue
            filled = sum(units_of(fill.qty) for fill in fills)
            price = sum(units_of(fill.qty) * fill.price for fill in fills) / filled if filled else None
            timestamps = dict.fromkeys(in_utc(fill.filled_at) for fill in (fills[0], fills[-1]))
            at_price = "" if price is None else f" at {price:.10g}"
            kind, whose, remedy = self._whose(order_id)
            yield self.make.of(
                kind,
                symbol,
                units,
                f"order {order_id}, {whose}, {traded(units)}{at_price} ("
                f"{counted(len(fills), 'execution')}, {' to '.join(timestamps)}); {self.books.both(symbol)}.",
                remedy,
                broker_order_id=order_id,
                client_intent_id=self.books.ours.unbooked.get(order_id, ""),
                activity_id=fills[-1].fill_id,
                broker_price=price,
            )

    def _whose(self, order_id: str) -> tuple[str, str, str]:
        """Return the kind of a break of an order that the ledger lacks, whose it is, and the remedy."""
        if order_id in self.books.ours.recorded:
            return "unbooked_order", "which a run of ours sent and the ledger lacks", _REBUILD
        if client_id := self.books.ours.unbooked.get(order_id):
            whose = f"whose client id {client_id} may be ours, and which neither ledger nor this folder has"
            return "unbooked_order", whose, f"{_UNBOOKED} {self._if_meant()}"
        return "manual_trade", "which is none of ours", self._if_meant()

    def _if_meant(self) -> str:
        return (
            f"If the trade was intended, accept it: {ACCEPT}; if it was not, `execution-engine halt "
            f'--why "…"` and change the keys of account {self.books.ours.account}.'
        )

    def _actions_of_known_size(self, symbol: str, untraded: int) -> Iterator[Break]:
        """Yield a break for each kind of action; ``untraded`` is the difference that no trade explains.

        Cash in lieu belongs to the action whose fraction of a share it pays for.
        """
        found = self.books.actions.get(symbol, ())
        kinds = grouped((one.kind, one) for one in found if one.qty is not None)
        sums = {kind: sum(units_of(one.qty or 0.0) for one in actions) for kind, actions in kinds.items()}
        fraction = untraded - sum(sums.values())
        for lieu in (one for one in found if one.is_cash_in_lieu and one.qty is None and kinds):
            kind = _paid_for(lieu, kinds)
            kinds[kind].append(lieu)
            if abs(fraction) < UNITS:
                sums[kind], fraction = sums[kind] + fraction, 0
        for kind, actions in kinds.items():
            if sums[kind]:
                yield self._action(symbol, actions, sums[kind])

    def _action(self, symbol: str, actions: list[CorporateAction], units: int) -> Break:
        kinds = ", ".join(dict.fromkeys(_ACTIONS.get(one.kind, f"activity {one.kind}") for one in actions))
        days = ", ".join(dict.fromkeys(f"{one.day}" for one in actions if one.day is not None))
        ids = " ".join(one.activity_id for one in actions)
        of_day = f" of {days}" if days else ""
        unsized = any(one.qty is None and not one.is_cash_in_lieu for one in actions)
        how = "came with a change of" if unsized else "changed the position by"
        return self.make.of(
            "corporate_action",
            symbol,
            units,
            f"{kinds}{of_day} ({ids}) {how} {plus(units)}; {self.books.both(symbol)}.",
            f"Compare it with the broker's notice, and accept it: {ACCEPT}.",
            activity_id=ids,
        )

    def _split(self, symbol: str, rest: int, ratio: str) -> Break:
        return self.make.of(
            "corporate_action",
            symbol,
            rest,
            f"split or other corporate action, looks like {ratio}: {self.books.both(symbol)}, and nothing "
            f"was traded.",
            f"Look for the broker's notice of a split of {symbol}, and accept it: {ACCEPT}.",
        )

    def _unexplained(self, symbol: str, rest: int) -> Break:
        unread = [one.activity_id for one in self.books.actions.get("", ())]
        also = (
            f" The broker also lists activities that name no symbol: {', '.join(unread)}." if unread else ""
        )
        return self.make.of(
            "position_unexplained",
            symbol,
            rest,
            f"at {in_utc(self.make.at)} {self.books.both(symbol)}; nothing explains {plus(rest)} of "
            f"it.{also}",
            f"Look at the orders and activities of {symbol} on the broker's dashboard; once you know what it "
            f"is, accept it: {ACCEPT}.",
        )

    def _split_ratio(self, symbol: str, rest: int) -> str:
        """Return the ratio of the broker's position to ours, such as ``2:1``; "" where it is no whole one."""
        theirs = self.books.broker.get(symbol, 0)
        before = theirs - rest
        if self.books.fills.get(symbol) or not before or not theirs or (theirs > 0) != (before > 0):
            return ""
        larger, smaller = max(abs(theirs), abs(before)), min(abs(theirs), abs(before))
        times, left = divmod(larger, smaller)
        if left or not 1 < times <= LARGEST_SPLIT:
            return ""
        return f"{times}:1" if abs(theirs) == larger else f"1:{times}"


def _paid_for(lieu: CorporateAction, kinds: Mapping[str, list[CorporateAction]]) -> str:
    """Return the kind of the action that cash in lieu belongs to: of its group, else of its day, else any."""
    for is_its_own in (
        lambda one: bool(lieu.group_id) and one.group_id == lieu.group_id,
        lambda one: one.day == lieu.day,
    ):
        for kind, actions in kinds.items():
            if any(map(is_its_own, actions)):
                return kind
    return next(iter(kinds))


def _part_of(rest: int, units: int) -> int:
    """Return the part of a rest that a difference of ``units`` explains; 0 where their signs differ."""
    if (rest > 0) != (units > 0):
        return 0
    return min(rest, units, key=abs)
