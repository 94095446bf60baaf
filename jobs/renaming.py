"""``stores rename-account``: give another name to a broker account that has been traded.

The ledger counts by name: trades of the session, open orders and unexplained differences would stay with the
old name, and limits would count from zero. So an account is renamed only while it has none of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from engine.accounts.names import Names
from engine.errors import UsageError
from engine.log import EventLog
from engine.model.calendar import check_calendar, trading_date
from engine.reconciliation.adjustments import check_said
from engine.record.open_orders import left_open
from engine.record.run_folder import RunFolders
from engine.safety.lease import Leasing
from engine.safety.lease_document import Holder
from engine.safety.lock import exclusive
from engine.settings.values import as_name
from jobs.setup import Setup, read_setup, termination_asked
from jobs.tables import print_json, say


def rename_account(old: str, new: str, *, by: str, why: str, as_json: bool) -> int:
    """Rename an account in the store of the ledger; return the exit code.

    Raises ``UsageError``, and changes nothing, where it can't be renamed now or ever.
    """
    check_said(by=by, why=why)
    new = as_name("NEW", new)
    setup = read_setup()
    check_calendar(setup.settings.calendar)
    names, now = Names(setup.stores.agent), datetime.now(UTC)
    stopping = termination_asked(also_ctrl_c=True)
    with exclusive(setup.data_dir, since=f"{now:%Y-%m-%d %H:%M:%S} UTC", modes=setup.modes):
        key = names.key_to_rename(old, new)
        leasing = Leasing(
            documents=setup.stores.agent,
            holder=Holder.of(setup.data_dir),
            log=EventLog(),
            stopping=stopping,
        )
        with leasing.acquire(key):
            if reasons := list(_in_the_way(setup, old, key, now)):
                raise UsageError(
                    f"{old} can't be renamed now: {'; '.join(reasons)}. Nothing was changed. Keep the name "
                    f"{old} until that is resolved (by `execution-engine cancel-all`, `sync`, or the next "
                    f"session), then run this again."
                )
            names.rename(old, new, by=by, why=why, at=now)
    place = setup.stores.agent.place
    message = f"{by} renamed account {old} to {new}: {why}"
    EventLog().event("account_renamed", message, severity="NOTICE", by=by, why=why, account=new)
    if as_json:
        print_json({"exit_code": 0, "from": old, "to": new, "kept_in": place})
        return 0
    say(f"The account {old} is now named {new} ({place}).")
    say(f"Write {new} in the settings (EXEC_BROKER_ACCOUNT_ID or EXEC_ACCOUNTS_FILE) and in the intents.")
    say(f"The next live run takes over what it holds as the opening balance of {new}.")
    return 0


def _in_the_way(setup: Setup, account: str, key: str, now: datetime) -> Iterator[str]:
    """Yield what would stay under the old name, each as a reason."""
    for run in RunFolders(setup.objects).unfinished():
        if run.start["mode"] == "live" and account in {begun["account"] for begun in run.start["venues"]}:
            yield f"run {run.run_id} is not finished"
    if left := sum(len(one.orders) for one in left_open(setup.objects, of_account=key)):
        yield f"{left} of its orders are open or unresolved"
    shared = setup.stores.agent.agent_document(f"orders-{key}") or {}
    if runs := {*shared.get("sending", {}), *shared.get("open", {})}:
        yield f"{len(runs)} runs of this or other data folders have orders of it open"
    session = trading_date(now, setup.settings.calendar)
    if trades := int(setup.stores.ledger.trade_counts([account], session)["trades"].sum()):
        yield f"it has {trades} trades in the session {session}, which count against its limit"
    mark = setup.stores.positions.sync_mark(account)
    if mark is not None and mark.open_breaks:
        yield f"broker and ledger differ in {mark.open_breaks} places"
