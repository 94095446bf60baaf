"""Account activities, one page at a time: fills and splits; other known types are always empty."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from heapq import merge
from itertools import islice
from typing import Any

from replay.simulator.account.book import Book, Fill, SplitPart
from replay.simulator.decimals import plain
from replay.simulator.intake import messages
from replay.simulator.intake.queries import count, day, timestamp_ns, word, words
from replay.simulator.orders.ids import is_id
from replay.simulator.timestamps import NEW_YORK, SECOND, stamp_in_new_york, written

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
_EVERYTHING = frozenset({"FILL", "SPLIT"})
_OF_CATEGORY = {
    "": _EVERYTHING,
    "trade_activity": frozenset({"FILL"}),
    "non_trade_activity": frozenset({"SPLIT"}),
}

_Activity = Fill | SplitPart


def activities(book: Book, kind: str | None, query: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a page of activities; raises ``Refusal`` for an unknown type or an invalid parameter."""
    rows = _rows(book, _wanted(kind, query))
    newest_first = word(query, "direction", _DIRECTIONS, "desc") == "desc"
    size = count(query, "page_size", PAGE_SIZE, PAGE_SIZE)
    first, last = _bounds(rows, query)
    token = query.get("page_token")
    if token:
        place = _place(book, rows, token.partition("::")[2])
        first, last = (first, min(last, place)) if newest_first else (max(first, place + 1), last)
    order_id = query.get("order_id")
    if order_id and not is_id(order_id):
        raise messages.ORDER_ID_MISSING()
    places = range(first, last)
    found = (rows[place] for place in (reversed(places) if newest_first else places))
    if order_id:
        found = (row for row in found if isinstance(row, Fill) and row.order.id == order_id.lower())
    return [body(row) if isinstance(row, Fill) else split_body(row) for row in islice(found, size)]


def body(fill: Fill) -> dict[str, Any]:
    """Return Alpaca's JSON object of a fill."""
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


def split_body(part: SplitPart) -> dict[str, Any]:
    """Return Alpaca's JSON object of one half of a split: the shares removed, or the shares added."""
    stamp = stamp_in_new_york(part.t_ns)
    return {
        "id": activity_id(part),
        "activity_type": "SPLIT",
        "activity_sub_type": part.kind,
        "date": f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}",
        "created_at": written(part.t_ns),
        "net_amount": "0",
        "symbol": part.symbol,
        "qty": plain(part.qty),
        "group_id": part.group_id,
        "currency": "USD",
        "status": "executed",
    }


def activity_id(activity: _Activity) -> str:
    """Return the id of an activity: the local time in New York and a unique id."""
    return f"{stamp_in_new_york(activity.t_ns)}::{activity.id}"


def _rows(book: Book, wanted: frozenset[str]) -> Sequence[_Activity]:
    """Return the activities of the wanted types, oldest first."""
    if "SPLIT" not in wanted or not book.split_parts:
        return book.fills if "FILL" in wanted else []
    if "FILL" not in wanted:
        return book.split_parts
    both: tuple[Sequence[_Activity], ...] = (book.fills, book.split_parts)
    return list(merge(*both, key=_time))


def _place(book: Book, rows: Sequence[_Activity], name: str) -> int:
    """Return the index of the activity that a page ended with; raises ``Refusal`` if it is unknown."""
    if rows is book.fills:
        place = book.places.get(name)
    else:
        place = next((place for place, row in enumerate(rows) if row.id == name), None)
    if place is None:
        raise messages.BAD_PARAMETER("page_token")
    return place


def _wanted(kind: str | None, query: Mapping[str, str]) -> frozenset[str]:
    """Return the requested types, of those that the simulator has."""
    if kind is not None:
        if kind not in TYPES:
            raise messages.BAD_ACTIVITY_TYPE(kind)
        return _EVERYTHING & {kind}
    types = words(query, "activity_types")
    category = word(query, "category", _CATEGORIES, "")
    if types is not None and category:
        raise messages.TYPES_AND_CATEGORY()
    for name in sorted(types or ()):
        if name not in TYPES:
            raise messages.BAD_ACTIVITY_TYPE(name)
    return _OF_CATEGORY[category] if types is None else _EVERYTHING & types


def _bounds(rows: Sequence[_Activity], query: Mapping[str, str]) -> tuple[int, int]:
    first, last = 0, len(rows)
    after_ns, until_ns = timestamp_ns(query, "after"), timestamp_ns(query, "until")
    if after_ns is not None:
        first = bisect_right(rows, after_ns, key=_time)
    if until_ns is not None:
        last = bisect_left(rows, until_ns, key=_time)
    wanted = day(query, "date")
    if wanted is not None:
        if not _FIRST_YEAR <= wanted.year <= _LAST_YEAR:
            return 0, 0
        midnight = datetime.combine(wanted, time(), NEW_YORK)
        following = datetime.combine(wanted + timedelta(days=1), time(), NEW_YORK)
        first = max(first, bisect_left(rows, _ns(midnight), key=_time))
        last = min(last, bisect_left(rows, _ns(following), key=_time))
    return first, last


def _time(activity: _Activity) -> int:
    return activity.t_ns


def _ns(timestamp: datetime) -> int:
    return int(timestamp.timestamp()) * SECOND
