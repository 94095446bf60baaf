"""What the account is worth, what it may still buy, and its JSON body.

Buying power goes by the multiplier, as the documentation of ``GET /v2/account`` has it. 4, the default: four
times what equity exceeded maintenance margin by at the last close, less the cost that the day has added to
positions. 2: twice what equity exceeds initial margin by now. 1: cash. Below 2,000 dollars of equity at the
last close it is 1 whatever is set. What open orders keep comes off in every case. Initial margin is half,
maintenance margin 30 per cent of what the positions are worth, long or short.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from replay.simulator.account.book import Book
from replay.simulator.account.settings import Configurations
from replay.simulator.decimals import ZERO, minus, plain, plus, times
from replay.simulator.market.tape import Tape
from replay.simulator.moments import written

INITIAL = Decimal("0.5")
MAINTENANCE = Decimal("0.3")
LEAST_EQUITY_FOR_MARGIN = Decimal(2000)
DAY_TRADING, MARGIN, CASH_ONLY = Decimal(4), Decimal(2), Decimal(1)
_MULTIPLIERS = {"4": DAY_TRADING, "2": MARGIN, "1": CASH_ONLY}


@dataclass(frozen=True, slots=True)
class LastClose:
    """The account as it stood at the close before."""

    day: date
    equity: Decimal
    maintenance_margin: Decimal


@dataclass(frozen=True, slots=True)
class Worth:
    """The account at the market's prices of one moment; ``short`` is negative."""

    cash: Decimal
    long: Decimal
    short: Decimal

    @property
    def equity(self) -> Decimal:
        """Give cash and positions together."""
        return plus(plus(self.cash, self.long), self.short)

    @property
    def gross(self) -> Decimal:
        """Give what the positions are worth, short ones counted as long."""
        return minus(self.long, self.short)


def worth(book: Book, tape: Tape, t_ns: int) -> Worth:
    """Value the positions at the prices of a moment."""
    long = short = ZERO
    for symbol, position in book.positions.items():
        value = times(position.qty, tape.price(symbol, t_ns))
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

    def close_day(self, day: date, t_ns: int) -> None:
        """Note how the account stands at a close."""
        at_close = worth(self._book, self._tape, t_ns)
        self._closed = LastClose(day, at_close.equity, times(at_close.gross, MAINTENANCE))

    def begin_day(self) -> None:
        """Let the last close noted be the one that the new day goes by."""
        if self._closed is not None:
            self.last_close, self._closed = self._closed, None
        self._book.begin_day()

    def multiplier(self, configurations: Configurations) -> Decimal:
        """Give the multiplier of buying power: 4, 2 or 1."""
        if self.last_close.equity < LEAST_EQUITY_FOR_MARGIN:
            return CASH_ONLY
        return _MULTIPLIERS[configurations.max_margin_multiplier]

    def buying_power(self, configurations: Configurations, t_ns: int) -> Decimal:
        """Give what orders that open or add to positions may still cost."""
        multiplier = self.multiplier(configurations)
        if multiplier is DAY_TRADING:
            free = minus(self.last_close.equity, self.last_close.maintenance_margin)
            power = minus(times(free, DAY_TRADING), self._book.exposure_today)
        elif multiplier is MARGIN:
            power = _excess(worth(self._book, self._tape, t_ns))
        else:
            power = self._book.cash
        return max(minus(power, self._book.reserved), ZERO)

    def uninvested_cash(self) -> Decimal:
        """Give the cash that no open order keeps."""
        return max(minus(self._book.cash, self._book.reserved), ZERO)

    def body(self, configurations: Configurations, t_ns: int) -> dict[str, Any]:
        """Give Alpaca's JSON object; without the fields of pattern day trading, which went in 2026."""
        now = worth(self._book, self._tape, t_ns)
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

    def may_short(self, configurations: Configurations) -> bool:
        """Say whether the account may sell short: on margin only, and unless the user has ruled it out."""
        return not configurations.no_shorting and self.multiplier(configurations) != CASH_ONLY


def _excess(now: Worth) -> Decimal:
    return times(max(minus(now.equity, times(now.gross, INITIAL)), ZERO), MARGIN)
