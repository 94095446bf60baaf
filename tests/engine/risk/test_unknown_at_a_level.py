"""What is unknown at the level of a strategy refuses the rows of that strategy, and no others."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from engine.model.schema import inputs_schemas
from engine.risk import evaluate
from engine.risk.book import LIMITS
from engine.risk.config import RiskConfig
from engine.risk.inputs import RiskInputs
from engine.risk.limits_file.parsing import parse_limits_file
from tests.desk import NOON, order

HEAD = 'version = 1\nowner = "risk"\nreview_by = 2099-01-01\nacknowledged_off = ["*"]\n'
FRAMES = ("positions", "daily_trades", "working_orders", "strategy_positions", "strategy_trades")
UNNAMED = pd.DataFrame(
    [("paper", "QQQ", "", "buy", 1.0, "limit", 50.0, None, None, None, None)],
    columns=inputs_schemas()["working_order_terms"].names,
)


@pytest.mark.parametrize("terms", [None, UNNAMED], ids=["no frame", "an order that could be any strategy's"])
@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("strategy.momentum", "max_position_qty"),
        ("strategy.momentum", "max_daily_trades"),
        ("strategy.momentum", "max_open_positions"),
        ("strategy.momentum", "max_working_orders"),
        ("strategy.momentum.symbol.SPY", "max_position_qty"),
        ("strategy.momentum.symbol.SPY", "max_daily_trades"),
        ("strategy.momentum.symbol.SPY", "max_working_orders"),
    ],
)
def test_working_orders_that_are_unknown_refuse_the_strategy_that_has_a_limit(
    section: str, key: str, terms: pd.DataFrame | None
) -> None:
    known = {limit.key: limit for limit in LIMITS}
    file = parse_limits_file(f"{HEAD}[limits]\n[{section}]\n{key} = 5\n", path="limits.toml", known=known)
    rows = [order(), order(strategy_id="other"), order(strategy_id="other", symbol="QQQ")]
    intents = pd.DataFrame([{"client_intent_id": f"i-{n}", **row} for n, row in enumerate(rows)])
    empty: dict[str, Any] = {name: inputs_schemas()[name].empty_table().to_pandas() for name in FRAMES}
    inputs = RiskInputs(
        as_of=pd.Timestamp(NOON), trading_date=NOON.date(), working_order_terms=terms, **empty
    )
    decisions = evaluate(intents, inputs, RiskConfig(limits_file=file))
    assert list(decisions["reason"]) == ["risk_data_unavailable", "ok", "ok"]


def test_a_limit_of_the_brokers_that_is_unknown_is_not_recorded_as_zero() -> None:
    intents = pd.DataFrame([{"client_intent_id": "i", **order()}])
    empty: dict[str, Any] = {name: inputs_schemas()[name].empty_table().to_pandas() for name in FRAMES}
    figures = inputs_schemas()["account_figures"].empty_table().to_pandas()
    inputs = RiskInputs(as_of=pd.Timestamp(NOON), trading_date=NOON.date(), account_figures=figures, **empty)
    decisions = evaluate(intents, inputs, RiskConfig(buying_power_buffer_pct=0.0))
    assert list(decisions["check_insufficient_buying_power"]) == ["unavailable"]
    assert decisions["buying_power_limit_usd"].isna().all()
