"""``ledger rebuild``: rebuild the ledger from the record of this data folder's live runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.errors import BrokerError
from engine.ledger.documents import ADJUSTMENT
from engine.log import EventLog, wall_clock
from engine.reconciliation.adjustments import check_said
from engine.reconciliation.unbooked import LOOKED_BACK, executed_documents
from engine.record.kept_adjustments import kept_adjustments
from engine.record.objects import Objects
from engine.record.open_orders import left_open
from engine.record.run_folder import BATCH, RunFolders
from engine.safety.lock import exclusive
from engine.safety.recorded_ledger import lacking, recorded_documents
from engine.safety.trading_states import KeptStates
from jobs.setup import Setup, read_setup
from jobs.tables import print_json, print_table, say
from jobs.wording import counted, number

_SHOWN = 20


@dataclass(frozen=True)
class _Wanted:
    """The documents that the ledger should have: those of the record, and what the brokers executed besides.

    ``not_asked``: a sentence for each account whose broker could not be asked.
    """

    recorded: Sequence[Mapping[str, Any]]
    executed: Sequence[Mapping[str, Any]]
    not_asked: Sequence[str]


def rebuild(
    *, by: str | None, why: str | None, as_json: bool, clock: Callable[[], datetime] = wall_clock
) -> int:
    """Print what the ledger lacks of record and executions, and book it; return the exit code.

    The brokers are asked only with live settings. Without ``by`` and ``why`` nothing is changed; with them,
    the data folder's live runs use the stores of the settings afterwards. Idempotent. Raises ``EngineError``.
    """
    if by is not None or why is not None:
        check_said(by=by or "", why=why or "")
    setup = read_setup()
    now = clock()
    with exclusive(setup.data_dir, since=f"{now:%Y-%m-%d %H:%M:%S} UTC", modes=setup.modes):
        wanted = _wanted(setup, now)
        faults = setup.generations.faults()
        everything = [*wanted.recorded, *wanted.executed]
        missing = lacking(everything, setup.stores.ledger)
        if not as_json:
            _show(missing, len(everything), setup)
            _print_accepted(faults, wanted, is_accepted=by is not None)
        if by is not None and why is not None:
            setup.stores.ledger.write_ledger(missing)
            agent = setup.agent()
            agent.restore_halt()
            KeptStates.of_agent(agent).restore()
            setup.generations.adopt(by=by, why=why, at=now)
            _log(missing, faults, by, why)
    is_done = by is not None
    if as_json:
        body: dict[str, Any] = {"exit_code": 0, "recorded": len(everything), "lacking": missing}
        print_json({**body, "booked": is_done, "faults": faults, "not_asked": wanted.not_asked})
    elif is_done:
        say(
            f"{counted(len(missing), 'document is', 'documents are')} booked in {setup.stores.ledger.place}, "
            f"which live runs of this data folder use from now on. `execution-engine sync` compares it with "
            f"the broker, and books what filled since."
        )
    else:
        say("Nothing was changed. To book it, run this again with --by NAME --why TEXT.")
    return 0


def _wanted(setup: Setup, now: datetime) -> _Wanted:
    """Return what the ledger should have; the brokers know what a restored copy of the folder lacks."""
    recorded = [*recorded_documents(setup.objects, now=now), *kept_adjustments(setup.objects)]
    if setup.settings.dry_run:
        text = "EXEC_DRY_RUN is on: no broker was asked what it executed beyond the record."
        return _Wanted(recorded, [], [text])
    executed: list[Mapping[str, Any]] = []
    not_asked: list[str] = []
    known = {str(one["broker_order_id"]) for one in recorded} | _booked_later(setup.objects)
    names = _names(setup.objects)
    for access in setup.accesses():
        account = access.account or (names[0] if len(names) == 1 else "")
        if not account:
            not_asked.append(
                "the account of the keys has no name. Set EXEC_BROKER_ACCOUNT_ID, and run this again."
            )
            continue
        besides = known | _accepted(
            setup.stores.ledger.adjustments(account, since=(now - LOOKED_BACK).date())
        )
        try:
            executed += executed_documents(
                access.broker,
                account,
                besides=besides,
                calendar=setup.settings.calendar,
                now=now,
            )
        except BrokerError as error:
            not_asked.append(f"{account}: the broker could not be asked what it executed: {error}")
    return _Wanted(recorded, executed, not_asked)


def _booked_later(objects: Objects) -> set[str]:
    """Return the client ids of orders that a later run or sync books: of unfinished runs, or left open."""
    ids = {str(one.intent.client_intent_id) for left in left_open(objects) for one in left.orders}
    for run in RunFolders(objects).unfinished():
        if BATCH in run.names():
            ids.update(run.table(BATCH, ["client_intent_id"])["client_intent_id"].to_pylist())
    return ids


def _accepted(adjustments: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the broker's ids of the orders whose fills are in accepted adjustments."""
    accepted = (one.get("evidence") or {} for one in adjustments if one.get("filled_qty"))
    return {str(evidence.get("broker_order_id", "")) for evidence in accepted} - {""}


def _names(objects: Objects) -> list[str]:
    """Return the names of the accounts of this folder's live runs."""
    starts = (run.start for run in RunFolders(objects).all())
    return sorted({one["account"] for start in starts for one in start.get("venues", [])} - {""})


def _print_accepted(faults: Sequence[str], wanted: _Wanted, *, is_accepted: bool) -> None:
    """Print the faults of stores and folder that booking accepts, and what was not asked."""
    for fault in faults:
        text = "Accepted" if is_accepted else "Booking with --by and --why accepts this"
        say(f"{text}: {fault}", color="red")
    for text in wanted.not_asked:
        say(f"NOT ASKED: {text}", color="red")


def _show(missing: Sequence[Mapping[str, Any]], recorded: int, setup: Setup) -> None:
    place = setup.stores.ledger.place
    if not missing:
        say(f"{place} has all {counted(recorded, 'document')} that the record of this data folder calls for.")
        return
    rows = [
        (
            one["trading_date"],
            one["broker_account_id"],
            one["symbol"],
            one["side"],
            number(one["filled_qty"]),
            "adjustment" if ADJUSTMENT in one else one["broker_order_id"],
        )
        for one in missing[:_SHOWN]
    ]
    columns = ("session", "account", "symbol", "side", "filled", "order")
    print_table(
        "In the record or executed by the broker, and not in the ledger", columns, rows, right=("filled",)
    )
    more = len(missing) - len(rows)
    say(f"{more} more." if more else "")
    say(f"{place} lacks {len(missing)} of {counted(recorded, 'document')}, or has smaller fills in them.")


def _log(missing: Sequence[Mapping[str, Any]], faults: Sequence[str], by: str, why: str) -> None:
    EventLog().event(
        "ledger_rebuilt",
        f"{by} booked {counted(len(missing), 'document')} of the record: {why}",
        severity="NOTICE",
        by=by,
        why=why,
        documents=[one["broker_order_id"] for one in missing],
        given_up=list(faults),
    )
