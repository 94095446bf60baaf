from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier, Event

import pytest

from engine.errors import RunInProgress
from engine.safety.lock import exclusive, holder

HOLD = """
import sys
from pathlib import Path
from engine.safety.lock import exclusive
with exclusive(Path(sys.argv[1]), since="noon"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Let another process hold a folder until the block ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_job_gets_the_holder_of_the_folder_and_since_when(tmp_path: Path) -> None:
    with (
        held_elsewhere(tmp_path) as process,
        pytest.raises(
            RunInProgress, match=rf"{re.escape(str(tmp_path))} is in use by process {process.pid}, .* noon"
        ),
        exclusive(tmp_path, since="later"),
    ):
        pytest.fail("two hold the folder")


def test_a_second_job_changes_nothing_for_the_first(tmp_path: Path) -> None:
    with exclusive(tmp_path, since="noon"):
        for _ in range(2):
            with pytest.raises(RunInProgress, match="since noon"), exclusive(tmp_path, since="later"):
                pytest.fail("two hold the folder")


def test_a_folder_is_free_after_its_holder_ended(tmp_path: Path) -> None:
    for _ in range(2):
        with exclusive(tmp_path, since="noon"):
            pass


def test_a_folder_is_free_after_its_holder_failed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), exclusive(tmp_path, since="noon"):
        raise ZeroDivisionError
    with exclusive(tmp_path, since="later"):
        pass


def test_a_folder_is_free_after_its_holder_was_killed(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        with exclusive(tmp_path, since="later"):
            pass


def test_what_a_killed_holder_left_does_not_stand_for_the_present_one(tmp_path: Path) -> None:
    (tmp_path / ".lock.holder").write_text("process 1, at work since yesterday")
    with (
        exclusive(tmp_path, since="noon"),
        pytest.raises(RunInProgress, match=rf"process {os.getpid()}, at work since noon"),
        exclusive(tmp_path, since="later"),
    ):
        pytest.fail("two hold the folder")


def test_folders_are_held_one_by_one(tmp_path: Path) -> None:
    with exclusive(tmp_path / "a", since="noon"), exclusive(tmp_path / "b", since="noon"):
        pass


def test_a_folder_that_is_not_there_yet_is_made(tmp_path: Path) -> None:
    with exclusive(tmp_path / "new" / "data", since="noon"):
        assert (tmp_path / "new" / "data").is_dir()


def test_of_many_that_come_at_once_one_gets_the_folder(tmp_path: Path) -> None:
    together, after = Barrier(6), Barrier(6)

    def come(number: int) -> bool:
        together.wait()
        try:
            with exclusive(tmp_path, since=f"{number}"):
                after.wait()
                return True
        except RunInProgress:
            after.wait()
            return False

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(come, range(6))) == [False] * 5 + [True]


# --- who is at work


def test_the_holder_is_named_while_it_holds_the_folder_and_no_longer(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    with held_elsewhere(tmp_path) as process:
        assert holder(tmp_path) == f"process {process.pid}, at work since noon"
        process.kill()
        process.wait()
        assert (tmp_path / ".lock.holder").exists()
        assert holder(tmp_path) is None
    with exclusive(tmp_path, since="noon"):
        assert holder(tmp_path) == f"process {os.getpid()}, at work since noon"
    assert holder(tmp_path) is None


def test_to_look_who_holds_a_folder_never_takes_it(tmp_path: Path) -> None:
    over = Event()

    def look_all_the_time() -> None:
        while not over.is_set():
            holder(tmp_path)

    with ThreadPoolExecutor(2) as pool:
        looking = [pool.submit(look_all_the_time) for _ in range(2)]
        try:
            for _ in range(100):
                with exclusive(tmp_path, since="noon"):
                    pass
        finally:
            over.set()
        assert [one.result() for one in looking] == [None, None]
