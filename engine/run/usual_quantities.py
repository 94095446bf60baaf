"""The source of ``usual_quantities``: the median quantity that a strategy's allowed orders in a symbol had.

Refused orders don't count: a file with a wrong quantity that is dropped again and again would make it usual.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from engine.model.schema import inputs_schemas
from engine.record.run_folder import BATCH, DECISIONS, MANIFEST, RunFolder
from engine.run.earlier_batches import RUNS, RUNS_LOOKED_AT, SESSIONS, orders_of
from engine.run.earlier_runs import earlier_runs
from engine.run.reading import Reading


def usual_quantities(reading: Reading) -> pd.DataFrame:
    """Return ``strategy_id, symbol, qty``: the median (shares) over a strategy's last runs.

    A strategy without an allowed order by quantity in a symbol has no row for it. The runs are those of
    ``earlier_batches``.
    """
    missing = dict.fromkeys(reading.strategies, RUNS)
    tables = [inputs_schemas()["usual_quantities"].empty_table()]
    for number, folder in enumerate(earlier_runs(reading, sessions=SESSIONS)):
        if not missing or number == RUNS_LOOKED_AT:
            break
        if not folder.objects.has(folder.key + MANIFEST):
            continue
        present = missing.keys() & orders_of(folder).keys()
        if not present:
            continue
        tables.append(_quantities(folder, present, reading.symbols))
        for strategy in present:
            missing[strategy] -= 1
            if not missing[strategy]:
                del missing[strategy]
    orders = pa.concat_tables(tables).to_pandas()
    medians = orders.groupby(["strategy_id", "symbol"], sort=True)["qty"].median()
    return medians.reset_index().astype({"strategy_id": "str", "symbol": "str", "qty": "float64"})


def _quantities(folder: RunFolder, strategies: Collection[str], symbols: Collection[str]) -> pa.Table:
    """Return the allowed orders by quantity of some strategies and symbols in a run."""
    schema = inputs_schemas()["usual_quantities"]
    batch = folder.table(BATCH, ["strategy_id", "symbol", "qty", "action"])
    allowed = folder.table(DECISIONS, ["allowed"])["allowed"]
    strategy, symbol, action = (batch[name].cast(pa.string()) for name in ("strategy_id", "symbol", "action"))
    wanted = np.ones(batch.num_rows, dtype=bool)
    for mask in (
        allowed,
        pc.is_valid(batch["qty"]),
        pc.not_equal(action, "cancel"),
        pc.is_in(strategy, pa.array(sorted(strategies), pa.string())),
        pc.is_in(symbol, pa.array(sorted(symbols), pa.string())),
    ):
        wanted &= pc.fill_null(mask, False).to_numpy(zero_copy_only=False)
    return batch.select(schema.names).cast(schema).filter(pa.array(wanted))
