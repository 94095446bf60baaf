"""A copy of adjustments in the data folder, so that a lost ledger can be rebuilt with all that was accepted.

``adjustments/<session>/<id of the ledger document>.json`` is the document as the ledger has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from engine.errors import AlreadyWritten
from engine.record.formats import json_bytes, read_json
from engine.record.objects import Objects

_PLACE = "adjustments/"


def keep_adjustments(objects: Objects, documents: Iterable[Mapping[str, Any]]) -> None:
    """Keep ledger documents of adjustments; one already kept stays as it is. Raises ``RecordError``."""
    for document in documents:
        key = f"{_PLACE}{document['trading_date']}/{document['broker_order_id']}.json"
        with suppress(AlreadyWritten):
            objects.put(key, json_bytes(dict(document)))


def kept_adjustments(objects: Objects) -> list[dict[str, Any]]:
    """Return the kept documents by session. Raises ``RecordError`` for one that is damaged."""
    return [read_json(key, objects.read(key)) for key in objects.list(_PLACE)]
