"""The source of ``reconciled``: when the books of each account were last compared with the broker's.

A live run compares them itself. Where it could not, and in a dry run, the latest comparison is known from
the live runs of this data folder, or from the mark of the last sync, which has the session of the latest one
without a break: it then counts from the beginning of that session.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import islice

import pandas as pd

from engine.errors import EngineError
from engine.model.calendar import session_begins
from engine.record.run_folder import INPUTS
from engine.run.earlier_runs import earlier_runs
from engine.run.reading import Reading

RUNS_LOOKED_AT, SESSIONS = 50, 10
"""The live runs, and sessions, that are looked at for a comparison."""


def reconciled(reading: Reading) -> pd.DataFrame:
    """Return ``broker_account_id, reconciled_at`` (UTC); an account that was never compared has no row."""
    found = {account: at for account in reading.accounts if (at := _compared_now(account, reading))}
    others = [account for account in reading.accounts if account not in found]
    if others:
        found |= _compared_before(others, reading)
    rows = [(account, found[account]) for account in reading.accounts if account in found]
    frame = pd.DataFrame(rows, columns=["broker_account_id", "reconciled_at"])
    return frame.astype({"broker_account_id": "str"}).assign(
        reconciled_at=pd.to_datetime(frame["reconciled_at"], utc=True)
    )


def _compared_now(account: str, reading: Reading) -> datetime | None:
    book = reading.synced.get(account)
    return None if book is None or isinstance(book, EngineError) else book.compared_at


def _compared_before(accounts: Sequence[str], reading: Reading) -> dict[str, datetime]:
    """Return the latest known comparison of each account before this run.

    Raises ``DataUnavailable`` where the mark of an account's last sync can't be read.
    """
    reading.check_same("positions")
    found: dict[str, datetime] = {}
    live = earlier_runs(reading, mode="live", sessions=SESSIONS)
    for folder in islice(live, RUNS_LOOKED_AT):
        if len(found) == len(accounts):
            break
        if folder.objects.has(folder.key + INPUTS):
            compared = folder.json(INPUTS).get("compared", {})
            for account in accounts:
                if account in compared:
                    found.setdefault(account, datetime.fromisoformat(compared[account]))
    for account in accounts:
        mark = reading.context.positions.sync_mark(account)
        if mark is not None and mark.reconciled_on is not None:
            by_mark = session_begins(mark.reconciled_on, reading.calendar)
            found[account] = max(found.get(account, by_mark), by_mark)
    return found
