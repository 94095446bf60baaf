"""Before a live run decides: what the broker says, brought into the stores and into the inputs."""

from __future__ import annotations

from pathlib import Path

import pytest
from requests import PreparedRequest, Response

from engine.record.run_folder import RunFolder
from engine.risk.config import RiskConfig
from tests.desk import Row, order, outcomes, reasons
from tests.engine.routing.trading import (
    FILLS,
    Between,
    Send,
    TradingDesk,
    exit_code,
    path_of,
    reply,
    results,
)

STRICT = RiskConfig(accounts=frozenset({"paper"}))
RESTING: Row = {"order_type": "limit", "limit_price": 50}
GROUP: Row = {"order_class": "bracket", "take_profit_limit_price": 150, "stop_loss_stop_price": 40}


@pytest.fixture
def desk(tmp_path: Path) -> TradingDesk:
    return TradingDesk(tmp_path / "data")


def judged(desk: TradingDesk, *rows: Row, config: RiskConfig = STRICT) -> list[tuple[str, str]]:
    """Return what becomes of intents, by limits of 100 shares and 50 trades unless told otherwise."""
    desk.drop("judged.json", *rows)
    return outcomes(desk.live(config))


def positions(desk: TradingDesk) -> dict[str, float]:
    frame = desk.store.all_positions()
    return dict(zip(frame["symbol"], frame["qty"].astype(float), strict=True))


def working(run: RunFolder) -> list[tuple[str, str, float]]:
    rows = run.table("working_orders.parquet").to_pylist()
    assert {row["broker_account_id"] for row in rows} <= {"paper"}
    return sorted((row["symbol"], row["side"], row["remaining_qty"]) for row in rows)


# --- positions


def test_the_brokers_positions_are_in_the_store_and_in_the_inputs(desk: TradingDesk) -> None:
    desk.drop("a.json", order(qty=30), order(symbol="QQQ", side="sell", qty=20))
    desk.live()
    run = desk.live()
    assert positions(desk) == {"SPY": 30.0, "QQQ": -20.0}
    desk.drop("b.json", order(symbol="IWM", client_intent_id="other"))
    run = desk.live()
    seen = {row["symbol"]: row["qty"] for row in run.table("positions.parquet").to_pylist()}
    assert (seen["SPY"], seen["QQQ"]) == (30.0, -20.0)


def test_a_position_that_was_made_by_hand_counts(desk: TradingDesk) -> None:
    desk.place_by_hand(symbol="SPY", qty="90")
    desk.tick(5)
    assert judged(desk, order(qty=11), order(qty=10)) == [
        ("rejected", "max_position_size_exceeded"),
        ("placed", "ok"),
    ]


def test_a_symbol_that_the_broker_has_no_more_becomes_0(desk: TradingDesk) -> None:
    desk.data.mkdir()
    desk.hold(QQQ=95, SPY=-95)
    assert judged(desk, order(symbol="QQQ", qty=100), order(symbol="SPY", side="sell", qty=100)) == [
        ("placed", "ok"),
        ("placed", "ok"),
    ]
    assert set(positions(desk)) == {"QQQ", "SPY"}


def test_a_position_that_was_closed_meanwhile_becomes_0(desk: TradingDesk) -> None:
    desk.one(qty=40)
    desk.live()
    assert positions(desk) == {"SPY": 40.0}
    desk.place_by_hand(symbol="SPY", qty="40", side="sell")
    desk.tick(5)
    desk.drop("b.json", order(symbol="IWM", client_intent_id="other"))
    desk.live()
    assert positions(desk)["SPY"] == 0.0


# --- working orders


def test_a_resting_order_of_an_earlier_run_counts_for_the_position_limit(desk: TradingDesk) -> None:
    desk.one(qty=60, **RESTING)
    desk.drop("b.json", order(qty=41), order(qty=40, client_intent_id="fits"))
    run = desk.live(STRICT)
    assert working(run) == [("SPY", "buy", 60.0)]
    assert outcomes(run) == [("rejected", "max_position_size_exceeded"), ("placed", "ok")]


def test_a_resting_order_of_an_earlier_run_counts_as_a_trade(desk: TradingDesk) -> None:
    desk.one(**RESTING)
    two = RiskConfig(max_daily_trades=2, accounts=frozenset({"paper"}))
    said = [order(symbol="QQQ"), order(symbol="IWM")]
    assert judged(desk, *said, config=two) == [("placed", "ok"), ("rejected", "max_daily_trades_exceeded")]


def test_an_order_that_was_placed_by_hand_counts_as_working(desk: TradingDesk) -> None:
    desk.place_by_hand(symbol="SPY", qty="60", type="limit", limit_price="50")
    assert judged(desk, order(qty=41)) == [("rejected", "max_position_size_exceeded")]


def test_a_partly_filled_order_counts_once_as_a_trade_and_its_shares_once(desk: TradingDesk) -> None:
    desk.one(qty=60, **RESTING)
    desk.fill("one", 20)
    two = RiskConfig(max_daily_trades=2, accounts=frozenset({"paper"}))
    desk.drop("b.json", order(qty=41), order(qty=40, client_intent_id="fits"), order(symbol="QQQ"))
    run = desk.live(two)
    assert working(run) == [("SPY", "buy", 40.0)]
    assert reasons(run) == ["max_position_size_exceeded", "ok", "max_daily_trades_exceeded"]


def test_a_partly_filled_order_of_an_earlier_session_counts_as_working(desk: TradingDesk) -> None:
    desk.one(qty=60, time_in_force="gtc", **RESTING)
    desk.fill("one", 20)
    desk.tick(86_400)
    one = RiskConfig(max_daily_trades=1, accounts=frozenset({"paper"}))
    assert judged(desk, order(symbol="QQQ"), config=one) == [("rejected", "max_daily_trades_exceeded")]


def test_a_partly_filled_order_of_an_earlier_session_is_no_trade_that_todays_count_has_already(
    desk: TradingDesk,
) -> None:
    """Today's ledger lacks it: taking it off there would count one of today's own trades too few."""
    desk.one(qty=60, time_in_force="gtc", **RESTING)
    desk.fill("one", 20)
    desk.live()
    desk.tick(86_400)
    desk.drop("b.json", order(symbol="QQQ"))
    assert outcomes(desk.live()) == [("placed", "ok")]
    assert desk.trades("2026-03-03") == 1
    two = RiskConfig(max_daily_trades=2, accounts=frozenset({"paper"}))
    assert judged(desk, order(symbol="IWM"), config=two) == [("rejected", "max_daily_trades_exceeded")]


def test_an_order_that_is_terminal_counts_no_more(desk: TradingDesk) -> None:
    desk.one(qty=60, **RESTING)
    desk.tick(86_400)
    assert judged(desk, order(qty=100)) == [("placed", "ok")]


def test_an_order_of_unknown_outcome_counts_at_its_full_quantity(desk: TradingDesk) -> None:
    desk.control(
        "POST", "faults", {"fault": "error_before", "method": "POST", "path": "/v2/orders", "times": None}
    )
    assert desk.one(qty=60)["status"] == "unresolved"
    desk.disarm()
    desk.drop("b.json", order(qty=41), order(qty=40, client_intent_id="fits"))
    run = desk.live(STRICT)
    assert working(run) == [("SPY", "buy", 60.0)]
    assert reasons(run) == ["max_position_size_exceeded", "ok"]


def test_of_an_entry_that_has_filled_the_larger_exit_counts(desk: TradingDesk) -> None:
    desk.one(qty=30, **GROUP)
    desk.tick(5)
    desk.drop("b.json", order(symbol="QQQ"))
    run = desk.live(STRICT)
    assert working(run) == [("SPY", "sell", 30.0)]


def test_of_an_entry_that_has_not_filled_the_exits_do_not_count(desk: TradingDesk) -> None:
    desk.one(qty=30, **{**GROUP, **RESTING, "take_profit_limit_price": 60})
    desk.drop("b.json", order(symbol="QQQ"))
    assert working(desk.live(STRICT)) == [("SPY", "buy", 30.0)]


def test_of_an_entry_that_has_filled_in_part_the_rest_counts_and_not_its_exits(desk: TradingDesk) -> None:
    desk.one(qty=30, **{**GROUP, **RESTING, "take_profit_limit_price": 60})
    desk.fill("one", 20)
    desk.drop("b.json", order(symbol="QQQ"))
    assert working(desk.live(STRICT)) == [("SPY", "buy", 10.0)]


def test_of_an_exit_pair_one_counts(desk: TradingDesk) -> None:
    desk.one(client_intent_id="entry", qty=30)
    exits: Row = {"order_class": "oco", "take_profit_limit_price": 150, "stop_loss_stop_price": 40}
    desk.one(qty=30, side="sell", order_type="limit", limit_price=150, **exits)
    desk.drop("b.json", order(symbol="QQQ"))
    assert working(desk.live(STRICT)) == [("SPY", "sell", 30.0)]


def trades_counted(desk: TradingDesk) -> float:
    """Return the trades that the daily limit counts now, by an intent that is too large to be sent."""
    desk.drop("looks.json", order(symbol="QQQ", qty=101))
    (row,) = desk.live(STRICT).table("decisions.parquet").to_pylist()
    assert row["reason"] == "max_position_size_exceeded"
    counted: float = row["trades_today"]
    return counted


AFTER_THE_CLOSE_S = 5 * 3600
"""From noon: still the same session, and a stop that filled in part isn't filled by the market."""


def exit_of(desk: TradingDesk, order_type: str) -> Row:
    """Return the exit of the one group: its take profit (limit) or stop loss (stop)."""
    found: Row
    (found,) = [one for one in desk.orders() if (one["side"], one["type"]) == ("sell", order_type)]
    return found


@pytest.mark.parametrize(
    ("order_class", "exits", "fills"),
    [
        ("bracket", {"take_profit_limit_price": 150, "stop_loss_stop_price": 40}, "limit"),
        ("bracket", {"take_profit_limit_price": 150, "stop_loss_stop_price": 40}, "stop"),
        ("oto", {"take_profit_limit_price": 150}, "limit"),
        ("oto", {"stop_loss_stop_price": 40}, "stop"),
    ],
)
def test_a_group_is_one_trade_at_every_stage(
    desk: TradingDesk, order_class: str, exits: Row, fills: str
) -> None:
    desk.one(qty=30, order_class=order_class, time_in_force="gtc", **RESTING, **exits)
    assert trades_counted(desk) == 1
    desk.fill("one", 20)
    assert (trades_counted(desk), desk.trades()) == (1, 1)
    desk.fill("one")
    assert (trades_counted(desk), desk.trades()) == (1, 1)
    desk.tick(AFTER_THE_CLOSE_S)
    exit_id = exit_of(desk, fills)["id"]
    for qty in ("10", "20"):
        desk.control("POST", "fill", {"order_id": exit_id, "qty": qty})
        assert (trades_counted(desk), desk.trades()) == (1, 1)
    assert desk.left_open() == []


def test_a_group_of_an_earlier_session_is_one_trade_while_its_exits_work_and_none_when_they_fill(
    desk: TradingDesk,
) -> None:
    desk.one(qty=30, time_in_force="gtc", **GROUP, **RESTING)
    desk.fill("one")
    desk.tick(86_400)
    assert trades_counted(desk) == 1
    exit_id = exit_of(desk, "limit")["id"]
    desk.control("POST", "fill", {"order_id": exit_id, "qty": "10"})
    assert trades_counted(desk) == 1
    desk.control("POST", "fill", {"order_id": exit_id})
    assert trades_counted(desk) == 0
    assert (desk.trades("2026-03-02"), desk.trades("2026-03-03")) == (1, 0)


@pytest.mark.parametrize("fills", ["limit", "stop"])
def test_an_exit_pair_is_one_trade_at_every_stage(desk: TradingDesk, fills: str) -> None:
    desk.place_by_hand(symbol="SPY", qty="30")
    desk.tick(5)
    pair: Row = {**GROUP, "order_class": "oco", "order_type": "limit", "limit_price": 150}
    desk.one(qty=30, side="sell", time_in_force="gtc", **pair)
    assert trades_counted(desk) == 1
    desk.tick(AFTER_THE_CLOSE_S)
    exit_id = exit_of(desk, fills)["id"]
    for qty in ("10", "20"):
        desk.control("POST", "fill", {"order_id": exit_id, "qty": qty})
        assert (trades_counted(desk), desk.trades()) == (1, 1)
    assert desk.left_open() == []


def test_an_order_that_is_terminal_and_still_listed_as_open_is_a_trade(desk: TradingDesk) -> None:
    desk.one(qty=3)
    (over,) = desk.orders()

    def middle(request: PreparedRequest, send: Send) -> Response:
        answer = send()
        if path_of(request) == "/v2/orders" and "status=open" in str(request.url):
            return reply(request, 200, [*answer.json(), over])
        return answer

    desk.between = middle
    assert (over["status"], trades_counted(desk)) == ("filled", 1)


def test_the_broker_is_asked_for_open_orders_then_positions_then_fills(desk: TradingDesk) -> None:
    """What fills in between is then counted twice rather than missed."""
    desk.one(qty=10, **RESTING)
    desk.fill("one", 4)
    before = len(desk.requests())
    desk.live()
    asked = [row["path"] for row in desk.requests()[before:]]
    order_of = [asked.index(path) for path in ("/v2/orders", "/v2/positions", FILLS)]
    assert order_of == sorted(order_of)


# --- what can't be had


DOWN = {
    "the clock": "/v2/clock",
    "the orders": "/v2/orders",
    "the positions": "/v2/positions",
    "everything": "/v2/[!a]*",
}


@pytest.mark.parametrize("path", DOWN.values(), ids=DOWN.keys())
@pytest.mark.parametrize("fault", ["error_before", "html_error", "truncated_body"])
def test_a_broker_that_cannot_be_read_refuses_every_intent_and_the_run_ends(
    desk: TradingDesk, path: str, fault: str
) -> None:
    desk.control("POST", "faults", {"fault": fault, "method": "GET", "path": path, "times": None})
    desk.drop("a.json", order(), order(symbol="QQQ"))
    run = desk.live(STRICT)
    assert outcomes(run) == [("rejected", "risk_data_unavailable")] * 2
    assert set(run.json("inputs.json")["unavailable"]) == {
        "positions",
        "daily_trades",
        "working_orders",
        "unreconciled",
    }
    assert (desk.posts(), exit_code(run)) == ([], 3)


def test_fills_that_cannot_be_read_refuse_every_intent(desk: TradingDesk) -> None:
    desk.one(qty=10, **RESTING)
    desk.fill("one", 4)
    desk.control("POST", "faults", {"fault": "error_before", "path": FILLS, "times": None})
    assert judged(desk, order(qty=1)) == [("rejected", "risk_data_unavailable")]


def test_positions_in_a_shape_never_seen_refuse_every_intent(desk: TradingDesk) -> None:
    desk.between = lambda request, send: (
        reply(request, 200, [{"symbol": "SPY", "qty": "lots"}])
        if path_of(request) == "/v2/positions"
        else send()
    )
    assert judged(desk, order()) == [("rejected", "risk_data_unavailable")]


def test_with_fail_open_orders_of_an_account_whose_book_cannot_be_read_are_halted_and_cancels_go_out(
    desk: TradingDesk,
) -> None:
    """A rule that is skipped is no book: all positions and working orders would count as none."""
    desk.one(qty=10, **RESTING)
    desk.control("POST", "faults", {"fault": "error_before", "path": "/v2/positions", "times": None})
    withdraws = {"action": "cancel", "target_intent_id": "one", "symbol": None, "side": None, "qty": None}
    desk.drop("a.json", order(client_intent_id="two"), order(client_intent_id="withdraws", **withdraws))
    run = desk.live(RiskConfig(fail_open=True, accounts=frozenset({"paper"})))
    assert outcomes(run) == [("halted", "account_down"), ("canceled", "ok")]
    decision = run.table("decisions.parquet").to_pylist()[0]
    assert decision["check_max_position_size_exceeded"] == "unavailable"
    assert "positions and working orders of paper are unknown" in results(run)[0]["message"]
    assert (desk.posts(), exit_code(run)) == (["one"], 3)


# --- whose account it is


def test_several_account_names_without_one_that_is_configured_are_unavailable(desk: TradingDesk) -> None:
    desk.account = None
    desk.drop("a.json", order(), order(broker_account_id="other"))
    run = desk.live(RiskConfig())
    assert outcomes(run) == [("rejected", "risk_data_unavailable")] * 2
    assert "EXEC_BROKER_ACCOUNT_ID" in run.json("inputs.json")["unavailable"]["positions"]
    assert desk.posts() == []


def test_one_account_name_is_the_accounts_name_where_none_is_configured(desk: TradingDesk) -> None:
    desk.account = None
    desk.drop("a.json", order(client_intent_id="one"))
    assert outcomes(desk.live(RiskConfig())) == [("placed", "ok")]


def test_another_account_than_the_one_that_is_configured_is_refused(desk: TradingDesk) -> None:
    said = [order(broker_account_id="other"), order(client_intent_id="one")]
    assert judged(desk, *said) == [("rejected", "account_not_configured"), ("placed", "ok")]


def test_an_empty_inbox_syncs_all_the_same(desk: TradingDesk) -> None:
    desk.one(qty=10, **RESTING)
    desk.fill("one")
    run = desk.live()
    assert results(run) == []
    assert (desk.trades(), positions(desk), desk.left_open()) == (1, {"SPY": 10.0}, [])


def test_an_empty_inbox_without_a_configured_account_brings_late_fills_into_the_ledger(
    desk: TradingDesk,
) -> None:
    desk.account = None
    desk.one(config=RiskConfig(), qty=10, **RESTING)
    desk.fill("one")
    desk.live(RiskConfig())
    assert desk.trades() == 1


def test_what_was_synced_is_reported_by_the_log(desk: TradingDesk) -> None:
    desk.one(qty=10, **RESTING)
    desk.live()
    assert "0 positions and 1 open orders of paper" in desk.events("synced")[-1]["message"]


# --- orders that earlier runs left


def without(order_id: str) -> Between:
    """Know an order no more, whatever was said of it before."""

    def middle(request: PreparedRequest, send: Send) -> Response:
        if path_of(request) == f"/v2/orders/{order_id}":
            return reply(request, 404, {"code": 40410000, "message": "order not found"})
        answer = send()
        if path_of(request) == "/v2/orders" and request.method == "GET":
            return reply(request, 200, [one for one in answer.json() if one["id"] != order_id])
        return answer

    return middle


def test_an_order_that_the_broker_knows_no_more_counts_as_working_and_is_reported(desk: TradingDesk) -> None:
    desk.one(qty=60, **RESTING)
    desk.between = without(desk.at_broker("one")["id"])
    desk.later(hours=30)
    assert judged(desk, order(qty=41, client_intent_id="more"), order(symbol="QQQ")) == [
        ("rejected", "position_unreconciled"),
        ("placed", "ok"),
    ]
    (event,) = desk.events("order_missing")
    assert (event["severity"], event["intent_id"]) == ("CRITICAL", "one")
    assert len(desk.left_open()) == 1


def test_many_orders_that_are_terminal_are_looked_at_by_one_list(desk: TradingDesk) -> None:
    names = [f"order-{number}" for number in range(12)]
    desk.drop("a.json", *[order(client_intent_id=name, **RESTING) for name in names])
    desk.live()
    for name in names:
        desk.fill(name)
    asked = len(desk.requests("GET", "/v2/orders/"))
    desk.live()
    assert len(desk.requests("GET", "/v2/orders/")) == asked
    assert (desk.left_open(), desk.trades()) == ([], 12)


def test_an_order_that_works_on_and_whose_fills_are_known_asks_for_none(desk: TradingDesk) -> None:
    desk.one(qty=10, time_in_force="gtc", **RESTING)
    desk.fill("one", 4)
    desk.live()
    asked = len(desk.requests("GET", FILLS))
    desk.live()
    assert len(desk.requests("GET", FILLS)) == asked
    desk.fill("one")
    desk.live()
    document = desk.store.ledger_document(desk.at_broker("one")["id"])
    assert (document or {})["filled_qty"] == 10.0
    assert desk.left_open() == []


def test_a_trade_that_the_ledger_counts_for_another_account_is_not_taken_off(desk: TradingDesk) -> None:
    desk.one(qty=10, **RESTING)
    desk.fill("one", 4)
    desk.live()
    order_id = desk.at_broker("one")["id"]
    desk.store.write_ledger([{"broker_order_id": order_id, "broker_account_id": "another"}])
    run = desk.live(RiskConfig(max_daily_trades=1, accounts=frozenset({"paper"})))
    counts = run.table("daily_trades.parquet").to_pylist()
    assert all(row["trades"] >= 0 for row in counts)


# --- one instrument under two spellings


def held(desk: TradingDesk, *rows: tuple[str, str]) -> None:
    """Let the broker report these positions."""
    own = {"asset_class": "us_equity", "avg_entry_price": "10", "market_value": "100", "side": "long"}

    def middle(request: PreparedRequest, send: Send) -> Response:
        if path_of(request) != "/v2/positions":
            return send()
        return reply(request, 200, [{**own, "symbol": symbol, "qty": qty} for symbol, qty in rows])

    desk.between = middle


def test_two_positions_of_one_instrument_are_summed_in_the_book_and_in_the_comparison(
    desk: TradingDesk,
) -> None:
    held(desk, ("BRK.B", "60"), ("BRK/B", "35"))
    assert judged(desk, order(symbol="BRK.B", qty=6), order(symbol="BRK.B", qty=5, client_intent_id="b")) == [
        ("rejected", "max_position_size_exceeded"),
        ("placed", "ok"),
    ]
    assert positions(desk) == {"BRK.B": 95.0}
    assert desk.store.net_positions("paper")["BRK.B"] == 100 * 10**9


def test_one_symbol_that_is_reported_twice_makes_the_account_unavailable(desk: TradingDesk) -> None:
    held(desk, ("SPY", "60"), ("SPY", "60"))
    desk.drop("a.json", order())
    run = desk.live()
    assert reasons(run) == ["risk_data_unavailable"]
