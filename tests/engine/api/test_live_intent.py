"""``ExecutionEngine``, live: one intent through the same code as a batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from requests import PreparedRequest, Response

from engine import DryRunBroker, ExecutionEngine, OrderIntent, RiskConfig
from engine.api.engine import RiskManager
from engine.errors import BrokerError, ConfigurationError, GateClosed, RunInProgress
from engine.log import EventLog
from engine.safety.lock import exclusive
from tests.desk import on, order
from tests.engine.routing.trading import (
    Send,
    TradingDesk,
    at_a_rate_that_never_matters,
    dropped,
    exit_code,
    is_order,
    no_connection,
    results,
)

LIVE = {
    "EXEC_DRY_RUN": "0",
    "EXEC_STORE": "embedded",
    "AGENT_MODE": "LIVE",
    "EXEC_BROKER_ACCOUNT_ID": "paper",
    "EXEC_SETTLE_S": "0.5",
}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TradingDesk:
    """A desk whose settings are in the environment, and whose clock is the simulator's."""
    for name, value in {**LIVE, "EXEC_DATA_DIR": str(tmp_path / "data")}.items():
        monkeypatch.setenv(name, value)
    return TradingDesk(tmp_path / "data", simulator=at_a_rate_that_never_matters(speed=1.0))


def engine_of(desk: TradingDesk, config: RiskConfig | None = None, **changes: Any) -> ExecutionEngine:
    risk = RiskManager(config or RiskConfig(accounts=frozenset({"paper"})), clock=lambda: desk.now, **changes)
    log = EventLog(desk.logged, lambda: desk.now)
    return ExecutionEngine(broker=desk.broker(), broker_name="alpaca", dry_run=False, risk=risk, log=log)


def intent(**said: Any) -> OrderIntent:
    return OrderIntent(**order(**{"client_intent_id": "one", **said}))


def test_one_intent_is_placed_filled_and_in_the_ledger(desk: TradingDesk) -> None:
    result = engine_of(desk).execute_intent(intent=intent(qty=3))
    assert (result.status, result.risk.allowed, result.risk.reason) == ("placed", True, "ok")
    assert result.client_intent_id == "one"
    assert result.broker_order is not None
    assert (result.broker_order.order_status, result.broker_order.filled_qty) == ("filled", 3.0)
    assert desk.placed_ids() == ["one"]
    assert desk.trades() == 1


def test_it_leaves_the_folder_of_a_run_with_everything_in_it(desk: TradingDesk) -> None:
    engine_of(desk).execute_intent(intent=intent())
    (run,) = desk.runs()
    assert run.start["mode"] == "live"
    assert {"cassette.json", "fills.parquet", "attempts/000001.json", "manifest.json"} <= run.names()
    assert [row["status"] for row in results(run)] == ["placed"]
    assert exit_code(run) == 0


def test_what_is_refused_by_a_rule_is_not_sent_and_comes_with_its_figures(desk: TradingDesk) -> None:
    result = engine_of(desk).execute_intent(intent=intent(qty=101))
    assert (result.status, result.risk.reason) == ("rejected", "max_position_size_exceeded")
    assert result.risk.figures["projected_qty"] == 101.0
    assert result.risk.checks["max_position_size_exceeded"] == "fail"
    assert (result.broker_order, desk.posts()) == (None, [])


def test_what_breaks_the_contract_is_not_sent_and_says_what_is_wrong(desk: TradingDesk) -> None:
    result = engine_of(desk).execute_intent(intent=intent(qty=-1))
    assert (result.status, result.risk.allowed, result.risk.reason) == ("rejected", False, "invalid_intent")
    assert "qty is" in result.message
    assert desk.posts() == []


def test_what_the_broker_refuses_is_reported_in_its_words(desk: TradingDesk) -> None:
    generous = RiskConfig(max_position_qty=1e6, accounts=frozenset({"paper"}))
    result = engine_of(desk, generous).execute_intent(intent=intent(qty=900_000))
    assert result.status == "broker_rejected"
    assert "insufficient buying power" in result.message


def test_intents_after_one_another_are_judged_by_what_the_ones_before_have_left(desk: TradingDesk) -> None:
    engine = engine_of(desk)
    said = [intent(client_intent_id="a", qty=60, order_type="limit", limit_price=50)]
    said += [intent(client_intent_id="b", qty=60), intent(client_intent_id="c", qty=40)]
    found = [engine.execute_intent(intent=one) for one in said]
    assert [one.risk.reason for one in found] == ["ok", "max_position_size_exceeded", "ok"]
    assert desk.placed_ids() == ["a", "c"]


def test_an_id_that_was_sent_before_is_not_sent_again(desk: TradingDesk) -> None:
    engine = engine_of(desk)
    engine.execute_intent(intent=intent())
    result = engine.execute_intent(intent=intent(qty=2))
    assert (result.status, result.risk.allowed) == ("rejected", False)
    assert (desk.posts(), result.message != "") == (["one"], True)


def test_the_same_intent_without_an_id_sent_again_later_is_another_order(desk: TradingDesk) -> None:
    engine = engine_of(desk)
    for _ in range(2):
        assert engine.execute_intent(intent=intent(client_intent_id=None)).status == "placed"
        desk.later(seconds=1)
    assert len(set(desk.placed_ids())) == 2


# --- executed again


def test_an_intent_that_is_executed_again_is_one_order_and_tells_what_became_of_it(desk: TradingDesk) -> None:
    engine = engine_of(desk)
    one = intent(client_intent_id=None, order_type="limit", limit_price=50, qty=3)
    first = engine.execute_intent(intent=one)
    assert first.broker_order is not None
    assert (first.status, first.broker_order.filled_qty) == ("placed", 0.0)
    desk.later(seconds=60)
    desk.control("POST", "fill", {"order_id": first.broker_order.broker_order_id})
    again = engine.execute_intent(intent=one)
    assert again.broker_order is not None
    assert (again.status, again.risk, again.client_intent_id) == (
        "placed",
        first.risk,
        first.client_intent_id,
    )
    assert (again.broker_order.order_status, again.broker_order.filled_qty) == ("filled", 3.0)
    assert "nothing was sent again" in again.message
    assert desk.posts() == desk.placed_ids() == [one.client_intent_id]
    assert len(desk.runs()) == 1


def test_an_intent_with_an_id_is_one_order_for_engines_of_other_processes_too(desk: TradingDesk) -> None:
    for _ in range(2):
        assert engine_of(desk).execute_intent(intent=intent(qty=3)).status == "placed"
        desk.later(seconds=60)
    assert desk.posts() == ["one"]


def test_an_intent_that_is_executed_again_on_another_day_is_the_same_order(desk: TradingDesk) -> None:
    engine, one = engine_of(desk), intent(client_intent_id=None)
    engine.execute_intent(intent=one)
    desk.later(days=1)
    assert engine.execute_intent(intent=one).status == "placed"
    assert desk.posts() == [one.client_intent_id]


def test_an_intent_that_may_have_been_sent_is_looked_up_where_it_is_executed_again(desk: TradingDesk) -> None:
    desk.arm("accept_then_drop")
    desk.control("POST", "faults", {"fault": "lookup_lag", "lookups": 1000})
    engine, one = engine_of(desk), intent(client_intent_id=None)
    assert engine.execute_intent(intent=one).status == "unresolved"
    posts = desk.posts()
    desk.control("DELETE", "faults")
    again = engine.execute_intent(intent=one)
    assert (again.status, again.broker_order is not None) == ("placed", True)
    assert desk.posts() == posts


def test_what_became_of_an_intent_is_reported_behind_a_closed_gate(desk: TradingDesk) -> None:
    one = intent(client_intent_id=None)
    engine_of(desk).execute_intent(intent=one)
    assert engine_of(desk, kill_switch=on).execute_intent(intent=one).status == "placed"
    with pytest.raises(GateClosed):
        engine_of(desk, kill_switch=on).execute_intent(intent=intent(client_intent_id="other"))


def test_an_intent_that_was_refused_is_judged_anew_live(desk: TradingDesk) -> None:
    one = intent(client_intent_id=None, qty=60)
    assert (
        engine_of(desk, RiskConfig(max_position_qty=50, accounts=frozenset({"paper"})))
        .execute_intent(intent=one)
        .risk.reason
        == "max_position_size_exceeded"
    )
    assert engine_of(desk).execute_intent(intent=one).status == "placed"
    assert desk.posts() == [one.client_intent_id]


def test_a_lost_reply_is_looked_up_and_its_order_adopted(desk: TradingDesk) -> None:
    desk.arm("accept_then_drop")
    result = engine_of(desk).execute_intent(intent=intent())
    assert result.status == "placed"
    assert desk.posts() == desk.placed_ids() == ["one"]


def test_a_cancel_withdraws_the_order_of_an_earlier_intent(desk: TradingDesk) -> None:
    engine = engine_of(desk)
    engine.execute_intent(intent=intent(order_type="limit", limit_price=50))
    withdraws = OrderIntent(
        strategy_id="momentum",
        broker_account_id="paper",
        symbol="",
        side="",
        action="cancel",
        target_intent_id="one",
    )
    assert engine.execute_intent(intent=withdraws).status == "canceled"
    assert desk.at_broker("one")["status"] == "canceled"


def test_a_cancel_passes_a_gate_that_is_closed_by_the_kill_switch(desk: TradingDesk) -> None:
    engine_of(desk).execute_intent(intent=intent(order_type="limit", limit_price=50))
    said = order(symbol=None, side=None, qty=None, action="cancel", target_intent_id="one")
    withdraws = OrderIntent(**{"symbol": "", "side": "", **said})
    assert engine_of(desk, kill_switch=on).execute_intent(intent=withdraws).status == "canceled"
    assert desk.at_broker("one")["status"] == "canceled"


def test_with_the_broker_unreadable_the_intent_is_refused_and_why_is_reported(desk: TradingDesk) -> None:
    desk.control("POST", "faults", {"fault": "error_before", "path": "/v2/positions", "times": None})
    result = engine_of(desk).execute_intent(intent=intent())
    assert (result.status, result.risk.reason) == ("rejected", "risk_data_unavailable")
    assert any("the broker's book could not be read" in message for message in result.risk.messages)
    assert desk.posts() == []


def test_the_inbox_of_the_strategies_is_left_alone(desk: TradingDesk) -> None:
    desk.drop("waiting.json", order(client_intent_id="waiting"))
    engine_of(desk).execute_intent(intent=intent())
    assert desk.left() == ["waiting.json"]
    assert desk.posts() == ["one"]


def test_what_an_earlier_call_left_unfinished_is_finished_first(desk: TradingDesk) -> None:
    lost: list[str] = []

    def middle(request: PreparedRequest, send: Send) -> Response:
        if lost:
            raise no_connection(request)
        answer = send()
        if is_order(request):
            lost.append("the connection")
            raise dropped(request)
        return answer

    desk.between = middle
    engine = engine_of(desk)
    with pytest.raises(BrokerError):
        engine.execute_intent(intent=intent())
    desk.disarm()
    desk.between = lambda request, send: send()
    assert engine.execute_intent(intent=intent(client_intent_id="two")).status == "placed"
    assert desk.posts() == ["one", "two"]
    assert [row["adopted"] for row in results(desk.runs()[0])] == [True]


# --- what it refuses


@pytest.mark.parametrize("dry_run", [False, None])
def test_without_a_word_from_the_environment_nothing_is_live(
    desk: TradingDesk, monkeypatch: pytest.MonkeyPatch, dry_run: bool | None
) -> None:
    monkeypatch.setenv("EXEC_DRY_RUN", "1")
    risk = RiskManager(clock=lambda: desk.now)
    if dry_run is None:
        engine = ExecutionEngine(broker=desk.broker(), broker_name="alpaca", risk=risk)
        assert engine.execute_intent(intent=intent()).status == "dry_run"
    else:
        with pytest.raises(ConfigurationError, match="EXEC_DRY_RUN"):
            ExecutionEngine(broker=desk.broker(), broker_name="alpaca", dry_run=dry_run, risk=risk)
    assert desk.requests() == []


def test_a_dry_run_of_the_engine_sends_nothing_though_the_environment_is_live(desk: TradingDesk) -> None:
    risk = RiskManager(clock=lambda: desk.now)
    engine = ExecutionEngine(broker=desk.broker(), broker_name="alpaca", dry_run=True, risk=risk)
    assert engine.execute_intent(intent=intent()).status == "dry_run"
    assert desk.requests() == []


def test_a_broker_that_orders_cannot_be_routed_to_is_refused(desk: TradingDesk) -> None:
    with pytest.raises(ConfigurationError, match="DryRunBroker"):
        ExecutionEngine(broker=DryRunBroker(), broker_name="alpaca", dry_run=False)


def no_live_mode(desk: TradingDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_MODE", "PAPER")


def halted(desk: TradingDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.data.mkdir()
    desk.agent().halt(why="drill")


def clock_far_off(desk: TradingDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.later(seconds=60)


def broker_down(desk: TradingDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.arm("error_before", times=None)


Closing = Callable[[TradingDesk, pytest.MonkeyPatch], None]
CLOSED: list[tuple[Closing, str]] = [
    (no_live_mode, "agent_mode_not_live"),
    (halted, "agent_state_not_ready:HALTED"),
    (clock_far_off, "agent_state_not_ready:DEGRADED"),
    (broker_down, "agent_state_not_ready:DEGRADED"),
]


@pytest.mark.parametrize(("closing", "reason"), CLOSED)
def test_a_closed_gate_lets_no_intent_through(
    desk: TradingDesk, monkeypatch: pytest.MonkeyPatch, closing: Closing, reason: str
) -> None:
    closing(desk, monkeypatch)
    with pytest.raises(GateClosed) as error:
        engine_of(desk).execute_intent(intent=intent())
    assert error.value.reason == reason
    assert (desk.posts(), desk.runs()) == ([], [])


def test_a_kill_switch_closes_the_gate(desk: TradingDesk) -> None:
    with pytest.raises(GateClosed) as error:
        engine_of(desk, kill_switch=on).execute_intent(intent=intent())
    assert error.value.reason == "kill_switch_enabled"
    assert desk.posts() == []


@pytest.mark.parametrize(("name", "value"), [("EXEC_STORE", ""), ("CLOUD_RUN_JOB", "nightly")])
def test_what_a_live_run_refuses_is_refused_here_too(
    desk: TradingDesk, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError):
        engine_of(desk).execute_intent(intent=intent())
    assert desk.posts() == []


def test_a_data_folder_that_is_in_use_is_not_waited_for(desk: TradingDesk) -> None:
    engine = engine_of(desk)
    with exclusive(desk.data, since="now"), pytest.raises(RunInProgress):
        engine.execute_intent(intent=intent())
    assert desk.posts() == []
