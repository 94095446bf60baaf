"""Scheduled slots from the command line: once a session, at their time, and never late."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet  # noqa: F401 - it is not imported by halves while the clock is frozen
import pytest
from freezegun import freeze_time

from tests.desk import order
from tests.jobs.command_line import Command, Done, jsonl
from tests.jobs.live_machine import Live

DUE = "2026-03-02T14:45:00Z"  # a Monday, 15 minutes after the open
SLOT = ("--slot", "open", "--when", "open+15m")


def dropped(cli: Command) -> None:
    assert cli("drop", stdin=jsonl(order())).code == 0


def run_at(cli: Command, now: str, *said: str, slot: tuple[str, ...] = SLOT) -> Done:
    with freeze_time(now, tick=True):
        return cli("run", *slot, *said, "--json")


def runs(data: Path) -> list[Path]:
    return sorted(data.glob("runs/*/*"))


def test_a_slot_that_is_due_runs_and_its_time_is_kept(cli: Command, data: Path) -> None:
    dropped(cli)
    done = run_at(cli, DUE)
    assert (done.code, done.json["rows"]["batched"]) == (0, 1)
    (folder,) = runs(data)
    start = json.loads((folder / "run.json").read_text())
    assert (start["slot"], start["when"]) == ("open", "open+15m")
    assert start["due_at"] == "2026-03-02T09:45:00-05:00"


def test_a_slot_runs_once_a_session(cli: Command, data: Path) -> None:
    first = run_at(cli, DUE).json["run_id"]
    dropped(cli)
    again = run_at(cli, "2026-03-02T14:50:00Z")
    assert (again.code, again.json["state"], again.json["run_id"]) == (0, "done", first)
    assert again.json["next_due_at"] == "2026-03-03T09:45:00-05:00"
    assert len(runs(data)) == 1
    assert run_at(cli, "2026-03-03T14:45:00Z").json["rows"]["batched"] == 1


def test_a_slot_that_is_done_is_not_late(cli: Command) -> None:
    run_at(cli, DUE)
    assert run_at(cli, "2026-03-02T19:00:00Z").json["state"] == "done"


def test_a_run_without_a_time_is_no_run_of_the_slot(cli: Command, data: Path) -> None:
    run_at(cli, DUE, slot=("--slot", "open"))
    assert run_at(cli, DUE).json["rows"] is not None
    assert run_at(cli, DUE, slot=("--slot", "open")).code == 0
    assert len(runs(data)) == 3


@pytest.mark.parametrize(
    ("now", "state", "code"),
    [
        ("2026-03-02T14:44:59Z", "not_due", 0),
        ("2026-03-02T15:00:01Z", "late", 3),
        ("2026-03-07T14:45:00Z", "closed_day", 0),
        ("2026-11-26T14:45:00Z", "closed_day", 0),
    ],
)
def test_at_any_other_time_nothing_is_begun(
    cli: Command, data: Path, now: str, state: str, code: int
) -> None:
    dropped(cli)
    done = run_at(cli, now)
    assert (done.code, done.json["exit_code"], done.json["state"]) == (code, code, state)
    assert runs(data) == []
    assert len(list((data / "inbox").iterdir())) == 1


def test_what_is_not_begun_is_said_in_one_line(cli: Command) -> None:
    with freeze_time("2026-03-02T15:00:01Z"):
        late = cli("run", *SLOT)
    assert late.out == (
        "Slot open (open+15m): it was due at 2026-03-02 09:45:00 New York, and 2026-03-02 10:00:01 New York "
        "is too late for it. It was missed and nothing was sent for it; the inbox is untouched. "
        "`execution-engine run` without --when trades now. Its next time is 2026-03-03 09:45:00 New York.\n"
    )
    (event,) = (line for line in map(json.loads, late.err.splitlines()) if line["event"] == "slot_not_run")
    assert (event["severity"], event["state"], event["slot"]) == ("WARNING", "late", "open")


def test_how_late_is_too_late_can_be_set(cli: Command) -> None:
    assert run_at(cli, "2026-03-02T15:40:00Z", "--latest", "1h").json["rows"]["batched"] == 0


def test_an_unfinished_run_of_the_slot_is_resumed_however_late(cli: Command, data: Path) -> None:
    dropped(cli)
    run_at(cli, DUE)
    (folder,) = runs(data)
    for name in ("manifest.json", "results.parquet", "fills.parquet"):
        (folder / name).unlink(missing_ok=True)
    late = run_at(cli, "2026-03-02T18:00:00Z")
    assert (late.code, late.json["state"]) == (0, "done")
    assert [one["run_id"] for one in late.json["resumed"]] == [folder.name]
    assert (folder / "manifest.json").exists()


def test_the_slot_of_a_dry_run_is_not_that_of_a_live_one(cli: Command, live: Live) -> None:
    run_at(cli, DUE)
    with freeze_time(DUE, tick=True):
        assert cli("run", *SLOT, "--json", **live.env).json.get("state") != "done"


def test_a_job_that_waits_begins_at_the_time_of_its_day(cli: Command, data: Path) -> None:
    dropped(cli)
    done = run_at(cli, "2026-03-02T14:44:59.500Z", "--wait")
    assert (done.code, done.json["rows"]["batched"]) == (0, 1)
    start = json.loads((runs(data)[0] / "run.json").read_text())
    assert start["as_of"] >= "2026-03-02T14:45:00"


def test_no_job_waits_for_another_day(cli: Command) -> None:
    assert run_at(cli, "2026-03-03T01:30:00Z", "--wait").json["state"] == "not_due"
    assert run_at(cli, "2026-03-07T14:44:59Z", "--wait").json["state"] == "closed_day"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (("--slot", "open", "--latest", "5m"), "--latest is given without --when"),
        (("--slot", "open", "--wait"), "--wait is given without --when"),
        (("--when", "open"), "--when is given without --slot"),
        (("--slot", "open", "--when", "noon"), "--when is 'noon'; expected open or close"),
        (("--slot", "open", "--when", "open", "--latest", "soon"), "--latest is 'soon'; expected a length"),
    ],
)
def test_what_makes_no_sense_is_refused(cli: Command, said: tuple[str, ...], expected: str) -> None:
    refused = cli("run", *said)
    assert refused.code == 2
    assert expected in refused.err + refused.out
