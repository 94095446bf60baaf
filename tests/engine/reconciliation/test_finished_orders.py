"""What a broker changes of orders that are over: busts, corrections, and activities of every type."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.model.calendar import trading_date
from engine.reconciliation.session import Session
from engine.reconciliation.sync import Synced, sync_all
from tests.desk import Row, order, outcomes
from tests.engine.accounts_desk import Lies
from tests.engine.reconciliation.test_account_books import accept_all, judged
from tests.engine.routing.trading import TradingDesk, exit_code

SPLIT: Row = {
    "activity_type": "SPLIT",
    "date": "2026-03-03",
    "symbol": "SPY",
    "net_amount": "0",
    "group_id": "g1",
    "status": "executed",
}


@pytest.fixture
def lies() -> Lies:
    return Lies()


@pytest.fixture
def desk(tmp_path: Path, lies: Lies) -> TradingDesk:
    """A desk at which an order of 10 SPY was filled, and forgotten as over."""
    desk = TradingDesk(tmp_path / "data")
    desk.between = lies
    desk.one(qty=10)
    assert found(desk) == []
    assert desk.left_open() == []
    return desk


def synced(desk: TradingDesk) -> Synced:
    """Sync without a run, in the session that it is by then."""
    session = Session(trading_date(desk.now, "XNYS"), "XNYS")
    with desk.connections() as connections:
        answer = sync_all(desk.context(connections=connections), connections, session)["paper"]
    assert not isinstance(answer, EngineError), answer
    desk.later(minutes=1)
    return answer


def found(desk: TradingDesk) -> list[tuple[str, str, float]]:
    """Return kind, symbol and shares of each open break."""
    return [(one.kind, one.symbol, one.difference_qty / 1e9) for one in synced(desk).open_breaks]


def next_session(desk: TradingDesk, days: int = 1) -> None:
    desk.tick(days * 86_400 or 60)


def order_id(desk: TradingDesk) -> str:
    return str(desk.at_broker("one")["id"])


# --- busts and corrections


@pytest.mark.parametrize(("left", "shares"), [("6", -4.0), ("0", -10.0)])
def test_a_bust_of_a_finished_order_is_named_by_its_order_until_it_is_accepted(
    desk: TradingDesk, lies: Lies, left: str, shares: float
) -> None:
    next_session(desk)
    lies.orders[order_id(desk)] = {"filled_qty": left}
    lies.shares["SPY"] = shares
    for _ in range(2):
        (one,) = synced(desk).open_breaks
        assert (one.kind, one.broker_order_id, one.client_intent_id) == (
            "quantity_differs", order_id(desk), "one"
        )  # fmt: skip
        assert one.difference_qty == shares * 1e9
    run = judged(desk, order(client_intent_id="more", qty=1))
    assert (outcomes(run), exit_code(run)) == ([("rejected", "position_unreconciled")], 4)
    accept_all(desk)
    assert found(desk) == []


@pytest.mark.parametrize("days", [0, 1, 4])
def test_a_bust_is_found_in_its_own_session_and_in_later_ones(
    desk: TradingDesk, lies: Lies, days: int
) -> None:
    next_session(desk, days)
    lies.orders[order_id(desk)] = {"filled_qty": "6"}
    lies.shares["SPY"] = -4.0
    assert found(desk) == [("quantity_differs", "SPY", -4.0)]


def test_two_busts_in_one_symbol_are_two_breaks(desk: TradingDesk, lies: Lies) -> None:
    judged(desk, order(client_intent_id="two", qty=5))
    next_session(desk)
    lies.orders[order_id(desk)] = {"filled_qty": "6"}
    lies.orders[desk.at_broker("two")["id"]] = {"filled_qty": "2"}
    lies.shares["SPY"] = -7.0
    assert sorted(found(desk)) == [("quantity_differs", "SPY", -4.0), ("quantity_differs", "SPY", -3.0)]


def test_a_price_correction_of_a_finished_order_is_found_at_the_next_session(
    desk: TradingDesk, lies: Lies
) -> None:
    next_session(desk)
    lies.orders[order_id(desk)] = {"filled_avg_price": "19.5"}
    (one,) = synced(desk).open_breaks
    assert (one.kind, one.broker_price, one.client_intent_id) == ("price_differs", 19.5, "one")
    accept_all(desk)
    assert found(desk) == []


def test_a_second_correction_of_a_price_is_news_and_the_first_is_not(desk: TradingDesk, lies: Lies) -> None:
    for price in ("19.5", "19.25"):
        next_session(desk)
        lies.orders[order_id(desk)] = {"filled_avg_price": price}
        (one,) = synced(desk).open_breaks
        assert (one.kind, one.broker_price) == ("price_differs", float(price))
        accept_all(desk)
        assert found(desk) == []


def test_a_second_bust_of_an_order_is_news_and_only_what_came_since_is_to_be_accepted(
    desk: TradingDesk, lies: Lies
) -> None:
    for left, shares, moved in (("6", -4.0, -4.0), ("1", -9.0, -5.0)):
        next_session(desk)
        lies.orders[order_id(desk)] = {"filled_qty": left}
        lies.shares["SPY"] = shares
        for _ in range(2):
            assert found(desk) == [("quantity_differs", "SPY", moved)]
        accept_all(desk)
        assert found(desk) == []
        next_session(desk)
        assert found(desk) == []


def test_an_activity_that_corrects_an_order_has_it_looked_at_at_once_and_however_old_it_is(
    desk: TradingDesk, lies: Lies
) -> None:
    next_session(desk, 30)
    assert found(desk) == []
    lies.orders[order_id(desk)] = {"filled_avg_price": "19.5"}
    fill = desk.by_hand("GET", "/v2/account/activities/FILL")[0]
    at = (desk.now - timedelta(seconds=5)).isoformat()
    changed = {"id": "c1", "type": "trade_correct", "previous_id": fill["id"], "price": "19.5"}
    lies.activities.append(fill | changed | {"transaction_time": at})
    assert found(desk) == [("price_differs", "SPY", 0.0)]


def test_with_nothing_new_finished_orders_are_looked_at_once_a_session(desk: TradingDesk) -> None:
    next_session(desk)
    counts = []
    for _ in range(2):
        before = len(desk.requests())
        assert found(desk) == []
        counts.append(len(desk.requests()) - before)
    assert counts[1] == counts[0] - 1


# --- activities


def test_cash_in_lieu_belongs_to_its_split(desk: TradingDesk, lies: Lies) -> None:
    lies.shares["SPY"] = -7.0
    lies.activities += [
        SPLIT | {"id": "s1", "qty": "-10"},
        SPLIT | {"id": "s2", "qty": "3.3333"},
        SPLIT | {"id": "s3", "activity_type": "CIL", "qty": "0.3333", "net_amount": "210.5"},
    ]
    (one,) = synced(desk).open_breaks
    assert (one.kind, one.difference_qty / 1e9, one.activity_id) == ("corporate_action", -7.0, "s1 s2 s3")
    assert "stock split" not in one.said
    assert "split, cash in lieu" in one.said
    accept_all(desk)
    assert found(desk) == []


def test_cash_in_lieu_explains_no_whole_share(desk: TradingDesk, lies: Lies) -> None:
    lies.shares["SPY"] = -8.0
    lies.activities += [
        SPLIT | {"id": "s1", "qty": "-6.5"},
        SPLIT | {"id": "s3", "activity_type": "CIL", "qty": None, "net_amount": "210.5"},
    ]
    assert found(desk) == [("corporate_action", "SPY", -6.5), ("position_unexplained", "SPY", -1.5)]


def test_a_type_that_is_not_known_is_named_where_it_changed_a_position(desk: TradingDesk, lies: Lies) -> None:
    lies.shares["SPY"] = 2.0
    lies.activities.append(SPLIT | {"id": "a1", "activity_type": "ALLOC", "qty": "2"})
    (one,) = synced(desk).open_breaks
    assert (one.kind, one.difference_qty / 1e9) == ("corporate_action", 2.0)
    assert "activity ALLOC" in one.said


def test_a_type_that_is_not_known_is_named_where_the_books_agree_as_well(
    desk: TradingDesk, lies: Lies
) -> None:
    lies.activities.append(SPLIT | {"id": "a1", "activity_type": "VOF", "qty": None, "symbol": None})
    assert found(desk) == []
    (event,) = desk.events("activity_unknown")
    assert event["severity"] == "WARNING"
    assert "an activity VOF (a1), a type that is not known here" in event["message"]
