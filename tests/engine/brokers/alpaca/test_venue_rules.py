"""What Alpaca can't take: each rule by example, and all of them against the simulator."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from engine.brokers.alpaca import venue_rules
from engine.brokers.alpaca.orders import order_payload
from engine.brokers.alpaca.supported import as_table
from engine.brokers.alpaca.venue_rules import RULES, why_alpaca_would_refuse
from engine.intents.reading import read_intent_file
from engine.model.orders import OrderIntent
from engine.model.schema import ORDER_TYPES, TIMES_IN_FORCE
from engine.record.formats import json_line
from tests.engine.brokers.simulated import HOST, KEY, SECRET, Venue, intent, simulated_venue

LIMIT = {"order_type": "limit", "limit_price": 10.0}
STOP = {"order_type": "stop", "stop_price": 10.0}
TRAIL = {"order_type": "trailing_stop", "trail_percent": 1.0}
LEGS = {"take_profit_limit_price": 11.0, "stop_loss_stop_price": 9.0}
BRACKET = {**LIMIT, **LEGS, "order_class": "bracket"}
OTO = {**LIMIT, "order_class": "oto", "stop_loss_stop_price": 9.0}
OCO = {**LEGS, "order_type": "limit", "limit_price": 11.0, "order_class": "oco", "side": "sell"}
NOTIONAL = {"qty": None, "notional": 10.0}


# --- by example -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [
    {}, {"asset_class": "US_EQUITY"}, {"symbol": "BRK.B"}, {"qty": 0.000000001}, {"qty": 999_999_999.0},
    NOTIONAL, {"qty": None, "notional": 1.0}, {"qty": None, "notional": 1.01}, {**NOTIONAL, **LIMIT},
    {**NOTIONAL, **STOP}, {**LIMIT, "qty": 0.5}, {**LIMIT, "qty": 0.5, "extended_hours": True},
    {**LIMIT, "limit_price": 0.9999}, {**LIMIT, "limit_price": 1.0}, {**LIMIT, "limit_price": 1.01},
    {**LIMIT, "limit_price": 123456.78}, {**STOP, "stop_price": 0.0001}, {**TRAIL, "trail_percent": 0.1},
    {**TRAIL, "time_in_force": "gtc"}, {**STOP, "time_in_force": "gtc"}, {"time_in_force": "opg"},
    {**LIMIT, "time_in_force": "cls"}, {"time_in_force": "ioc"}, {**LIMIT, "time_in_force": "fok"},
    {**LIMIT, "extended_hours": True}, {**LIMIT, "extended_hours": True, "time_in_force": "gtc"},
    BRACKET, {**BRACKET, "time_in_force": "gtc"}, {**LEGS, "order_class": "bracket"}, OTO, OCO,
    {**OTO, **STOP, "limit_price": None}, {**OCO, "limit_price": None},
    {**OCO, "stop_loss_limit_price": 8.99},
    {**BRACKET, "take_profit_limit_price": 10.01, "stop_loss_stop_price": 9.99},
    {**BRACKET, "side": "sell", "take_profit_limit_price": 9.0, "stop_loss_stop_price": 11.0},
    {**OCO, "side": "buy", "limit_price": 9.0, "take_profit_limit_price": 9.0, "stop_loss_stop_price": 9.01},
    {"action": "cancel", "target_intent_id": "intent-0", "asset_class": "CRYPTO"},
])  # fmt: skip
def test_what_alpaca_takes_is_let_through(changes: dict[str, Any]) -> None:
    assert why_alpaca_would_refuse(intent(**changes)) is None


@pytest.mark.parametrize(
    ("rule", "changes", "said"),
    [
        (
            "asset_class_not_supported",
            {"asset_class": "CRYPTO"},
            "asset_class is 'CRYPTO'; crypto orders are not supported. Supported are shares and funds of US",
        ),
        (
            "asset_class_not_supported",
            {"asset_class": "US_OPTION"},
            "option orders are not supported. Supported are shares and funds of US exchanges, asset_class EQ",
        ),
        ("asset_class_not_supported", {"asset_class": "BOND"}, "'BOND'; such orders are not supported."),
        (
            "asset_class_not_supported",
            {"symbol": "BTC/USD"},
            "symbol is 'BTC/USD', a currency pair; crypto orders are not supported.",
        ),
        (
            "asset_class_not_supported",
            {"symbol": "AAPL250620C00100000"},
            "an option contract; option orders are not supported.",
        ),
        (
            "exit_without_class",
            {"take_profit_limit_price": 11.0},
            "take_profit_limit_price is 11 with order_class simple; Alpaca would place the order and ignore",
        ),
        ("exit_without_class", {"stop_loss_stop_price": 9.0}, "or leave stop_loss_stop_price out."),
        ("number_not_finite", {"qty": math.nan}, "qty is nan; expected a finite number. Correct it"),
        ("number_not_finite", {**LIMIT, "limit_price": math.inf}, "limit_price is inf"),
        ("qty_too_fine", {"qty": 1e-10}, "qty is 0.0000000001; Alpaca takes at most 9 decimals. Round it."),
        (
            "notional_not_in_cents",
            {"qty": None, "notional": 0.99},
            "notional is 0.99; Alpaca takes whole cents from",
        ),
        ("notional_not_in_cents", {"qty": None, "notional": 5.001}, "Round it, or give a qty."),
        (
            "fraction_not_plain",
            {"qty": 0.5, "time_in_force": "gtc"},
            "gtc with a fraction of a share; Alpaca takes d",
        ),
        (
            "fraction_not_plain",
            {**NOTIONAL, "time_in_force": "ioc"},
            "ioc with a notional; Alpaca takes day. Set",
        ),
        ("fraction_not_plain", {**BRACKET, "qty": 1.5}, "order_class is bracket with a fraction of a share"),
        ("fraction_not_plain", {**OTO, **NOTIONAL}, "order_class is oto with a notional"),
        (
            "fraction_not_plain",
            {**TRAIL, "qty": 1.5},
            "order_type is trailing_stop with a fraction of a share",
        ),
        (
            "price_too_fine",
            {**LIMIT, "limit_price": 10.005},
            "limit_price is 10.005; Alpaca takes steps of 0.01 from",
        ),
        ("price_too_fine", {**LIMIT, "limit_price": 1.001}, "steps of 0.01 from 1 USD on. Round it."),
        ("price_too_fine", {**LIMIT, "limit_price": 0.99999}, "steps of 0.0001 below 1 USD. Round it."),
        ("price_too_fine", {**STOP, "stop_price": 10.001}, "stop_price is 10.001"),
        (
            "price_too_fine",
            {**BRACKET, "take_profit_limit_price": 11.001},
            "take_profit_limit_price is 11.001",
        ),
        ("price_too_fine", {**BRACKET, "stop_loss_stop_price": 8.999}, "stop_loss_stop_price is 8.999"),
        ("price_too_fine", {**BRACKET, "stop_loss_limit_price": 8.999}, "stop_loss_limit_price is 8.999"),
        ("price_too_fine", {"order_type": "trailing_stop", "trail_price": 1.005}, "trail_price is 1.005"),
        (
            "trail_too_small",
            {**TRAIL, "trail_percent": 0.09},
            "trail_percent is 0.09; Alpaca takes 0.1 and more.",
        ),
        (
            "time_in_force_not_for_type",
            {**STOP, "time_in_force": "ioc"},
            "ioc with order_type stop; Alpaca takes day",
        ),
        (
            "time_in_force_not_for_type",
            {**TRAIL, "time_in_force": "opg"},
            "opg with order_type trailing_stop",
        ),
        (
            "extended_hours_not_for_order",
            {"extended_hours": True},
            "extended_hours is true with order_type market",
        ),
        (
            "extended_hours_not_for_order",
            {**LIMIT, "extended_hours": True, "time_in_force": "cls"},
            "time_in_force cls",
        ),
        (
            "extended_hours_not_for_order",
            {**BRACKET, "extended_hours": True},
            "and order_class bracket; Alpaca takes",
        ),
        (
            "group_time_in_force",
            {**BRACKET, "time_in_force": "fok"},
            "fok with order_class bracket; Alpaca takes day",
        ),
        (
            "group_type",
            {**LEGS, **STOP, "order_class": "bracket"},
            "stop with order_class bracket; Alpaca takes market or",
        ),
        (
            "group_type",
            {**OCO, "order_type": "market", "limit_price": None},
            "Alpaca takes limit for it. Set that.",
        ),
        (
            "group_type",
            {**TRAIL, "order_class": "oto", "stop_loss_stop_price": 9.0},
            "trailing_stop with order_class oto",
        ),
        (
            "oco_with_two_limits",
            {**OCO, "limit_price": 10.5},
            "limit_price is 10.5, take_profit_limit_price 11.0",
        ),
        (
            "leg_on_wrong_side",
            {**BRACKET, "take_profit_limit_price": 10.0},
            "take_profit_limit_price is 10 and limit_pri",
        ),
        (
            "leg_on_wrong_side",
            {**BRACKET, "stop_loss_stop_price": 10.0},
            "limit_price is 10 and stop_loss_stop_price 10",
        ),
        (
            "leg_on_wrong_side",
            {**LEGS, "order_class": "bracket", "side": "sell"},
            "0.01 or more below the second. Move",
        ),
        (
            "leg_on_wrong_side",
            {**OTO, **STOP, "limit_price": None, "stop_loss_stop_price": 12.0},
            "stop_price is 10 and",
        ),
        ("leg_on_wrong_side", {**OCO, "stop_loss_stop_price": 11.0}, "above the second"),
        (
            "leg_on_wrong_side",
            {**OCO, "side": "buy"},
            "to buy, order_class oco needs the first 0.01 or more below",
        ),
    ],
)
def test_what_alpaca_cannot_take_is_refused_by_its_rule_with_a_remedy(
    rule: str, changes: dict[str, Any], said: str
) -> None:
    why = why_alpaca_would_refuse(intent(**changes))
    assert why is not None
    assert said in why
    assert broken_rule(intent(**changes)) == rule


def broken_rule(wanted: OrderIntent) -> str:
    return next((rule.__name__ for rule in RULES if rule(wanted)), "")


@pytest.mark.parametrize("amount", [NOTIONAL, {"qty": 0.5}, {"qty": 1.0}])
@pytest.mark.parametrize("time_in_force", TIMES_IN_FORCE)
@pytest.mark.parametrize("order_type", ORDER_TYPES)
def test_a_simple_order_is_taken_where_the_list_of_what_is_supported_has_it(
    order_type: str, time_in_force: str, amount: dict[str, Any]
) -> None:
    """By Alpaca's pages: fractions and notional for the day, no trailing stops; stop orders day or gtc."""
    prices = {"limit": LIMIT, "stop": STOP, "trailing_stop": TRAIL, "stop_limit": {**LIMIT, **STOP}}
    said = {**prices.get(order_type, {}), "order_type": order_type, "time_in_force": time_in_force, **amount}
    plain = order_type in {"market", "limit"} or time_in_force in {"day", "gtc"}
    whole = amount == {"qty": 1.0} or (time_in_force == "day" and order_type != "trailing_stop")
    assert (why_alpaca_would_refuse(intent(**said)) is None) == (plain and whole)


def test_the_docs_have_the_list_of_what_is_supported() -> None:
    assert as_table() in Path("jobs/docs/intents.md").read_text()


def test_every_rule_is_in_the_list_and_names_its_source_or_reason() -> None:
    rules = [
        value
        for name, value in vars(venue_rules).items()
        if callable(value)
        and getattr(value, "__module__", "") == venue_rules.__name__
        and not name.startswith("_")
        and value is not why_alpaca_would_refuse
    ]
    assert rules == list(RULES)
    for rule in RULES:
        said = rule.__doc__ or ""
        assert "Source: " in said or rule.__name__ in {"asset_class_not_supported", "number_not_finite"}


# --- against the simulator ------------------------------------------------------------------------------

HANGS_ON_ACCOUNT_OR_MARKET = (
    "bracket orders must be entry orders",
    "oco orders must be exit orders",
    "fractional orders cannot be sold short",
    "stop price must be less than current price",
    "stop price must be greater than current price",
)
STRICTER_THAN_THE_SIMULATOR = {
    "oco_with_two_limits": "the simulator never sees the limit price of an oco",
    "group_type": "trailing stops are documented to be for single orders; the simulator lets oto have them",
    "price_too_fine": "trail prices: the simulator has no rule for them",
}

near = st.integers(990, 1010).map(lambda cents: cents / 100)
prices = st.sampled_from([near] * 8 + [
    st.integers(1, 40_000).map(lambda cents: cents / 100),
    st.integers(1, 12_000).map(lambda hundredths: hundredths / 10_000),
    st.integers(1, 9_999_999).map(lambda digits: digits / 100_000),
]).flatmap(lambda each: each)  # fmt: skip
shares: st.SearchStrategy[dict[str, Any]] = st.integers(1, 9).map(lambda shares: {"qty": float(shares)})
sizes = st.sampled_from([shares] * 6 + [
    st.integers(1, 10**10).map(lambda units: {"qty": units / 1e9}),
    st.integers(1, 20_000).map(lambda digits: {"qty": None, "notional": digits / 1000}),
    st.integers(50, 900).map(lambda cents: {"qty": None, "notional": cents / 100}),
]).flatmap(lambda each: each)  # fmt: skip
types: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.builds(lambda limit: {"order_type": "limit", "limit_price": limit}, prices),
    st.builds(lambda stop: {"order_type": "stop", "stop_price": stop}, prices),
    st.builds(
        lambda stop, limit: {"order_type": "stop_limit", "stop_price": stop, "limit_price": limit},
        prices,
        prices,
    ),
    st.builds(lambda trail: {"order_type": "trailing_stop", "trail_price": trail}, prices),
    st.builds(lambda part: {"order_type": "trailing_stop", "trail_percent": part / 100}, st.integers(1, 99)),
)
profits = st.builds(lambda price: {"take_profit_limit_price": price}, prices)
losses = st.builds(
    lambda stop, limit: {"stop_loss_stop_price": stop, "stop_loss_limit_price": limit},
    prices,
    st.none() | prices,
)
classes: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.builds(lambda profit, loss: {"order_class": "bracket", **profit, **loss}, profits, losses),
    st.builds(lambda leg: {"order_class": "oto", **leg}, profits | losses),
    st.builds(
        lambda profit, loss, same: {
            "order_class": "oco", "order_type": "limit", **profit, **loss,
            "limit_price": profit["take_profit_limit_price"] if same else 5.0,
            "stop_price": None, "trail_price": None, "trail_percent": None,
        },
        profits, losses, st.sampled_from([True, True, True, False]),
    ),
)  # fmt: skip
times_in_force = st.sampled_from(["day"] * 6 + ["gtc"] * 6 + ["opg", "cls", "ioc", "fok"])


@st.composite
def well_formed_intents(draw: st.DrawFn) -> OrderIntent:
    """Return intents that the contract lets through, of shares that are held (AAPL) or not (MSFT)."""
    return intent(
        symbol=draw(st.sampled_from(["AAPL", "MSFT"])),
        side=draw(st.sampled_from(["buy", "sell"])),
        time_in_force=draw(times_in_force),
        extended_hours=draw(st.sampled_from([False] * 5 + [True])),
        **{**draw(sizes), **draw(types), **draw(classes)},
    )


@pytest.fixture(scope="module")
def venue() -> Iterator[Venue]:
    with simulated_venue(cash=Decimal(10**9)) as opened:
        opened.place(qty="100000")
        opened.wait()
        yield opened


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(wanted=well_formed_intents())
@example(wanted=intent(**OCO))
@example(wanted=intent(**BRACKET))
@example(wanted=intent(**BRACKET | {"take_profit_limit_price": 10.01, "stop_loss_stop_price": 9.99}))
@example(wanted=intent(**LIMIT | {"limit_price": 10.0051}))
@example(wanted=intent(**LIMIT | {"limit_price": 0.9999}))
@example(wanted=intent(**{**TRAIL, "order_class": "oto", "stop_loss_stop_price": 9.0}))
def test_the_rules_refuse_what_the_simulator_refuses_for_its_form_and_nothing_else(
    venue: Venue, wanted: OrderIntent
) -> None:
    rule = broken_rule(wanted)
    status, message = answer(venue, wanted)
    refused_for_form = status in {400, 422} and not message.startswith(HANGS_ON_ACCOUNT_OR_MARKET)
    event(rule or ("let through, refused for other reasons" if status != 200 else "let through, taken"))
    if rule and status == 200:
        assert rule in STRICTER_THAN_THE_SIMULATOR
        assert rule != "price_too_fine" or wanted.trail_price is not None
        assert rule != "group_type" or (wanted.order_type, wanted.order_class) == ("trailing_stop", "oto")
    if refused_for_form and not rule:
        market_decides = wanted.order_class != "simple" and wanted.order_type in {"market", "trailing_stop"}
        assert market_decides, message
        assert "base_price" in message


def answer(venue: Venue, wanted: OrderIntent) -> tuple[int, str]:
    """Ask the simulator, and take back what it took."""
    payload = order_payload(wanted)
    del payload["client_order_id"]
    session = venue.broker.wire.session
    keys = {"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET}
    reply = session.request("POST", f"{HOST}/v2/orders", json=payload, headers=keys, timeout=5)
    venue.simulator.venue.cancel_all_orders()
    venue.wait(1)
    return reply.status_code, reply.json().get("message", "")


@settings(max_examples=50, deadline=None)
@given(wanted=well_formed_intents())
def test_the_intents_above_are_well_formed(wanted: OrderIntent) -> None:
    said = {
        name: value
        for name, value in vars(wanted).items()
        if value is not None and name not in {"metadata", "client_intent_id"}
    }
    read = read_intent_file("intent.json", json_line(said), file_time_us=0, trading_date=date(2026, 10, 8))
    assert not read.refused
