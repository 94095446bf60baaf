"""The SQLite file of the embedded store: its layout, how it is opened, read and written.

The file keeps SQLite's rollback journal, not its write-ahead log, and is written with
``synchronous=EXTRA``: a job that is killed, or a machine that loses its power, leaves the book before or
after a write, never between. Both modes give that to a killed job; this one keeps everything in a single
file at rest (a copy of ``engine.db`` is a copy of the book), needs no shared memory, and is durable at
every commit. Its cost, a reader that waits while a write commits, does not matter in a job that runs alone.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import DataUnavailable, DocumentRefused, EngineError, StoreDamaged
from engine.record.modes import OWNER_ONLY, Modes
from engine.record.objects import link_new
from engine.record.system_errors import fault_of, is_of_a_place, unusable

if TYPE_CHECKING:
    import sqlite3

_Identity = tuple[int, int, int]
BUSY_TIMEOUT_S = 5.0
SCHEMA_VERSION = 5
"""The layout of the file. 4 had no checkpoints of the ledger, 3 no marks of syncs, 2 one document of the
agent, its state, and 1 none; all are read as they are, and renewed by a write."""

_AGENT_DOCUMENTS_TABLE = """
CREATE TABLE agent_documents (
    name TEXT PRIMARY KEY NOT NULL,
    document TEXT NOT NULL
)
"""
_SYNCS_TABLE = """
CREATE TABLE broker_position_syncs (
    broker_account_id TEXT PRIMARY KEY NOT NULL,
    synced_at TEXT NOT NULL,
    trading_date TEXT NOT NULL,
    reconciled_on TEXT,
    open_breaks INTEGER NOT NULL
)
"""
_CHECKPOINTS = (
    """
CREATE TABLE ledger_checkpoints (
    broker_account_id TEXT PRIMARY KEY NOT NULL,
    through TEXT NOT NULL,
    checkpoint TEXT NOT NULL,
    writes INTEGER NOT NULL
)
""",
    """
CREATE INDEX ledger_trades_by_account ON ledger_trades (broker_account_id, trading_date, broker_order_id)
""",
    *(
        f"""
CREATE TRIGGER ledger_checkpoint_{name} {event} ON ledger_trades BEGIN
    UPDATE ledger_checkpoints SET writes = writes + 1,
        checkpoint = CASE WHEN through >= {row}.trading_date THEN '' ELSE checkpoint END
    WHERE broker_account_id = {row}.broker_account_id;
END
"""
        for name, event, row in (
            ("after_insert", "AFTER INSERT", "NEW"),
            ("before_update", "BEFORE UPDATE", "OLD"),
            ("after_update", "AFTER UPDATE", "NEW"),
            ("before_delete", "BEFORE DELETE", "OLD"),
        )
    ),
    """
CREATE TRIGGER ledger_checkpoint_before_insert BEFORE INSERT ON ledger_trades BEGIN
    UPDATE ledger_checkpoints SET writes = writes + 1, checkpoint = ''
    WHERE (broker_account_id, through) IN (
        SELECT ledger_checkpoints.broker_account_id, through FROM ledger_trades, ledger_checkpoints
        WHERE broker_order_id = NEW.broker_order_id
            AND ledger_checkpoints.broker_account_id = ledger_trades.broker_account_id
            AND through >= ledger_trades.trading_date
    );
END
""",
)
"""The checkpoints of the ledger, and the triggers that keep them right when any program writes a document:
a write in a session that a checkpoint includes empties it. An INSERT may be an INSERT OR REPLACE, which
fires no trigger for the replaced row."""
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
{_SYNCS_TABLE};
{";".join(_CHECKPOINTS)};
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""


@dataclass(frozen=True)
class EmbeddedFile:
    """The file at ``path``, which the first write makes; may be used by many threads at once.

    A connection is reused by later reads as long as the file is the same: to open it takes several times as
    long as to read a row, and one is read before every order.
    """

    path: Path
    modes: Modes = OWNER_ONLY
    _idle: list[tuple[_Identity, sqlite3.Connection]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def read(self, query: str | Mapping[int, str], values: tuple[str | int, ...]) -> list[tuple[Any, ...]]:
        """Return the rows; none where there is no file, or its layout has no ``query``.

        Raises ``DataUnavailable``.
        """
        identity = self._looked_for()
        if identity is None:
            return []
        import sqlite3

        try:
            with self._reading(identity) as connection:
                version = self._version(connection)
                text = query if isinstance(query, str) else query.get(version)
                return [] if text is None else connection.execute(text, values).fetchall()
        except (sqlite3.Error, OSError, ValueError) as error:
            raise self.unavailable(error) from error

    def _identity(self) -> _Identity | None:
        """Return the identity of the file and of this process; None where there is no file.

        Raises ``OSError`` for a file that can't be reached, which must not pass for an empty book.
        """
        try:
            found = self.path.stat()
        except FileNotFoundError:
            if self.path.is_symlink():
                raise
            return None
        if not stat.S_ISREG(found.st_mode):
            raise _NoDatabase("it is no regular file")
        return os.getpid(), found.st_dev, found.st_ino

    def exists(self) -> bool:
        """Return whether there is a file. Raises ``DataUnavailable`` where that is unknown."""
        return self._looked_for() is not None

    def _looked_for(self) -> _Identity | None:
        try:
            return self._identity()
        except OSError as error:
            raise self.unavailable(error) from error

    @contextmanager
    def _reading(self, identity: _Identity) -> Iterator[sqlite3.Connection]:
        """Yield a connection with one snapshot of the book: a write between two reads may renew the file.

        A connection with a failure is closed, so that no later read meets the rest of its transaction.
        """
        connection = self._idle_connection(identity) or self._connect()
        try:
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        self._idle.append((identity, connection))

    def _idle_connection(self, identity: _Identity) -> sqlite3.Connection | None:
        """Return an idle connection of an earlier read; close those to another file."""
        with suppress(IndexError):  # there is none, or another thread took it
            while True:
                theirs, connection = self._idle.pop()
                if theirs == identity:
                    return connection
                connection.close()
        return None

    def _connect(self) -> sqlite3.Connection:
        """Open the file for reading and writing (a read may have to roll back); never create it."""
        import sqlite3

        return sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S,
            isolation_level=None, check_same_thread=False,
        )  # fmt: skip

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection inside a transaction, which is committed only where the block raises no error.

        Raises ``EngineError``: ``DocumentRefused`` for a write that the file would never accept,
        ``UnusablePlace`` where its place can't be written to.
        """
        import sqlite3

        try:
            if self._identity() is None:
                self._make()
            with closing(self._connect()) as connection:
                connection.execute("PRAGMA synchronous = EXTRA")
                connection.execute("BEGIN IMMEDIATE")
                self._renew(connection)
                yield connection
                connection.execute("COMMIT")
        except (sqlite3.Error, OSError, ValueError) as error:
            if (refused := _refused_by_the_place(error)) is not None:
                raise unusable(refused, self.path) from error
            kind = DocumentRefused if isinstance(error, sqlite3.DataError | ValueError) else EngineError
            raise kind(
                f"{self.path}: can't be written ({error}). Nothing of this write was kept; {_remedy(error)}"
            ) from error

    def _make(self) -> None:
        """Make an empty book whole or not at all: a partial one would read as damaged."""
        import sqlite3

        self.modes.make_folder(self.path.parent)
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        try:
            with open(draft, "xb", opener=self.modes.opener):
                pass  # SQLite's journals get the mode of the file
            with closing(sqlite3.connect(draft)) as connection:
                connection.executescript(_SCHEMA)
            link_new(draft, self.path)
        except FileExistsError:
            pass  # another job was faster, with the same tables
        finally:
            draft.unlink(missing_ok=True)

    def _renew(self, connection: sqlite3.Connection) -> None:
        """Migrate an older layout to the current one, with all its content."""
        version = self._version(connection)
        if version == SCHEMA_VERSION:
            return
        for statement in _CHECKPOINTS:
            connection.execute(statement)
        if version < 4:
            connection.execute(_SYNCS_TABLE)
        if version < 3:
            connection.execute(_AGENT_DOCUMENTS_TABLE)
        if version == 2:
            connection.execute("INSERT INTO agent_documents SELECT 'state', document FROM agent_state")
            connection.execute("DROP TABLE agent_state")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _version(self, connection: sqlite3.Connection) -> int:
        """Return the layout of the file. Raises ``_UnknownLayout`` for one that this engine doesn't read."""
        version: int
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if not 1 <= version <= SCHEMA_VERSION:
            raise _UnknownLayout(version)
        return version

    def unavailable(self, error: Exception) -> DataUnavailable:
        """Return the error for a file that can't be read."""
        if _is_damaged(error):
            return StoreDamaged(f"{self.path}: can't be read ({error}). {_as_sentence(_remedy(error))}")
        if (refused := _refused_by_the_place(error)) is not None:
            return DataUnavailable(f"{self.path}: can't be read: {fault_of(refused)}. Then run again.")
        return DataUnavailable(f"{self.path}: can't be read ({error}). {_as_sentence(_remedy(error))}")


class _NoDatabase(OSError):
    """The path holds something that is no database file."""


class _UnknownLayout(_NoDatabase):
    """A file has a layout that this engine doesn't read; 0 is an empty file, or one of another program."""

    def __init__(self, version: int) -> None:
        super().__init__(f"it has the layout {version} where this engine reads 1 to {SCHEMA_VERSION}")
        self.version = version


def _is_damaged(error: Exception) -> bool:
    import sqlite3

    damage = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    code = error.sqlite_errorcode if isinstance(error, sqlite3.Error) else None
    is_lost = isinstance(error, _NoDatabase | FileNotFoundError) or "no such table" in str(error)
    return is_lost or (code is not None and code & 0xFF in damage)


def _refused_by_the_place(error: Exception) -> OSError | None:
    """Return the system's error about the place of the file, None where the file itself is at fault.

    SQLite reports it by codes of its own and hides the system's error.
    """
    import sqlite3

    if isinstance(error, OSError):
        return error if is_of_a_place(error) else None
    if not isinstance(error, sqlite3.Error):
        return None
    code = getattr(error, "sqlite_errorcode", 0)
    meant = {
        sqlite3.SQLITE_FULL: errno.ENOSPC,
        sqlite3.SQLITE_READONLY: errno.EROFS,
        sqlite3.SQLITE_IOERR: errno.EIO,
        sqlite3.SQLITE_NOLFS: errno.EFBIG,
        sqlite3.SQLITE_PROTOCOL: errno.ENOLCK,
    }
    if code in {sqlite3.SQLITE_IOERR_LOCK, sqlite3.SQLITE_IOERR_RDLOCK, sqlite3.SQLITE_IOERR_UNLOCK}:
        return OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    number = meant.get(code & 0xFF)
    return OSError(number, os.strerror(number)) if number else None


def _as_sentence(remedy: str) -> str:
    return remedy[:1].upper() + remedy[1:]


def _remedy(error: Exception) -> str:
    if "locked" in str(error):
        return "wait for the other process that holds the file, or end it, and run again."
    if isinstance(error, _UnknownLayout) and error.version > SCHEMA_VERSION:
        return "a newer engine wrote it: update the engine."
    rebuild = (
        "restore it from a backup; where there is none, move it away and run `execution-engine ledger "
        "rebuild --by NAME --why TEXT`, which makes it again from the record."
    )
    if _is_damaged(error):
        return rebuild
    return f"see that the file is there, whole and yours to read and write; if it is damaged, {rebuild}"
