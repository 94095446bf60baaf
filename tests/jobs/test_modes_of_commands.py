"""What commands leave in a data folder is their user's alone; ``doctor`` names what is not."""

from __future__ import annotations

import os
import pwd
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.desk import order
from tests.jobs.command_line import Command, jsonl
from tests.jobs.live_machine import Live


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes_in(data: Path) -> dict[str, int]:
    """Return the modes of a data folder and of all in it but the inbox, by name."""
    paths = [data, *(path for path in data.rglob("*") if "inbox" not in path.relative_to(data).parts)]
    return {str(path.relative_to(data)): stat.S_IMODE(path.lstat().st_mode) for path in paths}


def expected(data: Path, folder: int, file: int) -> dict[str, int]:
    return {name: folder if (data / name).is_dir() else file for name in modes_in(data)}


@pytest.mark.parametrize(("setting", "folder", "file"), [("0", 0o700, 0o600), ("1", 0o750, 0o640)])
def test_all_that_live_runs_leave_has_the_modes_of_the_setting(
    live: Live, data: Path, setting: str, folder: int, file: int
) -> None:
    live.env |= {"EXEC_GROUP_ACCESS": setting, "EXEC_BROKER_ACCOUNT_ID": "paper"}
    live.cli(
        "drop",
        stdin=jsonl(order(client_intent_id="one"), order(client_intent_id="two", qty="many")),
        EXEC_GROUP_ACCESS=setting,
    )
    limit = order(client_intent_id="three", order_type="limit", limit_price=1)
    live.cli("drop", stdin=jsonl(limit), EXEC_GROUP_ACCESS=setting)
    ran = live("run", "--json")
    assert ran.json["results"]["by_status"] == {"placed": 2}
    live.alpaca.simulator.venue.place_order(
        {"symbol": "SPY", "side": "buy", "type": "market", "time_in_force": "day", "qty": "3"}
    )
    assert live("sync").code == 4
    live("day", ran.json["trading_date"])
    live("halt", "--why", "test")
    found = modes_in(data)
    assert {name.split("/")[0] for name in found} >= {
        ".", ".lock", "archive", "days", "engine.db", "open", "quarantine", "runs", "syncs",
    }  # fmt: skip
    assert found == expected(data, folder, file)
    assert stat.S_IMODE((data / "inbox").stat().st_mode) == 0o777


def test_simulated_days_are_the_user_s_alone(cli: Command, tmp_path: Path) -> None:
    out = tmp_path / "simulated"
    assert cli("simulate", "--days", "1", "--out", out).code == 0
    assert modes_in(out) == expected(out, 0o700, 0o600)


def test_doctor_has_nothing_to_say_of_what_the_engine_has_made(cli: Command, data: Path) -> None:
    cli("drop", stdin=jsonl(order()))
    cli("run")
    assert cli("doctor", "--json").json["problems"] == []


def test_doctor_names_what_others_can_reach_and_how_to_close_it(cli: Command, data: Path) -> None:
    cli("drop", stdin=jsonl(order()))
    cli("run")
    data.chmod(0o775)
    (data / "runs").chmod(0o755)
    (data / ".lock").chmod(0o644)
    itself, below = cli("doctor", "--json").json["problems"]
    assert itself.startswith(
        f"{data} has the mode 0775: other users can replace records in it. Write chmod go= "
    )
    assert below.startswith(f"2 files and folders below {data} can be read or written by other users: ")
    assert "runs 0755" in below
    assert ".lock 0644" in below
    for problem in (itself, below):
        command = re.search(r"Write (chmod .*?)\.( Strategies|$)", problem)
        assert command is not None
        subprocess.run(command[1], shell=True, check=True)
    assert cli("doctor", "--json").json["problems"] == []


def test_doctor_allows_what_the_group_may_read(cli: Command, data: Path) -> None:
    cli("drop", stdin=jsonl(order()), EXEC_GROUP_ACCESS="1")
    cli("run", EXEC_GROUP_ACCESS="1")
    assert cli("doctor", "--json", EXEC_GROUP_ACCESS="1").json["problems"] == []
    (itself, below) = cli("doctor", "--json").json["problems"]
    assert "can look into it" in itself
    assert "chmod -R go= " in below


def test_doctor_says_whose_a_data_folder_is(
    cli: Command, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("drop", stdin=jsonl(order()))
    owner = pwd.getpwuid(os.geteuid()).pw_name
    monkeypatch.setattr("os.geteuid", lambda: 54321)
    (problem,) = cli("doctor", "--json").json["problems"]
    assert problem.startswith(f"{data} belongs to the user {owner}, and this command runs as 54321: ")
