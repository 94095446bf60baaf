"""The frames by strategy: what a strategy holds and has traded, and what is unknown of it."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest

from engine.errors import AccountsInDoubt, DataUnavailable, EngineError
from engine.ledger.strategies import IDENTITY, StrategyBook
from engine.log import EventLog
from engine.model.schema import inputs_schemas
from engine.reconciliation.sync import Synced
from engine.reconciliation.working_orders import WorkingOrder, frame_of
from engine.run.reading import IDENTITIES, Reading
from engine.run.risk_inputs import as_recorded
from engine.run.strategy_frames import (
    strategy_positions,
    strategy_trades,
    traded_notional,
    working_order_terms,
)
from engine.stores.protocols import LedgerStore
from tests.desk import NOON, Desk

UNIT = 1_000_000_000
SESSION = NOON.date()


@dataclass
class Ledger:
    """A ledger of books and trades as they are given; an error in a book's place is raised."""

    books: Mapping[str, StrategyBook | Exception] = field(default_factory=dict)
    trades: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    doubted: tuple[str, ...] = ()

    def strategy_book(self, account: str, *, today: date | None = None) -> StrategyBook:
        assert today == SESSION
        found = self.books.get(account, StrategyBook())
        if isinstance(found, Exception):
            raise found
        return found

    def strategy_trade_counts(self, accounts: list[str], trading_date: date) -> pd.DataFrame:
        assert trading_date == SESSION
        if set(self.doubted) & set(accounts):
            raise AccountsInDoubt("'o-9' can't be counted", accounts=self.doubted)
        rows = [(*key, n) for key, n in self.trades.items() if key[1] in accounts]
        return pd.DataFrame(rows, columns=["strategy_id", "broker_account_id", "symbol", "trades"])

    def traded_notional(self, accounts: list[str], trading_date: date) -> pd.DataFrame:
        """Return a ledger's notional: 100.25 USD for each trade."""
        frame = self.strategy_trade_counts(accounts, trading_date)
        return frame.assign(notional=frame.pop("trades") * 100.25)


def book(*held: tuple[str, str, float]) -> StrategyBook:
    """Return the book of an account; the strategy "" is the rest."""
    of_account: dict[str, int] = {}
    for _, symbol, qty in held:
        of_account[symbol] = of_account.get(symbol, 0) + round(qty * UNIT)
    return StrategyBook({(strategy, symbol): round(qty * UNIT) for strategy, symbol, qty in held}, of_account)


def reading(ledger: Ledger, tmp_path: Path, logged: io.StringIO | None = None, **said: Any) -> Reading:
    log = EventLog(io.StringIO() if logged is None else logged)
    context = Desk(tmp_path).context(ledger=cast("LedgerStore", ledger), log=log)
    asked: dict[str, Any] = {
        "accounts": ["b", "paper"],
        "symbols": ["QQQ", "SPY"],
        "strategies": ["carry", "momentum"],
    }
    return Reading(
        context=context,
        config=cast("Any", None),
        mode="live",
        run_id="",
        as_of=pd.Timestamp(NOON),
        trading_date=SESSION,
        calendar="XNYS",
        **(asked | said),
    )


def synced(account: str, *orders: WorkingOrder, **said: Any) -> Synced:
    return Synced(
        account=account,
        positions=0,
        working_order_terms=frame_of(orders),
        broker_time=NOON,
        **({"trades_at_work": {}} | said),
    )


def rows(frame: pd.DataFrame) -> set[tuple[Any, ...]]:
    """Return the rows, what is missing or NaN as None."""
    found = [tuple(None if pd.isna(cell) else cell for cell in row) for row in frame.itertuples(index=False)]
    assert len(found) == len(set(found))
    return set(found)


def unknown(strategy: str | None, account: str, *symbols: str | None) -> set[tuple[Any, ...]]:
    return {(strategy, account, symbol, None) for symbol in symbols}


# --- positions


def test_strategies_of_the_batch_have_their_own_books_and_the_rest_is_the_accounts(
    tmp_path: Path,
) -> None:
    ledger = Ledger(
        {
            "paper": book(
                ("momentum", "SPY", 10), ("other", "SPY", 5), ("", "QQQ", 100), ("carry", "QQQ", -0.1)
            ),
            "b": book(("momentum", "SPY", 3)),
        }
    )
    frame = strategy_positions(reading(ledger, tmp_path))
    assert rows(frame) == {
        ("momentum", "paper", "SPY", 10.0),
        ("carry", "paper", "QQQ", -0.1),
        ("momentum", "b", "SPY", 3.0),
    }
    assert frame.attrs[IDENTITIES] == [
        {"name": IDENTITY, "left": 1179 * UNIT // 10, "right": 1179 * UNIT // 10, "holds": True}
    ]
    assert as_recorded("strategy_positions", frame).schema == inputs_schemas()["strategy_positions"]


def test_no_books_are_an_empty_frame(tmp_path: Path) -> None:
    frame = strategy_positions(reading(Ledger(), tmp_path))
    assert rows(frame) == set()
    assert as_recorded("strategy_positions", frame).num_rows == 0


def test_a_strategy_that_another_looks_like_is_unknown_in_that_account_and_no_other(tmp_path: Path) -> None:
    ledger = Ledger(
        {"paper": book(("Momentum", "SPY", 10), ("momentum", "SPY", 1), ("carry", "SPY", 2)),
         "b": book(("momentum", "SPY", 3))}
    )  # fmt: skip
    assert rows(strategy_positions(reading(ledger, tmp_path))) == {
        *unknown("momentum", "paper", "QQQ", "SPY"),
        ("carry", "paper", "SPY", 2.0),
        ("momentum", "b", "SPY", 3.0),
    }


def test_a_strategy_that_a_working_order_looks_like_is_unknown(tmp_path: Path) -> None:
    ledger = Ledger({"paper": book(("momentum", "SPY", 1)), "b": book(("momentum", "SPY", 1))})
    at_work = {"paper": synced("paper", WorkingOrder("paper", "SPY", "buy", 1.0, "MOMENTUM"))}
    logged = io.StringIO()
    asked = reading(ledger, tmp_path, logged=logged, synced=at_work)
    assert rows(strategy_positions(asked)) == {
        *unknown("momentum", "paper", "QQQ", "SPY"),
        ("momentum", "b", "SPY", 1.0),
    }
    assert rows(strategy_trades(asked)) == unknown("momentum", "paper", "QQQ", "SPY")
    assert working_order_terms(asked)["strategy_id"].tolist() == [""]
    events = [json.loads(line) for line in logged.getvalue().splitlines()]
    assert [one["source"] for one in events] == ["strategy_positions", "strategy_trades"]
    assert "of strategy momentum in account paper: there is also 'MOMENTUM', whose" in events[0]["message"]


def test_an_account_that_cant_be_read_is_unknown_and_no_other_one_and_the_log_says_why(
    tmp_path: Path,
) -> None:
    ledger = Ledger({"paper": DataUnavailable("the ledger is down"), "b": book(("momentum", "SPY", 3))})
    logged = io.StringIO()
    asked = reading(ledger, tmp_path, logged=logged)
    assert rows(strategy_positions(asked)) == {
        *unknown(None, "paper", None),
        ("momentum", "b", "SPY", 3.0),
    }
    (event,) = [json.loads(line) for line in logged.getvalue().splitlines()]
    assert (event["event"], event["source"]) == ("risk_data_unavailable", "strategy_positions")
    assert "strategy_positions is unavailable: of account paper: the ledger is down" in event["message"]


def test_where_no_account_can_be_read_the_frame_is_unavailable(tmp_path: Path) -> None:
    ledger = Ledger(dict.fromkeys(["paper", "b"], DataUnavailable("the ledger is down")))
    with pytest.raises(DataUnavailable, match="the ledger is down"):
        strategy_positions(reading(ledger, tmp_path))


def test_an_account_whose_strategies_do_not_add_up_is_unknown_and_the_identity_fails(
    tmp_path: Path,
) -> None:
    wrong = StrategyBook({("momentum", "SPY"): 7 * UNIT}, {"SPY": 8 * UNIT})
    frame = strategy_positions(reading(Ledger({"paper": wrong, "b": book(("momentum", "SPY", 3))}), tmp_path))
    assert rows(frame) == {*unknown(None, "paper", None), ("momentum", "b", "SPY", 3.0)}
    assert frame.attrs[IDENTITIES] == [
        {"name": IDENTITY, "left": 7 * UNIT, "right": 8 * UNIT, "holds": False}
    ]


SOURCES = [strategy_positions, strategy_trades]


@pytest.mark.parametrize("source", SOURCES)
def test_an_account_that_is_down_at_its_broker_is_unknown(source: Any, tmp_path: Path) -> None:
    asked = reading(Ledger(), tmp_path, down={"paper": EngineError("no answer")})
    found = rows(source(asked))
    assert found == unknown(None, "paper", None) or found == {
        *unknown("momentum", "paper", "QQQ", "SPY"),
        *unknown("carry", "paper", "QQQ", "SPY"),
    }


@pytest.mark.parametrize("source", [*SOURCES, working_order_terms])
def test_where_every_broker_is_down_the_frame_is_unavailable(source: Any, tmp_path: Path) -> None:
    down = dict.fromkeys(["paper", "b"], EngineError("no answer"))
    with pytest.raises(DataUnavailable, match="the broker's book could not be read: no answer"):
        source(reading(Ledger(), tmp_path, down=down))


@pytest.mark.parametrize("source", SOURCES)
def test_another_ledger_than_the_one_that_the_run_began_with_is_not_read(source: Any, tmp_path: Path) -> None:
    asked = reading(Ledger(), tmp_path, swapped={"ledger": "this run began with another"})
    with pytest.raises(DataUnavailable, match="this run began with another"):
        source(asked)


# --- trades


def test_trades_are_those_of_every_strategy_and_of_none(tmp_path: Path) -> None:
    trades = {
        ("momentum", "paper", "SPY"): 2,
        ("other", "paper", "SPY"): 3,
        ("", "paper", "SPY"): 4,
        ("o\u200bdd", "paper", "SPY"): 5,
        ("momentum", "b", "QQQ"): 1,
    }
    frame = strategy_trades(reading(Ledger(trades=trades), tmp_path))
    assert rows(frame) == {
        ("momentum", "paper", "SPY", 2.0),
        ("other", "paper", "SPY", 3.0),
        (None, "paper", "SPY", 9.0),
        ("momentum", "b", "QQQ", 1.0),
    }
    assert as_recorded("strategy_trades", frame).schema == inputs_schemas()["strategy_trades"]


def test_an_order_that_works_and_is_in_the_ledger_is_one_trade(tmp_path: Path) -> None:
    trades = {("momentum", "paper", "SPY"): 2, ("carry", "paper", "SPY"): 1}
    at_work = {
        "paper": synced("paper", trades_at_work={("momentum", "SPY"): 1, ("carry", "SPY"): 1}),
        "elsewhere": synced("elsewhere", trades_at_work={("momentum", "SPY"): 1}),
    }
    frame = strategy_trades(reading(Ledger(trades=trades), tmp_path, synced=at_work))
    assert rows(frame) == {("momentum", "paper", "SPY", 1.0)}


def test_an_account_in_doubt_is_unknown_and_no_other_one(tmp_path: Path) -> None:
    ledger = Ledger(trades={("momentum", "b", "SPY"): 1}, doubted=("paper",))
    assert rows(strategy_trades(reading(ledger, tmp_path))) == {
        *unknown("momentum", "paper", "QQQ", "SPY"),
        *unknown("carry", "paper", "QQQ", "SPY"),
        ("momentum", "b", "SPY", 1.0),
    }


def test_where_every_account_is_in_doubt_the_frame_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(AccountsInDoubt):
        strategy_trades(reading(Ledger(doubted=("paper", "b")), tmp_path))


def test_trades_that_no_ledger_has_may_be_any_strategys(tmp_path: Path) -> None:
    trades = {("momentum", "paper", "SPY"): 1, ("momentum", "b", "SPY"): 1}
    at_work = {
        "paper": synced("paper", unbooked_trades=2),
        "elsewhere": synced("elsewhere", unbooked_trades=1),
    }
    assert rows(strategy_trades(reading(Ledger(trades=trades), tmp_path, synced=at_work))) == {
        *unknown("momentum", "paper", "QQQ", "SPY"),
        *unknown("carry", "paper", "QQQ", "SPY"),
        ("momentum", "b", "SPY", 1.0),
    }


@pytest.mark.parametrize("name", ["Momentum", "mo\u200bmentum", "\x00"])
def test_trades_of_a_name_that_looks_like_a_strategys_leave_it_in_doubt(tmp_path: Path, name: str) -> None:
    trades = {("momentum", "paper", "SPY"): 1, (name, "paper", "SPY"): 1, ("momentum", "b", "SPY"): 1}
    found = rows(strategy_trades(reading(Ledger(trades=trades), tmp_path)))
    assert found >= {*unknown("momentum", "paper", "QQQ", "SPY"), ("momentum", "b", "SPY", 1.0)}


# --- what they cost


def test_what_fills_cost_is_that_of_every_strategy_and_of_none(tmp_path: Path) -> None:
    trades = {("momentum", "paper", "SPY"): 2, ("other", "paper", "SPY"): 3, ("", "b", "KO"): 1}
    frame = traded_notional(reading(Ledger(trades=trades), tmp_path))
    assert rows(frame) == {
        ("momentum", "paper", "SPY", 200.5),
        ("other", "paper", "SPY", 300.75),
        (None, "b", "KO", 100.25),
    }
    assert as_recorded("traded_notional", frame).schema == inputs_schemas()["traded_notional"]


@pytest.mark.parametrize("how", ["in doubt", "not in the ledger", "down"])
def test_an_account_whose_fills_are_not_all_known_is_unknown_and_no_other(tmp_path: Path, how: str) -> None:
    trades = {("momentum", "paper", "SPY"): 1, ("momentum", "b", "SPY"): 1}
    cases: dict[str, dict[str, Any]] = {
        "in doubt": {},
        "not in the ledger": {"synced": {"paper": synced("paper", unbooked_trades=1)}},
        "down": {"down": {"paper": EngineError("no answer")}},
    }
    ledger = Ledger(trades=trades, doubted=("paper",) if how == "in doubt" else ())
    found = rows(traded_notional(reading(ledger, tmp_path, **cases[how])))
    assert found >= {
        *unknown("momentum", "paper", "QQQ", "SPY"),
        *unknown("carry", "paper", "QQQ", "SPY"),
        ("momentum", "b", "SPY", 100.25),
    }


# --- working orders


def test_working_orders_of_all_accounts_come_with_their_terms(tmp_path: Path) -> None:
    one = WorkingOrder("paper", "SPY", "buy", 1.0, "momentum", "limit", 50.0, None)
    two = WorkingOrder("b", "QQQ", "sell", 2.0, None, "stop", None, 40.0)
    books = {"paper": synced("paper", one), "b": synced("b", two), "idle": synced("idle")}
    frame = working_order_terms(reading(Ledger(), tmp_path, synced=books))
    assert rows(frame) == {tuple(one), tuple(two)}
    table = as_recorded("working_order_terms", frame)
    assert {tuple(row[name] for name in WorkingOrder._fields) for row in table.to_pylist()} == {one, two}


def test_a_dry_run_has_none(tmp_path: Path) -> None:
    frame = working_order_terms(reading(Ledger(), tmp_path))
    assert as_recorded("working_order_terms", frame).num_rows == 0
