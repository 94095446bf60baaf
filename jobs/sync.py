"""``sync``: bring what the broker says into the stores, without a run."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from engine.calendar import check_calendar, trading_date
from engine.errors import ConfigurationError, RunInProgress
from engine.open_orders import left_open
from engine.stores.chosen import check_addresses, check_emulator, check_stores_are_named
from engine.stores.lock import exclusive
from engine.syncing import Session, Synced, sync
from engine.world import World
from jobs.tables import say
from jobs.world import read_setup, termination_asked


def sync_stores(*, as_json: bool) -> int:
    """Bring positions, and what filled of earlier runs, into the stores; gives the exit code.

    Where a run is at work in this data folder there is nothing to do: it did so itself.
    """
    setup = read_setup()
    check_calendar(setup.settings.calendar)
    check_addresses(setup.settings.stores)
    if not setup.settings.dry_run:
        check_stores_are_named(setup.settings.stores)
        check_emulator(setup.settings.stores, setup.settings.gate.trading_host)
    if setup.settings.account is None:
        raise ConfigurationError(
            "EXEC_BROKER_ACCOUNT_ID is not set, and a sync has no intents to learn from what they call the "
            "account of the keys. Set it to that name."
        )
    stopping = termination_asked()
    try:
        with (
            exclusive(setup.data_dir, since=f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"),
            setup.venue(stopping) as venue,
        ):
            world = setup.world(progress=lambda *_: None, stopping=stopping, venue=venue)
            session = Session(trading_date(world.clock(), setup.settings.calendar), setup.settings.calendar)
            return _told(sync(world, venue, session), world, as_json=as_json)
    except RunInProgress as error:
        if as_json:
            click.echo(json.dumps({"exit_code": 0, "synced": False, "why": str(error)}))
        else:
            say(f"Nothing to do: {error} A live run syncs by itself.")
        return 0


def _told(synced: Synced, world: World, *, as_json: bool) -> int:
    still_open = sum(len(left.orders) for left in left_open(world.objects))
    working = len(synced.working_orders)
    if as_json:
        body = {"exit_code": 0, "synced": True, "account": synced.account, "positions": synced.positions}
        click.echo(json.dumps({**body, "working_orders": working, "left_open": still_open}))
        return 0
    say(
        f"{synced.account}: {synced.positions} positions and {working} working orders read from the broker, "
        f"at {synced.broker_time:%Y-%m-%d %H:%M:%S} UTC by its clock. Kept in {world.positions.place}; fills "
        f"in {world.ledger.place}."
    )
    if still_open:
        say(f"Of earlier runs, {still_open} orders are not over, or not all of their run.")
    return 0
