"""The cron line of the page about operating does what it says, run as Debian's cron runs it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "jobs" / "docs" / "operating.md").read_text(encoding="utf-8")
ENGINE = "/srv/engine/.venv/bin/execution-engine"


def cron_line() -> tuple[list[str], str]:
    """Return the fields of time, and the command as cron hands it to the shell."""
    (block,) = re.findall(r"```cron\n(.*?)```", PAGE, re.DOTALL)
    (line,) = [line for line in block.splitlines() if not line.startswith("#")]
    *times, command = line.split(None, 5)
    assert not re.search(r"(?<!\\)%", command), "cron makes a line break of it"
    return times, command.replace("\\%", "%")


@pytest.mark.parametrize(("clock", "runs"), [("0929", True), ("0829", False), ("1029", False)])
def test_of_both_offsets_only_the_one_of_the_season_runs_and_it_is_live(
    tmp_path: Path, clock: str, runs: bool
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "date").write_text(f'#!/bin/sh\n[ "$TZ" = America/New_York ] && echo {clock}\n')
    (tools / "engine").write_text('#!/bin/sh\necho "$* $EXEC_DRY_RUN $EXEC_DATA_DIR"\n')
    for tool in tools.iterdir():
        tool.chmod(0o700)
    (tmp_path / "live.env").write_text("export EXEC_DRY_RUN=0 EXEC_DATA_DIR=/srv/engine/data\n")
    times, command = cron_line()
    assert times == ["29", "13,14", "*", "*", "1-5"]
    command = command.replace(ENGINE, str(tools / "engine")).replace("/srv/engine/", f"{tmp_path}/")
    env = {"HOME": os.environ.get("HOME", "/"), "PATH": f"{tools}:/usr/bin:/bin"}
    subprocess.run(["/bin/sh", "-c", command], env=env, stdin=subprocess.DEVNULL, check=False)
    out = tmp_path / "run.out"
    said = out.read_text() if out.exists() else ""
    assert said == ("run --slot open 0 /srv/engine/data\n" if runs else "")


def test_no_line_needs_what_debian_s_cron_does_not_have() -> None:
    assert "\nCRON_TZ" not in PAGE
