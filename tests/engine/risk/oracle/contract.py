"""The contract of an intent: which rows keep it."""

from __future__ import annotations

from datetime import datetime

import pandas as pd

from tests.engine.risk.oracle.words import (
    Row,
    given,
    is_cancel,
    is_intent_id,
    is_quantity,
    is_symbol,
    is_text,
    is_timestamp,
)

ORDER_TYPES = {"market", "limit", "stop", "stop_limit", "trailing_stop"}
TIMES_IN_FORCE = {"day", "gtc", "opg", "cls", "ioc", "fok"}
ORDER_CLASSES = {"simple", "bracket", "oto", "oco"}
PRICES = (
    "limit_price",
    "stop_price",
    "trail_price",
    "trail_percent",
    "take_profit_limit_price",
    "stop_loss_stop_price",
    "stop_loss_limit_price",
    "reference_price",
)


def is_valid(row: Row) -> bool:
    """Return whether the row keeps the intent contract."""
    return (
        is_text(row.get("strategy_id"))
        and is_text(row.get("broker_account_id"))
        and is_intent_id(row.get("client_intent_id"))
        and one_of(row, "action", {"new", "cancel"}, default="new")
        and one_of(row, "order_type", ORDER_TYPES, default="market")
        and one_of(row, "time_in_force", TIMES_IN_FORCE, default="day")
        and one_of(row, "order_class", ORDER_CLASSES, default="simple")
        and all(is_quantity(row[price]) for price in PRICES if given(row, price))
        and all(is_timestamp(row[when]) for when in ("created_at", "valid_until") if given(row, when))
        and (is_valid_cancel(row) if is_cancel(row) else is_valid_order(row))
    )


def has_come(row: Row, as_of: datetime) -> bool:
    """Return whether the row was created by now, as far as clocks agree."""
    return not given(row, "created_at") or row["created_at"] - as_of <= pd.Timedelta(seconds=5)


def is_valid_cancel(row: Row) -> bool:
    return (
        is_intent_id(row.get("target_intent_id"))
        and (not given(row, "symbol") or is_symbol(row["symbol"]))
        and (not given(row, "side") or row["side"] in ("buy", "sell"))
        and all(is_quantity(row[amount]) for amount in ("qty", "notional") if given(row, amount))
    )


def is_valid_order(row: Row) -> bool:
    amounts = [row[amount] for amount in ("qty", "notional") if given(row, amount)]
    return (
        not given(row, "target_intent_id")
        and is_symbol(row.get("symbol"))
        and row.get("side") in ("buy", "sell")
        and len(amounts) == 1
        and is_quantity(amounts[0])
        and has_the_prices_of_its_type(row)
        and has_the_legs_of_its_class(row)
    )


def has_the_prices_of_its_type(row: Row) -> bool:
    order_type = row["order_type"] if given(row, "order_type") else "market"
    trails = given(row, "trail_price") + given(row, "trail_percent")
    return (
        given(row, "limit_price") == (order_type in ("limit", "stop_limit"))
        and given(row, "stop_price") == (order_type in ("stop", "stop_limit"))
        and trails == (1 if order_type == "trailing_stop" else 0)
    )


def has_the_legs_of_its_class(row: Row) -> bool:
    order_class = row["order_class"] if given(row, "order_class") else "simple"
    legs = given(row, "take_profit_limit_price") + given(row, "stop_loss_stop_price")
    if given(row, "stop_loss_limit_price") and not given(row, "stop_loss_stop_price"):
        return False
    return legs == {"simple": 0, "oto": 1, "bracket": 2, "oco": 2}[order_class]


def one_of(row: Row, name: str, words: set[str], *, default: str) -> bool:
    value = row[name] if given(row, name) else default
    return isinstance(value, str) and value in words
