"""A break keeps its name for as long as nobody has taken it in, whatever becomes of its order meanwhile."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from engine.reconciliation.adjustments import adjustments, read_proposal
from engine.reconciliation.break_files import latest_proposal
from tests.desk import Row, order
from tests.engine.accounts_desk import AccountsDesk, accounts_desk
from tests.engine.routing.trading import exit_code

RESTING: Row = {"order_type": "limit", "limit_price": 20, "time_in_force": "gtc", "qty": 10}


@pytest.fixture
def desk(tmp_path: Path) -> AccountsDesk:
    """A desk whose order has filled 4 of 10 shares, as both books say."""
    desk = accounts_desk(tmp_path / "data", "2026-03-02", "10:00", names=("alpha",))
    desk.drop("a.json", order(broker_account_id="alpha", client_intent_id="rests", **RESTING))
    desk.live()
    desk.at["alpha"].fill("rests", 4)
    assert found(desk) == [("late_fill", 4.0)]
    return desk


def found(desk: AccountsDesk) -> list[tuple[str, float]]:
    """Sync a minute later; gives kind and shares of each break."""
    desk.go_to(desk.now + timedelta(minutes=1))
    (answer,) = desk.synced()
    return [(one.kind, one.difference_qty / 1e9) for one in answer.breaks]


def accept_all(desk: AccountsDesk) -> None:
    objects = desk.context().objects
    key = latest_proposal(objects)
    assert key is not None
    rows = read_proposal(objects.read(key).decode(), key)
    session = desk.session.trading_date
    taken = adjustments(rows, by="a test", why="looked at it", at=desk.now, trading_date=session)
    desk.store.write_ledger(taken)


def order_id(desk: AccountsDesk) -> str:
    found: str = desk.at["alpha"].at_broker("rests")["id"]
    return found


def cancel(desk: AccountsDesk) -> None:
    desk.drop(
        f"cancel-{desk.now:%H%M}.json",
        order(
            broker_account_id="alpha",
            client_intent_id="withdraws",
            action="cancel",
            target_intent_id="rests",
            qty=None,
            side=None,
        ),
    )
    run = desk.live()
    assert run.table("results.parquet", ["status"])["status"].to_pylist() == ["canceled"]
    assert exit_code(run) == 4
    desk.let_pass("alpha", 5)


@pytest.mark.parametrize("name", ["the ledger has more", "the broker has less"])
def test_a_quantity_that_differs_is_so_named_after_its_order_is_terminal(
    desk: AccountsDesk, name: str
) -> None:
    if name == "the ledger has more":
        desk.store.write_ledger([{"broker_order_id": order_id(desk), "filled_qty": 7.0}])
        expected = [("quantity_differs", -3.0)]
    else:
        desk.lies["alpha"].orders[order_id(desk)] = {"filled_qty": "2"}
        desk.lies["alpha"].shares["SPY"] = -2.0
        expected = [("quantity_differs", -2.0)]
    assert found(desk) == expected
    cancel(desk)
    assert [found(desk) for _ in range(3)] == [expected] * 3
    accept_all(desk)
    assert [found(desk) for _ in range(2)] == [[], []]
    assert desk.left_open() == []


def test_an_order_that_is_missing_counts_as_working_until_an_operator_accepts_that(
    desk: AccountsDesk,
) -> None:
    desk.lies["alpha"].unknown.add(order_id(desk))
    for _ in range(2):
        assert found(desk) == [("missing_order", 0.0)]
        (answer,) = desk.synced()
        assert answer.working_orders["remaining_qty"].tolist() == [10.0]
    accept_all(desk)
    assert found(desk) == []
    assert desk.left_open() == []
    (answer,) = desk.synced()
    assert len(answer.working_orders) == 0
    assert desk.store.net_positions("alpha") == {"SPY": 4 * 10**9}


def test_an_order_that_is_terminal_and_of_which_both_books_tell_the_same_is_forgotten_at_once(
    desk: AccountsDesk,
) -> None:
    desk.at["alpha"].fill("rests", 6)
    assert found(desk) == [("late_fill", 6.0)]
    assert (desk.left_open(), found(desk)) == ([], [])


def test_a_cancel_passes_where_a_break_is_open(desk: AccountsDesk) -> None:
    desk.at["alpha"].place_by_hand(qty="2", side="buy")
    desk.let_pass("alpha", 5)
    assert found(desk) == [("manual_trade", 2.0)]
    cancel(desk)
    assert found(desk) == [("manual_trade", 2.0)]
    assert desk.at["alpha"].at_broker("rests")["status"] == "canceled"
