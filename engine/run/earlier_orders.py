"""The source of ``earlier_orders``: orders sent by earlier runs of the session, and within a window before.

Live, an order counts from when it may have been sent until the broker refuses it, whether or not its run is
finished. In a dry run the orders count that earlier dry runs allowed.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from engine.model.calendar import trading_date
from engine.model.schema import inputs_schemas
from engine.record.run_folder import ATTEMPTS, BATCH, INPUTS, RESULTS, RunFolder
from engine.risk.book import LIMIT_BY_KEY
from engine.risk.config import RiskConfig
from engine.routing.outcomes import REJECTED_AFTER_ACCEPTANCE
from engine.run.earlier_runs import earlier_runs
from engine.run.reading import Reading

WINDOW_KEY = "equal_orders_window_s"
LONGEST_WINDOW = timedelta(days=30)
"""How far back orders are read, whatever window a limit asks for."""

_SENT = ("dry_run", "placed", "unresolved")
_COLUMNS = [
    *("broker_account_id", "strategy_id", "symbol", "side", "qty", "notional"),
    *("order_type", "limit_price", "stop_price"),
]


def earlier_orders(reading: Reading) -> pd.DataFrame:
    """Return the orders of the batch's accounts and symbols, with their terms and ``sent_at`` (UTC)."""
    since = reading.as_of - longest_window(reading.config)
    first = min(reading.trading_date, trading_date(since, reading.calendar))
    tables = [inputs_schemas()["earlier_orders"].empty_table()]
    for folder in earlier_runs(reading, since=first):
        sent = _sent(folder, reading)
        if folder.trading_date != reading.trading_date:
            sent = sent.filter(pc.greater_equal(sent["sent_at"], pa.scalar(since.to_pydatetime())))
        tables.append(sent)
    return pa.concat_tables(tables).sort_by("sent_at").to_pandas()


def longest_window(config: RiskConfig) -> timedelta:
    """Return the longest window in force in which equal orders are counted."""
    levels = config.levels(WINDOW_KEY) if WINDOW_KEY in LIMIT_BY_KEY else ()
    return min(timedelta(seconds=max((level.value for level in levels), default=0.0)), LONGEST_WINDOW)


def _sent(folder: RunFolder, reading: Reading) -> pa.Table:
    """Return the orders that a run sent, in the columns of the frame."""
    schema = inputs_schemas()["earlier_orders"]
    names = folder.names()
    sent_at = _times(folder, names) if BATCH in names else {}
    if not sent_at:
        return schema.empty_table()
    rows = pa.array(sorted(sent_at), pa.int64())
    orders = folder.table(BATCH, [*_COLUMNS, "action"]).take(rows)
    times = pa.array([sent_at[row] for row in rows.to_pylist()], pa.timestamp("us", tz="UTC"))
    text = {name: orders[name].cast(pa.string()) for name in ("broker_account_id", "symbol", "action")}
    is_asked_for = pc.and_(
        pc.and_(
            pc.is_in(text["broker_account_id"], pa.array(list(reading.accounts), pa.string())),
            pc.is_in(text["symbol"], pa.array(list(reading.symbols), pa.string())),
        ),
        pc.not_equal(text["action"], "cancel"),
    )
    return orders.select(_COLUMNS).append_column("sent_at", times).filter(is_asked_for).cast(schema)


def _times(folder: RunFolder, names: Collection[str]) -> dict[int, datetime]:
    """Return when each order of a run was sent, by its row: live, when it was first about to be."""
    rows = _sent_rows(folder) if RESULTS in names else None
    if folder.start["mode"] == "dry":
        at = datetime.fromisoformat(folder.json(INPUTS)["read_at"]) if rows else None
        return {row: at for row in rows or () if at}
    times: dict[int, datetime] = {}
    for name in sorted(name for name in names if name.startswith(ATTEMPTS)):
        attempt = folder.json(name)
        for order in attempt["orders"]:
            times.setdefault(int(order["row"]), datetime.fromisoformat(attempt["at"]))
    return times if rows is None else {row: at for row, at in times.items() if row in rows}


def _sent_rows(folder: RunFolder) -> set[int]:
    """Return the rows of a run's results whose order was sent and not refused; in a dry run, allowed."""
    results = folder.table(RESULTS, ["status", "reason"])
    status, reason = (results[name].cast(pa.string()) for name in ("status", "reason"))
    is_sent = pc.or_(pc.is_in(status, pa.array(_SENT)), pc.equal(reason, REJECTED_AFTER_ACCEPTANCE))
    return set(np.flatnonzero(pc.fill_null(is_sent, False).to_numpy()).tolist())
