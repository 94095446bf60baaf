"""Account and session, the fields by which ledger documents are counted; checked wherever they are read.

Other programs also write into the ledger. A document whose account or ``trading_date`` is written in another
form is not found by the queries that count, and a limit would loosen silently. So the documents that such a
query misses are searched for, and an account that one of them may belong to is in doubt.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from engine.errors import AccountsInDoubt
from engine.text.plain_text import folded
from engine.text.printable import shown

DAYS_AROUND = range(-4, 2)
"""The days whose timestamps may belong to a session, which begins on the evening before a long weekend."""

MOST_IN_DOUBT = 500
"""How many documents with an unusual ``trading_date`` are read in one range."""

_FAULTS_SHOWN = 3


@dataclass(frozen=True)
class DocumentKeys:
    """The values of a stored document, of any type, in the fields by which it is counted."""

    order_id: str
    account: Any
    trading_date: Any


def is_session(value: object) -> bool:
    """Return whether a ``trading_date`` is an ISO date (``2026-03-02``) as text."""
    if not isinstance(value, str):
        return False
    try:
        return date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def ranges_without_sessions(session: date) -> list[tuple[str | None, str | None]]:
    """Return the ranges of values that hold no ISO date and that would hold this session in another form.

    Each is ``(first, end)``, the end excluded, None without a bound. Values are ordered as Firestore and
    SQLite order them: numbers and timestamps, then text by its bytes in UTF-8, then maps, lists, bytes and
    references. Values that can't mean that session, such as text that begins with another year, are not
    covered.
    """
    day, year, month = session.isoformat(), f"{session.year:04}", f"{session.isoformat()[:8]}"
    around = [(session + timedelta(days=days)).isoformat() for days in DAYS_AROUND]
    following = [(session + timedelta(days=days + 1)).isoformat() for days in DAYS_AROUND]
    has_short_day = day.startswith(f"{month}0")
    short_day = [(f"{month}{session.day}", f"{month}{session.day}0")] if has_short_day else []
    return [
        (None, "1900"),  # numbers and timestamps, leading blanks, 11/30/2026
        ("2", "2000"),  # 2.3.2026, 20.3.2026
        (year, f"{year}-0"),  # 2026 03 02
        (f"{year}-1", f"{year}-10"),  # 2026-1-5
        (f"{year}-13", f"{session.year + 1:04}"),  # 20260302, 2026/03/02, 2026-3-2, 2026-W10-1
        (day[:7], f"{month}0"),  # 2026-03
        *short_day,  # 2026-03-2
        *((f"{one}\x00", end) for one, end in zip(around, following, strict=True)),  # 2026-03-02T14:30:00Z
        ("2100", None),  # 30.11.2026, 3/2/2026, Mon Mar 2; maps, lists, bytes and references
    ]


def faults(documents: Iterable[DocumentKeys], accounts: Collection[str]) -> dict[str, list[str]]:
    """Return by account why documents that may be its own can't be counted; only accounts with a fault.

    ``documents`` are of any account. A document with a session and the exact account of another is ignored.
    """
    found: dict[str, list[str]] = {}
    alike: dict[str, list[str]] = {}
    for account in accounts:
        alike.setdefault(folded(account), []).append(account)
    exact = set(accounts)
    for keys in documents:
        if isinstance(keys.account, str) and keys.account in exact:
            if not is_session(keys.trading_date):
                found.setdefault(keys.account, []).append(_wrong_session(keys))
            continue
        name = _name_meant(keys.account)
        for account in accounts if name is None else alike.get(name, []):
            found.setdefault(account, []).append(_wrong_account(keys, account))
    return found


def check_countable(documents: Iterable[DocumentKeys], accounts: Collection[str], place: str) -> None:
    """Raise ``AccountsInDoubt`` where documents that may be an account's can't be counted.

    ``place``, the store's, begins the message, which names documents, fields, values and the remedy. At most
    ``MOST_IN_DOUBT`` unusual documents are read: with that many, all accounts are in doubt.
    """
    read = list(documents)
    _raise_faults(faults(read, accounts), place)
    unusual = [keys for keys in read if not is_session(keys.trading_date)]
    if len(unusual) >= MOST_IN_DOUBT:
        texts = [_wrong_session(keys) for keys in unusual]
        _raise_faults(dict.fromkeys(accounts, texts), place)


def check_symbols(documents: Iterable[tuple[DocumentKeys, Any]], place: str) -> None:
    """Raise ``AccountsInDoubt`` where a document that is counted by symbol names none.

    ``documents``: the keys and the symbol, of any type, of each.
    """
    found: dict[str, list[str]] = {}
    for keys, symbol in documents:
        if not (isinstance(symbol, str) and symbol.strip()):
            text = (
                f"Ledger document {shown(keys.order_id)} can't be counted by symbol: symbol is "
                f"{_shown(symbol)}; expected text, such as SPY."
            )
            found.setdefault(keys.account, []).append(text)
    _raise_faults(found, place)


def check_own(documents: Iterable[DocumentKeys], account: str, place: str) -> None:
    """Raise ``AccountsInDoubt`` where one of an account's own documents names another, or no session."""
    found = []
    for keys in documents:
        if keys.account != account:
            found.append(_wrong_account(keys, account))
        elif not is_session(keys.trading_date):
            found.append(_wrong_session(keys))
    _raise_faults({account: found} if found else {}, place)


def _raise_faults(found: Mapping[str, list[str]], place: str) -> None:
    """Raise ``AccountsInDoubt`` where there is any of ``faults``."""
    texts = list(dict.fromkeys(fault for account in found.values() for fault in account))
    if not texts:
        return
    more = (
        f" {len(texts) - _FAULTS_SHOWN} more documents are like that." if len(texts) > _FAULTS_SHOWN else ""
    )
    raise AccountsInDoubt(
        f"{place}: {' '.join(texts[:_FAULTS_SHOWN])}{more} Nothing is known of the trades of "
        f"{', '.join(map(shown, sorted(found)))}: correct them there, and run again.",
        accounts=sorted(found),
    )


def _name_meant(account: object) -> str | None:
    """Return the folded name in a document's account field, None where it could be any account."""
    if isinstance(account, str):
        return folded(account) or None
    if isinstance(account, bytes):
        return folded(account.decode(errors="replace"))
    if isinstance(account, int | float) and not isinstance(account, bool):
        return folded(str(account))
    path = getattr(account, "path", None)
    return folded(path.rpartition("/")[2]) if isinstance(path, str) else None


def _wrong_session(keys: DocumentKeys) -> str:
    return (
        f"Ledger document {shown(keys.order_id)} can't be counted: trading_date is "
        f"{_shown(keys.trading_date)}; expected an ISO date as text, such as 2026-03-02."
    )


def _wrong_account(keys: DocumentKeys, account: str) -> str:
    return (
        f"Ledger document {shown(keys.order_id)} can't be counted: broker_account_id is "
        f"{_shown(keys.account)}; expected {shown(account)} exactly, or a name that can't be taken for it."
    )


def _shown(value: object) -> str:
    path = getattr(value, "path", None)
    if isinstance(path, str):
        return f"a reference to {shown(path)}"
    return "missing" if value is None else shown(value)
