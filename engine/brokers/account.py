"""What a broker says of an account and of the time, in no particular broker's words."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

TRADING_STATUS = "ACTIVE"
BLOCKS = ("trading_blocked", "account_blocked", "trade_suspended_by_user")
"""The flags that each stop all orders; the last one is the owner's own setting."""

_SHOWN_DIGITS = 4
_LONGEST_STATUS = 40


@dataclass(frozen=True, kw_only=True)
class BrokerAccount:
    """An account as its broker describes it.

    ``account_number`` and ``currency`` are "" where the broker gives none. A flag that the broker left out,
    or that is neither true nor false, is True and named in ``unclear``. ``account_id`` is the broker's own
    name of it, "" where it gives none. A ``repr`` leaves number and id out.
    """

    account_number: str = field(repr=False)
    status: str
    trading_blocked: bool
    account_blocked: bool
    trade_suspended_by_user: bool
    currency: str
    unclear: tuple[str, ...] = ()
    account_id: str = field(default="", repr=False, compare=False)

    @property
    def shown_as(self) -> str:
        """The account number as a message may show it."""
        return shown_number(self.account_number)


@dataclass(frozen=True, kw_only=True)
class BrokerClock:
    """A market's time and its next opening and closing, all UTC and cut to the microsecond.

    ``next_close`` is today's while the market ``is_open``. ``replied_at`` is the moment at which the broker
    answered, by its own clock and in whole seconds; None where it doesn't say. A simulated market has a time
    of its own, and then the two differ. ``took_s``: how long the request took that was answered, where
    there was a wait before it; else None.
    """

    timestamp: datetime
    is_open: bool
    next_open: datetime
    next_close: datetime
    replied_at: datetime | None = None
    took_s: float | None = None


def why_it_cannot_trade(account: BrokerAccount) -> str:
    """Say why no order of this account would be taken ("" where nothing is known against it).

    It trades only where the status is ``ACTIVE`` and each flag of ``BLOCKS`` is False, and nothing like it.
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
    """Shorten an account number to what a message may show: at most four characters, and never the first."""
    if not account_number:
        return "(no number)"
    return "…" + account_number[_SHOWN_DIGITS:][-_SHOWN_DIGITS:]
