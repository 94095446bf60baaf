from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import replay
from engine.errors import DataUnavailable
from engine.record.formats import content_hash
from engine.record.run_folder import RunFolder
from engine.record.sealed_limits import config_of
from engine.risk import RULE_BOOK, Rule
from engine.risk.config import RiskConfig
from engine.risk.evaluation import judged
from engine.run.decide import decisions_of
from engine.run.risk_inputs import inputs_of
from engine.run.stages import finish
from tests.desk import Desk, on, order, outcomes, reasons, statuses

Read = Callable[[], Any]


class Store:
    """Positions and counts that say, or raise, what a test wants."""

    place = "a test's store"

    def __init__(self, *, positions: Read | None = None, trades: Read | None = None) -> None:
        self._positions = positions or (lambda: frame("broker_account_id", "symbol", "qty"))
        self._trades = trades or (lambda: frame("broker_account_id", "trades"))

    def positions(
        self, accounts: Sequence[str], *, as_of: pd.Timestamp, max_age_s: float | None = None
    ) -> Any:
        return self._positions()

    def trade_counts(self, accounts: Sequence[str], trading_date: date) -> Any:
        return self._trades()


def frame(*columns: str, rows: Sequence[Sequence[object]] = ()) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns))


def raising(error: Exception) -> Read:
    def read() -> Any:
        raise error

    return read


def decisions(folder: RunFolder) -> pd.DataFrame:
    found: pd.DataFrame = folder.table("decisions.parquet").to_pandas()
    return found


def checks(folder: RunFolder, rule: str) -> list[str]:
    return [str(verdict) for verdict in decisions(folder)[f"check_{rule}"]]


def run_with(desk: Desk, config: RiskConfig | None = None, **reads: Read) -> RunFolder:
    store = Store(**reads)
    return desk.run(config, context=desk.context(positions=store, ledger=store))


# --- data that can't be had

DOWN: dict[str, Read] = {
    "the store says so": raising(DataUnavailable("the database is down")),
    "it raises": raising(ConnectionError("refused")),
    "it times out": raising(TimeoutError("after 5 s")),
    "it gives nothing": lambda: None,
    "it gives a list": lambda: [1, 2, 3],
    "columns are missing": lambda: frame("account", rows=[["paper"]]),
    "numbers are text": lambda: frame(
        "broker_account_id", "symbol", "qty", "trades", rows=[["paper", "SPY", "many", "many"]]
    ),
    "keys are numbers": lambda: frame("broker_account_id", "symbol", "qty", "trades", rows=[[1, 2, 3, 4]]),
}


@pytest.mark.parametrize("down", DOWN)
def test_without_positions_orders_are_refused_and_the_run_ends_with_results(desk: Desk, down: str) -> None:
    desk.drop("a.json", order(), order(side="sell"))
    run = run_with(desk, positions=DOWN[down])
    assert outcomes(run) == [("rejected", "risk_data_unavailable")] * 2
    assert checks(run, "max_position_size_exceeded") == ["unavailable"] * 2
    assert checks(run, "max_daily_trades_exceeded") == ["pass"] * 2
    assert run.json("manifest.json")["exit_code"] == 0


@pytest.mark.parametrize("down", DOWN)
def test_without_counts_orders_are_refused_and_the_run_ends_with_results(desk: Desk, down: str) -> None:
    desk.drop("a.json", order())
    run = run_with(desk, trades=DOWN[down])
    assert outcomes(run) == [("rejected", "risk_data_unavailable")]
    assert checks(run, "max_daily_trades_exceeded") == ["unavailable"]
    assert checks(run, "max_position_size_exceeded") == ["pass"]


def test_with_both_sources_down_the_run_still_ends_with_results(desk: Desk) -> None:
    desk.drop("a.json", order())
    run = run_with(desk, positions=DOWN["it raises"], trades=DOWN["it raises"])
    assert outcomes(run) == [("rejected", "risk_data_unavailable")]
    assert run.json("manifest.json")["exit_code"] == 0


def test_the_run_records_which_data_was_unavailable_and_why(desk: Desk) -> None:
    run = run_with(
        desk, positions=raising(DataUnavailable("the database is down")), trades=raising(KeyError("x"))
    )
    assert run.json("inputs.json")["unavailable"] == {
        "positions": "the database is down",
        "daily_trades": "KeyError: 'x'",
    }
    assert {"positions.parquet", "daily_trades.parquet"}.isdisjoint(run.names())
    events = desk.events("risk_data_unavailable")
    assert [(event["source"], event["severity"]) for event in events] == [
        ("positions", "ERROR"),
        ("daily_trades", "ERROR"),
    ]


def test_what_was_unavailable_is_no_empty_book_when_it_is_read_again(desk: Desk) -> None:
    run = run_with(desk, positions=DOWN["it raises"])
    inputs = inputs_of(run)
    assert inputs.positions is None
    assert inputs.daily_trades is not None
    assert len(inputs.daily_trades) == 0


@pytest.mark.parametrize("content", [b"", b"garbage", b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_damaged_engine_db_is_unavailable_and_no_empty_book(desk: Desk, content: bytes) -> None:
    desk.data.mkdir()
    desk.store.path.write_bytes(content)
    desk.drop("a.json", order())
    run = desk.run()
    assert outcomes(run) == [("rejected", "risk_data_unavailable")]
    assert sorted(run.json("inputs.json")["unavailable"]) == ["daily_trades", "positions", "trading_states"]


def test_an_engine_db_that_is_a_directory_is_unavailable(desk: Desk) -> None:
    desk.store.path.mkdir(parents=True)
    desk.drop("a.json", order())
    assert reasons(desk.run()) == ["risk_data_unavailable"]


@pytest.mark.parametrize(
    "rows",
    [
        [["paper", "SPY", np.nan]],
        [["paper", "SPY", None]],
        [["paper", "SPY", np.inf]],
        [["paper", "SPY", 2e10]],
        [["paper", "SPY", 1.0], ["paper", "SPY", 1.0]],
    ],
)
def test_a_position_that_says_nothing_usable_refuses_its_symbol_alone(
    desk: Desk, rows: list[list[object]]
) -> None:
    desk.drop("a.json", order(), order(symbol="QQQ"))
    run = run_with(desk, positions=lambda: frame("broker_account_id", "symbol", "qty", rows=rows))
    assert reasons(run) == ["risk_data_unavailable", "ok"]


@pytest.mark.parametrize("trades", [np.nan, -1, 1.5, np.inf])
def test_a_count_that_is_none_refuses_its_account_alone(desk: Desk, trades: float) -> None:
    desk.drop("a.json", order(), order(broker_account_id="other"))
    run = run_with(desk, trades=lambda: frame("broker_account_id", "trades", rows=[["paper", trades]]))
    assert reasons(run) == ["risk_data_unavailable", "ok"]


def test_positions_that_are_too_old_are_unavailable(desk: Desk) -> None:
    desk.hold(SPY=0)
    desk.later(seconds=61)
    desk.drop("a.json", order())
    assert reasons(desk.run(EXEC_POSITIONS_MAX_AGE_S="60")) == ["risk_data_unavailable"]
    desk.drop("a.json", order())
    assert reasons(desk.run()) == ["ok"]


# --- fail open


def test_fail_open_skips_the_rule_whose_source_is_down_and_says_so(desk: Desk) -> None:
    desk.drop("a.json", order(qty=500))
    run = run_with(desk, RiskConfig(fail_open=True), positions=DOWN["it raises"])
    assert outcomes(run) == [("dry_run", "ok")]
    assert checks(run, "max_position_size_exceeded") == ["unavailable"]


def test_fail_open_leaves_the_other_rules_in_force(desk: Desk) -> None:
    desk.trade("1", "2")
    desk.drop("a.json", order())
    config = RiskConfig(fail_open=True, max_daily_trades=2)
    run = desk.run(config, context=desk.context(positions=Store(positions=DOWN["it raises"])))
    assert reasons(run) == ["max_daily_trades_exceeded"]


def test_fail_open_refuses_by_a_rule_that_raises_all_the_same(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_raising_rule(monkeypatch, "intent_expired")
    desk.drop("a.json", order())
    assert reasons(desk.run(RiskConfig(fail_open=True))) == ["risk_data_unavailable"]


# --- a rule that raises


def use_raising_rule(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Make one rule of the book raise in every run."""

    def judge(*_: object) -> Any:
        raise ZeroDivisionError("a fault in the rule")

    book: tuple[Rule, ...] = tuple(
        replace(rule, judge=judge) if rule.name == name else rule for rule in RULE_BOOK
    )
    monkeypatch.setattr(
        "engine.run.decide.judged", lambda intents, inputs, config: judged(intents, inputs, config, book)
    )


def test_a_rule_that_raises_refuses_its_rows_and_the_run_goes_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_raising_rule(monkeypatch, "account_not_configured")
    desk.drop("a.json", order(), order(qty=500))
    run = desk.run()
    assert outcomes(run) == [("rejected", "risk_data_unavailable")] * 2
    assert run.json("manifest.json")["exit_code"] == 0
    (event,) = desk.events("rule_raised")
    assert (event["severity"], event["rule"]) == ("CRITICAL", "account_not_configured")
    assert "a fault in the rule" in event["message"]


# --- what a batch is judged by


def test_positions_and_trades_of_the_stores_are_what_orders_are_judged_by(desk: Desk) -> None:
    desk.hold(SPY=99)
    desk.trade("1")
    desk.drop(
        "a.json",
        *[order(symbol=one, client_intent_id=f"{one}-{i}") for one in ("SPY", "QQQ") for i in (1, 2)],
    )
    run = desk.run(RiskConfig(max_daily_trades=3))
    assert reasons(run) == ["ok", "max_position_size_exceeded", "ok", "max_daily_trades_exceeded"]
    assert decisions(run)["trades_today"].tolist() == [1, 2, 2, 3]
    assert decisions(run)["projected_qty"].tolist() == [100, 101, 1, 2]


def test_two_accounts_are_judged_by_their_own_books(desk: Desk) -> None:
    desk.hold(SPY=100)
    desk.drop("a.json", order(), order(broker_account_id="other"))
    assert reasons(desk.run()) == ["max_position_size_exceeded", "ok"]


def test_trades_of_another_session_do_not_count(desk: Desk) -> None:
    desk.trade("1", "2", session="2026-02-27")
    desk.drop("a.json", order())
    assert reasons(desk.run(RiskConfig(max_daily_trades=2))) == ["ok"]


def test_a_document_that_cant_be_counted_refuses_the_orders_of_its_account_alone(desk: Desk) -> None:
    desk.trade("1", "2")
    with closing(sqlite3.connect(desk.store.path)) as connection, connection:
        connection.execute("UPDATE ledger_trades SET trading_date = '20260302' WHERE broker_order_id = '1'")
    desk.drop("a.json", order(), order(broker_account_id="b"))
    folder = desk.run(RiskConfig(max_daily_trades=2))
    reason_of = decisions(folder).set_index("client_intent_id")["reason"]
    batch = folder.table("intents.parquet").to_pandas().set_index("client_intent_id")
    assert reason_of.groupby(batch["broker_account_id"]).first().to_dict() == {
        "paper": "risk_data_unavailable",
        "b": "ok",
    }
    (said,) = desk.events("risk_data_unavailable")
    assert "Ledger document '1' can't be counted: trading_date is '20260302'" in said["message"]


def test_each_store_is_asked_once_for_all_accounts_of_the_batch(desk: Desk) -> None:
    asked: list[tuple[str, list[str]]] = []

    class Counting(Store):
        def positions(
            self, accounts: Sequence[str], *, as_of: pd.Timestamp, max_age_s: float | None = None
        ) -> Any:
            asked.append(("positions", list(accounts)))
            return super().positions(accounts, as_of=as_of)

        def trade_counts(self, accounts: Sequence[str], trading_date: date) -> Any:
            asked.append(("trades", list(accounts)))
            return super().trade_counts(accounts, trading_date)

    desk.drop("a.json", order(), order(broker_account_id="b"), order(broker_account_id="a", symbol="QQQ"))
    store = Counting()
    desk.run(context=desk.context(positions=store, ledger=store))
    assert asked == [("positions", ["a", "b", "paper"]), ("trades", ["a", "b", "paper"])]


def test_a_dry_run_has_no_working_orders(desk: Desk) -> None:
    desk.drop("a.json", order(qty=100))
    desk.run()
    desk.drop("b.json", order(qty=100, client_intent_id="x"))
    run = desk.run()
    assert reasons(run) == ["ok"]
    assert run.table("working_orders.parquet").num_rows == 0


def test_the_snapshot_says_when_it_was_read_and_how_the_kill_switch_was(desk: Desk) -> None:
    folder = desk.begin()
    desk.later(seconds=5)
    finish(folder, desk.context(kill_switch=on))
    sealed = folder.json("inputs.json")
    assert (sealed["kill_switch"], sealed["kill_switch_why"]) == (True, on().why)
    assert sealed["read_at"] == desk.now.isoformat()


def test_no_cell_of_the_decisions_is_empty(desk: Desk) -> None:
    for run in (busy_run(desk), run_with(desk, positions=DOWN["it raises"])):
        table = decisions(run)
        figures = ["current_qty", "projected_qty", "position_limit_qty", "trades_today", "trades_limit"]
        assert not table.drop(columns=figures).isna().any().any()


# --- decided again


def busy_run(desk: Desk, config: RiskConfig | None = None) -> RunFolder:
    """Do a run that has a bit of everything."""
    desk.hold(SPY=60, QQQ=-40)
    desk.trade("1")
    valid_until = "2026-03-02T16:59:59Z"
    desk.drop("a.csv", order(qty="39.999999999"), order(qty=1), order(qty="0.000000001"), order(qty=0))
    desk.drop(
        "b.json", order(symbol="QQQ", side="sell", qty=60.5), order(symbol="QQQ", valid_until=valid_until)
    )
    desk.drop("c.json", order(notional=100, qty=None), order(symbol="IWM", broker_account_id="other"))
    desk.drop("d.json", order(client_intent_id="x"), order(client_intent_id="x", symbol="DIA"))
    desk.drop("e.json", order(action="cancel", target_intent_id="x", symbol=None, side=None, qty=None))
    return desk.run(config)


CONFIGS = {
    "default": RiskConfig(),
    "net": RiskConfig(position_projection="net"),
    "fail open": RiskConfig(fail_open=True),
    "few trades": RiskConfig(max_daily_trades=2),
    "one account": RiskConfig(accounts=frozenset({"paper"}), intent_max_age_s=3600.5),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_recorded_batch_is_decided_again_as_it_was_value_for_value(desk: Desk, name: str) -> None:
    run = busy_run(desk, CONFIGS[name])
    elsewhere = RunFolder(run.objects, run.trading_date, run.run_id)
    again = decisions_of(elsewhere, config_of(elsewhere), inputs_of(elsewhere))
    recorded = elsewhere.table("decisions.parquet")
    assert content_hash(pa.Table.from_pandas(again, preserve_index=False)) == content_hash(recorded)
    assert len(again) == 9
    assert again["reason"].nunique() >= 2


def test_a_recorded_batch_is_decided_otherwise_with_other_limits(desk: Desk) -> None:
    run = busy_run(desk)
    other = decisions_of(run, RiskConfig(max_position_qty=0), inputs_of(run))
    assert content_hash(pa.Table.from_pandas(other, preserve_index=False)) != content_hash(
        run.table("decisions.parquet")
    )


def test_a_batch_whose_data_was_unavailable_is_decided_again_as_it_was(desk: Desk) -> None:
    desk.drop("a.json", order())
    run = run_with(desk, positions=DOWN["it raises"])
    again = decisions_of(run, config_of(run), inputs_of(run))
    assert again["reason"].tolist() == ["risk_data_unavailable"]


@pytest.mark.parametrize("name", CONFIGS)
def test_the_limits_are_read_back_as_they_were(desk: Desk, name: str) -> None:
    assert config_of(desk.begin(CONFIGS[name])) == CONFIGS[name]


def test_the_batch_is_not_changed_by_judging_it(desk: Desk) -> None:
    run = busy_run(desk)
    before = content_hash(run.table("intents.parquet"))
    decisions_of(run, config_of(run), inputs_of(run))
    assert content_hash(run.table("intents.parquet")) == before


# --- events


def test_every_decision_is_logged_with_every_verdict(desk: Desk) -> None:
    desk.drop("a.json", order(), order(qty=500))
    run = desk.run()
    events = desk.events("risk_decision")
    ids = run.table("intents.parquet")["client_intent_id"].to_pylist()
    assert [(event["intent_id"], event["allowed"], event["reason"]) for event in events] == [
        (ids[0], True, "ok"),
        (ids[1], False, "max_position_size_exceeded"),
    ]
    assert all(set(event["checks"]) == {rule.name for rule in RULE_BOOK} for event in events)
    assert statuses(run) == ["dry_run", "rejected"]


def test_a_store_below_a_path_that_is_a_file_is_unavailable(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = type(desk.store)(tmp_path / "file" / "engine.db")
    desk.drop("a.json", order())
    run = desk.run(context=desk.context(positions=store, ledger=store))
    assert reasons(run) == ["risk_data_unavailable"]


def test_a_file_that_is_too_long_is_refused_and_the_others_of_its_run_are_not(desk: Desk) -> None:
    desk.drop("long.jsonl", *[order(client_intent_id=f"long-{nth}") for nth in range(3)])
    desk.drop("short.jsonl", *[order(client_intent_id=f"short-{nth}") for nth in range(2)])
    folder = desk.run(RiskConfig(max_batch_orders=2))
    assert reasons(folder) == ["max_batch_orders_exceeded"] * 3 + ["ok"] * 2
    assert replay.replay(desk.data).differences == 0
