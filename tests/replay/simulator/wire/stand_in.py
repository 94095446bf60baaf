"""A venue and a clock of a few lines, in place of the real ones: what is tested is the way to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from replay.simulator.intake.refusal import Refusal, forbidden, malformed, not_found, unprocessable
from replay.simulator.server import Simulator

if TYPE_CHECKING:
    from replay.simulator.market.clock import SimulatedClock
    from replay.simulator.venue.venue import Venue

Body = dict[str, Any]


class StandInClock:
    def __init__(self) -> None:
        self.speed = 0.0
        self.t_ns = 1_772_470_800_000_000_000  # 2026-03-02 12:00 in New York

    def now_ns(self) -> int:
        return self.t_ns

    def set(self, t_ns: int) -> None:
        self.t_ns = t_ns

    def run(self, speed: float) -> None:
        self.speed = speed

    def advance(self, seconds: float) -> None:
        self.t_ns += round(seconds * 1e9)


class StandInUpdates:
    listener: Callable[[Body], None] | None = None


class StandInVenue:
    """Accepts every order, keeps it open, and says what it was asked."""

    def __init__(self) -> None:
        self.orders: dict[str, Body] = {}
        self.client_ids: dict[str, Body] = {}
        self.advanced = 0
        self.held: set[str | None] = set()
        self.breaks = False
        self.updates = StandInUpdates()

    def advance(self) -> None:
        self.advanced += 1

    def place_order(self, body: Body) -> Body:
        if self.breaks:
            raise KeyError("a defect")
        client_id = body.get("client_order_id") or f"client-{len(self.orders)}"
        if client_id in self.client_ids:
            raise malformed("client_order_id must be unique")
        number = f"{len(self.orders):032x}"
        order_id = f"{number[:8]}-{number[8:12]}-{number[12:16]}-{number[16:20]}-{number[20:]}"
        order: Body = {
            "id": order_id, "client_order_id": client_id, "status": "new", "symbol": body.get("symbol"),
            "qty": body.get("qty"), "filled_qty": "0", "asked": body,
        }  # fmt: skip
        self.orders[order_id] = self.client_ids[client_id] = order
        return order

    def list_orders(self, query: dict[str, str]) -> list[Body]:
        return [order for order in self.orders.values() if query.get("status") in (None, order["status"])]

    def get_order(self, order_id: str, query: dict[str, str]) -> Body:
        try:
            return self.orders[order_id]
        except KeyError:
            raise not_found(f"order not found for {order_id}") from None

    def get_order_by_client_order_id(self, query: dict[str, str]) -> Body:
        client_id = query.get("client_order_id", "")
        if client_id not in self.client_ids:
            raise not_found(f"order not found for {client_id}")
        return self.client_ids[client_id]

    def replace_order(self, order_id: str, body: Body) -> Body:
        order = self._open(order_id)
        order["status"] = "replaced"
        return self.place_order({**body, "symbol": order["symbol"]})

    def cancel_order(self, order_id: str) -> None:
        self._open(order_id)["status"] = "pending_cancel" if order_id in self.held else "canceled"

    def cancel_all_orders(self) -> list[Body]:
        return [{"id": order_id, "status": 200, "body": order} for order_id, order in self.orders.items()]

    def list_positions(self) -> list[Body]:
        return []

    def get_position(self, key: str) -> Body:
        raise not_found("position does not exist")

    def close_position(self, key: str, query: dict[str, str]) -> Body:
        raise forbidden("insufficient qty available", symbol=key, **query)

    def close_all_positions(self, query: dict[str, str]) -> list[Body]:
        return [{"symbol": "AAPL", "status": 200, "body": query}]

    def account(self) -> Body:
        return {"cash": "100000"}

    def configurations(self) -> Body:
        return {"suspend_trade": False}

    def configure(self, body: Body) -> Body:
        return body

    def clock_body(self) -> Body:
        return {"is_open": True}

    def calendar(self, query: dict[str, str]) -> list[Body]:
        return [query]

    def list_assets(self, query: dict[str, str]) -> list[Body]:
        return [query]

    def get_asset(self, key: str) -> Body:
        return {"symbol": key}

    def activities(self, kind: str | None, query: dict[str, str]) -> list[Body]:
        return [{"kind": kind, **query}]

    def state(self) -> Body:
        return {"orders": list(self.orders.values()), "fills": [], "positions": []}

    def reject_after_acceptance(self, order_id: str) -> None:
        self.orders[order_id]["status"] = "rejected"

    def hold_cancels(self, order_id: str | None = None) -> None:
        self.held |= set(self.orders) if order_id is None else {order_id}

    def release_cancels(self) -> None:
        self.held = set()

    def fill_now(self, order_id: str, qty: object = None, *, beyond: bool = False) -> None:
        order = self._open(order_id)
        order["filled_qty"] = str(qty or order["qty"])
        order["status"] = "filled" if order["filled_qty"] == order["qty"] else "partially_filled"

    def split(self, symbol: str, ratio: object) -> None:
        self.orders["split"] = {"symbol": symbol, "ratio": str(ratio), "status": "new"}

    def change_asset(self, symbol: str, **flags: object) -> Body:
        return {"symbol": symbol, **flags}

    def _open(self, order_id: str) -> Body:
        order = self.get_order(order_id, {})
        if order["status"] == "filled":
            raise unprocessable('order is already in "filled" state')
        if order["status"] == "gone":
            raise Refusal(500, None, "never")
        return order


def begin() -> tuple[Venue, SimulatedClock]:
    return cast("Venue", StandInVenue()), cast("SimulatedClock", StandInClock())


def simulator(**options: Any) -> Simulator:
    return Simulator(begin=begin, **options)
