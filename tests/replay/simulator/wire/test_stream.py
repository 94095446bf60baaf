"""The stream of trade updates by its websocket: handshake, replies, frames, clients that do not read."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
import requests
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.uri import parse_uri

from replay.simulator.server import Simulator
from replay.simulator.wire import listening
from tests.replay.simulator.conformance.desk import NOON_NS
from tests.replay.simulator.wire.reach import KEYS, ORDER, Reach

Body = dict[str, Any]
AUTHENTICATE = {"action": "authenticate", "data": {"key_id": "test-key", "secret_key": "test-secret"}}
LISTEN = {"action": "listen", "data": {"streams": ["trade_updates"]}}


@pytest.fixture(scope="module")
def served() -> Iterator[Reach]:
    simulator = Simulator(seed=7, clock="manual", start_ns=NOON_NS, partial_fill_probability=0)
    with simulator.serving() as address, requests.Session() as session:
        session.trust_env = False
        yield Reach(address, simulator, session)


@pytest.fixture
def alpaca(served: Reach) -> Reach:
    served.simulator.simulation.reset()
    return served


@contextmanager
def stream(alpaca: Reach, query: str = "", **more: Any) -> Iterator[ClientConnection]:
    address = alpaca.address.replace("http://", "ws://") + "/stream" + query
    with connect(address, proxy=None, **more) as socket_:
        yield socket_


def told(connection: ClientConnection, message: object) -> Body:
    connection.send(message if isinstance(message, str) else json.dumps(message))
    return heard(connection)


def heard(connection: ClientConnection) -> Body:
    body: Body = json.loads(connection.recv(timeout=5))
    return body


@contextmanager
def listening_to(alpaca: Reach, query: str = "") -> Iterator[ClientConnection]:
    with stream(alpaca, query) as connection:
        told(connection, AUTHENTICATE)
        told(connection, LISTEN)
        yield connection


def events(connection: ClientConnection, count: int) -> list[str]:
    return [heard(connection)["data"]["event"] for _ in range(count)]


def authorization(status: str, action: str) -> Body:
    return {"stream": "authorization", "data": {"status": status, "action": action}}


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        (AUTHENTICATE, authorization("authorized", "authenticate")),
        (
            {"action": "auth", "key": "test-key", "secret": "test-secret"},
            authorization("authorized", "authenticate"),
        ),
        (
            {"action": "authenticate", "data": {"key_id": "test-key", "secret_key": "wrong"}},
            authorization("unauthorized", "authenticate"),
        ),
        ({"action": "authenticate", "data": {}}, authorization("unauthorized", "authenticate")),
        (LISTEN, authorization("unauthorized", "listen")),
    ],
)
def test_keys_are_needed_to_listen(alpaca: Reach, message: Body, reply: Body) -> None:
    with stream(alpaca) as connection:
        assert told(connection, message) == reply


@pytest.mark.parametrize(
    ("streams", "listened"),
    [
        (["trade_updates"], ["trade_updates"]),
        (["T.SPY", "trade_updates"], ["trade_updates"]),
        (["nothing"], []),
        ([1, None], []),
    ],
)
def test_only_streams_that_there_are_are_acknowledged(
    alpaca: Reach, streams: list[object], listened: list[str]
) -> None:
    with stream(alpaca) as connection:
        told(connection, AUTHENTICATE)
        reply = told(connection, {"action": "listen", "data": {"streams": streams}})
    assert reply == {"stream": "listening", "data": {"streams": listened}}


def test_an_empty_list_ends_the_updates_and_another_begins_them_again(alpaca: Reach) -> None:
    with listening_to(alpaca) as connection:
        alpaca.place()
        assert events(connection, 1) == ["pending_new"]
        told(connection, {"action": "listen", "data": {"streams": []}})
        alpaca.pass_by(0.005)  # new
        told(connection, LISTEN)
        alpaca.pass_by(1)
        assert events(connection, 1) == ["fill"]


def test_wrong_keys_end_the_updates(alpaca: Reach) -> None:
    with listening_to(alpaca) as connection:
        told(connection, {"action": "auth", "key": "test-key", "secret": "wrong"})
        alpaca.place()
        assert told(connection, LISTEN) == authorization("unauthorized", "listen")


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("{", "message is not valid JSON"),
        ("[" * 5000, "message is not valid JSON"),
        ("[]", "message is not a JSON object"),
        ({"action": "shout"}, "action is not one of authenticate, auth and listen"),
        ({"action": "listen", "data": {"streams": "trade_updates"}}, "data.streams is not a list of streams"),
        ({"action": "listen"}, "data.streams is not a list of streams"),
    ],
)
def test_what_is_not_understood_is_answered_and_ends_the_connection(
    alpaca: Reach, message: object, why: str
) -> None:
    with stream(alpaca) as connection:
        told(connection, AUTHENTICATE)
        assert told(connection, message) == {"action": "error", "data": {"error_message": why}}
        with pytest.raises(ConnectionClosed):
            connection.recv(timeout=5)


@pytest.mark.parametrize(("query", "kind"), [("", bytes), ("?frames=binary", bytes), ("?frames=text", str)])
def test_frames_are_binary_as_on_paper_or_text_where_asked_for(alpaca: Reach, query: str, kind: type) -> None:
    with stream(alpaca, query) as connection:
        connection.send(json.dumps(AUTHENTICATE).encode())  # a client may send either
        assert type(connection.recv(timeout=5)) is kind
        connection.send(json.dumps(LISTEN))
        connection.recv(timeout=5)
        alpaca.place()
        assert type(connection.recv(timeout=5)) is kind


@pytest.mark.parametrize(
    ("path", "headers", "status", "why"),
    [
        ("/stream?frames=blue", {}, 400, "frames is 'blue'; expected text or binary"),
        ("/stream", {"Content-Type": "application/msgpack"}, 415, "speaks JSON only"),
        ("/v2/stream", {}, 404, "trade updates are at /stream"),
        ("/stream", {"Host": "evil.example"}, 421, "doesn't answer to this host name"),
        ("/stream", {"Origin": "https://evil.example"}, 421, "doesn't answer to this host name"),
        ("/stream", {"Origin": "null"}, 421, "doesn't answer to this host name"),
    ],
)
def test_what_it_has_not_is_refused_before_the_connection_is_made(
    alpaca: Reach, path: str, headers: dict[str, str], status: int, why: str
) -> None:
    address = alpaca.address.replace("http://", "ws://")
    with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as raw:
        lines = {"Host": "127.0.0.1", "Connection": "Upgrade", "Upgrade": "websocket",
                 "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}  # fmt: skip
        head = "".join(f"{name}: {value}\r\n" for name, value in (lines | headers).items())
        raw.sendall(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
        raw.settimeout(5)
        reply = b"".join(iter(lambda: raw.recv(4096), b"")).decode()
    assert reply.startswith(f"HTTP/1.1 {status} ")
    assert why in reply


def test_a_page_of_this_machine_may_listen(alpaca: Reach) -> None:
    with stream(alpaca, origin="http://localhost:3000") as connection:
        assert told(connection, AUTHENTICATE) == authorization("authorized", "authenticate")


def test_a_get_without_a_handshake_is_told_of_no_endpoint(alpaca: Reach) -> None:
    assert alpaca.ask("GET", "/stream").status_code == 404


def test_everything_that_happens_to_orders_arrives_in_order(alpaca: Reach) -> None:
    with listening_to(alpaca) as connection:
        order = alpaca.place().json()
        alpaca.pass_by(1)
        told_of = [heard(connection) for _ in range(3)]
    assert {update["stream"] for update in told_of} == {"trade_updates"}
    assert [update["data"]["event"] for update in told_of] == ["pending_new", "new", "fill"]
    fill = told_of[2]["data"]
    assert fill["order"] == alpaca.ask("GET", f"/v2/orders/{order['id']}").json()
    assert fill.keys() == {"event", "execution_id", "order", "timestamp", "price", "qty", "position_qty"}
    assert (fill["qty"], fill["position_qty"], fill["timestamp"]) == ("3", "3", fill["order"]["filled_at"])


def test_a_fill_arrives_without_any_further_request() -> None:
    simulator = Simulator(seed=7, start_ns=NOON_NS, partial_fill_probability=0)
    with simulator.serving() as address, requests.Session() as session:
        session.trust_env = False
        alpaca = Reach(address, simulator, session)
        with listening_to(alpaca) as connection:
            alpaca.place()
            assert events(connection, 3) == ["pending_new", "new", "fill"]


def test_updates_go_on_after_a_reset(alpaca: Reach) -> None:
    with listening_to(alpaca) as connection:
        alpaca.ask("POST", "/simulator/reset").raise_for_status()
        alpaca.place()
        assert events(connection, 1) == ["pending_new"]


def test_orders_placed_in_process_reach_the_stream(alpaca: Reach) -> None:
    with listening_to(alpaca) as connection, requests.Session() as session:
        session.headers.update(KEYS)
        session.mount("https://", alpaca.simulator.adapter())
        session.post("https://paper-api.alpaca.markets/v2/orders", json=ORDER).raise_for_status()
        assert events(connection, 1) == ["pending_new"]


def stuck(alpaca: Reach) -> socket.socket:
    """Connect a client that listens and then never reads."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(5)
    raw.connect(("127.0.0.1", int(alpaca.address.rpartition(":")[2])))
    client = ClientProtocol(parse_uri(alpaca.address.replace("http://", "ws://") + "/stream"))
    client.send_request(client.connect())
    raw.sendall(b"".join(client.data_to_send()))
    client.receive_data(raw.recv(4096))
    for message in (AUTHENTICATE, LISTEN):
        client.send_text(json.dumps(message).encode())
        raw.sendall(b"".join(client.data_to_send()))
        raw.recv(4096)
    return raw


def publish(alpaca: Reach, text: str) -> None:
    with alpaca.simulator.simulation.lock:
        publish_one = alpaca.simulator.venue.updates.listener
        assert publish_one is not None
        publish_one({"event": text})


def test_a_client_that_does_not_read_is_dropped_and_holds_up_no_other(
    alpaca: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "MOST_WAITING", 20)
    with listening_to(alpaca) as reads, stuck(alpaca) as silent:
        for number in range(200):  # 20 MB: more than the buffers of any connection
            publish(alpaca, f"{number:06}" + "x" * 100_000)
            assert heard(reads)["data"]["event"].startswith(f"{number:06}x")
        with suppress(ConnectionResetError):  # else the end of what the system had sent before
            while silent.recv(1 << 20):
                pass
        alpaca.place()
        assert events(reads, 1) == ["pending_new"]


def test_the_server_ends_at_once_though_a_client_does_not_read() -> None:
    simulator = Simulator(seed=7, clock="manual", start_ns=NOON_NS)
    with ExitStack() as opened:
        with simulator.serving() as address, requests.Session() as session:
            alpaca = Reach(address, simulator, session)
            opened.enter_context(stuck(alpaca))
            for _ in range(200):
                publish(alpaca, "x" * 100_000)
            begin = time.monotonic()
        assert time.monotonic() - begin < 2


def test_nothing_is_built_once_the_last_client_has_left(alpaca: Reach) -> None:
    with listening_to(alpaca):
        assert alpaca.simulator.venue.updates.listener is not None
    deadline = time.monotonic() + 5
    while alpaca.simulator.venue.updates.listener is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
