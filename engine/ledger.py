"""Fills become ledger documents: one per order, cumulative, indifferent to repetition.

Pure: what is stored and what a broker said go in, what is to be stored comes out. What a document may hold
is the same for every store, so that a ledger can move from one to another: what JSON and Firestore both keep.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from engine.errors import EngineError
from engine.orders import BrokerOrder, OrderIntent
from engine.schema import INTENT_FIELDS

FILL_FIELDS = frozenset({"filled_qty", "filled_avg_price", "filled_at", "raw_broker_order", "raw_fill"})
"""What a reply says of an order's fills; of two replies, the one with the higher ``filled_qty`` counts."""

COUNTS_AS_TRADE = "counts_as_trade"
"""False in a document whose group of orders is a trade by another one's; a document without it counts."""

NAME_BYTES = 1000
"""Bytes of a field's name, with those of the maps around it: Firestore indexes paths of up to 1,500."""
ID_BYTES = 1500
LEVELS = 20
"""Maps and lists within each other in a field; a list in a list counts twice, being kept within a map."""

_RESERVED = re.compile(r"__.*__", re.DOTALL)
_INT64 = range(-(2**63), 2**63)


def ledger_document(
    intent: OrderIntent,
    order: BrokerOrder,
    *,
    trading_date: date,
    filled_at: datetime,
    raw_fill: Mapping[str, Any],
) -> dict[str, Any] | None:
    """Give the document of an order as the broker describes it now, None where nothing of it has filled.

    It holds every field of the intent that is set, and of the fills so far the sums (``order``), the moment
    of the last one (``filled_at``, timezone-aware) and the broker's own words (``order.raw`` and
    ``raw_fill``, decimals still text). ``trading_date`` is the session of the order's *first* fill.
    Moments are text in UTC. Raises ``EngineError`` for a moment without a zone.
    """
    if not order.filled_qty > 0:
        return None
    whose = f"ledger document {order.broker_order_id}"
    said = {field.name: getattr(intent, field.name) for field in INTENT_FIELDS}
    known = {
        "client_intent_id": said["client_intent_id"] or order.client_order_id,
        "broker_order_id": order.broker_order_id,
        "trading_date": trading_date.isoformat(),
        "filled_qty": float(order.filled_qty),
        "filled_avg_price": order.filled_avg_price,
        "filled_at": filled_at,
        "raw_broker_order": dict(order.raw),
        "raw_fill": dict(raw_fill),
    }
    document = {name: value for name, value in {**said, **known}.items() if _is_set(value)}
    return {
        name: _utc_text(value, f"{whose}: {name}") if isinstance(value, datetime) else value
        for name, value in document.items()
    }


def checked_ledger_document(new: Mapping[str, Any]) -> dict[str, Any]:
    """Give a copy of what is to be merged into the ledger, of plain maps, lists and values.

    It must name its ``broker_order_id``; where it has ``broker_account_id``, ``trading_date`` (ISO text) and
    ``filled_qty``, they must be good ones. Raises ``EngineError``.
    """
    whose = f"ledger document {new.get('broker_order_id', '')}"
    document = checked_document(new, whose)
    _order_id(document)
    if "broker_account_id" in document:
        _text(document, "broker_account_id")
    if "trading_date" in document:
        _session(document)
    _check_filled_qty(document)
    return document


def ledger_keys(document: Mapping[str, Any]) -> tuple[str, str, str]:
    """Give ``broker_order_id``, ``broker_account_id`` and ``trading_date``, by which a document is counted.

    Raises ``EngineError`` where one is missing or not what it should be.
    """
    return _order_id(document), _text(document, "broker_account_id"), _session(document)


def checked_document(document: Mapping[str, Any], whose: str) -> dict[str, Any]:
    """Give a copy of a document, of plain maps, lists and values; raises ``EngineError`` for anything else.

    A document is made of maps, lists, text, numbers, true, false and nothing, as JSON is. And since
    Firestore says so: whole numbers of 64 bits, at most ``LEVELS`` levels, and names that are neither empty,
    ``__reserved__`` nor longer than ``NAME_BYTES``. ``whose`` begins the message.
    """
    return _plain_map(document, "", whose, 0)


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


def _is_set(value: object) -> bool:
    is_nan = isinstance(value, float) and math.isnan(value)
    return not (value is None or is_nan or value == {})


def _utc_text(moment: datetime, whose: str) -> str:
    if moment.tzinfo is None:
        raise EngineError(f"{whose} is {moment}, without a zone. Give it one, such as UTC.")
    return moment.astimezone(UTC).isoformat()


def _order_id(document: Mapping[str, Any]) -> str:
    order_id = _text(document, "broker_order_id")
    if (
        "/" in order_id
        or order_id in {".", ".."}
        or _RESERVED.fullmatch(order_id)
        or len(order_id.encode()) > ID_BYTES
    ):
        raise EngineError(
            f"ledger document {order_id[:80]}: broker_order_id is no name for a document; expected at most "
            f"{ID_BYTES} bytes of text without a slash, and not ., .. or __of this form__. Nothing of this "
            f"write was kept; look the order up at the broker and sync again."
        )
    return order_id


def _text(document: Mapping[str, Any], field: str) -> str:
    value = document.get(field)
    if not isinstance(value, str) or not value.strip():
        raise EngineError(
            f"ledger document {document.get('broker_order_id', '')}: {field} is {value!r}; expected text. "
            f"Nothing of this write was kept; look the order up at the broker and sync again."
        )
    return value


def _session(document: Mapping[str, Any]) -> str:
    text = _text(document, "trading_date")
    try:
        plain = date.fromisoformat(text).isoformat() == text
    except ValueError:
        plain = False
    if not plain:
        raise EngineError(
            f"ledger document {document['broker_order_id']}: trading_date is {text!r}; expected a session "
            f"such as 2026-03-02. Nothing of this write was kept; correct it and sync again."
        )
    return text


def _plain_map(values: Mapping[str, Any], path: str, whose: str, level: int) -> dict[str, Any]:
    result = {}
    for name, value in values.items():
        inner = f"{path}.{name}" if path else str(name)
        if (
            not isinstance(name, str)
            or not name
            or _RESERVED.fullmatch(name)
            or not _is_unicode(name)
            or len(inner.encode()) > NAME_BYTES
        ):
            rule = f"text, not empty nor __of this form__, at most {NAME_BYTES} bytes with the maps around it"
            raise _not_plain(whose, f"a field in {path or 'it'} is called {name!r:.80}", rule)
        result[name] = _plain(value, inner, whose, level)
    return result


def _plain(value: Any, path: str, whose: str, level: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if _is_unicode(value):
            return str.__str__(value)  # of an enum's member, what it says
        rule = "text that is Unicode, without halves of characters"
    elif isinstance(value, int):
        if value in _INT64:
            return int(value)
        rule = "a whole number of 64 bits, or text"
    elif isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        rule = "a finite number, or none at all"
    elif isinstance(value, Mapping | list | tuple):
        if level < LEVELS:
            return _plain_container(value, path, whose, level + 1)
        rule = f"at most {LEVELS} maps and lists within each other"
    else:
        rule = "what JSON holds: decimals and moments as text"
    raise _not_plain(whose, f"{path:.80} is {value!r:.80}", rule)


def _plain_container(
    value: Mapping[str, Any] | list[Any] | tuple[Any, ...], path: str, whose: str, level: int
) -> dict[str, Any] | list[Any]:
    if isinstance(value, Mapping):
        return _plain_map(value, path, whose, level)
    return [_plain(item, path, whose, level + isinstance(item, list | tuple)) for item in value]


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _not_plain(whose: str, what: str, rule: str) -> EngineError:
    return EngineError(
        f"{whose} can't be kept: {what}; expected {rule}. Nothing of this write was kept; correct that, or "
        f"leave it out, and try again."
    )
