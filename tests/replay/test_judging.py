"""Runs judged together are judged as each by itself."""

from __future__ import annotations

import math
from datetime import date
from typing import Any
from unittest.mock import patch

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.schema import inputs_schemas, intents_schema
from engine.risk import evaluate
from engine.settings.variables import RiskConfig
from replay import judging
from replay.judging import Case, judge

AS_OF = pd.Timestamp("2026-03-02T17:00:00Z")
DEFAULTS = {
    "strategy_id": "s", "broker_account_id": "a", "symbol": "SPY", "side": "buy", "qty": 1.0,
    "asset_class": "EQUITY", "order_type": "market", "time_in_force": "day", "extended_hours": False,
    "order_class": "simple", "action": "new", "metadata": "{}", "source_file": "f", "source_row": 1,
    "content_hash": 1,
}  # fmt: skip


def batch_of(rows: list[dict[str, Any]]) -> pa.Table:
    said = [{**DEFAULTS, "client_intent_id": f"i{place}", **row} for place, row in enumerate(rows)]
    return pa.Table.from_pylist(said, schema=intents_schema())


def frame_of(name: str, rows: list[tuple[Any, ...]]) -> pa.Table:
    schema = inputs_schemas()[name]
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)


def case(rows: list[dict[str, Any]], **changes: Any) -> Case:
    frames = {
        "positions": frame_of("positions", changes.pop("positions", [])),
        "daily_trades": frame_of("daily_trades", changes.pop("daily_trades", [])),
        "working_orders": frame_of("working_orders", changes.pop("working_orders", [])),
        **dict.fromkeys(changes.pop("unavailable", ())),
    }
    return Case(
        batch=batch_of(rows),
        as_of=changes.pop("as_of", AS_OF),
        trading_date=date(2026, 3, 2),
        kill_switch=changes.pop("kill_switch", False),
        frames=frames,
        config=changes.pop("config", RiskConfig(max_position_qty=10, max_daily_trades=4)),
    )


def one_by_one(cases: list[Case]) -> pd.DataFrame:
    return pd.concat([one.judged() for one in cases], ignore_index=True)


accounts = st.sampled_from(["a", "b", "0:a", "A", "x" * 128])
symbols = st.sampled_from(["SPY", "KO", "BRK.B"])
sides = st.sampled_from(["buy", "sell"])
qtys = st.sampled_from([0.1, 1.0, 3.0, 5.0, 10.0, math.nan])
timestamps = st.sampled_from([None, AS_OF - pd.Timedelta(seconds=90), AS_OF, AS_OF + pd.Timedelta(days=1)])
intents = st.fixed_dictionaries(
    {
        "broker_account_id": accounts,
        "symbol": symbols,
        "side": sides,
        "qty": qtys,
        "client_intent_id": st.sampled_from([f"id-{number}" for number in range(6)]),
        "created_at": timestamps,
        "valid_until": timestamps,
        "action": st.sampled_from(["new", "new", "new", "cancel"]),
    }
)
cases = st.lists(
    st.builds(
        case,
        st.lists(intents, max_size=8),
        positions=st.lists(st.tuples(accounts, st.one_of(symbols, st.none()), qtys), max_size=3),
        daily_trades=st.lists(st.tuples(accounts, st.sampled_from([0.0, 2.0, 4.0, math.nan])), max_size=2),
        working_orders=st.lists(
            st.tuples(st.one_of(accounts, st.none(), st.just(" a ")), symbols, sides, qtys), max_size=2
        ),
        unavailable=st.sampled_from([(), (), (), ("positions",), ("daily_trades", "working_orders")]),
        kill_switch=st.sampled_from([False, False, False, True]),
        as_of=st.sampled_from([AS_OF, AS_OF - pd.Timedelta(microseconds=1), AS_OF + pd.Timedelta(days=300)]),
        config=st.sampled_from(
            [
                RiskConfig(max_position_qty=10, max_daily_trades=4),
                RiskConfig(max_position_qty=10, max_daily_trades=4, accounts=frozenset({"a", "b"})),
                RiskConfig(max_position_qty=5, intent_max_age_s=60, position_projection="net"),
                RiskConfig(max_position_qty=5, max_daily_trades=1, fail_open=True),
            ]
        ),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=150)
@given(cases)
def test_any_runs_judged_together_are_judged_as_each_by_itself(found: list[Case]) -> None:
    pd.testing.assert_frame_equal(judge(found), one_by_one(found), check_exact=True)


def test_what_one_run_allows_counts_for_no_other() -> None:
    runs = [case([{"qty": 6.0}]) for _ in range(5)]
    assert judge(runs)["allowed"].tolist() == [True] * 5


def test_runs_under_the_same_limits_take_one_call_of_the_gate() -> None:
    runs = [case([{}], as_of=AS_OF + pd.Timedelta(days=day)) for day in range(40)]
    with patch.object(judging, "evaluate", wraps=evaluate) as gate:
        judge(runs)
    assert gate.call_count == 1


def test_never_too_many_rows_are_judged_in_one_call() -> None:
    runs = [case([{}] * 4) for _ in range(5)]
    with (
        patch.object(judging, "ROWS_AT_ONCE", 10),
        patch.object(judging, "evaluate", wraps=evaluate) as gate,
    ):
        judge(runs)
    assert [len(call.args[0]) for call in gate.call_args_list] == [8, 8, 4]


def test_an_account_that_names_nobody_is_judged_by_itself() -> None:
    runs = [case([{}]), case([{"broker_account_id": None}]), case([{}])]
    assert judge(runs)["reason"].astype(str).tolist() == ["ok", "invalid_intent", "ok"]


def test_a_rule_that_raises_for_one_run_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def gate(intents: pd.DataFrame, inputs: Any, config: Any) -> pd.DataFrame:
        decisions = evaluate(intents, inputs, config)
        if (intents["symbol"] == "BAD").any():
            decisions["allowed"] = False
            decisions.attrs["raised"] = {"intent_expired": "ValueError: bad"}
        return decisions

    monkeypatch.setattr(judging, "evaluate", gate)
    decisions = judge([case([{}]), case([{"symbol": "BAD"}]), case([{}])])
    assert decisions["allowed"].tolist() == [True, False, True]
    assert decisions.attrs["raised"] == {"intent_expired": "ValueError: bad"}


def test_each_run_is_judged_by_its_own_clock() -> None:
    day, minute = pd.Timedelta(days=1), pd.Timedelta(minutes=1)
    rows = [{"valid_until": AS_OF + minute, "created_at": AS_OF}, {"created_at": AS_OF + day}]
    config = RiskConfig(intent_max_age_s=3600)
    runs = [case(rows, as_of=AS_OF + later, config=config) for later in (pd.Timedelta(0), day, minute)]
    expired = judge(runs)["check_intent_expired"].astype(str).tolist()
    assert expired == ["pass", "pass", "fail", "pass", "pass", "pass"]
