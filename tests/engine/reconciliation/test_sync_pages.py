"""A broker cuts its lists: 500 orders a page, 100 activities. What a sync brings is whole all the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from engine.reconciliation.sync import Synced
from engine.record.run_folder import INPUTS
from tests.desk import Row, order
from tests.engine.accounts_desk import AccountsDesk, accounts_desk, by_intent
from tests.engine.routing.trading import exit_code

ORDERS_A_PAGE, ACTIVITIES_A_PAGE = 500, 100
OWN, BY_HAND = ORDERS_A_PAGE + 20, ACTIVITIES_A_PAGE + 30
SYMBOLS = ("SPY", "QQQ", "IWM", "KO", "AAPL", "MSFT", "JPM", "XOM")
RESTING: Row = {"order_type": "limit", "limit_price": 20, "time_in_force": "gtc"}


@pytest.fixture
def desk(tmp_path: Path) -> AccountsDesk:
    return accounts_desk(tmp_path / "data", "2026-03-02", "10:00", names=("alpha",))


def synced(desk: AccountsDesk) -> Synced:
    (answer,) = desk.synced()
    return answer


def leave_orders(desk: AccountsDesk, many: int) -> list[str]:
    """Let a run leave so many orders that rest; gives their ids."""
    names = [f"rests-{number:03}" for number in range(many)]
    rows = [
        order(
            broker_account_id="alpha", client_intent_id=name, symbol=SYMBOLS[place % len(SYMBOLS)], **RESTING
        )
        for place, name in enumerate(names)
    ]
    desk.drop("a.json", *rows)
    run = desk.live()
    assert Counter(by_intent(run).values()) == {("placed", "ok"): many}
    assert exit_code(run) == 0
    return names


def fill(desk: AccountsDesk, names: list[str]) -> None:
    """Let orders fill, all in the same moment."""
    ids = {one["client_order_id"]: one["id"] for one in desk.at["alpha"].orders()}
    for name in names:
        desk.at["alpha"].control("POST", "fill", {"order_id": ids[name]})


def trade_by_hand(desk: AccountsDesk, many: int) -> list[str]:
    """Buy one share so many times past the engine; gives the ids of the orders."""
    placed = [
        desk.at["alpha"].place_by_hand(symbol=SYMBOLS[place % len(SYMBOLS)])["id"] for place in range(many)
    ]
    desk.let_pass("alpha", 5)
    return placed


def test_of_more_open_orders_than_a_page_holds_each_counts_and_the_foreign_one_is_found(
    desk: AccountsDesk,
) -> None:
    names = leave_orders(desk, OWN)
    stranger = desk.at["alpha"].place_by_hand(type="limit", limit_price="20", time_in_force="gtc")
    answer = synced(desk)
    assert len(answer.working_orders) == OWN + 1
    assert [(one.kind, one.broker_order_id) for one in answer.breaks] == [("unknown_order", stranger["id"])]

    fill(desk, names[-15:])
    answer = synced(desk)
    late = [one.client_intent_id for one in answer.breaks if one.kind == "late_fill"]
    assert (sorted(late), len(answer.open_breaks)) == (names[-15:], 1)
    assert len(answer.working_orders) == OWN + 1 - 15

    fill(desk, names[:-15])
    answer = synced(desk)
    late = [one.client_intent_id for one in answer.breaks if one.kind == "late_fill"]
    assert (sorted(late), len(answer.open_breaks)) == (names[:-15], 1)
    assert sum(desk.store.net_positions("alpha").values()) == OWN * 10**9
    assert desk.left_open() == []
    assert len(answer.working_orders) == 1


def test_of_more_executions_than_a_page_holds_each_is_named(desk: AccountsDesk) -> None:
    synced(desk)
    placed = trade_by_hand(desk, BY_HAND)
    answer = synced(desk)
    assert Counter(one.kind for one in answer.breaks) == {"manual_trade": BY_HAND}
    assert sorted(one.broker_order_id for one in answer.breaks) == sorted(placed)
    assert sum(one.difference_qty for one in answer.breaks) == BY_HAND * 10**9


def test_a_split_behind_more_executions_than_a_page_holds_is_found(desk: AccountsDesk) -> None:
    desk.drop("a.json", order(broker_account_id="alpha", symbol="BAC", qty=10))
    desk.live()
    synced(desk)
    names = leave_orders(desk, BY_HAND)
    fill(desk, names)
    desk.let_pass("alpha", 1)
    desk.at["alpha"].control("POST", "split", {"symbol": "BAC", "ratio": "3"})
    answer = synced(desk)
    assert Counter(one.kind for one in answer.breaks) == {"late_fill": BY_HAND, "corporate_action": 1}
    (split,) = answer.open_breaks
    assert (split.symbol, split.difference_qty) == ("BAC", 20 * 10**9)


def test_a_run_judges_by_all_of_the_open_orders(desk: AccountsDesk) -> None:
    leave_orders(desk, OWN)
    desk.drop("b.json", order(broker_account_id="alpha", client_intent_id="next"))
    run = desk.live()
    assert run.table("working_orders.parquet").num_rows == OWN
    (row,) = run.table("decisions.parquet", ["trades_today"]).to_pylist()
    assert row["trades_today"] == OWN
    assert run.json(INPUTS)["unavailable"] == {}
