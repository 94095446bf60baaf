"""The source of ``earlier_batches``: the orders of each strategy in its last runs, and their value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from engine.record.run_folder import BATCH, MANIFEST, RunFolder
from engine.run.earlier_runs import earlier_runs
from engine.run.reading import Reading

RUNS, SESSIONS = 20, 30
"""The last runs of each strategy that are read, and the last sessions in which they are looked for."""
RUNS_LOOKED_AT = 500
"""The most runs that are looked at for them, however seldom a strategy trades."""

NOTIONAL_BY_STRATEGY = "notional_by_strategy"
"""The manifest's field of the value of each strategy's orders in USD, null where it is unknown."""

STRATEGIES_LISTED = 1_000
"""The most strategies whose orders a manifest lists; of more, the batch itself is read."""


class Asked(NamedTuple):
    """What a strategy asked for in a run: so many orders, and their value in USD, NaN where it is unknown."""

    orders: float
    notional: float


def earlier_batches(reading: Reading) -> pd.DataFrame:
    """Return ``strategy_id, run_id, orders, notional`` of the batch's strategies, newest runs first.

    A run in which a strategy asked for no order has no row, nor has one that isn't finished. ``notional`` is
    in USD, NaN for a run that did not know the value of each order.
    """
    missing = dict.fromkeys(reading.strategies, RUNS)
    rows: list[tuple[str, str, float, float]] = []
    for number, folder in enumerate(earlier_runs(reading, sessions=SESSIONS)):
        if not missing or number == RUNS_LOOKED_AT:
            break
        asked = orders_of(folder)
        for strategy in sorted(missing.keys() & asked.keys()):
            rows.append((strategy, folder.run_id, *asked[strategy]))
            missing[strategy] -= 1
            if not missing[strategy]:
                del missing[strategy]
    frame = pd.DataFrame(rows, columns=["strategy_id", "run_id", "orders", "notional"])
    numbers = dict.fromkeys(("orders", "notional"), "float64")
    return frame.astype({"strategy_id": "str", "run_id": "str", **numbers})


def orders_by_strategy(batch: pa.Table) -> dict[str, int] | None:
    """Return how many orders each strategy of a batch asked for; None for more than can be listed.

    ``batch`` has ``strategy_id`` and ``action``; cancels are no orders.
    """
    counts = _counted(batch)
    return counts if len(counts) <= STRATEGIES_LISTED else None


def orders_of(folder: RunFolder) -> Mapping[str, Asked]:
    """Return what each strategy asked for in a finished run; nothing of one that isn't finished."""
    if not folder.objects.has(folder.key + MANIFEST):
        return {}
    manifest = folder.json(MANIFEST)
    orders: Mapping[str, int] | None = manifest.get("orders_by_strategy")
    if orders is None:
        orders = _counted(folder.table(BATCH, ["strategy_id", "action"]))
    notional: Mapping[str, float | None] = manifest.get(NOTIONAL_BY_STRATEGY) or {}
    values = {strategy: notional.get(strategy) for strategy in orders}
    return {
        strategy: Asked(float(orders[strategy]), math.nan if value is None else float(value))
        for strategy, value in values.items()
    }


def _counted(batch: pa.Table) -> dict[str, int]:
    names, actions = batch["strategy_id"], batch["action"]
    if "cancel" in actions.unique().to_pylist():
        names = names.filter(pc.fill_null(pc.not_equal(actions.cast(pa.string()), "cancel"), True))
    counts = {pair["values"]: pair["counts"] for pair in names.value_counts().to_pylist()}
    return {name: counts[name] for name in sorted(counts.keys() - {None})}
