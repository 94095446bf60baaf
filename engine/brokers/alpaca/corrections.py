"""Busted and corrected executions: which executions remain valid, and which orders are affected.

A bust cancels an earlier execution, a correction replaces it; both name it in ``previous_id``, and differ in
``type`` (``execution_type`` in the stream). Source: ``execution_type`` and ``previous_id`` of an activity
event in Alpaca's OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Iterable

from engine.brokers.alpaca.fields import readable_or_none, text_in
from engine.model.orders import BrokerFill

BUST, CORRECTION = "trade_bust", "trade_correct"
_NAMES = {"trade_bust": BUST, "bust": BUST, "trade_correct": CORRECTION, "correct": CORRECTION}


def correction_in(fill: BrokerFill) -> str:
    """Return ``BUST`` or ``CORRECTION``, "" for an execution."""
    words = (readable_or_none(text_in, fill.raw, name) for name in ("type", "execution_type"))
    return next((_NAMES[word] for word in words if word in _NAMES), "")


def standing(fills: Iterable[BrokerFill]) -> list[BrokerFill]:
    """Return the valid executions, in their order: without busts and without what these cancel or replace."""
    rows = list(fills)
    changes = [row for row in rows if correction_in(row)]
    if not changes:
        return rows
    taken_back = {_previous(change, rows) for change in changes}
    return [row for row in rows if correction_in(row) != BUST and row.fill_id not in taken_back]


def corrected_orders(fills: Iterable[BrokerFill]) -> frozenset[str]:
    """Return the ids of the orders with a busted or corrected execution."""
    return frozenset(row.broker_order_id for row in fills if correction_in(row))


def _previous(change: BrokerFill, rows: Iterable[BrokerFill]) -> str:
    """Return the id of the execution that a bust or correction refers to; "" where it isn't among the rows.

    Without ``previous_id``, that is the latest one of the same order and quantity.
    """
    named = readable_or_none(text_in, change.raw, "previous_id")
    earlier = [row for row in rows if row.broker_order_id == change.broker_order_id and row is not change]
    if named:
        same = [row for row in earlier if named in {row.fill_id, row.fill_id.rpartition("::")[2]}]
    else:
        same = [row for row in earlier if row.qty == change.qty and not correction_in(row)]
    return same[-1].fill_id if same else ""
