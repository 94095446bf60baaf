"""The source of ``earlier_batches``: how many orders each strategy asked for in its last runs."""

from __future__ import annotations

from collections.abc import Mapping

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

STRATEGIES_LISTED = 1_000
"""The most strategies whose orders a manifest lists; of more, the batch itself is read."""


def earlier_batches(reading: Reading) -> pd.DataFrame:
    """Return ``strategy_id, run_id, orders`` of the batch's strategies, each one's newest run first.

    A run in which a strategy asked for no order has no row, nor has one that isn't finished.
    """
    missing = dict.fromkeys(reading.strategies, RUNS)
    rows: list[tuple[str, str, float]] = []
    for number, folder in enumerate(earlier_runs(reading, sessions=SESSIONS)):
        if not missing or number == RUNS_LOOKED_AT:
            break
        asked = _orders_of(folder)
        for strategy in sorted(missing.keys() & asked.keys()):
            rows.append((strategy, folder.run_id, float(asked[strategy])))
            missing[strategy] -= 1
            if not missing[strategy]:
                del missing[strategy]
    frame = pd.DataFrame(rows, columns=["strategy_id", "run_id", "orders"])
    return frame.astype({"strategy_id": "str", "run_id": "str", "orders": "float64"})


def orders_by_strategy(batch: pa.Table) -> dict[str, int] | None:
    """Return how many orders each strategy of a batch asked for; None for more than can be listed.

    ``batch`` has ``strategy_id`` and ``action``; cancels are no orders.
    """
    counts = _counted(batch)
    return counts if len(counts) <= STRATEGIES_LISTED else None


def _orders_of(folder: RunFolder) -> Mapping[str, int]:
    """Return the orders by strategy of a finished run; nothing of one that isn't finished."""
    if not folder.objects.has(folder.key + MANIFEST):
        return {}
    listed: Mapping[str, int] | None = folder.json(MANIFEST).get("orders_by_strategy")
    return _counted(folder.table(BATCH, ["strategy_id", "action"])) if listed is None else listed


def _counted(batch: pa.Table) -> dict[str, int]:
    names, actions = batch["strategy_id"], batch["action"]
    if "cancel" in actions.unique().to_pylist():
        names = names.filter(pc.fill_null(pc.not_equal(actions.cast(pa.string()), "cancel"), True))
    counts = {pair["values"]: pair["counts"] for pair in names.value_counts().to_pylist()}
    return {name: counts[name] for name in sorted(counts.keys() - {None})}
