"""Whether an account's ledger can be compared with the broker: not while a run has orders that it lacks."""

from __future__ import annotations

import pyarrow as pa

from engine.accounts.connection import Connection
from engine.accounts.other_folders import SharedOrders
from engine.record.journal import Journal
from engine.record.objects import Objects
from engine.record.run_folder import BATCH, RESULTS, START, RunFolder, RunFolders

_NOT_YET = "is not finished, and what it sent is not in the ledger yet"


def why_not_comparable(objects: Objects, connection: Connection) -> str:
    """Return which run sent orders of the account that are not in the ledger yet, and what to do; else ""."""
    runs = RunFolders(objects)
    for run in runs.unfinished():
        if RESULTS not in run.names() and connection.account in _accounts_attempted(run):
            return f"run {run.run_id} {_NOT_YET}. The next live run finishes it, once the account answers"
    for entry in SharedOrders(connection).sending(objects):
        if not entry.is_own:
            return (
                f"{entry.run_key} of another data folder, {entry.folder}, {_NOT_YET}. Start a live run "
                f"there, or, where that folder is lost: execution-engine stores forget-folder "
                f"{entry.folder} --by NAME --why TEXT"
            )
        if START not in runs.at(entry.run_key).names():
            return (
                f"{entry.run_key} {_NOT_YET}, and its folder is gone. Put it back from where it was moved, "
                f"and start a live run; or, where it is lost: execution-engine stores forget-folder "
                f"{entry.folder} --by NAME --why TEXT"
            )
    return ""


def _accounts_attempted(run: RunFolder) -> set[str]:
    """Return the accounts for which a run may have sent orders."""
    rows = sorted(Journal(run).attempted())
    if not rows:
        return set()
    accounts = run.table(BATCH, ["broker_account_id"])["broker_account_id"].cast(pa.string())
    return set(accounts.take(pa.array(rows)).to_pylist())
