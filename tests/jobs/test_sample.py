"""``make run``: a dry run of the sample on the embedded store, whatever the environment says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.desk import order
from tests.jobs.command_line import Command, Done, jsonl, waiting
from tests.jobs.live_machine import Live

ROOT = Path(__file__).parents[2]


def sample(**env: str) -> Done:
    done = subprocess.run(
        [sys.executable, "-m", "jobs.sample"],
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def test_the_sample_sends_nothing_where_live_settings_are_exported(live: Live) -> None:
    done = sample(**live.env)
    assert done.code == 0
    assert "The sample is always a dry run on the embedded store: nothing is sent." in done.out
    assert "dry run, nothing is sent" in done.out
    assert "Ignored from the environment: AGENT_MODE, ALPACA_API_KEY, " in done.out
    assert live.alpaca.simulator.simulation.state()["requests"] == []


@pytest.mark.parametrize(
    "env",
    [
        {"EXEC_DRY_RUN": "0"},
        {"EXEC_DRYRUN": "0", "exec_dry_run": "0"},
        {"EXEC_DRY_RUN": "maybe"},
        {"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/book"},
        {"FIREBASE_PROJECT_ID": "somebody's", "FIRESTORE_EMULATOR_HOST": "127.0.0.1:1"},
        {"GOOGLE_CLOUD_PROJECT": "somebody's"},
        {"EXEC_ACCOUNTS_FILE": "/no/such/file.toml"},
        {"EXECUTION_HALTED": "1"},
        {"EXEC_KILL_SWITCH": "1"},
        {"EXEC_MAX_POSITION_QTY": "nonsense"},
        {"EXEC_BROKER_ACCOUNT_ID": "another"},
        {"APCA_API_KEY_ID": "PK", "ALPACA_TRADING_HOST": "https://api.alpaca.markets"},
    ],
    ids="+".join,
)
def test_no_setting_changes_the_sample(data: Path, env: dict[str, str]) -> None:
    done = sample(**env)
    assert (done.code, done.err.count("ERROR")) == (0, 0)
    assert "Every row is accounted for." in done.out
    assert (data / "engine.db").exists()


def test_beside_work_of_ones_own_the_sample_has_a_folder_of_its_own(live: Live) -> None:
    live.cli("drop", stdin=jsonl(order()))
    live("run", "--slot", "sample")
    live.cli("drop", stdin=jsonl(order(qty=2)))
    runs = sorted(live.data.glob("runs/*/*"))
    done = sample(**live.env)
    assert done.code == 0
    assert f"{live.data} holds work of yours; the sample goes to {live.data / 'sample'} instead." in done.out
    assert (sorted(live.data.glob("runs/*/*")), len(waiting(live.data))) == (runs, 1)
    assert len(list(live.data.glob("sample/runs/*/*"))) == 1


def test_a_live_run_named_sample_is_work_of_ones_own(live: Live) -> None:
    live.cli("drop", stdin=jsonl(order()))
    live("run", "--slot", "sample")
    assert f"the sample goes to {live.data / 'sample'} instead" in sample(**live.env).out


def test_the_sample_may_be_run_again(cli: Command, data: Path) -> None:
    for _ in range(2):
        assert sample().code == 0
    assert len(list(data.glob("runs/*/*"))) == 2
