"""What a run's orders came to at all its accounts together: what was placed, and what stays open."""

from __future__ import annotations

from typing import Any

from engine.model.orders import BrokerOrder, OrderIntent
from engine.record.open_orders import Place
from engine.routing.accounts import Traded
from engine.routing.fills import Settled
from engine.routing.outcomes import OrderOutcome

PAPER, LIVE = Place("paper", "key-1", "https://paper"), Place("live", "key-2", "https://live")


def intent(client_id: str, account: str = "paper") -> OrderIntent:
    return OrderIntent(
        strategy_id="s", broker_account_id=account, symbol="SPY", side="buy", qty=1.0,
        client_intent_id=client_id,
    )  # fmt: skip


def at_broker(order_id: str, **said: Any) -> BrokerOrder:
    return BrokerOrder(broker_order_id=order_id, client_order_id=order_id, order_status="filled", **said)


def outcome(order_id: str | None, status: str = "placed", **said: Any) -> OrderOutcome:
    order = None if order_id is None else at_broker(order_id, **said)
    return OrderOutcome(status=status, order=order, attempted=True)


def traded() -> Traded:
    """Return a run of two accounts: rows 0 to 3 of one, 4 of the other."""
    found = Traded(intents={row: intent(f"i{row}", "live" if row == 4 else "paper") for row in range(5)})
    legs = (at_broker("exit"), at_broker("stop"))
    found.add(LIVE, Settled({4: outcome("e")}, {"e": []}, []))
    own = {
        3: outcome(None, "unresolved"),
        1: outcome("b", legs=legs),
        0: outcome("a"),
        2: outcome("target", "canceled"),
    }
    found.add(PAPER, Settled(own, {"a": []}, [3]))
    return found


def test_what_was_placed_is_in_batch_order_and_cancels_and_unknown_outcomes_are_not_in_it() -> None:
    assert [(one.client_intent_id, order.broker_order_id) for one, order in traded().orders] == [
        ("i0", "a"),
        ("i1", "b"),
        ("i4", "e"),
    ]


def test_the_executions_and_open_rows_of_all_accounts_are_together() -> None:
    found = traded()
    assert found.fills == {"a": [], "e": []}
    assert found.open_rows == {PAPER: [3], LIVE: []}


def test_what_is_left_open_names_its_order_as_far_as_it_is_known() -> None:
    found = traded()
    assert [vars(one) for one in found.left_open("run-1", [1, 3])] == [
        {
            "intent": found.intents[row],
            "broker_order_id": order_id,
            "status": status,
            "run_id": "run-1",
            "row": row,
        }
        for row, order_id, status in ((1, "b", "placed"), (3, None, "unresolved"))
    ]


def test_an_order_that_the_ledger_lacks_stays_open_at_its_own_account_by_itself_or_by_a_leg() -> None:
    found = traded()
    found.leave_open({"stop", "e", "unknown"})
    assert found.open_rows == {PAPER: [1, 3], LIVE: [4]}
    found.leave_open({"b"})
    assert found.open_rows == {PAPER: [1, 3], LIVE: [4]}
