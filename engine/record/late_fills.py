"""Executions that came after their run, or its session, had ended: kept beside the runs.

``late_fills/<session of the execution>/<run id>-<hash>.parquet`` has all executions of a run's open orders
that were known at a poll. The same executions are written once; several files may contain one execution.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import AlreadyWritten
from engine.record.formats import content_hash, read_table, table_bytes
from engine.record.objects import Objects

_PLACE = "late_fills/"
_HASH_LETTERS = 16


def keep(objects: Objects, trading_date: date, run_id: str, fills: pa.Table) -> None:
    """Keep executions of a run's orders; write nothing where there are none, or none are new."""
    if not fills.num_rows:
        return
    name = f"{run_id}-{content_hash(fills)[:_HASH_LETTERS]}.parquet"
    with suppress(AlreadyWritten):
        objects.put(f"{_PLACE}{trading_date.isoformat()}/{name}", table_bytes(fills))


def keep_by_session(objects: Objects, run_id: str, fills: pa.Table) -> None:
    """Keep executions of a run's orders (``fills.parquet``'s columns) by session."""
    sessions = fills["trading_date"].cast(pa.string())
    for session in sessions.unique().to_pylist():
        keep(objects, date.fromisoformat(session), run_id, fills.filter(pc.equal(sessions, session)))


def late_fills(objects: Objects, trading_date: date) -> Sequence[pa.Table]:
    """Return the executions of a session that were kept, with the ``run_id`` of their orders.

    One execution may be in several tables.
    """
    return [_read(objects, key) for key in objects.list(f"{_PLACE}{trading_date.isoformat()}/")]


def late_fills_of(objects: Objects, run_ids: Collection[str]) -> Sequence[pa.Table]:
    """Return the executions of the orders of some runs, of any session, as ``late_fills`` does."""
    return [_read(objects, key) for key in objects.list(_PLACE) if _run_id(key) in run_ids]


def _read(objects: Objects, key: str) -> pa.Table:
    table = read_table(key, objects.read(key))
    return table.append_column("run_id", pa.array([_run_id(key)] * table.num_rows, pa.string()))


def _run_id(key: str) -> str:
    return key.rpartition("/")[2].rpartition("-")[0]
