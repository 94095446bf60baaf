"""The words of a single order: what a strategy wants, and what a broker says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, kw_only=True)
class OrderIntent:
    """What a strategy wants; the fields, units and defaults of one row of an intent file.

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


@dataclass(frozen=True, kw_only=True)
class BrokerOrder:
    """An order as its broker describes it.

    ``order_status`` is the broker's own word; ``filled_qty`` (shares) is 0 until something fills and
    ``filled_avg_price`` None until then. ``raw`` is the broker's reply, its decimals still text.
    """

    broker_order_id: str
    client_order_id: str
    order_status: str
    symbol: str = ""
    side: str = ""
    filled_qty: float = 0.0
    filled_avg_price: float | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)
