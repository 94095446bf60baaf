"""Order intents, and a broker's reports of orders, fills and positions."""

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
    """An id that an ``OrderIntent`` generated; a copy with other fields generates a new one."""

    __slots__ = ()


@dataclass(frozen=True, kw_only=True)
class OrderIntent:
    """An order that a strategy wants, with the fields, units and defaults of one row of an intent file.

    An intent has its id from construction: the given ``client_intent_id``, or a generated one. Quantities are
    in shares or contracts, prices in the instrument's currency, ``notional`` in USD. The rule book checks the
    values, not this class: an invalid one leads to a refusal, not an exception.
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
"""The terminal statuses of an order."""


@dataclass(frozen=True, kw_only=True)
class BrokerOrder:
    """An order as its broker reports it.

    ``order_status``, ``order_type``, ``time_in_force`` and ``order_class`` are the broker's own words. Of
    ``qty`` (shares) and ``notional`` (USD) an order has one; one by notional may get a ``qty`` as it fills. A
    trailing stop's ``trail_price`` is in USD per share, ``trail_percent`` in percent. ``filled_qty`` (shares)
    is 0 until something fills and ``filled_avg_price`` None until then. ``filled_at`` is set for a completely
    filled order, ``updated_at`` is the time of its last change. Timestamps are UTC, cut to the microsecond.
    ``legs`` are the other orders of its group, where it heads one; ``replaced_by`` is the id of the order in
    its place. A value that the broker didn't report, or not readably, is None or ""; ``raw`` is its reply,
    with decimals as text.
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
    trail_price: float | None = None
    trail_percent: float | None = None
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
        """Return whether its status is terminal; an unknown status isn't."""
        return self.order_status in FINAL_STATUSES


@dataclass(frozen=True, kw_only=True)
class BrokerFill:
    """One execution as its broker reports it.

    ``qty`` (shares) and ``price`` (USD) are of this execution, ``cum_qty`` and ``leaves_qty`` of its order
    after it, None where the broker doesn't report them. ``side`` is buy or sell, ``filled_at`` UTC, cut to
    the microsecond. ``fill_id`` is the broker's own, independent of order and time.
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
    """A position as its broker reports it.

    ``qty`` (shares) is negative for a short one; ``avg_price`` and ``market_value`` (USD) are None where the
    broker reports none. ``asset_class`` is the broker's own word.
    """

    symbol: str
    qty: float
    avg_price: float | None = None
    market_value: float | None = None
    asset_class: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict)


INTENT_NAMES = tuple(field.name for field in fields(OrderIntent))


def intent_of(row: Mapping[str, Any]) -> OrderIntent:
    """Return a row of a sealed batch as an intent; missing fields have the contract's defaults.

    Metadata that can't be read is left out. The rule book refuses such rows, but orders that an earlier
    version sent with it must still be found.
    """
    fields = {name: row[name] for name in INTENT_NAMES if _is_given(row.get(name))}
    if "metadata" in fields:
        fields["metadata"] = _object(fields["metadata"])
    if "symbol" in fields:
        fields["symbol"] = canonical_symbol(fields["symbol"])
    return OrderIntent(**{"symbol": "", "side": "", **fields})  # a cancel needs neither


def _object(text: str) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _is_given(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))
