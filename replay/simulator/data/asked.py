"""Requests for market data: query parameters in, values out, or a ``Refusal``."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from replay.simulator.data.plans import LATEST_FEEDS, Plan
from replay.simulator.intake import data_messages as messages
from replay.simulator.intake.messages import Message

Query = Mapping[str, str]

OF_LATEST = ("symbols", "feed", "currency")

_SYMBOL = re.compile(r"[A-Z]+(\.[A-Z]+)*", re.ASCII)
_CURRENCY = "USD"


@dataclass(frozen=True, slots=True)
class Asked:
    """The symbols, each once in the order of the request, and the feed."""

    symbols: tuple[str, ...]
    feed: str
    currency: str | None

    def with_currency(self, body: dict[str, object]) -> dict[str, object]:
        """Return a body with the currency, where the request names one."""
        return body if self.currency is None else {**body, "currency": self.currency}


def latest_asked(query: Query, plan: Plan, symbol: str | None) -> Asked:
    """Return a request of a latest endpoint; ``symbol`` is the one of its path, None where it has none.

    Raises ``Refusal`` for unknown parameters, malformed symbols, and a feed that the plan doesn't permit.
    """
    check_names(query, OF_LATEST, symbol)
    symbols = read_symbols(query, symbol, messages.INVALID_SYMBOL_OF_LATEST)
    feed = read_feed(query, LATEST_FEEDS, plan.best_feed)
    if feed not in plan.feeds:
        raise no_such_feed(feed)
    return Asked(symbols, feed, read_currency(query))


def check_names(query: Query, known: Collection[str], symbol: str | None) -> None:
    """Refuse parameters that an endpoint doesn't have; ``symbols`` is none beside a symbol in the path."""
    unknown = [name for name in query if name not in known or (name == "symbols" and symbol is not None)]
    if unknown:
        raise messages.UNEXPECTED_PARAMETERS(", ".join(unknown))


def read_symbols(query: Query, symbol: str | None, malformed: Message) -> tuple[str, ...]:
    """Return the symbols of a request; one malformed symbol refuses the whole request."""
    given = query.get("symbols", "") if symbol is None else symbol
    if not given:
        raise messages.PARAMETER_MISSING("symbols")
    symbols = dict.fromkeys(given.split(",") if symbol is None else [given])
    for one in symbols:
        if _SYMBOL.fullmatch(one) is None:
            raise malformed(one)
    return tuple(symbols)


def read_feed(query: Query, allowed: Collection[str], default: str) -> str:
    """Return the feed of a request."""
    feed = query.get("feed", default)
    if feed not in allowed:
        raise messages.INVALID_PARAMETER("feed", feed)
    return feed


def read_currency(query: Query) -> str | None:
    """Return the currency of a request, None without one; the simulator has dollars only."""
    currency = query.get("currency")
    if currency not in (None, _CURRENCY):
        raise messages.INVALID_PARAMETER("currency", currency)
    return currency


def no_such_feed(feed: str) -> Exception:
    """Return the refusal of a feed that the plan doesn't permit."""
    return messages.NO_RECENT_SIP() if feed == "sip" else messages.NO_SUCH_FEED_IN_PLAN(feed.upper())
