"""``execute_intent`` with metadata that can't be kept: refused as by a file, before anything is written."""

from __future__ import annotations

from typing import Any

import pytest

from engine import DryRunBroker, ExecutionEngine, OrderIntent, RiskConfig
from engine.execution import RiskManager
from tests.desk import Desk, order
from tests.engine.hostile import KEEPABLE, UNKEEPABLE


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
