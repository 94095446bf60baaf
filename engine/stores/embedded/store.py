"""The embedded store: positions, ledger and the agent's documents in one SQLite file, for one machine."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from engine.errors import EngineError
from engine.ledger.documents import (
    ADJUSTMENT_IDS,
    checked_document,
    checked_ledger_document,
    ledger_keys,
    merge_ledger_document,
)
from engine.ledger.strategies import StrategyBook
from engine.record.modes import OWNER_ONLY, Modes
from engine.stores.account_book import (
    NUMBERS,
    OLDER_REMEDY,
    check_each_once,
    checked_book,
    other_forms,
    why_older,
)
from engine.stores.embedded import sql
from engine.stores.embedded.counts import OF_SESSION, check_session, notional_by_strategy, trades_by_strategy
from engine.stores.embedded.file import SCHEMA_VERSION, EmbeddedFile
from engine.stores.embedded.sums import ChangedSums, EmbeddedSums
from engine.stores.ledger_checkpoints import net_units_of, strategy_book_of
from engine.stores.names_alike import alike_in_ascii, judged_rows
from engine.stores.protocols import POSITION_COLUMNS, SyncMark, checked_agent_document_name

# Beyond this number of accounts all rows are read and filtered here: SQLite limits the variables of a query.
_ACCOUNTS_PER_QUERY = 500
_LONGEST_AGE_S = 1e9  # 31 years: practically no limit, and far from the end of the calendar


@dataclass(frozen=True)
class EmbeddedStore:
    """Positions, ledger and agent's documents in the SQLite file at ``path``, which the first write makes.

    Where there is no file, the book is empty. Reading raises ``DataUnavailable``, writing ``EngineError``,
    where the file is damaged, can't be opened or stays locked for 5 s. A store may be shared by threads.
    """

    path: Path
    modes: Modes = OWNER_ONLY

    @property
    def place(self) -> str:
        """Where the store is, for people."""
        return str(self.path)

    @cached_property
    def _file(self) -> EmbeddedFile:
        return EmbeddedFile(self.path, self.modes)

    def check(self) -> str:
        """Make a cheap read and return a phrase about what was found. Raises ``DataUnavailable``."""
        if not self._file.exists():
            return "no file yet: positions and ledger are empty; the first write makes it"
        ((positions, trades),) = self._file.read(
            "SELECT (SELECT count(*) FROM broker_positions), (SELECT count(*) FROM ledger_trades)", ()
        )
        return f"{positions} positions, {trades} trades"

    def positions(
        self, accounts: Sequence[str], *, as_of: pd.Timestamp, max_age_s: float | None = None
    ) -> pd.DataFrame:
        """Return the positions of ``accounts``: ``broker_account_id, symbol, qty`` (float64, signed shares).

        ``qty`` is NaN, which is unavailable, where the row was updated more than ``max_age_s`` away from
        ``as_of`` (timezone-aware; None: any age is accepted). An account whose latest sync was that far away
        has one row without a symbol. So has an account whose name looks like that of another account with
        positions that was not requested, and one with a symbol that isn't plain text. Raises
        ``DataUnavailable``.
        """
        if max_age_s is None:
            rows = self._read_for_accounts(sql.POSITIONS, accounts, then=sql.OTHERS_ALIKE)
        else:
            age = timedelta(seconds=min(max_age_s, _LONGEST_AGE_S))
            bounds = (_utc_text(as_of - age), _utc_text(as_of + age))
            rows = self._read_for_accounts(
                sql.FRESH_POSITIONS, accounts, values=bounds, then=sql.OTHERS_ALIKE
            )
        return self._frame(rows, {"broker_account_id": "str", "symbol": "str", "qty": "float64"})

    def trade_counts(self, accounts: Sequence[str], trading_date: date) -> pd.DataFrame:
        """Count the ledger documents of a session: ``broker_account_id, trades`` (int64).

        Those with false in ``counts_as_trade`` are left out. Of ``accounts``, those without a trade have no
        row. Raises ``DataUnavailable``, and ``AccountsInDoubt`` for documents that may be of this session and
        of an account but are written in another form.
        """
        check_session(self._file, accounts, trading_date)
        rows = self._read_for_accounts(
            "SELECT broker_account_id, count(*) FROM ledger_trades",
            accounts,
            where=OF_SESSION,
            values=(trading_date.isoformat(),),
            then="GROUP BY broker_account_id",
        )
        return self._frame(rows, {"broker_account_id": "str", "trades": "int64"})

    def strategy_trade_counts(self, accounts: Sequence[str], trading_date: date) -> pd.DataFrame:
        """Count the trades of a session: ``strategy_id, broker_account_id, symbol, trades`` (int64).

        They are those of ``trade_counts``, and ``LedgerStore`` describes the columns. Raises
        ``DataUnavailable``, and ``AccountsInDoubt`` as ``trade_counts`` does and for a document without a
        symbol.
        """
        return trades_by_strategy(self._file, accounts, trading_date)

    def traded_notional(self, accounts: Sequence[str], trading_date: date) -> pd.DataFrame:
        """Return what a session's fills cost: ``strategy_id, broker_account_id, symbol, notional`` (USD).

        ``LedgerStore`` describes them. Raises as ``strategy_trade_counts``.
        """
        return notional_by_strategy(self._file, accounts, trading_date)

    def all_positions(self) -> pd.DataFrame:
        """Return every position: ``POSITION_COLUMNS``, by account and symbol.

        ``avg_price`` and ``market_value`` are NaN where unknown, ``updated_at`` is in UTC. Raises
        ``DataUnavailable``.
        """
        query = f"SELECT {', '.join(POSITION_COLUMNS)} FROM broker_positions ORDER BY 1, 2"
        rows = self._file.read(query, ())
        types = ("str", "str", "float64", "float64", "float64", "str")
        frame = self._frame(rows, dict(zip(POSITION_COLUMNS, types, strict=True)))
        try:
            timestamps = pd.to_datetime(frame["updated_at"], format="ISO8601", utc=True)
        except ValueError as error:
            raise self._file.unavailable(error) from error
        return frame.assign(updated_at=timestamps.dt.as_unit("us"))

    def ledger_document(self, broker_order_id: str) -> dict[str, Any] | None:
        """Return an order's ledger document, None where it has none. Raises ``DataUnavailable``."""
        query = "SELECT document FROM ledger_trades WHERE broker_order_id = ?"
        rows = self._file.read(query, (broker_order_id,))
        return self._document(rows[0][0]) if rows else None

    def load_positions(
        self, frame: pd.DataFrame, *, updated_at: datetime, replace_accounts: bool = True
    ) -> int:
        """Write positions, all or none, and return how many.

        ``frame``: ``broker_account_id, symbol, qty`` and, where known, ``avg_price, market_value``; one row
        per account and symbol. It is the whole book of every account that it names, so that other symbols of
        theirs are removed; with ``replace_accounts=False`` they stay. ``updated_at`` is timezone-aware.
        Raises ``EngineError``.
        """
        check_each_once(frame)
        timestamp = _utc_text(updated_at)
        numbers = (_numbers(frame, name) for name in ("qty", "avg_price", "market_value"))
        rows = [
            (*row, timestamp)
            for row in zip(
                frame["broker_account_id"].tolist(), frame["symbol"].tolist(), *numbers, strict=True
            )
        ]
        accounts = {(row[0],) for row in rows} if replace_accounts else set()
        with self._file.writing() as connection:
            connection.executemany("DELETE FROM broker_positions WHERE broker_account_id = ?", accounts)
            connection.executemany(sql.WRITE_POSITION, rows)
        return len(rows)

    def keep_book(self, account: str, book: pd.DataFrame, *, mark: SyncMark) -> int:
        """Make ``book`` the account's whole book and keep the mark, both or neither; return the rows written.

        ``book``: ``symbol`` (text), ``qty``, ``avg_price``, ``market_value`` (float64; NaN is unknown, which
        ``qty`` may not be), one row per symbol. A kept symbol that the book lacks becomes 0, without prices,
        and its row stays. All rows of the account then have ``mark.synced_at``. Raises ``EngineError``, also
        for a mark older than the one kept.
        """
        checked = checked_book(book, account=account, place=self.place)
        timestamp, symbols = _utc_text(mark.synced_at), checked["symbol"].tolist()
        numbers = (checked[name].tolist() for name in NUMBERS)
        rows = [(account, *row, timestamp) for row in zip(symbols, *numbers, strict=True)]
        reconciled_on = None if mark.reconciled_on is None else mark.reconciled_on.isoformat()
        kept_as = (account, timestamp, mark.trading_date.isoformat(), reconciled_on, mark.open_breaks)
        with self._file.writing() as connection:
            found = connection.execute(sql.SYNC_MARK, (account,)).fetchone()
            if found and found[0] > timestamp:
                why = why_older(account, mark.synced_at, _mark(*found).synced_at)
                raise EngineError(
                    f"{self.path}: can't be written ({why}). Nothing of this write was kept; {OLDER_REMEDY}"
                )
            vanished = connection.execute(sql.VANISHED, (account, timestamp, json.dumps(symbols))).fetchall()
            others = other_forms((symbol for (symbol,) in vanished), symbols)
            connection.executemany(sql.DELETE_POSITION, [(account, symbol) for symbol in others])
            connection.executemany(sql.WRITE_POSITION, rows)
            connection.execute(sql.KEEP_SYNC_MARK, kept_as)
        return len(rows) + len(vanished) - len(others)

    def sync_mark(self, account: str) -> SyncMark | None:
        """Return the mark of the account's newest sync, None where there never was one.

        Raises ``DataUnavailable``.
        """
        rows = self._file.read({4: sql.SYNC_MARK, 5: sql.SYNC_MARK}, (account,))
        try:
            return _mark(*rows[0]) if rows else None
        except (TypeError, ValueError) as error:
            raise self._file.unavailable(error) from error

    def ledger_documents(self, broker_order_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return the documents of some orders by id, without the orders that have none; in one query.

        Raises ``DataUnavailable``.
        """
        query = (
            "SELECT broker_order_id, document FROM ledger_trades "
            "WHERE broker_order_id IN (SELECT value FROM json_each(?))"
        )
        rows = self._file.read(query, (json.dumps(sorted(broker_order_ids)),)) if broker_order_ids else []
        return {order_id: self._document(text) for order_id, text in rows}

    def has_documents(self, account: str) -> bool:
        """Return whether the ledger has any document of an account. Raises ``DataUnavailable``."""
        query = "SELECT 1 FROM ledger_trades WHERE broker_account_id = ? LIMIT 1"
        return bool(self._file.read(query, (account,)))

    def adjustments(self, account: str, *, since: date) -> list[dict[str, Any]]:
        """Return an account's adjustments whose ``trading_date`` is ``since`` or later.

        They come by session, within it by id. Their ids tell them from orders. Raises ``DataUnavailable``.
        """
        query = (
            "SELECT document FROM ledger_trades WHERE broker_order_id >= ? AND broker_order_id < ? "
            "AND broker_account_id = ? AND +trading_date >= ? ORDER BY trading_date, broker_order_id"
        )
        rows = self._file.read(query, (*ADJUSTMENT_IDS, account, since.isoformat()))
        return [self._document(text) for (text,) in rows]

    def account_documents(self, account: str, *, since: date) -> list[dict[str, Any]]:
        """Return an account's documents whose ``trading_date`` is ``since`` or later, whole.

        They come by session, within it by order id. Raises ``DataUnavailable``.
        """
        query = (
            "SELECT document FROM ledger_trades WHERE broker_account_id = ? AND trading_date >= ? "
            "ORDER BY trading_date, broker_order_id"
        )
        rows = self._file.read(query, (account, since.isoformat()))
        return [self._document(text) for (text,) in rows]

    def net_positions(
        self, account: str, *, today: date | None = None, counting: bool = False
    ) -> dict[str, int]:
        """Return an account's sum by symbol, in units of 1e-9 shares; symbols with 0 are left out.

        It uses a checkpoint, as ``LedgerStore`` describes. Raises ``DataUnavailable``, also for a document
        that can't be summed or counted in a session, such as one whose fields differ from its columns.
        """
        sums = EmbeddedSums(self._file)
        return net_units_of(sums, account, today=today or datetime.now(UTC).date(), counting=counting)

    def strategy_book(self, account: str, *, today: date | None = None) -> StrategyBook:
        """Return an account's sum by strategy, and without regard to it; nothing is written.

        Raises ``DataUnavailable`` as ``net_positions`` does.
        """
        return strategy_book_of(EmbeddedSums(self._file), account, today=today or datetime.now(UTC).date())

    def write_ledger(self, documents: Iterable[Mapping[str, Any]]) -> int:
        """Merge documents into the ledger, all or none, and return how many of the stored ones changed.

        Each names its ``broker_order_id``; the merged one must have ``broker_account_id`` and
        ``trading_date`` (ISO text), by which it is counted, and hold only what JSON can (no NaN). Raises
        ``EngineError``.
        """
        checked = [checked_ledger_document(new) for new in documents]
        changed: set[str] = set()
        with self._file.writing() as connection:
            sums = ChangedSums(connection)
            for new in checked:
                order_id = new["broker_order_id"]
                found = connection.execute(sql.DOCUMENT, (order_id,)).fetchone()
                old = self._document(found[-1]) if found else None
                document = merge_ledger_document(old, new)
                if document == old:
                    continue
                keys = ledger_keys(document)
                sums.note(None if old is None else (found[:-1], old), (keys, document))
                connection.execute(sql.WRITE_DOCUMENT, (*keys, _json(document)))
                changed.add(order_id)
            sums.keep()
        return len(changed)

    def agent_document(self, name: str) -> dict[str, Any] | None:
        """Return a document of the agent, None where none was ever kept under that name.

        Raises ``DataUnavailable``, and ``ValueError`` for a name that is not ``[a-z0-9-]{1,64}``.
        """
        rows = self._file.read(sql.AGENT_DOCUMENT, (checked_agent_document_name(name),))
        return self._document(rows[0][0]) if rows else None

    def replace_agent_document(
        self, name: str, new: Mapping[str, Any], *, replacing: Mapping[str, Any] | None
    ) -> bool:
        """Keep ``new`` if what is kept is still ``replacing`` (None: nothing); return whether it was.

        ``new`` holds only what JSON can. Raises ``EngineError``, and ``ValueError`` as
        ``agent_document`` does.
        """
        checked_agent_document_name(name)
        text = _json(checked_document(new, f"the agent's document {name!r}"))
        with self._file.writing() as connection:
            found = connection.execute(sql.AGENT_DOCUMENT[SCHEMA_VERSION], (name,)).fetchone()
            is_as_expected = (self._document(found[0]) if found else None) == replacing
            if is_as_expected:
                connection.execute(sql.WRITE_AGENT_DOCUMENT, (name, text))
        return is_as_expected

    def _read_for_accounts(
        self,
        select: str | Mapping[int, str],
        accounts: Sequence[str],
        *,
        where: str = "1",
        values: tuple[str, ...] = (),
        then: str = "",
    ) -> list[tuple[Any, ...]]:
        """Return the rows of ``accounts``; ``then`` groups them, or adds accounts with similar names."""
        wanted = list(dict.fromkeys(accounts))
        if not wanted:
            return []
        sifting = len(wanted) > _ACCOUNTS_PER_QUERY
        tail = f" WHERE {where}"
        if not sifting:
            tail += f" AND broker_account_id IN ({', '.join('?' * len(wanted))})"
        if not sifting:
            values = (*values, *wanted)
        others = then == sql.OTHERS_ALIKE
        if others:
            values = (*values, json.dumps(alike_in_ascii(wanted)), json.dumps(wanted))
        tail += f" {then}"
        query = select + tail if isinstance(select, str) else {v: text + tail for v, text in select.items()}
        rows = self._file.read(query, values)
        if others:
            return judged_rows(rows, wanted)
        chosen = set(wanted)
        return [row for row in rows if row[0] in chosen] if sifting else rows

    def _frame(self, rows: list[tuple[Any, ...]], types: Mapping[str, str]) -> pd.DataFrame:
        columns = zip(*rows, strict=True) if rows else [()] * len(types)
        typed = zip(types.items(), columns, strict=True)
        try:
            return pd.DataFrame({name: pd.Series(column, dtype=dtype) for (name, dtype), column in typed})
        except (TypeError, ValueError) as error:
            raise self._file.unavailable(error) from error

    def _document(self, text: str) -> dict[str, Any]:
        try:
            document = json.loads(text)
        except ValueError as error:
            raise self._file.unavailable(error) from error
        if not isinstance(document, dict):
            raise self._file.unavailable(ValueError(f"a document is {text!r:.80}, which is no map"))
        return document


def _mark(synced_at: str, trading_date: str, reconciled_on: str | None, open_breaks: int) -> SyncMark:
    return SyncMark(
        synced_at=datetime.fromisoformat(synced_at),
        trading_date=date.fromisoformat(trading_date),
        reconciled_on=None if reconciled_on is None else date.fromisoformat(reconciled_on),
        open_breaks=open_breaks,
    )


def _numbers(frame: pd.DataFrame, name: str) -> list[float]:
    """Return a column as floats; SQLite keeps NaN as NULL, which a quantity may not be."""
    if name not in frame and name != "qty":
        return [math.nan] * len(frame)
    numbers: list[float] = frame[name].to_numpy(dtype="float64", na_value=math.nan).tolist()
    return numbers


def _utc_text(timestamp: datetime) -> str:
    if timestamp.tzinfo is None:
        raise ValueError(
            f"the timestamp is {timestamp!s}, without a zone. Add one, such as tz_localize('UTC')."
        )
    return timestamp.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False)
