from __future__ import annotations

import itertools
import json
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from click.testing import CliRunner

from engine.errors import UsageError
from jobs.cli import cli
from replay.simulator.wire.faults import KINDS
from tests.replay.simulator.wire.reach import KEYS, ORDER, Reach, reach
from tests.replay.simulator.wire.stand_in import simulator

# Serving.


def test_it_starts_and_stops_twenty_times_and_leaves_nothing_behind() -> None:
    process = psutil.Process()
    made = simulator()
    before = None
    for _ in range(20):
        with made.serving() as address, requests.Session() as session:
            session.trust_env = False
            assert session.get(address + "/v2/clock", headers=KEYS, timeout=5).status_code == 200
        before = before or (process.num_fds(), threading.active_count())
    assert (process.num_fds(), threading.active_count()) == before


def test_a_port_is_free_again_at_once() -> None:
    made = simulator()
    with made.serving() as first:
        port = int(first.rpartition(":")[2])
        # A connection that is still open when the server ends would hold the port without SO_REUSEADDR.
        held = socket.create_connection(("127.0.0.1", port))
    with made.serving(port) as second:
        assert second == first
    held.close()


def test_it_stops_at_once_though_a_client_is_connected_and_another_waits_for_its_answer() -> None:
    with ThreadPoolExecutor() as threads:
        with reach("socket") as alpaca:
            alpaca.arm("latency", seconds=60)
            late = threads.submit(alpaca.place)
            idle = socket.create_connection(("127.0.0.1", int(alpaca.address.rpartition(":")[2])))
            while not alpaca.orders:
                time.sleep(0.01)
            begin = time.monotonic()
        assert time.monotonic() - begin < 2
        assert late.result().status_code == 200
        idle.close()


def test_a_port_that_is_taken_is_reported_with_what_to_do() -> None:
    made = simulator()
    with made.serving() as address:
        port = int(address.rpartition(":")[2])
        with pytest.raises(UsageError, match=f"127.0.0.1:{port} can't be listened on: .* Choose another"):
            made.serving(port).__enter__()
    with pytest.raises(UsageError, match="can't be listened on"):
        made.serving(70_000).__enter__()


def test_it_listens_on_loopback_only() -> None:
    with simulator().serving() as address:
        assert address.startswith("http://127.0.0.1:")
        (listening,) = [
            connection.laddr.ip
            for connection in psutil.Process().net_connections("inet")
            if connection.status == psutil.CONN_LISTEN and str(connection.laddr.port) in address
        ]
    assert listening == "127.0.0.1"


def test_requests_in_one_go_on_one_connection_are_answered_in_order() -> None:
    with simulator().serving() as address:
        port = int(address.rpartition(":")[2])
        keys = "".join(f"{name}: {value}\r\n" for name, value in KEYS.items())
        asked = "".join(f"GET /v2/assets/A{n} HTTP/1.1\r\nHost: localhost\r\n{keys}\r\n" for n in range(5))
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(asked.encode())
            answer = b""
            while answer.count(b"HTTP/1.1 200") < 5 or not answer.endswith(b"}"):
                answer += connection.recv(65536)
    assert [answer.find(f'"A{n}"'.encode()) for n in range(5)] == sorted(
        answer.find(f'"A{n}"'.encode()) for n in range(5)
    )


def test_clients_at_the_same_time_each_get_their_own_answer() -> None:
    with reach("socket") as alpaca, ThreadPoolExecutor(8) as threads:
        in_process = requests.Session()
        in_process.headers.update(KEYS)
        in_process.mount("https://", alpaca.simulator.adapter())

        def place(number: int) -> str:
            body = {"client_order_id": f"c{number}"}
            address = alpaca.address if number % 2 else "https://api.alpaca.markets"
            client = alpaca.session if number % 2 else in_process
            answer = client.post(address + "/v2/orders", json=body, timeout=5)
            return str(answer.json()["client_order_id"])

        assert list(threads.map(place, range(200))) == [f"c{number}" for number in range(200)]
        assert len(alpaca.orders) == 200
        in_process.close()


def test_garbage_is_answered_with_400_and_nothing_else_happens() -> None:
    with simulator().serving() as address:
        port = int(address.rpartition(":")[2])
        for garbage in (
            b"\x00\x01\r\n\r\n",
            b"GET /v2/\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"NONSENSE\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(garbage)
                assert b" 400 " in connection.recv(65536).splitlines()[0]
        assert requests.get(address + "/v2/clock", headers=KEYS, timeout=5).status_code == 200


# State and control.


def test_the_state_shows_orders_and_every_request_with_its_time(alpaca: Reach) -> None:
    alpaca.place(client_order_id="mine")
    alpaca.simulator.simulation.clock.advance(1.5)
    alpaca.ask("GET", "/v2/orders?status=all", headers={"APCA-API-KEY-ID": "wrong"})
    alpaca.ask("POST", "/v2/orders", data=b"{nonsense")
    state = alpaca.ask("GET", "/simulator/state").json()
    assert [order["client_order_id"] for order in state["orders"]] == ["mine"]
    placed, listed, wrong = state["requests"]
    assert (placed["method"], placed["path"], placed["status"]) == ("POST", "/v2/orders", 200)
    assert (placed["time"], placed["body"]["symbol"]) == ("2026-03-02T17:00:00.000000000Z", "AAPL")
    assert (listed["query"], listed["status"], listed["body"]) == ("status=all", 401, None)
    assert (listed["time"], wrong["body"]) == ("2026-03-02T17:00:01.500000000Z", "{nonsense")
    assert (state["faults"], state["failures"]) == ([], [])


def test_a_reset_begins_anew_and_repeats_itself(alpaca: Reach) -> None:
    def use() -> list[str]:
        alpaca.arm("error_before", method="GET", probability=0.5)
        answers = [alpaca.place(), *(alpaca.ask("GET", "/v2/clock") for _ in range(20))]
        return [f"{answer.status_code} {answer.headers['X-Request-ID']} {answer.text}" for answer in answers]

    first = use()
    assert alpaca.ask("POST", "/simulator/reset").status_code == 200
    state = alpaca.ask("GET", "/simulator/state").json()
    assert (state["orders"], state["requests"], state["faults"]) == ([], [], [])
    assert use() == first


def test_the_state_is_saved_as_a_json_file(alpaca: Reach, tmp_path: Path) -> None:
    alpaca.place()
    file = tmp_path / "sub" / "state.json"
    file.parent.mkdir()
    alpaca.simulator.simulation.save_dir = tmp_path
    saved = alpaca.ask("POST", "/simulator/save", json={"path": "sub/state.json"}).json()
    assert (saved["path"], saved["bytes"]) == (str(file), file.stat().st_size)
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_bytes()) == alpaca.ask("GET", "/simulator/state").json()


def test_the_clock_is_advanced(alpaca: Reach) -> None:
    before = alpaca.simulator.simulation.clock.now_ns()
    assert alpaca.ask("POST", "/simulator/clock", json={"advance_s": 90}).json() == {"is_open": True}
    assert alpaca.simulator.simulation.clock.now_ns() - before == 90 * 10**9


def test_the_clock_is_set_and_made_to_run(quick: Reach) -> None:
    clock: Any = quick.simulator.simulation.clock
    assert quick.ask("POST", "/simulator/clock", json={"set": "2026-03-02T15:30:00-05:00"}).status_code == 200
    assert clock.t_ns == 1_772_483_400 * 10**9
    assert quick.ask("POST", "/simulator/clock", json={"speed": 60}).status_code == 200
    assert clock.speed == 60
    assert quick.ask("POST", "/simulator/clock", json={"speed": 0}).status_code == 200
    assert clock.speed == 0


def test_faults_are_armed_listed_and_taken_away(alpaca: Reach) -> None:
    armed = alpaca.ask("POST", "/simulator/faults", json={"fault": "error_before", "status": 503, "times": 2})
    assert armed.status_code == 200
    number = armed.json()["id"]
    alpaca.ask("POST", "/simulator/faults", json={"fault": "latency", "method": "PATCH"})
    assert alpaca.place().status_code == 503
    first, second = alpaca.ask("GET", "/simulator/faults").json()
    assert (first["left"], first["struck"], second["fault"]) == (1, 1, "latency")
    left = alpaca.ask("DELETE", f"/simulator/faults/{number}").json()
    assert [fault["fault"] for fault in left] == ["latency"]
    assert alpaca.place().status_code == 200
    assert alpaca.ask("DELETE", "/simulator/faults").json() == []
    assert alpaca.ask("GET", "/simulator/faults").json() == []


def test_taking_faults_away_lets_pending_cancels_and_hidden_orders_go(quick: Reach) -> None:
    venue: Any = quick.simulator.venue
    for path in ("/simulator/faults", "/simulator/faults/1"):
        quick.simulator.simulation.reset()
        venue = quick.simulator.venue
        quick.arm("stuck_pending_cancel")
        order_id = quick.place().json()["id"]
        quick.ask("DELETE", f"/v2/orders/{order_id}")
        assert venue.held == {order_id}
        assert quick.ask("DELETE", path).status_code == 200
        assert not venue.held
    quick.arm("lookup_lag", lookups=9)
    order_id = quick.place().json()["id"]
    assert quick.ask("GET", f"/v2/orders/{order_id}").status_code == 404
    quick.ask("DELETE", "/simulator/faults")
    assert quick.ask("GET", f"/v2/orders/{order_id}").status_code == 200


def test_an_order_is_filled_by_hand(alpaca: Reach) -> None:
    order_id = alpaca.place().json()["id"]
    body = {"order_id": order_id, "qty": "1"}
    assert alpaca.ask("POST", "/simulator/fill", json=body).json()["status"] == "partially_filled"
    assert alpaca.ask("POST", "/simulator/fill", json={"order_id": order_id}).json()["status"] == "filled"
    assert alpaca.ask("POST", "/simulator/fill", json={"order_id": order_id}).status_code == 422


def test_a_split_reaches_the_venue(quick: Reach) -> None:
    assert quick.ask("POST", "/simulator/split", json={"symbol": "AAPL", "ratio": "4"}).status_code == 200
    assert {"symbol": "AAPL", "ratio": "4", "status": "new"} in quick.orders


def test_a_changed_asset_reaches_the_venue(quick: Reach) -> None:
    change = {"symbol": "AAPL", "tradable": False, "shortable": True, "status": "inactive"}
    changed = quick.ask("POST", "/simulator/asset", json=change)
    assert (changed.status_code, changed.json()) == (200, change)


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("faults", {"fault": "nonsense"}, "fault is 'nonsense'; expected the name of a fault"),
        ("save", {}, "path is None; expected the name of a JSON file"),
        ("save", {"path": "x.json"}, "Start the simulator with --save-dir FOLDER"),
        ("clock", {}, "expected one of advance_s, set and speed"),
        ("clock", {"advance_s": -1}, "advance_s is -1; expected a positive number"),
        ("clock", {"speed": -1}, "speed is -1; expected a positive number, or 0 to stop"),
        ("clock", {"speed": False}, "speed is False; expected a positive number, or 0 to stop"),
        ("clock", {"advance_s": 1, "speed": 2}, "expected one of advance_s, set and speed"),
        ("clock", {"set": "noon"}, "set is 'noon'; expected a time with its offset"),
        ("clock", {"set": "2026-03-02T12:00:00"}, "expected a time with its offset"),
        ("fill", {}, "order_id is None; expected the id of an open order"),
        ("fill", {"order_id": "x", "qty": "much"}, "qty is 'much'; expected a positive decimal number"),
        ("split", {"symbol": "AAPL", "ratio": 0}, "ratio is 0; expected a positive decimal number"),
        ("asset", {"tradable": False}, "symbol is None; expected a symbol"),
        ("asset", {"symbol": "AAPL"}, "expected symbol and tradable, shortable, fractionable or status"),
        ("asset", {"symbol": "AAPL", "halted": True}, "expected symbol and tradable, shortable"),
        ("asset", {"symbol": "AAPL", "tradable": 0}, "tradable is 0; expected true or false"),
        ("asset", {"symbol": "AAPL", "status": "gone"}, "status is 'gone'; expected active or inactive"),
        ("reset", [], "body is []; expected a JSON object"),
    ],
)
def test_a_wrong_control_request_says_what_to_write(quick: Reach, path: str, body: Any, message: str) -> None:
    refused = quick.ask("POST", f"/simulator/{path}", json=body)
    assert (refused.status_code, message in refused.json()["message"]) == (422, True)


def test_a_control_endpoint_that_does_not_exist_names_those_that_do(quick: Reach) -> None:
    for path in ("/simulator/nothing", "/simulator/", "/simulator"):
        unknown = quick.ask("GET", path)
        assert unknown.status_code == 404
        assert "POST /simulator/reset" in unknown.json()["message"]
    assert quick.ask("GET", "/simulators").json() == {"code": 40410000, "message": "endpoint not found."}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "reset", {"POST"}),
        ("POST", "state", {"GET", "HEAD"}),
        ("PUT", "faults", {"GET", "HEAD", "POST", "DELETE"}),
        ("GET", "faults/1", {"DELETE"}),
    ],
)
def test_a_wrong_method_for_a_control_endpoint_is_answered_with_405_and_the_right_ones(
    quick: Reach, method: str, path: str, allowed: set[str]
) -> None:
    wrong = quick.ask(method, f"/simulator/{path}")
    assert wrong.status_code == 405
    assert "POST /simulator/reset" in wrong.json()["message"]
    assert set(wrong.headers["Allow"].split(", ")) == allowed


def test_control_needs_no_keys_and_is_not_among_the_requests_seen(quick: Reach) -> None:
    quick.session.headers = requests.structures.CaseInsensitiveDict()
    assert quick.ask("GET", "/simulator/state").json()["requests"] == []
    assert quick.ask("GET", "/simulator/state").json()["requests"] == []


def test_control_refuses_what_a_web_page_asks(alpaca: Reach) -> None:
    for header in ("Origin", "Sec-Fetch-Site"):
        refused = alpaca.ask("POST", "/simulator/reset", headers={header: "https://example.com"})
        assert refused.status_code == 403


# As a user starts it.


def test_the_command_serves_until_it_is_stopped() -> None:
    command = [str(Path(sys.executable).with_name("execution-engine")), "serve-simulator", "--port", "0"]
    for told in (signal.SIGINT, signal.SIGTERM):
        with subprocess.Popen(
            [*command, "--key", "k", "--secret", "s"], stdout=subprocess.PIPE, text=True
        ) as started:
            assert started.stdout is not None
            greeting = "".join(itertools.takewhile(lambda line: "Ctrl-C" not in line, started.stdout))
            address = greeting.splitlines()[0].split()[-1]
            keys = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}
            clock = requests.get(address + "/v2/clock", headers=keys, timeout=5)
            quote = requests.get(address + "/v2/stocks/AAPL/quotes/latest", headers=keys, timeout=5).json()
            started.send_signal(told)
            assert started.wait(10) == 0
        assert clock.json()["is_open"] is True
        quoted = datetime.fromisoformat(quote["quote"]["t"])
        assert abs(datetime.now(UTC) - quoted) < timedelta(seconds=30)
        assert "curl -H 'APCA-API-KEY-ID: k' -H 'APCA-API-SECRET-KEY: s' -d" in greeting
        assert f"TradingClient('k', 's', url_override='{address}')" in greeting
        assert f"StockHistoricalDataClient('k', 's', url_override='{address}')" in greeting
        assert f"ALPACA_DATA_HOST={address}" in greeting


@contextmanager
def started(*options: str) -> Iterator[tuple[str, str]]:
    """The command on a free port until the block ends: its address, and all that it said."""
    command = [str(Path(sys.executable).with_name("execution-engine")), "serve-simulator", "--port", "0"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = "".join(itertools.takewhile(lambda line: "Ctrl-C" not in line, process.stdout))
        try:
            yield said.splitlines()[0].split()[-1], said
        finally:
            process.terminate()


def test_a_manual_clock_gives_the_same_answers_to_the_same_requests_each_time_it_is_served() -> None:
    def answers() -> list[tuple[int, str, bytes]]:
        asked = (
            ("GET", "/v2/clock", None),
            ("POST", "/v2/orders", ORDER),
            ("POST", "/v2/orders", {**ORDER, "symbol": "KO", "type": "limit", "limit_price": "50"}),
            ("POST", "/simulator/clock", {"advance_s": 2}),
            ("GET", "/v2/orders?status=all", None),
            ("GET", "/v2/positions", None),
            ("DELETE", "/v2/orders", None),
            ("POST", "/simulator/clock", {"set": "2026-11-25T15:59:59-05:00"}),
            ("GET", "/v2/account", None),
            ("GET", "/v2/account/activities", None),
        )
        options = ("--clock", "manual", "--start", "2026-11-25T09:30-05:00", "--seed", "5")
        with started(*options) as (address, said), requests.Session() as session:
            session.trust_env = False
            session.headers.update(KEYS)
            assert "/simulator/clock  # time stands still otherwise" in said
            replies = [
                session.request(method, address + path, json=body, timeout=5) for method, path, body in asked
            ]
        return [
            (reply.status_code, reply.headers.get("X-Request-ID", ""), reply.content) for reply in replies
        ]

    first = answers()
    assert json.loads(first[0][2])["timestamp"] == "2026-11-25T09:30:00-05:00"
    assert {status for status, _, _ in first} == {200, 207}
    assert answers() == first


def test_keys_that_a_shell_would_read_are_quoted_in_what_the_command_tells_to_try() -> None:
    with started("--key", "it's $HOME", "--secret", "a b") as (address, said):
        (curl,) = (line for line in said.splitlines() if "/v2/orders" in line)
        words = shlex.split(curl)
        assert words[:5] == [
            "curl", "-H", "APCA-API-KEY-ID: it's $HOME", "-H", "APCA-API-SECRET-KEY: a b",
        ]  # fmt: skip
        assert words[-1] == f"{address}/v2/orders"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_a_server_on_every_address_gives_one_that_can_be_asked(host: str) -> None:
    with simulator().serving(host=host) as address:
        assert address.startswith("http://[::1]:" if host == "::" else "http://127.0.0.1:")
        assert requests.get(address + "/v2/clock", headers=KEYS, timeout=5).status_code == 200


def test_the_help_names_every_fault_control_endpoint_and_column_of_a_price_file() -> None:
    said = CliRunner().invoke(cli, ["serve-simulator", "--help"]).output
    columns = "symbol, timestamp, open, high, low, close"
    assert columns in " ".join(said.split())
    for path in ("clock", "faults", "fill", "split", "reset", "save", "state"):
        assert f"/simulator/{path}" in said
    for fault in KINDS:
        assert fault in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cash", "much"], "--cash is 'much'; expected dollars"),
        (["--speed", "0"], "--speed is 0; expected a positive number"),
        (["--partial-fills", "2"], "--partial-fills is 2; expected a probability"),
        (["--wall-clock", "--speed", "2"], "--wall-clock has no other speed"),
        (["--wall-clock", "--clock", "manual"], "--wall-clock follows the real time; drop --clock manual"),
        (
            ["--wall-clock", "--start", "2026-11-25T09:30-05:00"],
            "--wall-clock follows the real time; drop --st",
        ),
        (["--clock", "manual", "--speed", "2"], "--clock manual stands still, and --speed is 2"),
        (["--start", "noon"], "--start is 'noon'; expected a timestamp with an offset"),
        (
            ["--start", "2026-11-25T09:30"],
            "--start is '2026-11-25T09:30'; expected a timestamp with an offset",
        ),
        (["--port", "99999"], "99999 can't be listened on"),
    ],
)
def test_the_command_says_what_is_wrong_with_its_options(options: list[str], message: str) -> None:
    refused = CliRunner().invoke(cli, ["serve-simulator", *options])
    assert isinstance(refused.exception, UsageError)
    assert message in str(refused.exception)


def test_the_command_says_how_to_install_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "replay.simulator.wire.http_server", raising=False)
    refused = CliRunner().invoke(cli, ["serve-simulator"])
    assert isinstance(refused.exception, UsageError)
    assert "uvicorn, which is not installed. Run make simulator in the clone" in str(refused.exception)
