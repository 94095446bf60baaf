"""A wire between a job and a server: it forwards, and at one message does what it was asked to.

It lives in a process of its own, since the one that plays schedules must have no threads. A *message* is what
arrives in one piece, in either direction, on any connection; they are counted from when the wire was asked::

    delay   the message comes later, within every timeout
    cut     half of it comes, and both sides see an orderly end
    lost    nothing of it comes, and both sides see an orderly end
    reset   nothing of it comes, and both sides see a reset
    drop    nothing comes on this connection any more, and it stays open
    down    every connection ends here, and new ones do until the wire is mended
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.servers import LOOPBACK

TROUBLES = ("delay", "cut", "lost", "reset", "drop", "down")
_PIECE = 65_536
_DELAY_S = 0.25
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Wire:
    """A wire to a server; clients connect to ``address`` (host:port)."""

    address: str
    control: socket.socket

    def trouble(self, what: str, at: int) -> None:
        """Count messages from now on, and do ``what`` at the one numbered ``at``."""
        self._asked({"what": what, "at": at})

    def mend(self) -> int:
        """Forward everything from now on; return how many messages there were since the trouble began."""
        return self._asked({"what": "", "at": 0})

    def _asked(self, what: dict[str, object]) -> int:
        self.control.sendall(json.dumps(what).encode() + b"\n")
        return int(self.control.recv(100))


@contextmanager
def wire_to(host: str, port: int) -> Iterator[Wire]:
    """Put a wire before a server; its process ends with this one, whatever ends that."""
    ours, theirs = socket.socketpair()
    listening = socket.create_server((LOOPBACK, 0), backlog=64)
    process = os.fork()
    if process == 0:
        ours.close()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            asyncio.run(_Forwarding(host, port).until_closed(listening, theirs))
        except BaseException as error:
            print(f"a wire failed: {error!r}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    theirs.close()
    address = f"{LOOPBACK}:{listening.getsockname()[1]}"
    listening.close()
    try:
        yield Wire(address, ours)
    finally:
        ours.close()
        os.waitpid(process, 0)


@dataclass(eq=False)
class _Connection:
    sides: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    is_silent: bool = False

    def end(self, *, reset: bool) -> None:
        for side in self.sides:
            if reset:
                with suppress(OSError):
                    side.get_extra_info("socket").setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE
                    )
                side.transport.abort()
            else:
                side.close()


@dataclass
class _Forwarding:
    host: str
    port: int
    what: str = ""
    at: int = 0
    count: int = 0
    is_down: bool = False
    _open: set[_Connection] = field(default_factory=set)

    async def until_closed(self, listening: socket.socket, control: socket.socket) -> None:
        server = await asyncio.start_server(self._connected, sock=listening)
        asked, said = await asyncio.open_connection(sock=control)
        async with server:
            while line := await asked.readline():
                order = json.loads(line)
                said.write(b"%d" % self.count)
                self.what, self.at, self.count, self.is_down = order["what"], order["at"], 0, False
                if not self.what:
                    self._end_silent_ones()

    def _end_silent_ones(self) -> None:
        for connection in [one for one in self._open if one.is_silent]:
            connection.end(reset=True)

    async def _connected(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        try:
            server_in, server_out = await asyncio.open_connection(self.host, self.port)
        except OSError:
            client_out.transport.abort()
            return
        connection = _Connection((client_out, server_out))
        if self.is_down:
            connection.end(reset=True)
            return
        self._open.add(connection)
        await asyncio.gather(
            self._forward(connection, client_in, server_out), self._forward(connection, server_in, client_out)
        )
        connection.end(reset=False)
        self._open.discard(connection)

    async def _forward(
        self, connection: _Connection, source: asyncio.StreamReader, target: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while piece := await source.read(_PIECE):
                self.count += 1
                what = self.what if self.count == self.at else ""
                if what == "delay":
                    await asyncio.sleep(_DELAY_S)
                elif what == "drop":
                    connection.is_silent = True
                elif what == "down":
                    self.is_down = True
                    for one in [*self._open]:
                        one.end(reset=True)
                    return
                elif what:
                    if what == "cut":
                        target.write(piece[: len(piece) // 2])
                    connection.end(reset=what == "reset")
                    return
                if not connection.is_silent:
                    target.write(piece)
                    await target.drain()
            if not connection.is_silent and not target.is_closing():
                target.write_eof()
