"""Every order, fill and position that a recorded reply reported, to answer requests that were never recorded.

A replay that decides differently makes requests that are not in the record. They are answered from here.
Orders that were never sent get their outcome from ``replay.market``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote

from engine.model.symbols import canonical_symbol
from replay import market
from replay.cassettes import Interaction

RECORDED, DERIVED, SIMULATED, LOST = "recorded", "derived", "simulated", "lost"
"""How a request is answered; ``LOST`` is no reply: the order is known, and no reply to it was recorded."""

ORDERS = "/v2/orders"
_BY_CLIENT_ID = "/v2/orders:by_client_order_id"
_ACTIVITIES = "/v2/account/activities"
_TERMINAL = frozenset({"filled", "canceled", "expired", "rejected", "replaced"})
_PAGE_OF_ORDERS, _PAGE_OF_FILLS = 50, 100
_NOT_FOUND, _UNPROCESSABLE, _NO_CONTENT = 404, 422, 204

Object = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """A reply that was never recorded: HTTP status, decoded body, and how it was derived."""

    status: int
    body: object
    how: str


@dataclass
class VenueBook:
    """Orders and fills by the broker's ids, as last reported.

    ``at``: the timestamp of simulated orders and fills. ``reference_price`` returns an intent's price by
    client id; ``last_price`` holds each symbol's. Prices in USD per share.
    """

    at: datetime
    reference_price: Callable[[str], float | None]
    last_price: dict[str, float]
    orders: dict[str, Object] = field(default_factory=dict)
    id_of: dict[str, str] = field(default_factory=dict)
    fills: dict[str, Object] = field(default_factory=dict)
    positions: list[Object] = field(default_factory=list)
    clock: Object | None = None
    simulated: dict[str, market.Outcome] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        interactions: Iterable[Interaction],
        *,
        at: datetime,
        reference_price: Callable[[str], float | None],
        last_price: Mapping[str, float],
    ) -> VenueBook:
        """Build the book from all recorded replies."""
        book = cls(at, reference_price, dict(last_price))
        for one in interactions:
            if one.content and 200 <= one.status < 300:
                book._learn(one)
        return book

    def answer(self, method: str, path: str, query: str, body: bytes) -> Reply:
        """Answer a request that was never recorded."""
        parameters = {name: values[-1] for name, values in parse_qs(query).items()}
        if method == "POST" and path == ORDERS:
            return self._place(body)
        if method == "DELETE" and path.startswith(ORDERS + "/"):
            return self._cancel(unquote(path.rpartition("/")[2]))
        if method == "GET" and path == _BY_CLIENT_ID:
            return self._one(self.id_of.get(parameters.get("client_order_id", "")))
        if method == "GET" and path.startswith(ORDERS + "/"):
            return self._one(unquote(path.rpartition("/")[2]))
        if method == "GET" and path == ORDERS:
            return Reply(200, self._list_of_orders(parameters), DERIVED)
        if method == "GET" and path.startswith(_ACTIVITIES):
            return Reply(200, self._page_of_fills(parameters), DERIVED)
        if method == "GET" and path == "/v2/positions":
            return Reply(200, self.positions, DERIVED)
        if method == "GET" and path == "/v2/clock":
            return Reply(200, self.clock or self._own_clock(), DERIVED)
        return Reply(_NOT_FOUND, {"message": f"{method} {path} was never recorded"}, SIMULATED)

    def knows_better(self, target: str, *, answered: bool) -> bool:
        """Return whether other replies report more than the last one to a request, ``answered`` or not."""
        path = target.partition("?")[0]
        if path == _BY_CLIENT_ID:
            return looked_up(target) in self.id_of
        if path.startswith(ORDERS + "/"):
            return unquote(path.rpartition("/")[2]) in self.orders
        return not answered and (path == ORDERS or path.startswith(_ACTIVITIES))

    def forget(self, client_id: str) -> None:
        """Forget a recorded client id: another order is about to be sent under it."""
        if self.id_of.get(client_id) not in self.simulated:
            self.id_of.pop(client_id, None)

    def with_simulated_fills(self, path: str, query: str, content: bytes) -> bytes | None:
        """Return a recorded last page of fills with the simulated ones added; None for any other page."""
        simulated = [fill for fill in self.fills.values() if fill["order_id"] in self.simulated]
        if not simulated or not path.startswith(_ACTIVITIES):
            return None
        parameters = {name: values[-1] for name, values in parse_qs(query).items()}
        try:
            page = json.loads(content)
        except ValueError:
            return None
        if not isinstance(page, list) or len(page) >= _size(parameters, "page_size", _PAGE_OF_FILLS):
            return None
        return json.dumps([*page, *simulated]).encode()

    def _learn(self, one: Interaction) -> None:
        path = one.target.partition("?")[0]
        if not path.startswith((ORDERS, _ACTIVITIES, "/v2/positions", "/v2/clock")):
            return
        try:
            value = json.loads(one.content, parse_float=str)
        except ValueError:
            return
        rows = value if isinstance(value, list) else [value]
        objects = [row for row in rows if isinstance(row, dict)]
        if path.startswith(ORDERS):
            for row in objects:
                self._keep(row)
        elif path.startswith(_ACTIVITIES):
            self.fills.update((str(row["id"]), row) for row in objects if "id" in row and "order_id" in row)
        elif path == "/v2/positions":
            self.positions = objects
            self._value(objects)
        elif objects and "timestamp" in objects[0]:
            self.clock = objects[0]

    def _keep(self, order: Object) -> None:
        if isinstance(order.get("id"), str) and isinstance(order.get("client_order_id"), str):
            self.orders[order["id"]] = order
            self.id_of[order["client_order_id"]] = order["id"]
        for leg in order.get("legs") or ():
            if isinstance(leg, dict):
                self._keep(leg)

    def _value(self, positions: Iterable[Object]) -> None:
        for row in positions:
            try:
                self.last_price.setdefault(canonical_symbol(str(row["symbol"])), float(row["current_price"]))
            except (KeyError, TypeError, ValueError):
                continue

    def _one(self, order_id: str | None) -> Reply:
        if order_id is None or order_id not in self.orders:
            return Reply(_NOT_FOUND, {"code": 40410000, "message": "order not found"}, DERIVED)
        return Reply(200, self.orders[order_id], SIMULATED if order_id in self.simulated else DERIVED)

    def _list_of_orders(self, parameters: Mapping[str, str]) -> list[Object]:
        """Return a page of orders, oldest first (``direction=asc``)."""
        legs = {leg.get("id") for order in self.orders.values() for leg in order.get("legs") or ()}
        found = [
            order
            for order in sorted(self.orders.values(), key=_submitted)
            if order["id"] not in legs
            and (parameters.get("status") != "open" or not _is_terminal(order))
            and ("after" not in parameters or _submitted(order) > _timestamp(parameters["after"]))
        ]
        if "after_order_id" in parameters:
            places = [place for place, one in enumerate(found) if one["id"] == parameters["after_order_id"]]
            found = found[places[0] + 1 :] if places else []
        return found[: _size(parameters, "limit", _PAGE_OF_ORDERS)]

    def _page_of_fills(self, parameters: Mapping[str, str]) -> list[Object]:
        after = _timestamp(parameters["after"]) if "after" in parameters else None
        found = [
            fill
            for fill in sorted(self.fills.values(), key=lambda one: str(one["id"]))
            if (after is None or _timestamp(str(fill.get("transaction_time"))) > after)
            and str(fill["id"]) > parameters.get("page_token", "")
        ]
        return found[: _size(parameters, "page_size", _PAGE_OF_FILLS)]

    def _place(self, body: bytes) -> Reply:
        """Add a new order; a recorded order whose request has no recorded reply is ``LOST``."""
        try:
            payload = json.loads(body)
            client_id = str(payload["client_order_id"])
        except (ValueError, TypeError, KeyError):
            return Reply(_UNPROCESSABLE, {"code": 42210000, "message": "no client_order_id"}, SIMULATED)
        if client_id in self.id_of:
            return Reply(0, None, LOST)
        order_id = f"simulated-{client_id}"
        last_price = self.last_price.get(canonical_symbol(str(payload.get("symbol", ""))))
        outcome = market.outcome(self._as_intent(payload), last_price)
        at = self.at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        order: Object = {
            **payload,
            "id": order_id,
            "order_class": payload.get("order_class", ""),
            "status": outcome.order_status,
            "created_at": at,
            "submitted_at": at,
            "filled_at": at if outcome.filled_qty else None,
            "filled_qty": _text(outcome.filled_qty),
            "filled_avg_price": None if outcome.price is None else _text(outcome.price),
            "qty": None if payload.get("qty") is None else payload["qty"],
            "notional": payload.get("notional"),
            "legs": None,
        }
        self._keep(order)
        self.simulated[order_id] = outcome
        if outcome.filled_qty and outcome.price is not None:
            fill_id = f"{self.at:%Y%m%d%H%M%S}000::{order_id}"
            self.fills[fill_id] = {
                "id": fill_id, "activity_type": "FILL", "type": "fill", "order_id": order_id,
                "symbol": payload.get("symbol"), "side": payload.get("side"), "transaction_time": at,
                "qty": _text(outcome.filled_qty), "cum_qty": _text(outcome.filled_qty), "leaves_qty": "0",
                "price": _text(outcome.price), "order_status": "filled",
            }  # fmt: skip
        return Reply(200, order, SIMULATED)

    def _as_intent(self, payload: Mapping[str, Any]) -> Object:
        numbers = ("qty", "notional", "limit_price", "stop_price")
        return {
            "side": payload.get("side"),
            "order_type": payload.get("type"),
            "time_in_force": payload.get("time_in_force"),
            "reference_price": self.reference_price(str(payload["client_order_id"])),
            **{name: None if payload.get(name) is None else float(payload[name]) for name in numbers},
        }

    def _cancel(self, order_id: str) -> Reply:
        order = self.orders.get(order_id)
        if order is None:
            return Reply(_NOT_FOUND, {"code": 40410000, "message": "order not found"}, SIMULATED)
        if _is_terminal(order):
            body = {"code": 42210000, "message": f"order is already in {order['status']!r} state"}
            return Reply(_UNPROCESSABLE, body, SIMULATED)
        self.orders[order_id] = {**order, "status": "canceled"}
        return Reply(_NO_CONTENT, None, SIMULATED)

    def _own_clock(self) -> Object:
        at = self.at.astimezone(UTC).isoformat()
        return {"timestamp": at, "is_open": True, "next_open": at, "next_close": at}


def looked_up(target: str) -> str:
    """Return the client id that a request looks up, "" for any other request."""
    path, _, query = target.partition("?")
    return parse_qs(query).get("client_order_id", [""])[-1] if path == _BY_CLIENT_ID else ""


def _is_terminal(order: Mapping[str, Any]) -> bool:
    return order.get("status") in _TERMINAL


def _submitted(order: Mapping[str, Any]) -> datetime:
    return _timestamp(str(order.get("submitted_at") or order.get("created_at")))


def _timestamp(text: str) -> datetime:
    try:
        timestamp = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)


def _size(parameters: Mapping[str, str], name: str, default: int) -> int:
    text = parameters.get(name, "")
    return int(text) if text.isdecimal() else default


def _text(number: float) -> str:
    return f"{number:.9f}".rstrip("0").rstrip(".")
