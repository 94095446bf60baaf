"""Recorded days as frames: positions over time, executions with slippage, and broker traffic."""

from __future__ import annotations

import json
import math

import pandas as pd

from engine.model.breaks import units_of
from engine.model.quantity import UNITS
from engine.model.schema import fills_schema
from engine.model.symbols import canonical_symbol
from engine.record.run_folder import CASSETTE
from engine.record.sealed_limits import recorded_limits_file
from engine.risk.levels import Scope, judging
from replay.cassettes import Interaction, read_cassette
from replay.limits import recorded_config
from replay.recorded import Day, RecordedRun, Recording, read

BASIS_POINTS = 10_000


def positions(what: RecordedRun | Day | str) -> pd.DataFrame:
    """Return the positions when each run judged its batch, and after each fill, by account and symbol.

    ``moment`` (timestamp, UTC), ``run_id, broker_account_id, symbol, qty`` (signed shares), ``limit_qty``
    (shares, long or short). A symbol has rows from the first run on that recorded it; before, it was flat.
    """
    rows = [row for recording in read(what, traffic=False) for row in _held(recording)]
    columns = ["moment", "run_id", "broker_account_id", "symbol", "qty", "limit_qty"]
    frame = pd.DataFrame(rows, columns=columns).astype(
        {"moment": "datetime64[ns, UTC]", **dict.fromkeys(columns[1:4], "str"), "qty": "float64"}
    )
    keys = ["moment", "broker_account_id", "symbol"]
    return frame.sort_values(keys, kind="stable").reset_index(drop=True)


def fills(what: RecordedRun | Day | str) -> pd.DataFrame:
    """Return the recorded executions: the columns of ``fills.parquet``, ``run_id`` and two more.

    ``notional_usd``; ``slippage_bps`` against the intent's reference price, positive for a cost, NaN
    without a reference price.
    """
    found = [
        recording.fills.to_pandas().assign(run_id=recording.run.run_id)
        for recording in read(what, traffic=False)
        if recording.fills is not None and recording.fills.num_rows
    ]
    nothing = fills_schema().empty_table().to_pandas().assign(run_id=pd.Series(dtype="str"))
    frame = pd.concat(found, ignore_index=True) if found else nothing
    return frame.assign(notional_usd=frame["qty"] * frame["price"], slippage_bps=slippage_bps(frame))


def slippage_bps(fills: pd.DataFrame) -> pd.Series:
    """Return the slippage against ``reference_price`` in basis points, positive for a cost."""
    sign = fills["side"].astype(str).map({"buy": 1.0, "sell": -1.0}).astype("float64")
    return sign * (fills["price"] / fills["reference_price"] - 1) * BASIS_POINTS


def traffic(what: RecordedRun | Day | str) -> pd.DataFrame:
    """Return the broker's traffic: one row per request, in the order in which they began.

    ``run_id, number, account, method, path, client_order_id`` (of requests to place an order), ``status``
    (HTTP, NaN without a reply).
    """
    columns = ["run_id", "number", "account", "method", "path", "client_order_id", "status"]
    rows = [
        (recording.run.run_id, one.number, one.account, one.method, one.target, _client_id(one), one.status)
        for recording in read(what)
        if recording.cassette
        for one in read_cassette(CASSETTE, recording.cassette)
    ]
    frame = pd.DataFrame(rows, columns=columns).astype({"status": "float64"})
    return frame.assign(status=frame["status"].where(frame["status"] > 0))


def _client_id(one: Interaction) -> str:
    try:
        body = json.loads(one.body or b"{}")
    except ValueError:
        return ""
    return str(body.get("client_order_id", "")) if isinstance(body, dict) else ""


def _held(recording: Recording) -> list[tuple[object, ...]]:
    frame = recording.frames.get("positions")
    limits = recorded_config(recording.start["config"], recorded_limits_file(recording.start))[0]
    levels = limits.levels("max_position_qty")

    def limit_qty(account: str, symbol: str) -> float:
        judged_by = judging(levels, Scope(account=account, symbol=symbol))
        return min((float(level.value) for level in judged_by), default=math.nan)

    timestamp, run_id = pd.Timestamp(recording.start["as_of"]), recording.run.run_id
    held: dict[tuple[str, str], float] = {}
    for row in [] if frame is None else frame.to_pylist():
        if row["symbol"] is not None and row["qty"] is not None:
            held[row["broker_account_id"], canonical_symbol(row["symbol"])] = row["qty"]
    rows: list[tuple[object, ...]] = [
        (timestamp, run_id, *key, qty, limit_qty(*key)) for key, qty in held.items()
    ]
    executed = [] if recording.fills is None else recording.fills.to_pylist()
    for fill in sorted(executed, key=lambda one: (one["filled_at"], one["fill_id"])):
        key = (fill["broker_account_id"], canonical_symbol(fill["symbol"]))
        if key not in held:
            rows.append((timestamp, run_id, *key, 0.0, limit_qty(*key)))
        units = units_of(fill["qty"])
        held[key] = (units_of(held.get(key, 0.0)) + (units if fill["side"] == "buy" else -units)) / UNITS
        rows.append((pd.Timestamp(fill["filled_at"]), run_id, *key, held[key], limit_qty(*key)))
    return rows
