from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigurationError
from replay.simulator.market.clock import Mode, SimulatedClock, mid_session_ns
from replay.simulator.market.sessions import FIRST_NS, LAST_NS, in_new_york, is_open
from replay.simulator.timestamps import SECOND
from tests.replay.simulator.market.prices import at

SUNDAY = at("2026-11-22T11:00")
NOON_45 = at("2026-11-23T12:45")


class Wall:
    """A wall clock and a stopwatch to turn by hand."""

    def __init__(self, t_ns: int = SUNDAY) -> None:
        self.t_ns = t_ns
        self.stopwatch_ns = 17

    def pass_by(self, ns: int) -> None:
        self.t_ns += ns
        self.stopwatch_ns += ns

    def clock(
        self, mode: Mode = "running", *, start_ns: int | None = None, speed: float = 1.0
    ) -> SimulatedClock:
        return SimulatedClock(
            mode,
            start_ns=start_ns,
            speed=speed,
            wall_ns=lambda: self.t_ns,
            monotonic_ns=lambda: self.stopwatch_ns,
        )


@pytest.mark.parametrize(
    ("wall", "start"),
    [
        ("2026-11-22T11:00", "2026-11-23T12:45"),  # Sunday
        ("2026-11-23T10:00", "2026-11-23T12:45"),
        ("2026-11-23T21:00", "2026-11-24T12:45"),  # the day has rolled
        ("2026-11-26T12:00", "2026-11-27T11:15"),  # Thanksgiving, and the half day after it
        ("2026-03-08T12:00", "2026-03-09T12:45"),  # clocks go forward
    ],
)
def test_the_default_start_is_half_way_through_the_session_of_the_day_or_the_next(
    wall: str, start: str
) -> None:
    assert Wall(at(wall)).clock().now_ns() == at(start)


@given(st.integers(FIRST_NS, LAST_NS))
def test_the_market_is_open_at_the_default_start_whatever_the_day(wall_ns: int) -> None:
    assert is_open(mid_session_ns(wall_ns))


def test_a_running_clock_keeps_pace_with_the_wall() -> None:
    wall = Wall()
    clock = wall.clock()
    wall.pass_by(123_456_789)
    assert clock.now_ns() == NOON_45 + 123_456_789


def test_a_running_clock_runs_at_its_speed() -> None:
    wall = Wall()
    clock = wall.clock(speed=60)
    wall.pass_by(2 * SECOND)
    assert clock.now_ns() == NOON_45 + 120 * SECOND


def test_a_running_clock_does_not_notice_that_the_wall_clock_is_set() -> None:
    wall = Wall()
    clock = wall.clock()
    wall.t_ns -= 3600 * SECOND
    assert clock.now_ns() == NOON_45


def test_a_running_clock_goes_on_from_where_it_was_set_to() -> None:
    wall = Wall()
    clock = wall.clock(speed=2)
    wall.pass_by(SECOND)
    clock.set(NOON_45 + 100 * SECOND)
    wall.pass_by(SECOND)
    assert clock.now_ns() == NOON_45 + 102 * SECOND


def test_a_new_speed_counts_from_now_on_only() -> None:
    wall = Wall()
    clock = wall.clock(speed=10)
    wall.pass_by(SECOND)
    clock.run(0.5)
    wall.pass_by(2 * SECOND)
    assert clock.now_ns() == NOON_45 + 11 * SECOND


def test_a_running_clock_stops_where_the_calendar_ends() -> None:
    wall = Wall()
    clock = wall.clock(speed=1e9)
    wall.pass_by(3600 * SECOND)
    assert clock.now_ns() == LAST_NS


def test_a_manual_clock_moves_only_by_command() -> None:
    wall = Wall()
    clock = wall.clock("manual", start_ns=NOON_45)
    wall.pass_by(SECOND)
    assert clock.now_ns() == NOON_45
    clock.advance(0.1)
    clock.advance(0)
    assert clock.now_ns() == NOON_45 + 100_000_000
    clock.set(NOON_45 + SECOND)
    assert clock.now_ns() == NOON_45 + SECOND


def test_a_manual_clock_can_be_let_run() -> None:
    wall = Wall()
    clock = wall.clock("manual")
    wall.pass_by(SECOND)
    clock.run(3)
    wall.pass_by(SECOND)
    assert clock.now_ns() == NOON_45 + 3 * SECOND


def test_a_running_clock_that_is_stopped_stands_still_until_it_is_started() -> None:
    wall = Wall()
    clock = wall.clock(speed=10)
    wall.pass_by(SECOND)
    clock.run(0)
    wall.pass_by(SECOND)
    assert clock.now_ns() == NOON_45 + 10 * SECOND
    clock.advance(1)
    clock.run(2)
    wall.pass_by(SECOND)
    assert clock.now_ns() == NOON_45 + 13 * SECOND


def test_a_clock_that_runs_during_a_command_can_be_moved_by_the_least_bit() -> None:
    wall = Wall()

    def stopwatch() -> int:
        wall.pass_by(SECOND)  # every look takes a second
        return wall.stopwatch_ns

    clock = SimulatedClock(speed=20, wall_ns=lambda: wall.t_ns, monotonic_ns=stopwatch)
    before = clock.now_ns()
    clock.advance(1e-9)
    clock.run(5)
    clock.run(0)
    assert clock.now_ns() > before


@pytest.mark.parametrize("mode", ["manual", "running"])
def test_no_clock_goes_backwards(mode: Mode) -> None:
    clock = Wall().clock(mode)
    with pytest.raises(ConfigurationError, match="expected no earlier time"):
        clock.set(clock.now_ns() - 1)
    for seconds in (-1, float("nan"), float("inf")):
        with pytest.raises(ConfigurationError, match="expected 0 or more"):
            clock.advance(seconds)
    assert clock.now_ns() == NOON_45


def test_a_clock_does_not_leave_the_calendar() -> None:
    clock = Wall().clock("manual")
    with pytest.raises(ConfigurationError, match="the calendar goes from"):
        clock.advance(9e8)
    with pytest.raises(ConfigurationError, match="the calendar goes from"):
        Wall().clock(start_ns=FIRST_NS - 1)
    assert clock.now_ns() == NOON_45


def test_a_wall_clock_is_the_real_time_and_never_goes_back() -> None:
    wall = Wall()
    clock = wall.clock("wall", start_ns=NOON_45)
    assert clock.now_ns() == SUNDAY
    wall.pass_by(SECOND)
    assert clock.now_ns() == SUNDAY + SECOND
    wall.pass_by(-5)
    assert clock.now_ns() == SUNDAY + SECOND


def test_a_wall_clock_can_not_be_moved() -> None:
    clock = Wall().clock("wall")
    refusal = "Start without --wall-clock"
    with pytest.raises(ConfigurationError, match=refusal):
        clock.set(NOON_45)
    with pytest.raises(ConfigurationError, match=refusal):
        clock.advance(1)
    with pytest.raises(ConfigurationError, match=refusal):
        clock.run(2)


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf")])
def test_a_speed_is_a_positive_number(speed: float) -> None:
    with pytest.raises(ConfigurationError, match="expected a positive number"):
        Wall().clock(speed=speed)


def test_without_sources_it_reads_the_real_clocks() -> None:
    clock = SimulatedClock()
    assert is_open(clock.now_ns())
    assert clock.now_ns() < clock.now_ns() + 1
    assert in_new_york(SimulatedClock("wall").now_ns())[:2] == "20"
