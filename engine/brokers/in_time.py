"""urllib3 connections with one deadline per request, from the name lookup to the last byte of the reply.

Socket timeouts bound each wait only, and a request has many: name lookup has no timeout, each address of a
host gets its own, and a reply may arrive byte by byte.
"""

from __future__ import annotations

import io
import socket
import threading
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

from engine.waiting.bounded import done_by
from engine.waiting.deadline import NO_DEADLINE, Deadline


def always() -> None:
    """Allow a request to be sent at any time."""


class InFlight(threading.local):
    """The request that a thread is sending.

    ``may_leave`` is called before each write; where it raises, nothing more is written and the request
    raises the same.
    """

    deadline: Deadline = NO_DEADLINE
    may_leave: Callable[[], None] = staticmethod(always)


def pools_in_time(in_flight: InFlight) -> dict[str, type[HTTPConnectionPool]]:
    """Return urllib3's pool classes, by scheme, with connections that enforce the request's deadline."""
    reply = type("ReplyInTime", (_ReplyInTime,), {"in_flight": in_flight})

    def pool_of(pool: type[HTTPConnectionPool]) -> type[HTTPConnectionPool]:
        own = {"in_flight": in_flight, "response_class": reply}
        connection = type("ConnectionInTime", (_ConnectionInTime, pool.ConnectionCls), own)
        return type(pool.__name__, (pool,), {"ConnectionCls": connection})

    return {scheme: pool_of(pool) for scheme, pool in pool_classes_by_scheme.items()}


class _ConnectionInTime(HTTPConnection):
    """A connection whose setup, proxy and TLS included, ends within its timeout or fails.

    ``may_leave`` is called once the connection is established, and again before the body is sent: a server
    does not act on a request whose body is missing.
    """

    in_flight: InFlight
    _ready_by = NO_DEADLINE

    def connect(self) -> None:
        self._ready_by = self.in_flight.deadline
        if self.timeout is not None:
            self._ready_by = self._ready_by.or_after(self.timeout)
        try:
            super().connect()
        except TimeoutError as error:  # of TLS, or of a proxy: nothing of the request was sent
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
        connection.settimeout(self._ready_by.left_s())
        return connection

    def _connected(self) -> socket.socket:
        """Return a connection to the first address that accepts; each gets a share of the remaining time."""
        addresses = _addresses(self._dns_host, self.port, self._ready_by)
        failed: OSError = OSError("the name has no address")
        for place, address in enumerate(addresses):
            if self._ready_by.is_over():
                raise TimeoutError
            share_s = self._ready_by.left_s() / (len(addresses) - place)
            try:
                return create_connection(address, share_s, self.source_address, self.socket_options)
            except OSError as error:
                failed = error
        raise failed

    def _too_late(self) -> ConnectTimeoutError:
        return ConnectTimeoutError(
            self, f"Connection to {self.host} timed out. (connect timeout={self.timeout})"
        )


def _addresses(host: str, port: int, deadline: Deadline) -> list[tuple[str, int]]:
    """Return the addresses of a host; a lookup that hangs is abandoned in a daemon thread.

    Raises ``socket.gaierror``, and ``TimeoutError`` where the lookup takes too long.
    """

    def looked_up() -> list[tuple[str, int]]:
        answers = socket.getaddrinfo(host.strip("[]"), port, allowed_gai_family(), socket.SOCK_STREAM)
        return [(str(address[0]), port) for *_, address in answers]

    lookup = f"look up {host}"
    answers = done_by({lookup: deadline}, {lookup: looked_up})
    if not answers:
        raise TimeoutError
    found: list[tuple[str, int]] = answers[lookup].get()
    return found


class _ReplyInTime(HTTPResponse):
    """A reply that is read within the request's deadline, and each wait within the socket's timeout.

    A reply that ends inside its headers is an error, whatever its status line says.
    """

    in_flight: InFlight

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._reads = _ReadsInTime(sock, self.fp.detach(), self.in_flight.deadline)
        self.fp = io.BufferedReader(self._reads)

    def begin(self) -> None:
        super().begin()
        if self._reads.ended:  # complete headers end with an empty line, before the end of the connection
            raise HTTPException("the reply ends inside its headers")


class _ReadsInTime(io.RawIOBase):
    def __init__(self, sock: socket.socket, raw: io.RawIOBase, deadline: Deadline) -> None:
        self._socket, self._raw = sock, raw
        self._wait_s = sock.gettimeout()
        self._deadline = deadline
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._deadline.is_over():
            raise TimeoutError("the whole reply took too long")
        left_s = self._deadline.left_s()
        if self._wait_s is None or left_s < self._wait_s:
            self._socket.settimeout(left_s)
        read = self._raw.readinto(buffer)
        self.ended = self.ended or read == 0
        return read

    def close(self) -> None:
        self._raw.close()
        super().close()
