"""Alpaca's replies on the account and the clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.brokers.account import BLOCKS, BrokerAccount, BrokerClock
from engine.brokers.alpaca.fields import (
    figure_in,
    json_object,
    readable_or_none,
    text_in,
    timestamp_in,
)
from engine.brokers.alpaca.text import shown

_FIGURES = ("buying_power", "cash", "equity", "last_equity")


def parse_account(body: bytes) -> BrokerAccount:
    """Return the account in the reply of ``GET /v2/account``; a missing flag counts as set.

    Raises ``ValueError`` with the fault where the body is not an account: it lacks ``id`` or ``status``,
    which Alpaca's specification requires. Unknown fields and statuses are accepted.
    """
    reply = json_object(body)
    account_id = text_in(reply, "id")
    number = reply.get("account_number")
    if number is not None and not isinstance(number, str):
        raise ValueError("its account_number is not text")  # the value itself must not be shown
    return BrokerAccount(
        account_number=number or "",
        status=text_in(reply, "status"),
        trading_blocked=reply.get("trading_blocked") is not False,
        account_blocked=reply.get("account_blocked") is not False,
        trade_suspended_by_user=reply.get("trade_suspended_by_user") is not False,
        currency=text_in(reply, "currency", default=""),
        unclear=tuple(name for name in BLOCKS if not isinstance(reply.get(name), bool)),
        account_id=account_id,
        **{name: readable_or_none(_money, reply, name) for name in _FIGURES},
    )


def _money(reply: Mapping[str, Any], field: str) -> float | None:
    return figure_in(reply, field, signed=True)


def parse_clock(body: bytes) -> BrokerClock:
    """Return the clock in the reply of ``GET /v2/clock``; nanoseconds and New York's offset become UTC.

    Raises ``ValueError`` with the fault where the body is not a clock.
    """
    reply = json_object(body)
    is_open = reply.get("is_open")
    if type(is_open) is not bool:
        raise ValueError(f"its is_open is {shown(is_open)}")
    return BrokerClock(
        timestamp=timestamp_in(reply, "timestamp"),
        is_open=is_open,
        next_open=timestamp_in(reply, "next_open"),
        next_close=timestamp_in(reply, "next_close"),
    )
