from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.routing.symbol_queue import each


@given(st.lists(st.integers(0, 4), max_size=40), st.integers(1, 8))
def test_within_a_lane_the_order_of_the_batch_is_kept_and_never_two_at_once(
    lanes: list[int], at_once: int
) -> None:
    seen: dict[int, list[int]] = {}
    at_work: set[int] = set()
    lock = threading.Lock()

    def work(item: tuple[int, int]) -> int:
        place, lane = item
        with lock:
            assert lane not in at_work
            at_work.add(lane)
            seen.setdefault(lane, []).append(place)
        time.sleep(0)
        with lock:
            at_work.discard(lane)
        return place * 10

    items = list(enumerate(lanes))
    outcomes = each(items, work, queue_of=lambda item: item[1], at_once=at_once)
    assert outcomes == [place * 10 for place, _ in items]
    assert all(places == sorted(places) for places in seen.values())


def test_different_lanes_go_at_the_same_time() -> None:
    meeting = threading.Barrier(4, timeout=5)
    outcomes = each(range(4), lambda _: meeting.wait() >= 0, queue_of=lambda item: item, at_once=4)
    assert outcomes == [True] * 4


def test_no_more_than_at_once_go_at_the_same_time() -> None:
    most, now = [0], [0]
    lock = threading.Lock()

    def work(_: int) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.002)
        with lock:
            now[0] -= 1

    each(range(20), work, queue_of=lambda item: item, at_once=3)
    assert most[0] <= 3


def test_the_first_exception_stops_everything_that_has_not_begun_and_is_raised() -> None:
    begun: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        if item == 2:
            raise ValueError("two")

    with pytest.raises(ValueError, match="two"):
        each(range(100), work, queue_of=lambda _: "one lane", at_once=8)
    assert begun == [0, 1, 2]


def test_the_first_in_the_batch_goes_first() -> None:
    begun: list[Any] = []
    each("abacb", begun.append, queue_of=lambda item: item, at_once=1)
    assert begun == list("abacb")


def test_no_items_give_no_outcomes() -> None:
    assert each([], lambda item: item, queue_of=lambda item: item, at_once=4) == []


def test_an_order_waits_until_the_one_before_it_in_its_symbol_was_answered() -> None:
    begun: list[int] = []

    def work(item: int) -> list[int]:
        begun.append(item)
        time.sleep(0.05)
        return list(begun)

    assert each(range(3), work, queue_of=lambda _: "SPY", at_once=3) == [[0], [0, 1], [0, 1, 2]]


def test_after_the_first_exception_no_order_of_another_symbol_is_sent_either() -> None:
    begun: list[int] = []
    failing: list[threading.Thread] = []
    meeting = threading.Barrier(2, timeout=5)

    def work(item: int) -> None:
        begun.append(item)
        if item == 0:
            failing.append(threading.current_thread())
        if item < 2:
            meeting.wait()
        if item == 0:
            raise ValueError("zero")
        failing[0].join(5)

    with pytest.raises(ValueError, match="zero"):
        each(range(6), work, queue_of=lambda item: item, at_once=2)
    assert sorted(begun) == [0, 1]


def test_who_waits_for_its_turn_when_another_fails_ends_too() -> None:
    def work(item: int) -> None:
        time.sleep(0.05)  # the other thread waits for its symbol meanwhile
        raise ValueError(f"{item}")

    with pytest.raises(ValueError, match="0"):
        each(range(2), work, queue_of=lambda _: "SPY", at_once=2)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let Ctrl-C raise, as it does in a terminal; what is started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_what_is_being_sent_and_begins_nothing_else() -> None:
    begun: list[int] = []
    ended: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        if item == 0:
            _thread.interrupt_main()
        time.sleep(0.1)
        ended.append(item)

    with pytest.raises(KeyboardInterrupt):
        each(range(4), work, queue_of=lambda _: "SPY", at_once=2)
    assert (begun, ended) == ([0], [0])
    time.sleep(0.15)
    assert begun == [0]


def test_progress_is_the_number_of_orders_answered() -> None:
    answered: list[int] = []
    each("abc", str.upper, queue_of=lambda item: item, at_once=1, done=answered.append)
    assert answered == [1, 2, 3]
