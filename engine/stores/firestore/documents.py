"""One document in Firestore: its encoding, reading it, and replacing it where it is unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from engine.model.keeping import INNER_LIST, is_kept_within_a_map
from engine.stores.firestore.client import asked, is_contention, may_pass, never, retried
from engine.waiting.deadline import Deadline

if TYPE_CHECKING:
    from google.cloud.firestore import Client, DocumentReference, DocumentSnapshot

    Snapshot = DocumentSnapshot[DocumentReference]


def replaced(
    client: Client,
    reference: DocumentReference,
    new: dict[str, Any],
    replacing: Mapping[str, Any] | None,
    deadline: Deadline,
) -> bool:
    """Keep ``new`` if what is kept is still ``replacing`` (None: nothing); return whether it was.

    Where the answer to a write is lost, the stored document shows whether it was made.
    """
    from google.cloud.firestore import DELETE_FIELD, LastUpdateOption

    failed: list[Exception] = []  # of the writes: a read has its own retries

    def replace_once() -> bool:
        snapshot = snapshot_of(reference, deadline)
        kept = decoded(snapshot) if snapshot.exists else None
        if kept != replacing:
            return kept == new and any(map(may_pass, failed))
        if kept == new:
            return True
        try:
            if kept is None:
                reference.create(encoded(new), retry=never(), timeout=deadline.left_s())
            else:
                gone = dict.fromkeys(kept.keys() - new.keys(), DELETE_FIELD)
                fields = {client.field_path(key): value for key, value in (encoded(new) | gone).items()}
                option = LastUpdateOption(snapshot.update_time)
                reference.update(fields, option=option, retry=never(), timeout=deadline.left_s())
        except Exception as error:
            failed.append(error)
            raise
        return True

    def may_retry(error: Exception) -> bool:
        return error in failed and (is_contention(error) or may_pass(error))

    return retried(replace_once, may_retry, deadline)


def snapshot_of(reference: DocumentReference, deadline: Deadline) -> Snapshot:
    """Return a document as it is now, within a deadline."""
    return asked(lambda left_s: reference.get(retry=never(), timeout=left_s), deadline)


def encoded(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document as Firestore keeps it: it has no lists in lists, so an inner list is put into a map.

    That map has the single field ``[]``; a map in a list that already has this form is put into another one.
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
    """Return a document as it was before ``encoded``."""
    document: dict[str, Any] = _decoded(snapshot.to_dict() or {})
    return document


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _decoded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_decoded(item[INNER_LIST] if _wraps_one(item) else item) for item in value]
    return value


def _wraps_one(item: Any) -> bool:
    """Return whether a map is one of ``encoded``; other programs' maps may have any value in it."""
    return _is_wrapped(item) and (isinstance(item[INNER_LIST], list) or _is_wrapped(item[INNER_LIST]))


def _is_wrapped(item: Any) -> bool:
    return isinstance(item, Mapping) and list(item) == [INNER_LIST]
