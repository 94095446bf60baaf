"""After the last order: what is asked of a broker whose replies are written down, and what is made of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.accounts.connection import SEND_S, Connection
from engine.errors import BrokerRejected, LeaseLost, RunStopped
from engine.log import EventLog
from engine.model.orders import BrokerFill, BrokerOrder, OrderIntent
from engine.routing.controls import TradingControls
from engine.routing.fills import Settled, settle
from engine.routing.outcomes import OrderOutcome
from engine.routing.release_check import ApprovedOrder
from engine.waiting.retry_policy import RetryPolicy

BEGUN = datetime(2026, 3, 2, 17, tzinfo=UTC)


def at_broker(order_id: str, order_status: str = "new", **said: Any) -> BrokerOrder:
    plain = {"client_order_id": f"intent-{order_id}", "symbol": "SPY", "side": "buy", "qty": 5.0}
    plain |= {"submitted_at": BEGUN, "order_status": order_status, "broker_order_id": order_id}
    return BrokerOrder(**{**plain, **said})


def filled(order_id: str, qty: float = 5.0, **said: Any) -> BrokerOrder:
    return at_broker(order_id, "filled", filled_qty=qty, filled_avg_price=10.0, **said)


def executed(order_id: str, qty: float = 5.0) -> BrokerFill:
    return BrokerFill(
        fill_id=f"f-{order_id}", broker_order_id=order_id, symbol="SPY", side="buy", qty=qty, price=10.0,
        filled_at=BEGUN,
    )  # fmt: skip


def placed(order: BrokerOrder | None) -> OrderOutcome:
    return OrderOutcome(status="placed", order=order, attempted=True)


@dataclass
class Scripted:
    """A broker with written replies: which orders are open at each poll, and the orders that it has."""

    has: list[BrokerOrder] = field(default_factory=list)
    opens: list[list[str]] = field(default_factory=list)
    executions: list[BrokerFill] = field(default_factory=list)
    unlisted: frozenset[str] = frozenset()
    asked: list[str] = field(default_factory=list)

    def open_orders(self) -> list[BrokerOrder]:
        self.asked.append("open")
        return [at_broker(order_id) for order_id in self.opens.pop(0)]

    def orders_since(self, since: datetime, *, sought: Collection[str]) -> list[BrokerOrder]:
        self.asked.append(f"list {' '.join(sought)} since {since:%H:%M:%S}")
        return [order for order in self.has if order.broker_order_id not in self.unlisted]

    def get_order_status(self, *, broker_order_id: str) -> BrokerOrder:
        self.asked.append(f"find {broker_order_id}")
        for order in self.has:
            if order.broker_order_id == broker_order_id:
                return order
        raise BrokerRejected("order not found", status=404)

    def fills(self, *, after: datetime) -> list[BrokerFill]:
        self.asked.append("fills")
        return self.executions


@dataclass
class Desk:
    """What settling is handed, and what it does with it."""

    broker: Scripted
    settle_s: float = 100.0
    stopping: Callable[[], bool] = lambda: False
    is_lease_lost: bool = False
    held_s: list[float] = field(default_factory=list)
    steps: list[tuple[str, int, int]] = field(default_factory=list)
    logged: StringIO = field(default_factory=StringIO)

    def hold_for(self, seconds: float) -> None:
        self.held_s.append(seconds)
        if self.is_lease_lost:
            raise LeaseLost("another job holds it.")

    def settled(self, *outcomes: OrderOutcome, without: Collection[int] = ()) -> Settled:
        """Settle the outcomes of intents, by row; ``without``: rows that another account's run has."""
        context = SimpleNamespace(
            log=EventLog(self.logged),
            stopping=self.stopping,
            progress=lambda *step: self.steps.append(step),
        )
        connection = SimpleNamespace(
            broker=self.broker,
            lease=self,
            settle_s=self.settle_s,
            retry_policy=RetryPolicy(lookups_s=(0.0,)),
        )
        orders = [ApprovedOrder(row, INTENT) for row in range(len(outcomes))]
        known = {row: outcome for row, outcome in enumerate(outcomes) if row not in without}
        return settle(orders, known, cast(TradingControls, context), cast(Connection, connection))

    def events(self, name: str) -> list[dict[str, Any]]:
        rows = [json.loads(line) for line in self.logged.getvalue().splitlines()]
        return [row for row in rows if row["event"] == name]


INTENT = OrderIntent(strategy_id="s", broker_account_id="paper", symbol="SPY", side="buy", qty=5.0)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the seconds that are waited, and wait for none; whether to stop is still asked."""
    found: list[float] = []

    def pause(seconds: float, stopping: Callable[[], bool], *, during: str) -> None:
        if stopping():
            raise RunStopped(f"Stopped while {during}")
        found.append(seconds)

    monkeypatch.setattr("engine.routing.fills.pause", pause)
    monkeypatch.setattr("engine.routing.fills.waited", found.append)
    return found


# --- waiting for fills


def test_where_nothing_was_placed_the_broker_is_asked_nothing() -> None:
    desk = Desk(Scripted())
    outcomes = [OrderOutcome(status="rejected"), OrderOutcome(status="expired")]
    assert desk.settled(*outcomes) == Settled(dict(enumerate(outcomes)), {}, [])
    assert (desk.broker.asked, desk.held_s) == ([], [])


def test_open_orders_are_polled_until_none_of_these_is_among_them(waits: list[float]) -> None:
    broker = Scripted([filled("a"), filled("b")], [["a", "b", "hand"], ["b", "hand"], ["hand"]])
    broker.executions = [executed("a"), executed("b")]
    desk = Desk(broker)
    found = desk.settled(placed(at_broker("a")), placed(at_broker("b")), placed(filled("c")))
    assert broker.asked[:4] == ["open"] * 3 + ["list a b c since 17:00:00"]
    assert waits[:2] == [0.25, 0.5]
    assert desk.steps == [("waiting for fills", done, 2) for done in (0, 1, 2)]
    assert desk.held_s == [SEND_S] * 3
    assert [outcome.order and outcome.order.order_status for outcome in found.outcomes.values()] == [
        "filled"
    ] * 3


def test_between_polls_the_wait_doubles_up_to_four_seconds_and_ends_with_the_time_that_there_is(
    waits: list[float],
) -> None:
    desk = Desk(Scripted([filled("a", 0.0)], [["a"]] * 7 + [[]]))
    desk.settled(placed(at_broker("a")))
    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    waits.clear()
    desk = Desk(Scripted([filled("a", 0.0)], [["a"], []]), settle_s=0.1)
    desk.settled(placed(at_broker("a")))
    assert len(waits) == 1
    assert 0 < waits[0] <= 0.1


def test_without_time_to_wait_the_orders_are_looked_at_once_and_stay_open(waits: list[float]) -> None:
    desk = Desk(Scripted([at_broker("a", "accepted")], [["a"]]), settle_s=0.0)
    found = desk.settled(placed(at_broker("a")))
    assert (desk.broker.asked, waits) == (["open", "find a"], [])
    assert found.outcomes[0] == placed(at_broker("a", "accepted"))
    assert found.open_rows == [0]


def test_orders_that_are_terminal_are_not_waited_for() -> None:
    desk = Desk(Scripted([filled("a")], executions=[executed("a")]))
    assert desk.settled(placed(filled("a"))).open_rows == []
    assert desk.broker.asked == ["find a", "fills"]


def test_a_lost_lease_does_not_end_the_wait_since_nothing_more_is_sent() -> None:
    desk = Desk(Scripted([filled("a")], [[]], [executed("a")]), is_lease_lost=True)
    assert desk.settled(placed(at_broker("a"))).open_rows == []


def test_a_job_that_is_to_end_waits_for_no_fills(waits: list[float]) -> None:
    desk = Desk(Scripted([], [["a"]]), stopping=lambda: True)
    with pytest.raises(RunStopped, match="Stopped while fills were waited for"):
        desk.settled(placed(at_broker("a")))


# --- current states


def test_orders_are_listed_from_the_first_on_and_only_what_is_not_listed_is_looked_up() -> None:
    later = BEGUN + timedelta(seconds=30)
    has = [filled("a", 0.0), filled("b", 0.0), filled("other", 0.0)]
    desk = Desk(Scripted(has, unlisted=frozenset("b")))
    found = desk.settled(placed(filled("a", submitted_at=later)), placed(filled("b")))
    assert desk.broker.asked == ["list a b since 17:00:00", "find b"]
    assert sorted(found.outcomes) == [0, 1]


def test_orders_that_say_no_time_are_looked_up_one_by_one() -> None:
    desk = Desk(Scripted([filled("a", 0.0), filled("b", 0.0)]))
    desk.settled(placed(filled("a", submitted_at=None)), placed(filled("b", submitted_at=None)))
    assert desk.broker.asked == ["find a", "find b"]


def test_an_order_that_the_broker_no_longer_knows_keeps_its_last_state_stays_open_and_is_loud() -> None:
    desk = Desk(Scripted(opens=[[]]))
    found = desk.settled(placed(at_broker("a", "accepted")))
    assert found.outcomes == {0: placed(at_broker("a", "accepted"))}
    assert found.open_rows == [0]
    (event,) = desk.events("order_missing")
    assert (event["severity"], event["intent_id"], event["broker_order_id"]) == ("CRITICAL", "intent-a", "a")
    assert "The next sync looks it up again" in event["message"]


def test_the_log_says_the_state_of_each_order_with_its_ids() -> None:
    desk = Desk(Scripted([filled("a", 0.0), at_broker("b", "canceled")]))
    halted = OrderOutcome(status="halted")
    desk.settled(placed(filled("a")), halted, placed(at_broker("b", "canceled")))
    assert [
        (event["intent_id"], event["broker_order_id"], event["order_status"], event["status"])
        for event in desk.events("order_status")
    ] == [("intent-a", "a", "filled", "placed"), ("intent-b", "b", "canceled", "placed")]


def cancel(order: BrokerOrder, status: str = "cancel_requested") -> OrderOutcome:
    return OrderOutcome(status=status, order=order, attempted=True)


def test_the_target_of_a_cancel_is_looked_up_by_its_id_while_it_is_open() -> None:
    old = BEGUN - timedelta(days=30)
    target = at_broker("t", "pending_cancel", submitted_at=old)
    desk = Desk(Scripted([filled("a", 0.0), replace(target, order_status="canceled")], [[]]))
    found = desk.settled(placed(filled("a", 0.0)), cancel(target))
    assert desk.broker.asked == ["open", "find a", "find t"]
    assert (found.outcomes[1].status, found.outcomes[1].message) == ("canceled", "cancelled")


@pytest.mark.parametrize(("order_status", "status"), [("canceled", "canceled"), ("filled", "too_late")])
def test_a_target_that_is_terminal_is_not_looked_up_again(order_status: str, status: str) -> None:
    desk = Desk(Scripted())
    found = desk.settled(cancel(at_broker("t", order_status), status))
    assert found.outcomes[0].status == status
    assert (desk.broker.asked, found.open_rows) == ([], [])


def test_targets_of_cancels_are_no_orders_of_this_run_and_their_executions_are_not_asked_for() -> None:
    targets = [filled("s"), filled("t")]
    desk = Desk(Scripted(targets, executions=[executed("s"), executed("t")]))
    found = desk.settled(*(cancel(target, "too_late") for target in targets))
    assert (found.fills, desk.broker.asked) == ({}, [])


# --- rejected afterwards


def test_an_order_that_is_rejected_after_it_was_accepted_is_refused_by_the_broker() -> None:
    desk = Desk(Scripted([at_broker("a", "rejected")], [[]]))
    found = desk.settled(placed(at_broker("a")))
    assert found.outcomes[0] == OrderOutcome(
        status="broker_rejected",
        reason="rejected_after_acceptance",
        order=at_broker("a", "rejected"),
        attempted=True,
        message="the broker accepted it as order a and rejected it afterwards",
    )
    assert found.open_rows == []


def test_an_order_that_is_rejected_after_part_of_it_filled_was_placed() -> None:
    order = at_broker("a", "rejected", filled_qty=2.0, filled_avg_price=10.0)
    found = Desk(Scripted([order], [[]], [executed("a", 2.0)])).settled(placed(at_broker("a")))
    assert found.outcomes[0] == placed(order)
    assert found.fills == {"a": [executed("a", 2.0)]}


# --- what stays open


@pytest.mark.parametrize(
    ("outcome", "is_open"),
    [
        (placed(filled("a")), False),
        (placed(at_broker("a", "canceled")), False),
        (placed(filled("a", 4.0)), True),
        (placed(at_broker("a", "new")), True),
        (OrderOutcome(status="unresolved", attempted=True), True),
        (OrderOutcome(status="halted", in_doubt=True), True),
        (OrderOutcome(status="broker_rejected", in_doubt=True), True),
        (OrderOutcome(status="broker_rejected"), False),
        (OrderOutcome(status="halted"), False),
        (cancel(at_broker("a", "pending_cancel")), False),
    ],
)
def test_a_row_is_open_until_its_order_is_terminal_with_all_its_executions(
    outcome: OrderOutcome, is_open: bool, waits: list[float]
) -> None:
    has = [] if outcome.order is None else [outcome.order]
    desk = Desk(Scripted(has, [["a"]], [executed("a")]), settle_s=0.0)
    assert desk.settled(outcome).open_rows == [0] * is_open


def test_rows_without_an_outcome_are_of_another_account_and_not_open_here() -> None:
    unresolved = OrderOutcome(status="unresolved", attempted=True)
    assert Desk(Scripted()).settled(unresolved, unresolved, without=[0]).open_rows == [1]


def test_an_order_that_filled_beyond_its_quantity_is_loud_and_stays_open() -> None:
    desk = Desk(Scripted([filled("a", 7.0)], [[]], [executed("a", 7.0)]))
    assert desk.settled(placed(at_broker("a"))).open_rows == [0]
    (event,) = desk.events("overfilled")
    assert (event["severity"], event["intent_id"], event["broker_order_id"]) == ("CRITICAL", "intent-a", "a")
    assert "in SPY has bought 7 of 5 ordered, 2 too many" in event["message"]
