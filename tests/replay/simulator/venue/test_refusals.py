"""Every refusal of an order: what was asked, and Alpaca's status and body word for word."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from replay.simulator.intake import messages
from replay.simulator.intake.messages import Message
from tests.replay.simulator.conformance.observed_errors import observed_errors
from tests.replay.simulator.venue.desk import THURSDAY, Body, Desk, refused

MARKET: Body = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
LIMIT: Body = {**MARKET, "type": "limit", "limit_price": "100"}
BRACKET: Body = {
    **LIMIT, "order_class": "bracket", "take_profit": {"limit_price": "110"},
    "stop_loss": {"stop_price": "90"},
}  # fmt: skip


def without(body: Body, *names: str, **more: object) -> Body:
    return {**{name: value for name, value in body.items() if name not in names}, **more}


@pytest.mark.parametrize(
    "body",
    [
        None, [], "order", 3, True, {**MARKET, "qty": "ten"}, {**MARKET, "qty": "NaN"}, {**MARKET,
        "qty": True},
        {**MARKET, "qty": [1]}, {**MARKET, "qty": "1e99"}, {**MARKET, "qty": float("inf")}, {**MARKET,
        "qty": 10**400},
        {**MARKET, "side": 1}, {**MARKET, "symbol": {}}, {**MARKET, "client_order_id": 7},
        {**MARKET, "client_order_id": "\ud800"}, {**MARKET, "extended_hours": "yes"}, {**LIMIT,
        "limit_price": {}},
        {**BRACKET, "take_profit": "110"}, {**BRACKET, "stop_loss": {"stop_price": "٣"}}, {**MARKET,
        "qty": " 1"},
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_a_bad_body(body: object) -> None:
    assert refused(Desk().venue.place_order, body) == (
        400, {"code": 40010000, "message": "request body format is invalid"},
    )  # fmt: skip


NOT_SIMULATED = "are not simulated; the simulator trades US shares and funds only"
ONE_TRAIL = "trailing stop orders must specify one of trail_price or trail_percent"
MALFORMED: list[tuple[Body, str]] = [
    (without(MARKET, "symbol"), "symbol is required"),
    ({**MARKET, "symbol": "FACEBOOK"}, 'could not find asset "FACEBOOK"'),
    ({**MARKET, "symbol": "BTC/USD"}, f"crypto orders (BTC/USD) {NOT_SIMULATED}"),
    ({**MARKET, "symbol": "ethusd"}, f"crypto orders (ethusd) {NOT_SIMULATED}"),
    ({**MARKET, "symbol": "AAPL270115C00150000"}, f"option orders (AAPL270115C00150000) {NOT_SIMULATED}"),
    ({"order_class": "mleg", "qty": "1", "type": "limit", "limit_price": "1", "time_in_force": "day",
      "legs": []}, f"option orders (order_class mleg) {NOT_SIMULATED}"),
    ({**MARKET, "symbol": "OLD"}, "asset OLD is not active"),
    (without(MARKET, "qty"), "qty or notional is required"),
    ({**MARKET, "notional": "5"}, "only one of qty or notional is accepted"),
    ({**MARKET, "qty": "0"}, "qty must be > 0"),
    ({**MARKET, "qty": "-1"}, "qty must be > 0"),
    ({**MARKET, "qty": "0.0000000001"}, "qty must be limited to 9 decimal places"),
    (without(MARKET, "side"), "invalid side"),
    ({**MARKET, "side": "short"}, "invalid side"),
    ({**MARKET, "type": "moc"}, "invalid order type"),
    (without(MARKET, "time_in_force"), "invalid time_in_force"),
    ({**MARKET, "time_in_force": "iok"}, "invalid time_in_force"),
    ({**MARKET, "limit_price": "100"}, "market orders require no stop or limit price"),
    (without(LIMIT, "limit_price"), "limit orders require only limit price"),
    ({**LIMIT, "stop_price": "99"}, "limit orders require only limit price"),
    ({**LIMIT, "limit_price": "-5"}, "limit price must be > 0"),
    ({**MARKET, "type": "stop"}, "stop orders require a stop price"),
    ({**LIMIT, "type": "stop_limit"}, "stop limit orders require both stop and limit price"),
    ({**MARKET, "type": "trailing_stop"}, ONE_TRAIL),
    (
        {**MARKET, "type": "trailing_stop", "trail_price": 1, "trail_percent": 1},
        ONE_TRAIL,
    ),
    (
        {**MARKET, "type": "trailing_stop", "trail_percent": "0.05"},
        "trail_percent must be greater than or equal to 0.1",
    ),
    ({**MARKET, "type": "trailing_stop", "trail_price": 1, "time_in_force": "ioc"}, "invalid time_in_force"),
    (without(MARKET, "qty", notional="0.99"), "notional must be >= 1.00"),
    ({**MARKET, "client_order_id": "x" * 129}, "client_order_id must be no more than 128 characters"),
    (without(BRACKET, "take_profit"), "bracket orders require take_profit.limit_price"),
    (without(BRACKET, "stop_loss"), "bracket orders require stop_loss.stop_price"),
    (
        without(BRACKET, "limit_price", type="stop", stop_price="101"),
        "bracket orders must be market or limit orders",
    ),
    ({**BRACKET, "order_class": "oto"}, "oto orders require either take_profit or stop_loss"),
    ({**LIMIT, "order_class": "oto"}, "oto orders require either take_profit or stop_loss"),
    ({**MARKET, "order_class": "fancy"}, "invalid order_class"),
    ({**MARKET, "position_intent": "hold"}, "invalid position_intent"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "message"), MALFORMED)
def test_malformed_orders_are_refused(body: Body, message: str) -> None:
    assert refused(Desk().venue.place_order, body) == (422, {"code": 40010001, "message": message})


SUB_PENNY = "sub-penny increment does not fulfill minimum pricing criteria"
UNPROCESSABLE: list[tuple[Body, Body]] = [
    ({**MARKET, "symbol": "GONE"}, {"message": 'asset "GONE" is not tradable'}),
    (
        {**LIMIT, "limit_price": "100.005"},
        {"message": f"invalid limit_price 100.005. {SUB_PENNY}"},
    ),
    (
        {**LIMIT, "limit_price": "0.50005"},
        {"message": f"invalid limit_price 0.50005. {SUB_PENNY}"},
    ),
    ({**MARKET, "qty": "0.5", "time_in_force": "gtc"}, {"message": "fractional orders must be DAY orders"}),
    ({**BRACKET, "qty": "1.5"}, {"message": "fractional orders must be simple orders"}),
    (
        {**MARKET, "qty": "1.5", "type": "trailing_stop", "trail_price": 1},
        {"message": "fractional orders must be market, limit, stop, or stop_limit orders"},
    ),
    ({**MARKET, "qty": "0.5", "side": "sell"}, {"message": "fractional orders cannot be sold short"}),
    (
        without(MARKET, "qty", notional="5.001"),
        {"message": "notional value must be limited to 2 decimal places"},
    ),
    ({**MARKET, "extended_hours": True}, {"message": "extended hours order must be DAY or GTC limit orders"}),
    (
        {**LIMIT, "extended_hours": True, "time_in_force": "ioc"},
        {"message": "extended hours order must be DAY or GTC limit orders"},
    ),
    ({**BRACKET, "order_class": "oco"}, {"message": "oco orders must be exit orders"}),
    ({**BRACKET, "time_in_force": "ioc"}, {"message": "complex orders must be DAY or GTC orders"}),
    (
        {**MARKET, "position_intent": "buy_to_close"},
        {"message": "position intent mismatch, inferred: buy_to_open, specified: buy_to_close"},
    ),
    (
        {**BRACKET, "stop_loss": {"stop_price": 100}},
        {"message": "stop_loss.stop_price must be <= base_price - 0.01", "base_price": "100"},
    ),
    (
        {**BRACKET, "take_profit": {"limit_price": 100}},
        {"message": "take_profit.limit_price must be >= base_price + 0.01", "base_price": "100"},
    ),
    (
        {**MARKET, "side": "sell", "type": "stop", "stop_price": "101"},
        {"message": "stop price must be less than current price", "market_price": "100", "stop_price": "101"},
    ),
    (
        {**MARKET, "type": "stop", "stop_price": "99"},
        {
            "message": "stop price must be greater than current price",
            "market_price": "100",
            "stop_price": "99",
        },
    ),
    ({**MARKET, "symbol": "HARD", "side": "sell"}, {"message": 'asset "HARD" cannot be sold short'}),
]


@pytest.mark.parametrize(("body", "expected"), UNPROCESSABLE)
def test_orders_that_cannot_be_done_are_refused(body: Body, expected: Body) -> None:
    assert refused(Desk().venue.place_order, body) == (422, {"code": 42210000, **expected})


FORBIDDEN: list[tuple[Body, Body]] = [
    (
        {**MARKET, "qty": "10000000"},
        {"message": "insufficient buying power", "buying_power": "400000", "cost_basis": "1000100000"},
    ),
    ({**MARKET, "symbol": "OCGN", "qty": "1.5"}, {"message": 'asset "OCGN" is not fractionable'}),
    ({**MARKET, "qty": "0.000000001"}, {"message": "cost basis must be >= minimal amount of order 1"}),
    (
        {**MARKET, "symbol": "CASH", "qty": "1001"},
        {"message": "insufficient buying power", "buying_power": "100000", "cost_basis": "100110.01"},
    ),
    (
        {**MARKET, "time_in_force": "opg"},
        {"message": "opg orders must be submitted after 7:00pm and before 9:28am"},
    ),
]


@pytest.mark.parametrize(("body", "expected"), FORBIDDEN)
def test_orders_that_the_account_may_not_place_are_refused(body: Body, expected: Body) -> None:
    assert refused(Desk().venue.place_order, body) == (403, {"code": 40310000, **expected})


def test_selling_more_than_is_held_tells_all_figures() -> None:
    desk = Desk()
    desk.bought("0.557436865", symbol="KO")
    assert refused(desk.order, "KO", "1.057436865", "sell") == (403, {
        "available": "0.557436865",
        "code": 40310000,
        "existing_qty": "0.557436865",
        "held_for_orders": "0",
        "message": "insufficient qty available for order (requested: 1.057436865, available: 0.557436865)",
        "symbol": "KO",
    })  # fmt: skip


def test_shares_that_an_order_holds_are_not_available_and_the_order_is_named() -> None:
    desk = Desk()
    desk.bought("2")
    held = desk.limit("110", qty="2", side="sell")
    assert refused(desk.venue.close_position, "AAPL", {}) == (403, {
        "available": "0",
        "code": 40310000,
        "existing_qty": "2",
        "held_for_orders": "2",
        "message": "insufficient qty available for order (requested: 2, available: 0)",
        "related_orders": [held["id"]],
        "symbol": "AAPL",
    })  # fmt: skip


def test_a_client_order_id_is_taken_for_ever() -> None:
    desk = Desk()
    expected = (422, {"code": 40010001, "message": "client_order_id must be unique"})
    first = desk.order(client_order_id="once")
    assert refused(desk.order, client_order_id="once") == expected
    desk.tick()
    assert desk.status(first) == "filled"
    assert refused(desk.order, client_order_id="once") == expected
    second = desk.limit("90", client_order_id="twice")
    desk.venue.cancel_order(second["id"])
    desk.until("2027-10-08 12:00")
    assert desk.status(second) == "canceled"
    assert refused(desk.order, client_order_id="twice") == expected


def test_a_client_order_id_of_128_characters_is_taken() -> None:
    assert Desk().order(client_order_id="é" * 128)["client_order_id"] == "é" * 128


MARKET_OR_STOP = "opposite side market/stop order exists"
LIMIT_ORDER = "opposite side limit order exists. use complex/limit/stop_limit orders"


@pytest.mark.parametrize(
    ("existing", "asked", "reason"),
    [
        ({"side": "sell", "type": "stop", "stop_price": "95"}, {"type": "market"}, MARKET_OR_STOP),
        (
            {"side": "sell", "type": "stop", "stop_price": "95"},
            {"type": "limit", "limit_price": "80"},
            MARKET_OR_STOP,
        ),
        ({"side": "sell", "type": "limit", "limit_price": "105"}, {"type": "market"}, LIMIT_ORDER),
        (
            {"side": "sell", "type": "limit", "limit_price": "105"},
            {"type": "limit", "limit_price": "105"},
            LIMIT_ORDER,
        ),
        (
            {"side": "sell", "type": "limit", "limit_price": "105"},
            {"type": "limit", "limit_price": "104.99"},
            "",
        ),
        (
            {"side": "sell", "type": "limit", "limit_price": "105"},
            {"type": "stop_limit", "stop_price": "101", "limit_price": "106"},
            LIMIT_ORDER,
        ),
        ({"side": "sell", "type": "trailing_stop", "trail_price": "5"}, {"type": "market"}, ""),
        (
            {"side": "sell", "type": "limit", "limit_price": "105"},
            {"type": "trailing_stop", "trail_price": "5"},
            "",
        ),
    ],
)
def test_orders_that_could_trade_with_each_other_are_refused(
    existing: Body, asked: Body, reason: str
) -> None:
    desk = Desk()
    desk.bought("10")
    first = desk.order(qty="5", **existing)
    desk.tick()
    if not reason:
        assert desk.order(qty="1", **asked)["status"] == "pending_new"
        return
    assert refused(desk.order, qty="1", **asked) == (403, {
        "code": 40310000,
        "message": "potential wash trade detected. use complex orders",
        "existing_order_id": first["id"],
        "reject_reason": reason,
    })  # fmt: skip


OTO: Body = {"order_class": "oto", "stop_loss": {"stop_price": "90"}}
WASH_TRADE = "potential wash trade detected. use complex orders"


def test_an_oto_order_can_be_a_wash_trade() -> None:
    desk = Desk()
    desk.limit("95", symbol="TSLA")
    desk.order(qty="1", **OTO)
    opposite = refused(desk.order, qty="1", side="sell", order_class="oto", stop_loss={"stop_price": "110"})
    assert opposite[1]["message"] == WASH_TRADE
    short = {"side": "sell", "order_class": "oto", "stop_loss": {"stop_price": "110"}}
    assert refused(desk.order, "TSLA", qty="1", **short)[1]["message"] == WASH_TRADE


def test_the_leg_of_an_oto_counts_for_wash_trades_from_when_it_is_called() -> None:
    desk = Desk()
    entry = desk.limit("98", **OTO)
    desk.tick()
    assert desk.limit("97", qty="1")["id"]
    desk.venue.fill_now(entry["id"])
    _, body = refused(desk.limit, "97", qty="1")
    assert (body["message"], body["existing_order_id"]) == (WASH_TRADE, entry["legs"][0]["id"])


def test_the_order_that_an_oto_leg_belongs_to_is_no_wash_trade_with_it() -> None:
    desk = Desk()
    entry = desk.limit("98", **OTO)
    desk.tick()
    assert desk.venue.replace_order(entry["legs"][0]["id"], {"stop_price": "91"})["status"] == "held"
    assert desk.venue.replace_order(entry["id"], {"limit_price": "97"})["status"] == "pending_new"


@pytest.mark.parametrize("order_class", ["bracket", "oco"])
def test_brackets_and_ocos_are_no_wash_trade(order_class: str) -> None:
    desk = Desk()
    desk.bought("10")
    existing = desk.limit("105", qty="5", side="sell")
    legs: Body = {"take_profit": {"limit_price": "110"}, "stop_loss": {"stop_price": "90"}}
    if order_class == "oco":
        desk.venue.cancel_order(existing["id"])
        desk.tick()
        desk.order(type="limit", side="sell", order_class="oco", **legs)
        assert desk.order(qty="1")["id"]
    else:
        assert desk.order(qty="1", order_class="bracket", **legs)["id"]


def test_a_cancelled_order_is_no_wash_trade() -> None:
    desk = Desk()
    desk.bought("10")
    first = desk.limit("105", qty="5", side="sell")
    desk.venue.cancel_order(first["id"])
    desk.tick()
    assert desk.order(qty="1")["status"] == "pending_new"


def test_nobody_opens_both_sides_of_a_symbol_at_once() -> None:
    desk = Desk()
    desk.limit("90")
    assert refused(desk.limit, "110", side="sell") == (
        403, {"code": 40310000, "message": "cannot open a short sell while a long buy order is open"},
    )  # fmt: skip
    desk.limit("110", symbol="TSLA", side="sell")
    assert refused(desk.limit, "90", symbol="TSLA") == (
        403, {"code": 40310000, "message": "cannot open a long buy while a short sell order is open"},
    )  # fmt: skip


CONFIGURED: list[tuple[Body, Body, str]] = [
    ({"suspend_trade": True}, MARKET, "new orders are rejected by user request"),
    ({"no_shorting": True}, {**MARKET, "side": "sell"}, "account is not allowed to short"),
    ({"max_margin_multiplier": "1"}, {**MARKET, "side": "sell"}, "account is not allowed to short"),
    (
        {"fractional_trading": False},
        {**MARKET, "qty": "0.5"},
        "fractional trading is disabled for this account",
    ),
]


@pytest.mark.parametrize(("configuration", "body", "message"), CONFIGURED)
def test_what_the_user_has_ruled_out_is_refused(configuration: Body, body: Body, message: str) -> None:
    desk = Desk()
    desk.venue.configure(configuration)
    assert refused(desk.venue.place_order, body) == (403, {"code": 40310000, "message": message})


@pytest.mark.parametrize(
    ("time_in_force", "hour", "taken"),
    [
        ("opg", "09:27", True), ("opg", "09:28", False), ("opg", "18:59", False), ("opg", "19:00", True),
        ("cls", "15:49", True), ("cls", "15:50", False), ("cls", "18:59", False), ("cls", "19:00", True),
    ],
)  # fmt: skip
def test_auctions_take_orders_until_shortly_before(time_in_force: str, hour: str, taken: bool) -> None:
    desk = Desk(f"{THURSDAY} {hour}")
    if taken:
        assert desk.order(time_in_force=time_in_force)["id"]
    else:
        status, body = refused(desk.order, time_in_force=time_in_force)
        assert (status, body["code"]) == (403, 40310000)
        assert body["message"].startswith(f"{time_in_force} orders must be submitted after 7:00pm")


@pytest.mark.parametrize("time_in_force", ["opg", "cls"])
@pytest.mark.parametrize(
    ("hour", "taken"),
    [("12:51", False), ("16:00", False), ("16:59", False), ("18:59", False), ("19:00", True)],
)
def test_on_a_half_day_too_auctions_take_orders_from_seven_in_the_evening_on(
    time_in_force: str, hour: str, taken: bool
) -> None:
    desk = Desk(f"2026-11-27 {hour}")
    if taken:
        assert desk.order(time_in_force=time_in_force)["id"]
    else:
        assert refused(desk.order, time_in_force=time_in_force)[0] == 403


def test_a_bracket_must_open_a_position() -> None:
    desk = Desk()
    desk.bought("1")
    body = {**BRACKET, "side": "sell", "take_profit": {"limit_price": 90}, "stop_loss": {"stop_price": 110}}
    assert refused(desk.venue.place_order, body) == (
        422, {"code": 42210000, "message": "bracket orders must be entry orders"},
    )  # fmt: skip


LOOKUPS: list[tuple[Callable[[Desk], object], int, Body]] = [
    (lambda desk: desk.get("fake_id"), 422, {"code": 40010001, "message": "order_id is missing"}),
    (
        lambda desk: desk.get("001c0b29-5bc9-45c4-bd32-5ba323c997b3"),
        404,
        {"code": 40410000, "message": "order not found for 001c0b29-5bc9-45c4-bd32-5ba323c997b3"},
    ),
    (
        lambda desk: desk.venue.cancel_order("001c0b29-5bc9-45c4-bd32-5ba323c997b3"),
        404,
        {"code": 40410000, "message": "order not found for 001c0b29-5bc9-45c4-bd32-5ba323c997b3"},
    ),
    (
        lambda desk: desk.venue.get_order_by_client_order_id(
            {"client_order_id": "b0b6dd9d-8b9b-48a9-ba46-b9d54906e415"}
        ),
        404,
        {"code": 40410000, "message": "order not found for b0b6dd9d-8b9b-48a9-ba46-b9d54906e415"},
    ),
    (
        lambda desk: desk.venue.get_position("KO"),
        404,
        {"code": 40410000, "message": "position does not exist"},
    ),
    (
        lambda desk: desk.venue.close_position("KO", {}),
        404,
        {"code": 40410000, "message": "position does not exist"},
    ),
    (lambda desk: desk.venue.get_position("NO"), 404, {"code": 40410000, "message": "symbol not found: NO"}),
    (
        lambda desk: desk.venue.get_asset("BLAH"),
        404,
        {"code": 40410000, "message": "asset not found for BLAH"},
    ),
    (
        lambda desk: desk.venue.activities("INVALID", {}),
        422,
        {"code": 40010001, "message": "invalid activity type: INVALID"},
    ),
]


@pytest.mark.parametrize(("ask", "status", "body"), LOOKUPS)
def test_what_is_not_there_is_refused(ask: Callable[[Desk], object], status: int, body: Body) -> None:
    assert refused(ask, Desk()) == (status, body)


ELSEWHERE = {  # said by the way to the venue, or of what the simulated account can't be
    "access key verification failed : verification failure", "unauthorized.", "forbidden.",
    "endpoint not found.",
    "rate limit exceeded", "internal server error occurred", "invalid order type for crypto order",
    "invalid crypto time_in_force", "account is restricted to liquidation only",
    "account is not authorized to trade", "trade denied due to pattern day trading protection",
}  # fmt: skip
OVERRULED = {  # O, where another wording is recorded for the same request
    "limit orders require a limit price",
    'asset "{sym}" not found',
}


def test_every_observed_error_is_in_the_table_with_its_evidence() -> None:
    table = [message for message in vars(messages).values() if isinstance(message, Message)]
    for observed in observed_errors():
        if observed.message in ELSEWHERE | OVERRULED:
            continue
        answer = (observed.status, observed.code)
        same = [row for row in table if _matches(row, observed.message) and (row.status, row.code) == answer]
        assert same, observed
        assert any(row.grade == observed.grade for row in same), observed


def _matches(row: Message, text: str) -> bool:
    return re.fullmatch(".+".join(map(re.escape, row.text.split("{}"))), text) is not None
