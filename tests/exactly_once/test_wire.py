"""A wire does what it was asked to, at the message that it was asked about, and nothing else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from tests.exactly_once.wire import Wire, wire_to

WITHIN_S = 5.0


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A wire to a server that says everything again."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with wire_to("127.0.0.1", listening.getsockname()[1]) as wire:  # forks, so before there is a thread
            threading.Thread(target=_serve, args=[listening], daemon=True).start()
            yield wire
        listening.shutdown(socket.SHUT_RDWR)


def _serve(listening: socket.socket) -> None:
    while True:
        try:
            client, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=_say_again, args=[client], daemon=True).start()


def _say_again(client: socket.socket) -> None:
    with client, suppress(OSError):
        while said := client.recv(100):
            client.sendall(said)


def connected(wire: Wire) -> closing[socket.socket]:
    host, _, port = wire.address.partition(":")
    client = socket.create_connection((host, int(port)), WITHIN_S)
    client.settimeout(WITHIN_S)
    return closing(client)


def answer(client: socket.socket, said: bytes) -> bytes:
    client.sendall(said)
    return client.recv(100)


@pytest.mark.parametrize(("trouble", "came"), [("cut", b"wo"), ("lost", b""), ("delay", b"word")])
def test_the_message_that_is_meant_is_harmed_and_those_before_are_not(
    wire: Wire, trouble: str, came: bytes
) -> None:
    wire.trouble(trouble, 4)
    with connected(wire) as client:
        assert answer(client, b"first") == b"first"
        assert answer(client, b"word") == came
    assert wire.mend() == 4
    with connected(wire) as client:
        assert answer(client, b"again") == b"again"


def test_a_reset_and_a_server_that_is_down_end_connections_without_an_answer(wire: Wire) -> None:
    wire.trouble("reset", 1)
    with connected(wire) as client, pytest.raises(ConnectionResetError):
        answer(client, b"first")
    wire.trouble("down", 1)
    for _ in range(2):
        with connected(wire) as client, pytest.raises(ConnectionResetError):
            answer(client, b"first")
    wire.mend()
    with connected(wire) as client:
        assert answer(client, b"again") == b"again"


def test_a_connection_on_which_nothing_comes_any_more_stays_open(wire: Wire) -> None:
    wire.trouble("drop", 2)
    with connected(wire) as client, connected(wire) as another:
        client.sendall(b"first")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(100)
        assert answer(another, b"second") == b"second"
        wire.mend()
        client.settimeout(WITHIN_S)
        with pytest.raises(ConnectionResetError):
            client.recv(100)
