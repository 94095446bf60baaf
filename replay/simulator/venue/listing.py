"""Lists of orders: filters, sorting and limit of ``GET /v2/orders``.

Orders are read from the newest or the oldest on until the page is full. A filter by symbol reads only the
orders of those symbols, a list of open orders only the open ones.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from typing import Any

from replay.simulator.exchange.matching import TO_EXCHANGE_NS
from replay.simulator.intake import messages
from replay.simulator.intake.queries import count, flag, timestamp_ns, word, words
from replay.simulator.orders.ids import is_id
from replay.simulator.orders.index import OrderIndex
from replay.simulator.orders.order import Order

DEFAULT_LIMIT = 50
MOST = 500

_STATUSES = frozenset({"open", "closed", "all"})
_DIRECTIONS = frozenset({"asc", "desc"})
_SIDES = frozenset({"buy", "sell"})
_ASSET_CLASSES = frozenset({"us_equity", "us_option", "crypto", "crypto_perp", "ipo", "all"})


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """The filter of a list; its bounds are exclusive."""

    status: str
    limit: int
    newest_first: bool
    nested: bool
    symbols: frozenset[str] | None
    side: str
    us_equity: bool
    after_ns: int | None
    until_ns: int | None
    after_sequence: int
    before_sequence: int

    def includes(self, order: Order) -> bool:
        """Return whether an order belongs to the list."""
        if self.nested and order.group is not None and order.group.has_leg(order):
            return False
        if self.status == "open" and not _is_open(order, nested=self.nested):
            return False
        if self.status == "closed" and _is_at_work(order, nested=self.nested):
            return False
        if self.side and order.side != self.side:
            return False
        if self.after_ns is not None and order.submitted_ns <= self.after_ns:
            return False
        return self.until_ns is None or order.submitted_ns < self.until_ns


def listed(index: OrderIndex, query: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the bodies of the orders that match a query; raises ``Refusal`` for invalid parameters."""
    wanted = read_filter(index, query)
    if not wanted.us_equity:
        return []
    found = (order for order in _candidates(index, wanted) if wanted.includes(order))
    return [order.body(legs=wanted.nested) for order in islice(found, wanted.limit)]


def read_filter(index: OrderIndex, query: Mapping[str, str]) -> OrderFilter:
    """Return the filter in the query parameters; raises ``Refusal`` for invalid ones."""
    after_id, before_id = query.get("after_order_id"), query.get("before_order_id")
    after_ns, until_ns = timestamp_ns(query, "after"), timestamp_ns(query, "until")
    if after_id and before_id:
        raise messages.BOTH_ORDER_IDS()
    if (after_id or before_id) and (after_ns is not None or until_ns is not None):
        raise messages.ORDER_ID_AND_TIME()
    side = query.get("side") or ""
    if side and side not in _SIDES:
        raise messages.BAD_SIDE()
    classes = words(query, "asset_class")
    if classes is not None and not classes <= _ASSET_CLASSES:
        raise messages.BAD_PARAMETER("asset_class")
    return OrderFilter(
        status=word(query, "status", _STATUSES, "open"),
        limit=count(query, "limit", DEFAULT_LIMIT, MOST),
        newest_first=word(query, "direction", _DIRECTIONS, "desc") == "desc",
        nested=flag(query, "nested"),
        symbols=words(query, "symbols"),
        side=side,
        us_equity=classes is None or bool(classes & {"us_equity", "all"}),
        after_ns=after_ns,
        until_ns=until_ns,
        after_sequence=_sequence(index, after_id) if after_id else -1,
        before_sequence=_sequence(index, before_id) if before_id else len(index.everything),
    )


def _candidates(index: OrderIndex, wanted: OrderFilter) -> Iterator[Order]:
    """Yield orders in the order of the list, skipping ranges that can't belong to it."""
    if wanted.symbols is not None:
        lists = [index.by_symbol.get(symbol, []) for symbol in wanted.symbols]
        ranges = [_range(orders, wanted) for orders in lists]
        sign = -1 if wanted.newest_first else 1
        yield from merge(*ranges, key=lambda order: sign * order.sequence)
    elif wanted.status == "open" and not wanted.nested:
        values = index.open.values()  # oldest first
        for order in reversed(values) if wanted.newest_first else values:
            if wanted.after_sequence < order.sequence < wanted.before_sequence:
                yield order
    else:
        yield from _range(index.everything, wanted)


def _range(orders: list[Order], wanted: OrderFilter) -> Iterable[Order]:
    """Return the orders within the bounds; ``submitted_at`` is at most a few milliseconds after creation."""
    first = bisect_left(orders, wanted.after_sequence + 1, key=_place)
    last = bisect_left(orders, wanted.before_sequence, key=_place)
    if wanted.after_ns is not None:
        first = max(first, bisect_left(orders, wanted.after_ns - TO_EXCHANGE_NS, key=_created))
    if wanted.until_ns is not None:
        last = min(last, bisect_left(orders, wanted.until_ns, key=_created))
    places = range(first, last)
    return (orders[place] for place in (reversed(places) if wanted.newest_first else places))


def _is_open(order: Order, *, nested: bool) -> bool:
    """Return whether a list of open orders has an order: held legs only under their parent (python #322)."""
    return _is_at_work(order, nested=nested) and (nested or order.status != "held")


def _is_at_work(order: Order, *, nested: bool) -> bool:
    """Return whether an order, or a leg nested under it, is not terminal."""
    if nested and order.group is not None and order is order.group.parent:
        return any(member.open for member in order.group.members.values())
    return order.open


def _sequence(index: OrderIndex, order_id: str) -> int:
    order = index.by_id.get(order_id) if is_id(order_id) else None
    if order is None:
        raise messages.ORDER_NOT_FOUND(order_id)
    return order.sequence


def _place(order: Order) -> int:
    return order.sequence


def _created(order: Order) -> int:
    return order.created_ns
