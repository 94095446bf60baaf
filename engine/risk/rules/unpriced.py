"""Rule: where a limit needs prices, no order in a symbol that has no valid quote.

A quote is valid with both sides above 0, the ask at or above the bid, within ``max_quote_age_s`` and
``max_spread_pct``, and without an objection of its source. There is no fallback to a guess. Where the
intents are the source of prices, only limit orders have one. What is wrong with a quote is in the column
``quote``. Source: SEC Rule 15c3-5(c)(1)(ii); RTS 6 Art. 15(1)(b) (what can't be valued can't be limited).
"""

from __future__ import annotations

import numpy as np

from engine.risk.quote_limits import QUOTE_LIMITS
from engine.risk.quotes import ABSENT, OK, Codes
from engine.risk.quotes import UNAVAILABLE as NO_QUOTES
from engine.risk.rule import Rule
from engine.risk.valuing import Valuation
from engine.risk.verdicts import FAIL, PASS, UNAVAILABLE, Verdicts


def judge(valuation: Valuation, limit: None) -> Verdicts:
    """Fail orders whose quote can't be used; without any quotes they are unavailable."""
    words = _words(valuation)
    found = np.where(words == OK, PASS, np.where(words == NO_QUOTES, UNAVAILABLE, FAIL))
    return found.astype(np.int8)


def words(valuation: Valuation) -> tuple[Codes, tuple[str, ...]]:
    """Return what is wrong with each order's quote, ``ok`` for nothing."""
    return _words(valuation), valuation.quotes.words


def _words(valuation: Valuation) -> Codes:
    """Return the words as codes; an order that has no price in a symbol of the intents' own is absent."""
    own = valuation.quote_verdicts == OK
    unnamed = own & ~valuation.ask.known & ~valuation.order_price.known
    return np.where(unnamed, ABSENT, valuation.quote_verdicts)


RULE = Rule(
    name="unpriced",
    source="SEC Rule 15c3-5(c)(1)(ii); RTS 6 Art. 15(1)(b)",
    explain="a limit needs its price, and its symbol has no quote that can be used",
    settings=QUOTE_LIMITS,
    reads=("prices",),
    word="quote",
    words=words,
    where_priced=True,
    reducing="pass",
    priced_judge=judge,
)
