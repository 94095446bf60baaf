"""A venue with a market that is told its prices, a clock that is told the time, and a few assets."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from replay.simulator.intake.refusal import Refusal
from replay.simulator.market.assets import Asset, Assets
from replay.simulator.market.sessions import session
from replay.simulator.venue.venue import Venue

NEW_YORK = ZoneInfo("America/New_York")
SECOND = 1_000_000_000
MILLISECOND = 1_000_000

Body = dict[str, Any]


def at(text: str) -> int:
    """Nanoseconds of a New York time: '2026-10-08 10:00' or with seconds and their fraction."""
    moment = datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)
    return int(moment.timestamp()) * SECOND + moment.microsecond * 1000


@dataclass
class ToldClock:
    t_ns: int

    def now_ns(self) -> int:
        return self.t_ns


@dataclass(frozen=True)
class ToldQuote:
    bid: Decimal
    ask: Decimal


@dataclass
class ToldMarket:
    """Prices that stay as they are until the next one told; the quote is half a spread to either side."""

    half_spread: Decimal = Decimal("0.01")
    times: dict[str, list[int]] = field(default_factory=dict)
    prices: dict[str, list[Decimal]] = field(default_factory=dict)
    opens: dict[str, Decimal] = field(default_factory=dict)
    closes: dict[str, Decimal] = field(default_factory=dict)
    looks: int = 0

    def tell(self, symbol: str, t_ns: int, price: str) -> None:
        times, prices = self.times.setdefault(symbol, []), self.prices.setdefault(symbol, [])
        place = bisect_right(times, t_ns)
        times.insert(place, t_ns)
        prices.insert(place, Decimal(price))

    def knows(self, symbol: str) -> bool:
        return symbol in self.times

    def price(self, symbol: str, t_ns: int) -> Decimal:
        return self.prices[symbol][max(bisect_right(self.times[symbol], t_ns) - 1, 0)]

    def quote(self, symbol: str, t_ns: int) -> ToldQuote:
        price = self.price(symbol, t_ns)
        return ToldQuote(price - self.half_spread, price + self.half_spread)

    def extremes(self, symbol: str, from_ns: int, to_ns: int) -> tuple[Decimal, Decimal]:
        self.looks += 1
        prices = [price for _, price in self._steps(symbol, from_ns, to_ns)]
        return min(prices), max(prices)

    def first_at_or_below(self, symbol: str, level: Decimal, from_ns: int, to_ns: int) -> int | None:
        return next((t for t, price in self._steps(symbol, from_ns, to_ns) if price <= level), None)

    def first_at_or_above(self, symbol: str, level: Decimal, from_ns: int, to_ns: int) -> int | None:
        return next((t for t, price in self._steps(symbol, from_ns, to_ns) if price >= level), None)

    def open_price(self, symbol: str, day: date) -> Decimal:
        return self.opens.get(symbol, self.prices[symbol][-1])

    def close_price(self, symbol: str, day: date) -> Decimal:
        return self.closes.get(symbol, self.price(symbol, session(day).close_ns))

    def _steps(self, symbol: str, from_ns: int, to_ns: int) -> list[tuple[int, Decimal]]:
        """The price right after ``from_ns``, and every change up to ``to_ns``."""
        times, prices = self.times[symbol], self.prices[symbol]
        place = max(bisect_right(times, from_ns + 1) - 1, 0)
        later = [(times[i], prices[i]) for i in range(place + 1, len(times)) if times[i] <= to_ns]
        return [(from_ns + 1, prices[place]), *later]


ASSETS = (
    Asset("AAPL", "Apple", "NASDAQ"),
    Asset("TSLA", "Tesla", "NASDAQ"),
    Asset("KO", "Coca-Cola", "NYSE"),
    Asset("OCGN", "Ocugen", "NASDAQ", fractionable=False),
    Asset("HARD", "Not to be borrowed", "NYSE", shortable=False),
    Asset("CASH", "Not to be bought on margin", "NYSE", marginable=False),
    Asset("GONE", "Not tradable", "NYSE", tradable=False),
    Asset("OLD", "Inactive", "NYSE", status="inactive"),
    Asset("PENNY", "Half a dollar", "AMEX"),
)
THURSDAY = "2026-10-08"


class Desk:
    """A venue at 12:00 on a Thursday with every price at 100, and no partial fills unless asked for."""

    def __init__(
        self,
        when: str = f"{THURSDAY} 12:00",
        *,
        cash: str = "100000",
        partial: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.clock = ToldClock(at(when))
        self.market = ToldMarket()
        for asset in ASSETS:
            self.market.tell(asset.symbol, 0, "0.5" if asset.symbol == "PENNY" else "100")
        self.venue = Venue(
            market=self.market,
            clock=self.clock,
            assets=Assets(ASSETS),
            cash=Decimal(cash),
            seed=seed,
            partial_fill_probability=partial,
        )

    def tick(self, seconds: float = 1.0) -> None:
        """Let time go by."""
        self.clock.t_ns += round(seconds * SECOND)
        self.venue.advance()

    def until(self, when: str) -> None:
        self.clock.t_ns = at(when)
        self.venue.advance()

    def price(self, symbol: str, price: str, after: float = 0.0) -> None:
        """Let a symbol have a price from now, or from some seconds later on."""
        self.market.tell(symbol, self.clock.t_ns + round(after * SECOND), price)

    def order(self, symbol: str = "AAPL", qty: object = "10", side: str = "buy", **more: object) -> Body:
        body = {"symbol": symbol, "qty": qty, "side": side, "type": "market", "time_in_force": "day", **more}
        return self.venue.place_order({name: value for name, value in body.items() if value is not None})

    def limit(self, price: object, **more: Any) -> Body:
        return self.order(type="limit", limit_price=price, **more)

    def bought(self, qty: object = "10", symbol: str = "AAPL") -> Body:
        """An order that is filled."""
        order = self.order(symbol, qty)
        self.tick()
        return self.get(order)

    def get(self, order: Body | str, *, nested: bool = False) -> Body:
        order_id = order if isinstance(order, str) else order["id"]
        return self.venue.get_order(order_id, {"nested": str(nested).lower()})

    def status(self, order: Body | str) -> str:
        return str(self.get(order)["status"])


def refused(call: Any, *args: Any, **kwargs: Any) -> tuple[int, Body]:
    """The status and body that a call is refused with."""
    try:
        result = call(*args, **kwargs)
    except Refusal as refusal:
        return refusal.status, refusal.body
    raise AssertionError(f"not refused: {result}")


def days_after(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()
