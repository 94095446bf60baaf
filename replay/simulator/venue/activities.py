"""Account activities: the fills, one page at a time; other types are known and have none."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from itertools import islice
from typing import Any

from replay.simulator.account.book import Book, Fill
from replay.simulator.decimals import plain
from replay.simulator.intake import messages
from replay.simulator.intake.queries import count, day, moment, word, words
from replay.simulator.moments import NEW_YORK, SECOND, stamp_in_new_york, written
from replay.simulator.orders.ids import is_id

PAGE_SIZE = 100
TYPES = frozenset({
    "FILL", "TRANS", "MISC", "ACATC", "ACATS", "CFEE", "CGD", "CSD", "CSW", "DIV", "DIVCGL", "DIVCGS",
    "DIVFEE",
    "DIVFT", "DIVNRA", "DIVROC", "DIVTW", "DIVTXEX", "FEE", "INT", "INTNRA", "INTTW", "JNL", "JNLC",
    "JNLS", "MA",
    "NC", "OPASN", "OPCA", "OPCSH", "OPEXC", "OPEXP", "OPTRD", "PTC", "PTR", "REO", "REORG", "SPIN", "SPLIT",
    "FOPT", "OCT",
})  # fmt: skip

_FIRST_YEAR, _LAST_YEAR = 1970, 2200
_DIRECTIONS = frozenset({"asc", "desc"})
_CATEGORIES = frozenset({"", "trade_activity", "non_trade_activity"})


def activities(book: Book, kind: str | None, query: Mapping[str, str]) -> list[dict[str, Any]]:
    """Give a page of activities; raises ``Refusal`` for an unknown type and for values that can't be read."""
    fills = book.fills
    wants_fills = _wants_fills(kind, query)
    newest_first = word(query, "direction", _DIRECTIONS, "desc") == "desc"
    size = count(query, "page_size", PAGE_SIZE, PAGE_SIZE)
    first, last = _bounds(fills, query)
    token = query.get("page_token")
    if token:
        place = book.places.get(token.partition("::")[2])
        if place is None:
            raise messages.BAD_PARAMETER("page_token")
        first, last = (first, min(last, place)) if newest_first else (max(first, place + 1), last)
    order_id = query.get("order_id")
    if order_id and not is_id(order_id):
        raise messages.ORDER_ID_MISSING()
    if not wants_fills:
        return []
    places = range(first, last)
    found = (fills[place] for place in (reversed(places) if newest_first else places))
    if order_id:
        found = (fill for fill in found if fill.order.id == order_id.lower())
    return [body(fill) for fill in islice(found, size)]


def body(fill: Fill) -> dict[str, Any]:
    """Give Alpaca's JSON object of a fill."""
    return {
        "id": activity_id(fill),
        "activity_type": "FILL",
        "transaction_time": written(fill.t_ns),
        "type": "fill" if fill.complete else "partial_fill",
        "price": plain(fill.price),
        "qty": plain(fill.qty),
        "side": fill.order.side,
        "symbol": fill.order.symbol,
        "leaves_qty": plain(fill.leaves_qty),
        "order_id": fill.order.id,
        "cum_qty": plain(fill.cum_qty),
        "order_status": "filled" if fill.complete else "partially_filled",
    }


def activity_id(fill: Fill) -> str:
    """Give the id of an activity: the local time in New York, and the execution's own id."""
    return f"{stamp_in_new_york(fill.t_ns)}::{fill.id}"


def _wants_fills(kind: str | None, query: Mapping[str, str]) -> bool:
    if kind is not None:
        if kind not in TYPES:
            raise messages.BAD_ACTIVITY_TYPE(kind)
        return kind == "FILL"
    types = words(query, "activity_types")
    category = word(query, "category", _CATEGORIES, "")
    if types is not None and category:
        raise messages.TYPES_AND_CATEGORY()
    for name in sorted(types or ()):
        if name not in TYPES:
            raise messages.BAD_ACTIVITY_TYPE(name)
    return category != "non_trade_activity" if types is None else "FILL" in types


def _bounds(fills: list[Fill], query: Mapping[str, str]) -> tuple[int, int]:
    first, last = 0, len(fills)
    after_ns, until_ns = moment(query, "after"), moment(query, "until")
    if after_ns is not None:
        first = bisect_right(fills, after_ns, key=_time)
    if until_ns is not None:
        last = bisect_left(fills, until_ns, key=_time)
    wanted = day(query, "date")
    if wanted is not None:
        if not _FIRST_YEAR <= wanted.year <= _LAST_YEAR:
            return 0, 0
        midnight = datetime.combine(wanted, time(), NEW_YORK)
        following = datetime.combine(wanted + timedelta(days=1), time(), NEW_YORK)
        first = max(first, bisect_left(fills, _ns(midnight), key=_time))
        last = min(last, bisect_left(fills, _ns(following), key=_time))
    return first, last


def _time(fill: Fill) -> int:
    return fill.t_ns


def _ns(moment_: datetime) -> int:
    return int(moment_.timestamp()) * SECOND
