"""Merging documents into Firestore's ledger, safe against concurrent writers.

A round reads the stored documents, merges, and writes the changes: a new document by ``create()``, an old
one on the condition that it is still as it was read. A document that another writer has changed meanwhile
is read, merged and written again in the next round, so that no write is ever lost.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, TypeVar

from engine.errors import DataUnavailable, DocumentRefused, EngineError
from engine.ledger.documents import ledger_keys, merge_ledger_document
from engine.model.keeping import DOCUMENT, stored_size, too_large
from engine.stores.firestore.client import (
    asked,
    in_threads,
    in_words,
    is_contention,
    is_refusal,
    may_pass,
    never,
    waits_s,
)
from engine.stores.firestore.documents import decoded, encoded
from engine.stores.firestore.sums import ChangedSums, Pair, summand_of
from engine.waiting.deadline import Deadline
from engine.waiting.pause import waited

if TYPE_CHECKING:
    from google.cloud.firestore import Client, CollectionReference, DocumentReference, DocumentSnapshot

    Snapshot = DocumentSnapshot[DocumentReference]

T = TypeVar("T")

WRITES_PER_REQUEST = 500
"""Firestore refuses more."""
BYTES_PER_REQUEST = 2 * 2**20
"""Counted as documents are; the request, which is limited to 10 MiB, is at most 5 times as long."""
THREADS = 4


@dataclass(frozen=True)
class Change:
    """A document to write: new, or in place of the one in ``read``."""

    order_id: str
    document: dict[str, Any]
    size: int
    read: Snapshot | None

    @property
    def pair(self) -> Pair:
        """The summands of the document before and after the change; None for absent."""
        old = None if self.read is None else summand_of(self.order_id, self.read.to_dict() or {})
        return old, summand_of(self.order_id, self.document)

    @property
    def accounts(self) -> set[str]:
        """The accounts of the document before and after the change."""
        return {one.account for one in self.pair if one is not None and isinstance(one.account, str)}


@dataclass(frozen=True)
class LedgerWriting:
    """One write into the ``ledger`` collection, each of its requests bounded by ``timeout_s`` seconds.

    Its batches follow one another: each changes the checkpoints (``sums``) of the previous one.
    """

    client: Client
    ledger: CollectionReference
    sums: ChangedSums
    place: str
    deadline: Deadline
    timeout_s: float

    def merge(self, news: Mapping[str, Sequence[Mapping[str, Any]]]) -> int:
        """Merge ``news``, the documents of each order in their order; return how many stored ones changed."""
        pending = dict(news)
        unclear: dict[str, dict[str, Any]] = {}
        retries: Deadline | None = None
        changed, waits = 0, waits_s()
        while True:
            changes, done = self._changes(pending, unclear)
            changed += done
            unclear = {}
            failed, fault = [], None
            chunks = _chunks(changes)
            for chunk, error in zip(chunks, self._written(chunks), strict=True):
                if error is None:
                    changed += len(chunk)
                    continue
                failed += [change.order_id for change in chunk]
                if not is_contention(error):
                    fault = error
                    unclear |= {change.order_id: change.document for change in chunk}
            if not failed:
                return changed
            pending = {order_id: news[order_id] for order_id in failed}
            if fault is not None:
                retries = retries or self._request_deadline(0.3)
                if is_refusal(fault):
                    raise DocumentRefused(
                        f"{self.place}: {in_words(fault, 'written', self.timeout_s)}"
                    ) from fault
                if not may_pass(fault) or retries.is_over():
                    raise fault
            if self.deadline.is_over():
                raise EngineError(
                    f"{self.place}: {len(pending)} documents could not be written, such as {min(pending)}: "
                    f"others kept changing them. All other documents of this write are kept; write again."
                )
            waited(min(next(waits), self.deadline.left_s()))

    def _changes(
        self, pending: Mapping[str, Sequence[Mapping[str, Any]]], unclear: Mapping[str, Any]
    ) -> tuple[list[Change], int]:
        """Return the changes to write, and how many of ``unclear`` turn out to have been written."""
        changes, done = [], 0
        read = self._read(list(pending))
        for order_id, news in pending.items():
            snapshot = read[order_id]
            old = decoded(snapshot) if snapshot.exists else None
            document = _merged(old, news)
            if document == old:
                done += unclear.get(order_id) == document
                continue
            ledger_keys(document)
            fault = too_large(document, DOCUMENT)
            if fault is not None:
                raise DocumentRefused(
                    f"ledger document {order_id} can't be kept: merged with its stored fields it has "
                    f"{fault.value}; expected {fault.rule}. Nothing of this write was kept. {fault.remedy}"
                )
            size = stored_size(document)
            changes.append(Change(order_id, document, size, snapshot if snapshot.exists else None))
        return changes, done

    def _read(self, order_ids: Sequence[str]) -> dict[str, Snapshot]:
        parts = [
            order_ids[start : start + WRITES_PER_REQUEST]
            for start in range(0, len(order_ids), WRITES_PER_REQUEST)
        ]
        answers = in_threads([partial(self._read_part, part) for part in parts], THREADS, self.deadline)
        return {snapshot.id: snapshot for answer in answers for snapshot in answer}

    def _read_part(self, order_ids: Sequence[str]) -> list[Snapshot]:
        references = [self.ledger.document(order_id) for order_id in order_ids]
        snapshots = asked(
            lambda left_s: list(self.client.get_all(references, retry=never(), timeout=left_s)),
            self._request_deadline(),
        )
        if {snapshot.id for snapshot in snapshots} != set(order_ids):
            raise DataUnavailable(
                f"{self.place}: half an answer, {len(snapshots)} of {len(order_ids)} documents. "
                f"See that nothing on the way alters its answers, and run again."
            )
        return snapshots

    def _written(self, chunks: Sequence[Sequence[Change]]) -> list[Exception | None]:
        accounts = sorted({account for chunk in chunks for one in chunk for account in one.accounts})
        if accounts:
            self.sums.read(accounts, self._request_deadline())
        return [self._write(chunk) for chunk in chunks]

    def _write(self, chunk: Sequence[Change]) -> Exception | None:
        """Write a chunk, all or nothing; return the error, None where it was written."""
        from google.cloud.firestore import LastUpdateOption

        batch = self.client.batch()
        for change in chunk:
            reference = self.ledger.document(change.order_id)
            stored = encoded(change.document)
            if change.read is None:
                batch.create(reference, stored)
                continue
            before = change.read.to_dict() or {}
            fields = {
                self.client.field_path(name): value
                for name, value in stored.items()
                if name not in before or before[name] != value
            }
            batch.update(reference, fields, option=LastUpdateOption(change.read.update_time))
        changed = self.sums.put(batch, [change.pair for change in chunk])
        try:
            results = batch.commit(retry=never(), timeout=self._request_deadline().left_s())
        except Exception as error:
            return error
        self.sums.committed(changed, [one.update_time for one in results[len(chunk) :]])
        return None

    def _request_deadline(self, share: float = 1) -> Deadline:
        return Deadline.after(share * min(self.timeout_s, self.deadline.left_s()))


def _merged(old: dict[str, Any] | None, news: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first, *others = news
    return reduce(merge_ledger_document, others, merge_ledger_document(old, first))


def _chunks(changes: Sequence[Change]) -> list[list[Change]]:
    """Return the changes in parts that fit into one request, with a checkpoint for each account."""
    chunks: list[list[Change]] = []
    size, accounts = math.inf, set[str]()
    for change in changes:
        accounts |= change.accounts
        if size + change.size > BYTES_PER_REQUEST or len(chunks[-1]) + 1 + len(accounts) > WRITES_PER_REQUEST:
            chunks.append([])
            size, accounts = 0, change.accounts
        chunks[-1].append(change)
        size += change.size
    return chunks
