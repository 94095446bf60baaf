from __future__ import annotations

import socket
from threading import Event
from urllib.parse import urlsplit

import pytest
from starlette.types import Message, Receive, Scope, Send

from replay.simulator.wire.delivery import PROMPT, Delivery, Headers, Reply, Wire, deliver, run_to_end
from replay.simulator.wire.http_server import served
from tests.replay.simulator.wire.reach import KEYS
from tests.replay.simulator.wire.stand_in import simulator

HEADERS = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "localhost", **KEYS}.items())


def connected(address: str) -> socket.socket:
    url = urlsplit(address)
    return socket.create_connection((url.hostname, url.port), timeout=5)


def asked(method: str, path: str, *headers: str) -> bytes:
    more = "".join(f"{header}\r\n" for header in headers)
    return f"{method} {path} HTTP/1.1\r\n{HEADERS}{more}\r\n".encode()


def test_the_head_of_an_answer_waits_for_its_body_where_that_is_asked_for() -> None:
    seen = Event()

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        wire: Wire = scope["state"]["wire"]
        wire.together()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        while not seen.is_set():
            await wire.wait(0.01)
        await send({"type": "http.response.body", "body": b"body"})

    with served(app, "127.0.0.1", 0) as address, connected(address) as client:
        client.sendall(asked("GET", "/"))
        client.settimeout(0.1)
        try:
            with pytest.raises(TimeoutError):
                client.recv(1)
        finally:
            seen.set()
        client.settimeout(5)
        assert client.recv(65_536).endswith(b"content-length: 4\r\n\r\nbody")


@pytest.mark.parametrize(("delivery", "together"), [(PROMPT, True), (Delivery(pieces=2), False)])
def test_a_prompt_answer_leaves_in_one_piece_and_one_that_trickles_does_not(
    delivery: Delivery, together: bool
) -> None:
    done: list[str] = []

    class NotedWire:
        async def wait(self, seconds: float) -> None: ...

        def together(self) -> None:
            done.append("together")

        def drop(self) -> None: ...

        def cut(self, status: int) -> None: ...

        def end_without_length(self, status: int, headers: Headers, body: bytes) -> None: ...

        def close(self) -> None: ...

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        done.append(message["type"])

    run_to_end(deliver(Reply.of(200, {}), delivery, NotedWire(), receive, send))
    assert (done[0] == "together") == together
    assert done.count("together") == together


def test_an_answer_without_a_body_does_not_wait_for_one() -> None:
    with simulator().serving() as address, connected(address) as client:
        client.sendall(asked("HEAD", "/v2/account"))
        assert client.recv(65_536).endswith(b"\r\n\r\n")
        client.sendall(asked("GET", "/v2/account"))
        assert client.recv(65_536).endswith(b'{"cash":"100000"}')


def test_a_connection_that_is_to_be_closed_brings_the_whole_answer_first() -> None:
    with simulator().serving() as address, connected(address) as client:
        client.sendall(asked("GET", "/v2/account", "Connection: close"))
        answer = b"".join(iter(lambda: client.recv(65_536), b""))
        assert answer.endswith(b'\r\n\r\n{"cash":"100000"}')
