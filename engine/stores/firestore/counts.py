"""The trades of a session in a Firestore, and the search for documents that a count would miss.

Filters for equality, and a range in one field, need only the indexes that Firestore makes for every field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from engine.errors import DataUnavailable
from engine.ledger.documents import ADJUSTMENT, COUNTS_AS_TRADE
from engine.ledger.keys import MOST_IN_DOUBT, DocumentKeys, check_countable, ranges_without_sessions
from engine.stores.firestore.client import in_threads
from engine.stores.firestore.sums import counted, equal, streamed
from engine.stores.strategy_trades import Filled, Trades, notional_frame, trades_frame
from engine.waiting.deadline import Deadline

if TYPE_CHECKING:
    from google.cloud.firestore import CollectionReference

_KEYS = ("broker_account_id", "trading_date")
_NAMED = ("strategy_id", "symbol", COUNTS_AS_TRADE)
_FILLED = ("strategy_id", "symbol", "filled_qty", "filled_avg_price", ADJUSTMENT)
_AT_ONCE = 16


@dataclass(frozen=True)
class SessionCounts:
    """The counts of one session; all requests of a call are made at the same time, and one failure fails it.

    ``place``, the store's, begins the messages.
    """

    ledger: CollectionReference
    session: date
    deadline: Deadline
    place: str

    def trades(self, accounts: Sequence[str]) -> list[int]:
        """Count the trades of each account. Raises ``DataUnavailable`` and ``AccountsInDoubt``.

        Of each account all documents are counted, and those with false in ``counts_as_trade``; the difference
        is its trades: "not false" would miss the documents without the field.
        """
        every = [self._fields_of(account) for account in accounts]
        wanted = [*every, *({**one, COUNTS_AS_TRADE: False} for one in every)]
        counts = self._checked([partial(self._count, one) for one in wanted], accounts)
        documents, left_out = counts[: len(accounts)], counts[len(accounts) :]
        for account, there, out in zip(accounts, documents, left_out, strict=True):
            if out > there:
                raise DataUnavailable(
                    f"{self.place}: of {there} documents of account {account}, {out} are no trades of their "
                    f"own; expected no more than there are. Another program is writing its ledger; run again."
                )
        return [there - out for there, out in zip(documents, left_out, strict=True)]

    def trades_by_strategy(self, accounts: Sequence[str]) -> pd.DataFrame:
        """Return the trades: ``strategy_id, broker_account_id, symbol, trades`` (int64).

        Of each document of the session only the fields that decide it are read. Raises ``DataUnavailable``,
        and ``AccountsInDoubt`` as ``trades`` does and for a document without a symbol.
        """
        found = self._checked([partial(self._trades_of, account) for account in accounts], accounts)
        every = (trades for of_account in found for trades, counts in of_account if counts is not False)
        return trades_frame(every, self.session.isoformat(), self.place)

    def notional_by_strategy(self, accounts: Sequence[str]) -> pd.DataFrame:
        """Return what the fills cost: ``strategy_id, broker_account_id, symbol, notional`` (USD).

        Of each document only the fields that decide it are read. Raises as ``trades_by_strategy``.
        """
        found = self._checked([partial(self._fills_of, account) for account in accounts], accounts)
        every = (filled for of_account in found for filled in of_account)
        return notional_frame(every, self.session.isoformat(), self.place)

    def _checked(self, works: Sequence[Callable[[], Any]], accounts: Sequence[str]) -> list[Any]:
        """Return the results of works, the first of which count or list the documents of each account.

        Raises ``AccountsInDoubt`` where documents of the session, or that may be of it, are not among these.
        """
        every: list[Callable[[], Any]] = [
            *works,
            partial(self._count, {"trading_date": self.session.isoformat()}),
        ]
        every += [partial(self._in_range, *one) for one in ranges_without_sessions(self.session)]
        number, answers = len(works), in_threads(every, _AT_ONCE, self.deadline)
        of_accounts = [one if isinstance(one, int) else len(one) for one in answers[: len(accounts)]]
        in_doubt = [keys for found in answers[number + 1 :] for keys in found]
        if answers[number] != sum(of_accounts):
            in_doubt += self._of_session()
        check_countable(in_doubt, accounts, self.place)
        return answers[:number]

    def _fields_of(self, account: str) -> dict[str, Any]:
        return {"trading_date": self.session.isoformat(), "broker_account_id": account}

    def _count(self, fields: Mapping[str, Any]) -> int:
        return counted(self.ledger, fields, self.deadline, self.place)

    def _trades_of(self, account: str) -> list[tuple[Trades, Any]]:
        """Return an account's documents, each with its ``counts_as_trade``."""
        query = equal(self.ledger, self._fields_of(account)).select(_NAMED)
        documents = [(one.id, one.to_dict() or {}) for one in streamed(query, self.deadline)]
        return [
            (
                Trades(account, id_, fields.get("strategy_id"), fields.get("symbol")),
                fields.get(COUNTS_AS_TRADE),
            )
            for id_, fields in documents
        ]

    def _fills_of(self, account: str) -> list[Filled]:
        """Return what an account's documents say of their fills."""
        query = equal(self.ledger, self._fields_of(account)).select(_FILLED)
        documents = [(one.id, one.to_dict() or {}) for one in streamed(query, self.deadline)]
        return [Filled(account, id_, *(fields.get(name) for name in _FILLED)) for id_, fields in documents]

    def _in_range(self, first: str | None, end: str | None) -> list[DocumentKeys]:
        """Return the documents whose ``trading_date``, of any type, is in a range without its ``end``."""
        query = self.ledger.order_by("trading_date").select(_KEYS).limit(MOST_IN_DOUBT)
        query = query if first is None else query.start_at({"trading_date": first})
        query = query if end is None else query.end_before({"trading_date": end})
        return [_keys(one.id, one.to_dict() or {}) for one in streamed(query, self.deadline)]

    def _of_session(self) -> list[DocumentKeys]:
        query = equal(self.ledger, {"trading_date": self.session.isoformat()}).select(_KEYS)
        return [_keys(one.id, one.to_dict() or {}) for one in streamed(query, self.deadline)]


def _keys(order_id: str, document: Mapping[str, Any]) -> DocumentKeys:
    return DocumentKeys(order_id, *(document.get(name) for name in _KEYS))
