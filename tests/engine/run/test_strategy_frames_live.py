"""The frames by strategy in live runs at a simulated broker, and the identity over them in the manifest."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
import pytest

from engine import DryRunBroker, ExecutionEngine, OrderIntent, RiskConfig, RiskManager
from engine.accounts.other_folders import SharedOrders
from engine.api import engine as api
from engine.api.rehearsal import rehearse_collecting, rehearse_deciding
from engine.ledger.strategies import IDENTITY, StrategyBook
from engine.record.run_folder import RunFolder
from engine.risk import evaluate
from engine.run import input_sources
from engine.stores.embedded.store import EmbeddedStore
from tests.desk import Desk, Row, content_of, order
from tests.engine.routing.trading import TradingDesk, exit_code, identities
from tests.engine.stores.trades import bought

RESTING: Row = {"order_type": "limit", "limit_price": 50}
UNIT = 1_000_000_000
UNTRAILED = (None, None, None)
"""The trail's price and percent, and the remaining notional, of an order that has none of them."""


@pytest.fixture(autouse=True)
def _needed(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = frozenset({"strategy_positions", "strategy_trades", "working_order_terms"})
    monkeypatch.setattr(input_sources, "frames_needed", lambda _: frames)


@pytest.fixture
def desk(tmp_path: Path) -> TradingDesk:
    return TradingDesk(tmp_path / "data")


def rows(run: RunFolder, name: str) -> list[tuple[Any, ...]]:
    """Return the rows of a recorded frame, without the account."""
    return [
        tuple(value for column, value in row.items() if column != "broker_account_id")
        for row in run.table(f"{name}.parquet").to_pylist()
    ]


def looked(desk: TradingDesk, *strategies: str) -> RunFolder:
    """Run a batch of all strategies that changes nothing: far-off limit orders, one share each."""
    wanted = [
        order(strategy_id=name, symbol="IWM", client_intent_id=f"looks-{name}", **RESTING)
        for name in strategies
    ]
    desk.drop("looks.json", *wanted)
    return desk.live()


def test_each_strategy_has_its_own_fills_and_not_what_was_there_before(desk: TradingDesk) -> None:
    desk.place_by_hand(symbol="SPY", qty="90")
    desk.tick(5)
    desk.drop(
        "a.json",
        order(strategy_id="carry", qty=30),
        order(strategy_id="momentum", symbol="QQQ", side="sell", qty=20),
        order(strategy_id="momentum", qty=5),
    )
    desk.live()
    run = looked(desk, "carry", "momentum", "new")
    assert rows(run, "strategy_positions") == [
        ("carry", "SPY", 30.0),
        ("momentum", "QQQ", -20.0),
        ("momentum", "SPY", 5.0),
    ]
    assert sorted(rows(run, "strategy_trades")) == [
        ("carry", "SPY", 1.0),
        ("momentum", "QQQ", 1.0),
        ("momentum", "SPY", 1.0),
    ]
    assert identities(run)[IDENTITY]
    (found,) = [one for one in run.json("manifest.json")["identities"] if one["name"] == IDENTITY]
    assert (found["left"], found["right"]) == ((125 + 20) * UNIT, (125 + 20) * UNIT)
    assert exit_code(run) == 0


def test_working_orders_have_strategy_and_terms_and_one_by_hand_has_no_strategy(desk: TradingDesk) -> None:
    desk.one(strategy_id="carry", qty=60, **RESTING)
    desk.fill("one", 20)
    desk.place_by_hand(symbol="QQQ", qty="7", type="stop", side="sell", stop_price="40")
    run = looked(desk, "carry")
    assert sorted(rows(run, "working_order_terms")) == [
        ("QQQ", None, "sell", 7.0, "stop", None, 40.0, *UNTRAILED),
        ("SPY", "carry", "buy", 40.0, "limit", 50.0, None, *UNTRAILED),
    ]
    assert rows(run, "strategy_positions") == [("carry", "SPY", 20.0)]
    assert rows(run, "strategy_trades") == []  # the order works: it is one trade


def test_the_exits_of_a_group_are_of_its_strategy(desk: TradingDesk) -> None:
    exits: Row = {"take_profit_limit_price": 1500, "stop_loss_stop_price": 40}
    desk.one(strategy_id="carry", qty=30, order_class="bracket", time_in_force="gtc", **exits)
    desk.tick(5)
    run = looked(desk, "carry")
    assert rows(run, "working_order_terms") == [
        ("SPY", "carry", "sell", 30.0, "limit", 1500.0, None, *UNTRAILED)
    ]


def test_an_order_of_unknown_outcome_has_the_terms_of_its_intent(desk: TradingDesk) -> None:
    desk.arm("error_before", method="POST", path="/v2/orders", times=None)
    assert desk.one(strategy_id="carry", qty=60, **RESTING)["status"] == "unresolved"
    desk.disarm()
    run = looked(desk, "carry")
    assert rows(run, "working_order_terms") == [
        ("SPY", "carry", "buy", 60.0, "limit", 50.0, None, *UNTRAILED)
    ]


class Shared(TradingDesk):
    """A desk whose stores are another's: two data folders, one account, one ledger."""

    first: TradingDesk

    @property
    def store(self) -> EmbeddedStore:
        return self.first.store


def test_an_order_that_another_data_folder_left_open_is_of_its_strategy(
    desk: TradingDesk, tmp_path: Path
) -> None:
    desk.one(strategy_id="carry", qty=60, **RESTING)
    second = Shared(tmp_path / "elsewhere", simulator=desk.simulator)
    second.first, second.now = desk, desk.now
    run = looked(second, "carry")
    assert rows(run, "working_order_terms") == [
        ("SPY", "carry", "buy", 60.0, "limit", 50.0, None, *UNTRAILED)
    ]


def test_what_an_earlier_version_left_open_elsewhere_is_of_no_known_strategy(desk: TradingDesk) -> None:
    kept = {"sending": {}, "open": {"f00/runs/2026-03-02/r/": ["one", "two"]}}
    with desk.venue() as venue:
        desk.store.replace_agent_document(f"orders-{venue.key}", kept, replacing=None)
        found = SharedOrders(venue).resting_elsewhere(desk.context().objects)
    assert found == {"one": "", "two": ""}


def test_a_run_in_which_the_strategies_do_not_add_up_says_so_and_decides_nothing_by_them(
    desk: TradingDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.one(strategy_id="carry", qty=30)
    wrong = StrategyBook({("carry", "SPY"): 29 * UNIT}, {"SPY": 30 * UNIT})
    monkeypatch.setattr(EmbeddedStore, "strategy_book", lambda *_, **__: wrong)
    run = looked(desk, "carry")
    assert rows(run, "strategy_positions") == [(None, None, None)]
    assert not identities(run)[IDENTITY]
    assert exit_code(run) == 4
    events = [json.loads(line) for line in desk.logged.getvalue().splitlines()]
    assert [one["identity"] for one in events if one["event"] == "identity_failed"] == [IDENTITY]


def test_a_dry_run_has_the_strategies_books_from_the_ledger_and_no_working_orders(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    yesterday = (desk.now - timedelta(days=3)).date().isoformat()
    desk.store.write_ledger(
        [
            bought("o-1", "SPY", 30, strategy_id="carry"),
            bought("o-2", "SPY", -10, strategy_id="momentum", trading_date=yesterday),
        ]
    )
    desk.hold(SPY=1)
    desk.drop("a.json", order(strategy_id="carry"), order(strategy_id="momentum"))
    run = desk.run()
    assert rows(run, "strategy_positions") == [("carry", "SPY", 30.0), ("momentum", "SPY", -10.0)]
    assert rows(run, "strategy_trades") == [("carry", "SPY", 1.0)]
    assert rows(run, "working_order_terms") == []
    assert identities(run)[IDENTITY]
    assert desk.store.sync_mark("paper") is None


# --- one intent at a time, and rehearsals


def test_of_an_engine_for_single_intents_what_it_allowed_before_works_with_its_terms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXEC_DATA_DIR", str(tmp_path))
    engine = ExecutionEngine(broker=DryRunBroker(), broker_name="alpaca", dry_run=True)
    plain: dict[str, Any] = {"broker_account_id": "paper", "symbol": "spy", "side": "buy", "qty": 2}
    engine.execute_intent(intent=OrderIntent(strategy_id="carry", **plain, **RESTING))
    with patch.object(api, "evaluate", wraps=evaluate) as gate:
        engine.execute_intent(intent=OrderIntent(strategy_id="momentum", **plain))
    terms = gate.call_args.args[1].working_order_terms
    (row,) = terms.astype(object).where(terms.notna(), None).itertuples(index=False, name=None)
    assert row == ("paper", "SPY", "buy", 2.0, "carry", "limit", 50.0, None, *UNTRAILED)
    assert gate.call_args.args[1].working_orders["remaining_qty"].tolist() == [2.0]


def test_working_orders_that_are_handed_in_without_terms_are_of_no_strategy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXEC_DATA_DIR", str(tmp_path))
    working = pd.DataFrame([order(qty=None, remaining_qty=60, strategy_id=None)])
    intent = OrderIntent(strategy_id="s", broker_account_id="paper", symbol="SPY", side="buy", qty=1)
    with patch.object(api, "evaluate", wraps=evaluate) as gate:
        RiskManager().validate(intent=intent, working_orders=working)
    terms = gate.call_args.args[1].working_order_terms
    assert (terms["remaining_qty"].tolist(), terms["strategy_id"].isna().tolist()) == ([60], [True])


def test_a_rehearsal_of_a_live_run_takes_the_terms_of_what_was_left_open(desk: TradingDesk) -> None:
    desk.one(strategy_id="carry", qty=60, **RESTING)
    files = [("a.jsonl", content_of("a.jsonl", [order(strategy_id="carry")]))]
    settings = desk.settings(EXEC_DRY_RUN="0", AGENT_MODE="LIVE", EXEC_STORE="embedded")
    folder, _ = rehearse_collecting(files, settings, RiskConfig(), desk.context())
    rehearse_deciding(folder, desk.context())
    assert rows(folder, "working_order_terms") == [
        ("SPY", "carry", "buy", 60.0, "limit", 50.0, None, *UNTRAILED)
    ]
    assert rows(folder, "strategy_trades") == []
