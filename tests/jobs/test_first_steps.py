"""What a first hour with the command runs into: no subcommand, wrong names, folders, nothing to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.desk import order
from tests.jobs.command_line import Command, jsonl, one_line_error
from tests.jobs.live_machine import Live


@pytest.mark.parametrize("command", [(), ("positions",), ("ledger",), ("stores",)], ids=" ".join)
def test_a_group_without_a_command_prints_its_help_line_by_line(
    cli: Command, command: tuple[str, ...]
) -> None:
    done = cli(*command)
    assert (done.code, done.out) == (2, "")
    assert "\\n" not in done.err
    assert "Commands:" in done.err.splitlines()
    assert done.err.startswith("Usage: execution-engine")


@pytest.mark.parametrize("command", ["check", "drop"])
@pytest.mark.parametrize("name", [".", "signals.csv", "signals"])
def test_a_folder_in_the_place_of_a_file_is_called_a_folder(cli: Command, command: str, name: str) -> None:
    Path(name).mkdir(exist_ok=True)
    done = cli(command, name)
    assert done.code == 2
    assert one_line_error(done).endswith("it is a folder; name the files in it.")


def test_a_check_of_no_readable_file_does_not_say_that_no_row_would_be_refused(cli: Command) -> None:
    done = cli("check", "nowhere.csv")
    assert done.code == 2
    assert "No file was checked." in done.out
    assert "No row would be" not in done.out


def test_a_check_counts_rows_where_a_row_has_several_faults(cli: Command) -> None:
    done = cli("check", "-", stdin=jsonl(order(side="long", qty=-1), order(qty=2)))
    assert "Would be quarantined, 1 row with all that is wrong: 2" in done.out


def test_a_side_under_action_is_sent_to_its_field(cli: Command) -> None:
    done = cli("check", "-", stdin=jsonl(order(action="buy")))
    assert "or leave it out for new; buy and sell belong under side." in done.told


def test_the_remedy_for_a_name_of_unknown_kind_names_gz_too(cli: Command) -> None:
    Path("signals.xlsx").write_bytes(b"x")
    assert one_line_error(cli("drop", "signals.xlsx")).endswith(".parquet, each also with .gz behind it.")


def test_explain_asks_for_the_row_of_a_file(cli: Command) -> None:
    assert "name one of its rows, too, as in momentum.csv:6" in one_line_error(cli("explain", "momentum.csv"))


def test_explain_of_another_day_names_the_session_that_was_looked_at(cli: Command) -> None:
    cli("drop", stdin=jsonl(order(strategy_id="mom")))
    cli("run")
    done = cli("explain", "mom", "--day", "2026-03-02")
    assert done.code == 2
    assert "no run of session 2026-03-02 has an intent 'mom'" in one_line_error(done)


def test_explain_of_a_file_that_waits_says_so(cli: Command, data: Path) -> None:
    (data / "inbox").mkdir(parents=True)
    (data / "inbox" / "momentum.csv").write_text("strategy_id\nmom\n")
    assert "still waits in the inbox" in one_line_error(cli("explain", "momentum.csv"))


def test_an_order_by_notional_is_not_to_be_dropped_again(cli: Command) -> None:
    """No data will come for it: what would be dropped again would be refused again."""
    row = order(notional=100)
    del row["qty"]
    cli("drop", stdin=jsonl(row))
    done = cli("run")
    assert "risk_data_unavailable" in done.out
    assert "execution-engine drop" not in done.out
    cli("drop", stdin=jsonl(row))
    assert cli("run", "--json").json["drop_again"] == []


@pytest.mark.parametrize(
    ("env", "why"),
    [
        ({"EXECUTION_HALTED": "1"}, "kill_switch_enabled. The kill switch is on: EXECUTION_HALTED is '1'"),
        ({"AGENT_MODE": "live"}, "agent_mode_not_live. AGENT_MODE is 'live'"),
    ],
)
def test_a_run_behind_a_closed_gate_says_so_on_stdout_also_with_an_empty_inbox(
    live: Live, env: dict[str, str], why: str
) -> None:
    """A crontab keeps stdout and log apart: exit 3 is explained in both."""
    done = live("run", **env)
    assert done.code == 3
    assert f"LIVE TRADING WAS REFUSED: {why}" in done.told
    assert done.told.count("The kill switch is on") <= 1


def test_a_withdrawn_order_is_shown_with_its_limit(live: Live) -> None:
    live.cli("drop", stdin=jsonl(order(order_type="limit", limit_price=1.5)))
    live("run", EXEC_SETTLE_S="0")
    done = live("cancel-all")
    assert "limit 1.5" in done.told
    assert "The order is closed." in done.told


def test_a_missing_key_is_one_problem_of_doctor(live: Live, tmp_path: Path) -> None:
    file = tmp_path / "accounts.toml"
    keys = f'paper = true\nhost = "{live.alpaca.url}"\napi_key_env = "A_KEY"\nsecret_key_env = "A_SECRET"\n'
    file.write_text(f"[accounts.a]\n{keys}")
    plain = dict.fromkeys(("ALPACA_API_KEY", "ALPACA_SECRET_KEY", "ALPACA_TRADING_HOST"), "")
    done = live("doctor", "--json", EXEC_ACCOUNTS_FILE=str(file), **plain)
    missing = [problem.split(" ")[0] for problem in done.json["fatal"] if "is not set; Alpaca" in problem]
    assert missing == ["A_KEY", "A_SECRET"]


@pytest.mark.parametrize("command", ["check", "drop"])
@pytest.mark.parametrize("content", [b"", b" \n\n"])
def test_an_empty_standard_input_is_an_error_with_its_remedy(
    cli: Command, data: Path, command: str, content: bytes
) -> None:
    done = cli(command, "-", stdin=content)
    assert done.code == 2
    assert "it is empty: the command that writes to it has probably failed" in done.err
    assert not list(data.glob("inbox/*"))


@pytest.mark.parametrize("command", ["check", "drop"])
@pytest.mark.parametrize(
    ("content", "is_doubted"), [(b"strategy_id,qty\nm,1\n", True), (jsonl(order()), False)]
)
def test_csv_on_standard_input_without_its_format_is_pointed_out(
    cli: Command, command: str, content: bytes, is_doubted: bool
) -> None:
    said = cli(command, "-", stdin=content).err
    assert ("Name its format with --format" in said) is is_doubted
    assert cli(command, "-", "--format", "csv", stdin=content).err == ""
