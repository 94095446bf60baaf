"""Transports for ``requests``: bounded in time and size, and recorded.

::

    session.mount(host, Recording(BoundedAdapter(connections=8, deadline_s=20), keep, …))
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import ReadTimeout, RequestException
from urllib3.exceptions import ReadTimeoutError

from engine.brokers.alpaca.redaction import AccountRedaction
from engine.brokers.alpaca.text import one_line
from engine.brokers.in_time import InFlight, always, pools_in_time
from engine.brokers.interaction import NEVER_LEFT, Interaction
from engine.brokers.whole_reply import with_content
from engine.errors import EngineError
from engine.log import wall_clock
from engine.waiting.deadline import Deadline

LONGEST_BODY = 32 * 1024 * 1024

# The recorded headers: enough to see what was requested and who replied; no cookies, no keys.
_REQUEST_HEADERS = frozenset({"accept", "content-type"})
_RESPONSE_HEADERS = frozenset({"content-type", "date", "retry-after", "server", "x-request-id"})
_RATE_LIMIT = "x-ratelimit-"

_PIECE = 65_536
_HOSTS = 2


class ReplyTooLong(RequestException):
    """A reply's body is longer than ``longest_body``."""


def whole(body: bytes) -> bytes:
    """Return a body as it is."""
    return body


class GuardedRequest(PreparedRequest):
    """A request with ``may_leave``, which ``BoundedAdapter`` calls right before it writes any bytes.

    ``recorded_as`` returns the part of the reply's body that ``Recording`` records.
    """

    may_leave: Callable[[], None] = staticmethod(always)
    recorded_as: Callable[[bytes], bytes] = staticmethod(whole)


class BoundedAdapter(HTTPAdapter):
    """Sends once, over pooled connections, and returns complete replies only.

    ``connections``: how many are kept open. ``deadline_s``: the most seconds that a request may take, from
    looking up the host to the last byte of the reply; the request's own timeout bounds connecting, to all
    addresses together, and each wait for the reply. ``longest_body``: bytes, decoded. Raises what
    ``requests`` does, ``ReadTimeout`` beyond the deadline, ``ChunkedEncodingError`` for a body shorter than
    its Content-Length, ``ConnectionError`` for a reply that ends inside its headers, and ``ReplyTooLong``.
    """

    def __init__(self, *, connections: int, deadline_s: float, longest_body: int = LONGEST_BODY) -> None:
        self._in_flight, self._deadline_s = InFlight(), deadline_s
        self._pools = pools_in_time(self._in_flight)
        self._longest_body = longest_body
        super().__init__(pool_connections=_HOSTS, pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Create connection pools that enforce the deadline."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Return a proxy's manager, with connection pools that enforce the deadline."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        """Send a request and return its complete reply."""
        self._in_flight.deadline = Deadline.after(self._deadline_s)
        self._in_flight.may_leave = request.may_leave if isinstance(request, GuardedRequest) else always
        response = super().send(request, *args, **kwargs)
        try:
            pieces = list(self._pieces(response))
        except RequestException as error:
            response.close()
            raise _as_timeout(error, request) from error
        except BaseException:
            response.close()
            raise
        return with_content(response, b"".join(pieces))

    def _pieces(self, response: Response) -> Iterator[bytes]:
        length = 0
        for piece in response.iter_content(_PIECE):
            length += len(piece)
            if length > self._longest_body:
                raise ReplyTooLong(
                    f"the reply is longer than {self._longest_body} bytes", request=response.request
                )
            yield piece


def _as_timeout(error: RequestException, request: PreparedRequest) -> RequestException:
    """Return an error of reading a body, as ``ReadTimeout`` where a timeout caused it."""
    reason = error.args[0] if isinstance(error, NoConnection) and error.args else None
    return ReadTimeout(reason, request=request) if isinstance(reason, ReadTimeoutError) else error


@dataclass(eq=False)
class Recording(BaseAdapter):
    """Records every interaction before its reply is returned.

    ``keep`` is called by the sending thread after the reply, or the error, and before either is passed on;
    what it raises is raised instead. ``clean`` masks secrets in a text; ``is_clean`` returns whether it would
    change none of the joined texts. ``number`` returns the number of a request as it starts. Account numbers
    and ids, and all headers but a few, are left out; ``account`` is shared with the other code that redacts
    them. ``whose``: the account's name, which is recorded.
    """

    inner: BaseAdapter
    keep: Callable[[Interaction], object]
    clean: Callable[[bytes], bytes] = field(kw_only=True)
    is_clean: Callable[[bytes], bool] = field(kw_only=True, default=lambda _: False)
    number: Callable[[], int] = field(kw_only=True)
    clock: Callable[[], datetime] = field(kw_only=True, default=wall_clock)
    account: AccountRedaction = field(kw_only=True, default_factory=AccountRedaction)
    whose: str = field(kw_only=True, default="")

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        """Send a request and return its complete reply once it is recorded."""
        asked = self._asked(request)
        started_at, begin = self.clock().isoformat(), time.perf_counter()
        number = self.number()  # from here on an interaction is recorded, whatever happens

        def keep(response: dict[str, Any] | None, error: str = "") -> None:
            took_s = round(time.perf_counter() - begin, 6)
            self.keep(
                Interaction(
                    number=number, started_at=started_at, took_s=took_s,
                    request=asked, response=response, error=error, account=self.whose,
                )
            )  # fmt: skip

        try:
            reply = self.inner.send(request, *args, **kwargs)
            recorded_as = request.recorded_as if isinstance(request, GuardedRequest) else whole
            answered = self._answered(reply, recorded_as)
        except EngineError as error:  # of ``may_leave``: nothing was sent
            keep(None, f"{NEVER_LEFT}{self._why(error)}")
            raise
        except BaseException as error:
            keep(None, self._why(error))
            raise
        keep(answered)
        return reply

    def close(self) -> None:
        """Close the inner adapter."""
        self.inner.close()

    def _asked(self, request: PreparedRequest) -> dict[str, Any]:
        headers = {name: value for name, value in request.headers.items() if name.lower() in _REQUEST_HEADERS}
        has_body = request.body is not None
        uri, body, *values = self._texts(
            [
                (request.url or "").encode("utf-8", "replace"),
                _as_bytes(request.body) if has_body else b"",
                *map(_as_bytes, headers.values()),
            ]
        )
        return {
            "method": request.method,
            "uri": uri,
            "body": body if has_body else None,
            "headers": _in_lists(headers, values),
        }

    def _answered(self, reply: Response, recorded_as: Callable[[bytes], bytes]) -> dict[str, Any]:
        of_account = urlsplit(reply.url or "").path.rstrip("/") == "/v2/account"
        headers = {name: value for name, value in reply.headers.items() if _is_kept(name.lower())}
        body, message, *values = self._texts(  # the body first: it may contain the account's number
            [recorded_as(reply.content), _as_bytes(reply.reason or ""), *map(_as_bytes, headers.values())],
            of_account=of_account,
        )
        return {
            "status": {"code": reply.status_code, "message": message},
            "headers": _in_lists(headers, values),
            "body": {"string": body},
        }

    def _why(self, error: BaseException) -> str:
        reason = getattr(error.args[0], "reason", None) if error.args else None
        reason = reason if isinstance(reason, Exception) else error
        (text,) = self._texts([_as_bytes(f"{type(reason).__name__}: {reason}")])
        return one_line(text)

    def _texts(self, raw: list[bytes], *, of_account: bool = False) -> list[str]:
        """Return texts without secrets; most have none, so all are first checked at once."""
        joined = b"\n".join(raw)
        if of_account or not (self.is_clean(joined) and self.account.nothing_in(joined)):
            raw = [self.account.redacted(self.clean(text), of_account=of_account) for text in raw]
        return [text.decode("utf-8", "replace") for text in raw]


def _is_kept(name: str) -> bool:
    return name in _RESPONSE_HEADERS or name.startswith(_RATE_LIMIT)


def _in_lists(headers: Iterable[str], values: Iterable[str]) -> dict[str, list[str]]:
    return {name: [value] for name, value in zip(headers, values, strict=True)}


def _as_bytes(body: object) -> bytes:
    if isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode("utf-8", "replace")
    raise TypeError(f"a body of {type(body).__name__} can't be recorded; send bytes")
