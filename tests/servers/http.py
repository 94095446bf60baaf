"""A small HTTP server on loopback, each request in a thread of its own; what it says is up to its handler."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.servers import LOOPBACK


class LoopbackServer(ThreadingHTTPServer):
    """A server on a port that is free; it takes requests while it is ``serving``, at ``url``.

    ``seen``: what was asked, as ``GET /path``, in order.
    """

    daemon_threads = True

    def __init__(self, handler: type[RequestHandler]) -> None:
        super().__init__((LOOPBACK, 0), handler)
        self.seen: list[str] = []
        self.url = f"http://{LOOPBACK}:{self.server_port}"

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Answer in a thread, until the end of the block."""
        thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            thread.join()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing of clients that give up."""


class RequestHandler(BaseHTTPRequestHandler):
    """Notes what was asked, whatever the method, and has it answered by ``reply``, which gets the body."""

    server: LoopbackServer

    def reply(self, body: bytes) -> None:
        """Answer the request."""
        raise NotImplementedError

    def do_GET(self) -> None:
        self._noted()

    def do_POST(self) -> None:
        self._noted()

    def do_DELETE(self) -> None:
        self._noted()

    def send(self, status: int, content: bytes, **headers: str) -> None:
        """Send a whole reply; names of headers are written with underscores."""
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any, **more: Any) -> None:
        """Print nothing."""

    def _noted(self) -> None:
        self.server.seen.append(f"{self.command} {self.path}")
        self.reply(self.rfile.read(int(self.headers.get("Content-Length", 0))))
