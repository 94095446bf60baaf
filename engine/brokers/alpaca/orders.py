"""Translation of order intents into Alpaca's requests, and of Alpaca's orders into ``BrokerOrder``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from engine.brokers.alpaca.fields import (
    figure_in,
    json_object,
    readable_or_none,
    text_in,
    timestamp_in,
    word_in,
)
from engine.brokers.alpaca.text import shown
from engine.errors import UsageError
from engine.model.orders import BrokerOrder, OrderIntent
from engine.model.symbols import canonical_symbol

_NUMBERS = ("qty", "notional", "limit_price", "stop_price", "trail_price", "trail_percent")


def order_path(broker_order_id: str) -> str:
    """Return the path of an order, quoted.

    Raises ``UsageError`` for a blank id, and for one of dots: ``DELETE /v2/orders/.`` becomes ``DELETE
    /v2/orders/`` once the path is normalised, which cancels every order.
    """
    name = broker_order_id.strip()
    if not name.strip("."):
        raise UsageError(
            f"broker_order_id is {broker_order_id!r}; expected an order id that the broker assigned."
        )
    return f"/v2/orders/{quote(name, safe='')}"


def order_payload(intent: OrderIntent) -> dict[str, Any]:
    """Return the body of ``POST /v2/orders``: numbers as decimal text, without fields that are None.

    Raises ``UsageError`` for a cancel, a missing ``client_intent_id`` and an invalid number.
    """
    if intent.action != "new":
        raise UsageError(
            f"intent {intent.client_intent_id} has the action {intent.action!r}, which places no order. "
            f"Find the order of {intent.target_intent_id} and use cancel_order."
        )
    if not intent.client_intent_id:
        raise UsageError(
            f"an intent of {intent.strategy_id} for {intent.symbol} has no client_intent_id, and an order "
            f"without one could not be found again. Give it one."
        )
    payload: dict[str, Any] = {
        "client_order_id": intent.client_intent_id,
        "symbol": canonical_symbol(intent.symbol),
        "side": intent.side,
        "type": intent.order_type,
        "time_in_force": intent.time_in_force,
        "extended_hours": bool(intent.extended_hours),
        **_decimals(intent, {name: name for name in _NUMBERS}),
    }
    if intent.order_class != "simple":
        payload["order_class"] = intent.order_class
    if intent.order_class == "oco":
        payload.pop("limit_price", None)  # take_profit has it: "OCO Orders" in Orders at Alpaca
    legs = {
        "take_profit": _decimals(intent, {"limit_price": "take_profit_limit_price"}),
        "stop_loss": _decimals(
            intent, {"stop_price": "stop_loss_stop_price", "limit_price": "stop_loss_limit_price"}
        ),
    }
    return payload | {name: leg for name, leg in legs.items() if leg}


def _decimals(intent: OrderIntent, fields: Mapping[str, str]) -> dict[str, str]:
    texts = {}
    for key, name in fields.items():
        value = getattr(intent, name)
        if value is None:
            continue
        try:
            texts[key] = decimal_text(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise UsageError(
                f"intent {intent.client_intent_id}: {name} is {value!r}; expected a finite number, or None."
            ) from error
    return texts


def decimal_text(value: float) -> str:
    """Return a number as its shortest exact decimal, without exponent: 1e-9 is ``0.000000001``.

    Raises ``ValueError`` where it is not finite or not a number.
    """
    if isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return format(Decimal(repr(float(value))).normalize(), "f")


def parse_order(body: bytes) -> BrokerOrder:
    """Return an order with its legs; unknown fields and statuses are kept unchanged.

    Raises ``ValueError`` with the fault where the body is not an order.
    """
    return order_of(json_object(body))


def order_of(reply: Mapping[str, Any]) -> BrokerOrder:
    """Return the order that a JSON object describes.

    Raises ``ValueError`` where the order or a leg lacks id, client id or status, or has an unreadable filled
    quantity. Any other unreadable field is None or "", and stays in ``raw``.
    """
    legs = reply.get("legs")
    if legs is None:
        return _order(reply)
    if not isinstance(legs, list) or not all(isinstance(leg, dict) for leg in legs):
        raise ValueError(f"its legs are {shown(legs)}")
    return _order(reply, tuple(_order(leg) for leg in legs))


def _order(reply: Mapping[str, Any], legs: tuple[BrokerOrder, ...] = ()) -> BrokerOrder:
    return BrokerOrder(
        broker_order_id=text_in(reply, "id"),
        client_order_id=text_in(reply, "client_order_id"),
        order_status=text_in(reply, "status"),
        symbol=canonical_symbol(word_in(reply, "symbol")),
        side=word_in(reply, "side"),
        qty=readable_or_none(figure_in, reply, "qty"),
        notional=readable_or_none(figure_in, reply, "notional"),
        order_type=word_in(reply, "type") or word_in(reply, "order_type"),
        time_in_force=word_in(reply, "time_in_force"),
        order_class=word_in(reply, "order_class"),
        limit_price=readable_or_none(figure_in, reply, "limit_price"),
        stop_price=readable_or_none(figure_in, reply, "stop_price"),
        trail_price=readable_or_none(figure_in, reply, "trail_price"),
        trail_percent=readable_or_none(figure_in, reply, "trail_percent"),
        created_at=readable_or_none(timestamp_in, reply, "created_at"),
        submitted_at=readable_or_none(timestamp_in, reply, "submitted_at"),
        filled_at=readable_or_none(timestamp_in, reply, "filled_at"),
        updated_at=readable_or_none(timestamp_in, reply, "updated_at"),
        filled_qty=figure_in(reply, "filled_qty") or 0.0,
        filled_avg_price=readable_or_none(figure_in, reply, "filled_avg_price"),
        replaced_by=word_in(reply, "replaced_by"),
        legs=legs,
        raw=reply,
    )
