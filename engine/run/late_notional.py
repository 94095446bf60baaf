"""What today's fills of older orders cost: the ledger has them in the session of their order's first fill."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from engine.ledger.strategies import strategy_of
from engine.model.money import MONEY_UNITS
from engine.model.symbols import canonical_symbol
from engine.record.late_fills import late_fills
from engine.run.reading import Reading
from engine.stores.strategy_trades import cost_in_units

_COLUMNS = ["fill_id", "broker_order_id", "broker_account_id", "strategy_id", "symbol", "qty", "price"]

Costs = Mapping[tuple[str, str, str], float]


def cost_of_late_fills(reading: Reading) -> Costs:
    """Return what these fills cost in USD, by strategy, account and symbol; NaN where a price is unknown.

    They are the executions of this session that a sync, or a run, has kept in this data folder, of orders
    that the ledger has in another session, or not yet.
    """
    fills: dict[tuple[str, str], Mapping[str, Any]] = {}
    for table in late_fills(reading.context.objects, reading.trading_date):
        for fill in table.select(_COLUMNS).to_pylist():
            if fill["broker_account_id"] in reading.known:
                fills[fill["broker_account_id"], fill["fill_id"]] = fill
    if not fills:
        return {}
    documents = reading.context.ledger.ledger_documents({fill["broker_order_id"] for fill in fills.values()})
    today = reading.trading_date.isoformat()
    counted = {order_id for order_id, one in documents.items() if one.get("trading_date") == today}
    units: Counter[tuple[str, str, str]] = Counter()
    unknown: set[tuple[str, str, str]] = set()
    for (account, _), fill in fills.items():
        key = strategy_of(fill["strategy_id"]), account, canonical_symbol(str(fill["symbol"]))
        cost = cost_in_units(fill["qty"], fill["price"])
        if fill["broker_order_id"] in counted:
            continue
        if cost is None:
            unknown.add(key)
        else:
            units[key] += cost
    return {key: total / MONEY_UNITS for key, total in units.items()} | dict.fromkeys(unknown, float("nan"))
