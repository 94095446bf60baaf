"""Promise 3 by the broker's own book: no subset of what still works could breach a position limit."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

from tests.desk import Row

_FINAL = {"filled", "canceled", "expired", "rejected", "replaced"}


def breaches(state: dict[str, Any], limit: float) -> list[str]:
    """Give where positions are, were, or could come to be beyond a limit, by the simulator's state."""
    return [*_that_were(state, limit), *_that_could_be(state, limit)]


def _that_were(state: dict[str, Any], limit: float) -> list[str]:
    """Add the fills up in their order, and look at the position after each."""
    qty: dict[str, Decimal] = defaultdict(Decimal)
    wrong = []
    for fill in state["fills"]:
        qty[fill["symbol"]] += Decimal(fill["qty"]) if fill["side"] == "buy" else -Decimal(fill["qty"])
        if abs(qty[fill["symbol"]]) > limit:
            wrong.append(f"the position was {qty[fill['symbol']]} after {fill}, the limit is {limit}")
    return wrong


def _that_could_be(state: dict[str, Any], limit: float) -> list[str]:
    """Let all buys of a symbol fill and no sell, and the other way round; of a pair of exits, the larger."""
    held = {row["symbol"]: Decimal(row["qty"]) for row in state["positions"]}
    buys: dict[str, Decimal] = defaultdict(Decimal)
    sells: dict[str, Decimal] = defaultdict(Decimal)
    for order in _working(state["orders"]):
        side = buys if order["side"] == "buy" else sells
        side[order["symbol"]] += _remaining(order)
    wrong = []
    for symbol in {*held, *buys, *sells}:
        highest = held.get(symbol, Decimal(0)) + buys[symbol]
        lowest = held.get(symbol, Decimal(0)) - sells[symbol]
        if max(highest, -lowest) > limit:
            wrong.append(f"{symbol} could come to be {highest} or {lowest}, the limit is {limit}")
    return wrong


def _working(orders: list[Row]) -> list[Row]:
    """Give what may fill: of a group the entry, or once that is over the larger of its exits."""
    alone = [order for order in orders if order.get("group_id") is None]
    groups: dict[str, list[Row]] = defaultdict(list)
    for order in orders:
        if order.get("group_id") is not None:
            groups[order["group_id"]].append(order)
    found = [order for order in alone if order["status"] not in _FINAL]
    for group in groups.values():
        entries = [order for order in group if order["group_role"] == "entry"]
        live = [order for order in group if order["status"] not in _FINAL]
        if any(entry in live for entry in entries):
            live = [order for order in live if order in entries]
        if live:
            found.append(max(live, key=_remaining))
    return found


def _remaining(order: Row) -> Decimal:
    return Decimal(order["qty"]) - Decimal(order["filled_qty"])
