"""The protocols of the stores; ``tests/engine/stores/contract`` tests every store against them.

Each call is bounded in time. Reading raises ``DataUnavailable``, writing ``EngineError``; both say which
store, why, and what to do.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol

import pandas as pd

from engine.ledger.strategies import StrategyBook

POSITION_COLUMNS = ("broker_account_id", "symbol", "qty", "avg_price", "market_value", "updated_at")
AGENT_DOCUMENT_NAME = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)


def checked_agent_document_name(name: str) -> str:
    """Return the name of an agent's document if it is valid. Raises ``ValueError`` for any other."""
    if not AGENT_DOCUMENT_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of an agent's document; expected [a-z0-9-]{{1,64}}.")
    return name


@dataclass(frozen=True, kw_only=True)
class SyncMark:
    """The mark of an account's last sync: its time, and whether the ledger agreed with the broker.

    ``synced_at`` is in UTC, ``trading_date`` its session. ``reconciled_on`` is the session of the last
    complete comparison with the ledger that found no break, None where there was none since the last break;
    ``open_breaks`` is how many breaks are open.
    """

    synced_at: datetime
    trading_date: date
    reconciled_on: date | None
    open_breaks: int


class PositionStore(Protocol):
    """Where the positions of the accounts are kept."""

    @property
    def place(self) -> str:
        """Where the store is, for people; holds no secret."""
        ...

    def check(self) -> str:
        """Read something cheap and say what was found. Raises ``DataUnavailable``."""
        ...

    def positions(
        self, accounts: Sequence[str], *, as_of: pd.Timestamp, max_age_s: float | None = None
    ) -> pd.DataFrame:
        """Return ``broker_account_id, symbol, qty`` (float64, signed shares) of these accounts, in one query.

        ``qty`` is NaN, which is unavailable, where the row was updated more than ``max_age_s`` away from
        ``as_of`` (timezone-aware; None: any age is accepted). An account that is unknown or ambiguous in
        the store has one row without a symbol, which makes all of it unavailable. So has one whose book was
        synced (``sync_mark``) that far away, since a symbol that such a book lacks need not be flat.
        Without a mark, only the age of each row counts.
        """
        ...

    def all_positions(self) -> pd.DataFrame:
        """Return every position: ``POSITION_COLUMNS``, by account and symbol.

        ``avg_price`` and ``market_value`` are NaN where unknown, ``updated_at`` is in UTC.
        """
        ...

    def load_positions(
        self, frame: pd.DataFrame, *, updated_at: datetime, replace_accounts: bool = True
    ) -> int:
        """Write positions, all or none, and return how many.

        ``frame``: ``broker_account_id, symbol, qty`` and, where known, ``avg_price, market_value``; one row
        per account and symbol. It is the whole book of every account that it names, so that other symbols of
        theirs are removed; ``replace_accounts=False`` keeps them. Marks of syncs stay as they are.
        """
        ...

    def keep_book(self, account: str, book: pd.DataFrame, *, mark: SyncMark) -> int:
        """Make ``book`` the account's whole book and keep the mark, both or neither; return the rows written.

        ``book``: ``symbol`` (text), ``qty``, ``avg_price``, ``market_value`` (float64; NaN is unknown, which
        ``qty`` may not be), one row per symbol. A kept symbol that the book lacks becomes 0, without prices,
        and its row stays. All rows of the account then have ``mark.synced_at``. Of two syncs the newer one is
        kept, whichever comes first: a mark older than the one kept is refused.
        """
        ...

    def sync_mark(self, account: str) -> SyncMark | None:
        """Return the mark of the account's newest sync, None where there never was one."""
        ...


class LedgerStore(Protocol):
    """Where the trades of the accounts are kept: one document per order (``engine.ledger.documents``)."""

    @property
    def place(self) -> str:
        """Where the store is, for people; holds no secret."""
        ...

    def check(self) -> str:
        """Read something cheap and say what was found. Raises ``DataUnavailable``."""
        ...

    def trade_counts(self, accounts: Sequence[str], trading_date: date) -> pd.DataFrame:
        """Count the trades of a session, which are its documents: ``broker_account_id, trades`` (int64).

        A document with false in ``counts_as_trade`` is left out: an exit of a group that its entry's
        document, or another exit's, counts as a trade. Without the field, or with any other value in it, a
        document counts, whichever program wrote it. An exit that fills in a later session than its entry is
        no trade of that session. Of ``accounts``, those without a trade may be left out.
        """
        ...

    def strategy_trade_counts(self, accounts: Sequence[str], trading_date: date) -> pd.DataFrame:
        """Count the trades of a session, those of ``trade_counts``, by strategy and symbol.

        Returns ``strategy_id, broker_account_id, symbol`` (canonical), ``trades`` (int64), only where there
        are any. Trades without a strategy are those of ``NO_STRATEGY`` (``engine.ledger.strategies``), those
        whose ``strategy_id`` is no text of ``ANY_STRATEGY``. A document without a symbol puts its account in
        doubt.
        """
        ...

    def traded_notional(self, accounts: Sequence[str], trading_date: date) -> pd.DataFrame:
        """Return what the fills of a session's documents cost, by strategy and symbol, both sides added.

        Columns ``strategy_id, broker_account_id, symbol`` (canonical), ``notional`` (USD, float64). Each
        document is exact, rounded up to 1e-6 USD; NaN where the quantity or price of one is unknown.
        Adjustments are left out; documents that are no trade of their own are not. Strategies as in
        ``strategy_trade_counts``. A document without a symbol puts its account in doubt.
        """
        ...

    def ledger_document(self, broker_order_id: str) -> dict[str, Any] | None:
        """Return an order's document, None where it has none."""
        ...

    def ledger_documents(self, broker_order_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return the documents of some orders by id, without the orders that have none; read together."""
        ...

    def has_documents(self, account: str) -> bool:
        """Return whether the ledger has any document of an account."""
        ...

    def adjustments(self, account: str, *, since: date) -> list[dict[str, Any]]:
        """Return an account's adjustments whose ``trading_date`` is ``since`` or later, and nothing else.

        They come by session, within it by id; the documents of orders aren't read.
        """
        ...

    def account_documents(self, account: str, *, since: date) -> list[dict[str, Any]]:
        """Return an account's documents whose ``trading_date`` is ``since`` or later, whole.

        They come by session, within it by order id.
        """
        ...

    def net_positions(
        self, account: str, *, today: date | None = None, counting: bool = False
    ) -> dict[str, int]:
        """Return the sum of an account's documents by symbol, in units of 1e-9 shares.

        Bought shares are added, sold shares subtracted. Symbols with 0 are left out; documents never are:
        if one can't be summed, the positions are unknown. The documents of old sessions are summed by a
        checkpoint (``engine.ledger.sums``). ``today`` is the current session (None: this machine's date);
        it decides how much is read, never the sum. ``counting``: the documents are counted as well, and all
        are read again where their number differs from that of the sum.
        """
        ...

    def strategy_book(self, account: str, *, today: date | None = None) -> StrategyBook:
        """Return the sum of an account's documents by strategy, and without regard to it.

        As ``net_positions``, but nothing is written: a checkpoint is used and never made.
        """
        ...

    def write_ledger(self, documents: Iterable[Mapping[str, Any]]) -> int:
        """Merge documents into the ledger (``merge_ledger_document``); return how many stored ones changed.

        Each names its ``broker_order_id``; the merged one must have ``broker_account_id`` and
        ``trading_date`` (ISO text), and hold only what JSON can (no NaN). A document that can't be kept is
        refused before anything is written. The write is idempotent: one that fails half-way may be repeated.
        """
        ...


class AgentDocuments(Protocol):
    """Where the agent's own documents are kept: its state and leases (``engine.safety``).

    A name is ``[a-z0-9-]{1,64}``; any other is a ``ValueError``.
    """

    @property
    def place(self) -> str:
        """Where the store is, for people; holds no secret."""
        ...

    def agent_document(self, name: str) -> dict[str, Any] | None:
        """Return the document of that name, None where none was ever kept."""
        ...

    def replace_agent_document(
        self, name: str, new: Mapping[str, Any], *, replacing: Mapping[str, Any] | None
    ) -> bool:
        """Keep ``new`` if what is kept is still ``replacing`` (None: nothing); return whether it was.

        ``new`` holds only what JSON can. Of several concurrent calls, one succeeds.
        """
        ...


class DocumentStore(Protocol):
    """Where documents of other programs are read: the kill switch and the heartbeat of the market data."""

    def document(self, path: str) -> dict[str, Any] | None:
        """Return the document at ``collection/document``, None where there is none.

        Raises ``DataUnavailable``, also for a path that names no document.
        """
        ...
