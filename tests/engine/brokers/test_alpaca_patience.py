"""Asking again: by a clock that only sleeping moves, and once by a real one through the broker."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import pytest
import requests

from engine.brokers.alpaca import AlpacaBroker
from engine.brokers.alpaca_patience import NoAnswer, Patience
from engine.errors import (
    BrokerError,
    BrokerRejected,
    ConfigurationError,
    OutcomeUnknown,
    RateLimited,
    RunStopped,
)
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

    def patience(self, patience_s: float, stopping: Callable[[], bool] = lambda: False) -> Patience:
        return Patience(patience_s=patience_s, stopping=stopping, sleep=self.sleep, monotonic=self.monotonic)


@pytest.fixture
def longest_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda least, most: most)


def test_an_answer_at_once_takes_no_waiting() -> None:
    clock = Clock()
    assert clock.patience(30).ask(clock.after(0)) == "answer"
    assert (clock.slept, clock.left) == ([], [30])


@pytest.mark.usefixtures("longest_waits")
def test_waits_double_up_to_a_bound_and_the_last_try_begins_before_patience_ends() -> None:
    clock = Clock()
    with pytest.raises(BrokerError) as caught:
        clock.patience(30).ask(clock.never)
    assert caught.value is LOST
    assert clock.tried_at == pytest.approx([0, 0.5, 1.5, 3.5, 7.5, 15.5, 23.5])


def test_waits_are_drawn_from_nothing_to_their_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[float, float]] = []

    def uniform(least: float, most: float) -> float:
        drawn.append((least, most))
        return most / 2

    monkeypatch.setattr("random.uniform", uniform)
    clock = Clock()
    assert clock.patience(30).ask(clock.after(3)) == "answer"
    assert drawn == [(0, 0.5), (0, 1.0), (0, 2.0)]
    assert clock.tried_at == pytest.approx([0, 0.25, 0.75, 1.75])


@pytest.mark.usefixtures("longest_waits")
def test_every_try_is_told_what_is_left_of_patience() -> None:
    clock = Clock(takes_s=2.0)
    with pytest.raises(BrokerError):
        clock.patience(10).ask(clock.never)
    assert clock.left == pytest.approx([10, 7.5, 4.5, 0.5])


def test_a_wait_that_the_broker_asks_for_is_kept() -> None:
    clock = Clock()
    assert clock.patience(30).ask(clock.after(2, wait_s=7)) == "answer"
    assert clock.tried_at[1] >= 7
    assert clock.tried_at[2] - clock.tried_at[1] >= 7


def test_a_wait_beyond_patience_is_not_begun() -> None:
    clock = Clock()
    with pytest.raises(BrokerError):
        clock.patience(30).ask(clock.after(1, wait_s=31))
    assert (len(clock.tried_at), clock.slept) == (1, [])


def test_without_patience_there_is_one_try_with_all_the_time_it_wants() -> None:
    clock = Clock()
    with pytest.raises(BrokerError):
        clock.patience(0).ask(clock.never)
    assert (clock.left, clock.slept) == ([math.inf], [])


def test_a_job_that_is_to_end_does_not_wait_on() -> None:
    clock = Clock()
    with pytest.raises(RunStopped) as caught:
        clock.patience(30, stopping=lambda: clock.now_s >= 1003).ask(clock.after(1, wait_s=20))
    assert caught.value.__cause__ is LOST
    assert 1003 <= clock.now_s < 1003.2


def test_any_other_error_passes_through_at_once() -> None:
    clock = Clock()

    def refuses(left_s: float) -> str:
        clock.tried_at.append(0)
        raise BrokerRejected("no", status=403)

    with pytest.raises(BrokerRejected):
        clock.patience(30).ask(refuses)
    assert len(clock.tried_at) == 1


@pytest.mark.parametrize("patience_s", [-1.0, math.inf, math.nan])
def test_patience_without_end_is_a_configuration_error(patience_s: float) -> None:
    with pytest.raises(ConfigurationError, match=r"^patience_s is .*; expected a number of seconds, or 0"):
        Patience(patience_s=patience_s)


# --- through the broker ---------------------------------------------------------------------------------


@pytest.fixture
def patient(server: Loopback) -> AlpacaBroker:
    """A broker with thirty seconds of patience, none of which it really sleeps."""
    clock = Clock()
    return broker_at(server.url, patience_s=30, sleep=clock.sleep, monotonic=clock.monotonic)


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


def test_a_rate_limit_to_the_end_of_patience_is_a_rate_limit(server: Loopback, patient: AlpacaBroker) -> None:
    server.answers = [says(429, {"message": "rate limit exceeded"}, **{"Retry-After": "31"})]
    with pytest.raises(RateLimited) as caught:
        patient.get_account()
    assert (caught.value.wait_s, len(server.seen)) == (31.0, 1)


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


def test_a_try_is_cut_to_what_is_left_of_patience(server: Loopback) -> None:
    server.answers = [hangs] * 3
    with requests.Session() as session:
        broker = broker_at(server.url, session, timeout_s=(5.0, 5.0), patience_s=0.3)
        begun_at = time.monotonic()
        with pytest.raises(BrokerError, match="Read timed out"):
            broker.get_account()
    assert 0.25 < time.monotonic() - begun_at < 2


def test_a_broker_that_is_not_there_is_asked_again(port_nobody_listens_at: int) -> None:
    clock = Clock()
    url = f"http://127.0.0.1:{port_nobody_listens_at}"
    broker = broker_at(url, patience_s=3, sleep=clock.sleep, monotonic=clock.monotonic)
    with pytest.raises(BrokerError, match="Connection refused"):
        broker.get_clock()
    assert clock.slept


def test_a_job_that_is_to_end_stops_asking(server: Loopback) -> None:
    server.answers = [says(503)] * 3
    broker = broker_at(server.url, patience_s=30, stopping=lambda: bool(server.seen))
    with pytest.raises(RunStopped):
        broker.open_orders()
    assert len(server.seen) == 1
