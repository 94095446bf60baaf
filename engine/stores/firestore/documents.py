"""One document in Firestore: read, and replaced on the condition that it is still as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from engine.stores.firestore.client import Deadline, asked, is_contention, may_pass, never, pause
from engine.stores.firestore.writing import decoded, encoded

if TYPE_CHECKING:
    from google.cloud.firestore import Client, DocumentReference, DocumentSnapshot


def replaced(
    client: Client,
    reference: DocumentReference,
    new: dict[str, Any],
    replacing: Mapping[str, Any] | None,
    deadline: Deadline,
) -> bool:
    """Keep ``new`` if what is kept is still ``replacing`` (None: nothing); return whether it was.

    Where the answer to a write is lost, what is kept then says whether it was made.
    """
    from google.cloud.firestore import DELETE_FIELD, LastUpdateOption

    patience = Deadline.after(0.3 * deadline.left_s())
    is_unclear = False
    attempt = 0
    while True:
        snapshot = snapshot_of(reference, deadline)
        kept = decoded(snapshot) if snapshot.exists else None
        if kept != replacing:
            return is_unclear and kept == new
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
            is_unclear |= may_pass(error)
            if not (is_contention(error) or may_pass(error)) or patience.is_over():
                raise
        else:
            return True
        pause(attempt, deadline)
        attempt += 1


def snapshot_of(reference: DocumentReference, deadline: Deadline) -> DocumentSnapshot[DocumentReference]:
    """Return a document as it is now, within a deadline."""
    return asked(lambda left_s: reference.get(retry=never(), timeout=left_s), deadline)
