"""A live server that counts who comes: what stands behind a recorded address while it is replayed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from tests.servers.http import LoopbackServer, RequestHandler


class Listening(LoopbackServer):
    """Answers every request alike, and remembers it; ``connections`` counts those that only connect, too."""

    def __init__(self, answer: bytes = b"{}", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(_Handler)
        self.answer, self.headers = answer, dict(headers or {})
        self.connections = 0
        self._serving = ExitStack()

    def __enter__(self) -> Listening:
        self._serving.enter_context(self.serving())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._serving.close()
        self.server_close()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        self.connections += 1
        return True


class _Handler(RequestHandler):
    server: Listening

    def reply(self, body: bytes) -> None:
        self.send(200, self.server.answer, **self.server.headers)
