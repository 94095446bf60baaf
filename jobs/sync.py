"""``sync``: bring the broker's positions and fills into the stores, without a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from engine.context import RunContext
from engine.errors import ConfigurationError, EngineError, RunInProgress
from engine.log import EventLog
from engine.model.breaks import breaks_table
from engine.model.calendar import check_calendar, trading_date
from engine.reconciliation.session import Session
from engine.reconciliation.sync import Synced, sync_all
from engine.record.open_orders import left_open
from engine.routing.booking import what_is_unkept
from engine.run.manifest import EXIT_UNRESOLVED
from engine.run.stages import in_doubt
from engine.safety.lock import exclusive
from engine.stores.chosen import check_addresses, check_stores_are_named
from jobs.breaks import print_breaks, proposed
from jobs.setup import Setup, read_setup, termination_asked
from jobs.tables import print_json, say
from jobs.wording import counted

_Also = Callable[[Setup], dict[str, Any]]


def sync_stores(*, as_json: bool, also: _Also = lambda _: {}) -> int:
    """Bring positions and late fills into the stores; return the exit code.

    Does nothing while a run is at work in this data folder: a run syncs by itself. ``also`` returns further
    keys for the JSON output.
    """
    setup = read_setup()
    check_calendar(setup.settings.calendar)
    check_addresses(setup.settings.stores)
    if not setup.settings.dry_run:
        check_stores_are_named(setup.settings.stores)
        setup.check_emulator()
    stopping = termination_asked(also_ctrl_c=True)
    try:
        with (
            exclusive(setup.data_dir, since=f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC", modes=setup.modes),
            _on_its_stores(setup),
            setup.connections(stopping, to_trade=False) as connections,
        ):
            if "" in connections.by_account:
                raise ConfigurationError(
                    "EXEC_BROKER_ACCOUNT_ID is not set, no run has named the account of the keys yet, and a "
                    "sync has no intents to learn its name from. Set it to what intents call the account."
                )
            context = setup.context(progress=lambda *_: None, stopping=stopping, connections=connections)
            session = Session(trading_date(context.clock(), setup.settings.calendar), setup.settings.calendar)
            answers = sync_all(context, connections, session)
            return _printed(answers, context, also=lambda: also(setup), as_json=as_json)
    except RunInProgress as error:
        if as_json:
            print_json({"exit_code": 0, "synced": False, "why": str(error), **also(setup)})
        else:
            say(f"Nothing to do: {error} A live run syncs by itself.")
        return 0


@contextmanager
def _on_its_stores(setup: Setup) -> Iterator[None]:
    """With live settings, begin a generation of folder and stores, and another at the end.

    Raises ``StoreChanged`` where the stores are not those of this data folder's live runs, or are older.
    """
    is_live = not setup.settings.dry_run
    if is_live:
        setup.generations.advance(by=setup.agent().by, at=datetime.now(UTC))
    try:
        yield
    except EngineError:  # something may have been booked
        _end(setup, is_live)
        raise
    _end(setup, is_live)


def _end(setup: Setup, is_live: bool) -> None:
    if is_live:
        setup.generations.end(by=setup.agent().by, at=datetime.now(UTC), log=EventLog())


def _printed(
    answers: dict[str, Synced | EngineError],
    context: RunContext,
    *,
    also: Callable[[], dict[str, Any]],
    as_json: bool,
) -> int:
    """Print the result of each account; return the exit code."""
    left = [order for one in left_open(context.objects) for order in one.orders]
    failed = {account: str(answer) for account, answer in answers.items() if isinstance(answer, EngineError)}
    failed |= context.connections.down if context.connections else {}
    synced = [answer for answer in answers.values() if not isinstance(answer, EngineError)]
    if not synced:
        raise EngineError(" ".join(f"{account}: {why}" for account, why in failed.items()))
    unresolved = sum(order.status == "unresolved" for order in left)
    unfinished = [run.run_id for run in context.runs.unfinished()]
    breaks = [found for one in synced for found in one.breaks]
    not_compared = {one.account: one.not_compared for one in synced if one.not_compared}
    open_breaks = [found for found in breaks if not found.is_repaired]
    doubtful = [folder.run_id for folder in in_doubt(context.runs)]
    unkept = [key for one in synced for key in one.unkept]
    unclear = failed or unresolved or open_breaks or not_compared or doubtful or unkept
    exit_code = EXIT_UNRESOLVED if unclear else 0
    if as_json:
        body = {"exit_code": exit_code, "synced": not failed, "failed": failed, "left_open": len(left)}
        body |= {"unresolved": unresolved, "unfinished_runs": unfinished, "in_doubt": doubtful}
        body |= {"not_compared": not_compared, "unkept": unkept}
        body |= {
            "breaks": breaks_table(breaks).to_pylist(),
            "proposal": proposed(context.objects, open_breaks),
        }
        body["accounts"] = [
            {"account": one.account, "positions": one.positions, "working_orders": len(one.working_orders)}
            for one in synced
        ]
        print_json(body | also())
        return exit_code
    for one in synced:
        say(
            f"{one.account}: {counted(one.positions, 'position')} read from the broker, at "
            f"{one.broker_time:%Y-%m-%d %H:%M:%S} UTC by its clock; "
            f"{counted(len(one.working_orders), 'order counts', 'orders count')} as working."
        )
    for account, why in failed.items():
        say(f"{account}: NOT SYNCED. {why}", color="red")
    say(f"Kept in {context.positions.place}; fills in {context.ledger.place}.")
    for account, why in not_compared.items():
        say(f"NOT COMPARED: broker and ledger of {account}: {why}.", color="red")
    for message in what_is_unkept(context.objects, unkept):
        say(f"NOT WHOLLY IN THE LEDGER: {message}", color="red")
    print_breaks(breaks, proposed(context.objects, open_breaks))
    if len(left) > unresolved:
        say(f"Orders of earlier runs that are open, or whose run is unfinished: {len(left) - unresolved}.")
    if unresolved:
        say(f"UNRESOLVED: {unresolved} orders that the broker does not know, at least not yet.", color="red")
    if unfinished:
        say(f"Not finished, the next live run resumes it: {', '.join(unfinished)}.", color="red")
    return exit_code
