"""The allowed orders of a run that reduce a position, by what the run knew when it was decided."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

from engine.record.run_folder import BATCH, DECISIONS, INPUTS, RunFolder
from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs
from engine.risk.reducing import ACCOUNTS_BOOK, Reducible
from engine.risk.verdicts import PASS

_COLUMNS = ["strategy_id", "broker_account_id", "client_intent_id", "action", "symbol", "side", "qty"]


def reducing_orders(folder: RunFolder) -> frozenset[tuple[str, str]]:
    """Return account and id of each allowed order that reduces a position, whatever else fills."""
    allowed = np.flatnonzero(folder.table(DECISIONS, ["allowed"])["allowed"].to_numpy())
    intents = folder.table(BATCH, _COLUMNS).take(pa.array(allowed)).to_pandas()
    batch = Batch.of(intents)
    inputs = RiskInputs(
        as_of=pd.Timestamp(folder.start["as_of"]),
        trading_date=folder.trading_date,
        positions=_frame(folder, "positions"),
        daily_trades=None,
        working_orders=_frame(folder, "working_orders"),
    )
    everything = np.arange(batch.rows)
    verdicts = Reducible.of(ACCOUNTS_BOOK, batch, inputs).verdicts(
        batch, everything, np.ones(batch.rows, dtype=bool)
    )
    reducing = intents[(verdicts == PASS) & batch.is_order]
    return frozenset(zip(reducing["broker_account_id"], reducing["client_intent_id"], strict=True))


def _frame(folder: RunFolder, name: str) -> pd.DataFrame | None:
    if name in folder.json(INPUTS)["unavailable"]:
        return None
    return folder.table(f"{name}.parquet").to_pandas()
