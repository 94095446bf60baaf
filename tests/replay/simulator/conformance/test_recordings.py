"""The saved real answers of 2019 to 2021, and the simulator's to the same kind of request.

Refusals are the same word for word; other answers have the same keys, and values of the same kind: decimals
as strings, times, ids, nulls. Differences are a table here, each with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.replay.simulator.conformance.desk import NOON_NS, Desk, Exchange, opened
from tests.replay.simulator.conformance.documents import recordings
from tests.replay.simulator.conformance.shapes import differences

Recording = dict[str, Any]
HOUR_NS = 3600 * 10**9

SINCE_2019 = "came between 2019 and 2021, as the later recordings show"
IN_2026 = "in the document of 2026, or in bodies of 2026 (FACTS)"
PDT = "pattern day trading fields are absent from bodies of 2026 (FACTS)"
SCRUBBED = "its real name is account_number: whoever saved the recording took it out with its case"

# (path asked, what differs, why)
DIFFERENCES: tuple[tuple[str, str, str], ...] = ()

# What has no counterpart, and why.
NOT_SIMULATED = {
    "/v2/account/activities/DIV": "the simulator pays no dividends: the answer is an empty list",
    "/v2/account/portfolio/history": "the simulator has no such endpoint",
}


def place_again(desk: Desk, order: dict[str, Any]) -> Any:
    """Place an order like a recorded one, and let it come as far."""
    if order["side"] == "sell":
        desk.hold(symbol=symbol_of(order), qty="500")
    if order["status"] in {"accepted", "pending_cancel"}:
        desk.simulator.simulation.clock.set(NOON_NS + 11 * HOUR_NS)
    fills = order["status"] == "filled"
    limit = None
    if order["type"] == "limit":
        limit = desk.price("0.9" if fills == (order["side"] == "sell") else "1.1")
    again = desk.place(
        symbol=symbol_of(order),
        qty=order["qty"],
        notional=order.get("notional"),
        side=order["side"],
        type=order["type"],
        time_in_force=order["time_in_force"],
        client_order_id=order["client_order_id"],
        limit_price=limit,
    )
    desk.wait()
    return again


def symbol_of(body: dict[str, Any]) -> str:
    """Some of the symbols of then are no longer listed."""
    return str(body["symbol"]) if body["symbol"] in {"AAPL", "TSLA"} else "AAPL"


def as_recorded(desk: Desk, recording: Recording) -> Exchange:
    query = dict(pair.split("=") for pair in recording["query"].replace("%2C", ",").split("&") if pair)
    return desk.ask(recording["method"], recording["path"], recording["request_body"], **query)


def after_trading(desk: Desk, recording: Recording) -> Exchange:
    desk.hold()
    desk.hold(symbol="KO")
    return as_recorded(desk, recording)


def after_the_same_orders(desk: Desk, recording: Recording) -> Exchange:
    body = recording["body"]
    rows = body if isinstance(body, list) else [body]
    for row in reversed(rows):
        place_again(desk, row.get("body", row))
    return as_recorded(desk, recording)


def by_id(desk: Desk, recording: Recording) -> Exchange:
    order = place_again(desk, recording["body"])
    return desk.ask("GET", f"/v2/orders/{order['id']}")


def of_a_replacement(desk: Desk, recording: Recording) -> Exchange:
    order = desk.place(type="limit", limit_price=desk.price("0.9"))
    desk.wait()
    return desk.ask("PATCH", f"/v2/orders/{order['id']}", recording["request_body"])


def of_a_cancel(desk: Desk, recording: Recording) -> Exchange:
    order = desk.place(type="limit", limit_price=desk.price("0.9"))
    desk.wait()
    return desk.ask("DELETE", f"/v2/orders/{order['id']}")


def with_the_same_positions(desk: Desk, recording: Recording) -> Exchange:
    body = recording["body"]
    for position in body if isinstance(body, list) else [body]:
        side = "sell" if position.get("side") == "short" else "buy"
        desk.hold(symbol=symbol_of(position), qty="2", side=side)
    if isinstance(body, list) and body and body[-1].get("status") == 403:
        desk.place(symbol=symbol_of(body[-1]), side="sell", type="limit", limit_price=desk.price("1.1"))
        desk.wait()
    if not isinstance(body, list):
        return desk.ask(recording["method"], "/v2/positions/" + symbol_of(body))
    return as_recorded(desk, recording)


# The first row that fits a recording says how its request is made again.
AGAIN: tuple[tuple[str, Callable[[Desk, Recording], Exchange]], ...] = (
    ("GET /v2/account/activities.*", after_trading),
    ("GET /v2/assets/.{36}", lambda desk, _: desk.ask("GET", "/v2/assets/" + desk.get("/v2/assets/KO")["id"])),
    ("GET /v2/orders(:by_client_order_id)?|DELETE /v2/orders", after_the_same_orders),
    ("GET /v2/orders/.*", by_id),
    ("PATCH /v2/orders/.*", of_a_replacement),
    ("DELETE /v2/orders/.*", of_a_cancel),
    ("(GET|DELETE) /v2/positions.*", with_the_same_positions),
    (".*", as_recorded),
)


def answered_again(recording: Recording) -> Exchange:
    with opened() as desk:
        asked = f"{recording['method']} {recording['path']}"
        again = next(again for pattern, again in AGAIN if re.fullmatch(pattern, asked))
        return again(desk, recording)


def accepted() -> list[Recording]:
    return [each for each in recordings() if each["status"] < 400 and each["path"] not in NOT_SIMULATED]


def differences_of(recording: Recording) -> list[str]:
    again = answered_again(recording)
    if again.status != recording["status"]:
        return [f"{again.status} {again.answer}, not {recording['status']}"]
    return differences(recording["body"], again.answer)
