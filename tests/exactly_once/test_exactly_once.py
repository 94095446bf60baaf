"""A sample of what ``make soak`` does: jobs are killed, and run again, and nothing is lost or doubled.

What was wrong is told by the schedule that brought it about; ``python -m tests.exactly_once`` repeats it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.exactly_once.kinds import counts_of
from tests.exactly_once.plans import PLANS
from tests.exactly_once.scenes import SCENES
from tests.exactly_once.summary import PROPERTY
from tests.servers import temporary_root

Report = dict[str, Any]
Play = Callable[..., Report]
Note = Callable[[str, object], None]

SEEDS, SEEDS_IN_ALL, SEEDS_AT_ONCE = 1_200, 2_100, 60
"""The first with PostgreSQL and Firestore beside the embedded store, the others with that alone."""
PARTS = 4
ONE_OF_EACH_HAZARD = [0, 7, 2, 21, 4, 5]
"""Of stops the one in which a halted order would leave, of gateways one that denies what it placed."""
MOVED_TO_OTHER_DISKS = "36002"
OF_SERVERS = ["every_point", "twice"]
WAITS_FOR_A_MINUTE = "half_dead_for_a_minute"
AT_EVERY_ORDER = ["stopped_before_any_order_leaves", "halted_before_any_order_leaves"]


def played(*arguments: str) -> Report:
    """Let a process of its own play, and give its report."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.exactly_once", *arguments],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TMPDIR": str(temporary_root())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    report: Report = json.loads(done.stdout)
    return report


@pytest.fixture
def with_servers(database_url: str, firestore_emulator: str) -> Play:
    return lambda *said: played("--database", database_url, "--emulator", firestore_emulator, *said)


def assert_nothing_is_wrong(report: Report, *, died: int) -> None:
    assert report["problems"] == {}
    assert report["died"] >= died


# --- a sample


def test_killed_anywhere_and_run_again_every_order_is_placed_once() -> None:
    report = played("--store", "embedded", "--plan", "every_point", "--part", "7/330")
    assert report["points"] > 500
    assert_nothing_is_wrong(report, died=report["tried"])


def test_killed_anywhere_with_postgresql_and_firestore_every_order_is_placed_once(with_servers: Play) -> None:
    report = with_servers("--store", "servers", "--plan", "every_point", "--part", "60/600")
    assert report["points"] > 500
    assert_nothing_is_wrong(report, died=report["tried"])


@pytest.mark.parametrize(("plan", "part"), [("twice", "3/200"), ("in_trouble", "11/360")])
def test_killed_again_or_in_trouble_every_order_is_placed_once(plan: str, part: str) -> None:
    report = played("--store", "embedded", "--plan", plan, "--part", part)
    assert_nothing_is_wrong(report, died=report["tried"] - 2)


def test_whatever_happens_in_whatever_order_every_order_is_placed_once(with_servers: Play) -> None:
    report = with_servers(*map(str, ONE_OF_EACH_HAZARD))
    assert_nothing_is_wrong(report, died=1)
    assert report["orders"] > 5 * report["tried"]


def test_a_folder_that_moves_takes_its_embedded_store_along() -> None:
    report = played("--store", "embedded", MOVED_TO_OTHER_DISKS)
    assert report["happened"]["copied"] == 2
    assert_nothing_is_wrong(report, died=0)


def test_there_is_one_sender_and_time_does_no_harm(with_servers: Play) -> None:
    scenes = sorted(SCENES.keys() - {WAITS_FOR_A_MINUTE, *AT_EVERY_ORDER})
    assert_nothing_is_wrong(with_servers(*(f"--scene={scene}" for scene in scenes)), died=0)


# --- all of it


@pytest.mark.soak
@pytest.mark.parametrize("part", range(1, PARTS + 1))
@pytest.mark.parametrize("plan", PLANS)
def test_at_every_point(plan: str, part: int, record_property: Note) -> None:
    report = played("--store", "embedded", "--plan", plan, "--part", f"{part}/{PARTS}")
    record_property(PROPERTY, counts_of(report))
    assert_nothing_is_wrong(report, died=report["tried"] - 20)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(1, PARTS + 1))
@pytest.mark.parametrize("plan", OF_SERVERS)
def test_at_every_point_with_postgresql_and_firestore(
    plan: str, part: int, with_servers: Play, record_property: Note
) -> None:
    report = with_servers("--store", "servers", "--plan", plan, "--part", f"{part}/{PARTS}")
    record_property(PROPERTY, counts_of(report))
    assert_nothing_is_wrong(report, died=report["tried"] - 20)


@pytest.mark.soak
@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_AT_ONCE))
def test_schedules_of_chance(first: int, with_servers: Play, record_property: Note) -> None:
    report = with_servers("--seeds", f"{first}:{first + SEEDS_AT_ONCE}")
    record_property(PROPERTY, counts_of(report))
    assert_nothing_is_wrong(report, died=SEEDS_AT_ONCE // 6)
    assert report["orders"] > 5 * report["tried"]


@pytest.mark.soak
@pytest.mark.parametrize("first", range(SEEDS, SEEDS_IN_ALL, SEEDS_AT_ONCE))
def test_schedules_of_chance_with_the_embedded_store(first: int, record_property: Note) -> None:
    report = played("--store", "embedded", "--seeds", f"{first}:{first + SEEDS_AT_ONCE}")
    record_property(PROPERTY, counts_of(report))
    assert_nothing_is_wrong(report, died=SEEDS_AT_ONCE // 6)
    assert report["orders"] > 5 * report["tried"]


@pytest.mark.soak
def test_a_job_that_was_half_dead_for_a_minute_sends_nothing_more(with_servers: Play) -> None:
    assert_nothing_is_wrong(with_servers("--scene", WAITS_FOR_A_MINUTE), died=0)


@pytest.mark.soak
@pytest.mark.parametrize("scene", AT_EVERY_ORDER)
def test_a_job_that_is_stopped_before_any_of_its_orders_looks_again(scene: str, with_servers: Play) -> None:
    assert_nothing_is_wrong(with_servers("--scene", scene), died=0)
