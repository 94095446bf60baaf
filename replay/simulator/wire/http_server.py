"""uvicorn in a thread on our own socket, with connections that a fault can break."""

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
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from engine.errors import UsageError
from replay.simulator.wire.delivery import Headers

# As nginx: a connection stays open that long between requests.
_KEEP_ALIVE_S = 75

_LARGEST_MESSAGE = 65_536  # bytes that a client of the stream may send at once

_EVERY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


@contextmanager
def served(app: ASGIApp, host: str, port: int) -> Iterator[str]:
    """Serve an app until the block ends; yield its address, ``http://host:port``. Port 0 takes a free one.

    For a host that stands for every address of this machine, the address is the loopback one.

    Raises UsageError if host and port can't be bound.
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
    """Return whether only this machine can reach a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Server(uvicorn.Server):
    """uvicorn's server, which signals when it is ready and interrupts waiting faults when it stops."""

    def __init__(self, app: ASGIApp) -> None:
        self.ready = threading.Event()
        self._stopping = asyncio.Event()
        config = uvicorn.Config(
            app,
            http=_protocol(self._stopping),
            ws=_stream_protocol(self._stopping),
            ws_max_size=_LARGEST_MESSAGE,
            ws_per_message_deflate=False,
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
    """A connection of uvicorn: the reply to one request is written to it, and faults break it."""

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
        # A server that stops does not wait for faults.
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


def _stream_protocol(stopping: asyncio.Event) -> type[WebSocketsSansIOProtocol]:
    class Protocol(WebSocketsSansIOProtocol):
        def handle_connect(self, event: Request) -> None:
            """Hand the app the connection, which it breaks for a client that doesn't read."""
            super().handle_connect(event)
            if not self.close_sent:
                self.scope["state"]["wire"] = _SocketWire(self.transport, stopping)

        def shutdown(self) -> None:
            """End the connection at once: a client that doesn't read would hold up the server's end."""
            super().shutdown()
            if self.transport.get_write_buffer_size():
                self.transport.abort()

    return Protocol


def _protocol(stopping: asyncio.Event) -> type[HttpToolsProtocol]:
    class Protocol(HttpToolsProtocol):
        _pending = 0  # replies to complete requests that are not sent yet
        _malformed: str | None = None  # the error in the input after those requests

        def data_received(self, data: bytes) -> None:
            """Read on, unless the input was malformed: nothing after that can be parsed."""
            if self._malformed is None:
                super().data_received(data)

        def on_message_complete(self) -> None:
            """Count a complete request."""
            if "path" in self.scope and not self.cycle.response_complete:
                self._pending += 1
            super().on_message_complete()

        def on_response_complete(self) -> None:
            """Send the error for malformed input once all replies before it are sent."""
            self._pending = max(self._pending - 1, 0)
            super().on_response_complete()
            if self._malformed is not None and not self._pending and not self.transport.is_closing():
                super().send_400_response(self._malformed)

        def send_400_response(self, msg: str) -> None:
            """Refuse malformed input, after the replies to the complete requests before it."""
            if self.pipeline and self.pipeline[0][0].more_body:
                self.pipeline.popleft()
            if self._pending:
                self._malformed = msg
            else:
                super().send_400_response(msg)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self.scope["state"]["wire"] = _SocketWire(self.transport, stopping)

        def on_headers_complete(self) -> None:
            """Write the reply to the wire, except for a HEAD, whose reply has no body."""
            super().on_headers_complete()
            if "path" in self.scope and self.scope["method"] != "HEAD":  # without a path it is a handshake
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
        raise UsageError(f"{message} Choose another port; 0 takes a free one.") from error
    return listening
