"""Limits of a strategy, judged by what the sources say of its own book, trades and working orders."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from engine.ledger.strategies import IDENTITY
from engine.record.sealed_limits import config_of
from engine.risk import evaluate
from engine.risk.book import LIMITS
from engine.risk.config import RiskConfig
from engine.risk.inputs import RiskInputs
from engine.risk.levels import LimitsFile
from engine.risk.limits_file.parsing import parse_limits_file
from engine.run.decide import decisions_of
from engine.run.reading import Reading
from engine.run.risk_inputs import inputs_of
from engine.run.strategy_frames import strategy_positions, strategy_trades, working_order_terms
from tests.desk import NOON, Desk, order, reasons
from tests.engine.routing.trading import TradingDesk, identities
from tests.engine.stores.trades import bought

HEAD = 'version = 1\nowner = "risk"\nreview_by = 2099-01-01\nacknowledged_off = ["*"]\n'
PLENTY = "[limits]\nmax_position_qty = 1000000\nmax_daily_trades = 1000000\n"


def limits(text: str) -> LimitsFile:
    known = {limit.key: limit for limit in LIMITS}
    return parse_limits_file(HEAD + PLENTY + text, path="limits.toml", known=known)


def judged(desk: Desk, text: str, *rows: dict[str, Any]) -> list[str]:
    """Return the reasons for intents, judged by the ledger and by a limits file."""
    intents = pd.DataFrame([{"client_intent_id": f"i-{n}", **row} for n, row in enumerate(rows)])
    config = RiskConfig(limits_file=limits(text))
    context = desk.context()
    accounts, symbols, strategies = (
        sorted(intents[name].unique()) for name in ("broker_account_id", "symbol", "strategy_id")
    )
    reading = Reading(
        context=context,
        config=config,
        mode="dry",
        run_id="",
        as_of=pd.Timestamp(NOON),
        trading_date=NOON.date(),
        calendar="XNYS",
        accounts=accounts,
        symbols=symbols,
        strategies=strategies,
    )
    inputs = RiskInputs(
        as_of=pd.Timestamp(NOON),
        trading_date=NOON.date(),
        positions=desk.store.positions(accounts, as_of=pd.Timestamp(NOON)),
        daily_trades=desk.store.trade_counts(accounts, date(2026, 3, 2)),
        working_orders=pd.DataFrame(columns=["broker_account_id", "symbol", "side", "remaining_qty"]),
        strategy_positions=strategy_positions(reading),
        strategy_trades=strategy_trades(reading),
        working_order_terms=working_order_terms(reading),
    )
    return list(evaluate(intents, inputs, config)["reason"])


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


MOMENTUM = "[strategy.momentum]\nmax_position_qty = 20\n"
TOO_LARGE, TOO_MANY, UNKNOWN = (
    "max_position_size_exceeded",
    "max_daily_trades_exceeded",
    "risk_data_unavailable",
)


def test_a_position_limit_of_a_strategy_is_of_its_own_book(desk: Desk) -> None:
    desk.store.write_ledger([bought("o-1", "SPY", 15, strategy_id="momentum"), bought("o-2", "SPY", 500)])
    desk.hold(SPY=515)
    assert judged(desk, MOMENTUM, order(qty=6), order(qty=5), order(qty=1)) == [TOO_LARGE, "ok", TOO_LARGE]
    assert judged(desk, MOMENTUM, order(qty=600, strategy_id="carry")) == ["ok"]


def test_a_strategy_may_be_short_where_the_account_is_long(desk: Desk) -> None:
    desk.store.write_ledger([bought("o-1", "SPY", -15, strategy_id="momentum"), bought("o-2", "SPY", 500)])
    rows = order(side="sell", qty=6), order(side="sell", qty=5)
    assert judged(desk, MOMENTUM, *rows) == [TOO_LARGE, "ok"]


def test_a_strategy_whose_name_another_looks_like_is_unavailable_and_no_other_one(desk: Desk) -> None:
    desk.store.write_ledger([bought("o-1", "SPY", 15, strategy_id="Momentum")])
    text = MOMENTUM + "[strategy.carry]\nmax_position_qty = 20\n"
    assert judged(desk, text, order(), order(strategy_id="carry")) == [UNKNOWN, "ok"]


def test_an_account_that_cant_be_summed_is_unavailable_and_no_other_one(desk: Desk) -> None:
    desk.store.write_ledger([bought("o-1", "SPY", 15, strategy_id="momentum") | {"side": "BUY"}])
    assert judged(desk, MOMENTUM, order(), order(broker_account_id="second")) == [UNKNOWN, "ok"]


TRADES = "[strategy.momentum]\nmax_daily_trades = 2\n"


def test_a_trade_limit_of_a_strategy_counts_its_own_trades(desk: Desk) -> None:
    desk.store.write_ledger(
        [
            bought("o-1", "SPY", 1, strategy_id="momentum"),
            bought("o-2", "SPY", 1, strategy_id="carry"),
            bought("o-3", "QQQ", 1),
        ]
    )
    assert judged(desk, TRADES, order(symbol="QQQ"), order()) == ["ok", TOO_MANY]
    assert judged(desk, TRADES, *[order(strategy_id="carry")] * 3) == ["ok"] * 3


def test_a_trade_limit_of_a_symbol_counts_the_trades_of_all_strategies_and_of_none(desk: Desk) -> None:
    desk.store.write_ledger(
        [
            bought("o-1", "SPY", 1, strategy_id="momentum"),
            bought("o-2", "SPY", 1, strategy_id="carry"),
            bought("o-3", "SPY", 1),
            bought("o-4", "QQQ", 1),
        ]
    )
    text = "[symbol.SPY]\nmax_daily_trades = 4\n"
    rows = order(), order(), order(symbol="QQQ"), order(symbol="QQQ")
    assert judged(desk, text, *rows) == ["ok", TOO_MANY, "ok", "ok"]


def test_a_trade_limit_of_a_symbol_of_a_strategy_counts_both(desk: Desk) -> None:
    desk.store.write_ledger(
        [
            bought("o-1", "SPY", 1, strategy_id="momentum"),
            bought("o-2", "QQQ", 1, strategy_id="momentum"),
            bought("o-3", "SPY", 1, strategy_id="carry"),
        ]
    )
    text = "[strategy.momentum.symbol.SPY]\nmax_daily_trades = 2\n"
    assert judged(desk, text, order(), order(), order(symbol="QQQ")) == ["ok", TOO_MANY, "ok"]


def test_trades_of_a_strategy_whose_name_another_looks_like_are_unavailable(desk: Desk) -> None:
    desk.store.write_ledger([bought("o-1", "SPY", 1, strategy_id="MOMENTUM")])
    text = TRADES + "[strategy.carry]\nmax_daily_trades = 2\n"
    assert judged(desk, text, order(), order(strategy_id="carry")) == [UNKNOWN, "ok"]


def test_trades_of_an_account_in_doubt_are_unavailable_and_of_no_other_one(desk: Desk) -> None:
    desk.store.write_ledger([bought("o-1", "SPY", 1, strategy_id="momentum") | {"symbol": None}])
    assert judged(desk, TRADES, order(), order(broker_account_id="second")) == [UNKNOWN, "ok"]


# --- in runs


def config_with(text: str) -> RiskConfig:
    return RiskConfig(limits_file=limits(text), accounts=frozenset({"paper", "second"}))


def test_a_dry_run_judges_a_strategy_by_its_own_book_and_records_it(desk: Desk) -> None:
    desk.store.write_ledger([bought("o-1", "SPY", 15, strategy_id="momentum"), bought("o-2", "SPY", 500)])
    desk.drop("a.json", order(qty=6), order(qty=5), order(strategy_id="carry", qty=600))
    run = desk.run(config_with(MOMENTUM))
    assert reasons(run) == [TOO_LARGE, "ok", "ok"]
    assert run.table("strategy_positions.parquet").to_pylist() == [
        {"strategy_id": "momentum", "broker_account_id": "paper", "symbol": "SPY", "qty": 15.0}
    ]
    assert "strategy_trades.parquet" not in run.names()
    assert identities(run)[IDENTITY]


def test_a_run_without_a_limit_of_a_strategy_reads_none_of_it(desk: Desk) -> None:
    desk.drop("a.json", order())
    run = desk.run(config_with("[symbol.SPY]\nmax_position_qty = 5\n"))
    assert not {f"strategy_{name}.parquet" for name in ("positions", "trades")} & run.names()
    assert IDENTITY not in identities(run)


def test_a_live_run_judges_a_strategy_by_its_fills_and_its_working_orders(tmp_path: Path) -> None:
    desk = TradingDesk(tmp_path / "data")
    desk.place_by_hand(symbol="SPY", qty="500")
    desk.tick(5)
    desk.one(qty=10)
    resting = order(client_intent_id="rests", qty=6, order_type="limit", limit_price=50)
    desk.drop("rests.json", resting)
    desk.live()
    desk.drop("b.json", order(qty=5), order(qty=4), order(strategy_id="carry", qty=600))
    run = desk.live(config_with(MOMENTUM))
    assert reasons(run) == [TOO_LARGE, "ok", "ok"]
    assert identities(run)[IDENTITY]


def test_a_live_run_counts_a_strategys_trade_that_works_and_has_filled_in_part_once(tmp_path: Path) -> None:
    desk = TradingDesk(tmp_path / "data")
    desk.one(qty=60, order_type="limit", limit_price=50)
    desk.fill("one", 20)
    desk.drop("b.json", order(symbol="QQQ"), order(symbol="IWM"), order(symbol="IWM", strategy_id="carry"))
    assert reasons(desk.live(config_with(TRADES))) == ["ok", TOO_MANY, "ok"]


def test_a_working_order_of_a_name_that_looks_like_a_strategys_could_be_its_own(tmp_path: Path) -> None:
    desk = TradingDesk(tmp_path / "data")
    desk.one(strategy_id="MOMENTUM", order_type="limit", limit_price=50)
    desk.drop("b.json", order(), order(strategy_id="other"))
    run = desk.live(config_with("[strategy.momentum]\nmax_working_orders = 5\n"))
    assert reasons(run) == [UNKNOWN, "ok"]


def test_a_recorded_run_is_replayed_by_the_same_books(desk: Desk) -> None:
    desk.store.write_ledger([bought("o-1", "SPY", 15, strategy_id="momentum")])
    desk.drop("a.json", order(qty=6), order(qty=5))
    run = desk.run(config_with(MOMENTUM))
    desk.store.write_ledger([bought("o-2", "SPY", 100, strategy_id="momentum")])
    replayed = decisions_of(run, config_of(run), inputs_of(run))
    assert list(replayed["reason"]) == reasons(run) == [TOO_LARGE, "ok"]
