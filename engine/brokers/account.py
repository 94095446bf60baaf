"""An account and a market clock as any broker reports them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

TRADING_STATUS = "ACTIVE"
BLOCKS = ("trading_blocked", "account_blocked", "trade_suspended_by_user")
"""Each of these flags stops all orders; the last one is the account owner's own setting."""

_SHOWN_DIGITS = 4
_LONGEST_STATUS = 40


@dataclass(frozen=True, kw_only=True)
class BrokerAccount:
    """An account as its broker reports it.

    ``account_number`` and ``currency`` are "" where the broker gives none. A flag that is missing, or neither
    true nor false, is True and named in ``unclear``. ``account_id``: the broker's id of the account, "" where
    it gives none. ``buying_power``, ``cash``, ``equity`` and ``last_equity``, which is that at the end of the
    session before, are in ``currency``, None where unknown. ``repr`` omits number, id and these figures.
    """

    account_number: str = field(repr=False)
    status: str
    trading_blocked: bool
    account_blocked: bool
    trade_suspended_by_user: bool
    currency: str
    unclear: tuple[str, ...] = ()
    account_id: str = field(default="", repr=False, compare=False)
    buying_power: float | None = field(default=None, repr=False, compare=False)
    cash: float | None = field(default=None, repr=False, compare=False)
    equity: float | None = field(default=None, repr=False, compare=False)
    last_equity: float | None = field(default=None, repr=False, compare=False)

    @property
    def shown_as(self) -> str:
        """The account number, shortened for messages."""
        return shown_number(self.account_number)


@dataclass(frozen=True, kw_only=True)
class BrokerClock:
    """A market's time and its next opening and closing, all UTC and cut to the microsecond.

    ``next_close`` is today's while the market ``is_open``. ``replied_at``: when the broker replied, by its
    own clock, in whole seconds; None where the reply has no date. It differs from ``timestamp`` where a
    simulated market has its own time. ``took_s``: the seconds of the answered request, where a wait preceded
    it; else None.
    """

    timestamp: datetime
    is_open: bool
    next_open: datetime
    next_close: datetime
    replied_at: datetime | None = None
    took_s: float | None = None


def why_it_cannot_trade(account: BrokerAccount) -> str:
    """Return why the account can't trade, "" where it can.

    It can trade only where the status is exactly ``ACTIVE`` and each flag of ``BLOCKS`` is exactly False.
    """
    reasons = [f"{name} is {_flag(account, name)}" for name in BLOCKS if getattr(account, name) is not False]
    if account.status != TRADING_STATUS:
        reasons.insert(0, f"its status is {account.status[:_LONGEST_STATUS]!r} instead of {TRADING_STATUS!r}")
    if not reasons:
        return ""
    return (
        f"account {account.shown_as} cannot trade: {', '.join(reasons)}. "
        f"Settle it on the broker's dashboard, or use the keys of another account."
    )


def _flag(account: BrokerAccount, name: str) -> str:
    if name in account.unclear or getattr(account, name) is not True:
        return "neither true nor false, which counts as true"
    return "true"


def shown_number(account_number: str) -> str:
    """Return an account number for messages: at most its last four characters, never its first four."""
    if not account_number:
        return "(no number)"
    return "…" + account_number[_SHOWN_DIGITS:][-_SHOWN_DIGITS:]
