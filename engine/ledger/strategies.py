"""What an account holds by strategy: what each strategy's own fills come to, and the rest.

A strategy's book is the sum of the ledger documents that name it. Opening balances, adjustments and other
documents without a strategy are the rest, which is the account's alone. The books of all strategies and the
rest add up to the account's ledger sum: an identity that is checked wherever they are used.

Pure. All sums are exact: units of 1e-9 shares.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.text.plain_text import folded

NO_STRATEGY = ""
"""The strategy of documents that name none."""

ANY_STRATEGY = "\x00"
"""The strategy of documents whose ``strategy_id`` is no text: they may be any strategy's."""

IDENTITY = "sum over strategies + the rest = the account's ledger sum"


def strategy_of(value: Any) -> str:
    """Return the strategy that a document's ``strategy_id``, of any type, names."""
    if isinstance(value, str):
        return value
    return NO_STRATEGY if value is None else ANY_STRATEGY


@dataclass(frozen=True)
class StrategyBook:
    """An account's ledger sum by strategy, and without regard to strategies; in units of 1e-9 shares.

    ``by_strategy``: by strategy and symbol; the rest is under ``NO_STRATEGY``. ``of_account``: by symbol.
    Neither has a 0.
    """

    by_strategy: Mapping[tuple[str, str], int] = field(default_factory=dict)
    of_account: Mapping[str, int] = field(default_factory=dict)

    @property
    def strategies(self) -> list[str]:
        """The strategies that hold anything, in alphabetical order, without the rest."""
        return sorted({strategy for strategy, _ in self.by_strategy} - {NO_STRATEGY})

    def held_by(self, strategy: str) -> dict[str, int]:
        """Return what a strategy holds, by symbol."""
        return {symbol: units for (name, symbol), units in self.by_strategy.items() if name == strategy}

    def differing(self) -> dict[str, tuple[int, int]]:
        """Return where the identity fails: by symbol the sum over all strategies, and the account's sum."""
        summed: dict[str, int] = {}
        for (_, symbol), units in self.by_strategy.items():
            summed[symbol] = summed.get(symbol, 0) + units
        pairs = {
            symbol: (summed.get(symbol, 0), self.of_account.get(symbol, 0))
            for symbol in sorted(summed.keys() | self.of_account.keys())
        }
        return {symbol: pair for symbol, pair in pairs.items() if pair[0] != pair[1]}


def identity(books: Iterable[StrategyBook]) -> dict[str, Any]:
    """Return the identity over the books of several accounts, as a manifest records one.

    ``left`` and ``right`` are the absolute quantities of all accounts and symbols, in units; where some
    differ, of these alone.
    """
    books = list(books)
    pairs = [pair for book in books for pair in book.differing().values()]
    holds = not pairs
    if holds:
        pairs = [(units, units) for book in books for units in book.of_account.values()]
    left, right = (sum(abs(pair[side]) for pair in pairs) for side in (0, 1))
    return {"name": IDENTITY, "left": left, "right": right, "holds": holds}


def in_doubt(kept: Iterable[str], wanted: Collection[str]) -> set[str]:
    """Return the wanted strategies of which nothing is known, because a kept name only looks like theirs.

    A name that was itself requested is a strategy of its own. A kept name without a visible character, and
    ``ANY_STRATEGY``, may be any of them.
    """
    exact, alike = set(wanted), dict[str, set[str]]()
    for name in exact:
        alike.setdefault(folded(name), set()).add(name)
    doubtful: set[str] = set()
    for name in set(kept) - exact - {NO_STRATEGY}:
        meant = folded(name)
        doubtful |= alike.get(meant, set()) if meant else exact
    return doubtful
