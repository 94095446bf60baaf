"""Prices as the account sees them: the market's, divided by the splits that have been."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from replay.simulator.decimals import EXACT, ONE, on_tick, times
from replay.simulator.market.surroundings import Market

_STEP = Decimal("1e-9")


class Tape:
    """A market, with the prices of split symbols brought down to what one new share is worth."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._ratios: dict[str, Decimal] = {}

    def split(self, symbol: str, ratio: Decimal) -> None:
        """Let ``ratio`` new shares stand for one old share from now on."""
        self._ratios[symbol] = times(self._ratios.get(symbol, ONE), ratio)

    def ratios(self) -> dict[str, Decimal]:
        """Give the splits so far, multiplied together."""
        return dict(self._ratios)

    def knows(self, symbol: str) -> bool:
        """Say whether there are prices of a symbol."""
        return self._market.knows(symbol)

    def price(self, symbol: str, t_ns: int) -> Decimal:
        """Give the price at a moment, on its tick."""
        return self._seen(symbol, self._market.price(symbol, t_ns))

    def exact_price(self, symbol: str, t_ns: int) -> Decimal:
        """Give the price at a moment, unrounded."""
        return self._divided(symbol, self._market.price(symbol, t_ns))

    def previous_close(self, symbol: str, t_ns: int) -> Decimal:
        """Give the close of the session before."""
        return self._seen(symbol, self._market.previous_close(symbol, t_ns))

    def open_price(self, symbol: str, day: date) -> Decimal:
        """Give the price of the opening auction."""
        return self._seen(symbol, self._market.open_price(symbol, day))

    def close_price(self, symbol: str, day: date) -> Decimal:
        """Give the price of the closing auction."""
        return self._seen(symbol, self._market.close_price(symbol, day))

    def bid(self, symbol: str, t_ns: int) -> Decimal:
        """Give the price at which one can sell at a moment, rounded down to its tick."""
        bid = self._market.quote(symbol, t_ns).bid
        return on_tick(self._divided(symbol, bid), up=False) if symbol in self._ratios else bid

    def ask(self, symbol: str, t_ns: int) -> Decimal:
        """Give the price at which one can buy at a moment, rounded up to its tick."""
        ask = self._market.quote(symbol, t_ns).ask
        return on_tick(self._divided(symbol, ask), up=True) if symbol in self._ratios else ask

    def extremes(self, symbol: str, from_ns: int, to_ns: int) -> tuple[Decimal, Decimal]:
        """Give the lowest and the highest price over a stretch, unrounded."""
        low, high = self._market.extremes(symbol, from_ns, to_ns)
        return self._divided(symbol, low), self._divided(symbol, high)

    def first_at_or_below(self, symbol: str, level: Decimal, from_ns: int, to_ns: int) -> int | None:
        """Give the first moment of a stretch at which the price is at a level or below."""
        return self._market.first_at_or_below(symbol, self._level(symbol, level), from_ns, to_ns)

    def first_at_or_above(self, symbol: str, level: Decimal, from_ns: int, to_ns: int) -> int | None:
        """Give the first moment of a stretch at which the price is at a level or above."""
        return self._market.first_at_or_above(symbol, self._level(symbol, level), from_ns, to_ns)

    def _level(self, symbol: str, level: Decimal) -> Decimal:
        ratio = self._ratios.get(symbol)
        return level if ratio is None else times(level, ratio)

    def _divided(self, symbol: str, price: Decimal) -> Decimal:
        ratio = self._ratios.get(symbol)
        return price if ratio is None else EXACT.divide(price, ratio).quantize(_STEP)

    def _seen(self, symbol: str, price: Decimal) -> Decimal:
        return on_tick(self._divided(symbol, price), up=False)
