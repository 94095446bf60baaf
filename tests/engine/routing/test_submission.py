"""One order exactly once: whatever becomes of a request, and what is made of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from itertools import pairwise
from typing import Any, cast

import pytest
import requests
from requests import PreparedRequest, Response

from engine.brokers.trading import TradingBroker
from engine.errors import BrokerError, NotSent, OutcomeUnknown, RateLimited, RunStopped
from engine.log import EventLog
from engine.model.orders import BrokerOrder, OrderIntent
from engine.record.run_folder import CASSETTE, MANIFEST, RESULTS
from engine.risk.config import RiskConfig
from engine.routing.release_check import ApprovedOrder
from engine.routing.submission import Placing
from engine.waiting.retry_policy import RetryPolicy
from engine.waiting.timer import Timer
from tests.desk import NOON, Row, off, on, order, outcomes, statuses
from tests.engine.routing.trading import (
    BY_CLIENT_ID,
    Between,
    Killed,
    Send,
    TradingDesk,
    after_orders,
    client_id_of,
    dropped,
    exit_code,
    is_order,
    no_connection,
    path_of,
    reply,
    results,
    with_orders_answered,
)

LOOKUPS = 4
"""How often the desk looks for an order that it doesn't find."""
NONE_FOUND = "No order with this id is found."
Fault = dict[str, Any]


def fault(name: str, **said: Any) -> Fault:
    return {"fault": name, **said}


def placing(name: str, **said: Any) -> Fault:
    return fault(name, method="POST", path="/v2/orders", **said)


@dataclass(frozen=True)
class Case:
    """Faults, and what must come of one order under them."""

    name: str
    faults: tuple[Fault, ...]
    status: str
    reason: str
    posts: int
    lookups: int
    adopted: bool = False
    at_broker: int = 1
    exit_code: int = 0


LOST = fault("accept_then_drop")
CASES = (
    Case("no fault", (), "placed", "ok", 1, 0),
    Case("reply lost after acceptance", (LOST,), "placed", "ok", 1, 1, adopted=True),
    Case("504 after acceptance", (fault("accept_then_504"),), "placed", "ok", 1, 1, adopted=True),
    Case("reply cut off", (placing("truncated_body", missing_bytes=20),), "placed", "ok", 1, 1, adopted=True),
    Case("500 before", (placing("error_before", status=500),), "placed", "ok", 2, LOOKUPS),
    Case("503 before", (placing("error_before", status=503),), "placed", "ok", 2, LOOKUPS),
    *(
        Case(
            f"{status} as {body} after acceptance",
            (fault("accept_then_error", status=status, body=body),),
            "placed", "ok", 1, 1, adopted=True,
        )
        for status in (408, 409, 425, 499, 502)
        for body in ("page", "json")
    ),
    *(
        Case(
            f"a gateway's page for a {status} after acceptance",
            (fault("accept_then_error", status=status),),
            "placed", "ok", 1, 1, adopted=True,
        )
        for status in (400, 401, 403, 404, 422)
    ),
    *(
        Case(
            f"a {status} cut inside its headers after acceptance",
            (placing("cut_headers", status=status),),
            "placed", "ok", 1, 1, adopted=True,
        )
        for status in (400, 404, 422)
    ),
    *(
        Case(
            f"a gateway's page for a {status} before",
            (placing("html_error", status=status),),
            "placed", "ok", 2, LOOKUPS,
        )
        for status in (404, 409, 413)
    ),
    Case("HTML 502 before", (placing("html_error", status=502),), "placed", "ok", 2, LOOKUPS),
    Case("HTML 504 before", (placing("html_error", status=504),), "placed", "ok", 2, LOOKUPS),
    Case(
        "lookups lag for less than the lookups take",
        (LOST, fault("lookup_lag", lookups=2)),
        "placed", "ok", 1, 3, adopted=True,
    ),
    Case(
        "lookups lag longer than the lookups take: sent again, refused as not unique, found",
        (LOST, fault("lookup_lag", lookups=LOOKUPS + 1)),
        "placed", "ok", 2, LOOKUPS + 2, adopted=True,
    ),
    Case(
        "lookups lag for ever",
        (LOST, fault("lookup_lag", lookups=1000)),
        "unresolved", "outcome_unknown", 2, 2 * LOOKUPS, exit_code=4,
    ),
    Case(
        "500 before, for ever",
        (placing("error_before", times=None),),
        "unresolved", "outcome_unknown", 3, 3 * LOOKUPS, at_broker=0, exit_code=4,
    ),
    Case(
        "lookups fail for ever",
        (LOST, fault("error_before", method="GET", path=BY_CLIENT_ID, times=None)),
        "unresolved", "outcome_unknown", 1, 1, exit_code=4,
    ),
    Case(
        "a gateway's page for a 404 is no answer to a lookup",
        (LOST, fault("html_error", status=404, method="GET", path=BY_CLIENT_ID, times=None)),
        "unresolved", "outcome_unknown", 1, 1, exit_code=4,
    ),
    Case(
        "lookups whose 404 is cut inside its headers are no answer",
        (LOST, fault("cut_headers", status=404, method="GET", path=BY_CLIENT_ID, times=None)),
        "unresolved", "outcome_unknown", 1, 1, exit_code=4,
    ),
    Case(
        "rejected after its acceptance",
        (fault("reject_after_acceptance"),),
        "broker_rejected", "rejected_after_acceptance", 1, 0,
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_a_reply_means_and_what_follows(desk: TradingDesk, case: Case) -> None:
    desk.broker_read_s = 0.0
    for armed in case.faults:
        desk.control("POST", "faults", armed)
    desk.drop("a.json", order(client_intent_id="one"))
    run = desk.live()
    (row,) = results(run)
    assert (row["status"], row["reason"]) == (case.status, case.reason)
    assert (row["attempted"], row["adopted"]) == (True, case.adopted)
    assert desk.posts() == ["one"] * case.posts
    assert desk.lookups() == case.lookups
    assert desk.placed_ids() == ["one"] * case.at_broker
    assert exit_code(run) == case.exit_code


@pytest.mark.parametrize(
    "unknown",
    [placing("error_before", times=2), placing("html_error", times=2), placing("error_before", status=503)],
)
def test_an_order_is_never_sent_again_before_a_lookup_has_answered(desk: TradingDesk, unknown: Fault) -> None:
    desk.control("POST", "faults", unknown)
    desk.one()
    asked = [(row["method"], row["status"]) for row in desk.requests() if "orders" in row["path"]]
    posts = [place for place, (method, _) in enumerate(asked) if method == "POST"]
    assert len(posts) > 1
    assert all(("GET", 404) in asked[first:then] for first, then in pairwise(posts))


def test_an_order_turned_away_by_429_gets_its_turn_again_and_has_not_been_attempted(
    desk: TradingDesk,
) -> None:
    desk.retry_policy = RetryPolicy(lookups_s=(0.01,), posts=1, down_after_s=0.2)
    desk.control("POST", "faults", placing("rate_limited", seconds=0.1))
    row = desk.one()
    assert (row["status"], row["reason"], row["adopted"]) == ("placed", "ok", False)
    assert [seen["status"] for seen in desk.requests("POST")] == [429, 200]
    assert desk.lookups() == 0


def test_an_order_turned_away_by_429_may_still_be_lost_after_it(desk: TradingDesk) -> None:
    desk.retry_policy = RetryPolicy(lookups_s=(0.01,), posts=1, down_after_s=0.2)
    desk.control("POST", "faults", placing("rate_limited", seconds=0.1))
    desk.between = lost_after_acceptance
    row = desk.one()
    assert (row["status"], row["adopted"]) == ("placed", True)
    assert desk.placed_ids() == ["one"]


def lost_after_acceptance(request: PreparedRequest, send: Send) -> Response:
    answer = send()
    if is_order(request) and answer.status_code == 200:
        raise dropped(request)
    return answer


def test_an_order_that_the_rate_limit_never_lets_through_is_expired_and_names_the_rate_limit(
    desk: TradingDesk,
) -> None:
    def middle(request: PreparedRequest, send: Send) -> Response:
        desk.later(seconds=500)
        return reply(request, 429, {"message": "rate limit exceeded"}, Retry_After="0")

    desk.between = with_orders_answered(middle)
    row = desk.one()
    assert (row["status"], row["reason"]) == ("expired", "decision_expired")
    assert "turned away by the broker's rate limit 2 times" in row["message"]
    turned_away = desk.events("order_turned_away")
    assert [event["intent_id"] for event in turned_away] == ["one"] * 2
    assert "rate limit exceeded" in turned_away[0]["message"]


# --- an id that is taken


@pytest.mark.parametrize("same_order", [True, False], ids=["the same order", "another order"])
def test_an_id_of_a_former_day_is_refused_as_used_before_and_not_adopted(
    desk: TradingDesk, same_order: bool
) -> None:
    said: Row = {"qty": 2, "symbol": "SPY"} if same_order else {"qty": 3, "symbol": "QQQ"}
    assert desk.one(qty=2, symbol="SPY")["status"] == "placed"
    desk.tick(86_400)
    row = desk.one(**said)
    assert (row["status"], row["reason"]) == ("broker_rejected", "id_used_before")
    assert (row["adopted"], row["broker_order_id"], row["filled_qty"]) == (False, None, 0.0)
    assert "client_intent_id" in row["message"]
    assert desk.placed_ids() == ["one"]
    assert desk.posts() == ["one", "one"]
    assert desk.trades("2026-03-03") == 0


def test_an_id_that_another_sender_has_used_is_refused_as_used_before(desk: TradingDesk) -> None:
    desk.place_by_hand(client_order_id="one")
    desk.tick(10)
    row = desk.one()
    assert (row["status"], row["reason"]) == ("broker_rejected", "id_used_before")
    assert desk.lookups() == 0


def test_an_order_from_before_this_run_is_not_adopted_where_a_reply_was_lost(desk: TradingDesk) -> None:
    desk.place_by_hand(client_order_id="one")
    desk.tick(10)
    desk.control("POST", "faults", placing("html_error", status=504))
    row = desk.one()
    assert (row["status"], row["reason"], row["adopted"]) == ("broker_rejected", "id_used_before", False)
    assert desk.posts() == ["one", "one"]  # by hand, and once by the run
    assert desk.trades() == 0


@pytest.mark.parametrize("code", [40010001, 42210000, None])
def test_the_same_id_of_an_earlier_attempt_of_this_run_is_adopted_whatever_the_code(
    desk: TradingDesk, code: int | None
) -> None:
    """The message is matched, not the code: a recording has 40010001, a public probe 42210000."""

    def middle(request: PreparedRequest, send: Send) -> Response:
        if path_of(request) == BY_CLIENT_ID and len(desk.posts()) < 2:
            return send_not_found(request)
        answer = send()
        if not is_order(request):
            return answer
        if answer.status_code == 200:
            raise dropped(request)
        told = {"message": "client_order_id must be unique"}
        return reply(request, 422, told if code is None else {"code": code, **told})

    desk.between = middle
    row = desk.one()
    assert (row["status"], row["adopted"]) == ("placed", True)
    assert desk.posts() == ["one", "one"]
    assert desk.placed_ids() == ["one"]


def test_a_refusal_of_the_second_request_says_nothing_of_the_first(desk: TradingDesk) -> None:
    """The first one holds the shares or the money that the second one lacks."""
    desk.arm("accept_then_drop")
    desk.arm("lookup_lag", lookups=LOOKUPS)

    def middle(request: PreparedRequest, send: Send) -> Response:
        if is_order(request) and desk.posts():
            return reply(request, 403, {"code": 40310000, "message": "insufficient qty available"})
        return send()

    desk.between = middle
    row = desk.one()
    assert (row["status"], row["adopted"]) == ("placed", True)
    assert desk.placed_ids() == ["one"]


def test_where_the_first_request_is_unknown_and_the_second_refused_the_outcome_is_unknown(
    desk: TradingDesk,
) -> None:
    def middle(request: PreparedRequest, send: Send) -> Response:
        if not is_order(request):
            return send()
        sent.append(client_id_of(request))
        if len(sent) == 1:
            raise dropped(request)
        return reply(request, 403, {"code": 40310000, "message": "insufficient buying power"})

    sent: list[str] = []
    desk.between = middle
    row = desk.one()
    assert (row["status"], sent) == ("unresolved", ["one", "one"])
    assert "insufficient buying power" in row["message"]


def noted_and_killed(desk: TradingDesk, *, taken_in: bool) -> None:
    """Leave a run whose only order was noted as about to leave, and perhaps left, when its job died."""

    def middle(request: PreparedRequest, send: Send) -> Response:
        if not is_order(request):
            return send()
        if taken_in:
            send()
        raise desk.die()

    desk.between = middle
    desk.drop("a.json", order(client_intent_id="one"))
    with pytest.raises(Killed):
        desk.live()


NO_MONEY = 403, {"code": 40310000, "message": "insufficient buying power"}
ID_IS_TAKEN = 422, {"code": 40010001, "message": "client_order_id must be unique"}


def refusing_orders_and(hidden_for: int, refusal: tuple[int, Row] = NO_MONEY) -> Between:
    """Return a broker that refuses orders, and doesn't tell of those that it has until an order is sent.

    ``hidden_for``: for how many lookups after that it doesn't either.
    """
    refused: list[PreparedRequest] = []
    left = [hidden_for]

    def middle(request: PreparedRequest, send: Send) -> Response:
        path = path_of(request)
        if is_order(request):
            refused.append(request)
            return reply(request, *refusal)
        if path == "/v2/orders" and not refused:
            return reply(request, 200, [])
        if path == BY_CLIENT_ID and (not refused or left[0] > 0):
            left[0] -= bool(refused)
            return send_not_found(request)
        return send()

    return middle


def refused_after_a_killed_job(desk: TradingDesk, *, taken_in: bool, hidden_for: int) -> Row:
    """Return the result of an order that a killed job had noted, and the next job was refused.

    ``taken_in``: the first job's request had arrived; ``hidden_for`` so many lookups nothing is told of it.
    """
    noted_and_killed(desk, taken_in=taken_in)
    desk.between = refusing_orders_and(hidden_for=hidden_for)
    desk.live()
    (row,) = results(desk.runs()[0])
    return row


def test_where_a_killed_job_may_have_sent_the_order_a_refusal_is_believed_after_a_lookup_only(
    desk: TradingDesk,
) -> None:
    row = refused_after_a_killed_job(desk, taken_in=True, hidden_for=2)
    assert (row["status"], row["adopted"]) == ("placed", True)
    assert desk.trades() == 1


def test_where_a_killed_job_may_have_sent_the_order_and_none_is_found_the_refusal_stands_and_is_looked_after(
    desk: TradingDesk,
) -> None:
    row = refused_after_a_killed_job(desk, taken_in=True, hidden_for=1_000)
    assert (row["status"], row["reason"]) == ("broker_rejected", "refused_by_broker")
    assert len(desk.left_open()) == 1
    desk.disarm()
    desk.live()
    assert (desk.trades(), desk.left_open()) == (1, [])


def test_where_a_killed_job_had_not_sent_the_order_yet_the_refusal_is_forgotten_after_a_while(
    desk: TradingDesk,
) -> None:
    row = refused_after_a_killed_job(desk, taken_in=False, hidden_for=0)
    assert row["status"] == "broker_rejected"
    desk.disarm()
    desk.later(minutes=1)
    desk.live()
    assert (desk.left_open(), desk.placed_ids()) == ([], [])


def test_where_a_killed_job_may_have_sent_the_order_and_its_id_is_taken_it_is_unknown_until_it_is_found(
    desk: TradingDesk,
) -> None:
    """That the id is taken says that the order is there; a lookup that finds none is one that lags."""
    noted_and_killed(desk, taken_in=True)
    desk.between = refusing_orders_and(hidden_for=1_000, refusal=ID_IS_TAKEN)
    desk.live()
    (row,) = results(desk.runs()[0])
    assert (row["status"], row["reason"]) == ("unresolved", "outcome_unknown")
    assert NONE_FOUND in row["message"]
    assert (exit_code(desk.runs()[0]), desk.posts()) == (4, ["one"])
    desk.disarm()
    desk.live()
    assert (desk.trades(), desk.left_open()) == (1, [])


def send_not_found(request: PreparedRequest) -> Response:
    return reply(request, 404, {"code": 40410000, "message": "order not found for one"})


# --- an order that is another


OTHERS: list[tuple[str, Row]] = [
    ("symbol", {"symbol": "QQQ"}),
    ("side", {"side": "sell"}),
    ("qty", {"qty": "2"}),
    ("type", {"type": "limit", "limit_price": "1"}),
]


def takes_another_order(changes: Row, *, and_answers: bool) -> Between:
    """Return a hook that passes on another order than it was given."""

    def middle(request: PreparedRequest, send: Send) -> Response:
        request.body = json.dumps(json.loads(request.body or b"") | changes).encode()
        request.headers["Content-Length"] = str(len(request.body))
        answer = send()
        if and_answers:
            return answer
        raise dropped(request)

    return with_orders_answered(middle)


@pytest.mark.parametrize("and_answers", [True, False], ids=["in its reply", "in the lookup"])
@pytest.mark.parametrize(("name", "changes"), OTHERS)
def test_an_order_that_is_not_the_one_that_was_meant_is_unresolved_and_loud(
    desk: TradingDesk, name: str, changes: Row, and_answers: bool
) -> None:
    desk.between = takes_another_order(changes, and_answers=and_answers)
    desk.drop("a.json", order(client_intent_id="one"))
    run = desk.live()
    (row,) = results(run)
    assert (row["status"], row["adopted"]) == ("unresolved", False)
    assert name in row["message"]
    assert exit_code(run) == 4
    (event,) = desk.events("order_mismatch")
    assert (event["severity"], event["intent_id"], event["run_id"]) == ("CRITICAL", "one", run.run_id)
    assert name in event["message"]
    assert desk.posts() == ["one"]


@pytest.mark.parametrize(
    ("left_out", "status"), [({"created_at"}, "placed"), ({"created_at", "submitted_at"}, "unresolved")]
)
def test_an_order_that_is_found_is_adopted_only_where_it_says_when_it_was_made(
    desk: TradingDesk, left_out: set[str], status: str
) -> None:
    def middle(request: PreparedRequest, send: Send) -> Response:
        answer = send()
        if is_order(request):
            raise dropped(request)
        if path_of(request) != BY_CLIENT_ID or answer.status_code != 200:
            return answer
        return reply(
            request, 200, {name: value for name, value in answer.json().items() if name not in left_out}
        )

    desk.between = middle
    row = desk.one()
    assert (row["status"], row["adopted"]) == (status, status == "placed")
    assert ("it has no time of creation" in row["message"]) == (status == "unresolved")


def test_an_order_that_is_another_is_not_taken_for_ours_by_the_run_that_is_resumed(desk: TradingDesk) -> None:
    desk.between = takes_another_order({"symbol": "QQQ"}, and_answers=True)
    desk.stopping = lambda: bool(desk.posts())
    with pytest.raises(RunStopped):
        desk.one()
    desk.disarm()
    desk.stopping = lambda: False
    desk.live()
    (row,) = results(desk.runs()[0])
    assert (row["status"], row["adopted"]) == ("unresolved", False)
    assert desk.trades() == 0


def test_the_fills_of_an_order_that_is_another_never_reach_the_ledger(desk: TradingDesk) -> None:
    desk.between = takes_another_order({"symbol": "QQQ"}, and_answers=False)
    desk.one()
    desk.disarm()
    desk.live()
    assert desk.trades() == 0
    assert desk.left_open() != []


# --- refused by the broker


def refusals() -> list[tuple[str, Row, int, str]]:
    return [
        ("buying power", {"qty": 900_000}, 40310000, "insufficient buying power"),
        ("asset", {"symbol": "NOSUCH"}, 40010001, 'could not find asset "NOSUCH"'),
        ("not tradable", {"symbol": "TCEHY"}, 42210000, 'asset "TCEHY" is not tradable'),
        ("short", {"symbol": "AMC", "side": "sell"}, 42210000, "AMC"),
        ("cls too late", {"time_in_force": "opg"}, 40310000, "opg orders must be submitted"),
    ]


@pytest.mark.parametrize(("name", "said", "code", "words"), refusals(), ids=lambda value: str(value)[:12])
def test_what_the_broker_refuses_is_reported_with_its_code_and_its_words(
    desk: TradingDesk, name: str, said: Row, code: int, words: str
) -> None:
    desk.drop("a.json", order(client_intent_id="one", **said))
    run = desk.live()
    (row,) = results(run)
    assert (row["status"], row["reason"]) == ("broker_rejected", "refused_by_broker")
    assert words in row["message"]
    assert str(code) in row["message"]
    assert (desk.posts(), desk.lookups(), desk.placed_ids()) == (["one"], 0, [])
    assert exit_code(run) == 0


def test_a_wash_trade_is_refused_in_the_brokers_words(desk: TradingDesk) -> None:
    desk.drop(
        "a.json",
        order(client_intent_id="rests", order_type="limit", limit_price=50, qty=2),
        order(client_intent_id="sells", side="sell", order_type="market", qty=1),
    )
    rests, sells = results(desk.live())
    assert rests["status"] == "placed"
    assert (sells["status"], sells["reason"]) == ("broker_rejected", "refused_by_broker")
    assert "potential wash trade detected" in sells["message"]
    assert "40310000" in sells["message"]
    assert "opposite side limit order exists" in sells["message"]


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 418, 422])
def test_any_other_status_from_300_to_499_refuses_the_order(desk: TradingDesk, status: int) -> None:
    desk.between = with_orders_answered(
        lambda request, send: reply(request, status, {"code": 40099999, "message": "not like this"})
    )
    row = desk.one()
    assert (row["status"], row["reason"]) == ("broker_rejected", "refused_by_broker")
    assert "not like this" in row["message"]
    assert desk.lookups() == 0


# --- no connection, no broker


def refusing(times: int) -> Between:
    left = [times]

    def middle(request: PreparedRequest, send: Send) -> Response:
        left[0] -= 1
        if left[0] >= 0:
            raise no_connection(request)
        return send()

    return with_orders_answered(middle)


def test_an_order_that_never_left_is_sent_again_without_a_lookup(desk: TradingDesk) -> None:
    desk.between = refusing(5)
    row = desk.one()
    assert (row["status"], row["adopted"]) == ("placed", False)
    assert (desk.posts(), desk.lookups()) == (["one"], 0)


def test_a_broker_without_a_connection_ends_the_run_unsealed_and_the_next_one_goes_on(
    desk: TradingDesk,
) -> None:
    desk.between = refusing(1_000_000)
    with pytest.raises(NotSent) as error:
        desk.one()
    assert error.value.exit_code == 1
    (broken,) = desk.runs()
    assert not {RESULTS, CASSETTE, MANIFEST} & broken.names()
    desk.disarm()
    desk.live()
    assert statuses(broken) == ["placed"]
    assert desk.placed_ids() == ["one"]


@dataclass
class Unreachable:
    """A broker whose first answers to orders are these, each so many seconds after the one before."""

    answers: list[tuple[float, Exception]]
    now: float = 0.0

    def place_order(self, *, intent: OrderIntent, at_its_turn: Callable[[], None]) -> BrokerOrder:
        at_its_turn()
        if self.answers:
            after_s, error = self.answers.pop(0)
            self.now += after_s
            raise error
        return BrokerOrder(broker_order_id="5", client_order_id="one", order_status="new")

    def find_order(self, *, client_order_id: str) -> BrokerOrder | None:
        return None

    def placing(self) -> Placing:
        return Placing(
            broker=cast(TradingBroker, self),
            check=lambda _: None,
            not_before=NOON,
            stopping=lambda: False,
            log=EventLog(StringIO()),
            retry_policy=RetryPolicy(lookups_s=(), down_after_s=30.0),
            timer=Timer(monotonic=lambda: self.now),
        )


class FailingLookups(Unreachable):
    """Leaves what was sent open, and fails every lookup."""

    is_down = False

    def find_order(self, *, client_order_id: str) -> BrokerOrder | None:
        raise BrokerError("the lookup failed")

    def get_clock(self) -> None:
        if self.is_down:
            raise BrokerError("the broker is down")


ONE = ApprovedOrder(
    0,
    OrderIntent(
        strategy_id="momentum", broker_account_id="paper", symbol="SPY", side="buy", qty=1.0,
        client_intent_id="one",
    ),
)  # fmt: skip


def test_where_only_the_lookup_fails_the_order_is_unresolved_and_the_others_go_on() -> None:
    outcome = FailingLookups([(0.0, OutcomeUnknown("no answer"))]).placing().place(ONE, sought=False)
    assert (outcome.status, outcome.reason) == ("unresolved", "outcome_unknown")
    assert "Looking it up failed: the lookup failed" in outcome.message


def test_where_nothing_of_the_broker_can_be_reached_after_a_lookup_the_run_is_left_to_be_resumed() -> None:
    broker = FailingLookups([(0.0, OutcomeUnknown("no answer"))])
    broker.is_down = True
    with pytest.raises(BrokerError, match="the broker is down"):
        broker.placing().place(ONE, sought=False)


GONE = NotSent("never left")
LIMITED = RateLimited("rate limit exceeded", status=429)


@pytest.mark.parametrize(
    "answers",
    [
        [(100.0, GONE)],
        [(100.0, GONE), (30.0, GONE)],
        [(0.0, GONE), (29.0, LIMITED), (29.0, GONE), (30.0, GONE)],
        [(0.0, GONE), (29.0, OutcomeUnknown("cut off")), (29.0, GONE), (30.0, GONE)],
    ],
    ids=[
        "after a long wait for its turn",
        "for as long as is borne",
        "twice, with an answer in between",
        "twice, with half an answer in between",
    ],
)
def test_how_long_there_is_no_connection_counts_from_when_there_was_none(
    answers: list[tuple[float, Exception]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Placing, "_pause", lambda *_: None)
    assert Unreachable(answers).placing().place(ONE, sought=False).status == "placed"


def test_without_a_connection_for_longer_than_is_borne_the_broker_is_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Placing, "_pause", lambda *_: None)
    with pytest.raises(NotSent):
        Unreachable([(0.0, GONE), (30.1, GONE)]).placing().place(ONE, sought=False)


def limited(wait_s: float) -> RateLimited:
    error = RateLimited("rate limit exceeded", status=429)
    error.wait_s = wait_s
    return error


@pytest.mark.parametrize(
    ("answers", "is_down"),
    [
        ([(0.0, limited(30.0)), (30.0, limited(30.0))], False),
        ([(0.0, limited(30.0)), (30.0, limited(30.0)), (30.0, limited(30.0))], True),
        ([(0.0, limited(61.0))], False),
        ([(0.0, limited(61.1))], True),
        ([(0.0, limited(1e9))], True),
        ([(100.0, limited(0.0))], False),
        ([(0.0, limited(0.0)), (61.1, limited(0.0))], True),
        ([(0.0, limited(1.0)) for _ in range(62)], True),
    ],
)
def test_a_broker_that_turns_an_order_away_for_longer_than_is_waited_is_down(
    answers: list[tuple[float, Exception]], is_down: bool
) -> None:
    placing = Unreachable(answers).placing()
    if not is_down:
        assert placing.place(ONE, sought=False).status == "placed"
        return
    with pytest.raises(RateLimited):
        placing.place(ONE, sought=False)


def goes_down_after(orders: int, *, carrying_out_the_last: bool) -> Between:
    """Return a broker that takes some orders and is down from then on."""
    taken: list[str] = []

    def middle(request: PreparedRequest, send: Send) -> Response:
        if len(taken) >= orders:
            if carrying_out_the_last and is_order(request) and len(taken) == orders:
                taken.append("lost")
                send()
                raise dropped(request)
            raise no_connection(request)
        answer = send()
        if is_order(request):
            taken.append(client_id_of(request))
        return answer

    return middle


@pytest.mark.parametrize("carrying_out_the_last", [True, False], ids=["reply lost", "never left"])
def test_a_broker_that_goes_down_in_the_middle_gets_each_order_once_in_the_end(
    desk: TradingDesk, carrying_out_the_last: bool
) -> None:
    desk.between = goes_down_after(2, carrying_out_the_last=carrying_out_the_last)
    names = [f"order-{number}" for number in range(5)]
    desk.drop("a.json", *[order(client_intent_id=name) for name in names])
    with pytest.raises(BrokerError):
        desk.live()
    (broken,) = desk.runs()
    assert RESULTS not in broken.names()
    assert desk.placed_ids() == names[: 2 + carrying_out_the_last]
    desk.disarm()
    desk.live()
    assert statuses(broken) == ["placed"] * 5
    assert desk.placed_ids() == names
    assert desk.trades() == 5


def test_a_broker_that_is_down_before_the_first_order_leaves_everything_to_the_next_run(
    desk: TradingDesk,
) -> None:
    def down(request: PreparedRequest, send: Send) -> Response:
        raise no_connection(request)

    desk.between = down
    with pytest.raises(BrokerError):
        desk.one()
    assert desk.runs() == []
    assert desk.left() == ["one.json"]


def test_being_asked_to_stop_while_an_order_is_sought_leaves_it_to_the_next_run(desk: TradingDesk) -> None:
    desk.retry_policy = RetryPolicy(lookups_s=(0.01, 60.0), down_after_s=0.2)
    desk.arm("accept_then_drop")
    desk.arm("lookup_lag", lookups=2)
    desk.stopping = lambda: desk.lookups() >= 2
    with pytest.raises(RunStopped):
        desk.one()
    (broken,) = desk.runs()
    assert RESULTS not in broken.names()
    desk.stopping = lambda: False
    desk.live()
    assert [row["adopted"] for row in results(broken)] == [True]
    assert desk.placed_ids() == ["one"]


# --- replies in a shape never seen


SHAPES: dict[str, tuple[int, object]] = {
    "empty": (200, b""),
    "null": (200, None),
    "a list": (200, []),
    "an empty object": (200, {}),
    "a word": (200, "ok"),
    "a page": (200, b"<html><body>Welcome</body></html>"),
    "half an object": (200, b'{"id": "5'),
    "no text": (200, b"\xff\xfe\x00\x01"),
    "an order without an id": (200, {"client_order_id": "one", "status": "new", "filled_qty": "0"}),
    "an id that is a number": (200, {"id": 5, "client_order_id": "one", "status": "new"}),
    "a list of orders": (200, [{"id": "5", "client_order_id": "one", "status": "new"}]),
    "no content": (204, b""),
    "accepted": (202, {"accepted": True}),
    "several": (207, [{"status": 200}]),
    "a status without a name": (599, b"?"),
}


@pytest.mark.parametrize(("status", "body"), SHAPES.values(), ids=SHAPES.keys())
def test_a_reply_in_a_shape_never_seen_leaves_the_outcome_open_until_a_lookup(
    desk: TradingDesk, status: int, body: object
) -> None:
    def middle(request: PreparedRequest, send: Send) -> Response:
        send()
        return reply(request, status, body)

    desk.between = with_orders_answered(middle)
    row = desk.one()
    assert (row["status"], row["adopted"]) == ("placed", True)
    assert desk.posts() == desk.placed_ids() == ["one"]


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "pending_review"},
        {"status": "a status of next year", "new_field": {"deep": [1, 2]}},
        {"submitted_at": "yesterday", "expires_at": 5, "legs": None},
        {"limit_price": "?", "filled_avg_price": []},
    ],
)
def test_a_reply_with_words_never_seen_places_the_order_all_the_same(desk: TradingDesk, changes: Row) -> None:
    def middle(request: PreparedRequest, send: Send) -> Response:
        return reply(request, 200, send().json() | changes)

    desk.between = with_orders_answered(middle)
    row = desk.one()
    assert (row["status"], row["adopted"], row["filled_qty"]) == ("placed", False, 1.0)
    assert (desk.posts(), desk.lookups()) == (["one"], 0)


@pytest.mark.parametrize(("status", "body"), [(200, []), (200, {"id": "5"}), (404, {"message": "gone"})])
def test_a_lookup_answered_in_a_shape_never_seen_is_no_leave_to_send_again(
    desk: TradingDesk, status: int, body: object
) -> None:
    desk.arm("accept_then_drop")
    desk.between = lambda request, send: (
        reply(request, status, body) if path_of(request) == BY_CLIENT_ID else send()
    )
    row = desk.one()
    assert row["status"] == "unresolved"
    assert desk.posts() == desk.placed_ids() == ["one"]


def test_a_reply_that_never_comes_to_an_end_is_one_that_was_lost(desk: TradingDesk) -> None:
    def middle(request: PreparedRequest, send: Send) -> Response:
        send()
        raise requests.ReadTimeout("the whole reply took too long", request=request)

    desk.between = with_orders_answered(middle)
    assert desk.one()["adopted"] is True
    assert desk.posts() == ["one"]


# --- what was unresolved is resolved by the next run


@pytest.mark.parametrize("times", [1, 2])
def test_an_unresolved_order_that_is_there_after_all_reaches_the_ledger_by_a_later_run(
    desk: TradingDesk, times: int
) -> None:
    desk.arm("accept_then_drop")
    desk.arm("lookup_lag", lookups=1000)
    assert desk.one(qty=3)["status"] == "unresolved"
    assert (desk.trades(), len(desk.left_open())) == (0, 1)
    desk.disarm()
    desk.simulator.simulation.disarm()
    for _ in range(times):
        desk.live()
    assert (desk.trades(), desk.left_open()) == (1, [])
    document = desk.store.ledger_document(desk.orders()[0]["id"])
    assert document is not None
    assert (document["filled_qty"], document["trading_date"]) == (3.0, "2026-03-02")


def test_an_unresolved_order_that_never_came_is_forgotten_once_its_session_has_ended(
    desk: TradingDesk,
) -> None:
    desk.control("POST", "faults", placing("error_before", times=None))
    assert desk.one()["status"] == "unresolved"
    desk.disarm()
    desk.live()
    assert len(desk.left_open()) == 1
    desk.tick(86_400)
    desk.live()
    assert desk.left_open() == []
    assert desk.placed_ids() == []


@pytest.mark.parametrize(
    ("begun_after_s", "looked_after_s"),
    [(1, 2 * 3600), (7.9 * 3600, 3540)],
    ids=["two hours later in its session", "within an hour of it, in the next session"],
)
def test_an_unresolved_order_is_not_forgotten_in_its_session_nor_within_an_hour_of_it(
    desk: TradingDesk, begun_after_s: float, looked_after_s: float
) -> None:
    desk.tick(begun_after_s)
    desk.control("POST", "faults", placing("error_before", times=None))
    assert desk.one(qty=60)["status"] == "unresolved"
    desk.disarm()
    desk.tick(looked_after_s)
    desk.drop("b.json", order(client_intent_id="more", qty=41))
    run = desk.live(RiskConfig(max_position_qty=100, accounts=frozenset({"paper"})))
    assert outcomes(run) == [("rejected", "max_position_size_exceeded")]
    assert len(desk.left_open()) == 1


def test_an_order_in_doubt_is_looked_for_until_more_than_a_minute_after_its_run(desk: TradingDesk) -> None:
    refused_after_a_killed_job(desk, taken_in=False, hidden_for=0)
    desk.disarm()
    assert len(desk.left_open()) == 1
    desk.live()  # a minute later, to the second
    assert len(desk.left_open()) == 1
    desk.live()
    assert desk.left_open() == []


Withholding = Callable[[TradingDesk], dict[str, Any]]


def switched_on(desk: TradingDesk) -> dict[str, Any]:
    return {"kill_switch": lambda: on() if desk.lookups() else off()}


def grown_old(desk: TradingDesk) -> dict[str, Any]:
    def middle(request: PreparedRequest, send: Send) -> Response:
        if path_of(request) == BY_CLIENT_ID:
            desk.later(seconds=901)
        return send()

    desk.between = middle
    return {}


@pytest.mark.parametrize("withholding", [switched_on, grown_old])
def test_an_order_of_unknown_outcome_that_may_not_be_sent_again_is_unresolved_and_not_called_unsent(
    desk: TradingDesk, withholding: Withholding
) -> None:
    """It was sent, and lookups lag: the next run finds it, and its fill."""
    desk.arm("accept_then_drop")
    desk.arm("lookup_lag", lookups=LOOKUPS)
    changes = withholding(desk)
    desk.drop("a.json", order(client_intent_id="one"))
    run = desk.live(changes=changes)
    assert outcomes(run) == [("unresolved", "outcome_unknown")]
    assert (desk.posts(), exit_code(run)) == (["one"], 4)
    desk.disarm()
    desk.live()
    assert desk.trades() == 1


def test_an_order_of_the_broker_is_reported_by_the_log_with_its_id(desk: TradingDesk) -> None:
    asked: list[str] = []
    desk.between = after_orders(asked.append)
    row = desk.one()
    (attempted,) = desk.events("order_attempted")
    (placed,) = desk.events("order_placed")
    assert attempted["intent_id"] == placed["intent_id"] == "one"
    assert placed["broker_order_id"] == row["broker_order_id"] == desk.orders()[0]["id"]
    assert asked == ["one"]


def test_an_order_that_was_in_doubt_and_is_there_after_all_reaches_the_ledger_by_a_later_run(
    desk: TradingDesk,
) -> None:
    """A job dies right after its order left; the one that resumes it is halted, and lookups still lag."""
    died: list[PreparedRequest] = []

    def dies_once(request: PreparedRequest, send: Send) -> Response:
        answer = send()
        if is_order(request) and not died:
            died.append(request)
            raise desk.die()
        path = path_of(request)
        if not died or request.method != "GET" or not path.startswith("/v2/orders"):
            return answer
        if path == BY_CLIENT_ID:
            return reply(request, 404, {"code": 40410000, "message": "order not found"})
        return reply(request, 200, [])

    desk.between = dies_once
    desk.drop("a.json", order(client_intent_id="one", qty=3))
    with pytest.raises(Killed):
        desk.live()
    desk.live(changes={"kill_switch": on})
    assert statuses(desk.runs()[0]) == ["halted"]
    desk.disarm()
    desk.live()
    assert desk.trades() == 1
