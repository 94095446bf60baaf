"""Asking again: by a clock that only sleeping moves, and once by a real one through the broker."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from engine.brokers.alpaca.broker import AlpacaBroker
from engine.brokers.alpaca.read_retries import AskedWaits, NoAnswer, ReadRetries
from engine.errors import (
    BrokerError,
    BrokerRejected,
    ConfigurationError,
    OutcomeUnknown,
    RateLimited,
    RunStopped,
)
from engine.waiting.retry_policy import RetryPolicy
from engine.waiting.timer import Timer
from tests.engine.brokers.loopback import (
    ACCOUNT,
    HTML_ERROR,
    INTENT,
    ORDER_ID,
    Answer,
    Loopback,
    broker_at,
    hangs,
    hangs_up,
    resets_in_the_body,
    says,
    sends_half_a_body,
    talks_nonsense,
)

LOST = BrokerError("no answer")


class Clock:
    """Time that passes by sleeping, and by ``takes_s`` with every try."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.now_s = 1000.0
        self.takes_s = takes_s
        self.slept: list[float] = []
        self.tried_at: list[float] = []
        self.left: list[float] = []

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 0.1
        self.slept.append(seconds)
        self.now_s += seconds

    def never(self, left_s: float) -> str:
        return self.after(math.inf)(left_s)

    def after(self, failures: float, wait_s: float = 0.0) -> Callable[[float], str]:
        def once(left_s: float) -> str:
            self.tried_at.append(self.now_s - 1000)
            self.left.append(left_s)
            self.now_s += self.takes_s
            if len(self.tried_at) <= failures:
                raise NoAnswer(LOST, wait_s)
            return "answer"

        return once

    @property
    def timer(self) -> Timer:
        return Timer(monotonic=self.monotonic, sleep=self.sleep)

    def retries(
        self,
        read_s: float,
        *,
        broker_wait_s: float = 60,
        stopping: Callable[[], bool] = lambda: False,
        **others: Any,
    ) -> ReadRetries:
        policy = RetryPolicy(read_s=read_s, broker_wait_s=broker_wait_s)
        return ReadRetries(retry_policy=policy, stopping=stopping, timer=self.timer, **others)


@pytest.fixture
def longest_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda least, most: most)


def test_an_answer_at_once_takes_no_waiting() -> None:
    clock = Clock()
    assert clock.retries(30).ask(clock.after(0)) == "answer"
    assert (clock.slept, clock.left) == ([], [30])


@pytest.mark.usefixtures("longest_waits")
def test_waits_double_up_to_a_bound_and_the_last_try_begins_before_the_retry_time_ends() -> None:
    clock = Clock()
    with pytest.raises(BrokerError) as caught:
        clock.retries(30).ask(clock.never)
    assert caught.value is LOST
    assert clock.tried_at == pytest.approx([0, 0.5, 1.5, 3.5, 7.5, 15.5, 23.5])


def test_waits_are_drawn_from_nothing_to_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[float, float]] = []

    def uniform(least: float, most: float) -> float:
        drawn.append((least, most))
        return most / 2

    monkeypatch.setattr("random.uniform", uniform)
    clock = Clock()
    assert clock.retries(30).ask(clock.after(3)) == "answer"
    assert drawn == [(0, 0.5), (0, 1.0), (0, 2.0)]
    assert clock.tried_at == pytest.approx([0, 0.25, 0.75, 1.75])


@pytest.mark.usefixtures("longest_waits")
def test_every_try_gets_the_retry_time_that_is_left() -> None:
    clock = Clock(takes_s=2.0)
    with pytest.raises(BrokerError):
        clock.retries(10).ask(clock.never)
    assert clock.left == pytest.approx([10, 7.5, 4.5, 0.5])


def test_a_wait_that_the_broker_asks_for_is_kept() -> None:
    clock = Clock()
    assert clock.retries(30).ask(clock.after(2, wait_s=7)) == "answer"
    assert clock.tried_at[1] >= 7
    assert clock.tried_at[2] - clock.tried_at[1] >= 7


@pytest.mark.usefixtures("longest_waits")
def test_a_wait_that_the_broker_asks_for_uses_up_no_retry_time() -> None:
    clock = Clock()
    with pytest.raises(BrokerError):
        clock.retries(4).ask(_first(clock.after(1, wait_s=30), then=clock.never))
    assert clock.tried_at == pytest.approx([0, 30, 31, 33])
    assert clock.left == pytest.approx([4, 4, 3, 1])


def _first(once: Callable[[float], str], *, then: Callable[[float], str]) -> Callable[[float], str]:
    calls = iter([once])

    def turn_by_turn(left_s: float) -> str:
        return next(calls, then)(left_s)

    return turn_by_turn


@pytest.mark.parametrize(
    ("wait_s", "tries"),
    [(30, 3), (59, 2), (60, 2), (61, 2), (61.1, 1), (3600, 1), (1e9, 1), (math.inf, 1), (math.nan, 1)],
)
def test_all_the_waits_that_the_broker_asks_for_have_a_bound_which_does_not_count_the_second_after_a_reset(
    wait_s: float, tries: int
) -> None:
    clock = Clock()
    with pytest.raises(BrokerError):
        clock.retries(30, broker_wait_s=60).ask(clock.after(math.inf, wait_s=wait_s))
    assert len(clock.tried_at) == tries
    assert clock.now_s - 1000 == pytest.approx((tries - 1) * wait_s if tries > 1 else 0)


@pytest.mark.parametrize("read_s", [0, 30])
def test_where_nothing_is_waited_for_a_wait_is_not_begun(read_s: float) -> None:
    clock = Clock()
    with pytest.raises(BrokerError):
        clock.retries(read_s, broker_wait_s=0).ask(clock.after(1, wait_s=0.5))
    assert (len(clock.tried_at), clock.slept) == (1, [])


def test_questions_that_wait_together_wait_no_longer_than_one() -> None:
    clock = Clock()
    retries = clock.retries(30, broker_wait_s=60, together=AskedWaits(61))
    assert retries.ask(clock.after(1, wait_s=55)) == "answer"
    clock.tried_at.clear()
    with pytest.raises(BrokerError):
        retries.ask(clock.after(1, wait_s=55))
    assert clock.now_s - 1000 == pytest.approx(55)


def test_a_wait_is_reported_before_it_begins_and_no_other_is() -> None:
    clock = Clock()
    reported: list[tuple[BrokerError, float, float]] = []
    retries = clock.retries(
        30, waiting=lambda error, wait_s: reported.append((error, wait_s, clock.now_s - 1000))
    )
    retries.ask(clock.after(1, wait_s=7))
    assert reported == [(LOST, 7, 0)]
    clock.tried_at.clear()
    retries.ask(clock.after(1))
    assert len(reported) == 1


def test_waiting_for_a_turn_uses_up_no_retry_time_and_gets_the_longest_wait_that_is_left() -> None:
    clock = Clock()
    told: list[float] = []

    def turn(held_at_most_s: float) -> None:
        told.append(held_at_most_s)
        clock.now_s += 50

    assert clock.retries(30, broker_wait_s=60).ask(clock.after(2, wait_s=20), turn=turn) == "answer"
    assert told == [61, 41, 21]
    assert clock.left == pytest.approx([30] * 3, abs=1)


def test_what_the_turn_raises_passes_through() -> None:
    clock = Clock()

    def turn(held_at_most_s: float) -> None:
        raise LOST

    with pytest.raises(BrokerError) as caught:
        clock.retries(30).ask(clock.after(0), turn=turn)
    assert (caught.value, clock.tried_at) == (LOST, [])


def test_without_retry_time_there_is_one_try_of_unlimited_time() -> None:
    clock = Clock()
    with pytest.raises(BrokerError):
        clock.retries(0).ask(clock.never)
    assert (clock.left, clock.slept) == ([math.inf], [])


def test_a_job_that_is_to_end_does_not_wait_on() -> None:
    clock = Clock()
    with pytest.raises(RunStopped) as caught:
        clock.retries(30, stopping=lambda: clock.now_s >= 1003).ask(clock.after(1, wait_s=20))
    assert caught.value.__cause__ is LOST
    assert 1003 <= clock.now_s < 1003.2


def test_any_other_error_passes_through_at_once() -> None:
    clock = Clock()

    def refuses(left_s: float) -> str:
        clock.tried_at.append(0)
        raise BrokerRejected("no", status=403)

    with pytest.raises(BrokerRejected):
        clock.retries(30).ask(refuses)
    assert len(clock.tried_at) == 1


@pytest.mark.parametrize("seconds", [-1.0, math.inf, math.nan])
@pytest.mark.parametrize("name", ["read_s", "broker_wait_s"])
def test_a_retry_time_without_end_is_a_configuration_error(name: str, seconds: float) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{name} is .*; expected a number of seconds, or 0"):
        RetryPolicy(**{name: seconds})  # type: ignore[arg-type]


# --- through the broker ---------------------------------------------------------------------------------


@pytest.fixture
def patient(server: Loopback) -> AlpacaBroker:
    """A broker with thirty seconds of patience, none of which it really sleeps."""
    clock = Clock()
    return broker_at(server.url, retry_policy=RetryPolicy(read_s=30), timer=clock.timer)


@pytest.mark.parametrize(
    "fault",
    [
        says(500, {"code": 50010000, "message": "internal server error occurred"}),
        says(502, HTML_ERROR),
        says(503),
        says(504, "upstream timed out"),
        says(200, HTML_ERROR),
        says(200, b""),
        says(200, b'{"id": "904837e3'),
        sends_half_a_body,
        resets_in_the_body,
        hangs_up,
        talks_nonsense,
    ],
)
def test_what_only_asks_is_repeated_until_there_is_an_answer(
    server: Loopback, patient: AlpacaBroker, fault: Answer
) -> None:
    server.answers = [fault, fault, says(200, ACCOUNT)]
    assert patient.get_account().status == "ACTIVE"
    assert [seen.path for seen in server.seen] == ["/v2/account"] * 3


def test_a_rate_limit_is_waited_for(server: Loopback, patient: AlpacaBroker) -> None:
    server.answers = [says(429, {"code": 42910000, "message": "rate limit exceeded"})]
    assert patient.get_account().status == "ACTIVE"
    assert len(server.seen) == 2


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 405, 422])
def test_a_refusal_is_not_asked_again(server: Loopback, patient: AlpacaBroker, status: int) -> None:
    server.answers = [says(status, {"message": "no"})]
    with pytest.raises(BrokerRejected):
        patient.get_account()
    assert len(server.seen) == 1


def test_json_that_is_not_what_was_asked_for_is_not_asked_again(
    server: Loopback, patient: AlpacaBroker
) -> None:
    server.answers = [says(200, [])]
    with pytest.raises(BrokerError, match="the reply is no account"):
        patient.get_account()
    assert len(server.seen) == 1


def test_the_last_error_is_the_one_that_is_raised(server: Loopback, patient: AlpacaBroker) -> None:
    server.answers = [says(503, f"try {number}") for number in range(100)]
    with pytest.raises(BrokerError, match="try ") as caught:
        patient.get_account()
    assert f"try {len(server.seen) - 1}." in str(caught.value)
    assert 5 < len(server.seen) < 100


@pytest.mark.parametrize("status", [429, 503, 500, 504])
def test_a_wait_that_is_longer_than_the_bound_is_not_begun_and_is_the_error(
    server: Loopback, patient: AlpacaBroker, status: int
) -> None:
    server.answers = [says(status, {"message": "not now"}, **{"Retry-After": "62"})]
    with pytest.raises(BrokerError, match="not now") as caught:
        patient.get_account()
    assert (caught.value.wait_s, len(server.seen)) == (62.0, 1)
    assert isinstance(caught.value, RateLimited) is (status == 429)


def test_a_wait_that_another_request_met_is_kept_and_one_beyond_the_bound_ends_the_request_unsent(
    server: Loopback,
) -> None:
    server.answers = [says(429, {"message": "not now"}, **{"Retry-After": "1"})]
    broker = broker_at(server.url, retry_policy=RetryPolicy(read_s=0, broker_wait_s=5))
    with pytest.raises(RateLimited):
        broker.place_order(intent=INTENT)
    begun_at = time.monotonic()
    assert broker.get_account().status == "ACTIVE"
    assert time.monotonic() - begun_at > 0.8

    server.answers = [says(503, "later", **{"Retry-After": "30"})]
    with pytest.raises(OutcomeUnknown):
        broker.place_order(intent=INTENT)
    seen = len(server.seen)
    for ask in (
        broker.get_account,
        lambda: broker.place_order(intent=INTENT),
        lambda: broker.cancel_order(broker_order_id=ORDER_ID),
    ):
        with pytest.raises(
            RateLimited, match=r"asks for no requests for another (30|29) s.*EXEC_BROKER_WAIT_S, 5 s"
        ):
            ask()
    assert len(server.seen) == seen
    assert time.monotonic() - begun_at < 5


def test_questions_wait_together_only_where_that_is_asked_for(server: Loopback) -> None:
    broker = broker_at(server.url, retry_policy=RetryPolicy(read_s=30, broker_wait_s=1))
    limited = says(429, {"message": "not now"}, **{"Retry-After": "1"})
    server.answers = [limited, says(200, ACCOUNT), limited, says(200, ACCOUNT)]
    for _ in range(2):
        assert broker.get_account().status == "ACTIVE"
    server.answers = [limited, says(200, ACCOUNT), limited, limited]
    together = broker.waiting_together()
    assert together.get_account().status == "ACTIVE"
    with pytest.raises(RateLimited):
        together.get_account()


@pytest.mark.parametrize(
    ("method", "send"),
    [
        ("POST", lambda broker: broker.place_order(intent=INTENT)),
        ("DELETE", lambda broker: broker.cancel_order(broker_order_id=ORDER_ID)),
    ],
)
@pytest.mark.parametrize("fault", [says(503), says(429), says(200, b""), sends_half_a_body, hangs_up])
def test_what_changes_something_is_sent_once_however_patient_the_broker(
    server: Loopback,
    patient: AlpacaBroker,
    method: str,
    send: Callable[[AlpacaBroker], object],
    fault: Answer,
) -> None:
    server.answers = [fault]
    with pytest.raises((OutcomeUnknown, RateLimited)):
        send(patient)
    assert [seen.method for seen in server.seen] == [method]


def test_a_try_is_cut_to_the_retry_time_that_is_left(server: Loopback) -> None:
    server.answers = [hangs] * 3
    with requests.Session() as session:
        broker = broker_at(server.url, session, timeout_s=(5.0, 5.0), retry_policy=RetryPolicy(read_s=0.3))
        begun_at = time.monotonic()
        with pytest.raises(BrokerError, match="Read timed out"):
            broker.get_account()
    assert 0.25 < time.monotonic() - begun_at < 2


def test_a_broker_that_is_not_there_is_asked_again(port_nobody_listens_at: int) -> None:
    clock = Clock()
    url = f"http://127.0.0.1:{port_nobody_listens_at}"
    broker = broker_at(url, retry_policy=RetryPolicy(read_s=3), timer=clock.timer)
    with pytest.raises(BrokerError, match="Connection refused"):
        broker.get_clock()
    assert clock.slept


def test_a_job_that_is_to_end_stops_asking(server: Loopback) -> None:
    server.answers = [says(503)] * 3
    broker = broker_at(server.url, retry_policy=RetryPolicy(read_s=30), stopping=lambda: bool(server.seen))
    with pytest.raises(RunStopped):
        broker.open_orders()
    assert len(server.seen) == 1
