"""Transports of ``requests``: bounded in time and size, and recorded.

::

    session.mount(host, Recording(BoundedAdapter(connections=8, deadline_s=20), keep, …))
"""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import ReadTimeout, RequestException
from urllib3 import HTTPConnectionPool
from urllib3.exceptions import ReadTimeoutError
from urllib3.poolmanager import pool_classes_by_scheme

from engine.brokers.alpaca_text import one_line
from engine.brokers.exchange import Exchange
from engine.brokers.redaction import AccountRedaction
from engine.log import wall_clock

LONGEST_BODY = 32 * 1024 * 1024

# What a reader needs to tell what was asked and who answered; cookies, keys and all others stay out.
_REQUEST_HEADERS = frozenset({"accept", "content-type"})
_RESPONSE_HEADERS = frozenset({"content-type", "date", "retry-after", "server", "x-request-id"})
_RATE_LIMIT = "x-ratelimit-"

_PIECE = 65_536
_HOSTS = 2


class ReplyTooLong(RequestException):
    """A reply's body is longer than this transport reads."""


class BoundedAdapter(HTTPAdapter):
    """Sends once, over pooled connections, and gives replies whole or not at all.

    ``connections``: how many are kept open. ``deadline_s``: the most seconds that a reply may take, from the
    end of its request to its last byte, however it trickles in; the request's own timeout bounds each wait.
    ``longest_body``: bytes, decoded. Raises what ``requests`` does, ``ReadTimeout`` beyond the deadline,
    ``ChunkedEncodingError`` for a body shorter than its Content-Length, and ``ReplyTooLong``.
    """

    def __init__(self, *, connections: int, deadline_s: float, longest_body: int = LONGEST_BODY) -> None:
        self._pools = _pools(deadline_s)
        self._longest_body = longest_body
        super().__init__(pool_connections=_HOSTS, pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of connections whose replies have a deadline."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Do so for a proxy."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        """Send a request, and read its reply to the end."""
        response = super().send(request, *args, **kwargs)
        try:
            response._content = self._body(response)
        except NoConnection as error:
            response.close()
            if error.args and isinstance(error.args[0], ReadTimeoutError):
                raise ReadTimeout(error.args[0], request=request) from error
            raise
        except BaseException:
            response.close()
            raise
        return response

    def _body(self, response: Response) -> bytes:
        pieces, length = [], 0
        for piece in response.iter_content(_PIECE):
            length += len(piece)
            if length > self._longest_body:
                raise ReplyTooLong(
                    f"the reply is longer than {self._longest_body} bytes", request=response.request
                )
            pieces.append(piece)
        return b"".join(pieces)


@dataclass(eq=False)
class Recording(BaseAdapter):
    """Has every exchange kept before anybody acts on it.

    ``keep`` is called, by the thread that sent, after the reply or the lack of one and before either is
    handed on; what it raises is raised instead. ``clean`` blots secrets out of a text. ``number`` numbers
    requests as they start. Account numbers and ids, and all headers but a few, are left out; ``account`` is
    to be shared with whoever else learns of them. ``whose`` is the account's name, which is kept.
    """

    inner: BaseAdapter
    keep: Callable[[Exchange], object]
    clean: Callable[[bytes], bytes] = field(kw_only=True)
    number: Callable[[], int] = field(kw_only=True)
    clock: Callable[[], datetime] = field(kw_only=True, default=wall_clock)
    account: AccountRedaction = field(kw_only=True, default_factory=AccountRedaction)
    whose: str = field(kw_only=True, default="")

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        """Send a request, and return with its whole reply once it is kept."""
        asked = self._asked(request)
        number, started_at, begin = self.number(), self.clock().isoformat(), time.perf_counter()

        def keep(response: dict[str, Any] | None, error: str = "") -> None:
            took_s = round(time.perf_counter() - begin, 6)
            self.keep(
                Exchange(
                    number=number, started_at=started_at, took_s=took_s,
                    request=asked, response=response, error=error, account=self.whose,
                )
            )  # fmt: skip

        try:
            reply = self.inner.send(request, *args, **kwargs)
            _ = reply.content
        except BaseException as error:
            keep(None, self._why(error))
            raise
        keep(self._answered(reply))
        return reply

    def close(self) -> None:
        """Close what is inside."""
        self.inner.close()

    def _asked(self, request: PreparedRequest) -> dict[str, Any]:
        return {
            "method": request.method,
            "uri": self._text(request.url or ""),
            "body": None if request.body is None else self._text(_as_bytes(request.body)),
            "headers": {
                name: [self._text(_as_bytes(value))]
                for name, value in request.headers.items()
                if name.lower() in _REQUEST_HEADERS
            },
        }

    def _answered(self, reply: Response) -> dict[str, Any]:
        of_account = urlsplit(reply.url or "").path.rstrip("/") == "/v2/account"
        body = self._text(reply.content, of_account=of_account)
        return {
            "status": {"code": reply.status_code, "message": self._text(reply.reason or "")},
            "headers": {
                name: [self._text(value)]
                for name, value in reply.headers.items()
                if (lower := name.lower()) in _RESPONSE_HEADERS or lower.startswith(_RATE_LIMIT)
            },
            "body": {"string": body},
        }

    def _why(self, error: BaseException) -> str:
        reason = getattr(error.args[0], "reason", None) if error.args else None
        reason = reason if isinstance(reason, Exception) else error
        return one_line(self._text(f"{type(reason).__name__}: {reason}"))

    def _text(self, text: str | bytes, *, of_account: bool = False) -> str:
        raw = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
        return self.account.redacted(self.clean(raw), of_account=of_account).decode("utf-8", "replace")


def _as_bytes(body: object) -> bytes:
    if isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode("utf-8", "replace")
    raise TypeError(f"a body of {type(body).__name__} can't be recorded; send bytes")


class _ReplyInTime(HTTPResponse):
    """A reply whose every read ends by one deadline; each wait, as before, by the socket's own timeout."""

    deadline_s: float

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_ReadsInTime(sock, self.fp.detach(), self.deadline_s))


class _ReadsInTime(io.RawIOBase):
    def __init__(self, sock: socket.socket, raw: io.RawIOBase, deadline_s: float) -> None:
        self._socket, self._raw = sock, raw
        self._wait_s = sock.gettimeout()
        self._ends = time.monotonic() + deadline_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._ends - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the whole reply took too long")
        if self._wait_s is None or left_s < self._wait_s:
            self._socket.settimeout(left_s)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _pools(deadline_s: float) -> dict[str, type[HTTPConnectionPool]]:
    """Make urllib3's classes of pools, for connections whose replies have a deadline."""
    reply = type("ReplyInTime", (_ReplyInTime,), {"deadline_s": deadline_s})

    def pool_of(pool: type[HTTPConnectionPool]) -> type[HTTPConnectionPool]:
        connection = type("ConnectionInTime", (pool.ConnectionCls,), {"response_class": reply})
        return type(pool.__name__, (pool,), {"ConnectionCls": connection})

    return {scheme: pool_of(pool) for scheme, pool in pool_classes_by_scheme.items()}
