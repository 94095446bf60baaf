"""Promise 3 by the broker's own book: no subset of what still works could breach a position limit."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

import pandas as pd

from tests.desk import Row
from tests.exactly_once.batches import BID

_ENDS = ("filled_at", "expired_at", "canceled_at", "failed_at", "replaced_at")
_FINAL = {"filled", "canceled", "expired", "rejected", "replaced"}


def breaches(state: dict[str, Any], limit: float) -> list[str]:
    """Return where positions are, were, or could come to be beyond a limit, by the simulator's state."""
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


def breaches_at_any_order(state: dict[str, Any], limit: float) -> list[str]:
    """Return where an order, with what worked when it arrived, could have taken a position past the limit.

    Groups and orders by notional are left out: of these a snapshot tells.
    """
    alone = [one for one in state["orders"] if one.get("group_id") is None and one["qty"] is not None]
    fills = [(_ns(fill["transaction_time"]), fill) for fill in state["fills"]]
    wrong = []
    for order in alone:
        at, side, symbol = _ns(order["created_at"]), order["side"], order["symbol"]
        before = [fill for when, fill in fills if when <= at and fill["symbol"] == symbol]
        held = sum((Decimal(one["qty"]) * (1 if one["side"] == "buy" else -1) for one in before), Decimal(0))
        filled: dict[str, Decimal] = defaultdict(Decimal)
        for one in before:
            filled[one["order_id"]] += Decimal(one["qty"])
        works = [one for one in alone if (one["side"], one["symbol"]) == (side, symbol) and _works(one, at)]
        could = sum((Decimal(one["qty"]) - filled[one["id"]] for one in works), Decimal(0))
        reached = held + could if side == "buy" else could - held
        if reached > limit:
            name = order["client_order_id"]
            wrong.append(f"with {name} {symbol} could come to {reached} on the {side} side, limit {limit}")
    return wrong


def _works(order: Row, at: int) -> bool:
    """Return whether an order had arrived by then, and was not over."""
    ended = [_ns(order[name]) for name in _ENDS if order[name] is not None]
    return _ns(order["created_at"]) <= at and not any(when <= at for when in ended)


def _ns(written: str) -> int:
    return int(pd.Timestamp(written).value)


def _working(orders: list[Row]) -> list[Row]:
    """Return what may fill: of a group the entry, or once that is over the larger of its exits."""
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
    """Return the shares that may still fill, of an order by notional at the bid: it fills at none below."""
    if order["qty"] is None:
        spent = Decimal(order["filled_qty"]) * Decimal(order["filled_avg_price"] or 0)
        left = max(Decimal(0), Decimal(order["notional"]) - spent)
        return left / Decimal(str(BID))
    return Decimal(order["qty"]) - Decimal(order["filled_qty"])
