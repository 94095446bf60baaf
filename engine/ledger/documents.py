"""Fills as ledger documents, one per order, cumulative and idempotent; and their sums.

Pure: stored documents and the broker's reports go in, the documents to store come out. A document may hold
what both JSON and Firestore keep. That is the same for every store, so that a ledger can move from one to
another.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any, NotRequired, TypedDict, Unpack
from urllib.parse import quote

import numpy as np

from engine.errors import DocumentRefused, EngineError
from engine.model.keeping import DOCUMENT, Unkeepable, is_name, keepable, stored_size, too_large
from engine.model.orders import BrokerOrder, OrderIntent
from engine.model.quantity import BOUND, NOT_A_QUANTITY, UNITS, round_to_units
from engine.model.schema import INTENT_FIELDS
from engine.model.symbols import canonical_symbol

FILL_FIELDS = frozenset({"filled_qty", "filled_avg_price", "filled_at", "raw_broker_order", "raw_fill"})
"""A reply's fields about an order's fills; of two replies, the one with the larger ``filled_qty`` wins."""

COUNTS_AS_TRADE = "counts_as_trade"
"""False in a document whose group of orders another document counts as a trade; without it one counts."""

ADJUSTMENT = "adjustment"
"""The field of a document that balances the ledger and belongs to no order: the kind of difference that it
balances. Such a document is kept for ever as it was first written."""

SESSION_IS_ESTIMATED = "session_is_estimated"
"""True while ``trading_date`` comes from the order's own times and not from a reported execution. Only such a
``trading_date`` is replaced, once the executions are known."""

NO_SESSION = "times_without_session"
"""The times of executions that lie outside the years of the calendars."""

ADJUSTMENT_ID = "adjustment-"
"""The prefix of every adjustment's id, and of no order's."""

ADJUSTMENT_IDS = (ADJUSTMENT_ID, "adjustment.")
"""The first text with that prefix, and the first text after all of them."""

ID_BYTES = 1500

_SPARE = frozenset({"metadata", "raw_broker_order", "raw_fill"})
_ESSENTIAL = frozenset(
    {
        "broker_order_id", "client_intent_id", "broker_account_id", "strategy_id", "trading_date", "symbol",
        "side", "filled_qty", "filled_avg_price", "filled_at", COUNTS_AS_TRADE, "exit_of",
        SESSION_IS_ESTIMATED,
    }
)  # fmt: skip
_HASH_LETTERS = 16
_SIGNS = {"buy": 1, "sell": -1}


def ledger_document(
    intent: OrderIntent,
    order: BrokerOrder,
    *,
    trading_date: date,
    filled_at: datetime,
    raw_fill: Mapping[str, Any],
) -> dict[str, Any] | None:
    """Return the document of an order as the broker reports it now, None where nothing of it has filled.

    It holds every field of the intent that is set, the sums of the fills so far (``order``), the time of the
    last fill (``filled_at``, timezone-aware) and the broker's raw replies (``order.raw`` and ``raw_fill``,
    decimals still text). ``trading_date`` is the session of the order's *first* fill. Timestamps are text in
    UTC. Raises ``EngineError`` for a timestamp without a zone.
    """
    if not order.filled_qty > 0:
        return None
    whose = f"ledger document {order.broker_order_id}"
    intended = {field.name: getattr(intent, field.name) for field in INTENT_FIELDS}
    known = {
        "client_intent_id": intended["client_intent_id"] or order.client_order_id,
        "broker_order_id": order.broker_order_id,
        "trading_date": trading_date.isoformat(),
        "filled_qty": float(order.filled_qty),
        "filled_avg_price": order.filled_avg_price,
        "filled_at": filled_at,
        "raw_broker_order": dict(order.raw),
        "raw_fill": dict(raw_fill),
    }
    document = {name: value for name, value in {**intended, **known}.items() if _is_set(value)}
    return {
        name: _utc_text(value, f"{whose}: {name}") if isinstance(value, datetime) else value
        for name, value in document.items()
    }


class Adjustment(TypedDict):
    """A change that an operator accepts into the ledger so that it agrees with the broker again.

    ``qty``: the signed shares that the ledger lacks, rounded to units of 1e-9; 0 only acknowledges the
    ``evidence``. ``kind``: the kind of difference. ``by`` and ``why``: who accepted it, and the reason;
    ``at``: when, timezone-aware. ``trading_date``: the session that it belongs to. ``strategy_id``: the
    strategy whose book it changes, "" and where missing for the account's rest.
    """

    account: str
    symbol: str
    qty: float
    kind: str
    by: str
    why: str
    at: datetime
    trading_date: date
    evidence: Mapping[str, Any]
    strategy_id: NotRequired[str]


def adjustment_document(**said: Unpack[Adjustment]) -> dict[str, Any]:
    """Return the document of an adjustment, which belongs to no order and is no trade.

    Account, symbol, quantity, kind and evidence make its id, and not the strategy, which evidence may name.
    So accepting is idempotent: a difference is balanced once, and the first acceptance stays. Raises
    ``EngineError`` for an empty text, a value that is no quantity, a timestamp without a zone, and evidence
    that JSON can't hold.
    """
    account, symbol, kind, qty = said["account"], said["symbol"], said["kind"], said["qty"]
    whose = f"the adjustment of {symbol!r} in account {account!r}"
    texts = {"account": account, "symbol": symbol, "kind": kind, "by": said["by"], "why": said["why"]}
    for name, text in texts.items():
        if not text.strip():
            raise EngineError(f"{whose}: {name} is {text!r}; expected text. Nothing was written; add it.")
    (units,) = _units([qty])
    if units == NOT_A_QUANTITY:
        raise EngineError(
            f"{whose}: qty is {qty!r}; expected shares between -1e9 and 1e9. Nothing was written; correct it."
        )
    evidence = checked_document(said["evidence"], whose)
    identity = json.dumps([account, symbol, units, kind, evidence], sort_keys=True)
    return {
        "broker_order_id": ADJUSTMENT_ID + hashlib.sha256(identity.encode()).hexdigest()[:_HASH_LETTERS],
        "broker_account_id": account,
        "trading_date": said["trading_date"].isoformat(),
        "strategy_id": said.get("strategy_id", ""),
        "symbol": symbol,
        "side": "sell" if units < 0 else "buy",
        "filled_qty": abs(units) / UNITS,
        COUNTS_AS_TRADE: False,
        ADJUSTMENT: kind,
        "by": said["by"],
        "why": said["why"],
        "accepted_at": _utc_text(said["at"], f"{whose}: at"),
        "evidence": evidence,
    }


def signed_units(documents: Iterable[tuple[str, Any, Any, Any]]) -> list[tuple[str, int]]:
    """Return the canonical symbol and the units of 1e-9 shares of each of ``(id, symbol, side, filled_qty)``.

    Bought units are positive, sold units negative. Filled quantities are the broker's, rounded to the unit as
    its positions are. Raises ``EngineError`` for a document that can't be summed: none may be left out
    silently.
    """
    rows = list(documents)
    signed = []
    for (order_id, symbol, side, filled), units in zip(rows, _units([row[3] for row in rows]), strict=True):
        named = isinstance(symbol, str) and bool(symbol.strip())
        sided = isinstance(side, str) and side in _SIGNS
        if not (named and sided and units >= 0):
            raise EngineError(
                f"ledger document {order_id} can't be summed: symbol is {symbol!r:.80}, side {side!r:.80}, "
                f"filled_qty {filled!r:.80}; expected a symbol, buy or sell, and shares from 0 to 1e9. "
                f"Correct that document, and sync again."
            )
        signed.append((canonical_symbol(symbol), _SIGNS[side] * units))
    return signed


def net_units(documents: Iterable[tuple[str, Any, Any, Any]]) -> dict[str, int]:
    """Return the sum of documents by symbol, signed as in ``signed_units``; symbols with 0 are left out.

    Raises ``EngineError`` for a document that can't be summed.
    """
    net: dict[str, int] = {}
    for symbol, units in signed_units(documents):
        net[symbol] = net.get(symbol, 0) + units
    return {symbol: units for symbol, units in net.items() if units}


def checked_ledger_document(new: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a document to merge into the ledger, of plain maps, lists and values.

    It must name its ``broker_order_id``; where it has ``broker_account_id``, ``trading_date`` (ISO text) and
    ``filled_qty``, they must be valid. Raises ``EngineError``.
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


def document_name(order_id: str) -> str:
    """Return the name of an order's document in a store: its id, escaped where it can't be a name.

    Two ids never have the same name: names that begin with ``%`` are escaped ones.
    """
    usable = is_name(order_id) and "/" not in order_id and order_id not in {".", ".."} and order_id.strip()
    if usable and not order_id.startswith("%") and len(order_id.encode()) <= ID_BYTES:
        return order_id
    escaped = "%" + quote(order_id, safe="", errors="replace")
    if len(escaped) <= ID_BYTES:
        return escaped
    return "%sha256-" + hashlib.sha256(order_id.encode(errors="replace")).hexdigest()


def ledger_keys(document: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return ``broker_order_id``, ``broker_account_id`` and ``trading_date``, by which a document is counted.

    Raises ``EngineError`` where one is missing or invalid.
    """
    return _order_id(document), _text(document, "broker_account_id"), _session(document)


def checked_document(document: Mapping[str, Any], whose: str) -> dict[str, Any]:
    """Return a copy of a document, of plain maps, lists and values, as ``engine.model.keeping`` defines them.

    ``whose`` begins the message. Raises ``DocumentRefused`` for content that no store keeps.
    """
    copy, faults = keepable(document)
    fault = faults[0] if faults else too_large(copy, DOCUMENT)
    if fault is not None:
        what = f"{fault.path} is {fault.value}" if fault.path else f"it has {fault.value}"
        raise DocumentRefused(
            f"{whose} can't be kept: {what}; expected {fault.rule}. Nothing of this write was kept. "
            f"{fault.remedy}"
        )
    return copy


def bookable(document: Mapping[str, Any]) -> tuple[dict[str, Any], list[Unkeepable]]:
    """Return the part of an order's ledger document that can be kept, and each part that can't.

    Where it is too large, the ``_SPARE`` fields are left out, the largest first.
    """
    copy, faults = keepable(document)
    for name in sorted(_SPARE & copy.keys(), key=lambda name: -stored_size(copy[name])):
        fault = too_large(copy, DOCUMENT)
        if fault is None:
            break
        del copy[name]
        faults.append(Unkeepable(name, fault.value, f"with the others {fault.rule}", fault.remedy))
    return copy, faults


def essential(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return only the fields by which an order's ledger document is counted and summed."""
    return {name: value for name, value in document.items() if name in _ESSENTIAL}


def merge_ledger_document(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document to store after ``new`` is written over ``old`` (None: there is none yet).

    As Firestore's ``set(new, merge=True)``: maps are merged, at every depth, any other value replaces the
    old one (an empty map too), and fields that ``new`` lacks stay. Two rules are added. ``trading_date``,
    the session of the first fill, stays once written, unless it was an estimate. Where the ``filled_qty``
    of ``new`` is missing or below the known one, it is a late reply, and its ``FILL_FIELDS`` are ignored.
    An adjustment never changes: who accepted it first, when and why is kept for ever. The merge is
    idempotent, and neither argument is changed.

    Raises ``EngineError`` where ``new`` has a ``filled_qty`` that is no finite number from 0 on.
    """
    _check_filled_qty(new)
    if old is None:
        return _merged({}, new)
    if _is_adjustment(old):
        return _merged(old, {})
    kept: set[str] = set()
    if old.get("trading_date") is not None:
        was_estimated, is_estimated = (one.get(SESSION_IS_ESTIMATED) is True for one in (old, new))
        if was_estimated and not is_estimated and new.get("trading_date") is not None:
            new = {**new, SESSION_IS_ESTIMATED: False}
        else:
            kept |= {"trading_date", SESSION_IS_ESTIMATED}
    known_qty = old.get("filled_qty")
    if _is_quantity(known_qty) and not new.get("filled_qty", math.nan) >= known_qty:
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


def is_adjustment(order_id: str, adjustment: Any) -> bool:
    """Return whether a document is an adjustment, by its id and its field ``ADJUSTMENT``, None without one.

    An order's document may have a field of that name, too.
    """
    return adjustment is not None and order_id.startswith(ADJUSTMENT_ID)


def _is_adjustment(document: Mapping[str, Any]) -> bool:
    return is_adjustment(str(document.get("broker_order_id")), document.get(ADJUSTMENT))


def _units(quantities: Iterable[Any]) -> list[int]:
    """Return each in units of 1e-9, ``NOT_A_QUANTITY`` for anything that is no number of shares."""
    numbers = [
        qty if isinstance(qty, int | float) and not isinstance(qty, bool) and abs(qty) < BOUND else math.nan
        for qty in quantities
    ]
    units: list[int] = round_to_units(np.array(numbers, dtype=np.float64)).tolist()
    return units


def _check_filled_qty(new: Mapping[str, Any]) -> None:
    if "filled_qty" not in new:
        return
    qty = new["filled_qty"]
    if not _is_quantity(qty):
        raise DocumentRefused(
            f"ledger document {new.get('broker_order_id', '')}: filled_qty is {qty!r}; expected a finite "
            f"number from 0 on. Nothing of it was written; look the order up at the broker and sync again."
        )


def _is_quantity(qty: object) -> bool:
    return isinstance(qty, int | float) and not isinstance(qty, bool) and 0 <= qty < math.inf


def _is_set(value: object) -> bool:
    is_nan = isinstance(value, float) and math.isnan(value)
    return not (value is None or is_nan or value == {})


def _utc_text(timestamp: datetime, whose: str) -> str:
    if timestamp.tzinfo is None:
        raise EngineError(f"{whose} is {timestamp}, without a zone. Give it one, such as UTC.")
    return timestamp.astimezone(UTC).isoformat()


def _order_id(document: Mapping[str, Any]) -> str:
    return _text(document, "broker_order_id")


def _text(document: Mapping[str, Any], field: str) -> str:
    value = document.get(field)
    if not isinstance(value, str) or not value.strip():
        raise DocumentRefused(
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
        raise DocumentRefused(
            f"ledger document {document['broker_order_id']}: trading_date is {text!r}; expected a session "
            f"such as 2026-03-02. Nothing of this write was kept; correct it and sync again."
        )
    return text
