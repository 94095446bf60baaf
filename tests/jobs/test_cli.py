from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.run.stages import STAGES
from engine.safety.lock import exclusive
from engine.stores.postgres.store import PostgresStore
from jobs.setup import read_setup
from tests.desk import Row, content_of, order
from tests.jobs.command_line import SCRIPT, Command, jsonl, one_line_error, script, waiting

RUN_KEYS = {
    "run_id",
    "trading_date",
    "folder",
    "exit_code",
    "rows",
    "notes",
    "unkept",
    "overrides",
    "expired_overrides",
    "drop_again",
    "left",
    "decisions",
    "results",
    "orders",
    "fills",
    "limits",
    "cancels",
    "resumed",
    "in_doubt",
    "remarks",
}
COMMANDS = ["drop", "collect", "run", "status", "halt", "recover", "doctor", "init-db", "explain"]
COMMANDS += [
    "positions",
    "positions load",
    "positions show",
    "positions accept",
    "positions assign",
    "simulate",
    "replay",
    "day",
]
COMMANDS += ["sync", "cancel-all", "check"]


# --- drop


def test_dropped_files_wait_in_the_inbox_byte_for_byte(cli: Command, data: Path, tmp_path: Path) -> None:
    content = content_of("a.csv", [order(), order(qty=0)])
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_bytes(content)
    done = cli("drop", tmp_path / "a.csv", tmp_path / "b.csv")
    assert (done.code, done.err) == (0, "")
    names = waiting(data)
    assert [name.split(".")[0] for name in names] == ["a", "b"]
    assert all((data / "inbox" / name).read_bytes() == content for name in names)
    assert all(f"dropped {data / 'inbox' / name}" in done.told for name in names)


@pytest.mark.parametrize("args", [("drop",), ("drop", "-"), ("drop", "-", "--format", "jsonl")])
def test_standard_input_can_be_dropped(cli: Command, data: Path, args: tuple[str, ...]) -> None:
    assert cli(*args, stdin=jsonl(order())).code == 0
    assert [(data / "inbox" / name).read_bytes() for name in waiting(data)] == [jsonl(order())]


def test_standard_input_may_hold_another_format(cli: Command) -> None:
    cli("drop", "-", "--format", "csv", stdin=content_of("a.csv", [order(), order(qty=2)]))
    assert cli("run", "--json").json["rows"]["batched"] == 2


def test_dropping_says_for_machines_where_files_went(cli: Command, data: Path) -> None:
    done = cli("drop", "--json", stdin=jsonl(order()))
    paths = [str(data / "inbox" / name) for name in waiting(data)]
    assert done.json == {"exit_code": 0, "dropped": paths, "already_there": [], "failed": []}
    assert cli("drop", "--json", stdin=jsonl(order())).json["already_there"] == paths


def test_dropping_the_same_file_twice_makes_one(cli: Command, data: Path) -> None:
    for _ in range(2):
        cli("drop", stdin=jsonl(order()))
    assert len(waiting(data)) == 1


@pytest.mark.parametrize("name", ["missing.csv", "."])
def test_dropping_what_is_no_file_is_a_usage_error(cli: Command, data: Path, name: str) -> None:
    done = cli("drop", name)
    assert done.code == 2
    assert name in done.err
    assert waiting(data) == []


def test_dropping_a_name_that_would_never_be_looked_at_is_a_usage_error(
    cli: Command, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "_draft.csv").write_bytes(b"")
    done = cli("drop", tmp_path / "_draft.csv")
    assert done.code == 2
    assert "'_draft.csv' is a name that the inbox leaves alone" in one_line_error(done)
    assert waiting(data) == []


# --- run


def test_a_run_prints_one_object_for_machines_with_the_keys_of_the_contract(cli: Command, data: Path) -> None:
    cli("drop", stdin=jsonl(order(), order(qty=500), order(qty=0)))
    said = cli("run", "--json", "--slot", "open").json
    assert set(said) == RUN_KEYS
    assert said["run_id"].endswith("Z-open")
    assert said["folder"] == str(data / "runs" / said["trading_date"] / said["run_id"])
    assert said["rows"] == {"dropped": 3, "batched": 2, "quarantined": 1, "duplicate": 0}
    assert said["decisions"] == {"allowed": 1, "refused": 1, "by_reason": {"max_position_size_exceeded": 1}}
    assert said["results"]["by_status"] == {"dry_run": 1, "rejected": 1}
    assert said["orders"] == {"sent": 0, "adopted": 0}
    assert (said["exit_code"], said["fills"], said["resumed"]) == (0, 0, [])


def test_a_run_on_an_empty_inbox_is_done_and_gives_zeros(cli: Command) -> None:
    done = cli("run", "--json")
    assert (done.code, done.json["exit_code"]) == (0, 0)
    assert done.json["rows"] == {"dropped": 0, "batched": 0, "quarantined": 0, "duplicate": 0}
    assert done.json["decisions"] == {"allowed": 0, "refused": 0, "by_reason": {}}
    assert done.json["results"]["by_status"] == {}


def test_a_run_tells_people_what_came_in_and_what_became_of_it(cli: Command, data: Path) -> None:
    cli("drop", stdin=jsonl(order(), order(qty=500), order(qty="1,5")))
    done = cli("run")
    assert done.code == 0
    for told in (
        "dry run, nothing is sent",
        "1 would be sent, 1 refused",
        "max_position_size_exceeded: 0 held, +1 allowed and working buys before it, +500 with it: 501",
        "qty is '1,5'; expected a positive decimal number",
        "Every row is accounted for.",
        f"Record: {data}/runs/",
    ):
        assert told in done.told


def test_a_run_names_the_columns_that_it_kept_as_metadata_once_a_file(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl(order(signal=1), order(qty=2, signal=2)))
    cli("drop", tmp_path / "a.jsonl")
    done = cli("run")
    line = "kept as metadata, since no fields of an intent: signal"
    assert done.told.count(line) == 1
    assert done.told.index("What came in") < done.told.index(line) < done.told.index("What was decided")


def test_what_is_to_note_stands_in_what_machines_read_too(cli: Command) -> None:
    message = "kept as metadata, since no fields of an intent: signal"
    cli("drop", stdin=jsonl(order(signal=1)))
    (note,) = cli("run", "--json").json["notes"]
    assert note["message"] == message
    cli("drop", stdin=jsonl(order(qty=2, signal=1)))
    (note,) = cli("collect", "--json").json["notes"]
    assert (set(note), note["message"]) == ({"file", "message"}, message)


def test_of_more_than_ten_notes_the_output_names_the_file_that_has_all(cli: Command, data: Path) -> None:
    for nth in range(12):
        cli("drop", stdin=jsonl(order(qty=nth + 1, signal=1)))
    done = cli("run")
    assert done.told.count("kept as metadata, since no fields of an intent: signal") == 10
    (collected,) = data.glob("runs/*/*/collected.json")
    assert f"and 2 more; {collected} has all" in done.told
    assert len(json.loads(collected.read_text())["notes"]) == 12


def test_a_run_tells_of_duplicates_and_the_remedy(cli: Command) -> None:
    for _ in range(2):
        cli("drop", stdin=jsonl(order()))
        done = cli("run")
    assert "Recognised as dropped before, not taken twice: 1" in done.told
    assert "To mean it again, give it a client_intent_id or a created_at of its own." in done.told


def test_a_run_tells_of_files_that_it_left(cli: Command, data: Path) -> None:
    cli("drop", stdin=jsonl(order()))
    (data / "inbox" / "young.json").write_bytes(b"[]")
    done = cli("run")
    assert done.code == 0
    assert "Waiting in the inbox; a later run looks again: 1" in done.told
    assert "young.json: it is younger than 2 s (EXEC_INBOX_SETTLE_S)" in done.told


def test_what_is_blocked_in_the_inbox_is_named_by_runs_and_the_status_and_ends_with_4(
    cli: Command, data: Path
) -> None:
    cli("drop", stdin=jsonl(order()))
    (data / "inbox" / "b.csv").symlink_to("/etc/shadow")
    (data / "inbox" / "a.csv.crdownload").write_bytes(b"")
    (data / "inbox" / "a.csv.part1").write_bytes(b"strategy_id,")
    (data / "inbox" / f"{'n' * 200}.csv").write_bytes(b"")
    os.utime(data / "inbox" / "a.csv.part1", times=2 * (time.time() - 60,))
    why = "it is a link, which is not followed; put the file or folder itself here"
    collected = cli("collect", "--json")
    assert (collected.code, collected.json["exit_code"]) == (4, 4)
    assert {"name": "b.csv", "why": why, "kind": "blocked"} in collected.json["left"]
    done = cli("run")
    assert done.code == 4
    assert "LEFT IN THE INBOX until it is corrected: 2" in done.told
    assert f"b.csv: {why}" in done.told
    assert "a.csv.crdownload: its name is that of a file that is still being written" in done.told
    said = cli("run", "--json")
    left = {one["name"]: one["kind"] for one in said.json["left"]}
    assert said.code == 4
    assert left == {
        "b.csv": "blocked",
        f"{'n' * 200}.csv": "blocked",
        "a.csv.crdownload": "waiting",
        "a.csv.part1": "waiting",
    }
    status = cli("status")
    assert status.code == 0
    assert f"b.csv: {why}" in status.told
    assert "Inbox: no file that a run would read" in status.told
    assert "a.csv.part1: its ending may be that of an unfinished upload" in status.told
    assert "done, 2 blocked in the inbox" in status.told
    assert sorted(map(str, cli("status", "--json").json["left"])) == sorted(map(str, said.json["left"]))


def test_text_of_strategies_is_printed_as_it_is(cli: Command) -> None:
    cli("drop", stdin=jsonl(order(strategy_id="[bold]m[/bold] %s {x}", qty=500)))
    assert "[bold]m[/bold] %s {x}" in cli("run").told


def test_standard_error_holds_log_lines_only_each_with_what_the_log_needs() -> None:
    with a_data_folder() as folder:
        script("drop", stdin=jsonl(order(), order(qty=500), order(qty=0)), EXEC_DATA_DIR=folder)
        done = script("run", EXEC_DATA_DIR=folder)
    assert done.code == 0
    assert done.out.startswith("\nRun ")
    events = done.events
    assert all({"severity", "message", "time", "event", "run_id"} <= set(event) for event in events)
    assert [event["event"] for event in events] == [
        "run_started",
        "intent_received",
        "intent_received",
        "intent_quarantined",
        "risk_decision",
        "risk_decision",
        "dry_run_accept",
        "run_finished",
    ]
    with_id = [
        event for event in events if event["event"] in {"intent_received", "risk_decision", "dry_run_accept"}
    ]
    assert all(event["intent_id"] for event in with_id)
    assert {event["severity"] for event in events} == {"INFO", "WARNING"}


@contextmanager
def a_data_folder() -> Iterator[str]:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        yield f"{folder}/data"


# --- collect, and what is resumed


def test_a_collected_batch_is_decided_by_the_next_run(cli: Command) -> None:
    cli("drop", stdin=jsonl(order(), order(qty=0)))
    collected = cli("collect", "--json").json
    assert collected["rows"] == {"dropped": 2, "batched": 1, "quarantined": 1, "duplicate": 0}
    assert (collected["exit_code"], collected["resumed"]) == (0, [])
    said = cli("run", "--json").json
    (resumed,) = said["resumed"]
    assert set(resumed) == RUN_KEYS - {"resumed", "in_doubt"}
    assert resumed["run_id"] == collected["run_id"]
    assert resumed["results"]["by_status"] == {"dry_run": 1}
    assert said["rows"]["dropped"] == 0


def test_a_collected_batch_is_reported_to_people(cli: Command) -> None:
    cli("drop", stdin=jsonl(order()))
    done = cli("collect")
    assert done.code == 0
    assert "collected, not yet decided" in done.told
    assert "`execution-engine run` decides on it." in done.told
    assert "finished what an earlier run left" in cli("run").told


def test_a_resumed_run_keeps_the_settings_that_it_was_started_with(cli: Command) -> None:
    cli("drop", stdin=jsonl(order(qty=60)))
    cli("collect", EXEC_MAX_POSITION_QTY="50", EXEC_RISK_FAIL_OPEN="1")
    said = cli("run", "--json", EXEC_MAX_POSITION_QTY="1000", EXEC_DECISION_MAX_AGE_S="0").json
    (resumed,) = said["resumed"]
    assert resumed["decisions"]["by_reason"] == {"max_position_size_exceeded": 1}
    start = json.loads((Path(resumed["folder"]) / "run.json").read_text())
    assert (start["config"]["max_position_qty"], start["settings"]["decision_max_age_s"]) == (50.0, 900.0)


def test_a_second_collection_ends_the_first_before_it_begins(cli: Command) -> None:
    cli("drop", stdin=jsonl(order()))
    first = cli("collect", "--json").json
    second = cli("collect", "--json").json
    assert [resumed["run_id"] for resumed in second["resumed"]] == [first["run_id"]]


def test_a_halt_of_a_resumed_run_is_the_exit_code_of_the_job(cli: Command) -> None:
    cli("drop", stdin=jsonl(order()))
    cli("collect")
    answers = cli("run", "--json", EXECUTION_HALTED="1")
    assert (answers.code, answers.json["resumed"][0]["exit_code"]) == (3, 3)


# --- exit codes


def test_the_kill_switch_ends_a_run_with_3_and_results(cli: Command) -> None:
    cli("drop", stdin=jsonl(order()))
    done = cli("run", "--json", EXECUTION_HALTED="1")
    assert (done.code, done.json["exit_code"]) == (3, 3)
    assert done.json["decisions"]["by_reason"] == {"kill_switch_enabled": 1}
    assert done.json["results"]["by_status"] == {"rejected": 1}


def test_the_kill_switch_file_ends_a_run_with_3(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "switch").write_text("1")
    assert cli("run", EXECUTION_HALTED_FILE=str(tmp_path / "switch")).code == 3
    (tmp_path / "switch").write_text("0")
    assert cli("run", EXECUTION_HALTED_FILE=str(tmp_path / "switch")).code == 0


def test_refusals_and_quarantined_rows_are_no_failure(cli: Command) -> None:
    cli("drop", stdin=jsonl(order(qty=500), order(qty=0)))
    assert cli("run").code == 0


def test_a_damaged_record_ends_a_run_with_1_and_names_the_file(cli: Command) -> None:
    cli("drop", stdin=jsonl(order()))
    folder = Path(cli("collect", "--json").json["folder"])
    (folder / "intents.parquet").write_bytes(b"garbage")
    done = cli("run")
    assert done.code == 1
    assert "intents.parquet is damaged" in done.err.splitlines()[-1]
    assert "Traceback" not in done.err


def test_a_run_that_does_not_add_up_ends_with_4_and_tells_so(cli: Command) -> None:
    cli("drop", stdin=jsonl(order()))
    folder = Path(cli("collect", "--json").json["folder"])
    collected = json.loads((folder / "collected.json").read_text())
    collected["rows"]["dropped"] = 2
    (folder / "collected.json").write_text(json.dumps(collected))
    done = cli("run")
    assert done.code == 4
    assert "DOES NOT ADD UP: rows dropped = batched + quarantined + duplicate: 2 and 1" in done.told


@pytest.mark.parametrize(
    "env",
    [
        {"EXEC_DRY_RUN": "0"},
        {"EXEC_DRY_RUN": "y"},
        {"EXEC_DRY_RUN": "flase"},
        {"EXEC_MAX_POSITION_QTY": "nan"},
        {"EXEC_MAX_DAILY_TRADES": "-1"},
        {"EXEC_DRYRUN": "1"},
        {"EXEC_CALENDAR": "NOWHERE"},
        {"DATABASE_URL": "mysql://localhost/x"},
        {"EXEC_STORE": "postgres"},
        {"EXEC_RISK_DATA_TIMEOUT_S": "0"},
        {"EXEC_HEARTBEAT_DOC": "ops"},
        {"MARKETDATA_STALE_THRESHOLD_S": "nan"},
    ],
)
@pytest.mark.parametrize("command", ["run", "collect"])
def test_a_wrong_setting_ends_with_2_before_anything_is_touched(
    cli: Command, data: Path, command: str, env: dict[str, str]
) -> None:
    cli("drop", stdin=jsonl(order()))
    before = waiting(data)
    done = cli(command, **env)
    assert done.code == 2
    assert next(iter(env)) in one_line_error(done)
    assert waiting(data) == before
    assert [path.name for path in data.iterdir()] == ["inbox"]


def test_asking_for_live_orders_ends_with_2_as_a_process() -> None:
    with a_data_folder() as folder:
        done = script("run", EXEC_DATA_DIR=folder, EXEC_DRY_RUN="0")
        assert not Path(folder).exists()
    assert (done.code, done.out) == (2, "")
    assert "EXEC_DRY_RUN is 0, and DATABASE_URL" in one_line_error(done)


def test_an_error_is_reported_to_machines_too(cli: Command) -> None:
    done = cli("run", "--json", EXEC_DRY_RUN="y")
    assert done.code == 2
    assert done.json == {"error": one_line_error(done), "exit_code": 2}


def test_a_usage_error_is_reported_to_machines_too(cli: Command) -> None:
    done = cli("status", "--json", "--nonsense")
    assert (done.code, done.json["exit_code"]) == (2, 2)
    assert "--nonsense" in done.json["error"]


def test_a_slot_that_is_no_name_is_a_usage_error(cli: Command, data: Path) -> None:
    done = cli("run", "--slot", "9:45")
    assert done.code == 2
    assert "slot is '9:45'; expected" in one_line_error(done)
    assert not data.exists()


@pytest.mark.parametrize("args", [("frobnicate",), ("run", "--nonsense"), ("explain",), ("run", "extra"), ()])
def test_a_command_that_does_not_exist_or_is_not_whole_is_a_usage_error(
    cli: Command, args: tuple[str, ...]
) -> None:
    done = cli(*args)
    assert done.code == 2
    assert "Usage: execution-engine" in done.err


@pytest.mark.parametrize("command", ["run", "collect"])
def test_a_second_job_ends_with_1_and_says_who_is_at_work(cli: Command, data: Path, command: str) -> None:
    cli("drop", stdin=jsonl(order()))
    with exclusive(data, since="noon"):
        done = cli(command)
    assert done.code == 1
    assert f"{data} is in use by process {os.getpid()}, at work since noon" in one_line_error(done)
    assert len(waiting(data)) == 1


def read_only(tmp_path: Path) -> Path:
    """Return a folder that can not be written to: as root, one of the kernel's."""
    if os.geteuid() == 0:
        return Path("/sys")
    (tmp_path / "read-only").mkdir(mode=0o555)
    return tmp_path / "read-only"


@pytest.mark.parametrize("args", [("run",), ("collect",), ("drop",), ("positions", "load", "book.csv")])
def test_a_data_folder_that_cannot_be_written_is_one_clear_line(
    cli: Command, tmp_path: Path, args: tuple[str, ...]
) -> None:
    Path("book.csv").write_text("broker_account_id,symbol,qty\npaper,SPY,1\n")
    folder = read_only(tmp_path)
    done = cli(*args, stdin=jsonl(order()), EXEC_DATA_DIR=str(folder))
    assert done.code == (1 if args == ("drop",) else 2)
    assert str(folder) in one_line_error(done)
    assert "no right to do that there" in one_line_error(done)


def test_a_data_folder_that_is_a_file_is_one_clear_line(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = cli("run", EXEC_DATA_DIR=str(tmp_path / "file"))
    assert done.code == 2
    assert str(tmp_path / "file") in one_line_error(done)


def test_a_damaged_engine_db_refuses_orders_and_ends_the_run_well(cli: Command, data: Path) -> None:
    cli("drop", stdin=jsonl(order()))
    (data / "engine.db").write_bytes(b"garbage")
    done = cli("run")
    assert done.code == 0
    assert "risk_data_unavailable: could not be judged" in done.told


def test_output_that_nobody_reads_is_no_traceback() -> None:
    with a_data_folder() as folder:
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [SCRIPT, "run"],
            stdout=writing,
            stderr=subprocess.PIPE,
            env={**os.environ, "EXEC_DATA_DIR": folder},
            check=False,
        )
        os.close(writing)
        assert list(Path(folder).glob("runs/*/*/manifest.json"))
    assert b"Traceback" not in done.stderr


# --- SIGTERM


@pytest.mark.parametrize("step", ["reading files", "reading positions and counts", "deciding"])
def test_sigterm_ends_the_job_between_two_stages_with_1_and_the_next_run_goes_on(
    cli: Command, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    cli("drop", stdin=jsonl(order()))

    @contextmanager
    def terminated_at_the_step() -> Iterator[Callable[[str, int, int], None]]:
        def tell(name: str, done: int, total: int) -> None:
            if name == step and done == total:
                os.kill(os.getpid(), signal.SIGTERM)

        yield tell

    with monkeypatch.context() as patch:
        patch.setattr("jobs.run.progress_bar", terminated_at_the_step)
        done = cli("run")
    assert done.code == 1
    assert "the next run goes on there" in done.err.splitlines()[-1]
    (resumed,) = cli("run", "--json").json["resumed"]
    assert resumed["results"]["by_status"] == {"dry_run": 1}


def test_a_stage_for_each_step_that_sigterm_is_tried_at() -> None:
    assert len(STAGES) == 5


# --- status


def test_the_status_before_anything_happened(cli: Command, data: Path) -> None:
    done = cli("status")
    assert (done.code, done.err) == (0, "")
    assert f"No runs yet in {data}." in done.told
    assert "Inbox: empty" in done.told
    assert "Kill switch: off" in done.told
    assert not data.exists()


def test_the_status_shows_runs_inbox_and_kill_switch(cli: Command, data: Path) -> None:
    cli("drop", stdin=jsonl(order(), order(qty=500), order(qty=0)))
    cli("run", "--slot", "first")
    cli("run", "--slot", "second", EXECUTION_HALTED="1")
    cli("drop", stdin=jsonl(order()))
    cli("collect", "--slot", "third")
    cli("drop", stdin=jsonl(order(qty=3)))
    done = cli("status", EXECUTION_HALTED="1")
    first, second, third = (line for line in done.out.splitlines() if line.startswith("20"))
    assert first.split()[1:] == [first.split()[1], "done", "3", "1", "1", "1", "0"]
    assert "halted" in second
    assert "unfinished; the next run ends it" in third
    assert f"Inbox: 1 waiting ({waiting(data)[0]})" in done.told
    assert "The kill switch is on: EXECUTION_HALTED is '1'." in done.told


def test_the_status_for_machines(cli: Command, data: Path) -> None:
    cli("drop", stdin=jsonl(order()))
    run = cli("run", "--json").json
    said = cli("status", "--json").json
    assert set(said) == {
        "exit_code",
        "data_dir",
        "inbox",
        "left",
        "runs",
        "kill_switch",
        "dry_run",
        "agent",
        "gate",
        "turned_away",
        "trading_states",
        "latches",
        "overrides",
        "stops_unknown",
        "stores",
        "stores_changed",
        "open_orders",
    }
    assert said["runs"] == [
        {
            "run_id": run["run_id"],
            "trading_date": run["trading_date"],
            "mode": "dry",
            "state": "done",
            "exit_code": 0,
            "dropped": 1,
            "quarantined": 0,
            "duplicate": 0,
            "allowed": 1,
            "refused": 0,
            "sent": 0,
            "cancels": 0,
            "fills": 0,
        }
    ]
    assert (said["data_dir"], said["inbox"], said["dry_run"]) == (str(data), [], True)
    assert said["kill_switch"] == {"on": False, "why": "No kill switch is on."}


def test_the_status_shows_as_many_runs_as_wanted_latest_last(cli: Command) -> None:
    runs = [cli("run", "--json", "--slot", slot).json["run_id"] for slot in ("a", "b", "c")]
    assert [run["run_id"] for run in cli("status", "--json", "--runs", "2").json["runs"]] == runs[1:]


def test_the_status_shows_names_that_are_not_utf_8(cli: Command, data: Path) -> None:
    (data / "inbox").mkdir(parents=True)
    (data / "inbox" / os.fsdecode(b"caf\xe9.json")).write_bytes(b"[]")
    assert r"caf\udce9.json" in cli("status").told


def test_a_damaged_record_is_named_by_the_status(cli: Command) -> None:
    folder = Path(cli("run", "--json").json["folder"])
    (folder / "manifest.json").write_bytes(b"{")
    done = cli("status")
    assert done.code == 1
    assert "manifest.json is damaged" in one_line_error(done)


@pytest.mark.parametrize("name", ["run.json", "manifest.json", "inputs.json"])
def test_status_prints_all_else_where_a_run_is_damaged(cli: Command, data: Path, name: str) -> None:
    cli("run")
    cli("halt", "--why", "the feed is wrong")
    (damaged,) = (data / "runs").rglob(name)
    damaged.chmod(0o600)
    damaged.write_text("garbage")
    done = cli("status")
    assert (done.code, "HALTED: the feed is wrong" in done.told) == (1, True)
    assert f"{name} is damaged" in one_line_error(done)
    done = cli("status", "--json")
    (run,) = done.json["runs"]
    assert (done.code, done.json["exit_code"], run["state"]) == (1, 1, "damaged")
    assert f"{name} is damaged" in run["damaged"]


# --- explain


@pytest.fixture
def explained(cli: Command) -> list[str]:
    """The ids of an intent that was allowed and of one that was refused."""
    cli(
        "drop", stdin=jsonl(order(client_intent_id="allowed-1"), order(client_intent_id="refused-1", qty=500))
    )
    cli("drop", stdin=jsonl(order(client_intent_id="allowed-1")) + b"\n")
    cli("run")
    return ["allowed-1", "refused-1"]


def test_an_allowed_intent_is_explained_from_its_source_to_its_result(
    cli: Command, explained: list[str], data: Path
) -> None:
    done = cli("explain", "allowed-1")
    assert (done.code, done.err) == (0, "")
    for told in (
        "Intent allowed-1",
        "momentum asked for paper: buy 1 SPY, market, day.",
        "Row 1 of stdin.",
        f"The file is kept as {data}/archive/",
        "pass max_position_size_exceeded 0 held, +1 with it: 1, limit 100 either way",
        "Allowed: would be sent; this was a dry run.",
    ):
        assert told in done.told
    kept = next(line for line in done.out.splitlines() if "kept as" in line).split("kept as ")[1].rstrip(".")
    assert b"allowed-1" in Path(kept).read_bytes()


def test_an_intent_that_was_sent_again_is_explained_with_where(cli: Command, explained: list[str]) -> None:
    assert "Dropped again and not taken twice: stdin." in cli("explain", "allowed-1").told


def test_a_refused_intent_is_explained_with_the_figures(cli: Command, explained: list[str]) -> None:
    done = cli("explain", "refused-1")
    assert done.code == 0
    assert (
        "Refused by max_position_size_exceeded: 0 held, +1 allowed and working buys before it, +500"
        in done.told
    )
    assert "Result: rejected; nothing was sent." in done.told


def test_an_intent_is_explained_for_machines(cli: Command, explained: list[str]) -> None:
    said = cli("explain", "refused-1", "--json").json
    (story,) = said["stories"]
    assert (story["client_intent_id"], story["allowed"], story["reason"], story["status"]) == (
        "refused-1",
        False,
        "max_position_size_exceeded",
        "rejected",
    )
    assert story["checks"]["max_position_size_exceeded"] == "fail"
    assert story["checks"]["max_daily_trades_exceeded"] == "pass"
    assert set(story["sentences"]) == set(story["checks"])


def test_the_first_characters_of_an_id_will_do(cli: Command, explained: list[str]) -> None:
    assert "Intent refused-1" in cli("explain", "refu").told


def test_too_few_characters_of_an_id_are_a_usage_error(cli: Command, explained: list[str]) -> None:
    done = cli("explain", "ref")
    assert done.code == 2
    assert "no run has an intent 'ref'" in one_line_error(done)


def test_characters_that_several_ids_begin_with_are_a_usage_error(cli: Command) -> None:
    cli("drop", stdin=jsonl(order(client_intent_id="same-1"), order(client_intent_id="same-2")))
    cli("run")
    done = cli("explain", "same")
    assert done.code == 2
    assert "'same' is the beginning of 2 ids: same-1, same-2" in one_line_error(done)


def test_a_whole_id_is_meant_where_it_is_also_the_beginning_of_others(cli: Command) -> None:
    for intent_id in ("order-1", "order-10"):
        cli("drop", stdin=jsonl(order(client_intent_id=intent_id)))
        cli("run")
    done = cli("explain", "order-1")
    assert done.code == 0
    assert "Intent order-10" not in done.told


def test_an_unknown_intent_is_a_usage_error(cli: Command) -> None:
    done = cli("explain", "nowhere")
    assert done.code == 2
    assert "no run has an intent 'nowhere'" in one_line_error(done)


def test_an_intent_that_was_refused_and_dropped_again_has_two_stories_latest_first(cli: Command) -> None:
    for env in ({"EXECUTION_HALTED": "1"}, {}):
        cli("drop", stdin=jsonl(order(client_intent_id="again")))
        cli("run", **env)
    stories = cli("explain", "again", "--json").json["stories"]
    assert [story["status"] for story in stories] == ["dry_run", "rejected"]


@pytest.mark.parametrize(
    "row",
    [
        {"notional": 100, "qty": None},
        {"order_type": "stop_limit", "limit_price": 1.5, "stop_price": 1.25},
        {"order_type": "trailing_stop", "trail_percent": 2.5},
        {"action": "cancel", "target_intent_id": "x", "symbol": None, "side": None, "qty": None},
        {"valid_until": "2030-01-01T00:00:00Z"},
        {"side": "sell", "qty": 0.000000001},
    ],
)
def test_every_kind_of_intent_can_be_explained(cli: Command, row: Row) -> None:
    cli("drop", stdin=jsonl(order(client_intent_id="kind", **row)))
    assert cli("run").code == 0
    done = cli("explain", "kind")
    assert done.code == 0
    assert "What each rule found" in done.told
    assert json.loads(cli("explain", "kind", "--json").out)["exit_code"] == 0


# --- positions

BOOK = "broker_account_id,symbol,qty,avg_price\npaper,SPY,60,655.2\npaper,QQQ,-40.123456789,\n"
BOOK += "other,SPY,123456789.5,\n"


def test_a_loaded_book_is_what_orders_are_judged_by(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "book.csv").write_text(BOOK)
    done = cli("positions", "load", tmp_path / "book.csv")
    assert (done.code, done.err) == (0, "")
    assert "3 positions are now the whole book of other, paper" in done.told
    cli("drop", stdin=jsonl(order(qty=41)))
    assert cli("run", "--json").json["decisions"]["by_reason"] == {"max_position_size_exceeded": 1}


def test_the_book_is_shown_to_the_last_digit(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "book.csv").write_text(BOOK)
    cli("positions", "load", tmp_path / "book.csv")
    shown = cli("positions", "show").out
    assert all(number in shown for number in ("60", "-40.123456789", "123,456,789.5"))


def test_the_book_is_shown_for_machines(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "book.csv").write_text(BOOK)
    assert cli("positions", "load", tmp_path / "book.csv", "--json").json == {
        "exit_code": 0,
        "positions": 3,
        "accounts": ["other", "paper"],
    }
    said = cli("positions", "show", "--json").json["positions"]
    assert [(row["broker_account_id"], row["symbol"], row["qty"], row["avg_price"]) for row in said] == [
        ("other", "SPY", 123456789.5, None),
        ("paper", "QQQ", -40.123456789, None),
        ("paper", "SPY", 60.0, 655.2),
    ]


def test_the_book_of_one_account_can_be_shown(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "book.csv").write_text(BOOK)
    cli("positions", "load", tmp_path / "book.csv")
    said = cli("positions", "show", "--account", "paper", "--json").json["positions"]
    assert {row["broker_account_id"] for row in said} == {"paper"}
    assert "No positions of nobody" in cli("positions", "show", "--account", "nobody").told


def test_an_empty_book_says_how_to_fill_it(cli: Command, data: Path) -> None:
    done = cli("positions", "show")
    assert done.code == 0
    assert "execution-engine positions load FILE" in done.told
    assert not data.exists()


def test_a_book_that_cannot_be_read_is_refused_whole(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "book.csv").write_text(BOOK)
    cli("positions", "load", tmp_path / "book.csv")
    (tmp_path / "bad.csv").write_text("broker_account_id,symbol,qty\npaper,SPY,1\npaper,QQQ,many\n")
    done = cli("positions", "load", tmp_path / "bad.csv")
    assert done.code == 2
    assert "bad.csv:3: qty is 'many'; expected" in done.err
    assert "Nothing was loaded" in done.err
    assert "Traceback" not in done.err
    assert len(cli("positions", "show", "--json").json["positions"]) == 3


def test_a_book_that_is_not_there_is_a_usage_error(cli: Command) -> None:
    done = cli("positions", "load", "missing.csv")
    assert done.code == 2
    assert "missing.csv" in done.err


def test_a_damaged_book_is_named(cli: Command, data: Path) -> None:
    data.mkdir()
    (data / "engine.db").write_bytes(b"garbage")
    done = cli("positions", "show")
    assert done.code == 1
    assert f"{data}/engine.db: can't be read" in one_line_error(done)


# --- help


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_has_help(cli: Command, command: str, flag: str) -> None:
    done = cli(*command.split(), flag)
    assert (done.code, done.err) == (0, "")
    assert f"Usage: execution-engine {command}".rstrip() in done.told
    assert "\\b" not in done.told


def test_the_help_names_every_command_and_exit_code(cli: Command) -> None:
    said = cli("--help").told
    assert all(command.split()[0] in said for command in COMMANDS)
    assert all(f"{code} " in said for code in range(5))


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "positions"])
def test_every_command_can_speak_to_machines(cli: Command, command: str) -> None:
    assert "--json" in cli(*command.split(), "--help").told


def test_the_version_can_be_asked_for(cli: Command) -> None:
    done = cli("--version")
    assert (done.code, done.out) == (0, "execution-engine, version 0.1.0\n")


def test_a_quarantined_intent_is_explained_by_what_is_wrong_with_it(cli: Command) -> None:
    cli("drop", stdin=jsonl(order(client_intent_id="bad-one", qty=-1)))
    cli("run")
    done = cli("explain", "bad-one")
    assert done.code == 0
    assert "quarantined" in done.out
    assert "qty is -1" in done.out


def test_an_intent_that_is_not_decided_yet_is_explained_as_such(cli: Command) -> None:
    cli("drop", stdin=jsonl(order(client_intent_id="soon")))
    cli("collect")
    assert "not decided yet" in cli("explain", "soon").out


def test_a_repetition_in_another_account_is_not_reported_as_ones_own(cli: Command) -> None:
    rows = [order(client_intent_id="same", broker_account_id=account) for account in ("one", "two", "two")]
    cli("drop", stdin=jsonl(*rows))
    cli("run")
    stories = cli("explain", "same").out.split("Intent same")[1:]
    assert ["Dropped again" in story for story in sorted(stories, key=lambda story: "for two" in story)] == [
        False,
        True,
    ]


def test_the_report_says_why_an_empty_run_ends_with_3(cli: Command) -> None:
    done = cli("run", EXECUTION_HALTED="1")
    assert done.code == 3
    assert "EXECUTION_HALTED" in done.out


def test_the_report_says_that_there_is_no_book(cli: Command) -> None:
    cli("drop", stdin=jsonl(order()))
    assert "counts as flat" in cli("run").out


def test_a_file_of_unknown_kind_is_not_dropped(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    done = cli("drop", str(tmp_path / "notes.txt"))
    assert done.code == 2
    assert ".csv" in one_line_error(done)


def test_a_sigterm_while_the_job_is_still_loading_ends_with_1(data: Path, tmp_path: Path) -> None:
    slow = tmp_path / "pandas.py"  # stands in the way of the import, so that the signal surely comes before
    slow.write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(30)\n")
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[1:] = ['run']; from jobs.cli import main; main()"],
        env={**os.environ, "EXEC_DATA_DIR": str(data), "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Stopped before anything began" in done.stderr


def test_an_intent_that_is_too_old_is_reported_by_its_age_and_not_only_by_its_deadline(cli: Command) -> None:
    aged = order(created_at="2020-01-02T15:00:00Z", valid_until="2099-01-02T15:00:00Z")
    cli("drop", stdin=jsonl(aged))
    said = cli("run", EXEC_INTENT_MAX_AGE_S="60").out
    assert "intent_expired" in said
    assert "oldest allowed 60 s" in " ".join(said.split())


def test_files_that_are_lost_whole_are_reported_before_single_rows(cli: Command, data: Path) -> None:
    cli("drop", stdin=jsonl(*[order(qty=-1)] * 15))
    (data / "inbox" / "zz.txt").write_text("no intents")
    said = cli("run", EXEC_INBOX_SETTLE_S="0").out
    assert said.index("zz.txt: unknown kind of file") < said.index("qty is -1")


def test_a_damaged_file_of_an_unfinished_run_is_named_with_what_to_do(cli: Command, data: Path) -> None:
    cli("drop", stdin=jsonl(order()))
    cli("collect")
    (batch,) = data.glob("runs/*/*/intents.parquet")
    batch.write_bytes(b"junk")
    told = one_line_error(cli("run"))
    assert "intents.parquet" in told
    assert "out of runs/" in told


# --- stores that are down


def test_a_run_without_a_store_says_how_its_rows_come_back(cli: Command, data: Path) -> None:
    (data / "inbox").mkdir(parents=True)
    (data / "inbox" / "a.jsonl").write_bytes(content_of("a.jsonl", [order()]))
    nowhere = {"DATABASE_URL": "postgresql://u@127.0.0.1:1/x", "EXEC_INBOX_SETTLE_S": "0"}
    done = cli("run", **nowhere)
    assert done.code == 0
    assert (
        "Once that data is available, drop the files again; intents that were allowed are recognised:"
        in done.told
    )
    assert "done, without positions" in cli("status", **nowhere).told


def test_a_run_that_fails_open_says_that_rules_were_skipped(cli: Command, data: Path) -> None:
    (data / "inbox").mkdir(parents=True)
    (data / "inbox" / "a.jsonl").write_bytes(content_of("a.jsonl", [order()]))
    env = {"DATABASE_URL": "postgresql://u@127.0.0.1:1/x", "EXEC_INBOX_SETTLE_S": "0"}
    done = cli("run", **env, EXEC_RISK_FAIL_OPEN="1")
    assert "the rules that needed it were SKIPPED, not passed" in done.told


def test_an_address_that_cant_be_read_stops_a_run_before_it_starts(cli: Command, data: Path) -> None:
    done = cli("run", DATABASE_URL="postgresql://u:p@ss@h:1/db")
    assert done.code == 2
    assert not data.exists()


def test_the_timeout_of_the_settings_bounds_stores_and_run_alike(tmp_path: Path) -> None:
    setup = read_setup(
        {"EXEC_DATA_DIR": str(tmp_path), "EXEC_RISK_DATA_TIMEOUT_S": "3", "DATABASE_URL": "host=h"}
    )
    assert setup.context(progress=lambda *_: None, stopping=lambda: False).risk_data_timeout_s == 3
    assert isinstance(setup.stores.positions, PostgresStore)
    assert setup.stores.positions.timeout_s == 3
