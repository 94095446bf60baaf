"""How old the look before an order may be when its bytes leave, by whichever clock."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from engine.brokers.last_look import FRESH_FOR_S, LOOKS_AT_MOST, Instant, LastLook
from engine.errors import LookTooSlow

BEGAN = Instant(100.0, 5000.0, 1_800_000_000.0)
LATER = FRESH_FOR_S + 0.001


def later(monotonic_s: float, since_boot_s: float, wall_s: float) -> Instant:
    return Instant(BEGAN.monotonic_s + monotonic_s, BEGAN.since_boot_s + since_boot_s, BEGAN.wall_s + wall_s)


def looks_taken(instants: Iterable[Instant]) -> int:
    """Return how often it was looked, where these are the instants at which the clocks are read."""
    looks: list[int] = []
    now = iter(instants)
    look = LastLook(lambda: looks.append(1), now=lambda: next(now))
    look.take()
    look.be_fresh()
    assert next(now, None) is None, "the clocks were to be read once more"
    return len(looks)


def test_a_look_that_is_exactly_two_seconds_old_is_fresh() -> None:
    assert FRESH_FOR_S == 2.0
    assert looks_taken([BEGAN, later(2.0, 2.0, 2.0)]) == 1


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(later(LATER, LATER, LATER), id="stopped"),
        pytest.param(later(0.0, LATER, 0.0), id="suspended, and the wall clock not set yet"),
        pytest.param(later(0.0, 0.0, LATER), id="paused as a virtual machine"),
        pytest.param(later(LATER, 0.0, 0.0), id="the wall clock set back by as much"),
        pytest.param(later(0.1, 0.1, -0.001), id="the wall clock set back"),
    ],
)
def test_a_look_that_any_clock_says_is_old_is_taken_again(read: Instant) -> None:
    assert looks_taken([BEGAN, read, read, read]) == 2


def test_the_age_counts_from_the_beginning_of_a_look() -> None:
    now = [0.0]
    looks: list[float] = []

    def takes_three_seconds_once() -> None:
        looks.append(now[0])
        now[0] += 3.0 if len(looks) == 1 else 0.1

    look = LastLook(takes_three_seconds_once, now=lambda: Instant(now[0], now[0], now[0]))
    look.take()
    look.be_fresh()
    assert looks == [0.0, 3.0]


def test_where_looking_takes_too_long_time_after_time_nothing_is_sent() -> None:
    now = [0.0]

    def takes_three_seconds() -> None:
        now[0] += 3.0

    look = LastLook(takes_three_seconds, now=lambda: Instant(now[0], now[0], now[0]))
    look.take()
    with pytest.raises(LookTooSlow, match=r"longer than 2 s, 3 times in a row"):
        look.be_fresh()
    assert now == [3.0 * (1 + LOOKS_AT_MOST)]


def test_what_a_second_look_raises_is_raised() -> None:
    def raises() -> None:
        if now[0]:
            raise KeyError("halted")

    now = [0.0]
    look = LastLook(raises, now=lambda: Instant(now[0], now[0], now[0]))
    look.take()
    now[0] = LATER
    with pytest.raises(KeyError, match="halted"):
        look.be_fresh()


def test_a_look_that_was_never_taken_is_not_fresh() -> None:
    looks: list[int] = []
    LastLook(lambda: looks.append(1), now=lambda: BEGAN).be_fresh()
    assert looks == [1]
