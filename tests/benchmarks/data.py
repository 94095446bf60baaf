"""Batches and files of any size, the same for the same size."""

from __future__ import annotations

import datetime
import io
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from engine import RiskConfig, RiskInputs
from engine.model.columns import microseconds
from engine.model.schema import intents_schema

ACCOUNTS, SYMBOLS = 50, 5_000
AS_OF = pd.Timestamp("2026-03-02T14:31:00Z")
SESSION = datetime.date(2026, 3, 2)
_ACCOUNT_NAMES = [f"account-{i:02d}" for i in range(ACCOUNTS)]
_SYMBOL_NAMES = [f"SY{i:04d}" for i in range(SYMBOLS)]


def batch(rows: int) -> pa.Table:
    """Return a sealed batch: 50 accounts, 5,000 symbols of which few are traded much."""
    random = np.random.default_rng(rows)
    schema = intents_schema()
    coded = {
        "strategy_id": (random.integers(0, 5, rows), [f"strategy-{i}" for i in range(5)]),
        "broker_account_id": (random.integers(0, ACCOUNTS, rows), _ACCOUNT_NAMES),
        "symbol": (_symbols(random, rows), _SYMBOL_NAMES),
        "side": (random.integers(0, 2, rows), ["buy", "sell"]),
        "asset_class": (np.zeros(rows, int), ["EQUITY"]),
        "order_type": (random.integers(0, 2, rows), ["market", "limit"]),
        "time_in_force": (np.zeros(rows, int), ["day"]),
        "order_class": (np.zeros(rows, int), ["simple"]),
        "action": (np.zeros(rows, int), ["new"]),
        "source_file": (np.zeros(rows, int), ["batch.parquet"]),
    }
    columns = {
        name: pa.DictionaryArray.from_arrays(codes.astype(np.int32), values)
        for name, (codes, values) in coded.items()
    }
    is_limit = coded["order_type"][0] == 1
    price = np.round(100 + random.random(rows) * 10, 2)
    created = microseconds(AS_OF) - 60_000_000 + np.arange(rows) // 1_000
    columns |= {
        "client_intent_id": _ids(random, rows),
        "qty": pa.array(random.integers(1, 200, rows) / 10),
        "limit_price": pa.array(price, mask=~is_limit),
        "extended_hours": pa.array(np.zeros(rows, dtype=bool)),
        "created_at": pa.array(created).cast(pa.timestamp("us", tz="UTC")),
        "metadata": pa.array(["{}"] * rows),
        "source_row": pa.array(np.arange(1, rows + 1)),
        "content_hash": pa.array(random.integers(0, 2**62, rows)),
    }
    arrays = [columns.get(field.name, pa.nulls(rows, field.type)) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def inputs() -> RiskInputs:
    """Return 30,000 positions, a count for every account and a few working orders."""
    random = np.random.default_rng(7)
    accounts = np.repeat(_ACCOUNT_NAMES, 600)
    symbols = np.tile(_SYMBOL_NAMES[:600], ACCOUNTS)
    positions = pd.DataFrame(
        {
            "broker_account_id": accounts,
            "symbol": symbols,
            "qty": random.integers(-80, 80, len(accounts)) * 1.0,
        }
    )
    trades = pd.DataFrame({"broker_account_id": _ACCOUNT_NAMES, "trades": random.integers(0, 10, ACCOUNTS)})
    working = pd.DataFrame(
        {
            "broker_account_id": _ACCOUNT_NAMES,
            "symbol": _SYMBOL_NAMES[:ACCOUNTS],
            "side": "buy",
            "remaining_qty": 1.0,
        }
    )
    return RiskInputs(
        as_of=AS_OF, trading_date=SESSION, positions=positions, daily_trades=trades, working_orders=working
    )


def limits(rows: int) -> RiskConfig:
    """Return limits that refuse a tenth or so of a batch, some rows by position and some by count."""
    return RiskConfig(max_daily_trades=max(5, int(rows / ACCOUNTS * 0.9)), max_position_qty=_position(rows))


def intent_file(kind: str, rows: int, *, bad: bool) -> bytes:
    """Return an intent file without ids; ``bad``: in every hundredth row a quantity or a side is wrong."""
    table = batch(rows)
    names = ["strategy_id", "broker_account_id", "symbol", "side", "qty", "order_type", "limit_price"]
    frame = table.select([*names, "created_at"]).to_pandas()
    text = frame.select_dtypes("category").columns
    frame[text] = frame[text].astype("str")
    if kind == "parquet":
        if bad:
            frame.loc[::200, "qty"] = -1.0
            frame.loc[100::200, "side"] = "long"
        sink = io.BytesIO()
        frame.to_parquet(sink, index=False)
        return sink.getvalue()
    frame["created_at"] = frame["created_at"].dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if bad:
        frame["qty"] = frame["qty"].astype(object)
        frame.loc[::200, "qty"] = "abc"
        frame.loc[100::200, "side"] = "long"
    if kind == "csv":
        return str(frame.to_csv(index=False)).encode()
    return str(frame.to_json(orient="records", lines=True)).encode()


def _position(rows: int) -> float:
    return float(max(100, round(rows / 1_000)))


def _symbols(random: np.random.Generator, rows: int) -> Any:
    return np.minimum((random.pareto(1.0, rows) * 50).astype(int), SYMBOLS - 1)


def _ids(random: np.random.Generator, rows: int) -> pa.Array:
    characters = random.bytes(16 * rows).hex().encode()
    starts = np.arange(0, 32 * rows + 1, 32, dtype=np.int64)
    buffers = [None, pa.py_buffer(starts), pa.py_buffer(characters)]
    return pa.Array.from_buffers(pa.large_string(), rows, buffers).cast(pa.string())
