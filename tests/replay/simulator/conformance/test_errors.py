"""Every error body that errors.json grades R, provoked and compared word for word.

Ids and numbers that depend on the state are compared by their form.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.replay.simulator.conformance.desk import NOON_NS, Desk, Exchange
from tests.replay.simulator.conformance.documents import errors

HOUR_NS = 3600 * 10**9
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
DECIMAL = r"\d+(\.\d+)?"

Refused = tuple[int, dict[str, Any]]
Key = tuple[str, str]
"""What was asked, and the message that came back."""


def asked_as_recorded(request: str) -> Callable[[Desk], Refused]:
    method, path = request.split()
    return lambda desk: refused(desk.ask(method, path))


def placed(**order: Any) -> Callable[[Desk], Refused]:
    def provoke(desk: Desk) -> Refused:
        desk.place(**order)
        return refused(desk.exchanges[-1])

    return provoke


def client_order_id_of_a_filled_order(desk: Desk) -> Refused:
    desk.hold(client_order_id="mine")
    assert desk.get("/v2/orders:by_client_order_id", client_order_id="mine")["status"] == "filled"
    desk.place(client_order_id="mine")
    return refused(desk.exchanges[-1])


def replacement_of_a_filled_order(desk: Desk) -> Refused:
    order = desk.place()
    desk.wait()
    return refused(desk.ask("PATCH", f"/v2/orders/{order['id']}", {"qty": 200}))


def replacement_of_an_order_of_the_night(desk: Desk) -> Refused:
    desk.simulator.simulation.clock.set(NOON_NS + 11 * HOUR_NS)
    order = desk.place()
    return refused(desk.ask("PATCH", f"/v2/orders/{order['id']}", {"qty": 3}))


def more_than_is_held(desk: Desk) -> Refused:
    desk.hold(symbol="KO", qty="0.557436865")
    desk.place(symbol="KO", qty="1.057436865", side="sell")
    return refused(desk.exchanges[-1])


def closing_what_an_order_holds(symbol: str, qty: str) -> Callable[[Desk], Refused]:
    def provoke(desk: Desk) -> Refused:
        desk.hold(symbol=symbol, qty=qty)
        desk.place(symbol=symbol, qty=qty, side="sell", type="limit", limit_price="900")
        desk.wait()
        (row,) = desk.ask("DELETE", "/v2/positions").answer
        assert (row["symbol"], row.keys()) == (symbol, {"symbol", "status", "body"})
        return row["status"], row["body"]

    return provoke


def refused(exchange: Exchange) -> Refused:
    return exchange.status, exchange.answer


ORDER_ID = "001c0b29-5bc9-45c4-bd32-5ba323c997b3"
NO_QTY = "insufficient qty available for order (requested: {}, available: {})"

AS_RECORDED: tuple[Key, ...] = (
    ("GET /v2/account/activities/INVALID", "invalid activity type: INVALID"),
    ("GET /v2/account/activities/FFFFF", "invalid activity type: FFFFF"),
    (f"DELETE /v2/orders/{ORDER_ID}", f"order not found for {ORDER_ID}"),
    ("DELETE /v2/positions/CRM", "position does not exist"),
    ("GET /v2/assets/BLAH", "asset not found for BLAH"),
    ("GET /v2/assets/FFFFF", "asset not found for FFFFF"),
    ("GET /v2/orders/fake_id", "order_id is missing"),
)

PROVOKED: dict[Key, Callable[[Desk], Refused]] = {key: asked_as_recorded(key[0]) for key in AS_RECORDED} | {
    ("POST /v2/orders", "insufficient buying power"): placed(symbol="TSLA", qty=10000000),
    ("POST /v2/orders", "limit orders require only limit price"): placed(type="limit"),
    ("POST /v2/orders", 'could not find asset "FACEBOOK"'): placed(symbol="FACEBOOK", qty=1),
    ("POST /v2/orders", 'asset "OCGN" is not fractionable'): placed(symbol="OCGN", qty="0.5", side="sell"),
    ("POST /v2/orders", "client_order_id must be unique"): client_order_id_of_a_filled_order,
    ("POST /v2/orders", NO_QTY.format("1.057436865", "0.557436865")): more_than_is_held,
    ("DELETE /v2/positions", NO_QTY.format(1, 0)): closing_what_an_order_holds("AMZN", "1"),
    ("DELETE /v2/positions", NO_QTY.format(2, 0)): closing_what_an_order_holds("AAPL", "2"),
    ("PATCH /v2/orders/7ab88b48-b57a-48bf-aa58-89496b23757d", "only open orders can be replaced"):
        replacement_of_a_filled_order,
    ("PATCH /v2/orders/ebfc1c74-fd4a-46e1-b4e7-7f6f8ab1ef7a",
     "unable to replace order, order isn't sent to exchange yet"): replacement_of_an_order_of_the_night,
}  # fmt: skip

# What the state decides: the form of the value, or of each one of a list.
DEPENDS_ON_STATE = {"cost_basis": DECIMAL, "related_orders": UUID}

# (message, year) of what a later answer has taken the place of, and which.
SUPERSEDED: dict[tuple[str, str], str] = {
    ("insufficient buying power", "2019"): "a recording of 2020 adds buying_power and cost_basis",
    ("access key verification failed : verification failure", "2019"):
        "today's documentation says 401 with unauthorized. and no code",
}  # fmt: skip


def recorded() -> list[dict[str, Any]]:
    return [error for error in errors() if error["evidence"] == "R"]


def is_superseded(error: dict[str, Any]) -> bool:
    return any(
        error["body"]["message"] == message and year in error["recorded_at"] for message, year in SUPERSEDED
    )


def key(error: dict[str, Any]) -> Key:
    return error["request"], error["body"]["message"]


def test_every_recorded_error_is_provoked_or_superseded() -> None:
    current = [key(error) for error in recorded() if not is_superseded(error)]
    assert sorted(current) == sorted(PROVOKED)


def test_every_superseded_error_is_a_recorded_one() -> None:
    assert len([error for error in recorded() if is_superseded(error)]) == len(SUPERSEDED)


@pytest.mark.parametrize("provoked", PROVOKED, ids=" -> ".join)
def test_a_recorded_error_is_given_word_for_word(desk: Desk, provoked: Key) -> None:
    (error,) = [each for each in recorded() if key(each) == provoked and not is_superseded(each)]
    status, body = PROVOKED[provoked](desk)
    expected = error["body"]
    assert (status, body.keys()) == (error["http_status"], expected.keys())
    for name, value in expected.items():
        form = DEPENDS_ON_STATE.get(name)
        if form is None:
            assert body[name] == value
        elif isinstance(value, list):
            assert [re.fullmatch(form, each) is not None for each in body[name]] == [True] * len(value)
        else:
            assert re.fullmatch(form, body[name])


def test_wrong_keys_are_refused_in_todays_words(desk: Desk) -> None:
    (today,) = [error for error in errors() if error.get("message") == "unauthorized."]
    desk.session.headers["APCA-API-SECRET-KEY"] = "wrong"
    assert refused(desk.ask("GET", "/v2/account")) == (today["http_status"], {"message": today["message"]})
