"""The cron lines of the page about operating do what it says: run as Debian's cron runs them, on any day."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from engine.model.calendar import NEW_YORK
from engine.model.slots import parse_duration, parse_when, slot_time

PAGE = (Path(__file__).parents[2] / "jobs" / "docs" / "operating.md").read_text(encoding="utf-8")
ENGINE = "/srv/engine/.venv/bin/execution-engine"


def cron_lines() -> list[tuple[list[str], str]]:
    """Return, per line, the fields of time, and the command as cron hands it to the shell."""
    (block,) = re.findall(r"```cron\n(.*?)```", PAGE, re.DOTALL)
    lines = [line.split(None, 5) for line in block.splitlines() if not line.startswith("#")]
    assert not any(re.search(r"(?<!\\)%", command) for *_, command in lines), "cron makes a line break of it"
    return [(times, command) for *times, command in lines]


def starts_on(day: date, times: list[str]) -> Iterator[datetime]:
    """Yield when cron starts a command on a day, of the forms that the page uses."""
    minutes, hours, of_month, month, of_week = times
    assert (of_month, month, of_week) == ("*", "*", "1-5")
    of_minutes = range(0, 60, int(minutes[2:])) if minutes.startswith("*/") else [int(minutes)]
    first, _, last = hours.partition("-")
    of_hours = list(range(int(first), int(last) + 1)) if last else [int(hour) for hour in hours.split(",")]
    if day.weekday() < 5:
        yield from (datetime.combine(day, time(h, m), UTC) for h in of_hours for m in of_minutes)


@pytest.mark.parametrize(
    ("day", "runs"),
    [
        ("2026-03-06", ["09:29", "15:50"]),  # winter
        ("2026-03-09", ["09:29", "15:50"]),  # summer has begun
        ("2026-10-30", ["09:29", "15:50"]),
        ("2026-11-02", ["09:29", "15:50"]),  # winter has begun
        ("2026-11-26", []),  # Thanksgiving
        ("2026-11-27", ["09:29", "12:50"]),  # a half day
        ("2026-11-28", []),  # a Saturday
    ],
)
def test_each_slot_is_due_at_one_start_of_a_session(day: str, runs: list[str]) -> None:
    due = []
    for times, command in cron_lines():
        when, latest = (re.search(rf"{option} (\S+)", command) for option in ("--when", "--latest"))
        assert when
        assert latest
        length = parse_duration(latest[1], "--latest")
        found = [
            slot_time(parse_when(when[1]), at, length, "XNYS")
            for at in starts_on(date.fromisoformat(day), times)
        ]
        # later starts within --latest find the slot done
        due += list(dict.fromkeys(one.due_at for one in found if one.state == "due"))
    assert [at.astimezone(NEW_YORK).strftime("%H:%M") for at in due if at] == runs


def test_a_start_within_a_minute_of_the_clock_is_not_late() -> None:
    for _, command in cron_lines():
        latest = re.search(r"--latest (\S+)", command)
        assert latest
        assert parse_duration(latest[1], "--latest") >= timedelta(minutes=5)


def test_a_line_runs_live_with_the_settings_of_its_file(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "engine").write_text('#!/bin/sh\necho "$* $EXEC_DRY_RUN $EXEC_DATA_DIR"\n')
    (tools / "engine").chmod(0o700)
    (tmp_path / "live.env").write_text("export EXEC_DRY_RUN=0 EXEC_DATA_DIR=/srv/engine/data\n")
    env = {"HOME": os.environ.get("HOME", "/"), "PATH": "/usr/bin:/bin"}
    for _, command in cron_lines():
        here = command.replace(ENGINE, str(tools / "engine")).replace("/srv/engine/", f"{tmp_path}/")
        subprocess.run(["/bin/sh", "-c", here], env=env, stdin=subprocess.DEVNULL, check=False)
    assert (tmp_path / "run.out").read_text().splitlines() == [
        "run --slot open --when open-1m --latest 5m 0 /srv/engine/data",
        "run --slot close --when close-10m --latest 8m 0 /srv/engine/data",
    ]


def test_no_line_needs_what_debian_s_cron_does_not_have() -> None:
    assert "\nCRON_TZ" not in PAGE
