"""A run: a folder, and the stages that fill it one file after the other.

To resume a run is to look for the first missing file and to go on there. A stage that writes several files
is sealed by its last one; what an interrupted one left behind is removed and made again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from engine.context import RunContext
from engine.errors import ConfigurationError, RunStopped, UsageError
from engine.intents.identity import IdentityRules
from engine.model.calendar import check_calendar, trading_date
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
    MANIFEST,
    RECONCILIATION,
    RESULTS,
    RunFolder,
)
from engine.routing.dry_run import dry_run, lapsed
from engine.run.collect import collect
from engine.run.decide import decide
from engine.run.manifest import code_version, write_manifest
from engine.run.put_away import put_away
from engine.run.risk_inputs import accounts_of, record_inputs, stores_of
from engine.safety.kill_switch import KillSwitchState
from engine.settings.variables import RiskConfig, RunSettings
from engine.stores.chosen import check_addresses, check_stores_are_named
from engine.text.masking import shown_text

if TYPE_CHECKING:  # a dry run sends nothing, and is short
    from engine.accounts.connection import Connection, Connections
    from engine.run.books_read import BooksRead

_SLOT = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


@dataclass(frozen=True)
class Stage:
    """One step of a run; ``seal`` is its last file, ``drafts`` the files that it writes before."""

    seal: str
    do: Callable[[RunFolder, RunContext], None]
    drafts: tuple[str, ...] = ()


def start(
    settings: RunSettings, config: RiskConfig, context: RunContext, *, slot: str = "adhoc"
) -> RunFolder:
    """Begin a run: its folder with ``run.json``, which fixes what a resumed run must not change.

    Raises what ``check_start`` raises.
    """
    check_start(settings, slot=slot)
    connections = context.connections
    if settings.dry_run != (connections is None):
        raise UsageError("a live run needs venues to send its orders to, and a dry run has none.")
    as_of = context.clock()
    folder = context.runs.create(
        trading_date(as_of, settings.calendar),
        f"{as_of:%Y%m%dT%H%M%SZ}-{slot}",
        sealed_start(settings, config, context, slot=slot, as_of=as_of),
    )
    mode = folder.start["mode"]
    _with_run_id(context, folder).log.event(
        "run_started",
        f"run {folder.run_id} begins as a {mode} run",
        mode=mode,
        trading_date=folder.trading_date,
    )
    return folder


def sealed_start(
    settings: RunSettings, config: RiskConfig, context: RunContext, *, slot: str, as_of: datetime
) -> dict[str, Any]:
    """Return what ``run.json`` says of a run besides its id."""
    connections = context.connections
    return {
        "mode": "dry" if settings.dry_run else "live",
        "closed_by": context.closed_by,
        "slot": slot,
        "as_of": as_of.isoformat(),
        "accounts": sorted(config.accounts),
        "hosts": sorted({connection.broker.trading_host for connection in connections.at_work})
        if connections
        else [],
        "venues": [_as_sealed(connection) for connection in connections.at_work] if connections else [],
        "stores": stores_of(context),
        "config": {**asdict(config), "accounts": sorted(config.accounts)},
        "settings": {
            "calendar": settings.calendar,
            "inbox_settle_s": settings.inbox_settle_s,
            "decision_max_age_s": settings.decision_max_age_s,
            "positions_max_age_s": settings.positions_max_age_s,
            "intake": asdict(settings.intake),
            "inbox_tz": settings.inbox_tz,
        },
        "identity": IdentityRules.of(settings.identity_ignores).record(),
        "code_version": code_version(),
    }


def check_start(settings: RunSettings, *, slot: str = "adhoc") -> None:
    """Refuse what can't run, before anything is touched.

    Raises ``UsageError`` for a slot that is no name, ``ConfigurationError`` for an unknown calendar and for
    a live run on stores that nobody named.
    """
    if not _SLOT.fullmatch(slot):
        raise UsageError(
            f"slot is {shown_text(slot)}; expected a name of a-z, 0-9 and -, such as open or 1545."
        )
    check_calendar(settings.calendar)
    check_addresses(settings.stores)
    if settings.dry_run:
        return
    check_stores_are_named(settings.stores)
    if settings.disk_is_lost:
        raise ConfigurationError(
            f"EXEC_DRY_RUN is 0, CLOUD_RUN_JOB says that this is a Cloud Run job, and EXEC_DATA_DIR is "
            f"the local folder {settings.data_dir}, which vanishes with it: what was sent would be "
            f"forgotten. Run live where the disk stays; a dry run may run here."
        )
    if settings.gate.heartbeat_document and settings.stores.firestore_project is None:
        raise ConfigurationError(
            f"EXEC_HEARTBEAT_DOC is {shown_text(settings.gate.heartbeat_document)}, a document in "
            f"Firestore, and no "
            f"project is set. Set FIREBASE_PROJECT_ID, or unset EXEC_HEARTBEAT_DOC."
        )


def to_finish(context: RunContext) -> list[RunFolder]:
    """Give the unfinished runs that this job can go on with, oldest first.

    It leaves live runs where it is a dry one, which can't ask a broker, and those of accounts that are down.
    """
    found = []
    context.runs.keep_finished()
    for folder in context.runs.unfinished():
        if why := _why_left(folder, context.connections):
            said = f"run {folder.run_id} {why}"
            context.log.event("run_left", said, severity="WARNING", run_id=folder.run_id)
        else:
            found.append(folder)
    return found


def in_doubt(context: RunContext) -> list[RunFolder]:
    """Return the unfinished live runs that may have sent orders, oldest first."""
    return [
        folder
        for folder in context.runs.unfinished()
        if folder.start["mode"] == "live" and any(name.startswith(ATTEMPTS) for name in folder.names())
    ]


def _why_left(folder: RunFolder, connections: Connections | None) -> str:
    if folder.start["mode"] == "dry":
        return ""
    if connections is None:
        return "is a live one and not finished; the next live run goes on with it"
    begun_with = {begun["account"] for begun in folder.start["venues"]}
    concerned = begun_with.intersection(accounts_of(folder)) if BATCH in folder.names() else begun_with
    if concerned and concerned <= connections.down.keys():
        return "is not finished, and no account of it can be asked; a later run goes on with it"
    return ""


def finish(
    folder: RunFolder, context: RunContext, *, until: str = MANIFEST, books: BooksRead | None = None
) -> None:
    """Do what is missing of a run, up to and including the file ``until``.

    ``books`` are those that were read right before. Raises ``RunStopped`` where the job was asked to stop
    between two stages, and ``ConfigurationError`` where a live run was begun for another account than those
    of the venues, or at another host.
    """
    context = _as_its_own(context, folder, books)
    for stage in _stages(context, books):
        _hold_leases(context)
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
            stage.do(folder, context)  # whose pieces a killed job may have left
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
    """Carry the decisions out, which in a dry run is to say so, and write ``results.parquet``."""
    now = context.clock()
    context.progress("writing results", 0, 1)
    decisions = folder.table(DECISIONS).to_pandas()
    intents = folder.table(BATCH, ["created_at", "valid_until", "action"])
    results = dry_run(
        intents,
        decisions,
        lapsed=lapsed(intents, now, folder.start["config"]["intent_max_age_s"]),
        decision_expired=_decision_expired(folder, now),
        kill_switch=_told(context),
    )
    folder.write(RESULTS, results)
    accepted = results.filter(pc.equal(results["status"].cast(pa.string()), "dry_run"))["client_intent_id"]
    context.log.for_each(
        "dry_run_accept",
        len(accepted),
        lambda: ((f"{id_} would be sent", {"intent_id": id_}) for id_ in accepted.to_pylist()),
    )
    context.progress("writing results", 1, 1)


def _told(context: RunContext) -> Callable[[], KillSwitchState]:
    """Give the kill switch, which tells the log when it is on."""

    def read() -> KillSwitchState:
        switch = context.kill_switch()
        if switch.on:
            context.log.event("kill_switch_on", switch.why, severity="WARNING")
        return switch

    return read


def trade(folder: RunFolder, context: RunContext) -> None:
    """Send what was allowed, wait for what becomes of it, and write ``fills.parquet``, ledger and results.

    The ledger is written before the results are sealed: whenever the job dies, the fills are in it, or the
    resumed run asks for them again.
    """
    from engine.accounts.other_folders import SharedOrders
    from engine.record import open_orders
    from engine.record.fills import fills_table, ledger_documents
    from engine.routing.accounts import trade_accounts
    from engine.routing.booking import book
    from engine.routing.outcomes import live_results

    traded = trade_accounts(folder, context, _venues(context))
    calendar = folder.start["settings"]["calendar"]
    fills = fills_table(traded.orders, traded.fills, calendar=calendar, run_session=folder.trading_date)
    folder.write(FILLS, fills)
    documents = ledger_documents(traded.orders, traded.fills, calendar=calendar, now=context.clock())
    booked = book(context, list(documents), trading_date=folder.trading_date, run_id=folder.run_id)
    traded.leave_open(booked.missing)
    connections = _venues(context).by_account
    for place, rows in traded.open_rows.items():
        open_orders.note(folder, place, traded.left_open(folder.run_id, rows), at=context.clock())
        if place.account in connections:
            ids = [str(traded.intents[row].client_intent_id) for row in rows]
            SharedOrders(connections[place.account]).end(folder.objects, folder.key, ids)
    folder.write(RESULTS, live_results(folder.table(DECISIONS).to_pandas(), traded.outcomes))
    context.log.for_each("fill", fills.num_rows, lambda: _fill_events(fills))


def _fill_events(fills: pa.Table) -> Iterator[tuple[str, dict[str, Any]]]:
    for fill in fills.to_pylist():
        said = f"{fill['side']} {fill['qty']:g} {fill['symbol']} at {fill['price']:g}"
        yield (
            f"{fill['client_intent_id']}: {said}",
            {"intent_id": fill["client_intent_id"], "broker_order_id": fill["broker_order_id"]},
        )


def seal_cassette(folder: RunFolder, _: RunContext) -> None:
    """Write the broker's traffic, all of which is in the journal by now, as ``cassette.json``."""
    from engine.record.journal import Journal

    Journal(folder).seal()


_JUDGED = (
    Stage(BATCH, collect, drafts=(COLLECTED, DUPLICATES)),
    Stage(INPUTS, record_inputs, drafts=(*(f"{name}.parquet" for name in INPUT_FRAMES), RECONCILIATION)),
    Stage(DECISIONS, decide),
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


def _hold_leases(context: RunContext) -> None:
    """Hold the leases of a live run's accounts: a stage may take longer than they last."""
    if context.connections is None:
        return
    from engine.accounts.connection import SEND_S
    from engine.safety.lease_holding import hold_all

    hold_all((connection.lease for connection in context.connections.at_work), seconds=SEND_S)


def _as_its_own(context: RunContext, folder: RunFolder, books: BooksRead | None) -> RunContext:
    """Give the world as one run sees it: its id in the log, and in a live run its accounts and its record."""
    context = _with_run_id(context, folder)
    if folder.start["mode"] == "dry":
        return replace(context, connections=None)
    from engine.record.journal import Journal

    journal = Journal(folder)
    if books is not None:
        journal.take_over(books.traffic)
    return replace(context, connections=_sealed_with(_venues(context), folder).recorded(journal))


def _sealed_with(connections: Connections, folder: RunFolder) -> Connections:
    """Give the venues that a run was begun with. Raises ``ConfigurationError`` where one is another now."""
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
                f"Run {folder.run_id} was begun for {whose} and is not finished, and the settings are those "
                f"of {is_now} now: its orders can only be looked up where they were sent. Set account, host "
                f"and keys back and run once, then change them."
            )
    for late in now.values():
        down[late.account] = f"{late.shown_as} could not be traded when the run began; drop its intents again"
    return replace(connections, at_work=tuple(own), down=down)


def _as_sealed(connection: Connection) -> dict[str, str]:
    return {
        "account": connection.account,
        "host": connection.broker.trading_host,
        "account_key": connection.key,
    }


def _venues(context: RunContext) -> Connections:
    if context.connections is None:
        raise UsageError("a live run can only be finished live: set EXEC_DRY_RUN=0 and run again.")
    return context.connections


def _with_run_id(context: RunContext, folder: RunFolder) -> RunContext:
    return replace(context, log=context.log.with_fields(run_id=folder.run_id))
