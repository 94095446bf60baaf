"""What holds of every account at any time."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from replay.simulator.venue.venue import Venue

ENDS = {
    "filled": "filled_at",
    "canceled": "canceled_at",
    "expired": "expired_at",
    "rejected": "failed_at",
    "replaced": "replaced_at",
}


def check_everything(venue: Venue) -> None:
    """Compare the account with itself, from every side."""
    venue.check_conservation()
    state = venue.state()
    orders = {order["id"]: order for order in state["orders"]}
    for fill in state["fills"]:
        _check_limit(fill, orders[fill["order_id"]])
    assert [fill["transaction_time"] for fill in state["fills"]] == sorted(
        (fill["transaction_time"] for fill in state["fills"]), key=_comparable
    )
    for order in state["orders"]:
        _check_order(order, orders)
    for position in state["positions"]:
        assert 0 <= Decimal(position["held_for_orders"]) <= abs(Decimal(position["qty"])), position
    account, rows = venue.account(), venue.list_positions()
    assert Decimal(account["equity"]) == sum(
        (Decimal(row["market_value"]) for row in rows), Decimal(account["cash"])
    )


class Told:
    """What a listener to the updates knows of every order, from them alone."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._updates: list[dict[str, Any]] = []
        self._orders: dict[str, tuple[str, str]] = {}
        self._filled: dict[str, Decimal] = {}
        self._position: dict[str, str] = {}
        self._latest = ("", "")
        venue.updates.listener = self._updates.append

    def check(self) -> None:
        """Compare it with the account."""
        for update in self._updates:
            order, at = update["order"], _comparable(update["timestamp"])
            assert self._latest <= at, update
            self._latest = at
            self._orders[order["id"]] = order["status"], order["filled_qty"]
            if "price" in update:
                self._filled[order["id"]] = self._filled.get(order["id"], Decimal(0)) + Decimal(update["qty"])
                self._position[order["symbol"]] = update["position_qty"]
        self._updates.clear()
        state = self._venue.state()
        assert self._orders == {each["id"]: (each["status"], each["filled_qty"]) for each in state["orders"]}
        filled = {each["id"]: Decimal(each["filled_qty"]) for each in state["orders"]}
        assert self._filled == {order_id: qty for order_id, qty in filled.items() if qty}
        split = state["splits"].keys()
        positions = {each["symbol"]: each["qty"] for each in state["positions"]}
        for symbol in self._position.keys() - split:
            assert self._position[symbol] == positions.get(symbol, "0")


def _check_limit(fill: dict[str, Any], order: dict[str, Any]) -> None:
    if order["limit_price"] is not None:
        beyond = Decimal(fill["price"]) - Decimal(order["limit_price"])
        assert beyond <= 0 if fill["side"] == "buy" else beyond >= 0, (fill, order)


def _check_order(order: dict[str, Any], orders: dict[str, dict[str, Any]]) -> None:
    status = order["status"]
    assert [name for name in ENDS.values() if order[name]] == ([ENDS[status]] if status in ENDS else []), (
        order
    )
    if order["qty"] is not None:
        assert Decimal(order["filled_qty"]) <= Decimal(order["qty"]), order
        assert (order["filled_qty"] == order["qty"]) == (status == "filled"), order
    if status == "replaced":
        assert orders[order["replaced_by"]]["replaces"] == order["id"]
    else:
        assert order["replaced_by"] is None


def _comparable(moment: str) -> tuple[str, str]:
    whole, _, fraction = moment.rstrip("Z").partition(".")
    return whole, fraction.ljust(9, "0")
