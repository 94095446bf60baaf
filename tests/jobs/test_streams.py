"""Logs and reports that can't be written are counted, and neither stop a run nor change its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.log import EventLog
from jobs.streams import PatientText
from tests.desk import order
from tests.jobs.command_line import SCRIPT, Command, jsonl
from tests.jobs.live_machine import Live

IMPATIENT = (
    "import jobs.streams as s; s.LOG_WAITS_S = s.PRINT_WAITS_S = 0.3; from jobs.cli import main; main()"
)


@contextmanager
def a_pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    try:
        yield reading, writing
    finally:
        for end in (reading, writing):
            try:
                os.close(end)
            except OSError:
                continue


def filled(writing: int) -> None:
    """Fill a pipe to the brim."""
    os.set_blocking(writing, False)
    for size in (65536, 1):
        try:
            while True:
                os.write(writing, b"x" * size)
        except BlockingIOError:
            continue
    os.set_blocking(writing, True)


def drained(reading: int) -> bytes:
    """Read what a pipe holds."""
    os.set_blocking(reading, False)
    found = b""
    try:
        while piece := os.read(reading, 65536):
            found += piece
    except BlockingIOError:
        return found
    return found


# --- a stream


def test_a_stream_writes_what_it_is_given_in_its_order() -> None:
    with a_pipe() as (reading, writing):
        stream = PatientText(writing, waits_s=1.0)
        stream.write("one\n")
        stream.writelines(["two\n", "thrée \ud800\n"])
        stream.flush()
        assert os.read(reading, 100) == "one\ntwo\nthrée \\ud800\n".encode()
        assert stream.lost_lines == 0


def test_lines_for_a_reader_that_has_gone_are_counted() -> None:
    with a_pipe() as (reading, writing):
        os.close(reading)
        stream = PatientText(writing, waits_s=1.0)
        stream.write("one\ntwo\n")
        stream.flush()
        stream.write("three")
        stream.flush()
        assert stream.lost_lines == 3


def test_lines_for_a_full_disk_are_counted() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    stream = PatientText(full, waits_s=1.0)
    stream.write("one\ntwo\n")
    stream.flush()
    assert stream.lost_lines == 2
    os.close(full)


def test_lines_for_a_stream_that_was_closed_are_counted() -> None:
    stream = PatientText(None, waits_s=1.0)
    stream.write("one\n")
    stream.flush()
    assert (stream.lost_lines, stream.isatty()) == (1, False)


def test_a_reader_that_stopped_reading_is_waited_for_once() -> None:
    with a_pipe() as (_, writing):
        filled(writing)
        stream = PatientText(writing, waits_s=0.3)
        began = time.monotonic()
        for _ in range(50):
            stream.write("a line\n")
            stream.flush()
        assert 0.3 <= time.monotonic() - began < 2
        assert stream.lost_lines == 50


def test_where_a_line_is_cut_off_the_next_one_stands_by_itself() -> None:
    with a_pipe() as (reading, writing):
        filled(writing)
        os.read(reading, 4096)  # room for a piece, and not for the rest of the line
        stream = PatientText(writing, waits_s=0.1)
        stream.write("y" * 6000 + "\n")
        stream.flush()
        drained(reading)
        stream.write("whole\n")
        stream.flush()
        assert drained(reading) == b"\nwhole\n"
        assert stream.lost_lines == 1


@pytest.mark.parametrize("stream", [None, PatientText(None, waits_s=0.0)], ids=["none", "closed"])
def test_events_that_cannot_be_logged_are_counted(stream: Any) -> None:
    log = EventLog(stream)
    log.event("fill", "a fill")
    log.with_fields(run_id="1").events("fill", [("one", {}), ("two", {})])
    assert log.lost == 3


# --- a command


def in_a_process(*args: object, env: dict[str, str], **streams: Any) -> int:
    said = [sys.executable, "-c", f"import sys; sys.argv[1:] = {[str(arg) for arg in args]!r}; {IMPATIENT}"]
    return subprocess.run(said, env={**os.environ, **env}, check=False, timeout=60, **streams).returncode


def manifest_in(data: Path) -> dict[str, Any]:
    (path,) = data.glob("runs/*/*/manifest.json")
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


Streams = Callable[[ExitStack], dict[str, Any]]


def full_disk(stack: ExitStack) -> dict[str, Any]:
    full = os.open("/dev/full", os.O_WRONLY)
    stack.callback(os.close, full)
    return {"stdout": full, "stderr": full}


def reader_that_has_gone(stack: ExitStack) -> dict[str, Any]:
    reading, writing = stack.enter_context(a_pipe())
    os.close(reading)
    return {"stdout": writing, "stderr": writing}


def reader_that_stopped_reading(stack: ExitStack) -> dict[str, Any]:
    _, writing = stack.enter_context(a_pipe())
    filled(writing)
    return {"stdout": writing, "stderr": writing}


def closed(_: ExitStack) -> dict[str, Any]:
    return {"preexec_fn": lambda: os.closerange(0, 3)}


def terminal_that_vanished(stack: ExitStack) -> dict[str, Any]:
    mine, theirs = os.openpty()
    os.close(mine)  # writing to the other end is an EIO from now on
    stack.callback(os.close, theirs)
    return {"stdout": theirs, "stderr": theirs}


@pytest.mark.parametrize(
    "streams",
    [full_disk, reader_that_has_gone, reader_that_stopped_reading, closed, terminal_that_vanished],
    ids=lambda streams: streams.__name__,
)
def test_a_live_run_whose_log_and_report_cannot_be_written_trades_and_ends_with_0(
    live: Live, streams: Streams
) -> None:
    live.cli("drop", stdin=jsonl(order()))
    with ExitStack() as stack:
        code = in_a_process("run", env=live.env, **streams(stack))
    assert code == 0
    assert [placed["client_order_id"] for placed in live.orders()] != []
    manifest = manifest_in(live.data)
    assert manifest["results"]["by_status"] == {"placed": 1}
    if streams is not terminal_that_vanished:  # which was to get errors only
        assert manifest["unlogged_lines"] > 5


def test_a_run_whose_log_is_written_counts_nothing(cli: Command, data: Path) -> None:
    cli("run")
    assert manifest_in(data)["unlogged_lines"] == 0


def test_a_report_into_head_ends_with_the_code_of_the_run(cli: Command, data: Path) -> None:
    cli("drop", stdin=jsonl(*(order(qty=n) for n in range(1, 60))))
    line = f"{SCRIPT} run 2>&1 | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_error_that_cannot_be_printed_keeps_its_code(data: Path) -> None:
    with ExitStack() as stack:
        assert in_a_process("run", env={"EXEC_DRY_RUN": "maybe"}, **full_disk(stack)) == 2


def test_no_file_of_a_run_takes_the_place_of_a_closed_stream(cli: Command, data: Path) -> None:
    told = (
        "import os, sys, jobs.streams; jobs.streams.make_patient(); "
        "print('printed'); sys.exit(os.open(os.devnull, os.O_RDONLY))"
    )
    done = subprocess.run(
        [sys.executable, "-c", told], check=False, preexec_fn=lambda: os.closerange(0, 3), timeout=20
    )
    assert done.returncode >= 3
