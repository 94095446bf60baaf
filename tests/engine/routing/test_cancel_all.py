"""Withdrawing whatever is open: looked for until nothing new comes, and waited for as long as is wished."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from requests import PreparedRequest, Response

from engine.errors import RunStopped
from engine.routing.cancel_all import Withdrawal, Withdrawals, Withdrawing
from engine.waiting.retry_policy import RetryPolicy
from tests.engine.routing.trading import Between, Send, TradingDesk, forgetful, path_of

QUICK = RetryPolicy(lookups_s=(0.01,))


@pytest.fixture
def desk(tmp_path: Path) -> TradingDesk:
    return TradingDesk(tmp_path / "data")


def rest(desk: TradingDesk, name: str, **said: str) -> None:
    """Place an order that the market never comes to."""
    desk.place_by_hand(client_order_id=name, type="limit", limit_price="50", **said)


def withdraw(
    desk: TradingDesk,
    *,
    wait_s: float = 10.0,
    stopping: Callable[[], bool] = lambda: False,
    asked: list[str] | None = None,
) -> Withdrawals:
    """Withdraw all that is open; ``asked`` has what was asked for."""
    seen = [] if asked is None else asked
    return Withdrawing(
        broker=desk.broker(),
        choose=lambda entries: entries,
        stopping=stopping,
        asking=lambda order: seen.append(order.client_order_id),
        retry_policy=QUICK,
    ).withdraw(wait_s=wait_s)


def outcomes(done: Withdrawals) -> dict[str, str]:
    return {one.before.client_order_id: one.after.order_status for one in done.orders}


def reasons(orders: tuple[Withdrawal, ...]) -> set[str]:
    return {one.why for one in orders}


def one_more_after(look: int, desk: TradingDesk) -> Between:
    """Return a broker at which an order arrives right after its open orders were listed for so many times."""

    def act(listed: int) -> None:
        if listed == look:
            rest(desk, "late")

    return after_each_list(act)


def after_each_list(act: Callable[[int], object]) -> Between:
    """Return a hook that is called with the count of listings each time the open orders were listed."""
    listed = count(1)

    def middle(request: PreparedRequest, send: Send) -> Response:
        answer = send()
        if request.method == "GET" and path_of(request) == "/v2/orders":
            act(next(listed))
        return answer

    return middle


@pytest.mark.parametrize("look", [1, 2])
def test_an_order_that_is_just_leaving_is_withdrawn_as_well(desk: TradingDesk, look: int) -> None:
    rest(desk, "first")
    desk.between = one_more_after(look, desk)
    done = withdraw(desk)
    assert outcomes(done) == {"first": "canceled", "late": "canceled"}
    assert done.unsure == ""


def test_it_is_looked_twice_where_nothing_is_open(desk: TradingDesk) -> None:
    desk.between = one_more_after(1, desk)
    assert outcomes(withdraw(desk)) == {"late": "canceled"}


def test_each_order_is_asked_for_once(desk: TradingDesk) -> None:
    desk.arm("stuck_pending_cancel")
    rest(desk, "stuck")
    asked: list[str] = []
    done = withdraw(desk, wait_s=0.6, asked=asked)
    assert (outcomes(done), asked) == ({"stuck": "pending_cancel"}, ["stuck"])
    assert done.unsure == ""


def test_where_new_orders_keep_coming_it_ends_in_time_and_says_so(desk: TradingDesk) -> None:
    desk.between = after_each_list(lambda listed: rest(desk, f"order-{listed}"))
    done = withdraw(desk, wait_s=0.6)
    assert done.unsure == "the last poll found new orders"
    assert len(done.orders) > 1


def test_without_time_to_wait_it_is_looked_once(desk: TradingDesk) -> None:
    looks: list[int] = []
    desk.between = after_each_list(looks.append)
    rest(desk, "one")
    assert list(outcomes(withdraw(desk, wait_s=0))) == ["one"]
    assert (looks, len(desk.requests("DELETE"))) == ([1], 1)


def test_being_asked_to_stop_ends_the_wait_with_what_is_known(desk: TradingDesk) -> None:
    desk.arm("stuck_pending_cancel")
    rest(desk, "stuck")
    done = withdraw(desk, wait_s=60, stopping=lambda: bool(desk.requests("DELETE")))
    assert outcomes(done) == {"stuck": "pending_cancel"}
    assert "stopped" in done.unsure


def test_being_asked_to_stop_says_of_each_order_that_it_was_not_asked_for_any_more(desk: TradingDesk) -> None:
    for number in range(12):
        rest(desk, f"order-{number}")
    asked: list[str] = []
    done = withdraw(desk, stopping=lambda: bool(asked), asked=asked)
    left = [one for one in done.orders if one.before.client_order_id not in asked]
    assert len(done.orders) == 12
    assert left != []
    assert reasons(tuple(left)) == {"it was stopped before this cancel was requested"}
    assert {desk.at_broker(one.before.client_order_id)["status"] for one in left} == {"new"}


def test_being_asked_to_stop_before_anything_was_listed_is_no_outcome(desk: TradingDesk) -> None:
    desk.stopping = lambda: True

    def down(request: PreparedRequest, send: Send) -> Response:
        raise ConnectionError

    desk.between = down
    desk.broker_read_s = 60
    with pytest.raises(RunStopped):
        withdraw(desk)


def test_an_order_that_the_broker_does_not_know_any_more_is_reported_and_not_terminal(
    desk: TradingDesk,
) -> None:
    desk.arm("stuck_pending_cancel")
    rest(desk, "gone")
    lists = 0

    def middle(request: PreparedRequest, send: Send) -> Response:
        nonlocal lists
        if request.method == "GET" and path_of(request) == "/v2/orders":
            lists += 1
            if lists > 1:
                request.url = (request.url or "").replace("status=open", "status=closed")
        return forgetful(1)(request, send) if lists > 1 else send()

    desk.between = middle
    (one,) = withdraw(desk).orders
    assert (one.is_over, one.why) == (False, "the broker no longer knows it")
