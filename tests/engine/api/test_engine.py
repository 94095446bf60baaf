from __future__ import annotations

import pickle
import re
import subprocess
import sys
import threading
import time
from copy import copy
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import AlpacaBroker, DryRunBroker, ExecutionEngine, OrderIntent, RiskConfig, RiskManager
from engine.errors import ConfigurationError, DataUnavailable
from engine.intents.reading import read_intent_file
from engine.model.schema import FIGURES
from engine.risk import RULE_BOOK, evaluate
from engine.risk.inputs import RiskInputs
from engine.run.risk_inputs import as_recorded
from tests.desk import NOON, Desk, Row, off, on, order
from tests.engine.run.test_decide import DOWN, Store, frame

# The example of the specification, but for its import line.
EXAMPLE = """
from engine import ExecutionEngine, OrderIntent, AlpacaBroker, DryRunBroker

engine = ExecutionEngine(
    broker=DryRunBroker(),  # swap to AlpacaBroker() when ready
    broker_name="alpaca",
    dry_run=True,
)

intent = OrderIntent(
    strategy_id="delta_momentum_v1",
    broker_account_id="paper",
    symbol="SPY",
    side="buy",
    qty=1,
    order_type="market",
)

result = engine.execute_intent(intent=intent)
print(result.status, result.risk.allowed, result.risk.reason)
"""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def manager(config: RiskConfig | None = None, **edges: Any) -> RiskManager:
    return RiskManager(config or RiskConfig(), **{"kill_switch": off, "clock": lambda: NOON, **edges})


def engine_with(risk: RiskManager | None = None) -> ExecutionEngine:
    return ExecutionEngine(broker=DryRunBroker(), broker_name="alpaca", dry_run=True, risk=risk or manager())


def intent(**said: Any) -> OrderIntent:
    return OrderIntent(**{"symbol": None, "side": None, **order(**said)})


# --- the example


def test_the_example_of_the_specification_works_word_for_word(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(EXAMPLE, "example", "exec"), {})
    assert capsys.readouterr().out == "dry_run True ok\n"


def test_the_example_works_in_an_empty_folder_and_leaves_it_empty(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EXAMPLE], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("dry_run True ok\n", 0)
    events = [orjson.loads(line)["event"] for line in done.stderr.splitlines()]
    assert events == ["intent_received", "risk_decision", "dry_run_accept"]
    assert list(tmp_path.iterdir()) == []


def test_every_broker_of_the_example_can_be_handed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPACA_API_KEY", "key")
    monkeypatch.setenv("ALPACA_SECRET_KEY", "secret")
    engine = ExecutionEngine(broker=AlpacaBroker(), broker_name="alpaca", dry_run=True)
    assert engine.execute_intent(intent=intent()).status == "dry_run"


# --- one verdict


def test_a_verdict_says_whether_why_and_what_every_rule_found(desk: Desk) -> None:
    desk.hold(SPY=40)
    risk = manager(positions=desk.store, ledger=desk.store)
    decision = risk.validate(intent=intent(qty=60.5))
    assert (decision.allowed, decision.reason) == (False, "max_position_size_exceeded")
    assert {rule: verdict for rule, verdict in decision.checks.items() if verdict != "off"} == {
        "kill_switch_enabled": "pass",
        "invalid_intent": "pass",
        "duplicate_intent": "pass",
        "intent_expired": "pass",
        "position_unreconciled": "pass",
        "max_daily_trades_exceeded": "pass",
        "max_position_size_exceeded": "fail",
    }
    assert dict(decision.figures) == {
        "current_qty": 40.0,
        "projected_qty": 100.5,
        "position_limit_qty": 100.0,
        "trades_today": 0.0,
        "trades_limit": 50.0,
    }


def test_asking_for_a_verdict_leaves_no_trace() -> None:
    risk = manager(RiskConfig(max_daily_trades=1))
    assert [risk.validate(intent=intent(qty=100)).reason for _ in range(3)] == ["ok"] * 3


def test_working_orders_that_are_handed_in_count() -> None:
    working = pd.DataFrame([order(qty=None, remaining_qty=60)])
    decision = manager().validate(intent=intent(qty=60), working_orders=working)
    assert (decision.reason, decision.figures["projected_qty"]) == ("max_position_size_exceeded", 120.0)


def test_the_stores_are_those_of_the_data_folder(monkeypatch: pytest.MonkeyPatch, desk: Desk) -> None:
    desk.hold(SPY=100)
    monkeypatch.setenv("EXEC_DATA_DIR", str(desk.data))
    assert RiskManager().validate(intent=intent()).reason == "max_position_size_exceeded"


def test_the_limits_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXEC_MAX_POSITION_QTY", "5")
    assert RiskManager().validate(intent=intent(qty=6)).reason == "max_position_size_exceeded"


def test_the_kill_switch_is_read_anew_for_every_intent() -> None:
    answers = iter([off(), on(), off()])
    risk = manager(kill_switch=lambda: next(answers))
    assert [risk.validate(intent=intent()).reason for _ in range(3)] == ["ok", "kill_switch_enabled", "ok"]


def test_the_kill_switch_of_the_environment_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXECUTION_HALTED", "1")
    assert RiskManager().validate(intent=intent()).reason == "kill_switch_enabled"


@pytest.mark.parametrize("down", DOWN)
def test_a_store_that_cannot_say_refuses(down: str) -> None:
    decision = manager(positions=Store(positions=DOWN[down])).validate(intent=intent())
    assert (decision.allowed, decision.reason) == (False, "risk_data_unavailable")
    assert decision.checks["max_position_size_exceeded"] == "unavailable"


def test_fail_open_skips_the_store_that_cannot_say() -> None:
    store = Store(positions=DOWN["it raises"])
    decision = manager(RiskConfig(fail_open=True), positions=store).validate(intent=intent())
    assert (decision.allowed, decision.checks["max_position_size_exceeded"]) == (True, "unavailable")


@pytest.mark.parametrize(
    "said",
    [
        {"qty": 0},
        {"qty": -1},
        {"qty": float("nan")},
        {"qty": float("inf")},
        {"qty": 10**30},
        {"qty": 2e10},
        {"qty": "abc"},
        {"qty": True},
        {"qty": None},
        {"side": "long"},
        {"side": None},
        {"symbol": ""},
        {"symbol": None},
        {"symbol": "\ud800"},
        {"order_type": "limit"},
        {"order_type": "iceberg"},
        {"client_intent_id": "no spaces"},
        {"metadata": "text"},
    ],
)
def test_a_wrong_value_is_a_refusal_with_the_remedy_and_no_exception(said: Row) -> None:
    result = engine_with().execute_intent(intent=intent(**said))
    assert (result.status, result.risk.reason) == ("rejected", "invalid_intent")
    assert result.risk.checks["invalid_intent"] == "fail"
    assert re.match(r"intent\.json:1: \w+ (is|is missing).*; expected .*\. .*\.", result.message)


@pytest.mark.parametrize(
    "qty", [1, 1.5, np.float64(0.1), np.float32(0.5), np.int64(3), Decimal("0.000000001"), "2.5"]
)
def test_a_number_of_any_library_is_a_number(qty: Any) -> None:
    assert engine_with().execute_intent(intent=intent(qty=qty)).status == "dry_run"


@pytest.mark.parametrize(
    "timestamp", [NOON, pd.Timestamp(NOON), NOON.isoformat(), "2026-03-02 12:00:00-05:00"]
)
def test_a_timestamp_of_any_library_is_read(timestamp: Any) -> None:
    later = manager(clock=lambda: NOON + timedelta(microseconds=1))
    assert manager().validate(intent=intent(valid_until=timestamp)).reason == "ok"
    assert later.validate(intent=intent(valid_until=timestamp)).reason == "intent_expired"


# --- one after the other


def test_a_result_carries_the_id_that_the_order_would_have() -> None:
    result = engine_with().execute_intent(intent=intent(client_intent_id="mine"))
    assert (result.client_intent_id, result.status, result.broker_order) == ("mine", "dry_run", None)


def test_the_same_intent_sent_again_is_another_order() -> None:
    engine = engine_with()
    results = [engine.execute_intent(intent=intent()) for _ in range(3)]
    assert [result.status for result in results] == ["dry_run"] * 3
    assert len({result.client_intent_id for result in results}) == 3


def test_an_intent_has_its_id_from_construction() -> None:
    one, other = intent(), intent()
    assert one.client_intent_id
    assert one.client_intent_id != other.client_intent_id
    assert intent(client_intent_id="mine").client_intent_id == "mine"


def test_a_copy_of_an_intent_has_its_id_and_one_with_other_fields_an_id_of_its_own() -> None:
    one = intent()
    assert copy(one).client_intent_id == one.client_intent_id
    assert pickle.loads(pickle.dumps(one)) == one
    assert replace(one, qty=2).client_intent_id != one.client_intent_id
    assert replace(intent(client_intent_id="mine"), qty=2).client_intent_id == "mine"


def test_an_intent_that_is_executed_again_is_the_same_order() -> None:
    engine = engine_with(manager(RiskConfig(max_daily_trades=2)))
    one = intent(qty=60)
    results = [engine.execute_intent(intent=one) for _ in range(3)]
    assert results == [results[0]] * 3
    assert (results[0].status, results[0].client_intent_id) == ("dry_run", one.client_intent_id)
    assert engine.execute_intent(intent=intent(qty=40)).status == "dry_run"


def test_an_intent_that_was_refused_is_judged_anew() -> None:
    switches = iter([on(), off()])
    engine = engine_with(manager(kill_switch=lambda: next(switches)))
    one = intent()
    assert engine.execute_intent(intent=one).risk.reason == "kill_switch_enabled"
    result = engine.execute_intent(intent=one)
    assert (result.status, result.client_intent_id) == ("dry_run", one.client_intent_id)


def test_an_id_that_was_allowed_is_taken() -> None:
    engine = engine_with()
    said = [intent(client_intent_id="x"), intent(client_intent_id="x", qty=2)]
    assert [engine.execute_intent(intent=one).risk.reason for one in said] == ["ok", "duplicate_intent"]


def test_an_id_that_was_refused_is_not_taken() -> None:
    engine = engine_with()
    said = [intent(client_intent_id="x", qty=500), intent(client_intent_id="x")]
    assert [engine.execute_intent(intent=one).status for one in said] == ["rejected", "dry_run"]


def test_what_was_allowed_counts_towards_the_limits() -> None:
    engine = engine_with(manager(RiskConfig(max_daily_trades=3)))
    said = [intent(qty=60), intent(qty=60), intent(qty=40), intent(symbol="QQQ"), intent(symbol="IWM")]
    assert [engine.execute_intent(intent=one).risk.reason for one in said] == [
        "ok",
        "max_position_size_exceeded",
        "ok",
        "ok",
        "max_daily_trades_exceeded",
    ]


def test_two_engines_do_not_share_what_they_allowed() -> None:
    for _ in range(2):
        assert engine_with().execute_intent(intent=intent(qty=100)).status == "dry_run"


CANCEL = {"action": "cancel", "target_intent_id": "x", "symbol": None, "side": None, "qty": None}
SAID = st.fixed_dictionaries(
    {},
    optional={
        "symbol": st.sampled_from(["SPY", "QQQ", "spy"]),
        "broker_account_id": st.sampled_from(["paper", "paper", "other"]),
        "side": st.sampled_from(["buy", "sell"]),
        "qty": st.sampled_from([0.1, 0.2, 0.3, 1e-9, 40, 60, 100, 150]),
        "client_intent_id": st.sampled_from(["x", "y"]),
        "valid_until": st.sampled_from([NOON, NOON - timedelta(seconds=1)]),
        "created_at": st.sampled_from([NOON, NOON - timedelta(minutes=2)]),
    },
)
INTENTS = st.lists(
    SAID
    | SAID.map(lambda said: {**said, "qty": None, "notional": 100})
    | st.sampled_from([CANCEL, {"qty": 0}, {"side": "long"}]),
    max_size=12,
)
CONFIGS = st.builds(
    RiskConfig,
    max_position_qty=st.sampled_from([0.0, 0.3, 100.0]),
    max_daily_trades=st.sampled_from([0, 2, 50]),
    fail_open=st.booleans(),
    position_projection=st.sampled_from(["worst_case", "net"]),
    intent_max_age_s=st.sampled_from([None, 60.0]),
    accounts=st.sampled_from([frozenset(), frozenset({"paper"})]),
)
QTYS = st.sampled_from([np.nan, -150.0, -0.1, 0.0, 40.0, 100.0, 150.0])
BOOKS = st.none() | st.lists(
    st.tuples(st.sampled_from(["paper", "other"]), st.sampled_from(["SPY", "QQQ"]), QTYS), max_size=3
)
COUNTS = st.none() | st.lists(
    st.tuples(st.sampled_from(["paper", "other"]), st.sampled_from([0.0, 1.0, 2.0, 49.0])), max_size=2
)


@given(said=INTENTS, config=CONFIGS, book=BOOKS, counts=COUNTS, halted=st.booleans())
@settings(deadline=None, max_examples=100)
def test_one_after_the_other_intents_get_the_decisions_of_their_batch(
    said: list[Row],
    config: RiskConfig,
    book: list[tuple[str, str, float]] | None,
    counts: list[tuple[str, float]] | None,
    halted: bool,
) -> None:
    intents = list({repr(one): intent(**one) for one in said if "client_intent_id" in one}.values())
    # in a file equal rows would be one order, so each of the others has an id of its own
    rest = [one for one in said if "client_intent_id" not in one]
    intents += [intent(**one, client_intent_id=f"own-{i}") for i, one in enumerate(rest)]
    positions = None if book is None else frame("broker_account_id", "symbol", "qty", rows=book)
    trades = None if counts is None else frame("broker_account_id", "trades", rows=counts)

    def known(found: pd.DataFrame | None) -> pd.DataFrame:
        if found is None:
            raise DataUnavailable("down")
        return found

    store = Store(positions=lambda: known(positions), trades=lambda: known(trades))
    switch = on if halted else off
    risk = manager(config, positions=store, ledger=store, kill_switch=switch)
    engine = engine_with(risk)
    results = [engine.execute_intent(intent=one) for one in intents]

    batch = read_batch(risk, intents)
    inputs = RiskInputs(
        as_of=pd.Timestamp(NOON),
        trading_date=NOON.date(),
        positions=None if positions is None else as_recorded("positions", positions).to_pandas(),
        daily_trades=None if trades is None else as_recorded("daily_trades", trades).to_pandas(),
        working_orders=frame("broker_account_id", "symbol", "side", "remaining_qty"),
        kill_switch=halted,
    )
    decisions = evaluate(batch, inputs, config)
    judged = [result for result in results if result.risk.checks["invalid_intent"] != "fail"]
    one_by_one = pd.DataFrame(
        {
            "client_intent_id": [result.client_intent_id for result in judged],
            "allowed": [result.risk.allowed for result in judged],
            "reason": [result.risk.reason for result in judged],
            **{f"check_{rule.name}": [r.risk.checks[rule.name] for r in judged] for rule in RULE_BOOK},
            **{name: [r.risk.figures[name] for r in judged] for name in FIGURES},
        }
    )
    together = decisions.astype({name: str for name in decisions if name not in {"allowed", *FIGURES}})
    pd.testing.assert_frame_equal(one_by_one, together[list(one_by_one)], check_dtype=False)


def read_batch(risk: RiskManager, intents: list[OrderIntent]) -> pd.DataFrame:
    """Read intents as the rows of one file; the bad ones stay out."""
    records = [orjson.loads(orjson.dumps(one)) for one in intents]
    said = [{name: value for name, value in record.items() if value is not None} for record in records]
    file = read_intent_file(
        "batch.json",
        orjson.dumps(said),
        file_time_us=round(NOON.timestamp() * 1e6),
        trading_date=NOON.date(),
    )
    assert len(file.refused) == sum(risk.read(one).refused != [] for one in intents)
    frame_: pd.DataFrame = file.table.to_pandas()
    return frame_


# --- live orders


@pytest.mark.parametrize("dry_run", [False, 0, "no", "1"])
def test_anything_but_a_dry_run_is_refused_while_the_environment_says_that_it_is_one(dry_run: Any) -> None:
    with pytest.raises(ConfigurationError, match="EXEC_DRY_RUN is on"):
        ExecutionEngine(broker=DryRunBroker(), broker_name="alpaca", dry_run=dry_run)


def test_without_a_word_the_environment_says_whether_it_is_a_dry_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ExecutionEngine(broker=DryRunBroker(), broker_name="alpaca").dry_run is True
    monkeypatch.setenv("EXEC_DRY_RUN", "0")
    with pytest.raises(ConfigurationError, match="orders can't be sent through DryRunBroker"):
        ExecutionEngine(broker=DryRunBroker(), broker_name="alpaca")


@pytest.mark.parametrize(("name", "value"), [("EXEC_DRY_RUN", "y"), ("EXEC_MAX_POSITION_QTY", "nan")])
def test_a_setting_that_cannot_be_read_stops_before_anything_is_judged(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name):
        RiskManager()


def test_a_dry_run_calls_no_broker() -> None:
    class Untouchable:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"{name} was called")

    engine = ExecutionEngine(
        broker=Untouchable(),
        broker_name="alpaca",
        dry_run=True,
        risk=manager(),
    )
    said = [intent(), intent(qty=500), intent(**CANCEL)]
    assert [engine.execute_intent(intent=one).status for one in said] == ["dry_run", "rejected", "dry_run"]


def test_a_new_session_begins_without_the_orders_of_the_one_before() -> None:
    times = [NOON]
    engine = engine_with(manager(RiskConfig(max_daily_trades=1), clock=lambda: times[-1]))
    assert [engine.execute_intent(intent=intent()).status for _ in range(2)] == ["dry_run", "rejected"]
    times.append(NOON + timedelta(days=1))
    assert engine.execute_intent(intent=intent()).status == "dry_run"


# --- the stores and the switch that the settings name


def test_threads_that_share_an_engine_are_judged_one_after_the_other() -> None:
    engine = engine_with()
    together = threading.Barrier(4, timeout=30)
    said: list[str] = []

    def buy() -> None:
        together.wait()
        said.append(engine.execute_intent(intent=intent(qty=60)).status)

    threads = [threading.Thread(target=buy) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["dry_run", "rejected", "rejected", "rejected"]


def test_positions_that_are_too_old_are_unavailable(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.hold(SPY=1)
    monkeypatch.setenv("EXEC_POSITIONS_MAX_AGE_S", "60")
    risk = manager(positions=desk.store, clock=lambda: NOON + timedelta(minutes=2))
    assert risk.validate(intent=intent()).reason == "risk_data_unavailable"


def test_a_store_that_gives_no_answer_is_unavailable_in_time_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = threading.Event()
    monkeypatch.setenv("EXEC_RISK_DATA_TIMEOUT_S", "0.1")

    def waits() -> pd.DataFrame:
        done.wait(60)
        return frame("broker_account_id", "symbol", "qty")

    begun_at = time.monotonic()
    decision = manager(positions=Store(positions=waits)).validate(intent=intent())
    assert time.monotonic() - begun_at < 30
    done.set()
    assert decision.reason == "risk_data_unavailable"
    assert decision.messages[0].startswith("positions is unavailable: positions: no answer within 0.1 s")


def test_the_switch_document_counts_for_one_intent_too(
    firestore_project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from google.cloud import firestore

    monkeypatch.setenv("FIREBASE_PROJECT_ID", firestore_project)
    monkeypatch.setenv("EXECUTION_HALTED_DOC", "ops/kill")
    document = firestore.Client(project=firestore_project).document("ops/kill")
    said = []
    for enabled in (False, True):
        document.set({"enabled": enabled})
        said.append(RiskManager(RiskConfig(), clock=lambda: NOON).validate(intent=intent()).reason)
    assert said == ["ok", "kill_switch_enabled"]
