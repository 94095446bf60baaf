"""What became of a run's intents, in a form that then and now can be laid side by side."""

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

SAID = ("status", "reason", "order_status", "broker_order_id", "order_qty", "filled_qty", "filled_avg_price")
_TEXTS = SAID[:4]
_ORDER = (
    "symbol", "side", "qty", "notional", "order_type", "time_in_force", "limit_price", "stop_price",
    "reference_price", "action",
)  # fmt: skip


@dataclass(frozen=True)
class Outcomes:
    """What became of one run's intents, row by row: columns ``SAID``, ``source``, ``fill_price_source``.

    ``fills`` is None where they are not known one by one. ``differs``: the rows that came to something else
    than was recorded. ``fills_differ``: rows agree, and their executions don't.
    """

    frame: pd.DataFrame
    fills: pa.Table | None
    differs: Mask
    fills_differ: bool = False

    @property
    def simulated(self) -> int:
        """How many of them are simulated."""
        return int((self.frame["source"] == SIMULATED).sum())


def recorded_outcomes(recording: Recording) -> pd.DataFrame:
    """Give what was recorded, as the columns of ``SAID``; text is "" where nothing was said."""
    return said_in(recording.results)


def said_in(results: pa.Table) -> pd.DataFrame:
    """Give the columns of ``SAID`` of a results table."""
    rows = results.num_rows
    columns = {}
    for name in SAID:
        kind = pa.string() if name in _TEXTS else pa.float64()
        column = results[name].cast(kind) if name in results.schema.names else pa.nulls(rows, kind)
        columns[name] = pc.fill_null(column, "") if name in _TEXTS else column
    return pa.table(columns).to_pandas()


def estimated(recording: Recording, decided: pd.DataFrame) -> Outcomes:
    """Say what would have become of a batch, without asking a broker's code.

    What was sent then and is allowed now came to what was recorded; what is refused now came to nothing;
    what is allowed only now is filled by ``replay.market``, or in a dry run would be sent.
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
    said: dict[str, Any] = {
        "status": "dry_run", "reason": "ok", "order_status": "", "broker_order_id": "", "order_qty": np.nan,
        "filled_qty": 0.0, "filled_avg_price": np.nan, "source": RECORDED, "fill_price_source": "",
    }  # fmt: skip
    if not recording.is_live:
        return said
    if order["action"] == "cancel":
        return {**said, "status": "cancel_requested", "source": SIMULATED}
    came_to = market.outcome(order, last_prices(recording).get(canonical_symbol(order["symbol"])))
    return {
        **said,
        "status": "placed",
        "order_status": came_to.order_status,
        "order_qty": np.nan if came_to.qty is None else came_to.qty,
        "filled_qty": came_to.filled_qty,
        "filled_avg_price": np.nan if came_to.price is None else came_to.price,
        "source": SIMULATED,
        "fill_price_source": came_to.price_source,
    }


def _orders(recording: Recording, rows: np.ndarray) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = recording.batch.select(list(_ORDER)).take(pa.array(rows)).to_pylist()
    return told


def differing(now: pd.DataFrame, then: pd.DataFrame) -> Mask:
    """Mark the rows in which two frames of the columns of ``SAID`` say something else."""
    differs = np.zeros(len(now), dtype=bool)
    for name in SAID:
        ours, theirs = now[name].to_numpy(), then[name].to_numpy()
        unequal = np.asarray(ours != theirs, dtype=bool)
        if name not in _TEXTS:
            unequal &= ~(pd.isna(ours) & pd.isna(theirs))
        differs |= unequal
    return differs
