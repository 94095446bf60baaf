"""Outcomes of a run's intents, in one form for recorded and replayed ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from engine.model.quantity import Mask
from engine.model.symbols import canonical_symbol
from replay import market
from replay.recorded import Recording

RECORDED, DERIVED, SIMULATED, NOT_SENT = "recorded", "derived", "simulated", "not sent"
"""Where an outcome comes from."""

OUTCOME_COLUMNS = (
    "status",
    "reason",
    "order_status",
    "broker_order_id",
    "order_qty",
    "filled_qty",
    "filled_avg_price",
)
_TEXTS = OUTCOME_COLUMNS[:4]
_ORDER = (
    "symbol", "side", "qty", "notional", "order_type", "time_in_force", "limit_price", "stop_price",
    "reference_price", "action",
)  # fmt: skip


@dataclass(frozen=True)
class Outcomes:
    """The outcome of each intent of a run: ``OUTCOME_COLUMNS``, ``source`` and ``fill_price_source``.

    ``fills`` is None where single executions are unknown. ``differs``: the rows whose outcome isn't the
    recorded one. ``fills_differ``: the rows agree, and their executions don't.
    """

    frame: pd.DataFrame
    fills: pa.Table | None
    differs: Mask
    fills_differ: bool = False

    @property
    def simulated(self) -> int:
        """The number of simulated outcomes."""
        return int((self.frame["source"] == SIMULATED).sum())


def recorded_outcomes(recording: Recording) -> pd.DataFrame:
    """Return the recorded outcomes as ``OUTCOME_COLUMNS``; a missing text is ""."""
    return outcome_columns(recording.results)


def outcome_columns(results: pa.Table) -> pd.DataFrame:
    """Return the ``OUTCOME_COLUMNS`` of a results table."""
    rows = results.num_rows
    columns = {}
    for name in OUTCOME_COLUMNS:
        kind = pa.string() if name in _TEXTS else pa.float64()
        column = results[name].cast(kind) if name in results.schema.names else pa.nulls(rows, kind)
        columns[name] = pc.fill_null(column, "") if name in _TEXTS else column
    return pa.table(columns).to_pandas()


def estimated(recording: Recording, decided: pd.DataFrame) -> Outcomes:
    """Estimate the outcomes of a batch without running routing.

    An intent that was allowed and still is keeps its recorded outcome. One that is now refused has none.
    One that is newly allowed is filled by ``replay.market``; in a dry run it becomes ``dry_run``.
    """
    frame = recorded_outcomes(recording)
    frame["source"] = RECORDED
    frame["fill_price_source"] = ""
    then, allowed = recording.decisions["allowed"].to_numpy(), decided["allowed"].to_numpy()
    refused = np.flatnonzero(then & ~allowed)
    new = np.flatnonzero(~then & allowed)
    if len(refused):
        nothing: dict[str, Any] = {
            **dict.fromkeys(_TEXTS, ""), "status": "rejected", "filled_qty": 0.0, "order_qty": np.nan,
            "filled_avg_price": np.nan, "source": NOT_SENT,
        }  # fmt: skip
        for name, value in nothing.items():
            frame.iloc[refused, frame.columns.get_loc(name)] = value
        reasons = decided["reason"].take(refused).astype("str").to_numpy()
        frame.iloc[refused, frame.columns.get_loc("reason")] = reasons
    if len(new):
        rows = [_newly_allowed(recording, order) for order in _orders(recording, new)]
        for name, values in pd.DataFrame(rows).items():
            frame.iloc[new, frame.columns.get_loc(name)] = values.to_numpy()
    return Outcomes(frame, None, then != allowed)


def last_prices(recording: Recording) -> Mapping[str, float]:
    """Return the last price at which each symbol, in its canonical form, traded in a run, USD per share."""
    if recording.fills is None or not recording.fills.num_rows:
        return {}
    symbols = map(canonical_symbol, recording.fills["symbol"].cast(pa.string()).to_pylist())
    return dict(zip(symbols, recording.fills["price"].to_pylist(), strict=True))


def _newly_allowed(recording: Recording, order: Mapping[str, Any]) -> dict[str, Any]:
    dry_run: dict[str, Any] = {
        "status": "dry_run", "reason": "ok", "order_status": "", "broker_order_id": "", "order_qty": np.nan,
        "filled_qty": 0.0, "filled_avg_price": np.nan, "source": RECORDED, "fill_price_source": "",
    }  # fmt: skip
    if not recording.is_live:
        return dry_run
    if order["action"] == "cancel":
        return {**dry_run, "status": "cancel_requested", "source": SIMULATED}
    outcome = market.outcome(order, last_prices(recording).get(canonical_symbol(order["symbol"])))
    return {
        **dry_run,
        "status": "placed",
        "order_status": outcome.order_status,
        "order_qty": np.nan if order["qty"] is None else order["qty"],
        "filled_qty": outcome.filled_qty,
        "filled_avg_price": np.nan if outcome.price is None else outcome.price,
        "source": SIMULATED,
        "fill_price_source": outcome.price_source,
    }


def _orders(recording: Recording, rows: np.ndarray) -> list[dict[str, Any]]:
    orders: list[dict[str, Any]] = recording.batch.select(list(_ORDER)).take(pa.array(rows)).to_pylist()
    return orders


def differing(now: pd.DataFrame, then: pd.DataFrame) -> Mask:
    """Return the rows in which two frames of ``OUTCOME_COLUMNS`` differ."""
    differs = np.zeros(len(now), dtype=bool)
    for name in OUTCOME_COLUMNS:
        ours, theirs = now[name].to_numpy(), then[name].to_numpy()
        unequal = np.asarray(ours != theirs, dtype=bool)
        if name not in _TEXTS:
            unequal &= ~(pd.isna(ours) & pd.isna(theirs))
        differs |= unequal
    return differs
