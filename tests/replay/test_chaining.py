"""Chained replays: what earlier runs would have done is part of what later ones are judged by."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd
import pytest

import replay
from engine.errors import UsageError
from engine.record.run_folder import RunFolder
from tests.desk import Desk, order
from tests.engine.routing.trading import GENEROUS, TradingDesk, after_orders, standing_still

LIMITED = GENEROUS.changed(max_position_qty=100)
HALF, DOUBLE = {"EXEC_MAX_POSITION_QTY": 50}, {"EXEC_MAX_POSITION_QTY": 200}


@pytest.fixture
def desk(live_desk: TradingDesk) -> TradingDesk:
    return live_desk


def bought(desk: TradingDesk, *intents: dict[str, Any], limits: Any = LIMITED, **changes: Any) -> RunFolder:
    desk.drop("a.json", *intents)
    return desk.live(limits, **changes)


def next_day(desk: TradingDesk) -> None:
    desk.tick(24 * 3600)


def decided(found: replay.Comparison, client_id: str) -> dict[str, Any]:
    row = found.decisions.set_index("client_intent_id").loc[client_id]
    return {str(name): value for name, value in row.items()}


def chained(desk: Desk, limits: Any = None, **more: Any) -> replay.Comparison:
    return replay.replay(desk.data, limits, chained=True, **more)


def test_under_the_recorded_limits_a_chained_replay_differs_in_nothing(desk: TradingDesk) -> None:
    for number in range(3):
        bought(
            desk, order(client_intent_id=f"a{number}", qty=30), order(client_intent_id=f"b{number}", qty=90)
        )
        next_day(desk)
    found = chained(desk)
    assert (found.days, found.differences, found.first_dependent_day) == (3, 0, None)


@pytest.mark.parametrize("decisions_only", [False, True])
def test_what_would_not_have_been_bought_is_not_held_the_next_day(
    desk: TradingDesk, decisions_only: bool
) -> None:
    bought(desk, order(client_intent_id="large", qty=60), order(client_intent_id="ko", qty=10, symbol="KO"))
    next_day(desk)
    bought(desk, order(client_intent_id="more", qty=40), order(client_intent_id="ko2", qty=10, symbol="KO"))
    found = chained(desk, HALF, decisions_only=decisions_only)
    more = decided(found, "more")
    assert (more["allowed"], more["current_qty"], more["projected_qty"]) == (True, 0, 40)
    assert not found.flips["client_intent_id"].isin(["more"]).any()
    assert decided(found, "ko2")["current_qty"] == 10
    assert found.first_dependent_day == date(2026, 3, 3)
    alone = replay.replay(desk.data, HALF, decisions_only=decisions_only)
    assert not decided(alone, "more")["allowed"]
    assert alone.first_dependent_day is None


@pytest.mark.parametrize("decisions_only", [False, True])
def test_what_would_have_been_bought_is_held_the_next_day(desk: TradingDesk, decisions_only: bool) -> None:
    bought(desk, order(client_intent_id="large", qty=120, reference_price=90))
    next_day(desk)
    bought(desk, order(client_intent_id="more", qty=90))
    found = chained(desk, DOUBLE, decisions_only=decisions_only)
    more = decided(found, "more")
    assert (more["allowed"], more["current_qty"], more["projected_qty"]) == (False, 120, 210)
    flips = found.flips.set_index("client_intent_id")
    assert flips["cause"].to_dict() == {"large": "limits", "more": "earlier flips"}
    assert flips["direction"].to_dict() == {"large": "newly_allowed", "more": "newly_refused"}
    assert found.summary["first_differing_stage"].tolist() == ["decisions", "inputs"]
    assert found.summary["depends_on_earlier_flip"].tolist() == [False, True]


def test_sales_that_would_not_have_been_are_added_back(desk: TradingDesk) -> None:
    bought(desk, order(client_intent_id="short", qty=60, side="sell"))
    next_day(desk)
    bought(desk, order(client_intent_id="more", qty=10, side="sell"))
    assert decided(chained(desk, HALF), "more")["current_qty"] == 0


def test_what_moved_the_book_otherwise_stays_in_it(desk: TradingDesk) -> None:
    bought(desk, order(client_intent_id="large", qty=60))
    desk.by_hand(
        "POST",
        "/v2/orders",
        {"symbol": "SPY", "qty": "7", "side": "buy", "type": "market", "time_in_force": "day"},
    )
    next_day(desk)
    bought(desk, order(client_intent_id="more", qty=10))
    assert decided(chained(desk, HALF), "more")["current_qty"] == 7


def test_a_trade_that_would_not_have_been_does_not_count_in_its_session(desk: TradingDesk) -> None:
    bought(desk, order(client_intent_id="large", qty=60))
    bought(desk, order(client_intent_id="second", qty=1, symbol="KO"))
    assert decided(replay.replay(desk.data), "second")["trades_today"] == 1
    assert decided(chained(desk, HALF), "second")["trades_today"] == 0


def test_a_trade_that_would_have_been_counts_in_its_session_and_in_no_other(desk: TradingDesk) -> None:
    bought(desk, order(client_intent_id="large", qty=120, reference_price=90))
    bought(desk, order(client_intent_id="second", qty=1, symbol="KO"))
    next_day(desk)
    bought(desk, order(client_intent_id="third", qty=1, symbol="KO"))
    found = chained(desk, DOUBLE)
    assert [decided(found, name)["trades_today"] for name in ("second", "third")] == [1, 0]


def test_an_order_that_would_not_have_been_sent_does_not_work_either(tmp_path: Any) -> None:
    desk = TradingDesk(tmp_path / "data", simulator=standing_still(), settle_s=0.0)
    resting = {"order_type": "limit", "limit_price": 1}
    bought(desk, order(client_intent_id="large", qty=60, **resting))
    bought(desk, order(client_intent_id="second", qty=30, **resting))
    assert decided(replay.replay(desk.data), "second")["projected_qty"] == 90
    second = decided(chained(desk, HALF), "second")
    assert (second["projected_qty"], second["trades_today"], second["allowed"]) == (30, 0, True)


@pytest.mark.parametrize(("side", "sign"), [("buy", 1), ("sell", -1)])
def test_of_an_order_that_would_not_have_been_sent_neither_fills_nor_what_still_works_count(
    tmp_path: Any, side: str, sign: int
) -> None:
    """While it works the ledger's count leaves it out: it counts among the working orders."""
    desk = TradingDesk(tmp_path / "data", simulator=standing_still(), settle_s=0.0)
    resting = {"order_type": "limit", "limit_price": 1 if side == "buy" else 900, "side": side}
    bought(desk, order(client_intent_id="ko", symbol="KO", order_type="limit", limit_price=1))
    bought(desk, order(client_intent_id="large", qty=60, **resting))
    desk.fill("ko")
    desk.fill("large", 20)
    desk.later(minutes=1)
    bought(desk, order(client_intent_id="second", qty=30, **resting))
    figures = ["current_qty", "projected_qty", "trades_today"]
    recorded = decided(replay.replay(desk.data), "second")
    assert [recorded[name] for name in figures] == [20 * sign, 90 * sign, 2]
    second = decided(chained(desk, HALF), "second")
    assert [second[name] for name in figures] == [0, 30 * sign, 1]


def test_an_order_that_would_have_been_sent_works_until_the_end_of_its_session(desk: TradingDesk) -> None:
    bought(
        desk,
        order(client_intent_id="large", qty=120, order_type="limit", limit_price=1, reference_price=90),
    )
    bought(desk, order(client_intent_id="second", qty=90))
    next_day(desk)
    bought(desk, order(client_intent_id="third", qty=90, symbol="SPY"))
    found = chained(desk, DOUBLE)
    second, third = decided(found, "second"), decided(found, "third")
    assert (second["projected_qty"], second["trades_today"], second["allowed"]) == (210, 1, False)
    assert (third["projected_qty"], third["trades_today"]) == (90, 0)


def test_fills_that_came_after_their_run_had_ended_are_taken_back_too(tmp_path: Any) -> None:
    desk = TradingDesk(tmp_path / "data", simulator=standing_still(), settle_s=0.0)
    bought(desk, order(client_intent_id="large", qty=60, order_type="limit", limit_price=1))
    desk.fill("large")
    desk.later(minutes=1)
    bought(desk, order(client_intent_id="second", qty=1, symbol="KO"))
    next_day(desk)
    bought(desk, order(client_intent_id="third", qty=40))
    assert decided(replay.replay(desk.data), "third")["current_qty"] == 60
    assert decided(chained(desk, HALF), "third")["current_qty"] == 0


def test_fills_that_came_after_a_later_run_had_decided_are_not_taken_back_from_its_book(
    tmp_path: Any,
) -> None:
    desk = TradingDesk(tmp_path / "data", simulator=standing_still(), settle_s=0.0)
    resting = {"order_type": "limit", "limit_price": 1}
    bought(desk, order(client_intent_id="large", qty=60, **resting))
    bought(desk, order(client_intent_id="second", qty=30, **resting))
    desk.tick(600)
    desk.fill("large")
    bought(desk, order(client_intent_id="third", qty=5, **resting))
    assert decided(replay.replay(desk.data), "third")["current_qty"] == 60
    found = chained(desk, HALF)
    assert [decided(found, name)["current_qty"] for name in ("second", "third")] == [0, 0]


def test_an_execution_that_run_and_later_sync_have_recorded_is_taken_back_once(tmp_path: Any) -> None:
    desk = TradingDesk(tmp_path / "data", simulator=standing_still(), settle_s=0.0)
    desk.between = after_orders(lambda client_id: desk.fill(client_id, 20) if client_id == "large" else None)
    run = bought(desk, order(client_intent_id="large", qty=60, order_type="limit", limit_price=1))
    assert run.table("fills.parquet")["qty"].to_pylist() == [20]
    desk.fill("large")
    desk.later(minutes=1)
    bought(desk, order(client_intent_id="second", qty=1, symbol="KO"))
    next_day(desk)
    bought(desk, order(client_intent_id="third", qty=40))
    assert decided(replay.replay(desk.data), "third")["current_qty"] == 60
    assert decided(chained(desk, HALF), "third")["current_qty"] == 0


def test_a_flip_that_touches_nothing_of_a_later_batch_does_not_mark_it(desk: TradingDesk) -> None:
    bought(desk, order(client_intent_id="large", qty=60))
    next_day(desk)
    bought(desk, order(client_intent_id="other", qty=10, symbol="KO"))
    found = chained(desk, HALF)
    assert found.summary["depends_on_earlier_flip"].tolist() == [False, False]


def test_what_is_unavailable_stays_so(desk: TradingDesk) -> None:
    class Broken:
        def positions(self, *_: object, **__: object) -> pd.DataFrame:
            raise UsageError("gone")

        def __getattr__(self, name: str) -> Any:
            return getattr(desk.store, name)

    bought(desk, order(client_intent_id="large", qty=60))
    bought(desk, order(client_intent_id="second", qty=1), changes={"positions": Broken()})
    second = decided(chained(desk, HALF), "second")
    assert (second["allowed"], second["reason"]) == (False, "risk_data_unavailable")


def test_dry_runs_send_nothing_and_so_nothing_follows_from_them(dry_desk: Desk) -> None:
    for name in ("a", "b"):
        dry_desk.drop(f"{name}.json", order(client_intent_id=name, qty=60))
        dry_desk.run()
    found = chained(dry_desk, HALF)
    assert found.first_dependent_day is None
    assert any("dry runs send no orders" in note for note in found.notes)
