"""Faults of market data, one dataclass each: what is wrong with the data of some symbols.

``symbols``: a comma-separated list, or ``*`` for all. Each strikes every request for them by default; what
counts as a strike is a request that asks for one of the symbols.
"""

from __future__ import annotations

from dataclasses import dataclass

from replay.simulator.wire.when import When

PARTS = ("latestTrade", "latestQuote", "minuteBar", "dailyBar", "prevDailyBar")

_DATA = When("GET", "/v2/stocks/*", times=None)


@dataclass(frozen=True, slots=True)
class StaleQuote:
    """The quote is that of so many seconds ago."""

    seconds: float = 3600.0
    symbols: str = "*"
    when: When = _DATA


@dataclass(frozen=True, slots=True)
class WideQuote:
    """The spread is so many per cent of the mid price."""

    percent: float = 20.0
    symbols: str = "*"
    when: When = _DATA


@dataclass(frozen=True, slots=True)
class CrossedQuote:
    """The bid is above the ask: each has the other's price."""

    symbols: str = "*"
    when: When = _DATA


@dataclass(frozen=True, slots=True)
class OneSidedQuote:
    """The quote has no ``bid`` or no ``ask``: its price and size are 0."""

    lacks: str = "ask"
    symbols: str = "*"
    when: When = _DATA


@dataclass(frozen=True, slots=True)
class StubQuote:
    """The ask is 199,999.99 for one share, as recorded before an open."""

    symbols: str = "*"
    when: When = _DATA


@dataclass(frozen=True, slots=True)
class HaltedSymbol:
    """Trading was halted so many seconds ago: nothing is newer, and the quote has no prices.

    The venue still accepts and fills orders: ``POST /simulator/asset`` changes what it accepts.
    """

    seconds: float = 300.0
    symbols: str = "*"
    when: When = _DATA


@dataclass(frozen=True, slots=True)
class MissingSymbol:
    """The symbol is absent, as an unknown one is."""

    symbols: str = "*"
    when: When = _DATA


@dataclass(frozen=True, slots=True)
class NullParts:
    """One part of a snapshot is null, or, with ``all``, the whole snapshot; so are the latest data alone."""

    part: str = "all"
    symbols: str = "*"
    when: When = _DATA


DataFault = (
    StaleQuote
    | WideQuote
    | CrossedQuote
    | OneSidedQuote
    | StubQuote
    | HaltedSymbol
    | MissingSymbol
    | NullParts
)
