from __future__ import annotations

import ast
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pytest

from engine.errors import RunStopped
from engine.waiting.backoff import backoff
from engine.waiting.deadline import NO_DEADLINE, Deadline
from engine.waiting.pause import pause, waited
from engine.waiting.timer import Timer

ENGINE = Path(__file__).parents[3] / "engine"


@dataclass
class Slept:
    """A time that passes only by sleeping."""

    now_s: float = 100.0
    sleeps: list[float] = field(default_factory=list)

    @property
    def timer(self) -> Timer:
        return Timer(monotonic=lambda: self.now_s, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now_s += seconds


def test_a_deadline_counts_down_to_a_thousandth_and_has_passed_at_its_time() -> None:
    time = Slept()
    deadline = Deadline.after(2.0, time.timer)
    assert (deadline.left_s(), deadline.is_over()) == (2.0, False)
    time.now_s += 1.9995
    assert (deadline.left_s(), deadline.is_over()) == (0.001, False)
    time.now_s = 102.0
    assert (deadline.left_s(), deadline.is_over()) == (0.001, True)


def test_a_deadline_can_be_put_off_and_be_the_earlier_of_two() -> None:
    time = Slept()
    deadline = Deadline.after(2.0, time.timer)
    assert deadline.later_by(1.5).left_s() == 3.5
    assert deadline.or_after(1.0).left_s() == 1.0
    assert deadline.or_after(3.0) == deadline


def test_no_deadline_is_never_over() -> None:
    assert not NO_DEADLINE.is_over()
    assert NO_DEADLINE.left_s() == float("inf")


def test_a_wait_takes_its_time_in_slices_of_at_most_a_tenth_of_a_second() -> None:
    time = Slept()
    assert waited(0.25, timer=time.timer)
    assert time.now_s == pytest.approx(100.25)
    assert time.sleeps == pytest.approx([0.1, 0.1, 0.05])


def test_a_wait_ends_at_once_where_the_job_is_to_end() -> None:
    time = Slept()
    assert not waited(60.0, lambda: time.now_s >= 100.5, timer=time.timer)
    assert time.now_s == pytest.approx(100.5, abs=0.11)


def test_a_wait_of_no_seconds_still_looks_whether_the_job_is_to_end() -> None:
    time = Slept()
    with pytest.raises(
        RunStopped, match=r"^Stopped while orders were looked up; the next run goes on there\.$"
    ):
        pause(0.0, lambda: True, during="orders were looked up", timer=time.timer)
    pause(0.0, lambda: False, during="orders were looked up", timer=time.timer)
    assert time.sleeps == []


def test_waits_double_up_to_their_bound() -> None:
    assert list(islice(backoff(0.25, 2.0), 6)) == [0.25, 0.5, 1.0, 2.0, 2.0, 2.0]


@pytest.mark.parametrize(("jitter", "least"), [(1.0, 0.0), (0.5, 0.5)])
def test_jitter_is_the_share_of_a_wait_that_is_drawn(
    monkeypatch: pytest.MonkeyPatch, jitter: float, least: float
) -> None:
    drawn: list[tuple[float, float]] = []

    def uniform(lowest: float, highest: float) -> float:
        drawn.append((lowest, highest))
        return lowest

    monkeypatch.setattr("random.uniform", uniform)
    assert list(islice(backoff(1.0, 4.0, jitter=jitter), 4)) == [least, 2 * least, 4 * least, 4 * least]
    assert drawn == [(least, 1.0), (2 * least, 2.0), (4 * least, 4.0), (4 * least, 4.0)]


ITS_OWN_CLOCK = {
    "waiting/timer.py",
    "brokers/alpaca/pacing.py",  # a token bucket: refilled by the clock; threads wait for their turn
    "brokers/last_look.py",  # compares three clocks with each other
}


def test_one_room_sleeps_and_reads_the_monotonic_clock() -> None:
    users = {
        str(file.relative_to(ENGINE))
        for file in ENGINE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in {"sleep", "monotonic"}
        and isinstance(node.value, ast.Name)
        and node.value.id == "time"
    }
    assert users == ITS_OWN_CLOCK
