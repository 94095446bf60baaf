"""The embedded store's part of ``ledger_checkpoints``: reading the documents to sum, keeping the checkpoint.

Triggers in the file act on every write of a document, by any program. A write in a session that a checkpoint
includes empties the checkpoint. Any other write increments its ``writes``, so that a checkpoint that was made
meanwhile is not kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.errors import DataUnavailable
from engine.ledger.sums import Checkpoint, Summand, checkpoint_of
from engine.stores.embedded import sql
from engine.stores.embedded.file import SCHEMA_VERSION, EmbeddedFile
from engine.stores.ledger_checkpoints import Kept

if TYPE_CHECKING:
    import sqlite3

Keys = tuple[str, str, Any]
"""The columns of a document: its id, account and session."""


@dataclass(frozen=True)
class EmbeddedSums:
    """The ledger in a file as a ``SummedLedger``."""

    file: EmbeddedFile

    @property
    def place(self) -> str:
        """Where the store is, for people."""
        return str(self.file.path)

    def kept(self, account: str) -> Kept:
        """Return an account's checkpoint. Raises ``DataUnavailable``."""
        rows = self.file.read({SCHEMA_VERSION: sql.CHECKPOINT}, (account,))
        return Kept(*rows[0]) if rows else Kept(None)

    def keep(self, checkpoint: Checkpoint, *, replacing: Kept) -> bool:
        """Keep a checkpoint; return whether neither it nor any document of the account was written since.

        Raises ``EngineError``.
        """
        with self.file.writing() as connection:
            found = connection.execute(sql.CHECKPOINT, (checkpoint.account,)).fetchone()
            is_as_expected = (Kept(*found) if found else Kept(None)) == replacing
            if is_as_expected:
                _keep(connection, checkpoint)
        return is_as_expected

    def page(self, known: Checkpoint, limit: int) -> list[Summand]:
        """Return the next documents of a walk by session and id; fewer than ``limit`` only at its end.

        Those of sessions after the checkpoint's are left out. Raises ``DataUnavailable``.
        """
        after = known.after or ("", "")
        rows = self.file.read(sql.NEXT_SUMMED, (known.account, known.through, *after, limit))
        return [self._summand(*row) for row in rows]

    def newer(self, known: Checkpoint) -> list[Summand]:
        """Return all documents of sessions after a checkpoint's. Raises ``DataUnavailable``."""
        rows = self.file.read(sql.NEWER_SUMMED, (known.account, known.through))
        return [self._summand(*row) for row in rows]

    def count(self, account: str) -> int:
        """Return how many documents an account has. Raises ``DataUnavailable``."""
        rows = self.file.read(sql.COUNT_OF_ACCOUNT, (account,))
        return int(rows[0][0]) if rows else 0

    def _summand(self, order_id: Any, account: str, day: Any, text: str) -> Summand:
        if not isinstance(order_id, str):
            raise DataUnavailable(
                f"{self.place}: the id of ledger document {order_id!r:.80} is no text. Nothing is known of "
                f"the trades of {account}: correct it there, and run again."
            )
        fields = dict(zip(sql.SUMMED_FIELDS, json.loads(text), strict=True))
        return _summand_of((order_id, account, day), fields)


@dataclass
class ChangedSums:
    """The checkpoints that a transaction changes because it writes documents that they include."""

    connection: sqlite3.Connection
    _before: dict[str, str | None] = field(default_factory=dict)
    _pairs: list[tuple[Summand | None, Summand | None]] = field(default_factory=list)

    def note(self, old: tuple[Keys, Mapping[str, Any]] | None, new: tuple[Keys, Mapping[str, Any]]) -> None:
        """Note that a document is about to be written: before (None: absent) and after.

        Each is given by its columns and its fields.
        """
        rows = [None if row is None else _summand_of(*row) for row in (old, new)]
        self._pairs.append((rows[0], rows[1]))
        for account in {row[0][1] for row in (old, new) if row is not None} - self._before.keys():
            found = self.connection.execute(sql.CHECKPOINT, (account,)).fetchone()
            self._before[account] = found[0] if found else None

    def keep(self) -> None:
        """Write each checkpoint that a trigger emptied for these documents, changed by the difference."""
        for account, text in self._before.items():
            known = checkpoint_of(text or "", account)
            if known is None:
                continue
            (now, _) = self.connection.execute(sql.CHECKPOINT, (account,)).fetchone()
            if now != text:
                _keep(self.connection, known.written(self._pairs))


def _summand_of(keys: Keys, fields: Mapping[str, Any]) -> Summand:
    """Return a row as it is summed; where its columns differ from its fields, its session is not text."""
    order_id, account, day = keys
    is_consistent = (account, day) == (fields.get("broker_account_id"), fields.get("trading_date"))
    return Summand(
        at=(day, order_id),
        document_id=order_id,
        account=fields.get("broker_account_id"),
        trading_date=day if is_consistent else (day, fields.get("trading_date")),
        strategy_id=fields.get("strategy_id"),
        symbol=fields.get("symbol"),
        side=fields.get("side"),
        filled_qty=fields.get("filled_qty"),
    )


def _keep(connection: sqlite3.Connection, checkpoint: Checkpoint) -> None:
    connection.execute(sql.KEEP_CHECKPOINT, (checkpoint.account, checkpoint.through, checkpoint.text()))
