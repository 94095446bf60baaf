from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from engine.errors import DataUnavailable
from engine.waiting.bounded import at_once, within

HANG_S = 30.0
FAR_BELOW_HANG_S = 10.0


@pytest.fixture
def hangs() -> Iterator[Callable[[], str]]:
    """Work that takes far too long, but ends with the test."""
    over = threading.Event()

    def work() -> str:
        over.wait(HANG_S)
        return "late"

    yield work
    over.set()


def fails() -> str:
    raise RuntimeError("out of luck")


def test_what_work_gives_within_its_time_is_given() -> None:
    assert within(5, lambda: "well", whose="the store") == "well"


@pytest.mark.parametrize("nothing", [None, "", 0, False])
def test_an_answer_that_is_nothing_is_an_answer(nothing: object) -> None:
    assert within(5, lambda: nothing, whose="the store") is nothing


def test_what_work_raises_within_its_time_is_raised() -> None:
    with pytest.raises(RuntimeError, match="out of luck"):
        within(5, fails, whose="the store")


def test_what_gives_no_answer_in_time_is_unavailable_and_says_who_and_what_to_do(
    hangs: Callable[[], str],
) -> None:
    begun_at = time.monotonic()
    with pytest.raises(DataUnavailable) as error:
        within(0.1, hangs, whose="PostgreSQL at db")
    assert time.monotonic() - begun_at < FAR_BELOW_HANG_S
    assert str(error.value) == (
        "PostgreSQL at db: no answer within 0.1 s. See that it is up and can be reached; where it is only "
        "slow, raise EXEC_RISK_DATA_TIMEOUT_S."
    )


def test_works_are_done_at_the_same_time() -> None:
    all_there = threading.Barrier(8)
    answers = at_once({str(number): lambda: all_there.wait(HANG_S) for number in range(8)}, HANG_S)
    assert sorted(answer.get() for answer in answers.values()) == list(range(8))


def test_each_work_has_an_answer_of_its_own_in_the_order_asked(hangs: Callable[[], str]) -> None:
    answers = at_once({"hangs": hangs, "fails": fails, "well": lambda: "well"}, 0.2)
    assert list(answers) == ["hangs", "fails", "well"]
    assert isinstance(answers["hangs"].error, DataUnavailable)
    assert isinstance(answers["fails"].error, RuntimeError)
    assert (answers["well"].value, answers["well"].error) == ("well", None)


def test_several_that_hang_are_waited_for_once_and_not_one_after_the_other(hangs: Callable[[], str]) -> None:
    begun_at = time.monotonic()
    answers = at_once({str(number): hangs for number in range(40)}, 0.5)
    assert time.monotonic() - begun_at < FAR_BELOW_HANG_S
    assert {type(answer.error) for answer in answers.values()} == {DataUnavailable}


def test_an_answer_says_how_long_it_took(hangs: Callable[[], str]) -> None:
    answers = at_once({"hangs": hangs, "sleeps": lambda: time.sleep(0.05)}, 0.4)
    assert answers["hangs"].took_s == 0.4
    assert 0.04 < answers["sleeps"].took_s <= 0.4


def test_an_answer_that_comes_too_late_changes_nothing() -> None:
    go_on, gone_on = threading.Event(), threading.Event()

    def late() -> str:
        go_on.wait(HANG_S)
        gone_on.set()
        return "late"

    answers = at_once({"late": late}, 0.05)
    go_on.set()
    assert gone_on.wait(HANG_S)
    with pytest.raises(DataUnavailable):
        answers["late"].get()


def test_what_is_left_behind_keeps_no_process_from_ending(hangs: Callable[[], str]) -> None:
    at_once({"left behind": hangs}, 0.05)
    (left,) = [thread for thread in threading.enumerate() if thread.name == "left behind"]
    assert left.daemon


def test_no_work_gives_no_answers() -> None:
    assert at_once({}, 5) == {}
