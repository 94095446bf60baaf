"""Breaks on disk: ``syncs/<session>/<timestamp>/reconciliation.parquet``, and the proposal to accept them.

A sync without breaks keeps nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime

from engine.errors import AlreadyWritten
from engine.log import EventLog
from engine.model.breaks import Break, breaks_in, breaks_table
from engine.reconciliation.adjustments import proposal
from engine.record.formats import read_table, table_bytes
from engine.record.objects import Objects

RECONCILIATION, PROPOSAL = "reconciliation.parquet", "proposal.csv"
_PLACE = "syncs/"


def keep_breaks(
    breaks: Sequence[Break], objects: Objects, log: EventLog, *, trading_date: date, at: datetime
) -> None:
    """Keep the breaks that a sync found in all accounts, and log them."""
    if not breaks:
        return
    key = f"{_PLACE}{trading_date.isoformat()}/{at:%Y%m%dT%H%M%SZ}/"
    with suppress(AlreadyWritten):  # by another sync in the same second, which found the same
        if any(not found.is_repaired for found in breaks):
            objects.put(key + PROPOSAL, proposal(breaks).encode())
        objects.put(key + RECONCILIATION, table_bytes(breaks_table(breaks)))
    for found in breaks:
        log.event(
            "late_fill" if found.is_repaired else "reconciliation_break",
            f"{found.said} {found.remedy}",
            severity="INFO" if found.is_repaired else "ERROR",
            account=found.broker_account_id,
            symbol=found.symbol,
            kind=found.kind,
        )


def latest_proposal(objects: Objects) -> str | None:
    """Return the key of the latest proposal, None where there never was a break."""
    found = [key for key in objects.list(_PLACE) if key.endswith(f"/{PROPOSAL}")]
    return max(found, default=None)


def latest_breaks(objects: Objects, account: str) -> list[Break]:
    """Return the open breaks of an account from the last sync that found any; an empty list without one."""
    keys = (key for key in reversed(objects.list(_PLACE)) if key.endswith(f"/{RECONCILIATION}"))
    for key in keys:
        breaks = breaks_in(read_table(key, objects.read(key)))
        own = [one for one in breaks if one.broker_account_id == account and not one.is_repaired]
        if own:
            return own
    return []


def breaks_found(objects: Objects, trading_date: date) -> list[Break]:
    """Return the breaks that the syncs of a session found: each once, as the last sync reported it."""
    keys = objects.list(f"{_PLACE}{trading_date.isoformat()}/")
    tables = (read_table(key, objects.read(key)) for key in sorted(keys) if key.endswith(RECONCILIATION))
    found: dict[tuple[str, ...], Break] = {}
    for table in tables:
        for one in breaks_in(table):
            about = one.broker_order_id or one.client_intent_id or one.activity_id
            found[one.broker_account_id, one.symbol, one.kind, about] = one
    return list(found.values())
