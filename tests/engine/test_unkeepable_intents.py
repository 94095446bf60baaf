"""``execute_intent`` with metadata that can't be kept: refused as by a file, before anything is written."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from engine import DryRunBroker, ExecutionEngine, OrderIntent, RiskConfig
from engine.api.engine import RiskManager
from tests.desk import Desk, order
from tests.engine.api.test_live_intent import LIVE
from tests.engine.hostile import KEEPABLE, UNKEEPABLE
from tests.engine.routing.trading import TradingDesk, at_a_rate_that_never_matters


def engine_of(desk: Desk) -> ExecutionEngine:
    risk = RiskManager(RiskConfig(), positions=desk.store, ledger=desk.store, clock=lambda: desk.now)
    return ExecutionEngine(broker=DryRunBroker(), broker_name="alpaca", dry_run=True, risk=risk)


@pytest.mark.parametrize("metadata", UNKEEPABLE.values(), ids=UNKEEPABLE)
def test_metadata_that_can_not_be_kept_is_an_invalid_intent(desk: Desk, metadata: dict[str, Any]) -> None:
    result = engine_of(desk).execute_intent(intent=OrderIntent(**order(metadata=metadata)))
    assert (result.status, result.risk.allowed, result.risk.reason) == ("rejected", False, "invalid_intent")
    assert result.message.startswith("intent.json:1: metadata")
    assert "; expected " in result.message


@pytest.mark.parametrize("metadata", [{1: 2}, {("a",): 1}, [], 5, "text"])
def test_metadata_that_is_no_json_object_is_an_invalid_intent(desk: Desk, metadata: Any) -> None:
    result = engine_of(desk).execute_intent(intent=OrderIntent(**order(metadata=metadata)))
    assert result.risk.reason == "invalid_intent"


@pytest.mark.parametrize("metadata", KEEPABLE.values(), ids=KEEPABLE)
def test_metadata_that_can_be_kept_is_allowed(desk: Desk, metadata: dict[str, Any]) -> None:
    assert engine_of(desk).execute_intent(intent=OrderIntent(**order(metadata=metadata))).risk.allowed


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TradingDesk:
    for name, value in {**LIVE, "EXEC_DATA_DIR": str(tmp_path / "data")}.items():
        monkeypatch.setenv(name, value)
    return TradingDesk(tmp_path / "data", simulator=at_a_rate_that_never_matters(speed=1.0))


def live_engine(desk: TradingDesk) -> ExecutionEngine:
    risk = RiskManager(RiskConfig(accounts=frozenset({"paper"})), clock=lambda: desk.now)
    return ExecutionEngine(broker=desk.broker(), broker_name="alpaca", dry_run=False, risk=risk)


def test_live_it_is_refused_without_a_run_and_the_next_intent_trades(live: TradingDesk) -> None:
    engine = live_engine(live)
    for metadata in UNKEEPABLE.values():
        result = engine.execute_intent(intent=OrderIntent(**order(metadata=metadata)))
        assert (result.status, result.risk.reason) == ("rejected", "invalid_intent")
    assert live.posts() == []
    assert engine.execute_intent(intent=OrderIntent(**order(metadata={"z": 1}))).status == "placed"
    (document,) = live.store.account_documents("paper", since=date.min)
    assert document["metadata"] == {"z": 1}


@pytest.mark.parametrize("name", ["flat", "int64", "odd keys", "lists in lists", "60 KiB"])
def test_live_what_can_be_kept_is_in_the_ledger_as_it_was_given(live: TradingDesk, name: str) -> None:
    result = live_engine(live).execute_intent(intent=OrderIntent(**order(metadata=KEEPABLE[name])))
    assert result.status == "placed"
    (document,) = live.store.account_documents("paper", since=date.min)
    assert document["metadata"] == KEEPABLE[name]
