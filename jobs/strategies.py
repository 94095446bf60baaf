"""``positions show --by-strategy`` and ``positions assign``: what each strategy holds by the ledger."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, TypedDict, Unpack

from engine.errors import UsageError
from engine.ledger.strategies import IDENTITY, NO_STRATEGY, StrategyBook, identity
from engine.log import EventLog, wall_clock
from engine.model.breaks import shares
from engine.model.calendar import check_calendar, trading_date
from engine.model.quantity import UNITS
from engine.model.symbols import canonical_symbol
from engine.reconciliation.adjustments import check_said
from engine.reconciliation.assignments import (
    Assignment,
    Decision,
    assignment_documents,
    check_assignable,
    named,
)
from engine.record.kept_adjustments import keep_adjustments
from engine.run.manifest import EXIT_DONE, EXIT_UNRESOLVED
from engine.safety.lock import exclusive
from engine.settings.values import as_name
from engine.stores.protocols import LedgerStore
from jobs.setup import Setup, read_setup
from jobs.tables import print_json, print_table, say
from jobs.wording import counted, shell_word, timestamp

_QTY = re.compile(r"-?\d{1,9}(\.\d{1,9})?", re.ASCII)


def show_strategies(account: str | None, *, as_json: bool, clock: Callable[[], datetime] = wall_clock) -> int:
    """Print what each strategy holds by the ledger, and whether it adds up; return the exit code, 4 if not.

    Without ``account``: of the accounts of the settings, and of all that have positions.
    """
    setup = read_setup()
    check_calendar(setup.settings.calendar)
    session = trading_date(clock(), setup.settings.calendar)
    ledger = setup.stores.ledger
    accounts = [account] if account is not None else _accounts(setup)
    books = {name: ledger.strategy_book(name, today=session) for name in accounts}
    found = identity(books.values())
    exit_code = EXIT_DONE if found["holds"] else EXIT_UNRESOLVED
    if as_json:
        print_json({"exit_code": exit_code, "strategies": _records(books), "identities": [found]})
        return exit_code
    if not any(book.by_strategy for book in books.values()):
        whose = f" of {', '.join(accounts)}" if accounts else ""
        say(f"The ledger in {ledger.place} holds no position{whose}.")
    else:
        rows = [
            (named(one["strategy_id"] or NO_STRATEGY), one["broker_account_id"], one["symbol"], one["shares"])
            for one in _records(books, exact=True)
        ]
        columns = ("strategy", "account", "symbol", "qty")
        print_table("Positions by strategy, by the ledger", columns, rows, right=("qty",))
    say()
    for name, book in books.items():
        for symbol, (left, right) in book.differing().items():
            text = f"{name} {symbol}: {shares(left)} and {shares(right)}"
            say(f"DOES NOT ADD UP: {IDENTITY}: {text}", color="red")
    if found["holds"]:
        say(f"{IDENTITY[0].upper()}{IDENTITY[1:]}: it holds ({counted(len(books), 'account')}).")
    return exit_code


class Asked(TypedDict):
    """The options of ``positions assign``; ``source`` and ``target`` are None for the account's rest."""

    account: str
    symbol: str
    qty: str
    source: str | None
    target: str | None
    by: str
    why: str


def assign(*, as_json: bool, clock: Callable[[], datetime] = wall_clock, **asked: Unpack[Asked]) -> int:
    """Move a part of what one book holds to another, in the ledger; return the exit code.

    The books are those of strategies, and the account's rest. ``by`` and ``why`` are kept permanently.
    Raises ``UsageError``, and changes nothing, for what is no part of the source.
    """
    check_said(by=asked["by"], why=asked["why"])
    wanted = _wanted(asked)
    setup = read_setup()
    check_calendar(setup.settings.calendar)
    at, store = clock(), setup.stores.ledger
    with exclusive(setup.data_dir, since=timestamp(at), modes=setup.modes):
        if not setup.settings.dry_run:
            setup.generations.verify()
        session = trading_date(at, setup.settings.calendar)
        decided = Decision(by=asked["by"].strip(), why=asked["why"].strip(), at=at, trading_date=session)
        book = store.strategy_book(wanted.account, today=session)
        check_assignable(wanted, book)
        documents = _new_documents(wanted, book, decided, store)
        keep_adjustments(setup.objects, documents)
        store.write_ledger(documents)
        if not setup.settings.dry_run:
            setup.generations.end(by=decided.by, at=at, log=EventLog())
    _log(wanted, documents)
    if as_json:
        print_json({"exit_code": 0, **_for_machines(wanted, documents)})
        return 0
    say(f"Assigned: {wanted.sentence()}. The account's sum is unchanged ({store.place}).")
    if wanted.target not in {NO_STRATEGY, *book.strategies}:
        say(
            f"Strategy {wanted.target} held nothing in account {wanted.account} until now. If that is not "
            f"its name, give it back with --from {shell_word(wanted.target)}."
        )
    return 0


def _accounts(setup: Setup) -> list[str]:
    kept = setup.stores.positions.all_positions()["broker_account_id"].tolist()
    return sorted({*kept, *setup.config.accounts})


def _records(books: Mapping[str, StrategyBook], *, exact: bool = False) -> list[dict[str, Any]]:
    """Return the rows of books, by account, strategies before the rest; quantities also as ``exact`` text."""
    rows = [
        {
            "strategy_id": strategy or None,
            "broker_account_id": account,
            "symbol": symbol,
            "qty": units / UNITS,
            **({"shares": shares(units)} if exact else {}),
        }
        for account, book in books.items()
        for (strategy, symbol), units in book.by_strategy.items()
    ]
    return sorted(
        rows,
        key=lambda row: (row["broker_account_id"], not row["strategy_id"], row["strategy_id"], row["symbol"]),
    )


def _wanted(asked: Asked) -> Assignment:
    source, target, qty = asked["source"], asked["target"], asked["qty"].strip()
    if not _QTY.fullmatch(qty):
        raise UsageError(
            f"--qty is {qty!r:.80}; expected shares below 1e9 with at most 9 decimals, negative of a short "
            f"position. Nothing was assigned; correct it."
        )
    return Assignment(
        account=asked["account"],
        symbol=canonical_symbol(asked["symbol"]),
        units=int(Decimal(qty).scaleb(9)),
        source=NO_STRATEGY if source is None else as_name("--from", source),
        target=NO_STRATEGY if target is None else as_name("--to", target),
    )


def _new_documents(
    wanted: Assignment, book: StrategyBook, decided: Decision, store: LedgerStore
) -> list[dict[str, Any]]:
    """Return the documents of an assignment that the ledger does not have yet."""
    number = 0
    while True:
        documents = assignment_documents(wanted, book, decided, number=number)
        if not store.ledger_documents([one["broker_order_id"] for one in documents]):
            return documents
        number += 1


def _log(wanted: Assignment, documents: list[dict[str, Any]]) -> None:
    first = documents[0]
    EventLog().event(
        "position_assigned",
        f"{first['by']} assigned {wanted.sentence()}: {first['why']}",
        severity="NOTICE",
        account=wanted.account,
        symbol=wanted.symbol,
        qty=wanted.units / UNITS,
        by=first["by"],
        why=first["why"],
        ledger_documents=[one["broker_order_id"] for one in documents],
        evidence=first["evidence"],
    )


def _for_machines(wanted: Assignment, documents: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "broker_account_id": wanted.account,
        "symbol": wanted.symbol,
        "qty": wanted.units / UNITS,
        "from": wanted.source or None,
        "to": wanted.target or None,
        "ledger_documents": [one["broker_order_id"] for one in documents],
    }
