"""Alpaca's market data: the latest quotes of many symbols, in as few requests as possible.

The same transport as for orders (``engine.brokers.alpaca.wire``), with a rate limit of its own: deadlines,
retries, redaction and recording are the same. The feed is always sent, since no reply names it.

The outcome of a chunk of symbols by its reply::

    200, a map of snapshots      its quotes; a symbol that is missing or null is absent
    400                          a symbol is malformed: the chunk is divided until it stands alone
    401, 403, another refusal    the whole answer fails, with a remedy
    429, 5xx, a page, half a     retried (``read_retries``); then the symbols of this chunk are not answered,
    reply, none                  and those of other chunks are
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Unpack
from urllib.parse import quote

import requests

from engine.brokers.alpaca.keys import Keys
from engine.brokers.alpaca.read_retries import ReadRetries, ReadSettings
from engine.brokers.alpaca.replies import NOT_IN_PLAN
from engine.brokers.alpaca.snapshots import parse_snapshots, quotes_and_trades
from engine.brokers.alpaca.wire import QUOTES, Wire
from engine.brokers.quotes import Quote, Snapshots
from engine.brokers.trading import Recorder
from engine.errors import (
    BrokerRejected,
    DataUnavailable,
    EngineError,
    RateLimited,
)
from engine.model.symbols import canonical_symbol, is_currency_pair
from engine.settings.alpaca import checked_key
from engine.settings.hosts import DATA_HOST, checked_host
from engine.waiting.deadline import Deadline

SYMBOLS_AT_ONCE = 1_000
"""Symbols of one request. Alpaca answers for 2,000; a refused or lost reply costs fewer symbols so."""

RECORDED_AS = "(market data)"
"""What interactions are recorded under in place of an account's name."""

TIMEOUT_S = (5.0, 15.0)
"""Seconds to connect, and to wait for the next byte of a reply."""

_CHUNKS_AT_ONCE = 4
_REFUSALS_AT_MOST = 40
"""The most refusals of a chunk for which it is divided; the symbols in question are not answered then."""
_REFUSALS_AT_FIRST = 14
"""So many, without any answer: the symbols are not the reason."""
_NAMED = re.compile(r"invalid symbol:? +(\S+)", re.IGNORECASE)


class AlpacaMarketData:
    """The latest quotes of one feed.

    ``api_key`` and ``secret_key`` default to ``ALPACA_API_KEY`` and ``ALPACA_SECRET_KEY``. ``reading``: how a
    GET is retried. Raises ``ConfigurationError``.
    """

    def __init__(
        self,
        *,
        feed: str,
        api_key: str | None = None,
        secret_key: str | None = None,
        data_host: str = DATA_HOST,
        session: requests.Session | None = None,
        **reading: Unpack[ReadSettings],
    ) -> None:
        keys = Keys(checked_key("ALPACA_API_KEY", api_key), checked_key("ALPACA_SECRET_KEY", secret_key))
        self.feed, self.data_host = feed, checked_host(data_host, setting="ALPACA_DATA_HOST")
        wire = Wire.to(self.data_host, keys, session, TIMEOUT_S, ReadRetries(**reading))
        self.wire = replace(wire, host_setting="ALPACA_DATA_HOST")

    def __repr__(self) -> str:
        return f"AlpacaMarketData(data_host={self.data_host!r}, feed={self.feed!r})"

    def snapshots(self, symbols: Collection[str], *, deadline: Deadline) -> Snapshots:
        """Return the latest quotes of stocks (canonical symbols); no try begins after the deadline.

        Currency pairs are no stocks, are not asked for, and are absent. Raises ``DataUnavailable`` with the
        remedy where Alpaca refuses, and the error of the first chunk where it answers for none.
        """
        asked = sorted(symbol for symbol in symbols if not is_currency_pair(symbol))
        wire = self.wire.waiting_together().reading_until(deadline)
        chunks = [asked[at : at + SYMBOLS_AT_ONCE] for at in range(0, len(asked), SYMBOLS_AT_ONCE)]
        answers = [_Answer(partial(self._ask, wire), chunk) for chunk in chunks]
        _each(answers)
        quotes = {symbol: one for answer in answers for symbol, one in answer.quotes.items()}
        failed = {symbol: error for answer in answers for symbol, error in answer.failed.items()}
        if failed and len(failed) == len(asked):
            raise next(iter(failed.values()))
        return Snapshots(quotes, failed)

    def recorded(self, recorder: Recorder) -> AlpacaMarketData:
        """Return the same source, at the same pace; ``recorder`` records every request and reply."""
        other = copy(self)
        other.wire = self.wire.recorded(recorder, RECORDED_AS)
        return other

    def _ask(self, wire: Wire, symbols: Sequence[str]) -> dict[str, Quote]:
        """Return the quotes of one request. Raises ``BrokerRejected`` for a 400, else ``EngineError``."""
        path = f"/v2/stocks/snapshots?symbols={quote(','.join(symbols), safe=',')}&feed={self.feed}"
        parse = partial(parse_snapshots, asked=symbols)
        try:
            return wire.asked(path, QUOTES, parse, recorded_as=quotes_and_trades)[0]
        except BrokerRejected as error:
            if isinstance(error, RateLimited) or _concerns_a_symbol(error):
                raise
            raise self._refused(error) from error

    def _refused(self, error: BrokerRejected) -> DataUnavailable:
        if NOT_IN_PLAN in error.message.lower():
            return DataUnavailable(
                f"{self.data_host}: {error}. The plan of these keys has no feed {self.feed}. Set "
                f"EXEC_PRICE_FEED to one that it has, such as iex, or take a plan with this one."
            )
        return DataUnavailable(f"{self.data_host}: {error}")


class _Answer:
    """The answer for one chunk: its quotes, and why there is none for other symbols."""

    def __init__(self, ask: Callable[[Sequence[str]], dict[str, Quote]], symbols: Sequence[str]) -> None:
        self._ask, self._symbols = ask, symbols
        self.quotes: dict[str, Quote] = {}
        self.failed: dict[str, EngineError] = {}

    def take(self) -> None:
        """Ask for the chunk; where it is refused for a symbol, for its parts, the larger ones first."""
        waiting = deque([self._symbols])
        refusals, answered = 0, False
        while waiting:
            some = waiting.popleft()
            try:
                self.quotes |= self._ask(some)
                answered = True
            except EngineError as error:
                refusals += 1
                at_most = _REFUSALS_AT_MOST if answered else _REFUSALS_AT_FIRST
                if not _concerns_a_symbol(error) or refusals > at_most:
                    self._fail([*some, *(symbol for rest in waiting for symbol in rest)], error)
                    return
                waiting += self._parts(some, error)

    def _parts(self, symbols: Sequence[str], error: EngineError) -> list[Sequence[str]]:
        """Return the parts to ask for next: without the symbol that is refused by name, else two halves."""
        named = _NAMED.search(str(error))
        bad = symbols[0] if len(symbols) == 1 else canonical_symbol(named[1].strip(".,;\"'")) if named else ""
        if bad in symbols:
            self._fail([bad], error)
            rest = [symbol for symbol in symbols if symbol != bad]
            return [rest] if rest else []
        middle = len(symbols) // 2
        return [symbols[:middle], symbols[middle:]]

    def _fail(self, symbols: Sequence[str], error: EngineError) -> None:
        self.failed |= dict.fromkeys(symbols, error)


def _concerns_a_symbol(error: EngineError) -> bool:
    return isinstance(error, BrokerRejected) and error.status == HTTPStatus.BAD_REQUEST


def _each(answers: Sequence[_Answer]) -> None:
    if len(answers) < 2:
        for answer in answers:
            answer.take()
        return
    with ThreadPoolExecutor(min(_CHUNKS_AT_ONCE, len(answers)), thread_name_prefix="quotes") as threads:
        list(threads.map(_Answer.take, answers))
