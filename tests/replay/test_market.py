"""What an order comes to that was never sent."""

from __future__ import annotations

import math
from typing import Any

import pytest

from replay.market import outcome

BASE: dict[str, Any] = {"side": "buy", "qty": 3.0, "order_type": "market", "time_in_force": "day"}


LIMIT, STOP = {"order_type": "limit"}, {"order_type": "stop"}
BOTH = {"order_type": "stop_limit", "stop_price": 99.0}
FILLED, OPEN = ("filled", 3.0, 100.0, "last price"), ("new", 0.0, None, "last price")
UNKNOWN = ("new", 0.0, None, "no price")


@pytest.mark.parametrize(
    ("said", "last", "came_to"),
    [
        ({}, 100.0, FILLED),
        ({"reference_price": 99.0}, 100.0, ("filled", 3.0, 99.0, "reference_price")),
        ({"reference_price": math.nan}, 100.0, FILLED),
        ({}, None, UNKNOWN),
        ({}, math.nan, UNKNOWN),
        ({"qty": None, "notional": 50.0}, 100.0, ("filled", 0.5, 100.0, "last price")),
        ({"qty": None, "notional": 50.0}, 3.0, ("filled", 16.666666666, 3.0, "last price")),  # rounded down
        ({"qty": None, "notional": 50.0}, None, UNKNOWN),
        ({**LIMIT, "limit_price": 100.0}, 100.0, FILLED),
        ({**LIMIT, "limit_price": 99.99}, 100.0, OPEN),
        ({**LIMIT, "limit_price": 100.0, "side": "sell"}, 100.0, FILLED),
        ({**LIMIT, "limit_price": 100.01, "side": "sell"}, 100.0, OPEN),
        ({**STOP, "stop_price": 100.0}, 100.0, FILLED),
        ({**STOP, "stop_price": 101.0}, 100.0, OPEN),
        ({**STOP, "stop_price": 99.0, "side": "sell"}, 100.0, OPEN),
        ({**BOTH, "limit_price": 99.5}, 100.0, OPEN),
        ({**BOTH, "limit_price": 101.0}, 100.0, FILLED),
        ({"order_type": "trailing_stop"}, 100.0, OPEN),
        ({**LIMIT, "limit_price": 1.0, "time_in_force": "ioc"}, 100.0, ("canceled", 0.0, None, "last price")),
    ],
)
def test_an_order_fills_whole_at_one_price_or_not_at_all(
    said: dict[str, Any], last: float | None, came_to: tuple[object, ...]
) -> None:
    found = outcome({**BASE, **said}, last)
    assert (found.order_status, found.filled_qty, found.price, found.price_source) == came_to
