"""Runs judged together are judged as each by itself."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from typing import Any
from unittest.mock import patch

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.schema import inputs_schemas, intents_schema
from engine.record.run_folder import LIMIT_FRAMES
from engine.risk import evaluate
from engine.risk.config import RiskConfig
from replay import judging, not_recorded
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
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=False)) for row in rows], schema=schema)


def case(rows: list[dict[str, Any]], **changes: Any) -> Case:
    frames = {
        "positions": frame_of("positions", changes.pop("positions", [])),
        "daily_trades": frame_of("daily_trades", changes.pop("daily_trades", [])),
        "working_orders": frame_of("working_orders", changes.pop("working_orders", [])),
        **{name: frame_of(name, rows) for name, rows in changes.pop("for_limits", {}).items()},
        **dict.fromkeys(changes.pop("unavailable", ())),
    }
    as_of = changes.pop("as_of", AS_OF)
    return Case(
        batch=batch_of(rows),
        as_of=as_of,
        read_at=as_of + pd.Timedelta(seconds=changes.pop("read_after", 0.0)),
        trading_date=changes.pop("trading_date", date(2026, 3, 2)),
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
    with patch.object(not_recorded, "evaluate", wraps=evaluate) as gate:
        judge(runs)
    assert gate.call_count == 1


def test_never_too_many_rows_are_judged_in_one_call() -> None:
    runs = [case([{}] * 4) for _ in range(5)]
    with (
        patch.object(judging, "ROWS_AT_ONCE", 10),
        patch.object(not_recorded, "evaluate", wraps=evaluate) as gate,
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

    monkeypatch.setattr(not_recorded, "evaluate", gate)
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


# --- frames that only some limits need


def seen(intents: pd.DataFrame, inputs: Any, config: Any) -> pd.DataFrame:
    """Judge as the gate does, and note everything in the frames that can concern each row."""
    decisions = evaluate(intents, inputs, config)
    accounts = intents["broker_account_id"].tolist()
    noted: list[list[Any]] = [[] for _ in accounts]
    for name in LIMIT_FRAMES:
        frame = getattr(inputs, name)
        for account, notes in zip(accounts, noted, strict=True):
            if frame is None:
                notes.append(None)
                continue
            own = frame
            if "broker_account_id" in frame:
                own = frame[frame["broker_account_id"] == account].drop(columns="broker_account_id")
            elif len(frame):
                notes.append(inputs.trading_date)
            for column in own.select_dtypes("datetimetz"):
                own = own.assign(**{column: own[column] - inputs.as_of})
            notes.append(own.to_numpy().tolist())
    return decisions.assign(noted=[repr(notes) for notes in noted])


def at(seconds: float) -> pd.Timestamp:
    return AS_OF + pd.Timedelta(seconds=seconds)


def one_order(account: str, age_s: float) -> tuple[Any, ...]:
    return (account, "s", "SPY", "buy", 1.0, None, "market", None, None, at(-age_s))


ASSET = ("SPY", True, True, None)
HOURS = (at(-9000), at(9000), at(-20_000), at(20_000))
OVERRIDE = ("r", None, "s", None, "ann", "why", "2026-03-02", "f.toml")
FOR_LIMITS = {
    "assets": [[], [ASSET], [ASSET], [("SPY", False, True, None)]],
    "session_hours": [[], [], [HOURS], [tuple(time + pd.Timedelta(days=1) for time in HOURS)]],
    "earlier_orders": [[], [], [one_order("a", 1)], [one_order("a", 1), one_order("b", 3600)]],
    "overrides": [[], [], [], [OVERRIDE]],
    "reconciled": [[], [], [], [("a", at(5))]],
}
"""What may be in the frames; mostly nothing, so that cases are alike enough to be judged together."""
cases_with_frames = st.lists(
    st.builds(
        case,
        st.sampled_from([[{}], [{"broker_account_id": "b"}, {}]]),
        for_limits=st.fixed_dictionaries({name: st.sampled_from(rows) for name, rows in FOR_LIMITS.items()}),
        unavailable=st.sampled_from([(), (), (), ("assets",)]),
        as_of=st.sampled_from([AS_OF, AS_OF, at(86_400)]),
        read_after=st.sampled_from([0.0, 0.0, 2.5]),
        trading_date=st.sampled_from([date(2026, 3, 2), date(2026, 3, 2), date(2026, 3, 3)]),
    ),
    min_size=2,
    max_size=5,
)


@settings(max_examples=50)
@given(cases_with_frames)
def test_runs_judged_together_see_their_own_frames_alone(found: list[Case]) -> None:
    with patch.object(not_recorded, "evaluate", seen):
        pd.testing.assert_frame_equal(judge(found), one_by_one(found), check_exact=True)


def test_runs_with_equal_asset_records_take_one_call_of_the_gate() -> None:
    spy = {"assets": [("SPY", True, True, True)], "latches": []}
    runs = [case([{}], as_of=at(day * 86_400), for_limits=spy) for day in range(3)]
    halted = {"assets": [("SPY", False, True, True)], "latches": []}
    with patch.object(not_recorded, "evaluate", wraps=evaluate) as gate:
        judge([*runs, case([{}], for_limits=halted)])
    assert gate.call_count == 2


def test_orders_sent_by_earlier_runs_keep_their_age_where_runs_are_judged_together() -> None:
    def sent(age_s: float, as_of: pd.Timestamp) -> dict[str, Any]:
        when = as_of - pd.Timedelta(seconds=age_s)
        return {"earlier_orders": [("a", "s", "SPY", "buy", 1.0, None, "market", None, None, when)]}

    clocks = [at(day * 86_400) for day in range(3)]
    runs = [case([{}], as_of=clock, for_limits=sent(10 * nth, clock)) for nth, clock in enumerate(clocks)]
    with patch.object(not_recorded, "evaluate", wraps=evaluate) as gate:
        judge(runs)
    inputs = gate.call_args.args[1]
    assert gate.call_count == 1
    ages = (inputs.as_of - inputs.earlier_orders["sent_at"]).dt.total_seconds().tolist()
    assert ages == [0.0, 10.0, 20.0]
    assert inputs.earlier_orders["broker_account_id"].tolist() == ["0:a", "1:a", "2:a"]


def test_runs_are_judged_each_by_itself_where_a_limit_is_about_whole_files() -> None:
    limited = RiskConfig(max_batch_orders=3)
    runs = [case([{}] * count, config=limited) for count in (3, 4, 2)]
    with patch.object(not_recorded, "evaluate", wraps=evaluate) as gate:
        allowed = judge(runs)["allowed"].tolist()
    assert allowed == [True] * 3 + [False] * 4 + [True] * 2
    assert gate.call_count == 3


def test_a_run_whose_record_lacks_a_column_is_judged_apart_from_those_that_have_it() -> None:
    runs = [case([{}], working_orders=[("a", "SPY", "buy", 10.0)]) for _ in range(3)]
    frame = runs[1].frames["working_orders"]
    assert frame is not None
    older = {**runs[1].frames, "working_orders": frame.drop_columns(["remaining_notional"])}
    runs[1] = replace(runs[1], frames=older)
    assert judge(runs)["reason"].astype(str).tolist() == ["max_position_size_exceeded"] * 3
