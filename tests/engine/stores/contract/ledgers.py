"""The ledgers that the contract is asked of, watched while read, and written by other programs too."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from google.api_core.exceptions import NotFound
from google.cloud.firestore import Client

from engine.ledger.sums import Checkpoint, Summand
from engine.stores.embedded.file import EmbeddedFile
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.embedded.sums import EmbeddedSums
from engine.stores.firestore.store import FirestoreStore
from engine.stores.ledger_checkpoints import Kept, SummedLedger
from engine.stores.protocols import LedgerStore

UNIT = 1_000_000_000
_ANY_DAY = date(2026, 3, 2)


@dataclass
class Watched:
    """A ledger that counts what is read of it, and is disturbed at one of its steps."""

    ledger: SummedLedger
    at_step: int = -1
    disturb: Callable[[], object] = lambda: None
    steps: int = 0
    read: list[int] = field(default_factory=list)

    @property
    def place(self) -> str:
        return self.ledger.place

    def _step(self) -> None:
        self.steps += 1
        if self.steps == self.at_step:
            self.disturb()

    def kept(self, account: str) -> Kept:
        self._step()
        return self.ledger.kept(account)

    def keep(self, checkpoint: Checkpoint, *, replacing: Kept) -> bool:
        self._step()
        done = self.ledger.keep(checkpoint, replacing=replacing)
        self._step()
        return done

    def page(self, known: Checkpoint, limit: int) -> list[Summand]:
        found = self.ledger.page(known, limit)
        self.read.append(len(found))
        self._step()
        return found

    def newer(self, known: Checkpoint) -> list[Summand]:
        found = self.ledger.newer(known)
        self.read.append(len(found))
        self._step()
        return found

    def count(self, account: str) -> int:
        self._step()
        return self.ledger.count(account)


class Book(Protocol):
    """A ledger, with others who write into it, and what is in it, read by other means."""

    @property
    def store(self) -> LedgerStore: ...

    def ledger(self, today: date) -> SummedLedger: ...

    def others_put(self, document: dict[str, Any]) -> None: ...

    def others_move(self, order_id: str, day: str) -> None:
        """Change the session of a document in place."""

    def others_delete(self, order_id: str) -> None: ...

    def damage_checkpoint(self, account: str, change: Callable[[str], str]) -> None: ...

    def documents(self) -> list[dict[str, Any]]: ...


@dataclass
class EmbeddedBook:
    path: Path

    @property
    def store(self) -> EmbeddedStore:
        return EmbeddedStore(self.path)

    def ledger(self, today: date) -> SummedLedger:
        return EmbeddedSums(EmbeddedFile(self.path))

    def others_put(self, document: dict[str, Any]) -> None:
        keys = [document[name] for name in ("broker_order_id", "broker_account_id", "trading_date")]
        self._execute(
            "INSERT OR REPLACE INTO ledger_trades VALUES (?, ?, ?, ?)", (*keys, json.dumps(document))
        )

    def others_move(self, order_id: str, day: str) -> None:
        self._execute(
            "UPDATE ledger_trades SET trading_date = ?1, "
            "document = json_set(document, '$.trading_date', ?1) WHERE broker_order_id = ?2",
            (day, order_id),
        )

    def others_delete(self, order_id: str) -> None:
        self._execute("DELETE FROM ledger_trades WHERE broker_order_id = ?", (order_id,))

    def damage_checkpoint(self, account: str, change: Callable[[str], str]) -> None:
        kept = self.ledger(_ANY_DAY).kept(account).text
        if kept is not None:
            self._execute(
                "UPDATE ledger_checkpoints SET checkpoint = ? WHERE broker_account_id = ?",
                (change(kept), account),
            )

    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(text) for (text,) in self._execute("SELECT document FROM ledger_trades")]

    def _execute(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            return connection.execute(statement, values).fetchall()


@dataclass
class FirestoreBook:
    project: str
    tenant: str = "acme"

    @property
    def store(self) -> FirestoreStore:
        return FirestoreStore(self.project, tenant_id=self.tenant, timeout_s=60)

    def ledger(self, today: date) -> SummedLedger:
        return self.store.sums(today)

    def others_put(self, document: dict[str, Any]) -> None:
        self._ledger.document(document["broker_order_id"]).set(document)

    def others_move(self, order_id: str, day: str) -> None:
        with suppress(NotFound):
            self._ledger.document(order_id).update({"trading_date": day})

    def others_delete(self, order_id: str) -> None:
        self._ledger.document(order_id).delete()

    def damage_checkpoint(self, account: str, change: Callable[[str], str]) -> None:
        kept = self.ledger(_ANY_DAY).kept(account).text
        if kept is not None:
            name = f"ledger-sum-{hashlib.sha256(account.encode()).hexdigest()[:32]}"
            self._tenant.collection("execution_agent").document(name).update({"checkpoint": change(kept)})

    def documents(self) -> list[dict[str, Any]]:
        return [one.to_dict() for one in self._ledger.stream()]

    @property
    def _tenant(self) -> Any:
        return client_of(self.project).document(f"tenants/{self.tenant}")

    @property
    def _ledger(self) -> Any:
        return self._tenant.collection("ledger_trades")


@cache
def client_of(project: str) -> Any:
    return Client(project=project)


def plain_sum(book: Book, account: str = "paper") -> dict[str, int]:
    net: Counter[str] = Counter()
    for one in book.documents():
        if one["broker_account_id"] == account:
            sign = {"buy": 1, "sell": -1}[one["side"]]
            net[one["symbol"].upper()] += sign * round(Fraction(one["filled_qty"]) * UNIT)
    return {symbol: units for symbol, units in net.items() if units}
