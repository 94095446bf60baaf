"""The risk inputs: a snapshot of the accounts, read once from the stores, recorded and read back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from engine.context import RunContext
from engine.errors import AccountsInDoubt, DataUnavailable, EngineError
from engine.model.breaks import breaks_table
from engine.model.breaks import unreconciled as open_in
from engine.model.schema import inputs_schemas
from engine.record.run_folder import (
    BATCH,
    INPUT_FRAMES,
    INPUTS,
    RECONCILIATION,
    STANDING_FRAMES,
    RunFolder,
)
from engine.record.sealed_limits import config_of
from engine.risk.inputs import RiskInputs
from engine.run import input_sources
from engine.run.input_sources import sources_of, standing_sources
from engine.run.reading import IDENTITIES, Reading, check_any_known
from engine.safety.kill_switch import KillSwitchState
from engine.settings.variables import PriceSettings
from engine.stores.chosen import identity_of
from engine.waiting.bounded import Answer, at_once
from engine.waiting.once import Once

if TYPE_CHECKING:  # a dry run has no broker, and is short
    from engine.reconciliation.sync import Synced
    from engine.run.books_read import BooksRead

_SWITCH = "the kill switch"


@dataclass(frozen=True)
class InputsRead:
    """The inputs read from the stores and the kill switch.

    ``tables``: the available input frames by name, in the schema of the record. ``unavailable``: why the
    other frames are unavailable, by name. ``identities``: those that the sources checked.
    """

    tables: Mapping[str, pa.Table]
    unavailable: dict[str, str]
    switch: KillSwitchState
    identities: Sequence[Mapping[str, Any]] = ()


def read_inputs(
    sources: Mapping[str, Callable[[], pd.DataFrame]],
    kill_switch: Callable[[], KillSwitchState],
    *,
    timeout_s: float,
) -> InputsRead:
    """Read all frames and the kill switch in parallel, each with a deadline of ``timeout_s`` seconds.

    A source is unavailable if it raises, misses the deadline, or returns a frame that can't be recorded; a
    kill switch that can't be read is on. A standing frame without rows is left out: there is nothing to
    record. Batches, ``ExecutionEngine`` and rehearsals all use this function.
    """
    answers = at_once(
        {**sources, _SWITCH: kill_switch}, timeout_s, bounded_within=True, longer_s=input_sources.LONGER_S
    )
    switch = _switch(answers.pop(_SWITCH))
    tables, unavailable = {}, {}
    identities: list[Mapping[str, Any]] = []
    for name, answer in answers.items():
        try:
            frame = answer.get()
            if name in STANDING_FRAMES and frame.empty:
                continue
            tables[name] = as_recorded(name, frame)
            identities += frame.attrs.get(IDENTITIES, [])
        except Exception as error:  # from a store, or from recording its frame
            is_ours = isinstance(error, DataUnavailable)
            unavailable[name] = str(error) if is_ours else f"{type(error).__name__}: {error}"
    return InputsRead(tables, unavailable, switch, identities)


def record_inputs(folder: RunFolder, context: RunContext, *, books: BooksRead | None = None) -> None:
    """Read the stores once for the accounts of the batch; ``inputs.json`` comes last and seals the snapshot.

    Stores are read in parallel. One that fails or misses the deadline leaves no file, and ``inputs.json`` has
    the reason: its data is unavailable, not empty. A dry run has no working orders. A live one first syncs
    positions and fills from the broker into the stores, unless ``books`` are current. Frames besides those of
    every run are read only where a limit in force needs them (``engine.run.input_sources``).
    """
    context.progress("reading positions and counts", 0, 1)
    synced = _synced(folder, context, books)
    down = _down(folder, context, synced)
    of_every_run = _sources(folder, context, synced, down)
    positions = Once(of_every_run["positions"])
    sources: dict[str, Callable[[], pd.DataFrame]] = {
        **of_every_run,
        "positions": positions,
        **standing_sources(
            context, session=folder.trading_date, calendar=folder.start["settings"]["calendar"]
        ),
        **_sources_for_limits(folder, context, synced, down, positions),
    }
    read = read_inputs(sources, context.kill_switch, timeout_s=context.risk_data_timeout_s)
    for name, table in read.tables.items():
        folder.write(f"{name}.parquet", table)
    for name, why in read.unavailable.items():
        context.log.event(
            "risk_data_unavailable", f"{name} is unavailable: {why}", severity="ERROR", source=name
        )
    switch = read.switch
    is_closed = bool(folder.start.get("closed_by"))  # then the gate halts every order, and cancels pass
    if switch.on:
        context.log.event("kill_switch_on", switch.why, severity="WARNING")
    breaks = [one for book in synced.values() if not isinstance(book, EngineError) for one in book.breaks]
    if context.connections is not None:
        folder.write(RECONCILIATION, breaks_table(breaks))
    folder.write(
        INPUTS,
        {
            "read_at": context.clock().isoformat(),
            **_record_of_brokers(context, synced, down),
            "kill_switch": switch.on and not is_closed,
            "kill_switch_why": switch.why,
            "frames": [name for name in sources if name in read.tables or name in read.unavailable],
            "unavailable": read.unavailable,
            **({IDENTITIES: read.identities} if read.identities else {}),
        },
    )
    context.progress("reading positions and counts", 1, 1)


def stores_of(context: RunContext) -> dict[str, str]:
    """Return the identity of each store, by which a resumed run must find the same books again."""
    return {"positions": identity_of(context.positions), "ledger": identity_of(context.ledger)}


def _synced(
    folder: RunFolder, context: RunContext, books: BooksRead | None
) -> Mapping[str, Synced | EngineError]:
    """Return the broker's books, or the error that replaced them, by account; empty in a dry run."""
    if context.connections is None:
        return {}
    from engine.reconciliation.session import Session
    from engine.reconciliation.sync import sync_all

    session = Session(folder.trading_date, folder.start["settings"]["calendar"])
    if books is not None and books.are_of(session, context):
        return books.answers
    return sync_all(context, context.connections, session)


def _down(
    folder: RunFolder, context: RunContext, synced: Mapping[str, Synced | EngineError]
) -> dict[str, EngineError]:
    """Return the accounts of the batch that could not be read at their broker, and why; they are unavailable.

    Accounts that are not configured have a rule of their own.
    """
    if context.connections is None:
        return {}
    failed = {account: error for account, error in synced.items() if isinstance(error, EngineError)}
    configured = folder.start["config"]["accounts"]
    concerned = [name for name in accounts_of(folder) if not configured or name in configured]
    why = {account: context.connections.why_down(account) for account in concerned}
    absent: dict[str, EngineError] = {account: DataUnavailable(text) for account, text in why.items() if text}
    return {account: error for account, error in (failed | absent).items() if account in why}


def _record_of_brokers(
    context: RunContext, synced: Mapping[str, Synced | EngineError], down: Mapping[str, EngineError]
) -> dict[str, Any]:
    """Return the brokers' part of ``inputs.json``.

    For each account it has the broker's time, before which no order is of this run, and the lease epoch.
    """
    if context.connections is None:
        return {}
    from engine.model.schema import CLOCK_SKEW_LIMIT_S

    brokers = {}
    for connection in context.connections.at_work:
        book = synced[connection.account]
        timestamp = context.clock() - timedelta(seconds=CLOCK_SKEW_LIMIT_S)
        if not isinstance(book, EngineError):
            timestamp = book.broker_time
        brokers[connection.account] = {"time": timestamp.isoformat(), "tenure": connection.lease.lease_epoch}
    compared = {
        account: book.not_compared
        for account, book in synced.items()
        if account and not isinstance(book, EngineError) and book.not_compared
    }
    compared_at = {
        account: book.compared_at.isoformat()
        for account, book in synced.items()
        if account and not isinstance(book, EngineError) and book.compared_at is not None
    }
    return {
        "broker": brokers,
        "compared": compared_at,
        "down": {account: str(error) for account, error in down.items()},
        "not_compared": compared,
        "unkept": [
            key for book in synced.values() if not isinstance(book, EngineError) for key in book.unkept
        ],
    }


def _sources(
    folder: RunFolder,
    context: RunContext,
    synced: Mapping[str, Synced | EngineError],
    down: Mapping[str, EngineError],
) -> dict[str, Callable[[], pd.DataFrame]]:
    """Return the function that reads each frame of the inputs."""
    accounts, as_of = accounts_of(folder), as_of_of(folder)
    known = [account for account in accounts if account not in down]
    books = [synced_ for synced_ in synced.values() if not isinstance(synced_, EngineError)]
    max_age_s = folder.start["settings"]["positions_max_age_s"]
    swapped = _swapped(folder, context)

    def check_same(store: str) -> None:
        if store in swapped:
            raise DataUnavailable(swapped[store])

    def check_synced() -> None:
        check_any_known(known, down)

    def positions() -> pd.DataFrame:
        check_same("positions")
        check_synced()
        found = context.positions.positions(known, as_of=as_of, max_age_s=max_age_s)
        return _with_unknown(found, {"broker_account_id": list(down), "symbol": None, "qty": math.nan})

    def daily_trades() -> pd.DataFrame:
        check_same("ledger")
        check_synced()
        counts, in_doubt = _counted(context, known, folder.trading_date)
        for book in books:
            counts = _each_once(counts, book)
        return _with_unknown(counts, {"broker_account_id": [*down, *in_doubt], "trades": math.nan})

    def working_orders() -> pd.DataFrame:
        check_synced()
        found = [book.working_orders for book in books if len(book.working_orders)]
        empty = inputs_schemas()["working_orders"].empty_table().to_pandas()
        return pd.concat(found, ignore_index=True) if found else empty

    def unreconciled() -> pd.DataFrame:
        check_synced()
        breaks = open_in(found for book in books for found in book.breaks)
        not_compared = [book.account for book in books if book.account and book.not_compared]
        return _with_unknown(
            breaks.assign(compared=True),
            {"broker_account_id": [*not_compared, *down], "symbol": None, "compared": False},
        )

    return {
        "positions": positions,
        "daily_trades": daily_trades,
        "working_orders": working_orders,
        "unreconciled": unreconciled,
    }


def _swapped(folder: RunFolder, context: RunContext) -> dict[str, str]:
    """Return the stores that are others than those that the run began with, and what follows from it."""
    now = stores_of(context)
    begun_with = folder.start.get("stores", now)
    return {
        store: f"this run began with {begun_with[store]}, and {name} is configured now. Its intents are "
        f"refused; drop them again to have them judged by the current settings."
        for store, name in now.items()
        if begun_with[store] != name
    }


def _sources_for_limits(
    folder: RunFolder,
    context: RunContext,
    synced: Mapping[str, Synced | EngineError],
    down: Mapping[str, EngineError],
    positions: Once[pd.DataFrame],
) -> dict[str, Callable[[], pd.DataFrame]]:
    """Return the functions that read the frames that the limits in force, and orders by notional, need."""
    config, prices = config_of(folder), PriceSettings.of_record(folder.start["settings"])
    needed = input_sources.frames_to_read(config, prices).difference(STANDING_FRAMES)
    books = [book.working_orders for book in synced.values() if not isinstance(book, EngineError)]
    notionals = folder.table(BATCH, ["notional"]).to_pandas()["notional"]
    needed |= input_sources.frames_for_notionals(prices, notionals, *books)
    if not needed:
        return {}
    names = ["broker_account_id", "symbol", "strategy_id"]
    batch = folder.table(BATCH, names)
    accounts, symbols, strategies = (_distinct(batch, name) for name in names)
    reading = Reading(
        context=context,
        config=config,
        mode=folder.start["mode"],
        run_id=folder.run_id,
        as_of=as_of_of(folder),
        trading_date=folder.trading_date,
        calendar=folder.start["settings"]["calendar"],
        accounts=accounts,
        symbols=symbols,
        strategies=strategies,
        synced=synced,
        down=down,
        swapped=_swapped(folder, context),
        prices=prices,
        positions=positions,
    )
    return sources_of(needed, reading)


def _counted(
    context: RunContext, accounts: Sequence[str], trading_date: date
) -> tuple[pd.DataFrame, Sequence[str]]:
    """Return the trade counts of a session, and the accounts whose counts are unknown.

    Raises ``DataUnavailable`` where none is known.
    """
    try:
        return context.ledger.trade_counts(accounts, trading_date), []
    except AccountsInDoubt as error:
        others = [account for account in accounts if account not in error.accounts]
        if not others:
            raise
        context.log.event(
            "risk_data_unavailable",
            f"daily_trades is unavailable: {error}",
            severity="ERROR",
            source="daily_trades",
        )
        return context.ledger.trade_counts(others, trading_date), error.accounts


def _with_unknown(frame: pd.DataFrame, unknown: dict[str, Any]) -> pd.DataFrame:
    """Return the frame with rows added that make accounts unavailable."""
    if not unknown["broker_account_id"]:
        return frame
    return pd.concat([frame, pd.DataFrame(unknown)], ignore_index=True)


def _each_once(counts: pd.DataFrame, synced: Synced) -> pd.DataFrame:
    """Return the counts without orders that count as working, and with trades that no ledger has.

    A partly filled order is one trade.
    """
    if synced.unbooked_trades and synced.account not in set(counts["broker_account_id"]):
        none = pd.DataFrame({"broker_account_id": [synced.account], "trades": [0.0]})
        counts = pd.concat([counts, none], ignore_index=True)
    difference = synced.unbooked_trades - synced.counted_there
    trades = counts["trades"] + difference * (counts["broker_account_id"] == synced.account)
    return counts.assign(trades=trades)


def _switch(answer: Answer) -> KillSwitchState:
    """Return the kill switch; one that can't be read is on."""
    if answer.error is None:
        state: KillSwitchState = answer.value
        return state
    return KillSwitchState(on=True, why=f"The kill switch is on: it can't be read ({answer.error})")


def as_recorded(name: str, frame: pd.DataFrame) -> pa.Table:
    """Return a store's frame, such as ``positions``, in the record's schema; raises where it doesn't fit."""
    table = pa.Table.from_pandas(frame, schema=inputs_schemas()[name], preserve_index=False)
    return table.replace_schema_metadata(None)


def inputs_of(folder: RunFolder) -> RiskInputs:
    """Return the recorded snapshot as inputs of the decision function."""
    sealed = folder.json(INPUTS)
    tables = {
        name: None if name in sealed["unavailable"] else folder.table(f"{name}.parquet")
        for name in sealed.get("frames", INPUT_FRAMES)
    }
    tables = {name: inputs_schemas()[name].empty_table() for name in STANDING_FRAMES} | tables
    return RiskInputs.of_record(
        tables,
        as_of=as_of_of(folder),
        trading_date=folder.trading_date,
        kill_switch=bool(sealed["kill_switch"]),
        read_at=pd.Timestamp(sealed["read_at"]),
    )


def as_of_of(folder: RunFolder) -> pd.Timestamp:
    """Return the timestamp at which a run judges."""
    return pd.Timestamp(folder.start["as_of"])


def accounts_of(folder: RunFolder) -> list[str]:
    """Return the accounts of a batch, in alphabetical order."""
    return _distinct(folder.table(BATCH, ["broker_account_id"]), "broker_account_id")


def _distinct(batch: pa.Table, column: str) -> list[str]:
    return sorted(value for value in batch[column].unique().to_pylist() if value)
