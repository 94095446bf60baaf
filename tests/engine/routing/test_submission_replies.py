"""One order against a broker whose replies are written down: its outcome, and what was asked for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any, cast

import pytest

from engine.brokers.trading import TradingBroker
from engine.errors import BrokerError, BrokerRejected, NotSent, OutcomeUnknown, RateLimited, RunStopped
from engine.log import EventLog
from engine.model.orders import BrokerOrder, OrderIntent
from engine.routing.outcomes import OrderOutcome
from engine.routing.release_check import ApprovedOrder
from engine.routing.submission import Placing, Withheld, answered_before
from engine.waiting.retry_policy import RetryPolicy

BEGUN = datetime(2026, 3, 2, 17, tzinfo=UTC)
ORDER = ApprovedOrder(
    0,
    OrderIntent(
        strategy_id="momentum", broker_account_id="paper", symbol="SPY", side="buy", qty=1.0,
        client_intent_id="one",
    ),
)  # fmt: skip
AT_BROKER = BrokerOrder(
    broker_order_id="b-1", client_order_id="one", order_status="new", symbol="SPY", side="buy", qty=1.0,
    order_type="market", created_at=BEGUN,
)  # fmt: skip
UNKNOWN = OutcomeUnknown("the reply was cut off.")
REFUSED = BrokerRejected("insufficient buying power", status=403)
TAKEN = BrokerRejected("client_order_id must be unique.", status=422)
GONE = NotSent("no connection.")
LIMITED = RateLimited("rate limit exceeded", status=429)
HALTED = OrderOutcome(status="halted", reason="kill_switch_enabled", message="the switch is on")

Answer = BrokerOrder | Exception


@dataclass
class Scripted:
    """A broker with written replies: to orders, to lookups (none found once they are used up), to lists."""

    answers: list[Answer] = field(default_factory=list)
    lookups: list[BrokerOrder | Exception | None] = field(default_factory=list)
    lists: list[list[BrokerOrder]] = field(default_factory=list)
    turns: int = 1
    asked: list[str] = field(default_factory=list)
    logged: StringIO = field(default_factory=StringIO)

    def place_order(self, *, intent: OrderIntent, at_its_turn: Callable[[], None]) -> BrokerOrder:
        for _ in range(self.turns):
            at_its_turn()
        self.asked.append(f"place {intent.client_intent_id}")
        return _replied(self.answers.pop(0))

    def find_order(self, *, client_order_id: str) -> BrokerOrder | None:
        self.asked.append(f"find {client_order_id}")
        found = self.lookups.pop(0) if self.lookups else None
        return None if found is None else _replied(found)

    def orders_since(self, since: datetime) -> list[BrokerOrder]:
        self.asked.append(f"list since {since:%H:%M}")
        return self.lists.pop(0)

    def get_clock(self) -> None:
        self.asked.append("clock")

    def is_duplicate_id(self, error: BrokerRejected) -> bool:
        return "must be unique" in str(error)

    def placing(self, **said: Any) -> Placing:
        plain: dict[str, Any] = {
            "check": lambda _: None,
            "not_before": BEGUN,
            "stopping": lambda: False,
            "retry_policy": RetryPolicy(lookups_s=(0.0, 0.0), posts=2, down_after_s=0.3),
        }
        broker, log = cast(TradingBroker, self), EventLog(self.logged)
        return Placing(broker=broker, log=log, **(plain | said))

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.logged.getvalue().splitlines()]

    def logs(self) -> list[str]:
        return [str(event["event"]) for event in self.events()]


def _replied(answer: Answer) -> BrokerOrder:
    if isinstance(answer, Exception):
        raise answer
    return answer


PLACE, FIND = "place one", "find one"
REJECTED = OrderOutcome(
    status="broker_rejected", reason="refused_by_broker", message=str(REFUSED), attempted=True
)
ADOPTED = OrderOutcome(
    status="placed",
    order=AT_BROKER,
    attempted=True,
    adopted=True,
    message="its reply was lost; found at the broker by its id",
)


def unresolved(message: str) -> OrderOutcome:
    return OrderOutcome(status="unresolved", reason="outcome_unknown", message=message, attempted=True)


def used_before(why: str) -> OrderOutcome:
    message = (
        f"the id one was used before, and not by this run ({why}). This run placed no order under it; give "
        f"the intent another client_intent_id."
    )
    return OrderOutcome(status="broker_rejected", reason="id_used_before", message=message, attempted=True)


@dataclass(frozen=True)
class Case:
    """What a broker replies, and what comes of one order."""

    name: str
    answers: list[Answer]
    outcome: OrderOutcome
    asked: list[str]
    lookups: list[BrokerOrder | Exception | None] = field(default_factory=list)
    sought: bool = False


NOT_FOUND = [FIND] * 3
CASES = (
    Case("placed", [AT_BROKER], OrderOutcome(status="placed", order=AT_BROKER, attempted=True), [PLACE]),
    Case("unknown, found", [UNKNOWN], ADOPTED, [PLACE, FIND], [AT_BROKER]),
    Case("unknown, found at last", [UNKNOWN], ADOPTED, [PLACE, *NOT_FOUND], [None, None, AT_BROKER]),
    Case(
        "unknown, not found, placed",
        [UNKNOWN, AT_BROKER],
        OrderOutcome(status="placed", order=AT_BROKER, attempted=True),
        [PLACE, *NOT_FOUND, PLACE],
    ),
    Case(
        "never known",
        [UNKNOWN, UNKNOWN],
        unresolved("the reply was cut off. No order with this id is found."),
        [PLACE, *NOT_FOUND, PLACE, *NOT_FOUND],
    ),
    Case("refused", [REFUSED], REJECTED, [PLACE]),
    Case("its id is taken", [TAKEN], used_before(str(TAKEN).rstrip(".")), [PLACE]),
    Case(
        "unknown, its id is taken, found",
        [UNKNOWN, TAKEN],
        ADOPTED,
        [PLACE, *NOT_FOUND, PLACE, FIND],
        [None, None, None, AT_BROKER],
    ),
    Case(
        "unknown, refused, not found",
        [UNKNOWN, REFUSED],
        unresolved(f"{REFUSED} No order with this id is found."),
        [PLACE, *NOT_FOUND, PLACE, *NOT_FOUND],
    ),
    Case("perhaps sent, found", [], ADOPTED, [FIND], [AT_BROKER], sought=True),
    Case(
        "perhaps sent, not found, placed",
        [AT_BROKER],
        OrderOutcome(status="placed", order=AT_BROKER, attempted=True),
        [FIND, PLACE],
        sought=True,
    ),
    Case(
        "perhaps sent, refused, not found",
        [REFUSED],
        replace(REJECTED, in_doubt=True),
        [FIND, PLACE, *NOT_FOUND],
        sought=True,
    ),
    Case(
        "perhaps sent, its id is taken, not found",
        [TAKEN],
        unresolved(f"{TAKEN} No order with this id is found."),
        [FIND, PLACE, *NOT_FOUND],
        sought=True,
    ),
    Case(
        "turned away, placed",
        [LIMITED, AT_BROKER],
        OrderOutcome(status="placed", order=AT_BROKER, attempted=True),
        [PLACE, PLACE],
    ),
    Case(
        "no connection, placed",
        [GONE, AT_BROKER],
        OrderOutcome(status="placed", order=AT_BROKER, attempted=True),
        [PLACE, PLACE],
    ),
    Case(
        "unknown, lookup fails",
        [UNKNOWN],
        unresolved("the reply was cut off. Looking it up failed: the lookup failed"),
        [PLACE, FIND, "clock"],
        [BrokerError("the lookup failed")],
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_the_replies_make_of_an_order_and_what_is_asked(case: Case) -> None:
    broker = Scripted(list(case.answers), list(case.lookups))
    assert broker.placing().place(ORDER, sought=case.sought) == case.outcome
    assert broker.asked == case.asked


def test_an_order_that_was_found_before_is_adopted_without_asking() -> None:
    broker = Scripted()
    assert broker.placing().place(ORDER, sought=True, found=AT_BROKER) == ADOPTED
    assert broker.asked == []


@pytest.mark.parametrize("after_s", [0.0, 0.000001])
def test_an_order_made_since_the_run_began_is_its_own(after_s: float) -> None:
    made = replace(AT_BROKER, created_at=BEGUN + timedelta(seconds=after_s))
    assert Scripted([UNKNOWN], [made]).placing().place(ORDER, sought=False).adopted


def test_an_order_made_before_the_run_began_is_another_use_of_its_id() -> None:
    made = replace(AT_BROKER, created_at=BEGUN - timedelta(seconds=0.000001))
    outcome = Scripted([UNKNOWN], [made]).placing().place(ORDER, sought=False)
    assert outcome == used_before("order b-1 of 2026-03-02 16:59:59 UTC has it")


def test_the_time_of_submission_stands_for_a_time_of_creation_that_is_missing() -> None:
    made = replace(AT_BROKER, created_at=None, submitted_at=BEGUN - timedelta(days=1))
    outcome = Scripted([UNKNOWN], [made]).placing().place(ORDER, sought=False)
    assert outcome.reason == "id_used_before"
    made = replace(AT_BROKER, submitted_at=BEGUN - timedelta(days=1))
    assert Scripted([UNKNOWN], [made]).placing().place(ORDER, sought=False).adopted


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"qty": 2.0}, "qty 2.0 instead of 1.0"),
        ({"created_at": None}, "it has no time of creation"),
        ({"qty": 2.0, "created_at": None}, "qty 2.0 instead of 1.0; it has no time of creation"),
    ],
)
def test_an_order_with_this_id_that_differs_is_not_adopted_and_an_operator_is_to_look(
    changes: dict[str, Any], wrong: str
) -> None:
    broker = Scripted([UNKNOWN], [replace(AT_BROKER, **changes)])
    outcome = broker.placing().place(ORDER, sought=False)
    assert outcome == unresolved(
        f"order b-1 has the id of this intent but differs: {wrong}. Look at it on the broker's dashboard."
    )
    assert broker.events()[-1]["event"] == "order_mismatch"
    assert (broker.events()[-1]["severity"], broker.events()[-1]["intent_id"]) == ("CRITICAL", "one")


# --- what the log says


def test_the_log_says_what_became_of_an_order_with_its_ids() -> None:
    broker = Scripted([AT_BROKER])
    broker.placing().place(ORDER, sought=False)
    assert broker.logs() == ["order_attempted", "order_placed"]
    assert [event["intent_id"] for event in broker.events()] == ["one", "one"]
    assert broker.events()[1]["broker_order_id"] == "b-1"


def test_the_log_says_that_an_outcome_was_unknown_and_the_order_found() -> None:
    broker = Scripted([UNKNOWN], [AT_BROKER])
    broker.placing().place(ORDER, sought=False)
    assert broker.logs() == ["order_attempted", "order_unknown", "order_adopted"]
    _, unknown, adopted = broker.events()
    assert (unknown["severity"], unknown["intent_id"]) == ("WARNING", "one")
    assert "cut off" in unknown["message"]
    assert (adopted["intent_id"], adopted["broker_order_id"]) == ("one", "b-1")


def test_a_turn_that_is_checked_again_since_connecting_took_long_is_logged_as_such_each_time() -> None:
    checked: list[str] = []
    broker = Scripted([AT_BROKER], turns=3)
    broker.placing(check=lambda order: checked.append(order.key[1])).place(ORDER, sought=False)
    assert broker.logs() == [
        "order_attempted",
        "order_looked_at_again",
        "order_looked_at_again",
        "order_placed",
    ]
    assert checked == ["one"] * 3
    assert (broker.events()[1]["severity"], broker.events()[1]["intent_id"]) == ("WARNING", "one")


# --- an order that is withheld


def withholding(outcome: OrderOutcome, *, from_check: int = 1) -> Callable[[ApprovedOrder], None]:
    checks = [0]

    def check(order: ApprovedOrder) -> None:
        checks[0] += 1
        if checks[0] >= from_check:
            raise Withheld(outcome)

    return check


@pytest.mark.parametrize("sought", [False, True])
def test_an_order_withheld_before_it_was_sent_is_in_doubt_only_where_a_killed_job_may_have_sent_it(
    sought: bool,
) -> None:
    broker = Scripted()
    outcome = broker.placing(check=withholding(HALTED)).place(ORDER, sought=sought)
    assert outcome == replace(HALTED, in_doubt=sought)
    assert PLACE not in broker.asked
    assert broker.logs() == []


def test_an_order_withheld_after_the_rate_limit_turned_it_away_names_that() -> None:
    broker = Scripted([LIMITED])
    outcome = broker.placing(check=withholding(HALTED, from_check=2)).place(ORDER, sought=False)
    assert outcome == replace(HALTED, message="the switch is on; turned away by the broker's rate limit once")
    assert broker.events()[1]["event"] == "order_turned_away"
    assert broker.events()[1]["intent_id"] == "one"


def test_an_order_withheld_after_it_was_sent_once_is_unresolved() -> None:
    broker = Scripted([UNKNOWN])
    outcome = broker.placing(check=withholding(HALTED, from_check=2)).place(ORDER, sought=False)
    assert outcome == unresolved("the reply was cut off. It isn't sent again: the switch is on")


# --- waiting


def waits(broker: Scripted, monkeypatch: pytest.MonkeyPatch, **retries: Any) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(Placing, "_pause", lambda _, seconds: found.append(seconds))
    broker.placing(retry_policy=RetryPolicy(**retries)).place(ORDER, sought=False)
    return found


def test_lookups_wait_as_long_as_the_policy_says_and_the_first_one_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = Scripted([UNKNOWN, UNKNOWN])
    assert waits(broker, monkeypatch, lookups_s=(0.5, 2.0), posts=2) == [0.0, 0.5, 2.0] * 2


@pytest.mark.parametrize(("down_after_s", "wait_s"), [(0.3, 0.01), (30.0, 1.0), (600.0, 1.0)])
def test_without_a_connection_an_order_is_tried_each_second_and_thirty_times_before_it_is_down(
    monkeypatch: pytest.MonkeyPatch, down_after_s: float, wait_s: float
) -> None:
    found = waits(Scripted([GONE, GONE, AT_BROKER]), monkeypatch, down_after_s=down_after_s)
    assert found == [wait_s, wait_s]


@pytest.mark.parametrize("answer", [GONE, UNKNOWN])
def test_a_job_that_is_to_end_waits_no_longer_for_an_order(answer: Exception) -> None:
    broker = Scripted([answer])
    with pytest.raises(RunStopped, match="Stopped while the outcome of an order was sought"):
        broker.placing(stopping=lambda: PLACE in broker.asked).place(ORDER, sought=False)


# --- orders that an earlier job may have sent


def listed(*ids: str) -> list[BrokerOrder]:
    return [replace(AT_BROKER, client_order_id=one) for one in ids]


def test_orders_that_a_killed_job_may_have_sent_are_listed_until_all_are_found() -> None:
    broker = Scripted(lists=[listed("other"), listed("b", "other"), listed("a"), listed("never asked")])
    placing = broker.placing(retry_policy=RetryPolicy(lookups_s=(0.0, 0.0, 0.0)))
    assert sorted(placing.seek(["a", "b"])) == ["a", "b"]
    assert broker.asked == ["list since 17:00"] * 3


def test_orders_are_sought_at_once_and_then_after_each_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[float] = []
    monkeypatch.setattr(Placing, "_pause", lambda _, seconds: found.append(seconds))
    broker = Scripted(lists=[[], [], listed("a")])
    broker.placing(retry_policy=RetryPolicy(lookups_s=(0.5, 2.0, 4.0))).seek(["a"])
    assert found == [0.0, 0.5, 2.0]


def test_orders_that_are_not_found_are_listed_as_often_as_the_policy_says() -> None:
    broker = Scripted(lists=[listed("a")] * 3)
    assert sorted(broker.placing().seek({"a", "b"})) == ["a"]
    assert len(broker.asked) == 3


def test_where_no_order_is_sought_nothing_is_asked() -> None:
    broker = Scripted()
    assert (broker.placing().seek([]), broker.placing().listed([])) == ({}, {})
    assert broker.asked == []


def test_a_job_that_is_to_end_seeks_no_longer() -> None:
    broker = Scripted(lists=[[], []])
    with pytest.raises(RunStopped):
        broker.placing(stopping=lambda: len(broker.asked) >= 1).seek(["a"])
    assert len(broker.asked) == 1


def test_a_reply_in_a_killed_jobs_journal_is_the_outcome_of_its_order() -> None:
    assert answered_before(AT_BROKER) == OrderOutcome(status="placed", order=AT_BROKER, attempted=True)
    assert answered_before(REFUSED) == REJECTED
