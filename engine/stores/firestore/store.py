"""Firestore: the ledger, the agent's documents, and documents of others.

Where things are, below ``tenants/<tenant_id>/`` where there is a tenant::

    ledger_trades/<broker_order_id>    one document per order (the id escaped where it can't be a name)
    execution_agent/<name>             the agent's own documents: state, lease-<account>,
                                       ledger-sum-<hash of an account>

Documents of others (kill switch, heartbeat) are at the path in their setting, from the root.
The library is imported at first use, and there is one client per process and project.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from engine.errors import ConfigurationError, DataUnavailable
from engine.ledger.documents import (
    ADJUSTMENT_IDS,
    checked_document,
    checked_ledger_document,
    document_name,
)
from engine.ledger.strategies import StrategyBook
from engine.stores.firestore.client import (
    asked,
    connected,
    emulator_host,
    never,
    read_within,
    write_within,
)
from engine.stores.firestore.counts import SessionCounts
from engine.stores.firestore.documents import decoded, replaced, snapshot_of
from engine.stores.firestore.sums import ChangedSums, FirestoreSums, streamed
from engine.stores.firestore.writing import WRITES_PER_REQUEST, LedgerWriting
from engine.stores.ledger_checkpoints import net_units_of, strategy_book_of
from engine.stores.protocols import checked_agent_document_name
from engine.stores.strategy_trades import notional_frame, trades_frame
from engine.waiting.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.cloud.firestore import (
        Client,
        CollectionReference,
        DocumentReference,
        DocumentSnapshot,
        Query,
    )

LEDGER = "ledger_trades"
AGENT = "execution_agent"
TENANTS = "tenants"

T = TypeVar("T")

_DOCUMENTS_AT_ONCE = 500
_DOCUMENTS_PER_TIMEOUT = 2 * WRITES_PER_REQUEST
_RESERVED = re.compile(r"__.*__", re.DOTALL)


@dataclass(frozen=True)
class FirestoreStore:
    """Ledger, the agent's documents and others' in the Firestore of ``project``, or in the emulator's.

    ``FIRESTORE_EMULATOR_HOST`` names the emulator; otherwise Application Default Credentials are used. A call
    takes at most ``timeout_s`` seconds plus the import of the library. Reading raises ``DataUnavailable``,
    writing ``EngineError``. A store may be shared by threads. Raises
    ``ConfigurationError`` for a tenant that can't be part of a path.
    """

    project: str
    tenant_id: str | None = None
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        if self.tenant_id is not None and not _is_segment(self.tenant_id):
            raise ConfigurationError(
                f"EXEC_TENANT_ID is {self.tenant_id!r}; expected the name of a document: text without a "
                f"slash, not ., .. or __of this form__. Correct it, or unset it where there are no tenants."
            )

    @property
    def place(self) -> str:
        """Where the store is, for people."""
        tenant = f" (tenant {self.tenant_id})" if self.tenant_id is not None else ""
        emulator = emulator_host()
        where = f" on the emulator at {emulator}" if emulator else ""
        return f"Firestore project {self.project}{tenant}{where}"

    def check(self) -> str:
        """Read at most one document; return a phrase about what was read. Raises ``DataUnavailable``."""

        def read(client: Client, deadline: Deadline) -> None:
            query = self._ledger(client).limit(1)
            asked(lambda left_s: query.get(retry=never(), timeout=left_s), deadline)

        self._reading(read)
        return "reads the ledger" + (f" of tenant {self.tenant_id}" if self.tenant_id is not None else "")

    def trade_counts(self, accounts: Sequence[str], trading_date: date) -> pd.DataFrame:
        """Count the ledger documents of a session: ``broker_account_id, trades`` (int64).

        Firestore counts them. Of ``accounts``, those without a trade have no row. Raises ``DataUnavailable``,
        and ``AccountsInDoubt`` for documents that may be of this session and of an account but are written in
        another form.
        """
        wanted = list(dict.fromkeys(accounts))
        trades = self._counting(trading_date, lambda counts: counts.trades(wanted)) if wanted else []
        rows = [(account, count) for account, count in zip(wanted, trades, strict=True) if count]
        return pd.DataFrame(
            {
                "broker_account_id": pd.Series([account for account, _ in rows], dtype="str"),
                "trades": pd.Series([count for _, count in rows], dtype="int64"),
            }
        )

    def strategy_trade_counts(self, accounts: Sequence[str], trading_date: date) -> pd.DataFrame:
        """Count the trades of a session: ``strategy_id, broker_account_id, symbol, trades`` (int64).

        They are those of ``trade_counts``, and ``LedgerStore`` describes the columns. The session's documents
        are read, of each only the fields that decide it. Raises ``DataUnavailable``, and ``AccountsInDoubt``
        as ``trade_counts`` does and for a document without a symbol.
        """
        wanted = list(dict.fromkeys(accounts))
        if not wanted:
            return trades_frame([], trading_date.isoformat(), self.place)
        return self._counting(trading_date, lambda counts: counts.trades_by_strategy(wanted))

    def traded_notional(self, accounts: Sequence[str], trading_date: date) -> pd.DataFrame:
        """Return what a session's fills cost: ``strategy_id, broker_account_id, symbol, notional`` (USD).

        ``LedgerStore`` describes them. Raises as ``strategy_trade_counts``.
        """
        wanted = list(dict.fromkeys(accounts))
        if not wanted:
            return notional_frame([], trading_date.isoformat(), self.place)
        return self._counting(trading_date, lambda counts: counts.notional_by_strategy(wanted))

    def ledger_document(self, broker_order_id: str) -> dict[str, Any] | None:
        """Return an order's ledger document, None where it has none. Raises ``DataUnavailable``."""
        name = document_name(broker_order_id)

        def read(client: Client, deadline: Deadline) -> dict[str, Any] | None:
            snapshot = snapshot_of(self._ledger(client).document(name), deadline)
            return decoded(snapshot) if snapshot.exists else None

        return self._reading(read)

    def ledger_documents(self, broker_order_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return the documents of some orders by id, without the orders that have none.

        They are read by as few requests as Firestore allows. Raises ``DataUnavailable``.
        """
        ids = {document_name(order_id): order_id for order_id in broker_order_ids}
        if not ids:
            return {}

        def read(client: Client, deadline: Deadline) -> dict[str, dict[str, Any]]:
            names = [self._ledger(client).document(name) for name in sorted(ids)]
            chunks = [names[at : at + _DOCUMENTS_AT_ONCE] for at in range(0, len(names), _DOCUMENTS_AT_ONCE)]
            snapshots = [one for chunk in chunks for one in _snapshots(client, chunk, deadline)]
            return {ids[one.id]: decoded(one) for one in snapshots if one.exists}

        return self._reading(read)

    def has_documents(self, account: str) -> bool:
        """Return whether the ledger has any document of an account; at most one is read.

        Raises ``DataUnavailable``.
        """

        def read(client: Client, deadline: Deadline) -> bool:
            query = self._of_account(client, account).limit(1)
            return bool(streamed(query, deadline))

        return self._reading(read)

    def adjustments(self, account: str, *, since: date) -> list[dict[str, Any]]:
        """Return an account's adjustments whose ``trading_date`` is ``since`` or later.

        They come by session, within it by id. Their ids distinguish them from orders: equality in one field
        and a range of ids need only the field's own index. Raises ``DataUnavailable``.
        """

        def read(client: Client, deadline: Deadline) -> list[dict[str, Any]]:
            from google.cloud.firestore import FieldFilter

            ledger, query = self._ledger(client), self._of_account(client, account)
            for operator, bound in zip((">=", "<"), ADJUSTMENT_IDS, strict=True):
                query = query.where(filter=FieldFilter("__name__", operator, ledger.document(bound)))
            found = [(one.id, decoded(one)) for one in streamed(query, deadline)]
            recent = [pair for pair in found if pair[1].get("trading_date", "") >= since.isoformat()]
            return [one for _, one in sorted(recent, key=lambda pair: (pair[1]["trading_date"], pair[0]))]

        return self._reading(read)

    def account_documents(self, account: str, *, since: date) -> list[dict[str, Any]]:
        """Return an account's documents whose ``trading_date`` is ``since`` or later, whole.

        They come by session, within it by order id. The query selects the sessions, and the account is
        filtered here: both in one query would need an index that an operator has to create. Raises
        ``DataUnavailable``.
        """

        def read(client: Client, deadline: Deadline) -> list[dict[str, Any]]:
            from google.cloud.firestore import FieldFilter

            recent = FieldFilter("trading_date", ">=", since.isoformat())
            query = self._ledger(client).where(filter=recent)
            found = [(one.id, decoded(one)) for one in streamed(query, deadline)]
            own = [(order_id, one) for order_id, one in found if one.get("broker_account_id") == account]
            return [one for _, one in sorted(own, key=lambda pair: (pair[1]["trading_date"], pair[0]))]

        return self._reading(read)

    def net_positions(
        self, account: str, *, today: date | None = None, counting: bool = False
    ) -> dict[str, int]:
        """Return an account's sum by symbol, in units of 1e-9 shares; symbols with 0 are left out.

        It uses a checkpoint, as ``LedgerStore`` describes. Of each document only the fields by which it is
        summed and counted are read. Raises ``DataUnavailable``, also for a document that can't be summed or
        counted in a session.
        """
        session = today or datetime.now(UTC).date()
        return net_units_of(self.sums(session), account, today=session, counting=counting)

    def strategy_book(self, account: str, *, today: date | None = None) -> StrategyBook:
        """Return an account's sum by strategy, and without regard to it; nothing is written.

        Raises ``DataUnavailable`` as ``net_positions`` does.
        """
        session = today or datetime.now(UTC).date()
        return strategy_book_of(self.sums(session), account, today=session)

    def sums(self, today: date) -> FirestoreSums:
        """Return the ledger as a ``SummedLedger``; ``today`` is the current session."""
        ledger, agent = ((*self._tenant(), name) for name in (LEDGER, AGENT))
        return FirestoreSums(self.project, self.place, self.timeout_s, ledger, agent, today)

    def write_ledger(self, documents: Iterable[Mapping[str, Any]]) -> int:
        """Merge documents into the ledger and return how many of the stored ones changed.

        As ``set(…, merge=True)`` with the rules of ``merge_ledger_document``, and safe against concurrent
        writers. A document that can't be kept is refused before anything is written. Above 1,000 orders the
        time limit grows with their number. Raises ``EngineError``: some of the documents may then have been
        kept, and writing them again is idempotent.
        """
        news: dict[str, list[dict[str, Any]]] = {}
        for new in documents:
            document = checked_ledger_document(new)
            news.setdefault(document_name(document["broker_order_id"]), []).append(document)
        if not news:
            return 0

        def write(client: Client, deadline: Deadline) -> int:
            sums = ChangedSums(client, client.collection(*self._tenant(), AGENT))
            ledger = self._ledger(client)
            return LedgerWriting(client, ledger, sums, self.place, deadline, self.timeout_s).merge(news)

        return self._writing(write, times=math.ceil(len(news) / _DOCUMENTS_PER_TIMEOUT))

    def agent_document(self, name: str) -> dict[str, Any] | None:
        """Return a document of the agent, None where none was ever kept under that name.

        Raises ``DataUnavailable``, and ``ValueError`` for a name that is not ``[a-z0-9-]{1,64}``.
        """
        checked_agent_document_name(name)

        def read(client: Client, deadline: Deadline) -> dict[str, Any] | None:
            snapshot = snapshot_of(self._agent_document(client, name), deadline)
            return decoded(snapshot) if snapshot.exists else None

        return self._reading(read)

    def replace_agent_document(
        self, name: str, new: Mapping[str, Any], *, replacing: Mapping[str, Any] | None
    ) -> bool:
        """Keep ``new`` if what is kept is still ``replacing`` (None: nothing); return whether it was.

        ``new`` holds only what JSON can. Where the answer to a write is lost, the stored document shows
        whether it was made. Raises ``EngineError``, and ``ValueError`` as ``agent_document`` does.
        """
        checked_agent_document_name(name)
        document = checked_document(new, f"the agent's document {name!r}")

        def write(client: Client, deadline: Deadline) -> bool:
            reference = self._agent_document(client, name)
            return replaced(client, reference, document, replacing, deadline)

        return self._writing(write)

    def document(self, path: str) -> dict[str, Any] | None:
        """Return the document at ``path`` from the root, such as ``ops/kill_switch``, None if it is missing.

        Its timestamps are timezone-aware. Raises ``DataUnavailable``.
        """
        segments = path.split("/")
        if len(segments) % 2 or not all(map(_is_segment, segments)):
            raise DataUnavailable(
                f"{self.place}: {path!r} is no path of a document; expected collection/document, such as "
                f"ops/kill_switch, or deeper by two parts. Correct the setting that names it."
            )

        def read(client: Client, deadline: Deadline) -> dict[str, Any] | None:
            return snapshot_of(client.document(*segments), deadline).to_dict()

        return self._reading(read)

    def _reading(self, read: Callable[[Client, Deadline], T]) -> T:
        def body(deadline: Deadline) -> T:
            with connected(self.project, deadline) as client:
                return read(client, deadline)

        return read_within(self.timeout_s, self.place, body)

    def _counting(self, session: date, count: Callable[[SessionCounts], T]) -> T:
        def read(client: Client, deadline: Deadline) -> T:
            return count(SessionCounts(self._ledger(client), session, deadline, self.place))

        return self._reading(read)

    def _writing(self, write: Callable[[Client, Deadline], T], *, times: int = 1) -> T:
        def body(deadline: Deadline) -> T:
            with connected(self.project, deadline) as client:
                return write(client, deadline)

        return write_within(self.timeout_s, self.place, body, times=times)

    def _ledger(self, client: Client) -> CollectionReference:
        return client.collection(*self._tenant(), LEDGER)

    def _of_account(self, client: Client, account: str) -> Query:
        from google.cloud.firestore import FieldFilter

        return self._ledger(client).where(filter=FieldFilter("broker_account_id", "==", account))

    def _agent_document(self, client: Client, name: str) -> DocumentReference:
        return client.document(*self._tenant(), AGENT, name)

    def _tenant(self) -> tuple[str, ...]:
        return () if self.tenant_id is None else (TENANTS, self.tenant_id)


def _snapshots(
    client: Client, references: list[DocumentReference], deadline: Deadline
) -> list[DocumentSnapshot[DocumentReference]]:
    """Return documents, including those that don't exist, by one request."""
    found = asked(lambda left_s: list(client.get_all(references, retry=never(), timeout=left_s)), deadline)
    if len(found) != len(references):
        raise DataUnavailable(
            f"of {len(references)} ledger documents that were requested, the answer has {len(found)}. See "
            f"that nothing on the way alters Firestore's answers."
        )
    return found


def _is_segment(text: str) -> bool:
    return (
        bool(text.strip()) and "/" not in text and text not in {".", ".."} and not _RESERVED.fullmatch(text)
    )
