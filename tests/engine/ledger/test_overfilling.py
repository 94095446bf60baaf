"""More filled than ordered: found in a run, in later runs and in syncs, until it is accepted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from requests import PreparedRequest, Response

from engine.ledger.overfilling import Overfill, overfill_of
from engine.model.breaks import units_of
from engine.model.orders import BrokerFill, BrokerOrder
from engine.reconciliation.working_orders import WorkingOrder, working
from engine.risk.config import RiskConfig
from tests.desk import NOON, Row, order, outcomes
from tests.engine.reconciliation.test_account_books import accept_all, found, judged, synced
from tests.engine.routing.trading import (
    Send,
    TradingDesk,
    after_orders,
    exit_code,
    identities,
    path_of,
    reply,
    results,
)

RESTING: Row = {"order_type": "limit", "limit_price": 50}


@pytest.fixture
def desk(tmp_path: Path) -> TradingDesk:
    return TradingDesk(tmp_path / "data")


def of(order_id: str = "one", qty: float | None = 10.0, filled_qty: float = 0.0, **said: Any) -> BrokerOrder:
    known: dict[str, Any] = {"client_order_id": order_id, "order_status": "filled", "symbol": "SPY"}
    known |= {"side": "buy", "qty": qty, "filled_qty": filled_qty}
    return BrokerOrder(broker_order_id=order_id, **(known | said))


def executed(order_id: str, cum_qty: float) -> BrokerFill:
    return BrokerFill(
        fill_id="f1", broker_order_id=order_id, symbol="SPY", side="buy", qty=1.0, price=50.0,
        filled_at=NOON, cum_qty=cum_qty,
    )  # fmt: skip


def figures(found: Overfill | None) -> tuple[str, float, float] | None:
    return None if found is None else (found.side, found.ordered / 1e9, found.filled / 1e9)


def beyond(desk: TradingDesk, name: str, qty: str) -> None:
    """Let the broker fill an order beyond what was ordered."""
    order_id = desk.at_broker(name)["id"]
    desk.control("POST", "fill", {"order_id": order_id, "qty": qty, "beyond": True})


# --- what is more than ordered


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (of(filled_qty=10.0), None),
        (of(filled_qty=10.000000001), ("buy", 10.0, 10.000000001)),
        (of(qty=0.3, filled_qty=0.1 + 0.2), None),
        (of(filled_qty=15.0), ("buy", 10.0, 15.0)),
        (of(side="sell", filled_qty=15.0), ("sell", 10.0, 15.0)),
        (of(qty=None, notional=100.0, filled_qty=15.0), None),
        (of(qty=None, notional=100.0, filled_qty=10.05, filled_avg_price=10.0), None),
        (of(qty=None, notional=100.0, filled_qty=15.0, filled_avg_price=10.0), ("buy", 10.1, 15.0)),
        (of(qty=15.0, notional=100.0, filled_qty=15.0, filled_avg_price=10.0), ("buy", 10.1, 15.0)),
        (of(qty=10.0, notional=100.0, filled_qty=10.0, filled_avg_price=10.0), None),
        (of(qty=None, notional=9e8, filled_qty=15.0, filled_avg_price=0.0001), None),
        (of(filled_qty=10.0, legs=(of("leg", side="sell", filled_qty=12.0),)), ("sell", 10.0, 12.0)),
        (
            of(filled_qty=10.0, legs=tuple(of(name, side="sell", filled_qty=6.0) for name in "ab")),
            ("sell", 10.0, 12.0),
        ),
        (of(side="sell", filled_qty=4.0, legs=(of("leg", side="sell", filled_qty=6.0),)), None),
        (of(side="sell", filled_qty=4.5, legs=(of("leg", side="sell", filled_qty=6.0),)), ("sell", 10, 10.5)),
    ],
)
def test_an_order_and_each_side_of_its_group_may_fill_what_was_ordered(
    entry: BrokerOrder, expected: tuple[str, float, float] | None
) -> None:
    assert figures(overfill_of(entry, {})) == expected


def test_executions_beyond_what_the_order_reports_count() -> None:
    assert figures(overfill_of(of(filled_qty=10.0), {"one": [executed("one", 11.0)]})) == ("buy", 10.0, 11.0)


def test_an_order_by_notional_is_held_against_its_executions_where_it_has_no_average_price() -> None:
    by_notional = of(qty=None, notional=100.0, filled_qty=15.0)
    fills = {"one": [executed("one", 15.0)]}
    assert figures(overfill_of(by_notional, fills)) == ("buy", 2.02, 15.0)  # at 50


def test_of_an_open_order_that_filled_beyond_what_was_ordered_nothing_is_left_to_fill() -> None:
    at_work = of(filled_qty=12.0, order_status="partially_filled")
    assert working("paper", [at_work], {}) == [WorkingOrder("paper", "SPY", "buy", 0.0)]


# --- in a run


def test_a_run_with_an_order_that_filled_beyond_it_does_not_add_up_and_says_so(desk: TradingDesk) -> None:
    desk.between = after_orders(lambda name: beyond(desk, name, "15") if name == "one" else None)
    desk.drop("a.json", order(client_intent_id="one", qty=10, **RESTING), order(symbol="QQQ", qty=40))
    run = desk.live()
    assert [row["filled_qty"] for row in results(run)] == [15.0, 40.0]
    (told,) = [one for one in run.json("manifest.json")["identities"] if one["name"] == "filled <= ordered"]
    assert told == {
        "name": "filled <= ordered", "left": units_of(15), "right": units_of(10), "holds": False
    }  # fmt: skip
    assert exit_code(run) == 4
    (event,) = desk.events("overfilled")
    assert (event["severity"], event["intent_id"]) == ("CRITICAL", "one")
    assert "in SPY has bought 15 of 10 ordered, 5 too many" in event["message"]


def test_a_run_with_an_order_by_notional_that_filled_beyond_it_does_not_add_up(desk: TradingDesk) -> None:
    desk.between = after_orders(lambda name: beyond(desk, name, "15") if name == "one" else None)
    desk.drop("a.json", order(client_intent_id="one", qty=None, notional=100, **RESTING))
    run = desk.live(RiskConfig(fail_open=True))
    assert (identities(run)["filled <= ordered"], exit_code(run)) == (False, 4)
    assert len(desk.events("overfilled")) == 1


def test_an_order_that_filled_as_ordered_holds(desk: TradingDesk) -> None:
    desk.drop("a.json", order(client_intent_id="one", qty=10))
    run = desk.live()
    (told,) = [one for one in run.json("manifest.json")["identities"] if one["name"] == "filled <= ordered"]
    assert (told["left"], told["right"], told["holds"]) == (units_of(10), units_of(10), True)
    assert desk.events("overfilled") == []


def test_exits_that_both_fill_do_not_add_up(desk: TradingDesk) -> None:
    group = {"order_class": "bracket", "take_profit_limit_price": 9999, "stop_loss_stop_price": 1}
    desk.drop("a.json", order(client_intent_id="one", qty=10, **group))

    def exits(request: PreparedRequest, send: Send) -> Response:
        if request.method == "GET" and path_of(request).startswith("/v2/orders/"):
            entry = desk.by_hand("GET", path_of(request) + "?nested=true")
            for leg in entry["legs"] or []:
                if leg["status"] == "new":
                    beyond(desk, leg["client_order_id"], "13")
        return send()

    desk.between = exits
    run = desk.live()
    assert sum(row["qty"] for row in run.table("fills.parquet").to_pylist() if row["side"] == "sell") == 13.0
    assert identities(run)["filled <= ordered"] is False


# --- later


def test_it_is_a_break_until_it_is_accepted_and_orders_there_may_only_shrink_the_position(
    desk: TradingDesk,
) -> None:
    desk.between = after_orders(lambda name: beyond(desk, name, "15") if name == "one" else None)
    desk.one(qty=10, **RESTING)
    desk.disarm()
    for _ in range(2):
        assert found(desk) == [("overfilled", "SPY", 0.0)]
    run = judged(desk, order(qty=1, client_intent_id="more"), order(qty=1, side="sell"))
    assert outcomes(run) == [("rejected", "position_unreconciled"), ("placed", "ok")]
    assert exit_code(run) == 4
    assert found(desk) == [("overfilled", "SPY", 0.0)]
    accept_all(desk)
    assert found(desk) == []
    assert desk.left_open() == []
    assert outcomes(judged(desk, order(qty=1, client_intent_id="again"))) == [("placed", "ok")]


def test_what_it_says_names_order_intent_figures_and_remedy(desk: TradingDesk) -> None:
    desk.one(qty=10, **RESTING)
    order_id = desk.at_broker("one")["id"]
    beyond(desk, "one", "15")
    (one,) = synced(desk).open_breaks
    assert one.said == (
        f"SPY: order {order_id} (intent one) has bought 15 of 10 ordered, 5 too many; the broker holds 15, "
        f"the ledger 15."
    )
    assert "let the broker correct or confirm them" in one.remedy
    assert "positions accept FILE" in one.remedy


def test_an_order_of_an_earlier_session_is_found_as_well(desk: TradingDesk) -> None:
    desk.one(qty=10, time_in_force="gtc", **RESTING)
    desk.fill("one", 4)
    desk.tick(86_400)
    beyond(desk, "one", "8")
    assert found(desk) == [("overfilled", "SPY", 0.0)]


def still_open(filled_qty: str) -> Any:
    """Return what shows the only order as open, with so much filled of 10."""

    def middle(request: PreparedRequest, send: Send) -> Response:
        answer = send()
        if request.method == "GET" and path_of(request) == "/v2/orders":
            body = answer.json()
            for one in body:
                one |= {"status": "partially_filled", "filled_qty": filled_qty, "filled_avg_price": "50"}
            return reply(request, 200, body)
        if path_of(request) == "/v2/positions":
            held: Row = {"symbol": "SPY", "qty": filled_qty, "side": "long", "avg_entry_price": "50"}
            return reply(request, 200, [held | {"market_value": None, "asset_class": "us_equity"}])
        return answer

    return middle


def test_an_open_order_closes_its_symbol_with_the_reason_and_what_fills_further_is_news(
    desk: TradingDesk,
) -> None:
    desk.one(qty=10, **RESTING)
    desk.between = still_open("12")
    run = judged(desk, order(qty=1, client_intent_id="more"), order(symbol="QQQ", qty=1))
    assert outcomes(run) == [("rejected", "position_unreconciled"), ("placed", "ok")]
    assert exit_code(run) == 4


def test_what_fills_further_than_was_accepted_is_news(desk: TradingDesk) -> None:
    desk.one(qty=10, **RESTING)
    desk.between = still_open("12")
    (one,) = synced(desk).open_breaks
    assert (one.kind, "cancel it, and let the broker" in one.remedy) == ("overfilled", True)
    accept_all(desk)
    assert found(desk) == []
    desk.between = still_open("13")
    assert found(desk) == [("overfilled", "SPY", 0.0)]


def test_an_open_order_that_is_none_of_ours_is_reported_too(desk: TradingDesk) -> None:
    found(desk)
    desk.place_by_hand(symbol="SPY", qty="10", type="limit", limit_price="50")
    desk.between = still_open("12")
    assert {kind for kind, _, _ in found(desk)} >= {"unknown_order", "overfilled"}


def test_the_simulator_fills_beyond_only_where_it_is_asked_to(desk: TradingDesk) -> None:
    placed = desk.place_by_hand(symbol="SPY", qty="10", type="limit", limit_price="50")
    answer = desk.control("POST", "fill", {"order_id": placed["id"], "qty": "15", "beyond": True})
    assert (answer["filled_qty"], answer["status"]) == ("15", "filled")
    again = desk.place_by_hand(symbol="SPY", qty="10", type="limit", limit_price="50")
    answer = desk.control("POST", "fill", {"order_id": again["id"], "qty": "15"})
    assert answer["filled_qty"] == "10"
    desk.simulator.venue.check_conservation()
    assert json.loads(json.dumps(desk.by_hand("GET", "/v2/positions")))[0]["qty"] == "25"
