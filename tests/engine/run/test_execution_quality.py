"""What execution cost, against prices worked out by hand."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from engine.model.schema import intents_schema, results_schema
from engine.record.objects import LocalObjects
from engine.record.run_folder import BATCH, RESULTS, START, RunFolder
from engine.run.execution_quality import execution_quality, totals

DAY = date(2026, 3, 2)
AT = datetime(2026, 3, 2, 15, tzinfo=UTC)
ORDER: dict[str, Any] = {
    "client_intent_id": "one", "strategy_id": "mom", "broker_account_id": "paper", "symbol": "SPY",
    "side": "buy", "qty": 10.0, "action": "new",
}  # fmt: skip
PLACED: dict[str, Any] = {
    "client_intent_id": "one", "status": "placed", "reason": "ok", "order_status": "filled",
    "attempted": True, "judged_bid": 99.0, "judged_ask": 101.0, "judged_quote_at": AT,
    "sent_bid": 100.0, "sent_ask": 102.0,
    "sent_quote_at": AT + timedelta(seconds=1),
}  # fmt: skip
Row = dict[str, Any]


def quality(
    tmp_path: Path, *orders: tuple[Row, Row], fills: list[tuple[str, str, float, float]] | None = None
) -> pd.DataFrame:
    """Return the quality of a run with these orders and results, and fills of id, side, quantity, price."""
    run = RunFolder(LocalObjects(tmp_path), DAY, "r")
    run.write(START, {"run_id": "r", "mode": "live", "as_of": AT.isoformat()})
    intents, results = [[{**base, **one[side]} for one in orders] for side, base in ((0, ORDER), (1, PLACED))]
    run.write(BATCH, pa.Table.from_pylist(intents, intents_schema()))
    run.write(RESULTS, pa.Table.from_pylist(results, results_schema()))
    rows = [("r", "paper", *fill, fill[2] * fill[3]) for fill in fills or []]
    columns = ["run_id", "broker_account_id", "client_intent_id", "side", "qty", "price", "notional_usd"]
    return execution_quality([run], pd.DataFrame(rows, columns=columns))


def only(frame: pd.DataFrame) -> Row:
    (row,) = frame.to_dict("records")
    return {str(name): value for name, value in row.items()}


def test_a_buy_filled_in_two_parts_costs_its_average_price_less_that_of_arrival(tmp_path: Path) -> None:
    row = only(quality(tmp_path, ({}, {}), fills=[("one", "buy", 4, 102.0), ("one", "buy", 6, 103.0)]))
    assert (row["decision_price"], row["decision_from"], row["arrival_price"]) == (100, "quote", 101)
    assert row["filled_price"] == pytest.approx(102.6)
    assert row["spread_bps"] == pytest.approx(2 / 101 * 10_000)
    assert row["slippage_bps"] == pytest.approx(1.6 / 101 * 10_000)
    assert row["arrival_cost_usd"] == pytest.approx(16)
    assert row["half_spread_usd"] == pytest.approx(10)
    assert (row["executed_usd"], row["unfilled_usd"]) == (pytest.approx(26), 0)
    assert row["shortfall_bps"] == pytest.approx(26 / 1000 * 10_000)


def test_a_sell_is_a_cost_where_it_is_filled_lower(tmp_path: Path) -> None:
    row = only(quality(tmp_path, ({"side": "sell"}, {}), fills=[("one", "sell", 10, 100.5)]))
    assert row["slippage_bps"] == pytest.approx(0.5 / 101 * 10_000)
    assert row["shortfall_usd"] == pytest.approx(-5)


def test_the_unfilled_part_costs_what_the_price_moved_to_by_a_later_quote(tmp_path: Path) -> None:
    later = AT + timedelta(hours=1)
    other: Row = {
        "client_intent_id": "two",
        "judged_bid": 109.0,
        "judged_ask": 111.0,
        "judged_quote_at": later,
    }
    frame = quality(
        tmp_path,
        ({}, {}),
        ({"client_intent_id": "two"}, {**other, "sent_bid": None, "sent_ask": None, "sent_quote_at": None}),
        fills=[("one", "buy", 4, 101.0)],
    )
    one, two = frame.to_dict("records")
    assert (one["unfilled_qty"], one["last_price"]) == (6, 110)
    assert one["unfilled_usd"] == pytest.approx(60)
    assert one["shortfall_usd"] == pytest.approx(64)
    assert math.isnan(two["unfilled_usd"])  # no quote is later than its own
    assert math.isnan(two["shortfall_usd"])
    assert two["executed_usd"] == 0
    (total,) = totals(frame, ["strategy_id"]).to_dict("records")
    assert (total["orders"], total["known"]) == (2, 1)
    assert total["shortfall_bps"] == pytest.approx(64 / 1000 * 10_000)


NO_QUOTES = dict.fromkeys(
    ("judged_bid", "judged_ask", "judged_quote_at", "sent_bid", "sent_ask", "sent_quote_at")
)


@pytest.mark.parametrize(("reference", "source"), [(100.0, "reference_price"), (None, "unknown")])
def test_without_quotes_a_figure_is_unknown_and_never_zero(
    tmp_path: Path, reference: float | None, source: str
) -> None:
    frame = quality(tmp_path, ({"reference_price": reference}, NO_QUOTES), fills=[("one", "buy", 10, 101.0)])
    row = only(frame)
    assert row["decision_from"] == source
    assert all(
        math.isnan(row[name]) for name in ("arrival_price", "slippage_bps", "spread_bps", "arrival_cost_usd")
    )
    assert row["shortfall_usd"] == pytest.approx(10) if reference else math.isnan(row["shortfall_usd"])
    (total,) = totals(frame, ["symbol"]).to_dict("records")
    assert math.isnan(total["slippage_bps"])
    assert math.isnan(total["arrival_cost_usd"])


def test_an_order_whose_outcome_is_unknown_has_no_cost(tmp_path: Path) -> None:
    row = only(quality(tmp_path, ({}, {"status": "unresolved", "order_status": None})))
    assert math.isnan(row["filled_qty"])
    assert math.isnan(row["shortfall_usd"])


def test_an_exit_on_the_other_side_is_no_part_of_the_entrys_cost(tmp_path: Path) -> None:
    row = only(quality(tmp_path, ({}, {}), fills=[("one", "buy", 10, 101.0), ("one", "sell", 10, 90.0)]))
    assert row["executed_usd"] == pytest.approx(10)


def test_an_order_by_notional_wants_what_it_buys_at_the_decision_price(tmp_path: Path) -> None:
    row = only(quality(tmp_path, ({"qty": None, "notional": 500.0}, {}), fills=[("one", "buy", 4.9, 102.0)]))
    assert row["wanted_qty"] == 5
    assert row["executed_usd"] == pytest.approx(9.8)


def test_a_crossed_or_one_sided_quote_is_no_price(tmp_path: Path) -> None:
    row = only(
        quality(tmp_path, ({}, {"judged_bid": None, "sent_bid": 103.0}), fills=[("one", "buy", 10, 101.0)])
    )
    assert row["decision_from"] == "unknown"
    assert math.isnan(row["arrival_price"])


def test_cancels_and_orders_that_were_not_sent_are_no_orders(tmp_path: Path) -> None:
    assert quality(tmp_path, ({"action": "cancel"}, {}), ({}, {"attempted": False})).empty
