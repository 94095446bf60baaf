"""``status`` beside a run: it answers at once, and holds nothing that the run needs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.desk import Desk
from tests.engine.safety.test_lock import held_elsewhere
from tests.jobs.command_line import SCRIPT

WATCHDOG_S = 60.0


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_status_answers_while_another_process_holds_the_lock(data: Path, arguments: tuple[str, ...]) -> None:
    Desk(data).begin()
    with held_elsewhere(data) as process:
        done = subprocess.run(
            [SCRIPT, "status", *arguments], capture_output=True, text=True, timeout=WATCHDOG_S, check=False
        )
        assert process.poll() is None
    assert (done.returncode, done.stderr) == (0, "")
    assert f"process {process.pid}, at work since noon" in " ".join(done.stdout.split())


def test_a_run_beside_it_ends_with_the_holder_named(data: Path) -> None:
    with held_elsewhere(data) as process:
        done = subprocess.run(
            [SCRIPT, "run"], capture_output=True, text=True, timeout=WATCHDOG_S, check=False
        )
    assert done.returncode == 1
    assert f"process {process.pid}" in done.stderr
