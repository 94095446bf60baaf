"""Alpaca's account activities: executions, and everything else that changes a position, in one paged list.

Executions are parsed strictly: an unreadable one would be missed. Other activities may have undocumented
shapes; an unreadable one is kept as ``unclear`` for an operator, never dropped. A split consists of two
activities: old shares removed, new shares added. Source: ``GET /v2/account/activities`` in Alpaca's OpenAPI
document; its guide to the stream of activities, which has a sample of each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from engine.brokers.alpaca.corrections import corrected_orders, standing
from engine.brokers.alpaca.fields import figure_in, json_rows, readable_or_none, text_in
from engine.brokers.alpaca.lists import Query, every_activity, fill_of
from engine.brokers.trading import Activities
from engine.model.breaks import CorporateAction
from engine.model.orders import BrokerFill
from engine.model.symbols import canonical_symbol

CHANGES = frozenset(
    {
        "SPLIT", "SPIN", "MA", "NC", "REO", "REORG", "DIV", "ACATS", "FOPT", "JNLS", "CFEE", "OPASN", "OPCA",
        "OPCSH", "OPEXC", "OPEXP", "OPTRD", "OCT", "CIL",
    }
)  # fmt: skip
"""Types that may change a position; their ``qty`` is the change, except for ``_NO_QTY``."""
MONEY = frozenset(
    {
        "TRANS", "ACATC", "CGD", "CSD", "CSW", "DIVCGL", "DIVCGS", "DIVFEE", "DIVFT", "DIVNRA", "DIVROC",
        "DIVTW", "DIVTXEX", "DIVWH", "FEE", "INT", "INTNRA", "INTTW", "JNLC", "PTC", "PTR", "WH",
    }
)  # fmt: skip
"""Types that move only cash. A type in neither set is unknown: it is kept and reported."""

UNCLEAR = "unclear"
_EXECUTED = "executed"
_IN_LIEU = "CIL"
_NO_QTY = frozenset({"DIV", _IN_LIEU})
"""Types whose ``qty`` is the quantity that earned a payment, not a change of the position."""
_DAY_LETTERS = 10

Activity = BrokerFill | CorporateAction


def parse_activities(body: bytes) -> list[Activity]:
    """Return a list of activities; raises ``ValueError`` for another body or an unreadable execution."""
    return json_rows(body, _activity)


def all_activities(ask: Callable[[Query], list[Activity]], *, after: datetime | None) -> Activities:
    """Return all activities after a timestamp, oldest first; a few may be up to two seconds earlier.

    ``after`` is compared with the time at which Alpaca recorded an activity: for a split that may be a day
    after the position changed. ``ask`` returns one page (``GET /v2/account/activities?…``, parsed by
    ``parse_activities``), of all types, since the list of types grows. Activities that move only cash are
    left out. Raises ``BrokerError`` where the pages do not end.
    """
    rows = every_activity(ask, id_of=_id_of, after=after)
    fills = [row for row in rows if isinstance(row, BrokerFill)]
    return Activities(
        standing(fills),
        [row for row in rows if isinstance(row, CorporateAction) and not _is_cash(row)],
        corrected_orders(fills),
    )


def _id_of(activity: Activity) -> str:
    return activity.fill_id if isinstance(activity, BrokerFill) else activity.activity_id


def _activity(reply: Mapping[str, Any]) -> Activity:
    return fill_of(reply) if reply.get("activity_type") == "FILL" else _corporate_action(reply)


def _corporate_action(reply: Mapping[str, Any]) -> CorporateAction:
    """Return an activity that is no execution, as far as it is readable."""
    day = readable_or_none(_day, reply, "date")
    try:
        kind = text_in(reply, "activity_type")
        symbol = canonical_symbol(text_in(reply, "symbol", default=""))
        qty = figure_in(reply, "qty", signed=True)
        activity_id = text_in(reply, "id")
    except ValueError:
        return CorporateAction(
            activity_id=readable_or_none(text_in, reply, "id") or f"unread-{_fingerprint(reply)}",
            kind=UNCLEAR,
            symbol=canonical_symbol(readable_or_none(text_in, reply, "symbol") or ""),
            day=day,
            raw=reply,
        )
    is_sure = reply.get("status", _EXECUTED) == _EXECUTED and kind in CHANGES - _NO_QTY
    change = qty if is_sure else None
    return CorporateAction(
        activity_id=activity_id,
        kind=kind,
        symbol=symbol,
        qty=change,
        day=day,
        raw=reply,
        group_id=readable_or_none(text_in, reply, "group_id") or "",
        is_known=kind in CHANGES | MONEY,
        is_cash_in_lieu=kind == _IN_LIEU or (kind == "SPLIT" and not change and bool(_paid(reply))),
    )


def _day(reply: Mapping[str, Any], field: str) -> date:
    return date.fromisoformat(text_in(reply, field)[:_DAY_LETTERS])


def _is_cash(action: CorporateAction) -> bool:
    """Return whether an activity moved only cash, for example a dividend paid in cash."""
    return action.kind in MONEY or (action.kind == "DIV" and bool(_paid(action.raw)))


def _paid(reply: Mapping[str, Any]) -> float | None:
    return readable_or_none(lambda raw, field: figure_in(raw, field, signed=True), reply, "net_amount")


def _fingerprint(reply: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(reply, sort_keys=True).encode()).hexdigest()[:16]
