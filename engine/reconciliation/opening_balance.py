"""The opening balance of an account in a ledger, and documents of what it had already that were booked later.

The first sync of an account that the ledger knows nothing of takes the broker's positions over. A ledger that
another data folder has opened, or that was opened anew after a loss, has so what runs of this folder had
filled by then; once their documents are booked as well (they count for daily limits), it has them twice.
Pure: documents go in, and what is to be written comes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from engine.ledger.documents import ADJUSTMENT, adjustment_document, net_units, signed_units
from engine.model.breaks import Break, units_of
from engine.model.orders import BrokerPosition
from engine.model.quantity import UNITS

OPENING = "opening_balance"
_OPENED_AT = "opened_at"
"""When an opening balance was that of the account, by the broker's clock."""
_HAD_ALREADY = "had_already"
"""Of the evidence of a correction: the id of the document that the opening balance had already."""


@dataclass(frozen=True)
class Booking:
    """Into which account's ledger documents are booked, when, and in which session."""

    account: str
    at: datetime
    trading_date: date


def opening_documents(
    positions: Iterable[BrokerPosition], booking: Booking, *, account_key: str, asked_at: datetime
) -> list[dict[str, Any]]:
    """Return the opening balance of an account; ``asked_at`` is before it was read, by the broker's clock."""
    said = [
        adjustment_document(
            account=booking.account,
            symbol=position.symbol,
            qty=units_of(position.qty) / UNITS,
            kind=OPENING,
            by="engine",
            why="the first sync of an account that the ledger knew nothing of",
            at=booking.at,
            trading_date=booking.trading_date,
            evidence={"account_key": account_key},
        )
        for position in positions
    ]
    return [{**document, _OPENED_AT: asked_at.astimezone(UTC).isoformat()} for document in said]


def may_have_twice(breaks: Iterable[Break]) -> bool:
    """Return whether ``corrections`` may explain any of these breaks; else no document has to be read."""
    return any(map(_is_without_cause, breaks))


def corrections(
    documents: Sequence[Mapping[str, Any]], breaks: Iterable[Break], booking: Booking
) -> list[dict[str, Any]]:
    """Return what takes out of an opening balance what documents that were booked later have as well.

    ``documents`` are all of the account's, and ``breaks`` what its comparison found. A symbol is corrected
    only where that explains the whole of a difference that nothing else does: then both books are equal.
    """
    gaps = {one.symbol: one.difference_qty for one in breaks if _is_without_cause(one)}
    opened = [_time_of(one) for one in documents if _is_opening(one)]
    timestamps = [one for one in opened if one is not None]
    if not gaps or not timestamps:
        return []
    corrected = {(one.get("evidence") or {}).get(_HAD_ALREADY) for one in documents}
    twice: dict[str, list[tuple[Mapping[str, Any], int]]] = {}
    for one in documents:
        if one["broker_order_id"] not in corrected and _was_before(one, max(timestamps)):
            ((symbol, units),) = signed_units([_summed(one)])
            twice.setdefault(symbol, []).append((one, units))
    return [
        _correction(one, symbol, units, booking)
        for symbol, found in twice.items()
        if symbol in gaps and sum(units for _, units in found) == -gaps[symbol]
        for one, units in found
        if units
    ]


def units_by_symbol(documents: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return what documents come to, in units of 1e-9 shares, by symbol."""
    return net_units(map(_summed, documents))


def _correction(document: Mapping[str, Any], symbol: str, units: int, booking: Booking) -> dict[str, Any]:
    order_id = str(document["broker_order_id"])
    return adjustment_document(
        account=booking.account,
        symbol=symbol,
        qty=-units / UNITS,
        kind=OPENING,
        by="engine",
        why=f"the opening balance had {order_id} already, which was booked after it",
        at=booking.at,
        trading_date=booking.trading_date,
        evidence={_HAD_ALREADY: order_id},
    )


def _is_without_cause(found: Break) -> bool:
    """Return whether nothing explains a difference, or only its ratio, which looks like a split's."""
    is_guess = found.kind == "corporate_action" and not found.activity_id
    return found.kind == "position_unexplained" or is_guess


def _is_correction(document: Mapping[str, Any]) -> bool:
    return _HAD_ALREADY in (document.get("evidence") or {})


def _is_opening(document: Mapping[str, Any]) -> bool:
    return document.get(ADJUSTMENT) == OPENING and not _is_correction(document)


def _was_before(document: Mapping[str, Any], opened_at: datetime) -> bool:
    """Return whether all of a document was in the account when it was opened; an opening only in a later."""
    timestamp = _time_of(document)
    if timestamp is None or _is_correction(document):
        return False
    return timestamp < opened_at if _is_opening(document) else timestamp <= opened_at


def _time_of(document: Mapping[str, Any]) -> datetime | None:
    """Return when the last of a document happened; None where it does not say so."""
    names = (_OPENED_AT, "accepted_at") if ADJUSTMENT in document else ("filled_at",)
    said = next((document[name] for name in names if document.get(name)), "")
    with suppress(ValueError, TypeError):
        timestamp = datetime.fromisoformat(said)
        return timestamp if timestamp.tzinfo else None
    return None


def _summed(document: Mapping[str, Any]) -> tuple[str, Any, Any, Any]:
    """Return what a document is summed by."""
    order_id = str(document["broker_order_id"])
    return order_id, document.get("symbol"), document.get("side"), document.get("filled_qty")
