from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.brokers.alpaca_orders import decimal_text, order_payload, parse_order
from tests.engine.brokers.loopback import INTENT, ORDER


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
            {"order_class": "oco", "order_type": "limit", "take_profit_limit_price": 1.01},
            {"order_class": "oco", "type": "limit", "take_profit": {"limit_price": "1.01"}},
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
