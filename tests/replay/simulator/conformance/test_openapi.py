"""Every endpoint of the simulator, asked in many ways, against Alpaca's OpenAPI document.

Additional properties are allowed. What the document contradicts is a table here, each row with its reason.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

from replay.simulator.wire.app import ENDPOINTS
from tests.replay.simulator.conformance.api_document import ApiDocument
from tests.replay.simulator.conformance.desk import Desk, Exchange, opened
from tests.replay.simulator.conformance.documents import trading_api

# (what the document says against an answer or a request, why that is no fault of the simulator)
EXCEPTIONS: tuple[tuple[str, str], ...] = (
    (r"status 4\d\d is not listed", "the document lists few errors; test_errors has recorded ones"),
    (
        r"body: '(notional|type|time_in_force)' is a required property",
        "a row of DELETE /v2/positions that is refused holds the error, as recorded in 2020 and 2021",
    ),
    (
        r"it: {'id'.*'activity_type': 'FILL'.* is valid under each of .*",
        "one of two schemas is asked for, and neither requires anything; fills are checked by themselves",
    ),
    (
        r"(start|end): '\d{4}-\d\d-\d\d' is not a 'date-time'",
        "the document's own text says date, and recordings and the SDK ask with dates",
    ),
    (
        r"(ca_type|it): 'split' is not one of .*",
        "in lower case, as the SDK reads it, which refuses the document's capitals",
    ),
)

OPERATIONS = [(method, re.sub(r"\{(\w+)(:path)?\}", "{}", path)) for method, path, _, _ in ENDPOINTS]
NOWHERE = "001c0b29-5bc9-45c4-bd32-5ba323c997b3"


@pytest.fixture(scope="module")
def api() -> ApiDocument:
    return ApiDocument(trading_api())


@pytest.fixture(scope="module")
def exchanges() -> list[Exchange]:
    with opened() as desk:
        place_every_kind_of_order(desk)
        look_orders_up(desk)
        replace_and_cancel(desk)
        look_at_positions_and_close_them(desk)
        look_at_the_account_and_the_market(desk)
        keep_watchlists(desk)
        look_at_what_was_and_what_is_announced(desk)
        return desk.exchanges


def place_every_kind_of_order(desk: Desk) -> None:
    below, above, far_above = desk.price("0.9"), desk.price("1.1"), desk.price("1.2")
    exits = {"take_profit": {"limit_price": above}, "stop_loss": {"stop_price": desk.price("0.8")}}
    desk.place()
    desk.place(qty=None, notional="500")
    desk.place(qty="0.5")
    desk.wait()
    desk.place(type="limit", limit_price=below, extended_hours=True, client_order_id="mine")
    desk.place(type="stop", stop_price=above, time_in_force="gtc")
    desk.place(type="stop_limit", stop_price=above, limit_price=far_above)
    desk.place(type="trailing_stop", trail_percent="5")
    desk.place(type="trailing_stop", trail_price="5", position_intent="buy_to_open")
    desk.place(type="limit", limit_price=below, time_in_force="cls")
    desk.place(type="limit", limit_price=below, time_in_force="ioc")
    desk.place(type="limit", limit_price=below, time_in_force="fok")
    desk.place(type="limit", limit_price=below, order_class="bracket", **exits)
    desk.place(order_class="bracket", symbol="MSFT", take_profit={"limit_price": "900"},
               stop_loss={"stop_price": "2", "limit_price": "1"})  # fmt: skip
    desk.place(type="limit", limit_price=below, order_class="oto", stop_loss=exits["stop_loss"])
    desk.place(symbol="KO", qty="10")
    desk.place(symbol="F", side="sell")
    desk.wait()
    desk.place(symbol="KO", qty="4", side="sell", type="limit", limit_price="900", order_class="oco",
               take_profit={"limit_price": "900"}, stop_loss={"stop_price": "2"})  # fmt: skip
    desk.place(symbol="KO", qty="1000000")
    desk.place(client_order_id="mine")
    desk.wait()


def look_orders_up(desk: Desk) -> None:
    orders = desk.get("/v2/orders", status="all", limit="500", nested="true", direction="asc")
    desk.get("/v2/orders")
    desk.get("/v2/orders", status="closed", symbols="AAPL,KO", side="buy", asset_class="us_equity")
    desk.get("/v2/orders", after="2026-10-08T00:00:00Z", until="2026-10-09T00:00:00Z", direction="desc")
    desk.get("/v2/orders", status="all", before_order_id=orders[3]["id"], limit="2")
    desk.get("/v2/orders", status="all", after_order_id=orders[3]["id"])
    for order in orders:
        desk.get(f"/v2/orders/{order['id']}", nested="true")
    desk.get(f"/v2/orders/{orders[0]['id']}")
    desk.get(f"/v2/orders/{NOWHERE}")
    desk.get("/v2/orders:by_client_order_id", client_order_id="mine")
    desk.get("/v2/orders:by_client_order_id", client_order_id="nobody's")


def replace_and_cancel(desk: Desk) -> None:
    mine = desk.get("/v2/orders:by_client_order_id", client_order_id="mine")
    change = {"qty": "3", "limit_price": desk.price("0.91"), "time_in_force": "gtc", "client_order_id": "new"}
    replacement = desk.ask("PATCH", f"/v2/orders/{mine['id']}", change).answer
    desk.get(f"/v2/orders/{mine['id']}")
    desk.wait()
    desk.get(f"/v2/orders/{mine['id']}")
    desk.ask("PATCH", f"/v2/orders/{mine['id']}", change)
    for order in desk.get("/v2/orders"):
        if order["trail_percent"] is not None:
            desk.ask("PATCH", f"/v2/orders/{order['id']}", {"trail": "6"})
    desk.ask("DELETE", f"/v2/orders/{replacement['id']}")
    desk.get(f"/v2/orders/{replacement['id']}")
    desk.wait()
    desk.get(f"/v2/orders/{replacement['id']}")
    desk.ask("DELETE", f"/v2/orders/{NOWHERE}")
    desk.ask("DELETE", "/v2/orders")
    desk.wait()
    desk.ask("DELETE", "/v2/orders")
    desk.get("/v2/orders", status="all", nested="true", limit="500")


def look_at_positions_and_close_them(desk: Desk) -> None:
    positions = desk.get("/v2/positions")
    desk.get("/v2/positions/F")
    desk.get(f"/v2/positions/{positions[0]['asset_id']}")
    desk.get("/v2/positions/BLAH")
    desk.ask("DELETE", "/v2/positions/KO", qty="2")
    desk.ask("DELETE", "/v2/positions/KO", percentage="50")
    desk.wait()
    desk.ask("DELETE", "/v2/positions/KO")
    desk.ask("DELETE", "/v2/positions/KO")
    desk.place(type="limit", symbol="MSFT", side="sell", limit_price="900")
    desk.wait()
    desk.ask("DELETE", "/v2/positions", cancel_orders="false")
    desk.wait()
    desk.ask("DELETE", "/v2/positions", cancel_orders="true")
    desk.wait()
    desk.ask("DELETE", "/v2/positions")


def look_at_the_account_and_the_market(desk: Desk) -> None:
    desk.get("/v2/account")
    desk.get("/v2/account/configurations")
    desk.ask("PATCH", "/v2/account/configurations", {"no_shorting": True, "trade_confirm_email": "none"})
    desk.get("/v2/account/activities", activity_types="FILL,DIV", direction="asc")
    desk.get("/v2/account/activities", category="trade_activity")
    fills = desk.get("/v2/account/activities/FILL", page_size="2", after="2026-10-07T00:00:00Z")
    desk.get("/v2/account/activities/FILL", page_size="2", page_token=fills[-1]["id"])
    desk.get("/v2/account/activities/FILL", order_id=fills[0]["order_id"])
    desk.get("/v2/account/activities/DIV")
    desk.get("/v2/account/activities/INVALID")
    desk.get("/v2/clock")
    desk.get("/v2/calendar")
    desk.get("/v2/calendar", start="2026-11-20", end="2026-12-01", date_type="SETTLEMENT")
    desk.get("/v2/assets")
    asset = desk.get("/v2/assets", status="active", asset_class="us_equity", exchange="NYSE",
                     attributes="has_options")[0]  # fmt: skip
    desk.get(f"/v2/assets/{asset['id']}")
    desk.get("/v2/assets/AAPL")
    desk.get("/v2/assets/BLAH")


def keep_watchlists(desk: Desk) -> None:
    made = desk.ask("POST", "/v2/watchlists", {"name": "tech", "symbols": ["AAPL", "MSFT"]}).answer
    one = f"/v2/watchlists/{made['id']}"
    desk.ask("POST", "/v2/watchlists", {"name": "tech"})
    desk.get("/v2/watchlists")
    desk.get(one)
    desk.ask("POST", one, {"symbol": "KO"})
    desk.ask("PUT", one, {"symbols": ["KO", "F"]})
    desk.ask("DELETE", f"{one}/KO")
    desk.get("/v2/watchlists:by_name", name="tech")
    desk.ask("PUT", "/v2/watchlists:by_name", {"name": "cars"}, name="tech")
    desk.ask("POST", "/v2/watchlists:by_name", {"symbol": "GM"}, name="cars")
    desk.ask("DELETE", "/v2/watchlists:by_name", name="cars")
    desk.ask("DELETE", one)
    again = desk.ask("POST", "/v2/watchlists", {"name": "again"}).answer
    desk.ask("DELETE", f"/v2/watchlists/{again['id']}")


def look_at_what_was_and_what_is_announced(desk: Desk) -> None:
    history = "/v2/account/portfolio/history"
    desk.get(history)
    desk.get(history, period="1D", timeframe="15Min", cashflow_types="CSD,DIV")
    desk.get(history, period="1W", intraday_reporting="extended_hours", pnl_reset="no_reset")
    desk.get(history, start="2026-10-07", end="2026-10-09T00:00:00Z", intraday_reporting="continuous")
    desk.get(history, period="1A", timeframe="1Min")
    desk.simulator.venue.split("AAPL", Decimal(4))
    announcements = "/v2/corporate_actions/announcements"
    (split,) = desk.get(announcements, ca_types="Split,Dividend", since="2026-10-01", until="2026-10-31")
    desk.get(f"{announcements}/{split['id']}")
    desk.get(f"{announcements}/{NOWHERE}")
    desk.get("/v3/clock", markets="NYSE,NASDAQ")
    desk.get("/v3/clock", markets="LSE")
    desk.get("/v3/clock", time="2026-11-28T12:00:00Z")
    desk.get("/v3/calendar/NYSE", start="2026-11-25", end="2026-12-01", timezone="UTC")
    desk.get("/v3/calendar/XNAS")


def asked(exchanges: list[Exchange], operation: tuple[str, str], api: ApiDocument) -> list[Exchange]:
    return [
        exchange
        for exchange in exchanges
        if (exchange.method, re.sub(r"\{.*?\}", "{}", api.template(exchange.path))) == operation
    ]


def unexplained(faults: list[str]) -> list[str]:
    return sorted({fault for fault in faults if not any(re.fullmatch(row, fault) for row, _ in EXCEPTIONS)})


@pytest.mark.parametrize("operation", OPERATIONS, ids=" ".join)
def test_every_endpoint_is_asked_and_answers_well_at_least_once(
    exchanges: list[Exchange], operation: tuple[str, str], api: ApiDocument
) -> None:
    statuses = {exchange.status for exchange in asked(exchanges, operation, api)}
    assert statuses & {200, 204, 207}


@pytest.mark.parametrize("operation", OPERATIONS, ids=" ".join)
def test_the_requests_are_as_the_document_has_them(
    exchanges: list[Exchange], operation: tuple[str, str], api: ApiDocument
) -> None:
    faults = [fault for each in asked(exchanges, operation, api) for fault in api.faults_of_request(each)]
    assert unexplained(faults) == []


@pytest.mark.parametrize("operation", OPERATIONS, ids=" ".join)
def test_the_answers_are_as_the_document_has_them(
    exchanges: list[Exchange], operation: tuple[str, str], api: ApiDocument
) -> None:
    faults = [fault for each in asked(exchanges, operation, api) for fault in api.faults_of_answer(each)]
    assert unexplained(faults) == []


def test_every_exception_is_still_needed(exchanges: list[Exchange], api: ApiDocument) -> None:
    faults = [
        fault
        for exchange in exchanges
        for fault in api.faults_of_request(exchange) + api.faults_of_answer(exchange)
    ]
    unused = [row for row, _ in EXCEPTIONS if not any(re.fullmatch(row, fault) for fault in faults)]
    assert unused == []


def test_fills_are_as_the_document_has_trading_activities(
    exchanges: list[Exchange], api: ApiDocument
) -> None:
    fills = [
        fill
        for exchange in exchanges
        if exchange.path.startswith("/v2/account/activities") and exchange.status == 200
        for fill in exchange.answer
    ]
    assert len(fills) > 10
    assert [fault for fill in fills for fault in api.faults_of("TradingActivities", fill)] == []
    expected = set(api.properties("TradingActivities"))
    assert [expected - fill.keys() for fill in fills if not expected <= fill.keys()] == []


ORDER: dict[str, Any] = {"notional": None, "type": "market", "time_in_force": "day", "qty": "1"}


@pytest.mark.parametrize(
    ("order", "fault"),
    [
        (ORDER | {"qty": 1}, "qty: 1 is not of type 'string', 'null'"),
        (ORDER | {"filled_qty": None}, "filled_qty: None is not of type 'string'"),
        (ORDER | {"created_at": "noon"}, "created_at: 'noon' is not a 'date-time'"),
        (ORDER | {"id": "1"}, "id: '1' is not a 'uuid'"),
        ({}, "it: 'notional' is a required property"),
    ],
)
def test_a_wrong_answer_is_found(api: ApiDocument, order: object, fault: str) -> None:
    exchange = Exchange("POST", "/v2/orders", {}, ORDER, 200, order)
    assert fault in api.faults_of_answer(exchange)
