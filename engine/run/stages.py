"""A run: a folder, and the stages that write its files one after the other.

A run is resumed at its first missing file. A stage that writes several files is sealed by the last one; the
files of an interrupted stage are removed and written again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from engine.context import RunContext
from engine.errors import ConfigurationError, RunStopped, UsageError
from engine.log import EventLog
from engine.model.calendar import trading_date
from engine.record.run_folder import (
    ATTEMPTS,
    BATCH,
    CASSETTE,
    COLLECTED,
    DECISIONS,
    DUPLICATES,
    FILLS,
    INPUT_FRAMES,
    INPUTS,
    LIMIT_FRAMES,
    MANIFEST,
    RECONCILIATION,
    RESULTS,
    UTILISATION,
    RunFolder,
    RunFolders,
)
from engine.record.sealed_limits import config_of, keep_limits_file
from engine.risk.levels import EVERYTHING, judging
from engine.routing.dry_run import dry_run, lapsed
from engine.run.collect import collect
from engine.run.decide import decide
from engine.run.latching import set_latches
from engine.run.manifest import write_manifest
from engine.run.put_away import put_away
from engine.run.risk_inputs import accounts_of, record_inputs
from engine.run.starting import with_run_id
from engine.safety.kill_switch import KillSwitchState

if TYPE_CHECKING:  # a dry run sends nothing, and is short
    from engine.accounts.connection import Connections
    from engine.routing.controls import TradingControls
    from engine.run.books_read import BooksRead


@dataclass(frozen=True)
class Stage:
    """One step of a run; ``seal`` is its last file, ``drafts`` are the files before it."""

    seal: str
    do: Callable[[RunFolder, RunContext], None]
    drafts: tuple[str, ...] = ()


def to_finish(context: RunContext) -> list[RunFolder]:
    """Return the unfinished runs that this job can resume, oldest first.

    A dry run can't resume live ones, which need a broker; no job can resume runs whose accounts are down.
    """
    found = []
    context.runs.keep_finished()
    for folder in context.runs.unfinished():
        if why := _why_left(folder, context.connections):
            message = f"run {folder.run_id} {why}"
            context.log.event("run_left", message, severity="WARNING", run_id=folder.run_id)
        else:
            found.append(folder)
    return found


def in_doubt(runs: RunFolders) -> list[RunFolder]:
    """Return the unfinished live runs that may have sent orders, oldest first."""
    return [
        folder
        for folder in runs.unfinished()
        if folder.start["mode"] == "live" and any(name.startswith(ATTEMPTS) for name in folder.names())
    ]


def _why_left(folder: RunFolder, connections: Connections | None) -> str:
    if folder.start["mode"] == "dry":
        return ""
    if connections is None:
        return "is live and not finished; the next live run resumes it"
    begun_with = {begun["account"] for begun in folder.start["venues"]}
    concerned = begun_with.intersection(accounts_of(folder)) if BATCH in folder.names() else begun_with
    if concerned and concerned <= connections.down.keys():
        return "is not finished, and none of its accounts can be reached; a later run resumes it"
    return ""


def finish(
    folder: RunFolder, context: RunContext, *, until: str = MANIFEST, books: BooksRead | None = None
) -> None:
    """Do the missing stages of a run, up to and including the one that writes ``until``.

    ``books``: those that were read just before. Raises ``RunStopped`` where the job was asked to stop between
    two stages, and ``ConfigurationError`` where a live run was begun for an account or host without a
    connection.
    """
    context = _as_its_own(context, folder, books)
    keep_limits_file(folder)
    for stage in _stages(context, books):
        _hold_leases(context.connections)
        if context.stopping():
            raise RunStopped(
                f"Stopped before {stage.seal} of run {folder.run_id}; the next run goes on there."
            )
        names = folder.names()
        if stage.seal not in names:
            for draft in stage.drafts:
                if draft in names:
                    folder.remove(draft)
            stage.do(folder, context)
        elif stage.seal == CASSETTE:
            stage.do(folder, context)  # a killed job may have left its parts
        if stage.seal == BATCH:
            put_away(folder, context)
            if context.connections is not None:
                context = replace(context, connections=context.connections.named_by(accounts_of(folder)))
        if stage.seal == until:
            return


def _stages(context: RunContext, books: BooksRead | None) -> list[Stage]:
    stages = STAGES if context.connections is None else LIVE_STAGES
    reading = partial(record_inputs, books=books)
    return [replace(stage, do=reading) if stage.do is record_inputs else stage for stage in stages]


def route(folder: RunFolder, context: RunContext) -> None:
    """Write the ``results.parquet`` of a dry run, which sends nothing."""
    from engine.run.quotes_of_orders import with_quotes

    now = context.clock()
    context.progress("writing results", 0, 1)
    decisions = folder.table(DECISIONS).to_pandas()
    intents = folder.table(BATCH, ["created_at", "valid_until", "action"])
    results = dry_run(
        intents,
        decisions,
        lapsed=lapsed(intents, now, _oldest_s(folder)),
        decision_expired=_decision_expired(folder, now),
        kill_switch=_logged_switch(context.kill_switch, context.log),
    )
    results = with_quotes(results, folder, {})
    set_latches(folder, context, results)
    folder.write(RESULTS, results)
    accepted = results.filter(pc.equal(results["status"].cast(pa.string()), "dry_run"))["client_intent_id"]
    context.log.for_each(
        "dry_run_accept",
        len(accepted),
        lambda: ((f"{id_} would be sent", {"intent_id": id_}) for id_ in accepted.to_pylist()),
    )
    context.progress("writing results", 1, 1)


def _oldest_s(folder: RunFolder) -> float | None:
    """Return the age beyond which no intent is taken, None for any age."""
    levels = judging(config_of(folder).levels("intent_max_age_s"), EVERYTHING)
    return min((float(level.value) for level in levels if not level.except_in), default=None)


def _logged_switch(
    kill_switch: Callable[[], KillSwitchState], log: EventLog
) -> Callable[[], KillSwitchState]:
    """Return a reader of the kill switch that logs when it is on."""

    def read() -> KillSwitchState:
        switch = kill_switch()
        if switch.on:
            log.event("kill_switch_on", switch.why, severity="WARNING")
        return switch

    return read


def trade(folder: RunFolder, context: RunContext) -> None:
    """Send the allowed orders, wait for their outcomes, and write ``fills.parquet``, ledger and results.

    The ledger is written before the results are sealed: if the job dies at any point, the fills are in the
    ledger, or the resumed run requests them again.
    """
    from engine.accounts.other_folders import SharedOrders
    from engine.record import open_orders
    from engine.record.fills import fills_table, ledger_documents
    from engine.routing.accounts import trade_accounts
    from engine.routing.booking import FillBooking
    from engine.routing.outcomes import live_results
    from engine.run.quotes_of_orders import Sending, with_quotes

    sending = Sending.of(folder, context)
    controls = _controls(context)
    if sending.quotes is not None:
        controls = replace(controls, sending=sending.quotes.ask)
    traded = trade_accounts(folder, controls, _connections(context))
    calendar = folder.start["settings"]["calendar"]
    fills = fills_table(traded.orders, traded.fills, calendar=calendar, run_session=folder.trading_date)
    folder.write(FILLS, fills)
    documents = ledger_documents(traded.orders, traded.fills, calendar=calendar, now=context.clock())
    booking = FillBooking(context.ledger, context.objects, context.log)
    booked = booking.book(list(documents), trading_date=folder.trading_date, run_id=folder.run_id)
    traded.leave_open(booked.missing)
    connections = _connections(context).by_account
    for place, rows in traded.open_rows.items():
        open_orders.note(folder, place, traded.left_open(folder.run_id, rows), at=context.clock())
        if place.account in connections:
            intents = [traded.intents[row] for row in rows]
            resting = {str(one.client_intent_id): one.strategy_id for one in intents}
            SharedOrders(connections[place.account]).end(folder.objects, folder.key, resting)
    results = live_results(folder.table(DECISIONS).to_pandas(), traded.outcomes)
    results = with_quotes(results, folder, sending.end(context))
    set_latches(folder, context, results)
    folder.write(RESULTS, results)
    context.log.for_each("fill", fills.num_rows, lambda: _fill_events(fills))


def _controls(context: RunContext) -> TradingControls:
    from engine.routing.controls import TradingControls

    return TradingControls(
        kill_switch=context.kill_switch,
        trading_states=context.trading_states,
        log=context.log,
        clock=context.clock,
        closed_by=context.closed_by,
        stopping=context.stopping,
        progress=context.progress,
    )


def _fill_events(fills: pa.Table) -> Iterator[tuple[str, dict[str, Any]]]:
    for fill in fills.to_pylist():
        text = f"{fill['side']} {fill['qty']:g} {fill['symbol']} at {fill['price']:g}"
        yield (
            f"{fill['client_intent_id']}: {text}",
            {"intent_id": fill["client_intent_id"], "broker_order_id": fill["broker_order_id"]},
        )


def seal_cassette(folder: RunFolder, _: RunContext) -> None:
    """Write the broker's traffic from the journal to ``cassette.json``."""
    from engine.record.journal import Journal

    Journal(folder).seal()


_SNAPSHOT = tuple(f"{name}.parquet" for name in (*INPUT_FRAMES, *LIMIT_FRAMES))
_JUDGED = (
    Stage(BATCH, collect, drafts=(COLLECTED, DUPLICATES)),
    Stage(INPUTS, record_inputs, drafts=(*_SNAPSHOT, RECONCILIATION)),
    Stage(DECISIONS, decide, drafts=(UTILISATION,)),
)
STAGES = (*_JUDGED, Stage(RESULTS, route), Stage(MANIFEST, write_manifest))
LIVE_STAGES = (
    *_JUDGED,
    Stage(RESULTS, trade, drafts=(FILLS,)),
    Stage(CASSETTE, seal_cassette),
    Stage(MANIFEST, write_manifest),
)


def _decision_expired(folder: RunFolder, now: datetime) -> bool:
    settings = folder.start["settings"]
    decided_at = datetime.fromisoformat(folder.json(INPUTS)["read_at"])
    too_old = now - decided_at > timedelta(seconds=settings["decision_max_age_s"])
    return too_old or trading_date(now, settings["calendar"]) != folder.trading_date


def _hold_leases(connections: Connections | None) -> None:
    """Renew the leases of a live run's accounts: a stage may take longer than they last."""
    if connections is None:
        return
    from engine.accounts.connection import SEND_S
    from engine.safety.lease_holding import hold_all

    hold_all((connection.lease for connection in connections.at_work), seconds=SEND_S)


def _as_its_own(context: RunContext, folder: RunFolder, books: BooksRead | None) -> RunContext:
    """Return the context of one run: its id in the log, and when live its connections, recorded."""
    context = with_run_id(context, folder)
    if folder.start["mode"] == "dry":
        return replace(context, connections=None)
    from engine.record.journal import Journal

    journal = Journal(folder)
    if books is not None:
        journal.take_over(books.traffic)
    access = context.market_data and context.market_data.recorded(journal)
    connections = _sealed_with(_connections(context), folder).recorded(journal)
    return replace(context, connections=connections, market_data=access)


def _sealed_with(connections: Connections, folder: RunFolder) -> Connections:
    """Return the connections that a run began with. Raises ``ConfigurationError`` where one has changed."""
    now = {connection.key: connection for connection in connections.at_work}
    own, down = [], dict(connections.down)
    for begun in folder.start["venues"]:
        account = begun["account"]
        connection = now.pop(begun["account_key"], None)
        if connection is not None and account in {"", connection.account}:
            own.append(connection)
        elif connection is not None or account not in down:
            whose = f"{account or 'an account'} at {begun['host']}"
            is_now = ", ".join(f"{one.shown_as} at {one.broker.trading_host}" for one in connections.at_work)
            raise ConfigurationError(
                f"Run {folder.run_id} was begun for {whose} and is not finished, and the settings now name "
                f"{is_now}: its orders can only be looked up where they were sent. Set account, host and "
                f"keys back and run once, then change them."
            )
    for late in now.values():
        down[late.account] = f"{late.shown_as} could not be traded when the run began; drop its intents again"
    return replace(connections, at_work=tuple(own), down=down)


def _connections(context: RunContext) -> Connections:
    if context.connections is None:
        raise UsageError("a live run can only be finished live: set EXEC_DRY_RUN=0 and run again.")
    return context.connections
