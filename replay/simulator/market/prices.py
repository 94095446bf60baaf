"""Prices of every symbol at every time: a seeded random walk, or bars from a file.

Each symbol has one path of its mid price over time. Quotes, extremes, the times at which a level is reached
and auction prices all come from that path, so that none contradicts another. Prices are a pure function of
symbol and time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path as FilePath
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from replay.simulator.decimals import EXACT
from replay.simulator.market.bars import bar_paths, read_bars
from replay.simulator.market.paths import MICRO, Path
from replay.simulator.market.sessions import (
    Session,
    number_begun,
    session,
    session_count,
    session_number,
)
from replay.simulator.market.surroundings import Market
from replay.simulator.timestamps import SECOND

__all__ = ["Bars", "Market", "Quote", "RandomWalk"]

HALF_SPREAD_BPS = 2

_CENT, _HUNDREDTH_OF_A_CENT = MICRO // 100, MICRO // 10_000
_MICRO_STEP = Decimal("1e-6")
_SECONDS = np.arange(16 * 3600 + 1, dtype=np.int64) * SECOND  # from 04:00 to 20:00, the longest session

Interval = tuple[Path, int, int]
"""A path and the first and last nanosecond, both inclusive, for which it holds."""


class Quote(NamedTuple):
    """The best prices on either side, each on its tick."""

    bid: Decimal
    ask: Decimal


class PathMarket(Protocol):
    """A market made of paths: subclasses implement ``knows``, ``path`` and ``paths``."""

    def knows(self, symbol: str) -> bool:
        """Return whether it has prices of the symbol."""

    def path(self, symbol: str, t_ns: int) -> Path:
        """Return the path that holds at a timestamp."""

    def paths(self, symbol: str, first_ns: int, last_ns: int) -> Iterator[Interval]:
        """Yield the paths that hold in turn from one nanosecond to another, both inclusive."""

    def price(self, symbol: str, t_ns: int) -> Decimal:
        """Return the mid price at a timestamp, in whole millionths of a dollar."""
        return self.path(symbol, t_ns).price(t_ns) * _MICRO_STEP

    def quote(self, symbol: str, t_ns: int) -> Quote:
        """Return bid and ask around the mid: 2 basis points away, rounded outwards to the tick."""
        return _quote(self.path(symbol, t_ns).price(t_ns))

    def extremes(self, symbol: str, from_ns: int, to_ns: int) -> tuple[Decimal, Decimal]:
        """Return the lowest and the highest mid after ``from_ns`` and up to ``to_ns``.

        For an empty interval both are the price at ``to_ns``.
        """
        first_ns = min(from_ns + 1, to_ns)
        found = [path.extremes(first, last) for path, first, last in self.paths(symbol, first_ns, to_ns)]
        low, high = min(low for low, _ in found), max(high for _, high in found)
        return low * _MICRO_STEP, high * _MICRO_STEP

    def first_at_or_below(self, symbol: str, level: Decimal, from_ns: int, to_ns: int) -> int | None:
        """Return the first time after ``from_ns``, up to ``to_ns``, with the mid at or below a level."""
        micro = math.floor(level.scaleb(6, EXACT))
        paths = self.paths(symbol, from_ns + 1, to_ns)
        return _earliest(path.first_at_or_below(micro, first, last) for path, first, last in paths)

    def first_at_or_above(self, symbol: str, level: Decimal, from_ns: int, to_ns: int) -> int | None:
        """Return the first time after ``from_ns``, up to ``to_ns``, with the mid at or above a level."""
        micro = math.ceil(level.scaleb(6, EXACT))
        paths = self.paths(symbol, from_ns + 1, to_ns)
        return _earliest(path.first_at_or_above(micro, first, last) for path, first, last in paths)

    def open_price(self, symbol: str, day: date) -> Decimal:
        """Return the opening auction's price; raises ConfigurationError for a day without a session."""
        return self._auction(symbol, session(day).open_ns)

    def close_price(self, symbol: str, day: date) -> Decimal:
        """Return the closing auction's price; raises ConfigurationError for a day without a session."""
        # A bar that begins at the close is after hours.
        return self._auction(symbol, session(day).close_ns - 1)

    def _auction(self, symbol: str, t_ns: int) -> Decimal:
        micro = self.path(symbol, t_ns).price(t_ns)
        tick = _tick(micro)
        return _dollars(max((micro + tick // 2) // tick, 1) * tick)


class RandomWalk(PathMarket):
    """Prices of any symbol, all from one seed: near 100 at ``start_ns``, moving 1 to 2 per cent a day.

    The level at the end of every session is a random walk over the days, bounded to about 50 to 200. Within a
    session the price per second is a random walk from the last level plus a small gap to the next level, with
    a third of the volatility outside regular hours. Between sessions the price is constant.
    """

    _DAY_SD = 0.012
    _SESSION_SD = 0.012
    _GAP_SD = 0.002
    _QUIET = 1 / 3
    _BOUND = 0.7  # of the logarithm: a factor of two
    _START_SPREAD = 0.03
    _UNIT = MICRO // 10_000
    _SYMBOLS_KEPT, _SESSIONS_KEPT = 1280, 1280  # at most 92 MB and 295 MB: those of a request for 1,000

    def __init__(self, seed: int, start_ns: int) -> None:
        self._seed = seed
        self._start_ns = start_ns
        self._start_number = number_begun(start_ns)
        self._levels = lru_cache(self._SYMBOLS_KEPT)(self._make_levels)
        self._path = lru_cache(self._SESSIONS_KEPT)(self._make_path)
        self._log_session = lru_cache(1)(self._make_log_session)  # the levels need that of the first path too

    def knows(self, symbol: str) -> bool:
        """Return True for any symbol but the empty one."""
        return bool(symbol)

    def path(self, symbol: str, t_ns: int) -> Path:
        """Return the path of the last session that has begun."""
        return self._path(symbol, number_begun(t_ns))

    def paths(self, symbol: str, first_ns: int, last_ns: int) -> Iterator[Interval]:
        """Yield one path per session."""
        number, last_number = number_begun(first_ns), number_begun(last_ns)
        while number < last_number:
            ends_ns = session_number(number + 1).pre_ns - 1
            yield self._path(symbol, number), first_ns, ends_ns
            first_ns, number = ends_ns + 1, number + 1
        if first_ns <= last_ns:
            yield self._path(symbol, number), first_ns, last_ns

    def _make_path(self, symbol: str, number: int) -> Path:
        levels, start_level = self._levels(symbol)
        hours = session_number(number)
        log_prices = self._log_session(symbol, hours, levels[number], levels[number + 1]) - start_level
        values = np.exp(log_prices) * (100 * MICRO / self._UNIT)
        return Path(hours.pre_ns, _SECONDS[: values.size], np.rint(values).astype(np.int32), self._UNIT)

    def _make_levels(self, symbol: str) -> tuple[Any, float]:
        """Return the log levels at the ends of all sessions and before the first, and that of 100 dollars."""
        chance = self._chance(symbol, "days")
        offset = chance.uniform(-self._START_SPREAD, self._START_SPREAD)
        walk = np.cumsum(chance.standard_normal(session_count() + 1) * self._DAY_SD)
        walk -= walk[self._start_number + 1]
        levels = np.sin(walk / self._BOUND) * self._BOUND
        hours = session_number(self._start_number)
        log_prices = self._log_session(
            symbol, hours, levels[self._start_number], levels[self._start_number + 1]
        )
        second = min((self._start_ns - hours.pre_ns) // SECOND, log_prices.size - 1)
        return levels, float(log_prices[max(second, 0)]) - offset

    def _make_log_session(self, symbol: str, hours: Session, before: float, end: float) -> Any:
        """Return the logarithm of the price at every second of a session, both ends included."""
        chance = self._chance(symbol, hours.day.isoformat())
        begin = before + chance.standard_normal() * self._GAP_SD
        size = (hours.post_ns - hours.pre_ns) // SECOND
        steps = chance.standard_normal(size)
        opens, closes = ((t_ns - hours.pre_ns) // SECOND for t_ns in (hours.open_ns, hours.close_ns))
        steps[:opens] *= self._QUIET
        steps[closes:] *= self._QUIET
        variance = closes - opens + (size - closes + opens) * self._QUIET**2
        walk = np.zeros(size + 1)
        np.cumsum(steps, out=walk[1:])
        walk *= self._SESSION_SD / math.sqrt(variance)
        return walk + np.linspace(begin, end - walk[-1], size + 1)

    def _chance(self, symbol: str, what: str) -> np.random.Generator:
        seed = blake2b(f"{self._seed}/{symbol}/{what}".encode(), digest_size=16)
        return np.random.Generator(np.random.PCG64(int.from_bytes(seed.digest())))


class Bars(PathMarket):
    """Prices from bars: within each, open, then low and high (high first if it closes lower), then close.

    ``frame`` has one row per bar: ``symbol``, ``timestamp`` (its start, with a zone), ``open``, ``high``,
    ``low``, ``close``. A bar is as long as the shortest distance between two bars of one symbol (a minute
    where there is none); a daily bar lasts from the open to the close of its session. The last close holds
    until the next bar; before the first bar its open holds. Other symbols have the prices of ``fallback``, or
    raise LookupError without one. Raises UnreadableFile for invalid bars.
    """

    def __init__(
        self, frame: pd.DataFrame, *, fallback: PathMarket | None = None, source: str = "bars"
    ) -> None:
        self._paths = bar_paths(frame, source)
        self._fallback = fallback

    @classmethod
    def read(cls, file: FilePath, *, fallback: PathMarket | None = None) -> Bars:
        """Read a CSV or Parquet file of bars; raises UnreadableFile."""
        return cls(read_bars(file), fallback=fallback, source=file.name)

    @property
    def symbols(self) -> frozenset[str]:
        """The symbols that have bars."""
        return frozenset(self._paths)

    def knows(self, symbol: str) -> bool:
        """Return whether there are bars of the symbol, or a fallback that knows it."""
        return symbol in self._paths or (self._fallback is not None and self._fallback.knows(symbol))

    def path(self, symbol: str, t_ns: int) -> Path:
        """Return the symbol's only path."""
        path = self._paths.get(symbol)
        return self._elsewhere(symbol).path(symbol, t_ns) if path is None else path

    def paths(self, symbol: str, first_ns: int, last_ns: int) -> Iterator[Interval]:
        """Yield the symbol's only path."""
        path = self._paths.get(symbol)
        if path is None:
            yield from self._elsewhere(symbol).paths(symbol, first_ns, last_ns)
        elif first_ns <= last_ns:
            yield path, first_ns, last_ns

    def _elsewhere(self, symbol: str) -> PathMarket:
        if self._fallback is None:
            raise LookupError(
                f"there are no bars of {symbol}; expected one of {len(self._paths)} symbols that have some."
            )
        return self._fallback


def _quote(micro: int) -> Quote:
    half = micro * HALF_SPREAD_BPS // 10_000 or 1
    low, high = micro - half, micro + half
    if low >= MICRO:
        return Quote(_dollars(low - low % _CENT), _dollars(high + -high % _CENT))
    tick, high_tick = _HUNDREDTH_OF_A_CENT, _tick(high)
    bid = max(low // tick, 1) * tick
    return Quote(_dollars(bid), _dollars(max(-(-high // high_tick) * high_tick, bid + tick)))


def _tick(micro: int) -> int:
    """Return the tick size of a price: a cent from one dollar on, a hundredth of that below (Rule 612)."""
    return _CENT if micro >= MICRO else _HUNDREDTH_OF_A_CENT


@lru_cache(maxsize=32768)
def _dollars(micro: int) -> Decimal:
    if micro % _CENT:
        return Decimal(micro // _HUNDREDTH_OF_A_CENT).scaleb(-4)
    return Decimal(micro // _CENT).scaleb(-2)


def _earliest(reached_ns: Iterable[int | None]) -> int | None:
    """Return the first time at which one of consecutive paths reaches a level, None where none does."""
    return next((time_ns for time_ns in reached_ns if time_ns is not None), None)
