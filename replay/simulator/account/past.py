"""The account in the past: its cash, shares and equity at any timestamp."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from replay.simulator.account.book import Book
from replay.simulator.decimals import ZERO, minus, plus, times
from replay.simulator.market.sessions import Session
from replay.simulator.market.tape import Tape


@dataclass(slots=True)
class _Sums:
    """A running sum: its value from each of its times on."""

    times_ns: list[int] = field(default_factory=list)
    values: list[Decimal] = field(default_factory=list)

    def add(self, t_ns: int, amount: Decimal) -> None:
        before = self.values[-1] if self.values else ZERO
        self.times_ns.append(t_ns)
        self.values.append(plus(before, amount))

    def at(self, t_ns: int) -> Decimal:
        place = bisect_right(self.times_ns, t_ns)
        return self.values[place - 1] if place else ZERO


class Past:
    """The account at any timestamp since ``opened_ns``, from its fills and splits."""

    def __init__(self, book: Book, tape: Tape, opened_ns: int) -> None:
        self.opened_ns = opened_ns
        self.opening = book.opening_cash
        self._tape = tape
        self._cash = _Sums()
        self._shares: dict[str, _Sums] = {}
        for t_ns, symbol, shares, money in sorted(_changes(book), key=lambda change: change[0]):
            self._cash.add(t_ns, money)
            self._shares.setdefault(symbol, _Sums()).add(t_ns, shares)

    def equity(self, t_ns: int) -> Decimal:
        """Return the equity at a timestamp, at the prices of that time."""
        tape = self._tape.as_of(t_ns)
        return self._valued(t_ns, lambda symbol: tape.price(symbol, t_ns))

    def equity_at_close(self, session: Session) -> Decimal:
        """Return the equity at the close of a session, at the prices of its closing auction."""
        tape = self._tape.as_of(session.close_ns)
        return self._valued(session.close_ns, lambda symbol: tape.close_price(symbol, session.day))

    def _valued(self, t_ns: int, price: Callable[[str], Decimal]) -> Decimal:
        equity = plus(self.opening, self._cash.at(t_ns))
        for symbol, sums in self._shares.items():
            if shares := sums.at(t_ns):
                equity = plus(equity, times(shares, price(symbol)))
        return equity


def _changes(book: Book) -> list[tuple[int, str, Decimal, Decimal]]:
    """Return every change: its time and symbol, the shares and the cash that it adds."""
    changes = [(part.t_ns, part.symbol, part.qty, ZERO) for part in book.split_parts]
    for fill in book.fills:
        shares = fill.qty if fill.order.side == "buy" else minus(ZERO, fill.qty)
        changes.append((fill.t_ns, fill.order.symbol, shares, minus(ZERO, times(shares, fill.price))))
    return changes
