"""Working orders with their terms: one row per group, with the strategy where any record names it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from engine.model.orders import BrokerOrder, OrderIntent
from engine.model.schema import inputs_schemas
from engine.reconciliation.working_orders import WorkingOrder, attempted, frame_of, working
from engine.run.risk_inputs import as_recorded


def placed(order_id: str = "o-1", **said: Any) -> BrokerOrder:
    plain: dict[str, Any] = {"client_order_id": f"c-{order_id}", "order_status": "new", "symbol": "SPY"}
    return BrokerOrder(broker_order_id=order_id, **(plain | {"side": "buy", "qty": 10.0} | said))


def test_an_order_has_its_terms_and_its_strategy() -> None:
    order = placed(filled_qty=4.0, order_type="stop_limit", limit_price=50.5, stop_price=50.0)
    assert working("paper", [order], {"o-1": "momentum"}) == [
        WorkingOrder("paper", "SPY", "buy", 6.0, "momentum", "stop_limit", 50.5, 50.0)
    ]


def test_an_order_that_no_record_has_is_of_no_strategy() -> None:
    (row,) = working("paper", [placed(order_type="market")], {"o-2": "momentum", "c-o-1": ""})
    assert (row.strategy_id, row.order_type, row.limit_price, row.stop_price) == (None, "market", None, None)


@pytest.mark.parametrize("known", ["o-1", "o-2", "o-3", "c-o-1"])
def test_a_group_is_of_the_strategy_of_any_of_its_orders(known: str) -> None:
    exits = (
        placed("o-2", side="sell", order_type="limit", limit_price=60.0),
        placed("o-3", side="sell", order_type="stop", stop_price=40.0, qty=9.0),
    )
    (row,) = working("paper", [placed(order_status="filled", legs=exits)], {known: "carry"})
    assert row == WorkingOrder("paper", "SPY", "sell", 10.0, "carry", "limit", 60.0, None)


def test_an_attempted_order_has_the_terms_of_its_intent_and_its_full_quantity() -> None:
    intent = OrderIntent(
        strategy_id="carry",
        broker_account_id="paper",
        symbol="SPY",
        side="sell",
        qty=7.0,
        order_type="limit",
        limit_price=51.0,
    )
    assert attempted("paper", intent) == WorkingOrder(
        "paper", "SPY", "sell", 7.0, "carry", "limit", 51.0, None
    )


def test_an_attempted_order_by_notional_has_no_known_quantity() -> None:
    intent = OrderIntent(
        strategy_id="carry", broker_account_id="paper", symbol="SPY", side="buy", notional=100.0
    )
    row = attempted("paper", intent)
    assert math.isnan(row.remaining_qty)
    assert row.remaining_notional == 100.0


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ({}, 100.0),
        ({"filled_qty": 1.5, "filled_avg_price": 20.0}, 70.0),
        ({"filled_qty": 0.333333333, "filled_avg_price": 150.0}, 50.000001),
        ({"filled_qty": 1.5}, math.nan),  # at a price that was not reported
        ({"filled_qty": 5.0, "filled_avg_price": 20.001}, 0.0),
        ({"qty": 1.5, "filled_qty": 1.5, "filled_avg_price": 20.0}, 70.0),  # so much has filled so far
    ],
)
def test_of_an_order_by_notional_only_the_remaining_notional_is_known(
    said: dict[str, Any], left: float
) -> None:
    (row,) = working("paper", [placed(**({"qty": None, "notional": 100.0} | said))], {})
    assert math.isnan(row.remaining_qty)
    assert row.remaining_notional == pytest.approx(left, abs=0, nan_ok=True)


def test_a_trailing_stop_has_its_trail() -> None:
    (row,) = working("paper", [placed(order_type="trailing_stop", trail_percent=1.5)], {})
    assert (row.trail_price, row.trail_percent, row.remaining_notional) == (None, 1.5, None)


@pytest.mark.parametrize("orders", [[], [WorkingOrder("paper", "SPY", "buy", 1.0)]])
def test_any_orders_can_be_recorded(orders: list[WorkingOrder]) -> None:
    table = as_recorded("working_order_terms", frame_of(orders))
    assert table.schema == inputs_schemas()["working_order_terms"]
    assert table.num_rows == len(orders)
