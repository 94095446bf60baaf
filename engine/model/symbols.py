"""One instrument, one key: the canonical form of a symbol.

Alpaca writes class shares with a dot (``BRK.B``), currency pairs with a slash in orders and executions
(``BTC/USD``) and without one in positions (``BTCUSD``); other sources write ``BRK/B``, ``BRK-B`` and
``BTC-USD``. Limits, working orders, positions and the ledger are all kept by the canonical form, which is
also the one that is sent.

A currency pair is a base and one of ``QUOTE_CURRENCIES`` with a slash or a hyphen between them, or with
nothing between them where that is at least ``SHORTEST_PAIR`` characters: a US stock symbol has at most five
letters, and some end in D (``ABUSD`` after a reverse split of ``ABUS``). No quote currency is the end of
another, so that a pair can be split in one way only. Everything else with separators is a share of a class,
a preferred share, a warrant or a unit, whose separator is a dot; a dot is never left out or put in.
Source: Alpaca's Trading API, ``/v2/positions`` ("For crypto, the symbol has to follow old symbology, e.g.
BTCUSD") and its order examples (``ETH/USD``).
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import product

from engine.text.plain_text import trimmed

QUOTE_CURRENCIES = (
    *("USD", "EUR", "GBP", "JPY", "CHF", "CAD", "AUD", "NZD"),
    *("USDT", "USDC", "BTC", "ETH"),
)
"""The currencies that may be second in a pair."""

SHORTEST_PAIR = 6
"""Characters of a pair that is written without a separator."""

_QUOTES = "|".join(QUOTE_CURRENCIES)
_SEPARATED_PAIR = re.compile(rf"([A-Z0-9]+)[/-]({_QUOTES})")
_JOINED_PAIR = re.compile(rf"(?=.{{{SHORTEST_PAIR},}})([A-Z0-9]+)({_QUOTES})")
_SEPARATORS = str.maketrans("/-", "..")
_MOST_SEPARATORS = 2
"""Separators of a symbol up to which all mixtures of them are spellings of it."""


@lru_cache(maxsize=65_536)
def canonical_symbol(symbol: str) -> str:
    """Return the one form of a symbol: trimmed, in capitals, ``BRK.B`` and ``BTC/USD``.

    Idempotent. Text that isn't ASCII is only trimmed: it is not a symbol, and never equals one.
    """
    text = trimmed(symbol)
    if not text.isascii():
        return text
    capitals = text.upper()
    pair = _SEPARATED_PAIR.fullmatch(capitals) or _JOINED_PAIR.fullmatch(capitals)
    return f"{pair[1]}/{pair[2]}" if pair else capitals.translate(_SEPARATORS)


def spellings(symbol: str) -> list[str]:
    """Return the symbol as it is given, then every other spelling of the same instrument, in capitals.

    Of a symbol with more than two separators, which no exchange has, only those with one kind of separator.
    """
    canonical = canonical_symbol(symbol)
    parts = re.split("[./]", canonical)
    if not canonical.isascii() or len(parts) == 1:
        return [symbol]
    gaps = len(parts) - 1
    mixed = (
        product(("", *"./-"), repeat=gaps) if gaps <= _MOST_SEPARATORS else (gaps * (one,) for one in "./-")
    )
    joined = ("".join(map("".join, zip(parts, [*between, ""], strict=True))) for between in mixed)
    others = (text for text in joined if text != symbol and canonical_symbol(text) == canonical)
    return [symbol, *others]


def is_currency_pair(symbol: str) -> bool:
    """Return whether a symbol, in any form, is a currency pair."""
    return "/" in canonical_symbol(symbol)
