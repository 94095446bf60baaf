"""Brokers that ask a live run to wait, or never answer: what is waited for, and what becomes of the batch."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from replay.simulator import Simulator
from tests.desk import Row, order
from tests.jobs.command_line import SCRIPT, Command, Done, jsonl, waiting
from tests.jobs.live_machine import API_KEY, SECRET_KEY, Alpaca, Live, Storm

ACCOUNTS = ("alpha", "beta")
RUN_FOLDERS = {"runs", "archive", "quarantine"}
A_WAIT_TOO_LONG_S = 25
"""Less than the wait that brokers ask for here, more than any machine takes to refuse it."""


def storm(
    on: str, *, times: int, status: int = 429, asked: dict[str, str] | None = None, **headers: str
) -> Storm:
    """Turn away the first requests that begin so; further ones are answered."""
    left, headers = times, headers | (asked or {})

    def turned_away(request: str) -> tuple[int, dict[str, str]] | None:
        nonlocal left
        if not request.startswith(on) or not left:
            return None
        left -= 1
        return status, headers

    return turned_away


# --- one account


EVERY_KIND = [
    "GET /v2/account",
    "GET /v2/clock",
    "GET /v2/orders?",
    "GET /v2/positions",
    "GET /v2/account/activities",
    "POST /v2/orders",
    "GET /v2/account/activities/FILL",
]


@pytest.mark.parametrize(
    ("on", "status"),
    [*((on, 429) for on in EVERY_KIND), ("GET /v2/positions", 503), ("POST /v2/orders", 503)],
)
def test_what_a_broker_asks_to_be_waited_for_is_waited_for_whatever_request_met_it(
    live: Live, on: str, status: int
) -> None:
    live.cli("drop", stdin=jsonl(order(client_intent_id="one")))
    live("sync", EXEC_BROKER_ACCOUNT_ID="paper")  # there are books to compare, and so activities to read
    live.alpaca.storm = storm(on, times=1, status=status, Retry_After="1")
    begun_at = time.monotonic()
    done = live("run", "--json", EXEC_RISK_DATA_TIMEOUT_S="0.5", EXEC_BROKER_WAIT_S="5")
    assert (done.code, done.json["results"]["by_status"]) == (0, {"placed": 1})
    assert time.monotonic() - begun_at > 0.9
    assert [one["client_order_id"] for one in live.orders()] == ["one"]


def test_a_cancel_waits_as_an_order_does(live: Live) -> None:
    live.cli("drop", stdin=jsonl(order(client_intent_id="rests", order_type="limit", limit_price=1)))
    assert live("run", EXEC_SETTLE_S="0").code == 0
    live.cli("drop", stdin=jsonl(withdrawing("rests")))
    live.alpaca.storm = storm("DELETE", times=4, Retry_After="1")
    assert live("run", EXEC_BROKER_WAIT_S="10").code == 0
    assert [one["status"] for one in live.orders()] == ["canceled"]


def withdrawing(target: str, **said: Any) -> Row:
    plain = {"symbol": None, "side": None, "qty": None, "client_intent_id": f"withdraws-{target}"}
    return order(action="cancel", target_intent_id=target, **{**plain, **said})


@pytest.mark.parametrize(
    ("on", "asked"),
    [
        ("GET /v2/orders?", {"Retry_After": "30"}),
        ("GET /v2/positions", {"Retry_After": "1000000000"}),
        ("GET /v2/positions", {"Retry_After": "Fri, 31 Dec 2100 23:59:59 GMT"}),
        ("GET /v2/positions", {"X_RateLimit_Reset": str((int(time.time()) + 3000) * 1000)}),
    ],
    ids=["30 s", "30 years", "a date", "a reset in milliseconds"],
)
def test_where_the_only_account_asks_for_a_longer_wait_the_run_ends_before_anything_is_sealed(
    live: Live, on: str, asked: dict[str, str]
) -> None:
    live.cli("drop", stdin=jsonl(order(client_intent_id="one")))
    files = waiting(live.data)
    live.alpaca.storm = storm(on, times=-1, asked=asked)
    begun_at = time.monotonic()
    done = live("run", EXEC_BROKER_WAIT_S="0.5")
    assert (done.code, done.out) == (1, "")
    assert time.monotonic() - begun_at < A_WAIT_TOO_LONG_S
    assert waiting(live.data) == files
    assert not {path.name for path in live.data.iterdir()} & RUN_FOLDERS
    assert "rate limit" in live("status").told
    live.alpaca.storm = lambda request: None
    done = live("run", "--json")
    assert (done.code, done.json["results"]["by_status"]) == (0, {"placed": 1})


@pytest.mark.parametrize(
    "asked",
    [
        {"Retry_After": "-5"},
        {"Retry_After": "Mon, 02 Mar 2020 00:00:00 GMT", "X_RateLimit_Reset": "1"},
    ],
    ids=lambda asked: " ".join(asked.values()) or "nothing",
)
def test_a_storm_that_says_nothing_of_its_end_is_asked_again_and_outlived(
    live: Live, asked: dict[str, str]
) -> None:
    live.cli("drop", stdin=jsonl(order(client_intent_id="one")))
    live.alpaca.storm = storm("GET /v2/positions", times=2, asked=asked)
    assert live("run").code == 0
    assert len(live.orders()) == 1


def test_a_batch_that_was_collected_before_waits_for_a_broker_that_answers(live: Live) -> None:
    live.cli("drop", stdin=jsonl(order(client_intent_id="one")))
    assert live("collect").code == 0
    live.alpaca.storm = storm("GET /v2/positions", times=-1, Retry_After="30")
    assert live("run", EXEC_BROKER_WAIT_S="0.5").code == 1
    assert not list(live.data.glob("runs/*/*/inputs.json"))
    live.alpaca.storm = lambda request: None
    done = live("run", "--json")
    (resumed,) = done.json["resumed"]
    assert (done.code, resumed["results"]["by_status"]) == (0, {"placed": 1})


def test_an_order_that_is_turned_away_for_longer_than_is_waited_is_left_to_the_next_run(live: Live) -> None:
    live.cli("drop", stdin=jsonl(order(client_intent_id="one")))
    live.alpaca.storm = storm("POST", times=-1, Retry_After="1")
    begun_at = time.monotonic()
    assert live("run", EXEC_BROKER_WAIT_S="1").code == 1
    assert 1 < time.monotonic() - begun_at < 8
    live.alpaca.storm = lambda request: None
    (resumed,) = live("run", "--json").json["resumed"]
    assert resumed["results"]["by_status"] == {"placed": 1}
    assert len(live.orders()) == 1


def test_a_wait_is_logged_before_it_begins(live: Live) -> None:
    live.alpaca.storm = storm("GET /v2/positions", times=1, Retry_After="1")
    (event,) = [event for event in live("run").events if event["event"] == "broker_wait"]
    assert (event["severity"], event["wait_s"]) == ("WARNING", 1.0)
    assert "the broker asks for no requests for 1 s" in event["message"]


def begun(live: Live, **env: str) -> subprocess.Popen[bytes]:
    """Begin a run in a process of its own."""
    return subprocess.Popen(
        [SCRIPT, "run"],
        env={**os.environ, **live.env, **env, "EXEC_DATA_DIR": str(live.data)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def seen(live: Live, request: str) -> None:
    until = time.monotonic() + 30
    while not any(one.startswith(request) for one in live.alpaca.seen):
        assert time.monotonic() < until, live.alpaca.seen
        time.sleep(0.02)


@pytest.mark.parametrize("on", ["GET /v2/account", "GET /v2/positions"])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_job_that_is_ended_while_it_waits_leaves_nothing_and_ends_at_once(
    live: Live, on: str, how: signal.Signals
) -> None:
    live.cli("drop", stdin=jsonl(order(client_intent_id="one")))
    files = waiting(live.data)
    live.alpaca.storm = storm(on, times=-1, Retry_After="30")
    job = begun(live)
    seen(live, on)
    time.sleep(0.3)
    asked_at = time.monotonic()
    job.send_signal(how)
    _, told = job.communicate(timeout=20)
    assert time.monotonic() - asked_at < A_WAIT_TOO_LONG_S
    assert job.returncode == (1 if how is signal.SIGTERM else -how), told.decode()
    assert waiting(live.data) == files
    assert not {path.name for path in live.data.iterdir()} & RUN_FOLDERS
    live.alpaca.storm = lambda request: None
    assert live("run").code == 0
    assert len(live.orders()) == 1


# --- several accounts


class Two:
    """A machine with the accounts alpha and beta, each at an Alpaca of its own: called, it runs a command."""

    def __init__(self, cli: Command, data: Path, at: dict[str, Alpaca], file: Path) -> None:
        self.cli, self.data, self.at = cli, data, at
        self.env = {
            "EXEC_DRY_RUN": "0",
            "EXEC_STORE": "embedded",
            "AGENT_MODE": "LIVE",
            "EXEC_ACCOUNTS_FILE": str(file),
            "A_KEY": API_KEY,
            "A_SECRET": SECRET_KEY,
            "EXEC_SETTLE_S": "5",
            "EXEC_RISK_DATA_TIMEOUT_S": "2",  # alpha, which answers, must be able to on a busy machine
            "EXEC_BROKER_WAIT_S": "1",
        }
        self.took_s = 0.0

    def __call__(self, *args: object, stdin: bytes = b"", **env: str) -> Done:
        begun_at = time.monotonic()
        done = self.cli(*args, stdin=stdin, **self.env | env)
        self.took_s = time.monotonic() - begun_at
        return done

    def drop(self) -> None:
        self(
            "drop", stdin=jsonl(*[order(broker_account_id=name, client_intent_id=name) for name in ACCOUNTS])
        )

    def sent(self) -> dict[str, list[str]]:
        orders = {name: at.simulator.simulation.state()["orders"] for name, at in self.at.items()}
        return {name: [one["client_order_id"] for one in told] for name, told in orders.items()}


@pytest.fixture
def two(cli: Command, data: Path, tmp_path: Path) -> Iterator[Two]:
    with ExitStack() as held:
        at = {}
        for seed, name in enumerate(ACCOUNTS):
            server = held.enter_context(Alpaca())
            server.simulator = Simulator(
                key=API_KEY, secret=SECRET_KEY, partial_fill_probability=0.0, seed=seed
            )
            server.session.mount("http://", server.simulator.adapter())
            server.account = {}
            held.enter_context(server.serving())
            held.callback(server.let_go.set)
            at[name] = server
        file = tmp_path / "accounts.toml"
        file.write_text(
            "".join(
                f'[accounts.{name}]\npaper = true\nhost = "{server.url}"\n'
                f'api_key_env = "A_KEY"\nsecret_key_env = "A_SECRET"\n'
                for name, server in at.items()
            )
        )
        yield Two(cli, data, at, file)


def hangs(two: Two) -> None:
    two.at["beta"].hanging.set()


def refuses(two: Two) -> None:
    two.at["beta"].status = 503


def asks_for_too_long_a_wait(two: Two) -> None:
    two.at["beta"].storm = storm("", times=-1, Retry_After="30")


def asks_for_it_when_its_book_is_read(two: Two) -> None:
    two.at["beta"].storm = storm("GET /v2/positions", times=-1, Retry_After="30")


def asks_for_it_each_time(two: Two) -> None:
    two.at["beta"].storm = storm("GET", times=-1, Retry_After="1")


DEAD = [hangs, refuses, asks_for_too_long_a_wait, asks_for_it_when_its_book_is_read, asks_for_it_each_time]


def back(two: Two) -> None:
    beta = two.at["beta"]
    beta.hanging.clear()
    beta.let_go.set()
    beta.status, beta.storm = 200, lambda request: None


@pytest.mark.parametrize("fault", DEAD)
def test_an_account_that_does_not_answer_leaves_the_other_to_trade_and_its_rows_say_how_they_come_back(
    two: Two, fault: Any
) -> None:
    two.drop()
    fault(two)
    done = two("run")
    assert two.took_s < A_WAIT_TOO_LONG_S
    assert done.code == 3
    assert two.sent() == {"alpha": ["alpha"], "beta": []}
    assert "risk_data_unavailable" in done.told
    assert "ACCOUNT beta WAS LEFT OUT: " in done.told
    (command,) = [line for line in done.out.splitlines() if line.startswith("  execution-engine drop ")]
    assert "done, without account beta" in two("status").told
    back(two)
    assert two(*command.split()[1:]).code == 0
    done = two("run", "--json")
    assert (done.code, done.json["rows"]["duplicate"]) == (0, 1)
    assert (done.json["results"]["by_status"], done.json["drop_again"]) == ({"placed": 1}, [])
    assert two.sent() == {"alpha": ["alpha"], "beta": ["beta"]}


def test_what_is_to_be_dropped_again_is_named_for_machines(two: Two) -> None:
    two.drop()
    hangs(two)
    done = two("run", "--json")
    (path,) = done.json["drop_again"]
    assert (done.code, done.json["results"]["by_status"]) == (3, {"placed": 1, "rejected": 1})
    assert b'"beta"' in Path(path).read_bytes()


def test_an_account_that_asks_for_a_wait_that_is_waited_for_trades_with_the_others(two: Two) -> None:
    two.drop()
    two.at["beta"].storm = storm("GET /v2/positions", times=1, Retry_After="1")
    assert two("run", EXEC_BROKER_WAIT_S="5").code == 0
    assert two.sent() == {"alpha": ["alpha"], "beta": ["beta"]}


def test_where_no_account_answers_the_run_ends_before_anything_is_sealed(two: Two) -> None:
    two.drop()
    files = waiting(two.data)
    for server in two.at.values():
        server.storm = storm("GET /v2/orders?", times=-1, Retry_After="30")
    assert two("run").code == 1
    assert waiting(two.data) == files
    assert not {path.name for path in two.data.iterdir()} & RUN_FOLDERS


@pytest.mark.parametrize("fault", DEAD)
def test_with_fail_open_no_order_goes_to_an_account_that_did_not_answer(two: Two, fault: Any) -> None:
    two.drop()
    fault(two)
    done = two("run", "--json", EXEC_RISK_FAIL_OPEN="1")
    assert (done.code, done.json["results"]["by_status"]) == (3, {"halted": 1, "placed": 1})
    assert len(done.json["drop_again"]) == 1
    back(two)
    assert two("run").code == 0
    assert two.sent() == {"alpha": ["alpha"], "beta": []}


@pytest.mark.parametrize("also", ["alpha", ""])
def test_a_cancel_for_an_account_that_did_not_answer_keeps_no_run_from_ending(two: Two, also: str) -> None:
    rows = [withdrawing("some", broker_account_id="beta"), order(broker_account_id="alpha")]
    two("drop", stdin=jsonl(*rows if also else rows[:1]))
    hangs(two)
    done = two("run", "--json")
    assert (done.code, done.json["results"]["by_status"].get("halted")) == (3, 1)
    back(two)
    assert two("run", "--json").json["resumed"] == []
