"""The embedded store: positions, ledger and the agent's documents in one SQLite file, for one machine.

The file keeps SQLite's rollback journal, not its write-ahead log, and is written with ``synchronous=EXTRA``:
a job that is killed, or a machine that loses its power, leaves the book before or after a write, never
between. Both modes would give that to a killed job; this one keeps everything in a single file at rest (a
copy of ``engine.db`` is a copy of the book), needs no shared memory, and is durable at every commit. What
it costs, a reader that waits while a write commits, is nothing in a job that runs alone.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from engine.errors import DataUnavailable, EngineError
from engine.ledger import (
    COUNTS_AS_TRADE,
    checked_document,
    checked_ledger_document,
    ledger_keys,
    merge_ledger_document,
)
from engine.stores.protocols import POSITION_COLUMNS, checked_agent_document_name

if TYPE_CHECKING:
    import sqlite3

BUSY_TIMEOUT_S = 5.0
SCHEMA_VERSION = 3
"""The layout of the file. 2 had one document of the agent, its state, and 1 none; both are read as they are,
and renewed by a write."""

_AGENT_DOCUMENTS_TABLE = """
CREATE TABLE agent_documents (
    name TEXT PRIMARY KEY NOT NULL,
    document TEXT NOT NULL
)
"""
_SCHEMA = f"""
BEGIN;
CREATE TABLE broker_positions (
    broker_account_id TEXT NOT NULL,
    symbol TEXT NOT NULL,
    qty REAL NOT NULL CHECK (typeof(qty) = 'real'),
    avg_price REAL,
    market_value REAL,
    updated_at TEXT NOT NULL,
    raw TEXT,
    UNIQUE (broker_account_id, symbol)
);
CREATE TABLE ledger_trades (
    broker_order_id TEXT PRIMARY KEY NOT NULL,
    broker_account_id TEXT NOT NULL,
    trading_date TEXT NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX ledger_trades_by_session ON ledger_trades (trading_date, broker_account_id);
{_AGENT_DOCUMENTS_TABLE};
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""
_WRITE_POSITION = """
INSERT INTO broker_positions VALUES (?, ?, ?, ?, ?, ?, NULL)
ON CONFLICT (broker_account_id, symbol) DO UPDATE SET
    qty = excluded.qty, avg_price = excluded.avg_price, market_value = excluded.market_value,
    updated_at = excluded.updated_at, raw = excluded.raw
"""
_WRITE_DOCUMENT = """
INSERT INTO ledger_trades VALUES (?, ?, ?, ?)
ON CONFLICT (broker_order_id) DO UPDATE SET
    broker_account_id = excluded.broker_account_id, trading_date = excluded.trading_date,
    document = excluded.document
"""
_AGENT_DOCUMENT = {
    2: "SELECT document FROM agent_state WHERE ? = 'state'",
    3: "SELECT document FROM agent_documents WHERE name = ?",
}
"""How to read a document of the agent, by layout."""
_WRITE_AGENT_DOCUMENT = """
INSERT INTO agent_documents VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET document = excluded.document
"""
# Beyond so many accounts everything is read and sifted here: SQLite limits the variables of a query.
_ACCOUNTS_PER_QUERY = 500
_LONGEST_AGE_S = 1e9  # 31 years: as good as none, and far from where the calendar ends


@dataclass(frozen=True)
class EmbeddedStore:
    """Positions, ledger and agent's documents in the SQLite file at ``path``, which the first write makes.

    Where there is no file, the book is empty. Reading raises ``DataUnavailable``, writing ``EngineError``,
    where the file is damaged, can't be opened or stays locked for ``BUSY_TIMEOUT_S``. Each call opens the
    file anew, so that a store may be shared by threads.
    """

    path: Path

    @property
    def place(self) -> str:
        """Where the store is, for people."""
        return str(self.path)

    def check(self) -> str:
        """Read something cheap and say what was found. Raises ``DataUnavailable``."""
        if not self._exists_or_unavailable():
            return "no file yet: positions and ledger are empty; the first write makes it"
        ((positions, trades),) = self._read(
            "SELECT (SELECT count(*) FROM broker_positions), (SELECT count(*) FROM ledger_trades)", ()
        )
        return f"{positions} positions, {trades} trades"

    def positions(
        self, accounts: Sequence[str], *, as_of: pd.Timestamp, max_age_s: float | None = None
    ) -> pd.DataFrame:
        """Give the positions of ``accounts``: ``broker_account_id, symbol, qty`` (float64, signed shares).

        ``qty`` is NaN, which is unavailable, where the row was updated more than ``max_age_s`` away from
        ``as_of`` (timezone-aware; None: any age will do). Raises ``DataUnavailable``.
        """
        qty = "qty"
        bounds: tuple[str, ...] = ()
        if max_age_s is not None:
            age = timedelta(seconds=min(max_age_s, _LONGEST_AGE_S))
            qty = "CASE WHEN updated_at BETWEEN ? AND ? THEN qty END"
            bounds = (_utc_text(as_of - age), _utc_text(as_of + age))
        rows = self._read_for_accounts(
            f"SELECT broker_account_id, symbol, {qty} FROM broker_positions", accounts, values=bounds
        )
        return self._frame(rows, {"broker_account_id": "str", "symbol": "str", "qty": "float64"})

    def trade_counts(self, accounts: Sequence[str], trading_date: date) -> pd.DataFrame:
        """Count the ledger documents of a session: ``broker_account_id, trades`` (int64).

        Those that say false in ``counts_as_trade`` are left out. Of ``accounts``, those without a trade have
        no row. Raises ``DataUnavailable``.
        """
        rows = self._read_for_accounts(
            "SELECT broker_account_id, count(*) FROM ledger_trades",
            accounts,
            where=f"trading_date = ? AND json_type(document, '$.{COUNTS_AS_TRADE}') IS NOT 'false'",
            values=(trading_date.isoformat(),),
            group_by="broker_account_id",
        )
        return self._frame(rows, {"broker_account_id": "str", "trades": "int64"})

    def all_positions(self) -> pd.DataFrame:
        """Give every position: ``POSITION_COLUMNS``, by account and symbol.

        ``avg_price`` and ``market_value`` are NaN where unknown, ``updated_at`` is in UTC. Raises
        ``DataUnavailable``.
        """
        rows = self._read(f"SELECT {', '.join(POSITION_COLUMNS)} FROM broker_positions ORDER BY 1, 2", ())
        types = ("str", "str", "float64", "float64", "float64", "str")
        frame = self._frame(rows, dict(zip(POSITION_COLUMNS, types, strict=True)))
        try:
            moments = pd.to_datetime(frame["updated_at"], format="ISO8601", utc=True)
        except ValueError as error:
            raise self._unavailable(error) from error
        return frame.assign(updated_at=moments.dt.as_unit("us"))

    def ledger_document(self, broker_order_id: str) -> dict[str, Any] | None:
        """Give an order's ledger document, None where it has none. Raises ``DataUnavailable``."""
        rows = self._read("SELECT document FROM ledger_trades WHERE broker_order_id = ?", (broker_order_id,))
        return self._document(rows[0][0]) if rows else None

    def load_positions(
        self, frame: pd.DataFrame, *, updated_at: datetime, replace_accounts: bool = True
    ) -> int:
        """Write positions, all or none, and give how many.

        ``frame``: ``broker_account_id, symbol, qty`` and, where known, ``avg_price, market_value``; one row
        per account and symbol. It is the whole book of every account that it names, so that symbols which
        it doesn't name vanish; with ``replace_accounts=False`` they stay. ``updated_at`` is timezone-aware.
        Raises ``EngineError``.
        """
        keys = ["broker_account_id", "symbol"]
        repeated = frame.duplicated(keys)
        if repeated.any():
            account, symbol = frame.loc[repeated, keys].iloc[0]
            raise EngineError(
                f"positions of {account} name {symbol} twice; expected one row per account and symbol. "
                f"Nothing was written; drop one of the two."
            )
        moment = _utc_text(updated_at)
        numbers = (_numbers(frame, name) for name in ("qty", "avg_price", "market_value"))
        rows = [
            (*row, moment)
            for row in zip(
                frame["broker_account_id"].tolist(), frame["symbol"].tolist(), *numbers, strict=True
            )
        ]
        accounts = {(row[0],) for row in rows} if replace_accounts else set()
        with self._writing() as connection:
            connection.executemany("DELETE FROM broker_positions WHERE broker_account_id = ?", accounts)
            connection.executemany(_WRITE_POSITION, rows)
        return len(rows)

    def write_ledger(self, documents: Iterable[Mapping[str, Any]]) -> int:
        """Merge documents into the ledger, all or none, and give how many of the stored ones changed.

        Each names its ``broker_order_id``; the merged one must have ``broker_account_id`` and
        ``trading_date`` (ISO text), by which it is counted, and hold nothing but what JSON can (no NaN).
        Raises ``EngineError``.
        """
        checked = [checked_ledger_document(new) for new in documents]
        changed: set[str] = set()
        with self._writing() as connection:
            for new in checked:
                order_id = new["broker_order_id"]
                found = connection.execute(
                    "SELECT document FROM ledger_trades WHERE broker_order_id = ?", (order_id,)
                ).fetchone()
                old = self._document(found[0]) if found else None
                document = merge_ledger_document(old, new)
                if document == old:
                    continue
                keys = ledger_keys(document)
                connection.execute(_WRITE_DOCUMENT, (*keys, _json(document)))
                changed.add(order_id)
        return len(changed)

    def agent_document(self, name: str) -> dict[str, Any] | None:
        """Give a document of the agent's own, None where none was ever kept by that name.

        Raises ``DataUnavailable``, and ``ValueError`` for a name that is not ``[a-z0-9-]{1,64}``.
        """
        rows = self._read(_AGENT_DOCUMENT, (checked_agent_document_name(name),))
        return self._document(rows[0][0]) if rows else None

    def replace_agent_document(
        self, name: str, new: Mapping[str, Any], *, replacing: Mapping[str, Any] | None
    ) -> bool:
        """Keep ``new`` if what is kept is still ``replacing`` (None: nothing); tell whether it was.

        ``new`` holds nothing but what JSON can. Raises ``EngineError``, and ``ValueError`` as
        ``agent_document`` does.
        """
        checked_agent_document_name(name)
        text = _json(checked_document(new, f"the agent's document {name!r}"))
        with self._writing() as connection:
            found = connection.execute(_AGENT_DOCUMENT[SCHEMA_VERSION], (name,)).fetchone()
            is_as_expected = (self._document(found[0]) if found else None) == replacing
            if is_as_expected:
                connection.execute(_WRITE_AGENT_DOCUMENT, (name, text))
        return is_as_expected

    def _read_for_accounts(
        self,
        select: str,
        accounts: Sequence[str],
        *,
        where: str = "1",
        values: tuple[str, ...] = (),
        group_by: str = "",
    ) -> list[tuple[Any, ...]]:
        wanted = list(dict.fromkeys(accounts))
        if not wanted:
            return []
        sifting = len(wanted) > _ACCOUNTS_PER_QUERY
        query = f"{select} WHERE {where}"
        if not sifting:
            query += f" AND broker_account_id IN ({', '.join('?' * len(wanted))})"
        if group_by:
            query += f" GROUP BY {group_by}"
        rows = self._read(query, values if sifting else (*values, *wanted))
        chosen = set(wanted)
        return [row for row in rows if row[0] in chosen] if sifting else rows

    def _read(self, query: str | Mapping[int, str], values: tuple[str, ...]) -> list[tuple[Any, ...]]:
        """Give the rows; none where there is no file, or one of a layout that has no ``query``."""
        if not self._exists_or_unavailable():
            return []
        import sqlite3

        try:
            with closing(self._connect()) as connection:
                connection.execute("BEGIN")  # layout and rows of one moment: a write may renew the file
                version = self._version(connection)
                text = query if isinstance(query, str) else query.get(version)
                return [] if text is None else connection.execute(text, values).fetchall()
        except (sqlite3.Error, OSError, ValueError) as error:
            raise self._unavailable(error) from error

    def _exists(self) -> bool:
        """Tell an absent file from one that can't be reached, which must not pass for an empty book."""
        try:
            mode = self.path.stat().st_mode
        except FileNotFoundError:
            if self.path.is_symlink():
                raise
            return False
        if not stat.S_ISREG(mode):
            raise OSError("it is no regular file")
        return True

    def _exists_or_unavailable(self) -> bool:
        try:
            return self._exists()
        except OSError as error:
            raise self._unavailable(error) from error

    def _connect(self) -> sqlite3.Connection:
        """Open the file for reading and writing (to read may mean to roll back), never making one."""
        import sqlite3

        return sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None
        )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Give a connection inside a transaction, which is kept only where the block ends well."""
        import sqlite3

        try:
            if not self._exists():
                self._make()
            with closing(self._connect()) as connection:
                connection.execute("PRAGMA synchronous = EXTRA")
                connection.execute("BEGIN IMMEDIATE")
                self._renew(connection)
                yield connection
                connection.execute("COMMIT")
        except (sqlite3.Error, OSError, ValueError) as error:
            raise EngineError(
                f"{self.path}: can't be written ({error}). Nothing of this write was kept; {_remedy(error)}"
            ) from error

    def _make(self) -> None:
        """Make an empty book whole, or not at all: one cut off half-way would read as damaged."""
        import sqlite3

        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        try:
            with closing(sqlite3.connect(draft)) as connection:
                connection.executescript(_SCHEMA)
            os.link(draft, self.path)
        except FileExistsError:
            pass  # another job was faster, with the same tables
        finally:
            draft.unlink(missing_ok=True)

    def _renew(self, connection: sqlite3.Connection) -> None:
        """Bring an older layout to the present one, with all that it keeps."""
        version = self._version(connection)
        if version == SCHEMA_VERSION:
            return
        connection.execute(_AGENT_DOCUMENTS_TABLE)
        if version == 2:
            connection.execute("INSERT INTO agent_documents SELECT 'state', document FROM agent_state")
            connection.execute("DROP TABLE agent_state")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _version(self, connection: sqlite3.Connection) -> int:
        """Give the layout of the file, which is one that this engine knows."""
        version: int
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if not 1 <= version <= SCHEMA_VERSION:
            raise OSError(f"it has the layout {version} where this engine reads 1 to {SCHEMA_VERSION}")
        return version

    def _frame(self, rows: list[tuple[Any, ...]], types: Mapping[str, str]) -> pd.DataFrame:
        columns = zip(*rows, strict=True) if rows else [()] * len(types)
        typed = zip(types.items(), columns, strict=True)
        try:
            return pd.DataFrame({name: pd.Series(column, dtype=dtype) for (name, dtype), column in typed})
        except (TypeError, ValueError) as error:
            raise self._unavailable(error) from error

    def _document(self, text: str) -> dict[str, Any]:
        try:
            document = json.loads(text)
        except ValueError as error:
            raise self._unavailable(error) from error
        if not isinstance(document, dict):
            raise self._unavailable(ValueError(f"a document is {text!r:.80}, which is no map"))
        return document

    def _unavailable(self, error: Exception) -> DataUnavailable:
        return DataUnavailable(f"{self.path}: can't be read ({error}). {_remedy(error).capitalize()}")


def _remedy(error: Exception) -> str:
    if "locked" in str(error):
        return "wait for the other process that holds the file, or end it, and run again."
    return (
        "see that the file is there, whole and yours to read and write; if it is damaged, move it away, "
        "load the positions and sync again."
    )


def _numbers(frame: pd.DataFrame, name: str) -> list[float]:
    """Give a column as floats; SQLite keeps NaN as NULL, which a quantity may not be."""
    if name not in frame and name != "qty":
        return [math.nan] * len(frame)
    numbers: list[float] = frame[name].to_numpy(dtype="float64", na_value=math.nan).tolist()
    return numbers


def _utc_text(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError(
            f"the moment is {moment!s}, without a zone. Give it one, such as tz_localize('UTC')."
        )
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False)
