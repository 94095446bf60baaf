from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import requests

from engine.brokers.alpaca.broker import AlpacaBroker
from tests.engine.brokers.loopback import Loopback, broker_at


@pytest.fixture(scope="module")
def running_server() -> Iterator[Loopback]:
    with Loopback() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def server(running_server: Loopback) -> Iterator[Loopback]:
    running_server.seen.clear()
    running_server.answers.clear()
    running_server.let_go.clear()
    yield running_server
    running_server.let_go.set()


@pytest.fixture
def broker(server: Loopback) -> Iterator[AlpacaBroker]:
    with requests.Session() as session:
        yield broker_at(server.url, session)


@pytest.fixture
def port_nobody_listens_at() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
