"""A transport of ``requests`` that calls the app directly: no socket, no thread, no event loop.

The app runs to its end at once; its messages and waits are recorded and then played to the client against its
timeouts. So a client sees what it would see over a socket, faults included, with one exception: a request
that is delayed on its way is carried out before the client times out.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping
from http.client import RemoteDisconnected, responses
from io import BytesIO, RawIOBase
from typing import Any
from urllib.parse import unquote, urlsplit

from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from starlette.types import ASGIApp, Message, Scope
from urllib3 import HTTPConnectionPool, HTTPResponse, Timeout
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from replay.simulator.wire.delivery import Headers, run_to_end


class InProcessAdapter(HTTPAdapter):
    """Answers every request of a session, whatever its host, from one app.

    Only the connection is replaced: a broken reply raises what ``requests`` raises.
    """

    def __init__(self, app: ASGIApp) -> None:
        super().__init__()
        self._app = app

    def get_connection_with_tls_context(
        self, request: PreparedRequest, *_: Any, **__: Any
    ) -> HTTPConnectionPool:
        """Return a connection to the app for one request."""
        url = urlsplit(request.url or "")
        return _ConnectionToApp(self._app, url.hostname or "localhost", url.port)


# Seconds without data, a message of the app, or the end of the connection (None).
_Event = float | Message | None


class _ConnectionToApp(HTTPConnectionPool):
    def __init__(self, app: ASGIApp, host: str, port: int | None) -> None:
        super().__init__(host, port)
        self._app = app

    def urlopen(self, method: str, url: str, *_: Any, **more: Any) -> HTTPResponse:
        timeout: Timeout = more["timeout"]
        scope = _scope(method, url, {"host": self.host, **more["headers"]})
        answer = _Answer(_record(self._app, scope, _bytes_of(more["body"])), timeout.read_timeout)
        try:
            start = answer.next_message()
        except TimeoutError as error:
            raise ReadTimeoutError(self, url, str(error)) from error
        if start is None:
            gone = RemoteDisconnected("Remote end closed connection without response")
            raise ProtocolError("Connection aborted.", gone)
        return HTTPResponse(
            body=BytesIO() if method == "HEAD" else answer,
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]},
            status=start["status"],
            reason=responses.get(start["status"], ""),
            preload_content=False,
            request_method=method,
        )


class _Answer(RawIOBase):
    """Recorded events played against a client's timeout; the body is read as from a socket."""

    def __init__(self, events: deque[_Event], timeout_s: float | None) -> None:
        self._events = events
        self._timeout_s = timeout_s
        self._rest = b""

    def next_message(self) -> Message | None:
        """Return the app's next message, None at the connection's end; raises TimeoutError if it is late."""
        silence_s = 0.0
        while True:
            event = self._events.popleft() if self._events else None
            if not isinstance(event, float | int):
                return event
            silence_s += event
            if self._timeout_s is not None and silence_s > self._timeout_s:
                time.sleep(max(0.0, self._timeout_s - (silence_s - event)))
                raise TimeoutError(f"Read timed out. (read timeout={self._timeout_s})")
            time.sleep(event)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer and return the number of bytes; 0 at the end."""
        while not self._rest:
            message = self.next_message()
            if message is None:
                return 0
            self._rest = message["body"]
        taken, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)


class _Recorder:
    """A wire that records waits instead of waiting."""

    def __init__(self, events: deque[_Event]) -> None:
        self._events = events

    async def wait(self, seconds: float) -> None:
        self._events.append(seconds)

    def together(self) -> None:
        """Do nothing: each message is recorded whole."""

    def drop(self) -> None:
        self._events.append(None)

    def cut(self, status: int) -> None:
        """Record the reply as ``requests`` reads it: without a body."""
        headers = [(b"content-type", b"application/json")]
        self._events.extend([{"type": "http.response.start", "status": status, "headers": headers}, None])

    def end_without_length(self, status: int, headers: Headers, body: bytes) -> None:
        start = {"type": "http.response.start", "status": status, "headers": headers}
        self._events.extend([start, {"type": "http.response.body", "body": body}, None])

    def close(self) -> None:
        self._events.append(None)


def _record(app: ASGIApp, scope: Scope, body: bytes) -> deque[_Event]:
    events: deque[_Event] = deque()
    coming: deque[Message] = deque([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Message:
        return coming.popleft() if coming else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        events.append(message)

    run_to_end(app({**scope, "state": {"wire": _Recorder(events)}}, receive, send))
    return events


def _scope(method: str, target: str, headers: Mapping[str, str | bytes]) -> Scope:
    url = urlsplit(target)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": unquote(url.path),
        "raw_path": url.path.encode(),
        "root_path": "",
        "query_string": url.query.encode(),
        "headers": [(_latin(name).lower(), _latin(value)) for name, value in headers.items()],
        "client": ("127.0.0.1", 0),
        "server": None,
    }


def _bytes_of(body: str | bytes | Iterable[bytes | str] | None) -> bytes:
    match body:
        case None:
            return b""
        case bytes():
            return body
        case str():
            return body.encode()
    return b"".join(_bytes_of(piece) for piece in body)


def _latin(text: str | bytes) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else text
