"""Live trading as an operator meets it: the gate, ``halt`` and ``recover``, ``status`` and ``doctor``."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from engine.record.objects import LocalObjects
from engine.record.run_folder import RunFolders
from engine.safety.agent_state import AgentState, State
from engine.stores.embedded.store import EmbeddedStore
from tests.desk import order
from tests.jobs.command_line import SCRIPT, Command, Done, jsonl, script, waiting
from tests.jobs.live_machine import API_KEY, SECRET_KEY, Env, Live

URL = "postgresql://u:p@db.example/book"
UNTOUCHED = pytest.mark.usefixtures("untouched_inbox")


@pytest.fixture
def untouched_inbox(cli: Command, data: Path) -> Iterator[None]:
    """An inbox with a file that waits: whatever a test does, it still waits there afterwards."""
    cli("drop", stdin=jsonl(order()))
    before = contents(data / "inbox")
    yield
    assert contents(data / "inbox") == before
    assert not {path.name for path in data.iterdir()} & {"runs", "archive", "quarantine"}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def a_port_nobody_listens_at() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def agent_of(data: Path) -> AgentState:
    return AgentState.from_document(EmbeddedStore(data / "engine.db").agent_document("state"))


def last_event(done: Done) -> dict[str, Any]:
    return done.events[-1]


# --- what is no question of the gate: settings


@UNTOUCHED
@pytest.mark.parametrize("command", ["run", "collect"])
@pytest.mark.parametrize(
    ("env", "missing"),
    [
        ({}, ["DATABASE_URL", "FIREBASE_PROJECT_ID"]),
        ({"DATABASE_URL": URL}, ["FIREBASE_PROJECT_ID"]),
        ({"FIREBASE_PROJECT_ID": "p"}, ["DATABASE_URL"]),
        ({"GOOGLE_CLOUD_PROJECT": "p"}, ["DATABASE_URL"]),
    ],
)
def test_a_live_run_on_stores_that_nobody_named_ends_with_2_and_names_them(
    live: Live, command: str, env: Env, missing: list[str]
) -> None:
    done = live(command, **{"EXEC_STORE": "", **env})
    assert done.code == 2
    said = last_event(done)["message"]
    assert [name for name in ("DATABASE_URL", "FIREBASE_PROJECT_ID") if name in said] == missing
    assert "EXEC_STORE=embedded" in said
    assert [path.name for path in live.data.iterdir()] == ["inbox"]


def test_a_live_run_on_stores_that_nobody_named_ends_with_2_as_a_process(tmp_path: Path) -> None:
    done = script("run", "--json", EXEC_DATA_DIR=str(tmp_path / "data"), EXEC_DRY_RUN="0")
    assert (done.code, done.json["exit_code"]) == (2, 2)
    assert not (tmp_path / "data").exists()


@UNTOUCHED
@pytest.mark.parametrize("command", ["run", "collect"])
@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"ALPACA_API_KEY": ""}, "ALPACA_API_KEY"),
        ({"ALPACA_SECRET_KEY": ""}, "ALPACA_SECRET_KEY"),
        ({"ALPACA_TRADING_HOST": "http://api.alpaca.markets"}, "ALPACA_TRADING_HOST"),
        ({"ALPACA_TRADING_HOST": "api.alpaca.markets"}, "ALPACA_TRADING_HOST"),
        ({"EXEC_DRY_RUN": "nope"}, "EXEC_DRY_RUN"),
        ({"AGENT_MODE": " "}, "AGENT_MODE"),
        ({"EXEC_MAX_POSITION_QTY": "lots"}, "EXEC_MAX_POSITION_QTY"),
        ({"DATABASE_URL": "mysql://u:p@db/x"}, "DATABASE_URL"),
    ],
)
def test_a_live_run_with_a_setting_missing_or_wrong_ends_with_2_and_names_it(
    live: Live, command: str, env: Env, named: str
) -> None:
    done = live(command, **env)
    assert done.code == 2
    assert last_event(done)["message"].startswith(named)
    assert live.alpaca.seen == []


# --- the gate, closed


def switch_on(live: Live) -> None:
    live.env["EXECUTION_HALTED"] = "1"


def document_without_a_project(live: Live) -> None:
    live.env["EXECUTION_HALTED_DOC"] = "ops/switch"


def mode_not_set(live: Live) -> None:
    live.env["AGENT_MODE"] = ""


def mode_in_small_letters(live: Live) -> None:
    live.env["AGENT_MODE"] = "live"


def halted(live: Live) -> None:
    assert live("halt", "--why", "flash crash").code == 0


def account_blocked(live: Live) -> None:
    live.alpaca.account["account_blocked"] = True


def trading_blocked(live: Live) -> None:
    live.alpaca.account["trading_blocked"] = True


def broker_down(live: Live) -> None:
    live.env["EXEC_RISK_DATA_TIMEOUT_S"] = "1"  # for so long it is asked again
    live.env["ALPACA_TRADING_HOST"] = f"http://127.0.0.1:{a_port_nobody_listens_at()}"


def keys_not_accepted(live: Live) -> None:
    live.alpaca.status = 401


def broker_in_trouble(live: Live) -> None:
    live.env["EXEC_RISK_DATA_TIMEOUT_S"] = "1"  # for so long it is asked again
    live.alpaca.status = 503


def broker_hangs(live: Live) -> None:
    live.env["EXEC_RISK_DATA_TIMEOUT_S"] = "0.1"
    live.alpaca.hanging.set()


def clock_a_minute_ahead(live: Live) -> None:
    live.alpaca.behind_s = 60


def clock_a_minute_behind(live: Live) -> None:
    live.alpaca.behind_s = -60


def store_down(live: Live) -> None:
    live.env["DATABASE_URL"] = f"postgresql://u:p@127.0.0.1:{a_port_nobody_listens_at()}/x"


DEGRADED, HALTED = "agent_state_not_ready:DEGRADED", "agent_state_not_ready:HALTED"
CLOSED = [
    (switch_on, "kill_switch_enabled", "EXECUTION_HALTED is '1'"),
    (document_without_a_project, "kill_switch_enabled", "can't be read without a Firestore project"),
    (mode_not_set, "agent_mode_not_live", "AGENT_MODE is not set; set it to LIVE"),
    (mode_in_small_letters, "agent_mode_not_live", "AGENT_MODE is 'live'; set it to LIVE, in capitals"),
    (halted, HALTED, "The agent is HALTED: flash crash ("),
    (account_blocked, DEGRADED, "account …FGHI cannot trade: account_blocked is true"),
    (trading_blocked, DEGRADED, "account …FGHI cannot trade: trading_blocked is true"),
    (broker_down, DEGRADED, "broker account: GET http://127.0.0.1:"),
    (keys_not_accepted, DEGRADED, "broker account: "),
    (broker_in_trouble, DEGRADED, "/v2/account: HTTP 503"),
    (broker_hangs, DEGRADED, "broker account: GET http://127.0.0.1:"),
    (clock_a_minute_ahead, DEGRADED, "clock: this machine's clock is "),
    (clock_a_minute_behind, DEGRADED, "s behind the broker's clock"),
    (store_down, DEGRADED, "positions: PostgreSQL database x at 127.0.0.1:"),
]
Closing = Callable[[Live], None]


COMMANDS = [
    (command, *closed)
    for closed in CLOSED
    for command in (["run", "collect"] if closed[1] == DEGRADED else ["collect"])
]
"""A run carries cancels out where no preflight says that nothing can be told."""


@UNTOUCHED
@pytest.mark.parametrize(("command", "closing", "reason", "why"), COMMANDS)
def test_a_closed_gate_ends_with_3_and_its_reason_first_and_leaves_the_inbox_untouched(
    live: Live,
    command: str,
    closing: Closing,
    reason: str,
    why: str,
) -> None:
    closing(live)
    done = live(command)
    assert (done.code, done.out) == (3, "")
    event = last_event(done)
    assert (event["event"], event["severity"], event["exit_code"]) == ("trade_refused", "ALERT", 3)
    assert event["reasons"] == [reason]
    assert event["message"].startswith(f"Live trading is refused: {reason}. ")
    assert why in event["message"]
    assert "Traceback" not in done.err
    assert SECRET_KEY not in done.err
    assert all(request.startswith("GET ") for request in live.alpaca.seen)


@UNTOUCHED
@pytest.mark.parametrize(
    ("closing", "state"),
    [
        (account_blocked, State.DEGRADED),
        (broker_down, State.DEGRADED),
    ],
)
def test_a_refused_run_leaves_the_state_that_says_why(live: Live, closing: Closing, state: State) -> None:
    closing(live)
    live("run")
    assert agent_of(live.data).state is state


@pytest.mark.parametrize(
    ("switch", "mode", "agent"), list(product(["", "1"], ["LIVE", "", "PAPER"], ["", "halted"]))
)
def test_all_that_closes_the_gate_is_reported_in_order(
    live: Live, switch: str, mode: str, agent: str
) -> None:
    if agent:
        live("halt", "--why", "drill")
    expected = ["kill_switch_enabled"] * bool(switch) + ["agent_mode_not_live"] * (mode != "LIVE")
    expected += [HALTED] * bool(agent)
    live.cli("drop", stdin=jsonl(order()))
    done = live("run", EXECUTION_HALTED=switch, AGENT_MODE=mode)
    told = [
        event["reasons"] for event in done.events if event["event"] == "trade_refused" and "reasons" in event
    ]
    assert (done.code, told) == ((3, [expected]) if expected else (0, []))
    assert live("collect", EXECUTION_HALTED=switch, AGENT_MODE=mode).code == (3 if expected else 0)


@UNTOUCHED
def test_all_findings_of_the_preflight_are_reported_at_once(live: Live) -> None:
    live.alpaca.account["trading_blocked"] = True
    live.alpaca.behind_s = 60
    said = last_event(live("run"))["message"]
    assert "broker account: account …FGHI cannot trade" in said
    assert "clock: this machine's clock is " in said


@UNTOUCHED
def test_a_refusal_is_reported_to_machines_with_all_its_reasons(live: Live) -> None:
    done = live("collect", "--json", EXECUTION_HALTED="1", AGENT_MODE="")
    assert done.json == {
        "error": last_event(done)["message"],
        "exit_code": 3,
        "reasons": ["kill_switch_enabled", "agent_mode_not_live"],
    }


@UNTOUCHED
@pytest.mark.parametrize("closing", [switch_on, mode_not_set, halted])
def test_what_is_certain_beforehand_is_refused_without_asking_the_broker(
    live: Live, closing: Closing
) -> None:
    closing(live)
    live("collect")
    assert live.alpaca.seen == []


# --- the gate, closed: cancels pass


@pytest.fixture
def resting(live: Live) -> Live:
    """A machine with an order of an earlier run at the broker that waits for its price."""
    live.env["EXEC_SETTLE_S"] = "0.2"
    live.cli("drop", stdin=jsonl(order(client_intent_id="resting", order_type="limit", limit_price=1)))
    assert live("run").code == 0
    return live


def mixed() -> bytes:
    cancel = {"action": "cancel", "target_intent_id": "resting", "client_intent_id": "withdraws"}
    return jsonl(
        order(symbol=None, side=None, qty=None, **cancel),
        order(client_intent_id="buys", symbol="QQQ"),
        order(client_intent_id="too-many", symbol="QQQ", qty=1000),
    )


def became(live: Live) -> dict[str, tuple[str, str]]:
    results = RunFolders(LocalObjects(live.data)).all()[-1].table("results.parquet").to_pylist()
    return {row["client_intent_id"]: (row["status"], row["reason"]) for row in results}


STANDING = [closed for closed in CLOSED if closed[1] != DEGRADED]


@pytest.mark.parametrize(("closing", "reason", "why"), STANDING)
def test_behind_a_closed_gate_a_cancel_is_carried_out_and_everything_else_is_halted(
    resting: Live, closing: Closing, reason: str, why: str
) -> None:
    resting.cli("drop", stdin=mixed())
    closing(resting)
    done = resting("run", "--json")
    assert done.code == done.json["exit_code"] == 3
    assert became(resting) == {
        "withdraws": ("canceled", "ok"),
        "buys": ("halted", reason),
        "too-many": ("rejected", "max_position_size_exceeded"),
    }
    assert [placed["status"] for placed in resting.orders()] == ["canceled"]
    (refused,) = [event for event in done.events if event["event"] == "trade_refused" and "reasons" in event]
    assert (refused["reasons"], why in refused["message"]) == ([reason], True)
    assert waiting(resting.data) == []


def test_what_a_closed_gate_halted_is_judged_anew_where_it_is_dropped_again(resting: Live) -> None:
    resting.cli("drop", stdin=mixed())
    done = resting("run", AGENT_MODE="")
    assert done.code == 3
    (command,) = [line for line in done.out.splitlines() if line.startswith("  execution-engine drop ")]
    assert resting.cli(*command.split()[1:]).code == 0
    assert resting("run").code == 0
    assert [placed["client_order_id"] for placed in resting.orders()] == ["resting", "buys"]


def test_a_run_that_began_behind_a_closed_gate_sends_nothing_where_it_is_resumed_behind_an_open_one(
    resting: Live,
) -> None:
    resting.cli("drop", stdin=mixed())
    resting.alpaca.fault({"fault": "error_before", "status": 503, "method": "DELETE", "times": None})
    assert resting("run", AGENT_MODE="").code == 1
    resting.alpaca.session.delete(f"{resting.alpaca.url}/simulator/faults").raise_for_status()
    (resumed,) = resting("run", "--json").json["resumed"]
    assert resumed["results"]["by_status"] == {"canceled": 1, "halted": 1, "rejected": 1}
    assert [placed["client_order_id"] for placed in resting.orders()] == ["resting"]


@pytest.mark.parametrize("closing", [switch_on, mode_not_set, halted, trading_blocked])
def test_what_an_unfinished_run_may_have_sent_is_looked_up_behind_a_closed_gate_and_nothing_is_sent_for_it(
    live: Live, closing: Closing
) -> None:
    live.env |= {"EXEC_SETTLE_S": "0.2", "EXEC_BROKER_ACCOUNT_ID": "paper"}
    live.cli("drop", stdin=jsonl(*(order(client_intent_id=f"id-{n}", symbol="SPY") for n in range(3))))
    job = subprocess.Popen([SCRIPT, "run"], env={**os.environ, **live.env}, stderr=subprocess.DEVNULL)

    def kills_the_job(request: str) -> None:
        if request.startswith("POST"):
            job.kill()

    live.alpaca.before_answer = kills_the_job
    assert job.wait(60) == -signal.SIGKILL
    closing(live)
    done = live("run")
    assert done.code == 3, done.err
    (run, *_) = RunFolders(LocalObjects(live.data)).all()
    statuses = [row["status"] for row in run.table("results.parquet").to_pylist()]
    assert statuses == ["placed", "halted", "halted"]
    assert [placed["client_order_id"] for placed in live.orders()] == ["id-0"]


@pytest.mark.parametrize(("closing", "reason"), [(account_blocked, DEGRADED), (store_down, DEGRADED)])
def test_status_shows_that_a_run_was_turned_away(live: Live, closing: Closing, reason: str) -> None:
    live.cli("drop", stdin=jsonl(order()))
    closing(live)
    live("run")
    live.env.pop("DATABASE_URL", None)
    turned_away = live("status", "--json").json["turned_away"]
    assert (turned_away["reasons"], turned_away["why"] != "") == ([reason], True)
    assert f"A live run was turned away at {turned_away['at'][:10]}" in live("status").told


def test_status_forgets_that_a_run_was_turned_away_once_one_has_run(live: Live) -> None:
    live.alpaca.account["trading_blocked"] = True
    live("run")
    live.alpaca.account["trading_blocked"] = False
    live("run")
    assert live("status", "--json").json["turned_away"] is None


def test_status_shows_what_a_closed_gate_halted(resting: Live) -> None:
    resting.cli("drop", stdin=mixed())
    resting("run", AGENT_MODE="")
    run = resting("status", "--json").json["runs"][-1]
    assert (run["state"], run["exit_code"]) == ("halted", 3)


@UNTOUCHED
def test_a_store_that_is_damaged_is_a_configuration_to_mend(live: Live) -> None:
    (live.data / "engine.db").write_bytes(b"garbage")
    done = live("run")
    assert done.code == 2
    assert f"{live.data}/engine.db: can't be read" in last_event(done)["message"]
    assert "execution-engine ledger rebuild" in last_event(done)["message"]


@UNTOUCHED
def test_a_kept_state_that_makes_no_sense_closes_the_gate(live: Live) -> None:
    EmbeddedStore(live.data / "engine.db").replace_agent_document("state", {"state": "GO"}, replacing=None)
    done = live("run")
    assert (done.code, last_event(done)["reasons"]) == (3, [DEGRADED])
    assert "the agent's state is invalid" in last_event(done)["message"]


# --- the gate, open


@pytest.mark.parametrize("env", [{}, {"EXEC_BROKER_ACCOUNT_ID": "paper"}])
def test_behind_an_open_gate_an_order_is_placed_and_what_filled_is_reported(live: Live, env: Env) -> None:
    live.cli("drop", stdin=jsonl(order(client_intent_id="one")))
    done = live("run", "--json", **env)
    assert (done.code, done.json["results"]["by_status"]) == (0, {"placed": 1})
    assert (done.json["orders"], done.json["fills"]) == ({"sent": 1, "adopted": 0}, 1)
    assert agent_of(live.data).state is State.READY
    assert [request for request in live.alpaca.seen if request.startswith("POST")] == ["POST /v2/orders"]


def test_behind_an_open_gate_a_collection_sends_nothing(live: Live) -> None:
    live.cli("drop", stdin=jsonl(order()))
    assert live("collect").code == 0
    assert {request.split()[0] for request in live.alpaca.seen} == {"GET"}


def test_behind_an_open_gate_it_trades_as_a_process(live: Live) -> None:
    env = live.env | {"EXEC_DATA_DIR": str(live.data)}
    script("drop", stdin=jsonl(order(client_intent_id="one")), **env)
    done = script("run", "--json", stdin=b"", **env)
    assert (done.code, done.json["results"]["by_status"]) == (0, {"placed": 1})
    assert "filled 1 at" in script("explain", "one", stdin=b"", **env).told


def test_a_closed_gate_ends_with_3_as_a_process(live: Live, tmp_path: Path) -> None:
    env = live.env | {"EXEC_DATA_DIR": str(tmp_path / "data"), "AGENT_MODE": ""}
    done = script("collect", stdin=b"", **env)
    assert (done.code, last_event(done)["reasons"]) == (3, ["agent_mode_not_live"])


def test_transitions_are_logged_with_before_after_by_and_why(live: Live) -> None:
    events = [event for event in live("run").events if event["event"] == "state_transition"]
    assert [(event["before"], event["after"], event["why"]) for event in events] == [
        ("", "INIT", "a live run begins"),
        ("INIT", "READY", "the preflight holds"),
    ]
    assert all(f"process {os.getpid()}" in event["by"] for event in events)


def test_what_a_run_found_degraded_is_examined_anew_by_the_next(live: Live) -> None:
    live.alpaca.account["trading_blocked"] = True
    assert live("run").code == 3
    live.alpaca.account["trading_blocked"] = False
    assert live("run").code == 0
    assert agent_of(live.data).state is State.READY


@pytest.mark.parametrize("closing", [mode_not_set, halted, account_blocked, broker_down, store_down])
def test_a_dry_run_has_no_gate(live: Live, closing: Closing) -> None:
    live.cli("drop", stdin=jsonl(order()))
    closing(live)
    assert live("run", EXEC_DRY_RUN="1").code == 0
    assert waiting(live.data) == []
    assert live.alpaca.seen == []


# --- halt and recover


def test_a_halt_is_reported_in_words_with_why_who_and_how_to_end_it(cli: Command, data: Path) -> None:
    done = cli("halt", "--why", "flash crash", "--by", "alice")
    assert done.code == 0
    assert done.told.startswith("The agent is HALTED: flash crash (alice, 20")
    assert "`execution-engine recover` ends that." in done.told
    assert f"Kept in {data}/engine.db: no live run that keeps its ledger there starts" in done.told
    assert (agent_of(data).state, agent_of(data).transitions[-1].by) == (State.HALTED, "alice")


def test_a_halt_is_reported_to_machines(cli: Command, data: Path) -> None:
    said = cli("halt", "--why", "flash crash", "--json").json
    kept_in = f"{data}/engine.db"
    assert said == {"exit_code": 0, "agent": agent_of(data).to_document(), "kept_in": kept_in}
    assert said["agent"]["state"] == "HALTED"


def test_a_mistake_in_another_setting_does_not_prevent_a_halt(cli: Command, data: Path) -> None:
    assert cli("halt", "--why", "flash crash", EXEC_MAX_POSTION_QTY="5", EXEC_MAX_DAILY_TRADES="x").code == 0
    assert agent_of(data).state is State.HALTED


def test_a_mistake_in_the_settings_of_the_stores_is_reported_as_no_halt(cli: Command) -> None:
    done = cli("halt", "--why", "flash crash", EXEC_TENANT_ID="a/b")
    assert done.code == 2
    assert "NOT HALTED. EXEC_TENANT_ID is 'a/b'" in done.err
    assert "EXECUTION_HALTED=1" in done.err


def test_a_halt_in_the_data_folder_says_that_a_run_on_firestore_does_not_see_it(cli: Command) -> None:
    assert "No Firestore project is set here" in cli("halt", "--why", "flash crash").told
    meant = cli("halt", "--why", "flash crash", EXEC_STORE="embedded").told
    assert "No Firestore project is set here" not in meant


def test_a_halt_is_logged_as_a_transition(cli: Command) -> None:
    (event,) = cli("halt", "--why", "flash crash", "--by", "alice").events
    assert (event["event"], event["after"], event["by"], event["why"]) == (
        "state_transition",
        "HALTED",
        "alice",
        "flash crash",
    )


def test_the_user_that_halts_is_named_where_no_name_is_given(cli: Command, data: Path) -> None:
    cli("halt", "--why", "flash crash")
    assert f"process {os.getpid()}" in agent_of(data).transitions[-1].by


def test_of_two_halts_the_first_reason_stays_and_is_reported(cli: Command, data: Path) -> None:
    cli("halt", "--why", "flash crash")
    done = cli("halt", "--why", "lunch")
    assert done.code == 0
    assert "The agent was HALTED before, and its first reason stays: flash crash (" in done.told
    assert len(agent_of(data).transitions) == 1


@pytest.mark.parametrize("args", [("halt",), ("halt", "--why", " \n"), ("halt", "--why", "")])
def test_a_halt_without_a_reason_is_a_usage_error_that_halts_nothing(
    cli: Command, data: Path, args: tuple[str, ...]
) -> None:
    done = cli(*args)
    assert done.code == 2
    assert "--why" in done.err
    assert not data.exists()


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_a_blank_reason_to_recover_is_a_usage_error_that_changes_nothing(
    cli: Command, data: Path, as_json: tuple[str, ...]
) -> None:
    cli("halt", "--why", "drill")
    done = cli("recover", "--why", " ", *as_json)
    assert done.code == 2
    assert "--why is blank" in done.err
    assert agent_of(data).state is State.HALTED


def test_a_reason_of_several_lines_is_kept_as_one(cli: Command, data: Path) -> None:
    cli("halt", "--why", " flash\n\tcrash ")
    assert agent_of(data).transitions[-1].why == "flash crash"


def test_a_halt_stands_in_the_data_folder_where_the_store_is_lost_or_restored(live: Live) -> None:
    live("run")
    backup = (live.data / "engine.db").read_bytes()
    live("halt", "--why", "flash crash", "--by", "alice")
    (live.data / "engine.db").unlink()
    for _ in range(2):
        done = live("run")
        assert (done.code, last_event(done)["reasons"]) == (3, [HALTED, "stores_changed"])
        assert "flash crash (alice" in last_event(done)["message"]
        assert not (live.data / "engine.db").exists()
    (live.data / "engine.db").write_bytes(backup)
    assert live("run").code == 3
    assert "Agent: HALTED: flash crash (alice" in live("status").told
    recovered = live("recover")
    assert (recovered.code, live("run").code) == (0, 0)
    assert "The mark of the halt in the data folder is cleared as well." in recovered.told


def test_a_halt_that_cannot_be_kept_says_so_and_what_stops_trading_instead(cli: Command, data: Path) -> None:
    data.mkdir()
    (data / "engine.db").write_bytes(b"garbage")
    done = cli("halt", "--why", "flash crash", "--json")
    assert (done.code, done.json["exit_code"]) == (1, 1)
    assert done.json["error"].startswith(f"HALTED FOR {data} ALONE: its live runs stop")
    assert f"{data}/engine.db: " in done.json["error"]
    assert "set EXECUTION_HALTED=1" in done.json["error"]


def test_recovering_leads_to_init_and_says_that_ready_has_to_be_earned(cli: Command, data: Path) -> None:
    cli("halt", "--why", "drill")
    done = cli("recover", "--why", "drill over", "--by", "bob")
    assert (done.code, agent_of(data).state) == (0, State.INIT)
    said = "The agent is INIT; the next live run earns READY by its preflight, or says why not."
    assert done.told.startswith(said)
    last = agent_of(data).transitions[-1]
    assert (last.why, last.by) == ("drill over", "bob")


def test_recovering_says_that_the_kill_switch_is_still_on(cli: Command) -> None:
    cli("halt", "--why", "drill")
    assert "The kill switch is still on." in cli("recover", EXECUTION_HALTED="1").told


@pytest.mark.parametrize("as_json", [False, True])
def test_recovering_what_is_not_halted_changes_nothing(cli: Command, data: Path, as_json: bool) -> None:
    done = cli("recover", *["--json"] * as_json)
    assert done.code == 0
    assert not data.exists()
    if as_json:
        assert done.json["agent"] == {"state": "INIT", "transitions": []}
    else:
        assert "The agent is INIT, not HALTED: nothing to recover." in done.told


@UNTOUCHED
def test_a_real_broker_and_an_emulators_ledger_do_not_go_together(live: Live) -> None:
    done = live(
        "run",
        FIREBASE_PROJECT_ID="x",
        FIRESTORE_EMULATOR_HOST="127.0.0.1:1",
        ALPACA_TRADING_HOST="https://api.alpaca.markets",
        ALPACA_API_KEY="AKTEST0123456789ABCD",
    )
    assert done.code == 2
    assert "Unset FIRESTORE_EMULATOR_HOST." in last_event(done)["message"]


@UNTOUCHED
def test_a_heartbeat_without_a_project_is_a_setting_to_correct(live: Live) -> None:
    done = live("run", EXEC_HEARTBEAT_DOC="ops/market_ingest")
    assert done.code == 2
    assert "no project is set. Set FIREBASE_PROJECT_ID" in last_event(done)["message"]


def test_a_run_is_let_through_again_after_recovering(live: Live) -> None:
    live("halt", "--why", "drill")
    codes = [live("run").code]
    live("recover")
    assert [*codes, live("run").code] == [3, 0]


def test_a_state_that_cannot_be_read_cannot_be_recovered(cli: Command, data: Path) -> None:
    data.mkdir()
    (data / "engine.db").write_bytes(b"garbage")
    done = cli("recover")
    assert done.code == 1
    assert f"{data}/engine.db" in done.err


# --- status


def test_the_status_of_a_dry_run_tells_agent_and_stores(cli: Command, data: Path) -> None:
    told = cli("status").told
    assert "Agent: INIT: no live run has been started yet" in told
    assert "Live trading: not asked for (EXEC_DRY_RUN is on)" in told
    assert f"Positions: {data}/engine.db · ledger: {data}/engine.db" in told
    assert not data.exists()


def test_the_status_shows_a_halt_with_why_who_and_when(cli: Command) -> None:
    cli("halt", "--why", "flash crash", "--by", "alice")
    assert "Agent: HALTED: flash crash (alice, 20" in cli("status").told


def test_the_status_tells_all_that_refuses_a_live_run_in_order(live: Live) -> None:
    live("halt", "--why", "drill")
    told = live("status", EXECUTION_HALTED="1", AGENT_MODE="").told
    assert f"Live trading: refused, kill_switch_enabled, agent_mode_not_live, {HALTED}" in told


def test_the_status_says_what_only_the_preflight_can_tell(live: Live) -> None:
    told = live("status").told
    assert "Live trading: the gate opens if the preflight holds" in told
    assert live.alpaca.seen == []


def test_the_status_shows_why_the_last_run_was_refused(live: Live) -> None:
    live.alpaca.account["trading_blocked"] = True
    live("run")
    told = live("status").told
    assert "Agent: DEGRADED: the preflight failed: broker account: account …FGHI cannot trade" in told


def test_the_status_for_machines_tells_agent_gate_and_stores(live: Live) -> None:
    live("halt", "--why", "drill")
    said = live("status", "--json", AGENT_MODE="").json
    assert (said["exit_code"], said["dry_run"]) == (0, False)
    assert said["agent"] == {**agent_of(live.data).to_document(), "why": agent_of(live.data).why}
    assert [refusal["reason"] for refusal in said["gate"]["closed_by"]] == ["agent_mode_not_live", HALTED]
    assert all(refusal["why"] for refusal in said["gate"]["closed_by"])
    assert said["stores"] == {"positions": f"{live.data}/engine.db", "ledger": f"{live.data}/engine.db"}


@pytest.mark.parametrize("as_json", [False, True])
def test_the_status_survives_a_state_that_cannot_be_read(cli: Command, data: Path, as_json: bool) -> None:
    data.mkdir()
    (data / "engine.db").write_bytes(b"garbage")
    done = cli("status", *["--json"] * as_json)
    assert done.code == 0
    if as_json:
        assert done.json["agent"]["state"] == "unknown"
    else:
        assert f"Agent: unknown. The agent's state can't be read: {data}/engine.db" in done.told


# --- doctor


def problems(done: Done) -> list[str]:
    """Return the numbered problems, each on one line whatever its table was wrapped to."""
    said: dict[str, Any] = done.json
    found: list[str] = [*said["fatal"], *said["problems"]]
    return found


def shown(done: Done, name: str) -> dict[str, Any]:
    (found,) = (each for each in done.json["settings"] if each["name"] == name)
    setting: dict[str, Any] = found
    return setting


def test_the_doctor_finds_nothing_wrong_with_a_dry_run_and_makes_nothing(cli: Command, data: Path) -> None:
    done = cli("doctor")
    assert (done.code, done.err) == (0, "")
    assert done.told.endswith("No problems: a run can start.")
    assert not data.exists()


def test_the_doctor_finds_nothing_wrong_with_a_live_run(live: Live) -> None:
    done = live("doctor")
    assert done.code == 0
    assert "No problems: a run can start." in done.told
    assert "account …FGHI can trade" in done.told
    assert not live.data.exists()


def test_the_doctor_tries_every_dependency_and_tells_its_latency(live: Live) -> None:
    found = live("doctor", "--json").json["dependencies"]
    assert [each["name"] for each in found] == [
        "data folder",
        "positions",
        "ledger",
        "broker account",
        "clock",
        "kill switch",
    ]
    assert all(each["passed"] and each["said"] and each["took_s"] >= 0 for each in found)


def test_the_doctor_names_three_things_that_are_wrong_at_once_each_with_a_remedy(live: Live) -> None:
    live.alpaca.behind_s = 60
    env = {"EXEC_MAX_DAILY_TRADES": "abc", "EXEC_MAX_POSITON_QTY": "5"}
    done = live("doctor", "--json", **env)
    assert (done.code, done.json["exit_code"]) == (2, 2)
    wrong = problems(done)
    assert len(wrong) == 3
    assert wrong[0].startswith("EXEC_MAX_DAILY_TRADES is 'abc'; expected")
    assert "Write it as, say, 50." in wrong[0]
    assert wrong[1].endswith("Did you mean EXEC_MAX_POSITION_QTY?")
    assert wrong[2].startswith("clock: this machine's clock is ")
    assert "Let NTP set it" in wrong[2]


def test_the_doctor_tells_people_all_problems_numbered_and_that_a_run_could_not_start(live: Live) -> None:
    env = {"EXEC_MAX_DAILY_TRADES": "abc", "EXEC_ZZZ": "5", "AGENT_MODE": ""}
    told = live("doctor", **env).told
    assert "Problems: 3" in told
    assert "1. EXEC_MAX_DAILY_TRADES is 'abc'" in told
    assert "2. EXEC_ZZZ is no setting of the engine. Unset it." in told
    assert "3. AGENT_MODE is not set; set it to LIVE" in told
    assert told.endswith("A run could not start.")


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"EXEC_DRY_RUN": "y"}, "EXEC_DRY_RUN is 'y'"),
        ({"EXEC_DRYRUN": "1"}, "Did you mean EXEC_DRY_RUN?"),
        (
            {"EXEC_ACCOUNTS_FILE": "accounts.toml"},
            "EXEC_ACCOUNTS_FILE is 'accounts.toml', which can't be read",
        ),
        ({"EXEC_CALENDAR": "NOWHERE"}, "EXEC_CALENDAR is 'NOWHERE'"),
        ({"DATABASE_URL": "s3cret"}, "DATABASE_URL is no address"),
        ({"EXEC_DRY_RUN": "0"}, "DATABASE_URL (positions in PostgreSQL) and FIREBASE_PROJECT_ID"),
        ({"EXEC_DRY_RUN": "0", "EXEC_STORE": "embedded"}, "ALPACA_API_KEY is not set"),
    ],
)
def test_the_doctor_ends_with_2_where_a_run_would(cli: Command, data: Path, env: Env, said: str) -> None:
    done = cli("doctor", "--json", **env)
    assert done.code == 2
    assert any(said in problem for problem in done.json["fatal"])
    assert cli("run", **env).code == 2
    assert not data.exists() or not (data / "runs").exists()


@pytest.mark.parametrize(("closing", "reason", "why"), CLOSED)
def test_the_doctor_ends_with_2_where_the_gate_is_closed_and_says_why_once(
    live: Live, closing: Closing, reason: str, why: str
) -> None:
    closing(live)
    done = live("doctor", "--json")
    assert done.code == 2
    assert len([problem for problem in done.json["fatal"] if why in problem]) == 1


@pytest.mark.parametrize("closing", [switch_on, broker_down, account_blocked, store_down])
def test_what_a_dry_run_can_do_without_is_a_problem_that_does_not_keep_it_from_starting(
    live: Live, closing: Closing
) -> None:
    closing(live)
    done = live("doctor", "--json", EXEC_DRY_RUN="1")
    assert (done.code, done.json["fatal"]) == (0, [])
    assert done.json["problems"]
    told = live("doctor", EXEC_DRY_RUN="1").told
    assert told.endswith("A run can start; what is unavailable refuses its rows.")


@pytest.mark.parametrize(("there", "code"), [(1, 0), (0, 2)])
def test_one_account_of_several_that_is_down_does_not_keep_a_run_from_starting(
    live: Live, tmp_path: Path, there: int, code: int
) -> None:
    hosts = [live.alpaca.url] * there + ["http://127.0.0.1:9"] * 2
    keys = 'paper = true\napi_key_env = "A_KEY"\nsecret_key_env = "A_SECRET"'
    said = [f'[accounts.a{number}]\nhost = "{host}"\n{keys}\n' for number, host in enumerate(hosts)]
    file = tmp_path / "accounts.toml"
    file.write_text("".join(said))
    named = {"EXEC_ACCOUNTS_FILE": str(file), "A_KEY": API_KEY, "A_SECRET": SECRET_KEY}
    plain = dict.fromkeys(("ALPACA_API_KEY", "ALPACA_SECRET_KEY", "ALPACA_TRADING_HOST"), "")
    env = {**named, **plain, "EXEC_BROKER_ACCOUNT_ID": "", "EXEC_RISK_DATA_TIMEOUT_S": "1"}
    done = live("doctor", "--json", **env)
    assert done.code == code
    assert len(problems(done)) == 2
    assert len(done.json["fatal"]) == (0 if there else 2)


@pytest.mark.parametrize(("dry_run", "code"), [("1", 0), ("0", 2)])
def test_a_damaged_store_keeps_only_a_live_run_from_starting(live: Live, dry_run: str, code: int) -> None:
    live.data.mkdir()
    (live.data / "engine.db").write_bytes(b"garbage")
    done = live("doctor", "--json", EXEC_DRY_RUN=dry_run)
    assert done.code == code
    assert any(f"ledger: {live.data}/engine.db: can't be read" in problem for problem in problems(done))


@pytest.mark.parametrize("dry_run", ["1", "0"])
def test_a_data_folder_that_cannot_be_made_keeps_any_run_from_starting(
    cli: Command, tmp_path: Path, live: Live, dry_run: str
) -> None:
    (tmp_path / "file").write_text("")
    env = {"EXEC_DRY_RUN": dry_run, "EXEC_DATA_DIR": str(tmp_path / "file" / "data")}
    done = cli("doctor", "--json", **env)
    assert done.code == 2
    (fatal,) = [each for each in done.json["fatal"] if each.startswith("data folder: ")]
    assert f"{tmp_path}/file can't be used: a part of its path is no folder" in fatal


def test_the_doctor_does_not_ask_a_broker_that_a_dry_run_has_no_keys_for(cli: Command) -> None:
    names = [each["name"] for each in cli("doctor", "--json").json["dependencies"]]
    assert names == ["data folder", "positions", "ledger", "kill switch"]


def test_each_setting_is_shown_with_value_source_and_default(cli: Command, data: Path) -> None:
    done = cli("doctor", "--json", EXEC_MAX_DAILY_TRADES="7", EXEC_CALENDAR="")
    facts = ("value", "source", "default")
    assert [[shown(done, name)[fact] for fact in facts] for name in SHOWN] == list(SHOWN.values())
    assert shown(done, "EXEC_DATA_DIR")["value"] == str(data)


SHOWN = {
    "EXEC_MAX_DAILY_TRADES": ["7", "environment", "50"],
    "EXEC_MAX_POSITION_QTY": ["100", "default", "100"],
    "EXEC_CALENDAR": ["XNYS", "default", "XNYS"],
    "AGENT_MODE": ["", "not set", ""],
}


def test_a_wrong_setting_is_shown_as_such_in_the_table(cli: Command) -> None:
    line = next(
        line
        for line in cli("doctor", EXEC_MAX_DAILY_TRADES="abc").out.splitlines()
        if line.startswith("EXEC_MAX_DAILY_TRADES")
    )
    assert line.split()[1:4] == ["abc", "WRONG", "50"]


# --- what the doctor never shows

PLANTED = "hunter2"
ADDRESSES = [
    f"postgresql://u:{PLANTED}@127.0.0.1:1/book",
    f"postgresql://u:a%40{PLANTED}%2F@127.0.0.1:1/book",
    f"postgresql://u:a@{PLANTED}@127.0.0.1:1/book",
    f"postgresql://u:a:{PLANTED}@127.0.0.1:1/book",
    f"postgresql://u:a/{PLANTED}@127.0.0.1:1/book",
    f"postgresql://u:a?{PLANTED}#{PLANTED}@127.0.0.1:1/book",
    f"postgresql://u:{PLANTED}",
    f"postgresql://127.0.0.1:1/book?user=u&password={PLANTED}&sslmode=disable",
    f"postgresql://127.0.0.1:1/book?password=a@{PLANTED}",
    f"postgresql://127.0.0.1:1/book?sslpassword={PLANTED}",
    f"postgresql+psycopg2://u:{PLANTED}@127.0.0.1:1/book",
    f"mysql://u:{PLANTED}@127.0.0.1:1/book",
    f"host=127.0.0.1 port=1 password={PLANTED} user=u",
    f"host=127.0.0.1 port=1 password = {PLANTED} user=u",
    f"password='a {PLANTED}' host=127.0.0.1 port=1",
    rf"password='a\' {PLANTED}' host=127.0.0.1 port=1",
    rf"password=a\ b={PLANTED} host=127.0.0.1 port=1",
    f"password=a&{PLANTED} host=127.0.0.1 port=1",
    f"password=a@:/{PLANTED} host=127.0.0.1 port=1",
    f"password='{PLANTED} host=127.0.0.1",
    f"PASSWORD={PLANTED} host=127.0.0.1",
    PLANTED,
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_password_of_the_database_is_never_shown_however_the_address_is_written(
    cli: Command, address: str
) -> None:
    for as_json in ((), ("--json",)):
        done = cli("doctor", *as_json, DATABASE_URL=address, EXEC_RISK_DATA_TIMEOUT_S="2")
        assert PLANTED not in done.out + done.err
        assert "****" in done.out


@pytest.mark.parametrize(
    ("address", "value"),
    [
        ("postgresql://u@127.0.0.1:1/book", "user=u dbname=book host=127.0.0.1 port=1"),
        ("postgresql://127.0.0.1:1,127.0.0.1:2/book", "dbname=book host=127.0.0.1,127.0.0.1 port=1,2"),
        ("postgresql://u@[::1]:1/book?sslmode=disable", "user=u dbname=book host=::1 port=1 sslmode=disable"),
        ("host=127.0.0.1 port=1 user=u", "user=u host=127.0.0.1 port=1"),
    ],
)
def test_an_address_is_shown_as_the_library_reads_it(cli: Command, address: str, value: str) -> None:
    done = cli("doctor", "--json", DATABASE_URL=address, EXEC_RISK_DATA_TIMEOUT_S="2")
    assert shown(done, "DATABASE_URL")["value"] == value


@pytest.mark.parametrize(
    "key", [PLANTED, f"{PLANTED}==", f"a=b:{PLANTED}", f"https://{PLANTED}", f"x@{PLANTED}", f"{PLANTED} ü"]
)
@pytest.mark.parametrize("name", ["ALPACA_API_KEY", "ALPACA_SECRET_KEY"])
def test_keys_are_never_shown_whatever_they_look_like(live: Live, name: str, key: str) -> None:
    for as_json in ((), ("--json",)):
        done = live("doctor", *as_json, **{name: key})
        assert PLANTED not in done.out + done.err
        assert "****" in done.out


@pytest.mark.parametrize(
    "host", [f"https://u:{PLANTED}@api.alpaca.markets", f"https://api.alpaca.markets?key={PLANTED}"]
)
def test_a_key_inside_the_host_is_never_shown(live: Live, host: str) -> None:
    done = live("doctor", "--json", ALPACA_TRADING_HOST=host)
    assert done.code == 2
    assert PLANTED not in done.out + done.err


# --- with Firestore


@pytest.fixture
def firestore(live: Live, firestore_project: str) -> Callable[[str, Any], None]:
    """Let the live run keep its ledger in Firestore; gives a function that writes another's document."""
    live.env["FIREBASE_PROJECT_ID"] = firestore_project

    def write(path: str, document: dict[str, Any]) -> None:
        from google.cloud.firestore import Client

        Client(project=firestore_project).document(path).set(document)

    return write


Writes = Callable[[str, Any], None]


def test_the_kill_switch_document_closes_and_opens_the_gate(live: Live, firestore: Writes) -> None:
    live.env["EXECUTION_HALTED_DOC"] = "ops/switch"
    said = []
    for document in ({"enabled": True}, {"enabled": "FALSE"}, {"enabled": None}, {"enabled": 0}):
        firestore("ops/switch", document)
        said.append(live("run").code)
    assert said == [3, 0, 3, 0]


def test_a_heartbeat_opens_the_gate_only_while_it_is_fresh(live: Live, firestore: Writes) -> None:
    live.env["EXEC_HEARTBEAT_DOC"] = "ops/market_ingest"
    now = datetime.now(UTC)
    said = []
    for document in ({"ts": now}, {"ts": now - timedelta(seconds=300)}, {"ts": now.isoformat()}, {}):
        firestore("ops/market_ingest", document)
        said.append(live("run").code)
    assert said == [0, 3, 0, 3]
    assert "market data: the heartbeat ops/market_ingest has no field ts" in live("status").told


def test_a_halt_is_kept_in_firestore_for_every_machine(live: Live, firestore: Writes, tmp_path: Path) -> None:
    live("halt", "--why", "flash crash")
    done = live("collect", EXEC_DATA_DIR=str(tmp_path / "another machine"))
    assert (done.code, last_event(done)["reasons"]) == (3, [HALTED])
    assert agent_of(live.data).transitions == ()
