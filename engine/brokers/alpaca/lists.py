"""Alpaca's lists: all pages of orders, positions and fills.

Orders are paged by the id of the last order, fills by the id of the last activity, never by time: rows with
the same timestamp as a page's last row would be lost. Source: ``GET /v2/orders`` and ``GET
/v2/account/activities/{activity_type}`` in Alpaca's OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlencode

from engine.brokers.alpaca.corrections import standing
from engine.brokers.alpaca.fields import (
    figure_in,
    json_rows,
    needed_figure_in,
    readable_or_none,
    text_in,
    timestamp_in,
    word_in,
)
from engine.brokers.alpaca.orders import order_of
from engine.brokers.alpaca.text import shown
from engine.errors import BrokerError, UsageError
from engine.model.orders import BrokerFill, BrokerOrder, BrokerPosition
from engine.model.symbols import canonical_symbol

Query = Mapping[str, str]

_ORDERS_A_PAGE, _ORDERS_A_GROUP = 500, 3
_ACTIVITIES_A_PAGE = 100
_SIDES = {"buy": "buy", "sell": "sell", "sell_short": "sell"}
_MICROSECOND, _SECOND = timedelta(microseconds=1), timedelta(seconds=1)

_Row = TypeVar("_Row")


def parse_orders(body: bytes) -> list[BrokerOrder]:
    """Return a list of orders; raises ``ValueError`` where any row is not an order."""
    return json_rows(body, order_of)


def parse_positions(body: bytes) -> list[BrokerPosition]:
    """Return a list of positions; raises ``ValueError`` where any row is not a position."""
    return json_rows(body, _position)


def parse_fills(body: bytes) -> list[BrokerFill]:
    """Return a list of FILL activities; raises ``ValueError`` where any row is not a fill."""
    return json_rows(body, fill_of)


def every_order(
    ask: Callable[[Query], list[BrokerOrder]], *, sought: frozenset[str] = frozenset(), **asked: str
) -> list[BrokerOrder]:
    """Return all orders that a query selects, oldest first, groups under their first order.

    ``ask`` returns one page. ``sought``: ids of orders; reading stops once the number of missing ones is at
    most the number of pages read. Raises ``BrokerError`` where the pages do not end.
    """
    query = {**asked, "nested": "true", "direction": "asc", "limit": str(_ORDERS_A_PAGE)}
    later = {name: value for name, value in query.items() if name != "after"}  # excludes after_order_id
    missing, pages = set(sought), 0

    def is_last(page: list[BrokerOrder]) -> bool:
        nonlocal pages
        pages += 1
        missing.difference_update(order.broker_order_id for order in page)
        return _is_last_page_of_orders(page) or (bool(sought) and len(missing) <= pages)

    return _every_row(
        lambda last_id: ask({**later, "after_order_id": last_id} if last_id else query),
        id_of=lambda order: order.broker_order_id,
        is_last=is_last,
    )


def every_fill(ask: Callable[[Query], list[BrokerFill]], *, after: datetime | None) -> list[BrokerFill]:
    """Return all executions after a timestamp, oldest first; a few may be up to two seconds earlier.

    ``ask`` returns one page. Busted executions are left out, corrected ones are replaced by their correction.
    Raises ``BrokerError`` where the pages do not end.
    """
    return standing(every_activity(ask, id_of=lambda fill: fill.fill_id, after=after))


def every_activity(
    ask: Callable[[Query], list[_Row]], *, id_of: Callable[[_Row], str], after: datetime | None, **asked: str
) -> list[_Row]:
    """Return all activities after a timestamp that a query selects, as ``every_fill`` does for executions.

    ``ask`` returns one page, ``id_of`` an activity's own id.
    """
    query = {**asked, "direction": "asc", "page_size": str(_ACTIVITIES_A_PAGE)}
    if after is not None:  # only whole seconds are documented
        query["after"] = f"{_utc(after) - _SECOND:%Y-%m-%dT%H:%M:%SZ}"
    return _every_row(
        lambda last_id: ask({**query, "page_token": last_id} if last_id else query),
        id_of=id_of,
        is_last=lambda page: len(page) < _ACTIVITIES_A_PAGE,
    )


def at_or_after(timestamp: datetime) -> str:
    """Return the exclusive bound ``after`` that includes orders at this timestamp."""
    return f"{_utc(timestamp) - _MICROSECOND:%Y-%m-%dT%H:%M:%S.%fZ}"


def first_request_since(timestamp: datetime) -> str:
    """Return path and query of the first request for all orders at or after a time."""
    asked: list[str] = []

    def ask(query: Query) -> list[BrokerOrder]:
        asked.append(f"/v2/orders?{urlencode(query)}")
        return []

    every_order(ask, status="all", after=at_or_after(timestamp))
    return asked[0]


def _every_row(
    page_after: Callable[[str], list[_Row]],
    *,
    id_of: Callable[[_Row], str],
    is_last: Callable[[list[_Row]], bool],
) -> list[_Row]:
    """Return the rows of all pages, each id once, in its latest version."""
    found: dict[str, _Row] = {}
    page = page_after("")
    while page:
        known = len(found)
        found.update((id_of(row), row) for row in page)
        if len(found) == known:
            raise BrokerError(
                f"the broker's list does not come to an end: after {known} rows its pages repeat. "
                f"Nothing was changed; retry."
            )
        if is_last(page):
            break
        page = page_after(id_of(page[-1]))
    return list(found.values())


def _is_last_page_of_orders(page: list[BrokerOrder]) -> bool:
    """Return whether no page can follow; it is undocumented whether the limit counts legs."""
    groups = any(order.legs or order.order_class not in {"", "simple"} for order in page)
    return len(page) * (_ORDERS_A_GROUP if groups else 1) < _ORDERS_A_PAGE


def _position(reply: Mapping[str, Any]) -> BrokerPosition:
    """Return a position; short ones have a negative qty in recordings, and side ``short``."""
    side = text_in(reply, "side")
    qty = needed_figure_in(reply, "qty", signed=True)
    if side not in {"long", "short"} or (side == "long" and qty < 0):
        raise ValueError(f"its side is {shown(side)} and its qty {shown(qty)}")
    return BrokerPosition(
        symbol=canonical_symbol(text_in(reply, "symbol")),
        qty=-abs(qty) if side == "short" else qty,
        avg_price=figure_in(reply, "avg_entry_price", signed=True),
        market_value=figure_in(reply, "market_value", signed=True),
        asset_class=word_in(reply, "asset_class"),
        raw=reply,
    )


def fill_of(reply: Mapping[str, Any]) -> BrokerFill:
    """Return a FILL activity; raises ``ValueError`` where it is not one."""
    side = text_in(reply, "side")
    if side not in _SIDES:
        raise ValueError(f"its side is {shown(side)}")
    if reply.get("activity_type", "FILL") != "FILL":
        raise ValueError(f"its activity_type is {shown(reply.get('activity_type'))}")
    return BrokerFill(
        fill_id=text_in(reply, "id"),
        broker_order_id=text_in(reply, "order_id"),
        symbol=canonical_symbol(text_in(reply, "symbol")),
        side=_SIDES[side],
        qty=needed_figure_in(reply, "qty"),
        price=needed_figure_in(reply, "price"),
        filled_at=timestamp_in(reply, "transaction_time"),
        cum_qty=readable_or_none(figure_in, reply, "cum_qty"),
        leaves_qty=readable_or_none(figure_in, reply, "leaves_qty"),
        order_status=word_in(reply, "order_status"),
        raw=reply,
    )


def _utc(timestamp: datetime) -> datetime:
    if timestamp.utcoffset() is None:
        raise UsageError(
            f"{timestamp.isoformat()} has no timezone; expected a time with one. Use datetime.now(UTC)."
        )
    return timestamp.astimezone(UTC)
