from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.desk import order
from tests.jobs.command_line import Command, jsonl


@pytest.mark.parametrize("folder", ["gs://bucket/x", '"x"', "$HOME/x", "x "])
def test_no_command_makes_a_folder_of_a_path_that_was_not_read_as_it_was_meant(
    cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for args in (("run",), ("drop",), ("doctor",), ("collect",), ("status",)):
        done = cli(*args, stdin=jsonl(order()), EXEC_DATA_DIR=folder)
        assert done.code == 2
        assert "EXEC_DATA_DIR is" in done.out + done.err
    done = cli("simulate", "--days", "1", f"--out={folder}")
    assert done.code == 2
    assert "--out" in done.err
    assert cli("replay", "2026-03-02", f"--data={folder}").code == 2
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_on_the_command_line_may_be_below_the_home_folder(
    cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("")
    done = cli("simulate", "--days", "1", "--out=~/full")
    assert done.code == 2
    assert str(tmp_path / "full") in done.err


def test_a_run_and_doctor_notice_a_variable_that_may_be_meant_for_a_setting(cli: Command) -> None:
    remark = "APCA_API_KEY_ID is set, and the engine doesn't read it; did you mean ALPACA_API_KEY?"
    done = cli("run", APCA_API_KEY_ID="x")
    assert done.code == 0
    assert remark in done.told
    assert [event["message"] for event in done.events if event["event"] == "setting_not_read"] == [remark]
    assert cli("run", "--json", APCA_API_KEY_ID="x").json["remarks"] == [remark]
    assert cli("collect", "--json", APCA_API_KEY_ID="x").json["remarks"] == [remark]
    assert cli("run", "--json").json["remarks"] == []
    doctor = cli("doctor", "--json", APCA_API_KEY_ID="x")
    assert remark in doctor.json["problems"]
    assert doctor.code == 0


def test_a_limit_in_small_letters_runs_nothing(cli: Command) -> None:
    done = cli("run", exec_max_position_qty="10")
    assert done.code == 2
    assert "Did you mean EXEC_MAX_POSITION_QTY?" in done.err


def test_the_variables_of_the_accounts_file_are_no_remark(cli: Command, tmp_path: Path) -> None:
    file = tmp_path / "accounts.toml"
    file.write_text(
        '[accounts.a]\npaper = true\napi_key_env = "ALPACA_KEY_ID"\nsecret_key_env = "ALPACA_SECRET"\n'
    )
    keys = {"ALPACA_KEY_ID": "x", "ALPACA_SECRET": "y", "ALPACA_BASE_URL": "z"}
    remarks = cli("run", "--json", EXEC_ACCOUNTS_FILE=str(file), **keys).json["remarks"]
    assert [remark.split()[0] for remark in remarks] == ["ALPACA_BASE_URL"]


@pytest.mark.parametrize("name", [" paper", "paper ", "\tpaper\n"])
def test_blanks_around_an_account_s_name_never_make_two_accounts(
    cli: Command, tmp_path: Path, name: str
) -> None:
    book = tmp_path / "book.json"
    rows = [{"broker_account_id": name, "symbol": "SPY", "qty": 95}]
    book.write_text(json.dumps(rows))
    assert cli("positions", "load", book).code == 0
    cli("drop", stdin=jsonl(order(broker_account_id="paper", qty=6), order(broker_account_id=name, qty=7)))
    said = cli("run", "--json", EXEC_BROKER_ACCOUNT_ID=name).json
    assert said["decisions"]["by_reason"] == {"max_position_size_exceeded": 2}
    shown = cli("positions", "show", "--json", "--account", name).json
    assert [row["broker_account_id"] for row in shown["positions"]] == ["paper"]
