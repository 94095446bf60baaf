"""``stores``: what data folders that share stores know of each other."""

from __future__ import annotations

from datetime import UTC, datetime

from engine.errors import UsageError
from engine.log import EventLog
from engine.shared_orders import SharedOrders, checked_folder
from engine.stores.lock import exclusive
from jobs.tables import print_json, say
from jobs.world import read_setup, termination_asked


def forget_folder(folder: str, *, by: str, why: str, as_json: bool) -> int:
    """Remove what a lost data folder has recorded in the stores, at every account; return the exit code.

    Raises ``UsageError`` where nothing was removed.
    """
    lost = checked_folder(folder)
    setup = read_setup()
    now = datetime.now(UTC)
    with (
        exclusive(setup.data_dir, since=f"{now:%Y-%m-%d %H:%M:%S} UTC", modes=setup.modes),
        setup.venues(termination_asked(also_ctrl_c=True), to_trade=False) as venues,
    ):
        removed = {
            venue.shown_as: SharedOrders(venue).forget_folder(lost, setup.objects, by=by, why=why, at=now)
            for venue in venues.at_work
        }
    runs = [run for keys in removed.values() for run in keys]
    if not runs:
        raise UsageError(
            f"data folder {lost} has recorded nothing at {', '.join(removed)}, or its runs are here and a "
            f"live run finishes them. Nothing was changed; copy the identity from the message of sync or run."
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
    say(
        "The next `execution-engine sync` compares the books; what that folder sent shows up there as breaks."
    )
    return 0
