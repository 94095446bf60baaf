"""``positions``: the book of the configured store, and the proposals accepted into the ledger."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import UnreadableFile
from engine.log import EventLog, wall_clock
from engine.model.breaks import shares
from engine.model.calendar import trading_date
from engine.model.quantity import UNITS
from engine.reconciliation.adjustments import (
    Proposed,
    adjustments,
    check_against_ledger,
    check_said,
    read_proposal,
)
from engine.record.kept_adjustments import keep_adjustments
from engine.safety.lock import exclusive
from engine.stores.positions_file import read_positions_file
from engine.stores.protocols import LedgerStore
from jobs.setup import Setup, read_setup
from jobs.tables import print_json, print_table, say
from jobs.wording import counted, number, timestamp

if TYPE_CHECKING:
    import pandas as pd

_Accepted = Sequence[tuple[Proposed, Mapping[str, Any]]]


def load(file: str, *, as_json: bool) -> int:
    """Load a file as the whole book of each account that it names; return the exit code."""
    store = read_setup().stores.positions
    frame = read_positions_file(Path(file))
    store.load_positions(frame, updated_at=wall_clock())
    accounts = sorted(frame["broker_account_id"].unique())
    if as_json:
        print_json({"exit_code": 0, "positions": len(frame), "accounts": accounts})
    else:
        say(f"{len(frame)} positions are now the whole book of {', '.join(accounts)} in {store.place}")
    return 0


def pull(account: str | None, *, as_json: bool) -> int:
    """Read the brokers' books into the store, as ``sync`` does, and print it; return the sync's exit code."""
    from jobs.sync import sync_stores

    if as_json:
        return sync_stores(as_json=True, also=lambda setup: {"positions": _records(_book(setup, account))})
    exit_code = sync_stores(as_json=False)
    setup = read_setup()
    frame = _book(setup, account)
    if frame.empty:
        say(f"{_no_positions(account)} in {setup.stores.positions.place}.")
    else:
        _print(frame)
    return exit_code


def show(account: str | None, *, as_json: bool) -> int:
    """Print the book; return the exit code."""
    setup = read_setup()
    store, frame = setup.stores.positions, _book(setup, account)
    if as_json:
        print_json({"exit_code": 0, "positions": _records(frame)})
        return 0
    if frame.empty:
        text = f"{_no_positions(account)} in {store.place}."
        say(f"{text} Load some with `execution-engine positions load FILE`.")
        return 0
    _print(frame)
    return 0


def _no_positions(account: str | None) -> str:
    return "No positions" if account is None else f"No positions of {account}"


def _print(frame: pd.DataFrame) -> None:
    rows = [
        (row.broker_account_id, row.symbol, number(row.qty), timestamp(row.updated_at))
        for row in frame.itertuples()
    ]
    print_table("Positions", ("account", "symbol", "qty", "updated"), rows, right=("qty",))


def _book(setup: Setup, account: str | None) -> pd.DataFrame:
    frame = setup.stores.positions.all_positions()
    return frame if account is None else frame[[name == account for name in frame["broker_account_id"]]]


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", date_format="iso"))
    return records


def accept(file: str, *, by: str, why: str, as_json: bool, clock: Callable[[], datetime] = wall_clock) -> int:
    """Book the lines of a proposal in the ledger, permanently; return the exit code.

    ``by`` and ``why`` are kept with them. All lines or none: where one does not match the present ledger,
    none is booked. Idempotent, also after a crash half-way.
    """
    check_said(by=by, why=why)
    setup = read_setup()
    store = setup.stores.ledger
    rows = read_proposal(_text(Path(file)), Path(file).name)
    at = clock()
    # A sync would change the ledger that the lines are compared with.
    with exclusive(setup.data_dir, since=timestamp(at), modes=setup.modes):
        if not setup.settings.dry_run:
            setup.generations.verify()
        session = trading_date(at, setup.settings.calendar)
        documents = adjustments(rows, by=by, why=why, at=at, trading_date=session)
        pairs = list(zip(rows, documents, strict=True))
        known = store.ledger_documents([document["broker_order_id"] for document in documents])
        before = [pair for pair in pairs if pair[1]["broker_order_id"] in known]
        new = [pair for pair in pairs if pair not in before]
        waiting, done = [row for row, _ in new], [row for row, _ in before]
        check_against_ledger(waiting, _ledger(store, rows, session), done, Path(file).name)
        keep_adjustments(setup.objects, documents)
        store.write_ledger([document for _, document in new])
        if not setup.settings.dry_run:
            setup.generations.end(by=by, at=at, log=EventLog())
        _log(new)
    return _print_accepted(new, before, store, as_json=as_json)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableFile(
            f"{path.name}: it is not UTF-8 text ({error.reason})",
            remedy="Nothing was accepted. Save it as UTF-8.",
        ) from error


def _ledger(store: LedgerStore, rows: Sequence[Proposed], session: date) -> dict[tuple[str, str], int]:
    """Return the ledger's positions of a proposal's accounts, in units."""
    accounts = dict.fromkeys(row.broker_account_id for row in rows)
    return {
        (account, symbol): units
        for account in accounts
        for symbol, units in store.net_positions(account, today=session).items()
    }


def _log(accepted: _Accepted) -> None:
    EventLog().events(
        "adjustment_accepted",
        [
            (
                f"{document['by']} took {_sentence(row)} into the ledger: {document['why']}",
                {
                    "account": row.broker_account_id,
                    "symbol": row.symbol,
                    "kind": row.kind,
                    "adjustment_qty": row.adjustment_qty / UNITS,
                    "by": document["by"],
                    "why": document["why"],
                    "ledger_document": document["broker_order_id"],
                    "evidence": document["evidence"],
                },
            )
            for row, document in accepted
        ],
        severity="NOTICE",
    )


def _print_accepted(new: _Accepted, before: _Accepted, store: LedgerStore, *, as_json: bool) -> int:
    if as_json:
        body = {
            "exit_code": 0,
            "accepted": [_for_machines(row, document) for row, document in new],
            "accepted_before": [_for_machines(row, document) for row, document in before],
        }
        print_json(body)
        return 0
    for row, document in new:
        say(f"Accepted: {_sentence(row)} ({document['broker_order_id']}).")
    for row, document in before:
        say(f"Accepted before: {_sentence(row)} ({document['broker_order_id']}).")
    say(
        f"{counted(len(new), 'adjustment is', 'adjustments are')} now in the ledger in {store.place}, "
        f"permanently. The next `execution-engine sync` compares it with the broker again."
    )
    return 0


def _for_machines(row: Proposed, document: Mapping[str, Any]) -> dict[str, object]:
    return {
        "broker_account_id": row.broker_account_id,
        "symbol": row.symbol,
        "kind": row.kind,
        "adjustment_qty": row.adjustment_qty / UNITS,
        "ledger_document": document["broker_order_id"],
    }


def _sentence(row: Proposed) -> str:
    """Return what a line books: ``+3 SPY of paper (manual_trade, order 1f…)``."""
    order = row.broker_order_id or row.client_intent_id
    about = f"{row.kind}, order {order}" if order else row.kind
    sign = "+" if row.adjustment_qty > 0 else ""
    return f"{sign}{shares(row.adjustment_qty)} {row.symbol} of {row.broker_account_id} ({about})"
