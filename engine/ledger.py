"""Fills become ledger documents: one per order, cumulative, indifferent to repetition.

Pure: what is stored and what a broker said go in, what is to be stored comes out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from engine.errors import EngineError

FILL_FIELDS = frozenset({"filled_qty", "filled_avg_price", "filled_at", "raw_broker_order", "raw_fill"})
"""What a reply says of an order's fills; of two replies, the one with the higher ``filled_qty`` counts."""


def merge_ledger_document(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> dict[str, Any]:
    """Give the document that is stored after ``new`` is written over ``old`` (None: there is none yet).

    As Firestore's ``set(new, merge=True)``: maps are merged, at every depth, anything else replaces what
    was there (an empty map too); fields that ``new`` lacks stay. And two rules on top: ``trading_date``
    once written stays, being the session of the first fill; and where ``new`` doesn't reach the
    ``filled_qty`` that is known, or has none, it is a late reply, and its ``FILL_FIELDS`` are passed over.
    Merging twice changes nothing, and neither argument is changed.

    Raises ``EngineError`` where ``new`` has a ``filled_qty`` that is no finite number from 0 on.
    """
    _check_filled_qty(new)
    if old is None:
        return _merged({}, new)
    kept: set[str] = set()
    if old.get("trading_date") is not None:
        kept.add("trading_date")
    known_qty = old.get("filled_qty")
    if known_qty is not None and not new.get("filled_qty", math.nan) >= known_qty:
        kept |= FILL_FIELDS
    return _merged(old, {field: value for field, value in new.items() if field not in kept})


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    result = {field: _copied(value) for field, value in old.items()}
    for field, value in new.items():
        before = result.get(field)
        if isinstance(value, Mapping) and value and isinstance(before, Mapping):
            result[field] = _merged(before, value)
        else:
            result[field] = _copied(value)
    return result


def _copied(value: Any) -> Any:
    return _merged({}, value) if isinstance(value, Mapping) else value


def _check_filled_qty(new: Mapping[str, Any]) -> None:
    if "filled_qty" not in new:
        return
    qty = new["filled_qty"]
    if isinstance(qty, bool) or not isinstance(qty, int | float) or not 0 <= qty < math.inf:
        raise EngineError(
            f"ledger document {new.get('broker_order_id', '')}: filled_qty is {qty!r}; expected a finite "
            f"number from 0 on. Nothing of it was written; look the order up at the broker and sync again."
        )
