"""A TCP proxy that fails on command, to see what a client makes of it."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.servers import LOOPBACK

NONSENSE = random.Random(0).randbytes(400)
_CHUNK_BYTES = 65536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class _Fault:
    """What is wrong with the network; by default nothing."""

    is_down: bool = False
    hangs: bool = False
    garbles: bool = False
    cuts_after_bytes: int | None = None
    delay_s: float = 0.0


class _Network:
    """The fault of the moment, for which all connections wait their turn."""

    def __init__(self) -> None:
        self._fault = _Fault()
        self._changed = threading.Condition()

    def become(self, fault: _Fault) -> None:
        with self._changed:
            self._fault = fault
            self._changed.notify_all()

    def let_through(self) -> _Fault:
        """Hold the caller up for as long as the fault wants, and say which fault it then meets.

        Raises:
            ConnectionAbortedError: nothing gets through any more.
        """
        with self._changed:
            if self._fault.delay_s:
                self._changed.wait(self._fault.delay_s)
            while self._fault.hangs:
                self._changed.wait()
            if self._fault.is_down:
                raise ConnectionAbortedError
            return self._fault


class Proxy:
    """Stands before a server on a port of its own, and forwards until told otherwise.

    Each fault replaces the one before, and meets open connections as well as new ones. ``connections`` counts
    all that were accepted since the start.
    """

    def __init__(self, host: str, port: int) -> None:
        # Bound but never listening: it keeps the port ours while connections to it are refused.
        self._claim = _bind(0)
        self.host = LOOPBACK
        self.port: int = self._claim.getsockname()[1]
        self.connections = 0
        self._server = (host, port)
        self._network = _Network()
        self._open: list[_Connection] = []
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        self._listen()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def heal(self) -> None:
        """Forward, and listen again; what hung is delivered now."""
        self._network.become(_Fault())
        self._listen()

    def refuse(self) -> None:
        """Be a server that is down: open connections end, new ones are refused."""
        self._network.become(_Fault(is_down=True))
        self._stop_listening()
        for connection in self._open:
            connection.end()
        self._open.clear()

    def hang(self) -> None:
        """Accept connections, and let nothing through in either direction."""
        self._fail(_Fault(hangs=True))

    def cut_after(self, n_bytes: int) -> None:
        """Reset each connection once ``n_bytes`` have gone to its client, counted from now.

        With 0 the request arrives and all of the answer is lost.
        """
        self._fail(_Fault(cuts_after_bytes=n_bytes))

    def garble(self) -> None:
        """Send nonsense in place of whatever the server answers next, and hang up."""
        self._fail(_Fault(garbles=True))

    def slow(self, delay_s: float) -> None:
        """Hold every chunk up for ``delay_s``, in both directions."""
        self._fail(_Fault(delay_s=delay_s))

    def close(self) -> None:
        """End everything, and give the port back."""
        self.refuse()
        self._claim.close()

    def _fail(self, fault: _Fault) -> None:
        self._network.become(fault)
        self._listen()

    def _listen(self) -> None:
        if self._listener is None:
            self._listener = _bind(self.port)
            self._listener.listen()
            self._acceptor = threading.Thread(target=self._accept, args=[self._listener], daemon=True)
            self._acceptor.start()

    def _stop_listening(self) -> None:
        if self._listener is not None and self._acceptor is not None:
            _shut(self._listener, socket.SHUT_RDWR)  # wakes the thread that waits in accept
            self._listener.close()
            self._acceptor.join()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                server = socket.create_connection(self._server)
            except OSError:
                client.close()
            else:
                self._open.append(_Connection(client, server, self._network))


class _Connection:
    """A client, the server, and a thread for each direction; the last one to leave closes the sockets."""

    def __init__(self, client: socket.socket, server: socket.socket, network: _Network) -> None:
        self._client = client
        self._server = server
        self._network = network
        self._leaving = threading.Lock()
        directions = (self._forward_requests, self._forward_answers)
        self._running = len(directions)
        self._threads = [threading.Thread(target=self._run, args=[each], daemon=True) for each in directions]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """End both sides from outside, and wait until they are closed."""
        self._reset()
        _shut(self._client, socket.SHUT_RDWR)  # wakes a thread that waits for the client to read
        for thread in self._threads:
            thread.join()

    def _run(self, forward: Callable[[], None]) -> None:
        try:
            forward()
        except OSError:
            self._reset()
        with self._leaving:
            self._running -= 1
            if not self._running:
                self._client.close()
                self._server.close()

    def _forward_requests(self) -> None:
        while chunk := self._client.recv(_CHUNK_BYTES):
            self._network.let_through()
            self._server.sendall(chunk)
        self._network.let_through()
        _shut(self._server, socket.SHUT_WR)

    def _forward_answers(self) -> None:
        counted_under, passed = _Fault(), 0
        while chunk := self._server.recv(_CHUNK_BYTES):
            fault = self._network.let_through()
            if fault is not counted_under:
                counted_under, passed = fault, 0
            if fault.garbles:
                self._client.sendall(NONSENSE)
                break
            if fault.cuts_after_bytes is not None and passed + len(chunk) >= fault.cuts_after_bytes:
                self._client.sendall(chunk[: fault.cuts_after_bytes - passed])
                self._reset()
                return
            self._client.sendall(chunk)
            passed += len(chunk)
        self._network.let_through()
        _shut(self._client, socket.SHUT_WR)

    def _reset(self) -> None:
        """Have both sides closed with a reset, and wake the thread that waits for one of them.

        The client's side is shut for reading only: shut for writing as well, it would be told of an orderly
        end before the reset.
        """
        for side in (self._client, self._server):
            with contextlib.suppress(OSError):
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        _shut(self._client, socket.SHUT_RD)
        _shut(self._server, socket.SHUT_RDWR)


def _bind(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind((LOOPBACK, port))
    return bound


def _shut(side: socket.socket, how: int) -> None:
    with contextlib.suppress(OSError):
        side.shutdown(how)
