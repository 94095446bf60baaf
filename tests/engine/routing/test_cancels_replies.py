"""One cancel against a broker whose replies are written down: its outcome, and what was asked for it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from io import StringIO
from typing import Any, cast

import pytest

from engine.brokers.trading import TradingBroker
from engine.errors import BrokerError, BrokerRejected, OutcomeUnknown, RateLimited, RunStopped
from engine.log import EventLog
from engine.model.orders import BrokerOrder, OrderIntent
from engine.routing.cancels import Cancelling, Target, outcome_of, withdrawn
from engine.routing.outcomes import OrderOutcome
from engine.routing.release_check import ApprovedOrder
from engine.waiting.retry_policy import RetryPolicy

OPEN = BrokerOrder(broker_order_id="b-1", client_order_id="target", order_status="new")
CANCELED, FILLED = replace(OPEN, order_status="canceled"), replace(OPEN, order_status="filled")
GONE = BrokerRejected("order not found", status=404)
NOT_CANCELABLE = BrokerRejected("order is not cancelable", status=422)
FORBIDDEN = BrokerRejected("forbidden", status=403)
LIMITED = RateLimited("rate limit exceeded", status=429)
LOST = OutcomeUnknown("the reply was cut off")

Reply = BrokerOrder | None | Exception


@dataclass
class Scripted:
    """A broker with written replies to cancels and to lookups; the last one is given again and again."""

    cancels: list[Reply] = field(default_factory=list)
    lookups: list[Reply] = field(default_factory=lambda: [OPEN])
    asked: list[str] = field(default_factory=list)
    logged: StringIO = field(default_factory=StringIO)

    def cancel_order(self, *, broker_order_id: str) -> BrokerOrder:
        return _replied(self._asked(f"cancel {broker_order_id}", self.cancels))

    def get_order_status(self, *, broker_order_id: str) -> BrokerOrder:
        return _replied(self._asked(f"look at {broker_order_id}", self.lookups) or GONE)

    def find_order(self, *, client_order_id: str) -> BrokerOrder | None:
        found = self._asked(f"find {client_order_id}", self.lookups)
        return None if found is None else _replied(found)

    def _asked(self, what: str, replies: list[Reply]) -> Reply:
        self.asked.append(what)
        return replies.pop(0) if len(replies) > 1 else replies[0]

    def cancelled(self, **said: Any) -> OrderOutcome:
        """Cancel ``target``, an order of this strategy that the broker placed as b-1 unless it is said."""
        targets = said.pop("targets", {("paper", "target"): Target("momentum", "b-1")})
        cancelling = Cancelling(
            broker=cast(TradingBroker, self),
            targets=targets,
            log=EventLog(self.logged),
            retry_policy=RetryPolicy(lookups_s=(0.0,)),
            stopping=said.pop("stopping", lambda: False),
        )
        return cancelling.cancel(ApprovedOrder(0, replace(CANCEL, **said)))

    def withdrawn(self, *waits_s: float, **said: Any) -> BrokerOrder:
        policy = RetryPolicy(lookups_s=waits_s, broker_wait_s=0.0)
        return withdrawn("b-1", cast(TradingBroker, self), retry_policy=policy, **said)

    def events(self) -> list[tuple[str, str]]:
        rows = [json.loads(line) for line in self.logged.getvalue().splitlines()]
        return [(row["event"], row["intent_id"]) for row in rows]


def _replied(reply: Reply) -> BrokerOrder:
    if isinstance(reply, Exception):
        raise reply
    assert reply is not None
    return reply


CANCEL = OrderIntent(
    strategy_id="momentum", broker_account_id="paper", symbol="", side="", action="cancel",
    client_intent_id="c", target_intent_id="target",
)  # fmt: skip
CANCEL_IT, LOOK, FIND = "cancel b-1", "look at b-1", "find target"


def test_a_cancel_looks_at_its_order_and_requests_what_the_log_says() -> None:
    broker = Scripted([CANCELED])
    assert broker.cancelled() == OrderOutcome(
        status="canceled", order=CANCELED, attempted=True, message="cancelled"
    )
    assert broker.asked == [LOOK, CANCEL_IT]
    assert broker.events() == [("cancel_requested", "c"), ("cancel_response", "c")]


def test_an_order_whose_id_at_the_broker_is_unknown_is_found_by_its_intent() -> None:
    broker = Scripted([CANCELED])
    assert broker.cancelled(targets={("paper", "target"): Target("momentum")}).status == "canceled"
    assert broker.asked == [FIND, CANCEL_IT]


@pytest.mark.parametrize(
    ("targets", "lookups", "reason", "message", "asked"),
    [
        (
            {("paper", "target"): Target("other", "b-1")},
            [OPEN],
            "target_of_another_strategy",
            "target is an order of other, not of momentum",
            [],
        ),
        ({("live", "target"): Target("momentum", "b-1")}, [None], "target_unknown",
         "the broker knows no order target", [FIND]),
        ({}, [None], "target_unknown", "the broker knows no order target", [FIND]),
        ({("paper", "target"): Target("momentum", "b-1")}, [None], "target_unknown",
         "the broker knows no order target", [LOOK, LOOK]),
        ({}, [OPEN], "target_unknown",
         "target is at the broker, but no run of this data folder has sent it", [FIND]),
    ],
    ids=["another strategy's", "another account's", "of no record", "gone at the broker", "sent elsewhere"],
)  # fmt: skip
def test_an_order_that_is_not_this_strategys_or_is_nowhere_is_not_cancelled(
    targets: dict[Any, Target], lookups: list[Reply], reason: str, message: str, asked: list[str]
) -> None:
    broker = Scripted([CANCELED], lookups)
    assert broker.cancelled(targets=targets) == OrderOutcome(
        status="broker_rejected", reason=reason, message=f"{message}. Nothing was cancelled."
    )
    assert (broker.asked, broker.events()) == (asked, [])


@pytest.mark.parametrize("targets", [{}, {("paper", "target"): Target("momentum", "b-1")}])
def test_an_order_that_is_terminal_is_reported_and_no_cancel_requested(targets: dict[Any, Target]) -> None:
    broker = Scripted([], [FILLED])
    assert broker.cancelled(targets=targets).status == "too_late"
    assert len(broker.asked) == 1


def test_a_cancel_is_requested_as_often_as_the_policy_says_and_not_once_the_job_is_to_end() -> None:
    broker = Scripted([GONE])
    assert broker.cancelled().status == "cancel_requested"
    assert broker.asked.count(CANCEL_IT) == 2
    broker = Scripted([GONE])
    with pytest.raises(RunStopped):
        broker.cancelled(stopping=lambda: CANCEL_IT in broker.asked)
    assert broker.asked.count(CANCEL_IT) == 1


def test_a_cancel_that_the_broker_refuses_says_why() -> None:
    outcome = Scripted([FORBIDDEN]).cancelled()
    assert (outcome.status, outcome.reason) == ("broker_rejected", "refused_by_broker")
    assert str(FORBIDDEN) in outcome.message


def test_a_cancel_that_the_rate_limit_never_lets_through_means_that_the_broker_is_down() -> None:
    error = RateLimited("rate limit exceeded", status=429)
    error.wait_s = 1000.0
    with pytest.raises(RateLimited):
        Scripted([error]).cancelled()


@pytest.mark.parametrize(
    ("order", "status", "message"),
    [
        (CANCELED, "canceled", "cancelled"),
        (replace(CANCELED, filled_qty=2.5), "canceled", "cancelled, 2.5 filled"),
        (replace(FILLED, filled_qty=5.0), "too_late", "too late: the order is filled, 5 filled"),
        (OPEN, "cancel_requested", "the cancel was requested; the order is still new"),
    ],
)
def test_the_outcome_of_a_cancel_is_what_became_of_its_order(
    order: BrokerOrder, status: str, message: str
) -> None:
    assert outcome_of(order) == OrderOutcome(status=status, order=order, attempted=True, message=message)


# --- requested until there is an answer


@pytest.mark.parametrize(
    ("cancels", "lookups", "after", "asked"),
    [
        ([CANCELED], [], CANCELED, [CANCEL_IT]),
        ([LIMITED, CANCELED], [], CANCELED, [CANCEL_IT, CANCEL_IT]),
        ([NOT_CANCELABLE], [FILLED], FILLED, [CANCEL_IT, LOOK]),
        ([NOT_CANCELABLE], [OPEN], OPEN, [CANCEL_IT, LOOK]),
        ([GONE], [FILLED], FILLED, [CANCEL_IT, LOOK]),
        ([GONE, CANCELED], [OPEN], CANCELED, [CANCEL_IT, LOOK, CANCEL_IT]),
        ([GONE], [OPEN], OPEN, [CANCEL_IT, LOOK] * 3),
        ([LOST], [CANCELED], CANCELED, [CANCEL_IT, LOOK]),
        ([LOST, LOST, CANCELED], [OPEN], CANCELED, [CANCEL_IT, LOOK, CANCEL_IT, LOOK, CANCEL_IT]),
        ([LOST, CANCELED], [None], CANCELED, [CANCEL_IT, LOOK, LOOK, LOOK, CANCEL_IT]),
    ],
)
def test_a_cancel_is_requested_until_the_broker_has_answered(
    cancels: list[Reply], lookups: list[Reply], after: BrokerOrder, asked: list[str]
) -> None:
    broker = Scripted(list(cancels), list(lookups))
    assert broker.withdrawn(0.0, 0.0) == after
    assert broker.asked == asked


@pytest.mark.parametrize(
    ("cancels", "lookups", "error", "times"),
    [
        ([FORBIDDEN], [OPEN], FORBIDDEN, 1),
        ([GONE], [None], GONE, 1),
        ([NOT_CANCELABLE], [None], NOT_CANCELABLE, 1),
        ([LOST], [OPEN], LOST, 3),
    ],
    ids=["refused", "gone", "not cancelable and gone", "never answered"],
)
def test_a_cancel_without_an_outcome_is_an_error(
    cancels: list[Reply], lookups: list[Reply], error: BrokerError, times: int
) -> None:
    broker = Scripted(list(cancels), list(lookups))
    with pytest.raises(type(error)) as raised:
        broker.withdrawn(0.0)
    assert raised.value is error
    assert broker.asked.count(CANCEL_IT) == times


def test_a_job_that_is_to_end_requests_a_cancel_no_further() -> None:
    broker = Scripted([GONE], [OPEN])
    with pytest.raises(RunStopped, match="Stopped while an order was cancelled"):
        broker.withdrawn(60.0, stopping=lambda: LOOK in broker.asked)
    assert broker.asked == [CANCEL_IT, LOOK]
