"""Orders that earlier runs have sent: which ones, since when, and as of when."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import replay
from engine import DryRunBroker, ExecutionEngine, OrderIntent
from engine.api import engine as api
from engine.api.engine import RiskManager
from engine.record.run_folder import RunFolder
from engine.risk.config import RiskConfig
from engine.risk.evaluation import evaluate
from engine.run import earlier_orders, input_sources
from engine.run.reading import Reading
from engine.run.risk_inputs import inputs_of
from engine.run.stages import finish
from replay.simulator.wire.faults import from_json
from tests.desk import NOON, Desk, order, reasons
from tests.live_desk import LiveDesk, simulated


@pytest.fixture(autouse=True)
def needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_sources, "frames_needed", lambda _: frozenset({"earlier_orders"}))


@pytest.fixture
def live(tmp_path: Path) -> LiveDesk:
    return LiveDesk(tmp_path / "live", simulator=simulated(), settle_s=0.1)


def window(monkeypatch: pytest.MonkeyPatch, **length: float) -> None:
    """Make this the longest window in force."""
    monkeypatch.setattr(earlier_orders, "longest_window", lambda _: timedelta(**length))


def seen(folder: RunFolder) -> list[dict[str, Any]]:
    """Return the earlier orders that a run was judged by."""
    frame = inputs_of(folder).earlier_orders
    assert frame is not None, folder.json("inputs.json")["unavailable"]
    rows: list[dict[str, Any]] = frame.astype("object").where(frame.notna(), None).to_dict(orient="records")
    return rows


def symbols(folder: RunFolder) -> list[str]:
    return [one["symbol"] for one in seen(folder)]


# --- dry runs


def test_the_first_run_of_a_desk_has_none(desk: Desk) -> None:
    desk.drop("a.jsonl", order())
    assert seen(desk.run()) == []


def test_an_order_that_was_allowed_is_seen_with_its_terms_and_its_time(desk: Desk) -> None:
    desk.drop(
        "a.jsonl", order(side="sell", qty=3.5, order_type="stop_limit", limit_price=10, stop_price=10.5)
    )
    first = desk.run()
    desk.drop("b.jsonl", order())
    assert seen(desk.run()) == [
        {
            "broker_account_id": "paper",
            "strategy_id": "momentum",
            "symbol": "SPY",
            "side": "sell",
            "qty": 3.5,
            "notional": None,
            "order_type": "stop_limit",
            "limit_price": 10.0,
            "stop_price": 10.5,
            "sent_at": pd.Timestamp(first.json("inputs.json")["read_at"]),
        }
    ]


def test_what_was_refused_and_what_withdraws_an_order_is_not_seen(desk: Desk) -> None:
    desk.drop(
        "a.jsonl",
        order(client_intent_id="kept", qty=1),
        order(client_intent_id="refused", qty=1000),
        order(client_intent_id="gone", action="cancel", target_intent_id="kept", qty=None),
    )
    assert reasons(desk.run()) == ["ok", "max_position_size_exceeded", "ok"]
    desk.drop("b.jsonl", order(client_intent_id="next"))
    assert [one["qty"] for one in seen(desk.run())] == [1.0]


def test_only_accounts_and_symbols_of_the_batch_are_read(desk: Desk) -> None:
    desk.drop(
        "a.jsonl", order(), order(symbol="KO"), order(broker_account_id="other"), order(strategy_id="other")
    )
    desk.run()
    desk.drop("b.jsonl", order(client_intent_id="next"))
    found = [(one["broker_account_id"], one["symbol"], one["strategy_id"]) for one in seen(desk.run())]
    assert sorted(found) == [("paper", "SPY", "momentum"), ("paper", "SPY", "other")]


def test_orders_of_the_session_are_seen_however_short_the_window(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    window(monkeypatch, seconds=1)
    desk.drop("a.jsonl", order())
    desk.run()
    desk.later(hours=3)
    desk.drop("b.jsonl", order(client_intent_id="next"))
    assert symbols(desk.run()) == ["SPY"]


@pytest.mark.parametrize(("hours", "expected"), [(1, []), (25, ["SPY"])])
def test_orders_of_another_session_are_seen_within_the_window(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, hours: int, expected: list[str]
) -> None:
    window(monkeypatch, hours=hours)
    desk.drop("a.jsonl", order())
    desk.run()
    desk.later(days=1)
    desk.drop("b.jsonl", order(client_intent_id="next"))
    assert symbols(desk.run()) == expected


def test_an_order_at_the_windows_very_edge_is_seen(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.drop("a.jsonl", order())
    desk.run()
    desk.now = NOON + timedelta(days=1)
    window(monkeypatch, days=1)
    desk.drop("b.jsonl", order(client_intent_id="b"))
    assert symbols(desk.run()) == ["SPY"]
    desk.now = NOON + timedelta(days=1, microseconds=1)
    desk.drop("c.jsonl", order(client_intent_id="c"))
    assert len(seen(desk.run())) == 1  # the one of this session alone


def test_sessions_before_the_window_are_not_listed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.drop("a.jsonl", order())
    old = desk.run()
    (desk.data / old.key / "run.json").write_text("damaged")
    desk.later(days=7)
    desk.drop("b.jsonl", order(client_intent_id="next"))
    monkeypatch.setattr("engine.record.run_folder.RunFolders.unfinished", lambda _: [])
    assert seen(desk.run()) == []


def test_a_resumed_run_does_not_see_runs_that_began_after_it(desk: Desk) -> None:
    desk.drop("a.jsonl", order(client_intent_id="a"))
    folder = desk.begin()
    finish(folder, desk.context(), until="intents.parquet")
    desk.later(minutes=1)
    desk.drop("b.jsonl", order(client_intent_id="b"))
    desk.run()
    finish(folder, desk.context())
    assert seen(folder) == []


# --- live runs


def test_an_order_that_was_sent_is_seen_from_when_it_was_about_to_be(live: LiveDesk) -> None:
    live.drop("a.jsonl", order(client_intent_id="a"))
    first = live.live()
    (attempt,) = [first.json(name) for name in first.names() if name.startswith("attempts/")]
    live.drop("b.jsonl", order(client_intent_id="b"))
    (sent,) = seen(live.live())
    assert (sent["qty"], sent["sent_at"]) == (1.0, pd.Timestamp(attempt["at"]))
    assert replay.replay(live.data).differences == 0


def test_an_order_that_the_broker_refused_is_not_seen(live: LiveDesk) -> None:
    live.drop("a.jsonl", order(client_intent_id="a", symbol="TCEHY"), order(client_intent_id="b"))
    assert "broker_rejected" in live.live().table("results.parquet")["status"].to_pylist()
    live.drop("b.jsonl", order(client_intent_id="c", symbol="TCEHY"), order(client_intent_id="d"))
    assert symbols(live.live()) == ["SPY"]


def test_an_order_whose_outcome_is_unknown_is_seen(live: LiveDesk) -> None:
    live.simulator.faults.add(from_json({"fault": "accept_then_drop", "times": None}))
    live.simulator.faults.add(
        from_json({"fault": "error_before", "path": "/v2/orders:by*", "method": "GET", "times": None})
    )
    live.drop("a.jsonl", order(client_intent_id="a"))
    assert live.live().table("results.parquet")["status"].to_pylist() == ["unresolved"]
    live.simulator.faults.clear()
    live.drop("b.jsonl", order(client_intent_id="b"))
    assert symbols(live.live()) == ["SPY"]


def test_orders_of_a_run_that_is_not_finished_are_seen(live: LiveDesk) -> None:
    live.drop("a.jsonl", order(client_intent_id="a"))
    first = live.live()
    for name in ("manifest.json", "results.parquet"):
        first.remove(name)
    reading = Reading(
        context=live.context(),
        config=RiskConfig(),
        mode="live",
        run_id="another",
        as_of=pd.Timestamp(live.now),
        trading_date=first.trading_date,
        calendar="XNYS",
        accounts=["paper"],
        symbols=["SPY"],
        strategies=["momentum"],
    )
    assert earlier_orders.earlier_orders(reading)["symbol"].tolist() == ["SPY"]


def test_dry_and_live_orders_do_not_meet(live: LiveDesk) -> None:
    live.drop("a.jsonl", order(client_intent_id="a"))
    live.live()
    live.drop("b.jsonl", order(client_intent_id="b"))
    assert seen(live.run()) == []
    live.drop("c.jsonl", order(client_intent_id="c"))
    assert len(seen(live.live())) == 1


# --- one intent at a time


def test_orders_that_an_engine_has_allowed_are_seen_by_the_next_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXEC_DATA_DIR", str(tmp_path))
    frames: list[Any] = []

    def gate(intents: Any, inputs: Any, config: Any) -> Any:
        frames.append(inputs.earlier_orders)
        return evaluate(intents, inputs, config)

    monkeypatch.setattr(api, "evaluate", gate)
    risk = RiskManager(RiskConfig(max_position_qty=2), clock=lambda: NOON)
    engine = ExecutionEngine(broker=DryRunBroker(), broker_name="alpaca", dry_run=True, risk=risk)
    for symbol, qty in [("SPY", 1), ("SPY", 5), ("KO", 1), ("SPY", 1)]:
        engine.execute_intent(
            intent=OrderIntent(
                strategy_id="s", broker_account_id="paper", symbol=symbol, side="buy", qty=qty,
                order_type="limit", limit_price=9.5, client_intent_id=f"{symbol}-{qty}-{len(frames)}",
            )
        )  # fmt: skip
    assert [len(frame) for frame in frames] == [0, 1, 0, 1]
    (row,) = frames[-1].to_dict("records")
    assert (row["symbol"], row["qty"], row["limit_price"]) == ("SPY", 1.0, 9.5)
    assert row["sent_at"] == pd.Timestamp(NOON)
