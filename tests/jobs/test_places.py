"""Data folders on disks that are full, read-only, or lack locks and links: what each command says."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.record.objects import LocalObjects
from tests.desk import order
from tests.disks import on_a_mounted_disk
from tests.engine.safety.test_place_trial import (
    full,
    locks_not_supported,
    locks_that_lie,
    no_hard_links,
    no_locks,
)
from tests.jobs.command_line import Command, Done, jsonl, waiting
from tests.jobs.live_machine import Live

BARE = re.compile(r"\[Errno|OSError|Traceback|No space left|Read-only file system|No locks available")
Break = Callable[[pytest.MonkeyPatch], None]


def error_of(done: Done) -> str:
    message: str = done.events[-1]["message"]
    return message


@pytest.mark.parametrize(
    ("how", "cause", "remedy"),
    [
        ("full", "its disk is full", "ake room there"),
        ("read_only", "is mounted read-only", "ount it for reading"),
    ],
)
def test_on_a_disk_that_takes_no_write_every_command_says_so_and_what_to_do(
    tmp_path: Path, how: str, cause: str, remedy: str
) -> None:
    (tmp_path / "disk").mkdir()
    found = on_a_mounted_disk("tests.jobs.commands_on_a_disk", tmp_path / "disk", how)
    for name, done in found.items():
        assert not BARE.search(done["said"]), name
    codes = {name: done["code"] for name, done in found.items()}
    refused = dict.fromkeys(("doctor", "collect", "run", "sync", "halt"), 2)
    assert codes == {"drop": 1, "status": 0, "recover": codes["recover"], **refused}
    for name in ("drop", "doctor", "collect", "run", "sync", "halt"):
        said = " ".join(found[name]["said"].split())
        assert cause in said, name
        assert remedy in said, name
    assert "recording before anything is sent can't be kept" in " ".join(found["doctor"]["said"].split())
    assert "NOT HALTED" in found["halt"]["said"]
    assert "EXECUTION_HALTED=1" in found["halt"]["said"]


@pytest.mark.parametrize(
    ("broken", "promise", "why"),
    [
        (no_locks, "one run at a time", "its file system has no locks"),
        (locks_not_supported, "one run at a time", "its file system has no locks"),
        (locks_that_lie, "one run at a time", "grants the same lock twice"),
        (no_hard_links, "files of record that are written once, whole", "takes no hard links"),
        (full, "a record that outlives a power cut", "its disk is full"),
    ],
)
def test_a_run_on_a_disk_that_lacks_what_it_needs_ends_with_2_and_touches_nothing(
    cli: Command, data: Path, broken: Break, promise: str, why: str
) -> None:
    cli("drop", stdin=jsonl(order()))
    before = waiting(data)
    with pytest.MonkeyPatch.context() as patch:
        broken(patch)
        refused, doctor = [cli("run"), cli("collect")], cli("doctor", "--json")
    for done in refused:
        assert done.code == 2
        assert why in error_of(done)
        assert str(data) in error_of(done)
        assert not BARE.search(done.err)
    assert waiting(data) == before
    (fatal,) = doctor.json["fatal"]
    assert f"{promise} can't be kept" in fatal
    assert why in fatal
    assert doctor.code == 2
    assert cli("run", "--json").json["decisions"]["allowed"] == 1


def test_a_live_run_whose_disk_fills_up_while_it_sends_says_so_and_is_gone_on_with(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.env |= {"EXEC_BROKER_ACCOUNT_ID": "paper"}
    assert live("run").code == 0
    live.cli("drop", stdin=jsonl(order(client_intent_id="first"), order(client_intent_id="second", qty=2)))
    put = LocalObjects.put

    def fills_up(self: LocalObjects, key: str, content: Any) -> None:
        if "/traffic/" in key:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.root / key))
        put(self, key, content)

    with monkeypatch.context() as patch:
        patch.setattr(LocalObjects, "put", fills_up)
        done = live("run")
        said = live("status").told
    assert done.code == 2
    assert "its disk is full. Make room there" in error_of(done)
    assert "a run that was begun goes on" in error_of(done)
    assert not BARE.search(done.err)
    assert "its disk is full" in said
    assert not BARE.search(said)
    assert live("run").code == 0
    assert sorted(one["client_order_id"] for one in live.orders()) == ["first", "second"]


def test_a_live_run_whose_store_can_not_be_written_ends_with_2(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.env |= {"EXEC_BROKER_ACCOUNT_ID": "paper"}
    assert live("run").code == 0
    (live.data / "engine.db").chmod(0o400)
    real = sqlite3.connect

    def reads_only(database: str, **options: Any) -> sqlite3.Connection:
        opened: sqlite3.Connection = real(database.replace("mode=rw", "mode=ro"), **options)
        return opened

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", reads_only)
        done = live("run")
    assert done.code == 2
    assert "engine.db can't be used: its file system is mounted read-only" in error_of(done)
    assert live("run").code == 0


def test_status_says_that_without_locks_it_is_unknown_who_is_at_work(
    cli: Command, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("collect").code == 0
    (data / ".lock.holder").write_text("process 1")
    with monkeypatch.context() as patch:
        no_locks(patch)
        done = cli("status")
    assert done.code == 0
    assert "an unknown process, since the file system has no locks" in done.told


def test_an_inbox_on_another_disk_trades_and_doctor_says_what_can_not_be_done_there(
    cli: Command, data: Path, other_disk: Path
) -> None:
    data.mkdir()
    (data / "inbox").symlink_to(other_disk)
    cli("drop", stdin=jsonl(order()))
    assert cli("run", "--json").json["decisions"]["allowed"] == 1
    problems = cli("doctor", "--json").json["problems"]
    assert any(f"{data}/inbox is on another disk" in problem for problem in problems)
    cli("drop", stdin=jsonl(order(), order(qty=2)))
    large = {"EXEC_INBOX_MAX_FILE_BYTES": "100", "EXEC_INBOX_SETTLE_S": "0"}
    done = cli("run", "--json", **large)
    assert done.code == 4
    assert "which is another disk; move it there" in done.json["left"][0]["why"]


def test_a_lock_that_another_run_holds_is_no_fault_of_the_disk(cli: Command, data: Path) -> None:
    assert cli("run").code == 0
    with (data / ".lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = cli("run")
    assert (done.code, "is in use by" in error_of(done)) == (1, True)
