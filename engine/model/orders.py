"""The words of trading: what a strategy wants, and what a broker says of orders, fills and positions."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any
from uuid import uuid4

from engine.model.symbols import canonical_symbol


class OwnId(str):
    """An id that an ``OrderIntent`` made for itself: a copy with other fields makes one of its own."""

    __slots__ = ()


@dataclass(frozen=True, kw_only=True)
class OrderIntent:
    """What a strategy wants; the fields, units and defaults of one row of an intent file.

    An intent has its id from construction: the ``client_intent_id`` that it is given, or one of its own.
    Quantities are in shares or contracts, prices in the instrument's currency, ``notional`` in USD. The
    values are judged by the gate, not by this class: a wrong one gives a refusal, not an exception.
    """

    strategy_id: str
    broker_account_id: str
    symbol: str
    side: str
    qty: float | None = None
    client_intent_id: str | None = None
    asset_class: str = "EQUITY"
    order_type: str = "market"
    time_in_force: str = "day"
    notional: float | None = None
    limit_price: float | None = None
    stop_price: float | None = None
    trail_price: float | None = None
    trail_percent: float | None = None
    extended_hours: bool = False
    order_class: str = "simple"
    take_profit_limit_price: float | None = None
    stop_loss_stop_price: float | None = None
    stop_loss_limit_price: float | None = None
    estimated_slippage: float | None = None
    reference_price: float | None = None
    created_at: datetime | None = None
    valid_until: datetime | None = None
    action: str = "new"
    target_intent_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.client_intent_id is None or isinstance(self.client_intent_id, OwnId):
            object.__setattr__(self, "client_intent_id", OwnId(uuid4().hex))


FINAL_STATUSES = frozenset({"filled", "canceled", "expired", "rejected", "replaced"})
"""The statuses after which nothing more becomes of an order."""


@dataclass(frozen=True, kw_only=True)
class BrokerOrder:
    """An order as its broker describes it.

    ``order_status``, ``order_type``, ``time_in_force`` and ``order_class`` are the broker's own words. Of
    ``qty`` (shares) and ``notional`` (USD) an order has one. ``filled_qty`` (shares) is 0 until something
    fills and ``filled_avg_price`` None until then. ``filled_at`` is that of an order that filled whole,
    ``updated_at`` that of its last change. Moments are UTC, cut to the microsecond. ``legs`` are the
    other orders of its group, where it heads one; ``replaced_by`` is the id of the order in its place. What
    the broker didn't say, or not in a way that can be read, is None or ""; ``raw`` is its reply, the decimals
    still text.
    """

    broker_order_id: str
    client_order_id: str
    order_status: str
    symbol: str = ""
    side: str = ""
    qty: float | None = None
    notional: float | None = None
    order_type: str = ""
    time_in_force: str = ""
    order_class: str = ""
    limit_price: float | None = None
    stop_price: float | None = None
    created_at: datetime | None = None
    submitted_at: datetime | None = None
    filled_at: datetime | None = None
    updated_at: datetime | None = None
    filled_qty: float = 0.0
    filled_avg_price: float | None = None
    replaced_by: str = ""
    legs: tuple[BrokerOrder, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_final(self) -> bool:
        """Tell whether nothing more becomes of it; an unknown status may be anything."""
        return self.order_status in FINAL_STATUSES


@dataclass(frozen=True, kw_only=True)
class BrokerFill:
    """One execution as its broker tells of it.

    ``qty`` (shares) and ``price`` (USD) are of this execution, ``cum_qty`` and ``leaves_qty`` of its order
    after it, None where the broker doesn't say. ``side`` is buy or sell, ``filled_at`` UTC, cut to the
    microsecond. ``fill_id`` is the broker's own and says nothing of order or time.
    """

    fill_id: str
    broker_order_id: str
    symbol: str
    side: str
    qty: float
    price: float
    filled_at: datetime
    cum_qty: float | None = None
    leaves_qty: float | None = None
    order_status: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BrokerPosition:
    """A position as its broker describes it.

    ``qty`` (shares) is negative for a short one; ``avg_price`` and ``market_value`` (USD) are None where the
    broker gives none. ``asset_class`` is the broker's own word.
    """

    symbol: str
    qty: float
    avg_price: float | None = None
    market_value: float | None = None
    asset_class: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict)


INTENT_NAMES = tuple(field.name for field in fields(OrderIntent))


def intent_of(row: Mapping[str, Any]) -> OrderIntent:
    """Give a row of a sealed batch as an intent; what it doesn't say takes the contract's default.

    Metadata that can't be read, which the gate lets nothing pass with, is left out: orders sent with it, by a
    version that did, must still be found.
    """
    said = {name: row[name] for name in INTENT_NAMES if _is_said(row.get(name))}
    if "metadata" in said:
        said["metadata"] = _object(said["metadata"])
    if "symbol" in said:
        said["symbol"] = canonical_symbol(said["symbol"])
    return OrderIntent(**{"symbol": "", "side": "", **said})  # a cancel needs neither


def _object(text: str) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _is_said(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))
