"""The account's equity, margins and buying power, and its JSON body.

Buying power depends on the multiplier, as documented for ``GET /v2/account``. 4, the default: four times the
excess of equity over maintenance margin at the last close, less the cost added to positions during the day.
2: twice the current excess of equity over initial margin. 1: cash. With less than 2,000 dollars of equity at
the last close it is 1 whatever is set. Buying power reserved by open orders is subtracted in every case.
Initial margin is 50 per cent, maintenance margin 30 per cent of the positions' value, long or short.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from replay.simulator.account.book import Book
from replay.simulator.account.settings import Configurations
from replay.simulator.decimals import ZERO, minus, plain, plus, times
from replay.simulator.market.tape import Tape
from replay.simulator.timestamps import written

INITIAL = Decimal("0.5")
MAINTENANCE = Decimal("0.3")
LEAST_EQUITY_FOR_MARGIN = Decimal(2000)
DAY_TRADING, MARGIN, CASH_ONLY = Decimal(4), Decimal(2), Decimal(1)
_MULTIPLIERS = {"4": DAY_TRADING, "2": MARGIN, "1": CASH_ONLY}


@dataclass(frozen=True, slots=True)
class LastClose:
    """The account at the previous close."""

    day: date
    equity: Decimal
    maintenance_margin: Decimal


@dataclass(frozen=True, slots=True)
class Worth:
    """The account valued at one timestamp; ``short`` is negative."""

    cash: Decimal
    long: Decimal
    short: Decimal

    @property
    def equity(self) -> Decimal:
        """Cash plus the value of the positions."""
        return plus(plus(self.cash, self.long), self.short)

    @property
    def gross(self) -> Decimal:
        """The value of the positions, short ones counted as positive."""
        return minus(self.long, self.short)


def worth(book: Book, price: Callable[[str], Decimal]) -> Worth:
    """Return the account valued at the prices of its symbols."""
    long = short = ZERO
    for symbol, position in book.positions.items():
        value = times(position.qty, price(symbol))
        if value > ZERO:
            long = plus(long, value)
        else:
            short = plus(short, value)
    return Worth(book.cash, long, short)


class Standing:
    """Buying power and the account's body."""

    def __init__(self, account_id: str, created_ns: int, book: Book, tape: Tape, first_day: date) -> None:
        self._id = account_id
        self._created_ns = created_ns
        self._book = book
        self._tape = tape
        self.last_close = LastClose(first_day, book.cash, ZERO)
        self._closed: LastClose | None = None

    def close_day(self, day: date) -> None:
        """Store the account's equity and maintenance margin at the closing prices of a day."""
        at_close = worth(self._book, lambda symbol: self._tape.close_price(symbol, day))
        self._closed = LastClose(day, at_close.equity, times(at_close.gross, MAINTENANCE))

    def begin_day(self) -> None:
        """Start a trading day with the stored last close."""
        if self._closed is not None:
            self.last_close, self._closed = self._closed, None
        self._book.begin_day()

    def multiplier(self, configurations: Configurations) -> Decimal:
        """Return the multiplier of buying power: 4, 2 or 1."""
        if self.last_close.equity < LEAST_EQUITY_FOR_MARGIN:
            return CASH_ONLY
        return _MULTIPLIERS[configurations.max_margin_multiplier]

    def buying_power(self, configurations: Configurations, t_ns: int) -> Decimal:
        """Return what further opening orders may cost."""
        multiplier = self.multiplier(configurations)
        if multiplier is DAY_TRADING:
            free = minus(self.last_close.equity, self.last_close.maintenance_margin)
            power = minus(times(free, DAY_TRADING), self._book.exposure_today)
        elif multiplier is MARGIN:
            power = _excess(self._worth(t_ns))
        else:
            power = self._book.cash
        return max(minus(power, self._book.reserved), ZERO)

    def uninvested_cash(self) -> Decimal:
        """Return the cash that no open order reserves."""
        return max(minus(self._book.cash, self._book.reserved), ZERO)

    def body(self, configurations: Configurations, t_ns: int) -> dict[str, Any]:
        """Return Alpaca's JSON object, without the pattern day trading fields removed in 2026."""
        now = self._worth(t_ns)
        buying_power = plain(self.buying_power(configurations, t_ns))
        regulation_t = max(minus(_excess(now), self._book.reserved), ZERO)
        uninvested = self.uninvested_cash()
        return {
            "id": self._id,
            "admin_configurations": {},
            "user_configurations": None,
            "account_number": f"PA{self._id[:8].upper()}",
            "status": "ACTIVE",
            "crypto_status": "ACTIVE",
            "crypto_tier": 1,
            "options_approved_level": 0,
            "options_trading_level": 0,
            "currency": "USD",
            "buying_power": buying_power,
            "effective_buying_power": buying_power,
            "regt_buying_power": plain(regulation_t),
            "options_buying_power": plain(uninvested),
            "non_marginable_buying_power": plain(uninvested),
            "cash": plain(now.cash),
            "accrued_fees": "0",
            "pending_transfer_in": "0",
            "pending_transfer_out": "0",
            "pending_reg_taf_fees": "0",
            "portfolio_value": plain(now.equity),
            "trading_blocked": False,
            "transfers_blocked": False,
            "account_blocked": False,
            "created_at": written(self._created_ns),
            "trade_suspended_by_user": configurations.suspend_trade,
            "multiplier": plain(self.multiplier(configurations)),
            "shorting_enabled": self.may_short(configurations),
            "equity": plain(now.equity),
            "last_equity": plain(self.last_close.equity),
            "long_market_value": plain(now.long),
            "short_market_value": plain(now.short),
            "position_market_value": plain(now.gross),
            "initial_margin": plain(times(now.gross, INITIAL)),
            "maintenance_margin": plain(times(now.gross, MAINTENANCE)),
            "last_maintenance_margin": plain(self.last_close.maintenance_margin),
            "sma": "0",
            "balance_asof": self.last_close.day.isoformat(),
            "intraday_adjustments": "0",
        }

    def _worth(self, t_ns: int) -> Worth:
        return worth(self._book, lambda symbol: self._tape.price(symbol, t_ns))

    def may_short(self, configurations: Configurations) -> bool:
        """Return whether the account may sell short: on margin only, and unless the user has disabled it."""
        return not configurations.no_shorting and self.multiplier(configurations) != CASH_ONLY


def _excess(now: Worth) -> Decimal:
    return times(max(minus(now.equity, times(now.gross, INITIAL)), ZERO), MARGIN)
