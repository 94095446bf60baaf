"""Prices as the account sees them: the market's, divided by the ratios of past splits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from replay.simulator.decimals import EXACT, ONE, on_tick, times
from replay.simulator.market.surroundings import Market

_STEP = Decimal("1e-9")


class Split(NamedTuple):
    """``ratio`` new shares for one old share, from a timestamp on."""

    symbol: str
    ratio: Decimal
    t_ns: int


class Tape:
    """A market with the prices of split symbols converted to one new share."""

    def __init__(self, market: Market, splits: Iterable[Split] = ()) -> None:
        self._market = market
        self._splits: list[Split] = []
        self._ratios: dict[str, Decimal] = {}
        for one in splits:
            self.split(*one)

    def split(self, symbol: str, ratio: Decimal, t_ns: int) -> None:
        """Apply a split: ``ratio`` new shares for one old share from a timestamp on."""
        self._splits.append(Split(symbol, ratio, t_ns))
        self._ratios[symbol] = times(self._ratios.get(symbol, ONE), ratio)

    def as_of(self, t_ns: int) -> Tape:
        """Return the tape as it was at a timestamp: converted to the shares of that time."""
        past = [one for one in self._splits if one.t_ns <= t_ns]
        return self if len(past) == len(self._splits) else Tape(self._market, past)

    def converted(self, symbol: str, price: Decimal, t_ns: int) -> Decimal:
        """Return a price that was paid at a timestamp, for one share of this tape."""
        for one in self._splits:
            if one.symbol == symbol and one.t_ns > t_ns:
                price = EXACT.divide(price, one.ratio).quantize(_STEP)
        return price

    @property
    def splits(self) -> Sequence[Split]:
        """All splits, oldest first."""
        return self._splits

    def ratios(self) -> dict[str, Decimal]:
        """Return the product of the split ratios so far, by symbol."""
        return dict(self._ratios)

    def knows(self, symbol: str) -> bool:
        """Return whether there are prices of a symbol."""
        return self._market.knows(symbol)

    def price(self, symbol: str, t_ns: int) -> Decimal:
        """Return the price at a timestamp, rounded down to its tick."""
        return self.seen(symbol, self._market.price(symbol, t_ns))

    def exact_price(self, symbol: str, t_ns: int) -> Decimal:
        """Return the price at a timestamp, not rounded to its tick."""
        return self._divided(symbol, self._market.price(symbol, t_ns))

    def open_price(self, symbol: str, day: date) -> Decimal:
        """Return the price of the opening auction."""
        return self.seen(symbol, self._market.open_price(symbol, day))

    def close_price(self, symbol: str, day: date) -> Decimal:
        """Return the price of the closing auction."""
        return self.seen(symbol, self._market.close_price(symbol, day))

    def bid(self, symbol: str, t_ns: int) -> Decimal:
        """Return the price at which one can sell at a timestamp, rounded down to its tick."""
        bid = self._market.quote(symbol, t_ns).bid
        return on_tick(self._divided(symbol, bid), up=False) if symbol in self._ratios else bid

    def ask(self, symbol: str, t_ns: int) -> Decimal:
        """Return the price at which one can buy at a timestamp, rounded up to its tick."""
        ask = self._market.quote(symbol, t_ns).ask
        return on_tick(self._divided(symbol, ask), up=True) if symbol in self._ratios else ask

    def extremes(self, symbol: str, from_ns: int, to_ns: int) -> tuple[Decimal, Decimal]:
        """Return the lowest and the highest price over an interval, not rounded to ticks."""
        low, high = self._market.extremes(symbol, from_ns, to_ns)
        return self._divided(symbol, low), self._divided(symbol, high)

    def first_at_or_below(self, symbol: str, level: Decimal, from_ns: int, to_ns: int) -> int | None:
        """Return the first time of an interval at which the price is at or below a level."""
        return self._market.first_at_or_below(symbol, self._level(symbol, level), from_ns, to_ns)

    def first_at_or_above(self, symbol: str, level: Decimal, from_ns: int, to_ns: int) -> int | None:
        """Return the first time of an interval at which the price is at or above a level."""
        return self._market.first_at_or_above(symbol, self._level(symbol, level), from_ns, to_ns)

    def _level(self, symbol: str, level: Decimal) -> Decimal:
        ratio = self._ratios.get(symbol)
        return level if ratio is None else times(level, ratio)

    def _divided(self, symbol: str, price: Decimal) -> Decimal:
        ratio = self._ratios.get(symbol)
        return price if ratio is None else EXACT.divide(price, ratio).quantize(_STEP)

    def seen(self, symbol: str, price: Decimal) -> Decimal:
        """Return a price of the market, converted to the shares of this tape and rounded down to its tick."""
        return on_tick(self._divided(symbol, price), up=False)
