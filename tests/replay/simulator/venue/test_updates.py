"""The events of trade updates: which, in which order, with which figures."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.replay.simulator.venue.desk import Body, Desk


def listened(desk: Desk) -> list[Body]:
    updates: list[Body] = []
    desk.venue.updates.listener = updates.append
    return updates


def bought(desk: Desk) -> None:
    desk.order()
    desk.tick()


def bought_in_parts(desk: Desk) -> None:
    order = desk.limit("90")
    desk.tick()
    desk.venue.fill_now(order["id"], Decimal(4))
    desk.venue.fill_now(order["id"])


def cancelled(desk: Desk) -> None:
    order = desk.limit("90")
    desk.tick()
    desk.venue.cancel_order(order["id"])
    desk.tick()


def expired(desk: Desk) -> None:
    desk.limit("90")
    desk.tick(3600 * 6)


def rejected(desk: Desk) -> None:
    desk.venue.reject_after_acceptance(desk.limit("90")["id"])
    desk.tick()


def replaced(desk: Desk) -> None:
    order = desk.limit("90")
    desk.tick()
    desk.venue.replace_order(order["id"], {"limit_price": "91"})
    desk.tick()


def replaced_too_late(desk: Desk) -> None:
    order = desk.limit("90")
    desk.tick()
    desk.venue.replace_order(order["id"], {"qty": "4"})
    desk.venue.fill_now(order["id"], Decimal(5))
    desk.venue.reject_after_acceptance(desk.get(order)["id"])
    desk.tick()


def placed_at_night(desk: Desk) -> None:
    desk.until("2026-10-08 21:00")
    desk.order()
    desk.until("2026-10-09 09:31")


def bracket(desk: Desk) -> None:
    exits: Body = {"take_profit": {"limit_price": "110"}, "stop_loss": {"stop_price": "90"}}
    desk.order(order_class="bracket", **exits)
    desk.tick()
    desk.price("AAPL", "111")
    desk.tick()


def stopped(desk: Desk) -> None:
    exits: Body = {"take_profit": {"limit_price": "110"}, "stop_loss": {"stop_price": "90"}}
    desk.order(order_class="bracket", **exits)
    desk.tick()
    desk.price("AAPL", "89")
    desk.tick()


def placed_as_the_market_closes(desk: Desk) -> None:
    desk.until("2026-10-08 15:59:59.998")
    desk.limit("90", time_in_force="gtc")
    desk.tick()


@pytest.mark.parametrize(
    ("act", "events"),
    [
        (bought, "pending_new new fill"),
        (bought_in_parts, "pending_new new partial_fill fill"),
        (cancelled, "pending_new new pending_cancel canceled"),
        (expired, "pending_new new expired"),
        (rejected, "pending_new rejected"),
        (replaced, "pending_new new pending_replace pending_new replaced new"),
        (replaced_too_late, "pending_new new pending_replace pending_new partial_fill rejected rejected"),
        (placed_at_night, "accepted new fill"),
        (bracket, "pending_new held held new fill new fill canceled"),
        (stopped, "pending_new held held new fill new new canceled fill"),
        (placed_as_the_market_closes, "pending_new accepted"),
    ],
)
def test_every_change_is_an_event(act: Callable[[Desk], None], events: str) -> None:
    desk = Desk()
    updates = listened(desk)
    act(desk)
    assert " ".join(update["event"] for update in updates) == events


def test_a_replacement_that_is_rejected_gives_the_order_back() -> None:
    desk = Desk()
    desk.bought()
    sale = desk.limit("110", side="sell", qty="4")
    desk.tick()
    updates = listened(desk)
    desk.venue.replace_order(sale["id"], {"qty": "10"})
    desk.venue.fill_now(sale["id"], Decimal(2))
    desk.tick()
    told = [(update["event"], update["order"]["status"]) for update in updates]
    assert told[-2:] == [("rejected", "rejected"), ("order_replace_rejected", "partially_filled")]


def test_a_fill_has_its_own_price_and_shares_and_the_position_after_it() -> None:
    desk = Desk()
    updates = listened(desk)
    bought_in_parts(desk)
    figures = [{name: update[name] for name in ("price", "qty", "position_qty")} for update in updates[2:]]
    assert figures == [
        {"price": "90", "qty": "4", "position_qty": "4"},
        {"price": "90", "qty": "6", "position_qty": "10"},
    ]
    assert [update["order"]["filled_qty"] for update in updates] == ["0", "0", "4", "10"]
    fills = desk.venue.activities("FILL", {"direction": "asc"})
    assert [update["execution_id"] for update in updates[2:]] == [
        fill["id"].partition("::")[2] for fill in fills
    ]
    assert [update["timestamp"] for update in updates[2:]] == [fill["transaction_time"] for fill in fills]


def test_a_sale_of_everything_leaves_a_position_of_zero() -> None:
    desk = Desk()
    desk.bought()
    updates = listened(desk)
    desk.order(side="sell")
    desk.tick()
    assert updates[-1]["position_qty"] == "0"


def test_listening_changes_no_answer() -> None:
    def state(listen: bool) -> Any:
        desk = Desk(partial=0.5, seed=3)
        if listen:
            listened(desk)
        bought_in_parts(desk)
        bracket(desk)
        return desk.venue.state()

    assert state(True) == state(False)
