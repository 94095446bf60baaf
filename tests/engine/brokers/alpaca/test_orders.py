from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.brokers.alpaca.orders import decimal_text, order_payload, parse_order
from engine.brokers.order_differences import differences
from engine.model.orders import BrokerOrder
from engine.model.symbols import canonical_symbol
from tests.engine.brokers.loopback import INTENT, ORDER
from tests.engine.brokers.simulated import Venue, intent, simulated_venue


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"order_type": "limit", "limit_price": 0.1}, {"type": "limit", "limit_price": "0.1"}),
        ({"order_type": "stop", "stop_price": 99.5}, {"type": "stop", "stop_price": "99.5"}),
        (
            {"order_type": "stop_limit", "stop_price": 1e5, "limit_price": 100000.01},
            {"type": "stop_limit", "stop_price": "100000", "limit_price": "100000.01"},
        ),
        (
            {"order_type": "trailing_stop", "trail_price": 1.5},
            {"type": "trailing_stop", "trail_price": "1.5"},
        ),
        (
            {"order_type": "trailing_stop", "trail_percent": 0.25, "time_in_force": "gtc"},
            {"type": "trailing_stop", "trail_percent": "0.25", "time_in_force": "gtc"},
        ),
        ({"qty": 0.0}, {"qty": "0"}),  # never left out: it is the broker that says no
        ({"qty": None, "notional": 500.0}, {"qty": None, "notional": "500"}),
        ({"side": "sell", "extended_hours": np.True_}, {"side": "sell", "extended_hours": True}),
        (
            {"order_class": "bracket", "take_profit_limit_price": 335.0, "stop_loss_stop_price": 315.0},
            {
                "order_class": "bracket",
                "take_profit": {"limit_price": "335"},
                "stop_loss": {"stop_price": "315"},
            },
        ),
        (
            {"order_class": "oto", "stop_loss_stop_price": 315.0, "stop_loss_limit_price": 314.5},
            {"order_class": "oto", "stop_loss": {"stop_price": "315", "limit_price": "314.5"}},
        ),
        (
            {
                "order_class": "oco",
                "order_type": "limit",
                "limit_price": 1.01,  # as the contract wants it; Alpaca has it from the take-profit
                "take_profit_limit_price": 1.01,
                "stop_loss_stop_price": 0.99,
            },
            {
                "order_class": "oco",
                "type": "limit",
                "take_profit": {"limit_price": "1.01"},
                "stop_loss": {"stop_price": "0.99"},
            },
        ),
    ],
)
def test_each_kind_of_order_is_spelled_as_alpaca_spells_it(
    changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    plain = {
        "client_order_id": "intent-1",
        "symbol": "TSLA",
        "side": "buy",
        "type": "market",
        "time_in_force": "day",
        "extended_hours": False,
        "qty": "1",
    }
    wanted = {key: value for key, value in (plain | expected).items() if value is not None}
    assert json.loads(json.dumps(order_payload(replace(INTENT, **changes)))) == wanted


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (1e-9, "0.000000001"),
        (100.0, "100"),
        (3, "3"),
        (0.1 + 0.2, "0.30000000000000004"),
        (999999999.0, "999999999"),
        (1e22, "10000000000000000000000"),
        (np.float64(0.557436865), "0.557436865"),
    ],
)
def test_a_number_is_written_as_its_shortest_decimal(value: float, text: str) -> None:
    assert decimal_text(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(5e-324)
@example(1.7976931348623157e308)
def test_any_finite_float_is_written_plainly_and_read_back_the_same(value: float) -> None:
    text = decimal_text(value)
    assert Decimal(text) == Decimal(repr(value))
    assert re.fullmatch(r"-?\d+(\.\d*[1-9])?", text)


def test_unknown_fields_and_statuses_are_kept() -> None:
    order = parse_order(
        json.dumps(ORDER | {"status": "pending_review", "subtag": None, "source": {}}).encode()
    )
    assert order.order_status == "pending_review"
    assert order.raw["source"] == {}


@pytest.mark.parametrize("nothing", [{"filled_qty": None, "filled_avg_price": None}, {}])
def test_null_and_absent_figures_mean_nothing_filled(nothing: dict[str, None]) -> None:
    bare = {"id": "1", "client_order_id": "c", "status": "new"} | nothing
    order = parse_order(json.dumps(bare).encode())
    assert (order.filled_qty, order.filled_avg_price, order.symbol, order.side) == (0.0, None, "", "")


def test_decimals_sent_as_json_numbers_are_kept_as_they_were_written() -> None:
    body = json.dumps(ORDER | {"filled_qty": 7, "hwm": math.nan})
    body = body.replace('"limit_price": null', '"limit_price": 0.10')
    order = parse_order(body.replace('"filled_avg_price": null', '"filled_avg_price": 46.950').encode())
    assert (order.raw["limit_price"], order.raw["filled_avg_price"]) == ("0.10", "46.950")
    assert order.raw["hwm"] == "NaN"
    assert (order.filled_qty, order.filled_avg_price) == (7.0, 46.95)


@pytest.mark.parametrize(
    "figure", ["NaN", "Infinity", "-1", "1,5", "1_0", "٣", "", " 4", "1e999", True, [], "abc", 10**400]
)
def test_a_filled_quantity_that_is_no_number_is_not_guessed_at(figure: object) -> None:
    with pytest.raises(ValueError, match="its filled_qty is"):
        parse_order(json.dumps(ORDER | {"filled_qty": figure}).encode())


def parsed(**changes: Any) -> BrokerOrder:
    return parse_order(json.dumps(ORDER | changes).encode())


def test_an_order_comes_with_all_that_it_says() -> None:
    order = parsed(
        order_class="oco",
        type="stop_limit",
        order_type="market",
        limit_price="10.50",
        stop_price=9.75,
        status="replaced",
        replaced_by="other",
        filled_at="2020-05-24T18:25:13.999999999-04:00",
    )
    assert (order.qty, order.notional) == (1.0, None)
    assert (order.order_type, order.time_in_force, order.order_class) == ("stop_limit", "day", "oco")
    assert (order.limit_price, order.stop_price, order.replaced_by) == (10.5, 9.75, "other")
    assert order.created_at == datetime(2020, 5, 24, 22, 25, 12, 233_451, tzinfo=UTC)
    assert order.submitted_at == datetime(2020, 5, 24, 22, 25, 12, 221_954, tzinfo=UTC)
    assert order.filled_at == datetime(2020, 5, 24, 22, 25, 13, 999_999, tzinfo=UTC)


def test_an_order_of_2019_has_its_type_under_the_old_name() -> None:
    assert parsed(type=None, order_type="limit").order_type == "limit"


@pytest.mark.parametrize("status", ["filled", "canceled", "expired", "rejected", "replaced"])
def test_an_order_that_is_terminal_is_final(status: str) -> None:
    assert parsed(status=status).is_final


@pytest.mark.parametrize(
    "status",
    [
        "new",
        "partially_filled",
        "done_for_day",
        "pending_cancel",
        "pending_replace",
        "accepted",
        "pending_new",
        "accepted_for_bidding",
        "stopped",
        "suspended",
        "calculated",
        "held",
        "pending_review",
        "FILLED",
        "something_new",
    ],
)
def test_an_order_that_may_yet_do_something_is_not_final(status: str) -> None:
    assert not parsed(status=status).is_final


@pytest.mark.parametrize(
    ("field", "nothing"),
    [
        *((name, None) for name in ("qty", "notional", "limit_price", "stop_price", "filled_avg_price")),
        *((name, None) for name in ("created_at", "submitted_at", "filled_at")),
        *((name, "") for name in ("symbol", "side", "time_in_force", "order_class", "replaced_by")),
    ],
)
@pytest.mark.parametrize("odd", [None, [], {}, True, "1,5", "yesterday", 2**80, "NaN", "-1", " "])
def test_what_nothing_hangs_on_may_have_any_shape(field: str, nothing: object, odd: object) -> None:
    order = parsed(**{field: odd})
    value = getattr(order, field)
    text = odd if nothing == "" and isinstance(odd, str) else nothing
    expected = canonical_symbol(text) if field == "symbol" and isinstance(text, str) else text
    assert value == expected or (value, odd) == (float(2**80), 2**80)
    assert order.raw[field] == odd


@pytest.mark.parametrize("field", ["id", "client_order_id", "status"])
@pytest.mark.parametrize("odd", [None, "", 7, [], {}, True])
def test_what_an_order_is_known_by_may_not(field: str, odd: object) -> None:
    with pytest.raises(ValueError, match=f"^its {field} is "):
        parsed(**{field: odd})


def test_legs_are_orders() -> None:
    order = parsed(legs=[ORDER | {"id": "leg-1", "qty": "2"}, ORDER | {"id": "leg-2", "legs": [ORDER]}])
    assert [(leg.broker_order_id, leg.qty, leg.legs) for leg in order.legs] == [
        ("leg-1", 2.0, ()),
        ("leg-2", 1.0, ()),
    ]
    assert parsed(legs=None).legs == parsed(legs=[]).legs == ()


@pytest.mark.parametrize("legs", [{}, "two", 2, [None], [[]], [ORDER, {}], [ORDER | {"filled_qty": "?"}]])
def test_a_leg_that_cannot_be_read_is_not_left_out(legs: object) -> None:
    with pytest.raises(ValueError, match=r"^its "):
        parsed(legs=legs)


# --- is it the one that was meant -----------------------------------------------------------------------


BY_NOTIONAL = {"qty": None, "notional": 500.0}
FILLED = {"status": "filled", "filled_qty": "2.5", "filled_avg_price": "200"}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {}),
        ({"qty": 0.1}, {"qty": "0.10"}),
        ({"qty": 0.3}, {"qty": 0.3}),
        ({"qty": 999999999.123456}, {"qty": "999999999.123456"}),
        ({"qty": None, "notional": 500.0}, {"qty": None, "notional": "500"}),
        ({"qty": None, "notional": 500.1}, {"qty": "4", "notional": "500.10"}),  # as a fill may tell
        ({"order_type": "trailing_stop"}, {"type": "trailing_stop"}),
        ({"limit_price": 10.0}, {"limit_price": "9.99"}),  # which Alpaca has been seen to round
        ({}, {"status": "filled", "filled_qty": "1"}),
        (BY_NOTIONAL, {"qty": None, "notional": "500"}),
        (BY_NOTIONAL, {"qty": "2.5", "notional": "500", **FILLED}),
        (BY_NOTIONAL, {"qty": "2.5", "notional": None, **FILLED}),
        (BY_NOTIONAL, {"qty": "2.51", "notional": None, **FILLED, "filled_qty": "2.51"}),  # rounded
    ],
)
def test_an_order_that_says_the_same_is_the_one_that_was_meant(
    ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    assert differences(replace(INTENT, **ours), parsed(**theirs)) == ""


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ({"qty": 2.0}, {}, "qty 1.0 instead of 2.0"),
        ({"qty": 0.3}, {"qty": "0.30000000000000004"}, "qty 0.30000000000000004 instead of 0.3"),
        ({"qty": 0.000000001}, {"qty": "0.000000002"}, "qty 2e-09 instead of 1e-09"),
        ({}, {"qty": None, "notional": "1"}, "qty 'absent' instead of 1.0"),
        ({}, {"qty": "one"}, "qty 'absent' instead of 1.0"),
        (BY_NOTIONAL, {"notional": "500.01"}, "notional 500.01 instead of 500.0"),
        (BY_NOTIONAL, {"qty": "2.5", **FILLED, "notional": "500.01"}, "notional 500.01 instead of 500.0"),
        (BY_NOTIONAL, {}, "notional 'absent' instead of 500.0"),
        (BY_NOTIONAL, {"qty": "2.6", **FILLED, "filled_qty": "2.6"}, "notional 'absent' instead of 500.0"),
        (BY_NOTIONAL, {"qty": "2.5", "filled_qty": "2.5"}, "notional 'absent' instead of 500.0"),
        ({"order_type": "limit"}, {}, "type 'market' instead of 'limit'"),
        ({}, {"type": None, "order_type": None}, "type 'absent' instead of 'market'"),
        ({"side": "sell"}, {}, "side 'buy' instead of 'sell'"),
        ({"symbol": "TSLL"}, {}, "symbol 'TSLA' instead of 'TSLL'"),
        ({"client_intent_id": "x"}, {}, "client_order_id 'intent-1' instead of 'x'"),
    ],
)
def test_an_order_that_says_something_else_is_another(
    ours: dict[str, Any], theirs: dict[str, Any], said: str
) -> None:
    assert differences(replace(INTENT, **ours), parsed(**theirs)) == said


# --- what the simulator makes of it ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def venue() -> Iterator[Venue]:
    """A simulator in which 1,000 shares of MSFT are held, at about 400 USD, and none of AAPL."""
    with simulated_venue(cash=10**7) as opened:
        opened.place(symbol="MSFT", qty="1000")
        opened.wait()
        yield opened


LEGS = {"take_profit_limit_price": 2.0, "stop_loss_stop_price": 0.5}


@pytest.mark.parametrize(
    ("number", "changes", "legs"),
    [
        (number, *kind)
        for number, kind in enumerate(
            [
                ({}, []),
                ({"qty": 0.123456789}, []),
                ({"qty": None, "notional": 10.5}, []),
                ({"order_type": "limit", "limit_price": 1.05, "extended_hours": True}, []),
                ({"order_type": "stop", "stop_price": 90000.0, "time_in_force": "gtc"}, []),
                ({"order_type": "stop_limit", "stop_price": 90000.0, "limit_price": 90001.0}, []),
                ({"order_type": "trailing_stop", "trail_price": 1.5}, []),
                ({"order_type": "trailing_stop", "trail_percent": 0.25, "time_in_force": "gtc"}, []),
                ({"order_type": "limit", "limit_price": 1.0, "time_in_force": "fok"}, []),
                (
                    {"order_type": "limit", "limit_price": 1.0, "order_class": "bracket", **LEGS},
                    [("limit", 2.0, None), ("stop", None, 0.5)],
                ),
                (
                    {
                        "order_type": "limit",
                        "limit_price": 1.0,
                        "order_class": "bracket",
                        **LEGS,
                        "stop_loss_limit_price": 0.4999,
                    },
                    [("limit", 2.0, None), ("stop_limit", 0.4999, 0.5)],
                ),
                (
                    {
                        "order_type": "limit",
                        "limit_price": 1.0,
                        "order_class": "oto",
                        "take_profit_limit_price": 2.0,
                    },
                    [("limit", 2.0, None)],
                ),
                (
                    {"order_class": "oto", "stop_loss_stop_price": 1.0, "time_in_force": "gtc"},
                    [("stop", None, 1.0)],
                ),
                (
                    {
                        "symbol": "MSFT",
                        "side": "sell",
                        "order_type": "limit",
                        "limit_price": 90000.0,
                        "order_class": "oco",
                        "take_profit_limit_price": 90000.0,
                        "stop_loss_stop_price": 1.0,
                    },
                    [("stop", None, 1.0)],
                ),
            ]
        )
    ],
)
def test_each_kind_of_order_is_taken_as_it_was_meant(
    venue: Venue, number: int, changes: dict[str, Any], legs: list[tuple[str, float | None, float | None]]
) -> None:
    wanted = intent(client_intent_id=f"kind-{number}", **changes)
    placed = venue.broker.place_order(intent=wanted)
    assert placed.raw["extended_hours"] is wanted.extended_hours
    assert placed.order_class == ("" if wanted.order_class == "simple" else wanted.order_class)
    assert (placed.time_in_force, placed.limit_price) == (wanted.time_in_force, wanted.limit_price)
    assert [(leg.order_type, leg.limit_price, leg.stop_price) for leg in placed.legs] == legs
    for name in ("trail_price", "trail_percent"):
        value = getattr(wanted, name)
        assert placed.raw[name] == (None if value is None else decimal_text(value))
