"""Refusals in a row, over runs: when a strategy is latched, by which run, and for what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import EngineError
from engine.model.schema import inputs_schemas
from engine.record.run_folder import RESULTS, RunFolder
from engine.risk.config import RiskConfig
from engine.risk.levels import ALL, STRATEGY, Level, Scope
from engine.run import in_a_row, input_sources, latching
from engine.run.in_a_row import COUNTS, ENDS, NOT_COUNTED, events_of, leading, longest, trailing
from engine.run.reading import Reading
from engine.run.stages import finish
from engine.safety.latches import KeptLatches
from engine.safety.trading_states import Scope as Stopped
from engine.safety.trading_states import Scoped
from tests.desk import Desk, order, outcomes
from tests.engine.risk.limits_file.files import of_book

LARGE = {"qty": 500}
"""A quantity beyond the position limit."""
REPEATS, THROTTLE = "max_refusals_in_a_row", "max_broker_rejects_in_a_row"
Limits = Callable[..., None]


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Limits:
    """Set limits in a row for all runs: a number for everyone, or levels."""

    def set_limits(**said: Any) -> None:
        levels = {
            key: (Level(ALL, "[limits]", Scope(), value),) if isinstance(value, int) else value
            for key, value in said.items()
        }
        monkeypatch.setattr(latching, "_levels", lambda config, key: levels.get(key, ()))

    return set_limits


def run(desk: Desk, *orders: dict[str, Any]) -> RunFolder:
    """Run a batch of orders in this order, each of which is another one."""
    name = f"{desk.now:%d%H%M%S}"
    rows = [order(client_intent_id=f"{name}-{place}", **one) for place, one in enumerate(orders)]
    desk.drop(f"{name}.json", *rows)
    return desk.run()


def latched(desk: Desk, mode: str = "dry") -> list[tuple[str, str]]:
    return [(latch.of.name, latch.rule) for latch in desk.latches(mode).read().latches]


# --- losses of accounts


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set what the broker's figures of all accounts are, and a quote of SPY."""

    def set_figures(*, cash: float, start: float, peak: float, bid: float = 50.0) -> None:
        def of_accounts(reading: Reading) -> pd.DataFrame:
            row = {"cash": cash, "start_equity": start, "peak_equity": peak}
            rows = [{"broker_account_id": account} | row for account in reading.accounts]
            return pd.DataFrame(rows, columns=inputs_schemas()["account_figures"].names)

        def quotes(reading: Reading) -> pd.DataFrame:
            row = {"symbol": "SPY", "bid": bid, "ask": bid + 1, "quote_at": reading.as_of, "verdict": "ok"}
            return pd.DataFrame([row], columns=inputs_schemas()["prices"].names)

        sources = {**input_sources.SOURCES, "account_figures": of_accounts, "prices": quotes}
        monkeypatch.setattr(input_sources, "SOURCES", sources)

    return set_figures


LOSS = RiskConfig(max_daily_loss_usd=500, limits_file=of_book("[account.paper]\nmax_drawdown_usd = 300"))


def loss_run(desk: Desk) -> tuple[str, str]:
    """Run a buy and a sell, and return their reasons."""
    name = f"{desk.now:%d%H%M%S}"
    orders = [order(client_intent_id=f"{name}-{side}", side=side, qty=5) for side in ("buy", "sell")]
    desk.drop(f"{name}.json", *orders)
    buy, sell = desk.run(LOSS, EXEC_PRICES="alpaca").table("decisions.parquet")["reason"].to_pylist()
    return buy, sell


def test_a_loss_at_its_limit_stops_the_account_until_it_is_enabled(
    desk: Desk, figures: Callable[..., None]
) -> None:
    desk.hold(SPY=10)
    figures(cash=1000, start=2000, peak=2000)
    assert loss_run(desk) == ("daily_loss_limit_reached", "ok")
    (latch,) = desk.latches("dry").read().latches
    assert (str(latch.of), latch.rule) == ("account paper", "daily_loss_limit_reached")
    assert latch.why == "500.00 USD lost since the day's start, limit 500.00 USD"
    figures(cash=1000, start=2000, peak=2000, bid=90.0)
    assert loss_run(desk) == ("daily_loss_limit_reached", "ok"), "it recovered, and stays stopped"
    desk.latches("dry").enable(latch.of, why="looked at it")
    assert loss_run(desk) == ("ok", "ok")
    assert desk.latches("dry").read().latches == ()


def test_a_fall_from_the_peak_is_latched_by_the_level_of_its_account(
    desk: Desk, figures: Callable[..., None]
) -> None:
    figures(cash=1000, start=1000, peak=1299.999999)
    assert loss_run(desk) == ("ok", "ok")
    figures(cash=1000, start=1000, peak=1300)
    assert loss_run(desk)[0] == "daily_loss_limit_reached"
    (latch,) = desk.latches("dry").read().latches
    assert latch.why == "300.00 USD lost since the session's peak, limit 300.00 USD"


def test_an_unknown_loss_stops_no_account_and_refuses_what_opens(
    desk: Desk, figures: Callable[..., None]
) -> None:
    desk.hold(SPY=10)
    figures(cash=float("nan"), start=2000, peak=2000)
    assert loss_run(desk) == ("risk_data_unavailable", "ok")
    assert desk.latches("dry").read().latches == ()


# --- over runs


def test_a_strategy_is_latched_once_so_many_of_its_orders_were_refused_in_a_row(
    desk: Desk, limits: Limits
) -> None:
    limits(**{REPEATS: 3})
    run(desk, LARGE, LARGE)
    assert latched(desk) == []
    third = run(desk, LARGE)
    assert latched(desk) == [("momentum", "strategy_repeats")]
    (latch,) = desk.latches().read().latches
    assert (latch.run_id, latch.why) == (
        third.run_id,
        "3 orders were refused by the rule book in a row in account paper, limit 3",
    )


def test_an_order_that_is_allowed_ends_the_row(desk: Desk, limits: Limits) -> None:
    limits(**{REPEATS: 3})
    run(desk, LARGE, LARGE, {}, LARGE)
    run(desk, LARGE, {"symbol": "QQQ"}, LARGE)
    assert latched(desk) == []
    run(desk, LARGE, LARGE)
    assert latched(desk) == [("momentum", "strategy_repeats")]


def test_a_row_that_an_allowed_order_ended_afterwards_counts(desk: Desk, limits: Limits) -> None:
    limits(**{REPEATS: 2})
    run(desk, LARGE)
    run(desk, LARGE, {})
    assert latched(desk) == [("momentum", "strategy_repeats")]


def test_rows_are_counted_by_strategy_and_by_account(desk: Desk, limits: Limits) -> None:
    limits(**{REPEATS: 2})
    run(desk, LARGE, {**LARGE, "strategy_id": "value"}, {**LARGE, "broker_account_id": "other"})
    assert latched(desk) == []
    run(desk, {"strategy_id": "value"}, {**LARGE, "broker_account_id": "other"})
    assert latched(desk) == [("momentum", "strategy_repeats")]


def test_refusals_before_the_strategy_was_enabled_count_no_more(desk: Desk, limits: Limits) -> None:
    limits(**{REPEATS: 2})
    run(desk, LARGE)
    desk.latches().enable(Scoped(Stopped.STRATEGY, "momentum"), why="corrected")
    desk.later(seconds=1)
    run(desk, LARGE)
    assert latched(desk) == []
    run(desk, LARGE)
    assert latched(desk) == [("momentum", "strategy_repeats")]


def test_runs_without_the_strategy_lie_in_between(desk: Desk, limits: Limits) -> None:
    limits(**{REPEATS: 2})
    run(desk, LARGE)
    run(desk, {"strategy_id": "value"})
    desk.later(days=1)
    run(desk, LARGE)
    assert latched(desk) == [("momentum", "strategy_repeats")]


def test_a_row_is_followed_back_over_so_many_runs(
    desk: Desk, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_a_row, "RUNS_AT_MOST", 1)
    limits(**{REPEATS: 2})
    run(desk, LARGE)
    run(desk, {"strategy_id": "value"})
    run(desk, LARGE)
    assert latched(desk) == []


def test_without_a_limit_nothing_is_latched_and_no_store_is_asked(desk: Desk) -> None:
    def refuse(mode: str) -> KeptLatches:
        raise AssertionError(mode)

    desk.drop("a.json", *(order(client_intent_id=f"o{n}", **LARGE) for n in range(9)))
    desk.run(context=desk.context(latches=refuse))


def test_the_smallest_limit_that_holds_for_the_strategy_counts(desk: Desk, limits: Limits) -> None:
    levels = (
        Level(ALL, "[limits]", Scope(), 5, except_in=(Scope(strategy="value"),)),
        Level(STRATEGY, "[strategy.momentum]", Scope(strategy="momentum"), 2),
        Level(STRATEGY, "[strategy.value]", Scope(strategy="value"), 9),
    )
    limits(**{REPEATS: levels})
    value, other = {**LARGE, "strategy_id": "value"}, {**LARGE, "strategy_id": "other"}
    run(desk, *[LARGE] * 2, *[value] * 6, *[other] * 5)
    assert latched(desk) == [("momentum", "strategy_repeats"), ("other", "strategy_repeats")]


def test_a_limit_of_0_stops_at_the_first_refusal(desk: Desk, limits: Limits) -> None:
    limits(**{REPEATS: 0})
    run(desk, {})
    assert latched(desk) == []
    run(desk, LARGE)
    assert latched(desk) == [("momentum", "strategy_repeats")]


@pytest.mark.parametrize(("limit", "expected"), [(2, [("momentum", "reject_throttle")]), (3, [])])
def test_a_strategy_is_latched_once_the_broker_rejected_so_many_of_its_orders(
    desk: Desk, limits: Limits, limit: int, expected: list[tuple[str, str]]
) -> None:
    limits(**{THROTTLE: limit})
    folder = run(desk, {}, {})
    answers = [{"status": "broker_rejected", "reason": "refused_by_broker"}] * 2
    latching.set_latches(folder, desk.context(), pa.Table.from_pylist(answers))
    assert latched(desk) == expected


def test_results_are_not_sealed_before_their_latches_and_a_resumed_run_sets_them(
    desk: Desk, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits(**{REPEATS: 1})
    desk.drop("a.json", order(**LARGE))
    folder = desk.begin()
    with monkeypatch.context() as patch:
        patch.setattr(KeptLatches, "set", _fails)
        with pytest.raises(EngineError, match="the store is down"):
            finish(folder, desk.context())
    assert RESULTS not in folder.names()
    finish(folder, desk.context())
    assert (latched(desk), outcomes(folder)[0][0]) == ([("momentum", "strategy_repeats")], "rejected")


def _fails(*_: object, **__: object) -> bool:
    raise EngineError("the store is down")


# --- what counts

ROW = {"broker_account_id": "paper", "strategy_id": "momentum", "action": "new"}


def events(*outcomes: tuple[str, str], action: str = "new") -> list[list[int]]:
    batch = pa.Table.from_pylist([{**ROW, "action": action}] * len(outcomes))
    results = pa.Table.from_pylist([{"status": status, "reason": reason} for status, reason in outcomes])
    found = events_of(batch, results)
    owner = ("paper", "momentum")
    return [list(map(int, of.get(owner, []))) for of in (found.by_broker, found.by_rule_book)]


@pytest.mark.parametrize(
    ("status", "reason", "by_broker", "by_rule_book"),
    [
        ("placed", "ok", ENDS, ENDS),
        ("dry_run", "ok", 0, ENDS),
        ("broker_rejected", "refused_by_broker", COUNTS, ENDS),
        ("broker_rejected", "not_accepted_by_venue", COUNTS, ENDS),
        ("halted", "kill_switch_enabled", 0, ENDS),
        ("expired", "decision_expired", 0, ENDS),
        ("unresolved", "outcome_unknown", 0, ENDS),
        ("rejected", "max_position_size_exceeded", 0, COUNTS),
        ("rejected", "duplicate_order", 0, COUNTS),
        *(("rejected", reason, 0, 0) for reason in sorted(NOT_COUNTED)),
    ],
)
def test_an_outcome_counts_or_ends_a_row(status: str, reason: str, by_broker: int, by_rule_book: int) -> None:
    assert events((status, reason)) == [[by_broker], [by_rule_book]]


def test_cancels_neither_count_nor_end_a_row() -> None:
    assert events(("rejected", "invalid_intent"), ("canceled", "ok"), action="cancel") == [[], []]


def test_rows_that_name_no_account_or_strategy_belong_to_none() -> None:
    batch = pa.Table.from_pylist([{**ROW, "strategy_id": None}, {**ROW, "broker_account_id": None}])
    results = pa.Table.from_pylist([{"status": "rejected", "reason": "invalid_intent"}] * 2)
    assert events_of(batch, results).by_rule_book == {}


@given(st.lists(st.sampled_from([COUNTS, ENDS, 0])), st.integers(0, 5))
def test_rows_are_as_long_as_the_runs_of_a_text(said: list[int], before: int) -> None:
    own = "".join({COUNTS: "x", ENDS: "|", 0: ""}[one] for one in said)
    first, *others = own.split("|")
    found = np.array(said, dtype=np.int64)
    rows = [before + len(first) if first else 0, *map(len, others)]
    assert longest(found, before=before) == max(rows), "a row that none of these extends is not theirs"
    assert leading(found) == len(own.split("|")[0])
    assert trailing(found) == (len(own.split("|")[-1]), "|" in own)
