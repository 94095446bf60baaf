"""``stores``: an operator's decisions on the stores of live runs and on lost data folders."""

from __future__ import annotations

from datetime import UTC, datetime

from engine.accounts.other_folders import SharedOrders, checked_folder
from engine.errors import UsageError
from engine.log import EventLog
from engine.reconciliation.adjustments import check_said
from engine.safety.lock import exclusive
from engine.safety.trading_states import KeptStates
from jobs.setup import read_setup, termination_asked
from jobs.tables import print_json, say


def adopt(*, by: str, why: str, as_json: bool) -> int:
    """Accept the stores of the settings for this data folder's live runs; return the exit code.

    Raises ``UsageError`` where nothing is wrong with them, and where they lack fills that the record has.
    """
    check_said(by=by, why=why)
    setup = read_setup()
    now = datetime.now(UTC)
    with exclusive(setup.data_dir, since=f"{now:%Y-%m-%d %H:%M:%S} UTC", modes=setup.modes):
        generations = setup.generations
        faults = generations.faults()
        if not faults:
            raise UsageError(
                "the stores are those of this data folder's live runs: there is nothing to adopt."
            )
        if unbooked := generations.unbooked():
            more = ", …" if len(unbooked) > 1 else ""
            raise UsageError(
                f"the ledger lacks fills of {len(unbooked)} orders that runs of this data folder sent "
                f"({unbooked[0]}{more}): limits would count too little. Nothing was changed; "
                f"`execution-engine ledger rebuild --by NAME --why TEXT` books them first."
            )
        agent = setup.agent()
        agent.restore_halt()
        KeptStates.of_agent(agent).restore()
        generations.adopt(by=by, why=why, at=now)
    places = list(dict.fromkeys(store.shown for store in generations.stores))
    EventLog().event(
        "stores_adopted", f"{by} adopted {' and '.join(places)}: {why}", severity="NOTICE", by=by, why=why
    )
    if as_json:
        print_json({"exit_code": 0, "adopted": places, "faults": faults})
        return 0
    for fault in faults:
        say(f"Accepted: {fault}")
    say(f"Live runs of this data folder now use {' and '.join(places)}.")
    return 0


def forget_folder(folder: str, *, by: str, why: str, as_json: bool) -> int:
    """Remove the entries of a lost data folder from the stores, at every account; return the exit code.

    Raises ``UsageError`` where nothing was removed.
    """
    lost = checked_folder(folder)
    setup = read_setup()
    now = datetime.now(UTC)
    with (
        exclusive(setup.data_dir, since=f"{now:%Y-%m-%d %H:%M:%S} UTC", modes=setup.modes),
        setup.connections(termination_asked(also_ctrl_c=True), to_trade=False) as connections,
    ):
        removed = {
            connection.shown_as: SharedOrders(connection).forget_folder(
                lost, setup.objects, by=by, why=why, at=now
            )
            for connection in connections.at_work
        }
    runs = [run for keys in removed.values() for run in keys]
    if not runs:
        raise UsageError(
            f"data folder {lost} has recorded nothing at {', '.join(removed)}, or its runs are in this "
            f"folder and a live run finishes them. Nothing was changed. Copy the identity from the message "
            f"of sync or run."
        )
    EventLog().event(
        "folder_forgotten",
        f"{by} gave up data folder {lost}: {why}",
        severity="NOTICE",
        by=by,
        why=why,
        runs=runs,
    )
    if as_json:
        print_json({"exit_code": 0, "folder": lost, "removed": removed})
        return 0
    for account, keys in removed.items():
        for key in keys:
            say(f"{account}: {key} is no longer waited for.")
    say("The next `execution-engine sync` compares the books, and reports what that folder sent as breaks.")
    return 0
