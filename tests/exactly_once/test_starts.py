"""Jobs do the same as forks and as new interpreters, and wait for longer than any fault takes."""

from __future__ import annotations

import math
from contextlib import nullcontext
from pathlib import Path
from typing import cast
from unittest.mock import Mock

import pytest

from tests.exactly_once.case import Case
from tests.exactly_once.job import LONGEST_S, PATIENT_S, Job, Manner
from tests.exactly_once.market import Market
from tests.exactly_once.test_exactly_once import assert_nothing_is_wrong, played
from tests.exactly_once.trouble import OF_GATEWAYS, TROUBLE, Fault

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 8.0
"""The longest waits between two tries of a request: the first, doubled with each try up to the last."""


def longest_wait_s(faults: tuple[Fault, ...]) -> float:
    """Return the longest that the waits of one request add up to where each fault strikes it each time."""
    times = sum(int(fault.get("times") or 0) for fault in faults)
    return math.fsum(min(FIRST_WAIT_S * 2**nth, LONGEST_WAIT_S) for nth in range(times))


def test_no_fault_that_ends_outlasts_a_jobs_retry_time() -> None:
    waits = sorted(longest_wait_s(faults) for faults in (TROUBLE | OF_GATEWAYS).values())
    policy = Manner().retry_policy
    assert 0 < waits[-1] + waits[-2] < policy.read_s == policy.down_after_s == PATIENT_S
    assert 10 * PATIENT_S < LONGEST_S


def test_a_new_interpreter_does_what_a_fork_does() -> None:
    which = ("--store", "embedded", "--plan", "every_point", "--part", "300/1200")
    by_forks, by_interpreters = (played(*which, "--fresh", share) for share in ("0", "1"))
    for report in (by_forks, by_interpreters):
        assert_nothing_is_wrong(report, died=report["tried"])
    assert (by_forks["fresh"], by_interpreters["fresh"]) == (0, by_interpreters["jobs"])
    same = ("tried", "died", "jobs", "orders")  # and the plan compares what became of every row
    assert [by_forks[name] for name in same] == [by_interpreters[name] for name in same]


SLOW = "clock: this machine's clock is 2.2 s ahead, where only the reply was slow, check …"


@pytest.mark.parametrize(
    ("told", "statuses"),
    [([SLOW, SLOW, ""], [256, 256, 0]), (["the broker is down"], [256])],
    ids=["too slow, twice", "failed"],
)
def test_a_job_that_was_only_too_slow_is_begun_again_and_one_that_failed_is_wrong(
    told: list[str], statuses: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = object.__new__(Case)
    ended: list[Job] = []
    case.market = cast(Market, Mock())

    def run(_: Case) -> Job:
        log = tmp_path / f"job-{len(ended)}.log"
        log.write_text(told[len(ended)])
        ended.append(Job(0, log, log))
        ended[-1].status = statuses[len(ended) - 1]
        return ended[-1]

    monkeypatch.setattr(Case, "run", run)
    with nullcontext() if statuses[-1] == 0 else pytest.raises(AssertionError, match="the broker is down"):
        case.run_to_the_end()
    assert len(ended) == len(told)
