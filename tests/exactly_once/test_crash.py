"""Kill -9 at every step: ``tests.crash_job`` does the dying, these tests say what must have come of it.

The jobs are dry runs: all that they do is keep a record. They die once at every fifth step, and several times
in a row at some; ``make soak`` has them do so at all.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SEVERAL_DEATHS = {"twice": 2, "soon_again": 4, "five_times": 5}


def carried_out(plan: str, folder: Path, *said: str) -> dict[str, Any]:
    """Carry a plan of deaths out in a process of its own; gives its report."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash_job", plan, str(folder), *said],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_killed_at_any_step_and_run_again_no_row_is_lost_or_decided_twice(tmp_path: Path) -> None:
    report = carried_out("once", tmp_path, "job", "1/5")
    assert report["problems"] == {}
    assert report["effects"] > 80
    assert report["died"] == report["tried"] >= report["effects"] / 5


@pytest.mark.parametrize(("plan", "part"), [("twice", "2/9"), ("soon_again", "2/5"), ("five_times", "2/3")])
def test_killed_again_and_again_while_it_resumes_no_row_is_lost_or_decided_twice(
    tmp_path: Path, plan: str, part: str
) -> None:
    report = carried_out(plan, tmp_path, "job", part)
    assert report["problems"] == {}
    assert report["tried"] > 5
    assert report["died"] > 0.8 * SEVERAL_DEATHS[plan] * report["tried"]


def test_a_collection_that_is_killed_at_any_step_is_ended_by_the_next_run(tmp_path: Path) -> None:
    report = carried_out("here_and_there", tmp_path, "collect", "1/2")
    assert report["problems"] == {}
    assert report["died"] == report["tried"] > 10


@pytest.mark.soak
def test_killed_at_every_step_and_run_again_no_row_is_lost_or_decided_twice(tmp_path: Path) -> None:
    report = carried_out("once", tmp_path)
    assert report["problems"] == {}
    assert report["died"] == report["tried"] == report["effects"] > 80


@pytest.mark.soak
@pytest.mark.parametrize("plan", SEVERAL_DEATHS)
def test_killed_again_and_again_at_all_its_points_no_row_is_lost_or_decided_twice(
    tmp_path: Path, plan: str
) -> None:
    report = carried_out(plan, tmp_path)
    assert report["problems"] == {}
    assert report["tried"] > 15
    assert report["died"] > 0.8 * SEVERAL_DEATHS[plan] * report["tried"]


@pytest.mark.soak
def test_a_collection_that_is_killed_at_every_step_is_ended_by_the_next_run(tmp_path: Path) -> None:
    report = carried_out("once", tmp_path, "collect")
    assert report["problems"] == {}
    assert report["died"] == report["tried"] == report["effects"] > 60
