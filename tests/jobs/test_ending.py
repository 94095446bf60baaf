"""The end of a process: the code that was said, at once, whatever is still running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.desk import order
from tests.jobs.command_line import SCRIPT, jsonl
from tests.jobs.live_machine import Live


def ended(work: str, *, timeout: float = 20) -> subprocess.CompletedProcess[str]:
    """Let a process do some work, given as the body of a function, and end as a command does."""
    body = "".join(f"    {line}\n" for line in work.splitlines())
    program = f"import sys\nfrom jobs.ending import as_a_process\ndef work():\n{body}\nas_a_process(work)\n"
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=timeout
    )


@pytest.mark.parametrize(
    ("work", "code"),
    [
        ("return None", 0),
        ("return 7", 0),
        ("sys.exit(4)", 4),
        ("sys.exit()", 0),
        ("sys.exit(None)", 0),
        ("sys.exit('what is wrong')", 1),
        ("raise KeyError('a defect')", 1),
        ("raise KeyboardInterrupt", 1),
    ],
)
def test_a_process_ends_with_the_code_that_its_command_exits_with(work: str, code: int) -> None:
    assert ended(work).returncode == code


def test_what_was_printed_is_there_and_what_libraries_do_at_the_end_is_left_out() -> None:
    done = ended(
        "import atexit\natexit.register(print, 'torn down')\nprint('out', end='')\n"
        "print('err', end='', file=sys.stderr)\nsys.exit(3)"
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "out", "err")


def test_an_unexpected_error_is_shown() -> None:
    done = ended("raise KeyError('a defect')")
    assert "Traceback" in done.stderr
    assert "KeyError: 'a defect'" in done.stderr


def test_threads_that_never_end_are_not_waited_for() -> None:
    began = time.monotonic()
    done = ended(
        "import threading, time\nthreading.Thread(target=time.sleep, args=[60]).start()\nsys.exit(3)"
    )
    assert done.returncode == 3
    assert time.monotonic() - began < 15


def test_a_library_that_aborts_while_it_is_torn_down_changes_no_exit_code() -> None:
    done = ended("import atexit, os\natexit.register(os.abort)\nsys.exit(0)")
    assert done.returncode == 0


@pytest.mark.parametrize("how", [[str(SCRIPT)], [sys.executable, "-m", "jobs.cli"]], ids=["script", "module"])
@pytest.mark.parametrize(
    ("said", "code"), [(["--help"], 0), (["--version"], 0), (["no-such"], 2), (["run"], 0)]
)
def test_every_way_to_run_a_command_ends_with_its_code(
    data: Path, how: list[str], said: list[str], code: int
) -> None:
    done = subprocess.run([*how, *said], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code
    assert done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_a_live_run_between_two_steps_and_the_next_one_goes_on(
    live: Live, number: signal.Signals
) -> None:
    live.cli("drop", stdin=jsonl(order()))
    live.alpaca.fault({"fault": "latency", "seconds": 2, "method": "POST", "times": 1})
    job = subprocess.Popen([SCRIPT, "run"], env={**os.environ, **live.env}, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 30
    while not list(live.data.glob("runs/*/*/attempts/*")) and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.3)
    job.send_signal(number)
    assert job.wait(30) == 1
    assert live("run", "--json").json["resumed"][0]["results"]["by_status"] == {"placed": 1}
    assert len(live.orders()) == 1


def test_a_hangup_that_is_to_be_ignored_ends_nothing(live: Live) -> None:
    live.cli("drop", stdin=jsonl(order()))
    live.alpaca.fault({"fault": "latency", "seconds": 1, "method": "POST", "times": 1})
    job = subprocess.Popen(
        ["nohup", SCRIPT, "run"],
        env={**os.environ, **live.env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 30
    while not list(live.data.glob("runs/*/*/attempts/*")) and time.monotonic() < until:
        time.sleep(0.02)
    job.send_signal(signal.SIGHUP)
    assert job.wait(30) == 0
