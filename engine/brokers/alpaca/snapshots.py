"""Alpaca's snapshots of stocks: the latest quote and trade of each symbol.

Source: ``GET /v2/stocks/snapshots`` in the OpenAPI document of Alpaca's market data. There is no envelope, a
symbol without data is null or absent, and any part of a snapshot may be missing or null.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import orjson

from engine.brokers.alpaca.fields import NotJson
from engine.brokers.quotes import ABSENT, UNREADABLE, Quote
from engine.model.quantity import BOUND
from engine.model.symbols import canonical_symbol

_NO_TRADE = ("canceled", "incorrect")
"""Updates (``u``) after which a trade's price is none."""
_PARTS = ("latestQuote", "latestTrade")


def parse_snapshots(body: bytes, asked: Collection[str]) -> dict[str, Quote]:
    """Return the quotes of the symbols that were asked for, by canonical symbol; absent ones are left out.

    A quote that can't be read is ``UNREADABLE`` and concerns no other. Raises ``ValueError`` with the fault
    where the body is no map of snapshots, or only of other symbols.
    """
    wanted = frozenset(asked)
    quotes: dict[str, Quote] = {}
    reply = _map(body)
    for name, snapshot in reply.items():
        symbol = canonical_symbol(name)
        if symbol in quotes:  # two spellings of one instrument
            quotes[symbol] = Quote(symbol, verdict=UNREADABLE)
        elif symbol in wanted:
            quotes[symbol] = _quote(symbol, snapshot)
    if reply and not quotes:
        raise ValueError("it has none of the symbols that were asked for")
    return quotes


def quotes_and_trades(body: bytes) -> bytes:
    """Return snapshots with their latest quotes and trades alone, and any other body as it is."""
    try:
        kept = {
            symbol: snapshot and {part: snapshot.get(part) for part in _PARTS}
            for symbol, snapshot in _map(body).items()
        }
        return orjson.dumps(kept)
    except (ValueError, AttributeError, TypeError):
        return body


def _map(body: bytes) -> dict[str, Any]:
    try:
        reply = orjson.loads(body)
    except ValueError as error:
        raise NotJson("it is not JSON") from error
    if type(reply) is not dict:
        raise ValueError("it is not a JSON object")
    return reply


def _quote(symbol: str, snapshot: object) -> Quote:
    """Return the quote in one symbol's snapshot."""
    if snapshot is None:
        return Quote(symbol, verdict=ABSENT)
    if type(snapshot) is not dict:
        return Quote(symbol, verdict=UNREADABLE)
    last, quote = _last(snapshot.get("latestTrade")), snapshot.get("latestQuote")
    if quote is None:
        return Quote(symbol, last=last, verdict=ABSENT)
    if type(quote) is not dict:
        return Quote(symbol, last=last, verdict=UNREADABLE)
    bid, ask, quote_at = _price(quote.get("bp")), _price(quote.get("ap")), _time(quote.get("t"))
    if bid is None or ask is None or quote_at is None:
        return Quote(symbol, last=last, verdict=UNREADABLE)
    return Quote(symbol, bid, ask, last, quote_at)


def _last(trade: Any) -> float:
    """Return the price of the latest trade, NaN where there is none, or one that was taken back."""
    if type(trade) is not dict or trade.get("u") in _NO_TRADE:
        return math.nan
    return _price(trade.get("p")) or math.nan


def _price(value: object) -> float | None:
    """Return a price from 0, None for anything else."""
    if type(value) is not float and (isinstance(value, bool) or not isinstance(value, int)):
        return None
    return float(value) if 0 <= value < BOUND else None


def _time(text: object) -> datetime | None:
    """Return a timestamp in UTC, cut to the microsecond, None where it is none with a zone."""
    if not isinstance(text, str):
        return None
    try:
        timestamp = datetime.fromisoformat(text)
        if timestamp.tzinfo is UTC:
            return timestamp
        return None if timestamp.tzinfo is None else timestamp.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
