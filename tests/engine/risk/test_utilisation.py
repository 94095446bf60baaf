"""How much of each limit a batch used."""

from __future__ import annotations

import datetime
from typing import Any

import pandas as pd
import pytest

from engine import RiskConfig, RiskInputs
from engine.risk.evaluation import judged
from engine.risk.levels import LimitsFile, Scope, Section
from engine.risk.utilisation import utilisation

AS_OF = pd.Timestamp("2026-03-02T15:00:00Z")


def orders(*rows: dict[str, Any]) -> pd.DataFrame:
    base = {"strategy_id": "momentum", "broker_account_id": "paper", "symbol": "SPY", "side": "buy"}
    numbered = [{"client_intent_id": f"intent-{place}", "qty": 1.0} for place in range(len(rows))]
    return pd.DataFrame([{**base, **number, **row} for number, row in zip(numbered, rows, strict=True)])


def inputs(**changes: Any) -> RiskInputs:
    known: dict[str, Any] = {
        "positions": pd.DataFrame({"broker_account_id": ["paper"], "symbol": ["SPY"], "qty": [40.0]}),
        "daily_trades": pd.DataFrame({"broker_account_id": ["paper"], "trades": [2]}),
        "working_orders": pd.DataFrame(columns=["broker_account_id", "symbol", "side", "remaining_qty"]),
    }
    return RiskInputs(as_of=AS_OF, trading_date=datetime.date(2026, 3, 2), **{**known, **changes})


def used(batch: pd.DataFrame, given: RiskInputs, config: RiskConfig) -> pd.DataFrame:
    decisions, evaluation = judged(batch, given, config)
    return utilisation(evaluation, decisions).set_index("rule")


def test_what_is_used_is_what_was_there_and_the_allowed_orders() -> None:
    config = RiskConfig(max_daily_trades=4, max_position_qty=100)
    found = used(orders({"qty": 50.0}, {"qty": 30.0}, {"qty": 10.0}), inputs(), config)
    trades, position = found.loc["max_daily_trades_exceeded"], found.loc["max_position_size_exceeded"]
    assert (trades["used"], trades["limit"], trades["utilisation"], trades["refused"]) == (4, 4, 1.0, 0)
    assert (position["used"], position["nearest_miss"], position["refused"]) == (100.0, 0.0, 1)
    assert (position["symbol"], position["side"], position["unit"]) == ("SPY", "buy", "shares")


def test_a_limit_of_zero_that_is_used_is_used_without_bound() -> None:
    found = used(orders({"qty": 10.0}), inputs(), RiskConfig(max_position_qty=0))
    assert found.loc["max_position_size_exceeded"]["utilisation"] == float("inf")


def test_a_sell_of_what_is_held_uses_nothing_of_the_limit() -> None:
    found = used(orders({"side": "sell", "qty": 10.0}), inputs(), RiskConfig(max_position_qty=0))
    assert found.loc["max_position_size_exceeded"][["used", "utilisation"]].tolist() == [-30.0, 0.0]


def test_what_is_unknown_is_missing_and_not_zero() -> None:
    found = used(orders({}), inputs(positions=None), RiskConfig())
    assert found.loc["max_position_size_exceeded"][["used", "utilisation", "nearest_miss"]].isna().all()


def test_the_largest_allowed_order_is_what_a_limit_on_single_orders_had_used() -> None:
    found = used(orders({"qty": 5.0}, {"qty": 9.0}, {"qty": 11.0}), inputs(), RiskConfig(max_order_qty=10))
    row = found.loc["max_order_qty_exceeded"]
    assert (row["used"], row["limit"], row["refused"]) == (9.0, 10.0, 1)


@pytest.mark.parametrize(("level", "scope"), [("[symbol.SPY]", Scope(symbol="SPY")), ("[limits]", Scope())])
def test_every_level_has_a_row_of_its_own(level: str, scope: Scope) -> None:
    file = LimitsFile(
        path="limits.toml",
        content=level,
        version=1,
        owner="desk",
        review_by=datetime.date(2027, 1, 1),
        acknowledged_off=frozenset("*"),
        sections=(Section(source=level, scope=scope, values={"max_position_qty": 50.0}),),
    )
    found = used(orders({"qty": 10.0}), inputs(), RiskConfig(limits_file=file, max_position_qty=100))
    rows = found.loc[["max_position_size_exceeded"]].set_index("level")
    assert rows["utilisation"].to_dict() == {"EXEC_MAX_POSITION_QTY": 0.5, level: 1.0}


def test_a_batch_without_rows_used_nothing() -> None:
    assert used(orders({}).iloc[:0], inputs(), RiskConfig()).empty
