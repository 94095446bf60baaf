"""What must hold after each command of a week, by the brokers' own books."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pandas as pd

from engine.record.run_folder import BATCH, RunFolder
from tests.desk import Row

_WORKS = {"new", "accepted", "partially_filled", "pending_new", "held", "pending_cancel"}
_FOREIGN = {"manual_trade", "unknown_order"}
_NEW_YORK = "America/New_York"


@dataclass(frozen=True)
class AtBroker:
    """What a broker has of an account: ``counted`` orders of ours, that work or first filled in the session.

    ``moving``: symbols in which orders may still fill at any time.
    """

    counted: frozenset[str]
    positions: dict[str, Decimal]
    moving: frozenset[str]

    @classmethod
    def of(cls, state: dict[str, Any], ours: Set[str], session: str) -> AtBroker:
        first: dict[str, str] = {}
        for fill in state["fills"]:
            first.setdefault(fill["order_id"], _session(fill["transaction_time"]))
        own = [order for order in state["orders"] if order["client_order_id"] in ours]
        counted = [one["client_order_id"] for one in own if _is_counted(one, first, session)]
        positions = {row["symbol"]: Decimal(row["qty"]) for row in state["positions"] if Decimal(row["qty"])}
        moving = {order["symbol"] for order in state["orders"] if order["status"] in _WORKS}
        return cls(frozenset(counted), positions, frozenset(moving))


def symbols_of(runs: Iterable[RunFolder]) -> list[list[str]]:
    """Return account and symbol of each row of the batches of runs."""
    batches = [run.table(BATCH, ["broker_account_id", "symbol"]).to_pylist() for run in runs]
    return [[row["broker_account_id"], row["symbol"]] for batch in batches for row in batch]


def while_finishing(before: dict[str, AtBroker], symbols: Iterable[Sequence[str]]) -> dict[str, AtBroker]:
    """Return what the brokers had before a command that may finish earlier runs first: their symbols move."""
    rows = list(symbols)
    return {
        account: replace(had, moving=had.moving | {symbol for of, symbol in rows if of == account})
        for account, had in before.items()
    }


def of_decisions(run: RunFolder, before: dict[str, AtBroker]) -> Iterator[str]:
    """Compare what a run has decided on with what the brokers had before it."""
    columns = ["broker_account_id", "symbol", "action"]
    batch = run.table("intents.parquet", columns).to_pandas().astype(object)
    figures = run.table("decisions.parquet", ["trades_today", "current_qty"]).to_pandas()
    rows = pd.concat([batch, figures], axis=1).to_dict("records")
    rows = [row for row in rows if row["action"] != "cancel"]
    for account, had in before.items():
        own = [row for row in rows if row["broker_account_id"] == account]
        if own and own[0]["trades_today"] < len(had.counted):  # NaN is unavailable, which refuses
            yield (
                f"limit: {run.run_id} counted {own[0]['trades_today']} orders of {account}, the broker has "
                f"{len(had.counted)}: {sorted(had.counted)}"
            )
        yield from _of_positions(run, own, had)


def _of_positions(run: RunFolder, rows: list[Row], had: AtBroker) -> Iterator[str]:
    seen: set[str] = set()
    for row in rows:
        symbol, qty = row["symbol"], row["current_qty"]
        if symbol in seen or symbol in had.moving:
            continue
        seen.add(symbol)
        if not pd.isna(qty) and Decimal(str(qty)) != had.positions.get(symbol, Decimal(0)):
            yield f"position: {run.run_id} took {symbol} for {qty}, the broker has {had.positions}"


def of_breaks(breaks: list[Row], ours: dict[str, str]) -> Iterator[str]:
    """Look for orders of ours, by the broker's id, among those that breaks call somebody else's."""
    for one in breaks:
        if one["kind"] in _FOREIGN and one["broker_order_id"] in ours:
            yield f"foreign: {ours[one['broker_order_id']]} is ours, and a break says {one}"


def _is_counted(order: Row, first: dict[str, str], session: str) -> bool:
    return order["status"] in _WORKS or first.get(order["id"]) == session


def _session(written: str) -> str:
    """Return the session of a time of day; orders of a week are sent and filled around noon."""
    return str(pd.Timestamp(written).tz_convert(_NEW_YORK).date())
