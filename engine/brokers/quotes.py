"""Quotes, whatever their source, and the input frame ``prices`` made of them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import pandas as pd

from engine.errors import EngineError
from engine.waiting.deadline import Deadline

OK = "ok"
ABSENT = "absent"
"""The source has no quote of the symbol."""
UNREADABLE = "unreadable"
"""The source's quote of the symbol breaks the rules of its form."""
NOT_ANSWERED = "not_answered"
"""The source could not be asked for the symbol, or refused to answer."""
HALTED = "halted"
"""The source reports that the symbol is not traded now."""


@dataclass(frozen=True, slots=True)
class Quote:
    """One symbol's latest quote, as its source has it.

    ``symbol`` is canonical, prices are in USD per share: a side of 0 has no order, NaN is unknown.
    ``verdict``: ``OK``, or why there is no usable quote. Whether a quote is too old, too wide, crossed or
    one-sided is judged by the rules.
    """

    symbol: str
    bid: float = math.nan
    ask: float = math.nan
    last: float = math.nan
    quote_at: datetime | None = None
    verdict: str = OK


@dataclass(frozen=True)
class Snapshots:
    """What a source answered: quotes by symbol, and why it did not answer for the others that were asked."""

    quotes: Mapping[str, Quote]
    failed: Mapping[str, EngineError] = field(default_factory=dict)


class MarketData(Protocol):
    """A provider of quotes; safe to use from many threads."""

    def snapshots(self, symbols: Collection[str], *, deadline: Deadline) -> Snapshots:
        """Return the latest quotes of symbols (canonical); no request begins after the deadline.

        Raises ``EngineError`` where it answers for none of them.
        """
        ...


def prices_frame(
    symbols: Collection[str], snapshots: Snapshots, *, source: str, feed: str = ""
) -> pd.DataFrame:
    """Return the input frame ``prices`` (``engine.risk.inputs``): one row for each symbol that was asked."""
    rows = [_quote_of(symbol, snapshots) for symbol in sorted(symbols)]
    return frame_of(rows, source=source, feed=feed)


def frame_of(quotes: Iterable[Quote], *, source: str, feed: str = "") -> pd.DataFrame:
    """Return quotes as the input frame ``prices``."""
    rows = list(quotes)
    columns = {
        "symbol": pd.Series([one.symbol for one in rows], dtype="str"),
        **{
            name: pd.Series([getattr(one, name) for one in rows], dtype="float64")
            for name in ("bid", "ask", "last")
        },
        "quote_at": pd.to_datetime(pd.Series([one.quote_at for one in rows], dtype="object"), utc=True),
        "source": pd.Series([source] * len(rows), dtype="str"),
        "feed": pd.Series([feed] * len(rows), dtype="str"),
        "verdict": pd.Series([one.verdict for one in rows], dtype="str"),
    }
    return pd.DataFrame(columns)


def _quote_of(symbol: str, snapshots: Snapshots) -> Quote:
    if symbol in snapshots.failed:
        return Quote(symbol, verdict=NOT_ANSWERED)
    return snapshots.quotes.get(symbol) or Quote(symbol, verdict=ABSENT)
