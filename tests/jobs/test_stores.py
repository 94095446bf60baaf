"""``stores forget-folder``, and what commands say while the books can't be compared."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from engine.record.folder_identity import folder_identity
from engine.record.objects import LocalObjects
from tests.desk import order
from tests.jobs.command_line import SCRIPT, jsonl, one_line_error
from tests.jobs.live_machine import Live


@pytest.fixture
def named(live: Live) -> Live:
    live.env["EXEC_BROKER_ACCOUNT_ID"] = "paper"
    return live


def killed_while_sending(live: Live) -> None:
    """Let a live run be killed while its only order is on its way."""
    assert live("sync").code == 0
    live.alpaca.fault({"fault": "latency", "seconds": 30, "on": "answer", "method": "POST"})
    live.cli("drop", stdin=jsonl(order(client_intent_id="sent")))
    with subprocess.Popen(
        [SCRIPT, "run"], env={**os.environ, **live.env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as job:
        while not list((live.data / "runs").rglob("attempts/*.json")):
            assert job.poll() is None
        job.send_signal(signal.SIGKILL)
    live.alpaca.session.delete(f"{live.alpaca.url}/simulator/faults").raise_for_status()


def test_a_sync_that_could_not_compare_exits_with_4_and_says_what_to_do(named: Live) -> None:
    killed_while_sending(named)
    done = named("sync")
    assert done.code == 4
    assert "NOT COMPARED: broker and ledger of paper: run " in done.told
    assert "The next live run finishes it" in done.told
    body = named("sync", "--json").json
    assert (body["exit_code"], list(body["not_compared"]), len(body["in_doubt"])) == (4, ["paper"], 1)


def test_a_dry_run_beside_an_unfinished_live_one_exits_with_4_and_names_it(named: Live) -> None:
    killed_while_sending(named)
    done = named("run", EXEC_DRY_RUN="1")
    assert done.code == 4
    assert "UNFINISHED: live run " in done.told
    assert len(named("run", "--json", EXEC_DRY_RUN="1").json["in_doubt"]) == 1
    finished = named("run", "--json").json
    assert (finished["exit_code"], finished["in_doubt"]) == (0, [])


def test_a_data_folder_that_is_lost_is_given_up_by_name(named: Live, tmp_path: Path) -> None:
    killed_while_sending(named)
    lost = folder_identity(LocalObjects(named.data))
    shutil.rmtree(named.data / "runs")
    shutil.rmtree(named.data / "folder")
    assert f"forget-folder {lost}" in named("sync").told
    done = named("stores", "forget-folder", lost, "--by", "ann", "--why", "disk lost")
    assert done.code == 0
    assert "is no longer waited for" in done.told
    assert "folder_forgotten" in [event["event"] for event in done.events]
    assert named("sync", "--json").json["not_compared"] == {}
    again = named("stores", "forget-folder", lost, "--by", "ann", "--why", "disk lost")
    assert again.code == 2


def test_a_run_whose_books_were_not_compared_says_so_and_status_repeats_it(named: Live) -> None:
    killed_while_sending(named)
    shutil.rmtree(named.data / "runs")
    shutil.rmtree(named.data / "folder")
    ran = named("run")
    assert ran.code == 4
    assert "NOT COMPARED: broker and ledger of paper: " in ran.told
    assert named("status", "--json").json["runs"][-1]["state"] == "done, broker and ledger not compared"


@pytest.mark.parametrize("folder", ["", "a/b", "../x", "*"])
def test_what_is_no_identity_is_refused(named: Live, folder: str) -> None:
    done = named("stores", "forget-folder", folder, "--by", "ann", "--why", "x")
    assert done.code == 2
    assert "is not the identity of a data folder" in one_line_error(done)
