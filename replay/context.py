"""Identifying columns of recorded intents, which every frame of a replay has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from engine.model.quantity import Ints
from engine.model.symbols import canonical_symbol
from replay.outcomes import last_prices
from replay.recorded import Recording

INTENT = ("client_intent_id", "strategy_id", "broker_account_id", "symbol", "side", "action", "qty")
CONTEXT: Mapping[str, str] = {
    "run_id": "str", "trading_date": "datetime64[us]", **dict.fromkeys(INTENT[:-1], "str"), "qty": "float64",
    "price": "float64", "price_source": "str", "notional_usd": "float64",
}  # fmt: skip
"""The columns of ``context`` with their types, in their order."""
_PRICES = ("notional", "limit_price", "reference_price")


def context(recordings: Sequence[Recording], rows: Ints | None = None) -> dict[str, Any]:
    """Return the identifying columns of intents, with a notional where the record has a price.

    ``rows``: only these, numbered through the batches of all recordings; None for all.
    """
    batch = pa.concat_tables([one.batch.select([*INTENT, *_PRICES]) for one in recordings])
    fills = pa.concat_tables([one.results.select(["filled_avg_price"]) for one in recordings])
    run_codes = np.repeat(np.arange(len(recordings)), [one.batch.num_rows for one in recordings])
    if rows is not None:
        batch, fills, run_codes = batch.take(pa.array(rows)), fills.take(pa.array(rows)), run_codes[rows]
    intents = batch.cast(_context_schema()).to_pandas()
    names = pa.array(_distinct([one.run.run_id for one in recordings]), pa.string())
    return {
        "run_id": names.take(pa.array(run_codes)).to_pandas().astype("str"),
        "trading_date": sessions(recordings)[run_codes],
        **{name: intents[name] for name in INTENT},
        **_estimates(intents, fills["filled_avg_price"].to_numpy(), recordings, run_codes),
    }


@cache
def _context_schema() -> pa.Schema:
    return pa.schema(
        [
            *((name, pa.float64() if name == "qty" else pa.string()) for name in INTENT),
            *((name, pa.float64()) for name in _PRICES),
        ]
    )


def sessions(recordings: Sequence[Recording]) -> np.ndarray:
    """Return the session of each run."""
    return np.array([one.run.trading_date for one in recordings], dtype="datetime64[us]")


def _distinct(names: Sequence[str]) -> list[str]:
    """Return names with repeated ones numbered: runs of two data folders may have the same name."""
    seen: dict[str, int] = {}
    for name in names:
        seen[name] = seen.get(name, 0) + 1
    if len(seen) == len(names):
        return list(names)
    count: dict[str, int] = {}
    distinct = []
    for name in names:
        count[name] = count.get(name, 0) + 1
        distinct.append(name if count[name] == 1 else f"{name} ({count[name]})")
    return distinct


def _estimates(
    intents: pd.DataFrame, filled_at: np.ndarray, recordings: Sequence[Recording], run_codes: Ints
) -> dict[str, Any]:
    """Return ``price``, ``price_source`` and ``notional_usd`` by the best recorded price."""
    sources = {
        "fill": filled_at.astype(float),
        "reference": intents["reference_price"].to_numpy(dtype=float),
        "limit": intents["limit_price"].to_numpy(dtype=float),
        "last fill of the symbol": _last_price(intents["symbol"], recordings, run_codes),
    }
    price = np.full(len(intents), np.nan)
    source = np.full(len(intents), len(sources), dtype=np.int8)
    for code, values in enumerate(sources.values()):
        known = np.isnan(price) & ~np.isnan(values)
        price[known], source[known] = values[known], code
    notional = intents["notional"].to_numpy(dtype=float)
    qty = intents["qty"].to_numpy(dtype=float)
    return {
        "price": price,
        "price_source": np.array([*sources, ""], dtype=object)[source],
        "notional_usd": np.where(np.isnan(notional), qty * price, notional),
    }


def _last_price(symbols: pd.Series, recordings: Sequence[Recording], run_codes: Ints) -> np.ndarray:
    found = np.full(len(symbols), np.nan)
    for code, recording in enumerate(recordings):
        last = last_prices(recording)
        if last:
            rows = np.flatnonzero(run_codes == code)
            found[rows] = [last.get(canonical_symbol(str(symbol)), np.nan) for symbol in symbols.iloc[rows]]
    return found
