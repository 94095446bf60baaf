"""Merging documents into Firestore's ledger, safe against others who write it at the same time.

A round reads what is kept, merges, and writes what has changed: a new document by ``create()``, an old one on
the condition that it is still as it was read. What somebody else has changed meanwhile is read, merged and
written again in the next round, so that no write is ever lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, TypeVar

from engine.errors import DataUnavailable, DocumentRefused, EngineError
from engine.ledger.documents import ledger_keys, merge_ledger_document
from engine.model.keeping import DOCUMENT, INNER_LIST, is_kept_within_a_map, stored_size, too_large
from engine.stores.deadlines import at_once
from engine.stores.firestore.client import (
    Deadline,
    asked,
    in_words,
    is_contention,
    is_refusal,
    may_pass,
    never,
    pause,
)

if TYPE_CHECKING:
    from google.cloud.firestore import Client, CollectionReference, DocumentReference, DocumentSnapshot

    Snapshot = DocumentSnapshot[DocumentReference]

T = TypeVar("T")

WRITES_PER_REQUEST = 500
"""Firestore refuses more."""
BYTES_PER_REQUEST = 2 * 2**20
"""As documents are counted; the request, which may not be above 10 MiB, is at most 5 times as long."""
THREADS = 4


@dataclass(frozen=True)
class Change:
    """A document as it is to be: new, or in place of what ``read`` says."""

    order_id: str
    document: dict[str, Any]
    size: int
    read: Snapshot | None


@dataclass(frozen=True)
class LedgerWriting:
    """One write into the ``ledger`` collection, each request of it bounded by ``timeout_s`` seconds."""

    client: Client
    ledger: CollectionReference
    place: str
    deadline: Deadline
    timeout_s: float

    def merge(self, news: Mapping[str, Sequence[Mapping[str, Any]]]) -> int:
        """Merge ``news``, the documents of each order in their order; give how many stored ones changed."""
        pending = dict(news)
        unclear: dict[str, dict[str, Any]] = {}
        patience: Deadline | None = None
        changed = attempt = 0
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
                patience = patience or self._request_deadline(0.3)
                if is_refusal(fault):
                    raise DocumentRefused(
                        f"{self.place}: {in_words(fault, 'written', self.timeout_s)}"
                    ) from fault
                if not may_pass(fault) or patience.is_over():
                    raise fault
            if self.deadline.is_over():
                raise EngineError(
                    f"{self.place}: {len(pending)} documents could not be written, such as {min(pending)}: "
                    f"others kept changing them. What else was to be written is kept; write again."
                )
            pause(attempt, self.deadline)
            attempt += 1

    def _changes(
        self, pending: Mapping[str, Sequence[Mapping[str, Any]]], unclear: Mapping[str, Any]
    ) -> tuple[list[Change], int]:
        """Give what is to be written, and how many of ``unclear`` turn out to have been written."""
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
                    f"ledger document {order_id} can't be kept: with what is kept of it already it has "
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
        return in_threads([partial(self._write, chunk) for chunk in chunks], THREADS, self.deadline)

    def _write(self, chunk: Sequence[Change]) -> Exception | None:
        """Write a chunk, all or nothing; give the error."""
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
        try:
            batch.commit(retry=never(), timeout=self._request_deadline().left_s())
        except Exception as error:
            return error
        return None

    def _request_deadline(self, share: float = 1) -> Deadline:
        return Deadline.after(share * min(self.timeout_s, self.deadline.left_s()))


def _merged(old: dict[str, Any] | None, news: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first, *others = news
    return reduce(merge_ledger_document, others, merge_ledger_document(old, first))


def in_threads(works: Sequence[Callable[[], T]], threads: int, deadline: Deadline) -> list[T]:
    """Give what each of ``works`` gives, done by so many threads; raises the first error of one."""
    if len(works) <= 1:
        return [work() for work in works]
    shares = {f"part {start + 1}": works[start::threads] for start in range(min(threads, len(works)))}
    works_of = {name: partial(_one_by_one, share) for name, share in shares.items()}
    answers = at_once(works_of, 2 * deadline.left_s())  # each request has a deadline, and better words
    results: list[Any] = [None] * len(works)
    for start, answer in enumerate(answers[name] for name in shares):
        results[start::threads] = answer.get()
    return results


def _one_by_one(works: Sequence[Callable[[], T]]) -> list[T]:
    return [work() for work in works]


def _chunks(changes: Sequence[Change]) -> list[list[Change]]:
    chunks: list[list[Change]] = []
    size = math.inf
    for change in changes:
        if size + change.size > BYTES_PER_REQUEST or len(chunks[-1]) == WRITES_PER_REQUEST:
            chunks.append([])
            size = 0
        chunks[-1].append(change)
        size += change.size
    return chunks


def encoded(document: Mapping[str, Any]) -> dict[str, Any]:
    """Give a document as Firestore keeps it: it has no lists in lists, so the inner one is put into a map.

    That map has the one field ``[]``; a map in a list that is like it by itself is put into another one.
    """
    return {name: _encoded(value) for name, value in document.items()}


def _encoded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return encoded(value)
    if isinstance(value, list):
        return [
            {INNER_LIST: _encoded(item)} if is_kept_within_a_map(item) else _encoded(item) for item in value
        ]
    return value


def decoded(snapshot: Snapshot) -> dict[str, Any]:
    """Give a document that was kept by ``encoded``."""
    document: dict[str, Any] = _decoded(snapshot.to_dict() or {})
    return document


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _decoded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_decoded(item[INNER_LIST] if _wraps_one(item) else item) for item in value]
    return value


def _wraps_one(item: Any) -> bool:
    """Tell our own maps from one that others wrote, with any value in it."""
    return _is_wrapped(item) and (isinstance(item[INNER_LIST], list) or _is_wrapped(item[INNER_LIST]))


def _is_wrapped(item: Any) -> bool:
    return isinstance(item, Mapping) and list(item) == [INNER_LIST]
