"""Jobs do the same as forks and as new interpreters, and wait for longer than any fault takes."""

from __future__ import annotations

import math

from tests.exactly_once.job import LONGEST_S, PATIENT_S, Manner
from tests.exactly_once.test_exactly_once import assert_nothing_is_wrong, played
from tests.exactly_once.trouble import OF_GATEWAYS, TROUBLE, Fault

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 8.0
"""The longest waits between two tries of a request: the first, doubled with each try up to the last."""


def longest_wait_s(faults: tuple[Fault, ...]) -> float:
    """Return the longest that the waits of one request add up to where each fault strikes it each time."""
    times = sum(int(fault.get("times") or 0) for fault in faults)
    return math.fsum(min(FIRST_WAIT_S * 2**nth, LONGEST_WAIT_S) for nth in range(times))


def test_no_fault_that_ends_outlasts_a_jobs_patience() -> None:
    waits = sorted(longest_wait_s(faults) for faults in (TROUBLE | OF_GATEWAYS).values())
    policy = Manner().retry_policy
    assert 0 < waits[-1] + waits[-2] < policy.read_s == policy.down_after_s == PATIENT_S
    assert 10 * PATIENT_S < LONGEST_S


def test_a_new_interpreter_does_what_a_fork_does() -> None:
    which = ("--store", "embedded", "--plan", "every_point", "--part", "300/800")
    by_forks, by_interpreters = (played(*which, "--fresh", share) for share in ("0", "1"))
    for report in (by_forks, by_interpreters):
        assert_nothing_is_wrong(report, died=report["tried"])
    assert (by_forks["fresh"], by_interpreters["fresh"]) == (0, by_interpreters["jobs"])
    same = ("tried", "died", "jobs", "orders")  # and the plan compares what became of every row
    assert [by_forks[name] for name in same] == [by_interpreters[name] for name in same]
