"""The outcome of each intent as a row of the results."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from engine.model.orders import BrokerOrder
from engine.model.schema import JUDGED_QUOTE, SENT_QUOTE, results_schema
from engine.routing.outcomes import OrderOutcome, counted_outcomes, live_results, nothing_sent

ORDER = BrokerOrder(
    broker_order_id="b-1",
    client_order_id="a",
    order_status="partially_filled",
    qty=5.0,
    filled_qty=2.0,
    filled_avg_price=10.5,
)


def decisions(**reasons: str) -> pd.DataFrame:
    return pd.DataFrame({"client_intent_id": list(reasons), "reason": pd.Categorical(list(reasons.values()))})


def test_an_unpriced_order_has_what_is_wrong_with_its_quote_as_its_message() -> None:
    decided = decisions(old="unpriced", other="max_position_size_exceeded", odd="unpriced", sent="ok")
    decided["quote"] = pd.Categorical(["stale", "stale", "limit_state", "ok"])
    outcomes = {3: OrderOutcome(status="placed", message="sent")}
    messages = ["its quote is stale (it is older than max_quote_age_s)", "", "its quote is limit_state"]
    assert live_results(decided, outcomes)["message"].to_pylist() == [*messages, "sent"]


def test_each_decision_has_one_row_in_its_order_and_a_refused_one_its_reason() -> None:
    outcomes = {
        1: OrderOutcome(status="placed", order=ORDER, attempted=True, adopted=True, message="found"),
        2: OrderOutcome(status="halted", reason="kill_switch_enabled", message="stopped"),
    }
    decided = decisions(refused="max_daily_trades_exceeded", a="ok", b="ok", late="intent_expired")
    found = live_results(decided, outcomes)
    assert found.schema == results_schema()
    unknown: dict[str, Any] = dict.fromkeys((*JUDGED_QUOTE, *SENT_QUOTE))
    nothing: dict[str, Any] = unknown | dict.fromkeys(
        ["broker_order_id", "order_status", "order_qty", "filled_avg_price"]
    )
    nothing |= {"filled_qty": 0.0, "attempted": False, "adopted": False, "message": ""}
    assert found.to_pylist() == [
        {
            "client_intent_id": "refused",
            "status": "rejected",
            "reason": "max_daily_trades_exceeded",
            **nothing,
        },
        {
            "client_intent_id": "a",
            "status": "placed",
            "reason": "ok",
            "broker_order_id": "b-1",
            "order_status": "partially_filled",
            "order_qty": 5.0,
            "filled_qty": 2.0,
            "filled_avg_price": 10.5,
            "attempted": True,
            "adopted": True,
            "message": "found",
            **unknown,
        },
        {
            "client_intent_id": "b",
            "status": "halted",
            "reason": "kill_switch_enabled",
            **nothing,
            "message": "stopped",
        },
        {"client_intent_id": "late", "status": "rejected", "reason": "intent_expired", **nothing},
    ]


@pytest.mark.parametrize("reason", ["target_unknown", "target_of_another_strategy"])
def test_a_cancel_without_a_target_is_counted_as_one_that_withdrew_nothing(reason: str) -> None:
    rows = [("placed", "ok"), ("placed", "ok"), ("too_late", "ok"), ("canceled", "ok"), ("rejected", reason)]
    table = pa.table({"status": [row[0] for row in rows], "reason": [row[1] for row in rows]})
    assert list(counted_outcomes(table).items()) == [
        ("placed", 2),
        ("canceled", 1),
        ("not_withdrawn", 1),
        ("too_late", 1),
    ]


def test_a_run_that_sent_nothing_has_rows_of_no_order() -> None:
    columns = nothing_sent(2)
    assert {name: column.to_pylist() for name, column in columns.items()} == {
        "broker_order_id": [None, None],
        "order_status": [None, None],
        "order_qty": [None, None],
        "filled_qty": [0.0, 0.0],
        "filled_avg_price": [None, None],
        "attempted": [False, False],
        "adopted": [False, False],
        **{name: [None, None] for name in (*JUDGED_QUOTE, *SENT_QUOTE)},
    }
    assert all(column.type == results_schema().field(name).type for name, column in columns.items())
