"""Connections of urllib3 for which one deadline counts, from looking up a name to a reply's last byte.

Timeouts of sockets bound each wait, and there may be many: a resolver that hangs takes no timeout at all,
each address of a host takes its own, and a reply may come byte by byte.
"""

from __future__ import annotations

import io
import math
import socket
import threading
import time
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from typing import Any

from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
)
from urllib3.poolmanager import pool_classes_by_scheme
from urllib3.util.connection import allowed_gai_family, create_connection

_SHORTEST_WAIT_S = 0.001  # 0 would mean not to wait at all


def always() -> None:
    """Let a request leave at any time."""


class InFlight(threading.local):
    """The request that a thread is sending.

    ``ends``: its deadline, by the monotonic clock. ``may_leave`` is called before each write of its bytes;
    what it raises is raised by the request, of which nothing more is written.
    """

    ends: float = math.inf
    may_leave: Callable[[], None] = staticmethod(always)


def pools_in_time(in_flight: InFlight) -> dict[str, type[HTTPConnectionPool]]:
    """Make urllib3's classes of pools, by scheme, for connections that keep to a request's deadline."""
    reply = type("ReplyInTime", (_ReplyInTime,), {"in_flight": in_flight})

    def pool_of(pool: type[HTTPConnectionPool]) -> type[HTTPConnectionPool]:
        own = {"in_flight": in_flight, "response_class": reply}
        connection = type("ConnectionInTime", (_ConnectionInTime, pool.ConnectionCls), own)
        return type(pool.__name__, (pool,), {"ConnectionCls": connection})

    return {scheme: pool_of(pool) for scheme, pool in pool_classes_by_scheme.items()}


class _ConnectionInTime(HTTPConnection):
    """A connection that is there, with its proxy and TLS, within its timeout, or not at all.

    Whether a request may leave is asked once it is there, whatever time that took, and before its body again:
    a server acts upon no request of which the body is missing.
    """

    in_flight: InFlight
    _ready_by = math.inf

    def connect(self) -> None:
        allowed_s = math.inf if self.timeout is None else self.timeout
        self._ready_by = min(time.monotonic() + allowed_s, self.in_flight.ends)
        try:
            super().connect()
        except TimeoutError as error:  # of TLS, or of a proxy: nothing of the request has left
            raise self._too_late() from error
        self.sock.settimeout(self.timeout)

    def send(self, data: Any) -> None:
        if self.sock is None and self.auto_open:
            self.connect()
        self.in_flight.may_leave()
        super().send(data)

    def _new_conn(self) -> socket.socket:
        try:
            connection = self._connected()
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except UnicodeError:
            raise LocationParseError(f"'{self._dns_host}', label empty or too long") from None
        except TimeoutError as error:
            raise self._too_late() from error
        except OSError as error:
            raise NewConnectionError(self, f"Failed to establish a new connection: {error}") from error
        connection.settimeout(max(self._ready_by - time.monotonic(), _SHORTEST_WAIT_S))
        return connection

    def _connected(self) -> socket.socket:
        """Try a host's addresses in their order; each may take its share of the time that is left."""
        addresses = _addresses(self._dns_host, self.port, self._ready_by)
        failed: OSError = OSError("the name has no address")
        for place, address in enumerate(addresses):
            left_s = self._ready_by - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            share_s = left_s / (len(addresses) - place)
            try:
                return create_connection(address, share_s, self.source_address, self.socket_options)
            except OSError as error:
                failed = error
        raise failed

    def _too_late(self) -> ConnectTimeoutError:
        return ConnectTimeoutError(
            self, f"Connection to {self.host} timed out. (connect timeout={self.timeout})"
        )


def _addresses(host: str, port: int, until: float) -> list[tuple[str, int]]:
    """Look a name up; a resolver that hangs is left behind in a thread that keeps nothing from ending.

    Raises ``socket.gaierror``, and ``TimeoutError`` where it doesn't answer in time.
    """
    found: list[tuple[str, int]] = []
    failed: list[Exception] = []

    def look_up() -> None:
        try:
            answers = socket.getaddrinfo(host.strip("[]"), port, allowed_gai_family(), socket.SOCK_STREAM)
            found.extend((str(address[0]), port) for *_, address in answers)
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=look_up, name=f"look up {host}", daemon=True)
    thread.start()
    thread.join(None if until == math.inf else max(0.0, until - time.monotonic()))
    if thread.is_alive():
        raise TimeoutError
    if failed:
        raise failed[0]
    return found


class _ReplyInTime(HTTPResponse):
    """A reply whose every read ends by its request's deadline; each wait, by the socket's own timeout.

    One whose headers are cut off is none at all, whatever its status line says.
    """

    in_flight: InFlight

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._reads = _ReadsInTime(sock, self.fp.detach(), self.in_flight.ends)
        self.fp = io.BufferedReader(self._reads)

    def begin(self) -> None:
        super().begin()
        if self._reads.ended:  # headers end with an empty line: the connection's end is read for their lack
            raise HTTPException("the reply ends inside its headers")


class _ReadsInTime(io.RawIOBase):
    def __init__(self, sock: socket.socket, raw: io.RawIOBase, ends: float) -> None:
        self._socket, self._raw = sock, raw
        self._wait_s = sock.gettimeout()
        self._ends = ends
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._ends - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the whole reply took too long")
        if self._wait_s is None or left_s < self._wait_s:
            self._socket.settimeout(left_s)
        read = self._raw.readinto(buffer)
        self.ended = self.ended or read == 0
        return read

    def close(self) -> None:
        self._raw.close()
        super().close()
