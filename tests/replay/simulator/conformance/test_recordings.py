"""The shapes of real answers of 2019 to 2021, and the simulator's answers to the same kind of request.

They have the same keys, and values of the same kind: decimals as strings, times, ids, nulls. Differences
are a table here, each with its reason. Recorded refusals are compared word for word in test_errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.replay.simulator.conformance.desk import NOON_NS, Desk, Exchange, opened
from tests.replay.simulator.conformance.recorded import Recorded, recorded
from tests.replay.simulator.conformance.shapes import differences, shape

HOUR_NS = 3600 * 10**9

SINCE_2019 = "came between 2019 and 2021, as the later recordings show"
IN_2026 = "in the OpenAPI document of 2026, or in bodies recorded in 2026"
NO_PDT = "fields of pattern day trading are gone in 2026, and the SDK says so of each"

ORDERS = r"(GET|POST|PATCH|DELETE) /v2/orders.*|DELETE /v2/positions.*"
ACCOUNT = "GET /v2/account"
ASSETS = "GET /v2/assets.*"
CALENDAR = "GET /v2/calendar"
POSITIONS = "GET /v2/positions.*"
CONFIGURATIONS = "(GET|PATCH) /v2/account/configurations"

# (what is asked, how the answer differs, why)
DIFFERENCES: tuple[tuple[str, str, str], ...] = (
    (ORDERS, r"(body\.|legs\.)?(notional|trail_percent|trail_price|hwm) is new", SINCE_2019),
    (ORDERS, r"(body\.)?(order_class|legs|extended_hours) is new", SINCE_2019),
    (ORDERS, r"(replaced_at|replaced_by|replaces) is new", SINCE_2019),
    (ORDERS, r"(body\.|legs\.)?(expires_at|position_intent|ratio_qty|source|subtag) is new", IN_2026),
    (ORDERS, r"(legs\.)?(group_id|group_role) is new", IN_2026),
    (ACCOUNT, "(last_maintenance_margin|regt_buying_power) is new", SINCE_2019),
    (
        ACCOUNT,
        "(account_number|accrued_fees|balance_asof|crypto_status|intraday_adjustments) is new",
        IN_2026,
    ),
    (ACCOUNT, "(non_marginable_buying_power|options_.*|pending_.*) is new", IN_2026),
    (ACCOUNT, "(crypto_tier|effective_buying_power|position_market_value|.*_configurations) is new", IN_2026),
    (ACCOUNT, "(daytrade_count|daytrading_buying_power|pattern_day_trader) is missing", NO_PDT),
    (CONFIGURATIONS, "(fractional_trading|max_margin_multiplier) is new", IN_2026),
    (CONFIGURATIONS, "(disable_overnight_trading|ptp_no_exception_entry) is new", IN_2026),
    (CONFIGURATIONS, "(dtbp_check|pdt_check) is missing", NO_PDT),
    ("GET /v2/account/activities.*", "order_status is new", IN_2026),
    (ASSETS, "name is new", SINCE_2019),
    (ASSETS, "(attributes|borrow_status|fractionable) is new", IN_2026),
    (ASSETS, "(maintenance_margin_requirement|margin_requirement_(long|short)) is new", IN_2026),
    (CALENDAR, "(session_open|session_close) is new", SINCE_2019),
    (CALENDAR, "settlement_date is new", IN_2026),
    (POSITIONS, "(asset_marginable|qty_available) is new", IN_2026),
)


def place_again(desk: Desk, orders: Iterable[dict[str, Any]]) -> Any:
    """Place orders like the recorded ones, and let each come as far; gives the last."""
    again: Any = None
    orders = list(orders)
    to_sell = sum(int(order["qty"]) for order in orders if order["side"] == "sell")
    if to_sell:
        desk.hold(qty=str(to_sell))
    if any(order["status"] in {"accepted", "pending_cancel"} for order in orders):
        desk.simulator.simulation.clock.set(NOON_NS + 11 * HOUR_NS)
    for order in orders:
        marketable = (order["status"] == "filled") == (order["side"] == "buy")
        again = desk.place(
            symbol=symbol_of(order),
            qty=order["qty"],
            side=order["side"],
            type=order["type"],
            time_in_force=order["time_in_force"],
            client_order_id=order["client_order_id"],
            limit_price=desk.price("1.1" if marketable else "0.9") if order["type"] == "limit" else None,
        )
        desk.wait()
        if order["status"] == "canceled":
            desk.ask("DELETE", f"/v2/orders/{again['id']}")
            desk.wait()
    return again


def symbol_of(body: dict[str, Any]) -> str:
    """Some of the symbols of then are no longer listed."""
    return str(body["symbol"]) if body["symbol"] in {"AAPL", "TSLA"} else "AAPL"


def as_recorded(desk: Desk, recording: Recorded) -> Exchange:
    return desk.ask(recording.method, recording.path, recording.request_body, **recording.query)


def after_trading(desk: Desk, recording: Recorded) -> Exchange:
    desk.hold()
    desk.hold(symbol="KO")
    return as_recorded(desk, recording)


def after_the_same_orders(desk: Desk, recording: Recorded) -> Exchange:
    place_again(desk, recording.orders)
    return as_recorded(desk, recording)


def by_id(desk: Desk, recording: Recorded) -> Exchange:
    order = place_again(desk, recording.orders)
    return desk.ask("GET", f"/v2/orders/{order['id']}")


def by_asset_id(desk: Desk, _: Recorded) -> Exchange:
    return desk.ask("GET", "/v2/assets/" + desk.get("/v2/assets/KO")["id"])


def of_a_replacement(desk: Desk, recording: Recorded) -> Exchange:
    order = desk.place(type="limit", limit_price=desk.price("0.9"))
    desk.wait()
    return desk.ask("PATCH", f"/v2/orders/{order['id']}", recording.request_body)


def of_a_cancel(desk: Desk, recording: Recorded) -> Exchange:
    order = desk.place(type="limit", limit_price=desk.price("0.9"))
    desk.wait()
    return desk.ask("DELETE", f"/v2/orders/{order['id']}")


def with_the_same_positions(desk: Desk, recording: Recorded) -> Exchange:
    for position in recording.positions:
        desk.hold(symbol=symbol_of(position), qty="2", side=position["side"])
    if recording.last_is_held_by_an_order:
        symbol = symbol_of(recording.positions[-1])
        desk.place(symbol=symbol, side="sell", type="limit", limit_price=desk.price("1.1"))
        desk.wait()
    if recording.path != "/v2/positions":
        return desk.ask(recording.method, "/v2/positions/" + symbol_of(recording.positions[0]))
    return as_recorded(desk, recording)


# The first row that fits a recording says how its request is made again.
AGAIN: tuple[tuple[str, Callable[[Desk, Recorded], Exchange]], ...] = (
    ("GET /v2/account/activities.*", after_trading),
    ("GET /v2/assets/.{36}", by_asset_id),
    ("GET /v2/orders(:by_client_order_id)?|DELETE /v2/orders", after_the_same_orders),
    ("GET /v2/orders/.*", by_id),
    ("PATCH /v2/orders/.*", of_a_replacement),
    ("DELETE /v2/orders/.*", of_a_cancel),
    ("(GET|DELETE) /v2/positions.*", with_the_same_positions),
    (".*", as_recorded),
)


def answered_again(recording: Recorded) -> Exchange:
    with opened() as desk:
        again = next(again for pattern, again in AGAIN if re.fullmatch(pattern, recording.asked))
        return again(desk, recording)


def fits(row: tuple[str, str, str], pair: tuple[str, str]) -> bool:
    return re.fullmatch(row[0], pair[0]) is not None and re.fullmatch(row[1], pair[1]) is not None


@pytest.fixture(scope="module")
def pairs() -> list[tuple[str, str]]:
    """What was asked, and how the answer differs from the recorded one."""
    found: list[tuple[str, str]] = []
    for recording in recorded():
        again = answered_again(recording)
        assert again.status == recording.status, (recording.asked, again.answer)
        found += [(recording.asked, each) for each in differences(recording.shape, again.answer)]
    return found


def test_answers_have_the_shapes_of_the_recorded_ones(pairs: list[tuple[str, str]]) -> None:
    assert [pair for pair in pairs if not any(fits(row, pair) for row in DIFFERENCES)] == []


def test_every_difference_is_still_there(pairs: list[tuple[str, str]]) -> None:
    assert [row for row in DIFFERENCES if not any(fits(row, pair) for pair in pairs)] == []


def test_every_request_that_was_recorded_is_made_again() -> None:
    asked = {
        re.sub("/[^/]*[0-9A-Z][^/]*$", "/…", recording.asked.replace("/v2", "")) for recording in recorded()
    }
    assert len(recorded()) == 46
    assert asked == {
        *("GET /account", "GET /account/configurations", "PATCH /account/configurations"),
        *("GET /account/activities", "GET /account/activities/…"),
        *("GET /assets", "GET /assets/…", "GET /calendar", "GET /clock"),
        *("GET /orders", "GET /orders/…", "GET /orders:by_client_order_id", "POST /orders"),
        *("PATCH /orders/…", "DELETE /orders", "DELETE /orders/…"),
        *("GET /positions", "GET /positions/…", "DELETE /positions", "DELETE /positions/…"),
    }


@pytest.mark.parametrize(
    ("real", "simulated", "difference"),
    [
        ({"qty": "1"}, {"qty": 1}, "qty is number, not decimal"),
        ({"at": None}, {"at": "2026-10-08T16:00:00Z"}, "at is UTC time, not null"),
        ({"legs": [{"id": "x"}]}, {"legs": [{}]}, "legs.id is missing"),
        ([{"symbol": "A"}], [{"symbol": "A", "qty": "1"}], "qty is new"),
    ],
)
def test_a_difference_is_found(real: object, simulated: object, difference: str) -> None:
    assert differences(shape(real), simulated) == [difference]
