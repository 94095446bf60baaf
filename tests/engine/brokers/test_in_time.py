"""What ``in_time`` takes from urllib3 beside its documented names is there, and is what connecting calls.

A release of urllib3 that changes any of it fails here, before a request without a deadline could hang a job.
"""

from __future__ import annotations

import http.client
import inspect
import socket

import pytest
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.poolmanager import PoolManager, pool_classes_by_scheme

from engine.brokers.in_time import InFlight, pools_in_time


@pytest.mark.parametrize("connection", [HTTPConnection, HTTPSConnection])
def test_connecting_goes_through_the_method_that_is_replaced(
    connection: type[HTTPConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    def seen(self: HTTPConnection) -> socket.socket:
        raise InterruptedError(self._dns_host)

    monkeypatch.setattr(connection, "_new_conn", seen)
    with pytest.raises(InterruptedError, match=r"^localhost$"):
        connection("localhost", 9).connect()


def test_replies_are_read_by_the_class_that_a_connection_names() -> None:
    assert "self.response_class(" in inspect.getsource(http.client.HTTPConnection.getresponse)


def test_pools_make_the_connections_that_they_name() -> None:
    assert set(pool_classes_by_scheme) == {"http", "https"}
    for scheme, pool in pools_in_time(InFlight()).items():
        assert issubclass(pool, pool_classes_by_scheme[scheme])
        theirs: type[HTTPConnectionPool] = pool_classes_by_scheme[scheme]
        assert pool.ConnectionCls is not theirs.ConnectionCls
        assert type(pool("localhost", 9)._new_conn()) is pool.ConnectionCls


def test_managers_of_pools_take_their_classes_by_scheme() -> None:
    manager, pools = PoolManager(), pools_in_time(InFlight())
    manager.pool_classes_by_scheme = pools
    assert type(manager.connection_from_url("http://localhost:9")) is pools["http"]
    assert isinstance(HTTPAdapter().poolmanager, PoolManager)
