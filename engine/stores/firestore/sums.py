"""Firestore's part of ``ledger_checkpoints``: reading the documents to sum, keeping the checkpoint.

A checkpoint is the agent's document ``ledger-sum-<hash of the account>``. Each batch that writes documents of
an account also writes its checkpoint, on the condition that it is still as it was read. So none of our writes
goes unnoticed while a checkpoint is made, and a document that a checkpoint includes changes it in the same
commit. Other programs don't do so: their changes in old sessions are found by counting and by the walk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from engine.errors import DataUnavailable
from engine.ledger.sums import Checkpoint, Summand, checkpoint_of
from engine.stores.firestore.client import (
    asked,
    connected,
    in_threads,
    never,
    read_within,
    write_within,
)
from engine.stores.firestore.documents import decoded, replaced, snapshot_of
from engine.stores.ledger_checkpoints import Kept
from engine.waiting.deadline import Deadline

if TYPE_CHECKING:
    from google.cloud.firestore import (
        Client,
        CollectionReference,
        DocumentReference,
        DocumentSnapshot,
        Query,
        WriteBatch,
    )

T = TypeVar("T")
Pair = tuple[Summand | None, Summand | None]

_ACCOUNT, _SESSION = "broker_account_id", "trading_date"
_SUMMED = (_ACCOUNT, _SESSION, "strategy_id", "symbol", "side", "filled_qty")
_CHECKPOINT, _WRITES = "checkpoint", "writes"
_DAYS_AT_ONCE = 16
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class FirestoreSums:
    """The ledger in a Firestore as a ``SummedLedger``.

    Each call takes ``timeout_s`` at most. ``ledger`` and ``agent`` are the paths of the collections, and
    ``today`` is the current session.
    """

    project: str
    place: str
    timeout_s: float
    ledger: tuple[str, ...]
    agent: tuple[str, ...]
    today: date

    def kept(self, account: str) -> Kept:
        """Return an account's checkpoint. Raises ``DataUnavailable``."""

        def read(client: Client, deadline: Deadline) -> Kept:
            snapshot = snapshot_of(self._checkpoint(client, account), deadline)
            if not snapshot.exists:
                return Kept(None)
            document = decoded(snapshot)
            return Kept(_text(document), document)

        return self._reading(read)

    def keep(self, checkpoint: Checkpoint, *, replacing: Kept) -> bool:
        """Keep a checkpoint; return whether neither it nor a document of ours was written since.

        Raises ``EngineError``.
        """
        new = {_CHECKPOINT: checkpoint.text(), _WRITES: _next(replacing.token)}

        def body(deadline: Deadline) -> bool:
            with connected(self.project, deadline) as client:
                reference = self._checkpoint(client, checkpoint.account)
                return replaced(client, reference, new, replacing.token, deadline)

        return write_within(self.timeout_s, self.place, body)

    def page(self, known: Checkpoint, limit: int) -> list[Summand]:
        """Return the next documents of a walk by id; fewer than ``limit`` only at its end.

        They are of any session. Equality in one field and a range of ids need only the field's own index.
        Raises ``DataUnavailable``.
        """

        def read(client: Client, deadline: Deadline) -> list[Summand]:
            ledger = client.collection(*self.ledger)
            query = equal(ledger, {_ACCOUNT: known.account}).order_by("__name__")
            if known.after:
                query = query.start_after({"__name__": ledger.document(known.after[0])})
            return _summands(query.limit(limit), deadline)

        return self._reading(read)

    def newer(self, known: Checkpoint) -> list[Summand]:
        """Return all documents of sessions after a checkpoint's. Raises ``DataUnavailable``.

        Up to tomorrow the account's documents are read day by day: equality in two fields needs only the
        fields' own indexes. Later ones, of which there should be none, are read for all accounts.
        """
        first = date.fromisoformat(known.through) + _ONE_DAY
        days = [first + day * _ONE_DAY for day in range((self.today - first).days + 2)]
        last = days[-1].isoformat() if days else known.through

        def read(client: Client, deadline: Deadline) -> list[Summand]:
            from google.cloud.firestore import FieldFilter

            ledger = client.collection(*self.ledger)
            queries = [equal(ledger, {_ACCOUNT: known.account, _SESSION: day.isoformat()}) for day in days]
            queries.append(ledger.where(filter=FieldFilter(_SESSION, ">", last)))
            works = [partial(_summands, query, deadline) for query in queries]
            found = [one for answer in in_threads(works, _DAYS_AT_ONCE, deadline) for one in answer]
            return [one for one in found if one.account == known.account]

        return self._reading(read)

    def count(self, account: str) -> int:
        """Return how many documents an account has, of any session. Raises ``DataUnavailable``."""

        def read(client: Client, deadline: Deadline) -> int:
            return counted(client.collection(*self.ledger), {_ACCOUNT: account}, deadline, self.place)

        return self._reading(read)

    def _checkpoint(self, client: Client, account: str) -> DocumentReference:
        return client.document(*self.agent, _name(account))

    def _reading(self, read: Callable[[Client, Deadline], T]) -> T:
        def body(deadline: Deadline) -> T:
            with connected(self.project, deadline) as client:
                return read(client, deadline)

        return read_within(self.timeout_s, self.place, body)


@dataclass
class ChangedSums:
    """The checkpoints of the accounts whose documents a write changes, as of its last commit."""

    client: Client
    agent: CollectionReference
    _kept: dict[str, tuple[dict[str, Any], Any]] = field(default_factory=dict)

    def read(self, accounts: Iterable[str], deadline: Deadline) -> None:
        """Read the checkpoints of some accounts. Raises the library's errors."""
        names = {_name(account): account for account in accounts}
        references = [self.agent.document(name) for name in names]
        snapshots = asked(
            lambda left_s: list(self.client.get_all(references, retry=never(), timeout=left_s)), deadline
        )
        for one in snapshots:
            self._kept[names[one.id]] = (decoded(one) if one.exists else {}, one.update_time)

    def put(self, batch: WriteBatch, pairs: Sequence[Pair]) -> dict[str, dict[str, Any]]:
        """Add the changed checkpoints to a batch, and return them by account.

        A checkpoint that is unknown, or becomes so, is emptied; the next sum makes it again.
        """
        from google.cloud.firestore import LastUpdateOption

        changed = {}
        for account in dict.fromkeys(one.account for pair in pairs for one in pair if one is not None):
            if account not in self._kept:
                continue
            before, update_time = self._kept[account]
            new = {_CHECKPOINT: _written(_text(before), account, pairs), _WRITES: _next(before)}
            reference = self.agent.document(_name(account))
            if update_time is None:
                batch.create(reference, new)
            else:
                batch.update(reference, new, option=LastUpdateOption(update_time))
            changed[account] = new
        return changed

    def committed(self, changed: Mapping[str, dict[str, Any]], update_times: Sequence[Any]) -> None:
        """Record that a batch with the checkpoints of ``put`` was committed, with their update times."""
        for (account, new), update_time in zip(changed.items(), update_times, strict=True):
            self._kept[account] = (new, update_time)


def summand_of(document_id: str, fields: Mapping[str, Any]) -> Summand:
    """Return the summand of a document, or of its summed fields."""
    account, day, *others = (fields.get(name) for name in _SUMMED)
    return Summand((document_id,), document_id, account, day, *others)


def counted(ledger: CollectionReference, fields: Mapping[str, Any], deadline: Deadline, place: str) -> int:
    """Count the documents with these values in these fields. Raises ``DataUnavailable``."""
    # The library's types wrongly have get on the class, and rows as results.
    count: Any = equal(ledger, fields).count(alias="trades")
    answer = asked(lambda left_s: list(count.get(retry=never(), timeout=left_s)), deadline)
    values = [result.value for row in answer for result in row if result.alias == "trades"]
    if len(values) != 1 or not (values[0] >= 0 and float(values[0]).is_integer()):
        raise DataUnavailable(
            f"{place}: the documents with {dict(fields)} are {values}; expected one whole number "
            f"from 0 on. See that nothing on the way alters its answers."
        )
    return int(values[0])


def streamed(query: Query, deadline: Deadline) -> list[DocumentSnapshot[DocumentReference]]:
    """Return every document of a query, in one snapshot: the answer is a single stream."""
    return asked(lambda left_s: list(query.stream(retry=never(), timeout=left_s)), deadline)


def equal(ledger: CollectionReference, fields: Mapping[str, Any]) -> Query:
    """Return the query for the documents with these values in these fields."""
    from google.cloud.firestore import And, FieldFilter

    return ledger.where(filter=And([FieldFilter(name, "==", value) for name, value in fields.items()]))


def _summands(query: Query, deadline: Deadline) -> list[Summand]:
    return [summand_of(one.id, one.to_dict() or {}) for one in streamed(query.select(_SUMMED), deadline)]


def _written(text: str, account: str, pairs: Sequence[Pair]) -> str:
    known = checkpoint_of(text, account)
    return "" if known is None else known.written(pairs).text()


def _text(document: Mapping[str, Any]) -> str:
    text = document.get(_CHECKPOINT)
    return text if isinstance(text, str) else ""


def _next(document: Mapping[str, Any] | None) -> int:
    """Return the next number of a write, so that no two states of a checkpoint's document are equal."""
    writes = (document or {}).get(_WRITES)
    return writes + 1 if isinstance(writes, int) else 0


def _name(account: str) -> str:
    return f"ledger-sum-{hashlib.sha256(account.encode(errors='surrogatepass')).hexdigest()[:32]}"
