"""Order intents in Alpaca's words, and Alpaca's orders in ours."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from engine.brokers.alpaca_replies import json_object, shown, text_in
from engine.errors import UsageError
from engine.orders import BrokerOrder, OrderIntent

_NUMBERS = ("qty", "notional", "limit_price", "stop_price", "trail_price", "trail_percent")
_DECIMAL = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def order_path(broker_order_id: str) -> str:
    """Give the path of an order, quoted.

    Raises ``UsageError`` for a blank id, and for one of dots: ``DELETE /v2/orders/.`` is ``DELETE
    /v2/orders/`` once the path is normalised, and that cancels every order.
    """
    name = broker_order_id.strip()
    if not name.strip("."):
        raise UsageError(
            f"broker_order_id is {broker_order_id!r}; expected the id that the broker gave an order."
        )
    return f"/v2/orders/{quote(name, safe='')}"


def order_payload(intent: OrderIntent) -> dict[str, Any]:
    """Give the body of ``POST /v2/orders``: numbers as decimal text, what is None left out.

    Raises ``UsageError`` for a cancel, a missing ``client_intent_id`` and a number that is none.
    """
    if intent.action != "new":
        raise UsageError(
            f"intent {intent.client_intent_id} has the action {intent.action!r}: no order comes of it. "
            f"Find the order of {intent.target_intent_id} and use cancel_order."
        )
    if not intent.client_intent_id:
        raise UsageError(
            f"an intent of {intent.strategy_id} for {intent.symbol} has no client_intent_id, and an order "
            f"without one could not be found again. Give it one."
        )
    payload: dict[str, Any] = {
        "client_order_id": intent.client_intent_id,
        "symbol": intent.symbol,
        "side": intent.side,
        "type": intent.order_type,
        "time_in_force": intent.time_in_force,
        "extended_hours": bool(intent.extended_hours),
        **_decimals(intent, {name: name for name in _NUMBERS}),
    }
    if intent.order_class != "simple":
        payload["order_class"] = intent.order_class
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
    """Write a number as the shortest decimal that means it, without exponent: 1e-9 is ``0.000000001``.

    Raises ``ValueError`` where it is not finite or not a number.
    """
    if isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return format(Decimal(repr(float(value))).normalize(), "f")


def differences(intent: OrderIntent, order: BrokerOrder) -> str:
    """Say where a reply describes another order than the one sent ("" where it does not).

    ``BTCUSD`` and ``BTC/USD`` are one symbol: Alpaca takes both and answers the latter.
    """
    pairs = {
        "client_order_id": (intent.client_intent_id, order.client_order_id),
        "symbol": (intent.symbol.upper().replace("/", ""), order.symbol.upper().replace("/", "")),
        "side": (intent.side.lower(), order.side.lower()),
    }
    return ", ".join(
        f"{name} {theirs or 'absent'!r} instead of {ours!r}"
        for name, (ours, theirs) in pairs.items()
        if ours != theirs
    )


def parse_order(body: bytes) -> BrokerOrder:
    """Read an order; fields and statuses that are not known here are kept as they are.

    Raises ``ValueError``, saying what is wrong, where the body is not an order.
    """
    reply = json_object(body)
    return BrokerOrder(
        broker_order_id=text_in(reply, "id"),
        client_order_id=text_in(reply, "client_order_id"),
        order_status=text_in(reply, "status"),
        symbol=text_in(reply, "symbol", default=""),
        side=text_in(reply, "side", default=""),
        filled_qty=_figure(reply, "filled_qty") or 0.0,
        filled_avg_price=_figure(reply, "filled_avg_price"),
        raw=reply,
    )


def _figure(reply: Mapping[str, Any], field: str) -> float | None:
    value = reply.get(field)
    if value is None:
        return None
    if not _DECIMAL.fullmatch(str(value)) or not math.isfinite(float(str(value))):
        raise ValueError(f"its {field} is {shown(value)}")
    return float(value)
