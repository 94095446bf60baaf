"""uvicorn in a thread on a socket of our own, with connections that a fault can break."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from engine.errors import UsageError
from replay.simulator.wire.delivery import Headers

# nginx's own: a client that comes back within it finds its connection open.
_KEEP_ALIVE_S = 75

_EVERY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


@contextmanager
def served(app: ASGIApp, host: str, port: int) -> Iterator[str]:
    """Serve an app until the block ends; port 0 is a free one. Gives an address, ``http://host:port``.

    Of a host that stands for every address of this machine, it is the one on loopback.

    Raises UsageError if host and port can't be listened on.
    """
    with _listening(host, port) as listening:
        server = _Server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="simulator")
        thread.start()
        try:
            server.ready.wait()
            number = listening.getsockname()[1]
            reached = _EVERY_ADDRESS.get(host, host)
            yield f"http://[{reached}]:{number}" if ":" in reached else f"http://{reached}:{number}"
        finally:
            server.should_exit = True
            thread.join()


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach a host's address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it is ready and cuts short what still waits when it stops."""

    def __init__(self, app: ASGIApp) -> None:
        self.ready = threading.Event()
        self._stopping = asyncio.Event()
        config = uvicorn.Config(
            app,
            http=_protocol(self._stopping),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=5,
        )
        super().__init__(config)

    async def main_loop(self) -> None:
        self.ready.set()
        await super().main_loop()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping.set()
        await super().shutdown(sockets)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        finally:
            self.ready.set()


class _SocketWire:
    """A connection of uvicorn's: what the answer to one request is written to, and what faults break."""

    def __init__(self, transport: asyncio.Transport, stopping: asyncio.Event) -> None:
        self._transport = transport
        self._stopping = stopping
        self._head = b""
        self.write: Callable[[bytes], None] = transport.write

    def together(self) -> None:
        self.write = self._keep

    def _keep(self, head: bytes) -> None:
        self._head = head
        self.write = self._join

    def _join(self, body: bytes) -> None:
        self.write = self._transport.write
        self.write(self._head + body)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    async def wait(self, seconds: float) -> None:
        # A server that stops does not wait for its own faults.
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def drop(self) -> None:
        self._transport.abort()

    def cut(self, status: int) -> None:
        self._transport.write(b"HTTP/1.1 %d Cut\r\nContent-Type: application/json\r\n" % status)
        self._transport.close()

    def end_without_length(self, status: int, headers: Headers, body: bytes) -> None:
        now = formatdate(usegmt=True).encode()
        lines = b"".join(b"%s: %s\r\n" % header for header in [*headers, (b"date", now)])
        head = b"HTTP/1.1 %d Unbounded\r\n%sconnection: close\r\n\r\n" % (status, lines)
        self._transport.write(head + body)
        self._transport.close()

    def close(self) -> None:
        self._transport.close()


def _protocol(stopping: asyncio.Event) -> type[HttpToolsProtocol]:
    class Protocol(HttpToolsProtocol):
        _owed = 0  # answers to whole requests that are not out yet
        _garbage: str | None = None  # what is wrong with what came after them

        def data_received(self, data: bytes) -> None:
            """Read on, unless what came before made no sense: nothing after it can."""
            if self._garbage is None:
                super().data_received(data)

        def on_message_complete(self) -> None:
            """Count a request that has come in whole."""
            if not self.cycle.response_complete:
                self._owed += 1
            super().on_message_complete()

        def on_response_complete(self) -> None:
            """Say what was wrong once all that was owed before it is out."""
            self._owed = max(self._owed - 1, 0)
            super().on_response_complete()
            if self._garbage is not None and not self._owed and not self.transport.is_closing():
                super().send_400_response(self._garbage)

        def send_400_response(self, msg: str) -> None:
            """Refuse what can't be read, after the answers to what could."""
            if self.pipeline and self.pipeline[0][0].more_body:
                self.pipeline.popleft()
            if self._owed:
                self._garbage = msg
            else:
                super().send_400_response(msg)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self.scope["state"]["wire"] = _SocketWire(self.transport, stopping)

        def on_headers_complete(self) -> None:
            """Have the answer written to the wire, but for one to a HEAD, which has no body to wait for."""
            super().on_headers_complete()
            if self.scope["method"] != "HEAD":
                self.cycle.transport = self.scope["state"]["wire"]

    return Protocol


def _listening(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        listening.close()
        why = error.strerror if isinstance(error, OSError) else "a port is from 0 to 65535"
        message = f"{host}:{port} can't be listened on: {why}."
        raise UsageError(f"{message} Choose another; port 0 is a free one.") from error
    return listening
