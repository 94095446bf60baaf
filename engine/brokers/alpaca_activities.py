"""Alpaca's account activities: executions, and whatever else changes a position, in one paged request.

Executions are read strictly: one that can't be read would be missed. The others come in shapes that were
never seen; one that can't be read is kept as ``unclear``, never dropped, for a person to look at. A split
comes as two activities, old shares taken away and new ones given. Source: ``GET /v2/account/activities`` in
Alpaca's OpenAPI document; its guide to the stream of activities, which has a sample of each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from engine.breaks import CorporateAction
from engine.brokers.alpaca_fields import figure_in, json_rows, readable_or_none, text_in
from engine.brokers.alpaca_lists import Query, every_activity, fill_of
from engine.orders import BrokerFill
from engine.symbols import canonical_symbol

ACTIVITY_TYPES = (
    "FILL",
    "SPLIT",
    "SPIN",
    "MA",
    "NC",
    "REO",
    "REORG",
    "DIV",
    "ACATS",
    "FOPT",
    "JNLS",
    "CFEE",
    "OPASN",
    "OPCA",
    "OPCSH",
    "OPEXC",
    "OPEXP",
    "OPTRD",
    "OCT",
)
"""What may change a position, of the types that Alpaca's document names: it refuses any other."""

UNCLEAR = "unclear"
_EXECUTED = "executed"
_NO_QTY = frozenset({"DIV"})
"""Types whose ``qty`` is what earned a payment, not what the position changed by."""
_DAY_LETTERS = 10

Activity = BrokerFill | CorporateAction


@dataclass(frozen=True)
class Activities:
    """What happened in an account after a moment, oldest first."""

    fills: list[BrokerFill]
    corporate_actions: list[CorporateAction]


def parse_activities(body: bytes) -> list[Activity]:
    """Read a list of activities; raises ``ValueError`` where it is none, or an execution can't be read."""
    return json_rows(body, _activity)


def all_activities(ask: Callable[[Query], list[Activity]], *, after: datetime | None) -> Activities:
    """Give all activities after a moment, oldest first, and perhaps a few from the two seconds before it.

    ``after`` is compared with when Alpaca wrote an activity down: for a split that may be a day later than
    the position changed. ``ask`` gives one page (``GET /v2/account/activities?…``, read by
    ``parse_activities``). Cash dividends are left out. Raises ``BrokerError`` where the pages do not come to
    an end.
    """
    rows = every_activity(ask, id_of=_id_of, after=after, activity_types=",".join(ACTIVITY_TYPES))
    return Activities(
        [row for row in rows if isinstance(row, BrokerFill)],
        [row for row in rows if isinstance(row, CorporateAction) and not _is_cash(row)],
    )


def _id_of(activity: Activity) -> str:
    return activity.fill_id if isinstance(activity, BrokerFill) else activity.activity_id


def _activity(reply: Mapping[str, Any]) -> Activity:
    return fill_of(reply) if reply.get("activity_type") == "FILL" else _corporate_action(reply)


def _corporate_action(reply: Mapping[str, Any]) -> CorporateAction:
    """Read an activity that is no execution, as far as it can be read."""
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
    is_sure = reply.get("status", _EXECUTED) == _EXECUTED and kind not in _NO_QTY
    return CorporateAction(
        activity_id=activity_id, kind=kind, symbol=symbol, qty=qty if is_sure else None, day=day, raw=reply
    )


def _day(reply: Mapping[str, Any], field: str) -> date:
    return date.fromisoformat(text_in(reply, field)[:_DAY_LETTERS])


def _is_cash(action: CorporateAction) -> bool:
    """Tell a dividend that was paid in money, which changes no position."""
    paid = readable_or_none(lambda raw, field: figure_in(raw, field, signed=True), action.raw, "net_amount")
    return action.kind == "DIV" and bool(paid)


def _fingerprint(reply: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(reply, sort_keys=True).encode()).hexdigest()[:16]
